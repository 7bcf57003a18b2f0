//! A condition behind the conditions of macros `m0`, `m1`, …, each on a line of its own: read, written back,
//! compiled, asked about events, and explained.
#![no_main]

#[path = "shared/spec.rs"]
mod spec;

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};

use libfuzzer_sys::fuzz_target;
use rules::parser::FILE_DEPTH;
use rules::{
    Answer, Argument, ArgumentKind, ArgumentRule, Catalog, Engine, FieldId, FieldSpec, Macros, Matching,
    Program, Subject, Type, compile, parse, parse_with_depth,
};

use spec::spec;

struct Fields;

const FIELDS: [FieldSpec; 12] = [
    spec("evt.type", Type::Text, ArgumentRule::None),
    spec("proc.name", Type::Text, ArgumentRule::None),
    spec("proc.aname", Type::Text, ArgumentRule::Optional(ArgumentKind::Index)),
    spec("evt.arg", Type::Text, ArgumentRule::Required(ArgumentKind::IndexOrKey)),
    spec("evt.buffer", Type::Bytes, ArgumentRule::None),
    spec("fd.num", Type::Int, ArgumentRule::None),
    spec("user.uid", Type::Uint, ArgumentRule::None),
    spec("fd.connected", Type::Bool, ArgumentRule::None),
    spec("fd.sip", Type::Address, ArgumentRule::None),
    spec("fd.snet", Type::Net, ArgumentRule::None),
    spec("fd.sport", Type::Port, ArgumentRule::None),
    spec("evt.time", Type::Time, ArgumentRule::None),
];

impl Catalog for Fields {
    fn fields(&self) -> &[FieldSpec] {
        &FIELDS
    }
}

/// Answers by the field's type, or not at all.
struct Event(&'static str, bool);

impl Subject for Event {
    fn field(&self, id: FieldId, argument: Option<&Argument>) -> Answer<'_> {
        let spec = &FIELDS[usize::from(id.0)];
        if spec.name == "evt.type" && self.0.is_empty() {
            return Answer::Absent;
        }
        if spec.name == "evt.type" {
            return Answer::Text(Cow::Borrowed(self.0.as_bytes()));
        }
        if !self.1 {
            return Answer::Absent;
        }
        let text = |text: &'static [u8]| Answer::Text(Cow::Borrowed(text));
        match spec.kind {
            Type::Text if spec.is_list && argument.is_none() => {
                Answer::List(vec![text(b"a"), text(b"bc"), text(b"-x")])
            }
            Type::Text => text(b"/etc/passwd"),
            Type::Bytes => text(b"MZ\0\xff"),
            Type::Int => Answer::Int(-1),
            Type::Bool => Answer::Bool(true),
            Type::Address | Type::Net => Answer::Address(IpAddr::V4(Ipv4Addr::new(10, 1, 2, 3))),
            Type::Uint | Type::Port | Type::Time | Type::Duration => Answer::Uint(443),
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (before, condition) = text.rsplit_once('\n').unwrap_or(("", text));
    let mut macros = Macros::new();
    for (index, line) in before.split('\n').enumerate() {
        if let Ok(expr) = parse(line) {
            macros.insert(format!("m{index}"), expr);
        }
    }
    let expr = match parse(condition) {
        Ok(expr) => expr,
        Err(error) => {
            assert!(condition.is_char_boundary(error.at), "{error}");
            return;
        }
    };
    let written = expr.to_string();
    let again = parse_with_depth(&written, FILE_DEPTH).unwrap_or_else(|error| panic!("{written:?}: {error}"));
    assert_eq!(written, again.to_string());
    let program = match compile(&expr, &macros, &Fields) {
        Ok(program) => program,
        Err(error) => {
            assert!(error.within.is_some() || condition.is_char_boundary(error.at), "{error}");
            return;
        }
    };
    check(&program);
});

/// The engine says what the program says, and so does the explanation.
fn check(program: &Program) {
    let mut engine = Engine::new(vec![program.clone()], Matching::All);
    for (name, has_values) in [("open", true), ("open", false), ("close", true), ("", true)] {
        let event = Event(name, has_values);
        let mut matches = Vec::new();
        engine.judge(engine.event_type(name), &event, &mut matches);
        let holds = program.holds(&event);
        assert_eq!(holds, matches.len() == 1);
        assert!(!holds || program.event_types().may_be(name));
        assert_eq!(Some(holds), program.explain(&event).first().map(|step| step.holds));
    }
}
