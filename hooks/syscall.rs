//! syscall(2): calls made by number, reported under the functions of the same name.

crate::hooks! { family syscall = 9;
    /// syscall(2): a call that has a row elsewhere is treated as that row; the others go through untouched.
    unsafe fn syscall(number: c_long, a: usize, b: usize, c: usize, d: usize, e: usize, f: usize) -> c_long;
    symbols: "syscall";
    told: number, a "as the row of the number has it", b, c, d, e, f;
    fails: MinusOne;
    event: FileOpen, FileClose, FdDuplicate, NetSocket, NetBind, NetListen, NetConnect, NetConnected, NetAccept, NetClose, ProcessExec, ProcessFork;
    instead |row, real| by_number(row, number, [a, b, c, d, e, f], |[a, b, c, d, e, f]| real(number, a, b, c, d, e, f));

    names: clone3 "flags";
    numbers |row, call, ret, real, words, [a, b, c, d, e, f]|
    after {
        SYS_open => file::open(a, b, c) only "x86_64";
        SYS_creat => file::creat(a, b) only "x86_64";
        SYS_openat => file::openat(a, b, c, d);
        SYS_openat2 => file::openat2 { syscalls::opened(call, a as c_int, b as *const c_char, c as *const syscalls::OpenHow) };
        SYS_memfd_create => file::memfd_create(a, b);
        SYS_open_by_handle_at => file::open_by_handle_at(a, b, c);

        SYS_dup => fd::dup(a);
        SYS_fcntl => fd::fcntl(a, b, c);
        SYS_ioctl => fd::ioctl(a, b, c);
        SYS_pipe2 => fd::pipe2(a, b);
        SYS_socketpair => fd::socketpair(a, b, c, d);
        SYS_eventfd2 => fd::eventfd(a, b);
        SYS_epoll_create1 => fd::epoll_create1(a);
        SYS_pidfd_getfd => fd::pidfd_getfd(a, b, c);

        // The rows of these four count in inlined code, which is for calls that programs make very often.
        SYS_read => io::read { connects::moved(call, a as c_int, ret, Way::In) };
        SYS_pread64 => io::pread { emit::count(a as c_int, ret, Way::In) };
        SYS_write => io::write { connects::moved(call, a as c_int, ret, Way::Out) };
        SYS_pwrite64 => io::pwrite { emit::count(a as c_int, ret, Way::Out) };
        SYS_readv => io::readv(a, b, c);
        SYS_preadv => io::preadv(a, b, c, 0);
        SYS_preadv2 => io::preadv2(a, b, c, 0, 0);
        SYS_writev => io::writev(a, b, c);
        SYS_pwritev => io::pwritev(a, b, c, 0);
        SYS_pwritev2 => io::pwritev2(a, b, c, 0, 0);
        SYS_sendto => io::sendto(a, b, c, d, e, f);
        SYS_recvfrom => io::recvfrom(a, b, c, d, e, f);
        SYS_sendmsg => io::sendmsg(a, b, c);
        SYS_recvmsg => io::recvmsg(a, b, c);
        SYS_sendmmsg => io::sendmmsg(a, b, c, d);
        SYS_recvmmsg => io::recvmmsg(a, b, c, d, e);
        SYS_sendfile => io::sendfile(a, b, c, d);
        SYS_copy_file_range => io::copy_file_range(a, b, c, d, e, f);
        SYS_splice => io::splice(a, b, c, d, e, f);
        SYS_tee => io::tee(a, b, c, d);
        SYS_vmsplice => io::vmsplice(a, b, c, d);

        SYS_socket => net::socket(a, b, c);
        SYS_bind => net::bind(a, b, c);
        SYS_listen => net::listen(a, b);
        SYS_connect => net::connect(a, b, c);
        SYS_getsockopt => net::getsockopt(a, b, c, d, e);

        SYS_poll => wait::poll(a, b, c) only "x86_64";
        SYS_ppoll => wait::ppoll(a, b, c, d);
        SYS_select => wait::select(a, b, c, d, e) only "x86_64";
        SYS_pselect6 => wait::pselect(a, b, c, d, e, f);
        SYS_epoll_wait => wait::epoll_wait(a, b, c, d) only "x86_64";
        SYS_epoll_pwait => wait::epoll_pwait(a, b, c, d, e);
        SYS_epoll_pwait2 => wait::epoll_pwait2(a, b, c, d, e);

        SYS_fork => process::fork { lineage::cloned_by_number(call, 0) } only "x86_64";
        SYS_chdir => process::chdir(a);
        SYS_fchdir => process::fchdir(a);

        SYS_setuid => credentials::setuid(a);
        SYS_setgid => credentials::setgid(a);
        SYS_setreuid => credentials::setreuid(a, b);
        SYS_setregid => credentials::setregid(a, b);
        SYS_setresuid => credentials::setresuid(a, b, c);
        SYS_setresgid => credentials::setresgid(a, b, c);
        SYS_setfsuid => credentials::setfsuid(a);
        SYS_setfsgid => credentials::setfsgid(a);
        SYS_setgroups => credentials::setgroups(a, b);
        SYS_capset => credentials::capset(a, b);

        SYS_pidfd_send_signal => signal::pidfd_send_signal(a, b, c, d);
        SYS_pidfd_open => signal::pidfd_open(a, b);

        SYS_ptrace => trace::ptrace(a, b, c, d, e);
        SYS_process_vm_readv => trace::process_vm_readv(a, b, c, d, e, f);
        SYS_process_vm_writev => trace::process_vm_writev(a, b, c, d, e, f);

        SYS_setns => namespace::setns(a, b);
        SYS_unshare => namespace::unshare(a);
        SYS_chroot => namespace::chroot(a);
        SYS_pivot_root => namespace::pivot_root(a, b);
        SYS_mount => namespace::mount(a, b, c, d, e);
        SYS_umount2 => namespace::umount2(a, b);

        SYS_init_module => kernel::init_module(a, b, c);
        SYS_delete_module => kernel::delete_module(a, b);
        SYS_finit_module => kernel::finit_module { identity::module_changed(call, Some(a as c_int), null()) };
        SYS_bpf => kernel::bpf { identity::bpf_called(call, a as c_int) };
        SYS_userfaultfd => kernel::userfaultfd { identity::faults_taken(call, a as c_int) };
        SYS_io_uring_setup => kernel::io_uring_setup { identity::uring_made(call, a as u32) };

        SYS_unlink => names::unlink(a) only "x86_64";
        SYS_unlinkat => names::unlinkat(a, b, c);
        SYS_rmdir => names::rmdir(a) only "x86_64";
        SYS_mkdir => names::mkdir(a, b) only "x86_64";
        SYS_mkdirat => names::mkdirat(a, b, c);
        SYS_mknod => names::mknod(a, b, c) only "x86_64";
        SYS_mknodat => names::mknodat(a, b, c, d);
        SYS_chmod => names::chmod(a, b) only "x86_64";
        SYS_fchmod => names::fchmod(a, b);
        // The system call has no flags.
        SYS_fchmodat => names::fchmodat { paths::mode_changed(call, at(a as c_int, b as *const c_char), c as u32, None) };
        SYS_fchmodat2 => names::fchmodat2 { paths::mode_changed(call, at(a as c_int, b as *const c_char), c as u32, Some(d as c_int)) };
        SYS_chown => names::chown(a, b, c) only "x86_64";
        SYS_lchown => names::lchown(a, b, c) only "x86_64";
        SYS_fchown => names::fchown(a, b, c);
        SYS_fchownat => names::fchownat(a, b, c, d, e);
        SYS_truncate => names::truncate(a, b);
        SYS_ftruncate => names::ftruncate(a, b);
        SYS_setxattr => names::setxattr(a, b, c, d, e);
        SYS_lsetxattr => names::lsetxattr(a, b, c, d, e);
        SYS_fsetxattr => names::fsetxattr(a, b, c, d, e);
        SYS_removexattr => names::removexattr(a, b);
        SYS_lremovexattr => names::lremovexattr(a, b);
        SYS_fremovexattr => names::fremovexattr(a, b);
        SYS_rename => names::rename(a, b) only "x86_64";
        SYS_renameat => names::renameat(a, b, c, d);
        SYS_renameat2 => names::renameat2(a, b, c, d, e);
        SYS_link => names::link(a, b) only "x86_64";
        SYS_linkat => names::linkat(a, b, c, d, e);
        SYS_symlink => names::symlink(a, b) only "x86_64";
        SYS_symlinkat => names::symlinkat(a, b, c);
        SYS_utimensat => names::utimensat(a, b, c, d);
        SYS_utimes => names::utimes(a, b) only "x86_64";
        SYS_utime => names::utime(a, b) only "x86_64";
        SYS_name_to_handle_at => names::name_to_handle_at(a, b, c, d, e);
    }
    instead {
        SYS_mmap => memory::mmap(a, b, c, d, e, f);
        SYS_mprotect => memory::mprotect(a, b, c);
        SYS_pkey_mprotect => memory::pkey_mprotect(a, b, c, d);
        SYS_munmap => memory::munmap(a, b);
        SYS_mremap => memory::mremap(a, b, c, d, e);
        SYS_mlockall => memory::mlockall(a);

        // libc's close is a cancellation point, the system call is none.
        SYS_close => fd::close { fds::close(row, a as c_int, || real(words)) };
        SYS_close_range => fd::close_range(a, b, c);
        SYS_dup2 => fd::dup2(a, b) only "x86_64";
        SYS_dup3 => fd::dup3(a, b, c);

        SYS_accept => net::accept(a, b, c);
        SYS_accept4 => net::accept4(a, b, c, d);

        // With another environment than the caller's.
        SYS_execve => exec::execve { exec::exec(row, Exec::of(a as _, b as _), c as _, |own| real([a, b, own as usize, 0, 0, 0]) as c_int).into() };
        SYS_execveat => exec::execveat { exec::exec(row, Exec::at(a as _, b as _, c as _).with(e as c_int), d as _, |own| real([a, b, c, own as usize, e, 0]) as c_int).into() };

        // libc's functions run a function in the child; the system calls return in both processes.
        SYS_clone => process::clone { syscalls::cloned(row, || real(words), |_| Some(a)) };
        SYS_clone3 => syscall::clone3 { syscalls::cloned(row, || real(words), |call| syscalls::clone3_flags(call, a)) };
        SYS_exit_group => process::_exit { exits::note_status(a as c_int); real(words) };
        SYS_prctl => process::prctl(a, b, c, d, e);
        SYS_seccomp => process::seccomp { syscalls::shut_off(row, a, c, || real(words)) };

        SYS_kill => signal::kill(a, b);
        SYS_tgkill => signal::tgkill(a, b, c);
        // A thread's number, which may be one of the caller's own.
        SYS_tkill => signal::tkill { syscalls::signalled(row, a, b, true, || real(words)) };
        SYS_rt_sigqueueinfo => signal::sigqueue(a, b, c);
        SYS_rt_tgsigqueueinfo => signal::pthread_sigqueue { syscalls::signalled(row, a, c, identity::is_us(a as c_int), || real(words)) };
    }
}
