//! Wrong usage as one line: what is wrong, what was probably meant, and the help that says more.
//!
//! `cli` hands clap's refusals over. A user who forgets `run --` in front of a program is told so.

use std::ffi::{OsStr, OsString};

use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::shell::failure::Failure;
use crate::system::search;

/// The failure of a command line that `root` refused with `error`. Programs are looked for in `path`.
pub fn failure(error: &clap::Error, root: &Command, arguments: &[OsString], path: &OsStr) -> Failure {
    let (names, rest) = commands(root, arguments);
    let help = format!("see '{} --help'", [&["glassbox"], names.as_slice()].concat().join(" "));
    let is_of_root = names.is_empty();
    let what = match error.kind() {
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            return Failure::usage(match subcommands(root, &names) {
                _ if is_of_root => format!("no command given; try 'glassbox run -- CMD', or {help}"),
                several => format!("'glassbox {}' needs one of {several}; {help}", names.join(" ")),
            });
        }
        ErrorKind::InvalidSubcommand if is_of_root => no_command(error, rest, path),
        ErrorKind::UnknownArgument if is_of_root => misplaced(error, root),
        _ => None,
    };
    Failure::usage(format!("{}; {help}", what.unwrap_or_else(|| first_paragraph(error))))
}

/// The commands that the arguments name, one below the other, and what follows.
fn commands<'a>(root: &'a Command, arguments: &'a [OsString]) -> (Vec<&'a str>, &'a [OsString]) {
    let mut rest = arguments.get(1..).unwrap_or_default();
    // `help COMMAND` is the help of COMMAND.
    if rest.first().is_some_and(|first| first == "help") {
        rest = &rest[1..];
    }
    let (mut command, mut names) = (root, Vec::new());
    while let Some(next) = rest.first().and_then(|first| command.find_subcommand(first)) {
        names.push(next.get_name());
        (command, rest) = (next, &rest[1..]);
    }
    (names, rest)
}

/// The names of the commands below that of `names`: `compose, dockerfile, ecs, k8s`.
fn subcommands(root: &Command, names: &[&str]) -> String {
    let command = names.iter().try_fold(root, |command, name| command.find_subcommand(name));
    let all = command.into_iter().flat_map(Command::get_subcommands);
    let shown = all.filter(|command| !command.is_hide_set()).map(Command::get_name);
    shown.filter(|name| *name != "help").collect::<Vec<_>>().join(", ")
}

/// A word that is no command: maybe a program that `run` should start.
fn no_command(error: &clap::Error, rest: &[OsString], path: &OsStr) -> Option<String> {
    let word = text(error, ContextKind::InvalidSubcommand)?;
    let similar = text(error, ContextKind::SuggestedSubcommand);
    let is_program = search::find(OsStr::new(word), path).is_some();
    let meant = match (is_program, similar) {
        (true, None) => format!("did you mean `{}`?", run(rest)),
        (true, Some(similar)) => format!("did you mean `{}` or `glassbox {similar}`?", run(rest)),
        (false, Some(similar)) => format!("did you mean `glassbox {similar}`?"),
        (false, None) => "a program is run with 'glassbox run -- CMD'".to_owned(),
    };
    Some(format!("no command '{word}'; {meant}"))
}

/// An option before the command that it belongs to.
fn misplaced(error: &clap::Error, root: &Command) -> Option<String> {
    let given = text(error, ContextKind::InvalidArg)?;
    let is_it = |argument: &clap::Arg| match given.strip_prefix("--") {
        Some(long) => argument.get_long() == Some(long),
        None => {
            argument.get_short().is_some_and(|short| given.strip_prefix('-') == Some(&*short.to_string()))
        }
    };
    let visible = root.get_subcommands().filter(|command| !command.is_hide_set());
    let mut owners = visible.filter(|command| command.get_arguments().any(is_it));
    let owner = owners.next()?.get_name();
    Some(format!(
        "'{given}' is an option of commands; write it behind one, as in 'glassbox {owner} {given} …'"
    ))
}

/// The command line that starts a program, to be pasted into a shell.
fn run(program: &[OsString]) -> String {
    let words = program.iter().map(|word| shell_word(&word.to_string_lossy()));
    ["glassbox run --".to_owned()].into_iter().chain(words).collect::<Vec<_>>().join(" ")
}

/// A word as a POSIX shell reads it back.
pub fn shell_word(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./_-".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

fn text(error: &clap::Error, kind: ContextKind) -> Option<&str> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text),
        ContextValue::Strings(texts) => texts.first().map(String::as_str),
        _ => None,
    }
}

/// Clap's first paragraph, which says what is wrong, and its first tip.
fn first_paragraph(error: &clap::Error) -> String {
    let rendered = error.to_string();
    let mut what = String::new();
    let mut tip = None;
    let mut is_first_paragraph = true;
    for line in rendered.lines().map(str::trim) {
        if line.is_empty() {
            is_first_paragraph = false;
        } else if let Some(meant) = line.strip_prefix("tip: ") {
            tip = tip.or(Some(meant));
        } else if is_first_paragraph {
            if !what.is_empty() {
                what.push(' ');
            }
            what.push_str(line.strip_prefix("error: ").unwrap_or(line));
        }
    }
    tip.map_or_else(|| what.clone(), |tip| format!("{what}; {tip}"))
}

#[cfg(test)]
mod tests;
