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

use std::fs::{self, DirBuilder};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use notify::Level;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::Value;

use crate::launch::descriptors;
use crate::notify::holder;
use crate::notify::link::{Link, NoLink};
use crate::notify::listener::Listener;
use crate::notify::reports::Reports;
use crate::notify::roots::Trusting;
use crate::notify::supervisor::{self, Setting};
use crate::notify::way::Way;
use crate::shell::files;
use crate::shell::socket::Name;
use crate::system::{child, peers, procfs};

/// What the names of the folders begin with, and the socket's name.
const FOLDER: &str = "glassbox-listener-";
const SOCKET: &str = "socket";

/// The attendant says within this time that it is there, or why not.
const PATIENCE: Duration = Duration::from_secs(5);
/// The runtime sends what it has to within this time.
const SHORT_PATIENCE: Duration = Duration::from_secs(2);
/// A longer message, which has the container's annotations in it, is not the runtime's.
const MOST_BYTES: usize = 4 << 20;
/// Processes of another container that had this name end within this time.
const LEAVING: Duration = Duration::from_secs(1);

/// What the attendant is for.
#[derive(Debug)]
pub struct Order {
    /// The calls that are told of.
    pub level: Level,
    /// The collector's socket.
    pub collector: Name,
    /// The sensor's path in the container.
    pub sensor: PathBuf,
    /// Where it listens.
    pub meeting: Meeting,
    /// The bundle's `config.json`, which is set back once the runtime has read it.
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
}

/// The place where the runtime finds the attendant of a container: a socket in a folder of this user's alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meeting(PathBuf);

impl Meeting {
    /// That of a container; its folder is made.
    ///
    /// # Errors
    /// Why there is no such place.
    pub fn new(bundle: &Path, container: &std::ffi::OsStr) -> Result<Self, String> {
        let mut why = "no folder for a socket".to_owned();
        for folder in Self::folders(bundle, container) {
            match DirBuilder::new().mode(0o700).create(&folder) {
                Ok(()) => return Ok(Self(folder)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && is_private(&folder) => {
                    return Ok(Self(folder));
                }
                Err(error) => why = format!("cannot make the folder '{}' ({error})", folder.display()),
            }
        }
        Err(why)
    }

    /// That of a container which was started with one.
    pub fn found(bundle: &Path, container: &std::ffi::OsStr) -> Option<Self> {
        Self::folders(bundle, container).find(|folder| is_private(folder)).map(Self)
    }

    /// Whether a `listenerPath` leads to such a place.
    pub fn is_one(path: &str) -> bool {
        let folder = Path::new(path).parent().and_then(Path::file_name).and_then(|name| name.to_str());
        folder.is_some_and(|name| name.starts_with(FOLDER))
    }

    /// The socket, as `listenerPath` names it.
    pub fn socket(&self) -> PathBuf {
        self.0.join(SOCKET)
    }

    /// Whether an attendant is there.
    pub fn is_attended(&self) -> bool {
        UnixStream::connect(self.socket()).is_ok()
    }

    fn folders(bundle: &Path, container: &std::ffi::OsStr) -> impl Iterator<Item = PathBuf> + use<> {
        // A runtime's bundle may lie deeper than a socket's name can be long.
        let mut hasher = DefaultHasher::new();
        (fs::canonicalize(bundle).unwrap_or_else(|_| bundle.to_owned()), container).hash(&mut hasher);
        let user = rustix::process::geteuid().as_raw();
        let name = format!("{FOLDER}{user}-{:016x}", hasher.finish());
        let run = (user == 0).then(|| PathBuf::from("/run"));
        let own = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
        let all = [run, own, Some(std::env::temp_dir())];
        all.into_iter().flatten().map(move |folder| folder.join(&name))
    }

    /// Listens there; an attendant of a container before that had the same name may be about to leave.
    fn listen(&self) -> io::Result<UnixListener> {
        let begun = Instant::now();
        while self.is_attended() {
            if begun.elapsed() > LEAVING {
                return Err(io::Error::from(io::ErrorKind::AddrInUse));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = fs::remove_file(self.socket());
        match UnixListener::bind(self.socket()) {
            // The one that left took the folder with it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                DirBuilder::new().mode(0o700).create(&self.0)?;
                UnixListener::bind(self.socket())
            }
            bound => bound,
        }
    }

    /// Takes it away.
    pub fn remove(&self) {
        let _ = fs::remove_file(self.socket());
        let _ = fs::remove_dir(&self.0);
    }
}

fn is_private(folder: &Path) -> bool {
    let own = rustix::process::geteuid().as_raw();
    fs::symlink_metadata(folder)
        .is_ok_and(|about| about.is_dir() && about.uid() == own && about.mode() & 0o077 == 0)
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
    /// For the first supervisor; further ones have connections of their own.
    link: Option<(Link, Way)>,
}

impl Attendant {
    fn new(order: Order, listener: &UnixListener, runtime: OwnedFd) -> Self {
        let init = order.init.and_then(procfs::open);
        let listener = listener.as_fd().try_clone_to_owned();
        // Without a descriptor left there is no attendant.
        let Ok(listener) = listener else { quit(1) };
        Self { order, listener, runtime, init, link: None }
    }

    fn live(mut self, mut told_tx: PipeWriter) -> ! {
        let kept: Vec<RawFd> = [&self.listener, &self.runtime]
            .into_iter()
            .chain(&self.init)
            .map(AsRawFd::as_raw_fd)
            .chain([told_tx.as_raw_fd()])
            .collect();
        descriptors::keep_only(&kept);
        let _ = rustix::process::setsid();
        // The container may need it for as long as it shuts down.
        child::outlive_requests_to_end();
        child::name_this(c"gbx-attendant");
        match Link::connect(&self.order.collector) {
            Ok(link) => self.link = Some(link),
            Err(why) => {
                let _ = told_tx.write_all(self.no_link(&why).as_bytes());
                quit(1);
            }
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

    fn no_link(&self, why: &NoLink) -> String {
        match why {
            NoLink::Nobody => {
                format!("no collector listens at '{}'", self.order.collector.spelling().display())
            }
            NoLink::Refused(why) => why.clone(),
        }
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
        self.init = self.init.take().or_else(|| procfs::open(met.init));
        let link = self.link.take().or_else(|| Link::connect(&self.order.collector).ok());
        // SAFETY: as the module says.
        match unsafe { libc::fork() } {
            0 => self.supervise(link, listener, met.process),
            -1 => holder::answer(&listener),
            _ => {}
        }
        // The container's process begins once its calls are answered; nobody reads the file any more.
        self.set_config_back();
    }

    /// A supervisor's whole life.
    fn supervise(&self, link: Option<(Link, Way)>, listener: Listener, process: u32) -> ! {
        // One that stayed open would seem to be attended when the attendant has gone.
        let of_attendant = [&self.listener, &self.runtime].into_iter().chain(&self.init);
        let of_attendant: Vec<RawFd> = of_attendant.map(AsRawFd::as_raw_fd).collect();
        descriptors::leave_to_command(&of_attendant);
        child::name_this(c"gbx-supervisor");
        let Ok(spare) = listener.as_fd().try_clone_to_owned().map(Listener::from) else {
            holder::answer(&listener);
            quit(1)
        };
        let (Some((link, way)), Ok(held)) = (link, holder::hold(listener)) else {
            holder::answer(&spare);
            quit(1)
        };
        drop(spare);
        let reports = Arc::new(Mutex::new(Reports::over(link, way)));
        let setting = Setting {
            held,
            trusting: Trusting::inside(self.order.sensor.clone()),
            reports: Arc::clone(&reports),
            level: self.order.level,
            starting: Some(process),
        };
        supervisor::supervise(setting);
        reports.lock().unwrap_or_else(PoisonError::into_inner).finish();
        quit(0)
    }

    /// Once: if it is as we left it.
    fn set_config_back(&mut self) {
        let Some(Config { path, text, before }) = self.order.config.take() else { return };
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
