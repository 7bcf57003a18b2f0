//! Files that were put aside: they stand beside their path, with the moment in their name
//! (`events.jsonl.20261130T035019.123Z`), so that their names sort as they came.
//!
//! As in [`super::files`], nothing is followed or touched that another user may have put there: only the very
//! file that is open is renamed, and only regular files of this user's own are deleted.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rules::format::iso8601;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::trusted::{Place, Refused};
use crate::ids::UtcNs;

/// How often another moment is tried where a name is taken.
const TRIES: u64 = 100;
const MILLISECOND_NS: u64 = 1_000_000;

/// Renames the file at `path` where it is the one that is open; false where something else stands there, or
/// nothing. A name that is taken stays.
pub fn put_aside(path: &Path, file: &File, now: UtcNs) -> Result<bool, Refused> {
    let place = Place::of(path)?;
    let own = rustix::fs::fstat(file)?;
    if place.is_magic
        || place.found.as_ref().map(|found| (found.st_dev, found.st_ino)) != Some((own.st_dev, own.st_ino))
    {
        return Ok(false);
    }
    let mut last = Errno::EXIST;
    for later in 0..TRIES {
        let name = name_at(&place.name, UtcNs(now.0.saturating_add(later * MILLISECOND_NS)));
        match rename(&place, &name) {
            Ok(()) => return Ok(true),
            Err(Errno::EXIST) => {}
            Err(errno) => {
                last = errno;
                break;
            }
        }
    }
    Err(last.into())
}

fn rename(place: &Place, name: &OsStr) -> rustix::io::Result<()> {
    let Place { folder, name: before, .. } = place;
    match rustix::fs::renameat_with(folder, before, folder, name, RenameFlags::NOREPLACE) {
        // A file system without that flag (NFS): it is looked before.
        Err(Errno::INVAL | Errno::NOSYS) => {
            match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => rustix::fs::renameat(folder, before, folder, name),
                Err(errno) => Err(errno),
                Ok(_) => Err(Errno::EXIST),
            }
        }
        result => result,
    }
}

/// Deletes the files that were put aside from `path`: all before `before`, and all but the last `keep`.
pub fn clear_away(path: &Path, keep: Option<usize>, before: Option<UtcNs>) -> Result<(), Refused> {
    if keep.is_none() && before.is_none() {
        return Ok(());
    }
    let place = Place::of(path)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::openat(&place.folder, ".", flags, Mode::empty())?;
    let mut names = Vec::new();
    for entry in Dir::new(folder)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if is_name(&place.name, name) && is_own_file(&place, name) {
            names.push(name.to_owned());
        }
    }
    names.sort_unstable();
    let too_many = keep.map_or(0, |keep| names.len().saturating_sub(keep));
    let earliest = before.map(|before| name_at(&place.name, before));
    for (index, name) in names.iter().enumerate() {
        if index < too_many || earliest.as_ref().is_some_and(|earliest| name < earliest) {
            match rustix::fs::unlinkat(&place.folder, name, AtFlags::empty()) {
                // Another program was faster.
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
    Ok(())
}

fn is_own_file(place: &Place, name: &OsStr) -> bool {
    rustix::fs::statat(&place.folder, name, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|found| {
        FileType::from_raw_mode(found.st_mode) == FileType::RegularFile
            && found.st_uid == rustix::process::geteuid().as_raw()
    })
}

/// The name of a file that was put aside at a moment.
fn name_at(of: &OsStr, at: UtcNs) -> OsString {
    let moment: String = iso8601(at.0).chars().filter(|letter| !"-:".contains(*letter)).collect();
    let mut name = of.to_owned();
    // Milliseconds, of nine digits of a second.
    name.push(format!(".{}Z", moment.get(..19).unwrap_or_default()));
    name
}

/// Whether `name` is such a name.
fn is_name(of: &OsStr, name: &OsStr) -> bool {
    const FORM: &[u8] = b".00000000T000000.000Z";
    let is_of_form = |moment: &[u8]| {
        moment.len() == FORM.len()
            && moment.iter().zip(FORM).all(|(byte, form)| match form {
                b'0' => byte.is_ascii_digit(),
                form => byte == form,
            })
    };
    name.as_bytes().strip_prefix(of.as_bytes()).is_some_and(is_of_form)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::sinks::tests::Scratch;

    const AT: UtcNs = UtcNs(1_796_009_397_966_649_733);

    fn names(scratch: &Scratch) -> Vec<String> {
        let entries = fs::read_dir(scratch).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn file_that_is_open_gets_the_moment_as_its_name_and_no_other_file_does() {
        let scratch = Scratch::new("aside");
        let path = scratch.path("x");
        let file = File::create(&path).unwrap();
        fs::write(scratch.path("x.20261130T032957.966Z"), "taken").unwrap();

        let is_aside = put_aside(&path, &file, AT).unwrap();
        fs::write(&path, "another's").unwrap();
        let is_another_aside = put_aside(&path, &file, AT).unwrap();

        assert_eq!((true, false), (is_aside, is_another_aside));
        assert_eq!(
            ["x", "x.20261130T032957.966Z", "x.20261130T032957.967Z"].map(str::to_owned).to_vec(),
            names(&scratch)
        );
        assert_eq!("taken", fs::read_to_string(scratch.path("x.20261130T032957.966Z")).unwrap());
    }

    #[test]
    fn old_ones_and_those_beyond_the_number_go_and_what_has_another_name_stays() {
        let scratch = Scratch::new("clear");
        let day = |day: u64| UtcNs(AT.0 + day * 86_400_000_000_000);
        for index in 0..6 {
            fs::write(scratch.path(name_at(OsStr::new("x"), day(index)).to_str().unwrap()), "").unwrap();
        }
        for other in
            ["x", "x.1", "x.20261130T032957.966Z.gz", "y.20261130T032957.966Z", "x.2026113aT032957.966Z"]
        {
            fs::write(scratch.path(other), "").unwrap();
        }
        std::os::unix::fs::symlink("/etc/passwd", scratch.path("x.20200101T000000.000Z")).unwrap();

        clear_away(&scratch.path("x"), None, Some(day(2))).unwrap();
        let by_age = names(&scratch).len();
        clear_away(&scratch.path("x"), Some(1), None).unwrap();
        let left = names(&scratch);

        assert_eq!(6 + 6 - 2, by_age);
        assert_eq!(7, left.len(), "{left:?}");
        assert!(left.contains(&"x.20261205T032957.966Z".to_owned()), "{left:?}");
    }
}
