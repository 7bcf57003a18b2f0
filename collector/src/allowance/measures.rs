//! What is measured of an account: amounts in a second, and the mean cost of a call.
//!
//! Relaxed throughout: one thread adds, and the numbers order nothing else.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::ids::MonoNs;

/// An amount that is spent within a second, and begins anew with the next.
#[derive(Debug, Default)]
pub struct PerSecond {
    second: AtomicU64,
    spent: AtomicU64,
    /// What was spent in the second before.
    before: AtomicU64,
}

impl PerSecond {
    /// What was spent in the second of `now`.
    pub fn spent(&self, now: MonoNs) -> u64 {
        match self.second.load(Ordering::Relaxed) == now.0 / 1_000_000_000 {
            true => self.spent.load(Ordering::Relaxed),
            false => 0,
        }
    }

    /// What was spent in the second of `now`, and in the one before.
    pub fn lately(&self, now: MonoNs) -> u64 {
        match (now.0 / 1_000_000_000).checked_sub(self.second.load(Ordering::Relaxed)) {
            Some(0) => self.spent(now).saturating_add(self.before.load(Ordering::Relaxed)),
            Some(1) => self.spent.load(Ordering::Relaxed),
            _ => 0,
        }
    }

    /// What was spent in the second of `now`, or in the one before where that was more.
    pub fn most_lately(&self, now: MonoNs) -> u64 {
        let spent = self.spent(now);
        spent.max(self.lately(now) - spent)
    }

    /// Spends some more.
    pub fn spend(&self, now: MonoNs, more: u64) {
        let second = now.0 / 1_000_000_000;
        if self.second.load(Ordering::Relaxed) != second {
            let before = self.lately(now);
            self.before.store(before, Ordering::Relaxed);
        }
        let spent = self.spent(now).saturating_add(more);
        self.second.store(second, Ordering::Relaxed);
        self.spent.store(spent, Ordering::Relaxed);
    }
}

/// The mean cost of a call, over the processes of an owner; stands in where no call of a process was sampled.
/// The numbers are what programs, perhaps hostile ones, wrote, so no other owner's count.
#[derive(Debug, Default)]
pub struct MeanCost {
    ns: AtomicU64,
    samples: AtomicU64,
}

impl MeanCost {
    /// Adds a process's samples, and gives the cost of `calls` calls.
    pub fn estimate(&self, (ns, samples): (u64, u64), calls: u64) -> u64 {
        let scaled = |ns: u64, samples: u64| {
            (u128::from(ns) * u128::from(calls) / u128::from(samples)).min(u128::from(u64::MAX)) as u64
        };
        let before = (self.ns.load(Ordering::Relaxed), self.samples.load(Ordering::Relaxed));
        // A call that took a second is none.
        if samples > 0 && ns / samples < 1_000_000_000 {
            self.ns.store(before.0.saturating_add(ns), Ordering::Relaxed);
            self.samples.store(before.1.saturating_add(samples), Ordering::Relaxed);
            return scaled(ns, samples);
        }
        if before.1 == 0 { 0 } else { scaled(before.0, before.1) }
    }
}
