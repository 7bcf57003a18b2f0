//! The end of a process, as far as the process announces it: its status and its usage. No record is written:
//! the collector reads the slot when the process is gone.

use core::ffi::{c_int, c_void};
use core::sync::atomic::Ordering;

use wire::events::ChildStatus;

use crate::process::{self, Seal};
use crate::reach::real;
use crate::record::call::Row;
use crate::record::emit;
use crate::sys;

/// The process is about to end with `status`. A vfork child that wrote nothing takes no slot for this: its
/// parent's wait call reports the status.
pub fn note_status(status: c_int) {
    let Some(ring) = process::ring() else { return };
    if process::is_silent_guest() {
        return;
    }
    let Some(caller) = process::caller(ring) else { return };
    ring.slot(caller.slot).exit_status.store((status as u32 & 0xff) + 1, Ordering::Relaxed);
    note_usage();
}

/// Registers a function that libc calls with the exit status: also where `main` returns it, which no hook
/// sees.
///
/// For a collector in another pid namespace beside this one, which the kernel does not tell how a process of
/// this one ended. Only glibc offers it (on_exit(3)). The function registered first is called last; a fork
/// child inherits it.
pub fn ask_for_status() {
    type Ended = unsafe extern "C" fn(c_int, *mut c_void);
    type OnExit = unsafe extern "C" fn(Ended, *mut c_void) -> c_int;
    unsafe extern "C" fn ended(status: c_int, _: *mut c_void) {
        note_status(status);
    }
    // In glibc itself: a function of the program's may have that name too.
    if let Some(address) = real::in_image_of(c"gnu_get_libc_version", c"on_exit") {
        // SAFETY: glibc's function has this type (man 3 on_exit).
        let on_exit = unsafe { core::mem::transmute::<usize, OnExit>(address) };
        // SAFETY: `ended` stays: the sensor is never unloaded. Without memory for the entry the status is not
        // noted.
        unsafe { on_exit(ended, core::ptr::null_mut()) };
    }
}

/// Notes the usage of the process so far, since it cannot be read after the end.
pub fn note_usage() {
    let Some(ring) = process::ring() else { return };
    if process::seal() != Seal::Open || process::is_silent_guest() {
        return;
    }
    let (Some(caller), Some(usage)) = (process::caller(ring), sys::usage()) else { return };
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
    if process::ring().is_none() {
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
