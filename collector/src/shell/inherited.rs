//! Notes what the caller handed to this process and the standard library's start-up code hides.
//!
//! Before `main`, std opens /dev/null over closed standard streams and ignores SIGPIPE
//! (library/std/src/sys/pal/unix/mod.rs, `init`). CMD would inherit both, so an `.init_array` entry, which
//! runs before std, notes the caller's state, and [`restore`] puts it back in the child that becomes CMD.
//!
//! # Safety
//! [`note`] runs before `main`, on the only thread, and only makes system calls through libc, which is
//! initialised by then (the loader runs libc's own constructors first). [`restore`] is for a process that is
//! about to exec: nothing may use the standard streams afterwards.
#![allow(unsafe_code, reason = "runs before std and undoes what std did, by raw descriptor number")]

use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

/// Bit N is set if descriptor N (0, 1, 2) was closed.
static CLOSED: AtomicU8 = AtomicU8::new(0);
static IGNORES_PIPE: AtomicBool = AtomicBool::new(false);
static IGNORES_CHILD: AtomicBool = AtomicBool::new(false);

// SAFETY: `.init_array` holds pointers to functions of this type (System V ABI; glibc passes argc, argv
// and envp, which a function without parameters ignores), and `note` is one.
#[used]
#[unsafe(link_section = ".init_array")]
static NOTE: extern "C" fn() = note;

/// Notes the state that std is about to change.
extern "C" fn note() {
    for fd in 0..3 {
        // SAFETY: F_GETFD takes no pointer; a closed descriptor is an error, not undefined.
        let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
        if flags < 0 {
            CLOSED.fetch_or(1 << fd, Ordering::Relaxed);
        }
    }
    IGNORES_PIPE.store(is_ignored(libc::SIGPIPE), Ordering::Relaxed);
    IGNORES_CHILD.store(is_ignored(libc::SIGCHLD), Ordering::Relaxed);
}

/// True if this process ignores `signal` now.
pub fn is_ignored(signal: libc::c_int) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: a null new action only reads; `action` has room for the answer.
    let result = unsafe { libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) };
    // SAFETY: zeroed is a valid sigaction, so this holds whether or not the call filled it.
    let action = unsafe { action.assume_init() };
    result == 0 && action.sa_sigaction == libc::SIG_IGN
}

/// True if the caller started this process with descriptor `fd` (0, 1 or 2) closed.
pub fn was_closed(fd: i32) -> bool {
    (0..3).contains(&fd) && CLOSED.load(Ordering::Relaxed) & (1 << fd) != 0
}

/// Puts back the closed standard streams and the dispositions of SIGPIPE and SIGCHLD.
///
/// For a process that becomes CMD next. Makes system calls only, so it may run between fork and exec.
pub fn restore() {
    restore_pipe();
    set_ignored(libc::SIGCHLD, IGNORES_CHILD.load(Ordering::Relaxed));
    for fd in 0..3 {
        if was_closed(fd) {
            // SAFETY: the process execs next; the descriptor is std's stand-in, which no Rust object owns.
            unsafe { libc::close(fd) };
        }
    }
}

/// Puts back the disposition of SIGPIPE alone: for commands whose output is read by `head`.
pub fn restore_pipe() {
    set_ignored(libc::SIGPIPE, IGNORES_PIPE.load(Ordering::Relaxed));
}

/// Sets `signal` to be ignored, or to its default action.
pub fn set_ignored(signal: libc::c_int, ignored: bool) {
    // SAFETY: SIG_IGN and SIG_DFL run no code of this program, and no handler that libc relies on is
    // replaced.
    unsafe { libc::signal(signal, if ignored { libc::SIG_IGN } else { libc::SIG_DFL }) };
}
