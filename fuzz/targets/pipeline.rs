//! Hostile peers beside a bystander, with the whole pipeline behind them: the input is a list of what they
//! do, and of the collector's rounds. The bystander's ledger must be complete at the end, and the memory
//! bounded all the time.
#![no_main]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use libfuzzer_sys::fuzz_target;

/// What the collector may take for one input: a peer's allowance is 12 MiB.
const MOST: usize = 40 << 20;

/// The bytes that are allocated, and the most that were since the input began.
static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

struct Counted;

// SAFETY: every call goes to the system's allocator as it is.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(held, Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counted = Counted;

fuzz_target!(|bytes: &[u8]| {
    let before = HELD.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);

    collector::fuzzing::pipeline(bytes);

    let most = PEAK.load(Ordering::Relaxed).saturating_sub(before);
    assert!(most <= MOST, "{most} bytes were held");
});
