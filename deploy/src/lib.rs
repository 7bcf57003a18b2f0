//! Puts the sensor into deployment files.
//!
//! Each kind of file is a module with one function from the text to a [`Patched`]; none of them reads a file, the clock or
//! the network. What they share: [`yaml`] and [`json`] read and edit their text, [`preload`] merges `LD_PRELOAD`, [`Error`]
//! says why nothing was changed. The command line (`glassbox patch`, `glassbox runc`, `glassbox webhook`) reads, writes and
//! prints.
//!
//! Every patch is idempotent: a patched text gives itself.
#![forbid(unsafe_code)]

use std::fmt;

mod agents;
pub mod change;
pub mod choice;
pub mod compose;
pub mod dockerfile;
pub mod ecs;
pub mod image;
pub mod json;
pub mod k8s;
pub mod lambda;
pub mod preload;
pub mod yaml;

/// What became of a text.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Patched {
    /// The whole new text; the old one where nothing had to be changed.
    pub text: String,
    /// What was done and what was left alone, each with its reason: a line each, lower case, without a full stop.
    pub notes: Vec<Note>,
}

/// A line for the person who patches.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Note {
    /// Something was put in.
    Done(String),
    /// Something was left as it is, on purpose.
    Skipped(String),
    /// It may not work as meant: what, and what to do.
    Warning(String),
}

/// Why nothing was changed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Error {
    /// The text is not what it should be: what is wrong, where (line and column, or the path of a field).
    Malformed(String),
    /// It could be read, and cannot be patched safely: why, and what to do.
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
    /// The same, said of a part: `within` puts the part's name before what is wrong.
    fn within(self, within: impl Fn(String) -> String) -> Self {
        match self {
            Self::Malformed(why) => Self::Malformed(within(why)),
            Self::Refused(why) => Self::Refused(within(why)),
        }
    }
}

impl Note {
    /// The same, said of a part.
    fn within(self, within: impl Fn(String) -> String) -> Self {
        match self {
            Self::Done(what) => Self::Done(within(what)),
            Self::Skipped(what) => Self::Skipped(within(what)),
            Self::Warning(what) => Self::Warning(within(what)),
        }
    }
}
