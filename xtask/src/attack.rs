//! `cargo xtask attack`: builds the pair and the attacker's kit (`tests/attack/`), and runs it as root.

use std::process::Command;

use anyhow::Result;

use crate::{glassbox, shell};

/// `cargo xtask attack [--short] [--markdown] [--list] [--keep] [NAME…]`
pub fn run(arguments: &[String]) -> Result<()> {
    shell::run(&mut glassbox::full_build_command())?;
    let is_short = arguments.iter().any(|argument| argument == "--short");
    let mut command = kit();
    command.args(arguments.iter().filter(|argument| *argument != "--short"));
    if !is_short {
        command.arg("--long");
    }
    shell::run(&mut command)
}

/// The harness, short, as a build of the workspace leaves it.
pub fn kit() -> Command {
    let mut command = Command::new(shell::target().join("release/attack"));
    command.current_dir(shell::root());
    command
}
