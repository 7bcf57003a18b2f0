//! System calls that rustix does not wrap: peers' pidfds, exit statuses by pidfd, waiting on many futexes,
//! short turns on the processor; and what the C library does with freed memory.
//!
//! # Safety
//! Each call is given pointers to locals of the size that the kernel's interface states, which outlive the
//! call, and descriptors that are borrowed for its time. A kernel that does not know a call or option returns
//! an error.
#![allow(unsafe_code, reason = "system calls without a safe wrapper")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::OnceLock;
use std::sync::atomic::AtomicU32;

use crate::ids::Instance;

/// The process at the other end of a Unix socket, according to the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its pid in this pid namespace; 0 if it has none there.
    pub pid: u32,
    /// Its effective user id when it connected.
    pub uid: u32,
}

fn socket_option<T: Default>(socket: impl AsFd, option: i32) -> io::Result<T> {
    let mut value = T::default();
    let mut len = size_of::<T>() as libc::socklen_t;
    // SAFETY: `value` has room for `len` bytes; both outlive the call.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            (&raw mut value).cast(),
            &raw mut len,
        )
    };
    if result == 0 { Ok(value) } else { Err(io::Error::last_os_error()) }
}

/// SO_PEERCRED of unix(7).
pub fn peer(socket: impl AsFd) -> io::Result<Peer> {
    // struct ucred: pid, uid, gid.
    let [pid, uid, _gid] = socket_option::<[u32; 3]>(socket, libc::SO_PEERCRED)?;
    Ok(Peer { pid, uid })
}

/// SO_PEERPIDFD (Linux 6.5): a pidfd of the peer, also where it has no pid in this namespace.
pub fn peer_pidfd(socket: impl AsFd) -> io::Result<OwnedFd> {
    // include/uapi/asm-generic/socket.h; not in the libc crate for every target.
    const SO_PEERPIDFD: i32 = 77;
    let descriptor: RawFd = socket_option(socket, SO_PEERPIDFD)?;
    // SAFETY: the kernel just made this descriptor, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Whether [`peer_pidfd`] and [`exit_status`] answer for a peer that its parent has waited for already (Linux
/// 6.16).
pub fn tells_of_the_reaped() -> bool {
    let name = rustix::system::uname();
    let mut numbers = name.release().to_bytes().split(|byte| !byte.is_ascii_digit());
    let mut next = || std::str::from_utf8(numbers.next()?).ok()?.parse::<u32>().ok();
    matches!((next(), next()), (Some(major), Some(minor)) if (major, minor) >= (6, 16))
}

/// `struct pidfd_info` of include/uapi/linux/pidfd.h, first version.
#[repr(C)]
#[derive(Default)]
struct PidfdInfo {
    mask: u64,
    cgroup: u64,
    ids: [u32; 11],
    exit_code: i32,
}

const _: () = assert!(size_of::<PidfdInfo>() == 64);

fn pidfd_info(pidfd: impl AsFd, wanted: u64) -> Option<PidfdInfo> {
    const GET_INFO: libc::c_ulong =
        3 << 30 | (size_of::<PidfdInfo>() as libc::c_ulong) << 16 | 0xff << 8 | 11;
    let mut info = PidfdInfo { mask: wanted, ..PidfdInfo::default() };
    // SAFETY: the request's number carries the size of `info`, and the kernel writes no more than that.
    let result = unsafe { libc::ioctl(pidfd.as_fd().as_raw_fd(), GET_INFO as _, &raw mut info) };
    (result == 0 && info.mask & wanted != 0).then_some(info)
}

/// Facts of a running process, as the kernel counts in this process's namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Its pid.
    pub pid: u32,
    /// Its parent's pid; 0 for one outside of this pid namespace.
    pub ppid: u32,
    /// Its user ids.
    pub uids: Uids,
    /// The id of its control group (of the unified hierarchy); `None` where there is none.
    pub cgroup: Option<u64>,
}

/// The user ids of a process (credentials(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uids {
    /// Real.
    pub real: u32,
    /// Effective.
    pub effective: u32,
    /// Saved.
    pub saved: u32,
}

/// The facts of the process behind `pidfd` (PIDFD_GET_INFO); `None` where the kernel cannot say (before 6.13,
/// once it is dead, or of a process without a number in this namespace).
pub fn facts(pidfd: impl AsFd) -> Option<Facts> {
    const PID: u64 = 1;
    const CREDENTIALS: u64 = 1 << 1;
    const CGROUP: u64 = 1 << 2;
    let PidfdInfo { mask, cgroup, ids, .. } = pidfd_info(pidfd, PID | CREDENTIALS | CGROUP)?;
    // The first two are always told of a process that lives; of a dead one there is but the exit.
    if mask & PID == 0 || mask & CREDENTIALS == 0 {
        return None;
    }
    let [pid, _tgid, ppid, real, _rgid, effective, _egid, saved, ..] = ids;
    let cgroup = (mask & CGROUP != 0).then_some(cgroup);
    Some(Facts { pid, ppid, uids: Uids { real, effective, saved }, cgroup })
}

/// The parent of the process behind `pidfd`; `None` where the kernel cannot say (see [`facts`]).
pub fn parent(pidfd: impl AsFd) -> Option<u32> {
    facts(pidfd).map(|facts| facts.ppid)
}

/// The process behind `pidfd`, apart from all that get its number later; `None` where pidfds have no inodes
/// of their own (before 6.9).
pub fn instance(pidfd: impl AsFd) -> Option<Instance> {
    /// `PID_FS_MAGIC` of include/uapi/linux/magic.h.
    const PID_FS_MAGIC: u64 = 0x5049_4446;
    static HAS_INODES: OnceLock<bool> = OnceLock::new();
    let has_inodes =
        || rustix::fs::fstatfs(&pidfd).is_ok_and(|stat| stat.f_type as u64 & 0xffff_ffff == PID_FS_MAGIC);
    if !HAS_INODES.get_or_init(has_inodes) {
        return None;
    }
    rustix::fs::fstat(&pidfd).ok().map(|stat| Instance(stat.st_ino))
}

/// Whether the process behind `pidfd` is dead.
pub fn is_dead(pidfd: impl AsFd) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut polled = [PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN)];
    matches!(poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(1..))
}

/// The wait status of the process behind `pidfd`; `None` where the kernel cannot say (before 6.15, or until
/// its parent has reaped it).
pub fn exit_status(pidfd: impl AsFd) -> Option<i32> {
    const EXIT: u64 = 1 << 3;
    pidfd_info(pidfd, EXIT).map(|info| info.exit_code)
}

/// The control group that a process was in when it ended; `None` where the kernel cannot say (see
/// [`exit_status`]).
pub fn cgroup_of_the_dead(pidfd: impl AsFd) -> Option<u64> {
    const CGROUP: u64 = 1 << 2;
    const EXIT: u64 = 1 << 3;
    let info = pidfd_info(pidfd, CGROUP | EXIT)?;
    (info.mask & CGROUP != 0).then_some(info.cgroup)
}

/// A futex word to wait on, shared between processes, and the value that it must hold for the wait to begin.
///
/// The address must stay mapped only as long as a wait with it runs; the kernel answers EFAULT otherwise.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Waiter {
    value: u64,
    address: u64,
    flags: u32,
    reserved: u32,
}

/// The most words that one call waits on (`FUTEX_WAITV_MAX`).
pub const MOST_WAITERS: usize = 128;

impl Waiter {
    /// A wait until `word` is no longer `value`.
    pub fn new(word: &AtomicU32, value: u32) -> Self {
        const FUTEX2_SIZE_U32: u32 = 2;
        Self {
            value: u64::from(value),
            address: std::ptr::from_ref(word) as u64,
            flags: FUTEX2_SIZE_U32,
            reserved: 0,
        }
    }
}

/// The end of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// A word was woken, or did not hold its value.
    Woken,
    /// The time is up.
    TimedOut,
    /// The kernel has no futex_waitv (before 5.16), or a sandbox refuses it.
    Unsupported,
}

/// Waits until one of the words is woken, or CLOCK_MONOTONIC reaches `deadline_ns` (futex_waitv(2)).
pub fn wait_many(waiters: &[Waiter], deadline_ns: Option<u64>) -> Waited {
    let deadline = deadline_ns.map(|deadline_ns| libc::timespec {
        tv_sec: (deadline_ns / 1_000_000_000) as _,
        tv_nsec: (deadline_ns % 1_000_000_000) as _,
    });
    let timeout = deadline.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: `waiters` has at least as many elements as are passed, laid out as `struct futex_waitv`; the
    // kernel checks the addresses in them. The timeout is null or a timespec.
    let result = unsafe {
        libc::syscall(
            libc::SYS_futex_waitv,
            waiters.as_ptr(),
            waiters.len().min(MOST_WAITERS) as libc::c_uint,
            0,
            timeout,
            libc::CLOCK_MONOTONIC,
        )
    };
    if result >= 0 {
        return Waited::Woken;
    }
    match io::Error::last_os_error().raw_os_error() {
        Some(libc::ETIMEDOUT) => Waited::TimedOut,
        Some(libc::ENOSYS | libc::EPERM) => Waited::Unsupported,
        _ => Waited::Woken,
    }
}

/// Waits until `word` is woken or is not `value`, or for `timeout_ns` (futex(2)).
pub fn wait_one(word: &AtomicU32, value: u32, timeout_ns: Option<u64>) -> Waited {
    let timeout = timeout_ns.map(|timeout_ns| libc::timespec {
        tv_sec: (timeout_ns / 1_000_000_000) as _,
        tv_nsec: (timeout_ns % 1_000_000_000) as _,
    });
    let timeout = timeout.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: `word` is a futex word that outlives the call; the timeout is null or a timespec.
    let result = unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, value, timeout) };
    let is_timeout = result < 0 && io::Error::last_os_error().raw_os_error() == Some(libc::ETIMEDOUT);
    if is_timeout { Waited::TimedOut } else { Waited::Woken }
}

/// Wakes all waiters on `word`.
pub fn wake(word: &AtomicU32) {
    // SAFETY: a wake reads nothing at the address.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, i32::MAX) };
}

/// Asks for short turns on the processor for this thread, and for those that it will start: no more time, but
/// sooner, whatever number of other threads are busy (sched_setattr(2), `sched_runtime`; from Linux 6.12 on).
pub fn ask_for_short_turns() {
    /// A third of what is usual on two processors. Still shorter ones cost: with all on one processor, a
    /// shell that starts programs took 1.3 times as long with 0.1 ms.
    const TURN_NS: u64 = 1_000_000;
    let size = size_of::<libc::sched_attr>() as u32;
    // SAFETY: all of it are numbers.
    let mut attr: libc::sched_attr = unsafe { std::mem::zeroed() };
    // SAFETY: see the module; 0 is this thread.
    let result = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attr, size, 0) };
    if result != 0 || attr.sched_policy != libc::SCHED_OTHER.cast_unsigned() {
        return;
    }
    attr.sched_runtime = TURN_NS;
    // SAFETY: as above. A kernel that refuses leaves the turns as they are.
    unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attr, 0) };
}

/// Has large blocks of memory go back to the system when they are freed: glibc otherwise keeps those that
/// are as large as the largest that was ever freed, among others that are in use (mallopt(3),
/// `M_MMAP_THRESHOLD`).
pub fn return_large_memory() {
    #[cfg(target_env = "gnu")]
    {
        const LARGE_BYTES: i32 = 128 << 10;
        // SAFETY: takes numbers.
        unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE_BYTES) };
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::sync::atomic::Ordering;
    use std::time::{Duration, Instant};

    use rustix::process::{Pid, PidfdFlags, pidfd_open};

    use super::*;

    #[test]
    fn ended_process_says_how() {
        let mut child = Command::new("sh").args(["-c", "exit 7"]).spawn().unwrap();
        let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).unwrap();

        let before = exit_status(&pidfd);
        child.wait().unwrap();
        let after = exit_status(&pidfd);

        assert_eq!(None, before);
        // None on kernels before 6.15.
        assert!(matches!(after, None | Some(0x700)), "{after:?}");
    }

    #[test]
    fn parent_is_known_by_the_pidfd() {
        let mut child = Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).unwrap();

        let parent = parent(&pidfd);
        drop(child.stdin.take());
        child.wait().unwrap();

        // None on kernels before 6.13.
        assert!(parent.is_none_or(|parent| parent == std::process::id()), "{parent:?}");
    }

    #[test]
    fn many_words_are_waited_on_at_once() {
        let words = [AtomicU32::new(0), AtomicU32::new(0)];
        let waiters = [Waiter::new(&words[0], 0), Waiter::new(&words[1], 0)];
        let deadline = crate::system::clock::now_ns() + 5_000_000;

        if wait_many(&waiters, Some(deadline)) == Waited::Unsupported {
            return;
        }
        assert_eq!(Waited::TimedOut, wait_many(&waiters, Some(deadline)));
        let begun = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(20));
                words[1].store(1, Ordering::Relaxed);
                wake(&words[1]);
            });
            assert_eq!(
                Waited::Woken,
                wait_many(&waiters, Some(crate::system::clock::now_ns() + 10_000_000_000))
            );
        });
        assert!(begun.elapsed() < Duration::from_secs(5));
        assert_eq!(Waited::Woken, wait_many(&waiters, None));
    }
}
