//! A whole mapping as a hostile program leaves it, header and all: the reader ends, and touches nothing
//! outside.
//!
//! The input is a list of stores into the mapping: half of them before the reader looks, the others one by
//! one before each word that it looks at, as a program that goes on writing does them.
#![no_main]

use std::alloc::{Layout, alloc_zeroed, handle_alloc_error};
use std::cell::{Cell, RefCell};
use std::ptr::NonNull;
use std::slice::Iter;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use libfuzzer_sys::fuzz_target;
use wire::codec;
use wire::events::{Decoded, Kind};
use wire::record::Head;
use wire::ring::layout::{MIN_DATA_LEN, Mapped, file_len};
use wire::ring::{MAX_RECORD, Memory, Next, Reader, bell};

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

/// A ring whose program writes between any two looks of the reader.
struct Moving<'s> {
    ring: Mapped,
    stores: RefCell<Iter<'s, [u8; 11]>>,
}

impl Moving<'_> {
    fn ring(&self) -> &Mapped {
        if let Some(one) = self.stores.borrow_mut().next() {
            store(&self.ring, one);
        }
        &self.ring
    }

    fn is_at_rest(&self) -> bool {
        self.stores.borrow().len() == 0
    }
}

impl Memory for Moving<'_> {
    fn data_len(&self) -> u64 {
        self.ring.data_len()
    }
    fn tail(&self) -> &AtomicU64 {
        self.ring().tail()
    }
    fn head(&self) -> &AtomicU64 {
        self.ring().head()
    }
    fn bell(&self) -> &AtomicU32 {
        self.ring().bell()
    }
    fn state(&self, offset: u64) -> &AtomicU64 {
        assert!(offset < MIN_DATA_LEN);
        self.ring().state(offset)
    }
    unsafe fn write(&self, offset: u64, bytes: &[u8]) {
        // SAFETY: as the caller promises.
        unsafe { self.ring.write(offset, bytes) };
    }
    unsafe fn read(&self, offset: u64, into: &mut [u8]) {
        assert!(offset + into.len() as u64 <= MIN_DATA_LEN, "a record beyond the data");
        // SAFETY: as the caller promises.
        unsafe { self.ring.read(offset, into) };
    }
}

fuzz_target!(|bytes: &[u8]| {
    let ring = mapping();
    ring.format();
    let (stores, _) = bytes.as_chunks::<11>();
    let (before, between) = stores.split_at(stores.len() / 2);
    before.iter().for_each(|one| store(&ring, one));

    let mut reader = Reader::new(Moving { ring, stores: RefCell::new(between.iter()) });
    let mut copy = [0; MAX_RECORD];
    // Every step gives bytes back, so this ends once the program has stopped writing.
    let mut steps = 0;
    loop {
        let is_at_rest = reader.memory().is_at_rest();
        steps += u64::from(is_at_rest);
        assert!(steps <= MIN_DATA_LEN / 8 + 2, "the reader goes round for ever");
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
            Next::Empty | Next::Corrupt if is_at_rest => break,
            Next::Empty | Next::Corrupt => {}
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
