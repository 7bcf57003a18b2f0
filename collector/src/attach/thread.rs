//! Stops one thread of another process between two system calls and makes it call a function, or make system
//! calls (ptrace(2), x86_64).
//!
//! The thread is seized, not attached to, so that it gets no SIGSTOP. It is stopped where it waits in a
//! system call, or when one ends: there it is in no allocator and no loader, whose locks it could hold
//! otherwise and wait for for ever. The call that it waits in continues afterwards: the kernel restarts it
//! as after any stop. The calls that return EINTR to a stopped process (signal(7), "Interruption of system
//! calls by stop signals") are restarted too, unless a handler runs; with a time limit they wait anew.
//!
//! # Safety
//! ptrace(2) and waitpid(2) are given buffers that live until they return, with their true lengths. Writes
//! into the other process go into mappings that were made there for them.
#![allow(unsafe_code, reason = "ptrace has no safe wrapper here")]

use std::ffi::c_void;
use std::fs::{self, File};
use std::mem::MaybeUninit;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use notify::MOST_INSTRUCTIONS;

use super::calls;
use super::target::Target;
use crate::shell::failure::Failure;

/// How long one thread may take to come to a place where it can make the call.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long a thread may wait inside one system call before it is interrupted.
const NAP: Duration = Duration::from_millis(5);
/// How long the loader may take.
const LOADING: Duration = Duration::from_secs(10);

const NT_PRFPREG: usize = 2;
const NT_X86_XSTATE: usize = 0x202;
const PTRACE_GETSIGMASK: u32 = 0x420a;
const PTRACE_SETSIGMASK: u32 = 0x420b;
const PTRACE_SECCOMP_GET_FILTER: u32 = 0x420c;
/// Bytes of the stack that functions are called on. A goroutine's own has 2 kB, above other memory of its
/// program.
const STACK: u64 = 1 << 20;
const DIRECTION_AND_TRAP: u64 = 0x500;
/// `syscall`, by which 64-bit programs make system calls.
const SYSCALL: [u8; 2] = [0x0f, 0x05];
/// Values of rax while a system call is to be restarted, or has been interrupted for good.
const INTERRUPTED: [i64; 5] = [-512, -513, -514, -516, -(libc::EINTR as i64)];

/// Why a thread is stopped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// By PTRACE_INTERRUPT.
    Asked,
    /// A signal stopped its whole process.
    Group,
    /// It is at the beginning or the end of a system call.
    Call,
    /// It is about to get a signal.
    Signal(i32),
    /// It has ended.
    Gone,
}

/// A stopped thread, with its state to be put back.
pub struct Thread<'t> {
    target: &'t Target,
    tid: i32,
    memory: File,
    registers: libc::user_regs_struct,
    extended: Vec<u8>,
    extended_kind: usize,
    signals: u64,
    /// The lower end of the stack for calls, once it is there.
    stack: Option<u64>,
    stands_since: Instant,
}

impl<'t> Thread<'t> {
    /// Stops one thread where it can make a call; preferably the first, whose stack is the largest.
    pub fn stop_one_of(target: &'t Target) -> Result<Self, Failure> {
        let pid = target.pid();
        let mut threads: Vec<i32> = fs::read_dir(format!("/proc/{pid}/task"))
            .map_err(|_| target.refusal("it has just ended; start it with 'glassbox run'"))?
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .collect();
        threads.sort_by_key(|tid| (*tid != pid as i32, *tid));
        for tid in threads {
            let tracee = Tracee::seize(target, tid)?;
            if let Some(registers) = tracee.come_between_calls(target)? {
                return Self::save(target, tracee, registers);
            }
        }
        Err(target.refusal(
            "none of its threads makes or waits in a system call, where it could be entered; try again later",
        ))
    }

    fn save(target: &'t Target, tracee: Tracee, registers: libc::user_regs_struct) -> Result<Self, Failure> {
        let (tid, stands_since) = (tracee.tid, Instant::now());
        let fault = || target.refusal("its state cannot be read; start it with 'glassbox run'");
        let memory = File::options().read(true).write(true).open(format!("/proc/{}/mem", target.pid()));
        let memory = memory.map_err(|_| fault())?;
        let (extended, extended_kind) = [NT_X86_XSTATE, NT_PRFPREG]
            .into_iter()
            .find_map(|kind| Some((register_set(tid, kind)?, kind)))
            .ok_or_else(fault)?;
        let mut signals = 0_u64;
        request(PTRACE_GETSIGMASK, tid, size_of::<u64>(), (&raw mut signals).cast()).ok_or_else(fault)?;
        let mut registers = registers;
        calls::restart(&mut registers);
        // From here on the drop of `Thread` puts the thread back and lets it go.
        std::mem::forget(tracee);
        let stack = None;
        let thread =
            Self { target, tid, memory, registers, extended, extended_kind, signals, stack, stands_since };
        // No signal handler of the program runs in the middle. Faults cannot be blocked; they end the call.
        let faults = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGTRAP];
        let mut blocked = !faults.iter().fold(0_u64, |bits, signal| bits | 1 << (signal - 1));
        request(PTRACE_SETSIGMASK, tid, size_of::<u64>(), (&raw mut blocked).cast()).ok_or_else(fault)?;
        Ok(thread)
    }

    /// Calls `function(string…, last)` in the thread and gives the value that it returned.
    pub fn call(&mut self, function: u64, strings: &[&[u8]], last: u64) -> Result<u64, Failure> {
        let stack_end = self.stack_end()?;
        let fault = |what: &str| self.target.refusal(&format!("{what}; it goes on as before"));
        let mut stack = stack_end;
        let mut arguments = Vec::new();
        for string in strings {
            stack = (stack - string.len() as u64 - 1) & !15;
            let text = [string, &b"\0"[..]].concat();
            self.memory.write_all_at(&text, stack).map_err(|_| fault("its stack cannot be written"))?;
            arguments.push(stack);
        }
        arguments.extend([last, 0]);
        // The return address lies at 8 below a multiple of 16 at a function's entry. It is 0, where nothing
        // can run: the return is seen as a fault there.
        stack = (stack & !15) - 8;
        self.memory
            .write_all_at(&0_u64.to_ne_bytes(), stack)
            .map_err(|_| fault("its stack cannot be written"))?;
        let mut registers = self.registers;
        registers.rip = function;
        registers.rsp = stack;
        registers.rdi = arguments.first().copied().unwrap_or(0);
        registers.rsi = arguments.get(1).copied().unwrap_or(0);
        registers.rax = 0;
        // The kernel must not restart the system call now, but at the end, when the registers are put back.
        registers.orig_rax = u64::MAX;
        registers.eflags &= !DIRECTION_AND_TRAP;
        set_registers(self.tid, &registers).ok_or_else(|| fault("its registers cannot be set"))?;
        let deadline = Instant::now() + LOADING;
        let mut delivered = 0;
        loop {
            resume(libc::PTRACE_CONT, self.tid, delivered).ok_or_else(|| fault("it has ended"))?;
            delivered = 0;
            let Some(stop) = wait(self.tid, deadline) else {
                resume(libc::PTRACE_INTERRUPT, self.tid, 0);
                wait(self.tid, Instant::now() + PATIENCE);
                return Err(fault("its loader is busy with something else"));
            };
            let now = registers_of(self.tid).ok_or_else(|| fault("it has ended"))?;
            match stop {
                Stop::Signal(libc::SIGSEGV) if now.rip == 0 => return Ok(now.rax),
                Stop::Signal(libc::SIGSEGV | libc::SIGBUS | libc::SIGILL | libc::SIGFPE | libc::SIGTRAP) => {
                    return Err(fault("the sensor cannot be loaded there"));
                }
                Stop::Signal(signal) => delivered = signal,
                Stop::Gone => return Err(fault("it has ended")),
                Stop::Asked | Stop::Group | Stop::Call => {}
            }
        }
    }

    /// The upper end of the stack for calls.
    fn stack_end(&mut self) -> Result<u64, Failure> {
        let start = match self.stack {
            Some(start) => start,
            None => {
                let start = self.map(STACK).map_err(|reason| self.target.refusal(&reason))?;
                *self.stack.insert(start)
            }
        };
        Ok(start + STACK)
    }

    /// Makes a mapping of so many bytes in the process.
    pub fn map(&mut self, len_bytes: u64) -> Result<u64, String> {
        let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        let arguments = [0, len_bytes, prot as u64, flags as u64, u64::MAX, 0];
        let place = self.system_call(libc::SYS_mmap, arguments)?;
        u64::try_from(place).map_err(|_| {
            let error = std::io::Error::from_raw_os_error(i32::try_from(-place).unwrap_or(libc::EIO));
            format!("it has no room ({error}); raise its limit of memory")
        })
    }

    /// Takes a mapping away again.
    pub fn unmap(&mut self, place: u64, len_bytes: u64) {
        let _ = self.system_call(libc::SYS_munmap, [place, len_bytes, 0, 0, 0, 0]);
    }

    /// Makes a system call in the thread; gives the kernel's answer, a negative errno included.
    ///
    /// The instruction is the one that the thread is behind: so it needs no libc, and writes nothing.
    pub fn system_call(&mut self, number: i64, arguments: [u64; 6]) -> Result<i64, String> {
        let fault = |what: &str| format!("{what}; try again");
        let instruction = self.registers.rip - SYSCALL.len() as u64;
        let mut found = [0; SYSCALL.len()];
        if self.memory.read_exact_at(&mut found, instruction).is_err() || found != SYSCALL {
            return Err(fault("it makes its system calls in a way that is not known here"));
        }
        let mut registers = self.registers;
        registers.rip = instruction;
        registers.rax = number.cast_unsigned();
        [registers.rdi, registers.rsi, registers.rdx, registers.r10, registers.r8, registers.r9] = arguments;
        // As in `call`.
        registers.orig_rax = u64::MAX;
        registers.eflags &= !DIRECTION_AND_TRAP;
        set_registers(self.tid, &registers).ok_or_else(|| fault("its registers cannot be set"))?;
        let deadline = Instant::now() + LOADING;
        let (mut delivered, mut has_begun) = (0, false);
        loop {
            resume(libc::PTRACE_SYSCALL, self.tid, delivered).ok_or_else(|| fault("it has ended"))?;
            delivered = 0;
            match wait(self.tid, deadline) {
                // The stop at the beginning, then the one at the end.
                Some(Stop::Call) if !has_begun => has_begun = true,
                Some(Stop::Call) => {
                    let answer = registers_of(self.tid).ok_or_else(|| fault("it has ended"))?;
                    return Ok(answer.rax.cast_signed());
                }
                Some(Stop::Signal(signal)) => delivered = signal,
                Some(Stop::Asked | Stop::Group) => {}
                Some(Stop::Gone) => return Err(fault("it has ended")),
                None => {
                    resume(libc::PTRACE_INTERRUPT, self.tid, 0);
                    wait(self.tid, Instant::now() + PATIENCE);
                    return Err(fault("a system call of it does not end"));
                }
            }
        }
    }

    /// Writes into the process's memory.
    pub fn write(&self, bytes: &[u8], address: u64) -> Result<(), String> {
        self.memory
            .write_all_at(bytes, address)
            .map_err(|error| format!("its memory cannot be written ({error}); run as root"))
    }

    /// Its number.
    pub fn tid(&self) -> i32 {
        self.tid
    }

    /// The address behind the instruction that [`Self::system_call`] uses, and the stack's.
    pub fn place(&self) -> (u64, u64) {
        (self.registers.rip, self.registers.rsp)
    }

    /// The programs that judge its system calls, each as the bytes of its instructions; `None` where the
    /// kernel does not show them (ptrace(2), PTRACE_SECCOMP_GET_FILTER).
    pub fn filters(&self) -> Option<Vec<Vec<libc::sock_filter>>> {
        let mut all = Vec::new();
        loop {
            let mut program = vec![libc::sock_filter { code: 0, jt: 0, jf: 0, k: 0 }; MOST_INSTRUCTIONS];
            let len =
                request_number(PTRACE_SECCOMP_GET_FILTER, self.tid, all.len(), program.as_mut_ptr().cast());
            match len {
                Ok(len) => program.truncate(len),
                // There is no such filter: those before were all.
                Err(libc::ENOENT) if !all.is_empty() => return Some(all),
                Err(_) => return None,
            }
            all.push(program);
        }
    }

    /// Lets the thread continue; gives how long it was stopped.
    pub fn go_on(mut self) -> Duration {
        // A call that failed may be in the middle of something on it.
        if let Some(stack) = self.stack.take() {
            self.unmap(stack, STACK);
        }
        let since = self.stands_since;
        drop(self);
        since.elapsed()
    }

    /// The C string at `address` in the process.
    pub fn text(&self, address: u64) -> Option<String> {
        let mut bytes = [0; 512];
        let len = self.memory.read_at(&mut bytes, address).ok()?;
        let text = bytes.get(..len)?.split(|byte| *byte == 0).next()?;
        Some(String::from_utf8_lossy(text).into_owned())
    }
}

impl Drop for Thread<'_> {
    fn drop(&mut self) {
        // Each can fail only if the thread has ended.
        set_registers(self.tid, &self.registers);
        let mut vector =
            libc::iovec { iov_base: self.extended.as_mut_ptr().cast(), iov_len: self.extended.len() };
        request(libc::PTRACE_SETREGSET, self.tid, self.extended_kind, (&raw mut vector).cast());
        request(PTRACE_SETSIGMASK, self.tid, size_of::<u64>(), (&raw mut self.signals).cast());
        resume(libc::PTRACE_DETACH, self.tid, 0);
    }
}

/// A seized thread, let go when dropped.
struct Tracee {
    tid: i32,
}

impl Tracee {
    fn seize(target: &Target, tid: i32) -> Result<Self, Failure> {
        let options = libc::PTRACE_O_TRACESYSGOOD as usize as *mut c_void;
        if request(libc::PTRACE_SEIZE, tid, 0, options).is_some() {
            return Ok(Self { tid });
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

    /// Lets the thread run until it is between two system calls; `None` if that takes longer than
    /// [`PATIENCE`].
    fn come_between_calls(&self, target: &Target) -> Result<Option<libc::user_regs_struct>, Failure> {
        let gone = || target.refusal("it has just ended; start it with 'glassbox run'");
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            // If it does not stop in time and is asked again, it waits in the call that it has begun.
            resume(libc::PTRACE_INTERRUPT, self.tid, 0);
            let mut until = deadline;
            while let Some(stop) = wait(self.tid, until) {
                let registers = registers_of(self.tid);
                let mut signal = 0;
                match (stop, registers) {
                    (Stop::Gone, _) | (_, None) => return Err(gone()),
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
                    (Stop::Signal(number), _) => signal = number,
                }
                resume(libc::PTRACE_SYSCALL, self.tid, signal).ok_or_else(gone)?;
                until = Instant::now() + NAP;
            }
        }
        // It runs; detaching needs it stopped.
        resume(libc::PTRACE_INTERRUPT, self.tid, 0);
        wait(self.tid, Instant::now() + PATIENCE);
        Ok(None)
    }
}

impl Drop for Tracee {
    fn drop(&mut self) {
        resume(libc::PTRACE_DETACH, self.tid, 0);
    }
}

/// Waits for a thread to stop; `None` once `deadline` has passed.
fn wait(tid: i32, deadline: Instant) -> Option<Stop> {
    loop {
        let mut status = 0;
        // SAFETY: see the module.
        let found = unsafe { libc::waitpid(tid, &raw mut status, libc::__WALL | libc::WNOHANG) };
        if found == tid {
            return Some(stop_of(status));
        }
        if found < 0 && std::io::Error::last_os_error().raw_os_error() != Some(libc::EINTR) {
            return Some(Stop::Gone);
        }
        if Instant::now() >= deadline {
            return None;
        }
        // It stops within microseconds, or waits for something that takes long.
        std::thread::sleep(Duration::from_micros(20));
    }
}

fn stop_of(status: i32) -> Stop {
    if !libc::WIFSTOPPED(status) {
        return Stop::Gone;
    }
    match (libc::WSTOPSIG(status), status >> 16) {
        (libc::SIGTRAP, libc::PTRACE_EVENT_STOP) => Stop::Asked,
        (_, libc::PTRACE_EVENT_STOP) => Stop::Group,
        (signal, _) if signal == libc::SIGTRAP | 0x80 => Stop::Call,
        (signal, _) => Stop::Signal(signal),
    }
}

/// ptrace(2); `None` if it fails.
fn request(what: u32, tid: i32, address: usize, data: *mut c_void) -> Option<()> {
    request_number(what, tid, address, data).ok().map(drop)
}

/// The same, with its answer or its errno.
fn request_number(what: u32, tid: i32, address: usize, data: *mut c_void) -> Result<usize, i32> {
    // SAFETY: see the module.
    let result = unsafe { libc::ptrace(what, tid, address as *mut c_void, data) };
    usize::try_from(result).map_err(|_| std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO))
}

fn resume(how: u32, tid: i32, signal: i32) -> Option<()> {
    request(how, tid, 0, signal as usize as *mut c_void)
}

fn registers_of(tid: i32) -> Option<libc::user_regs_struct> {
    let mut registers = MaybeUninit::<libc::user_regs_struct>::zeroed();
    request(libc::PTRACE_GETREGS, tid, 0, registers.as_mut_ptr().cast())?;
    // SAFETY: plain numbers, zeroed, and filled by the kernel.
    Some(unsafe { registers.assume_init() })
}

fn set_registers(tid: i32, registers: &libc::user_regs_struct) -> Option<()> {
    request(libc::PTRACE_SETREGS, tid, 0, (&raw const *registers).cast_mut().cast())
}

fn register_set(tid: i32, kind: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; 16 * 1024];
    let mut vector = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    request(libc::PTRACE_GETREGSET, tid, kind, (&raw mut vector).cast())?;
    bytes.truncate(vector.iov_len);
    Some(bytes)
}
