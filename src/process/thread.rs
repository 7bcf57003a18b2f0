//! The calling thread's block, in initial-exec TLS, and the identity of the caller.
//!
//! A vfork child runs on its parent's thread block, so what is its own is kept there beside what is the
//! parent's, and dropped when the parent goes on.

use core::num::NonZeroU64;
#[cfg(not(test))]
use core::sync::atomic::AtomicU64;
use core::sync::atomic::{AtomicU32, Ordering};

use wire::ring::layout::Mapped;

use super::page::{NO_SLOT, Process, process, slot_in};
use super::pending::Pending;
use super::seal::{Seal, seal};
#[cfg(not(test))]
use crate::arch;
use crate::sys;

/// This thread's block, 64 bytes of TLS, all zero at a thread's start.
#[repr(C)]
pub struct Thread {
    /// The process that this thread is known to write for; 0 while it must be found out. With `tid`:
    /// [`Caller`]'s `ids`.
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
    /// The kinds of events that the wrappers report in which this thread runs; 0 unless
    /// [`crate::reach::inline`] is active.
    reporting: u32,
    /// The record that this thread is at.
    pending: Pending,
}

const _: () = assert!(size_of::<Thread>() <= 64 && cfg!(target_endian = "little"));

/// The calling process and thread, as a record names them.
///
/// Two words, so that it travels in registers: words that were just written in parts are slow to read as a
/// whole.
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

#[cfg(not(test))]
#[inline(always)]
fn thread() -> *mut Thread {
    match arch::thread_block() {
        Some(block) => block.as_ptr().cast(),
        None => foreign().cast(),
    }
}

/// The block of threads that have another thread-local storage than libc's. They share it: at most one is
/// known to exist at a time, a child for which its parent waits (vfork with `CLONE_SETTLS`).
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

/// Notes that the calling thread is the process's first, as it is where an image starts: its number is the
/// pid.
pub fn note_first_thread(pid: u32) {
    // SAFETY: as in `caller`.
    let thread = unsafe { &mut *thread() };
    (thread.tid, thread.owner_before) = (pid, pid);
}

/// The calling thread's block. It is asked for once and handed on, but not over the real function, which may
/// come back on another thread (coroutines).
#[derive(Clone, Copy)]
pub struct Block(*mut Thread);

impl Block {
    /// The calling thread's.
    #[inline(always)]
    pub fn here() -> Self {
        Self(thread())
    }

    /// The caller. `None` for a child that finds every slot taken; it looks again at its next call.
    #[inline(always)]
    pub fn caller(self, ring: Mapped) -> Option<Caller> {
        let process = process()?;
        // SAFETY: the block is this thread's alone, and begins with `owner` and `tid` (this is a
        // little-endian world); a signal handler that interrupts writes whole words of the same values.
        let ids = unsafe { self.0.cast::<u64>().read() };
        let pid = process.pid.load(Ordering::Relaxed);
        // A thread's `owner` is 0 until it is known, and while a guest runs on it; `pid` is 0 in a new
        // process.
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

/// The caller; see [`Block::caller`].
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
        reporting: 0,
    }
}

/// Says that this process was just forked from `parent`, by the thread that is its only one now.
///
/// A child that has reported a call by then (its pthread_atfork(3) handlers run inside fork) keeps its
/// identity. Before Linux 4.14 its page is a copy, and not empty.
pub fn begin_child(parent: u32) {
    let Some(process) = process() else { return };
    // An exchange, and no load before it: an emptied page that is read first costs a fault to read and one to
    // write.
    match process.pid.compare_exchange(parent, 0, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => process.slot.store(NO_SLOT, Ordering::Relaxed),
        Err(0) => {}
        Err(_) => return,
    }
    // Behind a filter we make no system call before there is something to report.
    if seal() != Seal::Open {
        process.parent.store(parent, Ordering::Relaxed);
        return;
    }
    let pid = sys::getpid();
    // SAFETY: as in `caller`.
    become_child(process, unsafe { &mut *thread() }, pid, pid, parent);
}

/// The child `pid` of a vfork runs on this thread until [`end_guest`]. It takes a slot when it first needs
/// one.
pub fn begin_guest(pid: u32) {
    // SAFETY: as in `caller`; the parent's thread is stopped until the child execs or ends.
    let thread = unsafe { &mut *thread() };
    if let Some(process) = process()
        && process.pid.load(Ordering::Relaxed) == 0
    {
        // The parent is itself a fork child that has made no call yet; the page must not be taken for the
        // guest's.
        process.pid.store(sys::getppid(), Ordering::Relaxed);
        *thread = Thread { tick: thread.tick, ..fresh() };
    }
    thread.guest_slot.store(NO_SLOT, Ordering::Relaxed);
    thread.guest = pid;
    thread.owner = 0;
}

/// Whether the caller is a vfork child, whose memory is another process's.
pub fn is_guest() -> bool {
    // SAFETY: as in `caller`.
    unsafe { (*thread()).guest != 0 }
}

/// Whether the caller is a vfork child that has written nothing: it need not report itself.
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

/// The kinds of events that the wrappers report in which this thread runs, as a set of
/// [`crate::reach::inline`].
#[inline(always)]
pub fn reporting() -> u32 {
    // SAFETY: as in `caller`.
    unsafe { (*thread()).reporting }
}

/// Sets [`reporting`].
#[inline(always)]
pub fn set_reporting(kinds: u32) {
    // SAFETY: as in `caller`.
    unsafe { (*thread()).reporting = kinds };
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
