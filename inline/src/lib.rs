//! The engine behind `glassbox run --inline`: a second library that writes over the first instructions of a
//! few functions of libc, so that libc's calls of itself reach the sensor too.
//!
//! The sensor (`src/reach/inline.rs`) loads it into each program and calls [`glassbox_inline`] once, from its
//! constructor, in the process's only thread. The engine brings Frida's decoder and relocator, by
//! [`frida_gum`]; it knows nothing of events. `docs/inline.md` says how to build it.

use std::ffi::c_void;
use std::mem;
use std::slice;
use std::sync::{Mutex, PoisonError};

use frida_gum::interceptor::Interceptor;
use frida_gum::{Gum, NativePointer};

/// One function; the same as `Entry` in the sensor's `src/reach/inline.rs`.
#[repr(C)]
pub struct Entry {
    /// Its first instruction.
    function: *mut c_void,
    /// The function that its callers are to reach instead; of the same type.
    replacement: *mut c_void,
    /// A function that does the same as the old one: filled in here, or left null where the function cannot
    /// be changed.
    original: *mut c_void,
}

/// Writes over all entries that were prepared.
type Change = extern "C" fn();

/// Between the preparation and the change: gum keeps what it changed for as long as there is an interceptor.
struct Prepared(Interceptor);

// SAFETY: gum's interceptor is one object of the process, behind a lock of its own; this is a counted
// reference to it.
unsafe impl Send for Prepared {}

static PREPARED: Mutex<Option<Prepared>> = Mutex::new(None);

/// Makes a callable copy of each function's beginning, and gives what then changes them all; `None` if none
/// can be changed.
///
/// Two steps, because a function that is changed before the sensor knows its copy would lead back to itself.
/// Nothing is changed until the second.
///
/// # Safety
/// `entries` points to `count` entries; each function is one, and its replacement has the same type. No other
/// thread runs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glassbox_inline(entries: *mut Entry, count: usize) -> Option<Change> {
    // SAFETY: the caller's promise.
    let entries = unsafe { slice::from_raw_parts_mut(entries, count) };
    let gum = Gum::obtain();
    let mut interceptor = Interceptor::obtain(&gum);
    interceptor.begin_transaction();
    let mut prepared = 0;
    for entry in entries {
        // A function too short, or of a shape that gum does not move, stays as it is.
        let original =
            interceptor.replace_fast(NativePointer(entry.function), NativePointer(entry.replacement));
        if let Ok(original) = original {
            entry.original = original.0;
            prepared += 1;
        }
    }
    *PREPARED.lock().unwrap_or_else(PoisonError::into_inner) = Some(Prepared(interceptor));
    (prepared > 0).then_some(change as Change)
}

/// The end of gum's transaction, which writes. The interceptor lives as long as the process.
extern "C" fn change() {
    if let Some(Prepared(mut interceptor)) = PREPARED.lock().unwrap_or_else(PoisonError::into_inner).take() {
        interceptor.end_transaction();
        mem::forget(interceptor);
    }
}
