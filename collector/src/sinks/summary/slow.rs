//! Calls that took long: programs that began, children made, connections, look-ups, syncs.

use wire::events::Kind;

use super::table::{Capped, add, kept};
use crate::event::{Batch, Event};
use crate::picture::fields::{Fields, places};

/// Calls that are counted one by one.
const MOST: usize = 4_000;

/// See the module.
#[derive(Debug)]
pub struct SlowCalls {
    at: [Place; 7],
    /// By verb, object and program, each ended by a NUL.
    pub by_call: Capped<Calls>,
}

/// A kind of event that says how long its call took.
#[derive(Clone, Copy, Debug)]
struct Place {
    kind: Kind,
    verb: &'static str,
    /// Its duration; what the call was about, else the name of the call; the name that was known of that.
    duration: usize,
    about: Option<usize>,
    host: Option<usize>,
}

/// Calls of one sort.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    pub times: u64,
    pub all_ns: u64,
    pub slowest_ns: u64,
    /// The name that was known of the object.
    pub host: Box<[u8]>,
}

impl Default for SlowCalls {
    fn default() -> Self {
        let timed = |kind, verb, about: Option<&'static str>, host: Option<&'static str>| {
            let [duration] = places(kind, ["duration_ns"]);
            let [about, host] = [about, host].map(|name| name.map(|name| places(kind, [name])[0]));
            Place { kind, verb, duration, about, host }
        };
        let at = [
            timed(Kind::ProcessStart, "begin", Some("path"), None),
            timed(Kind::ProcessFork, "spawn", None, None),
            timed(Kind::NetConnect, "connect", Some("remote"), Some("host")),
            timed(Kind::NetConnected, "connect", Some("remote"), Some("host")),
            timed(Kind::DnsQuery, "look up", Some("host"), None),
            timed(Kind::DnsReverse, "look up", Some("addr"), None),
            timed(Kind::FileSync, "sync", Some("path"), None),
        ];
        Self { at, by_call: Capped::new(MOST) }
    }
}

impl SlowCalls {
    /// Takes an event, of a process of this program.
    pub fn take(&mut self, batch: &Batch, event: &Event, program: &[u8]) {
        let Some(place) = self.at.iter().find(|place| place.kind == event.kind) else { return };
        let fields = Fields::of(batch, event);
        let duration_ns = fields.number(place.duration);
        if duration_ns == 0 {
            return;
        }
        let about = place.about.and_then(|about| fields.text(about)).unwrap_or(event.call.as_bytes());
        let key = [place.verb.as_bytes(), b"\0", about, b"\0", program].concat();
        let calls = self.by_call.at(&key);
        calls.times += 1;
        add(&mut calls.all_ns, duration_ns);
        calls.slowest_ns = calls.slowest_ns.max(duration_ns);
        if calls.host.is_empty()
            && let Some(host) = place.host.and_then(|host| fields.text(host))
        {
            calls.host = kept(host);
        }
    }
}
