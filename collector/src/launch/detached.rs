//! A process that stays when the command that started it has ended: the supervisor of programs that are not
//! its children.
//!
//! The command waits for its report, passes it on, and ends with its status. Until then the process may give
//! up without a trace; from then on it has a session of its own, and nothing of the command's is open in it.
//! It ignores what asks processes to end: what it supervises may go on.
//!
//! # Safety
//! The command is forked while it has one thread and no descriptor of its own: what it opened before is
//! closed in the process by number.
#![allow(unsafe_code, reason = "fork has no safe interface")]

use std::io::{self, PipeWriter, Read, Write};
use std::os::fd::AsRawFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::descriptors;
use crate::shell::failure::{Failure, say};
use crate::system::child;

/// What the process tells the command, which waits for it.
#[derive(Debug)]
pub struct Report(PipeWriter);

impl Report {
    /// Whether the command still waits.
    pub fn is_awaited(&self) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut polled = [PollFd::new(&self.0, PollFlags::empty())];
        !poll(&mut polled, Some(&now)).is_ok_and(|ready| ready > 0)
    }

    /// Says how it went: an exit status, and lines for stderr.
    pub fn give(mut self, status: u8, lines: &[String]) {
        let text: Vec<u8> = lines.iter().flat_map(|line| [line.as_bytes(), b"\0"].concat()).collect();
        // A command that is gone needs none.
        let _ = self.0.write_all(&[&[status], &text[..]].concat());
    }
}

/// Does `body` in a process of its own; passes on what that reports, and gives the status.
pub fn start(body: impl FnOnce(Report)) -> Result<u8, Failure> {
    let failed = |error: io::Error| Failure::internal(format!("cannot start a process: {error}; try again"));
    let (mut report_rx, report_tx) = io::pipe().map_err(failed)?;
    // SAFETY: as the module says.
    let middle = unsafe { libc::fork() };
    if middle < 0 {
        return Err(failed(io::Error::last_os_error()));
    }
    if middle == 0 {
        let _ = rustix::process::setsid();
        // SAFETY: as the module says. The middle one ends at once, so that nobody has to wait for the other.
        match unsafe { libc::fork() } {
            0 => {
                descriptors::keep_only(&[report_tx.as_raw_fd()]);
                child::outlive_requests_to_end();
                // Closed by number just now.
                std::mem::forget(report_rx);
                body(Report(report_tx));
                std::process::exit(0)
            }
            // SAFETY: ends the middle one without running the command's exit handlers.
            pid => unsafe { libc::_exit(if pid < 0 { 1 } else { 0 }) },
        }
    }
    drop(report_tx);
    if child::reap(middle) != Some(0) {
        return Err(Failure::internal(
            "cannot start a process: too many run already; end some, and try again",
        ));
    }
    let mut report = Vec::new();
    report_rx.read_to_end(&mut report).map_err(failed)?;
    let Some((status, text)) = report.split_first() else {
        return Err(Failure::internal("the process that was to do it ended without a word; try again"));
    };
    let lines = text.split(|byte| *byte == 0).filter(|line| !line.is_empty());
    lines.for_each(|line| say(&String::from_utf8_lossy(line)));
    Ok(*status)
}
