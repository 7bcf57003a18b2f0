//! The ways in which functions report failure: the `fails` column of the hook table.
//!
//! Each type turns a return value into an [`Outcome`], and knows what to return where the function does not
//! exist in this process's libc.

use core::ffi::c_int;

use crate::reach::real::Real;
use crate::record::call::Outcome;

/// A way of failing, for return type `R`.
pub trait Fails<R> {
    fn outcome(ret: &R) -> Outcome;
    /// The return value, with errno set where the function reports by it, of a function that this libc does
    /// not have.
    fn missing() -> R;
}

static ERRNO_LOCATION: Real = Real::new();

fn errno_location() -> Option<*mut c_int> {
    // libc would follow a pointer that is not there either.
    #[cfg(not(test))]
    crate::arch::thread_block()?;
    let address = ERRNO_LOCATION.get(c"__errno_location")?;
    // SAFETY: `int *__errno_location(void)` of glibc and musl (LSB, "libc").
    Some(unsafe { core::mem::transmute::<usize, extern "C" fn() -> *mut c_int>(address)() })
}

/// This thread's errno; 0 in a process without libc.
#[inline(never)]
pub fn errno() -> c_int {
    // SAFETY: the address of this thread's errno.
    errno_location().map_or(0, |place| unsafe { *place })
}

/// Sets this thread's errno, as a failed call does.
pub fn set_errno(value: c_int) {
    if let Some(place) = errno_location() {
        // SAFETY: the address of this thread's errno.
        unsafe { *place = value };
    }
}

fn by_errno(ret: i64, failed: bool) -> Outcome {
    Outcome { ret, errno: if failed { errno() as u16 } else { 0 }, failed }
}

/// -1, with errno.
pub struct MinusOne;

macro_rules! minus_one {
    ($($integer:ty),*) => {$(
        impl Fails<$integer> for MinusOne {
            #[inline(always)]
            fn outcome(ret: &$integer) -> Outcome { by_errno(*ret as i64, *ret == -1) }
            #[cold]
            fn missing() -> $integer { set_errno(libc::ENOSYS); -1 }
        }
    )*};
}
minus_one!(i32, i64, isize);

/// A null pointer, with errno. `ret` is 0 for a pointer: its value would show no more than the address
/// layout.
pub struct Null;

impl<T> Fails<*mut T> for Null {
    #[inline(always)]
    fn outcome(ret: &*mut T) -> Outcome {
        by_errno(if ret.is_null() { -1 } else { 0 }, ret.is_null())
    }
    #[cold]
    fn missing() -> *mut T {
        set_errno(libc::ENOSYS);
        core::ptr::null_mut()
    }
}

/// `MAP_FAILED`, with errno. Otherwise `ret` is the address.
pub struct MapFailed;

impl<T> Fails<*mut T> for MapFailed {
    #[inline(always)]
    fn outcome(ret: &*mut T) -> Outcome {
        by_errno(*ret as i64, *ret as isize == -1)
    }
    #[cold]
    fn missing() -> *mut T {
        set_errno(libc::ENOSYS);
        usize::MAX as *mut T
    }
}

/// The error number itself, errno untouched: posix_spawn.
pub struct ErrorNumber;

impl Fails<c_int> for ErrorNumber {
    #[inline(always)]
    fn outcome(ret: &c_int) -> Outcome {
        Outcome { ret: i64::from(*ret), errno: *ret as u16, failed: *ret != 0 }
    }
    fn missing() -> c_int {
        libc::ENOSYS
    }
}

/// An `EAI_*` code; errno only with `EAI_SYSTEM`: getaddrinfo.
pub struct Eai;

impl Fails<c_int> for Eai {
    #[inline(always)]
    fn outcome(ret: &c_int) -> Outcome {
        let errno = if *ret == libc::EAI_SYSTEM { errno() as u16 } else { 0 };
        Outcome { ret: i64::from(*ret), errno, failed: *ret != 0 }
    }
    fn missing() -> c_int {
        libc::EAI_FAIL
    }
}

/// Nothing: the function does not return, or returns nothing.
pub struct Never;

impl Fails<()> for Never {
    fn outcome(_: &()) -> Outcome {
        Outcome::success(0)
    }
    fn missing() {}
}
