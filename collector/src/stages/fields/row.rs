//! A row of the table of fields.

use rules::{Answer, Argument, ArgumentKind, ArgumentRule, FieldSpec, Success, Type};

use super::super::view::View;
use crate::event::Asks;

/// Gives a field's value for an event.
pub type From = for<'a> fn(&View<'a>, Option<&Argument>) -> Answer<'a>;

/// Gives the values that a call which succeeds can have; `None` for an event that has no such field.
pub type Presumes = fn(&View<'_>) -> Option<Success>;

/// A field: what it is, where its value comes from, and how far that goes.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Name, type and meaning.
    pub spec: FieldSpec,
    /// Where the value comes from, in words.
    pub source: &'static str,
    /// When it has no value, or another one than Falco's; empty where there is nothing to say.
    pub limits: &'static str,
    /// Its value for an event.
    pub from: From,
    /// Its value for an event of a call that has not returned ([`View::is_unfinished`]), in place of none.
    pub presumes: Option<Presumes>,
    /// What it asks of a process beyond its identity, which is read only where it is asked.
    pub asks: Asks,
}

impl Field {
    /// A field of one value, without an argument.
    pub const fn new(
        name: &'static str,
        kind: Type,
        from: From,
        help: &'static str,
        source: &'static str,
    ) -> Self {
        let (is_list, has_suffix, argument) = (false, false, ArgumentRule::None);
        let spec = FieldSpec { name, kind, is_list, argument, has_suffix, help };
        Self { spec, source, limits: "", from, presumes: None, asks: Asks::NONE }
    }

    /// The same with several values.
    pub const fn list(mut self) -> Self {
        self.spec.is_list = true;
        self
    }

    /// The same with a number in brackets that may be left out; then it has several values.
    pub const fn indexed(mut self) -> Self {
        self.spec.argument = ArgumentRule::Optional(ArgumentKind::Index);
        self.list()
    }

    /// The same with a name in brackets that may be left out.
    pub const fn keyed(mut self) -> Self {
        self.spec.argument = ArgumentRule::Optional(ArgumentKind::Key);
        self
    }

    /// The same with a name behind a dot, or in brackets.
    pub const fn suffixed(mut self) -> Self {
        self.spec.argument = ArgumentRule::Required(ArgumentKind::Key);
        self.spec.has_suffix = true;
        self
    }

    /// The same of what the kernel says beyond a process's identity.
    pub const fn background(self) -> Self {
        self.asking(Asks::BACKGROUND)
    }

    /// The same of ancestors, which need not have the sensor.
    pub const fn of_ancestors(self) -> Self {
        self.asking(Asks::ANCESTORS)
    }

    /// The same of the container around a process.
    pub const fn of_surroundings(self) -> Self {
        self.asking(Asks::SURROUNDINGS)
    }

    /// The same, where a check of a call that has not returned takes it for one that succeeds.
    pub const fn presuming(mut self, presumes: Presumes) -> Self {
        self.presumes = Some(presumes);
        self
    }

    /// Its value for an event.
    pub fn answer<'a>(&self, view: &View<'a>, argument: Option<&Argument>) -> Answer<'a> {
        match ((self.from)(view, argument), self.presumes) {
            (Answer::Absent, Some(presumes)) if view.is_unfinished() => {
                presumes(view).map_or(Answer::Absent, Answer::Presumed)
            }
            (answer, _) => answer,
        }
    }

    const fn asking(mut self, asks: Asks) -> Self {
        self.asks = self.asks.and(asks);
        self
    }

    /// The same, limited so.
    pub const fn limits(mut self, limits: &'static str) -> Self {
        self.limits = limits;
        self
    }
}
