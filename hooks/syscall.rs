//! syscall(2): calls made by number, reported under the functions of the same name.

crate::hooks! { family syscall = 9;
    /// syscall(2): a call that has a row elsewhere is treated as that row; the others go through untouched.
    unsafe fn syscall(number: c_long, a: usize, b: usize, c: usize, d: usize, e: usize, f: usize) -> c_long;
    symbols: "syscall";
    told: number, a "as the row of the number has it", b, c, d, e, f;
    fails: MinusOne;
    event: FileOpen, FileClose, FdDuplicate, NetSocket, NetBind, NetListen, NetConnect, NetConnected, NetAccept, NetClose, ProcessExec, ProcessFork;
    instead_alone |row, real| syscalls::by_number(row, number, [a, b, c, d, e, f], real, row_of(number).zip(treatment_of(number)));

    names: clone3 "flags";
    numbers |row, call, ret, real, words, [a, b, c, d, e, f]|
    after {
        SYS_open => file::open only "x86_64";
        SYS_creat => file::creat only "x86_64";
        SYS_openat => file::openat;
        SYS_openat2 => file::openat2 { syscalls::opened(call, a as c_int, b as *const c_char, c as *const syscalls::OpenHow) };
        SYS_memfd_create => file::memfd_create;
        SYS_open_by_handle_at => file::open_by_handle_at;

        SYS_dup => fd::dup;
        SYS_fcntl => fd::fcntl;
        SYS_ioctl => fd::ioctl;
        SYS_pipe2 => fd::pipe2;
        SYS_socketpair => fd::socketpair;
        SYS_eventfd2 => fd::eventfd;
        SYS_epoll_create1 => fd::epoll_create1;
        SYS_pidfd_getfd => fd::pidfd_getfd;

        // The rows of these four count in inlined code, which is for calls that programs make very often.
        SYS_read => io::read { connects::moved(call, a as c_int, ret, Way::In) };
        SYS_pread64 => io::pread { emit::count(a as c_int, ret, Way::In) };
        SYS_write => io::write { connects::moved(call, a as c_int, ret, Way::Out) };
        SYS_pwrite64 => io::pwrite { emit::count(a as c_int, ret, Way::Out) };
        SYS_readv => io::readv;
        SYS_preadv => io::preadv;
        SYS_preadv2 => io::preadv2;
        SYS_writev => io::writev;
        SYS_pwritev => io::pwritev;
        SYS_pwritev2 => io::pwritev2;
        SYS_sendto => io::sendto;
        SYS_recvfrom => io::recvfrom;
        SYS_sendmsg => io::sendmsg;
        SYS_recvmsg => io::recvmsg;
        SYS_sendmmsg => io::sendmmsg;
        SYS_recvmmsg => io::recvmmsg;
        SYS_sendfile => io::sendfile;
        SYS_copy_file_range => io::copy_file_range;
        SYS_splice => io::splice;
        SYS_tee => io::tee;
        SYS_vmsplice => io::vmsplice;

        SYS_socket => net::socket;
        SYS_bind => net::bind;
        SYS_listen => net::listen;
        SYS_getsockopt => net::getsockopt;

        SYS_poll => wait::poll only "x86_64";
        SYS_ppoll => wait::ppoll;
        SYS_select => wait::select only "x86_64";
        SYS_pselect6 => wait::pselect;
        SYS_epoll_wait => wait::epoll_wait only "x86_64";
        SYS_epoll_pwait => wait::epoll_pwait;
        SYS_epoll_pwait2 => wait::epoll_pwait2;

        SYS_chdir => process::chdir;
        SYS_fchdir => process::fchdir;

        SYS_setuid => credentials::setuid;
        SYS_setgid => credentials::setgid;
        SYS_setreuid => credentials::setreuid;
        SYS_setregid => credentials::setregid;
        SYS_setresuid => credentials::setresuid;
        SYS_setresgid => credentials::setresgid;
        SYS_setfsuid => credentials::setfsuid;
        SYS_setfsgid => credentials::setfsgid;
        SYS_setgroups => credentials::setgroups;
        SYS_capset => credentials::capset;

        SYS_pidfd_send_signal => signal::pidfd_send_signal;
        SYS_pidfd_open => signal::pidfd_open;

        SYS_ptrace => trace::ptrace;
        SYS_process_vm_readv => trace::process_vm_readv;
        SYS_process_vm_writev => trace::process_vm_writev;

        SYS_setns => namespace::setns;
        SYS_unshare => namespace::unshare;
        SYS_chroot => namespace::chroot;
        SYS_pivot_root => namespace::pivot_root;
        SYS_mount => namespace::mount;
        SYS_umount2 => namespace::umount2;

        SYS_init_module => kernel::init_module;
        SYS_delete_module => kernel::delete_module;
        SYS_finit_module => kernel::finit_module { identity::module_changed(call, Some(a as c_int), null()) };
        SYS_bpf => kernel::bpf { identity::bpf_called(call, a as c_int) };
        SYS_userfaultfd => kernel::userfaultfd { identity::faults_taken(call, a as c_int) };
        SYS_io_uring_setup => kernel::io_uring_setup { uring::set_up(call, a as u32, b as _) };

        SYS_unlink => names::unlink only "x86_64";
        SYS_unlinkat => names::unlinkat;
        SYS_rmdir => names::rmdir only "x86_64";
        SYS_mkdir => names::mkdir only "x86_64";
        SYS_mkdirat => names::mkdirat;
        SYS_mknod => names::mknod only "x86_64";
        SYS_mknodat => names::mknodat;
        SYS_chmod => names::chmod only "x86_64";
        SYS_fchmod => names::fchmod;
        // The system call has no flags.
        SYS_fchmodat => names::fchmodat { paths::mode_changed(call, at(a as c_int, b as *const c_char), c as u32, None) };
        SYS_fchmodat2 => names::fchmodat2 { paths::mode_changed(call, at(a as c_int, b as *const c_char), c as u32, Some(d as c_int)) };
        SYS_chown => names::chown only "x86_64";
        SYS_lchown => names::lchown only "x86_64";
        SYS_fchown => names::fchown;
        SYS_fchownat => names::fchownat;
        SYS_truncate => names::truncate;
        SYS_ftruncate => names::ftruncate;
        SYS_setxattr => names::setxattr;
        SYS_lsetxattr => names::lsetxattr;
        SYS_fsetxattr => names::fsetxattr;
        SYS_removexattr => names::removexattr;
        SYS_lremovexattr => names::lremovexattr;
        SYS_fremovexattr => names::fremovexattr;
        SYS_rename => names::rename only "x86_64";
        SYS_renameat => names::renameat;
        SYS_renameat2 => names::renameat2;
        SYS_link => names::link only "x86_64";
        SYS_linkat => names::linkat;
        SYS_symlink => names::symlink only "x86_64";
        SYS_symlinkat => names::symlinkat;
        SYS_utimensat => names::utimensat;
        SYS_utimes => names::utimes only "x86_64";
        SYS_utime => names::utime only "x86_64";
        SYS_name_to_handle_at => names::name_to_handle_at;
        SYS_futimesat => names::futimesat only "x86_64";
        SYS_fallocate => names::fallocate;

        SYS_stat => lookup::stat only "x86_64";
        SYS_lstat => lookup::lstat only "x86_64";
        SYS_newfstatat => lookup::fstatat;
        SYS_statx => lookup::statx;
        SYS_access => lookup::access only "x86_64";
        // The system call has no flags.
        SYS_faccessat => lookup::faccessat { paths::access_asked(call, at(a as c_int, b as *const c_char), c as c_int, None) };
        SYS_faccessat2 => lookup::faccessat2 { paths::access_asked(call, at(a as c_int, b as *const c_char), c as c_int, Some(d as c_int)) };
        SYS_readlink => lookup::readlink only "x86_64";
        SYS_readlinkat => lookup::readlinkat;
        SYS_flock => lock::flock;

        SYS_fsopen => namespace::fsopen;
        SYS_fspick => namespace::fspick;
        SYS_fsconfig => namespace::fsconfig;
        SYS_fsmount => namespace::fsmount;
        SYS_open_tree => namespace::open_tree;
        SYS_move_mount => namespace::move_mount;
        SYS_mount_setattr => namespace::mount_setattr;

        SYS_setrlimit => process::setrlimit;
        SYS_prlimit64 => process::prlimit;
    }
    timed {
        SYS_connect => net::connect;
        SYS_fork => process::fork { lineage::cloned_by_number(call, 0) } only "x86_64";
        SYS_fsync => names::fsync;
        SYS_fdatasync => names::fdatasync;
        SYS_syncfs => names::syncfs;
        SYS_sync => names::sync { paths::synced(call, None) };
        SYS_sync_file_range => names::sync_file_range;
    }
    instead {
        SYS_mmap => memory::mmap;
        SYS_mprotect => memory::mprotect;
        SYS_pkey_mprotect => memory::pkey_mprotect;
        SYS_munmap => memory::munmap;
        SYS_mremap => memory::mremap;
        SYS_mlockall => memory::mlockall;

        // libc's close is a cancellation point, the system call is none.
        SYS_close => fd::close { fds::close(row, a as c_int, || real(words)) };
        SYS_close_range => fd::close_range;
        SYS_dup2 => fd::dup2 only "x86_64";
        SYS_dup3 => fd::dup3;

        SYS_accept => net::accept;
        SYS_accept4 => net::accept4;

        // With another environment than the caller's.
        SYS_execve => exec::execve { exec::exec(row, Exec::of(a as _, b as _), c as _, |own| real([a, b, own as usize, 0, 0, 0]) as c_int).into() };
        SYS_execveat => exec::execveat { exec::exec(row, Exec::at(a as _, b as _, c as _).with(e as c_int), d as _, |own| real([a, b, c, own as usize, e, 0]) as c_int).into() };

        // libc's functions run a function in the child; the system calls return in both processes.
        SYS_clone => process::clone { syscalls::cloned(row, || real(words), |_| Some(a)) };
        SYS_clone3 => syscall::clone3 { syscalls::cloned(row, || real(words), |call| syscalls::clone3_flags(call, a)) };
        SYS_exit_group => process::_exit { exits::note_status(a as c_int); real(words) };
        SYS_prctl => process::prctl;
        SYS_seccomp => process::seccomp { syscalls::shut_off(row, a, c, || real(words)) };

        SYS_io_uring_enter => kernel::io_uring_enter { uring::entering(row); real(words) };

        SYS_kill => signal::kill;
        SYS_tgkill => signal::tgkill;
        // A thread's number, which may be one of the caller's own.
        SYS_tkill => signal::tkill { syscalls::signalled(row, a, b, true, || real(words)) };
        SYS_rt_sigqueueinfo => signal::sigqueue;
        SYS_rt_tgsigqueueinfo => signal::pthread_sigqueue { syscalls::signalled(row, a, c, identity::is_us(a as c_int), || real(words)) };
    }
}
