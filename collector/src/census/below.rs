//! Processes of pid namespaces below the collector's: whose numbers there and here differ.
//!
//! A process tells numbers of its own namespace. While their process lives, or is not waited for yet, the
//! kernel says what they are here; later the census knows those that said hello. A number of neither kind is
//! not known here, and is left out of events.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Weak};

use rustc_hash::FxHashMap;

use super::identify::{Named, is_live};
use super::image::ProcessImage;
use super::register::Census;
use crate::allowance::{Account, Peer};
use crate::door::identity::Identity;
use crate::event::Claimed;
use crate::ids::{ImageId, MonoNs, Pid, ProcessKey, RingIndex};
use crate::system::kernel;
use crate::system::namespaces::{self, Here, Kind, Namespace};
use crate::system::procfs;

/// The first process of a pid namespace.
const INIT: Pid = Pid(1);
/// Processes of a ring that are asked about: they are in one namespace, as a rule.
const MOST_MEMBERS: usize = 8;
/// Numbers behind that of the process that made its ring among which a child is looked for.
const MOST_AFTER_OWNER: u32 = 64;
/// Namespaces that are known, each by a descriptor; those of which no process is left make way.
const MOST_NAMESPACES: usize = 256;
/// The same of one account.
const MOST_NAMESPACES_OF_PEER: usize = 32;

impl Census {
    /// Completes the identity of a process of a namespace below.
    pub(super) fn look_below(&mut self, identity: &mut Identity) {
        let peer = identity.peer();
        let Some(inode) = identity.namespace.filter(|inode| Some(*inode) != namespaces::own(Kind::Pid))
        else {
            return;
        };
        if !identity.key.is_visible() {
            return;
        }
        let found = identity.below.take();
        let open = || found.or_else(|| Namespace::of(identity.pidfd.as_ref()?, Kind::Pid).map(Arc::new));
        identity.below = self.namespace(inode, peer, open);
    }

    /// A namespace below, by its inode: each is open once. `None` where it cannot be had, or where processes
    /// of `peer` have made as many known as may be.
    fn namespace(
        &mut self,
        inode: u64,
        peer: Peer,
        open: impl FnOnce() -> Option<Arc<Namespace>>,
    ) -> Option<Arc<Namespace>> {
        if let Some(known) = self.namespaces.get(&inode).and_then(|(known, _)| known.upgrade()) {
            return Some(known);
        }
        let is_full = |namespaces: &FxHashMap<u64, (Weak<Namespace>, Peer)>| {
            let of_peer = namespaces.values().filter(|(_, other)| *other == peer);
            namespaces.len() >= MOST_NAMESPACES || of_peer.count() >= MOST_NAMESPACES_OF_PEER
        };
        if is_full(&self.namespaces) {
            self.namespaces.retain(|_, (known, _)| known.strong_count() > 0);
            if is_full(&self.namespaces) {
                return None;
            }
        }
        let found = open()?;
        self.namespaces.insert(inode, (Arc::downgrade(&found), peer));
        Some(found)
    }

    /// The parent of a process that died before it was heard, so that the kernel names none: that of its
    /// image before, if it says the same number; or the process that has the number in its namespace which it
    /// says, if its user may become that one's, and it lived when the process told of itself, at `born`. The
    /// process may not say which namespace that is; then there must be one such process alone, or one whose
    /// ring has it as a child.
    pub(super) fn parent_below(
        &self,
        identity: &mut Identity,
        said_namespace: u64,
        (own_ppid, born): (Pid, MonoNs),
        account: &Account,
    ) -> Option<ImageId> {
        let begun = MonoNs::now();
        if identity.ppid.is_some() || !identity.key.is_visible() || !account.has_time_to_ask(begun) {
            return None;
        }
        let before = self.image_of_instance(identity).filter(|before| before.own_ppid == own_ppid);
        if let Some(known) = before.filter(|before| !before.claimed.has(Claimed::PPID))
            && let Some(ppid) = known.ppid
        {
            identity.ppid = Some(ppid);
            return self.live(identity.key.with_pid(ppid));
        }
        let namespace = identity.namespace.or((said_namespace != 0).then_some(said_namespace));
        let (peer, own_pid) = (identity.peer(), identity.own_pid);
        // Of the same account: it says nothing of another's.
        let lived_then = |parent: &ProcessImage| {
            let had_ended = || self.told_end(parent).is_some_and(|ended| ended < born);
            born == MonoNs::ZERO || parent.born <= born && !had_ended()
        };
        let is_near = |parent: &&ProcessImage| {
            parent.account.peer == peer && parent.may_become(peer.uid) && lived_then(parent)
        };
        let found: Vec<ImageId> = match namespace {
            Some(namespace) => self.nested.get(&(namespace, own_ppid)).copied().into_iter().collect(),
            None => {
                let with_number = self.nested.iter().filter(|((_, number), _)| *number == own_ppid);
                with_number.map(|(_, parent)| *parent).collect()
            }
        };
        let parents: Vec<&ProcessImage> =
            found.into_iter().filter_map(|parent| self.get(parent)).filter(is_near).collect();
        account.asked(begun, MonoNs::now());
        let parent = match parents.as_slice() {
            [parent] => parent,
            parents => parents.iter().find(|parent| {
                let child = parent.ring.and_then(|ring| self.child(ring, own_pid));
                child.and_then(|child| self.get(child)).is_some_and(|child| child.key.is_claim())
            })?,
        };
        identity.ppid = Some(parent.key.pid);
        identity.claimed = identity.claimed.and(Claimed::PPID);
        Some(parent.id)
    }

    /// The image that is known of a process, where the kernel says that it is this one.
    fn image_of_instance(&self, identity: &Identity) -> Option<&ProcessImage> {
        let holder = self.live(identity.key).and_then(|holder| self.get(holder))?;
        (holder.instance.is_some() && holder.instance == identity.instance).then_some(holder)
    }

    /// The namespace of a process that died before it was heard, where that is below: its own, as its image
    /// before shows it, since no process leaves its pid namespace; or its parent's.
    pub(super) fn namespace_of_the_dead(&self, identity: &mut Identity, parent: Option<ImageId>) {
        if identity.namespace.is_some() || !identity.key.is_visible() {
            return;
        }
        let before = self.image_of_instance(identity).filter(|before| before.is_below());
        if let Some(before) = before.filter(|before| before.namespace.is_some()) {
            (identity.namespace, identity.below) = (before.namespace, before.below.clone());
            identity.is_namespace_said = before.is_namespace_said;
            return;
        }
        let parent = parent.and_then(|parent| self.get(parent)).filter(|parent| parent.is_below());
        if let Some(parent) = parent {
            (identity.namespace, identity.below) = (parent.namespace, parent.below.clone());
            identity.is_namespace_said = true;
        }
    }

    /// Notes the number of an image in its namespace. A process that died says that itself, and takes it from
    /// no living one, and from a dead one of its own account alone.
    pub(super) fn number_below(&mut self, id: ImageId) {
        let Some(image) = self.get(id).filter(|image| image.is_below()) else { return };
        let Some(namespace) = image.namespace else { return };
        let place = (namespace, image.own_pid);
        let holder = self.nested.get(&place).and_then(|holder| self.get(*holder));
        let may_follow = |holder: &ProcessImage| {
            holder.key == image.key || holder.end.is_some() && holder.account.peer == image.account.peer
        };
        if !image.is_namespace_said || holder.is_none_or(may_follow) {
            self.nested.insert(place, id);
        }
    }

    /// The process that another one names by a number of its own namespace; `None` where that has no number
    /// here that can be known.
    pub(super) fn key_of(&self, teller: &ProcessImage, own: Pid) -> Option<ProcessKey> {
        if !teller.is_below() {
            return Some(ProcessKey { namespace: teller.key.namespace, pid: own, claimant: 0 });
        }
        if own == teller.own_pid {
            return Some(teller.key);
        }
        let known = self.nested.get(&(teller.namespace?, own)).and_then(|known| self.get(*known));
        match teller.below.as_ref()?.here(own) {
            Here::Is(pid) => Some(ProcessKey::here(pid)),
            // By its own word, it is only one of the teller's account.
            Here::Gone | Here::Untold => known
                .filter(|known| !known.is_namespace_said || known.account.peer == teller.account.peer)
                .map(|known| known.key),
        }
    }

    /// The number here of a process that an image of a namespace below names; a negative one is that of a
    /// process group (kill(2)).
    pub fn number_here(&self, teller: ImageId, own: i32) -> Option<i32> {
        let teller = self.get(teller)?;
        match own {
            0 | -1 => Some(own),
            own => {
                let key = self.key_of(teller, Pid(own.unsigned_abs()))?;
                Some(i32::try_from(key.pid.0).ok()? * own.signum())
            }
        }
    }

    /// Whether the numbers of a fork child are those of a namespace below, as its parent's are.
    pub(super) fn is_below(&self, child: Named<'_>) -> bool {
        let parent = self.child(child.index, child.own_ppid).and_then(|parent| self.get(parent));
        // The first process of a namespace is no process's child in it.
        !child.ring.view.shares_pids || child.own_pid == INIT || parent.is_some_and(ProcessImage::is_below)
    }

    /// Whether the process that is named as the parent makes its children in a namespace below
    /// (pid_namespaces(7): after unshare(2) or setns(2)); any process of the ring where that one has not told
    /// of itself yet.
    pub(super) fn parts_with_children(&self, child: Named<'_>) -> bool {
        let parts = |image: ImageId| {
            let pidfd = self.get(image).and_then(|image| image.pidfd.as_ref());
            let inode = pidfd.and_then(|pidfd| namespaces::inode_of(pidfd, Kind::PidForChildren));
            inode.is_some_and(|inode| Some(inode) != namespaces::own(Kind::Pid))
        };
        match self.child(child.index, child.own_ppid) {
            Some(parent) => parts(parent),
            None => child.ring.slots().take(MOST_MEMBERS).any(|(_, member)| parts(member)),
        }
    }

    /// A fork child that counts in a namespace below. The kernel is asked while the ring's account has time
    /// for that.
    pub(super) fn child_below(&self, child: Named<'_>, now: MonoNs) -> Identity {
        // Also those that have died: their namespace answers all the same. Its parent first.
        let mut members: Vec<&ProcessImage> =
            child.ring.slots().filter_map(|(_, image)| self.get(image)).collect();
        members.sort_by_key(|member| member.own_pid != child.own_ppid);
        let mut asked: Vec<u64> = Vec::new();
        let (mut is_gone, mut holder) = (false, None);
        if !child.ring.account().has_time_to_ask(now) {
            members.clear();
        }
        for member in members.into_iter().take(MOST_MEMBERS) {
            let for_children = || Namespace::of(member.pidfd.as_ref()?, Kind::PidForChildren).map(Arc::new);
            for namespace in [member.below.clone(), for_children()].into_iter().flatten() {
                let is_new =
                    |inode: &u64| Some(*inode) != namespaces::own(Kind::Pid) && !asked.contains(inode);
                let Some(inode) = namespace.inode().filter(is_new) else { continue };
                asked.push(inode);
                match namespace.here(child.own_pid) {
                    Here::Is(pid) => {
                        match self.found_below(child, pid, inode, &namespace) {
                            Ok(found) => return found,
                            Err(other) => holder = holder.or(other),
                        }
                        // It may have ended between the questions.
                        is_gone |= namespace.here(child.own_pid) == Here::Gone;
                    }
                    Here::Gone => is_gone = true,
                    Here::Untold => {}
                }
            }
            // In a namespace that clone(2) made for it; or before Linux 6.11.
            if (child.own_pid == INIT || !is_gone)
                && is_live(member)
                && child.ring.account().may_ask(now)
                && let Some(found) = self.among_children(child, member, now)
            {
                return found;
            }
        }
        // The ring's processes died before they were heard.
        let elsewhere = || self.elsewhere_below(child).or_else(|| self.soon_after_owner(child, now));
        if let Some(found) = asked.is_empty().then(elsewhere).flatten() {
            return found;
        }
        let inode = asked.first().copied().unwrap_or(child.ring.view.own_namespace);
        if let Some(known) = self.known_below(child, inode) {
            return known;
        }
        let claim = child.claim(ProcessKey::elsewhere(inode, child.own_pid));
        // With a process of the same user ends the claim on its number, too.
        Identity { is_dead: is_gone, pidfd: holder.filter(|_| !is_gone), ..claim }
    }

    /// The child in one of the namespaces that its user's processes are known to be in.
    fn elsewhere_below(&self, child: Named<'_>) -> Option<Identity> {
        let peer = child.ring.account().peer;
        let others = self.namespaces.iter().filter(|(_, (_, of))| *of == peer);
        others.take(MOST_MEMBERS).find_map(|(inode, (namespace, _))| {
            let namespace = namespace.upgrade()?;
            match namespace.here(child.own_pid) {
                Here::Is(pid) => self.found_below(child, pid, *inode, &namespace).ok(),
                Here::Gone | Here::Untold => None,
            }
        })
    }

    /// The child among the processes that were made soon after the one that made the ring: each that is made
    /// in a namespace takes a number here, too.
    fn soon_after_owner(&self, child: Named<'_>, now: MonoNs) -> Option<Identity> {
        let (own, here) = child.ring.view.owner.numbers?;
        let first = here.0.checked_add(child.own_pid.0.checked_sub(own.0)?)?;
        (first..first.saturating_add(MOST_AFTER_OWNER)).find_map(|pid| {
            let pidfd = procfs::open(pid).filter(|_| child.ring.account().has_time_to_ask(now))?;
            let numbers = procfs::namespace_pids(pid).filter(|numbers| numbers.len() > 1)?;
            if numbers.last() != Some(&child.own_pid.0) {
                return None;
            }
            let namespace = Arc::new(Namespace::of(&pidfd, Kind::Pid)?);
            self.found_below(child, Pid(pid), namespace.inode()?, &namespace).ok()
        })
    }

    /// The child that the kernel shows as `pid`, if it is one of a process that writes into the ring, or an
    /// orphan; else the process, if it is one of the ring's user.
    fn found_below(
        &self,
        child: Named<'_>,
        pid: Pid,
        inode: u64,
        namespace: &Arc<Namespace>,
    ) -> Result<Identity, Option<OwnedFd>> {
        let pidfd = procfs::open(pid.0).ok_or(None)?;
        let parent = kernel::parent(&pidfd).or_else(|| procfs::stat(pid.0).map(|stat| stat.ppid)).map(Pid);
        let named = self.child(child.index, child.own_ppid).and_then(|named| self.get(named));
        let named = named.map(|named| named.key).filter(|key| key.is_visible()).map(|key| key.pid);
        let claimed = match parent {
            Some(parent) if self.is_member(child.ring, parent) => Claimed::NONE,
            Some(parent) if self.is_orphan(child, pid, &pidfd) => {
                Claimed::NONE.and_if(named.is_some_and(|named| named != parent), Claimed::PPID)
            }
            _ => {
                let uid = kernel::facts(&pidfd).map(|facts| facts.uids.real);
                return Err(Some(pidfd).filter(|_| uid.is_some() && uid == child.ring.view.owner.uid));
            }
        };
        let ppid = named.filter(|_| claimed.has(Claimed::PPID)).or(parent).ok_or(None)?;
        let below = Some(Arc::clone(namespace));
        let proven = child.proven(pid, Some(pidfd), ppid);
        Ok(Identity { namespace: Some(inode), below, claimed, ..proven })
    }

    /// The child among those of a process that writes into the ring, by its number in its own namespace.
    fn among_children(&self, child: Named<'_>, member: &ProcessImage, now: MonoNs) -> Option<Identity> {
        for pid in procfs::children(member.key.pid.0) {
            // A look at a process costs a question too: any of 256 may be asked.
            if !child.ring.account().may_ask(now) {
                return None;
            }
            let numbers = procfs::namespace_pids(pid).unwrap_or_default();
            if numbers.len() < 2 || numbers.last() != Some(&child.own_pid.0) {
                continue;
            }
            let pidfd = procfs::open(pid)?;
            let namespace = namespaces::inode_of(&pidfd, Kind::Pid);
            let proven = child.proven(Pid(pid), Some(pidfd), member.key.pid);
            return Some(Identity { namespace, ..proven });
        }
        None
    }

    /// A child that is gone, if its next image said hello as a child of a process that wrote into the ring.
    fn known_below(&self, child: Named<'_>, inode: u64) -> Option<Identity> {
        let owner = child.ring.view.owner;
        let parent = self.child(child.index, child.own_ppid).and_then(|parent| self.get(parent))?;
        let known = self.nested.get(&(inode, child.own_pid)).and_then(|known| self.get(*known));
        if let Some(known) = known {
            let is_its = known.ppid == Some(parent.key.pid) && owner.may_become(known.uid);
            return is_its.then(|| Identity {
                namespace: Some(inode),
                ..child.proven(known.key.pid, None, parent.key.pid)
            });
        }
        // Its end was reported already.
        let key = ProcessKey::elsewhere(inode, child.own_pid);
        let is_its = self.recent.parent(&key) == Some(parent.key.pid);
        is_its.then(|| Identity { is_dead: true, ..child.claim(key) })
    }

    /// An image that was known by its number in its parent's namespace shows its own.
    pub(super) fn renumber(&mut self, id: ImageId, ring: RingIndex, identity: &Identity) {
        let Some(image) = self.get_mut(id) else { return };
        let before = std::mem::replace(&mut image.own_pid, identity.own_pid);
        (image.namespace, image.below) = (identity.namespace, identity.below.clone());
        image.standpoint = identity.standpoint.clone().or(&image.standpoint);
        if self.in_ring.get(&(ring, before)) == Some(&id) {
            self.in_ring.remove(&(ring, before));
        }
        self.in_ring.insert((ring, identity.own_pid), id);
        self.number_below(id);
    }
}
