//! Starts an entry point by `glassbox run`, or with `glassbox exec --notify` as its supervisor.
//!
//! A container starts the entry point with the command behind it. With glassbox in front of the entry point,
//! the command stays as it is, in either form. Docker forgets the base image's command when an entry point is
//! set, so a command that is not in the stage is written again. `HEALTHCHECK` stays as it is: the engine
//! starts it beside the entry point, where it has no supervisor.

use std::ops::Range;

use serde_json::Value;

use super::request::{Request, Run};
use super::stages::{Base, Found, Program};
use crate::notify::{self, Notify};
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

/// The change that starts a stage's entry point as requested, and what it does; `None` if it is started so
/// already.
///
/// # Errors
/// An entry point or a command that the file does not tell.
pub fn started(
    name: &str,
    stage: usize,
    found: &mut Found,
    request: &Request,
) -> Result<Option<(Change, String)>, Error> {
    let adds = request.run.is_some() || request.notify.as_ref().is_some_and(|notify| notify.level.is_some());
    let present = found.entry_point.clone();
    let words = match &present {
        Some(present) => present.words.clone(),
        None if !adds => return Ok(None),
        None if found.base == Base::Scratch => Vec::new(),
        None => request.entry_point.clone().ok_or_else(|| {
            Error::Refused(format!(
                "{name} has no ENTRYPOINT, and its base image may have one; name it with --entrypoint '[\"PROGRAM\"]', or give \
                 --entrypoint '[]' if there is none"
            ))
        })?,
    };
    let refused = |why: String| Error::Refused(format!("{name}: {why}"));
    let all = match (&request.run, &request.notify) {
        (Some(run), notify) => by_run(&words, run, notify.as_ref()).map_err(refused)?,
        (None, Some(_)) if is_by(&words, "run") => {
            return Err(refused("its entry point is started by glassbox run; give --run, too".into()));
        }
        (None, Some(notify)) => supervised(&words, notify).map_err(refused)?,
        (None, None) => words.clone(),
    };
    if all == words {
        return Ok(None);
    }
    let is_command_needed = words.is_empty() || present.is_none();
    if is_command_needed && found.command.is_none() {
        return Err(Error::Refused(format!(
            "{name} has no CMD, and docker forgets the base image's where an ENTRYPOINT is set; repeat it in the file (CMD [] \
             if there is none)"
        )));
    }
    let what = match &request.notify {
        Some(Notify { level: Some(level), .. }) if request.run.is_some() => {
            format!("starts its entry point by glassbox run --notify {level}")
        }
        Some(Notify { level: Some(level), .. }) => {
            format!("starts its entry point by glassbox exec --notify {level}")
        }
        Some(_) if request.run.is_none() => "starts its entry point without glassbox exec --notify".into(),
        _ => "starts its entry point by glassbox run".into(),
    };
    let change = match present {
        Some(present) if present.stage == stage => Change::Edit(in_place(present, &all)),
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
    Ok(Some((change, what)))
}

/// The words with `glassbox run` in front. One that is there keeps its options but for the level, which is
/// taken over from a `glassbox exec` too.
fn by_run(words: &[String], run: &Run, notify: Option<&Notify>) -> Result<Vec<String>, String> {
    let asked = notify.map(Notify::options);
    let front = |options: Vec<String>, rest: &[String]| {
        let front = [image::COLLECTOR_PATH, "run"].map(str::to_owned).into_iter().chain(options);
        front.chain(["--".to_owned()]).chain(rest.iter().cloned()).collect()
    };
    let is_started = is_by(words, "run");
    if !is_started && !is_by(words, "exec") {
        return Ok(front([asked.unwrap_or_default(), run.options.clone()].concat(), words));
    }
    let Some(asked) = asked.or_else(|| (!is_started).then(Vec::new)) else { return Ok(words.to_vec()) };
    let Some(end) = words.iter().position(|word| word == "--") else {
        return Err("its glassbox has no '--' behind its options; put one before the command".into());
    };
    let present = &words[2..end];
    let options = match (is_started, notify) {
        (true, _) => [asked, notify::others(present)].concat(),
        (false, Some(_)) => [asked, notify::others(present), run.options.clone()].concat(),
        (false, None) => [present.to_vec(), run.options.clone()].concat(),
    };
    Ok(front(options, &words[end + 1..]))
}

/// The words with `glassbox exec --notify` in front, or without it.
fn supervised(words: &[String], notify: &Notify) -> Result<Vec<String>, String> {
    let values: Vec<Value> = words.iter().map(|word| Value::from(word.as_str())).collect();
    let after = notify.before_words(image::COLLECTOR_PATH, &values)?;
    Ok(after.iter().map(|word| word.as_str().unwrap_or_default().to_owned()).collect())
}

/// Replaces the words that differ. A list keeps its form; the shell form becomes a list.
fn in_place(present: Program, all: &[String]) -> Edit {
    if present.is_in_shell {
        return (present.span, list(all));
    }
    let (before, items) = (&present.words, &present.items);
    let is_same = |(old, new): &(&String, &String)| old == new;
    let front = before.iter().zip(all).take_while(is_same).count();
    let back = before[front..].iter().rev().zip(all[front..].iter().rev()).take_while(is_same).count();
    let goes = front..before.len() - back;
    let comes: Vec<String> = all[front..all.len() - back].iter().map(|word| quoted(word)).collect();
    let comes = comes.join(", ");
    let next = items.get(goes.end).map(|next| next.start);
    let previous = front.checked_sub(1).and_then(|index| items.get(index)).map(|item| item.end);
    let span = items.get(goes.start).zip(items.get(goes.end.saturating_sub(1)));
    match span.filter(|_| !goes.is_empty()).map(|(first, last)| first.start..last.end) {
        Some(span) if !comes.is_empty() => (span, comes),
        Some(span) => match (next, previous) {
            (Some(next), _) => (span.start..next, comes),
            (None, Some(previous)) => (previous..span.end, comes),
            (None, None) => (span, comes),
        },
        None => match (next, previous) {
            (Some(next), _) => (next..next, comes + ", "),
            (None, Some(previous)) => (previous..previous, format!(", {comes}")),
            (None, None) => (present.first..present.first, comes),
        },
    }
}

/// Whether this command of glassbox starts the words.
fn is_by(words: &[String], command: &str) -> bool {
    matches!(words, [program, word, ..] if program == image::COLLECTOR_PATH && word == command)
}

fn list(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    format!("[{}]", words.join(", "))
}

fn quoted(word: &str) -> String {
    Value::from(word).to_string()
}
