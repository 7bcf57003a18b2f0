//! What only looks a file up: stat(2), access(2), readlink(2). Told where the call failed; on request, where
//! it succeeded, too.

crate::hooks! { family lookup = 18;
    /// stat(2): the attributes of a file.
    unsafe fn stat(path: *const c_char, attributes: *mut c_void) -> c_int;
    symbols: "stat", "stat64";
    told: path;
    fails: MinusOne;
    event: FileStat;
    after |call, _ret| paths::attributes_asked(call, here(path), None);

    /// lstat(2): stat that follows no symbolic link.
    unsafe fn lstat(path: *const c_char, attributes: *mut c_void) -> c_int;
    symbols: "lstat", "lstat64";
    told: path;
    fails: MinusOne;
    event: FileStat;
    after |call, _ret| paths::attributes_asked(call, here(path), Some(libc::AT_SYMLINK_NOFOLLOW));

    /// fstatat(2): stat, relative to a directory.
    unsafe fn fstatat(dir: c_int, path: *const c_char, attributes: *mut c_void, flags: c_int) -> c_int;
    symbols: "fstatat", "fstatat64";
    told: dir, path, flags;
    fails: MinusOne;
    event: FileStat;
    after |call, _ret| paths::attributes_asked(call, at(dir, path), Some(flags));

    /// statx(2): the attributes that are asked for.
    unsafe fn statx(dir: c_int, path: *const c_char, flags: c_int, mask: c_uint, attributes: *mut c_void) -> c_int;
    symbols: "statx";
    told: dir, path, flags;
    fails: MinusOne;
    event: FileStat;
    after |call, _ret| paths::attributes_asked(call, at(dir, path), Some(flags));

    /// stat(2) as programs call it that were built with a glibc before 2.33.
    unsafe fn __xstat(version: c_int, path: *const c_char, attributes: *mut c_void) -> c_int;
    symbols: "__xstat", "__xstat64" as stat;
    told: path;
    fails: MinusOne;
    event: FileStat;
    after |call, _ret| paths::attributes_asked(call, here(path), None);

    /// lstat(2) as programs call it that were built with a glibc before 2.33.
    unsafe fn __lxstat(version: c_int, path: *const c_char, attributes: *mut c_void) -> c_int;
    symbols: "__lxstat", "__lxstat64" as lstat;
    told: path;
    fails: MinusOne;
    event: FileStat;
    after |call, _ret| paths::attributes_asked(call, here(path), Some(libc::AT_SYMLINK_NOFOLLOW));

    /// fstatat(2) as programs call it that were built with a glibc before 2.33.
    unsafe fn __fxstatat(version: c_int, dir: c_int, path: *const c_char, attributes: *mut c_void, flags: c_int) -> c_int;
    symbols: "__fxstatat", "__fxstatat64" as fstatat;
    told: dir, path, flags;
    fails: MinusOne;
    event: FileStat;
    after |call, _ret| paths::attributes_asked(call, at(dir, path), Some(flags));

    /// access(2): whether the real user may do something with a file.
    unsafe fn access(path: *const c_char, mode: c_int) -> c_int;
    symbols: "access";
    told: path, mode;
    fails: MinusOne;
    event: FileAccess;
    after |call, _ret| paths::access_asked(call, here(path), mode, None);

    /// euidaccess(3): whether the effective user may.
    unsafe fn euidaccess(path: *const c_char, mode: c_int) -> c_int;
    symbols: "euidaccess", "eaccess";
    told: path, mode;
    fails: MinusOne;
    event: FileAccess;
    after |call, _ret| paths::access_asked(call, here(path), mode, Some(libc::AT_EACCESS));

    /// faccessat(2): access, relative to a directory.
    unsafe fn faccessat(dir: c_int, path: *const c_char, mode: c_int, flags: c_int) -> c_int;
    symbols: "faccessat";
    told: dir, path, mode, flags;
    fails: MinusOne;
    event: FileAccess;
    after |call, _ret| paths::access_asked(call, at(dir, path), mode, Some(flags));

    /// readlink(2): the target of a symbolic link.
    unsafe fn readlink(path: *const c_char, buffer: *mut c_char, len: usize) -> isize;
    symbols: "readlink";
    told: path, buffer "the target";
    fails: MinusOne;
    event: FileReadlink;
    after |call, _len| paths::link_asked(call, here(path), buffer);

    /// readlink(2) as `_FORTIFY_SOURCE` calls it.
    unsafe fn __readlink_chk(path: *const c_char, buffer: *mut c_char, len: usize, room: usize) -> isize;
    symbols: "__readlink_chk" as readlink;
    told: path, buffer "the target";
    fails: MinusOne;
    event: FileReadlink;
    after |call, _len| paths::link_asked(call, here(path), buffer);

    /// readlinkat(2): readlink, relative to a directory.
    unsafe fn readlinkat(dir: c_int, path: *const c_char, buffer: *mut c_char, len: usize) -> isize;
    symbols: "readlinkat";
    told: dir, path, buffer "the target";
    fails: MinusOne;
    event: FileReadlink;
    after |call, _len| paths::link_asked(call, at(dir, path), buffer);

    /// readlinkat(2) as `_FORTIFY_SOURCE` calls it.
    unsafe fn __readlinkat_chk(dir: c_int, path: *const c_char, buffer: *mut c_char, len: usize, room: usize) -> isize;
    symbols: "__readlinkat_chk" as readlinkat;
    told: dir, path, buffer "the target";
    fails: MinusOne;
    event: FileReadlink;
    after |call, _len| paths::link_asked(call, at(dir, path), buffer);

    names: faccessat2 "dir, path, mode, flags";
}
