//! Descriptors that a call closes: what the kernel knows of each is read before it is gone.

use wire::events::{Counters, FdClosed, FdMade};
use wire::fields::Address;
use wire::ring::MAX_RECORD;

use super::case::{Case, Told};
use crate::notify::places::Ending;

/// In the place of a number of bytes or calls in an [`FdClosed`] of a notified call: not known.
pub const UNKNOWN: u64 = u64::MAX;

/// The event of the last one, behind those of the others and what each is. Those that find no room are
/// counted.
fn ended(case: &mut Case<'_>, first: u32, last: u32) -> Option<Told> {
    let (mut endings, not_looked_at) = case.places.closes(first, last);
    let mut bytes = 0;
    let told = endings.iter().take_while(|ending| {
        bytes += ending.len();
        bytes <= MAX_RECORD
    });
    let told = told.count();
    case.untold += (endings.len() - told) as u64 + not_looked_at;
    endings.truncate(told);
    let final_one = endings.pop()?;
    for ending in &endings {
        note(case, ending);
        case.note(&closed(ending));
    }
    note(case, &final_one);
    case.tell(&closed(&final_one))
}

fn note(case: &mut Case<'_>, ending: &Ending) {
    let Ending { fd, label, local, remote, .. } = ending;
    case.note(&FdMade { fd: *fd, label, cloexec: false, local: Address(local), remote: Address(remote) });
}

fn closed(ending: &Ending) -> FdClosed {
    let Ending { fd, bytes_in, bytes_out, .. } = *ending;
    let [bytes_in, bytes_out] = [bytes_in, bytes_out].map(|bytes| bytes.unwrap_or(UNKNOWN));
    let counters = Counters { bytes_in, bytes_out, calls_in: UNKNOWN, calls_out: UNKNOWN };
    FdClosed { fd, counters: Some(counters) }
}

pub fn close(case: &mut Case<'_>) -> Option<Told> {
    let fd = case.uint(0);
    ended(case, fd, fd)
}

/// With `CLOSE_RANGE_CLOEXEC` it marks a range and closes nothing; it fails for flags that it does not know.
pub fn close_range(case: &mut Case<'_>) -> Option<Told> {
    const CLOSE_RANGE_UNSHARE: u32 = 2;
    let (first, last) = (case.uint(0), case.uint(1));
    if case.uint(2) & !CLOSE_RANGE_UNSHARE != 0 { None } else { ended(case, first, last) }
}

/// What the copy's number was before. The call fails, and closes nothing, where its original is not open, and
/// does nothing where both are the same.
pub fn duplicate(case: &mut Case<'_>) -> Option<Told> {
    let (original, copy) = (case.int(0), case.uint(1));
    if original.cast_unsigned() == copy || case.places.descriptor(original).is_none() {
        return None;
    }
    ended(case, copy, copy)
}

/// All that are open end with the process.
pub fn exit_group(case: &mut Case<'_>) -> Option<Told> {
    ended(case, 0, u32::MAX)
}
