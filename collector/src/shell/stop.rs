//! The signals that end `glassbox collect` cleanly: SIGTERM, SIGINT, SIGHUP.
//!
//! # Safety
//! Signal masks and dispositions are changed with sets made here by the functions that are meant to make
//! them, on the main thread before any other thread exists.
#![allow(unsafe_code, reason = "signal masks have no safe interface")]

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::shell::failure::Failure;
use crate::shell::inherited::{is_ignored, set_ignored};

const ENDING: [libc::c_int; 3] = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP];

/// A descriptor that becomes readable once a signal asks the collector to end.
#[derive(Debug)]
pub struct StopSignals {
    signals: OwnedFd,
}

impl StopSignals {
    /// Blocks the ending signals for this and all later threads; call before any thread is made.
    ///
    /// Signals that the caller ignores (SIGHUP under nohup, SIGINT in a script's background job) stay
    /// ignored. SIGXFSZ is ignored as well: a full file is an error of one output, not the end of the
    /// collector.
    pub fn watch() -> Result<Self, Failure> {
        set_ignored(libc::SIGXFSZ, true);
        let set = set_of(ENDING.into_iter().filter(|signal| !is_ignored(*signal)));
        // SAFETY: `set` is initialised; a null old set is allowed.
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) };
        // SAFETY: `set` is initialised; -1 asks for a fresh descriptor.
        let descriptor = unsafe { libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if descriptor < 0 {
            let error = std::io::Error::last_os_error();
            return Err(Failure::internal(format!(
                "cannot watch for signals: {error}; raise the limit of open files"
            )));
        }
        // SAFETY: the kernel just made this descriptor, and nothing else owns it.
        let signals = unsafe { OwnedFd::from_raw_fd(descriptor) };
        Ok(Self { signals })
    }

    /// True once a signal came; from then on a second one ends the process at once.
    pub fn was_asked(&mut self) -> bool {
        let mut received = MaybeUninit::<libc::signalfd_siginfo>::uninit();
        let size = size_of::<libc::signalfd_siginfo>();
        // SAFETY: `received` has room for `size` bytes.
        let length = unsafe { libc::read(self.signals.as_raw_fd(), received.as_mut_ptr().cast(), size) };
        if length != size.cast_signed() {
            return false;
        }
        let set = set_of(ENDING.into_iter());
        // SAFETY: `set` is initialised; a null old set is allowed. The default action needs one thread that
        // takes them.
        unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, &set, std::ptr::null_mut()) };
        true
    }
}

impl AsFd for StopSignals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.signals.as_fd()
    }
}

fn set_of(signals: impl Iterator<Item = libc::c_int>) -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the set it is given.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: initialised by the line above.
    let mut set = unsafe { set.assume_init() };
    for signal in signals {
        // SAFETY: `set` is initialised, and a number that is no signal is an error, not undefined.
        unsafe { libc::sigaddset(&mut set, signal) };
    }
    set
}
