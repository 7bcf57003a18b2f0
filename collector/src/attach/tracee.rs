//! A thread that is seized, and how it comes to a place between two system calls.
//!
//! It is let go when this is dropped, if it stands then. One that does not is let go by the kernel, once the
//! thread of this process that traces it has ended.

use std::cell::Cell;
use std::ffi::c_void;
use std::time::{Duration, Instant};

use super::calls;
use super::machine::{Registers, Waiting};
use super::ptrace::{Stop, errno, request, resume, wait};
use super::target::Target;
use crate::shell::failure::Failure;
use crate::system::yama::{self, Rule};

/// How long one thread may take to come to a place where it can make the call.
pub const PATIENCE: Duration = Duration::from_millis(500);
/// How long a thread may wait inside one system call before it is interrupted.
const NAP: Duration = Duration::from_millis(5);

/// A seized thread, let go when dropped.
pub struct Tracee {
    tid: i32,
    /// A signal that it was about to get, and still is.
    signal: Cell<i32>,
}

impl Tracee {
    /// Seizes a thread; `None` if it has ended.
    pub fn seize(target: &Target, tid: i32) -> Result<Option<Self>, Failure> {
        let options = libc::PTRACE_O_TRACESYSGOOD as usize as *mut c_void;
        if request(libc::PTRACE_SEIZE, tid, 0, options).is_some() {
            return Ok(Some(Self { tid, signal: Cell::new(0) }));
        }
        if errno() == libc::ESRCH {
            return Ok(None);
        }
        let reason = match yama::rule() {
            Some(Rule { what, remedy, .. }) => format!("{what}; {remedy}"),
            None => "the kernel does not let it be traced (ptrace(2): capabilities, a security module, \
                     PR_SET_DUMPABLE); run as root"
                .to_owned(),
        };
        Err(target.refusal(&format!("{reason}, or start it with 'glassbox run'")))
    }

    /// Its number.
    pub fn tid(&self) -> i32 {
        self.tid
    }

    /// Lets the thread run until it is between two system calls; `None` if it ends, or if that takes longer
    /// than [`PATIENCE`].
    pub fn come_between_calls(&self, target: &Target) -> Result<Option<Registers>, Failure> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let mut waiting = Waiting::of(self.tid);
            // If it does not stop in time and is asked again, it waits in the call that it has begun.
            resume(libc::PTRACE_INTERRUPT, self.tid, 0);
            let mut until = deadline;
            while let Some(stop) = wait(self.tid, until) {
                let registers = Registers::at(self.tid, stop, &mut waiting);
                match (stop, registers) {
                    (Stop::Gone, _) | (_, None) => return Ok(None),
                    (Stop::Group, _) => {
                        return Err(target.refusal("it is stopped; continue it (kill -CONT) and try again"));
                    }
                    (Stop::Asked | Stop::Call, Some(registers)) => {
                        let is_safe = || calls::is_safe(target, registers.call(), registers.place());
                        if registers.is_between_calls(stop) && is_safe() {
                            return Ok(Some(registers));
                        }
                    }
                    (Stop::Signal(number), _) => self.signal.set(number),
                }
                if resume(libc::PTRACE_SYSCALL, self.tid, self.signal.take()).is_none() {
                    return Ok(None);
                }
                until = Instant::now() + NAP;
            }
        }
        // It runs; detaching needs it stopped.
        let mut waiting = Waiting::of(self.tid);
        resume(libc::PTRACE_INTERRUPT, self.tid, 0);
        let stop = wait(self.tid, Instant::now() + PATIENCE);
        if let Some(Stop::Signal(number)) = stop {
            self.signal.set(number);
        }
        stop.and_then(|stop| Registers::at(self.tid, stop, &mut waiting));
        Ok(None)
    }
}

impl Drop for Tracee {
    fn drop(&mut self) {
        resume(libc::PTRACE_DETACH, self.tid, self.signal.get());
    }
}
