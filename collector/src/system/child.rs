//! Children of this process that are known by their number: waited for, and ended; and a process's own name.
//!
//! # Safety
//! waitpid, waitid and kill take numbers, and write to a word and a structure that live here. The number of a
//! child is the child's until it is reaped.
#![allow(
    unsafe_code,
    reason = "wait and kill by number have no safe interface for children that std did not make"
)]

use std::ffi::CStr;
use std::io;

/// Waits for a child to end and reaps it; its wait status, or `None` where it is no child.
pub fn reap(pid: i32) -> Option<i32> {
    let mut status = 0;
    loop {
        // SAFETY: as the module says.
        if unsafe { libc::waitpid(pid, &mut status, 0) } == pid {
            return Some(status);
        }
        if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return None;
        }
    }
}

/// Has this process outlive the signals that ask processes to end, as a service manager sends to all: others
/// need it until they end themselves. Its children do so too.
pub fn outlive_requests_to_end() {
    for signal in [libc::SIGTERM, libc::SIGHUP, libc::SIGINT] {
        // SAFETY: no handler is set.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

/// Kills a child and reaps it.
pub fn end(pid: i32) {
    // SAFETY: as the module says.
    unsafe { libc::kill(pid, libc::SIGKILL) };
    reap(pid);
}

/// Whether a child has ended; leaves it to be reaped.
pub fn is_dead(pid: i32) -> bool {
    // SAFETY: made of integers only.
    let mut about: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: as the module says.
    let result = unsafe { libc::waitid(libc::P_PID, pid.cast_unsigned(), &mut about, flags) };
    // SAFETY: for waitid the kernel fills the `_sigchld` member, or leaves the zero that stands there.
    result != 0 || unsafe { about.si_pid() } != 0
}

/// Names this process, as ps(1) shows it: at most 15 bytes.
pub fn name_this(name: &CStr) {
    // SAFETY: PR_SET_NAME reads a C string of at most 16 bytes (prctl(2)).
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
}
