//! The messages between the doorman's thread, the pipeline's thread and a thread beside the session.
//!
//! The doorman sends [`News`], in an order in which nothing can be misread: the launcher has a ring before
//! the pipeline reads it, and a process's hello comes before its death. The pipeline answers with [`Word`]s.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use crossbeam_channel::Sender;

use super::identity::Identity;
use crate::allowance::Share;
use crate::container::Container;
use crate::ids::{ImageId, MonoNs, ProcessKey};
use crate::launch::protocol::{CommandStarted, Reaped, RingId};
use crate::notify::sightings::Sightings;
use crate::reload::Reloaded;
use crate::rings::mapping::{Lifeline, Mapping};
use crate::sinks::{Haste, OutputChange};

/// A ring to read.
#[derive(Debug)]
pub struct Attached {
    /// The launcher's name for the ring.
    pub id: RingId,
    /// The ring's memory.
    pub mapping: Mapping,
    /// The process whose image made the ring.
    pub identity: Identity,
    /// The ring's place in the allowance of its user; the account is charged for everything that is kept for
    /// the ring's processes.
    pub place: Share,
    /// Tells when no process has the ring mapped any more. Only for processes whose deaths nothing else
    /// tells.
    pub lifeline: Option<Lifeline>,
    /// The pid namespace that the process names, where the collector has no number there; else 0.
    pub own_ns: u64,
    /// The sensor's own descriptors, which /proc may still show.
    pub own_fds: [i32; 2],
    /// Whether an earlier collector, which died, has read the ring.
    pub is_inherited: bool,
}

/// A ring that survived its collector.
#[derive(Debug)]
pub struct KeptRing {
    /// The id under which the launcher kept it; the id stays in use.
    pub id: RingId,
    /// The note that the earlier collector left in [`crate::launch::protocol::ToLauncher::Keep`].
    pub blob: Vec<u8>,
    /// The ring's memory.
    pub memfd: OwnedFd,
}

/// A program that cannot be seen into.
#[derive(Debug, Default)]
pub struct Unseen {
    /// Its process.
    pub identity: Identity,
    /// Its file, as the process or /proc says.
    pub exe: Vec<u8>,
    /// Why it is not seen.
    pub reason: &'static str,
    /// The ring of any program that is heard after it has this number, or a larger one.
    pub next_ring: RingId,
    /// The bytes of all this, in the account of its user, while it waits.
    pub share: Share,
}

/// News for the pipeline.
#[derive(Debug)]
pub enum News {
    /// A ring to read.
    Attached(Box<Attached>),
    /// A program that cannot be seen into.
    Blind(Box<Unseen>),
    /// A supervisor that no launcher started: the kernel asks it about calls of what it makes.
    Supervisor(ProcessKey),
    /// What a supervisor says arrives so.
    Sightings(Sightings),
    /// More is known of a container: the container before, and after.
    Renamed(Arc<Container>, Arc<Container>),
    /// The process behind a watched pidfd is dead: its image, and when the doorman noticed.
    Died(ImageId, MonoNs),
    /// The launcher started CMD: its pid, and the program.
    Command(Box<CommandStarted>),
    /// The launcher reaped a process.
    Exited(Reaped),
    /// The kernel asks about no program's calls.
    NotAskedAbout,
    /// Another request is served, and when that was heard.
    Turn(Turn, MonoNs),
    /// An output comes or goes.
    Output(OutputChange),
    /// Deliver and write everything that happened before a moment.
    Flush(Flush),
    /// The settings were read again, and hold from here on.
    Reloaded(Box<Reloaded>),
    /// Show what happened so far.
    ShowPage,
    /// Everything that has happened has been told: drain, write and end.
    Finish(Haste),
    /// The same, once no process is left.
    FinishWhenIdle,
}

/// The request that is served from here on: after the border where there is one, else from when this was
/// heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// This request.
    To(Arc<str>),
    /// No request.
    ToNone,
    /// The same request as before.
    ToTheSame,
}

/// Asks for everything that happened before a moment to be delivered and written.
#[derive(Debug)]
pub struct Flush {
    /// The moment.
    pub until: MonoNs,
    /// The pipeline waits no longer than this.
    pub deadline: MonoNs,
    /// Whether later events belong to the next request, and are held back until [`News::Turn`].
    pub is_border: bool,
    /// When the doorman had told everything that happened before: the pipeline's own note.
    pub told: Option<MonoNs>,
    /// Each party drops its clone when it is done; the requester sees the channel disconnect.
    pub done_tx: Sender<()>,
}

/// An answer of the pipeline to the doorman.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// The ring is read to its end, and no process can write to it any more.
    Drop(RingId),
    /// Everything is drained and written.
    Written,
}
