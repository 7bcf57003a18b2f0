//! Where a process that waits in a notified call stands: its directory, its descriptors and its sockets, by
//! the kernel's word.
//!
//! No hook tells of the directory and the descriptors of such a process, so they are looked up in `/proc`
//! while it stands still. Nothing that is the process's is held: a descriptor taken with pidfd_getfd(2) would
//! keep a connection open that the process closes meanwhile, and the last to close waits as long as SO_LINGER
//! says. A socket that listens is no connection: that is taken for a moment, where an accept is asked about.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::net::sockopt;
use rustix::process::{PidfdGetfdFlags, pidfd_getfd};

use super::way::NOW;
use crate::door::janitor::Janitor;
use crate::system::procfs;

/// A descriptor that a call is about to close.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ending {
    /// The descriptor.
    pub fd: i32,
    /// As [`Places::descriptor`] has it.
    pub label: Vec<u8>,
    /// The bytes of a TCP socket's own address.
    pub local: Vec<u8>,
    /// Those of its peer's.
    pub remote: Vec<u8>,
    /// Bytes that were read or received; `None` where that is not certain.
    pub bytes_in: Option<u64>,
    /// Bytes that were written or sent.
    pub bytes_out: Option<u64>,
}

impl Ending {
    /// The bytes that it takes in a packet, at most.
    pub fn len(&self) -> usize {
        128 + self.label.len() + self.local.len() + self.remote.len()
    }
}

/// Where the process that asks stands.
pub trait Places {
    /// The directory of the thread that asks, as its own root shows it.
    fn cwd(&mut self) -> Option<Vec<u8>>;
    /// The thing behind a descriptor: a path, or a label. `socket:[INODE] PROTOCOL` for a socket, with the
    /// name that the kernel has for its protocol (`TCPv6`); `pidfd:PID` for a process; `memfd:NAME`.
    fn descriptor(&mut self, fd: i32) -> Option<Vec<u8>>;
    /// Whether an accept(2) on this socket finds a connection, or waits for one; `None` where that is not
    /// known.
    fn finds_connection(&mut self, fd: i32) -> Option<bool>;
    /// The label of the socket that an accept(2) takes a connection from, `Some(None)` where that is not
    /// known; `None` where it finds no connection.
    fn accepts_from(&mut self, fd: i32) -> Option<Option<Vec<u8>>> {
        (self.finds_connection(fd) != Some(false)).then(|| self.descriptor(fd))
    }
    /// Whether this is the first datagram from this socket to `peer`, as far as that is remembered.
    fn is_new_peer(&mut self, fd: i32, peer: &[u8]) -> bool;
    /// The open descriptors from `first` to `last`, which a call is about to close, as far as their close is
    /// told; and how many more there are that were not looked at.
    fn closes(&mut self, _first: u32, _last: u32) -> (Vec<Ending>, u64) {
        (Vec::new(), 0)
    }
    /// A connection is asked for.
    fn note_connect(&mut self, _fd: i32) {}
    /// An open of this path with these flags is asked for.
    fn note_open(&mut self, _path: &[u8], _flags: u32) {}
}

/// Peers of datagrams that are remembered, of all sockets together; the oldest are forgotten.
const MOST_PEERS: usize = 4096;
const WAYS: usize = 8;

/// Sockets and the peers that they sent datagrams to: hashes of both, in sets.
#[derive(Debug)]
pub struct Peers {
    hasher: RandomState,
    known: Vec<[u64; WAYS]>,
    /// The inode of the socket that was accepted from last, and its label: no two sockets have one inode
    /// within 2^32.
    listener: Option<(u64, Vec<u8>)>,
}

impl Default for Peers {
    fn default() -> Self {
        Self { hasher: RandomState::new(), known: vec![[0; WAYS]; MOST_PEERS / WAYS], listener: None }
    }
}

impl Peers {
    /// Notes that a datagram went from the socket with this inode to `peer`. True for the first one.
    pub fn is_new(&mut self, inode: u64, peer: &[u8]) -> bool {
        let hash = self.hasher.hash_one((inode, peer)) | 1;
        let place = (hash >> 1) as usize % self.known.len().max(1);
        let Some(set) = self.known.get_mut(place) else { return true };
        if set.contains(&hash) {
            return false;
        }
        set.rotate_right(1);
        if let Some(first) = set.first_mut() {
            *first = hash;
        }
        true
    }
}

/// Where a thread stands, out of `/proc`. Each question reads a few links, and texts of at most
/// [`MOST_TEXT`] bytes.
#[derive(Debug)]
pub struct ProcessPlaces<'p> {
    /// The thread, as the kernel gives it with a notification.
    pub tid: u32,
    /// Its process.
    pub process: u32,
    /// The peers of datagrams so far.
    pub peers: &'p mut Peers,
    /// Closes what turns out to be no socket that listens.
    pub janitor: &'p Janitor,
    /// A question asked for the process by its number.
    pub is_asked: bool,
}

/// The text of a file in `/proc` that is read. Sockets that listen stand first in `/proc/PID/net/tcp`, 150
/// bytes for each: the first hundred are found.
const MOST_TEXT: u64 = 16 << 10;
/// Of a descriptor's own text, position, flags and process stand first.
const SHORT_TEXT: usize = 1024;
/// The kernel makes as many lines of that table as are asked for. Behind the sockets that listen it looks
/// through all places that a connection can have, which takes a millisecond.
const LINE: usize = 150;

/// The attribute of a socket that is the name of its protocol.
const PROTOCOL: &str = "system.sockprotoname";

/// The label of the socket with this inode.
fn label(socket: &OwnedFd, inode: u64) -> Option<Vec<u8>> {
    let mut label = format!("socket:[{inode}] ").into_bytes();
    let mut name = [0; 32];
    let len = rustix::fs::fgetxattr(socket, PROTOCOL, name.as_mut_slice()).ok()?;
    label.extend(name.get(..len)?.iter().take_while(|byte| **byte != 0));
    Some(label)
}

impl ProcessPlaces<'_> {
    fn link(&self, name: &str) -> Option<Vec<u8>> {
        Some(fs::read_link(format!("/proc/{}/{name}", self.tid)).ok()?.into_os_string().into_vec())
    }

    /// The beginning of a text, which the kernel gives at once.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        let mut text = [0; SHORT_TEXT];
        let len = fs::File::open(format!("/proc/{}/{name}", self.tid)).ok()?.read(&mut text).ok()?;
        String::from_utf8(text.get(..len)?.to_vec()).ok()
    }

    /// A path as the process's own root shows it.
    fn within_root(&self, path: Vec<u8>) -> Vec<u8> {
        match self.link("root") {
            Some(root) => within(&root, path),
            None => path,
        }
    }

    /// The name of a socket's protocol (`sockfs_xattr_get` of net/socket.c), without the descriptor: `TCP`.
    fn protocol(&self, fd: i32) -> Option<Vec<u8>> {
        let mut name = [0; 32];
        let path = format!("/proc/{}/fd/{fd}", self.tid);
        let len = rustix::fs::getxattr(path, PROTOCOL, name.as_mut_slice()).ok()?;
        Some(name.get(..len)?.split(|byte| *byte == 0).next()?.to_vec())
    }

    /// A socket of the process that listens, and its inode; `None` where it does not, or where it may not be
    /// taken (Linux 5.6, and a container's profile may refuse it).
    fn listening(&self, fd: i32) -> Option<(OwnedFd, u64)> {
        if fd < 0 || self.janitor.is_full() {
            return None;
        }
        let socket = pidfd_getfd(procfs::open(self.process)?, fd, PidfdGetfdFlags::empty()).ok()?;
        // A thread may have descriptors of its own.
        let inode = rustix::fs::fstat(&socket).ok().map(|stat| stat.st_ino);
        let is_same = inode.is_some() && inode == self.inode(fd);
        if is_same && sockopt::socket_acceptconn(&socket).is_ok_and(|listens| listens) {
            return Some(socket).zip(inode);
        }
        self.janitor.close([socket]);
        None
    }

    pub(super) fn inode(&self, fd: i32) -> Option<u64> {
        let link = self.link(&format!("fd/{fd}"))?;
        let number = link.strip_prefix(b"socket:[")?.strip_suffix(b"]")?;
        std::str::from_utf8(number).ok()?.parse().ok()
    }
}

impl Places for ProcessPlaces<'_> {
    fn cwd(&mut self) -> Option<Vec<u8>> {
        self.is_asked = true;
        let cwd = self.link("cwd")?;
        Some(self.within_root(cwd))
    }

    fn descriptor(&mut self, fd: i32) -> Option<Vec<u8>> {
        self.is_asked = true;
        let mut link = self.link(&format!("fd/{fd}"))?;
        if link.starts_with(b"/memfd:") {
            // Such a file is always shown as deleted. The sensor's ring does not belong to the program.
            let name = link.strip_suffix(b" (deleted)").unwrap_or(&link).get(1..)?.to_vec();
            return (!name.starts_with(b"memfd:glassbox ")).then_some(name);
        }
        if link.starts_with(b"socket:") {
            if let Some(protocol) = self.protocol(fd) {
                link.push(b' ');
                link.extend_from_slice(&protocol);
            }
            return Some(link);
        }
        if link.starts_with(b"pidfd:") || link == b"anon_inode:[pidfd]" {
            let info = self.text(&format!("fdinfo/{fd}"))?;
            let pid: u32 = info.lines().find_map(|line| line.strip_prefix("Pid:"))?.trim().parse().ok()?;
            return Some(format!("pidfd:{pid}").into_bytes());
        }
        Some(if link.starts_with(b"/") { self.within_root(link) } else { link })
    }

    fn finds_connection(&mut self, fd: i32) -> Option<bool> {
        self.is_asked = true;
        // The kernel may wait for the text of another descriptor: that of epoll(7).
        let inode = self.inode(fd)?;
        let info = self.text(&format!("fdinfo/{fd}"))?;
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"))?;
        let flags = i32::from_str_radix(flags.trim(), 8).ok()?;
        if flags & libc::O_NONBLOCK == 0 {
            return Some(true);
        }
        let table = match self.protocol(fd)?.as_slice() {
            b"TCP" => "net/tcp",
            b"TCPv6" => "net/tcp6",
            _ => return None,
        };
        let table = fs::File::open(format!("/proc/{}/{table}", self.tid)).ok()?;
        waiting(BufReader::with_capacity(LINE, table.take(MOST_TEXT)), inode)
    }

    fn accepts_from(&mut self, fd: i32) -> Option<Option<Vec<u8>>> {
        self.is_asked = true;
        let Some((socket, inode)) = self.listening(fd) else {
            return (self.finds_connection(fd) != Some(false)).then(|| self.descriptor(fd));
        };
        let returns_at_once = || fcntl_getfl(&socket).is_ok_and(|flags| flags.contains(OFlags::NONBLOCK));
        let mut polled = [PollFd::new(&socket, PollFlags::IN)];
        if poll(&mut polled, Some(&NOW)) == Ok(0) && returns_at_once() {
            return None;
        }
        if self.peers.listener.as_ref().is_none_or(|(known, _)| *known != inode) {
            self.peers.listener = Some(inode).zip(label(&socket, inode));
        }
        Some(self.peers.listener.as_ref().map(|(_, label)| label.clone()))
    }

    fn is_new_peer(&mut self, fd: i32, peer: &[u8]) -> bool {
        self.is_asked = true;
        self.inode(fd).is_none_or(|inode| self.peers.is_new(inode, peer))
    }
}

/// A path as `root` shows it, which it begins with. The kernel shows the paths of a process as this process's
/// root does; the root of another mount namespace is shown as `/`, and its paths as they are there.
fn within(root: &[u8], mut path: Vec<u8>) -> Vec<u8> {
    if root == b"/" || !path.starts_with(root) {
        return path;
    }
    match path.get(root.len()) {
        Some(b'/') => _ = path.drain(..root.len()),
        None => return b"/".to_vec(),
        Some(_) => {}
    }
    path
}

/// Whether connections wait at the socket with this inode: of one that listens, `/proc/net/tcp` gives their
/// number as `rx_queue` (`get_tcp4_sock` of net/ipv4/tcp_ipv4.c). `None` where it is not there, or does not
/// listen.
fn waiting(mut table: impl BufRead, inode: u64) -> Option<bool> {
    const LISTENS: &str = "0A";
    let mut line = String::new();
    table.read_line(&mut line).ok()?;
    loop {
        line.clear();
        table.read_line(&mut line).ok()?;
        let mut fields = line.split_ascii_whitespace().skip(3);
        let (state, queues) = (fields.next()?, fields.next()?);
        if state != LISTENS {
            return None;
        }
        // tr:tm->when, retrnsmt, uid, timeout, inode
        if fields.nth(4)?.parse() == Ok(inode) {
            let (_, received) = queues.split_once(':')?;
            return Some(u32::from_str_radix(received, 16).ok()? > 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::fd::AsRawFd;
    use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
    use std::sync::LazyLock;

    use super::*;

    /// A name for a socket that does not exist yet.
    fn tempfile() -> std::path::PathBuf {
        std::env::temp_dir().join(format!("glassbox-test-{}-accepts", std::process::id()))
    }

    fn own(peers: &mut Peers) -> ProcessPlaces<'_> {
        of(std::process::id(), peers)
    }

    fn of(process: u32, peers: &mut Peers) -> ProcessPlaces<'_> {
        static JANITOR: LazyLock<Janitor> = LazyLock::new(Janitor::of_others);
        ProcessPlaces { tid: process, process, peers, janitor: &JANITOR, is_asked: false }
    }

    fn shown(fd: &impl AsRawFd) -> String {
        String::from_utf8(own(&mut Peers::default()).descriptor(fd.as_raw_fd()).unwrap()).unwrap()
    }

    #[test]
    fn directories_and_files_are_shown_by_their_paths() {
        let directory = fs::File::open("/usr").unwrap();

        assert_eq!("/usr", shown(&directory));
        let cwd = std::env::current_dir().unwrap().into_os_string().into_vec();
        assert_eq!(Some(cwd), own(&mut Peers::default()).cwd());
        assert_eq!(None, own(&mut Peers::default()).descriptor(-1));
        assert_eq!(None, own(&mut Peers::default()).descriptor(i32::MAX));
    }

    #[test]
    fn paths_are_those_that_the_processs_root_shows() {
        let within =
            |root: &str, path: &str| String::from_utf8(within(root.as_bytes(), path.into())).unwrap();

        assert_eq!("/a", within("/", "/a"));
        assert_eq!("/a", within("/jail", "/jail/a"));
        assert_eq!("/", within("/jail", "/jail"));
        assert_eq!("/jailer/a", within("/jail", "/jailer/a"));
        assert_eq!("/outside", within("/jail", "/outside"));
    }

    #[test]
    fn another_process_stands_where_it_was_started() {
        let file = fs::File::open("/usr").unwrap();
        let mut child =
            std::process::Command::new("sleep").arg("60").current_dir("/usr").stdin(file).spawn().unwrap();
        let mut peers = Peers::default();
        let mut places = of(child.id(), &mut peers);

        let found = [places.cwd(), places.descriptor(0), places.descriptor(99)];
        child.kill().unwrap();
        child.wait().unwrap();
        let gone = [places.cwd(), places.descriptor(0)];

        assert_eq!([Some(b"/usr".to_vec()), Some(b"/usr".to_vec()), None], found);
        assert_eq!([None, None], gone);
    }

    #[test]
    fn what_has_no_path_is_shown_as_the_hooks_call_it() {
        let memory = rustix::fs::memfd_create("plain", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        let ring = rustix::fs::memfd_create("glassbox x", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        let own_pid = rustix::process::getpid();
        let pidfd = rustix::process::pidfd_open(own_pid, rustix::process::PidfdFlags::empty()).unwrap();

        assert_eq!("memfd:plain", shown(&memory));
        assert_eq!(None, own(&mut Peers::default()).descriptor(ring.as_raw_fd()));
        assert_eq!(format!("pidfd:{}", std::process::id()), shown(&pidfd));
    }

    #[test]
    fn sockets_are_shown_with_their_number_and_protocol() {
        let protocol = |socket: &dyn AsRawFd| {
            let shown = own(&mut Peers::default()).descriptor(socket.as_raw_fd()).unwrap();
            let shown = String::from_utf8(shown).unwrap();
            let (inode, protocol) = shown.split_once(' ').unwrap();
            assert!(inode.starts_with("socket:[") && inode.ends_with(']'), "{shown}");
            protocol.to_owned()
        };

        assert_eq!("TCP", protocol(&TcpListener::bind("127.0.0.1:0").unwrap()));
        assert_eq!("TCPv6", protocol(&TcpListener::bind("[::1]:0").unwrap()));
        assert_eq!("UDP", protocol(&UdpSocket::bind("127.0.0.1:0").unwrap()));
        assert!(protocol(&UnixDatagram::unbound().unwrap()).starts_with("UNIX"));
    }

    #[test]
    fn accept_that_would_find_nothing_is_told_from_one_that_waits_or_finds() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut peers = Peers::default();
        let mut finds = |fd: i32| {
            let mut own = own(&mut peers);
            (own.finds_connection(fd), own.accepts_from(fd))
        };

        let waits = finds(listener.as_raw_fd());
        listener.set_nonblocking(true).unwrap();
        let before = finds(listener.as_raw_fd());
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let after = finds(listener.as_raw_fd());

        let label = Some(Some(shown(&listener).into_bytes()));
        assert_eq!(
            [(Some(true), label.clone()), (Some(false), None), (Some(true), label)],
            [waits, before, after]
        );
        assert_eq!((None, Some(None)), finds(-1));
    }

    #[test]
    fn socket_of_another_family_is_taken_too() {
        let folder = tempfile();
        let listener = UnixListener::bind(&folder).unwrap();
        listener.set_nonblocking(true).unwrap();
        let mut peers = Peers::default();

        let before = own(&mut peers).accepts_from(listener.as_raw_fd());
        let _client = UnixStream::connect(&folder).unwrap();
        let after = own(&mut peers).accepts_from(listener.as_raw_fd());
        fs::remove_file(&folder).unwrap();

        assert_eq!((None, Some(Some(shown(&listener).into_bytes()))), (before, after));
    }

    #[test]
    fn peer_is_new_once_for_each_socket_also_where_a_number_is_used_again() {
        let mut peers = Peers::default();

        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let fd = socket.as_raw_fd();
        let first = [b"a", b"a", b"b"].map(|peer| own(&mut peers).is_new_peer(fd, peer));
        drop(socket);
        let again = UdpSocket::bind("127.0.0.1:0").unwrap();
        let second = own(&mut peers).is_new_peer(again.as_raw_fd(), b"a");

        assert_eq!(([true, false, true], true), (first, second));
    }

    #[test]
    fn remembered_peers_are_bounded() {
        let mut peers = Peers::default();

        let new = (0..100_000_u64).filter(|inode| peers.is_new(*inode, b"peer")).count();

        assert_eq!(100_000, new);
        assert_eq!(MOST_PEERS, peers.known.iter().flatten().count());
        assert!(!peers.is_new(99_999, b"peer"));
    }
}
