//! One ring as the pipeline reads it: how far, which image writes into which slot, and which record holds it
//! up.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use wire::ring::Unfinished;
use wire::ring::layout::{Mapped, SLOTS, Slot};

use super::clocks::Clocks;
use super::mapping::{Lifeline, Mapping};
use super::track::Track;
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
/// A ring without a record for this time gives its memory back.
const IDLE_NS: u64 = 1_000_000_000;

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
    /// Its data.
    pub track: Track,
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
    /// Whether a slot behind the data was looked at since those were let go of.
    pub(super) has_far_slots: bool,
    /// The record that holds it up, and since when.
    stuck: Option<(Unfinished, MonoNs)>,
    /// When a record was read last.
    active: MonoNs,
    /// Where this turn began, and up to where its space was given back.
    turn: (u64, u64),
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
        let track = Track::new(mapping);
        let position = track.reader.position();
        Self {
            id,
            track,
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
            has_far_slots: false,
            stuck: None,
            active: now,
            turn: (position, position),
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
        if slot != 0
            && (usize::from(slot) < Mapped::FRONT_SLOTS || self.track.mapping.has_page(words.slot(slot)))
        {
            self.clocks.note(slot, words.slot(slot));
        }
    }

    /// Begins a turn of reading.
    pub fn begin_turn(&mut self) {
        let position = self.track.reader.position();
        self.turn = (position, position);
        self.is_drained = true;
        self.is_blocked = false;
    }

    /// Ends a turn: the writers get the space. True if anything was read.
    pub fn end_turn(&mut self, now: MonoNs) -> bool {
        self.track.reader.release();
        let has_read = self.track.reader.position() != self.turn.0;
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

    /// Whether everything was read that stood in it at a time.
    pub fn was_read_until(&self, at: MonoNs) -> bool {
        // A record stands behind all that were written before its time.
        at <= self.drained || at < self.last
    }

    /// Bytes that were read and are still in this process's page tables, at most: the kernel maps the pages
    /// around one that is looked at, too.
    pub fn resident(&self) -> u64 {
        let slots = if self.has_far_slots { FAR_SLOTS_BYTES } else { 0 };
        self.track.resident() + slots
    }

    /// Lets go of what was read.
    pub fn let_go(&mut self) {
        self.track.let_go();
        if std::mem::take(&mut self.has_far_slots) {
            self.let_go_of_far_slots();
        }
    }

    /// Its memory, to copy books from.
    pub fn mapping(&self) -> &Mapping {
        &self.track.mapping
    }

    /// Bytes read in this turn.
    pub fn turn_bytes(&self) -> u64 {
        self.track.reader.position().wrapping_sub(self.turn.0)
    }

    /// Gives the space of the records read so far back to the writers, once it is `most` bytes. True if it
    /// did.
    pub fn release_after(&mut self, most: u64) -> bool {
        let position = self.track.reader.position();
        let is_due = position.wrapping_sub(self.turn.1) >= most;
        if is_due {
            self.track.reader.release();
            self.turn.1 = position;
        }
        is_due
    }

    /// Whether more than half of it waits to be read, and can be.
    pub fn is_filling(&self) -> bool {
        !self.is_corrupt
            && !self.is_blocked
            && self.track.reader.pending() > self.track.mapping.data_len() / 2
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
        self.track.mapping.mapped()
    }

    /// Whether none of its processes is known to have it mapped: all are dead, or execute another program.
    pub fn is_abandoned(&self) -> bool {
        self.lifeline.as_ref().is_some_and(Lifeline::is_cut)
    }

    /// As [`Self::is_abandoned`], for a ring that has no lifeline, or whose lifeline the launcher holds: all
    /// processes are looked through, once they seem to be gone.
    pub fn is_deserted(&self) -> bool {
        let begun = MonoNs::now();
        if !self.track.mapping.is_ours_alone() || !self.account().may_ask(begun) {
            return false;
        }
        let is_mapped = procfs::is_mapped(self.track.mapping.file());
        self.account().asked(begun, MonoNs::now());
        !is_mapped
    }

    /// Whether the records up to `position` have been read, or never will be.
    pub fn has_read(&self, position: u64) -> bool {
        self.is_corrupt || self.track.has_read(position)
    }

    /// Gives the memory of an idle ring back to the system.
    pub fn punch_if_idle(&mut self, now: MonoNs) {
        if now.since(self.active) >= IDLE_NS && !self.is_corrupt {
            self.track.punch();
        }
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
