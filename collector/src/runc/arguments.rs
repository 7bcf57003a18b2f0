//! The command line of an OCI runtime, as runc and crun read it, with the options of `glassbox runc` among
//! its global ones.
//!
//! Engines put options before the sub-command in any order (`--runtime-flag` of podman, `runtimeArgs` of
//! docker). So our options are taken out wherever they stand before it, and everything else is passed on
//! unchanged.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// The name under which the executable is the runtime, without a sub-command.
pub const NAME: &str = "glassbox-runc";

/// Our options, and whether each takes a value.
pub const OURS: [(&str, bool); 9] = [
    ("fail-closed", false),
    ("notify", true),
    ("opt-in", false),
    ("preload-file", false),
    ("require-notify", false),
    ("runtime", true),
    ("socket", true),
    ("help", false),
    ("h", false),
];

/// Options of runc and crun before the sub-command that take a value.
const GLOBAL: [&str; 6] = ["root", "log", "log-format", "criu", "rootless", "cgroup-manager"];

/// Options of `create`, `run`, `exec` and `checkpoint` that take a value.
const OF_COMMAND: [&str; 33] = [
    "bundle",
    "b",
    "config",
    "f",
    "console-socket",
    "pid-file",
    "preserve-fds",
    "cwd",
    "env",
    "e",
    "user",
    "u",
    "additional-gids",
    "g",
    "process",
    "p",
    "process-label",
    "apparmor",
    "cap",
    "c",
    "cgroup",
    "keep",
    "id-map",
    "rootfs-propagation",
    "image-path",
    "work-path",
    "parent-path",
    "status-fd",
    "page-server",
    "manage-cgroups-mode",
    "empty-ns",
    "lsm-profile",
    "lsm-mount-context",
];

/// The part of a call that `glassbox runc` acts on.
#[derive(Debug, Eq, PartialEq)]
pub enum Asked {
    /// `create` or `run` of the bundle in this folder.
    Start { folder: PathBuf, container: OsString },
    /// `exec` in a container, maybe with a file that describes the process.
    Exec { container: OsString, process: Option<PathBuf> },
    /// `checkpoint` of a container.
    Checkpoint { container: OsString },
    /// Anything else, which the real runtime gets unchanged.
    Other,
}

/// A call of the runtime.
#[derive(Debug, Eq, PartialEq)]
pub struct Call {
    pub asked: Asked,
    /// Everything before the sub-command, such as the folder of the runtime's state.
    pub global: Vec<OsString>,
    /// The folder of the runtime's state, where that is given.
    pub state: Option<PathBuf>,
    /// The file for the runtime's errors.
    pub log: Option<PathBuf>,
    /// Whether the errors are written as JSON.
    pub is_log_json: bool,
}

impl Call {
    /// Reads the runtime's arguments.
    pub fn read(arguments: &[OsString]) -> Self {
        let mut call =
            Self { asked: Asked::Other, global: Vec::new(), state: None, log: None, is_log_json: false };
        let mut words = Words { rest: arguments, valued: &GLOBAL };
        let command = loop {
            match words.next() {
                Some(Word::Option { name, value, .. }) => match name.as_str() {
                    "root" => call.state = value.map(PathBuf::from),
                    "log" => call.log = value.map(PathBuf::from),
                    "log-format" => call.is_log_json = value.is_some_and(|format| format == "json"),
                    _ => {}
                },
                Some(Word::Plain(command)) => break command,
                None => return call,
            }
        };
        let before = arguments.len() - words.rest.len() - 1;
        call.global = arguments.get(..before).unwrap_or_default().to_vec();

        words.valued = &OF_COMMAND;
        let (mut bundle, mut process, mut container) = (None, None, None);
        for word in words {
            match word {
                Word::Option { name, value, .. } => match name.as_str() {
                    "bundle" | "b" => bundle = value,
                    "process" | "p" => process = value,
                    _ => {}
                },
                // In `exec`, the words behind the container belong to the program.
                Word::Plain(word) => {
                    container = Some(word);
                    break;
                }
            }
        }
        call.asked = match (command.as_bytes(), container, process) {
            (b"create" | b"run", container, _) => Asked::Start {
                folder: bundle.map_or_else(|| PathBuf::from("."), PathBuf::from),
                container: container.unwrap_or_default(),
            },
            (b"exec", Some(container), process) => {
                Asked::Exec { container, process: process.map(PathBuf::from) }
            }
            (b"checkpoint", Some(container), _) => Asked::Checkpoint { container },
            _ => Asked::Other,
        };
        call
    }
}

/// Puts our options first in the arguments of `glassbox`, and the real runtime's behind `--`. Arguments of
/// other commands stay as they are.
pub fn rearranged(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let arguments: Vec<OsString> = arguments.collect();
    let is_named = arguments.first().is_some_and(|name| {
        std::path::Path::new(name).file_name().is_some_and(|name| name == OsStr::new(NAME))
    });
    let given = match (is_named, arguments.get(1)) {
        (true, _) => arguments.get(1..),
        (false, Some(command)) if command == "runc" => arguments.get(2..),
        _ => return arguments,
    };
    let mut ours: Vec<OsString> = vec!["glassbox".into(), "runc".into()];
    let mut theirs: Vec<OsString> = vec!["--".into()];
    let valued: Vec<&str> =
        GLOBAL.into_iter().chain(OURS.iter().filter(|(_, valued)| *valued).map(|(name, _)| *name)).collect();
    let mut words = Words { rest: given.unwrap_or_default(), valued: &valued };
    loop {
        let before = words.rest;
        let Some(word) = words.next() else { break };
        let taken = before.get(..before.len() - words.rest.len()).unwrap_or_default();
        match word {
            Word::Option { name, .. } if OURS.iter().any(|(ours, _)| *ours == name) => {
                ours.extend_from_slice(taken)
            }
            Word::Option { .. } => theirs.extend_from_slice(taken),
            Word::Plain(_) => {
                theirs.extend_from_slice(before);
                break;
            }
        }
    }
    ours.extend(theirs);
    ours
}

enum Word {
    /// `--name`, `--name=value` or `--name value`; also with one dash, as Go's programs accept it.
    Option {
        name: String,
        value: Option<OsString>,
    },
    Plain(OsString),
}

/// Options and plain words, one by one.
struct Words<'a> {
    rest: &'a [OsString],
    /// The options whose value is the next word.
    valued: &'a [&'a str],
}

impl Iterator for Words<'_> {
    type Item = Word;

    fn next(&mut self) -> Option<Word> {
        let (word, rest) = self.rest.split_first()?;
        self.rest = rest;
        let bytes = word.as_bytes();
        let Some(option) =
            bytes.strip_prefix(b"--").or_else(|| bytes.strip_prefix(b"-")).filter(|name| !name.is_empty())
        else {
            return Some(Word::Plain(word.clone()));
        };
        let mut parts = option.splitn(2, |byte| *byte == b'=');
        let name = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
        let mut value = parts.next().map(|value| OsString::from_vec(value.to_vec()));
        if value.is_none()
            && self.valued.contains(&name.as_str())
            && let Some((next, rest)) = self.rest.split_first()
        {
            value = Some(next.clone());
            self.rest = rest;
        }
        Some(Word::Option { name, value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(line: &str) -> Call {
        Call::read(&line.split_ascii_whitespace().map(OsString::from).collect::<Vec<_>>())
    }

    fn split(line: &str) -> String {
        let words = rearranged(line.split_ascii_whitespace().map(OsString::from));
        words.iter().map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn bundles_of_create_and_run_are_found_in_every_spelling() {
        for (line, bundle) in [
            ("create -b /b c", "/b"),
            ("create --bundle /b --pid-file /p c", "/b"),
            ("--root /r --log /l create --pid-file /p --bundle=/b c", "/b"),
            ("--root=/r --systemd-cgroup run -bundle /b c", "/b"),
            ("--root create create --bundle create c", "create"),
            ("run c", "."),
        ] {
            let container = "c".into();
            assert_eq!(Asked::Start { folder: bundle.into(), container }, call(line).asked, "{line}");
        }
    }

    #[test]
    fn everything_else_is_passed_on_unread() {
        for line in ["", "--version", "features", "state c", "kill c 9", "exec", "--root create delete c"] {
            assert_eq!(Asked::Other, call(line).asked, "{line}");
        }
    }

    #[test]
    fn exec_names_its_container_and_the_file_of_the_process() {
        let call = call(
            "--root /r --log /l --log-format json exec --pid-file /q --process /p -d --console-socket /s c",
        );

        assert_eq!(Asked::Exec { container: "c".into(), process: Some("/p".into()) }, call.asked);
        let by_words = Call::read(&["exec", "c", "ls", "-p", "/x"].map(OsString::from));
        assert_eq!(Asked::Exec { container: "c".into(), process: None }, by_words.asked);
        assert_eq!(
            ["--root", "/r", "--log", "/l", "--log-format", "json"].map(OsString::from).to_vec(),
            call.global
        );
        assert_eq!((Some(PathBuf::from("/l")), true), (call.log, call.is_log_json));
    }

    #[test]
    fn checkpoint_names_its_container_behind_options_with_values() {
        let asked = Asked::Checkpoint { container: "c".into() };
        let call = call("--root /r checkpoint --image-path /i --work-path=/w --leave-running c");

        assert_eq!((asked, Some(PathBuf::from("/r"))), (call.asked, call.state));
    }

    #[test]
    fn our_options_are_taken_from_among_the_global_ones_alone() {
        assert_eq!(
            "glassbox runc --fail-closed --runtime /usr/bin/crun --notify exec -- --root /r --systemd-cgroup create --opt-in c",
            split(
                "/usr/bin/glassbox-runc --root /r --fail-closed --systemd-cgroup --runtime /usr/bin/crun --notify exec create --opt-in c"
            )
        );
        assert_eq!("glassbox runc -- --log --help state c", split("glassbox runc --log --help state c"));
        assert_eq!("glassbox runc --help --", split("glassbox runc --help"));
        assert_eq!("glassbox runc -- --version", split("glassbox-runc --version"));
    }

    #[test]
    fn other_commands_stay_as_they_are() {
        assert_eq!("glassbox run -- runc --help", split("glassbox run -- runc --help"));
        assert_eq!("glassbox", split("glassbox"));
    }
}
