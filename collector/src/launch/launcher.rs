//! The launcher's loop: waits for signals, messages of the collector and ends of children, and handles each.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::command::{self, Change};
use super::job;
use super::keeper::{self, Keeper};
use super::protocol::{Reaped, ToCollector};
use super::signals::{self, Signals};
use crate::shell::failure::say;

/// How long messages of the collector may wait while CMD runs. A thousand processes a second leave a hundred
/// messages, which a socket's buffer holds.
const REST: Duration = Duration::from_millis(50);
/// How long a collector may take to say that it is ready.
const READY_PATIENCE: Duration = Duration::from_secs(10);
/// How long a collector may write at the end without a message.
const FINISH_PATIENCE: Duration = Duration::from_secs(60);
/// After this long the user is told why the run has not ended yet.
const FINISH_SILENCE: Duration = Duration::from_secs(2);
/// A ^C that ended CMD reaches the launcher too, maybe after CMD's end; it is not meant for the writing.
const FINISH_DEAFNESS: Duration = Duration::from_millis(500);

/// How long a run lasts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RunUntil {
    /// Until CMD ends; descendants that still run are left alone.
    CommandEnds,
    /// Until no process with the sensor in it runs any more (`--follow`).
    DescendantsEnd,
}

/// The result of starting the first collector.
pub enum Readiness {
    /// It has opened its outputs.
    Ready,
    /// It has said on stderr what is wrong with the request, and ended with this status.
    Refused(u8),
    /// It failed, and not by a mistake of the user.
    Broken(String),
    /// A signal asked to end before CMD was started.
    Interrupted(i32),
}

/// The state of the loop.
pub struct Launcher {
    signals: Signals,
    keeper: Keeper,
    /// CMD's pid, while it runs.
    command: Option<i32>,
    /// CMD's wait status, once it has ended.
    wait_status: Option<i32>,
    /// Until then the channel is not read: while CMD runs, messages wait in it and are read together.
    resting_until: Option<Instant>,
    is_finishing: bool,
}

impl Launcher {
    /// A launcher that has started nothing yet.
    pub fn new(signals: Signals, keeper: Keeper) -> Self {
        Self { signals, keeper, command: None, wait_status: None, resting_until: None, is_finishing: false }
    }

    /// The launcher's signals.
    pub fn signals(&self) -> &Signals {
        &self.signals
    }

    /// The way to the collector.
    pub fn keeper(&mut self) -> &mut Keeper {
        &mut self.keeper
    }

    /// Starts the collector, which takes some milliseconds until it is ready.
    pub fn start_first_collector(&mut self) -> Result<(), Readiness> {
        self.keeper
            .start()
            .map_err(|error| Readiness::Broken(format!("cannot start the collector ({error})")))
    }

    /// Waits until the collector is ready, for [`READY_PATIENCE`] at most.
    pub fn wait_for_first_collector(&mut self) -> Readiness {
        let deadline = Instant::now() + READY_PATIENCE;
        loop {
            self.wait(Some(deadline));
            self.keeper.receive();
            if self.keeper.is_ready() {
                return Readiness::Ready;
            }
            while let Some(change) = command::next_change() {
                let Change::Ended(ended) = change else { continue };
                if self.keeper.pid() == Some(ended.pid) {
                    self.keeper.abandon();
                    return match command::exit_status(ended.wait_status) {
                        status @ (64..=66 | 73) => Readiness::Refused(status),
                        _ => {
                            Readiness::Broken(format!("the collector {}", keeper::manner(ended.wait_status)))
                        }
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

    /// Passes signals on, stops with CMD and keeps the collector running until CMD ends; the result is CMD's
    /// wait status.
    pub fn watch(&mut self, pid: i32) -> i32 {
        self.command = Some(pid);
        loop {
            self.wait(None);
            while let Some(signal) = self.signals.next() {
                if signal.is_for_command(job::situation(signal.sender)) {
                    signal.pass_on(pid);
                }
            }
            self.handle_wakeup();
            if let Some(wait_status) = self.wait_status {
                return wait_status;
            }
        }
    }

    /// Has the collector write everything and waits for its end, or gives up on it.
    pub fn finish(&mut self, until: RunUntil) {
        self.is_finishing = true;
        self.resting_until = None;
        let mut is_following = until == RunUntil::DescendantsEnd;
        self.keeper.send(if is_following { ToCollector::FinishWhenIdle } else { ToCollector::Finish });
        let mut begun = Instant::now();
        let mut has_told_user = false;
        self.keeper.expect_sign_from_now();
        while self.keeper.is_at_work() {
            let silence_ends = begun + FINISH_SILENCE;
            let patience_ends = self.keeper.last_sign() + FINISH_PATIENCE;
            self.wait(match (is_following, has_told_user) {
                (true, _) => None,
                (false, true) => Some(patience_ends),
                (false, false) => Some(silence_ends.min(patience_ends)),
            });
            self.handle_wakeup();
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
                    self.keeper.expect_sign_from_now();
                    self.keeper.send(ToCollector::Finish);
                }
            }
            if is_following {
                continue;
            }
            if self.keeper.last_sign().elapsed() > FINISH_PATIENCE {
                say(&format!(
                    "the collector wrote nothing for {} s and was ended; the outputs are incomplete, check where they \
                     go",
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

    /// Kills the collector, reaps it, and starts no other.
    pub fn abandon_collector(&mut self) {
        let Some(pid) = self.keeper.abandon() else { return };
        signals::send(pid, libc::SIGKILL);
        loop {
            match command::next_change() {
                Some(Change::Ended(ended)) if ended.pid == pid => return,
                Some(_) => {}
                None => self.wait(Some(Instant::now() + Duration::from_millis(10))),
            }
        }
    }

    /// Sleeps until a signal, a message, the due restart or `deadline`.
    fn wait(&self, deadline: Option<Instant>) {
        let wake = [deadline, self.keeper.restart_at(), self.resting_until].into_iter().flatten().min();
        let time = wake.map(|wake| {
            let left = wake.saturating_duration_since(Instant::now());
            Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() }
        });
        let mut polled = vec![PollFd::new(&self.signals, PollFlags::IN)];
        if let Some((channel, flags)) = self.keeper.interest(self.resting_until.is_none()) {
            polled.push(PollFd::from_borrowed_fd(channel, flags));
        }
        // An interruption (the launcher was stopped and continued) is a wake-up like any other.
        let _ = poll(&mut polled, time.as_ref());
    }

    /// Handles whatever ended a wait, except signals.
    fn handle_wakeup(&mut self) {
        // Each process that starts and ends gives two messages. Reading each at once would wake this process
        // as often, beside the application that it waits for.
        if self.resting_until.is_none_or(|until| until <= Instant::now()) {
            let last_sign = self.keeper.last_sign();
            self.keeper.receive();
            let is_busy =
                self.keeper.last_sign() != last_sign && self.command.is_some() && !self.is_finishing;
            self.resting_until = is_busy.then(|| Instant::now() + REST);
        }
        while let Some(change) = command::next_change() {
            match change {
                Change::Ended(ended) => self.note_end(ended),
                Change::Stopped { pid, signal } if self.command == Some(pid) => {
                    job::stop_with(&self.signals, pid, signal);
                }
                Change::Stopped { .. } => {}
            }
        }
        self.keeper.restart_if_due();
    }

    /// Takes note of a child's end.
    fn note_end(&mut self, ended: Reaped) {
        if self.keeper.pid() == Some(ended.pid) {
            return self.keeper.note_death(ended, self.is_finishing);
        }
        let is_command = self.command == Some(ended.pid);
        let ended = Reaped { is_command, ..ended };
        if is_command {
            self.command = None;
            self.wait_status = Some(ended.wait_status);
            self.keeper.send(ToCollector::Reaped(ended));
        } else {
            self.keeper.send_once(&ToCollector::Reaped(ended));
        }
    }
}
