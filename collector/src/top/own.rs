//! `glassbox run --tui`: the view of a program of its own.
//!
//! The program runs below another `glassbox run` with the same options, which sends a recording through a
//! pipe: the view has every event from the first on, and that process alone cares for the program's signals
//! and status. What the program prints is kept, shown, and printed once the view is left.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, kill_process};

use super::live::{Live, Standing, lock};
use super::printed::Printed;
use crate::event::Batch;
use crate::launch::groups;
use crate::shell::failure::Failure;
use crate::sinks::recording::reader::{Frame, Reader};

/// Its end is looked for so often, once the view is left.
const NAP: Duration = Duration::from_millis(50);

/// The program, and those who read of it.
pub struct Own {
    child: Child,
    status: Option<ExitStatus>,
    printed: Arc<Mutex<Printed>>,
    readers: [JoinHandle<()>; 2],
}

/// A program that is started, of which nobody reads yet.
pub struct Started {
    child: Child,
    printed_rx: OwnedFd,
    events_rx: OwnedFd,
    /// Kept until the recording begins: the other process opens it by its place in /proc.
    events_tx: OwnedFd,
}

/// Starts `glassbox run` with these options, and `-o recording` besides, for `command`.
pub fn start(options: &[OsString], command: &[OsString]) -> Result<Started, Failure> {
    let failed = |error: io::Error| Failure::internal(format!("cannot start the program: {error}"));
    let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(|error| failed(error.into()));
    let (printed_rx, printed_tx) = pipe()?;
    let (events_rx, events_tx) = pipe()?;
    let place = format!("recording:/proc/{}/fd/{}", std::process::id(), events_tx.as_raw_fd());
    let child = Command::new(std::env::current_exe().map_err(failed)?)
        .args(options)
        .args(["-o", &place, "--"])
        .args(command)
        .stdin(Stdio::null())
        .stdout(printed_tx.try_clone().map_err(failed)?)
        .stderr(printed_tx)
        // ^C is passed on; the terminal's own would come a second time.
        .process_group(0)
        .spawn()
        .map_err(failed)?;
    Ok(Started { child, printed_rx, events_rx, events_tx })
}

impl Started {
    /// Reads what the program does and prints from here on.
    pub fn read(self, live: &Arc<Mutex<Live>>) -> Result<Own, Failure> {
        let Self { child, printed_rx, events_rx, events_tx } = self;
        let printed: Arc<Mutex<Printed>> = Arc::default();
        let (taking, feeding) = (Arc::clone(&printed), Arc::clone(live));
        let failed = |error| Failure::internal(format!("cannot start a thread: {error}"));
        let named = |name: &str| thread::Builder::new().name(name.into());
        let output = named("output").spawn(move || copy(printed_rx, &taking)).map_err(failed)?;
        let feed = move || feed(First { pipe: events_rx.into(), writer: Some(events_tx) }, &feeding);
        let feed = named("feed").spawn(feed).map_err(failed)?;
        lock(live).printed = Some(Arc::clone(&printed));
        Ok(Own { child, status: None, printed, readers: [output, feed] })
    }
}

/// The pipe of a recording. Its writing end of ours is closed with the first bytes: then another has it.
struct First {
    pipe: std::fs::File,
    writer: Option<OwnedFd>,
}

impl Read for First {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.pipe.read(into);
        self.writer = None;
        read
    }
}

fn feed(pipe: First, live: &Mutex<Live>) {
    let Ok(mut reader) = Reader::new(pipe) else { return };
    while let Ok(Frame::Batch(batch)) = reader.next(Batch::default()) {
        lock(live).take(batch);
    }
}

fn copy(pipe: OwnedFd, printed: &Mutex<Printed>) {
    let mut pipe = std::fs::File::from(pipe);
    let mut bytes = vec![0; 64 << 10];
    while let Ok(length @ 1..) = pipe.read(&mut bytes) {
        let taken = lock(printed).take(&bytes[..length]);
        if taken.is_err() {
            return;
        }
    }
}

impl Own {
    /// Whether the program runs; says in the view how it ended.
    pub fn is_running(&mut self, live: &Mutex<Live>) -> bool {
        if self.status.is_none()
            && let Ok(Some(status)) = self.child.try_wait()
        {
            self.status = Some(status);
            lock(live).standing = Standing::Ended(format!("the program ended with status {}", code(status)));
        }
        self.status.is_none()
    }

    /// Whether it ended without one event: it never began.
    pub fn never_began(&self, live: &Mutex<Live>) -> bool {
        let [_, feed] = &self.readers;
        self.status.is_some() && feed.is_finished() && lock(live).gathered.events() == 0
    }

    /// Sends the program a signal, and all of its job, as a terminal does.
    pub fn signal(&self, signal: i32) {
        let Some(signal) = Signal::from_named_raw(signal) else { return };
        let Some(launcher) = Pid::from_raw(self.child.id().cast_signed()) else { return };
        if self.status.is_some() {
            return;
        }
        // The launcher would pass it on to the program, which then had it twice.
        let job: Vec<Pid> = members(launcher).into_iter().filter(|pid| *pid != launcher).collect();
        for pid in if job.is_empty() { vec![launcher] } else { job } {
            let _ = kill_process(pid, signal);
        }
    }

    /// Prints what the program printed, and prints, until it has ended; gives its status.
    pub fn wait(mut self, live: &Mutex<Live>, signal: impl Fn() -> Option<i32>) -> u8 {
        let _ = lock(&self.printed).show();
        while self.is_running(live) {
            if let Some(signal) = signal() {
                self.signal(signal);
            }
            thread::sleep(NAP);
        }
        // A descendant that lives on may hold the pipe of the output.
        let [_, feed] = self.readers;
        let _ = feed.join();
        self.status.map_or(1, code)
    }
}

/// The processes of a process group.
fn members(group: Pid) -> Vec<Pid> {
    let numbers = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = numbers.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?));
    pids.filter(|pid| groups::of(pid.as_raw_pid()) == Some(group.as_raw_pid())).collect()
}

/// The status as a shell has it.
fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}
