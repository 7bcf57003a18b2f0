//! The seal: the degree to which the process has shut itself off from the kernel, and so whether the sensor
//! may still make a system call.

use core::sync::atomic::{AtomicU8, Ordering};

use crate::sys;

static SEAL: AtomicU8 = AtomicU8::new(Seal::Open as u8);

/// The degree to which the process has shut itself off from the kernel.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Seal {
    /// The process is not known to have shut itself off.
    Open = 0,
    /// It installed a seccomp filter: no system call of ours from here on.
    Filter = 1,
    /// Strict mode: not even the vDSO's clock, which may fall back on a system call.
    Strict = 2,
}

/// The seal of this process.
#[inline(always)]
pub fn seal() -> Seal {
    match SEAL.load(Ordering::Relaxed) {
        0 => Seal::Open,
        1 => Seal::Filter,
        _ => Seal::Strict,
    }
}

/// Notes that the process is shutting itself off, never less than before.
pub fn tighten(seal: Seal) {
    SEAL.fetch_max(seal as u8, Ordering::Relaxed);
}

/// The clock of records and UTC; 0 where they may not be asked.
pub fn both_clocks() -> (u64, u64) {
    if seal() == Seal::Strict { (0, 0) } else { sys::both_clocks() }
}

/// The clock of records; 0 where it may not be asked.
#[inline(always)]
pub fn now_ns() -> u64 {
    if seal() == Seal::Strict { 0 } else { sys::now_ns() }
}
