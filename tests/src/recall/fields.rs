//! The fields of events that strace says too, and how its arguments are written as events have them.
//!
//! The fields that identify a call are in `kinds`; here are all others. Every value is text: numbers in
//! decimal, permissions in octal, flags by their names in order.

use serde_json::Value;

use super::line::{Line, annotated, peer, unquoted, unquoted_list};
use crate::events::Event;

/// One field by strace's word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The field of the event.
    pub field: &'static str,
    /// Its value; empty if the event must not have the field.
    pub value: String,
}

/// Where strace says a field; numbers count arguments from 0.
#[derive(Debug)]
enum Says {
    /// Names joined by `|`; 0 is none.
    Names(usize),
    /// The names behind a key in a structure.
    NamesIn(usize, &'static str),
    /// Permissions in octal.
    Octal(usize),
    /// Permissions in octal behind a key in a structure.
    OctalIn(usize, &'static str),
    /// Type and permissions of a file: `S_IFIFO|0600`.
    TypeAndOctal(usize),
    /// A number.
    Number(usize),
    /// A number of 32 bits: -1 is a value as others.
    Id(usize),
    /// A string.
    Text(usize),
    /// A list of strings.
    List(usize),
    /// `makedev(0x1, 0x3)`, or nothing.
    Device(usize),
    /// The name or number of a signal.
    Signal(usize),
    /// The first name of several: `SOCK_STREAM|SOCK_CLOEXEC`.
    First(usize),
    /// The family in a socket address.
    Family(usize),
    /// A socket address.
    Address(usize),
    /// The address that a socket is bound to, by strace's word behind the descriptor.
    Bound(usize),
    /// The far end of a returned socket.
    FarEnd,
    /// The returned descriptor, if there is one.
    Descriptor,
    /// Numbers of users or groups, in the order of the arguments.
    Ids(&'static [usize]),
    /// A list of numbers of groups.
    Groups(usize),
    /// These words, whatever the arguments are.
    Always(&'static str),
}

use Says::{
    Address, Always, Bound, Descriptor, Device, Family, FarEnd, First, Groups, Id, Ids, List, Names, NamesIn,
    Number, Octal, OctalIn, Signal, Text, TypeAndOctal,
};

type Row = (&'static str, &'static [(&'static str, Says)]);

const TABLE: &[Row] = &[
    ("execve", &[("argv", List(1))]),
    ("execveat", &[("argv", List(2)), ("flags", Names(4))]),
    ("kill", &[("signal", Signal(1))]),
    ("tkill", &[("signal", Signal(1))]),
    ("tgkill", &[("signal", Signal(2))]),
    ("rt_sigqueueinfo", &[("signal", Signal(1))]),
    ("rt_tgsigqueueinfo", &[("signal", Signal(2))]),
    ("setuid", &[("what", Always("uid")), ("to", Ids(&[0]))]),
    ("setgid", &[("what", Always("gid")), ("to", Ids(&[0]))]),
    ("setreuid", &[("to", Ids(&[0, 1]))]),
    ("setregid", &[("to", Ids(&[0, 1]))]),
    ("setresuid", &[("to", Ids(&[0, 1, 2]))]),
    ("setresgid", &[("to", Ids(&[0, 1, 2]))]),
    ("setfsuid", &[("what", Always("fsuid")), ("to", Ids(&[0]))]),
    ("setfsgid", &[("what", Always("fsgid")), ("to", Ids(&[0]))]),
    ("setgroups", &[("what", Always("groups")), ("to", Groups(1))]),
    ("capset", &[("what", Always("capabilities"))]),
    ("setns", &[("what", Always("setns")), ("flags", Names(1))]),
    ("unshare", &[("what", Always("unshare")), ("flags", Names(0))]),
    ("chroot", &[("what", Always("chroot"))]),
    ("pivot_root", &[("what", Always("pivot_root"))]),
    (
        "mount",
        &[("what", Always("mount")), ("source", Text(0)), ("filesystem", Text(2)), ("flags", Names(3))],
    ),
    ("umount2", &[("what", Always("umount")), ("flags", Names(1))]),
    ("open", &[("flags", Names(1)), ("mode", Octal(2)), ("fd", Descriptor)]),
    ("openat", &[("flags", Names(2)), ("mode", Octal(3)), ("fd", Descriptor)]),
    (
        "openat2",
        &[
            ("flags", NamesIn(2, "flags=")),
            ("mode", OctalIn(2, "mode=")),
            ("resolve", NamesIn(2, "resolve=")),
            ("fd", Descriptor),
        ],
    ),
    ("creat", &[("flags", Always("O_CREAT|O_TRUNC|O_WRONLY")), ("mode", Octal(1)), ("fd", Descriptor)]),
    ("mkdir", &[("mode", Octal(1))]),
    ("mkdirat", &[("mode", Octal(2))]),
    ("chmod", &[("mode", Octal(1))]),
    ("fchmod", &[("mode", Octal(1))]),
    ("fchmodat", &[("mode", Octal(2))]),
    ("fchmodat2", &[("mode", Octal(2)), ("flags", Names(3))]),
    ("chown", &[("owner", Id(1)), ("group", Id(2))]),
    ("lchown", &[("owner", Id(1)), ("group", Id(2))]),
    ("fchown", &[("owner", Id(1)), ("group", Id(2))]),
    ("fchownat", &[("owner", Id(2)), ("group", Id(3)), ("flags", Names(4))]),
    ("truncate", &[("length", Number(1))]),
    ("ftruncate", &[("length", Number(1))]),
    ("setxattr", &[("name", Text(1)), ("size", Number(3)), ("flags", Names(4))]),
    ("lsetxattr", &[("name", Text(1)), ("size", Number(3)), ("flags", Names(4))]),
    ("fsetxattr", &[("name", Text(1)), ("size", Number(3)), ("flags", Names(4))]),
    ("removexattr", &[("name", Text(1))]),
    ("lremovexattr", &[("name", Text(1))]),
    ("fremovexattr", &[("name", Text(1))]),
    ("mknod", &[("mode", TypeAndOctal(1)), ("device", Device(2))]),
    ("mknodat", &[("mode", TypeAndOctal(2)), ("device", Device(3))]),
    ("renameat2", &[("flags", Names(4))]),
    ("linkat", &[("flags", Names(4))]),
    ("newfstatat", &[("flags", Names(3))]),
    ("statx", &[("flags", Names(2))]),
    ("faccessat2", &[("flags", Names(3))]),
    ("fallocate", &[("flags", Names(1)), ("offset", Number(2)), ("length", Number(3))]),
    ("utimensat", &[("flags", Names(3))]),
    ("socket", &[("family", First(0)), ("type", First(1)), ("protocol", First(2))]),
    ("bind", &[("family", Family(1)), ("local", Address(1))]),
    ("listen", &[("backlog", Number(1)), ("local", Bound(0))]),
    ("connect", &[("fd", Number(0)), ("family", Family(1))]),
    ("accept", &[("local", Bound(0)), ("remote", FarEnd)]),
    ("accept4", &[("local", Bound(0)), ("remote", FarEnd)]),
];

/// The names of the fields of a call.
pub fn of(call: &str) -> impl Iterator<Item = &'static str> {
    row(call).iter().map(|(field, _)| *field)
}

fn row(call: &str) -> &'static [(&'static str, Says)] {
    TABLE.iter().find(|(name, _)| *name == call).map_or(&[], |(_, fields)| *fields)
}

/// The fields that strace says of a call, beyond those that identify it. `absolute` makes a path absolute.
pub fn said(line: &Line, absolute: &dyn Fn(&str) -> String) -> Vec<Said> {
    let fields = row(&line.call).iter();
    let said = fields.filter_map(|(field, says)| Some(Said { field, value: value(says, line, absolute)? }));
    said.collect()
}

/// `None` where strace does not say it.
fn value(says: &Says, line: &Line, absolute: &dyn Fn(&str) -> String) -> Option<String> {
    let argument = |at: usize| line.argument(at);
    let within = |at: usize, key: &str| {
        let (_, text) = argument(at)?.split_once(key)?;
        text.split([',', '}']).next()
    };
    Some(match *says {
        Names(at) => names(argument(at).unwrap_or("")),
        NamesIn(at, key) => names(within(at, key).unwrap_or("")),
        Octal(at) => octal(argument(at).unwrap_or("")),
        OctalIn(at, key) => octal(within(at, key).unwrap_or("")),
        TypeAndOctal(at) => type_and_octal(argument(at)?)?,
        Number(at) => line.number(at)?.to_string(),
        Id(at) => id(argument(at)?)?,
        Text(at) => unquoted(argument(at)?)?,
        List(at) => unquoted_list(argument(at)?)?.join("\u{1f}"),
        Device(at) => device(argument(at).unwrap_or("")),
        Signal(at) => signal(argument(at)?)?,
        First(at) => argument(at)?.split('|').next()?.to_owned(),
        Family(at) => argument(at)?.split_once("sa_family=")?.1.split([',', '}']).next()?.to_owned(),
        Address(at) => address(argument(at)?, absolute)?,
        Bound(at) => bound(annotated(argument(at)?)?, absolute)?,
        FarEnd => far_end(line.returned.as_deref()?)?,
        Descriptor => line.ret.filter(|ret| *ret >= 0).map(|fd| fd.to_string()).unwrap_or_default(),
        Ids(at) => at.iter().map(|at| id(argument(*at)?)).collect::<Option<Vec<String>>>()?.join("\u{1f}"),
        Groups(at) => {
            let list = argument(at)?.strip_prefix('[')?.strip_suffix(']')?;
            list.split(", ").filter(|group| !group.is_empty()).collect::<Vec<_>>().join("\u{1f}")
        }
        Always(words) => words.to_owned(),
    })
}

fn names(text: &str) -> String {
    let mut names: Vec<&str> = text.split('|').filter(|name| !["", "0"].contains(name)).collect();
    names.sort_unstable();
    names.join("|")
}

fn octal(text: &str) -> String {
    u32::from_str_radix(text, 8).map(|mode| format!("{mode:o}")).unwrap_or_default()
}

fn type_and_octal(text: &str) -> Option<String> {
    let mut mode = 0;
    for part in text.split('|') {
        mode |= match part {
            "S_IFREG" => 0o100_000,
            "S_IFCHR" => 0o20_000,
            "S_IFBLK" => 0o60_000,
            "S_IFIFO" => 0o10_000,
            "S_IFSOCK" => 0o140_000,
            digits => u32::from_str_radix(digits, 8).ok()?,
        };
    }
    Some(format!("{mode:o}"))
}

/// A user or group: -1 stays, other numbers of 32 bits are unsigned.
fn id(text: &str) -> Option<String> {
    text.parse::<i64>()
        .ok()
        .map(|id| if id == i64::from(u32::MAX) { "-1".to_owned() } else { id.to_string() })
}

fn device(text: &str) -> String {
    let hex = |part: &str| u64::from_str_radix(part.trim().trim_start_matches("0x"), 16).ok();
    let inside = text.strip_prefix("makedev(").and_then(|text| text.strip_suffix(')'));
    let parts = inside.and_then(|inside| inside.split_once(','));
    let device = parts.and_then(|(major, minor)| Some(libc::makedev(hex(major)? as u32, hex(minor)? as u32)));
    device.unwrap_or(0).to_string()
}

fn signal(text: &str) -> Option<String> {
    match text.parse::<i64>() {
        Ok(number) => Some(number.to_string()),
        Err(_) if text.starts_with("SIGRT_") => Some((32 + text[6..].parse::<i64>().ok()?).to_string()),
        Err(_) => Some((SIGNALS.iter().position(|name| *name == text)? + 1).to_string()),
    }
}

/// The names of the signals from 1 on, on x86_64 and aarch64 (signal(7)).
pub const SIGNALS: [&str; 31] = [
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGILL",
    "SIGTRAP",
    "SIGABRT",
    "SIGBUS",
    "SIGFPE",
    "SIGKILL",
    "SIGUSR1",
    "SIGSEGV",
    "SIGUSR2",
    "SIGPIPE",
    "SIGALRM",
    "SIGTERM",
    "SIGSTKFLT",
    "SIGCHLD",
    "SIGCONT",
    "SIGSTOP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGVTALRM",
    "SIGPROF",
    "SIGWINCH",
    "SIGIO",
    "SIGPWR",
    "SIGSYS",
];

/// A socket address; a path is absolute.
fn address(text: &str, absolute: &dyn Fn(&str) -> String) -> Option<String> {
    let peer = peer(text)?;
    Some(if text.contains("AF_UNIX") && !peer.starts_with('@') { absolute(&peer) } else { peer })
}

/// The near end of `TCP:[127.0.0.1:80]`, `TCPv6:[[::1]:80]`, `UNIX-STREAM:[12,"/run/x"]`.
fn bound(socket: &str, absolute: &dyn Fn(&str) -> String) -> Option<String> {
    let (kind, ends) = socket.split_once(":[")?;
    let ends = ends.strip_suffix(']')?;
    if kind.starts_with("UNIX") {
        let name = unquoted(ends)?;
        return Some(if ends.contains("@\"") { format!("@{name}") } else { absolute(&name) });
    }
    let near = ends.split_once("->").map_or(ends, |(near, _)| near);
    near.contains(':').then(|| near.to_owned())
}

/// The far end of `TCP:[127.0.0.1:80->127.0.0.1:4242]`.
fn far_end(socket: &str) -> Option<String> {
    let (kind, ends) = socket.split_once(":[")?;
    if kind.starts_with("UNIX") {
        return None;
    }
    Some(ends.strip_suffix(']')?.split_once("->")?.1.to_owned())
}

/// A field by the event's word, in the form of [`Said`]; empty if the event has no such field.
pub fn told(event: &Event, field: &str) -> String {
    match event.field(field) {
        None => String::new(),
        Some(Value::Array(items)) => {
            let mut items: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
            if ["flags", "resolve"].contains(&field) {
                items.sort_unstable();
                return items.join("|");
            }
            items.join("\u{1f}")
        }
        Some(Value::String(text)) => text.clone(),
        Some(Value::Bool(truth)) => truth.to_string(),
        Some(_) => match event.number(field) {
            Some(number) if field == "mode" => format!("{number:o}"),
            Some(number) if ["owner", "group"].contains(&field) && number == i64::from(u32::MAX) => {
                "-1".to_owned()
            }
            Some(number) => number.to_string(),
            None => String::new(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recall::kinds;

    fn said_of(text: &str) -> Vec<(&'static str, String)> {
        let line = Line::parse(7, &format!("1.0 [0000000000000001] {text}")).unwrap();
        said(&line, &|path| format!("/cwd/{path}")).into_iter().map(|said| (said.field, said.value)).collect()
    }

    #[test]
    fn every_compared_call_has_a_row_or_only_identifying_fields() {
        let known = TABLE.iter().map(|(name, _)| *name);
        for name in known {
            let is_a_call = kinds::all().flat_map(|kind| kind.calls).any(|traced| traced.name == name);
            assert!(is_a_call || name.starts_with("exec"), "{name}");
        }
    }

    #[test]
    fn flags_and_permissions_are_written_as_events_write_them() {
        assert_eq!(
            vec![
                ("flags", "O_CREAT|O_WRONLY".to_owned()),
                ("mode", "644".to_owned()),
                ("fd", "3".to_owned())
            ],
            said_of(r#"openat(AT_FDCWD</>, "x", O_WRONLY|O_CREAT, 0644) = 3</x>"#)
        );
        assert_eq!(
            vec![("mode", "20600".to_owned()), ("device", "259".to_owned())],
            said_of(r#"mknod("x", S_IFCHR|0600, makedev(0x1, 0x3)) = 0"#)
        );
    }

    #[test]
    fn ends_of_sockets_are_written_as_events_write_them() {
        assert_eq!(
            vec![("local", "0.0.0.0:80".to_owned()), ("remote", "127.0.0.1:9".to_owned())],
            said_of("accept4(3<TCP:[0.0.0.0:80]>, NULL, NULL, 0) = 5<TCP:[127.0.0.1:80->127.0.0.1:9]>")
        );
        assert_eq!(
            vec![("backlog", "3".to_owned()), ("local", "/cwd/s".to_owned())],
            said_of("listen(4<UNIX-STREAM:[123,\"s\"]>, 3) = 0")
        );
    }

    #[test]
    fn users_that_stay_are_minus_one() {
        assert_eq!(vec![("to", "-1\u{1f}0\u{1f}-1".to_owned())], said_of("setresuid(-1, 0, -1) = 0"));
    }
}
