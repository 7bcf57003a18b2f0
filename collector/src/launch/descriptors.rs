//! Closes the launcher's copies of the descriptors that belong to CMD: a copy that stays open would keep a
//! pipe's reader waiting, a lock held and a file system busy.
//!
//! # Safety
//! Descriptors that this process inherited belong to no Rust object, so closing them by number invalidates
//! none. [`close_all_but`] runs in a forked child that execs next.
#![allow(unsafe_code, reason = "inherited descriptors are known by number only")]

use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, RawFd};

/// The descriptors above the standard streams that the caller handed down.
///
/// Call this before this process opens anything: all descriptors that are open then are the caller's.
pub fn inherited() -> Vec<RawFd> {
    let listed: Vec<RawFd> = match fs::read_dir("/proc/self/fd") {
        Ok(entries) => entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str().and_then(|name| name.parse().ok()))
            .collect(),
        // Without /proc: more than a shell's redirections make.
        Err(_) => (0..256).collect(),
    };
    // The listing showed its own descriptor too, which is closed by now: so each is checked once more.
    listed.into_iter().filter(|fd| *fd > 2 && is_open(*fd)).collect()
}

fn is_open(fd: RawFd) -> bool {
    // SAFETY: F_GETFD takes no pointer; a closed descriptor is an error, not undefined.
    unsafe { libc::fcntl(fd, libc::F_GETFD) >= 0 }
}

/// Leaves the caller's descriptors, its standard input and output, and its working directory to CMD alone.
///
/// The standard error stays open for the launcher's own messages.
pub fn leave_to_command(inherited: &[RawFd]) {
    for fd in inherited {
        // SAFETY: no Rust object owns it, as the module's argument says.
        unsafe { libc::close(*fd) };
    }
    let _ = replace_by_null(0);
    let _ = replace_by_null(1);
    let _ = std::env::set_current_dir("/");
}

/// Opens /dev/null over `fd`; where there is no /dev/null, closes nothing and fails.
pub fn replace_by_null(fd: RawFd) -> io::Result<()> {
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    replace(fd, null.as_raw_fd())
}

/// Makes `fd` a copy of `source` that survives an exec.
pub fn replace(fd: RawFd, source: RawFd) -> io::Result<()> {
    // SAFETY: dup2 takes numbers; `fd` is a standard stream, which std expects to be open, as it then is.
    if unsafe { libc::dup2(source, fd) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Clears close-on-exec, so that `fd` survives the exec that comes next.
pub fn hand_down(fd: RawFd) {
    // SAFETY: F_SETFD takes a number.
    unsafe { libc::fcntl(fd, libc::F_SETFD, 0) };
}

/// Closes every descriptor that is not in `kept`, and leaves the working directory: for a process that
/// outlives this one.
pub fn keep_only(kept: &[RawFd]) {
    for stream in 0..3 {
        let _ = replace_by_null(stream);
    }
    close_all_but(kept);
    let _ = std::env::set_current_dir("/");
}

/// Closes every descriptor above the standard streams that is not in `kept`.
pub fn close_all_but(kept: &[RawFd]) {
    let mut kept: Vec<RawFd> = kept.to_vec();
    kept.sort_unstable();
    let mut from = 3;
    for fd in kept {
        close_range(from, fd - 1);
        from = from.max(fd + 1);
    }
    close_range(from, RawFd::MAX);
}

fn close_range(from: RawFd, to: RawFd) {
    if from > to {
        return;
    }
    // SAFETY: close_range takes numbers; no Rust object owns them, as the module's argument says.
    let result = unsafe { libc::syscall(libc::SYS_close_range, from, to, 0) };
    if result != 0 {
        // Before Linux 5.9.
        for fd in inherited().into_iter().filter(|fd| (from..=to).contains(fd)) {
            // SAFETY: as above.
            unsafe { libc::close(fd) };
        }
    }
}
