//! A child under a filter, and the filter's listener in its parent.
//!
//! The child installs the filter while it shares its parent's table of descriptors, so that the listener is
//! its parent's too. Any other way to pass a descriptor is closed somewhere: a message is itself a call
//! that the filter asks about, and Docker's default profile refuses pidfd_getfd(2).
//!
//! # Safety
//! The child is made by clone(2) with a copy of memory, as fork(2) makes it, by a process without other
//! threads. It makes system calls until it no longer shares the table, and closes nothing until then.
#![allow(unsafe_code, reason = "clone has no safe interface")]

use std::io::{self, PipeReader, Read};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::listener::{self, Listener};
use crate::system::child;

/// A step that the host did not let happen, and what to do about it.
pub type Refused = String;

/// A child under a filter.
#[derive(Debug)]
pub struct Born {
    /// Its pid.
    pub pid: i32,
    /// Its calls that are asked about.
    pub listener: Listener,
}

/// So often it is looked whether the child is still there.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// Makes a child under the filter `program`, which does `body`.
pub fn fork(
    program: &[libc::sock_filter],
    body: impl FnOnce() -> std::convert::Infallible,
) -> Result<Born, Refused> {
    let no_pipe = |error: io::Error| format!("no pipe ({error})");
    let (mut told_rx, told_tx) = io::pipe().map_err(no_pipe)?;
    // SAFETY: as the module says.
    let pid = unsafe { libc::syscall(libc::SYS_clone, libc::CLONE_FILES | libc::SIGCHLD, 0, 0, 0, 0) } as i32;
    if pid < 0 {
        return Err(format!("cannot start a process ({})", io::Error::last_os_error()));
    }
    if pid == 0 {
        let tell = |word: i32| {
            // SAFETY: four bytes that live here.
            unsafe { libc::write(told_tx.as_raw_fd(), (&raw const word).cast(), 4) };
        };
        match listener::install(program) {
            Ok(listener) => {
                tell(listener);
                let errno = leave_table();
                tell(-errno);
                if errno == 0 {
                    // A copy that waits in its own exec would keep the listener when all others are gone.
                    // SAFETY: its own, and used no more.
                    unsafe { libc::close(listener) };
                    body();
                }
            }
            Err(errno) => tell(-errno),
        }
        // SAFETY: ends the child without running the parent's exit handlers.
        unsafe { libc::_exit(127) };
    }
    receive(&mut told_rx, pid).inspect_err(|_| child::end(pid))
}

/// Gives the child a table of descriptors of its own; the error, or 0.
fn leave_table() -> i32 {
    // Closes no descriptor that there can be. Docker's default profile allows this, and refuses unshare(2).
    let flags = libc::CLOSE_RANGE_UNSHARE;
    // SAFETY: numbers only.
    if unsafe { libc::syscall(libc::SYS_close_range, u32::MAX, u32::MAX, flags) } == 0 {
        return 0;
    }
    // Before Linux 5.9. The parent answers, should it be asked about.
    // SAFETY: numbers only.
    if unsafe { libc::unshare(libc::CLONE_FILES) } == 0 { 0 } else { listener::errno() }
}

/// What the child tells its parent: the listener's number, then that it has a table of its own.
fn receive(told_rx: &mut PipeReader, pid: i32) -> Result<Born, Refused> {
    let number: RawFd = match word(told_rx, None, pid)? {
        number @ 0.. => number,
        errno => return Err(reason(-errno)),
    };
    // SAFETY: the kernel made it for this table, and nothing else here owns it; the child's word is
    // trusted, since it is this program.
    let listener = Listener::from(unsafe { OwnedFd::from_raw_fd(number) });
    match word(told_rx, Some(&listener), pid)? {
        0 => Ok(Born { pid, listener }),
        errno => Err(format!(
            "a process cannot leave its parent's table of descriptors ({}); allow close_range(2) or unshare(2)",
            io::Error::from_raw_os_error(-errno)
        )),
    }
}

/// The next word of the child, whose calls go on meanwhile.
fn word(told_rx: &mut PipeReader, listener: Option<&Listener>, pid: i32) -> Result<i32, Refused> {
    loop {
        let mut polled = vec![PollFd::new(told_rx, PollFlags::IN)];
        polled.extend(listener.map(|listener| PollFd::from_borrowed_fd(listener.as_fd(), PollFlags::IN)));
        let _ = poll(&mut polled, Some(&LOOK));
        let is_ready = |at: usize| polled.get(at).is_some_and(|fd| fd.revents().contains(PollFlags::IN));
        let (is_told, is_asked) = (is_ready(0), is_ready(1));
        if is_told {
            let mut word = [0; 4];
            told_rx.read_exact(&mut word).map_err(|error| format!("no word of a child ({error})"))?;
            return Ok(i32::from_ne_bytes(word));
        }
        if let Some(listener) = listener.filter(|_| is_asked) {
            listener.let_next_go_on();
        } else if child::is_dead(pid) {
            return Err("the process that installs the filter was killed".to_owned());
        }
    }
}

/// Why a filter was not installed.
fn reason(errno: i32) -> Refused {
    match errno {
        libc::EBUSY => {
            "another program is asked about the system calls here already (a seccomp listener is in place)"
                .to_owned()
        }
        libc::EINVAL | libc::ENOSYS => {
            "this kernel has no user notification of system calls; Linux 5.5 and later have".to_owned()
        }
        libc::EPERM | libc::EACCES => {
            "the seccomp profile here forbids seccomp filters; allow seccomp(2) and prctl(2)".to_owned()
        }
        errno => format!("the filter cannot be installed ({})", io::Error::from_raw_os_error(errno)),
    }
}
