//! Connects that were under way when connect(2) returned (`EINPROGRESS`): their outcome, as soon as a call of
//! the program shows it.
//!
//! A socket whose connect is under way has a mark in its counters. `getsockopt(SO_ERROR)`, a transfer and
//! another connect(2) show the outcome. After a wait (poll(2), select(2), epoll_wait(2)) and before
//! a close the kernel is asked whether the socket has a peer, which changes nothing. It is never asked for
//! the error, which would take it away from another descriptor or process that has the socket, too.

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
use crate::sys;

/// The marks of a socket whose connect is under way, the second one to a name server. Odd, so that they are
/// none of [`crate::calls::peers`].
const UNDER_WAY: u64 = 1;
const UNDER_WAY_TO_NAME_SERVER: u64 = 3;

/// How many there are, at least.
static COUNT: AtomicU32 = AtomicU32::new(0);
/// Descriptors that are looked at after a wait, plus one; 0 for a free place.
static AWAITED: [AtomicI32; 8] = [const { AtomicI32::new(0) }; 8];

/// Whether a connect may be under way: asked in the commonest calls.
#[inline(always)]
pub fn are_under_way() -> bool {
    // Relaxed: a thread that does not see another's connect yet sees it in its next call.
    COUNT.load(Ordering::Relaxed) != 0
}

/// The connect of `fd`, which has these counters, is under way.
pub fn begin(fd: c_int, counters: &FdCounters, is_to_name_server: bool) {
    if !is_under_way(counters) {
        COUNT.fetch_add(1, Ordering::Relaxed);
    }
    counters.set_mark(if is_to_name_server { UNDER_WAY_TO_NAME_SERVER } else { UNDER_WAY });
    let waits = AWAITED.iter().any(|place| place.load(Ordering::Relaxed) == fd + 1);
    if !waits {
        let take = |place: &AtomicI32| {
            place.compare_exchange(0, fd + 1, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        };
        let _ = AWAITED.iter().any(take);
    }
}

/// This is a forked child, whose counters know of no connect.
pub fn forget() {
    if are_under_way() {
        AWAITED.iter().for_each(|place| place.store(0, Ordering::Relaxed));
        COUNT.store(0, Ordering::Relaxed);
    }
}

fn is_under_way(counters: &FdCounters) -> bool {
    matches!(counters.mark(), UNDER_WAY | UNDER_WAY_TO_NAME_SERVER)
}

/// The counters of `fd` if its connect is under way.
fn found<R>(fd: c_int, then: impl FnOnce(&FdCounters) -> R) -> Option<R> {
    let ring = process::ring()?;
    let counters = ring.fd(process::caller(ring)?.slot, fd)?;
    is_under_way(counters).then(|| then(counters))
}

/// The connect of `fd` is under way no more; false if it was not.
fn end(fd: c_int) -> bool {
    let ended = found(fd, |counters| {
        counters.set_mark(if counters.mark() == UNDER_WAY { 0 } else { NAME_SERVER });
        // Not below zero: a vfork child may count in its parent's place.
        let _ = COUNT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| count.checked_sub(1));
    });
    for place in &AWAITED {
        let _ = place.compare_exchange(fd + 1, 0, Ordering::Relaxed, Ordering::Relaxed);
    }
    ended.is_some()
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
    emit::after(Call { row, outcome }, 0, &NetConnected { fd, local });
}

/// Whether the socket has a peer: then its connect succeeded. Asking takes nothing away.
fn has_peer(fd: c_int) -> bool {
    process::seal() == Seal::Open && sys::peer_address(fd, &mut [0; capture::ADDRESS_CAP]).is_ok()
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
    moved(Call { row, outcome: Outcome { ret: returned, errno, failed } }, fd, ret, way);
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
        let error = unsafe { if len.read() < 4 { return } else { value.cast::<c_int>().read_unaligned() } };
        if error != 0 || has_peer(fd) {
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
    for place in &AWAITED {
        let fd = place.load(Ordering::Relaxed) - 1;
        if fd < 0 {
            continue;
        }
        match found(fd, |_| has_peer(fd)) {
            Some(true) => known(call.row, call.outcome.ret, fd, 0),
            Some(false) => {}
            // It was closed past the sensor.
            None => place.store(0, Ordering::Relaxed),
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
    if found(fd, |_| ()).is_none() {
        return;
    }
    match has_peer(fd) {
        true => known(row, 0, fd, 0),
        // It goes on, or it failed and nothing has asked why.
        false => _ = end(fd),
    }
}
