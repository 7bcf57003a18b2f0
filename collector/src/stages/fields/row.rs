//! A row of the table of fields.

use rules::{Answer, Argument, ArgumentKind, ArgumentRule, FieldSpec, Type};

use super::super::view::View;
use crate::event::Asks;

/// Gives a field's value for an event.
pub type From = for<'a> fn(&View<'a>, Option<&Argument>) -> Answer<'a>;

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
        Self { spec, source, limits: "", from, asks: Asks::NONE }
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
