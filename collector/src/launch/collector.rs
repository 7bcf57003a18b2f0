//! Starts the collector as the launcher's child; in the collector, takes over what the launcher passed down.
//!
//! # Safety
//! The launcher has one thread, and with `--notify` the supervisor's. That one takes no lock but the
//! allocator's, which glibc and musl keep whole across fork(2): so the forked child may run ordinary code
//! until it execs or `_exit`s. [`adopt`] takes descriptors by number that the launcher passed down for this
//! use only.
#![allow(unsafe_code, reason = "fork and descriptors passed by number have no safe interface")]

use std::ffi::{CString, OsString, c_char};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

use super::channel::{self, Channel, LauncherEnd};
use super::{descriptors, signals};
use crate::notify::way::Ends;
use crate::outputs::Output;
use crate::shell::failure::Failure;
use crate::shell::inherited::set_ignored;
use crate::shell::listeners::Listeners;
use crate::shell::{environment, sensor_path};
use crate::system::child;

/// The hidden subcommand that the launcher starts its collector with.
pub const SUBCOMMAND: &str = "__collector";

/// Signals that a terminal, a supervisor or a limit sends to whole groups of processes. The collector ends
/// when the launcher says so or is gone, and not before it has written everything. It is in a process group
/// of its own, where a terminal's ^C does not reach it; because it ignores SIGTTOU it can write to the
/// terminal from there even under `stty tostop`.
const IGNORED: [libc::c_int; 15] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGALRM,
    libc::SIGVTALRM,
    libc::SIGPROF,
    libc::SIGTSTP,
    libc::SIGTTIN,
    libc::SIGTTOU,
    libc::SIGPIPE,
    libc::SIGPWR,
    libc::SIGXFSZ,
];

/// The descriptors and options that every collector of this run is started with.
#[derive(Debug)]
pub struct Recipe {
    /// The listening sockets; emptied when the launcher gives up on collectors.
    pub listeners: Listeners,
    /// The path of the socket, so that a collector that outlives the launcher can remove it.
    pub socket: Option<PathBuf>,
    /// The caller's stdout, if an output goes there.
    pub stdout: Option<OwnedFd>,
    /// Descriptors that outputs name by number.
    pub kept: Vec<OwnedFd>,
    /// Where to write.
    pub outputs: Vec<Output>,
    /// Its other settings, as arguments: `Layers::spelled`.
    pub settings: Vec<OsString>,
    /// The end at which the supervisor's packets arrive, where there is a supervisor. What a collector that
    /// dies has not read is there for the next one.
    pub sightings: Option<Ends>,
}

/// A collector that was started.
#[derive(Debug)]
pub struct Child {
    /// Its pid.
    pub pid: i32,
    /// The launcher's end of the channel.
    pub channel: LauncherEnd,
}

impl Recipe {
    /// Starts a collector, after `restarts` that died.
    pub fn start(&self, restarts: u32) -> io::Result<Child> {
        let (ours, theirs) = channel::pair()?;
        let executable = executable()?;
        let sightings = self.sightings.as_ref().map(|ends| &ends.socket);
        let packets = self.sightings.as_ref().and_then(|ends| ends.memfd.as_ref());
        let passed = [Some(&theirs), sightings, packets].map(|fd| fd.map(AsRawFd::as_raw_fd));
        let arguments = self.arguments(passed, restarts);
        // If the caller preloads the sensor into every program, it must not watch the collector.
        let variables = std::env::vars_os().filter(|(name, _)| name != "GLASSBOX");
        let environment = environment::spell(variables.chain([("GLASSBOX".into(), "off".into())]));
        let arguments = pointers(&arguments);
        let environment = pointers(&environment);
        // SAFETY: as the module says; the child execs or `_exit`s.
        let pid = unsafe { libc::fork() };
        if pid < 0 {
            return Err(io::Error::last_os_error());
        }
        if pid == 0 {
            self.prepare_child(passed);
            // SAFETY: valid, null-terminated strings and arrays that outlive the call.
            unsafe { libc::execve(executable.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
            // SAFETY: ends the child without running the parent's exit handlers.
            unsafe { libc::_exit(70) };
        }
        Ok(Child { pid, channel: Channel::new(ours) })
    }

    fn arguments(&self, passed: [Option<RawFd>; 3], restarts: u32) -> Vec<CString> {
        let mut arguments: Vec<OsString> = vec!["glassbox".into(), SUBCOMMAND.into()];
        let mut option = |name: &str, value: OsString| {
            let mut argument = OsString::from(name);
            argument.push("=");
            argument.push(value);
            arguments.push(argument);
        };
        for (name, fd) in ["--channel", "--sightings", "--packets"].iter().zip(passed) {
            if let Some(fd) = fd {
                option(name, fd.to_string().into());
            }
        }
        option("--restarts", restarts.to_string().into());
        for listener in self.listeners.iter() {
            option("--listener", listener.as_raw_fd().to_string().into());
        }
        if let Some(socket) = &self.socket {
            option("--socket", socket.into());
        }
        for output in &self.outputs {
            option("--output", output.spelling());
        }
        arguments.extend_from_slice(&self.settings);
        // No argument holds a NUL: they came from arguments and paths that were C strings.
        arguments.into_iter().filter_map(|argument| CString::new(argument.into_vec()).ok()).collect()
    }

    /// In the forked child: descriptors, process group and signals of a collector.
    fn prepare_child(&self, passed: [Option<RawFd>; 3]) {
        // SAFETY: setpgid takes numbers.
        unsafe { libc::setpgid(0, 0) };
        for signal in IGNORED {
            set_ignored(signal, true);
        }
        signals::clear_mask();
        let _ = descriptors::replace_by_null(0);
        let _ = match &self.stdout {
            Some(stdout) => descriptors::replace(1, stdout.as_raw_fd()),
            None => descriptors::replace_by_null(1),
        };
        let mut kept: Vec<RawFd> = self.listeners.iter().map(AsRawFd::as_raw_fd).collect();
        kept.extend(passed.into_iter().flatten());
        kept.extend(self.kept.iter().map(AsRawFd::as_raw_fd));
        descriptors::close_all_but(&kept);
        for fd in kept {
            descriptors::hand_down(fd);
        }
    }
}

/// This executable, even if its file was replaced by another version meanwhile.
fn executable() -> io::Result<CString> {
    let magic = Path::new("/proc/self/exe");
    let path =
        if magic.exists() { magic.to_path_buf() } else { sensor_path::executable().unwrap_or_default() };
    Ok(CString::new(path.into_os_string().into_vec())?)
}

fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
}

/// Names this process in `ps` and `top`, where /proc/self/exe would make it "exe".
pub fn name_process() {
    child::name_this(c"glassbox");
}

/// Takes over a descriptor that the launcher passed by number.
pub fn adopt(fd: RawFd) -> Result<OwnedFd, Failure> {
    let refused = || {
        Failure::usage(format!(
            "descriptor {fd} is not open; '{SUBCOMMAND}' is started by 'glassbox run' only"
        ))
    };
    if fd <= 2 {
        return Err(refused());
    }
    // SAFETY: checked to be open just below, before any other use; nothing else in this fresh process owns
    // it.
    let descriptor = unsafe { OwnedFd::from_raw_fd(fd) };
    let is_open = fcntl_getfd(&descriptor).and_then(|_| fcntl_setfd(&descriptor, FdFlags::CLOEXEC)).is_ok();
    if !is_open {
        // Closing what is not open trips std's check in debug builds.
        std::mem::forget(descriptor);
        return Err(refused());
    }
    Ok(descriptor)
}
