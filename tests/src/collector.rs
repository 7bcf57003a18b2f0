//! A `glassbox collect` of a test's own, for processes that are started beside it.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::artefacts::{glassbox, sensor};
use crate::child::{self, Ending, Running, wait_until};

/// A running collector; dropping it kills it.
pub struct Collector {
    running: Running,
    socket: PathBuf,
}

impl Collector {
    /// Starts `glassbox collect` with these arguments on the socket `socket`, and waits until it listens.
    pub fn start(socket: &Path, arguments: &[&str]) -> Collector {
        Collector::start_prepared(socket, arguments, |_| {})
    }

    /// As [`Collector::start`], with a command that was `prepared`.
    pub fn start_prepared(
        socket: &Path,
        arguments: &[&str],
        prepare: impl FnOnce(&mut Command),
    ) -> Collector {
        let mut command = Command::new(glassbox());
        command.arg("collect").args(arguments).env("GLASSBOX_SOCKET", socket);
        prepare(&mut command);
        let mut running = child::start(command, b"");
        wait_until("the collector's socket", || {
            assert!(running.is_alive(), "the collector ended before it listened");
            is_listening(socket)
        });
        Collector { running, socket: socket.to_path_buf() }
    }

    /// The collector's pid.
    pub fn pid(&self) -> i32 {
        self.running.pid()
    }

    /// The path that it listens at.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        self.running.is_alive()
    }

    /// Puts `command` under the sensor, for this collector.
    pub fn preload<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("LD_PRELOAD", sensor()).env("GLASSBOX_SOCKET", &self.socket)
    }

    /// Ends it as an operator would, by SIGTERM, and waits until everything is written.
    pub fn stop(self) -> Ending {
        self.running.signal(libc::SIGTERM);
        self.running.finish()
    }

    /// Ends it by SIGKILL.
    pub fn kill(self) -> Ending {
        self.running.signal(libc::SIGKILL);
        self.running.finish()
    }
}

/// Whether a process listens at `socket`; makes no connection to it.
fn is_listening(socket: &Path) -> bool {
    let Ok(sockets) = std::fs::read_to_string("/proc/net/unix") else { return false };
    // Columns: Num RefCount Protocol Flags Type St Inode Path; the flag 0x10000 is __SO_ACCEPTCON.
    sockets.lines().any(|line| {
        let columns: Vec<&str> = line.split_ascii_whitespace().collect();
        columns.get(3) == Some(&"00010000") && columns.get(7).is_some_and(|path| Path::new(path) == socket)
    })
}
