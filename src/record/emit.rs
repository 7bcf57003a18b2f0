//! From a call to a record in the ring, on the path of the hooked call: no lock, no allocation, no waiting.
//!
//! Called by the functions of [`crate::calls`]. A record that cannot be written is counted by cause in the
//! process's slot, and the call goes on.

use core::marker::PhantomData;
use core::sync::atomic::Ordering;

use wire::codec::Encode as _;
use wire::events::Payload;
use wire::record::{Flags, Head, Via};
use wire::ring::layout::{Loss, Mapped};
use wire::ring::{Memory, Refused, Reservation, reserve_noting};

use crate::process::{self, Block, Caller, Seal};
use crate::reach::inline;
use crate::record::call::{Call, Outcome, Row};
use crate::record::note::{self, Note, Outer};
use crate::sys;

/// One call in so many that write a record is measured; a power of two.
const RECORDS_SAMPLED: u32 = 64;
/// One call in so many that only count is measured; a power of two.
const COUNTS_SAMPLED: u32 = 256;

/// A reserved place in this process's ring.
type Record<'r> = Reservation<'r, Mapped>;

/// A record's time and number, taken before the call that it reports: a descriptor that the call releases may
/// be another thread's before the call returns, and that thread's record must come later.
#[derive(Clone, Copy)]
pub struct Stamp {
    time_ns: u64,
    seq: u64,
    caller: Caller,
}

/// Takes a stamp for `caller`, whose frame ends at `stack`. The record must follow, with this `outer`, for
/// each result of the call: the number is used up.
#[inline(always)]
pub fn stamp(ring: Mapped, thread: Block, caller: Caller, stack: usize, outer: &mut Outer) -> Stamp {
    let note = Note::of(thread);
    note.begin(ring, caller.slot, stack, outer);
    let seq = process::next(&ring.slot(caller.slot).seq);
    note.numbered();
    Stamp { time_ns: process::now_ns(), seq, caller }
}

/// Reports a call that came back.
pub fn after<P: Payload>(call: Call, flags: u8, payload: &P) {
    write_call(call.row, Some(call.outcome), flags, Erased::of(payload));
}

/// Reports a call that came back and that programs make very often; `first` is done before, for the caller.
/// The code is inlined for this event and this caller, and so some ten nanoseconds faster and a kilobyte
/// larger than [`after`].
#[inline(always)]
pub fn after_often<P: Payload>(call: Call, payload: &P, first: impl FnOnce(Mapped, Caller)) {
    let Some(ring) = process::ring() else { return };
    let thread = Block::here();
    let caller = thread.caller(ring);
    if let Some(caller) = caller {
        first(ring, caller);
    }
    if inline::is_reported_outside(call.row, P::KIND as u16) {
        return;
    }
    let Some(caller) = caller else { return ring.slot(0).lose(Loss::NoSlot) };
    let mut outer = Outer::NONE;
    let stamp = stamp(ring, thread, caller, note::here(), &mut outer);
    let head = RecordHead { row: call.row, outcome: Some(call.outcome), flags: Flags::STAMPED };
    write(&Pen { ring, thread, stamp, outer: &outer }, head, payload);
}

/// Reports a call that is about to be made.
pub fn before<P: Payload>(row: Row, flags: u8, payload: &P) {
    write_call(row, None, flags, Erased::of(payload));
}

/// Reports a call under a stamp taken before it.
#[inline(never)]
pub fn stamped<P: Payload>(stamp: Stamp, outer: &Outer, row: Row, outcome: Option<Outcome>, payload: &P) {
    if let Some(ring) = process::ring() {
        let head = RecordHead { row, outcome, flags: Flags::STAMPED };
        write(&Pen { ring, thread: Block::here(), stamp, outer }, head, payload);
    }
}

/// Writes a record for the collector's picture, which becomes no event.
pub fn track<P: Payload>(row: Row, payload: &P) {
    write_tracked(row, Erased::of(payload));
}

/// A payload without its type, so that most events share one piece of code that writes them.
#[derive(Clone, Copy)]
struct Erased<'a> {
    kind: u16,
    len: usize,
    place: *const (),
    encode: unsafe fn(*const (), &mut Record<'_>) -> bool,
    _payload: PhantomData<&'a ()>,
}

impl<'a> Erased<'a> {
    #[inline(always)]
    fn of<P: Payload>(payload: &'a P) -> Self {
        /// # Safety
        /// `place` is a `P`.
        unsafe fn encode<P: Payload>(place: *const (), record: &mut Record<'_>) -> bool {
            // SAFETY: the caller's promise.
            unsafe { &*place.cast::<P>() }.encode(record)
        }
        let place = (&raw const *payload).cast();
        Self {
            kind: P::KIND as u16,
            len: payload.encoded_len(),
            place,
            encode: encode::<P>,
            _payload: PhantomData,
        }
    }
}

/// The properties of a payload that `write` needs.
trait Content {
    fn kind(&self) -> u16;
    fn len(&self) -> usize;
    fn put(&self, record: &mut Record<'_>) -> bool;
}

impl<P: Payload> Content for &P {
    #[inline(always)]
    fn kind(&self) -> u16 {
        P::KIND as u16
    }
    #[inline(always)]
    fn len(&self) -> usize {
        self.encoded_len()
    }
    #[inline(always)]
    fn put(&self, record: &mut Record<'_>) -> bool {
        self.encode(record)
    }
}

impl Content for Erased<'_> {
    fn kind(&self) -> u16 {
        self.kind
    }
    fn len(&self) -> usize {
        self.len
    }
    fn put(&self, record: &mut Record<'_>) -> bool {
        // SAFETY: `of` borrowed the payload, and chose the function by its type.
        unsafe { (self.encode)(self.place, record) }
    }
}

#[inline(never)]
fn write_call(row: Row, outcome: Option<Outcome>, flags: u8, payload: Erased<'_>) {
    let Some(ring) = process::ring() else { return };
    if inline::is_reported_outside(row, payload.kind) {
        return;
    }
    let thread = Block::here();
    let Some(caller) = thread.caller(ring) else { return ring.slot(0).lose(Loss::NoSlot) };
    let mut outer = Outer::NONE;
    let stamp = stamp(ring, thread, caller, note::here(), &mut outer);
    let head = RecordHead { row, outcome, flags: flags | Flags::STAMPED };
    write_erased(&Pen { ring, thread, stamp, outer: &outer }, head, payload);
}

#[inline(never)]
fn write_tracked(row: Row, payload: Erased<'_>) {
    let Some(ring) = process::ring() else { return };
    let thread = Block::here();
    let Some(caller) = thread.caller(ring) else { return };
    let mut outer = Outer::NONE;
    Note::of(thread).begin(ring, caller.slot, note::here(), &mut outer);
    let stamp = Stamp { time_ns: process::now_ns(), seq: 0, caller };
    let head = RecordHead { row, outcome: None, flags: 0 };
    write_erased(&Pen { ring, thread, stamp, outer: &outer }, head, payload);
}

/// The ring, thread and stamp that a record is written with.
struct Pen<'o> {
    ring: Mapped,
    thread: Block,
    stamp: Stamp,
    outer: &'o Outer,
}

/// The call that a record reports.
#[derive(Clone, Copy)]
struct RecordHead {
    row: Row,
    outcome: Option<Outcome>,
    flags: u8,
}

/// Which mechanism saw the call.
#[inline(always)]
fn via(row: Row) -> Via {
    match row.is_redirected() {
        false => Via::Symbol,
        true if inline::enters(row) => Via::Inline,
        true => Via::Got,
    }
}

#[inline(never)]
fn write_erased(pen: &Pen<'_>, head: RecordHead, payload: Erased<'_>) {
    write(pen, head, payload);
}

#[inline(always)]
fn write(pen: &Pen<'_>, head: RecordHead, payload: impl Content) {
    let Pen { ring, thread, stamp: Stamp { time_ns, seq, caller }, outer } = *pen;
    let RecordHead { row, outcome, flags } = head;
    let head = Head {
        time_ns,
        seq,
        ret: outcome.map_or(0, |outcome| outcome.ret),
        pid: caller.pid(),
        tid: caller.tid(),
        kind: payload.kind(),
        call: row.number(),
        errno: outcome.map_or(0, |outcome| outcome.errno),
        via: via(row) as u8,
        flags: flags | if outcome.is_some() { Flags::RETURNED } else { 0 },
    };
    let len = Head::LEN + payload.len();
    let note = Note::of(thread);
    note.sized(len);
    match reserve_noting(&ring, caller.slot, len, |tail, step| note.step(tail, step)) {
        Ok(mut record) => {
            // The length was computed from the same value, so both fit, unless another thread changed it
            // meanwhile.
            let is_whole = head.encode(&mut record) && payload.put(&mut record);
            let must_wake = if is_whole {
                record.commit()
            } else {
                record.abandon();
                false
            };
            note.end(outer);
            if !is_whole {
                lose(ring, caller, flags, Refused::TooLong);
            }
            if must_wake {
                wake(ring);
            }
        }
        Err(refused) => {
            note.end(outer);
            lose(ring, caller, flags, refused);
        }
    }
    if time_ns != 0 && thread.is_sampled(RECORDS_SAMPLED) {
        let cost = &ring.slot(caller.slot).record_cost;
        cost.ns.fetch_add(sys::now_ns().saturating_sub(time_ns), Ordering::Relaxed);
        cost.samples.fetch_add(1, Ordering::Relaxed);
    }
}

#[cold]
fn lose(ring: Mapped, caller: Caller, flags: u8, refused: Refused) {
    // A record without a stamp leaves no gap, so counting it would make the ledger wrong.
    if flags & Flags::STAMPED != 0 {
        let cause = match refused {
            Refused::Full => Loss::RingFull,
            Refused::TooLong => Loss::Oversize,
        };
        ring.slot(caller.slot).lose(cause);
    }
}

/// Wakes the sleeping collector, unless the process has shut itself off: then the collector looks by itself.
#[cold]
fn wake(ring: Mapped) {
    if process::seal() == Seal::Open {
        sys::wake(ring.bell().as_ptr());
    }
}

/// The direction of bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Read or received.
    In,
    /// Written or sent.
    Out,
}

/// Counts a call that moved `ret` bytes through `fd`, or failed.
#[inline(never)]
pub fn count(fd: i32, ret: i64, way: Way) {
    count_often(fd, ret, way);
}

/// As [`count`], for calls of which programs make very many: a nanosecond faster, and half a kilobyte larger
/// each.
#[inline(always)]
pub fn count_often(fd: i32, ret: i64, way: Way) {
    let Some(ring) = process::ring() else { return };
    let thread = Block::here();
    let Some(caller) = thread.caller(ring) else { return };
    let is_sampled = thread.is_sampled(COUNTS_SAMPLED) && process::seal() != Seal::Strict;
    let began_ns = if is_sampled { sys::now_ns() } else { 0 };
    let slot = ring.slot(caller.slot);
    match (u64::try_from(ret), ring.fd(caller.slot, fd)) {
        (Ok(bytes), Some(counters)) => {
            let counter = if way == Way::In { counters.incoming() } else { counters.outgoing() };
            process::add(counter, bytes, 1);
            raise_high(&slot.fd_high, fd);
        }
        _ => _ = slot.failed_counts.fetch_add(1, Ordering::Relaxed),
    }
    if is_sampled {
        slot.count_cost.ns.fetch_add(sys::now_ns().saturating_sub(began_ns), Ordering::Relaxed);
        slot.count_cost.samples.fetch_add(1, Ordering::Relaxed);
    }
}

/// Notes that `fd` has counters.
#[inline(always)]
pub fn raise_high(high: &core::sync::atomic::AtomicU32, fd: i32) {
    let beyond = fd as u32 + 1;
    if high.load(Ordering::Relaxed) < beyond {
        high.fetch_max(beyond, Ordering::Relaxed);
    }
}
