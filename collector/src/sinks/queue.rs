//! A queue in front of each output, so that the pipeline waits for none of them.
//!
//! [`Outlets::deliver`] hands every batch to every queue. An output that cannot keep up loses events, which
//! are counted for it alone and reported in it alone ([`super::owed`]). In a `replay`, which can wait, a full
//! queue holds the reader up ([`Backlog`]).

use std::ffi::OsString;
use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::carrier::kind::{Opened, Opening};
use super::encoder::{Encoder, RunFacts};
use super::outlet::{Backlog, Haste, Leaving, Outlet, OutletId, QUEUE_BATCHES};
use super::report::SinkReport;
use super::worker::{Ask, Chooser, Message, Shared, Worker};
use crate::event::Batch;
use crate::ids::MonoNs;
use crate::metrics::Metrics;
use crate::outputs::Output;
use crate::shell::failure::{Failure, say};
use crate::system::pulse::Pulses;

/// Bytes of events that wait in front of all outputs together, at most. The outputs share a batch until the
/// last of them has encoded it, so a session takes no more than this when its slowest output stands still.
const QUEUE_BYTES: usize = 8 << 20;
/// The same in front of the page about everything so far.
const PAGE_BYTES: usize = 1 << 20;
/// Batches that wait in front of one output that the deliverer waits for.
const WAITING_BATCHES: usize = 16;
/// Emptied batches that wait to be filled again.
const SPARE_BATCHES: usize = 4;

/// An output whose destination takes one piece for so long is not waited for, where there are others.
const STUCK_NS: u64 = 50_000_000;
/// The same where it is the only one, which then delays no other. Longer than the kernel lets a writer wait
/// for a disk (200 ms, `MAX_PAUSE` of balance_dirty_pages).
const STUCK_ALONE_NS: u64 = 250_000_000;

/// A change of a running session's outputs, asked for by another thread.
pub enum OutputChange {
    /// Another output, which gets the events from here on. Its queue takes nothing from the others, neither
    /// they nor the pipeline wait for it, and what it lacks is its own affair.
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
        /// Has its id since it was added, or the reason why it was not.
        id_rx: Receiver<Result<OutletId, Failure>>,
    },
}

impl std::fmt::Debug for OutputChange {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Add { name, .. } => write!(formatter, "add {name}"),
            Self::Remove { .. } => write!(formatter, "remove"),
        }
    }
}

/// An output that is opened and ready to start.
pub struct Ready {
    /// As `-o` takes it.
    spelling: OsString,
    name: String,
    encoder: Box<dyn Encoder>,
    opened: Opened,
    chooser: Option<Chooser>,
}

impl Ready {
    /// Opens an output. Fails with status 73 and a remedy.
    pub fn of(output: &Output, opening: Opening) -> Result<Self, Failure> {
        let (encoder, opened) = output.open(opening)?;
        let (spelling, name, chooser) = (output.spelling(), output.shown(), output.chooser()?);
        Ok(Self { spelling, name, encoder, opened, chooser })
    }
}

/// The outputs that go, by their spelling, and those that come. All others are opened anew.
#[derive(Default)]
pub struct Exchange {
    pub removed: Vec<OsString>,
    pub added: Vec<Ready>,
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let added: Vec<&OsString> = self.added.iter().map(|ready| &ready.spelling).collect();
        write!(formatter, "remove {:?}, add {added:?}", self.removed)
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
    /// See [`Self::gather_page`].
    page: Option<Outlet>,
    /// Those that were added by a change.
    watching: Vec<Outlet>,
    /// Outputs that were taken away, and may still write.
    leaving: Vec<Leaving>,
    metrics: Option<Arc<Metrics>>,
    pulses: Arc<Pulses>,
    spare_tx: Sender<Batch>,
    spare_rx: Receiver<Batch>,
}

/// The format of an output that messages call so: `jsonl to '/x'`.
fn format_of(name: &str) -> &str {
    name.split(' ').next().unwrap_or_default()
}

impl Outlets {
    /// Without an output: events go nowhere.
    pub fn none(backlog: Backlog) -> Self {
        let (spare_tx, spare_rx) = bounded(SPARE_BATCHES);
        let (outlets, watching, page, leaving, pulses) =
            (Vec::new(), Vec::new(), None, Vec::new(), Arc::default());
        let (most_bytes, next_id) = (QUEUE_BYTES, 0);
        let metrics = None;
        Self {
            outlets,
            backlog,
            most_bytes,
            next_id,
            page,
            watching,
            leaving,
            metrics,
            pulses,
            spare_tx,
            spare_rx,
        }
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
        let ready: Result<Vec<_>, Failure> =
            outputs.iter().map(|output| Ready::of(output, opening)).collect();
        let mut outlets = Self { pulses: Arc::clone(pulses), ..Self::none(backlog) };
        for ready in ready? {
            outlets.add_ready(ready)?;
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
        self.add_ready(Ready { spelling: OsString::new(), name, encoder, opened, chooser: None })
    }

    /// Gathers a page of its own about everything that is delivered, for [`Self::show_page`]. Its queue takes
    /// nothing from the others, and neither they nor the pipeline wait for it.
    pub fn gather_page(&mut self) -> Result<(), Failure> {
        let (encoder, opened) = Output::page().open(Opening::Fresh)?;
        self.page = self.added_aside("the summary so far".into(), encoder, opened)?;
        Ok(())
    }

    /// An output that does not stand among the others, and that no metric tells of.
    fn added_aside(
        &mut self,
        name: String,
        encoder: Box<dyn Encoder>,
        opened: Opened,
    ) -> Result<Option<Outlet>, Failure> {
        let metrics = self.metrics.take();
        let added = self.add(name, encoder, opened);
        self.metrics = metrics;
        added?;
        let added = self.outlets.pop();
        self.share_budget();
        Ok(added)
    }

    /// Counts from here on what is delivered, and how each output stands.
    pub fn count_in(&mut self, metrics: Arc<Metrics>) {
        for outlet in &self.outlets {
            metrics.add_output(format_of(&outlet.name), &outlet.shared);
        }
        self.metrics = Some(metrics);
    }

    /// Writes the page about everything so far to stderr.
    pub fn show_page(&mut self) {
        if let Some(page) = &mut self.page {
            page.ask(Ask::Page);
        }
    }

    /// Opens every output anew, takes some away, and adds others.
    pub fn exchange(&mut self, Exchange { removed, added }: Exchange) {
        for spelling in removed {
            let is_it = |outlet: &Outlet| outlet.spelling == spelling;
            if let Some(id) = self.outlets.iter().find(|outlet| is_it(outlet)).map(|outlet| outlet.id)
                && let Some(leaving) = self.remove(id, RunFacts::default())
            {
                self.leaving.push(leaving);
            }
        }
        self.outlets.iter_mut().for_each(|outlet| outlet.ask(Ask::Reopen));
        for ready in added {
            if let Err(failure) = self.add_ready(ready) {
                say(&failure.to_string());
            }
        }
    }

    fn add_ready(&mut self, ready: Ready) -> Result<OutletId, Failure> {
        let Ready { spelling, name, encoder, opened, chooser } = ready;
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
        if let Some(metrics) = &self.metrics {
            metrics.add_output(format_of(&name), &shared);
        }
        self.outlets.push(Outlet::new(id, spelling, name, batch_tx, shared, thread));
        self.share_budget();
        Ok(id)
    }

    /// Takes an output away. It writes what it has got, and its end, while the others go on.
    ///
    /// Does not wait: [`Leaving::report`] does. `None` for an output that has been taken away before.
    pub fn remove(&mut self, id: OutletId, facts: RunFacts) -> Option<Leaving> {
        let place = self.outlets.iter().position(|outlet| outlet.id == id)?;
        let leaving = self.outlets.remove(place).leave(facts, self.most_bytes);
        self.share_budget();
        Some(leaving)
    }

    /// Carries out a change that another thread asked for. An answer that is not waited for any more is
    /// dropped.
    pub fn change(&mut self, change: OutputChange) {
        match change {
            OutputChange::Add { name, encoder, opened, id_tx } => {
                let added = self.added_aside(name, encoder, opened).map(|added| {
                    self.watching.extend(added);
                    OutletId(self.next_id - 1)
                });
                let _ = id_tx.send(added);
            }
            OutputChange::Remove { id_rx } => {
                let Ok(Ok(id)) = id_rx.try_recv() else { return };
                if let Some(place) = self.watching.iter().position(|outlet| outlet.id == id) {
                    // It writes the rest by itself.
                    drop(self.watching.swap_remove(place).leave(RunFacts::default(), PAGE_BYTES));
                }
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
        if let Some(metrics) = &self.metrics {
            metrics.note(&batch);
        }
        let bytes = batch.size_bytes();
        for outlet in &mut self.outlets {
            outlet.deliver(&batch, bytes, self.most_bytes, self.backlog);
        }
        for aside in self.page.iter_mut().chain(&mut self.watching) {
            aside.deliver(&batch, bytes, PAGE_BYTES, Backlog::Drop);
        }
    }

    /// Whether an output has losses to report.
    pub fn owes(&self) -> bool {
        self.outlets.iter().chain(&self.page).chain(&self.watching).any(Outlet::owes)
    }

    /// Lets every output report its losses, where that is due, although no event follows.
    pub fn report_losses(&mut self, now: MonoNs) {
        let aside = self.page.iter_mut().chain(&mut self.watching);
        self.outlets.iter_mut().chain(aside).for_each(|outlet| outlet.send_due(now));
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

    /// Whether no queue is full: then [`Self::deliver`] and [`Self::flush`] wait for none.
    #[cfg(feature = "nats")]
    pub fn has_place(&self) -> bool {
        self.outlets.iter().all(Outlet::has_place)
    }

    /// Why an output has taken nothing more, where one has ended.
    #[cfg(feature = "nats")]
    pub fn failed(&self) -> Option<String> {
        let ended = self.outlets.iter().find(|outlet| outlet.shared.standing().failed > 0)?;
        Some(ended.trouble())
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
        self.outlets.iter().map(Outlet::report).collect()
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
        // Watchers get what they were sent, and are not waited for. The page is not wanted any more.
        for watching in self.watching.drain(..) {
            drop(watching.leave(facts, PAGE_BYTES));
        }
        // All begin to end before one is waited for.
        let leaving: Vec<Leaving> = ids.into_iter().filter_map(|id| self.remove(id, facts)).collect();
        self.leaving.into_iter().chain(leaving).map(|leaving| leaving.report_in(haste)).collect()
    }
}
