//! The `summary` sink: gathers what happened while it happens, and says it in a page at the end.
//!
//! Memory is bounded, however long the session: every table has a limit, beyond which only sums grow. What is
//! gathered comes from events alone, so that a `replay` gives the summary that the run gave.

mod page;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::HashMap;

use rustc_hash::FxHashMap;
use wire::events::Kind;

use super::text::{self, Style};
use super::{RunFacts, Sink};
use crate::event::{Batch, Event, Shape, Value};

use tree::{End, Ended, Tree};

/// Paths that are counted one by one.
const MOST_PATHS: usize = 10_000;
/// Addresses and names that are counted one by one, of each sort.
const MOST_PEERS: usize = 2_000;
/// Causes of loss that are told apart, by process.
const MOST_LOSSES: usize = 256;
/// Kinds of events are numbered below this.
const KINDS: usize = 256;
/// Names of errors that are told apart.
const MOST_ERRORS: usize = 32;

/// Gathers what a session did.
#[derive(Debug)]
pub struct Summary {
    style: Style,
    at: Places,
    first_ns: u64,
    last_ns: u64,
    kinds: Vec<u64>,
    tree: Tree,
    /// The process of each image of the batch at hand, once it was looked up.
    nodes: Vec<Option<u32>>,
    files: Files,
    net: Net,
    losses: FxHashMap<(&'static str, u32), Loss>,
    lost: u64,
    cost: Cost,
    blind: Capped<Blind>,
    notable: FxHashMap<Kind, Notable>,
}

/// Files, by what was done with them.
#[derive(Debug)]
struct Files {
    by_path: Capped<FileUse>,
    opened: u64,
    failed: u64,
    errors: Errors,
    /// Changes of names: removed, renamed and so on, with the first of each.
    changes: FxHashMap<Kind, Notable>,
}

/// What was done with a file.
#[derive(Clone, Copy, Debug, Default)]
struct FileUse {
    opens: u64,
    bytes_read: u64,
    reads: u64,
    bytes_written: u64,
    writes: u64,
    /// Times that it was made or emptied, which writes it also where no call did: through a mapping, or by nothing.
    made: u64,
}

impl FileUse {
    /// Bytes and calls, where it was read.
    fn read(&self) -> Option<(u64, u64)> {
        (self.reads > 0).then_some((self.bytes_read, self.reads))
    }

    /// Bytes and calls, where it was written.
    fn written(&self) -> Option<(u64, u64)> {
        (self.writes > 0 || self.made > 0).then_some((self.bytes_written, self.writes))
    }
}

/// The network, by address.
#[derive(Debug)]
struct Net {
    listening: Capped<Listener>,
    accepted: Capped<Traffic>,
    peers: Capped<Traffic>,
    names: Capped<Lookup>,
}

/// Who listens at an address.
#[derive(Clone, Debug, Default)]
struct Listener {
    program: Box<[u8]>,
    is_datagram: bool,
}

/// Connections with an address.
#[derive(Clone, Debug, Default)]
struct Traffic {
    connections: u64,
    failed: u64,
    error: &'static str,
    host: Box<[u8]>,
    program: Box<[u8]>,
    sent: u64,
    received: u64,
}

/// Look-ups of a name.
#[derive(Clone, Debug, Default)]
struct Lookup {
    queries: u64,
    failed: u64,
    error: &'static str,
    answers: Box<[u8]>,
}

/// Events lost by a process for one reason.
#[derive(Clone, Debug, Default)]
struct Loss {
    count: u64,
    program: Box<[u8]>,
}

/// Times that something ran that cannot be seen into, and the last reason.
#[derive(Clone, Debug, Default)]
struct Blind {
    times: u64,
    reason: &'static str,
}

/// How often something happened that deserves a look, and the first time.
#[derive(Clone, Debug, Default)]
struct Notable {
    times: u64,
    program: Box<[u8]>,
    first: Box<[u8]>,
}

/// What processes that ended used.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    processes: u64,
    sensor_ns: u64,
    calls: u64,
    processor_ns: u64,
}

/// Counts by name of an error; there are few.
#[derive(Debug, Default)]
struct Errors(Vec<(&'static str, u64)>);

impl Errors {
    fn count(&mut self, error: &'static str) {
        if let Some((_, count)) = self.0.iter_mut().find(|(known, _)| *known == error) {
            *count += 1;
        } else if self.0.len() < MOST_ERRORS {
            self.0.push((error, 1));
        }
    }
}

/// A table by text that stops growing; what has no place in it is summed up in one value.
///
/// Hashed with keys of this process: the text is what programs choose.
#[derive(Debug)]
struct Capped<V> {
    places: HashMap<Box<[u8]>, u32>,
    values: Vec<V>,
    most: usize,
    others: V,
    has_others: bool,
}

impl<V: Default> Capped<V> {
    fn new(most: usize) -> Self {
        Self { places: HashMap::new(), values: Vec::new(), most, others: V::default(), has_others: false }
    }

    /// The value of `key`, made if there is room, else that of all others.
    fn at(&mut self, key: &[u8]) -> &mut V {
        let known = self.places.get(key).copied();
        let place = match known {
            Some(place) => place as usize,
            None if self.values.len() < self.most => {
                self.places.insert(key.into(), self.values.len() as u32);
                self.values.push(V::default());
                self.values.len() - 1
            }
            None => usize::MAX,
        };
        match self.values.get_mut(place) {
            Some(value) => value,
            None => {
                self.has_others = true;
                &mut self.others
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The value of `key`, if it has one.
    fn known(&mut self, key: &[u8]) -> Option<&mut V> {
        self.values.get_mut(*self.places.get(key)? as usize)
    }

    fn iter(&self) -> impl Iterator<Item = (&[u8], &V)> {
        self.places.iter().filter_map(|(key, place)| Some((&**key, self.values.get(*place as usize)?)))
    }
}

/// Where the fields that are looked at stand among an event's values.
#[derive(Clone, Copy, Debug)]
struct Places {
    start: [usize; 3],
    exec: [usize; 1],
    exit: [usize; 7],
    open: [usize; 2],
    file_close: [usize; 5],
    listen: [usize; 1],
    bind: [usize; 3],
    connect: [usize; 2],
    accept: [usize; 1],
    net_close: [usize; 4],
    dns: [usize; 2],
    map: [usize; 1],
    chmod: [usize; 1],
    loss: [usize; 2],
    blind: [usize; 2],
}

impl Default for Places {
    fn default() -> Self {
        Self {
            start: places(Kind::ProcessStart, ["argv", "path", "coverage"]),
            exec: places(Kind::ProcessExec, ["path"]),
            exit: places(
                Kind::ProcessExit,
                ["code", "signal", "user_ns", "system_ns", "sensor_ns", "calls", "lost"],
            ),
            open: places(Kind::FileOpen, ["path", "flags"]),
            file_close: places(Kind::FileClose, ["path", "bytes_read", "reads", "bytes_written", "writes"]),
            listen: places(Kind::NetListen, ["local"]),
            bind: places(Kind::NetBind, ["local", "type", "family"]),
            connect: places(Kind::NetConnect, ["remote", "host"]),
            accept: places(Kind::NetAccept, ["local"]),
            net_close: places(Kind::NetClose, ["remote", "local", "bytes_sent", "bytes_received"]),
            dns: places(Kind::DnsQuery, ["host", "answers"]),
            map: places(Kind::MemoryMap, ["prot"]),
            chmod: places(Kind::FileChmod, ["mode"]),
            loss: places(Kind::SensorLoss, ["count", "reason"]),
            blind: places(Kind::SensorBlind, ["path", "reason"]),
        }
    }
}

fn places<const N: usize>(kind: Kind, names: [&str; N]) -> [usize; N] {
    names.map(|name| Shape::place(kind, name))
}

/// The numbers and texts of one event, by place.
#[derive(Clone, Copy)]
struct Fields<'a> {
    batch: &'a Batch,
    values: &'a [Value],
}

impl<'a> Fields<'a> {
    fn value(self, place: usize) -> Value {
        self.values.get(place).copied().unwrap_or_default()
    }

    fn number(self, place: usize) -> u64 {
        self.number_if(place).unwrap_or(0)
    }

    fn number_if(self, place: usize) -> Option<u64> {
        match self.value(place) {
            Value::Uint(number) => Some(number),
            Value::Int(number) => u64::try_from(number).ok(),
            _ => None,
        }
    }

    fn text(self, place: usize) -> Option<&'a [u8]> {
        self.batch.text(self.value(place))
    }

    fn word(self, place: usize) -> &'static str {
        match self.value(place) {
            Value::Word(word) => word,
            _ => "",
        }
    }

    fn list(self, place: usize) -> &'a [u8] {
        match self.value(place) {
            Value::List(span) => self.batch.bytes(span),
            _ => &[],
        }
    }
}

impl Summary {
    /// A sink in this style.
    pub fn new(style: Style) -> Self {
        Self {
            style,
            at: Places::default(),
            first_ns: u64::MAX,
            last_ns: 0,
            kinds: vec![0; KINDS],
            tree: Tree::default(),
            nodes: Vec::new(),
            files: Files {
                by_path: Capped::new(MOST_PATHS),
                opened: 0,
                failed: 0,
                errors: Errors::default(),
                changes: FxHashMap::default(),
            },
            net: Net {
                listening: Capped::new(MOST_PEERS),
                accepted: Capped::new(MOST_PEERS),
                peers: Capped::new(MOST_PEERS),
                names: Capped::new(MOST_PEERS),
            },
            losses: FxHashMap::default(),
            lost: 0,
            cost: Cost::default(),
            blind: Capped::new(MOST_PEERS),
            notable: FxHashMap::default(),
        }
    }

    /// The process that an event belongs to; `None` once there are too many.
    fn node(&mut self, batch: &Batch, event: &Event) -> Option<u32> {
        let slot = self.nodes.get_mut(event.who as usize)?;
        if slot.is_none() {
            *slot = self.tree.find(batch.who(event), event.time.0);
        }
        *slot
    }

    fn event(&mut self, batch: &Batch, event: &Event) {
        if let Some(count) = self.kinds.get_mut(event.kind as usize) {
            *count += 1;
        }
        // Not all are in order: the ends that a death brings have its time.
        self.first_ns = self.first_ns.min(event.time.0);
        self.last_ns = self.last_ns.max(event.time.0);
        let fields = Fields { batch, values: batch.values(event) };
        let has_failed = !event.error.is_empty();
        if event.kind == Kind::SensorLoss {
            // Of an output that was too slow for the collector, which is none of the processes.
            return self.lost(batch, event, fields);
        }
        let node = self.node(batch, event);
        match event.kind {
            Kind::FileOpen => self.opened(event, fields),
            Kind::FileClose => self.file_closed(fields),
            Kind::NetClose => self.net_closed(fields),
            Kind::NetConnect => self.connected(batch, event, fields),
            Kind::NetAccept if !has_failed => {
                let [local] = self.at.accept;
                self.net.accepted.at(fields.text(local).unwrap_or(b"?")).connections += 1;
            }
            Kind::NetListen if !has_failed => {
                let [local] = self.at.listen;
                self.listening(batch, event, fields.text(local).unwrap_or(b"?"), false);
            }
            Kind::NetBind if !has_failed => self.bound(batch, event, fields),
            Kind::DnsQuery => self.resolved(event, fields),
            Kind::ProcessStart => {
                let [argv, path, coverage] = self.at.start;
                let who = batch.who(event);
                let exe =
                    if who.exe().is_empty() { fields.text(path).unwrap_or_default() } else { who.exe() };
                self.tree.started(node, exe, fields.list(argv));
                if !matches!(fields.word(coverage), "" | "hooked") {
                    self.tree.blind(node, fields.word(coverage));
                }
            }
            Kind::ProcessExec if has_failed => {
                let [path] = self.at.exec;
                self.tree.failed(node, fields.text(path).unwrap_or_default(), event.error);
            }
            Kind::ProcessExit => self.exited(event, node, fields),
            Kind::SensorBlind => {
                let [path, reason] = self.at.blind;
                let path = fields.text(path).unwrap_or(batch.who(event).exe());
                let blind = self.blind.at(path);
                blind.times += 1;
                blind.reason = fields.word(reason);
                self.tree.blind(node, fields.word(reason));
            }
            Kind::FileUnlink | Kind::FileRmdir | Kind::FileRename | Kind::FileMkdir if !has_failed => {
                note(self.files.changes.entry(event.kind).or_default(), batch, event);
            }
            Kind::MemoryMap if is_writable_code(fields.value(self.at.map[0])) => {
                note(self.notable.entry(event.kind).or_default(), batch, event);
            }
            Kind::FileChmod if fields.number(self.at.chmod[0]) & 0o6000 != 0 => {
                note(self.notable.entry(event.kind).or_default(), batch, event);
            }
            Kind::ProcessTrace
            | Kind::ProcessNamespace
            | Kind::ProcessCredentials
            | Kind::KernelModule
            | Kind::KernelBpf
            | Kind::KernelUserfaultfd
            | Kind::KernelIoUring
            | Kind::SensorEvasion => note(self.notable.entry(event.kind).or_default(), batch, event),
            _ => {}
        }
    }

    fn opened(&mut self, event: &Event, fields: Fields<'_>) {
        if !event.error.is_empty() {
            self.files.failed += 1;
            self.files.errors.count(event.error);
            return;
        }
        self.files.opened += 1;
        let [path, flags] = self.at.open;
        if let Some(path) = fields.text(path) {
            let file = self.files.by_path.at(path);
            file.opens += 1;
            file.made += u64::from(makes_or_empties(fields.value(flags)));
        }
    }

    fn file_closed(&mut self, fields: Fields<'_>) {
        let [path, bytes_read, reads, bytes_written, writes] = self.at.file_close;
        let used = [bytes_read, reads, bytes_written, writes].map(|place| fields.number(place));
        let path = fields.text(path).filter(|path| path.starts_with(b"/"));
        if let (Some(path), true) = (path, used != [0; 4]) {
            let file = self.files.by_path.at(path);
            add(&mut file.bytes_read, used[0]);
            add(&mut file.reads, used[1]);
            add(&mut file.bytes_written, used[2]);
            add(&mut file.writes, used[3]);
        }
    }

    fn listening(&mut self, batch: &Batch, event: &Event, local: &[u8], is_datagram: bool) {
        let listener = self.net.listening.at(local);
        listener.is_datagram = is_datagram;
        if listener.program.is_empty() {
            listener.program = text::base(batch.who(event).exe()).into();
        }
    }

    /// A datagram socket with a port of its own waits for peers as a listening one does.
    fn bound(&mut self, batch: &Batch, event: &Event, fields: Fields<'_>) {
        let [local, kind, family] = self.at.bind;
        if fields.word(kind) == "SOCK_DGRAM"
            && matches!(fields.word(family), "AF_INET" | "AF_INET6")
            && let Some(local) = fields.text(local).filter(|local| !local.ends_with(b":0"))
        {
            self.listening(batch, event, local, true);
        }
    }

    fn connected(&mut self, batch: &Batch, event: &Event, fields: Fields<'_>) {
        let [remote, host] = self.at.connect;
        // Netlink and the like are no peers.
        let Some(remote) = fields.text(remote).filter(|remote| !remote.starts_with(b"AF_")) else { return };
        let peer = self.net.peers.at(remote);
        if event.error.is_empty() {
            peer.connections += 1;
        } else {
            peer.failed += 1;
            peer.error = event.error;
        }
        if let Some(host) = fields.text(host)
            && *peer.host != *host
        {
            peer.host = host.into();
        }
        if peer.program.is_empty() {
            peer.program = text::base(batch.who(event).exe()).into();
        }
    }

    fn net_closed(&mut self, fields: Fields<'_>) {
        let [remote, local, sent, received] = self.at.net_close;
        let (sent, received) = (fields.number(sent), fields.number(received));
        if sent == 0 && received == 0 {
            return;
        }
        let Net { peers, accepted, .. } = &mut self.net;
        let peer = fields.text(remote).and_then(|remote| peers.known(remote));
        if let Some(traffic) = peer.or_else(|| accepted.known(fields.text(local).unwrap_or(b"?"))) {
            add(&mut traffic.sent, sent);
            add(&mut traffic.received, received);
        }
    }

    fn resolved(&mut self, event: &Event, fields: Fields<'_>) {
        let [host, answers] = self.at.dns;
        let Some(host) = fields.text(host).filter(|host| !host.is_empty()) else { return };
        let name = self.net.names.at(host);
        name.queries += 1;
        if !event.error.is_empty() {
            name.failed += 1;
            name.error = event.error;
        }
        let answers = fields.list(answers);
        if !answers.is_empty() && *name.answers != *answers {
            name.answers = answers.into();
        }
    }

    fn exited(&mut self, event: &Event, node: Option<u32>, fields: Fields<'_>) {
        let [code, signal, user, system, sensor, calls, lost] = self.at.exit;
        let how = match (fields.number_if(code), fields.number_if(signal)) {
            (Some(code), _) => End::Code(code),
            (None, Some(signal)) => End::Signal(signal),
            (None, None) => End::Unknown,
        };
        let (sensor_ns, calls) = (fields.number(sensor), fields.number(calls));
        let processor_ns = fields.number(user).saturating_add(fields.number(system));
        self.cost.processes += 1;
        add(&mut self.cost.sensor_ns, sensor_ns);
        add(&mut self.cost.calls, calls);
        add(&mut self.cost.processor_ns, processor_ns);
        self.tree.ended(node, Ended { how, time_ns: event.time.0, sensor_ns, lost: fields.number(lost) });
    }

    fn lost(&mut self, batch: &Batch, event: &Event, fields: Fields<'_>) {
        let [count, reason] = self.at.loss;
        let (count, reason) = (fields.number(count), fields.word(reason));
        add(&mut self.lost, count);
        let who = batch.who(event);
        if self.losses.len() < MOST_LOSSES || self.losses.contains_key(&(reason, who.pid().0)) {
            let loss = self.losses.entry((reason, who.pid().0)).or_default();
            add(&mut loss.count, count);
            loss.program = text::base(who.exe()).into();
        }
    }
}

/// Adds what a program, or a file, says of itself: no sum of it may overflow.
fn add(sum: &mut u64, number: u64) {
    *sum = sum.saturating_add(number);
}

/// The sum of such numbers.
fn sum(numbers: impl Iterator<Item = u64>) -> u64 {
    numbers.fold(0, u64::saturating_add)
}

/// Memory that is writable and executable at once.
fn is_writable_code(prot: Value) -> bool {
    const WRITE_AND_EXEC: u64 = 6;
    matches!(prot, Value::Names(_, bits) if bits & WRITE_AND_EXEC == WRITE_AND_EXEC)
}

/// Whether these flags of open(2) make a file or empty it.
fn makes_or_empties(flags: Value) -> bool {
    const O_CREAT_OR_O_TRUNC: u64 = (libc::O_CREAT | libc::O_TRUNC) as u64;
    matches!(flags, Value::Names(_, bits) if bits & O_CREAT_OR_O_TRUNC != 0)
}

/// Counts something that deserves a look; keeps who did it first, and the first text that the event has.
fn note(notable: &mut Notable, batch: &Batch, event: &Event) {
    if notable.times == 0 {
        notable.program = text::base(batch.who(event).exe()).into();
        let first = batch.values(event).iter().find_map(|value| batch.text(*value));
        notable.first = first.unwrap_or_default().into();
    }
    notable.times += 1;
}

impl Sink for Summary {
    fn batch(&mut self, batch: &Batch, _out: &mut Vec<u8>) {
        self.nodes.clear();
        self.nodes.resize(batch.whos.len(), None);
        for event in &batch.events {
            self.event(batch, event);
        }
    }

    fn end(&mut self, facts: &RunFacts, out: &mut Vec<u8>) {
        page::write(self, facts, out);
    }
}
