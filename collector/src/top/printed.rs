//! What a program prints while a view stands in front of it.

use std::io::{self, Write};

/// Bytes of what the program prints that are kept while the view stands in front of them.
const MOST_PRINTED: usize = 16 << 20;

/// What a program printed while it was watched.
#[derive(Debug, Default)]
pub struct Printed {
    kept: Vec<u8>,
    /// Bytes that there was no room for.
    dropped: u64,
    /// The view is left: what comes goes to stdout.
    is_shown: bool,
}

impl Printed {
    /// The last lines, as a terminal may show them.
    pub fn last_lines(&self, most: usize) -> Vec<String> {
        let text = self.kept.strip_suffix(b"\n").unwrap_or(&self.kept);
        let lines = text.rsplit(|byte| *byte == b'\n').take(most).filter(|_| !self.kept.is_empty());
        let shown = lines.map(|line| deploy::visible::visible(&String::from_utf8_lossy(line)).into_owned());
        let mut lines: Vec<String> = shown.collect();
        lines.reverse();
        lines
    }

    /// Keeps bytes, or prints them.
    pub fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.is_shown {
            let mut stdout = io::stdout().lock();
            return stdout.write_all(bytes).and_then(|()| stdout.flush());
        }
        let room = MOST_PRINTED.saturating_sub(self.kept.len()).min(bytes.len());
        self.kept.extend_from_slice(&bytes[..room]);
        self.dropped += (bytes.len() - room) as u64;
        Ok(())
    }

    /// Prints what is kept; what follows is printed as it comes.
    pub fn show(&mut self) -> io::Result<()> {
        self.is_shown = true;
        let mut stdout = io::stdout().lock();
        stdout.write_all(&std::mem::take(&mut self.kept))?;
        if self.dropped > 0 {
            writeln!(stdout, "glassbox: {} bytes of output are not shown", self.dropped)?;
        }
        stdout.flush()
    }
}
