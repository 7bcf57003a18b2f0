//! Programs run: exec(3), execve(2), posix_spawn(3), system(3), popen(3).

crate::hooks! { family exec = 6;
    /// execve(2): this process becomes another program.
    unsafe fn execve(path: *const c_char, argv: Strings, envp: Strings) -> c_int;
    symbols: "execve";
    told: path, argv;
    fails: MinusOne;
    event: ProcessExec;
    own |row| exec::exec_with(row, Exec::of(path, argv), envp);

    /// execv(3): with the current environment.
    unsafe fn execv(path: *const c_char, argv: Strings) -> c_int;
    symbols: "execv";
    told: path, argv;
    fails: MinusOne;
    event: ProcessExec;
    own |row| exec::exec_here(row, Exec::of(path, argv));

    /// execvp(3): searches `PATH`.
    unsafe fn execvp(file: *const c_char, argv: Strings) -> c_int;
    symbols: "execvp";
    told: file, argv;
    fails: MinusOne;
    event: ProcessExec;
    own |row| exec::exec_here(row, Exec::searched(file, argv));

    /// execvpe(3): searches `PATH`, with an environment given.
    unsafe fn execvpe(file: *const c_char, argv: Strings, envp: Strings) -> c_int;
    symbols: "execvpe";
    told: file, argv;
    fails: MinusOne;
    event: ProcessExec;
    own |row| exec::exec_with(row, Exec::searched(file, argv), envp);

    /// execl(3): arguments as a list.
    unsafe fn execl(path: *const c_char, list: Strings, _rest: Strings) -> c_int;
    symbols: "execl";
    told: path, list;
    fails: MinusOne;
    event: ProcessExec;
    list |row| exec::exec_here(row, Exec::of(path, list));

    /// execlp(3): arguments as a list, searches `PATH`.
    unsafe fn execlp(file: *const c_char, list: Strings, _rest: Strings) -> c_int;
    symbols: "execlp";
    told: file, list;
    fails: MinusOne;
    event: ProcessExec;
    list |row| exec::exec_here(row, Exec::searched(file, list));

    /// execle(3): arguments as a list, then the environment.
    unsafe fn execle(path: *const c_char, list: Strings, rest: *const Strings) -> c_int;
    symbols: "execle";
    told: path, list;
    fails: MinusOne;
    event: ProcessExec;
    list |row| exec::exec_with(row, Exec::of(path, list), *rest);

    /// fexecve(3): the program is an open file. Without an environment it fails.
    unsafe fn fexecve(fd: c_int, argv: Strings, envp: Strings) -> c_int;
    symbols: "fexecve";
    told: fd, argv;
    fails: MinusOne;
    event: ProcessExec;
    instead |row, real| exec::exec(row, Exec::at(fd, c"".as_ptr(), argv), envp, |own| real(fd, argv, if envp.is_null() { envp } else { own }));

    /// execveat(2): relative to a directory, or an open file.
    unsafe fn execveat(dir: c_int, path: *const c_char, argv: Strings, envp: Strings, flags: c_int) -> c_int;
    symbols: "execveat";
    told: dir, path, argv, flags;
    fails: MinusOne;
    event: ProcessExec;
    instead |row, real| exec::exec(row, Exec::at(dir, path, argv).with(flags), envp, |own| real(dir, path, argv, own, flags));

    /// posix_spawn(3): a child that becomes another program.
    unsafe fn posix_spawn(child: *mut pid_t, path: *const c_char, actions: *const c_void, attributes: *const c_void, argv: Strings, envp: Strings) -> c_int;
    symbols: "posix_spawn";
    told: child, path, actions, argv;
    fails: ErrorNumber;
    event: ProcessExec, ProcessFork;
    instead |row, real| exec::spawn(row, child, Exec::of(path, argv).after(actions), envp, |own| real(child, path, actions, attributes, argv, own));

    /// posix_spawnp(3): searches `PATH`.
    unsafe fn posix_spawnp(child: *mut pid_t, file: *const c_char, actions: *const c_void, attributes: *const c_void, argv: Strings, envp: Strings) -> c_int;
    symbols: "posix_spawnp";
    told: child, file, actions, argv;
    fails: ErrorNumber;
    event: ProcessExec, ProcessFork;
    instead |row, real| exec::spawn(row, child, Exec::searched(file, argv).after(actions), envp, |own| real(child, file, actions, attributes, argv, own));

    /// system(3): a shell runs a command; reported before the call, and when it is over.
    unsafe fn system(command: *const c_char) -> c_int;
    symbols: "system";
    told: command;
    fails: MinusOne;
    event: ProcessExec, ProcessFork;
    instead |row, real| exec::system(row, command, || real(command));

    /// popen(3): a shell runs a command, with a pipe to it.
    unsafe fn popen(command: *const c_char, mode: *const c_char) -> *mut FILE;
    symbols: "popen";
    told: command, mode "its e";
    fails: Null;
    event: ProcessExec, ProcessFork;
    instead |row, real| exec::popen(row, command, mode, || real(command, mode));

    /// pclose(3): ends a pipe to a command.
    unsafe fn pclose(stream: *mut FILE) -> c_int;
    symbols: "pclose";
    told: stream;
    fails: MinusOne;
    event: FileClose;
    instead |row, real| fds::close_stream(row, stream, || real(stream));

    /// wordexp(3): where the words hold a command, a shell runs it; reported with all the words.
    unsafe fn wordexp(words: *const c_char, result: *mut c_void, flags: c_int) -> c_int;
    symbols: "wordexp";
    told: words;
    fails: ErrorNumber;
    event: ProcessExec, ProcessFork;
    instead |row, real| exec::expanded(row, words, flags, || real(words, result, flags));
}
