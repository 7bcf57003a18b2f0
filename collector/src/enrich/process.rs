//! The picture of one process: its descriptors, its directory, and the names that it resolved.
//!
//! The census keeps one for each image; the enricher changes it with each record.

use std::collections::VecDeque;
use std::sync::Arc;

use wire::events::{FdFlags, FdMade, FdRange};

use super::addresses::{self, Address};
use super::descriptors::{AskedSocket, Descriptor, Descriptors, Socket, Target};
use super::hosts::Hosts;
use super::threads::{Place, Threads};
use super::walks::{Root, Walks};
use crate::allowance::{Account, Resource, Share};
use crate::container::Container;
use crate::event::{Circumstances, Claimed, Comm, Facts, Program, Who};
use crate::ids::{ImageId, MonoNs, Tid};
use crate::system::procfs;
use crate::system::standpoint::Standpoint;

/// The picture of one process: everything that its events need beyond their own records.
#[derive(Clone, Debug)]
pub struct Process {
    /// How its events show it.
    pub who: Arc<Who>,
    /// The image.
    pub owner: ImageId,
    /// Its current directory; empty where it is unknown.
    pub cwd: Arc<[u8]>,
    /// Its open descriptors.
    pub descriptors: Arc<Descriptors>,
    /// Descriptors whose number was reused before their close record arrived; oldest first.
    displaced: VecDeque<Displaced>,
    /// The number of the present record.
    pub(super) seq: u64,
    /// Names that it, or the process it was forked from, resolved last.
    pub(super) hosts: Arc<Hosts>,
    /// Its own numbers of processes are not the collector's.
    pub is_below: bool,
    /// Its user and its mount namespace.
    pub standpoint: Standpoint,
    /// The same, from the time on at which the kernel was asked.
    pub(super) later: Option<Box<Standpoint>>,
    /// Its directory's path holds no link: the kernel gave it.
    pub(super) is_cwd_physical: bool,
    /// Those of its threads that share less.
    pub(super) threads: Threads,
    /// The root that its paths begin at, and where those that go up led.
    pub(super) walks: Walks,
    /// Kinds of sockets that it asked for, of which no result is known.
    pub(super) asked_sockets: Vec<AskedSocket>,
    /// The bytes of its directory and of `displaced`.
    share: Share,
    /// The batch that knows `who`, and its number there.
    pub(super) listed: (u64, u32),
    /// An event told of it.
    pub is_told_of: bool,
}

/// A descriptor whose number was opened anew while its close was on its way: a thread takes the record's
/// number, closes, and may lose the processor before it writes the record.
#[derive(Clone, Debug)]
struct Displaced {
    fd: i32,
    /// The number of the record that opened it anew.
    by_seq: u64,
    descriptor: Descriptor,
}

/// Longer paths are not kept: each step into a directory makes a path longer, and no kernel takes a path of
/// more than PATH_MAX (4096) bytes at once.
pub const MOST_PATH: usize = 8192;
/// Descriptors whose close is still awaited; one that never comes passed the sensor by.
const MOST_DISPLACED: usize = 64;

impl Process {
    /// A process of which only its numbers are known.
    pub fn new(who: Who, owner: ImageId) -> Self {
        Self {
            who: Arc::new(who),
            owner,
            cwd: Arc::from([].as_slice()),
            descriptors: Arc::default(),
            displaced: VecDeque::new(),
            seq: 0,
            hosts: Arc::default(),
            is_below: false,
            standpoint: Standpoint::default(),
            later: None,
            is_cwd_physical: false,
            threads: Threads::default(),
            walks: Walks::of(&Account::boundless()),
            asked_sockets: Vec::new(),
            share: Share::default(),
            listed: (0, 0),
            is_told_of: false,
        }
    }

    /// A process that was forked from this one.
    pub fn fork(&self, who: Who, owner: ImageId) -> Self {
        Self {
            who: Arc::new(who),
            owner,
            cwd: Arc::clone(&self.cwd),
            descriptors: Arc::clone(&self.descriptors),
            displaced: VecDeque::new(),
            seq: self.seq,
            hosts: Arc::clone(&self.hosts),
            is_below: false,
            standpoint: self.standpoint.clone(),
            later: None,
            is_cwd_physical: self.is_cwd_physical,
            threads: Threads::default(),
            walks: self.walks.inherited(),
            asked_sockets: self.asked_sockets.clone(),
            share: self.share.account().share(Resource::Bytes),
            listed: (0, 0),
            is_told_of: false,
        }
    }

    /// Says that its memory comes out of `account` from here on. What finds no room there is forgotten.
    pub fn charge(&mut self, account: &Arc<Account>) {
        if !Arc::ptr_eq(self.share.account(), account) {
            self.share = account.share(Resource::Bytes);
            self.displaced.clear();
            let root = self.walks.root();
            self.walks = Walks::of(account);
            self.walks.begin_at(root);
        }
        if !Arc::ptr_eq(self.descriptors.account(), account) {
            self.descriptors = Arc::new(self.descriptors.in_account(account));
        }
        if !Arc::ptr_eq(self.hosts.account(), account) {
            self.hosts = Arc::new(self.hosts.in_account(account));
        }
    }

    /// Says that its directory is `path` from here on; nothing is known of one that is too long, or for which
    /// there is no room.
    pub fn change_directory(&mut self, path: &[u8]) {
        self.share.shrink(self.cwd.len());
        let is_kept = path.len() <= MOST_PATH && self.share.grow(path.len());
        self.cwd = if is_kept { path.into() } else { Arc::from([].as_slice()) };
        self.is_cwd_physical = false;
        self.listed = (0, 0);
    }

    /// Whether its paths begin at the collector's root.
    pub fn has_our_root(&self) -> bool {
        self.walks.root() == Root::Ours
    }

    /// The account that its memory and its questions come out of.
    pub(super) fn account(&self) -> &Arc<Account> {
        self.share.account()
    }

    /// The directory that an absolute path, which ends in `..`, leads to.
    pub(super) fn walk(&mut self, path: &[u8]) -> Option<Box<[u8]>> {
        let pid = self.visible_pid();
        self.walks.walk(path, pid)
    }

    /// Says that it runs another executable from here on, executed as `path`, with these arguments, each
    /// ended by a NUL.
    pub fn becomes(&mut self, exe: &[u8], path: &[u8], argv: &Arc<[u8]>) {
        let Program { pid, parent, facts, .. } = &*self.who.program;
        let program =
            Program::charged(*pid, exe.into(), Arc::clone(argv), parent.clone(), self.share.account());
        let program = program.with(Facts { comm: Comm::of_path(path), ..*facts });
        self.who = Arc::new(Who { program, ..(*self.who).clone() });
        self.listed = (0, 0);
    }

    /// Says whether only the process names its executable.
    pub fn claim_exe(&mut self, is_claim: bool) {
        let claimed = self.who.claimed.without(Claimed::EXE).and_if(is_claim, Claimed::EXE);
        self.who = Arc::new(Who { claimed, ..(*self.who).clone() });
        self.listed = (0, 0);
    }

    /// Says that its events show `after` from here on, if they showed the container `before`.
    pub fn rename(&mut self, before: &Arc<Container>, after: &Arc<Container>) {
        if self.who.container.as_ref().is_some_and(|container| Arc::ptr_eq(container, before)) {
            self.who = Arc::new(Who { container: Some(Arc::clone(after)), ..(*self.who).clone() });
            self.listed = (0, 0);
        }
    }

    /// Says that its events show another identity from here on.
    pub(super) fn set_ids(&mut self, uid: u32, euid: u32) {
        if (self.who.uid, self.who.euid) != (Some(uid), Some(euid)) {
            let circumstances = Circumstances { names: None, ..self.who.circumstances.clone() };
            let ids = (Some(uid), Some(euid));
            self.who = Arc::new(Who { uid: ids.0, euid: ids.1, circumstances, ..(*self.who).clone() });
            self.listed = (0, 0);
        }
    }

    /// The same without anything that only its records say: for a program that runs with other rights than
    /// the program which wrote them.
    #[must_use]
    pub fn without_hearsay(self) -> Self {
        let cwd = Arc::from([].as_slice());
        let threads = Threads::default();
        Self { cwd, descriptors: Arc::default(), hosts: Arc::default(), threads, ..self }
    }

    /// The user ids that its events show.
    pub fn ids(&self) -> (Option<u32>, Option<u32>) {
        (self.who.uid, self.who.euid)
    }

    /// Says that its events show these user ids from here on, and whether only the process says so.
    pub fn confirm_ids(&mut self, (uid, euid): (Option<u32>, Option<u32>), is_claim: bool) {
        let ids = Claimed::UID.and(Claimed::EUID);
        let claimed = self.who.claimed.without(ids).and_if(is_claim, ids);
        if ((uid, euid), claimed) != (self.ids(), self.who.claimed) {
            let circumstances = Circumstances { names: None, ..self.who.circumstances.clone() };
            self.who = Arc::new(Who { uid, euid, claimed, circumstances, ..(*self.who).clone() });
            self.listed = (0, 0);
        }
        self.show_standpoint();
    }

    /// The process that a pidfd stands for: as a call told, else as the kernel does. The process may have put
    /// another descriptor there, of which the kernel has much to tell, so the account pays for the time.
    pub(super) fn behind_pidfd(&mut self, fd: i32) -> Option<i64> {
        let path = self.path(fd)?;
        let told = path.strip_prefix(b"pidfd:").and_then(|pid| std::str::from_utf8(pid).ok()?.parse().ok());
        if told.is_some() && !self.is_below {
            return told;
        }
        let (account, begun) = (self.share.account(), MonoNs::now());
        if !account.may_ask(begun) {
            return None;
        }
        let found = procfs::behind_pidfd(self.visible_pid()?, fd);
        account.asked(begun, MonoNs::now());
        found
    }

    /// The pid to look up in /proc; `None` where that would be another process, or not the thread's own: a
    /// thread's number is the process's word, and another may have it by now.
    pub(super) fn visible_pid(&self) -> Option<u32> {
        let key = self.who.key();
        (key.is_visible() && self.threads.present().is_none()).then_some(key.pid.0)
    }

    /// Puts the picture of a thread in place: the next records are its own.
    #[inline]
    pub(super) fn turn_to(&mut self, tid: Tid) {
        if !self.threads.share_all() {
            self.exchange(Some(tid));
        }
    }

    /// Puts the picture that the other threads share in place.
    pub(super) fn turn_back(&mut self) {
        self.exchange(None);
    }

    fn exchange(&mut self, next: Option<Tid>) {
        let Self { threads, cwd: directory, is_cwd_physical: is_physical, descriptors, .. } = self;
        threads.exchange(next, Place { directory, is_physical, descriptors });
        self.listed = (0, 0);
    }

    /// Gives a thread a directory, or descriptors, of its own, which are as those of the others now. The
    /// first thread's remain the process's: most programs that unshare have no other.
    pub(super) fn set_apart(&mut self, tid: Tid, has_directory: bool, has_descriptors: bool) {
        self.turn_back();
        let is_first = tid.0 == self.who.key().pid.0;
        let has_any = tid != Tid(0) && (has_directory || has_descriptors);
        if is_first || !has_any {
            return;
        }
        if let Some((oldest, _)) = self.threads.make_room(tid) {
            self.share.shrink(oldest.len());
        }
        let directory = (has_directory && !self.threads.has_directory(tid)).then(|| {
            // Without room for one more path, nothing is known of it.
            let has_room = self.share.grow(self.cwd.len());
            (if has_room { Arc::clone(&self.cwd) } else { Arc::default() }, self.is_cwd_physical)
        });
        self.threads.set_apart(tid, directory, has_descriptors.then(|| Arc::clone(&self.descriptors)));
        self.turn_to(tid);
    }

    /// Notes a descriptor as `/proc/PID/fd` shows it, unless a call told more.
    pub fn seed(&mut self, fd: i32, link: &[u8]) {
        let is_known = self.descriptors.get(fd).is_some_and(|known| match &known.target {
            Target::File(path) => **path == *link,
            // The socket's number adds nothing to its addresses.
            Target::Socket(_) => link.starts_with(b"socket:"),
        });
        if !is_known {
            // Another image opened it, and it does not close at exec.
            let descriptor = Descriptor::new(target_of(link), ImageId::NONE, MonoNs::ZERO, false);
            Arc::make_mut(&mut self.descriptors).insert(fd, descriptor);
        }
    }

    /// The descriptor's target; asks /proc for one that no call told of.
    pub(super) fn target(&mut self, fd: i32) -> Option<&Target> {
        if self.descriptors.get(fd).is_none() {
            let link = procfs::descriptor(self.visible_pid()?, fd)?;
            self.seed(fd, &link);
        }
        Some(&self.descriptors.get(fd)?.target)
    }

    /// The path behind a descriptor.
    pub(super) fn path(&mut self, fd: i32) -> Option<Arc<[u8]>> {
        match self.target(fd)? {
            Target::File(path) => Some(Arc::clone(path)),
            Target::Socket(_) => None,
        }
    }

    pub(super) fn socket(&self, fd: i32) -> Option<&Arc<Socket>> {
        match &self.descriptors.get(fd)?.target {
            Target::Socket(socket) => Some(socket),
            Target::File(_) => None,
        }
    }

    /// Lets `change` alter the socket `fd`; one that was inherited from outside begins empty.
    pub(super) fn change_socket(&mut self, fd: i32, change: impl FnOnce(&mut Socket)) {
        let owner = self.owner;
        let descriptors = Arc::make_mut(&mut self.descriptors);
        if let Some(Descriptor { target: Target::Socket(socket), .. }) = descriptors.get_mut(fd) {
            change(Arc::make_mut(socket));
        } else {
            let mut socket = Socket::default();
            change(&mut socket);
            descriptors
                .insert(fd, Descriptor::new(Target::Socket(Arc::new(socket)), owner, MonoNs::ZERO, false));
        }
    }

    pub(super) fn open(&mut self, fd: i32, target: Target, at: MonoNs, is_cloexec: bool) {
        let descriptor = Descriptor::new(target, self.owner, at, is_cloexec);
        let descriptors = Arc::make_mut(&mut self.descriptors);
        if let Some(descriptor) = descriptors.insert(fd, descriptor) {
            if self.displaced.len() >= MOST_DISPLACED
                && let Some(oldest) = self.displaced.pop_front()
            {
                self.share.shrink(oldest.descriptor.size_bytes());
            }
            if self.share.grow(descriptor.size_bytes()) {
                self.displaced.push_back(Displaced { fd, by_seq: self.seq, descriptor });
            }
        }
    }

    /// Takes out the descriptor that the close with the number `seq` closed.
    pub(super) fn close(&mut self, fd: i32, seq: u64) -> Option<Descriptor> {
        let is_its = |late: &Displaced| late.fd == fd && late.by_seq > seq;
        if let Some(index) = self.displaced.iter().position(is_its) {
            let late = self.displaced.remove(index).map(|late| late.descriptor);
            self.share.shrink(late.as_ref().map_or(0, Descriptor::size_bytes));
            return late;
        }
        // Looked for first: a table that is shared with a parent is not copied for nothing.
        self.descriptors.get(fd)?;
        Arc::make_mut(&mut self.descriptors).remove(fd)
    }

    pub(super) fn duplicate(&mut self, fd: i32, target: i32, at: MonoNs, is_cloexec: bool) {
        let _ = self.target(fd);
        if let Some(original) = self.descriptors.get(fd) {
            let copy = original.target.clone();
            self.open(target, copy, at, is_cloexec);
        } else {
            // Better nothing than the descriptor that was there before.
            Arc::make_mut(&mut self.descriptors).remove(target);
        }
    }

    /// The picture that a spawned program has of its parent's descriptors: those that close at exec are gone.
    ///
    /// Its standard streams are whatever it was told to make of them (posix_spawn_file_actions(3)): the exec
    /// says it, and the picture does not follow it.
    #[must_use]
    pub fn without_cloexec(mut self) -> Self {
        let descriptors = Arc::make_mut(&mut self.descriptors);
        descriptors.in_range(0, 2, |slot| *slot = None);
        descriptors.in_range(0, u32::MAX, |slot| {
            if slot.as_ref().is_some_and(|descriptor| descriptor.is_cloexec) {
                *slot = None;
            }
        });
        self
    }

    /// Closes a range of descriptors, or makes them close at exec.
    pub(super) fn change_range(&mut self, range: &FdRange) {
        Arc::make_mut(&mut self.descriptors).in_range(range.first, range.last, |slot| {
            if range.cloexec {
                slot.iter_mut().for_each(|descriptor| descriptor.is_cloexec = true);
            } else {
                *slot = None;
            }
        });
    }

    /// Says whether a descriptor closes at exec.
    pub(super) fn set_cloexec(&mut self, flags: &FdFlags) {
        if let Some(descriptor) = Arc::make_mut(&mut self.descriptors).get_mut(flags.fd) {
            descriptor.is_cloexec = flags.cloexec;
        }
    }

    /// A socket address as text; `None` for none.
    pub(super) fn address_text(&self, address: &[u8]) -> Option<Box<[u8]>> {
        let mut text = Vec::new();
        Address::of(address).write(&self.cwd, &mut text);
        (!text.is_empty()).then(|| text.into())
    }

    /// Takes up a descriptor that another process passed on, or that libc opened inside itself.
    pub(super) fn adopt(&mut self, made: &FdMade<'_>, at: MonoNs) {
        let target = if made.label.starts_with(b"socket:") {
            // A pair is of the Unix family, without addresses (socketpair(2)).
            let local = made.local.0;
            let family = if local.is_empty() { libc::AF_UNIX } else { addresses::family(local) };
            let (local, remote) = (self.address_text(local), self.address_text(made.remote.0));
            let family = Some(family);
            Target::Socket(Arc::new(Socket { family, local, remote, ..Socket::default() }))
        } else {
            Target::File(made.label.into())
        };
        self.open(made.fd, target, at, made.cloexec);
    }
}

/// The target of a link of `/proc/PID/fd`.
fn target_of(link: &[u8]) -> Target {
    if link.starts_with(b"socket:") { Target::Socket(Arc::default()) } else { Target::File(link.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Pid;

    fn file(path: &str) -> Target {
        Target::File(path.as_bytes().into())
    }

    fn process() -> Process {
        Process::new(Who::default(), ImageId::new(1, 0))
    }

    fn open(process: &mut Process, seq: u64, fd: i32, path: &str) {
        process.seq = seq;
        process.open(fd, file(path), MonoNs::ZERO, false);
    }

    fn close(process: &mut Process, seq: u64, fd: i32) -> Option<Target> {
        process.close(fd, seq).map(|closed| closed.target)
    }

    #[test]
    fn claim_on_a_number_shows_nothing_of_the_process_that_has_it() {
        let file = std::fs::File::open("/").unwrap();
        let path = |claimant: u64| {
            let program = Program::new(Pid(std::process::id()), Arc::default(), Arc::default(), None);
            let mut process = Process::new(Who { program, claimant, ..Who::default() }, ImageId::new(1, 0));
            process.path(std::os::fd::AsRawFd::as_raw_fd(&file))
        };

        assert_eq!([Some(b"/".as_slice()), None], [0, 7].map(path).each_ref().map(|path| path.as_deref()));
    }

    #[test]
    fn close_told_after_its_number_was_opened_anew_is_that_of_the_first() {
        let mut process = process();
        for (seq, path) in [(1, "/a"), (3, "/b"), (5, "/c")] {
            open(&mut process, seq, 3, path);
        }

        let told = [2, 6, 4].map(|seq| close(&mut process, seq, 3));

        assert_eq!(["/a", "/c", "/b"].map(|path| Some(file(path))), told);
        assert_eq!(None, close(&mut process, 7, 3));
    }

    #[test]
    fn close_that_was_never_told_harms_no_later_one() {
        let mut process = process();
        for seq in 0..1000 {
            open(&mut process, seq, 3, "/unclosed");
        }

        open(&mut process, 1000, 3, "/closed");

        assert_eq!(Some(file("/closed")), close(&mut process, 1001, 3));
        assert!(process.displaced.len() <= MOST_DISPLACED);
    }
}
