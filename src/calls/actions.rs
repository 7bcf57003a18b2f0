//! The file actions of posix_spawn(3), which the child takes before it becomes the program: from libc's own
//! lists to bytes of a record, and the directory that a search of `PATH` begins in.
//!
//! glibc and musl lay them out differently, and give no function that reads them. Both layouts are part of
//! their ABIs: programs reserve the object, and the functions that fill it are in the library.

use core::ffi::{c_char, c_int, c_void};

use wire::fields::{AT_FDCWD, Action};

use crate::reach::real;
use crate::record::probe::Probe;

/// Bytes of actions that a record holds; those beyond are left out.
const CAP: usize = 1024;
/// Actions that are read: a list that is a circle has no end.
const MOST: usize = 256;
/// Room for the directory of a search.
const PREFIX_CAP: usize = 512;

/// The actions, encoded; and where they lead.
pub struct Actions {
    bytes: [u8; CAP],
    len: usize,
    /// Whether some were left out.
    pub is_cut: bool,
    /// The directory of the child: an open one, or the parent's, and a path from there.
    dir: c_int,
    prefix: [u8; PREFIX_CAP],
    prefix_len: usize,
}

/// One action as either library keeps it.
struct Found {
    action: Action,
    fd: c_int,
    other: c_int,
    mode: u32,
    path: *const c_char,
}

impl Actions {
    /// None.
    pub fn new() -> Self {
        Self { bytes: [0; CAP], len: 0, is_cut: false, dir: AT_FDCWD, prefix: [0; PREFIX_CAP], prefix_len: 0 }
    }

    /// The encoded actions.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// The directory that the child is in after them: an open one, and a path from there. `None` where that
    /// cannot be known before.
    pub fn directory(&self) -> Option<(c_int, &[u8])> {
        let prefix = self.prefix.get(..self.prefix_len)?;
        (!self.is_cut && self.dir != UNKNOWN).then_some((self.dir, prefix))
    }

    /// Reads the object at `list`, which this process's libc is about to.
    pub fn read(&mut self, probe: &mut Probe, list: *const c_void) {
        self.read_as(probe, list as usize, real::is_glibc());
    }

    fn read_as(&mut self, probe: &mut Probe, list: usize, is_glibc: bool) {
        let is_whole = match is_glibc {
            true => self.read_glibc(probe, list),
            false => self.read_musl(probe, list),
        };
        self.is_cut |= is_whole.is_none();
    }

    /// `posix_spawn_file_actions_t` of glibc's <spawn.h> and `struct __spawn_action` of its spawn_int.h:
    /// allocated, used, and an array of a tag and what belongs to it.
    fn read_glibc(&mut self, probe: &mut Probe, list: usize) -> Option<()> {
        const SIZE: usize = 32;
        let used = half(probe, list + 4)?;
        let array = word(probe, list + 8)?;
        for index in 0..usize::try_from(used).unwrap_or(0) {
            if index == MOST {
                return None;
            }
            let place = array.checked_add(index * SIZE)?;
            let action = match half(probe, place)? {
                0 => Action::Close,
                1 => Action::Duplicate,
                2 => Action::Open,
                3 => Action::Directory,
                4 => Action::OpenDirectory,
                5 => Action::CloseFrom,
                6 => Action::Terminal,
                _ => return None,
            };
            let fd = half(probe, place + 8)?;
            let found = match action {
                Action::Open => Found {
                    action,
                    fd,
                    other: half(probe, place + 24)?,
                    mode: half(probe, place + 28)? as u32,
                    path: word(probe, place + 16)? as *const c_char,
                },
                Action::Directory => {
                    let path = word(probe, place + 8)? as *const c_char;
                    Found { action, fd: 0, other: 0, mode: 0, path }
                }
                // What others leave of the element was never written.
                _ => {
                    let other = if action == Action::Duplicate { half(probe, place + 12)? } else { 0 };
                    Found { action, fd, other, mode: 0, path: core::ptr::null() }
                }
            };
            self.put(probe, &found)?;
        }
        Some(())
    }

    /// `struct fdop` of musl's src/process/fdop.h: a list whose last element comes first.
    fn read_musl(&mut self, probe: &mut Probe, list: usize) -> Option<()> {
        let mut place = word(probe, list + 8)?;
        if place == 0 {
            return Some(());
        }
        for _ in 0..MOST {
            match word(probe, place)? {
                0 => break,
                next => place = next,
            }
        }
        for _ in 0..MOST {
            let (fd, source) = (half(probe, place + 20)?, half(probe, place + 24)?);
            let (flags, mode) = (half(probe, place + 28)?, half(probe, place + 32)? as u32);
            let path = (place + 36) as *const c_char;
            let none = core::ptr::null();
            let found = match half(probe, place + 16)? {
                1 => Found { action: Action::Close, fd, other: 0, mode: 0, path: none },
                2 => Found { action: Action::Duplicate, fd: source, other: fd, mode: 0, path: none },
                3 => Found { action: Action::Open, fd, other: flags, mode, path },
                4 => Found { action: Action::Directory, fd: 0, other: 0, mode: 0, path },
                5 => Found { action: Action::OpenDirectory, fd, other: 0, mode: 0, path: none },
                _ => return None,
            };
            self.put(probe, &found)?;
            place = match word(probe, place + 8)? {
                0 => return Some(()),
                before => before,
            };
        }
        None
    }

    /// Appends one action; `None` where there is no room for it.
    fn put(&mut self, probe: &mut Probe, found: &Found) -> Option<()> {
        let path: &[u8] = match found.path.is_null() {
            true => &[],
            false => {
                let len = probe.length(found.path, CAP)?;
                // SAFETY: so many bytes were found readable; libc keeps its own copy of the caller's path.
                unsafe { core::slice::from_raw_parts(found.path.cast::<u8>(), len) }
            }
        };
        let numbers = [found.fd.to_le_bytes(), found.other.to_le_bytes(), found.mode.to_le_bytes()];
        let path_len = (path.len() as u16).to_le_bytes();
        let tag = [found.action as u8];
        let parts = [&tag[..], numbers.as_flattened(), &path_len, path];
        let end = self.len + parts.iter().map(|part| part.len()).sum::<usize>();
        let mut place = self.bytes.get_mut(self.len..end)?;
        for part in parts {
            let (here, rest) = place.split_at_mut_checked(part.len())?;
            here.copy_from_slice(part);
            place = rest;
        }
        self.len = end;
        self.follow(found, path);
        Some(())
    }

    /// Notes where the child goes, and that a directory which it opens itself is none of the parent's.
    fn follow(&mut self, found: &Found, path: &[u8]) {
        match found.action {
            Action::OpenDirectory => {
                self.dir = if self.makes(found.fd) { UNKNOWN } else { found.fd };
                self.prefix_len = 0;
            }
            Action::Directory => {
                if path.first() == Some(&b'/') {
                    (self.dir, self.prefix_len) = (AT_FDCWD, 0);
                }
                let end = self.prefix_len + path.len() + 1;
                match self.prefix.get_mut(self.prefix_len..end).and_then(<[u8]>::split_last_mut) {
                    Some((slash, place)) => {
                        place.copy_from_slice(path);
                        *slash = b'/';
                        self.prefix_len = end;
                    }
                    None => self.dir = UNKNOWN,
                }
            }
            _ => {}
        }
    }

    /// Whether one of the actions so far makes this descriptor.
    fn makes(&self, fd: c_int) -> bool {
        wire::fields::actions(self.bytes()).any(|made| match made.action {
            Action::Open => made.fd == fd,
            Action::Duplicate => made.other == fd,
            _ => false,
        })
    }
}

/// No directory of the parent's.
const UNKNOWN: c_int = -1;

/// The number at `place`, where it can be read.
fn half(probe: &mut Probe, place: usize) -> Option<c_int> {
    // SAFETY: the four bytes were just found readable.
    probe.holds(place, 4).then(|| unsafe { (place as *const c_int).read_unaligned() })
}

/// The word at `place`, where it can be read.
fn word(probe: &mut Probe, place: usize) -> Option<usize> {
    // SAFETY: the eight bytes were just found readable.
    probe.holds(place, 8).then(|| unsafe { (place as *const usize).read_unaligned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CString;
    use std::mem::MaybeUninit;

    /// The actions that libc's own functions put into a list.
    fn of(fill: impl FnOnce(*mut libc::posix_spawn_file_actions_t)) -> Actions {
        let mut list = MaybeUninit::<libc::posix_spawn_file_actions_t>::zeroed();
        // SAFETY: initialised before it is filled and read.
        unsafe { assert_eq!(0, libc::posix_spawn_file_actions_init(list.as_mut_ptr())) };
        fill(list.as_mut_ptr());
        let mut actions = Actions::new();
        actions.read_as(&mut Probe::new(), list.as_ptr() as usize, true);
        actions
    }

    fn path(text: &str) -> *const c_char {
        CString::new(text).unwrap().into_raw()
    }

    #[test]
    fn actions_are_read_in_their_order_as_this_libc_keeps_them() {
        let actions = of(|list| {
            // SAFETY: an initialised list, and C strings that stay.
            unsafe {
                libc::posix_spawn_file_actions_addclose(list, 7);
                libc::posix_spawn_file_actions_adddup2(list, 8, 1);
                libc::posix_spawn_file_actions_addopen(list, 2, path("/log"), libc::O_WRONLY, 0o600);
                libc::posix_spawn_file_actions_addchdir_np(list, path("a"));
                libc::posix_spawn_file_actions_addchdir_np(list, path("b"));
            }
        });

        let read: Vec<_> = wire::fields::actions(actions.bytes())
            .map(|one| (one.action, one.fd, one.other, one.mode, one.path.to_vec()))
            .collect();
        let expected = [
            (Action::Close, 7, 0, 0, b"".to_vec()),
            (Action::Duplicate, 8, 1, 0, b"".to_vec()),
            (Action::Open, 2, libc::O_WRONLY, 0o600, b"/log".to_vec()),
            (Action::Directory, 0, 0, 0, b"a".to_vec()),
            (Action::Directory, 0, 0, 0, b"b".to_vec()),
        ];
        assert_eq!(expected[1..], read[1..]);
        assert_eq!((Action::Close, 7), (read[0].0, read[0].1));
        assert_eq!(Some((AT_FDCWD, &b"a/b/"[..])), actions.directory());
    }

    #[test]
    fn what_libc_did_not_write_is_not_read() {
        let elements = [0, 5, 6].map(|tag| [tag, -1, 7, -1, -1, -1, -1, -1]);
        let list: [usize; 2] = [3 << 32 | 8, (&raw const elements) as usize];
        let mut actions = Actions::new();

        actions.read_as(&mut Probe::new(), (&raw const list) as usize, true);

        let read: Vec<_> = wire::fields::actions(actions.bytes())
            .map(|one| (one.action, one.fd, one.other, one.mode))
            .collect();
        let expected = [Action::Close, Action::CloseFrom, Action::Terminal].map(|action| (action, 7, 0, 0));
        assert_eq!(expected.as_slice(), read);
    }

    #[test]
    fn directory_that_the_child_opens_itself_is_unknown_to_the_parent() {
        // SAFETY: an initialised list.
        let go = |list, fd| unsafe { libc::posix_spawn_file_actions_addfchdir_np(list, fd) };

        let own = of(|list| _ = go(list, 5));
        let made = of(|list| {
            // SAFETY: an initialised list.
            unsafe { libc::posix_spawn_file_actions_adddup2(list, 9, 5) };
            go(list, 5);
        });

        assert_eq!(Some((5, &b""[..])), own.directory());
        assert_eq!(None, made.directory());
    }

    #[test]
    fn lists_that_are_none_or_too_long_are_cut() {
        let mut wild = Actions::new();
        wild.read_as(&mut Probe::new(), 0x1000, true);
        let long = of(|list| {
            // SAFETY: an initialised list.
            (0..1000).for_each(|fd| unsafe { _ = libc::posix_spawn_file_actions_addclose(list, fd) });
        });

        assert!(wild.is_cut && wild.bytes().is_empty());
        assert!(long.is_cut && !long.bytes().is_empty() && long.directory().is_none());
    }
}
