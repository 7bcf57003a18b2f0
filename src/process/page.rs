//! The ring that this image writes into, and the page that says which process of the image is writing.
//!
//! The kernel empties the page in a fork child (`MADV_WIPEONFORK`), so that a child is noticed however it was
//! made; then it takes a slot of the ring that it inherited.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use wire::ring::layout::{Loss, Mapped, SLOTS, Slot};
use wire::ring::{Memory, bell};

use super::seal::{Seal, both_clocks, now_ns, seal};
use crate::sys;

static RING: AtomicPtr<u8> = AtomicPtr::new(core::ptr::null_mut());
static DATA_LEN: AtomicU64 = AtomicU64::new(0);
static PROCESS: AtomicPtr<Process> = AtomicPtr::new(core::ptr::null_mut());
/// The ring and the page lie between these addresses, perhaps with memory of others in between.
static LOWEST: AtomicUsize = AtomicUsize::new(usize::MAX);
static HIGHEST: AtomicUsize = AtomicUsize::new(0);
/// The image has or had a ring: the images that follow are to carry the sensor.
static IS_WATCHED: AtomicBool = AtomicBool::new(false);

/// Bytes of the page.
pub const PAGE_LEN: usize = 4096;

/// The contents of the page that a fork child finds empty.
pub struct Process {
    pub pid: AtomicU32,
    /// [`NO_SLOT`], [`TAKING`], or [`TAKEN`] and the slot's number.
    pub slot: AtomicU32,
    /// The process that a fork child was forked from; 0 where that is not known.
    pub parent: AtomicU32,
}

/// A child needed no slot yet, or found every slot taken.
pub const NO_SLOT: u32 = 0;
/// It is looking for one: a signal handler that interrupts the search has none.
const TAKING: u32 = 1;
/// Added to the number of a slot that is held.
const TAKEN: u32 = 1 << u8::BITS;

/// The clock of records before a call that is timed; 0 where it may not be asked, or nobody is told.
#[inline(always)]
pub fn begin_ns() -> u64 {
    if ring().is_some() { now_ns() } else { 0 }
}

/// The ring, or `None` without a collector. One load.
#[inline(always)]
pub fn ring() -> Option<Mapped> {
    // Acquire: pairs with the Release store in `arm`; the data's length is there.
    let base = NonNull::new(RING.load(Ordering::Acquire))?;
    // SAFETY: `arm` was given a sealed mapping of this length, which is never unmapped.
    Some(unsafe { Mapped::new(base, DATA_LEN.load(Ordering::Relaxed)) })
}

/// Makes this process, `pid`, write into `ring` from now on. `page` is anonymous memory of its own.
pub fn arm(ring: Mapped, data_len: u64, page: NonNull<u8>, pid: u32) {
    let process = page.cast::<Process>();
    // SAFETY: a fresh page: zeroes are valid atomics, and it stays for ever.
    let own = unsafe { process.as_ref() };
    own.slot.store(TAKEN, Ordering::Relaxed);
    own.pid.store(pid, Ordering::Relaxed);
    PROCESS.store(process.as_ptr(), Ordering::Relaxed);
    DATA_LEN.store(data_len, Ordering::Relaxed);
    let areas = [(ring.base().as_ptr() as usize, ring.mapped_len()), (page.as_ptr() as usize, PAGE_LEN)];
    for (start, len) in areas {
        LOWEST.fetch_min(start, Ordering::Relaxed);
        HIGHEST.fetch_max(start.saturating_add(len), Ordering::Relaxed);
    }
    IS_WATCHED.store(true, Ordering::Relaxed);
    // Release: publishes the words above. Pairs with the Acquire load in `ring`.
    RING.store(ring.base().as_ptr(), Ordering::Release);
}

/// Reverts [`arm`]: the ring could not be handed over, so it would not be read. Its mapping stays, unused.
pub fn disarm() {
    RING.store(core::ptr::null_mut(), Ordering::Relaxed);
    IS_WATCHED.store(false, Ordering::Relaxed);
}

/// Whether this image reports, or did until it took the ring away.
pub fn is_watched() -> bool {
    IS_WATCHED.load(Ordering::Relaxed)
}

/// Whether the range may hold memory of ours. Two loads.
#[inline(always)]
pub fn may_be_ours(start: usize, len: usize) -> bool {
    start < HIGHEST.load(Ordering::Relaxed) && start.saturating_add(len) > LOWEST.load(Ordering::Relaxed)
}

/// The ring's mapping, by its start and its length, while there is one.
pub fn ring_area() -> Option<(usize, usize)> {
    let ring = ring()?;
    Some((ring.base().as_ptr() as usize, ring.mapped_len()))
}

/// Does without the parts of the ring behind its data, and gives them by their start and their length, for
/// unmapping. `None` where this process needs them.
#[cold]
pub fn give_up_rear() -> Option<(usize, usize)> {
    let ring = ring()?;
    let slot = process()?.slot.load(Ordering::Relaxed) as u8;
    let ((offset, len), is_whole) = (ring.rear(), Mapped::slots() == SLOTS);
    if !is_whole || usize::from(slot) >= Mapped::FRONT_SLOTS {
        return None;
    }
    Mapped::cut();
    Some((ring.base().as_ptr() as usize + offset, len))
}

/// Whether the range holds a part of the ring or of the page.
#[cold]
pub fn is_ours(start: usize, len: usize) -> bool {
    let page = PROCESS.load(Ordering::Relaxed) as usize;
    let meets = |(own, own_len): (usize, usize)| {
        start < own.saturating_add(own_len) && start.saturating_add(len) > own
    };
    ring_area().is_some_and(meets) || page != 0 && meets((page, PAGE_LEN))
}

/// Reports nothing from here on, because the ring or the page is about to be taken away; counts that in
/// `slot`.
#[cold]
pub fn let_go(slot: u8) {
    if let Some(ring) = ring() {
        ring.slot(slot).lose(Loss::RingTaken);
    }
    RING.store(core::ptr::null_mut(), Ordering::Relaxed);
    PROCESS.store(core::ptr::null_mut(), Ordering::Relaxed);
    LOWEST.store(usize::MAX, Ordering::Relaxed);
    HIGHEST.store(0, Ordering::Relaxed);
}

/// Runs `f` without a ring, so that calls which the sensor itself causes are not reported. In a process with
/// one thread.
pub fn without_ring(f: impl FnOnce()) {
    let ring = RING.swap(core::ptr::null_mut(), Ordering::Relaxed);
    f();
    RING.store(ring, Ordering::Release);
}

/// The page; `None` until [`arm`] was called.
pub fn process() -> Option<&'static Process> {
    // SAFETY: null, or the page that `arm` was given.
    unsafe { PROCESS.load(Ordering::Relaxed).as_ref() }
}

/// The pid under which this process reports; 0 before its first report.
pub fn known_pid() -> u32 {
    process().map_or(0, |process| process.pid.load(Ordering::Relaxed))
}

/// The slot that `place` holds for the process `pid`; one is taken where it holds none yet.
pub fn slot_in(place: &AtomicU32, ring: Mapped, pid: u32, parent: u32) -> Option<u8> {
    let held = place.load(Ordering::Relaxed);
    if held & TAKEN != 0 {
        return Some(held as u8);
    }
    place.compare_exchange(NO_SLOT, TAKING, Ordering::Relaxed, Ordering::Relaxed).ok()?;
    let slot = take_slot(ring, pid, parent);
    place.store(slot.map_or(NO_SLOT, |slot| TAKEN | u32::from(slot)), Ordering::Relaxed);
    slot
}

fn take_slot(ring: Mapped, pid: u32, parent: u32) -> Option<u8> {
    for index in (1..=u8::MAX).take(Mapped::slots() - 1) {
        let slot = ring.slot(index);
        // Acquire: pairs with the collector's Release store of 0, before which it has cleared the slot.
        let taken = slot.pid.compare_exchange(0, Slot::CLAIMED, Ordering::Acquire, Ordering::Relaxed);
        if taken.is_ok() {
            // A filter may deny it; the process that this one was forked from is its parent, if that lives.
            let ppid = Some(sys::getppid()).filter(|ppid| *ppid != 0);
            slot.ppid.store(ppid.unwrap_or(parent), Ordering::Relaxed);
            slot.note_birth(both_clocks());
            // Release: publishes the slot's other words to the collector.
            slot.pid.store(pid, Ordering::Release);
            // A burst of children must not use up the slots while the collector naps: it frees those of the
            // dead.
            if usize::from(index) >= SLOTS / 8 && seal() == Seal::Open {
                let bell = ring.bell();
                if bell.swap(bell::AWAKE, Ordering::Relaxed) != bell::AWAKE {
                    sys::wake(bell.as_ptr());
                }
            }
            return Some(index);
        }
    }
    None
}

/// Whether no other process than the one in `slot` can be writing into `ring`.
pub fn is_only_process(ring: Mapped, slot: u8) -> bool {
    // A process without all slots cannot tell.
    Mapped::slots() == SLOTS
        && (0..=u8::MAX).all(|other| other == slot || ring.slot(other).pid.load(Ordering::Acquire) == 0)
}
