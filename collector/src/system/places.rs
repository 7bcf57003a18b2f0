//! Places in the file system that other users may have had a hand in: whether they can change what lies
//! there, and how a file in their root is opened.

use std::fs::{self, File, Metadata};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::process::geteuid;

use crate::system::files::{self, On};
use crate::system::procfs;

/// Others may write here, and remove nothing that is not theirs (inode(7), the sticky bit).
const STICKY: u32 = 0o1000;
const WRITABLE_FOR_ALL: u32 = 0o002;
const ROOT: u32 = 0;
/// A user that has no number in this user namespace (`/proc/sys/kernel/overflowuid`).
const OVERFLOW: u32 = 65534;

/// Whether nobody but root and this user can put something else in the place of what lies in `folder`. False
/// where that cannot be seen.
pub fn is_firm(folder: &Path) -> bool {
    let Ok(folder) = fs::canonicalize(folder) else { return false };
    // Where users are renamed, the host's root has no number.
    let root = if procfs::numbers_are_users() { ROOT } else { OVERFLOW };
    let owners = [ROOT, root, geteuid().as_raw()];
    folder
        .ancestors()
        .all(|part| fs::metadata(part).is_ok_and(|found| owners.contains(&found.uid()) && is_closed(&found)))
}

/// Whether only its owner, and those whom the owner lets by a group, can take things out of a folder.
fn is_closed(folder: &Metadata) -> bool {
    folder.mode() & WRITABLE_FOR_ALL == 0 || folder.mode() & STICKY != 0
}

/// The part of `file`'s path, or the file, that another user than root, this one and `trusted` may change;
/// `None` where there is none.
pub fn changeable(file: &Path, trusted: u32) -> Option<PathBuf> {
    let file = fs::canonicalize(file).ok()?;
    let may_change = |part: &Path| {
        let Ok(found) = fs::metadata(part) else { return true };
        let is_open = match found.is_dir() {
            true => !is_closed(&found),
            false => found.mode() & WRITABLE_FOR_ALL != 0,
        };
        is_open || ![ROOT, geteuid().as_raw(), trusted].contains(&found.uid())
    };
    file.ancestors().find(|part| may_change(part)).map(Path::to_path_buf)
}

/// Whether every user may reach and read a file.
pub fn is_for_all(file: &Path) -> bool {
    let Ok(file) = fs::canonicalize(file) else { return false };
    let wanted = |found: &Metadata| if found.is_dir() { 0o001 } else { 0o004 };
    file.ancestors().all(|part| fs::metadata(part).is_ok_and(|found| found.mode() & wanted(&found) != 0))
}

/// Finds a file of another root: an image's, a process's. Its links are resolved inside that root, so that no
/// file of the host is found. Nothing is opened: the descriptor is one of O_PATH.
pub fn find_inside(root: &Path, path: &Path) -> rustix::io::Result<OwnedFd> {
    let (flags, mode) = (OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    let root = rustix::fs::open(root, flags | OFlags::DIRECTORY, mode)?;
    openat2(root, path, flags, mode, ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS)
}

/// Opens what [`find_inside`] finds, if that is a regular file.
pub fn open_inside(root: &Path, path: &Path) -> Option<File> {
    files::open_found(&find_inside(root, path).ok()?, On::Any).ok()
}

/// Reads a file whole, unless it is longer than `most` bytes.
pub fn read_whole(file: File, most: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1)).read_to_end(&mut bytes).ok()?;
    (bytes.len() as u64 <= most).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("glassbox-test-{}-places-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn a_folder_that_others_may_write_to_is_not_firm_unless_sticky() {
        let dir = folder("firm");
        let inner = dir.join("inner");
        fs::create_dir(&inner).unwrap();
        let firm = |mode| {
            fs::set_permissions(&dir, Permissions::from_mode(mode)).unwrap();
            (is_firm(&inner), changeable(&inner, ROOT).is_none())
        };

        assert_eq!([(true, true), (false, false), (true, true)], [0o755, 0o777, 0o1777].map(firm));
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_file_is_for_all_where_each_folder_lets_all_through() {
        let dir = folder("for-all");
        let file = dir.join("file");
        fs::write(&file, "").unwrap();
        let of = |of_folder, of_file| {
            fs::set_permissions(&dir, Permissions::from_mode(of_folder)).unwrap();
            fs::set_permissions(&file, Permissions::from_mode(of_file)).unwrap();
            is_for_all(&file)
        };

        assert_eq!(
            [true, false, false],
            [(0o711, 0o644), (0o700, 0o644), (0o755, 0o640)].map(|(a, b)| of(a, b))
        );
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn what_is_no_plain_file_in_a_root_is_not_opened() {
        let dir = folder("inside");
        fs::write(dir.join("plain"), "text").unwrap();
        symlink("/plain", dir.join("link")).unwrap();
        symlink("/etc/passwd", dir.join("out")).unwrap();
        let fifo = Mode::RUSR | Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, dir.join("fifo"), rustix::fs::FileType::Fifo, fifo, 0).unwrap();
        let text = |name: &str| open_inside(&dir, Path::new(name)).and_then(|file| read_whole(file, 4));

        assert_eq!([Some(b"text".to_vec()), Some(b"text".to_vec())], ["/plain", "link"].map(text));
        assert_eq!([None, None, None], ["out", "fifo", "."].map(text));
        assert_eq!(None, open_inside(&dir, Path::new("plain")).and_then(|file| read_whole(file, 3)));
        fs::remove_dir_all(dir).unwrap();
    }
}
