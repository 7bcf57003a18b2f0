//! What the kernel says of a process beyond its identity, for rules: read only where a rule or a filter asks.

use crate::ids::UtcNs;

/// A process as the kernel showed it at its hello.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Background {
    /// The controlling terminal, as proc_pid_stat(5) has it; 0 for none.
    pub tty: u32,
    /// The session, in the collector's pid namespace.
    pub session: u32,
    /// The process group and the session in the process's own pid namespace, where the kernel says them.
    pub own_group: Option<u32>,
    pub own_session: Option<u32>,
    /// When the process was made, to the tick.
    pub started: UtcNs,
    /// The user that logged in; `None` for none.
    pub login: Option<u32>,
    /// The effective, permitted and inheritable capabilities.
    pub capabilities: Option<[u64; 3]>,
}

/// Where a process is, as far as that is known without the name of a container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// Not known.
    #[default]
    Unknown,
    /// In no container.
    Host,
    /// In a container or sandbox.
    Sandbox,
}
