//! What the call that a thread is stopped in tells of the place where it stands.

use super::target::Target;

/// The kernel continues the call by restart_syscall(2).
const ERESTART_RESTARTBLOCK: i64 = -516;
/// The kernel restarts the call if no signal's handler runs first; then the call returns EINTR.
const ERESTARTNOHAND: i64 = -514;
/// Calls that return EINTR where nothing but a stop interrupted them; those of sockets do so with SO_RCVTIMEO
/// or SO_SNDTIMEO (signal(7)).
const ENDED_BY_STOPS: [i64; 22] = [
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
const IO_PGETEVENTS: i64 = 333;

/// Whether the kernel is to continue the call that a stop interrupted by restart_syscall(2).
pub fn is_continued(registers: &libc::user_regs_struct) -> bool {
    registers.orig_rax as i64 >= 0 && registers.rax as i64 == ERESTART_RESTARTBLOCK
}

/// Has the kernel begin the call anew, with its whole time limit.
pub fn begin_anew(registers: &mut libc::user_regs_struct) {
    registers.rax = ERESTARTNOHAND.cast_unsigned();
}

/// Has the kernel restart the call that a stop ended, once the thread goes on with these registers.
pub fn restart(registers: &mut libc::user_regs_struct) {
    let is_ended = registers.rax as i64 == -i64::from(libc::EINTR);
    if is_ended && ENDED_BY_STOPS.contains(&(registers.orig_rax as i64)) {
        begin_anew(registers);
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
    fn a_call_that_a_stop_ended_is_restarted_and_no_other() {
        let after = |call: i64, answer: i64| {
            let mut registers = crate::attach::ptrace::no_registers();
            (registers.orig_rax, registers.rax) = (call as u64, answer as u64);
            restart(&mut registers);
            registers.rax as i64
        };
        let ended = -i64::from(libc::EINTR);
        assert_eq!(ERESTARTNOHAND, after(libc::SYS_recvfrom, ended));
        assert_eq!(ERESTARTNOHAND, after(libc::SYS_connect, ended));
        assert_eq!(ended, after(libc::SYS_nanosleep, ended));
        assert_eq!(3, after(libc::SYS_recvfrom, 3));
    }

    #[test]
    fn the_end_of_a_signal_handler_is_no_place_between_calls() {
        assert!([-1, libc::SYS_rt_sigreturn, libc::SYS_mmap].into_iter().all(tells_nothing));
        assert!(![libc::SYS_read, libc::SYS_futex, libc::SYS_restart_syscall].into_iter().any(tells_nothing));
    }
}
