//! What the sensor knows of its process and of the calling thread: the only mutable state there is.
//!
//! * Of the image: the ring's mapping, written once by `init` (0 while there is no collector: every hook then only
//!   calls on).
//! * Of the process: its pid and slot, in a page that the kernel empties in a fork child (`MADV_WIPEONFORK`), so that a
//!   child is noticed however it was made.
//! * Of the thread: [`Thread`], in initial-exec TLS. A vfork child runs on its parent's thread block, so what is its
//!   own is kept there beside what is the parent's, and dropped when the parent goes on.
//!
//! Everything is safe in a signal handler: words only, written whole.

use core::num::NonZeroU64;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use wire::ring::layout::{Mapped, SLOTS, Slot};
use wire::ring::{Memory, bell};

use crate::pending::Pending;
use crate::{arch, sys};

static RING: AtomicPtr<u8> = AtomicPtr::new(core::ptr::null_mut());
static DATA_LEN: AtomicU64 = AtomicU64::new(0);
static PROCESS: AtomicPtr<Process> = AtomicPtr::new(core::ptr::null_mut());
/// glibc's `__libc_single_threaded`, or null.
static SINGLE_THREADED: AtomicPtr<AtomicU8> = AtomicPtr::new(core::ptr::null_mut());
static SEAL: AtomicU8 = AtomicU8::new(Seal::Open as u8);

/// What the page that a fork child finds empty holds.
pub struct Process {
    pid: AtomicU32,
    /// [`NO_SLOT`], [`TAKING`], or [`TAKEN`] and the slot's number.
    slot: AtomicU32,
    /// The process that a fork child was forked from; 0 where that is not known.
    parent: AtomicU32,
}

/// This thread's block, 64 bytes of TLS, all zero at a thread's start.
#[repr(C)]
pub struct Thread {
    /// The process that this thread is known to write for; 0 while it must be found out. With `tid`: [`Caller`]'s `ids`.
    owner: u32,
    tid: u32,
    /// The process that `tid` was asked for in: a fork child's copy of the block says the parent's.
    owner_before: u32,
    /// The vfork child that runs on this thread; 0 while none does.
    guest: u32,
    /// Its slot, as in [`Process`].
    guest_slot: AtomicU32,
    /// Counts hooked calls, for sampling.
    tick: u32,
    /// A mapping that a vfork child made and could not free, for its parent to free.
    scratch: usize,
    scratch_len: u32,
    /// What kinds of events the wrappers tell that this thread is in; 0 unless [`crate::inline`] is at work.
    telling: u32,
    /// The record that this thread is at.
    pending: Pending,
}

const _: () = assert!(size_of::<Thread>() <= 64 && cfg!(target_endian = "little"));

/// How far the process has shut itself off from the kernel.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Seal {
    /// Not that we know.
    Open = 0,
    /// It installed a seccomp filter: no system call of ours from here on.
    Filter = 1,
    /// Strict mode: not even the vDSO's clock, which may fall back on a system call.
    Strict = 2,
}

/// The calling process and thread, as a record names them.
///
/// Two words, so that it travels in registers: what was just written in parts is slow to be read as a whole.
#[derive(Clone, Copy)]
pub struct Caller {
    /// The process, and above it the thread.
    ids: NonZeroU64,
    /// The process's slot in the ring.
    pub slot: u8,
}

impl Caller {
    fn new(pid: u32, tid: u32, slot: u8) -> Option<Self> {
        Some(Self { ids: NonZeroU64::new(u64::from(tid) << 32 | u64::from(pid))?, slot })
    }

    /// The process.
    #[inline(always)]
    pub fn pid(self) -> u32 {
        self.ids.get() as u32
    }

    /// The thread; 0 where it cannot be known.
    #[inline(always)]
    pub fn tid(self) -> u32 {
        (self.ids.get() >> 32) as u32
    }
}

/// What a child holds that needed no slot yet, or found every slot taken.
const NO_SLOT: u32 = 0;
/// What it holds while it looks for one: a signal handler that comes between has none.
const TAKING: u32 = 1;
/// Added to the number of a slot that is held.
const TAKEN: u32 = 1 << u8::BITS;

#[cfg(not(test))]
#[inline(always)]
fn thread() -> *mut Thread {
    match arch::thread_block() {
        Some(block) => block.as_ptr().cast(),
        None => foreign().cast(),
    }
}

/// The block of threads whose thread-local storage is not libc's. They share it: one of them at a time is known to exist, a
/// child for which its parent waits (vfork with `CLONE_SETTLS`).
#[cfg(not(test))]
#[cold]
#[inline(never)]
fn foreign() -> *mut u8 {
    static BLOCK: [AtomicU64; 8] = [const { AtomicU64::new(0) }; 8];
    BLOCK.as_ptr().cast_mut().cast()
}

#[cfg(test)]
fn thread() -> *mut Thread {
    std::thread_local!(static BLOCK: core::cell::UnsafeCell<[u64; 8]> = const { core::cell::UnsafeCell::new([0; 8]) });
    BLOCK.with(|block| block.get().cast())
}

/// The ring, or `None` when nobody listens. One load.
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
    // Release: publishes the words above. Pairs with the Acquire load in `ring`.
    RING.store(ring.base().as_ptr(), Ordering::Release);
}

/// Notes that the calling thread is the process's first, as it is where an image starts: its number is the pid.
pub fn note_first_thread(pid: u32) {
    // SAFETY: as in `caller`.
    let thread = unsafe { &mut *thread() };
    (thread.tid, thread.owner_before) = (pid, pid);
}

/// Takes [`arm`] back: the ring could not be handed over, so nobody would read it. Its mapping stays, unused.
pub fn disarm() {
    RING.store(core::ptr::null_mut(), Ordering::Relaxed);
}

/// Runs `f` with nobody listening: for what the sensor itself has others do. In a process with one thread.
pub fn unheard(f: impl FnOnce()) {
    let ring = RING.swap(core::ptr::null_mut(), Ordering::Relaxed);
    f();
    RING.store(ring, Ordering::Release);
}

fn process() -> Option<&'static Process> {
    // SAFETY: null, or the page that `arm` was given.
    unsafe { PROCESS.load(Ordering::Relaxed).as_ref() }
}

/// The calling thread's block. It is asked for once and handed on, but not over the real function, which may come back on
/// another thread (coroutines).
#[derive(Clone, Copy)]
pub struct Block(*mut Thread);

impl Block {
    /// Of the calling thread.
    #[inline(always)]
    pub fn here() -> Self {
        Self(thread())
    }

    /// Who is calling. `None` for a child that finds every slot taken; it looks again at its next call.
    #[inline(always)]
    pub fn caller(self, ring: Mapped) -> Option<Caller> {
        let process = process()?;
        // SAFETY: the block is this thread's alone, and begins with `owner` and `tid` (this is a little-endian world); a
        // signal handler that interrupts writes whole words of the same values.
        let ids = unsafe { self.0.cast::<u64>().read() };
        let pid = process.pid.load(Ordering::Relaxed);
        // A thread's `owner` is 0 until it is known, and while a guest runs on it; `pid` is 0 in a new process.
        if ids as u32 == pid && pid != 0 {
            let slot = process.slot.load(Ordering::Relaxed) as u8;
            return NonZeroU64::new(ids).map(|ids| Caller { ids, slot });
        }
        caller_anew(ring, process, pid)
    }

    /// The note of the record that the thread is at.
    #[inline(always)]
    pub fn pending(self) -> *mut Pending {
        // SAFETY: as in `caller`; no reference is made.
        unsafe { &raw mut (*self.0).pending }
    }

    /// Counts a hooked call of the thread. True for one in `every` (a power of two), which is to be measured.
    #[inline(always)]
    pub fn is_sampled(self, every: u32) -> bool {
        // SAFETY: as in `caller`.
        let thread = unsafe { &mut *self.0 };
        thread.tick = thread.tick.wrapping_add(1);
        thread.tick & (every - 1) == 0
    }
}

/// Who is calling; see [`Block::caller`].
#[inline(always)]
pub fn caller(ring: Mapped) -> Option<Caller> {
    Block::here().caller(ring)
}

#[cold]
#[inline(never)]
fn caller_anew(ring: Mapped, process: &Process, pid: u32) -> Option<Caller> {
    // SAFETY: as in `caller`.
    let thread = unsafe { &mut *thread() };
    if pid == 0 {
        adopt(process, thread);
        return caller_anew(ring, process, process.pid.load(Ordering::Relaxed));
    }
    if thread.guest != 0 {
        let slot = slot_in(&thread.guest_slot, ring, thread.guest, pid)?;
        return Caller::new(thread.guest, thread.guest, slot);
    }
    if thread.tid == 0 || thread.owner_before != pid {
        thread.tid = if seal() == Seal::Open { sys::gettid() } else { 0 };
        thread.owner_before = pid;
    }
    let slot = slot_in(&process.slot, ring, pid, process.parent.load(Ordering::Relaxed))?;
    thread.owner = pid;
    Caller::new(pid, thread.tid, slot)
}

/// The first call of a child that [`begin_child`] did not make known.
fn adopt(process: &Process, thread: &mut Thread) {
    // A forked child may make these calls wherever its parent could fork.
    let pid = sys::getpid();
    // A filter may deny this one: the thread that forked is the child's first, and has its number.
    let tid = Some(sys::gettid()).filter(|tid| *tid != 0).unwrap_or(pid);
    // As `begin_child` has noted it, or as the copy of the parent's block says.
    let noted = Some(process.parent.load(Ordering::Relaxed)).filter(|parent| *parent != 0);
    become_child(process, thread, pid, tid, noted.unwrap_or(thread.owner_before));
}

/// Makes the page and the thread block the child's own.
fn become_child(process: &Process, thread: &mut Thread, pid: u32, tid: u32, parent: u32) {
    *thread = Thread { tick: thread.tick, tid, owner_before: pid, ..fresh() };
    process.parent.store(parent, Ordering::Relaxed);
    process.pid.store(pid, Ordering::Relaxed);
}

/// A thread of a process that has made no call.
const fn fresh() -> Thread {
    Thread {
        tid: 0,
        owner: 0,
        owner_before: 0,
        guest: 0,
        guest_slot: AtomicU32::new(NO_SLOT),
        tick: 0,
        scratch: 0,
        scratch_len: 0,
        pending: Pending::NONE,
        telling: 0,
    }
}

/// The pid that this process is known by; 0 while it has told nothing.
pub fn known_pid() -> u32 {
    process().map_or(0, |process| process.pid.load(Ordering::Relaxed))
}

/// Says that this process was just forked from `parent`, by the thread that is its only one now.
///
/// A child that has told something by then (its pthread_atfork(3) handlers run inside fork) stays who it is. Before Linux
/// 4.14 its page is a copy, and not empty.
pub fn begin_child(parent: u32) {
    let Some(process) = process() else { return };
    // An exchange, and no load before it: an emptied page that is read first costs a fault to read and one to write.
    match process.pid.compare_exchange(parent, 0, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => process.slot.store(NO_SLOT, Ordering::Relaxed),
        Err(0) => {}
        Err(_) => return,
    }
    // Behind a filter we ask for nothing before there is something to tell.
    if seal() != Seal::Open {
        process.parent.store(parent, Ordering::Relaxed);
        return;
    }
    let pid = sys::getpid();
    // SAFETY: as in `caller`.
    become_child(process, unsafe { &mut *thread() }, pid, pid, parent);
}

/// The slot that `place` holds for the process `pid`, taken where it holds none yet.
fn slot_in(place: &AtomicU32, ring: Mapped, pid: u32, parent: u32) -> Option<u8> {
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
    for index in 1..=u8::MAX {
        let slot = ring.slot(index);
        // Acquire: pairs with the collector's Release store of 0, before which it has cleared the slot.
        let taken = slot.pid.compare_exchange(0, Slot::CLAIMED, Ordering::Acquire, Ordering::Relaxed);
        if taken.is_ok() {
            // A filter may deny it; the process that this one was forked from is its parent, if that lives.
            let ppid = Some(sys::getppid()).filter(|ppid| *ppid != 0);
            slot.ppid.store(ppid.unwrap_or(parent), Ordering::Relaxed);
            slot.born_ns.store(now_ns(), Ordering::Relaxed);
            // Release: publishes the slot's other words to the collector.
            slot.pid.store(pid, Ordering::Release);
            // A burst of children must not use up the slots while the collector naps: it frees those of the dead.
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

/// The child `pid` of a vfork runs on this thread until [`end_guest`]. It takes a slot when it first needs one.
pub fn begin_guest(pid: u32) {
    let Some(process) = process() else { return };
    // SAFETY: as in `caller`; the parent's thread is stopped until the child execs or ends.
    let thread = unsafe { &mut *thread() };
    if process.pid.load(Ordering::Relaxed) == 0 {
        // The parent is itself a fork child that has made no call yet; the page must not be taken for the guest's.
        process.pid.store(sys::getppid(), Ordering::Relaxed);
        *thread = Thread { tick: thread.tick, ..fresh() };
    }
    thread.guest_slot.store(NO_SLOT, Ordering::Relaxed);
    thread.guest = pid;
    thread.owner = 0;
}

/// Whether a vfork child is calling that has written nothing: the collector need not hear of it from itself.
pub fn is_silent_guest() -> bool {
    // SAFETY: as in `caller`.
    let thread = unsafe { &*thread() };
    thread.guest != 0 && thread.guest_slot.load(Ordering::Relaxed) == NO_SLOT
}

/// The parent of a vfork goes on: what runs on this thread is its own again. Frees what the child could not.
pub fn end_guest() {
    // SAFETY: as in `caller`.
    let thread = unsafe { &mut *thread() };
    thread.guest = 0;
    let (scratch, len) = (thread.scratch, thread.scratch_len);
    if scratch != 0 {
        thread.scratch = 0;
        // SAFETY: mapped by `keep_scratch`'s caller for its exec, which is over.
        unsafe { sys::unmap(scratch as *mut u8, len as usize) };
    }
}

/// Notes a mapping that must be freed by the vfork parent, if this is a vfork child.
pub fn keep_scratch(address: *mut u8, len: usize) {
    // SAFETY: as in `caller`.
    let thread = unsafe { &mut *thread() };
    if thread.guest != 0 {
        (thread.scratch, thread.scratch_len) = (address as usize, len as u32);
    }
}

/// Says that [`keep_scratch`]'s mapping was freed by the child itself.
pub fn drop_scratch() {
    // SAFETY: as in `caller`.
    unsafe { (*thread()).scratch = 0 };
}

/// The kinds of events that the wrappers tell that this thread is in, as [`crate::inline::kinds`] gives them.
#[inline(always)]
pub fn telling() -> u32 {
    // SAFETY: as in `caller`.
    unsafe { (*thread()).telling }
}

/// Sets what [`telling`] gives.
#[inline(always)]
pub fn set_telling(kinds: u32) {
    // SAFETY: as in `caller`.
    unsafe { (*thread()).telling = kinds };
}

/// Takes the address of glibc's `__libc_single_threaded` (since 2.32; <sys/single_threaded.h>).
pub fn watch_threads(flag: Option<usize>) {
    SINGLE_THREADED.store(flag.unwrap_or(0) as *mut AtomicU8, Ordering::Relaxed);
}

/// Whether no other thread of this process can be writing its counters. False where nobody can say.
#[inline(always)]
pub fn is_alone() -> bool {
    // SAFETY: null, or libc's own byte, which it writes as a plain byte.
    let flag = unsafe { SINGLE_THREADED.load(Ordering::Relaxed).as_ref() };
    flag.is_some_and(|flag| flag.load(Ordering::Relaxed) != 0)
}

/// Whether no other process than the one in `slot` can be writing into `ring`.
pub fn is_only_process(ring: Mapped, slot: u8) -> bool {
    (0..=u8::MAX).all(|other| other == slot || ring.slot(other).pid.load(Ordering::Acquire) == 0)
}

/// This process's pid, asked of the kernel only where it is not known.
pub fn own_pid() -> u32 {
    // SAFETY: as in `caller`.
    let guest = unsafe { (*thread()).guest };
    let known = process().map_or(0, |process| process.pid.load(Ordering::Relaxed));
    if known == 0 {
        sys::getpid()
    } else if guest != 0 {
        guest
    } else {
        known
    }
}

/// Adds to a counter of this process's own slot.
#[inline(always)]
pub fn add(counter: (&AtomicU64, &AtomicU64), first: u64, second: u64) {
    if is_alone() {
        arch::add_alone(counter.0, first);
        arch::add_alone(counter.1, second);
    } else {
        counter.0.fetch_add(first, Ordering::Relaxed);
        counter.1.fetch_add(second, Ordering::Relaxed);
    }
}

/// The next number of a counter of this process's own slot.
#[inline(always)]
pub fn next(counter: &AtomicU64) -> u64 {
    if is_alone() { arch::take_alone(counter, 1) } else { counter.fetch_add(1, Ordering::Relaxed) }
}

/// How far the process has shut itself off.
#[inline(always)]
pub fn seal() -> Seal {
    match SEAL.load(Ordering::Relaxed) {
        0 => Seal::Open,
        1 => Seal::Filter,
        _ => Seal::Strict,
    }
}

/// Notes that the process is shutting itself off, never less than before.
pub fn tighten(seal: Seal) {
    SEAL.fetch_max(seal as u8, Ordering::Relaxed);
}

/// The clock of records; 0 where it may not be asked.
#[inline(always)]
pub fn now_ns() -> u64 {
    if seal() == Seal::Strict { 0 } else { sys::now_ns() }
}

/// The link map entry of the sensor itself, for finding the next definitions; 0 until known.
pub static OWN_MAP: AtomicUsize = AtomicUsize::new(0);
/// The entry at which the next definitions begin: the one behind ours, or, where the sensor came late and stands last, the
/// one behind the program's; 0 until known.
pub static BEHIND_MAP: AtomicUsize = AtomicUsize::new(0);
/// The first entry of the link map; 0 until known.
pub static FIRST_MAP: AtomicUsize = AtomicUsize::new(0);
