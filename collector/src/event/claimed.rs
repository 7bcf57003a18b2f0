//! Which fields of an event are the word of its process alone.

/// The fields of an event that only the process itself says, because the kernel could not be asked: the field
/// `claimed`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Claimed(u16);

impl Claimed {
    /// None.
    pub const NONE: Self = Self(0);
    /// The number of the process.
    pub const PID: Self = Self(1);
    /// The number of its parent.
    pub const PPID: Self = Self(1 << 1);
    /// The real user id.
    pub const UID: Self = Self(1 << 2);
    /// The effective user id.
    pub const EUID: Self = Self(1 << 3);
    /// The executable.
    pub const EXE: Self = Self(1 << 4);
    /// The pid namespace.
    pub const PID_NS: Self = Self(1 << 5);
    /// The container.
    pub const CONTAINER: Self = Self(1 << 6);
    /// The number of the child that it made.
    pub const CHILD: Self = Self(1 << 7);
    /// The real user id as the process sees it.
    pub const UID_INSIDE: Self = Self(1 << 8);

    /// The fields as events name them, in the order of the output.
    const NAMES: [(Self, &str); 9] = [
        (Self::PID, "pid"),
        (Self::PPID, "ppid"),
        (Self::UID, "uid"),
        (Self::EUID, "euid"),
        (Self::UID_INSIDE, "uid_inside"),
        (Self::EXE, "exe"),
        (Self::PID_NS, "pid_ns"),
        (Self::CONTAINER, "container"),
        (Self::CHILD, "child"),
    ];

    /// These and `more`.
    #[must_use]
    pub const fn and(self, more: Self) -> Self {
        Self(self.0 | more.0)
    }

    /// These and `more`, if `is_so`.
    #[must_use]
    pub const fn and_if(self, is_so: bool, more: Self) -> Self {
        if is_so { self.and(more) } else { self }
    }

    /// These without `fewer`.
    #[must_use]
    pub const fn without(self, fewer: Self) -> Self {
        Self(self.0 & !fewer.0)
    }

    /// Whether `field` is among them.
    pub const fn has(self, field: Self) -> bool {
        self.0 & field.0 != 0
    }

    /// Whether there are none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// As a number, for recordings.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Of a number in a recording; unknown bits are dropped.
    pub fn from_bits(bits: u16) -> Self {
        let known = Self::NAMES.iter().fold(Self::NONE, |all, (field, _)| all.and(*field));
        Self(bits & known.0)
    }

    /// The names of the fields.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().filter(move |(field, _)| self.has(*field)).map(|(_, name)| name)
    }
}
