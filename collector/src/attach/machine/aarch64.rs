//! aarch64. At a stop that was asked for, the kernel has set the registers already for a call that is to be
//! restarted: pc at its instruction, x0 as it was. Whether it goes on by restart_syscall(2) shows where the
//! call begins again; so a thread is taken there, at the beginning of a call. What is made there is decided
//! by the number that `NT_ARM_SYSTEM_CALL` has, whatever x8 says.
//!
//! At the beginning and the end of a call x7 says which of them it is, and what is put there is lost: the
//! thread keeps its own (`report_syscall` in Linux's arch/arm64/kernel/ptrace.c). Elsewhere it is as it is.

use std::fs;
use std::time::{Duration, Instant};

use crate::attach::ptrace::{Stop, general_of, register_set, resume, set_general, set_register_set, wait};
use crate::attach::{calls, filters};
use crate::notify::memory::{Memory, ProcessMemory};
use crate::system::procfs;

/// `svc #0`.
pub const CALL: [u8; 4] = [0x01, 0x00, 0x00, 0xd4];
/// NT_PRFPREG. What SVE and SME have besides is lost by each system call (Documentation/arch/arm64/sve.rst).
pub const OTHERS: [usize; 1] = [2];

const NT_ARM_SYSTEM_CALL: usize = 0x404;
/// What x7 says at the beginning of a call.
const BEGINS: u64 = 0;
/// The bits of pstate that say by what kind of branch an instruction was reached, and that each one traps.
const BRANCH_AND_STEP: u64 = 0xc00 | 1 << 21;
/// No call is restarted from this number.
const NO_CALL: i64 = -1;
/// How long a thread takes from the end of a call to the program.
const RETURNING: Duration = Duration::from_secs(10);

/// What is to be known of a thread before it is stopped: the kernel forgets the first argument of a call that
/// a stop ended.
pub struct Waiting {
    /// The call's number, its arguments, the stack, and the address behind its instruction.
    call: Option<(i64, [u64; 6], u64, u64)>,
    /// How often the thread had waited.
    waits: Option<u64>,
    /// The call that it was about to make when it was stopped.
    restarted: Option<i64>,
}

impl Waiting {
    /// That of a thread which is about to be stopped.
    pub fn of(tid: i32) -> Self {
        let waits = waits(tid);
        let call = fs::read_to_string(format!("/proc/{tid}/syscall")).ok().and_then(|text| read(&text));
        // It was woken between the two if it has waited again.
        let call = call.filter(|_| self::waits(tid) == waits);
        Self { call, waits, restarted: None }
    }

    /// The first argument of the call that a thread was in, which has these registers now.
    fn first_argument(&self, tid: i32, now: &libc::user_regs_struct) -> Option<u64> {
        let (number, [first, others @ ..], stack, place) = self.call?;
        // Once more, for this stop.
        let is_same = waits(tid)? == self.waits? + 1
            && now.regs.get(1..6)? == others
            && (now.regs[8] as i64, now.sp, now.pc) == (number, stack, place);
        is_same.then_some(first)
    }
}

fn waits(tid: i32) -> Option<u64> {
    procfs::status(tid.cast_unsigned(), "voluntary_ctxt_switches")?.trim().parse().ok()
}

/// `/proc/PID/syscall` of a thread that waits in a call (proc_pid_syscall(5)).
fn read(text: &str) -> Option<(i64, [u64; 6], u64, u64)> {
    let mut words = text.split_ascii_whitespace();
    let number = words.next()?.parse().ok()?;
    let mut next = || u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok();
    Some((number, [next()?, next()?, next()?, next()?, next()?, next()?], next()?, next()?))
}

/// The registers of a stopped thread.
#[derive(Clone, Copy)]
pub struct Registers {
    general: libc::user_regs_struct,
    /// The system call that it is at the beginning or the end of.
    call: i64,
    /// x7 is what the program has there.
    is_complete: bool,
}

impl Registers {
    /// Those of a stopped thread.
    pub fn of(tid: i32) -> Option<Self> {
        let call = register_set(tid, NT_ARM_SYSTEM_CALL)?;
        let call = i32::from_ne_bytes(call.get(..4)?.try_into().ok()?);
        Some(Self { general: general_of(tid)?, call: call.into(), is_complete: false })
    }

    /// Those with which a thread goes on from this stop.
    ///
    /// The kernel continues some calls by restart_syscall(2). Where a filter of the thread could end it for
    /// that, the call begins anew; so does one that the stop alone ended.
    pub fn at(tid: i32, stop: Stop, waiting: &mut Waiting) -> Option<Self> {
        let mut registers = Self::of(tid)?;
        let it = &mut registers.general;
        if stop == Stop::Asked {
            let mut memory = ProcessMemory { pid: tid.cast_unsigned() };
            let mut is_call = |address: u64| {
                let mut found = [0; CALL.len()];
                memory.read(address, &mut found) == CALL.len() && found == CALL
            };
            let behind = it.pc.wrapping_sub(CALL.len() as u64);
            let is_ended = it.regs[0] as i64 == -i64::from(libc::EINTR)
                && calls::is_ended_by_stops(it.regs[8] as i64)
                && is_call(behind);
            if let Some(first) = is_ended.then(|| waiting.first_argument(tid, it)).flatten() {
                (it.regs[0], it.pc) = (first, behind);
                set_general(tid, it)?;
            }
            waiting.restarted = is_call(it.pc).then_some(it.regs[8] as i64);
        }
        if stop == Stop::Call
            && registers.is_at_beginning()
            && registers.call == libc::SYS_restart_syscall
            && let Some(number) = waiting.restarted
            && !filters::let_continue(tid, registers.general.pc)
        {
            registers.call = number;
            registers.put_begun(tid)?;
        }
        Some(registers)
    }

    /// Whether a thread with these at this stop is between two system calls.
    pub fn is_between_calls(&self, stop: Stop) -> bool {
        stop == Stop::Call && self.is_at_beginning()
    }

    /// Has the kernel restart the call that a stop ended: that is done already.
    pub fn restart(&mut self) {}

    /// Whether the thread stands where it has begun a call, and has not made it. Known where it is at the
    /// beginning or the end of one.
    pub fn is_at_beginning(&self) -> bool {
        self.general.regs[7] == BEGINS
    }

    /// Adds what could not be read where the thread stood: x7. The thread is at the end of a call.
    pub fn complete(&mut self, tid: i32) -> Option<()> {
        if self.is_complete {
            return Some(());
        }
        resume(libc::PTRACE_INTERRUPT, tid, 0);
        let (deadline, mut delivered) = (Instant::now() + RETURNING, 0);
        loop {
            resume(libc::PTRACE_CONT, tid, delivered)?;
            delivered = 0;
            match wait(tid, deadline)? {
                Stop::Asked => break,
                Stop::Signal(signal) => delivered = signal,
                Stop::Group | Stop::Call => {}
                Stop::Gone => return None,
            }
        }
        self.general.regs[7] = general_of(tid)?.regs[7];
        self.is_complete = true;
        Some(())
    }

    /// The number of the system call; -1 in none.
    pub fn call(&self) -> i64 {
        self.call
    }

    /// The address behind the instruction that made it.
    pub fn place(&self) -> u64 {
        self.general.pc
    }

    /// The stack's lower end.
    pub fn stack(&self) -> u64 {
        self.general.sp
    }

    /// What a function, or a system call, returned.
    pub fn answer(&self) -> u64 {
        self.general.regs[0]
    }

    /// Whether the thread went to address 0, where functions return to that are called by an attach.
    pub fn is_at_zero(&self) -> bool {
        self.general.pc == 0
    }

    /// Has the thread go on with these.
    pub fn put(&self, tid: i32) -> Option<()> {
        set_general(tid, &self.general)
    }

    /// Has the thread go on as it was found. It is where a call has just begun if `is_at_beginning`.
    pub fn put_back(&self, tid: i32, is_at_beginning: bool) -> Option<()> {
        if is_at_beginning {
            return self.put_begun(tid);
        }
        // The call that it had begun is made now; the kernel is to restart none besides.
        let mut it = self.general;
        it.pc -= CALL.len() as u64;
        it.regs[8] = self.call.cast_unsigned();
        if !self.is_complete {
            // It has made system calls alone, which leave it.
            it.regs[7] = general_of(tid)?.regs[7];
        }
        set_general(tid, &it)?;
        set_register_set(tid, NT_ARM_SYSTEM_CALL, &mut (NO_CALL as i32).to_ne_bytes())
    }

    /// These, about to make a system call.
    pub fn with_call(&self, number: i64, arguments: [u64; 6]) -> Self {
        let mut it = self.general;
        it.pc -= CALL.len() as u64;
        it.regs[8] = number.cast_unsigned();
        it.regs[..6].copy_from_slice(&arguments);
        it.pstate &= !BRANCH_AND_STEP;
        Self { general: it, call: number, ..*self }
    }

    /// Has the call, which has begun, be that of these.
    pub fn put_begun(&self, tid: i32) -> Option<()> {
        let now = general_of(tid)?;
        set_general(tid, &libc::user_regs_struct { pc: now.pc, ..self.general })?;
        set_register_set(tid, NT_ARM_SYSTEM_CALL, &mut (self.call as i32).to_ne_bytes())
    }

    /// These, about to run `function(first, second)`, which returns to the address 0. Nothing lies on the
    /// stack for it.
    pub fn with_function(&self, function: u64, stack: u64, [first, second]: [u64; 2]) -> (Self, Option<u64>) {
        let mut it = self.general;
        (it.pc, it.sp, it.regs[0], it.regs[1]) = (function, stack & !15, first, second);
        // The frame's record, which unwinders follow, and the address to return to.
        (it.regs[29], it.regs[30]) = (0, 0);
        it.pstate &= !BRANCH_AND_STEP;
        (Self { general: it, ..*self }, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waiting_call_is_read_from_proc() {
        let text = "22 0x4 0xffffd0 0x1 0xffffffffffffffff 0x0 0x8 0xfffff0 0x4012a0\n";
        let expected = (22, [4, 0xff_ffd0, 1, u64::MAX, 0, 8], 0xff_fff0, 0x40_12a0);

        assert_eq!(Some(expected), read(text));
        assert_eq!(None, read("running\n"));
        assert_eq!(None, read("-1 0xfffff0 0x4012a0\n"));
    }
}
