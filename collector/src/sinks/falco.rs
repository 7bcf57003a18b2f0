//! `falco`: alerts as Falco's JSON: a line each in files, a request each over HTTP, a message each to syslog.

use std::time::Duration;

use rules::file::Priority;
use rules::format::{self, Resolved, TimeFormat};

use super::carrier;
use super::carrier::kind::{Only, Takes};
use super::carrier::service::{BY_STATUS, NO_DEFAULT, NO_PREPARATION, NO_QUERY, NO_TIMEOUT, Service};
use super::encoder::{Encoder, Format, Plan};
use super::framing::{Found, Framing};
use super::parcel;
use crate::event::{Alert, Batch, Event, Rule, id};
use crate::system::clock::TimeWriter;

/// The row of the table.
pub const FORMAT: Format = Format {
    name: "falco",
    help: "alerts of rules as Falco's JSON, one a line",
    framing: Framing::Lines,
    reaches: carrier::ALERTS,
    holds: &[Only::Alerts],
    shows: &[],
    service: Some(&SERVICE),
    build: |plan| Box::new(Falco::new(plan)),
};

/// A receiver of Falco's `http_output`, such as falcosidekick: one alert in a request.
static SERVICE: Service = Service {
    path: "/",
    content_type: "application/json",
    may_join: false,
    most_bytes: 256 << 10,
    linger: Duration::ZERO,
    own_parameters: &[],
    is_compressed: || false,
    timeout: NO_TIMEOUT,
    header_variables: &[],
    default_place: NO_DEFAULT,
    query: NO_QUERY,
    prepare: NO_PREPARATION,
    judge: BY_STATUS,
};

/// The facility of syslog messages: user (RFC 5424 §6.2.1).
const FACILITY: u8 = 1;
/// The number of the example enterprise (RFC 5612): glassbox has none of its own.
const ENTERPRISE: u32 = 32473;

/// How an alert is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Line,
    Request,
    Syslog,
}

/// Writes alerts.
#[derive(Debug)]
pub struct Falco {
    hostname: String,
    form: Form,
    time: TimeWriter,
}

impl Falco {
    fn new(plan: &Plan) -> Self {
        let name = rustix::system::uname();
        let form = match plan.takes {
            Takes::Stream => Form::Line,
            Takes::Parcels if plan.kind == carrier::syslog::CARRIER.name => Form::Syslog,
            Takes::Parcels => Form::Request,
        };
        Self { hostname: name.nodename().to_string_lossy().into_owned(), form, time: TimeWriter::default() }
    }

    /// A message of RFC 5424: structured data for the receiver's filters, and the JSON as text.
    fn message(&mut self, alert: &format::Alert<'_>, json: &str, out: &mut Vec<u8>) {
        let pri = FACILITY * 8 + severity(alert.priority);
        out.extend_from_slice(format!("<{pri}>1 ").as_bytes());
        // RFC 5424 has six digits at most.
        out.extend_from_slice(self.time.utc(alert.time_ns).get(..26).unwrap_or_default());
        let host = header(alert.hostname, 255);
        let process = std::process::id();
        out.extend_from_slice(format!("Z {host} glassbox {process} alert [glassbox@{ENTERPRISE}").as_bytes());
        for (name, value) in
            [("rule", alert.rule), ("priority", alert.priority.name()), ("source", alert.source)]
        {
            out.extend_from_slice(format!(" {name}=\"{}\"", escaped(value)).as_bytes());
        }
        out.extend_from_slice(b"] ");
        out.extend_from_slice(json.as_bytes());
    }
}

impl Encoder for Falco {
    fn begin(&mut self, found: Found, out: &mut Vec<u8>) {
        if found == Found::Torn {
            out.push(b'\n');
        }
    }

    fn batch(&mut self, batch: &Batch, out: &mut Vec<u8>) {
        let hostname = std::mem::take(&mut self.hostname);
        for Alert { event, rule, output } in &batch.alerts {
            let Some(event) = batch.events.get(*event) else { continue };
            let node = batch.node.as_deref().unwrap_or(&hostname);
            let alert = shown(node, event, rule, output);
            let json = alert.to_json(TimeFormat::TimeOfDay);
            if self.form == Form::Line {
                out.extend_from_slice(json.as_bytes());
                out.push(b'\n');
                continue;
            }
            let mut name = Vec::new();
            id::write_alert(batch.origin, event.number, &rule.name, &mut name);
            parcel::append(b"", &name, 1, out, |out| match self.form {
                Form::Syslog => self.message(&alert, &json, out),
                _ => out.extend_from_slice(json.as_bytes()),
            });
        }
        self.hostname = hostname;
    }
}

fn shown<'a>(hostname: &'a str, event: &Event, rule: &'a Rule, output: &'a Resolved) -> format::Alert<'a> {
    format::Alert {
        hostname,
        time_ns: event.time.0,
        priority: rule.priority,
        rule: &rule.name,
        source: &rule.source,
        tags: &rule.tags,
        output,
    }
}

/// An alert as Falco's JSON, without a line feed.
pub fn json(hostname: &str, event: &Event, alert: &Alert) -> String {
    shown(hostname, event, &alert.rule, &alert.output).to_json(TimeFormat::TimeOfDay)
}

/// The severity of RFC 5424 §6.2.1, which Falco's priorities are.
fn severity(priority: Priority) -> u8 {
    priority as u8
}

/// A field of a message's head: printable ASCII without spaces; `-` for none.
fn header(text: &str, longest: usize) -> String {
    let kept: String = text.chars().filter(char::is_ascii_graphic).take(longest).collect();
    if kept.is_empty() { "-".to_owned() } else { kept }
}

/// A value of structured data: `"`, `\` and `]` are escaped (RFC 5424 §6.3.3).
fn escaped(value: &str) -> String {
    let mut text = String::new();
    for letter in value.chars().filter(|letter| !letter.is_control()) {
        if matches!(letter, '"' | '\\' | ']') {
            text.push('\\');
        }
        text.push(letter);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn severities_are_those_of_syslog() {
        let severities: Vec<u8> = Priority::ALL.into_iter().map(severity).collect();

        assert_eq!(vec![0, 1, 2, 3, 4, 5, 6, 7], severities);
    }

    #[test]
    fn nothing_leaves_the_structured_data_or_the_head() {
        assert_eq!("a\\\"b\\]c\\\\d", escaped("a\"b]c\\d\n"));
        assert_eq!(("-".to_owned(), "ab".to_owned()), (header(" \n", 9), header("a b\u{e9}", 9)));
    }
}
