//! The heartbeats of the collector's threads, by which `glassbox health` knows of one that stands still.
//!
//! A thread says when it begins a piece of work and when it rests. A piece that takes long is a thread that
//! stands still: nothing that the collector does by itself takes more than moments, and an output that is
//! waited for that long loses events.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use crate::ids::MonoNs;

/// One piece of work that takes longer than this is none.
const STUCK_NS: u64 = 5_000_000_000;

/// The heartbeat of one thread.
#[derive(Debug)]
pub struct Pulse {
    name: String,
    /// When it began its present piece of work; 0 while it rests.
    since: AtomicU64,
}

impl Pulse {
    /// Says that a piece of work begins.
    #[inline]
    pub fn begin(&self, now: MonoNs) {
        // Relaxed: a time by itself.
        self.since.store(now.0.max(1), Ordering::Relaxed);
    }

    /// Says that there is nothing to do.
    #[inline]
    pub fn rest(&self) {
        self.since.store(0, Ordering::Relaxed);
    }
}

/// The heartbeats of a session.
#[derive(Debug, Default)]
pub struct Pulses(Mutex<Vec<Weak<Pulse>>>);

impl Pulses {
    /// A heartbeat for a thread, which rests. It is forgotten once the thread drops it.
    pub fn add(&self, name: impl Into<String>) -> Arc<Pulse> {
        let pulse = Arc::new(Pulse { name: name.into(), since: AtomicU64::new(0) });
        let mut pulses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pulses.retain(|other| other.strong_count() > 0);
        pulses.push(Arc::downgrade(&pulse));
        pulse
    }

    /// The thread that has stood still for the longest time, and for how long; `None` where none has.
    pub fn stuck(&self, now: MonoNs) -> Option<(String, Duration)> {
        let pulses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let busy = pulses.iter().filter_map(Weak::upgrade).filter_map(|pulse| {
            let since = MonoNs(pulse.since.load(Ordering::Relaxed));
            (since != MonoNs::ZERO).then(|| (now.since(since), pulse))
        });
        let (ns, pulse) = busy.max_by_key(|(ns, _)| *ns).filter(|(ns, _)| *ns >= STUCK_NS)?;
        Some((pulse.name.clone(), Duration::from_nanos(ns)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thread_that_works_for_long_is_told_and_one_that_rests_or_is_gone_is_not() {
        let pulses = Pulses::default();
        let (one, other, gone) = (pulses.add("one"), pulses.add("other"), pulses.add("gone"));
        let at = |seconds: u64| MonoNs(seconds * 1_000_000_000);
        [&one, &gone].iter().for_each(|pulse| pulse.begin(at(1)));
        other.begin(at(2));
        drop(gone);

        let early = pulses.stuck(at(5));
        let late = pulses.stuck(at(8));
        one.rest();
        let rested = pulses.stuck(at(8));

        assert_eq!((None, Some(("one".to_owned(), Duration::from_secs(7)))), (early, late));
        assert_eq!(Some(("other".to_owned(), Duration::from_secs(6))), rested);
    }
}
