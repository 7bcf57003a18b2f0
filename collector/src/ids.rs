//! Numbers that must not be mixed up: processes, images, rings and times, each a type of its own.
//!
//! A number of the wrong kind compiles nowhere. Each type says what it is *not*.

use std::fmt;

use crate::launch::protocol::RingId;

/// A process's number in some pid namespace.
///
/// Not a pidfd: the process may be gone, and the number may belong to another one by now. Not unique over
/// namespaces: see [`ProcessKey`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pid(pub u32);

impl Pid {
    /// The first thread of the process, which has the same number.
    pub fn main_thread(self) -> Tid {
        Tid(self.0)
    }
}

/// A thread's number, in the namespace of its process's [`Pid`].
///
/// Not a process's number, although the first thread of a process has the same one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tid(pub u32);

impl Tid {
    /// No kernel gives a thread a number with this bit (proc_sys_kernel(5), pid_max).
    const GONE: u32 = 1 << 31;

    /// A thread that ended before its number here could be known, by the number of its own namespace: apart
    /// from all others of its process, and from every thread that lives.
    #[must_use]
    pub fn gone(self) -> Self {
        Self(self.0 | Self::GONE)
    }

    /// Its number in events; 0 for one that has none.
    #[must_use]
    pub fn shown(self) -> Self {
        if self.0 & Self::GONE == 0 { self } else { Self(0) }
    }
}

/// The name of a process among all containers: two of them may both have a pid 1.
///
/// Not a proof of identity: a later process can get the same key. An [`ImageId`] is never given twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProcessKey {
    /// The pid namespace by its inode, 0 where that is unknown; `None` for the collector's own.
    pub namespace: Option<u64>,
    /// The number there.
    pub pid: Pid,
    /// The ring whose processes alone say that the process has this number, counted from 1; 0 where the
    /// kernel says it, or it belongs to a process that the kernel identified. So a claim never meets a
    /// process that has the number.
    pub claimant: u64,
}

impl ProcessKey {
    /// The process that the kernel shows in the collector's own pid namespace as `pid`.
    pub fn here(pid: Pid) -> Self {
        Self { namespace: None, pid, claimant: 0 }
    }

    /// A process of another pid namespace.
    pub fn elsewhere(namespace: u64, pid: Pid) -> Self {
        Self { namespace: Some(namespace), pid, claimant: 0 }
    }

    /// The same number, as only the ring `claimant` has it.
    #[must_use]
    pub fn claimed_by(self, claimant: RingId) -> Self {
        Self { claimant: claimant.saturating_add(1), ..self }
    }

    /// Another process of the same pid namespace, by the word of the same source.
    #[must_use]
    pub fn with_pid(self, pid: Pid) -> Self {
        Self { pid, ..self }
    }

    /// Whether only its own ring says that the process has its number.
    pub fn is_claim(self) -> bool {
        self.claimant != 0
    }

    /// Whether `/proc` of the collector shows the process under this number.
    pub fn is_visible(self) -> bool {
        self.namespace.is_none() && !self.is_claim()
    }
}

/// A running process, as the kernel tells one from every other that ever has the same number: the inode of
/// its pidfd (pidfs, Linux 6.9), or before that a number made of its start time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Instance(pub u64);

/// A file, by the device and the inode that stat(2) shows; both are 0 where it is not known.
///
/// Not a proof where a process says it: any process may say any numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FileId {
    /// The device.
    pub device: u64,
    /// The inode.
    pub inode: u64,
}

impl FileId {
    /// Whether it says anything.
    pub fn is_known(self) -> bool {
        self != Self::default()
    }
}

impl From<[u64; 2]> for FileId {
    fn from([device, inode]: [u64; 2]) -> Self {
        Self { device, inode }
    }
}

/// A process image that the collector knows: what a process is between two execs, or a fork child before its
/// first.
///
/// Not an index: the id of a forgotten image finds nothing, and is never given to another one. Not a pid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ImageId(u64);

impl ImageId {
    /// No image.
    pub const NONE: Self = Self(0);
    /// Bits that hold the place.
    const PLACE_BITS: u32 = 24;
    /// Bits that a number made of an id leaves free, at the top.
    pub const FREE_BITS: u32 = 3;

    /// The id of the `serial`th image, which lies at `place`.
    pub fn new(serial: u64, place: usize) -> Self {
        let serial = serial << (Self::PLACE_BITS + Self::FREE_BITS) >> Self::FREE_BITS;
        Self(serial | place as u64 & ((1 << Self::PLACE_BITS) - 1))
    }

    /// Where the image lies, if it is still there.
    pub fn place(self) -> usize {
        (self.0 & ((1 << Self::PLACE_BITS) - 1)) as usize
    }

    /// The id as a number whose highest [`Self::FREE_BITS`] bits are 0.
    pub fn token(self) -> u64 {
        self.0
    }

    /// The id that [`Self::token`] made a number of.
    pub fn from_token(token: u64) -> Self {
        Self(token)
    }
}

/// A ring among those that are read at the moment.
///
/// Not the launcher's name for it, which a collector that takes the ring over keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RingIndex(pub usize);

/// A moment of CLOCK_MONOTONIC, nanoseconds.
///
/// Not a time of day, and not a duration: durations are plain `u64` with `_NS` or `_ns` in their names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MonoNs(pub u64);

impl MonoNs {
    /// Before everything.
    pub const ZERO: Self = Self(0);
    /// After everything.
    pub const MAX: Self = Self(u64::MAX);

    /// The present moment.
    pub fn now() -> Self {
        Self(crate::system::clock::now_ns())
    }

    /// Nanoseconds since `earlier`; 0 if that is later.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The moment `ns` nanoseconds later, at most [`Self::MAX`].
    #[must_use]
    pub fn plus(self, ns: u64) -> Self {
        Self(self.0.saturating_add(ns))
    }

    /// The moment `ns` nanoseconds earlier, at least [`Self::ZERO`].
    #[must_use]
    pub fn minus(self, ns: u64) -> Self {
        Self(self.0.saturating_sub(ns))
    }
}

/// A moment in nanoseconds since 1970, UTC.
///
/// Not comparable with [`MonoNs`]: the time of day jumps when it is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UtcNs(pub u64);

macro_rules! shown_as_its_number {
    ($($id:ident),*) => {$(
        impl fmt::Display for $id {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(formatter)
            }
        }
    )*};
}

shown_as_its_number!(Pid, Tid);

/// Whether a process with these user ids may become one of the user `uid`: root any, others themselves. Where
/// the kernel does not say, nothing speaks against it.
pub fn may_become(ids: [Option<u32>; 2], uid: Option<u32>) -> bool {
    uid.is_none() || ids.into_iter().any(|own| own.is_none_or(|own| own == 0 || Some(own) == uid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_that_are_gone_are_apart_from_each_other_and_have_no_number() {
        let [one, other] = [Tid(7), Tid(8)].map(Tid::gone);

        assert!(one != other && one != Tid(7));
        assert_eq!([Tid(0), Tid(0), Tid(7)], [one, other, Tid(7)].map(Tid::shown));
    }

    #[test]
    fn image_ids_differ_though_their_places_are_the_same_and_leave_the_highest_bits_free() {
        let (one, other) = (ImageId::new(1, 7), ImageId::new(2, 7));

        assert_ne!(one, other);
        assert_eq!([7, 7], [one.place(), other.place()]);
        assert_eq!(one, ImageId::from_token(one.token()));
        assert_eq!(0, ImageId::new(u64::MAX, usize::MAX).token() >> (64 - ImageId::FREE_BITS));
        assert_ne!(ImageId::NONE, ImageId::new(1, 0));
    }

    #[test]
    fn moments_neither_wrap_nor_go_below_the_first() {
        assert_eq!(0, MonoNs(3).since(MonoNs(5)));
        assert_eq!(MonoNs::MAX, MonoNs(7).plus(u64::MAX));
        assert_eq!(MonoNs::ZERO, MonoNs(7).minus(8));
    }
}
