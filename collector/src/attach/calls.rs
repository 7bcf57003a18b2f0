//! What the call that a thread is stopped in tells of the place where it stands.

use super::target::Target;

/// Calls that return EINTR where nothing but a stop interrupted them; those of sockets do so with SO_RCVTIMEO
/// or SO_SNDTIMEO (signal(7)).
const ENDED_BY_STOPS: &[i64] = &[
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_wait,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_semop,
    libc::SYS_semtimedop,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_recvmmsg,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_connect,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_sendmmsg,
    libc::SYS_io_getevents,
    IO_PGETEVENTS,
    libc::SYS_io_uring_enter,
];

/// `__NR_io_pgetevents`, for which libc has no name here.
const IO_PGETEVENTS: i64 = if cfg!(target_arch = "aarch64") { 292 } else { 333 };

/// Whether this call returns EINTR where nothing but a stop interrupted it.
pub fn is_ended_by_stops(call: i64) -> bool {
    ENDED_BY_STOPS.contains(&call)
}

/// Whether a thread in this system call, made at `place`, is in no allocator and no loader, as far as the
/// call shows.
///
/// The end of a signal's handler is the end of a call too, in the middle of what the signal interrupted.
pub fn is_safe(target: &Target, call: i64, place: u64) -> bool {
    !tells_nothing(call) && !target.is_loader(place)
}

/// Whether a thread at this call may be anywhere, or in an allocator. The kernel has no number for
/// the end of rt_sigreturn(2) (`restore_sigcontext` in arch/x86/kernel/signal_64.c).
fn tells_nothing(call: i64) -> bool {
    let anywhere = [
        -1,
        libc::SYS_rt_sigreturn,
        libc::SYS_execve,
        libc::SYS_execveat,
        libc::SYS_brk,
        libc::SYS_mmap,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_mprotect,
        libc::SYS_madvise,
    ];
    anywhere.contains(&call)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_signal_handler_is_no_place_between_calls() {
        assert!([-1, libc::SYS_rt_sigreturn, libc::SYS_mmap].into_iter().all(tells_nothing));
        assert!(![libc::SYS_read, libc::SYS_futex, libc::SYS_restart_syscall].into_iter().any(tells_nothing));
    }
}
