//! Reads /proc for facts of other processes that no record has, and of processes that are dying.
//!
//! Every function may fail at any moment, since the process may be gone: it then returns `None`, or no
//! elements.

use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use rustix::time::ClockId;

use super::files;
use crate::ids::FileId;

/// A few fields of `/proc/PID/stat`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stat {
    /// Whether it is dead and not yet reaped.
    pub is_zombie: bool,
    /// The parent's pid.
    pub ppid: u32,
    /// The session.
    pub session: u32,
    /// The controlling terminal; 0 for none.
    pub tty: u32,
    /// Processor time in user mode, nanoseconds.
    pub user_ns: u64,
    /// Processor time in the kernel, nanoseconds.
    pub system_ns: u64,
    /// When it started, in ticks since boot: together with the pid it identifies a process for ever.
    pub started: u64,
    /// Its wait status once it has ended; 0 also where this process may not know it.
    pub exit_code: i32,
}

/// Reads `/proc/PID/stat`.
pub fn stat(pid: u32) -> Option<Stat> {
    parse_stat(&fs::read(format!("/proc/{pid}/stat")).ok()?)
}

fn parse_stat(text: &[u8]) -> Option<Stat> {
    // The second field is a name in parentheses that may itself hold any bytes, also parentheses (proc(5)).
    let after_name = text.iter().rposition(|byte| *byte == b')')? + 2;
    let rest = std::str::from_utf8(text.get(after_name..)?).ok()?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    // proc_pid_stat(5) counts from 1, and the state is its third field.
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    Some(Stat {
        is_zombie: matches!(*fields.first()?, "Z" | "X"),
        ppid: number(4)? as u32,
        session: number(6)? as u32,
        tty: number(7)? as u32,
        user_ns: nanoseconds(number(14)?),
        system_ns: nanoseconds(number(15)?),
        started: number(22)?,
        exit_code: number(52).unwrap_or(0) as i32,
    })
}

fn nanoseconds(ticks: u64) -> u64 {
    ticks.saturating_mul(1_000_000_000 / rustix::param::clock_ticks_per_second().max(1))
}

/// When a process started, CLOCK_MONOTONIC, to the tick.
pub fn started_ns(pid: u32) -> Option<u64> {
    Some(began_ns(&stat(pid)?))
}

/// The same of a process that was read.
pub fn began_ns(stat: &Stat) -> u64 {
    let started_ns = nanoseconds(stat.started);
    let now = |clock| {
        let time = rustix::time::clock_gettime(clock);
        time.tv_sec.cast_unsigned().saturating_mul(1_000_000_000).saturating_add(time.tv_nsec.cast_unsigned())
    };
    // Times in /proc include the time that the machine was suspended (proc_pid_stat(5), starttime).
    let slept_ns = now(ClockId::Boottime).saturating_sub(now(ClockId::Monotonic));
    started_ns.saturating_sub(slept_ns)
}

/// The target of `/proc/PID/fd/FD`; `None` for the ring of a sensor that is attaching at the moment, which
/// does not belong to the program.
pub fn descriptor(pid: u32, fd: i32) -> Option<Vec<u8>> {
    link(&format!("/proc/{pid}/fd/{fd}")).filter(|target| !target.starts_with(b"/memfd:glassbox "))
}

/// The pid, in this pid namespace, of the process that the pidfd `fd` of `pid` stands for; `None` if that is
/// gone.
pub fn behind_pidfd(pid: u32, fd: i32) -> Option<i64> {
    number_behind_pidfd(pid, fd).filter(|pid| *pid > 0)
}

/// The same; 0 where the process has no number here, and negative where it is gone. `None` for a descriptor
/// that is no pidfd.
pub fn number_behind_pidfd(pid: u32, fd: i32) -> Option<i64> {
    // The kernel makes a whole text at once, and has a line for each entry of an epoll instance.
    let is_pidfd = |link: &Vec<u8>| link.starts_with(b"pidfd:") || link == b"anon_inode:[pidfd]";
    descriptor(pid, fd).filter(is_pidfd)?;
    let mut info = String::new();
    fs::File::open(format!("/proc/{pid}/fdinfo/{fd}")).ok()?.take(4096).read_to_string(&mut info).ok()?;
    let line = info.lines().find_map(|line| line.strip_prefix("Pid:"))?;
    line.trim().parse().ok()
}

/// Descriptors and children that are looked at: a process may have any number, and each costs a system call.
const MOST_LISTED: usize = 512;
/// Descriptors whose numbers alone are looked at: a directory of /proc gives some 300 with each system call.
const MOST_NUMBERS: usize = 65_536;

/// The numbers of open descriptors, at most [`MOST_NUMBERS`], in the kernel's order: ascending.
pub fn descriptor_numbers(pid: u32) -> Vec<i32> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    numbers.take(MOST_NUMBERS).collect()
}

/// Open descriptors with their targets, at most [`MOST_LISTED`].
pub fn descriptors(pid: u32) -> Vec<(i32, Vec<u8>)> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    entries
        .take(MOST_LISTED)
        .filter_map(|entry| {
            let fd: i32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            Some((fd, descriptor(pid, fd)?))
        })
        .collect()
}

/// The path of the running program if that is the file `said`: a process may have executed another program
/// since it said so. The path is read first, so that it is not that other program's.
pub fn exe_if(pid: u32, said: FileId) -> Option<Vec<u8>> {
    let path = exe(pid)?;
    (said.is_known() && exe_file(pid) == Some(said)).then_some(path)
}

/// The file of the running program.
pub fn exe_file(pid: u32) -> Option<FileId> {
    files::id_at(format!("/proc/{pid}/exe").as_ref())
}

/// The path of the running program, as the process's own root shows it. `None` also for an emulator of
/// another machine (binfmt_misc): the program is the one that the emulator runs, which /proc does not know.
pub fn exe(pid: u32) -> Option<Vec<u8>> {
    let mut path = link(&format!("/proc/{pid}/exe"))?;
    // Of a process that changed its root (chroot(2)), the kernel shows paths as this process's root does. The
    // root of another mount namespace is shown as "/", and its paths as they are there.
    if let Some(root) = link(&format!("/proc/{pid}/root")).filter(|root| root.len() > 1)
        && path.get(root.len()) == Some(&b'/')
        && path.starts_with(&root)
    {
        path.drain(..root.len());
    }
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    // Another program of that name loses nothing: its path is then the one that was executed.
    if name.starts_with(b"qemu-") || name == b"rosetta" {
        return None;
    }
    Some(without_deletion(&path).to_vec())
}

/// The path behind a descriptor of this process, of which `place` is the link in /proc.
pub fn behind(place: &str) -> Option<Vec<u8>> {
    Some(without_deletion(&link(place)?).to_vec())
}

/// The address at which a program's stack began; another one of each program, where addresses are random.
/// `None` where this process may not know it.
pub fn stack(tid: u32) -> Option<u64> {
    const START_STACK: usize = 28;
    let text = fs::read(format!("/proc/{tid}/stat")).ok()?;
    let after_name = text.iter().rposition(|byte| *byte == b')')? + 2;
    let rest = std::str::from_utf8(text.get(after_name..)?).ok()?;
    rest.split_ascii_whitespace().nth(START_STACK - 3)?.parse().ok().filter(|stack| *stack > 1)
}

/// The path of a link of /proc, without the word that the kernel appends where the file was removed since
/// (proc_pid_exe(5)).
pub fn without_deletion(path: &[u8]) -> &[u8] {
    path.strip_suffix(b" (deleted)").unwrap_or(path)
}

/// The name of the process's first thread.
pub fn comm(pid: u32) -> Option<Vec<u8>> {
    let mut name = fs::read(format!("/proc/{pid}/comm")).ok()?;
    if name.last() == Some(&b'\n') {
        name.pop();
    }
    Some(name)
}

/// Processes whose mappings are looked through at once.
const MOST_PROCESSES: usize = 4096;
/// The text of mappings that is read: a process may have any number of them.
const MOST_MAPS_BYTES: u64 = 256 << 10;

/// Whether a process has `file` mapped.
pub fn has_mapped(pid: u32, file: FileId) -> bool {
    let Ok(maps) = fs::File::open(format!("/proc/{pid}/maps")) else { return false };
    let mut text = Vec::new();
    // What was read before an error counts.
    let _ = maps.take(MOST_MAPS_BYTES).read_to_end(&mut text);
    text.split(|byte| *byte == b'\n').any(|line| mapped_file(line) == Some(file))
}

/// Whether any other process that this one may look at has `file` mapped, as far as there are no more than
/// [`MOST_PROCESSES`].
pub fn is_mapped(file: FileId) -> bool {
    let Ok(entries) = fs::read_dir("/proc") else { return false };
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let others = numbers.filter(|pid: &u32| *pid != std::process::id());
    others.take(MOST_PROCESSES).any(|pid| has_mapped(pid, file))
}

/// The file of a line of `/proc/PID/maps` (proc_pid_maps(5)).
pub fn mapped_file(line: &[u8]) -> Option<FileId> {
    // A path, which may be any bytes, comes after these.
    let mut fields = line.split(|byte| *byte == b' ').map(|field| std::str::from_utf8(field).ok());
    let (major, minor) = fields.nth(3)??.split_once(':')?;
    let number = |text: &str| u32::from_str_radix(text, 16).ok();
    let device = rustix::fs::makedev(number(major)?, number(minor)?);
    Some(FileId { device, inode: fields.next()??.parse().ok()? })
}

/// The current directory.
pub fn cwd(pid: u32) -> Option<Vec<u8>> {
    link(&format!("/proc/{pid}/cwd"))
}

fn link(path: &str) -> Option<Vec<u8>> {
    Some(fs::read_link(path).ok()?.into_os_string().into_vec())
}

/// Real and effective user id.
pub fn uids(pid: u32) -> Option<(u32, u32)> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    let mut numbers = line.split_ascii_whitespace().map_while(|number| number.parse().ok());
    Some((numbers.next()?, numbers.next()?))
}

/// The process's pids in its pid namespaces, from this process's namespace to its own.
pub fn namespace_pids(pid: u32) -> Option<Vec<u32>> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    let numbers: Vec<u32> = line.split_ascii_whitespace().map_while(|number| number.parse().ok()).collect();
    // A process that is being reaped has none any more.
    (!numbers.contains(&0)).then_some(numbers)
}

/// The control groups of a process, a line each.
pub fn cgroup(pid: u32) -> Option<String> {
    fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()
}

/// Children of a process, each thread's youngest first, at most [`MOST_LISTED`]; empty where the kernel was
/// built without `/proc/PID/task/TID/children`.
pub fn children(pid: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    threads
        .take(MOST_LISTED)
        .filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("children")).ok())
        .flat_map(|text| {
            text.split_ascii_whitespace().rev().filter_map(|pid| pid.parse().ok()).collect::<Vec<u32>>()
        })
        .take(MOST_LISTED)
        .collect()
}

/// Real and effective group id.
pub fn gids(pid: u32) -> Option<(u32, u32)> {
    let line = status(pid, "Gid")?;
    let mut numbers = line.split_ascii_whitespace().map_while(|number| number.parse().ok());
    Some((numbers.next()?, numbers.next()?))
}

/// A line of `/proc/PID/status`, by its name; empty if there is no such line.
pub fn status(pid: u32, name: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    Some(line.map(str::trim).unwrap_or_default().to_owned())
}

/// The environment that the program was started with, a NUL behind each variable. `None` where it is not
/// shown, as that of a process that has ended.
pub fn environment(pid: u32) -> Option<Vec<u8>> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    // Of a dead process that waits for its parent, it is empty.
    let is_alive = || link(&format!("/proc/{pid}/exe")).is_some();
    (!environment.is_empty() || is_alive()).then_some(environment)
}

/// The arguments of a process, each ended by a NUL, in at most `most_bytes`; how many there are, where they
/// are cut.
pub fn arguments(pid: u32, most_bytes: usize) -> (Vec<u8>, Option<u64>) {
    let mut all = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let count = (all.len() > most_bytes).then(|| all.iter().filter(|byte| **byte == 0).count() as u64);
    all.truncate(most_bytes);
    if let (Some(_), Some(last)) = (count, all.last_mut()) {
        *last = 0;
    }
    (all, count)
}

/// How long the arguments are that the program was started with, NULs and all; 0 where that is not shown.
pub fn command_line_len(pid: u32) -> usize {
    fs::read(format!("/proc/{pid}/cmdline")).map_or(0, |line| line.len())
}

/// Whether a process is in the pid namespace of this one.
pub fn is_in_our_pid_namespace(pid: u32) -> Option<bool> {
    let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    Some(namespace(&pid.to_string())? == namespace("self")?)
}

/// Whether a process is in the user namespace of this one.
pub fn is_in_our_user_namespace(pid: u32) -> Option<bool> {
    let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/user")).ok();
    Some(namespace(&pid.to_string())? == namespace("self")?)
}

/// Whether the kernel asked the program's loader for secure execution (getauxval(3), `AT_SECURE`).
pub fn is_secure(pid: u32) -> Option<bool> {
    const AT_SECURE: u64 = 23;
    let words = fs::read(format!("/proc/{pid}/auxv")).ok()?;
    let (pairs, _) = words.as_chunks::<16>();
    let number = |bytes: &[u8]| bytes.first_chunk().map_or(0, |word| u64::from_ne_bytes(*word));
    let secure = pairs.iter().find(|pair| number(&pair[..8]) == AT_SECURE)?;
    Some(number(&secure[8..]) != 0)
}

/// A pidfd of `pid`; `None` if there is no such process.
pub fn open(pid: u32) -> Option<std::os::fd::OwnedFd> {
    let pid = Pid::from_raw(i32::try_from(pid).ok()?)?;
    pidfd_open(pid, PidfdFlags::empty()).ok()
}

/// Whether each number of a user is that user's on the host: not so in a user namespace that renames users
/// (user_namespaces(7)).
pub fn numbers_are_users() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.split_ascii_whitespace().eq(["0", "0", "4294967295"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_behind_any_name() {
        let mut text = b"7 (a) b (c)) Z 3".to_vec();
        for field in 5..=52 {
            text.extend_from_slice(format!(" {field}").as_bytes());
        }

        let stat = parse_stat(&text).unwrap();

        let tick = 1_000_000_000 / rustix::param::clock_ticks_per_second();
        assert_eq!(
            Stat {
                is_zombie: true,
                ppid: 3,
                session: 6,
                tty: 7,
                user_ns: 14 * tick,
                system_ns: 15 * tick,
                started: 22,
                exit_code: 52
            },
            stat
        );
        assert_eq!(None, parse_stat(b"7 (a"));
        assert_eq!(None, parse_stat(b"7 (a)"));
        assert_eq!(None, parse_stat(b""));
    }

    #[test]
    fn mapped_files_are_found_by_their_inodes() {
        let program = exe_file(std::process::id()).unwrap();
        let other = FileId { inode: program.inode + 1, ..program };
        let line = b"7f00-7f01 rw-s 00000000 fd:01 4711                       /memfd:a b 1:2 3";

        assert_eq!([true, false], [program, other].map(|file| has_mapped(std::process::id(), file)));
        assert!(!has_mapped(u32::MAX, program));
        assert_eq!(Some(FileId { device: 0xfd01, inode: 4711 }), mapped_file(line));
        assert_eq!([None; 3], [&b""[..], b"a b c d e", b"7f00-7f01 rw-s 0 0:1"].map(mapped_file));
    }

    #[test]
    fn own_process_is_found() {
        let own = std::process::id();

        assert_eq!(std::os::unix::process::parent_id(), stat(own).unwrap().ppid);
        assert_eq!(Some(&own), namespace_pids(own).unwrap().last());
        assert!(!stat(own).unwrap().is_zombie);
        assert!(open(own).is_some());
        assert!(descriptors(own).len() >= 3);
        assert_eq!(None, stat(u32::MAX));
    }
}
