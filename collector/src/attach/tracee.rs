//! A thread that is seized, and how it comes to a place between two system calls.
//!
//! It is let go when this is dropped, if it stands then. One that does not is let go by the kernel, once the
//! thread of this process that traces it has ended.

use std::cell::Cell;
use std::ffi::c_void;
use std::fs;
use std::time::{Duration, Instant};

use super::ptrace::{Stop, errno, registers_of, request, resume, set_registers, wait};
use super::target::Target;
use super::{calls, filters};
use crate::shell::failure::Failure;

/// How long one thread may take to come to a place where it can make the call.
pub const PATIENCE: Duration = Duration::from_millis(500);
/// How long a thread may wait inside one system call before it is interrupted.
const NAP: Duration = Duration::from_millis(5);
/// Values of rax while a system call is to be restarted, or has been interrupted for good.
const INTERRUPTED: [i64; 5] = [-512, -513, -514, -516, -(libc::EINTR as i64)];

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
        let scope = fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_default();
        let reason = match scope.trim() {
            "1" => "kernel.yama.ptrace_scope is 1, which lets only a process's ancestors in",
            "2" => "kernel.yama.ptrace_scope is 2, which lets only root in",
            "3" => "kernel.yama.ptrace_scope is 3, which lets nobody in",
            _ => {
                "the kernel does not let it be traced (ptrace(2): capabilities, a security module, PR_SET_DUMPABLE)"
            }
        };
        Err(target.refusal(&format!("{reason}; run as root, or start it with 'glassbox run'")))
    }

    /// Its number.
    pub fn tid(&self) -> i32 {
        self.tid
    }

    /// The registers with which it goes on from this stop.
    ///
    /// The kernel continues some calls by restart_syscall(2). Where a filter of the thread could end it for
    /// that, the call begins anew; so does one that the stop alone ended.
    fn registers(&self, stop: Stop) -> Option<libc::user_regs_struct> {
        let mut registers = registers_of(self.tid)?;
        let answer = registers.rax;
        if calls::is_continued(&registers) && !filters::let_continue(self.tid, registers.rip) {
            calls::begin_anew(&mut registers);
        }
        // From this stop on the kernel looks whether the call is to be restarted; not so from others.
        if stop == Stop::Asked {
            calls::restart(&mut registers);
        }
        if registers.rax != answer {
            set_registers(self.tid, &registers)?;
        }
        Some(registers)
    }

    /// Lets the thread run until it is between two system calls; `None` if it ends, or if that takes longer
    /// than [`PATIENCE`].
    pub fn come_between_calls(&self, target: &Target) -> Result<Option<libc::user_regs_struct>, Failure> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            // If it does not stop in time and is asked again, it waits in the call that it has begun.
            resume(libc::PTRACE_INTERRUPT, self.tid, 0);
            let mut until = deadline;
            while let Some(stop) = wait(self.tid, until) {
                let registers = self.registers(stop);
                match (stop, registers) {
                    (Stop::Gone, _) | (_, None) => return Ok(None),
                    (Stop::Group, _) => {
                        return Err(target.refusal("it is stopped; continue it (kill -CONT) and try again"));
                    }
                    (Stop::Asked, Some(registers)) => {
                        let waits =
                            registers.orig_rax as i64 >= 0 && INTERRUPTED.contains(&(registers.rax as i64));
                        if waits && calls::is_safe(target, &registers) {
                            return Ok(Some(registers));
                        }
                    }
                    // Before the call rax says "no such call", so that this is the end of one.
                    (Stop::Call, Some(registers)) => {
                        let is_over = registers.rax as i64 != -(libc::ENOSYS as i64);
                        if is_over && calls::is_safe(target, &registers) {
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
        resume(libc::PTRACE_INTERRUPT, self.tid, 0);
        let stop = wait(self.tid, Instant::now() + PATIENCE);
        if let Some(Stop::Signal(number)) = stop {
            self.signal.set(number);
        }
        stop.and_then(|stop| self.registers(stop));
        Ok(None)
    }
}

impl Drop for Tracee {
    fn drop(&mut self) {
        resume(libc::PTRACE_DETACH, self.tid, self.signal.get());
    }
}
