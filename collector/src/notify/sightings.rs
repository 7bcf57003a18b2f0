//! The collector's end of a supervisor's way: a thread that reads what comes, and passes it on.

use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{Shutdown, shutdown};

use super::packet::{MOST_BYTES, messages};
use super::ring::{Found, Gauge, Packets};
use super::way::NOW;
use crate::arrival::Sent;
use crate::ids::MonoNs;
use crate::rings::bells::Doorbell;
use crate::rings::ring::STUCK_NS;
use crate::system::peers::{self, Received};

/// Messages that may wait for the pipeline.
const MOST_WAITING: usize = 4096;
/// A packet that is longer waits until fewer messages do than [`MOST_BESIDE_LONG`], for [`PATIENCE`] at most:
/// what waits, of all supervisors together, is 50 MB at most, in place of 1.7 GB.
const LONG: usize = 4 << 10;
const MOST_BESIDE_LONG: usize = 64;
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the end of a session waits for packets that are there.
const DRAIN: Duration = Duration::from_secs(2);
/// The longest rest between looks at a packet that is not finished.
const LONGEST_NAP: Duration = Duration::from_millis(10);
/// What a packet of the socket begins with: the place in the ring that it comes after.
const AFTER: usize = size_of::<u64>();

/// The collector's end, with the thread that reads it.
#[derive(Clone, Debug)]
pub struct Sightings {
    socket: Arc<OwnedFd>,
    gauge: Option<Gauge>,
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
    /// Reads a supervisor's `socket` and his `packets`, passes on what comes, and rings `doorbell`, until the
    /// other end is closed.
    pub fn read(
        socket: OwnedFd,
        packets: Option<Packets>,
        reader: impl Reader,
        sent_tx: Sender<Sent>,
        doorbell: Arc<Doorbell>,
    ) -> std::io::Result<Self> {
        let (socket, state) = (Arc::new(socket), Arc::new(State::default()));
        let gauge = packets.as_ref().map(Packets::gauge);
        let (read, of_thread) = (Arc::clone(&socket), Arc::clone(&state));
        let receiver = Receiver { reader, sent_tx };
        let mut post = Post { socket: read, packets, receiver, room: vec![0; AFTER + MOST_BYTES] };
        std::thread::Builder::new().name("sightings".into()).spawn(move || {
            post.pass_on(&of_thread, &doorbell);
            let Post { socket, receiver: Receiver { mut reader, sent_tx }, .. } = post;
            for sent in reader.last(&socket) {
                let _ = sent_tx.send(sent);
            }
            doorbell.ring();
            of_thread.is_over.store(true, Ordering::Release);
        })?;
        Ok(Self { socket, gauge, state })
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
            || self.state.is_busy.try_lock().is_ok_and(|_busy| {
                !is_readable(&self.socket, Some(&NOW)) && self.gauge.as_ref().is_none_or(Gauge::is_empty)
            })
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

/// Understands the packets of a supervisor.
pub trait Reader: Send + 'static {
    /// How long to rest between looks. Less than [`crate::arrival::HOLD_NS`], for which the pipeline holds
    /// others back.
    const NAP: Duration;

    /// What a packet says that came with these descriptors. `None` where no more is to be read.
    fn take(&mut self, packet: &[u8], descriptors: Vec<OwnedFd>) -> Option<Vec<Sent>>;

    /// Everything that [`Self::take`] gave is with the pipeline; answers go over the socket.
    fn passed_on(&mut self, _socket: &OwnedFd) {}

    /// Notes that a packet is lost of which only that is known.
    fn lose_one(&mut self) {}

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

    fn take(&mut self, packet: &[u8], _: Vec<OwnedFd>) -> Option<Vec<Sent>> {
        Some(messages(packet))
    }
}

/// What the thread works with.
struct Post<R> {
    socket: Arc<OwnedFd>,
    packets: Option<Packets>,
    receiver: Receiver<R>,
    room: Vec<u8>,
}

/// The place at which the ring is held up, and since when.
#[derive(Debug, Default)]
struct Stuck(Option<(u64, MonoNs)>);

impl Stuck {
    /// For how long the ring has been held up at `place`, nanoseconds.
    fn at(&mut self, place: u64, now: MonoNs) -> u64 {
        match self.0 {
            Some((at, since)) if at == place => now.since(since),
            _ => {
                self.0 = Some((place, now));
                0
            }
        }
    }
}

/// Where packets go.
struct Receiver<R> {
    reader: R,
    sent_tx: Sender<Sent>,
}

/// What a look at the socket and the ring came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// Something came.
    Come,
    /// Something is about to: the supervisor is at it.
    Coming,
    /// Nothing.
    Nothing,
    /// Nothing will come any more.
    Over,
}

impl<R: Reader> Post<R> {
    /// The work of the thread. While packets come it naps between looks: a thread that waits for each would
    /// be woken by each, and the call that the packet tells of waits for that.
    fn pass_on(&mut self, state: &State, doorbell: &Doorbell) {
        loop {
            let mut stuck = Stuck::default();
            loop {
                let begun = MonoNs::now();
                let busy = state.is_busy.lock().unwrap_or_else(PoisonError::into_inner);
                let look = self.look();
                if look == Look::Over {
                    return;
                }
                if look != Look::Coming {
                    state.until.store(begun.0, Ordering::Release);
                }
                if look == Look::Nothing {
                    break;
                }
                drop(busy);
                let place = self.packets.as_ref().map_or(0, Packets::position);
                let for_ns = if look == Look::Coming { stuck.at(place, begun) } else { 0 };
                if for_ns >= STUCK_NS {
                    // Its writer lives, and will not finish it.
                    let _ = self.packets.as_mut().is_some_and(Packets::step_over);
                    self.receiver.reader.lose_one();
                }
                if for_ns == 0 {
                    doorbell.ring();
                }
                // The longer it stands, the longer between looks.
                std::thread::sleep(R::NAP.max(Duration::from_nanos(for_ns / 4).min(LONGEST_NAP)));
            }
            if self.packets.as_mut().is_none_or(Packets::may_sleep) {
                is_readable(&self.socket, None);
            }
            if let Some(packets) = &self.packets {
                packets.wake_up();
            }
        }
    }

    /// Passes on what is there now.
    fn look(&mut self) -> Look {
        let Self { socket, packets, receiver, room } = self;
        // Before the socket: a packet of the ring before this place comes after all that was sent over the
        // socket before it.
        let until = packets.as_ref().map(Packets::tail);
        let mut look = Look::Nothing;
        loop {
            let Received { len, descriptors, .. } = match peers::receive(&*socket, room) {
                Ok(received) => received,
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => break,
                    // The other end closed over an answer that it had not read: what it sent is still here.
                    ErrorKind::Interrupted | ErrorKind::ConnectionReset => continue,
                    _ => return receiver.take_last(packets, socket),
                },
            };
            if len == 0 && descriptors.is_empty() {
                return receiver.take_last(packets, socket);
            }
            look = Look::Come;
            let packet = room.get(..len).and_then(<[u8]>::split_first_chunk::<AFTER>);
            let (after, packet) = packet.unwrap_or((&[0; AFTER], &[]));
            let before = match packets {
                Some(packets) => {
                    // What is beyond the tail is not there: a stranger may say anything.
                    let (after, tail) = (u64::from_le_bytes(*after), packets.tail());
                    let is_there = tail.wrapping_sub(after).cast_signed() >= 0;
                    receiver.take_before(packets, if is_there { after } else { tail }, socket, false)
                }
                None => Look::Nothing,
            };
            // Before the end, since it disposes of the descriptors. One of nothing is for waking alone.
            let is_empty = packet.is_empty() && descriptors.is_empty();
            let goes_on = is_empty || receiver.take(packet, descriptors, socket);
            if before == Look::Over || !goes_on {
                return Look::Over;
            }
        }
        let Some((packets, until)) = packets.as_mut().zip(until) else { return look };
        let of_ring = receiver.take_before(packets, until, socket, false);
        packets.release();
        if of_ring == Look::Nothing { look } else { of_ring }
    }
}

impl<R: Reader> Receiver<R> {
    /// Passes on what a packet says. False where no more is to be read.
    fn take(&mut self, packet: &[u8], descriptors: Vec<OwnedFd>, socket: &OwnedFd) -> bool {
        let begun = Instant::now();
        while packet.len() > LONG && self.sent_tx.len() >= MOST_BESIDE_LONG && begun.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_micros(200));
        }
        let Some(all) = self.reader.take(packet, descriptors) else { return false };
        let is_passed_on = all.into_iter().all(|sent| self.sent_tx.send(sent).is_ok());
        self.reader.passed_on(socket);
        is_passed_on
    }

    /// Passes on the packets of the ring that lie before `until`.
    fn take_before(&mut self, packets: &mut Packets, until: u64, socket: &OwnedFd, is_last: bool) -> Look {
        let mut look = Look::Nothing;
        loop {
            match packets.next(until) {
                Found::Packet(packet, _) => {
                    look = Look::Come;
                    if !self.take(packet, Vec::new(), socket) {
                        return Look::Over;
                    }
                    if !is_last {
                        packets.release_much();
                    }
                }
                Found::Nothing => return look,
                Found::Unfinished => return Look::Coming,
                Found::Corrupt => return Look::Over,
            }
        }
    }

    /// Passes on the rest of the ring, and lets nothing more in.
    fn take_last(&mut self, packets: &mut Option<Packets>, socket: &OwnedFd) -> Look {
        let Some(packets) = packets else { return Look::Over };
        let until = packets.shut();
        loop {
            match self.take_before(packets, until, socket, true) {
                // A packet that a supervisor has died over is none.
                Look::Coming if packets.step_over() => {}
                Look::Come | Look::Nothing => {
                    packets.close();
                    return Look::Over;
                }
                // Not all was read, and the supervisor is to know.
                Look::Coming | Look::Over => return Look::Over,
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

#[cfg(test)]
mod tests {
    use wire::events::Kind;
    use wire::record::Head;
    use wire::ring::{MAX_RECORD, Memory, reserve};

    use super::super::reports::Reports;
    use super::super::way::{self, Ends, Way};
    use super::*;
    use crate::arrival::{Executed, Seen};
    use crate::ids::{Instance, Pid, ProcessKey};
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
            is_first: true,
            is_hooked: true,
            exe: b"/bin/x".to_vec(),
        }
    }

    /// The supervisor's end, and the collector's.
    fn pair() -> (Reports, Packets, OwnedFd) {
        let (ours, Ends { socket, memfd }) = Way::pair().unwrap();
        (Reports::to(ours), Packets::of(memfd.unwrap()).unwrap(), socket)
    }

    fn report(reports: &mut Reports, seq: u64, payload: &[u8]) {
        reports.begin(7);
        reports.record(&Head { seq, ..HEAD }, payload);
        reports.send(7);
    }

    /// What the next packet of the ring says; `None` where there is none.
    fn received(packets: &mut Packets) -> Option<Vec<Sent>> {
        let tail = packets.tail();
        match packets.next(tail) {
            Found::Packet(packet, _) => Some(messages(packet)),
            _ => None,
        }
    }

    /// The numbers of the records that a thread passes on of what is there, and of what comes at its end.
    fn read_to_end(packets: Packets, socket: OwnedFd) -> Vec<u64> {
        let (sent_tx, sent_rx) = channel();
        let sightings = Sightings::read(socket, Some(packets), OfLauncher, sent_tx, Arc::default()).unwrap();
        sightings.drain(Instant::now());
        assert!(sightings.is_over());
        let number = |sent| match sent {
            Sent::Record { head, .. } => head.seq,
            other => panic!("{other:?}"),
        };
        sent_rx.try_iter().map(number).collect()
    }

    #[test]
    fn a_call_arrives_with_what_comes_with_it() {
        let (mut reports, mut packets, _socket) = pair();
        reports.begin(7);
        reports.see(&seen(), None);
        reports.record(&HEAD, b"");
        reports.record(&HEAD, b"payload");
        reports.send(7);

        let all = received(&mut packets).unwrap();

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
        let (mut reports, mut packets, _socket) = pair();
        let mut made = 0;
        while reports.lost.is_empty() {
            report(&mut reports, made, &[0; 1000]);
            made += 1;
        }
        reports.lose(9, 5);
        let mut seen = 0;
        while let Some(all) = received(&mut packets) {
            seen += all.len() as u64;
        }
        packets.release();
        reports.finish();

        let mut counts = Vec::new();
        while let Some(all) = received(&mut packets) {
            for sent in all {
                let Sent::Lost { process, count, .. } = sent else { panic!("{sent:?}") };
                counts.push((process.pid.0, count));
            }
        }
        counts.sort_unstable();
        assert_eq!((made - 1, vec![(7, 1), (9, 5)]), (seen, counts));
    }

    #[test]
    fn a_packet_longer_than_a_record_of_the_ring_arrives_whole_and_half_of_one_is_none() {
        let (mut reports, mut packets, _socket) = pair();
        let long = vec![b'x'; MAX_RECORD - 100];
        let long_packet = |reports: &mut Reports| {
            reports.begin(7);
            reports.record(&HEAD, &long);
            reports.record(&HEAD, &long);
            reports.send(7);
        };
        let mut made = 0;
        while reports.lost.is_empty() {
            long_packet(&mut reports);
            made += 1;
        }

        let mut arrived = 0;
        while let Some(all) = received(&mut packets) {
            assert!(all.iter().all(|sent| matches!(sent, Sent::Record { payload, .. } if **payload == long)));
            arrived += all.len();
        }
        packets.release();
        // What was put in of the last one is dropped where the next begins.
        report(&mut reports, 1, b"");
        let lost = received(&mut packets).unwrap();
        let next = received(&mut packets).unwrap();

        assert_eq!(2 * (made - 1), arrived);
        assert!(matches!(lost.as_slice(), [Sent::Lost { count: 1, .. }]), "{lost:?}");
        assert!(matches!(next.as_slice(), [Sent::Record { head: Head { seq: 1, .. }, .. }]), "{next:?}");
    }

    #[test]
    fn packets_of_the_socket_are_read_in_their_place_among_those_of_the_ring() {
        let (mut reports, packets, socket) = pair();
        for number in 0..300 {
            match number % 3 {
                0 => {
                    // As the ring's, over the socket: what takes a descriptor.
                    let ring = reports.way.ring.take();
                    let after = ring.as_ref().unwrap().tail();
                    reports.begin(7);
                    reports.record(&Head { seq: number, ..HEAD }, b"");
                    let packet = [&after.to_le_bytes()[..], reports.packet()].concat();
                    way::send(&reports.way.socket, &[std::io::IoSlice::new(&packet)], &[]).unwrap();
                    reports.way.ring = ring;
                }
                _ => report(&mut reports, number, b""),
            }
        }
        drop(reports);

        assert_eq!((0..300).collect::<Vec<_>>(), read_to_end(packets, socket));
    }

    #[test]
    fn word_of_an_exec_arrives_as_it_was_sent() {
        let (mut reports, mut packets, _socket) = pair();
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

        let all = received(&mut packets).unwrap();

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
        let (mut reports, _packets, _socket) = pair();
        reports.begin(7);
        reports.see(&seen(), None);
        let mut packet = reports.packet().to_vec();

        for cut in 0..packet.len() {
            assert!(messages(&packet[..cut]).is_empty(), "{cut}");
        }
        assert_eq!(1, messages(&packet).len());
        packet[4] = 99;
        assert!(messages(&packet).is_empty());
    }

    #[test]
    fn the_end_waits_for_what_was_sent_and_for_nothing_else() {
        let (mut reports, packets, socket) = pair();
        let (sent_tx, sent_rx) = channel();
        (0..100).for_each(|number| report(&mut reports, number, b""));
        let sightings = Sightings::read(socket, Some(packets), OfLauncher, sent_tx, Arc::default()).unwrap();

        sightings.refuse_more();
        sightings.drain(Instant::now());

        assert_eq!((true, 100), (sightings.is_over(), sent_rx.len()));
        // What comes later is lost by the supervisor's own count.
        report(&mut reports, 100, b"");
        assert_eq!(Some(&1), reports.lost.get(&7));
        assert_eq!(100, sent_rx.len());
    }

    #[test]
    fn a_reader_that_sleeps_is_woken_and_has_told_all_when_it_has() {
        let (mut reports, packets, socket) = pair();
        let (sent_tx, sent_rx) = channel();
        let sightings = Sightings::read(socket, Some(packets), OfLauncher, sent_tx, Arc::default()).unwrap();

        for number in 0..20 {
            // It sleeps once nothing came for a nap.
            std::thread::sleep(OfLauncher::NAP * 3);
            report(&mut reports, number, b"");
            let begun = Instant::now();
            while !sightings.has_told_all() {
                assert!(begun.elapsed() < DRAIN, "{number}");
                std::thread::yield_now();
            }
            assert_eq!(number + 1, sent_rx.len() as u64);
        }
    }

    #[test]
    fn a_ring_that_nobody_reads_has_no_room_before_a_packet_is_lost_and_has_again_once_it_is_read() {
        let (mut reports, mut packets, _socket) = pair();
        let at_first = reports.has_room();
        let mut made = 0;
        while made < 5000 && reports.has_room() {
            report(&mut reports, made, &[0; 1000]);
            made += 1;
        }
        let lost = reports.lost.len();

        while received(&mut packets).is_some() {}
        packets.release();

        assert_eq!((true, 0, true), (at_first, lost, reports.has_room()));
    }

    #[test]
    fn long_packets_wait_in_the_ring_and_not_in_the_channel() {
        let (mut reports, packets, socket) = pair();
        let (sent_tx, sent_rx) = channel();
        let bytes = |sent: &Sent| match sent {
            Sent::Record { payload, .. } => payload.len(),
            _ => 0,
        };
        let mut made = 0;
        while made < 1000 && reports.lost.is_empty() {
            report(&mut reports, made, &[0; LONG]);
            made += 1;
        }
        made -= reports.lost.len() as u64;

        let sightings = Sightings::read(socket, Some(packets), OfLauncher, sent_tx, Arc::default()).unwrap();
        std::thread::sleep(Duration::from_millis(300));
        let waiting = sent_rx.len();
        let arrived: Vec<usize> = std::iter::from_fn(|| sent_rx.recv_timeout(Duration::from_secs(2)).ok())
            .map(|sent| bytes(&sent))
            .collect();
        drop(sightings);

        assert!(made > 2 * MOST_BESIDE_LONG as u64, "{made}");
        assert_eq!(MOST_BESIDE_LONG, waiting);
        assert_eq!(made as usize, arrived.iter().filter(|len| **len == LONG).count());
    }

    #[test]
    fn what_a_reader_that_died_has_not_read_is_counted_once() {
        let (mut reports, mut packets, socket) = pair();
        (0..100).for_each(|number| report(&mut reports, number, b""));
        reports.lose(9, 5);
        report(&mut reports, 100, b"");
        for _ in 0..30 {
            received(&mut packets).unwrap();
        }
        packets.release();
        drop((packets, socket));

        let left = reports.way.ring.take().and_then(super::super::ring::Ring::unread).unwrap();
        reports.count_unread(left);

        assert_eq!((Some(&71), Some(&5)), (reports.lost.get(&7), reports.lost.get(&9)));
    }

    #[test]
    fn what_was_sent_before_an_end_over_an_unread_answer_is_read() {
        let (mut reports, packets, socket) = pair();
        (0..100).for_each(|number| report(&mut reports, number, b""));
        // The kernel then says ECONNRESET before it gives the packets (unix(7)).
        way::send(&socket, &[std::io::IoSlice::new(b"h")], &[]).unwrap();
        drop(reports);

        assert_eq!((0..100).collect::<Vec<_>>(), read_to_end(packets, socket));
    }

    #[test]
    fn a_packet_that_a_supervisor_died_over_holds_up_no_end() {
        let (mut reports, packets, socket) = pair();
        report(&mut reports, 0, b"");
        let second = Packets::of(reports.way.ring.as_ref().unwrap().memfd()).unwrap();
        // Reserved, and never committed.
        drop(reserve(&second.memory(), 0, 8));
        report(&mut reports, 1, b"");
        drop((reports, second));

        assert_eq!(vec![0, 1], read_to_end(packets, socket));
    }

    #[test]
    fn a_packet_that_a_living_supervisor_never_finishes_holds_up_those_behind_for_a_second() {
        let (mut reports, packets, socket) = pair();
        let second = Packets::of(reports.way.ring.as_ref().unwrap().memfd()).unwrap();
        let (sent_tx, sent_rx) = channel();
        drop(reserve(&second.memory(), 0, 8));
        report(&mut reports, 1, b"");

        let _sightings = Sightings::read(socket, Some(packets), OfLauncher, sent_tx, Arc::default()).unwrap();
        let passed_on = sent_rx.recv_timeout(Duration::from_secs(20));

        assert!(matches!(passed_on, Ok(Sent::Record { head: Head { seq: 1, .. }, .. })), "{passed_on:?}");
    }

    #[test]
    fn a_reader_that_begins_within_a_packet_passes_it_over() {
        let (mut reports, packets, _socket) = pair();
        reports.begin(7);
        reports.record(&HEAD, &vec![b'x'; MAX_RECORD - 100]);
        reports.record(&HEAD, &vec![b'x'; MAX_RECORD - 100]);
        reports.send(7);
        report(&mut reports, 1, b"");

        // An earlier reader gave back the first part, and died.
        let memory = packets.memory();
        let first = memory.state(0).load(Ordering::Acquire) & 0xffff;
        memory.head().store(first << 3, Ordering::Release);
        let mut packets = Packets::of(reports.way.ring.as_ref().unwrap().memfd()).unwrap();
        let all = received(&mut packets).unwrap();

        assert!(matches!(all.as_slice(), [Sent::Record { head: Head { seq: 1, .. }, .. }]), "{all:?}");
    }

    #[test]
    fn room_is_not_given_back_within_a_packet() {
        let (mut reports, mut packets, _socket) = pair();
        reports.begin(7);
        reports.record(&HEAD, &vec![b'x'; MAX_RECORD - 100]);
        reports.record(&HEAD, &vec![b'x'; MAX_RECORD - 100]);
        reports.send(7);
        let first = (packets.memory().state(0).load(Ordering::Acquire) & 0xffff) << 3;

        assert_eq!(Found::Nothing, packets.next(first));
        packets.release();
        let within = packets.memory().head().load(Ordering::Relaxed);
        received(&mut packets).unwrap();
        packets.release();

        assert_eq!((0, packets.tail()), (within, packets.memory().head().load(Ordering::Relaxed)));
    }

    #[test]
    fn a_ring_of_nonsense_ends_its_supervisor_and_nothing_else() {
        let (mut reports, packets, socket) = pair();
        report(&mut reports, 0, b"");
        let second = Packets::of(reports.way.ring.as_ref().unwrap().memfd()).unwrap();
        second.memory().tail().store(u64::MAX, Ordering::Relaxed);

        read_to_end(packets, socket);
        let is_closed = reports.way.ring.as_ref().unwrap().is_closed();

        assert!(!is_closed, "it was not read");
    }
}
