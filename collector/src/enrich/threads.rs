//! Threads that have a directory, or a table of descriptors, of their own.
//!
//! The threads of a program share both, until one of them asks for its own with unshare(2). Its picture is
//! kept beside that of the process, and stands in its place while records of that thread are enriched.

use std::sync::Arc;

use super::descriptors::Descriptors;
use crate::ids::Tid;

/// Threads of one process that have something of their own, at most; later ones are shown as sharing.
pub const MOST_THREADS: usize = 64;

/// The threads of a process that share less than others.
#[derive(Clone, Debug, Default)]
pub struct Threads {
    apart: Vec<Apart>,
    /// The one whose picture is in the process's place.
    present: Option<Tid>,
}

/// What is kept while the other picture is in place: the thread's, or the process's.
#[derive(Clone, Debug)]
struct Apart {
    tid: Tid,
    directory: Option<Directory>,
    descriptors: Option<Arc<Descriptors>>,
}

/// A current directory, and whether its path holds no link.
pub type Directory = (Arc<[u8]>, bool);

/// The picture that is in place.
#[derive(Debug)]
pub struct Place<'a> {
    /// The directory's path.
    pub directory: &'a mut Arc<[u8]>,
    /// Whether it holds no link.
    pub is_physical: &'a mut bool,
    /// The descriptors.
    pub descriptors: &'a mut Arc<Descriptors>,
}

impl Threads {
    /// Whether all threads share everything.
    #[inline]
    pub fn share_all(&self) -> bool {
        self.apart.is_empty()
    }

    /// The threads that do not.
    pub fn apart(&self) -> Vec<Tid> {
        self.apart.iter().map(|apart| apart.tid).collect()
    }

    /// The thread whose picture is in place, where that is not the process's.
    pub fn present(&self) -> Option<Tid> {
        self.present.filter(|present| self.apart.iter().any(|apart| apart.tid == *present))
    }

    /// Whether one more thread may have something of its own, or this one more than it has.
    pub fn has_room(&self, tid: Tid) -> bool {
        self.apart.len() < MOST_THREADS || self.apart.iter().any(|apart| apart.tid == tid)
    }

    /// Gives a thread something of its own, beside what it has.
    pub fn set_apart(
        &mut self,
        tid: Tid,
        directory: Option<Directory>,
        descriptors: Option<Arc<Descriptors>>,
    ) {
        match self.apart.iter_mut().find(|apart| apart.tid == tid) {
            Some(apart) => {
                apart.directory = apart.directory.take().or(directory);
                apart.descriptors = apart.descriptors.take().or(descriptors);
            }
            None => self.apart.push(Apart { tid, directory, descriptors }),
        }
    }

    /// Puts the picture of `next` in place, or with `None` the one that the others share.
    pub fn exchange(&mut self, next: Option<Tid>, place: Place<'_>) {
        if self.present == next {
            return;
        }
        for tid in [self.present, next] {
            let Some(apart) = self.apart.iter_mut().find(|apart| Some(apart.tid) == tid) else { continue };
            if let Some((directory, is_physical)) = &mut apart.directory {
                std::mem::swap(directory, place.directory);
                std::mem::swap(is_physical, place.is_physical);
            }
            if let Some(descriptors) = &mut apart.descriptors {
                std::mem::swap(descriptors, place.descriptors);
            }
        }
        self.present = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enrich::descriptors::Target;
    use crate::enrich::process::Process;
    use crate::event::{Program, Who};
    use crate::ids::{ImageId, MonoNs, Pid};

    #[test]
    fn thread_apart_has_its_own_directory_and_descriptors_and_the_others_share_theirs() {
        let program = Program::new(Pid(10), Arc::default(), Arc::default(), None);
        let mut process = Process::new(Who { program, ..Who::default() }, ImageId::new(1, 0));
        let open = |process: &mut Process, path: &[u8]| {
            process.open(3, Target::File(path.into()), MonoNs::ZERO, false);
        };
        process.change_directory(b"/old");
        open(&mut process, b"/old/file");

        process.turn_to(Tid(11));
        process.set_apart(Tid(11), true, true);
        process.change_directory(b"/of/thread");
        open(&mut process, b"/of/thread/file");
        process.turn_to(Tid(12));
        process.change_directory(b"/shared");
        let mut shown = Vec::new();
        for tid in [10, 11, 12, 11] {
            process.turn_to(Tid(tid));
            let path = process.path(3).unwrap();
            shown.push(format!("{} {}", process.cwd.escape_ascii(), path.escape_ascii()));
        }
        let child = process.fork(Who::default(), ImageId::new(2, 0));
        process.turn_back();

        let (of_thread, shared) = ("/of/thread /of/thread/file", "/shared /old/file");
        assert_eq!(vec![shared, of_thread, shared, of_thread], shown);
        // It was forked by the thread that told last.
        assert_eq!(b"/of/thread", &*child.cwd);
        assert_eq!(b"/shared", &*process.cwd);
    }

    #[test]
    fn first_thread_takes_the_process_with_it_and_threads_are_bounded() {
        let program = Program::new(Pid(10), Arc::default(), Arc::default(), None);
        let mut process = Process::new(Who { program, ..Who::default() }, ImageId::new(1, 0));
        for tid in (10..20).chain(10..1000) {
            process.set_apart(Tid(tid), true, false);
        }
        process.turn_to(Tid(10));
        process.change_directory(b"/first");
        process.turn_to(Tid(999));

        assert_eq!(MOST_THREADS, process.threads.apart().len());
        assert_eq!(b"/first", &*process.cwd);
    }
}
