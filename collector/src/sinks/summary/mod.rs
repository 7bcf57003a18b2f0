//! `summary`: gathers what happened while it happens, and says it in a page at the end.
//!
//! Everything on the page comes from events alone, so that a `replay` gives the summary that the run gave.

mod alerts;
mod gathered;
mod network;
mod page;
mod places;
mod table;
#[cfg(test)]
mod tests;
mod tree;

use super::carrier;
use super::encoder::{Encoder, Format, RunFacts};
use super::framing::Framing;
use super::text::Style;
use crate::event::Batch;

use gathered::Gathered;

/// The row of the table.
pub const FORMAT: Format = Format {
    name: "summary",
    help: "alerts, processes, files written, network peers, losses and cost, at the end",
    framing: Framing::Page,
    reaches: carrier::LOCAL,
    holds: &[],
    service: None,
    build: |plan| Box::new(Summary::new(Style::new(plan.is_coloured))),
};

/// Writes one page.
#[derive(Debug)]
pub struct Summary {
    style: Style,
    gathered: Gathered,
}

impl Summary {
    /// An encoder in this style.
    pub fn new(style: Style) -> Self {
        Self { style, gathered: Gathered::default() }
    }
}

impl Encoder for Summary {
    fn batch(&mut self, batch: &Batch, _out: &mut Vec<u8>) {
        self.gathered.take(batch);
    }

    fn end(&mut self, facts: &RunFacts, out: &mut Vec<u8>) {
        if !facts.is_without_command {
            page::write(&self.gathered, self.style, facts, out);
        }
    }
}
