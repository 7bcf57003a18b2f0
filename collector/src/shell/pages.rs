//! `glassbox completions` and `glassbox man`: what shells and man(1) know of the command line, from the same
//! declarations that parse it.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use clap::{Command, ValueEnum};
use clap_complete::Shell;

use crate::shell::failure::Failure;

/// A shell that completions are written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Completed {
    Bash,
    Zsh,
    Fish,
}

/// Writes the completions of `root` for a shell.
pub fn complete(shell: Completed, mut root: Command, out: &mut impl Write) -> Result<(), Failure> {
    let shell = match shell {
        Completed::Bash => Shell::Bash,
        Completed::Zsh => Shell::Zsh,
        Completed::Fish => Shell::Fish,
    };
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut root, "glassbox", &mut text);
    out.write_all(&text).map_err(|error| {
        Failure::output(format!("cannot write the completions to stdout: {error}; send them elsewhere"))
    })
}

/// Writes a man page for each command of `root` into a folder, which exists.
pub fn man(root: Command, folder: &Path) -> Result<(), Failure> {
    let mut root = root.disable_help_subcommand(true);
    root.build();
    page(&root, folder).map_err(|error| {
        Failure::output(format!(
            "cannot write man pages into '{}': {error}; give a folder that exists and can be written to",
            folder.display()
        ))
    })
}

fn page(command: &Command, folder: &Path) -> io::Result<()> {
    let is_shown = |command: &&Command| !command.is_hide_set() && command.get_name() != "help";
    command.get_subcommands().filter(is_shown).try_for_each(|below| page(below, folder))?;
    let mut text = Vec::new();
    let man = clap_mangen::Man::new(command.clone()).manual("glassbox");
    man.render(&mut text)?;
    fs::write(folder.join(man.get_filename()), kept_lines(&String::from_utf8_lossy(&text)))
}

/// The page with each row of a table on a line of its own. A line that begins with a space does so anyway
/// (groff(7)); the one behind it would follow on the same line.
fn kept_lines(page: &str) -> String {
    let mut kept = String::with_capacity(page.len() + 256);
    let mut is_row = false;
    for line in page.lines() {
        if is_row && !line.starts_with([' ', '.', '\'']) {
            kept.push_str(".br\n");
        }
        is_row = line.starts_with(' ');
        kept.push_str(line);
        kept.push('\n');
    }
    kept
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::shell::cli::Cli;
    use crate::sinks::tests::Scratch;

    fn visible(command: &Command) -> impl Iterator<Item = &Command> {
        command.get_subcommands().filter(|command| !command.is_hide_set())
    }

    #[test]
    fn every_shell_completes_every_command_and_its_options() {
        for shell in [Completed::Bash, Completed::Zsh, Completed::Fish] {
            let mut text = Vec::new();

            complete(shell, Cli::command(), &mut text).unwrap();

            let text = String::from_utf8(text).unwrap();
            for command in visible(&Cli::command()) {
                assert!(text.contains(command.get_name()), "{shell:?}: {}", command.get_name());
                for long in
                    command.get_arguments().filter(|arg| !arg.is_hide_set()).filter_map(clap::Arg::get_long)
                {
                    assert!(text.contains(long), "{shell:?}: --{long}");
                }
            }
        }
    }

    #[test]
    fn line_behind_a_row_of_a_table_begins_anew() {
        assert_eq!("one\n  a\n  b\n.br\ntwo\nthree\n", kept_lines("one\n  a\n  b\ntwo\nthree\n"));
    }

    #[test]
    fn every_command_has_a_page_and_no_hidden_one_has() {
        let scratch = Scratch::new("man");
        let folder = scratch.path("man");
        fs::create_dir(&folder).unwrap();

        man(Cli::command(), &folder).unwrap();

        let mut names = vec!["glassbox.1".to_owned()];
        for command in visible(&Cli::command()) {
            names.push(format!("glassbox-{}.1", command.get_name()));
            names.extend(
                visible(command)
                    .map(|below| format!("glassbox-{}-{}.1", command.get_name(), below.get_name())),
            );
        }
        let mut found: Vec<String> = fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort_unstable();
        found.sort_unstable();
        assert_eq!(names, found);
        let run = fs::read_to_string(folder.join("glassbox-run.1")).unwrap();
        assert!(run.starts_with(".ie") && run.contains(".TH glassbox-run 1"), "{run}");
        assert_eq!(73, man(Cli::command(), &scratch.path("none")).unwrap_err().status());
    }
}
