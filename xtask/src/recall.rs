//! `cargo xtask recall`: how many of the calls that programs make are reported, measured against strace.
//!
//! The programs, the kinds of calls and the rule for counting are those of the tests (`tests/src/recall`).
//! The tests hold each figure to its goal; this command prints all of them, and every missed call by name.

use std::fmt::Write as _;

use anyhow::{Context, Result, bail};
use glassbox_tests::recall::programs::{PROGRAMS, named};
use glassbox_tests::recall::trace::Origin;
use glassbox_tests::recall::{GOAL, Recall, Recalls, report, table};

use crate::bench::machine;
use crate::{glassbox, shell};

/// The page that `--write` writes.
const PAGE: &str = "docs/recall.md";

/// `cargo xtask recall [NAME…] [--write]`
pub fn run(arguments: &[String]) -> Result<()> {
    if arguments.iter().any(|argument| argument == "--list") {
        PROGRAMS.iter().for_each(|program| println!("{}", program.name));
        return Ok(());
    }
    let writes = arguments.iter().any(|argument| argument == "--write");
    let arguments: Vec<&String> = arguments.iter().filter(|argument| *argument != "--write").collect();
    if writes && !arguments.is_empty() {
        bail!("--write takes all programs: the page shows them all; leave the names out");
    }
    if let Some(unknown) = arguments.iter().find(|name| named(name).is_none()) {
        bail!("no program '{unknown}'; `cargo xtask recall --list` names them");
    }
    glassbox::build()?;
    let wanted = PROGRAMS
        .iter()
        .filter(|program| arguments.is_empty() || arguments.iter().any(|name| **name == program.name));
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
    if writes {
        std::fs::write(shell::root().join(PAGE), page(&all))
            .with_context(|| format!("cannot write {PAGE}"))?;
        println!("wrote {PAGE}");
    }
    Ok(())
}

/// The figures as a page.
fn page(all: &[(&str, Recalls)]) -> String {
    let mut page = format!("{HEAD}\n| machine | |\n|---|---|\n");
    for (name, value) in machine::describe() {
        let _ = writeln!(page, "| {name} | {value} |");
    }
    page.push_str("\n## Programs\n\n| program | reported | made | | loader | libc | early | sensor |\n|---|---|---|---|---|---|---|---|\n");
    for (program, recalls) in all {
        let sum = |of: fn(&Recall) -> usize| recalls.values().map(of).sum::<usize>();
        let (seen, made) = (sum(|recall| recall.seen), sum(|recall| recall.made));
        let aside = [Origin::Loader, Origin::Libc, Origin::Early, Origin::Sensor].map(|origin| {
            let calls = recalls.values().filter_map(|recall| recall.set_aside.get(&origin));
            calls.map(Vec::len).sum::<usize>().to_string()
        });
        let percent = if made == 0 { 100.0 } else { 100.0 * seen as f64 / made as f64 };
        let _ = writeln!(page, "| {program} | {seen} | {made} | {percent:.2} % | {} |", aside.join(" | "));
    }
    let _ = write!(
        page,
        "\n## Kinds\n\n`!` marks what is below {GOAL} %.\n\n```text\n{}```\n\n## Missed\n\n",
        table(all)
    );
    let missed: Vec<String> = all
        .iter()
        .flat_map(|(program, recalls)| {
            let calls = recalls
                .iter()
                .flat_map(|(event, recall)| recall.missed.iter().map(move |call| (event, call)));
            calls.map(move |(event, call)| format!("* {program}, `{event}`: {call}\n"))
        })
        .collect();
    page.push_str(if missed.is_empty() { "Nothing.\n" } else { "" });
    page.extend(missed);
    page
}

const HEAD: &str = "\
# What is reported of real programs

Written by `cargo xtask recall --write`; do not edit.

Each program runs once, under the sensor and under `strace -f` at the same time, so that every system call can be matched
with an event: the same process, the same path, address or descriptor, the same error. *made* counts the calls that the
application made, *reported* those of them that have an event. These figures leave out calls made by the *loader* (libraries and
its cache), by *libc* for itself in a function that has an event of its own or none (name service, locales, time zones), *early*
ones (constructors of libraries that run before the sensor's), and the *sensor*'s own. The rule is in `tests/src/recall/`, the
programs are in `tests/src/recall/programs.rs`.
";
