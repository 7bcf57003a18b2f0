//! The writing side: any number of threads, signal handlers and vfork children, none of which ever waits.
//!
//! Runs in the application's process, on the path of a hooked call: no system call, no allocation, no loop
//! but the one of the reservation's compare-and-swap, in which every turn means that another writer has
//! succeeded.

use super::sync::{Ordering, fence};
use super::{MAX_RECORD, Memory, Stage, State, bell, offset_of};
use crate::codec::Sink;

/// The reason why a record could not be reserved. Nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The reader has not yet given enough space back.
    Full,
    /// The record is longer than [`MAX_RECORD`].
    TooLong,
}

/// A reserved record that is being written. Dropping it without [`commit`](Reservation::commit) or
/// [`abandon`](Reservation::abandon) leaves a hole that the reader must time out, so only a dying thread does
/// that.
pub struct Reservation<'m, M: Memory> {
    memory: &'m M,
    position: u64,
    /// The offset of `position` in the data.
    offset: u64,
    state: State,
    written: u64,
    is_half_full: bool,
}

/// Reserves a record of `payload_len` bytes for the process in `slot`.
#[inline(always)]
pub fn reserve<M: Memory>(memory: &M, slot: u8, payload_len: usize) -> Result<Reservation<'_, M>, Refused> {
    reserve_noting(memory, slot, payload_len, |_, _| {})
}

/// [`reserve`], for a thread that may leave in the middle: `note` is called before and after the tail is
/// moved, with its old position, for [`give_up`].
#[inline(always)]
pub fn reserve_noting<M: Memory>(
    memory: &M,
    slot: u8,
    payload_len: usize,
    note: impl Fn(u64, Step),
) -> Result<Reservation<'_, M>, Refused> {
    if payload_len > MAX_RECORD - 8 {
        return Err(Refused::TooLong);
    }
    let data_len = memory.data_len();
    // Relaxed: the value is only a guess that the exchange below checks.
    let mut tail = memory.tail().load(Ordering::Relaxed);
    loop {
        // Acquire: pairs with the Release store in `Reader::release`. The reader's copies out of the space it
        // gives back are done before this writer overwrites it.
        let head = memory.head().load(Ordering::Acquire);
        let (len, pad) = lengths(payload_len, tail, data_len);
        let end = tail.wrapping_add(pad + len);
        let used = end.wrapping_sub(head);
        if used > data_len {
            // The tail may be older than the head: this thread was interrupted between the two loads, and
            // what looks like a full ring is none. Relaxed suffices for the second look: the head's Acquire
            // load orders it after every reservation that the reader has read.
            let moved = memory.tail().load(Ordering::Relaxed);
            if moved == tail {
                return Err(Refused::Full);
            }
            tail = moved;
            continue;
        }
        note(tail, Step::Tried);
        // Relaxed: the reservation publishes nothing; the reader waits for the state word.
        match memory.tail().compare_exchange_weak(tail, end, Ordering::Relaxed, Ordering::Relaxed) {
            Err(moved) => tail = moved,
            Ok(_) => {
                note(tail, Step::Made);
                if pad > 0 {
                    let state = State { len: pad, stage: Stage::Pad, slot };
                    // Release: publishes nothing, but the store comes before the reader gives the place back,
                    // and so before the bytes of the record that lies there next. Pairs with the Acquire load
                    // in `Reader::state_at`.
                    memory.state(offset_of(tail, data_len)).store(state.word(tail), Ordering::Release);
                }
                let position = tail.wrapping_add(pad);
                let offset = offset_of(position, data_len);
                let state = State { len, stage: Stage::Busy, slot };
                // Relaxed: gives the reader the length, should this writer die here; the bytes follow.
                memory.state(offset).store(state.word(position), Ordering::Relaxed);
                let is_half_full = used > data_len / 2;
                return Ok(Reservation { memory, position, offset, state, written: 8, is_half_full });
            }
        }
    }
}

/// The progress of a reservation, for a thread that notes it in case it leaves in the middle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The tail is about to be moved.
    Tried,
    /// The tail was moved: the space is this writer's.
    Made,
}

/// The known progress of a reservation that its thread jumped away from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// The space is that thread's, if the tail has been moved at all.
    Reserved,
    /// The space is that thread's if a state word of its slot stands there, which no other thread writes
    /// under.
    Tried,
}

/// Gives up a reservation of `payload_len` bytes, made or tried when the tail was at `tail`: its thread
/// jumped away.
///
/// True when its record will not be read, and that was not counted elsewhere: it was not reserved, or not
/// committed.
#[cold]
pub fn give_up<M: Memory>(memory: &M, slot: u8, payload_len: usize, tail: u64, known: Known) -> bool {
    // Relaxed: the exchanges below check what they find.
    if memory.tail().load(Ordering::Relaxed) == tail {
        return true;
    }
    // Acquire: as in `reserve`. Space that was given back is another writer's.
    if memory.head().load(Ordering::Acquire).wrapping_sub(tail).cast_signed() > 0 {
        return false;
    }
    let (len, pad) = lengths(payload_len, tail, memory.data_len());
    let abandoned = State { len, stage: Stage::Abandoned, slot };
    if pad == 0 {
        return replace(memory, tail, Stage::Busy, abandoned, known);
    }
    let padding = State { len: pad, stage: Stage::Pad, slot };
    replace(memory, tail, Stage::Pad, padding, known)
        // Its padding stands there, so the rest is its own too.
        && replace(memory, tail.wrapping_add(pad), Stage::Busy, abandoned, Known::Reserved)
}

/// Puts `state` at `position` if a word of its slot at `stage` stands there, or none and the place is known
/// to be its.
fn replace<M: Memory>(memory: &M, position: u64, stage: Stage, state: State, known: Known) -> bool {
    let word = memory.state(offset_of(position, memory.data_len()));
    // Relaxed: the exchange checks the value.
    let found = word.load(Ordering::Relaxed);
    let is_own = match State::of(found, position) {
        Some(found) => found == State { stage, ..state },
        None => known == Known::Reserved,
    };
    // Release: as in `Reservation::abandon`.
    is_own && word.compare_exchange(found, state.word(position), Ordering::Release, Ordering::Relaxed).is_ok()
}

/// The length of a record of `payload_len` bytes, and of the padding before it, if the tail is at `tail`.
#[inline(always)]
fn lengths(payload_len: usize, tail: u64, data_len: u64) -> (u64, u64) {
    let len = (payload_len as u64 + 8 + 7) & !7;
    let before_end = data_len - offset_of(tail, data_len);
    (len, if len > before_end { before_end } else { 0 })
}

impl<M: Memory> Sink for Reservation<'_, M> {
    #[inline(always)]
    fn put(&mut self, bytes: &[u8]) -> bool {
        let end = self.written + bytes.len() as u64;
        if end > self.state.len {
            return false;
        }
        // SAFETY: the range lies within the record, which this value alone has reserved and which `reserve`
        // placed within the data.
        unsafe { self.memory.write(self.offset + self.written, bytes) };
        self.written = end;
        true
    }
}

impl<M: Memory> Reservation<'_, M> {
    /// Hands the record to the reader. True when the caller must wake it by a futex call on the bell.
    #[inline(always)]
    #[must_use = "a sleeping reader must be woken"]
    pub fn commit(self) -> bool {
        self.deliver().1
    }

    /// [`Self::commit`], which says first whether the reader gets the record: false where it has given it up.
    #[inline(always)]
    pub fn deliver(self) -> (bool, bool) {
        let busy = self.state.word(self.position);
        let committed = State { stage: Stage::Committed, ..self.state }.word(self.position);
        let state = self.memory.state(self.offset);
        // Release (in SeqCst): publishes the record's bytes. Pairs with the Acquire load in `Reader::next`.
        // It fails if the reader gave the record up; it has been counted there. SeqCst: this store and the
        // load of the bell below must not be reordered, or a reader that is about to sleep is missed. Pairs
        // with the fence in `Reader::may_sleep`.
        let exchange = state.compare_exchange(busy, committed, Ordering::SeqCst, Ordering::Relaxed);
        if cfg!(any(loom, not(target_arch = "x86_64"))) {
            // On x86_64 the locked exchange above is a full barrier already.
            fence(Ordering::SeqCst);
        }
        (exchange.is_ok(), self.ring_bell())
    }

    /// Gives the record up: the reader steps over it. For a payload that turned out not to fit; the reader is
    /// not woken.
    #[cold]
    pub fn abandon(self) {
        let abandoned = State { stage: Stage::Abandoned, ..self.state }.word(self.position);
        let busy = self.state.word(self.position);
        // Release: this writer's bytes come before those of the record that lies here next; as for padding in
        // `reserve`. It fails if the reader gave the record up before.
        let _ = self.memory.state(self.offset).compare_exchange(
            busy,
            abandoned,
            Ordering::Release,
            Ordering::Relaxed,
        );
    }

    #[inline(always)]
    fn ring_bell(&self) -> bool {
        let word = self.memory.bell();
        // Relaxed: ordered after the commit by the barrier in `commit`.
        let reader = word.load(Ordering::Relaxed);
        if reader == bell::AWAKE || (reader == bell::NAPPING && !self.is_half_full) {
            return false;
        }
        // Only one writer makes the system call, even if several see the reader asleep. If the bell has
        // changed by now, then another writer wakes the reader, or the reader has looked after this record
        // was there: for had it gone to sleep before, the load above would have said so. Relaxed: the reader
        // looks at the records, not at the bell.
        word.compare_exchange(reader, bell::AWAKE, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}
