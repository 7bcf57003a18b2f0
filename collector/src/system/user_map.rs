//! The users of another user namespace: their numbers there and here (user_namespaces(7)).
//!
//! The kernel shows the map of a process's namespace in the numbers of the namespace that the reader is in,
//! so one look translates from there to here, and back. A user without a number in a namespace is shown there
//! as the overflow user.

use std::fs::{self, File};
use std::io::Read;
use std::sync::{Arc, OnceLock};

use crate::allowance::{Account, Resource, Share};

/// Lines that a map has at most.
const MOST_LINES: usize = 340;
/// Bytes of a line: three numbers of ten digits, a blank before two of them, and the line's end.
const LINE_BYTES: usize = 33;
/// The first number of a row of users that have no number here.
const UNSEEN: u32 = u32::MAX;

/// A row of users with numbers there and here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    inside: u32,
    here: u32,
    count: u32,
}

impl Row {
    fn has_inside(&self, number: u32) -> bool {
        number.checked_sub(self.inside).is_some_and(|place| place < self.count)
    }

    fn has_here(&self, number: u32) -> bool {
        number.checked_sub(self.here).is_some_and(|place| place < self.count)
    }
}

/// The users of a user namespace. One without rows has not been given any yet.
#[derive(Clone, Debug)]
pub struct UserMap(Arc<Rows>);

#[derive(Debug)]
struct Rows {
    all: Box<[Row]>,
    /// Their bytes.
    _share: Share,
}

impl UserMap {
    /// That of the namespace that the process `pid` is in; `None` where it cannot be read, and where
    /// `account` has no room for it.
    pub fn of(pid: u32, account: &Arc<Account>) -> Option<Self> {
        Self::read(&pid.to_string(), account)
    }

    /// One of this text.
    #[cfg(test)]
    pub fn made_of(text: &str) -> Self {
        Self(Arc::new(Rows { all: parse(text).unwrap(), _share: Share::default() }))
    }

    /// That of this process's own.
    fn own() -> Option<&'static Self> {
        static OWN: OnceLock<Option<UserMap>> = OnceLock::new();
        OWN.get_or_init(|| Self::read("self", &Account::boundless())).as_ref()
    }

    fn read(process: &str, account: &Arc<Account>) -> Option<Self> {
        const MOST: usize = MOST_LINES * LINE_BYTES;
        let mut text = String::new();
        let file = File::open(format!("/proc/{process}/uid_map")).ok()?;
        file.take(MOST as u64 + 1).read_to_string(&mut text).ok()?;
        let rows = if text.len() <= MOST { parse(&text)? } else { return None };
        let mut share = account.share(Resource::Bytes);
        share.grow(size_of_val(&*rows)).then(|| Self(Arc::new(Rows { all: rows, _share: share })))
    }

    /// Whether no user has a number there: the map is written once, some time after the namespace was made.
    pub fn is_empty(&self) -> bool {
        self.0.all.is_empty()
    }

    /// The number there of the user `here`; the overflow user's for one that has none. `None` where that
    /// cannot be known, because the user, or some users of that namespace, have no number here.
    pub fn inside(&self, here: u32) -> Option<u32> {
        self.inside_of(Self::own()?, here, overflow())
    }

    fn inside_of(&self, own: &Self, here: u32, overflow: u32) -> Option<u32> {
        let is_anybody = here == overflow && !own.has_everybody();
        if is_anybody || !own.0.all.iter().any(|row| row.has_inside(here)) {
            return None;
        }
        if let Some(row) = self.0.all.iter().find(|row| row.has_here(here) && own.shows_whole(row)) {
            return Some(row.inside + (here - row.here));
        }
        self.0.all.iter().all(|row| own.shows_whole(row)).then_some(overflow)
    }

    /// The number here of the user `inside`; `None` where that has none, or it cannot be known.
    pub fn here(&self, inside: u32) -> Option<u32> {
        self.here_of(Self::own()?, inside)
    }

    fn here_of(&self, own: &Self, inside: u32) -> Option<u32> {
        let row = self.0.all.iter().find(|row| row.has_inside(inside) && own.shows_whole(row))?;
        Some(row.here + (inside - row.inside))
    }

    /// Whether each user has a number.
    fn has_everybody(&self) -> bool {
        *self.0.all == [Row { inside: 0, here: 0, count: u32::MAX }]
    }

    /// Whether the row of another namespace is one row in this one. The kernel shows the number of its first
    /// user alone: others may have numbers elsewhere, or none.
    fn shows_whole(&self, Row { here, count, .. }: &Row) -> bool {
        let last = here.saturating_add(*count - 1);
        *here != UNSEEN && self.0.all.iter().any(|own| own.has_inside(*here) && own.has_inside(last))
    }
}

/// The rows of a map; `None` for a text that no kernel writes.
fn parse(text: &str) -> Option<Box<[Row]>> {
    let row = |line: &str| {
        let mut numbers = line.split_ascii_whitespace().map(|number| number.parse::<u32>().ok());
        let row = Row { inside: numbers.next()??, here: numbers.next()??, count: numbers.next()?? };
        row.inside.checked_add(row.count)?;
        (row.count > 0 && numbers.next().is_none()).then_some(row)
    };
    let rows: Option<Box<[Row]>> = text.lines().map(row).collect();
    rows.filter(|rows| rows.len() <= MOST_LINES)
}

/// The number by which a namespace shows users that have none there (proc_sys_kernel(5)).
fn overflow() -> u32 {
    static OVERFLOW: OnceLock<u32> = OnceLock::new();
    let read = || fs::read_to_string("/proc/sys/kernel/overflowuid").ok()?.trim().parse().ok();
    *OVERFLOW.get_or_init(|| read().unwrap_or(65534))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allowance::{Allowances, Peer};

    const EVERYBODY: &str = "         0          0 4294967295\n";

    #[test]
    fn map_is_read_from_the_kernels_text_alone() {
        let wrong = ["0 0", "0 0 0", "0 0 1 2", "0 -1 1", "a 0 1", "0 0 4294967296", "2 0 4294967295", "\n"];
        let most = "1 1 1\n".repeat(MOST_LINES);

        for text in wrong {
            assert_eq!(None, parse(text), "{text:?}");
        }
        assert_eq!(Some(MOST_LINES), parse(&most).map(|rows| rows.len()));
        assert_eq!(None, parse(&(most + "1 1 1\n")));
        assert!(UserMap::made_of("").is_empty() && !UserMap::made_of(EVERYBODY).is_empty());
    }

    #[test]
    fn user_has_its_number_there_and_others_are_the_overflow_user() {
        let own = UserMap::made_of(EVERYBODY);
        let inside = |text: &str, here| UserMap::made_of(text).inside_of(&own, here, 65534);

        assert_eq!(Some(0), inside("0 1000 1", 1000));
        assert_eq!(Some(65534), inside("0 1000 1", 1001));
        assert_eq!(Some(65534), inside("", 0));
        assert_eq!(Some(999), inside("0 1000 1\n1 100000 65536", 100_998));
        assert_eq!(Some(65534), inside("0 100000 65536", 165_536));
        assert_eq!(Some(65534), inside("65534 100000 1", 100_000));
        assert_eq!(Some(0), inside("0 65534 1", 65534));
        assert_eq!(Some(4_294_967_294), inside(EVERYBODY, 4_294_967_294));
    }

    #[test]
    fn user_inside_has_a_number_here_where_the_map_says_so() {
        let own = UserMap::made_of(EVERYBODY);
        let here = |text: &str, inside| UserMap::made_of(text).here_of(&own, inside);

        assert_eq!(Some(100_998), here("0 1000 1\n1 100000 65536", 999));
        assert_eq!([None; 2], [here("0 1000 1", 1), here("", 65534)]);
    }

    #[test]
    fn collector_in_a_user_namespace_says_nothing_of_users_without_a_number_there() {
        let own = UserMap::made_of("0 100000 1000\n1000 300000 1000\n65534 400000 1");
        let inside = |text: &str, here| UserMap::made_of(text).inside_of(&own, here, 65534);

        // A child of the collector's namespace.
        assert_eq!(Some(5), inside("0 10 20", 15));
        assert_eq!(Some(65534), inside("0 10 20", 9));
        // Of the first namespace, or a neighbour's, whose rows it sees in part.
        assert_eq!(None, inside("0 4294967295 4294967295", 15));
        assert_eq!(None, inside("0 500 1000", 700));
        // Its own overflow user is anybody.
        assert_eq!(None, inside("0 65534 1", 65534));
        // It has no such user.
        assert_eq!(None, inside("0 10 20", 5000));
        assert_eq!(None, UserMap::made_of("0 500 1000").here_of(&own, 700));
    }

    #[test]
    fn own_map_is_read_where_there_is_room_for_it() {
        let account = Allowances::default().account(Peer::default());
        let pid = std::process::id();

        let own = UserMap::of(pid, &account).unwrap();
        let held = own.0._share.held();
        let missing = UserMap::of(u32::MAX, &account);
        let mut rest = account.share(Resource::Bytes);
        while rest.grow(1024) {}

        assert_eq!((UserMap::own().unwrap().0.all.len() * size_of::<Row>(), true), (held, missing.is_none()));
        assert!(UserMap::of(pid, &account).is_none());
    }
}
