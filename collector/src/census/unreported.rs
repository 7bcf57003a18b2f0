//! Losses of an image that are not reported yet.
//!
//! docs/contract.md allows one `sensor.loss` a second for each process and reason, so a loss waits here until
//! the last report is a second old, or the image ends.

use crate::ids::MonoNs;
use crate::loss::LossReason;

/// Losses of an image, by reason.
pub type Losses = Vec<(LossReason, u64)>;

/// Reports of one image are this far apart, at least.
pub const APART_NS: u64 = 1_000_000_000;

/// See the module.
#[derive(Debug, Default)]
pub struct Unreported {
    counts: Losses,
    told_at: MonoNs,
}

impl Unreported {
    /// Adds a loss.
    pub fn add(&mut self, reason: LossReason, count: u64) {
        if count == 0 {
            return;
        }
        match self.counts.iter_mut().find(|(other, _)| *other == reason) {
            Some((_, counted)) => *counted = counted.saturating_add(count),
            None => self.counts.push((reason, count)),
        }
    }

    /// Whether the last report is a second old.
    pub fn is_due(&self, now: MonoNs) -> bool {
        self.told_at == MonoNs::ZERO || now.since(self.told_at) >= APART_NS
    }

    /// Takes the losses out, each reason once, to be reported `now`.
    pub fn take(&mut self, now: MonoNs) -> Losses {
        if !self.counts.is_empty() {
            self.told_at = now;
        }
        std::mem::take(&mut self.counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_add_up_by_reason_and_are_due_once_a_second() {
        let mut unreported = Unreported::default();
        let begin = MonoNs(5_000_000_000);
        unreported.add(LossReason::RingFull, 2);
        unreported.add(LossReason::Oversize, 0);
        unreported.add(LossReason::KilledWriter, 1);
        unreported.add(LossReason::RingFull, 3);

        let first = (unreported.is_due(begin), unreported.take(begin));
        unreported.add(LossReason::RingFull, 7);
        let due = [1, APART_NS - 1, APART_NS].map(|ns| unreported.is_due(begin.plus(ns)));
        let second = unreported.take(begin.plus(APART_NS));

        assert_eq!((true, vec![(LossReason::RingFull, 5), (LossReason::KilledWriter, 1)]), first);
        assert_eq!([false, false, true], due);
        assert_eq!(vec![(LossReason::RingFull, 7)], second);
    }

    #[test]
    fn report_of_nothing_puts_nothing_off() {
        let mut unreported = Unreported::default();

        assert!(unreported.take(MonoNs(5)).is_empty());
        assert!(unreported.is_due(MonoNs(6)));
    }
}
