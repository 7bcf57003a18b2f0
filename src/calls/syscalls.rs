//! syscall(2): calls that go to the kernel by number, told under the function that they are.
//!
//! `hooks/syscall.rs` says which number is which row; what is not named there goes through untouched.

use core::ffi::{c_char, c_int, c_long, c_void};

use wire::fields::{AT_FDCWD, Trace};

use crate::calls::paths::{NOWHERE, at, here, open_as};
use crate::calls::{exec, exits, fds, identity, lineage, net, paths};
use crate::process::{self, Seal};
use crate::record::call::{Call, Row};
use crate::record::capture;
use crate::record::emit::{self, Way};
use crate::record::fail::{Fails, MinusOne};
use crate::sys;

type Strings = *const *const c_char;

const NONE: *const c_char = core::ptr::null();

/// The numbers of system calls: libc's, and those that it lacks for a machine (asm-generic/unistd.h).
pub mod number {
    pub use libc::*;

    /// fchmodat2(2), since Linux 6.6.
    #[cfg(target_arch = "aarch64")]
    #[allow(non_upper_case_globals, reason = "as libc spells them")]
    pub const SYS_fchmodat2: c_long = 452;
}

/// `struct open_how` of openat2(2), its first two fields.
#[repr(C)]
struct OpenHow {
    flags: u64,
    mode: u64,
}

/// A call by number: `row` is what the table says of it, `real` makes it with these arguments.
///
/// # Safety
/// The arguments are those of the system call.
pub unsafe fn made(
    row: Option<Row>,
    number: c_long,
    arguments: [usize; 6],
    real: impl Fn([usize; 6]) -> c_long,
) -> c_long {
    let (Some(row), Some(_)) = (row, process::ring()) else { return real(arguments) };
    let [a, b, c, d, e, _f] = arguments;
    let fd = a as c_int;
    let int = || real(arguments) as c_int;
    // SAFETY: the caller's promise: each is treated as the function of the same name is.
    unsafe {
        match number {
            libc::SYS_close => fds::close(row, fd, || real(arguments)),
            libc::SYS_close_range => {
                let cloexec = c as u32 & libc::CLOSE_RANGE_CLOEXEC != 0;
                fds::close_range(row, a as u32, b as u32, cloexec, || real(arguments))
            }
            libc::SYS_dup3 => {
                let cloexec = c as c_int & libc::O_CLOEXEC != 0;
                fds::duplicate_onto(row, fd, b as c_int, cloexec, int).into()
            }
            #[cfg(target_arch = "x86_64")]
            libc::SYS_dup2 => fds::duplicate_onto(row, fd, b as c_int, false, int).into(),
            libc::SYS_execve => {
                exec::exec(row, AT_FDCWD, a as *const c_char, b as Strings, c as Strings, |own| {
                    real([a, b, own as usize, 0, 0, 0]) as c_int
                })
                .into()
            }
            libc::SYS_execveat => {
                exec::exec(row, fd, b as *const c_char, c as Strings, d as Strings, |own| {
                    real([a, b, c, own as usize, e, 0]) as c_int
                })
                .into()
            }
            libc::SYS_exit_group => {
                exits::note_status(fd);
                real(arguments)
            }
            libc::SYS_accept | libc::SYS_accept4 => {
                net::accept(row, fd, b as *const c_void, c as *const u32, int).into()
            }
            libc::SYS_clone | libc::SYS_clone3 => {
                // It may be a thread that libc does not know of.
                process::watch_threads(None);
                let ret = real(arguments);
                after(row, number, arguments, ret);
                ret
            }
            libc::SYS_prctl => {
                identity::controlled(row, fd, b, identity::seal_of(fd, b), c as *const libc::sock_fprog, int)
                    .into()
            }
            // SECCOMP_SET_MODE_STRICT and SECCOMP_SET_MODE_FILTER; the rest only asks.
            libc::SYS_seccomp if a <= 1 => {
                let seal = if a == 0 { Seal::Strict } else { Seal::Filter };
                let filter = c as *const libc::sock_fprog;
                identity::controlled(row, libc::PR_SET_SECCOMP, a + 1, Some(seal), filter, int).into()
            }
            libc::SYS_kill | libc::SYS_rt_sigqueueinfo => {
                identity::signalled::<MinusOne>(row, fd, b as c_int, identity::is_us(fd), int).into()
            }
            libc::SYS_tgkill | libc::SYS_rt_tgsigqueueinfo => {
                identity::signalled::<MinusOne>(row, fd, c as c_int, identity::is_us(fd), int).into()
            }
            // A thread's number, which may be one of ours.
            libc::SYS_tkill => identity::signalled::<MinusOne>(row, fd, b as c_int, true, int).into(),
            _ => {
                let ret = real(arguments);
                after(row, number, arguments, ret);
                ret
            }
        }
    }
}

/// What is told after a call by number.
///
/// # Safety
/// As for [`made`].
unsafe fn after(row: Row, number: c_long, arguments: [usize; 6], ret: c_long) {
    let [a, b, c, d, e, f] = arguments;
    let call = Call { row, outcome: <MinusOne as Fails<i64>>::outcome(&ret) };
    let fd = a as c_int;
    let (path_a, path_b) = (a as *const c_char, b as *const c_char);
    // SAFETY: the caller's promise.
    unsafe {
        match number {
            libc::SYS_openat => {
                let flags = c as c_int;
                fds::file_opened(call, fd, path_b, flags, capture::creation_mode(flags, d as u32));
            }
            libc::SYS_openat2 => {
                let how = c as *const OpenHow;
                let is_read = !call.outcome.failed || i32::from(call.outcome.errno) == libc::ENOENT;
                let (flags, mode) =
                    if is_read && !sys::is_wild(how.cast()) { ((*how).flags, (*how).mode) } else { (0, 0) };
                let flags = flags as c_int;
                fds::file_opened(call, fd, path_b, flags, capture::creation_mode(flags, mode as u32));
            }
            libc::SYS_memfd_create => {
                fds::named_opened(call, b"memfd:", path_a, fds::memfd_flags(b as u32), None)
            }
            #[cfg(target_arch = "x86_64")]
            libc::SYS_open => {
                let flags = b as c_int;
                fds::file_opened(call, AT_FDCWD, path_a, flags, capture::creation_mode(flags, c as u32));
            }
            #[cfg(target_arch = "x86_64")]
            libc::SYS_creat => {
                let flags = libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC;
                fds::file_opened(call, AT_FDCWD, path_a, flags, Some(b as u32));
            }
            libc::SYS_dup => fds::duplicated(call, fd, false),
            libc::SYS_read | libc::SYS_pread64 | libc::SYS_readv | libc::SYS_preadv | libc::SYS_preadv2 => {
                emit::count(fd, ret, Way::In);
            }
            libc::SYS_sendfile => fds::moved(b as c_int, fd, ret),
            libc::SYS_copy_file_range | libc::SYS_splice => fds::moved(fd, c as c_int, ret),
            libc::SYS_tee => emit::count(b as c_int, ret, Way::Out),
            libc::SYS_sendmsg => net::message_sent(call, fd, b as *const libc::msghdr),
            libc::SYS_recvmsg => net::message_received(call, fd, b as *const libc::msghdr, c as c_int),
            libc::SYS_sendmmsg => {
                net::messages_moved(call, fd, b as *const libc::mmsghdr, d as c_int, Way::Out);
            }
            libc::SYS_recvmmsg => {
                net::messages_moved(call, fd, b as *const libc::mmsghdr, d as c_int, Way::In);
            }
            libc::SYS_fcntl => fds::controlled(call, fd, b as c_int, c),
            libc::SYS_pipe2 => {
                fds::pair_made(call, a as *const c_int, b"pipe:", b as c_int & libc::O_CLOEXEC != 0);
            }
            libc::SYS_socketpair => {
                let cloexec = b as c_int & libc::SOCK_CLOEXEC != 0;
                fds::pair_made(call, d as *const c_int, b"socket:", cloexec);
            }
            libc::SYS_eventfd2 => {
                fds::made(call, ret as c_int, b"anon_inode:[eventfd]", b as c_int & libc::O_CLOEXEC != 0);
            }
            libc::SYS_epoll_create1 => {
                fds::made(call, ret as c_int, b"anon_inode:[eventpoll]", fd & libc::O_CLOEXEC != 0);
            }
            libc::SYS_pidfd_getfd if !call.outcome.failed => fds::received(row, ret as c_int, true),
            libc::SYS_recvfrom => emit::count(fd, net::unpeeked(call, d as c_int), Way::In),
            libc::SYS_write
            | libc::SYS_pwrite64
            | libc::SYS_writev
            | libc::SYS_pwritev
            | libc::SYS_pwritev2
            | libc::SYS_vmsplice => emit::count(fd, ret, Way::Out),
            libc::SYS_sendto => net::sent(call, fd, (b as *const c_void, c), e as *const c_void, f as u32),
            libc::SYS_socket => net::socket_made(call, fd, b as c_int, c as c_int),
            libc::SYS_bind => net::bound(call, fd, b as *const c_void, c as u32),
            libc::SYS_listen => net::listening(call, fd, b as c_int),
            libc::SYS_connect => net::connected(call, fd, b as *const c_void, c as u32),
            libc::SYS_chdir => fds::directory_changed(call, AT_FDCWD, path_a),
            libc::SYS_fchdir => fds::directory_changed(call, fd, core::ptr::null()),
            libc::SYS_unlinkat => paths::removed(call, at(fd, path_b), c as c_int),
            libc::SYS_mkdirat => paths::directory_made(call, at(fd, path_b), c as u32),
            libc::SYS_mknodat => paths::node_made(call, at(fd, path_b), c as u32, d as u64),
            libc::SYS_fchmod => paths::mode_changed(call, open_as(fd), b as u32),
            libc::SYS_fchmodat | number::SYS_fchmodat2 => {
                paths::mode_changed(call, at(fd, path_b), c as u32);
            }
            libc::SYS_fchown => paths::owner_changed(call, open_as(fd), b as u32, c as u32),
            libc::SYS_fchownat => paths::owner_changed(call, at(fd, path_b), c as u32, d as u32),
            libc::SYS_truncate => paths::length_set(call, here(path_a), b as i64),
            libc::SYS_ftruncate => paths::length_set(call, open_as(fd), b as i64),
            libc::SYS_setxattr | libc::SYS_lsetxattr | libc::SYS_removexattr | libc::SYS_lremovexattr => {
                paths::attribute_changed(call, here(path_a), path_b);
            }
            libc::SYS_fsetxattr | libc::SYS_fremovexattr => {
                paths::attribute_changed(call, open_as(fd), path_b);
            }
            libc::SYS_renameat | libc::SYS_renameat2 => {
                paths::renamed(call, at(fd, path_b), at(c as c_int, d as *const c_char));
            }
            libc::SYS_linkat => paths::linked(call, at(fd, path_b), at(c as c_int, d as *const c_char)),
            libc::SYS_symlinkat => paths::symlinked(call, path_a, at(b as c_int, c as *const c_char)),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_unlink => paths::removed(call, here(path_a), 0),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_rmdir => paths::removed(call, here(path_a), libc::AT_REMOVEDIR),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_mkdir => paths::directory_made(call, here(path_a), b as u32),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_mknod => paths::node_made(call, here(path_a), b as u32, c as u64),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_chmod => paths::mode_changed(call, here(path_a), b as u32),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_chown | libc::SYS_lchown => {
                paths::owner_changed(call, here(path_a), b as u32, c as u32);
            }
            #[cfg(target_arch = "x86_64")]
            libc::SYS_rename => paths::renamed(call, here(path_a), here(path_b)),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_link => paths::linked(call, here(path_a), here(path_b)),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_symlink => paths::symlinked(call, path_a, here(path_b)),
            libc::SYS_setuid => identity::ids_set(call, b"uid", &[a as u32]),
            libc::SYS_setgid => identity::ids_set(call, b"gid", &[a as u32]),
            libc::SYS_setreuid => identity::ids_set(call, b"reuid", &[a as u32, b as u32]),
            libc::SYS_setregid => identity::ids_set(call, b"regid", &[a as u32, b as u32]),
            libc::SYS_setresuid => identity::ids_set(call, b"resuid", &[a as u32, b as u32, c as u32]),
            libc::SYS_setresgid => identity::ids_set(call, b"resgid", &[a as u32, b as u32, c as u32]),
            libc::SYS_setfsuid => identity::ids_set(call, b"fsuid", &[a as u32]),
            libc::SYS_setfsgid => identity::ids_set(call, b"fsgid", &[a as u32]),
            libc::SYS_setgroups => identity::groups_set(call, a, b as *const u32),
            libc::SYS_capset => identity::capabilities_set(call, a as *const u32, b as *const [u32; 3]),
            libc::SYS_pidfd_send_signal => identity::signalled_by_descriptor(call, fd, b as c_int),
            libc::SYS_pidfd_open => identity::process_opened(call, fd),
            libc::SYS_ptrace => identity::traced(call, a as i64, b as c_int),
            libc::SYS_process_vm_readv => identity::traced(call, Trace::READ, fd),
            libc::SYS_process_vm_writev => identity::traced(call, Trace::WRITE, fd),
            libc::SYS_setns => identity::view_changed(call, b"setns", open_as(fd), b as u64, NONE),
            libc::SYS_unshare => identity::view_changed(call, b"unshare", NOWHERE, a as u64, NONE),
            libc::SYS_chroot => identity::view_changed(call, b"chroot", here(path_a), 0, NONE),
            libc::SYS_pivot_root => identity::view_changed(call, b"pivot_root", here(path_a), 0, path_b),
            libc::SYS_mount => identity::view_changed(call, b"mount", here(path_b), d as u64, path_a),
            libc::SYS_umount2 => identity::view_changed(call, b"umount", here(path_a), b as u64, NONE),
            libc::SYS_mmap => {
                let (prot, flags, fd) = (c as c_int, d as c_int, e as c_int);
                identity::mapped(call, a as *const c_void, b, prot, flags, fd);
            }
            libc::SYS_mprotect | libc::SYS_pkey_mprotect => identity::protected(call, a, b, c as c_int, -1),
            libc::SYS_init_module => identity::module_changed(call, None, NONE),
            libc::SYS_finit_module => identity::module_changed(call, Some(fd), NONE),
            libc::SYS_delete_module => identity::module_changed(call, None, path_a),
            libc::SYS_bpf => identity::bpf_called(call, fd),
            libc::SYS_userfaultfd => identity::faults_taken(call, fd),
            libc::SYS_io_uring_setup => identity::uring_made(call, a as u32),
            libc::SYS_clone => cloned(call, a),
            // The flags are the first word of `struct clone_args`.
            libc::SYS_clone3 if !call.outcome.failed => cloned(call, (a as *const u64).read() as usize),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_fork => cloned(call, 0),
            _ => {}
        }
    }
}

/// A process made by number. The child finds its page emptied by the kernel; one that shares our memory keeps our pid.
fn cloned(call: Call, flags: usize) {
    let is_thread = flags as c_int & libc::CLONE_THREAD != 0;
    if call.outcome.ret != 0 && !is_thread {
        lineage::report(call.row, call.outcome);
    }
}
