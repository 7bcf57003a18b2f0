//! The note of the record that a thread is writing, as it lies in the thread's block. [`crate::record::note`]
//! keeps it.

/// A note of a record that is being written; all zero while there is none.
///
/// A signal handler looks at `progress` only: unless that is 0 it keeps the rest and puts it back. So
/// `progress` is what is written first when a record is begun, and it says all that is needed until the rest
/// is there.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Pending {
    /// The step that it has reached: the lowest three bits. Below [`TRIED`] the other bits are [`Begun`]'s,
    /// from there on the ring's tail at that moment, a multiple of 8.
    pub progress: u64,
    /// `progress` as it was before it became [`TRIED`].
    pub begun: Begun,
    /// Length of the record's payload.
    pub len_bytes: u64,
}

pub const STEPS: u64 = 7;
/// No number was taken yet: nothing is missing if it ends here.
pub const BEGUN: u64 = 1;
/// A number was taken.
pub const NUMBERED: u64 = 2;
/// The ring's tail may have been moved.
pub const TRIED: u64 = 3;
/// The tail was moved.
pub const RESERVED: u64 = 4;

/// The stack where a record was begun, a multiple of 8 in the lower half of the address space, with its slot
/// in the highest byte and [`BEGUN`] or [`NUMBERED`] in the lowest bits.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Begun(pub u64);

impl Begun {
    const SLOT_SHIFT: u32 = 56;

    #[inline(always)]
    pub fn new(stack: usize, slot: u8) -> Self {
        Self(stack as u64 & !STEPS | u64::from(slot) << Self::SLOT_SHIFT | BEGUN)
    }

    pub fn stack(self) -> usize {
        (self.0 << 8 >> 8 & !STEPS) as usize
    }

    pub fn slot(self) -> u8 {
        (self.0 >> Self::SLOT_SHIFT) as u8
    }

    pub fn is_numbered(self) -> bool {
        self.0 & STEPS == NUMBERED
    }
}

impl Pending {
    /// No record.
    pub const NONE: Self = Self { progress: 0, begun: Begun(0), len_bytes: 0 };

    pub fn begun(&self) -> Begun {
        if self.progress & STEPS < TRIED { Begun(self.progress) } else { self.begun }
    }
}
