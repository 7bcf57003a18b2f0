//! `gb.*`: what glassbox knows beyond Falco.

use rules::{Answer, Argument, Type};

use super::super::view::{Key, View, int, text, text_unless_empty, uint};
use super::row::Field;
use crate::event::Value;

/// The rows of this file.
pub const FIELDS: &[Field] = &[
    Field::new("gb.event", Type::Text, event, "The event, `noun.verb`.", "the event"),
    Field::new(
        "gb.noun",
        Type::Text,
        noun,
        "The first part of that: `file`, `net`, `process`, …",
        "the event",
    ),
    Field::new("gb.call", Type::Text, call, "The C function or system call.", "the event"),
    Field::new("gb.error", Type::Text, error, "The name of the error.", "the event"),
    Field::new(
        "gb.via",
        Type::Text,
        via,
        "The mechanism that saw it: `symbol`, `got`, `inline`, `notify`.",
        "the event",
    ),
    Field::new("gb.seq", Type::Uint, seq, "The sensor's number of the event in its image.", "the event"),
    Field::new(
        "gb.request_id",
        Type::Text,
        request_id,
        "The invocation that was being served.",
        "AWS Lambda",
    ),
    Field::new("gb.lost", Type::Uint, lost, "Events that were lost.", "`sensor.loss`"),
    Field::new("gb.coverage", Type::Text, coverage, "`hooked`, `notify` or `blind`.", "`process.start`"),
    Field::new(
        "gb.reason",
        Type::Text,
        reason,
        "Why a program is not seen into, or events were lost; which evidence of evasion.",
        "`process.start`, `sensor.blind`, `sensor.loss`, `sensor.evasion`",
    ),
    Field::new(
        "gb.pid_ns",
        Type::Uint,
        pid_ns,
        "The pid namespace, where the numbers do not belong to the collector's.",
        "the kernel",
    ),
    Field::new(
        "gb.mnt_ns",
        Type::Uint,
        mnt_ns,
        "The mount namespace, where it is not the collector's.",
        "the kernel",
    ),
    Field::new("gb.uid", Type::Uint, real_uid, "The real user.", "the kernel"),
    Field::new(
        "gb.uid_inside",
        Type::Uint,
        uid_inside,
        "The real user as the process's own user namespace counts.",
        "the kernel",
    )
    .limits("where that is another number"),
    Field::new(
        "gb.claimed",
        Type::Text,
        claimed,
        "The fields that only the process itself says.",
        "the event",
    )
    .list(),
    Field::new("gb.truncated", Type::Bool, is_truncated, "Whether a string was cut.", "the event"),
    Field::new("gb.exe.name", Type::Text, exe_name, "The last part of the image's path.", "`proc.exepath`"),
    Field::new("gb.path", Type::Text, path, "The path of any event.", "the event"),
    Field::new("gb.new_path", Type::Text, new_path, "The second path: of a rename, a link.", "the event"),
    Field::new("gb.paths", Type::Text, paths, "Both of them.", "the event").list(),
    Field::new(
        "gb.path_lexical",
        Type::Bool,
        is_path_lexical,
        "Whether `..` of the path went by its text.",
        "the event",
    ),
    Field::new("gb.local", Type::Text, local, "The own address of any event of a socket.", "the event"),
    Field::new("gb.remote", Type::Text, remote, "The peer of any event of a socket.", "the event"),
    Field::new(
        "gb.host",
        Type::Text,
        host,
        "A name that is resolved, or that the peer's address was resolved from.",
        "the event",
    ),
    Field::new(
        "gb.answers",
        Type::Address,
        answers,
        "The addresses that a name was resolved to.",
        "`dns.query`",
    )
    .list(),
    Field::new("gb.prot", Type::Text, prot, "The protection of memory.", "`memory.map`").list(),
    Field::new("gb.flags", Type::Text, flags, "The flags of the call, one by one.", "the event").list(),
    Field::new(
        "gb.what",
        Type::Text,
        what,
        "Which change.",
        "`process.credentials`, `process.namespace`, `process.control`",
    ),
    Field::new(
        "gb.target",
        Type::Int,
        target,
        "The process, or the descriptor, that the call is about.",
        "the event",
    ),
    Field::new(
        "gb.signal",
        Type::Int,
        signal,
        "The signal that is sent, or that ended the process.",
        "`process.signal`, `process.exit`",
    ),
    Field::new(
        "gb.exit_code",
        Type::Int,
        exit_code,
        "The status that the process ended with.",
        "`process.exit`",
    ),
    Field::new("gb.child", Type::Int, child, "The process that was made.", "`process.fork`"),
    Field::new(
        "gb.bytes_in",
        Type::Uint,
        bytes_in,
        "Bytes that came in through a descriptor.",
        "`file.close`, `net.close`",
    ),
    Field::new(
        "gb.bytes_out",
        Type::Uint,
        bytes_out,
        "Bytes that went out through it.",
        "`file.close`, `net.close`",
    ),
    Field::new(
        "gb.open_ns",
        Type::Duration,
        open_time,
        "How long the descriptor was open.",
        "`file.close`, `net.close`",
    ),
];

/// `noun.verb`.
pub fn event<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    text(Some(view.kind().name().as_bytes()))
}

/// The first part of that.
pub fn noun<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    text(view.kind().name().split('.').next().map(str::as_bytes))
}

/// The C function or system call.
pub fn call<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    text_unless_empty(view.event.call.as_bytes())
}

/// The name of the error.
pub fn error<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    text_unless_empty(view.event.error.as_bytes())
}

/// The mechanism that saw it.
pub fn via<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    text(view.event.via.map(|via| via.name().as_bytes()))
}

/// The sensor's number.
pub fn seq<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    uint(view.event.seq)
}

/// The invocation that was served.
pub fn request_id<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    text(view.batch.request_id.as_ref().map(|id| id.as_bytes()))
}

/// Events that were lost, of a `sensor.loss`.
pub fn lost<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    match (view.kind(), view.value(Key::Count)) {
        (wire::events::Kind::SensorLoss, Value::Uint(count)) => Answer::Uint(count),
        _ => Answer::Absent,
    }
}

/// How far a program is seen into.
pub fn coverage<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    text(view.text(Key::Coverage))
}

/// Why a program is not seen into, or events were lost.
pub fn reason<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    text(view.text(Key::Reason))
}

/// The pid namespace, where the numbers belong to another one than the collector's.
pub fn pid_ns<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    uint(view.who.pid_ns)
}

/// The mount namespace, where it is another one than the collector's.
pub fn mnt_ns<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    uint(view.who.mnt_ns)
}

/// The real user.
pub fn real_uid<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    uint(view.who.uid)
}

/// The real user as the process's own namespace counts, where that is another number.
pub fn uid_inside<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    uint(view.who.uid_inside)
}

/// Facts that only the process itself says.
pub fn claimed<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    Answer::List(view.who.claimed.names().map(|name| text(Some(name.as_bytes()))).collect())
}

/// Whether a string was cut.
pub fn is_truncated<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    Answer::Bool(view.event.is_truncated)
}

/// The last part of the image's path.
pub fn exe_name<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    text_unless_empty(view.who.exe().rsplit(|byte| *byte == b'/').next().unwrap_or_default())
}

/// The path of any event.
pub fn path<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    text(view.text(Key::Path))
}

/// The second path of any event.
pub fn new_path<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    text(view.text(Key::NewPath))
}

/// Both of them.
pub fn paths<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    let paths = [Key::Path, Key::NewPath].into_iter().filter_map(|key| view.text(key));
    Answer::List(paths.map(|path| text(Some(path))).collect())
}

/// Whether `..` of the path went by its text.
pub fn is_path_lexical<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    match view.value(Key::Path) {
        Value::LexicalPath(..) => Answer::Bool(true),
        Value::Path(..) => Answer::Bool(false),
        _ => Answer::Absent,
    }
}

/// The own address of any event.
pub fn local<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    text(view.text(Key::Local))
}

/// The peer of any event.
pub fn remote<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    text(view.text(Key::Remote))
}

/// A name that was resolved, or that the peer's address was resolved from.
pub fn host<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    text(view.text(Key::Host))
}

/// The addresses that a name was resolved to.
pub fn answers<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    let addresses = view.list(Key::Answers).map(|list| view.batch.strings(list));
    let parsed = addresses.into_iter().flatten().filter_map(|ip| std::str::from_utf8(ip).ok()?.parse().ok());
    Answer::List(parsed.map(Answer::Address).collect())
}

/// The protection of memory.
pub fn prot<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    names(view, Key::Prot)
}

/// The flags of the call.
pub fn flags<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    names(view, Key::Flags)
}

fn names(view: &View<'_>, key: Key) -> Answer<'static> {
    let mut names = Vec::new();
    if let Value::Names(table, bits) = view.value(key) {
        table.names(bits, |name| names.push(text(Some(name.as_bytes()))));
    }
    Answer::List(names)
}

/// Which change, of a `process.credentials`, `process.namespace` or `process.control`.
pub fn what<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    text(view.text(Key::What))
}

/// The process, or the descriptor, that a call is about.
pub fn target<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    int(view.integer(Key::Target))
}

/// The signal that was sent, or that ended the process.
pub fn signal<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    int(view.integer(Key::Signal))
}

/// The status that the process ended with.
pub fn exit_code<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    int(view.integer(Key::Code))
}

/// The process that was made.
pub fn child<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    int(view.integer(Key::Child))
}

/// Bytes that came in through a descriptor that closes.
pub fn bytes_in<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    count(view, [Key::BytesRead, Key::BytesReceived])
}

/// Bytes that went out through it.
pub fn bytes_out<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    count(view, [Key::BytesWritten, Key::BytesSent])
}

fn count(view: &View<'_>, keys: [Key; 2]) -> Answer<'static> {
    let found = keys.into_iter().find_map(|key| match view.value(key) {
        Value::Uint(count) => Some(count),
        _ => None,
    });
    uint(found)
}

/// How long the descriptor was open.
pub fn open_time<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    match view.value(Key::OpenNs) {
        Value::Uint(time) => Answer::Uint(time),
        _ => Answer::Absent,
    }
}
