//! The proof that the kernel of this host delivers: a throwaway child goes the whole way under the filter
//! before CMD is started with it. A host may let a filter be installed and then refuse the supervisor's
//! calls; then every program would fail.
//!
//! # Safety
//! The child makes system calls with constant strings and exits; it allocates nothing.
#![allow(unsafe_code, reason = "fork has no safe interface")]

use std::ffi::CStr;

use rustix::event::Timespec;

use super::birth::{self, Born, Refused};
use super::listener::Waited;
use super::memory::{Memory, ProcessMemory};
use crate::system::{child, yama};

/// The program that the child asks for, which does not exist.
const PROBE: &CStr = c"/proc/self/fd/glassbox-proof";
/// Each step may take this long.
const PATIENCE: Timespec = Timespec { tv_sec: 2, tv_nsec: 0 };

/// Goes the whole way once.
pub fn prove(program: &[libc::sock_filter]) -> Result<(), Refused> {
    let Born { pid, listener } = birth::fork(program, || {
        let arguments = [PROBE.as_ptr(), std::ptr::null()];
        // SAFETY: as the module says.
        unsafe {
            libc::execve(PROBE.as_ptr(), arguments.as_ptr(), arguments[1..].as_ptr());
            libc::_exit(*libc::__errno_location());
        }
    })?;
    let throwaway = Child(pid);
    if listener.wait(Some(PATIENCE)) != Waited::Call {
        return Err(
            "the kernel reports no call; a security module or an older kernel may be the cause".to_owned()
        );
    }
    let call = listener
        .receive()
        .map_err(|error| {
            format!(
                "receiving a call is refused ({error}); a security module such as AppArmor may be the cause"
            )
        })?
        .ok_or("the call that was reported was gone")?;
    let mut read = [0; PROBE.count_bytes() + 1];
    let len = ProcessMemory { pid: call.tid }.read(call.args[0], &mut read);
    if read.get(..len) != Some(PROBE.to_bytes_with_nul()) {
        let why = yama::forbids_children().unwrap_or_else(|| {
            "grant CAP_SYS_PTRACE, or allow process_vm_readv in the container's seccomp profile".to_owned()
        });
        return Err(format!(
            "the memory of a child cannot be read, by process_vm_readv or /proc/PID/mem; {why}"
        ));
    }
    if !listener.is_waiting(call.id) {
        return Err("the kernel does not say whether a call still waits".to_owned());
    }
    listener.let_go_on(call.id).map_err(|error| match error.raw_os_error() {
        Some(libc::EINVAL) => "this kernel lets no call go on; Linux 5.5 and later do".to_owned(),
        _ => format!("answering a call is refused ({error})"),
    })?;
    match throwaway.status() {
        Some(libc::ENOENT) => Ok(()),
        _ => Err("a call that was let go on did not do what it does otherwise".to_owned()),
    }
}

/// Killed and reaped at the latest when it is dropped.
struct Child(i32);

impl Child {
    /// Its exit status; `None` where a signal killed it.
    fn status(self) -> Option<i32> {
        let pid = self.0;
        std::mem::forget(self);
        child::reap(pid).filter(|status| libc::WIFEXITED(*status)).map(|status| libc::WEXITSTATUS(status))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        child::end(self.0);
    }
}
