//! What the kernel tells of a connection over a descriptor of it: its addresses, and the bytes that went over
//! it.
//!
//! # Safety
//! Each call is given pointers to locals of the size that the kernel's interface states, which outlive the
//! call, and a descriptor that is borrowed for its time.
#![allow(unsafe_code, reason = "getsockname as bytes and TCP_INFO have no safe wrapper here")]

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::ioctl_fionread;
use rustix::net::sockopt;

/// Bytes of a connection, each as far as it is certain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes that its holders wrote, whether the peer has them or not.
    pub sent: Option<u64>,
    /// Bytes that its holders read; not those that wait to be read.
    pub received: Option<u64>,
}

/// The side that asked for a connection, as far as that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// This one, by connect(2).
    Asked,
    /// The peer: it was accepted.
    Accepted,
    /// Not known.
    Unknown,
}

type Ask = unsafe extern "C" fn(libc::c_int, *mut libc::sockaddr, *mut libc::socklen_t) -> libc::c_int;

/// The bytes of the socket's own address; none where it has none.
pub fn own_address(socket: impl AsFd) -> Vec<u8> {
    address(socket.as_fd(), libc::getsockname)
}

/// The bytes of its peer's address.
pub fn peer_address(socket: impl AsFd) -> Vec<u8> {
    address(socket.as_fd(), libc::getpeername)
}

fn address(socket: BorrowedFd<'_>, ask: Ask) -> Vec<u8> {
    let mut bytes = [0_u64; 16];
    let mut len = size_of_val(&bytes) as libc::socklen_t;
    // SAFETY: `bytes` has room for a `sockaddr_storage`, is aligned as one, and outlives the call.
    let result = unsafe { ask(socket.as_raw_fd(), bytes.as_mut_ptr().cast(), &raw mut len) };
    let bytes = bytes.map(u64::to_ne_bytes).concat();
    match usize::try_from(len) {
        Ok(len) if result == 0 => bytes.get(..len).unwrap_or_default().to_vec(),
        _ => Vec::new(),
    }
}

/// The head of `struct tcp_info` (include/uapi/linux/tcp.h); Linux 4.19 fills it to the end.
const INFO_BYTES: usize = 216;

/// The bytes that went over a TCP socket; `None` for another one.
pub fn traffic(socket: impl AsFd, side: Side) -> Option<Traffic> {
    if sockopt::socket_protocol(&socket).ok()?? != rustix::net::ipproto::TCP {
        return None;
    }
    let mut info = [0_u8; INFO_BYTES];
    let mut len = INFO_BYTES as libc::socklen_t;
    // SAFETY: `info` has room for `len` bytes; both outlive the call.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    if result != 0 || len as usize != INFO_BYTES {
        return None;
    }
    let mut polled = [PollFd::new(&socket, PollFlags::empty())];
    let has_error = poll(&mut polled, Some(&rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 })).is_err()
        || polled.iter().any(|polled| polled.revents().contains(PollFlags::ERR));
    Some(Info::of(&info, ioctl_fionread(&socket).ok(), has_error).traffic(side))
}

/// What the kernel counts of a TCP socket.
#[derive(Clone, Copy, Debug)]
struct Info {
    state: u8,
    has_error: bool,
    /// Sequence numbers that the peer acknowledged, without those of a SYN that it sent first.
    acknowledged: u64,
    /// Sequence numbers that came in order, without the SYN's.
    received: u64,
    /// Bytes that were sent, each once.
    sent: u64,
    /// Sequence numbers that are not sent yet.
    unsent: u64,
    /// Bytes that wait to be read.
    unread: Option<u64>,
}

// include/net/tcp_states.h
const SYN_SENT: u8 = 2;
const FIN_WAIT1: u8 = 4;
const CLOSE: u8 = 7;
const CLOSE_WAIT: u8 = 8;
const LAST_ACK: u8 = 9;
const LISTEN: u8 = 10;
const CLOSING: u8 = 11;

impl Info {
    fn of(info: &[u8; INFO_BYTES], unread: Option<u64>, has_error: bool) -> Self {
        let long = |at: usize| {
            info.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u64::from_ne_bytes(*bytes))
        };
        let short = |at: usize| {
            info.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u32::from_ne_bytes(*bytes))
        };
        Self {
            state: info[0],
            has_error,
            acknowledged: long(120),
            received: long(128),
            sent: long(200).saturating_sub(long(208)),
            unsent: short(144).into(),
            unread,
        }
    }

    /// A FIN has a sequence number like a byte (RFC 9293, 3.4): it is taken off where it is among those that
    /// are counted.
    fn traffic(&self, side: Side) -> Traffic {
        if matches!(self.state, LISTEN | SYN_SENT) {
            return Traffic { sent: Some(0), received: Some(0) };
        }
        let waits_to_end = matches!(self.state, FIN_WAIT1 | CLOSING | LAST_ACK);
        let sent = self.sent + self.unsent - u64::from(waits_to_end && self.unsent > 0);
        let received = self.ends_of_peer(side).zip(self.unread);
        let received = received.and_then(|(ends, unread)| self.received.checked_sub(ends + unread));
        Traffic { sent: Some(sent), received }
    }

    /// How many FINs the peer has sent: one or none; `None` where that is not certain.
    ///
    /// The end of a connection and a reset both lead to the state CLOSE. Both sides ended it if the peer
    /// acknowledged ours, which comes before its own in all but a reset.
    fn ends_of_peer(&self, side: Side) -> Option<u64> {
        match self.state {
            CLOSE_WAIT | LAST_ACK | CLOSING => Some(1),
            CLOSE if self.received == 0 => Some(0),
            CLOSE if self.has_error => None,
            CLOSE => {
                // A SYN that was sent first is acknowledged too; one that answers is counted before.
                let beyond = self.acknowledged.checked_sub(self.sent)?;
                match (side, beyond) {
                    (Side::Asked, 2) | (Side::Accepted, 1) => Some(1),
                    _ => None,
                }
            }
            _ => Some(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
    use std::thread::sleep;
    use std::time::Duration;

    use super::*;

    /// A connection: the side that asked for it, and the other.
    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let asked = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (asked, listener.accept().unwrap().0)
    }

    /// The loopback has no delay, but the acknowledgement is sent by another processor's softirq.
    fn settled(socket: &TcpStream, side: Side) -> (Option<u64>, Option<u64>) {
        sleep(Duration::from_millis(60));
        let Traffic { sent, received } = traffic(socket, side).unwrap();
        (sent, received)
    }

    #[test]
    fn bytes_are_those_that_were_written_and_read() {
        let (mut asked, mut accepted) = pair();
        asked.write_all(&[7; 5000]).unwrap();
        accepted.read_exact(&mut [0; 1200]).unwrap();
        accepted.write_all(&[7; 31]).unwrap();

        assert_eq!((Some(5000), Some(0)), settled(&asked, Side::Asked));
        assert_eq!((Some(31), Some(1200)), settled(&accepted, Side::Accepted));
    }

    #[test]
    fn the_end_of_a_connection_is_no_byte() {
        let (mut asked, mut accepted) = pair();
        asked.write_all(b"hello").unwrap();
        asked.shutdown(Shutdown::Write).unwrap();
        let mut text = Vec::new();
        accepted.read_to_end(&mut text).unwrap();

        let half = (settled(&asked, Side::Asked), settled(&accepted, Side::Accepted));
        accepted.write_all(b"bye").unwrap();
        accepted.shutdown(Shutdown::Write).unwrap();
        asked.read_to_end(&mut text).unwrap();
        let whole = (settled(&asked, Side::Asked), settled(&accepted, Side::Accepted));

        assert_eq!(((Some(5), Some(0)), (Some(0), Some(5))), half);
        assert_eq!(((Some(5), Some(3)), (Some(3), Some(5))), whole);
    }

    #[test]
    fn a_connection_that_was_reset_has_no_count_of_what_came() {
        let (mut asked, mut accepted) = pair();
        accepted.write_all(b"answer").unwrap();
        asked.read_exact(&mut [0; 6]).unwrap();
        asked.write_all(b"never read").unwrap();
        drop(accepted);

        let pending = settled(&asked, Side::Asked);
        let error = asked.read(&mut [0; 9]);
        let consumed = settled(&asked, Side::Asked);

        assert!(error.is_err(), "{error:?}");
        assert_eq!((Some(10), None), pending);
        assert_eq!((Some(10), None), consumed);
    }

    #[test]
    fn a_socket_that_waits_or_is_not_connected_has_none_and_other_protocols_are_not_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();

        assert_eq!(Some(Traffic { sent: Some(0), received: Some(0) }), traffic(&listener, Side::Unknown));
        assert_eq!(None, traffic(&datagrams, Side::Unknown));
        assert_eq!((16, 0), (own_address(&listener).len(), peer_address(&listener).len()));
    }

    #[test]
    fn a_segment_that_is_sent_twice_counts_once_and_what_waits_counts() {
        let info = Info {
            state: FIN_WAIT1,
            has_error: false,
            acknowledged: 1,
            received: 0,
            sent: 100,
            unsent: 51,
            unread: Some(0),
        };

        assert_eq!(Some(150), info.traffic(Side::Asked).sent);
        assert_eq!(Some(151), Info { state: CLOSE_WAIT, ..info }.traffic(Side::Asked).sent);
    }
}
