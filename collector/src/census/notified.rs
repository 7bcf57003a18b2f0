//! Images of processes that the kernel named with a notification, whether or not the sensor is in them.

use super::image::ProcessImage;
use super::register::Census;
use crate::allowance::Account;
use crate::arrival::Seen;
use crate::door::identity::{self, Identity};
use crate::event::Claimed;
use crate::ids::{ImageId, MonoNs, Pid, ProcessKey};
use crate::rings::Rings;
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

    /// The same of a process of which this is known: another one that had its number before has ended.
    pub fn seen(&mut self, key: ProcessKey, seen: Seen, rings: &mut Rings) -> ImageId {
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
        self.add(None, identity, false, None, rings)
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
