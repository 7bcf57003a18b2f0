//! The `recording` format: enriched events in frames, written by [`writer`], read back by [`reader`] for
//! `replay`.
//!
//! # Layout
//! ```text
//! file    = MAGIC frame…
//! frame   = length u32 LE | CRC-32 of tag and body, u32 LE | tag u8 | body, `length` bytes
//! schema  = tag S: kinds (number, name, count of fields), flag tables; empties the three lists below
//! request = tag R: the request that the following batches belong to; empty for none, as after a schema
//! program = tag P: programs to append to their list; a forked one has its parent's executable and arguments
//! batch   = tag B: words and containers to append to their lists, images, events
//! end     = tag E: the facts of the run (collectors that died, processor time of the collector)
//! ```
//! Numbers are LEB128 varints, signed ones zigzag; strings are a length and bytes. A file describes itself:
//! an event's number is never used again, and fields are only ever appended. So a reader can skip the events
//! and fields of a later version by the counts of fields. Flags are bits beside the table that names them,
//! which differs between architectures. A reader skips frames whose tag it does not know.
//!
//! Version 2 added the containers, version 3 the programs with their arguments and ancestors, version 4 the
//! fields that only the process itself says, version 5 the paths whose `..` went by the text, version 6
//! the user that a process sees, the mount namespace, and claims in more than eight bits, version 7 the names
//! of programs and their own numbers, and the circumstances of images, version 8 more of these. Earlier ones
//! are read too.
//!
//! A collector that goes on where another died cuts an unfinished frame off and begins with a schema.

pub mod fragment;
mod input;
pub mod reader;
pub mod schema;
mod varints;
mod who;
mod words;
pub mod writer;

use wire::names::{self, FlagTable};

/// The beginning of a file; its last byte is the format's version.
pub const MAGIC: [u8; 8] = *b"GBXREC\0\x08";

/// The first and the last version, and the first with containers, with programs, with the user that a
/// process sees, and with facts of programs.
const FIRST_VERSION: u8 = 1;
const LAST_VERSION: u8 = 8;
const WITH_CONTAINERS: u8 = 2;
const WITH_PROGRAMS: u8 = 3;
const WITH_USERS_INSIDE: u8 = 6;
const WITH_FACTS: u8 = 7;

/// The tags of frames.
mod tag {
    pub const SCHEMA: u8 = b'S';
    pub const REQUEST: u8 = b'R';
    pub const PROGRAMS: u8 = b'P';
    pub const BATCH: u8 = b'B';
    pub const END: u8 = b'E';
}

/// Bytes before a frame's body.
const FRAME_HEAD: usize = 9;

/// A frame ends once its events take this many bytes,
const FRAME_ENOUGH: usize = 1 << 20;
/// or are this many.
const FRAME_EVENTS: usize = 1 << 15;
/// A longer frame is damage.
const FRAME_MOST: u32 = 64 << 20;

/// The tags of values.
mod value {
    pub const ABSENT: u8 = 0;
    pub const INT: u8 = 1;
    pub const UINT: u8 = 2;
    pub const FALSE: u8 = 3;
    pub const TRUE: u8 = 4;
    pub const TEXT: u8 = 5;
    pub const PATH: u8 = 6;
    pub const PATH_AND_RAW: u8 = 7;
    pub const LIST: u8 = 8;
    pub const MAP: u8 = 9;
    pub const WORD: u8 = 10;
    pub const NAMES: u8 = 11;
    pub const LEXICAL_PATH: u8 = 12;
}

/// Containers in the list, at most; then it begins anew, with a schema.
const MOST_CONTAINERS: usize = 1 << 12;

/// Programs in the list, at most; then it begins anew, with a schema.
const MOST_PROGRAMS: usize = 1 << 13;
/// The same once they take this many bytes: the writer keeps them in memory.
const MOST_PROGRAM_BYTES: usize = 8 << 20;

/// Bits of an event's first byte; the mechanism that saw it, counted from 1, stands above them.
mod has {
    pub const SEQ: u8 = 1;
    pub const RET: u8 = 2;
    pub const CALL: u8 = 4;
    pub const ERROR: u8 = 8;
    pub const TRUNCATED: u8 = 16;
    pub const VIA_SHIFT: u32 = 5;
}

/// The flag tables that values refer to by their place here.
const TABLES: [&FlagTable; 12] = [
    &names::OPEN,
    &names::MEMFD,
    &names::DLOPEN,
    &names::PROT,
    &names::NAMESPACE,
    &names::MOUNT,
    &names::UMOUNT,
    &names::RESOLVE,
    &names::RENAME,
    &names::AT,
    &names::HANDLE,
    &names::XATTR,
];

#[cfg(test)]
mod tests;
