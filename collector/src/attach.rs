//! The doorman: takes sensors in, learns of deaths, and talks with the launcher.
//!
//! Runs on the collector's main thread, in an epoll loop that sleeps while nothing happens. What it learns goes to the
//! drain thread as [`News`], in an order in which nothing can be misread: a ring is with the launcher before the drain
//! thread reads it, and a process's hello comes before its death.
//!
//! A hello is not trusted where the kernel knows better: pid and uid come from the socket.
//!
//! The first processes of a container whose names are being asked for are told of when the answer is there, at most
//! a third of a second later ([`Doorman::park`]); what they do waits in their rings meanwhile.

use std::collections::VecDeque;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use rustc_hash::FxHashSet;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, epoll, eventfd, poll};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, SocketFlags, accept_with, recvmsg, send,
};
use wire::hello::{self, Blind, Hello};

use crate::container::{self, Authority, Claim, Container, Containers, Key};
use crate::drain::bells::Doorbell;
use crate::failure::{Failure, say};
use crate::kernel;
use crate::launch::channel::{CollectorEnd, Received};
use crate::launch::protocol::{Exited, RingId, ToCollector, ToLauncher};
use crate::mapping::{Lifeline, Mapping};
use crate::procfs;
use crate::session::{HEALTH_ANSWER, HEALTH_QUESTION, KeptRing};
use crate::stop::StopSignals;

/// Who a process is, as far as the kernel and itself say.
#[derive(Debug, Default)]
pub struct Identity {
    /// In our pid namespace; where it has no number there, as it sees itself, with `pid_ns`.
    pub pid: u32,
    /// As it sees itself.
    pub own_pid: u32,
    /// Its parent, in the same view as `pid`.
    pub ppid: Option<u32>,
    /// Effective user id at the time.
    pub uid: Option<u32>,
    /// Its pid namespace by inode (0 if unknown), where `pid` is its own view.
    pub pid_ns: Option<u64>,
    /// For learning of its death.
    pub pidfd: Option<OwnedFd>,
    /// The running image as /proc shows it; empty where it does not.
    pub exe: Vec<u8>,
    /// The container that it or the kernel says it is in.
    pub claim: Option<Claim>,
}

impl Identity {
    /// Whether this may go on from what `other` does: the same process, a child of it, or any of its pid namespace where
    /// that is all that is known.
    fn is_behind(&self, other: &Self) -> bool {
        let is_near = self.pid_ns.is_some() || self.pid == other.pid || self.ppid == Some(other.pid);
        self.pid_ns == other.pid_ns && is_near
    }
}

/// A ring that is to be read.
#[derive(Debug)]
pub struct Attached {
    /// The name under which the launcher keeps it.
    pub id: RingId,
    /// Its memory.
    pub mapping: Mapping,
    /// The process whose image made it.
    pub identity: Identity,
    /// Tells when nobody can write to it any more, of processes whose deaths nobody else may tell.
    pub lifeline: Option<Lifeline>,
    /// The pid namespace of its process as that says, where the collector has no number there; else 0.
    pub own_ns: u64,
    /// Descriptors that /proc may still show and that are the sensor's.
    pub own_fds: [i32; 2],
    /// Whether another collector read it before, and died.
    pub is_inherited: bool,
}

/// What the drain thread is told.
#[derive(Debug)]
pub enum News {
    /// A ring to read.
    Attached(Box<Attached>),
    /// A program said that it cannot be seen into: who, what program, why.
    Blind(Identity, Vec<u8>, Blind),
    /// More is known of a container: what it was known as, and what it is.
    Renamed(Arc<Container>, Arc<Container>),
    /// The process behind a pidfd is dead: the token that the pidfd was watched with, and when we were told.
    Died(u64, u64),
    /// The launcher started CMD: its pid, and the program.
    Command(u32, Vec<u8>),
    /// The launcher reaped a process.
    Exited(Exited),
    /// Another request is served, and when that was heard (CLOCK_MONOTONIC).
    Turn(Turn, u64),
    /// Deliver what happened so far.
    Settle(Settle),
    /// Everything that has happened has been told: drain, write and end.
    Finish,
    /// The same, once no process is left.
    FinishWhenIdle,
}

/// Which request is served from here on: after the border where there is one, else from when it was heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// This one.
    To(Arc<str>),
    /// None any more.
    ToNone,
    /// The same as before.
    ToTheSame,
}

/// Asks for everything that happened before a moment to be delivered and written.
#[derive(Debug)]
pub struct Settle {
    /// The moment, CLOCK_MONOTONIC.
    pub until_ns: u64,
    /// It is not waited for longer than this.
    pub deadline_ns: u64,
    /// Whether what happens once it is done belongs to the next request, and is held back until [`News::Turn`].
    pub is_border: bool,
    /// When everything had been told that happened before: the drain thread's own note.
    pub told_ns: Option<u64>,
    /// Dropped by everybody who has a part in it when that is done: its receiver is then disconnected.
    pub done_tx: Sender<()>,
}

/// What the drain thread tells the doorman.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// The ring is read to its end and nobody can write to it any more.
    Drop(RingId),
    /// Everything is drained and written.
    Written,
}

/// Watches pidfds for the drain thread: the doorman's epoll instance.
#[derive(Clone, Debug)]
pub struct Deathwatch {
    epoll: Arc<OwnedFd>,
    is_idle: Arc<AtomicBool>,
}

impl Deathwatch {
    /// Watches `pidfd`, once; its death comes as [`News::Died`] with `token`. Closing the descriptor ends it.
    pub fn watch(&self, pidfd: impl AsFd, token: u64) {
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ONESHOT;
        // A pidfd that cannot be watched leaves us with what the parent's wait tells.
        let _ = epoll::add(&*self.epoll, pidfd, epoll::EventData::new_u64(PIDFD | token), flags);
    }

    /// Whether everything that had happened when it was called has been told as [`News`].
    pub fn has_told_all(&self) -> bool {
        // The doorman takes nothing out of the epoll instance while it says that it is idle, so what it has not told
        // yet either is still in there, or it is busy. In this order: what comes between the two looks is newer.
        let is_idle = self.is_idle.load(Ordering::SeqCst);
        let mut polled = [PollFd::new(&*self.epoll, PollFlags::IN)];
        is_idle && matches!(poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(0))
    }
}

/// The way back from the drain thread.
#[derive(Clone, Debug)]
pub struct Reply {
    word_tx: Sender<Word>,
    alarm: Arc<OwnedFd>,
}

impl Reply {
    /// Leaves word for the doorman, who hears it when he is alarmed, or has something else to do.
    pub fn leave(&self, word: Word) {
        // The doorman outlives the drain thread.
        let _ = self.word_tx.send(word);
    }

    /// Makes the doorman hear what was left.
    pub fn alarm(&self) {
        let _ = rustix::io::write(&*self.alarm, &1_u64.to_ne_bytes());
    }
}

const PIDFD: u64 = 1 << 63;
const GUEST: u64 = 1 << 62;
const LISTENER: u64 = 1 << 61;
const LAUNCHER: u64 = 1;
const STOP: u64 = 2;
const ALARM: u64 = 3;

/// Connections that have not said hello yet; the oldest makes way for one more.
const MOST_GUESTS: usize = 256;
/// Different complaints about hellos that are printed.
const MOST_COMPLAINTS: u32 = 8;
/// How often parked rings are looked at.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 5_000_000 };

/// The doorman's own.
#[derive(Debug)]
pub struct Doorman {
    epoll: Arc<OwnedFd>,
    /// Nothing has been taken out of `epoll` that was not told.
    is_idle: Arc<AtomicBool>,
    listeners: Vec<OwnedFd>,
    guests: VecDeque<(u64, OwnedFd)>,
    next_guest: u64,
    launcher: Option<CollectorEnd>,
    launcher_wants_room: bool,
    stop: Option<StopSignals>,
    news_tx: Sender<News>,
    doorbell: Arc<Doorbell>,
    word_rx: Receiver<Word>,
    reply: Reply,
    next_ring: RingId,
    complaints: u32,
    is_finishing: bool,
    rush: Rush,
    containers: Containers,
    /// In the order of their hellos.
    parked: Vec<Parked>,
    /// A metadata URI was not asked, and that was said.
    has_refused: bool,
    /// Nobody is parked any more: the drain thread ends as soon as it knows of no process.
    is_hasty: bool,
}

/// Children of known programs that come one after the other, as from a shell or a build.
///
/// Each connection would wake the doorman, and the waking costs the connecting program more than connecting: so in a rush
/// the doorman lets them gather for a moment. Whoever came and went meanwhile is known from the socket and the ring; what
/// only /proc knows of a process (who started it and with which descriptors) its parent has told, or there is no rush.
#[derive(Debug)]
struct Rush {
    /// Who has said hello.
    known: FxHashSet<u32>,
    /// Known programs' children came last, and before that.
    last: Option<Instant>,
    before: Option<Instant>,
    is_possible: bool,
}

/// How long those who come gather; far below the time in which an alert is due.
const RUSH_NAP: Duration = Duration::from_millis(2);
/// Two that come within this are a rush.
const RUSH_GAP: Duration = Duration::from_millis(5);
/// Pids remembered; more are forgotten together, which costs a few wakes.
const MOST_KNOWN: usize = 4096;

impl Rush {
    fn new() -> Self {
        let is_possible = kernel::tells_of_the_reaped();
        Self { known: FxHashSet::default(), last: None, before: None, is_possible }
    }

    fn note(&mut self, identity: &Identity) {
        if !self.is_possible || identity.pid_ns.is_some() {
            return;
        }
        if identity.ppid.is_some_and(|ppid| self.known.contains(&ppid)) {
            self.before = self.last.replace(Instant::now());
        }
        if self.known.len() >= MOST_KNOWN {
            self.known.clear();
        }
        self.known.insert(identity.pid);
    }

    fn is_on(&self) -> bool {
        let (Some(last), Some(before)) = (self.last, self.before) else { return false };
        last.duration_since(before) < RUSH_GAP && last.elapsed() < RUSH_GAP
    }
}

/// A ring that waits for the names of a container: its process's, or that of a process before it.
#[derive(Debug)]
struct Parked {
    key: Key,
    attached: Box<Attached>,
}

impl Doorman {
    /// A doorman at these doors, who asks `authority` for the names of containers.
    pub fn new(
        listeners: Vec<OwnedFd>,
        launcher: Option<CollectorEnd>,
        stop: Option<StopSignals>,
        authority: Authority,
        news_tx: Sender<News>,
        doorbell: Arc<Doorbell>,
    ) -> Result<Self, Failure> {
        let fault = |error: Errno| {
            Failure::internal(format!("cannot wait for sensors: {error}; raise the limit of open files"))
        };
        let epoll = Arc::new(epoll::create(epoll::CreateFlags::CLOEXEC).map_err(fault)?);
        let alarm = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(fault)?;
        let alarm = Arc::new(alarm);
        let containers = Containers::new(authority, Arc::clone(&alarm));
        let (word_tx, word_rx) = crossbeam_channel::unbounded();
        let watch = |fd: &dyn AsFd, token: u64| {
            let data = epoll::EventData::new_u64(token);
            epoll::add(&*epoll, fd.as_fd(), data, epoll::EventFlags::IN).map_err(fault)
        };
        for (index, listener) in listeners.iter().enumerate() {
            watch(listener, LISTENER | index as u64)?;
        }
        if let Some(launcher) = &launcher {
            watch(launcher, LAUNCHER)?;
        }
        if let Some(stop) = &stop {
            watch(stop, STOP)?;
        }
        watch(&alarm, ALARM)?;
        Ok(Self {
            epoll,
            is_idle: Arc::new(AtomicBool::new(false)),
            listeners,
            guests: VecDeque::new(),
            next_guest: 0,
            launcher,
            launcher_wants_room: false,
            stop,
            news_tx,
            doorbell,
            word_rx,
            reply: Reply { word_tx, alarm },
            next_ring: 0,
            complaints: 0,
            is_finishing: false,
            rush: Rush::new(),
            containers,
            parked: Vec::new(),
            has_refused: false,
            is_hasty: false,
        })
    }

    /// For watching pidfds.
    pub fn deathwatch(&self) -> Deathwatch {
        Deathwatch { epoll: Arc::clone(&self.epoll), is_idle: Arc::clone(&self.is_idle) }
    }

    /// For answering.
    pub fn reply(&self) -> Reply {
        self.reply.clone()
    }

    /// Says [`ToLauncher::Ready`]; false when the launcher is gone.
    pub fn say_ready(&mut self) -> bool {
        match &mut self.launcher {
            Some(launcher) => launcher.send(&ToLauncher::Ready, None).is_ok(),
            None => true,
        }
    }

    fn tell(&self, news: News) {
        // The drain thread is joined after the last news.
        let _ = self.news_tx.send(news);
        self.doorbell.ring();
    }

    /// Takes over the rings of a collector that died.
    pub fn take_over(&mut self, rings: Vec<KeptRing>) {
        for KeptRing { id, blob, memfd } in rings {
            self.next_ring = self.next_ring.max(id + 1);
            match Mapping::of(memfd) {
                Ok(mapping) => {
                    let born_ns = mapping.mapped().slot(0).born_ns.load(Ordering::Relaxed);
                    let note = Note::decode(&blob).unwrap_or_default();
                    let mut identity = note.identity(born_ns);
                    identity.claim = self.claim(&identity, &note.uri).map(|(_, claim)| claim);
                    self.tell(News::Attached(Box::new(Attached {
                        id,
                        mapping,
                        identity,
                        lifeline: None,
                        own_ns: 0,
                        own_fds: [-1; 2],
                        is_inherited: true,
                    })));
                }
                Err(refusal) => self.complain(&format!("cannot take over a ring: {}", refusal.reason())),
            }
        }
    }

    /// Serves until everything is drained.
    pub fn serve(&mut self) {
        let mut events = Vec::with_capacity(1024);
        loop {
            // While the sinks catch up, the launcher wants to hear that we live.
            let timeout = match self.is_finishing {
                true => Some(Timespec { tv_sec: 1, tv_nsec: 0 }),
                false => (!self.parked.is_empty()).then_some(LOOK),
            };
            self.say_idle();
            let polled = poll(&mut [PollFd::new(&*self.epoll, PollFlags::IN)], timeout.as_ref());
            self.is_idle.store(false, Ordering::SeqCst);
            match polled {
                Ok(0) => self.say_working(),
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => {
                    say(&format!("cannot wait for sensors: {error}; what is there will be written"));
                    self.finish();
                }
            }
            events.clear();
            let now = Timespec { tv_sec: 0, tv_nsec: 0 };
            // Nothing but EINTR can go wrong with what was polled.
            let _ = epoll::wait(&*self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&now));
            let mut deaths = Vec::new();
            let mut launcher_spoke = false;
            for event in &events {
                match event.data.u64() {
                    token if token & PIDFD != 0 => deaths.push(token & !PIDFD),
                    token if token & GUEST != 0 => self.hear_guest(token),
                    // Before deaths and the launcher's words, which are told below: who died or was reaped may have
                    // said hello just before, and whoever had is here.
                    token if token & LISTENER != 0 => self.let_in((token & !LISTENER) as usize),
                    LAUNCHER => launcher_spoke = true,
                    STOP => {
                        if self.stop.as_mut().is_some_and(StopSignals::was_asked) {
                            self.finish();
                        }
                    }
                    _ => {
                        let _ = rustix::io::read(&*self.reply.alarm, &mut [0; 8]);
                    }
                }
            }
            let now = crate::clock::now_ns();
            for token in deaths {
                self.tell(News::Died(token, now));
            }
            self.hear_containers();
            if launcher_spoke {
                self.hear_launcher();
            }
            if self.hear_drain() {
                return;
            }
            if self.rush.is_on() && !self.is_finishing {
                self.say_idle();
                std::thread::sleep(RUSH_NAP);
            }
        }
    }

    /// Says that from here on nothing is taken out of `epoll`. Who is parked has not been told of, though.
    fn say_idle(&self) {
        self.is_idle.store(self.parked.is_empty(), Ordering::SeqCst);
    }

    /// Ends the launcher's wait: everything is written. `patience` bounds the time that it may take to say so.
    pub fn flush(&mut self, patience: Duration) {
        let begun = Instant::now();
        while let Some(launcher) = &mut self.launcher
            && launcher.flush().is_ok()
            && launcher.has_unsent()
            && begun.elapsed() < patience
        {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Tells the launcher that there is still something to write.
    pub fn say_working(&mut self) {
        if let Some(launcher) = &mut self.launcher {
            let _ = launcher.send(&ToLauncher::Working, None);
        }
    }

    fn hear_launcher(&mut self) {
        while let Some(launcher) = &mut self.launcher {
            if self.launcher_wants_room && launcher.flush().is_ok() && !launcher.has_unsent() {
                self.launcher_wants_room = false;
                let data = epoll::EventData::new_u64(LAUNCHER);
                let _ = epoll::modify(&*self.epoll, &*launcher, data, epoll::EventFlags::IN);
                continue;
            }
            match launcher.receive() {
                Received::Nothing => return,
                Received::Closed => {
                    // Nobody is left to talk to, and the descriptor would be readable for ever.
                    let _ = epoll::delete(&*self.epoll, &*launcher);
                    self.launcher = None;
                    self.finish();
                    return;
                }
                Received::Message(message, _) => match message {
                    ToCollector::Exited(exited) => self.tell(News::Exited(exited)),
                    ToCollector::CommandStarted { pid, path } => {
                        self.tell(News::Command(pid.cast_unsigned(), path));
                    }
                    ToCollector::Finish => self.finish(),
                    ToCollector::FinishWhenIdle => {
                        self.is_hasty = true;
                        self.wait_for_parked();
                        self.tell(News::FinishWhenIdle);
                    }
                    ToCollector::Ring { .. } | ToCollector::Handover | ToCollector::CommandFailed { .. } => {}
                },
            }
        }
    }

    /// Hears everything that has happened so far, then tells the drain thread to come to an end.
    pub fn finish(&mut self) {
        if self.is_finishing {
            return;
        }
        self.is_finishing = true;
        self.let_all_in();
        let tokens: Vec<u64> = self.guests.iter().map(|(token, _)| *token).collect();
        for token in tokens {
            self.hear_guest(token);
        }
        self.wait_for_parked();
        // Deaths that epoll has not reported yet are looked for by the drain thread itself.
        self.tell(News::Finish);
    }

    /// True when the drain thread has done its last.
    fn hear_drain(&mut self) -> bool {
        let mut is_written = false;
        while let Ok(word) = self.word_rx.try_recv() {
            match word {
                Word::Drop(id) => self.tell_launcher(&ToLauncher::Drop { id }, None),
                Word::Written => is_written = true,
            }
        }
        is_written
    }

    fn tell_launcher(&mut self, message: &ToLauncher, memfd: Option<&OwnedFd>) {
        let Some(launcher) = &mut self.launcher else { return };
        // A launcher that is gone is noticed when its end is read.
        let _ = launcher.send(message, memfd.map(AsFd::as_fd));
        if launcher.has_unsent() && !self.launcher_wants_room {
            self.launcher_wants_room = true;
            let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT;
            let _ = epoll::modify(&*self.epoll, &*launcher, epoll::EventData::new_u64(LAUNCHER), flags);
        }
    }

    fn let_all_in(&mut self) {
        for index in 0..self.listeners.len() {
            self.let_in(index);
        }
    }

    /// Accepts everybody who waits at a listener.
    fn let_in(&mut self, index: usize) {
        while let Some(listener) = self.listeners.get(index) {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            match accept_with(listener, flags) {
                Ok(guest) => self.greet(guest),
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(Errno::AGAIN) => break,
                Err(error) => {
                    // Out of descriptors or memory: those who wait would be announced without end.
                    self.complain(&format!("cannot let a sensor in: {error}; raise the limit of open files"));
                    std::thread::sleep(Duration::from_millis(20));
                    break;
                }
            }
        }
    }

    /// Hears a new guest at once if it has spoken, as sensors do right after connecting; else waits for it.
    fn greet(&mut self, guest: OwnedFd) {
        if self.hear(&guest) {
            return;
        }
        let token = GUEST | self.next_guest;
        self.next_guest += 1;
        let data = epoll::EventData::new_u64(token);
        if epoll::add(&*self.epoll, &guest, data, epoll::EventFlags::IN).is_ok() {
            self.guests.push_back((token, guest));
            if self.guests.len() > MOST_GUESTS {
                self.guests.pop_front();
            }
        }
    }

    fn hear_guest(&mut self, token: u64) {
        let Some(place) = self.guests.iter().position(|(guest, _)| *guest == token) else { return };
        if let Some((_, guest)) = self.guests.remove(place)
            && !self.hear(&guest)
        {
            self.guests.insert(place.min(self.guests.len()), (token, guest));
        }
    }

    /// Reads a guest's only message. False when it has not come yet.
    fn hear(&mut self, guest: &OwnedFd) -> bool {
        let mut message = [0; hello::MAX_LEN];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut slices = [IoSliceMut::new(&mut message)];
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        let received = match recvmsg(guest, &mut slices, &mut control, flags) {
            Ok(received) => received,
            Err(Errno::AGAIN | Errno::INTR) => return false,
            Err(_) => return true,
        };
        let mut memfd = None;
        for ancillary in control.drain() {
            if let RecvAncillaryMessage::ScmRights(mut descriptors) = ancillary {
                memfd = descriptors.next();
            }
        }
        let message = message.get(..received.bytes).unwrap_or_default();
        if message == HEALTH_QUESTION {
            let _ = send(guest, HEALTH_ANSWER, SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
            return true;
        }
        if message.is_empty() {
            return true;
        }
        match Hello::decode(message) {
            Ok(hello) => self.welcome(guest, &hello, memfd),
            Err(_) => {
                self.complain("somebody at the socket is no sensor; nothing is done about it");
            }
        }
        true
    }

    /// In which container a process is, by what it says and by what the kernel shows of it.
    fn claim(&mut self, identity: &Identity, uri: &[u8]) -> Option<(Key, Claim)> {
        let cgroup = identity.pid_ns.is_none().then(|| procfs::cgroup(identity.pid)).flatten();
        let id = cgroup.as_deref().and_then(container::id_of_cgroup).unwrap_or_default();
        // Once: a container's every process says the same, and other complaints are to be heard too.
        if self.containers.is_refused(uri) && !std::mem::replace(&mut self.has_refused, true) {
            self.complain(&format!(
                "process {} names container metadata at '{}', which is not asked; set {} for the collector if it should be",
                identity.pid,
                String::from_utf8_lossy(uri).escape_debug(),
                container::VARIABLE
            ));
        }
        self.containers.find(uri, id)
    }

    /// Keeps a ring from the drain thread for as long as the names of its container are awaited, or a process that it may
    /// go on from is kept. Gives it back where neither is so.
    fn park(&mut self, key: Option<Key>, attached: Box<Attached>) -> Option<Box<Attached>> {
        let before =
            self.parked.iter().rfind(|parked| attached.identity.is_behind(&parked.attached.identity));
        let key = match before {
            Some(parked) => Some(parked.key.clone()),
            None => key.filter(|key| self.containers.awaited_until(key).is_some()),
        };
        match key.filter(|_| !self.is_hasty && !self.is_finishing) {
            Some(key) => {
                self.parked.push(Parked { key, attached });
                None
            }
            None => Some(attached),
        }
    }

    /// Passes on what became known of containers, and the rings that need not wait any longer.
    fn hear_containers(&mut self) {
        for (before, after) in self.containers.hear() {
            for Parked { attached, .. } in &mut self.parked {
                if let Some(claim) = &mut attached.identity.claim
                    && Arc::ptr_eq(&claim.container, &before)
                {
                    claim.container = Arc::clone(&after);
                }
            }
            self.tell(News::Renamed(before, after));
        }
        let mut due: Vec<Key> = Vec::new();
        for Parked { key, attached } in &self.parked {
            // What does not fit any more would be lost, which is worse than a name that comes late.
            let is_due = || self.containers.awaited_until(key).is_none() || attached.mapping.is_half_full();
            if !due.contains(key) && is_due() {
                due.push(key.clone());
            }
        }
        if !due.is_empty() {
            let (due, kept) = self.parked.drain(..).partition(|parked| due.contains(&parked.key));
            self.parked = kept;
            self.release(due);
        }
    }

    fn release(&mut self, parked: Vec<Parked>) {
        for Parked { attached, .. } in parked {
            self.tell(News::Attached(attached));
        }
    }

    /// Waits for the names that are still awaited, as long as they would have been anyway; then nobody is parked.
    fn wait_for_parked(&mut self) {
        while !self.parked.is_empty() {
            let _ = poll(&mut [PollFd::new(&*self.reply.alarm, PollFlags::IN)], Some(&LOOK));
            let _ = rustix::io::read(&*self.reply.alarm, &mut [0; 8]);
            self.hear_containers();
        }
    }

    fn welcome(&mut self, guest: &OwnedFd, hello: &Hello<'_>, memfd: Option<OwnedFd>) {
        let mut identity = identify(guest, hello);
        let is_known = hello.version == wire::VERSION
            && hello.events == wire::FINGERPRINT
            && hello.calls == hook_table::FINGERPRINT;
        if !is_known {
            self.complain(&format!(
                "process {} brings a sensor of another version and is not seen; give it the libglassbox.so of this \
                 glassbox",
                identity.pid
            ));
            return;
        }
        let (key, claim) = self.claim(&identity, hello.container).unzip();
        identity.claim = claim;
        if let Some(blind) = Blind::from_byte(hello.blind) {
            self.tell(News::Blind(identity, hello.exe.to_vec(), blind));
            return;
        }
        let Some(memfd) = memfd else {
            self.complain(&format!("process {} sent no ring and is not seen", identity.pid));
            return;
        };
        let kept = self.launcher.as_ref().and_then(|_| memfd.try_clone().ok());
        let mapped = match hello.pid_ns {
            0 => Mapping::of(&memfd).map(|mapping| (mapping, None)),
            _ => Mapping::apart_of(memfd),
        };
        match mapped {
            Ok((mapping, lifeline)) => {
                self.rush.note(&identity);
                // At once, since a short-lived program is gone soon. Not every sensor says it itself.
                let exe = identity.pid_ns.is_none().then(|| procfs::exe(identity.pid)).flatten();
                let identity = Identity { exe: exe.unwrap_or_default(), ..identity };
                let id = self.next_ring;
                self.next_ring += 1;
                let blob = Note::of(&identity, hello.container).encode();
                self.tell_launcher(&ToLauncher::Keep { id, blob }, kept.as_ref());
                let attached = Box::new(Attached {
                    id,
                    mapping,
                    identity,
                    lifeline,
                    own_ns: hello.pid_ns,
                    own_fds: hello.own_fds,
                    is_inherited: false,
                });
                if let Some(attached) = self.park(key, attached) {
                    self.tell(News::Attached(attached));
                }
            }
            Err(refusal) => {
                self.complain(&format!(
                    "process {} sent something else than a ring ({}) and is not seen",
                    identity.pid,
                    refusal.reason()
                ));
            }
        }
    }

    /// Prints one line, but not without end.
    fn complain(&mut self, line: &str) {
        self.complaints += 1;
        if self.complaints <= MOST_COMPLAINTS {
            say(line);
        }
        if self.complaints == MOST_COMPLAINTS {
            say("further complaints of this kind are not printed");
        }
    }
}

/// Who a guest is: what the kernel says, and only where it cannot tell, the guest.
fn identify(guest: &OwnedFd, hello: &Hello<'_>) -> Identity {
    let peer = kernel::peer(guest).ok();
    let uid = peer.map(|peer| peer.uid);
    let pidfd = kernel::peer_pidfd(guest).ok();
    match peer.map(|peer| peer.pid).filter(|pid| *pid != 0) {
        Some(pid) => {
            // With the same number on both sides the namespaces are taken for one: then the parent's number is ours.
            let ppid =
                if hello.pid == pid { Some(hello.ppid) } else { procfs::stat(pid).map(|stat| stat.ppid) };
            let pidfd = pidfd.or_else(|| procfs::open(pid));
            Identity { pid, own_pid: hello.pid, ppid, uid, pidfd, ..Identity::default() }
        }
        None => {
            // Where the kernel cannot say (before 6.11, and of a process that is dead by now), the process can.
            let pid_ns = Some(pidfd.as_ref().and_then(kernel::pid_namespace).unwrap_or(hello.pid_ns));
            let (pid, ppid) = (hello.pid, Some(hello.ppid));
            Identity { pid, own_pid: pid, ppid, uid, pid_ns, pidfd, ..Identity::default() }
        }
    }
}

/// What the next collector must know of a ring: the blob that the launcher keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Note {
    pid: u32,
    own_pid: u32,
    ppid: Option<u32>,
    uid: Option<u32>,
    pid_ns: Option<u64>,
    /// Of its container's metadata.
    uri: Vec<u8>,
}

impl Note {
    /// Bytes of the numbers; the URI follows.
    const NUMBERS: usize = 5 * 8;

    fn of(identity: &Identity, uri: &[u8]) -> Self {
        Self {
            pid: identity.pid,
            own_pid: identity.own_pid,
            ppid: identity.ppid,
            uid: identity.uid,
            pid_ns: identity.pid_ns,
            uri: uri.to_vec(),
        }
    }

    fn encode(self) -> Vec<u8> {
        let or_none = |value: Option<u32>| value.map_or(u64::MAX, u64::from);
        [
            u64::from(self.pid),
            u64::from(self.own_pid),
            or_none(self.ppid),
            or_none(self.uid),
            self.pid_ns.unwrap_or(u64::MAX),
        ]
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .chain(self.uri)
        .collect()
    }

    fn decode(blob: &[u8]) -> Option<Self> {
        let (numbers, uri) = blob.split_at_checked(Self::NUMBERS)?;
        let words: Vec<u64> = numbers
            .chunks_exact(8)
            .filter_map(|word| Some(u64::from_le_bytes(*word.first_chunk()?)))
            .collect();
        let &[pid, own_pid, ppid, uid, pid_ns] = words.as_slice() else { return None };
        Some(Self {
            pid: u32::try_from(pid).ok()?,
            own_pid: u32::try_from(own_pid).ok()?,
            ppid: u32::try_from(ppid).ok(),
            uid: u32::try_from(uid).ok(),
            pid_ns: (pid_ns != u64::MAX).then_some(pid_ns),
            uri: uri.to_vec(),
        })
    }

    /// The process, with a pidfd if it still is the one that made a ring at `born_ns` (CLOCK_MONOTONIC): one that got
    /// its number later has started later.
    fn identity(&self, born_ns: u64) -> Identity {
        let mut identity = Identity {
            pid: self.pid,
            own_pid: self.own_pid,
            ppid: self.ppid,
            uid: self.uid,
            pid_ns: self.pid_ns,
            ..Identity::default()
        };
        if self.pid_ns.is_none() {
            // Opened before the check, so that the number cannot be given away in between.
            let pidfd = procfs::open(self.pid);
            if procfs::started_ns(self.pid).is_some_and(|started_ns| started_ns <= born_ns + TICK_NS) {
                identity.pidfd = pidfd;
                identity.exe = procfs::exe(self.pid).unwrap_or_default();
            }
        }
        identity
    }
}

/// The start of a process is known to the tick, of which there are 100 a second or more.
const TICK_NS: u64 = 10_000_000;

#[cfg(test)]
mod tests {
    use std::io::IoSlice;

    use rustix::fs::{MemfdFlags, memfd_create};
    use rustix::net::{
        AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SocketAddrUnix, SocketType, bind, connect,
        listen, recv, sendmsg, socket_with,
    };

    use super::*;
    use crate::drain::simulated::Sensor;
    use crate::launch::channel::{LauncherEnd, pair};
    use wire::ring::Memory;
    use wire::ring::layout::MIN_DATA_LEN;

    struct Door {
        doorman: Doorman,
        news_rx: Receiver<News>,
        address: SocketAddrUnix,
    }

    fn door(launcher: Option<CollectorEnd>) -> Door {
        door_asking(launcher, Authority::default())
    }

    fn door_asking(launcher: Option<CollectorEnd>, authority: Authority) -> Door {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("glassbox-attach-{}-{number}", std::process::id());
        let address = SocketAddrUnix::new_abstract_name(name.as_bytes()).unwrap();
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let listener = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
        bind(&listener, &address).unwrap();
        listen(&listener, 64).unwrap();
        let (news_tx, news_rx) = crossbeam_channel::unbounded();
        let doorman =
            Doorman::new(vec![listener], launcher, None, authority, news_tx, Arc::default()).unwrap();
        Door { doorman, news_rx, address }
    }

    impl Door {
        fn knock(&self, message: &[u8], descriptor: Option<&OwnedFd>) -> OwnedFd {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
            connect(&socket, &self.address).unwrap();
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            let descriptors: Vec<_> = descriptor.iter().map(|descriptor| descriptor.as_fd()).collect();
            if !descriptors.is_empty() {
                control.push(SendAncillaryMessage::ScmRights(&descriptors));
            }
            sendmsg(&socket, &[IoSlice::new(message)], &mut control, SendFlags::NOSIGNAL).unwrap();
            socket
        }

        fn news(&mut self) -> Vec<News> {
            self.doorman.let_all_in();
            self.news_rx.try_iter().collect()
        }
    }

    fn hello() -> Hello<'static> {
        Hello {
            magic: hello::MAGIC,
            version: wire::VERSION,
            events: wire::FINGERPRINT,
            calls: hook_table::FINGERPRINT,
            pid: 999_999,
            ppid: 1,
            slot: 0,
            own_fds: [-1; 2],
            blind: 0,
            exe: b"",
            pid_ns: 0,
            container: b"",
        }
    }

    fn packet(hello: &Hello<'_>) -> Vec<u8> {
        let mut buffer = vec![0; hello::MAX_LEN];
        let len = hello.encode(&mut buffer);
        buffer.truncate(len);
        buffer
    }

    #[test]
    fn ring_is_with_the_launcher_before_it_is_read_and_the_kernels_pid_counts() {
        let (one, other) = pair().unwrap();
        let mut door = door(Some(CollectorEnd::new(other)));
        let sensor = Sensor::new(999_999, MIN_DATA_LEN);

        door.knock(&packet(&hello()), Some(&sensor.memfd));
        let news = door.news();

        let [News::Attached(attached)] = news.as_slice() else { panic!("{news:?}") };
        assert_eq!(std::process::id(), attached.identity.pid);
        assert_eq!(999_999, attached.identity.own_pid);
        assert!(attached.identity.pidfd.is_some());
        let kept = LauncherEnd::new(one).receive();
        let Received::Message(ToLauncher::Keep { id, blob }, Some(memfd)) = kept else { panic!("{kept:?}") };
        assert_eq!(attached.id, id);
        assert!(Mapping::of(memfd).is_ok());
        let identity = Note::decode(&blob).unwrap().identity(crate::clock::now_ns());
        assert_eq!((std::process::id(), 999_999), (identity.pid, identity.own_pid));
        assert!(identity.pidfd.is_some());
    }

    #[test]
    fn blind_program_and_health_question_are_heard() {
        let mut door = door(None);
        door.knock(&packet(&Hello { blind: Blind::FdLimit as u8, exe: b"/bin/tiny", ..hello() }), None);
        let asker = door.knock(HEALTH_QUESTION, None);

        let news = door.news();

        assert!(
            matches!(news.as_slice(), [News::Blind(_, exe, Blind::FdLimit)] if exe == b"/bin/tiny"),
            "{news:?}"
        );
        let mut answer = [0; 16];
        let (len, _) = recv(&asker, &mut answer, RecvFlags::DONTWAIT).unwrap();
        assert_eq!(HEALTH_ANSWER, &answer[..len]);
    }

    #[test]
    fn strangers_are_turned_away() {
        let mut door = door(None);
        let memfd = memfd_create("x", MemfdFlags::CLOEXEC).unwrap();
        let good = packet(&hello());
        for message in [
            packet(&Hello { version: wire::VERSION + 1, ..hello() }),
            packet(&Hello { events: 1, ..hello() }),
            packet(&Hello { calls: 1, ..hello() }),
            packet(&Hello { magic: 1, ..hello() }),
            good.clone(),
            good[..good.len() - 1].to_vec(),
            vec![0xff; hello::MAX_LEN + 100],
            b"x".to_vec(),
        ] {
            door.knock(&message, Some(&memfd));
        }
        door.knock(&good, None);

        assert!(door.news().is_empty());
        assert!(door.doorman.guests.is_empty());
    }

    /// A metadata endpoint that answers once it is told to, and a doorman who asks it.
    fn door_with_endpoint() -> (Door, String, Sender<()>) {
        use std::io::{Read, Write};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (answer_tx, answer_rx) = crossbeam_channel::unbounded();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 1024]);
            if answer_rx.recv().is_ok() {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{\"Name\":\"web\"}");
            }
        });
        let authority = Authority::parse(address.to_string().as_ref()).unwrap();
        let mut door = door_asking(None, authority);
        // Of a busy machine's time; none of it passes where an answer comes.
        door.doorman.containers.patience = Duration::from_secs(2);
        (door, format!("http://{address}/v4/id"), answer_tx)
    }

    fn short_names(news: &[News]) -> Vec<&str> {
        let attached = news.iter().filter_map(|news| match news {
            News::Attached(attached) => Some(attached),
            _ => None,
        });
        attached
            .map(|attached| attached.identity.claim.as_ref().map_or("", |claim| claim.container.short_name()))
            .collect()
    }

    impl Door {
        fn say_hello(&self, uri: &str) -> Sensor {
            let sensor = Sensor::new(1, MIN_DATA_LEN);
            self.knock(&packet(&Hello { container: uri.as_bytes(), ..hello() }), Some(&sensor.memfd));
            sensor
        }

        /// The news once `is_it`, or those of ten seconds.
        fn news_when(&mut self, is_it: impl Fn(&[News]) -> bool) -> Vec<News> {
            let mut news = Vec::new();
            for _ in 0..2000 {
                self.doorman.hear_containers();
                news.extend(self.news());
                if is_it(&news) {
                    break;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            news
        }
    }

    #[test]
    fn two_children_of_known_programs_are_a_rush_and_strangers_or_one_are_none() {
        let identity = |pid, ppid| Identity { pid, ppid: Some(ppid), ..Identity::default() };
        let rush = |processes: &[(u32, u32)]| {
            let mut rush = Rush { is_possible: true, ..Rush::new() };
            processes.iter().for_each(|(pid, ppid)| rush.note(&identity(*pid, *ppid)));
            rush.is_on()
        };

        assert!(rush(&[(7, 1), (8, 7), (9, 8)]));
        assert!(!rush(&[(7, 1), (8, 7)]), "one");
        assert!(!rush(&[(7, 1), (8, 1), (9, 1)]), "of a stranger");
        let mut impossible = Rush { is_possible: false, ..Rush::new() };
        [(7, 1), (8, 7), (9, 7)].iter().for_each(|(pid, ppid)| impossible.note(&identity(*pid, *ppid)));
        assert!(!impossible.is_on());
    }

    #[test]
    fn first_processes_of_a_container_are_told_of_in_order_with_its_name() {
        let (mut door, uri, answer_tx) = door_with_endpoint();
        let _first = door.say_hello(&uri);
        // Its next image, in an emptied environment.
        let _second = door.say_hello("");
        let before = door.news();
        door.doorman.say_idle();
        let is_told = door.doorman.deathwatch().has_told_all();

        answer_tx.send(()).unwrap();
        let after = door.news_when(|news| short_names(news).len() == 2);
        let _third = door.say_hello(&uri);
        let later = door.news();

        assert!(before.is_empty() && !is_told, "{before:?}");
        assert!(matches!(after[0], News::Renamed(..)), "{after:?}");
        assert_eq!((vec!["web", ""], vec!["web"]), (short_names(&after), short_names(&later)));
    }

    #[test]
    fn container_whose_name_does_not_come_is_told_of_by_its_id() {
        let (mut door, uri, _answer_tx) = door_with_endpoint();
        let begun = Instant::now();
        let _sensor = door.say_hello(&uri);

        let news = door.news_when(|news| !news.is_empty());

        let waited = begun.elapsed();
        assert_eq!(vec!["id"], short_names(&news));
        assert!(waited >= door.doorman.containers.patience, "{waited:?}");
    }

    #[test]
    fn ring_that_fills_waits_for_no_name_and_the_end_for_no_longer() {
        let (mut door, uri, _answer_tx) = door_with_endpoint();
        let sensor = door.say_hello(&uri);
        assert!(door.news().is_empty());
        while sensor.ring.tail().load(Ordering::Relaxed) <= MIN_DATA_LEN / 2 {
            sensor.start("/bin/prog", "/");
        }
        door.doorman.hear_containers();
        let when_full = door.news();
        let _other = door.say_hello(&uri);
        assert!(door.news().is_empty());

        door.doorman.finish();
        let at_the_end = door.news();

        assert_eq!(vec!["id"], short_names(&when_full));
        assert!(
            matches!(at_the_end.as_slice(), [News::Attached(_), News::Finish]),
            "told before the end: {at_the_end:?}"
        );
    }

    #[test]
    fn silent_guests_make_way_for_others() {
        let mut door = door(None);
        let mut waiting = Vec::new();
        for _ in 0..MOST_GUESTS + 10 {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
            connect(&socket, &door.address).unwrap();
            waiting.push(socket);
            door.doorman.let_all_in();
        }

        assert_eq!(MOST_GUESTS, door.doorman.guests.len());
        assert!(send(&waiting[0], b"x", SendFlags::NOSIGNAL).is_err());
    }

    #[test]
    fn nothing_is_left_untold_when_the_doorman_says_so() {
        let mut door = door(None);
        let deathwatch = door.doorman.deathwatch();
        door.doorman.is_idle.store(true, Ordering::SeqCst);

        let before = deathwatch.has_told_all();
        let _socket = door.knock(&packet(&hello()), None);
        let knocked = deathwatch.has_told_all();
        door.news();
        let after = deathwatch.has_told_all();

        assert_eq!([true, false, true], [before, knocked, after]);
    }

    #[test]
    fn notes_of_other_collectors_are_checked() {
        let uri = b"http://169.254.170.2/v4/x".to_vec();
        let note = Note { pid: 7, own_pid: 8, ppid: None, uid: Some(0), pid_ns: Some(0), uri };

        assert_eq!(Some(&note), Note::decode(&note.clone().encode()).as_ref());
        assert_eq!(None, Note::decode(&note.clone().encode()[..Note::NUMBERS - 1]));
        assert_eq!(None, Note::decode(&[]));
        assert!(note.identity(0).pidfd.is_none());
    }

    #[test]
    fn number_that_was_given_to_another_process_is_not_believed() {
        let note = Note { pid: std::process::id(), ..Note::default() };

        assert!(note.identity(1).pidfd.is_none());
        assert!(note.identity(crate::clock::now_ns()).pidfd.is_some());
    }
}
