//! The identity of a process: what the kernel says, and only where the kernel cannot say, what the process
//! says.

use std::os::fd::OwnedFd;

use wire::hello::Hello;

use crate::container::Claim;
use crate::ids::{MonoNs, Pid, ProcessKey};
use crate::system::kernel;
use crate::system::procfs;

/// The identity of a process, as far as the kernel and the process tell.
#[derive(Debug, Default)]
pub struct Identity {
    /// In the collector's pid namespace; where the process has no number there, in its own.
    pub key: ProcessKey,
    /// The process's number in its own namespace.
    pub own_pid: Pid,
    /// The parent, in the same namespace as `key`.
    pub ppid: Option<Pid>,
    /// Effective user id when the process connected.
    pub uid: Option<u32>,
    /// Tells of the process's death.
    pub pidfd: Option<OwnedFd>,
    /// The running image as /proc shows it; empty where it does not.
    pub exe: Vec<u8>,
    /// The container that the process or the kernel names.
    pub claim: Option<Claim>,
}

impl Identity {
    /// The identity of the peer of `guest`, which sent `hello`.
    pub fn of_peer(guest: &OwnedFd, hello: &Hello<'_>) -> Self {
        let peer = kernel::peer(guest).ok();
        let uid = peer.map(|peer| peer.uid);
        let pidfd = kernel::peer_pidfd(guest).ok();
        let own_pid = Pid(hello.pid);
        match peer.map(|peer| peer.pid).filter(|pid| *pid != 0) {
            Some(pid) => {
                // The same number on both sides is taken for the same namespace: then the parent's number is
                // ours too.
                let ppid =
                    if hello.pid == pid { Some(hello.ppid) } else { procfs::stat(pid).map(|stat| stat.ppid) };
                let pidfd = pidfd.or_else(|| procfs::open(pid));
                let key = ProcessKey { namespace: None, pid: Pid(pid) };
                Self { key, own_pid, ppid: ppid.map(Pid), uid, pidfd, ..Self::default() }
            }
            None => {
                // The kernel cannot say before 6.11, nor of a process that is dead by now. Then the process's
                // word counts.
                let namespace = Some(pidfd.as_ref().and_then(kernel::pid_namespace).unwrap_or(hello.pid_ns));
                let key = ProcessKey { namespace, pid: own_pid };
                Self { key, own_pid, ppid: Some(Pid(hello.ppid)), uid, pidfd, ..Self::default() }
            }
        }
    }

    /// Whether this process may go on from what `other` does: the same process, a child of it, or any process
    /// of its pid namespace where nothing more is known.
    pub fn is_behind(&self, other: &Self) -> bool {
        let is_near =
            !self.key.is_visible() || self.key.pid == other.key.pid || self.ppid == Some(other.key.pid);
        self.key.namespace == other.key.namespace && is_near
    }
}

/// The next collector's knowledge of a ring: the blob that the launcher keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Note {
    key: ProcessKey,
    own_pid: Pid,
    ppid: Option<Pid>,
    uid: Option<u32>,
    /// The URI of the container's metadata.
    pub uri: Vec<u8>,
}

impl Note {
    /// Bytes of the numbers; the URI follows.
    const NUMBERS: usize = 5 * 8;

    /// A note of `identity`, whose container has its metadata at `uri`.
    pub fn of(identity: &Identity, uri: &[u8]) -> Self {
        let Identity { key, own_pid, ppid, uid, .. } = *identity;
        Self { key, own_pid, ppid, uid, uri: uri.to_vec() }
    }

    /// The note as bytes.
    pub fn encode(self) -> Vec<u8> {
        let or_none = |value: Option<u32>| value.map_or(u64::MAX, u64::from);
        [
            u64::from(self.key.pid.0),
            u64::from(self.own_pid.0),
            or_none(self.ppid.map(|Pid(ppid)| ppid)),
            or_none(self.uid),
            self.key.namespace.unwrap_or(u64::MAX),
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
        let &[pid, own_pid, ppid, uid, namespace] = words.as_slice() else { return None };
        let pid = Pid(u32::try_from(pid).ok()?);
        Some(Self {
            key: ProcessKey { namespace: (namespace != u64::MAX).then_some(namespace), pid },
            own_pid: Pid(u32::try_from(own_pid).ok()?),
            ppid: u32::try_from(ppid).ok().map(Pid),
            uid: u32::try_from(uid).ok(),
            uri: uri.to_vec(),
        })
    }

    /// The process, with a pidfd if it still is the one that made a ring at `born`: a process that got the
    /// number later has started later.
    pub fn identity(&self, born: MonoNs) -> Identity {
        let Self { key, own_pid, ppid, uid, .. } = *self;
        let mut identity = Identity { key, own_pid, ppid, uid, ..Identity::default() };
        if key.is_visible() {
            // Opened before the check, so that the number cannot be given away in between.
            let pidfd = procfs::open(key.pid.0);
            let started = procfs::started_ns(key.pid.0).map(MonoNs);
            if started.is_some_and(|started| started <= born.plus(TICK_NS)) {
                identity.pidfd = pidfd;
                identity.exe = procfs::exe(key.pid.0).unwrap_or_default();
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
            key: ProcessKey { namespace: Some(0), pid: Pid(7) },
            own_pid: Pid(8),
            ppid: None,
            uid: Some(0),
            uri: b"http://169.254.170.2/v4/x".to_vec(),
        };

        assert_eq!(Some(&note), Note::decode(&note.clone().encode()).as_ref());
        assert_eq!(None, Note::decode(&note.clone().encode()[..Note::NUMBERS - 1]));
        assert_eq!(None, Note::decode(&[]));
        assert!(note.identity(MonoNs::ZERO).pidfd.is_none());
    }

    #[test]
    fn number_that_was_given_to_another_process_is_not_believed() {
        let key = ProcessKey { namespace: None, pid: Pid(std::process::id()) };
        let note = Note { key, ..Note::default() };

        assert!(note.identity(MonoNs(1)).pidfd.is_none());
        assert!(note.identity(MonoNs::now()).pidfd.is_some());
    }
}
