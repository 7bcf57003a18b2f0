//! `glassbox run`: the parent of CMD and of the collector, which holds the application up and so does little.
//!
//! One thread, one poll loop: it makes the sockets, starts the collector (this executable again, with a
//! hidden subcommand), starts CMD once the collector is ready, passes signals on, stops and goes on with
//! CMD, reaps, keeps a duplicate of every ring's memory, starts the collector again when it dies, and ends
//! with CMD's exit status.
//!
//! Whose fault a failure is decides what it costs. Before CMD runs, what the user asked for and cannot be
//! had ends the run (64, 66, 73: a mistyped option, no sensor, an output that cannot be made). Any other
//! failure is ours and must not be the application's: one line says so, and the launcher becomes CMD
//! without the sensor. Once CMD runs, nothing stops it.
//!
//! CMD stays in the launcher's process group and session: the terminal's signals reach it directly and the
//! calling shell's job control works. What follows: CMD is not the leader of that group, and `setsid CMD` does
//! not need to fork. A group of the launcher's own was tried on paper and rejected: a shell continues the job
//! by its group, so a launcher outside of it would sleep for ever after ^Z. Without being PID 1 the launcher is no
//! subreaper: orphans go where they would go without us.

pub mod channel;
pub mod collector;
pub mod command;
mod descriptors;
mod groups;
pub mod protocol;
mod signals;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use self::channel::Received;
use self::collector::Recipe;
use self::command::{Change, FileLimit, Program, Started};
use self::protocol::{Exited, RingId, ToCollector, ToLauncher};
use self::signals::{Signals, Situation};
use crate::failure::{Failure, say};
use crate::outputs::{self, Output};
use crate::socket::{self, Files, Name};
use crate::{environment, procfs, sensor_path};

/// How long messages of the collector may wait while CMD runs. A thousand processes a second leave a hundred messages,
/// which a socket's buffer holds.
const REST: Duration = Duration::from_millis(50);
/// How long a collector may take to say that it is ready.
const READY_PATIENCE: Duration = Duration::from_secs(10);
/// How long a collector may write at the end without a sign of life.
const FINISH_PATIENCE: Duration = Duration::from_secs(60);
/// After this long the user is told what the run is waiting for.
const FINISH_SILENCE: Duration = Duration::from_secs(2);
/// A ^C that ended CMD reaches the launcher too, maybe after CMD's end; it does not mean the writing.
const FINISH_DEAFNESS: Duration = Duration::from_millis(500);
/// A collector that lived for less died quickly.
const QUICK_DEATH: Duration = Duration::from_secs(10);
/// After so many quick deaths in a row there is no next collector.
const QUICK_DEATHS_MAX: u32 = 5;
/// How long CMD may take to go on when its group was sent a SIGCONT.
const CONTINUE_PATIENCE: Duration = Duration::from_millis(20);

/// What to do once CMD has ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ending {
    /// End, whatever still runs.
    WithCommand,
    /// Wait until nothing that the sensor is in runs any more (`--follow`).
    WithDescendants,
}

/// A `glassbox run` command line.
#[derive(Debug)]
pub struct Request {
    /// CMD and its arguments.
    pub command: Vec<OsString>,
    /// Where to write.
    pub outputs: Vec<Output>,
    /// When to end.
    pub ending: Ending,
    /// What the sensor is to load beside itself.
    pub inline: Option<PathBuf>,
}

/// Runs CMD under the sensor with a collector of its own; the result is the exit status.
pub fn run(request: Request) -> Result<u8, Failure> {
    let inherited = descriptors::inherited();
    Output::check_all(&request.outputs)?;
    let sensor = sensor_path::find()?;
    let bare = Program::new(&request.command, environment::spell(std::env::vars_os()))?;
    let limit = FileLimit::raise();
    let without_us = |reason: String, signals: Option<&Signals>| {
        say(&format!("cannot watch CMD: {reason}; running it without the sensor"));
        limit.restore();
        if let Some(signals) = signals {
            signals.restore_mask();
        }
        let error = bare.become_it();
        Err(bare.failure(&error))
    };
    let signals = match Signals::take_over() {
        Ok(signals) => signals,
        Err(error) => return without_us(format!("no signal descriptor ({error})"), None),
    };
    let (listening, stdout) =
        match socket::private().and_then(|socket| Ok((socket, outputs::keep_stdout(&request.outputs)?))) {
            Ok(made) => made,
            Err(error) => return without_us(format!("no socket for the sensor ({error})"), Some(&signals)),
        };
    let socket = listening.name.spelling();
    let mut settings = vec![("GLASSBOX_SOCKET", socket.as_os_str())];
    settings.extend(request.inline.as_ref().map(|engine| ("GLASSBOX_INLINE", engine.as_os_str())));
    let hooked =
        Program::new(&request.command, environment::under_sensor(std::env::vars_os(), &sensor, &settings))?;
    let recipe = Recipe {
        listeners: listening.listeners,
        socket: match listening.name {
            Name::Path(path) => Some(path),
            Name::Abstract(_) => None,
        },
        stdout,
        outputs: request.outputs,
    };
    let mut launcher = Launcher::new(signals, recipe, listening.files);
    match launcher.start_first_collector() {
        Readiness::Ready => {}
        Readiness::Refused(status) => return Ok(status),
        Readiness::Interrupted(signal) => {
            launcher.abandon_collector();
            return Ok(u8::try_from(128 + signal).unwrap_or(255));
        }
        Readiness::Broken(reason) => {
            launcher.abandon_collector();
            drop(launcher.files.take());
            return without_us(reason, Some(&launcher.signals));
        }
    }
    match hooked.start(&launcher.signals, limit) {
        Err(error) => {
            launcher.abandon_collector();
            drop(launcher.files.take());
            without_us(format!("cannot start a process ({error})"), Some(&launcher.signals))
        }
        Ok(Started::NotExecuted(error)) => {
            launcher.tell(ToCollector::CommandFailed { errno: error.raw_os_error().unwrap_or(libc::EIO) });
            launcher.finish(Ending::WithCommand);
            Err(hooked.failure(&error))
        }
        Ok(Started::Running(pid)) => {
            // One that ends at once has no image in /proc any more; and what it was named by may be relative to the current
            // directory, which is left next.
            let image = procfs::exe(pid.cast_unsigned()).filter(|image| !image.is_empty());
            let path = image.or_else(|| hooked.path()).unwrap_or_default();
            descriptors::leave_to_command(&inherited);
            // Once: a collector that follows another cannot know whether it was seen.
            launcher.tell_once(&ToCollector::CommandStarted { pid, path });
            let ended = launcher.accompany(pid);
            launcher.finish(request.ending);
            Ok(command::exit_status(ended.wait_status))
        }
    }
}

/// What came of starting the first collector.
enum Readiness {
    Ready,
    /// It said on stderr what is wrong with what the user asked for, and ended with this status.
    Refused(u8),
    /// It failed by no fault of the user's.
    Broken(String),
    /// A signal asked to end before CMD was started.
    Interrupted(i32),
}

/// The launcher's whole state.
struct Launcher {
    signals: Signals,
    recipe: Recipe,
    files: Option<Files>,
    /// Every ring that a collector reads, with what it said of it.
    kept: BTreeMap<RingId, (Vec<u8>, OwnedFd)>,
    /// What a collector that is started again must hear after the rings.
    told: Vec<ToCollector>,
    collector: Option<Collector>,
    /// When the next collector is due.
    restart_at: Option<Instant>,
    restarts: u32,
    quick_deaths: u32,
    /// CMD, while it runs.
    command: Option<i32>,
    ended: Option<Exited>,
    /// The last sign of life from a collector.
    heard: Instant,
    /// Until when the channel is not listened to: while CMD runs, messages wait in it and are read together.
    resting_until: Option<Instant>,
    is_finishing: bool,
}

/// The collector that runs at the moment.
struct Collector {
    child: collector::Child,
    since: Instant,
    is_ready: bool,
    is_closed: bool,
}

impl Launcher {
    fn new(signals: Signals, recipe: Recipe, files: Files) -> Self {
        Self {
            signals,
            recipe,
            files: Some(files),
            kept: BTreeMap::new(),
            told: Vec::new(),
            collector: None,
            restart_at: None,
            restarts: 0,
            quick_deaths: 0,
            command: None,
            ended: None,
            heard: Instant::now(),
            resting_until: None,
            is_finishing: false,
        }
    }

    /// Starts the collector and waits until it is ready, for a bounded time.
    fn start_first_collector(&mut self) -> Readiness {
        if let Err(error) = self.start_collector() {
            return Readiness::Broken(format!("cannot start the collector ({error})"));
        }
        let deadline = Instant::now() + READY_PATIENCE;
        loop {
            self.wait(Some(deadline));
            self.hear_collector();
            if self.collector.as_ref().is_some_and(|collector| collector.is_ready) {
                return Readiness::Ready;
            }
            while let Some(change) = command::next_change() {
                let Change::Ended(ended) = change else { continue };
                if self.collector.as_ref().is_some_and(|collector| collector.child.pid == ended.pid) {
                    self.collector = None;
                    return match command::exit_status(ended.wait_status) {
                        status @ (64..=66 | 73) => Readiness::Refused(status),
                        _ => Readiness::Broken(format!("the collector {}", end_of(ended.wait_status))),
                    };
                }
            }
            while let Some(signal) = self.signals.next() {
                if signal.ends_by_default() {
                    return Readiness::Interrupted(signal.number);
                }
                if signal.is_terminal_stop() {
                    self.signals.stop_self(signal.number);
                }
            }
            if Instant::now() >= deadline {
                return Readiness::Broken(format!(
                    "the collector is not ready after {} s",
                    READY_PATIENCE.as_secs()
                ));
            }
        }
    }

    /// Starts a collector and hands it everything that an earlier one left.
    fn start_collector(&mut self) -> std::io::Result<()> {
        let mut child = self.recipe.start(self.restarts)?;
        // Errors mean that it died already, which wait tells.
        for (id, (blob, memfd)) in &self.kept {
            let _ =
                child.channel.send(&ToCollector::Ring { id: *id, blob: blob.clone() }, Some(memfd.as_fd()));
        }
        let _ = child.channel.send(&ToCollector::Handover, None);
        for message in &self.told {
            let _ = child.channel.send(message, None);
        }
        self.collector = Some(Collector { child, since: Instant::now(), is_ready: false, is_closed: false });
        self.heard = Instant::now();
        Ok(())
    }

    /// Tells the collector, and the ones that may follow it.
    fn tell(&mut self, message: ToCollector) {
        self.tell_once(&message);
        self.told.push(message);
    }

    /// Tells the collector that runs now.
    fn tell_once(&mut self, message: &ToCollector) {
        if let Some(collector) = &mut self.collector {
            let _ = collector.child.channel.send(message, None);
        }
    }

    /// Passes signals on, follows stops and keeps the collector up until CMD ends.
    fn accompany(&mut self, pid: i32) -> Exited {
        self.command = Some(pid);
        loop {
            self.wait(None);
            while let Some(signal) = self.signals.next() {
                if signal.is_for_command(Self::situation(signal.sender)) {
                    signal.pass_on(pid);
                }
            }
            self.keep_house();
            if let Some(ended) = self.ended {
                return ended;
            }
        }
    }

    fn situation(sender: i32) -> Situation {
        let own_pid = std::process::id().cast_signed();
        let group = groups::of(0);
        Situation {
            own_pid,
            leads_session: groups::session() == Some(own_pid),
            sender_is_job_member: sender > 0
                && group.is_some_and(|group| signals::is_job_member(sender, own_pid, group)),
        }
    }

    /// Has the collector write everything and waits for its end, or gives up on it.
    fn finish(&mut self, ending: Ending) {
        self.is_finishing = true;
        self.resting_until = None;
        self.tell(match ending {
            Ending::WithCommand => ToCollector::Finish,
            Ending::WithDescendants => ToCollector::FinishWhenIdle,
        });
        let mut is_following = ending == Ending::WithDescendants;
        let mut begun = Instant::now();
        let mut has_told_user = false;
        self.heard = begun;
        while self.collector.is_some() || self.restart_at.is_some() {
            let silence_ends = begun + FINISH_SILENCE;
            let patience_ends = self.heard + FINISH_PATIENCE;
            self.wait(match (is_following, has_told_user) {
                (true, _) => None,
                (false, true) => Some(patience_ends),
                (false, false) => Some(silence_ends.min(patience_ends)),
            });
            self.keep_house();
            while let Some(signal) = self.signals.next() {
                if signal.is_terminal_stop() {
                    self.signals.stop_self(signal.number);
                } else if signal.ends_by_default() && begun.elapsed() > FINISH_DEAFNESS {
                    if !is_following {
                        say("interrupted while writing what was seen; the outputs are incomplete");
                        return self.abandon_collector();
                    }
                    is_following = false;
                    begun = Instant::now();
                    self.heard = begun;
                    self.tell(ToCollector::Finish);
                }
            }
            if is_following {
                continue;
            }
            if self.heard.elapsed() > FINISH_PATIENCE {
                say(&format!(
                    "the collector wrote nothing for {} s and was ended; the outputs are incomplete, check where \
                     they go",
                    FINISH_PATIENCE.as_secs()
                ));
                return self.abandon_collector();
            }
            if begun.elapsed() > FINISH_SILENCE && !has_told_user {
                has_told_user = true;
                if std::io::stderr().is_terminal() {
                    say("CMD has ended; still writing what was seen (interrupt to give up)");
                }
            }
        }
    }

    /// Ends the collector at once, reaps it, and starts no other.
    fn abandon_collector(&mut self) {
        self.restart_at = None;
        let Some(collector) = self.collector.take() else { return };
        signals::send(collector.child.pid, libc::SIGKILL);
        loop {
            match command::next_change() {
                Some(Change::Ended(ended)) if ended.pid == collector.child.pid => return,
                Some(_) => {}
                None => self.wait(Some(Instant::now() + Duration::from_millis(10))),
            }
        }
    }

    /// Sleeps until a signal, a message, the due restart or `deadline`.
    fn wait(&self, deadline: Option<Instant>) {
        let wake = [deadline, self.restart_at, self.resting_until].into_iter().flatten().min();
        let time = wake.map(|wake| {
            let left = wake.saturating_duration_since(Instant::now());
            Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() }
        });
        let mut polled = vec![PollFd::new(&self.signals, PollFlags::IN)];
        if let Some(collector) = self.collector.as_ref().filter(|collector| !collector.is_closed) {
            let channel = &collector.child.channel;
            let mut interest = if self.resting_until.is_none() { PollFlags::IN } else { PollFlags::empty() };
            if channel.has_unsent() {
                interest |= PollFlags::OUT;
            }
            if !interest.is_empty() {
                polled.push(PollFd::new(channel, interest));
            }
        }
        // An interruption (the launcher was stopped and continued) is a wake-up like any other.
        let _ = poll(&mut polled, time.as_ref());
    }

    /// Does whatever a wake-up may be about, other than signals to pass on.
    fn keep_house(&mut self) {
        // Each process that starts and ends gives two messages: listening at once would wake this process as often,
        // beside the application that it waits for.
        if self.resting_until.is_none_or(|until| until <= Instant::now()) {
            let heard = self.heard;
            self.hear_collector();
            let is_busy = self.heard != heard && self.command.is_some() && !self.is_finishing;
            self.resting_until = is_busy.then(|| Instant::now() + REST);
        }
        while let Some(change) = command::next_change() {
            match change {
                Change::Ended(ended) => self.bury(ended),
                Change::Stopped { pid, signal } if self.command == Some(pid) => self.stop_with(pid, signal),
                Change::Stopped { .. } => {}
            }
        }
        if self.restart_at.is_some_and(|at| at <= Instant::now()) {
            self.restart_at = None;
            self.restarts += 1;
            if let Err(error) = self.start_collector() {
                self.count_death(Duration::ZERO, &format!("could not be started ({error})"));
            }
        }
    }

    /// Reads what the collector says and sends it what waits.
    fn hear_collector(&mut self) {
        let Some(collector) = &mut self.collector else { return };
        let _ = collector.child.channel.flush();
        while !collector.is_closed {
            match collector.child.channel.receive() {
                Received::Message(message, descriptor) => {
                    self.heard = Instant::now();
                    match (message, descriptor) {
                        (ToLauncher::Ready, _) => collector.is_ready = true,
                        (ToLauncher::Keep { id, blob }, Some(memfd)) => {
                            self.kept.insert(id, (blob, memfd));
                        }
                        // The descriptor was lost to a limit: this ring dies with its collector.
                        (ToLauncher::Keep { .. }, None) | (ToLauncher::Working, _) => {}
                        (ToLauncher::Drop { id }, _) => {
                            self.kept.remove(&id);
                        }
                    }
                }
                Received::Nothing => break,
                Received::Closed => collector.is_closed = true,
            }
        }
    }

    /// Takes note of a child's end.
    fn bury(&mut self, ended: Exited) {
        if self.collector.as_ref().is_some_and(|collector| collector.child.pid == ended.pid) {
            // What it said before it died counts.
            self.hear_collector();
            let lived = self.collector.take().map_or(Duration::ZERO, |collector| collector.since.elapsed());
            let has_finished = self.is_finishing && libc::WIFEXITED(ended.wait_status);
            if has_finished {
                return;
            }
            // An output that could be made at first and cannot be now; it said so itself, and would again.
            if matches!(command::exit_status(ended.wait_status), 64..=66 | 73) {
                return self.give_up();
            }
            return self.count_death(lived, end_of(ended.wait_status).as_str());
        }
        let is_command = self.command == Some(ended.pid);
        let ended = Exited { is_command, ..ended };
        if is_command {
            self.command = None;
            self.ended = Some(ended);
            self.tell(ToCollector::Exited(ended));
        } else {
            self.tell_once(&ToCollector::Exited(ended));
        }
    }

    /// Plans the next collector after one died, or gives up.
    fn count_death(&mut self, lived: Duration, how: &str) {
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
            "the collector died {QUICK_DEATHS_MAX} times in a row (last it {how}); CMD goes on unwatched, please report \
             this"
        ));
        self.give_up();
    }

    /// Lets CMD go on without a collector.
    fn give_up(&mut self) {
        // New processes find nobody and run as without us; the running ones keep their ring to themselves.
        self.recipe.listeners.clear();
        self.kept.clear();
        self.files = None;
    }

    /// Stops with CMD, so that the calling shell sees its job stop, and goes on when the shell says so.
    fn stop_with(&mut self, pid: i32, signal: i32) {
        let terminal = groups::Terminal::open();
        let own_group = groups::of(0);
        let foreground = terminal.as_ref().and_then(groups::Terminal::foreground);
        let command_group = groups::of(pid).filter(|group| Some(*group) != own_group);
        // CMD made a group of its own and wants the terminal, which the launcher's group has. Without us CMD
        // would have led that group and kept the terminal, so it is given it (sudo does the same).
        if let (Some(terminal), Some(group)) = (&terminal, command_group)
            && matches!(signal, libc::SIGTTIN | libc::SIGTTOU)
            && foreground == own_group
            && terminal.give_to(group)
        {
            signals::send(-group, libc::SIGCONT);
            return;
        }
        // Without a terminal no shell controls this job. Whoever stopped CMD by its pid will continue it by its
        // pid, and nobody would wake us. (A terminal's own stop signals do not stop an orphaned group.)
        if signal == libc::SIGSTOP && terminal.is_none() || command::went_on(pid) {
            return;
        }
        if !self.signals.stop_self(signal) {
            return;
        }
        // The shell gave the terminal to the job's group; CMD's own group had it when it stopped.
        if let (Some(terminal), Some(group)) = (&terminal, command_group)
            && foreground == Some(group)
            && terminal.foreground() == own_group
        {
            terminal.give_to(group);
        }
        // A shell continues the whole group, so CMD most likely goes on by itself; a `kill -CONT` of the
        // launcher alone is passed on.
        let deadline = Instant::now() + CONTINUE_PATIENCE;
        while !command::went_on(pid) {
            if Instant::now() > deadline {
                return signals::send(pid, libc::SIGCONT);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// How a child ended, in words.
fn end_of(wait_status: i32) -> String {
    if libc::WIFSIGNALED(wait_status) {
        format!("was killed by signal {}", libc::WTERMSIG(wait_status))
    } else {
        format!("ended with status {}", command::exit_status(wait_status))
    }
}
