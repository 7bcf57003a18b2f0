//! The thread of one output: takes batches out of the queue, passes them to the encoder, and its bytes to the
//! carrier.
//!
//! The thread alone waits for a slow carrier, or for one that asks to be tried again later. Meanwhile the
//! queue fills.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError};

use super::carrier::kind::{Carried, Carrier, Opened, Renewal};
use super::encoder::{Encoder, RunFacts};
use super::framing::Found;
use super::strain::Spent;
use crate::event::Batch;
use crate::ids::MonoNs;
use crate::shell::failure::say;
use crate::system::clock::processor_time_ns;
use crate::system::pulse::Pulse;

/// A batch that is larger is not used again.
const SPARE_BYTES: usize = 512 << 10;
/// How long a carrier that asks to be tried again is tried after the end of the session.
const LAST_PATIENCE: Duration = Duration::from_secs(2);
/// The shortest pause before a carrier is tried again, whatever it asks for.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);

/// A message to the thread of an output.
#[derive(Debug)]
pub enum Message {
    /// Events.
    Batch(Arc<Batch>),
    /// Asks the thread to write everything before this, and then to drop it.
    Flush(Sender<()>),
    /// Asks for something else.
    Ask(Ask),
}

/// What else a thread is asked for, after everything that came before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// To open its place anew.
    Reopen,
    /// To write its page as it would be at the end, and to go on.
    Page,
}

/// State that the deliverer and the thread share besides the channel. The end of the channel is the end of
/// the output.
#[derive(Debug, Default)]
pub struct Shared {
    /// Bytes of the batches that wait.
    pub bytes: AtomicUsize,
    /// Since when the carrier has been taking bytes, CLOCK_MONOTONIC; 0 while it has none to take.
    pub carries_since: AtomicU64,
    /// What the thread has spent.
    pub spent: Spent,
    /// Batches that wait.
    pub batches: AtomicUsize,
    /// Events that found no room.
    pub dropped: AtomicU64,
    /// Bytes that wait in its spool, where it has one.
    pub spooled: OnceLock<Arc<AtomicU64>>,
    /// Set before the channel is closed; without it nothing more is written.
    pub farewell: OnceLock<Farewell>,
    standing: Mutex<Standing>,
}

/// The last message to an output.
#[derive(Debug)]
pub struct Farewell {
    /// For the encoder.
    pub facts: RunFacts,
    /// Losses that the output has not reported yet.
    pub losses: Option<Batch>,
    /// When the end was decided.
    pub at: Instant,
}

/// Counts of the events that came out of the queue.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// Events written.
    pub written: u64,
    /// Events that the place refused.
    pub refused: u64,
    /// Events that came with, or after, the carrier's end.
    pub failed: u64,
    /// The carrier's last error; `None` if it has written everything since.
    pub error: Option<String>,
}

impl Shared {
    /// The counts; also at any time before the end.
    pub fn standing(&self) -> MutexGuard<'_, Standing> {
        // Whole at any time: counters only.
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Chooses the events of one output out of a batch.
pub type Chooser = Box<dyn FnMut(&Batch) -> Batch + Send>;

/// The thread's state.
pub struct Worker {
    name: String,
    encoder: Box<dyn Encoder>,
    chooser: Option<Chooser>,
    carrier: Box<dyn Carrier>,
    found: Found,
    shared: Arc<Shared>,
    /// Tells that the thread gets on.
    pulse: Arc<Pulse>,
    /// Bytes that the carrier has not taken, and the events that they stand for.
    text: Vec<u8>,
    events: u64,
    /// The carrier takes bytes, or will.
    is_open: bool,
    /// The user knows that the carrier has trouble.
    has_warned: bool,
    /// It was tried once more after the end of the session.
    has_tried_last: bool,
}

impl Worker {
    /// A worker for the output `name`.
    pub fn new(
        name: String,
        encoder: Box<dyn Encoder>,
        opened: Opened,
        shared: Arc<Shared>,
        pulse: Arc<Pulse>,
    ) -> Self {
        let Opened { carrier, found, spooled } = opened;
        if let Some(spooled) = spooled {
            // The first and only one.
            let _ = shared.spooled.set(spooled);
        }
        let (text, events) = (Vec::new(), 0);
        Self {
            name,
            encoder,
            chooser: None,
            carrier,
            found,
            shared,
            pulse,
            text,
            events,
            is_open: true,
            has_warned: false,
            has_tried_last: false,
        }
    }

    /// The same, for the events that `chooser` chooses.
    #[must_use]
    pub fn choosing(mut self, chooser: Option<Chooser>) -> Self {
        self.chooser = chooser;
        self
    }

    /// Works until the channel is closed.
    pub fn work(mut self, batch_rx: &Receiver<Message>, spare_tx: &Sender<Batch>) {
        self.encoder.begin(self.found, &mut self.text);
        loop {
            let message = match batch_rx.try_recv() {
                Ok(message) => message,
                Err(TryRecvError::Disconnected) => break,
                Err(TryRecvError::Empty) => {
                    if self.encoder_due_at().is_some_and(|due| due <= Instant::now()) {
                        self.encoder.flush(&mut self.text);
                    }
                    let lingers = self.lingers();
                    if lingers.is_none() {
                        self.carry();
                    }
                    self.pulse.rest();
                    match self.rest(batch_rx, lingers) {
                        Ok(message) => message,
                        Err(RecvTimeoutError::Timeout) => continue,
                        Err(RecvTimeoutError::Disconnected) => break,
                    }
                }
            };
            self.pulse.begin(MonoNs::now());
            match message {
                Message::Batch(batch) => {
                    self.encode(&batch);
                    self.shared.bytes.fetch_sub(batch.size_bytes(), Ordering::Relaxed);
                    self.shared.batches.fetch_sub(1, Ordering::Relaxed);
                    recycle(batch, spare_tx);
                    if self.text.len() >= self.carrier.enough_bytes() || !self.is_open {
                        self.carry();
                    }
                }
                Message::Flush(done_tx) => {
                    self.encoder.flush(&mut self.text);
                    self.carry();
                    self.carrier.flush();
                    drop(done_tx);
                }
                Message::Ask(Ask::Reopen) => {
                    self.carry();
                    self.renew(Renewal::Asked);
                }
                Message::Ask(Ask::Page) => {
                    let facts = RunFacts { collector_ns: processor_time_ns(), ..RunFacts::default() };
                    self.encoder.end(&facts, &mut self.text);
                    self.carry();
                }
            }
        }
        let shared = Arc::clone(&self.shared);
        let Some(farewell) = shared.farewell.get() else { return };
        if let Some(losses) = &farewell.losses {
            self.encode(losses);
        }
        if self.is_open {
            self.encoder.end(&farewell.facts, &mut self.text);
        }
        self.carry();
        let closed = self.carrier.close();
        self.take_back(&closed);
    }

    /// Until when more is waited for, where the carrier would rather not go with so little.
    fn lingers(&self) -> Option<Instant> {
        let is_some = self.is_open && !self.text.is_empty();
        is_some.then(|| self.carrier.lingers(self.text.len())).flatten()
    }

    /// When the encoder has something that was held back for long enough.
    fn encoder_due_at(&self) -> Option<Instant> {
        self.encoder.due_at().filter(|_| self.is_open)
    }

    /// Waits for a message, or for a time at which something is due.
    fn rest(
        &self,
        batch_rx: &Receiver<Message>,
        lingers: Option<Instant>,
    ) -> Result<Message, RecvTimeoutError> {
        let due_at = self.carrier.due_at().filter(|_| self.is_open);
        match due_at.into_iter().chain(lingers).chain(self.encoder_due_at()).min() {
            Some(due) => batch_rx.recv_deadline(due),
            None => batch_rx.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }

    /// Opens the place anew. What was encoded has been carried.
    fn renew(&mut self, why: Renewal) {
        match self.carrier.renew(why) {
            Ok(None) => {}
            Ok(Some(found)) => {
                if self.is_open {
                    self.encoder.part(&mut self.text);
                    self.carry_all();
                }
                self.carrier.switch();
                (self.is_open, self.has_warned) = (true, false);
                self.shared.standing().error = None;
                self.encoder.begin(found, &mut self.text);
            }
            Err(failure) if self.is_open => say(&format!("{failure}; what is open is written to meanwhile")),
            Err(failure) => say(&failure.to_string()),
        }
    }

    fn encode(&mut self, batch: &Batch) {
        let chosen = self.chooser.as_mut().map(|choose| choose(batch));
        let batch = chosen.as_ref().unwrap_or(batch);
        self.events += batch.events.len() as u64;
        if self.is_open {
            let begun = MonoNs::now();
            self.encoder.batch(batch, &mut self.text);
            self.shared.spent.encoded_since(begun);
        }
    }

    /// Lets the carrier take the text, and opens the place anew where that is due.
    fn carry(&mut self) {
        self.carry_all();
        if self.is_open && self.carrier.due_at().is_some_and(|due| due <= Instant::now()) {
            self.renew(Renewal::Due);
        }
    }

    /// Lets the carrier take the text, however long that takes. Afterwards each of its events is counted, as
    /// written or as lost.
    fn carry_all(&mut self) {
        // Relaxed: a time by itself.
        let begun = MonoNs::now();
        self.shared.carries_since.store(begun.0, Ordering::Relaxed);
        while self.is_open && !self.text.is_empty() {
            let carried = self.carrier.carry(&mut self.text, self.events);
            let Some(retry_at) = self.note(carried) else { break };
            if !self.wait_until(retry_at) {
                self.is_open = false;
                let mut standing = self.shared.standing();
                standing.error.get_or_insert_with(|| "the destination took nothing more".to_owned());
            }
        }
        self.shared.carries_since.store(0, Ordering::Relaxed);
        self.shared.spent.carried_since(begun);
        self.text.clear();
        let events = std::mem::take(&mut self.events);
        let mut standing = self.shared.standing();
        if self.is_open {
            standing.written += events;
        } else {
            standing.failed += events;
        }
    }

    /// Counts the result; gives the time at which the rest of the text is to be tried again.
    fn note(&mut self, carried: Carried) -> Option<Instant> {
        self.take_back(&carried);
        let Carried { written, lost, retry_at, error, .. } = carried;
        let written = written.min(self.events);
        let refused = lost.min(self.events - written);
        self.events -= written + refused;
        self.is_open = retry_at.is_some() || error.is_none();
        let retry_at = retry_at.filter(|_| !self.text.is_empty());
        let mut standing = self.shared.standing();
        standing.written += written;
        standing.refused += refused;
        if self.is_open && retry_at.is_none() {
            // Neither written nor to be tried again.
            standing.refused += std::mem::take(&mut self.events);
        }
        if let (Some(error), false) = (&error, self.has_warned) {
            self.has_warned = true;
            let (name, what) = (&self.name, if self.is_open { RETRIED } else { LOST });
            say(&format!("cannot write {name}: {error}; {what}"));
        }
        standing.error = error;
        retry_at
    }

    /// Counts events that were refused after they had been counted as written.
    fn take_back(&self, carried: &Carried) {
        let mut standing = self.shared.standing();
        let taken_back = carried.taken_back.min(standing.written);
        standing.written -= taken_back;
        standing.refused += taken_back;
    }

    /// Waits for the time of another try; false where the session ends and has waited long enough. At the end
    /// it is tried once at once, however long the pause.
    fn wait_until(&mut self, retry_at: Instant) -> bool {
        let retry_at = retry_at.max(Instant::now() + SHORTEST_PAUSE);
        loop {
            let now = Instant::now();
            let last = self.shared.farewell.get().map(|farewell| farewell.at + LAST_PATIENCE);
            if last.is_some() && !std::mem::replace(&mut self.has_tried_last, last.is_some()) {
                return true;
            }
            if last.is_some_and(|last| now >= last) {
                return false;
            }
            let until = last.map_or(retry_at, |last| last.min(retry_at));
            match until.checked_duration_since(now).filter(|left| !left.is_zero()) {
                // Unparked at the end of the session.
                Some(left) => thread::park_timeout(left),
                None => return true,
            }
        }
    }
}

const LOST: &str = "events after this are not in it";
const RETRIED: &str = "it is tried again, and events that find no room meanwhile are not in it";

/// Gives the memory of a batch that no other output needs back to the drain.
fn recycle(batch: Arc<Batch>, spare_tx: &Sender<Batch>) {
    if let Some(mut batch) = Arc::into_inner(batch)
        && batch.taken_bytes() <= SPARE_BYTES
    {
        batch.clear();
        // Enough are waiting already.
        let _ = spare_tx.try_send(batch);
    }
}
