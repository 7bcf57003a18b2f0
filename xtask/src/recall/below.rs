//! `cargo xtask recall --notify`: what `glassbox run --notify security` tells of programs that hooks can't
//! see, with strace's word as the truth: those of `tests/programs/unseen/`, and Go programs of other makers.

use std::fmt::Write as _;

use anyhow::{Result, bail};
use glassbox_tests::recall::GOAL;
use glassbox_tests::unseen::real::{From, REAL};
use glassbox_tests::unseen::{Compared, Level, PROGRAMS, Program, RUST_TARGET, compare_with_strace};

use super::{MOST_RUNS, placeless, write_part};
use crate::packages;

/// The heading of the part of the page.
const PART: &str = "\n## Below `--notify security`\n";

const HEAD: &str = "
Written by `cargo xtask recall --notify --write`. Each program runs below `glassbox run --notify security`, and `strace -f` follows
both at the same time. *made* counts the calls of that level that the program and all that it starts made, but for an accept that
found nothing and the signals that Go's runtime sends to its own threads; *reported* those that have an event: the same process,
and path, address or number. A start is reported by `sensor.blind` too. *extra* are events without a call. A run in which events were lost, which `sensor.loss` counts, is
repeated. The programs of the first table are in `tests/programs/unseen/`, those of the second one are real ones, each doing what it
is made for (`tests/src/unseen/real.rs`). What passes by design: a call at a place in its page where libc has the same call of its own
(`static-pie`), an accept that finds its connection after our look, and libc's calls in a dynamic program that was executed without
`LD_PRELOAD`, which its `sensor.blind` says (`runc init`, and podman's `conmon`).
";

/// How a program's comparison ended.
enum Outcome {
    Done(Compared),
    /// It could not be had here.
    Skipped(String),
}

/// `cargo xtask recall --notify [NAME…] [--write]`
pub fn run(names: &[&String], writes: bool) -> Result<()> {
    let is_wanted = |name: &str| names.is_empty() || names.iter().any(|wanted| *wanted == name);
    let known: Vec<&str> =
        PROGRAMS.iter().chain(REAL.iter().map(|real| &real.program)).map(|it| it.name).collect();
    if let Some(unknown) = names.iter().find(|name| !known.contains(&name.as_str())) {
        bail!("no program '{unknown}'; these are there: {}", known.join(" "));
    }
    packages::unpack_busybox()?;
    packages::install_rust_target(RUST_TARGET)?;
    super::build()?;
    let mut failed = Vec::new();
    let mut measured = |program: &Program, from: Option<From>| {
        let outcome = match from.map(get) {
            Some(Err(error)) => Outcome::Skipped(format!("{error:#}")),
            None | Some(Ok(())) => {
                let mut lost_each_time = true;
                let mut compare = || {
                    let compared = compare_with_strace(program, Level::Security);
                    compared.inspect_err(|why| {
                        eprintln!("{}: {why}", program.name);
                        lost_each_time &= why.contains("sensor.loss");
                    })
                };
                match (0..MOST_RUNS).find_map(|_| compare().ok()) {
                    Some(compared) => Outcome::Done(compared),
                    None if lost_each_time => Outcome::Skipped(format!(
                        "events were lost, and counted, in each of {MOST_RUNS} runs"
                    )),
                    None => {
                        failed.push(program.name);
                        return None;
                    }
                }
            }
        };
        match &outcome {
            Outcome::Done(compared) => print!("{}", compared.report(program.name)),
            Outcome::Skipped(why) => println!("{}: skipped: {why}", program.name),
        }
        Some((program.name, outcome))
    };
    let own: Vec<_> =
        PROGRAMS.iter().filter(|it| is_wanted(it.name)).filter_map(|it| measured(it, None)).collect();
    let real = REAL.iter().filter(|it| is_wanted(it.program.name));
    let real: Vec<_> = real.filter_map(|it| measured(&it.program, Some(it.from))).collect();
    let text = [table(&own), table(&real), missed(own.iter().chain(&real))].join("\n");
    println!("\n{text}");
    if !failed.is_empty() {
        bail!("{} did not run: {}", failed.len(), failed.join(", "));
    }
    if writes && names.is_empty() {
        write_part(PART, &format!("{HEAD}\n{text}"))?;
    }
    Ok(())
}

/// Installs or unpacks a program.
fn get(from: From) -> Result<()> {
    match from {
        From::Debian(packages) => {
            let packages: Vec<String> = packages.iter().map(|&name| name.to_owned()).collect();
            packages::install(&packages).map(drop)
        }
        From::PyPi(package, version, file) => packages::unpack_wheel(package, version, file).map(drop),
    }
}

fn table(all: &[(&str, Outcome)]) -> String {
    let mut text = "| program | reported | made | | extra |\n|---|--:|--:|--:|--:|\n".to_owned();
    let mut sum = Compared::default();
    for (name, outcome) in all {
        match outcome {
            Outcome::Done(compared) => {
                row(&mut text, name, compared);
                sum.made += compared.made;
                sum.seen += compared.seen;
                sum.extra.extend_from_slice(&compared.extra);
            }
            Outcome::Skipped(why) => {
                let _ = writeln!(text, "| {name} | skipped: {} | | | |", why.replace('|', "\\|"));
            }
        }
    }
    row(&mut text, "all", &sum);
    text
}

fn row(text: &mut String, name: &str, compared: &Compared) {
    let Compared { seen, made, extra, .. } = compared;
    let mark = if compared.percent() < GOAL { " !" } else { "" };
    let _ =
        writeln!(text, "| {name} | {seen} | {made} | {:.2} %{mark} | {} |", compared.percent(), extra.len());
}

fn missed<'a>(all: impl Iterator<Item = &'a (&'static str, Outcome)>) -> String {
    let mut text = format!("`!` marks what is below {GOAL} %. Missed, and extra:\n\n");
    let before = text.len();
    for (name, outcome) in all {
        let Outcome::Done(Compared { missed, extra, .. }) = outcome else { continue };
        for (what, calls) in [("missed", missed), ("extra", extra)] {
            for call in calls {
                let _ = writeln!(text, "* {name}, {what}: {}", placeless(call));
            }
        }
    }
    if text.len() == before {
        text.push_str("Nothing.\n");
    }
    text
}
