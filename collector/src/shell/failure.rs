//! The tool's own failures: one line on stderr, and an exit status that says what kind of failure it was.
//!
//! Every fallible path of the command line ends in a [`Failure`]; `main` prints it and exits with its
//! status. A message says what happened, to what, and what to do next, in lower case and without a full
//! stop, so that messages can be joined.

use std::fmt;
use std::io::Write;

use deploy::visible::visible;

/// The kind of a failure, and so the exit status: that of sysexits.h where it has one, else the shell's.
///
/// `docs/contract.md` fixes those from 64 to 73.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Status {
    /// `glassbox health`: no collector is ready. Not a fault; health checks expect this status.
    NotReady = 1,
    /// The command line is wrong.
    Usage = 64,
    /// An input is readable but has the wrong content.
    Malformed = 65,
    /// An input (a recording, the sensor) is missing or unreadable.
    MissingInput = 66,
    /// What was required cannot be had on this host.
    Unavailable = 69,
    /// A fault of glassbox itself, or a failure of a system call that does not fail otherwise.
    Internal = 70,
    /// An output or a listening socket cannot be made.
    Output = 73,
    /// CMD exists and cannot be executed (a shell's 126).
    NotExecutable = 126,
    /// CMD does not exist (a shell's 127).
    NotFound = 127,
}

/// A failure of the tool itself, ready to be printed.
#[derive(Debug)]
pub struct Failure {
    status: Status,
    message: String,
}

impl Failure {
    /// Makes a failure; `message` is the whole line without the program's name.
    pub fn new(status: Status, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    /// Wrong usage (64).
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Status::Usage, message)
    }

    /// A malformed input (65).
    pub fn malformed(message: impl Into<String>) -> Self {
        Self::new(Status::Malformed, message)
    }

    /// A missing or unreadable input (66).
    pub fn missing(message: impl Into<String>) -> Self {
        Self::new(Status::MissingInput, message)
    }

    /// A fault of glassbox itself (70).
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Status::Internal, message)
    }

    /// An output that cannot be made (73).
    pub fn output(message: impl Into<String>) -> Self {
        Self::new(Status::Output, message)
    }

    /// The exit status.
    pub fn status(&self) -> u8 {
        self.status as u8
    }

    /// Prints the one line on stderr.
    pub fn report(&self) {
        say(&self.to_string());
    }
}

impl fmt::Display for Failure {
    /// The message as one line that shows whatever is in it: a user's input may hold a line feed, and a
    /// file's name may turn the rest of the line around.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&visible(&self.message))
    }
}

/// Writes `glassbox: LINE` to stderr in one system call, so that CMD's output does not tear it apart.
///
/// Hidden characters in it are made visible: names in messages are often those of others. A failure to write
/// is ignored: there is no other place to report it.
pub fn say(line: &str) {
    let _ = std::io::stderr().write_all(spoken(line).as_bytes());
}

fn spoken(line: &str) -> String {
    format!("glassbox: {}\n", visible(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_always_one_line() {
        let failure = Failure::usage("unknown format 'a\nb'");

        assert_eq!("unknown format 'a\\nb'", failure.to_string());
    }

    #[test]
    fn names_in_a_message_neither_turn_it_around_nor_reach_the_terminal_as_commands() {
        for (name, shown) in [
            ("exe\u{202e}gpj", "exe\\u{202e}gpj"),
            ("\u{1b}[2J", "\\u{1b}[2J"),
            ("a\u{2066}b\u{e0041}", "a\\u{2066}b\\u{e0041}"),
            ("a\nglassbox: all is well", "a\\nglassbox: all is well"),
        ] {
            assert_eq!(format!("glassbox: lost {shown}\n"), spoken(&format!("lost {name}")));
            assert_eq!(format!("no {shown}"), Failure::missing(format!("no {name}")).to_string());
        }
    }

    #[test]
    fn statuses_are_those_of_the_contract() {
        let statuses = [
            Failure::usage("").status(),
            Failure::malformed("").status(),
            Failure::missing("").status(),
            Failure::internal("").status(),
            Failure::output("").status(),
        ];

        assert_eq!([64, 65, 66, 70, 73], statuses);
    }
}
