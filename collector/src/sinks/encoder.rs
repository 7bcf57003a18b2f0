//! Formats. An [`Encoder`] makes bytes of events; it lives in the thread of its output and knows no file. A
//! [`Format`] is its row in the table that `-o`, its help and the table tests come from.

use std::ffi::OsString;
use std::time::Instant;

use super::carrier::kind::{Kind, Only, Takes};
use super::carrier::service::Service;
use super::framing::{Found, Framing};
use super::look::{Look, Show};
use crate::event::Batch;

/// A format of `-o`: one constant beside each encoder.
#[derive(Debug)]
pub struct Format {
    /// The name that is typed.
    pub name: &'static str,
    /// Its line of `--help`.
    pub help: &'static str,
    pub framing: Framing,
    /// The kinds of places that it can go to.
    pub reaches: &'static [Kind],
    /// Which of events and alerts it has, where a user may choose.
    pub holds: &'static [Only],
    /// What can be asked for of a text for people: names of options.
    pub shows: &'static [&'static str],
    /// How it is spoken over HTTP, where it is.
    pub service: Option<&'static Service>,
    /// Makes an encoder.
    pub build: fn(&Plan) -> Box<dyn Encoder>,
}

impl PartialEq for Format {
    /// By name: a test keeps names apart.
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Format {}

/// The circumstances that an encoder is made for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// How a text for people looks there.
    pub look: Look,
    /// What is asked for of such a text.
    pub show: Show,
    /// The name of the kind of place: parcels for syslog are other ones than those for HTTP.
    pub kind: &'static str,
    /// Whether lines, or parcels, are wanted.
    pub takes: Takes,
    /// The place as its kind spells it.
    pub place: OsString,
    /// Which of events and alerts are wanted; both where there is none.
    pub only: Option<Only>,
    /// The name of the cluster, where one is given.
    pub cluster: Option<String>,
}

impl Plan {
    /// Whether events are wanted.
    pub fn has_events(&self) -> bool {
        self.only != Some(Only::Alerts)
    }

    /// Whether alerts are wanted.
    pub fn has_alerts(&self) -> bool {
        self.only != Some(Only::Events)
    }
}

/// Makes bytes of batches.
pub trait Encoder: Send {
    /// Appends the beginning of an output, or whatever has to stand between `found` and the next batch.
    fn begin(&mut self, _found: Found, _out: &mut Vec<u8>) {}
    /// Appends the text of a batch. An encoder may also keep it until the end.
    fn batch(&mut self, batch: &Batch, out: &mut Vec<u8>);
    /// When it wants to [`Self::flush`]; `None` where it holds nothing back that a reader lacks.
    fn due_at(&self) -> Option<Instant> {
        None
    }
    /// Appends what it holds back.
    fn flush(&mut self, _out: &mut Vec<u8>) {}
    /// Appends the end of a part, which can be read by itself; another part begins with [`Self::begin`]. What
    /// is one page stays one.
    fn part(&mut self, _out: &mut Vec<u8>) {}
    /// Appends the end of an output.
    fn end(&mut self, _facts: &RunFacts, _out: &mut Vec<u8>) {}
}

/// Facts for the end of an output that no event has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunFacts {
    /// Collectors of this run that died before this one.
    pub restarts: u32,
    /// Processor time of the collector, nanoseconds; 0 where it was not measured.
    pub collector_ns: u64,
    /// CMD could not be executed, which the launcher says: there is nothing to tell.
    pub is_without_command: bool,
}
