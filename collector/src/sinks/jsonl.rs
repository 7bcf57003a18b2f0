//! `jsonl`: one JSON object a line, see [`crate::json`].

use super::carrier;
use super::carrier::kind::Only;
use super::encoder::{Encoder, Format};
use super::framing::{Found, Framing};
use crate::event::Batch;
use crate::json::JsonWriter;

/// The row of the table.
pub const FORMAT: Format = Format {
    name: "jsonl",
    help: "one JSON object a line",
    framing: Framing::Lines,
    reaches: carrier::LINES,
    holds: &[Only::Events],
    shows: &[],
    service: None,
    build: |_| Box::new(Jsonl::default()),
};

/// Writes events as lines of JSON.
#[derive(Debug, Default)]
pub struct Jsonl {
    writer: JsonWriter,
}

impl Encoder for Jsonl {
    fn begin(&mut self, found: Found, out: &mut Vec<u8>) {
        if found == Found::Torn {
            out.push(b'\n');
        }
    }

    fn batch(&mut self, batch: &Batch, out: &mut Vec<u8>) {
        for event in &batch.events {
            self.writer.write(batch, event, out);
        }
    }
}
