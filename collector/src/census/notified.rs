//! Images of processes that the kernel named with a notification, whether or not the sensor is in them.

use std::sync::Arc;

use wire::record::Head;

use super::image::ProcessImage;
use super::register::Census;
use super::within::Within;
use crate::allowance::{Account, Resource};
use crate::arrival::{Introduced, Seen};
use crate::door::identity::{self, Identity};
use crate::event::{Asks, Background, Circumstances, Claimed, Surroundings};
use crate::ids::{ImageId, Instance, MonoNs, Pid, ProcessKey, Tid};
use crate::rings::Rings;
use crate::system::standpoint::Standpoint;
use crate::system::{kernel, procfs};

impl Census {
    /// The live image of a process that the kernel named; one without a ring is made where none is known.
    pub fn notified(&mut self, key: ProcessKey, rings: &mut Rings) -> ImageId {
        self.live(key).unwrap_or_else(|| self.seen(key, Seen::default(), rings))
    }

    /// The image that a process was at a time: its next one may have said hello before the record was read.
    pub fn notified_at(&mut self, key: ProcessKey, at: MonoNs, rings: &mut Rings) -> ImageId {
        let id = self.notified(key, rings);
        self.image_at(key, at).unwrap_or(id)
    }

    /// The same of a process that is known.
    pub fn image_at(&self, key: ProcessKey, at: MonoNs) -> Option<ImageId> {
        let mut id = self.live(key)?;
        while let Some(image) = self.get(id).filter(|image| at < image.born)
            && let Some(before) = image.before.filter(|before| self.get(*before).is_some())
        {
            id = before;
        }
        Some(id)
    }

    /// Whether the process with a number is the one that was introduced as `instance`.
    pub(super) fn is_it(&self, key: ProcessKey, instance: Option<Instance>) -> bool {
        let Some(instance) = instance else { return true };
        let live = self.live(key).and_then(|live| self.get(live));
        live.is_none_or(|live| live.is_introduced && live.instance.is_none_or(|of_live| of_live == instance))
    }

    /// The same of a process of which this is known: another one that had its number before has ended.
    pub fn seen(&mut self, key: ProcessKey, seen: Seen, rings: &mut Rings) -> ImageId {
        if self.live(key).is_none() {
            let pidfd = if key.is_visible() { procfs::open(key.pid.0) } else { None };
            let (own_pid, ppid, uid) = (key.pid, seen.ppid, seen.uid);
            let is_dead = pidfd.is_none();
            let identity = Identity { key, own_pid, ppid, uid, pidfd, is_dead, ..Identity::default() };
            self.discover_before_seen(&identity, rings);
        }
        let live = self.live(key).and_then(|live| self.get(live));
        let is_same = |live: &&ProcessImage| {
            live.instance.is_none() || seen.instance.is_none() || live.instance == seen.instance
        };
        if let Some(live) = live.filter(is_same).map(|live| live.id) {
            self.learn(live, seen);
            return live;
        }
        let pidfd = if key.is_visible() { procfs::open(key.pid.0) } else { None };
        let instance = pidfd.as_ref().and_then(|pidfd| identity::instance_of(pidfd, key.pid));
        // It has ended, and its number may be another process's.
        let pidfd = pidfd.filter(|_| seen.instance.is_none() || instance == seen.instance);
        let facts = pidfd.as_ref().and_then(kernel::facts);
        let exe = match (seen.exe.is_empty(), &pidfd) {
            (true, Some(_)) => procfs::exe(key.pid.0).unwrap_or_default(),
            _ => seen.exe,
        };
        let mut identity = Identity {
            key,
            own_pid: key.pid,
            ppid: seen.ppid.or(facts.map(|facts| Pid(facts.ppid))),
            uid: seen.uid.or(facts.map(|facts| facts.uids.real)),
            euid: seen.euid.or(facts.map(|facts| facts.uids.effective)),
            instance: seen.instance.or(instance),
            is_dead: pidfd.is_none() && key.is_visible(),
            pidfd,
            exe,
            ..Identity::default()
        };
        self.look_around(&mut identity, None, &Account::boundless());
        let (user, mount) = (seen.user_ns, seen.mnt_ns);
        identity.standpoint = identity.standpoint.or(&Standpoint { user, mount, ..Standpoint::default() });
        let parent =
            identity.ppid.and_then(|ppid| self.get(self.live(key.with_pid(ppid))?)?.process.as_ref());
        let is_contained = parent.is_some_and(|parent| parent.who.container.is_some());
        identity.look_behind(self.asks, is_contained);
        if let Some(parent) = parent.filter(|parent| {
            let (own, parents) = (&identity.standpoint, &parent.standpoint);
            own.mount.is_some() && (own.user, own.mount) == (parents.user, parents.mount)
        }) {
            identity.circumstances = after_fork(identity.circumstances, &parent.who.circumstances);
        }
        self.add(None, identity, false, None, rings)
    }

    /// Finds a child that has hooks, and ended before the collector came to what it wrote: its ring alone
    /// said its number. No image is made.
    pub fn confirm_hooked(&mut self, key: ProcessKey, seen: &Seen, rings: &mut Rings) {
        if self.live(key).is_none() {
            let pidfd = procfs::open(key.pid.0);
            let (own_pid, ppid, uid, is_dead) = (key.pid, seen.ppid, seen.uid, pidfd.is_none());
            let identity = Identity { key, own_pid, ppid, uid, pidfd, is_dead, ..Identity::default() };
            self.discover_before_seen(&identity, rings);
        }
    }

    /// The image of a process that a supervisor elsewhere introduced; `None` where its account has no room
    /// for one more.
    pub fn introduce(&mut self, introduced: Introduced, rings: &mut Rings) -> Option<ImageId> {
        let Introduced { mut identity, reason, account, .. } = introduced;
        self.look_below(&mut identity);
        self.discover_before_seen(&identity, rings);
        let live = self.live(identity.key).and_then(|live| self.get_mut(live));
        let is_same = |live: &&mut ProcessImage| {
            live.instance.is_none() || identity.instance.is_none() || live.instance == identity.instance
        };
        if let Some(live) = live.filter(is_same) {
            // Of a process without a number here, the supervisor's own user was taken for its.
            let is_presumed = identity.claimed.has(Claimed::UID);
            if is_presumed && account.peer.uid != Some(0) && live.uid != account.peer.uid {
                account.refuse(Resource::Images);
                return None;
            }
            (live.is_asked_about, live.is_introduced) = (true, true);
            live.named = reason.map(|reason| (reason, identity.exe));
            return Some(live.id);
        }
        // Of two that say the same number of a namespace, one lies: the first one has it.
        let is_taken = self.live(identity.key).and_then(|live| self.get(live)).is_some_and(|live| {
            !identity.key.is_visible() && live.pidfd.as_ref().is_some_and(|pidfd| !kernel::is_dead(pidfd))
        });
        if is_taken || account.is_used_up(Resource::Images) {
            account.refuse(Resource::Images);
            return None;
        }
        let parent = identity.ppid.and_then(|ppid| self.live(identity.key.with_pid(ppid)));
        self.look_around(&mut identity, parent, &account);
        let is_contained = identity.claim.is_some();
        identity.look_behind(self.asks, is_contained);
        let named = reason.map(|reason| (reason, identity.exe.clone()));
        let image = self.add_at_cost_of(account, None, identity, false, None, rings);
        if let Some(image) = self.get_mut(image) {
            (image.is_asked_about, image.is_introduced, image.named) = (true, true, named);
        }
        Some(image)
    }

    /// Asks the kernel again what rules want to know of an image, which has become another program: what is
    /// not the program's stays known where the process is gone.
    pub(super) fn look_behind_again(&mut self, id: ImageId) {
        let asks = self.asks;
        let Some(image) = self.get_mut(id) else { return };
        let Some(process) = image.process.as_mut().filter(|_| asks != Asks::NONE) else { return };
        let Circumstances { background, surroundings, .. } = process.who.circumstances.clone();
        let mut identity = Identity {
            key: image.key,
            namespace: image.namespace,
            standpoint: image.standpoint.clone(),
            exe: process.who.exe().to_vec(),
            pidfd: image.pidfd.as_ref().and_then(|pidfd| pidfd.try_clone().ok()),
            ..Identity::default()
        };
        identity.look_behind(asks, process.who.container.is_some());
        let found = identity.circumstances;
        let kept = surroundings.as_deref().map(without_exe);
        process.set_known(found.background.or(background), found.surroundings.or(kept.map(Arc::new)));
    }

    /// Notes what became of the exec of a process whose record has this time; `None`: the process is gone.
    /// Gives the image that waits for that.
    pub fn decide(&mut self, key: ProcessKey, told_at: MonoNs, has_begun: Option<bool>) -> Option<ImageId> {
        if self.executions.decide(key, told_at, has_begun) {
            return None;
        }
        let image = self.live(key)?;
        let known = self.get_mut(image)?;
        let executed = known.asked.as_mut()?.executed.as_mut().filter(|known| known.told_at == told_at)?;
        executed.has_begun = has_begun;
        if has_begun == Some(false) {
            known.take_asked(|_| true);
        }
        Some(image)
    }

    /// Finds what a process that is not known wrote into its parent's ring before, of which nothing may be
    /// read. It may be dead by now, so that its ring alone said its number.
    fn discover_before_seen(&mut self, identity: &Identity, rings: &mut Rings) {
        if self.live(identity.key).is_some() {
            return;
        }
        let parent = identity.ppid.and_then(|ppid| self.live(identity.key.with_pid(ppid)));
        if let Some(ring) = parent.and_then(|parent| self.get(parent)?.ring) {
            self.discover_all(ring, rings);
        }
        self.confirm_child(parent, identity, rings);
    }

    /// Notes that a supervisor has come or gone.
    pub fn note_supervisor(&mut self, process: ProcessKey, is_gone: bool) {
        // The two words come by different ways, so that the last may be heard first.
        let connections = self.supervisors.entry(process).or_default();
        *connections += if is_gone { -1 } else { 1 };
        if *connections == 0 {
            self.supervisors.remove(&process);
        }
    }

    /// Whether a process is a supervisor elsewhere.
    pub fn is_supervisor(&self, process: &ProcessKey) -> bool {
        self.supervisors.get(process).is_some_and(|connections| *connections > 0)
    }

    /// Whether the kernel asks about calls of a process, as of the one that made it.
    pub(super) fn is_made_below_supervisor(&self, made: &Identity) -> bool {
        let parent = made.ppid.map(|ppid| made.key.with_pid(ppid));
        let is_asked_about = |key: &ProcessKey| {
            let parent = self.live(*key).and_then(|parent| self.get(parent));
            self.is_supervisor(key) || parent.is_some_and(|parent| parent.is_asked_about)
        };
        self.is_all_asked_about || parent.as_ref().is_some_and(is_asked_about)
    }

    /// Fills in what the kernel did not tell of an image before, as of a child that was dead when it was
    /// heard of.
    fn learn(&mut self, image: ImageId, seen: Seen) {
        let Some(image) = self.get_mut(image).filter(|image| image.process.is_none()) else { return };
        if seen.ppid.is_some() {
            image.ppid = seen.ppid;
            image.claimed = image.claimed.without(Claimed::PPID);
        }
        if image.exe.is_empty() {
            image.exe = seen.exe;
        }
        image.uid = image.uid.or(seen.uid);
        image.euid = image.euid.or(seen.euid);
        image.instance = image.instance.or(seen.instance);
    }
}

impl Census {
    /// Notes a record that says in which row's function a thread is; see [`Within::note`].
    pub fn note_within(&mut self, image: ImageId, head: &Head, row: u32, until: MonoNs) {
        self.count_delivered(image, false);
        if let Some(image) = self.get_mut(image) {
            image.note_within(Tid(head.tid), MonoNs(head.time_ns), row, until);
        }
    }

    /// Whether a call that libc made in an image, of a process with hooks, is told by no hook. None is before
    /// its sensor has spoken: the loader made it.
    pub fn leaves_to_us(&self, image: ImageId, head: &Head, rings: &Rings) -> bool {
        let Some(image) = self.get(image) else { return false };
        let owner = || {
            let first = *rings.get(image.ring?)?.writers.first()?;
            self.get(first?)
        };
        match image.within {
            // A fork child goes on with its parent's sensor, and has been in no function yet.
            Within::Unsaid => owner().is_some_and(|owner| matches!(owner.within, Within::Marked(_))),
            ref within => within.leaves(Tid(head.tid), MonoNs(head.time_ns), head.kind),
        }
    }

    /// Whether an image is about to become another program, whose loader makes calls before its sensor
    /// speaks.
    pub fn is_leaving(&self, image: ImageId) -> bool {
        let asked = self.get(image).and_then(|image| image.asked.as_ref());
        asked.is_some_and(|asked| asked.child.is_none())
    }
}

/// What is known of a process that may be gone, with what a child shares with its parent at its fork.
fn after_fork(own: Circumstances, parents: &Circumstances) -> Circumstances {
    let background = parents.background.as_deref().map(|known| Background { capabilities: None, ..*known });
    let surroundings = parents.surroundings.as_deref().map(without_exe);
    Circumstances {
        background: own.background.or(background.map(Arc::new)),
        surroundings: own.surroundings.or(surroundings.map(Arc::new)),
        ..own
    }
}

/// What does not hold for one program alone.
fn without_exe(known: &Surroundings) -> Surroundings {
    Surroundings { is_exe_added: None, ..known.clone() }
}
