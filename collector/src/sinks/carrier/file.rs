//! Files, and all else that takes bytes by write(2): devices, pipes, terminals.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use deploy::visible::visible;
use rustix::event::{PollFd, PollFlags, poll};

use super::kind::{Carried, Carrier, Kind, Opened, Opening, Renewal, Takes, Wanted};
use crate::shell::failure::Failure;
use crate::shell::files::{self, From, Permissions};
use crate::sinks::framing::{Found, Frames, Framing};

/// The row of paths.
pub const CARRIER: Kind = Kind {
    name: "file",
    help: "a path",
    place,
    // A line feed in the path would make two lines of a message.
    shown: |path| visible(&format!("'{}'", path.display())).into_owned(),
    // Devices take bytes from any number of writers.
    is_exclusive: |path| !Path::new(path).starts_with("/dev"),
    is_terminal: || false,
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
    let path = Path::new(place).to_owned();
    let file = files::open(&path, "output", from, permissions)?;
    Ok(FileCarrier::opened(file, opening, framing, Some(Named { path, permissions })))
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
}

/// A file that was opened by its path.
#[derive(Debug)]
pub struct Named {
    /// The path.
    pub path: PathBuf,
    /// The permissions of what is made there.
    pub permissions: Permissions,
}

impl FileCarrier {
    /// A carrier to an open file. With [`Opening::Resumed`] an unfinished frame that an earlier collector
    /// left is cut off. One that is `named` can be opened anew.
    pub fn opened(mut file: File, opening: Opening, framing: Framing, named: Option<Named>) -> Opened {
        let found = match opening {
            Opening::Fresh => Found::Fresh,
            Opening::Resumed => left_in(&mut file, framing),
        };
        let carrier = Self { file, framing, named, has_failed: false, next: None };
        Opened::plain(Box::new(carrier), found)
    }
}

impl Carrier for FileCarrier {
    fn carry(&mut self, bytes: &mut Vec<u8>, events: u64) -> Carried {
        let result = write_all(&mut self.file, bytes);
        let carried = match result {
            Ok(()) => Carried { written: events, ..Carried::default() },
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

    fn renew(&mut self, _why: Renewal) -> Result<Option<Found>, Failure> {
        let Some(Named { path, permissions }) = &self.named else { return Ok(None) };
        // A FIFO would wait for a reader.
        if !is_regular(&self.file) {
            return Ok(None);
        }
        let mut file = files::open(path, "output", From::End, *permissions)?;
        if !self.has_failed && is_same(&file, &self.file) {
            return Ok(None);
        }
        let found = left_in(&mut file, self.framing);
        self.next = Some(file);
        Ok(Some(found))
    }

    fn switch(&mut self) {
        if let Some(file) = self.next.take() {
            (self.file, self.has_failed) = (file, false);
        }
    }
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
        Framing::Lines | Framing::Page | Framing::Parcels => Found::Continued,
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
