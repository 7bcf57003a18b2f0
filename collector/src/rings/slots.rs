//! The slots of a ring: which process has taken which, and their memory.

use std::sync::atomic::Ordering;

use wire::ring::layout::{Mapped, Slot};

use super::ring::Ring;
use crate::ids::{ImageId, MonoNs, Pid};

/// Slots on a page.
const PAGE_SLOTS: usize = 16;
/// Slots that stay in the page tables after a look.
const MOST_MAPPED: usize = 64;
/// A look at the slots holds for this time: a record is delivered later than that, and a child takes its slot
/// right after the fork.
const LOOK_NS: u64 = 500_000;

fn slot_in(taken: &[(u8, Pid)], own_pid: Pid) -> Option<u8> {
    taken.iter().find(|(_, taken_by)| *taken_by == own_pid).map(|(slot, _)| *slot)
}

impl Ring {
    /// Notes which image writes into `slot`.
    pub fn give_slot(&mut self, slot: u8, image: ImageId) {
        self.note_clock(slot);
        if let Some(place) = self.writers.get_mut(usize::from(slot)) {
            *place = Some(image);
            self.highest_slot = self.highest_slot.max(slot);
            self.note_far_slot(slot);
        }
    }

    /// Frees the slot of a process that is gone.
    pub fn free_slot(&mut self, slot: u8) {
        if let Some(place) = self.writers.get_mut(usize::from(slot)) {
            *place = None;
        }
        if slot == 0 {
            return;
        }
        self.looked = MonoNs::ZERO;
        self.note_far_slot(slot);
        let ring = self.memory();
        let words = ring.slot(slot);
        if words.fd_high.load(Ordering::Relaxed) > 0 {
            let (offset, len) = ring.fd_range(slot);
            self.track.mapping.punch(offset, len);
        }
        words.clear();
        // Release: the process that takes the slot finds it cleared. Pairs with the Acquire exchange in the
        // sensor.
        words.pid.store(0, Ordering::Release);
    }

    /// The slots that children have taken, with their own pids.
    ///
    /// A sensor takes the first free slot. So beyond the highest that was ever seen taken, there is none
    /// after a page of free ones. A page that no process wrote to has none either, and is not looked at.
    /// [`Self::end_look`] ends the look.
    pub fn taken_slots(&self) -> Vec<(u8, Pid)> {
        let mut taken = Vec::new();
        if self.is_corrupt {
            return taken;
        }
        let (memory, mut free, mut is_there) = (self.memory(), 0, true);
        let far = self.track.mapping.pages(memory.slot(Mapped::FRONT_SLOTS as u8), memory.slot(u8::MAX));
        for slot in 1..=u8::MAX {
            let index = usize::from(slot);
            if index == Mapped::FRONT_SLOTS || index > Mapped::FRONT_SLOTS && index.is_multiple_of(PAGE_SLOTS)
            {
                is_there = far.have(memory.slot(slot));
            }
            match if is_there { memory.slot(slot).pid.load(Ordering::Acquire) } else { 0 } {
                0 => free += 1,
                Slot::CLAIMED => free = 0,
                own_pid => {
                    free = 0;
                    taken.push((slot, Pid(own_pid)));
                }
            }
            let is_page_end = (index + 1).is_multiple_of(PAGE_SLOTS);
            if is_page_end && free >= PAGE_SLOTS - 1 && slot >= self.highest_slot {
                break;
            }
        }
        taken
    }

    /// The slot that the process `own_pid` writes into, if it has taken one of the children's.
    pub fn slot_of(&self, own_pid: Pid) -> Option<u8> {
        let taken = self.taken_slots();
        self.end_look(&taken);
        slot_in(&taken, own_pid)
    }

    /// As [`Self::slot_of`], by a look that is not older than [`LOOK_NS`]: a look costs as much as many
    /// records.
    pub fn recent_slot_of(&mut self, own_pid: Pid, now: MonoNs) -> Option<u8> {
        if now.since(self.looked) >= LOOK_NS {
            (self.looked, self.taken) = (now, self.taken_slots());
            self.end_look(&self.taken);
        }
        slot_in(&self.taken, own_pid)
    }

    /// As [`Self::slot_of`], where no image is known to write there.
    pub fn unclaimed_slot_of(&self, own_pid: Pid) -> Option<u8> {
        self.slot_of(own_pid).filter(|slot| self.writers[usize::from(*slot)].is_none())
    }

    /// Lets go of the slots that were looked at, where they are many.
    pub fn end_look(&self, taken: &[(u8, Pid)]) {
        if taken.last().is_some_and(|(last, _)| usize::from(*last) >= MOST_MAPPED) {
            self.let_go_of_far_slots();
        }
    }

    pub(super) fn let_go_of_far_slots(&self) {
        let memory = self.memory();
        self.track.mapping.let_go_between(memory.slot(Mapped::FRONT_SLOTS as u8), memory.slot(u8::MAX));
    }

    fn note_far_slot(&mut self, slot: u8) {
        self.has_far_slots |= usize::from(slot) >= Mapped::FRONT_SLOTS;
    }
}
