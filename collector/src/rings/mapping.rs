//! A ring's memory in the collector: checked before it is mapped, unmapped when it is dropped.
//!
//! # Safety
//! The memfd comes from another program, perhaps a hostile one. The mapping is sound because of what is
//! checked on the descriptor itself: it is a memfd whose length is one that sensors make and, by its seals,
//! can never change, so no access ends in SIGBUS. The contents are reached through `wire`, which treats them
//! as hostile.
#![allow(unsafe_code, reason = "maps and unmaps shared memory")]

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::ptr::NonNull;
use std::sync::atomic::Ordering;

use rustix::fs::{
    FlockOperation, MemfdFlags, Mode, OFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, flock, fstat,
    ftruncate, memfd_create, open,
};
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, munmap};
use wire::ring::Memory;
use wire::ring::layout::{DATA_OFFSET, Mapped, data_len_of, file_len};

use crate::ids::FileId;

/// Pages that one system call asks for.
const MOST_PROBED: usize = 64;

/// A ring's size never changes, and no seal is added.
const SEALED: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::SEAL);

/// A ring's memory, unmapped when dropped.
#[derive(Debug)]
pub struct Mapping {
    mapped: Mapped,
    data_len: u64,
    file: FileId,
}

/// Why a descriptor is not taken for a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is no memfd.
    NoMemfd,
    /// It could be made shorter while it is mapped.
    Unsealed,
    /// No sensor makes a ring of this size.
    WrongSize,
    /// It cannot be mapped for writing.
    Unmappable,
    /// It has no header of a ring of this version.
    Unformatted,
}

impl Refusal {
    /// The reason in a message.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NoMemfd => "it is no memfd",
            Self::Unsealed => "its size is not sealed",
            Self::WrongSize => "it has a size that no sensor makes",
            Self::Unmappable => "it cannot be mapped",
            Self::Unformatted => "it has no ring's header",
        }
    }
}

/// Which pages of a part of a ring have been written to.
#[derive(Debug)]
pub struct Pages {
    start: usize,
    page: usize,
    found: [u8; MOST_PROBED],
}

impl Pages {
    /// Whether the page of `place` has been written to.
    pub fn have<T>(&self, place: &T) -> bool {
        let index = std::ptr::from_ref(place).addr().wrapping_sub(self.start) / self.page;
        self.found.get(index).is_some_and(|found| found & 1 != 0)
    }
}

impl Mapping {
    /// A ring of this process's own, with `data_len` bytes of data, and its memfd for another one.
    pub fn create(data_len: u64) -> io::Result<(Self, OwnedFd)> {
        let memfd = memfd_create("glassbox", MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC)?;
        ftruncate(&memfd, file_len(data_len))?;
        fcntl_add_seals(&memfd, SEALED)?;
        let mapping = Self::map(&memfd).map_err(|refusal| io::Error::other(refusal.reason()))?;
        mapping.mapped.format();
        Ok((mapping, memfd))
    }

    /// Checks and maps `memfd`, which may be closed afterwards.
    pub fn of(memfd: impl AsFd) -> Result<Self, Refusal> {
        let mapping = Self::map(memfd)?;
        if mapping.mapped.is_formatted() { Ok(mapping) } else { Err(Refusal::Unformatted) }
    }

    fn map(memfd: impl AsFd) -> Result<Self, Refusal> {
        // The seals first: of a file whose server is a program (FUSE), any other question may wait for that
        // program. An ordinary file can get no seal but F_SEAL_SEAL, so these three also prove that it is a
        // memfd. One of huge pages, whose faults may end in SIGBUS, cannot have the size of a ring: see the
        // test.
        let seals = fcntl_get_seals(&memfd).map_err(|_| Refusal::NoMemfd)?;
        if !seals.contains(SEALED) {
            return Err(Refusal::Unsealed);
        }
        let stat = fstat(&memfd).map_err(|_| Refusal::NoMemfd)?;
        let data_len = u64::try_from(stat.st_size).ok().and_then(data_len_of).ok_or(Refusal::WrongSize)?;
        let len = usize::try_from(file_len(data_len)).map_err(|_| Refusal::WrongSize)?;
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a fresh mapping that replaces nothing.
        let base = unsafe { mmap(std::ptr::null_mut(), len, protection, MapFlags::SHARED, &memfd, 0) };
        let base = base.ok().and_then(|base| NonNull::new(base.cast())).ok_or(Refusal::Unmappable)?;
        // SAFETY: `base` is page-aligned and maps `file_len(data_len)` bytes; the seals keep it from
        // shrinking; it is unmapped when `self` is dropped, and `mapped` hands no copy out that outlives it
        // (see there).
        let mapped = unsafe { Mapped::new(base, data_len) };
        let file = FileId { device: stat.st_dev, inode: stat.st_ino };
        Ok(Self { mapped, data_len, file })
    }

    /// The mapping again, through an open file description of the collector's own. The sensor's description
    /// then ends with the last process that has the ring mapped, which the [`Lifeline`] shows. `None` for the
    /// latter where the sensor holds no lock on its description. `memfd` is the descriptor that [`Self::of`]
    /// took.
    pub fn apart(self, memfd: OwnedFd) -> (Self, Option<Lifeline>) {
        let path = format!("/proc/self/fd/{}", memfd.as_raw_fd());
        let Ok(own) = open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()) else {
            return (self, None);
        };
        let lifeline = Lifeline(own);
        if lifeline.is_cut() {
            return (self, None);
        }
        // The first mapping keeps the sensor's description open.
        match Self::of(&lifeline.0) {
            Ok(apart) => (apart, Some(lifeline)),
            Err(_) => (self, None),
        }
    }

    /// The ring. A copy of it (a `Reader`) must not be used after the mapping is dropped.
    pub fn mapped(&self) -> Mapped {
        self.mapped
    }

    /// The memfd: a process that has this mapped shares the ring.
    pub fn file(&self) -> FileId {
        self.file
    }

    /// Whether no other process has the page of the ring's tail in its page tables, by the kernel's word
    /// (proc_pid_pagemap(5)). Each that writes a record has; it loses the page where memory is short.
    pub fn is_ours_alone(&self) -> bool {
        const PRESENT: u64 = 1 << 63;
        const EXCLUSIVE: u64 = 1 << 56;
        let tail = self.mapped.tail();
        // So that it is in this process's page tables. Relaxed: the value does not matter.
        std::hint::black_box(tail.load(Ordering::Relaxed));
        let page = std::ptr::from_ref(tail).addr() / rustix::param::page_size();
        let mut entry = [0; 8];
        let read =
            File::open("/proc/self/pagemap").and_then(|map| map.read_exact_at(&mut entry, page as u64 * 8));
        let alone = PRESENT | EXCLUSIVE;
        read.is_ok() && u64::from_ne_bytes(entry) & alone == alone
    }

    /// Bytes of the ring's data.
    pub fn data_len(&self) -> u64 {
        self.data_len
    }

    /// Up to where, from `position` on and no further than `until`, the pages of the data are in memory: a
    /// position at a page's end, or `position` itself where its own page is a hole.
    ///
    /// A look at a hole of a memfd would make a page there, which the looker's control group pays for.
    pub fn present_to(&self, position: u64, until: u64) -> u64 {
        let page = rustix::param::page_size() as u64;
        let first = position & !(page - 1);
        let mut present = position;
        let mut at = first;
        while until.wrapping_sub(at).cast_signed() > 0 {
            let offset = at & (self.data_len - 1);
            let mut pages = [0_u8; MOST_PROBED];
            let left = (until.wrapping_sub(at)).div_ceil(page).min((self.data_len - offset) / page);
            let count = left.min(MOST_PROBED as u64) as usize;
            // SAFETY: the range lies within the mapping, and `pages` has a byte for each of its pages.
            let result = unsafe {
                let address = self.mapped.base().as_ptr().add((DATA_OFFSET + offset) as usize);
                libc::mincore(address.cast(), count * page as usize, pages.as_mut_ptr())
            };
            // A kernel that does not say is taken to have them.
            let found = match result {
                0 => pages.iter().take(count).take_while(|page| **page & 1 != 0).count(),
                _ => count,
            };
            at = at.wrapping_add(found as u64 * page);
            if found > 0 {
                present = at;
            }
            if found < count || count == 0 {
                break;
            }
        }
        present
    }

    /// Whether the page that `place`, which lies in the ring, is in has been written to.
    pub fn has_page<T>(&self, place: &T) -> bool {
        let page = rustix::param::page_size();
        let address = std::ptr::from_ref(place).cast::<u8>();
        let mut pages = [1_u8];
        // SAFETY: the page lies within the mapping, which `place` is in.
        let result = unsafe {
            let start = address.byte_sub(address.addr() % page).cast_mut();
            libc::mincore(start.cast(), page, pages.as_mut_ptr())
        };
        // A kernel that does not say is taken to have it.
        result != 0 || pages[0] & 1 != 0
    }

    /// Which of the pages from `first` to `last`, which lie in the ring, have been written to.
    pub fn pages<T>(&self, first: &T, last: &T) -> Pages {
        let page = rustix::param::page_size();
        let [first, last] = [first, last].map(|place| std::ptr::from_ref(place).cast::<u8>());
        let start = first.addr() / page * page;
        let count = ((last.addr() - start) / page + 1).min(MOST_PROBED);
        let mut found = [1_u8; MOST_PROBED];
        // SAFETY: the range lies within the mapping, which both places are in, and `found` has a byte for
        // each of its pages. A kernel that does not say leaves them as they are: it is taken to have them.
        unsafe {
            libc::mincore(first.with_addr(start).cast_mut().cast(), count * page, found.as_mut_ptr());
        }
        Pages { start, page, found }
    }

    /// Takes the pages of the data between two positions out of this process's page tables. They stay in the
    /// memfd.
    pub fn let_go(&self, from: u64, to: u64) {
        let page = rustix::param::page_size() as u64;
        let (mut at, end) = (from & !(page - 1), to & !(page - 1));
        if end.wrapping_sub(at) > self.data_len {
            at = end.wrapping_sub(self.data_len);
        }
        while at != end {
            let offset = at & (self.data_len - 1);
            let len = end.wrapping_sub(at).min(self.data_len - offset);
            // SAFETY: the range lies within the mapping, which is shared: its pages come back at the next
            // look.
            let _ = unsafe {
                let address = self.mapped.base().as_ptr().add((DATA_OFFSET + offset) as usize);
                madvise(address.cast(), len as usize, Advice::LinuxDontNeed)
            };
            at = at.wrapping_add(len);
        }
    }

    /// Takes the counters of a slot's descriptors out of this process's page tables, but for the first few,
    /// which may lie elsewhere. They stay in the memfd.
    pub fn let_go_of_descriptors(&self, slot: u8) {
        let last = Mapped::fd_capacity(slot) as i32 - 1;
        if let (Some(first), Some(last)) = (self.mapped.fd(slot, last / 8), self.mapped.fd(slot, last)) {
            self.let_go_between(first, last);
        }
    }

    /// Takes the whole pages between two places of the ring out of this process's page tables. They stay in
    /// the memfd.
    pub fn let_go_between<T>(&self, first: &T, last: &T) {
        let page = rustix::param::page_size();
        let [first, last] = [first, last].map(|place| std::ptr::from_ref(place).addr());
        let (first, end) = (first.next_multiple_of(page), last / page * page);
        let base = self.mapped.base().as_ptr();
        if first < base.addr() || end <= first {
            return;
        }
        // SAFETY: the range lies between two places of the ring, so within the mapping, which is shared: its
        // pages come back at the next look.
        let _ = unsafe { madvise(base.with_addr(first).cast(), end - first, Advice::LinuxDontNeed) };
    }

    /// Whether writers are about to run out of space.
    pub fn is_half_full(&self) -> bool {
        // Relaxed: two words that a hostile process may write, for an estimate.
        let (tail, head) =
            (self.mapped.tail().load(Ordering::Relaxed), self.mapped.head().load(Ordering::Relaxed));
        tail.wrapping_sub(head) > self.data_len / 2
    }

    /// Gives the whole pages within `len` bytes from `offset` of the file back to the system; they read as
    /// zeroes.
    ///
    /// Only for a range that no process writes to meanwhile.
    pub fn punch(&self, offset: u64, len: u64) {
        const PAGE: u64 = 4096;
        let page = rustix::param::page_size() as u64;
        let page = page.max(PAGE);
        let first = offset.next_multiple_of(page);
        let end = offset.saturating_add(len).min(file_len(self.data_len)) / page * page;
        if first >= end {
            return;
        }
        // SAFETY: the range lies within the mapping, which is shared and writable; there are no references to
        // plain data in it, only to atomics, and zeroes are as valid as any other bytes.
        let _ = unsafe {
            let address = self.mapped.base().as_ptr().add(first as usize);
            madvise(address.cast(), (end - first) as usize, Advice::LinuxRemove)
        };
    }
}

/// Shows whether any process has a ring mapped. The sensor holds a shared flock(2) through its open file
/// description; the lock lasts as long as that description, and so as long as the mappings.
#[derive(Debug)]
pub struct Lifeline(OwnedFd);

impl Lifeline {
    /// Whether no process has the ring mapped any more. Once true, always true.
    pub fn is_cut(&self) -> bool {
        flock(&self.0, FlockOperation::NonBlockingLockExclusive).is_ok()
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping was made in `of` with this length; by `mapped`'s contract no copy is in use.
        let _ = unsafe { munmap(self.mapped.base().as_ptr().cast(), file_len(self.data_len) as usize) };
    }
}

#[cfg(test)]
mod tests {
    use wire::ring::layout::MIN_DATA_LEN;

    use super::*;

    fn memfd(len: u64, seals: SealFlags) -> OwnedFd {
        let memfd = memfd_create("ring", MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC).unwrap();
        ftruncate(&memfd, len).unwrap();
        fcntl_add_seals(&memfd, seals).unwrap();
        memfd
    }

    #[test]
    fn ring_that_is_mapped_elsewhere_is_not_ours_alone() {
        let sensor = crate::pipeline::simulated::Sensor::new(1, MIN_DATA_LEN);
        let mapping = Mapping::of(&sensor.memfd).unwrap();
        let before = mapping.is_ours_alone();
        let second = Mapping::of(&sensor.memfd).unwrap();

        let shared = [mapping.is_ours_alone(), second.is_ours_alone()];
        // SAFETY: a test's mapping, of which `sensor` hands nothing out after this.
        unsafe { munmap(sensor.ring.base().as_ptr().cast(), file_len(MIN_DATA_LEN) as usize).unwrap() };
        drop(mapping);

        assert_eq!((false, [false; 2]), (before, shared));
        assert!(second.is_ours_alone());
    }

    #[test]
    fn no_ring_has_a_size_of_whole_huge_pages() {
        let mut data_len = MIN_DATA_LEN;
        while data_len <= wire::ring::layout::MAX_DATA_LEN {
            // 64 KiB are the smallest that any kernel has (aarch64).
            assert!(!file_len(data_len).is_multiple_of(64 * 1024));
            data_len *= 2;
        }
    }

    fn refusal(memfd: OwnedFd) -> Refusal {
        Mapping::of(memfd).unwrap_err()
    }

    #[test]
    fn only_sealed_memfds_of_a_rings_size_are_mapped() {
        let len = file_len(MIN_DATA_LEN);

        assert_eq!(Refusal::Unsealed, refusal(memfd(len, SealFlags::SHRINK)));
        assert_eq!(Refusal::Unsealed, refusal(memfd(len, SealFlags::SEAL)));
        assert_eq!(Refusal::WrongSize, refusal(memfd(len + 4096, SEALED)));
        assert_eq!(Refusal::WrongSize, refusal(memfd(0, SEALED)));
        assert_eq!(Refusal::WrongSize, refusal(memfd(u64::MAX >> 2, SEALED)));
        assert_eq!(Refusal::Unformatted, refusal(memfd(len, SEALED)));
        assert_eq!(Refusal::Unmappable, refusal(memfd(len, SealFlags::WRITE | SEALED)));
        assert_eq!(Refusal::NoMemfd, refusal(File::open("/dev/null").unwrap().into()));
        assert_eq!(Refusal::NoMemfd, refusal(File::open("/proc/self/exe").unwrap().into()));
        let (reader, _writer) = io::pipe().unwrap();
        assert_eq!(Refusal::NoMemfd, refusal(reader.into()));
    }
}
