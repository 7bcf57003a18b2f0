//! x86_64. The kernel shows the number of the system call beside the registers (`orig_rax`), and in rax what
//! is to be done about it; both can be set.

use crate::attach::ptrace::{Stop, general_of, set_general};
use crate::attach::{calls, filters};

/// `syscall`, by which 64-bit programs make system calls.
pub const CALL: [u8; 2] = [0x0f, 0x05];
/// NT_X86_XSTATE, NT_PRFPREG: the kinds of other registers, the fullest first.
pub const OTHERS: [usize; 2] = [0x202, 2];

/// The kernel continues the call by restart_syscall(2).
const ERESTART_RESTARTBLOCK: i64 = -516;
/// The kernel restarts the call if no signal's handler runs first; then the call returns EINTR.
const ERESTARTNOHAND: i64 = -514;
/// Values of rax while a system call is to be restarted, or has been interrupted for good.
const INTERRUPTED: [i64; 5] = [-512, -513, ERESTARTNOHAND, ERESTART_RESTARTBLOCK, -(libc::EINTR as i64)];
const DIRECTION_AND_TRAP: u64 = 0x500;

/// What is to be known of a thread before it is stopped: nothing.
pub struct Waiting;

impl Waiting {
    /// That of a thread which is about to be stopped.
    pub fn of(_tid: i32) -> Self {
        Self
    }
}

/// The registers of a stopped thread.
#[derive(Clone, Copy)]
pub struct Registers(libc::user_regs_struct);

impl Registers {
    /// Those of a stopped thread.
    pub fn of(tid: i32) -> Option<Self> {
        general_of(tid).map(Self)
    }

    /// Those with which a thread goes on from this stop.
    ///
    /// The kernel continues some calls by restart_syscall(2). Where a filter of the thread could end it for
    /// that, the call begins anew; so does one that the stop alone ended.
    pub fn at(tid: i32, stop: Stop, _waiting: &mut Waiting) -> Option<Self> {
        let mut registers = Self::of(tid)?;
        let answer = registers.0.rax;
        let is_continued =
            registers.0.orig_rax as i64 >= 0 && registers.0.rax as i64 == ERESTART_RESTARTBLOCK;
        if is_continued && !filters::let_continue(tid, registers.0.rip) {
            registers.begin_anew();
        }
        // From this stop on the kernel looks whether the call is to be restarted; not so from others.
        if stop == Stop::Asked {
            registers.restart();
        }
        if registers.0.rax != answer {
            registers.put(tid)?;
        }
        Some(registers)
    }

    /// Whether a thread with these at this stop is between two system calls.
    pub fn is_between_calls(&self, stop: Stop) -> bool {
        match stop {
            Stop::Asked => self.call() >= 0 && INTERRUPTED.contains(&(self.0.rax as i64)),
            // Before the call rax says "no such call", so that this is the end of one.
            Stop::Call => self.0.rax as i64 != -i64::from(libc::ENOSYS),
            _ => false,
        }
    }

    /// Has the kernel begin the call anew, with its whole time limit.
    fn begin_anew(&mut self) {
        self.0.rax = ERESTARTNOHAND.cast_unsigned();
    }

    /// Has the kernel restart the call that a stop ended, once the thread goes on with these.
    pub fn restart(&mut self) {
        let is_ended = self.0.rax as i64 == -i64::from(libc::EINTR);
        if is_ended && calls::is_ended_by_stops(self.call()) {
            self.begin_anew();
        }
    }

    /// Whether the thread stands where it has begun a call, and has not made it: never.
    pub fn is_at_beginning(&self) -> bool {
        false
    }

    /// Adds what could not be read where the thread stood: nothing.
    pub fn complete(&mut self, _tid: i32) -> Option<()> {
        Some(())
    }

    /// The number of the system call; -1 in none.
    pub fn call(&self) -> i64 {
        self.0.orig_rax as i64
    }

    /// The address behind the instruction that made it.
    pub fn place(&self) -> u64 {
        self.0.rip
    }

    /// The stack's lower end.
    pub fn stack(&self) -> u64 {
        self.0.rsp
    }

    /// What a function, or a system call, returned.
    pub fn answer(&self) -> u64 {
        self.0.rax
    }

    /// Whether the thread went to address 0, where functions return to that are called by an attach.
    pub fn is_at_zero(&self) -> bool {
        self.0.rip == 0
    }

    /// Has the thread go on with these.
    pub fn put(&self, tid: i32) -> Option<()> {
        set_general(tid, &self.0)
    }

    /// Has the thread go on as it was found. It is where a call has just begun if `is_at_beginning`.
    pub fn put_back(&self, tid: i32, _is_at_beginning: bool) -> Option<()> {
        self.put(tid)
    }

    /// These, about to make a system call.
    pub fn with_call(&self, number: i64, arguments: [u64; 6]) -> Self {
        let mut it = self.0;
        it.rip -= CALL.len() as u64;
        it.rax = number.cast_unsigned();
        [it.rdi, it.rsi, it.rdx, it.r10, it.r8, it.r9] = arguments;
        Self(it).without_restart()
    }

    /// Has the call, which has begun, be that of these.
    pub fn put_begun(&self, _tid: i32) -> Option<()> {
        Some(())
    }

    /// These, about to run `function(first, second)`, and what lies at the end of the stack then: the address
    /// 0, which it returns to.
    pub fn with_function(&self, function: u64, stack: u64, [first, second]: [u64; 2]) -> (Self, Option<u64>) {
        let mut it = self.0;
        // The return address lies at 8 below a multiple of 16 at a function's entry.
        let stack = (stack & !15) - 8;
        (it.rip, it.rsp, it.rdi, it.rsi, it.rax) = (function, stack, first, second, 0);
        (Self(it).without_restart(), Some(stack))
    }

    /// The kernel must not restart the system call now, but at the end, when the registers are put back.
    fn without_restart(mut self) -> Self {
        self.0.orig_rax = u64::MAX;
        self.0.eflags &= !DIRECTION_AND_TRAP;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_a_stop_ended_is_restarted_and_no_other() {
        let after = |call: i64, answer: i64| {
            let mut registers = Registers(crate::attach::ptrace::no_registers());
            (registers.0.orig_rax, registers.0.rax) = (call as u64, answer as u64);
            registers.restart();
            registers.0.rax as i64
        };
        let ended = -i64::from(libc::EINTR);
        assert_eq!(ERESTARTNOHAND, after(libc::SYS_recvfrom, ended));
        assert_eq!(ERESTARTNOHAND, after(libc::SYS_connect, ended));
        assert_eq!(ERESTARTNOHAND, after(libc::SYS_epoll_wait, ended));
        assert_eq!(ended, after(libc::SYS_nanosleep, ended));
        assert_eq!(3, after(libc::SYS_recvfrom, 3));
    }
}
