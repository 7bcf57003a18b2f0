//! Reads the values of an event by their place, which is looked up once for each field.

use wire::events::Kind;

use crate::event::{Batch, Event, Shape, Value};

/// The places of the fields called `names` among the values of a `kind`.
pub fn places<const N: usize>(kind: Kind, names: [&str; N]) -> [usize; N] {
    names.map(|name| Shape::place(kind, name))
}

/// The last component of a path.
pub fn base(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
}

/// The numbers and texts of one event, by place.
#[derive(Clone, Copy)]
pub struct Fields<'a> {
    batch: &'a Batch,
    values: &'a [Value],
}

impl<'a> Fields<'a> {
    /// Those of `event`, which is in `batch`.
    pub fn of(batch: &'a Batch, event: &Event) -> Self {
        Self { batch, values: batch.values(event) }
    }

    /// Any value.
    pub fn value(self, place: usize) -> Value {
        self.values.get(place).copied().unwrap_or_default()
    }

    /// A number; 0 where the event has none.
    pub fn number(self, place: usize) -> u64 {
        self.number_if(place).unwrap_or(0)
    }

    /// A number that is not negative.
    pub fn number_if(self, place: usize) -> Option<u64> {
        match self.value(place) {
            Value::Uint(number) => Some(number),
            Value::Int(number) => u64::try_from(number).ok(),
            _ => None,
        }
    }

    /// A string, path or word.
    pub fn text(self, place: usize) -> Option<&'a [u8]> {
        self.batch.text(self.value(place))
    }

    /// A constant's name; empty where the event has none.
    pub fn word(self, place: usize) -> &'static str {
        match self.value(place) {
            Value::Word(word) => word,
            _ => "",
        }
    }

    /// Strings, each ended by a NUL; empty where the event has none.
    pub fn list(self, place: usize) -> &'a [u8] {
        match self.value(place) {
            Value::List(span) => self.batch.bytes(span),
            _ => &[],
        }
    }
}
