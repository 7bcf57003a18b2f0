//! What is told only where it is asked for (`GLASSBOX_TELL`): calls that programs make very often and that
//! few readers want.

use core::sync::atomic::{AtomicU8, Ordering};

/// A group of such calls: its bit.
#[derive(Clone, Copy)]
#[repr(u8)]
pub enum Asked {
    /// The stat, access and readlink families, where they succeed.
    Lookups = 1,
    /// flock(2), and the locks of fcntl(2) and lockf(3).
    Locks = 2,
    /// Which functions libc makes its calls in: the kernel is asked about those calls
    /// ([`crate::reach::marks`]).
    Libc = 4,
}

/// The names of the groups.
const NAMES: [(&[u8], Asked); 3] =
    [(b"lookups", Asked::Lookups), (b"locks", Asked::Locks), (b"libc", Asked::Libc)];

static TOLD: AtomicU8 = AtomicU8::new(0);

/// Has the groups told that `names` has, between commas; others are ignored.
pub fn set(names: &[u8]) {
    let mut told = 0;
    for name in names.split(|byte| *byte == b',') {
        if let Some((_, asked)) = NAMES.iter().find(|(known, _)| *known == name) {
            told |= *asked as u8;
        }
    }
    TOLD.store(told, Ordering::Relaxed);
}

/// Whether a group is told.
#[inline(always)]
pub fn tells(asked: Asked) -> bool {
    TOLD.load(Ordering::Relaxed) & asked as u8 != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_told_that_stands_among_the_names_and_no_other() {
        set(b"what,locks");

        assert!(tells(Asked::Locks));
        assert!(!tells(Asked::Lookups));
        set(b"");
        assert!(!tells(Asked::Locks));
    }
}
