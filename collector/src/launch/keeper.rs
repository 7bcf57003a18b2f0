//! Keeps a collector running for the [`launcher`](super::launcher): starts it, holds what the next one needs,
//! and starts the next one when it dies.
//!
//! Every ring that a collector reads is kept here as a duplicate of its memfd, with a blob that the collector
//! gave. A collector that follows one that died is handed all of them, then the messages that it must not
//! miss.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::PollFlags;

use super::channel::Received;
use super::collector::{Child, Recipe};
use super::command;
use super::protocol::{Reaped, RingId, ToCollector, ToLauncher};
use crate::shell::failure::say;
use crate::shell::socket::Files;

/// A collector that lived for less died quickly.
const QUICK_DEATH: Duration = Duration::from_secs(10);
/// After so many quick deaths in a row there is no next collector.
const QUICK_DEATHS_MAX: u32 = 5;

/// The collector of a run and everything that its successor needs.
pub struct Keeper {
    /// `None` where no collector is to be started.
    recipe: Option<Recipe>,
    files: Option<Files>,
    /// The memfd of every ring that a collector reads, with the blob that the collector gave for it.
    rings: BTreeMap<RingId, (Vec<u8>, OwnedFd)>,
    /// The messages that a successor gets after the rings.
    repeated: Vec<ToCollector>,
    running: Option<Running>,
    restart_at: Option<Instant>,
    restarts: u32,
    quick_deaths: u32,
    /// When a collector last sent a message or was started.
    last_sign: Instant,
    is_alerted: bool,
}

/// The collector that runs now.
struct Running {
    child: Child,
    since: Instant,
    is_ready: bool,
    is_closed: bool,
}

impl Keeper {
    /// A keeper of collectors that are started by `recipe`; it removes `files` at its end.
    pub fn new(recipe: Recipe, files: Files) -> Self {
        Self { recipe: Some(recipe), files: Some(files), ..Self::of_none() }
    }

    /// A keeper of no collector.
    pub fn of_none() -> Self {
        Self {
            recipe: None,
            files: None,
            rings: BTreeMap::new(),
            repeated: Vec::new(),
            running: None,
            restart_at: None,
            restarts: 0,
            quick_deaths: 0,
            last_sign: Instant::now(),
            is_alerted: false,
        }
    }

    /// Starts a collector and hands it everything that an earlier one left.
    pub fn start(&mut self) -> io::Result<()> {
        let Some(recipe) = &mut self.recipe else { return Ok(()) };
        let mut child = recipe.start(self.restarts)?;
        // An error means that the collector has died already, which wait4(2) reports.
        for (id, (blob, memfd)) in &self.rings {
            let ring = ToCollector::Ring { id: *id, blob: blob.clone() };
            let _ = child.channel.send(&ring, Some(memfd.as_fd()));
        }
        let _ = child.channel.send(&ToCollector::Handover, None);
        for message in &self.repeated {
            let _ = child.channel.send(message, None);
        }
        self.running = Some(Running { child, since: Instant::now(), is_ready: false, is_closed: false });
        self.last_sign = Instant::now();
        Ok(())
    }

    /// Tells the collector that no supervisor will speak to it, and starts the next ones without the way.
    pub fn do_without_supervisor(&mut self) {
        if let Some(sightings) = self.recipe.as_mut().and_then(|recipe| recipe.sightings.take()) {
            drop(sightings);
            self.send_once(&ToCollector::NotAskedAbout);
        }
    }

    /// Sends a message to the collector, and to each one that follows it.
    pub fn send(&mut self, message: ToCollector) {
        self.send_once(&message);
        self.repeated.push(message);
    }

    /// Sends a message to the collector that runs now.
    pub fn send_once(&mut self, message: &ToCollector) {
        if let Some(running) = &mut self.running {
            let _ = running.child.channel.send(message, None);
        }
    }

    /// Reads the collector's messages, and sends those that wait for room.
    pub fn receive(&mut self) {
        let Some(running) = &mut self.running else { return };
        let _ = running.child.channel.flush();
        while !running.is_closed {
            match running.child.channel.receive() {
                Received::Message(message, descriptor) => {
                    self.last_sign = Instant::now();
                    match (message, descriptor) {
                        (ToLauncher::Ready, _) => running.is_ready = true,
                        (ToLauncher::Alerted, _) => self.is_alerted = true,
                        (ToLauncher::Keep { id, blob }, Some(memfd)) => {
                            self.rings.insert(id, (blob, memfd));
                        }
                        // The limit of open files took the descriptor: this ring dies with its collector.
                        (ToLauncher::Keep { .. }, None) | (ToLauncher::Working, _) => {}
                        (ToLauncher::Drop { id }, _) => {
                            self.rings.remove(&id);
                        }
                    }
                }
                Received::Nothing => break,
                Received::Closed => running.is_closed = true,
            }
        }
    }

    /// The pid of the collector that runs now.
    pub fn pid(&self) -> Option<i32> {
        self.running.as_ref().map(|running| running.child.pid)
    }

    /// Whether an alert makes the run fail.
    pub fn is_alerted(&self) -> bool {
        self.is_alerted
    }

    /// Whether the collector has opened its outputs.
    pub fn is_ready(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.is_ready)
    }

    /// Whether a collector runs or will be started.
    pub fn is_at_work(&self) -> bool {
        self.running.is_some() || self.restart_at.is_some()
    }

    /// When the next collector is to be started.
    pub fn restart_at(&self) -> Option<Instant> {
        self.restart_at
    }

    /// When a collector last sent a message or was started.
    pub fn last_sign(&self) -> Instant {
        self.last_sign
    }

    /// Counts the silence of the collector from now on.
    pub fn expect_sign_from_now(&mut self) {
        self.last_sign = Instant::now();
    }

    /// The descriptor to poll, and for what; `None` where there is nothing to wait for.
    pub fn interest(&self, is_reading: bool) -> Option<(BorrowedFd<'_>, PollFlags)> {
        let running = self.running.as_ref().filter(|running| !running.is_closed)?;
        let mut flags = if is_reading { PollFlags::IN } else { PollFlags::empty() };
        if running.child.channel.has_unsent() {
            flags |= PollFlags::OUT;
        }
        (!flags.is_empty()).then(|| (running.child.channel.as_fd(), flags))
    }

    /// Forgets the collector that runs now, and starts no other; the result is its pid.
    pub fn abandon(&mut self) -> Option<i32> {
        self.restart_at = None;
        Some(self.running.take()?.child.pid)
    }

    /// Starts the next collector if it is due.
    pub fn restart_if_due(&mut self) {
        if self.restart_at.is_some_and(|at| at <= Instant::now()) {
            self.restart_at = None;
            self.restarts += 1;
            if let Err(error) = self.start() {
                self.count_death(Duration::ZERO, &format!("could not be started ({error})"));
            }
        }
    }

    /// Takes note that the collector died, and plans the next one unless it `was_told_to_finish` and did.
    pub fn note_death(&mut self, ended: Reaped, was_told_to_finish: bool) {
        // Messages that it sent before it died count.
        self.receive();
        let lived = self.running.take().map_or(Duration::ZERO, |running| running.since.elapsed());
        if was_told_to_finish && libc::WIFEXITED(ended.wait_status) {
            return;
        }
        // An output that could be made at first and cannot be made now. The collector has said so on stderr;
        // the next one would say the same.
        if matches!(command::exit_status(ended.wait_status), 64..=66 | 73) {
            return self.give_up();
        }
        self.count_death(lived, &manner(ended.wait_status));
    }

    /// Plans the next collector after one died, or gives up.
    fn count_death(&mut self, lived: Duration, manner: &str) {
        self.quick_deaths = if lived < QUICK_DEATH { self.quick_deaths + 1 } else { 1 };
        if self.quick_deaths < QUICK_DEATHS_MAX {
            let pause = match self.quick_deaths {
                1 => Duration::ZERO,
                deaths => Duration::from_millis(50) * 2_u32.pow(deaths.min(QUICK_DEATHS_MAX)),
            };
            self.restart_at = Some(Instant::now() + pause);
            return;
        }
        say(&format!(
            "the collector died {QUICK_DEATHS_MAX} times in a row (last it {manner}); CMD goes on unwatched, please \
             report this"
        ));
        self.give_up();
    }

    /// Lets CMD go on without a collector.
    fn give_up(&mut self) {
        // New processes find no collector and run bare; running ones keep their ring to themselves.
        if let Some(recipe) = &mut self.recipe {
            recipe.listeners.refuse();
        }
        self.rings.clear();
        self.files = None;
    }
}

/// How a child ended, in words.
pub fn manner(wait_status: i32) -> String {
    if libc::WIFSIGNALED(wait_status) {
        format!("was killed by signal {}", libc::WTERMSIG(wait_status))
    } else {
        format!("ended with status {}", command::exit_status(wait_status))
    }
}
