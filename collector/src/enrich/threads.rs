//! Threads that have a directory, or a table of descriptors, of their own.
//!
//! The threads of a program share both, until one of them asks for its own with unshare(2). Its picture is
//! kept beside that of the process, and stands in its place while records of that thread are enriched.

use std::sync::Arc;

use super::descriptors::Descriptors;
use crate::ids::Tid;

/// Threads of one process that have something of their own, at most: the first makes way for one more. That
/// a thread has ended is not told.
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

    /// Lets the first thread make way for `tid`, where there are as many as may be; gives the directory that
    /// it had. Nobody's picture but the shared one may be in place.
    pub fn make_room(&mut self, tid: Tid) -> Option<Directory> {
        let is_known = self.apart.iter().any(|apart| apart.tid == tid);
        if is_known || self.apart.len() < MOST_THREADS {
            return None;
        }
        self.apart.remove(0).directory
    }

    /// Whether a thread has its own directory.
    pub fn has_directory(&self, tid: Tid) -> bool {
        self.apart.iter().any(|apart| apart.tid == tid && apart.directory.is_some())
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
    use crate::allowance::{Allowances, Peer, Resource};
    use crate::enrich::descriptors::Target;
    use crate::enrich::paths::Moved;
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
            process.change_directory(format!("/{tid}").as_bytes());
        }
        process.turn_to(Tid(10));
        process.change_directory(b"/first");
        let shown = [10, 11, 999].map(|tid| {
            process.turn_to(Tid(tid));
            process.cwd.escape_ascii().to_string()
        });

        assert_eq!(MOST_THREADS, process.threads.apart().len());
        assert_eq!(["/first", "/first", "/999"].map(str::to_owned), shown);
    }

    #[test]
    fn number_of_a_thread_that_is_another_process_shows_nothing_of_that_one() {
        let file = std::fs::File::open("/").unwrap();
        let mut other = std::process::Command::new("sleep").arg("20").spawn().unwrap();
        let program = Program::new(Pid(other.id()), Arc::default(), Arc::default(), None);
        let mut process = Process::new(Who { program, ..Who::default() }, ImageId::new(1, 0));
        let victim = Tid(std::process::id());

        process.set_apart(victim, false, true);
        process.turn_to(victim);
        let shown = process.path(std::os::fd::AsRawFd::as_raw_fd(&file));
        other.kill().unwrap();
        other.wait().unwrap();

        assert_eq!(None, shown);
    }

    #[test]
    fn thread_that_unshares_again_and_again_costs_its_user_one_directory() {
        let peer = Peer { uid: Some(1000), cgroup: 1 };
        let account = Allowances::default().account(peer);
        let mut process = Process::new(Who::default(), ImageId::new(1, 0));
        process.charge(&account);
        process.change_directory(&[b'x'; 4000]);

        for call in 0..100_000 {
            process.set_apart(Tid(11 + call % 100), true, call % 2 == 0);
        }

        assert!(!account.is_used_up(Resource::Bytes) && account.share(Resource::Bytes).grow(8 << 20));
    }

    #[test]
    fn table_that_threads_have_in_common_is_followed_once() {
        let mut process = Process::new(Who::default(), ImageId::new(1, 0));
        process.open(3, Target::File((*b"/old/file").into()), MonoNs::ZERO, false);
        process.change_directory(b"/old");
        process.set_apart(Tid(11), true, true);
        process.set_apart(Tid(12), false, true);
        process.turn_to(Tid(12));
        process.open(4, Target::File((*b"/old/other").into()), MonoNs::ZERO, false);

        let (old, new) = ((*b"/old").into(), (*b"/new").into());
        process.follow(&Moved { old, new, is_exchange: false });

        let shown = [10, 11, 12].map(|tid| {
            process.turn_to(Tid(tid));
            let paths = [3, 4].map(|fd| match &process.descriptors.get(fd)?.target {
                Target::File(path) => Some(path.to_vec()),
                Target::Socket(_) => None,
            });
            (process.cwd.to_vec(), paths, Arc::as_ptr(&process.descriptors))
        });
        let (file, other) = (Some(b"/new/file".to_vec()), Some(b"/new/other".to_vec()));
        assert_eq!([(); 3].map(|()| b"/new".to_vec()), shown.each_ref().map(|(cwd, ..)| cwd.clone()));
        let expected = [[file.clone(), None], [file.clone(), None], [file, other]];
        assert_eq!(expected, shown.each_ref().map(|(_, paths, _)| paths.clone()));
        assert_eq!(shown[0].2, shown[1].2, "one table");
    }
}
