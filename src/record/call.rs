//! A call as data: which row it was made under, and how it ended.
//!
//! Plain values without a dependency: wrappers make them, and the code between a wrapper and the ring passes
//! them on.

/// The row that a wrapper was made from, and which of its two twins was called: one word, folded into the
/// code.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Row(u16);

impl Row {
    /// No function: what the constructor reports.
    pub const NONE: Self = Self(0);
    /// Set where the caller came by a slot or a definition that [`crate::reach::got`] changed, or will from
    /// now on; or by an entry that [`crate::reach::inline`] changed.
    const REDIRECTED: u16 = 1 << 15;

    /// The row at `place` of the file with the number `family`.
    pub const fn new(family: u16, place: u16) -> Self {
        Self(family << 8 | place)
    }

    /// The row with this number in the table.
    #[inline(always)]
    pub const fn numbered(number: u16) -> Self {
        Self(number)
    }

    /// Whether the caller came by [`crate::reach::got`] or [`crate::reach::inline`].
    #[inline(always)]
    pub const fn is_redirected(self) -> bool {
        self.0 & Self::REDIRECTED != 0
    }

    /// The same row, called by way of [`crate::reach::got`] or [`crate::reach::inline`].
    pub const fn redirected(self) -> Self {
        Self(self.0 | Self::REDIRECTED)
    }

    /// This row, called the way that `other` was.
    pub const fn called_as(self, other: Self) -> Self {
        Self(self.0 | other.0 & Self::REDIRECTED)
    }

    /// Its number in the table.
    #[inline(always)]
    pub const fn number(self) -> u16 {
        self.0 & !Self::REDIRECTED
    }
}

/// A call that came back.
#[derive(Clone, Copy)]
pub struct Call {
    pub row: Row,
    pub outcome: Outcome,
    /// The clock of records before the call, of a row that is timed; 0 of another.
    pub began_ns: u64,
}

impl Call {
    /// A call that is not timed.
    #[inline(always)]
    pub const fn of(row: Row, outcome: Outcome) -> Self {
        Self { row, outcome, began_ns: 0 }
    }
}

/// The end of a call, as a record reports it.
#[derive(Clone, Copy)]
pub struct Outcome {
    /// The return value as a number.
    pub ret: i64,
    /// errno if it failed, else 0.
    pub errno: u16,
    pub failed: bool,
}

impl Outcome {
    /// A call that succeeded.
    pub const fn success(ret: i64) -> Self {
        Self { ret, errno: 0, failed: false }
    }
}
