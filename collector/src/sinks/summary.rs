//! The `summary` sink: what a run did, at its end.

use super::Sink;
use super::text::Style;
use crate::event::Batch;

/// Gathers what a run did.
#[derive(Debug)]
pub struct Summary {
    _style: Style,
}

impl Summary {
    /// A sink in this style.
    pub fn new(style: Style) -> Self {
        Self { _style: style }
    }
}

impl Sink for Summary {
    fn batch(&mut self, _batch: &Batch, _out: &mut Vec<u8>) {}
}
