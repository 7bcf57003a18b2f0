//! One process image as the drain thread knows it: where it writes, what waits of it, and its two ledgers.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};

use wire::events::Usage;
use wire::ring::layout::{Loss, Slot};

use crate::enrich::Process;
use crate::order::Queue;

/// How an image ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The process executed another program.
    Exec,
    /// The process died.
    Death,
}

/// An image's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// How.
    pub how: Ending,
    /// When it was, as far as we know, CLOCK_MONOTONIC.
    pub at_ns: u64,
    /// When we learnt of it.
    pub noticed_ns: u64,
    /// Where the ring's tail was then: nothing of this image comes after.
    pub read_to: u64,
}

/// What a process's earlier images delivered, lost and cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Events delivered.
    pub events: u64,
    /// Events lost.
    pub lost: u64,
    /// Hooked calls.
    pub calls: u64,
    /// Nanoseconds spent in the sensor.
    pub sensor_ns: u64,
}

impl Ledger {
    /// Both together.
    pub fn plus(self, other: Self) -> Self {
        Self {
            events: self.events.saturating_add(other.events),
            lost: self.lost.saturating_add(other.lost),
            calls: self.calls.saturating_add(other.calls),
            sensor_ns: self.sensor_ns.saturating_add(other.sensor_ns),
        }
    }
}

/// A program image, or a fork child of one.
#[derive(Debug)]
pub struct Image {
    /// A number that no other image ever has.
    pub serial: u64,
    /// Its ring.
    pub source: usize,
    /// Its slot there; `None` for a fork child that has not written anything.
    pub slot: Option<u8>,
    /// Its process as the collector sees it, or with `pid_ns` as it sees itself.
    pub pid: u32,
    /// Its process as it sees itself.
    pub own_pid: u32,
    /// The parent as the process sees it; 0 where that is unknown.
    pub own_ppid: u32,
    /// The parent in the same view as `pid`.
    pub ppid: Option<u32>,
    /// Effective user id when it attached.
    pub uid: Option<u32>,
    /// See [`crate::event::Who::pid_ns`].
    pub pid_ns: Option<u64>,
    /// For learning of its death.
    pub pidfd: Option<OwnedFd>,
    /// Records that are not due yet.
    pub queue: Queue,
    /// What is known of it; `None` until its first record is due.
    pub process: Option<Process>,
    /// The image that this one follows in the same process.
    pub before: Option<usize>,
    /// The image that follows this one.
    pub after: Option<usize>,
    /// Descriptors that /proc showed when it attached.
    pub seed: Vec<(i32, Vec<u8>)>,
    /// The running image as /proc showed it when it attached; empty where it did not.
    pub exe: Vec<u8>,
    /// Stamped records that went to the sinks.
    pub delivered: u64,
    /// Records without a number that were read.
    pub unstamped: u64,
    /// Records that its threads, killed in the middle, did not finish.
    pub unfinished: u64,
    /// Records that could not be decoded.
    pub malformed: u64,
    /// What the sensor counted as lost, as far as it was reported.
    pub reported: [u64; Loss::ALL.len()],
    /// All losses that were reported.
    pub lost: u64,
    /// The ledger of the images before it.
    pub carried: Ledger,
    /// Its end, once we know of it.
    pub end: Option<End>,
    /// Whether an earlier collector read it.
    pub is_inherited: bool,
    /// Whether records of it are in the batch that goes to the sinks next.
    pub is_touched: bool,
}

/// The mean cost of a call, over all processes: for those of which none was sampled.
#[derive(Clone, Copy, Debug, Default)]
pub struct MeanCost {
    ns: u64,
    samples: u64,
}

impl MeanCost {
    /// Adds a process's samples, and gives what `calls` of it cost.
    fn estimate(&mut self, cost: &wire::ring::layout::Cost, calls: u64) -> u64 {
        let (ns, samples) = (load(&cost.ns), load(&cost.samples));
        // A hostile process may have written anything: a call that took a second is none.
        if samples > 0 && ns / samples < 1_000_000_000 {
            self.ns = self.ns.saturating_add(ns);
            self.samples = self.samples.saturating_add(samples);
            return (u128::from(ns) * u128::from(calls) / u128::from(samples)).min(u128::from(u64::MAX))
                as u64;
        }
        match self.samples {
            0 => 0,
            samples => (u128::from(self.ns) * u128::from(calls) / u128::from(samples))
                .min(u128::from(u64::MAX)) as u64,
        }
    }
}

/// Means of both kinds of calls.
#[derive(Clone, Copy, Debug, Default)]
pub struct Means {
    record: MeanCost,
    count: MeanCost,
}

fn load(word: &AtomicU64) -> u64 {
    // Relaxed: statistics of a process that has ended, or does not mind.
    word.load(Ordering::Relaxed)
}

impl Image {
    /// Numbers that the sensor gave away and whose records will not come.
    pub fn gone(&self, slot: &Slot) -> u64 {
        // Events without a slot took no number (`Loss::NoSlot`).
        let counted = [Loss::RingFull, Loss::Oversize].map(|cause| load(&slot.lost[cause as usize]));
        let given_up = self.unfinished.saturating_add(self.malformed);
        counted.iter().fold(given_up, |sum, lost| sum.saturating_add(*lost))
    }

    /// Events that the sensor stamped and that are neither delivered nor reported as lost.
    pub fn missing(&self, slot: &Slot) -> u64 {
        load(&slot.seq).saturating_sub(self.gone(slot).saturating_add(self.delivered))
    }

    /// What the sensor counted as lost since the last time, by cause. Notes in the slot that it is reported, for the
    /// collector that may have to follow this one.
    pub fn fresh_losses(&mut self, slot: &Slot) -> [(Loss, u64); Loss::ALL.len()] {
        let fresh = Loss::ALL.map(|cause| {
            let index = cause as usize;
            let lost = load(&slot.lost[index]);
            let fresh = lost.saturating_sub(self.reported[index]);
            self.reported[index] = lost;
            (cause, fresh)
        });
        if fresh.iter().any(|(_, count)| *count > 0) {
            let all = self.reported.iter().fold(0, |sum: u64, reported| sum.saturating_add(*reported));
            slot.note.store(all.cast_signed(), Ordering::Relaxed);
        }
        fresh
    }

    /// Takes over the books of the collector that read this image before.
    pub fn resume(&mut self, slot: &Slot) {
        self.delivered = load(&slot.delivered);
        // It noted the sum only; what is left is told by the likelier causes first.
        let mut left = slot.note.load(Ordering::Relaxed).cast_unsigned();
        for cause in Loss::ALL.iter().rev() {
            let reported = load(&slot.lost[*cause as usize]).min(left);
            self.reported[*cause as usize] = reported;
            left -= reported;
            self.lost = self.lost.saturating_add(reported);
        }
    }

    /// The ledger of this image alone; `open_calls` is what its open descriptors counted.
    pub fn ledger(&self, slot: Option<&Slot>, open_calls: u64, means: &mut Means) -> Ledger {
        let Some(slot) = slot else { return Ledger { lost: self.lost, ..Ledger::default() } };
        let produced = load(&slot.seq);
        let counted =
            load(&slot.closed_calls).saturating_add(load(&slot.failed_counts)).saturating_add(open_calls);
        let records = produced.saturating_add(self.unstamped);
        let sensor_ns = load(&slot.start_ns)
            .saturating_add(means.record.estimate(&slot.record_cost, records))
            .saturating_add(means.count.estimate(&slot.count_cost, counted));
        Ledger { events: self.delivered, lost: self.lost, calls: produced.saturating_add(counted), sensor_ns }
    }

    /// What the process itself said that it used, when it ended by itself.
    pub fn usage(slot: &Slot) -> Option<Usage> {
        let usage = Usage {
            user_ns: load(&slot.user_ns),
            system_ns: load(&slot.system_ns),
            max_rss: load(&slot.max_rss),
        };
        (usage != Usage::default()).then_some(usage)
    }
}
