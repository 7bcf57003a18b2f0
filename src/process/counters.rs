//! Counting in the slot of this process: without a lock where its only thread does it.

use core::sync::atomic::{AtomicPtr, AtomicU8, AtomicU64, Ordering};

use crate::arch;

/// glibc's `__libc_single_threaded`, or null.
static SINGLE_THREADED: AtomicPtr<AtomicU8> = AtomicPtr::new(core::ptr::null_mut());

/// Takes the address of glibc's `__libc_single_threaded` (since 2.32; <sys/single_threaded.h>).
pub fn watch_threads(flag: Option<usize>) {
    SINGLE_THREADED.store(flag.unwrap_or(0) as *mut AtomicU8, Ordering::Relaxed);
}

/// Whether no other thread of this process can be writing its counters. False where that is not known.
#[inline(always)]
pub fn is_alone() -> bool {
    // SAFETY: null, or libc's own byte, which it writes as a plain byte.
    let flag = unsafe { SINGLE_THREADED.load(Ordering::Relaxed).as_ref() };
    flag.is_some_and(|flag| flag.load(Ordering::Relaxed) != 0)
}

/// Adds to a counter of this process's own slot.
#[inline(always)]
pub fn add(counter: (&AtomicU64, &AtomicU64), first: u64, second: u64) {
    if is_alone() {
        arch::add_alone(counter.0, first);
        arch::add_alone(counter.1, second);
    } else {
        counter.0.fetch_add(first, Ordering::Relaxed);
        counter.1.fetch_add(second, Ordering::Relaxed);
    }
}

/// The next number of a counter of this process's own slot.
#[inline(always)]
pub fn next(counter: &AtomicU64) -> u64 {
    if is_alone() { arch::take_alone(counter, 1) } else { counter.fetch_add(1, Ordering::Relaxed) }
}
