//! Descriptors by the kernel's word, of processes that the kernel notifies of: looked up while a call waits
//! ([`crate::notify::decode`]), since no hook tells when one is opened or closed.

use std::sync::Arc;

use super::descriptors::{AskedSocket, Descriptor, Socket, Target};
use super::process::Process;
use crate::ids::{ImageId, MonoNs};

/// Kinds of sockets that a process asked for, which are remembered: programs ask for few.
const MOST_ASKED: usize = 8;

/// The names that the kernel has for protocols (`struct proto`), with family, type and protocol, as far as a
/// name says them. `UNIX` was the name of streams, too, before Linux 5.15.
const PROTOCOLS: &[(&str, i32, Option<i32>, Option<i32>)] = &[
    ("TCP", libc::AF_INET, Some(libc::SOCK_STREAM), Some(libc::IPPROTO_TCP)),
    ("TCPv6", libc::AF_INET6, Some(libc::SOCK_STREAM), Some(libc::IPPROTO_TCP)),
    ("UDP", libc::AF_INET, Some(libc::SOCK_DGRAM), Some(libc::IPPROTO_UDP)),
    ("UDPv6", libc::AF_INET6, Some(libc::SOCK_DGRAM), Some(libc::IPPROTO_UDP)),
    ("UDP-Lite", libc::AF_INET, Some(libc::SOCK_DGRAM), Some(libc::IPPROTO_UDPLITE)),
    ("UDPLITEv6", libc::AF_INET6, Some(libc::SOCK_DGRAM), Some(libc::IPPROTO_UDPLITE)),
    ("PING", libc::AF_INET, Some(libc::SOCK_DGRAM), Some(libc::IPPROTO_ICMP)),
    ("PINGv6", libc::AF_INET6, Some(libc::SOCK_DGRAM), Some(libc::IPPROTO_ICMPV6)),
    ("MPTCP", libc::AF_INET, Some(libc::SOCK_STREAM), Some(libc::IPPROTO_MPTCP)),
    ("MPTCPv6", libc::AF_INET6, Some(libc::SOCK_STREAM), Some(libc::IPPROTO_MPTCP)),
    ("SCTP", libc::AF_INET, None, Some(libc::IPPROTO_SCTP)),
    ("SCTPv6", libc::AF_INET6, None, Some(libc::IPPROTO_SCTP)),
    ("RAW", libc::AF_INET, Some(libc::SOCK_RAW), None),
    ("RAWv6", libc::AF_INET6, Some(libc::SOCK_RAW), None),
    ("UNIX-STREAM", libc::AF_UNIX, Some(libc::SOCK_STREAM), Some(0)),
    ("UNIX", libc::AF_UNIX, None, Some(0)),
    ("NETLINK", libc::AF_NETLINK, None, None),
    ("PACKET", libc::AF_PACKET, None, None),
    ("AF_VSOCK", libc::AF_VSOCK, None, None),
];

impl Process {
    /// A socket is asked for; which descriptor it gets is not known.
    pub(super) fn ask_socket(&mut self, family: i32, kind: i32, protocol: i32) {
        let asked = AskedSocket { family, kind: kind & 0xf, protocol };
        if self.asked_sockets.len() < MOST_ASKED && !self.asked_sockets.contains(&asked) {
            self.asked_sockets.push(asked);
        }
    }

    /// Says that a descriptor is what the kernel shows: `label` is as
    /// [`crate::notify::places::Places::descriptor`] has it. What hooks told of the same stays.
    pub(super) fn note_descriptor(&mut self, fd: i32, label: &[u8]) {
        match label.strip_prefix(b"socket:") {
            Some(rest) => self.note_socket(fd, rest),
            None => self.note_file(fd, label),
        }
    }

    /// The addresses of a socket, as the kernel has them when its descriptor ends; none where it has none.
    pub(super) fn note_addresses(&mut self, fd: i32, local: &[u8], remote: &[u8]) {
        let [local, remote] = [local, remote].map(|address| self.address_text(address));
        if local.is_some() || remote.is_some() {
            self.change_socket(fd, |socket| {
                socket.local = local.or(socket.local.take());
                socket.remote = remote.or(socket.remote.take());
            });
        }
    }

    /// A file; an empty label for a descriptor that is not open, or cannot be looked up.
    fn note_file(&mut self, fd: i32, label: &[u8]) {
        match self.descriptors.get(fd) {
            Some(known) if label.is_empty() && known.owner == ImageId::NONE => {
                Arc::make_mut(&mut self.descriptors).remove(fd);
            }
            _ if label.is_empty() => {}
            // A hook told of another file: it is open by the same number as before, or under another name.
            Some(known) if known.owner != ImageId::NONE => {
                let is_same = matches!(&known.target, Target::File(path) if **path == *label);
                let mut known = known.clone();
                if !is_same {
                    known.target = Target::File(label.into());
                    known.is_nameless = false;
                    Arc::make_mut(&mut self.descriptors).insert(fd, known);
                }
            }
            _ => self.seed(fd, label),
        }
    }

    /// A socket with `[INODE] PROTOCOL`, or nothing, where that cannot be looked up. One with another number
    /// than before is another one.
    fn note_socket(&mut self, fd: i32, shown: &[u8]) {
        let shown = std::str::from_utf8(shown).unwrap_or_default();
        let (number, name) = shown.split_once(' ').unwrap_or((shown, ""));
        let inode = number.strip_prefix('[').and_then(|number| number.strip_suffix(']')?.parse().ok());
        if let Some(Descriptor { target: Target::Socket(known), owner, .. }) = self.descriptors.get(fd)
            && inode.is_some()
            && (known.inode == inode || known.inode.is_none() && *owner != ImageId::NONE)
        {
            if known.inode.is_none() {
                self.change_socket(fd, |socket| socket.inode = inode);
            }
            return;
        }
        let socket = Socket { inode, ..self.socket_named(name) };
        // Its close is not told, as that of another image's is not.
        let descriptor =
            Descriptor::new(Target::Socket(Arc::new(socket)), ImageId::NONE, MonoNs::ZERO, false);
        Arc::make_mut(&mut self.descriptors).insert(fd, descriptor);
    }

    /// A socket of a protocol of this name. The type and the protocol are those that the process asked for,
    /// where it asked for one kind of such sockets alone: a program asks for protocol 0, and the kernel names
    /// the one that it chose.
    fn socket_named(&self, name: &str) -> Socket {
        let Some((_, family, kind, protocol)) = PROTOCOLS.iter().find(|(known, ..)| *known == name) else {
            return Socket::default();
        };
        let is_such = |asked: &&AskedSocket| {
            asked.family == *family
                && kind.is_none_or(|kind| kind == asked.kind)
                && (asked.protocol == 0 || protocol.is_none_or(|protocol| protocol == asked.protocol))
        };
        let mut asked = self.asked_sockets.iter().filter(is_such);
        let (kind, protocol) = match (asked.next(), asked.next()) {
            (Some(asked), None) => (Some(asked.kind), Some(asked.protocol)),
            _ => (*kind, *protocol),
        };
        Socket { family: Some(*family), kind, protocol, ..Socket::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Who;

    const OWN: fn() -> ImageId = || ImageId::new(1, 0);

    fn process() -> Process {
        Process::new(Who::default(), OWN())
    }

    fn facts(process: &Process, fd: i32) -> Option<(Option<i32>, Option<i32>, Option<i32>)> {
        process.socket(fd).map(|socket| (socket.family, socket.kind, socket.protocol))
    }

    #[test]
    fn socket_of_another_inode_is_another_one_and_of_the_same_the_same() {
        let mut process = process();
        process.note_descriptor(3, b"socket:[7] TCP");
        process.change_socket(3, |socket| socket.local = Some((*b"127.0.0.1:80").into()));

        process.note_descriptor(3, b"socket:[7] TCP");
        let same = process.socket(3).unwrap().local.clone();
        process.note_descriptor(3, b"socket:[8] UDPv6");

        assert_eq!(Some((*b"127.0.0.1:80").into()), same);
        assert_eq!(None, process.socket(3).unwrap().local);
        assert_eq!(Some((Some(10), Some(2), Some(17))), facts(&process, 3));
    }

    #[test]
    fn socket_that_cannot_be_looked_up_is_not_the_one_before() {
        let mut process = process();
        process.note_descriptor(3, b"socket:[7] TCP");

        process.note_descriptor(3, b"socket:");

        assert_eq!(Some((None, None, None)), facts(&process, 3));
    }

    #[test]
    fn type_and_protocol_are_those_asked_for_where_these_are_the_only_ones() {
        let mut process = process();
        process.ask_socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0);
        process.ask_socket(libc::AF_INET, libc::SOCK_STREAM, 0);
        process.ask_socket(libc::AF_INET, libc::SOCK_DGRAM, 17);
        process.ask_socket(libc::AF_UNIX, libc::SOCK_SEQPACKET, 0);
        for (fd, label) in [(3, "socket:[1] TCP"), (4, "socket:[2] UDP"), (5, "socket:[3] UNIX")] {
            process.note_descriptor(fd, label.as_bytes());
        }
        process.ask_socket(libc::AF_INET, libc::SOCK_STREAM, 6);
        process.note_descriptor(6, b"socket:[4] TCP");
        process.note_descriptor(7, b"socket:[5] unheard of");

        assert_eq!(Some((Some(2), Some(1), Some(0))), facts(&process, 3));
        assert_eq!(Some((Some(2), Some(2), Some(17))), facts(&process, 4));
        assert_eq!(Some((Some(1), Some(5), Some(0))), facts(&process, 5));
        assert_eq!(Some((Some(2), Some(1), Some(6))), facts(&process, 6), "two kinds were asked for");
        assert_eq!(Some((None, None, None)), facts(&process, 7));
    }

    #[test]
    fn descriptor_that_is_not_open_is_no_longer_what_it_was_noted_as() {
        let mut process = process();
        process.open(3, Target::File((*b"/told").into()), MonoNs(5), true);
        process.note_descriptor(4, b"/noted");

        [3, 4].iter().for_each(|fd| process.note_descriptor(*fd, b""));

        assert_eq!([true, false], [3, 4].map(|fd| process.descriptors.get(fd).is_some()));
    }

    #[test]
    fn sockets_asked_for_are_remembered_up_to_a_bound() {
        let mut process = process();

        (0..1000).for_each(|family| process.ask_socket(family, 1, 0));

        assert_eq!(MOST_ASKED, process.asked_sockets.len());
    }

    #[test]
    fn descriptor_that_hooks_told_of_stays_the_images_own() {
        let mut process = process();
        process.open(3, Target::File((*b"/link/a").into()), MonoNs(5), true);
        process.open(4, Target::Socket(Arc::default()), MonoNs(5), true);

        process.note_descriptor(3, b"/real/a");
        process.note_descriptor(4, b"socket:[7] TCP");
        process.note_descriptor(5, b"/other");

        let own = |fd| process.descriptors.get(fd).map(|known| (known.owner, known.opened));
        assert_eq!([Some((OWN(), MonoNs(5))); 2], [own(3), own(4)]);
        assert_eq!(Some((ImageId::NONE, MonoNs::ZERO)), own(5));
        assert_eq!(Some((None, None, None)), facts(&process, 4));
        assert_eq!(Some(7), process.socket(4).unwrap().inode);
        assert_eq!(Some(&b"/real/a"[..]), process.path(3).as_deref());
    }
}
