//! A seccomp user-notification listener (seccomp_unotify(2)): receives system calls that wait, and lets
//! them go on.
//!
//! # Safety
//! Each ioctl gets a pointer to a structure of the size that its number names; the kernel writes no more than
//! that. prctl and seccomp get numbers and a program that outlives the call.
#![allow(unsafe_code, reason = "seccomp has no safe interface")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// The kernel wakes the receiver on the caller's processor, and the caller on the receiver's (Linux 6.6).
const SYNC_WAKE_UP: u64 = 1;

/// SECCOMP_IOCTL_NOTIF_ID_VALID as kernels before 5.9 have it, with the direction of a read
/// (`SECCOMP_IOR(2, __u64)`); later ones take both numbers.
const ID_VALID_BEFORE_5_9: u32 = 2 << 30 | 8 << 16 | ('!' as u32) << 8 | 2;

/// A call that waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notification {
    /// Names the call; valid until it is answered or its thread is killed.
    pub id: u64,
    /// The thread, in the pid namespace of this process; 0 where it has no number here.
    pub tid: u32,
    /// The number of the system call, by the calling convention `arch`.
    pub number: u32,
    /// `AUDIT_ARCH_*` (linux/audit.h).
    pub arch: u32,
    /// The address behind the instruction that made the call.
    pub address: u64,
    /// The arguments, as they were when the call was made.
    pub args: [u64; 6],
}

/// The descriptor of a filter's notifications.
#[derive(Debug)]
pub struct Listener(OwnedFd);

/// What waiting for a call came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// A call waits.
    Call,
    /// No process has the filter any more.
    Over,
    /// Neither, in the time given.
    Nothing,
}

impl Listener {
    /// Blocks until a call is made; `None` where it is gone already, or a signal came.
    pub fn receive(&self) -> io::Result<Option<Notification>> {
        // SAFETY: made of integers only. The kernel demands zeroes.
        let mut notified: libc::seccomp_notif = unsafe { std::mem::zeroed() };
        // SAFETY: as the module says.
        let result = unsafe {
            libc::ioctl(self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV as _, &raw mut notified)
        };
        if result != 0 {
            let error = io::Error::last_os_error();
            return match error.raw_os_error() {
                Some(libc::ENOENT | libc::EINTR) => Ok(None),
                _ => Err(error),
            };
        }
        let libc::seccomp_data { nr, arch, instruction_pointer, args } = notified.data;
        Ok(Some(Notification {
            id: notified.id,
            tid: notified.pid,
            number: nr.cast_unsigned(),
            arch,
            address: instruction_pointer,
            args,
        }))
    }

    /// Whether the call still waits: what was read from its process since it was received is the process's.
    pub fn is_waiting(&self, id: u64) -> bool {
        let asks = |number: u32| {
            // SAFETY: as the module says.
            unsafe { libc::ioctl(self.0.as_raw_fd(), number as _, &raw const id) == 0 }
        };
        asks(libc::SECCOMP_IOCTL_NOTIF_ID_VALID as u32)
            || errno() == libc::EINVAL && asks(ID_VALID_BEFORE_5_9)
    }

    /// Has the kernel make the call. An error means that no such call waits.
    pub fn let_go_on(&self, id: u64) -> io::Result<()> {
        let flags = libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32;
        let mut answer = libc::seccomp_notif_resp { id, val: 0, error: 0, flags };
        // SAFETY: as the module says.
        let result =
            unsafe { libc::ioctl(self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND as _, &raw mut answer) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Another descriptor of the same.
    pub fn twin(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }

    /// Receives a call, and lets it go on.
    pub fn let_next_go_on(&self) {
        if let Ok(Some(call)) = self.receive() {
            let _ = self.let_go_on(call.id);
        }
    }

    /// Asks the kernel not to wake another processor for each call. False before Linux 6.6.
    pub fn wake_in_place(&self) -> bool {
        // SAFETY: the argument is the number itself.
        unsafe {
            libc::ioctl(self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS as _, SYNC_WAKE_UP) == 0
        }
    }

    /// Whether a call waits, received or not.
    pub fn has_waiting(&self) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let flags = PollFlags::IN | PollFlags::OUT;
        let mut polled = [PollFd::new(&self.0, flags)];
        poll(&mut polled, Some(&now)).is_ok_and(|ready| ready > 0) && polled[0].revents().intersects(flags)
    }

    /// Waits until a call waits, or no process has the filter.
    pub fn wait(&self, time: Option<Timespec>) -> Waited {
        let mut polled = [PollFd::new(&self.0, PollFlags::IN)];
        match poll(&mut polled, time.as_ref()) {
            Ok(1..) if polled[0].revents().contains(PollFlags::IN) => Waited::Call,
            Ok(1..) => Waited::Over,
            _ => Waited::Nothing,
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<OwnedFd> for Listener {
    fn from(fd: OwnedFd) -> Self {
        Self(fd)
    }
}

/// Puts this thread, and all that it starts, under a filter; makes system calls only. Gives the number of the
/// listener, which closes at exec.
///
/// Without CAP_SYS_ADMIN in its user namespace the process gives up new privileges by exec (`no_new_privs`),
/// which the kernel asks for. Errors are errno: EBUSY where a filter with a listener is there already.
pub fn install(program: &[libc::sock_filter]) -> Result<RawFd, i32> {
    let len = u16::try_from(program.len()).map_err(|_| libc::EINVAL)?;
    let program = libc::sock_fprog { len, filter: program.as_ptr().cast_mut() };
    // Without SPEC_ALLOW kernels before 5.16 switch mitigations on that slow all code down (seccomp(2)).
    let base = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    let killable = base | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    let mut flags = killable;
    let mut has_given_up = false;
    loop {
        // SAFETY: as the module says.
        let listener = unsafe { set_filter(flags, &raw const program) };
        if listener >= 0 {
            return Ok(listener);
        }
        match -listener {
            // Before Linux 5.19.
            libc::EINVAL if flags == killable => flags = base,
            libc::EACCES if !has_given_up => {
                has_given_up = true;
                // SAFETY: numbers only.
                if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
                    return Err(errno());
                }
            }
            error => return Err(error),
        }
    }
}

/// seccomp(2) with `SECCOMP_SET_MODE_FILTER`, by an instruction of our own; gives a number or a negative
/// errno.
///
/// In a patched container LD_PRELOAD reaches this program too, unless it is static. Its sensor judges the
/// filters that a program installs through libc, and would take this one for one that keeps CMD's sensor from
/// starting.
///
/// # Safety
/// `program` is one, and outlives the call.
unsafe fn set_filter(flags: libc::c_ulong, program: *const libc::sock_fprog) -> RawFd {
    let ret: isize;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the caller's promise; the kernel changes rcx and r11 alone (syscall(2)).
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") libc::SYS_seccomp as isize => ret,
            in("rdi") u64::from(libc::SECCOMP_SET_MODE_FILTER),
            in("rsi") flags,
            in("rdx") program,
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: the caller's promise; the kernel changes x0 alone (syscall(2)).
    unsafe {
        std::arch::asm!(
            "svc 0",
            in("x8") libc::SYS_seccomp,
            inlateout("x0") libc::SECCOMP_SET_MODE_FILTER as isize => ret,
            in("x1") flags,
            in("x2") program,
            options(nostack),
        );
    }
    RawFd::try_from(ret).unwrap_or(-libc::EIO)
}

/// The error of the last system call.
pub fn errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
}
