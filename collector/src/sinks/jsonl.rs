//! The `jsonl` sink: one JSON object a line, see [`crate::json`].

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use super::Sink;
use crate::event::Batch;
use crate::json::JsonWriter;
use crate::outputs::{Destination, Opening};

/// Writes events as lines of JSON.
#[derive(Debug)]
pub struct Jsonl {
    writer: JsonWriter,
    /// The collector that wrote before died in the middle of a line.
    is_torn: bool,
}

impl Jsonl {
    /// A sink for `destination`, which is open already.
    pub fn new(destination: &Destination, opening: Opening) -> Self {
        let is_torn = match (destination, opening) {
            (Destination::File(path), Opening::Resumed) => File::open(path).is_ok_and(ends_in_a_line),
            _ => false,
        };
        Self { writer: JsonWriter::default(), is_torn }
    }
}

/// Whether something stands after the last line feed. False for what cannot be looked into, such as a pipe.
fn ends_in_a_line(mut file: File) -> bool {
    let mut last = [b'\n'];
    file.metadata().is_ok_and(|metadata| metadata.is_file())
        && file.seek(SeekFrom::End(-1)).is_ok()
        && file.read_exact(&mut last).is_ok()
        && last != [b'\n']
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
