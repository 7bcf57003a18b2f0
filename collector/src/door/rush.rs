//! Children of known programs that connect one after the other, as from a shell or a build.
//!
//! Each connection would wake the doorman, and the waking costs the connecting program more than the
//! connecting. So in a rush the doorman sleeps for a moment while connections gather. The socket and the ring
//! tell of a process that came and went meanwhile. Only /proc could tell who started it and with which
//! descriptors; its parent has told that, or there is no rush.

use std::time::{Duration, Instant};

use rustc_hash::FxHashSet;

use super::identity::Identity;
use crate::ids::Pid;
use crate::system::kernel;

/// The doorman sleeps so long in a rush; far below the time in which an alert is due.
pub const RUSH_NAP: Duration = Duration::from_millis(2);
/// Two connections within this time are a rush.
const RUSH_GAP: Duration = Duration::from_millis(5);
/// Pids remembered; more are forgotten together, which costs a few wakes.
const MOST_KNOWN: usize = 4096;

/// See the module.
#[derive(Debug)]
pub struct Rush {
    /// Processes that have said hello.
    known: FxHashSet<Pid>,
    /// When children of known programs came last, and before that.
    last: Option<Instant>,
    before: Option<Instant>,
    is_possible: bool,
}

impl Rush {
    /// No rush yet; never one where the kernel does not tell how the reaped ended.
    pub fn new() -> Self {
        let is_possible = kernel::tells_of_the_reaped();
        Self { known: FxHashSet::default(), last: None, before: None, is_possible }
    }

    /// Notes that a process has said hello.
    pub fn note(&mut self, identity: &Identity) {
        if !self.is_possible || !identity.key.is_visible() {
            return;
        }
        if identity.ppid.is_some_and(|ppid| self.known.contains(&ppid)) {
            self.before = self.last.replace(Instant::now());
        }
        if self.known.len() >= MOST_KNOWN {
            self.known.clear();
        }
        self.known.insert(identity.key.pid);
    }

    /// Whether there is a rush.
    pub fn is_on(&self) -> bool {
        let (Some(last), Some(before)) = (self.last, self.before) else { return false };
        last.duration_since(before) < RUSH_GAP && last.elapsed() < RUSH_GAP
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ProcessKey;

    #[test]
    fn two_children_of_known_programs_are_a_rush_and_strangers_or_one_are_none() {
        let identity = |pid, ppid| Identity {
            key: ProcessKey::here(Pid(pid)),
            ppid: Some(Pid(ppid)),
            ..Identity::default()
        };
        let rush = |processes: &[(u32, u32)]| {
            let mut rush = Rush { is_possible: true, ..Rush::new() };
            processes.iter().for_each(|(pid, ppid)| rush.note(&identity(*pid, *ppid)));
            rush.is_on()
        };

        assert!(rush(&[(7, 1), (8, 7), (9, 8)]));
        assert!(!rush(&[(7, 1), (8, 7)]), "one");
        assert!(!rush(&[(7, 1), (8, 1), (9, 1)]), "of a stranger");
        let mut impossible = Rush { is_possible: false, ..Rush::new() };
        [(7, 1), (8, 7), (9, 7)].iter().for_each(|(pid, ppid)| impossible.note(&identity(*pid, *ppid)));
        assert!(!impossible.is_on());
    }
}
