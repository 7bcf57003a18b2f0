//! What a program asks of the kernel through an io_uring: it writes its requests into memory that it shares
//! with the kernel, and makes no call of their own.
//!
//! The queues of a process are known from io_uring_setup(2), whose descriptor the program maps by mmap(2).
//! Before a call that submits, and after each wait for descriptors (the kernel may poll the queue by itself),
//! the requests are read that were added since. A queue of liburing's is read when its functions submit: the
//! library makes its system calls itself. Requests are reported as the calls that they stand for; how they
//! ended is not known.
//!
//! # Safety
//! A queue's memory is the program's own mapping; [`queues::let_go`] forgets one before it is unmapped. What
//! a request points to is probed.

use core::ffi::{c_char, c_int, c_void};
use core::sync::atomic::{AtomicU32, Ordering};

use wire::events::{
    FileAllocate, FileLink, FileMkdir, FileOpen, FileRename, FileRmdir, FileSymlink, FileSync, FileTruncate,
    FileUnlink, KernelIoUring, NetBind, NetConnect, NetListen, NetSocket,
};
use wire::fields::{
    Address, AllocateFlags, AtFlags, Family, Hidden, OpenFlags, Path, Protocol, RenameFlags, ResolveFlags,
    SocketType,
};

use crate::calls::queues::{self, KNOWN, Queue, WIDE};
use crate::calls::syscalls::OpenHow;
use crate::calls::{connects, fds};
use crate::process;
use crate::record::call::{Call, Row};
use crate::record::capture::{self, creation_mode};
use crate::record::emit;
use crate::record::fail::{Fails as _, NegativeErrno};
use crate::record::probe::Probe;
use crate::table::kernel;

/// IORING_SETUP_NO_SQARRAY: requests stand in their order.
const NO_ARRAY: u32 = 1 << 16;
/// Queues that were reported.
static MADE: AtomicU32 = AtomicU32::new(0);

/// A request: `struct io_uring_sqe` (<linux/io_uring.h>), as far as it is read.
#[repr(C)]
#[derive(Clone, Copy)]
struct Request {
    operation: u8,
    flags: u8,
    priority: u16,
    fd: c_int,
    offset: u64,
    address: u64,
    len: u32,
    operation_flags: u32,
    user_data: u64,
    buffer: u16,
    personality: u16,
    /// The place of a descriptor in the ring's own table, and one; 0 for a descriptor of the process.
    file_index: u32,
    rest: [u64; 2],
}

/// `struct io_uring` of liburing 2 (<liburing.h>): a part of its interface, since its inlined functions use
/// it.
#[repr(C)]
pub struct Library {
    /// Head, tail, mask, entries, flags, dropped, array: addresses in the ring.
    words: [*const u32; 7],
    requests: *const Request,
    first: u32,
    behind: u32,
    len: usize,
    ring: *const c_void,
    room: [u32; 4],
    completions: [usize; 11],
    flags: u32,
}

/// A queue was made, of so many entries: io_uring_setup(2), io_uring_queue_init(3).
#[inline(never)]
pub fn made(call: Call, entries: u32) {
    MADE.fetch_add(1, Ordering::Relaxed);
    emit::after(call, 0, &KernelIoUring { entries });
}

/// io_uring_queue_init(3), which may make a queue by another function of liburing's that has a row.
pub fn initialised(row: Row, entries: u32, real: impl FnOnce() -> c_int) -> c_int {
    let before = MADE.load(Ordering::Relaxed);
    let ret = real();
    if MADE.load(Ordering::Relaxed) == before && process::ring().is_some() {
        made(Call::of(row, NegativeErrno::outcome(ret)), entries);
    }
    ret
}

/// io_uring_setup(2): notes where the queue's parts will lie.
///
/// # Safety
/// `parameters` is the call's `struct io_uring_params`.
#[inline(never)]
pub unsafe fn set_up(call: Call, entries: u32, parameters: *const [u32; 17]) {
    made(call, entries);
    // SAFETY: the caller's promise: the kernel filled it in.
    let given = unsafe { capture::given(call.outcome, parameters) };
    if let (false, Some(given)) = (call.outcome.failed, given)
        && let Some(caller) = process::ring().and_then(process::caller)
    {
        queues::begin(caller.pid(), call.outcome.ret as c_int, given);
    }
}

/// A call waited for descriptors. The kernel may have taken requests meanwhile without a call.
pub fn waited(call: Call) {
    if queues::are_there() {
        look(kernel::Name::io_uring_enter.row().called_as(call.row));
    }
    connects::waited(call);
}

/// io_uring_enter(2) is about to submit.
#[inline(always)]
pub fn entering(row: Row) {
    if queues::are_there() {
        look(row);
    }
}

/// Reports what was asked of any queue.
#[cold]
#[inline(never)]
fn look(row: Row) {
    for queue in &KNOWN {
        if ![0, queues::TAKEN].contains(&queue.fd.load(Ordering::Relaxed)) {
            report(queue, row);
        }
    }
}

/// Reports what a queue of liburing's is about to submit.
///
/// # Safety
/// `library` is null or the library's.
pub unsafe fn submitting(row: Row, library: *const Library) {
    if library.is_null() || process::ring().is_none() {
        return;
    }
    // SAFETY: the caller's promise; the library reads the same in the call.
    unsafe {
        let Library { words: [_, _, _, entries, ..], requests, first, behind, flags, .. } = &*library;
        if entries.is_null() || requests.is_null() {
            return;
        }
        let entries = entries.read_volatile();
        for at in places(*first, *behind, entries) {
            request(*requests as usize, at & entries.wrapping_sub(1), *flags).report(row);
        }
    }
}

/// The numbers from one to behind another, of a queue with so many entries: none where there cannot be so
/// many.
fn places(first: u32, behind: u32, entries: u32) -> impl Iterator<Item = u32> {
    let count = behind.wrapping_sub(first);
    (0..if count > entries { 0 } else { count }).map(move |step| first.wrapping_add(step))
}

/// The request at a place.
///
/// # Safety
/// So many lie at `requests`.
unsafe fn request(requests: usize, place: u32, flags: u32) -> Request {
    let len = size_of::<Request>() << u32::from(flags & WIDE != 0);
    // SAFETY: the caller's promise. Another thread may write there: then the copy is mixed.
    unsafe { ((requests + place as usize * len) as *const Request).read_volatile() }
}

/// Reports the requests that were added since the last time.
fn report(queue: &Queue, row: Row) {
    let (ring, requests) = (queue.ring.load(Ordering::Relaxed), queue.requests.load(Ordering::Relaxed));
    let (entries, flags) = (queue.entries.load(Ordering::Relaxed), queue.flags.load(Ordering::Relaxed));
    let is_own = |caller: process::Caller| caller.pid() == queue.owner.load(Ordering::Relaxed);
    if ring == 0 || requests == 0 || !process::ring().and_then(process::caller).is_some_and(is_own) {
        return;
    }
    let word = |offset: usize| (ring + offset) as *mut u32;
    let array = queue.array.load(Ordering::Relaxed) as usize;
    // SAFETY: mapped, at the offsets that the kernel gave.
    let tail = unsafe { AtomicU32::from_ptr(word(queue.tail.load(Ordering::Relaxed) as usize)) };
    // Acquire: the requests below the tail are written. Pairs with the program's Release.
    let tail = tail.load(Ordering::Acquire);
    // Of two threads that look at once, each gets its own part.
    let seen = queue.seen.swap(tail, Ordering::Relaxed);
    let mask = entries.wrapping_sub(1);
    for at in places(seen, tail, entries) {
        let place = match flags & NO_ARRAY {
            // SAFETY: as above.
            0 => unsafe { word(array + (at & mask) as usize * size_of::<u32>()).read_volatile() },
            _ => at & mask,
        };
        if place < entries {
            // SAFETY: so many requests lie there.
            unsafe { request(requests, place, flags).report(row) };
        }
    }
}

/// `enum io_uring_op` (<linux/io_uring.h>).
mod operation {
    pub const FSYNC: u8 = 3;
    pub const SYNC_FILE_RANGE: u8 = 8;
    pub const CONNECT: u8 = 16;
    pub const FALLOCATE: u8 = 17;
    pub const OPENAT: u8 = 18;
    pub const CLOSE: u8 = 19;
    pub const OPENAT2: u8 = 28;
    pub const RENAMEAT: u8 = 35;
    pub const UNLINKAT: u8 = 36;
    pub const MKDIRAT: u8 = 37;
    pub const SYMLINKAT: u8 = 38;
    pub const LINKAT: u8 = 39;
    pub const SOCKET: u8 = 45;
    pub const FTRUNCATE: u8 = 55;
    pub const BIND: u8 = 56;
    pub const LISTEN: u8 = 57;
}

impl Request {
    /// Reports it as the call that it stands for; transfers are not reported.
    fn report(&self, row: Row) {
        let Self { fd, address, offset, len, operation_flags: flags, .. } = *self;
        let path = || capture::path_before(fd, address as *const c_char);
        let file = Path { dir: fd, raw: None };
        match self.operation {
            operation::OPENAT => self.opens(row, flags, len, None),
            operation::OPENAT2 => {
                let is_whole = Probe::new().holds(offset as usize, size_of::<OpenHow>());
                // SAFETY: it was found readable.
                let how = is_whole.then(|| unsafe { (offset as *const OpenHow).read_unaligned() });
                let how = how.unwrap_or_default();
                self.opens(row, how.flags as u32, how.mode as u32, Some(ResolveFlags(how.resolve as u32)));
            }
            operation::CLOSE if self.file_index == 0 => _ = fds::close(row, fd, || 0),
            operation::MKDIRAT => emit::before(row, 0, &FileMkdir { path: path(), mode: len }),
            operation::UNLINKAT if flags as c_int & libc::AT_REMOVEDIR != 0 => {
                emit::before(row, 0, &FileRmdir { path: path() });
            }
            operation::UNLINKAT => emit::before(row, 0, &FileUnlink { path: path() }),
            operation::RENAMEAT => {
                let new_path = capture::path_before(len as c_int, offset as *const c_char);
                emit::before(row, 0, &FileRename { path: path(), new_path, flags: Some(RenameFlags(flags)) });
            }
            operation::LINKAT => {
                let new_path = capture::path_before(len as c_int, offset as *const c_char);
                emit::before(row, 0, &FileLink { path: path(), new_path, flags: Some(AtFlags(flags)) });
            }
            operation::SYMLINKAT => {
                let new_path = capture::path_before(fd, offset as *const c_char);
                emit::before(row, 0, &FileSymlink { path: Path { dir: -1, ..path() }, new_path });
            }
            operation::FALLOCATE => {
                let (flags, offset, length) = (AllocateFlags(len as c_int), offset as i64, address as i64);
                emit::before(row, 0, &FileAllocate { path: file, fd, flags, offset, length });
            }
            operation::FSYNC | operation::SYNC_FILE_RANGE => {
                emit::before(row, 0, &FileSync { path: file, fd: Some(fd), began_ns: Hidden(0) });
            }
            operation::FTRUNCATE => {
                emit::before(row, 0, &FileTruncate { path: file, length: offset as i64 });
            }
            operation::SOCKET => {
                let (family, protocol) = (Family(fd), Protocol(len as c_int));
                emit::before(
                    row,
                    0,
                    &NetSocket { fd: None, family, r#type: SocketType(offset as c_int), protocol },
                );
            }
            operation::BIND => emit::before(row, 0, &NetBind { fd, local: self.peer() }),
            operation::LISTEN => emit::before(row, 0, &NetListen { fd, backlog: len as c_int }),
            operation::CONNECT => {
                let (remote, own) = (self.peer(), Hidden(Address(&[])));
                emit::before(row, 0, &NetConnect { fd, remote, own, began_ns: Hidden(0) });
            }
            _ => {}
        }
    }

    fn opens(&self, row: Row, flags: u32, mode: u32, resolve: Option<ResolveFlags>) {
        let path = capture::path_before(self.fd, self.address as *const c_char);
        let mode = creation_mode(flags as c_int, mode);
        emit::before(row, 0, &FileOpen { path, fd: None, flags: OpenFlags(flags), mode, resolve });
    }

    /// The socket address that it points to.
    fn peer(&self) -> Address<'_> {
        let (start, len) = (self.address as usize, (self.offset as usize).min(capture::ADDRESS_CAP));
        Address(match Probe::new().holds(start, len) {
            // SAFETY: it was found readable, and is no longer than a page.
            true => unsafe { core::slice::from_raw_parts(start as *const u8, len) },
            false => &[],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_between_two_tails_is_read_and_nothing_where_they_cannot_be() {
        assert_eq!(vec![u32::MAX, 0, 1], places(u32::MAX, 2, 4).collect::<Vec<_>>());
        assert_eq!(0, places(5, 5, 4).count());
        assert_eq!(0, places(0, 5, 4).count(), "a tail that the program scribbled");
        assert_eq!(0, places(2, 1, 4).count(), "of a thread that looked before another");
    }

    #[test]
    fn request_and_librarys_structure_are_laid_out_as_in_c() {
        assert_eq!(64, size_of::<Request>());
        assert_eq!(
            (56, 64, 192),
            (
                core::mem::offset_of!(Library, requests),
                core::mem::offset_of!(Library, first),
                core::mem::offset_of!(Library, flags),
            )
        );
    }
}
