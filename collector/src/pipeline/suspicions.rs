//! Evidence of evasion that waits for its turn.

use std::collections::VecDeque;

use crate::evasion::Evidence;
use crate::ids::{ImageId, MonoNs, ProcessKey};

/// Evidence that waits; what comes beyond is told out of its turn.
const MOST_WAITING: usize = 1024;

/// Evidence whose turn has not come: the hello of its process may not have been read, nor its start.
#[derive(Debug, Default)]
pub struct Suspicions(VecDeque<Suspicion>);

/// Evidence against a process.
#[derive(Debug)]
pub struct Suspicion {
    /// The process.
    pub process: ProcessKey,
    /// When it happened, or was found.
    pub at: MonoNs,
    /// What it is.
    pub evidence: Evidence,
    /// Of what a look found: the image that was looked at, and what runs in its place.
    pub looked_at: Option<(ImageId, Option<Instead>)>,
}

/// Why the sensor is not in the program that runs in an image's place, and its arguments.
pub type Instead = (&'static str, Vec<u8>);

impl Suspicions {
    /// Takes in what was found of a process.
    pub fn push(&mut self, suspicion: Suspicion) {
        self.0.push_back(suspicion);
    }

    /// Takes out the first that happened up to `horizon`, or that there is no more room for.
    pub fn due(&mut self, horizon: MonoNs) -> Option<Suspicion> {
        let is_full = self.0.len() > MOST_WAITING;
        let is_due = self.0.front().is_some_and(|first| is_full || first.at <= horizon);
        is_due.then(|| self.0.pop_front()).flatten()
    }

    /// Takes out the first of a process that happened up to `until`.
    pub fn of(&mut self, process: ProcessKey, until: MonoNs) -> Option<Suspicion> {
        let place = self.0.iter().position(|one| one.process == process && one.at <= until)?;
        self.0.remove(place)
    }
}
