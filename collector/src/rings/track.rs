//! The data of one ring as it is read: how far, and which of its memory is there.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use wire::ring::layout::{DATA_OFFSET, Mapped};
use wire::ring::{MAX_RECORD, Memory, Reader};

use super::mapping::Mapping;

/// Bytes of a ring whose presence is asked for at once.
const PROBED: u64 = 2 * MAX_RECORD as u64;
/// Less is not worth the system call.
pub const WORTH_BYTES: u64 = 128 * 1024;

/// A ring's data.
pub struct Track {
    /// Declared before `mapping`, so that it is dropped first.
    pub reader: Reader<Mapped>,
    /// The memory.
    pub mapping: Arc<Mapping>,
    /// Up to where its pages are known to be in memory, and up to where they were let go of.
    present: u64,
    let_go: u64,
    /// Up to where the data's memory has been given back.
    punched: u64,
}

impl Track {
    /// Goes on where the ring's head says that an earlier reader stopped.
    pub fn new(mapping: Mapping) -> Self {
        let reader = Reader::new(mapping.mapped());
        let position = reader.position();
        Self { reader, mapping: Arc::new(mapping), present: position, let_go: position, punched: position }
    }

    /// The ring's memory.
    pub fn memory(&self) -> Mapped {
        self.mapping.mapped()
    }

    /// Where the ring's tail is.
    pub fn tail(&self) -> u64 {
        self.reader.memory().tail().load(Ordering::Acquire)
    }

    /// Whether the records up to `position` have been read.
    pub fn has_read(&self, position: u64) -> bool {
        // Positions grow for ever; a difference of more than half of all numbers is a step back.
        self.reader.position().wrapping_sub(position).cast_signed() >= 0
    }

    /// Finds out how far the memory ahead of the reader is there: see [`Mapping::present_to`].
    #[inline]
    pub fn look_ahead(&mut self) {
        let position = self.reader.position();
        let ahead = self.present.wrapping_sub(position).cast_signed();
        let wanted = (self.tail().wrapping_sub(position)).min(MAX_RECORD as u64);
        if ahead < 0 || (ahead.cast_unsigned() < wanted) {
            self.probe(position, ahead);
        }
    }

    #[cold]
    fn probe(&mut self, position: u64, ahead: i64) {
        let from = if ahead < 0 { position } else { self.present };
        let tail = self.tail();
        let until = if tail.wrapping_sub(position) > PROBED { position.wrapping_add(PROBED) } else { tail };
        self.present = self.mapping.present_to(from, until);
        self.reader.set_limit(self.present);
    }

    /// As [`Reader::may_sleep`].
    pub fn may_sleep(&mut self, mode: u32) -> bool {
        let may_sleep = self.reader.may_sleep(mode);
        if !may_sleep || !self.reader.is_at_limit() {
            return may_sleep;
        }
        // The bell is set: a record that came since the last look ahead is found now, or rings it.
        self.look_ahead();
        self.reader.may_sleep(mode)
    }

    /// Steps over the unfinished record at the cursor, which will not be finished. `None` where what follows
    /// is no longer a ring: holes that no writer leaves.
    pub fn step_over(&mut self) -> Option<bool> {
        if !self.reader.is_at_limit() {
            return Some(self.reader.skip());
        }
        // Its page was reserved, and never written to. The next record is within the longest record's length.
        let page = rustix::param::page_size() as u64;
        let start = self.reader.position() & !(page - 1);
        let ahead = (1..=(MAX_RECORD as u64).div_ceil(page)).map(|count| start.wrapping_add(count * page));
        let tail = self.tail();
        let mut ahead = ahead.take_while(|at| tail.wrapping_sub(*at).cast_signed() > 0);
        let next = ahead.find(|at| self.mapping.present_to(*at, at.wrapping_add(8)) != *at);
        let is_last = tail.wrapping_sub(self.reader.position()) <= MAX_RECORD as u64;
        self.reader.move_to(match next {
            Some(next) => next,
            None if is_last => tail,
            None => return None,
        });
        self.look_ahead();
        // In the middle of a record's bytes there is no state word.
        self.reader.skip();
        Some(true)
    }

    /// Bytes that were read and are still in this process's page tables, at most: the kernel maps the pages
    /// around one that is looked at, too.
    pub fn resident(&self) -> u64 {
        self.reader.position().wrapping_sub(self.let_go).min(self.mapping.data_len())
    }

    /// Lets go of what was read, once that is worth the system call.
    pub fn let_go(&mut self) {
        let position = self.reader.position();
        if self.resident() >= WORTH_BYTES / 2 {
            self.mapping.let_go(self.let_go, position);
            self.let_go = position;
        }
    }

    /// Gives the memory of a ring that all was read of back to the system.
    ///
    /// Free space belongs to the writers. So this takes half of the ring at a time as a writer does, empties
    /// it, and gives it back as a reader does. Meanwhile the writers have the other half.
    pub fn punch(&mut self) {
        if self.reader.position().wrapping_sub(self.punched) < WORTH_BYTES {
            return;
        }
        let data_len = self.mapping.data_len();
        let half = data_len / 2;
        for _ in 0..2 {
            let from = self.reader.position();
            let memory = *self.reader.memory();
            let to = from.wrapping_add(half);
            // Acquire and Relaxed: the reservation publishes nothing, and everything before it has been read.
            if memory.tail().compare_exchange(from, to, Ordering::Acquire, Ordering::Relaxed).is_err() {
                // A process writes again.
                return;
            }
            let (first, end) = (from & (data_len - 1), to & (data_len - 1));
            if first < end {
                self.mapping.punch(DATA_OFFSET + first, end - first);
            } else {
                self.mapping.punch(DATA_OFFSET + first, data_len - first);
                self.mapping.punch(DATA_OFFSET, end);
            }
            // Release: the writers that get the space see it empty. Pairs with the Acquire load in `reserve`.
            memory.head().store(to, Ordering::Release);
            self.reader = Reader::new(memory);
            (self.present, self.let_go) = (to, to);
        }
        self.punched = self.reader.position();
    }
}
