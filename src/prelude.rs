//! What every file of `hooks/` can name: C types, and the functions that rows call.

pub use core::ffi::{c_char, c_int, c_long, c_uint, c_void};
pub use core::ptr::null;

pub use libc::{
    AT_REMOVEDIR, CLOSE_RANGE_CLOEXEC, DIR, FILE, O_CLOEXEC, O_CREAT, O_RDWR, O_TRUNC, O_WRONLY, S_IFIFO,
    addrinfo, gid_t, hostent, mmsghdr, mode_t, msghdr, pid_t, rusage, uid_t,
};
pub use wire::fields::{AT_FDCWD, Trace};

pub use crate::capture::creation_mode;
pub use crate::emit::Way;
pub use crate::exec::Find;
pub use crate::fail::{ErrorNumber, MinusOne};
pub use crate::names::{NOWHERE, at, here, open_as};
pub use crate::net::unpeeked;
pub(crate) use crate::{dns, emit, exec, exits, fds, got, identity, lineage, names, net, syscalls};

/// `char *const []`.
pub type Strings = *const *const c_char;

/// The function that clone(2) runs.
pub type Entry = Option<lineage::Entry>;

/// How mkstemp(3) opens what it makes.
pub const TEMPORARY: c_int = O_RDWR | O_CREAT | libc::O_EXCL;
