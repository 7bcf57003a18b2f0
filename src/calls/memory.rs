//! Memory that the program unmaps, replaces, protects or locks: where that is the sensor's, the sensor lets
//! go of it first, so that the program fails by none of it.
//!
//! A call that takes the ring away goes through as it is; from then on the image is not seen, which is
//! counted (`ring_taken`). Only the sensor's own code stays, as the next call of a wrapped function would end
//! in the void: munmap(2) says that it did.

use core::ffi::{c_int, c_void};

use crate::calls::{identity, queues};
use crate::process::{self, Seal};
use crate::reach::elf::page_len;
use crate::record::call::{Call, Row};
use crate::record::fail::{Fails, MapFailed, MinusOne, errno, set_errno};
use crate::start::environ;
use crate::sys;

/// The other threads have so long to end the records that they are writing, when the ring is taken away.
const LAST_RECORDS_NS: u64 = 10_000_000;

/// mmap(2): with `MAP_FIXED` it replaces what is there.
#[inline(always)]
pub fn map(
    row: Row,
    place: (*mut c_void, usize),
    prot: c_int,
    flags: c_int,
    (fd, offset): (c_int, i64),
    real: impl FnOnce() -> *mut c_void,
) -> *mut c_void {
    let (wanted, len) = place;
    if flags & libc::MAP_FIXED != 0 {
        before_loss(wanted as usize, len);
    }
    let ret = real();
    if queues::are_there() && ret != libc::MAP_FAILED {
        queues::mapped(fd, offset, ret as usize, len, prot);
    }
    if prot & libc::PROT_EXEC != 0 && process::ring().is_some() {
        identity::mapped(Call::of(row, MapFailed::outcome(ret)), wanted, len, prot, flags, fd);
    }
    ret
}

/// mprotect(2), pkey_mprotect(2).
#[inline(always)]
pub fn protect(row: Row, start: usize, len: usize, prot: c_int, real: impl FnOnce() -> c_int) -> c_int {
    if prot & (libc::PROT_READ | libc::PROT_WRITE) != libc::PROT_READ | libc::PROT_WRITE {
        before_loss(start, len);
    }
    let ret = real();
    if prot & libc::PROT_EXEC != 0 && process::ring().is_some() {
        let outcome = <MinusOne as Fails<c_int>>::outcome(ret);
        identity::protected(Call::of(row, outcome), start, len, prot, -1);
    }
    ret
}

/// munmap(2).
#[inline(always)]
pub fn unmap(start: *mut c_void, len: usize, real: impl Fn(*mut c_void, usize) -> c_int) -> c_int {
    before_loss(start as usize, len);
    let own = own_code();
    match own.overlaps(start as usize, len) {
        false => real(start, len),
        true => unmap_around(&own, start as usize, len, real),
    }
}

/// Unmaps what is around the sensor, or nothing where the kernel would refuse the whole: its end behind all
/// addresses shows in the part behind the sensor, so that goes first.
#[cold]
fn unmap_around(own: &Range, start: usize, len: usize, real: impl Fn(*mut c_void, usize) -> c_int) -> c_int {
    if len == 0 || !start.is_multiple_of(page_len()) {
        return real(start as *mut c_void, len);
    }
    let end = start.saturating_add(len);
    let behind = if end > own.end { real(own.end as *mut c_void, end - own.end) } else { 0 };
    match start < own.start && behind == 0 {
        true => real(start as *mut c_void, own.start - start),
        false => behind,
    }
}

/// mremap(2): takes the old place, and with `MREMAP_FIXED` what is at the new one.
#[inline(always)]
pub fn remap(
    (old, old_len): (*mut c_void, usize),
    len: usize,
    flags: c_int,
    to: *mut c_void,
    real: impl FnOnce() -> *mut c_void,
) -> *mut c_void {
    before_loss(old as usize, old_len.max(1));
    if flags & libc::MREMAP_FIXED != 0 {
        before_loss(to as usize, len);
    }
    real()
}

/// The range is about to be lost.
#[inline(always)]
fn before_loss(start: usize, len: usize) {
    if process::may_be_ours(start, len) || environ::has_lent() || queues::are_there() {
        let_go_within(start, len);
    }
}

#[cold]
#[inline(never)]
fn let_go_within(start: usize, len: usize) {
    environ::let_go(start, len);
    queues::let_go(start, len);
    if process::is_ours(start, len) {
        let_go();
    }
}

fn let_go() {
    let slot = process::ring().and_then(process::caller).map_or(0, |caller| caller.slot);
    process::let_go(slot);
    if !process::is_alone() && process::seal() == Seal::Open {
        sys::nap(LAST_RECORDS_NS);
    }
}

/// mlockall(2): with `MCL_CURRENT` and without `CAP_IPC_LOCK` it fails where all mappings together are larger
/// than the limit, however little of them is in use. Where they would not be without the ring, its tables go,
/// and if that is not enough the whole ring.
/// Where it succeeds, the ring is unlocked, so that the program has the rest of its limit.
pub fn lock_all(flags: c_int, real: impl Fn() -> c_int) -> c_int {
    let errno_before = errno();
    let ret = real();
    let Some((ring, len)) = process::ring_area() else { return ret };
    if flags & libc::MCL_CURRENT == 0 || process::seal() != Seal::Open {
        return ret;
    }
    if ret == 0 {
        sys::unlock(ring, len);
        return ret;
    }
    if errno() != libc::ENOMEM {
        return ret;
    }
    // Another thread may be writing into the ring. /proc shows a vfork child none of its parent's.
    let is_guest = process::is_guest();
    let is_only = if is_guest { process::is_alone() } else { sys::is_only_thread() };
    if !is_only || !has_room_without(len) {
        return ret;
    }
    // Of a vfork child and its parent, each may hold a slot there.
    let rear = if is_guest { None } else { process::give_up_rear() };
    let has_shrunk = rear.is_some_and(|(rear, rear_len)| {
        // SAFETY: no other thread runs, and this one no longer uses what is there.
        unsafe { sys::unmap(rear as *mut u8, rear_len) };
        has_room_without(0)
    });
    let front = process::ring_area();
    if !has_shrunk && let Some((ring, len)) = front {
        let_go();
        // SAFETY: no other thread runs, and this one no longer knows the ring.
        unsafe { sys::unmap(ring as *mut u8, len) };
    }
    set_errno(errno_before);
    let ret = real();
    if has_shrunk && let Some((ring, len)) = front {
        sys::unlock(ring, len);
    }
    ret
}

/// Whether the limit of locked memory has room for all mappings but `len` bytes of them.
fn has_room_without(len: usize) -> bool {
    // The first number of `statm` (proc_pid_statm(5)): the size of all mappings, in pages.
    let mut text = [0; 64];
    let Ok(read) = sys::read_file(c"/proc/self/statm", &mut text) else { return false };
    let digits = text.get(..read).unwrap_or_default().iter().take_while(|byte| byte.is_ascii_digit());
    let pages =
        digits.fold(0u64, |sum, digit| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0')));
    let bytes = pages.saturating_mul(page_len() as u64);
    bytes.saturating_sub(len as u64) <= sys::soft_limit(libc::RLIMIT_MEMLOCK)
}

/// A range of addresses.
struct Range {
    start: usize,
    end: usize,
}

impl Range {
    fn overlaps(&self, start: usize, len: usize) -> bool {
        start < self.end && start.saturating_add(len) > self.start
    }
}

// The linker's names for the image's ends stay within the sensor.
#[cfg(not(test))]
core::arch::global_asm!(".hidden __ehdr_start", ".hidden _end");

/// The sensor's own image in memory.
#[cfg(not(test))]
fn own_code() -> Range {
    unsafe extern "C" {
        #[link_name = "__ehdr_start"]
        static START: [u8; 0];
        #[link_name = "_end"]
        static END: [u8; 0];
    }
    Range {
        start: (&raw const START) as usize,
        end: ((&raw const END) as usize).next_multiple_of(page_len()),
    }
}

#[cfg(test)]
fn own_code() -> Range {
    Range { start: 0, end: 0 }
}

#[cfg(test)]
mod tests {
    use core::cell::RefCell;

    use super::*;

    const OWN: Range = Range { start: 0x10_0000, end: 0x20_0000 };
    const FIRST_BEYOND: usize = 0x7fff_ffff_f000;

    /// Which ranges the kernel was given, and the result.
    fn unmapped(start: usize, len: usize) -> (Vec<(usize, usize)>, c_int) {
        let asked = RefCell::new(Vec::new());
        let ret = unmap_around(&OWN, start, len, |start, len| {
            asked.borrow_mut().push((start as usize, len));
            let is_refused =
                len == 0 || !(start as usize).is_multiple_of(4096) || len > FIRST_BEYOND - start as usize;
            -c_int::from(is_refused)
        });
        (asked.into_inner(), ret)
    }

    #[test]
    fn what_is_around_the_sensor_is_unmapped() {
        assert_eq!((vec![(0x20_0000, 0x1000), (0xf_f000, 0x1000)], 0), unmapped(0xf_f000, 0x10_2000));
        assert_eq!((vec![(0xf_f000, 0x1000)], 0), unmapped(0xf_f000, 0x2000));
        assert_eq!((vec![(0x20_0000, 0x1000)], 0), unmapped(0x1f_f000, 0x2000));
        assert_eq!((vec![], 0), unmapped(0x10_0000, 0x10_0000));
    }

    #[test]
    fn a_range_that_the_kernel_refuses_is_refused_and_nothing_unmapped() {
        for (start, len) in [(0xf_f000, usize::MAX), (0xf_f001, 0x2000), (0x10_0001, 8), (0x11_0000, 0)] {
            let (asked, ret) = unmapped(start, len);

            assert_eq!((1, -1), (asked.len(), ret), "{start:#x} {len:#x}");
        }
    }
}
