//! The identity of a fork child: its slot holds its own number, and the kernel decides whose number that is.
//!
//! A slot is written by any process that has the ring mapped, so the number in it is a claim. It counts as
//! the process's number where the kernel says that this process is a child of one that writes into the ring,
//! or an orphan of the same user and control group, which is in the same namespace or has the ring mapped: a
//! process that may write there may also look into that one (ptrace(2)). Every other number stays the ring's
//! own claim, and meets no process that has it.

use std::os::fd::OwnedFd;

use super::image::ProcessImage;
use super::register::Census;
use crate::door::identity::{self, Identity};
use crate::event::Claimed;
use crate::ids::{ImageId, MonoNs, Pid, ProcessKey, RingIndex};
use crate::rings::Rings;
use crate::rings::ring::Ring;
use crate::system::kernel;
use crate::system::namespaces::{self, Kind};
use crate::system::procfs;

/// The kernel tells the start of a process to the tick, of which there are 100 a second or more.
const TICK_NS: u64 = 10_000_000;

/// A child as its slot, or its parent, names it.
#[derive(Clone, Copy)]
pub(super) struct Named<'r> {
    pub(super) ring: &'r Ring,
    pub(super) index: RingIndex,
    pub(super) own_pid: Pid,
    pub(super) own_ppid: Pid,
}

impl Named<'_> {
    /// The child under `key`, by its ring's word alone.
    pub(super) fn claim(&self, key: ProcessKey) -> Identity {
        let claimed = Claimed::PID.and(Claimed::PPID);
        Identity { key: key.claimed_by(self.ring.id), claimed, ..self.unproven(key) }
    }

    fn unproven(&self, key: ProcessKey) -> Identity {
        let owner = self.ring.view.owner;
        Identity {
            key,
            own_pid: self.own_pid,
            ppid: Some(self.own_ppid),
            uid: owner.uid,
            euid: owner.euid,
            namespace: owner.namespace,
            cgroup: owner.cgroup,
            ..Identity::default()
        }
    }

    /// The child that the kernel shows as `pid`, a child of `ppid`.
    pub(super) fn proven(&self, pid: Pid, pidfd: Option<OwnedFd>, ppid: Pid) -> Identity {
        Identity {
            ppid: Some(ppid),
            instance: pidfd.as_ref().and_then(|pidfd| identity::instance_of(pidfd, pid)),
            is_dead: pidfd.is_none(),
            pidfd,
            ..self.unproven(ProcessKey::here(pid))
        }
    }
}

impl Census {
    /// The identity of the child `own_pid` of the process `own_ppid`, which both write into `ring`.
    pub(super) fn identify_child(
        &mut self,
        index: RingIndex,
        own_pid: Pid,
        own_ppid: Pid,
        rings: &Rings,
    ) -> Identity {
        let mut identity = self.child_in_ring(index, own_pid, own_ppid, rings);
        self.look_below(&mut identity);
        if let Some(ring) = rings.get(index) {
            self.look_around(&mut identity, self.child(index, own_ppid), ring.account());
        }
        identity
    }

    fn child_in_ring(&self, index: RingIndex, own_pid: Pid, own_ppid: Pid, rings: &Rings) -> Identity {
        let Some(ring) = rings.get(index) else { return Identity::default() };
        let child = Named { ring, index, own_pid, own_ppid };
        if let Some(namespace) = ring.view.namespace {
            return self.child_elsewhere(child, ProcessKey::elsewhere(namespace, own_pid));
        }
        if !self.is_below(child) {
            let found = self.same_view_child(child);
            if !found.key.is_claim() || !self.parts_with_children(child) {
                return found;
            }
        }
        let begun = MonoNs::now();
        let below = self.child_below(child, begun);
        ring.account().asked(begun, MonoNs::now());
        below
    }

    /// A child in a namespace of which the collector sees no numbers. Those are claims, also of processes
    /// that sent a ring. So a number that such a process has is only taken for the child's where its user may
    /// become that one's, and both name the same parent.
    fn child_elsewhere(&self, child: Named<'_>, key: ProcessKey) -> Identity {
        let holder = self.live(key).and_then(|holder| self.get(holder));
        let is_free = holder.is_none_or(|holder| {
            holder.ring == Some(child.index)
                || child.ring.view.owner.may_become(holder.uid) && holder.ppid == Some(child.own_ppid)
        });
        if !is_free {
            return child.claim(key);
        }
        Identity { claimed: Claimed::PID.and(Claimed::PPID), ..child.unproven(key) }
    }

    /// A child of the collector's own namespace.
    fn same_view_child(&self, child: Named<'_>) -> Identity {
        let key = ProcessKey::here(child.own_pid);
        let pidfd = procfs::open(child.own_pid.0);
        let parent = pidfd.as_ref().and_then(|pidfd| {
            kernel::parent(pidfd).or_else(|| procfs::stat(child.own_pid.0).map(|stat| stat.ppid)).map(Pid)
        });
        match (pidfd, parent) {
            (Some(pidfd), Some(ppid)) if self.is_member(child.ring, ppid) => {
                child.proven(child.own_pid, Some(pidfd), ppid)
            }
            (Some(pidfd), Some(_)) if self.is_orphan(child, child.own_pid, &pidfd) => {
                // It may have been one before it took its slot, or after.
                let claimed = Claimed::NONE.and_if(parent != Some(child.own_ppid), Claimed::PPID);
                Identity { claimed, ..child.proven(child.own_pid, Some(pidfd), child.own_ppid) }
            }
            // It is gone. Its next image may have said hello, and have been known as a member's child then.
            (pidfd, _) if is_gone(pidfd.as_ref()) && self.was_child(child, key) => {
                child.proven(child.own_pid, None, child.own_ppid)
            }
            (pidfd, _) => {
                // With a process of the same user ends the claim on its number, too.
                let owner = child.ring.view.owner;
                let facts = pidfd.as_ref().and_then(kernel::facts);
                let is_own = facts.is_some_and(|facts| owner.uid == Some(facts.uids.real));
                // Last: it may have died since the first look.
                let is_dead = is_gone(pidfd.as_ref());
                Identity { is_dead, pidfd: pidfd.filter(|_| is_own), ..child.claim(key) }
            }
        }
    }

    /// Whether the end of a process was reported a short while ago: of this one, or, where only its ring
    /// gives a dead process its number, of one with that number.
    pub(super) fn is_buried(&self, identity: &Identity) -> bool {
        let key = identity.key;
        let by_number = ProcessKey { claimant: 0, ..key };
        if identity.pidfd.is_some() {
            // It may be dead and not reaped; another one may have its number by now.
            return is_gone(identity.pidfd.as_ref())
                && self.recent.contains_instance(&key, identity.instance);
        }
        self.recent.contains(&key)
            || self.recent_claims.contains(&key)
            || identity.is_dead && self.recent.contains(&by_number)
    }

    /// Whether a process that died was known as the child of a member of the ring.
    fn was_child(&self, child: Named<'_>, key: ProcessKey) -> bool {
        let known = self.live(key).and_then(|holder| self.get(holder));
        let parent = match known {
            Some(known) if child.ring.view.owner.may_become(known.uid) => known.ppid,
            Some(_) => None,
            None => self.recent.parent(&key),
        };
        parent.is_some_and(|ppid| ppid == child.own_ppid && self.has_member(child.index, ppid))
    }

    /// Whether a process that is no member's child may be taken for one that was forked by a process of the
    /// ring, and whose parent is gone.
    pub(super) fn is_orphan(&self, child: Named<'_>, pid: Pid, pidfd: &OwnedFd) -> bool {
        let owner = child.ring.view.owner;
        let Some(facts) = kernel::facts(pidfd) else { return false };
        let uids = [facts.uids.real, facts.uids.effective, facts.uids.saved];
        let holder = self.live(ProcessKey::here(pid)).and_then(|holder| self.get(holder));
        let is_same = holder.is_none_or(|holder| {
            holder.end.is_some() || holder.instance.is_some() && holder.instance == kernel::instance(pidfd)
        });
        let namespace = namespaces::inode_of(pidfd, Kind::Pid);
        let is_near = || namespace.is_some() && owner.namespace == namespace;
        // The owner may have died before the kernel could say where it is. The ring may be mapped by a
        // stranger that was handed it, so that alone proves nothing.
        let has_ring = || procfs::has_mapped(pid.0, child.ring.mapping().file()) && !kernel::is_dead(pidfd);
        // Its parent, a member's child, has not told of itself yet.
        let is_grandchild = || {
            let grandparent = procfs::open(facts.ppid).and_then(kernel::parent);
            grandparent.is_some_and(|grandparent| self.is_member(child.ring, Pid(grandparent)))
        };
        is_same
            && uids.iter().all(|uid| owner.uid == Some(*uid))
            && owner.cgroup == facts.cgroup.unwrap_or_default()
            && procfs::started_ns(pid.0).is_some_and(|started| owner.born <= MonoNs(started).plus(TICK_NS))
            && (is_near() || has_ring() || is_grandchild())
    }

    /// Whether the live process `pid` writes into a ring.
    pub(super) fn is_member(&self, ring: &Ring, pid: Pid) -> bool {
        let mut images = ring.slots().filter_map(|(_, image)| self.get(image));
        images.any(|image| image.key.pid == pid && is_live(image))
    }

    /// Whether a process `pid`, which may be dead, is known to write into a ring, or to have written.
    fn has_member(&self, ring: RingIndex, pid: Pid) -> bool {
        self.child(ring, pid).is_some()
    }
}

impl Census {
    /// Decides which user ids the events of an image show after its process said that they changed, from
    /// `before`. The kernel's word counts. Where that is another, a process of root's may have changed its
    /// ids once more since, and its own word is shown as such; any other process may not become somebody
    /// else.
    pub fn confirm_ids(
        &mut self,
        id: ImageId,
        before: (Option<u32>, Option<u32>),
        said: (Option<u32>, Option<u32>),
    ) {
        let Some(image) = self.get_mut(id) else { return };
        let Some(process) = &mut image.process else { return };
        if process.standpoint.is_among_others() {
            return self.confirm_ids_among_others(id, said);
        }
        let said = process.ids();
        if said == before {
            return;
        }
        // The number of a claim may belong to anybody.
        let facts = image.pidfd.as_ref().filter(|_| !image.key.is_claim()).and_then(kernel::facts);
        let known = facts.map(|facts| (facts.uids.real, facts.uids.effective)).or_else(|| {
            let pid = image.key.is_visible().then_some(image.key.pid.0)?;
            procfs::uids(pid).filter(|_| image.pidfd.as_ref().is_some_and(|pidfd| !kernel::is_dead(pidfd)))
        });
        let known = known.map(|(uid, euid)| (Some(uid), Some(euid)));
        let may_be_any = [image.uid, image.euid].iter().any(|uid| uid.is_none_or(|uid| uid == 0));
        match known {
            Some(known) if known == said || !may_be_any => process.confirm_ids(known, false),
            None if !may_be_any => process.confirm_ids(before, false),
            _ => process.confirm_ids(said, true),
        }
    }
}

/// Whether a number's process is gone, or dead and not reaped.
fn is_gone(pidfd: Option<&OwnedFd>) -> bool {
    pidfd.is_none_or(kernel::is_dead)
}

/// Whether the process of an image lives under a number of the kernel's.
pub(super) fn is_live(image: &ProcessImage) -> bool {
    // After an exec the pidfd is with the next image.
    image.key.is_visible() && image.pidfd.as_ref().is_none_or(|pidfd| !kernel::is_dead(pidfd))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Instance;

    #[test]
    fn process_that_is_dead_and_not_reaped_is_buried_once_its_end_was_reported() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = Pid(child.id());
        let pidfd = procfs::open(pid.0).unwrap();
        while !kernel::is_dead(&pidfd) {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        let key = ProcessKey::here(pid);
        let instance = Some(Instance(9));
        let identity = Identity { key, own_pid: pid, pidfd: Some(pidfd), instance, ..Identity::default() };
        let mut census = Census::default();

        let before = census.is_buried(&identity);
        census.recent.put(key, (None, Some(Instance(8))));
        let another = census.is_buried(&identity);
        census.recent.put(key, (None, instance));
        let after = census.is_buried(&identity);
        child.wait().unwrap();

        assert_eq!([false, false, true], [before, another, after]);
    }
}
