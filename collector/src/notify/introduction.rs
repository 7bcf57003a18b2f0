//! What a supervisor tells the collector of a process before its first record.

use std::os::fd::OwnedFd;

use super::modules::Trusted;
use crate::arrival::Seen;
use crate::door::identity;
use crate::enrich::blind::ASKED_ABOUT;
use crate::ids::Pid;
use crate::system::files::On;
use crate::system::namespaces::{self, Kind};
use crate::system::program::{NO_SENSOR, Program, Root};
use crate::system::{kernel, procfs};

/// What the collector is told of a process, once.
pub struct Introduction {
    /// What the kernel says here.
    pub seen: Seen,
    /// The process.
    pub pidfd: Option<OwnedFd>,
}

impl Introduction {
    /// Of a process with hooks that waits, by which the collector knows a child of the same number that it
    /// comes to when that has ended.
    pub fn of_hooked(process: u32) -> Self {
        let stat = procfs::stat(process);
        let uids = procfs::uids(process);
        let seen = Seen {
            ppid: stat.map(|stat| Pid(stat.ppid)),
            uid: uids.map(|(real, _)| real),
            is_hooked: true,
            ..Seen::default()
        };
        Self { seen, pidfd: None }
    }

    /// Of a process that waits; of its program's file too, where the collector may not see that.
    pub fn of(process: u32, is_remote: bool, trusted: &Trusted) -> Self {
        let pidfd = procfs::open(process);
        let facts = pidfd.as_ref().and_then(kernel::facts);
        let ppid = facts.map(|facts| facts.ppid).or_else(|| Some(procfs::stat(process)?.ppid));
        let uids = facts.map(|facts| (facts.uids.real, facts.uids.effective));
        // Before Linux 6.13. It stands still, so its numbers are its own.
        let uids = uids.or_else(|| procfs::uids(process));
        let program = || {
            let image = format!("/proc/{process}/exe");
            let reason =
                Program::on(image.as_ref(), &Root::own(), On::Local).map(|program| program.reason.name);
            let is_known = reason.is_some_and(|reason| ASKED_ABOUT.contains(&reason));
            if !is_known && trusted.is_all_told_of(process) { Some(NO_SENSOR.name) } else { reason }
        };
        let inode = |kind| namespaces::inode_in(pidfd.as_ref()?, Some(Pid(process)), kind);
        let seen = Seen {
            ppid: ppid.map(Pid),
            uid: uids.map(|(real, _)| real),
            euid: uids.map(|(_, effective)| effective),
            instance: pidfd.as_ref().and_then(|pidfd| identity::instance_of(pidfd, Pid(process))),
            user_ns: inode(Kind::User),
            mnt_ns: inode(Kind::Mount),
            is_first: false,
            is_hooked: false,
            reason: if is_remote { program() } else { None },
            exe: procfs::exe(process).unwrap_or_default(),
        };
        Self { seen, pidfd }
    }
}
