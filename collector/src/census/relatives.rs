//! Relatives: what a process tells of its children, by forks and by waits.
//!
//! A process can write any number there. It is heard on children of its own: those that write into its ring,
//! and those of which the kernel, or their own hello, names it as the parent.

use super::image::{Asked, EndKind, ProcessImage};
use super::register::{Census, Change};
use super::reports::WaitReport;
use crate::allowance::Resource;
use crate::event::Claimed;
use crate::ids::{ImageId, MonoNs, Pid, ProcessKey, RingIndex};
use crate::rings::Rings;

impl Census {
    /// A parent told of its child. Unless the child is known, it is watched from here on: its end is an
    /// event, and as long as it lives it may take a slot of the ring.
    ///
    /// False where only the parent says that it has this child.
    pub fn forked(
        &mut self,
        parent: ImageId,
        own_child: Pid,
        asked: Option<Asked>,
        rings: &mut Rings,
    ) -> bool {
        let Some(teller) = self.get(parent) else { return false };
        let ProcessImage { ring: Some(index), key: parent_key, own_pid: own_ppid, .. } = teller else {
            return false;
        };
        let (index, namespace, own_ppid) = (*index, parent_key.namespace, *own_ppid);
        let told = self.key_of(teller, own_child);
        let known = self.child(index, own_child).and_then(|child| self.get(child));
        if let Some(known) = known.filter(|child| child.end.is_none()) {
            let is_proven = is_proven(known);
            // Its first record may be due only after this: it inherited what its parent has at this point.
            self.begin_child(index, own_child, rings);
            return is_proven;
        }
        // Where its number means the same here, it may have become another image already.
        let Some(ring) = rings.get_mut(index) else { return false };
        let slot = ring.recent_slot_of(own_child, MonoNs::now());
        let other = told.and_then(|told| self.live(told)).filter(|other| self.is_child_of(*other, parent));
        if let Some(other) = other {
            self.begin_child(index, own_child, rings);
            return self.get(other).is_some_and(is_proven);
        }
        if let Some(child) = slot.and_then(|slot| self.discover(index, slot, own_child, rings)) {
            self.begin_child(index, own_child, rings);
            return self.get(child).is_some_and(is_proven);
        }
        let identity = self.identify_child(index, own_child, own_ppid, rings);
        let is_proven = !identity.claimed.has(Claimed::PID);
        // A parent that gets the processor late tells of a child that has come and gone.
        let is_buried = self.is_buried(&identity);
        let is_unknown = identity.key.namespace.is_some() && namespace.is_none();
        let is_one_too_many =
            || rings.get(index).is_none_or(|ring| ring.account().is_used_up(Resource::Images));
        let is_there = self.by_key.contains_key(&identity.key);
        if is_there || is_buried || is_unknown || is_one_too_many() {
            return is_proven;
        }
        let child = self.add(Some((index, None)), identity, false, None, rings);
        self.set_own_ppid(child, own_ppid);
        if let Some(image) = self.get_mut(child) {
            // posix_spawn(3) and popen(3): the caller told what its child would become.
            asked.into_iter().for_each(|asked| image.ask(asked));
        }
        self.begin(child, rings);
        is_proven
    }

    /// The image of the child that `parent` calls `own_child`.
    pub fn child_named(&self, parent: ImageId, own_child: Pid) -> Option<ImageId> {
        let teller = self.get(parent)?;
        let is_its = |child: &ImageId| self.is_child_of(*child, parent);
        let by_number = || self.live(self.key_of(teller, own_child)?).filter(is_its);
        teller.ring.and_then(|ring| self.child(ring, own_child)).or_else(by_number)
    }

    fn begin_child(&mut self, ring: RingIndex, own_pid: Pid, rings: &Rings) {
        let found = self
            .child(ring, own_pid)
            .filter(|child| self.get(*child).is_some_and(|child| child.slot != Some(0)));
        if let Some(child) = found {
            self.begin(child, rings);
        }
    }

    /// Whether `parent` is the parent of `child`, by the word that counts for the child.
    pub(super) fn is_child_of(&self, child: ImageId, parent: ImageId) -> bool {
        let (Some(child), Some(parent)) = (self.get(child), self.get(parent)) else { return false };
        let is_same_ring = child.ring.is_some() && child.ring == parent.ring;
        let is_named = child.ppid == Some(parent.key.pid) && child.key.namespace == parent.key.namespace;
        is_same_ring || is_named && !parent.key.is_claim() && parent.may_become(child.uid)
    }

    /// A wait told a parent how its child ended.
    pub fn child_ended(&mut self, parent: ImageId, own_child: Pid, report: WaitReport, rings: &mut Rings) {
        let Some(teller) = self.get(parent) else { return };
        let ProcessImage { ring: Some(index), key: parent_key, .. } = teller else { return };
        let (index, parent_key) = (*index, *parent_key);
        let told = self.key_of(teller, own_child);
        let own = self.child(index, own_child);
        let by_number = told.and_then(|told| self.live(told));
        let child = [own, by_number].into_iter().flatten().find(|child| self.is_child_of(*child, parent));
        let Some(child) = child.and_then(|child| self.get(child)) else {
            // Its hello, or its slot, may be read only after this.
            if let Some(told) = told {
                self.reports.note(told, parent_key, report);
            }
            return;
        };
        if report.at < child.born {
            // Of a process that had its number before, whose end was told.
            return;
        }
        let key = child.key;
        // It may have become another image by exec.
        let last = self
            .live(key)
            .and_then(|last| self.get(last))
            .filter(|last| last.life == child.life && last.born <= report.at);
        let child = last.unwrap_or(child);
        let id = child.id;
        match child.end {
            // The collector may have learnt of it much later.
            Some(end) if end.kind == EndKind::Death => self.changes.push(Change::Ended(id, report.at)),
            // Without a pidfd no other word of it will come.
            None if child.pidfd.is_none() => self.end(id, EndKind::Death, report.at, rings),
            _ => {}
        }
        // Its next image may be heard after this, and be the one that ends.
        self.reports.note(key, parent_key, report);
        if let Some(child) = self.get_mut(id) {
            child.report = Some(report);
        }
    }

    /// The launcher told how a process ended.
    pub fn reaped(&mut self, key: ProcessKey, report: WaitReport) {
        self.reports.note_launchers(key, report);
    }
}

/// Whether the kernel says the number of an image's process.
fn is_proven(image: &ProcessImage) -> bool {
    !image.claimed.has(Claimed::PID)
}
