//! Where events end: each output in a thread of its own, behind a queue.
//!
//! ```text
//! stages ─ queue ─→ worker: encoder (bytes) ─→ carrier (where they go)
//! ```
//!
//! A format is a row of [`formats`] with an [`encoder`] beside it; a kind of place is a row of [`carrier`].
//! Neither knows the other, but for [`framing`].

pub mod carrier;
pub mod encoder;
pub mod formats;
pub mod framing;
pub mod human;
pub mod jsonl;
mod owed;
mod queue;
pub mod recording;
mod report;
mod signals;
pub mod summary;
mod text;
mod worker;

use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};
use rustix::event::{PollFd, PollFlags, poll};

use crate::event::Batch;
use crate::failure::{Failure, say};
use crate::ids::UtcNs;
use crate::outputs::{Destination, Format, Opening, Output};

use owed::Owed;

/// Bytes of events that wait in front of all sinks together, at most. A batch is shared by the sinks that still
/// need it, so this is what a session takes when its slowest sink stands still.
const QUEUE_BYTES: usize = 8 << 20;
/// Batches that wait in front of one sink, at most.
const QUEUE_BATCHES: usize = 1024;
/// Batches that wait in front of one sink that the deliverer waits for.
const WAITING_BATCHES: usize = 16;
/// A sink's text is written once it is this long, or nothing more is waiting.
const WRITE_BYTES: usize = 256 << 10;
/// Emptied batches that wait to be filled again.
const SPARE_BATCHES: usize = 4;
/// A larger batch gives its memory back.
const SPARE_BYTES: usize = 1 << 20;

/// What happens when a sink's queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backlog {
    /// The sink loses the batch; its events are counted.
    Drop,
    /// The deliverer waits: it reads a file, which has time.
    Wait,
}

/// What the outputs are told at the end that no event says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunFacts {
    /// Collectors of this run that died before this one.
    pub restarts: u32,
    /// Processor time of the collector, nanoseconds; 0 where it was not measured.
    pub collector_ns: u64,
}

/// How one sink fared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkReport {
    /// The output as messages call it: `jsonl to '/x'`.
    pub name: String,
    /// Events written.
    pub written: u64,
    /// Events that its queue had no room for.
    pub dropped: u64,
    /// Events that came after a write had failed, or with it.
    pub failed: u64,
    /// Why the write failed.
    pub error: Option<String>,
}

impl SinkReport {
    /// One line about what is not in the output; `None` where nothing is missing.
    pub fn line(&self) -> Option<String> {
        let name = &self.name;
        match (&self.error, self.dropped) {
            (Some(error), dropped) => Some(format!(
                "{name} lacks {} events: {error}; make room there, or give it another destination",
                self.failed + dropped
            )),
            (None, 0) => None,
            (None, dropped) => Some(format!(
                "{name} lacks {dropped} of {} events: it was too slow for them; give it a faster destination, or \
                 use 'recording' and replay it",
                self.written + dropped
            )),
        }
    }
}

/// A format: turns batches into bytes. Lives in the sink's thread.
trait Sink: Send {
    /// What stands at the beginning of a fresh output, or is needed before an output goes on.
    fn begin(&mut self, _out: &mut Vec<u8>) {}
    /// Appends what is to be written for a batch.
    fn batch(&mut self, batch: &Batch, out: &mut Vec<u8>);
    /// Appends what stands at the end.
    fn end(&mut self, _facts: &RunFacts, _out: &mut Vec<u8>) {}
}

/// All outputs of a session.
#[derive(Debug)]
pub struct Outlets {
    outlets: Vec<Outlet>,
    backlog: Backlog,
    spare_rx: Receiver<Batch>,
}

/// One output, as the deliverer sees it.
#[derive(Debug)]
struct Outlet {
    name: String,
    batch_tx: Sender<Message>,
    queue: Arc<Queue>,
    most_bytes: usize,
    dropped: u64,
    owed: Owed,
    /// Time of the last event that it was to get.
    last: UtcNs,
    thread: JoinHandle<Written>,
}

#[derive(Debug)]
enum Message {
    Batch(Arc<Batch>),
    /// Write what came before, then drop this.
    Flush(Sender<()>),
    End(RunFacts),
}

/// What the deliverer and the sink's thread share besides the channel.
#[derive(Debug, Default)]
struct Queue {
    /// Bytes of the batches that wait.
    bytes: AtomicUsize,
}

/// What a sink's thread leaves.
#[derive(Debug, Default)]
struct Written {
    written: u64,
    failed: u64,
    error: Option<String>,
}

impl Outlets {
    /// Opens every output and starts its thread.
    ///
    /// Fails with status 73 if one cannot be made; those opened before stay empty.
    pub fn open(outputs: &[Output], opening: Opening, backlog: Backlog) -> Result<Self, Failure> {
        let mut opened = Vec::with_capacity(outputs.len());
        for output in outputs {
            let mut file = output.destination.open(opening)?;
            opened.push((output, sink(output, opening, &mut file), file));
        }
        let (spare_tx, spare_rx) = bounded(SPARE_BATCHES);
        let most_bytes = QUEUE_BYTES / outputs.len().max(1);
        let mut outlets = Vec::with_capacity(opened.len());
        for (output, sink, file) in opened {
            let has_lines = matches!(output.format, Format::Jsonl | Format::Human);
            let writer = Writer { name: name(output), file, has_lines, outcome: Written::default() };
            outlets.push(Outlet::start(sink, writer, backlog, most_bytes, spare_tx.clone())?);
        }
        Ok(Self { outlets, backlog, spare_rx })
    }

    /// Hands a batch to every sink. Never waits for one, unless the backlog says so.
    pub fn deliver(&mut self, batch: Arc<Batch>) {
        if batch.is_empty() {
            return;
        }
        let bytes = batch.size_bytes();
        for outlet in &mut self.outlets {
            outlet.deliver(&batch, bytes, self.backlog);
        }
    }

    /// An empty batch, with the memory of one that every sink is done with where there is one.
    pub fn empty_batch(&self) -> Batch {
        self.spare_rx.try_recv().unwrap_or_default()
    }

    /// Whether every queue is less than half full: a drain that has room elsewhere may wait a little while not.
    pub fn has_room(&self) -> bool {
        self.outlets.iter().all(|outlet| {
            outlet.queue.bytes.load(Ordering::Relaxed) <= outlet.most_bytes / 2
                && outlet.batch_tx.len() <= QUEUE_BATCHES / 2
        })
    }

    /// Lets every sink write what it has got, and then drop its copy of `done_tx`. One whose queue is full is not waited
    /// for.
    pub fn flush(&self, done_tx: &Sender<()>) {
        for outlet in &self.outlets {
            let _ = outlet.batch_tx.try_send(Message::Flush(done_tx.clone()));
        }
    }

    /// Events that each sink's queue had no room for, so far.
    #[cfg(test)]
    pub fn dropped(&self) -> impl Iterator<Item = u64> {
        self.outlets.iter().map(|outlet| outlet.dropped)
    }

    /// Lets every sink write what it has, and waits for it. Says on stderr what is missing from which output.
    pub fn finish(self, facts: RunFacts) -> Vec<SinkReport> {
        let reports = self.close(facts);
        for line in reports.iter().filter_map(SinkReport::line) {
            say(&line);
        }
        reports
    }

    /// As [`Self::finish`], without a word.
    pub fn close(mut self, facts: RunFacts) -> Vec<SinkReport> {
        // All first, so that they end side by side.
        for outlet in &mut self.outlets {
            if let Some(losses) = outlet.owed.pay(outlet.last) {
                let _ = outlet.batch_tx.send(Message::Batch(Arc::new(losses)));
            }
            // A thread that is gone has nothing to end; its join says so below.
            let _ = outlet.batch_tx.send(Message::End(facts));
        }
        self.outlets.into_iter().map(Outlet::join).collect()
    }
}

impl Outlet {
    fn start(
        sink: Box<dyn Sink>,
        writer: Writer,
        backlog: Backlog,
        most_bytes: usize,
        spare_tx: Sender<Batch>,
    ) -> Result<Self, Failure> {
        let (batch_tx, batch_rx) = bounded(match backlog {
            Backlog::Drop => QUEUE_BATCHES,
            Backlog::Wait => WAITING_BATCHES,
        });
        let (queue, name) = (Arc::new(Queue::default()), writer.name.clone());
        let shared = Arc::clone(&queue);
        let thread = thread::Builder::new()
            .name(name.chars().take(15).collect())
            .spawn(move || work(sink, writer, &batch_rx, &shared, &spare_tx))
            .map_err(|error| {
                Failure::internal(format!(
                    "cannot start a thread for {name}: {error}; raise the limit of threads"
                ))
            })?;
        Ok(Self {
            name,
            batch_tx,
            queue,
            most_bytes,
            dropped: 0,
            owed: Owed::default(),
            last: UtcNs::default(),
            thread,
        })
    }

    fn deliver(&mut self, batch: &Arc<Batch>, bytes: usize, backlog: Backlog) {
        self.last = batch.events.last().map_or(self.last, |event| event.time);
        // An empty queue takes a batch of any size, or a large one would never be taken.
        let waiting = self.queue.bytes.load(Ordering::Relaxed);
        let is_full = backlog == Backlog::Drop && waiting > 0 && waiting + bytes > self.most_bytes;
        if is_full || !self.send_owed(batch) || !self.send(Arc::clone(batch), backlog) {
            self.dropped += batch.events.len() as u64;
            self.owed.add(batch);
        }
    }

    /// Tells of the events that the output lacks before `batch`. False where there is no room for that.
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
        self.queue.bytes.fetch_add(bytes, Ordering::Relaxed);
        let message = Message::Batch(batch);
        let is_taken = match backlog {
            Backlog::Drop => self.batch_tx.try_send(message).is_ok(),
            Backlog::Wait => self.batch_tx.send(message).is_ok(),
        };
        if !is_taken {
            self.queue.bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        is_taken
    }

    fn join(self) -> SinkReport {
        let dropped = self.dropped;
        drop(self.batch_tx);
        let outcome = self.thread.join().unwrap_or_else(|_| Written {
            error: Some("its thread ended by a fault of ours".to_owned()),
            ..Written::default()
        });
        let Written { written, failed, error } = outcome;
        SinkReport { name: self.name, written, dropped, failed, error }
    }
}

/// A sink's thread.
fn work(
    mut sink: Box<dyn Sink>,
    mut writer: Writer,
    batch_rx: &Receiver<Message>,
    queue: &Queue,
    spare_tx: &Sender<Batch>,
) -> Written {
    let mut text = Vec::new();
    let mut events = 0;
    sink.begin(&mut text);
    loop {
        let message = match batch_rx.try_recv() {
            Ok(message) => message,
            Err(TryRecvError::Disconnected) => return writer.outcome,
            Err(TryRecvError::Empty) => {
                writer.write(&mut text, &mut events);
                let Ok(message) = batch_rx.recv() else { return writer.outcome };
                message
            }
        };
        match message {
            Message::Batch(batch) => {
                events += batch.events.len() as u64;
                if writer.is_open() {
                    sink.batch(&batch, &mut text);
                }
                queue.bytes.fetch_sub(batch.size_bytes(), Ordering::Relaxed);
                recycle(batch, spare_tx);
                if text.len() >= WRITE_BYTES || !writer.is_open() {
                    writer.write(&mut text, &mut events);
                }
            }
            Message::Flush(done_tx) => {
                writer.write(&mut text, &mut events);
                drop(done_tx);
            }
            Message::End(facts) => {
                if writer.is_open() {
                    sink.end(&facts, &mut text);
                }
                writer.write(&mut text, &mut events);
                return writer.outcome;
            }
        }
    }
}

/// Gives the memory of a batch that nobody else needs back to the drain.
fn recycle(batch: Arc<Batch>, spare_tx: &Sender<Batch>) {
    if let Some(mut batch) = Arc::into_inner(batch)
        && batch.size_bytes() <= SPARE_BYTES
    {
        batch.clear();
        // Enough are waiting already.
        let _ = spare_tx.try_send(batch);
    }
}

/// An output's file, until a write to it fails.
#[derive(Debug)]
struct Writer {
    name: String,
    file: File,
    /// Whether each line stands for itself.
    has_lines: bool,
    outcome: Written,
}

impl Writer {
    fn is_open(&self) -> bool {
        self.outcome.error.is_none()
    }

    /// Writes and empties `text`, which stands for `events` events.
    fn write(&mut self, text: &mut Vec<u8>, events: &mut u64) {
        let events = std::mem::take(events);
        if self.is_open()
            && let Err((written, error)) = write_all(&mut self.file, text)
        {
            if self.has_lines {
                cut_to_line(&self.file, text.get(..written).unwrap_or_default());
            }
            let error = bare(&error);
            say(&format!("cannot write {}: {error}; events after this are not in it", self.name));
            self.outcome.error = Some(error);
        }
        text.clear();
        if self.is_open() {
            self.outcome.written += events;
        } else {
            self.outcome.failed += events;
        }
    }
}

/// As `Write::write_all`, but waits where the descriptor does not block: a terminal or pipe that is shared with a
/// program which made it so. An error comes with how much was written before it.
fn write_all(file: &mut File, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
    let mut done = 0;
    while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
        match file.write(rest) {
            Ok(0) => return Err((done, io::ErrorKind::WriteZero.into())),
            Ok(written) => done += written,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                // Whatever poll says, the next write says it better.
                let _ = poll(&mut [PollFd::new(&file.as_fd(), PollFlags::OUT)], None);
            }
            Err(error) => return Err((done, error)),
        }
    }
    Ok(())
}

/// Takes the beginning of a line off the end of a file that `written` went to: half a line is none to whoever reads it.
fn cut_to_line(file: &File, written: &[u8]) {
    let whole = written.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let begun = (written.len() - whole) as u64;
    let (Ok(metadata), Ok(at)) = (file.metadata(), (&*file).stream_position()) else { return };
    // Nobody else may have written behind us; and what cannot be cut stays as it is.
    if begun > 0 && metadata.is_file() && metadata.len() == at {
        let _ = file.set_len(at - begun);
    }
}

/// The message without the number that std adds.
fn bare(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

fn name(output: &Output) -> String {
    let format = output.format.name();
    match &output.destination {
        Destination::Stdout => format!("{format} to stdout"),
        Destination::Stderr => format!("{format} to stderr"),
        // A line feed in the path would make two lines of a message.
        Destination::File(path) => format!("{format} to '{}'", path.display()).replace('\n', "\\n"),
    }
}

fn sink(output: &Output, opening: Opening, file: &mut File) -> Box<dyn Sink> {
    let style = text::Style::new(output.destination.is_coloured());
    match output.format {
        Format::Summary => Box::new(summary::Summary::new(style)),
        Format::Human => Box::new(human::Human::new(style)),
        Format::Jsonl => Box::new(jsonl::Jsonl::new(opening, file)),
        Format::Recording => Box::new(recording::writer::Recording::new(opening, file)),
    }
}

/// Opens a regular file that is open for writing once more, for reading: what an earlier collector left in it.
/// `None` for a pipe, a terminal, or without /proc.
fn reopen(file: &File) -> Option<File> {
    let is_file = file.metadata().is_ok_and(|metadata| metadata.is_file());
    let path = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
    is_file.then(|| File::open(path).ok()).flatten()
}

#[cfg(test)]
pub mod tests;
