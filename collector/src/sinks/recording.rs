//! The `recording` sink, and the reader that `replay` uses.

use std::fs::File;

use super::Sink;
use crate::event::Batch;
use crate::outputs::{Destination, Opening};

/// Writes a recording.
#[derive(Debug)]
pub struct Recording {}

impl Recording {
    /// A sink for `destination`, which is open as `file`.
    pub fn new(_destination: &Destination, _opening: Opening, _file: &File) -> Self {
        Self {}
    }
}

impl Sink for Recording {
    fn batch(&mut self, _batch: &Batch, _out: &mut Vec<u8>) {}
}
