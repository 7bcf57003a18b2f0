//! Connections that have not said hello yet, and the one message that each of them sends.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;

use rustc_hash::FxHashMap;
use wire::hello;

use crate::shell::listeners::leave_open;
use crate::system::kernel;
use crate::system::peers::{self, Received, Sender};

/// Connections kept; the oldest of the user that has the most makes way for one more.
pub const MOST_GUESTS: usize = 256;

/// Marks the epoll token of a guest; the rest is its number.
pub const GUEST: u64 = 1 << 62;

/// Connections that have not said hello yet, the oldest first.
#[derive(Debug, Default)]
pub struct Guests {
    waiting: VecDeque<Guest>,
    next: u64,
}

#[derive(Debug)]
struct Guest {
    token: u64,
    /// The user that connected.
    uid: Option<u32>,
    connection: OwnedFd,
}

impl Drop for Guests {
    fn drop(&mut self) {
        leave_open(self.waiting.drain(..).map(|guest| guest.connection));
    }
}

impl Guests {
    /// A token for the next guest.
    pub fn next_token(&mut self) -> u64 {
        self.next += 1;
        GUEST | (self.next - 1)
    }

    /// Keeps a guest that has not spoken. Gives the one that makes way for it.
    pub fn keep(&mut self, token: u64, connection: OwnedFd) -> Option<OwnedFd> {
        let uid = kernel::peer(&connection).ok().map(|peer| peer.uid);
        // A guest that is kept again goes back to its place.
        let place = self.waiting.iter().position(|other| other.token > token).unwrap_or(self.waiting.len());
        self.waiting.insert(place, Guest { token, uid, connection });
        if self.waiting.len() <= MOST_GUESTS {
            return None;
        }
        let mut counts: FxHashMap<Option<u32>, usize> = FxHashMap::default();
        self.waiting.iter().for_each(|guest| *counts.entry(guest.uid).or_default() += 1);
        let (most, _) = counts.into_iter().max_by_key(|(_, count)| *count)?;
        let oldest = self.waiting.iter().position(|guest| guest.uid == most)?;
        self.waiting.remove(oldest).map(|guest| guest.connection)
    }

    /// Takes a guest out.
    pub fn take(&mut self, token: u64) -> Option<OwnedFd> {
        let place = self.waiting.iter().position(|guest| guest.token == token)?;
        self.waiting.remove(place).map(|guest| guest.connection)
    }

    /// The tokens of all guests.
    pub fn tokens(&self) -> Vec<u64> {
        self.waiting.iter().map(|guest| guest.token).collect()
    }

    /// The tokens of the guests that came last, at most `most`, the oldest first.
    pub fn latest(&self, most: usize) -> Vec<u64> {
        let first = self.waiting.len().saturating_sub(most);
        self.waiting.range(first..).map(|guest| guest.token).collect()
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
    /// The descriptors that came with it.
    pub descriptors: Vec<OwnedFd>,
    /// Its sender, by the kernel's word.
    pub sender: Sender,
}

impl Message {
    /// The message's bytes; none from a guest that hung up.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// Reads a guest's message, without waiting. `Ok(None)` when it has not come yet; an error when the
/// connection is broken.
pub fn receive(guest: &OwnedFd) -> io::Result<Option<Message>> {
    let mut bytes = [0; hello::MAX_LEN];
    match peers::receive(guest, &mut bytes) {
        Ok(Received { len, descriptors, sender }) => Ok(Some(Message { bytes, len, descriptors, sender })),
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
