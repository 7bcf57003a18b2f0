//! `evt.arg`: the arguments of the system calls, under the names that Falco's events have.
//!
//! A path is absolute, as Falco shows those of its arguments that are paths; flags and permissions are names
//! with bars between them. An argument that the sensor does not copy has no value.

use rules::Answer;
use wire::names;

use super::super::view::{Key, View, int, made, text};
use super::{identity, syscalls, things};

type From = for<'a> fn(&View<'a>) -> Answer<'a>;

fn path<'a>(view: &View<'a>) -> Answer<'a> {
    text(view.text(Key::Path))
}

fn new_path<'a>(view: &View<'a>) -> Answer<'a> {
    text(view.text(Key::NewPath))
}

/// As the caller passed it.
fn raw_path<'a>(view: &View<'a>) -> Answer<'a> {
    text(view.raw_path(Key::Path))
}

fn flags<'a>(view: &View<'a>) -> Answer<'a> {
    made(view.flags(Key::Flags))
}

fn prot<'a>(view: &View<'a>) -> Answer<'a> {
    made(view.flags(Key::Prot))
}

/// The descriptor with what it stands for: `<f>/etc/hosts`.
fn fd<'a>(view: &View<'a>) -> Answer<'a> {
    made(things::shown(view))
}

fn mode<'a>(view: &View<'a>) -> Answer<'a> {
    made(view.integer(Key::Mode).map(permissions))
}

fn request<'a>(view: &View<'a>) -> Answer<'a> {
    text(view.text(Key::Request))
}

fn target<'a>(view: &View<'a>) -> Answer<'a> {
    int(view.integer(Key::Target))
}

fn signal<'a>(view: &View<'a>) -> Answer<'a> {
    int(view.integer(Key::Signal))
}

fn family<'a>(view: &View<'a>) -> Answer<'a> {
    text(view.text(Key::Family))
}

fn kind<'a>(view: &View<'a>) -> Answer<'a> {
    int(number_of(names::SOCKET_TYPE, view.text(Key::Type)))
}

fn protocol<'a>(view: &View<'a>) -> Answer<'a> {
    int(number_of(names::PROTOCOL, view.text(Key::Protocol)).or_else(|| view.integer(Key::Protocol)))
}

fn tuple<'a>(view: &View<'a>) -> Answer<'a> {
    made(things::name_of(view))
}

fn local<'a>(view: &View<'a>) -> Answer<'a> {
    text(view.text(Key::Local))
}

fn backlog<'a>(view: &View<'a>) -> Answer<'a> {
    int(view.integer(Key::Backlog))
}

fn exe<'a>(view: &View<'a>) -> Answer<'a> {
    super::process::exe(view, None)
}

fn args<'a>(view: &View<'a>) -> Answer<'a> {
    super::process::args(view, None)
}

fn comm<'a>(view: &View<'a>) -> Answer<'a> {
    super::process::name(view, None)
}

fn cwd<'a>(view: &View<'a>) -> Answer<'a> {
    super::process::cwd(view, None)
}

fn tid<'a>(view: &View<'a>) -> Answer<'a> {
    int(Some(view.event.tid.0))
}

fn source<'a>(view: &View<'a>) -> Answer<'a> {
    text(view.text(Key::Source))
}

fn filesystem<'a>(view: &View<'a>) -> Answer<'a> {
    text(view.text(Key::Filesystem))
}

fn owner<'a>(view: &View<'a>) -> Answer<'a> {
    user(view, view.integer(Key::Owner))
}

fn group<'a>(view: &View<'a>) -> Answer<'a> {
    group_named(view, view.integer(Key::Group))
}

/// The first number that an identity is set to.
fn first<'a>(view: &View<'a>) -> Answer<'a> {
    set_to(view, 0)
}

fn second<'a>(view: &View<'a>) -> Answer<'a> {
    set_to(view, 1)
}

fn third<'a>(view: &View<'a>) -> Answer<'a> {
    set_to(view, 2)
}

/// A user, or a group where the call is about groups.
fn set_to<'a>(view: &View<'a>, place: usize) -> Answer<'a> {
    let of = if syscalls::name(view).ends_with("gid") { group_named } else { user };
    of(view, numbered(view, place))
}

fn numbered(view: &View<'_>, place: usize) -> Option<i64> {
    let numbers = view.batch.strings(view.list(Key::To)?).nth(place)?;
    std::str::from_utf8(numbers).ok()?.parse().ok()
}

/// A user as Falco prints it, by its name: known are root's, which is the same everywhere, and the process's
/// own.
fn user<'a>(view: &View<'a>, id: Option<i64>) -> Answer<'a> {
    match id {
        Some(id) if is(id, view.who.euid) => identity::name(view, None),
        id => of_everyone(id),
    }
}

/// The same of a group.
fn group_named<'a>(view: &View<'a>, id: Option<i64>) -> Answer<'a> {
    match id {
        Some(id) if is(id, view.who.circumstances.egid) => identity::group_name(view, None),
        id => of_everyone(id),
    }
}

fn is(id: i64, known: Option<u32>) -> bool {
    known.is_some_and(|known| i64::from(known) == id)
}

fn of_everyone(id: Option<i64>) -> Answer<'static> {
    match id {
        Some(0) => text(Some(b"root")),
        Some(-1 | 0xffff_ffff) => text(Some(b"<NONE>")),
        _ => Answer::Absent,
    }
}

fn command<'a>(view: &View<'a>) -> Answer<'a> {
    let Some(number) = view.integer(Key::Command) else { return Answer::Absent };
    match usize::try_from(number).ok().and_then(|number| BPF_COMMANDS.get(number)) {
        Some(name) => text(Some(name.as_bytes())),
        None => Answer::Int(number),
    }
}

fn length<'a>(view: &View<'a>) -> Answer<'a> {
    int(view.integer(Key::Length).or_else(|| view.integer(Key::Len)))
}

fn addr<'a>(view: &View<'a>) -> Answer<'a> {
    made(view.integer(Key::Addr).map(|addr| format!("{addr:x}").into_bytes()))
}

fn entries<'a>(view: &View<'a>) -> Answer<'a> {
    int(view.integer(Key::Entries))
}

fn name<'a>(view: &View<'a>) -> Answer<'a> {
    text(view.text(Key::Name))
}

fn option<'a>(view: &View<'a>) -> Answer<'a> {
    text(view.text(Key::What))
}

fn status<'a>(view: &View<'a>) -> Answer<'a> {
    let status = view.integer(Key::Code).map(|code| code << 8).or_else(|| view.integer(Key::Signal));
    int(status)
}

fn old_fd<'a>(view: &View<'a>) -> Answer<'a> {
    int(view.integer(Key::Fd))
}

fn memory_flags<'a>(view: &View<'a>) -> Answer<'a> {
    flags(view)
}

/// System calls, and their arguments by Falco's names.
type Row = (&'static [&'static str], &'static [(&'static str, From)]);

const ARGUMENTS: &[Row] = &[
    (&["open"], &[("fd", fd), ("name", path), ("flags", flags), ("mode", mode)]),
    (&["openat", "openat2"], &[("fd", fd), ("name", path), ("flags", flags), ("mode", mode)]),
    (&["creat"], &[("fd", fd), ("name", path), ("mode", mode)]),
    (&["open_by_handle_at"], &[("fd", fd), ("flags", flags), ("path", path)]),
    (&["memfd_create"], &[("fd", fd), ("name", path), ("flags", memory_flags)]),
    (&["close"], &[("fd", fd)]),
    (&["dup2", "dup3"], &[("fd", fd), ("oldfd", old_fd), ("newfd", target)]),
    (&["unlink", "rmdir"], &[("path", path)]),
    (&["unlinkat"], &[("name", path), ("flags", unlink_flags)]),
    (&["mkdir", "mkdirat"], &[("path", path), ("mode", mode)]),
    (&["mknod", "mknodat"], &[("path", path), ("mode", mode)]),
    (&["rename", "renameat"], &[("oldpath", path), ("newpath", new_path)]),
    (&["renameat2"], &[("oldpath", path), ("newpath", new_path), ("flags", flags)]),
    (&["link"], &[("oldpath", path), ("newpath", new_path)]),
    (&["linkat"], &[("oldpath", path), ("newpath", new_path), ("flags", flags)]),
    (&["symlink", "symlinkat"], &[("target", raw_path), ("linkpath", new_path)]),
    (&["chmod", "fchmodat"], &[("filename", path), ("mode", mode)]),
    (&["fchmod"], &[("fd", fd), ("mode", mode)]),
    (&["chown", "lchown"], &[("path", path), ("uid", owner), ("gid", group)]),
    (&["fchown"], &[("fd", fd), ("uid", owner), ("gid", group)]),
    (&["fchownat"], &[("pathname", path), ("uid", owner), ("gid", group), ("flags", flags)]),
    (&["socket"], &[("fd", fd), ("domain", family), ("type", kind), ("proto", protocol)]),
    (&["bind"], &[("addr", local), ("fd", fd)]),
    (&["listen"], &[("fd", fd), ("backlog", backlog)]),
    (&["connect"], &[("tuple", tuple), ("fd", fd)]),
    (&["accept", "accept4"], &[("fd", fd), ("tuple", tuple)]),
    (&["sendto", "sendmsg", "sendmmsg"], &[("fd", fd), ("tuple", tuple)]),
    (&["execve", "execveat"], &[("exe", exe), ("args", args), ("tid", tid), ("cwd", cwd), ("comm", comm)]),
    (&["procexit"], &[("status", status)]),
    (&["kill", "tgkill", "tkill"], &[("pid", target), ("sig", signal)]),
    (&["ptrace"], &[("request", request), ("pid", target)]),
    (&["process_vm_readv", "process_vm_writev"], &[("pid", target)]),
    (&["setuid", "setfsuid"], &[("uid", first)]),
    (&["setgid", "setfsgid"], &[("gid", first)]),
    (&["setreuid"], &[("ruid", first), ("euid", second)]),
    (&["setregid"], &[("rgid", first), ("egid", second)]),
    (&["setresuid"], &[("ruid", first), ("euid", second), ("suid", third)]),
    (&["setresgid"], &[("rgid", first), ("egid", second), ("sgid", third)]),
    (&["setns"], &[("fd", raw_path), ("nstype", flags)]),
    (&["unshare"], &[("flags", flags)]),
    (&["chroot"], &[("path", path)]),
    (&["mount"], &[("dev", source), ("dir", path), ("type", filesystem), ("flags", flags)]),
    (&["umount2"], &[("name", path), ("flags", flags)]),
    (&["pivot_root"], &[("new_root", path), ("put_old", source)]),
    (&["mmap"], &[("addr", addr), ("length", length), ("prot", prot)]),
    (&["mprotect", "pkey_mprotect"], &[("addr", addr), ("length", length), ("prot", prot)]),
    (&["bpf"], &[("cmd", command)]),
    (&["io_uring_setup"], &[("entries", entries)]),
    (&["delete_module"], &[("name", name)]),
    (&["prctl"], &[("option", option)]),
];

/// The one flag of unlinkat(2): it removed a directory, or would have.
fn unlink_flags<'a>(view: &View<'a>) -> Answer<'a> {
    let is_directory = view.kind() == wire::events::Kind::FileRmdir;
    text(Some(if is_directory { b"AT_REMOVEDIR" } else { b"0" }))
}

/// Permissions as Falco names them, in its order.
fn permissions(mode: i64) -> Vec<u8> {
    const NAMES: [(i64, &str); 12] = [
        (0o1, "S_IXOTH"),
        (0o2, "S_IWOTH"),
        (0o4, "S_IROTH"),
        (0o10, "S_IXGRP"),
        (0o20, "S_IWGRP"),
        (0o40, "S_IRGRP"),
        (0o100, "S_IXUSR"),
        (0o200, "S_IWUSR"),
        (0o400, "S_IRUSR"),
        (0o1000, "S_ISVTX"),
        (0o2000, "S_ISGID"),
        (0o4000, "S_ISUID"),
    ];
    let names: Vec<&str> = NAMES.iter().filter(|(bit, _)| mode & bit != 0).map(|(_, name)| *name).collect();
    if names.is_empty() { b"0".to_vec() } else { names.join("|").into_bytes() }
}

/// bpf(2), the commands from 0 on.
const BPF_COMMANDS: [&str; 23] = [
    "BPF_MAP_CREATE",
    "BPF_MAP_LOOKUP_ELEM",
    "BPF_MAP_UPDATE_ELEM",
    "BPF_MAP_DELETE_ELEM",
    "BPF_MAP_GET_NEXT_KEY",
    "BPF_PROG_LOAD",
    "BPF_OBJ_PIN",
    "BPF_OBJ_GET",
    "BPF_PROG_ATTACH",
    "BPF_PROG_DETACH",
    "BPF_PROG_TEST_RUN",
    "BPF_PROG_GET_NEXT_ID",
    "BPF_MAP_GET_NEXT_ID",
    "BPF_PROG_GET_FD_BY_ID",
    "BPF_MAP_GET_FD_BY_ID",
    "BPF_OBJ_GET_INFO_BY_FD",
    "BPF_PROG_QUERY",
    "BPF_RAW_TRACEPOINT_OPEN",
    "BPF_BTF_LOAD",
    "BPF_BTF_GET_FD_BY_ID",
    "BPF_TASK_FD_QUERY",
    "BPF_MAP_LOOKUP_AND_DELETE_ELEM",
    "BPF_MAP_FREEZE",
];

fn number_of(table: &[(i64, &str)], name: Option<&[u8]>) -> Option<i64> {
    let name = name?;
    table.iter().find(|(_, known)| known.as_bytes() == name).map(|(number, _)| *number)
}

fn rows(view: &View<'_>) -> &'static [(&'static str, From)] {
    let call = syscalls::name(view);
    ARGUMENTS.iter().find(|(calls, _)| calls.contains(&call)).map_or(&[], |(_, arguments)| *arguments)
}

/// The argument of this name.
pub fn named<'a>(view: &View<'a>, name: &str) -> Answer<'a> {
    let row = rows(view).iter().find(|(known, _)| *known == name);
    row.map_or(Answer::Absent, |(_, from)| from(view))
}

/// All arguments with a value.
pub fn all<'a>(view: &View<'a>) -> impl Iterator<Item = (&'static str, Answer<'a>)> {
    let view = *view;
    rows(&view)
        .iter()
        .map(move |(name, from)| (*name, from(&view)))
        .filter(|(_, value)| !matches!(value, Answer::Absent))
}
