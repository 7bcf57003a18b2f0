//! The reading side: one thread of the collector for each ring.
//!
//! The writer is another program, perhaps a hostile one. Every word is read once, checked, and the checked
//! copy is used; the worst that a scribbled ring does is [`Next::Corrupt`] or a record that does not decode.

use super::sync::{Ordering, fence};
use super::{MAX_RECORD, Memory, Stage, State, bell, offset_of};

/// The reader's finding at its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// A record, copied out: `len` bytes, head and payload and up to 7 bytes of padding.
    Record {
        /// The slot that wrote it, as the record says.
        slot: u8,
        /// Bytes copied.
        len: usize,
    },
    /// Nothing is there.
    Empty,
    /// A record is reserved, but not committed. Its writer is at it, or dead.
    Unfinished(Unfinished),
    /// The ring holds what no sensor writes. It must not be read any further.
    Corrupt,
}

/// A record that is reserved and not committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// Its position; a later look that gives the same position means no progress.
    pub position: u64,
    /// The slot that reserved it; `None` where the writer did not get as far as saying so.
    pub slot: Option<u8>,
}

/// The reader's place in a ring.
pub struct Reader<M> {
    memory: M,
    cursor: u64,
    /// The position from which on the memory is not touched; `None` for no such position.
    limit: Option<u64>,
}

impl<M: Memory> Reader<M> {
    /// A reader that goes on where the ring's head says that an earlier one stopped.
    pub fn new(memory: M) -> Self {
        // Acquire: pairs with the Release store of an earlier reader, in another process perhaps.
        let cursor = memory.head().load(Ordering::Acquire) & !7;
        Self { memory, cursor, limit: None }
    }

    /// The memory that the ring lies in.
    pub fn memory(&self) -> &M {
        &self.memory
    }

    /// Bytes that are reserved and not yet read. More than the data's length on a corrupt ring.
    pub fn pending(&self) -> u64 {
        // Relaxed: the tail publishes nothing. A record behind an older tail is found at the next look, and
        // one whose state word cannot be seen yet counts as unfinished.
        self.memory.tail().load(Ordering::Relaxed).wrapping_sub(self.cursor)
    }

    /// Keeps the reader from touching the memory from `position` on: what is there counts as unfinished. For
    /// memory with holes, which a look would fill at the reader's expense.
    pub fn set_limit(&mut self, position: u64) {
        self.limit = Some(position);
    }

    /// Whether something is reserved at the cursor that the limit keeps the reader from.
    pub fn is_at_limit(&self) -> bool {
        self.pending() > 0 && !self.may_touch(8)
    }

    /// Goes on at `position`, a multiple of 8; what was before is lost.
    pub fn move_to(&mut self, position: u64) {
        self.cursor = position & !7;
    }

    /// Whether the limit allows a look at `len` bytes from the cursor.
    #[inline(always)]
    fn may_touch(&self, len: u64) -> bool {
        // Positions grow for ever; a difference of more than half of all numbers is a step back.
        self.limit.is_none_or(|limit| limit.wrapping_sub(self.cursor.wrapping_add(len)).cast_signed() >= 0)
    }

    /// Copies the next record into `into`, which holds at least [`MAX_RECORD`] bytes.
    ///
    /// Steps over words that are no record, but not for ever: once it has gone round the ring, it returns
    /// [`Next::Empty`], so that a program that goes on writing such words holds up no other ring.
    #[inline]
    pub fn next(&mut self, into: &mut [u8]) -> Next {
        let start = self.cursor;
        loop {
            let (state, offset) = match self.look() {
                Ok(found) => found,
                Err(next) => return next,
            };
            if self.cursor.wrapping_sub(start) >= self.memory.data_len() {
                return Next::Empty;
            }
            match state.stage {
                Stage::Pad | Stage::Abandoned => self.cursor = self.cursor.wrapping_add(state.len),
                Stage::Busy => {
                    let slot = Some(state.slot);
                    return Next::Unfinished(Unfinished { position: self.cursor, slot });
                }
                Stage::Committed => {
                    if !self.may_touch(state.len) {
                        let slot = Some(state.slot);
                        return Next::Unfinished(Unfinished { position: self.cursor, slot });
                    }
                    let len = state.len as usize - 8;
                    let Some(place) = into.get_mut(..len) else { return Next::Corrupt };
                    // SAFETY: `look` checked that the record lies within the data.
                    unsafe { self.memory.read(offset + 8, place) };
                    self.cursor = self.cursor.wrapping_add(state.len);
                    return Next::Record { slot: state.slot, len };
                }
            }
        }
    }

    /// The checked state word at the cursor, and its offset in the data.
    #[inline(always)]
    fn look(&self) -> Result<(State, u64), Next> {
        let pending = self.pending();
        if pending == 0 {
            return Err(Next::Empty);
        }
        if pending > self.memory.data_len() || !pending.is_multiple_of(8) {
            return Err(Next::Corrupt);
        }
        if !self.may_touch(8) {
            return Err(Next::Unfinished(Unfinished { position: self.cursor, slot: None }));
        }
        match self.state_at(self.cursor, pending) {
            Some(Ok(found)) => Ok(found),
            Some(Err(())) => Err(Next::Corrupt),
            None => Err(Next::Unfinished(Unfinished { position: self.cursor, slot: None })),
        }
    }

    /// `None`: no state word of this lap stands there. `Some(Err)`: one with an impossible length does.
    #[inline(always)]
    fn state_at(&self, position: u64, pending: u64) -> Option<Result<(State, u64), ()>> {
        let data_len = self.memory.data_len();
        let offset = offset_of(position, data_len);
        // Acquire: pairs with the Release exchange in `Reservation::commit`; the record's bytes are there.
        let word = self.memory.state(offset).load(Ordering::Acquire);
        let state = State::of(word, position)?;
        let before_end = data_len - offset;
        let is_sane = state.len.is_multiple_of(8)
            && state.len <= pending
            && match state.stage {
                Stage::Pad => state.len == before_end,
                // At least the state word itself, or the reader would stay where it is.
                _ => state.len >= 8 && state.len <= before_end && state.len <= MAX_RECORD as u64,
            };
        Some(if is_sane { Ok((state, offset)) } else { Err(()) })
    }

    /// Steps over the unfinished record at the cursor. True when it did, so that one record is lost; false
    /// when the writer has committed it after all.
    ///
    /// Where [`Unfinished::slot`] is `None`, more than one may be lost: the records after it whose writers
    /// have not yet stored a state word either. Gaps in the sequence numbers count them.
    ///
    /// Call it when the writer is dead or has been stuck for long: see the module's documentation.
    pub fn skip(&mut self) -> bool {
        match self.look() {
            Ok((state, offset)) if state.stage == Stage::Busy => {
                let busy = state.word(self.cursor);
                let abandoned = State { stage: Stage::Abandoned, ..state }.word(self.cursor);
                // Relaxed: nothing is published; a writer that is alive sees that it came too late.
                let exchange = self.memory.state(offset).compare_exchange(
                    busy,
                    abandoned,
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                );
                if exchange.is_err() {
                    return false;
                }
                self.cursor = self.cursor.wrapping_add(state.len);
                true
            }
            // Committed, they say, over memory that is not there.
            Ok((state, _)) if state.stage == Stage::Committed && !self.may_touch(state.len) => {
                self.cursor = self.cursor.wrapping_add(state.len);
                true
            }
            Err(Next::Unfinished(_)) => {
                self.resume_at_next_state();
                true
            }
            _ => false,
        }
    }

    /// Moves the cursor to the next position that holds a state word of its own, or to the limit, or the
    /// tail.
    fn resume_at_next_state(&mut self) {
        // The tail is another look at a word that a hostile writer may have changed: what is beyond the
        // data's length is cut off, so that the way is finite, and the next look says that the ring is
        // corrupt.
        let mut pending = self.pending().min(self.memory.data_len()) & !7;
        while pending > 8 {
            self.cursor = self.cursor.wrapping_add(8);
            pending -= 8;
            if !self.may_touch(8) {
                return;
            }
            if let Some(Ok(_)) = self.state_at(self.cursor, pending) {
                return;
            }
        }
        self.cursor = self.cursor.wrapping_add(pending);
    }

    /// Gives the space of everything read so far back to the writers.
    pub fn release(&self) {
        // Release: the copies out of the space are done. Pairs with the Acquire load in `reserve`.
        self.memory.head().store(self.cursor, Ordering::Release);
    }

    /// Bytes read in all, as a position.
    pub fn position(&self) -> u64 {
        self.cursor
    }

    /// Sets the bell to `mode` ([`bell::NAPPING`] or [`bell::SLEEPING`]) and looks once more. True when the
    /// reader may wait on the bell's futex for as long as it holds `mode`; false, with the bell at AWAKE,
    /// when there is something to read.
    pub fn may_sleep(&self, mode: u32) -> bool {
        // Relaxed: ordered before the look at the records by the fence.
        self.memory.bell().store(mode, Ordering::Relaxed);
        // SeqCst: either the writer's commit comes before this fence and `look` sees it, or the writer sees
        // the bell. Pairs with the SeqCst exchange in `Reservation::commit`.
        fence(Ordering::SeqCst);
        let may_sleep = match self.look() {
            Err(Next::Empty | Next::Corrupt | Next::Unfinished(_)) => true,
            Ok((state, _)) => state.stage == Stage::Busy,
            Err(Next::Record { .. }) => false,
        };
        if !may_sleep {
            self.wake_up();
        }
        may_sleep
    }

    /// Says that the reader looks by itself.
    pub fn wake_up(&self) {
        // Relaxed: a writer that still sees the old value makes one call too many.
        self.memory.bell().store(bell::AWAKE, Ordering::Relaxed);
    }
}
