//! Job control: the launcher stops when CMD stops, so that the calling shell sees its job stop, and continues
//! with it.

use std::time::{Duration, Instant};

use super::command;
use super::groups::{self, Terminal};
use super::signals::{self, Signals, Situation};

/// How long CMD may take to go on when its group was sent a SIGCONT.
const CONTINUE_PATIENCE: Duration = Duration::from_millis(20);

/// The launcher's relation to CMD and to the process that sent a signal.
pub fn situation(sender: i32) -> Situation {
    let own_pid = std::process::id().cast_signed();
    let group = groups::of(0);
    Situation {
        own_pid,
        leads_session: groups::session() == Some(own_pid),
        sender_is_job_member: sender > 0
            && group.is_some_and(|group| signals::is_job_member(sender, own_pid, group)),
    }
}

/// Stops this process as CMD (`pid`) was stopped by `signal`, and goes on when the shell says so.
pub fn stop_with(signals: &Signals, pid: i32, signal: i32) {
    let terminal = Terminal::open();
    let own_group = groups::of(0);
    let foreground = terminal.as_ref().and_then(Terminal::foreground);
    let command_group = groups::of(pid).filter(|group| Some(*group) != own_group);
    // CMD made a group of its own and wants the terminal, which the launcher's group has. Without the
    // launcher CMD would have led that group and kept the terminal, so the terminal is given to it (sudo does
    // the same).
    if let (Some(terminal), Some(group)) = (&terminal, command_group)
        && matches!(signal, libc::SIGTTIN | libc::SIGTTOU)
        && foreground == own_group
        && terminal.give_to(group)
    {
        signals::send(-group, libc::SIGCONT);
        return;
    }
    // Without a terminal no shell controls this job: the process that stopped CMD by its pid will continue it
    // by its pid, and the launcher would stay stopped. (A terminal's own stop signals do not stop an orphaned
    // group.)
    if signal == libc::SIGSTOP && terminal.is_none() || command::went_on(pid) {
        return;
    }
    if !signals.stop_self(signal) {
        return;
    }
    // The shell gave the terminal to the job's group; CMD's own group had it when CMD stopped.
    if let (Some(terminal), Some(group)) = (&terminal, command_group)
        && foreground == Some(group)
        && terminal.foreground() == own_group
    {
        terminal.give_to(group);
    }
    // A shell continues the whole group, so CMD most likely goes on by itself; a `kill -CONT` of the launcher
    // alone is passed on.
    let deadline = Instant::now() + CONTINUE_PATIENCE;
    while !command::went_on(pid) {
        if Instant::now() > deadline {
            return signals::send(pid, libc::SIGCONT);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
