//! The way from a supervisor to a collector: a socket, and a ring for what takes no descriptor.
//!
//! A packet of the socket begins with the place in the ring that it comes after (8 bytes). One with nothing
//! behind that wakes the collector.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{Ordering, fence};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, sendmsg,
    socketpair, sockopt,
};

use super::ring::Ring;

/// Bytes that may wait in the socket; the kernel grants what its limit allows (net.core.wmem_max).
const ROOM: usize = 4 << 20;
/// For poll(2): without waiting.
pub const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// The supervisor's end.
#[derive(Debug)]
pub struct Way {
    /// For packets with a descriptor, and to wake the collector.
    pub socket: OwnedFd,
    /// For all others; without it, where this process may have no memfd, they take the socket.
    pub ring: Option<Ring>,
}

/// The collector's end.
#[derive(Debug)]
pub struct Ends {
    /// What the supervisor sends, or wakes by.
    pub socket: OwnedFd,
    /// The memory of its ring.
    pub memfd: Option<OwnedFd>,
}

impl Way {
    /// Both ends of a way: the supervisor's, and the descriptors of the collector's.
    pub fn pair() -> io::Result<(Self, Ends)> {
        let (socket, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        let ring = Ring::new().ok();
        let memfd = ring.as_ref().map(|ring| ring.memfd().try_clone_to_owned()).transpose()?;
        Ok((Self::over(socket, ring), Ends { socket: theirs, memfd }))
    }

    /// A way whose other end is gone.
    pub fn to_nobody() -> io::Result<Self> {
        let (socket, _) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        Ok(Self { socket, ring: None })
    }

    /// The supervisor's end of a connection.
    pub fn over(socket: OwnedFd, ring: Option<Ring>) -> Self {
        // The kernel cuts what is too much.
        let _ = sockopt::set_socket_send_buffer_size(&socket, ROOM);
        Self { socket, ring }
    }

    /// Sends a packet over the socket, in its place among those of the ring.
    pub fn send(&self, packet: &[u8], fd: Option<&OwnedFd>) -> Result<(), Errno> {
        let after = self.ring.as_ref().map_or(0, Ring::tail).to_le_bytes();
        let sent =
            send(&self.socket, &[IoSlice::new(&after), IoSlice::new(packet)], fd.map(AsFd::as_fd).as_slice());
        // Whoever sees the ring's next packet finds this one in the socket.
        fence(Ordering::SeqCst);
        sent
    }

    /// Whether the collector has gone for good.
    pub fn is_over(&self) -> bool {
        let mut polled = [PollFd::new(&self.socket, PollFlags::empty())];
        self.ring.as_ref().is_some_and(Ring::is_closed)
            || poll(&mut polled, Some(&NOW)).is_ok_and(|ready| ready > 0)
                && polled[0].revents().contains(PollFlags::HUP)
    }
}

/// The most descriptors that come with a message.
const MOST_DESCRIPTORS: usize = 2;

/// Sends a message, with descriptors where there are any; never waits.
pub fn send(socket: &OwnedFd, message: &[IoSlice<'_>], descriptors: &[BorrowedFd<'_>]) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    sendmsg(socket, message, &mut control, SendFlags::DONTWAIT | SendFlags::NOSIGNAL).map(drop)
}
