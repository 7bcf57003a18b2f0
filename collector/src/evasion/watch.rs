//! The thread that looks at hooked processes, each at random times: first some 50 ms after its hello, then
//! every second or two, and when a hook tells of an exec.
//!
//! Bounds: it takes a hundredth of one processor at most, however many processes there are; beyond
//! [`MOST_WATCHED`] the later ones are not looked at. A process can make the reading of its memory hang
//! (a mapping of a file whose server never answers); each look is made by the [`Examiner`], which leaves it
//! behind after [`PATIENCE`]. Then no process of that user is looked at any more: it may do to them as it
//! likes anyway (ptrace(2)), and others' are looked at as before.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};
use rustix::time::ClockId;

use super::look::{Shown, Vigil};
use super::text::Files;
use super::{Evidence, Reason, maps};
use crate::allowance::Account;
use crate::census::blind;
use crate::ids::{FileId, ImageId, MonoNs};
use crate::notify::memory::ProcessMemory;
use crate::rings::bells::Doorbell;
use crate::shell::failure::say;
use crate::system::examiner::Examiner;
use crate::system::procfs;

/// Processes that are looked at.
const MOST_WATCHED: usize = 4096;
/// Evidence that waits for the pipeline; none is made while there is no room.
const MOST_FOUND: usize = 1024;
/// A look may take so long, where its thread waits for a processor; and so much longer where all of this
/// process was stopped meanwhile.
const PATIENCE: Duration = Duration::from_secs(9);
const MORE_PATIENCE: Duration = Duration::from_secs(1);
/// The part of a processor that looks may take: one in so many.
const SHARE: u64 = 100;
/// From a hello to the first look, and between two looks: half as much to one and a half times as much.
const FIRST_NS: u64 = 50_000_000;
const AGAIN_NS: u64 = 1_500_000_000;
/// From a look that left a doubt to the next. A program that was executed has said hello by then.
const DOUBT_NS: u64 = 1_000_000_000;
/// Looks at one process are so far apart, whatever it executes.
const APART_NS: u64 = 100_000_000;

/// What the pipeline tells the thread.
#[derive(Debug)]
pub enum Order {
    /// A process has hooks.
    Watch {
        /// Its image.
        image: ImageId,
        /// Its number here.
        pid: u32,
        /// Its user, who answers for looks that hang.
        uid: Option<u32>,
        /// Its program, where it said it.
        exe: FileId,
        /// Every caller of its program is bound to the sensor by name.
        is_bound: bool,
    },
    /// It is to be looked at now.
    Look(ImageId),
    /// Its image is over.
    Forget(ImageId),
}

/// What the thread tells the pipeline.
#[derive(Debug)]
pub struct Found {
    /// The image.
    pub image: ImageId,
    /// When it was looked at.
    pub at: MonoNs,
    /// What was seen.
    pub evidence: Evidence,
    /// Of [`Reason::ExecUnseen`]: why the sensor is not in the program that runs, and its arguments, each
    /// ended by a NUL.
    pub instead: Option<(&'static str, Vec<u8>)>,
}

/// The pipeline's end.
#[derive(Debug)]
pub struct Watch {
    orders_tx: Sender<Order>,
    /// What was found.
    pub found_rx: Receiver<Found>,
}

impl Watch {
    /// Starts the thread; `doorbell` is rung when something was found.
    pub fn start(doorbell: Arc<Doorbell>) -> std::io::Result<Self> {
        let ((orders_tx, orders_rx), (found_tx, found_rx)) = (unbounded(), bounded(MOST_FOUND));
        let watcher = Watcher { orders_rx, found_tx, doorbell, ..Watcher::default() };
        std::thread::Builder::new().name("evasion".into()).spawn(move || watcher.run())?;
        Ok(Self { orders_tx, found_rx })
    }

    /// Tells the thread.
    pub fn tell(&self, order: Order) {
        // It ends with the pipeline's end of the channel, not before.
        let _ = self.orders_tx.send(order);
    }
}

struct Watched {
    vigil: Vigil,
    uid: Option<u32>,
    due: MonoNs,
    looked: MonoNs,
}

struct Watcher {
    orders_rx: Receiver<Order>,
    found_tx: Sender<Found>,
    doorbell: Arc<Doorbell>,
    examiner: Examiner,
    files: Files,
    watched: HashMap<ImageId, Watched>,
    due: BTreeSet<(MonoNs, ImageId)>,
    not_before: MonoNs,
    /// Users with a process that keeps its memory from being read.
    hanging: HashSet<Option<u32>>,
}

impl Default for Watcher {
    fn default() -> Self {
        Self {
            orders_rx: crossbeam_channel::never(),
            found_tx: bounded(0).0,
            doorbell: Arc::default(),
            examiner: Examiner::default(),
            files: Files::default(),
            watched: HashMap::new(),
            due: BTreeSet::new(),
            not_before: MonoNs::ZERO,
            hanging: HashSet::new(),
        }
    }
}

impl Watcher {
    fn run(mut self) {
        loop {
            let now = MonoNs::now();
            let next = self.due.first().map(|(at, _)| (*at).max(self.not_before));
            let order = match next {
                Some(at) if at <= now => match self.orders_rx.try_recv() {
                    Ok(order) => Ok(order),
                    Err(crossbeam_channel::TryRecvError::Empty) => Err(RecvTimeoutError::Timeout),
                    Err(_) => Err(RecvTimeoutError::Disconnected),
                },
                Some(at) => self.orders_rx.recv_timeout(Duration::from_nanos(at.since(now))),
                None => self.orders_rx.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match order {
                Ok(order) => self.obey(order, MonoNs::now()),
                Err(RecvTimeoutError::Timeout) => self.look_at_next(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn obey(&mut self, order: Order, now: MonoNs) {
        match order {
            Order::Watch { image, pid, uid, exe, is_bound } => {
                if self.watched.len() < MOST_WATCHED && !self.hanging.contains(&uid) {
                    let vigil = Vigil::new(pid, exe, is_bound);
                    self.forget(image);
                    self.plan(
                        image,
                        Watched { vigil, uid, due: now.plus(about(FIRST_NS)), looked: MonoNs::ZERO },
                    );
                }
            }
            Order::Look(image) => {
                if let Some(watched) = self.forget(image) {
                    let due = watched.due.min(now.max(watched.looked.plus(APART_NS)));
                    self.plan(image, Watched { due, ..watched });
                }
            }
            Order::Forget(image) => {
                self.forget(image);
            }
        }
    }

    fn plan(&mut self, image: ImageId, watched: Watched) {
        self.due.insert((watched.due, image));
        self.watched.insert(image, watched);
    }

    fn forget(&mut self, image: ImageId) -> Option<Watched> {
        let watched = self.watched.remove(&image)?;
        self.due.remove(&(watched.due, image));
        Some(watched)
    }

    fn look_at_next(&mut self) {
        let Some((_, image)) = self.due.first().copied() else { return };
        let Some(Watched { vigil, uid, .. }) = self.forget(image) else { return };
        if self.hanging.contains(&uid) {
            return;
        }
        let (pid, now) = (vigil.pid, MonoNs::now());
        if self.found_tx.is_full() {
            let due = now.plus(AGAIN_NS);
            return self.plan(image, Watched { vigil, uid, due, looked: MonoNs::ZERO });
        }
        let own_ns = processor_ns();
        let files = std::mem::take(&mut self.files);
        let look = move || {
            let begun_ns = processor_ns();
            (look(vigil, files), processor_ns().saturating_sub(begun_ns))
        };
        let Some(pending) = self.examiner.begin(&Account::boundless(), look) else {
            // As many users as there are threads keep theirs from being read.
            return;
        };
        let looked = pending.wait(PATIENCE).or_else(|| pending.wait(MORE_PATIENCE));
        let now = MonoNs::now();
        let Some(((vigil, files, found), cost_ns)) = looked else {
            // It is left behind, with what was known of it.
            if self.hanging.insert(uid) {
                say(&format!(
                    "process {pid} keeps its memory from being read: no program of its user is looked at for evasion \
                     any more"
                ));
            }
            return;
        };
        let cost_ns = cost_ns.saturating_add(processor_ns().saturating_sub(own_ns));
        self.not_before = now.plus(cost_ns.saturating_mul(SHARE - 1));
        self.files = files;
        let has_found = !found.is_empty();
        for (evidence, instead) in found {
            let _ = self.found_tx.try_send(Found { image, at: now, evidence, instead });
        }
        if has_found {
            self.doorbell.ring();
        }
        let due = now.plus(if vigil.is_in_doubt() { DOUBT_NS } else { about(AGAIN_NS) });
        self.plan(image, Watched { vigil, uid, due, looked: now });
    }
}

/// Evidence, and what runs instead.
type Sighted = (Evidence, Option<(&'static str, Vec<u8>)>);

/// Arguments of a program that are told.
const MOST_ARGUMENTS: usize = 16 << 10;

/// One look, in the examiner's thread.
fn look(mut vigil: Vigil, mut files: Files) -> (Vigil, Files, Vec<Sighted>) {
    let pid = vigil.pid;
    let Some(shown) = shown(pid) else { return (vigil, files, Vec::new()) };
    let found = vigil.look(&shown, &mut ProcessMemory { pid }, &mut files);
    // It may have executed another program in the middle.
    let is_same = procfs::exe_file(pid) == Some(shown.exe);
    let found = found.into_iter().filter(|_| is_same).map(|evidence| {
        let instead = (evidence.reason == Reason::ExecUnseen).then(|| {
            let reason = blind::reason_of(&shown.path, Some(pid), true, None);
            let mut arguments = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            arguments.truncate(MOST_ARGUMENTS);
            arguments.truncate(arguments.iter().rposition(|byte| *byte == 0).map_or(0, |last| last + 1));
            (reason, arguments)
        });
        (evidence, instead)
    });
    let found = found.collect();
    (vigil, files, found)
}

/// What the kernel shows of a process; `None` where it does not, and while it executes another program.
fn shown(pid: u32) -> Option<Shown> {
    let exe = procfs::exe_file(pid)?;
    let mappings = maps::of(pid)?;
    let path = procfs::exe(pid).unwrap_or_default();
    (procfs::exe_file(pid)? == exe).then_some(Shown { exe, path, mappings })
}

/// The processor time of this thread.
fn processor_ns() -> u64 {
    let time = rustix::time::clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec.cast_unsigned().saturating_mul(1_000_000_000).saturating_add(time.tv_nsec.cast_unsigned())
}

/// Half of `ns` to one and a half times as much, at random: no program knows when it is looked at.
fn about(ns: u64) -> u64 {
    let random = RandomState::new().build_hasher().finish();
    ns / 2 + random % ns.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_spread_around_their_mean() {
        let times: Vec<u64> = (0..100).map(|_| about(1000)).collect();

        assert!(times.iter().all(|time| (500..1500).contains(time)), "{times:?}");
        assert!(times.iter().any(|time| *time < 1000) && times.iter().any(|time| *time > 1000));
    }

    #[test]
    fn a_process_that_changes_nothing_gives_nothing() {
        let pid = std::process::id();
        let vigil = Vigil::new(pid, FileId::default(), true);

        let (vigil, files, first) = look(vigil, Files::default());
        let (_, _, second) = look(vigil, files);

        assert!(first.is_empty() && second.is_empty(), "{first:?} {second:?}");
    }
}
