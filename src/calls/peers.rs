//! The peers that datagrams were sent to: the first one to each is reported, and no other.
//!
//! A table of hashes for the whole process. A socket's descriptor is closed and its number used again without
//! a search of the table: each socket has a mark in its counters, which closing clears, and the mark is part
//! of the hash. A peer that was pushed out by others is reported once more.

use core::ffi::c_int;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use wire::ring::layout::FdCounters;
use wire::schema::fnv;

/// The mark of a socket that was connected to a name server.
pub const NAME_SERVER: u64 = 53;

const SETS: usize = 64;
const WAYS: usize = 8;
const SEED: u64 = 0xcbf2_9ce4_8422_2325;

/// Hashes, of which those with the same remainder share a set; the last one that came stands first. A page.
static KNOWN: [[AtomicU64; WAYS]; SETS] = [const { [const { AtomicU64::new(0) }; WAYS] }; SETS];
/// Marks that were given out.
static MARKS: AtomicU32 = AtomicU32::new(0);

/// Notes that a datagram was sent to `address` through `fd`, which has these counters. True for the first one
/// there.
pub fn is_new(fd: c_int, counters: &FdCounters, address: &[u8]) -> bool {
    let mark = mark_of(counters);
    let hash = fnv(fnv(fnv(SEED, address), &fd.to_le_bytes()), &mark.to_le_bytes()) | 1;
    let Some(set) = KNOWN.get(hash as usize / 2 % SETS) else { return true };
    // Relaxed: two threads that send to a new peer at once may both report it.
    if set.iter().any(|known| known.load(Ordering::Relaxed) == hash) {
        return false;
    }
    let mut hash = hash;
    for known in set {
        hash = known.swap(hash, Ordering::Relaxed);
    }
    true
}

/// The mark of a socket; one that has none gets the next. Those of connects and of name servers, which are
/// odd, stay.
fn mark_of(counters: &FdCounters) -> u64 {
    let mark = counters.mark();
    if mark != 0 {
        return mark;
    }
    // Even; 0 only once all were given out, and then there is the next.
    let next = u64::from(MARKS.fetch_add(2, Ordering::Relaxed).wrapping_add(2)) & 0xff_fffe;
    // Two threads that send to a new peer at once may both report it.
    if counters.change_mark(0, next) { next } else { counters.mark() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters() -> FdCounters {
        // SAFETY: four numbers.
        unsafe { core::mem::zeroed() }
    }

    #[test]
    fn each_peer_of_a_socket_is_new_once_in_whatever_order_they_come() {
        let (one, other) = (counters(), counters());

        let alternating = (0..20).filter(|round| is_new(3, &one, &[2, round % 2])).count();
        let many = (0..2).map(|_| (0..16).filter(|peer| is_new(4, &other, &[3, *peer])).count());

        assert_eq!(2, alternating);
        assert_eq!(vec![16, 0], many.collect::<Vec<_>>());
    }

    #[test]
    fn socket_that_takes_the_number_of_a_closed_one_knows_no_peer() {
        let counters = counters();
        let first = is_new(3, &counters, b"peer");
        counters.close();
        counters.open();

        assert_eq!(
            [true, true, false],
            [first, is_new(3, &counters, b"peer"), is_new(3, &counters, b"peer")]
        );
    }

    #[test]
    fn socket_of_a_name_server_stays_one_when_it_sends_elsewhere() {
        let counters = counters();
        counters.change_mark(0, NAME_SERVER);

        let told = [is_new(5, &counters, b"elsewhere"), is_new(5, &counters, b"elsewhere")];

        assert_eq!(([true, false], NAME_SERVER), (told, counters.mark()));
    }

    #[test]
    fn counts_are_no_part_of_the_mark() {
        let counters = counters();
        is_new(3, &counters, b"peer");
        counters.outgoing().1.fetch_add(7, Ordering::Relaxed);

        assert!(!is_new(3, &counters, b"peer"));
        assert_eq!(7, counters.look().counters.calls_out);
    }
}
