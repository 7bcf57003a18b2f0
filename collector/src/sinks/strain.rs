//! The reason why an output loses events at its queue: how its thread spent the time meanwhile.
//!
//! The thread adds up what it [`Spent`]. The deliverer measures the stretches in which the queue was more
//! than half full and events were lost ([`Strain`]). Their sum ([`Lossy`]) tells whether the destination, the
//! encoder, the machine or a burst was the [`Cause`].

use std::sync::atomic::{AtomicU64, Ordering};

use crate::ids::MonoNs;
use crate::system::clock::thread_time_ns;

/// Less time with losses than this is a burst, where neither the destination nor the machine held the thread
/// up.
const BURST_NS: u64 = 1_000_000_000;

/// What the thread of an output has spent, in nanoseconds. Relaxed: counts by themselves.
#[derive(Debug, Default)]
pub struct Spent {
    encoding: AtomicU64,
    carrying: AtomicU64,
    running: AtomicU64,
}

impl Spent {
    /// Adds the time of a batch in the encoder, which began at `begun`.
    #[inline]
    pub fn encoded_since(&self, begun: MonoNs) {
        self.encoding.fetch_add(MonoNs::now().since(begun), Ordering::Relaxed);
    }

    /// Adds the time of bytes in the carrier, which began at `begun`; notes the processor time of the calling
    /// thread.
    pub fn carried_since(&self, begun: MonoNs) {
        self.carrying.fetch_add(MonoNs::now().since(begun), Ordering::Relaxed);
        self.running.store(thread_time_ns(), Ordering::Relaxed);
    }

    /// The sums at `now`. The carrier has had bytes since `carries_since`; zero where it has none.
    pub fn at(&self, now: MonoNs, carries_since: MonoNs) -> Times {
        let meanwhile = if carries_since == MonoNs::ZERO { 0 } else { now.since(carries_since) };
        Times {
            encoding_ns: self.encoding.load(Ordering::Relaxed),
            carrying_ns: self.carrying.load(Ordering::Relaxed).saturating_add(meanwhile),
            running_ns: self.running.load(Ordering::Relaxed),
        }
    }
}

/// Time of an output's thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// In the encoder.
    pub encoding_ns: u64,
    /// In the carrier: writing, waiting, trying again.
    pub carrying_ns: u64,
    /// On a processor.
    pub running_ns: u64,
}

impl Times {
    fn since(self, earlier: Self) -> Self {
        Self {
            encoding_ns: self.encoding_ns.saturating_sub(earlier.encoding_ns),
            carrying_ns: self.carrying_ns.saturating_sub(earlier.carrying_ns),
            running_ns: self.running_ns.saturating_sub(earlier.running_ns),
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            encoding_ns: self.encoding_ns.saturating_add(other.encoding_ns),
            carrying_ns: self.carrying_ns.saturating_add(other.carrying_ns),
            running_ns: self.running_ns.saturating_add(other.running_ns),
        }
    }
}

/// The stretches in which a queue was more than half full and events were lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lossy {
    /// Their length.
    pub ns: u64,
    /// What the thread did meanwhile.
    pub times: Times,
}

/// Measures one output's queue, batch by batch.
#[derive(Debug, Default)]
pub struct Strain {
    /// When the queue became more than half full, and what the thread had spent by then.
    begun: Option<(MonoNs, Times)>,
    has_lost: bool,
    sum: Lossy,
}

impl Strain {
    /// Notes how the queue stands before a batch; `now` is asked where a stretch begins or ends.
    #[inline]
    pub fn note(&mut self, is_half_full: bool, now: impl FnOnce() -> (MonoNs, Times)) {
        match (is_half_full, self.begun) {
            (true, None) => self.begun = Some(now()),
            (false, Some(_)) => self.end(now()),
            _ => {}
        }
    }

    /// Notes that a batch found no room.
    pub fn lost(&mut self, now: impl FnOnce() -> (MonoNs, Times)) {
        self.begun.get_or_insert_with(now);
        self.has_lost = true;
    }

    fn end(&mut self, (now, times): (MonoNs, Times)) {
        if let Some((begun, before)) = self.begun.take().filter(|_| self.has_lost) {
            let ns = self.sum.ns.saturating_add(now.since(begun));
            self.sum = Lossy { ns, times: self.sum.times.plus(times.since(before)) };
        }
        self.has_lost = false;
    }

    /// The sum until now.
    pub fn sum(mut self, now: (MonoNs, Times)) -> Lossy {
        self.end(now);
        self.sum
    }
}

/// Why a queue overflowed; each with the part of the time in percent that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The carrier had bytes for half of the time, or more.
    Destination(u64),
    /// The thread was busy, and had a processor for less than half of the time.
    Machine(u64),
    /// The encoder had no time left.
    Encoder(u64),
    /// It was over before one of these could be said.
    Burst,
}

impl Lossy {
    /// See [`Cause`].
    pub fn cause(&self) -> Cause {
        let Self { ns, times: Times { encoding_ns, carrying_ns, running_ns } } = *self;
        let percent = |part: u64| part.saturating_mul(100).checked_div(ns).map_or(0, |part| part.min(100));
        match () {
            () if ns > 0 && percent(carrying_ns) >= 50 => Cause::Destination(percent(carrying_ns)),
            () if ns < BURST_NS => Cause::Burst,
            () if percent(running_ns) < 50 => Cause::Machine(percent(running_ns)),
            () => Cause::Encoder(percent(encoding_ns)),
        }
    }

    /// The length in seconds.
    pub fn seconds(&self) -> f64 {
        std::time::Duration::from_nanos(self.ns).as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn cause(ns: u64, encoding_ns: u64, carrying_ns: u64, running_ns: u64) -> Cause {
        Lossy { ns, times: Times { encoding_ns, carrying_ns, running_ns } }.cause()
    }

    #[test]
    fn cause_is_where_the_time_went() {
        assert_eq!(Cause::Destination(90), cause(10 * SECOND, SECOND, 9 * SECOND, SECOND));
        assert_eq!(Cause::Destination(80), cause(SECOND / 10, 0, SECOND / 100 * 8, 0), "soon, too");
        assert_eq!(Cause::Encoder(95), cause(10 * SECOND, SECOND / 10 * 95, SECOND / 2, 9 * SECOND));
        assert_eq!(Cause::Machine(20), cause(10 * SECOND, 9 * SECOND, SECOND, 2 * SECOND));
        assert_eq!(Cause::Burst, cause(SECOND / 2, SECOND / 2, 0, SECOND / 2));
        assert_eq!(Cause::Burst, cause(0, 0, 0, 0));
    }

    #[test]
    fn only_stretches_with_losses_count_and_they_add_up() {
        let at = |ns, carrying_ns| move || (MonoNs(ns), Times { carrying_ns, ..Times::default() });
        let mut strain = Strain::default();
        // Half full, and nothing lost.
        strain.note(true, at(10, 1));
        strain.note(false, at(20, 5));
        // Two with losses, of which the second has no end yet.
        strain.note(true, at(100, 10));
        strain.lost(at(110, 17));
        strain.note(true, at(120, 20));
        strain.note(false, at(130, 25));
        strain.lost(at(200, 30));

        let sum = strain.sum(at(207, 32)());

        assert_eq!(Lossy { ns: 37, times: Times { carrying_ns: 17, ..Times::default() } }, sum);
    }

    #[test]
    fn carrier_that_stands_still_is_counted_while_it_does() {
        let spent = Spent::default();

        assert_eq!(0, spent.at(MonoNs(50), MonoNs::ZERO).carrying_ns);
        assert_eq!(30, spent.at(MonoNs(50), MonoNs(20)).carrying_ns);
    }
}
