//! The io_urings of a process: where the program mapped their requests. Plain words, which any thread may
//! read and set; `uring` reads the requests.

use core::ffi::c_int;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicUsize, Ordering};

/// Queues that are known at a time.
const QUEUES: usize = 8;
/// IORING_SETUP_SQE128: a request takes 128 bytes in place of 64.
pub const WIDE: u32 = 1 << 10;
/// The offset of mmap(2) at which the requests lie; the queue's head and tail lie at 0.
const REQUESTS: i64 = 0x1000_0000;

static ARE_THERE: AtomicBool = AtomicBool::new(false);

/// In place of a descriptor that was closed.
const CLOSED: c_int = -1;
/// In its place while the queue is noted.
pub const TAKEN: c_int = -2;

/// A queue of requests.
pub struct Queue {
    /// The descriptor and one; [`CLOSED`] for one that was closed, and 0 for no queue.
    pub fd: AtomicI32,
    /// The process that made it: a child may not have it in its memory (madvise(2), `MADV_DONTFORK`).
    pub owner: AtomicU32,
    pub flags: AtomicU32,
    /// The number of requests that it has room for, a power of two.
    pub entries: AtomicU32,
    /// The offsets of the tail and of the array within the ring.
    pub tail: AtomicU32,
    pub array: AtomicU32,
    /// Addresses; 0 until they are mapped.
    pub ring: AtomicUsize,
    pub requests: AtomicUsize,
    /// The tail up to which requests were read.
    pub seen: AtomicU32,
}

pub static KNOWN: [Queue; QUEUES] = [const {
    Queue {
        fd: AtomicI32::new(0),
        owner: AtomicU32::new(0),
        flags: AtomicU32::new(0),
        entries: AtomicU32::new(0),
        tail: AtomicU32::new(0),
        array: AtomicU32::new(0),
        ring: AtomicUsize::new(0),
        requests: AtomicUsize::new(0),
        seen: AtomicU32::new(0),
    }
}; QUEUES];

/// Whether a queue is known.
#[inline(always)]
pub fn are_there() -> bool {
    ARE_THERE.load(Ordering::Relaxed)
}

/// A queue was made: `parameters` is what io_uring_setup(2) filled in, up to the offset of the array.
pub fn begin(owner: u32, fd: c_int, parameters: [u32; 17]) {
    let fd = fd + 1;
    // Two threads may make queues at once: each takes a place of its own, which no call uses meanwhile.
    let take = |queue: &&Queue| {
        [fd, 0]
            .into_iter()
            .any(|free| queue.fd.compare_exchange(free, TAKEN, Ordering::Relaxed, Ordering::Relaxed).is_ok())
    };
    let Some(queue) = KNOWN.iter().find(take) else { return };
    // The words before the offsets of the queue, and those up to that of the array.
    let [entries, _, flags, _, _, _, _, _, _, _, _, tail, _, _, _, _, array] = parameters;
    queue.ring.store(0, Ordering::Relaxed);
    queue.requests.store(0, Ordering::Relaxed);
    queue.owner.store(owner, Ordering::Relaxed);
    queue.flags.store(flags, Ordering::Relaxed);
    queue.entries.store(entries, Ordering::Relaxed);
    queue.tail.store(tail, Ordering::Relaxed);
    queue.array.store(array, Ordering::Relaxed);
    queue.seen.store(0, Ordering::Relaxed);
    queue.fd.store(fd, Ordering::Relaxed);
    ARE_THERE.store(true, Ordering::Relaxed);
}

impl Queue {
    /// The bytes of the ring and of the requests that are read.
    fn lengths(&self) -> [usize; 2] {
        let [entries, tail, array] =
            [&self.entries, &self.tail, &self.array].map(|word| word.load(Ordering::Relaxed) as usize);
        let ring = (array + entries * size_of::<u32>()).max(tail + size_of::<u32>());
        [ring, entries << if self.flags.load(Ordering::Relaxed) & WIDE == 0 { 6 } else { 7 }]
    }
}

/// mmap(2) of a descriptor: a part of a queue, where it is one's and can be read whole.
#[cold]
#[inline(never)]
pub fn mapped(fd: c_int, offset: i64, address: usize, len: usize, prot: c_int) {
    let Some(queue) = of(fd).filter(|_| prot & libc::PROT_READ != 0) else { return };
    let [ring, requests] = queue.lengths();
    match offset {
        0 if len >= ring => queue.ring.store(address, Ordering::Relaxed),
        REQUESTS if len >= requests => queue.requests.store(address, Ordering::Relaxed),
        _ => {}
    }
}

/// The range is about to be unmapped or replaced.
#[cold]
#[inline(never)]
pub fn let_go(start: usize, len: usize) {
    let end = start.saturating_add(len);
    for queue in &KNOWN {
        for (place, len) in [&queue.ring, &queue.requests].into_iter().zip(queue.lengths()) {
            let first = place.load(Ordering::Relaxed);
            if first != 0 && first < end && start < first.saturating_add(len) {
                place.store(0, Ordering::Relaxed);
            }
        }
        let is_mapped =
            queue.ring.load(Ordering::Relaxed) != 0 && queue.requests.load(Ordering::Relaxed) != 0;
        if !is_mapped && queue.fd.load(Ordering::Relaxed) == CLOSED {
            queue.fd.store(0, Ordering::Relaxed);
        }
    }
}

/// A descriptor is about to be closed. The queue stays in use where it is mapped: the kernel may know it by a
/// number of its own (`IORING_REGISTER_RING_FDS`).
#[cold]
#[inline(never)]
pub fn closing(fd: c_int) {
    if let Some(queue) = of(fd) {
        let is_mapped = queue.ring.load(Ordering::Relaxed) != 0;
        queue.fd.store(if is_mapped { CLOSED } else { 0 }, Ordering::Relaxed);
    }
}

fn of(fd: c_int) -> Option<&'static Queue> {
    KNOWN.iter().find(|queue| fd >= 0 && queue.fd.load(Ordering::Relaxed) == fd + 1)
}
