//! Puts the sensor into deployment files.
//!
//! Each kind of file is a module with one function from the text to a [`Patched`]. No module reads a file,
//! the clock or the network. They share [`yaml`] and [`json`], which read and edit the text; [`choice`],
//! which decides whether a container gets the sensor; [`preload`], which merges `LD_PRELOAD`; [`notify`],
//! which puts `glassbox exec` before a command; and [`Error`], which says why nothing was changed. The
//! command line (`glassbox patch`, `glassbox runc`, `glassbox webhook`) reads, writes and prints.
//!
//! Every patch is idempotent: patching a patched text changes nothing.
#![forbid(unsafe_code)]

use std::fmt;

mod agents;
pub mod change;
pub mod choice;
pub mod compose;
pub mod config;
pub mod dockerfile;
pub mod ecs;
mod hint;
pub mod image;
pub mod json;
pub mod k8s;
pub mod lambda;
pub mod notify;
pub mod preload;
pub mod visible;
pub mod yaml;

/// The result of a patch.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Patched {
    /// The whole new text, or the old one if nothing had to be changed.
    pub text: String,
    /// The changes and the parts left alone, each with its reason: a line each, lower case, without a full
    /// stop.
    pub notes: Vec<Note>,
}

/// A line for the person who patches.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Note {
    /// Something was put in.
    Done(String),
    /// Something was left as it is, on purpose.
    Skipped(String),
    /// The patch may not work as meant: why, and what to do.
    Warning(String),
    /// Something should have the sensor and is of a kind that no patch takes: a check of the file must not
    /// pass.
    Missed(String),
}

/// Why nothing was changed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Error {
    /// The text is not of the expected kind: what is wrong, and where (line and column, or the path of a
    /// field).
    Malformed(String),
    /// The text could be read, but cannot be patched safely: why, and what to do.
    Refused(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(why) | Self::Refused(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Error {}

impl Error {
    /// Puts the name of the part that the error is about before the message.
    fn within(self, within: impl Fn(String) -> String) -> Self {
        match self {
            Self::Malformed(why) => Self::Malformed(within(why)),
            Self::Refused(why) => Self::Refused(within(why)),
        }
    }
}

impl Note {
    /// Puts the name of the part that the note is about before the message.
    fn within(self, within: impl Fn(String) -> String) -> Self {
        match self {
            Self::Done(what) => Self::Done(within(what)),
            Self::Skipped(what) => Self::Skipped(within(what)),
            Self::Warning(what) => Self::Warning(within(what)),
            Self::Missed(what) => Self::Missed(within(what)),
        }
    }
}
