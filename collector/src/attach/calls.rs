//! What the call that a thread is stopped in tells of the place where it stands.

use super::target::Target;

/// The kernel restarts the call if no signal's handler runs first; then the call returns EINTR.
const ERESTARTNOHAND: i64 = -514;
/// Calls that return EINTR where nothing but a stop interrupted them.
const ENDED_BY_STOPS: [i64; 6] = [
    libc::SYS_epoll_wait,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_semop,
    libc::SYS_semtimedop,
    libc::SYS_rt_sigtimedwait,
];

/// Has the kernel restart the call that a stop ended, once the thread goes on with these registers.
pub fn restart(registers: &mut libc::user_regs_struct) {
    let is_ended = registers.rax as i64 == -i64::from(libc::EINTR);
    if is_ended && ENDED_BY_STOPS.contains(&(registers.orig_rax as i64)) {
        registers.rax = ERESTARTNOHAND.cast_unsigned();
    }
}

/// Whether a thread in this system call is in no allocator and no loader, as far as the call shows.
///
/// The end of a signal's handler is the end of a call too, in the middle of what the signal interrupted.
pub fn is_safe(target: &Target, registers: &libc::user_regs_struct) -> bool {
    !tells_nothing(registers.orig_rax as i64) && !target.is_loader(registers.rip)
}

/// Whether a thread at the end of this call may be anywhere, or in an allocator. The kernel has no number for
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
