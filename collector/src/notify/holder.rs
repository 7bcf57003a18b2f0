//! The holder: a tiny process that has nothing to do while the supervisor lives, and answers each call when
//! it is gone, until no process has the filter any more. Without one, every call that is asked about would
//! fail with ENOSYS.
//!
//! A call that the supervisor had received and not answered is answered too: the kernel numbers calls one
//! after the other, and the supervisor notes the last number in a shared page.
//!
//! # Safety
//! The holder is forked, by a process that has no other threads yet (or one that waits for this one), and
//! never execs. The page that both
//! share is mapped for as long as each of them lives, and holds atomics alone.
#![allow(unsafe_code, reason = "fork and shared memory have no safe interface")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::listener::{Listener, Waited};
use crate::launch::descriptors;
use crate::system::child;

/// Calls that the supervisor may have received before the last one that it noted, and after it.
const BEFORE: u64 = 16;
const AFTER: u64 = 64;
/// So often the holder looks whether the supervisor gets on; one that has not in this time is helped.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 250_000_000 };
const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// What the supervisor does, in memory that the holder shares.
#[derive(Clone, Copy, Debug)]
pub struct Page(&'static Words);

#[derive(Debug)]
struct Words {
    /// The number of the call that was received last.
    received: AtomicU64,
    /// The number of the call that was answered last.
    answered: AtomicU64,
    /// Calls that the holder answered unseen, and that are not counted as lost yet.
    unseen: AtomicU64,
}

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
            Ok(Self(&*page.cast::<Words>()))
        }
    }

    /// Notes a call that was received.
    #[inline]
    pub fn note_received(self, id: u64) {
        // Relaxed, here and below: the holder compares with what it saw a moment ago.
        self.0.received.store(id, Ordering::Relaxed);
    }

    /// Notes a call that was answered.
    #[inline]
    pub fn note_answered(self, id: u64) {
        self.0.answered.store(id, Ordering::Relaxed);
    }

    /// The calls that the holder answered since this was asked last.
    #[inline]
    pub fn take_unseen(self) -> u64 {
        match self.0.unseen.load(Ordering::Relaxed) {
            0 => 0,
            _ => self.0.unseen.swap(0, Ordering::Relaxed),
        }
    }

    fn seen(self) -> (u64, u64) {
        (self.0.received.load(Ordering::Relaxed), self.0.answered.load(Ordering::Relaxed))
    }
}

/// A listener that a holder keeps too.
#[derive(Debug)]
pub struct Held {
    /// The descriptor of the filter.
    pub listener: Listener,
    /// Where the supervisor notes what it does.
    pub page: Page,
    /// The holder answers alone once this is gone.
    pub lifeline: Lifeline,
}

/// While this lives, the holder waits.
#[derive(Debug)]
pub struct Lifeline {
    _pipe: OwnedFd,
}

/// Starts the holder of a listener.
pub fn hold(listener: Listener) -> io::Result<Held> {
    let page = Page::new()?;
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
            match libc::fork() {
                0 => live(&listener, &ours, page),
                -1 => libc::_exit(1),
                _ => libc::_exit(0),
            }
        }
    }
    if child::reap(middle) != Some(0) {
        return Err(io::Error::other("no process for the holder"));
    }
    Ok(Held { listener, page, lifeline: Lifeline { _pipe: theirs } })
}

/// The holder's whole life.
fn live(listener: &Listener, lifeline: &OwnedFd, page: Page) -> ! {
    let kept: [RawFd; 2] = [listener.as_fd().as_raw_fd(), lifeline.as_raw_fd()];
    descriptors::keep_only(&kept);
    child::outlive_requests_to_end();
    let _ = rustix::process::setsid();
    child::name_this(c"gbx-holder");
    let mut before = None;
    loop {
        let mut polled = [
            PollFd::new(lifeline, PollFlags::empty()),
            PollFd::from_borrowed_fd(listener.as_fd(), PollFlags::empty()),
        ];
        let _ = poll(&mut polled, Some(&LOOK));
        if !polled[1].revents().is_empty() {
            // No process has the filter.
            quit();
        }
        if !polled[0].revents().is_empty() {
            break;
        }
        // A supervisor that stands still (stopped with its job, or waiting for a file system that itself
        // waits for an answer) is no reason for others to wait.
        let seen = page.seen();
        let waits = listener.has_waiting();
        if waits && before == Some(seen) {
            let mut unseen = release(listener, seen.0);
            while page.seen() == seen && listener.wait(Some(NOW)) == Waited::Call {
                listener.let_next_go_on();
                unseen += 1;
            }
            page.0.unseen.fetch_add(unseen, Ordering::Relaxed);
        }
        before = waits.then_some(seen);
    }
    release(listener, page.seen().0);
    answer(listener);
    quit()
}

/// Answers the calls that the supervisor has received and not answered; how many there were.
fn release(listener: &Listener, last: u64) -> u64 {
    let first = last.wrapping_sub(BEFORE);
    // Most of these numbers are no call that waits.
    let released = (0..BEFORE + AFTER).filter(|step| listener.let_go_on(first.wrapping_add(*step)).is_ok());
    released.count() as u64
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
