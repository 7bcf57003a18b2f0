//! An event out of lines of `jsonl`, as far as they have it. The last line is the event. The lines before it
//! tell which program its process runs, with which arguments, and its ancestors.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value as Json};
use wire::events::Kind;
use wire::names::{self, FlagTable};
use wire::record::Via;
use wire::schema::EVENTS;

use crate::container::Container;
use crate::event::{Batch, Circumstances, Comm, Event, Facts, Program, Shape, Value, Who, id};
use crate::ids::{Pid, Tid, UtcNs};
use crate::system::errors;

/// The event of the last line; the error says what is wrong.
pub fn read(text: &str) -> Result<Batch, String> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let (last, before) = lines.split_last().ok_or("there is no line in it")?;
    let mut known = Known::default();
    for (index, line) in before.iter().enumerate() {
        let (kind, fields) = parsed(line).map_err(|error| format!("line {}: {error}", index + 1))?;
        known.learn(kind, &fields);
    }
    let (kind, fields) = parsed(last)?;
    let mut batch = Batch::default();
    batch.request_id = text_of(&fields, "request_id").map(Arc::from);
    batch.whos.push(Arc::new(who(&fields, known.program(kind, &fields))));
    let unsigned = |name: &str| fields.get(name).and_then(Json::as_u64);
    let call = text_of(&fields, "call").unwrap_or_default();
    let error = text_of(&fields, "error").unwrap_or_default();
    let (origin, number) = text_of(&fields, "id").and_then(id::read).unwrap_or_default();
    batch.origin = origin;
    let errno = errors::errno_number(error).map(errors::errno_name);
    batch.push(Event {
        time: UtcNs(text_of(&fields, "time").and_then(utc_ns).unwrap_or(0)),
        kind,
        via: text_of(&fields, "via")
            .and_then(|name| (0..4).filter_map(Via::from_byte).find(|via| via.name() == name)),
        is_truncated: fields.get("truncated").and_then(Json::as_bool).unwrap_or(false),
        call: hook_table::rows().map(|row| row.call).find(|known| *known == call).unwrap_or(""),
        error: errno
            .or_else(|| (-12..0).filter_map(errors::resolver_name).find(|name| *name == error))
            .unwrap_or(""),
        seq: unsigned("seq"),
        ret: fields.get("ret").and_then(Json::as_i64),
        tid: Tid(unsigned("tid").and_then(|tid| tid.try_into().ok()).unwrap_or(0)),
        number,
        who: 0,
        values_at: 0,
    });
    for (place, name) in Shape::of(kind).fields.iter().enumerate() {
        if let Some(given) = fields.get(*name) {
            let raw = text_of(&fields, &format!("{name}_raw"));
            let is_lexical = fields.contains_key(&format!("{name}_lexical"));
            let value = value(&mut batch, kind, name, given, raw, is_lexical);
            batch.set(place, value);
        }
    }
    Ok(batch)
}

fn parsed(line: &str) -> Result<(Kind, Map<String, Json>), String> {
    let parsed: Json = serde_json::from_str(line).map_err(|error| format!("no JSON: {error}"))?;
    let Json::Object(fields) = parsed else { return Err("no JSON object".to_owned()) };
    let name = fields.get("event").and_then(Json::as_str).ok_or("it has no field 'event'")?;
    let spec = EVENTS.iter().find(|spec| spec.name == name);
    let kind = spec.ok_or_else(|| format!("unknown event '{name}'; docs/events.md has all"))?.kind;
    Ok((kind, fields))
}

/// The programs of processes, by pid namespace and number.
#[derive(Default)]
struct Known(HashMap<(Option<u64>, Pid), Arc<Program>>);

impl Known {
    /// Takes in an event before the one that matters.
    fn learn(&mut self, kind: Kind, fields: &Map<String, Json>) {
        let program = self.program(kind, fields);
        let namespace = fields.get("pid_ns").and_then(Json::as_u64);
        // A child may have told of itself before its parent tells of it.
        if let Some(child) = small(fields, "child").map(Pid) {
            let copy = || {
                let (exe, argv) = (program.exe.clone(), program.argv.clone());
                Program::new(child, exe, argv, Some(program.clone())).with(program.facts)
            };
            self.0.entry((namespace, child)).or_insert_with(copy);
        }
        self.0.insert((namespace, program.pid), program);
    }

    /// The program whose event this is.
    fn program(&self, kind: Kind, fields: &Map<String, Json>) -> Arc<Program> {
        let namespace = fields.get("pid_ns").and_then(Json::as_u64);
        let of = |pid: Pid| self.0.get(&(namespace, pid));
        let pid = Pid(small(fields, "pid").unwrap_or(0));
        let earlier = of(pid);
        let exe = text_of(fields, "exe").unwrap_or_default().as_bytes();
        let is_start = kind == Kind::ProcessStart;
        if let Some(same) = earlier.filter(|earlier| !is_start && *earlier.exe == *exe) {
            return same.clone();
        }
        let path = if is_start { text_of(fields, "path") } else { None };
        let mut argv = Vec::new();
        if let Some(Json::Array(list)) = fields.get("argv").filter(|_| is_start) {
            list.iter().filter_map(Json::as_str).for_each(|text| {
                argv.extend_from_slice(text.as_bytes());
                argv.push(0);
            });
        }
        let parent = match earlier {
            Some(earlier) => earlier.parent.clone(),
            None => small(fields, "ppid").and_then(|parent| of(Pid(parent))).cloned(),
        };
        let comm = Comm::of_path(path.unwrap_or_default().as_bytes());
        Program::new(pid, exe.into(), argv.into(), parent).with(Facts { comm, ..Facts::default() })
    }
}

fn small<T: TryFrom<u64>>(fields: &Map<String, Json>, name: &str) -> Option<T> {
    fields.get(name).and_then(Json::as_u64).and_then(|number| number.try_into().ok())
}

fn text_of<'a>(fields: &'a Map<String, Json>, name: &str) -> Option<&'a str> {
    fields.get(name).and_then(Json::as_str)
}

fn who(fields: &Map<String, Json>, program: Arc<Program>) -> Who {
    let container = fields.get("container").and_then(Json::as_object).map(|facts| {
        let mut container = Container::default();
        for (place, name) in Container::names().enumerate() {
            container.set(place, text_of(facts, name).unwrap_or_default());
        }
        Arc::new(container)
    });
    let cwd = text_of(fields, "cwd").unwrap_or_default().as_bytes().into();
    Who {
        program,
        ppid: small(fields, "ppid").map(Pid),
        uid: small(fields, "uid"),
        euid: small(fields, "euid"),
        pid_ns: fields.get("pid_ns").and_then(Json::as_u64),
        uid_inside: small(fields, "uid_inside"),
        mnt_ns: fields.get("mnt_ns").and_then(Json::as_u64),
        container,
        circumstances: Circumstances { cwd, egid: small(fields, "egid"), ..Circumstances::default() },
        ..Who::default()
    }
}

fn value(
    batch: &mut Batch,
    kind: Kind,
    name: &str,
    given: &Json,
    raw: Option<&str>,
    is_lexical: bool,
) -> Value {
    match given {
        Json::Null => Value::Absent,
        Json::Bool(truth) => Value::Bool(*truth),
        Json::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => Value::Uint(number),
            (None, Some(number)) => Value::Int(number),
            (None, None) => Value::Absent,
        },
        Json::String(text) => {
            let text = batch.keep(text.as_bytes());
            match raw.map(|raw| batch.keep(raw.as_bytes())) {
                Some(raw) if is_lexical => Value::LexicalPath(text, raw),
                Some(raw) => Value::Path(text, Some(raw)),
                None => Value::Text(text),
            }
        }
        Json::Array(list) => {
            let texts: Vec<&str> = list.iter().filter_map(Json::as_str).collect();
            match table(kind, name) {
                Some(table) => Value::Names(table, bits(table, &texts)),
                None => Value::List(batch.keep_with(|out| {
                    texts.iter().for_each(|text| out.extend(text.bytes().chain([0])));
                })),
            }
        }
        Json::Object(map) => Value::Map(batch.keep_with(|out| {
            for (name, value) in map {
                out.extend(name.bytes().chain([b'=']));
                out.extend(value.as_str().unwrap_or_default().bytes().chain([0]));
            }
        })),
    }
}

/// The table of a field that is a set of flags.
fn table(kind: Kind, name: &str) -> Option<&'static FlagTable> {
    match (kind, name) {
        (Kind::FileOpen, "flags") => Some(&names::OPEN),
        (Kind::FileOpen, "resolve") => Some(&names::RESOLVE),
        (Kind::FileRename, "flags") => Some(&names::RENAME),
        (Kind::FileXattr, "flags") => Some(&names::XATTR),
        (Kind::FileHandle, "flags") => Some(&names::HANDLE),
        (Kind::LibLoad, "flags") => Some(&names::DLOPEN),
        (Kind::MemoryMap, "prot") => Some(&names::PROT),
        (Kind::ProcessNamespace, "flags") => Some(&names::NAMESPACE),
        (_, "flags") => Some(&names::AT),
        _ => None,
    }
}

fn bits(table: &FlagTable, texts: &[&str]) -> u64 {
    let known = || table.choices.iter().chain(table.bits);
    texts.iter().fold(0, |bits, text| {
        let named = known().find(|(_, name)| name == text).map(|(bit, _)| *bit);
        let hexadecimal = || u64::from_str_radix(text.strip_prefix("0x")?, 16).ok();
        bits | named.or_else(hexadecimal).unwrap_or(0)
    })
}

/// Nanoseconds since 1970 of `2026-11-29T13:53:31.726060287Z`.
fn utc_ns(text: &str) -> Option<u64> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<u64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let fraction = text.get(20..)?.trim_end_matches('Z');
    let ns: u64 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    // Years that begin in March have their leap day at the end.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year.checked_sub(1)?, month + 9) };
    let days =
        365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day.checked_sub(1)?;
    let days = days.checked_sub(719_468)?;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000_000_000 + ns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::sample;
    use crate::json::JsonWriter;

    fn line(batch: &Batch, event: &Event) -> String {
        let mut out = Vec::new();
        JsonWriter::default().write(batch, event, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_before_the_event_tell_its_ancestors_and_arguments() {
        let lines = [
            "{\"event\":\"process.start\",\"pid\":5,\"exe\":\"/bin/bash\",\"path\":\"/bin/bash\",\"argv\":[\"bash\",\"x\"]}",
            "{\"event\":\"process.fork\",\"pid\":5,\"exe\":\"/bin/bash\",\"child\":6}",
            "{\"event\":\"process.start\",\"pid\":6,\"ppid\":5,\"exe\":\"/bin/env\",\"path\":\"/bin/env\",\"argv\":[\"env\"]}",
            "{\"event\":\"process.start\",\"pid\":6,\"ppid\":5,\"exe\":\"/bin/cat\",\"path\":\"/bin/cat\",\"argv\":[\"cat\",\"f\"]}",
            "{\"event\":\"file.open\",\"pid\":6,\"ppid\":5,\"exe\":\"/bin/cat\",\"path\":\"/f\"}\n",
        ];

        let batch = read(&lines.join("\n")).unwrap();

        let program = &batch.whos[0].program;
        assert_eq!(b"cat\0f\0", &*program.argv);
        let parent = program.parent.as_ref().unwrap();
        assert_eq!(
            (Pid(5), b"/bin/bash".as_slice(), b"bash\0x\0".as_slice()),
            (parent.pid, &*parent.exe, &*parent.argv)
        );
        assert!(parent.parent.is_none());
        assert!(read("no line\n{}").unwrap_err().starts_with("line 1: no JSON"));
    }

    #[test]
    fn event_that_is_read_is_written_as_it_was() {
        let open = "{\"time\":\"2023-11-14T22:13:20.123456789Z\",\"event\":\"file.open\",\"call\":\"openat\",\
                    \"pid\":7,\"tid\":7,\"ppid\":1,\"exe\":\"/bin/cat\",\"uid\":1000,\"euid\":0,\"seq\":3,\
                    \"via\":\"symbol\",\"ret\":-1,\"error\":\"ENOENT\",\"path\":\"/a/x\",\"path_raw\":\"x\",\
                    \"flags\":[\"O_WRONLY\",\"O_CREAT\"],\"mode\":420}\n";

        let batch = read(open).unwrap();

        assert_eq!(open, line(&batch, &batch.events[0]));
    }

    #[test]
    fn every_event_that_is_written_can_be_read() {
        let batch = sample::every_kind();
        for event in &batch.events {
            let read = read(&line(&batch, event)).unwrap();

            assert_eq!(event.kind, read.events[0].kind);
            assert_eq!(event.time, read.events[0].time);
        }
    }

    #[test]
    fn what_is_no_event_says_why() {
        assert_eq!("there is no line in it", read("\n").unwrap_err());
        assert_eq!("no JSON object", read("[]").unwrap_err());
        assert_eq!("it has no field 'event'", read("{}").unwrap_err());
        assert_eq!("unknown event 'x.y'; docs/events.md has all", read("{\"event\":\"x.y\"}").unwrap_err());
    }
}
