//! The types that a record's fields have: how each is encoded, how long it is, and what it shows as.
//!
//! In the sensor a field borrows the application's memory for the length of one call; in the collector it
//! borrows the copied record. [`Shown`] is a field's meaning to a reader, without allocation: the collector
//! resolves paths and addresses from it.

use bincode::de::{BorrowDecoder, read::BorrowReader};
use bincode::error::DecodeError;
use bincode::{BorrowDecode, Decode};

use crate::codec::{Encode, Sink};
use crate::{encode_by_fields, names};

/// A value as a reader of the event sees it, before the collector resolves it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shown<'a> {
    /// The field is left out.
    Absent,
    /// A signed number.
    Int(i64),
    /// An unsigned number.
    Uint(u64),
    /// A truth value.
    Bool(bool),
    /// A string; may hold any byte but NUL.
    Text(&'a [u8]),
    /// A path to resolve against a directory.
    Path(Path<'a>),
    /// A list of strings.
    List(Args<'a>),
    /// `NAME=value` strings, shown as an object.
    Map(Args<'a>),
    /// A constant's name.
    Word(&'static str),
    /// A set of flags by name: the table and the bits.
    Names(&'static names::FlagTable, u64),
    /// A socket address as the kernel lays it out.
    Address(&'a [u8]),
    /// Internet addresses: a family byte (4 or 6) and 4 or 16 bytes, repeated.
    Answers(&'a [u8]),
    /// One of them.
    Ip(&'a [u8]),
    /// File actions, for [`actions`] to take apart.
    Actions(&'a [u8]),
}

/// A field's type: its length and its name.
pub trait Field {
    /// Bytes that encoding it takes.
    fn encoded_len(&self) -> usize;
    /// The type's name in the documentation; empty for a field that no reader sees.
    const TYPE: &'static str;
}

/// The reader's view of a field.
pub trait Show<'a>: Field {
    /// The value that a reader sees.
    fn shown(&self) -> Shown<'a>;
}

macro_rules! number {
    ($($type:ty, $doc:literal, $variant:ident as $wide:ty;)*) => {$(
        impl Field for $type {
            #[inline(always)]
            fn encoded_len(&self) -> usize { size_of::<Self>() }
            const TYPE: &'static str = $doc;
        }
        impl<'a> Show<'a> for $type {
            fn shown(&self) -> Shown<'a> { Shown::$variant(<$wide>::from(*self)) }
        }
    )*};
}
number! {
    i32, "number", Int as i64;
    u32, "number", Uint as u64;
    u64, "number", Uint as u64;
    i64, "number", Int as i64;
    bool, "boolean", Bool as bool;
}

/// A number or a string that may be absent.
impl<T: Field> Field for Option<T> {
    #[inline(always)]
    fn encoded_len(&self) -> usize {
        1 + self.as_ref().map_or(0, Field::encoded_len)
    }
    const TYPE: &'static str = T::TYPE;
}

impl<'a, T: Show<'a>> Show<'a> for Option<T> {
    fn shown(&self) -> Shown<'a> {
        self.as_ref().map_or(Shown::Absent, Show::shown)
    }
}

/// A string: any bytes without NUL. In the sensor it is read from the application's memory while it is
/// encoded.
pub type Text<'a> = &'a [u8];

impl Field for &[u8] {
    #[inline(always)]
    fn encoded_len(&self) -> usize {
        8 + self.len()
    }
    const TYPE: &'static str = "string";
}

impl<'a> Show<'a> for &'a [u8] {
    fn shown(&self) -> Shown<'a> {
        Shown::Text(self)
    }
}

/// `AT_FDCWD`: the path is relative to the current directory.
pub const AT_FDCWD: i32 = -100;

/// A path and the descriptor of the directory that it is relative to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorrowDecode)]
pub struct Path<'a> {
    /// A directory's descriptor, or [`AT_FDCWD`].
    pub dir: i32,
    /// The path as the caller passed it; `None` where there was none or it could not be read.
    pub raw: Option<Text<'a>>,
}

encode_by_fields! { Path<'a> { dir, raw } Environment<'a> { 0 } Address<'a> { 0 } Answers<'a> { 0 } Ip<'a> { 0 } Actions<'a> { 0 } }

impl Field for Path<'_> {
    #[inline(always)]
    fn encoded_len(&self) -> usize {
        4 + self.raw.encoded_len()
    }
    const TYPE: &'static str = "path";
}

impl<'a> Show<'a> for Path<'a> {
    fn shown(&self) -> Shown<'a> {
        if self.raw.is_none() && self.dir < 0 { Shown::Absent } else { Shown::Path(*self) }
    }
}

/// Bytes of an argument vector that are kept, each string with its NUL, unless more are asked for
/// (`GLASSBOX_ARGV_KIB`): the rest is cut.
pub const DEFAULT_ARGV: usize = 16 * 1024;
/// The most that may be asked for.
pub const MAX_ARGV: usize = 128 * 1024;

/// A list of strings, such as an argument vector.
///
/// On the wire: the bytes' length, then each string with its terminating NUL.
#[derive(Clone, Copy, Debug)]
pub enum Args<'a> {
    /// The strings, each ended by a NUL: what decoding gives.
    Packed(&'a [u8]),
    /// A null-terminated array in the application's memory, measured by the sensor.
    Vector(Vector),
}

/// The measured part of a `char *const argv[]`.
#[derive(Clone, Copy, Debug)]
pub struct Vector {
    first: *const *const u8,
    count: usize,
    len_bytes: usize,
}

impl Vector {
    /// Describes the first `count` strings of the array at `first`, `len_bytes` long in all with their NULs.
    ///
    /// # Safety
    /// Until the value is encoded, the first `count` elements of `first` stay readable, and each points to a
    /// string ended by a NUL.
    pub unsafe fn new(first: *const *const u8, count: usize, len_bytes: usize) -> Self {
        Self { first, count, len_bytes }
    }
}

impl<'a> Args<'a> {
    /// The empty list.
    pub const NONE: Self = Self::Packed(&[]);

    /// The strings, without their NULs. Empty for a vector that was not yet encoded.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let packed = match self {
            Self::Packed(bytes) => *bytes,
            Self::Vector(_) => &[],
        };
        let ended = packed.strip_suffix(&[0]).unwrap_or(packed);
        ended.split(|byte| *byte == 0).take(if packed.is_empty() { 0 } else { usize::MAX })
    }
}

impl PartialEq for Args<'_> {
    fn eq(&self, other: &Self) -> bool {
        matches!((self, other), (Self::Packed(a), Self::Packed(b)) if a == b)
    }
}

impl Field for Args<'_> {
    #[inline(always)]
    fn encoded_len(&self) -> usize {
        8 + match self {
            Self::Packed(bytes) => bytes.len(),
            Self::Vector(vector) => vector.len_bytes,
        }
    }
    const TYPE: &'static str = "list of strings";
}

impl<'a> Show<'a> for Args<'a> {
    fn shown(&self) -> Shown<'a> {
        Shown::List(*self)
    }
}

impl Encode for Args<'_> {
    #[inline(always)]
    fn encode(&self, sink: &mut impl Sink) -> bool {
        match self {
            Self::Packed(bytes) => bytes.encode(sink),
            Self::Vector(vector) => vector.encode(sink),
        }
    }
}

impl Encode for Vector {
    /// Writes exactly `len_bytes` bytes, even if another thread changes the strings meanwhile: a string that
    /// grew is cut, and what is missing at the end becomes NULs.
    fn encode(&self, sink: &mut impl Sink) -> bool {
        if !(self.len_bytes as u64).encode(sink) {
            return false;
        }
        let mut left = self.len_bytes;
        for index in 0..self.count {
            if left == 0 {
                break;
            }
            // SAFETY: `Vector::new` promises `count` readable elements.
            let string = unsafe { self.first.add(index).read() };
            let mut len = 0;
            // SAFETY: `Vector::new` promises a string ended by a NUL.
            while len + 1 < left && unsafe { string.add(len).read() } != 0 {
                len += 1;
            }
            // SAFETY: the loop above read each of these bytes; the slice lives for this statement.
            if !(sink.put(unsafe { core::slice::from_raw_parts(string, len) }) && sink.put(&[0])) {
                return false;
            }
            left -= len + 1;
        }
        (0..left).all(|_| sink.put(&[0]))
    }
}

impl<'de, C> BorrowDecode<'de, C> for Args<'de> {
    fn borrow_decode<D: BorrowDecoder<'de, Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let len = usize::try_from(u64::decode(decoder)?).map_err(|_| DecodeError::LimitExceeded)?;
        decoder.claim_bytes_read(len)?;
        Ok(Self::Packed(decoder.borrow_reader().take_bytes(len)?))
    }
}

/// Environment strings, `NAME=value`.
#[derive(Clone, Copy, Debug, PartialEq, BorrowDecode)]
pub struct Environment<'a>(pub Args<'a>);

impl Field for Environment<'_> {
    #[inline(always)]
    fn encoded_len(&self) -> usize {
        self.0.encoded_len()
    }
    const TYPE: &'static str = "object of strings";
}

impl<'a> Show<'a> for Environment<'a> {
    fn shown(&self) -> Shown<'a> {
        if self.0.iter().next().is_none() { Shown::Absent } else { Shown::Map(self.0) }
    }
}

/// A socket address as it was passed to the kernel: `sa_family` and what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorrowDecode)]
pub struct Address<'a>(pub Text<'a>);

impl Field for Address<'_> {
    #[inline(always)]
    fn encoded_len(&self) -> usize {
        self.0.encoded_len()
    }
    const TYPE: &'static str = "`addr:port`, `[addr]:port` or a path";
}

impl<'a> Show<'a> for Address<'a> {
    fn shown(&self) -> Shown<'a> {
        if self.0.is_empty() { Shown::Absent } else { Shown::Address(self.0) }
    }
}

/// Internet addresses: a family byte (4 or 6) and the 4 or 16 bytes of the address, repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorrowDecode)]
pub struct Answers<'a>(pub Text<'a>);

impl Field for Answers<'_> {
    #[inline(always)]
    fn encoded_len(&self) -> usize {
        self.0.encoded_len()
    }
    const TYPE: &'static str = "list of addresses";
}

impl<'a> Show<'a> for Answers<'a> {
    fn shown(&self) -> Shown<'a> {
        Shown::Answers(self.0)
    }
}

/// One internet address, as in [`Answers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorrowDecode)]
pub struct Ip<'a>(pub Text<'a>);

impl Field for Ip<'_> {
    #[inline(always)]
    fn encoded_len(&self) -> usize {
        self.0.encoded_len()
    }
    const TYPE: &'static str = "address";
}

impl<'a> Show<'a> for Ip<'a> {
    fn shown(&self) -> Shown<'a> {
        Shown::Ip(self.0)
    }
}

/// A file action of posix_spawn(3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Action {
    /// close(2) of `fd`.
    Close = 1,
    /// dup2(2) of `fd` onto `other`.
    Duplicate = 2,
    /// open(2) of `path` as `fd`, with the flags `other` and `mode`.
    Open = 3,
    /// chdir(2) to `path`.
    Directory = 4,
    /// fchdir(2) to `fd`.
    OpenDirectory = 5,
    /// closefrom(3) from `fd` on.
    CloseFrom = 6,
    /// tcsetpgrp(3) on `fd`.
    Terminal = 7,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 7] = [
        Self::Close,
        Self::Duplicate,
        Self::Open,
        Self::Directory,
        Self::OpenDirectory,
        Self::CloseFrom,
        Self::Terminal,
    ];
}

/// One file action with what belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileAction<'a> {
    /// Which.
    pub action: Action,
    /// A descriptor.
    pub fd: i32,
    /// Another one, or flags.
    pub other: i32,
    /// Permissions for a file that is made.
    pub mode: u32,
    /// A path; empty where there is none.
    pub path: &'a [u8],
}

/// File actions of posix_spawn(3), in their order: each a byte for the [`Action`], three numbers, a length of
/// two bytes and a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorrowDecode)]
pub struct Actions<'a>(pub Text<'a>);

impl Field for Actions<'_> {
    #[inline(always)]
    fn encoded_len(&self) -> usize {
        self.0.encoded_len()
    }
    const TYPE: &'static str = "list of strings";
}

impl<'a> Show<'a> for Actions<'a> {
    fn shown(&self) -> Shown<'a> {
        if self.0.is_empty() { Shown::Absent } else { Shown::Actions(self.0) }
    }
}

/// Takes encoded [`Actions`] apart; stops at what is none.
pub fn actions(mut bytes: &[u8]) -> impl Iterator<Item = FileAction<'_>> {
    core::iter::from_fn(move || {
        let (tag, rest) = bytes.split_first()?;
        let action = Action::ALL.into_iter().find(|action| *action as u8 == *tag)?;
        let (fd, rest) = rest.split_first_chunk()?;
        let (other, rest) = rest.split_first_chunk()?;
        let (mode, rest) = rest.split_first_chunk()?;
        let (len, rest) = rest.split_first_chunk()?;
        let (path, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*len)))?;
        bytes = rest;
        let (fd, other) = (i32::from_le_bytes(*fd), i32::from_le_bytes(*other));
        Some(FileAction { action, fd, other, mode: u32::from_le_bytes(*mode), path })
    })
}

macro_rules! coded {
    ($($(#[$doc:meta])* $name:ident($inner:ty), $type:literal, |$value:ident| $shown:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Decode)]
        pub struct $name(pub $inner);
        encode_by_fields! { $name { 0 } }
        impl Field for $name {
            #[inline(always)]
            fn encoded_len(&self) -> usize { size_of::<$inner>() }
            const TYPE: &'static str = $type;
        }
        impl<'a> Show<'a> for $name {
            fn shown(&self) -> Shown<'a> { let $value = self.0; $shown }
        }
    )*};
}

fn word_or_number<'a>(table: &'static [(i64, &'static str)], value: i64) -> Shown<'a> {
    names::word(table, value).map_or(Shown::Int(value), Shown::Word)
}

coded! {
    /// The flags of open(2).
    OpenFlags(u32), "list of names", |bits| Shown::Names(&names::OPEN, u64::from(bits));
    /// How openat2(2) resolves its path.
    ResolveFlags(u32), "list of names", |bits| Shown::Names(&names::RESOLVE, u64::from(bits));
    /// The flags of renameat2(2).
    RenameFlags(u32), "list of names", |bits| Shown::Names(&names::RENAME, u64::from(bits));
    /// The flags of calls that take a directory: fchmodat(2), fchownat(2), linkat(2).
    AtFlags(u32), "list of names", |bits| Shown::Names(&names::AT, u64::from(bits));
    /// The flags of name_to_handle_at(2).
    HandleFlags(u32), "list of names", |bits| Shown::Names(&names::HANDLE, u64::from(bits));
    /// The flags of setxattr(2).
    XattrFlags(u32), "list of names", |bits| Shown::Names(&names::XATTR, u64::from(bits));
    /// The flags of memfd_create(2).
    MemfdFlags(u32), "list of names", |bits| Shown::Names(&names::MEMFD, u64::from(bits));
    /// The flags of dlopen(3).
    LoadFlags(i32), "list of names", |bits| Shown::Names(&names::DLOPEN, u64::from(bits.cast_unsigned()));
    /// What access(2) asks for.
    AccessMode(i32), "list of names", |bits| Shown::Names(&names::ACCESS, u64::from(bits.cast_unsigned()));
    /// The mode of fallocate(2).
    AllocateFlags(i32), "list of names", |bits| Shown::Names(&names::ALLOCATE, u64::from(bits.cast_unsigned()));
    /// A lock of flock(2), fcntl(2) or lockf(3): see its constants.
    LockKind(i32), "name", |value| word_or_number(names::LOCK, i64::from(value));
    /// The resource of setrlimit(2).
    ResourceLimit(u32), "name", |value| word_or_number(names::RESOURCE, i64::from(value));
    /// The attributes of a mount, mount_setattr(2).
    MountAttributes(u64), "list of names", |bits| Shown::Names(&names::MOUNT_ATTRIBUTES, bits);
    /// A protection as mmap(2) takes it.
    Protection(i32), "list of names", |bits| Shown::Names(&names::PROT, u64::from(bits.cast_unsigned()));
    /// The flags of unshare(2); for mount(2) and umount2(2) the collector shows their own flags.
    NamespaceFlags(u64), "list of names", |bits| Shown::Names(&names::NAMESPACE, bits);
    /// The request of ptrace(2), or one of [`Trace`]'s own.
    Trace(i64), "name", |value| word_or_number(names::TRACE, value);
    /// The option of prctl(2).
    Control(i32), "name", |value| word_or_number(names::CONTROL, i64::from(value));
    /// An address family, `AF_…`.
    Family(i32), "name", |value| word_or_number(names::FAMILY, i64::from(value));
    /// The type of a socket with its flags masked out, `SOCK_…`.
    SocketType(i32), "name", |value| word_or_number(names::SOCKET_TYPE, i64::from(value & 0xf));
    /// A protocol number of an internet socket, `IPPROTO_…`.
    Protocol(i32), "name", |value| word_or_number(names::PROTOCOL, i64::from(value));
}

impl LockKind {
    /// Added to the type of lock of fcntl(2).
    pub const OF_FCNTL: i32 = 0x100;
    /// Added to the command of lockf(3).
    pub const OF_LOCKF: i32 = 0x200;
}

impl Trace {
    /// process_vm_readv(2).
    pub const READ: i64 = -1;
    /// process_vm_writev(2).
    pub const WRITE: i64 = -2;
}

impl Control {
    /// Whether events report this option.
    pub fn is_reported(self) -> bool {
        names::word(names::CONTROL, i64::from(self.0)).is_some()
    }
}

/// A value that travels for the collector's use and is not a field of the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorrowDecode)]
pub struct Hidden<T>(pub T);

impl<T: Encode> Encode for Hidden<T> {
    #[inline(always)]
    fn encode(&self, sink: &mut impl Sink) -> bool {
        self.0.encode(sink)
    }
}

impl<T: Field> Field for Hidden<T> {
    #[inline(always)]
    fn encoded_len(&self) -> usize {
        self.0.encoded_len()
    }
    const TYPE: &'static str = "";
}

impl<'a, T: Field> Show<'a> for Hidden<T> {
    fn shown(&self) -> Shown<'a> {
        Shown::Absent
    }
}
