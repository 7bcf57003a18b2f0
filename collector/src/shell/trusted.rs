//! Walks to a file without following anything that a lesser user could have put in the way.
//!
//! The collector often runs as root and writes to paths whose directories others can write too, such as /tmp.
//! There a link that another user made leads a write to any file of root's. The kernel has rules against that
//! (`fs.protected_symlinks`, `protected_hardlinks`, `protected_regular`, `protected_fifos`: proc_sys_fs(5)),
//! which hold for sticky directories only and can be off. [`Place::of`] applies stricter ones itself, from
//! the root directory on, one component at a time by descriptor, so that no rename makes a check void:
//!
//! * Trusted owners are root, this process's own user, and the owner of `/`, who could change everything. (In
//!   a user namespace that does not map root, root's directories belong to the overflow user; he owns `/`.)
//! * In a directory of a trusted owner that only he can write, everything may be what it is: links too, since
//!   he made them.
//! * In a sticky directory of such an owner that others can write, entries of trusted owners count. A link or
//!   a file with several names does not: another user can have given it this name (link(2)).
//! * In any other directory (of another user, or open to others) and below, no link is followed, and only
//!   regular files of trusted owners with one name are opened, or new ones made.
//!
//! A link in procfs (/proc/self/fd/1) is no text: the kernel follows it, where its process is of a trusted
//! owner. openat2(2) is not used: none of its flags asks who made a link.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

/// Links that are followed on one path, as the kernel's own limit (path_resolution(7)).
const MOST_LINKS: u32 = 40;

/// Flags by which a component is looked at and not opened.
const LOOK: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Why a path is not used: what is wrong, and what to do.
#[derive(Debug)]
pub enum Refused {
    /// A system call failed.
    Failed(io::Error),
    /// Another user could lead this path elsewhere, or read what is written.
    Unsafe(String),
}

impl From<Errno> for Refused {
    fn from(errno: Errno) -> Self {
        Self::Failed(errno.into())
    }
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

/// Who can have put an entry into a directory. Ordered from trust to distrust.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Openness {
    /// Only trusted owners.
    Closed,
    /// Anybody, but an entry's owner shows by whom (sticky).
    Shared,
    /// Anybody, under any owner's name.
    Open,
}

/// The last component of a path whose links are all followed.
#[derive(Debug)]
pub struct Place {
    /// Its directory.
    pub folder: OwnedFd,
    /// Its name in there. Empty for a directory that the path ends in.
    pub name: OsString,
    /// What may stand there.
    pub openness: Openness,
    /// What stands there; `None` if nothing does. Never a link, unless [`Self::is_magic`] or not followed.
    pub found: Option<Stat>,
    /// It is a link of procfs, which only the kernel can follow.
    pub is_magic: bool,
}

/// The user ids whose entries are trusted.
#[derive(Clone, Copy, Debug)]
struct Trust {
    own: u32,
    own_group: u32,
    owner_of_root: u32,
}

impl Trust {
    fn now(root: &Stat) -> Self {
        Self {
            own: rustix::process::geteuid().as_raw(),
            own_group: rustix::process::getegid().as_raw(),
            owner_of_root: root.st_uid,
        }
    }

    fn has(self, uid: u32) -> bool {
        uid == 0 || uid == self.own || uid == self.owner_of_root
    }

    /// A group that counts as its only member: root's, and that of a user who is not root, since many systems
    /// give each user a group of his own, and make it a writer of all that he makes.
    fn has_group(self, gid: u32) -> bool {
        gid == 0 || (self.own != 0 && gid == self.own_group)
    }

    fn openness(self, folder: &Stat) -> Openness {
        let (mode, uid, gid) = (folder.st_mode, folder.st_uid, folder.st_gid);
        let is_open = mode & 0o002 != 0 || (mode & 0o020 != 0 && !self.has_group(gid));
        match (self.has(uid), is_open) {
            (false, _) => Openness::Open,
            (true, false) => Openness::Closed,
            (true, true) if mode & libc::S_ISVTX != 0 => Openness::Shared,
            (true, true) => Openness::Open,
        }
    }
}

impl Place {
    /// Walks to `path`. Nothing need stand there, but its directory must exist.
    pub fn of(path: &Path) -> Result<Self, Refused> {
        Walk::new()?.to(path, true)
    }

    /// As [`Self::of`], but what stands there may be a link: the place of that itself.
    pub fn of_entry(path: &Path) -> Result<Self, Refused> {
        Walk::new()?.to(path, false)
    }

    /// Whether something else than a link was put here by a trusted owner.
    ///
    /// Fails with the remedy where it may have been put here by another user.
    pub fn check(&self, path: &Path) -> Result<(), Refused> {
        let Some(found) = &self.found else { return Ok(()) };
        let trust = Trust::now(&rustix::fs::stat("/")?);
        let is_file = FileType::from_raw_mode(found.st_mode) == FileType::RegularFile;
        let refused =
            |what: &str, remedy: &str| Err(Refused::Unsafe(format!("'{}' {what}; {remedy}", path.display())));
        if self.openness > Openness::Closed && !trust.has(found.st_uid) {
            let what = format!("belongs to uid {} in a directory that others can write", found.st_uid);
            return refused(&what, "remove it, or choose a directory that only you can write");
        }
        if found.st_nlink > 1 && is_file && (self.openness > Openness::Closed || !trust.has(found.st_uid)) {
            return refused(
                "has several names (hard links), one of them where others can write",
                "remove it, or choose a directory that only you can write",
            );
        }
        if self.openness == Openness::Open && !is_file {
            return refused(
                "is no regular file, in a directory that others can write",
                "choose one in a directory that only you can write",
            );
        }
        Ok(())
    }

    /// Opens what was found, and makes sure that it is still that.
    pub fn open(&self, flags: OFlags) -> Result<OwnedFd, Refused> {
        let flags = flags | OFlags::CLOEXEC | OFlags::NOCTTY;
        if self.is_magic {
            return Ok(rustix::fs::openat(&self.folder, &self.name, flags, Mode::empty())?);
        }
        let file = rustix::fs::openat(&self.folder, &self.name, flags | OFlags::NOFOLLOW, Mode::empty())?;
        let now = rustix::fs::fstat(&file)?;
        let is_same = |found: &Stat| (found.st_dev, found.st_ino) == (now.st_dev, now.st_ino);
        match self.found.as_ref().is_some_and(is_same) {
            true => Ok(file),
            // Replaced since it was looked at.
            false => Err(Errno::AGAIN.into()),
        }
    }

    /// Makes a new file under this name or another one beside it. Fails with EEXIST where something is there.
    pub fn create(&self, name: &OsStr, flags: OFlags, mode: Mode) -> rustix::io::Result<OwnedFd> {
        const NEW: OFlags = OFlags::CREATE.union(OFlags::EXCL).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
        rustix::fs::openat(&self.folder, name, flags | NEW | OFlags::WRONLY, mode)
    }
}

/// A walk: where it stands, and what it has passed.
struct Walk {
    trust: Trust,
    root: OwnedFd,
    folder: OwnedFd,
    openness: Openness,
    /// The path so far, for messages.
    passed: PathBuf,
    links: u32,
}

/// A step that is still to be made.
enum Step {
    Up,
    Into(OsString),
}

impl Walk {
    fn new() -> Result<Self, Refused> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::openat(CWD, "/", flags, Mode::empty())?;
        let stat = rustix::fs::fstat(&root)?;
        let trust = Trust::now(&stat);
        let folder = root.try_clone()?;
        let openness = trust.openness(&stat);
        Ok(Self { trust, root, folder, openness, passed: PathBuf::from("/"), links: 0 })
    }

    fn to(mut self, path: &Path, follows_last: bool) -> Result<Place, Refused> {
        let mut steps: VecDeque<Step> = steps(&std::path::absolute(path)?).collect();
        // A slash at the end asks for a directory, which no output is.
        let is_folder = path.as_os_str().as_bytes().ends_with(b"/");
        while let Some(step) = steps.pop_front() {
            let name = match step {
                Step::Up => {
                    self.enter_found(rustix::fs::openat(&self.folder, "..", LOOK, Mode::empty())?)?;
                    self.passed.pop();
                    continue;
                }
                Step::Into(name) => name,
            };
            let found = match rustix::fs::openat(&self.folder, &name, LOOK, Mode::empty()) {
                Ok(found) => found,
                Err(Errno::NOENT) if steps.is_empty() && !is_folder => {
                    return Ok(self.place(name, None, false));
                }
                Err(errno) => return Err(errno.into()),
            };
            let stat = rustix::fs::fstat(&found)?;
            let kind = FileType::from_raw_mode(stat.st_mode);
            if kind == FileType::Symlink && (follows_last || !steps.is_empty()) {
                self.check_link(&name, &stat)?;
                if is_of_procfs(found.as_fd()) {
                    if steps.is_empty() {
                        return Ok(self.place(name, Some(stat), true));
                    }
                    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
                    let target = rustix::fs::openat(&self.folder, &name, flags, Mode::empty())?;
                    self.passed.push(&name);
                    self.enter_found(target)?;
                    continue;
                }
                let target = rustix::fs::readlinkat(&found, "", Vec::new())?.into_bytes();
                let target = PathBuf::from(OsString::from_vec(target));
                if target.is_absolute() {
                    self.begin_again()?;
                }
                for step in self::steps(&target).collect::<Vec<_>>().into_iter().rev() {
                    steps.push_front(step);
                }
                if steps.is_empty() {
                    return Err(Errno::ISDIR.into());
                }
            } else if steps.is_empty() && !is_folder {
                return Ok(self.place(name, Some(stat), false));
            } else if kind == FileType::Directory {
                self.passed.push(&name);
                self.enter_found(found)?;
            } else {
                return Err(Errno::NOTDIR.into());
            }
        }
        // The path ended in `..`, `/`, or a link to one of these.
        Err(Errno::ISDIR.into())
    }

    /// Goes on from a directory. What was passed before does not become safer by it.
    fn enter_found(&mut self, folder: OwnedFd) -> Result<(), Refused> {
        let stat = rustix::fs::fstat(&folder)?;
        let own = self.trust.openness(&stat);
        // In a shared directory, a directory of a trusted owner can have been put there by him alone.
        self.openness = if self.openness == Openness::Open { Openness::Open } else { own };
        self.folder = folder;
        Ok(())
    }

    fn begin_again(&mut self) -> Result<(), Refused> {
        // Only links of trusted owners lead here.
        self.openness = self.trust.openness(&rustix::fs::fstat(&self.root)?);
        self.folder = self.root.try_clone()?;
        self.passed = PathBuf::from("/");
        Ok(())
    }

    fn check_link(&mut self, name: &OsStr, link: &Stat) -> Result<(), Refused> {
        self.links += 1;
        if self.links > MOST_LINKS {
            return Err(Errno::LOOP.into());
        }
        let is_trusted = match self.openness {
            Openness::Closed => true,
            Openness::Shared => self.trust.has(link.st_uid) && link.st_nlink == 1,
            Openness::Open => false,
        };
        if is_trusted {
            return Ok(());
        }
        let whose = match self.trust.has(link.st_uid) {
            true => "in a directory that others can write".to_owned(),
            false => format!("that uid {} made", link.st_uid),
        };
        Err(Refused::Unsafe(format!(
            "'{}' is a symbolic link {whose}; give the path that it leads to",
            self.passed.join(name).display(),
        )))
    }

    fn place(self, name: OsString, found: Option<Stat>, is_magic: bool) -> Place {
        Place { folder: self.folder, name, openness: self.openness, found, is_magic }
    }
}

/// The steps of a path, without those that stay where they are.
fn steps(path: &Path) -> impl Iterator<Item = Step> {
    path.components().filter_map(|component| match component {
        Component::ParentDir => Some(Step::Up),
        Component::Normal(name) => Some(Step::Into(name.to_owned())),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}

/// Whether a link is one of procfs.
fn is_of_procfs(link: BorrowedFd) -> bool {
    const PROC_SUPER_MAGIC: i64 = 0x9fa0;
    #[allow(clippy::unnecessary_cast, reason = "the type differs between architectures")]
    rustix::fs::fstatfs(link).is_ok_and(|found| found.f_type as i64 == PROC_SUPER_MAGIC)
}
