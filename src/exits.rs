//! The end of a process, as far as it announces it: its status and what it used. No record: the collector reads the
//! slot when the process is gone.

use core::ffi::c_int;
use core::sync::atomic::Ordering;

use wire::events::ChildStatus;

use crate::emit;
use crate::hook::Row;
use crate::state::{self, Seal};
use crate::sys;

/// The process is about to end with `status`. A vfork child that wrote nothing takes no slot for that: its parent's wait
/// tells.
pub fn note_status(status: c_int) {
    let Some(ring) = state::ring() else { return };
    if state::is_silent_guest() {
        return;
    }
    let Some(caller) = state::caller(ring) else { return };
    ring.slot(caller.slot).exit_status.store((status as u32 & 0xff) + 1, Ordering::Relaxed);
    note_usage();
}

/// Notes what the process has used so far, for the case that nobody can ask later.
pub fn note_usage() {
    let Some(ring) = state::ring() else { return };
    if state::seal() != Seal::Open || state::is_silent_guest() {
        return;
    }
    let (Some(caller), Some(usage)) = (state::caller(ring), sys::usage()) else { return };
    let slot = ring.slot(caller.slot);
    // In a vfork child the figures are its parent's; the parent writes its own again when it ends.
    slot.user_ns.store(usage.user_ns, Ordering::Relaxed);
    slot.system_ns.store(usage.system_ns, Ordering::Relaxed);
    slot.max_rss.store(usage.max_rss, Ordering::Relaxed);
}

/// A wait call: `real` is called with a place for the status, ours where the caller gave none.
///
/// # Safety
/// The arguments are those of a wait call.
pub unsafe fn wait(
    row: Row,
    status: *mut c_int,
    usage: *const libc::rusage,
    real: impl FnOnce(*mut c_int) -> c_int,
) -> c_int {
    if state::ring().is_none() {
        return real(status);
    }
    let mut own = 0;
    let place = if status.is_null() { &raw mut own } else { status };
    let child = real(place);
    if child > 0 {
        // SAFETY: the call succeeded, so it wrote the status and, where it was asked to, the usage.
        let (status, usage) = unsafe { (place.read(), usage.as_ref()) };
        if libc::WIFEXITED(status) || libc::WIFSIGNALED(status) {
            let usage = usage.map(sys::usage_of);
            emit::track(row, &ChildStatus { child: child as u32, status, usage });
        }
    }
    child
}
