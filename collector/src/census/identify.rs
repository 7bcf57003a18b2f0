//! The identity of a fork child: its slot holds its own number, and the kernel decides whose number that is.

use super::register::Census;
use crate::door::identity::Identity;
use crate::ids::{Pid, ProcessKey, RingIndex};
use crate::rings::Rings;
use crate::system::kernel;
use crate::system::procfs;

impl Census {
    /// The identity of the child `own_pid` of a ring's process. A number that belongs to a process of another
    /// ring is not believed.
    pub(super) fn identify_child(
        &self,
        ring: RingIndex,
        own_pid: Pid,
        own_ppid: Pid,
        rings: &Rings,
    ) -> Identity {
        let in_own_view = |namespace| Identity {
            key: ProcessKey { namespace: Some(namespace), pid: own_pid },
            own_pid,
            ppid: Some(own_ppid),
            ..Identity::default()
        };
        let Some(known) = rings.get(ring) else { return in_own_view(0) };
        if let Some(namespace) = known.view.namespace {
            return in_own_view(namespace);
        }
        let members: Vec<Pid> = known
            .writers
            .iter()
            .flatten()
            .filter_map(|image| self.get(*image))
            .map(|image| image.key.pid)
            .collect();
        if known.view.shares_pids
            && let Some(child) = self.same_view_child(ring, own_pid, own_ppid, &members)
        {
            return child;
        }
        // A process of a nested namespace: among the children of the ring's processes, by its own number.
        for member in members {
            for child in procfs::children(member.0) {
                if procfs::namespace_pids(child).is_some_and(|pids| pids.last() == Some(&own_pid.0)) {
                    return visible(Pid(child), own_pid, member);
                }
            }
        }
        in_own_view(known.view.own_namespace)
    }

    /// The child under its own number in the collector's namespace, where it may have that: `members` are the
    /// processes of its ring.
    fn same_view_child(
        &self,
        ring: RingIndex,
        own_pid: Pid,
        own_ppid: Pid,
        members: &[Pid],
    ) -> Option<Identity> {
        let child = visible(own_pid, own_pid, own_ppid);
        let parent = child.pidfd.as_ref().map(|pidfd| {
            kernel::parent(pidfd).or_else(|| procfs::stat(own_pid.0).map(|stat| stat.ppid)).map(Pid)
        });
        let is_plausible = match parent {
            // Gone already; its number tells no lie that matters.
            None | Some(None) => true,
            // An orphan has another parent than it had.
            Some(Some(ppid)) => {
                ppid == own_ppid
                    || members.contains(&ppid)
                    || procfs::stat(own_ppid.0).is_none_or(|stat| stat.is_zombie)
            }
        };
        let owner = self.live(child.key).and_then(|image| self.get(image));
        // A process with a ring of its own does not write here any more, or never did; not so if it is a
        // child of these.
        let is_taken = owner.is_some_and(|image| image.ring != Some(ring) && image.end.is_none());
        let is_child = parent.flatten().is_some_and(|ppid| members.contains(&ppid));
        (is_plausible && (!is_taken || is_child)).then_some(child)
    }
}

/// A process that the collector's namespace shows as `pid`.
fn visible(pid: Pid, own_pid: Pid, ppid: Pid) -> Identity {
    Identity {
        key: ProcessKey { namespace: None, pid },
        own_pid,
        ppid: Some(ppid),
        pidfd: procfs::open(pid.0),
        ..Identity::default()
    }
}
