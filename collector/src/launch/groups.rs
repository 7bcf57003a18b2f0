//! Process groups, sessions and the terminal's foreground group, by number.
//!
//! A number is 0 where the group belongs to an outer pid namespace, as that of a container's first process
//! often does. rustix's `Pid` cannot hold that and its calls assert that it does not happen.
//!
//! # Safety
//! Every call here takes and returns numbers; a number that names nothing is an error, not undefined.
#![allow(unsafe_code, reason = "the safe interfaces panic on a group outside of the pid namespace")]

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;

/// The process group of `pid` (0: of this process), or nothing if there is no such process.
pub fn of(pid: i32) -> Option<i32> {
    // SAFETY: see above.
    let group = unsafe { libc::getpgid(pid) };
    (group >= 0).then_some(group)
}

/// This process's session.
pub fn session() -> Option<i32> {
    // SAFETY: see above.
    let session = unsafe { libc::getsid(0) };
    (session >= 0).then_some(session)
}

/// The controlling terminal.
#[derive(Debug)]
pub struct Terminal(File);

impl Terminal {
    /// Opens it, if this process has one.
    pub fn open() -> Option<Self> {
        OpenOptions::new().read(true).write(true).custom_flags(libc::O_NOCTTY).open("/dev/tty").ok().map(Self)
    }

    /// The foreground process group.
    pub fn foreground(&self) -> Option<i32> {
        // SAFETY: see above; the descriptor is open.
        let group = unsafe { libc::tcgetpgrp(self.0.as_raw_fd()) };
        (group >= 0).then_some(group)
    }

    /// Makes `group` the foreground group; true if that worked.
    ///
    /// The caller has SIGTTOU blocked, so that this works from the background as well (tcsetpgrp(3)).
    pub fn give_to(&self, group: i32) -> bool {
        // SAFETY: see above; the descriptor is open.
        group > 0 && unsafe { libc::tcsetpgrp(self.0.as_raw_fd(), group) } == 0
    }
}
