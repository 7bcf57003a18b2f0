//! A program that gets an output's bytes on its standard input: `program:COMMAND`.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use deploy::visible::visible;

use super::courier::Backoff;
use super::kind::{Carried, Carrier, Kind, Opened, Takes, Wanted};
use crate::shell::failure::Failure;
use crate::sinks::framing::Found;
use crate::sinks::look::Surface;

/// The row of programs.
pub const CARRIER: Kind = Kind {
    name: "program",
    help: "'program:COMMAND'",
    place,
    shown: |place| visible(&format!("'{}'", place.display())).into_owned(),
    is_exclusive: |_| false,
    surface: || Surface::Other,
    takes: Takes::Stream,
    open,
};

const PREFIX: &[u8] = b"program:";
/// A program has this time to end by itself once its standard input is closed.
const LAST_PATIENCE: Duration = Duration::from_secs(2);

fn place(text: &OsStr) -> Option<Result<OsString, Failure>> {
    let command = text.as_bytes().strip_prefix(PREFIX)?;
    Some(match command.is_empty() || command.contains(&0) {
        false => Ok(text.to_owned()),
        true => Err(Failure::usage("'program:' names no command; give program:COMMAND")),
    })
}

fn open(wanted: &Wanted<'_>) -> Result<Opened, Failure> {
    let command = wanted.place.as_bytes().strip_prefix(PREFIX).unwrap_or_default();
    let mut program =
        Program { command: OsString::from_vec(command.to_owned()), child: None, backoff: Backoff::default() };
    // A shell that cannot be started is told at once.
    program.start().map_err(|error| {
        Failure::output(format!("cannot start a shell for {}: {error}; install /bin/sh", wanted.name))
    })?;
    Ok(Opened::plain(Box::new(program), Found::Fresh))
}

/// Writes to a shell command, and starts it again after its end.
struct Program {
    command: OsString,
    child: Option<Child>,
    backoff: Backoff,
}

impl Program {
    fn start(&mut self) -> io::Result<&mut Child> {
        // Standard output and error are the collector's own; the shell gets no signal mask of ours.
        let mut shell = Command::new("/bin/sh");
        shell.arg("-c").arg(&self.command).stdin(Stdio::piped());
        Ok(self.child.insert(shell.spawn()?))
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let child = match &mut self.child {
            Some(child) => child,
            None => self.start()?,
        };
        let input = child.stdin.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        input.write_all(bytes)
    }

    /// Reaps a program that took nothing more; gives how it ended.
    fn buried(&mut self) -> Option<String> {
        let mut child = self.child.take()?;
        drop(child.stdin.take());
        let until = Instant::now() + LAST_PATIENCE;
        while Instant::now() < until {
            if let Ok(Some(status)) = child.try_wait() {
                return Some(format!("the program ended ({status})"));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let _ = child.kill();
        let _ = child.wait();
        Some("the program took nothing more, and was killed".to_owned())
    }
}

impl Carrier for Program {
    /// Lines that a program had taken when it ended are written as far as anybody knows; those of the last
    /// call go to the next one again.
    fn carry(&mut self, bytes: &mut Vec<u8>, events: u64) -> Carried {
        match self.write(bytes) {
            Ok(()) => {
                bytes.clear();
                self.backoff.reset();
                Carried { written: events, ..Carried::default() }
            }
            Err(error) => {
                let how = self.buried().unwrap_or_else(|| super::file::bare(&error));
                let retry_at = Some(Instant::now() + self.backoff.next(None));
                Carried { retry_at, error: Some(how), ..Carried::default() }
            }
        }
    }

    fn close(&mut self) -> Carried {
        self.buried();
        Carried::default()
    }
}
