//! Files: opened, made, named and changed.

use wire::events::{
    FileChmod, FileChown, FileHandle, FileLink, FileMkdir, FileMknod, FileOpen, FileRename, FileRmdir,
    FileSymlink, FileTruncate, FileUnlink, FileXattr,
};
use wire::fields::{AT_FDCWD, AtFlags, HandleFlags, OpenFlags, RenameFlags, ResolveFlags, XattrFlags};
use wire::names::RESOLVE_IN_ROOT;

use super::case::{Case, PATH_CAP, Place, Told};

/// XATTR_NAME_MAX.
const ATTRIBUTE_CAP: usize = 255;
/// More than the longest name of a memfd, 249 bytes (memfd_create(2)).
const MEMFD_CAP: usize = 256;

/// `O_LARGEFILE` of the kernel: musl passes it with each open, glibc nowhere, and it means nothing to a
/// kernel of 64 bits (`force_o_largefile` of include/linux/fcntl.h).
#[cfg(target_arch = "aarch64")]
const O_LARGEFILE: i32 = 0o400_000;
#[cfg(not(target_arch = "aarch64"))]
const O_LARGEFILE: i32 = 0o100_000;

/// An open, whose mode is there only where a file may be made. It has no descriptor yet.
fn opened(
    case: &mut Case<'_>,
    place: &Place,
    flags: i32,
    mode: u32,
    resolve: Option<ResolveFlags>,
) -> Option<Told> {
    if let Some(raw) = &place.raw {
        case.places.note_open(raw, flags.cast_unsigned());
    }
    let makes = flags & libc::O_CREAT != 0 || flags & libc::O_TMPFILE == libc::O_TMPFILE;
    let flags = OpenFlags((flags & !O_LARGEFILE).cast_unsigned());
    case.tell(&FileOpen { path: place.path(), fd: None, flags, mode: makes.then_some(mode), resolve })
}

pub fn open(case: &mut Case<'_>) -> Option<Told> {
    let place = case.here(0);
    opened(case, &place, case.int(1), case.uint(2), None)
}

pub fn openat(case: &mut Case<'_>) -> Option<Told> {
    let place = case.at(case.int(0), 1);
    opened(case, &place, case.int(2), case.uint(3), None)
}

/// The first version of `struct open_how` has three words, as on i386.
pub fn openat2(case: &mut Case<'_>) -> Option<Told> {
    let (dir, how) = (case.int(0), case.word(2));
    let place = case.at(dir, 1);
    let how = case.pages.array::<24>(how).unwrap_or([0; 24]);
    let (words, _) = how.as_chunks::<8>();
    let [flags, mode, resolve] =
        [0, 1, 2].map(|index| words.get(index).map_or(0, |word| u64::from_ne_bytes(*word)));
    if resolve & RESOLVE_IN_ROOT != 0 {
        case.note_place(dir);
    }
    opened(case, &place, flags as i32, mode as u32, Some(ResolveFlags(resolve as u32)))
}

pub fn creat(case: &mut Case<'_>) -> Option<Told> {
    let place = case.here(0);
    opened(case, &place, libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC, case.uint(1), None)
}

/// The path is `memfd:` and the name.
pub fn memfd_create(case: &mut Case<'_>) -> Option<Told> {
    let name = case.text(0, MEMFD_CAP).unwrap_or_default();
    let cloexec = if case.uint(1) & libc::MFD_CLOEXEC != 0 { libc::O_CLOEXEC } else { 0 };
    let place = Place { dir: AT_FDCWD, raw: Some([b"memfd:", name.as_slice()].concat()) };
    opened(case, &place, libc::O_RDWR | cloexec, 0, None)
}

/// The kernel tells the path of such a file once it is open.
pub fn open_by_handle_at(case: &mut Case<'_>) -> Option<Told> {
    opened(case, &Place::NOWHERE, case.int(2), 0, None)
}

pub fn name_to_handle_at(case: &mut Case<'_>) -> Option<Told> {
    let place = case.at(case.int(0), 1);
    case.tell(&FileHandle { path: place.path(), flags: HandleFlags(case.uint(4)) })
}

pub fn unlink(case: &mut Case<'_>) -> Option<Told> {
    let place = case.here(0);
    case.tell(&FileUnlink { path: place.path() })
}

pub fn unlinkat(case: &mut Case<'_>) -> Option<Told> {
    let place = case.at(case.int(0), 1);
    match case.int(2) & libc::AT_REMOVEDIR {
        0 => case.tell(&FileUnlink { path: place.path() }),
        _ => case.tell(&FileRmdir { path: place.path() }),
    }
}

pub fn rmdir(case: &mut Case<'_>) -> Option<Told> {
    let place = case.here(0);
    case.tell(&FileRmdir { path: place.path() })
}

pub fn mkdir(case: &mut Case<'_>) -> Option<Told> {
    let place = case.here(0);
    case.tell(&FileMkdir { path: place.path(), mode: case.uint(1) })
}

pub fn mkdirat(case: &mut Case<'_>) -> Option<Told> {
    let place = case.at(case.int(0), 1);
    case.tell(&FileMkdir { path: place.path(), mode: case.uint(2) })
}

pub fn mknod(case: &mut Case<'_>) -> Option<Told> {
    let place = case.here(0);
    case.tell(&FileMknod { path: place.path(), mode: case.uint(1), device: case.uint(2).into() })
}

pub fn mknodat(case: &mut Case<'_>) -> Option<Told> {
    let place = case.at(case.int(0), 1);
    case.tell(&FileMknod { path: place.path(), mode: case.uint(2), device: case.uint(3).into() })
}

fn renamed(case: &mut Case<'_>, old: &Place, new: &Place, flags: Option<u32>) -> Option<Told> {
    let flags = flags.map(RenameFlags);
    case.tell(&FileRename { path: old.path(), new_path: new.path(), flags })
}

pub fn rename(case: &mut Case<'_>) -> Option<Told> {
    let (old, new) = (case.here(0), case.here(1));
    renamed(case, &old, &new, None)
}

pub fn renameat(case: &mut Case<'_>) -> Option<Told> {
    let (old, new) = (case.at(case.int(0), 1), case.at(case.int(2), 3));
    renamed(case, &old, &new, None)
}

pub fn renameat2(case: &mut Case<'_>) -> Option<Told> {
    let (old, new) = (case.at(case.int(0), 1), case.at(case.int(2), 3));
    renamed(case, &old, &new, Some(case.uint(4)))
}

pub fn link(case: &mut Case<'_>) -> Option<Told> {
    let (old, new) = (case.here(0), case.here(1));
    case.tell(&FileLink { path: old.path(), new_path: new.path(), flags: None })
}

pub fn linkat(case: &mut Case<'_>) -> Option<Told> {
    let (old, new) = (case.at(case.int(0), 1), case.at(case.int(2), 3));
    let flags = Some(AtFlags(case.uint(4)));
    case.tell(&FileLink { path: old.path(), new_path: new.path(), flags })
}

/// The target is relative to the directory of the link, which the enricher knows.
fn symlinked(case: &mut Case<'_>, new: &Place) -> Option<Told> {
    let target = Place { dir: AT_FDCWD, raw: case.text(0, PATH_CAP) };
    case.tell(&FileSymlink { path: target.path(), new_path: new.path() })
}

pub fn symlink(case: &mut Case<'_>) -> Option<Told> {
    let new = case.here(1);
    symlinked(case, &new)
}

pub fn symlinkat(case: &mut Case<'_>) -> Option<Told> {
    let new = case.at(case.int(1), 2);
    symlinked(case, &new)
}

fn mode_changed(case: &mut Case<'_>, place: &Place, mode: u32, flags: Option<u32>) -> Option<Told> {
    case.tell(&FileChmod { path: place.path(), mode, flags: flags.map(AtFlags) })
}

pub fn chmod(case: &mut Case<'_>) -> Option<Told> {
    let place = case.here(0);
    mode_changed(case, &place, case.uint(1), None)
}

pub fn fchmod(case: &mut Case<'_>) -> Option<Told> {
    let place = case.open_as(case.int(0));
    mode_changed(case, &place, case.uint(1), None)
}

/// The system call has no flags.
pub fn fchmodat(case: &mut Case<'_>) -> Option<Told> {
    let place = case.at(case.int(0), 1);
    mode_changed(case, &place, case.uint(2), None)
}

pub fn fchmodat2(case: &mut Case<'_>) -> Option<Told> {
    let place = case.at(case.int(0), 1);
    mode_changed(case, &place, case.uint(2), Some(case.uint(3)))
}

fn owner_changed(case: &mut Case<'_>, place: &Place, first: usize, flags: Option<u32>) -> Option<Told> {
    let (owner, group) = (case.id(first).cast_signed(), case.id(first + 1).cast_signed());
    case.tell(&FileChown { path: place.path(), owner, group, flags: flags.map(AtFlags) })
}

pub fn chown(case: &mut Case<'_>) -> Option<Told> {
    let place = case.here(0);
    owner_changed(case, &place, 1, None)
}

pub fn fchown(case: &mut Case<'_>) -> Option<Told> {
    let place = case.open_as(case.int(0));
    owner_changed(case, &place, 1, None)
}

pub fn fchownat(case: &mut Case<'_>) -> Option<Told> {
    let place = case.at(case.int(0), 1);
    owner_changed(case, &place, 2, Some(case.uint(4)))
}

pub fn truncate(case: &mut Case<'_>) -> Option<Told> {
    let place = case.here(0);
    case.tell(&FileTruncate { path: place.path(), length: case.offset(1) })
}

pub fn ftruncate(case: &mut Case<'_>) -> Option<Told> {
    let place = case.open_as(case.int(0));
    case.tell(&FileTruncate { path: place.path(), length: case.offset(1) })
}

fn attribute_set(case: &mut Case<'_>, place: &Place) -> Option<Told> {
    let name = case.text(1, ATTRIBUTE_CAP).unwrap_or_default();
    let (size, flags) = (Some(case.word(3)), Some(XattrFlags(case.uint(4))));
    case.tell(&FileXattr { path: place.path(), name: &name, flags, size })
}

pub fn setxattr(case: &mut Case<'_>) -> Option<Told> {
    let place = case.here(0);
    attribute_set(case, &place)
}

pub fn fsetxattr(case: &mut Case<'_>) -> Option<Told> {
    let place = case.open_as(case.int(0));
    attribute_set(case, &place)
}

fn attribute_removed(case: &mut Case<'_>, place: &Place) -> Option<Told> {
    let name = case.text(1, ATTRIBUTE_CAP).unwrap_or_default();
    case.tell(&FileXattr { path: place.path(), name: &name, flags: None, size: None })
}

pub fn removexattr(case: &mut Case<'_>) -> Option<Told> {
    let place = case.here(0);
    attribute_removed(case, &place)
}

pub fn fremovexattr(case: &mut Case<'_>) -> Option<Told> {
    let place = case.open_as(case.int(0));
    attribute_removed(case, &place)
}

/// The value's length and the flags stand in `struct xattr_args`, behind the value's address.
pub fn setxattrat(case: &mut Case<'_>) -> Option<Told> {
    let place = case.at(case.int(0), 1);
    let name = case.text(3, ATTRIBUTE_CAP).unwrap_or_default();
    let arguments = case.pages.array::<16>(case.word(4));
    let half = |at: usize| {
        arguments
            .as_ref()
            .and_then(|bytes| bytes.get(at..)?.first_chunk())
            .map(|half| u32::from_ne_bytes(*half))
    };
    let (size, flags) = (half(8).map(u64::from), half(12).map(XattrFlags));
    case.tell(&FileXattr { path: place.path(), name: &name, flags, size })
}

pub fn removexattrat(case: &mut Case<'_>) -> Option<Told> {
    let place = case.at(case.int(0), 1);
    let name = case.text(3, ATTRIBUTE_CAP).unwrap_or_default();
    case.tell(&FileXattr { path: place.path(), name: &name, flags: None, size: None })
}
