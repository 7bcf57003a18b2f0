//! Finding out whether memory can be read, before reading it where the application may have passed a bad
//! pointer.
//!
//! Used where the kernel has not yet looked at a pointer: before an exec, and after a call that failed in a
//! way that does not say whether it got that far. It takes one system call for each page that was not seen
//! before. Where the kernel or a filter does not offer that call, pointers are believed.

use core::ffi::c_char;

use crate::process::{self, Seal};
use crate::{arch, sys};

const PAGE: usize = 4096;

/// Length of the string at `string`, at most `cap`.
///
/// # Safety
/// See the module.
#[inline(always)]
pub unsafe fn length(string: *const c_char, cap: usize) -> usize {
    const LOW: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    // Whole words, aligned: a word of which one byte is readable is readable. The bytes before the string are
    // made no NUL.
    let before = string as usize % 8;
    let mut place = string.cast::<u8>().wrapping_sub(before).cast::<u64>();
    // SAFETY: aligned, and the string's first byte is in it.
    let mut word = unsafe { place.read_volatile() } | ((1 << (8 * before)) - 1);
    let mut len = 0;
    loop {
        let zeros = word.wrapping_sub(LOW) & !word & HIGH;
        if zeros != 0 {
            return (len + zeros.trailing_zeros() as usize / 8 - before).min(cap);
        }
        len += 8;
        if len >= cap + before {
            return cap;
        }
        place = place.wrapping_add(1);
        // SAFETY: aligned, and every byte up to here was no NUL, so the string goes on in it.
        word = unsafe { place.read_volatile() };
    }
}

/// Pages that were found readable.
pub struct Probe {
    pages: [usize; 8],
    next: usize,
    believes: bool,
    /// Our own pid, once it was asked for.
    pid: u32,
}

impl Probe {
    /// Knows nothing yet but the page of the stack that it is called on, where arguments often are.
    pub fn new() -> Self {
        let mut pages = [0; 8];
        pages[0] = arch::stack_pointer() & !(PAGE - 1);
        // Where a system call of ours could end the process, pointers are believed.
        Self { pages, next: 1, believes: process::seal() != Seal::Open, pid: 0 }
    }

    /// Believes every pointer: for memory that the kernel or libc laid out.
    pub fn believing() -> Self {
        Self { pages: [0; 8], next: 0, believes: true, pid: 0 }
    }

    /// Whether the byte at `address` can be read.
    pub fn is_readable(&mut self, address: usize) -> bool {
        let page = address & !(PAGE - 1);
        if sys::is_wild(address as *const c_char) {
            return false;
        }
        if self.believes || self.pages.contains(&page) {
            return true;
        }
        if self.pid == 0 {
            self.pid = process::own_pid();
        }
        if !sys::is_readable(self.pid, address) {
            return false;
        }
        if let Some(place) = self.pages.get_mut(self.next % 8) {
            *place = page;
            self.next += 1;
        }
        true
    }

    /// Whether the `len` bytes at `address` can be read, at most a page.
    pub fn holds(&mut self, address: usize, len: usize) -> bool {
        self.is_readable(address) && self.is_readable(address.saturating_add(len.saturating_sub(1)))
    }

    /// Length of the string at `string`, at most `cap`; `None` when its end cannot be reached.
    pub fn length(&mut self, string: *const c_char, cap: usize) -> Option<usize> {
        let mut len = 0;
        while len < cap {
            let address = (string as usize).checked_add(len)?;
            if !self.is_readable(address) {
                return None;
            }
            let rest = (PAGE - address % PAGE).min(cap - len);
            // SAFETY: `rest` bytes from here lie in a page that was just found readable.
            let found = unsafe { length(address as *const c_char, rest) };
            len += found;
            if found < rest {
                return Some(len);
            }
        }
        Some(cap)
    }

    /// The pointer at `place`; `None` when it cannot be read.
    pub fn pointer(&mut self, place: *const *const c_char) -> Option<*const c_char> {
        let last = (place as usize).checked_add(size_of::<usize>() - 1)?;
        // SAFETY: its first and last byte lie in readable pages.
        (self.is_readable(place as usize) && self.is_readable(last))
            .then(|| unsafe { place.read_unaligned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_that_runs_into_a_hole_has_no_length() {
        let area = sys::map_anonymous(2 * PAGE).unwrap();
        // SAFETY: the second page of our own mapping; and bytes of the first.
        let end = unsafe {
            sys::unmap(area.add(PAGE), PAGE);
            area.add(PAGE - 4).write_bytes(b'x', 4);
            area.add(PAGE - 4)
        };

        assert_eq!(None, Probe::new().length(end.cast(), 4096));
        assert_eq!(Some(4), Probe::new().length(end.cast(), 4));
        // SAFETY: the last byte of the first page.
        unsafe { area.add(PAGE - 1).write(0) };
        assert_eq!(Some(3), Probe::new().length(end.cast(), 4096));
    }

    #[test]
    fn a_wild_pointer_is_not_readable() {
        let mut probe = Probe::new();

        assert!(!probe.is_readable(1));
        assert!(!probe.is_readable(usize::MAX));
        assert!(probe.is_readable((&raw const probe) as usize));
    }

    #[test]
    fn a_strings_length_does_not_depend_on_its_place() {
        for offset in 0..16 {
            for len in 0..40 {
                let mut bytes = std::vec![b'x'; 80];
                bytes[offset + len] = 0;

                // SAFETY: the vector holds a NUL behind the offset.
                let measured = unsafe { length(bytes.as_ptr().add(offset).cast(), 4096) };

                assert_eq!(len, measured);
            }
        }
    }

    #[test]
    fn a_long_string_is_cut_at_the_cap() {
        let bytes = std::vec![b'x'; 100];

        // SAFETY: the cap is below the vector's length.
        assert_eq!(64, unsafe { length(bytes.as_ptr().cast(), 64) });
    }
}
