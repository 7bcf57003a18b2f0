//! Lines of the document that no event is: one object with one key, which no event has.

use serde_json::{Value, json};

use crate::event::{Alert, Batch, Program};
use crate::json::string;
use crate::sinks::encoder::RunFacts;
use crate::sinks::framing::Found;
use crate::system::program::{Coverage, REASONS};

/// Programs that an alert's event descends from.
const MOST_ANCESTORS: usize = 16;
/// Bytes of arguments of each.
const LONGEST_ARGUMENTS: usize = 1 << 10;

/// `{"begin":…}`: which machine and version, and the reasons and remedies that `glassbox doctor` has.
pub fn begin(found: Found, out: &mut Vec<u8>) {
    let name = rustix::system::uname();
    let blind = REASONS.iter().filter(|reason| reason.coverage != Coverage::Hooked);
    // Of a name that stands there twice the first one counts.
    let reasons: serde_json::Map<String, Value> = blind
        .rev()
        .map(|reason| (reason.name.to_owned(), json!({ "why": reason.why, "fix": reason.fix })))
        .collect();
    line(
        json!({ "begin": {
            "version": env!("CARGO_PKG_VERSION"),
            "host": name.nodename().to_string_lossy(),
            "kernel": name.release().to_string_lossy(),
            "machine": name.machine().to_string_lossy(),
            "is_resumed": found != Found::Fresh,
            "reasons": reasons,
        }}),
        out,
    );
}

/// `{"alert":…}`, behind the event that it is about.
pub fn alert(batch: &Batch, alert: &Alert, out: &mut Vec<u8>) {
    let Some(event) = batch.events.get(alert.event) else { return };
    let program = &batch.who(event).program;
    let line_of = std::iter::once(program).chain(program.ancestors()).take(MOST_ANCESTORS);
    let fields: serde_json::Map<String, Value> = alert.output.fields.iter().cloned().collect();
    line(
        json!({ "alert": {
            "rule": alert.rule.name,
            "priority": alert.rule.priority.name(),
            "tags": alert.rule.tags,
            "source": alert.rule.source,
            "output": alert.output.message,
            "fields": fields,
            "ancestry": line_of.map(|program| shown(program)).collect::<Vec<_>>(),
        }}),
        out,
    );
}

/// `{"end":…}`: the output was closed as it should be.
pub fn end(facts: &RunFacts, out: &mut Vec<u8>) {
    let RunFacts { restarts, collector_ns, .. } = *facts;
    line(json!({ "end": { "restarts": restarts, "collector_ns": collector_ns } }), out);
}

fn shown(program: &Program) -> Value {
    let mut arguments = Vec::new();
    let mut left = LONGEST_ARGUMENTS;
    for argument in program.argv.split(|byte| *byte == 0) {
        let Some(rest) = left.checked_sub(argument.len()) else { break };
        left = rest;
        arguments.push(text(argument));
    }
    // The last NUL ends an argument; nothing stands behind it.
    arguments.pop_if(|last| last.as_str() == Some(""));
    json!({
        "pid": program.pid.0,
        "exe": text(&program.exe),
        "name": text(program.facts.comm.bytes()),
        "argv": arguments,
    })
}

/// Bytes that are not UTF-8 as in events.
fn text(bytes: &[u8]) -> Value {
    let mut quoted = Vec::new();
    string(bytes, &mut quoted);
    serde_json::from_slice(&quoted).unwrap_or_default()
}

/// Appends an object in one line, hidden characters escaped as in events. The compressor reads it alone, but
/// so does a person who unpacks the file.
pub fn line(object: Value, out: &mut Vec<u8>) {
    for letter in object.to_string().chars() {
        match deploy::visible::is_hidden(letter) {
            true => {
                for unit in letter.encode_utf16(&mut [0; 2]) {
                    out.extend_from_slice(format!("\\u{unit:04x}").as_bytes());
                }
            }
            false => out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'\n');
}
