//! A note of the record that a thread is writing, from its number to its commit, in case the thread never
//! finishes it.
//!
//! A signal handler may jump away (siglongjmp(3)) from the code that it interrupted. A record that is left in
//! the middle would hold the reader up, and its number would be missing without a reason. So [`super::emit`]
//! notes its progress in the thread's block. When the thread begins its next record, and the place on the
//! stack shows that no signal handler in between begins it, the note is found, the space is given up and the
//! loss counted. A handler that returns puts back the note that it found.
//!
//! A record that a jump leaves between two of these steps (a few instructions) is counted by the collector,
//! later.

use core::mem::MaybeUninit;
use core::sync::atomic::{Ordering, compiler_fence};

use wire::ring::layout::{Loss, Mapped};
use wire::ring::{Known, Memory, Step, give_up};

use crate::process::pending::{BEGUN, Begun, NUMBERED, Pending, RESERVED, STEPS, TRIED};
use crate::process::{self, Block, Seal};
use crate::{arch, sys};

/// The note of the record that a signal interrupted; most often there is none. Passed by reference, because
/// copying it is slow (ADR 14).
pub struct Outer {
    is_there: bool,
    note: MaybeUninit<Pending>,
}

impl Outer {
    pub const NONE: Self = Self { is_there: false, note: MaybeUninit::uninit() };
}

/// The stack of a function that calls this: for [`Note::begin`].
#[inline(always)]
pub fn here() -> usize {
    arch::stack_pointer()
}

#[derive(Clone, Copy)]
pub struct Note(*mut Pending);

impl Note {
    #[inline(always)]
    pub fn of(thread: Block) -> Self {
        Self(thread.pending())
    }

    /// A record is begun in `slot` by a function whose frame ends at `stack`. The note of a record that a
    /// signal interrupted goes to `outer`, which is [`Outer::NONE`] before, for [`end`](Self::end).
    #[inline(always)]
    pub fn begin(self, ring: Mapped, slot: u8, stack: usize, outer: &mut Outer) {
        // SAFETY: the block is this thread's alone.
        if unsafe { (*self.0).progress } != 0 {
            outer.is_there = self.interrupts(ring, stack, &mut outer.note);
        }
        // SAFETY: as above.
        unsafe { (*self.0).progress = Begun::new(stack, slot).0 };
    }

    /// Whether the record that this thread was writing goes on afterwards; then its note is put into `outer`,
    /// else it is given up.
    ///
    /// A record that was begun further down the stack than the new one is one that a handler jumped away
    /// from. A handler on a stack of its own is too far away to be taken for that, or the kernel knows that
    /// stack.
    ///
    /// So is one that is being written and was begun further up, by less than what the kernel puts between:
    /// only a handler calls us there. (Earlier the real function may, of a close that has its number:
    /// fclose(3) closes by what fopencookie(3) was given.) To put it back after the new one is not enough:
    /// that may be left, too, by the next handler, and nothing would be known of this one.
    #[cold]
    #[inline(never)]
    fn interrupts(self, ring: Mapped, stack: usize, outer: &mut MaybeUninit<Pending>) -> bool {
        const NEAR: usize = 64 * 1024;
        // SAFETY: as in `begin`.
        let found = unsafe { *self.0 };
        let began = found.begun().stack();
        let below = if found.progress & STEPS >= TRIED { arch::SIGNAL_FRAME } else { 0 };
        let is_left = stack.wrapping_add(below).wrapping_sub(began) < NEAR + below;
        if is_left && !is_apart(stack, began) {
            self.abandon(ring, found);
            return false;
        }
        outer.write(found);
        true
    }

    /// The record has its number.
    #[inline(always)]
    pub fn numbered(self) {
        // SAFETY: as in `begin`.
        unsafe { (*self.0).progress += NUMBERED - BEGUN };
    }

    /// The record, with a payload of `len` bytes, is about to be reserved.
    #[inline(always)]
    pub fn sized(self, len: usize) {
        // SAFETY: as in `begin`.
        let pending = unsafe { &mut *self.0 };
        pending.begun = Begun(pending.progress);
        pending.len_bytes = len as u64;
    }

    /// The ring's tail is at `tail`, and about to be moved or moved.
    #[inline(always)]
    pub fn step(self, tail: u64, step: Step) {
        let progress = tail | if step == Step::Tried { TRIED } else { RESERVED };
        // The note is there before the exchange, and after it: a signal handler of this thread sees them in
        // this order.
        compiler_fence(Ordering::SeqCst);
        // SAFETY: as in `begin`.
        unsafe { (*self.0).progress = progress };
        compiler_fence(Ordering::SeqCst);
    }

    /// The record is committed, or was counted as lost.
    #[inline(always)]
    pub fn end(self, outer: &Outer) {
        match outer.is_there {
            true => self.go_on(outer),
            // SAFETY: as in `begin`.
            false => unsafe { (*self.0).progress = 0 },
        }
    }

    #[cold]
    #[inline(never)]
    fn go_on(self, outer: &Outer) {
        // SAFETY: `interrupts` has put it there, for `is_there` is set; the block is this thread's alone.
        unsafe { *self.0 = outer.note.assume_init() };
    }

    /// Gives up a record that will not be finished.
    ///
    /// A handler may jump away from here, too. So the note stays until the space is given up, and the next
    /// record does that once more: what was given up is not found a second time.
    #[cold]
    fn abandon(self, ring: Mapped, left: Pending) {
        let is_lost = release(left, ring);
        // The note goes after the space is given up, and before the loss is counted: should a handler jump
        // away in between, the collector counts it.
        compiler_fence(Ordering::SeqCst);
        // SAFETY: as in `begin`.
        unsafe { (*self.0).progress = 0 };
        compiler_fence(Ordering::SeqCst);
        if is_lost {
            ring.slot(left.begun().slot()).lose(Loss::Abandoned);
        }
    }
}

/// Whether `stack` lies on the stack that this thread has for signal handlers, and `other` does not. False
/// behind a filter, where the kernel is not asked.
fn is_apart(stack: usize, other: usize) -> bool {
    let Some((lowest, len)) = (process::seal() == Seal::Open).then(sys::signal_stack).and_then(Result::ok)
    else {
        return false;
    };
    let holds = |place: usize| place.wrapping_sub(lowest) < len;
    holds(stack) && !holds(other)
}

/// Gives up the record's space in the ring. True when its number is missing and was not counted elsewhere.
fn release(left: Pending, ring: Mapped) -> bool {
    let (tail, slot) = (left.progress & !STEPS, left.begun().slot());
    let known = match left.progress & STEPS {
        RESERVED => Some(Known::Reserved),
        TRIED if process::is_alone() && process::is_only_process(ring, slot) => Some(Known::Reserved),
        TRIED if process::is_alone() => Some(Known::Tried),
        // The record there may be another thread's.
        TRIED if ring.tail().load(Ordering::Relaxed) != tail => return false,
        _ => None,
    };
    let is_lost = known.is_none_or(|known| give_up(&ring, slot, left.len_bytes as usize, tail, known));
    is_lost && left.begun().is_numbered()
}
