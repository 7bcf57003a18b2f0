//! The record that a thread is at, from its number to its commit, for the case that it never finishes it.
//!
//! A signal handler may jump away (siglongjmp(3)) from whatever it interrupted. A record that is left in the middle would
//! hold the reader up, and its number would be missing without a reason. So [`crate::emit`] notes in the thread's block
//! how far it is; the thread's next record that begins at the same place of the stack or above finds the note, gives the
//! space up and counts the loss. A handler that returns puts the note back that it found.
//!
//! What a jump leaves between two of these steps (a few instructions) is counted by the collector, later.

use core::sync::atomic::{Ordering, compiler_fence};

use wire::ring::layout::{Loss, Mapped};
use wire::ring::{Known, Memory, Step, give_up};

use crate::{arch, state};

/// A note of a record that is being written.
#[derive(Clone, Copy)]
pub struct Pending {
    /// How far it is; from [`TRIED`] on with the ring's tail at that moment, a multiple of 8.
    progress: u64,
    /// The stack where it was begun.
    stack: usize,
    /// Of the record's payload.
    len_bytes: u32,
    slot: u8,
    is_numbered: bool,
}

const STEPS: u64 = 7;
/// Nothing that anybody would miss.
const BEGUN: u64 = 0;
/// A number was taken.
const NUMBERED: u64 = 1;
/// The ring's tail may have been moved.
const TRIED: u64 = 2;
/// The tail was moved.
const RESERVED: u64 = 3;

impl Pending {
    /// No record.
    pub const NONE: Self = Self { progress: BEGUN, stack: 0, len_bytes: 0, slot: 0, is_numbered: false };

    fn put(self) {
        // SAFETY: the block is this thread's alone.
        unsafe { *state::pending() = self };
    }
}

/// A record is begun by a function whose frame ends at `stack`. Gives what the thread was at when a signal came between:
/// for [`end`].
///
/// A record that was begun further down the stack than this one is one that a handler jumped away from. A handler on a
/// stack of its own is too far away to be taken for that.
#[inline(always)]
pub fn begin(ring: Mapped, slot: u8, stack: usize) -> Pending {
    const NEAR: usize = 64 * 1024;
    // SAFETY: as in `put`.
    let mut outer = unsafe { *state::pending() };
    if outer.progress != BEGUN && stack.wrapping_sub(outer.stack) < NEAR {
        abandon(ring, outer);
        outer = Pending::NONE;
    }
    Pending { stack, slot, ..Pending::NONE }.put();
    outer
}

/// The stack of a function that calls this: for [`begin`].
#[inline(always)]
pub fn here() -> usize {
    arch::stack_pointer()
}

/// The record has its number.
#[inline(always)]
pub fn numbered() {
    // SAFETY: as in `put`.
    let pending = unsafe { &mut *state::pending() };
    pending.is_numbered = true;
    pending.progress = NUMBERED;
}

/// A record with a payload of `len` bytes is about to be reserved.
#[inline(always)]
pub fn sized(len: usize) {
    // SAFETY: as in `put`.
    unsafe { (*state::pending()).len_bytes = len as u32 };
}

/// The ring's tail is at `tail`, and about to be moved or moved.
#[inline(always)]
pub fn step(tail: u64, step: Step) {
    let progress = tail | if step == Step::Tried { TRIED } else { RESERVED };
    // The note is there before the exchange, and after it: a signal handler of this thread sees them in this order.
    compiler_fence(Ordering::SeqCst);
    // SAFETY: as in `put`.
    unsafe { (*state::pending()).progress = progress };
    compiler_fence(Ordering::SeqCst);
}

/// The record is committed, or was counted as lost.
#[inline(always)]
pub fn end(outer: Pending) {
    outer.put();
}

/// Nobody will finish this record.
#[cold]
#[inline(never)]
fn abandon(ring: Mapped, left: Pending) {
    // First: should this be left too, the collector counts it.
    Pending::NONE.put();
    let tail = left.progress & !STEPS;
    let known = match left.progress & STEPS {
        RESERVED => Some(Known::Reserved),
        TRIED if state::is_alone() && state::is_only_process(ring, left.slot) => Some(Known::Reserved),
        TRIED if state::is_alone() => Some(Known::Tried),
        // What stands there may be another thread's.
        TRIED if ring.tail().load(Ordering::Relaxed) != tail => return,
        _ => None,
    };
    let is_lost = known.is_none_or(|known| give_up(&ring, left.slot, left.len_bytes as usize, tail, known));
    if is_lost && left.is_numbered {
        ring.slot(left.slot).lose(Loss::Abandoned);
    }
}
