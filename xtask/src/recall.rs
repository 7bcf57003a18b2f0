//! `cargo xtask recall`: how much of what programs do is reported, measured against strace.
//!
//! The programs, the kinds of calls and the rule for what is counted are the tests' own (`tests/src/recall`); the tests
//! hold each figure to the goal, this prints them all, and every missed call by name.

use anyhow::{Result, bail};
use glassbox_tests::recall::programs::{PROGRAMS, named};
use glassbox_tests::recall::{GOAL, Recalls, report, table};

use crate::glassbox;

/// `cargo xtask recall [NAME…]`
pub fn run(arguments: &[String]) -> Result<()> {
    if arguments.iter().any(|argument| argument == "--list") {
        PROGRAMS.iter().for_each(|program| println!("{}", program.name));
        return Ok(());
    }
    if let Some(unknown) = arguments.iter().find(|name| named(name).is_none()) {
        bail!("no program '{unknown}'; `cargo xtask recall --list` names them");
    }
    glassbox::build()?;
    let wanted = PROGRAMS
        .iter()
        .filter(|program| arguments.is_empty() || arguments.iter().any(|name| name == program.name));
    let mut all: Vec<(&str, Recalls)> = Vec::new();
    let mut failed = Vec::new();
    for program in wanted {
        match program.measure() {
            Ok(recalls) => {
                print!("{}", report(program.name, &recalls));
                all.push((program.name, recalls));
            }
            Err(why) => {
                eprintln!("{why}");
                failed.push(program.name);
            }
        }
    }

    println!("\nreported / made by the application; ! marks what is below {GOAL} %\n\n{}", table(&all));
    if !failed.is_empty() {
        bail!("{} did not run as they should: {}", failed.len(), failed.join(", "));
    }
    Ok(())
}
