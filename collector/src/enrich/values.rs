//! Values of events: paths made absolute, addresses as text, constants as names.

use std::sync::Arc;

use wire::events::{Decoded, Kind};
use wire::fields::{self, AT_FDCWD, Shown};
use wire::names;
use wire::record::Head;

use super::addresses::{self, Address};
use super::paths;
use super::process::Process;
use super::spawned;
use super::walks;
use crate::event::{Batch, Span, Value};
use crate::system::errors;
use crate::system::procfs;

/// The name of a failed call's error; empty where it did not fail, and for a connection that is pending.
pub fn error_of(head: &Head, kind: Kind, call: &str) -> &'static str {
    let is_pending = kind == Kind::NetConnect && i32::from(head.errno) == libc::EINPROGRESS;
    if is_pending {
        return "";
    }
    if head.errno != 0 {
        return errors::errno_name(head.errno);
    }
    if matches!((kind, call), (Kind::DnsQuery, "getaddrinfo") | (Kind::DnsReverse, "getnameinfo")) {
        return errors::resolver_name(head.ret).unwrap_or("");
    }
    ""
}

/// The thing that an event's path begins at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// The directory of the record, or the root.
    Directory,
    /// Nothing: the path is a name.
    Name,
    /// The directory of the record, also for a path that begins with a slash, and `..` does not leave it
    /// (openat2(2), `RESOLVE_IN_ROOT`).
    Root,
}

/// The thing that the paths of a record begin at.
pub fn base_of(decoded: &Decoded<'_>, call: &str) -> Base {
    let is_within = |resolve: fields::ResolveFlags| u64::from(resolve.0) & names::RESOLVE_IN_ROOT != 0;
    match decoded {
        Decoded::LibLoad(load) if !load.path.raw.unwrap_or_default().contains(&b'/') => Base::Name,
        Decoded::FileOpen(_) if call == "memfd_create" => Base::Name,
        Decoded::FileOpen(open) if open.resolve.is_some_and(is_within) => Base::Root,
        _ => Base::Directory,
    }
}

/// What became of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// There is none.
    Nothing,
    /// It leads where the kernel went, as far as text can say.
    Path,
    /// Its `..` went by the text alone, which says something else behind a symbolic link.
    Lexical,
}

/// Appends the absolute form of a record's path.
pub fn path_text(process: &mut Process, path: &fields::Path<'_>, base: Base, out: &mut Vec<u8>) -> Found {
    let raw = path.raw.unwrap_or_default();
    if base == Base::Root {
        let mut within = Vec::new();
        let goes_up = paths::resolve(b"/", raw, &mut within);
        let beneath = within.strip_prefix(b"/").unwrap_or(&within);
        let path = fields::Path { raw: Some(beneath), ..*path };
        let found = path_text(process, &path, Base::Directory, out);
        return if goes_up { Found::Lexical } else { found };
    }
    let is_relative = raw.first() != Some(&b'/');
    if base == Base::Name || (path.dir < 0 && path.dir != AT_FDCWD && is_relative) {
        out.extend_from_slice(raw);
        return if raw.is_empty() { Found::Nothing } else { Found::Path };
    }
    if !is_relative {
        return resolved(process, b"/", raw, out);
    }
    if path.dir == AT_FDCWD {
        if process.cwd.is_empty()
            && let Some(cwd) = process.visible_pid().and_then(procfs::cwd)
        {
            process.cwd = cwd.into();
        }
        let start = out.len();
        if !paths::resolve(&process.cwd, raw, out) || process.is_cwd_physical && walks::goes_up_first(raw) {
            return Found::Path;
        }
        let cwd = Arc::clone(&process.cwd);
        return walked(process, &cwd, raw, out, start);
    }
    match process.path(path.dir) {
        Some(directory) => return resolved(process, &directory, raw, out),
        // A descriptor of which nothing is known.
        None if path.raw.is_none() => return Found::Nothing,
        None => out.extend_from_slice(raw),
    }
    Found::Path
}

/// Appends the absolute form of `raw`, which is relative to `base`.
fn resolved(process: &mut Process, base: &[u8], raw: &[u8], out: &mut Vec<u8>) -> Found {
    let start = out.len();
    match paths::resolve(base, raw, out) {
        true => walked(process, base, raw, out, start),
        false => Found::Path,
    }
}

/// Puts the path that the kernel walks in place of the lexical form of `raw`, which begins at `start` of
/// `out`. The lexical form stays where the kernel's way is not known.
#[cold]
fn walked(process: &mut Process, base: &[u8], raw: &[u8], out: &mut Vec<u8>, start: usize) -> Found {
    let (up, rest) = raw.split_at(walks::last_up(raw).unwrap_or(0));
    let is_relative = raw.first() != Some(&b'/');
    let up = if is_relative { [base, b"/", up].concat() } else { up.to_vec() };
    let directory = if up.first() == Some(&b'/') { process.walk(&up) } else { None };
    match directory {
        Some(directory) => {
            out.truncate(start);
            paths::resolve(&directory, rest.strip_prefix(b"/").unwrap_or(rest), out);
            Found::Path
        }
        None => Found::Lexical,
    }
}

fn path_value(batch: &mut Batch, process: &mut Process, path: &fields::Path<'_>, base: Base) -> Value {
    let mut found = Found::Nothing;
    let resolved = batch.keep_with(|out| found = path_text(process, path, base, out));
    if found == Found::Nothing {
        return Value::Absent;
    }
    let raw = path.raw.filter(|raw| batch.bytes(resolved) != *raw);
    match (raw.map(|raw| batch.keep(raw)), found) {
        (Some(raw), Found::Lexical) => Value::LexicalPath(resolved, raw),
        (raw, _) => Value::Path(resolved, raw),
    }
}

/// A sent field as a value of the batch.
pub fn value_of(batch: &mut Batch, process: &mut Process, shown: Shown<'_>, base: Base) -> Value {
    match shown {
        Shown::Absent => Value::Absent,
        Shown::Int(number) => Value::Int(number),
        Shown::Uint(number) => Value::Uint(number),
        Shown::Bool(truth) => Value::Bool(truth),
        Shown::Text(text) => Value::Text(batch.keep(text)),
        Shown::Path(path) => path_value(batch, process, &path, base),
        Shown::List(list) => Value::List(strings(batch, list)),
        Shown::Map(list) => Value::Map(strings(batch, list)),
        Shown::Word(word) => Value::Word(word),
        Shown::Names(table, bits) => Value::Names(table, bits),
        Shown::Address(bytes) => {
            let cwd = Arc::clone(&process.cwd);
            let span = batch.keep_with(|out| Address::of(bytes).write(&cwd, out));
            if batch.bytes(span).is_empty() { Value::Absent } else { Value::Text(span) }
        }
        Shown::Ip(bytes) => match addresses::answers(bytes).next() {
            Some(ip) => Value::Text(batch.keep_with(|out| out.extend_from_slice(ip.to_string().as_bytes()))),
            None => Value::Absent,
        },
        Shown::Actions(bytes) => Value::List(batch.keep_with(|out| spawned::write(bytes, out))),
        Shown::Answers(bytes) => Value::List(batch.keep_with(|out| {
            for ip in addresses::answers(bytes) {
                out.extend_from_slice(ip.to_string().as_bytes());
                out.push(0);
            }
        })),
    }
}

fn strings(batch: &mut Batch, list: fields::Args<'_>) -> Span {
    match list {
        fields::Args::Packed(bytes) if bytes.is_empty() || bytes.ends_with(&[0]) => batch.keep(bytes),
        other => batch.keep_with(|out| {
            for string in other.iter() {
                out.extend_from_slice(string);
                out.push(0);
            }
        }),
    }
}

fn named(table: &'static [(i64, &'static str)], value: Option<i32>) -> Value {
    value.map_or(Value::Absent, |value| {
        names::word(table, i64::from(value)).map_or(Value::Int(i64::from(value)), Value::Word)
    })
}

/// An address family's name.
pub fn family_value(family: Option<i32>) -> Value {
    named(names::FAMILY, family)
}

/// A socket type's name.
pub fn kind_value(kind: Option<i32>) -> Value {
    named(names::SOCKET_TYPE, kind)
}

/// A protocol's name; its number where the family is not of the internet, whose protocols are others.
pub fn protocol_value(family: Option<i32>, protocol: Option<i32>) -> Value {
    let is_internet = family.is_none_or(|family| [libc::AF_INET, libc::AF_INET6].contains(&family));
    named(if is_internet { names::PROTOCOL } else { &[] }, protocol)
}
