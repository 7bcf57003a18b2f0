//! Calls that libc made in processes with hooks, until it is known whether a hook tells of them (ADR 47).

use std::collections::VecDeque;

use rustc_hash::FxHashMap;
use wire::record::Head;

use crate::arrival::Seen;
use crate::ids::{MonoNs, ProcessKey};

/// Calls that wait; more are lost.
const MOST_WAITING: usize = 1 << 16;

/// Processes of which the kernel's word is kept; then it begins anew.
const MOST_SEEN: usize = 1024;

/// Calls whose turn has not come: the hello of their program may not have been read.
#[derive(Debug, Default)]
pub struct InnerCalls {
    waiting: VecDeque<Inner>,
    /// Those whose time has come, but whose processes wrote more than has been read.
    pub held_up: Vec<Inner>,
    /// What the kernel said of their processes, as long as these are not known.
    pub seen: FxHashMap<ProcessKey, Seen>,
    /// All that were made up to this time have come.
    pub come: MonoNs,
    /// All up to this time were let in: where threads were before will not be asked.
    pub until: MonoNs,
}

/// The record of such a call.
#[derive(Debug)]
pub struct Inner {
    /// The process.
    pub process: ProcessKey,
    /// The record's head.
    pub head: Head,
    /// Its payload.
    pub payload: Box<[u8]>,
}

impl InnerCalls {
    /// Takes in a call. Where there is no room for it, gives it back.
    pub fn push(&mut self, inner: Inner) -> Result<(), Inner> {
        if self.waiting.len() + self.held_up.len() >= MOST_WAITING {
            return Err(inner);
        }
        self.waiting.push_back(inner);
        Ok(())
    }

    /// Takes in what the kernel said of a process that makes them.
    pub fn note(&mut self, process: ProcessKey, seen: Seen) {
        if self.seen.len() >= MOST_SEEN {
            self.seen.clear();
        }
        self.seen.insert(process, seen);
    }

    /// Takes out those that were made up to `horizon`, or that there is no room for, in their order.
    pub fn due(&mut self, horizon: MonoNs) -> Vec<Inner> {
        let mut due = std::mem::take(&mut self.held_up);
        while self.waiting.front().is_some_and(|first| MonoNs(first.head.time_ns) <= horizon) {
            due.extend(self.waiting.pop_front());
        }
        due
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.held_up.is_empty()
    }
}
