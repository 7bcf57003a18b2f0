//! A pager before the terminal, as `git log` has one: for long texts that a person reads.

use std::io;
use std::process::{Child, Command, Stdio};

use crate::shell::inherited;
use crate::sinks::look::Surface;

/// A pager that reads what this process writes to stdout.
#[derive(Debug)]
pub struct Pager(Child);

impl Pager {
    /// Puts a pager between stdout and the terminal: `$GLASSBOX_PAGER`, `$PAGER`, else `less`, which ends by
    /// itself where the text fits the screen. `None` where stdout is no terminal, the variable is empty or
    /// `cat`, or the program cannot be run.
    pub fn start() -> Option<Self> {
        let Surface::Terminal(columns) = Surface::of(io::stdout()) else { return None };
        let wanted = ["GLASSBOX_PAGER", "PAGER"].iter().find_map(std::env::var_os);
        let mut command = match wanted {
            Some(wanted) if wanted.is_empty() || wanted == "cat" => return None,
            Some(wanted) => {
                let mut shell = Command::new("/bin/sh");
                shell.arg("-c").arg(wanted);
                shell
            }
            None => Command::new("less"),
        };
        if std::env::var_os("LESS").is_none() {
            // Quit if it fits, colours as they are, no clearing of the screen.
            command.env("LESS", "FRX");
        }
        let mut child = command.stdin(Stdio::piped()).spawn().ok()?;
        let pipe = child.stdin.take()?;
        rustix::stdio::dup2_stdout(&pipe).ok()?;
        Surface::set_pager(columns);
        // ^C is for the pager. When that has ended, the next write ends this process.
        inherited::set_ignored(libc::SIGINT, true);
        Some(Self(child))
    }
}

impl Drop for Pager {
    /// Waits until the reader has seen enough.
    fn drop(&mut self) {
        // The pager reads to the end of what was written, so its pipe must have no writer.
        if let Ok(nothing) = std::fs::File::options().write(true).open("/dev/null") {
            let _ = rustix::stdio::dup2_stdout(&nothing);
            let _ = self.0.wait();
        }
    }
}
