//! `clickhouse`: events and alerts as rows of two tables, by `JSONEachRow` over HTTP.
//!
//! The tables are made where they are missing, for every server since 18.16: time is nanoseconds since 1970
//! in an Int64 (DateTime64 came later), names are plain strings. `ReplacingMergeTree` keeps one row of an id,
//! so what is delivered twice counts once (`FINAL`). [`COLUMNS`] says what has a column; `json` has the whole
//! event.

use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rules::format::{self, TimeFormat};

use super::carrier::http;
use super::carrier::kind::Only;
use super::carrier::service::{Judged, NO_TIMEOUT, Service, Url, by_status};
use super::encoder::{Encoder, Format, Plan};
use super::framing::Framing;
use super::parcel;
use crate::event::{Alert, Batch, Event, Shape, Value, id};
use crate::json::{self, JsonWriter};

/// The row of the table.
pub const FORMAT: Format = Format {
    name: "clickhouse",
    help: "events and alerts as rows of two tables",
    framing: Framing::Parcels,
    reaches: &[http::CARRIER],
    holds: &[Only::Events, Only::Alerts],
    shows: &[],
    service: Some(&SERVICE),
    build: |plan| Box::new(ClickHouse::new(plan)),
};

static SERVICE: Service = Service {
    path: "/",
    content_type: "application/x-ndjson",
    may_join: true,
    most_bytes: 8 << 20,
    // A server merges what it was given: it wants large pieces.
    linger: Duration::from_secs(1),
    own_parameters: &["table"],
    is_compressed: || true,
    timeout: NO_TIMEOUT,
    header_variables: &[],
    default_place: || "http://localhost:8123".to_owned(),
    query: |url, lane| {
        let table = quoted(&table(url, lane == ALERTS));
        let statement = format!("INSERT INTO {table} FORMAT JSONEachRow");
        format!("input_format_skip_unknown_fields=1&query={}", encoded(&statement))
    },
    prepare: |url| [events_table(url), alerts_table(url)].map(|statement| (String::new(), statement)).into(),
    judge: judged,
};

/// The lane of alerts; that of events is empty.
const ALERTS: &[u8] = b"alerts";

/// How the value of a column is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cell {
    /// By the writer itself.
    Head,
    /// The field of this name, where it is of the column's type.
    Text(&'static str),
    Number(&'static str),
    List(&'static str),
}

use Cell::{Head, List, Number, Text};

/// The columns of events: name, type, where the value comes from. A field that an event does not have, or
/// that is of another type there (`mode` of `file.access`), is the type's default or NULL; `json` has it.
const COLUMNS: &[(&str, &str, Cell)] = &[
    ("id", "String", Head),
    ("time", "Int64", Head),
    ("event", "String", Head),
    ("call", "String", Head),
    ("node", "String", Head),
    ("pid", "UInt32", Head),
    ("tid", "UInt32", Head),
    ("ppid", "UInt32", Head),
    ("pid_ns", "UInt64", Head),
    ("exe", "String", Head),
    ("uid", "Nullable(UInt32)", Head),
    ("euid", "Nullable(UInt32)", Head),
    ("container_id", "String", Head),
    ("container_name", "String", Head),
    ("container_image", "String", Head),
    ("task", "String", Head),
    ("request_id", "String", Head),
    ("seq", "Nullable(UInt64)", Head),
    ("via", "String", Head),
    ("ret", "Nullable(Int64)", Head),
    ("error", "String", Head),
    ("path", "String", Text("path")),
    ("new_path", "String", Text("new_path")),
    ("cwd", "String", Text("cwd")),
    ("argv", "Array(String)", List("argv")),
    ("flags", "Array(String)", List("flags")),
    ("fd", "Nullable(Int64)", Number("fd")),
    ("mode", "Nullable(Int64)", Number("mode")),
    ("child", "Nullable(Int64)", Number("child")),
    ("target", "Nullable(Int64)", Number("target")),
    ("code", "Nullable(Int64)", Number("code")),
    ("signal", "Nullable(Int64)", Number("signal")),
    ("coverage", "String", Text("coverage")),
    ("reason", "String", Text("reason")),
    ("count", "UInt64", Number("count")),
    ("what", "String", Text("what")),
    ("name", "String", Text("name")),
    ("family", "String", Text("family")),
    ("local", "String", Text("local")),
    ("remote", "String", Text("remote")),
    ("host", "String", Text("host")),
    ("answers", "Array(String)", List("answers")),
    ("bytes_read", "UInt64", Number("bytes_read")),
    ("bytes_written", "UInt64", Number("bytes_written")),
    ("bytes_sent", "UInt64", Number("bytes_sent")),
    ("bytes_received", "UInt64", Number("bytes_received")),
    ("open_ns", "UInt64", Number("open_ns")),
    ("user_ns", "UInt64", Number("user_ns")),
    ("system_ns", "UInt64", Number("system_ns")),
    ("max_rss", "UInt64", Number("max_rss")),
    ("json", "String", Head),
];

/// The columns of alerts.
const ALERT_COLUMNS: &[(&str, &str)] = &[
    ("id", "String"),
    ("event_id", "String"),
    ("time", "Int64"),
    ("rule", "String"),
    ("priority", "String"),
    ("severity", "UInt8"),
    ("source", "String"),
    ("tags", "Array(String)"),
    ("output", "String"),
    ("node", "String"),
    ("pid", "UInt32"),
    ("exe", "String"),
    ("container_id", "String"),
    ("container_name", "String"),
    ("json", "String"),
];

/// The name of a table: the parameter `table`, else `glassbox`; that of alerts is the same with `_alerts`.
fn table(url: &Url, is_alerts: bool) -> String {
    let given = url.query.iter().find(|(name, _)| name == "table").map(|(_, value)| value.as_str());
    let name = given.filter(|name| !name.is_empty()).unwrap_or("glassbox");
    format!("{name}{}", if is_alerts { "_alerts" } else { "" })
}

/// An identifier in backquotes.
fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

const DAY: &str = "toYYYYMMDD(toDateTime(intDiv(time, 1000000000)))";

fn events_table(url: &Url) -> String {
    let columns = COLUMNS.iter().map(|(name, kind, _)| format!("{} {kind}", quoted(name)));
    made(&table(url, false), columns, "event, time, id")
}

fn alerts_table(url: &Url) -> String {
    let columns = ALERT_COLUMNS.iter().map(|(name, kind)| format!("{} {kind}", quoted(name)));
    made(&table(url, true), columns, "time, id")
}

fn made(table: &str, columns: impl Iterator<Item = String>, order: &str) -> String {
    let columns = columns.collect::<Vec<_>>().join(", ");
    format!(
        "CREATE TABLE IF NOT EXISTS {} ({columns}) ENGINE = ReplacingMergeTree() PARTITION BY {DAY} ORDER BY ({order})",
        quoted(table)
    )
}

/// Errors of a server that a row may be the cause of (ErrorCodes.cpp): a piece is halved until the row is
/// found, and that is lost.
const OF_ROWS: [u32; 8] = [6, 26, 27, 38, 41, 53, 72, 117];

fn judged(status: u16, body: &[u8]) -> Option<Judged> {
    if (200..=299).contains(&status) {
        return None;
    }
    let text = String::from_utf8_lossy(body);
    let code = text.strip_prefix("Code: ").and_then(|rest| rest.split([',', '.']).next());
    let says = text.lines().next().unwrap_or_default().chars().take(300).collect::<String>();
    match code.and_then(|code| code.trim().parse::<u32>().ok()) {
        Some(code) if OF_ROWS.contains(&code) => Some(Judged::TooLarge(says)),
        Some(_) => Some(Judged::Later(says)),
        None => Some(by_status(status, &says)),
    }
}

/// Writes rows.
#[derive(Debug)]
struct ClickHouse {
    node: String,
    only: Option<Only>,
    json: JsonWriter,
    line: Vec<u8>,
    id: Vec<u8>,
}

impl ClickHouse {
    fn new(plan: &Plan) -> Self {
        let node = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Self { node, only: plan.only, json: JsonWriter::with_ids(), line: Vec::new(), id: Vec::new() }
    }

    fn event(&mut self, batch: &Batch, event: &Event, out: &mut Vec<u8>) {
        self.id.clear();
        id::write(batch.origin, event.number, &mut self.id);
        self.line.clear();
        self.json.write(batch, event, &mut self.line);
        let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        let (id, node) = (&self.id, batch.node.as_deref().unwrap_or(&self.node));
        parcel::append(b"", id, 1, out, |out| {
            let mut row = Row::begin(out);
            head(batch, event, id, node, &mut row);
            let fields = &Shape::of(event.kind).fields;
            for (name, kind, from) in COLUMNS {
                let (Text(field) | Number(field) | List(field)) = from else { continue };
                let Some(place) = fields.iter().position(|known| known == field) else { continue };
                let Some(value) = batch.values(event).get(place) else { continue };
                row.value(batch, name, (*kind, *from), *value);
            }
            row.whole("json", line);
            row.end();
        });
    }

    fn alert(&mut self, batch: &Batch, event: &Event, alert: &Alert, out: &mut Vec<u8>) {
        let Alert { rule, output, .. } = alert;
        let (mut event_id, mut alert_id) = (Vec::new(), Vec::new());
        id::write(batch.origin, event.number, &mut event_id);
        id::write_alert(batch.origin, event.number, &rule.name, &mut alert_id);
        let node = batch.node.as_deref().unwrap_or(&self.node);
        let json = format::Alert {
            hostname: node,
            time_ns: event.time.0,
            priority: rule.priority,
            rule: &rule.name,
            source: &rule.source,
            tags: &rule.tags,
            output,
        }
        .to_json(TimeFormat::TimeOfDay);
        let who = batch.who(event);
        parcel::append(ALERTS, &alert_id, 1, out, |out| {
            let mut row = Row::begin(out);
            row.text("id", &alert_id);
            row.text("event_id", &event_id);
            row.number("time", event.time.0.cast_signed().into());
            row.text("rule", rule.name.as_bytes());
            row.text("priority", rule.priority.name().as_bytes());
            row.number("severity", (rule.priority as u8).into());
            row.text("source", rule.source.as_bytes());
            row.list("tags", rule.tags.iter().map(String::as_bytes));
            row.text("output", output.message.as_bytes());
            row.text("node", node.as_bytes());
            row.number("pid", who.pid().0.into());
            row.text("exe", who.exe());
            container(batch, event, &mut row);
            row.whole("json", json.as_bytes());
            row.end();
        });
    }
}

impl Encoder for ClickHouse {
    fn batch(&mut self, batch: &Batch, out: &mut Vec<u8>) {
        if self.only != Some(Only::Alerts) {
            for event in &batch.events {
                self.event(batch, event, out);
            }
        }
        if self.only != Some(Only::Events) {
            for alert in &batch.alerts {
                let Some(event) = batch.events.get(alert.event) else { continue };
                self.alert(batch, event, alert, out);
            }
        }
    }
}

/// The columns that every event has.
fn head(batch: &Batch, event: &Event, id: &[u8], node: &str, row: &mut Row<'_>) {
    let who = batch.who(event);
    row.text("id", id);
    row.number("time", event.time.0.cast_signed().into());
    row.text("event", event.kind.name().as_bytes());
    row.text("call", event.call.as_bytes());
    row.text("node", node.as_bytes());
    row.number("pid", who.pid().0.into());
    row.number("tid", event.tid.0.into());
    row.number_if("ppid", who.ppid.map(|pid| pid.0.into()));
    row.number_if("pid_ns", who.pid_ns.map(i128::from));
    row.text("exe", who.exe());
    row.number_if("uid", who.uid.map(i128::from));
    row.number_if("euid", who.euid.map(i128::from));
    container(batch, event, row);
    if let Some(request) = &batch.request_id {
        row.text("request_id", request.as_bytes());
    }
    row.number_if("seq", event.seq.map(i128::from));
    row.text("via", event.via.map_or("", |via| via.name()).as_bytes());
    row.number_if("ret", event.ret.map(i128::from));
    row.text("error", event.error.as_bytes());
}

/// The facts of a container that have a column, by their names.
const OF_CONTAINER: [(&str, &str); 4] =
    [("id", "container_id"), ("name", "container_name"), ("image", "container_image"), ("task", "task")];

fn container(batch: &Batch, event: &Event, row: &mut Row<'_>) {
    let Some(container) = &batch.who(event).container else { return };
    for (name, value) in container.which().chain(container.what()) {
        if let Some((_, column)) = OF_CONTAINER.iter().find(|(known, _)| *known == name) {
            row.text(column, value.as_bytes());
        }
    }
}

/// A row that is being written: an object on one line.
struct Row<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Row<'a> {
    fn begin(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out }
    }

    fn end(self) {
        self.out.extend_from_slice(b"}\n");
    }

    fn key(&mut self, name: &str) {
        if !self.out.ends_with(b"{") {
            self.out.push(b',');
        }
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    /// A text; an empty one is the column's default.
    fn text(&mut self, name: &str, text: &[u8]) {
        if !text.is_empty() {
            self.key(name);
            json::string(text, self.out);
        }
    }

    /// A text that is JSON itself, as it is: what stands for bytes in it stays.
    fn whole(&mut self, name: &str, text: &[u8]) {
        self.key(name);
        let text = String::from_utf8_lossy(text);
        // Writing to memory does not fail.
        let _ = serde_json::to_writer(&mut *self.out, &*text);
    }

    fn number(&mut self, name: &str, number: i128) {
        self.key(name);
        self.out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    }

    fn number_if(&mut self, name: &str, number: Option<i128>) {
        if let Some(number) = number {
            self.number(name, number);
        }
    }

    fn list<'b>(&mut self, name: &str, items: impl Iterator<Item = &'b [u8]>) {
        self.key(name);
        self.out.push(b'[');
        for (index, item) in items.enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            json::string(item, self.out);
        }
        self.out.push(b']');
    }

    /// A field's value, where it is of the column's type.
    fn value(&mut self, batch: &Batch, name: &str, (kind, from): (&str, Cell), value: Value) {
        match (from, value) {
            (Number(_), Value::Int(number)) if number < 0 && kind.starts_with('U') => {}
            (Text(_), value) => self.text(name, batch.text(value).unwrap_or_default()),
            (Number(_), Value::Int(number)) => self.number(name, number.into()),
            (Number(_), Value::Uint(number)) => self.number(name, number.into()),
            (List(_), Value::List(span)) => self.list(name, batch.strings(span)),
            (List(_), Value::Names(table, bits)) => {
                let mut names: Vec<&[u8]> = Vec::new();
                let rest = table.names(bits, |known| names.push(known.as_bytes()));
                let rest = if rest == 0 { String::new() } else { format!("{rest:#x}") };
                let rest = Some(rest.as_bytes()).filter(|rest| !rest.is_empty());
                self.list(name, names.into_iter().chain(rest));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::sample;
    use crate::sinks::parcel::Parcel;

    fn rows(batch: &Batch) -> Vec<serde_json::Value> {
        let mut out = Vec::new();
        ClickHouse::new(&Plan::default()).batch(batch, &mut out);
        Parcel::all(&out).map(|parcel| serde_json::from_slice(parcel.body).unwrap()).collect()
    }

    #[test]
    fn every_event_is_a_row_of_known_columns_and_of_their_types() {
        let mut batch = sample::every_kind();
        batch.number();

        for row in rows(&batch) {
            for (name, value) in row.as_object().unwrap() {
                let (_, kind, _) = COLUMNS.iter().find(|(column, ..)| column == name).unwrap();
                let is_of_kind = match *kind {
                    "String" => value.is_string(),
                    "Array(String)" => value.is_array(),
                    kind if kind.contains("UInt") => value.is_u64(),
                    _ => value.is_i64() || value.is_u64(),
                };
                assert!(is_of_kind, "{name} {kind}: {value}");
            }
        }
    }

    #[test]
    fn json_of_a_row_is_the_line_that_jsonl_writes_with_its_id() {
        let mut batch = sample::every_kind();
        batch.number();
        let mut line = Vec::new();
        JsonWriter::with_ids().write(&batch, &batch.events[0], &mut line);

        let row = &rows(&batch)[0];

        assert_eq!(String::from_utf8(line).unwrap().trim_end(), row["json"].as_str().unwrap());
    }

    #[test]
    fn table_is_the_urls_and_nothing_leaves_its_quotes() {
        let url = Url { query: vec![("table".into(), "a`b\\".into())], ..Url::default() };

        assert_eq!("`a\\`b\\\\_alerts`", quoted(&table(&url, true)));
        assert_eq!("glassbox", table(&Url::default(), false));
    }

    #[test]
    fn row_that_a_server_cannot_read_is_looked_for_and_everything_else_waits() {
        let of = |status, body: &str| judged(status, body.as_bytes());

        assert_eq!(None, of(200, ""));
        assert!(matches!(of(500, "Code: 27, e.displayText() = …"), Some(Judged::TooLarge(_))));
        assert!(matches!(of(404, "Code: 60. DB::Exception: …"), Some(Judged::Later(_))));
        assert!(matches!(of(503, "<html>"), Some(Judged::Later(_))));
    }
}
