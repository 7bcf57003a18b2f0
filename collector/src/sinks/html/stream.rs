//! A stream of gzip in base64, which can be cut anywhere.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;

/// Columns of a line: a multiple of four, so that each line is whole by itself.
const LINE: usize = 4096;

/// Compresses lines, and writes them as base64.
#[derive(Debug)]
pub struct Stream {
    gzip: GzEncoder<Vec<u8>>,
    /// Characters in the line that is open.
    column: usize,
}

impl Default for Stream {
    fn default() -> Self {
        // Lines repeat each other: the fast level makes them a twelfth, the next ones little less.
        Self { gzip: GzEncoder::new(Vec::new(), Compression::fast()), column: 0 }
    }
}

impl Stream {
    /// Takes text in. What the compressor has ready goes out.
    pub fn write(&mut self, text: &[u8], out: &mut Vec<u8>) {
        // A vector takes everything.
        let _ = self.gzip.write_all(text);
        self.pass(out);
    }

    /// Lets everything out that was taken in: a reader of what was written so far has it all. Two bytes may
    /// stay, which are the end of an empty block.
    pub fn flush(&mut self, out: &mut Vec<u8>) {
        let _ = self.gzip.flush();
        self.pass(out);
    }

    /// Ends the stream, with its checksum.
    pub fn finish(self, out: &mut Vec<u8>) {
        let Self { gzip, mut column } = self;
        encode(&gzip.finish().unwrap_or_default(), &mut column, out);
    }

    /// Bytes that wait for their group to be whole.
    #[cfg(test)]
    pub fn held_bytes(&self) -> usize {
        self.gzip.get_ref().capacity()
    }

    /// Writes the groups of three bytes that are there.
    fn pass(&mut self, out: &mut Vec<u8>) {
        let ready = self.gzip.get_mut();
        let rest = ready.split_off(ready.len() - ready.len() % 3);
        encode(ready, &mut self.column, out);
        *ready = rest;
    }
}

/// Appends base64, in lines.
fn encode(mut bytes: &[u8], column: &mut usize, out: &mut Vec<u8>) {
    let mut buffer = [0; LINE];
    while !bytes.is_empty() {
        let room = (LINE - *column) / 4 * 3;
        let (now, later) = bytes.split_at(room.min(bytes.len()));
        // Four characters for each group fit in the line.
        let written = STANDARD.encode_slice(now, &mut buffer).unwrap_or_default();
        out.extend_from_slice(buffer.get(..written).unwrap_or_default());
        *column += written;
        if *column >= LINE {
            out.push(b'\n');
            *column = 0;
        }
        bytes = later;
    }
}
