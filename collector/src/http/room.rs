//! The memory that bodies of requests may take together.
//!
//! A request takes its room before its body is read, and gives it back once it is answered. Short bodies need
//! none, so that they are never kept waiting by long ones. One peer gets half of all at most.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::guests::Peer;

/// Bodies up to this many bytes need no room: the number of connections bounds them.
const SHORT: usize = 64 << 10;

/// How long a request waits for room.
const PATIENCE: Duration = Duration::from_secs(3);

/// Bytes that are shared.
#[derive(Debug)]
pub struct Room {
    most: usize,
    taken: Mutex<HashMap<Peer, usize>>,
    given_back: Condvar,
}

/// A part of the room, until it is dropped.
#[derive(Debug)]
pub struct Part<'r> {
    room: &'r Room,
    peer: Peer,
    bytes: usize,
}

impl Room {
    /// Room for `most` bytes in all.
    pub fn new(most: usize) -> Self {
        Self { most, taken: Mutex::default(), given_back: Condvar::new() }
    }

    /// Takes room for a body, and waits for it a little while. `None` where there is none.
    pub fn take(&self, peer: Peer, bytes: usize) -> Option<Part<'_>> {
        self.take_until(peer, bytes, Instant::now() + PATIENCE)
    }

    fn take_until(&self, peer: Peer, bytes: usize, deadline: Instant) -> Option<Part<'_>> {
        if bytes <= SHORT {
            return Some(Part { room: self, peer, bytes: 0 });
        }
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let (all, own) = (taken.values().sum::<usize>(), taken.get(&peer).copied().unwrap_or(0));
            if all + bytes <= self.most && own + bytes <= self.most / 2 {
                *taken.entry(peer).or_default() += bytes;
                return Some(Part { room: self, peer, bytes });
            }
            let left = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
            taken = self.given_back.wait_timeout(taken, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Part<'_> {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        let mut taken = self.room.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = taken.get_mut(&self.peer) {
            *own -= self.bytes;
            if *own == 0 {
                taken.remove(&self.peer);
            }
        }
        self.room.given_back.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(last: u8) -> Peer {
        Peer::of(std::net::IpAddr::from([10, 0, 0, last]))
    }

    #[test]
    fn one_peer_gets_half_and_all_no_more_than_there_is() {
        let room = Room::new(1 << 20);
        let now = Instant::now();
        let take = |last: u8| room.take_until(peer(last), 256 << 10, now);

        let first = take(1);
        let parts = [take(1), take(2), take(3)];

        assert!(first.is_some() && parts.iter().all(Option::is_some));
        assert!(take(1).is_none(), "half is taken");
        assert!(take(4).is_none(), "all is taken");
        assert!(room.take_until(peer(4), SHORT, now).is_some());
        drop(first);
        assert!(take(4).is_some());
    }

    #[test]
    fn room_that_is_given_back_goes_to_the_one_that_waits() {
        let room = Room::new(512 << 10);
        let part = room.take(peer(1), 256 << 10);

        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| room.take(peer(1), 256 << 10).is_some());
            std::thread::sleep(Duration::from_millis(50));
            drop(part);
            assert!(waiting.join().unwrap());
        });
    }
}
