//! Directories and open files that get another name: their paths in the picture of a process follow.

use std::sync::Arc;

use wire::events::{FileLink, FileOpen, FileRename};
use wire::fields::AT_FDCWD;

use super::Enricher;
use super::descriptors::Target;
use super::paths::Moved;
use super::process::Process;
use super::walks;
use crate::event::Value;
use crate::ids::MonoNs;
use crate::system::procfs;

impl Process {
    /// Follows a name that changed, in the directories and the descriptors of all its threads.
    pub fn follow(&mut self, moved: &Moved) {
        let present = self.threads.present();
        self.turn_back();
        let before = (!self.threads.share_all()).then(|| Arc::clone(&self.descriptors));
        self.follow_here(moved);
        let after = Arc::clone(&self.descriptors);
        for tid in self.threads.apart() {
            self.turn_to(tid);
            self.follow_directory(moved);
            if before.as_ref().is_some_and(|before| Arc::ptr_eq(before, &self.descriptors)) {
                self.descriptors = Arc::clone(&after);
            } else if !Arc::ptr_eq(&after, &self.descriptors) {
                self.follow_descriptors(moved);
            }
        }
        match present {
            Some(tid) => self.turn_to(tid),
            None => self.turn_back(),
        }
    }

    /// The same in those that are in place.
    fn follow_here(&mut self, moved: &Moved) {
        self.follow_directory(moved);
        self.walks.forget();
        self.follow_descriptors(moved);
    }

    fn follow_directory(&mut self, moved: &Moved) {
        if let Some(path) = moved.moved(&self.cwd) {
            self.change_directory(&path);
        }
    }

    fn follow_descriptors(&mut self, moved: &Moved) {
        let changed: Vec<(i32, Vec<u8>)> = self
            .descriptors
            .unordered()
            .filter_map(|(fd, descriptor)| match &descriptor.target {
                Target::File(path) => Some((fd, moved.moved(path)?)),
                Target::Socket(_) => None,
            })
            .collect();
        for (fd, path) in changed {
            self.rename_descriptor(fd, &path);
        }
    }

    /// Says that the file behind a descriptor has another path from here on.
    fn rename_descriptor(&mut self, fd: i32, path: &[u8]) {
        let descriptors = Arc::make_mut(&mut self.descriptors);
        if let Some(mut descriptor) = descriptors.remove(fd) {
            descriptor.target = Target::File(path.into());
            descriptor.is_nameless = false;
            descriptors.insert(fd, descriptor);
        }
    }

    /// The descriptor that a path stands for: of a call with `AT_EMPTY_PATH`, or by its name in /proc.
    fn descriptor_named(&self, dir: i32, raw: &[u8]) -> Option<i32> {
        if raw.is_empty() {
            return (dir != AT_FDCWD).then_some(dir);
        }
        let number = raw.strip_prefix(b"/dev/fd/").or_else(|| {
            let (process, number) = split_once(raw.strip_prefix(b"/proc/")?, b"/fd/")?;
            let own = self.who.key().pid.0.to_string();
            matches!(process, b"self" | b"thread-self")
                .then_some(number)
                .or((process == own.as_bytes()).then_some(number))
        })?;
        std::str::from_utf8(number).ok()?.parse().ok()
    }
}

fn split_once<'a>(text: &'a [u8], by: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = text.windows(by.len()).position(|window| window == by)?;
    Some((text.get(..at)?, text.get(at + by.len()..)?))
}

impl Enricher {
    /// A file got another name. True where that may concern other processes: it is a directory.
    pub(super) fn renamed(&mut self, process: &mut Process, rename: &FileRename<'_>) -> bool {
        const RENAME_EXCHANGE: u32 = 2;
        let [old, new] = [self.places.rename_path, self.places.rename_new_path];
        let (Some(old), Some(new)) = (self.text_shown(old), self.text_shown(new)) else { return false };
        let is_exchange = rename.flags.is_some_and(|flags| flags.0 & RENAME_EXCHANGE != 0);
        let moved = Moved { old: old.into(), new: new.into(), is_exchange };
        let account = Arc::clone(process.account());
        let begun = MonoNs::now();
        // A table may be large, and renames many.
        if !account.has_time_to_ask(begun) {
            process.walks.forget();
            return false;
        }
        process.follow(&moved);
        let is_directory = process.has_our_root()
            && (walks::is_directory(&moved.new) || is_exchange && walks::is_directory(&moved.old));
        account.asked(begun, MonoNs::now());
        self.moved = is_directory.then_some(moved);
        is_directory
    }

    /// The directory that the `file.rename` written last gave another name.
    pub fn take_moved(&mut self) -> Option<Moved> {
        self.moved.take()
    }

    /// A file without a name was opened: its path is that of its directory until it is linked.
    pub(super) fn opened_nameless(process: &mut Process, open: &FileOpen<'_>) {
        const O_TMPFILE: u32 = 0o20_000_000;
        if let Some(fd) = open.fd.filter(|_| open.flags.0 & O_TMPFILE != 0)
            && let Some(descriptor) = Arc::make_mut(&mut process.descriptors).get_mut(fd)
        {
            descriptor.is_nameless = true;
        }
    }

    /// A file got one more name: by a descriptor, and for a file that had none its first.
    pub(super) fn linked(&mut self, process: &mut Process, link: &FileLink<'_>, has_failed: bool) {
        let Some(fd) = process.descriptor_named(link.path.dir, link.path.raw.unwrap_or_default()) else {
            return;
        };
        let Some(path) = process.path(fd) else { return };
        let raw = link.path.raw.filter(|raw| !raw.is_empty()).map(|raw| self.batch.keep(raw));
        if !process.descriptors.get(fd).is_some_and(|descriptor| descriptor.is_nameless) {
            let span = self.batch.keep(&path);
            return self.batch.set(self.places.link_path, Value::Path(span, raw));
        }
        let shown = process.visible_pid().and_then(|pid| procfs::descriptor(pid, fd));
        let shown = shown.filter(|shown| shown.starts_with(&path) && shown.ends_with(b" (deleted)"));
        if let Some(shown) = shown {
            let shown = self.batch.keep(&shown);
            self.batch.set(self.places.link_path, Value::Path(shown, raw));
        } else if raw.is_none() {
            // The same place by the name that it has in /proc (linkat(2)).
            let shown = self.batch.keep(format!("/proc/self/fd/{fd}").as_bytes());
            self.batch.set(self.places.link_path, Value::Path(shown, None));
        }
        let Some(new) = self.text_shown(self.places.link_new_path).filter(|_| !has_failed) else { return };
        let new: Box<[u8]> = new.into();
        // Its duplicates have the same path, as the same text.
        let is_same = |target: &Target| matches!(target, Target::File(known) if Arc::ptr_eq(known, &path));
        let same: Vec<i32> = process
            .descriptors
            .iter()
            .filter(|(_, descriptor)| is_same(&descriptor.target))
            .map(|(fd, _)| fd)
            .collect();
        same.into_iter().for_each(|fd| process.rename_descriptor(fd, &new));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Who;
    use crate::ids::ImageId;

    fn process() -> Process {
        let mut process = Process::new(Who::default(), ImageId::new(1, 0));
        process.change_directory(b"/srv/old/in");
        for (fd, path) in [(3, "/srv/old"), (4, "/srv/old/in/file"), (5, "/srv/older"), (6, "/srv/new/x")] {
            process.open(fd, Target::File(path.as_bytes().into()), MonoNs::ZERO, false);
        }
        process
    }

    fn paths(process: &mut Process) -> Vec<String> {
        let cwd = process.cwd.to_vec();
        let all = (3..=6).filter_map(|fd| process.path(fd)).map(|path| path.to_vec());
        std::iter::once(cwd).chain(all).map(|path| String::from_utf8(path).unwrap()).collect()
    }

    #[test]
    fn what_lies_below_a_renamed_directory_follows_it() {
        let mut process = process();

        process.follow(&Moved { old: (*b"/srv/old").into(), new: (*b"/new").into(), is_exchange: false });

        let expected = ["/new/in", "/new", "/new/in/file", "/srv/older", "/srv/new/x"];
        assert_eq!(expected.as_slice(), paths(&mut process));
    }

    #[test]
    fn exchanged_directories_change_places() {
        let mut process = process();

        process.follow(&Moved { old: (*b"/srv/old").into(), new: (*b"/srv/new").into(), is_exchange: true });

        let expected = ["/srv/new/in", "/srv/new", "/srv/new/in/file", "/srv/older", "/srv/old/x"];
        assert_eq!(expected.as_slice(), paths(&mut process));
    }

    #[test]
    fn names_of_descriptors_are_told_from_others() {
        let process = process();

        let of = |dir, raw: &str| process.descriptor_named(dir, raw.as_bytes());

        assert_eq!(
            [Some(7), Some(4), Some(5)],
            [of(7, ""), of(-100, "/proc/self/fd/4"), of(-100, "/dev/fd/5")]
        );
        assert_eq!(
            [None; 4],
            [of(-100, ""), of(7, "x"), of(-100, "/proc/1/fd/4"), of(-100, "/proc/self/fd/x")]
        );
    }
}
