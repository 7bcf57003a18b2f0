//! `evt.*`: what happened, when, and how it ended.

use rules::{Answer, Argument, Success, Type};
use wire::events::Kind;

use super::super::view::{Key, View, int, made, text, truth};
use super::row::Field;
use super::{arguments, syscalls};
use crate::event::Value;
use crate::system::errors;

/// The rows of this file.
pub const FIELDS: &[Field] = &[
    Field::new(
        "evt.num",
        Type::Uint,
        number,
        "The number of the event.",
        "counted from 1, over the events that are judged",
    ),
    Field::new("evt.time", Type::Time, time, "When the call returned.", "its time"),
    Field::new("evt.time.s", Type::Uint, time_s, "The same, whole seconds since the epoch.", "its time"),
    Field::new("evt.rawtime", Type::Time, time, "When the call returned.", "its time"),
    Field::new("evt.rawtime.s", Type::Uint, time_s, "The same, whole seconds since the epoch.", "its time"),
    Field::new("evt.rawtime.ns", Type::Uint, time_ns, "The nanoseconds behind these.", "its time"),
    Field::new("evt.time.iso8601", Type::Time, time, "When the call returned.", "its time"),
    Field::new("evt.datetime", Type::Time, time, "When the call returned.", "its time"),
    Field::new(
        "evt.latency",
        Type::Duration,
        latency,
        "How long the call took; of `process.start` how long the program took to begin.",
        "`duration_ns`",
    ),
    Field::new("evt.dir", Type::Text, direction, "The direction: always `<`.", "a constant")
        .limits("retired in Falco"),
    Field::new("evt.type", Type::Text, call, "The name of the system call.", "the function that was called")
        .limits("that of glibc's function; none for `dns.query`, `lib.load`, `net.connected` and `sensor.*`"),
    Field::new(
        "evt.category",
        Type::Text,
        category,
        "The group of the event: `file`, `net`, `process`, `user`, `memory`, `signal`.",
        "the function that was called",
    )
    .limits("none for closes and other groups"),
    Field::new("evt.source", Type::Text, source, "Where events come from: always `syscall`.", "a constant"),
    Field::new("evt.args", Type::Text, all_arguments, "All arguments in one line.", "the call's arguments")
        .limits("those that the sensor copies"),
    Field::new("evt.info", Type::Text, all_arguments, "The same as `evt.args`.", "the call's arguments")
        .limits("those that the sensor copies"),
    Field::new(
        "evt.arg",
        Type::Text,
        argument,
        "An argument by its name in Falco's table of calls.",
        "the call's arguments",
    )
    .suffixed()
    .limits("those that the sensor copies, by name only; of users and groups, root's name and the process's own are known"),
    Field::new("evt.rawarg", Type::Text, argument, "The same.", "the call's arguments")
        .suffixed()
        .limits("compared as text"),
    Field::new(
        "evt.abspath",
        Type::Text,
        absolute_path,
        "The absolute path of the call; with `src` or `dst` the first or second one.",
        "the path and the caller's directory",
    )
    .keyed(),
    Field::new("evt.buffer", Type::Bytes, unknown, "Data that is read or written.", "nothing")
        .limits("no value: the sensor does not copy data"),
    Field::new("evt.buflen", Type::Uint, unknown, "The length of that.", "nothing")
        .limits("no value: single reads and writes are no events"),
    Field::new("evt.res", Type::Text, result, "`SUCCESS`, or the name of the error.", "its result and errno")
        .presuming(success)
        .limits(UNFINISHED),
    Field::new(
        "evt.rawres",
        Type::Int,
        returned,
        "What the system call returned; the error's number, negative, if it failed.",
        "its result and errno",
    )
    .presuming(not_negative)
    .limits(UNFINISHED),
    Field::new("evt.failed", Type::Bool, has_failed, "Whether the call failed.", "its result and errno"),
    Field::new("evt.count", Type::Uint, one, "Always 1.", "a constant"),
    Field::new(
        "evt.is_open_read",
        Type::Bool,
        is_open_read,
        "Whether a file is opened for reading.",
        "the flags of the call",
    ),
    Field::new(
        "evt.is_open_write",
        Type::Bool,
        is_open_write,
        "Whether a file is opened for writing.",
        "the flags of the call",
    ),
    Field::new(
        "evt.is_open_exec",
        Type::Bool,
        is_open_exec,
        "Whether a file is made that may be executed.",
        "flags and mode of the call",
    ),
    Field::new(
        "evt.is_open_create",
        Type::Bool,
        is_open_create,
        "Whether a file was made by the call.",
        "the flags of the call",
    )
    .limits("none for `O_CREAT` without `O_EXCL`"),
    Field::new("syscall.type", Type::Text, call, "The same as `evt.type`.", "the function that was called"),
];

/// The limits of results.
pub const UNFINISHED: &str = "of a call that has not returned (`via: notify`) no value is shown, and a check takes it for one that succeeds";

/// The result of a system call that succeeds.
fn success(view: &View<'_>) -> Option<Success> {
    Some(Success::Text("SUCCESS")).filter(|_| !syscalls::name(view).is_empty())
}

/// The number that a system call gives which succeeds: the addresses of mappings are below 2^63 too.
fn not_negative(view: &View<'_>) -> Option<Success> {
    Some(Success::NotNegative).filter(|_| !syscalls::name(view).is_empty())
}

/// How long the call took.
fn latency<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    match view.value(Key::DurationNs) {
        Value::Uint(time) => Answer::Uint(time),
        _ => Answer::Absent,
    }
}

/// The name of the system call.
pub fn call<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    text(Some(syscalls::name(view).as_bytes()).filter(|name| !name.is_empty()))
}

/// `SUCCESS`, or the name of the error.
pub fn result<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    if let Some(error) = error(view) {
        return text(Some(error.as_bytes()));
    }
    let has_returned = raw_result(view).is_some() || has_returned(view);
    text(Some(b"SUCCESS".as_slice()).filter(|_| has_returned))
}

/// The returned number, or the error's number, negative.
pub fn returned<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    int(raw_result(view))
}

/// Whether the call failed.
pub fn has_failed<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    Answer::Bool(error(view).is_some())
}

/// Whether a file was opened to read it.
pub fn is_open_read<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    truth(opens(view, &["O_RDONLY", "O_RDWR"]))
}

/// Whether a file was opened to write it.
pub fn is_open_write<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    truth(opens(view, &["O_WRONLY", "O_RDWR"]))
}

/// Whether a file is made that may be executed.
pub fn is_open_exec<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    let is_made = match syscalls::name(view) {
        "creat" => true,
        _ => opens(view, &["O_CREAT", "O_TMPFILE"]) == Some(true),
    };
    Answer::Bool(is_made && view.integer(Key::Mode).is_some_and(|mode| mode & 0o111 != 0))
}

/// Whether a file was made: known where the call makes one or fails, or makes none in any case.
pub fn is_open_create<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    if error(view).is_some() {
        return Answer::Bool(false);
    }
    match opens(view, &["O_CREAT", "O_TMPFILE"]) {
        Some(true) => match opens(view, &["O_EXCL", "O_TMPFILE"]) {
            Some(true) => Answer::Bool(true),
            _ => Answer::Absent,
        },
        known => truth(known),
    }
}

/// All arguments that are known, in one line.
pub fn all_arguments<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    let mut line = Vec::new();
    for (name, value) in arguments::all(view) {
        if !line.is_empty() {
            line.push(b' ');
        }
        line.extend_from_slice(name.as_bytes());
        line.push(b'=');
        write(&value, &mut line);
    }
    made(Some(line).filter(|line| !line.is_empty()))
}

/// One argument by its name, as text.
pub fn argument<'a>(view: &View<'a>, argument: Option<&Argument>) -> Answer<'a> {
    let Some(Argument::Key(name)) = argument else { return Answer::Absent };
    match arguments::named(view, name) {
        Answer::Absent => Answer::Absent,
        Answer::Text(value) => Answer::Text(value),
        other => {
            let mut value = Vec::new();
            write(&other, &mut value);
            made(Some(value))
        }
    }
}

/// The absolute path of the call's first or second path.
pub fn absolute_path<'a>(view: &View<'a>, argument: Option<&Argument>) -> Answer<'a> {
    let is_second = matches!(argument, Some(Argument::Key(which)) if &**which == "dst");
    // The target of a symbolic link is no path that the call walks.
    let is_link = view.kind() == Kind::FileSymlink;
    let key = if is_second || is_link { Key::NewPath } else { Key::Path };
    text(view.text(key).filter(|_| !syscalls::name(view).is_empty()))
}

/// When it happened.
pub fn time<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    Answer::Uint(view.event.time.0)
}

/// The same in whole seconds.
pub fn time_s<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    Answer::Uint(view.event.time.0 / 1_000_000_000)
}

/// The nanoseconds behind these.
pub fn time_ns<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    Answer::Uint(view.event.time.0 % 1_000_000_000)
}

/// The place of the event.
pub fn number<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    Answer::Uint(view.number)
}

/// All events are told when the call returned.
pub fn direction<'a>(_: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    text(Some(b"<"))
}

/// All events are of programs.
pub fn source<'a>(_: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    text(Some(b"syscall"))
}

/// Always 1.
pub fn one<'a>(_: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    Answer::Uint(1)
}

/// No value: the sensor does not copy what is read and written.
pub fn unknown<'a>(_: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    Answer::Absent
}

/// What kind of thing it is about, where Falco's groups and ours are the same.
pub fn category<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    let name = view.kind().name();
    let category: Option<&[u8]> = match view.kind() {
        Kind::ProcessStart | Kind::ProcessExec | Kind::ProcessFork | Kind::ProcessExit => Some(b"process"),
        Kind::ProcessSignal => Some(b"signal"),
        Kind::ProcessCredentials => Some(b"user"),
        Kind::FileOpen if syscalls::name(view) == "memfd_create" => Some(b"memory"),
        Kind::FileClose | Kind::NetClose => None,
        _ if name.starts_with("file.") => Some(b"file"),
        _ if name.starts_with("net.") => Some(b"net"),
        _ => None,
    };
    text(category.filter(|_| !syscalls::name(view).is_empty()))
}

/// The name of the error. A connection that is pending has one in Falco's view.
fn error(view: &View<'_>) -> Option<&'static str> {
    let is_pending = view.kind() == Kind::NetConnect && matches!(view.value(Key::Pending), Value::Bool(true));
    match view.event.error {
        "" if is_pending => Some("EINPROGRESS"),
        "" => None,
        error => Some(error),
    }
}

/// A program that begins is an exec that succeeded.
fn has_returned(view: &View<'_>) -> bool {
    !syscalls::name(view).is_empty() && (view.kind() == Kind::ProcessStart || view.event.ret.is_some())
}

/// The number as the system call returns it, where libc's function returned something else.
fn raw_result(view: &View<'_>) -> Option<i64> {
    if let Some(error) = error(view) {
        return errors::errno_number(error).map(|number| -i64::from(number));
    }
    if !has_returned(view) {
        return None;
    }
    match view.kind() {
        Kind::ProcessStart => Some(0),
        Kind::FileOpen => view.integer(Key::Fd),
        Kind::ProcessFork => view.integer(Key::Child).or(view.event.ret),
        Kind::FileMkdir | Kind::FileClose => Some(0),
        _ => view.event.ret,
    }
}

/// Whether a call that opens by name has one of these flags; false for every other call.
fn opens(view: &View<'_>, wanted: &[&str]) -> Option<bool> {
    if !matches!(syscalls::name(view), "open" | "openat" | "openat2" | "open_by_handle_at") {
        return Some(false);
    }
    let mut is_any = None;
    for flag in wanted {
        let has = view.has_flag(Key::Flags, flag)?;
        is_any = Some(is_any.unwrap_or(false) || has);
    }
    is_any
}

/// A value as Falco prints it; `None` for none.
pub fn shown(value: &Answer<'_>) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    write(value, &mut text);
    (!matches!(value, Answer::Absent | Answer::Presumed(_))).then_some(text)
}

/// Appends a value as Falco prints it.
fn write(value: &Answer<'_>, out: &mut Vec<u8>) {
    match value {
        Answer::Absent | Answer::Presumed(_) => {}
        Answer::Text(text) => out.extend_from_slice(text),
        Answer::Int(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Answer::Uint(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Answer::Bool(truth) => out.extend_from_slice(truth.to_string().as_bytes()),
        Answer::Address(address) => out.extend_from_slice(address.to_string().as_bytes()),
        Answer::List(values) => {
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    out.push(b' ');
                }
                write(value, out);
            }
        }
    }
}
