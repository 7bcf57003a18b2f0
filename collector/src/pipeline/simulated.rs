//! A sensor for tests: writes records into a ring of its own, as a program under the real one would.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crossbeam_channel::Receiver;
use serde_json::Value as Json;
use wire::codec::Encode as _;
use wire::events::{FdClosed, FileOpen, Kind, Payload, ProcessFork, ProcessStart};
use wire::fields::{AT_FDCWD, Args, Environment, Hidden, OpenFlags, Path};
use wire::record::{Flags, Head};
use wire::ring::layout::{Loss, Mapped};
use wire::ring::{MAX_RECORD, Memory, Refused, reserve};

use super::session::Wish;
use super::{Pipeline, Wires};
use crate::allowance::{Account, Resource};
use crate::arrival::Sent;
use crate::census::image::EndKind;
use crate::container::{Authority, Claim};
use crate::door::Doorman;
use crate::door::identity::Identity;
use crate::door::news::Attached;
use crate::door::wires::ToPipeline;
use crate::ids::{ImageId, MonoNs, Pid, ProcessKey};
use crate::outputs::Output;
use crate::rings::mapping::Mapping;
use crate::shell::listeners::Listeners;
use crate::sinks::carrier::kind::Opening;
use crate::sinks::{Backlog, Outlets, RunFacts};
use crate::stages::{Stage, Stages};
use crate::system::clock::now_ns;

/// One ring, and the process that writes into it.
pub struct Sensor {
    /// The ring.
    pub ring: Mapped,
    /// Its memory, for handing over.
    pub memfd: OwnedFd,
    /// The process, in a pid namespace of its own, so that /proc is not asked.
    pub pid: u32,
}

/// The pid namespace of simulated processes.
const NAMESPACE: u64 = 7;

/// The key of a simulated process.
pub fn key(pid: u32) -> ProcessKey {
    ProcessKey::elsewhere(NAMESPACE, Pid(pid))
}

impl Sensor {
    /// A ring with `data_len` bytes of data, for the process `pid`.
    pub fn new(pid: u32, data_len: u64) -> Self {
        let (mapping, memfd) = Mapping::create(data_len).unwrap();
        let ring = mapping.mapped();
        // Until the test ends.
        std::mem::forget(mapping);
        ring.slot(0).pid.store(pid, Ordering::Relaxed);
        Self { ring, memfd, pid }
    }

    /// The doorman's news of it.
    pub fn attached(&self, ppid: u32) -> Attached {
        Attached {
            id: u64::from(self.pid),
            mapping: Mapping::of(&self.memfd).unwrap(),
            place: Account::boundless().share(Resource::Rings),
            lifeline: None,
            own_ns: 0,
            own_fds: [-1; 2],
            identity: Identity {
                key: key(self.pid),
                own_pid: Pid(self.pid),
                ppid: Some(Pid(ppid)),
                uid: Some(0),
                ..Identity::default()
            },
            is_inherited: false,
        }
    }

    /// A head for the next record of `slot`.
    pub fn head(&self, slot: u8, kind: Kind) -> Head {
        let words = self.ring.slot(slot);
        let is_stamped = (kind as u16) <= Kind::FdClosed as u16;
        let pid = words.pid.load(Ordering::Relaxed);
        Head {
            time_ns: now_ns(),
            seq: if is_stamped { words.seq.fetch_add(1, Ordering::Relaxed) } else { 0 },
            ret: 0,
            pid,
            tid: pid,
            kind: kind as u16,
            call: 0,
            errno: 0,
            via: 0,
            flags: if is_stamped { Flags::STAMPED | Flags::RETURNED } else { 0 },
        }
    }

    /// Writes a record; counts it as lost where there is no room.
    pub fn write<P: Payload>(&self, slot: u8, head: Head, payload: &P) -> bool {
        match reserve(&self.ring, slot, Head::LEN + payload.encoded_len()) {
            Ok(mut record) => {
                assert!(head.encode(&mut record) && payload.encode(&mut record));
                let _ = record.commit();
                true
            }
            Err(refused) => {
                let cause = if refused == Refused::Full { Loss::RingFull } else { Loss::Oversize };
                self.ring.slot(slot).lose(cause);
                false
            }
        }
    }

    /// Writes a record that is as it usually is.
    pub fn emit<P: Payload>(&self, slot: u8, payload: &P) {
        self.write(slot, self.head(slot, P::KIND), payload);
    }

    /// The first record of an image.
    pub fn start(&self, image: &str, cwd: &str) {
        self.emit(
            0,
            &ProcessStart {
                path: path(image),
                argv: Args::Packed(b"prog\0"),
                cwd: cwd.as_bytes(),
                gid: 0,
                egid: 0,
                env: Environment(Args::NONE),
                image: Hidden(image.as_bytes()),
                real_uid: Hidden(0),
                effective_uid: Hidden(0),
                parent: Hidden(1),
                argc: None,
            },
        );
    }

    /// A successful open.
    pub fn open(&self, slot: u8, name: &str, fd: i32, flags: u32) {
        self.ring.fd(slot, fd).unwrap().open();
        self.ring.slot(slot).fd_high.fetch_max(fd as u32 + 1, Ordering::Relaxed);
        self.emit(
            slot,
            &FileOpen { path: path(name), fd: Some(fd), flags: OpenFlags(flags), mode: None, resolve: None },
        );
    }

    /// A close, with what was counted.
    pub fn close(&self, slot: u8, fd: i32) {
        let state = self.ring.fd(slot, fd).unwrap().close();
        let calls = state.counters.calls_in + state.counters.calls_out;
        self.ring.slot(slot).closed_calls.fetch_add(calls, Ordering::Relaxed);
        self.emit(slot, &FdClosed { fd, counters: Some(state.counters) });
    }

    /// Counts a call that read (`bytes_in`) or wrote (`bytes_out`) through `fd`.
    pub fn count(&self, slot: u8, fd: i32, bytes_in: u64, bytes_out: u64) {
        let counters = self.ring.fd(slot, fd).unwrap();
        for ((bytes, calls), moved) in [(counters.incoming(), bytes_in), (counters.outgoing(), bytes_out)] {
            if moved > 0 {
                bytes.fetch_add(moved, Ordering::Relaxed);
                calls.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.ring.slot(slot).fd_high.fetch_max(fd as u32 + 1, Ordering::Relaxed);
    }

    /// Takes a slot as a fork child's sensor does.
    pub fn take_slot(&self, pid: u32, ppid: u32) -> u8 {
        let slot = (1..64).find(|slot| self.ring.slot(*slot).pid.load(Ordering::Relaxed) == 0).unwrap();
        self.ring.slot(slot).ppid.store(ppid, Ordering::Relaxed);
        self.ring.slot(slot).pid.store(pid, Ordering::Release);
        slot
    }

    /// The parent's record of a fork.
    pub fn forked(&self, slot: u8, child: u32) {
        self.emit(slot, &ProcessFork { child: Some(child), began_ns: Hidden(0) });
    }
}

/// A path relative to the current directory.
pub fn path(name: &str) -> Path<'_> {
    Path { dir: AT_FDCWD, raw: Some(name.as_bytes()) }
}

/// A pipeline with one `jsonl` output, driven by hand.
pub struct Harness {
    /// The pipeline.
    pub pipeline: Pipeline,
    /// Keeps the epoll instance that deaths are watched with.
    doorman: Doorman,
    output: PathBuf,
}

impl Harness {
    /// A pipeline without a process.
    pub fn new() -> Self {
        Self::with("jsonl", Self::fresh_output(), Vec::new(), None)
    }

    /// A path for an output.
    pub fn fresh_output() -> PathBuf {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        std::env::temp_dir().join(format!("glassbox-pipeline-{}-{number}", std::process::id()))
    }

    /// The same with another output.
    pub fn with_output(format: &str, output: PathBuf) -> Self {
        Self::with(format, output, Vec::new(), None)
    }

    /// The same with stages.
    pub fn with_stages(format: &str, output: PathBuf, stages: Vec<Stage>) -> Self {
        Self::with(format, output, stages, None)
    }

    /// The same with an origin that is no ring.
    pub fn with_origin(sent_rx: Receiver<Sent>) -> Self {
        Self::with("jsonl", Self::fresh_output(), Vec::new(), Some(sent_rx))
    }

    fn with(format: &str, output: PathBuf, stages: Vec<Stage>, sent_rx: Option<Receiver<Sent>>) -> Self {
        let outputs = [Output::to_file(format, &output)];
        let outlets = Outlets::open(&outputs, Opening::Fresh, Backlog::Drop).unwrap();
        let (news_tx, news_rx) = crossbeam_channel::unbounded();
        let (sent_tx, _) = crossbeam_channel::unbounded();
        let doorman = Doorman::new(
            Listeners::default(),
            None,
            None,
            Authority::default(),
            ToPipeline { news_tx, sent_tx, doorbell: Arc::default() },
            Arc::default(),
        )
        .unwrap();
        let wires = Wires {
            pulse: crate::system::pulse::Pulses::default().add("test"),
            deathwatch: doorman.deathwatch(),
            reply: doorman.reply(),
            news_rx,
            sightings: Vec::new(),
            is_supervised: sent_rx.is_some(),
            sent_rx: sent_rx.unwrap_or_else(crossbeam_channel::never),
            watch: None,
            doorbell: Arc::default(),
        };
        let mut pipeline = Pipeline::new(Stages::new(stages), outlets, wires, None);
        pipeline.order.frontier.set_heard(MonoNs::MAX, MonoNs::MAX);
        Self { pipeline, doorman, output }
    }

    /// The doorman has told everything that he heard.
    pub fn let_doorman_rest(&self) {
        self.doorman.say_idle();
    }

    /// Attaches a sensor whose parent is `ppid`.
    pub fn attach(&mut self, sensor: &Sensor, ppid: u32) {
        self.pipeline.attach(sensor.attached(ppid));
    }

    /// Attaches a sensor of another pid namespace, and with a claim about its container.
    pub fn attach_in(&mut self, sensor: &Sensor, ppid: u32, namespace: u64, claim: Option<Claim>) {
        let mut attached = sensor.attached(ppid);
        attached.identity.key.namespace = Some(namespace);
        attached.identity.claim = claim;
        self.pipeline.attach(attached);
    }

    /// Attaches a sensor whose pid is one of the collector's own namespace, where no process has it any more.
    pub fn attach_visible(&mut self, sensor: &Sensor, ppid: u32) {
        let mut attached = sensor.attached(ppid);
        attached.identity.key.namespace = None;
        // No process has the number, or another one.
        attached.identity.is_dead = true;
        self.pipeline.attach(attached);
    }

    /// Whether a live image of a simulated process is known.
    pub fn is_known(&self, pid: u32) -> bool {
        self.pipeline.census.live(key(pid)).is_some_and(|image| !self.pipeline.census.has_ended(image))
    }

    /// One round, late enough that nothing is held back.
    pub fn round(&mut self) {
        self.pipeline.round(MonoNs::now().plus(10_000_000));
    }

    /// The live image of a simulated process.
    pub fn image(&self, pid: u32) -> ImageId {
        self.pipeline.census.live(key(pid)).unwrap()
    }

    /// An image is noticed to be dead at `at`.
    pub fn end(&mut self, image: ImageId, at: MonoNs) {
        let Pipeline { census, rings, .. } = &mut self.pipeline;
        census.end(image, EndKind::Death, at, rings);
        self.pipeline.carry_out_changes();
    }

    /// A process ends with the exit status `code`.
    pub fn die(&mut self, pid: u32, code: u32) {
        let id = self.image(pid);
        let image = self.pipeline.census.get(id).unwrap();
        if let (Some(slot), Some(ring)) = (image.slot, image.ring) {
            let memory = self.pipeline.rings.get(ring).unwrap().memory();
            memory.slot(slot).exit_status.store(code + 1, Ordering::Relaxed);
        }
        // Long ago, so that no word is waited for.
        self.end(id, MonoNs::now());
        if let Some(end) = self.pipeline.census.get_mut(id).and_then(|image| image.end.as_mut()) {
            end.noticed = MonoNs::ZERO;
        }
    }

    /// The file that the events are written to.
    pub fn output(&self) -> &std::path::Path {
        &self.output
    }

    /// Ends everything; gives the file that was written.
    pub fn close(mut self) -> PathBuf {
        self.pipeline.session.wish = Wish::End;
        self.pipeline.finish();
        self.pipeline.outbox.into_outlets().close(RunFacts::default());
        self.output
    }

    /// Ends everything; gives the events.
    pub fn finish(self) -> Vec<Json> {
        let output = self.close();
        let text = std::fs::read_to_string(&output).unwrap();
        std::fs::remove_file(&output).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// `event pid field` of each event, for comparing.
pub fn brief(events: &[Json], fields: &[&str]) -> Vec<String> {
    let word = |value: &Json| match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    };
    events
        .iter()
        .map(|event| {
            let parts = ["event", "pid"].iter().chain(fields).filter_map(|field| event.get(*field).map(word));
            parts.collect::<Vec<String>>().join(" ")
        })
        .collect()
}

/// A ring that was scribbled over, byte by byte from a seed.
pub fn scribble(sensor: &Sensor, seed: u64) {
    let mut state = seed | 1;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let data_len = sensor.ring.data_len();
    for _ in 0..2000 {
        let at = random() % data_len;
        sensor.ring.state(at).store(random(), Ordering::Relaxed);
    }
    if seed.is_multiple_of(3) {
        sensor.ring.tail().store(random() % (2 * data_len), Ordering::Relaxed);
    }
    if seed.is_multiple_of(5) {
        for slot in 0..64 {
            sensor.ring.slot(slot).seq.store(random(), Ordering::Relaxed);
            sensor.ring.slot(slot).fd_high.store(random() as u32, Ordering::Relaxed);
            sensor.ring.slot(slot).pid.store(random() as u32, Ordering::Relaxed);
            sensor.ring.slot(slot).record_cost.ns.store(random(), Ordering::Relaxed);
            sensor.ring.slot(slot).record_cost.samples.store(random() % 3, Ordering::Relaxed);
        }
    }
}

/// The longest record's worth of bytes.
pub const LONG: usize = MAX_RECORD;
