//! Bytes of TCP sockets: what the kernel counts of each, and how much of it was told at earlier closes.
//!
//! A socket is copied for a moment while the call that closes it waits: its close cannot go on meanwhile, so
//! the copy is never the last one, unless the process is killed just then. Both the question and the close
//! of the copy may wait for another process: the socket's lock is held by a thread that sends from memory
//! whose server does not answer (userfaultfd), and a last close takes as long as SO_LINGER says. So threads
//! of the [`Examiner`] do both, and the supervisor waits for a moment. A socket that has not answered by then
//! has no bytes. While its lock is held by a thread, that thread's own reference keeps it open, so the late
//! copy changes nothing for the program.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use rustix::process::{PidfdGetfdFlags, pidfd_getfd};

use crate::allowance::Account;
use crate::door::janitor::Janitor;
use crate::system::connections::{self, Side, Traffic};
use crate::system::examiner::Examiner;

/// Sockets that are remembered twice over; the oldest are forgotten.
const MOST_SOCKETS: usize = 4096;
/// How long the supervisor waits for the answer of one.
const PATIENCE: Duration = Duration::from_millis(50);

/// Sockets by inode, in two generations.
#[derive(Debug, Default)]
pub struct Sockets {
    young: FxHashMap<u64, Socket>,
    old: FxHashMap<u64, Socket>,
    has_forgotten: bool,
    /// What the closes of the present call tell of each, which nobody has been sent yet.
    untold: FxHashMap<u64, Traffic>,
    examiner: Examiner,
}

/// A socket that this process asked a connection for, or whose close was told.
#[derive(Clone, Copy, Debug, Default)]
struct Socket {
    has_asked: bool,
    told: Traffic,
}

/// A descriptor of a process that leads to a socket.
#[derive(Debug)]
pub struct SocketAt {
    pidfd: Arc<OwnedFd>,
    fd: i32,
    inode: u64,
    janitor: Janitor,
}

/// What the kernel says of a socket.
#[derive(Debug)]
pub struct Looked {
    /// The bytes of its own address.
    pub local: Vec<u8>,
    /// Those of its peer's.
    pub remote: Vec<u8>,
    /// What went over it in its life.
    pub traffic: Option<Traffic>,
}

impl SocketAt {
    /// The descriptor `fd` of the process with this pidfd, which leads to the socket with this inode. `None`
    /// while too many copies wait for their close.
    pub fn of(pidfd: Option<&Arc<OwnedFd>>, fd: i32, inode: u64, janitor: &Janitor) -> Option<Self> {
        let janitor = (!janitor.is_full()).then(|| janitor.clone())?;
        Some(Self { pidfd: Arc::clone(pidfd?), fd, inode, janitor })
    }

    /// Looks at it, by a copy that is closed before this returns. `None` where that may not be had (Linux
    /// 5.6, and a container's profile may refuse it).
    fn look(&self, side: Side) -> Option<Looked> {
        let socket = pidfd_getfd(&*self.pidfd, self.fd, PidfdGetfdFlags::empty()).ok()?;
        // A thread may have descriptors of its own.
        if !rustix::fs::fstat(&socket).is_ok_and(|stat| stat.st_ino == self.inode) {
            self.janitor.close([socket]);
            return None;
        }
        Some(Looked {
            local: connections::own_address(&socket),
            remote: connections::peer_address(&socket),
            traffic: connections::traffic(&socket, side),
        })
    }
}

impl Sockets {
    /// A connection is asked for by the socket with this inode.
    pub fn note_connect(&mut self, inode: u64) {
        self.change(inode, |socket| socket.has_asked = true);
    }

    /// Looks at a socket. `None` where it has not answered by `until`, or within [`PATIENCE`], and while as
    /// many as there are threads do not answer.
    pub fn look(&mut self, at: SocketAt, until: Instant) -> Option<Looked> {
        let (side, patience) = (self.side(at.inode), until.saturating_duration_since(Instant::now()));
        let pending = self.examiner.begin(&Account::boundless(), move || at.look(side))?;
        pending.wait(patience.min(PATIENCE))?
    }

    fn get(&self, inode: u64) -> Option<&Socket> {
        self.young.get(&inode).or_else(|| self.old.get(&inode))
    }

    fn change(&mut self, inode: u64, change: impl FnOnce(&mut Socket)) {
        if self.young.len() >= MOST_SOCKETS {
            self.has_forgotten |= !self.old.is_empty();
            self.old = std::mem::take(&mut self.young);
        }
        let known = self.get(inode).copied().unwrap_or_default();
        change(self.young.entry(inode).or_insert(known));
    }

    fn side(&self, inode: u64) -> Side {
        match self.get(inode) {
            Some(Socket { has_asked: true, .. }) => Side::Asked,
            _ if self.has_forgotten => Side::Unknown,
            _ => Side::Accepted,
        }
    }

    /// The bytes that no close has told of yet, beyond those of `before`. They count as told after
    /// [`Self::note_told`], and for further closes of the same call.
    pub fn untold(&mut self, inode: u64, before: Traffic, now: Traffic) -> Traffic {
        let known = self.get(inode).map_or(Traffic::default(), |socket| socket.told);
        let told = self.untold.get(&inode).copied().unwrap_or(known);
        let beyond = |now: Option<u64>, before: Option<u64>, told: Option<u64>| {
            now.map(|now| now.saturating_sub(before.max(told).unwrap_or(0)))
        };
        if now != Traffic::default() {
            let (sent, received) = (now.sent.or(told.sent), now.received.or(told.received));
            self.untold.insert(inode, Traffic { sent, received });
        }
        Traffic {
            sent: beyond(now.sent, before.sent, told.sent),
            received: beyond(now.received, before.received, told.received),
        }
    }

    /// What the present call's closes tell is on its way.
    pub fn note_told(&mut self) {
        for (inode, told) in std::mem::take(&mut self.untold) {
            self.change(inode, |socket| socket.told = told);
        }
    }

    /// Another call begins: what the one before would have told, no close has.
    pub fn forget_untold(&mut self) {
        self.untold.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;

    use super::*;
    use crate::system::procfs;

    const NONE: Traffic = Traffic { sent: None, received: None };

    fn of(sent: u64, received: u64) -> Traffic {
        Traffic { sent: Some(sent), received: Some(received) }
    }

    #[test]
    fn bytes_of_a_socket_are_told_once_whoever_closes_it() {
        let mut sockets = Sockets::default();
        let mut told = |inode, before, now| {
            let told = sockets.untold(inode, before, now);
            sockets.note_told();
            told
        };

        let first = told(7, NONE, of(5, 1));
        let rest = told(7, NONE, of(8, 1));
        let inherited = told(7, of(9, 0), of(12, 4));
        let unknown = told(8, NONE, Traffic { sent: Some(3), received: None });

        assert_eq!([of(5, 1), of(3, 0), of(3, 3)], [first, rest, inherited]);
        assert_eq!(Traffic { sent: Some(3), received: None }, unknown);
    }

    #[test]
    fn bytes_that_were_not_sent_to_the_collector_are_the_next_closes() {
        let mut sockets = Sockets::default();

        let lost = [sockets.untold(7, NONE, of(5, 1)), sockets.untold(7, NONE, of(5, 1))];
        sockets.forget_untold();
        let again = sockets.untold(7, NONE, of(6, 1));
        sockets.note_told();
        let rest = sockets.untold(7, NONE, of(6, 1));

        assert_eq!([of(5, 1), of(0, 0)], lost, "two closes of one call");
        assert_eq!([of(6, 1), of(0, 0)], [again, rest]);
    }

    #[test]
    fn sockets_that_are_remembered_are_bounded_and_the_side_of_a_forgotten_one_is_not_known() {
        let mut sockets = Sockets::default();
        sockets.note_connect(1);

        assert_eq!([Side::Asked, Side::Accepted], [1, 2].map(|inode| sockets.side(inode)));
        (10..10 + 3 * MOST_SOCKETS as u64).for_each(|inode| sockets.change(inode, |_| {}));
        assert_eq!([Side::Unknown; 2], [1, 2].map(|inode| sockets.side(inode)));
        assert!(sockets.young.len() + sockets.old.len() <= 2 * MOST_SOCKETS);
    }

    #[test]
    fn descriptor_that_leads_elsewhere_meanwhile_is_not_looked_at() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (pidfd, janitor) = (procfs::open(std::process::id()).map(Arc::new), Janitor::of_others());
        let inode = rustix::fs::fstat(&socket).unwrap().st_ino;
        let mut sockets = Sockets::default();
        let mut look = |inode| {
            let at = SocketAt::of(pidfd.as_ref(), socket.as_raw_fd(), inode, &janitor).unwrap();
            sockets.look(at, Instant::now() + PATIENCE)
        };

        assert!(look(inode).is_some_and(|looked| looked.remote.len() == 16));
        assert!(look(inode + 1).is_none());
    }
}
