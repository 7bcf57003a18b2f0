//! The register of process images: look-ups, and the ends that are noted.

use std::sync::{Arc, Weak};

use rustc_hash::{FxHashMap, FxHashSet};
use slab::Slab;

use super::executions::Executions;
use super::families::Families;
use super::image::{End, EndKind, ProcessImage};
use super::life::Lives;
use super::programs::Programs;
use super::recent::Recent;
use super::reports::WaitReports;
use crate::allowance::Peer;
use crate::container::Container;
use crate::enrich::paths::Moved;
use crate::enrich::process::Process;
use crate::event::{Asks, Claimed};
use crate::ids::{self, ImageId, Instance, MonoNs, Pid, ProcessKey, RingIndex};
use crate::rings::Rings;
use crate::system::examiner::Examiner;
use crate::system::namespaces::Namespace;
use crate::system::standpoint::Standpoint;

/// An effect of the census on the other parts, for the pipeline to carry out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// An image is known from here on.
    Made(ImageId),
    /// The records of an image are numbered from 0: a missing first one is a gap.
    Numbered(ImageId),
    /// An image has ended, or ended earlier than was known.
    Ended(ImageId, MonoNs),
    /// A ring holds bytes that no sensor writes.
    Nonsense(RingIndex),
}

/// See [`crate::census`].
#[derive(Default)]
pub struct Census {
    pub(super) images: Slab<ProcessImage>,
    pub(super) made: u64,
    /// The live image of a process.
    pub(super) by_key: FxHashMap<ProcessKey, ImageId>,
    /// The image of a process that writes, or wrote last, into a ring, by its own number.
    pub(super) in_ring: FxHashMap<(RingIndex, Pid), ImageId>,
    /// How many images write, or wrote, into a ring.
    pub(super) residents: FxHashMap<RingIndex, usize>,
    /// The image of a process of a namespace below the collector's, by its own number.
    pub(super) nested: FxHashMap<(u64, Pid), ImageId>,
    /// The namespaces below that are known, by inode.
    pub(super) namespaces: FxHashMap<u64, (Weak<Namespace>, Peer)>,
    /// Children whose numbers in the collector's namespace are claims of their rings, by the user of the
    /// ring, their parent's number and their own: no user displaces another's.
    pub(super) unproven: FxHashMap<(Option<u32>, Pid, Pid), ImageId>,
    /// Images that have ended and are not forgotten.
    pub(super) ended: FxHashSet<ImageId>,
    /// The process whose hello is being taken in, and where it stands.
    pub(super) heard: Option<(Instance, Standpoint)>,
    pub(super) families: Families,
    pub(super) lives: Lives,
    pub(super) programs: Programs,
    pub(super) examiner: Examiner,
    /// Execs that the kernel asked about, until their records are delivered.
    pub executions: Executions,
    /// What rules and filters ask of processes beyond their identity.
    pub asks: Asks,
    /// The kernel asks about calls of every process.
    pub is_all_asked_about: bool,
    /// Supervisors elsewhere, and how many connections each has: the kernel asks about calls of what they
    /// make.
    pub(super) supervisors: FxHashMap<ProcessKey, isize>,
    /// The container of a pid namespace in which one is known, and who said so.
    pub(super) containers: FxHashMap<u64, (Arc<Container>, Peer)>,
    pub(super) reports: WaitReports,
    /// Processes whose end was reported last.
    pub(super) recent: Recent,
    /// The same of those that only a ring said: anybody makes many of them.
    pub(super) recent_claims: Recent,
    pub(super) changes: Vec<Change>,
}

impl Census {
    /// The image; `None` once it is forgotten.
    #[inline]
    pub fn get(&self, image: ImageId) -> Option<&ProcessImage> {
        self.images.get(image.place()).filter(|found| found.id == image)
    }

    /// The image, to change it.
    #[inline]
    pub fn get_mut(&mut self, image: ImageId) -> Option<&mut ProcessImage> {
        self.images.get_mut(image.place()).filter(|found| found.id == image)
    }

    /// The enricher's picture of an image.
    pub fn process_mut(&mut self, image: ImageId) -> Option<&mut Process> {
        self.get_mut(image)?.process.as_mut()
    }

    /// Every image.
    pub fn iter(&self) -> impl Iterator<Item = &ProcessImage> {
        self.images.iter().map(|(_, image)| image)
    }

    /// How many images are known.
    pub fn len(&self) -> usize {
        self.images.len()
    }

    /// The live image of a process.
    pub fn live(&self, key: ProcessKey) -> Option<ImageId> {
        self.by_key.get(&key).copied()
    }

    /// Whether a process is known, or its end was reported a short while ago.
    pub fn has_seen(&self, key: &ProcessKey) -> bool {
        self.by_key.contains_key(key) || self.recent.contains(key) || self.recent_claims.contains(key)
    }

    /// The effects since the last call, in order.
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// Whether there are effects to carry out.
    #[inline]
    pub fn has_changes(&self) -> bool {
        !self.changes.is_empty()
    }

    /// Tells the pictures of other processes that a directory got another name, as `mover` says. It is heard
    /// on processes that its user may become, since those it may change anyway (ptrace(2)), for as long as
    /// its account has time.
    pub fn follow(&mut self, mover: ImageId, moved: &Moved) {
        let Some(image) = self.get(mover) else { return };
        let account = Arc::clone(&image.account);
        // One that only its ring's process speaks of may do what that one may.
        let ids = if image.key.is_claim() { [account.peer.uid; 2] } else { [image.uid, image.euid] };
        let mut begun = MonoNs::now();
        for (_, image) in &mut self.images {
            if image.id == mover || !ids::may_become(ids, image.uid) || !ids::may_become(ids, image.euid) {
                continue;
            }
            let Some(process) = image.process.as_mut().filter(|process| process.has_our_root()) else {
                continue;
            };
            if !account.has_time_to_ask(begun) {
                return;
            }
            process.follow(moved);
            let now = MonoNs::now();
            account.asked(begun, now);
            begun = now;
        }
    }

    /// Takes up that more is known of the container `before`.
    pub fn rename(&mut self, before: &Arc<Container>, after: &Arc<Container>) {
        self.images.iter_mut().for_each(|(_, image)| image.rename(before, after));
        self.families.rename(before, after);
        for (container, _) in self.containers.values_mut().filter(|(known, _)| Arc::ptr_eq(known, before)) {
            *container = Arc::clone(after);
        }
    }

    /// Notes that an image has ended.
    pub fn end(&mut self, id: ImageId, kind: EndKind, at: MonoNs, rings: &mut Rings) {
        let Some(image) = self.get(id) else { return };
        if image.end.is_some() {
            return;
        }
        // A fork child that counted or noted something, but wrote no record: it took its slot after its
        // parent told of it.
        if image.slot.is_none()
            && image.books.is_none()
            && let Some(ring) = image.ring
            && let Some(slot) = rings.get(ring).and_then(|ring| ring.unclaimed_slot_of(image.own_pid))
        {
            self.claim_slot(id, ring, slot, rings);
        }
        let Some(image) = self.get_mut(id) else { return };
        let read_to = image.ring.and_then(|ring| rings.get(ring)).map_or(0, |ring| ring.track.tail());
        image.end = Some(End { kind, noticed: at, read_to });
        if kind == EndKind::Exec {
            // The next image has a pidfd of its own.
            image.pidfd = None;
        }
        self.ended.insert(id);
        let told = self.get(id).filter(|_| kind == EndKind::Death).and_then(|image| self.told_end(image));
        self.changes.push(Change::Ended(id, told.map_or(at, |told| told.min(at))));
    }

    /// Notes that the process of an image has executed another program. The process may be dead since, and
    /// taken for dead before its next image said hello.
    pub(super) fn end_by_exec(&mut self, id: ImageId, at: MonoNs, rings: &mut Rings) {
        self.end(id, EndKind::Exec, at, rings);
        if let Some(End { kind, .. }) = self.get_mut(id).and_then(|image| image.end.as_mut()) {
            *kind = EndKind::Exec;
        }
    }

    /// Whether every record of an ended image has been read.
    pub fn is_read(&self, id: ImageId, rings: &Rings) -> bool {
        let Some(image) = self.get(id) else { return true };
        let Some(end) = image.end else { return false };
        image.ring.and_then(|ring| rings.get(ring)).is_none_or(|ring| ring.has_read(end.read_to))
    }

    /// The process that may tell how an image's process ended.
    pub(super) fn parent_key(&self, image: &ProcessImage) -> Option<ProcessKey> {
        let in_ring =
            image.ring.and_then(|ring| self.child(ring, image.own_ppid)).and_then(|id| self.get(id));
        in_ring.map(|parent| parent.key).or_else(|| image.ppid.map(|ppid| image.key.with_pid(ppid)))
    }

    /// Forgets an image. Gives its ring if no image or slot of it is left.
    pub fn remove(&mut self, id: ImageId, rings: &mut Rings) -> Option<RingIndex> {
        let parent = self.parent_key(self.get(id)?);
        let image = self.images.remove(id.place());
        self.lives.leave(image.life);
        if self.by_key.get(&image.key) == Some(&id) {
            self.by_key.remove(&image.key);
        }
        self.ended.remove(&id);
        if image.end.is_some_and(|end| end.kind == EndKind::Death) {
            self.reports.forget(image.key, parent);
            let recent = if image.key.is_claim() { &mut self.recent_claims } else { &mut self.recent };
            let ppid = image.ppid.filter(|_| !image.claimed.has(Claimed::PPID));
            recent.put(image.key, (ppid, image.instance));
            // Its child's slot may be read only after this, and has its number there.
            if let Some(namespace) = image.namespace.filter(|_| image.is_below()) {
                self.recent.put(ProcessKey::elsewhere(namespace, image.own_pid), (ppid, image.instance));
            }
        }
        let claim = (image.uid, image.own_ppid, image.own_pid);
        if self.unproven.get(&claim) == Some(&id) {
            self.unproven.remove(&claim);
        }
        let nested = (image.namespace.unwrap_or_default(), image.own_pid);
        if self.nested.get(&nested) == Some(&id) {
            self.nested.remove(&nested);
        }
        let ring = image.ring?;
        if self.in_ring.get(&(ring, image.own_pid)) == Some(&id) {
            self.in_ring.remove(&(ring, image.own_pid));
        }
        let residents = self.residents.entry(ring).or_default();
        *residents = residents.saturating_sub(1);
        if let (Some(slot), Some(ring)) = (image.slot, rings.get_mut(ring)) {
            ring.free_slot(slot);
        }
        let is_left = self.residents.get(&ring).is_some_and(|residents| *residents > 0)
            || self.discover_all(ring, rings);
        if !is_left {
            self.residents.remove(&ring);
            self.families.forget(ring);
            return Some(ring);
        }
        if let Some(process) = image.process {
            self.families.depart(ring, image.own_pid, image.slot == Some(0), process);
        }
        None
    }
}
