//! Alerts: what rules say of events.

use std::sync::Arc;

use rules::file::Priority;
use rules::format::{Format, Resolved};

/// A rule as its alerts show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// How urgent it is.
    pub priority: Priority,
    /// Its tags, in alphabetical order.
    pub tags: Vec<String>,
    /// Where its events come from: `syscall`.
    pub source: String,
}

/// A rule that an event of a batch matches, before its output is written.
#[derive(Clone, Debug)]
pub struct Found {
    /// Index into the batch's events.
    pub event: usize,
    /// The place of the event among those that are judged, from 1.
    pub number: u64,
    /// The rule.
    pub rule: Arc<Rule>,
    /// What it says of an event.
    pub output: Arc<Format>,
}

/// A rule that an event of a batch matches.
#[derive(Clone, Debug)]
pub struct Alert {
    /// Index into the batch's events.
    pub event: usize,
    /// The rule.
    pub rule: Arc<Rule>,
    /// What it says of the event, and the fields that it names.
    pub output: Resolved,
}

impl Alert {
    /// Bytes of memory that it takes, about.
    pub fn size_bytes(&self) -> usize {
        // A field is seldom longer than the message that it stands in.
        size_of::<Self>() + self.output.message.len() * 2
    }
}
