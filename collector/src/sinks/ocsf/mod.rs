//! `ocsf`: events and alerts as objects of the Open Cybersecurity Schema Framework, one a line.
//!
//! ```text
//! rows (which activity, which parts) → parts, files, network (attributes) ─┐
//! known (process, container, machine: written once) ──────────────────────┴→ a line
//! ```
//! An event is what its row says, an alert a Detection Finding with its event as evidence. Whatever has no
//! attribute stands in `unmapped` under the name that docs/events.md has for it. Bytes that are not UTF-8 are
//! written as in [`crate::json`].

mod class;
mod files;
mod finding;
mod known;
mod members;
mod mitre;
mod network;
mod parts;
mod rows;
mod surroundings;
#[cfg(test)]
mod tests;

use self::class::Activity;
use self::known::{Context, Lately, Machine};
use self::members::{number, text};
use self::parts::{Field, Part};
use self::rows::{ROWS, Row};
use super::carrier;
use super::carrier::kind::Only;
use super::encoder::{Encoder, Format};
use super::framing::{Found, Framing};
use super::reading::{Given, Places, by_kind, places};
use crate::event::{Alert, Batch, Shape, id};
use crate::json::{as_passed, field, key, signed};
use crate::system::clock::TimeWriter;

/// The row of the table.
pub const FORMAT: Format = Format {
    name: "ocsf",
    help: "events and alerts as OCSF 1.7.0, one JSON object a line",
    framing: Framing::Lines,
    reaches: carrier::LINES,
    holds: &Only::ALL,
    shows: &[],
    service: None,
    build: |plan| Box::new(Ocsf { only: plan.only, ..Ocsf::default() }),
};

/// Writes events and alerts.
pub struct Ocsf {
    only: Option<Only>,
    lines: Lines,
    lately: Lately,
    /// By the number of the kind.
    rows: Vec<Option<Prepared>>,
}

/// What lines have in common.
struct Lines {
    machine: Machine,
    time: TimeWriter,
    /// The id of the line at hand.
    uid: Vec<u8>,
}

/// A row with the places of its fields.
struct Prepared {
    row: &'static Row,
    reads: Places,
    cases: Vec<PreparedCase>,
}

struct PreparedCase {
    activity: Activity,
    /// The members that say which activity it is.
    members: String,
    parts: Vec<(&'static Part, Places)>,
    /// The fields that stand in attributes of the event, and of the evidence, as bits by their place.
    taken: Taken,
    taken_as_evidence: Taken,
}

/// Fields by their place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Taken(u64);

impl Taken {
    fn of<'a>(parts: impl Iterator<Item = &'a (&'static Part, Places)>) -> Self {
        let mut taken = Self::default();
        for (part, places) in parts {
            for (field, place) in part.fields.iter().zip(places) {
                if let (Field::Takes(_), Some(bit)) = (field, 1_u64.checked_shl(u32::from(*place))) {
                    taken.0 |= bit;
                }
            }
        }
        taken
    }

    fn has(self, place: usize) -> bool {
        self.0 >> place & 1 != 0
    }
}

impl Default for Ocsf {
    fn default() -> Self {
        let prepared = |kind| {
            let row = ROWS.iter().find(|row| row.kind == kind)?;
            let reads = places(kind, row.reads.iter().copied());
            let case = |case: &'static rows::Case| {
                let at =
                    |part: &'static Part| (part, places(kind, part.fields.iter().map(|field| field.name())));
                let parts: Vec<(&'static Part, Places)> = case.parts.iter().map(at).collect();
                PreparedCase {
                    activity: case.activity,
                    members: case.activity.members(),
                    taken: Taken::of(parts.iter()),
                    taken_as_evidence: Taken::of(parts.iter().filter(|(part, _)| part.is_evidence)),
                    parts,
                }
            };
            Some(Prepared { row, reads, cases: row.cases.iter().map(case).collect() })
        };
        let lines = Lines { machine: Machine::this(), time: TimeWriter::default(), uid: Vec::new() };
        Self {
            only: None,
            lines,
            lately: Lately::default(),
            rows: by_kind(prepared).into_iter().map(Option::flatten).collect(),
        }
    }
}

impl Encoder for Ocsf {
    fn begin(&mut self, found: Found, out: &mut Vec<u8>) {
        if found == Found::Torn {
            out.push(b'\n');
        }
    }

    fn batch(&mut self, batch: &Batch, out: &mut Vec<u8>) {
        let Self { only, lines, lately, rows } = self;
        // Alerts stand in the order of their events, each behind its own.
        let mut alerts = batch.alerts.iter().peekable();
        for (place, event) in batch.events.iter().enumerate() {
            let Some(Some(prepared)) = rows.get(event.kind as usize) else { continue };
            let given = Given::new(batch, event);
            let chosen = (prepared.row.choose)(&given.at(prepared.reads));
            let Some(case) = prepared.cases.get(chosen) else { continue };
            let known = lately.known(given.who);
            if *only != Some(Only::Alerts) {
                lines.event(&given, prepared.row, case, known, out);
            }
            while let Some(alert) = alerts.next_if(|alert| alert.event <= place) {
                if alert.event == place && *only != Some(Only::Events) {
                    lines.alert(&given, alert, case, known, out);
                }
            }
        }
    }
}

impl Lines {
    fn event(
        &mut self,
        given: &Given<'_>,
        row: &Row,
        case: &PreparedCase,
        known: &known::Known,
        out: &mut Vec<u8>,
    ) {
        use wire::events::Kind;
        let event = given.event;
        self.uid.clear();
        id::write(given.batch.origin, event.number, &mut self.uid);
        self.head(given, known, event.kind.name(), out);
        if !event.error.is_empty() {
            out.extend_from_slice(b",\"status_id\":2,\"status\":\"Failure\"");
            text("status_code", event.error.as_bytes(), out);
        } else if event.ret.is_some() {
            out.extend_from_slice(b",\"status_id\":1,\"status\":\"Success\"");
        }
        out.extend_from_slice(case.members.as_bytes());
        number("severity_id", row.severity.into(), out);
        let is_start = event.kind == Kind::ProcessStart;
        known.actor(event.tid, is_start, event.kind == Kind::ProcessExit, out);
        let context = Context { machine: &self.machine, known };
        for (part, places) in &case.parts {
            (part.write)(&given.at(*places), &context, out);
        }
        out.extend_from_slice(b",\"unmapped\":{");
        unmapped(given, case.taken, known, out);
        // An empty object says nothing.
        if out.ends_with(b"{") {
            out.truncate(out.len() - b",\"unmapped\":{".len());
        } else {
            out.push(b'}');
        }
        out.extend_from_slice(b"}\n");
    }

    fn alert(
        &mut self,
        given: &Given<'_>,
        alert: &Alert,
        case: &PreparedCase,
        known: &known::Known,
        out: &mut Vec<u8>,
    ) {
        let (origin, event) = (given.batch.origin, given.event);
        self.uid.clear();
        id::write_alert(origin, event.number, &alert.rule.name, &mut self.uid);
        self.head(given, known, "alert", out);
        out.extend_from_slice(b",\"status_id\":1,\"status\":\"New\"");
        out.extend_from_slice(finding::CREATE.members().as_bytes());
        number("severity_id", finding::severity(alert.rule.priority).into(), out);
        known.actor(event.tid, false, true, out);
        let about = finding::About { event, origin, type_uid: case.activity.type_uid() };
        finding::members(alert, &about, &self.uid, out);
        out.extend_from_slice(b",\"evidences\":[{\"actor\":{\"process\":");
        known.full(event.tid, true, out);
        out.push(b'}');
        let context = Context { machine: &self.machine, known };
        for (part, places) in case.parts.iter().filter(|(part, _)| part.is_evidence) {
            (part.write)(&given.at(*places), &context, out);
        }
        out.extend_from_slice(b",\"data\":{\"event\":\"");
        out.extend_from_slice(event.kind.name().as_bytes());
        out.push(b'"');
        unmapped(given, case.taken_as_evidence, known, out);
        finding::output_fields(alert, out);
        out.extend_from_slice(b"}}]}\n");
    }

    /// Appends the beginning of a line: its metadata, times, and what it happened at.
    fn head(&mut self, given: &Given<'_>, known: &known::Known, code: &str, out: &mut Vec<u8>) {
        let event = given.event;
        out.extend_from_slice(&self.machine.metadata[known.profiles.set()]);
        text("uid", &self.uid, out);
        text("event_code", code.as_bytes(), out);
        if let Some(seq) = event.seq {
            number("sequence", seq, out);
        }
        if let Some(request_id) = &given.batch.request_id {
            text("correlation_uid", request_id.as_bytes(), out);
        }
        if event.is_truncated {
            out.extend_from_slice(b",\"is_truncated\":true");
        }
        out.push(b'}');
        number("time", event.time.0 / 1_000_000, out);
        out.extend_from_slice(b",\"time_dt\":\"");
        out.extend_from_slice(self.time.utc(event.time.0));
        out.extend_from_slice(b"\",\"device\":");
        out.extend_from_slice(&self.machine.device);
        out.extend_from_slice(&known.cloud);
    }
}

/// Appends members for whatever no attribute has.
fn unmapped(given: &Given<'_>, taken: Taken, known: &known::Known, out: &mut Vec<u8>) {
    let event = given.event;
    if !event.call.is_empty() {
        text("call", event.call.as_bytes(), out);
    }
    if let Some(via) = event.via {
        text("via", via.name().as_bytes(), out);
    }
    if let Some(ret) = event.ret {
        key("ret", "", out);
        signed(ret, out);
    }
    let known =
        if out.ends_with(b"{") { known.unmapped.get(1..).unwrap_or_default() } else { &known.unmapped };
    out.extend_from_slice(known);
    for (place, (name, value)) in
        Shape::of(event.kind).fields.iter().zip(given.batch.values(event)).enumerate()
    {
        if taken.has(place) {
            as_passed(given.batch, name, *value, out);
        } else {
            field(given.batch, name, *value, out);
        }
    }
}
