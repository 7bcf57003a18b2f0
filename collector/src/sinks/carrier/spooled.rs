//! A receiver behind a spool: the output's thread writes parcels to the disk, where they are safe, and a
//! thread of its own sends them from there.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::courier::{Backoff, Courier};
use super::kind::{Carried, Carrier, Opened, Wanted};
use super::spool::{Chunk, NotTaken, Spool};
use crate::shell::failure::{Failure, say};
use crate::sinks::framing::Found;
use crate::sinks::parcel;

/// Bytes of a spool without the option `spool-max`.
const MOST_BYTES: u64 = 256 << 20;
/// How long a spool is emptied at the end of a session, while its receiver takes something.
const LAST_PATIENCE: Duration = Duration::from_secs(10);
/// How long a flush waits for the receiver.
const FLUSH_PATIENCE: Duration = Duration::from_millis(1500);
/// The pause before a disk that refused is tried again.
const DISK_PAUSE: Duration = Duration::from_millis(500);

/// What both threads share.
#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    waiting_bytes: Arc<AtomicU64>,
}

#[derive(Debug)]
struct State {
    spool: Spool,
    /// Events that the receiver refused since the last call.
    refused: u64,
    /// What is wrong with the receiver.
    trouble: Option<String>,
    /// Everything is to go at once, for somebody waits for it.
    is_flushing: bool,
    /// When the end was decided.
    closing: Option<Instant>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // A panic ends the process.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_bytes(&self, state: &State) {
        // Relaxed: a figure by itself.
        self.waiting_bytes.store(state.spool.waiting_bytes(), Ordering::Relaxed);
    }
}

/// The carrier, see the module.
#[derive(Debug)]
struct Spooled {
    name: String,
    shared: Arc<Shared>,
    sender: Option<JoinHandle<()>>,
    disk: Backoff,
}

/// A carrier that sends by `courier` what waits in `folder`.
pub fn opened(wanted: &Wanted<'_>, folder: &Path, courier: Courier) -> Result<Opened, Failure> {
    let place = crc32fast::hash(wanted.name.as_bytes());
    let format = wanted.name.split(' ').next().unwrap_or_default();
    let most_bytes = wanted.options.spool_max.unwrap_or(MOST_BYTES);
    let spool = Spool::open(folder, &format!("{format}-{place:08x}"), most_bytes)?;
    let waiting_bytes = Arc::new(AtomicU64::new(spool.waiting_bytes()));
    let state = State { spool, refused: 0, trouble: None, is_flushing: false, closing: None };
    let shared = Arc::new(Shared {
        state: Mutex::new(state),
        wake: Condvar::new(),
        waiting_bytes: Arc::clone(&waiting_bytes),
    });
    let sender =
        Sender { name: wanted.name.to_owned(), courier, shared: Arc::clone(&shared), has_warned: false };
    let thread = std::thread::Builder::new().name("spool".into()).spawn(move || sender.work());
    let sender = thread.map_err(|error| {
        Failure::internal(format!("cannot start a thread: {error}; raise the limit of threads"))
    })?;
    let carrier =
        Spooled { name: wanted.name.to_owned(), shared, sender: Some(sender), disk: Backoff::default() };
    Ok(Opened { carrier: Box::new(carrier), found: Found::Fresh, spooled: Some(waiting_bytes) })
}

impl Carrier for Spooled {
    fn carry(&mut self, bytes: &mut Vec<u8>, events: u64) -> Carried {
        let mut state = self.shared.state();
        let taken_back = std::mem::take(&mut state.refused);
        let carried = Carried { taken_back, ..Carried::default() };
        let (taken, why) = state.spool.append(bytes);
        bytes.drain(..taken);
        let left = parcel::events(bytes).min(events);
        let carried = match why {
            None => {
                self.disk.reset();
                bytes.clear();
                Carried { written: events, ..carried }
            }
            Some(NotTaken::Full) => {
                bytes.clear();
                let trouble = state.trouble.clone().unwrap_or_else(|| "its receiver is slow".to_owned());
                let error = Some(format!("its spool is full, since {trouble}; give it more with spool-max="));
                let retry_at = Some(Instant::now());
                Carried { written: events - left, lost: left, error, retry_at, ..carried }
            }
            Some(NotTaken::Failed(error)) => {
                let retry_at = Some(Instant::now() + self.disk.next(None).min(DISK_PAUSE));
                let error = Some(format!("its spool cannot be written: {}", super::file::bare(&error)));
                Carried { written: events - left, retry_at, error, ..carried }
            }
        };
        self.shared.note_bytes(&state);
        drop(state);
        self.shared.wake.notify_all();
        carried
    }

    /// Not for longer than [`FLUSH_PATIENCE`], and not at all while the receiver is known to be in trouble.
    fn flush(&mut self) {
        let until = Instant::now() + FLUSH_PATIENCE;
        let mut state = self.shared.state();
        state.is_flushing = true;
        self.shared.wake.notify_all();
        while state.spool.sent() < state.spool.end() && state.trouble.is_none() {
            let Some(left) = until.checked_duration_since(Instant::now()) else {
                state.trouble = Some("its receiver is slow".to_owned());
                break;
            };
            state = match self.shared.wake.wait_timeout(state, left) {
                Ok((state, _)) => state,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
        state.is_flushing = false;
    }

    fn close(&mut self) -> Carried {
        self.shared.state().closing = Some(Instant::now());
        self.shared.wake.notify_all();
        if let Some(sender) = self.sender.take() {
            // A panic ends the process.
            let _ = sender.join();
        }
        let mut state = self.shared.state();
        state.spool.clean();
        let waiting = state.spool.waiting_bytes();
        if waiting > 0 {
            let why = state.trouble.take().unwrap_or_else(|| "its receiver is slow".to_owned());
            say(&format!(
                "{}: {waiting} bytes of events wait in its spool, since {why}; the next collector with this output \
                 delivers them",
                self.name
            ));
        }
        Carried { taken_back: std::mem::take(&mut state.refused), ..Carried::default() }
    }
}

/// The thread that sends.
struct Sender {
    name: String,
    courier: Courier,
    shared: Arc<Shared>,
    has_warned: bool,
}

impl Sender {
    fn work(mut self) {
        let mut is_last_try = false;
        loop {
            let mut state = self.shared.state();
            let from = state.spool.sent();
            if from >= state.spool.end() {
                if state.closing.is_some() {
                    return;
                }
                // Woken by the next parcels, or by the end.
                drop(self.shared.wake.wait(state));
                continue;
            }
            let waiting = usize::try_from(state.spool.waiting_bytes()).unwrap_or(usize::MAX);
            let is_hurried = state.is_flushing || state.closing.is_some();
            if let (false, Some(until)) = (is_hurried, self.courier.lingers(waiting)) {
                drop(self.shared.wake.wait_timeout(state, until.saturating_duration_since(Instant::now())));
                continue;
            }
            if state.closing.is_some_and(|since| since.elapsed() > LAST_PATIENCE) {
                return;
            }
            let chunk = match state.spool.read(from, self.courier.enough_bytes()) {
                Ok(chunk) => chunk,
                Err(error) => {
                    state.trouble = Some(format!("its spool cannot be read: {}", super::file::bare(&error)));
                    if state.closing.is_some() {
                        return;
                    }
                    drop(self.shared.wake.wait_timeout(state, DISK_PAUSE));
                    continue;
                }
            };
            drop(state);
            let pause = self.send(&chunk);
            let state = self.shared.state();
            match (pause, state.closing) {
                (None, _) => is_last_try = false,
                (Some(_), Some(_)) if is_last_try => return,
                // Tried once more at the end, however long the pause.
                (Some(_), Some(_)) => is_last_try = true,
                (Some(pause), None) => self.rest(state, pause),
            }
        }
    }

    /// Sends a chunk as far as the receiver takes it; gives the pause before the rest is to be sent.
    fn send(&mut self, chunk: &Chunk) -> Option<Duration> {
        if let Some(damage) = &chunk.damage {
            say(&format!("{}: {damage}", self.name));
        }
        let mut done = 0;
        while done < chunk.bytes.len() {
            let step = self.courier.step(&chunk.bytes[done..]);
            done += step.done;
            let mut state = self.shared.state();
            state.refused += step.lost;
            if let Some(position) = chunk.position(done).filter(|_| step.done > 0) {
                state.spool.note_sent(position);
                self.shared.note_bytes(&state);
            }
            if let (Some(error), false) = (&step.error, self.has_warned) {
                self.has_warned = true;
                say(&format!("cannot deliver {}: {error}; events wait in its spool", self.name));
            }
            let is_delivered = step.error.is_none() && step.done > 0;
            if is_delivered && std::mem::take(&mut self.has_warned) {
                say(&format!("{} is delivered again", self.name));
            }
            state.trouble = step.error;
            self.shared.wake.notify_all();
            if let Some(retry_at) = step.retry_at {
                return Some(retry_at.saturating_duration_since(Instant::now()));
            }
        }
        let mut state = self.shared.state();
        state.spool.note_sent(chunk.next);
        self.shared.note_bytes(&state);
        self.shared.wake.notify_all();
        None
    }

    /// Waits until the pause is over, or the session ends.
    fn rest(&self, mut state: MutexGuard<'_, State>, pause: Duration) {
        let until = Instant::now() + pause;
        while state.closing.is_none()
            && let Some(left) = until.checked_duration_since(Instant::now())
        {
            state = match self.shared.wake.wait_timeout(state, left) {
                Ok((state, _)) => state,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }
}
