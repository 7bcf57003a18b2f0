//! New images: a hello, a fork child's slot in its parent's ring, a process that the kernel named.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use wire::record::Head;
use wire::ring::layout::Slot;

use super::image::{EndKind, ProcessImage};
use super::life::LifeId;
use super::register::{Census, Change};
use crate::allowance::{Account, Resource};
use crate::arrival::Origin;
use crate::door::identity::Identity;
use crate::door::news::Attached;
use crate::event::Claimed;
use crate::ids::{ImageId, MonoNs, Pid, RingIndex};
use crate::rings::Rings;
use crate::rings::clocks::{self, Clocks};
use crate::rings::ring::{Owner, Ring, View};
use crate::system::kernel;
use crate::system::namespaces::{self, Kind};
use crate::system::procfs;

/// The kernel's own limit of pid_max (proc(5)), times four for what may come.
const MOST_PIDS: u32 = 4 << 22;
/// Rings of the same account that are looked through for a process whose parent is not known.
const MOST_LOOKED_THROUGH: usize = 32;

/// The place of a hello among the images that are known.
enum Standing {
    /// No image has its number, or that one's process is dead.
    First,
    /// It is the next image of this one's process.
    After(ImageId),
    /// Another process has its number: it displaces nothing.
    Apart,
}

impl Census {
    /// Takes in a ring: its process has a new image.
    pub fn attach(&mut self, attached: Attached, rings: &mut Rings, now: MonoNs) -> ImageId {
        let Attached { id, mapping, place, lifeline, mut identity, own_ns, own_fds, is_inherited } = attached;
        let account = Arc::clone(place.account());
        self.heard = identity.instance.map(|instance| (instance, identity.standpoint.clone()));
        let is_same_view = identity.has_our_numbers();
        let memory = mapping.mapped();
        let slot = memory.slot(0);
        let ahead_ns = clocks::ahead_of(slot, identity.pidfd.as_ref());
        self.look_below(&mut identity);
        let key = identity.key;
        let (born, own_ppid) = (Clocks::new(ahead_ns).born(slot), Pid(slot.ppid.load(Ordering::Relaxed)));
        let parent = identity.ppid.and_then(|pid| self.live(key.with_pid(pid)));
        // The same process may have written into its parent's ring before, and none of that be read.
        self.discover_before(parent, &account, rings);
        let parent = identity.ppid.and_then(|pid| self.live(key.with_pid(pid)));
        let parent = parent.or_else(|| self.parent_below(&mut identity, own_ns, (own_ppid, born), &account));
        self.namespace_of_the_dead(&mut identity, parent);
        let view = View {
            owner: Owner {
                uid: identity.uid,
                euid: identity.euid,
                cgroup: identity.cgroup,
                namespace: identity.namespace.filter(|_| !identity.is_namespace_said),
                numbers: key.is_visible().then_some((identity.own_pid, key.pid)),
                born,
            },
            ahead_ns,
            shares_pids: is_same_view,
            namespace: key.namespace,
            own_namespace: if is_same_view { 0 } else { identity.namespace.unwrap_or(own_ns) },
        };
        let ring = Ring::new(id, mapping, place, lifeline, view, is_inherited, now);
        self.confirm_child(parent, &identity, rings);
        let before = match self.standing(&identity, born) {
            Standing::First => None,
            Standing::After(before) => Some(before),
            Standing::Apart => {
                identity.key = key.claimed_by(id);
                identity.claimed = identity.claimed.and(Claimed::PID);
                None
            }
        };
        let key = identity.key;
        let giver = before.or(parent).and_then(|giver| self.get(giver));
        let is_asked_about = giver.is_some_and(|giver| giver.is_asked_about);
        let is_introduced =
            before.and_then(|before| self.get(before)).is_some_and(|known| known.is_introduced);
        let has_other_rights = giver.is_some_and(|giver| {
            // An id that the kernel does not tell speaks for nothing.
            let differ = |own: Option<u32>, other: Option<u32>| own.zip(other).is_some_and(|(a, b)| a != b);
            giver.uid != Some(0) && (differ(giver.uid, identity.uid) || differ(giver.euid, identity.euid))
        });
        if let Some(before) = before {
            self.end_by_exec(before, now, rings);
        }
        let mut seed = match (key.is_visible(), is_inherited, before, parent) {
            (false, ..) => Vec::new(),
            // A program that runs for another user inherits descriptors, but no word on what they are.
            (true, false, ..) if has_other_rights => procfs::descriptors(key.pid.0),
            // The image before the exec is known.
            (true, false, Some(_), _) => Vec::new(),
            // The process that started it is not seen: everything it inherited is news.
            (true, true, ..) | (true, false, None, None) => procfs::descriptors(key.pid.0),
            // No hook sees what libc's posix_spawn and popen did to the standard streams.
            (true, false, None, Some(_)) => {
                (0..3).filter_map(|fd| Some((fd, procfs::descriptor(key.pid.0, fd)?))).collect()
            }
        };
        seed.retain(|(fd, _)| !own_fds.contains(fd));
        let ring = rings.add(ring);
        let life = before.and_then(|before| Some(self.get(before)?.life));
        let image = self.add(Some((ring, Some(0))), identity, is_inherited, life, rings);
        if let Some(image) = self.get_mut(image) {
            image.before = before;
            image.is_asked_about |= is_asked_about;
            image.is_introduced = is_introduced;
            image.has_other_rights = has_other_rights;
            image.keep_seed(seed);
        }
        if is_inherited {
            self.discover_all(ring, rings);
        }
        image
    }

    /// Finds the children that may have become the program that says hello: in its parent's ring, or where
    /// the parent is not known, in unread rings of the same account.
    fn discover_before(&mut self, parent: Option<ImageId>, account: &Arc<Account>, rings: &mut Rings) {
        let parents = parent.and_then(|parent| self.get(parent)?.ring);
        if let Some(ring) = parents {
            self.discover_all(ring, rings);
            return;
        }
        let begun = MonoNs::now();
        if !account.may_ask(begun) {
            return;
        }
        for ring in rings.unread_of(account, MOST_LOOKED_THROUGH) {
            self.discover_all(ring, rings);
        }
        account.asked(begun, MonoNs::now());
    }

    /// A child that died before the kernel could be asked has its number by its ring's word. The hello of a
    /// process with the same number and parent confirms it, if the ring's user may become that one's, or the
    /// kernel says that the parent writes into the ring.
    pub(super) fn confirm_child(&mut self, parent: Option<ImageId>, identity: &Identity, rings: &Rings) {
        if !identity.key.is_visible() || self.live(identity.key).is_some() {
            return;
        }
        let parents = parent.and_then(|parent| self.get(parent)?.ring);
        // The claims of a user who may become this one, or of the parent's ring.
        let parents_uid = parents.and_then(|ring| rings.get(ring)).and_then(|ring| ring.view.owner.uid);
        let uids = [identity.uid, Some(0), None, parents_uid];
        let same_view = || {
            let ppid = identity.ppid?;
            uids.iter().find_map(|uid| self.unproven.get(&(*uid, ppid, identity.own_pid)).copied())
        };
        // In a namespace below, by the numbers there, in the ring of its parent.
        let below = || {
            let child = self.child(parents?, identity.own_pid)?;
            self.get(child).filter(|child| child.key.is_claim() && child.key.namespace.is_some())?;
            Some(child)
        };
        let is_below = identity.namespace != namespaces::own(Kind::Pid);
        let Some(id) = same_view().or_else(|| below().filter(|_| is_below)) else { return };
        let is_member = !identity.claimed.has(Claimed::PPID);
        let Some(child) = self.get_mut(id) else { return };
        let said_namespace = child.key.namespace;
        let is_own = is_member && parents.is_some() && parents == child.ring;
        let owner = child.ring.and_then(|ring| rings.get(ring)).map(|ring| ring.view.owner);
        // Of the dead the kernel tells neither. A claim of a process that lived when it was made was refused
        // with reason.
        let is_near = |owner: Owner| {
            (identity.cgroup == 0 || identity.cgroup == owner.cgroup)
                && (identity.namespace.is_none()
                    || [owner.namespace, said_namespace].contains(&identity.namespace))
        };
        let may_be = owner.is_some_and(|owner| owner.may_become(identity.uid) && is_near(owner));
        let is_over =
            child.end.is_some() || identity.is_dead || identity.pidfd.as_ref().is_some_and(kernel::is_dead);
        if is_over && (is_own || may_be) {
            let before = std::mem::replace(&mut child.key, identity.key);
            child.claimed = child.claimed.without(Claimed::PID);
            if before.namespace.is_some() {
                // Its ring said the number in its namespace.
                child.ppid = identity.ppid;
                child.namespace = identity.namespace;
            }
            if self.by_key.get(&before) == Some(&id) {
                self.by_key.remove(&before);
            }
            self.by_key.insert(identity.key, id);
        }
    }

    /// Notes the parent's number of a child, as its ring says it.
    pub(super) fn set_own_ppid(&mut self, id: ImageId, own_ppid: Pid) {
        let Some(image) = self.get_mut(id) else { return };
        image.own_ppid = own_ppid;
        if image.key.is_claim() && image.key.namespace.is_none() {
            let child = (image.uid, own_ppid, image.own_pid);
            self.unproven.insert(child, id);
        }
    }

    /// The place of a process that said hello with an image made at `born`. The kernel tells processes apart
    /// by their instances; where it does not, a dead one goes on as one that has its number and user, and a
    /// living one keeps its number.
    fn standing(&self, identity: &Identity, born: MonoNs) -> Standing {
        let Some(holder) = self.live(identity.key).and_then(|holder| self.get(holder)) else {
            return Standing::First;
        };
        let death = holder.end.filter(|end| end.kind == EndKind::Death);
        let is_over = death.is_some() || holder.pidfd.as_ref().is_some_and(kernel::is_dead);
        match (holder.instance, identity.instance) {
            (Some(one), Some(other)) if one == other => Standing::After(holder.id),
            (Some(_), Some(_)) if is_over => Standing::First,
            // Of two processes with one number, one has died before it was heard, or lies.
            (Some(_), Some(_)) => Standing::Apart,
            // The kernel says nothing of a process that died before it was heard (before 6.16).
            (Some(_), None) if !is_over => Standing::Apart,
            _ if !holder.may_become(identity.uid) => Standing::First,
            // The kernel may have given the number to another process since. But an image that did little
            // said hello, died, and was known to be dead before its hello was read.
            _ if death.is_some_and(|death| holder.pidfd.is_some() && born > death.noticed) => Standing::First,
            _ => Standing::After(holder.id),
        }
    }

    /// Makes an image, of the process `life` if that is known. One whose process is dead already ends at
    /// once.
    pub(super) fn add(
        &mut self,
        place: Option<(RingIndex, Option<u8>)>,
        identity: Identity,
        is_inherited: bool,
        life: Option<LifeId>,
        rings: &mut Rings,
    ) -> ImageId {
        let account = place
            .and_then(|(ring, _)| rings.get(ring))
            .map_or_else(Account::boundless, |ring| Arc::clone(ring.account()));
        self.add_at_cost_of(account, place, identity, is_inherited, life, rings)
    }

    /// The same at the cost of `account`.
    pub(super) fn add_at_cost_of(
        &mut self,
        account: Arc<Account>,
        place: Option<(RingIndex, Option<u8>)>,
        identity: Identity,
        is_inherited: bool,
        life: Option<LifeId>,
        rings: &mut Rings,
    ) -> ImageId {
        self.made += 1;
        let (ring, slot) = (place.map(|(ring, _)| ring), place.and_then(|(_, slot)| slot));
        let is_asked_about = self.is_made_below_supervisor(&identity);
        let is_dead = identity.is_dead && identity.pidfd.is_none();
        let entry = self.images.vacant_entry();
        let id = ImageId::new(self.made, entry.key());
        let mut image =
            ProcessImage::new(id, identity, account, ring, slot, self.lives.enter(life), is_inherited);
        let (key, own_pid) = (image.key, image.own_pid);
        image.is_asked_about = is_asked_about;
        let mut is_numbered = false;
        if let Some((ring, slot)) = ring.zip(slot)
            && let Some(ring) = rings.get_mut(ring)
        {
            let words = ring.memory();
            image.own_ppid = Pid(words.slot(slot).ppid.load(Ordering::Relaxed));
            is_numbered = !is_inherited;
            if is_inherited {
                let resumed = image.resume(words.slot(slot));
                self.lives.add(image.life, resumed);
            }
            ring.give_slot(slot, id);
            image.born = ring.born(slot);
        }
        entry.insert(image);
        if let Some(holder) = self.by_key.insert(key, id) {
            self.displace(holder, id, rings);
        }
        self.number_below(id);
        if let Some(ring) = ring {
            self.in_ring.insert((ring, own_pid), id);
            *self.residents.entry(ring).or_default() += 1;
        }
        self.changes.push(Change::Made(id));
        if is_numbered {
            self.changes.push(Change::Numbered(id));
        }
        if is_dead {
            self.end(id, EndKind::Death, MonoNs::now(), rings);
        }
        id
    }

    /// An image lost its number to `next`, which the kernel identified. One that is not an earlier image of
    /// the same process goes on under the number as its ring alone claims it.
    fn displace(&mut self, holder: ImageId, next: ImageId, rings: &Rings) {
        let life = self.get(next).map(|next| next.life);
        let Some(image) = self.get_mut(holder) else { return };
        if image.end.is_some() || Some(image.life) == life || image.key.is_claim() {
            return;
        }
        let Some(claimant) = image.ring.and_then(|ring| rings.get(ring)).map(|ring| ring.id) else { return };
        image.key = image.key.claimed_by(claimant);
        image.claimed = image.claimed.and(Claimed::PID);
        let key = image.key;
        self.by_key.insert(key, holder);
    }

    /// The image that a record with this head belongs to; `None` where no sensor could have written it, and
    /// where its account has no room for one more image, which is counted.
    #[inline]
    pub fn image_of(&mut self, origin: Origin, head: &Head, rings: &mut Rings) -> Option<ImageId> {
        match origin {
            Origin::Ring { ring, slot } => match *rings.get(ring)?.writers.get(usize::from(slot))? {
                Some(image) => Some(image),
                None => {
                    let image = self.discover(ring, slot, Pid(head.pid), rings);
                    if let (None, Some(ring)) = (image, rings.get(ring)) {
                        // An event of an image that the account has no room for, or of no sensor's.
                        ring.account().refuse(Resource::Images);
                    }
                    image
                }
            },
            Origin::Notify { process, instance } => {
                self.is_it(process, instance).then(|| self.notified_at(process, MonoNs(head.time_ns), rings))
            }
        }
    }

    /// The image of the child that writes into `slot`, made if it is not known yet.
    pub(super) fn discover(
        &mut self,
        ring: RingIndex,
        slot: u8,
        claimed_pid: Pid,
        rings: &mut Rings,
    ) -> Option<ImageId> {
        let known = rings.get(ring)?;
        if let Some(image) = *known.writers.get(usize::from(slot))? {
            return Some(image);
        }
        let is_inherited = known.is_inherited;
        let memory = known.memory();
        let words = memory.slot(slot);
        let own_pid = match words.pid.load(Ordering::Acquire) {
            0 | Slot::CLAIMED => claimed_pid,
            own_pid => Pid(own_pid),
        };
        if own_pid.0 > MOST_PIDS {
            self.changes.push(Change::Nonsense(ring));
            return None;
        }
        if known.account().is_used_up(Resource::Images) {
            return None;
        }
        let own_ppid = Pid(words.ppid.load(Ordering::Relaxed));
        // A child that its parent told of, but that had written nothing. It may be dead by now.
        let is_silent = |image: &&ProcessImage| image.slot.is_none() && image.books.is_none();
        let silent = self.child(ring, own_pid).and_then(|child| self.get(child)).filter(is_silent);
        if let Some(silent) = silent.map(|image| image.id) {
            self.claim_slot(silent, ring, slot, rings);
            self.set_own_ppid(silent, own_ppid);
            return Some(silent);
        }
        let identity = self.identify_child(ring, own_pid, own_ppid, rings);
        let key = identity.key;
        // The same, told by its number in its parent's namespace: its own is another one.
        let told = self.live(key).and_then(|told| self.get(told)).filter(|told| told.ring == Some(ring));
        if let Some(told) = told.filter(is_silent).map(|image| image.id) {
            self.renumber(told, ring, &identity);
            self.claim_slot(told, ring, slot, rings);
            self.set_own_ppid(told, own_ppid);
            return Some(told);
        }
        let is_next = |image: &ProcessImage| {
            image.ring != Some(ring) && (image.end.is_none() || image.ppid == Some(own_ppid))
        };
        let next = self.live(key).filter(|next| self.get(*next).is_some_and(is_next));
        let life = next.and_then(|next| Some(self.get(next)?.life));
        let is_buried = self.is_buried(&identity) && key.namespace.is_none();
        let image = self.add(Some((ring, Some(slot))), identity, is_inherited, life, rings);
        self.set_own_ppid(image, own_ppid);
        if let Some(next) = next {
            self.by_key.insert(key, next);
            self.precede(image, next, rings);
        } else if is_buried {
            // The end of its process was reported already, with the end of its next image.
            self.end_by_exec(image, MonoNs::now(), rings);
        }
        Some(image)
    }

    /// The image of the process `own_pid` that writes, or wrote last, into `ring`.
    pub(super) fn child(&self, ring: RingIndex, own_pid: Pid) -> Option<ImageId> {
        self.in_ring.get(&(ring, own_pid)).copied()
    }

    /// Finds the children that took a slot of a ring. True if any holds one.
    pub fn discover_all(&mut self, ring: RingIndex, rings: &mut Rings) -> bool {
        let taken = rings.get(ring).map(Ring::taken_slots).unwrap_or_default();
        let mut is_any = false;
        for (slot, own_pid) in &taken {
            is_any |= self.discover(ring, *slot, *own_pid, rings).is_some();
        }
        if let Some(ring) = rings.get(ring) {
            ring.end_look(&taken);
        }
        is_any
    }

    /// The image that holds `slot`, looked for if the slot is taken and not known.
    pub fn writer(&mut self, ring: RingIndex, slot: u8, rings: &mut Rings) -> Option<ImageId> {
        if let Some(own_pid) = rings.taken_by(ring, slot) {
            self.discover(ring, slot, own_pid, rings);
        }
        *rings.get(ring)?.writers.get(usize::from(slot))?
    }

    pub(super) fn claim_slot(&mut self, image: ImageId, ring: RingIndex, slot: u8, rings: &mut Rings) {
        rings.give_slot(ring, slot, image);
        let born = rings.get(ring).map_or(MonoNs::ZERO, |ring| ring.born(slot));
        if let Some(image) = self.get_mut(image) {
            image.slot = Some(slot);
            image.born = born;
        }
        self.changes.push(Change::Numbered(image));
    }

    /// An image turns out to be the one before `next`: the doorman came to the hello of the program that the
    /// child executed before the hello of the ring that the child was forked in.
    fn precede(&mut self, image: ImageId, next: ImageId, rings: &mut Rings) {
        self.end_by_exec(image, MonoNs::now(), rings);
        let has_begun = self.get(next).is_none_or(|next| next.process.is_some() || next.before.is_some());
        if has_begun {
            if let Some(image) = self.get_mut(image) {
                image.after = Some(next);
            }
        } else if let Some(next) = self.get_mut(next) {
            next.before = Some(image);
        }
    }
}
