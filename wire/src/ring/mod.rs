//! A lock-free queue in shared memory, with many writers and one reader: it carries records from process to
//! process.
//!
//! Positions grow for ever; a position's place in the data is `position % data_len`. A record begins with a
//! state word that says how long it is, which slot wrote it and how far it has got, together with a tag made
//! of its position, so that what an earlier lap left there is never taken for a record:
//!
//! ```text
//! writer: reserve (CAS tail) → state BUSY → bytes → state COMMITTED (CAS) → look at the bell
//! reader: state COMMITTED? → copy → … → head (gives the space back)
//! ```
//!
//! * Full: the newest record is dropped, and the caller learns it; no writer waits.
//! * A writer that is killed in between leaves a BUSY record: [`Reader::skip`] steps over exactly that one.
//!   Killed before it wrote the state word (two instructions), it leaves a hole of unknown length: the reader
//!   looks for the next state word with the right tag.
//! * A writer that was only slow finds, when it commits, that its record was given up: that record is never
//!   read. If it still writes once the others have filled the ring up to its place again, its bytes land in
//!   another record, which then does not decode, or makes the ring corrupt: so a living writer is given a
//!   second, and most of a lap.
//! * The reader trusts nothing that it reads: see [`Reader::next`].

pub mod layout;
#[cfg(all(loom, test))]
mod loom_model;
mod reader;
mod sync;
mod writer;

pub use reader::{Next, Reader, Unfinished};
pub use writer::{Known, Refused, Reservation, Step, give_up, reserve, reserve_noting};

use sync::{AtomicU32, AtomicU64};

use crate::named::named;

/// Longest record, its state word included, in bytes: the longest argument vector that may be asked for
/// ([`crate::fields::MAX_ARGV`]), and the paths and variables beside it.
pub const MAX_RECORD: usize = 144 * 1024;

const _: () = assert!(MAX_RECORD / 8 <= 0xffff, "the state word has 16 bits for it");
const _: () = assert!(MAX_RECORD.is_multiple_of(8) && MAX_RECORD >= crate::fields::MAX_ARGV + 16 * 1024);

/// The state of the reader, which decides what a writer does after a commit: the values of the bell, a futex
/// word.
pub mod bell {
    /// The reader looks by itself: nothing to do.
    pub const AWAKE: u32 = 0;
    /// The reader will look again within milliseconds: wake it when the ring is more than half full.
    pub const NAPPING: u32 = 1;
    /// The reader sleeps until it is woken: wake it.
    pub const SLEEPING: u32 = 2;
}

/// The memory that a ring lies in. One implementation maps it ([`layout::Mapped`]), one models it for loom.
pub trait Memory {
    /// Length of the data: a power of two, the same for as long as the ring lives.
    fn data_len(&self) -> u64;
    /// The position of the next reservation.
    fn tail(&self) -> &AtomicU64;
    /// The position up to which the reader has given space back.
    fn head(&self) -> &AtomicU64;
    /// The futex word of [`bell`].
    fn bell(&self) -> &AtomicU32;
    /// The state word at `offset`: a multiple of 8 below `data_len`.
    fn state(&self, offset: u64) -> &AtomicU64;
    /// Copies `bytes` to `offset`.
    ///
    /// # Safety
    /// The caller has reserved the range, and it lies within the data.
    unsafe fn write(&self, offset: u64, bytes: &[u8]);
    /// Copies from `offset`; the bytes may be torn by a writer.
    ///
    /// # Safety
    /// The range lies within the data.
    unsafe fn read(&self, offset: u64, into: &mut [u8]);
}

named! {
    /// The stage of a record. Fresh memory is 0, which is no stage, so it holds no state word.
    enum Stage: u64 {
        /// Reserved; the bytes are being written.
        Busy = 1,
        /// Complete.
        Committed = 2,
        /// No record: the rest of the data before it starts over.
        Pad = 3,
        /// The reader or its own thread gave it up.
        Abandoned = 4,
    }
    /// Reads the stage of a state word.
    fn from_bits(u64);
}

/// The offset of a position in data of `data_len` bytes, a power of two: a remainder would cost a division.
#[inline(always)]
fn offset_of(position: u64, data_len: u64) -> u64 {
    position & data_len.wrapping_sub(1)
}

/// A state word taken apart: length, a multiple of 8, by its eighth in bits 0–15, stage in 16–19, slot in
/// 20–27, tag in 28–63.
///
/// The tag is the position, and repeats after 512 GiB of records. A word from that long ago is taken for a
/// record only if no writer came there since, while the ring went round 131072 times (2048 times for the
/// largest), and then only between a reservation and the store of its own word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    len: u64,
    stage: Stage,
    slot: u8,
}

impl State {
    #[inline(always)]
    fn tag(position: u64) -> u64 {
        // Positions are multiples of 8; the shift to the left keeps 36 bits.
        position >> 3 << 28
    }

    #[inline(always)]
    fn word(self, position: u64) -> u64 {
        self.len >> 3 | (self.stage as u64) << 16 | u64::from(self.slot) << 20 | Self::tag(position)
    }

    /// `None` for a word that was not written at `position` in this lap.
    fn of(word: u64, position: u64) -> Option<Self> {
        if (word ^ Self::tag(position)) >> 28 != 0 {
            return None;
        }
        let stage = Stage::from_bits(word >> 16 & 0xf)?;
        Some(Self { len: (word & 0xffff) << 3, stage, slot: (word >> 20) as u8 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_word_is_read_back_at_its_own_position_only() {
        let state = State { len: 128, stage: Stage::Busy, slot: 255 };
        let word = state.word(4096);

        assert_eq!(Some(state), State::of(word, 4096));
        assert_eq!(None, State::of(word, 4104));
        assert_eq!(None, State::of(word, 4096 + 4 * 1024 * 1024));
        assert_eq!(None, State::of(word, 4096 + (1 << 38)));
    }

    #[test]
    fn a_state_word_has_the_bits_that_the_document_says() {
        let state = State { len: 0x0940, stage: Stage::Committed, slot: 0x3f };

        assert_eq!(0x0000_0020_03f2_0128, state.word(0x1000));
    }

    #[test]
    fn fresh_memory_holds_no_state_word() {
        for position in [0, 8, 1 << 30, 1 << 31, 1 << 39] {
            assert_eq!(None, State::of(0, position));
        }
    }
}
