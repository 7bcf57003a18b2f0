//! Whether a seccomp filter that the program installed would let the sensor start in the next image.
//!
//! A filter outlives exec, and one that kills for a call of ours kills the program before its `main`. Inside
//! it no call can be tried out. So the filter is examined where it is installed: it is a program over 64
//! bytes that describe a call (seccomp(2)), in the classic BPF that the kernel allows for it
//! (`seccomp_check_filter`), and is run here over the calls that the constructor makes. See `GLASSBOX_BARRED`
//! in `environ.rs`.

use libc::{sock_filter, sock_fprog};

use crate::start::distance::{Distance, distance, was_in_doubt};

/// `struct seccomp_data`: number, architecture, instruction pointer, six arguments, as 32-bit words.
type Data = [u32; 16];

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;

const SOCKET: u32 = libc::SOL_SOCKET as u32;
const UNIX: u32 = libc::AF_UNIX as u32;
const PACKETS: u32 = (libc::SOCK_SEQPACKET | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC) as u32;

/// A call with the arguments that filters look at: number, first, second and third.
type Checked = (i64, [u32; 3]);

/// The system calls of the constructor.
const CALLS: [Checked; 24] = [
    (libc::SYS_prctl, [0x4155_5856, 0, 0]),
    (libc::SYS_getpid, [0; 3]),
    (libc::SYS_getppid, [0; 3]),
    (libc::SYS_gettid, [0; 3]),
    (libc::SYS_clock_gettime, [libc::CLOCK_MONOTONIC as u32, 0, 0]),
    (libc::SYS_clock_gettime, [libc::CLOCK_REALTIME as u32, 0, 0]),
    (libc::SYS_memfd_create, [0, libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING, 0]),
    (libc::SYS_ftruncate, [3, 0, 0]),
    (libc::SYS_fcntl, [3, libc::F_ADD_SEALS as u32, 0]),
    (libc::SYS_mmap, [0, 4096, (libc::PROT_READ | libc::PROT_WRITE) as u32]),
    (libc::SYS_mprotect, [0, 4096, libc::PROT_READ as u32]),
    (libc::SYS_munmap, [0; 3]),
    (libc::SYS_madvise, [0, 4096, libc::MADV_WIPEONFORK as u32]),
    (libc::SYS_readlinkat, [libc::AT_FDCWD as u32, 0, 0]),
    (libc::SYS_getcwd, [0; 3]),
    (libc::SYS_socket, [UNIX, PACKETS, 0]),
    (libc::SYS_connect, [3, 0, 0]),
    (libc::SYS_getsockopt, [3, SOCKET, libc::SO_PEERCRED as u32]),
    // The image's file; and where the collector runs as another user, root.
    (libc::SYS_newfstatat, [libc::AT_FDCWD as u32, 0, 0]),
    // Where many others wait at the socket.
    (libc::SYS_setsockopt, [3, SOCKET, libc::SO_SNDTIMEO as u32]),
    (libc::SYS_fcntl, [3, libc::F_SETFL as u32, 0]),
    (libc::SYS_sendmsg, [3, 0, (libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT) as u32]),
    (libc::SYS_futex, [0, libc::FUTEX_WAKE as u32, 1]),
    (libc::SYS_close, [3, 0, 0]),
];

/// Its further calls where the collector is in another pid namespace.
const CALLS_APART: [Checked; 1] = [(libc::SYS_flock, [3, (libc::LOCK_SH | libc::LOCK_NB) as u32, 0])];

/// Its further calls where the number of the listener's user does not say enough ([`crate::start::door`]).
const CALLS_IN_DOUBT: [Checked; 10] = [
    (libc::SYS_openat, [libc::AT_FDCWD as u32, 0, (libc::O_RDONLY | libc::O_CLOEXEC) as u32]),
    (libc::SYS_openat, [libc::AT_FDCWD as u32, 0, (libc::O_PATH | libc::O_CLOEXEC) as u32]),
    (libc::SYS_read, [3, 0, 0]),
    (libc::SYS_statx, [3, 0, libc::AT_EMPTY_PATH as u32]),
    (libc::SYS_fstatfs, [3, 0, 0]),
    (libc::SYS_setsockopt, [3, SOCKET, libc::SO_PASSCRED as u32]),
    (libc::SYS_setsockopt, [3, SOCKET, libc::SO_RCVTIMEO as u32]),
    (libc::SYS_recvmsg, [3, 0, libc::MSG_CMSG_CLOEXEC as u32]),
    (libc::SYS_capget, [0; 3]),
    (libc::SYS_pidfd_send_signal, [3, 0, 0]),
];

/// Whether `filter` allows every call that the constructor makes, if the next collector is as far away as
/// this one and as well known.
///
/// # Safety
/// `filter` is what the kernel has just installed.
pub unsafe fn lets_us_start(filter: *const sock_fprog) -> bool {
    // SAFETY: the kernel read the same a moment ago.
    let program = unsafe {
        let sock_fprog { len, filter } = filter.read();
        core::slice::from_raw_parts(filter.cast_const(), usize::from(len))
    };
    lets_start_at(program, distance(), was_in_doubt())
}

fn lets_start_at(program: &[sock_filter], distance: Distance, is_in_doubt: bool) -> bool {
    let apart = if distance == Distance::Apart { &CALLS_APART[..] } else { &[] };
    let in_doubt = if is_in_doubt { &CALLS_IN_DOUBT[..] } else { &[] };
    CALLS.iter().chain(apart).chain(in_doubt).all(|call| allows(program, call))
}

fn allows(program: &[sock_filter], &(number, [a, b, c]): &Checked) -> bool {
    let data = [number as u32, ARCHITECTURE, 0, 0, a, 0, b, 0, c, 0, 0, 0, 0, 0, 0, 0];
    let action =
        run(program, &data).unwrap_or(libc::SECCOMP_RET_KILL_PROCESS) & libc::SECCOMP_RET_ACTION_FULL;
    matches!(action, libc::SECCOMP_RET_ALLOW | libc::SECCOMP_RET_LOG)
}

/// The decision of `program` on a call; `None` for a program that the kernel would not have taken.
fn run(program: &[sock_filter], data: &Data) -> Option<u32> {
    let (mut a, mut x, mut memory, mut next) = (0u32, 0u32, [0u32; 16], 0usize);
    loop {
        let &sock_filter { code, jt, jf, k } = program.get(next)?;
        next += 1;
        let operand = if code & BY_X != 0 { x } else { k };
        match code {
            RET | RET_A => return Some(if code == RET { k } else { a }),
            LD_ABS => a = *data.get(k as usize / 4)?,
            LD_LEN => a = size_of::<Data>() as u32,
            LDX_LEN => x = size_of::<Data>() as u32,
            LD_IMM => a = k,
            LDX_IMM => x = k,
            LD_MEM => a = *memory.get(k as usize)?,
            LDX_MEM => x = *memory.get(k as usize)?,
            ST => *memory.get_mut(k as usize)? = a,
            STX => *memory.get_mut(k as usize)? = x,
            TAX => x = a,
            TXA => a = x,
            JA => next = next.checked_add(k as usize)?,
            _ => match code & !BY_X {
                JEQ => next += usize::from(if a == operand { jt } else { jf }),
                JGT => next += usize::from(if a > operand { jt } else { jf }),
                JGE => next += usize::from(if a >= operand { jt } else { jf }),
                JSET => next += usize::from(if a & operand != 0 { jt } else { jf }),
                ADD => a = a.wrapping_add(operand),
                SUB => a = a.wrapping_sub(operand),
                MUL => a = a.wrapping_mul(operand),
                // The kernel ends a filter that divides by zero with 0, which is SECCOMP_RET_KILL_THREAD.
                DIV => a = a.checked_div(operand)?,
                OR => a |= operand,
                AND => a &= operand,
                XOR => a ^= operand,
                LSH => a = a.checked_shl(operand).unwrap_or(0),
                RSH => a = a.checked_shr(operand).unwrap_or(0),
                NEG => a = a.wrapping_neg(),
                _ => return None,
            },
        }
    }
}

// Instructions of classic BPF, `BPF_LD | BPF_W | BPF_ABS` and so on (linux/bpf_common.h).
const LD_ABS: u16 = 0x20;
const LD_LEN: u16 = 0x80;
const LDX_LEN: u16 = 0x81;
const LD_IMM: u16 = 0x00;
const LDX_IMM: u16 = 0x01;
const LD_MEM: u16 = 0x60;
const LDX_MEM: u16 = 0x61;
const ST: u16 = 0x02;
const STX: u16 = 0x03;
const TAX: u16 = 0x07;
const TXA: u16 = 0x87;
const JA: u16 = 0x05;
const RET: u16 = 0x06;
const RET_A: u16 = 0x16;
/// The operand is X instead of a constant.
const BY_X: u16 = 0x08;
const JEQ: u16 = 0x15;
const JGT: u16 = 0x25;
const JGE: u16 = 0x35;
const JSET: u16 = 0x45;
const ADD: u16 = 0x04;
const SUB: u16 = 0x14;
const MUL: u16 = 0x24;
const DIV: u16 = 0x34;
const OR: u16 = 0x44;
const AND: u16 = 0x54;
const LSH: u16 = 0x64;
const RSH: u16 = 0x74;
const NEG: u16 = 0x84;
const XOR: u16 = 0xa4;

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
    const KILL: u32 = libc::SECCOMP_RET_KILL_PROCESS;

    fn step(code: u16, jt: u8, jf: u8, k: u32) -> sock_filter {
        sock_filter { code, jt, jf, k }
    }

    fn lets(program: &mut [sock_filter]) -> bool {
        let filter = sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
        // SAFETY: a filter of that length.
        unsafe { lets_us_start(&raw const filter) }
    }

    /// Does `action` for the call `number`, and allows the rest.
    fn against(number: i64, action: u32) -> [sock_filter; 4] {
        let number = number as u32;
        [step(LD_ABS, 0, 0, 0), step(JEQ, 0, 1, number), step(RET, 0, 0, action), step(RET, 0, 0, ALLOW)]
    }

    #[test]
    fn filter_that_kills_for_a_call_of_ours_or_refuses_it_bars_us() {
        assert!(!lets(&mut against(libc::SYS_connect, libc::SECCOMP_RET_ERRNO | 1)));
        assert!(!lets(&mut against(libc::SYS_socket, KILL)));
        assert!(!lets(&mut against(libc::SYS_memfd_create, libc::SECCOMP_RET_TRAP)));
        assert!(!lets(&mut against(libc::SYS_sendmsg, libc::SECCOMP_RET_USER_NOTIF)));
    }

    #[test]
    fn filter_that_kills_for_what_a_far_or_unproven_collector_takes_bars_there() {
        let at = |number, distance, in_doubt| lets_start_at(&against(number, KILL), distance, in_doubt);
        let all = [Distance::Near, Distance::Beside, Distance::Apart];
        assert_eq!([false; 3], all.map(|distance| at(libc::SYS_getsockopt, distance, false)));
        assert_eq!([true, true, false], all.map(|distance| at(libc::SYS_flock, distance, false)));
        for number in [libc::SYS_recvmsg, libc::SYS_read, libc::SYS_openat, libc::SYS_statx] {
            assert_eq!([true, false], [false, true].map(|in_doubt| at(number, Distance::Near, in_doubt)));
        }
    }

    #[test]
    fn filter_that_means_others_does_not() {
        assert!(lets(&mut against(libc::SYS_socket, libc::SECCOMP_RET_LOG)));
        assert!(lets(&mut against(libc::SYS_ptrace, KILL)));
        assert!(lets(&mut [step(RET, 0, 0, ALLOW)]));
    }

    #[test]
    fn filter_is_asked_about_our_arguments_and_architecture() {
        let family = |allowed: i32| {
            [
                step(LD_ABS, 0, 0, 4),
                step(JEQ, 0, 5, ARCHITECTURE),
                step(LD_ABS, 0, 0, 0),
                step(JEQ, 0, 2, libc::SYS_socket as u32),
                step(LD_ABS, 0, 0, 16),
                step(JEQ, 0, 1, allowed as u32),
                step(RET, 0, 0, ALLOW),
                step(RET, 0, 0, KILL),
            ]
        };
        assert!(lets(&mut family(libc::AF_UNIX)));
        assert!(!lets(&mut family(libc::AF_INET)));
    }

    #[test]
    fn arithmetic_is_the_kernels() {
        let gives = |program: &[sock_filter]| run(program, &[7; 16]);
        let computed = [
            step(LD_IMM, 0, 0, 6),
            step(TAX, 0, 0, 0),
            step(MUL | BY_X, 0, 0, 0),
            step(SUB, 0, 0, 1),
            step(DIV, 0, 0, 5),
            step(LSH, 0, 0, 4),
            step(OR, 0, 0, 1),
            step(XOR, 0, 0, 0x10),
            step(ST, 0, 0, 3),
            step(LDX_MEM, 0, 0, 3),
            step(TXA, 0, 0, 0),
            step(RET_A, 0, 0, 0),
        ];
        assert_eq!(Some(((7 << 4) | 1) ^ 0x10), gives(&computed));
        assert_eq!(None, gives(&[step(LD_IMM, 0, 0, 1), step(DIV, 0, 0, 0), step(RET_A, 0, 0, 0)]));
        assert_eq!(None, gives(&[step(JA, 0, 0, u32::MAX), step(RET, 0, 0, ALLOW)]));
        assert_eq!(None, gives(&[step(0xffff, 0, 0, 0)]));
        assert_eq!(None, gives(&[]));
    }
}
