//! The distance of the collector that this image reports to.

use core::sync::atomic::{AtomicBool, AtomicU8, Ordering};

/// The distance of the collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Distance {
    /// It shares our /proc and files, and says so by its socket's name.
    Near = 0,
    /// It has a number in our pid namespace.
    Beside = 1,
    /// It has none.
    Apart = 2,
}

static DISTANCE: AtomicU8 = AtomicU8::new(Distance::Near as u8);

/// The distance of the collector that this image reports to.
pub fn distance() -> Distance {
    match DISTANCE.load(Ordering::Relaxed) {
        0 => Distance::Near,
        1 => Distance::Beside,
        _ => Distance::Apart,
    }
}

pub fn set_distance(distance: Distance) {
    DISTANCE.store(distance as u8, Ordering::Relaxed);
}

static WAS_IN_DOUBT: AtomicBool = AtomicBool::new(false);

/// Whether the listener's user alone did not say whether it may have the ring, so that more calls were made.
pub fn was_in_doubt() -> bool {
    WAS_IN_DOUBT.load(Ordering::Relaxed)
}

/// Says that it did not.
pub fn note_doubt() {
    WAS_IN_DOUBT.store(true, Ordering::Relaxed);
}
