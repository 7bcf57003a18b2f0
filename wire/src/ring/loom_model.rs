//! The ring under loom, which runs every interleaving of a small case, and every value that a load may
//! return.
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test -p wire --lib --release --target-dir target/loom
//! ```
//!
//! Two writers, one reader, a ring of two to four records. Payload bytes lie in loom cells, so that a byte
//! that is read or written without the ordering that the protocol claims is reported as a race. Each ordering
//! and each check that the comments in `writer` and `reader` justify was weakened once, to see which test
//! fails:
//!
//! | weakened | what fails |
//! |---|---|
//! | the Acquire load in `Reader::state_at`, or Release of the exchange in `commit` | five models: race |
//! | Release in `Reader::release`, or the Acquire load of head in `reserve` | `a_full_ring_…`: race |
//! | the fence in `commit`, or the one in `may_sleep` | `a_sleeping_reader_…`, `a_napping_…`: deadlock |
//! | the second look at the tail in `reserve` | `a_ring_with_room_…`, `records_arrive_…`: refused |
//! | the bell ignored while the reader naps | `a_napping_…`: deadlock |
//! | a store for the exchange in `commit` | `tests/queue.rs`: a late commit over another record |
//! | Relaxed for the padding's word | `tests/stress.rs` under the thread sanitizer: race |

use loom::cell::UnsafeCell;
use loom::model::Builder;
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;
use std::vec::Vec;

use super::sync::{AtomicU32, AtomicU64, Ordering};
use super::{Memory, Next, Reader, Refused, Unfinished, bell, reserve};
use crate::codec::Sink;

/// A ring of a few words. A word has two lives, as a state word and as payload, and loom needs a cell for
/// each.
struct Small {
    tail: AtomicU64,
    head: AtomicU64,
    bell: AtomicU32,
    states: Vec<AtomicU64>,
    payload: Vec<UnsafeCell<u64>>,
    /// The kernel's side of the futex.
    queue: Mutex<()>,
    woken: Condvar,
}

// SAFETY: the payload cells are what the ring's protocol hands over; loom checks each access.
unsafe impl Sync for Small {}

impl Small {
    fn new(words: usize) -> Arc<Self> {
        Arc::new(Self {
            tail: AtomicU64::new(0),
            head: AtomicU64::new(0),
            bell: AtomicU32::new(bell::AWAKE),
            states: (0..words).map(|_| AtomicU64::new(0)).collect(),
            payload: (0..words).map(|_| UnsafeCell::new(0)).collect(),
            queue: Mutex::new(()),
            woken: Condvar::new(),
        })
    }

    /// futex(2), FUTEX_WAIT without a time limit: a wake-up that is missed is a deadlock, which loom reports.
    fn wait(&self, expected: u32) {
        let guard = self.queue.lock().unwrap();
        if self.bell.load(Ordering::Relaxed) == expected {
            drop(self.woken.wait(guard).unwrap());
        }
    }

    /// futex(2), FUTEX_WAKE.
    fn wake(&self) {
        let _guard = self.queue.lock().unwrap();
        self.woken.notify_all();
    }
}

impl Memory for Arc<Small> {
    fn data_len(&self) -> u64 {
        self.states.len() as u64 * 8
    }
    fn tail(&self) -> &AtomicU64 {
        &self.tail
    }
    fn head(&self) -> &AtomicU64 {
        &self.head
    }
    fn bell(&self) -> &AtomicU32 {
        &self.bell
    }
    fn state(&self, offset: u64) -> &AtomicU64 {
        &self.states[offset as usize / 8]
    }
    unsafe fn write(&self, offset: u64, bytes: &[u8]) {
        for (word, cell) in bytes.chunks_exact(8).zip(&self.payload[offset as usize / 8..]) {
            let word = u64::from_le_bytes(word.try_into().unwrap());
            // SAFETY: loom checks that no other thread has the cell.
            cell.with_mut(|place| unsafe { place.write(word) });
        }
    }
    unsafe fn read(&self, offset: u64, into: &mut [u8]) {
        for (word, cell) in into.chunks_exact_mut(8).zip(&self.payload[offset as usize / 8..]) {
            // SAFETY: loom checks that no thread is writing to the cell.
            word.copy_from_slice(&cell.with(|place| unsafe { place.read() }).to_le_bytes());
        }
    }
}

/// Writes a record of `words` words, each of which names its writer.
fn write(ring: &Arc<Small>, writer: u8, number: u64, words: usize) -> Result<(), Refused> {
    let mut record = reserve(ring, writer, words * 8)?;
    for _ in 0..words {
        assert!(record.put(&(u64::from(writer) << 32 | number).to_le_bytes()));
    }
    if record.commit() {
        ring.wake();
    }
    Ok(())
}

/// The writer and the number of a record, after a check of every word.
fn read(slot: u8, bytes: &[u8]) -> (u8, u64) {
    let words: Vec<u64> =
        bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect();
    assert!(words.iter().all(|word| *word == words[0]), "torn: {words:x?}");
    assert_eq!(u64::from(slot), words[0] >> 32);
    (slot, words[0] & 0xffff_ffff)
}

/// Reads all that is there.
fn drain(reader: &mut Reader<Arc<Small>>, found: &mut Vec<(u8, u64)>) -> Next {
    let mut buffer = [0; 64];
    loop {
        match reader.next(&mut buffer) {
            Next::Record { slot, len } => found.push(read(slot, &buffer[..len])),
            end => return end,
        }
        reader.release();
    }
}

fn explore(preemptions: usize, case: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(case);
}

#[test]
fn records_arrive_once_whole_and_in_the_order_of_their_writer() {
    explore(2, || {
        let ring = Small::new(8);
        let writers = [1, 2].map(|writer| {
            let ring = ring.clone();
            thread::spawn(move || (0..2).for_each(|number| write(&ring, writer, number, 1).unwrap()))
        });
        let (mut reader, mut found) = (Reader::new(ring), Vec::new());

        for _ in 0..2 {
            assert_ne!(Next::Corrupt, drain(&mut reader, &mut found));
            thread::yield_now();
        }
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        assert_eq!(Next::Empty, drain(&mut reader, &mut found));

        for writer in [1, 2] {
            let numbers: Vec<u64> = found.iter().filter(|(who, _)| *who == writer).map(|(_, n)| *n).collect();
            assert_eq!([0, 1], numbers[..]);
        }
    });
}

/// Records of two and three words in a ring of four: the end of the data is padded, places are used again.
#[test]
fn a_full_ring_refuses_and_every_record_is_delivered_or_refused() {
    explore(3, || {
        let ring = Small::new(4);
        let writers = [1, 2].map(|writer| {
            let ring = ring.clone();
            thread::spawn(move || {
                (0..2).filter(|number| write(&ring, writer, *number, usize::from(writer)).is_err()).count()
            })
        });
        let (mut reader, mut found) = (Reader::new(ring), Vec::new());

        for _ in 0..2 {
            assert_ne!(Next::Corrupt, drain(&mut reader, &mut found));
            thread::yield_now();
        }
        let refused: usize = writers.map(|writer| writer.join().unwrap()).into_iter().sum();
        assert_eq!(Next::Empty, drain(&mut reader, &mut found));

        assert_eq!(4, found.len() + refused);
        found.sort();
        found.dedup();
        assert_eq!(4, found.len() + refused, "a record was read twice");
    });
}

#[test]
fn a_ring_with_room_for_everything_unread_never_refuses() {
    explore(2, || {
        let ring = Small::new(8);
        let busy = {
            let ring = ring.clone();
            thread::spawn(move || (0..3).for_each(|number| write(&ring, 1, number, 1).unwrap()))
        };
        let slow = {
            let ring = ring.clone();
            thread::spawn(move || write(&ring, 2, 0, 1).unwrap())
        };
        let (mut reader, mut found) = (Reader::new(ring), Vec::new());

        // Two looks while they write: the reader may give back what the slow writer's stale tail does not
        // know of.
        for _ in 0..2 {
            drain(&mut reader, &mut found);
            thread::yield_now();
        }

        busy.join().unwrap();
        slow.join().unwrap();
        drain(&mut reader, &mut found);
        assert_eq!(4, found.len());
    });
}

#[test]
fn a_sleeping_reader_is_woken_by_every_commit_that_it_has_not_seen() {
    explore(3, || {
        let ring = Small::new(8);
        let writers = [1, 2].map(|writer| {
            let ring = ring.clone();
            thread::spawn(move || write(&ring, writer, 0, 1).unwrap())
        });
        let (mut reader, mut found) = (Reader::new(ring.clone()), Vec::new());

        while found.len() < 2 {
            drain(&mut reader, &mut found);
            if found.len() < 2 && reader.may_sleep(bell::SLEEPING) {
                ring.wait(bell::SLEEPING);
                reader.wake_up();
            }
        }

        writers.into_iter().for_each(|writer| writer.join().unwrap());
    });
}

/// A nap need not be ended by a commit, but by the one that makes the ring more than half full.
#[test]
fn a_napping_reader_is_woken_when_the_ring_passes_half() {
    explore(3, || {
        let ring = Small::new(4);
        let writers = [1, 2].map(|writer| {
            let ring = ring.clone();
            thread::spawn(move || write(&ring, writer, 0, 1).unwrap())
        });
        let (mut reader, mut found) = (Reader::new(ring.clone()), Vec::new());

        // With nothing given back, the second reservation is the one that passes half.
        while found.len() < 2 {
            let mut buffer = [0; 64];
            match reader.next(&mut buffer) {
                Next::Record { slot, len } => found.push(read(slot, &buffer[..len])),
                // The first record may be there for a while before the second writer comes: that is no miss,
                // and its own commit wakes no reader.
                _ if found.is_empty() => thread::yield_now(),
                _ if reader.may_sleep(bell::NAPPING) => {
                    ring.wait(bell::NAPPING);
                    reader.wake_up();
                }
                _ => {}
            }
        }

        writers.into_iter().for_each(|writer| writer.join().unwrap());
    });
}

#[test]
fn a_record_is_either_delivered_or_given_up() {
    explore(4, || {
        let ring = Small::new(8);
        let writer = {
            let ring = ring.clone();
            thread::spawn(move || write(&ring, 1, 0, 1).unwrap())
        };
        let (mut reader, mut found) = (Reader::new(ring.clone()), Vec::new());
        let mut skipped = 0;

        if let Next::Unfinished(Unfinished { .. }) = drain(&mut reader, &mut found) {
            skipped += usize::from(reader.skip());
        }
        writer.join().unwrap();
        assert_eq!(Next::Empty, drain(&mut reader, &mut found));

        assert_eq!(1, found.len() + skipped);
    });
}

/// One writer is given up at any instant; the other one's records are untouched by it once its state word is
/// there.
#[test]
fn giving_a_record_up_harms_no_other_that_says_its_length() {
    explore(3, || {
        let ring = Small::new(8);
        // Reserved, and its writer is about to commit: its place and length are known.
        let victim = reserve(&ring, 1, 8).unwrap();
        let mut reader = Reader::new(ring.clone());
        let mut found = Vec::new();
        let other = {
            let ring = ring.clone();
            thread::spawn(move || write(&ring, 2, 0, 1).unwrap())
        };

        assert!(matches!(drain(&mut reader, &mut found), Next::Unfinished(Unfinished { slot: Some(1), .. })));
        assert!(reader.skip());
        let _ = victim.commit();
        other.join().unwrap();
        assert_eq!(Next::Empty, drain(&mut reader, &mut found));

        assert_eq!([(2, 0)], found[..]);
    });
}
