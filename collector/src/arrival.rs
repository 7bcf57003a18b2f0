//! The records that enter the pipeline, whatever mechanism saw the call.
//!
//! # The promises of an origin
//!
//! The pipeline knows nothing of a mechanism but its [`Origin`]. Each mechanism promises:
//!
//! 1. **Identity.** The origin names the process by the kernel's word (a slot of a ring that a known process
//!    made, or a pid that the kernel gave with the notification), never by a field of the record.
//! 2. **Numbers.** A [`Numbering::PerImage`] origin numbers the events of each process image from 0 without
//!    gaps; a gap is a loss. A [`Numbering::None`] origin never sets a number.
//! 3. **Time.** A record bears CLOCK_MONOTONIC of the call, or 0 where the process may not ask the clock.
//! 4. **Order.** Unnumbered records of one process arrive in the order of their times. Numbered ones may
//!    arrive out of order; the number decides.
//! 5. **Horizon.** A record arrives at most [`HOLD_NS`] after its time, or the origin says that it still has
//!    unread records.
//! 6. **Deaths.** A record arrives before the death of its process is concluded, or it is counted as lost.
//! 7. **Losses.** An origin's channel is bounded. Whatever the origin drops, it counts, by process and
//!    reason.
//! 8. **Bytes.** The payload is checked by the pipeline, not by the origin: any bytes may arrive.
//!
//! A replay is no origin of records. Its events were ordered and enriched before, and enter behind the
//! enricher, with the numbers that they were recorded with ([`crate::pipeline::Outbox::replay`]).

use std::sync::Arc;

use wire::events::Kind;
use wire::record::{Flags, Head};

use crate::allowance::Account;
use crate::door::identity::Identity;
use crate::evasion::Evidence;
use crate::ids::{Instance, MonoNs, Pid, ProcessKey, RingIndex};
use crate::launch::protocol::CommandStarted;
use crate::loss::LossReason;

/// Records are held back for so long, for earlier ones that are still on their way.
pub const HOLD_NS: u64 = 2_000_000;

/// A record and its origin.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'b> {
    /// Where it comes from.
    pub origin: Origin,
    /// Its head, unchecked but for its time.
    pub head: Head,
    /// Its payload, unchecked.
    pub payload: &'b [u8],
}

/// The place that a record comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A slot of a ring, written by the sensor in the process.
    Ring {
        /// The ring.
        ring: RingIndex,
        /// The slot.
        slot: u8,
    },
    /// A supervisor that the kernel notifies of a process's system calls.
    Notify {
        /// The process, by the kernel's word.
        process: ProcessKey,
        /// See [`Sent::Record`].
        instance: Option<Instance>,
    },
}

/// Whether the events of an origin are numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbering {
    /// From 0 for each process image, without gaps.
    PerImage,
    /// Not at all: its events have no `seq`.
    None,
}

impl Origin {
    /// How the events of this origin are numbered.
    pub fn numbering(self) -> Numbering {
        match self {
            Self::Ring { .. } => Numbering::PerImage,
            Self::Notify { .. } => Numbering::None,
        }
    }
}

impl Numbering {
    /// The kind of a record, if an origin that numbers so may send one of this kind with these flags.
    ///
    /// Records that are no events are never numbered, but for [`Kind::FdClosed`], which becomes one.
    #[inline]
    pub fn kind_of(self, head: &Head) -> Option<Kind> {
        let kind = Kind::from_number(head.kind)?;
        let is_told = kind == Kind::FdClosed || (kind as u16) < FIRST_INTERNAL;
        let is_numbered = head.flags & Flags::STAMPED != 0;
        (is_numbered == (is_told && self == Self::PerImage)).then_some(kind)
    }
}

/// Kinds from this number on never become events, but for [`Kind::FdClosed`].
const FIRST_INTERNAL: u16 = Kind::FdClosed as u16;

/// What the kernel said of a process while its first call waited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Its parent.
    pub ppid: Option<Pid>,
    /// Real user id, as the collector's user namespace counts.
    pub uid: Option<u32>,
    /// Effective user id.
    pub euid: Option<u32>,
    /// The process, apart from all that get its number later.
    pub instance: Option<Instance>,
    /// Why no sensor is in its program, where its file says so and the supervisor is another container's.
    pub reason: Option<&'static str>,
    /// Its user namespace, by inode.
    pub user_ns: Option<u64>,
    /// Its mount namespace.
    pub mnt_ns: Option<u64>,
    /// A container's runtime made it: no parent of it says hello.
    pub is_first: bool,
    /// It has hooks, and says itself that it began: only its parent and its user are told.
    pub is_hooked: bool,
    /// The running image; empty where the kernel does not show it.
    pub exe: Vec<u8>,
}

/// A process of a supervisor that is no child of the launcher, by the kernel's word on a descriptor of it.
#[derive(Debug)]
pub struct Introduced {
    /// The process, which waited for this.
    pub identity: Identity,
    /// Why no sensor is in it, where its program's file says so.
    pub reason: Option<&'static str>,
    /// A container's runtime made it.
    pub is_first: bool,
    /// Pays for all that is kept of it.
    pub account: Arc<Account>,
}

/// The program of an exec, as its file told while the exec waited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Executed {
    /// The file; empty where it is not known.
    pub exe: Vec<u8>,
    /// Why the sensor will not speak in it; empty where the file does not tell.
    pub reason: &'static str,
    /// The variables that an event of its start shows, each ended by a NUL.
    pub environment: Vec<u8>,
    /// It can be read, and the kernel itself executes none that begins so (ENOEXEC).
    pub is_no_program: bool,
    /// Where the stack of the program that asks begins; 0 where that is not known.
    pub stack: u64,
}

/// A message of an origin that is no ring, sent through a channel; the sender rings the pipeline's doorbell.
#[derive(Debug)]
pub enum Sent {
    /// A process, before its first record.
    Seen {
        /// The process, by the kernel's word.
        process: ProcessKey,
        /// What is known of it.
        seen: Seen,
    },
    /// A supervisor that no launcher started has gone.
    SupervisorGone {
        /// Its own process.
        process: ProcessKey,
    },
    /// A process of such a supervisor, before its first record.
    Introduced(Box<Introduced>),
    /// The program that such a supervisor started, which no sensor is in.
    Began {
        /// The process, which was introduced.
        process: ProcessKey,
        /// The program.
        started: Box<CommandStarted>,
        /// Why no sensor is in it.
        reason: &'static str,
    },
    /// A record.
    Record {
        /// The process, by the kernel's word.
        process: ProcessKey,
        /// The process apart from others that have or say the number, where it was introduced.
        instance: Option<Instance>,
        /// The record's head.
        head: Head,
        /// The record's payload.
        payload: Box<[u8]>,
    },
    /// A recorded call went past the hooks, if the process is one with hooks.
    Evident {
        /// The process, by the kernel's word.
        process: ProcessKey,
        /// When the call was made.
        at: MonoNs,
        /// From where.
        evidence: Evidence,
    },
    /// The program of the exec whose record comes next.
    Executed {
        /// The process, by the kernel's word.
        process: ProcessKey,
        /// The time of the record.
        at: MonoNs,
        /// The program.
        program: Executed,
    },
    /// Word of an exec that was told of.
    Begun {
        /// The process, by the kernel's word.
        process: ProcessKey,
        /// The time of the exec's record.
        at: MonoNs,
        /// Whether the program began; `None` where the process is gone.
        has_begun: Option<bool>,
    },
    /// Records that the origin dropped.
    Lost {
        /// The process.
        process: ProcessKey,
        /// When the last of them was dropped.
        at: MonoNs,
        /// How many.
        count: u64,
        /// Why.
        reason: LossReason,
    },
}
