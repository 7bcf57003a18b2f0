//! Examples that stand beside a rule: events as values of fields, and whether the rule fires.
//!
//! `glassbox rules test` runs them, so that a rule shows what it is for and stays right when it is changed.

use std::collections::HashMap;

use crate::compile::Program;
use crate::engine::{Engine, Matching};
use crate::field::{Answer, Argument, Catalog, FieldId, FieldUse, Subject};
use crate::problem::Place;
use crate::window::{Window, Windows};

/// An example of a rule.
#[derive(Clone, Debug)]
pub struct Example {
    /// Where it stands.
    pub place: Place,
    /// What it shows, if it says so.
    pub name: Option<String>,
    /// Whether the rule fires at one of the events.
    pub fires: bool,
    /// In the order of time; at least one.
    pub events: Vec<ExampleEvent>,
}

/// An event of an example.
#[derive(Clone, Debug)]
pub struct ExampleEvent {
    /// The time since the event before, in nanoseconds.
    pub after_ns: u64,
    /// How many times it happens, one `after_ns` apart; from 1 to [`MOST_TIMES`].
    pub times: u32,
    values: HashMap<FieldId, Vec<(Option<Argument>, Answer<'static>)>>,
}

/// The most repetitions of an event.
pub const MOST_TIMES: u32 = 10_000;

impl Default for ExampleEvent {
    fn default() -> Self {
        Self { after_ns: 0, times: 1, values: HashMap::new() }
    }
}

impl ExampleEvent {
    /// Sets the value of a field.
    pub fn set(&mut self, field: FieldUse, value: Answer<'static>) {
        let values = self.values.entry(field.id).or_default();
        values.retain(|(argument, _)| *argument != field.argument);
        values.push((field.argument, value));
    }
}

impl Subject for ExampleEvent {
    fn field(&self, id: FieldId, argument: Option<&Argument>) -> Answer<'_> {
        let values = self.values.get(&id).map(Vec::as_slice).unwrap_or_default();
        let found = values.iter().find(|(other, _)| other.as_ref() == argument);
        found.map_or(Answer::Absent, |(_, value)| value.clone())
    }
}

/// Whether a single rule, with its window, fires at an example.
#[must_use]
pub fn fires(program: &Program, window: Option<&Window>, example: &Example, catalog: &dyn Catalog) -> bool {
    let mut engine = Engine::new(vec![program.clone()], Matching::All);
    let event_type = catalog.find("evt.type");
    let mut windows = Windows::new([window.cloned()]);
    let mut matches = Vec::new();
    let mut time_ns = 0_u64;
    let mut fired = false;
    for event in &example.events {
        let name = match event_type.map(|id| event.field(id, None)) {
            Some(Answer::Text(name)) => String::from_utf8_lossy(&name).into_owned(),
            _ => String::new(),
        };
        let number = engine.event_type(&name);
        for _ in 0..event.times {
            time_ns = time_ns.saturating_add(event.after_ns);
            matches.clear();
            engine.judge(number, event, &mut matches);
            fired |= !matches.is_empty() && windows.admit(0, time_ns, event);
        }
    }
    fired
}
