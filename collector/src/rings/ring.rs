//! One ring as the pipeline reads it: how far, which image writes into which slot, and which record holds it
//! up.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use wire::ring::layout::{DATA_OFFSET, Mapped, SLOTS, Slot};
use wire::ring::{MAX_RECORD, Memory, Reader, Unfinished};

use super::clocks::Clocks;
use super::mapping::{Lifeline, Mapping};
use crate::allowance::{Account, Share};
use crate::arrival::HOLD_NS;
use crate::ids::{self, ImageId, MonoNs, Pid};
use crate::launch::protocol::RingId;
use crate::system::procfs;

/// A record that stays unfinished is given up after this time, even if its writer may live.
pub const STUCK_NS: u64 = 1_000_000_000;
/// A ring that is not read to its end holds up the events of others for this time at most.
const LONGEST_HOLD_NS: u64 = 500_000_000;
/// Bytes of the slots behind the data.
const FAR_SLOTS_BYTES: u64 = (SLOTS - Mapped::FRONT_SLOTS) as u64 * size_of::<Slot>() as u64;
/// Bytes of a ring whose presence is asked for at once.
const PROBED: u64 = 2 * MAX_RECORD as u64;
/// A ring without a record for this time gives its memory back.
const IDLE_NS: u64 = 1_000_000_000;
/// Less is not worth the system call.
const WORTH_BYTES: u64 = 128 * 1024;

/// How the program that made a ring began; nothing of one whose start another collector read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Begun {
    /// Its environment named the sensor.
    pub is_preloaded: bool,
    /// The sensor was there before the program: every caller of its own is bound to the sensor by name.
    pub is_bound: bool,
}

/// A ring.
pub struct Ring {
    /// The launcher's name for it.
    pub id: RingId,
    /// Declared before `mapping`, so that it is dropped first.
    pub reader: Reader<Mapped>,
    pub(super) mapping: Mapping,
    /// The images that write here, by slot.
    pub writers: [Option<ImageId>; SLOTS],
    /// The highest slot that was ever known to be taken.
    pub(super) highest_slot: u8,
    /// Whether an earlier collector read it.
    pub is_inherited: bool,
    /// It holds bytes that no sensor writes, and is read no further.
    pub is_corrupt: bool,
    /// How its program began.
    pub begun: Begun,
    /// The pid namespaces of its processes.
    pub view: View,
    /// The clocks of its processes.
    clocks: Clocks,
    place: Share,
    lifeline: Option<Lifeline>,
    /// Everything that was there at the last look was read.
    pub is_drained: bool,
    /// An unfinished record stands before others that may be complete.
    pub is_blocked: bool,
    /// Time of the record read last.
    pub last: MonoNs,
    /// When everything in it had been read last.
    drained: MonoNs,
    /// Since when it has not been read to its end.
    behind: Option<MonoNs>,
    /// Up to where its pages are known to be in memory, and up to where they were let go of.
    present: u64,
    let_go: u64,
    /// Whether a slot behind the data was looked at since those were let go of.
    pub(super) has_far_slots: bool,
    /// The record that holds it up, and since when.
    stuck: Option<(Unfinished, MonoNs)>,
    /// When a record was read last.
    active: MonoNs,
    /// Where this turn began, and up to where its space was given back.
    turn: (u64, u64),
    /// Up to where the data's memory has been given back.
    punched: u64,
    /// The slots that were taken, by the last look, and when that was.
    pub(super) taken: Vec<(u8, Pid)>,
    pub(super) looked: MonoNs,
}

/// The pid namespaces of a ring's processes, and who made it.
#[derive(Clone, Debug)]
pub struct View {
    /// The processes have the same numbers as in the collector's namespace.
    pub shares_pids: bool,
    /// Their pid namespace, where their numbers cannot be translated.
    pub namespace: Option<u64>,
    /// The namespace that they name, also where numbers can be translated; 0 where it is the collector's.
    pub own_namespace: u64,
    /// How far the clock of the process that made the ring is ahead.
    pub ahead_ns: i64,
    /// The process that made the ring, by the kernel's word.
    pub owner: Owner,
}

/// The process that made a ring, by the kernel's word.
#[derive(Clone, Copy, Debug, Default)]
pub struct Owner {
    /// Its real user id.
    pub uid: Option<u32>,
    /// Its effective user id.
    pub euid: Option<u32>,
    /// Its control group, 0 where the kernel tells none.
    pub cgroup: u64,
    /// Its pid namespace by inode.
    pub namespace: Option<u64>,
    /// Its number in that, as it says, and in the collector's; `None` where it has none there.
    pub numbers: Option<(Pid, Pid)>,
    /// When it made the ring, as it says.
    pub born: MonoNs,
}

impl Owner {
    /// Whether a process of the user `uid` may be this one later, or a child of it.
    pub fn may_become(&self, uid: Option<u32>) -> bool {
        ids::may_become([self.uid, self.euid], uid)
    }
}

impl Ring {
    /// The account of its owner.
    pub fn account(&self) -> &Arc<Account> {
        self.place.account()
    }

    /// A ring that was just attached.
    pub fn new(
        id: RingId,
        mapping: Mapping,
        place: Share,
        lifeline: Option<Lifeline>,
        view: View,
        is_inherited: bool,
        now: MonoNs,
    ) -> Self {
        let reader = Reader::new(mapping.mapped());
        let position = reader.position();
        Self {
            id,
            reader,
            mapping,
            writers: [None; SLOTS],
            highest_slot: if is_inherited { u8::MAX } else { 0 },
            is_inherited,
            is_corrupt: false,
            begun: Begun::default(),
            clocks: Clocks::new(view.ahead_ns),
            view,
            place,
            lifeline,
            is_drained: false,
            is_blocked: false,
            last: MonoNs::ZERO,
            drained: now,
            behind: None,
            present: position,
            let_go: position,
            has_far_slots: false,
            stuck: None,
            active: now,
            turn: (position, position),
            punched: position,
            taken: Vec::new(),
            looked: MonoNs::ZERO,
        }
    }

    /// When the image in a slot began, as it says; 0 where it does not. Not later than now.
    pub fn born(&self, slot: u8) -> MonoNs {
        let said = self.clocks.ours(slot, self.memory().slot(slot).born_ns.load(Ordering::Relaxed));
        MonoNs(said).min(MonoNs::now())
    }

    /// The moment that a record of `slot` calls `time_ns`.
    #[inline]
    pub fn our_time(&mut self, slot: u8, time_ns: u64) -> u64 {
        if self.writers.get(usize::from(slot)).is_some_and(Option::is_none) {
            self.note_clock(slot);
        }
        self.clocks.ours(slot, time_ns)
    }

    /// Notes the clock of a child whose first record this is, or that was just found.
    pub(super) fn note_clock(&mut self, slot: u8) {
        let words = self.memory();
        // A page that no process wrote to is not looked at.
        if slot != 0 && (usize::from(slot) < Mapped::FRONT_SLOTS || self.mapping.has_page(words.slot(slot))) {
            self.clocks.note(slot, words.slot(slot));
        }
    }

    /// Begins a turn of reading.
    pub fn begin_turn(&mut self) {
        let position = self.reader.position();
        self.turn = (position, position);
        self.is_drained = true;
        self.is_blocked = false;
    }

    /// Ends a turn: the writers get the space. True if anything was read.
    pub fn end_turn(&mut self, now: MonoNs) -> bool {
        self.reader.release();
        let has_read = self.reader.position() != self.turn.0;
        if has_read {
            self.active = now;
        }
        if self.is_drained && !self.is_blocked {
            (self.drained, self.behind) = (now, None);
        } else {
            self.behind.get_or_insert(now);
        }
        has_read
    }

    /// The time from which on records of others wait for this ring's; `None` where they do not: it was read
    /// to its end, or has been behind for so long that they go on without it.
    ///
    /// The time of a record is the process's word. None is from before the last time that the ring was empty,
    /// but for one whose thread had lost the processor.
    pub fn holds_others_from(&self, now: MonoNs) -> Option<MonoNs> {
        let since = self.behind.filter(|_| !self.is_drained || self.is_blocked)?;
        (now.since(since) < LONGEST_HOLD_NS).then_some(self.last.max(self.drained.minus(HOLD_NS)))
    }

    /// Finds out how far the memory ahead of the reader is there: see [`Mapping::present_to`].
    #[inline]
    pub fn look_ahead(&mut self) {
        let position = self.reader.position();
        let ahead = self.present.wrapping_sub(position).cast_signed();
        let wanted = (self.tail().wrapping_sub(position)).min(MAX_RECORD as u64);
        if ahead < 0 || (ahead.cast_unsigned() < wanted) {
            self.probe(position, ahead);
        }
    }

    #[cold]
    fn probe(&mut self, position: u64, ahead: i64) {
        let from = if ahead < 0 { position } else { self.present };
        let tail = self.tail();
        let until = if tail.wrapping_sub(position) > PROBED { position.wrapping_add(PROBED) } else { tail };
        self.present = self.mapping.present_to(from, until);
        self.reader.set_limit(self.present);
    }

    /// As [`Reader::may_sleep`].
    pub fn may_sleep(&mut self, mode: u32) -> bool {
        let may_sleep = self.reader.may_sleep(mode);
        if !may_sleep || !self.reader.is_at_limit() {
            return may_sleep;
        }
        // The bell is set: a record that came since the last look ahead is found now, or rings it.
        self.look_ahead();
        self.reader.may_sleep(mode)
    }

    /// Steps over the unfinished record at the cursor, which will not be finished. `None` where what follows
    /// is no longer a ring: holes that no writer leaves.
    pub fn step_over(&mut self) -> Option<bool> {
        if !self.reader.is_at_limit() {
            return Some(self.reader.skip());
        }
        // Its page was reserved, and never written to. The next record is within the longest record's length.
        let page = rustix::param::page_size() as u64;
        let start = self.reader.position() & !(page - 1);
        let ahead = (1..=(MAX_RECORD as u64).div_ceil(page)).map(|count| start.wrapping_add(count * page));
        let tail = self.tail();
        let mut ahead = ahead.take_while(|at| tail.wrapping_sub(*at).cast_signed() > 0);
        let next = ahead.find(|at| self.mapping.present_to(*at, at.wrapping_add(8)) != *at);
        let is_last = tail.wrapping_sub(self.reader.position()) <= MAX_RECORD as u64;
        self.reader.move_to(match next {
            Some(next) => next,
            None if is_last => tail,
            None => return None,
        });
        self.look_ahead();
        // In the middle of a record's bytes there is no state word.
        self.reader.skip();
        Some(true)
    }

    /// Bytes that were read and are still in this process's page tables, at most: the kernel maps the pages
    /// around one that is looked at, too.
    pub fn resident(&self) -> u64 {
        let slots = if self.has_far_slots { FAR_SLOTS_BYTES } else { 0 };
        self.resident_data() + slots
    }

    fn resident_data(&self) -> u64 {
        self.reader.position().wrapping_sub(self.let_go).min(self.mapping.data_len())
    }

    /// Lets go of what was read.
    pub fn let_go(&mut self) {
        let position = self.reader.position();
        if self.resident_data() >= WORTH_BYTES / 2 {
            self.mapping.let_go(self.let_go, position);
            self.let_go = position;
        }
        if std::mem::take(&mut self.has_far_slots) {
            self.let_go_of_far_slots();
        }
    }

    /// Its memory, to copy books from.
    pub fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    /// Bytes read in this turn.
    pub fn turn_bytes(&self) -> u64 {
        self.reader.position().wrapping_sub(self.turn.0)
    }

    /// Gives the space of the records read so far back to the writers, once it is `most` bytes. True if it
    /// did.
    pub fn release_after(&mut self, most: u64) -> bool {
        let position = self.reader.position();
        let is_due = position.wrapping_sub(self.turn.1) >= most;
        if is_due {
            self.reader.release();
            self.turn.1 = position;
        }
        is_due
    }

    /// Whether more than half of it waits to be read, and can be.
    pub fn is_filling(&self) -> bool {
        !self.is_corrupt && !self.is_blocked && self.reader.pending() > self.mapping.data_len() / 2
    }

    /// For how long the record at the cursor, `unfinished`, has held up the ring, at `now`.
    pub fn stuck_for(&mut self, unfinished: Unfinished, now: MonoNs) -> u64 {
        let since = match self.stuck {
            Some((stuck, since)) if stuck.position == unfinished.position => since,
            _ => now,
        };
        self.stuck = Some((unfinished, since));
        now.since(since)
    }

    /// Whether a record holds up the ring.
    #[cfg(test)]
    pub fn is_stuck(&self) -> bool {
        self.stuck.is_some()
    }

    /// The images that write here, with their slots.
    pub fn slots(&self) -> impl Iterator<Item = (u8, ImageId)> {
        self.writers.iter().enumerate().filter_map(|(slot, image)| Some((slot as u8, (*image)?)))
    }

    /// The ring's memory.
    pub fn memory(&self) -> Mapped {
        self.mapping.mapped()
    }

    /// Whether none of its processes is known to have it mapped: all are dead, or execute another program.
    pub fn is_abandoned(&self) -> bool {
        self.lifeline.as_ref().is_some_and(Lifeline::is_cut)
    }

    /// As [`Self::is_abandoned`], for a ring that has no lifeline, or whose lifeline the launcher holds: all
    /// processes are looked through, once they seem to be gone.
    pub fn is_deserted(&self) -> bool {
        let begun = MonoNs::now();
        if !self.mapping.is_ours_alone() || !self.account().may_ask(begun) {
            return false;
        }
        let is_mapped = procfs::is_mapped(self.mapping.file());
        self.account().asked(begun, MonoNs::now());
        !is_mapped
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

    /// Gives the memory of an idle ring back to the system.
    ///
    /// Free space belongs to the writers. So this takes half of the ring at a time as a writer does, empties
    /// it, and gives it back as a reader does. Meanwhile the writers have the other half.
    pub fn punch_if_idle(&mut self, now: MonoNs) {
        let is_idle = now.since(self.active) >= IDLE_NS;
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
                // A process writes again.
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
            (self.present, self.let_go) = (to, to);
        }
        self.punched = self.reader.position();
    }

    /// Whether every process that could have reserved the record at the cursor is dead, by what `is_dead`
    /// says of images.
    pub fn is_writer_dead(&self, unfinished: &Unfinished, is_dead: impl Fn(ImageId) -> bool) -> bool {
        let are_all_dead = || self.writers.iter().flatten().all(|image| is_dead(*image));
        match unfinished.slot.map(|slot| (slot, self.writers[usize::from(slot)])) {
            Some((_, Some(image))) => is_dead(image),
            // It may just have been taken; a known process scribbled one that is free.
            Some((slot, None)) => self.memory().slot(slot).pid.load(Ordering::Acquire) == 0 && are_all_dead(),
            None => are_all_dead(),
        }
    }
}
