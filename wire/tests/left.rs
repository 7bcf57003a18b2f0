//! Records that a signal handler jumped away from, at every step of a reservation, with padding before them
//! and without.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used)]

mod support;

use std::cell::Cell;
use std::sync::atomic::Ordering;

use support::{Lent, Small};
use wire::codec::Sink as _;
use wire::ring::{Known, Memory as _, Next, Reader, Step, give_up, reserve, reserve_noting};

const SLOT: u8 = 7;
const LEN: usize = 40;
/// The length of the record with its state word.
const WHOLE: u64 = 48;

/// A ring whose next record begins a lap where `is_padded`, and the reader of it.
fn ring(is_padded: bool) -> Small {
    let small = Small::new(1024, if is_padded { 1024 - 24 } else { 0 });
    assert_eq!(if is_padded { 1000 } else { 0 }, small.tail().load(Ordering::Relaxed));
    small
}

fn committed(small: &Small, byte: u8) {
    let mut record = reserve(small, SLOT, LEN).unwrap();
    assert!(record.put(&[byte; LEN]));
    let _must_wake = record.commit();
}

/// The first bytes of all records that can be read.
fn read(small: &Small) -> Vec<u8> {
    let mut reader = Reader::new(Lent(small));
    let mut bytes = [0; 256];
    let mut seen = Vec::new();
    while let Next::Record { .. } = reader.next(&mut bytes) {
        seen.push(bytes[0]);
    }
    assert_eq!(0, reader.pending(), "something holds the reader up");
    seen
}

#[test]
fn record_that_was_left_busy_is_given_up_alone() {
    for is_padded in [false, true] {
        for known in [Known::Reserved, Known::Tried] {
            let small = ring(is_padded);
            let tail = Cell::new(0);
            let _never_committed = reserve_noting(&small, SLOT, LEN, |at, _| tail.set(at)).unwrap();
            committed(&small, b'b');

            assert!(give_up(&small, SLOT, LEN, tail.get(), known));
            assert!(!give_up(&small, SLOT, LEN, tail.get(), known), "counted twice");
            assert_eq!(vec![b'b'], read(&small));
        }
    }
}

#[test]
fn space_without_a_state_word_is_given_up_by_its_owner_only() {
    for is_padded in [false, true] {
        let small = ring(is_padded);
        let tail = small.tail().load(Ordering::Relaxed);
        small.tail().store(tail + WHOLE + if is_padded { 24 } else { 0 }, Ordering::Relaxed);
        committed(&small, b'b');

        assert!(!give_up(&small, SLOT, LEN, tail, Known::Tried), "it may be another process's");
        assert!(give_up(&small, SLOT, LEN, tail, Known::Reserved));
        assert_eq!(vec![b'b'], read(&small));
    }
}

#[test]
fn record_that_was_never_reserved_is_lost_and_leaves_nothing() {
    for is_padded in [false, true] {
        let small = ring(is_padded);
        let tail = small.tail().load(Ordering::Relaxed);

        assert!(give_up(&small, SLOT, LEN, tail, Known::Reserved));
        committed(&small, b'b');
        assert_eq!(vec![b'b'], read(&small));
    }
}

#[test]
fn what_is_not_the_threads_own_is_left_alone() {
    for is_padded in [false, true] {
        let small = ring(is_padded);
        let tail = small.tail().load(Ordering::Relaxed);
        let mut other = reserve(&small, SLOT + 1, LEN).unwrap();

        assert!(!give_up(&small, SLOT, LEN, tail, Known::Reserved));
        assert!(other.put(b"o"));
        let _must_wake = other.commit();
        committed(&small, b'b');
        assert!(!give_up(&small, SLOT + 1, LEN, tail, Known::Reserved), "it is committed");
        assert_eq!(vec![b'o', b'b'], read(&small));
    }
}

#[test]
fn space_that_was_given_back_is_not_touched() {
    let small = ring(false);
    let _never_committed = reserve(&small, SLOT, LEN).unwrap();
    small.head().store(WHOLE, Ordering::Relaxed);
    let before = small.state(0).load(Ordering::Relaxed);

    assert!(!give_up(&small, SLOT, LEN, 0, Known::Reserved));
    assert_eq!(before, small.state(0).load(Ordering::Relaxed));
}

#[test]
fn steps_are_noted_before_and_after_the_tail_moves() {
    let small = ring(true);
    let seen = Cell::new(Vec::new());
    let record = reserve_noting(&small, SLOT, LEN, |tail, step| {
        let mut steps = seen.take();
        steps.push((step, tail, small.tail().load(Ordering::Relaxed)));
        seen.set(steps);
    });
    record.unwrap().abandon();

    assert_eq!(vec![(Step::Tried, 1000, 1000), (Step::Made, 1000, 1072)], seen.take());
}
