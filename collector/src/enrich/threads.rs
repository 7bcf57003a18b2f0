//! Threads that have a directory, or a table of descriptors, of their own.
//!
//! The threads of a program share both, until one of them asks for its own with unshare(2). Its picture is
//! kept beside that of the process, and stands in its place while records of that thread are enriched.

use std::sync::Arc;

use super::descriptors::Descriptors;
use super::paths::Moved;
use super::process::Process;
use crate::ids::Tid;

/// Threads of one process that have something of their own, at most; later ones are shown as sharing.
const MOST_THREADS: usize = 64;

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
    directory: Option<(Arc<[u8]>, bool)>,
    descriptors: Option<Arc<Descriptors>>,
}

impl Apart {
    fn exchange(&mut self, process: &mut Process) {
        if let Some((directory, is_physical)) = &mut self.directory {
            std::mem::swap(directory, &mut process.cwd);
            std::mem::swap(is_physical, &mut process.is_cwd_physical);
        }
        if let Some(descriptors) = &mut self.descriptors {
            std::mem::swap(descriptors, &mut process.descriptors);
        }
    }
}

impl Process {
    /// Puts the picture of a thread in place: the next records are its own.
    #[inline]
    pub(super) fn turn_to(&mut self, tid: Tid) {
        if !self.threads.apart.is_empty() {
            self.exchange(Some(tid));
        }
    }

    /// Puts the picture that the other threads share in place.
    pub(super) fn turn_back(&mut self) {
        if !self.threads.apart.is_empty() {
            self.exchange(None);
        }
    }

    fn exchange(&mut self, next: Option<Tid>) {
        if self.threads.present == next {
            return;
        }
        let mut threads = std::mem::take(&mut self.threads);
        for place in [threads.present, next] {
            if let Some(apart) = threads.apart.iter_mut().find(|apart| Some(apart.tid) == place) {
                apart.exchange(self);
            }
        }
        threads.present = next;
        self.threads = threads;
    }

    /// Gives a thread a directory, or descriptors, of its own, which are as those of the others now. The first
    /// thread's remain those of the process: most programs that unshare have no other.
    pub(super) fn set_apart(&mut self, tid: Tid, has_directory: bool, has_descriptors: bool) {
        self.turn_back();
        let is_first = i64::from(tid.0) == i64::from(self.who.key().pid.0);
        if is_first || tid == Tid(0) || !(has_directory || has_descriptors) {
            return;
        }
        let place = self.threads.apart.iter().position(|apart| apart.tid == tid);
        if place.is_none() && (self.threads.apart.len() >= MOST_THREADS || !self.pay_for_directory()) {
            return;
        }
        let place = place.unwrap_or_else(|| {
            self.threads.apart.push(Apart { tid, directory: None, descriptors: None });
            self.threads.apart.len() - 1
        });
        let apart = &mut self.threads.apart[place];
        if has_directory && apart.directory.is_none() {
            apart.directory = Some((Arc::clone(&self.cwd), self.is_cwd_physical));
        }
        if has_descriptors && apart.descriptors.is_none() {
            apart.descriptors = Some(Arc::clone(&self.descriptors));
        }
        self.turn_to(tid);
    }

    /// The thread whose picture is in place, where that is not the process's.
    pub(super) fn present_thread(&self) -> Option<Tid> {
        let present = self.threads.present?;
        self.threads.apart.iter().any(|apart| apart.tid == present).then_some(present)
    }

    /// Follows a name that changed, in the picture of every thread.
    pub fn follow(&mut self, moved: &Moved) {
        let present = self.threads.present;
        let others: Vec<Tid> = self.threads.apart.iter().map(|apart| apart.tid).collect();
        self.turn_back();
        self.follow_here(moved);
        for tid in others {
            self.turn_to(tid);
            self.follow_here(moved);
        }
        if !self.threads.apart.is_empty() {
            self.exchange(present);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enrich::descriptors::Target;
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

        assert_eq!(MOST_THREADS, process.threads.apart.len());
        assert_eq!(b"/first", &*process.cwd);
    }
}
