//! Locks of files: flock(2), lockf(3); those of fcntl(2) stand in `fd.rs`. Told on request.

crate::hooks! { family lock = 19;
    /// flock(2): locks an open file.
    unsafe fn flock(fd: c_int, operation: c_int) -> c_int;
    symbols: "flock";
    told: fd, operation;
    fails: MinusOne;
    event: FileLock;
    after |call, _ret| fds::locked_whole(call, fd, operation);

    /// lockf(3): locks a range that begins at the present position.
    unsafe fn lockf(fd: c_int, command: c_int, length: i64) -> c_int;
    symbols: "lockf", "lockf64";
    told: fd, command, length;
    fails: MinusOne;
    event: FileLock;
    after |call, _ret| fds::locked_from_here(call, fd, command, length);
}
