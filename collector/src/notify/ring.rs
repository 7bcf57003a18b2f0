//! Packets in memory that the supervisor and the collector share: to send one is no system call, which its
//! call would wait for.
//!
//! A packet is a record of the ring, or several in a row where it is longer than a record may be. The slot
//! number of a record says which part it is; the ring has one writer. A packet with a descriptor goes over
//! the socket, and says up to where the ring is to be read before it.
//!
//! A reader that ends takes all the room that is left, reads what came before, and says that the ring is
//! closed. So each packet is read, or the writer knows that it was not: by a ring that is full, or by
//! [`Ring::unread`] where the reader died.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use wire::codec::Sink;
use wire::ring::{MAX_RECORD, Memory, Next, bell, reserve};

use super::packet::MOST_BYTES;
use crate::rings::mapping::{Mapping, Refusal};
use crate::rings::track::Track;

/// Bytes of packets that may wait for the collector: some 5000 calls.
const DATA_LEN: u64 = 1 << 20;
/// With so many bytes left or fewer it is as good as full.
const FULL: u64 = 16 << 10;
/// So many bytes that were read are given back before all is.
const MUCH: u64 = DATA_LEN / 16;
/// What a part begins with: its length in bytes. The ring knows it in words.
const LEN: usize = size_of::<u32>();
/// The longest part.
const MOST_PART: usize = MAX_RECORD - size_of::<u64>() - LEN;

/// Bits of the slot number: the first and the last part of a packet, and of one that tells of a call.
const FIRST: u8 = 1;
const LAST: u8 = 2;
const CALL: u8 = 4;

/// The supervisor's side.
#[derive(Debug)]
pub struct Ring {
    mapping: Mapping,
    memfd: OwnedFd,
}

impl Ring {
    /// A ring of its own.
    pub fn new() -> io::Result<Self> {
        let (mapping, memfd) = Mapping::create(DATA_LEN)?;
        mapping.mapped().slot(0).pid.store(std::process::id(), Ordering::Relaxed);
        Ok(Self { mapping, memfd })
    }

    /// Its memory, for the collector.
    pub fn memfd(&self) -> BorrowedFd<'_> {
        self.memfd.as_fd()
    }

    /// The place of the next packet.
    pub fn tail(&self) -> u64 {
        // Relaxed: this is the only writer.
        self.mapping.mapped().tail().load(Ordering::Relaxed)
    }

    /// Puts a packet in.
    pub fn put(&self, packet: &[u8], is_call: bool) -> Put {
        let memory = self.mapping.mapped();
        let last = packet.len().div_ceil(MOST_PART).saturating_sub(1);
        let mut put = Put { is_in: true, is_asleep: false };
        for (index, part) in packet.chunks(MOST_PART).enumerate() {
            let marks = [(index == 0, FIRST), (index == last, LAST), (is_call, CALL)];
            let marks = marks.iter().filter(|(is_set, _)| *is_set).fold(0, |all, (_, mark)| all | mark);
            // Where a later part finds no room, the reader drops those before it.
            let Ok(mut record) = reserve(&memory, marks, LEN + part.len()) else {
                return Put { is_in: false, ..put };
            };
            let len = u32::try_from(part.len()).unwrap_or_default();
            let is_whole = record.put(&len.to_le_bytes()) && record.put(part);
            // A reader that ends gives up what is not complete.
            let (is_delivered, is_asleep) = record.deliver();
            put = Put { is_in: put.is_in && is_whole && is_delivered, is_asleep: put.is_asleep || is_asleep };
        }
        put
    }

    /// Whether there is hardly room for a packet more.
    pub fn is_full(&self) -> bool {
        let memory = self.mapping.mapped();
        // Relaxed: nothing is read by them.
        let waiting = self.tail().wrapping_sub(memory.head().load(Ordering::Relaxed));
        waiting > DATA_LEN - FULL
    }

    /// The reader could not be woken: the next packet tries again.
    pub fn let_sleep(&self) {
        // Relaxed: as in `Reader::may_sleep`; the reader looks before it sleeps.
        self.mapping.mapped().bell().store(bell::SLEEPING, Ordering::Relaxed);
    }

    /// Whether its reader has ended, and read all that was put in.
    pub fn is_closed(&self) -> bool {
        // Acquire: the reader took the rest of the room before.
        self.mapping.mapped().slot(0).pid.load(Ordering::Acquire) == 0
    }

    /// What a reader that died has not read.
    pub fn unread(self) -> Option<Packets> {
        (!self.is_closed()).then(|| Packets::in_mapping(self.mapping))
    }
}

/// What putting a packet in came to.
#[derive(Clone, Copy, Debug)]
pub struct Put {
    /// It is there; otherwise there is no room for it, or no reader.
    pub is_in: bool,
    /// The reader sleeps: it is to be woken, by a packet of the socket.
    pub is_asleep: bool,
}

/// What is found at the reader's place.
#[derive(Debug, PartialEq, Eq)]
pub enum Found<'p> {
    /// A packet, and whether it tells of a call.
    Packet(&'p [u8], bool),
    /// Nothing before the place that is to be read to.
    Nothing,
    /// A packet that is being put in, or whose writer died over it.
    Unfinished,
    /// What no supervisor writes.
    Corrupt,
}

/// Shows whether there is anything to read.
#[derive(Clone, Debug)]
pub struct Gauge(Arc<Mapping>);

impl Gauge {
    /// Whether everything was read, and its room given back.
    pub fn is_empty(&self) -> bool {
        let memory = self.0.mapped();
        // Acquire: what the reader passed on before it gave the room back is there.
        memory.tail().load(Ordering::Acquire) == memory.head().load(Ordering::Acquire)
    }
}

/// The reader's side.
pub struct Packets {
    track: Track,
    room: Vec<u8>,
    whole: Vec<u8>,
    /// Parts of a packet are still to come.
    is_within: bool,
    released: u64,
}

impl Packets {
    /// Checks and maps the memory of a supervisor's ring.
    pub fn of(memfd: impl AsFd) -> Result<Self, Refusal> {
        Mapping::of(memfd).map(Self::in_mapping)
    }

    fn in_mapping(mapping: Mapping) -> Self {
        let track = Track::new(mapping);
        let released = track.reader.position();
        Self { track, room: vec![0; MAX_RECORD], whole: Vec::new(), is_within: false, released }
    }

    #[cfg(test)]
    pub fn memory(&self) -> wire::ring::layout::Mapped {
        self.track.memory()
    }

    /// A gauge of it.
    pub fn gauge(&self) -> Gauge {
        Gauge(Arc::clone(&self.track.mapping))
    }

    /// Up to where there are packets now.
    pub fn tail(&self) -> u64 {
        self.track.tail()
    }

    /// Whether no more is there than there can be.
    fn is_sane(&self) -> bool {
        self.track.reader.pending() <= self.track.mapping.data_len()
    }

    /// The next packet before `until`.
    pub fn next(&mut self, until: u64) -> Found<'_> {
        // A place behind the reader's looks like one that was read.
        if !self.is_sane() {
            return Found::Corrupt;
        }
        while !self.track.has_read(until) {
            self.track.look_ahead();
            let (slot, len) = match self.track.reader.next(&mut self.room) {
                Next::Record { slot, len } => (slot, len),
                Next::Empty => return Found::Nothing,
                Next::Unfinished(_) => return Found::Unfinished,
                Next::Corrupt => return Found::Corrupt,
            };
            let record = self.room.get(..len).unwrap_or_default();
            let Some((part, behind)) = record.split_first_chunk::<LEN>() else { return Found::Corrupt };
            let Some(part) = behind.get(..u32::from_le_bytes(*part) as usize) else { return Found::Corrupt };
            if slot & FIRST != 0 {
                self.whole.clear();
            }
            // An earlier reader died between the parts.
            if slot & FIRST == 0 && !self.is_within {
                continue;
            }
            self.is_within = slot & LAST == 0;
            if self.whole.len() + part.len() > MOST_BYTES {
                return Found::Corrupt;
            }
            self.whole.extend_from_slice(part);
            if !self.is_within {
                return Found::Packet(&self.whole, slot & CALL != 0);
            }
        }
        Found::Nothing
    }

    /// Steps over a packet that will not be finished: its writer is dead.
    pub fn step_over(&mut self) -> bool {
        self.track.step_over().is_some()
    }

    /// Gives the room of what was read back to the supervisor, unless that ends within a packet.
    pub fn release(&mut self) {
        if !self.is_within {
            self.track.reader.release();
            self.released = self.track.reader.position();
            self.track.let_go();
        }
    }

    /// The same, once that is much.
    pub fn release_much(&mut self) {
        if self.position().wrapping_sub(self.released) >= MUCH {
            self.release();
        }
    }

    /// The reader's place.
    pub fn position(&self) -> u64 {
        self.track.reader.position()
    }

    /// Whether the reader may sleep until a packet of the socket wakes it.
    pub fn may_sleep(&mut self) -> bool {
        // A look finds out about nonsense.
        self.track.may_sleep(bell::SLEEPING) && self.is_sane()
    }

    /// Says that the reader looks by itself.
    pub fn wake_up(&self) {
        self.track.reader.wake_up();
    }

    /// Lets no more packets in. The result is up to where there are some; [`Self::release`] must not be
    /// called any more.
    pub fn shut(&self) -> u64 {
        let memory = self.track.memory();
        let full = memory.head().load(Ordering::Relaxed).wrapping_add(memory.data_len());
        // Acquire and Relaxed: the reservation publishes nothing.
        let taken = memory
            .tail()
            .fetch_update(Ordering::Acquire, Ordering::Relaxed, |tail| (tail != full).then_some(full));
        taken.unwrap_or(full)
    }

    /// Says that everything was read that ever will be.
    pub fn close(&self) {
        // Release: the rest of the room was taken before. Pairs with the Acquire load in `Ring::is_closed`.
        self.track.memory().slot(0).pid.store(0, Ordering::Release);
    }
}

/// The entry of the fuzz target `packets`: the memory of a supervisor's ring, from the head word and the tail
/// word on. Each look ends, and no packet is longer than one may be.
#[cfg(fuzzing)]
pub fn fuzz(bytes: &[u8]) {
    use std::os::unix::fs::FileExt;

    let Some((words, data)) = bytes.split_first_chunk::<16>() else { return };
    let (words, _) = words.as_chunks::<8>();
    let [head, tail] = [words[0], words[1]].map(u64::from_le_bytes);
    let Ok((mapping, memfd)) = Mapping::create(wire::ring::layout::MIN_DATA_LEN) else { return };
    let at = wire::ring::layout::DATA_OFFSET + (head & !7) % mapping.data_len();
    let _ = std::fs::File::from(memfd).write_all_at(data, at);
    mapping.mapped().head().store(head, Ordering::Relaxed);
    mapping.mapped().tail().store(tail, Ordering::Relaxed);
    let mut packets = Packets::in_mapping(mapping);
    let until = packets.shut();
    loop {
        let is_unfinished = match packets.next(until) {
            Found::Packet(packet, _) => {
                assert!(packet.len() <= MOST_BYTES);
                let _ = super::packet::open(packet);
                false
            }
            Found::Unfinished => true,
            Found::Nothing | Found::Corrupt => break,
        };
        if is_unfinished && !packets.step_over() {
            break;
        }
    }
    packets.close();
}
