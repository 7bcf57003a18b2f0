//! The whole pipeline as a fuzz target: hostile peers beside a bystander.
//!
//! The input is a list of acts: of the bystander, of the peers, of the collector. A peer writes any words and
//! any records into its rings. At the end the bystander's ledger must be complete, whatever the peers did;
//! the target itself looks at the memory.
//!
//! # Safety
//! A ring is unmapped when its [`Ring`] is dropped, which is after the pipeline: nothing uses the sensor's
//! mapping then.
#![allow(unsafe_code, reason = "unmaps the sensors' rings, of which a long run makes millions")]

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use rustix::mm::munmap;
use wire::codec::Encode as _;
use wire::events::{
    ChildStatus, DirChange, DnsQuery, FdMade, FdRange, FileLink, FileOpen, FileRename, Kind, Payload,
    ProcessCredentials, ProcessExec, ProcessFork, ProcessStart,
};
use wire::fields::{
    Actions, Address, Answers, Args, AtFlags, Environment, Hidden, OpenFlags, Path, RenameFlags, ResolveFlags,
};
use wire::record::Head;
use wire::ring::layout::{MIN_DATA_LEN, file_len};
use wire::ring::{Memory, reserve};

use super::simulated::{Harness, Sensor, path};
use crate::allowance::{Account, Allowances, Peer, Resource};
use crate::ids::MonoNs;
use std::sync::Arc;

const BYSTANDER: u32 = 50;
const PEERS: [u32; 3] = [60, 61, 62];
/// Acts of one input: a long list finds no more than a short one, and takes longer.
const MOST_ACTS: usize = 400;
/// Rings that one input makes.
const MOST_RINGS: usize = 12;

/// The bytes of the input, as they are used up.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// 0 where the input is at its end.
    fn small(&mut self) -> u8 {
        self.byte().unwrap_or(0)
    }

    fn word(&mut self) -> u64 {
        let mut bytes = [0; 8];
        bytes.fill_with(|| self.small());
        u64::from_le_bytes(bytes)
    }

    fn bytes(&mut self) -> &'a [u8] {
        let len = usize::from(self.small()).min(self.0.len());
        let (taken, rest) = self.0.split_at(len);
        self.0 = rest;
        taken
    }

    /// A number that means something, or any.
    fn pid(&mut self) -> u32 {
        match self.small() {
            0 => 1,
            1 => BYSTANDER,
            byte @ 2..=4 => PEERS[usize::from(byte - 2)],
            byte @ 5..=100 => u32::from(byte),
            101..=110 => u32::MAX,
            _ => self.word() as u32,
        }
    }

    fn time(&mut self) -> u64 {
        match self.small() {
            0..=150 => MonoNs::now().0,
            151..=170 => 1,
            171..=180 => u64::MAX,
            181..=200 => MonoNs::now().0 + (1 << 40),
            _ => self.word(),
        }
    }

    fn fd(&mut self) -> i32 {
        match self.small() {
            byte @ 0..=200 => i32::from(byte),
            201..=220 => -1,
            _ => self.word() as i32,
        }
    }
}

/// A sensor whose memory is given back.
struct Ring(Sensor);

impl Drop for Ring {
    fn drop(&mut self) {
        let ring = &self.0.ring;
        // SAFETY: the whole mapping that `Sensor::new` made; the sensor is being dropped.
        let _ = unsafe { munmap(ring.base().as_ptr().cast(), file_len(ring.data_len()) as usize) };
    }
}

struct World {
    harness: Harness,
    bystander: Ring,
    /// Opens that the bystander wrote.
    written: u64,
    /// The rings of the peers, the last of each pid last.
    rings: Vec<Ring>,
    peers: Arc<Account>,
}

impl World {
    fn new() -> Self {
        let mut allowances = Allowances::default();
        let peers = allowances.account(Peer { uid: Some(65_534), cgroup: 9 });
        let own = allowances.account(Peer { uid: Some(0), cgroup: 1 });
        let mut harness = Harness::new();
        let bystander = Ring(Sensor::new(BYSTANDER, MIN_DATA_LEN));
        let mut attached = bystander.0.attached(1);
        attached.place = own.share(Resource::Rings);
        harness.pipeline.attach(attached);
        bystander.0.start("/bin/bystander", "/home");
        Self { harness, bystander, written: 0, rings: Vec::new(), peers }
    }

    /// A peer joins, with a new ring; the kernel has told who it is.
    fn join(&mut self, input: &mut Input<'_>) {
        if self.rings.len() == MOST_RINGS {
            return;
        }
        let pid = PEERS[usize::from(input.small()) % PEERS.len()];
        let sensor = Sensor::new(pid, MIN_DATA_LEN);
        let mut attached = sensor.attached(input.pid());
        attached.place = self.peers.share(Resource::Rings);
        attached.place.grow(1);
        (attached.identity.uid, attached.identity.euid) = (Some(65_534), Some(65_534));
        attached.is_inherited = input.small() > 250;
        // Before the collector hears of it, as after.
        self.rings.push(Ring(sensor));
        self.harness.pipeline.attach(attached);
    }

    fn peer(&self, input: &mut Input<'_>) -> Option<&Sensor> {
        let index = usize::from(input.small()).checked_rem(self.rings.len())?;
        Some(&self.rings.get(index)?.0)
    }

    fn act(&mut self, act: u8, input: &mut Input<'_>) {
        match act % 16 {
            0..=2 => self.open(input.small() % 16 + 1),
            3 => self.harness.round(),
            4 => self.join(input),
            5 => self.die(input),
            6 => self.scribble(input),
            7 => self.slot(input),
            8 => self.raw(input),
            _ => self.record(input),
        }
    }

    fn open(&mut self, count: u8) {
        for _ in 0..count {
            let name = format!("BYSTANDER-{}", self.written);
            let open =
                FileOpen { path: path(&name), fd: Some(5), flags: OpenFlags(0), mode: None, resolve: None };
            let sensor = &self.bystander.0;
            self.written += u64::from(sensor.write(0, sensor.head(0, Kind::FileOpen), &open));
        }
    }

    fn die(&mut self, input: &mut Input<'_>) {
        let pid = PEERS[usize::from(input.small()) % PEERS.len()];
        if self.harness.is_known(pid) {
            self.harness.die(pid, 0);
        }
    }

    /// A word anywhere that counts.
    fn scribble(&self, input: &mut Input<'_>) {
        let Some(Sensor { ring, .. }) = self.peer(input) else { return };
        let (place, word) = (input.small(), input.word());
        let near = ring.head().load(Ordering::Relaxed).wrapping_add(u64::from(input.small()) * 8);
        match place % 6 {
            0 => ring.tail().store(word, Ordering::Relaxed),
            1 => ring.head().store(word, Ordering::Relaxed),
            2 => ring.bell().store(word as u32, Ordering::Relaxed),
            3 => ring.tail().store(near, Ordering::Relaxed),
            // A state word of this lap, or any.
            4 => ring.state(near).store(near >> 3 << 28 | word & 0xfff_ffff, Ordering::Relaxed),
            _ => ring.state(near).store(word, Ordering::Relaxed),
        }
    }

    fn slot(&self, input: &mut Input<'_>) {
        let Some(Sensor { ring, .. }) = self.peer(input) else { return };
        let slot = ring.slot(input.small());
        match input.small() % 8 {
            0 => slot.seq.store(input.word(), Ordering::Relaxed),
            1 => slot.fd_high.store(input.word() as u32, Ordering::Relaxed),
            2 => slot.exit_status.store(input.word() as u32, Ordering::Relaxed),
            3 => {
                slot.lost[usize::from(input.small()) % slot.lost.len()].store(input.word(), Ordering::Relaxed)
            }
            4 => slot.reported.store(input.word(), Ordering::Relaxed),
            _ => {
                slot.ppid.store(input.pid(), Ordering::Relaxed);
                slot.pid.store(input.pid(), Ordering::Release);
            }
        }
    }

    /// A record with any head and any payload.
    fn raw(&self, input: &mut Input<'_>) {
        let Some(sensor) = self.peer(input) else { return };
        let kind = Kind::ALL[usize::from(input.small()) % Kind::ALL.len()];
        let (slot, head) = (input.small(), head(sensor, kind, input));
        put(sensor, slot, &head, input.bytes());
    }

    /// A record that decodes, with fields that lie.
    fn record(&self, input: &mut Input<'_>) {
        let Some(sensor) = self.peer(input) else { return };
        let slot = if input.small() < 128 { 0 } else { input.small() };
        let what = input.small() % 12;
        let (fd, pid) = (input.fd(), input.pid());
        // Long names cost the input a byte.
        let long;
        let bytes = input.bytes();
        let name: &[u8] = match bytes {
            [0, rest @ ..] => {
                long = rest.iter().copied().cycle().take(16_000).collect::<Vec<u8>>();
                &long
            }
            bytes => bytes,
        };
        let of = Path { dir: if fd % 2 == 0 { -100 } else { fd }, raw: Some(name) };
        match what {
            0 => say(
                sensor,
                slot,
                input,
                &FileOpen {
                    path: of,
                    fd: Some(fd),
                    flags: OpenFlags(pid),
                    mode: None,
                    resolve: (pid > 9).then_some(ResolveFlags(pid)),
                },
            ),
            1 => say(sensor, slot, input, &ProcessFork { child: Some(pid), began_ns: Hidden(0) }),
            2 => say(sensor, slot, input, &ChildStatus { child: pid, status: fd, usage: None }),
            3 => say(sensor, slot, input, &DirChange { path: of }),
            4 => say(sensor, slot, input, &FdRange { first: fd as u32, last: pid, cloexec: fd > 9 }),
            5 => say(
                sensor,
                slot,
                input,
                &ProcessExec {
                    path: of,
                    argv: Args::Packed(name),
                    argc: None,
                    actions: Actions(bytes),
                    flags: None,
                },
            ),
            6 => say(
                sensor,
                slot,
                input,
                &DnsQuery {
                    host: Some(name),
                    answers: Answers(&[4, 1, 2, 3, fd as u8]),
                    began_ns: Hidden(0),
                },
            ),
            7 => {
                let made =
                    FdMade { fd, label: name, cloexec: false, local: Address(name), remote: Address(&[]) };
                say(sensor, slot, input, &made);
            }
            8 => {
                let to = Args::Packed(b"0\0");
                let ids = (Hidden(Some(0)), Hidden(Some(0)));
                let change = ProcessCredentials { what: b"uid", to, real_uid: ids.0, effective_uid: ids.1 };
                say(sensor, slot, input, &change);
            }
            9 => {
                let flags = (pid > 9).then_some(RenameFlags(pid));
                let new_path = Path { raw: Some(b"/home/BYSTANDER"), ..of };
                say(sensor, slot, input, &FileRename { path: of, new_path, flags });
                // The bystander's own folder, too.
                let path = Path { raw: Some(b"/home"), ..of };
                say(sensor, slot, input, &FileRename { path, new_path: of, flags });
            }
            10 => say(sensor, slot, input, &FileLink { path: of, new_path: of, flags: Some(AtFlags(pid)) }),
            _ => {
                let start = ProcessStart {
                    path: of,
                    argv: Args::Packed(name),
                    cwd: name,
                    gid: 0,
                    egid: 0,
                    env: Environment(Args::NONE),
                    image: Hidden(name),
                    real_uid: Hidden(0),
                    effective_uid: Hidden(0),
                    parent: Hidden(pid),
                    argc: None,
                };
                say(sensor, slot, input, &start);
            }
        }
    }

    fn finish(self) {
        let Self { mut harness, bystander, written, rings, .. } = self;
        harness.round();
        let events = harness.finish();
        let mut opens: VecDeque<String> = (0..written).map(|number| format!("BYSTANDER-{number}")).collect();
        for event in &events {
            let path = event["path"].as_str().unwrap_or_default();
            // A peer may claim any number; then the event says that it is a claim.
            let claimed = event["claimed"].as_array().map(Vec::as_slice).unwrap_or_default();
            let is_bystander = event["pid"] == BYSTANDER && !claimed.iter().any(|name| name == "pid");
            if is_bystander && event["event"] == "file.open" {
                let expected = opens.pop_front();
                assert_eq!(expected.map(|name| format!("/home/{name}")).as_deref(), Some(path), "{event}");
                assert_eq!(0, event["uid"], "{event}");
                assert_eq!("/bin/bystander", event["exe"], "{event}");
            }
        }
        let first = opens.front().map_or("none", String::as_str);
        let text = || events.iter().map(|event| format!("{event}\n")).collect::<String>();
        assert!(
            opens.is_empty(),
            "{} opens of the bystander are missing from {first} on:\n{}",
            opens.len(),
            text()
        );
        drop((bystander, rings));
    }
}

fn head(sensor: &Sensor, kind: Kind, input: &mut Input<'_>) -> Head {
    let usual = sensor.head(0, kind);
    let time_ns = input.time();
    match input.small() {
        // As the sensor would.
        0..=127 => Head { time_ns, ..usual },
        _ => {
            let seq = if input.small() < 200 { u64::from(input.small()) } else { input.word() };
            let (pid, flags, errno) = (input.pid(), input.small(), u16::from(input.small()));
            Head { time_ns, seq, pid, tid: pid, flags, errno, ret: i64::from(input.fd()), ..usual }
        }
    }
}

fn say<P: Payload>(sensor: &Sensor, slot: u8, input: &mut Input<'_>, payload: &P) {
    let head = head(sensor, P::KIND, input);
    if let Ok(mut record) = reserve(&sensor.ring, slot, Head::LEN + payload.encoded_len()) {
        let _ = head.encode(&mut record) && payload.encode(&mut record);
        let _ = record.commit();
    }
}

fn put(sensor: &Sensor, slot: u8, head: &Head, payload: &[u8]) {
    use wire::codec::Sink as _;

    if let Ok(mut record) = reserve(&sensor.ring, slot, Head::LEN + payload.len()) {
        let _ = head.encode(&mut record) && record.put(payload);
        // A few are never finished.
        if payload.first() != Some(&0xff) {
            let _ = record.commit();
        }
    }
}

/// Carries out the acts of an input.
///
/// # Panics
/// If the bystander's ledger is not complete at the end.
pub fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let mut world = World::new();
    for _ in 0..MOST_ACTS {
        let Some(act) = input.byte() else { break };
        world.act(act, &mut input);
    }
    world.finish();
}
