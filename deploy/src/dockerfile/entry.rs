//! Starts an entry point under `glassbox run`.
//!
//! A container starts the entry point with the command behind it. With `glassbox run` in front of the entry
//! point, the command stays as it is, in either form. Docker forgets the base image's command when an entry
//! point is set, so a command that is not in the stage is written again.

use std::ops::Range;

use super::request::Run;
use super::stages::{Found, Program};
use crate::{Error, image};

/// A place in the text, and the text that replaces it.
pub type Edit = (Range<usize>, String);

/// How the entry point changes.
pub enum Change {
    /// By an edit in place.
    Edit(Edit),
    /// By new instructions.
    Lines(Vec<String>),
}

/// The change that starts a stage's entry point by `glassbox run`; `None` if it is started so already.
///
/// # Errors
/// An entry point or a command that the file does not tell.
pub fn wrapped(name: &str, stage: usize, found: &mut Found, run: &Run) -> Result<Option<Change>, Error> {
    let mut front = vec![image::COLLECTOR_PATH.to_owned(), "run".to_owned()];
    front.extend(run.options.iter().cloned());
    front.push("--".to_owned());
    let present = found.entry_point.clone();
    let words = match &present {
        Some(present) if is_wrapped(&present.words) => return Ok(None),
        Some(present) => present.words.clone(),
        None => run.entry_point.clone().ok_or_else(|| {
            Error::Refused(format!(
                "{name} has no ENTRYPOINT, and its base image may have one; name it with --entrypoint '[\"PROGRAM\"]', or give \
                 --entrypoint '[]' if there is none"
            ))
        })?,
    };
    let is_command_needed = words.is_empty() || present.is_none();
    if is_command_needed && found.command.is_none() {
        return Err(Error::Refused(format!(
            "{name} has no CMD, and docker forgets the base image's where an ENTRYPOINT is set; repeat it in the file (CMD [] \
             if there is none)"
        )));
    }
    let all: Vec<String> = front.iter().chain(&words).cloned().collect();
    let change = match present {
        Some(present) if present.stage == stage => Change::Edit(in_place(present, &front, &all)),
        _ => {
            let command = found.command.as_mut().filter(|command| command.stage != stage);
            let mut lines = vec![format!("ENTRYPOINT {}", list(&all))];
            if let Some(command) = command {
                lines.push(format!("CMD {}", command.text));
                command.stage = stage;
            }
            Change::Lines(lines)
        }
    };
    found.entry_point = Some(Program { stage, words: all, ..Program::default() });
    Ok(Some(change))
}

/// A list keeps its form behind the words put in front; the shell form becomes a list.
fn in_place(present: Program, front: &[String], all: &[String]) -> Edit {
    if present.is_in_shell {
        return (present.span, list(all));
    }
    let front: Vec<String> = front.iter().map(|word| quoted(word)).collect();
    let comma = if present.words.is_empty() { "" } else { ", " };
    (present.first..present.first, front.join(", ") + comma)
}

fn is_wrapped(words: &[String]) -> bool {
    matches!(words, [program, command, ..] if program == image::COLLECTOR_PATH && command == "run")
}

fn list(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    format!("[{}]", words.join(", "))
}

fn quoted(word: &str) -> String {
    serde_json::Value::from(word).to_string()
}
