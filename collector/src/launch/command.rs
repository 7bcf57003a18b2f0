//! Starts CMD or becomes it, as if the caller had executed it without glassbox.
//!
//! # Safety
//! The launcher has one thread until CMD runs, so a forked child may run ordinary code until it execs. It
//! calls nothing with a destructor that matters: it execs or `_exit`s. Pointer arrays handed to execvpe(3)
//! are null-terminated and outlive the call.
#![allow(unsafe_code, reason = "fork, exec and wait have no safe interface")]

use std::convert::Infallible;
use std::ffi::{CString, OsStr, OsString, c_char};
use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::protocol::Reaped;
use super::signals::Signals;
use crate::notify::birth::{self, Born};
use crate::notify::holder::{self, Held};
use crate::notify::listener::Listener;
use crate::shell::failure::{Failure, Status};
use crate::shell::inherited;
use crate::system::{child, search};

/// A command line ready for execve(2).
#[derive(Debug)]
pub struct Program {
    arguments: Vec<CString>,
    environment: Vec<CString>,
}

/// The result of [`Program::start`].
#[derive(Debug)]
pub enum Started {
    /// CMD runs under this pid; with the listener of its filter, where it has one.
    Running(i32, Option<Held>),
    /// CMD could not be executed; its child is reaped.
    NotExecuted(io::Error),
}

/// The limit on open files, which the launcher raises for itself and puts back for CMD.
#[derive(Clone, Copy, Debug)]
pub struct FileLimit(Option<libc::rlimit>);

impl Program {
    /// `command` (its name and arguments, not empty) with `environment`.
    pub fn new(command: &[OsString], environment: Vec<CString>) -> Result<Self, Failure> {
        let arguments: Result<Vec<CString>, _> =
            command.iter().map(|argument| CString::new(argument.as_bytes())).collect();
        let arguments =
            arguments.map_err(|_| Failure::usage("an argument of CMD holds a NUL byte; remove it"))?;
        Ok(Self { arguments, environment })
    }

    /// The name as the user typed it.
    fn name(&self) -> &OsStr {
        OsStr::from_bytes(self.arguments.first().map(|name| name.to_bytes()).unwrap_or_default())
    }

    /// The arguments, each ended by a NUL, in at most `most_bytes`; how many there are, where they are cut.
    pub fn argv(&self, most_bytes: usize) -> (Vec<u8>, Option<u64>) {
        let mut argv = Vec::new();
        for argument in &self.arguments {
            let left = most_bytes.saturating_sub(argv.len());
            let bytes = argument.to_bytes();
            if left == 0 {
                break;
            }
            argv.extend_from_slice(bytes.get(..left - 1).unwrap_or(bytes));
            argv.push(0);
        }
        let len_bytes: usize = self.arguments.iter().map(|argument| argument.to_bytes_with_nul().len()).sum();
        (argv, (len_bytes > most_bytes).then_some(self.arguments.len() as u64))
    }

    /// Becomes the program; returns only if that fails.
    ///
    /// Restores the caller's standard streams and signal dispositions; leaves the signal mask as it is.
    pub fn become_it(&self) -> io::Error {
        inherited::restore();
        self.execute()
    }

    fn execute(&self) -> io::Error {
        let arguments = pointers(&self.arguments);
        let environment = pointers(&self.environment);
        let Some(name) = self.arguments.first() else { return io::ErrorKind::InvalidInput.into() };
        // execvpe searches PATH and hands a file without `#!` to sh, as a shell does (POSIX, execvp).
        // SAFETY: three valid, null-terminated strings and arrays, as the module's argument says.
        unsafe { libc::execvpe(name.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
        io::Error::last_os_error()
    }

    /// The program's path, as far as it can be known without running it.
    pub fn path(&self) -> Option<Vec<u8>> {
        let folders = std::env::var_os("PATH").unwrap_or_default();
        search::find(self.name(), &folders).map(|path| path.into_os_string().into_vec())
    }

    /// Starts the program as a child in this process group, with the caller's signals and limits.
    ///
    /// With the program of a `filter`, its calls are asked about from its own exec on, which is let go on
    /// here.
    ///
    /// An error is fork's own, or the filter's: nothing was started.
    pub fn start(
        &self,
        signals: &Signals,
        limit: FileLimit,
        filter: Option<&[libc::sock_filter]>,
    ) -> io::Result<Started> {
        let (mut failure_rx, failure_tx) = io::pipe()?;
        let become_it = || -> Infallible {
            limit.restore();
            inherited::restore();
            signals.restore_mask();
            let error = self.execute();
            let _ = (&failure_tx).write_all(&error.raw_os_error().unwrap_or(libc::EIO).to_ne_bytes());
            // SAFETY: ends the child without running the parent's exit handlers.
            unsafe { libc::_exit(127) };
        };
        let (pid, listener) = match filter {
            Some(filter) => {
                let Born { pid, listener } = birth::fork(filter, become_it).map_err(io::Error::other)?;
                (pid, Some(listener))
            }
            None => {
                // SAFETY: one thread; the child execs or `_exit`s.
                let pid = unsafe { libc::fork() };
                if pid < 0 {
                    return Err(io::Error::last_os_error());
                }
                if pid == 0 {
                    become_it();
                }
                (pid, None)
            }
        };
        // Before the holder is made, which would have it too.
        drop(failure_tx);
        // CMD's child waits in its exec: nothing has run yet.
        let held = listener.map(holder::hold).transpose().inspect_err(|_| child::end(pid))?;
        if let Some(held) = &held {
            let_execute(&held.listener, &failure_rx);
        }
        // The pipe closes when exec succeeds (close-on-exec), or when a pending signal kills the child.
        let mut errno = [0; 4];
        if failure_rx.read_exact(&mut errno).is_err() {
            return Ok(Started::Running(pid, held));
        }
        child::reap(pid);
        Ok(Started::NotExecuted(io::Error::from_raw_os_error(i32::from_ne_bytes(errno))))
    }

    /// The message and status that a shell would give when exec failed with `error`.
    pub fn failure(&self, error: &io::Error) -> Failure {
        let name = self.name().display();
        match error.raw_os_error() {
            Some(libc::ENOENT) if self.name().as_bytes().contains(&b'/') => Failure::new(
                Status::NotFound,
                format!("cannot run '{name}': no such file, or its interpreter is missing; check the path"),
            ),
            Some(libc::ENOENT) => Failure::new(
                Status::NotFound,
                format!("cannot run '{name}': command not found; check the name, or give its path"),
            ),
            Some(libc::EACCES) if std::path::Path::new(self.name()).is_dir() => Failure::new(
                Status::NotExecutable,
                format!("cannot run '{name}': it is a directory; give a program"),
            ),
            Some(libc::EACCES) => Failure::new(
                Status::NotExecutable,
                format!("cannot run '{name}': permission denied; make it executable with 'chmod +x'"),
            ),
            _ => Failure::new(
                Status::NotExecutable,
                format!("cannot run '{name}': {error}; check that it is a program for this machine"),
            ),
        }
    }
}

/// Lets calls go on until the pipe of a failed exec is closed, or says something.
fn let_execute(listener: &Listener, failure_rx: &io::PipeReader) {
    loop {
        let mut polled = [
            PollFd::new(failure_rx, PollFlags::IN),
            PollFd::from_borrowed_fd(listener.as_fd(), PollFlags::IN),
        ];
        let _ = poll(&mut polled, None);
        if !polled[0].revents().is_empty() {
            return;
        }
        if polled[1].revents().contains(PollFlags::IN) {
            // The pipe closes before the program's first call: one that was made since is the supervisor's.
            let now = Timespec { tv_sec: 0, tv_nsec: 0 };
            if poll(&mut [PollFd::new(failure_rx, PollFlags::IN)], Some(&now)).is_ok_and(|ready| ready > 0) {
                return;
            }
            listener.let_next_go_on();
        } else if !polled[1].revents().is_empty() {
            return;
        }
    }
}

fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
}

impl FileLimit {
    /// Raises the soft limit to the hard one: the launcher keeps a descriptor for each ring.
    pub fn raise() -> Self {
        let mut limit = MaybeUninit::uninit();
        // SAFETY: `limit` has room for the answer.
        let result = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, limit.as_mut_ptr()) };
        if result != 0 {
            return Self(None);
        }
        // SAFETY: filled, as the call succeeded.
        let limit: libc::rlimit = unsafe { limit.assume_init() };
        set_limit(libc::rlimit { rlim_cur: limit.rlim_max, ..limit });
        Self(Some(limit))
    }

    /// Puts back the caller's limit.
    pub fn restore(self) {
        if let Self(Some(limit)) = self {
            set_limit(limit);
        }
    }
}

fn set_limit(limit: libc::rlimit) {
    // SAFETY: `limit` is initialised. Failing leaves the old limit, which also works.
    unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) };
}

/// A change of a child, as wait4(2) reports it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Change {
    /// It ended.
    Ended(Reaped),
    /// It was stopped by this signal.
    Stopped {
        /// The child.
        pid: i32,
        /// The stopping signal.
        signal: i32,
    },
}

/// The next child that ended or stopped, if any has; the zombie is reaped.
pub fn next_change() -> Option<Change> {
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: both pointers are writable; all signals are blocked, so this is not interrupted.
    let pid = unsafe { libc::wait4(-1, &mut status, libc::WNOHANG | libc::WUNTRACED, usage.as_mut_ptr()) };
    if pid <= 0 {
        return None;
    }
    if libc::WIFSTOPPED(status) {
        return Some(Change::Stopped { pid, signal: libc::WSTOPSIG(status) });
    }
    // SAFETY: made of integers only, so zeroes and all that the kernel may write are valid.
    let usage = unsafe { usage.assume_init() };
    Some(Change::Ended(Reaped {
        pid,
        wait_status: status,
        user_us: microseconds(usage.ru_utime),
        system_us: microseconds(usage.ru_stime),
        max_rss_kib: u64::try_from(usage.ru_maxrss).unwrap_or(0),
        is_command: false,
    }))
}

fn microseconds(time: libc::timeval) -> u64 {
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000 + u64::try_from(time.tv_usec).unwrap_or(0)
}

/// True if the stopped child `pid` continued or ended since it was last waited for. Leaves it to be waited
/// for.
pub fn went_on(pid: i32) -> bool {
    let mut description = MaybeUninit::<libc::siginfo_t>::zeroed();
    let flags = libc::WCONTINUED | libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: `description` is writable; an id that is no child is an error, not undefined.
    let result = unsafe { libc::waitid(libc::P_PID, pid.cast_unsigned(), description.as_mut_ptr(), flags) };
    // SAFETY: made of integers only, so zeroes and all that the kernel may write are valid.
    let description = unsafe { description.assume_init() };
    // SAFETY: for waitid the kernel fills the `_sigchld` member, or leaves the zero that stands there.
    result == 0 && unsafe { description.si_pid() } != 0
}

/// The exit status of a shell for a wait status: 128+N if signal N killed it.
pub fn exit_status(wait_status: i32) -> u8 {
    let status = ExitStatus::from_raw(wait_status);
    let number = match (status.code(), status.signal()) {
        (Some(code), _) => code,
        (None, Some(signal)) => 128 + signal,
        (None, None) => 255,
    };
    u8::try_from(number).unwrap_or(255)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(name: &str, errno: i32) -> Failure {
        Program::new(&[name.into()], Vec::new()).unwrap().failure(&io::Error::from_raw_os_error(errno))
    }

    #[test]
    fn exit_status_is_a_shells() {
        assert_eq!(0, exit_status(0));
        assert_eq!(3, exit_status(3 << 8));
        assert_eq!(137, exit_status(9));
        assert_eq!(139, exit_status(11 | 0x80));
        assert_eq!(192, exit_status(64));
    }

    #[test]
    fn missing_program_is_127_and_one_that_cannot_run_126() {
        assert_eq!(127, failure("nosuch", libc::ENOENT).status());
        assert_eq!(127, failure("/no/such", libc::ENOENT).status());
        assert_eq!(126, failure("/etc/passwd", libc::EACCES).status());
        assert_eq!(126, failure("/etc", libc::EACCES).status());
        assert_eq!(126, failure("/bin/sh", libc::ENOEXEC).status());
    }

    #[test]
    fn messages_say_what_to_do() {
        assert_eq!(
            "cannot run 'nosuch': command not found; check the name, or give its path",
            failure("nosuch", libc::ENOENT).to_string()
        );
    }

    #[test]
    fn argument_with_a_nul_is_wrong_usage() {
        assert_eq!(64, Program::new(&["a\0b".into()], Vec::new()).unwrap_err().status());
    }
}
