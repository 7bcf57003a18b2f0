//! The engine: judges an event by all rules at once.

use crate::compile::Program;
use crate::field::Subject;

/// How many rules may match an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Matching {
    /// The first one in the order of definition.
    #[default]
    First,
    /// All.
    All,
}

/// A name of an event (`evt.type`), as the engine numbers those that its rules name.
///
/// Only the engine that gave it knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EventType(pub u16);

/// A rule that an event matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match {
    /// The rule's index in the list that the engine was made of.
    pub rule: u32,
}

/// Judges events by rules.
#[derive(Debug)]
pub struct Engine {
    matching: Matching,
    rules: Vec<Program>,
}

impl Engine {
    /// Makes an engine of rules in the order of their definition.
    #[must_use]
    pub fn new(rules: Vec<Program>, matching: Matching) -> Engine {
        Engine { matching, rules }
    }

    /// The number of a type of events by its name. To be asked once for each name, not for each event.
    #[must_use]
    pub fn event_type(&self, _name: &str) -> EventType {
        EventType(0)
    }

    /// Appends the rules that the event matches to `matches`.
    pub fn judge(&mut self, _event_type: EventType, _subject: &dyn Subject, matches: &mut Vec<Match>) {
        let most = if self.matching == Matching::First { 1 } else { self.rules.len() };
        matches.truncate(matches.len().min(most));
    }
}
