//! One process image as the census knows it: who it is, where it writes, and its two ledgers.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustc_hash::FxHashMap;
use wire::events::Decoded;
use wire::ring::layout::{Loss, Slot};

pub use super::asked::Asked;
use super::life::{Ledger, LifeId};
use super::reports::WaitReport;
use super::unreported::Unreported;
use super::within::Within;
use crate::allowance::{Account, Resource, Share};
use crate::container::{Claim, Container};
use crate::door::identity::Identity;
use crate::enrich::blind::Arguments;
use crate::enrich::process::Process;
use crate::evasion::Told;
use crate::event::{Circumstances, Claimed};
use crate::ids::{self, FileId, ImageId, Instance, MonoNs, Pid, ProcessKey, RingIndex, Tid};
use crate::rings::books::Books;
use crate::system::examiner::Pending;
use crate::system::namespaces::{self, Here, Kind, Namespace};
use crate::system::procfs;
use crate::system::standpoint::Standpoint;

/// How an image ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndKind {
    /// The process executed another program.
    Exec,
    /// The process died.
    Death,
}

/// An image's end. The order keeps the time at which it is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// How.
    pub kind: EndKind,
    /// When the collector learnt of it.
    pub noticed: MonoNs,
    /// Where the ring's tail was then: no record of this image comes after.
    pub read_to: u64,
}

/// Threads whose numbers are kept; then it begins anew, since the kernel gives numbers to others in time.
const MOST_THREADS: usize = 64;
/// What one takes, with the map's spare room.
const THREAD_BYTES: usize = 32;
/// The same of a mark.
const MARK_BYTES: usize = 32;

/// A program image, or a fork child of one.
#[derive(Debug)]
pub struct ProcessImage {
    /// Never given to another image.
    pub id: ImageId,
    /// Its ring; `None` where only another origin sees it.
    pub ring: Option<RingIndex>,
    /// Its slot there; `None` for a fork child that has not written anything, and once `books` is a copy.
    pub slot: Option<u8>,
    /// When it began, by its own word; 0 where it did not say.
    pub born: MonoNs,
    /// Its process.
    pub key: ProcessKey,
    /// Its process's number in its own namespace.
    pub own_pid: Pid,
    /// The parent's number in the process's namespace; 0 where that is unknown.
    pub own_ppid: Pid,
    /// The parent, in the namespace of `key`.
    pub ppid: Option<Pid>,
    /// Real and effective user id when it attached, by the kernel's word; for a fork child those of the
    /// process that made the ring.
    pub uid: Option<u32>,
    /// See `uid`.
    pub euid: Option<u32>,
    /// The process, apart from all that get its number later; `None` where the kernel did not tell.
    pub instance: Option<Instance>,
    /// Its pid namespace by inode, by the kernel's word.
    pub namespace: Option<u64>,
    /// The same, where it is below the collector's: translates the numbers in it.
    pub below: Option<Arc<Namespace>>,
    /// Only the process, or its parent's place, says which namespace it is in.
    pub is_namespace_said: bool,
    /// Its user and its mount namespace when it attached, or was found.
    pub standpoint: Standpoint,
    /// It began in the collector's namespaces: see [`Identity::is_launched`].
    pub is_launched: bool,
    /// The kernel asks about calls of its process.
    pub is_asked_about: bool,
    /// A supervisor elsewhere introduced its process, and may speak of it.
    pub is_introduced: bool,
    /// Why no sensor is in the program that it has become, as a supervisor elsewhere said, and its file as it
    /// was seen then.
    pub named: Option<(&'static str, Vec<u8>)>,
    /// Threads whose numbers were translated: the process's, and the collector's.
    threads: FxHashMap<Tid, Option<Tid>>,
    /// The fields of its events that only the process itself says.
    pub claimed: Claimed,
    /// Whether it runs with other rights than the image before it, or its parent, which may have lied about
    /// descriptors.
    pub has_other_rights: bool,
    /// The account of its ring.
    pub account: Arc<Account>,
    /// Its place in the account.
    _place: Share,
    /// The bytes of `seed`, `asked` and `books`.
    memory: Share,
    /// The container that its process, or the kernel, named when it attached.
    pub claim: Option<Claim>,
    /// What was known of its circumstances then.
    pub circumstances: Circumstances,
    /// Tells of its death.
    pub pidfd: Option<OwnedFd>,
    /// The enricher's picture of it; `None` until its first record is due.
    pub process: Option<Process>,
    /// The image that this one follows in the same process.
    pub before: Option<ImageId>,
    /// The image that follows this one.
    pub after: Option<ImageId>,
    /// Descriptors that /proc showed when it attached.
    pub seed: Vec<(i32, Vec<u8>)>,
    /// Its file, as it said when it attached.
    pub file: FileId,
    /// The path of that as /proc showed it then; empty where it did not, or showed another file's.
    pub exe: Vec<u8>,
    /// Numbered records that went to the stages.
    pub delivered: u64,
    /// Records without a number that were read.
    pub unstamped: u64,
    /// Records that its threads, killed in the middle, did not finish.
    pub unfinished: u64,
    /// Numbered records that could not be decoded.
    pub malformed: u64,
    /// Losses that the collector found, and when it reported the last ones.
    pub unreported: Unreported,
    /// Its slot as it was at its end, once the slot is free.
    pub books: Option<Books>,
    /// The sensor's counts of losses, as far as they were reported.
    pub reported: [u64; Loss::ALL.len()],
    /// The program that it is about to become, or has become without a word.
    pub asked: Option<Asked>,
    /// The last child that it made with a program, by its own number, and when it asked for that.
    pub spawned: Option<(Pid, MonoNs)>,
    /// Why the program that it has become cannot be seen into, being found out, and the executable.
    pub question: Option<(Vec<u8>, Pending<&'static str>)>,
    /// Since when that waits for its turn.
    pub wonders_since: Option<MonoNs>,
    /// Its process: the ledger that all its images share.
    pub life: LifeId,
    /// How its parent's wait says that it ended.
    pub report: Option<WaitReport>,
    /// Its end, once the collector knows of it.
    pub end: Option<End>,
    /// Whether an earlier collector read it.
    pub is_inherited: bool,
    /// The evidence that it got past its hooks.
    pub evasion: Told,
    /// The functions that its threads are in, where its sensor tells that.
    pub within: Within,
}

impl ProcessImage {
    /// An image of which nothing has been read.
    pub fn new(
        id: ImageId,
        identity: Identity,
        account: Arc<Account>,
        ring: Option<RingIndex>,
        slot: Option<u8>,
        life: LifeId,
        is_inherited: bool,
    ) -> Self {
        let Identity {
            key,
            own_pid,
            ppid,
            uid,
            euid,
            pidfd,
            instance,
            namespace,
            below,
            is_namespace_said,
            standpoint,
            is_launched,
            file,
            exe,
            claim,
            claimed,
            circumstances,
            ..
        } = identity;
        let memory = account.share(Resource::Bytes);
        let mut place = account.share(Resource::Images);
        // Where there is none left, the callers make no image; a ring brings its own.
        place.grow(1);
        Self {
            id,
            ring,
            slot,
            born: MonoNs::ZERO,
            key,
            own_pid,
            own_ppid: Pid(0),
            ppid,
            uid,
            euid,
            instance,
            namespace,
            below,
            is_namespace_said,
            standpoint,
            is_launched,
            is_asked_about: false,
            is_introduced: false,
            named: None,
            threads: FxHashMap::default(),
            claimed,
            has_other_rights: false,
            account,
            _place: place,
            memory,
            claim,
            circumstances,
            pidfd,
            process: None,
            before: None,
            after: None,
            seed: Vec::new(),
            file,
            exe,
            delivered: 0,
            unstamped: 0,
            unfinished: 0,
            malformed: 0,
            unreported: Unreported::default(),
            books: None,
            reported: Default::default(),
            asked: None,
            spawned: None,
            question: None,
            wonders_since: None,
            life,
            report: None,
            end: None,
            is_inherited,
            evasion: Told::default(),
            within: Within::default(),
        }
    }

    /// Keeps what /proc shows of its descriptors, until it begins; as much as there is room for.
    pub fn keep_seed(&mut self, seed: Vec<(i32, Vec<u8>)>) {
        let memory = &mut self.memory;
        let has_room = |(_, link): &(i32, Vec<u8>)| memory.grow(size_of::<(i32, Vec<u8>)>() + link.len());
        self.seed = seed.into_iter().take_while(has_room).collect();
    }

    /// Notes the program that it asks for, if there is room for its path; without its arguments where there
    /// is none for these.
    pub fn ask(&mut self, mut asked: Asked) {
        self.take_asked(|_| true);
        (self.question, self.wonders_since) = (None, None);
        if !self.memory.grow(asked.size_bytes()) {
            asked.arguments = Arguments::default();
            if !self.memory.grow(asked.size_bytes()) {
                return;
            }
        }
        self.asked = Some(asked);
    }

    /// See [`Within::note`]. Where there is no room for a mark, nothing is known of any thread.
    pub fn note_within(&mut self, thread: Tid, at: MonoNs, row: u32, until: MonoNs) {
        let before = self.within.len();
        self.within.note(thread, at, row, until);
        let (memory, after) = (&mut self.memory, self.within.len());
        if after < before {
            memory.shrink((before - after) * MARK_BYTES);
        } else if after > before && !memory.grow((after - before) * MARK_BYTES) {
            memory.shrink(before * MARK_BYTES);
            self.within = Within::Unknowable;
        }
    }

    /// The bytes that it holds of its account.
    #[cfg(test)]
    pub fn memory_bytes(&self) -> usize {
        self.memory.held()
    }

    /// Notes the child of a record, where it was made for the program that was asked for (posix_spawn).
    pub fn note_spawned(&mut self, decoded: &Decoded<'_>, asked: Option<&Asked>) {
        if let (Decoded::ProcessFork(fork), Some(asked)) = (decoded, asked)
            && let Some(child) = fork.child
        {
            self.spawned = Some((Pid(child), asked.at));
        }
    }

    /// Takes the program that it asks for, if `is_it`.
    #[inline]
    pub fn take_asked(&mut self, is_it: impl FnOnce(&mut Asked) -> bool) -> Option<Asked> {
        let asked = self.asked.take_if(is_it)?;
        self.memory.shrink(asked.size_bytes());
        Some(asked)
    }

    /// Keeps a copy of its books; without what they say of descriptors where there is no room for that.
    pub fn keep_books(&mut self, books: Option<Books>) {
        self.books = books.map(|books| match self.memory.grow(books.size_bytes()) {
            true => books,
            false => books.without_descriptors(),
        });
        self.slot = None;
    }

    /// Whether its process has other numbers in its own pid namespace, which is below the collector's.
    pub fn is_below(&self) -> bool {
        let own = namespaces::own(Kind::Pid);
        self.key.is_visible()
            && self.namespace.map_or(self.own_pid != self.key.pid, |namespace| Some(namespace) != own)
    }

    /// Whether /proc shows that its process, which has a number here, runs another file than its own.
    pub fn runs_another_file(&self) -> bool {
        let Some(process) = &self.process else { return false };
        match self.file.is_known() && self.slot == Some(0) {
            true => procfs::exe_file(self.key.pid.0).is_some_and(|file| file != self.file),
            false => procfs::exe(self.key.pid.0).is_some_and(|exe| *exe != *process.who.exe()),
        }
    }

    /// The collector's number of one of its threads; `None` for one that has ended before it was asked for.
    pub fn thread_here(&mut self, own: Tid) -> Option<Tid> {
        if own == self.own_pid.main_thread() {
            return Some(self.key.pid.main_thread());
        }
        if let Some(known) = self.threads.get(&own) {
            return *known;
        }
        let begun = MonoNs::now();
        if !self.account.has_time_to_ask(begun) {
            return None;
        }
        let found = match self.below.as_ref()?.here(Pid(own.0)) {
            Here::Is(found) => Some(found.main_thread()),
            Here::Gone | Here::Untold => None,
        };
        self.account.asked(begun, MonoNs::now());
        if self.threads.len() >= MOST_THREADS {
            self.memory.shrink(self.threads.len() * THREAD_BYTES);
            self.threads.clear();
        }
        if self.memory.grow(THREAD_BYTES) {
            self.threads.insert(own, found);
        }
        found
    }

    /// Whether a process of the user `uid` may be this one later, or a child of it.
    pub fn may_become(&self, uid: Option<u32>) -> bool {
        ids::may_become([self.uid, self.euid], uid)
    }

    /// Takes up that more is known of the container `before`.
    pub fn rename(&mut self, before: &Arc<Container>, after: &Arc<Container>) {
        if let Some(claim) = self.claim.as_mut().filter(|claim| Arc::ptr_eq(&claim.container, before)) {
            claim.container = Arc::clone(after);
        }
        if let Some(process) = &mut self.process {
            process.rename(before, after);
        }
    }

    /// Numbers that the sensor gave away and whose records will not come, `lost` being the sensor's counts.
    pub fn gone(&self, lost: &[u64]) -> u64 {
        // Events without a slot took no number (`Loss::NoSlot`).
        let counted = [Loss::RingFull, Loss::Oversize, Loss::Abandoned]
            .map(|cause| lost.get(cause as usize).copied().unwrap_or(0));
        let given_up = self.unfinished.saturating_add(self.malformed);
        counted.iter().fold(given_up, |sum, lost| sum.saturating_add(*lost))
    }

    /// Events that the sensor stamped and that are neither delivered nor reported as lost.
    pub fn missing(&self, books: &Books) -> u64 {
        books.seq.saturating_sub(self.gone(&books.lost).saturating_add(self.delivered))
    }

    /// The sensor's losses since the last call, by cause.
    pub fn fresh_losses(&mut self, lost: &[u64; Loss::ALL.len()]) -> [(Loss, u64); Loss::ALL.len()] {
        let before = std::mem::replace(&mut self.reported, *lost);
        Loss::ALL.map(|cause| {
            let index = cause as usize;
            (cause, lost[index].saturating_sub(before[index]))
        })
    }

    /// Takes over the books of the collector that read this image before; gives what that one had reported.
    pub fn resume(&mut self, slot: &Slot) -> Ledger {
        self.delivered = slot.delivered.load(Ordering::Relaxed);
        // It noted the sum only. The likelier causes take their part of it first.
        let mut left = slot.reported.load(Ordering::Relaxed);
        for cause in Loss::ALL.iter().rev() {
            let reported = slot.lost[*cause as usize].load(Ordering::Relaxed).min(left);
            self.reported[*cause as usize] = reported;
            left -= reported;
        }
        Ledger { events: self.delivered, lost: self.reported.iter().sum(), ..Ledger::default() }
    }

    /// The cost of this image's calls. Events and losses were added to its process's ledger when they
    /// happened.
    pub fn costs(&self, books: Option<&Books>) -> Ledger {
        let Some(books) = books else {
            return Ledger { calls: self.delivered, ..Ledger::default() };
        };
        let counted = books.counts();
        let records = books.seq.saturating_add(self.unstamped);
        let sensor_ns = books
            .start_ns
            .saturating_add(self.account.record_cost.estimate(books.record_cost, records))
            .saturating_add(self.account.count_cost.estimate(books.count_cost, counted));
        Ledger { calls: books.seq.saturating_add(counted), sensor_ns, ..Ledger::default() }
    }
}
