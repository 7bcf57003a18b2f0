//! What only looks a file up: stat, access, readlink. Asked about on request alone.

use wire::events::{FileAccess, FileReadlink, FileStat};
use wire::fields::{AccessMode, AtFlags};

use super::case::{Case, Place, Told};

fn stat_of(case: &mut Case<'_>, place: &Place, flags: Option<i32>) -> Option<Told> {
    let flags = flags.map(|flags| AtFlags(flags.cast_unsigned()));
    case.tell(&FileStat { path: place.path(), flags })
}

pub fn stat(case: &mut Case<'_>) -> Option<Told> {
    let place = case.here(0);
    stat_of(case, &place, None)
}

pub fn lstat(case: &mut Case<'_>) -> Option<Told> {
    let place = case.here(0);
    stat_of(case, &place, Some(libc::AT_SYMLINK_NOFOLLOW))
}

/// libc makes fstat(3) of a descriptor by this call with an empty path; that looks no file up.
pub fn stat_at(case: &mut Case<'_>, flags: usize) -> Option<Told> {
    let flags = case.int(flags);
    let place = case.at(case.int(0), 1);
    let is_descriptors = flags & libc::AT_EMPTY_PATH != 0 && place.raw.as_ref().is_none_or(Vec::is_empty);
    if is_descriptors { None } else { stat_of(case, &place, Some(flags)) }
}

pub fn access(case: &mut Case<'_>) -> Option<Told> {
    let place = case.here(0);
    case.tell(&FileAccess { path: place.path(), mode: AccessMode(case.int(1)), flags: None })
}

/// faccessat(2) of the kernel has no flags; libc knows those of faccessat(3) by other means.
pub fn access_at(case: &mut Case<'_>, flags: Option<usize>) -> Option<Told> {
    let place = case.at(case.int(0), 1);
    let flags = flags.map(|index| AtFlags(case.uint(index)));
    case.tell(&FileAccess { path: place.path(), mode: AccessMode(case.int(2)), flags })
}

/// The link is not read yet.
pub fn readlink(case: &mut Case<'_>) -> Option<Told> {
    let place = case.here(0);
    case.tell(&FileReadlink { path: place.path(), target: None })
}

pub fn readlinkat(case: &mut Case<'_>) -> Option<Told> {
    let place = case.at(case.int(0), 1);
    case.tell(&FileReadlink { path: place.path(), target: None })
}
