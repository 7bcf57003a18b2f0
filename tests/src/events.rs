//! Reads a `jsonl` output as any other program would, and checks the promises that hold for every run.
//!
//! The checked promises of docs/contract.md are those that need no knowledge of the program: every line is
//! JSON, the fields that are always present are present, and the sequence numbers of each image have no gap
//! that a `sensor.loss` does not explain.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::{Map, Value};

/// One line of the output.
#[derive(Clone, Debug)]
pub struct Event {
    fields: Map<String, Value>,
}

impl Event {
    /// The field `event`: a noun and a verb.
    pub fn name(&self) -> &str {
        self.text("event").unwrap_or("")
    }

    /// A field that is a string.
    pub fn text(&self, field: &str) -> Option<&str> {
        self.fields.get(field)?.as_str()
    }

    /// A field that is a whole number.
    pub fn number(&self, field: &str) -> Option<i64> {
        let value = self.fields.get(field)?;
        value.as_i64().or_else(|| value.as_u64().map(|large| large as i64))
    }

    /// A field of any type.
    pub fn field(&self, field: &str) -> Option<&Value> {
        self.fields.get(field)
    }

    /// A field that is a list of strings; empty if the field is missing.
    pub fn list(&self, field: &str) -> Vec<&str> {
        let items = self.fields.get(field).and_then(Value::as_array);
        items.map(|items| items.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
    }

    /// The field `pid`.
    pub fn pid(&self) -> i64 {
        self.number("pid").unwrap_or(-1)
    }

    /// The pid, and the pid namespace that it belongs to (0: the collector's).
    pub fn process(&self) -> (i64, i64) {
        (self.number("pid_ns").unwrap_or(0), self.pid())
    }

    /// The field `time`, nanoseconds since 1970.
    pub fn time_ns(&self) -> Option<i64> {
        let time = self.text("time").filter(|time| is_rfc3339_nanoseconds(time))?;
        let number = |range: std::ops::Range<usize>| time.get(range)?.parse::<i64>().ok();
        let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
        // Days since 1970 in the Gregorian calendar, with March as the first month of the year.
        let (years, months) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
        let days =
            years * 365 + years / 4 - years / 100 + years / 400 + (months * 153 + 2) / 5 + day - 719_469;
        let seconds = days * 86_400 + number(11..13)? * 3600 + number(14..16)? * 60 + number(17..19)?;
        Some(seconds * 1_000_000_000 + number(20..29)?)
    }

    /// The sensor's sequence number; `None` for events without one.
    pub fn seq(&self) -> Option<u64> {
        self.fields.get("seq")?.as_u64()
    }

    /// The name of the called function; empty if the field is missing.
    pub fn call(&self) -> &str {
        self.text("call").unwrap_or("")
    }

    /// The field `path`; empty if it is missing.
    pub fn path(&self) -> &str {
        self.text("path").unwrap_or("")
    }

    /// Whether the last component of the path is `name`.
    pub fn is_file(&self, name: &str) -> bool {
        self.path().rsplit('/').next() == Some(name)
    }

    /// Whether the call failed.
    pub fn has_failed(&self) -> bool {
        self.fields.contains_key("error")
    }
}

/// All events of an output, in their order.
#[derive(Clone, Debug, Default)]
pub struct Events {
    all: Vec<Event>,
}

/// The losses that a run may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expect {
    /// No event may be lost.
    #[default]
    NothingLost,
    /// No event may be lost; in a pid namespace below the collector's, a process or thread that was gone
    /// before the collector could ask for it may have no number (`CAPABILITIES.md`).
    NothingLostBelow,
    /// Events may be lost if the losses are counted.
    LossIsCounted,
    /// The program has destroyed its own ring: only the form of the lines is checked.
    Rubbish,
}

impl Events {
    /// Reads a file and checks it.
    ///
    /// # Panics
    /// If a promise is broken; the message names every broken one.
    pub fn read(path: &Path, expect: Expect) -> Events {
        Events::checked(path, expect).unwrap_or_else(|broken| panic!("{broken}"))
    }

    /// As [`Events::read`].
    ///
    /// # Errors
    /// The broken promises.
    ///
    /// # Panics
    /// If there is no file, or it is no text.
    pub fn checked(path: &Path, expect: Expect) -> Result<Events, String> {
        let bytes = fs::read(path).unwrap_or_else(|error| panic!("no events in {}: {error}", path.display()));
        let text =
            String::from_utf8(bytes).unwrap_or_else(|error| panic!("{}: not UTF-8: {error}", path.display()));
        Events::parse(&text, expect).map_err(|broken| {
            format!("{} broken promises in {}:\n{}", broken.len(), path.display(), few(&broken))
        })
    }

    /// Reads `text` and checks it; the error lists the broken promises.
    pub fn parse(text: &str, expect: Expect) -> Result<Events, Vec<String>> {
        let mut broken = Vec::new();
        let mut all = Vec::new();
        if !text.is_empty() && !text.ends_with('\n') {
            broken.push("the last line is cut".to_owned());
        }
        for (number, line) in text.lines().enumerate() {
            match serde_json::from_str::<Value>(line) {
                Ok(Value::Object(fields)) => {
                    let event = Event { fields };
                    let wrong = if expect == Expect::Rubbish { Vec::new() } else { form(&event, expect) };
                    broken
                        .extend(wrong.into_iter().map(|what| format!("line {}: {what}: {line}", number + 1)));
                    all.push(event);
                }
                Ok(_) => broken.push(format!("line {}: not an object: {line}", number + 1)),
                Err(error) => broken.push(format!("line {}: {error}: {line}", number + 1)),
            }
        }
        let events = Events { all };
        if expect != Expect::Rubbish {
            broken.extend(events.gaps());
            broken.extend(events.ledger());
            broken.extend(events.closes_without_path());
        }
        if [Expect::NothingLost, Expect::NothingLostBelow].contains(&expect) {
            broken.extend(events.named("sensor.loss").map(|loss| format!("lost: {:?}", loss.fields)));
        }
        if broken.is_empty() { Ok(events) } else { Err(broken) }
    }

    /// All events, in the order of the output.
    pub fn iter(&self) -> impl Iterator<Item = &Event> {
        self.all.iter()
    }

    /// The number of events.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The events of one kind.
    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Event> {
        self.all.iter().filter(move |event| event.name() == name)
    }

    /// The opens of files whose last path component is `file`, including failed ones.
    pub fn opens(&self, file: &str) -> Vec<&Event> {
        self.named("file.open").filter(|event| event.is_file(file)).collect()
    }

    /// The closes of files whose last path component is `file`.
    pub fn closes(&self, file: &str) -> Vec<&Event> {
        self.named("file.close").filter(|event| event.is_file(file)).collect()
    }

    /// The only event for which `is_it`.
    ///
    /// # Panics
    /// If there is none or more than one.
    pub fn only(&self, what: &str, is_it: impl Fn(&Event) -> bool) -> &Event {
        let found: Vec<&Event> = self.all.iter().filter(|event| is_it(event)).collect();
        match found.as_slice() {
            [one] => one,
            none_or_many => {
                panic!("{} events instead of one: {what}: {none_or_many:#?}\n{}", found.len(), self.outline())
            }
        }
    }

    /// All events, one a line, for messages.
    pub fn outline(&self) -> String {
        let mut text = String::new();
        for event in self.all.iter().take(200) {
            let seq = event.seq().map_or_else(|| "-".to_owned(), |seq| seq.to_string());
            let what = event.text("remote").unwrap_or(event.path());
            let error = event.text("error").unwrap_or("");
            text.push_str(&format!(
                "{} {seq} {} {} {what} {error}\n",
                event.pid(),
                event.name(),
                event.call()
            ));
        }
        text
    }

    /// The sequence numbers, by process and image, that are missing without a loss that explains them.
    fn gaps(&self) -> Vec<String> {
        let mut broken = Vec::new();
        let mut images: BTreeMap<((i64, i64), usize), Vec<u64>> = BTreeMap::new();
        let mut image_of: BTreeMap<(i64, i64), usize> = BTreeMap::new();
        for event in &self.all {
            let Some(seq) = event.seq() else { continue };
            let image = image_of.entry(event.process()).or_default();
            if seq == 0 && event.name() == "process.start" && images.contains_key(&(event.process(), *image))
            {
                *image += 1;
            }
            images.entry((event.process(), *image)).or_default().push(seq);
        }
        let mut missing: BTreeMap<(i64, i64), u64> = BTreeMap::new();
        for ((process, image), seqs) in &images {
            let distinct: BTreeSet<u64> = seqs.iter().copied().collect();
            if distinct.len() != seqs.len() {
                broken.push(format!(
                    "(pid_ns, pid) {process:?} image {image}: {} numbers came twice",
                    seqs.len() - distinct.len()
                ));
            }
            let wanted = distinct.last().map_or(0, |last| last + 1);
            *missing.entry(*process).or_default() += wanted - distinct.len() as u64;
        }
        let losses = self.losses();
        for (process, missing) in missing {
            let explained: i64 =
                losses.get(&process).into_iter().flatten().filter_map(|loss| loss.number("count")).sum();
            if missing > explained as u64 {
                broken.push(format!(
                    "(pid_ns, pid) {process:?}: {missing} numbers are missing, {explained} explained"
                ));
            }
        }
        broken
    }

    /// `process.exit` counts delivered and lost events: both counts must agree with the stream.
    fn ledger(&self) -> Vec<String> {
        let mut broken = Vec::new();
        let mut numbered: BTreeMap<(i64, i64), usize> = BTreeMap::new();
        for event in self.all.iter().filter(|event| event.seq().is_some()) {
            *numbered.entry(event.process()).or_default() += 1;
        }
        let losses = self.losses();
        for exit in self.named("process.exit") {
            let delivered = numbered.get(&exit.process()).copied().unwrap_or_default();
            let lost = |is_ours: bool| -> i64 {
                let losses = losses.get(&exit.process()).into_iter().flatten();
                let losses = losses.filter(|loss| (loss.text("reason") == Some("sink_full")) == is_ours);
                losses.filter_map(|loss| loss.number("count")).sum()
            };
            // A loss that only this output had, because it was too slow, is not a loss of the process: other
            // outputs had the event.
            let (here, lost) = (lost(true), lost(false));
            let wanted = delivered as i64..=delivered as i64 + here;
            if exit.number("events").is_some_and(|counted| !wanted.contains(&counted)) {
                broken.push(format!(
                    "pid {}: {delivered} events, the ledger says {:?}",
                    exit.pid(),
                    exit.field("events")
                ));
            }
            if exit.number("lost").is_some_and(|counted| counted != lost) {
                broken.push(format!(
                    "pid {}: {lost} lost, the ledger says {:?}",
                    exit.pid(),
                    exit.field("lost")
                ));
            }
        }
        broken
    }

    /// The close of a file whose open was reported must have the path, and the time that the file was open.
    fn closes_without_path(&self) -> Vec<String> {
        let mut broken = Vec::new();
        let mut open: BTreeMap<((i64, i64), i64), &str> = BTreeMap::new();
        let mut last: BTreeMap<(i64, i64), u64> = BTreeMap::new();
        for event in self.all.iter() {
            if let Some(seq) = event.seq()
                && last.insert(event.process(), seq).is_some_and(|last| seq > last + 1)
            {
                // Among what is lost may be that close, and the open of another file under its number.
                open.retain(|(process, _), _| *process != event.process());
            }
            if event.has_failed() {
                continue;
            }
            let Some(fd) = event.number("fd") else { continue };
            match event.name() {
                "file.open" => drop(open.insert((event.process(), fd), event.path())),
                "file.close" | "net.close" => {
                    let path = open.remove(&(event.process(), fd));
                    let is_complete = event.field("path").is_some() && event.field("open_ns").is_some();
                    if let Some(path) = path.filter(|_| event.name() == "file.close" && !is_complete) {
                        broken
                            .push(format!("the close of {path} has no path or no time: {:?}", event.fields));
                    }
                }
                _ => {}
            }
        }
        broken
    }

    /// The losses of each process.
    fn losses(&self) -> BTreeMap<(i64, i64), Vec<&Event>> {
        let mut losses: BTreeMap<(i64, i64), Vec<&Event>> = BTreeMap::new();
        for loss in self.named("sensor.loss") {
            losses.entry(loss.process()).or_default().push(loss);
        }
        losses
    }
}

fn few(broken: &[String]) -> String {
    let mut text = broken.iter().take(5).map(|what| format!("  {what}\n")).collect::<String>();
    if broken.len() > 5 {
        text.push_str(&format!("  and {} more\n", broken.len() - 5));
    }
    text
}

/// Every event of docs/contract.md, with the fields that are present unless the call failed.
const KNOWN: &[(&str, &[&str])] = &[
    ("process.start", &["path", "argv", "cwd", "gid", "egid", "coverage"]),
    ("process.exec", &[]),
    ("process.fork", &["child"]),
    ("process.exit", &["sensor_ns", "events", "lost"]),
    ("process.signal", &["target", "signal"]),
    ("process.credentials", &["what"]),
    ("process.trace", &["request", "target"]),
    ("process.namespace", &["what"]),
    ("process.control", &["what"]),
    ("process.limit", &["resource", "soft", "hard"]),
    ("file.open", &["path", "fd", "flags"]),
    ("file.close", &["path", "fd", "bytes_read", "bytes_written", "reads", "writes", "open_ns"]),
    ("file.unlink", &["path"]),
    ("file.rmdir", &["path"]),
    ("file.mkdir", &["path"]),
    ("file.chmod", &["path", "mode"]),
    ("file.chown", &["path"]),
    ("file.truncate", &["path"]),
    ("file.xattr", &["path"]),
    ("file.rename", &["path", "new_path"]),
    ("file.link", &["path", "new_path"]),
    ("file.symlink", &["path", "new_path"]),
    ("file.mknod", &["path", "mode", "device"]),
    ("file.handle", &["flags"]),
    ("file.times", &[]),
    ("file.stat", &["path"]),
    ("file.access", &["path", "mode"]),
    ("file.readlink", &["path"]),
    ("file.allocate", &["path", "fd", "offset", "length"]),
    ("file.lock", &["path", "fd", "lock"]),
    ("file.sync", &[]),
    ("net.socket", &["fd", "family", "type", "protocol"]),
    ("net.bind", &["fd", "local"]),
    ("net.listen", &["fd"]),
    ("net.connect", &["fd", "family", "remote"]),
    ("net.connected", &["fd"]),
    ("net.accept", &["fd"]),
    ("net.close", &["bytes_sent", "bytes_received", "open_ns"]),
    ("dns.query", &["host"]),
    ("dns.reverse", &["addr"]),
    ("lib.load", &["flags"]),
    ("memory.map", &["addr", "len", "prot"]),
    ("kernel.module", &[]),
    ("kernel.bpf", &[]),
    ("kernel.userfaultfd", &[]),
    ("kernel.io_uring", &[]),
    ("fd.duplicate", &["fd", "target"]),
    ("sensor.loss", &["count", "reason"]),
    ("sensor.evasion", &["reason", "count"]),
    ("sensor.blind", &["reason"]),
];

/// The broken promises of one event by itself.
fn form(event: &Event, expect: Expect) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut demand = |holds: bool, what: &str| {
        if !holds {
            wrong.push(what.to_owned());
        }
    };
    let name = event.name();
    let is_ours = name.starts_with("sensor.") || name == "process.exit";

    demand(
        event.text("time").is_some_and(is_rfc3339_nanoseconds),
        "`time` is not RFC 3339 with 9 digits and Z",
    );
    demand(KNOWN.iter().any(|(known, _)| *known == name), "unknown `event`");
    for field in ["pid", "tid", "ppid", "uid", "euid"] {
        let may_be_gone = field == "tid" && expect == Expect::NothingLostBelow;
        demand(may_be_gone || event.number(field).is_some(), &format!("`{field}` is missing"));
    }
    demand(event.text("exe").is_some_and(|exe| exe.starts_with('/')), "`exe` is no absolute path");
    demand(!event.fields.values().any(Value::is_null), "a field is null: it should be absent");
    demand(!is_ours || event.seq().is_none(), "`seq` on an event that the collector makes");
    if event.fields.contains_key("call") && !is_ours {
        let via = event.text("via").unwrap_or("absent");
        demand(["symbol", "got", "inline", "notify"].contains(&via), "`via` is none of the four");
        demand((via == "notify") == event.seq().is_none(), "`seq` must be there, save via notify");
    }
    if let Some(error) = event.field("error") {
        // A failed name lookup has getaddrinfo's own kind of error (EAI_NONAME).
        let is_upper = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        let is_name = error.as_str().is_some_and(|e| e.starts_with('E') && e.bytes().all(is_upper));
        demand(is_name, "`error` is no errno's name");
    } else if let Some((_, fields)) = KNOWN.iter().find(|(known, _)| *known == name) {
        // The collector may not know these for a descriptor that was open before the first image;
        // `closes_without_path` checks the other descriptors. system and popen do not tell the pid of their
        // child; scandir, glob and sem_open do not tell their descriptor; and from daemon(3) only the child
        // returns. What is asked by an io_uring has not happened yet, and its path may be no address.
        let may_be_absent = |field: &str| match name {
            _ if event.call().starts_with("io_uring_") => ["fd", "path"].contains(&field),
            // The sensor is not in it to say so, and it may be gone when the collector looks.
            "process.start" if event.text("coverage") == Some("notify") => {
                ["cwd", "gid", "egid"].contains(&field)
            }
            // Of a descriptor that no hook counts, the kernel tells what it can.
            "file.close" | "net.close" if event.text("via") == Some("notify") => field != "fd",
            // The call has not returned when it is asked about: it has no result, and a pointer that leads
            // nowhere has no error yet.
            _ if event.text("via") == Some("notify") && !event.fields.contains_key("ret") => {
                ["fd", "child", "path", "new_path", "remote", "local", "family"].contains(&field)
            }
            "file.close" | "net.close" => ["path", "open_ns"].contains(&field),
            "process.fork" | "process.signal" if expect == Expect::NothingLostBelow => {
                ["child", "target"].contains(&field)
            }
            "process.fork" => ["system", "popen", "wordexp", "daemon"].contains(&event.call()),
            "file.open" => {
                field == "fd" && ["scandir", "scandirat", "sem_open", "glob"].contains(&event.call())
            }
            _ => false,
        };
        for field in fields.iter().filter(|field| !may_be_absent(field)) {
            demand(event.fields.contains_key(*field), &format!("`{field}` is missing"));
        }
    }
    if event.fields.contains_key("ret") {
        demand(event.number("ret").is_some(), "`ret` is not a number");
    }
    if name.starts_with("file.") && !event.has_failed() && event.fields.contains_key("path") {
        // A memory file, a socket and a pipe have no place in the tree of files.
        let path = event.path();
        demand(path.starts_with('/') || path.contains(':'), "`path` is not absolute");
        demand(!path.contains("memfd:glassbox"), "`path` is the sensor's own ring");
        let has_dots = path.split('/').any(|part| part == "." || part == "..");
        demand(!(path.starts_with('/') && has_dots), "`path` has dots in it");
    }
    if name == "process.exit" {
        let causes =
            ["code", "signal", "cause"].iter().filter(|cause| event.fields.contains_key(**cause)).count();
        demand(causes == 1, "not exactly one of `code`, `signal`, `cause`");
    }
    if name == "process.start" {
        let coverage = event.text("coverage").unwrap_or("");
        demand(["hooked", "notify", "blind"].contains(&coverage), "`coverage` is none of the three");
        demand(coverage != "hooked" || event.seq() == Some(0), "a hooked image must start at seq 0");
        demand(coverage != "blind" || event.fields.contains_key("reason"), "blind without a `reason`");
    }
    wrong
}

fn is_rfc3339_nanoseconds(time: &str) -> bool {
    let pattern = "dddd-dd-ddTdd:dd:dd.dddddddddZ";
    time.len() == pattern.len()
        && time.bytes().zip(pattern.bytes()).all(|(byte, wanted)| match wanted {
            b'd' => byte.is_ascii_digit(),
            literal => byte == literal,
        })
}

/// JSON as text with sorted keys: the order in which an object keeps them depends on how `serde_json` is
/// built.
pub fn canonical(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<String> =
                fields.iter().map(|(key, value)| format!("{key:?}:{}", canonical(value))).collect();
            fields.sort();
            format!("{{{}}}", fields.join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: &str = r#"{"time":"2026-01-02T03:04:05.000000006Z","event":"process.start","pid":7,"tid":7,"ppid":1,"exe":"/bin/x","uid":0,"euid":0,"seq":0,"path":"/bin/x","argv":[],"cwd":"/","gid":0,"egid":0,"coverage":"hooked"}"#;

    fn open(seq: u64) -> String {
        format!(
            r#"{{"time":"2026-01-02T03:04:05.000000007Z","event":"file.open","call":"open","via":"symbol","pid":7,"tid":7,"ppid":1,"exe":"/bin/x","uid":0,"euid":0,"seq":{seq},"ret":3,"path":"/a","fd":3,"flags":[]}}"#
        )
    }

    fn loss(count: u64) -> String {
        format!(
            r#"{{"time":"2026-01-02T03:04:05.000000007Z","event":"sensor.loss","pid":7,"tid":7,"ppid":1,"exe":"/bin/x","uid":0,"euid":0,"count":{count},"reason":"ring_full"}}"#
        )
    }

    fn broken(lines: &[&str], expect: Expect) -> Vec<String> {
        Events::parse(&format!("{}\n", lines.join("\n")), expect).err().unwrap_or_default()
    }

    #[test]
    fn a_tidy_output_has_nothing_against_it() {
        assert_eq!(Vec::<String>::new(), broken(&[START, &open(1), &open(2)], Expect::NothingLost));
    }

    #[test]
    fn a_gap_without_a_loss_is_found() {
        let found = broken(&[START, &open(1), &open(3)], Expect::LossIsCounted);

        assert_eq!(vec!["(pid_ns, pid) (0, 7): 1 numbers are missing, 0 explained"], found);
    }

    #[test]
    fn a_gap_with_its_loss_is_accepted_only_where_losses_are() {
        let lines = [START, &open(1), &open(4), &loss(2)];

        assert!(broken(&lines, Expect::LossIsCounted).is_empty());
        assert_eq!(1, broken(&lines, Expect::NothingLost).len());
    }

    #[test]
    fn a_number_that_comes_twice_is_found() {
        let found = broken(&[START, &open(1), &open(1)], Expect::NothingLost);

        assert_eq!(vec!["(pid_ns, pid) (0, 7) image 0: 1 numbers came twice"], found);
    }

    #[test]
    fn the_numbers_of_the_next_image_begin_again() {
        assert!(broken(&[START, &open(1), START, &open(1)], Expect::NothingLost).is_empty());
    }

    #[test]
    fn times_are_counted_from_1970() {
        let at = |time: &str| {
            let event = open(1).replace("2026-01-02T03:04:05.000000007Z", time);
            Events::parse(&format!("{START}\n{event}\n"), Expect::NothingLost).unwrap().all[1].time_ns()
        };

        assert_eq!(Some(7), at("1970-01-01T00:00:00.000000007Z"));
        assert_eq!(Some(951_868_799_000_000_000), at("2000-02-29T23:59:59.000000000Z"));
        assert_eq!(Some(1_767_323_045_000_000_007), at("2026-01-02T03:04:05.000000007Z"));
    }

    #[test]
    fn a_time_without_nanoseconds_is_refused() {
        assert!(is_rfc3339_nanoseconds("2026-01-02T03:04:05.123456789Z"));
        assert!(!is_rfc3339_nanoseconds("2026-01-02T03:04:05.123456Z"));
        assert!(!is_rfc3339_nanoseconds("2026-01-02T03:04:05.123456789+00:00"));
    }

    #[test]
    fn a_missing_field_and_a_relative_path_are_named() {
        let bad = open(1).replace("\"path\":\"/a\"", "\"path\":\"a\"").replace("\"flags\":[]", "\"x\":1");

        let found = broken(&[START, &bad], Expect::NothingLost).join(" ");

        assert!(found.contains("`path` is not absolute") && found.contains("`flags` is missing"), "{found}");
    }
}
