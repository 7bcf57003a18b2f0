//! What rows of `hooks/` call: one file a subject, whose functions read a call's arguments and report it.

pub mod dns;
pub mod exec;
pub mod exits;
pub mod fds;
pub mod identity;
pub mod lineage;
pub mod net;
pub mod paths;
pub mod syscalls;
