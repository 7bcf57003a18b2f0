//! In which circumstances a process acts, for rules: no output shows them.

use std::sync::Arc;

use super::background::{Background, Place};
use super::surroundings::{Pod, Surroundings};

/// Facts of a process that may change while it runs. Known facts are shared by all its events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Circumstances {
    /// The current directory; empty where it is not known.
    pub cwd: Arc<[u8]>,
    /// The effective group id.
    pub egid: Option<u32>,
    /// The names of the effective user and group, where the process has the collector's root.
    pub names: Option<Arc<Names>>,
    /// Whether it is in a container.
    pub place: Place,
    /// What the kernel says, where a rule asks for it.
    pub background: Option<Arc<Background>>,
    /// What is known of the container around it, where a rule asks for it.
    pub surroundings: Option<Arc<Surroundings>>,
    /// The pod around it.
    pub pod: Option<Arc<Pod>>,
}

/// The names of users and of a group, as far as they have some.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Of the effective user.
    pub user: Option<Arc<str>>,
    /// Of the effective group.
    pub group: Option<Arc<str>>,
    /// Of the user that logged in.
    pub login: Option<Arc<str>>,
}
