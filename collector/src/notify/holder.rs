//! The holder: a tiny process that has nothing to do while the supervisor lives, and answers each call when
//! it is gone, until no process has the filter any more. Without one, every call that is asked about would
//! fail with ENOSYS.
//!
//! A call that the supervisor had received and not answered is answered too: the kernel numbers calls one
//! after the other, and the supervisor notes the last number in a shared page.
//!
//! # Safety
//! The holder is forked and never execs. It makes system calls and reads one shared word; it allocates
//! nothing, since the process that it was forked from may have other threads. The page is mapped for as
//! long as the process lives.
#![allow(unsafe_code, reason = "fork and shared memory have no safe interface")]

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::event::{PollFd, PollFlags, poll};

use super::listener::{Listener, Waited};
use crate::launch::descriptors;

/// Calls that the supervisor may have received before the last one that it noted, and after it.
const BEFORE: u64 = 16;
const AFTER: u64 = 64;

/// The shared word: the number of the call that was received last.
#[derive(Clone, Copy, Debug)]
pub struct Page(&'static AtomicU64);

impl Page {
    /// A page that children of this process share.
    pub fn new() -> io::Result<Self> {
        // SAFETY: a new anonymous mapping of one page, never unmapped: zeroes, aligned, and valid for ever.
        unsafe {
            let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
            let page =
                libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
            if page == libc::MAP_FAILED {
                return Err(io::Error::last_os_error());
            }
            Ok(Self(&*page.cast::<AtomicU64>()))
        }
    }

    /// Notes a call that was received.
    #[inline]
    pub fn note(self, id: u64) {
        // Relaxed: read after the death of this process, which the kernel orders.
        self.0.store(id, Ordering::Relaxed);
    }
}

/// While this lives, the holder waits.
#[derive(Debug)]
pub struct Lifeline {
    _pipe: OwnedFd,
}

/// Starts the holder of a listener.
pub fn start(listener: &Listener, page: Page) -> io::Result<Lifeline> {
    let (ours, theirs) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    // SAFETY: as the module says.
    let middle = unsafe { libc::fork() };
    if middle < 0 {
        return Err(io::Error::last_os_error());
    }
    if middle == 0 {
        // A grandchild: nobody waits for it here, and the launcher's children are CMD and the collector.
        // SAFETY: as the module says.
        unsafe {
            if libc::fork() == 0 {
                hold(listener, &ours, page);
            }
            libc::_exit(0);
        }
    }
    let mut status = 0;
    // SAFETY: `status` is writable.
    while unsafe { libc::waitpid(middle, &mut status, 0) } < 0 && is_interrupted() {}
    Ok(Lifeline { _pipe: theirs })
}

fn is_interrupted() -> bool {
    io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
}

/// The holder's whole life.
fn hold(listener: &Listener, lifeline: &OwnedFd, page: Page) -> ! {
    let kept: [RawFd; 2] = [rustix::fd::AsFd::as_fd(listener).as_raw_fd(), lifeline.as_raw_fd()];
    descriptors::keep_only(&kept);
    let _ = rustix::process::setsid();
    loop {
        let mut polled = [
            PollFd::new(lifeline, PollFlags::empty()),
            PollFd::from_borrowed_fd(rustix::fd::AsFd::as_fd(listener), PollFlags::empty()),
        ];
        let _ = poll(&mut polled, None);
        if !polled[1].revents().is_empty() {
            // No process has the filter.
            quit();
        }
        if !polled[0].revents().is_empty() {
            break;
        }
    }
    let last = page.0.load(Ordering::Relaxed);
    for step in 0..BEFORE + AFTER {
        // Most of these numbers are no call that waits.
        let _ = listener.let_go_on(last.wrapping_sub(BEFORE).wrapping_add(step));
    }
    answer(listener);
    quit()
}

/// Lets every call go on until no process has the filter.
pub fn answer(listener: &Listener) {
    loop {
        match listener.wait(None) {
            Waited::Over => return,
            Waited::Nothing => {}
            Waited::Call => listener.let_next_go_on(),
        }
    }
}

fn quit() -> ! {
    // SAFETY: as the module says.
    unsafe { libc::_exit(0) }
}
