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

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Statx, StatxFlags, fstatfs, open, openat2, statx,
};
use rustix::io::Errno;

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
    let kind = fstatfs(place)?.f_type;
    // The magic numbers have 32 bits, and some machines sign-extend them.
    Ok(LOCAL.contains(&(kind as u64 & 0xffff_ffff)))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

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
