//! The functions that threads of a process with hooks are in: which of the calls that libc makes a hook
//! tells of (ADR 47).
//!
//! A thread's marks come in the order of their times, and a mark is in the ring before the calls that follow
//! it. Those of different threads do not: so a call is compared with the marks by its time, and not by its
//! place among the records.

use std::collections::VecDeque;
use std::sync::LazyLock;

use rustc_hash::{FxHashMap, FxHashSet};
use wire::events::Kind;

use crate::ids::{MonoNs, Tid};

/// Marks that are kept at once; of a process that makes more, no call is told.
const MOST_MARKS: usize = 1 << 16;

/// What a process has said of its threads.
#[derive(Debug, Default)]
pub enum Within {
    /// Nothing: its sensor does not tell in which functions it is.
    #[default]
    Unsaid,
    /// Where its threads were.
    Marked(Marks),
    /// A thread spoke that has no number, or there was no room: it cannot be said which calls hooks tell of.
    Unknowable,
}

/// Where threads were, and when.
#[derive(Debug)]
pub struct Marks {
    /// When the first mark was made.
    since: MonoNs,
    /// From when on a thread was in a row's function, or in none (0).
    threads: FxHashMap<Tid, VecDeque<(MonoNs, u32)>>,
    /// How many marks that are.
    count: usize,
}

impl Marks {
    /// Forgets where threads were before `until`, but for where they were then.
    fn forget(&mut self, until: MonoNs) {
        self.threads.retain(|_, marks| {
            while marks.get(1).is_some_and(|(at, _)| *at <= until) {
                marks.pop_front();
            }
            !matches!(marks.make_contiguous(), [(at, 0)] if *at <= until)
        });
        self.count = self.threads.values().map(VecDeque::len).sum();
    }

    /// The row that a thread was in.
    fn row(&self, thread: Tid, at: MonoNs) -> u32 {
        let marks = self.threads.get(&thread).into_iter().flatten();
        marks.rev().find(|(from, _)| *from <= at).map_or(0, |(_, row)| *row)
    }
}

impl Within {
    /// How many marks are kept.
    pub fn len(&self) -> usize {
        match self {
            Self::Marked(marks) => marks.count,
            Self::Unsaid | Self::Unknowable => 0,
        }
    }

    /// Notes that a thread is in a row's function from a time on; in none where `row` is 0. Of calls before
    /// `until` it will not be asked any more.
    pub fn note(&mut self, thread: Tid, at: MonoNs, row: u32, until: MonoNs) {
        /// So many marks are kept without a look at which of them are needed.
        const FEW: usize = 64;
        if let Self::Unsaid = self {
            *self = Self::Marked(Marks { since: at, threads: FxHashMap::default(), count: 0 });
        }
        let Self::Marked(marks) = self else { return };
        if thread.0 == 0 && row != 0 {
            *self = Self::Unknowable;
            return;
        }
        marks.threads.entry(thread).or_default().push_back((at, row));
        marks.count += 1;
        if marks.count % FEW == 0 {
            marks.forget(until);
            if marks.count >= MOST_MARKS {
                *self = Self::Unknowable;
            }
        }
    }

    /// Whether no hook tells of an event of this kind that libc made in this thread.
    pub fn leaves(&self, thread: Tid, at: MonoNs, kind: u16) -> bool {
        let Self::Marked(marks) = self else { return false };
        at >= marks.since && !tells(marks.row(thread, at), kind)
    }
}

/// Whether the row tells of events of this kind. One by a number alone has no list of its events.
fn tells(row: u32, kind: u16) -> bool {
    static TOLD: LazyLock<FxHashSet<(u32, u16)>> = LazyLock::new(|| {
        let kinds = |row: &'static hook_table::Row| {
            row.events.iter().map(|kind: &Kind| (u32::from(row.id), *kind as u16))
        };
        hook_table::rows().flat_map(kinds).collect()
    });
    static UNLISTED: LazyLock<FxHashSet<u32>> = LazyLock::new(|| {
        let is_unlisted = |row: &&hook_table::Row| row.events.is_empty();
        hook_table::rows().filter(is_unlisted).map(|row| u32::from(row.id)).collect()
    });
    TOLD.contains(&(row, kind)) || UNLISTED.contains(&row)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str) -> u32 {
        hook_table::rows().find(|row| row.name == name).unwrap().id.into()
    }

    /// As they were said at these times.
    fn within(marks: &[(u32, u64, u32)]) -> Within {
        let mut within = Within::default();
        for (thread, at, row) in marks {
            within.note(Tid(*thread), MonoNs(*at), *row, MonoNs::ZERO);
        }
        within
    }

    fn leaves(within: &Within, thread: u32, at: u64, kind: Kind) -> bool {
        within.leaves(Tid(thread), MonoNs(at), kind as u16)
    }

    #[test]
    fn a_call_is_left_that_no_function_tells_of_in_which_its_thread_was() {
        let (open, resolve) = (row("fopen"), row("getaddrinfo"));

        let within = within(&[(1, 10, 0), (1, 20, open), (2, 25, resolve), (1, 30, 0)]);

        assert!(!leaves(&within, 1, 9, Kind::FileOpen), "the sensor had not spoken");
        assert!(leaves(&within, 1, 19, Kind::FileOpen) && leaves(&within, 1, 30, Kind::FileOpen));
        assert!(!leaves(&within, 1, 20, Kind::FileOpen) && !leaves(&within, 1, 29, Kind::FileOpen));
        assert!(leaves(&within, 1, 25, Kind::NetConnect));
        assert!(leaves(&within, 2, 25, Kind::FileOpen) && leaves(&within, 3, 25, Kind::FileOpen));
        assert!(!leaves(&Within::Unsaid, 1, 20, Kind::FileOpen));
    }

    #[test]
    fn a_row_by_number_alone_tells_of_all() {
        assert!(!leaves(&within(&[(1, 10, row("openat2"))]), 1, 11, Kind::FileOpen));
    }

    #[test]
    fn marks_are_kept_as_long_as_they_are_needed() {
        let mut within = Within::default();
        for turn in 0..10_000 {
            let at = 10 * turn;
            within.note(Tid(1), MonoNs(at), row("fopen"), MonoNs(at));
            within.note(Tid(1), MonoNs(at + 5), 0, MonoNs(at));
        }
        within.note(Tid(2), MonoNs(7), row("fopen"), MonoNs(99_990));

        assert!(within.len() <= 130, "{}", within.len());
        assert!(!leaves(&within, 1, 99_991, Kind::FileOpen) && leaves(&within, 1, 99_996, Kind::FileOpen));
        assert!(!leaves(&within, 2, 200_000, Kind::FileOpen), "it is still there");
    }

    #[test]
    fn nothing_is_left_of_a_process_whose_threads_have_no_number_or_say_too_much() {
        let nameless = within(&[(1, 1, 0), (0, 2, row("open")), (1, 3, 0)]);
        let crowded = within(&vec![(1, 1, 0); MOST_MARKS]);

        assert!(!leaves(&nameless, 1, 4, Kind::FileOpen) && !leaves(&crowded, 1, 4, Kind::NetBind));
    }
}
