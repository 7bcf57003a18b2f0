//! Files, and all else that takes bytes by write(2): devices, pipes, terminals.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use deploy::visible::visible;
use rustix::event::{PollFd, PollFlags, poll};

use super::kind::{Carried, Carrier, Kind, Opened, Opening, Renewal, Rotation, Takes, Wanted};
use crate::ids::UtcNs;
use crate::shell::aside;
use crate::shell::failure::{Failure, say};
use crate::shell::files::{self, From, Permissions};
use crate::shell::trusted::Refused;
use crate::sinks::framing::{Found, Frames, Framing};
use crate::sinks::look::Surface;
use crate::system::clock::utc_now_ns;

/// The row of paths.
pub const CARRIER: Kind = Kind {
    name: "file",
    help: "a path",
    place,
    // A line feed in the path would make two lines of a message.
    shown: |path| visible(&format!("'{}'", path.display())).into_owned(),
    // Devices take bytes from any number of writers.
    is_exclusive: |path| !Path::new(path).starts_with("/dev"),
    surface: || Surface::File,
    takes: Takes::Stream,
    open,
};

/// The path, absolute: the launcher leaves its working directory to CMD, and a collector that is started
/// again must find the same file. A URL is no path.
fn place(text: &OsStr) -> Option<Result<OsString, Failure>> {
    if text.is_empty() || text.as_bytes().windows(3).any(|bytes| bytes == b"://") {
        return None;
    }
    let path = Path::new(text);
    Some(std::path::absolute(path).map(OsString::from).map_err(|error| {
        Failure::output(format!(
            "cannot find the directory of output '{}': {error}; give an absolute path",
            path.display()
        ))
    }))
}

fn open(wanted: &Wanted<'_>) -> Result<Opened, Failure> {
    let Wanted { place, options, opening, framing, .. } = *wanted;
    let from = match opening {
        Opening::Fresh => From::Start,
        Opening::Resumed => From::End,
    };
    let permissions = options.mode.map_or(Permissions::Secret, Permissions::Asked);
    let named = Named { path: Path::new(place).to_owned(), permissions, rotation: options.rotation };
    if from == From::Start && named.rotation.is_on() {
        // What an earlier session wrote is not emptied.
        let file = named.open(From::End)?;
        if file.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.len() > 0) {
            named.put_aside(&file)?;
        }
    }
    let file = named.open(from)?;
    named.clear_away();
    Ok(FileCarrier::opened(file, opening, framing, Some(named)))
}

/// Writes to a descriptor until a write fails.
#[derive(Debug)]
pub struct FileCarrier {
    file: File,
    framing: Framing,
    /// Where it is to be opened anew; `None` for a stream of the collector's own.
    named: Option<Named>,
    /// A write failed.
    has_failed: bool,
    /// The file that was opened anew.
    next: Option<File>,
    /// Bytes in the file.
    len: u64,
    /// When it is too old.
    old_at: Option<Instant>,
    /// It could not be put aside; it is tried again then.
    retry_at: Option<Instant>,
}

/// How long a file that cannot be put aside is written to before that is tried again.
const RENEW_PAUSE: Duration = Duration::from_secs(60);
/// How long a full disk is waited for before the next try.
const FULL_PAUSE: Duration = Duration::from_secs(1);

/// A file that was opened by its path.
#[derive(Debug)]
pub struct Named {
    /// The path.
    pub path: PathBuf,
    /// The permissions of what is made there.
    pub permissions: Permissions,
    /// When it is put aside.
    pub rotation: Rotation,
}

impl Named {
    fn open(&self, from: From) -> Result<File, Failure> {
        files::open(&self.path, "output", from, self.permissions)
    }

    fn put_aside(&self, file: &File) -> Result<(), Failure> {
        match aside::put_aside(&self.path, file, UtcNs(utc_now_ns())) {
            // Another program has renamed it, or put another one there.
            Ok(_) => Ok(()),
            Err(refused) => Err(self.failure("put aside", refused)),
        }
    }

    /// Deletes what was put aside before, as far as it is too old or too many.
    fn clear_away(&self) {
        let Rotation { age_s, keep, .. } = self.rotation;
        let before =
            age_s.map(|age_s| UtcNs(utc_now_ns().saturating_sub(age_s.saturating_mul(1_000_000_000))));
        let keep = keep.map(|keep| usize::try_from(keep).unwrap_or(usize::MAX));
        if let Err(refused) = aside::clear_away(&self.path, keep, before) {
            say(&self.failure("delete what was put aside from", refused).to_string());
        }
    }

    fn failure(&self, what: &str, refused: Refused) -> Failure {
        let path = self.path.display();
        Failure::output(match refused {
            Refused::Failed(error) => format!(
                "cannot {what} '{path}': {}; let the collector's user write to its directory",
                bare(&error)
            ),
            Refused::Unsafe(why) => format!("cannot {what} '{path}': {why}"),
        })
    }
}

impl FileCarrier {
    /// A carrier to an open file. With [`Opening::Resumed`] an unfinished frame that an earlier collector
    /// left is cut off. One that is `named` can be opened anew.
    pub fn opened(mut file: File, opening: Opening, framing: Framing, named: Option<Named>) -> Opened {
        let found = match opening {
            Opening::Fresh => Found::Fresh,
            Opening::Resumed => left_in(&mut file, framing),
        };
        let (has_failed, next, len, old_at, retry_at) = (false, None, 0, None, None);
        let mut carrier = Self { file, framing, named, has_failed, next, len, old_at, retry_at };
        carrier.measure();
        Opened::plain(Box::new(carrier), found)
    }

    /// Takes up the size and age of the file.
    fn measure(&mut self) {
        let Some(metadata) = self.file.metadata().ok().filter(std::fs::Metadata::is_file) else { return };
        self.len = metadata.len();
        let rotation = self.named.as_ref().map(|named| named.rotation).unwrap_or_default();
        self.old_at = rotation.age_s.and_then(|age_s| {
            // Some file systems do not tell when a file was made.
            let made = metadata.created().or_else(|_| metadata.modified()).ok();
            let age = made.and_then(|made| made.elapsed().ok()).unwrap_or_default();
            Instant::now().checked_add(Duration::from_secs(age_s).saturating_sub(age))
        });
    }

    /// Takes back what was written of `written` bytes, so that all of it can be written again; false where
    /// that is not to be had.
    fn take_back(&mut self, written: usize) -> bool {
        let (Ok(metadata), Ok(at)) = (self.file.metadata(), self.file.stream_position()) else {
            return false;
        };
        // Another program may have written behind us.
        metadata.is_file()
            && metadata.len() == at
            && self.file.set_len(at.saturating_sub(written as u64)).is_ok()
            && self.file.seek(SeekFrom::End(0)).is_ok()
    }
}

impl Carrier for FileCarrier {
    fn carry(&mut self, bytes: &mut Vec<u8>, events: u64) -> Carried {
        let result = write_all(&mut self.file, bytes);
        let carried = match result {
            Ok(()) => {
                self.len = self.len.saturating_add(bytes.len() as u64);
                Carried { written: events, ..Carried::default() }
            }
            Err((written, error)) if is_full(&error) && self.take_back(written) => {
                // Room may be made.
                let (retry_at, error) = (Instant::now().checked_add(FULL_PAUSE), Some(bare(&error)));
                return Carried { retry_at, error, ..Carried::default() };
            }
            Err((written, error)) => {
                self.has_failed = true;
                if let Framing::Lines = self.framing {
                    cut_to_line(&self.file, bytes.get(..written).unwrap_or_default());
                }
                Carried { error: Some(bare(&error)), ..Carried::default() }
            }
        };
        bytes.clear();
        carried
    }

    fn renew(&mut self, why: Renewal) -> Result<Option<Found>, Failure> {
        let Some(named) = &self.named else { return Ok(None) };
        // A FIFO would wait for a reader.
        if !is_regular(&self.file) {
            return Ok(None);
        }
        if why == Renewal::Due {
            self.retry_at = Instant::now().checked_add(RENEW_PAUSE);
            named.put_aside(&self.file)?;
        }
        let mut file = named.open(From::End)?;
        named.clear_away();
        if !self.has_failed && is_same(&file, &self.file) {
            return Ok(None);
        }
        let found = left_in(&mut file, self.framing);
        self.next = Some(file);
        Ok(Some(found))
    }

    fn switch(&mut self) {
        if let Some(file) = self.next.take() {
            (self.file, self.has_failed, self.retry_at) = (file, false, None);
            self.measure();
        }
    }

    fn due_at(&self) -> Option<Instant> {
        let rotation = self.named.as_ref()?.rotation;
        let is_large = rotation.bytes.is_some_and(|most| self.len >= most);
        // An empty file is as good as a new one.
        let due = if is_large { Some(Instant::now()) } else { self.old_at.filter(|_| self.len > 0) };
        due.map(|due| self.retry_at.map_or(due, |retry_at| retry_at.max(due)))
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn is_regular(file: &File) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.is_file())
}

fn is_same(one: &File, other: &File) -> bool {
    let place = |file: &File| file.metadata().map(|metadata| (metadata.dev(), metadata.ino()));
    matches!((place(one), place(other)), (Ok(one), Ok(other)) if one == other)
}

/// Writes all, as `Write::write_all`, but waits where the descriptor does not block: a program that shares a
/// terminal or pipe with the collector may have made it so. An error comes with how much was written before
/// it.
pub fn write_all(file: &mut File, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
    let mut done = 0;
    while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
        match file.write(rest) {
            Ok(0) => return Err((done, io::ErrorKind::WriteZero.into())),
            Ok(written) => done += written,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                // The next write reports what poll(2) may have found wrong.
                let _ = poll(&mut [PollFd::new(&file.as_fd(), PollFlags::OUT)], None);
            }
            Err(error) => return Err((done, error)),
        }
    }
    Ok(())
}

/// Truncates a file that ends with `written` to its last complete line.
fn cut_to_line(file: &File, written: &[u8]) {
    let whole = written.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let begun = (written.len() - whole) as u64;
    let (Ok(metadata), Ok(at)) = (file.metadata(), (&*file).stream_position()) else { return };
    // Another program may have written behind us; and a file that cannot be cut stays as it is.
    if begun > 0 && metadata.is_file() && metadata.len() == at {
        let _ = file.set_len(at - begun);
    }
}

/// The message without the number that std adds.
pub fn bare(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

/// Looks at what an earlier collector left, and cuts off what cannot be gone on from.
fn left_in(file: &mut File, framing: Framing) -> Found {
    let Some(left) = reopen(file) else { return Found::Continued };
    match framing {
        Framing::Lines if ends_in_a_line(&left) => Found::Torn,
        Framing::Document if left.metadata().is_ok_and(|metadata| metadata.len() == 0) => Found::Fresh,
        Framing::Lines | Framing::Page | Framing::Document | Framing::Parcels => Found::Continued,
        Framing::Frames(frames) => {
            let Some(whole) = whole_bytes(left, &frames) else { return Found::Continued };
            // Where it cannot be cut, its reader will find the damage.
            let _ = file.set_len(whole).and_then(|()| file.seek(SeekFrom::End(0)));
            if whole == 0 { Found::Fresh } else { Found::Continued }
        }
    }
}

/// Opens a regular file that is open for writing once more, for reading. `None` for a pipe, a terminal, or
/// without /proc.
fn reopen(file: &File) -> Option<File> {
    let path = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
    is_regular(file).then(|| File::open(path).ok()).flatten()
}

/// Whether something stands after the last line feed.
fn ends_in_a_line(mut file: &File) -> bool {
    let mut last = [b'\n'];
    file.seek(SeekFrom::End(-1)).is_ok() && file.read_exact(&mut last).is_ok() && last != [b'\n']
}

/// How many bytes of a file are its magic and whole frames that another one may follow; `None` for a file
/// that is something else.
fn whole_bytes(file: File, frames: &Frames) -> Option<u64> {
    let len = file.metadata().ok()?.len();
    let mut input = BufReader::new(file);
    let mut magic = Vec::new();
    input.by_ref().take(frames.magic.len() as u64).read_to_end(&mut magic).ok()?;
    if magic != frames.magic {
        return frames.magic.starts_with(&magic).then_some(0);
    }
    let mut whole = magic.len() as u64;
    let mut head = vec![0; frames.head_bytes];
    loop {
        if input.read_exact(&mut head).is_err() {
            return Some(whole);
        }
        let Some(body) = (frames.body_bytes)(&head) else { return Some(whole) };
        let next = whole.saturating_add(head.len() as u64).saturating_add(body);
        if next > len {
            return Some(whole);
        }
        input.seek_relative(i64::try_from(body).ok()?).ok()?;
        whole = next;
    }
}
