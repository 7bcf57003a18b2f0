//! Namespaces of processes: which one a process is in, and what its numbers there are here.
//!
//! # Safety
//! Each request takes a descriptor that is borrowed for its time, and a number or nothing. A kernel that does
//! not know a request returns an error.
#![allow(unsafe_code, reason = "the kernel's requests on pidfds and namespaces have no safe wrapper")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::sync::OnceLock;

use super::kernel;
use crate::ids::Pid;

/// A kind of namespace, by the number of the request that a pidfd gives it by (include/uapi/linux/pidfd.h,
/// Linux 6.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Mount = 3,
    Pid = 5,
    /// That of the children that it makes from here on: unshare(2) and setns(2) change it.
    PidForChildren = 6,
    Time = 7,
    User = 9,
}

impl Kind {
    /// Its name in `/proc/PID/ns`.
    fn file(self) -> &'static str {
        match self {
            Self::Mount => "mnt",
            Self::Pid => "pid",
            Self::PidForChildren => "pid_for_children",
            Self::Time => "time",
            Self::User => "user",
        }
    }
}

/// The inode of this process's own namespace.
pub fn own(kind: Kind) -> Option<u64> {
    static OWN: [OnceLock<Option<u64>>; 10] = [const { OnceLock::new() }; 10];
    *OWN[kind as usize].get_or_init(|| shown("self", kind))
}

/// The inode of a namespace as /proc shows it.
fn shown(process: &str, kind: Kind) -> Option<u64> {
    rustix::fs::stat(format!("/proc/{process}/ns/{}", kind.file())).ok().map(|stat| stat.st_ino)
}

/// A namespace of a process.
#[derive(Debug)]
pub struct Namespace(OwnedFd);

/// A number of a pid namespace, here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Here {
    /// The process, or thread, has this number here.
    Is(Pid),
    /// No process has the number there any more, or it has none here.
    Gone,
    /// The kernel cannot say (before 6.11).
    Untold,
}

impl Namespace {
    /// That of the process behind `pidfd`; `None` where the kernel cannot say, as of a process that is dead.
    pub fn of(pidfd: impl AsFd, kind: Kind) -> Option<Self> {
        let request = 0xff << 8 | kind as u32;
        // SAFETY: the request takes no pointer.
        let descriptor = unsafe { libc::ioctl(pidfd.as_fd().as_raw_fd(), request as _, 0) };
        if descriptor < 0 {
            return None;
        }
        // SAFETY: the kernel just made this descriptor, and nothing else owns it.
        Some(Self(unsafe { OwnedFd::from_raw_fd(descriptor) }))
    }

    /// Its inode.
    pub fn inode(&self) -> Option<u64> {
        rustix::fs::fstat(&self.0).ok().map(|stat| stat.st_ino)
    }

    /// What the number of a process or thread there is here (`NS_GET_PID_FROM_PIDNS` of
    /// include/uapi/linux/nsfs.h).
    pub fn here(&self, Pid(there): Pid) -> Here {
        const FROM_NAMESPACE: libc::c_ulong = 2 << 30 | 4 << 16 | 0xb7 << 8 | 6;
        // SAFETY: the request takes a number.
        let found =
            unsafe { libc::ioctl(self.0.as_raw_fd(), FROM_NAMESPACE as _, libc::c_ulong::from(there)) };
        match u32::try_from(found) {
            Ok(0) => Here::Gone,
            Ok(here) => Here::Is(Pid(here)),
            Err(_) if io::Error::last_os_error().raw_os_error() == Some(libc::ESRCH) => Here::Gone,
            Err(_) => Here::Untold,
        }
    }
}

/// The inode of a namespace of the process behind `pidfd`.
pub fn inode_of(pidfd: impl AsFd, kind: Kind) -> Option<u64> {
    Namespace::of(pidfd, kind)?.inode()
}

/// The same, also before 6.11 where this process's /proc shows the process as `pid`.
pub fn inode_in(pidfd: &OwnedFd, pid: Option<Pid>, kind: Kind) -> Option<u64> {
    inode_of(pidfd, kind).or_else(|| {
        let found = shown(&pid?.to_string(), kind);
        // The number is the process's as long as that is not dead.
        found.filter(|_| !kernel::is_dead(pidfd))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::procfs;

    #[test]
    fn this_process_is_in_its_own_namespaces_under_its_own_number() {
        let pid = Pid(std::process::id());
        let pidfd = procfs::open(pid.0).unwrap();
        let kinds = [Kind::Mount, Kind::Pid, Kind::PidForChildren, Kind::Time, Kind::User];

        let namespace = Namespace::of(&pidfd, Kind::Pid);

        assert_eq!(kinds.map(own), kinds.map(|kind| inode_in(&pidfd, Some(pid), kind)));
        assert_eq!(kinds.map(own), kinds.map(|kind| shown(&pid.to_string(), kind)));
        let Some(namespace) = namespace else {
            let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
            let mut numbers = release.split(|letter: char| !letter.is_ascii_digit());
            let mut number = || numbers.next().and_then(|number| number.parse::<u32>().ok()).unwrap();
            assert!((number(), number()) < (6, 11), "Linux {release} does not tell a pidfd's namespace");
            return;
        };
        assert_eq!(Here::Is(pid), namespace.here(pid));
        assert_eq!(Here::Gone, namespace.here(Pid(0x3fff_ffff)));
    }
}
