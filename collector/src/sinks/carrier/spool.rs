//! The disk spool of one output: a log of parcels that survives the collector, and a full disk.
//!
//! # Layout
//! A directory that only this user can read holds numbered segments (`0000000000000001.spool`) and `sent`.
//! A segment begins with [`MAGIC`]; each frame is the length of a parcel (4 bytes, little-endian), its CRC-32
//! (4 bytes), and the parcel. `sent` says up to where parcels arrived: segment (8 bytes), byte (8), CRC-32 of
//! both (4). A collector begins a segment of its own, so that a frame that a killed one left unfinished is
//! never followed by another.
//!
//! # What survives
//! A frame is written by one write(2) together with the others of its batch, before its events count as
//! written. After `kill -9` it is there. It is not forced to the disk's surface: a machine that loses its
//! power may lose the last seconds. What arrived and was not noted in `sent` goes out a second time.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::shell::failure::Failure;
use crate::sinks::parcel::Parcel;

const MAGIC: &[u8; 8] = b"GBSPOOL1";
const FRAME_HEAD: usize = 8;
const SENT: &str = "sent";
/// A segment that is longer is followed by another.
const SEGMENT_BYTES: u64 = 4 << 20;
/// The longest parcel: more is damage.
const LONGEST_PARCEL: usize = 64 << 20;

/// A place in the log: what lies before it is done with.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Position {
    segment: u64,
    byte: u64,
}

/// The log of one output.
#[derive(Debug)]
pub struct Spool {
    folder: OwnedFd,
    /// Segments and their bytes, the oldest first; the last is the one that is written.
    segments: Vec<(u64, u64)>,
    current: Option<File>,
    /// Bytes of all segments at most.
    most_bytes: u64,
    sent: Position,
    sent_file: File,
}

/// Parcels that were read, and where each of them ends.
#[derive(Debug, Default)]
pub struct Chunk {
    /// Parcels, one behind the other.
    pub bytes: Vec<u8>,
    /// For each parcel the end among `bytes`, and the position behind it.
    ends: Vec<(usize, Position)>,
    /// Where the next chunk begins.
    pub next: Position,
    /// Frames that could not be read, in a message.
    pub damage: Option<String>,
}

impl Chunk {
    /// The position behind the first `bytes` bytes.
    pub fn position(&self, bytes: usize) -> Option<Position> {
        self.ends.iter().rev().find(|(end, _)| *end <= bytes).map(|(_, position)| *position)
    }
}

/// Why parcels were not taken.
#[derive(Debug)]
pub enum NotTaken {
    /// There is no room by the bound.
    Full,
    /// The disk refused.
    Failed(io::Error),
}

impl Spool {
    /// Opens the spool `name` in `folder`, and makes both where they are missing. Fails with status 73 where
    /// another user could read or change it, or another collector has it.
    pub fn open(folder: &Path, name: &str, most_bytes: u64) -> Result<Self, Failure> {
        let shown = folder.join(name);
        let failed = |what: &str, remedy: &str| {
            Failure::output(format!("cannot use the spool '{}': {what}; {remedy}", shown.display()))
        };
        let errno =
            |errno: Errno| failed(&io::Error::from(errno).to_string(), "give a directory of your own");
        let parent = own_folder(CWD, folder).map_err(|error| error.failure(&failed))?;
        let folder = own_folder(&parent, Path::new(name)).map_err(|error| error.failure(&failed))?;
        match rustix::fs::flock(&folder, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                return Err(failed("another collector writes it", "give each collector a spool of its own"));
            }
            Err(error) => return Err(errno(error)),
        }
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let sent_file =
            File::from(rustix::fs::openat(&folder, SENT, flags, Mode::RUSR | Mode::WUSR).map_err(errno)?);
        let segments =
            segments(&folder).map_err(|error| failed(&error.to_string(), "look at that directory"))?;
        let sent = read_position(&sent_file).unwrap_or_default();
        let mut spool = Self { folder, segments, current: None, most_bytes, sent, sent_file };
        // A position in a segment that is gone means the beginning of the next.
        let first = spool.segments.first().map_or(1, |(number, _)| *number);
        spool.sent = spool.sent.max(Position { segment: first, byte: 0 });
        spool.remove_sent();
        Ok(spool)
    }

    /// Bytes of all segments, without those that arrived.
    pub fn waiting_bytes(&self) -> u64 {
        let all: u64 = self.segments.iter().map(|(_, bytes)| bytes).sum();
        let heads = MAGIC.len() as u64 * self.segments.len() as u64;
        let first = self.segments.first().filter(|(number, _)| *number == self.sent.segment);
        let sent = first.map_or(0, |_| self.sent.byte.saturating_sub(MAGIC.len() as u64));
        all.saturating_sub(heads).saturating_sub(sent)
    }

    /// Up to where parcels arrived.
    pub fn sent(&self) -> Position {
        self.sent
    }

    /// The end of the log.
    pub fn end(&self) -> Position {
        match self.segments.last() {
            Some((segment, byte)) => Position { segment: *segment, byte: *byte },
            None => self.sent,
        }
    }

    /// Appends the frames of the first of `parcels`; gives how many bytes of parcels these are, and why there
    /// are no more.
    pub fn append(&mut self, parcels: &[u8]) -> (usize, Option<NotTaken>) {
        let bytes = |spool: &Self| spool.segments.iter().map(|(_, bytes)| bytes).sum::<u64>();
        if bytes(self) > self.most_bytes / 2 {
            self.release_what_arrived();
        }
        let mut room = self.most_bytes.saturating_sub(bytes(self));
        let mut frames = Vec::with_capacity(parcels.len() + 64);
        // For each frame its end, and the end of its parcel.
        let (mut ends, mut at) = (Vec::new(), 0);
        let mut why = None;
        while let Some((_, len)) = parcels.get(at..).and_then(Parcel::first) {
            let frame = (len + FRAME_HEAD) as u64;
            if frame > room {
                why = Some(NotTaken::Full);
                break;
            }
            room -= frame;
            let parcel = &parcels[at..at + len];
            frames.extend_from_slice(&(len as u32).to_le_bytes());
            frames.extend_from_slice(&crc32fast::hash(parcel).to_le_bytes());
            frames.extend_from_slice(parcel);
            at += len;
            ends.push((frames.len(), at));
        }
        match self.write(&frames) {
            Ok(()) => (at, why),
            Err((written, error)) => {
                let whole = ends.iter().rev().find(|(end, _)| *end <= written);
                let (frames, taken) = whole.copied().unwrap_or_default();
                self.cut_to(frames as u64);
                (taken, Some(NotTaken::Failed(error)))
            }
        }
    }

    /// Writes frames to the current segment, or a new one. An error comes with how much was written.
    fn write(&mut self, frames: &[u8]) -> Result<(), (usize, io::Error)> {
        if frames.is_empty() {
            return Ok(());
        }
        let is_long = self.segments.last().is_some_and(|(_, bytes)| *bytes >= SEGMENT_BYTES);
        if self.current.is_none() || is_long {
            self.begin_segment().map_err(|error| (0, error))?;
        }
        let (Some(file), Some((_, bytes))) = (&mut self.current, self.segments.last_mut()) else {
            return Ok(());
        };
        super::file::write_all(file, frames)?;
        *bytes += frames.len() as u64;
        Ok(())
    }

    /// Takes an unfinished frame off the current segment: of what was just written, `frames` bytes are whole.
    fn cut_to(&mut self, frames: u64) {
        if let (Some(file), Some((_, bytes))) = (&mut self.current, self.segments.last_mut()) {
            *bytes += frames;
            // Where it cannot be cut, a segment of its own follows: an unfinished frame ends one.
            if file.set_len(*bytes).and_then(|()| file.seek(SeekFrom::Start(*bytes))).is_err() {
                self.current = None;
            }
        }
        self.release_what_arrived();
    }

    /// Gives the room of the current segment back, where everything in it arrived.
    fn release_what_arrived(&mut self) {
        if self.sent >= self.end() {
            self.current = None;
            self.remove_sent();
        }
    }

    fn begin_segment(&mut self) -> io::Result<()> {
        let last = self.segments.last().map_or(0, |(number, _)| *number).max(self.sent.segment);
        let is_first = self.segments.is_empty();
        // A position names the segment that is to come where there is none.
        let number = if is_first { last.max(1) + u64::from(self.sent.byte > 0) } else { last + 1 };
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.folder, name_of(number), flags, Mode::RUSR | Mode::WUSR)?;
        let mut file = File::from(file);
        if let Err(error) = file.write_all(MAGIC) {
            let _ = rustix::fs::unlinkat(&self.folder, name_of(number), AtFlags::empty());
            return Err(error);
        }
        self.segments.push((number, MAGIC.len() as u64));
        self.current = Some(file);
        if is_first {
            self.note_sent(Position { segment: number, byte: 0 });
        }
        Ok(())
    }

    /// Reads parcels from `from` on, about `enough` bytes; none at the end.
    pub fn read(&self, from: Position, enough: usize) -> io::Result<Chunk> {
        let mut chunk = Chunk { next: from, ..Chunk::default() };
        for (number, len) in self.segments.iter().filter(|(number, _)| *number >= from.segment) {
            let start = if *number == from.segment { from.byte } else { 0 };
            let at = start.max(MAGIC.len() as u64);
            if start < *len && at < *len {
                self.read_segment(*number, at..*len, enough, &mut chunk)?;
            }
            chunk.next = chunk.next.max(Position { segment: *number, byte: at });
            if !chunk.bytes.is_empty() || chunk.damage.is_some() {
                break;
            }
        }
        Ok(chunk)
    }

    fn read_segment(
        &self,
        number: u64,
        bytes: Range<u64>,
        enough: usize,
        chunk: &mut Chunk,
    ) -> io::Result<()> {
        let Range { start: mut at, end: len } = bytes;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(&self.folder, name_of(number), flags, Mode::empty())?);
        let mut magic = [0; MAGIC.len()];
        let is_ours = file.read_exact_at(&mut magic, 0).is_ok() && magic == *MAGIC;
        let damaged = |at: u64| {
            Some(format!("its file {} is damaged at byte {at}: what follows there is lost", name_of(number)))
        };
        if !is_ours {
            chunk.next = Position { segment: number, byte: len };
            chunk.damage = damaged(0);
            return Ok(());
        }
        let mut head = [0; FRAME_HEAD];
        while at < len && chunk.bytes.len() < enough {
            let length = |head: &[u8; FRAME_HEAD]| u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
            let body_at = at + FRAME_HEAD as u64;
            let is_headed = body_at <= len && file.read_exact_at(&mut head, at).is_ok();
            let body_len = length(&head) as usize;
            if !is_headed || (body_at + body_len as u64 > len && body_len <= LONGEST_PARCEL) {
                // Its writer was killed; its events never counted as written.
                at = len;
                break;
            }
            let from = chunk.bytes.len();
            let is_whole = body_len <= LONGEST_PARCEL && {
                let mut body = (&file).take(body_len as u64);
                (&file).seek(SeekFrom::Start(body_at))?;
                body.read_to_end(&mut chunk.bytes)? == body_len
            };
            let body = chunk.bytes.get(from..).unwrap_or_default();
            let checksum = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
            let is_parcel = Parcel::first(body).is_some_and(|(_, taken)| taken == body.len());
            if !is_whole || crc32fast::hash(body) != checksum || !is_parcel {
                chunk.bytes.truncate(from);
                chunk.damage = damaged(at);
                at = len;
                break;
            }
            at = body_at + body_len as u64;
            chunk.ends.push((chunk.bytes.len(), Position { segment: number, byte: at }));
        }
        chunk.next = Position { segment: number, byte: at };
        Ok(())
    }

    /// Notes that everything before `position` arrived, and removes the segments that are done with.
    pub fn note_sent(&mut self, position: Position) {
        self.sent = position;
        let mut bytes = [0; 20];
        bytes[..8].copy_from_slice(&position.segment.to_le_bytes());
        bytes[8..16].copy_from_slice(&position.byte.to_le_bytes());
        let checksum = crc32fast::hash(&bytes[..16]);
        bytes[16..].copy_from_slice(&checksum.to_le_bytes());
        // Without it parcels go out again after a restart, by the same ids.
        let _ = self.sent_file.write_all_at(&bytes, 0);
        self.remove_sent();
    }

    fn remove_sent(&mut self) {
        let sent = self.sent;
        let is_written = |number: u64, current: &Option<File>, last: u64| current.is_some() && number == last;
        let last = self.segments.last().map_or(0, |(number, _)| *number);
        let (folder, current) = (&self.folder, &self.current);
        self.segments.retain(|(number, bytes)| {
            let is_done = *number < sent.segment || (*number == sent.segment && *bytes <= sent.byte);
            if !is_done || is_written(*number, current, last) {
                return true;
            }
            let _ = rustix::fs::unlinkat(folder, name_of(*number), AtFlags::empty());
            false
        });
    }

    /// Removes everything, where everything arrived.
    pub fn clean(&mut self) {
        self.release_what_arrived();
    }
}

enum NotOwn {
    Failed(io::Error),
    Others(u32),
    Readable(u32),
}

impl NotOwn {
    fn failure(&self, failed: &impl Fn(&str, &str) -> Failure) -> Failure {
        match self {
            Self::Failed(error) => failed(&error.to_string(), "give a directory of your own"),
            Self::Others(uid) => {
                failed(&format!("it belongs to uid {uid}"), "give a directory of the collector's own user")
            }
            Self::Readable(mode) => failed(
                &format!("others can read or change it (mode {mode:04o})"),
                "run 'chmod 700' on it, or give another directory",
            ),
        }
    }
}

/// Opens a directory that only this user can enter, and makes it where it is missing.
fn own_folder(parent: impl std::os::fd::AsFd, path: &Path) -> Result<OwnedFd, NotOwn> {
    let failed = |errno: Errno| NotOwn::Failed(errno.into());
    match rustix::fs::mkdirat(&parent, path, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(failed(errno)),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = rustix::fs::openat(&parent, path, flags, Mode::empty()).map_err(failed)?;
    let found = rustix::fs::fstat(&folder).map_err(failed)?;
    if found.st_uid != rustix::process::geteuid().as_raw() {
        return Err(NotOwn::Others(found.st_uid));
    }
    if found.st_mode & 0o077 != 0 {
        return Err(NotOwn::Readable(found.st_mode & 0o7777));
    }
    Ok(folder)
}

fn name_of(segment: u64) -> String {
    format!("{segment:016}.spool")
}

/// The segments of a directory, and their bytes.
fn segments(folder: &OwnedFd) -> io::Result<Vec<(u64, u64)>> {
    let mut segments = Vec::new();
    for entry in rustix::fs::Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(number) = name.strip_suffix(".spool").filter(|digits| digits.len() == 16) else { continue };
        let Ok(number) = number.parse() else { continue };
        let found = rustix::fs::statat(folder, name.as_str(), AtFlags::SYMLINK_NOFOLLOW)?;
        segments.push((number, u64::try_from(found.st_size).unwrap_or(0)));
    }
    segments.sort_unstable();
    Ok(segments)
}

fn read_position(file: &File) -> Option<Position> {
    let mut bytes = [0; 20];
    file.read_exact_at(&mut bytes, 0).ok()?;
    let number = |at: usize| bytes[at..at + 8].try_into().map(u64::from_le_bytes).ok();
    let checksum = bytes[16..].try_into().map(u32::from_le_bytes).ok()?;
    let position = Position { segment: number(0)?, byte: number(8)? };
    (crc32fast::hash(&bytes[..16]) == checksum).then_some(position)
}

/// A segment and the file `sent` of any bytes: a parcel that was written whole is read, and reading comes to
/// an end.
#[cfg(fuzzing)]
pub fn fuzz(bytes: &[u8]) {
    let Some((cut, bytes)) = bytes.split_first() else { return };
    let home = std::env::temp_dir().join(format!("glassbox-fuzz-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&home);
    let Ok(mut spool) = Spool::open(&home, "x", 1 << 30) else { return };
    let (sent, segment) = bytes.split_at(usize::from(*cut).min(bytes.len()));
    let (good, bad) = (1, 2);
    let mut parcels = Vec::new();
    crate::sinks::parcel::append(b"lane", b"id", 7, &mut parcels, |out| out.extend_from_slice(segment));
    assert!(matches!(spool.append(&parcels), (taken, None) if taken == parcels.len()), "room for {good}");
    drop(spool);
    let _ = std::fs::write(home.join("x").join(name_of(bad)), [MAGIC, segment].concat());
    let _ = std::fs::write(home.join("x").join(SENT), sent);
    let Ok(mut spool) = Spool::open(&home, "x", 1 << 30) else { return };
    let is_from_the_start = spool.sent() <= Position { segment: good, byte: MAGIC.len() as u64 };
    let mut read = Vec::new();
    for _ in 0..1000 {
        let Ok(chunk) = spool.read(spool.sent(), 1 << 20) else { break };
        if chunk.bytes.is_empty() && chunk.next == spool.sent() {
            assert!(!is_from_the_start || read.starts_with(&parcels), "the whole parcel is missing");
            return;
        }
        read.extend(chunk.bytes);
        spool.note_sent(chunk.next);
    }
    panic!("it does not come to an end");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sinks::parcel;
    use crate::sinks::tests::Scratch;

    const ENOUGH: usize = 1 << 20;

    fn parcels(bodies: &[&str]) -> Vec<u8> {
        let mut out = Vec::new();
        for body in bodies {
            parcel::append(b"", b"", 1, &mut out, |out| out.extend_from_slice(body.as_bytes()));
        }
        out
    }

    fn bodies(bytes: &[u8]) -> Vec<String> {
        Parcel::all(bytes).map(|parcel| String::from_utf8_lossy(parcel.body).into_owned()).collect()
    }

    fn append(spool: &mut Spool, bodies: &[&str]) {
        let bytes = parcels(bodies);

        let (taken, why) = spool.append(&bytes);

        assert!(taken == bytes.len() && why.is_none(), "{why:?}");
    }

    fn open(scratch: &Scratch) -> Spool {
        Spool::open(&scratch.path("spool"), "x", 16 << 20).unwrap()
    }

    /// Reads everything, and notes it as sent.
    fn drained(spool: &mut Spool) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            let chunk = spool.read(spool.sent(), ENOUGH).unwrap();
            if chunk.bytes.is_empty() && chunk.next == spool.sent() {
                return all;
            }
            all.extend(bodies(&chunk.bytes));
            spool.note_sent(chunk.next);
        }
    }

    fn files(scratch: &Scratch) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(scratch.path("spool/x"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn segment_is_sent_whole_after_a_collector_that_had_sent_all_of_a_longer_one_before_it() {
        let scratch = Scratch::new("spool-next");
        let mut spool = open(&scratch);
        let long = "x".repeat(SEGMENT_BYTES as usize);
        append(&mut spool, &[&long]);
        append(&mut spool, &["2", "3"]);
        let chunk = spool.read(spool.sent(), ENOUGH).unwrap();
        spool.note_sent(chunk.next);
        drop(spool);

        assert_eq!(["2", "3"], *drained(&mut open(&scratch)));
    }

    #[test]
    fn parcels_come_back_in_order_after_a_restart_and_only_once_they_were_sent_no_more() {
        let scratch = Scratch::new("spool-order");
        let mut spool = open(&scratch);
        append(&mut spool, &["1", "2"]);
        append(&mut spool, &["3"]);
        let chunk = spool.read(spool.sent(), ENOUGH).unwrap();
        let one = Parcel::first(&chunk.bytes).unwrap().1;
        spool.note_sent(chunk.position(one).unwrap());
        drop(spool);

        let mut spool = open(&scratch);
        append(&mut spool, &["4"]);

        assert_eq!(vec!["2", "3", "4"], drained(&mut spool));
        assert_eq!(0, spool.waiting_bytes());
        spool.clean();
        assert_eq!(vec!["sent"], files(&scratch));
        drop(spool);
        let mut spool = open(&scratch);
        append(&mut spool, &["5"]);
        assert_eq!(vec!["5"], drained(&mut spool));
    }

    #[test]
    fn unfinished_frame_is_no_parcel_and_damage_is_told() {
        let scratch = Scratch::new("spool-torn");
        let mut spool = open(&scratch);
        append(&mut spool, &["whole", "torn"]);
        drop(spool);
        let path = scratch.path("spool/x").join(name_of(1));
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 2]).unwrap();

        let mut spool = open(&scratch);
        append(&mut spool, &["next"]);
        assert_eq!(vec!["whole", "next"], drained(&mut spool));
        drop(spool);

        let mut changed = bytes;
        let last = changed.len() - 1;
        changed[last] ^= 1;
        std::fs::write(scratch.path("spool/x").join(name_of(9)), &changed).unwrap();
        let spool = open(&scratch);
        let chunk = spool.read(Position { segment: 9, byte: 0 }, ENOUGH).unwrap();

        assert_eq!(vec!["whole"], bodies(&chunk.bytes));
        assert!(chunk.damage.unwrap().contains("is damaged at byte"));
    }

    #[test]
    fn bound_refuses_and_room_comes_back_with_what_arrives() {
        let scratch = Scratch::new("spool-bound");
        let mut spool = Spool::open(&scratch.path("spool"), "x", 6 << 20).unwrap();
        let large = "x".repeat(1 << 20);
        let eight = parcels(&[&*large; 8]);
        let one = eight.len() / 8;

        let (taken, why) = spool.append(&eight);
        assert_eq!(5, taken / one);
        assert!(matches!(why, Some(NotTaken::Full)));
        assert_eq!(5, drained(&mut spool).len());
        assert!(matches!(spool.append(&eight[..one]), (taken, None) if taken == one));
    }

    #[test]
    fn folder_that_others_can_enter_or_that_is_taken_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let scratch = Scratch::new("spool-refused");
        let first = open(&scratch);

        let second = Spool::open(&scratch.path("spool"), "x", 1 << 20).unwrap_err();
        drop(first);
        std::fs::set_permissions(scratch.path("spool"), std::fs::Permissions::from_mode(0o755)).unwrap();
        let open_to_all = Spool::open(&scratch.path("spool"), "x", 1 << 20).unwrap_err();

        assert_eq!((73, 73), (second.status(), open_to_all.status()));
        assert!(second.to_string().contains("another collector writes it"), "{second}");
        assert!(open_to_all.to_string().contains("mode 0755"), "{open_to_all}");
    }

    #[test]
    fn any_bytes_in_its_files_are_read_without_a_panic() {
        let scratch = Scratch::new("spool-noise");
        drop(open(&scratch));
        let mut random = crate::sinks::tests::Xorshift(0x5eed);
        for round in 0..200 {
            let noise = (0..random.next() % 200).map(|_| random.next() as u8);
            let bytes: Vec<u8> = match round % 2 {
                0 => noise.collect(),
                _ => MAGIC.iter().copied().chain(noise).collect(),
            };
            std::fs::write(scratch.path("spool/x").join(name_of(1)), &bytes).unwrap();
            std::fs::write(scratch.path("spool/x").join(SENT), &bytes[..bytes.len().min(20)]).unwrap();

            let mut spool = open(&scratch);
            drained(&mut spool);
        }
    }
}
