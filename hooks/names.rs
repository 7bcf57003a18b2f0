//! Names and attributes of files: unlink(2), mkdir(2), rename(2), link(2), chmod(2), chown(2), truncate(2),
//! setxattr(2).

crate::hooks! { family names = 10;
    /// unlink(2): removes a name.
    unsafe fn unlink(path: *const c_char) -> c_int;
    symbols: "unlink";
    told: path;
    fails: MinusOne;
    event: FileUnlink;
    after |call, _ret| paths::removed(call, here(path), 0);

    /// unlinkat(2): removes a name, or with `AT_REMOVEDIR` a directory.
    unsafe fn unlinkat(dir: c_int, path: *const c_char, flags: c_int) -> c_int;
    symbols: "unlinkat";
    told: dir, path, flags;
    fails: MinusOne;
    event: FileUnlink, FileRmdir;
    after |call, _ret| paths::removed(call, at(dir, path), flags);

    /// rmdir(2): removes a directory.
    unsafe fn rmdir(path: *const c_char) -> c_int;
    symbols: "rmdir";
    told: path;
    fails: MinusOne;
    event: FileRmdir;
    after |call, _ret| paths::removed(call, here(path), AT_REMOVEDIR);

    /// remove(3): unlink or rmdir, whichever works.
    unsafe fn remove(path: *const c_char) -> c_int;
    symbols: "remove";
    told: path;
    fails: MinusOne;
    event: FileUnlink, FileRmdir;
    instead |row, real| paths::remove(row, path, || real(path));

    /// mkdir(2): makes a directory.
    unsafe fn mkdir(path: *const c_char, mode: mode_t) -> c_int;
    symbols: "mkdir";
    told: path, mode;
    fails: MinusOne;
    event: FileMkdir;
    after |call, _ret| paths::directory_made(call, here(path), mode);

    /// mkdirat(2): mkdir, relative to a directory.
    unsafe fn mkdirat(dir: c_int, path: *const c_char, mode: mode_t) -> c_int;
    symbols: "mkdirat";
    told: dir, path, mode;
    fails: MinusOne;
    event: FileMkdir;
    after |call, _ret| paths::directory_made(call, at(dir, path), mode);

    /// mkdtemp(3): makes a directory of a new name; the template holds the name afterwards.
    unsafe fn mkdtemp(template: *mut c_char) -> *mut c_char;
    symbols: "mkdtemp";
    told: template;
    fails: Null;
    event: FileMkdir;
    after |call, _ret| paths::directory_made(call, here(template), 0o700);

    /// mknod(2): makes a device, a fifo or a file.
    unsafe fn mknod(path: *const c_char, mode: mode_t, device: u64) -> c_int;
    symbols: "mknod";
    told: path, mode, device;
    fails: MinusOne;
    event: FileMknod;
    after |call, _ret| paths::node_made(call, here(path), mode, device);

    /// mknodat(2): mknod, relative to a directory.
    unsafe fn mknodat(dir: c_int, path: *const c_char, mode: mode_t, device: u64) -> c_int;
    symbols: "mknodat";
    told: dir, path, mode, device;
    fails: MinusOne;
    event: FileMknod;
    after |call, _ret| paths::node_made(call, at(dir, path), mode, device);

    /// mknod(2) as programs call it that were built with a glibc before 2.33.
    unsafe fn __xmknod(version: c_int, path: *const c_char, mode: mode_t, device: *const u64) -> c_int;
    symbols: "__xmknod" as mknod;
    told: path, mode, device;
    fails: MinusOne;
    event: FileMknod;
    after |call, _ret| paths::node_made_by_version(call, here(path), mode, device);

    /// mknodat(2) as programs call it that were built with a glibc before 2.33.
    unsafe fn __xmknodat(version: c_int, dir: c_int, path: *const c_char, mode: mode_t, device: *const u64) -> c_int;
    symbols: "__xmknodat" as mknodat;
    told: dir, path, mode, device;
    fails: MinusOne;
    event: FileMknod;
    after |call, _ret| paths::node_made_by_version(call, at(dir, path), mode, device);

    /// mkfifo(3): makes a fifo.
    unsafe fn mkfifo(path: *const c_char, mode: mode_t) -> c_int;
    symbols: "mkfifo";
    told: path, mode;
    fails: MinusOne;
    event: FileMknod;
    after |call, _ret| paths::node_made(call, here(path), mode | S_IFIFO, 0);

    /// mkfifoat(3): mkfifo, relative to a directory.
    unsafe fn mkfifoat(dir: c_int, path: *const c_char, mode: mode_t) -> c_int;
    symbols: "mkfifoat";
    told: dir, path, mode;
    fails: MinusOne;
    event: FileMknod;
    after |call, _ret| paths::node_made(call, at(dir, path), mode | S_IFIFO, 0);

    /// chmod(2): sets permissions.
    unsafe fn chmod(path: *const c_char, mode: mode_t) -> c_int;
    symbols: "chmod";
    told: path, mode;
    fails: MinusOne;
    event: FileChmod;
    after |call, _ret| paths::mode_changed(call, here(path), mode, None);

    /// lchmod(3): chmod that follows no symbolic link.
    unsafe fn lchmod(path: *const c_char, mode: mode_t) -> c_int;
    symbols: "lchmod";
    told: path, mode;
    fails: MinusOne;
    event: FileChmod;
    after |call, _ret| paths::mode_changed(call, here(path), mode, None);

    /// fchmod(2): chmod of an open file.
    unsafe fn fchmod(fd: c_int, mode: mode_t) -> c_int;
    symbols: "fchmod";
    told: fd, mode;
    fails: MinusOne;
    event: FileChmod;
    after |call, _ret| paths::mode_changed(call, open_as(fd), mode, None);

    /// fchmodat(2): chmod, relative to a directory.
    unsafe fn fchmodat(dir: c_int, path: *const c_char, mode: mode_t, flags: c_int) -> c_int;
    symbols: "fchmodat";
    told: dir, path, mode, flags;
    fails: MinusOne;
    event: FileChmod;
    after |call, _ret| paths::mode_changed(call, at(dir, path), mode, Some(flags));

    /// chown(2): sets the owner.
    unsafe fn chown(path: *const c_char, owner: uid_t, group: gid_t) -> c_int;
    symbols: "chown";
    told: path, owner, group;
    fails: MinusOne;
    event: FileChown;
    after |call, _ret| paths::owner_changed(call, here(path), owner, group, None);

    /// lchown(2): chown that follows no symbolic link.
    unsafe fn lchown(path: *const c_char, owner: uid_t, group: gid_t) -> c_int;
    symbols: "lchown";
    told: path, owner, group;
    fails: MinusOne;
    event: FileChown;
    after |call, _ret| paths::owner_changed(call, here(path), owner, group, None);

    /// fchown(2): chown of an open file.
    unsafe fn fchown(fd: c_int, owner: uid_t, group: gid_t) -> c_int;
    symbols: "fchown";
    told: fd, owner, group;
    fails: MinusOne;
    event: FileChown;
    after |call, _ret| paths::owner_changed(call, open_as(fd), owner, group, None);

    /// fchownat(2): chown, relative to a directory.
    unsafe fn fchownat(dir: c_int, path: *const c_char, owner: uid_t, group: gid_t, flags: c_int) -> c_int;
    symbols: "fchownat";
    told: dir, path, owner, group, flags;
    fails: MinusOne;
    event: FileChown;
    after |call, _ret| paths::owner_changed(call, at(dir, path), owner, group, Some(flags));

    /// truncate(2): sets a file's length.
    unsafe fn truncate(path: *const c_char, length: i64) -> c_int;
    symbols: "truncate", "truncate64";
    told: path, length;
    fails: MinusOne;
    event: FileTruncate;
    after |call, _ret| paths::length_set(call, here(path), length);

    /// ftruncate(2): truncate of an open file.
    unsafe fn ftruncate(fd: c_int, length: i64) -> c_int;
    symbols: "ftruncate", "ftruncate64";
    told: fd, length;
    fails: MinusOne;
    event: FileTruncate;
    after |call, _ret| paths::length_set(call, open_as(fd), length);

    /// setxattr(2): sets an extended attribute.
    unsafe fn setxattr(path: *const c_char, name: *const c_char, value: *const c_void, len: usize, flags: c_int) -> c_int;
    symbols: "setxattr";
    told: path, name, len, flags;
    fails: MinusOne;
    event: FileXattr;
    after |call, _ret| paths::attribute_changed(call, here(path), name, Some((len, flags)));

    /// lsetxattr(2): setxattr that follows no symbolic link.
    unsafe fn lsetxattr(path: *const c_char, name: *const c_char, value: *const c_void, len: usize, flags: c_int) -> c_int;
    symbols: "lsetxattr";
    told: path, name, len, flags;
    fails: MinusOne;
    event: FileXattr;
    after |call, _ret| paths::attribute_changed(call, here(path), name, Some((len, flags)));

    /// fsetxattr(2): setxattr of an open file.
    unsafe fn fsetxattr(fd: c_int, name: *const c_char, value: *const c_void, len: usize, flags: c_int) -> c_int;
    symbols: "fsetxattr";
    told: fd, name, len, flags;
    fails: MinusOne;
    event: FileXattr;
    after |call, _ret| paths::attribute_changed(call, open_as(fd), name, Some((len, flags)));

    /// removexattr(2): removes an extended attribute.
    unsafe fn removexattr(path: *const c_char, name: *const c_char) -> c_int;
    symbols: "removexattr";
    told: path, name;
    fails: MinusOne;
    event: FileXattr;
    after |call, _ret| paths::attribute_changed(call, here(path), name, None);

    /// lremovexattr(2): removexattr that follows no symbolic link.
    unsafe fn lremovexattr(path: *const c_char, name: *const c_char) -> c_int;
    symbols: "lremovexattr";
    told: path, name;
    fails: MinusOne;
    event: FileXattr;
    after |call, _ret| paths::attribute_changed(call, here(path), name, None);

    /// fremovexattr(2): removexattr of an open file.
    unsafe fn fremovexattr(fd: c_int, name: *const c_char) -> c_int;
    symbols: "fremovexattr";
    told: fd, name;
    fails: MinusOne;
    event: FileXattr;
    after |call, _ret| paths::attribute_changed(call, open_as(fd), name, None);

    /// rename(2): gives a file another name.
    unsafe fn rename(old: *const c_char, new: *const c_char) -> c_int;
    symbols: "rename";
    told: old, new;
    fails: MinusOne;
    event: FileRename;
    after |call, _ret| paths::renamed(call, here(old), here(new), None);

    /// renameat(2): rename, relative to directories.
    unsafe fn renameat(old_dir: c_int, old: *const c_char, new_dir: c_int, new: *const c_char) -> c_int;
    symbols: "renameat";
    told: old_dir, old, new_dir, new;
    fails: MinusOne;
    event: FileRename;
    after |call, _ret| paths::renamed(call, at(old_dir, old), at(new_dir, new), None);

    /// renameat2(2): renameat with flags.
    unsafe fn renameat2(old_dir: c_int, old: *const c_char, new_dir: c_int, new: *const c_char, flags: c_uint) -> c_int;
    symbols: "renameat2";
    told: old_dir, old, new_dir, new, flags;
    fails: MinusOne;
    event: FileRename;
    after |call, _ret| paths::renamed(call, at(old_dir, old), at(new_dir, new), Some(flags));

    /// link(2): gives a file one more name.
    unsafe fn link(old: *const c_char, new: *const c_char) -> c_int;
    symbols: "link";
    told: old, new;
    fails: MinusOne;
    event: FileLink;
    after |call, _ret| paths::linked(call, here(old), here(new), None);

    /// linkat(2): link, relative to directories.
    unsafe fn linkat(old_dir: c_int, old: *const c_char, new_dir: c_int, new: *const c_char, flags: c_int) -> c_int;
    symbols: "linkat";
    told: old_dir, old, new_dir, new, flags;
    fails: MinusOne;
    event: FileLink;
    after |call, _ret| paths::linked(call, at(old_dir, old), at(new_dir, new), Some(flags));

    /// symlink(2): makes a symbolic link.
    unsafe fn symlink(target: *const c_char, new: *const c_char) -> c_int;
    symbols: "symlink";
    told: target, new;
    fails: MinusOne;
    event: FileSymlink;
    after |call, _ret| paths::symlinked(call, target, here(new));

    /// symlinkat(2): symlink, relative to a directory.
    unsafe fn symlinkat(target: *const c_char, dir: c_int, new: *const c_char) -> c_int;
    symbols: "symlinkat";
    told: target, dir, new;
    fails: MinusOne;
    event: FileSymlink;
    after |call, _ret| paths::symlinked(call, target, at(dir, new));

    /// shm_unlink(3): removes a shared memory object, a file in /dev/shm.
    unsafe fn shm_unlink(name: *const c_char) -> c_int;
    symbols: "shm_unlink";
    told: name;
    fails: MinusOne;
    event: FileUnlink;
    after |call, _ret| fds::shared_removed(call, b"/dev/shm/", name);

    /// sem_unlink(3): removes a named semaphore, a file in /dev/shm.
    unsafe fn sem_unlink(name: *const c_char) -> c_int;
    symbols: "sem_unlink";
    told: name;
    fails: MinusOne;
    event: FileUnlink;
    after |call, _ret| fds::shared_removed(call, b"/dev/shm/sem.", name);

    /// name_to_handle_at(2): a handle, by which open_by_handle_at(2) opens the file without a path.
    unsafe fn name_to_handle_at(dir: c_int, path: *const c_char, handle: *mut c_void, mount: *mut c_int, flags: c_int) -> c_int;
    symbols: "name_to_handle_at";
    told: dir, path, flags;
    fails: MinusOne;
    event: FileHandle;
    after |call, _ret| paths::handle_made(call, at(dir, path), flags);

    /// utimensat(2): sets the times of a file.
    unsafe fn utimensat(dir: c_int, path: *const c_char, times: *const [i64; 2], flags: c_int) -> c_int;
    symbols: "utimensat";
    told: dir, path, times, flags;
    fails: MinusOne;
    event: FileTimes;
    after |call, _ret| paths::times_set(call, at(dir, path), times, 1_000_000_000, Some(flags));

    /// futimens(3): utimensat of an open file.
    unsafe fn futimens(fd: c_int, times: *const [i64; 2]) -> c_int;
    symbols: "futimens";
    told: fd, times;
    fails: MinusOne;
    event: FileTimes;
    after |call, _ret| paths::times_set(call, open_as(fd), times, 1_000_000_000, None);

    /// utimes(2): utimensat, to the microsecond.
    unsafe fn utimes(path: *const c_char, times: *const [i64; 2]) -> c_int;
    symbols: "utimes";
    told: path, times;
    fails: MinusOne;
    event: FileTimes;
    after |call, _ret| paths::times_set(call, here(path), times, 1_000_000, None);

    /// utime(2): utimensat, to the second.
    unsafe fn utime(path: *const c_char, times: *const i64) -> c_int;
    symbols: "utime";
    told: path, times;
    fails: MinusOne;
    event: FileTimes;
    after |call, _ret| paths::times_set_in_seconds(call, path, times);

    /// lutimes(3): utimes that follows no symbolic link.
    unsafe fn lutimes(path: *const c_char, times: *const [i64; 2]) -> c_int;
    symbols: "lutimes";
    told: path, times;
    fails: MinusOne;
    event: FileTimes;
    after |call, _ret| paths::times_set(call, here(path), times, 1_000_000, Some(libc::AT_SYMLINK_NOFOLLOW));

    /// futimes(3): utimes of an open file.
    unsafe fn futimes(fd: c_int, times: *const [i64; 2]) -> c_int;
    symbols: "futimes";
    told: fd, times;
    fails: MinusOne;
    event: FileTimes;
    after |call, _ret| paths::times_set(call, open_as(fd), times, 1_000_000, None);

    /// futimesat(2): utimes, relative to a directory.
    unsafe fn futimesat(dir: c_int, path: *const c_char, times: *const [i64; 2]) -> c_int;
    symbols: "futimesat";
    told: dir, path, times;
    fails: MinusOne;
    event: FileTimes;
    after |call, _ret| paths::times_set(call, at(dir, path), times, 1_000_000, None);

    /// fallocate(2): a range of a file gets space, or loses it.
    unsafe fn fallocate(fd: c_int, mode: c_int, offset: i64, length: i64) -> c_int;
    symbols: "fallocate", "fallocate64";
    told: fd, mode, offset, length;
    fails: MinusOne;
    event: FileAllocate;
    after |call, _ret| paths::allocated(call, fd, mode, offset, length);

    /// posix_fallocate(3): a range of a file gets space.
    unsafe fn posix_fallocate(fd: c_int, offset: i64, length: i64) -> c_int;
    symbols: "posix_fallocate", "posix_fallocate64";
    told: fd, offset, length;
    fails: ErrorNumber;
    event: FileAllocate;
    after |call, _ret| paths::allocated(call, fd, 0, offset, length);

    /// fsync(2): forces a file to the disk.
    unsafe fn fsync(fd: c_int) -> c_int;
    symbols: "fsync";
    told: fd;
    fails: MinusOne;
    event: FileSync;
    timed |call, _ret| paths::synced(call, Some(fd));

    /// fdatasync(2): forces the data of a file to the disk.
    unsafe fn fdatasync(fd: c_int) -> c_int;
    symbols: "fdatasync";
    told: fd;
    fails: MinusOne;
    event: FileSync;
    timed |call, _ret| paths::synced(call, Some(fd));

    /// syncfs(2): forces a file system to the disk.
    unsafe fn syncfs(fd: c_int) -> c_int;
    symbols: "syncfs";
    told: fd;
    fails: MinusOne;
    event: FileSync;
    timed |call, _ret| paths::synced(call, Some(fd));

    /// sync(2): forces all file systems to the disk.
    unsafe fn sync() -> ();
    symbols: "sync";
    told: ;
    fails: Never;
    event: FileSync;
    timed |call, _ret| paths::synced(call, None);

    /// sync_file_range(2): forces a range of a file to the disk; which one is not told.
    unsafe fn sync_file_range(fd: c_int, offset: i64, length: i64, flags: c_uint) -> c_int;
    symbols: "sync_file_range";
    told: fd;
    fails: MinusOne;
    event: FileSync;
    timed |call, _ret| paths::synced(call, Some(fd));

    names: fchmodat2 "dir, path, mode, flags";
}
