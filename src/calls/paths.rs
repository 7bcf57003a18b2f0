//! Names and attributes of files: made, changed and removed. Paths travel as they were passed; the collector
//! makes them absolute.

use core::ffi::{c_char, c_int};

use wire::events::{
    FileAccess, FileAllocate, FileChmod, FileChown, FileHandle, FileLink, FileMkdir, FileMknod, FileReadlink,
    FileRename, FileRmdir, FileStat, FileSymlink, FileSync, FileTimes, FileTruncate, FileUnlink, FileXattr,
};
use wire::fields::{
    AT_FDCWD, AccessMode, AllocateFlags, AtFlags, HandleFlags, Hidden, Path, RenameFlags, XattrFlags,
};

use crate::process;
use crate::process::tell::{Asked, tells};
use crate::record::call::{Call, Row};
use crate::record::fail::{Fails, MinusOne, errno, set_errno};
use crate::record::{capture, emit};

/// Longest name of an extended attribute: XATTR_NAME_MAX.
const ATTRIBUTE_CAP: usize = 255;

/// A path with the directory that it is relative to, as a call takes it.
#[derive(Clone, Copy)]
pub struct Place {
    dir: c_int,
    path: *const c_char,
}

/// `path`, relative to the open directory `dir`.
pub fn at(dir: c_int, path: *const c_char) -> Place {
    Place { dir, path }
}

/// `path`, relative to the current directory.
pub fn here(path: *const c_char) -> Place {
    at(AT_FDCWD, path)
}

/// The file that is open as `fd`.
pub fn open_as(fd: c_int) -> Place {
    at(fd, core::ptr::null())
}

/// No path.
pub const NOWHERE: Place = Place { dir: -1, path: core::ptr::null() };

impl Place {
    /// The path of a call that takes this one and no other.
    ///
    /// # Safety
    /// The path is the call's.
    unsafe fn of<'a>(self, call: Call) -> Path<'a> {
        // SAFETY: the caller's promise.
        unsafe { capture::path(call.outcome, self.dir, self.path) }
    }

    /// One of several strings of a call.
    ///
    /// # Safety
    /// The path is the call's.
    pub unsafe fn among<'a>(self, call: Call) -> Path<'a> {
        // SAFETY: the caller's promise.
        Path { dir: self.dir, raw: unsafe { capture::among(call.outcome, self.path) } }
    }
}

/// A name was removed: unlink(2), rmdir(2), and with `AT_REMOVEDIR` unlinkat(2).
///
/// # Safety
/// `place` is the call's.
#[inline(never)]
pub unsafe fn removed(call: Call, place: Place, flags: c_int) {
    // SAFETY: the caller's promise.
    let path = unsafe { place.of(call) };
    if flags & libc::AT_REMOVEDIR != 0 {
        emit::after(call, 0, &FileRmdir { path });
    } else {
        emit::after(call, 0, &FileUnlink { path });
    }
}

/// remove(3): unlinks, or where unlink says that it is a directory (`EISDIR`), removes that.
///
/// errno shows which of the two it was: glibc leaves it at `EISDIR` when rmdir succeeds. musl leaves it
/// alone.
///
/// # Safety
/// `path` is the call's.
pub unsafe fn remove(row: Row, path: *const c_char, real: impl FnOnce() -> c_int) -> c_int {
    if process::ring().is_none() {
        return real();
    }
    let before = errno();
    set_errno(0);
    let ret = real();
    let outcome = <MinusOne as Fails<c_int>>::outcome(ret);
    let error = errno();
    // The errors of rmdir(2) that unlink(2) does not have.
    let is_directory = matches!(error, libc::EISDIR | libc::ENOTEMPTY | libc::EEXIST);
    if error == 0 {
        set_errno(before);
    }
    let flags = if is_directory { libc::AT_REMOVEDIR } else { 0 };
    // SAFETY: the caller's promise.
    unsafe { removed(Call::of(row, outcome), here(path), flags) };
    ret
}

/// A directory was made: mkdir(2).
///
/// # Safety
/// `place` is the call's.
#[inline(never)]
pub unsafe fn directory_made(call: Call, place: Place, mode: u32) {
    // SAFETY: the caller's promise.
    emit::after(call, 0, &FileMkdir { path: unsafe { place.of(call) }, mode });
}

/// A file that is no directory was made by name: mknod(2), mkfifo(3).
///
/// # Safety
/// `place` is the call's.
#[inline(never)]
pub unsafe fn node_made(call: Call, place: Place, mode: u32, device: u64) {
    // SAFETY: the caller's promise.
    emit::after(call, 0, &FileMknod { path: unsafe { place.of(call) }, mode, device });
}

/// `__xmknod` as programs built with a glibc older than 2.33 call it: the device by address.
///
/// # Safety
/// `place` and `device` are the call's.
pub unsafe fn node_made_by_version(call: Call, place: Place, mode: u32, device: *const u64) {
    // SAFETY: libc read it in the call.
    unsafe { node_made(call, place, mode, if device.is_null() { 0 } else { *device }) };
}

/// Whether a call that only looks something up is told: where it failed, and on request.
fn is_told(call: Call) -> bool {
    call.outcome.failed || tells(Asked::Lookups)
}

/// A file's attributes were asked for: stat(2).
///
/// # Safety
/// `place` is the call's.
#[inline(never)]
pub unsafe fn attributes_asked(call: Call, place: Place, flags: Option<c_int>) {
    if is_told(call) {
        // SAFETY: the caller's promise.
        emit::after(call, 0, &FileStat { path: unsafe { place.of(call) }, flags: at_flags(flags) });
    }
}

/// A right to a file was asked for: access(2).
///
/// # Safety
/// `place` is the call's.
#[inline(never)]
pub unsafe fn access_asked(call: Call, place: Place, mode: c_int, flags: Option<c_int>) {
    if is_told(call) {
        // SAFETY: the caller's promise.
        let path = unsafe { place.of(call) };
        emit::after(call, 0, &FileAccess { path, mode: AccessMode(mode), flags: at_flags(flags) });
    }
}

/// A link's target was asked for: readlink(2).
///
/// # Safety
/// `place` and `buffer` are the call's.
#[inline(never)]
pub unsafe fn link_asked(call: Call, place: Place, buffer: *const c_char) {
    if is_told(call) {
        // SAFETY: the caller's promise; a call that succeeded filled so many bytes.
        let (path, target) = unsafe {
            let target = usize::try_from(call.outcome.ret)
                .ok()
                .map(|len| core::slice::from_raw_parts(buffer.cast::<u8>(), len));
            (place.of(call), target)
        };
        emit::after(call, 0, &FileReadlink { path, target });
    }
}

/// What was written was forced to the disk: fsync(2), and sync(2), which has no descriptor.
pub fn synced(call: Call, fd: Option<c_int>) {
    let path = Path { dir: fd.unwrap_or(-1), raw: None };
    emit::after(call, 0, &FileSync { path, fd, began_ns: Hidden(call.began_ns) });
}

/// A file's space was allocated or given back: fallocate(2).
pub fn allocated(call: Call, fd: c_int, flags: c_int, offset: i64, length: i64) {
    let path = Path { dir: fd, raw: None };
    emit::after(call, 0, &FileAllocate { path, fd, flags: AllocateFlags(flags), offset, length });
}

/// The flags of a call that has some.
fn at_flags(flags: Option<c_int>) -> Option<AtFlags> {
    flags.map(|flags| AtFlags(flags as u32))
}

/// Permissions were changed: chmod(2).
///
/// # Safety
/// `place` is the call's.
#[inline(never)]
pub unsafe fn mode_changed(call: Call, place: Place, mode: u32, flags: Option<c_int>) {
    let flags = at_flags(flags);
    // SAFETY: the caller's promise.
    emit::after(call, 0, &FileChmod { path: unsafe { place.of(call) }, mode, flags });
}

/// The owner was changed: chown(2).
///
/// # Safety
/// `place` is the call's.
#[inline(never)]
pub unsafe fn owner_changed(call: Call, place: Place, owner: u32, group: u32, flags: Option<c_int>) {
    let (owner, group, flags) = (owner as i32, group as i32, at_flags(flags));
    // SAFETY: the caller's promise.
    emit::after(call, 0, &FileChown { path: unsafe { place.of(call) }, owner, group, flags });
}

/// A length was set: truncate(2).
///
/// # Safety
/// `place` is the call's.
#[inline(never)]
pub unsafe fn length_set(call: Call, place: Place, length: i64) {
    // SAFETY: the caller's promise.
    emit::after(call, 0, &FileTruncate { path: unsafe { place.of(call) }, length });
}

/// An extended attribute was set, to a value of so many bytes, or removed: setxattr(2), removexattr(2).
///
/// # Safety
/// `place` and `name` are the call's.
#[inline(never)]
pub unsafe fn attribute_changed(
    call: Call,
    place: Place,
    name: *const c_char,
    value: Option<(usize, c_int)>,
) {
    // SAFETY: the caller's promise.
    let (path, name) = unsafe { (place.among(call), capture::among(call.outcome, name)) };
    let name = name.unwrap_or_default();
    let name = name.get(..ATTRIBUTE_CAP).unwrap_or(name);
    let flags = value.map(|(_, flags)| XattrFlags(flags as u32));
    let size = value.map(|(len, _)| len as u64);
    emit::after(call, 0, &FileXattr { path, name, flags, size });
}

/// A file was renamed: rename(2).
///
/// # Safety
/// The places are the call's.
#[inline(never)]
pub unsafe fn renamed(call: Call, old: Place, new: Place, flags: Option<u32>) {
    // SAFETY: the caller's promise.
    let (path, new_path) = unsafe { (old.among(call), new.among(call)) };
    emit::after(call, 0, &FileRename { path, new_path, flags: flags.map(RenameFlags) });
}

/// A file got one more name: link(2).
///
/// # Safety
/// The places are the call's.
#[inline(never)]
pub unsafe fn linked(call: Call, old: Place, new: Place, flags: Option<c_int>) {
    // SAFETY: the caller's promise.
    let (path, new_path) = unsafe { (old.among(call), new.among(call)) };
    emit::after(call, 0, &FileLink { path, new_path, flags: at_flags(flags) });
}

/// The times of a file were set, utimensat(2): to two times of seconds and `1 / per_second` seconds, or to
/// the present one.
///
/// # Safety
/// `place` and `times` are the call's.
#[inline(never)]
pub unsafe fn times_set(
    call: Call,
    place: Place,
    times: *const [i64; 2],
    per_second: i64,
    flags: Option<c_int>,
) {
    // SAFETY: the caller's promise.
    let given = unsafe { capture::given(call.outcome, times.cast::<[[i64; 2]; 2]>()) };
    // UTIME_NOW and UTIME_OMIT are no part of a second.
    let ns = |[seconds, part]: [i64; 2]| {
        let is_time = (0..per_second).contains(&part);
        is_time.then(|| {
            seconds.wrapping_mul(1_000_000_000).wrapping_add(part.wrapping_mul(1_000_000_000 / per_second))
        })
    };
    let (accessed, modified) = match given {
        Some([accessed, modified]) => (ns(accessed), ns(modified)),
        None => (None, None),
    };
    // SAFETY: the caller's promise.
    let path = unsafe { place.among(call) };
    emit::after(call, 0, &FileTimes { path, accessed, modified, flags: at_flags(flags) });
}

/// utime(2): two times in seconds.
///
/// # Safety
/// `path` and `times` are the call's.
pub unsafe fn times_set_in_seconds(call: Call, path: *const c_char, times: *const i64) {
    // SAFETY: the caller's promise.
    let given = unsafe { capture::given(call.outcome, times.cast::<[i64; 2]>()) };
    let times = given.map(|times| times.map(|seconds| [seconds, 0]));
    let times = times.as_ref().map_or(core::ptr::null(), |times| times.as_ptr());
    // SAFETY: the caller's promise; null, or two times of our own.
    unsafe { times_set(call, here(path), times, 1_000_000_000, None) };
}

/// A handle of a file was asked for: name_to_handle_at(2).
///
/// # Safety
/// `place` is the call's.
#[inline(never)]
pub unsafe fn handle_made(call: Call, place: Place, flags: c_int) {
    // SAFETY: the caller's promise. A handle that is too small (EOVERFLOW) was found after the path.
    emit::after(call, 0, &FileHandle { path: unsafe { place.of(call) }, flags: HandleFlags(flags as u32) });
}

/// A symbolic link was made: symlink(2). Its target is relative to the directory of the link.
///
/// # Safety
/// `target` and `new` are the call's.
#[inline(never)]
pub unsafe fn symlinked(call: Call, target: *const c_char, new: Place) {
    // SAFETY: the caller's promise.
    let (path, new_path) = unsafe { (here(target).among(call), new.among(call)) };
    emit::after(call, 0, &FileSymlink { path, new_path });
}
