//! Reading the application's memory into fields, as far as a record goes.
//!
//! A pointer that the application passes to a call may be bad; then the call answers EFAULT and the program
//! lives. So nothing is read where the call says EFAULT, nor through a pointer that is plainly no address;
//! and a pointer that the call has not tried is probed first ([`Probe`]).
//!
//! # Safety
//! Every function here reads what the kernel or libc was to read in the same call: strings end with a NUL,
//! arrays with a null pointer. Other threads may change them meanwhile; then the copy is mixed, and never
//! longer than measured.

use core::ffi::{c_char, c_int, c_void};
use core::sync::atomic::{AtomicUsize, Ordering};

use wire::events::ProcessExec;
use wire::fields::{Actions, Address, Args, DEFAULT_ARGV, MAX_ARGV, Path, Vector};
use wire::record::Flags;

use crate::record::call::Outcome;
use crate::record::probe::{Probe, length};
use crate::sys;

/// Longest path that is copied, in bytes: PATH_MAX.
const PATH_CAP: usize = 4096;
/// Longest argument vector that is copied, in bytes; 0 for [`DEFAULT_ARGV`].
static ARGV_CAP: AtomicUsize = AtomicUsize::new(0);
/// Longest socket address: `struct sockaddr_storage`.
pub const ADDRESS_CAP: usize = 128;

/// The string at `string`, at most `cap` bytes; `None` for null and what cannot be an address.
///
/// # Safety
/// See the module. The bytes stay for as long as the caller of the hooked function lets them.
#[inline(always)]
pub unsafe fn text<'a>(string: *const c_char, cap: usize) -> Option<&'a [u8]> {
    if sys::is_wild(string) {
        return None;
    }
    // SAFETY: the caller's promise; the length was just measured.
    unsafe { Some(core::slice::from_raw_parts(string.cast::<u8>(), length(string, cap))) }
}

/// A path and its directory, after the call: absent where the call could not read it.
///
/// # Safety
/// See the module.
#[inline(always)]
pub unsafe fn path<'a>(outcome: Outcome, dir: c_int, string: *const c_char) -> Path<'a> {
    let raw = match i32::from(outcome.errno) {
        libc::EFAULT => None,
        // Errors that a call can give before it looks at its path: bad flags, or a seccomp filter's answer.
        libc::EINVAL | libc::EPERM | libc::ENOSYS | libc::E2BIG | libc::EACCES => {
            probed(&mut Probe::new(), string, PATH_CAP)
        }
        // SAFETY: the caller's promise.
        _ => unsafe { text(string, PATH_CAP) },
    };
    Path { dir, raw }
}

/// One of several strings of a call. A call that failed may have looked at none of them, or at one and not
/// the other.
///
/// # Safety
/// See the module.
pub unsafe fn among<'a>(outcome: Outcome, string: *const c_char) -> Option<&'a [u8]> {
    if outcome.failed {
        return probed(&mut Probe::new(), string, PATH_CAP);
    }
    // SAFETY: the caller's promise.
    unsafe { text(string, PATH_CAP) }
}

#[cold]
fn probed<'a>(probe: &mut Probe, string: *const c_char, cap: usize) -> Option<&'a [u8]> {
    let len = probe.length(string, cap)?;
    // SAFETY: so many bytes were found readable.
    Some(unsafe { core::slice::from_raw_parts(string.cast::<u8>(), len) })
}

/// What stands at `place`, after a call that was given it: the kernel has read it where the call succeeded,
/// and it is probed where not.
///
/// # Safety
/// See the module. Any bytes are a valid `T`.
#[inline(always)]
pub unsafe fn given<T: Copy>(outcome: Outcome, place: *const T) -> Option<T> {
    // SAFETY: the caller's promise, or it was found readable.
    was_readable(outcome, place as usize, size_of::<T>()).then(|| unsafe { place.read_unaligned() })
}

#[cold]
#[inline(never)]
fn was_readable(outcome: Outcome, address: usize, len: usize) -> bool {
    match i32::from(outcome.errno) {
        0 => !sys::is_wild(address as *const c_char),
        libc::EFAULT => false,
        _ => Probe::new().holds(address, len),
    }
}

/// The path of a call that has not been made.
pub fn path_before<'a>(dir: c_int, string: *const c_char) -> Path<'a> {
    Path { dir, raw: probed(&mut Probe::new(), string, PATH_CAP) }
}

/// Has argument vectors copied up to `kib` KiB, as far as records of that length go well into a ring with
/// `data_len` bytes of data.
pub fn copy_arguments_to(kib: u64, data_len: u64) {
    let cap = kib.saturating_mul(1024).min(data_len / 4).min(MAX_ARGV as u64);
    ARGV_CAP.store((cap as usize).max(1024), Ordering::Relaxed);
}

fn argv_cap() -> usize {
    match ARGV_CAP.load(Ordering::Relaxed) {
        0 => DEFAULT_ARGV,
        cap => cap,
    }
}

/// An argument vector, as far as it is copied.
#[derive(Clone, Copy)]
pub struct Arguments<'a> {
    pub argv: Args<'a>,
    /// The record's flags: whether it had to be cut.
    pub flags: u8,
    /// The number of arguments, where it had to be.
    pub argc: Option<u32>,
}

impl<'a> Arguments<'a> {
    /// None.
    pub const NONE: Self = Self { argv: Args::NONE, flags: 0, argc: None };

    /// Strings that lie one behind the other, each with its NUL.
    pub fn packed(strings: &'a [u8]) -> Self {
        match strings.get(..argv_cap()) {
            Some(kept) if kept.len() < strings.len() => {
                let argc = strings.iter().filter(|byte| **byte == 0).count();
                Self { argv: Args::Packed(kept), flags: Flags::TRUNCATED, argc: Some(argc as u32) }
            }
            _ => Self { argv: Args::Packed(strings), ..Self::NONE },
        }
    }
}

/// A null-terminated array of strings. `None` when a part of it cannot be read.
pub fn arguments<'a>(probe: &mut Probe, array: *const *const c_char) -> Option<Arguments<'a>> {
    if array.is_null() {
        return Some(Arguments::NONE);
    }
    let cap = argv_cap();
    let (mut count, mut kept, mut len_bytes) = (0, 0, 0);
    loop {
        let string = probe.pointer(array.wrapping_add(count))?;
        if string.is_null() {
            break;
        }
        count += 1;
        // Those behind the cut are only counted.
        if len_bytes <= cap {
            len_bytes += probe.length(string, cap)? + 1;
            kept = count;
        }
    }
    let is_cut = len_bytes > cap;
    // SAFETY: `kept` strings were found readable.
    let argv = Args::Vector(unsafe { Vector::new(array.cast(), kept, len_bytes.min(cap)) });
    let flags = if is_cut { Flags::TRUNCATED } else { 0 };
    Some(Arguments { argv, flags, argc: is_cut.then_some(count as u32) })
}

/// Bytes that an exec takes for a null-terminated array of strings: the strings and the pointers. `None` when
/// a part of it cannot be read.
pub fn size(probe: &mut Probe, array: *const *const c_char) -> Option<usize> {
    let (mut count, mut len) = (0, 0);
    while !array.is_null() {
        let string = probe.pointer(array.wrapping_add(count))?;
        if string.is_null() {
            break;
        }
        count += 1;
        len += size_of_val(&string) + probe.length(string, usize::MAX)? + 1;
    }
    Some(len)
}

/// A socket address that the application passed.
///
/// # Safety
/// `len` bytes are readable at `address`, or the call said EFAULT.
pub unsafe fn address<'a>(outcome: Outcome, address: *const c_void, len: u32) -> Address<'a> {
    let len = len as usize;
    let is_bad = outcome.errno == libc::EFAULT as u16 || outcome.errno == libc::EINVAL as u16;
    if sys::is_wild(address.cast()) || is_bad || !(2..=ADDRESS_CAP).contains(&len) {
        return Address(&[]);
    }
    // SAFETY: the caller's promise.
    Address(unsafe { core::slice::from_raw_parts(address.cast::<u8>(), len) })
}

/// The mode of open(2), which is there only where a file may be made.
pub fn creation_mode(flags: c_int, mode: libc::mode_t) -> Option<u32> {
    let makes = flags & libc::O_CREAT != 0 || flags & libc::O_TMPFILE == libc::O_TMPFILE;
    makes.then_some(mode)
}

/// The flags that the mode string of fopen(3) stands for.
///
/// # Safety
/// See the module.
pub unsafe fn stream_flags(mode: *const c_char) -> c_int {
    // SAFETY: the caller's promise.
    let letters = unsafe { text(mode, 16) }.unwrap_or_default();
    let has = |letter| letters.iter().take_while(|byte| **byte != b',').any(|byte| *byte == letter);
    let access = match (letters.first(), has(b'+')) {
        (_, true) => libc::O_RDWR,
        (Some(b'r'), _) => libc::O_RDONLY,
        _ => libc::O_WRONLY,
    };
    let making = match letters.first() {
        Some(b'w') => libc::O_CREAT | libc::O_TRUNC,
        Some(b'a') => libc::O_CREAT | libc::O_APPEND,
        _ => 0,
    };
    let exclusive = if has(b'x') { libc::O_EXCL } else { 0 };
    let cloexec = if has(b'e') { libc::O_CLOEXEC } else { 0 };
    access | making | exclusive | cloexec
}

/// The program and arguments that an exec is about to run.
pub struct Program<'a> {
    pub exec: ProcessExec<'a>,
    pub flags: u8,
}

/// Reads the path and arguments of an exec; `None` where the kernel will answer EFAULT.
pub fn program<'a>(
    probe: &mut Probe,
    dir: c_int,
    path: *const c_char,
    argv: *const *const c_char,
) -> Option<Program<'a>> {
    // Path and arguments often lie in one page.
    let path = Path { dir, raw: Some(probed(probe, path, PATH_CAP)?) };
    let Arguments { argv, flags, argc } = arguments(probe, argv)?;
    Some(Program { exec: ProcessExec { path, argv, argc, actions: Actions(&[]), flags: None }, flags })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_string_means_the_flags_of_fopen_3() {
        let flags = |mode: &core::ffi::CStr| {
            // SAFETY: a C string.
            unsafe { stream_flags(mode.as_ptr()) }
        };

        assert_eq!(libc::O_RDONLY, flags(c"r"));
        assert_eq!(libc::O_RDWR, flags(c"rb+"));
        assert_eq!(libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC | libc::O_CLOEXEC, flags(c"we"));
        assert_eq!(libc::O_RDWR | libc::O_CREAT | libc::O_APPEND, flags(c"a+"));
        assert_eq!(libc::O_RDONLY, flags(c"r,ccs=xe"));
    }

    #[test]
    fn a_mode_is_there_only_where_a_file_may_be_made() {
        assert_eq!(None, creation_mode(libc::O_RDONLY, 0o777));
        assert_eq!(Some(0o640), creation_mode(libc::O_CREAT | libc::O_WRONLY, 0o640));
        assert_eq!(Some(0o600), creation_mode(libc::O_TMPFILE | libc::O_RDWR, 0o600));
        assert_eq!(None, creation_mode(libc::O_DIRECTORY, 0o600));
    }
}
