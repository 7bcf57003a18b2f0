//! What becomes of an exec, as far as its file tells while the thread that asks waits.

use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, ResolveFlags, StatVfsMountFlags, StatxFlags, fstatvfs, open, openat2,
    readlinkat, stat, statx,
};
use rustix::io::Errno;
use wire::events::Decoded;
use wire::fields::AT_FDCWD;

use super::decode::Told;
use super::modules::Trusted;
use crate::arrival::Executed;
use crate::enrich::blind::ENV_CLEARED;
use crate::system::files::{self, On};
use crate::system::namespaces::{self, Kind};
use crate::system::procfs;
use crate::system::program::{GO, Program, Root};

/// The most links at the end of a path that are read.
const MOST_LINKS: usize = 8;

/// What is foreseen of an exec.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Foreseen {
    /// The error that it will fail with, as far as that is known; 0 for none. A search of PATH makes many of
    /// these, and no program follows one.
    pub errno: u16,
    /// The program, unless it will fail.
    pub program: Option<Executed>,
}

/// Looks at the file of an exec of the thread `tid` of a process; `None` for any other call.
///
/// Nothing is asked of a file system that may wait for an answer itself, or hang: what the kernel does not
/// have at hand is not known.
pub fn foresee(told: &Told, tid: u32, process: u32, trusted: &Trusted) -> Option<Foreseen> {
    let Ok(Decoded::ProcessExec(exec)) = Decoded::decode(told.kind, &told.payload) else { return None };
    let stack = procfs::stack(tid).unwrap_or(0);
    // Where libc's calls are asked about, a program without the sensor tells all the same.
    let is_unpreloaded = told.is_unpreloaded && !trusted.is_libc_asked_about;
    let asked = |program: Executed| {
        let environment = told.environment.to_vec();
        Foreseen { errno: 0, program: Some(Executed { stack, environment, ..program }) }
    };
    let unknown = asked(Executed::default());
    let Some(path) = exec.path.raw.filter(|path| exec.path.dir == AT_FDCWD || path.starts_with(b"/")) else {
        return Some(unknown);
    };
    Some(match found(path, tid, process) {
        Ok(Some(file)) => match refusal(&file) {
            Some(error) => Foreseen { errno: number(error), program: None },
            None => asked(program(&file, tid, is_unpreloaded)),
        },
        Ok(None) => unknown,
        Err(error) => Foreseen { errno: number(error), program: None },
    })
}

fn number(error: Errno) -> u16 {
    u16::try_from(error.raw_os_error()).unwrap_or(0)
}

/// The file that a path leads to, unopened; `Ok(None)` where that is not known.
fn found(path: &[u8], tid: u32, process: u32) -> Result<Option<OwnedFd>, Errno> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let place = |name: &str| open(format!("/proc/{tid}/{name}"), flags, Mode::empty()).ok();
    let Some(root) = place("root") else { return Ok(None) };
    // In any root, that is the program that the process runs.
    if path == b"/proc/self/exe" && has_proc(tid) {
        return Ok(open(format!("/proc/{process}/exe"), flags, Mode::empty()).ok());
    }
    // The links of /proc are other ones to each reader, and lead out of any root.
    if let Some(rest) = path.strip_prefix(b"/proc/") {
        if !has_our_files(&root, tid) || procfs::is_in_our_pid_namespace(process) != Some(true) {
            return Ok(None);
        }
        return Ok(behind_proc(rest, process).and_then(|path| open(path, flags, Mode::empty()).ok()));
    }
    if path.starts_with(b"/dev/fd/") {
        return Ok(None);
    }
    let (from, scope) = match path.starts_with(b"/") {
        true => (root, ResolveFlags::IN_ROOT),
        // Links in it may lead to another root than this process's, and then tell nothing.
        false if !has_our_files(&root, tid) => return Ok(None),
        false => match place("cwd") {
            Some(cwd) => (cwd, ResolveFlags::empty()),
            None => return Ok(None),
        },
    };
    match at_hand(&from, path, scope | ResolveFlags::CACHED) {
        Ok(file) => Ok(Some(file)),
        Err(error @ (Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NAMETOOLONG)) => Err(error),
        Err(_) => Ok(None),
    }
}

/// The path, to this process, of an image or a descriptor that a path below `/proc/` names. Of any other one,
/// links may lead to a file system that has to be asked.
fn behind_proc(rest: &[u8], process: u32) -> Option<String> {
    let rest = std::str::from_utf8(rest).ok()?;
    let (whose, what) = rest.split_once('/')?;
    let pid = if whose == "self" { process } else { whose.parse().ok()? };
    let is_number = |fd: &str| fd.parse::<u32>().is_ok();
    let is_known = what == "exe" || what.strip_prefix("fd/").is_some_and(is_number);
    is_known.then(|| format!("/proc/{pid}/{what}"))
}

/// Whether `/proc` is the kernel's in the root of a thread: in a container it may be any folder.
fn has_proc(tid: u32) -> bool {
    let Ok(mounts) = std::fs::read_to_string(format!("/proc/{tid}/mountinfo")) else { return false };
    // Number, parent, device, root in the file system, mount point, and behind ` - ` the kind (proc(5)).
    let place = |line: &str| line.split(' ').skip(3).take(2).eq(["/", "/proc"]);
    let last = mounts.lines().rfind(|line| place(line));
    last.and_then(|line| line.split_once(" - ")).is_some_and(|(_, kind)| kind.starts_with("proc "))
}

/// Follows a path over what the kernel has at hand: EAGAIN where something is not.
///
/// A symbolic link that was made a moment ago is not, since its access time is written as it is followed
/// (relatime, `pick_link` of fs/namei.c). One at the path's end is read here, on a file system that answers.
fn at_hand(from: &OwnedFd, path: &[u8], how: ResolveFlags) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let mut path = path.to_vec();
    for _ in 0..MOST_LINKS {
        let found = openat2(from, &*path, flags, Mode::empty(), how);
        let Err(Errno::AGAIN) = found else { return found };
        let link = openat2(from, &*path, flags | OFlags::NOFOLLOW, Mode::empty(), how)?;
        if !files::is_local(&link).unwrap_or(false) {
            return Err(Errno::AGAIN);
        }
        // ENOENT where it is no link.
        let target = readlinkat(&link, "", Vec::new()).map_err(|_| Errno::AGAIN)?.into_bytes();
        let folder = path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
        path.truncate(if target.starts_with(b"/") { 0 } else { folder });
        path.extend_from_slice(&target);
    }
    Err(Errno::AGAIN)
}

/// Why the kernel will not execute a file.
fn refusal(file: &OwnedFd) -> Option<Errno> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let about = statx(file, "", flags, StatxFlags::TYPE | StatxFlags::MODE).ok()?;
    let mode = u32::from(about.stx_mode);
    let is_refused = mode & 0o111 == 0 || mode & libc::S_IFMT != libc::S_IFREG;
    let is_on_noexec = || {
        files::is_local(file).unwrap_or(false)
            && fstatvfs(file).is_ok_and(|about| about.f_flag.contains(StatVfsMountFlags::NOEXEC))
    };
    (is_refused || is_on_noexec()).then_some(Errno::ACCESS)
}

/// The program in a file that the thread `tid` executes. No sensor says hello in one whose environment
/// `is_unpreloaded`, unless the loader is told of it otherwise.
fn program(file: &OwnedFd, tid: u32, is_unpreloaded: bool) -> Executed {
    let place = format!("/proc/self/fd/{}", file.as_raw_fd());
    let mut start = [0; 4];
    let is_no_program = files::open_found(file, On::Local)
        .and_then(|mut file| file.read_exact(&mut start))
        .is_ok_and(|()| start != *b"\x7fELF" && !start.starts_with(b"#!"));
    let program = Program::on(Path::new(&place), &Root::own(), On::Local);
    // In another root a script's interpreter is another file.
    let is_known = |program: &Program| {
        let root = || open(format!("/proc/{tid}/root"), OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
        program.kind != "script" || root().is_ok_and(|root| has_our_files(&root, tid))
    };
    let reason = program.filter(is_known).map_or("", |Program { reason, .. }| match reason.name {
        name if reason.explains_silence => name,
        // Dynamic ones.
        "" if is_unpreloaded && has_no_preload_file(tid) => ENV_CLEARED,
        name if name == GO.name && is_unpreloaded && has_no_preload_file(tid) => name,
        _ => "",
    });
    Executed { exe: procfs::behind(&place).unwrap_or_default(), reason, is_no_program, ..Executed::default() }
}

/// Whether the root of a thread has no `/etc/ld.so.preload`, by which glibc's loader loads libraries whatever
/// the environment says (ld.so(8)). Each dynamic program that begins looks for it, so that the kernel has it
/// at hand that it is not there.
fn has_no_preload_file(tid: u32) -> bool {
    let root = open(format!("/proc/{tid}/root"), OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    let how = ResolveFlags::IN_ROOT | ResolveFlags::CACHED;
    root.is_ok_and(|root| at_hand(&root, b"/etc/ld.so.preload", how).err() == Some(Errno::NOENT))
}

/// Whether a thread has the root and the mounts of this process, so that paths lead to the same files.
fn has_our_files(root: &OwnedFd, tid: u32) -> bool {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let of = |root: BorrowedFd<'_>, path: &str| {
        let about = statx(root, path, flags, StatxFlags::INO).ok()?;
        Some((about.stx_dev_major, about.stx_dev_minor, about.stx_ino))
    };
    let mounts = || stat(format!("/proc/{tid}/ns/mnt")).ok().map(|about| about.st_ino);
    of(root.as_fd(), "").is_some_and(|theirs| Some(theirs) == of(CWD, "/"))
        && mounts().is_some_and(|theirs| Some(theirs) == namespaces::own(Kind::Mount))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dynamic_program_is_without_the_sensor_where_its_environment_is() {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let file = open("/bin/sh", flags, Mode::empty()).unwrap();
        let tid = std::process::id();
        let reason = |is_unpreloaded| program(&file, tid, is_unpreloaded).reason;

        assert_eq!(("", "env_cleared"), (reason(false), reason(true)));
        // A loader that is told of libraries otherwise may load it.
        assert_eq!("", program(&file, u32::MAX, true).reason);
    }
}
