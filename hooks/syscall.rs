//! syscall(2): calls made by number, told under the functions that they are.

crate::hooks! { family syscall = 9;
    /// syscall(2): what has a row elsewhere is treated as that row; the rest goes through untouched.
    unsafe fn syscall(number: c_long, a: usize, b: usize, c: usize, d: usize, e: usize, f: usize) -> c_long;
    symbols: "syscall";
    fails: MinusOne;
    event: FileOpen, FileClose, FdDuplicate, NetSocket, NetBind, NetListen, NetConnect, NetAccept, NetClose, ProcessExec, ProcessFork;
    instead |row, real| syscalls::made(row_of(number).map(|own| own.called_as(row)), number, [a, b, c, d, e, f], |[a, b, c, d, e, f]| real(number, a, b, c, d, e, f));

    names: clone3;
    numbers: [
        SYS_openat => super::file::Name::openat,
        SYS_openat2 => super::file::Name::openat2,
        SYS_memfd_create => super::file::Name::memfd_create,
        SYS_close => super::fd::Name::close,
        SYS_close_range => super::fd::Name::close_range,
        SYS_dup => super::fd::Name::dup,
        SYS_dup3 => super::fd::Name::dup3,
        SYS_read => super::io::Name::read,
        SYS_write => super::io::Name::write,
        SYS_pread64 => super::io::Name::pread,
        SYS_pwrite64 => super::io::Name::pwrite,
        SYS_readv => super::io::Name::readv,
        SYS_writev => super::io::Name::writev,
        SYS_socket => super::net::Name::socket,
        SYS_bind => super::net::Name::bind,
        SYS_listen => super::net::Name::listen,
        SYS_connect => super::net::Name::connect,
        SYS_accept => super::net::Name::accept,
        SYS_accept4 => super::net::Name::accept4,
        SYS_sendto => super::io::Name::sendto,
        SYS_recvfrom => super::io::Name::recvfrom,
        SYS_execve => super::exec::Name::execve,
        SYS_execveat => super::exec::Name::execveat,
        SYS_clone => super::process::Name::clone,
        SYS_clone3 => Name::clone3,
        SYS_exit_group => super::process::Name::_exit,
        SYS_chdir => super::process::Name::chdir,
        SYS_fchdir => super::process::Name::fchdir,
        SYS_prctl => super::process::Name::prctl,
        SYS_seccomp => super::process::Name::prctl,
        SYS_unlinkat => super::names::Name::unlinkat,
        SYS_mkdirat => super::names::Name::mkdirat,
        SYS_mknodat => super::names::Name::mknodat,
        SYS_fchmod => super::names::Name::fchmod,
        SYS_fchmodat => super::names::Name::fchmodat,
        SYS_fchmodat2 => super::names::Name::fchmodat2,
        SYS_fchown => super::names::Name::fchown,
        SYS_fchownat => super::names::Name::fchownat,
        SYS_truncate => super::names::Name::truncate,
        SYS_ftruncate => super::names::Name::ftruncate,
        SYS_setxattr => super::names::Name::setxattr,
        SYS_lsetxattr => super::names::Name::lsetxattr,
        SYS_fsetxattr => super::names::Name::fsetxattr,
        SYS_removexattr => super::names::Name::removexattr,
        SYS_lremovexattr => super::names::Name::lremovexattr,
        SYS_fremovexattr => super::names::Name::fremovexattr,
        SYS_renameat => super::names::Name::renameat,
        SYS_renameat2 => super::names::Name::renameat2,
        SYS_linkat => super::names::Name::linkat,
        SYS_symlinkat => super::names::Name::symlinkat,
    ]
    x86_64: [
        SYS_open => super::file::Name::open,
        SYS_creat => super::file::Name::creat,
        SYS_dup2 => super::fd::Name::dup2,
        SYS_fork => super::process::Name::fork,
        SYS_unlink => super::names::Name::unlink,
        SYS_rmdir => super::names::Name::rmdir,
        SYS_mkdir => super::names::Name::mkdir,
        SYS_mknod => super::names::Name::mknod,
        SYS_chmod => super::names::Name::chmod,
        SYS_chown => super::names::Name::chown,
        SYS_lchown => super::names::Name::lchown,
        SYS_rename => super::names::Name::rename,
        SYS_link => super::names::Name::link,
        SYS_symlink => super::names::Name::symlink,
    ];
}
