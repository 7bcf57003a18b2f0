//! The `jsonl` sink: one JSON object a line, see [`crate::json`].

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use super::{Sink, reopen};
use crate::event::Batch;
use crate::json::JsonWriter;
use crate::outputs::Opening;

/// Writes events as lines of JSON.
#[derive(Debug)]
pub struct Jsonl {
    writer: JsonWriter,
    /// The collector that wrote before died in the middle of a line.
    is_torn: bool,
}

impl Jsonl {
    /// A sink for what is open as `file`.
    pub fn new(opening: Opening, file: &File) -> Self {
        let is_torn = opening == Opening::Resumed && reopen(file).is_some_and(ends_in_a_line);
        Self { writer: JsonWriter::default(), is_torn }
    }
}

/// Whether something stands after the last line feed.
fn ends_in_a_line(mut file: File) -> bool {
    let mut last = [b'\n'];
    file.seek(SeekFrom::End(-1)).is_ok() && file.read_exact(&mut last).is_ok() && last != [b'\n']
}

impl Sink for Jsonl {
    fn begin(&mut self, out: &mut Vec<u8>) {
        if self.is_torn {
            out.push(b'\n');
        }
    }

    fn batch(&mut self, batch: &Batch, out: &mut Vec<u8>) {
        for event in &batch.events {
            self.writer.write(batch, event, out);
        }
    }
}
