//! What the supervisor saw, on its way to the collector: packets of a socket pair, one for each record.
//!
//! The supervisor never waits for the collector. A packet that finds no room is counted, and the count goes
//! ahead of the next packet that does.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair, sockopt,
};
use wire::codec::{Encode, SliceSink};
use wire::record::Head;
use wire::ring::MAX_RECORD;

use crate::arrival::{Seen, Sent};
use crate::ids::{Instance, MonoNs, Pid, ProcessKey};
use crate::loss::LossReason;
use crate::rings::bells::Doorbell;

/// Bytes that may wait for the collector; the kernel grants what its limit allows (net.core.wmem_max).
const ROOM: usize = 4 << 20;
/// Records that may wait for the pipeline.
const MOST_WAITING: usize = 4096;
/// Processes whose lost records are counted one by one; beyond, the count of the last one grows.
const MOST_COUNTED: usize = 1024;
/// How long the end of a session waits for packets that are there.
const DRAIN: Duration = Duration::from_secs(2);

const RECORD: u8 = 1;
const LOST: u8 = 2;
const SEEN: u8 = 3;
/// Tag and process.
const PREFIX: usize = 5;

/// The two ends: of the supervisor, and of the collector.
pub fn pair() -> std::io::Result<(OwnedFd, OwnedFd)> {
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    // The kernel cuts what is too much.
    let _ = sockopt::set_socket_send_buffer_size(&ours, ROOM);
    Ok((ours, theirs))
}

/// The supervisor's end.
#[derive(Debug)]
pub struct Reports {
    socket: OwnedFd,
    packet: Vec<u8>,
    lost: HashMap<u32, u64>,
}

impl Reports {
    /// Reports to the collector at the other end.
    pub fn to(socket: OwnedFd) -> Self {
        Self { socket, packet: Vec::with_capacity(MAX_RECORD), lost: HashMap::new() }
    }

    /// Sends what is known of the process `pid`.
    pub fn see(&mut self, pid: u32, seen: &Seen) {
        let Seen { ppid, uid, euid, instance, exe } = seen;
        self.begin(SEEN, pid);
        for number in [ppid.map(|Pid(ppid)| ppid), *uid, *euid] {
            self.packet.extend_from_slice(&number.unwrap_or(u32::MAX).to_le_bytes());
        }
        self.packet.extend_from_slice(&instance.map_or(u64::MAX, |Instance(number)| number).to_le_bytes());
        self.packet.extend_from_slice(exe);
        self.pass(pid);
    }

    fn begin(&mut self, tag: u8, pid: u32) {
        self.packet.clear();
        self.packet.push(tag);
        self.packet.extend_from_slice(&pid.to_le_bytes());
    }

    /// Sends a record of the process `pid`.
    pub fn send(&mut self, pid: u32, head: &Head, payload: &[u8]) {
        self.begin(RECORD, pid);
        let mut bytes = [0; Head::LEN];
        head.encode(&mut SliceSink::new(&mut bytes));
        self.packet.extend_from_slice(&bytes);
        self.packet.extend_from_slice(payload);
        self.pass(pid);
    }

    /// Sends the packet, or counts it.
    fn pass(&mut self, pid: u32) {
        if !self.tell_lost() || !self.is_sent(&self.packet) {
            self.lose(pid);
        }
    }

    /// Sends the counts of what was lost; false where one found no room.
    fn tell_lost(&mut self) -> bool {
        let mut lost = std::mem::take(&mut self.lost);
        let mut has_room = true;
        lost.retain(|pid, count| {
            let mut packet = [LOST; PREFIX + 8];
            packet[1..PREFIX].copy_from_slice(&pid.to_le_bytes());
            packet[PREFIX..].copy_from_slice(&count.to_le_bytes());
            // One that finds no room speaks for all.
            has_room = has_room && self.is_sent(&packet);
            !has_room
        });
        self.lost = lost;
        has_room
    }

    fn is_sent(&self, packet: &[u8]) -> bool {
        send(&self.socket, packet, SendFlags::DONTWAIT | SendFlags::NOSIGNAL).is_ok()
    }

    /// At the end of a run: sends the counts, for [`DRAIN`] at most.
    pub fn finish(&mut self) {
        let begun = Instant::now();
        while !self.tell_lost() && begun.elapsed() < DRAIN {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Counts a record that will not be sent.
    pub fn lose(&mut self, pid: u32) {
        self.lose_many(pid, 1);
    }

    /// Counts several.
    pub fn lose_many(&mut self, pid: u32, count: u64) {
        let is_known = self.lost.contains_key(&pid) || self.lost.len() < MOST_COUNTED;
        let pid = if is_known { pid } else { self.lost.keys().next().copied().unwrap_or(pid) };
        *self.lost.entry(pid).or_default() += count;
    }
}

/// The collector's end, with the thread that reads it.
#[derive(Debug)]
pub struct Sightings {
    socket: Arc<OwnedFd>,
    /// Held while a packet is between the socket and the pipeline.
    is_busy: Arc<Mutex<()>>,
}

impl Sightings {
    /// Reads `socket`, passes on what comes, and rings `doorbell`, until the other end is closed.
    pub fn read(socket: OwnedFd, sent_tx: Sender<Sent>, doorbell: Arc<Doorbell>) -> std::io::Result<Self> {
        let socket = Arc::new(socket);
        let is_busy = Arc::new(Mutex::new(()));
        let (read, busy) = (Arc::clone(&socket), Arc::clone(&is_busy));
        std::thread::Builder::new().name("sightings".into()).spawn(move || {
            let mut packet = vec![0; PREFIX + MAX_RECORD];
            while wait(read.as_fd()) {
                loop {
                    let _busy = busy.lock().unwrap_or_else(PoisonError::into_inner);
                    match recv(&*read, &mut packet[..], RecvFlags::DONTWAIT) {
                        Ok((0, _)) => return,
                        Ok((len, _)) => {
                            if let Some(sent) = packet.get(..len).and_then(decoded)
                                && sent_tx.send(sent).is_err()
                            {
                                return;
                            }
                        }
                        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => break,
                        Err(_) => return,
                    }
                }
                doorbell.ring();
            }
        })?;
        Ok(Self { socket, is_busy })
    }

    /// Waits until everything that was sent before is with the pipeline.
    pub fn drain(&self) {
        let begun = Instant::now();
        while begun.elapsed() < DRAIN {
            {
                let _busy = self.is_busy.lock().unwrap_or_else(PoisonError::into_inner);
                let mut polled = [PollFd::new(&self.socket, PollFlags::IN)];
                let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
                if !poll(&mut polled, Some(&now)).is_ok_and(|ready| ready > 0)
                    || !polled[0].revents().contains(PollFlags::IN)
                    || polled[0].revents().contains(PollFlags::HUP)
                {
                    return;
                }
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

/// The channel between the reader and the pipeline.
pub fn channel() -> (Sender<Sent>, crossbeam_channel::Receiver<Sent>) {
    crossbeam_channel::bounded(MOST_WAITING)
}

/// Waits for a packet, or the end.
fn wait(socket: BorrowedFd<'_>) -> bool {
    poll(&mut [PollFd::from_borrowed_fd(socket, PollFlags::IN)], None).is_ok()
}

/// What a packet says; nothing for one that no supervisor of this build sends.
fn decoded(packet: &[u8]) -> Option<Sent> {
    let (prefix, rest) = packet.split_at_checked(PREFIX)?;
    let process = ProcessKey::here(Pid(u32::from_le_bytes(prefix[1..].try_into().ok()?)));
    match prefix[0] {
        RECORD => {
            let (head, payload) = rest.split_at_checked(Head::LEN)?;
            let head = wire::codec::decode::<Head>(head).ok()?.0;
            Some(Sent::Record { process, head, payload: payload.into() })
        }
        SEEN => {
            let (numbers, exe) = rest.split_first_chunk::<20>()?;
            let number = |at: usize| Some(u32::from_le_bytes(numbers.get(at..at + 4)?.try_into().ok()?));
            let known = |at: usize| number(at).filter(|number| *number != u32::MAX);
            let instance = u64::from_le_bytes(numbers.last_chunk().copied()?);
            let seen = Seen {
                ppid: known(0).map(Pid),
                uid: known(4),
                euid: known(8),
                instance: Some(Instance(instance)).filter(|_| instance != u64::MAX),
                exe: exe.to_vec(),
            };
            Some(Sent::Seen { process, seen })
        }
        LOST => Some(Sent::Lost {
            process,
            at: MonoNs::now(),
            count: u64::from_le_bytes(rest.try_into().ok()?),
            reason: LossReason::RingFull,
        }),
        _ => None,
    }
}
