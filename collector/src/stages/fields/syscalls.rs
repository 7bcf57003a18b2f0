//! `evt.type`: the system call that an event tells of, as Falco names it.
//!
//! A function of libc is the system call that glibc makes for it. Events that are no system call (a name that
//! is resolved, a library that is loaded, an event of the collector's own) have no type.

use std::sync::LazyLock;

use rustc_hash::FxHashMap;
use wire::events::Kind;

use super::super::view::View;

/// Functions whose system call has another name. All others are the call of their name.
const CALLS: &[(&str, &str)] = &[
    // As glibc has it; musl makes open(2), which a rule about opens names beside it.
    ("open", "openat"),
    ("fopen", "openat"),
    ("freopen", "openat"),
    ("opendir", "openat"),
    ("mkstemp", "openat"),
    ("mkostemp", "openat"),
    ("mkstemps", "openat"),
    ("mkostemps", "openat"),
    ("tmpfile", "openat"),
    ("scandir", "openat"),
    ("scandirat", "openat"),
    ("shm_open", "openat"),
    ("sem_open", "openat"),
    ("setmntent", "openat"),
    ("posix_openpt", "openat"),
    ("getpt", "openat"),
    ("openpty", "openat"),
    ("glob", "openat"),
    ("mkdtemp", "mkdir"),
    ("shm_unlink", "unlink"),
    ("sem_unlink", "unlink"),
    ("lchmod", "fchmodat"),
    ("mkfifo", "mknod"),
    ("mkfifoat", "mknodat"),
    ("futimens", "utimensat"),
    ("utimes", "utimensat"),
    ("utime", "utimensat"),
    ("lutimes", "utimensat"),
    ("futimes", "utimensat"),
    ("futimesat", "utimensat"),
    ("stat", "newfstatat"),
    ("lstat", "newfstatat"),
    ("fstatat", "newfstatat"),
    ("euidaccess", "faccessat2"),
    ("posix_fallocate", "fallocate"),
    ("lockf", "fcntl"),
    ("setrlimit", "prlimit64"),
    ("prlimit", "prlimit64"),
    ("send", "sendto"),
    ("fork", "clone"),
    ("_Fork", "clone"),
    ("posix_spawn", "clone"),
    ("posix_spawnp", "clone"),
    ("system", "clone"),
    ("popen", "clone"),
    ("wordexp", "clone"),
    ("daemon", "clone"),
    ("forkpty", "clone"),
    ("execv", "execve"),
    ("execvp", "execve"),
    ("execvpe", "execve"),
    ("execl", "execve"),
    ("execlp", "execve"),
    ("execle", "execve"),
    ("fexecve", "execveat"),
    ("killpg", "kill"),
    ("raise", "tgkill"),
    ("pthread_kill", "tgkill"),
    ("pthread_sigqueue", "rt_tgsigqueueinfo"),
    ("sigqueue", "rt_sigqueueinfo"),
    ("seteuid", "setresuid"),
    ("setegid", "setresgid"),
    ("initgroups", "setgroups"),
    ("umount", "umount2"),
    ("login_tty", "dup2"),
];

/// Functions that close a descriptor; others do so beside what they are for, and are told of by another
/// event.
const CLOSES: &[(&str, &str)] = &[
    ("close", "close"),
    ("fclose", "close"),
    ("closedir", "close"),
    ("pclose", "close"),
    ("close_range", "close_range"),
    ("closefrom", "close_range"),
];

/// Functions whose system call depends on what they do: function, event, system call.
const DIVIDED: &[(&str, Kind, &str)] = &[
    ("remove", Kind::FileUnlink, "unlink"),
    ("remove", Kind::FileRmdir, "rmdir"),
    ("forkpty", Kind::FileOpen, "openat"),
    // It fails in the child, with an exec.
    ("posix_spawn", Kind::ProcessExec, "execve"),
    ("posix_spawnp", Kind::ProcessExec, "execve"),
    ("system", Kind::ProcessExec, "execve"),
    ("popen", Kind::ProcessExec, "execve"),
    ("wordexp", Kind::ProcessExec, "execve"),
];

/// The same, to be looked up.
static BY_FUNCTION: LazyLock<FxHashMap<&str, &str>> = LazyLock::new(|| CALLS.iter().copied().collect());

/// The name of the system call; empty for an event that is none.
pub fn name(view: &View<'_>) -> &'static str {
    let event = view.event;
    let in_table = |table: &[(&str, &'static str)]| {
        table.iter().find(|(function, _)| *function == event.call).map(|(_, call)| *call)
    };
    let renamed = || BY_FUNCTION.get(event.call).copied();
    match event.kind {
        Kind::ProcessStart => "execve",
        Kind::ProcessExit => "procexit",
        Kind::NetConnected | Kind::DnsQuery | Kind::DnsReverse | Kind::LibLoad => "",
        Kind::FileClose | Kind::NetClose => in_table(CLOSES).unwrap_or(""),
        // Told before the call; that it succeeded is told by the program that begins.
        Kind::ProcessExec if event.ret.is_none() => "",
        kind => {
            let is_it = |(function, of, _): &&(&str, Kind, &str)| *function == event.call && *of == kind;
            let divided = DIVIDED.iter().find(is_it).map(|(.., call)| *call);
            divided.or_else(renamed).unwrap_or(event.call)
        }
    }
}
