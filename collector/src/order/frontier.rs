//! The frontier: the moments up to which everything was heard, read and delivered.

use crate::ids::MonoNs;

/// The doorman, who may have to wait for the processor, is waited for so long.
const LONGEST_WAIT_NS: u64 = 20_000_000;
/// While there is always something untold, what follows a moment is waited for so long: a fork child's exec
/// is understood with the hello of its program.
const FOLLOWS_NS: u64 = 10_000_000;

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub struct Frontier {
    certain: MonoNs,
    assumed: MonoNs,
    reached: MonoNs,
    delivered: MonoNs,
    border: Option<MonoNs>,
}

impl Frontier {
    /// Looks until when the doorman has told everything, and whether everything that had happened at the call
    /// of `has_told_all`.
    ///
    /// An event is held until every hello that arrived before it has been processed; otherwise a new
    /// process's earlier events come out late.
    pub fn look(&mut self, told_until: impl FnOnce() -> MonoNs, has_told_all: impl FnOnce() -> bool) {
        // The clock first: a hello between the two is later than the time up to which all are known.
        let now = MonoNs::now();
        let (certain, assumed) = match has_told_all() {
            true => (now, now),
            false => {
                let until = told_until();
                (until, until.minus(FOLLOWS_NS))
            }
        };
        self.certain = self.certain.max(certain);
        // Events that are there cannot wait for ever for a doorman who is late.
        self.assumed = self.assumed.max(assumed).max(now.minus(LONGEST_WAIT_NS)).min(self.border());
    }

    /// All hellos and deaths before this time are known: certainly, unlike [`Self::assumed`].
    pub fn certain(&self) -> MonoNs {
        self.certain
    }

    /// All hellos and deaths before this time are known, or have been waited for long enough.
    pub fn assumed(&self) -> MonoNs {
        self.assumed
    }

    /// Everything up to this time was delivered, so far as it was there.
    pub fn reached(&self) -> MonoNs {
        self.reached
    }

    /// Notes that a pass delivered everything up to `horizon`.
    pub fn reach(&mut self, horizon: MonoNs) {
        self.reached = horizon;
    }

    /// The time of the latest event delivered.
    pub fn delivered(&self) -> MonoNs {
        self.delivered
    }

    /// Notes that an event of this time was delivered.
    #[inline]
    pub fn deliver(&mut self, at: MonoNs) {
        self.delivered = self.delivered.max(at);
    }

    /// Events after this time belong to the next request and are held back; [`MonoNs::MAX`] where there is no
    /// border.
    pub fn border(&self) -> MonoNs {
        self.border.unwrap_or(MonoNs::MAX)
    }

    /// Whether events are held back for the next request.
    pub fn has_border(&self) -> bool {
        self.border.is_some()
    }

    /// Holds back events after `border`.
    pub fn hold_from(&mut self, border: MonoNs) {
        self.border = Some(border);
        self.assumed = self.assumed.min(border);
    }

    /// Lets held-back events go on; gives the border that they waited at.
    pub fn release(&mut self) -> Option<MonoNs> {
        self.border.take()
    }

    /// Says that everything is known up to `until`.
    #[cfg(any(test, fuzzing))]
    pub fn set_heard(&mut self, certain: MonoNs, assumed: MonoNs) {
        (self.certain, self.assumed) = (certain, assumed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_later_than_the_look_at_the_doorman_counts_as_known() {
        let mut frontier = Frontier::default();
        let mut looked = MonoNs::ZERO;

        frontier.look(MonoNs::now, || {
            looked = MonoNs::now();
            true
        });

        assert!(frontier.certain() <= looked && frontier.assumed() <= looked, "{frontier:?} {looked:?}");
    }

    #[test]
    fn what_follows_a_moment_is_waited_for_while_something_is_untold() {
        let (mut busy, mut idle) = (Frontier::default(), Frontier::default());

        busy.look(MonoNs::now, || false);
        idle.look(MonoNs::now, || true);

        assert_eq!(FOLLOWS_NS, busy.certain().since(busy.assumed()));
        assert_eq!(0, idle.certain().since(idle.assumed()));
    }

    #[test]
    fn late_doorman_is_waited_for_and_no_border_is_passed() {
        let mut frontier = Frontier::default();
        let before = MonoNs::now();

        frontier.look(|| MonoNs(5), || false);
        let certain = frontier.certain();
        let assumed = frontier.assumed();
        frontier.hold_from(MonoNs(7));
        frontier.look(|| MonoNs(6), || true);

        assert!(before.minus(LONGEST_WAIT_NS) <= assumed && assumed < before, "{assumed:?} {before:?}");
        assert_eq!((MonoNs(5), MonoNs(7)), (certain, frontier.assumed()));
        assert!(frontier.certain() >= before);
    }
}
