//! What is known of the container around a process, for rules: read only where a rule or a filter asks.

use std::sync::Arc;

/// The container around a process as the kernel showed it at the process's hello.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// Whether the container has every right of its host; `None` outside of a container, and where that is
    /// not known.
    pub is_privileged: Option<bool>,
    /// Whether the running program was added to the container, or changed in it; `None` where that is not
    /// known.
    pub is_exe_added: Option<bool>,
    /// What of the collector's own files is mounted in the container; `None` where that is not known.
    pub mounts: Option<Arc<[Mount]>>,
}

/// A part of the collector's files that is mounted in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The path at which the collector has it.
    pub source: Box<[u8]>,
    /// The path at which the container has it.
    pub place: Box<[u8]>,
    /// Whether the container may write to it.
    pub is_writable: bool,
}

/// The pod around a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    /// Its uid.
    pub uid: Box<str>,
    /// Its name; empty where it is not known.
    pub name: Box<str>,
    /// Its namespace; empty where it is not known.
    pub namespace: Box<str>,
}
