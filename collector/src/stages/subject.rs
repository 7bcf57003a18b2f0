//! One event as rules ask it: a function of the event, its `Who` and its batch, and of nothing else (ADR 15).

use rules::{Answer, Argument, FieldId, Subject};

use super::fields::FIELDS;
use super::view::View;

impl Subject for View<'_> {
    fn field(&self, id: FieldId, argument: Option<&Argument>) -> Answer<'_> {
        match FIELDS.row(id) {
            Some(row) => row.answer(self, argument),
            None => Answer::Absent,
        }
    }
}
