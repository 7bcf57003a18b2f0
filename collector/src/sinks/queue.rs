//! A queue in front of each output, so that the pipeline waits for none of them.
//!
//! [`Outlets::deliver`] hands every batch to every queue. An output that cannot keep up loses events, which
//! are counted for it alone and reported in it alone ([`Owed`]). In a `replay`, which can wait, a full queue
//! holds the reader up ([`Backlog`]).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::carrier::kind::{Opened, Opening};
use super::encoder::{Encoder, RunFacts};
use super::owed::Owed;
use super::report::{Lost, SinkReport};
use super::worker::{Chooser, Farewell, Message, Shared, Standing, Worker};
use crate::event::Batch;
use crate::ids::{MonoNs, UtcNs};
use crate::outputs::Output;
use crate::shell::failure::{Failure, say};
use crate::system::pulse::Pulses;

/// Bytes of events that wait in front of all outputs together, at most. The outputs share a batch until the
/// last of them has encoded it, so a session takes no more than this when its slowest output stands still.
const QUEUE_BYTES: usize = 8 << 20;
/// Batches that wait in front of one output, at most.
const QUEUE_BATCHES: usize = 1024;
/// Batches that wait in front of one output that the deliverer waits for.
const WAITING_BATCHES: usize = 16;
/// Emptied batches that wait to be filled again.
const SPARE_BATCHES: usize = 4;

/// An output whose destination takes one piece for so long is not waited for, where there are others.
const STUCK_NS: u64 = 50_000_000;
/// The same where it is the only one, which then delays no other. Longer than the kernel lets a writer wait
/// for a disk (200 ms, `MAX_PAUSE` of balance_dirty_pages).
const STUCK_ALONE_NS: u64 = 250_000_000;
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
pub struct OutletId(u64);

/// A change of a running session's outputs, asked for by another thread.
#[cfg_attr(not(test), expect(dead_code, reason = "no command has a view of a running session yet"))]
pub enum OutputChange {
    /// Another output, which gets the events from here on.
    Add {
        /// Its name in messages.
        name: String,
        /// Makes its bytes.
        encoder: Box<dyn Encoder>,
        /// Where they go.
        opened: Opened,
        /// Gets its id, or the reason why it cannot be added.
        id_tx: Sender<Result<OutletId, Failure>>,
    },
    /// An output that is taken away.
    Remove {
        /// Which.
        id: OutletId,
        /// Gets the output while it writes the rest; `None` for one that was taken away before.
        leaving_tx: Sender<Option<Leaving>>,
    },
}

impl std::fmt::Debug for OutputChange {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Add { name, .. } => write!(formatter, "add {name}"),
            Self::Remove { id, .. } => write!(formatter, "remove {id:?}"),
        }
    }
}

/// All outputs of a session.
#[derive(Debug)]
pub struct Outlets {
    outlets: Vec<Outlet>,
    backlog: Backlog,
    /// The most bytes that may wait in front of each.
    most_bytes: usize,
    next_id: u64,
    pulses: Arc<Pulses>,
    spare_tx: Sender<Batch>,
    spare_rx: Receiver<Batch>,
}

/// One output, as the deliverer sees it.
#[derive(Debug)]
struct Outlet {
    id: OutletId,
    name: String,
    batch_tx: Sender<Message>,
    shared: Arc<Shared>,
    /// Events that it was given.
    handed: u64,
    dropped: u64,
    owed: Owed,
    /// Time of the last event that it was to get.
    last: UtcNs,
    thread: JoinHandle<()>,
}

impl Outlets {
    /// Without an output: events go nowhere.
    pub fn none(backlog: Backlog) -> Self {
        let (spare_tx, spare_rx) = bounded(SPARE_BATCHES);
        let (outlets, pulses) = (Vec::new(), Arc::default());
        Self { outlets, backlog, most_bytes: QUEUE_BYTES, next_id: 0, pulses, spare_tx, spare_rx }
    }

    /// Opens every output and starts its thread.
    ///
    /// Fails with status 73 if one cannot be made; those opened before stay empty.
    pub fn open(outputs: &[Output], opening: Opening, backlog: Backlog) -> Result<Self, Failure> {
        Self::open_watched(outputs, opening, backlog, &Arc::default())
    }

    /// As [`Self::open`]; the threads' heartbeats are among `pulses`.
    pub fn open_watched(
        outputs: &[Output],
        opening: Opening,
        backlog: Backlog,
        pulses: &Arc<Pulses>,
    ) -> Result<Self, Failure> {
        let opened: Result<Vec<_>, Failure> = outputs.iter().map(|output| output.open(opening)).collect();
        let mut outlets = Self { pulses: Arc::clone(pulses), ..Self::none(backlog) };
        for (output, (encoder, opened)) in outputs.iter().zip(opened?) {
            outlets.add_choosing(output.shown(), encoder, opened, output.chooser()?)?;
        }
        Ok(outlets)
    }

    /// Starts another output, which gets what is delivered from now on. Its queue shares the budget of bytes
    /// with the others.
    pub fn add(
        &mut self,
        name: String,
        encoder: Box<dyn Encoder>,
        opened: Opened,
    ) -> Result<OutletId, Failure> {
        self.add_choosing(name, encoder, opened, None)
    }

    fn add_choosing(
        &mut self,
        name: String,
        encoder: Box<dyn Encoder>,
        opened: Opened,
        chooser: Option<Chooser>,
    ) -> Result<OutletId, Failure> {
        let id = OutletId(self.next_id);
        self.next_id += 1;
        let (batch_tx, batch_rx) = bounded(match self.backlog {
            Backlog::Drop => QUEUE_BATCHES,
            Backlog::Wait => WAITING_BATCHES,
        });
        let shared = Arc::new(Shared::default());
        let pulse = self.pulses.add(format!("output {name}"));
        let worker = Worker::new(name.clone(), encoder, opened, Arc::clone(&shared), pulse).choosing(chooser);
        let spare_tx = self.spare_tx.clone();
        let thread = thread::Builder::new()
            .name(name.chars().take(15).collect())
            .spawn(move || worker.work(&batch_rx, &spare_tx))
            .map_err(|error| {
                Failure::internal(format!(
                    "cannot start a thread for {name}: {error}; raise the limit of threads"
                ))
            })?;
        let (handed, dropped, owed, last) = (0, 0, Owed::default(), UtcNs::default());
        self.outlets.push(Outlet { id, name, batch_tx, shared, handed, dropped, owed, last, thread });
        self.share_budget();
        Ok(id)
    }

    /// Takes an output away. It writes what it has got, and its end, while the others go on.
    ///
    /// Does not wait: [`Leaving::report`] does. `None` for an output that has been taken away before.
    pub fn remove(&mut self, id: OutletId, facts: RunFacts) -> Option<Leaving> {
        let place = self.outlets.iter().position(|outlet| outlet.id == id)?;
        let outlet = self.outlets.remove(place);
        self.share_budget();
        Some(outlet.leave(facts))
    }

    /// Carries out a change that another thread asked for. An answer that is not waited for any more is
    /// dropped.
    pub fn change(&mut self, change: OutputChange) {
        match change {
            OutputChange::Add { name, encoder, opened, id_tx } => {
                let _ = id_tx.send(self.add(name, encoder, opened));
            }
            OutputChange::Remove { id, leaving_tx } => {
                let _ = leaving_tx.send(self.remove(id, RunFacts::default()));
            }
        }
    }

    fn share_budget(&mut self) {
        self.most_bytes = QUEUE_BYTES / self.outlets.len().max(1);
    }

    /// Hands a batch to every output. Waits for none, unless the backlog says so.
    pub fn deliver(&mut self, batch: Arc<Batch>) {
        if batch.is_empty() {
            return;
        }
        let bytes = batch.size_bytes();
        for outlet in &mut self.outlets {
            outlet.deliver(&batch, bytes, self.most_bytes, self.backlog);
        }
    }

    /// An empty batch, with the memory of one that every output is done with where there is one.
    pub fn empty_batch(&self) -> Batch {
        self.spare_rx.try_recv().unwrap_or_default()
    }

    /// The bytes that have room in the fullest queue whose output gets on, where that is more than half full:
    /// then the pipeline goes slow. An output whose destination takes nothing is not waited for.
    pub fn room(&self, now: MonoNs) -> Option<usize> {
        let patience_ns = if self.outlets.len() > 1 { STUCK_NS } else { STUCK_ALONE_NS };
        self.outlets.iter().filter_map(|outlet| outlet.room(self.most_bytes, now, patience_ns)).min()
    }

    /// Whether a queue has less than `least` bytes of room. One whose output stands still counts only where
    /// no other has more: it would cost the others events.
    pub fn is_tight(&self, now: MonoNs, least: usize) -> bool {
        let is_full =
            |outlet: &Outlet| self.most_bytes.saturating_sub(outlet.waiting(self.most_bytes)) < least;
        self.room(now).is_some_and(|room| room < least)
            || !self.outlets.is_empty() && self.outlets.iter().all(is_full)
    }

    /// Whether every queue is less than half full.
    pub fn has_room(&self) -> bool {
        self.outlets.iter().all(|outlet| outlet.waiting(self.most_bytes) <= self.most_bytes / 2)
    }

    /// Lets every output write what it has got, and then drop its copy of `done_tx`. One whose queue is full
    /// is left out.
    pub fn flush(&self, done_tx: &Sender<()>) {
        for outlet in &self.outlets {
            let _ = outlet.batch_tx.try_send(Message::Flush(done_tx.clone()));
        }
    }

    /// Events that each queue had no room for, so far.
    #[cfg(test)]
    pub fn dropped(&self) -> impl Iterator<Item = u64> {
        self.outlets.iter().map(|outlet| outlet.dropped)
    }

    /// Batches that wait in each queue.
    #[cfg(test)]
    pub fn waiting(&self) -> Vec<usize> {
        self.outlets.iter().map(|outlet| outlet.batch_tx.len()).collect()
    }

    /// How each output stands.
    #[cfg(test)]
    pub fn reports(&self) -> Vec<SinkReport> {
        self.outlets.iter().map(|outlet| report(&outlet.name, outlet.dropped, &outlet.shared)).collect()
    }

    /// As [`Self::finish_in`], without haste.
    #[cfg(test)]
    pub fn finish(self, facts: RunFacts) -> Vec<SinkReport> {
        self.finish_in(facts, Haste::Patient)
    }

    /// Lets every output write what it has, and waits for it; in haste only as long as it takes more. Says on
    /// stderr what is missing from which output.
    pub fn finish_in(self, facts: RunFacts, haste: Haste) -> Vec<SinkReport> {
        let reports = self.close_with(facts, haste);
        for line in reports.iter().filter_map(SinkReport::line) {
            say(&line);
        }
        reports
    }

    /// As [`Self::finish_in`], without a message, and without haste.
    pub fn close(self, facts: RunFacts) -> Vec<SinkReport> {
        self.close_with(facts, Haste::Patient)
    }

    fn close_with(mut self, facts: RunFacts, haste: Haste) -> Vec<SinkReport> {
        let ids: Vec<OutletId> = self.outlets.iter().map(|outlet| outlet.id).collect();
        // All begin to end before one is waited for.
        let leaving: Vec<Leaving> = ids.into_iter().filter_map(|id| self.remove(id, facts)).collect();
        leaving.into_iter().map(|leaving| leaving.report_in(haste)).collect()
    }
}

impl Outlet {
    /// Bytes that wait in its queue, of `most_bytes`.
    fn waiting(&self, most_bytes: usize) -> usize {
        // As if each batch had its part of the bytes.
        let batches = self.batch_tx.len() * (most_bytes / QUEUE_BATCHES);
        self.shared.bytes.load(Ordering::Relaxed).max(batches)
    }

    /// See [`Outlets::room`].
    fn room(&self, most_bytes: usize, now: MonoNs, patience_ns: u64) -> Option<usize> {
        let waiting = self.waiting(most_bytes);
        let carries_since = MonoNs(self.shared.carries_since.load(Ordering::Relaxed));
        let is_stuck = carries_since != MonoNs::ZERO && now.since(carries_since) >= patience_ns;
        (waiting > most_bytes / 2 && !is_stuck).then(|| most_bytes.saturating_sub(waiting))
    }

    fn deliver(&mut self, batch: &Arc<Batch>, bytes: usize, most_bytes: usize, backlog: Backlog) {
        self.last = batch.events.last().map_or(self.last, |event| event.time);
        // An empty queue takes a batch of any size, or a large one would never be taken.
        let waiting = self.shared.bytes.load(Ordering::Relaxed);
        let is_full = backlog == Backlog::Drop && waiting > 0 && waiting + bytes > most_bytes;
        if is_full || !self.send_owed(batch) || !self.send(Arc::clone(batch), backlog) {
            self.dropped += batch.events.len() as u64;
            self.owed.add(batch);
        } else {
            self.handed += batch.events.len() as u64;
        }
    }

    /// Reports the events that the output lacks before `batch`. False where there is no room for that.
    fn send_owed(&mut self, batch: &Batch) -> bool {
        // One place for the batch itself; only this thread takes places.
        let has_room = self.batch_tx.capacity().is_none_or(|most| self.batch_tx.len() + 2 <= most);
        if !has_room && !self.owed.is_empty() {
            return false;
        }
        let time = batch.events.first().map_or(self.last, |event| event.time);
        self.owed.pay(time).is_none_or(|losses| self.send(Arc::new(losses), Backlog::Drop))
    }

    fn send(&self, batch: Arc<Batch>, backlog: Backlog) -> bool {
        let bytes = batch.size_bytes();
        self.shared.bytes.fetch_add(bytes, Ordering::Relaxed);
        let message = Message::Batch(batch);
        let is_taken = match backlog {
            Backlog::Drop => self.batch_tx.try_send(message).is_ok(),
            Backlog::Wait => self.batch_tx.send(message).is_ok(),
        };
        if !is_taken {
            self.shared.bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        is_taken
    }

    /// Lets the thread end; does not wait for it.
    fn leave(mut self, facts: RunFacts) -> Leaving {
        let losses = self.owed.pay(self.last);
        // The first and only one.
        let _ = self.shared.farewell.set(Farewell { facts, losses, at: Instant::now() });
        // From a pause before another try.
        self.thread.thread().unpark();
        let Self { name, handed, dropped, shared, thread, .. } = self;
        Leaving { name, handed, dropped, shared, thread }
    }
}

/// An output that gets no more events, and writes what it has.
#[must_use]
#[derive(Debug)]
pub struct Leaving {
    name: String,
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

    fn report_in(self, haste: Haste) -> SinkReport {
        if haste == Haste::Hurried && !self.gets_done() {
            // The thread ends with the process.
            let report = report(&self.name, self.dropped, &self.shared);
            let failed = self.handed.saturating_sub(report.written + report.lost.refused);
            let error = Some("it took nothing more at the end".to_owned());
            return SinkReport { lost: Lost { failed, ..report.lost }, error, ..report };
        }
        let ended = self.thread.join();
        let report = report(&self.name, self.dropped, &self.shared);
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

fn report(name: &str, dropped: u64, shared: &Shared) -> SinkReport {
    let Standing { written, refused, failed, error } = shared.standing().clone();
    let lost = Lost { queue_full: dropped, refused, failed };
    SinkReport { name: name.to_owned(), written, lost, error }
}
