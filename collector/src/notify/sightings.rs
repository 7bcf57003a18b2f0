//! What the supervisor saw, on its way to the collector: packets of a socket pair, one for each call. What
//! comes with a call (who made it, where it stands) is in its packet: it arrives with it or not at all.
//!
//! The supervisor never waits for the collector. A packet that finds no room is counted, and the count goes
//! ahead of the next packet that does.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, Shutdown, SocketFlags, SocketType, recv, send, shutdown, socketpair,
    sockopt,
};
use wire::codec::{Encode, SliceSink};
use wire::record::Head;
use wire::ring::MAX_RECORD;

use super::link::{self, Link};
#[cfg(fuzzing)]
use super::packet;
use super::packet::{BEGAN, BEGUN, EVIDENT, EXECUTED, GONE, LOST, RECORD, SEEN, messages, word_of};
use crate::arrival::{Executed, Seen, Sent};
use crate::evasion::Place;
use crate::ids::{Instance, MonoNs, Pid};
use crate::launch::protocol::{CommandStarted, Message as _, ToCollector};
use crate::rings::bells::Doorbell;

/// Bytes that may wait for the collector; the kernel grants what its limit allows (net.core.wmem_max).
const ROOM: usize = 4 << 20;
/// Messages that may wait for the pipeline.
const MOST_WAITING: usize = 4096;
/// Processes whose lost records are counted one by one; beyond, the count of the last one grows.
const MOST_COUNTED: usize = 1024;
/// How long the end of a session waits for packets that are there.
const DRAIN: Duration = Duration::from_secs(2);
const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// The longest packet: what is known of a process, its directory, and the event.
const MOST_BYTES: usize = 3 * MAX_RECORD;

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
    /// The way to a collector that no launcher started.
    link: Option<Link>,
    /// The process that the packet introduces, for such a collector.
    introduced: Option<OwnedFd>,
}

impl Reports {
    /// Reports to the collector at the other end.
    pub fn to(socket: OwnedFd) -> Self {
        let packet = Vec::with_capacity(MAX_RECORD);
        Self { socket, packet, lost: HashMap::new(), link: None, introduced: None }
    }

    /// The same to a collector that is reached by `link`, whose connection `socket` is.
    pub fn over(link: Link, socket: OwnedFd) -> Self {
        let _ = sockopt::set_socket_send_buffer_size(&socket, ROOM);
        Self { link: Some(link), ..Self::to(socket) }
    }

    /// Whether the collector hears of a process by a descriptor of it.
    pub fn is_remote(&self) -> bool {
        self.link.is_some()
    }

    /// The number of the collector's connection: another one knows of no process yet.
    pub fn connection(&mut self) -> u32 {
        let Some(link) = &mut self.link else { return 0 };
        if let Some(socket) = link.reconnect() {
            let _ = sockopt::set_socket_send_buffer_size(&socket, ROOM);
            self.socket = socket;
        }
        link.connections()
    }

    /// Begins the packet of a call of the process `pid`.
    pub fn begin(&mut self, pid: u32) {
        self.packet.clear();
        self.packet.extend_from_slice(&pid.to_le_bytes());
        self.introduced = None;
    }

    /// Adds what is known of the process, of which `pidfd` is a descriptor.
    pub fn see(&mut self, seen: &Seen, pidfd: Option<OwnedFd>) {
        let Seen { ppid, uid, euid, instance, user_ns, mnt_ns, reason, exe } = seen;
        let [ppid, uid, euid] =
            [ppid.map(|Pid(ppid)| ppid), *uid, *euid].map(|number| number.unwrap_or(u32::MAX).to_le_bytes());
        let long = [instance.map(|Instance(number)| number), *user_ns, *mnt_ns];
        let long = long.map(|number| number.unwrap_or(u64::MAX).to_le_bytes()).concat();
        self.add(SEEN, &[&ppid, &uid, &euid, &long, &[word_of(*reason)], exe]);
        self.introduced = pidfd.filter(|_| self.is_remote());
    }

    /// Adds the program that the supervisor started, which no sensor is in for this reason.
    pub fn began(&mut self, started: CommandStarted, reason: &'static str) {
        let started = ToCollector::CommandStarted(started).encode();
        self.add(BEGAN, &[&[word_of(Some(reason))], &started]);
    }

    /// Adds a record.
    pub fn record(&mut self, head: &Head, payload: &[u8]) {
        let mut bytes = [0; Head::LEN];
        head.encode(&mut SliceSink::new(&mut bytes));
        self.add(RECORD, &[&bytes, payload]);
    }

    /// Adds that the call `number` of the hook table, which is recorded before, was made at `place`.
    pub fn evident(&mut self, at: MonoNs, number: u16, place: &Place) {
        let Place { addr, mapping, module } = place;
        let len = u32::try_from(mapping.len()).unwrap_or(u32::MAX).to_le_bytes();
        let [at, addr] = [at.0, *addr].map(u64::to_le_bytes);
        self.add(EVIDENT, &[&at, &addr, &number.to_le_bytes(), &len, mapping, module]);
    }

    /// Adds what the file of an exec told; `at` is the time of its record.
    pub fn executed(&mut self, at: MonoNs, program: &Executed) {
        let Executed { exe, environment, reason, is_no_program, stack } = program;
        let len = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(0).to_le_bytes();
        self.add(
            EXECUTED,
            &[
                &at.0.to_le_bytes(),
                &stack.to_le_bytes(),
                &[u8::from(*is_no_program)],
                &len(reason.as_bytes()),
                &len(exe),
                reason.as_bytes(),
                exe,
                environment,
            ],
        );
    }

    /// Adds what is known of the exec of that time: whether it succeeded; `None` where its process is gone.
    pub fn begun(&mut self, at: MonoNs, has_begun: Option<bool>) {
        self.add(BEGUN, &[&at.0.to_le_bytes(), &[has_begun.map_or(GONE, u8::from)]]);
    }

    fn add(&mut self, tag: u8, parts: &[&[u8]]) {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        self.packet.push(tag);
        self.packet.extend_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes());
        parts.iter().for_each(|part| self.packet.extend_from_slice(part));
    }

    /// Sends the packet, or counts the call as lost; then what it introduced is to be introduced again.
    pub fn send(&mut self, pid: u32) -> bool {
        let introduced = self.introduced.take();
        let packet = std::mem::take(&mut self.packet);
        let is_sent = self.tell_lost() && self.is_sent(&packet, introduced.as_ref());
        self.packet = packet;
        if !is_sent {
            self.lose(pid, 1);
            return false;
        }
        // While its call waits, the kernel has an answer for the collector.
        if let (Some(link), Some(_)) = (&mut self.link, introduced) {
            link.await_answer(&self.socket);
        }
        true
    }

    /// Sends a packet that is no call's: nothing is lost with it.
    pub fn send_word(&mut self) {
        let packet = std::mem::take(&mut self.packet);
        self.is_sent(&packet, None);
        self.packet = packet;
    }

    /// Sends the counts of what was lost; false where one found no room.
    fn tell_lost(&mut self) -> bool {
        let mut lost = std::mem::take(&mut self.lost);
        let mut has_room = true;
        lost.retain(|pid, count| {
            let packet =
                [&pid.to_le_bytes()[..], &[LOST], &8_u32.to_le_bytes(), &count.to_le_bytes()].concat();
            // One that finds no room speaks for all.
            has_room = has_room && self.is_sent(&packet, None);
            !has_room
        });
        self.lost = lost;
        has_room
    }

    fn is_sent(&mut self, packet: &[u8], introduced: Option<&OwnedFd>) -> bool {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let sent = match introduced {
            Some(pidfd) => link::send_with(&self.socket, packet, pidfd, flags),
            None => send(&self.socket, packet, flags).map(drop),
        };
        if let (Err(Errno::PIPE | Errno::CONNRESET), Some(link)) = (&sent, &mut self.link) {
            link.note_broken();
        }
        sent.is_ok()
    }

    /// At the end of a run: sends the counts, for [`DRAIN`] at most.
    pub fn finish(&mut self) {
        let begun = Instant::now();
        self.connection();
        let has_link = |link: &Option<Link>| link.as_ref().is_none_or(|link| !link.is_broken());
        while !self.tell_lost() && begun.elapsed() < DRAIN && has_link(&self.link) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Counts calls that will not be told of.
    pub fn lose(&mut self, pid: u32, count: u64) {
        let is_known = self.lost.contains_key(&pid) || self.lost.len() < MOST_COUNTED;
        let pid = if is_known { pid } else { self.lost.keys().next().copied().unwrap_or(pid) };
        *self.lost.entry(pid).or_default() += count;
    }
}

/// The collector's end, with the thread that reads it.
#[derive(Clone, Debug)]
pub struct Sightings {
    socket: Arc<OwnedFd>,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Held while a packet is between the socket and the pipeline.
    is_busy: Mutex<()>,
    /// The thread has read all that will come.
    is_over: AtomicBool,
    /// Everything that was sent by this moment is with the pipeline, CLOCK_MONOTONIC in nanoseconds.
    until: AtomicU64,
}

impl Sightings {
    /// Reads `socket`, passes on what comes, and rings `doorbell`, until the other end is closed.
    pub fn read(
        socket: OwnedFd,
        mut reader: impl Reader,
        sent_tx: Sender<Sent>,
        doorbell: Arc<Doorbell>,
    ) -> std::io::Result<Self> {
        let (socket, state) = (Arc::new(socket), Arc::new(State::default()));
        let (read, of_thread) = (Arc::clone(&socket), Arc::clone(&state));
        std::thread::Builder::new().name("sightings".into()).spawn(move || {
            pass_on(&read, &mut reader, &of_thread, &sent_tx, &doorbell);
            for sent in reader.last(&read) {
                let _ = sent_tx.send(sent);
            }
            doorbell.ring();
            of_thread.is_over.store(true, Ordering::Release);
        })?;
        Ok(Self { socket, state })
    }

    /// Whether the other end is closed, and everything read.
    pub fn is_over(&self) -> bool {
        self.state.is_over.load(Ordering::Acquire)
    }

    /// Everything that was sent by this moment is with the pipeline.
    pub fn told_until(&self) -> MonoNs {
        match self.is_over() {
            true => MonoNs::MAX,
            // Acquire: the messages are there.
            false => MonoNs(self.state.until.load(Ordering::Acquire)),
        }
    }

    /// Whether everything that had been sent at the call is with the pipeline.
    pub fn has_told_all(&self) -> bool {
        // Not while a packet is on its way: the socket is empty then, and the packet nowhere yet.
        self.is_over()
            || self.state.is_busy.try_lock().is_ok_and(|_busy| !is_readable(&self.socket, Some(&NOW)))
    }

    /// Refuses what comes from here on: the supervisor counts it as lost.
    pub fn refuse_more(&self) {
        let _ = shutdown(&self.socket, Shutdown::Read);
    }

    /// Waits until everything that was sent is with the pipeline, until [`DRAIN`] after `begun` at most.
    pub fn drain(&self, begun: Instant) {
        while begun.elapsed() < DRAIN && !self.has_told_all() {
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

/// Reads the packets of a socket.
pub trait Reader: Send + 'static {
    /// How long to rest between looks. Less than [`crate::arrival::HOLD_NS`], for which the pipeline holds
    /// others back.
    const NAP: Duration;

    /// What the next packet says, which `room` has room for; `None` at the end.
    fn next(&mut self, socket: &OwnedFd, room: &mut [u8]) -> Result<Option<Vec<Sent>>, Errno>;

    /// What is to be said at the end.
    fn last(&mut self, _socket: &OwnedFd) -> Vec<Sent> {
        Vec::new()
    }
}

/// The supervisor of the launcher that started this collector.
#[derive(Debug)]
pub struct OfLauncher;

impl Reader for OfLauncher {
    const NAP: Duration = Duration::from_micros(500);

    fn next(&mut self, socket: &OwnedFd, room: &mut [u8]) -> Result<Option<Vec<Sent>>, Errno> {
        let (len, _) = recv(socket, &mut *room, RecvFlags::DONTWAIT)?;
        Ok((len > 0).then(|| room.get(..len).map(messages).unwrap_or_default()))
    }
}

/// The work of the reader's thread. While packets come it naps between looks: a thread that waits for each
/// would be woken by each, and the call that the packet tells of waits for that.
fn pass_on<R: Reader>(
    socket: &OwnedFd,
    reader: &mut R,
    state: &State,
    sent_tx: &Sender<Sent>,
    doorbell: &Doorbell,
) {
    let mut packet = vec![0; MOST_BYTES];
    loop {
        is_readable(socket, None);
        let mut has_come = true;
        while has_come {
            has_come = false;
            loop {
                let begun = MonoNs::now();
                let _busy = state.is_busy.lock().unwrap_or_else(PoisonError::into_inner);
                match reader.next(socket, &mut packet) {
                    Ok(None) => return,
                    Ok(Some(all)) => {
                        has_come = true;
                        for sent in all {
                            if sent_tx.send(sent).is_err() {
                                return;
                            }
                        }
                    }
                    Err(Errno::AGAIN) => {
                        state.until.store(begun.0, Ordering::Release);
                        break;
                    }
                    // The other end closed over an answer that it had not read: what it sent is still here.
                    Err(Errno::INTR | Errno::CONNRESET) => {}
                    Err(_) => return,
                }
            }
            if has_come {
                doorbell.ring();
                std::thread::sleep(R::NAP);
            }
        }
    }
}

/// Whether there is a packet, or the end, within `time`.
fn is_readable(socket: &OwnedFd, time: Option<&Timespec>) -> bool {
    let mut polled = [PollFd::new(socket, PollFlags::IN)];
    poll(&mut polled, time).is_ok_and(|ready| ready > 0)
}

/// The channel between the reader and the pipeline.
pub fn channel() -> (Sender<Sent>, crossbeam_channel::Receiver<Sent>) {
    crossbeam_channel::bounded(MOST_WAITING)
}

/// The entry of the fuzz target `sighting`: a packet of a supervisor. What is read of it is written the same.
#[cfg(fuzzing)]
pub fn fuzz(bytes: &[u8]) {
    let Some((process, all)) = packet::open(bytes) else { return };
    let Ok((ours, _theirs)) = pair() else { return };
    let mut reports = Reports::to(ours);
    let write = |reports: &mut Reports, all: Vec<packet::Message<'_>>| {
        reports.begin(process);
        for message in all {
            match message {
                packet::Message::Seen(seen) => reports.see(&seen, None),
                packet::Message::Began(started, reason) => reports.began(started, reason),
                packet::Message::Record(head, payload) => reports.record(&head, payload),
                packet::Message::Executed(at, program) => reports.executed(at, &program),
                packet::Message::Begun(at, has_begun) => reports.begun(at, has_begun),
                // A call that the table does not have has no number to be written by.
                packet::Message::Evident(..) => {}
                packet::Message::Lost(count) => reports.add(LOST, &[&count.to_le_bytes()]),
            }
        }
        reports.packet.clone()
    };
    let once = write(&mut reports, all);
    let again = packet::open(&once).map(|(_, all)| write(&mut reports, all));
    assert_eq!(Some(once), again);
}

#[cfg(test)]
mod tests {
    use wire::events::Kind;

    use super::*;
    use crate::ids::ProcessKey;
    use crate::system::program;

    const HEAD: Head = Head {
        time_ns: 5,
        seq: 0,
        ret: 0,
        pid: 7,
        tid: 8,
        kind: Kind::FileUnlink as u16,
        call: 3,
        errno: 0,
        via: 3,
        flags: 0,
    };

    fn seen() -> Seen {
        Seen {
            ppid: Some(Pid(1)),
            uid: Some(0),
            euid: None,
            instance: Some(Instance(9)),
            reason: Some("go"),
            user_ns: Some(10),
            mnt_ns: None,
            exe: b"/bin/x".to_vec(),
        }
    }

    fn received(socket: &OwnedFd) -> Vec<Sent> {
        let mut packet = vec![0; MOST_BYTES];
        let (len, _) = recv(socket, &mut packet[..], RecvFlags::DONTWAIT).unwrap();
        messages(&packet[..len])
    }

    #[test]
    fn a_call_arrives_with_what_comes_with_it() {
        let (ours, theirs) = pair().unwrap();
        let mut reports = Reports::to(ours);
        reports.begin(7);
        reports.see(&seen(), None);
        reports.record(&HEAD, b"");
        reports.record(&HEAD, b"payload");
        reports.send(7);

        let all = received(&theirs);

        let [
            Sent::Seen { process, seen: first },
            Sent::Record { payload: empty, .. },
            Sent::Record { head, payload, .. },
        ] = all.as_slice()
        else {
            panic!("{all:?}")
        };
        assert_eq!((ProcessKey::here(Pid(7)), &seen()), (*process, first));
        assert_eq!((0, HEAD, &b"payload"[..]), (empty.len(), *head, &**payload));
    }

    #[test]
    fn what_finds_no_room_is_counted_by_process_and_told_once_there_is_room() {
        let (ours, theirs) = pair().unwrap();
        let mut reports = Reports::to(ours);
        let mut made = 0;
        while reports.lost.is_empty() {
            reports.begin(7);
            reports.record(&HEAD, &[0; 1000]);
            reports.send(7);
            made += 1;
        }
        reports.lose(9, 5);
        let mut seen = 0;
        while is_readable(&theirs, Some(&NOW)) {
            seen += received(&theirs).len();
        }
        reports.finish();

        let mut counts = Vec::new();
        while is_readable(&theirs, Some(&NOW)) {
            for sent in received(&theirs) {
                let Sent::Lost { process, count, .. } = sent else { panic!("{sent:?}") };
                counts.push((process.pid.0, count));
            }
        }
        counts.sort_unstable();
        assert_eq!((made - 1, vec![(7, 1), (9, 5)]), (seen, counts));
    }

    #[test]
    fn word_of_an_exec_arrives_as_it_was_sent() {
        let (ours, theirs) = pair().unwrap();
        let mut reports = Reports::to(ours);
        let program = Executed {
            exe: b"/bin/x".to_vec(),
            environment: b"LD_PRELOAD=/x.so\0".to_vec(),
            reason: program::STATIC.name,
            is_no_program: true,
            stack: 1 << 47,
        };
        reports.begin(7);
        reports.executed(MonoNs(5), &program);
        for has_begun in [None, Some(false), Some(true)] {
            reports.begun(MonoNs(6), has_begun);
        }
        reports.send_word();

        let all = received(&theirs);

        let [Sent::Executed { at, program: sent, .. }, words @ ..] = all.as_slice() else {
            panic!("{all:?}")
        };
        assert_eq!((MonoNs(5), &program), (*at, sent));
        let words = words.iter().map(|word| match word {
            Sent::Begun { at: MonoNs(6), has_begun, .. } => *has_begun,
            other => panic!("{other:?}"),
        });
        assert_eq!(vec![None, Some(false), Some(true)], words.collect::<Vec<_>>());
    }

    #[test]
    fn what_no_supervisor_sends_is_nothing() {
        let (ours, theirs) = pair().unwrap();
        let mut reports = Reports::to(ours);
        reports.begin(7);
        reports.see(&seen(), None);
        reports.send(7);
        let mut packet = vec![0; MOST_BYTES];
        let (len, _) = recv(&theirs, &mut packet[..], RecvFlags::DONTWAIT).unwrap();

        for cut in 0..len {
            assert!(messages(&packet[..cut]).is_empty(), "{cut}");
        }
        packet[4] = 99;
        assert!(messages(&packet[..len]).is_empty());
    }

    #[test]
    fn the_end_waits_for_what_was_sent_and_for_nothing_else() {
        let (ours, theirs) = pair().unwrap();
        let (sent_tx, sent_rx) = channel();
        let mut reports = Reports::to(ours);
        for _ in 0..100 {
            reports.begin(7);
            reports.record(&HEAD, b"");
            reports.send(7);
        }
        let sightings = Sightings::read(theirs, OfLauncher, sent_tx, Arc::default()).unwrap();

        sightings.refuse_more();
        sightings.drain(Instant::now());

        assert_eq!(100, sent_rx.len());
        // What comes later is lost by the supervisor's own count.
        reports.begin(7);
        reports.record(&HEAD, b"");
        reports.send(7);
        assert_eq!(Some(&1), reports.lost.get(&7));
        drop(reports);
        sightings.drain(Instant::now());
        assert!(sightings.is_over());
        assert_eq!(100, sent_rx.len());
    }

    #[test]
    fn what_was_sent_before_an_end_over_an_unread_answer_is_read() {
        let (ours, theirs) = pair().unwrap();
        let (sent_tx, sent_rx) = channel();
        let mut reports = Reports::to(ours);
        for _ in 0..100 {
            reports.begin(7);
            reports.record(&HEAD, b"");
            reports.send(7);
        }
        // The kernel then says ECONNRESET before it gives the packets (unix(7)).
        send(&theirs, b"h", SendFlags::empty()).unwrap();
        drop(reports);

        let sightings = Sightings::read(theirs, OfLauncher, sent_tx, Arc::default()).unwrap();
        sightings.drain(Instant::now());

        assert_eq!(100, sent_rx.len());
    }
}
