//! Falco's own rule files load.
//!
//! They are not in this repository. They are read from the folder that `GLASSBOX_FALCO_RULES` names, or from
//! `../shared/falco-rules` beside the checkout; without them the test says that it did not run.

mod falco_fields;
mod falco_folder;

use std::collections::{BTreeMap, HashMap};

use falco_fields::FalcoFields;
use falco_folder::{NOT_RUN, folder};
use rules::field::{FieldUse, resolve};
use rules::file::{Rule, Severity, Source, load};
use rules::{
    Answer, Argument, Catalog as _, Check, Engine, EventType, FieldId, Matching, Operand, Subject, Type,
};

const FILES: [(&str, usize); 4] = [
    ("falco_rules.yaml", 25),
    ("falco-incubating_rules.yaml", 31),
    ("falco-sandbox_rules.yaml", 37),
    ("falco-deprecated_rules.yaml", 4),
];

fn read(name: &str) -> Option<Vec<u8>> {
    let folder = folder()?;
    Some(
        std::fs::read(folder.join(name))
            .unwrap_or_else(|why| panic!("{}: {why}", folder.join(name).display())),
    )
}

#[test]
fn each_of_falcos_files_loads_alone() {
    for (name, count) in FILES {
        let Some(text) = read(name) else {
            println!("{NOT_RUN}");
            return;
        };

        let loaded = load(&[Source { name, text: &text }], &FalcoFields::new());

        let severe = loaded.problems.iter().filter(|problem| problem.severity != Severity::Note);
        let severe = severe.filter(|problem| !problem.message.starts_with("'evt.dir' is deprecated"));
        let severe: Vec<String> = severe.map(ToString::to_string).collect();
        assert_eq!(Vec::<String>::new(), severe);
        assert_eq!(count, loaded.rules.rules.len(), "{name}");
    }
}

/// An event of random values.
struct Event(HashMap<FieldUse, Answer<'static>>);

impl Subject for Event {
    fn field(&self, id: FieldId, argument: Option<&Argument>) -> Answer<'_> {
        self.0.get(&FieldUse { id, argument: argument.cloned() }).cloned().unwrap_or(Answer::Absent)
    }
}

/// A small generator of numbers, the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }

    /// A value of this type: often one that a rule knows, or one around it.
    fn value(&mut self, kind: Type, known: &[String]) -> Answer<'static> {
        let known = known.get(self.roll(known.len().max(1))).map_or("x", String::as_str);
        let text = match self.roll(6) {
            0 => format!("{known}x"),
            1 => format!("/etc/{known}"),
            2 => known[..known.len() / 2].to_owned(),
            _ => known.to_owned(),
        };
        let number = known.parse().unwrap_or_else(|_| self.roll(3) as i64);
        match kind {
            Type::Text | Type::Bytes => Answer::Text(text.into_bytes().into()),
            Type::Int => Answer::Int(number),
            Type::Uint | Type::Port | Type::Time | Type::Duration => Answer::Uint(number.unsigned_abs()),
            Type::Bool => Answer::Bool(self.roll(2) == 0),
            Type::Address | Type::Net => {
                let address = known.split('/').next().and_then(|address| address.parse().ok());
                address.map_or(Answer::Absent, Answer::Address)
            }
        }
    }
}

/// The values with which rules compare each field, by its text.
fn known_values(rules: &[Rule], macros: &rules::Macros) -> BTreeMap<String, Vec<String>> {
    let mut known: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut add = |check: &Check| {
        if let Operand::Field(_) = &check.left {
            let values = known.entry(check.left.to_string()).or_default();
            match &check.right {
                Some(Operand::Value(text, _)) => values.push(text.clone()),
                Some(Operand::List(items, _)) => values.extend(items.iter().filter_map(|item| match item {
                    Operand::Value(text, _) => Some(text.clone()),
                    _ => None,
                })),
                _ => (),
            }
        }
    };
    rules.iter().map(|rule| &rule.expr).chain(macros.values()).for_each(|expr| expr.each_check(&mut add));
    known
}

/// The engine orders, shares, and leaves out rules by their gates; a program does none of it.
#[test]
fn an_engine_of_falcos_rules_says_what_each_says_alone() {
    let catalog = FalcoFields::new();
    let mut all: Vec<Rule> = Vec::new();
    let mut known: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, _) in FILES {
        let Some(text) = read(name) else {
            println!("{NOT_RUN}");
            return;
        };
        let loaded = load(&[Source { name, text: &text }], &catalog).rules;
        for (field, values) in known_values(&loaded.rules, &loaded.macros) {
            known.entry(field).or_default().extend(values);
        }
        all.extend(loaded.rules);
    }
    let types = known.remove("evt.type").unwrap();
    let fields: Vec<(FieldUse, Vec<String>)> = known
        .into_iter()
        .map(|(field, values)| {
            let (name, argument) = match field.split_once('[') {
                Some((name, argument)) => (name, Some(argument.trim_end_matches(']').trim_matches('"'))),
                None => (field.as_str(), None),
            };
            (resolve(&catalog, name, argument).unwrap(), values)
        })
        .collect();
    let type_field = resolve(&catalog, "evt.type", None).unwrap();
    let mut engine = Engine::new(all.iter().map(|rule| rule.program.clone()).collect(), Matching::All);
    let mut dice = Dice(11);
    let mut matched = 0;
    for _ in 0..3000 {
        let name = &types[dice.roll(types.len())];
        let mut values =
            HashMap::from([(type_field.clone(), Answer::Text(name.clone().into_bytes().into()))]);
        for (field, known) in &fields {
            let spec = catalog.fields()[usize::from(field.id.0)];
            let count = if spec.is_list && field.argument.is_none() { dice.roll(4) } else { 1 };
            let value = match (dice.roll(8), count) {
                (0, _) => continue,
                (_, 1) => dice.value(spec.kind, known),
                _ => Answer::List((0..count).map(|_| dice.value(spec.kind, known)).collect()),
            };
            values.insert(field.clone(), value);
        }
        let event = Event(values);
        let expected: Vec<u32> = (0_u32..)
            .zip(&all)
            .filter(|(_, rule)| rule.program.holds(&event))
            .map(|(index, _)| index)
            .collect();

        let mut found = Vec::new();
        let number: EventType = engine.event_type(name);
        engine.judge(number, &event, &mut found);

        matched += expected.len();
        let found: Vec<u32> = found.iter().map(|found| found.rule).collect();
        assert_eq!(expected, found, "{name}: {:?}", event.0);
    }
    assert!(matched > 300, "{matched}");
}
