//! Opening files that somebody else names: regular ones only, and without waiting.
//!
//! A FIFO waits for a writer, a device may do anything, and between a look at a path and its opening another
//! file can take the place. So the path is first opened with O_PATH, which opens nothing; what that
//! descriptor leads to is looked at, and then the same file is opened (open(2), O_PATH).

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Statx, StatxFlags, fstatfs, open, openat2, statx,
};
use rustix::io::Errno;

use super::examiner::Examiner;
use crate::allowance::Account;
use crate::ids::FileId;

/// The file systems of which a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// Any: for a user who names the file.
    Any,
    /// Those whose files the kernel reads by itself, and the one that this process's root is on. The server
    /// of another (FUSE, NFS, 9p) may never answer.
    Local,
}

/// File systems that the kernel reads by itself (include/uapi/linux/magic.h, and for those that are not there
/// their own sources): ext2 to ext4, XFS, Btrfs, overlay, tmpfs, ramfs, SquashFS, EROFS, F2FS, ZFS, bcachefs,
/// ISO 9660, FAT, exFAT.
const LOCAL: [u64; 14] = [
    0xef53,
    0x5846_5342,
    0x9123_683e,
    0x794c_7630,
    0x0102_1994,
    0x8584_58f6,
    0x7371_7368,
    0xe0f5_e1e2,
    0xf2f5_2010,
    0x2fc1_2fc1,
    0xca45_1a4e,
    0x9660,
    0x4d44,
    0x2011_bab0,
];

/// Opens a regular file for reading.
///
/// An error of the kind `Unsupported` for anything else, and for a file system that `on` leaves out.
pub fn open_regular(path: &Path, on: On) -> io::Result<File> {
    open_found(&open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?, on)
}

/// As [`open_regular`], of what an O_PATH descriptor leads to.
pub fn open_found(place: &OwnedFd, on: On) -> io::Result<File> {
    if !is_regular(place)? || on == On::Local && !is_local(place)? {
        return Err(io::ErrorKind::Unsupported.into());
    }
    open_again(place)
}

/// The path, without symbolic links, of what `path` leads to if that is `file`; found in the kernel's cache
/// alone (openat2(2), RESOLVE_CACHED, Linux 5.12). `None` also where a file system would have to be asked.
pub fn path_at_once(path: &Path, file: FileId) -> Option<Vec<u8>> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let resolve = ResolveFlags::CACHED | ResolveFlags::NO_MAGICLINKS;
    path_of_file(&openat2(CWD, path, flags, Mode::empty(), resolve).ok()?, file)
}

/// What a path leads to, unopened, as far as no file system has to be asked but that of this process's root;
/// `Ok(None)` where one would have to be.
pub fn find_at_once(path: &Path) -> rustix::io::Result<Option<OwnedFd>> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let look =
        |resolve| openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_MAGICLINKS | resolve).map(Some);
    match look(ResolveFlags::CACHED) {
        Err(Errno::AGAIN) => match look(ResolveFlags::NO_XDEV) {
            Err(Errno::XDEV | Errno::AGAIN) => Ok(None),
            found => found,
        },
        // Before Linux 5.12.
        Err(Errno::INVAL | Errno::NOSYS) => Ok(None),
        found => found,
    }
}

/// As [`path_at_once`], of any file system, which may have to be waited for.
pub fn path_at(path: &Path, file: FileId) -> Option<Vec<u8>> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let place = match openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_MAGICLINKS) {
        // Before Linux 5.6.
        Err(Errno::NOSYS) => open(path, flags, Mode::empty()),
        found => found,
    };
    path_of_file(&place.ok()?, file)
}

/// Looks up the directory `path` below the directory `root`, which counts as its root, in the kernel's cache
/// alone. A symbolic link that was made within the same tick as it was used still has its time of access
/// written, for which the cache is left: then it is looked up once more on the file system of this process's
/// root alone, which has not to be waited for.
pub fn directory_at_once(root: &Path, path: &[u8]) -> Option<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::CACHED | ResolveFlags::NO_MAGICLINKS | ResolveFlags::IN_ROOT;
    let place = open(root, flags, Mode::empty()).ok()?;
    let look = |resolve| insist(|| openat2(&place, path, flags, Mode::empty(), resolve));
    match look(resolve) {
        Err(Errno::AGAIN) if root == Path::new("/") => {
            look(resolve.difference(ResolveFlags::CACHED) | ResolveFlags::NO_XDEV).ok()
        }
        found => found.ok(),
    }
}

/// Looks again where the kernel could not tell where `..` leads, since a name changed anywhere meanwhile
/// (openat2(2), EAGAIN).
fn insist<T>(mut look: impl FnMut() -> rustix::io::Result<T>) -> rustix::io::Result<T> {
    const TRIES: usize = 8;
    let mut found = look();
    for _ in 1..TRIES {
        if !matches!(found, Err(Errno::AGAIN)) {
            break;
        }
        found = look();
    }
    found
}

fn path_of_file(place: &OwnedFd, file: FileId) -> Option<Vec<u8>> {
    let is_it = identify(place.as_fd(), "", AtFlags::EMPTY_PATH) == Some(file);
    if is_it { path_of(place) } else { None }
}

/// The path of what an open descriptor leads to.
pub fn path_of(place: &OwnedFd) -> Option<Vec<u8>> {
    let link = std::fs::read_link(format!("/proc/self/fd/{}", place.as_raw_fd())).ok()?;
    Some(link.into_os_string().into_vec())
}

/// What a path leads to. No file's server is waited for but those of the folders on the way.
pub fn id_at(path: &Path) -> Option<FileId> {
    identify(CWD, path, AtFlags::empty())
}

fn identify(dir: BorrowedFd<'_>, path: impl rustix::path::Arg, flags: AtFlags) -> Option<FileId> {
    let stat = statx(dir, path, flags | AtFlags::STATX_DONT_SYNC, StatxFlags::INO).ok()?;
    let device = rustix::fs::makedev(stat.stx_dev_major, stat.stx_dev_minor);
    Some(FileId { device, inode: stat.stx_ino })
}

fn open_again(place: &OwnedFd) -> io::Result<File> {
    let again = format!("/proc/self/fd/{}", place.as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    Ok(File::from(open(again, flags, Mode::empty())?))
}

fn is_regular(place: &OwnedFd) -> io::Result<bool> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let stat = statx(place, c"", flags, StatxFlags::TYPE)?;
    Ok(FileType::from_raw_mode(stat.stx_mode.into()) == FileType::RegularFile)
}

/// Whether a file is on the file system of this process's root.
fn is_at_root(place: &OwnedFd) -> io::Result<bool> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let device = |stat: Statx| (stat.stx_dev_major, stat.stx_dev_minor);
    let root = statx(CWD, "/", AtFlags::STATX_DONT_SYNC, StatxFlags::TYPE)?;
    Ok(device(root) == device(statx(place, c"", flags, StatxFlags::TYPE)?))
}

/// Whether a file system is one of [`On::Local`].
pub fn is_local(place: &OwnedFd) -> io::Result<bool> {
    if is_at_root(place)? {
        return Ok(true);
    }
    let aside = ASIDE.get().filter(|_| !is_on_block_device(place));
    let kind = match aside.map(|aside| aside.lock().unwrap_or_else(PoisonError::into_inner)) {
        None => kind(place)?,
        Some(mut aside) => {
            let again = place.try_clone()?;
            let asked = aside.begin(&Account::boundless(), move || kind(&again));
            asked.and_then(|asked| asked.wait(PATIENCE)).ok_or(io::ErrorKind::TimedOut)??
        }
    };
    // The magic numbers have 32 bits, and some machines sign-extend them.
    Ok(LOCAL.contains(&(kind & 0xffff_ffff)))
}

/// The server of a file system (FUSE) is asked even for this, and may never answer.
fn kind(place: &OwnedFd) -> io::Result<u64> {
    Ok(fstatfs(place)?.f_type as u64)
}

/// Less than the patience of a holder, for whose sake it is asked aside.
const PATIENCE: Duration = Duration::from_millis(150);

/// Threads that ask for the kind of a file system, where a process that must not be held up has them.
static ASIDE: OnceLock<Mutex<Examiner>> = OnceLock::new();

/// From here on, no file system holds this process up that is asked whether it is one of [`On::Local`]: a
/// thread asks it, for a moment. The process must not fork any more.
pub fn ask_aside() {
    ASIDE.get_or_init(Mutex::default);
}

/// Whether a file is on a file system of a block device: only root mounts those, and the kernel knows most of
/// them by itself.
fn is_on_block_device(place: &OwnedFd) -> bool {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    statx(place, c"", flags, StatxFlags::TYPE).is_ok_and(|stat| stat.stx_dev_major != 0)
}

#[cfg(test)]
pub mod tests {
    use std::io::Read;
    use std::path::PathBuf;
    use std::process::Command;

    use super::*;
    use crate::shell::listeners::tests::returns;

    /// A file system whose server never answers.
    #[derive(Debug)]
    pub struct Silent {
        folder: PathBuf,
        server: Option<File>,
    }

    impl Silent {
        /// Mounts it; `None` where this user may not.
        pub fn mount(folder: &Path) -> Option<Self> {
            let server = File::options().read(true).write(true).open("/dev/fuse").ok()?;
            let mut mount = Command::new("mount");
            mount.args(["-i", "-t", "fuse", "-o", "fd=0,rootmode=40000,user_id=0,group_id=0", "silent"]);
            let mounted = mount.arg(folder).stdin(server.try_clone().unwrap()).status().ok()?;
            mounted.success().then(|| Self { folder: folder.to_owned(), server: Some(server) })
        }

        /// Its server ends: whoever waits gets an error.
        pub fn end(&mut self) {
            self.server = None;
        }
    }

    impl Drop for Silent {
        fn drop(&mut self) {
            self.end();
            let _ = Command::new("umount").arg("-l").arg(&self.folder).status();
        }
    }

    pub fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("glassbox-test-{}-files-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn a_file_system_whose_server_never_answers_holds_nobody_up_who_asks_aside() {
        let dir = folder("silent");
        let Some(silent) = Silent::mount(&dir) else { return };
        ask_aside();
        let place = open(&dir, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
        let within = dir.join("program");

        let has_returned = returns(move || {
            assert_eq!(io::ErrorKind::TimedOut, is_local(&place).unwrap_err().kind());
            assert!(find_at_once(&within).unwrap().is_none());
        });

        drop(silent);
        assert!(has_returned);
        std::fs::remove_dir(dir).unwrap();
    }

    #[test]
    fn programs_are_found_at_once_where_this_processs_root_is() {
        let found = |path: &str| find_at_once(Path::new(path)).map(|found| found.is_some());

        assert_eq!((Ok(true), Err(Errno::NOENT)), (found("/bin/sh"), found("/bin/nothing-of-that-name")));
    }

    #[test]
    fn only_regular_files_are_opened_and_nothing_is_waited_for() {
        let fifo = std::env::temp_dir().join(format!("glassbox-files-{}", std::process::id()));
        rustix::fs::mkfifoat(CWD, &fifo, Mode::RWXU).unwrap();

        let kinds = [Path::new("/dev/null"), Path::new("/"), &fifo, Path::new("/nonexistent")]
            .map(|path| open_regular(path, On::Any).unwrap_err().kind());
        let text = open_regular(Path::new("/proc/self/exe"), On::Local).and_then(|mut file| {
            let mut start = [0; 4];
            file.read_exact(&mut start).map(|()| start)
        });
        std::fs::remove_file(fifo).unwrap();

        let unsupported = io::ErrorKind::Unsupported;
        assert_eq!([unsupported, unsupported, unsupported, io::ErrorKind::NotFound], kinds);
        assert_eq!(*b"\x7fELF", text.unwrap());
    }

    #[test]
    fn files_of_the_kernel_itself_are_not_local() {
        let of = |path: &str, on| open_regular(Path::new(path), on).map(drop).map_err(|error| error.kind());

        assert_eq!(Err(io::ErrorKind::Unsupported), of("/proc/self/maps", On::Local));
        assert_eq!(Ok(()), of("/proc/self/maps", On::Any));
    }
}
