//! `otlp`: events and alerts as log records of OpenTelemetry, by OTLP over HTTP with Protocol Buffers.
//!
//! ```text
//! names (what a field is called) → record ┐
//! resource (machine, container, process) ─┴→ message (bytes) → parcels → service (how HTTP is spoken)
//! ```
//! A parcel is a request of its own with a resource for each container. What all records of a process or a
//! container have in common is encoded once and copied.

mod field;
mod message;
mod names;
mod resource;
mod service;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use rules::file::Priority;
use wire::events::Kind;

use self::field::Field;
use self::message::{ATTRIBUTES, Any, attribute, list};
use self::names::Form;
use self::resource::Process;
use super::carrier::http;
use super::carrier::kind::Only;
use super::encoder::{Encoder, Format, Plan};
use super::framing::Framing;
use super::reading::{Given, base, by_kind, places};
use super::{parcel, reading};
use crate::container::Container;
use crate::event::{Alert, Batch, Event, Shape, Who, id};
use crate::system::clock::{self, TimeWriter};

/// The answer of a receiver.
#[cfg(fuzzing)]
pub fn fuzz(bytes: &[u8]) {
    let refused = message::refused(bytes);
    assert!(refused.is_none_or(|(count, _)| count > 0));
}

/// The row of the table.
pub const FORMAT: Format = Format {
    name: "otlp",
    help: "events and alerts as OpenTelemetry's log records",
    framing: Framing::Parcels,
    reaches: &[http::CARRIER],
    holds: &Only::ALL,
    shows: &[],
    service: Some(&service::SERVICE),
    build: |plan| Box::new(Otlp::new(plan)),
};

/// Records of one parcel, bytes; the next one begins a new parcel.
const PARCEL_BYTES: usize = 128 << 10;
/// Process images whose attributes are kept.
const MOST_KNOWN: usize = 256;
/// Bytes of a body's text.
const LONGEST_BODY: usize = 256;

/// Severities of the data model of logs (`SeverityNumber`).
const INFO: u64 = 9;
const WARN: u64 = 13;
const ERROR: u64 = 17;

/// Writes records.
pub struct Otlp {
    only: Option<Only>,
    machine: BTreeMap<String, String>,
    /// How the fields of each kind are called.
    kinds: Vec<Option<Kinds>>,
    known: Vec<(Arc<Who>, Process)>,
    groups: Vec<Group>,
    time: TimeWriter,
    record: Vec<u8>,
    attributes: Vec<u8>,
}

/// A kind of event.
struct Kinds {
    event_name: String,
    /// Each field with its attribute.
    fields: Vec<(&'static str, String, Form)>,
    /// The fields that the body shows, and those that a socket's transport is told by.
    places: reading::Places,
}

/// What a body shows, the first that an event has, and `family`.
const SHOWN: [&str; 5] = ["path", "remote", "host", "what", "target"];
const FAMILY: usize = SHOWN.len();

/// The records of one container in a parcel.
struct Group {
    container: Option<Arc<Container>>,
    resource: Vec<u8>,
    records: Vec<u8>,
}

impl Otlp {
    fn new(plan: &Plan) -> Self {
        Self::with(plan.only, |name| std::env::var(name).ok())
    }

    fn with(only: Option<Only>, variable: impl Fn(&str) -> Option<String>) -> Self {
        let kinds = |kind: Kind| Kinds {
            event_name: format!("glassbox.{}", kind.name()),
            fields: Shape::of(kind).fields.iter().map(|field| names::of(kind.name(), field)).collect(),
            places: places(kind, SHOWN.into_iter().chain(["family"])),
        };
        Self {
            only,
            machine: resource::of_machine(variable),
            kinds: by_kind(kinds),
            known: Vec::new(),
            groups: Vec::new(),
            time: TimeWriter::default(),
            record: Vec::new(),
            attributes: Vec::new(),
        }
    }
}

impl Encoder for Otlp {
    fn batch(&mut self, batch: &Batch, out: &mut Vec<u8>) {
        let observed = clock::utc_now_ns();
        let mut alerts = batch.alerts.iter().peekable();
        let (mut events, mut len) = (0, 0);
        for (place, event) in batch.events.iter().enumerate() {
            let given = Given::new(batch, event);
            let Some(Some(_)) = self.kinds.get(event.kind as usize) else { continue };
            self.attributes_of(&given);
            if self.only != Some(Only::Alerts) {
                len += self.event(&given, observed);
                events += 1;
            }
            while let Some(alert) = alerts.next_if(|alert| alert.event <= place) {
                if alert.event == place && self.only != Some(Only::Events) {
                    len += self.alert(&given, alert, observed);
                    // An alert goes with its event, and is lost with it.
                    events += u32::from(self.only == Some(Only::Alerts));
                }
            }
            if len >= PARCEL_BYTES {
                self.parcel(std::mem::take(&mut events), out);
                len = 0;
            }
        }
        if len > 0 {
            self.parcel(events, out);
        }
    }
}

impl Otlp {
    /// Appends the records so far as a parcel.
    fn parcel(&mut self, events: u32, out: &mut Vec<u8>) {
        parcel::append(b"", b"", events, out, |out| {
            for group in &self.groups {
                message::message(message::RESOURCE_LOGS, out, |out| {
                    message::message(message::RESOURCE, out, |out| out.extend_from_slice(&group.resource));
                    message::message(message::SCOPE_LOGS, out, |out| {
                        message::message(message::SCOPE, out, |out| {
                            message::bytes(message::SCOPE_NAME, b"glassbox", out);
                            message::bytes(message::SCOPE_VERSION, env!("CARGO_PKG_VERSION").as_bytes(), out);
                        });
                        out.extend_from_slice(&group.records);
                    });
                });
            }
        });
        self.groups.clear();
    }

    /// Notes the attributes that the event's record and its alerts' have in common.
    fn attributes_of(&mut self, given: &Given<'_>) {
        let Given { batch, event, who, .. } = *given;
        let mut out = std::mem::take(&mut self.attributes);
        out.clear();
        let is_start = event.kind == Kind::ProcessStart;
        let process = self.process(who);
        out.extend_from_slice(&process.always);
        if !is_start {
            out.extend_from_slice(&process.later);
        }
        let texts = [
            ("glassbox.call", event.call),
            ("glassbox.via", event.via.map_or("", wire::record::Via::name)),
            ("error.type", event.error),
            ("faas.invocation_id", batch.request_id.as_deref().unwrap_or_default()),
        ];
        for (name, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
            attribute(ATTRIBUTES, name.as_bytes(), Any::Text(text.as_bytes()), &mut out);
        }
        let thread = Some(i64::from(event.tid.0)).filter(|tid| *tid != 0);
        let seq = event.seq.and_then(|seq| i64::try_from(seq).ok());
        for (name, number) in [("thread.id", thread), ("glassbox.seq", seq), ("glassbox.ret", event.ret)] {
            if let Some(number) = number {
                attribute(ATTRIBUTES, name.as_bytes(), Any::Int(number), &mut out);
            }
        }
        if event.is_truncated {
            attribute(ATTRIBUTES, b"glassbox.truncated", Any::Bool(true), &mut out);
        }
        if let Some(Some(kind)) = self.kinds.get(event.kind as usize) {
            let family = given.at(kind.places).text(FAMILY).unwrap_or_default();
            for ((field, name, form), value) in kind.fields.iter().zip(batch.values(event)) {
                Field { batch, field, name, form: *form, family }.write(*value, &mut self.time, &mut out);
            }
        }
        self.attributes = out;
    }

    fn process(&mut self, who: &Arc<Who>) -> &Process {
        let place = match self.known.iter().rposition(|(known, _)| Arc::ptr_eq(known, who)) {
            Some(place) => place,
            None => {
                if self.known.len() >= MOST_KNOWN {
                    self.known.clear();
                }
                self.known.push((Arc::clone(who), Process::of(who)));
                self.known.len() - 1
            }
        };
        &self.known[place].1
    }

    /// Adds the record of an event; gives its bytes.
    fn event(&mut self, given: &Given<'_>, observed: u64) -> usize {
        let event = given.event;
        let (severity, text) = match event.kind {
            Kind::SensorEvasion => (ERROR, "ERROR"),
            Kind::SensorLoss | Kind::SensorBlind => (WARN, "WARN"),
            _ => (INFO, "INFO"),
        };
        let mut uid = Vec::new();
        id::write(given.batch.origin, event.number, &mut uid);
        let Some(Some(kind)) = self.kinds.get(event.kind as usize) else { return 0 };
        let body = body(given, kind);
        let name = kind.event_name.clone();
        let head = Head { name: name.as_bytes(), severity, text, body: &body, uid: &uid, observed };
        self.add(given, &head, |_| {})
    }

    /// Adds the record of an alert; gives its bytes.
    fn alert(&mut self, given: &Given<'_>, alert: &Alert, observed: u64) -> usize {
        let event = given.event;
        let Alert { rule, output, .. } = alert;
        let mut uid = Vec::new();
        id::write_alert(given.batch.origin, event.number, &rule.name, &mut uid);
        let (severity, text) = (severity(rule.priority), rule.priority.name());
        let head = Head {
            name: b"glassbox.alert",
            severity,
            text,
            body: output.message.as_bytes(),
            uid: &uid,
            observed,
        };
        self.add(given, &head, |out| {
            for (name, value) in [
                ("glassbox.event", event.kind.name()),
                ("glassbox.rule.name", &*rule.name),
                ("glassbox.rule.priority", rule.priority.name()),
                ("glassbox.rule.source", &*rule.source),
            ] {
                attribute(ATTRIBUTES, name.as_bytes(), Any::Text(value.as_bytes()), out);
            }
            list(ATTRIBUTES, "glassbox.rule.tags", rule.tags.iter().map(String::as_bytes), out);
            let mut event_id = Vec::new();
            id::write(given.batch.origin, event.number, &mut event_id);
            attribute(ATTRIBUTES, b"glassbox.event_id", Any::Text(&event_id), out);
        })
    }

    /// Adds a record to the group of its container; gives its bytes.
    fn add(&mut self, given: &Given<'_>, head: &Head<'_>, more: impl FnOnce(&mut Vec<u8>)) -> usize {
        let mut record = std::mem::take(&mut self.record);
        record.clear();
        message::message(message::LOG_RECORDS, &mut record, |out| {
            message::time(message::TIME, given.event.time.0, out);
            message::time(message::OBSERVED_TIME, head.observed, out);
            message::number(message::SEVERITY_NUMBER, head.severity, out);
            message::bytes(message::SEVERITY_TEXT, head.text.as_bytes(), out);
            message::bytes(message::EVENT_NAME, head.name, out);
            message::any(message::BODY, Any::Text(head.body), out);
            attribute(ATTRIBUTES, b"log.record.uid", Any::Text(head.uid), out);
            more(out);
            out.extend_from_slice(&self.attributes);
        });
        let len = record.len();
        self.group(given.who).records.extend_from_slice(&record);
        self.record = record;
        len
    }

    fn group(&mut self, who: &Who) -> &mut Group {
        let is_same = |group: &Group| match (&group.container, &who.container) {
            (None, None) => true,
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            _ => false,
        };
        let place = match self.groups.iter().position(is_same) {
            Some(place) => place,
            None => {
                let mut resource = Vec::new();
                let (container, pod) = (who.container.as_deref(), who.circumstances.pod.as_deref());
                resource::of_container(&self.machine, container, pod, &mut resource);
                self.groups.push(Group { container: who.container.clone(), resource, records: Vec::new() });
                self.groups.len() - 1
            }
        };
        &mut self.groups[place]
    }
}

/// What records have besides attributes.
struct Head<'a> {
    name: &'a [u8],
    severity: u64,
    text: &'a str,
    body: &'a [u8],
    uid: &'a [u8],
    observed: u64,
}

/// `SeverityNumber` of a priority, by the ranges of the data model: WARN 13 to 16, ERROR 17 to 20, FATAL 21.
fn severity(priority: Priority) -> u64 {
    match priority {
        Priority::Emergency => 21,
        Priority::Alert => 19,
        Priority::Critical => 18,
        Priority::Error => ERROR,
        Priority::Warning => WARN,
        Priority::Notice => 10,
        Priority::Informational => INFO,
        Priority::Debug => 5,
    }
}

/// One line for a person: the program, the event, what it is about, and the error.
fn body(given: &Given<'_>, kind: &Kinds) -> Vec<u8> {
    let event: &Event = given.event;
    let mut body = base(given.who.exe()).to_vec();
    if !body.is_empty() {
        body.push(b' ');
    }
    body.extend_from_slice(event.kind.name().as_bytes());
    let shown = given.at(kind.places);
    if let Some(about) = (0..SHOWN.len()).find_map(|field| shown.text(field)) {
        body.push(b' ');
        body.extend_from_slice(reading::cut(about, LONGEST_BODY));
    }
    if !event.error.is_empty() {
        body.push(b' ');
        body.extend_from_slice(event.error.as_bytes());
    }
    body
}
