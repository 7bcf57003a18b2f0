//! Developer commands, `cargo xtask COMMAND`: everything that is done to this repository rather than by it.
//!
//! Each command is a module and a row of [`COMMANDS`]. `shell`, `packages`, `process` and `glassbox` hold
//! what the commands share: running programs, installing packages, starting a collector.

use std::process::ExitCode;

use anyhow::{Result, bail};

mod arm64;
mod attack;
mod bench;
mod check_so;
mod circles;
mod citations;
mod debian;
mod demo;
mod dist;
mod fuzz;
mod gen_docs;
mod glassbox;
mod http;
mod libcs;
mod packages;
mod page;
mod pictures;
mod process;
mod recall;
mod shell;
mod test;
mod tokens;
mod toolchain;
mod transparency;
mod unsafes;
mod vm;
mod width;

/// A command: how it is called, what it does, and its function.
struct Command {
    name: &'static str,
    /// The arguments that may follow the name.
    arguments: &'static str,
    /// One line each.
    what: &'static [&'static str],
    run: fn(&[String]) -> Result<()>,
}

const COMMANDS: &[Command] = &[
    Command {
        name: "build",
        arguments: "",
        what: &["release build of the workspace: target/release/{glassbox,libglassbox.so}"],
        run: |_| glassbox::build().map(drop),
    },
    Command {
        name: "test",
        arguments: "[STEP…]",
        what: &["installs what the tests need and runs all of them (--list names the steps)"],
        run: test::run,
    },
    Command {
        name: "check-so",
        arguments: "[FILE]",
        what: &["proves what the sensor's file must not contain"],
        run: check_so::run,
    },
    Command {
        name: "circles",
        arguments: "",
        what: &["finds files that need each other, and long files of the collector"],
        run: circles::run,
    },
    Command {
        name: "unsafe",
        arguments: "[--write]",
        what: &["counts unsafe code by crate and compares with docs/unsafe.md"],
        run: unsafes::run,
    },
    Command {
        name: "gen-docs",
        arguments: "[--check]",
        what: &["writes docs/events.md and docs/hooks.md from their tables, or says if they are stale"],
        run: gen_docs::run,
    },
    Command {
        name: "page",
        arguments: "[--check]",
        what: &["builds the page of -o html from collector/page (with npm), or says if it is stale"],
        run: page::run,
    },
    Command {
        name: "pictures",
        arguments: "[--check]",
        what: &["makes the README's pictures (with tmux and Chromium), or says if one is stale"],
        run: pictures::run,
    },
    Command {
        name: "attack",
        arguments: "[NAME…]",
        what: &[
            "tries every attack of tests/attack/ beside a bystander, and prints what it measured",
            "(--short: as in the tests; --markdown: a table; --list: the names; --keep: outputs)",
        ],
        run: attack::run,
    },
    Command {
        name: "fuzz",
        arguments: "[--seconds N] [TARGET…]",
        what: &["runs every fuzz target, or those named, for N seconds (default 20)"],
        run: fuzz::run,
    },
    Command {
        name: "demo",
        arguments: "",
        what: &["builds everything and shows the sensor on real programs"],
        run: demo::run,
    },
    Command {
        name: "dist",
        arguments: "[MACHINE…]",
        what: &["the portable pair, archives, packages, an OCI image, Lambda layers, checksums: dist/"],
        run: dist::run,
    },
    Command {
        name: "vm",
        arguments: "[FILE…]",
        what: &[
            "runs the tests of --notify and attach, or those files', on Debian's aarch64 kernel",
            "(in a machine that qemu emulates: some minutes for each file)",
        ],
        run: vm::run,
    },
    Command {
        name: "recall",
        arguments: "[NAME…]",
        what: &[
            "compares what was reported with what strace saw, by program and field",
            "(--list names them and the places, --at PLACE: there; --write: docs/recall.md;",
            "--notify: below run --notify security, programs that hooks can't see, and Go's;",
            "--ebpf: with what bpftrace sees, also of programs that hooks can't see)",
        ],
        run: recall::run,
    },
    Command {
        name: "transparency",
        arguments: "[NAME…]",
        what: &[
            "runs real programs bare and under the sensor and compares (--list names them;",
            "--write: the last result of each, into docs/transparency.md)",
        ],
        run: transparency::run,
    },
    Command {
        name: "bench",
        arguments: "[NAME…]",
        what: &["the cost table, interleaved with the bare program (bench --help says more)"],
        run: bench::run,
    },
];

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_default();
    let rest: Vec<String> = arguments.collect();

    match dispatch(&name, &rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask {name}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(name: &str, rest: &[String]) -> Result<()> {
    if ["", "help", "--help", "-h"].contains(&name) {
        println!("{}", usage());
        return Ok(());
    }
    match COMMANDS.iter().find(|command| command.name == name) {
        Some(command) => (command.run)(rest),
        None => bail!("no command '{name}'\n{}", usage()),
    }
}

fn usage() -> String {
    let mut text = String::from("usage: cargo xtask COMMAND\n");
    for command in COMMANDS {
        let mut call = format!("{} {}", command.name, command.arguments);
        for line in command.what {
            text.push_str(&format!("\n  {call:22} {line}"));
            call.clear();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_command_is_there_twice_and_each_says_what_it_does() {
        let names: std::collections::HashSet<_> = COMMANDS.iter().map(|command| command.name).collect();

        assert_eq!(COMMANDS.len(), names.len());
        assert!(COMMANDS.iter().all(|command| !command.what.is_empty()));
    }

    #[test]
    fn every_line_of_the_usage_fits_a_terminal() {
        assert_eq!(None, usage().lines().find(|line| line.chars().count() > 110));
    }
}
