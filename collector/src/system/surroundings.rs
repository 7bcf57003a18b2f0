//! Reads what rules ask of the container around a process: its mounts, its rights, and whether the running
//! program was added to it. Done in the doorman's thread at a hello, and only where a rule or a filter asks.
//!
//! No file system is asked that may not answer: paths that others name are looked up in the kernel's cache.

use std::ffi::OsStr;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::LazyLock;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, Statx, StatxFlags, openat2, statx};
use rustix::io::Errno;

use super::clock::Clock;
use super::mounts::{self, Line};
use super::namespaces::{self, Kind};
use super::{files, kernel, procfs};
use crate::event::{Mount, Place, Surroundings};

/// The process whose surroundings are read.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Its number here.
    pub pid: u32,
    /// The path of its program, as its own root shows it.
    pub exe: &'a [u8],
    /// Its pid namespace.
    pub pid_ns: Option<u64>,
    /// Its mount namespace.
    pub mnt_ns: Option<u64>,
    /// Where it is.
    pub place: Place,
    /// Whether a container of it is known.
    pub has_container: bool,
}

/// What the kernel shows; `None` where the process is gone, and its number may be another's.
pub fn read(subject: Subject<'_>, pidfd: &OwnedFd) -> Option<Surroundings> {
    let Subject { pid, mnt_ns, place, has_container, .. } = subject;
    let lines = mounts::of(&pid.to_string());
    let is_contained = has_container || place == Place::Sandbox;
    let own_ns = namespaces::own(Kind::Mount);
    let is_apart = mnt_ns.is_some() && own_ns.is_some() && mnt_ns != own_ns;
    let known = lines.as_deref();
    let found = Surroundings {
        is_privileged: known.filter(|_| is_contained).and_then(|lines| is_privileged(pid, lines)),
        is_exe_added: known.and_then(|lines| is_exe_added(subject, lines)),
        mounts: known
            .filter(|_| is_apart)
            .and_then(|lines| Some(shared(lines, &mounts::of("self")?)?.into())),
    };
    (!kernel::is_dead(pidfd)).then_some(found)
}

/// The parts of this process's files that are mounted among `lines`: mounts of a file system that this
/// process has too. Those that every container gets are left out. `None` where they are too many to be kept
/// with each of its processes.
fn shared(lines: &[Line], own: &[Line]) -> Option<Vec<Mount>> {
    const MOST_BYTES: usize = 16 << 10;
    let is_usual = |line: &Line| {
        let below = |folder: &[u8]| is_below(&line.place, folder);
        *line.place == *b"/"
            || below(b"/sys")
            || below(b"/proc") && *line.filesystem == *b"proc"
            || matches!(&*line.filesystem, b"mqueue" | b"devpts")
    };
    let shown = lines.iter().filter(|line| !is_usual(line));
    let found: Vec<Mount> = shown.filter_map(|line| Some(mount(line, source(line, own)?))).collect();
    let bytes: usize = found.iter().map(|mount| mount.source.len() + mount.place.len()).sum();
    (bytes + found.len() * size_of::<Mount>() <= MOST_BYTES).then_some(found)
}

fn mount(line: &Line, source: Vec<u8>) -> Mount {
    Mount { source: source.into(), place: line.place.clone(), is_writable: line.is_writable }
}

/// The path at which `own` has what is mounted at `line`.
fn source(line: &Line, own: &[Line]) -> Option<Vec<u8>> {
    let has_it = |other: &&Line| other.device == line.device && is_below(&line.root, &other.root);
    let nearest = own.iter().filter(has_it).max_by_key(|other| other.root.len())?;
    let rest = line.root.get(if *nearest.root == *b"/" { 0 } else { nearest.root.len() }..)?;
    let path = [if *nearest.place == *b"/" { &[] } else { &*nearest.place }, rest].concat();
    let path = if path.len() > 1 { path.strip_suffix(b"/").unwrap_or(&path).to_vec() } else { path };
    Some(if path.is_empty() { b"/".to_vec() } else { path })
}

/// Whether `path` is `folder`, or lies below it.
fn is_below(path: &[u8], folder: &[u8]) -> bool {
    let rest = path.strip_prefix(folder);
    folder == b"/" || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// Whether a container whose process is `pid` has every right: no capability is out of its reach, and no
/// part of /proc is hidden.
fn is_privileged(pid: u32, lines: &[Line]) -> Option<bool> {
    let reach = bounding_set(&pid.to_string())?;
    let is_full = reach & *ALL_CAPABILITIES == *ALL_CAPABILITIES;
    // What an engine puts over parts of /proc in a container without privileges.
    let hides = |line: &Line| {
        is_below(&line.place, b"/proc")
            && *line.place != *b"/proc"
            && (matches!(&*line.filesystem, b"tmpfs" | b"devtmpfs")
                || *line.filesystem == *b"proc" && !line.is_writable)
    };
    Some(is_full && !lines.iter().any(hides))
}

fn bounding_set(pid: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let set = status.lines().find_map(|line| line.strip_prefix("CapBnd:"))?;
    u64::from_str_radix(set.trim(), 16).ok()
}

/// Every capability of this kernel, or, where the first process of the machine is seen, those that the
/// machine has left.
static ALL_CAPABILITIES: LazyLock<u64> = LazyLock::new(|| {
    let last = fs::read_to_string("/proc/sys/kernel/cap_last_cap").ok();
    let last: Option<u32> = last.and_then(|last| last.trim().parse().ok());
    let known =
        last.filter(|last| *last < u64::BITS).map_or(u64::MAX, |last| u64::MAX >> (u64::BITS - 1 - last));
    let is_first = namespaces::own(Kind::Pid) == Some(super::background::FIRST_PIDS);
    known & bounding_set("1").filter(|_| is_first).unwrap_or(u64::MAX)
});

/// Whether the program lies in the upper layer of an overlay: by the layer itself where this process sees it,
/// else by the time of the file's last change, which a file of the image has from before the container's
/// start.
fn is_exe_added(subject: Subject<'_>, lines: &[Line]) -> Option<bool> {
    let asked = StatxFlags::MNT_ID | StatxFlags::CTIME | StatxFlags::NLINK;
    let file = statx(CWD, format!("/proc/{}/exe", subject.pid), AtFlags::empty(), asked).ok()?;
    let line = lines.iter().find(|line| line.id == file.stx_mnt_id)?;
    if *line.filesystem != *b"overlay" {
        return Some(false);
    }
    let Some(upper) = line.option(b"upperdir") else { return Some(false) };
    if file.stx_nlink > 0
        && let Some(is_there) = is_in_layer(&upper, subject.exe, &line.place)
    {
        return Some(is_there);
    }
    Some(changed_ns(&file)? >= container_started_ns(subject)?)
}

/// Whether a layer, a directory on this machine, has the file `exe` of the overlay at `place`; `None` where
/// that cannot be known without asking a file system that may not answer. The kernel forgets at once that a
/// layer does not have a file, so that its cache knows the others only.
fn is_in_layer(layer: &[u8], exe: &[u8], place: &[u8]) -> Option<bool> {
    let folder = place.strip_suffix(b"/").unwrap_or(place);
    let inside = exe.strip_prefix(folder)?.strip_prefix(b"/")?;
    let look = |at: &dyn rustix::fd::AsFd, path: &[u8], flags, resolve: ResolveFlags| {
        let resolve = resolve | ResolveFlags::NO_SYMLINKS;
        let flags = OFlags::PATH | OFlags::CLOEXEC | flags;
        openat2(at.as_fd(), Path::new(OsStr::from_bytes(path)), flags, Mode::empty(), resolve)
    };
    if !layer.starts_with(b"/") || inside.is_empty() {
        return None;
    }
    let layer = look(&CWD, layer, OFlags::DIRECTORY, ResolveFlags::CACHED).ok()?;
    let found = match look(&layer, inside, OFlags::empty(), ResolveFlags::CACHED) {
        Err(Errno::AGAIN) if files::is_local(&layer).ok()? => {
            look(&layer, inside, OFlags::empty(), ResolveFlags::BENEATH | ResolveFlags::NO_XDEV)
        }
        found => found,
    };
    match found {
        Ok(_) => Some(true),
        Err(Errno::NOENT) => Some(false),
        Err(_) => None,
    }
}

fn changed_ns(file: &Statx) -> Option<u64> {
    let seconds = u64::try_from(file.stx_ctime.tv_sec).ok()?;
    seconds.checked_mul(1_000_000_000)?.checked_add(file.stx_ctime.tv_nsec.into())
}

/// When the first process of the process's pid namespace began, nanoseconds since the epoch: not known on a
/// host, of a container that shares the host's pid namespace, and of a process that was sent into a
/// container.
fn container_started_ns(subject: Subject<'_>) -> Option<u64> {
    const MOST_PARENTS: usize = 64;
    let began = |pid| Some(Clock::sample().utc_ns(procfs::started_ns(pid)?));
    if subject.pid_ns.is_some() && subject.pid_ns == namespaces::own(Kind::Pid) {
        // The first process of the machine is older than the files of every image.
        let is_machines = subject.pid_ns == Some(super::background::FIRST_PIDS);
        return began(1).filter(|_| subject.place == Place::Sandbox && !is_machines);
    }
    let depth = procfs::namespace_pids(subject.pid)?.len();
    let mut pid = subject.pid;
    for _ in 0..MOST_PARENTS {
        let numbers = procfs::namespace_pids(pid)?;
        if numbers.len() != depth {
            return None;
        }
        if numbers.last() == Some(&1) {
            return began(pid);
        }
        pid = procfs::stat(pid)?.ppid;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<Line> {
        mounts::parse(text.as_bytes())
    }

    fn shown(mounts: &[Mount]) -> Vec<String> {
        let text = |path: &[u8]| String::from_utf8(path.to_vec()).unwrap();
        let shown =
            |mount: &Mount| format!("{} {} {}", text(&mount.source), text(&mount.place), mount.is_writable);
        mounts.iter().map(shown).collect()
    }

    #[test]
    fn mounts_of_a_container_have_the_paths_of_the_host_and_the_usual_ones_are_left_out() {
        let host = lines(
            "1 0 8:1 / / rw - ext4 /dev/sda rw\n2 1 0:5 / /proc rw - proc proc rw\n3 1 8:2 / /var rw - ext4 /dev/sdb rw\n\
             4 1 0:9 / /sys rw - sysfs sysfs rw\n5 1 0:7 /a /srv rw - btrfs x rw\n6 1 0:7 / /all rw - btrfs x rw\n",
        );
        let container = lines(
            "10 9 0:50 / / rw - overlay overlay rw\n11 10 0:51 / /proc rw - proc proc rw\n\
             12 11 0:5 /sys /proc/sys ro - proc proc rw\n13 10 0:9 / /sys ro - sysfs sysfs rw\n\
             14 10 8:1 /etc /host/etc ro - ext4 /dev/sda rw\n15 10 8:2 /lib/kubelet /k rw - ext4 /dev/sdb rw\n\
             16 10 0:5 / /host/proc rw - proc proc rw\n17 10 8:1 / /host rw - ext4 /dev/sda rw\n\
             18 10 0:7 /a/b /b rw - btrfs x rw\n19 10 0:99 / /tmp rw - tmpfs tmpfs rw\n",
        );

        assert_eq!(
            vec![
                "/etc /host/etc false",
                "/var/lib/kubelet /k true",
                "/proc /host/proc true",
                "/ /host true",
                "/srv/b /b true",
            ],
            shown(&shared(&container, &host).unwrap())
        );
    }

    #[test]
    fn container_with_a_hidden_part_of_proc_is_not_privileged() {
        let own = std::process::id();
        let plain = lines("11 10 0:51 / /proc rw - proc proc rw\n12 10 0:60 / /proc-x ro - tmpfs x rw\n");
        let masked = lines("11 10 0:51 / /proc rw - proc proc rw\n12 11 0:60 / /proc/acpi ro - tmpfs x ro\n");
        let is_full = bounding_set("self").unwrap() & *ALL_CAPABILITIES == *ALL_CAPABILITIES;

        assert_eq!(Some(is_full), is_privileged(own, &plain));
        assert_eq!(Some(false), is_privileged(own, &masked));
        assert_eq!(None, is_privileged(u32::MAX, &plain));
    }

    #[test]
    fn container_that_shares_the_machines_processes_has_no_start() {
        let pid_ns = namespaces::own(Kind::Pid);
        let subject = Subject {
            pid: std::process::id(),
            exe: b"/x",
            pid_ns,
            mnt_ns: None,
            place: Place::Sandbox,
            has_container: true,
        };
        let is_machines = pid_ns == Some(super::super::background::FIRST_PIDS);

        assert_eq!(is_machines, container_started_ns(subject).is_none());
        assert_eq!(None, container_started_ns(Subject { place: Place::Host, ..subject }));
    }

    #[test]
    fn file_of_a_layer_is_found_and_a_layer_that_is_not_seen_says_nothing() {
        let folder = std::env::temp_dir().join(format!("glassbox-layer-{}", std::process::id()));
        let folder = fs::canonicalize(std::env::temp_dir()).unwrap().join(folder.file_name().unwrap());
        fs::create_dir_all(folder.join("bin")).unwrap();
        fs::write(folder.join("bin/new"), b"x").unwrap();
        let layer = folder.as_os_str().as_bytes();

        let found = [
            is_in_layer(layer, b"/bin/new", b"/"),
            is_in_layer(layer, b"/merged/bin/new", b"/merged"),
            is_in_layer(layer, b"/bin/old", b"/"),
            is_in_layer(b"/no/such/layer", b"/bin/new", b"/"),
            is_in_layer(layer, b"/other/bin/new", b"/merged"),
        ];
        fs::remove_dir_all(&folder).unwrap();

        assert_eq!([Some(true), Some(true), Some(false), None, None], found);
    }
}
