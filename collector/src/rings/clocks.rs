//! The clocks of a ring's processes: in another time namespace (time_namespaces(7)), CLOCK_MONOTONIC runs
//! ahead of this process's, or behind it. UTC is the same everywhere, so each process notes both at one
//! moment.

use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;

use wire::ring::layout::Slot;

use crate::ids::MonoNs;
use crate::system::clock;
use crate::system::namespaces::{self, Kind};

/// How far the clocks are ahead, nanoseconds.
#[derive(Debug, Default)]
pub struct Clocks {
    /// That of the process that made the ring.
    own: i64,
    /// Those of its children, by slot, where they differ.
    others: Vec<(u8, i64)>,
}

impl Clocks {
    /// Those of a ring that was made by a process with a clock `own` ahead.
    pub fn new(own: i64) -> Self {
        Self { own, others: Vec::new() }
    }

    /// Notes the clock of the process that has taken `slot`, whose words are `words`.
    pub fn note(&mut self, slot: u8, words: &Slot) {
        let ahead = ahead_of_ours(words);
        self.others.retain(|(other, _)| *other != slot);
        if ahead != self.own && slot != 0 {
            self.others.push((slot, ahead));
        }
    }

    /// The moment that a process in `slot` calls `time_ns`. 0 stays 0: the process did not ask.
    #[inline]
    pub fn ours(&self, slot: u8, time_ns: u64) -> u64 {
        if self.own == 0 && self.others.is_empty() || time_ns == 0 {
            return time_ns;
        }
        let other = self.others.iter().find(|(other, _)| *other == slot);
        // Before this machine's clock began is its first moment: only a liar's is.
        time_ns.saturating_add_signed(other.map_or(self.own, |(_, ahead)| *ahead).saturating_neg()).max(1)
    }

    /// When the process in slot 0 made the ring.
    pub fn born(&self, words: &Slot) -> MonoNs {
        MonoNs(self.ours(0, words.born_ns.load(Ordering::Relaxed)))
    }
}

/// How far the clock of the process behind `pidfd`, which has taken a slot, is ahead of this process's: the
/// kernel knows whether it may be. UTC may have been set since the process looked at it.
pub fn ahead_of(words: &Slot, pidfd: Option<&OwnedFd>) -> i64 {
    let ahead = ahead_of_ours(words);
    let namespace = || namespaces::inode_of(pidfd?, Kind::Time);
    let is_ours = ahead != 0 && namespace().is_some_and(|time| Some(time) == namespaces::own(Kind::Time));
    if is_ours { 0 } else { ahead }
}

/// How far the clock of the process that has taken a slot is ahead of this process's, by its own word.
pub fn ahead_of_ours(words: &Slot) -> i64 {
    match words.born_utc_ns.load(Ordering::Relaxed) {
        0 => 0,
        utc_ns => clock::ahead_of_ours(words.born_ns.load(Ordering::Relaxed), utc_ns),
    }
}
