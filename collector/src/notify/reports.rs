//! What the supervisor saw, on its way to the collector: packets, one for each call. What comes with a call
//! (who made it, where it stands) is in its packet: it arrives with it or not at all.
//!
//! The supervisor never waits for the collector. A packet that finds no room is counted, and the count goes
//! ahead of the next packet that does.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use wire::codec::{Encode, SliceSink};
use wire::record::Head;
use wire::ring::MAX_RECORD;

use super::link::Link;
use super::packet::{
    self, BEGAN, BEGUN, EVIDENT, EXECUTED, GONE, IS_FIRST, IS_HOOKED, LOST, Message, RECORD, SEEN, word_of,
};
use super::ring::{Found, Packets, Ring};
use super::way::Way;
use crate::arrival::{Executed, Seen};
use crate::evasion::Place;
use crate::ids::{Instance, MonoNs, Pid};
use crate::launch::protocol::{CommandStarted, Message as _, ToCollector};

/// Processes whose lost records are counted one by one; beyond, the count of the last one grows.
const MOST_COUNTED: usize = 1024;
/// How long the end of a run waits for room for the counts.
const DRAIN: Duration = Duration::from_secs(2);
/// A collector that died while it was awake rings no bell: it is looked after so often.
const LOOKED_AFTER: Duration = Duration::from_millis(100);

/// The supervisor's end.
#[derive(Debug)]
pub struct Reports {
    pub(super) way: Way,
    packet: Vec<u8>,
    pub(super) lost: HashMap<u32, u64>,
    /// The way to a collector that no launcher started.
    link: Option<Link>,
    /// The process that the packet introduces, for such a collector.
    introduced: Option<OwnedFd>,
    /// When the collector was looked after last.
    looked: Instant,
}

impl Reports {
    /// Reports to the collector at the other end.
    pub fn to(way: Way) -> Self {
        Self {
            way,
            packet: Vec::with_capacity(MAX_RECORD),
            lost: HashMap::new(),
            link: None,
            introduced: None,
            looked: Instant::now(),
        }
    }

    /// The same to a collector that is reached by `link`, whose connection `way` is.
    pub fn over(link: Link, way: Way) -> Self {
        Self { link: Some(link), ..Self::to(way) }
    }

    /// Whether the collector hears of a process by a descriptor of it.
    pub fn is_remote(&self) -> bool {
        self.link.is_some()
    }

    /// The number of the collector's connection: another one knows of no process yet.
    pub fn connection(&mut self) -> u32 {
        if self.link.is_some() && self.looked.elapsed() >= LOOKED_AFTER {
            self.looked = Instant::now();
            self.look_after();
        }
        let Some(link) = &mut self.link else { return 0 };
        if let Some(way) = link.reconnect() {
            self.way = way;
        }
        link.connections()
    }

    /// Whether a packet would find room. Where it does not, the collector is looked after.
    pub fn has_room(&mut self) -> bool {
        let is_full = |way: &Way| way.ring.as_ref().is_some_and(Ring::is_full);
        if is_full(&self.way) {
            self.connection();
        }
        !is_full(&self.way)
    }

    /// Where the collector has gone, what it has not read is lost. The launcher's next one reads on.
    fn look_after(&mut self) {
        let Some(link) = self.link.as_mut().filter(|_| self.way.is_over()) else { return };
        for pid in link.note_broken() {
            self.lose(pid, 1);
        }
        if let Some(unread) = self.way.ring.take().and_then(Ring::unread) {
            self.count_unread(unread);
        }
    }

    pub(super) fn count_unread(&mut self, mut unread: Packets) {
        let tail = unread.tail();
        while let Found::Packet(packet, is_call) = unread.next(tail) {
            let Some((pid, messages)) = packet::open(packet) else { continue };
            let counts = messages.into_iter().map(|message| match message {
                Message::Lost(count) => count,
                _ => 0,
            });
            self.lose(pid, counts.sum::<u64>() + u64::from(is_call));
        }
    }

    /// Begins the packet of a call of the process `pid`.
    pub fn begin(&mut self, pid: u32) {
        self.packet.clear();
        self.packet.extend_from_slice(&pid.to_le_bytes());
        self.introduced = None;
    }

    /// Adds what is known of the process, of which `pidfd` is a descriptor.
    pub fn see(&mut self, seen: &Seen, pidfd: Option<OwnedFd>) {
        let Seen { ppid, uid, euid, instance, user_ns, mnt_ns, reason, is_first, is_hooked, exe } = seen;
        let [ppid, uid, euid] =
            [ppid.map(|Pid(ppid)| ppid), *uid, *euid].map(|number| number.unwrap_or(u32::MAX).to_le_bytes());
        let long = [instance.map(|Instance(number)| number), *user_ns, *mnt_ns];
        let long = long.map(|number| number.unwrap_or(u64::MAX).to_le_bytes()).concat();
        let how = if *is_first { IS_FIRST } else { 0 } | if *is_hooked { IS_HOOKED } else { 0 };
        self.add(SEEN, &[&ppid, &uid, &euid, &long, &[word_of(*reason), how], exe]);
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

    #[cfg(test)]
    pub(super) fn packet(&self) -> &[u8] {
        &self.packet
    }

    /// Sends the packet, or counts the call as lost; then what it introduced is to be introduced again.
    pub fn send(&mut self, pid: u32) -> bool {
        let introduced = self.introduced.take();
        let packet = std::mem::take(&mut self.packet);
        let is_sent = self.tell_lost() && self.is_sent(&packet, introduced.as_ref(), true);
        self.packet = packet;
        if !is_sent {
            self.lose(pid, 1);
            return false;
        }
        // While its call waits, the kernel has an answer for the collector.
        if let (Some(link), Some(_)) = (&mut self.link, introduced) {
            link.await_answer(&self.way.socket, pid);
        }
        true
    }

    /// Sends a packet that is no call's: nothing is lost with it.
    pub fn send_word(&mut self) {
        let packet = std::mem::take(&mut self.packet);
        self.is_sent(&packet, None, false);
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
            has_room = has_room && self.is_sent(&packet, None, false);
            !has_room
        });
        self.lost = lost;
        has_room
    }

    fn is_sent(&mut self, packet: &[u8], introduced: Option<&OwnedFd>, is_call: bool) -> bool {
        if let (Some(ring), None) = (&self.way.ring, introduced) {
            let put = ring.put(packet, is_call);
            // One that is about to end reads what is there.
            let is_awake = !put.is_asleep || self.way.send(&[], None).is_ok();
            if !is_awake {
                ring.let_sleep();
            }
            if !(put.is_in && is_awake) {
                self.look_after();
            }
            return put.is_in;
        }
        let sent = self.way.send(packet, introduced);
        if sent.is_err() {
            self.look_after();
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
        if count == 0 {
            return;
        }
        let is_known = self.lost.contains_key(&pid) || self.lost.len() < MOST_COUNTED;
        let pid = if is_known { pid } else { self.lost.keys().next().copied().unwrap_or(pid) };
        *self.lost.entry(pid).or_default() += count;
    }
}

/// The entry of the fuzz target `sighting`: a packet of a supervisor. What is read of it is written the same.
#[cfg(fuzzing)]
pub fn fuzz(bytes: &[u8]) {
    let Some((process, all)) = packet::open(bytes) else { return };
    let Ok((ours, _theirs)) = Way::pair() else { return };
    let mut reports = Reports::to(ours);
    let write = |reports: &mut Reports, all: Vec<Message<'_>>| {
        reports.begin(process);
        for message in all {
            match message {
                Message::Seen(seen) => reports.see(&seen, None),
                Message::Began(started, reason) => reports.began(started, reason),
                Message::Record(head, payload) => reports.record(&head, payload),
                Message::Executed(at, program) => reports.executed(at, &program),
                Message::Begun(at, has_begun) => reports.begun(at, has_begun),
                // A call that the table does not have has no number to be written by.
                Message::Evident(..) => {}
                Message::Lost(count) => reports.add(LOST, &[&count.to_le_bytes()]),
            }
        }
        reports.packet.clone()
    };
    let once = write(&mut reports, all);
    let again = packet::open(&once).map(|(_, all)| write(&mut reports, all));
    assert_eq!(Some(once), again);
}
