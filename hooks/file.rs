//! Files opened: open(2), fopen(3), opendir(3), mkstemp(3), memfd_create(2), shm_open(3).

crate::hooks! { family file = 1;
    /// open(2): opens, and with `O_CREAT` or `O_TMPFILE` creates, a file.
    unsafe fn open(path: *const c_char, flags: c_int, mode: mode_t) -> c_int;
    symbols: "open", "open64", "__open64_nocancel";
    told: path, flags, mode;
    fails: MinusOne;
    event: FileOpen;
    after |call, _fd| fds::file_opened(call, AT_FDCWD, path, flags, creation_mode(flags, mode));

    /// open(2) as `_FORTIFY_SOURCE` calls it where no mode is passed.
    unsafe fn __open_2(path: *const c_char, flags: c_int) -> c_int;
    symbols: "__open_2", "__open64_2" as open;
    told: path, flags;
    fails: MinusOne;
    event: FileOpen;
    after |call, _fd| fds::file_opened(call, AT_FDCWD, path, flags, None);

    /// openat(2): open, relative to a directory.
    unsafe fn openat(dir: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int;
    symbols: "openat", "openat64";
    told: dir, path, flags, mode;
    fails: MinusOne;
    event: FileOpen;
    after |call, _fd| fds::file_opened(call, dir, path, flags, creation_mode(flags, mode));

    /// openat(2) as `_FORTIFY_SOURCE` calls it where no mode is passed.
    unsafe fn __openat_2(dir: c_int, path: *const c_char, flags: c_int) -> c_int;
    symbols: "__openat_2", "__openat64_2" as openat;
    told: dir, path, flags;
    fails: MinusOne;
    event: FileOpen;
    after |call, _fd| fds::file_opened(call, dir, path, flags, None);

    /// creat(2): open for writing, made or emptied.
    unsafe fn creat(path: *const c_char, mode: mode_t) -> c_int;
    symbols: "creat", "creat64";
    told: path, mode;
    fails: MinusOne;
    event: FileOpen;
    after |call, _fd| fds::file_opened(call, AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, Some(mode));

    /// fopen(3): opens a stream; `flags` are what its mode string means.
    unsafe fn fopen(path: *const c_char, mode: *const c_char) -> *mut FILE;
    symbols: "fopen", "fopen64";
    told: path, mode;
    fails: Null;
    event: FileOpen;
    after |call, stream| fds::stream_opened(call, stream, path, mode);

    /// freopen(3): closes a stream's file and opens another.
    unsafe fn freopen(path: *const c_char, mode: *const c_char, stream: *mut FILE) -> *mut FILE;
    symbols: "freopen", "freopen64";
    told: path, mode, stream;
    fails: Null;
    event: FileOpen, FileClose;
    instead |row, real| fds::reopen(row, path, mode, stream, || real(path, mode, stream));

    /// opendir(3): opens a directory for reading its names.
    unsafe fn opendir(path: *const c_char) -> *mut DIR;
    symbols: "opendir";
    told: path;
    fails: Null;
    event: FileOpen;
    after |call, directory| fds::directory_opened(call, directory, path);

    /// mkstemp(3): makes a file of a new name; the template holds the name afterwards.
    unsafe fn mkstemp(template: *mut c_char) -> c_int;
    symbols: "mkstemp", "mkstemp64";
    told: template;
    fails: MinusOne;
    event: FileOpen;
    after |call, _fd| fds::file_opened(call, AT_FDCWD, template, TEMPORARY, Some(0o600));

    /// mkostemp(3): mkstemp with flags.
    unsafe fn mkostemp(template: *mut c_char, flags: c_int) -> c_int;
    symbols: "mkostemp", "mkostemp64";
    told: template, flags;
    fails: MinusOne;
    event: FileOpen;
    after |call, _fd| fds::file_opened(call, AT_FDCWD, template, TEMPORARY | flags, Some(0o600));

    /// mkstemps(3): mkstemp with a suffix.
    unsafe fn mkstemps(template: *mut c_char, suffix_len: c_int) -> c_int;
    symbols: "mkstemps", "mkstemps64";
    told: template;
    fails: MinusOne;
    event: FileOpen;
    after |call, _fd| fds::file_opened(call, AT_FDCWD, template, TEMPORARY, Some(0o600));

    /// mkostemps(3): mkstemp with a suffix and flags.
    unsafe fn mkostemps(template: *mut c_char, suffix_len: c_int, flags: c_int) -> c_int;
    symbols: "mkostemps", "mkostemps64";
    told: template, flags;
    fails: MinusOne;
    event: FileOpen;
    after |call, _fd| fds::file_opened(call, AT_FDCWD, template, TEMPORARY | flags, Some(0o600));

    /// memfd_create(2): a file in memory; its path is `memfd:` and its name.
    unsafe fn memfd_create(name: *const c_char, flags: c_uint) -> c_int;
    symbols: "memfd_create";
    told: name, flags "MFD_CLOEXEC alone";
    fails: MinusOne;
    event: FileOpen;
    after |call, _fd| fds::named_opened(call, b"memfd:", name, fds::memfd_flags(flags), None);

    /// shm_open(3): a shared memory object, a file in /dev/shm.
    unsafe fn shm_open(name: *const c_char, flags: c_int, mode: mode_t) -> c_int;
    symbols: "shm_open";
    told: name, flags, mode;
    fails: MinusOne;
    event: FileOpen;
    after |call, _fd| fds::shared_opened(call, name, flags, creation_mode(flags, mode));

    /// tmpfile(3): a file without a name, in /tmp.
    unsafe fn tmpfile() -> *mut FILE;
    symbols: "tmpfile", "tmpfile64";
    told: ;
    fails: Null;
    event: FileOpen;
    after |call, stream| fds::temporary_opened(call, stream);

    /// scandir(3): reads a directory's names; the directory is closed again by then.
    unsafe fn scandir(path: *const c_char, names: *mut c_void, filter: *const c_void, compare: *const c_void) -> c_int;
    symbols: "scandir", "scandir64";
    told: path;
    fails: MinusOne;
    event: FileOpen;
    after |call, _count| fds::directory_read(call, AT_FDCWD, path);

    /// scandirat(3): scandir, relative to a directory.
    unsafe fn scandirat(dir: c_int, path: *const c_char, names: *mut c_void, filter: *const c_void, compare: *const c_void) -> c_int;
    symbols: "scandirat", "scandirat64";
    told: dir, path;
    fails: MinusOne;
    event: FileOpen;
    after |call, _count| fds::directory_read(call, dir, path);

    /// sem_open(3): a named semaphore, a file in /dev/shm; it leaves no descriptor.
    unsafe fn sem_open(name: *const c_char, flags: c_int, mode: mode_t, value: c_uint) -> *mut c_void;
    symbols: "sem_open";
    told: name, flags, mode;
    fails: Null;
    event: FileOpen;
    after |call, _semaphore| fds::semaphore_opened(call, name, flags, creation_mode(flags, mode));

    /// setmntent(3): opens a table of mounts as a stream.
    unsafe fn setmntent(path: *const c_char, mode: *const c_char) -> *mut FILE;
    symbols: "setmntent", "__setmntent";
    told: path, mode;
    fails: Null;
    event: FileOpen;
    after |call, stream| fds::stream_opened(call, stream, path, mode);

    /// posix_openpt(3): the controlling side of a new terminal.
    unsafe fn posix_openpt(flags: c_int) -> c_int;
    symbols: "posix_openpt";
    told: flags;
    fails: MinusOne;
    event: FileOpen;
    after |call, _fd| fds::file_opened(call, AT_FDCWD, fds::TERMINALS, flags, None);

    /// getpt(3): posix_openpt, before there was that.
    unsafe fn getpt() -> c_int;
    symbols: "getpt";
    told: ;
    fails: MinusOne;
    event: FileOpen;
    after |call, _fd| fds::file_opened(call, AT_FDCWD, fds::TERMINALS, O_RDWR, None);

    /// openpty(3): both sides of a new terminal; the controlling side is reported.
    unsafe fn openpty(controller: *mut c_int, terminal: *mut c_int, name: *mut c_char, settings: *const c_void, size: *const c_void) -> c_int;
    symbols: "openpty";
    told: controller, terminal;
    fails: MinusOne;
    event: FileOpen;
    after |call, _ret| if !call.outcome.failed { fds::terminal_opened(call.row, *controller); fds::received(call.row, *terminal, false) };

    /// glob(3): reads the names of the folder that a pattern's first wildcard is in; deeper ones are not
    /// reported.
    unsafe fn glob(pattern: *const c_char, flags: c_int, on_error: *const c_void, found: *mut c_void) -> c_int;
    symbols: "glob", "glob64";
    told: pattern "its first folder";
    fails: ErrorNumber;
    event: FileOpen;
    instead |row, real| fds::glob(row, pattern, flags, || real(pattern, flags, on_error, found));

    /// open_by_handle_at(2): opens a file by a handle of name_to_handle_at(2). The kernel tells its path.
    unsafe fn open_by_handle_at(mount: c_int, handle: *mut c_void, flags: c_int) -> c_int;
    symbols: "open_by_handle_at";
    told: flags;
    fails: MinusOne;
    event: FileOpen;
    after |call, _fd| fds::opened_by_handle(call, flags);

    names: openat2 "dir, path, how";
}
