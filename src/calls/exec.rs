//! Programs: exec, spawn, and the functions that run a shell.
//!
//! An exec is reported before it is made, since it does not return; and again if it failed. The environment
//! is made to carry the sensor first ([`crate::start::environ`]). This file names two rows of the table,
//! whose next definitions the whole exec family calls: a circle of `use` lines in the sensor (this
//! file, `hooks/exec.rs`, `prelude.rs`). A second place for the same definition would miss it when
//! [`crate::reach::inline`] leads the wrapper to a copy.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::ptr::null;

use wire::events::{LibLoad, ProcessExec, ProcessFork};
use wire::fields::{self, AT_FDCWD, AtFlags, Hidden, LoadFlags, Path};
use wire::record::Flags;

use crate::calls::actions::Actions;
use crate::calls::{connects, fds, foreign};
use crate::process::{self, Seal};
use crate::reach::{real, streams};
use crate::record::call::{Call, Outcome, Row};
use crate::record::capture::{Arguments, Program};
use crate::record::fail::{ErrorNumber, Fails, MinusOne, Null, errno, set_errno};
use crate::record::probe::Probe;
use crate::record::{capture, emit};
use crate::start::environ::{self, Loan, Omitted};
use crate::sys;
use crate::table::exec::{execve, execvpe};

type Strings = *const *const c_char;
type Execve = unsafe extern "C" fn(*const c_char, Strings, Strings) -> c_int;

/// Looks up the functions that most children call first, for all children that are forked from here on. In
/// each child the look-up would cost the copy of a page, and some more.
pub fn look_up() {
    execve::REAL.get(c"execve");
    execvpe::REAL.get(c"execvpe");
}

fn call_exec(real: Option<usize>, path: *const c_char, argv: Strings, environment: Strings) -> c_int {
    let Some(address) = real else {
        set_errno(libc::ENOSYS);
        return -1;
    };
    // SAFETY: `int f(const char *, char *const [], char *const [])` for both symbols (exec(3)), with the
    // application's arguments.
    unsafe { core::mem::transmute::<usize, Execve>(address)(path, argv, environment) }
}

/// The arguments of an exec, without the environment.
#[derive(Clone, Copy)]
pub struct Exec {
    dir: c_int,
    path: *const c_char,
    argv: Strings,
    find: Find,
    /// The file actions of posix_spawn(3).
    actions: *const c_void,
    /// The flags of execveat(2).
    flags: Option<c_int>,
    /// The loader of the next image would not find the sensor.
    is_out_of_reach: bool,
}

/// The way in which a function finds the program.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Find {
    /// The path is the program's.
    Path,
    /// A name without a slash is searched in `PATH`.
    Search,
}

impl Exec {
    /// The program at `path`.
    pub fn of(path: *const c_char, argv: Strings) -> Self {
        Self::at(AT_FDCWD, path, argv)
    }

    /// The program at `path`, relative to the open directory `dir`.
    pub fn at(dir: c_int, path: *const c_char, argv: Strings) -> Self {
        Self { dir, path, argv, find: Find::Path, actions: null(), flags: None, is_out_of_reach: false }
    }

    /// The program that `PATH` has by the name `file`.
    pub fn searched(file: *const c_char, argv: Strings) -> Self {
        Self { find: Find::Search, ..Self::of(file, argv) }
    }

    /// The same, by a child that takes these actions first.
    pub fn after(self, actions: *const c_void) -> Self {
        Self { actions, ..self }
    }

    /// The same, with the flags of execveat(2).
    pub fn with(self, flags: c_int) -> Self {
        Self { flags: Some(flags), ..self }
    }
}

/// An exec with the environment given: `real` is called with one that carries us.
///
/// # Safety
/// The arguments are those of an exec function.
pub unsafe fn exec(row: Row, exec: Exec, environment: Strings, real: impl Fn(Strings) -> c_int) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { reported(row, exec, |omitted| environ::carried(environment, omitted, &real, is_too_long)) }
}

/// An exec with `environ`, by a function that takes an array or by the `execl` family's stubs.
///
/// # Safety
/// The arguments are those of an exec function.
pub unsafe fn exec_here(row: Row, exec: Exec) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { exec_with(row, exec, environ::current()) }
}

/// An exec with the environment given, by the array.
///
/// # Safety
/// The arguments are those of an exec function.
pub unsafe fn exec_with(row: Row, exec: Exec, environment: Strings) -> c_int {
    let real = match exec.find {
        Find::Path => execve::REAL.get(c"execve"),
        Find::Search => execvpe::REAL.get(c"execvpe"),
    };
    // SAFETY: the caller's promise.
    unsafe {
        reported(row, exec, |omitted| {
            let real = |own| call_exec(real, exec.path, exec.argv, own);
            environ::carried(environment, omitted, &real, is_too_long)
        })
    }
}

/// Whether an exec failed because of the length of its arguments and environment.
fn is_too_long(ret: c_int) -> bool {
    ret == -1 && errno() == libc::E2BIG
}

/// # Safety
/// The arguments are those of an exec function.
unsafe fn reported(row: Row, exec: Exec, real: impl FnOnce(Omitted) -> c_int) -> c_int {
    let exec = Exec { is_out_of_reach: environ::is_out_of_reach(), ..exec };
    // SAFETY: the caller's promise.
    let omitted = unsafe { report(row, None, exec) };
    let ret = real(omitted);
    if process::ring().is_some() {
        let outcome = <MinusOne as Fails<c_int>>::outcome(ret);
        // SAFETY: the caller's promise.
        unsafe { report(row, Some(outcome), exec) };
        // Our own look-ups make no libc call, so errno is still the exec's.
    }
    ret
}

/// Reports an exec that is asked for, or one that failed. Gives what its environment is passed on without:
/// the sensor where the next image's loader could only complain of it.
///
/// # Safety
/// The arguments are those of an exec function.
unsafe fn report(row: Row, outcome: Option<Outcome>, exec: Exec) -> Omitted {
    let Exec { dir, path, argv, find, actions, flags, is_out_of_reach } = exec;
    let omitted = |is_in_vain: bool| if is_in_vain { Omitted::Sensor } else { Omitted::Nothing };
    if process::ring().is_none() {
        return omitted(is_out_of_reach);
    }
    let mut probe = Probe::new();
    let mut program = capture::program(&mut probe, dir, path, argv)
        .unwrap_or(Program { exec: unread(Path { dir, raw: None }, Arguments::NONE), flags: 0 });
    program.exec.flags = flags.map(|flags| AtFlags(flags as u32));
    if is_out_of_reach {
        program.flags |= Flags::OUT_OF_REACH;
    }
    let is_foreign = match actions.is_null() {
        true => write_found(row, outcome, program, find, None),
        false => write_spawned(row, outcome, program, find, actions, &mut probe),
    };
    omitted(is_out_of_reach || is_foreign)
}

/// Reads the actions of a child. On a frame of its own, since most execs have none.
#[cold]
#[inline(never)]
fn write_spawned(
    row: Row,
    outcome: Option<Outcome>,
    Program { exec, flags }: Program<'_>,
    find: Find,
    list: *const c_void,
    probe: &mut Probe,
) -> bool {
    let mut actions = Actions::new();
    actions.read(probe, list);
    let exec = ProcessExec { actions: fields::Actions(actions.bytes()), ..exec };
    let flags = if actions.is_cut { flags | Flags::TRUNCATED } else { flags };
    write_found(row, outcome, Program { exec, flags }, find, Some(&actions))
}

/// Writes the record of an exec; gives whether it is asked for a program that is [`foreign`].
fn write_found(
    row: Row,
    outcome: Option<Outcome>,
    Program { mut exec, flags }: Program<'_>,
    find: Find,
    actions: Option<&Actions>,
) -> bool {
    let mut found = [0u8; 1024];
    if find == Find::Search
        && let Some(name) = exec.path.raw
    {
        let begin = actions.map_or(Some((AT_FDCWD, &b""[..])), Actions::directory);
        exec.path = search(name, begin, &mut found);
    }
    // A child that goes elsewhere first may find another file by a relative path.
    let is_known = actions.is_none() || exec.path.raw.is_some_and(|path| path.starts_with(b"/"));
    let is_foreign = outcome.is_none() && is_known && foreign::is_foreign(exec.path);
    // Last, so that its time is that of the exec.
    write(row, outcome, flags, &exec);
    is_foreign
}

/// An exec of which no more is known.
fn unread<'a>(path: Path<'a>, Arguments { argv, argc, .. }: Arguments<'a>) -> ProcessExec<'a> {
    ProcessExec { path, argv, argc, actions: fields::Actions(&[]), flags: None }
}

fn write(row: Row, outcome: Option<Outcome>, flags: u8, exec: &ProcessExec<'_>) {
    let flags = if environ::is_barred() { flags | Flags::BARRED } else { flags };
    match outcome {
        None => emit::before(row, flags, exec),
        Some(outcome) => emit::after(Call::of(row, outcome), flags, exec),
    }
}

/// The path that execvp(3) will run for `name`: of a name without a slash, what `PATH` has, whose relative
/// folders begin at `begin`, an open directory and a path from there. A name that may not be looked for is no
/// file of any directory.
fn search<'b>(name: &'b [u8], begin: Option<(c_int, &[u8])>, found: &'b mut [u8]) -> Path<'b> {
    if name.contains(&b'/') {
        return Path { dir: AT_FDCWD, raw: Some(name) };
    }
    let begin = begin.filter(|_| !name.is_empty() && process::seal() == Seal::Open);
    match begin.and_then(|begin| find(name, begin, found)) {
        Some(path) => Path { dir: AT_FDCWD, raw: Some(path) },
        None => Path { dir: -1, raw: Some(name) },
    }
}

/// The first program of that name. Where there is none, the file that execvp(3) fails for: the first that may
/// not be executed (`EACCES`), else the last that it tries.
fn find<'b>(name: &[u8], (dir, prefix): (c_int, &[u8]), found: &'b mut [u8]) -> Option<&'b [u8]> {
    let path = environ::value_of(b"PATH").unwrap_or(b"/bin:/usr/bin");
    found.get_mut(..prefix.len())?.copy_from_slice(prefix);
    let (mut denied, mut missing) = (None, None);
    for directory in path.split(|byte| *byte == b':') {
        let Some(len) = found.get_mut(prefix.len()..).and_then(|place| join(directory, name, place)) else {
            continue;
        };
        // A folder that begins with a slash begins at no other.
        let start = if directory.first() == Some(&b'/') { prefix.len() } else { 0 };
        let candidate = found.get(start..=prefix.len() + len);
        let candidate = candidate.and_then(|bytes| CStr::from_bytes_with_nul(bytes).ok());
        match candidate.map(|path| sys::program_at(dir, path)) {
            Some(Ok(())) => return found.get(prefix.len()..)?.get(..len),
            Some(Err(sys::Errno(libc::EACCES))) => denied = denied.or(Some(directory)),
            _ => missing = Some(directory),
        }
    }
    let place = found.get_mut(prefix.len()..)?;
    let len = join(denied.or(missing)?, name, place)?;
    place.get(..len)
}

/// `directory/name` and a NUL; gives the length without it.
fn join(directory: &[u8], name: &[u8], into: &mut [u8]) -> Option<usize> {
    let directory = if directory.is_empty() { b"." } else { directory };
    let len = directory.len() + 1 + name.len();
    into.get_mut(..directory.len())?.copy_from_slice(directory);
    *into.get_mut(directory.len())? = b'/';
    into.get_mut(directory.len() + 1..len)?.copy_from_slice(name);
    *into.get_mut(len)? = 0;
    Some(len)
}

/// posix_spawn(3): `child` is where the caller wants the pid.
///
/// # Safety
/// The arguments are posix_spawn's.
pub unsafe fn spawn(
    row: Row,
    child: *const libc::pid_t,
    exec: Exec,
    environment: Strings,
    real: impl Fn(Strings) -> c_int,
) -> c_int {
    let exec = Exec { is_out_of_reach: environ::is_out_of_reach(), ..exec };
    // SAFETY: the caller's promise.
    let omitted = unsafe { report(row, None, exec) };
    // A second child would take the file actions once more, and its parent be told of the end of the first.
    let omitted = match environ::is_crowded(exec.argv, environment) {
        true => Omitted::Everything,
        false => omitted,
    };
    let began_ns = process::begin_ns();
    // SAFETY: the caller's promise.
    let ret = unsafe { environ::carried(environment, omitted, &real, |_| false) };
    let outcome = <ErrorNumber as Fails<c_int>>::outcome(ret);
    if outcome.failed {
        // SAFETY: the caller's promise.
        unsafe { report(row, Some(outcome), exec) };
    } else {
        // SAFETY: posix_spawn succeeded, so it wrote the pid if it was given a place.
        let child = unsafe { child.as_ref() }.map(|pid| *pid as u32);
        connects::shared();
        emit::after(Call::of(row, outcome), 0, &ProcessFork { child, began_ns: Hidden(began_ns) });
    }
    ret
}

/// system(3). Without a command it asks whether there is a shell: glibc runs one to find out, musl knows.
///
/// # Safety
/// `command` is null or a C string.
pub unsafe fn system(row: Row, command: *const c_char, real: impl FnOnce() -> c_int) -> c_int {
    let is_asking = command.is_null();
    if process::ring().is_none() || is_asking && !real::is_glibc() {
        return real();
    }
    // SAFETY: the caller's promise.
    unsafe { report_shell(row, if is_asking { c"exit 0".as_ptr() } else { command }) };
    let (ret, began_ns) = lent(real);
    let made = ProcessFork { child: None, began_ns: Hidden(began_ns) };
    emit::after(Call::of(row, <MinusOne as Fails<c_int>>::outcome(ret)), 0, &made);
    ret
}

/// wordexp(3). Without a command among the words, or where none is allowed, it starts nothing.
///
/// # Safety
/// `words` is a C string.
pub unsafe fn expanded(row: Row, words: *const c_char, flags: c_int, real: impl FnOnce() -> c_int) -> c_int {
    // SAFETY: the caller's promise.
    let text = unsafe { capture::text(words, 4096) }.unwrap_or_default();
    let holds_command = text.contains(&b'`') || text.windows(2).any(|pair| pair == b"$(");
    if process::ring().is_none() || !holds_command || flags & WRDE_NOCMD != 0 {
        return real();
    }
    // SAFETY: the caller's promise.
    unsafe { report_shell(row, words) };
    let (ret, began_ns) = lent(real);
    let made = ProcessFork { child: None, began_ns: Hidden(began_ns) };
    // The return value says what was wrong with the words.
    emit::after(Call::of(row, Outcome::success(ret.into())), 0, &made);
    ret
}

/// Calls a function that runs a shell with `environ`; gives its result, and the clock before it.
fn lent<R>(real: impl FnOnce() -> R) -> (R, u64) {
    let loan = Loan::begin();
    let began_ns = process::begin_ns();
    let ret = real();
    loan.end();
    (ret, began_ns)
}

/// `WRDE_NOCMD`, <wordexp.h> of glibc and musl.
const WRDE_NOCMD: c_int = 4;

/// popen(3): the descriptor of the stream is a pipe.
///
/// # Safety
/// The arguments are popen's.
pub unsafe fn popen(
    row: Row,
    command: *const c_char,
    mode: *const c_char,
    real: impl FnOnce() -> *mut libc::FILE,
) -> *mut libc::FILE {
    if process::ring().is_none() {
        return real();
    }
    // SAFETY: the caller's promise.
    let flags = unsafe {
        report_shell(row, command);
        capture::stream_flags(mode)
    };
    let (stream, began_ns) = lent(real);
    let call = Call::of(row, <Null as Fails<*mut libc::FILE>>::outcome(stream));
    emit::after(call, 0, &ProcessFork { child: None, began_ns: Hidden(began_ns) });
    // SAFETY: null or the stream that was just opened.
    let fd = unsafe { streams::of_stream(stream) };
    if fd >= 0 {
        fds::made(call, fd, b"pipe:", flags & libc::O_CLOEXEC != 0);
    }
    stream
}

/// # Safety
/// `command` is a C string.
unsafe fn report_shell(row: Row, command: *const c_char) {
    connects::shared();
    let argv = [c"sh".as_ptr(), c"-c".as_ptr(), command, null()];
    let shell = capture::arguments(&mut Probe::new(), argv.as_ptr()).unwrap_or(Arguments::NONE);
    let path = Path { dir: AT_FDCWD, raw: Some(b"/bin/sh") };
    write(row, None, shell.flags, &unread(path, shell));
}

/// A library is about to be loaded. A null path is the program itself, and loads nothing.
///
/// # Safety
/// `path` is the call's.
pub unsafe fn library_loaded(row: Row, path: *const c_char, flags: c_int) {
    if !path.is_null() {
        let path = capture::path_before(AT_FDCWD, path);
        emit::before(row, 0, &LibLoad { path, flags: LoadFlags(flags) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_and_a_name_are_joined_with_a_nul() {
        let mut buffer = [b'x'; 16];

        assert_eq!(Some(8), join(b"/bin", b"tru", &mut buffer));
        assert_eq!(b"/bin/tru\0", &buffer[..9]);
        assert_eq!(None, join(b"/bin", b"a-long-name", &mut buffer));
        assert_eq!(Some(3), join(b"", b"a", &mut buffer));
        assert_eq!(b"./a\0", &buffer[..4]);
    }
}
