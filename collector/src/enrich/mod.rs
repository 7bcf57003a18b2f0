//! The enricher: from a record to an event. Paths become absolute, descriptors and addresses get names.
//!
//! The pipeline calls it with records in their final order. [`process::Process`] is the picture of one
//! process at that moment; the [`Enricher`] writes events into the batch that goes to the stages next. Values
//! follow the event table, so only fields that an event needs beyond its own record stand here by name.
//!
//! | file | |
//! |---|---|
//! | `record` | a record of each kind: its event, and its mark on the picture |
//! | `sockets`, `peers` | the network's kinds |
//! | `closes` | descriptors that close |
//! | `values` | fields as values |
//! | `blind` | programs that cannot be seen into |
//! | `process`, `descriptors` | the picture |
//! | `threads` | threads with a directory or descriptors of their own |
//! | `standpoints` | the user and the mount namespace |
//! | `noted` | descriptors by the kernel's word, of processes that it notifies of |
//! | `spawned` | the file actions of posix_spawn |
//! | `walks` | `..` as the kernel walks it |
//! | `moves` | names that change while files are open |
//! | `circumstances` | directory, group and names, for rules |
//! | `requests` | the request that was served at a time (AWS Lambda) |

mod addresses;
pub mod blind;
mod circumstances;
mod closes;
pub mod descriptors;
mod durations;
pub mod hosts;
mod moves;
mod noted;
pub mod paths;
mod peers;
mod places;
pub mod process;
pub mod record;
pub mod requests;
mod sockets;
mod spawned;
mod standpoints;
mod threads;
mod values;
mod walks;

use std::net::SocketAddr;
use std::sync::Arc;

use wire::events::{Kind, ProcessStart};
use wire::record::{Flags, Head, Via};

use crate::evasion::Evidence;
use crate::event::{Batch, Claimed, Event, Value, Who};
use crate::ids::{ImageId, MonoNs, Tid, UtcNs};
use crate::loss::LossReason;
use crate::system::clock::Clock;
use crate::system::users::Users;

use paths::Moved;
use places::Places;
use process::Process;
use requests::Requests;
use walks::Root;

/// Writes events.
#[derive(Debug)]
pub struct Enricher {
    /// Where events go.
    pub batch: Batch,
    batch_number: u64,
    /// Full batches that come before it: a batch holds events of one request only.
    sealed: Vec<Batch>,
    /// Which request was served when.
    pub requests: Requests,
    /// Turns the sensors' times into UTC.
    pub clock: Clock,
    places: Places,
    /// Names of users.
    users: Users,
    /// Calls' names by number: the table's own look-up walks two lists.
    calls: Vec<&'static str>,
    text: Vec<u8>,
    moved: Option<Moved>,
}

impl Default for Enricher {
    fn default() -> Self {
        Self {
            batch: Batch::default(),
            batch_number: 1,
            sealed: Vec::new(),
            requests: Requests::default(),
            clock: Clock::sample(),
            places: Places::default(),
            users: Users::default(),
            calls: Vec::new(),
            text: Vec::new(),
            moved: None,
        }
    }
}

/// The end of a process: how, and its two ledgers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exit {
    /// As waitpid(2) gives it; `None` where it cannot be known.
    pub wait_status: Option<i32>,
    /// Processor time in user mode.
    pub user_ns: Option<u64>,
    /// Processor time in the kernel.
    pub system_ns: Option<u64>,
    /// Largest resident set, bytes.
    pub max_rss: Option<u64>,
    /// Time spent in the sensor.
    pub sensor_ns: u64,
    /// Hooked calls.
    pub calls: u64,
    /// Events delivered.
    pub events: u64,
    /// Events lost.
    pub lost: u64,
}

/// Finds out whether the paths of a process that tells of no start begin at the collector's own root.
pub fn find_root(process: &mut Process) {
    let root = root_of(process);
    process.walks.begin_at(root);
}

/// The root of a program that tells of its start. One that is gone by now has that of the image before it, or
/// else its parent's, unless it is a container's.
fn root_of(process: &Process) -> Root {
    let Some(pid) = process.visible_pid() else { return Root::Own };
    let (account, begun) = (process.account(), MonoNs::now());
    if !account.has_time_to_ask(begun) {
        return Root::Own;
    }
    let is_known = process.who.container.is_none() && !process.who.claimed.has(Claimed::PPID);
    let parent = process.who.ppid.filter(|_| is_known && !process.has_our_root());
    let known = || parent.and_then(|parent| walks::root_of(parent.0));
    let found = walks::root_of(pid).or_else(known);
    account.asked(begun, MonoNs::now());
    found.unwrap_or_else(|| process.walks.root())
}

/// A place between two events.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mark {
    batch: u64,
    events: usize,
    bytes: usize,
}

impl Enricher {
    /// Puts `empty` in place of the batch and gives the filled one.
    pub fn take_batch(&mut self, mut empty: Batch) -> Batch {
        self.batch_number += 1;
        empty.request_id.clone_from(&self.batch.request_id);
        std::mem::replace(&mut self.batch, empty)
    }

    /// The end of what was written so far.
    pub fn mark(&self) -> Mark {
        let (events, bytes) = (self.batch.events.len(), self.batch.size_bytes());
        Mark { batch: self.batch_number, events, bytes }
    }

    /// Bytes that were written since `mark`, as far as they have not gone on.
    pub fn written_since(&self, mark: Mark) -> usize {
        let before = if mark.batch == self.batch_number { mark } else { Mark::default() };
        self.batch.size_bytes().saturating_sub(before.bytes)
    }

    /// Takes back what was written since `mark`, as far as it has not gone on.
    pub fn take_back(&mut self, mark: Mark) {
        let Mark { events, bytes, .. } = if mark.batch == self.batch_number { mark } else { Mark::default() };
        self.batch.truncate(events, bytes);
    }

    /// The batches that come before the one that [`Self::take_batch`] gives.
    pub fn take_sealed(&mut self) -> Vec<Batch> {
        std::mem::take(&mut self.sealed)
    }

    /// Fills `spare`, an empty batch, in place of the present one, which is empty too.
    pub fn reuse(&mut self, mut spare: Batch) {
        spare.request_id.clone_from(&self.batch.request_id);
        self.batch = spare;
    }

    /// Makes sure that the next event, which happened at `at`, is in a batch of its request.
    #[inline]
    fn turn_to(&mut self, at: MonoNs) {
        if self.requests.at(at) != self.batch.request_id.as_ref() {
            let request_id = self.requests.at(at).cloned();
            if !self.batch.is_empty() {
                let sealed = self.take_batch(Batch::default());
                self.sealed.push(sealed);
            }
            self.batch.request_id = request_id;
        }
    }

    fn list(&mut self, process: &mut Process) -> u32 {
        if process.listed.0 != self.batch_number {
            process.complete(&mut self.users);
            process.listed = (self.batch_number, self.batch.whos.len() as u32);
            self.batch.whos.push(Arc::clone(&process.who));
            process.is_told_of = true;
        }
        process.listed.1
    }

    fn call(&mut self, number: u16) -> &'static str {
        let index = usize::from(number);
        if index >= self.calls.len() {
            let known = self.calls.len();
            self.calls.extend((known..=index).map(|id| hook_table::name(id as u16).unwrap_or("")));
        }
        self.calls[index]
    }

    /// Says that only the process itself says `fields` of the event written last.
    pub fn mark_claimed(&mut self, fields: Claimed) {
        let whos = &mut self.batch.whos;
        let Some(event) = self.batch.events.last_mut() else { return };
        let Some(who) = whos.get(event.who as usize) else { return };
        let claimed = who.claimed.and(fields);
        let marked = Arc::new(Who { claimed, ..(**who).clone() });
        event.who = whos.len() as u32;
        whos.push(marked);
    }

    /// Says which child the `process.fork` written last tells of; none where its number is not known.
    pub fn set_child(&mut self, child: Option<i32>) {
        let value = child.map_or(Value::Absent, |child| Value::Int(child.into()));
        self.batch.set(self.places.fork_child, value);
    }

    /// Says which process the event written last is about, of a kind that has a `target`; none where its
    /// number is not known.
    pub fn set_target(&mut self, kind: Kind, target: Option<i32>) {
        let place = match kind {
            Kind::ProcessTrace => self.places.trace_target,
            Kind::ProcessLimit => self.places.limit_target,
            _ => self.places.signal_target,
        };
        self.batch.set(place, target.map_or(Value::Absent, |target| Value::Int(target.into())));
    }

    /// Begins an event that the collector makes itself.
    fn begin(&mut self, process: &mut Process, kind: Kind, at: MonoNs) {
        self.turn_to(at);
        let event = Event {
            time: UtcNs(self.clock.utc_ns(at.0)),
            kind,
            via: None,
            is_truncated: false,
            call: "",
            error: "",
            seq: None,
            ret: None,
            tid: process.who.pid().main_thread(),
            who: self.list(process),
            number: 0,
            values_at: 0,
        };
        self.batch.push(event);
    }

    /// Begins the event of a record.
    fn begin_from(&mut self, process: &mut Process, head: &Head, kind: Kind, at: MonoNs) {
        self.turn_to(at);
        let is_returned = head.flags & Flags::RETURNED != 0;
        let call = self.call(head.call);
        let event = Event {
            time: UtcNs(self.clock.utc_ns(at.0)),
            kind,
            via: Via::from_byte(head.via),
            is_truncated: head.flags & Flags::TRUNCATED != 0,
            call,
            error: values::error_of(head, kind, call),
            seq: (head.flags & Flags::STAMPED != 0).then_some(head.seq),
            ret: is_returned.then_some(head.ret),
            tid: Tid(head.tid).shown(),
            who: self.list(process),
            number: 0,
            values_at: 0,
        };
        self.batch.push(event);
    }

    /// The picture of a program that tells of its start; `before` is the image that it follows in the same
    /// process, or the process that it was forked from.
    pub fn start(
        &mut self,
        start: &ProcessStart<'_>,
        who: Who,
        owner: ImageId,
        before: Option<&Process>,
    ) -> Process {
        let mut process = match before {
            Some(before) => before.fork(who, owner),
            None => Process::new(who, owner),
        };
        if !start.cwd.is_empty() {
            self.text.clear();
            paths::resolve(b"/", start.cwd, &mut self.text);
            process.change_directory(&self.text);
            process.is_cwd_physical = true;
        }
        process.walks.begin_at(root_of(&process));
        process
    }

    /// Reports that events of a process were lost.
    pub fn lost(&mut self, process: &mut Process, at: MonoNs, count: u64, reason: LossReason) {
        self.begin(process, Kind::SensorLoss, at);
        self.batch.set(self.places.loss_count, Value::Uint(count));
        self.batch.set(self.places.loss_reason, Value::Word(reason.name()));
    }

    /// Reports that a process got past its hooks, or took them away, `count` times.
    pub fn evaded(&mut self, process: &mut Process, at: MonoNs, evidence: &Evidence, count: u64) {
        self.begin(process, Kind::SensorEvasion, at);
        if let Some(event) = self.batch.events.last_mut() {
            event.call = evidence.call;
        }
        let (places, place) = (self.places.evasion, &evidence.place);
        if place.addr != 0 {
            self.batch.set(places.addr, Value::Uint(place.addr));
        }
        self.set_text(places.mapping, (!place.mapping.is_empty()).then_some(&place.mapping));
        self.set_text(places.module, (!place.module.is_empty()).then_some(&place.module));
        self.batch.set(places.reason, Value::Word(evidence.reason.name()));
        self.batch.set(places.count, Value::Uint(count));
    }

    /// Reports the end of a process.
    pub fn exited(&mut self, process: &mut Process, at: MonoNs, exit: &Exit) {
        self.begin(process, Kind::ProcessExit, at);
        let places = self.places.exit;
        let status = exit.wait_status;
        match status {
            Some(status) if libc::WIFSIGNALED(status) => {
                self.batch.set(places.signal, Value::Int(i64::from(libc::WTERMSIG(status))));
            }
            Some(status) => self.batch.set(places.code, Value::Int(i64::from(libc::WEXITSTATUS(status)))),
            None => self.batch.set(places.cause, Value::Word("unknown")),
        }
        let or_absent = |value: Option<u64>| value.map_or(Value::Absent, Value::Uint);
        self.batch.set(places.user_ns, or_absent(exit.user_ns));
        self.batch.set(places.system_ns, or_absent(exit.system_ns));
        self.batch.set(places.max_rss, or_absent(exit.max_rss));
        self.batch.set(places.sensor_ns, Value::Uint(exit.sensor_ns));
        self.batch.set(places.calls, Value::Uint(exit.calls));
        self.batch.set(places.events, Value::Uint(exit.events));
        self.batch.set(places.lost, Value::Uint(exit.lost));
    }

    fn set_text(&mut self, place: usize, text: Option<&[u8]>) {
        if let Some(text) = text {
            let span = self.batch.keep(text);
            self.batch.set(place, Value::Text(span));
        }
    }

    /// The text at `place` of the event written last; `None` where it is absent or empty.
    fn text_shown(&self, place: usize) -> Option<&[u8]> {
        let event = self.batch.events.last()?;
        let value = *self.batch.values(event).get(place)?;
        self.batch.text(value).filter(|text| !text.is_empty())
    }

    /// The peer of the `net.connect` written last, where it has an IP address.
    pub fn last_remote(&self) -> Option<SocketAddr> {
        let text = std::str::from_utf8(self.text_shown(self.places.connect_remote)?).ok()?;
        let address: SocketAddr = text.parse().ok()?;
        // Programs with sockets of both families have IPv4 addresses inside IPv6's.
        Some(SocketAddr::new(address.ip().to_canonical(), address.port()))
    }
}
