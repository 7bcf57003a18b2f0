//! Offsets in the texts of the files, and what line and column they are.

use std::collections::HashSet;
use std::sync::Arc;

use crate::names::did_you_mean;
use crate::problem::{Place, Problem, Severity};

/// A byte of a file, by the file's number and the byte's offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Spot {
    pub file: u32,
    pub at: u32,
}

/// A text, with the offset of each line.
pub(super) struct Lines<'t> {
    name: Arc<str>,
    text: &'t str,
    starts: Vec<u32>,
}

impl<'t> Lines<'t> {
    /// `text` is shorter than 4 GiB; see [`super::LONGEST`].
    pub fn new(name: &str, text: &'t str) -> Self {
        let behind = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        let starts = [0].into_iter().chain(behind).map(|at| u32::try_from(at).unwrap_or(u32::MAX)).collect();
        Self { name: name.into(), text, starts }
    }

    fn place(&self, at: u32) -> Place {
        let line = self.starts.partition_point(|start| *start <= at).max(1);
        let start = self.starts.get(line - 1).copied().unwrap_or(0) as usize;
        let before = self.text.as_bytes().get(start..at as usize).unwrap_or_default();
        // A byte that continues a character begins with the bits 10.
        let column = before.iter().filter(|byte| **byte & 0xc0 != 0x80).count() + 1;
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Place { file: Arc::clone(&self.name), line: number(line), column: number(column) }
    }
}

/// The problems that were found so far, each once, and the files that they stand in.
pub(super) struct Report<'t> {
    files: Vec<Lines<'t>>,
    found: HashSet<(Spot, Severity, String)>,
    /// How many of them are no notes.
    severe: usize,
    notes: usize,
}

/// A message without control characters, which a file may have to forge what a terminal shows.
fn printable(message: String) -> String {
    if !message.contains(char::is_control) {
        return message;
    }
    let shown = |character: char| match character.is_control() {
        true => character.escape_default().to_string(),
        false => character.to_string(),
    };
    message.chars().map(shown).collect()
}

/// The most problems that are looked for.
const MOST: usize = 1000;

/// The most known names that an unknown one is compared with.
const NAMES: usize = 4096;

impl<'t> Report<'t> {
    pub fn new(files: Vec<Lines<'t>>) -> Self {
        Self { files, found: HashSet::new(), severe: 0, notes: 0 }
    }

    /// Whether so much is wrong that the rest need not be looked at.
    pub fn is_full(&self) -> bool {
        self.severe >= MOST
    }

    /// The end of a message about an unknown name.
    pub fn hint<'k>(&self, name: &str, known: impl IntoIterator<Item = &'k str>) -> String {
        if self.is_full() { String::new() } else { did_you_mean(name, known.into_iter().take(NAMES)) }
    }

    pub fn error(&mut self, spot: Spot, message: impl Into<String>) {
        self.add(spot, Severity::Error, message.into());
    }

    pub fn warning(&mut self, spot: Spot, message: impl Into<String>) {
        self.add(spot, Severity::Warning, message.into());
    }

    pub fn note(&mut self, spot: Spot, message: impl Into<String>) {
        self.add(spot, Severity::Note, message.into());
    }

    fn add(&mut self, spot: Spot, severity: Severity, message: String) {
        let message = printable(message);
        let count = if severity == Severity::Note { &mut self.notes } else { &mut self.severe };
        if *count < MOST && self.found.insert((spot, severity, message)) {
            *count += 1;
        }
    }

    pub fn has_errors(&self) -> bool {
        self.found.iter().any(|(_, severity, _)| *severity == Severity::Error)
    }

    pub fn place(&self, spot: Spot) -> Place {
        match self.files.get(spot.file as usize) {
            Some(lines) => lines.place(spot.at),
            None => Place { file: "".into(), line: 1, column: 1 },
        }
    }

    /// All problems in the order of the files' texts.
    pub fn finish(mut self) -> Vec<Problem> {
        let is_full = self.is_full();
        let mut found: Vec<_> = self.found.drain().collect();
        found.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)).then_with(|| a.2.cmp(&b.2)));
        let last = found.last().map(|(spot, ..)| *spot);
        let problem = |(spot, severity, message)| Problem { place: self.place(spot), severity, message };
        let mut problems: Vec<Problem> = found.into_iter().map(problem).collect();
        if let Some(spot) = last.filter(|_| is_full) {
            let message = "so much is wrong that the rest was not looked at".to_owned();
            problems.push(Problem { place: self.place(spot), severity: Severity::Error, message });
        }
        problems
    }
}
