//! The sensor's own system calls and the vDSO clock. No other file of the sensor makes a system call.
//!
//! They never go through libc, so they touch no errno and are never seen by a hook. None of them is made on
//! the path of a hooked call, except where the caller says why (waking a sleeping collector, a thread's first
//! event, an exec).
//!
//! # Safety
//! The wrappers take pointers and lengths of the caller's own values, so what they pass to the kernel is
//! valid for the length of the call.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicUsize, Ordering};

use crate::arch::syscall6;

/// A system call's error number, positive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub i32);

/// The result of a system call.
pub type Result<T> = core::result::Result<T, Errno>;

macro_rules! call {
    ($number:ident $(, $argument:expr)*) => {{
        // SAFETY: the module's argument: every pointer comes from a reference that lives until the call
        // returns.
        check(unsafe { syscall6(libc::$number as usize, six([$($argument as usize),*])) })
    }};
}

/// Written out: in a library built for size a loop stays one, in each of the calls.
#[inline(always)]
fn six<const N: usize>(given: [usize; N]) -> [usize; 6] {
    let at = |index: usize| given.get(index).copied().unwrap_or(0);
    [at(0), at(1), at(2), at(3), at(4), at(5)]
}

#[inline(always)]
fn check(result: isize) -> Result<usize> {
    if (-4095..0).contains(&result) { Err(Errno(-result as i32)) } else { Ok(result as usize) }
}

/// Reads a file's beginning into `buffer`; gives the bytes read.
pub fn read_file(path: &CStr, buffer: &mut [u8]) -> Result<usize> {
    let flags = libc::O_RDONLY | libc::O_CLOEXEC;
    let fd = call!(SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags)? as i32;
    let read = call!(SYS_read, fd, buffer.as_mut_ptr(), buffer.len());
    close(fd);
    read
}

/// Reads the beginning of a regular file of the program's into `buffer`; gives the bytes read. `path` is
/// relative to the open directory `dir`. Any other file is not even opened: the open of a FIFO wakes its
/// writer, that of a device may do anything, and what is read of a pipe is gone.
pub fn read_regular(dir: c_int, path: *const c_char, buffer: &mut [u8]) -> Result<&[u8]> {
    if status(dir, path, 0)?.st_mode & libc::S_IFMT != libc::S_IFREG {
        return Err(Errno(libc::EACCES));
    }
    let flags = libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NOCTTY | libc::O_NONBLOCK;
    let fd = call!(SYS_openat, dir, path, flags)? as i32;
    let read = call!(SYS_pread64, fd, buffer.as_mut_ptr(), buffer.len(), 0);
    close(fd);
    buffer.get(..read?).ok_or(Errno(libc::EIO))
}

/// close(2), for descriptors of our own.
pub fn close(fd: c_int) {
    let _ = call!(SYS_close, fd);
}

/// The auxiliary vector as the kernel made it, as pairs; gives the words (prctl(2), `PR_GET_AUXV`, Linux
/// 6.4).
pub fn auxiliary_vector(into: &mut [usize]) -> Result<usize> {
    const PR_GET_AUXV: usize = 0x4155_5856;
    let bytes = size_of_val(into);
    let got = call!(SYS_prctl, PR_GET_AUXV, into.as_mut_ptr(), bytes, 0, 0)?;
    Ok(got.min(bytes) / size_of::<usize>())
}

/// The same from `/proc`, where emulators put the one that they made.
pub fn auxiliary_file(into: &mut [usize]) -> Result<usize> {
    let bytes = size_of_val(into);
    // SAFETY: any bytes are valid numbers, and the length is the slice's own.
    let raw = unsafe { core::slice::from_raw_parts_mut(into.as_mut_ptr().cast::<u8>(), bytes) };
    Ok(read_file(c"/proc/self/auxv", raw)? / size_of::<usize>())
}

/// getpid(2).
pub fn getpid() -> u32 {
    call!(SYS_getpid).unwrap_or(0) as u32
}

/// getppid(2); 0 when the parent is outside the pid namespace.
pub fn getppid() -> u32 {
    call!(SYS_getppid).unwrap_or(0) as u32
}

/// gettid(2).
pub fn gettid() -> u32 {
    call!(SYS_gettid).unwrap_or(0) as u32
}

/// Real and effective user id, real and effective group id, at the moment.
pub fn ids() -> [u32; 4] {
    [call!(SYS_getuid), call!(SYS_geteuid), call!(SYS_getgid), call!(SYS_getegid)]
        .map(|id| id.unwrap_or(0) as u32)
}

/// readlink(2); gives the bytes of the target.
pub fn readlink<'b>(path: &CStr, buffer: &'b mut [u8]) -> Result<&'b [u8]> {
    let len = call!(SYS_readlinkat, libc::AT_FDCWD, path.as_ptr(), buffer.as_mut_ptr(), buffer.len())?;
    buffer.get(..len).ok_or(Errno(libc::ENAMETOOLONG))
}

/// The name that /proc has for a descriptor of this process.
pub struct DescriptorName([u8; 40]);

impl DescriptorName {
    /// The name of `fd`, which is not negative.
    pub fn of(fd: c_int) -> Self {
        // In a spelling that no program uses, so that a loader does not take it for the name of another file.
        const FOLDER: &[u8] = b"/proc/self/./fd/";
        let mut name = [0; 40];
        let (mut rest, mut digits) = (fd.unsigned_abs(), 1);
        while rest >= 10 {
            (rest, digits) = (rest / 10, digits + 1);
        }
        rest = fd.unsigned_abs();
        name.iter_mut().zip(FOLDER).for_each(|(to, from)| *to = *from);
        for place in name.iter_mut().skip(FOLDER.len()).take(digits).rev() {
            *place = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        Self(name)
    }

    /// The name, without its NUL.
    pub fn bytes(&self) -> &[u8] {
        self.0.split(|byte| *byte == 0).next().unwrap_or_default()
    }

    /// The name as a C string.
    pub fn as_ptr(&self) -> *const c_char {
        self.0.as_ptr().cast()
    }
}

/// The link that /proc shows for a descriptor of this process; empty where it cannot be read, or is longer
/// than the buffer.
pub fn descriptor_link(fd: c_int, buffer: &mut [u8]) -> &[u8] {
    let (name, len) = (DescriptorName::of(fd), buffer.len());
    let link = CStr::from_bytes_until_nul(&name.0).map_err(|_| Errno(libc::EINVAL));
    link.and_then(|link| readlink(link, buffer)).ok().filter(|link| link.len() < len).unwrap_or_default()
}

/// getcwd(2); gives the path without its NUL.
pub fn getcwd(buffer: &mut [u8]) -> Result<&[u8]> {
    let len = call!(SYS_getcwd, buffer.as_mut_ptr(), buffer.len())?;
    buffer.get(..len.saturating_sub(1)).ok_or(Errno(libc::ERANGE))
}

/// The alternate stack of signal handlers of this thread, while it is there (sigaltstack(2)): from its lowest
/// byte, so many.
pub fn signal_stack() -> Result<(usize, usize)> {
    // `stack_t`: address, flags, size.
    let mut words = [0usize; 3];
    call!(SYS_sigaltstack, 0, words.as_mut_ptr())?;
    let [lowest, _, len] = words;
    Ok((lowest, len))
}

/// Whether a path leads to a regular file that may be executed (faccessat(2) with X_OK, and its type); else
/// the error that its execution would give.
pub fn program_at(dir: c_int, path: &CStr) -> Result<()> {
    call!(SYS_faccessat, dir, path.as_ptr(), libc::X_OK)?;
    let is_regular = status(dir, path.as_ptr(), 0)?.st_mode & libc::S_IFMT == libc::S_IFREG;
    if is_regular { Ok(()) } else { Err(Errno(libc::EACCES)) }
}

/// An anonymous private mapping.
pub fn map_anonymous(len: usize) -> Result<*mut u8> {
    let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    call!(SYS_mmap, 0, len, protection, flags, -1isize, 0).map(|address| address as *mut u8)
}

/// A shared mapping of `fd` from its start.
pub fn map_shared(fd: c_int, len: usize) -> Result<*mut u8> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    call!(SYS_mmap, 0, len, protection, libc::MAP_SHARED, fd, 0).map(|address| address as *mut u8)
}

/// mprotect(2).
///
/// # Safety
/// No code relies on the pages' present protection.
pub unsafe fn protect(address: usize, len: usize, protection: c_int) -> Result<()> {
    call!(SYS_mprotect, address, len, protection).map(|_| ())
}

/// munmap(2).
///
/// # Safety
/// Nothing uses the mapping any more.
pub unsafe fn unmap(address: *mut u8, len: usize) {
    let _ = call!(SYS_munmap, address, len);
}

/// munlock(2).
pub fn unlock(address: usize, len: usize) {
    let _ = call!(SYS_munlock, address, len);
}

/// Sleeps (nanosleep(2)).
pub fn nap(time_ns: u64) {
    let time = [time_ns / 1_000_000_000, time_ns % 1_000_000_000];
    let _ = call!(SYS_nanosleep, time.as_ptr(), 0);
}

/// madvise(2): advice about our own mappings, which may be refused.
pub fn advise(address: *mut u8, len: usize, advice: c_int) -> Result<()> {
    call!(SYS_madvise, address, len, advice).map(|_| ())
}

/// memfd_create(2), then its length and its seals: it can neither shrink nor grow.
pub fn sealed_memfd(name: &CStr, len: u64) -> Result<c_int> {
    let fd = call!(SYS_memfd_create, name.as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING)? as i32;
    let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
    let sealed = call!(SYS_ftruncate, fd, len).and_then(|_| call!(SYS_fcntl, fd, libc::F_ADD_SEALS, seals));
    match sealed {
        Ok(_) => Ok(fd),
        Err(error) => {
            close(fd);
            Err(error)
        }
    }
}

/// The soft limit of a resource, getrlimit(2).
pub fn soft_limit(resource: u32) -> u64 {
    let mut limit = MaybeUninit::<libc::rlimit64>::zeroed();
    match call!(SYS_prlimit64, 0, resource, 0, limit.as_mut_ptr()) {
        // SAFETY: zeroed is a valid value, and the kernel has written it.
        Ok(_) => unsafe { limit.assume_init() }.rlim_cur,
        Err(_) => u64::MAX,
    }
}

/// Processor time and largest resident set of this process so far.
pub fn usage() -> Option<wire::events::Usage> {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    call!(SYS_getrusage, libc::RUSAGE_SELF, usage.as_mut_ptr()).ok()?;
    // SAFETY: zeroed is a valid value, and the kernel has written it.
    let usage = unsafe { usage.assume_init() };
    Some(usage_of(&usage))
}

/// Reads the parts of a `struct rusage` that events show.
pub fn usage_of(usage: &libc::rusage) -> wire::events::Usage {
    let ns = |time: libc::timeval| {
        (time.tv_sec as u64).saturating_mul(1_000_000_000).saturating_add(time.tv_usec as u64 * 1000)
    };
    wire::events::Usage {
        user_ns: ns(usage.ru_utime),
        system_ns: ns(usage.ru_stime),
        max_rss: (usage.ru_maxrss as u64).saturating_mul(1024),
    }
}

/// Wakes one waiter of a futex that processes share.
#[cold]
pub fn wake(word: *const u32) {
    let _ = call!(SYS_futex, word, libc::FUTEX_WAKE, 1);
}

/// A Unix socket for one packet, never blocking, never inherited.
pub fn packet_socket() -> Result<c_int> {
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    call!(SYS_socket, libc::AF_UNIX, kind, 0).map(|fd| fd as i32)
}

/// connect(2) to a Unix address.
pub fn connect(fd: c_int, address: &libc::sockaddr_un, len: usize) -> Result<()> {
    call!(SYS_connect, fd, &raw const *address, len).map(|_| ())
}

/// The process that listens at the other end, as this process's namespaces number it: its pid is 0 where they
/// do not.
pub fn peer(fd: c_int) -> Result<libc::ucred> {
    let mut credentials = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut len = size_of_val(&credentials) as libc::socklen_t;
    call!(SYS_getsockopt, fd, libc::SOL_SOCKET, libc::SO_PEERCRED, &raw mut credentials, &raw mut len)?;
    Ok(credentials)
}

/// Makes the socket's calls wait, those of one direction (`SO_SNDTIMEO`, `SO_RCVTIMEO`) for at most so many
/// microseconds.
pub fn wait_at_most(fd: c_int, direction: c_int, most_us: u64) -> Result<()> {
    // `struct timeval`.
    let most = [most_us / 1_000_000, most_us % 1_000_000];
    call!(SYS_setsockopt, fd, libc::SOL_SOCKET, direction, most.as_ptr(), size_of_val(&most))?;
    call!(SYS_fcntl, fd, libc::F_SETFL, 0).map(|_| ())
}

/// Makes [`receive_with_credentials`] possible (SO_PASSCRED, unix(7)).
pub fn pass_credentials(fd: c_int) -> Result<()> {
    let on: c_int = 1;
    call!(SYS_setsockopt, fd, libc::SOL_SOCKET, libc::SO_PASSCRED, &raw const on, size_of_val(&on))
        .map(|_| ())
}

/// Receives one packet; gives its length, and the credentials that its sender showed.
pub fn receive_with_credentials(fd: c_int, packet: &mut [u8]) -> Result<(usize, libc::ucred)> {
    #[repr(C, align(8))]
    struct Control {
        header: libc::cmsghdr,
        sender: libc::ucred,
        _padding: c_int,
    }
    // SAFETY: all-zero is valid for both, which hold numbers and pointers.
    let (mut message, mut control): (libc::msghdr, Control) =
        unsafe { (MaybeUninit::zeroed().assume_init(), MaybeUninit::zeroed().assume_init()) };
    let mut part = libc::iovec { iov_base: packet.as_mut_ptr().cast::<c_void>(), iov_len: packet.len() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = (&raw mut control).cast();
    message.msg_controllen = size_of::<Control>() as _;
    let len = call!(SYS_recvmsg, fd, &raw mut message, libc::MSG_CMSG_CLOEXEC)?;
    let is_sender = control.header.cmsg_level == libc::SOL_SOCKET
        && control.header.cmsg_type == libc::SCM_CREDENTIALS
        && control.header.cmsg_len == size_of::<libc::cmsghdr>() + size_of::<libc::ucred>();
    if is_sender { Ok((len.min(packet.len()), control.sender)) } else { Err(Errno(libc::EPERM)) }
}

/// Whether this process may signal every process of its user namespace (CAP_KILL). True where the kernel does
/// not say.
pub fn may_signal_others() -> bool {
    const VERSION_3: u32 = 0x2008_0522;
    const CAP_KILL: u32 = 5;
    let (header, mut sets) = ([VERSION_3, 0], [u32::MAX; 6]);
    let asked = call!(SYS_capget, header.as_ptr(), sets.as_mut_ptr());
    let [effective, ..] = sets;
    asked.is_err() || effective >> CAP_KILL & 1 != 0
}

/// Whether this process may signal the one that listens at the other end; false before Linux 6.5, which names
/// no peer that cannot have become another process.
pub fn may_signal_peer(fd: c_int) -> bool {
    const SO_PEERPIDFD: c_int = 77;
    let mut pidfd: c_int = -1;
    let mut len = size_of_val(&pidfd) as libc::socklen_t;
    if call!(SYS_getsockopt, fd, libc::SOL_SOCKET, SO_PEERPIDFD, &raw mut pidfd, &raw mut len).is_err() {
        return false;
    }
    let may = call!(SYS_pidfd_send_signal, pidfd, 0, 0, 0).is_ok();
    close(pidfd);
    may
}

/// A descriptor that only says which file a path leads to (open(2), O_PATH). `path` ends in a NUL.
pub fn locate(path: &[u8]) -> Result<c_int> {
    let path = CStr::from_bytes_until_nul(path).map_err(|_| Errno(libc::EINVAL))?;
    let flags = libc::O_PATH | libc::O_CLOEXEC;
    call!(SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags).map(|fd| fd as i32)
}

/// Whether the descriptor's file is what a mount shows, and the mount is read-only in this mount namespace.
/// Before Linux 5.8, which does not say the one: whether it lies on a read-only mount.
pub fn is_read_only_mount(fd: c_int) -> bool {
    const STATX_ATTR_MOUNT_ROOT: u64 = 0x2000;
    let mut stat = MaybeUninit::<libc::statx>::zeroed();
    let shown = call!(SYS_statx, fd, c"".as_ptr(), libc::AT_EMPTY_PATH, 0, stat.as_mut_ptr());
    // SAFETY: zeroed is a valid value, and the kernel has written it, if anything.
    let stat = unsafe { stat.assume_init() };
    let is_within = stat.stx_attributes_mask & !stat.stx_attributes & STATX_ATTR_MOUNT_ROOT != 0;
    if shown.is_ok() && is_within {
        return false;
    }
    // `struct statfs` of machines with words of 64 bits: the eleventh word is `f_flags`.
    let mut words = [0usize; 15];
    let [.., flags, _, _, _, _] = match call!(SYS_fstatfs, fd, words.as_mut_ptr()) {
        Ok(_) => words,
        Err(_) => return false,
    };
    flags & libc::ST_RDONLY as usize != 0
}

/// The device and the inode of the file behind a path, which ends in a NUL.
pub fn file(path: *const c_char) -> Result<[u64; 2]> {
    status(libc::AT_FDCWD, path, 0).map(|stat| [stat.st_dev, stat.st_ino])
}

/// The inode behind a path.
pub fn inode(path: &CStr) -> Result<u64> {
    status(libc::AT_FDCWD, path.as_ptr(), 0).map(|stat| stat.st_ino)
}

/// Whether this process may read the file behind a path, as it is and has its rights now; else the error of
/// opening it. Before Linux 5.8, and where a filter does not know the call, whether the path leads to a file.
pub fn may_read(path: &CStr) -> Result<()> {
    match call!(SYS_faccessat2, libc::AT_FDCWD, path.as_ptr(), libc::R_OK, libc::AT_EACCESS) {
        Err(Errno(libc::ENOSYS | libc::EPERM)) => inode(path).map(drop),
        answer => answer.map(drop),
    }
}

/// Whether this process has one thread: /proc/self/task has a folder for each (inode(7), the link count of a
/// folder). False where that is not shown.
pub fn is_only_thread() -> bool {
    status(libc::AT_FDCWD, c"/proc/self/task".as_ptr(), 0).is_ok_and(|stat| stat.st_nlink == 3)
}

/// The owner and the mode of the descriptor's file.
pub fn owner(fd: c_int) -> Result<(u32, u32)> {
    status(fd, c"".as_ptr(), libc::AT_EMPTY_PATH).map(|stat| (stat.st_uid, stat.st_mode))
}

fn status(dir: c_int, path: *const c_char, flags: c_int) -> Result<libc::stat> {
    let mut stat = MaybeUninit::<libc::stat>::zeroed();
    call!(SYS_newfstatat, dir, path, stat.as_mut_ptr(), flags)?;
    // SAFETY: zeroed is a valid value, and the kernel has written it.
    Ok(unsafe { stat.assume_init() })
}

/// flock(2), shared: held until the last holder of the open file description is gone; a mapping of it counts
/// as one.
pub fn hold(fd: c_int) {
    let _ = call!(SYS_flock, fd, libc::LOCK_SH | libc::LOCK_NB);
}

/// getpeername(2) into `address`; gives the address's length.
pub fn peer_address(fd: c_int, address: &mut [u8]) -> Result<usize> {
    let mut len = address.len() as libc::socklen_t;
    call!(SYS_getpeername, fd, address.as_mut_ptr(), &raw mut len)?;
    Ok((len as usize).min(address.len()))
}

/// The error that a socket keeps for its next call, which is taken away from there (socket(7), SO_ERROR).
pub fn socket_error(fd: c_int) -> Result<c_int> {
    let mut error: c_int = 0;
    let mut len = size_of_val(&error) as libc::socklen_t;
    call!(SYS_getsockopt, fd, libc::SOL_SOCKET, libc::SO_ERROR, &raw mut error, &raw mut len)?;
    Ok(error)
}

/// getsockname(2) into `address`; gives the address's length.
pub fn own_address(fd: c_int, address: &mut [u8]) -> Result<usize> {
    let mut len = address.len() as libc::socklen_t;
    call!(SYS_getsockname, fd, address.as_mut_ptr(), &raw mut len)?;
    Ok((len as usize).min(address.len()))
}

/// Sends one packet, and with it a descriptor if `passed` is one. No signal is raised if the peer is gone.
pub fn send_packet(fd: c_int, packet: &[u8], passed: Option<c_int>) -> Result<()> {
    #[repr(C, align(8))]
    struct Control {
        header: libc::cmsghdr,
        fd: c_int,
        _padding: c_int,
    }
    // SAFETY: all-zero is a valid msghdr and a valid cmsghdr (musl's have private padding).
    let (mut message, mut header): (libc::msghdr, libc::cmsghdr) =
        unsafe { (MaybeUninit::zeroed().assume_init(), MaybeUninit::zeroed().assume_init()) };
    header.cmsg_len = (size_of::<libc::cmsghdr>() + size_of::<c_int>()) as _;
    header.cmsg_level = libc::SOL_SOCKET;
    header.cmsg_type = libc::SCM_RIGHTS;
    let mut control = Control { header, fd: passed.unwrap_or(-1), _padding: 0 };
    let mut part =
        libc::iovec { iov_base: packet.as_ptr().cast_mut().cast::<c_void>(), iov_len: packet.len() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    if passed.is_some() {
        message.msg_control = (&raw mut control).cast();
        message.msg_controllen = size_of::<Control>() as _;
    }
    call!(SYS_sendmsg, fd, &raw const message, libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT).map(|_| ())
}

/// Whether the kernel can read the byte at `address`, which is what it will try when it gets the pointer.
/// True also where the kernel, or a filter, has no answer. `pid` is our own.
pub fn is_readable(pid: u32, address: usize) -> bool {
    let mut byte = [0u8; 8];
    let local = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    let remote = libc::iovec { iov_base: address as *mut c_void, iov_len: 1 };
    let read = call!(SYS_process_vm_readv, pid, &raw const local, 1, &raw const remote, 1, 0);
    read != Err(Errno(libc::EFAULT))
}

/// The vDSO's clock_gettime, or 0.
static CLOCK: AtomicUsize = AtomicUsize::new(0);

/// Makes [`now_ns`] use the vDSO's function at this address.
pub fn use_clock(clock_gettime: usize) {
    CLOCK.store(clock_gettime, Ordering::Relaxed);
}

/// CLOCK_MONOTONIC in nanoseconds.
#[inline]
pub fn now_ns() -> u64 {
    read_clock(libc::CLOCK_MONOTONIC)
}

/// CLOCK_MONOTONIC and CLOCK_REALTIME of one moment, unless the thread loses the processor in between again
/// and again.
pub fn both_clocks() -> (u64, u64) {
    const CLOSE_NS: u64 = 1_000_000;
    let mut read = (0, 0);
    for _ in 0..4 {
        read = (now_ns(), read_clock(libc::CLOCK_REALTIME));
        if now_ns().wrapping_sub(read.0) < CLOSE_NS {
            break;
        }
    }
    read
}

#[inline(always)]
fn read_clock(which: c_int) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let clock = CLOCK.load(Ordering::Relaxed);
    if clock == 0 {
        let _ = call!(SYS_clock_gettime, which, &raw mut time);
    } else {
        type ClockGettime = unsafe extern "C" fn(c_int, *mut libc::timespec) -> c_int;
        // SAFETY: `use_clock` was given the address of the vDSO's function, which has this type (man 7 vdso);
        // it stays mapped for the life of the process.
        unsafe { core::mem::transmute::<usize, ClockGettime>(clock)(which, &raw mut time) };
    }
    (time.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec as u64)
}

/// A pointer that is certainly no object's address: the pages next to null, and what no address space
/// reaches.
pub fn is_wild(pointer: *const c_char) -> bool {
    (pointer as usize) < 4096 || (pointer as usize) >= 1 << 56
}
