//! The ways in which functions report failure: the `fails` column of the hook table.
//!
//! Each type turns a return value into an [`Outcome`], and knows what to return where the function does not
//! exist in this process's libc.

use core::ffi::c_int;

use crate::reach::real::Real;
use crate::reach::words::Word;
use crate::record::call::Outcome;

/// A way of failing, for return type `R`.
pub trait Fails<R: Word> {
    /// The same as a value.
    const FAILING: Failing;

    #[inline(always)]
    fn outcome(ret: R) -> Outcome {
        Self::FAILING.outcome(ret.into_word())
    }

    /// The return value, with errno set where the function reports by it, of a function that this libc does
    /// not have.
    #[inline(always)]
    fn missing() -> R {
        R::from_word(Self::FAILING.missing())
    }
}

/// A way of failing as a value: for code that many rows share.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Failing(u8);

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

impl Failing {
    const MINUS_ONE_INT: Self = Self(0);
    const MINUS_ONE_LONG: Self = Self(1);
    const NULL: Self = Self(2);
    const MAP_FAILED: Self = Self(3);
    const ERROR_NUMBER: Self = Self(4);
    const EAI: Self = Self(5);
    const NEVER: Self = Self(6);
    const NEGATIVE_ERRNO: Self = Self(7);

    /// Its number in the table of entries.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// The way with this number.
    pub const fn of(number: u8) -> Self {
        Self(number)
    }

    /// How a call ended that left `ret` in the register of results.
    #[inline(always)]
    pub fn outcome(self, ret: usize) -> Outcome {
        match self {
            Self::MINUS_ONE_INT => by_errno(ret as c_int as i64, ret as c_int == -1),
            // A mapping's `ret` is its address.
            Self::MINUS_ONE_LONG | Self::MAP_FAILED => by_errno(ret as i64, ret as isize == -1),
            // A pointer's value would show no more than the address layout.
            Self::NULL => by_errno(if ret == 0 { -1 } else { 0 }, ret == 0),
            Self::ERROR_NUMBER => {
                Outcome { ret: ret as c_int as i64, errno: ret as u16, failed: ret as c_int != 0 }
            }
            Self::EAI => {
                let errno = if ret as c_int == libc::EAI_SYSTEM { errno() as u16 } else { 0 };
                Outcome { ret: ret as c_int as i64, errno, failed: ret as c_int != 0 }
            }
            Self::NEGATIVE_ERRNO => {
                let (ret, failed) = (ret as c_int, (ret as c_int) < 0);
                Outcome { ret: ret.into(), errno: if failed { -ret as u16 } else { 0 }, failed }
            }
            _ => Outcome::success(0),
        }
    }

    /// See [`Fails::missing`].
    #[cold]
    #[inline(never)]
    pub fn missing(self) -> usize {
        match self {
            Self::ERROR_NUMBER => return libc::ENOSYS as usize,
            Self::EAI => return libc::EAI_FAIL as usize,
            Self::NEGATIVE_ERRNO => return -libc::ENOSYS as usize,
            Self::NEVER => return 0,
            _ => set_errno(libc::ENOSYS),
        }
        if self == Self::NULL { 0 } else { usize::MAX }
    }
}

/// -1, with errno.
pub struct MinusOne;
/// A null pointer, with errno.
pub struct Null;
/// `MAP_FAILED`, with errno.
pub struct MapFailed;
/// The error number itself, errno untouched: posix_spawn.
pub struct ErrorNumber;
/// An `EAI_*` code; errno only with `EAI_SYSTEM`: getaddrinfo.
pub struct Eai;
/// The negative error number, errno untouched: liburing.
pub struct NegativeErrno;
/// Nothing: the function does not return, or returns nothing.
pub struct Never;

impl Fails<c_int> for MinusOne {
    const FAILING: Failing = Failing::MINUS_ONE_INT;
}
impl Fails<i64> for MinusOne {
    const FAILING: Failing = Failing::MINUS_ONE_LONG;
}
impl Fails<isize> for MinusOne {
    const FAILING: Failing = Failing::MINUS_ONE_LONG;
}
impl<T> Fails<*mut T> for Null {
    const FAILING: Failing = Failing::NULL;
}
impl<T> Fails<*mut T> for MapFailed {
    const FAILING: Failing = Failing::MAP_FAILED;
}
impl Fails<c_int> for ErrorNumber {
    const FAILING: Failing = Failing::ERROR_NUMBER;
}
impl Fails<c_int> for Eai {
    const FAILING: Failing = Failing::EAI;
}
impl Fails<c_int> for NegativeErrno {
    const FAILING: Failing = Failing::NEGATIVE_ERRNO;
}
impl Fails<()> for Never {
    const FAILING: Failing = Failing::NEVER;
}
