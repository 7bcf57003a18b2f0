//! What failed, by name: the error, what it was about, and the program.
//!
//! A search ends somewhere: a file or program that is looked for in several folders, and found in one of
//! them, has not failed. Looks for what is not there (stat, access, readlink) are counted alone.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use rustc_hash::{FxHashMap, FxHashSet};
use wire::events::Kind;

use super::table::kept;
use super::tree::with_arguments;
use crate::event::{Batch, Event, Value};
use crate::picture::fields::base;
use crate::picture::{End, Picture, Process};
use crate::sinks::signals;

/// Failures that are counted one by one.
const MOST: usize = 10_000;

/// Failures of calls.
#[derive(Debug, Default)]
pub struct Failures {
    rows: Vec<Failure>,
    /// The place of a row, by the hash of all that it is told by. Programs choose that, so the hash has keys.
    places: FxHashMap<u64, u32>,
    /// The rows of files that were not there, by the hash of the program and the name without folders.
    searches: FxHashMap<u64, Vec<u32>>,
    keys: RandomState,
    /// Those that have no row.
    pub others: u64,
    /// Looks for what is not there.
    pub looks: u64,
}

/// A failure, and how often it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    rank: Rank,
    /// The error's name; the signal, or the status, of a process that ended so.
    pub error: Cow<'static, str>,
    /// The path, address or name.
    pub what: Box<[u8]>,
    /// Whether that is a command, of which the words are apart.
    pub is_command: bool,
    /// The event, where error and name do not say what was asked for.
    pub event: &'static str,
    /// Who it failed for.
    pub program: Box<[u8]>,
    pub times: u64,
    /// Others of which it stands for: see [`folded`].
    pub others: u64,
    /// The last process that it happened to, among those of the picture.
    process: Option<u32>,
}

/// How much a failure matters: the first most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Rank {
    /// Refused, no room, broken, crashed.
    Refused,
    /// A file that is not there, for a process that then said that it failed.
    Cause,
    /// Nobody there.
    Network,
    /// A program that cannot be run.
    Exec,
    /// A process that says that it failed.
    Status,
    /// A file that is not there.
    Missing,
    /// What programs find out so.
    Usual,
}

impl Failures {
    /// The processes of the picture have these places now.
    pub fn renumber(&mut self, places: &[Option<u32>]) {
        for row in &mut self.rows {
            row.process = row.process.and_then(|place| places.get(place as usize).copied().flatten());
        }
    }

    /// Takes an event: one that failed, or one that ends a search.
    pub fn take(&mut self, batch: &Batch, event: &Event, program: &[u8], process: Option<u32>) {
        let what = batch.values(event).iter().find_map(|value| named(batch, event, *value));
        if event.error.is_empty() {
            if let (Kind::FileOpen, Some(path)) = (event.kind, what) {
                self.found(path, program);
            }
            return;
        }
        if is_no_failure(event) {
            return;
        }
        if is_a_look(event) {
            self.looks += 1;
            return;
        }
        let rank = rank(event, what.unwrap_or_default());
        let what = what.unwrap_or(event.kind.name().as_bytes());
        let key = self.keys.hash_one((event.error, event.kind, what, program));
        let place = match self.places.get(&key) {
            Some(place) => *place,
            None if self.rows.len() < MOST => {
                let place = self.rows.len() as u32;
                self.places.insert(key, place);
                let is_plain = matches!(
                    event.kind,
                    Kind::FileOpen | Kind::NetConnect | Kind::NetConnected | Kind::DnsQuery
                ) || what == event.kind.name().as_bytes();
                let name = if is_plain { "" } else { event.kind.name() };
                let (what, program) = (kept(what), kept(program));
                let error = Cow::Borrowed(event.error);
                self.rows.push(Failure {
                    rank,
                    error,
                    what,
                    is_command: false,
                    event: name,
                    program,
                    times: 0,
                    others: 0,
                    process,
                });
                place
            }
            None => {
                self.others += 1;
                return;
            }
        };
        if let Some(row) = self.rows.get_mut(place as usize) {
            row.times += 1;
            row.process = process;
            if row.times == 1 && rank >= Rank::Missing {
                let search = self.keys.hash_one((base(what), program));
                let rows = self.searches.entry(search).or_default();
                if !rows.contains(&place) {
                    rows.push(place);
                }
            }
        }
    }

    /// A program found what it looked for: what it did not find before was the way to it.
    fn found(&mut self, path: &[u8], program: &[u8]) {
        if self.searches.is_empty() {
            return;
        }
        for place in self.searches.remove(&self.keys.hash_one((base(path), program))).unwrap_or_default() {
            if let Some(row) = self.rows.get_mut(place as usize) {
                row.times = 0;
            }
        }
    }

    /// What failed in the end, processes included: what matters most first.
    pub fn sorted(&self, picture: &Picture) -> Vec<Failure> {
        let mut list: Vec<Failure> = self.rows.iter().filter(|row| row.times > 0).cloned().collect();
        // What was refused, or nobody there, says more than a file that is not there.
        let have_a_cause: FxHashSet<u32> = list
            .iter()
            .filter(|row| matches!(row.rank, Rank::Refused | Rank::Network))
            .filter_map(|row| row.process)
            .collect();
        let is_open = |row: &&mut Failure| {
            row.rank == Rank::Missing && row.process.is_none_or(|process| !have_a_cause.contains(&process))
        };
        for row in list.iter_mut().filter(is_open) {
            let process = row.process.and_then(|process| picture.processes().get(process as usize));
            if process.is_some_and(|process| matches!(process.end, End::Code(1..) | End::Signal(_))) {
                row.rank = Rank::Cause;
            }
        }
        list.extend(of_processes(picture.processes()));
        list.sort_by(|one, other| {
            let key = |row: &Failure| (row.rank, Reverse(row.times));
            key(one).cmp(&key(other)).then_with(|| {
                (&one.error, &one.what, &one.program).cmp(&(&other.error, &other.what, &other.program))
            })
        });
        list
    }
}

/// The list with one line for the files that a program missed, and was none the worse for: where there are
/// more than two, the first stands for all.
pub fn folded(list: Vec<Failure>) -> Vec<Failure> {
    let is_folded = |row: &Failure| row.rank == Rank::Missing && row.event.is_empty();
    let mut counts: HashMap<(Cow<'static, str>, Box<[u8]>), u64> = HashMap::new();
    let key = |row: &Failure| (row.error.clone(), row.program.clone());
    for row in list.iter().filter(|row| is_folded(row)) {
        *counts.entry(key(row)).or_default() += 1;
    }
    let mut out = Vec::with_capacity(list.len());
    for mut row in list {
        match counts.get_mut(&key(&row)).filter(|count| is_folded(&row) && **count != 1 && **count != 2) {
            // The first has said it.
            Some(0) => continue,
            Some(count) => row.others = std::mem::take(count) - 1,
            None => {}
        }
        out.push(row);
    }
    out
}

/// Programs that could not be run, and processes that crashed or said that they failed.
fn of_processes(processes: &[Process]) -> impl Iterator<Item = Failure> {
    type Key<'a> = (Rank, Cow<'static, str>, &'a [u8]);
    // What failed, and for whom; the first of each, and how often.
    let mut rows: HashMap<Key<'_>, (Vec<u8>, u64)> = HashMap::new();
    for process in processes {
        if let Some((path, error)) = &process.failure {
            let key = (Rank::Exec, Cow::Borrowed(*error), &**path);
            rows.entry(key).or_insert_with(|| (process.name().to_vec(), 0)).1 += process.failed;
        }
        let (rank, how) = match process.end {
            End::Signal(signal) => (rank_of(signal), Cow::Owned(signals::name(signal.into()))),
            // The exec of a child that failed stands there already.
            End::Code(code) if code != 0 && (process.has_started || process.failure.is_none()) => {
                (Rank::Status, Cow::Owned(format!("exit {code}")))
            }
            _ => continue,
        };
        rows.entry((rank, how, process.name())).or_insert_with(|| (with_arguments(process), 0)).1 += 1;
    }
    rows.into_iter().map(|((rank, error, key), (other, times))| {
        let is_exec = rank == Rank::Exec;
        let (what, program) =
            if is_exec { (key.into(), other.into()) } else { (other.into(), Box::default()) };
        let event = if is_exec { Kind::ProcessExec.name() } else { "" };
        Failure { rank, error, what, is_command: !is_exec, event, program, times, others: 0, process: None }
    })
}

/// A crash matters; to be asked to end does not.
fn rank_of(signal: u64) -> Rank {
    let asks = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGPIPE, libc::SIGALRM];
    if asks.iter().any(|known| *known as u64 == signal) { Rank::Usual } else { Rank::Refused }
}

/// The text that names what an event is about.
fn named<'a>(batch: &'a Batch, event: &Event, value: Value) -> Option<&'a [u8]> {
    match value {
        Value::Text(_) | Value::Path(..) | Value::LexicalPath(..) => batch.text(value),
        _ => None,
    }
    .filter(|text| !text.is_empty() && event.kind != Kind::ProcessCredentials)
}

/// Calls that say "later" or "nothing to do", and execs, which the process knows.
fn is_no_failure(event: &Event) -> bool {
    event.kind == Kind::ProcessExec
        || matches!(event.error, "EAGAIN" | "EINTR" | "EINPROGRESS" | "EALREADY" | "ENOTTY" | "ECHILD")
}

/// Whether a call only asks whether something is there.
fn is_a_look(event: &Event) -> bool {
    matches!(event.kind, Kind::FileStat | Kind::FileAccess | Kind::FileReadlink)
        && matches!(event.error, "ENOENT" | "ENOTDIR" | "EINVAL")
}

fn rank(event: &Event, what: &[u8]) -> Rank {
    match (event.kind, event.error) {
        _ if what.starts_with(b"/dev/tty") => Rank::Usual,
        (Kind::FileMkdir, "EEXIST") | (_, "ENXIO") => Rank::Usual,
        (Kind::FileUnlink | Kind::FileRmdir, "ENOENT") | (Kind::FileXattr, "ENODATA" | "ENOTSUP") => {
            Rank::Usual
        }
        (Kind::NetConnect | Kind::NetConnected | Kind::DnsQuery, _) => Rank::Network,
        (_, "ENOENT" | "ENOTDIR") => Rank::Missing,
        _ => Rank::Refused,
    }
}
