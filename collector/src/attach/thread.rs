//! Stops one thread of another process between two system calls and makes it call a function, or make system
//! calls (ptrace(2)).
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

use std::fs::{self, File};
use std::mem::MaybeUninit;
use std::os::unix::fs::FileExt;
use std::panic::resume_unwind;
use std::thread;
use std::time::{Duration, Instant};

use super::machine::{CALL, OTHERS, Registers};
use super::ptrace::{Stop, register_set, request, resume, set_register_set, wait};
use super::target::Target;
use super::tracee::{PATIENCE, Tracee};
use crate::shell::failure::Failure;
use crate::system::procfs;

/// How long the loader may take.
const LOADING: Duration = Duration::from_secs(10);

const PTRACE_GETSIGMASK: u32 = 0x420a;
const PTRACE_SETSIGMASK: u32 = 0x420b;
/// Bytes of the stack that functions are called on. A goroutine's own has 2 kB, above other memory of its
/// program.
const STACK: u64 = 1 << 20;
/// What a call that goes wrong may raise. None of these can be blocked.
const FAULTS: [i32; 5] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGTRAP];
/// What would end or stop this process while the thread stands.
const ENDING: [i32; 5] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT, libc::SIGTSTP];

/// A stopped thread, with its state to be put back.
pub struct Thread<'t> {
    target: &'t Target,
    tid: i32,
    memory: File,
    registers: Registers,
    /// It stands where it has begun a call, which it has not made.
    is_at_beginning: bool,
    others: Vec<u8>,
    kind_of_others: usize,
    signals: u64,
    /// The lower end of the stack for calls, once it is there.
    stack: Option<u64>,
    stands_since: Instant,
}

impl<'t> Thread<'t> {
    /// Stops one thread where it can make a call, and does `body` with it; preferably the first, whose stack
    /// is the largest.
    ///
    /// Each is traced by a thread of its own here: when that ends, the kernel lets go what it could not, as a
    /// thread that waits for a disk and does not stop.
    pub fn with_one_of<R: Send>(
        target: &Target,
        body: impl FnOnce(Thread<'_>) -> R + Send,
    ) -> Result<R, Failure> {
        let _undisturbed = Undisturbed::begin();
        let mut body = Some(body);
        let pid = target.pid();
        let mut threads: Vec<i32> = fs::read_dir(format!("/proc/{pid}/task"))
            .map_err(|_| target.refusal("it has just ended; start it with 'glassbox run'"))?
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .collect();
        threads.sort_by_key(|tid| (*tid != pid as i32, *tid));
        for tid in threads {
            let body = &mut body;
            let traces = move || {
                let stopped = Thread::stop(target, tid)?;
                Ok(stopped.and_then(|stopped| Some(body.take()?(stopped))))
            };
            let done: Result<Option<R>, Failure> = thread::scope(|scope| {
                let failed = |error| {
                    Failure::internal(format!("cannot start a thread: {error}; end some, and try again"))
                };
                let tracer = thread::Builder::new().spawn_scoped(scope, traces).map_err(failed)?;
                tracer.join().unwrap_or_else(|panic| resume_unwind(panic))
            });
            if let Some(done) = done? {
                return Ok(done);
            }
        }
        if procfs::stat(pid).is_none_or(|stat| stat.is_zombie) {
            return Err(target.refusal("it has just ended; start it with 'glassbox run'"));
        }
        Err(target.refusal(
            "none of its threads makes or waits in a system call, where it could be entered; try again later",
        ))
    }

    /// Stops a thread where it can make a call; `None` if it comes to no such place.
    fn stop(target: &'t Target, tid: i32) -> Result<Option<Self>, Failure> {
        let Some(tracee) = Tracee::seize(target, tid)? else { return Ok(None) };
        let Some(registers) = tracee.come_between_calls(target)? else { return Ok(None) };
        if !target.is_as_examined() {
            return Err(target.refusal("it has executed another program just now; try again"));
        }
        Self::save(target, tracee, registers).map(Some)
    }

    fn save(target: &'t Target, tracee: Tracee, registers: Registers) -> Result<Self, Failure> {
        let (tid, stands_since) = (tracee.tid(), Instant::now());
        let fault = || target.refusal("its state cannot be read; start it with 'glassbox run'");
        let memory = File::options().read(true).write(true).open(format!("/proc/{}/mem", target.pid()));
        let memory = memory.map_err(|_| fault())?;
        let (others, kind_of_others) =
            OTHERS.into_iter().find_map(|kind| Some((register_set(tid, kind)?, kind))).ok_or_else(fault)?;
        let mut signals = 0_u64;
        request(PTRACE_GETSIGMASK, tid, size_of::<u64>(), (&raw mut signals).cast()).ok_or_else(fault)?;
        let mut registers = registers;
        registers.restart();
        // From here on the drop of `Thread` puts the thread back and lets it go.
        std::mem::forget(tracee);
        let (stack, is_at_beginning) = (None, registers.is_at_beginning());
        let saved = Self {
            target,
            tid,
            memory,
            registers,
            is_at_beginning,
            others,
            kind_of_others,
            signals,
            stack,
            stands_since,
        };
        // No signal handler of the program runs in the middle. Faults cannot be blocked; they end the call.
        let mut blocked = !FAULTS.iter().fold(0_u64, |bits, signal| bits | 1 << (signal - 1));
        request(PTRACE_SETSIGMASK, tid, size_of::<u64>(), (&raw mut blocked).cast()).ok_or_else(fault)?;
        Ok(saved)
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
        let arguments = [0, 1].map(|index: usize| arguments.get(index).copied().unwrap_or(0));
        self.registers.complete(self.tid).ok_or_else(|| fault("its registers cannot be read"))?;
        // It returns to 0, where nothing can run: the return is seen as a fault there.
        let (registers, return_address) = self.registers.with_function(function, stack, arguments);
        if let Some(place) = return_address {
            self.memory
                .write_all_at(&0_u64.to_ne_bytes(), place)
                .map_err(|_| fault("its stack cannot be written"))?;
        }
        registers.put(self.tid).ok_or_else(|| fault("its registers cannot be set"))?;
        let deadline = Instant::now() + LOADING;
        let mut delivered = 0;
        loop {
            resume(libc::PTRACE_CONT, self.tid, delivered).ok_or_else(|| fault("it has ended"))?;
            delivered = 0;
            let stop =
                wait(self.tid, deadline).ok_or_else(|| fault("its loader is busy with something else"))?;
            let now = Registers::of(self.tid).ok_or_else(|| fault("it has ended"))?;
            match stop {
                Stop::Signal(libc::SIGSEGV) if now.is_at_zero() => return Ok(now.answer()),
                Stop::Signal(signal) if FAULTS.contains(&signal) => {
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

    /// mmap(2)'s arguments for a mapping of so many bytes.
    pub fn mapping(len_bytes: u64) -> [u64; 6] {
        let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        [0, len_bytes, prot as u64, flags as u64, u64::MAX, 0]
    }

    /// Makes a mapping of so many bytes in the process.
    pub fn map(&mut self, len_bytes: u64) -> Result<u64, String> {
        let place = self.system_call(libc::SYS_mmap, Self::mapping(len_bytes))?;
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
        let mut found = [0; CALL.len()];
        let instruction = self.registers.place() - CALL.len() as u64;
        if self.memory.read_exact_at(&mut found, instruction).is_err() || found != CALL {
            return Err(fault("it makes its system calls in a way that is not known here"));
        }
        let registers = self.registers.with_call(number, arguments);
        let set = match self.is_at_beginning {
            true => registers.put_begun(self.tid),
            false => registers.put(self.tid),
        };
        set.ok_or_else(|| fault("its registers cannot be set"))?;
        let deadline = Instant::now() + LOADING;
        let (mut delivered, mut has_begun) = (0, std::mem::take(&mut self.is_at_beginning));
        loop {
            resume(libc::PTRACE_SYSCALL, self.tid, delivered).ok_or_else(|| fault("it has ended"))?;
            delivered = 0;
            match wait(self.tid, deadline) {
                // The stop at the beginning, then the one at the end.
                Some(Stop::Call) if !has_begun => {
                    has_begun = true;
                    registers.put_begun(self.tid).ok_or_else(|| fault("it has ended"))?;
                }
                Some(Stop::Call) => {
                    let now = Registers::of(self.tid).ok_or_else(|| fault("it has ended"))?;
                    return Ok(now.answer().cast_signed());
                }
                Some(Stop::Signal(signal)) => delivered = signal,
                Some(Stop::Asked | Stop::Group) => {}
                Some(Stop::Gone) => return Err(fault("it has ended")),
                None => return Err(fault("a system call of it does not end")),
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
        (self.registers.place(), self.registers.stack())
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
        // It may still run after a call that took too long. It is not let go in the middle of that, where
        // it would return to address 0.
        let mut signal = 0;
        while self.registers.put_back(self.tid, self.is_at_beginning).is_none() {
            resume(libc::PTRACE_INTERRUPT, self.tid, 0);
            match wait(self.tid, Instant::now() + PATIENCE) {
                Some(Stop::Gone) => return,
                Some(Stop::Signal(number)) if !FAULTS.contains(&number) => signal = number,
                Some(_) => {}
                None if procfs::stat(self.tid.cast_unsigned()).is_none_or(|stat| stat.is_zombie) => return,
                None => {}
            }
        }
        // Each can fail only if the thread has ended.
        set_register_set(self.tid, self.kind_of_others, &mut self.others);
        request(PTRACE_SETSIGMASK, self.tid, size_of::<u64>(), (&raw mut self.signals).cast());
        resume(libc::PTRACE_DETACH, self.tid, signal);
    }
}

/// While this lives, nothing ends this process but SIGKILL: the thread would stay as it stands, with other
/// registers and its signals blocked.
struct Undisturbed(libc::sigset_t);

impl Undisturbed {
    fn begin() -> Self {
        let mut before = MaybeUninit::<libc::sigset_t>::zeroed();
        // SAFETY: both are sets of signals that live here; zeroed memory is one.
        unsafe {
            let mut ending = MaybeUninit::<libc::sigset_t>::zeroed().assume_init();
            ENDING.iter().for_each(|signal| {
                libc::sigaddset(&raw mut ending, *signal);
            });
            libc::pthread_sigmask(libc::SIG_BLOCK, &raw const ending, before.as_mut_ptr());
            Self(before.assume_init())
        }
    }
}

impl Drop for Undisturbed {
    fn drop(&mut self) {
        // SAFETY: the set that was there before.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, std::ptr::null_mut()) };
    }
}
