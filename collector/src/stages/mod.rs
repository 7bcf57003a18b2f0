//! The stages between enrichment and the outputs: each takes a batch of events and passes it on, changed or
//! not at all.
//!
//! # The law of the stages
//!
//! A stage sees an event with its [`Who`](crate::event::Who), ancestors included, and nothing else: no clock,
//! no /proc, no table of processes. So a replay of a recording gives a stage the same input as the live
//! session did, and so does a judge far away. A stage may keep state over events (a window of time), made of
//! events alone. See ADR 15.

pub mod default_rules;
pub mod fields;
pub mod filter;
pub mod judge;
pub mod redact;
pub mod selectors;
mod subject;
#[cfg(test)]
mod tests;
mod types;
pub mod view;

use crate::event::Batch;

/// One stage: a filter gives fewer events, a judge adds to them; `None` drops the whole batch.
pub type Stage = Box<dyn FnMut(Batch) -> Option<Batch> + Send>;

/// The stages of a session, in order.
#[derive(Default)]
pub struct Stages(Vec<Stage>);

impl Stages {
    /// These stages.
    pub fn new(stages: Vec<Stage>) -> Self {
        Self(stages)
    }

    /// Gives each stage a batch without events, so that it makes what it has put off until its first one: in
    /// the thread that passes batches, while programs start.
    pub fn prepare(&mut self) {
        for stage in &mut self.0 {
            drop(stage(Batch::default()));
        }
    }

    /// Passes a batch through every stage. Costs nothing without stages.
    #[inline]
    pub fn pass(&mut self, batch: Batch) -> Option<Batch> {
        self.0.iter_mut().try_fold(batch, |batch, stage| stage(batch))
    }
}

impl std::fmt::Debug for Stages {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} stages", self.0.len())
    }
}
