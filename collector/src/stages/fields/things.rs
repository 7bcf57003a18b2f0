//! What is behind a descriptor, and its two ends, by the events that tell of it.
//!
//! Falco's sides: the client is the one that connects. Of an IPv4 address inside IPv6's, the family is IPv4.

use std::net::{IpAddr, SocketAddr};

use wire::events::Kind;

use super::super::view::{Key, View};
use super::syscalls;
use crate::event::Value;

/// The thing behind a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thing {
    File,
    Directory,
    Pipe,
    Event,
    Signal,
    Poll,
    Inotify,
    Timer,
    Memory,
    Process,
    Ipv4,
    Ipv6,
    /// Bound to an address that it can listen at.
    Ipv4Server,
    Ipv6Server,
    Unix,
    Netlink,
    Bpf,
    Userfaultfd,
    IoUring,
    Other,
}

impl Thing {
    /// `fd.type` and `fd.typechar`.
    pub fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::File => ("file", "f"),
            Self::Directory => ("directory", "d"),
            Self::Pipe => ("pipe", "p"),
            Self::Event => ("event", "e"),
            Self::Signal => ("signalfd", "s"),
            Self::Poll => ("eventpoll", "l"),
            Self::Inotify => ("inotify", "i"),
            Self::Timer => ("timerfd", "t"),
            Self::Memory => ("memfd", "m"),
            Self::Process => ("pidfd", "P"),
            // libsinsp had letters of their own for bound sockets until 2016.
            Self::Ipv4 | Self::Ipv4Server => ("ipv4", "4"),
            Self::Ipv6 | Self::Ipv6Server => ("ipv6", "6"),

            Self::Unix => ("unix", "u"),
            Self::Netlink => ("netlink", "n"),
            Self::Bpf => ("bpf", "b"),
            Self::Userfaultfd => ("userfaultfd", "u"),
            Self::IoUring => ("io_uring", "r"),
            Self::Other => ("other", "o"),
        }
    }

    /// Whether it is a socket of the internet.
    pub fn is_internet(self) -> bool {
        matches!(self, Self::Ipv4 | Self::Ipv6 | Self::Ipv4Server | Self::Ipv6Server)
    }
}

/// Labels of links in `/proc/PID/fd` that are no paths.
const LABELS: &[(&str, Thing)] = &[
    ("pipe:", Thing::Pipe),
    ("memfd:", Thing::Memory),
    ("/memfd:", Thing::Memory),
    ("pidfd:", Thing::Process),
    ("anon_inode:[eventfd]", Thing::Event),
    ("anon_inode:[eventpoll]", Thing::Poll),
    ("anon_inode:[signalfd]", Thing::Signal),
    ("anon_inode:[timerfd]", Thing::Timer),
    ("anon_inode:[pidfd]", Thing::Process),
    ("anon_inode:inotify", Thing::Inotify),
    ("anon_inode:bpf", Thing::Bpf),
    ("anon_inode:[userfaultfd]", Thing::Userfaultfd),
    ("anon_inode:[io_uring]", Thing::IoUring),
];

/// Whether the call makes, uses or closes a descriptor, by Falco's table of calls.
pub fn has_descriptor(view: &View<'_>) -> bool {
    match view.kind() {
        Kind::FileOpen | Kind::FdDuplicate | Kind::KernelUserfaultfd => true,
        Kind::FileClose | Kind::NetClose | Kind::NetSocket | Kind::NetBind => true,
        Kind::NetListen | Kind::NetConnect | Kind::NetAccept => true,
        Kind::FileChmod | Kind::FileChown => matches!(syscalls::name(view), "fchmod" | "fchown"),
        _ => false,
    }
}

/// Whether the call failed before there was a descriptor.
pub fn is_unmade(view: &View<'_>) -> bool {
    let makes = matches!(view.kind(), Kind::FileOpen | Kind::NetSocket | Kind::NetAccept);
    makes && !view.event.error.is_empty()
}

/// What it is; `None` where the call is about no descriptor, or that is not known.
pub fn thing(view: &View<'_>) -> Option<Thing> {
    if !has_descriptor(view) {
        return None;
    }
    match view.kind() {
        Kind::KernelUserfaultfd => Some(Thing::Userfaultfd),
        Kind::FileOpen if syscalls::name(view) == "memfd_create" => Some(Thing::Memory),
        Kind::FileOpen => {
            let is_directory = view.has_flag(Key::Flags, "O_DIRECTORY") == Some(true);
            Some(if is_directory && !is_unmade(view) { Thing::Directory } else { Thing::File })
        }
        Kind::FileClose | Kind::FileChmod | Kind::FileChown => of_path(view.text(Key::Path)?, None),
        Kind::FdDuplicate => match view.text(Key::Path) {
            Some(path) => of_path(path, None),
            None => socket(view),
        },
        _ => socket(view),
    }
}

/// Of a path that was opened before, it is not known whether it is a directory.
fn of_path(path: &[u8], plain: Option<Thing>) -> Option<Thing> {
    let label = LABELS.iter().find(|(label, _)| path.starts_with(label.as_bytes()));
    label.map(|(_, thing)| *thing).or(plain).or(if path.starts_with(b"/") { Some(Thing::File) } else { None })
}

fn socket(view: &View<'_>) -> Option<Thing> {
    let (local, remote) = (address(view, Key::Local), address(view, Key::Remote));
    if let Some(ip) = remote.or(local).map(|address| address.ip()) {
        let is_server = matches!(view.kind(), Kind::NetBind | Kind::NetListen)
            && local.is_some_and(|local| local.port() > 0)
            && view.event.error.is_empty();
        return Some(match (ip, is_server) {
            (IpAddr::V4(_), false) => Thing::Ipv4,
            (IpAddr::V6(_), false) => Thing::Ipv6,
            (IpAddr::V4(_), true) => Thing::Ipv4Server,
            (IpAddr::V6(_), true) => Thing::Ipv6Server,
        });
    }
    match view.text(Key::Family) {
        Some(b"AF_INET") => Some(Thing::Ipv4),
        Some(b"AF_INET6") => Some(Thing::Ipv6),
        Some(b"AF_UNIX") => Some(Thing::Unix),
        Some(b"AF_NETLINK") => Some(Thing::Netlink),
        Some(_) => Some(Thing::Other),
        None => view.text(Key::Remote).map(|_| Thing::Unix),
    }
}

/// An address of the internet.
pub fn address(view: &View<'_>, key: Key) -> Option<SocketAddr> {
    let address: SocketAddr = std::str::from_utf8(view.text(key)?).ok()?.parse().ok()?;
    // The kernel chose a port since: it is told of no socket that was bound before.
    let is_open = key == Key::Local && address.port() == 0;
    if is_open && !matches!(view.kind(), Kind::NetBind | Kind::NetListen) {
        return None;
    }
    Some(SocketAddr::new(address.ip().to_canonical(), address.port()))
}

/// The IP address of a side; `None` of the own one of an accepted connection whose listener takes any: it is
/// not told which it is.
pub fn ip_of(view: &View<'_>, side: SocketAddr) -> Option<IpAddr> {
    let is_any = side.ip().is_unspecified() && is_accepted(view) == Some(true);
    Some(side.ip()).filter(|_| !is_any)
}

/// The client's and the server's address.
#[derive(Clone, Copy, Default)]
pub struct Sides {
    pub client: Option<SocketAddr>,
    pub server: Option<SocketAddr>,
}

/// The sides of a connection, or of a socket that waits for one; `None` where it has none.
pub fn sides(view: &View<'_>) -> Option<Sides> {
    if !has_descriptor(view) {
        return None;
    }
    let (local, remote) = (address(view, Key::Local), address(view, Key::Remote));
    match view.kind() {
        Kind::NetConnect => Some(Sides { client: local, server: remote }),
        Kind::NetAccept => Some(Sides { client: remote, server: local }),
        Kind::NetBind | Kind::NetListen => Some(Sides { client: None, server: local }),
        Kind::FdDuplicate => match is_accepted(view)? {
            true => Some(Sides { client: remote, server: local }),
            false => Some(Sides { client: local, server: remote }),
        },
        _ => None,
    }
}

/// Whether the peer connected to the process; `None` where that is not known.
pub fn is_accepted(view: &View<'_>) -> Option<bool> {
    match (view.kind(), view.value(Key::Accepted)) {
        (Kind::NetAccept, _) => Some(true),
        (Kind::FdDuplicate, Value::Bool(is_accepted)) => Some(is_accepted),
        (Kind::FdDuplicate | Kind::NetClose, _) => None,
        _ => Some(false),
    }
}

/// The addresses of both sides, as far as they are known.
pub fn both(view: &View<'_>) -> Vec<SocketAddr> {
    match (view.kind(), sides(view)) {
        (_, Some(Sides { client, server })) => client.into_iter().chain(server).collect(),
        (Kind::NetClose | Kind::FdDuplicate, None) => {
            let sides = [Key::Local, Key::Remote].map(|key| address(view, key));
            sides.into_iter().flatten().collect()
        }
        (_, None) => Vec::new(),
    }
}

/// The path of a file.
pub fn path<'a>(view: &View<'a>) -> Option<&'a [u8]> {
    if !has_descriptor(view) {
        return None;
    }
    let is_file = matches!(
        view.kind(),
        Kind::FileOpen | Kind::FileClose | Kind::FdDuplicate | Kind::FileChmod | Kind::FileChown
    );
    view.text(Key::Path).filter(|_| is_file)
}

/// The name of a descriptor as text of its own.
pub fn name_of(view: &View<'_>) -> Option<Vec<u8>> {
    if let Some(path) = path(view) {
        return Some(path.to_vec());
    }
    match thing(view)? {
        Thing::Ipv4Server | Thing::Ipv6Server => Some(end(address(view, Key::Local)?)),
        thing if thing.is_internet() => {
            let (local, remote) = (address(view, Key::Local)?, address(view, Key::Remote)?);
            ip_of(view, local)?;
            let (client, server) = if is_accepted(view)? { (remote, local) } else { (local, remote) };
            Some([&*end(client), b"->", &*end(server)].concat())
        }
        Thing::Unix => view.text(Key::Remote).or_else(|| view.text(Key::Local)).map(<[u8]>::to_vec),
        _ => None,
    }
}

/// An end of a connection as Falco writes it: no brackets around an IPv6 address.
fn end(address: SocketAddr) -> Vec<u8> {
    format!("{}:{}", address.ip(), address.port()).into_bytes()
}

/// `<f>/etc/hosts`, as `evt.arg.fd` shows it.
pub fn shown(view: &View<'_>) -> Option<Vec<u8>> {
    let letter = thing(view)?.names().1;
    Some([b"<", letter.as_bytes(), b">", &*name_of(view)?].concat())
}

/// An end of a connection; none of a socket that waits for one.
pub fn end_at(view: &View<'_>, key: Key) -> Option<SocketAddr> {
    let thing = thing(view)?;
    let is_connection = matches!(thing, Thing::Ipv4 | Thing::Ipv6);
    address(view, key).filter(|_| is_connection)
}
