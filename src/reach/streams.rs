//! Streams of libc: which descriptor each has, and whether its close is counted by libc's own table.
//!
//! Asked by the calls that open and close streams, and by [`super::stdio`], which changes the tables.

use core::ffi::c_int;
use core::sync::atomic::{AtomicUsize, Ordering};

use crate::reach::real::Real;
use crate::record::fail;

/// Offset of a stream's pointer to its table: behind `struct _IO_FILE`, whose size C++ programs have compiled
/// in.
const TABLE_AT: usize = 216;

/// The tables that were changed; 0 for none.
pub static CHANGED: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];

static FILENO: Real = Real::new();
static DIRFD: Real = Real::new();

/// The descriptor of an open stream; -1 without one.
///
/// # Safety
/// `stream` is null or an open stream.
pub unsafe fn of_stream(stream: *mut libc::FILE) -> c_int {
    // SAFETY: `int fileno(FILE *)`, fileno(3).
    unsafe { descriptor(FILENO.get(c"fileno"), stream.cast()) }
}

/// The descriptor of an open directory stream; -1 without one.
///
/// # Safety
/// `directory` is null or an open directory stream.
pub unsafe fn of_directory(directory: *mut libc::DIR) -> c_int {
    // SAFETY: `int dirfd(DIR *)`, dirfd(3).
    unsafe { descriptor(DIRFD.get(c"dirfd"), directory.cast()) }
}

/// Asks libc for a descriptor, and leaves errno as it was.
///
/// # Safety
/// `object` is null or what the function takes.
unsafe fn descriptor(function: Option<usize>, object: *mut u8) -> c_int {
    let (false, Some(address)) = (object.is_null(), function) else { return -1 };
    let errno = fail::errno();
    // SAFETY: the caller's promise.
    let fd =
        unsafe { core::mem::transmute::<usize, unsafe extern "C" fn(*mut u8) -> c_int>(address)(object) };
    if fd < 0 {
        fail::set_errno(errno);
    }
    fd
}

/// Whether libc calls [`super::stdio`] when it closes this stream.
///
/// # Safety
/// `stream` is null or an open stream.
pub unsafe fn reports_its_close(stream: *mut libc::FILE) -> bool {
    if stream.is_null() || CHANGED.iter().all(|table| table.load(Ordering::Relaxed) == 0) {
        return false;
    }
    // SAFETY: a stream of a libc that has the tables, so it is laid out as theirs.
    let table = unsafe { stream.cast::<u8>().add(TABLE_AT).cast::<usize>().read() };
    CHANGED.iter().any(|changed| changed.load(Ordering::Relaxed) == table)
}
