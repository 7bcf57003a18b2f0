//! Runs a program to its end, with a deadline, and keeps its output.

use std::fmt;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

/// The time limit of every program: nothing in these tests takes longer, even on two busy cores.
pub const DEADLINE: Duration = Duration::from_secs(90);

/// How a program ended, as its parent saw it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It exited with this code.
    Exited(i32),
    /// It was killed by this signal.
    Killed(i32),
}

impl Status {
    /// The exit code that a shell, and `glassbox run`, make of it.
    pub fn as_shell_code(self) -> i32 {
        match self {
            Status::Exited(code) => code,
            Status::Killed(signal) => 128 + signal,
        }
    }
}

impl From<ExitStatus> for Status {
    fn from(status: ExitStatus) -> Status {
        match (status.code(), status.signal()) {
            (Some(code), _) => Status::Exited(code),
            (None, signal) => Status::Killed(signal.unwrap_or(0)),
        }
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Status::Exited(code) => write!(f, "exit {code}"),
            Status::Killed(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// The status and the output of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// How it ended.
    pub status: Status,
    /// Its output on descriptor 1.
    pub stdout: String,
    /// Its output on descriptor 2.
    pub stderr: String,
}

impl Ending {
    /// Demands this exit code and this text on stdout.
    ///
    /// # Panics
    /// If either differs, with what the program wrote to stderr.
    #[track_caller]
    pub fn assert_output(&self, code: i32, stdout: &str) {
        assert_eq!((Status::Exited(code), stdout), (self.status, self.stdout.as_str()), "{}", self.stderr);
    }
}

/// A running program whose output is collected; dropping it kills it and its process group.
pub struct Running {
    child: Child,
    what: String,
    stdout: Receiver<Vec<u8>>,
    stderr: Receiver<Vec<u8>>,
    started: Instant,
    is_over: bool,
}

/// Starts `command` in a process group of its own, with `stdin` as input.
pub fn start(mut command: Command, stdin: &[u8]) -> Running {
    let what = format!("{command:?}");
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    inherit_only_standard_streams(&mut command);
    command.stdin(if stdin.is_empty() { Stdio::null() } else { Stdio::piped() });
    let mut child = spawned(&mut command).unwrap_or_else(|error| panic!("cannot start {what}: {error}"));
    let (stdout, stderr) = (drained(child.stdout.take()), drained(child.stderr.take()));
    if let Some(mut input) = child.stdin.take() {
        let bytes = stdin.to_vec();
        // A program may end without reading its input.
        thread::spawn(move || drop(input.write_all(&bytes)));
    }
    Running { child, what, stdout, stderr, started: Instant::now(), is_over: false }
}

/// Starts it. A file that a test has just written counts as open for writing for as long as a child of
/// another test's thread, between fork and exec, has its descriptor.
fn spawned(command: &mut Command) -> std::io::Result<Child> {
    const TRIES: usize = 400;
    for _ in 1..TRIES {
        match command.spawn() {
            Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => {
                thread::sleep(Duration::from_millis(5));
            }
            result => return result,
        }
    }
    command.spawn()
}

/// Closes descriptors that the caller of the tests left open, so that no program here sees them. A shell that
/// runs the tests in the background ignores SIGINT and SIGQUIT (sh(1), "Asynchronous Lists"); the programs
/// here do not.
pub fn inherit_only_standard_streams(command: &mut Command) {
    const CLOSE_RANGE_CLOEXEC: libc::c_uint = 4;
    // SAFETY: close_range and signal are async-signal-safe, so they may be called between fork and exec.
    unsafe {
        command.pre_exec(|| {
            libc::syscall(libc::SYS_close_range, 3 as libc::c_uint, libc::c_uint::MAX, CLOSE_RANGE_CLOEXEC);
            for signal in [libc::SIGINT, libc::SIGQUIT] {
                libc::signal(signal, libc::SIG_DFL);
            }
            Ok(())
        })
    };
}

/// Runs `command` to its end.
pub fn run(command: Command, stdin: &[u8]) -> Ending {
    start(command, stdin).finish()
}

fn drained(pipe: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (output_tx, output_rx) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            drop(pipe.read_to_end(&mut bytes));
        }
        drop(output_tx.send(bytes));
    });
    output_rx
}

impl Running {
    /// The pid of the process that was started.
    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: i32) {
        // SAFETY: kill takes no pointers; the child has not been reaped, so the number is still its own.
        unsafe { libc::kill(self.pid(), signal) };
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for its end, and for the end of its output.
    ///
    /// # Panics
    /// After [`DEADLINE`], having killed it; also if one of its descendants keeps its output open.
    pub fn finish(self) -> Ending {
        self.finish_within(DEADLINE).unwrap_or_else(|why| panic!("{why}"))
    }

    /// Waits for its end, at most until `limit` after its start, and for the end of its output.
    ///
    /// # Errors
    /// The part that did not happen in time. The process and its group have been killed then.
    pub fn finish_within(mut self, limit: Duration) -> Result<Ending, String> {
        let status = loop {
            match self.child.try_wait() {
                Ok(Some(status)) => break Status::from(status),
                Ok(None) if self.started.elapsed() < limit => thread::sleep(Duration::from_millis(2)),
                Ok(None) => return Err(self.given_up("did not end")),
                Err(error) => return Err(format!("cannot wait for {}: {error}", self.what)),
            }
        };
        let stdout = self.output(&self.stdout)?;
        let stderr = self.output(&self.stderr)?;
        self.is_over = true;
        Ok(Ending { status, stdout, stderr })
    }

    fn output(&self, output_rx: &Receiver<Vec<u8>>) -> Result<String, String> {
        match output_rx.recv_timeout(Duration::from_secs(20)) {
            Ok(bytes) => Ok(escaped(&bytes)),
            Err(_) => Err(self.given_up("ended, but something that it started holds its output")),
        }
    }

    fn given_up(&self, why: &str) -> String {
        let mut state = String::new();
        let path = format!("/proc/{}/stack", self.pid());
        if let Ok(mut file) = File::open(path) {
            drop(file.read_to_string(&mut state));
        }
        self.kill_group();
        format!("{} {why} after {:?}\n{state}", self.what, self.started.elapsed())
    }

    fn kill_group(&self) {
        // SAFETY: kill takes no pointers; the group was made for this child by `start`, and holds only its
        // descendants.
        unsafe { libc::kill(-self.pid(), libc::SIGKILL) };
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.is_over {
            self.kill_group();
            drop(self.child.wait());
        }
    }
}

/// Output as text that shows every byte: bytes that are not UTF-8 are written as `\xNN`.
pub fn escaped(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// Waits until `is_so`, checking every few milliseconds.
///
/// # Panics
/// After `DEADLINE / 3`, with `what`.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < DEADLINE / 3, "waited {:?} in vain for: {what}", started.elapsed());
        thread::sleep(Duration::from_millis(5));
    }
}
