//! The events of a recording as libscap has them: each call as an event where it begins and one where it
//! ends, with the parameters of `driver/event_table.c`.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use serde_json::Value;

use super::{Capture, Parameters, Process};

/// The name of a call, and libscap's number of its beginning; the end has the next one.
const CALLS: &[(&str, u16)] = &[
    ("close", 4),
    ("socket", 18),
    ("bind", 20),
    ("connect", 22),
    ("listen", 24),
    ("chdir", 94),
    ("rename", 174),
    ("renameat", 176),
    ("symlink", 178),
    ("symlinkat", 180),
    ("procexit", 186),
    // Calls that libscap has by other names: they stand in the capture for the descriptors that they make.
    ("dup", DUPLICATE),
    ("dup2", DUPLICATE),
    ("dup3", DUPLICATE),
    ("fcntl", DUPLICATE),
    ("clone", 222),
    ("fork", 224),
    ("vfork", 226),
    ("accept4", 248),
    ("mkdir", 276),
    ("rmdir", 278),
    ("execve", 292),
    ("unlink", 300),
    ("unlinkat", 302),
    ("openat", 306),
    ("link", 308),
    ("linkat", 310),
    ("fchmodat", 312),
    ("chmod", 314),
    ("fchmod", 316),
    ("renameat2", 318),
];

const DUPLICATE: u16 = 124;

/// The names of the flags of `open`, in the order of libscap's bits.
const OPEN_FLAGS: &[&str] = &[
    "O_RDONLY",
    "O_WRONLY",
    "O_CREAT",
    "O_APPEND",
    "O_DSYNC",
    "O_EXCL",
    "O_NONBLOCK",
    "O_SYNC",
    "O_TRUNC",
    "O_DIRECT",
    "O_DIRECTORY",
    "O_LARGEFILE",
    "O_CLOEXEC",
];

/// The control group of a container, as Docker names it.
const CONTAINER: &[u8] = b"cpuset=/docker/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\0";

/// `AT_FDCWD`.
const HERE: i64 = -100;

/// What libsinsp must be told of a process in its events.
#[derive(Clone, Debug, Default)]
struct Program {
    argv: Vec<String>,
    name: String,
    cwd: String,
    /// Descriptors that were made by calls of the capture.
    files: HashSet<i64>,
}

/// Makes a capture of events with the names of their calls (`evt.type`), in their order.
///
/// The second part of the answer are the times of the events that the capture has, in nanoseconds since the
/// epoch; calls that are not in [`CALLS`] are left out, and those on descriptors that none of them made.
/// `is_contained` says that the processes ran in a container.
pub fn capture(events: &[(Value, Option<String>)], is_contained: bool) -> (Vec<u8>, Vec<u64>) {
    let groups: &[u8] = if is_contained { CONTAINER } else { b"" };
    let mut writer = Writer { capture: Capture::new(), programs: HashMap::new(), times: Vec::new(), groups };
    let mut told: HashSet<usize> = HashSet::new();
    // A parent reports its fork as it returns there, when the child may have run already.
    let forks: HashMap<i64, usize> = events
        .iter()
        .enumerate()
        .filter_map(|(index, (event, _))| Some((event["child"].as_i64()?, index)))
        .collect();
    for (index, (event, call)) in events.iter().enumerate() {
        let pid = event["pid"].as_i64().unwrap_or_default();
        let mut due = vec![];
        let mut child = pid;
        while let Some(fork) = forks
            .get(&child)
            .copied()
            .filter(|fork| !writer.programs.contains_key(&child) && told.insert(*fork))
        {
            due.push(fork);
            child = events[fork].0["pid"].as_i64().unwrap_or_default();
        }
        for fork in due.into_iter().rev() {
            writer.event(&events[fork].0, events[fork].1.as_deref());
        }
        if told.insert(index) {
            writer.event(event, call.as_deref());
        }
    }
    (writer.capture.into_bytes(), writer.times)
}

struct Writer {
    capture: Capture,
    programs: HashMap<i64, Program>,
    times: Vec<u64>,
    groups: &'static [u8],
}

impl Writer {
    fn event(&mut self, event: &Value, call: Option<&str>) {
        let Some((name, kind)) = CALLS.iter().find(|(name, _)| Some(*name) == call) else { return };
        let pid = number(event, "pid");
        if !self.programs.contains_key(&pid) {
            self.begin(event, pid);
        }
        let Some((begin, end)) = self.parameters(event, name) else { return };
        let (time, tid) = (nanoseconds(text(event, "time")), number(event, "tid"));
        self.capture.event(time, tid, *kind, begin);
        if let Some(end) = end {
            self.capture.event(time, tid, kind + 1, end);
        }
        if *kind != DUPLICATE {
            self.times.push(time);
        }
    }

    /// A process whose beginning was not seen.
    fn begin(&mut self, event: &Value, pid: i64) {
        let cwd = folder(text(event, "cwd"));
        self.capture.process(&Process {
            pid,
            ppid: number(event, "ppid"),
            name: "earlier",
            cwd: &cwd,
            uid: short(event, "euid"),
            gid: short(event, "egid"),
            groups: self.groups,
        });
        self.programs.insert(
            pid,
            Program { cwd, name: "earlier".into(), argv: vec!["earlier".into()], files: HashSet::new() },
        );
    }

    /// The parameters as a call begins and as it ends; `None` for a call that the capture cannot have.
    fn parameters(&mut self, event: &Value, call: &str) -> Option<(Parameters, Option<Parameters>)> {
        let new = Parameters::new;
        let result = result(event);
        let ended = new().number(result);
        let fd = number(event, "fd");
        let files = &mut self.programs.entry(number(event, "pid")).or_default().files;
        match call {
            "openat" | "socket" | "accept4" if result >= 0 => {
                files.insert(result);
            }
            "dup" | "dup2" | "dup3" | "fcntl" if result >= 0 && files.contains(&fd) => {
                files.insert(result);
            }
            "close" if files.remove(&fd) => (),
            "close" | "dup" | "dup2" | "dup3" | "fcntl" => {
                files.remove(&result);
                return None;
            }
            _ => (),
        }
        let (path, new_path) = (text(event, "path"), text(event, "new_path"));
        let (begin, end) = match call {
            "openat" => {
                let (flags, mode) = (open_flags(event), short(event, "mode"));
                let begin = new().number(HERE).text(path).short(flags).short(mode);
                (begin, ended.number(HERE).text(path).short(flags).short(mode).short(0))
            }
            "close" | "dup" | "dup2" | "dup3" | "fcntl" => (new().number(fd), ended),
            "execve" => return Some(self.exec(event, result)),
            "clone" | "fork" | "vfork" => (new(), self.fork(event, result)),
            "procexit" => {
                let signal = event["signal"].as_i64().unwrap_or(0);
                let status = number(event, "code") << 8 | signal;
                return Some((new().number(status).number(0).bytes(&[0]).bytes(&[0]), None));
            }
            "chdir" => {
                if result == 0 {
                    self.programs.entry(number(event, "pid")).or_default().cwd = folder(path);
                }
                (new(), ended.text(path))
            }
            "mkdir" => (new().short(short(event, "mode")), ended.text(path)),
            "rmdir" | "unlink" => (new(), ended.text(path)),
            "unlinkat" => {
                let flags = if text(event, "event") == "file.rmdir" { 0x200 } else { 0 };
                (new(), ended.number(HERE).text(path).short(flags))
            }
            "rename" | "link" => (new(), ended.text(path).text(new_path)),
            "renameat" => (new(), ended.number(HERE).text(path).number(HERE).text(new_path)),
            "renameat2" | "linkat" => {
                (new(), ended.number(HERE).text(path).number(HERE).text(new_path).short(0))
            }
            "symlink" => (new(), ended.text(raw(event, "path")).text(new_path)),
            "symlinkat" => (new(), ended.text(raw(event, "path")).number(HERE).text(new_path)),
            "chmod" => (new(), ended.text(path).short(short(event, "mode"))),
            "fchmod" => (new(), ended.number(fd).short(short(event, "mode"))),
            "fchmodat" => (new(), ended.number(HERE).text(path).short(short(event, "mode"))),
            "socket" => {
                let family = family(text(event, "family"))?;
                let kind = if text(event, "type") == "SOCK_DGRAM" { 2 } else { 1 };
                let protocol = match text(event, "protocol") {
                    "IPPROTO_TCP" => 6,
                    "IPPROTO_UDP" => 17,
                    _ => 0,
                };
                (new().short(family.into()).short(kind).short(protocol), ended)
            }
            "bind" => {
                let address = address(text(event, "local"), family(text(event, "family"))?)?;
                (new().number(fd), ended.bytes(&address))
            }
            "listen" => (new().number(fd).short(short(event, "backlog")), ended),
            "connect" => {
                let family = family(text(event, "family"))?;
                let address = address(text(event, "remote"), family)?;
                let ends = tuple(text(event, "local"), text(event, "remote"), family)?;
                (new().number(fd).bytes(&address), ended.bytes(&ends))
            }
            "accept4" => {
                let family = family(text(event, "family"))?;
                let ends = tuple(text(event, "remote"), text(event, "local"), family)?;
                (new().short(0), ended.bytes(&ends).bytes(&[0]).short(0).short(0))
            }
            _ => return None,
        };
        Some((begin, Some(end)))
    }

    /// The beginning of an image, or an attempt that failed.
    fn exec(&mut self, event: &Value, result: i64) -> (Parameters, Option<Parameters>) {
        let pid = number(event, "pid");
        let program = self.programs.entry(pid).or_default();
        if text(event, "event") == "process.start" {
            program.argv = texts(event, "argv");
            program.cwd = folder(text(event, "cwd"));
            // The kernel cuts the name.
            let name = Path::new(text(event, "path")).file_name().unwrap_or_default();
            program.name = name.to_string_lossy().chars().take(15).collect();
        }
        let image = if result == 0 { text(event, "exe") } else { text(event, "path") };
        let end = described(event, program, result).bytes(self.groups).bytes(b"");
        let end = end.short(0).number(pid).bytes(&(-1_i32).to_le_bytes()).short(0);
        (Parameters::new().text(image), Some(end))
    }

    /// The return of a fork in the parent, from which libsinsp makes the child.
    fn fork(&mut self, event: &Value, result: i64) -> Parameters {
        let pid = number(event, "pid");
        let program = self.programs.get(&pid).cloned().unwrap_or_default();
        if result > 0 {
            self.programs.insert(result, program.clone());
        }
        let end = described(event, &program, result).bytes(self.groups).short(0);
        end.short(short(event, "euid")).short(short(event, "egid")).number(pid).number(pid)
    }
}

/// The first parameters of `execve` and the forks, which are the same.
fn described(event: &Value, program: &Program, result: i64) -> Parameters {
    let arguments = program.argv.get(1..).unwrap_or_default();
    let parameters = Parameters::new()
        .number(result)
        .text(program.argv.first().map_or("", String::as_str))
        .texts(arguments)
        .number(number(event, "tid"))
        .number(number(event, "pid"))
        .number(number(event, "ppid"))
        .text(&program.cwd)
        .number(1024);
    parameters.number(0).number(0).short(0).short(0).short(0).text(&program.name)
}

/// What the call returned, with the error's number negative, as the kernel returns it.
fn result(event: &Value) -> i64 {
    let Some(error) = event["error"].as_str() else { return number(event, "ret") };
    let errors: [(&str, i64); 10] = [
        ("EPERM", 1),
        ("ENOENT", 2),
        ("ENXIO", 6),
        ("EACCES", 13),
        ("EEXIST", 17),
        ("ENOTDIR", 20),
        ("EISDIR", 21),
        ("EINVAL", 22),
        ("ENOTEMPTY", 39),
        ("ECONNREFUSED", 111),
    ];
    let known = errors.iter().find(|(name, _)| *name == error);
    known.map(|(_, number)| -number).unwrap_or_else(|| panic!("the number of {error} is missing here"))
}

fn open_flags(event: &Value) -> u32 {
    let names = texts(event, "flags");
    let has = |wanted: &str| names.iter().any(|name| name == wanted);
    let bits = OPEN_FLAGS.iter().enumerate().filter(|(_, name)| has(name)).map(|(bit, _)| 1 << bit);
    bits.sum::<u32>() | if has("O_RDWR") { 3 } else { 0 }
}

fn family(name: &str) -> Option<u8> {
    match name {
        "AF_UNIX" => Some(1),
        "AF_INET" => Some(2),
        "AF_INET6" => Some(10),
        _ => None,
    }
}

/// A family and an address of it.
fn address(text: &str, family: u8) -> Option<Vec<u8>> {
    let mut bytes = vec![family];
    match family {
        1 => bytes.extend([text.as_bytes(), &[0]].concat()),
        _ => bytes.extend(end(text.parse().ok()?)),
    }
    Some(bytes)
}

/// A family and two addresses, the client's and the server's.
fn tuple(client: &str, server: &str, family: u8) -> Option<Vec<u8>> {
    let mut bytes = vec![family];
    if family == 1 {
        bytes.extend([0; 16]);
        bytes.extend([server.as_bytes(), &[0]].concat());
        return Some(bytes);
    }
    let none = if family == 2 { "0.0.0.0:0" } else { "[::]:0" };
    bytes.extend(end(if client.is_empty() { none } else { client }.parse().ok()?));
    bytes.extend(end(server.parse().ok()?));
    Some(bytes)
}

fn end(address: SocketAddr) -> Vec<u8> {
    let mut bytes = match address.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    bytes.extend(address.port().to_le_bytes());
    bytes
}

fn text<'a>(event: &'a Value, key: &str) -> &'a str {
    event[key].as_str().unwrap_or_default()
}

/// A path as the program passed it.
fn raw<'a>(event: &'a Value, key: &str) -> &'a str {
    event[format!("{key}_raw")].as_str().unwrap_or_else(|| text(event, key))
}

fn texts(event: &Value, key: &str) -> Vec<String> {
    let list = event[key].as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn number(event: &Value, key: &str) -> i64 {
    event[key].as_i64().unwrap_or_default()
}

fn short(event: &Value, key: &str) -> u32 {
    event[key].as_u64().and_then(|number| u32::try_from(number).ok()).unwrap_or_default()
}

/// A directory with a slash at its end, as libsinsp keeps it.
fn folder(path: &str) -> String {
    format!("{}/", path.trim_end_matches('/'))
}

/// Nanoseconds since the epoch of a time such as `2026-11-29T23:18:22.264991832Z`.
fn nanoseconds(time: &str) -> u64 {
    let parts: Vec<u64> =
        time.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect();
    let [year, month, day, hour, minute, second, fraction] = parts[..] else { panic!("no time: {time}") };
    // Years begin in March, so that a leap day is the last (Howard Hinnant, days_from_civil).
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468;
    (((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000_000_000 + fraction
}
