//! Events that found no room in the queue of one output: the output reports them, by process, once it has
//! room again, at most once a second.

use std::hash::Hash;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use wire::events::Kind;

use crate::event::{Batch, Event, Program, Shape, Value, Who};
use crate::ids::{MonoNs, Pid, ProcessKey, UtcNs};
use crate::loss::LossReason;
use crate::system::procfs;

/// Processes whose losses are counted apart. Those of all others are reported as the collector's own.
const MOST_PROCESSES: usize = 1024;
/// Reports of one output are this far apart, at least: docs/contract.md allows one `sensor.loss` a second for
/// each process and reason.
const APART_NS: u64 = 1_000_000_000;
/// No report waits longer, whatever time the events have.
const LONGEST_NS: u64 = 10 * APART_NS;

/// Events of a process that were lost.
type Loss = (Arc<Who>, u64);

/// Losses of one output that do not stand in it yet.
#[derive(Debug, Default)]
pub struct Owed {
    /// Events that found no room.
    full: FxHashMap<ProcessKey, Loss>,
    /// Reports of other losses among them, by reason. They are added to the next report of the process and
    /// reason that has room, or made before the process's end.
    others: FxHashMap<(ProcessKey, &'static str), Loss>,
    /// When the last report was made, and the time that it has.
    paid: Option<(MonoNs, UtcNs)>,
}

/// The changes to a batch that is handed over, where an output owes something.
#[derive(Debug, Default)]
pub struct Settled {
    /// Goes before it.
    pub before: Option<Batch>,
    /// Goes instead of it.
    pub instead: Option<Batch>,
}

impl Owed {
    /// Whether nothing is owed.
    pub fn is_empty(&self) -> bool {
        self.full.is_empty() && self.others.is_empty()
    }

    /// Whether a report waits only for its time.
    pub fn is_waiting(&self) -> bool {
        !self.full.is_empty()
    }

    /// Counts the events of a batch that the output does not get; gives how many are lost. Reports of losses
    /// among them are not: they are made later.
    pub fn add(&mut self, batch: &Batch) -> u64 {
        let mut count = 0;
        for event in &batch.events {
            let who = &batch.whos[event.who as usize];
            if let Some((reason, lost)) = reported(batch, event) {
                add(&mut self.others, who, |key| (key, reason), lost);
            } else {
                add(&mut self.full, who, |key| key, 1);
                count += 1;
            }
        }
        count
    }

    /// Reports what is due before `batch`, which is handed over `now`.
    pub fn settle(&mut self, batch: &Batch, now: MonoNs) -> Settled {
        let time = batch.events.first().map_or(UtcNs::default(), |event| event.time);
        let mut due = if self.is_due(now, time) { self.take_full(now, time) } else { Vec::new() };
        let mut instead: Option<Batch> = None;
        for (index, event) in batch.events.iter().enumerate() {
            if self.others.is_empty() {
                break;
            }
            let key = batch.whos[event.who as usize].key();
            if let Some((reason, count)) = reported(batch, event)
                && let Some((_, more)) = self.others.remove(&(key, reason))
            {
                let count = Value::Uint(count.saturating_add(more));
                instead.get_or_insert_with(|| batch.clone()).set_of(index, place("count"), count);
            } else if event.kind == Kind::ProcessExit {
                let of_process = self.others.extract_if(|(of, _), _| *of == key);
                due.extend(of_process.map(|((_, reason), loss)| (reason, loss)));
            }
        }
        Settled { before: reports(due, time), instead }
    }

    /// What is due where no event follows the one of the time `last`.
    pub fn settle_late(&mut self, now: MonoNs, last: UtcNs) -> Option<Batch> {
        let earliest = self.paid.map_or(last, |(_, UtcNs(as_of))| UtcNs(as_of.saturating_add(APART_NS)));
        let time = last.max(earliest);
        let due = if self.is_due(now, time) { self.take_full(now, time) } else { Vec::new() };
        reports(due, time)
    }

    /// Everything, as of `time`: at the end it is due in any case.
    pub fn settle_all(&mut self, time: UtcNs) -> Option<Batch> {
        let mut due = self.take_full(MonoNs::ZERO, time);
        due.extend(self.others.drain().map(|((_, reason), loss)| (reason, loss)));
        reports(due, time)
    }

    /// Whether a report that is made `now`, as of `time`, is a second later than the last one by both clocks,
    /// since events may be late; or later still by one, since the time of day may be set back.
    fn is_due(&self, now: MonoNs, time: UtcNs) -> bool {
        self.paid.is_none_or(|(made, as_of)| {
            let waited = now.since(made);
            waited >= LONGEST_NS || waited >= APART_NS && time.0.saturating_sub(as_of.0) >= APART_NS
        })
    }

    fn take_full(&mut self, now: MonoNs, time: UtcNs) -> Vec<(&'static str, Loss)> {
        if !self.full.is_empty() {
            self.paid = Some((now, time));
        }
        self.full.drain().map(|(_, loss)| (LossReason::SinkFull.name(), loss)).collect()
    }
}

/// Adds to the losses of a process, or of the collector where there are too many.
fn add<K: Eq + Hash>(
    losses: &mut FxHashMap<K, Loss>,
    who: &Arc<Who>,
    key: impl Fn(ProcessKey) -> K,
    count: u64,
) {
    let of_process = key(who.key());
    let loss = if losses.len() < MOST_PROCESSES || losses.contains_key(&of_process) {
        losses.entry(of_process).or_insert_with(|| (Arc::clone(who), 0))
    } else {
        let own = key(ProcessKey::here(Pid(std::process::id())));
        losses.entry(own).or_insert_with(|| (Arc::new(own_who()), 0))
    };
    loss.1 = loss.1.saturating_add(count);
}

/// The place of a field of `sensor.loss`.
fn place(name: &str) -> usize {
    Shape::place(Kind::SensorLoss, name)
}

/// The reason and count of an event that reports a loss.
fn reported(batch: &Batch, event: &Event) -> Option<(&'static str, u64)> {
    if event.kind != Kind::SensorLoss {
        return None;
    }
    let values = batch.values(event);
    match (values.get(place("reason")), values.get(place("count"))) {
        (Some(Value::Word(reason)), Some(Value::Uint(count))) => Some((*reason, *count)),
        _ => None,
    }
}

/// The events that report losses, as of `time`; `None` where there are none.
fn reports(losses: Vec<(&'static str, Loss)>, time: UtcNs) -> Option<Batch> {
    let mut batch = Batch::default();
    for (reason, (who, count)) in losses {
        batch.push(Event {
            time,
            kind: Kind::SensorLoss,
            via: None,
            is_truncated: false,
            call: "",
            error: "",
            seq: None,
            ret: None,
            tid: who.pid().main_thread(),
            number: 0,
            who: batch.whos.len() as u32,
            values_at: 0,
        });
        batch.set(place("count"), Value::Uint(count));
        batch.set(place("reason"), Value::Word(reason));
        batch.whos.push(who);
    }
    batch.number();
    (!batch.is_empty()).then_some(batch)
}

/// The collector itself.
fn own_who() -> Who {
    let pid = std::process::id();
    let exe = procfs::exe(pid).unwrap_or_default();
    Who {
        program: Program::new(Pid(pid), exe.into(), Arc::default(), None),
        ppid: Some(Pid(std::os::unix::process::parent_id())),
        uid: Some(rustix::process::getuid().as_raw()),
        euid: Some(rustix::process::geteuid().as_raw()),
        ..Who::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::sample;

    const BEGIN: (MonoNs, UtcNs) = (MonoNs(7 * APART_NS), UtcNs(70 * APART_NS));

    /// The events of a process without a report among them.
    fn events(count: usize) -> Batch {
        let mut batch = Batch::default();
        batch.whos.push(sample::who());
        for _ in 0..count {
            batch.push(sample::head(Kind::FileOpen));
        }
        batch
    }

    fn at(mut batch: Batch, time: UtcNs) -> Batch {
        batch.events.iter_mut().for_each(|event| event.time = time);
        batch
    }

    /// A report of a loss, which the pipeline made.
    fn report(reason: LossReason, count: u64) -> Batch {
        reports(vec![(reason.name(), (sample::who(), count))], BEGIN.1).unwrap()
    }

    /// The reasons and counts of the reports in a batch.
    fn counts(batch: Option<&Batch>) -> Vec<(&'static str, u64)> {
        batch.map_or(Vec::new(), |batch| {
            batch.events.iter().filter_map(|event| reported(batch, event)).collect()
        })
    }

    #[test]
    fn losses_are_reported_once_a_second_by_both_clocks_and_exact_in_sum() {
        let mut owed = Owed::default();
        let mut found = Vec::new();

        for (mono_ns, utc_ns) in [
            (0, 0),
            (APART_NS - 1, APART_NS),
            (APART_NS, APART_NS - 1),
            (APART_NS, APART_NS),
            (APART_NS + 1, 2 * APART_NS),
        ] {
            assert_eq!(5, owed.add(&events(5)));
            let next = at(events(1), UtcNs(BEGIN.1.0 + utc_ns));
            found.push(counts(owed.settle(&next, BEGIN.0.plus(mono_ns)).before.as_ref()));
        }
        let last = owed.settle_all(BEGIN.1);

        let full = |count| vec![("sink_full", count)];
        assert_eq!(vec![full(5), vec![], vec![], full(15), vec![]], found);
        assert_eq!(full(5), counts(last.as_ref()));
        assert!(owed.is_empty() && owed.settle_all(BEGIN.1).is_none());
    }

    #[test]
    fn clock_that_is_set_back_and_silence_put_no_report_off() {
        let mut owed = Owed::default();
        owed.add(&events(1));
        owed.settle(&at(events(1), BEGIN.1), BEGIN.0);
        owed.add(&events(1));

        let back = at(events(1), UtcNs(BEGIN.1.0 - 60 * APART_NS));
        let late = owed.settle(&back, BEGIN.0.plus(LONGEST_NS - 1)).before;
        let back = owed.settle(&back, BEGIN.0.plus(LONGEST_NS)).before;
        owed.add(&events(1));
        let early = owed.settle_late(BEGIN.0.plus(LONGEST_NS + 1), BEGIN.1);
        let silent = owed.settle_late(BEGIN.0.plus(LONGEST_NS + APART_NS), BEGIN.1).unwrap();

        assert_eq!((false, true, false), (late.is_some(), back.is_some(), early.is_some()));
        assert_eq!(BEGIN.1, silent.events[0].time);
    }

    #[test]
    fn report_that_found_no_room_is_added_to_the_next_of_its_reason() {
        let mut owed = Owed::default();

        let lost = owed.add(&report(LossReason::RingFull, 40)) + owed.add(&report(LossReason::Oversize, 1));
        let other = owed.settle(&report(LossReason::KilledWriter, 9), BEGIN.0);
        let next = owed.settle(&report(LossReason::RingFull, 2), BEGIN.0);

        assert_eq!(0, lost);
        assert!(other.before.is_none() && other.instead.is_none());
        assert!(next.before.is_none());
        assert_eq!(vec![("ring_full", 42)], counts(next.instead.as_ref()));
        assert_eq!(vec![("oversize", 1)], counts(owed.settle_all(BEGIN.1).as_ref()));
    }

    #[test]
    fn report_that_found_no_room_is_made_before_the_end_of_its_process() {
        let mut owed = Owed::default();
        let mut exit = Batch::default();
        exit.whos.extend([sample::who_of(7, 1, b"/x"), sample::who()]);
        exit.push(sample::head(Kind::ProcessExit));
        owed.add(&report(LossReason::RingFull, 40));

        let of_another = owed.settle(&exit, BEGIN.0).before;
        exit.events[0].who = 1;
        let of_its_own = owed.settle(&exit, BEGIN.0).before;

        assert!(of_another.is_none());
        assert_eq!(vec![("ring_full", 40)], counts(of_its_own.as_ref()));
        assert!(owed.is_empty());
    }
}
