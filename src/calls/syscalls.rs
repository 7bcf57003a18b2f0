//! System calls by number, as far as they differ from the function of the same name.
//!
//! `hooks/syscall.rs` says which number is which row, and treats most of them by the row's own expression;
//! the others call a function here.

use core::ffi::{c_char, c_int, c_long};

use crate::calls::identity::{self, Request};
use crate::calls::{fds, lineage};
use crate::process;
use crate::reach::marks;
use crate::reach::words::{self, Next, Treatment, Words};
use crate::record::call::{Call, Row};
use crate::record::capture::{self, creation_mode};
use crate::record::fail::{Fails, MinusOne};

/// The numbers of system calls: libc's, and those that it lacks for a machine (asm-generic/unistd.h).
pub mod number {
    pub use libc::*;

    /// fchmodat2(2), since Linux 6.6.
    #[cfg(target_arch = "aarch64")]
    #[allow(non_upper_case_globals, reason = "as libc spells them")]
    pub const SYS_fchmodat2: c_long = 452;
}

/// `struct open_how` of openat2(2), its first version.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct OpenHow {
    pub flags: u64,
    pub mode: u64,
    pub resolve: u64,
}

/// The syscall(2) that makes a call by number.
pub type Syscall = unsafe extern "C" fn(c_long, usize, usize, usize, usize, usize, usize) -> c_long;

/// A call by number, of this row and treatment, where it has them; `caller` is the row of syscall(2) as it
/// was called, `real` its next definition.
///
/// # Safety
/// The words are those of the system call; row and treatment are what the table has for its number.
pub unsafe fn by_number(
    caller: Row,
    number: c_long,
    words: Words,
    real: Syscall,
    treated: Option<(Row, Treatment)>,
) -> c_long {
    let address = real as usize;
    let Some((row, treatment)) = treated else {
        // SAFETY: the caller's promise.
        return unsafe { words::by_number(address, number, words) };
    };
    let row = row.called_as(caller);
    // SAFETY: the caller's promise: each is treated as the function of the same name is.
    unsafe {
        let outer = marks::begin_numbered(row);
        let (after, began_ns) = match treatment {
            Treatment::After(after) => (after, 0),
            Treatment::Timed(after) => (after, process::begin_ns()),
            Treatment::Instead(instead) => {
                let ret = instead(row, &words, &Next::numbered(address, number, words)) as c_long;
                marks::end_numbered(outer);
                return ret;
            }
        };
        let ret = words::by_number(address, number, words);
        marks::end_numbered(outer);
        if process::ring().is_some() {
            let outcome = <MinusOne as Fails<c_long>>::outcome(ret);
            after(Call { row, outcome, began_ns }, &words, ret as usize);
        }
        ret
    }
}

/// openat2(2).
///
/// # Safety
/// `path` and `how` are the call's.
pub unsafe fn opened(call: Call, dir: c_int, path: *const c_char, how: *const OpenHow) {
    // SAFETY: the caller's promise.
    let how = unsafe { capture::given(call.outcome, how) }.unwrap_or_default();
    let flags = how.flags as c_int;
    let mode = creation_mode(flags, how.mode as u32);
    // SAFETY: the caller's promise.
    unsafe { fds::opened_within(call, dir, path, flags, mode, how.resolve) };
}

/// clone(2) and clone3(2). `flags` gives the flags of the call; `None` leaves the call unreported.
#[inline(always)]
pub fn cloned(row: Row, real: impl FnOnce() -> c_long, flags: impl FnOnce(Call) -> Option<usize>) -> c_long {
    // It may be a thread that libc does not know of.
    process::watch_threads(None);
    let began_ns = process::begin_ns();
    let ret = real();
    let call = Call { row, outcome: <MinusOne as Fails<c_long>>::outcome(ret), began_ns };
    if let Some(flags) = flags(call) {
        lineage::cloned_by_number(call, flags);
    }
    ret
}

/// The flags of clone3(2), the first word of `struct clone_args`: they were read where the call succeeded.
///
/// # Safety
/// `arguments` is the call's.
pub unsafe fn clone3_flags(call: Call, arguments: usize) -> Option<usize> {
    // SAFETY: the kernel has read it.
    (!call.outcome.failed).then(|| unsafe { (arguments as *const u64).read() } as usize)
}

/// seccomp(2): `SECCOMP_SET_MODE_STRICT` and `SECCOMP_SET_MODE_FILTER` are reported as prctl(2) with
/// `PR_SET_SECCOMP` is, whose modes are one more. The other operations only ask.
///
/// # Safety
/// The words are the call's.
#[inline(always)]
pub unsafe fn shut_off(row: Row, operation: usize, filter: usize, real: impl FnOnce() -> c_long) -> c_long {
    if operation > 1 {
        return real();
    }
    let request = Request::of(libc::PR_SET_SECCOMP, operation + 1, filter);
    // SAFETY: the caller's promise.
    unsafe { identity::controlled(row, request, || real() as c_int).into() }
}

/// A signal by number.
#[inline(always)]
pub fn signalled(
    row: Row,
    target: usize,
    signal: usize,
    may_reach_us: bool,
    real: impl FnOnce() -> c_long,
) -> c_long {
    let real = || real() as c_int;
    identity::signalled::<MinusOne>(row, target as c_int, signal as c_int, may_reach_us, real).into()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use crate::table::syscall::{NUMBERS, row_of};

    #[test]
    fn no_number_stands_twice_and_each_is_a_row() {
        let mut seen = HashSet::new();

        for (number, row) in NUMBERS {
            assert!(seen.insert(number), "{number}");
            assert_eq!(Some(row.number()), row_of(*number).map(|row| row.number()), "{number}");
        }
        assert!(row_of(libc::SYS_getpid).is_none());
    }
}
