//! The `human` sink: one line an event.

use super::Sink;
use super::text::Style;
use crate::event::Batch;

/// Writes events for people.
#[derive(Debug)]
pub struct Human {
    _style: Style,
}

impl Human {
    /// A sink in this style.
    pub fn new(style: Style) -> Self {
        Self { _style: style }
    }
}

impl Sink for Human {
    fn batch(&mut self, batch: &Batch, out: &mut Vec<u8>) {
        for event in &batch.events {
            out.extend_from_slice(event.kind.name().as_bytes());
            out.push(b'\n');
        }
    }
}
