//! The doorman: takes sensors in, learns of deaths, and talks with the launcher.
//!
//! Runs on the collector's main thread, in an epoll loop that sleeps while nothing happens. What it learns goes to the
//! drain thread as [`News`], in an order in which nothing can be misread: a ring is with the launcher before the drain
//! thread reads it, and a process's hello comes before its death.
//!
//! A hello is not trusted where the kernel knows better: pid and uid come from the socket.

use std::collections::VecDeque;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use rustix::event::{EventfdFlags, epoll, eventfd};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, SocketFlags, accept_with, recvmsg, send,
};
use wire::hello::{self, Blind, Hello};

use crate::drain::bells::Doorbell;
use crate::failure::{Failure, say};
use crate::kernel;
use crate::launch::channel::{CollectorEnd, Received};
use crate::launch::protocol::{Exited, RingId, ToCollector, ToLauncher};
use crate::mapping::Mapping;
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
    /// The process behind a pidfd is dead: the token that the pidfd was watched with, and when we were told.
    Died(u64, u64),
    /// The launcher reaped a process.
    Exited(Exited),
    /// Everything that has happened has been told: drain, write and end.
    Finish,
    /// The same, once no process is left.
    FinishWhenIdle,
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
}

impl Deathwatch {
    /// Watches `pidfd`, once; its death comes as [`News::Died`] with `token`. Closing the descriptor ends it.
    pub fn watch(&self, pidfd: impl AsFd, token: u64) {
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ONESHOT;
        // A pidfd that cannot be watched leaves us with what the parent's wait tells.
        let _ = epoll::add(&*self.epoll, pidfd, epoll::EventData::new_u64(PIDFD | token), flags);
    }
}

/// The way back from the drain thread.
#[derive(Clone, Debug)]
pub struct Reply {
    word_tx: Sender<Word>,
    alarm: Arc<OwnedFd>,
}

impl Reply {
    /// Tells the doorman.
    pub fn tell(&self, word: Word) {
        // The doorman outlives the drain thread.
        let _ = self.word_tx.send(word);
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

/// The doorman's own.
#[derive(Debug)]
pub struct Doorman {
    epoll: Arc<OwnedFd>,
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
    refused: u64,
    is_finishing: bool,
}

impl Doorman {
    /// A doorman at these doors.
    pub fn new(
        listeners: Vec<OwnedFd>,
        launcher: Option<CollectorEnd>,
        stop: Option<StopSignals>,
        news_tx: Sender<News>,
        doorbell: Arc<Doorbell>,
    ) -> Result<Self, Failure> {
        let fault = |error: Errno| {
            Failure::internal(format!("cannot wait for sensors: {error}; raise the limit of open files"))
        };
        let epoll = Arc::new(epoll::create(epoll::CreateFlags::CLOEXEC).map_err(fault)?);
        let alarm = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(fault)?;
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
            listeners,
            guests: VecDeque::new(),
            next_guest: 0,
            launcher,
            launcher_wants_room: false,
            stop,
            news_tx,
            doorbell,
            word_rx,
            reply: Reply { word_tx, alarm: Arc::new(alarm) },
            next_ring: 0,
            complaints: 0,
            refused: 0,
            is_finishing: false,
        })
    }

    /// For watching pidfds.
    pub fn deathwatch(&self) -> Deathwatch {
        Deathwatch { epoll: Arc::clone(&self.epoll) }
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
            let identity = Note::decode(&blob).map(Note::identity).unwrap_or_default();
            match Mapping::of(memfd) {
                Ok(mapping) => {
                    self.tell(News::Attached(Box::new(Attached {
                        id,
                        mapping,
                        identity,
                        is_inherited: true,
                    })));
                }
                Err(refusal) => self.complain(&format!("cannot take over a ring: {}", refusal.reason())),
            }
        }
    }

    /// Serves until everything is drained.
    pub fn serve(&mut self) {
        let mut events = Vec::with_capacity(64);
        loop {
            // While the sinks catch up, the launcher wants to hear that we live.
            let timeout = self.is_finishing.then_some(rustix::event::Timespec { tv_sec: 1, tv_nsec: 0 });
            events.clear();
            match epoll::wait(&*self.epoll, rustix::buffer::spare_capacity(&mut events), timeout.as_ref()) {
                Ok(0) => self.say_working(),
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => {
                    say(&format!("cannot wait for sensors: {error}; what is there will be written"));
                    self.finish();
                }
            }
            let mut deaths = Vec::new();
            let mut launcher_spoke = false;
            for event in &events {
                match event.data.u64() {
                    token if token & PIDFD != 0 => deaths.push(token & !PIDFD),
                    token if token & GUEST != 0 => self.hear_guest(token),
                    token if token & LISTENER != 0 => {}
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
            // Before deaths and the launcher's words: who died or was reaped may have said hello just before.
            self.let_in();
            let now = crate::clock::now_ns();
            for token in deaths {
                self.tell(News::Died(token, now));
            }
            if launcher_spoke {
                self.hear_launcher();
            }
            if self.hear_drain() {
                return;
            }
        }
    }

    /// How many programs were turned away because they speak another version.
    pub fn refused(&self) -> u64 {
        self.refused
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
                    ToCollector::Finish => self.finish(),
                    ToCollector::FinishWhenIdle => self.tell(News::FinishWhenIdle),
                    ToCollector::Ring { .. }
                    | ToCollector::Handover
                    | ToCollector::CommandStarted { .. }
                    | ToCollector::CommandFailed { .. } => {}
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
        self.let_in();
        let tokens: Vec<u64> = self.guests.iter().map(|(token, _)| *token).collect();
        for token in tokens {
            self.hear_guest(token);
        }
        // Deaths that epoll has not reported yet are looked for by the drain thread itself.
        self.tell(News::Finish);
    }

    /// True when the drain thread has done its last.
    fn hear_drain(&mut self) -> bool {
        let mut is_written = false;
        while let Ok(word) = self.word_rx.try_recv() {
            match word {
                Word::Drop(id) => self.to_launcher(&ToLauncher::Drop { id }, None),
                Word::Written => is_written = true,
            }
        }
        is_written
    }

    fn to_launcher(&mut self, message: &ToLauncher, memfd: Option<&OwnedFd>) {
        let Some(launcher) = &mut self.launcher else { return };
        // A launcher that is gone is noticed when its end is read.
        let _ = launcher.send(message, memfd.map(AsFd::as_fd));
        if launcher.has_unsent() && !self.launcher_wants_room {
            self.launcher_wants_room = true;
            let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT;
            let _ = epoll::modify(&*self.epoll, &*launcher, epoll::EventData::new_u64(LAUNCHER), flags);
        }
    }

    /// Accepts everybody who waits.
    fn let_in(&mut self) {
        for index in 0..self.listeners.len() {
            loop {
                let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
                match accept_with(&self.listeners[index], flags) {
                    Ok(guest) => self.greet(guest),
                    Err(Errno::INTR | Errno::CONNABORTED) => {}
                    Err(Errno::AGAIN) => break,
                    Err(error) => {
                        // Out of descriptors or memory: those who wait would be announced without end.
                        self.complain(&format!(
                            "cannot let a sensor in: {error}; raise the limit of open files"
                        ));
                        std::thread::sleep(Duration::from_millis(20));
                        break;
                    }
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
                self.refused += 1;
                self.complain("somebody at the socket is no sensor; nothing is done about it");
            }
        }
        true
    }

    fn welcome(&mut self, guest: &OwnedFd, hello: &Hello<'_>, memfd: Option<OwnedFd>) {
        let identity = identify(guest, hello);
        let is_known = hello.version == wire::VERSION
            && hello.events == wire::FINGERPRINT
            && hello.calls == hook_table::FINGERPRINT;
        if !is_known {
            self.refused += 1;
            self.complain(&format!(
                "process {} brings a sensor of another version and is not seen; give it the libglassbox.so of this \
                 glassbox",
                identity.pid
            ));
            return;
        }
        if let Some(blind) = Blind::from_byte(hello.blind) {
            self.tell(News::Blind(identity, hello.exe.to_vec(), blind));
            return;
        }
        let Some(memfd) = memfd else {
            self.refused += 1;
            self.complain(&format!("process {} sent no ring and is not seen", identity.pid));
            return;
        };
        match Mapping::of(&memfd) {
            Ok(mapping) => {
                let id = self.next_ring;
                self.next_ring += 1;
                let blob = Note::of(&identity).encode();
                self.to_launcher(&ToLauncher::Keep { id, blob }, Some(&memfd));
                self.tell(News::Attached(Box::new(Attached { id, mapping, identity, is_inherited: false })));
            }
            Err(refusal) => {
                self.refused += 1;
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
            Identity { pid, own_pid: hello.pid, ppid, uid, pid_ns: None, pidfd }
        }
        None => {
            let pid_ns = Some(pidfd.as_ref().and_then(kernel::pid_namespace).unwrap_or(0));
            Identity { pid: hello.pid, own_pid: hello.pid, ppid: Some(hello.ppid), uid, pid_ns, pidfd }
        }
    }
}

/// What the next collector must know of a ring: the blob that the launcher keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Note {
    pid: u32,
    own_pid: u32,
    ppid: Option<u32>,
    uid: Option<u32>,
    pid_ns: Option<u64>,
    started: u64,
}

impl Note {
    fn of(identity: &Identity) -> Self {
        let stat = if identity.pid_ns.is_none() { procfs::stat(identity.pid) } else { None };
        Self {
            pid: identity.pid,
            own_pid: identity.own_pid,
            ppid: identity.ppid,
            uid: identity.uid,
            pid_ns: identity.pid_ns,
            started: stat.map_or(0, |stat| stat.started),
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
            self.started,
        ]
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .collect()
    }

    fn decode(blob: &[u8]) -> Option<Self> {
        let words: Vec<u64> =
            blob.chunks_exact(8).filter_map(|word| Some(u64::from_le_bytes(*word.first_chunk()?))).collect();
        let &[pid, own_pid, ppid, uid, pid_ns, started] = words.as_slice() else { return None };
        Some(Self {
            pid: u32::try_from(pid).ok()?,
            own_pid: u32::try_from(own_pid).ok()?,
            ppid: u32::try_from(ppid).ok(),
            uid: u32::try_from(uid).ok(),
            pid_ns: (pid_ns != u64::MAX).then_some(pid_ns),
            started,
        })
    }

    /// The process, with a pidfd if it still is the one that the note was made of.
    fn identity(self) -> Identity {
        let mut identity = Identity {
            pid: self.pid,
            own_pid: self.own_pid,
            ppid: self.ppid,
            uid: self.uid,
            pid_ns: self.pid_ns,
            pidfd: None,
        };
        if self.pid_ns.is_none() {
            // Opened before the check, so that the number cannot be given away in between.
            let pidfd = procfs::open(self.pid);
            if procfs::stat(self.pid).is_some_and(|stat| stat.started == self.started) {
                identity.pidfd = pidfd;
            }
        }
        identity
    }
}
