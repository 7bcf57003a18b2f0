//! A program in a process: what is known of it once, and its line of ancestors.

use std::sync::Arc;

use crate::allowance::{Account, Resource, Share};
use crate::ids::{Pid, UtcNs};

/// The name that the kernel gives a thread at exec: the last part of the executed path, cut to 15 bytes
/// (proc_pid_comm(5)). Of a script it is the script's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Comm {
    bytes: [u8; Self::LONGEST],
    len: u8,
}

impl Comm {
    /// `TASK_COMM_LEN` without the NUL.
    pub const LONGEST: usize = 15;

    /// The name after an exec of `path`; none where that is not known.
    pub fn of_path(path: &[u8]) -> Self {
        Self::new(path.rsplit(|byte| *byte == b'/').next().unwrap_or_default())
    }

    /// This name, cut.
    pub fn new(name: &[u8]) -> Self {
        let mut comm = Self::default();
        for (to, from) in comm.bytes.iter_mut().zip(name) {
            *to = *from;
            comm.len += 1;
        }
        comm
    }

    /// Its bytes; none where it is not known.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

/// Facts of a program that no event shows by itself, for rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The name of its first thread when it began. Not what it called itself since (prctl(2), `PR_SET_NAME`).
    pub comm: Comm,
    /// Its process in its own pid namespace; `None` where that is not known.
    pub own_pid: Option<Pid>,
    /// When its process was made; `None` where that is not known.
    pub started: Option<UtcNs>,
}

/// A program in a process, and the line of programs that it descends from.
///
/// Made once for each image; children refer to it. Not the process's present state: an ancestor stands here
/// as it was when it made its child, and may have ended, or executed another program, since.
#[derive(Debug, Default)]
pub struct Program {
    /// The process; in the namespace that [`Who::pid_ns`] names.
    pub pid: Pid,
    /// The executable; empty where it is unknown.
    pub exe: Arc<[u8]>,
    /// The argument vector, each string ended by a NUL; empty where it is unknown.
    pub argv: Arc<[u8]>,
    /// What else is known of it.
    pub facts: Facts,
    /// The program whose process made this one; `None` where that is not seen.
    pub parent: Option<Arc<Program>>,
    /// How many ancestors there are.
    depth: usize,
    /// The bytes of its strings, where they come out of an account.
    share: Option<Share>,
}

impl PartialEq for Program {
    fn eq(&self, other: &Self) -> bool {
        let facts = |program: &Self| (program.pid, program.facts, program.depth);
        let Self { exe, argv, parent, .. } = self;
        facts(self) == facts(other) && (exe, argv, parent) == (&other.exe, &other.argv, &other.parent)
    }
}

impl Eq for Program {}

impl Program {
    /// Ancestors that are known at least, where there are so many.
    pub const ANCESTORS: usize = 16;
    /// Ancestors that are known at most: a longer line is cut to [`Self::ANCESTORS`].
    pub const MOST_ANCESTORS: usize = 2 * Self::ANCESTORS;

    /// A program whose process was made by `parent`.
    pub fn new(pid: Pid, exe: Arc<[u8]>, argv: Arc<[u8]>, parent: Option<Arc<Self>>) -> Arc<Self> {
        Self::make(pid, exe, argv, parent, None)
    }

    /// The same, whose strings come out of `account`: without its arguments where there is no room for them.
    pub fn charged(
        pid: Pid,
        exe: Arc<[u8]>,
        argv: Arc<[u8]>,
        parent: Option<Arc<Self>>,
        account: &Arc<Account>,
    ) -> Arc<Self> {
        let mut share = account.share(Resource::Bytes);
        let argv = if share.grow(size_of::<Self>() + exe.len() + argv.len()) { argv } else { Arc::default() };
        Self::make(pid, exe, argv, parent, Some(share))
    }

    /// The same with these facts. To be called before the program is shared.
    #[must_use]
    pub fn with(mut self: Arc<Self>, facts: Facts) -> Arc<Self> {
        if let Some(program) = Arc::get_mut(&mut self) {
            program.facts = facts;
        }
        self
    }

    fn make(
        pid: Pid,
        exe: Arc<[u8]>,
        argv: Arc<[u8]>,
        parent: Option<Arc<Self>>,
        share: Option<Share>,
    ) -> Arc<Self> {
        let parent = match parent {
            Some(parent) if parent.has_most_ancestors() => Some(parent.cut(Self::ANCESTORS - 1)),
            parent => parent,
        };
        let depth = parent.as_ref().map_or(0, |parent| parent.depth + 1);
        Arc::new(Self { pid, exe, argv, facts: Facts::default(), parent, depth, share })
    }

    /// Whether a child of this program would have a line that is cut.
    pub fn has_most_ancestors(&self) -> bool {
        self.depth + 1 >= Self::MOST_ANCESTORS
    }

    /// The same program with at most `most` ancestors.
    fn cut(self: &Arc<Self>, most: usize) -> Arc<Self> {
        let line: Vec<&Arc<Self>> = std::iter::once(self).chain(self.ancestors()).take(most + 1).collect();
        let mut parent = None;
        for Self { pid, exe, argv, facts, share, .. } in line.into_iter().rev().map(|program| &**program) {
            let depth = parent.as_ref().map_or(0, |parent: &Arc<Self>| parent.depth + 1);
            let share = share.clone();
            let has_room = share.as_ref().is_none_or(|share| share.held() > 0);
            parent = Some(Arc::new(Self {
                pid: *pid,
                exe: Arc::clone(exe),
                argv: if has_room { Arc::clone(argv) } else { Arc::default() },
                facts: *facts,
                parent,
                depth,
                share,
            }));
        }
        parent.unwrap_or_default()
    }

    /// The programs that this one descends from, the nearest first.
    pub fn ancestors(&self) -> impl Iterator<Item = &Arc<Self>> {
        std::iter::successors(self.parent.as_ref(), |program| program.parent.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endless_line_of_children_keeps_its_nearest_ancestors_and_no_more_than_the_bound() {
        let mut program = Program::new(Pid(0), Arc::default(), Arc::default(), None);
        for pid in 1..10_000 {
            program = Program::new(Pid(pid), Arc::default(), Arc::default(), Some(program));

            let pids: Vec<u32> = program.ancestors().map(|ancestor| ancestor.pid.0).collect();
            let least = (pid as usize).min(Program::ANCESTORS);
            assert!((least..=Program::MOST_ANCESTORS).contains(&pids.len()), "{pid}: {}", pids.len());
            assert!(pids.iter().enumerate().all(|(place, known)| *known == pid - 1 - place as u32));
        }
    }

    #[test]
    fn comm_is_the_last_part_of_the_path_in_fifteen_bytes() {
        let of = |path: &[u8]| Comm::of_path(path).bytes().to_vec();

        assert_eq!(b"sh".to_vec(), of(b"/bin/sh"));
        assert_eq!(b"x".to_vec(), of(b"x"));
        assert_eq!(b"a-long-program-".to_vec(), of(b"/opt/a-long-program-name"));
        assert_eq!([b"".to_vec(), b"".to_vec()], [of(b""), of(b"/")]);
    }
}
