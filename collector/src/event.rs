//! An event as the collector's stages and sinks see it: a common head, and values in the order of the event
//! table.
//!
//! `enrich` fills a [`Batch`]; sinks and `replay` read it. Nothing here knows one event from another: names
//! and order of the values come from `wire::schema`, so an event added to the table needs no line here. A
//! batch owns all its bytes in one buffer, so that an event costs no allocation of its own.

#[cfg(any(test, fuzzing, feature = "nats"))]
mod absorb;
mod alert;
mod asks;
mod background;
mod circumstances;
mod claimed;
pub mod id;
mod program;
mod surroundings;

use std::sync::{Arc, LazyLock};

use wire::events::Kind;
use wire::names::FlagTable;
use wire::record::Via;
use wire::schema::EVENTS;

use crate::container::Container;
use crate::ids::{Pid, ProcessKey, Tid, UtcNs};

pub use alert::{Alert, Found, Rule};
pub use asks::Asks;
pub use background::{Background, Place};
pub use circumstances::{Circumstances, Names};
pub use claimed::Claimed;
pub use id::Origin;
pub use program::{Comm, Facts, Program};
pub use surroundings::{Mount, Pod, Surroundings};

/// A process image as its events show it. Immutable: an exec or a change of identity makes another one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Who {
    /// Its program, and the programs that it descends from.
    pub program: Arc<Program>,
    /// Its parent, in the same namespace as its pid; `None` where no source says.
    pub ppid: Option<Pid>,
    /// Real user id.
    pub uid: Option<u32>,
    /// Effective user id.
    pub euid: Option<u32>,
    /// The pid namespace that the numbers belong to, by its inode (0 if that is unknown), where they could
    /// not be translated into the collector's.
    pub pid_ns: Option<u64>,
    /// The real user id as the process sees it, where that is another number, by the kernel's word.
    pub uid_inside: Option<u32>,
    /// The mount namespace, by its inode, where that is known to be another than the collector's.
    pub mnt_ns: Option<u64>,
    /// The container that it is in; `None` outside of one, and where no source says.
    pub container: Option<Arc<Container>>,
    /// The fields of these that only the process itself says.
    pub claimed: Claimed,
    /// Facts for rules.
    pub circumstances: Circumstances,
    /// The ring that alone says so, where no process of this number was identified: see [`ProcessKey`].
    pub claimant: u64,
}

impl Who {
    /// The process, as the collector sees it unless `pid_ns` is set.
    pub fn pid(&self) -> Pid {
        self.program.pid
    }

    /// The executable; empty where it is unknown.
    pub fn exe(&self) -> &[u8] {
        &self.program.exe
    }

    /// The process among all containers.
    pub fn key(&self) -> ProcessKey {
        ProcessKey { namespace: self.pid_ns, pid: self.pid(), claimant: self.claimant }
    }
}

/// A piece of a batch's bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    at: u32,
    len: u32,
}

/// One field's value.
#[derive(Clone, Copy, Debug, Default)]
pub enum Value {
    /// The field is left out.
    #[default]
    Absent,
    /// A signed number.
    Int(i64),
    /// An unsigned number.
    Uint(u64),
    /// A truth value.
    Bool(bool),
    /// A string of any bytes.
    Text(Span),
    /// A path, and as the caller passed it where that differs.
    Path(Span, Option<Span>),
    /// The same, of a path whose `..` went by the text alone: behind a symbolic link it leads elsewhere.
    LexicalPath(Span, Span),
    /// Strings, each ended by a NUL.
    List(Span),
    /// `NAME=value` strings, each ended by a NUL: an object.
    Map(Span),
    /// A constant's name.
    Word(&'static str),
    /// A set of flags, shown as the list of their names.
    Names(&'static FlagTable, u64),
}

/// One event; its values and bytes lie in the [`Batch`] that holds it.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    /// When.
    pub time: UtcNs,
    /// Which event.
    pub kind: Kind,
    /// Which mechanism saw it; `None` for what the collector makes itself.
    pub via: Option<Via>,
    /// A string was longer than the sensor copies.
    pub is_truncated: bool,
    /// The C function or system call; empty for an event that is none.
    pub call: &'static str,
    /// The name of errno; empty unless the call failed.
    pub error: &'static str,
    /// The sensor's number of the event within its image.
    pub seq: Option<u64>,
    /// The call's return value.
    pub ret: Option<i64>,
    /// The thread; 0 where it is unknown.
    pub tid: Tid,
    /// Its number among those of the batch's origin, from 1; 0 where it has none yet, see [`Batch::number`].
    pub number: u64,
    /// Index into [`Batch::whos`].
    pub who: u32,
    /// Index of the first of its values in the batch.
    pub values_at: u32,
}

/// Events that travel together to the sinks, in the order of their delivery.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The request that was being served when all of them happened, where such a thing is known (AWS Lambda).
    pub request_id: Option<Arc<str>>,
    /// The collector that numbered the events.
    pub origin: Origin,
    /// The name of its machine, where that is another one.
    pub node: Option<Arc<str>>,
    /// The events.
    pub events: Vec<Event>,
    /// The images that the events refer to.
    pub whos: Vec<Arc<Who>>,
    /// What rules say of the events, in their order. A recording does not have them: a replay judges anew.
    pub alerts: Vec<Alert>,
    /// Rules that matched, and of which the alerts are yet to be written.
    pub found: Vec<Found>,
    values: Vec<Value>,
    bytes: Vec<u8>,
}

/// How a text of an event is made up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextKind {
    /// One text.
    Plain,
    /// Strings, each ended by a NUL.
    List,
    /// `NAME=value` strings, each ended by a NUL.
    Map,
}

/// How an event's kind shows: its name and its fields', in the order of its values.
#[derive(Debug)]
pub struct Shape {
    /// `noun.verb`.
    pub name: &'static str,
    /// The fields' names.
    pub fields: Vec<&'static str>,
}

/// Kinds are numbered from 1; all are below this.
const KINDS: usize = 256;

static SHAPES: LazyLock<Vec<Option<Shape>>> = LazyLock::new(|| {
    let mut shapes: Vec<Option<Shape>> = Vec::new();
    shapes.resize_with(KINDS, || None);
    for spec in EVENTS {
        let fields = spec.fields().map(|field| field.name()).collect();
        shapes[spec.kind as usize] = Some(Shape { name: spec.name, fields });
    }
    shapes
});

impl Shape {
    /// The shape of `kind`; an empty one for a record that is no event.
    pub fn of(kind: Kind) -> &'static Self {
        static NONE: Shape = Shape { name: "", fields: Vec::new() };
        SHAPES.get(kind as usize).and_then(Option::as_ref).unwrap_or(&NONE)
    }

    /// The place of the field called `name` among an event's values.
    ///
    /// # Panics
    /// If the table has no such field: the name is a literal of ours, and a test calls every caller.
    pub fn place(kind: Kind, name: &str) -> usize {
        let place = Self::of(kind).fields.iter().position(|field| *field == name);
        place.unwrap_or_else(|| panic!("{} has no field {name}", kind.name()))
    }
}

impl Batch {
    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Bytes of memory that its contents take.
    pub fn size_bytes(&self) -> usize {
        let alerts: usize = self.alerts.iter().map(Alert::size_bytes).sum();
        let events = self.events.len() * size_of::<Event>() + self.values.len() * size_of::<Value>();
        events + self.bytes.len() + alerts
    }

    /// Bytes of memory that it takes, with the room for more that it has.
    pub fn taken_bytes(&self) -> usize {
        let events = self.events.capacity() * size_of::<Event>();
        events + self.values.capacity() * size_of::<Value>() + self.bytes.capacity()
    }

    /// Empties it and keeps its memory.
    pub fn clear(&mut self) {
        self.request_id = None;
        self.origin = Origin::NONE;
        self.node = None;
        self.events.clear();
        self.whos.clear();
        self.alerts.clear();
        self.found.clear();
        self.values.clear();
        self.bytes.clear();
    }

    /// Numbers the events, unless a collector has done so before.
    pub fn number(&mut self) {
        if self.origin == Origin::NONE {
            self.origin = Origin::here();
            let first = id::take(self.events.len() as u64);
            for (number, event) in (first..).zip(&mut self.events) {
                event.number = number;
            }
        }
    }

    /// The image that `event` belongs to.
    pub fn who(&self, event: &Event) -> &Who {
        &self.whos[event.who as usize]
    }

    /// The event's values, in the order of [`Shape::fields`].
    pub fn values(&self, event: &Event) -> &[Value] {
        let at = event.values_at as usize;
        &self.values[at..at + Shape::of(event.kind).fields.len()]
    }

    /// The value of the field called `name`; absent if the event has no such field.
    #[cfg(test)]
    pub fn value(&self, event: &Event, name: &str) -> Value {
        let fields = &Shape::of(event.kind).fields;
        fields
            .iter()
            .position(|field| *field == name)
            .map_or(Value::Absent, |place| self.values(event)[place])
    }

    /// The text of a string, path or word; `None` for anything else.
    pub fn text(&self, value: Value) -> Option<&[u8]> {
        match value {
            Value::Text(span) | Value::Path(span, _) | Value::LexicalPath(span, _) => Some(self.bytes(span)),
            Value::Word(word) => Some(word.as_bytes()),
            _ => None,
        }
    }

    /// The bytes of a span.
    pub fn bytes(&self, span: Span) -> &[u8] {
        let at = span.at as usize;
        &self.bytes[at..at + span.len as usize]
    }

    /// The strings of a list.
    pub fn strings(&self, span: Span) -> impl Iterator<Item = &[u8]> {
        let packed = self.bytes(span);
        let most = if packed.is_empty() { 0 } else { usize::MAX };
        packed.strip_suffix(&[0]).unwrap_or(packed).split(|byte| *byte == 0).take(most)
    }

    /// Adds an event whose values are all absent; gives its place.
    pub fn push(&mut self, mut event: Event) -> usize {
        event.values_at = self.values.len() as u32;
        self.values.resize(self.values.len() + Shape::of(event.kind).fields.len(), Value::Absent);
        self.events.push(event);
        self.events.len() - 1
    }

    /// Takes back what came after its first `events` events, when it took `size_bytes`.
    pub fn truncate(&mut self, events: usize, size_bytes: usize) {
        let Some(first) = self.events.get(events) else { return };
        self.values.truncate(first.values_at as usize);
        self.events.truncate(events);
        self.bytes.truncate(size_bytes.saturating_sub(self.size_bytes() - self.bytes.len()));
    }

    /// Sets the value at `place` of the event pushed last.
    #[inline]
    pub fn set(&mut self, place: usize, value: Value) {
        if let Some(event) = self.events.last()
            && let Some(slot) = self.values.get_mut(event.values_at as usize + place)
        {
            *slot = value;
        }
    }

    /// Sets the value at `place` of an event.
    pub fn set_of(&mut self, event: usize, place: usize, value: Value) {
        if let Some(event) = self.events.get(event)
            && let Some(slot) = self.values.get_mut(event.values_at as usize + place)
        {
            *slot = value;
        }
    }

    /// Puts what `change` gives in the place of the events' texts; it gives `None` for one that stays.
    pub fn change_texts(&mut self, mut change: impl FnMut(TextKind, &[u8]) -> Option<Vec<u8>>) {
        for index in 0..self.events.len() {
            let Some(event) = self.events.get(index) else { return };
            let at = event.values_at as usize;
            for place in at..at + Shape::of(event.kind).fields.len() {
                let value = self.values[place];
                let mut changed = |kind, span| self.changed(kind, span, &mut change);
                let value = match value {
                    Value::Text(span) => Value::Text(changed(TextKind::Plain, span)),
                    Value::Path(span, raw) => {
                        let path = changed(TextKind::Plain, span);
                        Value::Path(path, raw.map(|raw| changed(TextKind::Plain, raw)))
                    }
                    Value::LexicalPath(span, raw) => {
                        let path = changed(TextKind::Plain, span);
                        Value::LexicalPath(path, changed(TextKind::Plain, raw))
                    }
                    Value::List(span) => Value::List(changed(TextKind::List, span)),
                    Value::Map(span) => Value::Map(changed(TextKind::Map, span)),
                    _ => continue,
                };
                self.values[place] = value;
            }
        }
    }

    fn changed(
        &mut self,
        kind: TextKind,
        span: Span,
        change: &mut impl FnMut(TextKind, &[u8]) -> Option<Vec<u8>>,
    ) -> Span {
        let text = change(kind, self.bytes(span));
        text.map_or(span, |text| self.keep(&text))
    }

    /// Copies `bytes` in.
    #[inline]
    pub fn keep(&mut self, bytes: &[u8]) -> Span {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        Span { at: at as u32, len: bytes.len() as u32 }
    }

    /// Lets `write` append to the bytes, and gives what it appended.
    #[inline]
    pub fn keep_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Span {
        let at = self.bytes.len();
        write(&mut self.bytes);
        Span { at: at as u32, len: (self.bytes.len() - at) as u32 }
    }
}

#[cfg(test)]
pub mod sample {
    //! Events for the tests of sinks, JSON and recordings.

    use super::*;
    use wire::names;

    /// A process that events can belong to.
    pub fn who() -> Arc<Who> {
        let shell = Program::new(Pid(4100), b"/bin/sh"[..].into(), b"sh\0-c\0cat x\0"[..].into(), None);
        let cat = b"/usr/bin/cat"[..].into();
        Arc::new(Who {
            program: Program::new(Pid(4121), cat, b"cat\0x\0"[..].into(), Some(shell)),
            ppid: Some(Pid(4100)),
            uid: Some(1000),
            euid: Some(0),
            ..Who::default()
        })
    }

    /// A process of this number, parent and executable, without arguments.
    pub fn who_of(pid: u32, ppid: u32, exe: &[u8]) -> Arc<Who> {
        let program = Program::new(Pid(pid), exe.into(), Arc::default(), None);
        Arc::new(Who { program, ppid: Some(Pid(ppid)), ..(*who()).clone() })
    }

    /// The same in a container.
    pub fn who_in(container: &Arc<Container>) -> Arc<Who> {
        Arc::new(Who { container: Some(Arc::clone(container)), ..(*who()).clone() })
    }

    /// A container with this id and name.
    pub fn container(id: &str, name: &str) -> Arc<Container> {
        let mut container = Container::with_id(id);
        container.set(1, name);
        Arc::new(container)
    }

    /// An event head of `kind`, with everything a call has.
    pub fn head(kind: Kind) -> Event {
        Event {
            time: UtcNs(1_700_000_000_123_456_789),
            kind,
            via: Some(Via::Symbol),
            is_truncated: false,
            call: "openat",
            error: "",
            seq: Some(7),
            ret: Some(3),
            tid: Tid(4121),
            number: 0,
            who: 0,
            values_at: 0,
        }
    }

    /// One event of every kind, each with as many values as it has fields, of every type.
    pub fn every_kind() -> Batch {
        let mut batch = Batch { whos: vec![who()], ..Batch::default() };
        for spec in EVENTS {
            batch.push(head(spec.kind));
            for place in 0..Shape::of(spec.kind).fields.len() {
                let text = batch.keep(b"/a\xff\"b\\x41\n\xe2\x80\xae\xc2\x9b");
                let list = batch.keep(b"one\0\0thr\xe2\x81\xa6ee\0");
                let map = batch.keep(b"A=1\0B\0");
                let values = [
                    Value::Text(text),
                    Value::Int(-1),
                    Value::Uint(u64::MAX),
                    Value::Bool(true),
                    Value::List(list),
                    Value::Map(map),
                    Value::Word("AF_INET"),
                    Value::Names(&names::OPEN, 0o2_000_101),
                    Value::Path(text, None),
                    Value::Path(text, Some(list)),
                    Value::LexicalPath(text, list),
                    Value::Absent,
                ];
                batch.set(place, values[(place + spec.kind as usize) % values.len()]);
            }
        }
        batch
    }
}
