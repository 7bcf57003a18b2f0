//! The attendant of a container: a process beside it that takes the listeners of its filters from the runtime
//! (`linux.seccomp.listenerPath`), and starts a supervisor and a holder for each.
//!
//! The runtime connects once for the container's first process, and once for each that `exec` adds. The
//! attendant listens before the runtime begins, and until the container's first process has ended; where that
//! never came, until the runtime has. Without it the runtime starts nothing, so the next `exec` looks for it.
//!
//! # Safety
//! `glassbox runc` has one thread, so that a child made by fork(2) may do what it may. The attendant has one
//! too, and never returns to its caller.
#![allow(unsafe_code, reason = "fork has no safe interface")]

use std::ffi::OsString;
use std::fs;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use notify::Level;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::Value;

use super::meeting::{Meeting, Turn};
use crate::launch::descriptors;
use crate::notify::holder;
use crate::notify::link::Link;
use crate::notify::listener::Listener;
use crate::notify::reports::Reports;
use crate::notify::sensor::Sensor;
use crate::notify::starting::Starting;
use crate::notify::supervisor::{self, Setting};
use crate::shell::files;
use crate::shell::socket::Name;
use crate::system::{child, peers, procfs};

/// The attendant says within this time that it is there, or why not.
const PATIENCE: Duration = Duration::from_secs(5);
/// The runtime sends what it has to within this time.
const SHORT_PATIENCE: Duration = Duration::from_secs(2);
/// A longer message, which has the container's annotations in it, is not the runtime's.
const MOST_BYTES: usize = 4 << 20;

/// What the attendant is for.
#[derive(Debug)]
pub struct Order {
    /// The calls that are told of.
    pub level: Level,
    /// The collector's socket.
    pub collector: Name,
    /// The container's name.
    pub container: OsString,
    /// The container's sensor.
    pub sensor: Sensor,
    /// Where it listens.
    pub meeting: Meeting,
    /// The bundle's `config.json`, which is set back once the runtime has read it; none of a container that
    /// runs already.
    pub config: Option<Config>,
    /// The container's first process, where it runs already.
    pub init: Option<u32>,
}

/// A `config.json` as it is while the runtime reads it, and as it was before.
#[derive(Debug)]
pub struct Config {
    /// Its path.
    pub path: PathBuf,
    /// What the runtime reads.
    pub text: String,
    /// What stays: without the listener, so that any runtime can start the bundle.
    pub before: String,
    /// No other container of the bundle changes it meanwhile.
    pub turn: Turn,
}

/// Starts the attendant, beside this process, which becomes the runtime.
///
/// # Errors
/// Why it is not there.
pub fn start(order: Order) -> Result<(), String> {
    let path = order.meeting.socket();
    let no_socket = |error: io::Error| format!("cannot listen at '{}' ({error})", path.display());
    let listener = order.meeting.listen().map_err(no_socket)?;
    let meeting = order.meeting.clone();
    meeting.note(&order.sensor);
    let begun = begin(order, &listener).and_then(answer);
    if begun.is_err() {
        meeting.remove();
    }
    begun
}

/// Makes the process: a grandchild, so that the runtime has no child that it does not know.
fn begin(order: Order, listener: &UnixListener) -> Result<PipeReader, String> {
    let no_process = |error: io::Error| format!("cannot start a process ({error})");
    let (told_rx, told_tx) = io::pipe().map_err(no_process)?;
    let runtime = procfs::open(std::process::id()).ok_or("cannot watch the runtime's process")?;
    // SAFETY: as the module says.
    let middle = unsafe { libc::fork() };
    if middle < 0 {
        return Err(no_process(io::Error::last_os_error()));
    }
    if middle == 0 {
        // SAFETY: as the module says.
        unsafe {
            match libc::fork() {
                0 => Attendant::new(order, listener, runtime).live(told_tx),
                -1 => libc::_exit(1),
                _ => libc::_exit(0),
            }
        }
    }
    match child::reap(middle) {
        Some(0) => Ok(told_rx),
        _ => Err("cannot start a process".to_owned()),
    }
}

/// What the attendant says when it is there: nothing, or what is amiss.
fn answer(mut told_rx: PipeReader) -> Result<(), String> {
    let time = Timespec { tv_sec: PATIENCE.as_secs().cast_signed(), tv_nsec: 0 };
    let mut polled = [PollFd::new(&told_rx, PollFlags::IN)];
    if !poll(&mut polled, Some(&time)).is_ok_and(|ready| ready > 0) {
        return Err("the supervisor does not begin".to_owned());
    }
    let mut word = String::new();
    let read = told_rx.read_to_string(&mut word);
    match word.strip_prefix(READY) {
        Some("") if read.is_ok() => Ok(()),
        _ if word.is_empty() => Err("the supervisor ended".to_owned()),
        _ => Err(word),
    }
}

const READY: &str = "ready";

/// The message of a runtime (`containerProcessState` of the runtime specification).
#[derive(Debug, PartialEq, Eq)]
struct Met {
    /// The container's name.
    container: Option<String>,
    /// The place of the listener among the descriptors that came with it.
    descriptor: usize,
    /// The process that the filter is for.
    process: u32,
    /// The container's first process.
    init: u32,
}

impl Met {
    fn of(message: &[u8]) -> Option<Self> {
        let state: Value = serde_json::from_slice(message).ok()?;
        let number = |value: &Value| u32::try_from(value.as_u64()?).ok().filter(|pid| *pid != 0);
        let names = state["fds"].as_array()?;
        Some(Self {
            container: state["state"]["id"].as_str().map(str::to_owned),
            descriptor: names.iter().position(|name| name == "seccompFd")?,
            process: number(&state["pid"])?,
            init: number(&state["state"]["pid"])?,
        })
    }
}

struct Attendant {
    order: Order,
    listener: OwnedFd,
    /// The process that became the runtime.
    runtime: OwnedFd,
    /// The container's first process.
    init: Option<OwnedFd>,
}

impl Attendant {
    fn new(order: Order, listener: &UnixListener, runtime: OwnedFd) -> Self {
        let init = order.init.and_then(procfs::open);
        let listener = listener.as_fd().try_clone_to_owned();
        // Without a descriptor left there is no attendant.
        let Ok(listener) = listener else { quit(1) };
        Self { order, listener, runtime, init }
    }

    fn live(mut self, mut told_tx: PipeWriter) -> ! {
        let kept: Vec<RawFd> = [&self.listener, &self.runtime]
            .into_iter()
            .chain(&self.init)
            .map(AsRawFd::as_raw_fd)
            .chain([told_tx.as_raw_fd()])
            .chain(self.turn())
            .collect();
        descriptors::keep_only(&kept);
        let _ = rustix::process::setsid();
        // The container may need it for as long as it shuts down.
        child::outlive_requests_to_end();
        child::name_this(c"gbx-attendant");
        // A container that runs is seen again once a collector is there.
        let is_start = self.order.config.is_some();
        if let Some(why) = Link::connect(&self.order.collector, None).err().filter(|_| is_start) {
            let _ = told_tx.write_all(why.of(&self.order.collector).as_bytes());
            quit(1);
        }
        if told_tx.write_all(READY.as_bytes()).is_err() {
            quit(1);
        }
        drop(told_tx);
        self.attend();
        self.set_config_back();
        self.order.meeting.remove();
        quit(0)
    }

    /// Takes listeners until there will be no more.
    fn attend(&mut self) {
        loop {
            // A process of the container is the last word, once it is known.
            let last = self.init.as_ref().unwrap_or(&self.runtime);
            let mut polled = [PollFd::new(&self.listener, PollFlags::IN), PollFd::new(last, PollFlags::IN)];
            let _ = poll(&mut polled, None);
            let (is_met, is_over) = (!polled[0].revents().is_empty(), !polled[1].revents().is_empty());
            // What the runtime sent before it ended is still there.
            if is_met {
                self.meet();
            } else if is_over {
                return;
            }
            reap_all();
        }
    }

    /// Takes what a runtime sends, and supervises.
    fn meet(&mut self) {
        let Ok(connection) = rustix::net::accept(&self.listener) else { return };
        let Some((met, listener)) = receive(&connection) else { return };
        drop(connection);
        // Another one can have read the bundle's file while it named this socket: it is supervised too.
        if met.container.as_ref().is_none_or(|name| *self.order.container == **name) {
            self.init = self.init.take().or_else(|| procfs::open(met.init));
            // Before the supervisor is there, which would have the turn too.
            self.set_config_back();
        }
        // SAFETY: as the module says.
        match unsafe { libc::fork() } {
            0 => self.supervise(listener, &met),
            -1 => holder::answer(&listener),
            _ => {}
        }
    }

    /// A supervisor's whole life.
    fn supervise(&self, listener: Listener, met: &Met) -> ! {
        // One that stayed open would seem to be attended when the attendant has gone.
        let of_attendant = [&self.listener, &self.runtime].into_iter().chain(&self.init);
        let of_attendant: Vec<RawFd> = of_attendant.map(AsRawFd::as_raw_fd).chain(self.turn()).collect();
        descriptors::leave_to_command(&of_attendant);
        child::name_this(c"gbx-supervisor");
        // Its exec waits, for the holder at the longest.
        let starting = Starting::of(met.process);
        let Ok(spare) = listener.as_fd().try_clone_to_owned().map(Listener::from) else {
            holder::answer(&listener);
            quit(1)
        };
        // The holder first: a collector that does not answer is waited for.
        let held = holder::hold(listener);
        let link = Link::connect_or_await(&self.order.collector, procfs::open(met.process));
        let (Ok((link, way)), Ok(held)) = (link, held) else {
            holder::answer(&spare);
            quit(1)
        };
        drop(spare);
        let reports = Arc::new(Mutex::new(Reports::over(link, way)));
        let setting = Setting {
            held,
            trusted: Arc::new(self.order.sensor.clone().trusted()),
            reports: Arc::clone(&reports),
            level: self.order.level,
            starting: Some(starting),
        };
        supervisor::supervise(setting);
        reports.lock().unwrap_or_else(PoisonError::into_inner).finish();
        if met.process == met.init {
            // An attendant that was killed has left it.
            self.order.meeting.tidy();
        }
        quit(0)
    }

    /// The descriptor of its turn at the bundle.
    fn turn(&self) -> Option<RawFd> {
        Some(self.order.config.as_ref()?.turn.descriptor()?.as_raw_fd())
    }

    /// Once: if it is as we left it.
    fn set_config_back(&mut self) {
        let Some(Config { path, text, before, turn: _turn }) = self.order.config.take() else { return };
        if fs::read(&path).is_ok_and(|found| found == text.as_bytes()) {
            let _ = files::replace(&path, before.as_bytes());
        }
    }
}

/// The message of a runtime, and the listener that comes with it.
fn receive(connection: &OwnedFd) -> Option<(Met, Listener)> {
    let begun = Instant::now();
    let (mut message, mut descriptors, mut room) = (Vec::new(), Vec::new(), vec![0; 1 << 16]);
    while message.len() <= MOST_BYTES {
        let left = SHORT_PATIENCE.checked_sub(begun.elapsed())?;
        let time = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
        let mut polled = [PollFd::new(connection, PollFlags::IN)];
        if poll(&mut polled, Some(&time)) == Ok(0) {
            return None;
        }
        let received = match peers::receive(connection, &mut room) {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(_) => return None,
        };
        descriptors.extend(received.descriptors);
        message.extend_from_slice(room.get(..received.len)?);
        if let Some(met) = Met::of(&message) {
            let listener = descriptors.into_iter().nth(met.descriptor)?;
            return Some((met, Listener::from(listener)));
        }
        if received.len == 0 {
            return None;
        }
    }
    None
}

/// Reaps supervisors that have ended.
fn reap_all() {
    // SAFETY: waitpid takes numbers, and writes nowhere.
    while unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) } > 0 {}
}

fn quit(status: i32) -> ! {
    // SAFETY: ends the process without what the caller's would do at its end.
    unsafe { libc::_exit(status) }
}
