//! Connects that were under way when connect(2) returned (`EINPROGRESS`): their outcome, as soon as a call of
//! the program shows it.
//!
//! A socket whose connect is under way has a mark in its counters. `getsockopt(SO_ERROR)`, a transfer and
//! another connect(2) show the outcome. After a wait (poll(2), select(2), epoll_wait(2)) and before
//! a close the kernel is asked whether the socket has a peer, which changes nothing. To ask for the error
//! takes it away, from another descriptor or process that has the socket, too. So that is done before the
//! close of a socket alone that this image made, and since when nothing has shared any descriptor.

use core::ffi::{c_int, c_void};
use core::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use wire::events::NetConnected;
use wire::fields::Address;
use wire::ring::layout::FdCounters;

use crate::calls::peers::NAME_SERVER;
use crate::process::{self, Seal};
use crate::record::call::{Call, Outcome, Row};
use crate::record::capture;
use crate::record::emit::{self, Way};
use crate::record::fail::errno;
use crate::sys::{self, Errno};

/// The low bytes of the marks of a socket whose connect is under way, the second one to a name server, and of
/// one that was just made. Odd, so that they are none of [`crate::calls::peers`]. Above them stands
/// [`SHARES`] of when this image made the socket; 0 for one that it did not make.
const UNDER_WAY: u64 = 1;
const UNDER_WAY_TO_NAME_SERVER: u64 = 3;
const MADE: u64 = 5;
const KIND_BITS: u32 = 8;

/// Calls, and one more, after which another process or descriptor may have what this image made before: it
/// was duplicated, sent, or a process or a table of descriptors made. Past [`MOST_SHARES`] no error is asked
/// for any more.
static SHARES: AtomicU32 = AtomicU32::new(1);
const MOST_SHARES: u32 = 0xffff;

/// How many there are, at least.
static COUNT: AtomicU32 = AtomicU32::new(0);
/// Descriptors that are looked at after a wait, plus one; 0 for a free place.
static AWAITED: [AtomicI32; 8] = [const { AtomicI32::new(0) }; 8];
/// The process whose connects they are: not a vfork child that shares its memory, nor a fork child with a
/// copy.
static OWNER: AtomicU32 = AtomicU32::new(0);

/// Whether a connect may be under way: asked in the commonest calls.
#[inline(always)]
pub fn are_under_way() -> bool {
    // Relaxed: a thread that does not see another's connect yet sees it in its next call.
    COUNT.load(Ordering::Relaxed) != 0
}

/// The connect of `fd` is under way.
pub fn begin(fd: c_int, is_to_name_server: bool) {
    let Some((ring, caller)) = process::ring().and_then(|ring| Some((ring, process::caller(ring)?))) else {
        return;
    };
    let Some(counters) = ring.fd(caller.slot, fd).filter(|_| !process::is_guest()) else { return };
    if OWNER.swap(caller.pid(), Ordering::Relaxed) != caller.pid() {
        forget();
    }
    let mark = counters.mark();
    let kind = if is_to_name_server { UNDER_WAY_TO_NAME_SERVER } else { UNDER_WAY };
    // Of an even mark it is the number of a peer's.
    let shares = if mark & 1 == 0 { 0 } else { mark >> KIND_BITS };
    let next = kind | shares << KIND_BITS;
    let is_new = counters.change_mark(mark, next) && !is_under_way(mark);
    // A descriptor that was closed past the sensor may have left its place, and the count of it.
    if AWAITED.iter().any(|place| place.load(Ordering::Relaxed) == fd + 1) {
        return;
    }
    if is_new {
        COUNT.fetch_add(1, Ordering::Relaxed);
    }
    let _ = AWAITED.iter().any(|place| is_replaced(place, 0, fd + 1));
}

fn is_replaced(place: &AtomicI32, from: i32, to: i32) -> bool {
    place.compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed).is_ok()
}

fn forget() {
    AWAITED.iter().for_each(|place| place.store(0, Ordering::Relaxed));
    COUNT.store(0, Ordering::Relaxed);
}

fn count_down() {
    // Not below zero: another thread may have begun to forget.
    let _ = COUNT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| count.checked_sub(1));
}

fn is_under_way(mark: u64) -> bool {
    matches!(mark as u8 as u64, UNDER_WAY | UNDER_WAY_TO_NAME_SERVER)
}

/// A stream socket was made.
pub fn made(counters: &FdCounters) {
    let shares = SHARES.load(Ordering::Relaxed);
    if shares < MOST_SHARES {
        counters.change_mark(0, MADE | u64::from(shares) << KIND_BITS);
    }
}

/// Another descriptor or process may have what this one has: also where the call failed.
#[inline(never)]
pub fn shared() {
    if SHARES.load(Ordering::Relaxed) < MOST_SHARES {
        SHARES.fetch_add(1, Ordering::Relaxed);
    }
}

/// What `then` gives for the counters of `fd` and their mark, if its connect is under way.
fn found<R>(fd: c_int, then: impl FnOnce(&FdCounters, u64) -> R) -> Option<R> {
    let ring = process::ring()?;
    let caller = process::caller(ring)?;
    if caller.pid() != OWNER.load(Ordering::Relaxed) {
        if !process::is_guest() {
            forget();
        }
        return None;
    }
    let counters = ring.fd(caller.slot, fd)?;
    let mark = counters.mark();
    is_under_way(mark).then(|| then(counters, mark))
}

/// The connect of `fd` is under way no more; false if it was not, or if another thread ended it.
fn end(fd: c_int) -> bool {
    let after = |mark| if mark as u8 as u64 == UNDER_WAY { 0 } else { NAME_SERVER };
    let is_ended = found(fd, |counters, mark| counters.change_mark(mark, after(mark))) == Some(true);
    if is_ended {
        let _ = AWAITED.iter().any(|place| is_replaced(place, fd + 1, 0));
        count_down();
    }
    is_ended
}

/// Reports the outcome: `error` is 0 where there is a connection.
fn known(row: Row, ret: i64, fd: c_int, error: u16) {
    if !end(fd) {
        return;
    }
    let mut buffer = [0; capture::ADDRESS_CAP];
    let may_ask = error == 0 && process::seal() == Seal::Open;
    let local = may_ask.then(|| sys::own_address(fd, &mut buffer).ok()).flatten();
    let local = Address(local.and_then(|len| buffer.get(..len)).unwrap_or_default());
    let outcome = Outcome { ret, errno: error, failed: error != 0 };
    emit::after(Call::of(row, outcome), 0, &NetConnected { fd, local });
}

/// Whether the socket has a peer: then its connect succeeded. Asking takes nothing away.
fn peer(fd: c_int) -> sys::Result<usize> {
    match process::seal() {
        Seal::Open => sys::peer_address(fd, &mut [0; capture::ADDRESS_CAP]),
        _ => Err(Errno(libc::EPERM)),
    }
}

/// Counts a call that moved `ret` bytes through `fd`, or failed to.
#[inline(never)]
pub fn moved(call: Call, fd: c_int, ret: i64, way: Way) {
    emit::count(fd, ret, way);
    if are_under_way() {
        settle(call, fd);
    }
}

/// As [`moved`], for calls of which programs make very many: what is done for a connect stands aside, and
/// nothing is kept for it meanwhile.
#[inline(always)]
pub fn moved_often(call: Call, fd: c_int, ret: i64, way: Way) {
    if are_under_way() {
        return moved_aside(call.row, fd, call.outcome.ret, ret, way);
    }
    emit::count_often(fd, ret, way);
}

#[cold]
#[inline(never)]
fn moved_aside(row: Row, fd: c_int, returned: i64, ret: i64, way: Way) {
    let failed = returned < 0;
    let errno = if failed { errno() as u16 } else { 0 };
    moved(Call::of(row, Outcome { ret: returned, errno, failed }), fd, ret, way);
}

/// connect(2) was called once more, or bytes were moved.
#[cold]
#[inline(never)]
pub fn settle(call: Call, fd: c_int) {
    let error = match (call.outcome.failed, i32::from(call.outcome.errno)) {
        (false, _) | (true, libc::EISCONN) => 0,
        (true, libc::ECONNREFUSED)
        | (true, libc::ECONNRESET)
        | (true, libc::ECONNABORTED)
        | (true, libc::ETIMEDOUT)
        | (true, libc::EHOSTUNREACH)
        | (true, libc::EHOSTDOWN)
        | (true, libc::ENETUNREACH)
        | (true, libc::ENETDOWN)
        | (true, libc::ENONET)
        | (true, libc::ENOPROTOOPT)
        | (true, libc::EPROTO) => call.outcome.errno,
        // It says nothing of the connection (`EAGAIN`), or not what became of it (`EPIPE`).
        _ => return,
    };
    known(call.row, call.outcome.ret, fd, error);
}

/// getsockopt(2): `SO_ERROR` is 0 both for a connection and for a connect that goes on.
///
/// # Safety
/// `value` and `len` are the call's.
#[inline(always)]
pub unsafe fn asked(call: Call, fd: c_int, level: c_int, name: c_int, value: *const c_void, len: *const u32) {
    if are_under_way() && (level, name) == (libc::SOL_SOCKET, libc::SO_ERROR) && !call.outcome.failed {
        // SAFETY: the call succeeded, so it wrote so many bytes.
        let error =
            unsafe { if len.read_unaligned() < 4 { return } else { value.cast::<c_int>().read_unaligned() } };
        if error != 0 || peer(fd).is_ok() {
            known(call.row, call.outcome.ret, fd, error as u16);
        }
    }
}

/// A call waited for descriptors, and some are ready.
#[inline(always)]
pub fn waited(call: Call) {
    if are_under_way() && call.outcome.ret > 0 {
        look(call);
    }
}

#[cold]
#[inline(never)]
fn look(call: Call) {
    if process::is_guest() {
        return;
    }
    for place in &AWAITED {
        let fd = place.load(Ordering::Relaxed) - 1;
        if fd < 0 {
            continue;
        }
        match found(fd, |_, _| peer(fd)) {
            Some(Ok(_)) => known(call.row, call.outcome.ret, fd, 0),
            // It was closed past the sensor; below, its number has another file.
            Some(Err(Errno(libc::EBADF | libc::ENOTSOCK))) => _ = end(fd),
            Some(Err(_)) => {}
            None if is_replaced(place, fd + 1, 0) => count_down(),
            None => {}
        }
    }
}

/// `fd` is about to be closed.
#[inline(always)]
pub fn closing(row: Row, fd: c_int) {
    if are_under_way() {
        closing_one(row, fd);
    }
}

#[cold]
#[inline(never)]
fn closing_one(row: Row, fd: c_int) {
    let Some((mark, peer)) = found(fd, |_, mark| (mark, peer(fd))) else { return };
    let is_own = mark >> KIND_BITS == u64::from(SHARES.load(Ordering::Relaxed));
    match peer {
        Ok(_) => known(row, 0, fd, 0),
        Err(_) => match (is_own && process::seal() == Seal::Open).then(|| sys::socket_error(fd)) {
            Some(Ok(error)) if error != 0 => known(row, 0, fd, error as u16),
            // It goes on, or what became of it is not for us to know.
            _ => _ = end(fd),
        },
    }
}
