//! The collector's own standard streams: `-` and `stderr`.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use super::file::FileCarrier;
use super::kind::{Kind, Opened, Takes, Wanted};
use crate::shell::failure::Failure;
use crate::sinks::look::Surface;

/// The row of stdout.
pub const STDOUT: Kind = Kind {
    name: "stdout",
    help: "'-' for stdout",
    place: |text| word(text, "-", &["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"]),
    shown: |_| "stdout".to_owned(),
    is_exclusive: |_| false,
    surface: Surface::stdout,
    takes: Takes::Stream,
    open: |wanted| open(io::stdout().as_fd().try_clone_to_owned(), "stdout", wanted),
};

/// The row of stderr.
pub const STDERR: Kind = Kind {
    name: "stderr",
    help: "'stderr'",
    place: |text| word(text, "stderr", &["/dev/stderr", "/dev/fd/2", "/proc/self/fd/2"]),
    shown: |_| "stderr".to_owned(),
    is_exclusive: |_| false,
    surface: || Surface::of(io::stderr()),
    takes: Takes::Stream,
    open: |wanted| open(io::stderr().as_fd().try_clone_to_owned(), "stderr", wanted),
};

/// The word, also for the paths that mean the same stream: the collector of a `run` is another process, in
/// which they would mean another.
fn word(text: &OsStr, word: &str, paths: &[&str]) -> Option<Result<OsString, Failure>> {
    (text == word || paths.iter().any(|path| text == *path)).then(|| Ok(word.into()))
}

/// The word for a stream, where `text` looks like one and is none: it would name a file that was not meant.
pub fn misspelt(text: &OsStr) -> Option<&'static str> {
    let is = |name: &str| text.eq_ignore_ascii_case(name);
    match () {
        () if is("stdout") || is("stdin") => Some("-"),
        () if is("stderr") && text != "stderr" => Some("stderr"),
        () => None,
    }
}

/// A duplicate is written to, so that dropping it closes nothing else.
fn open(stream: io::Result<OwnedFd>, name: &str, wanted: &Wanted<'_>) -> Result<Opened, Failure> {
    let file = stream
        .map(File::from)
        .map_err(|error| Failure::output(format!("cannot write to {name}: {error}; give -o a file")))?;
    Ok(FileCarrier::opened(file, wanted.opening, wanted.framing, None))
}
