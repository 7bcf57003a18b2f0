//! What `-o FORMAT[:DEST]` means: which formats exist, where each one goes, and how it is opened.
//!
//! The command line parses into [`Output`]s; the launcher passes them on to the collector in the same
//! spelling; the sinks open them in the collector process with [`Destination::open`].

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::IsTerminal;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// A format that a sink writes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// A process tree with files, peers and both ledgers, at the end.
    Summary,
    /// One line an event, for people; coloured on a terminal.
    Human,
    /// One JSON object a line, as `docs/contract.md` fixes it.
    Jsonl,
    /// The binary recording that `glassbox replay` reads.
    Recording,
}

/// Every format with its name and what `--help` says of it.
pub const FORMATS: [(Format, &str, &str); 4] = [
    (Format::Summary, "summary", "a process tree, files written, network peers, losses and cost, at the end"),
    (Format::Human, "human", "one line an event, coloured on a terminal"),
    (Format::Jsonl, "jsonl", "one JSON object a line"),
    (Format::Recording, "recording", "binary, for 'glassbox replay'"),
];

impl Format {
    /// The name that is typed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Summary => "summary",
            Self::Human => "human",
            Self::Jsonl => "jsonl",
            Self::Recording => "recording",
        }
    }
}

/// Where an output goes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Destination {
    /// The standard output (`-`).
    Stdout,
    /// The standard error (`stderr`).
    Stderr,
    /// A file, made or emptied.
    File(PathBuf),
}

/// Whether an output begins, or goes on where a collector that died left it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Opening {
    /// A file is made or emptied.
    Fresh,
    /// A file is appended to.
    Resumed,
}

/// One `-o`: a format and where it goes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Output {
    /// What is written.
    pub format: Format,
    /// Where to.
    pub destination: Destination,
}

impl Destination {
    /// Opens the destination for writing.
    ///
    /// The standard streams are duplicated, so that dropping what is returned closes nothing else.
    /// Fails with status 73 and a remedy.
    pub fn open(&self, opening: Opening) -> Result<File, Failure> {
        match self {
            Self::Stdout => duplicate(std::io::stdout().as_fd(), "stdout"),
            Self::Stderr => duplicate(std::io::stderr().as_fd(), "stderr"),
            Self::File(path) => {
                let mut options = OpenOptions::new();
                match opening {
                    Opening::Fresh => options.write(true).create(true).truncate(true),
                    Opening::Resumed => options.append(true).create(true),
                };
                options.open(path).map_err(|error| {
                    Failure::output(format!(
                        "cannot write output '{}': {error}; choose a file in a directory that exists and is \
                         writable",
                        path.display()
                    ))
                })
            }
        }
    }

    /// True if this is a terminal that wants colours (<https://no-color.org>).
    pub fn is_coloured(&self) -> bool {
        let is_terminal = match self {
            Self::Stdout => std::io::stdout().is_terminal(),
            Self::Stderr => std::io::stderr().is_terminal(),
            Self::File(_) => false,
        };
        is_terminal
            && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
    }
}

fn duplicate(stream: std::os::fd::BorrowedFd<'_>, name: &str) -> Result<File, Failure> {
    stream
        .try_clone_to_owned()
        .map(File::from)
        .map_err(|error| Failure::output(format!("cannot write to {name}: {error}; give -o a file")))
}

impl Output {
    /// Parses `FORMAT[:DEST]`; `default` is where it goes without a DEST.
    ///
    /// A relative path is made absolute here, because the launcher leaves its working directory to CMD
    /// and a restarted collector must find the same file.
    pub fn parse(spec: &OsStr, default: &Destination) -> Result<Self, Failure> {
        let bytes = spec.as_bytes();
        let (name, destination) = match bytes.iter().position(|byte| *byte == b':') {
            Some(colon) => (&bytes[..colon], Some(&bytes[colon + 1..])),
            None => (bytes, None),
        };
        let format = FORMATS
            .iter()
            .find(|(_, known, _)| known.as_bytes() == name)
            .map(|(format, _, _)| *format)
            .ok_or_else(|| {
                let known: Vec<&str> = FORMATS.iter().map(|(_, name, _)| *name).collect();
                Failure::usage(format!(
                    "unknown format '{}' in -o '{}'; the formats are {}",
                    String::from_utf8_lossy(name),
                    spec.display(),
                    known.join(", ")
                ))
            })?;
        let destination = match destination {
            None => default.clone(),
            Some(b"-") => Destination::Stdout,
            Some(b"stderr") => Destination::Stderr,
            Some(b"") => {
                return Err(Failure::usage(format!(
                    "no destination after the colon in -o '{}'; give a path, '-' for stdout, or 'stderr'",
                    spec.display()
                )));
            }
            Some(url) if url.windows(3).any(|bytes| bytes == b"://") => {
                return Err(Failure::usage(format!(
                    "{} goes to no URL, as in -o '{}'; give a path, '-' for stdout, or 'stderr'",
                    format.name(),
                    spec.display()
                )));
            }
            Some(path) => {
                let path = Path::new(OsStr::from_bytes(path));
                let path = std::path::absolute(path).map_err(|error| {
                    Failure::output(format!(
                        "cannot find the directory of output '{}': {error}; give an absolute path",
                        path.display()
                    ))
                })?;
                Destination::File(path)
            }
        };
        Ok(Self { format, destination })
    }

    /// Parses every `-o` of a command line, or the command's default where there is none.
    pub fn parse_all(specs: &[OsString], default: Output) -> Result<Vec<Self>, Failure> {
        if specs.is_empty() {
            return Ok(vec![default]);
        }
        let mut outputs: Vec<Self> = Vec::with_capacity(specs.len());
        for spec in specs {
            let output = Self::parse(spec, &default.destination)?;
            if let Destination::File(path) = &output.destination
                && outputs.iter().any(|other| other.destination == output.destination)
                && !path.starts_with("/dev")
            {
                return Err(Failure::usage(format!(
                    "two outputs go to '{}' and would overwrite each other; give each -o a file of its own",
                    path.display()
                )));
            }
            outputs.push(output);
        }
        Ok(outputs)
    }

    /// Refuses what can never be meant: a binary recording on a terminal.
    pub fn check_all(outputs: &[Self]) -> Result<(), Failure> {
        for output in outputs {
            let is_terminal = match &output.destination {
                Destination::Stdout => std::io::stdout().is_terminal(),
                Destination::Stderr => std::io::stderr().is_terminal(),
                Destination::File(_) => false,
            };
            if output.format == Format::Recording && is_terminal {
                return Err(Failure::usage(
                    "a recording is binary and would go to the terminal; give it a file: -o recording:FILE",
                ));
            }
        }
        Ok(())
    }

    /// The `FORMAT:DEST` that parses back into this output.
    pub fn spelling(&self) -> OsString {
        let mut spelling = OsString::from(self.format.name());
        spelling.push(":");
        match &self.destination {
            Destination::Stdout => spelling.push("-"),
            Destination::Stderr => spelling.push("stderr"),
            Destination::File(path) => spelling.push(path),
        }
        spelling
    }
}

/// A copy of stdout for the collector, if an output goes there at all.
///
/// Whoever reads CMD's stdout waits until the last copy is closed, so none is kept without need.
pub fn keep_stdout(outputs: &[Output]) -> std::io::Result<Option<OwnedFd>> {
    if !outputs.iter().any(|output| output.destination == Destination::Stdout) {
        return Ok(None);
    }
    std::io::stdout().as_fd().try_clone_to_owned().map(Some)
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn parse(spec: &str) -> Result<Output, Failure> {
        Output::parse(OsStr::new(spec), &Destination::Stderr)
    }

    #[test]
    fn a_url_is_no_path() {
        let failure = parse("jsonl:http://host/events").unwrap_err();

        assert_eq!(64, failure.status());
        assert_eq!(
            "jsonl goes to no URL, as in -o 'jsonl:http://host/events'; give a path, '-' for stdout, or 'stderr'",
            failure.to_string()
        );
    }

    #[test]
    fn format_alone_takes_the_commands_default_destination() {
        let output = parse("human").unwrap();

        assert_eq!(Output { format: Format::Human, destination: Destination::Stderr }, output);
    }

    #[test]
    fn destination_may_hold_further_colons() {
        let output = parse("jsonl:/tmp/a:b").unwrap();

        assert_eq!(Destination::File(PathBuf::from("/tmp/a:b")), output.destination);
    }

    #[test]
    fn dash_and_stderr_are_streams_and_dot_slash_makes_them_files() {
        assert_eq!(Destination::Stdout, parse("human:-").unwrap().destination);
        assert_eq!(Destination::Stderr, parse("human:stderr").unwrap().destination);
        assert!(matches!(parse("human:./stderr").unwrap().destination, Destination::File(_)));
    }

    #[test]
    fn relative_path_becomes_absolute() {
        let Destination::File(path) = parse("jsonl:events.jsonl").unwrap().destination else {
            panic!("not a file")
        };

        assert!(path.is_absolute());
    }

    #[test]
    fn unknown_format_lists_those_that_exist() {
        let failure = parse("falco").unwrap_err();

        assert_eq!(64, failure.status());
        assert_eq!(
            "unknown format 'falco' in -o 'falco'; the formats are summary, human, jsonl, recording",
            failure.to_string()
        );
    }

    #[test]
    fn empty_destination_is_wrong_usage() {
        assert_eq!(64, parse("jsonl:").unwrap_err().status());
    }

    #[test]
    fn any_output_replaces_the_default() {
        let default = Output { format: Format::Summary, destination: Destination::Stderr };

        let none = Output::parse_all(&[], default.clone()).unwrap();
        let one = Output::parse_all(&[OsString::from("human")], default.clone()).unwrap();

        assert_eq!(vec![default], none);
        assert_eq!(vec![Output { format: Format::Human, destination: Destination::Stderr }], one);
    }

    #[test]
    fn two_outputs_to_one_file_are_refused() {
        let default = Output { format: Format::Summary, destination: Destination::Stderr };

        let failure =
            Output::parse_all(&["jsonl:/tmp/x".into(), "human:/tmp/x".into()], default).unwrap_err();

        assert_eq!(64, failure.status());
    }

    #[test]
    fn spelling_parses_back_even_where_it_is_not_utf8() {
        let output =
            Output::parse(&OsString::from_vec(b"jsonl:/tmp/\xff".to_vec()), &Destination::Stdout).unwrap();

        assert_eq!(output, Output::parse(&output.spelling(), &Destination::Stderr).unwrap());
    }
}
