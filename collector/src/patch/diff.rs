//! `glassbox patch --diff`: the changes as a unified diff, which patch(1) takes.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::path::Path;

use deploy::visible::visible;
use similar::TextDiff;

use crate::shell::failure::Failure;

/// Lines around a change.
const CONTEXT: usize = 3;

/// Writes the way from one text to the other to stdout; nothing where both are the same.
pub fn show(file: &Path, before: &str, after: &str) -> Result<(), Failure> {
    let name = if file == Path::new("-") { "stdin".into() } else { file.to_string_lossy() };
    let text = unified(&name, before, after);
    let out = io::stdout();
    let is_plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let text = match out.is_terminal() {
        true => for_terminal(&text, !is_plain),
        false => text,
    };
    out.lock()
        .write_all(text.as_bytes())
        .map_err(|error| Failure::output(format!("cannot write to stdout: {error}; send it elsewhere")))
}

fn unified(name: &str, before: &str, after: &str) -> String {
    TextDiff::from_lines(before, after).unified_diff().context_radius(CONTEXT).header(name, name).to_string()
}

/// The same for a person: coloured where that is wanted, and without a character of the file that would act
/// upon the terminal.
fn for_terminal(text: &str, is_coloured: bool) -> String {
    let mut shown = String::new();
    for line in text.lines() {
        let colour = match line.as_bytes() {
            [b'+', b'+', b'+', ..] | [b'-', b'-', b'-', ..] => "1",
            [b'@', ..] => "36",
            [b'+', ..] => "32",
            [b'-', ..] => "31",
            _ => "",
        };
        let line = line.split('\t').map(visible).collect::<Vec<_>>().join("\t");
        // A string takes everything that is written to it.
        let _ = match is_coloured && !colour.is_empty() {
            true => writeln!(shown, "\x1b[{colour}m{line}\x1b[m"),
            false => writeln!(shown, "{line}"),
        };
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_texts_have_no_difference() {
        assert_eq!("", unified("a.yaml", "x\n", "x\n"));
    }

    #[test]
    fn lines_that_come_and_go_stand_between_those_that_stay() {
        assert_eq!(
            "--- a.yaml\n+++ a.yaml\n@@ -1,3 +1,3 @@\n one\n-two\n+2\n three\n",
            unified("a.yaml", "one\ntwo\nthree\n", "one\n2\nthree\n")
        );
    }

    #[test]
    fn last_line_without_an_end_is_marked_as_patch_wants_it() {
        assert_eq!(
            "--- f\n+++ f\n@@ -1 +1,2 @@\n-a\n\\ No newline at end of file\n+a\n+b\n",
            unified("f", "a", "a\nb\n")
        );
    }

    #[test]
    fn terminal_gets_colours_and_no_command_of_the_file() {
        let text = unified("f", "\tk: \x1b[2J\n", "\tk: v\n");

        assert_eq!(
            "\x1b[1m--- f\x1b[m\n\x1b[1m+++ f\x1b[m\n\x1b[36m@@ -1 +1 @@\x1b[m\n\x1b[31m-\tk: \\u{1b}[2J\x1b[m\n\x1b[32m+\tk: v\x1b[m\n",
            for_terminal(&text, true)
        );
        assert!(!for_terminal(&text, false).contains('\x1b'));
    }
}
