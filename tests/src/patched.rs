//! `glassbox patch`, as the tests of every kind of file call it.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::artefacts::glassbox;
use crate::child::{self, Ending, Status};

/// Patches a file of this kind.
pub fn patch(kind: &str, file: &Path, options: &[&str]) -> Ending {
    let mut command = Command::new(glassbox());
    command.args(["patch", kind]).args(options).arg(file);
    child::run(command, b"")
}

/// Gives an ending back that must be a good one.
///
/// # Panics
/// If the program failed, with all that it wrote.
#[track_caller]
pub fn well(ending: Ending) -> Ending {
    assert_eq!(Status::Exited(0), ending.status, "{}{}", ending.stdout, ending.stderr);
    ending
}

/// A text, options, the exit status, and a part of the one line on stderr.
pub type Refusal<'a> = (&'a [u8], &'a [&'a str], i32, &'a str);

/// Demands that each text is refused in one line and stays as it is, and that a file that is not there is
/// refused too.
///
/// # Panics
/// Naming the refusal that differs.
#[track_caller]
pub fn assert_refuses(kind: &str, refusals: &[Refusal<'_>]) {
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let file = dir.path().join("input");
    for (text, options, code, words) in refusals {
        fs::write(&file, text).expect("our own directory");

        let ending = patch(kind, &file, options);

        assert_eq!(Status::Exited(*code), ending.status, "{words}: {}", ending.stderr);
        assert_eq!((1, ""), (ending.stderr.lines().count(), ending.stdout.as_str()), "{}", ending.stderr);
        assert!(ending.stderr.contains(words), "{}", ending.stderr);
        assert_eq!(*text, fs::read(&file).expect("our own file"));
    }
    assert_eq!(Status::Exited(66), patch(kind, &dir.path().join("none"), &[]).status);
    assert_eq!(1, fs::read_dir(dir.path()).expect("our own directory").count(), "something was left");
}
