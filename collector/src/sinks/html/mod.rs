//! `html`: one file that a browser shows without any other: a page, and the events that it reads.
//!
//! ```text
//! page.html: the program, its style and its policy
//! <script type="application/octet-stream" class="events">base64 of gzip of lines
//! </script></body></html>
//! ```
//!
//! Lines are those of `jsonl`; behind an event stand its alerts, and in front and at the end what no event
//! says ([`lines`]). Base64 has no character that ends the element, whatever a program chose as its path.
//! The page stands in front, and reads a stream that ends anywhere: a collector that is killed leaves a
//! file that shows everything up to its last [`Encoder::flush`].
//!
//! Memory: the state of one compressor, and what the carrier has not taken.

mod lines;
mod stream;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use super::carrier;
use super::encoder::{Encoder, Format, RunFacts};
use super::framing::{Found, Framing};
use crate::event::Batch;
use crate::json::JsonWriter;
use stream::Stream;

/// The row of the table.
pub const FORMAT: Format = Format {
    name: "html",
    help: "one file for a browser: alerts, processes over time, files, network, failures, every event",
    framing: Framing::Document,
    reaches: carrier::LOCAL,
    holds: &[],
    shows: &[],
    service: None,
    build: |_| Box::new(Html::default()),
};

/// The page: everything in front of the events. Built from `collector/page` by `cargo xtask page`.
const PAGE: &str = include_str!("page.html");
/// Opens the element of the events.
const OPEN: &str = "<script type=\"application/octet-stream\" class=\"events\">\n";
/// Closes the element that a collector left open that died. A parser of HTML passes over it elsewhere.
const CLOSE_ELEMENT: &str = "\n</script>";
/// Ends the document.
const CLOSE: &str = "\n</script></body></html>\n";

/// Events stay in the compressor for so long at most.
const LONGEST_HELD: Duration = Duration::from_millis(500);
/// Bytes of lines that go to the compressor at once.
const ENOUGH_BYTES: usize = 64 << 10;

/// Writes the document.
#[derive(Debug, Default)]
pub struct Html {
    writer: JsonWriter,
    /// The element that is open.
    stream: Option<Stream>,
    /// Lines that the compressor has not got; empty between calls.
    text: Vec<u8>,
    /// Since when the compressor has held something back.
    holds_since: Option<Instant>,
}

impl Html {
    /// Gives the text to the compressor.
    fn pass(&mut self, out: &mut Vec<u8>) {
        if self.text.is_empty() {
            return;
        }
        // Every output has a beginning, but for tests.
        let stream = self.stream.get_or_insert_with(Stream::default);
        stream.write(&self.text, out);
        self.text.clear();
        self.holds_since.get_or_insert_with(Instant::now);
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        if let Some(stream) = self.stream.take() {
            stream.finish(out);
            out.extend_from_slice(CLOSE.as_bytes());
        }
        self.holds_since = None;
    }
}

impl Encoder for Html {
    fn begin(&mut self, found: Found, out: &mut Vec<u8>) {
        out.extend_from_slice(if found == Found::Fresh { PAGE } else { CLOSE_ELEMENT }.as_bytes());
        out.extend_from_slice(OPEN.as_bytes());
        self.stream = Some(Stream::default());
        lines::begin(found, &mut self.text);
        self.pass(out);
        // Who looks at the page while nothing has happened sees that.
        self.flush(out);
    }

    fn batch(&mut self, batch: &Batch, out: &mut Vec<u8>) {
        let mut alerts = batch.alerts.iter().peekable();
        for (index, event) in batch.events.iter().enumerate() {
            self.writer.write(batch, event, &mut self.text);
            while let Some(alert) = alerts.next_if(|alert| alert.event <= index) {
                lines::alert(batch, alert, &mut self.text);
            }
            if self.text.len() >= ENOUGH_BYTES {
                self.pass(out);
            }
        }
        self.pass(out);
        if self.due_at().is_some_and(|due| due <= Instant::now()) {
            self.flush(out);
        }
    }

    fn due_at(&self) -> Option<Instant> {
        self.holds_since.map(|since| since + LONGEST_HELD)
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        if let (Some(stream), Some(_)) = (&mut self.stream, self.holds_since.take()) {
            stream.flush(out);
        }
    }

    fn part(&mut self, out: &mut Vec<u8>) {
        self.close(out);
    }

    fn end(&mut self, facts: &RunFacts, out: &mut Vec<u8>) {
        lines::end(facts, &mut self.text);
        self.pass(out);
        self.close(out);
    }
}
