//! A whole mapping as a hostile program leaves it, header and all: the reader ends, and touches nothing outside.
//!
//! The input is a list of stores into the mapping, some before and some between the reader's steps, as a program that
//! goes on writing does them.
#![no_main]

use std::alloc::{Layout, alloc_zeroed, handle_alloc_error};
use std::cell::Cell;
use std::ptr::NonNull;
use std::sync::atomic::Ordering;

use libfuzzer_sys::fuzz_target;
use wire::codec;
use wire::events::{Decoded, Kind};
use wire::record::Head;
use wire::ring::layout::{MIN_DATA_LEN, Mapped, file_len};
use wire::ring::{MAX_RECORD, Memory as _, Next, Reader, bell};

/// Bytes of data that stores reach; the rest stays as it is, so that an input can describe it.
const REACH: u64 = 2048;

/// One mapping for all inputs; what an input stored is put back after it.
fn mapping() -> Mapped {
    thread_local!(static BASE: Cell<Option<NonNull<u8>>> = const { Cell::new(None) });
    let base = BASE.get().unwrap_or_else(|| {
        let layout = Layout::from_size_align(file_len(MIN_DATA_LEN) as usize, 4096).expect("a fixed size");
        // SAFETY: the size is not 0. The heap, so that the address sanitizer sees a byte too far.
        let base =
            NonNull::new(unsafe { alloc_zeroed(layout) }).unwrap_or_else(|| handle_alloc_error(layout));
        BASE.set(Some(base));
        base
    });
    // SAFETY: page-aligned, as long as asked for, never freed.
    unsafe { Mapped::new(base, MIN_DATA_LEN) }
}

/// The place that a store goes to: near the start of the data, or near its end.
fn place(at: u16) -> u64 {
    let at = u64::from(at) * 8 % REACH;
    if at < REACH / 2 { at } else { MIN_DATA_LEN - REACH + at }
}

/// One store of the program: 11 bytes say where and what.
fn store(ring: &Mapped, [kind, low, high, word @ ..]: &[u8; 11]) {
    let word = u64::from_le_bytes(*word);
    let at = u16::from_le_bytes([*low, *high]);
    match kind % 8 {
        0 => ring.tail().store(word, Ordering::Relaxed),
        // The plausible: a few bytes more, or all of the data.
        1 => _ = ring.tail().fetch_add(u64::from(at) * 8 % REACH, Ordering::Relaxed),
        2 => ring.head().store(word, Ordering::Relaxed),
        3 => ring.bell().store(word as u32, Ordering::Relaxed),
        // Any word, or a state word with the tag of its place in one of the first laps.
        4 => ring.state(place(at)).store(word, Ordering::Relaxed),
        _ => {
            let lap = (word >> 60) * MIN_DATA_LEN;
            let tagged = (place(at) + lap) >> 3 << 28 | word & 0xfff_ffff;
            ring.state(place(at)).store(tagged, Ordering::Relaxed);
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let ring = mapping();
    ring.format();
    let (stores, _) = bytes.as_chunks::<11>();
    let (before, between) = stores.split_at(stores.len() / 2);
    before.iter().for_each(|one| store(&ring, one));
    let mut between = between.iter();

    let mut reader = Reader::new(ring);
    let mut copy = [0; MAX_RECORD];
    // Every step gives bytes back, so this ends once the program has stopped writing.
    let mut steps = 0;
    loop {
        let has_written = between.next().map(|one| store(&ring, one)).is_some();
        if !has_written {
            steps += 1;
            assert!(steps <= MIN_DATA_LEN / 8 + 2, "the reader goes round for ever");
        }
        match reader.next(&mut copy) {
            Next::Record { slot, len } => {
                let record = copy.get(..len).expect("as long as was copied");
                let _ = ring.slot(slot).seq.load(Ordering::Relaxed);
                let _ = ring.fd(slot, i32::from(slot));
                if let Ok((head, payload)) = codec::decode::<Head>(record) {
                    let _ = Kind::from_number(head.kind).map(|kind| Decoded::decode(kind, payload));
                }
            }
            Next::Unfinished(_) => _ = reader.skip(),
            Next::Empty | Next::Corrupt if has_written => {}
            Next::Empty | Next::Corrupt => break,
        }
        reader.release();
        let _ = reader.may_sleep(bell::SLEEPING);
    }

    for at in (0..REACH / 2).chain(MIN_DATA_LEN - REACH / 2..MIN_DATA_LEN).step_by(8) {
        ring.state(at).store(0, Ordering::Relaxed);
    }
    ring.tail().store(0, Ordering::Relaxed);
    ring.head().store(0, Ordering::Relaxed);
});
