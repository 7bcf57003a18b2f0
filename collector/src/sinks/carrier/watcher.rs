//! The connection of a `glassbox top`: packets that are parts of a stream.

use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{SendFlags, Shutdown, send, shutdown};

use super::kind::{Carried, Carrier, Opened};
use crate::sinks::framing::Found;

/// Bytes of a packet at most.
const PACKET: usize = 64 << 10;
/// One that takes nothing for so long is let go: it can connect again.
const PATIENCE: Timespec = Timespec { tv_sec: 2, tv_nsec: 0 };

/// Writes to a connection until nobody reads there. That is the reader's own affair: nothing counts as lost.
#[derive(Debug)]
struct Watcher {
    connection: OwnedFd,
    is_gone: bool,
}

/// A SOCK_SEQPACKET connection, as a place of an output.
pub fn opened(connection: OwnedFd) -> Opened {
    Opened::plain(Box::new(Watcher { connection, is_gone: false }), Found::Fresh)
}

impl Watcher {
    /// Sends a packet; false where that cannot be done.
    fn sends(&self, packet: &[u8]) -> bool {
        loop {
            match send(&self.connection, packet, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
                Ok(_) => return true,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    let mut polled = [PollFd::new(&self.connection, PollFlags::OUT)];
                    if !matches!(poll(&mut polled, Some(&PATIENCE)), Ok(1..) | Err(Errno::INTR)) {
                        return false;
                    }
                }
                Err(_) => return false,
            }
        }
    }
}

impl Carrier for Watcher {
    fn carry(&mut self, bytes: &mut Vec<u8>, events: u64) -> Carried {
        if !self.is_gone && !bytes.chunks(PACKET).all(|packet| self.sends(packet)) {
            self.is_gone = true;
            // The doorman hears of it by that.
            let _ = shutdown(&self.connection, Shutdown::Both);
        }
        bytes.clear();
        Carried { written: events, ..Carried::default() }
    }

    fn enough_bytes(&self) -> usize {
        PACKET
    }
}

#[cfg(test)]
mod tests {
    use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, recv, socketpair};

    use super::*;

    fn pair() -> (OwnedFd, OwnedFd) {
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::NONBLOCK, None).unwrap()
    }

    #[test]
    fn stream_arrives_in_packets() {
        let (ours, theirs) = pair();
        let mut opened = opened(ours);
        let sent: Vec<u8> = (0..100_000_u32).map(|number| number as u8).collect();
        let mut bytes = sent.clone();

        let carried = opened.carrier.carry(&mut bytes, 7);

        assert_eq!((7, 0, true), (carried.written, carried.lost, bytes.is_empty()));
        let mut got = Vec::new();
        let mut packet = vec![0; PACKET];
        while let Ok((length, _)) = recv(&theirs, &mut packet, RecvFlags::DONTWAIT) {
            got.extend_from_slice(&packet[..length]);
        }
        assert_eq!(sent, got);
    }

    #[test]
    fn one_that_is_gone_costs_nothing_and_loses_nothing() {
        let (ours, theirs) = pair();
        let mut opened = opened(ours);
        drop(theirs);

        for _ in 0..2 {
            let mut bytes = vec![0; 10];
            assert_eq!(3, opened.carrier.carry(&mut bytes, 3).written);
            assert!(bytes.is_empty());
        }
    }

    #[test]
    fn one_that_reads_nothing_is_let_go() {
        let (ours, theirs) = pair();
        let mut opened = opened(ours);
        let mut bytes = vec![0; 64 << 20];

        assert_eq!(3, opened.carrier.carry(&mut bytes, 3).written);

        let mut packet = vec![0; PACKET];
        let mut last = PACKET;
        while last > 0 {
            last = recv(&theirs, &mut packet, RecvFlags::DONTWAIT).map_or(0, |(length, _)| length);
        }
        assert_eq!(0, last, "the connection has an end");
    }
}
