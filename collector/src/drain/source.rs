//! One ring as the drain thread reads it: how far, by whom it is written, and what holds it up.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use slab::Slab;
use wire::ring::layout::{DATA_OFFSET, Mapped, SLOTS, Slot};
use wire::ring::{Memory, Reader, Unfinished};

use super::image::Image;
use crate::container::Container;
use crate::enrich::Process;
use crate::launch::protocol::RingId;
use crate::mapping::{Lifeline, Mapping};

/// A record that nobody finishes is given up after this time, even if its writer may live.
pub const STUCK_NS: u64 = 1_000_000_000;
/// A ring that nobody wrote to for this time gives its memory back.
const IDLE_NS: u64 = 1_000_000_000;
/// Less is not worth the system call.
const WORTH_BYTES: u64 = 128 * 1024;

/// Fork children that are remembered for the sake of their children.
const MOST_DEPARTED: usize = 32;

/// A ring.
pub struct Source {
    /// The name under which the launcher keeps it.
    pub id: RingId,
    /// The reader; before `mapping`, so that it is dropped first.
    pub reader: Reader<Mapped>,
    mapping: Mapping,
    /// The images that write here, by slot.
    pub images: [Option<usize>; SLOTS],
    /// The highest slot that was ever known to be taken.
    pub highest_slot: u8,
    /// Whether an earlier collector read it.
    pub is_inherited: bool,
    /// It holds what no sensor writes and is read no further.
    pub is_corrupt: bool,
    /// Own pids of the ring's processes are the collector's too.
    pub shares_pids: bool,
    /// The pid namespace of its processes, where their numbers cannot be translated.
    pub pid_ns: Option<u64>,
    /// The same as they say, also where they can be translated; 0 where it is the collector's.
    pub own_ns: u64,
    lifeline: Option<Lifeline>,
    /// Everything that was there at the last look was read.
    pub is_drained: bool,
    /// A record that is being written stands before others that may be complete.
    pub is_blocked: bool,
    /// Time of the record read last.
    pub last_ns: u64,
    /// The record that holds it up, and since when.
    pub stuck: Option<(Unfinished, u64)>,
    /// When something was read last, by our clock.
    active_ns: u64,
    /// Up to where the data's memory has been given back.
    punched: u64,
    /// The image that made the ring, as it was when it was forgotten.
    owner: Option<Process>,
    /// The fork children forgotten last, by their own pid, as they were: their children may have yet to tell.
    departed: VecDeque<(u32, Process)>,
}

impl Source {
    /// A ring that was just attached.
    pub fn new(
        id: RingId,
        mapping: Mapping,
        lifeline: Option<Lifeline>,
        is_inherited: bool,
        now_ns: u64,
    ) -> Self {
        let reader = Reader::new(mapping.mapped());
        let punched = reader.position();
        Self {
            id,
            reader,
            mapping,
            images: [None; SLOTS],
            highest_slot: if is_inherited { u8::MAX } else { 0 },
            is_inherited,
            is_corrupt: false,
            shares_pids: true,
            pid_ns: None,
            own_ns: 0,
            lifeline,
            is_drained: false,
            is_blocked: false,
            last_ns: 0,
            stuck: None,
            active_ns: now_ns,
            punched,
            owner: None,
            departed: VecDeque::new(),
        }
    }

    /// Keeps what was known of an image that is forgotten while others of its family live.
    pub fn depart(&mut self, own_pid: u32, is_owner: bool, process: Process) {
        if is_owner {
            self.owner = Some(process);
            return;
        }
        if self.departed.len() == MOST_DEPARTED {
            self.departed.pop_front();
        }
        self.departed.push_back((own_pid, process));
    }

    /// What was known of the fork child `own_pid` that was forgotten.
    pub fn departed(&self, own_pid: u32) -> Option<&Process> {
        self.departed.iter().rev().find(|(pid, _)| *pid == own_pid).map(|(_, process)| process)
    }

    /// What was known of the image that made the ring, if it was forgotten.
    pub fn owner(&self) -> Option<&Process> {
        self.owner.as_ref()
    }

    /// Takes up that more is known of the container `before`.
    pub fn rename(&mut self, before: &Arc<Container>, after: &Arc<Container>) {
        let departed = self.departed.iter_mut().map(|(_, process)| process);
        departed.chain(&mut self.owner).for_each(|process| process.rename(before, after));
    }

    /// The ring's memory.
    pub fn ring(&self) -> Mapped {
        self.mapping.mapped()
    }

    /// Whether it is known that none of its processes lives, or that they all execute something else.
    pub fn is_abandoned(&self) -> bool {
        self.lifeline.as_ref().is_some_and(Lifeline::is_cut)
    }

    /// Notes that something was read.
    pub fn was_active(&mut self, now_ns: u64) {
        self.active_ns = now_ns;
    }

    /// Whether the records up to `position` have been read, or never will be.
    pub fn has_read(&self, position: u64) -> bool {
        // Positions grow for ever; a difference of more than half of all numbers is a step back.
        self.is_corrupt || self.reader.position().wrapping_sub(position).cast_signed() >= 0
    }

    /// Where the ring's tail is.
    pub fn tail(&self) -> u64 {
        self.reader.memory().tail().load(Ordering::Acquire)
    }

    /// Whether writers are about to run out of space.
    pub fn is_half_full(&self) -> bool {
        !self.is_corrupt && self.reader.pending() > self.mapping.data_len() / 2
    }

    /// Gives the memory of an idle ring back to the system.
    ///
    /// What is free belongs to the writers, so we take half of the ring at a time as a writer does, empty it, and give
    /// it back as a reader does. Meanwhile they have the other half.
    pub fn punch_if_idle(&mut self, now_ns: u64) {
        let is_idle = now_ns.saturating_sub(self.active_ns) >= IDLE_NS;
        let used = self.reader.position().wrapping_sub(self.punched);
        if !is_idle || used < WORTH_BYTES || self.is_corrupt {
            return;
        }
        let data_len = self.mapping.data_len();
        let half = data_len / 2;
        for _ in 0..2 {
            let from = self.reader.position();
            let memory = *self.reader.memory();
            let to = from.wrapping_add(half);
            // Acquire and Relaxed: the reservation publishes nothing, and everything before it has been read.
            if memory.tail().compare_exchange(from, to, Ordering::Acquire, Ordering::Relaxed).is_err() {
                // Somebody writes again.
                return;
            }
            let (first, end) = (from & (data_len - 1), to & (data_len - 1));
            if first < end {
                self.mapping.punch(DATA_OFFSET + first, end - first);
            } else {
                self.mapping.punch(DATA_OFFSET + first, data_len - first);
                self.mapping.punch(DATA_OFFSET, end);
            }
            // Release: the writers that get the space see it empty. Pairs with the Acquire load in `reserve`.
            memory.head().store(to, Ordering::Release);
            self.reader = Reader::new(memory);
        }
        self.punched = self.reader.position();
    }

    /// Notes which image writes into `slot`.
    pub fn give_slot(&mut self, slot: u8, image: usize) {
        if let Some(place) = self.images.get_mut(usize::from(slot)) {
            *place = Some(image);
            self.highest_slot = self.highest_slot.max(slot);
        }
    }

    /// Frees the slot of a process that is gone.
    pub fn free_slot(&mut self, slot: u8) {
        if let Some(place) = self.images.get_mut(usize::from(slot)) {
            *place = None;
        }
        if slot == 0 {
            return;
        }
        let ring = self.ring();
        let words = ring.slot(slot);
        if words.fd_high.load(Ordering::Relaxed) > 0 {
            let (offset, len) = ring.fd_range(slot);
            self.mapping.punch(offset, len);
        }
        words.clear();
        // Release: whoever takes the slot finds it cleared. Pairs with the Acquire exchange in the sensor.
        words.pid.store(0, Ordering::Release);
    }

    /// The slots that children have taken, with their own pids.
    ///
    /// A sensor takes the first free slot. So beyond the highest that was ever seen taken, there is none after a page of
    /// free ones: a look at an untouched page would make it take memory.
    pub fn taken_slots(&self) -> Vec<(u8, u32)> {
        const PAGE_SLOTS: usize = 16;
        let mut taken = Vec::new();
        if self.is_corrupt {
            return taken;
        }
        let mut free = 0;
        for slot in 1..=u8::MAX {
            match self.ring().slot(slot).pid.load(Ordering::Acquire) {
                0 => free += 1,
                Slot::CLAIMED => free = 0,
                own_pid => {
                    free = 0;
                    taken.push((slot, own_pid));
                }
            }
            let is_page_end = (usize::from(slot) + 1).is_multiple_of(PAGE_SLOTS);
            if is_page_end && free >= PAGE_SLOTS - 1 && slot >= self.highest_slot {
                break;
            }
        }
        taken
    }

    /// The slot that the process `own_pid` writes into, if it has taken one of the children's.
    pub fn slot_of(&self, own_pid: u32) -> Option<u8> {
        self.taken_slots().into_iter().find(|(_, taken_by)| *taken_by == own_pid).map(|(slot, _)| slot)
    }

    /// The same, where no image is known to write there.
    pub fn unclaimed_slot_of(&self, own_pid: u32) -> Option<u8> {
        self.slot_of(own_pid).filter(|slot| self.images[usize::from(*slot)].is_none())
    }

    /// Whether nobody who could have reserved the record at the cursor lives.
    pub fn is_writer_dead(&self, unfinished: &Unfinished, images: &Slab<Image>) -> bool {
        let is_dead = |index: usize| images.get(index).is_none_or(|image| image.end.is_some());
        let are_all_dead = || self.images.iter().flatten().all(|index| is_dead(*index));
        match unfinished.slot.map(|slot| (slot, self.images[usize::from(slot)])) {
            Some((_, Some(index))) => is_dead(index),
            // It may just have been taken; a free one was scribbled here by one of those who are known.
            Some((slot, None)) => self.ring().slot(slot).pid.load(Ordering::Acquire) == 0 && are_all_dead(),
            None => are_all_dead(),
        }
    }
}
