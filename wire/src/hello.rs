//! The one message that a sensor sends: its identity, and with it the ring's memfd.
//!
//! It travels over a SOCK_SEQPACKET Unix socket as one packet; no reply is sent to it. Where the kernel does
//! not tell the sensor whose the listener is, the sensor asks first: [`PROOF_QUESTION`]. The collector trusts
//! the kernel (SO_PEERCRED) rather than the pids and uids in here, except where the kernel cannot tell them.

use bincode::BorrowDecode;

use crate::codec::{self, Encode, Malformed, SliceSink};
use crate::fields::Text;
use crate::named::named;

/// "GLASSHI\0" as a little-endian number.
pub const MAGIC: u64 = u64::from_le_bytes(*b"GLASSHI\0");

/// File name of a socket whose collector shares the sensor's `/proc` and files: it finds the image's path
/// itself, so that the sensor need not ask for it, which costs an exec 16 µs.
pub const NEAR: &str = "near";

/// Whether a socket's name says that its collector is near.
pub fn is_near(socket: &[u8]) -> bool {
    socket.rsplit(|byte| *byte == b'/').next() == Some(NEAR.as_bytes())
}

/// A sensor's question in front of its hello, in a user namespace whose numbers do not tell whose the
/// listener is.
pub const PROOF_QUESTION: &[u8] = b"glassbox: whose?";

/// The collector's answer, with which it sends the credentials of the sensor's own user (`SCM_CREDENTIALS`,
/// unix(7)): the kernel lets only that user do so, and a process with power over it.
pub const PROOF_ANSWER: &[u8] = b"yours";

/// The variable that distinguishes the containers of an ECS task: each has a URI of its own.
pub const CONTAINER_VARIABLE: &[u8] = b"ECS_CONTAINER_METADATA_URI_V4";

/// Longest value of [`CONTAINER_VARIABLE`] that is passed on; a longer one is none. The real ones have some
/// 80 bytes.
pub const MAX_CONTAINER: usize = 256;

/// Longest hello of a process that sends a ring, in bytes.
pub const MAX_SEEN_LEN: usize = MAX_CONTAINER + 128;

/// Longest hello in bytes.
pub const MAX_LEN: usize = 4096 + MAX_SEEN_LEN;

/// A sensor's description of its process when it attaches.
#[derive(Clone, Copy, Debug, PartialEq, BorrowDecode)]
pub struct Hello<'a> {
    /// [`MAGIC`].
    pub magic: u64,
    /// [`crate::VERSION`].
    pub version: u16,
    /// [`crate::FINGERPRINT`] of the sensor's event table.
    pub events: u64,
    /// Fingerprint of the sensor's hook table (`hook_table::FINGERPRINT`).
    pub calls: u64,
    /// The process as it sees itself.
    pub pid: u32,
    /// Its parent as it sees it; 0 when that is outside its pid namespace.
    pub ppid: u32,
    /// Slot of the ring that this process writes into; 0 for an image.
    pub slot: u8,
    /// Descriptors that the sensor holds while it attaches, and closes then; -1 for none.
    pub own_fds: [i32; 2],
    /// Why the process sends no ring: a value of [`Blind`]; 0 when it sends one.
    pub blind: u8,
    /// The image, where `blind` is set; else empty (the ring's first record says it).
    pub exe: Text<'a>,
    /// Its pid namespace by inode, where the collector's process has no number in it; else 0.
    pub pid_ns: u64,
    /// The value of [`CONTAINER_VARIABLE`]; empty where there is none.
    pub container: Text<'a>,
    /// The image's file: device and inode (stat(2)); both 0 where they are not known.
    pub file: [u64; 2],
}

crate::encode_by_fields! {
    Hello<'a> { magic, version, events, calls, pid, ppid, slot, own_fds, blind, exe, pid_ns, container, file }
}

named! {
    /// Why a process that loaded the sensor is not seen.
    pub enum Blind: u8 {
        /// Too few descriptors are allowed to make a ring (RLIMIT_NOFILE).
        FdLimit = 1 "fd_limit",
        /// A memfd of the ring's size was refused (RLIMIT_FSIZE, memory, seccomp).
        NoMemory = 2 "no_memory",
        /// The address space is too small to map a ring (RLIMIT_AS).
        AddressSpace = 3 "address_space",
        /// The libc in the process is not one that the sensor can wrap.
        ForeignLibc = 4 "foreign_libc",
    }
    /// The `reason` of `sensor.blind`.
    fn reason -> &'static str;
    /// Reads the byte of a hello; `None` for 0 and unknown values.
    fn from_byte(u8);
}

named! {
    /// The return value of the sensor's entry point: the outcome for a program that was asked to join while
    /// it ran.
    pub enum Joined: u8 {
        /// It has a ring, and the collector has it too.
        Seen = 1,
        /// It had one before.
        Already = 2,
        /// No collector took it, or there is no room for a ring.
        Unseen = 3,
        /// It cannot be: another namespace of libraries, or a program that the sensor cannot read.
        NotHere = 4,
    }
    /// Reads what the entry point returned; `None` for a value that no sensor of this version gives.
    fn from_number(u64);
}

impl<'a> Hello<'a> {
    /// Encodes the message; gives its length, or 0 when `buffer` is too small.
    pub fn encode(&self, buffer: &mut [u8]) -> usize {
        let mut sink = SliceSink::new(buffer);
        if Encode::encode(self, &mut sink) { sink.len() } else { 0 }
    }

    /// Decodes a packet; refuses one that is not a hello.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (hello, rest) = codec::decode::<Self>(bytes)?;
        if hello.magic == MAGIC && rest.is_empty() { Ok(hello) } else { Err(Malformed) }
    }
}
