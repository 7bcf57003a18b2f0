//! The way of a supervisor to a collector that no launcher started: at GLASSBOX_SOCKET, maybe in another
//! container.
//!
//! The supervisor says which process it is, as a sensor does, and the collector answers that it listens. Of
//! each process that it introduces it sends a descriptor (pidfd_open(2)), and waits for a byte: meanwhile the
//! process's call waits too, so that the kernel tells the collector which process that is.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvFlags, recv};
use wire::hello::{self, Hello};

use super::ring::Ring;
use super::way::{Way, send};
use crate::shell::socket::{self, Name};
use crate::system::kernel;

/// What a supervisor's first message begins with; its hello follows, as a sensor sends it.
pub const SUPERVISES: &[u8] = b"glassbox: supervises ";
/// The answer of a collector that listens.
pub const LISTENS: &[u8] = b"listens";
/// The answer to each introduction.
pub const HEARD: &[u8] = b"h";

/// How long the collector may take to answer before CMD is started.
const PATIENCE: Duration = Duration::from_secs(2);
/// The same while a call waits: less than the holder's, who would let it go on unseen.
const SHORT_PATIENCE: Duration = Duration::from_millis(200);
/// Introductions without an answer that are remembered: more than find room in a socket.
const MOST_UNANSWERED: usize = 8192;
/// A collector that went is looked for so often.
const PAUSE: Duration = Duration::from_secs(1);
/// One that refuses, or takes its time over an answer that a call waits for, ever less often down to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How a collector is reached again.
#[derive(Debug)]
pub struct Link {
    name: Name,
    /// A process of the container that is spoken of.
    subject: Option<OwnedFd>,
    connections: u32,
    is_broken: bool,
    tried: Instant,
    pause: Duration,
    /// The processes of introductions that were not answered in time: a collector that stands still is waited
    /// for once, and one that dies has perhaps not read them.
    unanswered: VecDeque<u32>,
}

/// Why there is no connection.
#[derive(Debug)]
pub enum NoLink {
    /// No collector is there.
    Nobody,
    /// It does not listen to supervisors, for this reason.
    Refused(String),
}

impl NoLink {
    /// The reason in words; the collector is the one at `name`.
    pub fn of(&self, name: &Name) -> String {
        match self {
            Self::Nobody => format!("no collector listens at '{}'", name.spelling().display()),
            Self::Refused(why) => why.clone(),
        }
    }
}

impl Link {
    /// Connects to the collector at `name`. The supervisor is one of several of its user, or of the container
    /// that the process `subject` is in.
    pub fn connect(name: &Name, subject: Option<OwnedFd>) -> Result<(Self, Way), NoLink> {
        let way = connect(name, subject.as_ref(), PATIENCE)?;
        Ok((Self { connections: 1, is_broken: false, ..Self::to(name, subject) }, way))
    }

    /// The same; a collector that is not there is looked for as one that has gone.
    pub fn connect_or_await(name: &Name, subject: Option<OwnedFd>) -> io::Result<(Self, Way)> {
        match connect(name, subject.as_ref(), PATIENCE) {
            Ok(way) => Ok((Self { connections: 1, is_broken: false, ..Self::to(name, subject) }, way)),
            Err(_) => Ok((Self::to(name, subject), Way::to_nobody()?)),
        }
    }

    fn to(name: &Name, subject: Option<OwnedFd>) -> Self {
        Self {
            name: name.clone(),
            subject,
            connections: 0,
            is_broken: true,
            tried: Instant::now(),
            pause: PAUSE,
            unanswered: VecDeque::new(),
        }
    }

    /// How many connections there were.
    pub fn connections(&self) -> u32 {
        self.connections
    }

    /// Whether the collector has gone, and no other one was found yet.
    pub fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// Notes that the collector has gone. The result is the processes of introductions without an answer.
    pub fn note_broken(&mut self) -> VecDeque<u32> {
        self.is_broken = true;
        std::mem::take(&mut self.unanswered)
    }

    /// Waits until the collector has heard of the process `pid` of an introduction, for a moment at most.
    pub fn await_answer(&mut self, socket: &OwnedFd, pid: u32) {
        let mut room = [0; 8];
        while !self.unanswered.is_empty() && answer_within(socket, &mut room, Duration::ZERO) == Some(HEARD) {
            self.unanswered.pop_front();
        }
        let patience = if self.unanswered.is_empty() { SHORT_PATIENCE } else { Duration::ZERO };
        if answer_within(socket, &mut room, patience) != Some(HEARD)
            && self.unanswered.len() < MOST_UNANSWERED
        {
            self.unanswered.push_back(pid);
        }
    }

    /// A connection to the next collector, where one is needed and there.
    pub fn reconnect(&mut self) -> Option<Way> {
        if !self.is_broken || self.tried.elapsed() < self.pause {
            return None;
        }
        self.tried = Instant::now();
        let connected = connect(&self.name, self.subject.as_ref(), SHORT_PATIENCE);
        self.pause = match &connected {
            Err(NoLink::Refused(_)) => (self.pause * 2).min(LONGEST_PAUSE),
            _ => PAUSE,
        };
        let way = connected.ok()?;
        self.connections += 1;
        self.unanswered.clear();
        self.is_broken = false;
        Some(way)
    }
}

fn connect(name: &Name, subject: Option<&OwnedFd>, patience: Duration) -> Result<Way, NoLink> {
    let refused = |why: &str| NoLink::Refused(why.to_owned());
    let socket = socket::attempt(name).map_err(|_| NoLink::Nobody)?;
    if !is_of_friend(&socket) {
        return Err(refused("another user listens there"));
    }
    let mut bytes = [0; hello::MAX_LEN];
    let container = std::env::var_os("ECS_CONTAINER_METADATA_URI_V4").unwrap_or_default();
    let container = Some(container.as_encoded_bytes()).filter(|uri| uri.len() <= hello::MAX_CONTAINER);
    let said = Hello {
        magic: hello::MAGIC,
        version: wire::VERSION,
        events: wire::FINGERPRINT,
        calls: hook_table::FINGERPRINT,
        pid: std::process::id(),
        ppid: std::os::unix::process::parent_id(),
        slot: 0,
        own_fds: [-1; 2],
        blind: 0,
        exe: &[],
        pid_ns: rustix::fs::stat("/proc/self/ns/pid").map_or(0, |stat| stat.st_ino),
        container: container.unwrap_or_default(),
        file: [0; 2],
    };
    let len = said.encode(&mut bytes);
    let message = [SUPERVISES, bytes.get(..len).unwrap_or_default()].concat();
    let ring = Ring::new().ok();
    let memfd = ring.as_ref().map(Ring::memfd);
    let descriptors: Vec<_> = memfd.into_iter().chain(subject.map(AsFd::as_fd)).collect();
    send(&socket, &[IoSlice::new(&message)], &descriptors).map_err(|_| NoLink::Nobody)?;
    let mut answer = [0; 256];
    match answer_within(&socket, &mut answer, patience) {
        Some(LISTENS) => Ok(Way::over(socket, ring)),
        Some([]) => Err(refused("the collector hung up; it may be of another version, or hear too many")),
        Some(why) => Err(refused(&String::from_utf8_lossy(why))),
        None => Err(refused("the collector does not answer")),
    }
}

/// Whether the listener is root's or this user's; a user namespace may not tell whose it is.
fn is_of_friend(socket: &OwnedFd) -> bool {
    /// `/proc/sys/kernel/overflowuid`: a user without a number here.
    const NOBODY_HERE: u32 = 65534;
    let own = rustix::process::geteuid().as_raw();
    kernel::peer(socket).is_ok_and(|peer| [0, own, NOBODY_HERE].contains(&peer.uid))
}

/// The next message within `patience`; empty where the other end hung up.
fn answer_within<'a>(socket: &OwnedFd, room: &'a mut [u8], patience: Duration) -> Option<&'a [u8]> {
    let time = Timespec { tv_sec: patience.as_secs().cast_signed(), tv_nsec: patience.subsec_nanos().into() };
    let mut polled = [PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN)];
    if !poll(&mut polled, Some(&time)).is_ok_and(|ready| ready > 0) {
        return None;
    }
    match recv(socket, &mut *room, RecvFlags::DONTWAIT) {
        Ok((len, _)) => room.get(..len),
        Err(_) => Some(&[]),
    }
}

#[cfg(test)]
mod tests {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with};

    use super::super::way::Ends;
    use super::*;

    #[test]
    fn collector_that_does_not_answer_is_waited_for_ever_less_often() {
        let path = std::env::temp_dir().join(format!("glassbox-test-{}-silent", std::process::id()));
        let silent =
            socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        bind(&silent, &SocketAddrUnix::new(&path).unwrap()).unwrap();
        listen(&silent, 8).unwrap();
        let begun = Instant::now().checked_sub(LONGEST_PAUSE * 2).unwrap_or_else(Instant::now);
        let mut link = Link::to(&Name::Path(path.clone()), None);
        let pause_after = |link: &mut Link| {
            link.tried = begun;
            assert!(link.reconnect().is_none());
            link.pause
        };

        let pauses = [pause_after(&mut link), pause_after(&mut link)];
        drop(silent);
        let without = pause_after(&mut link);
        std::fs::remove_file(path).unwrap();

        assert_eq!(([PAUSE * 2, PAUSE * 4], PAUSE), (pauses, without));
    }

    #[test]
    fn introductions_that_were_not_answered_are_known_when_the_collector_is_gone() {
        let name = Name::Path("/nonexistent".into());
        let mut link = Link { connections: 1, is_broken: false, ..Link::to(&name, None) };
        let (Way { socket, .. }, Ends { socket: collector, .. }) = Way::pair().unwrap();
        let answer = || send(&collector, &[IoSlice::new(HEARD)], &[]).unwrap();

        answer();
        link.await_answer(&socket, 1);
        link.await_answer(&socket, 2);
        link.await_answer(&socket, 3);
        answer();
        link.await_answer(&socket, 4);
        drop(collector);
        link.await_answer(&socket, 5);

        assert_eq!([3, 4, 5], link.note_broken().make_contiguous());
    }
}
