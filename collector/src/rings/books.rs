//! The books of a process: the counts, losses, costs and descriptors in its slot, copied out at one moment.
//!
//! The next fork child wants the slot. So once every record of an ended image has been read, the collector
//! copies its books and frees the slot, however long the image's events still wait for their turn.

use std::sync::atomic::{AtomicU64, Ordering};

use wire::events::{Counters, Usage};
use wire::ring::layout::{Cost, FdState, Loss, Mapped};

use super::mapping::Mapping;

/// A copy of a slot. The numbers are what a program, perhaps a hostile one, wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Books {
    /// Numbers that were given to records.
    pub seq: u64,
    /// Records lost, by cause.
    pub lost: [u64; Loss::ALL.len()],
    /// Calls that counted only and failed, or whose descriptor is closed.
    pub counted_calls: u64,
    /// Nanoseconds that the sensor took to start.
    pub start_ns: u64,
    /// Nanoseconds of the sampled calls that wrote a record, and their number.
    pub record_cost: (u64, u64),
    /// The same of calls that only counted.
    pub count_cost: (u64, u64),
    /// The exit status + 1 that the process announced; 0 if it did not.
    pub exit_status: u32,
    /// The resources that the process said it used, when it ended by itself.
    pub usage: Option<Usage>,
    /// Descriptors that were open or counted on, in order.
    fds: Vec<(i32, FdState)>,
    /// How many descriptors the slot could count for.
    pub fd_capacity: i32,
}

/// The smallest page that any kernel has.
const PAGE: usize = 4096;
/// Pages of a table of descriptors that stay in the page tables after a look.
const MOST_PAGES: usize = 32;

fn load(word: &AtomicU64) -> u64 {
    // Relaxed: the process has ended, or the number is a statistic.
    word.load(Ordering::Relaxed)
}

fn cost(cost: &Cost) -> (u64, u64) {
    (load(&cost.ns), load(&cost.samples))
}

/// The losses that a slot counts.
pub fn losses(ring: Mapped, slot: u8) -> [u64; Loss::ALL.len()] {
    Loss::ALL.map(|cause| ring.slot(slot).lost.get(cause as usize).map_or(0, load))
}

impl Books {
    /// Copies slot `slot` of the ring in `mapping`.
    pub fn of(mapping: &Mapping, slot: u8) -> Self {
        let ring = mapping.mapped();
        let mut books = Self::without_descriptors_of(mapping, slot);
        books.fd_capacity = Mapped::fd_capacity(slot) as i32;
        let high = ring.slot(slot).fd_high.load(Ordering::Relaxed);
        let high = i32::try_from(high).unwrap_or(i32::MAX).min(books.fd_capacity);
        // The highest descriptor is the process's word. A page that nothing was counted in is not there, and
        // a look would make it.
        let (mut looked_at, mut is_there, mut pages) = (0, false, 0);
        for fd in 0..high {
            let Some(counters) = ring.fd(slot, fd) else { break };
            let page = std::ptr::from_ref(counters).addr() / PAGE;
            if page != looked_at {
                (looked_at, is_there) = (page, mapping.has_page(counters));
                pages += usize::from(is_there);
            }
            if is_there {
                let state = counters.look();
                if state.is_of_interest() {
                    books.fds.push((fd, state));
                }
            }
        }
        if pages > MOST_PAGES {
            mapping.let_go_of_descriptors(slot);
        }
        books
    }

    /// The same without what it says of descriptors.
    pub fn without_descriptors_of(mapping: &Mapping, slot: u8) -> Self {
        let ring = mapping.mapped();
        let words = ring.slot(slot);
        let usage = Usage {
            user_ns: load(&words.user_ns),
            system_ns: load(&words.system_ns),
            max_rss: load(&words.max_rss),
        };
        Self {
            seq: load(&words.seq),
            lost: losses(ring, slot),
            counted_calls: load(&words.failed_counts).saturating_add(load(&words.closed_calls)),
            start_ns: load(&words.start_ns),
            record_cost: cost(&words.record_cost),
            count_cost: cost(&words.count_cost),
            exit_status: words.exit_status.load(Ordering::Relaxed),
            usage: (usage != Usage::default()).then_some(usage),
            fds: Vec::new(),
            fd_capacity: 0,
        }
    }

    /// The same without what it says of descriptors.
    pub fn without_descriptors(self) -> Self {
        Self { fds: Vec::new(), fd_capacity: 0, ..self }
    }

    /// The memory that its descriptors take.
    pub fn size_bytes(&self) -> usize {
        self.fds.len() * size_of::<(i32, FdState)>()
    }

    /// Descriptors that were open or counted on, in order.
    pub fn descriptors(&self) -> &[(i32, FdState)] {
        &self.fds
    }

    /// The traffic through `fd`.
    pub fn counters(&self, fd: i32) -> Counters {
        let place = self.fds.binary_search_by_key(&fd, |(fd, _)| *fd);
        place.ok().and_then(|place| self.fds.get(place)).map(|(_, state)| state.counters).unwrap_or_default()
    }

    /// Calls that only counted.
    pub fn counts(&self) -> u64 {
        self.fds.iter().fold(self.counted_calls, |sum, (_, state)| {
            sum.saturating_add(state.counters.calls_in).saturating_add(state.counters.calls_out)
        })
    }
}
