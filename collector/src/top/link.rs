//! The connection to a collector: a recording of what happens from now on, in packets.

use std::io::{self, Read};
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvFlags, SendFlags, recv, send};

use crate::shell::failure::{Failure, Status};
use crate::shell::socket::{self, Name, WATCH_ACCEPTED, WATCH_QUESTION, WATCH_REFUSED};

/// The longest packet.
const PACKET: usize = 64 << 10;
/// How long the collector may take to answer.
const PATIENCE: Timespec = Timespec { tv_sec: 2, tv_nsec: 0 };

/// The stream behind the packets.
#[derive(Debug)]
pub struct Packets {
    connection: OwnedFd,
    packet: Vec<u8>,
    /// What was given of it.
    given: usize,
}

/// Connects to the collector at `name`.
pub fn connect(name: &Name) -> Result<Packets, Failure> {
    let failed = |what: &str| {
        let shown = name.spelling();
        Failure::new(
            Status::NotReady,
            format!(
                "nothing to watch at '{}': {what}; start 'glassbox collect', or set GLASSBOX_SOCKET to where it listens",
                shown.display()
            ),
        )
    };
    let connection = socket::attempt(name).map_err(|error| failed(&error.to_string()))?;
    send(&connection, WATCH_QUESTION, SendFlags::NOSIGNAL)
        .map_err(|error| failed(&io::Error::from(error).to_string()))?;
    let mut packets = Packets { connection, packet: Vec::new(), given: 0 };
    if !packets.waits(Some(&PATIENCE)) || packets.fill().unwrap_or(0) == 0 {
        return Err(failed("the collector does not answer, or is of another version"));
    }
    match packets.packet.strip_prefix(WATCH_REFUSED) {
        Some(why) => Err(Failure::new(
            Status::Unavailable,
            format!("the collector does not let you watch: {}", String::from_utf8_lossy(why)),
        )),
        None if packets.packet == WATCH_ACCEPTED => {
            packets.given = packets.packet.len();
            Ok(packets)
        }
        None => Err(failed("what answers is no collector of this version")),
    }
}

impl Packets {
    fn waits(&self, patience: Option<&Timespec>) -> bool {
        let mut polled = [PollFd::new(&self.connection, PollFlags::IN)];
        matches!(poll(&mut polled, patience), Ok(1..))
    }

    /// Takes the next packet; gives its length, 0 at the end.
    fn fill(&mut self) -> io::Result<usize> {
        self.packet.resize(PACKET, 0);
        let received = recv(&self.connection, &mut self.packet[..], RecvFlags::DONTWAIT);
        self.packet.truncate(received.map_or(0, |(length, _)| length));
        self.given = 0;
        received.map_err(io::Error::from)?;
        Ok(self.packet.len())
    }
}

impl Read for Packets {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.given == self.packet.len() {
            self.waits(None);
            match self.fill() {
                Ok(0) => return Ok(0),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // A connection that is reset has an end.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(0),
                Err(error) => return Err(error),
            }
        }
        let rest = &self.packet[self.given..];
        let length = rest.len().min(into.len());
        into[..length].copy_from_slice(&rest[..length]);
        self.given += length;
        Ok(length)
    }
}
