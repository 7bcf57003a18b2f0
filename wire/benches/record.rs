//! The cost of one `file.open` with a 40-byte path in this crate alone: into the ring, and out of it.
//!
//! `cargo bench -p wire` measures times. `record instructions NAME N` (the built file, by hand or by `cargo
//! xtask bench codec` under callgrind) does the same thing N times and nothing else, so that instructions can
//! be counted.

use std::hint::black_box;
use std::ptr::NonNull;
use std::sync::atomic::Ordering;
use std::time::Instant;

use divan::{Bencher, counter::ItemsCount};
use wire::codec::{self, Encode as _, SliceSink};
use wire::events::{Decoded, FileOpen, Kind, Payload as _};
use wire::fields::{AT_FDCWD, OpenFlags, Path};
use wire::record::{Flags, Head, Via};
use wire::ring::layout::{DEFAULT_DATA_LEN, Mapped, file_len};
use wire::ring::{MAX_RECORD, Memory as _, Next, Reader, reserve};

const PATH: &[u8; 40] = b"/srv/application/data/records/2026/11.db";

/// Records that surely fit into the ring at once.
const LAP: u32 = 10_000;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).is_some_and(|word| word == "instructions") {
        let name = arguments.get(2).map_or("list", String::as_str);
        let count = arguments.get(3).and_then(|number| number.parse().ok()).unwrap_or(0);
        instructions(name, count);
    } else {
        divan::main();
    }
}

/// A named loop and how it is run.
type Loop = (&'static str, fn(u32));

const LOOPS: &[Loop] = &[
    ("encode", |count| {
        let mut bytes = [0; 256];
        for seq in 0..count {
            encode(u64::from(seq), &mut bytes);
            black_box(&mut bytes);
        }
    }),
    ("encode_commit", |count| {
        let ring = ring();
        for seq in 0..count {
            assert!(commit(&ring, u64::from(seq)));
            if seq % LAP == LAP - 1 {
                forget(&ring);
            }
        }
    }),
    ("decode", |count| {
        let mut bytes = [0; 256];
        let len = encode(7, &mut bytes);
        (0..count).for_each(|_| decode(black_box(bytes.get(..len).unwrap_or_default())));
    }),
];

fn instructions(name: &str, count: u32) {
    if name == "list" {
        LOOPS.iter().for_each(|(name, _)| println!("{name}"));
    }
    LOOPS.iter().filter(|(known, _)| *known == name).for_each(|(_, run)| run(count));
}

/// A ring in memory of this process.
fn ring() -> Mapped {
    let len = file_len(DEFAULT_DATA_LEN) as usize;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: asks for fresh memory; no file, no address.
    let base =
        unsafe { libc::mmap(std::ptr::null_mut(), len, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
    assert_ne!(libc::MAP_FAILED, base);
    let base = NonNull::new(base.cast()).expect("mmap gives no null");
    // SAFETY: the mapping is page-aligned, as long as asked for, and never unmapped; the length is the
    // crate's own.
    let ring = unsafe { Mapped::new(base, DEFAULT_DATA_LEN) };
    ring.format();
    ring
}

fn record(seq: u64) -> (Head, FileOpen<'static>) {
    let head = Head {
        time_ns: 1_234_567_890 + seq,
        seq,
        ret: 3,
        pid: 4121,
        tid: 4121,
        kind: Kind::FileOpen as u16,
        call: 1,
        errno: 0,
        via: Via::Symbol as u8,
        flags: Flags::STAMPED | Flags::RETURNED,
    };
    let path = Path { dir: AT_FDCWD, raw: Some(black_box(PATH)) };
    (head, FileOpen { path, fd: Some(3), flags: OpenFlags(0), mode: None, resolve: None })
}

fn encode(seq: u64, into: &mut [u8]) -> usize {
    let (head, payload) = record(seq);
    let mut sink = SliceSink::new(into);
    assert!(head.encode(&mut sink) && payload.encode(&mut sink));
    sink.len()
}

/// The sensor's work without the clock and the counters: false when the ring is full.
fn commit(ring: &Mapped, seq: u64) -> bool {
    let (head, payload) = record(seq);
    let Ok(mut record) = reserve(ring, 0, Head::LEN + payload.encoded_len()) else { return false };
    let fits = head.encode(&mut record) && payload.encode(&mut record);
    black_box(record.commit());
    fits
}

fn decode(bytes: &[u8]) {
    let Ok((head, rest)) = codec::decode::<Head>(bytes) else { panic!("the head does not decode") };
    let kind = Kind::from_number(head.kind);
    black_box(kind.map(|kind| Decoded::decode(kind, rest))).expect("a known kind").expect("it decodes");
}

/// Gives the space back without reading, as a reader does once it has read everything.
fn forget(ring: &Mapped) {
    ring.head().store(ring.tail().load(Ordering::Relaxed), Ordering::Release);
}

#[divan::bench]
fn encode_into_a_slice(bencher: Bencher) {
    let mut bytes = [0; 256];
    bencher.bench_local(|| {
        encode(black_box(7), &mut bytes);
        // The bytes count as read, so the encoding of none is left out.
        black_box(&mut bytes);
    });
}

/// By hand, in whole laps: the ring must be emptied now and then, outside the time.
#[divan::bench(sample_count = 200, sample_size = 1)]
fn encode_and_commit_10_000(bencher: Bencher) {
    let ring = ring();
    bencher.counter(ItemsCount::new(LAP)).with_inputs(|| forget(&ring)).bench_local_values(|()| {
        (0..LAP).for_each(|seq| assert!(commit(&ring, u64::from(seq))));
    });
}

#[divan::bench]
fn decode_head_and_payload(bencher: Bencher) {
    let mut bytes = [0; 256];
    let len = encode(7, &mut bytes);
    bencher.bench_local(|| decode(black_box(bytes.get(..len).unwrap_or_default())));
}

/// The collector's work for each record: copy it out of the ring, then decode it.
#[divan::bench(sample_count = 200, sample_size = 1)]
fn read_and_decode_10_000(bencher: Bencher) {
    let ring = ring();
    let mut reader = Reader::new(ring);
    let mut copy = [0; MAX_RECORD];
    let fill = || (0..LAP).for_each(|seq| assert!(commit(&ring, u64::from(seq))));
    bencher.counter(ItemsCount::new(LAP)).with_inputs(fill).bench_local_values(|()| {
        while let Next::Record { len, .. } = reader.next(&mut copy) {
            decode(copy.get(..len).unwrap_or_default());
        }
        reader.release();
    });
}

/// The clock that each record reads, for comparison.
#[divan::bench]
fn clock() -> Instant {
    Instant::now()
}
