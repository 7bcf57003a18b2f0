//! The trait of carriers, and the row of their table.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use super::service::Service;
use crate::shell::failure::Failure;
use crate::sinks::framing::{Found, Framing};
use crate::sinks::look::{Show, Surface};

/// A kind of place that outputs go to: one constant beside each implementation.
#[derive(Debug)]
pub struct Kind {
    /// Its name.
    pub name: &'static str,
    /// How a user types its destinations, for `--help` and messages.
    pub help: &'static str,
    /// The place that a DEST means, in a spelling that means the same from every directory; `None` where the
    /// DEST is of another kind. Kinds are asked in the order of the table.
    pub place: fn(&OsStr) -> Option<Result<OsString, Failure>>,
    /// The place as messages name it, in one line.
    pub shown: fn(&OsStr) -> String,
    /// Whether a second output would overwrite the first one at this place.
    pub is_exclusive: fn(&OsStr) -> bool,
    /// What a text for people is laid out for.
    pub surface: fn() -> Surface,
    /// Whether it takes a stream of bytes, or parcels.
    pub takes: Takes,
    /// Opens the place for writing. Fails with status 73 and a remedy.
    pub open: fn(&Wanted<'_>) -> Result<Opened, Failure>,
}

/// What a kind of place takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Takes {
    /// Bytes, as they come.
    #[default]
    Stream,
    /// Whole parcels, see [`crate::sinks::parcel`].
    Parcels,
}

/// An output that is to be opened.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// As messages call it: `jsonl to '/x'`.
    pub name: &'a str,
    /// In the kind's own spelling.
    pub place: &'a OsStr,
    /// What stands behind it.
    pub options: &'a Options,
    /// Whether it begins.
    pub opening: Opening,
    /// How its bytes are divided.
    pub framing: Framing,
    /// How its format is spoken over HTTP.
    pub service: Option<&'static Service>,
}

/// What stands behind the destination of one output; the table in [`super::options`] says how it is typed.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Options {
    /// The permissions of a file.
    pub mode: Option<u32>,
    /// When a file is put aside.
    pub rotation: Rotation,
    /// Only events, or only alerts.
    pub only: Option<Only>,
    /// The condition that events must meet.
    pub filter: Option<String>,
    /// The directory where what a receiver could not take waits.
    pub spool: Option<PathBuf>,
    /// Bytes that wait there at most.
    pub spool_max: Option<u64>,
    /// Where the headers of requests stand.
    pub headers: Option<OsString>,
    /// Certificates of the authorities that a receiver's certificate may come from, instead of the system's.
    pub ca: Option<PathBuf>,
    /// The certificate that this side shows.
    pub cert: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
    /// How long a receiver may take for one request, milliseconds.
    pub timeout_ms: Option<u64>,
    /// The file, or `env:` and the variable, with the user and password for a broker.
    pub creds: Option<OsString>,
    /// The cluster that a broker's subjects name.
    pub cluster: Option<String>,
    /// How a text for people looks.
    pub show: Show,
}

/// When a file is put aside, and for how long it stays then.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Rotation {
    /// Once it has so many bytes.
    pub bytes: Option<u64>,
    /// Once it is so old, seconds; it is deleted after the same time again.
    pub age_s: Option<u64>,
    /// So many stay.
    pub keep: Option<u64>,
}

impl Rotation {
    /// Whether files are put aside at all.
    pub fn is_on(self) -> bool {
        self != Self::default()
    }
}

/// Which of events and alerts an output gets, where not both.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Only {
    /// Only events.
    Events,
    /// Only alerts.
    Alerts,
}

impl Only {
    /// Both, by their names.
    pub const ALL: [Self; 2] = [Self::Events, Self::Alerts];

    /// As it is typed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Alerts => "alerts",
        }
    }
}

impl PartialEq for Kind {
    /// By name: a test keeps names apart.
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Kind {}

/// Whether an output begins, or goes on where a collector that died left it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Opening {
    /// A file is made or emptied.
    Fresh,
    /// A file is appended to.
    Resumed,
}

/// A place that was opened.
pub struct Opened {
    pub carrier: Box<dyn Carrier>,
    pub found: Found,
    /// Bytes that wait in its spool, where it has one.
    pub spooled: Option<Arc<AtomicU64>>,
}

impl Opened {
    /// A place without a spool.
    pub fn plain(carrier: Box<dyn Carrier>, found: Found) -> Self {
        Self { carrier, found, spooled: None }
    }
}

/// Brings bytes to where they go.
///
/// An implementation promises:
///
/// 1. The thread of its output alone calls it, and it may block there. Nothing else waits for it: meanwhile
///    the queue fills, and events that find no room are counted, and reported in the output.
/// 2. It removes from the front of `bytes` the pieces (lines, frames) that it has written or given up, and
///    counts each event of these once: as written, or as lost.
/// 3. It is given the rest of `bytes` again, at `retry_at` or a little later. If it leaves a rest and names
///    no time, the events of the rest are lost.
/// 4. An error without `retry_at` is the end: it is not called again, and all later events are lost.
/// 5. Dropping it closes the place.
/// 6. After a [`Carrier::renew`] that gives something, bytes go to the old place until [`Carrier::switch`].
pub trait Carrier: Send {
    /// Carries `bytes`, which stand for `events` events.
    fn carry(&mut self, bytes: &mut Vec<u8>, events: u64) -> Carried;

    /// Until when it would rather wait for more than these `bytes` bytes; `None` where it takes them now.
    fn lingers(&self, _bytes: usize) -> Option<Instant> {
        None
    }

    /// So many bytes are carried at once, about.
    fn enough_bytes(&self) -> usize {
        256 << 10
    }

    /// Opens the place anew for what follows, after an error too; gives how it was found. `None` where there
    /// is nothing to open: the same thing stands there, or it is no place that can be opened twice.
    fn renew(&mut self, _why: Renewal) -> Result<Option<Found>, Failure> {
        Ok(None)
    }

    /// Lets what follows go to the place that was opened last.
    fn switch(&mut self) {}

    /// When it wants to be renewed by itself; `None` for never.
    fn due_at(&self) -> Option<Instant> {
        None
    }

    /// Waits a little until what it has taken has left this machine, where it would otherwise go later.
    fn flush(&mut self) {}

    /// Ends it, before it is dropped; what it still has on its way may take a little more time. Of the result
    /// only `taken_back` counts.
    fn close(&mut self) -> Carried {
        Carried::default()
    }
}

/// Why a place is opened anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// The user asked for it (SIGHUP): another program may have renamed the file.
    Asked,
    /// It was due.
    Due,
}

/// The result of [`Carrier::carry`], which also says how the carrier stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// Events that arrived.
    pub written: u64,
    /// Events that the place refused.
    pub lost: u64,
    /// Events that were counted as written by an earlier call, and were refused afterwards.
    pub taken_back: u64,
    /// The time of the next try, for the rest.
    pub retry_at: Option<Instant>,
    /// The reason why not all was written.
    pub error: Option<String>,
}
