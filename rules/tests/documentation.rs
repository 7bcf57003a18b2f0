//! The rules that `docs/rules.md` shows load, and their examples are right.

mod falco_fields;

use falco_fields::FalcoFields;
use rules::file::{Severity, Source, load};

#[test]
fn the_rules_of_the_documentation_load() {
    // What follows changes rules of the collector's own, which loads it in a test of its own.
    let (page, _) = include_str!("../../docs/rules.md").split_once("\n## Glassbox's own rules\n").unwrap();
    let blocks: Vec<&str> =
        page.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    // Blocks that are indented belong to the rule at the end of the first one.
    let (parts, items): (Vec<&str>, Vec<&str>) =
        blocks[1..].iter().partition(|block| block.starts_with("  "));
    let text = [&[blocks[0]], parts.as_slice(), items.as_slice()].concat().concat();
    let fields = FalcoFields::new();

    let loaded = load(&[Source { name: "rules.md", text: text.as_bytes() }], &fields);

    let severe = loaded.problems.iter().filter(|problem| problem.severity != Severity::Note);
    assert_eq!(Vec::<String>::new(), severe.map(ToString::to_string).collect::<Vec<_>>(), "{text}");
    assert_eq!(2, loaded.rules.rules.len());
    let outcomes: Vec<bool> = loaded.rules.run_examples(&fields).map(|outcome| outcome.is_right()).collect();
    assert_eq!(vec![true, true, true], outcomes);
}
