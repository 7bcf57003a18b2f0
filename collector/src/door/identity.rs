//! The identity of a process: the kernel's word; the process's own only where the kernel has none, and marked
//! as that.
//!
//! The sender of a hello counts, and not the process that connected: see [`crate::system::peers`].

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use wire::hello::Hello;

use crate::allowance::{Account, Peer};
use crate::container::Claim;
use crate::event::{Asks, Circumstances, Claimed};
use crate::ids::{FileId, Instance, MonoNs, Pid, ProcessKey};
use crate::system::background;
use crate::system::kernel::{self, Facts};
use crate::system::namespaces::{self, Kind, Namespace};
use crate::system::peers::Sender;
use crate::system::procfs;
use crate::system::standpoint::Standpoint;
use crate::system::surroundings::{self, Subject};

/// The identity of a process, as far as the kernel and the process tell.
#[derive(Debug, Default)]
pub struct Identity {
    /// In the collector's pid namespace; where the process has no number there, in its own.
    pub key: ProcessKey,
    /// The process's number in its own namespace.
    pub own_pid: Pid,
    /// The parent, in the same namespace as `key`.
    pub ppid: Option<Pid>,
    /// Real user id when it said hello, by the kernel's word.
    pub uid: Option<u32>,
    /// Effective user id then, by the kernel's word.
    pub euid: Option<u32>,
    /// Tells of the process's death.
    pub pidfd: Option<OwnedFd>,
    /// The process, apart from all that get its number later; `None` where the kernel does not tell.
    pub instance: Option<Instance>,
    /// Its pid namespace by inode, by the kernel's word; `None` where the kernel does not tell.
    pub namespace: Option<u64>,
    /// The same, where it is below the collector's: translates the numbers in it.
    pub below: Option<Arc<Namespace>>,
    /// Only the process, or its parent's place, says which namespace it is in.
    pub is_namespace_said: bool,
    /// Its user and its mount namespace.
    pub standpoint: Standpoint,
    /// It is a child of the launcher, which makes CMD in its own namespaces, and the collector too.
    pub is_launched: bool,
    /// Its control group, by the kernel's word; 0 where there is none, or the kernel does not tell.
    pub cgroup: u64,
    /// The process was dead when it was looked at.
    pub is_dead: bool,
    /// The file of the image that said hello, as it said.
    pub file: FileId,
    /// The path of that image as /proc shows it; empty where it does not, or shows another file's.
    pub exe: Vec<u8>,
    /// The container that the process or the kernel names.
    pub claim: Option<Claim>,
    /// Its circumstances, as far as they are known at a hello.
    pub circumstances: Circumstances,
    /// What only the process itself says of these.
    pub claimed: Claimed,
}

/// What a process says of itself.
#[derive(Clone, Copy, Debug)]
pub struct Said {
    /// Its number in its own pid namespace.
    pub pid: u32,
    /// Its parent's there.
    pub ppid: u32,
    /// That namespace by inode.
    pub pid_ns: u64,
    /// The file of its image.
    pub file: FileId,
}

impl Identity {
    /// The identity of the process that sent `hello` over `guest`.
    pub fn of_sender(guest: &OwnedFd, sender: Sender, hello: &Hello<'_>) -> Self {
        let euid = sender.effective_uid(guest);
        let said = Said { pid: hello.pid, ppid: hello.ppid, pid_ns: hello.pid_ns, file: hello.file.into() };
        Self::of(sender, euid, said)
    }

    /// The identity of a process by the kernel's word, and what is `said` of it where the kernel tells less.
    pub fn of(sender: Sender, euid: Option<u32>, said: Said) -> Self {
        let Sender { pid, uid, pidfd } = sender;
        let (uid, pidfd) = match pid {
            0 => (uid, pidfd),
            // Before Linux 6.5. The number may have been given to another process since.
            pid => (uid, pidfd.or_else(|| procfs::open(pid))),
        };
        let facts = pidfd.as_ref().and_then(kernel::facts);
        let known = Self {
            uid: uid.or(facts.map(|facts| facts.uids.real)),
            euid: euid.or(facts.map(|facts| facts.uids.effective)),
            instance: pidfd.as_ref().and_then(kernel::instance),
            namespace: pidfd.as_ref().and_then(|pidfd| namespaces::inode_of(pidfd, Kind::Pid)),
            cgroup: facts
                .and_then(|facts| facts.cgroup)
                .or_else(|| pidfd.as_ref().and_then(kernel::cgroup_of_the_dead))
                .unwrap_or_default(),
            file: said.file,
            is_dead: facts.is_none() && pidfd.as_ref().is_none_or(kernel::is_dead),
            pidfd,
            ..Self::default()
        };
        match pid {
            0 => known.elsewhere(said),
            pid => known.here(pid, facts, said),
        }
    }

    /// Completes the identity of a process that has a number in the collector's pid namespace.
    fn here(mut self, pid: u32, facts: Option<Facts>, said: Said) -> Self {
        self.key = ProcessKey::here(Pid(pid));
        let own = namespaces::own(Kind::Pid);
        let shares_pids = self.namespace.map(|namespace| Some(namespace) == own);
        // Of the dead, the kernel tells no numbers any more; before 6.11, it tells them all in /proc alone.
        self.own_pid = match shares_pids {
            Some(true) => Pid(pid),
            _ if self.is_dead => Pid(said.pid),
            _ => {
                procfs::namespace_pids(pid).and_then(|pids| Some(Pid(*pids.last()?))).unwrap_or(Pid(said.pid))
            }
        };
        if self.namespace.is_none() && !self.is_dead {
            let is_one = procfs::namespace_pids(pid).is_some_and(|pids| pids.len() == 1);
            self.namespace = if is_one { own } else { None };
        }
        self.instance = self.instance.or_else(|| started_as(pid));
        let parent = facts.map(|facts| facts.ppid).filter(|ppid| *ppid != 0);
        let parent = parent.or_else(|| procfs::stat(pid).filter(|_| !self.is_dead).map(|stat| stat.ppid));
        self.ppid = match parent {
            Some(ppid) => Some(Pid(ppid)),
            // The same number on both sides is taken for the same namespace.
            None => Some(Pid(said.ppid)).filter(|_| said.pid == pid),
        };
        self.claimed = Claimed::NONE.and_if(parent.is_none() && self.ppid.is_some(), Claimed::PPID);
        self
    }

    /// Completes the identity of a process that has no number in the collector's pid namespace: the kernel
    /// says which namespace it is in, from 6.11 on, but not its number there.
    fn elsewhere(mut self, said: Said) -> Self {
        let namespace = self.namespace.unwrap_or(said.pid_ns);
        self.own_pid = Pid(said.pid);
        self.key = ProcessKey::elsewhere(namespace, self.own_pid);
        self.ppid = Some(Pid(said.ppid));
        let numbers = Claimed::PID.and(Claimed::PPID);
        self.claimed = numbers.and_if(self.namespace.is_none(), Claimed::PID_NS);
        self
    }

    /// Asks the kernel for its user and its mount namespace, for as long as `account` has time for that.
    pub fn look_around(&mut self, account: &Arc<Account>) {
        let (Some(pidfd), begun) = (&self.pidfd, MonoNs::now()) else { return };
        if !account.has_time_at_door(begun) {
            return;
        }
        let pid = self.key.is_visible().then_some(self.key.pid);
        let standpoint = Standpoint::of(pidfd, pid);
        self.standpoint = match pid {
            Some(pid) => standpoint.with_users(pidfd, pid, account),
            None => standpoint,
        };
        account.asked_at_door(begun, MonoNs::now());
    }

    /// Asks the kernel what rules want to know, and says where the process is. `is_contained`: it is in a
    /// container, by other words than its own.
    pub fn look_behind(&mut self, asks: Asks, is_contained: bool) {
        self.circumstances.place = background::place(self.namespace, self.standpoint.mount);
        let Some(pidfd) = self.pidfd.as_ref().filter(|_| self.key.is_visible()) else { return };
        let pid = self.key.pid.0;
        if asks.has(Asks::BACKGROUND) {
            self.circumstances.background = background::read(pid, pidfd).map(Arc::new);
        }
        if asks.has(Asks::SURROUNDINGS) {
            let subject = Subject {
                pid,
                exe: &self.exe,
                pid_ns: self.namespace,
                mnt_ns: self.standpoint.mount,
                place: self.circumstances.place,
                has_container: is_contained || self.claim.is_some(),
            };
            self.circumstances.surroundings = surroundings::read(subject, pidfd).map(Arc::new);
        }
    }

    /// The owner of the account that its rings and images come out of.
    pub fn peer(&self) -> Peer {
        Peer { uid: self.uid, cgroup: self.cgroup }
    }

    /// Whether the process is in the collector's own pid namespace, by the kernel's word.
    pub fn shares_pids(&self) -> bool {
        self.key.is_visible() && self.namespace.is_some() && self.namespace == namespaces::own(Kind::Pid)
    }

    /// The same, or, where the kernel does not tell the namespace, whether the process says the number that
    /// it has here.
    pub fn has_our_numbers(&self) -> bool {
        self.shares_pids()
            || self.key.is_visible() && self.namespace.is_none() && self.own_pid == self.key.pid
    }

    /// Whether this process may go on from what `other` does: the same process, a child of it, or any process
    /// of its pid namespace where nothing more is known.
    pub fn is_behind(&self, other: &Self) -> bool {
        let is_near =
            !self.key.is_visible() || self.key.pid == other.key.pid || self.ppid == Some(other.key.pid);
        self.key.namespace == other.key.namespace && is_near
    }
}

/// An instance made of the start time, for kernels whose pidfds have no inodes.
fn started_as(pid: u32) -> Option<Instance> {
    procfs::stat(pid).map(|stat| Instance(stat.started << 22 ^ u64::from(pid)))
}

/// The instance of a process that /proc shows, whose pidfd is `pidfd`.
pub fn instance_of(pidfd: impl AsFd, pid: Pid) -> Option<Instance> {
    kernel::instance(pidfd).or_else(|| started_as(pid.0))
}

/// The next collector's knowledge of a ring: the blob that the launcher keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Note {
    key: ProcessKey,
    own_pid: Pid,
    ppid: Option<Pid>,
    uid: Option<u32>,
    euid: Option<u32>,
    instance: Option<Instance>,
    namespace: Option<u64>,
    cgroup: u64,
    claimed: Claimed,
    file: FileId,
    /// The URI of the container's metadata.
    pub uri: Vec<u8>,
}

impl Note {
    /// Bytes of the numbers; the URI follows.
    const NUMBERS: usize = 13 * 8;

    /// A note of `identity`, whose container has its metadata at `uri`.
    pub fn of(identity: &Identity, uri: &[u8]) -> Self {
        let Identity { key, own_pid, ppid, uid, euid, instance, namespace, cgroup, claimed, file, .. } =
            *identity;
        Self { key, own_pid, ppid, uid, euid, instance, namespace, cgroup, claimed, file, uri: uri.to_vec() }
    }

    /// The note as bytes.
    pub fn encode(self) -> Vec<u8> {
        let or_none = |value: Option<u32>| value.map_or(u64::MAX, u64::from);
        [
            u64::from(self.key.pid.0),
            u64::from(self.own_pid.0),
            or_none(self.ppid.map(|Pid(ppid)| ppid)),
            or_none(self.uid),
            or_none(self.euid),
            self.key.namespace.unwrap_or(u64::MAX),
            self.key.claimant,
            self.instance.map_or(u64::MAX, |Instance(instance)| instance),
            self.namespace.unwrap_or(u64::MAX),
            self.cgroup,
            u64::from(self.claimed.bits()),
            self.file.device,
            self.file.inode,
        ]
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .chain(self.uri)
        .collect()
    }

    /// The note in `blob`; `None` for bytes that are none.
    pub fn decode(blob: &[u8]) -> Option<Self> {
        let (numbers, uri) = blob.split_at_checked(Self::NUMBERS)?;
        let words: Vec<u64> = numbers
            .chunks_exact(8)
            .filter_map(|word| Some(u64::from_le_bytes(*word.first_chunk()?)))
            .collect();
        let &[pid, own_pid, ppid, uid, euid, key_namespace, claimant, instance, ref rest @ ..] =
            words.as_slice()
        else {
            return None;
        };
        let [namespace, cgroup, claimed, device, inode] = *rest else {
            return None;
        };
        let or_none = |word: u64| (word != u64::MAX).then_some(word);
        let pid = Pid(u32::try_from(pid).ok()?);
        Some(Self {
            key: ProcessKey { namespace: or_none(key_namespace), pid, claimant },
            own_pid: Pid(u32::try_from(own_pid).ok()?),
            ppid: u32::try_from(ppid).ok().map(Pid),
            uid: u32::try_from(uid).ok(),
            euid: u32::try_from(euid).ok(),
            instance: or_none(instance).map(Instance),
            namespace: or_none(namespace),
            cgroup,
            claimed: Claimed::from_bits(claimed as u16),
            file: FileId { device, inode },
            uri: uri.to_vec(),
        })
    }

    /// The process, with a pidfd if it still is the one that made a ring at `born`: a process that got the
    /// number later has started later.
    pub fn identity(&self, born: MonoNs) -> Identity {
        let Self { key, own_pid, ppid, uid, euid, instance, namespace, cgroup, claimed, file, .. } = *self;
        let known = Identity {
            key,
            own_pid,
            ppid,
            uid,
            euid,
            instance,
            namespace,
            cgroup,
            claimed,
            file,
            ..Identity::default()
        };
        let mut identity = Identity { is_dead: key.is_visible(), ..known };
        if key.is_visible() {
            // Opened before the check, so that the number cannot be given away in between.
            let pidfd = procfs::open(key.pid.0);
            let is_same = match instance {
                Some(instance) => {
                    pidfd.as_ref().and_then(|pidfd| instance_of(pidfd, key.pid)) == Some(instance)
                }
                None => {
                    procfs::started_ns(key.pid.0).is_some_and(|started| MonoNs(started) <= born.plus(TICK_NS))
                }
            };
            if is_same {
                identity.is_dead = pidfd.is_none();
                identity.pidfd = pidfd;
                identity.exe = procfs::exe_if(key.pid.0, file).unwrap_or_default();
            }
        }
        identity
    }
}

/// The kernel tells the start of a process to the tick, of which there are 100 a second or more.
const TICK_NS: u64 = 10_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_of_other_collectors_are_checked() {
        let note = Note {
            key: ProcessKey::elsewhere(0, Pid(7)).claimed_by(3),
            own_pid: Pid(8),
            ppid: None,
            uid: Some(0),
            euid: None,
            instance: Some(Instance(9)),
            namespace: None,
            cgroup: 10,
            claimed: Claimed::PID,
            file: FileId { device: 11, inode: 12 },
            uri: b"http://169.254.170.2/v4/x".to_vec(),
        };

        assert_eq!(Some(&note), Note::decode(&note.clone().encode()).as_ref());
        assert_eq!(None, Note::decode(&note.clone().encode()[..Note::NUMBERS - 1]));
        assert_eq!(None, Note::decode(&[]));
        assert!(note.identity(MonoNs::ZERO).pidfd.is_none());
    }

    #[test]
    fn number_that_was_given_to_another_process_is_not_believed() {
        let key = ProcessKey::here(Pid(std::process::id()));
        let note = Note { key, ..Note::default() };
        let other = Note { instance: Some(Instance(1)), ..note.clone() };

        assert!(note.identity(MonoNs(1)).pidfd.is_none());
        assert!(note.identity(MonoNs::now()).pidfd.is_some());
        assert!(other.identity(MonoNs::now()).pidfd.is_none());
    }
}
