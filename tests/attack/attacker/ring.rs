//! A ring by hand, after docs/wire-format.md: the mapping, slots, records. Nothing here is the sensor's code,
//! and much of it writes what no sensor would.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::os;

const TAIL: u64 = 64;
const HEAD: u64 = 128;
const BELL: u64 = 192;
const DATA: u64 = 4096;
const SLOT_LEN: u64 = 256;
/// The slots and the descriptors' counters that follow the data.
const BEHIND: u64 = 256 * SLOT_LEN + (65_536 + 255 * 1024) * 32;

/// Stages of a record.
const BUSY: u64 = 1;
const COMMITTED: u64 = 2;
const PADDING: u64 = 3;

/// Flags of a record: numbered by `seq`; returned.
pub const NUMBERED: u8 = 1;
/// See [`NUMBERED`].
pub const RETURNED: u8 = 2;

/// Length of the file of a ring.
pub fn file_len(data: u64) -> u64 {
    DATA + data + BEHIND
}

/// The head of a record.
#[derive(Clone, Copy)]
pub struct Head {
    pub time: u64,
    pub seq: u64,
    pub ret: i64,
    pub pid: u32,
    pub kind: u16,
    pub flags: u8,
}

impl Head {
    /// A call of this process that returned 3 just now.
    pub fn new(kind: u16, flags: u8) -> Head {
        Head { time: os::now_ns(), seq: 0, ret: 3, pid: os::pids().0, kind, flags }
    }

    fn bytes(&self) -> [u8; 40] {
        let mut bytes = [0; 40];
        let words = [self.time.to_le_bytes(), self.seq.to_le_bytes(), self.ret.to_le_bytes()];
        let (front, back) = bytes.split_at_mut(24);
        front.copy_from_slice(words.as_flattened());
        back[0..4].copy_from_slice(&self.pid.to_le_bytes());
        back[4..8].copy_from_slice(&self.pid.to_le_bytes());
        back[8..10].copy_from_slice(&self.kind.to_le_bytes());
        // A row of the hook table, errno 0, by symbol.
        back[10..12].copy_from_slice(&1_u16.to_le_bytes());
        back[15] = self.flags;
        bytes
    }
}

/// A mapped ring; dropping it takes the mapping away, and closes the file.
pub struct Ring {
    base: NonNull<u8>,
    file: OwnedFd,
    data: u64,
    end: u64,
}

impl Drop for Ring {
    fn drop(&mut self) {
        os::unmap(self.base, file_len(self.data));
    }
}

impl Ring {
    /// A fresh ring with so many bytes of data.
    pub fn new(version: u16, data: u64) -> io::Result<Ring> {
        let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
        let file = os::memfd(file_len(data), seals)?;
        let base = os::map(&file, file_len(data))?;
        let ring = Ring { base, file, data, end: 0 };
        ring.word(0).store(u64::from_le_bytes(*b"GLASSBOX"), Ordering::Relaxed);
        ring.word(8).store(u64::from(version), Ordering::Relaxed);
        Ok(ring)
    }

    /// The file.
    pub fn fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// The word of 8 bytes at an offset of the file.
    pub fn word(&self, at: u64) -> &AtomicU64 {
        assert!(at.is_multiple_of(8) && at + 8 <= file_len(self.data), "outside the ring");
        // SAFETY: aligned and within the mapping, which lives as long as `self`; an atomic may be shared.
        unsafe { self.base.add(at as usize).cast::<AtomicU64>().as_ref() }
    }

    /// The word of 4 bytes at an offset of the file.
    pub fn half(&self, at: u64) -> &AtomicU32 {
        assert!(at.is_multiple_of(4) && at + 4 <= file_len(self.data), "outside the ring");
        // SAFETY: as in `word`.
        unsafe { self.base.add(at as usize).cast::<AtomicU32>().as_ref() }
    }

    fn fill(&self, at: u64, bytes: &[u8]) {
        assert!(at + bytes.len() as u64 <= file_len(self.data), "outside the ring");
        // SAFETY: within the mapping. The collector reads these bytes only once the state word says so, and
        // copes if not.
        unsafe {
            self.base.add(at as usize).copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len())
        };
    }

    /// Offset of a slot.
    pub fn slot(&self, slot: u8) -> u64 {
        let at = u64::from(slot) * SLOT_LEN;
        if slot < 6 { 512 + at } else { DATA + self.data + at }
    }

    /// The pid in a slot; 0 for a free one.
    pub fn slot_pid(&self, slot: u8) -> u32 {
        self.half(self.slot(slot)).load(Ordering::Acquire)
    }

    /// Gives a slot to a process.
    pub fn name_slot(&self, slot: u8, pid: u32, ppid: u32) {
        self.half(self.slot(slot) + 4).store(ppid, Ordering::Relaxed);
        self.half(self.slot(slot)).store(pid, Ordering::Release);
    }

    /// Says how many numbered records a slot has produced.
    pub fn count(&self, slot: u8, seq: u64) {
        self.word(self.slot(slot) + 8).store(seq, Ordering::Relaxed);
    }

    /// Says that the image has open descriptors from 0 to `count`, with bytes that went through each.
    pub fn open_descriptors(&self, count: u64) {
        self.half(self.slot(0) + 108).store(count as u32, Ordering::Relaxed);
        for fd in 0..count {
            let at = if fd < 64 { 2048 + fd * 32 } else { DATA + self.data + 256 * SLOT_LEN + fd * 32 };
            self.word(at).store(1 + fd, Ordering::Relaxed);
            self.word(at + 16).store(1 << 63 | 1, Ordering::Relaxed);
        }
    }

    /// Rings the bell if the collector sleeps.
    pub fn wake(&self) {
        let bell = self.half(BELL);
        if bell.load(Ordering::Relaxed) != 0 && bell.swap(0, Ordering::SeqCst) != 0 {
            os::wake(bell);
        }
    }

    fn state(at: u64, len: u64, stage: u64, slot: u8) -> u64 {
        len >> 3 & 0xffff | stage << 16 | u64::from(slot) << 20 | at >> 3 << 28
    }

    /// Takes so many bytes; waits for room as long as `patience`.
    fn reserve(&mut self, len: u64, slot: u8, patience: Duration) -> Option<u64> {
        let until = Instant::now() + patience;
        loop {
            let head = self.word(HEAD).load(Ordering::Acquire);
            let at = self.end & (self.data - 1);
            let skip = if len > self.data - at { self.data - at } else { 0 };
            if (self.end + skip + len).wrapping_sub(head) <= self.data {
                if skip > 0 {
                    self.word(DATA + at).store(Self::state(self.end, skip, PADDING, slot), Ordering::Release);
                    self.end += skip;
                }
                self.end += len;
                return Some(self.end - len);
            }
            self.wake();
            if Instant::now() >= until {
                return None;
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    fn publish(&self) {
        self.word(TAIL).store(self.end, Ordering::Release);
        self.wake();
    }

    /// Writes a whole record. False where there was no room in time.
    pub fn put(&mut self, slot: u8, head: &Head, payload: &[u8], patience: Duration) -> bool {
        let len = (48 + payload.len() as u64).next_multiple_of(8);
        self.put_as_long_as(len, slot, head, payload, patience)
    }

    /// Writes a record whose state word says `len`, whatever it holds.
    pub fn put_as_long_as(
        &mut self,
        len: u64,
        slot: u8,
        head: &Head,
        payload: &[u8],
        patience: Duration,
    ) -> bool {
        let Some(position) = self.reserve(len, slot, patience) else { return false };
        let at = DATA + (position & (self.data - 1));
        self.fill(at + 8, &head.bytes());
        self.fill(at + 48, payload);
        self.word(at).store(Self::state(position, len, COMMITTED, slot), Ordering::Release);
        self.publish();
        true
    }

    /// Begins a record that is never finished.
    pub fn put_unfinished(&mut self, slot: u8, len: u64) -> bool {
        let Some(position) = self.reserve(len, slot, Duration::ZERO) else { return false };
        let at = DATA + (position & (self.data - 1));
        self.word(at).store(Self::state(position, len, BUSY, slot), Ordering::Release);
        self.publish();
        true
    }

    /// Goes on where another process that has the ring stopped.
    pub fn catch_up(&mut self) {
        self.end = self.word(TAIL).load(Ordering::Acquire);
    }

    /// Says that the ring is full, of pages that were never written.
    pub fn pretend_full(&mut self) {
        self.end = self.word(HEAD).load(Ordering::Acquire) + self.data;
        self.publish();
    }

    /// Sets the tail to anything.
    pub fn set_tail(&mut self, tail: u64) {
        self.end = tail;
        self.publish();
    }
}
