//! The layout of the memory that a sensor shares with its collector.
//!
//! ```text
//! 0          header: magic, version; tail, head and bell, each on a cache line of its own
//! 512        slots 0 to 5, 256 bytes each: slot 0 is the image that made the mapping, the others are its
//!            fork and vfork children, which write here until they exec
//! 2048       the image's counters of the first 64 descriptors, 32 bytes each
//! 4096       the ring's data, a power of two
//! then       slots 6 to 255
//! then       the image's counters of descriptors 64 to 65535, then 1024 for each of the other slots
//! ```
//!
//! The file is sparse: a page costs memory once it is touched. The parts that every process touches lie
//! together at the front, in one page table: a fault in a shared mapping costs an exec 2.5 µs, and 5 µs where
//! it needs a new page table.
//!
//! # Safety
//! All access is by [`Mapped`], whose maker promises that the mapping is as long as [`file_len`] says and
//! stays. Both processes write, so nothing here is ever a `&mut`, and the numbers are atomics; a hostile
//! writer can make them wrong, not unsound.

use core::mem::offset_of;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

#[cfg(not(loom))]
use super::Memory;
use crate::events::Counters;
use crate::named::named;

/// "GLASSBOX" as a little-endian number.
pub const MAGIC: u64 = u64::from_le_bytes(*b"GLASSBOX");
/// Processes that can write into one ring at a time: as many as the state word has numbers for.
pub const SLOTS: usize = 1 << u8::BITS;
/// Descriptors that slot 0 counts for.
pub const OWNER_FDS: usize = 65536;
/// Descriptors that each other slot counts for.
pub const CHILD_FDS: usize = 1024;
/// Bytes of ring data unless asked otherwise (`GLASSBOX_RING_KIB`).
pub const DEFAULT_DATA_LEN: u64 = 4 * 1024 * 1024;
/// Smallest ring data.
pub const MIN_DATA_LEN: u64 = 128 * 1024;
/// Largest ring data.
pub const MAX_DATA_LEN: u64 = 256 * 1024 * 1024;

const SLOTS_AT: usize = 512;
const FIRST_SLOTS: usize = 6;
const LOW_FDS_AT: usize = 2048;
const LOW_FDS: usize = 64;
const DATA_AT: usize = 4096;
const SLOT_LEN: usize = 256;
/// Offsets of the parts behind the data, from its end on.
const SLOTS_BEHIND: usize = 0;
const FDS_BEHIND: usize = SLOTS * SLOT_LEN;
const END_BEHIND: usize = FDS_BEHIND + (OWNER_FDS + (SLOTS - 1) * CHILD_FDS) * size_of::<FdCounters>();

// The places of a slot's words, where both processes look for them.
const _: () = assert!(offset_of!(Slot, record_cost) == 56 && offset_of!(Slot, reported) == 160);
const _: () = assert!(size_of::<Slot>() <= SLOT_LEN && size_of::<Header>() <= SLOTS_AT);
const _: () = assert!(SLOTS_AT + FIRST_SLOTS * SLOT_LEN == LOW_FDS_AT);
const _: () = assert!(LOW_FDS * size_of::<FdCounters>() == DATA_AT - LOW_FDS_AT);
const _: () = assert!(size_of::<FdCounters>() == 32 && FDS_BEHIND.is_multiple_of(4096));

/// Offset of the ring's data in the file, for giving its pages back.
pub const DATA_OFFSET: u64 = DATA_AT as u64;

/// Length of the whole file for a ring of `data_len` bytes.
pub const fn file_len(data_len: u64) -> u64 {
    (DATA_AT + END_BEHIND) as u64 + data_len
}

/// The ring data's length that a file of `file_len` bytes has; `None` if no sensor makes such a file.
pub fn data_len_of(file_len: u64) -> Option<u64> {
    let data_len = file_len.checked_sub((DATA_AT + END_BEHIND) as u64)?;
    (data_len.is_power_of_two() && (MIN_DATA_LEN..=MAX_DATA_LEN).contains(&data_len)).then_some(data_len)
}

#[repr(C, align(64))]
struct Header {
    magic: AtomicU64,
    version: AtomicU64,
    _line: [u64; 6],
    tail: Line<AtomicU64>,
    head: Line<AtomicU64>,
    bell: Line<AtomicU32>,
}

#[repr(C, align(64))]
struct Line<T>(T);

named! {
    /// Why a sensor could not deliver an event: the index into [`Slot::lost`].
    pub enum Loss: usize {
        /// The ring was full.
        RingFull = 0 "ring_full",
        /// The record was too long.
        Oversize = 1 "oversize",
        /// The process was a fork or vfork child and all slots were taken; counted in slot 0.
        NoSlot = 2 "no_slot",
        /// A signal handler jumped away from the call, or from writing its record.
        Abandoned = 3 "abandoned",
        /// The process took the ring away, or what locks all its memory had no room for it: counted once, for
        /// all that the image does from then on.
        RingTaken = 4 "ring_taken",
    }
    /// The `reason` of `sensor.loss`.
    fn reason -> &'static str;
}

/// One process that writes into the ring: its sequence and its two ledgers.
#[repr(C, align(64))]
pub struct Slot {
    /// The process as it sees itself; 0 when the slot is free, [`Slot::CLAIMED`] while it is taken.
    pub pid: AtomicU32,
    /// Its parent as it sees it.
    pub ppid: AtomicU32,
    /// The next stamped record's number: so many were produced, delivered or counted in `lost`.
    pub seq: AtomicU64,
    /// Records lost, by [`Loss`].
    pub lost: [AtomicU64; Loss::ALL.len()],
    /// Nanoseconds of the sampled calls that wrote a record, and how many were sampled.
    pub record_cost: Cost,
    /// The same for calls that only counted.
    pub count_cost: Cost,
    /// Calls that only counted and failed, so that no descriptor's counters show them.
    pub failed_counts: AtomicU64,
    /// Nanoseconds that the constructor took.
    pub start_ns: AtomicU64,
    /// Exit status + 1 as passed to exit, _exit and the like; 0 while unknown.
    pub exit_status: AtomicU32,
    /// One more than the highest descriptor that has counters.
    pub fd_high: AtomicU32,
    /// Processor time and largest resident set at a normal exit; 0 while unknown.
    pub user_ns: AtomicU64,
    /// See `user_ns`.
    pub system_ns: AtomicU64,
    /// In bytes; see `user_ns`.
    pub max_rss: AtomicU64,
    /// When the slot was taken, CLOCK_MONOTONIC of the process: it may be in another time namespace than the
    /// collector.
    pub born_ns: AtomicU64,
    /// Calls that read or wrote through descriptors that are closed by now. For `calls` of `process.exit`.
    pub closed_calls: AtomicU64,
    /// The collector's: stamped records of this process that it has delivered, for the one that follows it.
    pub delivered: AtomicU64,
    /// The collector's: losses of this process that it has reported, for the one that follows it.
    pub reported: AtomicU64,
    /// CLOCK_REALTIME at `born_ns`, which is the same in all time namespaces; 0 where it is not known.
    pub born_utc_ns: AtomicU64,
}

/// A sum of samples.
#[repr(C)]
pub struct Cost {
    /// Nanoseconds in the sensor.
    pub ns: AtomicU64,
    /// Calls measured.
    pub samples: AtomicU64,
}

impl Slot {
    /// `pid` of a slot that a process is about to take.
    pub const CLAIMED: u32 = u32::MAX;

    /// Counts a lost event.
    pub fn lose(&self, cause: Loss) {
        if let Some(counter) = self.lost.get(cause as usize) {
            // Relaxed: a statistic.
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Notes that a process takes the slot, by both its clocks.
    pub fn note_birth(&self, (monotonic_ns, utc_ns): (u64, u64)) {
        self.born_ns.store(monotonic_ns, Ordering::Relaxed);
        self.born_utc_ns.store(utc_ns, Ordering::Relaxed);
    }

    /// Sets everything but `pid` to 0: before a process takes it.
    pub fn clear(&self) {
        // Each field by name, so that one that is added cannot be forgotten.
        let Self {
            pid: _,
            ppid,
            seq,
            lost,
            record_cost,
            count_cost,
            failed_counts,
            start_ns,
            exit_status,
            fd_high,
            user_ns,
            system_ns,
            max_rss,
            born_ns,
            closed_calls,
            delivered,
            reported,
            born_utc_ns,
        } = self;
        let [sampled, counted] = [record_cost, count_cost].map(|Cost { ns, samples }| [ns, samples]);
        let times = [start_ns, user_ns, system_ns, born_ns, born_utc_ns];
        let counts = [seq, failed_counts, max_rss, closed_calls, delivered, reported];
        let words = lost.iter().chain(sampled).chain(counted).chain(times).chain(counts);
        words.for_each(|word| word.store(0, Ordering::Relaxed));
        [ppid, exit_status, fd_high].iter().for_each(|word| word.store(0, Ordering::Relaxed));
    }
}

/// The counters of one descriptor. The top bit of `calls_in` says that this process opened it; the top 24
/// bits of `calls_out` are a mark of the sensor's, for its memory of peers.
#[repr(C)]
pub struct FdCounters {
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    calls_in: AtomicU64,
    calls_out: AtomicU64,
}

/// A descriptor's counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FdState {
    /// Bytes and calls.
    pub counters: Counters,
    /// Whether this process image opened it and has not closed it.
    pub is_open: bool,
}

impl FdState {
    /// Whether there is anything to report of it.
    pub fn is_of_interest(&self) -> bool {
        self.is_open || self.counters != Counters::default()
    }
}

const OPEN: u64 = 1 << 63;
/// Lowest bit of the mark in `calls_out`; below it stands the count.
const MARK_SHIFT: u32 = 40;
const COUNTED: u64 = (1 << MARK_SHIFT) - 1;

impl FdCounters {
    /// Bytes read or received, and the calls that did: for adding to, which each process does in its own way.
    #[inline(always)]
    pub fn incoming(&self) -> (&AtomicU64, &AtomicU64) {
        (&self.bytes_in, &self.calls_in)
    }

    /// Bytes written or sent, and the calls that did.
    #[inline(always)]
    pub fn outgoing(&self) -> (&AtomicU64, &AtomicU64) {
        (&self.bytes_out, &self.calls_out)
    }

    /// Starts over for a descriptor that this process has just opened.
    #[inline(always)]
    pub fn open(&self) {
        // Relaxed: the thread that got the descriptor is the only one that can use it yet.
        self.bytes_in.store(0, Ordering::Relaxed);
        self.bytes_out.store(0, Ordering::Relaxed);
        self.calls_out.store(0, Ordering::Relaxed);
        self.calls_in.store(OPEN, Ordering::Relaxed);
    }

    /// The mark, 0 after [`Self::open`].
    #[inline(always)]
    pub fn mark(&self) -> u64 {
        self.calls_out.load(Ordering::Relaxed) >> MARK_SHIFT
    }

    /// Changes the mark `from` to `to`, of which 24 bits are kept. False where the mark is another by now: of
    /// several threads that change it at once, one does.
    pub fn change_mark(&self, from: u64, to: u64) -> bool {
        let changed =
            |calls: u64| (calls >> MARK_SHIFT == from).then_some(calls & COUNTED | to << MARK_SHIFT);
        self.calls_out.fetch_update(Ordering::Relaxed, Ordering::Relaxed, changed).is_ok()
    }

    /// Takes the counters out and starts over: the descriptor is closed.
    #[inline(always)]
    pub fn close(&self) -> FdState {
        let take = |word: &AtomicU64| {
            // A plain load and store: a locked exchange each would double the price of a close, and a call
            // that counts on a descriptor while another thread closes it may be counted on either side.
            let value = word.load(Ordering::Relaxed);
            if value != 0 {
                word.store(0, Ordering::Relaxed);
            }
            value
        };
        let (bytes_in, bytes_out) = (take(&self.bytes_in), take(&self.bytes_out));
        Self::state(bytes_in, bytes_out, take(&self.calls_in), take(&self.calls_out))
    }

    /// The counters as they are.
    pub fn look(&self) -> FdState {
        let get = |word: &AtomicU64| word.load(Ordering::Relaxed);
        Self::state(get(&self.bytes_in), get(&self.bytes_out), get(&self.calls_in), get(&self.calls_out))
    }

    fn state(bytes_in: u64, bytes_out: u64, calls_in: u64, calls_out: u64) -> FdState {
        let counters =
            Counters { bytes_in, bytes_out, calls_in: calls_in & !OPEN, calls_out: calls_out & COUNTED };
        FdState { counters, is_open: calls_in & OPEN != 0 }
    }
}

/// Whether this process has unmapped the parts of its ring behind the data.
static IS_CUT: AtomicBool = AtomicBool::new(false);

/// A mapped ring, in either process.
#[derive(Clone, Copy, Debug)]
pub struct Mapped {
    base: NonNull<u8>,
    data_len: u64,
}

// SAFETY: everything behind the pointer is an atomic, or data that the ring's protocol hands over.
unsafe impl Send for Mapped {}
// SAFETY: as above.
unsafe impl Sync for Mapped {}

impl Mapped {
    /// The number of slots in front of the data.
    pub const FRONT_SLOTS: usize = FIRST_SLOTS;

    /// Describes a mapping.
    ///
    /// # Safety
    /// `base` is page-aligned and the start of a readable and writable mapping of `file_len(data_len)` bytes
    /// that cannot shrink (F_SEAL_SHRINK) and lives as long as any copy of the value is used. `data_len` is a
    /// power of two, at least [`MIN_DATA_LEN`].
    pub unsafe fn new(base: NonNull<u8>, data_len: u64) -> Self {
        Self { base, data_len }
    }

    /// Start of the mapping.
    pub fn base(&self) -> NonNull<u8> {
        self.base
    }

    fn header(&self) -> &Header {
        // SAFETY: the mapping begins with the header, is page-aligned (`new`), and the header is all atomics.
        unsafe { self.base.cast::<Header>().as_ref() }
    }

    /// Writes the header of a fresh mapping.
    pub fn format(&self) {
        self.header().version.store(u64::from(crate::VERSION), Ordering::Relaxed);
        self.header().magic.store(MAGIC, Ordering::Relaxed);
    }

    /// Whether the header says that a sensor of this version made the mapping.
    pub fn is_formatted(&self) -> bool {
        self.header().magic.load(Ordering::Relaxed) == MAGIC
            && self.header().version.load(Ordering::Relaxed) == u64::from(crate::VERSION)
    }

    /// Offset in the file of the place `behind` bytes after the data's end.
    #[inline(always)]
    fn behind(&self, behind: usize) -> usize {
        DATA_AT + self.data_len as usize + behind
    }

    /// The parts behind the data, by their offset and their length. A process that has no room for them may
    /// unmap them, once it has called [`Self::cut`].
    pub fn rear(&self) -> (usize, usize) {
        (self.behind(0), END_BEHIND)
    }

    /// Uses the parts behind the data no more in this process and its forked children: the descriptors from
    /// 64 on are not counted for, and slots from [`Self::slots`] on are not taken. No slot behind may be
    /// held.
    pub fn cut() {
        IS_CUT.store(true, Ordering::Relaxed);
    }

    /// Bytes of the mapping, as far as this process has it.
    pub fn mapped_len(&self) -> usize {
        self.behind(if IS_CUT.load(Ordering::Relaxed) { 0 } else { END_BEHIND })
    }

    /// The number of slots that this process can use.
    pub fn slots() -> usize {
        if IS_CUT.load(Ordering::Relaxed) { FIRST_SLOTS } else { SLOTS }
    }

    /// The slot `index`, which is below [`Self::slots`].
    #[inline(always)]
    pub fn slot(&self, index: u8) -> &Slot {
        let index = usize::from(index);
        let at = if index < FIRST_SLOTS { SLOTS_AT } else { self.behind(SLOTS_BEHIND) } + index * SLOT_LEN;
        // SAFETY: a slot's place, within the mapping and a multiple of its alignment; a slot is all atomics.
        unsafe { self.base.add(at).cast::<Slot>().as_ref() }
    }

    /// Descriptors that slot `index` can count for.
    pub fn fd_capacity(index: u8) -> usize {
        if index == 0 { OWNER_FDS } else { CHILD_FDS }
    }

    /// The counters of descriptor `fd` of slot `index`; `None` above the slot's table.
    #[inline(always)]
    pub fn fd(&self, index: u8, fd: i32) -> Option<&FdCounters> {
        let fd = usize::try_from(fd).ok().filter(|fd| *fd < Self::fd_capacity(index))?;
        let size = size_of::<FdCounters>();
        let at = if index == 0 && fd < LOW_FDS {
            LOW_FDS_AT + fd * size
        } else {
            if IS_CUT.load(Ordering::Relaxed) {
                return None;
            }
            let first = match usize::from(index) {
                0 => 0,
                child => OWNER_FDS + (child - 1) * CHILD_FDS,
            };
            self.behind(FDS_BEHIND + (first + fd) * size)
        };
        // SAFETY: an entry's place, within the mapping and a multiple of its alignment; it is all atomics.
        Some(unsafe { self.base.add(at).cast::<FdCounters>().as_ref() })
    }

    /// Offset and length in the file of the descriptor counters of slot `index`, one of 1 to 255, for giving
    /// their pages back.
    pub fn fd_range(&self, index: u8) -> (u64, u64) {
        let size = size_of::<FdCounters>();
        let child = usize::from(index).max(1) - 1;
        let at = self.behind(FDS_BEHIND + (OWNER_FDS + child * CHILD_FDS) * size);
        (at as u64, (CHILD_FDS * size) as u64)
    }
}

#[cfg(not(loom))]
impl Memory for Mapped {
    #[inline(always)]
    fn data_len(&self) -> u64 {
        self.data_len
    }

    #[inline(always)]
    fn tail(&self) -> &AtomicU64 {
        &self.header().tail.0
    }

    #[inline(always)]
    fn head(&self) -> &AtomicU64 {
        &self.header().head.0
    }

    #[inline(always)]
    fn bell(&self) -> &AtomicU32 {
        &self.header().bell.0
    }

    #[inline(always)]
    fn state(&self, offset: u64) -> &AtomicU64 {
        let offset = (offset & (self.data_len - 1) & !7) as usize;
        // SAFETY: the offset is below `data_len` and a multiple of 8; the data lies within the mapping
        // (`new`).
        unsafe { self.base.add(DATA_AT + offset).cast::<AtomicU64>().as_ref() }
    }

    #[inline(always)]
    unsafe fn write(&self, offset: u64, bytes: &[u8]) {
        // SAFETY: the caller promises that the range lies within the data, which lies within the mapping, and
        // that no other writer has it.
        unsafe {
            let place = self.base.as_ptr().add(DATA_AT + offset as usize);
            core::ptr::copy_nonoverlapping(bytes.as_ptr(), place, bytes.len());
        }
    }

    #[inline(always)]
    unsafe fn read(&self, offset: u64, into: &mut [u8]) {
        // SAFETY: the caller promises that the range lies within the data. Another process may be writing:
        // the bytes are plain data to us, checked after the copy, and never borrowed in place.
        unsafe {
            let place = self.base.as_ptr().add(DATA_AT + offset as usize);
            core::ptr::copy_nonoverlapping(place, into.as_mut_ptr(), into.len());
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_cleared_slot_holds_its_process_and_nothing_else() {
        const WORDS: usize = offset_of!(Slot, born_utc_ns) / 8 + 1;
        let memory = Line([const { AtomicU64::new(u64::MAX) }; SLOT_LEN / 8]);
        // SAFETY: as long as a slot and aligned as one, and any words are valid atomics.
        let slot = unsafe { &*(&raw const memory).cast::<Slot>() };

        slot.clear();

        // SAFETY: the words of the slot, which are all numbers.
        let words = unsafe { (&raw const *slot).cast::<[u64; WORDS]>().read() };
        assert_eq!(u64::from(u32::MAX), words[0]);
        assert_eq!([0; WORDS - 1], words[1..]);
    }

    #[test]
    fn mark_is_changed_by_one_of_several_threads_and_counts_stay() {
        const STEPS: u64 = 1000;
        // SAFETY: four numbers.
        let counters: FdCounters = unsafe { core::mem::zeroed() };
        let changing = || {
            (0..STEPS)
                .filter(|step| {
                    counters.outgoing().1.fetch_add(1, Ordering::Relaxed);
                    counters.change_mark(*step, step + 1)
                })
                .count() as u64
        };

        let changed: u64 = std::thread::scope(|scope| {
            let threads = [scope.spawn(changing), scope.spawn(changing)];
            threads.map(|thread| thread.join().unwrap()).iter().sum()
        });

        assert_eq!((STEPS, STEPS), (changed, counters.mark()));
        assert_eq!(2 * STEPS, counters.look().counters.calls_out);
    }
}
