//! Sockets: made, bound, connected, and datagrams sent. `socketcall`, through which i386 makes all of these.

use wire::events::{NetAccept, NetBind, NetConnect, NetListen, NetSocket};
use wire::fields::{AT_FDCWD, Address, Family, Hidden, Protocol, SocketType};

use super::case::{Asked, Case, Told};
use super::reading::Pages;

/// Longest socket address: `struct sockaddr_storage`.
const ADDRESS_CAP: u32 = 128;

/// Calls of `socketcall` by number, with the number of their arguments (`nargs` of net/socket.c), as far as
/// they are told.
const SOCKET_CALLS: &[(u64, &str, usize)] = &[
    (1, "socket", 3),
    (2, "bind", 3),
    (3, "connect", 3),
    (4, "listen", 2),
    (5, "accept", 3),
    (11, "sendto", 6),
    (16, "sendmsg", 3),
    (18, "accept4", 4),
    (20, "sendmmsg", 4),
];

/// The call that a `socketcall` of i386 makes; `None` for other calls. Where its arguments, which lie in
/// memory, cannot be read, its descriptor is -1 and its pointers are null.
pub fn unpacked(asked: &Asked, pages: &mut Pages<'_>) -> Option<Asked> {
    if asked.name != "socketcall" {
        return None;
    }
    let (number, address) = (asked.word(0), asked.word(1));
    let (_, name, count) = *SOCKET_CALLS.iter().find(|(call, ..)| *call == number)?;
    let mut args = [0; 6];
    match pages.bytes(address, 4 * count) {
        Some(words) => {
            for (word, place) in words.as_chunks().0.iter().zip(&mut args) {
                *place = u32::from_ne_bytes(*word).into();
            }
        }
        None => args[0] = u32::MAX.into(),
    }
    Some(Asked { name, args, ..*asked })
}

/// A socket that is about to be made has no descriptor yet.
pub fn socket(case: &mut Case<'_>) -> Option<Told> {
    let (family, r#type, protocol) = (Family(case.int(0)), SocketType(case.int(1)), Protocol(case.int(2)));
    case.tell(&NetSocket { fd: None, family, r#type, protocol })
}

impl Case<'_> {
    /// The socket address of `len` bytes at `address`; empty where it is none, or cannot be read.
    fn address(&mut self, address: u64, len: u32) -> Vec<u8> {
        if !(2..=ADDRESS_CAP).contains(&len) {
            return Vec::new();
        }
        let address = self.pages.bytes(address, len as usize).unwrap_or_default();
        // A Unix socket's path that is relative to the directory.
        if let [low, high, first, ..] = *address
            && i32::from(u16::from_ne_bytes([low, high])) == libc::AF_UNIX
            && !matches!(first, 0 | b'/')
        {
            self.note_place(AT_FDCWD);
        }
        address
    }
}

/// The address as it is asked for; with port 0 the kernel will choose one.
pub fn bind(case: &mut Case<'_>) -> Option<Told> {
    let fd = case.int(0);
    let local = case.address(case.word(1), case.uint(2));
    case.note_socket(fd);
    case.tell(&NetBind { fd, local: Address(&local) })
}

pub fn listen(case: &mut Case<'_>) -> Option<Told> {
    let fd = case.int(0);
    case.note_socket(fd);
    case.tell(&NetListen { fd, backlog: case.int(1) })
}

/// The local address is chosen in the call.
fn connects(case: &mut Case<'_>, fd: i32, remote: &[u8]) -> Option<Told> {
    case.note_socket(fd);
    case.tell(&NetConnect { fd, remote: Address(remote), own: Hidden(Address(&[])), began_ns: Hidden(0) })
}

pub fn connect(case: &mut Case<'_>) -> Option<Told> {
    let remote = case.address(case.word(1), case.uint(2));
    case.places.note_connect(case.int(0));
    connects(case, case.int(0), &remote)
}

/// Neither the connection's descriptor nor its peer is known yet. A call that will find no connection, and
/// not wait for one, is not told, as a hook does not.
pub fn accept(case: &mut Case<'_>) -> Option<Told> {
    let listener = case.int(0);
    let label = case.places.accepts_from(listener)?;
    case.note_socket_labelled(listener, label);
    case.tell(&NetAccept { fd: None, remote: Address(&[]), listener: Hidden(listener) })
}

/// The first datagram to a peer is reported as a connection; one without a peer, or to one that is known, is
/// not told.
fn sent(case: &mut Case<'_>, address: u64, len: u32) -> Option<Told> {
    let fd = case.int(0);
    let remote = case.address(address, len);
    if address == 0 || len < 2 || !remote.is_empty() && !case.places.is_new_peer(fd, &remote) {
        return None;
    }
    connects(case, fd, &remote)
}

pub fn sendto(case: &mut Case<'_>) -> Option<Told> {
    sent(case, case.word(4), case.uint(5))
}

impl Case<'_> {
    /// The address of the peer of a message, and its length: `struct msghdr` begins with them.
    fn peer(&mut self, header: u64) -> Option<(u64, u32)> {
        let address = self.pointer(header)?;
        let len = self.pages.array(header.checked_add(self.asked.abi.pointer_bytes() as u64)?)?;
        Some((address, u32::from_ne_bytes(len)))
    }
}

pub fn sendmsg(case: &mut Case<'_>) -> Option<Told> {
    let (address, len) = case.peer(case.word(1))?;
    sent(case, address, len)
}

/// Messages of sendmmsg(2) that are looked at.
const MOST_MESSAGES: u64 = 64;

/// The first message to a new peer is told; another one's peer is new the next time. A `struct mmsghdr` is a
/// `struct msghdr` of seven words and a length.
pub fn sendmmsg(case: &mut Case<'_>) -> Option<Told> {
    let step = 8 * case.asked.abi.pointer_bytes() as u64;
    for index in 0..u64::from(case.uint(2)).min(MOST_MESSAGES) {
        let (address, len) = case.peer(case.word(1).checked_add(index * step)?)?;
        let told = sent(case, address, len);
        if told.is_some() {
            return told;
        }
    }
    None
}
