//! The ring against a plain queue: one thread, any order of reserve, commit, abandon, read, skip and release.
#![cfg(not(loom))]

mod support;

use std::collections::VecDeque;

use proptest::prelude::*;
use support::{Lent, Small};
use wire::codec::Sink as _;
use wire::ring::{Memory as _, Next, Reader, Refused, Reservation, Unfinished, reserve};

#[derive(Clone, Debug)]
enum Step {
    Reserve {
        slot: u8,
        len: usize,
    },
    Commit(prop::sample::Index),
    Abandon(prop::sample::Index),
    Read,
    Skip,
    Release,
    /// The collector is started again: it goes on at the head.
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (any::<u8>(), 0_usize..200).prop_map(|(slot, len)| Step::Reserve { slot, len }),
        5 => any::<prop::sample::Index>().prop_map(Step::Commit),
        1 => any::<prop::sample::Index>().prop_map(Step::Abandon),
        6 => Just(Step::Read),
        1 => Just(Step::Skip),
        3 => Just(Step::Release),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..300)
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    Busy,
    Committed,
    Abandoned,
}

#[derive(Clone, Debug)]
struct Expected {
    number: usize,
    position: u64,
    end: u64,
    slot: u8,
    bytes: Vec<u8>,
    stage: Stage,
}

/// A queue of what is reserved, and as much space as the ring has.
struct Model {
    capacity: u64,
    head: u64,
    tail: u64,
    /// The records that were not given back, read or not.
    records: VecDeque<Expected>,
    /// The end of what was read.
    cursor: u64,
}

impl Model {
    /// The place of the next record of so many bytes: a record is not split, so it may begin at the start of
    /// the data.
    fn place(&self, len: usize) -> Option<(u64, u64)> {
        let len = (8 + len as u64).next_multiple_of(8);
        let left_in_lap = self.capacity - self.tail % self.capacity;
        let position = if len <= left_in_lap { self.tail } else { self.tail.wrapping_add(left_in_lap) };
        let end = position.wrapping_add(len);
        (end.wrapping_sub(self.head) <= self.capacity).then_some((position, end))
    }

    fn next(&mut self) -> Option<&mut Expected> {
        let cursor = self.cursor;
        self.records
            .iter_mut()
            .filter(|record| record.position.wrapping_sub(cursor) < 1 << 63)
            .find(|record| record.stage != Stage::Abandoned)
    }
}

fn bytes_of(number: usize, len: usize) -> Vec<u8> {
    (0..len).map(|index| (number * 31 + index * 7 + 1) as u8).collect()
}

fn check(data_len: u64, start: u64, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let small = Small::new(data_len, start);
    let mut reader = Reader::new(Lent(&small));
    let mut model =
        Model { capacity: data_len, head: start, tail: start, records: VecDeque::new(), cursor: start };
    let mut open: Vec<(usize, Reservation<'_, Small>)> = Vec::new();
    let mut copy = vec![0; wire::ring::MAX_RECORD];

    for (number, step) in steps.into_iter().enumerate() {
        match step {
            Step::Reserve { slot, len } => {
                let place = model.place(len);
                let bytes = bytes_of(number, len);
                match reserve(&small, slot, len) {
                    Ok(mut record) => {
                        let (position, end) = place.expect("the ring took a record that has no room");
                        prop_assert!(record.put(&bytes[..len / 2]) && record.put(&bytes[len / 2..]));
                        prop_assert!(!record.put(&[0; 8]), "more fits than was reserved");
                        open.push((number, record));
                        let stage = Stage::Busy;
                        model.records.push_back(Expected { number, position, end, slot, bytes, stage });
                        model.tail = end;
                    }
                    Err(refused) => {
                        prop_assert_eq!(Refused::Full, refused);
                        prop_assert!(place.is_none(), "refused though there is room");
                    }
                }
            }
            Step::Commit(_) | Step::Abandon(_) if open.is_empty() => {}
            Step::Commit(index) | Step::Abandon(index) => {
                let is_commit = matches!(step, Step::Commit(_));
                let (number, record) = open.remove(index.index(open.len()));
                let stage = if is_commit { Stage::Committed } else { Stage::Abandoned };
                if is_commit {
                    prop_assert!(!record.commit(), "the reader does not sleep");
                } else {
                    record.abandon();
                }
                let expected = model.records.iter_mut().find(|record| record.number == number);
                if let Some(expected) = expected.filter(|record| record.stage == Stage::Busy) {
                    expected.stage = stage;
                }
            }
            Step::Read => match (reader.next(&mut copy), model.next().cloned()) {
                (Next::Record { slot, len }, Some(expected)) if expected.stage == Stage::Committed => {
                    prop_assert_eq!(expected.slot, slot);
                    prop_assert_eq!(expected.bytes.len().next_multiple_of(8), len);
                    prop_assert_eq!(&expected.bytes[..], &copy[..expected.bytes.len()]);
                    model.cursor = expected.end;
                }
                (Next::Unfinished(Unfinished { position, slot: Some(slot) }), Some(expected)) => {
                    prop_assert_eq!(Stage::Busy, expected.stage);
                    prop_assert_eq!((expected.position, expected.slot), (position, slot));
                    model.cursor = position;
                }
                (Next::Empty, None) => model.cursor = model.tail,
                (found, expected) => prop_assert!(false, "{found:?} instead of {expected:?}"),
            },
            Step::Skip => {
                // As the collector does: only what `next` called unfinished.
                if let Next::Unfinished(_) = reader.next(&mut copy) {
                    prop_assert!(reader.skip());
                    let expected = model.next().expect("something is unfinished");
                    prop_assert_eq!(Stage::Busy, expected.stage);
                    expected.stage = Stage::Abandoned;
                    let end = expected.end;
                    model.cursor = end;
                } else {
                    // It was read here instead: the same as giving it up.
                    model.cursor = reader.position();
                }
            }
            Step::Release => {
                reader.release();
                model.cursor = reader.position();
                model.head = model.cursor;
                let head = model.head;
                model.records.retain(|record| record.position.wrapping_sub(head) < 1 << 63);
            }
            Step::Restart => {
                reader = Reader::new(Lent(&small));
                model.cursor = model.head;
            }
        }
        prop_assert_eq!(model.tail.wrapping_sub(reader.position()), reader.pending());
        prop_assert_eq!(model.head, small.head().load(std::sync::atomic::Ordering::Relaxed));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_ring_is_a_queue_of_what_was_committed(
        power in 6_u32..12,
        // The beginning, where the tag repeats, and where positions do.
        start in prop_oneof![Just(0), Just((1_u64 << 39) - 256), Just(u64::MAX - 255), any::<u64>()],
        steps in steps(),
    ) {
        check(1 << power, start & !7, steps)?;
    }
}

/// Words as a hostile program would lay them: right tags, wrong lengths, any stage.
fn hostile_words(start: u64) -> impl Strategy<Value = Vec<u64>> {
    let stage = prop_oneof![4 => 1_u64..5, 1 => 0_u64..16];
    let len = prop_oneof![4 => (0_u64..40).prop_map(|words| words * 8), 1 => 0_u64..0x1_0000];
    let near = (len, stage, any::<u8>(), prop_oneof![9 => Just(0_u64), 1 => 1_u64..4]);
    prop::collection::vec(near, 32).prop_map(move |words| {
        let word = |(index, (len, stage, slot, lap)): (usize, (u64, u64, u8, u64))| {
            let position = start.wrapping_add(index as u64 * 8 + lap * 256);
            len | stage << 16 | u64::from(slot) << 20 | position >> 3 << 28
        };
        words.into_iter().enumerate().map(word).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_hostile_ring_is_left_after_finite_steps_and_nothing_outside_is_touched(
        words in hostile_words(0),
        tail in prop_oneof![(0_u64..33).prop_map(|words| words * 8), any::<u64>()],
        head in prop_oneof![4 => Just(0_u64), 1 => any::<u64>()],
    ) {
        let small = Small::new(256, 0);
        small.scribble(&words);
        small.tail().store(tail, std::sync::atomic::Ordering::Relaxed);
        small.head().store(head, std::sync::atomic::Ordering::Relaxed);
        let mut reader = Reader::new(Lent(&small));
        let mut copy = vec![0; wire::ring::MAX_RECORD];

        // Each step gives at least 8 of 256 bytes back, or says that there is nothing.
        let mut left = 256 / 8 + 1;
        loop {
            prop_assert!(left > 0);
            left -= 1;
            match reader.next(&mut copy) {
                Next::Empty | Next::Corrupt => break,
                Next::Record { len, .. } => prop_assert!(len < 256),
                Next::Unfinished(_) => prop_assert!(reader.skip()),
            }
            reader.release();
            let _ = reader.may_sleep(wire::ring::bell::SLEEPING);
        }
    }
}
