//! The tables behind the page, filled while the session goes on.
//!
//! Memory is bounded, however long the session: every table has a limit, beyond which only sums grow.

use rustc_hash::FxHashMap;
use wire::events::Kind;

use super::alerts::Alerts;
use super::failures::Failures;
use super::network::Net;
use super::places::Places;
use super::slow::SlowCalls;
use super::table::{Capped, add, kept};
use crate::event::{Batch, Event, Value};
use crate::picture::Picture;
use crate::picture::fields::{Fields, base};

/// Paths that are counted one by one.
pub const MOST_PATHS: usize = 10_000;
/// Programs that are not seen into, which are counted one by one.
const MOST_PROGRAMS: usize = 2_000;
/// Causes of loss that are counted apart, by process.
pub const MOST_LOSSES: usize = 256;
/// Kinds of events are numbered below this.
const KINDS: usize = 256;

/// Everything that a page says of a session.
#[derive(Debug)]
pub struct Gathered {
    at: Places,
    /// When the first event happened, and the last: UTC.
    pub first_ns: u64,
    pub last_ns: u64,
    /// Events by number of their kind.
    pub kinds: Vec<u64>,
    pub picture: Picture,
    pub files: Files,
    pub net: Net,
    /// By reason and process.
    pub losses: FxHashMap<(&'static str, u32), Loss>,
    pub lost: u64,
    pub cost: Cost,
    /// By path.
    pub blind: Capped<Blind>,
    pub notable: FxHashMap<Kind, Notable>,
    pub alerts: Alerts,
    pub failures: Failures,
    pub slow: SlowCalls,
}

/// Files, and failed opens.
#[derive(Debug)]
pub struct Files {
    pub by_path: Capped<FileUse>,
    pub opened: u64,
    pub failed: u64,
    /// Changes of names: removed, renamed and so on, with the first of each.
    pub changes: FxHashMap<Kind, Notable>,
}

/// The uses of a file.
#[derive(Clone, Copy, Debug, Default)]
pub struct FileUse {
    pub opens: u64,
    pub bytes_read: u64,
    pub reads: u64,
    pub bytes_written: u64,
    pub writes: u64,
    /// Times that it was made or emptied. Such a file counts as written, even if no call wrote to it.
    pub made: u64,
}

impl FileUse {
    /// Bytes and calls, where it was read.
    pub fn read(&self) -> Option<(u64, u64)> {
        (self.reads > 0).then_some((self.bytes_read, self.reads))
    }

    /// Bytes and calls, where it was written.
    pub fn written(&self) -> Option<(u64, u64)> {
        (self.writes > 0 || self.made > 0).then_some((self.bytes_written, self.writes))
    }
}

/// Events lost by a process for one reason.
#[derive(Clone, Debug, Default)]
pub struct Loss {
    pub count: u64,
    pub program: Box<[u8]>,
}

/// A program that the sensor did not enter: how often it ran, and the last reason.
#[derive(Clone, Debug, Default)]
pub struct Blind {
    pub times: u64,
    pub reason: &'static str,
}

/// Something that deserves a look: how often it happened, and the first time.
#[derive(Clone, Debug, Default)]
pub struct Notable {
    pub times: u64,
    pub program: Box<[u8]>,
    pub first: Box<[u8]>,
}

/// Sums over the processes that ended.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    pub processes: u64,
    pub sensor_ns: u64,
    pub calls: u64,
    pub processor_ns: u64,
}

impl Default for Gathered {
    fn default() -> Self {
        Self {
            at: Places::default(),
            first_ns: u64::MAX,
            last_ns: 0,
            kinds: vec![0; KINDS],
            picture: Picture::default(),
            files: Files {
                by_path: Capped::new(MOST_PATHS),
                opened: 0,
                failed: 0,
                changes: FxHashMap::default(),
            },
            net: Net::default(),
            losses: FxHashMap::default(),
            lost: 0,
            cost: Cost::default(),
            blind: Capped::new(MOST_PROGRAMS),
            notable: FxHashMap::default(),
            alerts: Alerts::default(),
            failures: Failures::default(),
            slow: SlowCalls::default(),
        }
    }
}

impl Gathered {
    /// Begins where other processes are known already.
    pub fn of(picture: Picture) -> Self {
        Self { picture, ..Self::default() }
    }

    /// Makes room for more processes where there is none: see [`Picture::forget_ended`].
    pub fn make_room(&mut self) {
        if self.picture.is_crowded() {
            let places = self.picture.forget_ended();
            self.failures.renumber(&places);
        }
    }

    /// Events of every kind.
    pub fn events(&self) -> u64 {
        self.kinds.iter().sum()
    }

    /// Adds the events of a batch.
    pub fn take(&mut self, batch: &Batch) {
        self.picture.begin(batch);
        for event in &batch.events {
            self.picture.take(batch, event);
            self.event(batch, event);
        }
        for event in batch.alerts.iter().filter_map(|alert| batch.events.get(alert.event)) {
            self.picture.alerted(event);
        }
        self.alerts.take(batch);
    }

    fn event(&mut self, batch: &Batch, event: &Event) {
        if let Some(count) = self.kinds.get_mut(event.kind as usize) {
            *count += 1;
        }
        // Not all events are in order: the `close` events of a process that died have the time of its death.
        self.first_ns = self.first_ns.min(event.time.0);
        self.last_ns = self.last_ns.max(event.time.0);
        let fields = Fields::of(batch, event);
        let place = self.picture.place(event);
        self.failures.take(batch, event, self.picture.name(batch, event), place);
        self.slow.take(batch, event, self.picture.name(batch, event));
        let has_failed = !event.error.is_empty();
        match event.kind {
            Kind::FileOpen => self.opened(event, fields),
            Kind::FileClose => self.file_closed(fields),
            Kind::SensorLoss => self.lost(batch, event, fields),
            Kind::ProcessExit => self.exited(fields),
            Kind::SensorBlind => {
                let [path, reason] = self.at.blind;
                let path = fields.text(path).unwrap_or(batch.who(event).exe());
                let blind = self.blind.at(path);
                blind.times += 1;
                blind.reason = fields.word(reason);
            }
            Kind::FileUnlink | Kind::FileRmdir | Kind::FileRename | Kind::FileMkdir if !has_failed => {
                note(
                    self.files.changes.entry(event.kind).or_default(),
                    self.picture.name(batch, event),
                    batch,
                    event,
                );
            }
            Kind::MemoryMap if is_writable_code(fields.value(self.at.map[0])) => {
                note(
                    self.notable.entry(event.kind).or_default(),
                    self.picture.name(batch, event),
                    batch,
                    event,
                );
            }
            Kind::FileChmod if fields.number(self.at.chmod[0]) & 0o6000 != 0 => {
                note(
                    self.notable.entry(event.kind).or_default(),
                    self.picture.name(batch, event),
                    batch,
                    event,
                );
            }
            Kind::ProcessTrace
            | Kind::ProcessNamespace
            | Kind::ProcessCredentials
            | Kind::KernelModule
            | Kind::KernelBpf
            | Kind::KernelUserfaultfd
            | Kind::KernelIoUring
            | Kind::SensorEvasion => note(
                self.notable.entry(event.kind).or_default(),
                self.picture.name(batch, event),
                batch,
                event,
            ),
            _ => self.net.take(event, self.picture.name(batch, event), fields),
        }
    }

    fn opened(&mut self, event: &Event, fields: Fields<'_>) {
        if !event.error.is_empty() {
            self.files.failed += 1;
            return;
        }
        self.files.opened += 1;
        let [path, flags] = self.at.open;
        if let Some(path) = fields.text(path) {
            let file = self.files.by_path.at(path);
            file.opens += 1;
            file.made += u64::from(makes_or_empties(fields.value(flags)));
        }
    }

    fn file_closed(&mut self, fields: Fields<'_>) {
        let [path, bytes_read, reads, bytes_written, writes] = self.at.file_close;
        let used = [bytes_read, reads, bytes_written, writes].map(|place| fields.number(place));
        let path = fields.text(path).filter(|path| path.starts_with(b"/"));
        if let (Some(path), true) = (path, used != [0; 4]) {
            let file = self.files.by_path.at(path);
            add(&mut file.bytes_read, used[0]);
            add(&mut file.reads, used[1]);
            add(&mut file.bytes_written, used[2]);
            add(&mut file.writes, used[3]);
        }
    }

    fn exited(&mut self, fields: Fields<'_>) {
        let [user, system, sensor, calls] = self.at.exit;
        self.cost.processes += 1;
        add(&mut self.cost.sensor_ns, fields.number(sensor));
        add(&mut self.cost.calls, fields.number(calls));
        add(&mut self.cost.processor_ns, fields.number(user).saturating_add(fields.number(system)));
    }

    fn lost(&mut self, batch: &Batch, event: &Event, fields: Fields<'_>) {
        let [count, reason] = self.at.loss;
        let (count, reason) = (fields.number(count), fields.word(reason));
        add(&mut self.lost, count);
        let who = batch.who(event);
        if self.losses.len() < MOST_LOSSES || self.losses.contains_key(&(reason, who.pid().0)) {
            let loss = self.losses.entry((reason, who.pid().0)).or_default();
            add(&mut loss.count, count);
            loss.program = kept(base(who.exe()));
        }
    }
}

/// Memory that is writable and executable at once.
fn is_writable_code(prot: Value) -> bool {
    const WRITE_AND_EXEC: u64 = 6;
    matches!(prot, Value::Names(_, bits) if bits & WRITE_AND_EXEC == WRITE_AND_EXEC)
}

/// Whether these flags of open(2) make a file or empty it.
fn makes_or_empties(flags: Value) -> bool {
    const O_CREAT_OR_O_TRUNC: u64 = (libc::O_CREAT | libc::O_TRUNC) as u64;
    matches!(flags, Value::Names(_, bits) if bits & O_CREAT_OR_O_TRUNC != 0)
}

/// Counts something that deserves a look; keeps the first program that did it, and the first text of that
/// event.
fn note(notable: &mut Notable, program: &[u8], batch: &Batch, event: &Event) {
    if notable.times == 0 {
        notable.program = kept(program);
        let first = batch.values(event).iter().find_map(|value| batch.text(*value));
        notable.first = kept(first.unwrap_or_default());
    }
    notable.times += 1;
}
