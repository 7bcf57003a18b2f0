//! A program that a process asked for, as long as it has not told of itself.

use wire::record::{Flags, Head, Via};

use super::executions::Execution;
use crate::enrich::blind::Arguments;
use crate::ids::{MonoNs, Pid, Tid};

/// A program that a process asked to execute, and that has not said hello.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The thread that asked.
    pub tid: Tid,
    /// The program.
    pub path: Box<[u8]>,
    /// Its arguments.
    pub arguments: Arguments,
    /// When.
    pub at: MonoNs,
    /// What the kernel's notification told of it, and whether it has begun.
    pub executed: Option<Execution>,
    /// Why its next image cannot report, as the process said.
    pub said: Option<&'static str>,
    /// A hook told of the exec, and passed the sensor on if `said` is none.
    pub is_by_hook: bool,
    /// Why the program cannot be seen into, once that was found out.
    pub reason: Option<&'static str>,
    /// The child that has begun as this program since, by its own number; system(3) does not tell it.
    pub child: Option<Pid>,
    /// Whether another thread asked for a program meanwhile, so that it cannot be said whose child one is.
    is_contested: bool,
}

impl Asked {
    /// The program `path` that the `process.exec` with this head asks for, while `before` is asked for
    /// already.
    pub fn new(
        (path, arguments): (&[u8], Arguments),
        head: &Head,
        at: MonoNs,
        before: Option<&Self>,
    ) -> Self {
        let is_contested = before.is_some_and(|before| before.tid != Tid(head.tid));
        let said = [(Flags::BARRED, "seccomp"), (Flags::OUT_OF_REACH, "out_of_reach")];
        let said = said.iter().find(|(flag, _)| head.flags & flag != 0).map(|(_, reason)| *reason);
        let (tid, path) = (Tid(head.tid), path.into());
        let is_by_hook = head.via != Via::Notify as u8;
        let (executed, reason, child) = (None, None, None);
        Self { tid, path, arguments, at, executed, said, is_by_hook, reason, child, is_contested }
    }

    /// The memory that its texts take.
    pub(super) fn size_bytes(&self) -> usize {
        self.path.len() + self.arguments.argv.len()
    }

    /// Whether a child of the process that asked, which was executed as `path`, is what it asked for.
    pub fn is_for(&self, path: Option<&[u8]>) -> bool {
        !self.is_contested && path == Some(&*self.path)
    }

    /// Notes that a child of the process that asked has begun as `path`.
    pub fn has_begun(&mut self, path: Option<&[u8]>, own_pid: Pid) {
        if self.is_for(path) {
            self.child.get_or_insert(own_pid);
        }
    }
}
