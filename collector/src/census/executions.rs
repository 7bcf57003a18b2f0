//! Programs of execs that the kernel asked about: what their files told while they waited, and whether they
//! began.
//!
//! Word of an exec comes before its record, which waits for its place in the order.

use std::collections::VecDeque;

use crate::arrival::Executed;
use crate::enrich::blind::{self, ENV_CLEARED};
use crate::ids::{MonoNs, ProcessKey};
use crate::system::procfs;

/// Execs whose records have not been delivered; beyond, the first is as one of which nothing was told.
const MOST: usize = 4096;

/// The program of an exec, and whether it began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Execution {
    /// The program.
    pub program: Executed,
    /// The time of its record, as the record says it.
    pub told_at: MonoNs,
    /// Whether it began; `None` while that is not known.
    pub has_begun: Option<bool>,
}

impl Execution {
    /// Whether it is a program that never says hello.
    pub fn is_unseen(&self) -> bool {
        blind::is_mute(self.program.reason) || self.program.reason == ENV_CLEARED
    }

    /// Whether the kernel cannot have executed it, unless a handler of binfmt_misc did, which does not show.
    pub fn is_unlikely(&self) -> bool {
        self.program.is_no_program && self.has_begun != Some(true)
    }

    /// Whether the live process `pid` has begun it; `None` where that cannot be known.
    pub fn has_begun_in(&self, pid: u32) -> Option<bool> {
        if self.has_begun.is_some() {
            return self.has_begun;
        }
        let stack = procfs::stack(pid).filter(|_| self.program.stack != 0)?;
        Some(stack != self.program.stack)
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Executions(VecDeque<(ProcessKey, Execution)>);

impl Executions {
    /// Notes the program of the exec whose record has this time.
    pub fn note(&mut self, process: ProcessKey, told_at: MonoNs, program: Executed) {
        if self.0.len() >= MOST {
            self.0.pop_front();
        }
        self.0.push_back((process, Execution { program, told_at, has_begun: None }));
    }

    /// Notes whether it began; false where its record has been delivered.
    pub fn decide(&mut self, process: ProcessKey, told_at: MonoNs, has_begun: Option<bool>) -> bool {
        let is_it = |(key, known): &&mut (ProcessKey, Execution)| *key == process && known.told_at == told_at;
        let found = self.0.iter_mut().find(is_it);
        found.map(|(_, known)| known.has_begun = has_begun).is_some()
    }

    /// The exec whose record is delivered.
    pub fn take(&mut self, process: ProcessKey, told_at: MonoNs) -> Option<Execution> {
        let place = self.0.iter().position(|(key, known)| *key == process && known.told_at == told_at)?;
        self.0.remove(place).map(|(_, known)| known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Pid;

    #[test]
    fn exec_is_taken_once_with_what_became_of_it() {
        let (process, other) = (ProcessKey::here(Pid(7)), ProcessKey::here(Pid(8)));
        let mut executions = Executions::default();
        executions.note(process, MonoNs(1), Executed::default());
        executions.note(process, MonoNs(2), Executed::default());

        assert!(executions.decide(process, MonoNs(2), Some(true)));
        assert!(!executions.decide(other, MonoNs(2), Some(true)));
        let has_begun =
            |executions: &mut Executions, at| executions.take(process, at).map(|known| known.has_begun);
        assert_eq!(Some(Some(true)), has_begun(&mut executions, MonoNs(2)));
        assert_eq!(None, has_begun(&mut executions, MonoNs(2)));
        assert_eq!(Some(None), has_begun(&mut executions, MonoNs(1)));
    }

    #[test]
    fn execs_that_wait_are_bounded() {
        let process = ProcessKey::here(Pid(7));
        let mut executions = Executions::default();

        for at in 0..=MOST as u64 {
            executions.note(process, MonoNs(at), Executed::default());
        }

        assert_eq!((None, MOST), (executions.take(process, MonoNs(0)), executions.0.len()));
    }

    #[test]
    fn another_stack_is_another_program() {
        let own = std::process::id();
        let execution = |stack| Execution {
            program: Executed { stack, ..Executed::default() },
            told_at: MonoNs(1),
            has_begun: None,
        };
        let stack = procfs::stack(own).unwrap();

        assert_eq!(Some(false), execution(stack).has_begun_in(own));
        assert_eq!(Some(true), execution(stack + 16).has_begun_in(own));
        assert_eq!(None, execution(0).has_begun_in(own));
    }
}
