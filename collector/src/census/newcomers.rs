//! New images: a hello, a fork child's slot in its parent's ring, a process that the kernel named.

use std::sync::atomic::Ordering;

use wire::record::Head;
use wire::ring::layout::Slot;

use super::image::{EndKind, ProcessImage};
use super::life::LifeId;
use super::register::{Census, Change};
use crate::arrival::Origin;
use crate::door::identity::Identity;
use crate::door::news::Attached;
use crate::ids::{ImageId, MonoNs, Pid, ProcessKey, RingIndex};
use crate::rings::Rings;
use crate::rings::ring::{Ring, View};
use crate::system::kernel;
use crate::system::procfs;

/// The kernel's own limit of pid_max (proc(5)), times four for what may come.
const MOST_PIDS: u32 = 4 << 22;

impl Census {
    /// Takes in a ring: its process has a new image.
    pub fn attach(&mut self, attached: Attached, rings: &mut Rings, now: MonoNs) -> ImageId {
        let Attached { id, mapping, lifeline, identity, own_ns, own_fds, is_inherited } = attached;
        let key = identity.key;
        let view = View {
            shares_pids: key.is_visible() && key.pid == identity.own_pid,
            namespace: key.namespace,
            own_namespace: own_ns,
        };
        let ring = Ring::new(id, mapping, lifeline, view, is_inherited, now);
        let parent = identity.ppid.and_then(|pid| self.live(ProcessKey { pid, ..key }));
        // The same process may have written into its parent's ring before, and none of that be read.
        for unread in rings.unread() {
            self.discover_all(unread, rings);
        }
        let born = MonoNs(ring.memory().slot(0).born_ns.load(Ordering::Relaxed));
        let before = self.live(key).filter(|before| self.is_continued(*before, born));
        if let Some(before) = before {
            self.end_by_exec(before, now, rings);
        }
        let mut seed = match (key.is_visible(), is_inherited, before, parent) {
            // The image before the exec is known.
            (false, ..) | (true, false, Some(_), _) => Vec::new(),
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
            image.seed = seed;
        }
        if is_inherited {
            self.discover_all(ring, rings);
        }
        image
    }

    /// Whether the image `before` goes on as one that was made at `born`. Not so where the death of its
    /// process was noticed earlier: then the kernel gave the number to another process. But an image that did
    /// little said hello, died, and was known to be dead before its hello was read.
    fn is_continued(&self, before: ImageId, born: MonoNs) -> bool {
        self.get(before).is_some_and(|image| {
            let death = image.end.filter(|end| end.kind == EndKind::Death && image.pidfd.is_some());
            death.is_none_or(|death| born <= death.noticed)
        })
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
        self.made += 1;
        let (ring, slot) = (place.map(|(ring, _)| ring), place.and_then(|(_, slot)| slot));
        let entry = self.images.vacant_entry();
        let id = ImageId::new(self.made, entry.key());
        let mut image = ProcessImage::new(id, identity, ring, slot, self.lives.enter(life), is_inherited);
        let key = image.key;
        let is_dead = image.pidfd.is_none() && key.is_visible();
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
        }
        entry.insert(image);
        self.by_key.insert(key, id);
        self.changes.push(Change::Made(id));
        if is_numbered {
            self.changes.push(Change::Numbered(id));
        }
        if is_dead {
            self.end(id, EndKind::Death, MonoNs::now(), rings);
        }
        id
    }

    /// The image that a record with this head belongs to; `None` where no sensor could have written it.
    #[inline]
    pub fn image_of(&mut self, origin: Origin, head: &Head, rings: &mut Rings) -> Option<ImageId> {
        match origin {
            Origin::Ring { ring, slot } => match *rings.get(ring)?.writers.get(usize::from(slot))? {
                Some(image) => Some(image),
                None => self.discover(ring, slot, Pid(head.pid), rings),
            },
            Origin::Notify { process } => Some(self.notified(process, rings)),
        }
    }

    /// The live image of a process that the kernel named; one without a ring is made where none is known.
    pub fn notified(&mut self, key: ProcessKey, rings: &mut Rings) -> ImageId {
        if let Some(known) = self.live(key) {
            return known;
        }
        let pidfd = if key.is_visible() { procfs::open(key.pid.0) } else { None };
        let ppid = pidfd.as_ref().and_then(kernel::parent).map(Pid);
        let exe = if key.is_visible() { procfs::exe(key.pid.0) } else { None };
        let exe = exe.unwrap_or_default();
        let identity = Identity { key, own_pid: key.pid, ppid, pidfd, exe, ..Identity::default() };
        self.add(None, identity, false, None, rings)
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
        let own_ppid = Pid(words.ppid.load(Ordering::Relaxed));
        // A child that its parent told of, but that had written nothing. It may be dead by now.
        let is_silent = |image: &&ProcessImage| {
            image.ring == Some(ring)
                && image.slot.is_none()
                && image.own_pid == own_pid
                && image.books.is_none()
        };
        let silent = self.iter().find(is_silent).map(|image| image.id);
        if let Some(silent) = silent {
            self.claim_slot(silent, ring, slot, rings);
            if let Some(image) = self.get_mut(silent) {
                image.own_ppid = own_ppid;
            }
            return Some(silent);
        }
        let identity = self.identify_child(ring, own_pid, own_ppid, rings);
        let key = identity.key;
        let is_next = |image: &ProcessImage| {
            image.ring != Some(ring) && (image.end.is_none() || image.ppid == Some(own_ppid))
        };
        let next = self.live(key).filter(|next| self.get(*next).is_some_and(is_next));
        let life = next.and_then(|next| Some(self.get(next)?.life));
        let is_buried = key.is_visible() && identity.pidfd.is_none() && self.recent.contains(&key);
        let image = self.add(Some((ring, Some(slot))), identity, is_inherited, life, rings);
        if let Some(image) = self.get_mut(image) {
            image.own_ppid = own_ppid;
        }
        if let Some(next) = next {
            self.by_key.insert(key, next);
            self.precede(image, next, rings);
        } else if is_buried {
            // The end of its process was reported already, with the end of its next image.
            self.end_by_exec(image, MonoNs::now(), rings);
        }
        Some(image)
    }

    /// Finds the children that took a slot of a ring. True if any holds one.
    pub fn discover_all(&mut self, ring: RingIndex, rings: &mut Rings) -> bool {
        let taken = rings.get(ring).map(Ring::taken_slots).unwrap_or_default();
        let mut is_any = false;
        for (slot, own_pid) in taken {
            is_any |= self.discover(ring, slot, own_pid, rings).is_some();
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
        if let Some(image) = self.get_mut(image) {
            image.slot = Some(slot);
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
