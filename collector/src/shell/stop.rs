//! The signals that a command takes which runs on and on: SIGTERM and SIGINT end it cleanly; SIGHUP too, or
//! reloads; SIGUSR1 shows what happened so far.
//!
//! # Safety
//! Signal masks and dispositions are changed with sets made here by the functions that are meant to make
//! them, on the main thread before any other thread exists.
#![allow(unsafe_code, reason = "signal masks have no safe interface")]

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::shell::failure::Failure;
use crate::shell::inherited::{is_ignored, set_ignored};

const ENDING: [libc::c_int; 2] = [libc::SIGTERM, libc::SIGINT];

/// The signals that a command takes beside those that end it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside {
    /// SIGHUP ends it, too.
    None,
    /// SIGHUP reloads, SIGUSR1 shows what happened so far.
    ReloadAndPage,
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// To write everything and end.
    End,
    /// To open the outputs anew, and to read rules and configuration again.
    Reload,
    /// To show what happened so far.
    Page,
}

/// A descriptor that becomes readable once a signal asks for something.
#[derive(Debug)]
pub struct StopSignals {
    signals: OwnedFd,
    beside: Beside,
}

impl StopSignals {
    /// Blocks the signals for this and all later threads; call before any thread is made.
    ///
    /// Those that the caller ignores (SIGHUP under nohup, SIGINT in a script's background job) stay ignored.
    /// SIGXFSZ is ignored as well: a full file is an error of one output, not the end of the collector.
    pub fn watch(beside: Beside) -> Result<Self, Failure> {
        set_ignored(libc::SIGXFSZ, true);
        let beside_those = match beside {
            Beside::None => &[libc::SIGHUP][..],
            Beside::ReloadAndPage => &[libc::SIGHUP, libc::SIGUSR1],
        };
        let all = ENDING.iter().chain(beside_those).copied();
        let set = set_of(all.filter(|signal| !is_ignored(*signal)));
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
        Ok(Self { signals, beside })
    }

    /// The number of the next signal that came, which asks for nothing here.
    pub fn take(&self) -> Option<libc::c_int> {
        let mut received = [0; size_of::<libc::signalfd_siginfo>()];
        if rustix::io::read(&self.signals, &mut received) != Ok(received.len()) {
            return None;
        }
        // The first field is the signal's number (signalfd(2)).
        let [a, b, c, d, ..] = received;
        Some(i32::from_ne_bytes([a, b, c, d]))
    }

    /// What the next signal that came asks for. Once one asked for the end, another such ends the process at
    /// once.
    pub fn next(&mut self) -> Option<Asked> {
        match self.take()? {
            libc::SIGHUP if self.beside == Beside::ReloadAndPage => return Some(Asked::Reload),
            libc::SIGUSR1 => return Some(Asked::Page),
            _ => {}
        }
        let hangup = (self.beside == Beside::None).then_some(libc::SIGHUP);
        let set = set_of(ENDING.into_iter().chain(hangup));
        // SAFETY: `set` is initialised; a null old set is allowed. The default action needs one thread that
        // takes them.
        unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, &set, std::ptr::null_mut()) };
        Some(Asked::End)
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
