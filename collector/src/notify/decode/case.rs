//! A call while its record is made: its arguments, what they point to, and where they lead.
//!
//! Used by the files beside this one, which know the calls.

use notify::{Abi, Machine};
use wire::codec::SliceSink;
use wire::events::{DirChange, FdMade, Kind, Payload};
use wire::fields::{AT_FDCWD, Address, Path};
use wire::record::Flags;

use super::reading::{Pages, Text};
use crate::notify::places::Places;

/// A call that is about to be made.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// The system call's name, as the crate `notify` has it.
    pub name: &'static str,
    /// Its arguments.
    pub args: [u64; 6],
    /// The convention that it was made by.
    pub abi: Abi,
    /// Its user and group ids have 16 bits, as the first calls of i386 and ARM had.
    pub has_narrow_ids: bool,
}

impl Asked {
    /// A notified call, by its `struct seccomp_data`; `None` for one that no filter of ours asks about.
    pub fn new(arch: u32, number: u32, args: [u64; 6]) -> Option<Self> {
        let call = notify::call(Machine::NATIVE, arch, number)?;
        let abi = Abi::of(Machine::NATIVE, arch, number)?;
        // A second row of the same name, which only those two have.
        let has_narrow_ids = call.x86_64.is_none() && call.aarch64.is_none();
        Some(Self { name: call.name, args, abi, has_narrow_ids })
    }

    /// Its registers have 32 bits.
    pub fn has_narrow_registers(&self) -> bool {
        matches!(self.abi, Abi::I386 | Abi::Arm)
    }

    /// An argument as a register; 0 for one that there is not.
    pub fn word(&self, index: usize) -> u64 {
        let word = self.args.get(index).copied().unwrap_or(0);
        if self.has_narrow_registers() { word & u64::from(u32::MAX) } else { word }
    }
}

/// A record without its head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Noted {
    /// Its kind.
    pub kind: Kind,
    /// Its payload, encoded.
    pub payload: Box<[u8]>,
}

/// What a call says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Records for the collector's picture of the process, to be sent before the event with the same time:
    /// its directory, and the descriptors that the call uses. They become no events.
    pub before: Vec<Noted>,
    /// The event.
    pub kind: Kind,
    /// The row of the hook table.
    pub call: u16,
    /// Of [`Flags`]: `TRUNCATED`, or none.
    pub flags: u8,
    /// The event's payload, encoded.
    pub payload: Box<[u8]>,
    /// Of an exec: the variables that an event of the program's start shows, each ended by a NUL.
    pub environment: Box<[u8]>,
    /// Of an exec: whether its environment was read to its end, and has no LD_PRELOAD.
    pub is_unpreloaded: bool,
    /// Further events of the call for which there is no room.
    pub untold: u64,
}

/// PATH_MAX: the kernel reads no more of a path.
pub const PATH_CAP: usize = 4096;

/// A call while its record is made.
pub struct Case<'a> {
    /// The call.
    pub asked: Asked,
    /// The row of the hook table.
    row: u16,
    /// The process's memory.
    pub pages: Pages<'a>,
    /// Where the process stands.
    pub places: &'a mut dyn Places,
    /// The record's flags so far.
    pub flags: u8,
    /// Of an exec: the variables that are shown.
    pub environment: Vec<u8>,
    /// Of an exec: whether its environment was read to its end, and has no LD_PRELOAD.
    pub is_unpreloaded: bool,
    /// Further events of the call for which there is no room.
    pub untold: u64,
    before: Vec<Noted>,
    /// The places that `before` tells of.
    noted: Vec<i32>,
}

/// A path with the directory that it is relative to.
pub struct Place {
    /// A directory's descriptor, or [`AT_FDCWD`].
    pub dir: i32,
    /// The path as it was passed; `None` where there is none, or it cannot be read.
    pub raw: Option<Vec<u8>>,
}

impl Place {
    /// None.
    pub const NOWHERE: Self = Self { dir: -1, raw: None };

    /// As it travels.
    pub fn path(&self) -> Path<'_> {
        Path { dir: self.dir, raw: self.raw.as_deref() }
    }
}

impl<'a> Case<'a> {
    /// Nothing is read yet.
    pub fn new(asked: Asked, row: u16, pages: Pages<'a>, places: &'a mut dyn Places) -> Self {
        Self {
            asked,
            row,
            pages,
            places,
            flags: 0,
            environment: Vec::new(),
            is_unpreloaded: false,
            untold: 0,
            before: Vec::new(),
            noted: Vec::new(),
        }
    }

    /// An argument as a register.
    pub fn word(&self, index: usize) -> u64 {
        self.asked.word(index)
    }

    /// An argument that is a user's or a group's id; `u32::MAX` for -1.
    pub fn id(&self, index: usize) -> u32 {
        let id = self.uint(index);
        if self.asked.has_narrow_ids { widened(id as u16) } else { id }
    }

    /// The pointer at `address`; `None` where it cannot be read.
    pub fn pointer(&mut self, address: u64) -> Option<u64> {
        if self.asked.abi.pointer_bytes() == 4 {
            return self.pages.array(address).map(|bytes| u32::from_ne_bytes(bytes).into());
        }
        self.pages.array(address).map(u64::from_ne_bytes)
    }

    /// An argument of C's type `int`: the upper half of its register means nothing.
    pub fn int(&self, index: usize) -> i32 {
        self.word(index) as i32
    }

    /// An argument of C's type `unsigned int`.
    pub fn uint(&self, index: usize) -> u32 {
        self.word(index) as u32
    }

    /// An argument of C's type `long`, or where registers have 32 bits and the call's name ends in 64 the two
    /// halves of such a one (`loff_t`), on ARM in an even register and the next (Procedure Call Standard for
    /// the Arm Architecture, 6.5).
    pub fn offset(&self, index: usize) -> i64 {
        let low = if self.asked.abi == Abi::Arm { index.next_multiple_of(2) } else { index };
        match (self.asked.has_narrow_registers(), self.asked.name.ends_with("64")) {
            (true, true) => (self.word(low) | self.word(low + 1) << 32) as i64,
            (true, false) => i64::from(self.int(index)),
            _ => self.word(index) as i64,
        }
    }

    /// The string that an argument points to; `None` where there is none, or it cannot be read.
    pub fn text(&mut self, index: usize, cap: usize) -> Option<Vec<u8>> {
        self.text_at(self.word(index), cap)
    }

    fn text_at(&mut self, address: u64, cap: usize) -> Option<Vec<u8>> {
        match self.pages.text(address, cap) {
            Text::Whole(text) => Some(text),
            Text::Cut(text) => {
                self.flags |= Flags::TRUNCATED;
                Some(text)
            }
            Text::Unreadable => None,
        }
    }

    /// The path that an argument points to, relative to the directory.
    pub fn here(&mut self, index: usize) -> Place {
        self.at(AT_FDCWD, index)
    }

    /// The path that an argument points to, relative to the open directory `dir`.
    pub fn at(&mut self, dir: i32, index: usize) -> Place {
        let raw = self.text(index, PATH_CAP);
        if raw.as_ref().is_some_and(|raw| raw.first() != Some(&b'/')) {
            self.note_place(dir);
        }
        Place { dir, raw }
    }

    /// The path behind a descriptor.
    pub fn open_as(&mut self, fd: i32) -> Place {
        self.note_place(fd);
        Place { dir: fd, raw: None }
    }

    /// Says where a descriptor leads, or for [`AT_FDCWD`] which the directory is.
    pub fn note_place(&mut self, place: i32) {
        if self.noted.contains(&place) || place < 0 && place != AT_FDCWD {
            return;
        }
        self.noted.push(place);
        if place == AT_FDCWD {
            if let Some(cwd) = self.places.cwd() {
                self.note(&DirChange { path: Path { dir: AT_FDCWD, raw: Some(&cwd) } });
            }
        } else {
            // What it was before says nothing of a descriptor that cannot be looked up.
            let label = self.places.descriptor(place).unwrap_or_default();
            self.note_descriptor(place, &label);
        }
    }

    /// Says which socket a descriptor is. One that cannot be looked up is another than before, for all that
    /// is known.
    pub fn note_socket(&mut self, fd: i32) {
        let label = self.places.descriptor(fd);
        self.note_socket_labelled(fd, label);
    }

    /// The same, where the socket has been looked up.
    pub fn note_socket_labelled(&mut self, fd: i32, label: Option<Vec<u8>>) {
        if fd >= 0 {
            self.note_descriptor(fd, &label.unwrap_or_else(|| b"socket:".to_vec()));
        }
    }

    fn note_descriptor(&mut self, fd: i32, label: &[u8]) {
        let none = Address(&[]);
        self.note(&FdMade { fd, label, cloexec: false, local: none, remote: none });
    }

    /// A record before the event.
    pub fn note<P: Payload>(&mut self, payload: &P) {
        self.before.push(Noted { kind: P::KIND, payload: encoded(payload) });
    }

    /// The event.
    pub fn tell<P: Payload>(&mut self, payload: &P) -> Option<Told> {
        Some(Told {
            before: std::mem::take(&mut self.before),
            kind: P::KIND,
            call: self.row,
            flags: self.flags,
            payload: encoded(payload),
            environment: std::mem::take(&mut self.environment).into(),
            is_unpreloaded: self.is_unpreloaded,
            untold: self.untold,
        })
    }
}

/// A payload as it travels.
pub fn encoded<P: Payload>(payload: &P) -> Box<[u8]> {
    let mut bytes = vec![0; payload.encoded_len()];
    let is_whole = payload.encode(&mut SliceSink::new(&mut bytes));
    debug_assert!(is_whole, "a payload is as long as it says");
    bytes.into()
}

/// An id of 16 bits, of which 0xffff is -1 (`low2highuid` of include/linux/highuid.h).
pub fn widened(id: u16) -> u32 {
    if id == u16::MAX { u32::MAX } else { id.into() }
}
