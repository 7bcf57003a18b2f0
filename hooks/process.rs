//! Processes made, ended and waited for: fork(2), vfork(2), clone(2), _exit(2), wait(2); their directory:
//! chdir(2); and the limits that they set themselves: prctl(2), seccomp(2).

crate::hooks! { family process = 7;
    /// fork(2): a copy of the process.
    unsafe fn fork() -> pid_t;
    symbols: "fork", "__fork";
    told: ;
    fails: MinusOne;
    event: ProcessFork;
    instead |row, real| lineage::fork(row, real);

    /// _Fork(3): fork without handlers.
    unsafe fn _Fork() -> pid_t;
    symbols: "_Fork" as fork;
    told: ;
    fails: MinusOne;
    event: ProcessFork;
    instead |row, real| lineage::fork(row, real);

    /// vfork(2): a child on the parent's stack and memory.
    unsafe fn vfork() -> c_int;
    symbols: "vfork", "__vfork";
    told: ;
    fails: MinusOne;
    event: ProcessFork;
    vfork |row, result, began| lineage::vforked(row, result, began);

    /// clone(2): a child that shares with its parent as the flags say; threads are not reported.
    unsafe fn clone(entry: Entry, stack: *mut c_void, flags: c_int, argument: *mut c_void, parent_tid: usize, tls: usize, child_tid: usize) -> c_int;
    symbols: "clone", "__clone";
    told: flags "CLONE_THREAD, CLONE_VM, CLONE_VFORK";
    fails: MinusOne;
    event: ProcessFork;
    instead_alone |row, real| lineage::cloned(row, entry, flags, argument, |entry, argument| real(entry, stack, flags, argument, parent_tid, tls, child_tid));

    /// exit(3): ends the process after its handlers; its status is noted.
    unsafe fn exit(status: c_int) -> ();
    symbols: "exit";
    told: status;
    fails: Never;
    event: ProcessExit;
    instead |_row, real| { exits::note_status(status); real(status) };

    /// _exit(2): ends the process at once.
    unsafe fn _exit(status: c_int) -> ();
    symbols: "_exit", "_Exit";
    told: status;
    fails: Never;
    event: ProcessExit;
    instead |_row, real| { exits::note_status(status); real(status) };

    /// quick_exit(3): ends the process after its quick handlers.
    unsafe fn quick_exit(status: c_int) -> ();
    symbols: "quick_exit";
    told: status;
    fails: Never;
    event: ProcessExit;
    instead |_row, real| { exits::note_status(status); real(status) };

    /// wait(2): how a child ended.
    unsafe fn wait(status: *mut c_int) -> pid_t;
    symbols: "wait";
    told: status;
    fails: MinusOne;
    event: ProcessExit;
    instead |row, real| exits::wait(row, status, null(), real);

    /// waitpid(2): how a child ended.
    unsafe fn waitpid(pid: pid_t, status: *mut c_int, options: c_int) -> pid_t;
    symbols: "waitpid", "__waitpid";
    told: status;
    fails: MinusOne;
    event: ProcessExit;
    instead |row, real| exits::wait(row, status, null(), |status| real(pid, status, options));

    /// wait3(2): how a child ended, and what it used.
    unsafe fn wait3(status: *mut c_int, options: c_int, usage: *mut rusage) -> pid_t;
    symbols: "wait3";
    told: status, usage;
    fails: MinusOne;
    event: ProcessExit;
    instead |row, real| exits::wait(row, status, usage, |status| real(status, options, usage));

    /// wait4(2): how a child ended, and what it used.
    unsafe fn wait4(pid: pid_t, status: *mut c_int, options: c_int, usage: *mut rusage) -> pid_t;
    symbols: "wait4";
    told: status, usage;
    fails: MinusOne;
    event: ProcessExit;
    instead |row, real| exits::wait(row, status, usage, |status| real(pid, status, options, usage));

    /// chdir(2): the current directory; the collector keeps it, so that every path is absolute.
    unsafe fn chdir(path: *const c_char) -> c_int;
    symbols: "chdir";
    told: path;
    fails: MinusOne;
    event: ;
    after |call, _ret| fds::directory_changed(call, AT_FDCWD, path);

    /// fchdir(2): the current directory, by descriptor.
    unsafe fn fchdir(fd: c_int) -> c_int;
    symbols: "fchdir";
    told: fd;
    fails: MinusOne;
    event: ;
    after |call, _ret| fds::directory_changed(call, fd, null());

    /// prctl(2): options that change the process are reported; seccomp is noted too, so that the sensor stays
    /// within the new limits.
    unsafe fn prctl(option: c_int, a: usize, b: usize, c: usize, d: usize) -> c_int;
    symbols: "prctl";
    told: option, a, b "a filter's effect on the sensor";
    fails: MinusOne;
    event: ProcessControl;
    instead |row, real| identity::controlled(row, identity::Request::of(option, a, b), || real(option, a, b, c, d));

    /// forkpty(3): a child on a terminal of its own.
    unsafe fn forkpty(controller: *mut c_int, name: *mut c_char, settings: *const c_void, size: *const c_void) -> pid_t;
    symbols: "forkpty";
    told: controller;
    fails: MinusOne;
    event: ProcessFork, FileOpen;
    instead |row, real| lineage::fork_on_terminal(row, controller, || real(controller, name, settings, size));

    /// login_tty(3): a terminal becomes the standard streams.
    unsafe fn login_tty(fd: c_int) -> c_int;
    symbols: "login_tty";
    told: fd;
    fails: MinusOne;
    event: FdDuplicate, FileClose;
    instead |row, real| fds::made_standard(row, fd, || real(fd));

    /// daemon(3): goes on as its own child; the child is not named, since the call returns in it.
    unsafe fn daemon(keeps_directory: c_int, keeps_streams: c_int) -> c_int;
    symbols: "daemon";
    told: keeps_directory, keeps_streams;
    fails: MinusOne;
    event: ProcessFork;
    instead |row, real| lineage::daemonised(row, keeps_directory, keeps_streams, || real(keeps_directory, keeps_streams));

    /// setrlimit(2): a limit of the process changes.
    unsafe fn setrlimit(resource: c_uint, limit: *const rlimit) -> c_int;
    symbols: "setrlimit", "setrlimit64";
    told: resource, limit;
    fails: MinusOne;
    event: ProcessLimit;
    after |call, _ret| identity::limited(call, None, resource, limit);

    /// prlimit(2): a limit of a process is read, or changes, which is reported.
    unsafe fn prlimit(process: pid_t, resource: c_uint, new: *const rlimit, old: *mut rlimit) -> c_int;
    symbols: "prlimit", "prlimit64";
    told: process, resource, new;
    fails: MinusOne;
    event: ProcessLimit;
    after |call, _ret| if !new.is_null() { identity::limited(call, (process != 0).then_some(process), resource, new) };

    names: seccomp "operation";
}
