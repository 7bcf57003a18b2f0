//! The programs that a process descends from as /proc shows them: those that the sensor is not in.
//!
//! `/proc/PID/cmdline` reads the process's own memory, a page of which can be a file whose server never
//! answers. So this is called in the [`Examiner`](super::examiner::Examiner)'s threads.

use std::fs;
use std::io::Read;
use std::sync::Arc;

use super::clock::Clock;
use super::procfs::{self, Stat};
use crate::allowance::Account;
use crate::event::{Comm, Facts, Program};
use crate::ids::{MonoNs, Pid, UtcNs};

/// Of one ancestor's arguments.
const LONGEST: u64 = 4096;
/// The kernel tells the start of a process to the tick, of which there are 100 a second or more.
const TICK_NS: u64 = 10_000_000;

/// The programs of the process `pid` and of those above it, at most [`Program::ANCESTORS`]. `pid` was the
/// parent of another process at `asked`: a process that began later only has its number. `None` where that
/// is all there is. Their strings come out of `account`.
pub fn above(pid: Pid, asked: MonoNs, account: &Arc<Account>) -> Option<Arc<Program>> {
    let mut line: Vec<Known> = Vec::new();
    let mut pid = pid.0;
    while pid != 0 && line.len() < Program::ANCESTORS {
        let Some(known) = Known::of(pid) else { break };
        let is_older = match line.last() {
            Some(child) => known.stat.started <= child.stat.started,
            None => procfs::began_ns(&known.stat) <= asked.0.saturating_add(TICK_NS),
        };
        if !is_older {
            break;
        }
        pid = known.stat.ppid;
        line.push(known);
    }
    let above = |parent, known: Known| {
        let Known { pid, stat, comm, own_pid, exe, argv } = known;
        let started = Some(UtcNs(Clock::sample().utc_ns(procfs::began_ns(&stat))));
        let program = Program::charged(Pid(pid), exe.into(), argv.into(), parent, account);
        Some(program.with(Facts { comm, own_pid, started }))
    };
    line.into_iter().rev().fold(None, above)
}

/// A process as /proc shows it.
#[derive(Debug)]
struct Known {
    pid: u32,
    stat: Stat,
    comm: Comm,
    own_pid: Option<Pid>,
    exe: Vec<u8>,
    argv: Vec<u8>,
}

impl Known {
    fn of(pid: u32) -> Option<Self> {
        let stat = procfs::stat(pid)?;
        let known = Self {
            pid,
            stat,
            comm: Comm::new(&procfs::comm(pid)?),
            own_pid: procfs::namespace_pids(pid).and_then(|pids| Some(Pid(*pids.last()?))),
            exe: procfs::exe(pid).unwrap_or_default(),
            argv: arguments(pid),
        };
        // All of that is one process's if it is still there, and nothing above it has changed.
        let still = procfs::stat(pid)?;
        (still.started == stat.started && still.ppid == stat.ppid).then_some(known)
    }
}

/// The arguments, each ended by a NUL; those that end within the bound, and none of a process without memory.
fn arguments(pid: u32) -> Vec<u8> {
    let mut argv = Vec::new();
    let Ok(file) = fs::File::open(format!("/proc/{pid}/cmdline")) else { return argv };
    // What was read before an error counts.
    let _ = file.take(LONGEST).read_to_end(&mut argv);
    let ends = argv.iter().rposition(|byte| *byte == 0).map_or(0, |last| last + 1);
    argv.truncate(ends);
    argv
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_above_a_process_goes_up_to_the_first_one() {
        let parent = Pid(std::os::unix::process::parent_id());

        let program = above(Pid(std::process::id()), MonoNs::now(), &Account::boundless()).unwrap();

        assert_eq!(Some(parent), program.ancestors().next().map(|parent| parent.pid));
        assert!(program.argv.ends_with(b"\0") && !program.exe.is_empty());
        assert!(!program.facts.comm.bytes().is_empty() && program.facts.started.is_some());
        let is_whole = program.ancestors().last().is_some_and(|last| last.pid.0 == 1);
        assert!(is_whole || program.ancestors().count() == Program::ANCESTORS - 1);
    }

    #[test]
    fn process_that_began_after_the_question_was_no_parent_then() {
        assert!(above(Pid(std::process::id()), MonoNs(1), &Account::boundless()).is_none());
        assert!(above(Pid(u32::MAX), MonoNs::now(), &Account::boundless()).is_none());
    }
}
