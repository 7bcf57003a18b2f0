//! From the rings to the sinks: the one thread that reads, orders and enriches what programs wrote.
//!
//! ```text
//! rings → read → order by number and time → enrich → batch → sinks
//!   news (hellos, deaths, reaped children) ↗
//! ```
//!
//! It goes in rounds: hear the news, read every ring to its end, deliver what is due, report who has ended. After a
//! round with records it naps for a few milliseconds, so that a busy program pays for no wake-up; after a nap without
//! any it flags its sleep in every ring and waits to be woken.
//!
//! Records of several processes are held back for [`HOLD_NS`]: one that was stamped earlier may still be on its way.
//! Nothing is delivered that is later than what the doorman is known to have told: a process whose hello waits at the
//! door may have written before.

pub mod bells;
mod blind;
mod books;
mod buried;
mod image;
mod life;
#[cfg(test)]
mod model;
mod settle;
#[cfg(test)]
pub mod simulated;
mod source;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use crossbeam_channel::Receiver;
use rustc_hash::FxHashMap;
use slab::Slab;
use wire::codec;
use wire::events::{Decoded, Kind, ProcessFork, ProcessStart, Usage};
use wire::record::{Flags, Head};
use wire::ring::layout::{Mapped, Slot};
use wire::ring::{MAX_RECORD, Next, Unfinished, bell};

use crate::attach::{Attached, Deathwatch, Identity, News, Reply, Settle, Turn};
use crate::clock::now_ns;
use crate::container::{Claim, Container};
use crate::enrich::{Effect, Enricher, Exit, Process};
use crate::event::{Batch, Who};
use crate::kernel;
use crate::launch::protocol::Exited;
use crate::procfs;
use crate::sinks::Outlets;

use bells::{Bells, Doorbell, Ended};
use books::Books;
use buried::Buried;
use image::{Asked, End, Ending, Image, Means};
use life::{Ledger, LifeId, Lives};
use source::{STUCK_NS, Source};

/// How long records are held back for those of other processes.
const HOLD_NS: u64 = 2_000_000;
/// How long the doorman, who may have to wait for the processor, is waited for.
const LONGEST_WAIT_NS: u64 = 20_000_000;
/// How long a nap after activity lasts.
const NAP_NS: u64 = 3_000_000;
/// How often the thread looks by itself, for programs that may not even wake a futex any more.
const LOOK_NS: u64 = 500_000_000;
/// The same once nothing has come for [`QUIET_LOOKS`] looks: an idle collector costs one wake-up a second.
const QUIET_LOOK_NS: u64 = 1_000_000_000;
const QUIET_LOOKS: u32 = 4;
/// How often losses are reported and clocks compared.
const AUDIT_NS: u64 = 500_000_000;
/// A record's time may be later than the round's that reads it, but not by more than this.
const FUTURE_NS: u64 = 50_000_000;
/// How long the thread reads nothing for the sake of a full sink, at a time and in all.
const PAUSE_NS: u64 = 1_000_000;
const LONGEST_PAUSE_NS: u64 = 100_000_000;
/// The same at the end, when nothing else is left to do.
const LAST_PAUSE_NS: u64 = 10_000_000_000;
/// A batch of fewer events is copied to its own size, so that the memory of a large one does not wait with it.
const SMALL_EVENTS: usize = 128;
/// Bytes read from one ring before the others have their turn.
const TURN_BYTES: u64 = 1 << 20;
/// Bytes read before their space is given back to the writers.
const RELEASE_BYTES: u64 = 64 * 1024;
/// A batch goes to the sinks when it has this many events, or bytes.
const BATCH_EVENTS: usize = 1024;
const BATCH_BYTES: usize = 256 * 1024;
/// How long a program takes to say hello, at most, where nothing but that tells that it was started.
const START_NS: u64 = 10_000_000_000;
/// How long a nap lasts while somebody waits for what happened to be delivered.
const HASTY_NAP_NS: u64 = 1_000_000;
/// Records that are held back for the next request, at most.
const MOST_HELD: usize = 1 << 16;
/// What waits told of children that are not ours is not kept longer than this.
const TOLD_NS: u64 = 10_000_000_000;

/// What somebody who waited for a process said of its end.
#[derive(Clone, Copy, Debug)]
struct Told {
    status: i32,
    usage: Option<Usage>,
    /// It came from the launcher, whose word nobody can forge.
    is_launcher: bool,
    at_ns: u64,
}

/// What a process is called: its pid namespace (`None`: ours) and its pid there. Two containers may both have a pid 1.
type Name = (Option<u64>, u32);

/// A batch that a sink may still have.
struct Unwritten {
    batch: Weak<Batch>,
    /// Images by place and serial, and how much was delivered of each with this batch.
    counts: Vec<(usize, u64, u64)>,
}

/// The drain thread's own.
pub struct Drain {
    sources: Slab<Source>,
    images: Slab<Image>,
    /// The live image of a process, by pid namespace (`None`: ours) and pid.
    by_pid: FxHashMap<Name, usize>,
    /// The processes of the images, with their ledgers.
    lives: Lives,
    /// Images whose queue is not empty.
    waiting: Vec<usize>,
    /// Images that have ended and are not settled.
    ending: Vec<usize>,
    /// Images of which records are in the batch.
    touched: Vec<usize>,
    /// Every hello and death up to then has been heard.
    told_until_ns: u64,
    /// Up to when all news have been told, in truth: whoever said hello before is known.
    heard_until_ns: u64,
    /// Batches on their way, in order.
    unwritten: VecDeque<Unwritten>,
    /// Time of the latest event delivered.
    delivered_ns: u64,
    /// Nothing later than this is delivered at the moment: the end of an image comes first.
    limit_ns: u64,
    /// An end was told, or an earlier time for one, since [`Self::ends`] looked.
    has_news_of_ends: bool,
    told: FxHashMap<Name, Told>,
    /// CMD, its program and its end, as long as no sensor in it has said hello.
    unseen_command: Option<(u32, Vec<u8>, Option<Exited>)>,
    /// Processes whose end was reported last.
    buried: Buried,
    enricher: Enricher,
    outlets: Outlets,
    deathwatch: Deathwatch,
    reply: Reply,
    means: Means,
    program_images: ProgramImages,
    next_serial: u64,
    record: Vec<u8>,
    payload: Vec<u8>,
    audited_ns: u64,
    ending_wish: Wish,
    /// Every record was delivered, and nobody will tell more of how a process ended.
    is_all_told: bool,
    /// Who waits for what happened to be delivered.
    settles: Vec<Settle>,
    /// What happened later than this belongs to the next request, and waits for word of it.
    border_ns: Option<u64>,
    /// A connection to there sets the first border: whoever serves requests has started, and asks for the first.
    requests_from: Option<SocketAddr>,
    /// Up to when everything has been delivered that was there.
    reached_ns: u64,
    /// The doorman has been left word.
    has_left_word: bool,
    /// Since when a sink's queue has been more than half full.
    paused_since: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    GoOn,
    EndWhenIdle,
    End,
}

/// What a round did.
#[derive(Clone, Copy, Debug, Default)]
struct Round {
    /// Records were read.
    has_read: bool,
    /// A ring still holds more.
    has_more: bool,
}

/// The thread: returns the sinks once everything is drained.
pub fn run(
    outlets: Outlets,
    deathwatch: Deathwatch,
    reply: &Reply,
    news_rx: &Receiver<News>,
    doorbell: &Arc<Doorbell>,
    requests_from: Option<SocketAddr>,
) -> Outlets {
    let mut drain = Drain::new(outlets, deathwatch, reply.clone());
    drain.requests_from = requests_from;
    let mut bells = Bells::new(Arc::clone(doorbell));
    let mut was_quiet = false;
    let mut quiet_looks = 0;
    loop {
        let seen = doorbell.count();
        drain.ask_doorman();
        while let Ok(news) = news_rx.try_recv() {
            drain.hear(news);
            (was_quiet, quiet_looks) = (false, 0);
        }
        if drain.is_over() {
            break;
        }
        if drain.wants_pause() {
            bells.wait(&[], bell::NAPPING, seen, Some(now_ns() + PAUSE_NS));
            continue;
        }
        let gone = drain.sources.len();
        let round = drain.round(now_ns());
        if drain.sources.len() < gone {
            bells.forget();
        }
        if round.has_more {
            continue;
        }
        drain.settle_up(now_ns());
        let is_waited_for = !drain.settles.is_empty();
        // What is held back waits for news.
        let is_waiting = !drain.waiting.is_empty() && drain.border_ns.is_none();
        let is_busy = round.has_read || is_waiting || is_waited_for || drain.is_settling();
        let (mode, sleep_ns) = if is_busy || !was_quiet {
            (bell::NAPPING, Some(if is_waited_for { HASTY_NAP_NS } else { NAP_NS }))
        } else if drain.images.is_empty() {
            (bell::SLEEPING, None)
        } else {
            (bell::SLEEPING, Some(if quiet_looks < QUIET_LOOKS { LOOK_NS } else { QUIET_LOOK_NS }))
        };
        was_quiet = !is_busy;
        if is_busy {
            quiet_looks = 0;
        }
        if let Some(rings) = drain.lie_down(mode) {
            let now = now_ns();
            let ended = bells.wait(&rings, mode, seen, sleep_ns.map(|sleep_ns| now + sleep_ns));
            if mode == bell::SLEEPING {
                match ended {
                    Ended::Late => quiet_looks += 1,
                    Ended::Rung => (was_quiet, quiet_looks) = (false, 0),
                }
            }
        }
        drain.get_up();
    }
    drop(bells);
    drain.finish();
    drain.outlets
}

impl Drain {
    fn new(outlets: Outlets, deathwatch: Deathwatch, reply: Reply) -> Self {
        Self {
            sources: Slab::new(),
            images: Slab::new(),
            by_pid: FxHashMap::default(),
            lives: Lives::default(),
            waiting: Vec::new(),
            ending: Vec::new(),
            touched: Vec::new(),
            unwritten: VecDeque::new(),
            told_until_ns: 0,
            heard_until_ns: 0,
            delivered_ns: 0,
            limit_ns: 0,
            has_news_of_ends: false,
            told: FxHashMap::default(),
            unseen_command: None,
            buried: Buried::default(),
            enricher: Enricher::default(),
            outlets,
            deathwatch,
            reply,
            means: Means::default(),
            program_images: ProgramImages::default(),
            next_serial: 1,
            record: vec![0; MAX_RECORD],
            payload: Vec::new(),
            audited_ns: 0,
            ending_wish: Wish::GoOn,
            is_all_told: false,
            settles: Vec::new(),
            border_ns: None,
            requests_from: None,
            reached_ns: 0,
            has_left_word: false,
            paused_since: None,
        }
    }

    fn is_over(&self) -> bool {
        match self.ending_wish {
            Wish::GoOn => false,
            Wish::EndWhenIdle => self.images.is_empty(),
            Wish::End => true,
        }
    }

    /// Whether to read nothing for a moment: a sink's queue is more than half full, and the programs' rings are not.
    /// What waits there is late, not lost. A sink that does not get on is not waited for.
    fn wants_pause(&mut self) -> bool {
        if self.outlets.has_room() {
            self.paused_since = None;
            return false;
        }
        let now = now_ns();
        let since = *self.paused_since.get_or_insert(now);
        now.saturating_sub(since) < LONGEST_PAUSE_NS
            && !self.sources.iter().any(|(_, source)| source.is_half_full())
    }

    /// Whether ends are about to be reported. One that still waits after a while is looked at now and then.
    fn is_settling(&self) -> bool {
        let now = now_ns();
        let ends = self.ending.iter().filter_map(|index| self.images.get(*index)?.end);
        ends.into_iter().any(|end| now.saturating_sub(end.at_ns) < 2 * STUCK_NS)
    }

    /// Notes up to when all news have been told; they are heard next.
    fn ask_doorman(&mut self) {
        let now = now_ns();
        if self.deathwatch.has_told_all() {
            self.told_until_ns = now;
            self.heard_until_ns = now;
        }
        // However late they are, the events that are there cannot wait for ever.
        self.told_until_ns = self.told_until_ns.max(now.saturating_sub(LONGEST_WAIT_NS));
        self.told_until_ns = self.told_until_ns.min(self.border_ns.unwrap_or(u64::MAX));
    }

    /// Sets every bell to `mode`. `None`, with all bells at awake, where there is something to read after all.
    fn lie_down(&mut self, mode: u32) -> Option<Vec<Mapped>> {
        let mut rings = Vec::with_capacity(self.sources.len());
        for (_, source) in &self.sources {
            if source.is_corrupt {
                continue;
            }
            if !source.reader.may_sleep(mode) {
                return None;
            }
            rings.push(source.ring());
        }
        Some(rings)
    }

    fn get_up(&mut self) {
        for (_, source) in &self.sources {
            source.reader.wake_up();
        }
    }

    // ---- news ----

    fn hear(&mut self, news: News) {
        match news {
            News::Attached(attached) => self.attach(*attached),
            News::Blind(identity, exe, blind) => self.blind(identity, &exe, blind.reason()),
            News::Died(token, at_ns) => {
                let index = (token & INDEX) as usize;
                if self.images.get(index).is_some_and(|image| token_of(image.serial, index) == token) {
                    self.end(index, Ending::Death, at_ns);
                }
            }
            News::Renamed(before, after) => {
                self.images.iter_mut().for_each(|(_, image)| image.rename(&before, &after));
                self.sources.iter_mut().for_each(|(_, source)| source.rename(&before, &after));
            }
            News::Command(pid, path) => {
                let is_seen = self.by_pid.contains_key(&(None, pid)) || self.buried.contains(&(None, pid));
                self.unseen_command = (!is_seen).then_some((pid, path, None));
            }
            News::Exited(exited) => self.reaped(&exited),
            News::Turn(turn, heard_ns) => self.turn(turn, heard_ns),
            News::Settle(settle) => self.settles.push(settle),
            News::FinishWhenIdle => self.ending_wish = Wish::EndWhenIdle,
            News::Finish => self.ending_wish = Wish::End,
        }
    }

    fn attach(&mut self, attached: Attached) {
        let now = now_ns();
        let Attached { id, mapping, lifeline, identity, own_ns, own_fds, is_inherited } = attached;
        self.unseen_command.take_if(|(pid, ..)| *pid == identity.pid && identity.pid_ns.is_none());
        let mut source = Source::new(id, mapping, lifeline, is_inherited, now);
        source.shares_pids = identity.pid_ns.is_none() && identity.pid == identity.own_pid;
        source.pid_ns = identity.pid_ns;
        source.own_ns = own_ns;
        let key = (identity.pid_ns, identity.pid);
        let parent = identity.ppid.and_then(|ppid| self.by_pid.get(&(identity.pid_ns, ppid)).copied());
        // The same process may have written into its parent's ring before, without our having read anything of it.
        self.discover_unread();
        let before = self.by_pid.get(&key).copied();
        // Its death was noticed before the new image was made: then the number was given to another process. Not so where
        // an image that did little said hello, died, and was known to be dead before its hello was read.
        let born_ns = source.ring().slot(0).born_ns.load(Ordering::Relaxed);
        let before = before.filter(|before| {
            self.images.get(*before).is_some_and(|image| {
                let death = image.end.filter(|end| end.how == Ending::Death && image.pidfd.is_some());
                death.is_none_or(|death| born_ns <= death.noticed_ns)
            })
        });
        if let Some(before) = before {
            self.end_by_exec(before, now);
        }
        let mut seed = match (&identity.pid_ns, is_inherited, before, parent) {
            // What it did before the exec is known.
            (Some(_), ..) | (None, false, Some(_), _) => Vec::new(),
            // Who started it is not seen: everything it inherited is news.
            (None, true, ..) | (None, false, None, None) => procfs::descriptors(identity.pid),
            // What libc's posix_spawn and popen did to the standard streams no hook sees.
            (None, false, None, Some(_)) => {
                (0..3).filter_map(|fd| Some((fd, procfs::descriptor(identity.pid, fd)?))).collect()
            }
        };
        seed.retain(|(fd, _)| !own_fds.contains(fd));
        let source_index = self.sources.insert(source);
        let life = before.and_then(|before| Some(self.images.get(before)?.life));
        let index = self.add_image(source_index, Some(0), identity, is_inherited, life);
        if let Some(image) = self.images.get_mut(index) {
            image.before = before;
            image.seed = seed;
        }
        if is_inherited {
            self.discover_all(source_index);
        }
    }

    /// Makes an image, one of the process `life` if that is known, and watches its process. One whose process is dead
    /// already ends at once.
    fn add_image(
        &mut self,
        source_index: usize,
        slot: Option<u8>,
        identity: Identity,
        is_inherited: bool,
        life: Option<LifeId>,
    ) -> usize {
        let Identity { pid, own_pid, ppid, uid, pid_ns, pidfd, exe, claim } = identity;
        let serial = self.next_serial;
        self.next_serial += 1;
        let life = self.lives.enter(life);
        let mut image = Image {
            serial,
            source: source_index,
            slot,
            pid,
            own_pid,
            own_ppid: 0,
            ppid,
            uid,
            pid_ns,
            claim,
            pidfd,
            queue: crate::order::Queue::default(),
            process: None,
            before: None,
            after: None,
            seed: Vec::new(),
            exe,
            books: None,
            delivered: 0,
            unstamped: 0,
            unfinished: 0,
            malformed: 0,
            reported: Default::default(),
            asked: None,
            life,
            end: None,
            is_inherited,
            is_touched: false,
        };
        if let Some(slot) = slot {
            let ring = self.sources[source_index].ring();
            let words = ring.slot(slot);
            image.own_ppid = words.ppid.load(Ordering::Relaxed);
            if is_inherited {
                self.lives.add(life, image.resume(words));
            } else {
                image.queue.begins();
            }
        }
        let is_dead = image.pidfd.is_none() && pid_ns.is_none();
        let index = self.images.insert(image);
        if let Some(slot) = slot {
            self.sources[source_index].give_slot(slot, index);
        }
        self.by_pid.insert((pid_ns, pid), index);
        if let Some(pidfd) = &self.images[index].pidfd {
            self.deathwatch.watch(pidfd, token_of(serial, index));
        }
        if is_dead {
            self.end(index, Ending::Death, now_ns());
        }
        index
    }

    /// The image of the child that writes into `slot`, made if it is not known yet.
    fn discover(&mut self, source_index: usize, slot: u8, claimed_pid: u32) -> Option<usize> {
        let source = self.sources.get(source_index)?;
        if let Some(known) = *source.images.get(usize::from(slot))? {
            return Some(known);
        }
        let ring = source.ring();
        let words = ring.slot(slot);
        let own_pid = match words.pid.load(Ordering::Acquire) {
            0 | Slot::CLAIMED => claimed_pid,
            own_pid => own_pid,
        };
        if own_pid > MOST_PIDS {
            self.corrupt(source_index, now_ns());
            return None;
        }
        let own_ppid = words.ppid.load(Ordering::Relaxed);
        // A child that its parent told of, but that had written nothing. It may be dead by now.
        let silent = self.images.iter().find(|(_, image)| {
            image.source == source_index
                && image.slot.is_none()
                && image.own_pid == own_pid
                && image.books.is_none()
        });
        if let Some((index, _)) = silent {
            self.sources[source_index].give_slot(slot, index);
            let image = &mut self.images[index];
            image.slot = Some(slot);
            image.own_ppid = own_ppid;
            image.queue.begins();
            return Some(index);
        }
        let identity = self.identify_child(source_index, own_pid, own_ppid);
        let is_inherited = self.sources[source_index].is_inherited;
        let key = (identity.pid_ns, identity.pid);
        let next = self.by_pid.get(&key).copied().filter(|next| {
            self.images.get(*next).is_some_and(|image| {
                image.source != source_index && (image.end.is_none() || image.ppid == Some(own_ppid))
            })
        });
        let life = next.and_then(|next| Some(self.images.get(next)?.life));
        let is_buried = key.0.is_none() && identity.pidfd.is_none() && self.buried.contains(&key);
        let index = self.add_image(source_index, Some(slot), identity, is_inherited, life);
        self.images[index].own_ppid = own_ppid;
        if let Some(next) = next {
            self.by_pid.insert(key, next);
            self.precede(index, next);
        } else if is_buried {
            // Its process's end was told already, with that of its next image.
            self.end_by_exec(index, now_ns());
        }
        Some(index)
    }

    /// An image turns out to be the one before `next`: the doorman came to the hello of the program that the child executed
    /// before he came to that of the ring that it was forked in.
    fn precede(&mut self, index: usize, next: usize) {
        self.end_by_exec(index, now_ns());
        let later = &mut self.images[next];
        if later.process.is_none() && later.before.is_none() {
            later.before = Some(index);
        } else {
            self.images[index].after = Some(next);
        }
    }

    /// Who the child `own_pid` of a ring's process is. A number that belongs to somebody else's process is not believed.
    fn identify_child(&self, source_index: usize, own_pid: u32, own_ppid: u32) -> Identity {
        let source = &self.sources[source_index];
        let own_view = |pid_ns| Identity {
            pid: own_pid,
            own_pid,
            ppid: Some(own_ppid),
            uid: None,
            pid_ns: Some(pid_ns),
            ..Identity::default()
        };
        if let Some(pid_ns) = source.pid_ns {
            return own_view(pid_ns);
        }
        let visible = |pid: u32, ppid: u32| Identity {
            pid,
            own_pid,
            ppid: Some(ppid),
            uid: None,
            pid_ns: None,
            pidfd: procfs::open(pid),
            ..Identity::default()
        };
        if source.shares_pids {
            let child = visible(own_pid, own_ppid);
            let is_member = |pid: u32| {
                let images = source.images.iter().flatten().filter_map(|index| self.images.get(*index));
                images.into_iter().any(|image| image.pid == pid)
            };
            let parent = child
                .pidfd
                .as_ref()
                .map(|pidfd| kernel::parent(pidfd).or_else(|| procfs::stat(own_pid).map(|stat| stat.ppid)));
            let is_plausible = match parent {
                // Gone already; its number tells no lie that matters.
                None | Some(None) => true,
                // An orphan has another parent than it had.
                Some(Some(ppid)) => {
                    ppid == own_ppid
                        || is_member(ppid)
                        || procfs::stat(own_ppid).is_none_or(|stat| stat.is_zombie)
                }
            };
            let owner = self.by_pid.get(&(None, own_pid)).and_then(|index| self.images.get(*index));
            // A process with a ring of its own does not write here any more, or never did; not so if it is a child of these.
            let is_taken = owner.is_some_and(|image| image.source != source_index && image.end.is_none());
            let is_child = parent.flatten().is_some_and(is_member);
            if is_plausible && (!is_taken || is_child) {
                return child;
            }
        }
        // A process of a nested namespace: among the children of the ring's processes, by its own number.
        let members: Vec<u32> = source
            .images
            .iter()
            .flatten()
            .filter_map(|index| self.images.get(*index))
            .map(|image| image.pid)
            .collect();
        for member in members {
            for child in procfs::children(member) {
                if procfs::namespace_pids(child).is_some_and(|pids| pids.last() == Some(&own_pid)) {
                    return visible(child, member);
                }
            }
        }
        own_view(source.own_ns)
    }

    fn blind(&mut self, identity: Identity, exe: &[u8], reason: &'static str) {
        self.unseen_command.take_if(|(pid, ..)| *pid == identity.pid && identity.pid_ns.is_none());
        let stat = if identity.pid_ns.is_none() { procfs::uids(identity.pid) } else { None };
        let who = Who {
            pid: identity.pid,
            ppid: identity.ppid,
            exe: exe.into(),
            uid: stat.map(|(uid, _)| uid).or(identity.uid),
            euid: stat.map(|(_, euid)| euid).or(identity.uid),
            pid_ns: identity.pid_ns,
            container: self.container_of(identity.pid_ns, identity.ppid, identity.claim.as_ref(), None),
        };
        let mut process = Process::new(who, 0);
        self.enricher.blind(&mut process, now_ns(), exe, reason);
    }

    fn reaped(&mut self, exited: &Exited) {
        if let Some((pid, _, end)) = &mut self.unseen_command
            && *pid == exited.pid.cast_unsigned()
        {
            *end = Some(*exited);
        }
        let usage = Usage {
            user_ns: exited.user_us.saturating_mul(1000),
            system_ns: exited.system_us.saturating_mul(1000),
            max_rss: exited.max_rss_kib.saturating_mul(1024),
        };
        let at_ns = now_ns();
        let told = Told { status: exited.wait_status, usage: Some(usage), is_launcher: true, at_ns };
        self.tell((None, exited.pid.cast_unsigned()), told);
    }

    /// Notes what a wait said of a process; a live image of it has thereby ended.
    fn tell(&mut self, name: Name, told: Told) {
        if self.told.len() > 1024 {
            self.told.retain(|_, old| told.at_ns.saturating_sub(old.at_ns) < TOLD_NS);
        }
        let is_better = self
            .told
            .get(&name)
            .is_none_or(|old| !old.is_launcher || told.at_ns.saturating_sub(old.at_ns) > TOLD_NS);
        if is_better {
            self.told.insert(name, told);
        }
    }

    /// Notes that an image has ended.
    fn end(&mut self, index: usize, how: Ending, at_ns: u64) {
        let Some(image) = self.images.get_mut(index) else { return };
        if image.end.is_some() {
            return;
        }
        // A fork child that counted or noted something, but wrote no record: its slot was taken after its parent told of it.
        if image.slot.is_none()
            && image.books.is_none()
            && let Some(source) = self.sources.get_mut(image.source)
            && let Some(slot) = source.unclaimed_slot_of(image.own_pid)
        {
            source.give_slot(slot, index);
            image.slot = Some(slot);
            image.queue.begins();
        }
        let read_to = self.sources.get(image.source).map_or(0, Source::tail);
        image.end = Some(End { how, at_ns, noticed_ns: at_ns, read_to });
        self.limit_ns = self.limit_ns.min(at_ns);
        self.has_news_of_ends = true;
        if how == Ending::Exec {
            // The next image has a pidfd of its own.
            image.pidfd = None;
        }
        self.ending.push(index);
    }

    /// Notes that the process of an image has executed something. It may be dead since, and taken for dead before its
    /// next image said hello.
    fn end_by_exec(&mut self, index: usize, at_ns: u64) {
        self.end(index, Ending::Exec, at_ns);
        if let Some(End { how, .. }) = self.images.get_mut(index).and_then(|image| image.end.as_mut()) {
            *how = Ending::Exec;
        }
    }

    // ---- a round ----

    fn round(&mut self, now: u64) -> Round {
        let mut round = Round::default();
        let indices: Vec<usize> = self.sources.iter().map(|(index, _)| index).collect();
        for index in indices {
            let before = self.sources[index].reader.position();
            self.read(index, now);
            let source = &mut self.sources[index];
            if source.reader.position() != before {
                source.was_active(now);
                round.has_read = true;
            }
            round.has_more |= !source.is_drained;
        }
        self.free_slots();
        let horizon = self.horizon(now);
        self.settle(now, horizon);
        self.reached_ns = horizon;
        if now.saturating_sub(self.audited_ns) >= AUDIT_NS {
            self.audited_ns = now;
            self.audit(now);
        }
        self.publish();
        if std::mem::take(&mut self.has_left_word) {
            self.reply.alarm();
        }
        round
    }

    /// Up to when everything that was stamped has been read.
    fn horizon(&self, now: u64) -> u64 {
        if self.images.len() <= 1 {
            return self.told_until_ns;
        }
        let unread = self.sources.iter().filter(|(_, source)| !source.is_drained || source.is_blocked);
        unread
            .map(|(_, source)| source.last_ns)
            .min()
            .unwrap_or(now)
            .min(now)
            .saturating_sub(HOLD_NS)
            .min(self.told_until_ns)
    }

    /// Reads a ring until it is empty, blocked, or the others have their turn.
    fn read(&mut self, source_index: usize, now: u64) {
        let mut record = std::mem::take(&mut self.record);
        let begun = self.sources[source_index].reader.position();
        let mut released = begun;
        self.sources[source_index].is_drained = true;
        self.sources[source_index].is_blocked = false;
        loop {
            let source = &self.sources[source_index];
            if source.is_corrupt {
                break;
            }
            let position = source.reader.position();
            if position.wrapping_sub(released) >= RELEASE_BYTES {
                source.reader.release();
                released = position;
                self.note_written();
            }
            let source = &mut self.sources[source_index];
            if position.wrapping_sub(begun) >= TURN_BYTES {
                source.is_drained = false;
                break;
            }
            match source.reader.next(&mut record) {
                Next::Empty => break,
                Next::Record { slot, len } => {
                    let bytes = record.get(..len).unwrap_or_default();
                    let Ok((mut head, payload)) = codec::decode::<Head>(bytes) else {
                        self.corrupt(source_index, now);
                        break;
                    };
                    // Strict seccomp forbids the clock; and only a liar's is far ahead of ours.
                    if head.time_ns == 0 || head.time_ns > now + FUTURE_NS {
                        head.time_ns = now;
                    }
                    source.last_ns = head.time_ns;
                    let index = match source.images.get(usize::from(slot)) {
                        Some(Some(index)) => Some(*index),
                        Some(None) => self.discover(source_index, slot, head.pid),
                        None => None,
                    };
                    let Some(index) = index else {
                        self.corrupt(source_index, now);
                        break;
                    };
                    // Nobody else's record can come before it.
                    let is_alone = self.images.len() == 1 && head.time_ns <= self.told_until_ns;
                    let image = &mut self.images[index];
                    if is_alone && image.queue.is_next(&head) {
                        let time_ns = image.queue.pass(&head);
                        self.deliver(index, head, time_ns, payload);
                        continue;
                    }
                    if image.queue.is_empty() {
                        self.waiting.push(index);
                    }
                    image.queue.push(head, payload);
                }
                Next::Unfinished(unfinished) => {
                    if !self.step_over(source_index, unfinished, now) {
                        self.sources[source_index].is_blocked = true;
                        break;
                    }
                }
                Next::Corrupt => {
                    self.corrupt(source_index, now);
                    break;
                }
            }
        }
        self.sources[source_index].reader.release();
        self.record = record;
    }

    /// Steps over a record that nobody will finish. False where it must be waited for.
    fn step_over(&mut self, source_index: usize, unfinished: Unfinished, now: u64) -> bool {
        if let Some(slot) = unfinished.slot {
            let own_pid = self.sources[source_index].ring().slot(slot).pid.load(Ordering::Acquire);
            if own_pid != 0 && own_pid != Slot::CLAIMED {
                self.discover(source_index, slot, own_pid);
            }
        }
        let source = &mut self.sources[source_index];
        let is_dead = source.is_writer_dead(&unfinished, &self.images);
        let since = match source.stuck {
            Some((stuck, since)) if stuck.position == unfinished.position => since,
            _ => now,
        };
        source.stuck = Some((unfinished, since));
        if !is_dead && now.saturating_sub(since) < STUCK_NS {
            return false;
        }
        if source.reader.skip() && !is_dead {
            // What the dead lost shows when their numbers are compared at the end; a living one goes on.
            let index = unfinished.slot.and_then(|slot| *source.images.get(usize::from(slot))?);
            if let Some(index) = index {
                self.images[index].unfinished += 1;
                self.lose(index, now, 1, "killed_writer");
            }
        }
        true
    }

    /// Stops reading a ring that holds nonsense. What its processes wrote and we cannot read is lost.
    fn corrupt(&mut self, source_index: usize, now: u64) {
        let source = &mut self.sources[source_index];
        if source.is_corrupt {
            return;
        }
        source.is_corrupt = true;
        source.is_drained = true;
        let ring = source.ring();
        let writers: Vec<(u8, usize)> = source
            .images
            .iter()
            .enumerate()
            .filter_map(|(slot, index)| Some((slot as u8, (*index)?)))
            .collect();
        for (slot, index) in writers {
            while self.deliver_first(index) {}
            let image = &mut self.images[index];
            // A number that was scribbled over too says nothing.
            let missing = image.missing(&Books::of(ring, slot)).clamp(1, u64::from(u32::MAX));
            image.malformed += missing;
            self.lose(index, now, missing, "corrupt_ring");
        }
    }

    /// Delivers the first record that waits in an image's queue. False when none does.
    fn deliver_first(&mut self, index: usize) -> bool {
        let mut payload = std::mem::take(&mut self.payload);
        let popped = self.images.get_mut(index).and_then(|image| image.queue.pop(&mut payload));
        if let Some((head, time_ns)) = popped {
            self.deliver(index, head, time_ns, &payload);
        }
        self.payload = payload;
        popped.is_some()
    }

    /// Turns one record, in its final order, into what the sinks get.
    fn deliver(&mut self, index: usize, mut head: Head, mut time_ns: u64, payload: &[u8]) {
        let is_stamped = head.flags & Flags::STAMPED != 0;
        let decoded = Kind::from_number(head.kind)
            .filter(|kind| is_stamped == (*kind == Kind::FdClosed || (*kind as u16) < FIRST_INTERNAL))
            .and_then(|kind| Decoded::decode(kind, payload).ok());
        let Some(mut decoded) = decoded else {
            if is_stamped {
                self.images[index].malformed += 1;
                self.lose(index, time_ns, 1, "corrupt_ring");
            }
            return;
        };
        if let Decoded::ProcessStart(start) = &decoded {
            // A start is stamped before anybody can know of the process: one that lost the processor before it said
            // hello is told of when it did.
            time_ns = time_ns.max(self.delivered_ns);
            self.start(index, start, time_ns);
        } else if self.images[index].process.is_none() {
            self.begin(index);
        }
        let image = &mut self.images[index];
        if image.own_pid != image.pid && head.tid == image.own_pid {
            head.tid = image.pid;
        }
        // A thread that goes on has executed nothing itself: it failed, or had a child do it.
        let asked = image.asked.take_if(|asked| asked.tid == head.tid);
        let Some(process) = &mut image.process else { return };
        let begun = asked.as_ref().and_then(|asked| asked.child);
        if let (Decoded::ProcessFork(fork @ ProcessFork { child: None }), 0) = (&mut decoded, head.errno) {
            fork.child = begun;
        }
        let effect = self.enricher.record(process, &head, time_ns, &decoded);
        if is_stamped {
            image.delivered += 1;
            self.delivered_ns = self.delivered_ns.max(time_ns);
            self.lives.add(image.life, Ledger { events: 1, ..Ledger::default() });
            if !image.is_touched {
                image.is_touched = true;
                self.touched.push(index);
            }
        } else {
            image.unstamped += 1;
        }
        let is_first_request = self.requests_from.is_some()
            && matches!(decoded, Decoded::NetConnect(_))
            && self.enricher.last_remote() == self.requests_from;
        match effect {
            Effect::None => {}
            Effect::ExecAsked => {
                image.asked =
                    Some(Asked::new(self.enricher.last_path(), &head, time_ns, image.asked.as_ref()));
            }
            // It has told of itself already, and may be gone by now.
            Effect::Forked(Some(child)) if begun == Some(child) => {}
            Effect::Forked(Some(child)) => self.forked(index, child, asked),
            Effect::Forked(None) => {}
            Effect::ChildEnded(child, status, usage) => {
                let told = Told { status, usage, is_launcher: false, at_ns: time_ns };
                self.child_ended(index, child, told);
            }
        }
        if is_first_request {
            self.first_asked(time_ns);
        }
        let batch = &self.enricher.batch;
        if batch.events.len() >= BATCH_EVENTS || batch.size_bytes() >= BATCH_BYTES {
            self.publish();
        }
    }

    /// A parent told of its child. Unless the child is known, it is watched from here on: its end is an event, and as
    /// long as it lives it may take a slot of the ring.
    fn forked(&mut self, index: usize, own_child: u32, asked: Option<Asked>) {
        let Some(parent) = self.images.get(index) else { return };
        let (source_index, pid_ns) = (parent.source, parent.pid_ns);
        let is_known = self.images.iter().any(|(_, image)| {
            image.source == source_index && image.own_pid == own_child && image.end.is_none()
        });
        if is_known {
            // Its first record may be due only after this: what it inherited is what its parent has now.
            return self.begin_children(source_index, own_child);
        }
        // Where its number means the same to us, it may have become another image already.
        let is_same_view = self.sources[source_index].shares_pids || pid_ns.is_some();
        if is_same_view && self.by_pid.contains_key(&(pid_ns, own_child)) {
            return;
        }
        if let Some(slot) = self.sources[source_index].slot_of(own_child)
            && self.discover(source_index, slot, own_child).is_some()
        {
            return self.begin_children(source_index, own_child);
        }
        let own_ppid = self.images[index].own_pid;
        let identity = self.identify_child(source_index, own_child, own_ppid);
        // A parent that gets the processor late tells of a child that has come and gone.
        let is_buried = self.buried.contains(&(identity.pid_ns, identity.pid));
        if is_buried || (identity.pid_ns.is_some() && pid_ns.is_none()) {
            return;
        }
        let child = self.add_image(source_index, None, identity, false, None);
        self.images[child].own_ppid = own_ppid;
        // posix_spawn(3) and popen(3): the caller told what its child would become.
        self.images[child].asked = asked;
        self.begin(child);
    }

    fn begin_children(&mut self, source_index: usize, own_pid: u32) {
        let found = self.images.iter().find(|(_, image)| {
            image.source == source_index && image.own_pid == own_pid && image.slot != Some(0)
        });
        if let Some((child, image)) = found
            && image.process.is_none()
        {
            self.begin(child);
        }
    }

    fn child_ended(&mut self, index: usize, own_child: u32, told: Told) {
        let Some(parent) = self.images.get(index) else { return };
        let (source_index, pid_ns) = (parent.source, parent.pid_ns);
        let name = if self.sources[source_index].shares_pids || pid_ns.is_some() {
            (pid_ns, own_child)
        } else {
            // By its own number, among those of the same namespace.
            let own_ns = self.sources[source_index].own_ns;
            let is_mate = |image: &Image| {
                self.sources.get(image.source).is_some_and(|source| source.own_ns == own_ns)
                    && (image.pid_ns.is_some() || image.own_pid != image.pid)
            };
            let mut known =
                self.images.iter().filter(|(_, image)| image.own_pid == own_child && is_mate(image));
            match known.next() {
                Some((_, image)) => (image.pid_ns, image.pid),
                None => return,
            }
        };
        self.tell(name, told);
        let Some(child) = self.by_pid.get(&name).copied() else { return };
        let Some(image) = self.images.get_mut(child) else { return };
        match &mut image.end {
            // We may have learnt of it much later.
            Some(end) if end.how == Ending::Death => {
                end.at_ns = end.at_ns.min(told.at_ns);
                self.limit_ns = self.limit_ns.min(end.at_ns);
                self.has_news_of_ends = true;
            }
            // Without a pidfd this is all that we shall hear of it.
            None if image.pidfd.is_none() => self.end(child, Ending::Death, told.at_ns),
            _ => {}
        }
    }

    /// A program's first record: what went before it in the same process is over.
    fn start(&mut self, index: usize, start: &ProcessStart<'_>, time_ns: u64) {
        let image = &mut self.images[index];
        let (serial, pid, own_pid, pid_ns) = (image.serial, image.pid, image.own_pid, image.pid_ns);
        let exe = match start.image.0 {
            [] if image.exe.is_empty() => self.program_images.image_of(start).unwrap_or_default(),
            [] => std::mem::take(&mut image.exe),
            said => said.to_vec(),
        };
        let own_view = pid_ns.is_some() || image.own_pid == pid;
        let ppid = image.ppid.or(own_view.then_some(start.parent.0));
        let before = image.before.filter(|before| self.images.contains(*before));
        let parent = ppid.and_then(|ppid| self.by_pid.get(&(pid_ns, ppid)).copied());
        let mut inherited = None;
        if let Some(before) = before {
            while self.deliver_first(before) {}
            if self.images[before].process.is_none() {
                self.begin(before);
            }
            inherited = self.exec_over(before, index, time_ns);
        } else if let Some(parent) = parent.and_then(|parent| self.images.get_mut(parent))
            && let Some(process) = parent.process.clone()
        {
            if let Some(asked) = &mut parent.asked {
                asked.has_begun(start.path.raw, own_pid);
            }
            // It was spawned: what its parent had open and does not close at exec is its own.
            inherited = Some(settle::without_cloexec(process));
        }
        let same_process = before.and(inherited.as_ref());
        let who = Who {
            pid,
            ppid,
            exe: exe.into(),
            uid: Some(start.real_uid.0),
            euid: Some(start.effective_uid.0),
            pid_ns,
            container: self.container_of(pid_ns, ppid, self.images[index].claim.as_ref(), same_process),
        };
        let mut process = self.enricher.start(start, who, serial, inherited.as_ref());
        let image = &mut self.images[index];
        for (fd, link) in image.seed.drain(..) {
            process.seed(fd, &link);
        }
        image.process = Some(process);
    }

    /// Another request is served: what was held back belongs to it.
    fn turn(&mut self, turn: Turn, heard_ns: u64) {
        // The sandbox may have been frozen, and UTC have gone on without us.
        self.enricher.clock.follow();
        let from_ns = self.border_ns.take().map_or(heard_ns, |border_ns| border_ns.saturating_add(1));
        match turn {
            Turn::To(request_id) => self.enricher.requests.turn(from_ns, Some(request_id)),
            Turn::ToNone => self.enricher.requests.turn(from_ns, None),
            Turn::ToTheSame => {}
        }
    }

    /// Somebody began, at `time_ns`, to ask for requests: what follows belongs to the first, which may be known already.
    fn first_asked(&mut self, time_ns: u64) {
        self.requests_from = None;
        match self.enricher.requests.is_empty() {
            true => self.hold_from(time_ns),
            false => self.enricher.requests.first_from(time_ns.saturating_add(1)),
        }
    }

    /// Holds back what happened later than `border_ns`, until it is known which request that belongs to.
    fn hold_from(&mut self, border_ns: u64) {
        self.border_ns = Some(border_ns);
        self.told_until_ns = self.told_until_ns.min(border_ns);
        self.limit_ns = self.limit_ns.min(border_ns);
    }

    /// Whether more is held back than there should be: a sandbox that is not frozen goes on without a request.
    fn holds_too_much(&self) -> bool {
        let waiting = self.waiting.iter().filter_map(|index| self.images.get(*index));
        self.border_ns.is_some() && waiting.map(|image| image.queue.len()).sum::<usize>() > MOST_HELD
    }

    /// Answers those who wait for what happened to be delivered, where it is, or cannot be waited for any longer.
    fn settle_up(&mut self, now: u64) {
        if self.holds_too_much() {
            self.turn(Turn::ToNone, now);
        }
        for mut settle in std::mem::take(&mut self.settles) {
            let until_ns = settle.until_ns;
            // A death that the doorman has not come to yet would be told with the next request.
            let is_told = self.heard_until_ns >= until_ns
                && self.reached_ns >= until_ns.min(self.border_ns.unwrap_or(u64::MAX));
            let is_due = |index: &usize| {
                self.images.get(*index)?.queue.first_ns().filter(|first_ns| *first_ns <= until_ns)
            };
            // Of what was told just now, some may have been dead for long.
            let told_ns = if is_told { *settle.told_ns.get_or_insert(now) } else { until_ns };
            let is_ending =
                |index: &usize| self.images.get(*index)?.end.filter(|end| end.noticed_ns <= told_ns);
            let is_delivered = is_told
                && !self.waiting.iter().any(|index| is_due(index).is_some())
                && !self.ending.iter().any(|index| is_ending(index).is_some());
            if !is_delivered && now < settle.deadline_ns {
                self.settles.push(settle);
                continue;
            }
            self.audit(now);
            self.publish();
            if settle.is_border && self.border_ns.is_none() {
                // Nothing that was delivered is later than this.
                self.hold_from(now_ns());
            }
            self.outlets.flush(&settle.done_tx);
        }
    }

    /// Gives an image that has not told of itself (a fork child, one that was taken over) what can be known of it.
    fn begin(&mut self, index: usize) {
        self.begin_after(index, MOST_ANCESTORS);
    }

    /// As [`Self::begin`]; begins up to `generations` of its ancestors first.
    fn begin_after(&mut self, index: usize, generations: u32) {
        let Some(image) = self.images.get(index) else { return };
        let parent = self.parent_of(image);
        if let Some(parent) = parent
            && let Some(generations) = generations.checked_sub(1)
            && self.images.get(parent).is_some_and(|image| image.process.is_none() && image.slot != Some(0))
        {
            self.begin_after(parent, generations);
        }
        let Some(image) = self.images.get(index) else { return };
        let serial = image.serial;
        let same_process = image.before.and_then(|before| self.images.get(before)?.process.as_ref());
        let inherited = || {
            let source = self.sources.get(image.source)?;
            let parent = parent.and_then(|parent| self.images.get(parent)?.process.as_ref());
            let owner = || self.images.get(source.images[0]?)?.process.as_ref();
            parent.or_else(|| source.departed(image.own_ppid)).or_else(owner).or_else(|| source.owner())
        };
        let known = same_process.or_else(|| if image.slot == Some(0) { None } else { inherited() });
        let is_visible = image.pid_ns.is_none();
        let mut process = match known {
            Some(known) => known.fork(
                Who { pid: image.pid, ppid: image.ppid, pid_ns: image.pid_ns, ..(*known.who).clone() },
                serial,
            ),
            None => {
                let uids = if is_visible { procfs::uids(image.pid) } else { None };
                let stat = if is_visible { procfs::stat(image.pid) } else { None };
                let who = Who {
                    pid: image.pid,
                    ppid: stat.map(|stat| stat.ppid).or(image.ppid),
                    exe: image.exe.as_slice().into(),
                    uid: uids.map(|(uid, _)| uid).or(image.uid),
                    euid: uids.map(|(_, euid)| euid).or(image.uid),
                    pid_ns: image.pid_ns,
                    container: self.container_of(image.pid_ns, image.ppid, image.claim.as_ref(), None),
                };
                let mut process = Process::new(who, serial);
                if let Some(cwd) = procfs::cwd(image.pid).filter(|_| is_visible) {
                    process.cwd = cwd.into();
                }
                process
            }
        };
        let image = &mut self.images[index];
        for (fd, link) in image.seed.drain(..) {
            process.seed(fd, &link);
        }
        image.process = Some(process);
    }

    /// The container that a process is in. The kernel's word counts first; then a process that executes a program stays
    /// where it is; then comes what it says itself; and one that says nothing, its environment having been emptied, is
    /// where its parent is, or who else is in its pid namespace.
    fn container_of(
        &self,
        pid_ns: Option<u64>,
        ppid: Option<u32>,
        claim: Option<&Claim>,
        same_process: Option<&Process>,
    ) -> Option<Arc<Container>> {
        let certain = claim.filter(|claim| claim.is_certain);
        let of = |process: &Process| process.who.container.clone();
        let of_image = |image: &Image| image.process.as_ref().and_then(of);
        certain
            .map(|claim| Arc::clone(&claim.container))
            .or_else(|| same_process.and_then(of))
            .or_else(|| claim.map(|claim| Arc::clone(&claim.container)))
            .or_else(|| of_image(self.images.get(*self.by_pid.get(&(pid_ns, ppid?))?)?))
            .or_else(|| {
                // 0 is a namespace that nobody could name.
                let pid_ns = pid_ns.filter(|pid_ns| *pid_ns != 0)?;
                let mut mates = self.images.iter().filter(|(_, image)| image.pid_ns == Some(pid_ns));
                mates.find_map(|(_, image)| of_image(image))
            })
    }

    /// The image that a fork child was forked from, if it is still known.
    fn parent_of(&self, image: &Image) -> Option<usize> {
        let is_parent = |other: &Image| other.own_pid == image.own_ppid && other.serial != image.serial;
        let mut in_ring = self.sources.get(image.source)?.images.iter().flatten().copied();
        in_ring
            .find(|other| self.images.get(*other).is_some_and(is_parent))
            .or_else(|| self.by_pid.get(&(image.pid_ns, image.ppid?)).copied())
    }

    /// Reports a loss.
    fn lose(&mut self, index: usize, time_ns: u64, count: u64, reason: &'static str) {
        if self.images[index].process.is_none() {
            self.begin(index);
        }
        let image = &mut self.images[index];
        self.lives.add(image.life, Ledger { lost: count, ..Ledger::default() });
        if let Some(process) = &mut image.process {
            self.enricher.lost(process, time_ns, count, reason);
        }
    }

    /// Hands the batch to the sinks.
    fn publish(&mut self) {
        self.note_written();
        for batch in self.enricher.take_sealed() {
            self.outlets.deliver(Arc::new(batch));
        }
        if self.enricher.batch.is_empty() {
            return;
        }
        if self.ending_wish == Wish::End {
            self.wait_for_room();
        }
        let empty = self.outlets.empty_batch();
        let mut batch = self.enricher.take_batch(empty);
        let shared = if batch.events.len() < SMALL_EVENTS {
            let shared = Arc::new(batch.clone());
            batch.clear();
            self.enricher.batch = batch;
            shared
        } else {
            Arc::new(batch)
        };
        let mut counts = Vec::with_capacity(self.touched.len());
        for index in self.touched.drain(..) {
            if let Some(image) = self.images.get_mut(index) {
                image.is_touched = false;
                counts.push((index, image.serial, image.delivered));
            }
        }
        self.unwritten.push_back(Unwritten { batch: Arc::downgrade(&shared), counts });
        self.outlets.deliver(shared);
    }

    /// Notes in the slots what every sink is done with: the collector that may have to follow this one counts the rest
    /// as lost with it.
    fn note_written(&mut self) {
        while let Some(first) = self.unwritten.front()
            && first.batch.strong_count() == 0
            && let Some(Unwritten { counts, .. }) = self.unwritten.pop_front()
        {
            for (index, serial, delivered) in counts {
                let Some(image) = self.images.get(index).filter(|image| image.serial == serial) else {
                    continue;
                };
                if let (Some(slot), Some(source)) = (image.slot, self.sources.get(image.source)) {
                    // Relaxed: read by a collector that starts after this one's death.
                    source.ring().slot(slot).delivered.store(delivered, Ordering::Relaxed);
                }
            }
        }
    }

    /// At the end there is time: waits for the sinks, as long as they get on.
    fn wait_for_room(&mut self) {
        let begun = now_ns();
        while !self.outlets.has_room() && now_ns().saturating_sub(begun) < LAST_PAUSE_NS {
            std::thread::sleep(std::time::Duration::from_nanos(PAUSE_NS));
        }
    }

    /// What is done now and then.
    fn audit(&mut self, now: u64) {
        self.enricher.clock.follow();
        let indices: Vec<usize> = self.images.iter().map(|(index, _)| index).collect();
        for index in indices {
            self.report_losses(index, now);
            self.look_for_blind(index, now);
        }
        let sources: Vec<usize> = self.sources.iter().map(|(index, _)| index).collect();
        for index in sources {
            self.sources[index].punch_if_idle(now);
        }
        self.end_abandoned(now);
    }

    /// Notes that the processes are dead of whom no pidfd, but a ring that nobody has mapped any more tells. One that asked
    /// for a program may be on its way there.
    fn end_abandoned(&mut self, now: u64) {
        let is_open = |image: &Image| {
            let is_on_its_way =
                image.asked.as_ref().is_some_and(|asked| now.saturating_sub(asked.at_ns) < START_NS);
            image.end.is_none() && image.pidfd.is_none() && !is_on_its_way
        };
        let mut abandoned: FxHashMap<usize, bool> = FxHashMap::default();
        let mut dead = Vec::new();
        for (index, image) in self.images.iter().filter(|(_, image)| is_open(image)) {
            let source = self.sources.get(image.source);
            let is_abandoned = || source.is_some_and(Source::is_abandoned);
            if *abandoned.entry(image.source).or_insert_with(is_abandoned) {
                dead.push(index);
            }
        }
        for index in dead {
            self.end(index, Ending::Death, now);
        }
    }

    /// Whether an image became, some time ago, a program that has not said hello.
    fn look_for_blind(&mut self, index: usize, now: u64) {
        let Some(image) = self.images.get(index) else { return };
        let (Some(asked), Some(process), None) = (&image.asked, &image.process, image.end) else { return };
        let is_late = now.saturating_sub(asked.at_ns) >= AUDIT_NS;
        // Where /proc shows nothing, its end will tell.
        let has_changed =
            || image.pid_ns.is_none() && procfs::exe(image.pid).is_some_and(|exe| *exe != *process.who.exe);
        if is_late && has_changed() {
            self.report_blind(index, now);
        }
    }

    /// Reports that an image has become a program that cannot be seen into.
    fn report_blind(&mut self, index: usize, now: u64) {
        let Some(image) = self.images.get_mut(index) else { return };
        let (Some(asked), Some(process)) = (image.asked.take(), &mut image.process) else { return };
        let visible = if image.pid_ns.is_none() { procfs::exe(image.pid) } else { None };
        let exe = visible.unwrap_or_else(|| asked.path.to_vec());
        let reason = match image.pid_ns {
            None => blind::reason(Path::new(OsStr::from_bytes(&exe)), Some(image.pid)),
            // A file of this name here would be another one.
            Some(_) => blind::UNREADABLE,
        };
        let is_unexplained = matches!(reason, blind::UNKNOWN | blind::UNREADABLE);
        let reason = if is_unexplained && asked.is_barred { "seccomp" } else { reason };
        process.set_exe(&exe);
        self.enricher.blind(process, now, &asked.path, reason);
    }

    /// Finds the children that wrote into any ring what was not read yet.
    fn discover_unread(&mut self) {
        let unread =
            self.sources.iter().filter(|(_, source)| !source.is_corrupt && source.reader.pending() > 0);
        for index in unread.map(|(index, _)| index).collect::<Vec<usize>>() {
            self.discover_all(index);
        }
    }

    /// Finds the children that took a slot of a ring. True if any holds one.
    fn discover_all(&mut self, source_index: usize) -> bool {
        let mut is_any = false;
        for (slot, own_pid) in self.sources[source_index].taken_slots() {
            is_any |= self.discover(source_index, slot, own_pid).is_some();
        }
        is_any
    }

    /// Reports what an image's sensor counted as lost since the last time.
    fn report_losses(&mut self, index: usize, now: u64) {
        let Some(lost) = self.losses(index) else { return };
        let Some(image) = self.images.get_mut(index) else { return };
        let fresh = image.fresh_losses(&lost);
        if fresh.iter().all(|(_, count)| *count == 0) {
            return;
        }
        if let (Some(slot), Some(source)) = (image.slot, self.sources.get(image.source)) {
            // For the collector that may have to follow this one.
            let reported = lost.iter().fold(0, |sum: u64, lost| sum.saturating_add(*lost));
            source.ring().slot(slot).reported.store(reported, Ordering::Relaxed);
        }
        for (cause, count) in fresh {
            if count > 0 {
                self.lose(index, now, count, cause.reason());
            }
        }
    }

    /// The last rounds: everything that is there is delivered, everybody who is dead reported.
    fn finish(&mut self) {
        let tails: Vec<(usize, u64)> =
            self.sources.iter().map(|(index, source)| (index, source.tail())).collect();
        let dead: Vec<usize> = self
            .images
            .iter()
            .filter(|(_, image)| image.end.is_none() && image.pidfd.as_ref().is_some_and(is_dead))
            .map(|(index, _)| index)
            .collect();
        let now = now_ns();
        for index in dead {
            self.end(index, Ending::Death, now);
        }
        self.end_abandoned(now);
        // Programs that live on and write without end are not waited for.
        let patience = now + 2_000_000_000;
        loop {
            let round = self.round(now_ns());
            let is_done = tails
                .iter()
                .all(|(index, tail)| self.sources.get(*index).is_none_or(|source| source.has_read(*tail)));
            let is_blocked = !round.has_read && !round.has_more;
            if is_done || is_blocked || now_ns() > patience {
                break;
            }
        }
        let now = now_ns();
        // First what parents may yet say of their children, who are held back for that.
        self.settle(now, u64::MAX);
        self.is_all_told = true;
        self.settle(now, u64::MAX);
        self.tell_of_unseen_command(now);
        self.audit(now);
        self.publish();
    }

    /// CMD ended and no sensor in it said hello: nobody but the launcher knows that it ran.
    fn tell_of_unseen_command(&mut self, now: u64) {
        let Some((pid, path, Some(end))) = self.unseen_command.take() else { return };
        let who = Who {
            pid,
            ppid: Some(std::os::unix::process::parent_id()),
            exe: path.as_slice().into(),
            uid: Some(rustix::process::getuid().as_raw()),
            euid: Some(rustix::process::geteuid().as_raw()),
            pid_ns: None,
            container: None,
        };
        let mut process = Process::new(who, 0);
        let reason = blind::reason(Path::new(OsStr::from_bytes(&path)), None);
        self.enricher.blind(&mut process, now, &path, reason);
        let exit = Exit {
            wait_status: Some(end.wait_status),
            user_ns: Some(end.user_us.saturating_mul(1000)),
            system_ns: Some(end.system_us.saturating_mul(1000)),
            max_rss: Some(end.max_rss_kib.saturating_mul(1024)),
            ..Exit::default()
        };
        self.enricher.exited(&mut process, now, &exit);
    }
}

/// How many ancestors that have not told of themselves are looked at: a hostile ring may name each other's child.
const MOST_ANCESTORS: u32 = 16;

/// The kernel's own limit of pid_max (proc(5)), times four for what may come.
const MOST_PIDS: u32 = 4 << 22;

/// Kinds from this number on never become events, but for one.
const FIRST_INTERNAL: u16 = Kind::FdClosed as u16;

/// Bits of a token that hold the image's place.
const INDEX: u64 = (1 << 24) - 1;

fn token_of(serial: u64, index: usize) -> u64 {
    (serial << 24 | index as u64 & INDEX) & !(7 << 61)
}

/// Programs that were gone before /proc could be asked for their image: the file that was executed, or for a script its
/// interpreter. Remembered by path, since what is that short-lived is run again and again.
#[derive(Debug, Default)]
struct ProgramImages(FxHashMap<PathBuf, (FileKey, PathBuf)>);

/// A file's device, inode and time of change: another one behind the same path is another program.
type FileKey = (u64, u64, i64, i64);

impl ProgramImages {
    const MOST: usize = 1024;

    fn image_of(&mut self, start: &ProcessStart<'_>) -> Option<Vec<u8>> {
        let path = Path::new(OsStr::from_bytes(start.cwd)).join(OsStr::from_bytes(start.path.raw?));
        let metadata = std::fs::metadata(&path).ok()?;
        let key = (metadata.dev(), metadata.ino(), metadata.ctime(), metadata.ctime_nsec());
        if let Some((known, image)) = self.0.get(&path)
            && *known == key
        {
            return Some(image.as_os_str().as_bytes().to_vec());
        }
        let mut image = std::fs::canonicalize(&path).ok()?;
        for _ in 0..MOST_INTERPRETERS {
            let Some(next) = interpreter_of(&image) else { break };
            image = std::fs::canonicalize(next).ok()?;
        }
        if self.0.len() >= Self::MOST {
            self.0.clear();
        }
        self.0.insert(path, (key, image.clone()));
        Some(image.into_os_string().into_vec())
    }
}

/// The kernel follows a script's interpreter a few times (execve(2), "Interpreter scripts").
const MOST_INTERPRETERS: usize = 5;

/// The interpreter that a script names; `None` for a file that is none.
fn interpreter_of(path: &Path) -> Option<PathBuf> {
    let mut line = [0; 256];
    // Not a device or a pipe, which would be read without end, or wait.
    let len = match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => {
            File::open(path).and_then(|mut file| file.read(&mut line)).ok()?
        }
        _ => return None,
    };
    let line = line.get(..len)?.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let mut words = line.split(|byte| byte.is_ascii_whitespace()).filter(|word| !word.is_empty());
    Some(PathBuf::from(OsStr::from_bytes(words.next()?)))
}

/// Whether the process behind `pidfd` is dead.
fn is_dead(pidfd: impl AsFd) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut polled = [PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN)];
    matches!(poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(1..))
}
