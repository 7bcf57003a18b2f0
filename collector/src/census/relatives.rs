//! Relatives: what a process tells of its children, by forks and by waits.

use super::image::{Asked, EndKind, ProcessImage};
use super::register::{Census, Change};
use super::reports::WaitReport;
use crate::ids::{ImageId, Pid, ProcessKey, RingIndex};
use crate::rings::Rings;

impl Census {
    /// A parent told of its child. Unless the child is known, it is watched from here on: its end is an
    /// event, and as long as it lives it may take a slot of the ring.
    pub fn forked(&mut self, parent: ImageId, own_child: Pid, asked: Option<Asked>, rings: &mut Rings) {
        let Some(ProcessImage { ring: Some(ring), key: parent_key, own_pid: own_ppid, .. }) =
            self.get(parent)
        else {
            return;
        };
        let (ring, namespace, own_ppid) = (*ring, parent_key.namespace, *own_ppid);
        let is_known = |image: &ProcessImage| {
            image.ring == Some(ring) && image.own_pid == own_child && image.end.is_none()
        };
        if self.iter().any(is_known) {
            // Its first record may be due only after this: it inherited what its parent has at this point.
            return self.begin_child(ring, own_child, rings);
        }
        // Where its number means the same here, it may have become another image already.
        let shares_pids = rings.get(ring).is_some_and(|ring| ring.view.shares_pids);
        let same_view = ProcessKey { namespace, pid: own_child };
        if (shares_pids || namespace.is_some()) && self.by_key.contains_key(&same_view) {
            return;
        }
        let slot = rings.get(ring).and_then(|ring| ring.slot_of(own_child));
        if slot.is_some_and(|slot| self.discover(ring, slot, own_child, rings).is_some()) {
            return self.begin_child(ring, own_child, rings);
        }
        let identity = self.identify_child(ring, own_child, own_ppid, rings);
        // A parent that gets the processor late tells of a child that has come and gone.
        let is_buried = self.recent.contains(&identity.key);
        if is_buried || (!identity.key.is_visible() && namespace.is_none()) {
            return;
        }
        let child = self.add(Some((ring, None)), identity, false, None, rings);
        if let Some(image) = self.get_mut(child) {
            image.own_ppid = own_ppid;
            // posix_spawn(3) and popen(3): the caller told what its child would become.
            image.asked = asked;
        }
        self.begin(child, rings);
    }

    fn begin_child(&mut self, ring: RingIndex, own_pid: Pid, rings: &Rings) {
        let is_it = |image: &&ProcessImage| {
            image.ring == Some(ring) && image.own_pid == own_pid && image.slot != Some(0)
        };
        let found = self.iter().find(is_it).map(|image| image.id);
        if let Some(child) = found {
            self.begin(child, rings);
        }
    }

    /// A wait told a parent how its child ended.
    pub fn child_ended(&mut self, parent: ImageId, own_child: Pid, report: WaitReport, rings: &mut Rings) {
        let Some(ProcessImage { ring: Some(ring), key: parent_key, .. }) = self.get(parent) else { return };
        let (namespace, view) = (parent_key.namespace, rings.get(*ring).map(|ring| ring.view));
        let key = if view.is_some_and(|view| view.shares_pids) || namespace.is_some() {
            ProcessKey { namespace, pid: own_child }
        } else {
            // By its own number, among the images of the same namespace.
            let own_namespace = view.map(|view| view.own_namespace);
            let is_mate = |image: &ProcessImage| {
                image.own_pid == own_child
                    && image.ring.and_then(|ring| rings.get(ring)).map(|ring| ring.view.own_namespace)
                        == own_namespace
                    && (!image.key.is_visible() || image.own_pid != image.key.pid)
            };
            match self.iter().find(|image| is_mate(image)) {
                Some(image) => image.key,
                None => return,
            }
        };
        self.reports.note(key, report);
        let Some(child) = self.live(key) else { return };
        let Some(image) = self.get(child) else { return };
        match image.end {
            // The collector may have learnt of it much later.
            Some(end) if end.kind == EndKind::Death => self.changes.push(Change::Ended(child, report.at)),
            // Without a pidfd no other word of it will come.
            None if image.pidfd.is_none() => self.end(child, EndKind::Death, report.at, rings),
            _ => {}
        }
    }

    /// The launcher told how a process ended.
    pub fn reaped(&mut self, key: ProcessKey, report: WaitReport) {
        self.reports.note(key, report);
    }
}
