//! One output, as the deliverer sees it: its queue, what it lacks, and its end.

use std::ffi::OsString;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

use super::encoder::RunFacts;
use super::owed::{Owed, Settled};
use super::report::{Lost, SinkReport};
use super::strain::{Strain, Times};
use super::worker::{Ask, Farewell, Message, Shared, Standing};
use crate::event::Batch;
use crate::ids::{MonoNs, UtcNs};
use crate::shell::failure::say;

/// Batches that wait in front of one output, at most.
pub const QUEUE_BATCHES: usize = 1024;
/// In haste, an output that takes nothing for so long is not waited for.
const HURRIED_PATIENCE: Duration = Duration::from_millis(500);

/// How long the end of a session may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Haste {
    /// As long as an output takes.
    #[default]
    Patient,
    /// A signal asked for it: an output that takes nothing more is not waited for.
    Hurried,
}

/// The effect of a full queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backlog {
    /// The output loses the batch; its events are counted.
    Drop,
    /// The deliverer waits: it reads a file, which has time.
    Wait,
}

/// One output of a session. Never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutletId(pub u64);

/// See the module.
#[derive(Debug)]
pub struct Outlet {
    pub id: OutletId,
    /// As `-o` takes it; empty for one that was not given so.
    pub spelling: OsString,
    pub name: String,
    pub batch_tx: Sender<Message>,
    pub shared: Arc<Shared>,
    /// Events that it was given.
    handed: u64,
    /// Events that found no room.
    pub dropped: u64,
    owed: Owed,
    strain: Strain,
    /// Time of the last event that it was to get.
    last: UtcNs,
    /// What found no room in the queue.
    asks: Vec<Ask>,
    thread: JoinHandle<()>,
}

impl Outlet {
    /// An output whose thread runs.
    pub fn new(
        id: OutletId,
        spelling: OsString,
        name: String,
        batch_tx: Sender<Message>,
        shared: Arc<Shared>,
        thread: JoinHandle<()>,
    ) -> Self {
        let (owed, strain, last, asks) = (Owed::default(), Strain::default(), UtcNs::default(), Vec::new());
        let (handed, dropped) = (0, 0);
        Self { id, spelling, name, batch_tx, shared, handed, dropped, owed, strain, last, asks, thread }
    }

    /// Bytes that wait in its queue, of `most_bytes`.
    pub fn waiting(&self, most_bytes: usize) -> usize {
        // As if each batch had its part of the bytes.
        let batches = self.batch_tx.len() * (most_bytes / QUEUE_BATCHES);
        self.shared.bytes.load(Ordering::Relaxed).max(batches)
    }

    /// See [`super::Outlets::room`].
    pub fn room(&self, most_bytes: usize, now: MonoNs, patience_ns: u64) -> Option<usize> {
        let waiting = self.waiting(most_bytes);
        let carries_since = self.carries_since();
        let is_stuck = carries_since != MonoNs::ZERO && now.since(carries_since) >= patience_ns;
        (waiting > most_bytes / 2 && !is_stuck).then(|| most_bytes.saturating_sub(waiting))
    }

    fn carries_since(&self) -> MonoNs {
        MonoNs(self.shared.carries_since.load(Ordering::Relaxed))
    }

    /// The present moment, and what the thread has spent.
    fn spent(&self) -> (MonoNs, Times) {
        spent(&self.shared)
    }

    /// Hands a batch of `bytes` over, or counts it.
    pub fn deliver(&mut self, batch: &Arc<Batch>, bytes: usize, most_bytes: usize, backlog: Backlog) {
        self.last = batch.events.last().map_or(self.last, |event| event.time);
        let is_half_full = self.waiting(most_bytes) > most_bytes / 2;
        self.strain.note(is_half_full, || spent(&self.shared));
        // An empty queue takes a batch of any size, or a large one would never be taken.
        let waiting = self.shared.bytes.load(Ordering::Relaxed);
        // Only this thread takes places: with what is owed, there may be two batches.
        let places = if self.owed.is_empty() { 1 } else { 2 };
        let most = self.batch_tx.capacity().unwrap_or(usize::MAX);
        let is_full = waiting > 0 && waiting + bytes > most_bytes || self.batch_tx.len() + places > most;
        if backlog == Backlog::Drop && is_full {
            self.strain.lost(|| spent(&self.shared));
            self.dropped += self.owed.add(batch);
            self.shared.dropped.store(self.dropped, Ordering::Relaxed);
            return;
        }
        let mut settled = Settled::default();
        if !self.owed.is_empty() {
            settled = self.owed.settle(batch, MonoNs::now());
        }
        if let Some(losses) = settled.before {
            self.send(Arc::new(losses), backlog);
        }
        self.send(settled.instead.map_or_else(|| Arc::clone(batch), Arc::new), backlog);
    }

    /// Asks the thread for something, now or once it finds room in the queue.
    pub fn ask(&mut self, ask: Ask) {
        if !self.asks.contains(&ask) && self.batch_tx.try_send(Message::Ask(ask)).is_err() {
            self.asks.push(ask);
        }
    }

    /// Whether it has losses to report, or is to be asked for something.
    pub fn owes(&self) -> bool {
        self.owed.is_waiting() || !self.asks.is_empty()
    }

    /// Reports the events that the output lacks although none follows, where a report is due and has room.
    pub fn send_due(&mut self, now: MonoNs) {
        for ask in std::mem::take(&mut self.asks) {
            self.ask(ask);
        }
        if self.owed.is_waiting()
            && !self.batch_tx.is_full()
            && let Some(losses) = self.owed.settle_late(now, self.last)
        {
            self.send(Arc::new(losses), Backlog::Drop);
        }
    }

    /// Hands over what has room. Where the thread has ended, it is lost with it.
    fn send(&mut self, batch: Arc<Batch>, backlog: Backlog) {
        let (bytes, events) = (batch.size_bytes(), batch.events.len() as u64);
        self.shared.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.shared.batches.fetch_add(1, Ordering::Relaxed);
        let message = Message::Batch(batch);
        let is_taken = match backlog {
            Backlog::Drop => self.batch_tx.try_send(message).is_ok(),
            Backlog::Wait => self.batch_tx.send(message).is_ok(),
        };
        if is_taken {
            self.handed += events;
        } else {
            self.shared.bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.shared.batches.fetch_sub(1, Ordering::Relaxed);
            self.dropped += events;
            self.shared.dropped.store(self.dropped, Ordering::Relaxed);
        }
    }

    /// Whether its queue has room for the next batch, and for losses before it.
    #[cfg(feature = "nats")]
    pub fn has_place(&self) -> bool {
        self.batch_tx.capacity().is_none_or(|most| self.batch_tx.len() + 2 <= most)
    }

    /// What keeps it from its events, for a person.
    #[cfg(feature = "nats")]
    pub fn trouble(&self) -> String {
        let error = self.shared.standing().error.clone().unwrap_or_else(|| "it has ended".to_owned());
        format!("cannot write {}: {error}", self.name)
    }

    /// How it stands.
    #[cfg(test)]
    pub fn report(&self) -> SinkReport {
        let report = SinkReport { name: self.name.clone(), ..SinkReport::default() };
        counted(report, self.dropped, &self.shared)
    }

    /// Lets the thread end; does not wait for it. Its queue had room for `most_bytes`.
    pub fn leave(mut self, facts: RunFacts, most_bytes: usize) -> Leaving {
        let losses = self.owed.settle_all(self.last);
        let lossy = std::mem::take(&mut self.strain).sum(self.spent());
        // The first and only one.
        let _ = self.shared.farewell.set(Farewell { facts, losses, at: Instant::now() });
        // From a pause before another try.
        self.thread.thread().unpark();
        let Self { name, handed, dropped, shared, thread, .. } = self;
        let report = SinkReport { name, lossy, queue_bytes: most_bytes, ..SinkReport::default() };
        Leaving { report, handed, dropped, shared, thread }
    }
}

/// An output that gets no more events, and writes what it has.
#[must_use]
#[derive(Debug)]
pub struct Leaving {
    /// Without what the thread has counted.
    report: SinkReport,
    handed: u64,
    dropped: u64,
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

impl Leaving {
    /// Waits until the output has written everything; says how it fared.
    #[cfg_attr(not(test), expect(dead_code, reason = "no command takes an output away yet"))]
    pub fn report(self) -> SinkReport {
        self.report_in(Haste::Patient)
    }

    /// As [`Self::report`], with this haste.
    pub fn report_in(self, haste: Haste) -> SinkReport {
        if haste == Haste::Hurried && !self.gets_done() {
            // The thread ends with the process.
            let report = counted(self.report, self.dropped, &self.shared);
            // Relaxed: a figure by itself.
            let waiting = self.shared.spooled.get().map_or(0, |bytes| bytes.load(Ordering::Relaxed));
            if waiting > 0 {
                say(&format!(
                    "{}: {waiting} bytes of events wait in its spool; the next collector with this output delivers them",
                    report.name
                ));
            }
            let failed = self.handed.saturating_sub(report.written + report.lost.refused);
            // With a spool everything may be written already: there it waits for the next collector.
            let error = (failed > 0).then(|| "it took nothing more at the end".to_owned());
            return SinkReport { lost: Lost { failed, ..report.lost }, error, ..report };
        }
        let ended = self.thread.join();
        let report = counted(self.report, self.dropped, &self.shared);
        match ended {
            Ok(()) => report,
            Err(_) => SinkReport { error: Some("its thread ended by a fault of ours".to_owned()), ..report },
        }
    }
}

impl Leaving {
    /// Waits for the thread as long as it gets on; false where it does not.
    fn gets_done(&self) -> bool {
        let progress = || (self.shared.bytes.load(Ordering::Relaxed), self.shared.standing().written);
        let (mut last, mut since) = (progress(), Instant::now());
        while !self.thread.is_finished() {
            if progress() != last {
                (last, since) = (progress(), Instant::now());
            }
            if since.elapsed() > HURRIED_PATIENCE {
                return false;
            }
            thread::sleep(Duration::from_millis(1));
        }
        true
    }
}

fn counted(report: SinkReport, dropped: u64, shared: &Shared) -> SinkReport {
    let Standing { written, refused, failed, error } = shared.standing().clone();
    let lost = Lost { queue_full: dropped, refused, failed };
    SinkReport { written, lost, error, ..report }
}

fn spent(shared: &Shared) -> (MonoNs, Times) {
    let now = MonoNs::now();
    (now, shared.spent.at(now, MonoNs(shared.carries_since.load(Ordering::Relaxed))))
}
