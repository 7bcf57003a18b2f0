//! Makes, opens and replaces the files that this program writes.
//!
//! Every file that is written at a path of the caller's goes through here: [`open`] writes into it from the
//! start or at its end, [`replace`] gives it a new content as a whole or not at all, and [`put`] puts a file
//! of this program's own there. All walk by [`super::trusted`], so that root follows nothing that a lesser
//! user put there, and leave alone what is no regular file: devices and FIFOs stay what they are.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::trusted::{Place, Refused};
use crate::shell::failure::{Failure, say};

/// How often a path is walked again after something was replaced in between.
const TRIES: usize = 16;

/// The mode of a file that holds what programs did: whole command lines, passwords in them too.
pub const SECRET: u32 = 0o600;

/// Where writing begins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum From {
    /// A regular file is emptied.
    Start,
    /// A regular file is added to.
    End,
}

/// The permissions of a regular file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Permissions {
    /// A new file gets [`SECRET`], whatever the umask says; one that is there loses what exceeds that.
    Secret,
    /// A new file and one that is there get these, whatever the umask says.
    Asked(u32),
    /// A new file gets what the umask leaves, and one that is there keeps its own: for what is no secret,
    /// where the caller decides who reads it, as with any compiler or editor.
    Callers,
}

/// Opens a file for writing, and makes it if it is not there. `what` names it in messages: `output`.
///
/// Blocks on a FIFO without a reader, as open(2) does. Fails with status 73 and a remedy.
pub fn open(path: &Path, what: &str, from: From, permissions: Permissions) -> Result<File, Failure> {
    again(|| attempt(path, from, permissions)).map_err(|refused| match refused {
        Refused::Failed(error) => Failure::output(format!(
            "cannot write {what} '{}': {error}; choose a file in a directory that exists and is writable",
            path.display()
        )),
        Refused::Unsafe(why) => Failure::output(format!("cannot write {what}: {why}")),
    })
}

fn attempt(path: &Path, from: From, permissions: Permissions) -> Result<File, Refused> {
    let place = Place::of(path)?;
    place.check(path)?;
    let at_end = if from == From::End { OFlags::APPEND } else { OFlags::empty() };
    let Some(found) = &place.found else {
        let mode = if permissions == Permissions::Callers { 0o666 } else { SECRET };
        let file = File::from(place.create(&place.name, at_end, Mode::from_raw_mode(mode))?);
        if let Some(wanted) = permissions.wanted(SECRET) {
            // A file system without modes (vfat) refuses; there the mount decides who reads.
            let _ = set_mode(&file, wanted);
        }
        return Ok(file);
    };
    match kind(&place, found) {
        Kind::Regular => {
            // A FIFO that was put in its place meanwhile must not hold the open up.
            let file = File::from(place.open(OFlags::WRONLY | OFlags::NONBLOCK | at_end)?);
            protect(&file, found, permissions, path)?;
            if from == From::Start {
                file.set_len(0)?;
            }
            Ok(file)
        }
        // What stands behind a descriptor that the caller opened is his: nothing of it is lost.
        Kind::Descriptor => Ok(File::from(place.open(OFlags::WRONLY | OFlags::APPEND)?)),
        Kind::Stream => Ok(File::from(place.open(OFlags::WRONLY)?)),
        Kind::Other(name) => Err(no_file(path, name)),
    }
}

/// Gives a regular file that is there its permissions, before anything is written to it.
fn protect(file: &File, found: &Stat, permissions: Permissions, path: &Path) -> Result<(), Refused> {
    let present = found.st_mode & 0o7777;
    let Some(wanted) = permissions.wanted(present) else { return Ok(()) };
    if wanted == present {
        return Ok(());
    }
    match (set_mode(file, wanted), permissions) {
        (Ok(()), Permissions::Secret) => {
            say(&format!(
                "'{path}' had mode {present:04o}, and has {wanted:04o} from now on; mode={0:04o} behind it keeps that",
                // As `mode=` takes it.
                (present & 0o777) | 0o200,
                path = path.display()
            ));
            Ok(())
        }
        (Ok(()), _) => Ok(()),
        (Err(error), _) => Err(Refused::Unsafe(format!(
            "'{}' has mode {present:04o}, which cannot be changed to {wanted:04o} ({error}); remove it, or give \
             mode={present:04o}",
            path.display()
        ))),
    }
}

impl Permissions {
    /// The mode of a file that has or would have `present`; `None` where that is to stay.
    fn wanted(self, present: u32) -> Option<u32> {
        match self {
            Self::Secret => Some(present & SECRET),
            Self::Asked(mode) => Some(mode),
            Self::Callers => None,
        }
    }
}

fn set_mode(file: impl AsFd, mode: u32) -> rustix::io::Result<()> {
    rustix::fs::fchmod(file, Mode::from_raw_mode(mode))
}

/// Gives the caller's file at `path` a new content: a reader sees the whole old one or the whole new one. A
/// file that is there keeps its mode and owner; a new one gets what the umask leaves.
///
/// A link that leads to it stays; a device, a FIFO or an open descriptor (/dev/stdout) is written to and
/// stays what it is. Fails with status 73 and a remedy.
pub fn replace(path: &Path, text: &[u8]) -> Result<(), Failure> {
    again(|| attempt_to_replace(path, text)).map_err(|refused| not_replaced(path, refused))
}

/// Puts a file of this program's own at `path`, with this mode: whatever file or link is there makes room for
/// it as a whole, and nothing that a link leads to is touched. Fails with status 73 and a remedy.
pub fn put(path: &Path, text: &[u8], mode: u32) -> Result<(), Failure> {
    again(|| attempt_to_put(path, text, mode)).map_err(|refused| not_replaced(path, refused))
}

fn not_replaced(path: &Path, refused: Refused) -> Failure {
    match refused {
        Refused::Failed(error) => Failure::output(format!(
            "cannot replace '{}': {error}; choose a file in a directory that exists and is writable",
            path.display()
        )),
        Refused::Unsafe(why) => Failure::output(format!("cannot replace: {why}")),
    }
}

fn attempt_to_replace(path: &Path, text: &[u8]) -> Result<(), Refused> {
    let place = Place::of(path)?;
    let Some(found) = &place.found else { return exchange(&place, text, None, None) };
    let flags = match kind(&place, found) {
        Kind::Regular => return exchange(&place, text, Some(found.st_mode & 0o7777), Some(found)),
        Kind::Descriptor => OFlags::WRONLY | OFlags::APPEND,
        Kind::Stream => OFlags::WRONLY,
        Kind::Other(name) => return Err(no_file(path, name)),
    };
    place.check(path)?;
    Ok(File::from(place.open(flags)?).write_all(text)?)
}

fn attempt_to_put(path: &Path, text: &[u8], mode: u32) -> Result<(), Refused> {
    let place = Place::of_entry(path)?;
    match place.found.as_ref().map(|found| FileType::from_raw_mode(found.st_mode)) {
        None | Some(FileType::RegularFile | FileType::Symlink) => exchange(&place, text, Some(mode), None),
        Some(_) => Err(no_file(path, "no regular file")),
    }
}

/// Writes a file beside the present one, and renames it over that. It gets this mode, or what the umask
/// leaves, and the owner of the other, where there is one.
fn exchange(place: &Place, text: &[u8], mode: Option<u32>, like: Option<&Stat>) -> Result<(), Refused> {
    let (file, beside) = beside(place, Mode::from_raw_mode(if mode.is_none() { 0o666 } else { SECRET }))?;
    let write = || -> io::Result<()> {
        let mut file = File::from(file);
        file.write_all(text)?;
        if let Some(like) = like {
            let owner = rustix::fs::fstat(&file)?;
            if (owner.st_uid, owner.st_gid) != (like.st_uid, like.st_gid) {
                std::os::unix::fs::fchown(&file, Some(like.st_uid), Some(like.st_gid))?;
            }
        }
        // After the change of owner, which takes bits of the mode away (chown(2)).
        if let Some(mode) = mode {
            set_mode(&file, mode)?;
        }
        Ok(rustix::fs::renameat(&place.folder, &beside, &place.folder, &place.name)?)
    };
    write().map_err(|error| {
        let _ = rustix::fs::unlinkat(&place.folder, &beside, AtFlags::empty());
        error.into()
    })
}

/// A new file in the same directory. Its name is not made of the other's, which may be as long as names get.
fn beside(place: &Place, mode: Mode) -> Result<(OwnedFd, OsString), Refused> {
    let mut last = Errno::EXIST;
    for number in 0..TRIES {
        let name = OsString::from(format!(".glassbox-{}-{number}", std::process::id()));
        match place.create(&name, OFlags::empty(), mode) {
            Ok(file) => return Ok((file, name)),
            // Left by a process that was killed, or put there by another user.
            Err(Errno::EXIST) => {}
            Err(errno) => {
                last = errno;
                break;
            }
        }
    }
    Err(last.into())
}

/// What stands at a place, as far as writing goes.
enum Kind {
    Regular,
    /// A device or FIFO.
    Stream,
    /// An open descriptor, by procfs.
    Descriptor,
    /// What cannot be written to.
    Other(&'static str),
}

fn kind(place: &Place, found: &Stat) -> Kind {
    match FileType::from_raw_mode(found.st_mode) {
        _ if place.is_magic => Kind::Descriptor,
        FileType::RegularFile => Kind::Regular,
        FileType::CharacterDevice | FileType::Fifo => Kind::Stream,
        FileType::Directory => Kind::Other("a directory"),
        FileType::Socket => Kind::Other("a socket"),
        FileType::BlockDevice => Kind::Other("a block device"),
        _ => Kind::Other("no file"),
    }
}

fn no_file(path: &Path, name: &str) -> Refused {
    Refused::Unsafe(format!("'{}' is {name}; choose a file", path.display()))
}

/// Walks a path once more where something on it was replaced meanwhile.
fn again<T>(mut attempt: impl FnMut() -> Result<T, Refused>) -> Result<T, Refused> {
    let changed = |error: &io::Error| {
        [Errno::AGAIN, Errno::EXIST, Errno::LOOP]
            .iter()
            .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
    };
    for _ in 1..TRIES {
        match attempt() {
            Err(Refused::Failed(error)) if changed(&error) => {}
            result => return result,
        }
    }
    attempt()
}

#[cfg(test)]
mod tests;
