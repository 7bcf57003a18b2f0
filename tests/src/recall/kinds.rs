//! The table of the comparison: for each event of the contract, the system calls that make it, and the fields
//! that identify a call.
//!
//! A row is compared once some hook reports its event ([`kinds`]). `process.exec` and `process.start` are
//! here for their events; the calls that make them need more than a row (`trace`).

use super::line::Line;

/// One event, and the system calls that it reports.
#[derive(Debug)]
pub struct Kind {
    /// The event's name.
    pub event: &'static str,
    /// The fields of the event that identify the call, in the order of the targets below.
    pub fields: &'static [&'static str],
    /// The system calls.
    pub calls: &'static [Traced],
    /// Errors with which the call is not reported (see `CAPABILITIES.md`).
    pub untold: &'static [&'static str],
}

/// A system call that makes an event.
#[derive(Debug)]
pub struct Traced {
    /// The system call's name.
    pub name: &'static str,
    /// Which calls of this name count.
    pub only: Only,
    /// The arguments that identify the call.
    pub targets: &'static [Target],
}

/// Which calls of a name count.
#[derive(Debug)]
pub enum Only {
    /// Every call.
    Any,
    /// Calls with this word among the arguments.
    With(&'static str),
    /// Calls without it.
    Without(&'static str),
    /// Calls whose argument of this number is a descriptor below 3.
    Standard(usize),
    /// Calls that fail.
    Failed,
    /// Calls that fail, without this word among the arguments.
    FailedWithout(&'static str),
    /// Calls whose argument of this number is not NULL.
    Given(usize),
}

impl Only {
    /// Whether this call counts.
    pub fn holds(&self, line: &Line) -> bool {
        match self {
            Any => true,
            With(word) => line.mentions(word),
            Without(word) => !line.mentions(word),
            Standard(at) => line.number(*at).is_some_and(|fd| (0..3).contains(&fd)),
            Failed => line.error.is_some(),
            FailedWithout(word) => line.error.is_some() && !line.mentions(word),
            Given(at) => line.argument(*at).is_some_and(|argument| argument != "NULL"),
        }
    }
}

/// An argument that identifies a call; numbers count arguments from 0.
#[derive(Debug)]
pub enum Target {
    /// A path, relative to the working directory.
    Path(usize),
    /// A path relative to the directory of the argument before it.
    At(usize),
    /// The path of an open descriptor.
    Open(usize),
    /// The target of a symbolic link: its text, relative to the folder of the link.
    Pointed(usize, &'static Target),
    /// A number, such as a descriptor or a process.
    Number(usize),
    /// A name, such as a resource.
    Word(usize),
    /// A socket address.
    Peer(usize),
    /// The returned value, if the call did not fail.
    Returned,
}

use Only::{Any, Failed, FailedWithout, Given, Standard, With, Without};
use Target::{At, Number, Open, Path, Peer, Pointed, Returned, Word};

const fn any(name: &'static str, targets: &'static [Target]) -> Traced {
    Traced { name, only: Any, targets }
}

const fn only(name: &'static str, only: Only, targets: &'static [Target]) -> Traced {
    Traced { name, only, targets }
}

const fn kind(event: &'static str, fields: &'static [&'static str], calls: &'static [Traced]) -> Kind {
    Kind { event, fields, calls, untold: &[] }
}

/// The event of a program's start.
pub const IMAGE: &str = "process.start";
/// The event of a request to execute a program.
pub const EXEC: &str = "process.exec";
/// The event of a new process.
pub const FORK: &str = "process.fork";
/// The event of a signal that is sent.
pub const SIGNAL: &str = "process.signal";
/// The event of an opened file.
pub const OPEN: &str = "file.open";
/// The event of a connected socket.
pub const CONNECT: &str = "net.connect";

const TABLE: &[Kind] = &[
    kind(EXEC, &["path"], &[]),
    kind(IMAGE, &["path"], &[]),
    kind(
        FORK,
        &["child"],
        &[
            any("fork", &[Returned]),
            any("vfork", &[Returned]),
            only("clone", Without("CLONE_THREAD"), &[Returned]),
            only("clone3", Without("CLONE_THREAD"), &[Returned]),
        ],
    ),
    kind(
        SIGNAL,
        &["target"],
        &[
            any("kill", &[Number(0)]),
            any("tkill", &[Number(0)]),
            any("tgkill", &[Number(0)]),
            any("rt_sigqueueinfo", &[Number(0)]),
            any("rt_tgsigqueueinfo", &[Number(0)]),
        ],
    ),
    kind(
        "process.credentials",
        &[],
        &[
            any("setuid", &[]),
            any("setgid", &[]),
            any("setreuid", &[]),
            any("setregid", &[]),
            any("setresuid", &[]),
            any("setresgid", &[]),
            any("setgroups", &[]),
            any("setfsuid", &[]),
            any("setfsgid", &[]),
            any("capset", &[]),
        ],
    ),
    kind(
        "process.namespace",
        &[],
        &[
            any("setns", &[]),
            any("unshare", &[]),
            any("chroot", &[]),
            any("pivot_root", &[]),
            any("mount", &[]),
            any("umount2", &[]),
        ],
    ),
    kind(
        OPEN,
        &["path"],
        &[
            any("open", &[Path(0)]),
            any("openat", &[At(1)]),
            any("openat2", &[At(1)]),
            any("creat", &[Path(0)]),
        ],
    ),
    kind(
        "file.unlink",
        &["path"],
        &[any("unlink", &[Path(0)]), only("unlinkat", Without("AT_REMOVEDIR"), &[At(1)])],
    ),
    kind(
        "file.rmdir",
        &["path"],
        &[any("rmdir", &[Path(0)]), only("unlinkat", With("AT_REMOVEDIR"), &[At(1)])],
    ),
    kind("file.mkdir", &["path"], &[any("mkdir", &[Path(0)]), any("mkdirat", &[At(1)])]),
    kind(
        "file.chmod",
        &["path"],
        &[
            any("chmod", &[Path(0)]),
            any("fchmod", &[Open(0)]),
            any("fchmodat", &[At(1)]),
            any("fchmodat2", &[At(1)]),
        ],
    ),
    kind(
        "file.chown",
        &["path"],
        &[
            any("chown", &[Path(0)]),
            any("lchown", &[Path(0)]),
            any("fchown", &[Open(0)]),
            any("fchownat", &[At(1)]),
        ],
    ),
    kind("file.truncate", &["path"], &[any("truncate", &[Path(0)]), any("ftruncate", &[Open(0)])]),
    kind(
        "file.xattr",
        &["path"],
        &[
            any("setxattr", &[Path(0)]),
            any("lsetxattr", &[Path(0)]),
            any("fsetxattr", &[Open(0)]),
            any("removexattr", &[Path(0)]),
            any("lremovexattr", &[Path(0)]),
            any("fremovexattr", &[Open(0)]),
        ],
    ),
    kind("file.mknod", &["path"], &[any("mknod", &[Path(0)]), any("mknodat", &[At(1)])]),
    kind(
        "file.rename",
        &["path", "new_path"],
        &[
            any("rename", &[Path(0), Path(1)]),
            any("renameat", &[At(1), At(3)]),
            any("renameat2", &[At(1), At(3)]),
        ],
    ),
    kind(
        "file.link",
        &["path", "new_path"],
        &[any("link", &[Path(0), Path(1)]), any("linkat", &[At(1), At(3)])],
    ),
    kind(
        "file.symlink",
        &["path", "new_path"],
        &[any("symlink", &[Pointed(0, &Path(1)), Path(1)]), any("symlinkat", &[Pointed(0, &At(2)), At(2)])],
    ),
    kind(
        STAT,
        &["path"],
        &[
            only("stat", Failed, &[Path(0)]),
            only("lstat", Failed, &[Path(0)]),
            only("newfstatat", FailedWithout("AT_EMPTY_PATH"), &[At(1)]),
            only("statx", FailedWithout("AT_EMPTY_PATH"), &[At(1)]),
        ],
    ),
    kind(
        "file.access",
        &["path"],
        &[
            only("access", Failed, &[Path(0)]),
            only("faccessat", Failed, &[At(1)]),
            only("faccessat2", Failed, &[At(1)]),
        ],
    ),
    // file.readlink has no row: realpath(3) asks for each part of a path by the same instruction of libc.
    kind("file.allocate", &["path"], &[any("fallocate", &[Open(0)])]),
    kind(
        "file.sync",
        &["path"],
        &[any("fsync", &[Open(0)]), any("fdatasync", &[Open(0)]), any("syncfs", &[Open(0)])],
    ),
    kind(
        "file.times",
        &["path"],
        &[any("utimensat", &[At(1)]), any("utime", &[Path(0)]), any("utimes", &[Path(0)])],
    ),
    kind(
        "process.limit",
        &["resource"],
        &[only("prlimit64", Given(2), &[Word(1)]), any("setrlimit", &[Word(0)])],
    ),
    kind("net.socket", &["fd"], &[any("socket", &[Returned])]),
    kind("net.bind", &["fd"], &[any("bind", &[Number(0)])]),
    kind("net.listen", &["fd"], &[any("listen", &[Number(0)])]),
    kind(CONNECT, &["remote"], &[any("connect", &[Peer(1)])]),
    Kind {
        event: "net.accept",
        fields: &["fd"],
        calls: &[any("accept", &[Returned]), any("accept4", &[Returned])],
        untold: &["EAGAIN"],
    },
    kind(
        "fd.duplicate",
        &["fd", "target"],
        &[
            only("dup2", Standard(1), &[Number(0), Number(1)]),
            only("dup3", Standard(1), &[Number(0), Number(1)]),
        ],
    ),
];

/// The rows that are compared: those whose event some hook reports.
pub fn kinds() -> impl Iterator<Item = &'static Kind> {
    TABLE.iter().filter(|kind| {
        kind.event == IMAGE
            || hook_table::rows().any(|row| row.events.iter().any(|event| event.name() == kind.event))
    })
}

/// Every row.
pub fn all() -> impl Iterator<Item = &'static Kind> {
    TABLE.iter()
}

/// The event of a stat that libc makes to find out the right to a file.
pub const STAT: &str = "file.stat";
/// The functions that do so, and are reported themselves.
pub const BY_STAT: [&str; 2] = ["euidaccess", "eaccess"];

/// The row of an event.
pub fn of(event: &str) -> Option<&'static Kind> {
    kinds().find(|kind| kind.event == event)
}

/// The row of a call, and the arguments that identify the call.
pub fn made_by(line: &Line) -> Option<(&'static Kind, &'static Traced)> {
    kinds().find_map(|kind| {
        let traced = kind.calls.iter().find(|traced| traced.name == line.call && traced.only.holds(line))?;
        Some((kind, traced))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_names_an_event_of_the_contract() {
        for kind in TABLE {
            assert!(wire::events::Kind::ALL.iter().any(|event| event.name() == kind.event), "{}", kind.event);
        }
    }

    #[test]
    fn a_target_is_given_for_every_field() {
        for kind in TABLE.iter().filter(|kind| ![EXEC, IMAGE].contains(&kind.event)) {
            for traced in kind.calls {
                assert_eq!(kind.fields.len(), traced.targets.len(), "{}: {}", kind.event, traced.name);
            }
        }
    }
}
