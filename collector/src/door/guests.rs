//! Connections that have not said hello yet, and the one message that each of them sends.

use std::collections::VecDeque;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use wire::hello;

/// Connections kept; the oldest makes way for one more.
pub const MOST_GUESTS: usize = 256;

/// Marks the epoll token of a guest; the rest is its number.
pub const GUEST: u64 = 1 << 62;

/// Connections that have not said hello yet, the oldest first.
#[derive(Debug, Default)]
pub struct Guests {
    waiting: VecDeque<(u64, OwnedFd)>,
    next: u64,
}

impl Guests {
    /// A token for the next guest.
    pub fn next_token(&mut self) -> u64 {
        self.next += 1;
        GUEST | (self.next - 1)
    }

    /// Keeps a guest that has not spoken.
    pub fn keep(&mut self, token: u64, guest: OwnedFd) {
        // A guest that is kept again goes back to its place.
        let place = self.waiting.iter().position(|(other, _)| *other > token).unwrap_or(self.waiting.len());
        self.waiting.insert(place, (token, guest));
        if self.waiting.len() > MOST_GUESTS {
            self.waiting.pop_front();
        }
    }

    /// Takes a guest out.
    pub fn take(&mut self, token: u64) -> Option<OwnedFd> {
        let place = self.waiting.iter().position(|(guest, _)| *guest == token)?;
        self.waiting.remove(place).map(|(_, guest)| guest)
    }

    /// The tokens of all guests.
    pub fn tokens(&self) -> Vec<u64> {
        self.waiting.iter().map(|(token, _)| *token).collect()
    }

    /// How many guests wait.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }
}

/// The only message of a guest.
#[derive(Debug)]
pub struct Message {
    bytes: [u8; hello::MAX_LEN],
    len: usize,
    /// The descriptor that came with it.
    pub descriptor: Option<OwnedFd>,
}

impl Message {
    /// The message's bytes; none from a guest that hung up.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// Reads a guest's message, without waiting. `Ok(None)` when it has not come yet; an error when the
/// connection is broken.
pub fn receive(guest: &OwnedFd) -> Result<Option<Message>, Errno> {
    let mut message = Message { bytes: [0; hello::MAX_LEN], len: 0, descriptor: None };
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut slices = [IoSliceMut::new(&mut message.bytes)];
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let received = match recvmsg(guest, &mut slices, &mut control, flags) {
        Ok(received) => received,
        Err(Errno::AGAIN | Errno::INTR) => return Ok(None),
        Err(error) => return Err(error),
    };
    message.len = received.bytes;
    for ancillary in control.drain() {
        if let RecvAncillaryMessage::ScmRights(mut descriptors) = ancillary {
            message.descriptor = descriptors.next();
        }
    }
    Ok(Some(message))
}
