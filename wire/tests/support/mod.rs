//! Rings for tests: small ones, shared with children, with a page behind the data that must not be touched.
#![allow(dead_code)] // each test file uses its own part
#![allow(clippy::unwrap_used)]

use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use wire::ring::Memory;

const PAGE: usize = 4096;

/// A ring of any power of two up to what a test needs; forked children write into it, too.
#[derive(Debug)]
pub struct Small {
    base: NonNull<u8>,
    data_len: u64,
    mapped_len: usize,
}

// SAFETY: what lies behind the pointer are atomics, and data that the ring's protocol hands over.
unsafe impl Send for Small {}
// SAFETY: as above.
unsafe impl Sync for Small {}

impl Small {
    /// An empty ring whose positions begin at `start`, a multiple of 8.
    pub fn new(data_len: u64, start: u64) -> Self {
        let mapped_len = PAGE + (data_len as usize).next_multiple_of(PAGE) + PAGE;
        let (protection, flags) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
        // SAFETY: asks for fresh memory; no file, no address.
        let base = unsafe { libc::mmap(null_mut(), mapped_len, protection, flags, -1, 0) };
        assert_ne!(libc::MAP_FAILED, base);
        // SAFETY: the last page of the mapping just made.
        let guarded = unsafe { libc::mprotect(base.add(mapped_len - PAGE), PAGE, libc::PROT_NONE) };
        assert_eq!(0, guarded);
        let small = Self { base: NonNull::new(base.cast()).unwrap(), data_len, mapped_len };
        small.tail().store(start, Ordering::Relaxed);
        small.head().store(start, Ordering::Relaxed);
        small
    }

    /// A private copy of the ring as it is.
    pub fn snapshot(&self) -> Self {
        let copy = Self::new(self.data_len, 0);
        // SAFETY: both mappings are as long as that, and nothing else has the new one.
        unsafe { self.base.copy_to_nonoverlapping(copy.base, self.mapped_len - PAGE) };
        copy
    }

    /// Any bytes as the ring's data.
    pub fn scribble(&self, words: &[u64]) {
        for (index, word) in words.iter().enumerate().take(self.data_len as usize / 8) {
            self.state(index as u64 * 8).store(*word, Ordering::Relaxed);
        }
    }

    /// The data lies right before the page that must not be touched.
    fn data(&self) -> NonNull<u8> {
        // SAFETY: within the mapping.
        unsafe { self.base.add(self.mapped_len - PAGE - self.data_len as usize) }
    }

    fn word<T>(&self, at: usize) -> &T {
        // SAFETY: the first page, aligned; called with atomics only.
        unsafe { self.base.add(at).cast::<T>().as_ref() }
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.mapped_len) };
    }
}

impl Memory for Small {
    fn data_len(&self) -> u64 {
        self.data_len
    }
    fn tail(&self) -> &AtomicU64 {
        self.word(0)
    }
    fn head(&self) -> &AtomicU64 {
        self.word(64)
    }
    fn bell(&self) -> &AtomicU32 {
        self.word(128)
    }
    fn state(&self, offset: u64) -> &AtomicU64 {
        assert!(offset < self.data_len && offset.is_multiple_of(8), "a state word at {offset}");
        // SAFETY: within the data, aligned.
        unsafe { self.data().add(offset as usize).cast::<AtomicU64>().as_ref() }
    }
    unsafe fn write(&self, offset: u64, bytes: &[u8]) {
        assert!(offset + bytes.len() as u64 <= self.data_len);
        // SAFETY: within the data; the caller has reserved it.
        unsafe {
            self.data()
                .add(offset as usize)
                .copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len())
        };
    }
    unsafe fn read(&self, offset: u64, into: &mut [u8]) {
        assert!(offset + into.len() as u64 <= self.data_len);
        // SAFETY: within the data.
        unsafe {
            self.data()
                .add(offset as usize)
                .copy_to_nonoverlapping(NonNull::from(&mut *into).cast(), into.len())
        };
    }
}

/// The reader's side of a ring that is lent to it.
#[derive(Clone, Copy, Debug)]
pub struct Lent<'r>(pub &'r Small);

impl Memory for Lent<'_> {
    fn data_len(&self) -> u64 {
        self.0.data_len()
    }
    fn tail(&self) -> &AtomicU64 {
        self.0.tail()
    }
    fn head(&self) -> &AtomicU64 {
        self.0.head()
    }
    fn bell(&self) -> &AtomicU32 {
        self.0.bell()
    }
    fn state(&self, offset: u64) -> &AtomicU64 {
        self.0.state(offset)
    }
    unsafe fn write(&self, offset: u64, bytes: &[u8]) {
        // SAFETY: as the caller promises.
        unsafe { self.0.write(offset, bytes) };
    }
    unsafe fn read(&self, offset: u64, into: &mut [u8]) {
        // SAFETY: as the caller promises.
        unsafe { self.0.read(offset, into) };
    }
}

/// xorshift64*: numbers that a printed seed gives again.
#[derive(Clone, Copy, Debug)]
pub struct Random(pub u64);

impl Random {
    /// Seeded from `GLASSBOX_SEED`, or the clock; prints the seed.
    pub fn from_environment() -> Self {
        let given = std::env::var("GLASSBOX_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            now.unwrap().as_nanos() as u64 | 1
        });
        println!("seed: GLASSBOX_SEED={seed}");
        Self(seed)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % end
    }
}
