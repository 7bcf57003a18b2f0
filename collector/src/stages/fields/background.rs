//! What the kernel says of a process beyond its identity: terminal, session, login, capabilities, age.

use rules::{Answer, Argument, Type};

use super::super::view::{View, int, made, text, text_unless_empty, truth, uint};
use super::row::Field;
use crate::event::{Background, Program};
use crate::ids::UtcNs;

const STAT: &str = "/proc/PID/stat";
const STATUS: &str = "/proc/PID/status";
/// These facts are read only for rules that ask.
const AT_HELLO: &str = "a moment after the program began, none of one that was gone by then; in a recording, where a rule asked for it";
const LEADER: &str = "as `proc.sid`, and where the leader is the process or one of its ancestors";
const AGE: &str = "to 10 ms; of a forked child from its fork; in a recording, where a rule asked for it";

/// The rows of this file.
pub const FIELDS: &[Field] = &[
    Field::new("proc.tty", Type::Uint, tty, "The controlling terminal; 0 for none.", STAT)
        .limits(AT_HELLO)
        .background(),
    Field::new("proc.sid", Type::Int, session, "The session.", STAT).limits(AT_HELLO).background(),
    Field::new("proc.sname", Type::Text, session_name, "The name of the session's leader.", STAT)
        .limits(LEADER)
        .background()
        .of_ancestors(),
    Field::new("proc.sid.exe", Type::Text, session_exe, "argv[0] of the session's leader.", STAT)
        .limits(LEADER)
        .background()
        .of_ancestors(),
    Field::new("proc.sid.exepath", Type::Text, session_exepath, "The image of the session's leader.", STAT)
        .limits(LEADER)
        .background()
        .of_ancestors(),
    Field::new("proc.is_sid_leader", Type::Bool, leads_session, "Whether it leads its session.", STATUS)
        .limits(AT_HELLO)
        .background(),
    Field::new("proc.vpgid", Type::Int, group, "The process group in its own pid namespace.", STATUS)
        .limits(AT_HELLO)
        .background(),
    Field::new("proc.vpgid.name", Type::Text, group_name, "The name of the group's leader.", STATUS)
        .limits(LEADER)
        .background()
        .of_ancestors(),
    Field::new("proc.vpgid.exe", Type::Text, group_exe, "argv[0] of the group's leader.", STATUS)
        .limits(LEADER)
        .background()
        .of_ancestors(),
    Field::new("proc.vpgid.exepath", Type::Text, group_exepath, "The image of the group's leader.", STATUS)
        .limits(LEADER)
        .background()
        .of_ancestors(),
    Field::new("proc.is_vpgid_leader", Type::Bool, leads_group, "Whether it leads its group.", STATUS)
        .limits(AT_HELLO)
        .background(),
    Field::new("proc.duration", Type::Duration, age, "The time since the process was made.", STAT)
        .limits(AGE)
        .background(),
    Field::new("proc.ppid.duration", Type::Duration, parent_age, "The same of the parent.", STAT)
        .limits(AGE)
        .background()
        .of_ancestors(),
    Field::new("proc.pid.ts", Type::Time, started, "When the process was made.", STAT)
        .limits(AGE)
        .background(),
    Field::new("proc.ppid.ts", Type::Time, parent_started, "The same of the parent.", STAT)
        .limits(AGE)
        .background()
        .of_ancestors(),
    Field::new("thread.cap_effective", Type::Text, effective, "The effective capabilities.", STATUS)
        .limits(AT_HELLO)
        .background(),
    Field::new("thread.cap_permitted", Type::Text, permitted, "The permitted capabilities.", STATUS)
        .limits(AT_HELLO)
        .background(),
    Field::new("thread.cap_inheritable", Type::Text, inheritable, "The inheritable capabilities.", STATUS)
        .limits(AT_HELLO)
        .background(),
    Field::new(
        "user.loginuid",
        Type::Int,
        login,
        "The user that logged in; -1 for none.",
        "/proc/PID/loginuid",
    )
    .limits(AT_HELLO)
    .background(),
    Field::new(
        "user.loginname",
        Type::Text,
        login_name,
        "The name of that user.",
        "/proc/PID/loginuid, /etc/passwd",
    )
    .limits("as `user.loginuid` and `user.name`")
    .background(),
];

fn known<'a>(view: &View<'a>) -> Option<&'a Background> {
    view.who.circumstances.background.as_deref()
}

fn tty<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    uint(known(view).map(|known| known.tty))
}

fn session<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    int(known(view).map(|known| known.session))
}

fn group<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    int(known(view).and_then(|known| known.own_group))
}

fn leads_session<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    truth(leads(view, known(view).and_then(|known| known.own_session)))
}

fn leads_group<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    truth(leads(view, known(view).and_then(|known| known.own_group)))
}

fn leads(view: &View<'_>, leader: Option<u32>) -> Option<bool> {
    Some(leader? == view.program().facts.own_pid?.0)
}

fn line<'a>(view: &View<'a>) -> impl Iterator<Item = &'a Program> {
    std::iter::once(view.program()).chain(view.program().ancestors().map(|program| &**program))
}

fn session_leader<'a>(view: &View<'a>) -> Option<&'a Program> {
    let session = known(view)?.session;
    line(view).find(|program| program.pid.0 == session)
}

fn group_leader<'a>(view: &View<'a>) -> Option<&'a Program> {
    let group = known(view)?.own_group?;
    line(view).find(|program| program.facts.own_pid.is_some_and(|pid| pid.0 == group))
}

fn name_of(leader: Option<&Program>) -> Answer<'_> {
    leader.map_or(Answer::Absent, |leader| text_unless_empty(leader.facts.comm.bytes()))
}

fn exe_of(leader: Option<&Program>) -> Answer<'_> {
    text(leader.and_then(|leader| leader.argv.split(|byte| *byte == 0).next()).filter(|exe| !exe.is_empty()))
}

fn exepath_of(leader: Option<&Program>) -> Answer<'_> {
    leader.map_or(Answer::Absent, |leader| text_unless_empty(&leader.exe))
}

fn session_name<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    name_of(session_leader(view))
}

fn session_exe<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    exe_of(session_leader(view))
}

fn session_exepath<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    exepath_of(session_leader(view))
}

fn group_name<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    name_of(group_leader(view))
}

fn group_exe<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    exe_of(group_leader(view))
}

fn group_exepath<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    exepath_of(group_leader(view))
}

fn parent<'a>(view: &View<'a>) -> Option<&'a Program> {
    view.program().parent.as_deref()
}

fn since(view: &View<'_>, started: Option<UtcNs>) -> Answer<'static> {
    started.map_or(Answer::Absent, |started| Answer::Uint(view.event.time.0.saturating_sub(started.0)))
}

fn age<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    since(view, view.program().facts.started)
}

fn parent_age<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    since(view, parent(view).and_then(|parent| parent.facts.started))
}

fn started<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    uint(view.program().facts.started.map(|started| started.0))
}

fn parent_started<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    uint(parent(view).and_then(|parent| parent.facts.started).map(|started| started.0))
}

fn login<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    int(known(view).map(|known| known.login.map_or(-1, i64::from)))
}

fn login_name<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    let names = view.who.circumstances.names.as_deref();
    let known = names.and_then(|names| names.login.as_deref());
    let is_root = known_login(view) == Some(0);
    text(known.or(is_root.then_some("root")).map(str::as_bytes))
}

fn known_login(view: &View<'_>) -> Option<u32> {
    known(view)?.login
}

fn effective<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    capabilities(view, 0)
}

fn permitted<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    capabilities(view, 1)
}

fn inheritable<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    capabilities(view, 2)
}

/// The names of a set, with blanks between them.
fn capabilities(view: &View<'_>, place: usize) -> Answer<'static> {
    let set = known(view).and_then(|known| known.capabilities?.get(place).copied());
    let names = |set: u64| {
        let bits = CAPABILITIES.iter().enumerate().filter(move |(bit, _)| set >> bit & 1 == 1);
        bits.map(|(_, name)| *name).collect::<Vec<_>>().join(" ").into_bytes()
    };
    made(set.map(names))
}

/// capabilities(7), by number.
const CAPABILITIES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];
