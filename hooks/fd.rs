//! Descriptors closed, duplicated and made without a name: close(2), dup(2), fcntl(2), pipe(2), eventfd(2).

crate::hooks! { family fd = 2;
    /// close(2): a descriptor ends.
    unsafe fn close(fd: c_int) -> c_int;
    symbols: "close";
    told: fd;
    fails: MinusOne;
    event: FileClose, NetClose;
    instead_alone |row, real| fds::close_or_cancel(row, fd, || real(fd));

    /// fclose(3): a stream and its descriptor end.
    unsafe fn fclose(stream: *mut FILE) -> c_int;
    symbols: "fclose";
    told: stream;
    fails: MinusOne;
    event: FileClose;
    instead |row, real| fds::close_stream(row, stream, || real(stream));

    /// closedir(3): a directory stream and its descriptor end.
    unsafe fn closedir(directory: *mut DIR) -> c_int;
    symbols: "closedir";
    told: directory;
    fails: MinusOne;
    event: FileClose;
    instead |row, real| fds::close_directory(row, directory, || real(directory));

    /// closefrom(3): every descriptor from one on ends.
    unsafe fn closefrom(first: c_int) -> ();
    symbols: "closefrom";
    told: first;
    fails: Never;
    event: FileClose, NetClose;
    instead |row, real| fds::close_range(row, first.max(0) as u32, u32::MAX, false, || real(first));

    /// close_range(2): a range of descriptors ends, or is marked to end at exec.
    unsafe fn close_range(first: c_uint, last: c_uint, flags: c_int) -> c_int;
    symbols: "close_range";
    told: first, last, flags "CLOSE_RANGE_CLOEXEC alone";
    fails: MinusOne;
    event: FileClose, NetClose;
    instead |row, real| fds::close_range(row, first, last, flags as u32 & CLOSE_RANGE_CLOEXEC != 0, || real(first, last, flags));

    /// dup(2): another descriptor for the same file.
    unsafe fn dup(fd: c_int) -> c_int;
    symbols: "dup";
    told: fd;
    fails: MinusOne;
    event: ;
    after |call, _fd| fds::duplicated(call, fd, false);

    /// dup2(2): another descriptor of a given number; what had the number ends.
    unsafe fn dup2(fd: c_int, target: c_int) -> c_int;
    symbols: "dup2";
    told: fd, target;
    fails: MinusOne;
    event: FdDuplicate, FileClose, NetClose;
    instead |row, real| fds::duplicate_onto(row, fd, target, false, || real(fd, target));

    /// dup3(2): dup2 with flags.
    unsafe fn dup3(fd: c_int, target: c_int, flags: c_int) -> c_int;
    symbols: "dup3";
    told: fd, target, flags;
    fails: MinusOne;
    event: FdDuplicate, FileClose, NetClose;
    instead |row, real| fds::duplicate_onto(row, fd, target, flags & O_CLOEXEC != 0, || real(fd, target, flags));

    /// fcntl(2): with `F_DUPFD` another descriptor; with `F_SETFD` its close-on-exec flag; on
    /// request also locks.
    unsafe fn fcntl(fd: c_int, command: c_int, argument: usize) -> c_int;
    symbols: "fcntl", "fcntl64";
    told: fd, command "F_DUPFD, F_DUPFD_CLOEXEC, F_SETFD, on request the locks", argument "of F_SETFD and the locks";
    fails: MinusOne;
    event: FileLock;
    after |call, _ret| fds::controlled(call, fd, command, argument);

    /// pipe(2): both ends of a pipe.
    unsafe fn pipe(pair: *mut c_int) -> c_int;
    symbols: "pipe";
    told: pair;
    fails: MinusOne;
    event: ;
    after |call, _ret| fds::pair_made(call, pair, b"pipe:", false);

    /// pipe2(2): pipe with flags.
    unsafe fn pipe2(pair: *mut c_int, flags: c_int) -> c_int;
    symbols: "pipe2";
    told: pair, flags "O_CLOEXEC alone";
    fails: MinusOne;
    event: ;
    after |call, _ret| fds::pair_made(call, pair, b"pipe:", flags & O_CLOEXEC != 0);

    /// socketpair(2): two sockets connected to each other.
    unsafe fn socketpair(family: c_int, kind: c_int, protocol: c_int, pair: *mut c_int) -> c_int;
    symbols: "socketpair";
    told: kind "SOCK_CLOEXEC alone", pair;
    fails: MinusOne;
    event: ;
    after |call, _ret| fds::pair_made(call, pair, b"socket:", kind & O_CLOEXEC != 0);

    /// eventfd(2): a counter to wait for.
    unsafe fn eventfd(initial: c_uint, flags: c_int) -> c_int;
    symbols: "eventfd";
    told: flags "EFD_CLOEXEC alone";
    fails: MinusOne;
    event: ;
    after |call, fd| fds::made(call, fd, b"anon_inode:[eventfd]", flags & O_CLOEXEC != 0);

    /// epoll_create(2): a set of descriptors to wait for.
    unsafe fn epoll_create(size: c_int) -> c_int;
    symbols: "epoll_create";
    told: ;
    fails: MinusOne;
    event: ;
    after |call, fd| fds::made(call, fd, b"anon_inode:[eventpoll]", false);

    /// epoll_create1(2): epoll_create with flags.
    unsafe fn epoll_create1(flags: c_int) -> c_int;
    symbols: "epoll_create1";
    told: flags;
    fails: MinusOne;
    event: ;
    after |call, fd| fds::made(call, fd, b"anon_inode:[eventpoll]", flags & O_CLOEXEC != 0);

    /// pidfd_getfd(2): a copy of another process's descriptor.
    unsafe fn pidfd_getfd(pidfd: c_int, fd: c_int, flags: c_uint) -> c_int;
    symbols: "pidfd_getfd";
    told: ;
    fails: MinusOne;
    event: ;
    after |call, got| if !call.outcome.failed { fds::received(call.row, got, true) };

    /// ioctl(2): `FIOCLEX` and `FIONCLEX` mark a descriptor to close at exec, or not to.
    unsafe fn ioctl(fd: c_int, request: usize, argument: usize) -> c_int;
    symbols: "ioctl";
    told: fd, request "FIOCLEX, FIONCLEX";
    fails: MinusOne;
    event: ;
    after |call, _ret| fds::marked(call, fd, request);
}
