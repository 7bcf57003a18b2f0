//! The door: takes sensors in, learns of deaths, and talks with the launcher.
//!
//! The [`Doorman`] runs on the collector's main thread, in an epoll loop that sleeps while nothing happens.
//! The doorman sends [`News`] to the pipeline's thread. The pipeline never calls the doorman; it leaves
//! [`Word`]s.
//!
//! A hello is not trusted where the kernel knows better: pid and uid come from the socket ([`identity`]). The
//! doorman waits for no peer: what strangers sent is closed by the [`janitor`].

pub mod guests;
pub mod identity;
pub mod janitor;
mod launcher;
pub mod news;
mod proof;
pub mod readers;
mod reception;
mod rush;
mod supervisors;
#[cfg(test)]
mod tests;
mod waiting_room;
pub mod watchers;
mod welcome;
pub mod wires;

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use rustc_hash::FxHashSet;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, epoll, eventfd, poll};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

use crate::allowance::Allowances;
use crate::container::{Authority, Containers};
use crate::event::Asks;
use crate::ids::{ImageId, MonoNs};
use crate::launch::channel::CollectorEnd;
use crate::launch::protocol::{RingId, ToCollector, ToLauncher};
use crate::notify::sightings::Sightings;
use crate::outputs::Output;
use crate::reload::Reloader;
use crate::shell::failure::{Failure, say};
use crate::shell::listeners::Listeners;
use crate::shell::stop::{Asked, StopSignals};
use crate::sinks::Haste;
use crate::system::pulse::Pulses;

use guests::{GUEST, Guests};
use janitor::Janitor;
use launcher::{LAUNCHER, Launcher, Said};
use news::{News, Word};
use readers::Readers;
use rush::{RUSH_NAP, Rush};
use waiting_room::WaitingRoom;
use watchers::{WATCHER, Watchers};
use wires::{Deathwatch, PIDFD, Reply, ToPipeline, Told};

/// Events that are taken out of the epoll instance at once.
const MOST_EVENTS: usize = 1024;

const LISTENER: u64 = 1 << 61;
const STOP: u64 = 2;
const ALARM: u64 = 3;

/// Different complaints about hellos that are printed.
const MOST_COMPLAINTS: u32 = 8;
/// The doorman looks at waiting rings so often.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 5_000_000 };
/// After a signal, the pipeline and the outputs have this time to end by themselves, which they do sooner.
const LAST_PATIENCE: Duration = Duration::from_millis(950);

/// Takes sensors in.
#[derive(Debug)]
pub struct Doorman {
    epoll: Arc<OwnedFd>,
    told: Arc<Told>,
    /// Something that `epoll` announced was left for later.
    has_left_some: bool,
    listeners: Listeners,
    guests: Guests,
    janitor: Janitor,
    launcher: Launcher,
    stop: Option<StopSignals>,
    pipeline: ToPipeline,
    pulses: Arc<Pulses>,
    word_rx: Receiver<Word>,
    reply: Reply,
    next_ring: RingId,
    complaints: u32,
    is_finishing: bool,
    /// When a signal asked for the end.
    is_hurried_since: Option<Instant>,
    rush: Rush,
    containers: Containers,
    waiting_room: WaitingRoom,
    /// A metadata URI was not asked, and the user was told.
    has_refused: bool,
    allowances: Allowances,
    /// Users that had no place for one more ring.
    turned_away: FxHashSet<Option<u32>>,
    /// No ring waits for a name any more: the pipeline ends as soon as it knows of no process.
    is_hasty: bool,
    /// What rules and filters ask of processes beyond their identity.
    pub asks: Asks,
    /// Reads the settings again.
    pub reloader: Option<Reloader>,
    /// Supervisors that are heard: the launcher's, and others.
    pub supervisors: Vec<Sightings>,
    /// CMD could not be executed.
    pub is_without_command: Arc<AtomicBool>,
    /// See [`Self::end_with_readers`].
    pub readers: Option<Readers>,
    watchers: Watchers,
}

/// The limit of open files of this process; 0 for none.
fn most_descriptors() -> usize {
    let limit = getrlimit(Resource::Nofile).current;
    limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or_default()
}

impl Doorman {
    /// A doorman at `listeners`, who asks `authority` for the names of containers.
    pub fn new(
        listeners: Listeners,
        launcher: Option<CollectorEnd>,
        stop: Option<StopSignals>,
        authority: Authority,
        pipeline: ToPipeline,
        pulses: Arc<Pulses>,
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
        let launcher = Launcher::new(launcher, &epoll).map_err(fault)?;
        if let Some(stop) = &stop {
            watch(stop, STOP)?;
        }
        watch(&alarm, ALARM)?;
        Ok(Self {
            epoll,
            told: Arc::default(),
            has_left_some: false,
            listeners,
            guests: Guests::default(),
            janitor: Janitor::default(),
            launcher,
            stop,
            pipeline,
            pulses,
            word_rx,
            reply: Reply::new(word_tx, alarm),
            next_ring: 0,
            complaints: 0,
            is_finishing: false,
            is_hurried_since: None,
            rush: Rush::new(),
            containers,
            waiting_room: WaitingRoom::default(),
            has_refused: false,
            allowances: Allowances::within(most_descriptors()),
            turned_away: FxHashSet::default(),
            is_hasty: false,
            asks: Asks::NONE,
            reloader: None,
            supervisors: Vec::new(),
            is_without_command: Arc::default(),
            readers: None,
            watchers: Watchers::default(),
        })
    }

    /// For watching pidfds.
    pub fn deathwatch(&self) -> Deathwatch {
        Deathwatch::new(Arc::clone(&self.epoll), Arc::clone(&self.told))
    }

    /// For answering.
    pub fn reply(&self) -> Reply {
        self.reply.clone()
    }

    /// Says [`ToLauncher::Ready`]; false when the launcher is gone.
    pub fn say_ready(&mut self) -> bool {
        self.launcher.say_ready()
    }

    /// Says [`ToLauncher::Alerted`].
    pub fn say_alerted(&mut self) {
        self.launcher.say_alerted();
    }

    /// Sends the launcher everything that is unsent, for at most `patience`.
    pub fn flush(&mut self, patience: Duration) {
        self.launcher.flush(patience);
    }

    fn tell(&self, news: News) {
        // The pipeline's thread is joined after the last news.
        let _ = self.pipeline.news_tx.send(news);
        self.pipeline.doorbell.ring();
    }

    /// Serves until everything is drained; false where a signal asked for the end and that took too long.
    pub fn serve(&mut self) -> bool {
        let mut events = Vec::with_capacity(MOST_EVENTS);
        loop {
            // While the sinks catch up, the launcher wants to hear that the collector lives.
            let timeout = match self.is_finishing {
                true if self.is_hurried_since.is_some() => Some(LOOK),
                true => Some(Timespec { tv_sec: 1, tv_nsec: 0 }),
                false => (!self.waiting_room.is_empty()).then_some(LOOK),
            };
            self.say_idle();
            let polled = poll(&mut [PollFd::new(&*self.epoll, PollFlags::IN)], timeout.as_ref());
            self.told.is_all.store(false, Ordering::SeqCst);
            match polled {
                Ok(0) => self.launcher.say_working(),
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => {
                    say(&format!("cannot wait for sensors: {error}; what is there will be written"));
                    self.finish(Haste::Patient);
                }
            }
            events.clear();
            let now = Timespec { tv_sec: 0, tv_nsec: 0 };
            let begun = MonoNs::now();
            // Only EINTR can go wrong after the poll.
            let waited = epoll::wait(&*self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&now));
            self.has_left_some = waited.is_err() || events.len() >= MOST_EVENTS;
            self.answer(&events);
            self.hear_containers();
            self.hear_reloaded();
            self.say_told(begun);
            if events.iter().any(|event| event.data.u64() == LAUNCHER) {
                self.hear_launcher();
            }
            if self.hear_pipeline() {
                return true;
            }
            if self.is_hurried_since.is_some_and(|since| since.elapsed() > LAST_PATIENCE) {
                return false;
            }
            if self.rush.is_on() && !self.is_finishing {
                self.say_idle();
                std::thread::sleep(RUSH_NAP);
            }
        }
    }

    /// Takes in what `events` announce: connections first, then deaths. A process that died may have said
    /// hello just before, and every hello that came before a death is here.
    fn answer(&mut self, events: &[epoll::Event]) {
        let mut deaths = Vec::new();
        for event in events {
            match event.data.u64() {
                token if token & PIDFD != 0 => deaths.push(ImageId::from_token(token & !PIDFD)),
                token if token & GUEST != 0 => self.hear_guest(token),
                token if token & LISTENER != 0 => {
                    self.has_left_some |= self.let_in((token & !LISTENER) as usize);
                }
                token if token & WATCHER != 0 => self.lose_watcher(token),
                LAUNCHER => {}
                stream @ (readers::STDOUT | readers::STDERR) => {
                    self.readers.iter_mut().for_each(|readers| readers.lose(stream));
                    self.end_without_readers();
                }
                STOP => {
                    while let Some(asked) = self.stop.as_mut().and_then(StopSignals::next) {
                        self.hear_signal(asked);
                    }
                }
                _ => {
                    let _ = rustix::io::read(self.reply.alarm_fd(), &mut [0; 8]);
                }
            }
        }
        let now = MonoNs::now();
        for image in deaths {
            self.tell(News::Died(image, now));
        }
    }

    /// Says that nothing is taken out of `epoll` from here on. A ring that waits for a name has not been told
    /// of, though.
    pub fn say_idle(&self) {
        self.told.is_all.store(self.waiting_room.is_empty(), Ordering::SeqCst);
    }

    /// Says that everything has been told that had happened by `begun`, before the last look at `epoll`.
    fn say_told(&self, begun: MonoNs) {
        if !self.has_left_some && self.waiting_room.is_empty() {
            // Release: the news come first.
            self.told.until.store(begun.0, Ordering::Release);
        }
    }

    fn hear_signal(&mut self, asked: Asked) {
        match asked {
            Asked::End => self.finish(Haste::Hurried),
            Asked::Reload => {
                if let Some(reloader) = &self.reloader {
                    let reply = self.reply.clone();
                    reloader.begin(move || reply.alarm());
                }
            }
            Asked::Page => self.tell(News::ShowPage),
        }
    }

    /// Passes on what was read again.
    fn hear_reloaded(&mut self) {
        while let Some(reloaded) = self.reloader.as_ref().and_then(Reloader::take) {
            if let Some((_, asks)) = &reloaded.stages {
                self.asks = *asks;
            }
            self.readers.iter_mut().for_each(|readers| readers.reload(reloaded.open.clone()));
            self.tell(News::Reloaded(Box::new(reloaded)));
            self.end_without_readers();
        }
    }

    /// Ends the session where nothing reads any of its outputs any more.
    fn end_without_readers(&mut self) {
        if self.readers.as_ref().is_some_and(Readers::are_gone) {
            self.finish(Haste::Hurried);
        }
    }

    /// Has the session end with the last reader of `outputs`.
    pub fn end_with_readers(&mut self, outputs: Vec<Output>) {
        self.readers = Some(Readers::watch(&self.epoll, outputs));
    }

    fn hear_launcher(&mut self) {
        while let Some(said) = self.launcher.next() {
            match said {
                Said::Message(ToCollector::Reaped(exited)) => self.tell(News::Exited(exited)),
                Said::Message(ToCollector::CommandStarted(started)) => {
                    self.tell(News::Command(Box::new(started)));
                }
                Said::Message(ToCollector::NotAskedAbout) => self.tell(News::NotAskedAbout),
                Said::Message(ToCollector::Finish) | Said::Gone => self.finish(Haste::Patient),
                Said::Message(ToCollector::FinishWhenIdle) => {
                    self.is_hasty = true;
                    self.empty_waiting_room();
                    self.tell(News::FinishWhenIdle);
                }
                // Release: before the pipeline is told to come to its end.
                Said::Message(ToCollector::CommandFailed { .. }) => {
                    self.is_without_command.store(true, Ordering::Release);
                }
                Said::Message(ToCollector::Ring { .. } | ToCollector::Handover) => {}
            }
        }
    }

    /// Hears everything that has happened so far, then tells the pipeline to come to an end.
    pub fn finish(&mut self, haste: Haste) {
        if self.is_finishing {
            return;
        }
        self.is_finishing = true;
        self.is_hurried_since = (haste == Haste::Hurried).then(Instant::now);
        self.let_all_in();
        for token in self.guests.tokens() {
            self.hear_guest(token);
        }
        match haste {
            Haste::Patient => self.empty_waiting_room(),
            Haste::Hurried => {
                self.waiting_room.drain().for_each(|attached| self.tell(News::Attached(attached)))
            }
        }
        self.supervisors.iter().for_each(Sightings::refuse_more);
        let begun = Instant::now();
        self.supervisors.iter().for_each(|supervisor| supervisor.drain(begun));
        // The pipeline itself looks for deaths that epoll has not reported yet.
        self.tell(News::Finish(haste));
    }

    /// True when the pipeline has done its last.
    fn hear_pipeline(&mut self) -> bool {
        let mut is_written = false;
        while let Ok(word) = self.word_rx.try_recv() {
            match word {
                Word::Drop(id) => self.launcher.send(&ToLauncher::Drop { id }, None),
                Word::Written => is_written = true,
            }
        }
        is_written
    }

    /// Passes on what became known of containers, and the rings that need not wait any longer.
    fn hear_containers(&mut self) {
        for (before, after) in self.containers.take_answers() {
            self.waiting_room.rename(&before, &after);
            self.tell(News::Renamed(before, after));
        }
        for attached in self.waiting_room.due(&self.containers) {
            self.tell(News::Attached(attached));
        }
    }

    /// Waits for the names that are still awaited, as long as their rings would have waited anyway.
    fn empty_waiting_room(&mut self) {
        while !self.waiting_room.is_empty() {
            let _ = poll(&mut [PollFd::new(self.reply.alarm_fd(), PollFlags::IN)], Some(&LOOK));
            let _ = rustix::io::read(self.reply.alarm_fd(), &mut [0; 8]);
            self.hear_containers();
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
