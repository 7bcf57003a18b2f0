//! A catalog for tests, and events as lists of fields and values.

use std::cell::Cell;
use std::net::IpAddr;

use rules::{
    Answer, Argument, ArgumentKind, ArgumentRule, Catalog, Engine, FieldId, FieldSpec, Macros, Matching,
    Program, Subject, Success, Type, compile, parse_with_depth,
};

const NONE: ArgumentRule = ArgumentRule::None;

const fn spec(name: &'static str, kind: Type, is_list: bool, argument: ArgumentRule) -> FieldSpec {
    FieldSpec { name, kind, is_list, argument, has_suffix: false, help: "" }
}

/// Some fields of each type.
pub static FIELDS: &[FieldSpec] = &[
    spec("evt.type", Type::Text, false, NONE),
    FieldSpec {
        has_suffix: true,
        ..spec("evt.arg", Type::Text, false, ArgumentRule::Required(ArgumentKind::IndexOrKey))
    },
    spec("evt.rawres", Type::Int, false, NONE),
    spec("evt.buffer", Type::Bytes, false, NONE),
    spec("evt.time", Type::Time, false, NONE),
    spec("proc.name", Type::Text, false, NONE),
    spec("proc.pname", Type::Text, false, NONE),
    spec("proc.cmdline", Type::Text, false, NONE),
    spec("proc.pid", Type::Int, false, NONE),
    spec("proc.duration", Type::Duration, false, NONE),
    spec("proc.aname", Type::Text, true, ArgumentRule::Optional(ArgumentKind::Index)),
    spec("proc.env", Type::Text, false, ArgumentRule::Optional(ArgumentKind::Key)),
    spec("proc.arguments", Type::Text, true, NONE),
    spec("fd.name", Type::Text, false, NONE),
    spec("fd.num", Type::Int, false, NONE),
    spec("fd.ip", Type::Address, true, NONE),
    spec("fd.sip", Type::Address, false, NONE),
    spec("fd.net", Type::Net, true, NONE),
    spec("fd.snet", Type::Net, false, NONE),
    spec("fd.port", Type::Port, true, NONE),
    spec("fd.sport", Type::Port, false, NONE),
    spec("user.uid", Type::Uint, false, NONE),
    spec("fd.connected", Type::Bool, false, NONE),
];

/// The catalog of [`FIELDS`].
pub struct Fields;

impl Catalog for Fields {
    fn fields(&self) -> &[FieldSpec] {
        FIELDS
    }

    fn has_event_type(&self, name: &str) -> bool {
        ["open", "openat", "execve", "connect", "close"].contains(&name)
    }
}

/// An event: the fields that it has, with their arguments.
#[derive(Default)]
pub struct Event {
    fields: Vec<(FieldId, Option<Argument>, Answer<'static>)>,
    /// How often a field was asked for.
    pub asked: Cell<usize>,
}

impl Event {
    /// Of lines `field value`, or `field value | value` for several; a value's form is that of the field's
    /// type.
    pub fn new(lines: &str) -> Event {
        let mut event = Event::default();
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(' ').unwrap_or((line, ""));
            event.set(name, value);
        }
        event
    }

    /// Gives it a field of a call that has not returned.
    pub fn presume(&mut self, name: &str, success: Success) {
        let found = rules::field::resolve(&Fields, name, None).unwrap();
        self.fields.push((found.id, None, Answer::Presumed(success)));
    }

    fn set(&mut self, name: &str, value: &str) {
        let (name, argument) = match name.split_once('[') {
            Some((name, argument)) => (name, argument.strip_suffix(']')),
            None => (name, None),
        };
        let found = rules::field::resolve(&Fields, name, argument).unwrap();
        let spec = &FIELDS[usize::from(found.id.0)];
        let one = |text: &str| match spec.kind {
            Type::Text | Type::Bytes => Answer::Text(text.as_bytes().to_vec().into()),
            Type::Int => Answer::Int(text.parse().unwrap()),
            Type::Uint | Type::Port | Type::Time | Type::Duration => Answer::Uint(text.parse().unwrap()),
            Type::Bool => Answer::Bool(text.parse().unwrap()),
            Type::Address | Type::Net => Answer::Address(text.parse::<IpAddr>().unwrap()),
        };
        let answer = if spec.is_list && found.argument.is_none() {
            Answer::List(value.split(" | ").filter(|value| !value.is_empty()).map(one).collect())
        } else {
            one(value)
        };
        self.fields.push((found.id, found.argument, answer));
    }
}

impl Subject for Event {
    fn field(&self, id: FieldId, argument: Option<&Argument>) -> Answer<'_> {
        self.asked.set(self.asked.get() + 1);
        let found = self.fields.iter().find(|(field, key, _)| *field == id && key.as_ref() == argument);
        found.map_or(Answer::Absent, |(.., answer)| answer.clone())
    }
}

/// Compiles a condition that names no macro.
pub fn program(condition: &str) -> Result<Program, String> {
    program_with(condition, &Macros::default())
}

/// Compiles a condition.
pub fn program_with(condition: &str, macros: &Macros) -> Result<Program, String> {
    let expr = parse_with_depth(condition, 1000).map_err(|error| error.to_string())?;
    compile(&expr, macros, &Fields).map_err(|error| error.to_string())
}

/// The rules that an engine says the event matches.
pub fn judged(engine: &mut Engine, event_type: &str, event: &Event) -> Vec<u32> {
    let mut matches = Vec::new();
    engine.judge(engine.event_type(event_type), event, &mut matches);
    matches.iter().map(|found| found.rule).collect()
}

/// What the program and an engine of it alone say, which must be the same.
pub fn holds(condition: &str, event_type: &str, event: &Event) -> bool {
    let program = program(condition).unwrap_or_else(|error| panic!("{condition}: {error}"));
    let alone = program.holds(event);
    let mut engine = Engine::new(vec![program], Matching::All);
    let judged = !judged(&mut engine, event_type, event).is_empty();
    assert_eq!(alone, judged, "{condition}: {engine:?}");
    alone
}
