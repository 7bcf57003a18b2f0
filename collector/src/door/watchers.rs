//! Those who watch the session: `glassbox top`. Each gets what a recording would have, from then on.

use std::os::fd::OwnedFd;

use crossbeam_channel::Receiver;
use rustix::process::geteuid;

use crate::ids::Pid;
use crate::shell::failure::Failure;
use crate::sinks::OutletId;
use crate::system::kernel;
use crate::system::namespaces::{self, Kind};
use crate::system::procfs;

/// Marks the epoll token of a watcher; the rest is its number.
pub const WATCHER: u64 = 1 << 60;

/// So many may watch at once: each costs a thread, and a queue of its own.
pub const MOST_WATCHERS: usize = 4;

/// Those who watch.
#[derive(Debug, Default)]
pub struct Watchers {
    pub list: Vec<Watcher>,
    /// The number of the next.
    pub next: u64,
}

/// One of them.
#[derive(Debug)]
pub struct Watcher {
    /// Its epoll token.
    pub token: u64,
    pub connection: OwnedFd,
    /// Gets the output's id once the pipeline has added it.
    pub id_rx: Receiver<Result<OutletId, Failure>>,
}

/// Whether the peer may see what other programs do: root and the collector's own user may, from where the
/// collector itself is. Root of another container is a stranger.
pub fn may_watch(connection: &OwnedFd) -> Result<(), &'static str> {
    let peer = kernel::peer(connection).map_err(|_| "the kernel does not say who asks")?;
    if peer.uid != 0 && peer.uid != geteuid().as_raw() {
        return Err("only root and the collector's own user may watch; use sudo");
    }
    let pidfd = kernel::peer_pidfd(connection).ok().or_else(|| procfs::open(peer.pid));
    let is_here = |kind| {
        let there = pidfd.as_ref().and_then(|pidfd| namespaces::inode_in(pidfd, Some(Pid(peer.pid)), kind));
        there.is_some() && there == namespaces::own(kind)
    };
    if peer.pid == 0 || !is_here(Kind::Mount) {
        return Err("watch from the collector's own container (docker exec, kubectl exec)");
    }
    Ok(())
}
