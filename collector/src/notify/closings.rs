//! The descriptors that calls close, and what the kernel counted of each: bytes of TCP sockets by their
//! TCP_INFO, bytes of files by the position of the descriptor where the process's own count agrees with it.
//!
//! The supervisor reads both while the call that closes waits (docs/adr/0046). `sockets` asks for the bytes
//! of sockets, aside.

use std::cell::LazyCell;
use std::collections::VecDeque;
use std::fs::File;
use std::ops::Deref;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustc_hash::{FxHashMap, FxHashSet};
use wire::ring::MAX_RECORD;

use super::places::{Ending, Places, ProcessPlaces};
use super::sockets::{SocketAt, Sockets};
use crate::system::connections::Traffic;
use crate::system::procfs;

/// Processes that are remembered; beyond, all are looked at anew.
const MOST_PROCESSES: usize = 4096;
/// Opens of a process that are remembered.
const MOST_OPENS: usize = 32;
/// No file has a longer name (`NAME_MAX`).
const LONGEST_NAME: usize = 255;
/// Descriptors that a call closes and that are looked at, and for how long: its thread waits. The others are
/// counted.
const MOST_CLOSED: usize = 1024;
const PATIENCE: Duration = Duration::from_millis(100);
/// No ending takes more bytes of a packet: a path has at most 4096. What is looked at has room there.
const LONGEST: usize = 5 << 10;
/// Descriptors that a process has when it is first seen, and that are looked at, and for how long.
const MOST_INHERITED: usize = 64;
const FIRST_LOOK: Duration = Duration::from_millis(50);
/// Counts that are kept open, of processes and threads; then it begins anew.
const MOST_KEPT: usize = 64;

/// What is remembered between the calls.
#[derive(Debug, Default)]
pub struct Closings {
    processes: FxHashMap<u32, Known>,
    sockets: Sockets,
    counts: FxHashMap<(u32, u32), File>,
}

/// A process.
#[derive(Debug, Default)]
struct Known {
    /// When it started, apart from others that get its number.
    started: Option<u64>,
    /// Where its stack begins, which each program has of its own.
    stack: Option<u64>,
    /// It asked for an exec, and it is not known yet whether another program runs.
    has_asked_for_exec: bool,
    /// Its descriptors when it was first seen, or after its last exec: another program opened them.
    inherited: FxHashSet<i32>,
    /// The sockets among them, by inode, with the bytes that were theirs.
    before: FxHashMap<u64, Traffic>,
    /// Its last opens whose files are not closed.
    opens: VecDeque<Opened>,
}

/// An open that was asked for.
#[derive(Debug)]
struct Opened {
    /// The last part of the path.
    name: Vec<u8>,
    tid: u32,
    /// The file is empty once it is open: it is truncated, or made by this open.
    is_empty: bool,
    whole: Option<Counts>,
    of_thread: Option<Counts>,
}

/// Bytes that a process or a thread has read and written in its life, over any descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counts {
    read: u64,
    written: u64,
}

impl Counts {
    /// Out of `/proc/PID/io`.
    fn parse(text: &str) -> Option<Self> {
        let number = |name: &str| text.lines().find_map(|line| line.strip_prefix(name))?.trim().parse().ok();
        Some(Self { read: number("rchar:")?, written: number("wchar:")? })
    }

    fn since(self, before: Self) -> Self {
        Self { read: self.read.wrapping_sub(before.read), written: self.written.wrapping_sub(before.written) }
    }
}

/// What a process does with the file of a descriptor: `O_ACCMODE` and `O_APPEND`, the same on all machines
/// here (linux/include/uapi/asm-generic/fcntl.h).
const READS: u32 = 0;
const WRITES: u32 = 1;
const READS_AND_WRITES: u32 = 2;
const ACCESS: u32 = 3;
const APPENDS: u32 = 0o2000;

/// The flags by which an open finds an empty file or makes it so.
const TRUNCATES: u32 = 0o1000;
const MAKES: u32 = 0o300;

/// Bytes that were read and written by a descriptor at this position, if all that was counted since its open
/// says the same. A position says it alone only where it began at the file's beginning, and nothing else
/// moved it: not in a file to which is appended, nor where it was set.
fn agreed(flags: u32, is_empty: bool, position: u64, counted: Counts) -> Option<(u64, u64)> {
    let Counts { read, written } = counted;
    let appends = flags & APPENDS != 0;
    match flags & ACCESS {
        READS if read == position => Some((position, 0)),
        // Nothing can be read of what nobody has written.
        WRITES | READS_AND_WRITES if is_empty && written == position => Some((0, position)),
        WRITES if !appends && written == position => Some((0, position)),
        READS_AND_WRITES if !appends && read.checked_add(written)? == position => Some((read, written)),
        _ => None,
    }
}

/// The last part of a path or a label.
fn name(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)
}

impl Closings {
    /// Looks at a process that is not known yet, through one of its threads: all that it has open came from
    /// another program.
    fn meet(&mut self, places: &mut ProcessPlaces<'_>) {
        let process = places.process;
        if let Some(known) = self.processes.get_mut(&process) {
            let has_another =
                std::mem::take(&mut known.has_asked_for_exec) && known.stack != procfs::stack(process);
            if !has_another {
                return;
            }
            self.forget(process);
        }
        if self.processes.len() >= MOST_PROCESSES {
            self.processes.clear();
        }
        let inherited: FxHashSet<i32> = procfs::descriptor_numbers(places.tid).into_iter().collect();
        let (started, stack) = (started(process), procfs::stack(process));
        let mut known = Known { started, stack, inherited, ..Known::default() };
        let (pidfd, until) = (procfs::open(process).map(Arc::new), Instant::now() + FIRST_LOOK);
        for fd in known.inherited.iter().take(MOST_INHERITED) {
            if let Some(inode) = places.inode(*fd)
                && let Some(at) = SocketAt::of(pidfd.as_ref(), *fd, inode, places.janitor)
                && let Some(traffic) = self.sockets.look(at, until).and_then(|looked| looked.traffic)
            {
                known.before.insert(inode, traffic);
            }
        }
        self.processes.insert(process, known);
    }

    /// The bytes that the last call's closes have are on their way to the collector.
    pub fn note_told(&mut self) {
        self.sockets.note_told();
    }

    /// After the call of this name another program may run in the process, or none. A failed exec leaves it
    /// the one that it was.
    pub fn note_end(&mut self, process: u32, call: &str) {
        match (call, self.processes.get_mut(&process)) {
            ("exit_group", _) => self.forget(process),
            ("execve" | "execveat", Some(known)) => known.has_asked_for_exec = true,
            _ => {}
        }
    }

    /// Another program runs in the process from here on, or none.
    fn forget(&mut self, process: u32) {
        self.processes.remove(&process);
        self.counts.retain(|(of, _), _| *of != process);
    }

    /// Forgets a process that ended, and whose number another one has.
    pub fn look_after(&mut self, process: u32) {
        if self.processes.get(&process).is_some_and(|known| known.started != started(process)) {
            self.forget(process);
        }
    }

    /// An open is asked for.
    fn note_open(&mut self, process: u32, tid: u32, path: &[u8], flags: u32) {
        if name(path).len() > LONGEST_NAME {
            return;
        }
        let opened = Opened {
            name: name(path).to_vec(),
            tid,
            is_empty: flags & TRUNCATES != 0 || flags & MAKES == MAKES,
            whole: self.counts_of(process, process, "io"),
            of_thread: self.counts_of(process, tid, &format!("task/{tid}/io")),
        };
        if let Some(known) = self.processes.get_mut(&process) {
            if known.opens.len() >= MOST_OPENS {
                known.opens.pop_front();
            }
            known.opens.push_back(opened);
        }
    }

    /// `owner` is the process for its whole count, or one of its threads.
    fn counts_of(&mut self, process: u32, owner: u32, file: &str) -> Option<Counts> {
        let key = (process, if file == "io" { 0 } else { owner });
        if self.counts.len() >= MOST_KEPT && !self.counts.contains_key(&key) {
            self.counts.clear();
        }
        let file = match self.counts.entry(key) {
            std::collections::hash_map::Entry::Occupied(kept) => kept.into_mut(),
            std::collections::hash_map::Entry::Vacant(none) => {
                none.insert(File::open(format!("/proc/{process}/{file}")).ok()?)
            }
        };
        let mut text = [0; 256];
        let Ok(len @ 1..) = file.read_at(&mut text, 0) else {
            self.counts.remove(&key);
            return None;
        };
        Counts::parse(std::str::from_utf8(text.get(..len)?).ok()?)
    }

    /// The bytes that were read and written by a descriptor of a file, where they are certain.
    fn of_file(&mut self, places: &ProcessPlaces<'_>, fd: i32, label: &[u8]) -> Option<(u64, u64)> {
        // What has no path has no position, and the kernel may wait for its text: that of epoll(7).
        if !label.starts_with(b"/") {
            return None;
        }
        let process = places.process;
        let opens = &mut self.processes.get_mut(&process)?.opens;
        let of_it = name(procfs::without_deletion(label));
        let index = opens.iter().rposition(|opened| opened.name == of_it)?;
        let opened = opens.remove(index)?;
        let info = places.text(&format!("fdinfo/{fd}"))?;
        let line = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let position = line("pos:")?.parse().ok()?;
        let flags = u32::from_str_radix(line("flags:")?, 8).ok()?;
        let says = |now: Counts, then: Counts| agreed(flags, opened.is_empty, position, now.since(then));
        let whole = self.counts_of(process, process, "io").zip(opened.whole);
        whole.and_then(|(now, then)| says(now, then)).or_else(|| {
            // Other threads do something else meanwhile. That this one counted nothing says nothing of them.
            let of_thread = opened.of_thread.filter(|_| position > 0)?;
            says(self.counts_of(process, opened.tid, &format!("task/{}/io", opened.tid))?, of_thread)
        })
    }

    /// A descriptor that is open and about to be closed; `None` for one that is not, or that another program
    /// opened and this one did not use, as far as the kernel tells.
    fn ending(
        &mut self,
        places: &mut ProcessPlaces<'_>,
        pidfd: &impl Deref<Target = Option<Arc<OwnedFd>>>,
        fd: i32,
        until: Instant,
    ) -> Option<Ending> {
        let label = places.descriptor(fd)?;
        let is_inherited = self.processes.get_mut(&places.process)?.inherited.remove(&fd);
        let mut ending = Ending { fd, label, ..Ending::default() };
        if ending.label.starts_with(b"socket:") {
            if let Some(inode) = places.inode(fd)
                && is_tcp(&ending.label)
                && let Some(at) = SocketAt::of(pidfd.as_ref(), fd, inode, places.janitor)
                && let Some(looked) = self.sockets.look(at, until)
            {
                (ending.local, ending.remote) = (looked.local, looked.remote);
                let before = self.processes.get(&places.process)?.before.get(&inode).copied();
                if (!is_inherited || before.is_some())
                    && let Some(now) = looked.traffic
                {
                    let new = self.sockets.untold(inode, before.unwrap_or_default(), now);
                    (ending.bytes_in, ending.bytes_out) = (new.received, new.sent);
                }
            }
        } else if !is_inherited && let Some((read, written)) = self.of_file(places, fd, &ending.label) {
            (ending.bytes_in, ending.bytes_out) = (Some(read), Some(written));
        }
        let is_used = ending.bytes_in.max(ending.bytes_out) > Some(0);
        (!is_inherited || is_used).then_some(ending)
    }
}

/// Where a process without hooks stands, whose closes are told.
#[derive(Debug)]
pub struct Watched<'p, 'q> {
    /// The rest.
    places: &'p mut ProcessPlaces<'q>,
    /// What is remembered of its descriptors.
    closings: &'p mut Closings,
}

impl<'p, 'q> Watched<'p, 'q> {
    /// Of a process that is met here at the latest.
    pub fn of(places: &'p mut ProcessPlaces<'q>, closings: &'p mut Closings) -> Self {
        closings.sockets.forget_untold();
        closings.meet(places);
        Self { places, closings }
    }
}

impl Places for Watched<'_, '_> {
    fn cwd(&mut self) -> Option<Vec<u8>> {
        self.places.cwd()
    }

    fn descriptor(&mut self, fd: i32) -> Option<Vec<u8>> {
        self.places.descriptor(fd)
    }

    fn finds_connection(&mut self, fd: i32) -> Option<bool> {
        self.places.finds_connection(fd)
    }

    fn accepts_from(&mut self, fd: i32) -> Option<Option<Vec<u8>>> {
        self.places.accepts_from(fd)
    }

    fn is_new_peer(&mut self, fd: i32, peer: &[u8]) -> bool {
        self.places.is_new_peer(fd, peer)
    }

    fn closes(&mut self, first: u32, last: u32) -> (Vec<Ending>, u64) {
        let Self { places, closings } = self;
        let fds = match i32::try_from(first) {
            Ok(fd) if first == last => vec![fd],
            _ => procfs::descriptor_numbers(places.tid),
        };
        let is_meant = |fd: &i32| u32::try_from(*fd).is_ok_and(|fd| (first..=last).contains(&fd));
        let process = places.process;
        let pidfd = LazyCell::new(|| procfs::open(process).map(Arc::new));
        let (fds, until) = (fds.into_iter().filter(is_meant), Instant::now() + PATIENCE);
        as_many_as_may_wait(fds, |fd| closings.ending(places, &pidfd, fd, until))
    }

    fn note_connect(&mut self, fd: i32) {
        if let Some(inode) = self.places.inode(fd) {
            self.closings.sockets.note_connect(inode);
        }
    }

    fn note_open(&mut self, path: &[u8], flags: u32) {
        self.closings.note_open(self.places.process, self.places.tid, path, flags);
    }
}

/// Looks at descriptors as long as their call may wait and its packet has room, and counts the others.
fn as_many_as_may_wait(
    mut fds: impl Iterator<Item = i32>,
    mut look: impl FnMut(i32) -> Option<Ending>,
) -> (Vec<Ending>, u64) {
    let (mut endings, mut bytes, begun) = (Vec::new(), 0, Instant::now());
    for fd in fds.by_ref().take(MOST_CLOSED) {
        if let Some(ending) = look(fd) {
            bytes += ending.len();
            endings.push(ending);
        }
        if bytes + LONGEST > MAX_RECORD || begun.elapsed() > PATIENCE {
            break;
        }
    }
    (endings, fds.count() as u64)
}

fn is_tcp(label: &[u8]) -> bool {
    label.ends_with(b" TCP") || label.ends_with(b" TCPv6")
}

fn started(process: u32) -> Option<u64> {
    procfs::stat(process).map(|stat| stat.started)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek, SeekFrom, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;
    use std::sync::LazyLock;

    use super::super::places::Peers;
    use super::*;
    use crate::door::janitor::Janitor;

    const fn counted(read: u64, written: u64) -> Counts {
        Counts { read, written }
    }

    #[test]
    fn a_position_is_a_count_where_the_process_counted_the_same() {
        for (flags, is_empty, position, counts, bytes) in [
            (READS, false, 10, counted(10, 7), Some((10, 0))),
            (READS, false, 0, counted(0, 0), Some((0, 0))),
            (READS, false, 10, counted(11, 0), None),
            (WRITES, false, 10, counted(3, 10), Some((0, 10))),
            (WRITES, false, 10, counted(0, 9), None),
            (WRITES | APPENDS, false, 10, counted(0, 10), None),
            (WRITES | APPENDS, true, 10, counted(0, 10), Some((0, 10))),
            (READS_AND_WRITES, false, 10, counted(0, 10), Some((0, 10))),
            (READS_AND_WRITES, false, 10, counted(4, 6), Some((4, 6))),
            (READS_AND_WRITES, false, 10, counted(10, 10), None),
            (READS_AND_WRITES, true, 10, counted(10, 10), Some((0, 10))),
            (READS_AND_WRITES, false, 0, counted(0, 0), Some((0, 0))),
        ] {
            let found = agreed(flags, is_empty, position, counts);
            assert_eq!(bytes, found, "{flags:o} {is_empty} {position} {counts:?}");
        }
    }

    #[test]
    fn counts_are_read_and_others_are_none() {
        assert_eq!(Some(counted(12, 34)), Counts::parse("rchar: 12\nwchar: 34\nsyscr: 5\n"));
        assert_eq!(None, Counts::parse("rchar: 12\n"));
    }

    /// This thread's close of each of `fds`.
    fn endings(closings: &mut Closings, fds: &[&dyn AsRawFd]) -> Vec<Option<Ending>> {
        static JANITOR: LazyLock<Janitor> = LazyLock::new(Janitor::of_others);
        let (process, mut peers) = (std::process::id(), Peers::default());
        let tid = own_tid();
        let mut places =
            ProcessPlaces { tid, process, peers: &mut peers, janitor: &JANITOR, is_asked: false };
        closings.meet(&mut places);
        let (pidfd, until) = (procfs::open(process).map(Arc::new), Instant::now() + 20 * PATIENCE);
        fds.iter().map(|fd| closings.ending(&mut places, &&pidfd, fd.as_raw_fd(), until)).collect()
    }

    fn own_tid() -> u32 {
        let link = std::fs::read_link("/proc/thread-self").unwrap();
        link.file_name().unwrap().to_str().unwrap().parse().unwrap()
    }

    fn bytes(ending: &Option<Ending>) -> Option<(Option<u64>, Option<u64>)> {
        ending.as_ref().map(|ending| (ending.bytes_in, ending.bytes_out))
    }

    #[test]
    fn files_and_sockets_have_the_bytes_that_the_thread_moved_and_inherited_ones_are_none() {
        let folder = std::env::temp_dir().join(format!("glassbox-test-{}-closings", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let mut closings = Closings::default();
        let old = File::create(folder.join("old")).unwrap();
        endings(&mut closings, &[]);
        let mut open = |name: &str| {
            let path = folder.join(name);
            closings.note_open(std::process::id(), own_tid(), path.as_os_str().as_encoded_bytes(), TRUNCATES);
            File::options().read(true).write(true).create(true).truncate(true).open(path).unwrap()
        };

        let mut whole = open("whole");
        whole.write_all(&[7; 300]).unwrap();
        let mut set = open("set");
        set.write_all(&[7; 300]).unwrap();
        set.seek(SeekFrom::Start(100)).unwrap();
        let unseen = File::open(folder.join("whole")).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut asked = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut accepted, _) = listener.accept().unwrap();
        asked.write_all(b"hello").unwrap();
        accepted.read_exact(&mut [0; 5]).unwrap();

        let ended = endings(&mut closings, &[&set, &whole, &unseen, &old, &accepted, &listener]);
        std::fs::remove_dir_all(&folder).unwrap();

        let told: Vec<_> = ended.iter().map(bytes).collect();
        assert_eq!(Some((None, None)), told[0], "its position was set");
        assert_eq!(Some((None, None)), told[2], "no open of it was seen");
        assert_eq!(None, told[3], "another program opened it");
        assert_eq!(Some((Some(5), Some(0))), told[4]);
        assert_eq!(Some((Some(0), Some(0))), told[5]);
        assert!(
            ended[4].as_ref().is_some_and(|ending| ending.local.len() == 16 && ending.remote.len() == 16)
        );
    }

    #[test]
    fn bytes_of_a_file_are_certain_where_one_thread_opens_writes_and_closes() {
        let path = std::env::temp_dir().join(format!("glassbox-test-{}-counted", std::process::id()));
        let mut closings = Closings::default();
        endings(&mut closings, &[]);

        closings.note_open(std::process::id(), own_tid(), path.as_os_str().as_encoded_bytes(), TRUNCATES);
        let mut file = File::create(&path).unwrap();
        file.write_all(&[7; 1234]).unwrap();
        // One that failed: this program goes on.
        closings.note_end(std::process::id(), "execve");
        let ended = endings(&mut closings, &[&file, &file]);
        std::fs::remove_file(&path).unwrap();
        closings.note_end(std::process::id(), "exit_group");

        assert_eq!(Some((Some(0), Some(1234))), bytes(&ended[0]));
        assert_eq!(Some((None, None)), bytes(&ended[1]), "that open has been told of");
        assert!(closings.processes.is_empty());
    }

    #[test]
    fn of_many_descriptors_some_are_looked_at_and_the_others_counted() {
        let small = |fd| Some(Ending { fd, ..Ending::default() });
        let long = |fd| {
            let (local, remote) = (vec![0; 128], vec![0; 128]);
            Some(Ending { fd, label: vec![b'x'; 4096 + 10], local, remote, ..Ending::default() })
        };

        let (few, none) = as_many_as_may_wait(0..5, small);
        let (many, others) = as_many_as_may_wait(0..5000, small);
        let (of_room, rest) = as_many_as_may_wait(0..5000, long);

        assert_eq!((5, 0, 5000), (few.len(), none, many.len() as u64 + others));
        assert!(of_room.iter().map(Ending::len).sum::<usize>() <= MAX_RECORD);
        assert!(many.len() <= MOST_CLOSED && of_room.len() <= MAX_RECORD / 4096 + 1, "{}", of_room.len());
        assert_eq!(5000, of_room.len() as u64 + rest);
    }
}
