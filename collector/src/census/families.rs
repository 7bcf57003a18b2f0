//! Families: processes that were forgotten while others of their ring live.

use std::collections::VecDeque;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::container::Container;
use crate::enrich::process::Process;
use crate::ids::{Pid, RingIndex};

/// Fork children that are remembered for the sake of their children.
const MOST_DEPARTED: usize = 32;

/// Processes that were forgotten while others of their ring live, as they were: their children may have yet
/// to tell.
#[derive(Debug, Default)]
pub struct Families(FxHashMap<RingIndex, Family>);

#[derive(Debug, Default)]
struct Family {
    /// The image that made the ring.
    owner: Option<Process>,
    /// The fork children forgotten last, by their own pid.
    departed: VecDeque<(Pid, Process)>,
}

impl Families {
    /// Keeps the picture of an image that is forgotten.
    pub fn depart(&mut self, ring: RingIndex, own_pid: Pid, is_owner: bool, process: Process) {
        let family = self.0.entry(ring).or_default();
        if is_owner {
            family.owner = Some(process);
            return;
        }
        if family.departed.len() == MOST_DEPARTED {
            family.departed.pop_front();
        }
        family.departed.push_back((own_pid, process));
    }

    /// Forgets a ring's family.
    pub fn forget(&mut self, ring: RingIndex) {
        self.0.remove(&ring);
    }

    /// Takes up that more is known of the container `before`.
    pub fn rename(&mut self, before: &Arc<Container>, after: &Arc<Container>) {
        for family in self.0.values_mut() {
            let departed = family.departed.iter_mut().map(|(_, process)| process);
            departed.chain(&mut family.owner).for_each(|process| process.rename(before, after));
        }
    }

    /// The fork child `own_pid` that was forgotten.
    pub fn departed(&self, ring: RingIndex, own_pid: Pid) -> Option<&Process> {
        let departed = &self.0.get(&ring)?.departed;
        departed.iter().rev().find(|(pid, _)| *pid == own_pid).map(|(_, process)| process)
    }

    /// The image that made the ring, if it was forgotten.
    pub fn owner(&self, ring: RingIndex) -> Option<&Process> {
        self.0.get(&ring)?.owner.as_ref()
    }
}
