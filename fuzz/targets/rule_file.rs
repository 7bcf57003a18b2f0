//! Rule files, several of them apart by a NUL, as `glassbox rules check` reads them; and what their rules say
//! of an event.
#![no_main]

#[path = "shared/spec.rs"]
mod spec;

use libfuzzer_sys::fuzz_target;
use rules::examples::ExampleEvent;
use rules::file::{Source, load};
use rules::format::{Alert, TimeFormat};
use rules::{ArgumentKind, ArgumentRule, Catalog, FieldSpec, Type};

use spec::spec;

struct Fields;

const FIELDS: [FieldSpec; 8] = [
    spec("evt.type", Type::Text, ArgumentRule::None),
    spec("evt.time", Type::Time, ArgumentRule::None),
    spec("proc.name", Type::Text, ArgumentRule::None),
    spec("proc.aname", Type::Text, ArgumentRule::Optional(ArgumentKind::Index)),
    spec("evt.arg", Type::Text, ArgumentRule::Required(ArgumentKind::Key)),
    spec("fd.num", Type::Int, ArgumentRule::None),
    spec("fd.sip", Type::Address, ArgumentRule::None),
    spec("fd.snet", Type::Net, ArgumentRule::None),
];

impl Catalog for Fields {
    fn fields(&self) -> &[FieldSpec] {
        &FIELDS
    }
}

fuzz_target!(|bytes: &[u8]| {
    let names = ["a", "b", "c"];
    let sources: Vec<Source> =
        names.iter().zip(bytes.split(|byte| *byte == 0)).map(|(name, text)| Source { name, text }).collect();
    let loaded = load(&sources, &Fields);
    for problem in &loaded.problems {
        let text =
            sources.iter().find(|source| source.name == &*problem.place.file).expect("a file that was given");
        let line = text.text.split(|byte| *byte == b'\n').nth(problem.place.line as usize - 1);
        let line = line.expect("a line of the file");
        assert!(problem.place.column as usize <= line.len() + 1, "{problem}");
        assert!(!problem.message.is_empty());
    }
    for outcome in loaded.rules.run_examples(&Fields).take(100) {
        let _ = outcome.is_right();
    }
    for rule in loaded.rules.rules.iter().take(100) {
        let output = rule.output.resolve(&ExampleEvent::default()).expect("missing values are shown");
        let alert = Alert {
            hostname: "",
            time_ns: 0,
            priority: rule.priority,
            rule: &rule.name,
            source: &rule.source,
            tags: &rule.tags,
            output: &output,
        };
        let json = alert.to_json(TimeFormat::Iso8601);
        assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok(), "{json}");
    }
});
