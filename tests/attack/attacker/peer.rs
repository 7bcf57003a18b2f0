//! A peer of the collector: a hello by hand, and a process that speaks through a ring.

use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::time::Duration;

use crate::os;
use crate::payload::{self, Start};
use crate::ring::{Head, NUMBERED, RETURNED, Ring};

/// A writer waits so long for room before it goes on without its record.
const PATIENCE: Duration = Duration::from_millis(500);

/// The collector's door, and what a sensor of its release says first.
#[derive(Clone)]
pub struct Door {
    pub socket: String,
    pub version: u16,
    pub events: u64,
    pub calls: u64,
}

/// A hello's content that attacks vary.
#[derive(Clone)]
pub struct Hello {
    pub pid: u32,
    pub ppid: u32,
    pub blind: u8,
    pub exe: Vec<u8>,
    pub pid_ns: u64,
    pub container: Vec<u8>,
    /// Device and inode of what it runs.
    pub file: [u64; 2],
}

impl Hello {
    /// What this process would say.
    pub fn own() -> Hello {
        let (pid, ppid) = os::pids();
        let file = os::file("/proc/self/exe".as_ref());
        Hello { pid, ppid, blind: 0, exe: Vec::new(), pid_ns: 0, container: Vec::new(), file }
    }

    pub fn bytes(&self, door: &Door) -> Vec<u8> {
        let mut bytes = b"GLASSHI\0".to_vec();
        bytes.extend(door.version.to_le_bytes());
        let begun = payload::Payload(bytes).word(door.events).word(door.calls);
        let numbers = begun.half(self.pid.into()).half(self.ppid.into()).byte(0).half(-1).half(-1);
        let named = numbers.byte(self.blind).bytes(&self.exe).word(self.pid_ns).bytes(&self.container);
        let [device, inode] = self.file;
        named.word(device).word(inode).0
    }
}

impl Door {
    /// A connection.
    pub fn reach(&self) -> io::Result<OwnedFd> {
        let socket = os::packet_socket()?;
        os::connect(&socket, &self.socket)?;
        Ok(socket)
    }

    /// A connection, tried until there is one.
    pub fn insist(&self) -> OwnedFd {
        loop {
            if let Ok(socket) = self.reach() {
                return socket;
            }
            os::pause(5);
        }
    }

    /// Says hello with these descriptors, and hangs up.
    pub fn greet(&self, hello: &Hello, descriptors: &[RawFd]) {
        let socket = self.insist();
        let _ = os::send(&socket, &hello.bytes(self), descriptors);
    }

    /// A ring of this process, whose hello was said and whose first record is an honest one.
    pub fn join(&self, data: u64) -> Peer {
        let mut peer = self.join_in_silence(data);
        peer.begin(b"/bin/INTRUDER", os::uid());
        peer
    }

    /// A ring of this process, whose hello was said.
    pub fn join_in_silence(&self, data: u64) -> Peer {
        let peer = self.prepare(data);
        self.greet(&Hello::own(), &[peer.ring.fd()]);
        peer
    }

    /// A ring of this process, of which the collector does not know yet.
    pub fn prepare(&self, data: u64) -> Peer {
        let ring = Ring::new(self.version, data).unwrap_or_else(|error| panic!("no ring: {error}"));
        let (pid, ppid) = os::pids();
        ring.name_slot(0, pid, ppid);
        Peer { ring, seq: [0; 256], pids: [pid; 256] }
    }
}

/// A process that writes into its ring, and its children.
pub struct Peer {
    pub ring: Ring,
    /// The next number of each slot.
    pub seq: [u64; 256],
    /// The pid that the records of each slot say.
    pub pids: [u32; 256],
}

impl Peer {
    /// Says that the image begins.
    pub fn begin(&mut self, exe: &[u8], uid: u32) {
        let start =
            Start { says_image: true, exe, arguments: b"INTRUDER\0", cwd: b"/", uid, parent: os::pids().1 }
                .encoded();
        self.event(0, payload::START, NUMBERED, &start);
    }

    /// A numbered event of a slot that happens now.
    pub fn event(&mut self, slot: u8, kind: u16, flags: u8, payload: &[u8]) -> bool {
        self.event_at(os::now_ns(), slot, kind, flags, payload)
    }

    /// The same, which says that it happened at `time`.
    pub fn event_at(&mut self, time: u64, slot: u8, kind: u16, flags: u8, payload: &[u8]) -> bool {
        let index = usize::from(slot);
        let (seq, pid) = (self.seq[index], self.pids[index]);
        let head = Head { time, seq, pid, ..Head::new(kind, flags | NUMBERED) };
        let is_put = self.ring.put(slot, &head, payload, PATIENCE);
        if is_put {
            self.seq[index] += 1;
            self.ring.count(slot, self.seq[index]);
        }
        is_put
    }

    /// A call that returned, as an event.
    pub fn call(&mut self, slot: u8, kind: u16, payload: &[u8]) -> bool {
        self.event(slot, kind, RETURNED, payload)
    }

    /// A record that is no event, and has no number.
    pub fn note(&mut self, slot: u8, kind: u16, payload: &[u8]) -> bool {
        let head = Head { pid: self.pids[usize::from(slot)], ..Head::new(kind, RETURNED) };
        self.ring.put(slot, &head, payload, PATIENCE)
    }

    /// A record with a number of the attack's choice.
    pub fn numbered(&mut self, seq: u64, time: u64, kind: u16, payload: &[u8]) -> bool {
        let head = Head { seq, time, ..Head::new(kind, NUMBERED | RETURNED) };
        self.ring.put(0, &head, payload, PATIENCE)
    }

    /// A child that takes a slot, by its own word.
    pub fn take_slot(&mut self, slot: u8, pid: u32, ppid: u32) {
        let index = usize::from(slot);
        (self.pids[index], self.seq[index]) = (pid, 0);
        self.ring.name_slot(slot, pid, ppid);
    }
}
