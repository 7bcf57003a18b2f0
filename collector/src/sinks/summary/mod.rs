//! `summary`: gathers what happened while it happens, and says it in a page at the end.
//!
//! Everything on the page comes from events alone, so that a `replay` gives the summary that the run gave.

mod alerts;
mod failures;
mod gathered;
mod network;
mod page;
mod places;
mod slow;
mod table;
#[cfg(test)]
mod tests;
mod tree;

use super::carrier;
use super::encoder::{Encoder, Format, RunFacts};
use super::framing::Framing;
use super::look::Look;
use crate::event::Batch;

pub use gathered::Gathered;

/// The part of a page that the look names, as text; without one, events, losses and cost.
pub fn part(gathered: &Gathered, look: Look) -> String {
    let mut text = Vec::new();
    match look.by {
        Some(_) => page::write(gathered, look, &RunFacts::default(), &mut text),
        None => page::write_ends(gathered, look, &mut text),
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// The row of the table.
pub const FORMAT: Format = Format {
    name: "summary",
    help: "alerts, failures, processes, files, network, losses and cost, at the end",
    framing: Framing::Page,
    reaches: carrier::LOCAL,
    holds: &[],
    shows: &["top", "sort", "color", "by"],
    service: None,
    build: |plan| Box::new(Summary::new(plan.look)),
};

/// Writes one page.
#[derive(Debug)]
pub struct Summary {
    look: Look,
    gathered: Gathered,
}

impl Summary {
    /// An encoder of pages that look so.
    pub fn new(look: Look) -> Self {
        Self { look, gathered: Gathered::default() }
    }
}

impl Encoder for Summary {
    fn batch(&mut self, batch: &Batch, _out: &mut Vec<u8>) {
        self.gathered.take(batch);
    }

    fn end(&mut self, facts: &RunFacts, out: &mut Vec<u8>) {
        if !facts.is_without_command {
            page::write(&self.gathered, self.look, facts, out);
        }
    }
}
