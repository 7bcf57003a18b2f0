//! What became of the last execs, by the stacks of their processes.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use super::reports::Reports;
use crate::ids::MonoNs;
use crate::system::procfs;

/// Execs that are looked at, and for how long: the collector looks for itself as well.
const MOST_EXECS: usize = 8;
const EXEC_NS: u64 = 500_000_000;

/// An exec of which it is not known yet whether it failed.
struct Execution {
    process: u32,
    /// The thread that asked.
    tid: u32,
    at: MonoNs,
    /// Where its stack began.
    stack: u64,
}

/// The last execs, until it is known what became of them.
#[derive(Default)]
pub struct Outcomes(VecDeque<Execution>);

impl Outcomes {
    /// Notes an exec of a thread of a process, whose stack begins there.
    pub fn await_one(&mut self, (process, tid): (u32, u32), at: MonoNs, stack: u64) {
        if self.0.len() >= MOST_EXECS {
            self.0.pop_front();
        }
        self.0.push_back(Execution { process, tid, at, stack });
    }

    /// Tells what became of the last execs, before a call of the thread `tid` of a process is told of: what
    /// a program did comes after its start.
    ///
    /// The kernel gives each program a stack of its own. A thread that executes takes the number of its
    /// process's first one, so that only the same thread on the old stack tells of a failure.
    pub fn tell(&mut self, (process, tid): (u32, u32), reports: &Mutex<Reports>) {
        let now = MonoNs::now();
        let executed = std::mem::take(&mut self.0);
        for execution in executed {
            let stack = procfs::stack(execution.process).filter(|_| execution.stack != 0);
            let is_same_thread = (execution.process, execution.tid) == (process, tid);
            let has_begun = match stack {
                Some(stack) if stack != execution.stack => Some(true),
                Some(_) if is_same_thread => Some(false),
                None if procfs::stat(execution.process).is_none_or(|stat| stat.is_zombie) => None,
                _ => {
                    if now.since(execution.at) < EXEC_NS {
                        self.0.push_back(execution);
                    }
                    continue;
                }
            };
            let mut reports = reports.lock().unwrap_or_else(PoisonError::into_inner);
            reports.begin(execution.process);
            reports.begun(execution.at, has_begun);
            reports.send_word();
        }
    }
}
