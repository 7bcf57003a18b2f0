//! The functions that rows of `hooks/` call, one file a subject: they read a call's arguments and report the
//! call.

pub mod actions;
pub mod connects;
pub mod dns;
pub mod exec;
pub mod exits;
pub mod fds;
pub mod foreign;
pub mod identity;
pub mod lineage;
pub mod memory;
pub mod net;
pub mod paths;
pub mod peers;
pub mod queues;
pub mod syscalls;
pub mod uring;
