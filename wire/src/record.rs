//! The fixed part of every record: process and thread, call, time and outcome.
//!
//! The sensor fills a [`Head`] in `record/emit.rs`; the collector reads it before it looks at the payload
//! that follows.

use bincode::Decode;

use crate::codec::{Encode, Sink};
use crate::named::named;

/// The head of a record, 40 bytes on the wire, followed by the payload that `kind` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Decode)]
pub struct Head {
    /// CLOCK_MONOTONIC in nanoseconds: when the call returned, or was made for records written before it.
    /// 0 where the sensor may not ask (seccomp strict mode); the collector then stamps it.
    pub time_ns: u64,
    /// Number of this record within its process image, from 0; meaningless unless [`Flags::STAMPED`].
    pub seq: u64,
    /// The return value; meaningless unless [`Flags::RETURNED`].
    pub ret: i64,
    /// The process as it sees itself (its own pid namespace).
    pub pid: u32,
    /// The thread as it sees itself; 0 where it cannot be known.
    pub tid: u32,
    /// Which event: a value of [`crate::events::Kind`], not yet checked.
    pub kind: u16,
    /// Which row of the hook table, see the crate `hook-table`; 0 for none.
    pub call: u16,
    /// errno after a failed call, else 0.
    pub errno: u16,
    /// Which mechanism saw the call.
    pub via: u8,
    /// See [`Flags`].
    pub flags: u8,
}

impl Encode for Head {
    /// In one piece, so that its fields are not each held against the end of the sink.
    #[inline(always)]
    fn encode(&self, sink: &mut impl Sink) -> bool {
        let mut bytes = [0; Self::LEN];
        bytes[0..8].copy_from_slice(&self.time_ns.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.seq.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.ret.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.pid.to_le_bytes());
        bytes[28..32].copy_from_slice(&self.tid.to_le_bytes());
        bytes[32..34].copy_from_slice(&self.kind.to_le_bytes());
        bytes[34..36].copy_from_slice(&self.call.to_le_bytes());
        bytes[36..38].copy_from_slice(&self.errno.to_le_bytes());
        bytes[38..40].copy_from_slice(&[self.via, self.flags]);
        sink.put(&bytes)
    }
}

impl Head {
    /// Bytes of a head on the wire.
    pub const LEN: usize = 40;
}

/// Bits of [`Head::flags`].
pub struct Flags;

impl Flags {
    /// `seq` is a number of the process's sequence. Records without it keep the collector's picture, and are
    /// never delivered.
    pub const STAMPED: u8 = 1;
    /// `ret` holds the return value.
    pub const RETURNED: u8 = 2;
    /// A string or list was longer than the sensor copies, and cut.
    pub const TRUNCATED: u8 = 4;
    /// In a `process.exec`: the process is inside a seccomp filter that does not let the sensor start in the
    /// next image.
    pub const BARRED: u8 = 8;
    /// In a `process.exec`: the process's root, or its rights, no longer lead to the sensor, and the next
    /// image is not asked to load it.
    pub const OUT_OF_REACH: u8 = 16;
    /// In a record of a supervisor's: libc's code made the call, in a process with hooks. It is an event
    /// unless it was made in a function that a hook tells of.
    pub const INNER: u8 = 32;
}

named! {
    /// The mechanism that saw a call.
    pub enum Via: u8 {
        /// Symbol interposition: the loader bound the caller to our definition.
        Symbol = 0 "symbol",
        /// A patched global offset table slot.
        Got = 1 "got",
        /// A patched function entry.
        Inline = 2 "inline",
        /// A seccomp user notification.
        Notify = 3 "notify",
    }
    /// The name that the `via` field of an event carries.
    fn name -> &'static str;
    /// Reads the byte of a record; `None` for a value that no sensor of this version writes.
    fn from_byte(u8);
}
