//! The connections of a server: bounded in number, and fairly divided among the peers that share it.
//!
//! Without a place left, a newcomer takes one from the peer that has most of them, if that one has more than
//! the newcomer would have. So a client that opens as many as it can keeps itself from the server, and no
//! other.

use std::net::{IpAddr, Ipv6Addr, Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// A client, by its address. An owner of IPv6 addresses has at least a network of 64 bits.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Peer(IpAddr);

impl Peer {
    /// The peer at an address.
    pub fn of(address: IpAddr) -> Self {
        Self(match address {
            IpAddr::V6(address) => match address.to_ipv4_mapped() {
                Some(address) => address.into(),
                None => Ipv6Addr::from(u128::from(address) >> 64 << 64).into(),
            },
            address => address,
        })
    }
}

/// All connections.
#[derive(Debug)]
pub struct Guests {
    most: usize,
    known: Mutex<Vec<Arc<Known>>>,
}

#[derive(Debug)]
struct Known {
    peer: Peer,
    socket: Arc<TcpStream>,
    since: Instant,
    /// Between two requests.
    is_idle: AtomicBool,
    /// Its place was given to another; its thread ends.
    is_shown_out: AtomicBool,
}

/// A connection that has a place until it is dropped.
#[derive(Debug)]
pub struct Guest {
    guests: Arc<Guests>,
    known: Arc<Known>,
}

impl Guests {
    /// Room for `most` connections.
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, known: Mutex::default() })
    }

    /// Gives the connection a place. `None` where it gets none; it is closed then.
    pub fn admit(self: &Arc<Self>, socket: TcpStream) -> Option<Guest> {
        let peer = Peer::of(socket.peer_addr().ok()?.ip());
        let mut known = self.known();
        // Those that were shown out have threads for some more milliseconds, which are bounded too.
        if known.len() >= 2 * self.most || !make_room(&known, peer, self.most) {
            return None;
        }
        let guest = Arc::new(Known {
            peer,
            socket: Arc::new(socket),
            since: Instant::now(),
            is_idle: AtomicBool::new(false),
            is_shown_out: AtomicBool::new(false),
        });
        known.push(Arc::clone(&guest));
        Some(Guest { guests: Arc::clone(self), known: guest })
    }

    /// Whether no connection is left.
    pub fn is_empty(&self) -> bool {
        self.known().is_empty()
    }

    fn known(&self) -> MutexGuard<'_, Vec<Arc<Known>>> {
        // Whole at any time.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether there is a place for a newcomer, perhaps another's.
fn make_room(known: &[Arc<Known>], newcomer: Peer, most: usize) -> bool {
    let seated = || known.iter().filter(|guest| !guest.is_shown_out.load(Ordering::Relaxed));
    if seated().count() < most {
        return true;
    }
    let places = |peer: Peer| seated().filter(|guest| guest.peer == peer).count();
    let Some(greediest) = seated().map(|guest| guest.peer).max_by_key(|peer| places(*peer)) else {
        return false;
    };
    if places(greediest) < places(newcomer) + 2 {
        return false;
    }
    let of_it = seated().filter(|guest| guest.peer == greediest);
    let Some(last) = of_it.min_by_key(|guest| (!guest.is_idle.load(Ordering::Relaxed), guest.since)) else {
        return false;
    };
    last.is_shown_out.store(true, Ordering::Relaxed);
    // Its thread's next read or write fails.
    let _ = last.socket.shutdown(Shutdown::Both);
    true
}

impl Guest {
    /// The client.
    pub fn peer(&self) -> Peer {
        self.known.peer
    }

    /// The connection.
    pub fn socket(&self) -> &TcpStream {
        &self.known.socket
    }

    /// Notes whether it is between two requests.
    pub fn set_idle(&self, is_idle: bool) {
        self.known.is_idle.store(is_idle, Ordering::Relaxed);
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.guests.known().retain(|known| !Arc::ptr_eq(known, &self.known));
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn known(peer: &str) -> Arc<Known> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = Arc::new(TcpStream::connect(listener.local_addr().unwrap()).unwrap());
        Arc::new(Known {
            peer: Peer::of(peer.parse().unwrap()),
            socket,
            since: Instant::now(),
            is_idle: AtomicBool::new(false),
            is_shown_out: AtomicBool::new(false),
        })
    }

    fn shown_out(known: &[Arc<Known>]) -> Vec<usize> {
        (0..known.len()).filter(|index| known[*index].is_shown_out.load(Ordering::Relaxed)).collect()
    }

    #[test]
    fn newcomer_takes_a_place_from_the_peer_that_has_most() {
        let all = [known("10.0.0.1"), known("10.0.0.2"), known("10.0.0.1"), known("10.0.0.1")];
        all[2].set_idle_for_test();

        assert!(make_room(&all, Peer::of("10.0.0.3".parse().unwrap()), 4));
        assert_eq!(vec![2], shown_out(&all), "the one that waits");
        assert!(make_room(&all, Peer::of("10.0.0.3".parse().unwrap()), 3));
        assert_eq!(vec![0, 2], shown_out(&all), "then the oldest");
    }

    #[test]
    fn greedy_peer_gets_no_more_and_equals_keep_what_they_have() {
        let all = [known("10.0.0.1"), known("10.0.0.1"), known("10.0.0.2"), known("10.0.0.2")];

        for peer in ["10.0.0.1", "10.0.0.2"] {
            assert!(!make_room(&all, Peer::of(peer.parse().unwrap()), 4));
        }
        assert!(shown_out(&all).is_empty());
    }

    #[test]
    fn addresses_of_one_network_are_one_peer() {
        let peer = |text: &str| Peer::of(text.parse().unwrap());

        assert_eq!(peer("2001:db8::1"), peer("2001:db8::ffff:2"));
        assert_ne!(peer("2001:db8::1"), peer("2001:db8:0:1::1"));
        assert_eq!(peer("10.0.0.1"), peer("::ffff:10.0.0.1"));
        assert_ne!(peer("10.0.0.1"), peer("10.0.0.2"));
    }

    impl Known {
        fn set_idle_for_test(&self) {
            self.is_idle.store(true, Ordering::Relaxed);
        }
    }
}
