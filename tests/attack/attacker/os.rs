//! What the attacks need of the kernel, as functions that are safe to call.
//!
//! # Safety
//! The program has one thread, so that a child of fork(2) may go on as its parent does. Every descriptor is
//! owned by the one value that closes it.

use std::ffi::c_void;
use std::io;
use std::mem::{MaybeUninit, size_of, zeroed};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::AtomicU32;
use std::time::Duration;

/// CLOCK_MONOTONIC, nanoseconds.
pub fn now_ns() -> u64 {
    let mut time = MaybeUninit::<libc::timespec>::zeroed();
    // SAFETY: the pointer is to a timespec of ours, which any bytes make a valid one.
    let time = unsafe {
        libc::clock_gettime(libc::CLOCK_MONOTONIC, time.as_mut_ptr());
        time.assume_init()
    };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Sleeps.
pub fn pause(milliseconds: u64) {
    std::thread::sleep(Duration::from_millis(milliseconds));
}

/// Does nothing until the harness kills the process.
pub fn linger() -> ! {
    loop {
        pause(1000);
    }
}

/// The process's own pid and its parent's, as it sees them.
pub fn pids() -> (u32, u32) {
    (std::process::id(), std::os::unix::process::parent_id())
}

/// Device and inode of a file; zeroes where there is none.
pub fn file(path: &Path) -> [u64; 2] {
    let file = std::fs::metadata(path);
    file.map(|file| [file.dev(), file.ino()]).unwrap_or_default()
}

/// The effective uid.
pub fn uid() -> u32 {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::geteuid() }
}

/// Becomes another user, for which it must be root.
pub fn become_user(uid: u32) {
    // SAFETY: takes numbers only.
    let result = unsafe { libc::setresuid(uid, uid, uid) };
    assert_eq!(0, result, "cannot become user {uid}");
    die_with_parent();
}

/// Runs `work` in a child, which ends with it; gives the child's pid, or 0 where there can be none.
pub fn fork(work: impl FnOnce()) -> i32 {
    // SAFETY: the program has one thread.
    match unsafe { libc::fork() } {
        0 => {
            die_with_parent();
            work();
            // SAFETY: ends the process at once.
            unsafe { libc::_exit(0) }
        }
        child => child.max(0),
    }
}

/// Runs `work` in so many children, and waits for them, which may be for ever.
pub fn fork_many(count: u64, work: impl Fn(u64)) {
    for number in 0..count {
        if fork(|| work(number)) == 0 {
            eprintln!("attacker: no more than {number} processes");
            break;
        }
    }
    while reap(true) {}
}

/// Takes in the end of a child; false where none has ended (or none is left).
pub fn reap(waits: bool) -> bool {
    // SAFETY: a null status is allowed.
    unsafe { libc::waitpid(-1, null_mut(), if waits { 0 } else { libc::WNOHANG }) > 0 }
}

/// Lets the process be killed when its parent ends.
pub fn die_with_parent() {
    // SAFETY: takes numbers only.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
}

/// A memfd of this length, with these seals.
pub fn memfd(len: u64, seals: i32) -> io::Result<OwnedFd> {
    let flags = libc::MFD_ALLOW_SEALING | libc::MFD_CLOEXEC;
    // SAFETY: a string ended by a NUL.
    let fd = own(unsafe { libc::memfd_create(c"glassbox".as_ptr(), flags) })?;
    // SAFETY: takes numbers only.
    number(unsafe { libc::ftruncate(fd.as_raw_fd(), len as i64) })?;
    // SAFETY: takes numbers only.
    number(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_ADD_SEALS, seals) })?;
    Ok(fd)
}

/// Maps a whole file, shared and writable, for as long as the process lives.
pub fn map(fd: &OwnedFd, len: u64) -> io::Result<NonNull<u8>> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping at a place of the kernel's choice touches no other memory.
    let base =
        unsafe { libc::mmap(null_mut(), len as usize, protection, libc::MAP_SHARED, fd.as_raw_fd(), 0) };
    if base == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(base.cast()).ok_or_else(io::Error::last_os_error)
}

/// Takes a mapping away.
pub fn unmap(base: NonNull<u8>, len: u64) {
    // SAFETY: the caller is the mapping's only owner, and is being dropped.
    unsafe { libc::munmap(base.as_ptr().cast(), len as usize) };
}

/// Wakes all that wait at a futex word.
pub fn wake(word: &AtomicU32) {
    // SAFETY: the word is valid; FUTEX_WAKE reads nothing else.
    unsafe { libc::syscall(libc::SYS_futex, std::ptr::from_ref(word), libc::FUTEX_WAKE, i32::MAX, 0, 0, 0) };
}

/// A packet socket that is not connected.
pub fn packet_socket() -> io::Result<OwnedFd> {
    // SAFETY: takes numbers only.
    own(unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC, 0) })
}

/// Connects `socket` to a path, or to `@name`.
pub fn connect(socket: &OwnedFd, to: &str) -> io::Result<()> {
    // SAFETY: any bytes are a valid sockaddr_un.
    let mut address: libc::sockaddr_un = unsafe { zeroed() };
    address.sun_family = libc::AF_UNIX as u16;
    let name = to.replacen('@', "\0", usize::from(to.starts_with('@')));
    for (place, byte) in address.sun_path.iter_mut().zip(name.bytes()) {
        *place = byte as libc::c_char;
    }
    let is_path = usize::from(!to.starts_with('@'));
    let len = size_of::<libc::sa_family_t>() + name.len() + is_path;
    // SAFETY: the address lives for the call and is at least as long as `len`.
    number(unsafe { libc::connect(socket.as_raw_fd(), (&raw const address).cast(), len as u32) }).map(drop)
}

/// Sends one packet, with these descriptors; does not wait.
pub fn send(socket: &OwnedFd, bytes: &[u8], descriptors: &[RawFd]) -> io::Result<()> {
    let mut control = vec![0_u64; 8 + descriptors.len()];
    let mut slice =
        libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast::<c_void>(), iov_len: bytes.len() };
    // SAFETY: any bytes are a valid msghdr.
    let mut message: libc::msghdr = unsafe { zeroed() };
    message.msg_iov = &raw mut slice;
    message.msg_iovlen = 1;
    if !descriptors.is_empty() {
        let len = size_of_val(descriptors) as u32;
        message.msg_control = control.as_mut_ptr().cast();
        // SAFETY: computes a length.
        message.msg_controllen = unsafe { libc::CMSG_SPACE(len) } as usize;
        // SAFETY: the buffer is aligned for a cmsghdr and longer than one with these descriptors.
        unsafe {
            let header = &mut *libc::CMSG_FIRSTHDR(&raw const message);
            header.cmsg_level = libc::SOL_SOCKET;
            header.cmsg_type = libc::SCM_RIGHTS;
            header.cmsg_len = libc::CMSG_LEN(len) as usize;
            let place = libc::CMSG_DATA(header).cast::<RawFd>();
            std::ptr::copy_nonoverlapping(descriptors.as_ptr(), place, descriptors.len());
        }
    }
    let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
    // SAFETY: the message and all that it points to live for the call.
    match unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, flags) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Waits, no longer than a second, until there is something to read.
pub fn await_input(socket: &impl AsRawFd) {
    let mut polled = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one pollfd, which lives for the call.
    unsafe { libc::poll(&raw mut polled, 1, 1000) };
}

/// An epoll instance.
pub fn epoll() -> OwnedFd {
    // SAFETY: takes numbers only.
    own(unsafe { libc::epoll_create1(0) }).unwrap_or_else(|error| panic!("no epoll: {error}"))
}

/// Adds a descriptor to an epoll instance.
pub fn watch(epoll: &OwnedFd, fd: &impl AsRawFd) {
    let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 0 };
    // SAFETY: the event lives for the call.
    unsafe { libc::epoll_ctl(epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, fd.as_raw_fd(), &raw mut event) };
}

/// Throws away the packets that are there.
pub fn drain(socket: &impl AsRawFd) {
    let mut byte = 0_u8;
    // SAFETY: the buffer has room for the one byte that is asked for.
    while unsafe { libc::recv(socket.as_raw_fd(), (&raw mut byte).cast(), 1, libc::MSG_DONTWAIT) } > 0 {}
}

/// Lets close(2) of a socket wait so many seconds for its unsent data.
pub fn set_linger(socket: &impl AsRawFd, seconds: i32) {
    let slow = libc::linger { l_onoff: 1, l_linger: seconds };
    let len = size_of::<libc::linger>() as u32;
    let value = (&raw const slow).cast();
    // SAFETY: the value lives for the call and is as long as `len`.
    unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, value, len) };
}

/// Makes the receive buffer of a socket small.
pub fn set_small_buffer(socket: &impl AsRawFd) {
    let bytes: i32 = 2048;
    let value = (&raw const bytes).cast();
    // SAFETY: the value lives for the call and is as long as said.
    unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_RCVBUF, value, 4) };
}

/// Puts two files in each other's place.
pub fn exchange(one: &str, other: &str) {
    let name = |path: &str| std::ffi::CString::new(path).unwrap_or_default();
    let (one, other) = (name(one), name(other));
    let here = libc::AT_FDCWD;
    // SAFETY: strings ended by a NUL, which live for the call.
    unsafe {
        libc::syscall(libc::SYS_renameat2, here, one.as_ptr(), here, other.as_ptr(), libc::RENAME_EXCHANGE)
    };
}

/// Makes a FIFO.
pub fn make_fifo(path: &str) {
    let path = std::ffi::CString::new(path).unwrap_or_default();
    // SAFETY: a string ended by a NUL.
    unsafe { libc::mkfifo(path.as_ptr(), 0o755) };
}

/// Raises the soft limit of open files to the hard one.
pub fn raise_file_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: pointers to a value of ours.
    unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        limit.rlim_cur = limit.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
    }
}

fn number(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn own(result: i32) -> io::Result<OwnedFd> {
    let fd = number(result)?;
    // SAFETY: the kernel has just given the descriptor, and nothing else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
