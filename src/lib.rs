//! `libglassbox.so`: the library that the loader puts into every process.
//!
//! It wraps libc functions by symbol interposition, copies what they were asked and what came of it, and
//! writes records into a ring that it shares with the collector. It needs no library and no symbol, so one
//! file loads into glibc, musl and programs without libc; it has no thread, no descriptor, no lock, no
//! allocator and no panic.
//!
//! `hooks/` declares what is wrapped, one file a man-page family; everything here is the runtime and names no
//! hook. The way of a call: wrapper (`reach::hook`) → `reach::passage` → the real function, then what the row
//! says (`calls`) → `record::capture` → `record::emit` → `wire::ring`. See `ARCHITECTURE.md`.

#![cfg_attr(not(test), no_std)]
#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg_attr(test, allow(clippy::indexing_slicing, clippy::unwrap_used, dead_code))]
#![allow(clippy::macro_metavars_in_unsafe)] // a row of `hooks/` is unsafe code, and reviewed as such
#![allow(clippy::missing_safety_doc)] // the wrappers' contract is the C function's

mod arch;
mod calls;
mod prelude;
mod process;
mod reach;
mod record;
mod start;
mod sys;

#[path = "../hooks/table.rs"]
mod table;

#[cfg(not(test))]
use start::init;

/// Every loader runs these before `main` and at exit.
#[cfg(not(test))]
#[used]
#[unsafe(link_section = ".init_array")]
static START: extern "C" fn() = init::start;
#[cfg(not(test))]
#[used]
#[unsafe(link_section = ".fini_array")]
static FINISH: extern "C" fn() = init::finish;

// The library's entry point (`build.rs`), which needs no exported name.
#[cfg(not(test))]
entry_stub! { init::join }

/// Never reached: `cargo xtask check-so` proves that no path to it is linked, by the absence of the bytes
/// after the instruction, which go wherever the optimiser puts this. It stops rather than loops, should the
/// proof be wrong.
#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: an invalid instruction, which raises SIGILL.
    unsafe {
        core::arch::asm!("ud2", ".ascii \"GBXPANIC\"", options(noreturn))
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: an invalid instruction, which raises SIGILL.
    unsafe {
        core::arch::asm!("udf 0", ".ascii \"GBXPANIC\"", options(noreturn))
    }
}
