//! The names that every file of `hooks/` has: C types, and the functions that rows call.

pub use core::ffi::{c_char, c_int, c_long, c_uint, c_void};
pub use core::ptr::null;

pub use libc::{
    AT_REMOVEDIR, CLOSE_RANGE_CLOEXEC, DIR, FILE, O_CLOEXEC, O_CREAT, O_RDWR, O_TRUNC, O_WRONLY, S_IFIFO,
    addrinfo, gid_t, hostent, mmsghdr, mode_t, msghdr, pid_t, rlimit, rusage, uid_t,
};
pub use wire::fields::{AT_FDCWD, Trace};

pub use crate::calls::exec::Exec;
pub(crate) use crate::calls::memory as areas;
pub use crate::calls::net::unpeeked;
pub use crate::calls::paths::{NOWHERE, at, here, open_as};
pub(crate) use crate::calls::{
    connects, dns, exec, exits, fds, identity, lineage, net, paths, syscalls, uring,
};
pub(crate) use crate::reach::got;
pub use crate::record::capture::creation_mode;
pub(crate) use crate::record::emit;
pub use crate::record::emit::Way;
pub use crate::record::fail::{Eai, ErrorNumber, Fails, MapFailed, MinusOne, NegativeErrno, Never, Null};

/// `char *const []`.
pub type Strings = *const *const c_char;

/// The function that clone(2) runs.
pub type Entry = Option<lineage::Entry>;

/// The flags with which mkstemp(3) opens a file.
pub const TEMPORARY: c_int = O_RDWR | O_CREAT | libc::O_EXCL;
