//! The requests of ptrace(2) that an attach makes, and what a thread stops for.
//!
//! # Safety
//! ptrace(2) and waitpid(2) are given buffers that live until they return, with their true lengths.
#![allow(unsafe_code, reason = "ptrace has no safe wrapper here")]

use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::time::{Duration, Instant};

/// The general registers, among the kinds of registers.
const NT_PRSTATUS: usize = 1;

/// Why a thread is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
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

/// Waits for a thread to stop; `None` once `deadline` has passed.
pub fn wait(tid: i32, deadline: Instant) -> Option<Stop> {
    loop {
        let mut status = 0;
        // SAFETY: as the module says.
        let found = unsafe { libc::waitpid(tid, &raw mut status, libc::__WALL | libc::WNOHANG) };
        if found == tid {
            return Some(stop_of(status));
        }
        if found < 0 && errno() != libc::EINTR {
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
pub fn request(what: u32, tid: i32, address: usize, data: *mut c_void) -> Option<()> {
    request_number(what, tid, address, data).ok().map(drop)
}

/// The same, with its answer or its errno.
pub fn request_number(what: u32, tid: i32, address: usize, data: *mut c_void) -> Result<usize, i32> {
    // SAFETY: as the module says.
    let result = unsafe { libc::ptrace(what, tid, address as *mut c_void, data) };
    usize::try_from(result).map_err(|_| errno())
}

/// Why the last request failed.
pub fn errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
}

/// Has a thread go on, or stop, in this way.
pub fn resume(how: u32, tid: i32, signal: i32) -> Option<()> {
    request(how, tid, 0, signal as usize as *mut c_void)
}

/// The general registers of a stopped thread.
pub fn general_of(tid: i32) -> Option<libc::user_regs_struct> {
    let mut registers = MaybeUninit::<libc::user_regs_struct>::zeroed();
    let mut vector = iovec(registers.as_mut_ptr(), 1);
    request(libc::PTRACE_GETREGSET, tid, NT_PRSTATUS, (&raw mut vector).cast())?;
    // SAFETY: plain numbers, zeroed, and filled by the kernel.
    Some(unsafe { registers.assume_init() })
}

/// Sets them.
pub fn set_general(tid: i32, registers: &libc::user_regs_struct) -> Option<()> {
    let mut vector = iovec((&raw const *registers).cast_mut(), 1);
    request(libc::PTRACE_SETREGSET, tid, NT_PRSTATUS, (&raw mut vector).cast())
}

/// Its other registers, of one kind.
pub fn register_set(tid: i32, kind: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0_u8; 16 * 1024];
    let mut vector = iovec(bytes.as_mut_ptr(), bytes.len());
    request(libc::PTRACE_GETREGSET, tid, kind, (&raw mut vector).cast())?;
    bytes.truncate(vector.iov_len);
    Some(bytes)
}

/// Sets them.
pub fn set_register_set(tid: i32, kind: usize, bytes: &mut [u8]) -> Option<()> {
    let mut vector = iovec(bytes.as_mut_ptr(), bytes.len());
    request(libc::PTRACE_SETREGSET, tid, kind, (&raw mut vector).cast())
}

fn iovec<T>(of: *mut T, count: usize) -> libc::iovec {
    libc::iovec { iov_base: of.cast(), iov_len: count * size_of::<T>() }
}

/// Registers of no thread.
#[cfg(all(test, target_arch = "x86_64"))]
pub fn no_registers() -> libc::user_regs_struct {
    // SAFETY: plain numbers.
    unsafe { std::mem::zeroed() }
}
