//! Hostile rule files end with an error, in bounded time and memory.

mod falco_fields;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use falco_fields::FalcoFields;
use rules::file::{LONGEST, Loaded, Source, load};

/// Far more than any of these files takes, in a build that is not optimised, on a busy machine.
const LONG: Duration = Duration::from_secs(60);

fn load_in_time(text: &str) -> Loaded {
    let start = Instant::now();
    let loaded = load(&[Source { name: "a.yaml", text: text.as_bytes() }], &FalcoFields::new());
    let took = start.elapsed();
    assert!(took < LONG, "took {took:?}");
    loaded
}

/// Loads a text that must have an error of which this is a part.
fn refused(text: &str, part: &str) {
    let loaded = load_in_time(text);
    let problems: Vec<String> = loaded.problems.iter().map(ToString::to_string).collect();
    assert!(
        loaded.has_errors() && problems.iter().any(|problem| problem.contains(part)),
        "{part}: {:?}",
        &problems[..problems.len().min(5)]
    );
}

fn rule(condition: &str) -> String {
    format!("- rule: r\n  desc: d\n  condition: {condition}\n  output: o\n  priority: NOTICE\n")
}

#[test]
fn a_file_that_is_too_long_is_refused() {
    refused(&"#".repeat(LONGEST + 1), "a.yaml:1:1: error: longer than 10 MiB; no rule file is");
}

#[test]
fn the_longest_files_load() {
    let comments = "# a comment\n".repeat(LONGEST / 12);
    let items = format!("- list: l\n  items: [{}]\n", "abcdefgh,".repeat(400_000));

    assert!(!load_in_time(&comments).has_errors());
    assert!(!load_in_time(&items).has_errors());
}

#[test]
fn too_many_values_are_refused() {
    refused(&format!("- list: l\n  items: [{}]\n", "a,".repeat(2_000_000)), "more than 1000000 values");
}

#[test]
fn deep_nesting_is_refused() {
    let condition = format!("{}evt.type=open{}", "(".repeat(10_000), ")".repeat(10_000));
    let mappings: String = (0..10_000).fold(String::new(), |mut text, depth| {
        let _ = writeln!(text, "{}a:", " ".repeat(depth));
        text
    });

    refused(&"[".repeat(10_000), "error: not YAML: recursion limit exceeded");
    refused(&"- ".repeat(10_000), "nested more than 64 deep");
    refused(&"? ".repeat(10_000), "nested more than 64 deep");
    refused(&mappings[..LONGEST.min(mappings.len())], "deep");
    refused(&rule(&condition), "deep");
}

#[test]
fn aliases_that_multiply_are_refused() {
    let mut text = "- list: a\n  items: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..20 {
        let names = vec![format!("*a{}", n - 1); 10].join(", ");
        let _ = writeln!(text, "- list: b{n}\n  items: &a{n} [{names}]");
    }
    refused(&text, "must be a single value");

    let long = format!("- list: a\n  items: &a [{}]\n", "x,".repeat(100_000));
    refused(&format!("{long}{}", "- list: a\n  items: *a\n".repeat(10_000)), "aliases make more values");

    let text = format!("- macro: m\n  condition: &c '{}'\n", "x ".repeat(500_000));
    refused(
        &format!("{text}{}", "- macro: m\n  condition: *c\n  override: {condition: append}\n".repeat(10_000)),
        "error",
    );

    let value = format!("&v [{}]", "x,".repeat(1000));
    let values = format!("&w [{value}, {}]", "*v,".repeat(1000));
    let exceptions = format!(
        "  exceptions:\n  - name: e\n    fields: [proc.name]\n    values: [{values}, {}]\n",
        "*w,".repeat(1000)
    );
    refused(&format!("{}{exceptions}", rule("evt.type=open")), "error");
}

#[test]
fn an_alias_within_its_own_value_is_refused() {
    refused("- &a [*a]\n", "an alias within the value that it names");
}

#[test]
fn conditions_that_are_too_long_together_are_refused() {
    let long = format!("proc.name in ({}a)", "abcdefgh,".repeat(300_000));
    let text = format!("- macro: m0\n  condition: &c {long}\n");

    let again: String = (1..4).fold(text, |text, n| text + &format!("- macro: m{n}\n  condition: *c\n"));

    refused(&again, "together");
}

#[test]
fn lists_that_multiply_are_refused() {
    let mut text = "- list: l0\n  items: [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..50 {
        let names = vec![format!("l{}", n - 1); 10].join(", ");
        let _ = writeln!(text, "- list: l{n}\n  items: [{names}]");
    }

    refused(&format!("{text}{}", rule("proc.name in (l49)")), "longer than");
}

#[test]
fn lists_that_multiply_in_a_condition_are_refused() {
    let list = format!("- list: l\n  items: [{}]\n", "abcdefghij,".repeat(10_000));

    refused(&format!("{list}{}", rule(&format!("proc.name in ({}l)", "l,".repeat(1000)))), "longer than");
}

#[test]
fn a_long_chain_of_lists_is_refused() {
    let mut text = "- list: l0\n  items: [x]\n".to_owned();
    for n in 1..50_000 {
        let _ = writeln!(text, "- list: l{n}\n  items: [l{}]", n - 1);
    }

    let loaded = load_in_time(&format!("{text}{}", rule("proc.name in (l49999)")));

    // Each is expanded after the one that it names, so that the chain is never walked at once.
    assert!(!loaded.has_errors(), "{:?}", loaded.problems.first());
}

#[test]
fn many_lists_and_conditions_end_in_time() {
    let mut text = String::new();
    for n in 0..20_000 {
        let _ = writeln!(
            text,
            "- list: l{n}\n  items: [x]\n- macro: m{n}\n  condition: proc.name in (l{n}, l1, l2, l3)"
        );
    }

    let loaded = load_in_time(&text);

    assert!(!loaded.has_errors(), "{:?}", loaded.problems.first());
}

#[test]
fn macros_that_multiply_are_refused() {
    let mut text = "- macro: m0\n  condition: evt.type=open\n".to_owned();
    for n in 1..100 {
        let _ = writeln!(text, "- macro: m{n}\n  condition: m{0} or m{0}", n - 1);
    }

    refused(&format!("{text}{}", rule("m99")), "more than 100000 checks");
}

#[test]
fn many_regular_expressions_are_refused() {
    let regex = |n: usize| format!("'(a{n}){{20}}[^x]{{10}}'");
    let rules: String = (0..20_000).fold(String::new(), |mut text, n| {
        let condition = format!("evt.type=open and proc.name regex {}", regex(n));
        let _ = write!(text, "{}", rule(&condition).replace("rule: r", &format!("rule: r{n}")));
        text
    });
    let list: Vec<String> = (0..20_000).map(regex).collect();
    let list = rule(&format!("evt.type=open and proc.name regex anyof ({})", list.join(",")));
    let again = format!(
        "- macro: m\n  condition: proc.name regex anyof ({})\n",
        (0..900).map(regex).collect::<Vec<_>>().join(",")
    );

    refused(&rules, "more than 1000 regular expressions");
    refused(&list, "more than 1000 regular expressions");
    let both = rule("evt.type=open and m") + &rule("evt.type=open and m").replace("rule: r", "rule: s");
    refused(&format!("{again}{both}"), "more than 1000 regular expressions");
}

#[test]
fn a_long_chain_of_macros_ends_in_time() {
    let mut text = "- macro: m0\n  condition: evt.type=open\n".to_owned();
    for n in 1..10_000 {
        let _ = writeln!(text, "- macro: m{n}\n  condition: m{}", n - 1);
    }

    refused(&format!("{text}{}", rule("m9999")), "deep");
}

#[test]
fn many_lines_that_are_not_indented_end_in_time() {
    let text = format!("- list: l\n  items: [\n{}]\n", "a,\n".repeat(300_000));

    load_in_time(&text);
}

#[test]
fn many_problems_end_in_time_and_are_not_all_kept() {
    let keys: String = (0..200_000).fold("- list: l\n  items: []\n".to_owned(), |mut text, n| {
        let _ = writeln!(text, "  k{n}: 1");
        text
    });
    let outputs =
        rule("evt.type=open").replace("output: o", &format!("output: '{}'", "%a.b".repeat(500_000)));
    let macros: String = (0..20_000).fold(String::new(), |mut text, n| {
        let _ = writeln!(text, "- macro: m{n}\n  condition: unknown{n}");
        text
    });

    for text in [keys, outputs, macros] {
        let loaded = load_in_time(&text);
        assert!(loaded.problems.len() <= 1001, "{}", loaded.problems.len());
    }
}
