//! What rules and filters ask of a process beyond its identity: nothing else of that is read.

/// A set of questions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asks(u8);

impl Asks {
    /// None.
    pub const NONE: Self = Self(0);
    /// What a [`Background`](super::Background) holds.
    pub const BACKGROUND: Self = Self(1);
    /// What [`Surroundings`](super::Surroundings) hold.
    pub const SURROUNDINGS: Self = Self(1 << 1);
    /// Ancestors that the sensor is not in.
    pub const ANCESTORS: Self = Self(1 << 2);

    /// All of them.
    pub const ALL: Self = Self::BACKGROUND.and(Self::SURROUNDINGS).and(Self::ANCESTORS);

    /// These and `more`.
    #[must_use]
    pub const fn and(self, more: Self) -> Self {
        Self(self.0 | more.0)
    }

    /// Whether all of `these` are among them.
    pub const fn has(self, these: Self) -> bool {
        self.0 & these.0 == these.0
    }
}
