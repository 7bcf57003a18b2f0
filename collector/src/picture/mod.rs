//! The processes of a session, rebuilt from events alone: the same in a live session and in a `replay`.
//!
//! A [`Process`] lives from its first event to its exit, through all images that it ran. The `summary` draws
//! these.

mod did;
pub mod fields;
mod room;

use rustc_hash::FxHashMap;
use wire::events::Kind;

use crate::event::{Batch, Event, Value, Who};
use crate::ids::ProcessKey;

pub use did::Did;
use fields::{Fields, base, places};

/// Processes that are kept apart; later ones only count.
const MOST_PROCESSES: usize = 10_000;
/// Bytes of an argument vector, or of a path, that are kept.
const TEXT_BYTES: usize = 400;
/// Images that a process ran before its last, by name.
const MOST_BEFORE: usize = 3;

/// How a process ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum End {
    /// It has not, as far as was seen.
    #[default]
    Running,
    /// With this status.
    Code(u64),
    /// Killed by this signal.
    Signal(u64),
    /// It has, and neither its parent nor the kernel reported how.
    Unknown,
}

/// A program that a process ran.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ran {
    /// Its base name.
    pub program: Box<[u8]>,
    /// See [`Process::called`].
    pub called: Option<Box<[u8]>>,
}

/// One process.
#[derive(Clone, Debug)]
pub struct Process {
    /// A later process may have the same.
    pub key: ProcessKey,
    /// The name of its container; empty outside of one.
    pub container: Box<str>,
    /// Its parent's index in [`Picture::processes`]; the line of parents has an end.
    pub parent: Option<u32>,
    /// The base name of the program that it runs. Until a forked process runs a program of its own: of the
    /// one it was forked in.
    pub program: Box<[u8]>,
    /// The beginning of the program's arguments, each ended by a NUL.
    pub argv: Box<[u8]>,
    /// It ran a program of its own.
    pub has_started: bool,
    /// The name of the process that it was forked in, where the program is the same.
    inherited: Box<[u8]>,
    /// The programs before, the oldest first.
    pub before: Vec<Ran>,
    /// Why the sensor does not see into it; empty where it does.
    pub blind: &'static str,
    /// Execs that failed.
    pub failed: u64,
    /// The path and error of the first of these.
    pub failure: Option<(Box<[u8]>, &'static str)>,
    /// An exec that it asked for, until it fails, or a program begins.
    asked: Option<Asked>,
    /// The time of its first event, UTC.
    pub began_ns: u64,
    /// UTC.
    pub ended_ns: u64,
    /// Whether and how it ended.
    pub end: End,
    /// Its own processor time.
    pub cpu_ns: u64,
    /// Time that it spent in the sensor.
    pub sensor_ns: u64,
    /// Events of it that were lost.
    pub lost: u64,
    /// What it did, in numbers.
    pub did: Did,
}

/// A program that a process asked to become.
#[derive(Clone, Debug)]
struct Asked {
    path: Box<[u8]>,
    /// Each ended by a NUL.
    argv: Box<[u8]>,
}

/// Every process of a session.
#[derive(Debug)]
pub struct Picture {
    at: Places,
    processes: Vec<Process>,
    /// The processes that run.
    live: FxHashMap<ProcessKey, u32>,
    /// The last process of each key that ended: a child that is not seen into may be told of only after that.
    ended: FxHashMap<ProcessKey, u32>,
    /// Those whose parent was not known when they were first seen, by their parent: one that is not seen into
    /// may be told of after its children.
    orphans: FxHashMap<ProcessKey, Vec<u32>>,
    /// Ends of processes that had no place in the list.
    unlisted: u64,
    /// The process of each image of the batch at hand, once it was looked up.
    of_images: Vec<Option<u32>>,
}

/// Where the fields that are looked at stand among the values of their events.
#[derive(Clone, Copy, Debug)]
struct Places {
    start: [usize; 3],
    exec: [usize; 2],
    exit: [usize; 6],
    blind: [usize; 3],
    file_close: [usize; 2],
    net_close: [usize; 2],
}

impl Default for Picture {
    fn default() -> Self {
        let at = Places {
            start: places(Kind::ProcessStart, ["argv", "path", "coverage"]),
            exec: places(Kind::ProcessExec, ["path", "argv"]),
            exit: places(Kind::ProcessExit, ["code", "signal", "sensor_ns", "lost", "user_ns", "system_ns"]),
            blind: places(Kind::SensorBlind, ["argv", "path", "reason"]),
            file_close: places(Kind::FileClose, ["bytes_read", "bytes_written"]),
            net_close: places(Kind::NetClose, ["bytes_sent", "bytes_received"]),
        };
        Self {
            at,
            processes: Vec::new(),
            live: FxHashMap::default(),
            ended: FxHashMap::default(),
            orphans: FxHashMap::default(),
            unlisted: 0,
            of_images: Vec::new(),
        }
    }
}

impl Picture {
    /// Begins with a batch, whose events are then taken one by one.
    pub fn begin(&mut self, batch: &Batch) {
        self.of_images.clear();
        self.of_images.resize(batch.whos.len(), None);
    }

    /// Takes an event of the batch that was begun last.
    pub fn take(&mut self, batch: &Batch, event: &Event) {
        if event.kind == Kind::SensorLoss {
            // A loss in front of an output may belong to the collector, which is none of the processes.
            return;
        }
        let index = self.index(batch, event);
        let at = self.at;
        if let Some(Process { did, .. }) = self.at(index) {
            let fields = Fields::of(batch, event);
            did.events += 1;
            did.failures += u64::from(!event.error.is_empty());
            let add = |sum: &mut u64, place: usize| *sum = sum.saturating_add(fields.number(place));
            match event.kind {
                Kind::FileClose => {
                    add(&mut did.read, at.file_close[0]);
                    add(&mut did.written, at.file_close[1]);
                }
                Kind::NetClose => {
                    add(&mut did.sent, at.net_close[0]);
                    add(&mut did.received, at.net_close[1]);
                }
                _ => {}
            }
        }
        match event.kind {
            Kind::ProcessExit => self.ended(index, event, Fields::of(batch, event)),
            Kind::ProcessStart | Kind::ProcessExec | Kind::SensorBlind => {
                let Some(process) = self.at(index) else { return };
                let fields = Fields::of(batch, event);
                match event.kind {
                    Kind::ProcessStart => process.started(batch.who(event), at.start, fields),
                    Kind::ProcessExec => {
                        let [path, argv] = at.exec.map(|place| fields.value(place));
                        process.asked(batch, event, path, argv);
                    }
                    Kind::SensorBlind => {
                        let [argv, path, reason] = at.blind;
                        process.runs(batch.who(event), fields.text(path), fields.list(argv));
                        process.blind = fields.word(reason);
                        // It was found out only after the exec, and may be told after later events.
                        process.began_ns = process.began_ns.min(event.time.0);
                        self.adopt(index);
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }

    /// Takes an alert about an event of the batch that was begun last.
    pub fn alerted(&mut self, event: &Event) {
        if let Some(process) = self.at(self.place(event)) {
            process.did.alerts += 1;
        }
    }

    /// All that there is room for, in the order in which they were first seen.
    pub fn processes(&self) -> &[Process] {
        &self.processes
    }

    /// The place of an event's process in [`Self::processes`]; `None` for one that has none.
    pub fn place(&self, event: &Event) -> Option<u32> {
        self.of_images.get(event.who as usize).copied().flatten()
    }

    /// What the program behind an event is called: see [`Process::name`].
    pub fn name<'a>(&'a self, batch: &'a Batch, event: &Event) -> &'a [u8] {
        let process = self.place(event).and_then(|index| self.processes.get(index as usize));
        process.map_or_else(|| base(batch.who(event).exe()), Process::name)
    }

    /// How many there were.
    pub fn len(&self) -> u64 {
        self.processes.len() as u64 + self.unlisted
    }

    /// How many were not seen to end.
    pub fn running(&self) -> u64 {
        self.processes.iter().filter(|process| process.end == End::Running).count() as u64
    }

    /// The process that an event belongs to; `None` once there are too many.
    fn index(&mut self, batch: &Batch, event: &Event) -> Option<u32> {
        let image = event.who as usize;
        if let Some(known) = *self.of_images.get(image)? {
            return Some(known);
        }
        let found = self.find(batch.who(event), event.time.0);
        self.of_images[image] = found;
        found
    }

    /// The running process that `who` is an image of; a new one if it is not known.
    fn find(&mut self, who: &Who, time_ns: u64) -> Option<u32> {
        let key = who.key();
        let container = who.container.as_ref().map_or("", |container| container.short_name());
        if let Some(index) = self.live.get(&key).copied() {
            // The container's name may come after its id.
            if let Some(known) = self.at(Some(index)).filter(|known| *known.container != *container) {
                known.container = container.into();
            }
            return Some(index);
        }
        if self.processes.len() == MOST_PROCESSES {
            return None;
        }
        let parent_key = who.ppid.map(|ppid| ProcessKey { pid: ppid, ..key });
        // A child that was gone before the kernel could be asked speaks by its parent's ring.
        let known = |key: ProcessKey| self.process_at(&key, time_ns);
        let parent =
            parent_key.and_then(|key| known(key).or_else(|| known(ProcessKey { claimant: 0, ..key })));
        let program = kept(base(who.exe()));
        let maker = parent.and_then(|parent| self.processes.get(parent as usize));
        let maker = maker.filter(|maker| maker.program == program);
        let inherited = maker.map_or_else(Box::default, |maker| kept(maker.name()));
        let index = self.processes.len() as u32;
        if let (Some(parent_key), None) = (parent_key, parent) {
            self.orphans.entry(parent_key).or_default().push(index);
        }
        self.processes.push(Process {
            key,
            container: container.into(),
            parent,
            program,
            argv: Box::default(),
            has_started: false,
            inherited,
            before: Vec::new(),
            blind: "",
            failed: 0,
            failure: None,
            asked: None,
            began_ns: time_ns,
            ended_ns: time_ns,
            end: End::Running,
            cpu_ns: 0,
            sensor_ns: 0,
            lost: 0,
            did: Did::default(),
        });
        self.live.insert(key, index);
        Some(index)
    }

    /// The process that had this key at a time.
    fn process_at(&self, key: &ProcessKey, time_ns: u64) -> Option<u32> {
        let ended = || {
            let index = *self.ended.get(key)?;
            let Process { began_ns, ended_ns, .. } = self.processes.get(index as usize)?;
            (*began_ns..=*ended_ns).contains(&time_ns).then_some(index)
        };
        self.live.get(key).copied().or_else(ended)
    }

    /// Gives a process the children that were seen before it.
    fn adopt(&mut self, index: Option<u32>) {
        let Some(Process { key, began_ns, .. }) = self.at(index) else { return };
        let (key, began_ns) = (*key, *began_ns);
        for orphan in self.orphans.remove(&key).unwrap_or_default() {
            // A recording may say anything.
            let of = |index: Option<u32>| self.processes.get(index? as usize);
            let mut line = std::iter::successors(index, |index| of(Some(*index))?.parent);
            let is_above = line.any(|above| above == orphan);
            let is_later = of(Some(orphan)).is_some_and(|orphan| orphan.began_ns >= began_ns);
            if let Some(orphan) = self.at(Some(orphan)).filter(|_| is_later && !is_above) {
                orphan.parent = index;
            }
        }
    }

    fn at(&mut self, index: Option<u32>) -> Option<&mut Process> {
        self.processes.get_mut(index? as usize)
    }

    fn ended(&mut self, index: Option<u32>, event: &Event, fields: Fields<'_>) {
        let [code, signal, sensor_ns, lost, user_ns, system_ns] = self.at.exit;
        let Some(process) = self.at(index) else {
            self.unlisted += 1;
            return;
        };
        process.end = match (fields.number_if(code), fields.number_if(signal)) {
            (Some(code), _) => End::Code(code),
            (None, Some(signal)) => End::Signal(signal),
            (None, None) => End::Unknown,
        };
        process.ended_ns = event.time.0;
        process.sensor_ns = fields.number(sensor_ns);
        process.lost = fields.number(lost);
        process.cpu_ns = fields.number(user_ns).saturating_add(fields.number(system_ns));
        process.became_what_it_asked_for();
        let key = process.key;
        // A batch may hold events of an image that was looked up before its process ended.
        if self.live.get(&key).copied() == index {
            self.live.remove(&key);
            self.ended.extend(index.map(|index| (key, index)));
        }
    }
}

/// The beginning of a text, to be kept: programs choose how long they are.
fn kept(text: &[u8]) -> Box<[u8]> {
    text.get(..TEXT_BYTES).unwrap_or(text).into()
}

impl Process {
    /// The name that it was executed by, `argv[0]` without folders, where that is not its program's: that of
    /// a link, or any other. `None` where its arguments are not known.
    pub fn called(&self) -> Option<&[u8]> {
        let whole = self.argv.split(|byte| *byte == 0).next().filter(|_| !self.argv.is_empty())?;
        let name = if whole.ends_with(b"/") { whole } else { base(whole) };
        (*name != *self.program).then_some(name)
    }

    /// The name that it was executed by; else that of its program.
    pub fn name(&self) -> &[u8] {
        let own = if self.has_started { self.called() } else { Some(&*self.inherited) };
        own.filter(|name| !name.is_empty()).unwrap_or(&self.program)
    }

    /// An exec: it is asked for, or it failed.
    fn asked(&mut self, batch: &Batch, event: &Event, path: Value, argv: Value) {
        let path = batch.text(path).unwrap_or_default();
        if !event.error.is_empty() {
            self.asked = None;
            self.failed += 1;
            self.failure.get_or_insert_with(|| (kept(path), event.error));
        // Other calls (posix_spawn, system) are their caller's, who goes on.
        } else if event.call.contains("exec") {
            let argv = if let Value::List(span) = argv { batch.bytes(span) } else { &[] };
            self.asked = Some(Asked { path: kept(path), argv: kept(argv) });
        }
    }

    /// It ended without a word of the program that it asked for.
    fn became_what_it_asked_for(&mut self) {
        let Some(Asked { path, argv }) = self.asked.take() else { return };
        self.becomes(&path, &argv);
        self.blind = "unknown";
    }

    /// It runs another program, of which `path` is known where `who` names no executable.
    fn runs(&mut self, who: &Who, path: Option<&[u8]>, argv: &[u8]) {
        let exe = if who.exe().is_empty() { path.unwrap_or_default() } else { who.exe() };
        self.becomes(exe, argv);
        self.asked = None;
        let is_on_the_way = |(path, error): &(Box<[u8]>, &str)| {
            matches!(*error, "ENOENT" | "ENOTDIR" | "EACCES")
                && [&*self.program, self.called().unwrap_or_default()].contains(&base(path))
        };
        // A search of PATH that ended well.
        if self.failure.as_ref().is_some_and(is_on_the_way) {
            (self.failure, self.failed) = (None, 0);
        }
    }

    fn becomes(&mut self, exe: &[u8], argv: &[u8]) {
        let called = self.called().map(Box::from);
        let program = std::mem::replace(&mut self.program, kept(base(exe)));
        if self.has_started && self.before.len() < MOST_BEFORE {
            self.before.push(Ran { program, called });
        }
        self.has_started = true;
        self.argv = kept(argv);
    }

    fn started(&mut self, who: &Who, [argv, path, coverage]: [usize; 3], fields: Fields<'_>) {
        self.runs(who, fields.text(path), fields.list(argv));
        if !matches!(fields.word(coverage), "" | "hooked") {
            self.blind = fields.word(coverage);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::event::{Shape, sample};
    use crate::ids::UtcNs;
    use crate::sinks::encoder::{Encoder, RunFacts};
    use crate::sinks::framing::Found;
    use crate::sinks::recording::reader::{Frame, Reader};
    use crate::sinks::recording::writer::Recording;

    const OTHER: Option<u64> = Some(4_026_531_836);

    /// Adds an event of an image of its own, at a time that is its number.
    fn event(batch: &mut Batch, kind: Kind, (pid, ppid, pid_ns): (u32, u32, Option<u64>), exe: &str) {
        let who = Who { pid_ns, ..(*sample::who_of(pid, ppid, exe.as_bytes())).clone() };
        batch.whos.push(Arc::new(who));
        let who = batch.whos.len() as u32 - 1;
        batch.push(Event { who, time: UtcNs(u64::from(who)), ..sample::head(kind) });
        if kind == Kind::ProcessExit {
            batch.set(Shape::place(kind, "code"), Value::Int(i64::from(who)));
        }
    }

    /// A shell with a child that runs two programs, and another process of the child's number in another
    /// namespace.
    fn session() -> Batch {
        let mut batch = Batch::default();
        event(&mut batch, Kind::ProcessStart, (10, 1, None), "/bin/sh");
        event(&mut batch, Kind::ProcessStart, (11, 10, None), "/bin/env");
        event(&mut batch, Kind::ProcessStart, (11, 10, OTHER), "/bin/init");
        event(&mut batch, Kind::ProcessStart, (11, 10, None), "/bin/cat");
        event(&mut batch, Kind::ProcessExit, (11, 10, None), "/bin/cat");
        event(&mut batch, Kind::ProcessStart, (11, 10, None), "/bin/later");
        event(&mut batch, Kind::SensorLoss, (99, 1, None), "/bin/glassbox");
        batch
    }

    fn picture_of(batch: &Batch) -> Picture {
        let mut picture = Picture::default();
        picture.begin(batch);
        for event in &batch.events {
            picture.take(batch, event);
        }
        picture
    }

    #[test]
    fn process_is_known_by_namespace_and_pid_until_it_ends() {
        let picture = picture_of(&session());

        let shown: Vec<(&[u8], Option<u32>, End)> = picture
            .processes()
            .iter()
            .map(|process| (&*process.program, process.parent, process.end))
            .collect();
        assert_eq!(
            vec![
                (b"sh".as_slice(), None, End::Running),
                (b"cat", Some(0), End::Code(4)),
                (b"init", None, End::Running),
                (b"later", Some(0), End::Running),
            ],
            shown
        );
        let env = Ran { program: b"env".as_slice().into(), called: None };
        assert_eq!(vec![env], picture.processes()[1].before);
        assert_eq!((4, 3), (picture.len(), picture.running()));
    }

    #[test]
    fn process_that_is_not_seen_into_and_is_told_of_late_has_its_parent_and_its_children() {
        let mut batch = Batch::default();
        event(&mut batch, Kind::ProcessStart, (9, 11, None), "/bin/before");
        event(&mut batch, Kind::ProcessStart, (10, 1, None), "/bin/sh");
        event(&mut batch, Kind::ProcessStart, (12, 11, None), "/bin/child");
        event(&mut batch, Kind::ProcessStart, (13, 14, None), "/bin/above");
        event(&mut batch, Kind::SensorBlind, (11, 10, None), "/bin/tiny");
        event(&mut batch, Kind::SensorBlind, (14, 13, None), "/bin/tiny");
        for event in &mut batch.events[4..] {
            event.time = UtcNs(1);
        }

        event(&mut batch, Kind::ProcessExit, (10, 1, None), "/bin/sh");
        event(&mut batch, Kind::SensorBlind, (15, 10, None), "/bin/tiny");
        event(&mut batch, Kind::SensorBlind, (16, 10, None), "/bin/tiny");
        batch.events[7].time = UtcNs(2);

        let picture = picture_of(&batch);

        let parents: Vec<Option<u32>> = picture.processes().iter().map(|process| process.parent).collect();
        assert_eq!(vec![None, None, Some(4), None, Some(1), Some(3), Some(1), None], parents);
    }

    #[test]
    fn child_whose_number_only_its_parents_ring_says_stands_below_the_parent() {
        let mut batch = Batch::default();
        event(&mut batch, Kind::ProcessStart, (10, 1, None), "/bin/sh");
        event(&mut batch, Kind::SensorBlind, (11, 10, None), "/bin/tiny");
        batch.whos[1] = Arc::new(Who { claimant: 7, ..(*batch.whos[1]).clone() });

        assert_eq!(Some(0), picture_of(&batch).processes()[1].parent);
    }

    #[test]
    fn program_that_begins_without_a_word_has_the_name_that_was_asked_for() {
        let mut batch = Batch::default();
        event(&mut batch, Kind::ProcessStart, (10, 1, None), "/bin/sh");
        event(&mut batch, Kind::FileStat, (11, 10, None), "/bin/sh");
        event(&mut batch, Kind::ProcessExec, (11, 10, None), "/bin/sh");
        batch.events[2].call = "execve";
        let path = Value::Path(batch.keep(b"/usr/bin/sudo"), None);
        let argv = Value::List(batch.keep(b"sudo\0-n\0id\0"));
        batch.set(Shape::place(Kind::ProcessExec, "path"), path);
        batch.set(Shape::place(Kind::ProcessExec, "argv"), argv);
        event(&mut batch, Kind::ProcessExit, (11, 10, None), "/bin/sh");

        let picture = picture_of(&batch);

        let sudo = &picture.processes()[1];
        assert_eq!((&b"sudo"[..], &b"sudo\0-n\0id\0"[..]), (&*sudo.program, &*sudo.argv));
        assert!(sudo.has_started && sudo.blind == "unknown");
    }

    #[test]
    fn search_of_path_that_ends_well_is_no_failure() {
        let mut batch = Batch::default();
        for (kind, exe, error, path) in [
            (Kind::ProcessExec, "/bin/env", "ENOENT", "/usr/local/bin/ls"),
            (Kind::ProcessStart, "/bin/ls", "", ""),
            (Kind::ProcessExec, "/bin/ls", "ENOENT", "/usr/local/bin/cat"),
        ] {
            event(&mut batch, kind, (10, 1, None), exe);
            batch.events.last_mut().unwrap().error = error;
            if kind == Kind::ProcessExec {
                let path = Value::Path(batch.keep(path.as_bytes()), None);
                batch.set(Shape::place(kind, "path"), path);
            }
        }
        let of = |events: usize| {
            let mut batch = batch.clone();
            batch.events.truncate(events);
            let picture = picture_of(&batch);
            picture.processes()[0].failure.as_ref().map(|(path, _)| path.to_vec())
        };

        assert_eq!(Some(b"/usr/local/bin/ls".to_vec()), of(1));
        assert_eq!(None, of(2));
        assert_eq!(Some(b"/usr/local/bin/cat".to_vec()), of(3));
    }

    #[test]
    fn recording_gives_the_picture_of_the_live_session() {
        let batch = session();
        let (mut recording, mut file) = (Recording::default(), Vec::new());
        recording.begin(Found::Fresh, &mut file);
        recording.batch(&batch, &mut file);
        recording.end(&RunFacts::default(), &mut file);

        let frame = Reader::new(file.as_slice()).unwrap().next(Batch::default()).unwrap();

        let Frame::Batch(replayed) = frame else { panic!("no batch") };
        assert_eq!(
            format!("{:?}", picture_of(&batch).processes()),
            format!("{:?}", picture_of(&replayed).processes())
        );
    }
}
