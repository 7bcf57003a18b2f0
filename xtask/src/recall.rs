//! `cargo xtask recall`: how many of the calls that programs make are reported, measured against strace.
//!
//! For each pair of a call and its event it compares the fields, at every place: beside the collector, in
//! namespaces below it, and in a container. It fails if a field differs for no documented reason.
//!
//! The programs, the kinds of calls and the rule for counting are those of the tests (`tests/src/recall`).
//! The tests hold each figure to its goal; this command prints all of them, and every missed call by name.

mod below;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context, Result, bail};
use glassbox_tests::recall::check::Fields;
use glassbox_tests::recall::ebpf::{self, Sides};
use glassbox_tests::recall::places::PLACES;
use glassbox_tests::recall::programs::{PROGRAMS, named};
use glassbox_tests::recall::trace::Origin;
use glassbox_tests::recall::{GOAL, Recall, Recalls, report, table};
use glassbox_tests::scene::caught;
use glassbox_tests::unseen::INSTALLED;

use crate::bench::machine;
use crate::{glassbox, packages, shell};

/// The page that `--write` writes.
const PAGE: &str = "docs/recall.md";

/// How often a program runs at most.
const MOST_RUNS: usize = 3;

/// The figures of a place: each program's.
struct Place {
    name: &'static str,
    what: &'static str,
    recalls: Vec<(&'static str, Recalls)>,
    fields: Vec<(&'static str, Fields)>,
}

/// Builds the pair, unless GLASSBOX_TESTS_PAIR names another one.
fn build() -> Result<()> {
    if std::env::var_os("GLASSBOX_TESTS_PAIR").is_none() {
        glassbox::build()?;
    }
    Ok(())
}

/// `cargo xtask recall [NAME…] [--at PLACE | --ebpf | --notify] [--write]`
pub fn run(arguments: &[String]) -> Result<()> {
    if arguments.iter().any(|argument| argument == "--list") {
        PROGRAMS.iter().for_each(|program| println!("{}", program.name));
        PLACES.iter().for_each(|(_, name, what)| println!("--at {name}: {what}"));
        return Ok(());
    }
    let mut names: Vec<&String> = Vec::new();
    let (mut at, mut writes, mut is_ebpf, mut is_below) = (None, false, false, false);
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--write" => writes = true,
            "--ebpf" => is_ebpf = true,
            "--notify" => is_below = true,
            "--at" => at = words.next(),
            _ => names.push(word),
        }
    }
    if writes && !(names.is_empty() && at.is_none()) {
        bail!("--write takes all programs at all places: the page shows them all; leave the names out");
    }
    if is_ebpf {
        return beside_ebpf(&names, writes);
    }
    if is_below {
        return below::run(&names, writes);
    }
    if let Some(unknown) = names.iter().find(|name| named(name).is_none()) {
        bail!("no program '{unknown}'; `cargo xtask recall --list` names them");
    }
    if let Some(unknown) = at.filter(|at| PLACES.iter().all(|(_, name, _)| name != at)) {
        bail!("no place '{unknown}'; `cargo xtask recall --list` names them");
    }
    build()?;
    let mut places = Vec::new();
    let mut failed = Vec::new();
    for (place, name, what) in PLACES.into_iter().filter(|(_, name, _)| at.is_none_or(|at| at == name)) {
        println!("── {name} ── {what}");
        let mut measured = Place { name, what, recalls: Vec::new(), fields: Vec::new() };
        for program in PROGRAMS
            .iter()
            .filter(|program| names.is_empty() || names.iter().any(|name| **name == program.name))
        {
            // On a busy machine strace may hold a program up until its events break a promise.
            let measured_once = || program.measure(place).inspect_err(|why| eprintln!("{why}"));
            match (1..MOST_RUNS).find_map(|_| measured_once().ok()).map_or_else(measured_once, Ok) {
                Ok((recalls, fields)) => {
                    print!("{}{}", report(program.name, &recalls), fields.report());
                    if !fields.differing.is_empty() {
                        failed.push(format!("{} {name}", program.name));
                    }
                    measured.recalls.push((program.name, recalls));
                    measured.fields.push((program.name, fields));
                }
                Err(_) => failed.push(format!("{} {name}", program.name)),
            }
        }
        places.push(measured);
    }

    for place in &places {
        println!("\n{}: reported / made by the application; ! marks what is below {GOAL} %\n", place.name);
        println!("{}\n{}", table(&place.recalls), fields_table(place));
    }
    if !failed.is_empty() {
        bail!("{} did not run, or have undocumented differences: {}", failed.len(), failed.join(", "));
    }
    if writes {
        std::fs::write(shell::root().join(PAGE), page(&places))
            .with_context(|| format!("cannot write {PAGE}"))?;
        println!("wrote {PAGE}; the same with `--notify` and with `--ebpf` adds its part");
    }
    Ok(())
}

/// The heading of the part of the page that `--ebpf --write` writes.
const EBPF: &str = "\n## Beside eBPF\n";

/// The most that eBPF alone may see, in percent.
const MOST_ALONE: f64 = 0.1;

/// `cargo xtask recall --ebpf [NAME…] [--write]`
fn beside_ebpf(names: &[&String], writes: bool) -> Result<()> {
    let is_wanted = |name: &str| names.is_empty() || names.iter().any(|wanted| *wanted == name);
    packages::install(&["bpftrace".to_owned()])?;
    if let Some(why) = ebpf::missing() {
        bail!("cannot compare with eBPF: {why}");
    }
    let known = PROGRAMS.iter().map(|program| program.name);
    let unseen = ebpf::unseen_programs().map(|program| program.name);
    let known: Vec<&str> = known.chain(unseen).chain(["static-musl"]).collect();
    if let Some(unknown) = names.iter().find(|name| !known.contains(&name.as_str())) {
        bail!("no program '{unknown}'; these are there: {}", known.join(" "));
    }
    packages::unpack_busybox()?;
    packages::install_rust_target(glassbox_tests::unseen::RUST_TARGET)?;
    build()?;
    let (mut all, mut failed) = (Vec::new(), Vec::new());
    let mut one = |name: &'static str, measure: &dyn Fn() -> Result<Sides, String>| {
        if !is_wanted(name) {
            return;
        }
        let mut result = Err(String::new());
        let panic = caught(|| result = measure());
        match panic.map_or(result, Err) {
            Ok(sides) => {
                println!("{name}: {} {} {}", sides.both, sides.ours.len(), sides.theirs.len());
                sides.theirs.iter().for_each(|call| println!("  by eBPF alone: {call}"));
                all.push((name, sides));
            }
            Err(why) => {
                eprintln!("{name}: {why}");
                failed.push(name);
            }
        }
    };
    for program in PROGRAMS {
        one(program.name, &|| ebpf::of_program(program));
    }
    for program in ebpf::unseen_programs() {
        // One of the others has that name too.
        let name = if program.name == "musl" { "static-musl" } else { program.name };
        one(name, &|| ebpf::of_unseen(program));
    }
    let text = sides_table(&all);
    println!("\n{text}");
    if !failed.is_empty() {
        bail!("{} did not run: {}", failed.len(), failed.join(", "));
    }
    if writes && names.is_empty() {
        write_part(EBPF, &format!("{EBPF_HEAD}\n{text}"))?;
    }
    let sum = sum(all.iter().filter(|(name, _)| is_of_goal(name)));
    if sum.percent() > MOST_ALONE {
        bail!("eBPF alone saw {:.2} %, and may see {MOST_ALONE} %", sum.percent());
    }
    Ok(())
}

/// Writes a part of the page in the place of the one with this heading, or behind the others.
fn write_part(heading: &str, text: &str) -> Result<()> {
    let path = shell::root().join(PAGE);
    let page = std::fs::read_to_string(&path).with_context(|| format!("cannot read {PAGE}"))?;
    std::fs::write(&path, with_part(&page, heading, text)).with_context(|| format!("cannot write {PAGE}"))?;
    println!("wrote {PAGE}");
    Ok(())
}

fn with_part(page: &str, heading: &str, text: &str) -> String {
    let (before, old) = page.split_once(heading).unwrap_or((page, ""));
    let after = old.find("\n## ").and_then(|at| old.get(at..)).unwrap_or_default();
    format!("{before}{heading}{text}{after}")
}

/// Whether a program counts for [`MOST_ALONE`]: those that recall is measured with, and Go's.
fn is_of_goal(name: &str) -> bool {
    name.starts_with("go-") || name == INSTALLED.name || named(name).is_some()
}

fn sum<'a>(all: impl Iterator<Item = &'a (&'static str, Sides)>) -> Sides {
    let mut sum = Sides::default();
    all.for_each(|(_, sides)| sum.add(sides));
    sum
}

fn sides_table(all: &[(&'static str, Sides)]) -> String {
    let mut text = "| program | by both | by us alone | by eBPF alone | | set aside | lost by bpftrace |\n\
                    |---|--:|--:|--:|--:|--:|--:|\n"
        .to_owned();
    let of_goal = sum(all.iter().filter(|(name, _)| is_of_goal(name)));
    let sums = [("the seventeen and Go's", &of_goal), ("all", &sum(all.iter()))];
    for (name, sides) in all.iter().map(|(name, sides)| (*name, sides)).chain(sums) {
        let Sides { both, ours, theirs, aside, lost } = sides;
        let (ours, theirs, percent) = (ours.len(), theirs.len(), sides.percent());
        let _ = writeln!(text, "| {name} | {both} | {ours} | {theirs} | {percent:.2} % | {aside} | {lost} |");
    }
    text.push_str("\nBy eBPF alone:\n\n");
    let mut calls: BTreeMap<String, usize> = BTreeMap::new();
    for (name, sides) in all {
        for call in &sides.theirs {
            // `pid 7 ` differs from run to run.
            let what = call.split_once("pid ").and_then(|(event, rest)| {
                let (_, rest) = rest.split_once(' ')?;
                Some(format!("{event}{rest}"))
            });
            *calls.entry(format!("{name}: {}", placeless(what.as_deref().unwrap_or(call)))).or_default() += 1;
        }
    }
    for (call, count) in &calls {
        let _ = writeln!(text, "* {count} × {call}");
    }
    text.push_str(if calls.is_empty() { "Nothing.\n" } else { "" });
    text
}

/// A text without the names of this run's temporary folders, and of this repository's.
fn placeless(text: &str) -> String {
    let mut result = String::new();
    let text = text.replace(&format!("{}/", shell::root().display()), "");
    let mut rest = text.as_str();
    while let Some((before, behind)) = rest.split_once("/tmp/gbx-") {
        result.push_str(before);
        result.push_str("WORK");
        rest = behind.trim_start_matches(|character: char| character.is_ascii_alphanumeric());
    }
    result + rest
}

/// The compared fields of a place's programs.
fn fields_table(place: &Place) -> String {
    let mut text = "| program | fields | equal | | documented | differing | durations | within 1 ms | longest by |\n|---|---|---|---|---|---|---|---|---|\n".to_owned();
    let mut all = Fields::default();
    place.fields.iter().for_each(|(_, fields)| all.add(fields));
    for (program, fields) in place.fields.iter().map(|(name, fields)| (*name, fields)).chain([("all", &all)])
    {
        let (compared, equal) = (fields.compared(), fields.equal());
        let percent = if compared == 0 { 100.0 } else { 100.0 * equal as f64 / compared as f64 };
        let near = fields.durations.iter().filter(|difference| difference.abs() <= 1_000_000).count();
        let most = fields.durations.iter().map(|difference| difference.abs()).max().unwrap_or(0) / 1000;
        let _ = writeln!(
            text,
            "| {program} | {compared} | {equal} | {percent:.2} % | {} | {} | {} | {near} | {most} µs |",
            fields.documented(),
            fields.differing.len(),
            fields.durations.len()
        );
    }
    text
}

/// The figures as a page.
fn page(places: &[Place]) -> String {
    let mut page = format!("{HEAD}\n| machine | |\n|---|---|\n");
    for (name, value) in machine::describe() {
        let _ = writeln!(page, "| {name} | {value} |");
    }
    page.push_str(FIELDS);
    let mut all = Fields::default();
    for place in places {
        place.fields.iter().for_each(|(_, fields)| all.add(fields));
        let _ = write!(page, "\n### {}: {}\n\n{}", place.name, place.what, fields_table(place));
    }
    page.push_str("\n### Documented differences\n\n| fields | why | for example |\n|---|---|---|\n");
    for (why, (count, one)) in &all.documented {
        let _ = writeln!(page, "| {count} | {why} | {} |", placeless(one).replace('|', "\\|"));
    }
    page.push_str("\n### Equal fields\n\n| event | fields, and how often they were equal |\n|---|---|\n");
    let mut events: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for ((event, field), count) in &all.equal {
        events.entry(event).or_default().push(format!("`{field}` {count}"));
    }
    for (event, fields) in events {
        let _ = writeln!(page, "| `{event}` | {} |", fields.join(", "));
    }
    for place in places {
        calls(&mut page, place);
    }
    page
}

/// The figures of the calls of a place.
fn calls(page: &mut String, place: &Place) {
    let Place { name, what, recalls: all, .. } = place;
    let _ = write!(
        page,
        "\n## Calls, {name}: {what}\n\n| program | reported | made | | loader | libc | early | sensor |\n|---|---|---|---|---|---|---|---|\n"
    );
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
    let _ = write!(page, "\n`!` marks what is below {GOAL} %.\n\n```text\n{}```\n\nMissed:\n\n", table(all));
    let missed: Vec<String> = all
        .iter()
        .flat_map(|(program, recalls)| {
            let calls = recalls
                .iter()
                .flat_map(|(event, recall)| recall.missed.iter().map(move |call| (event, call)));
            calls.map(move |(event, call)| format!("* {program}, `{event}`: {}\n", placeless(call)))
        })
        .collect();
    page.push_str(if missed.is_empty() { "Nothing.\n" } else { "" });
    page.extend(missed);
}

const HEAD: &str = "\
# What is reported of real programs

Written by `cargo xtask recall --write`; do not edit.

Each program runs once at each of three places, under the sensor and under `strace -f` at the same time, so that every system
call can be matched with an event: the same process, the same path, address or descriptor, the same error. The collector and
strace are outside of the namespaces and of the container, whose processes have their outer numbers in both. *made* counts the
calls that the application made, *reported* those of them that have an event. These figures leave out calls made by the *loader*
(libraries and its cache), by *libc* for itself in a function that has an event of its own or none (name service, locales, time
zones), *early* ones (constructors of libraries that run before the sensor's), and the *sensor*'s own. The rule is in
`tests/src/recall/`, the programs are in `tests/src/recall/programs.rs`.
";

const EBPF_HEAD: &str = "
Written by `cargo xtask recall --ebpf --write`. Each program runs below `glassbox run --notify security`, and bpftrace follows the
same processes at the same time: it reads the registers, and the strings that they point to, at the end of each call. Calls are
matched with events as in the comparison with strace: by process, and path, address or number. *set aside* are calls of the loader,
of libc for itself and of the sensor. What bpftrace says that it lost, and paths that it could not read, is on no side. Of the
programs that hooks can't see, the calls of level `security` count. The goal is 0.1 % for the seventeen programs and Go's; the
other ones that hooks can't see are beside them. *By us alone* is told where libc makes no call of its own for
what the program asked (such as a fork that `system` reports beside its exec), or none that the tracer asks about.
";

const FIELDS: &str = "
## Fields

For each reported call, the fields of the event that strace says too: paths (behind dirfds and descriptors by `strace -yy`, and
relative to the directory that it prints), flags, permissions, returned values, errno, addresses, descriptors, argument vectors,
directories, numbers of processes and threads, and times. A field that neither has is not counted. A difference is *documented*
if a row of the table in `tests/src/recall/check.rs` explains it; any other one makes the command fail.

`time` is equal where the event's clock was read at most 1 ms from the call's return (for events recorded before the call: from
its begin), by strace's clock. strace is slow, and the processors are shared, so a thread may go on later than that. Then the order is
compared: the event's time lies between the call's return and the thread's next call that strace saw, or the two differ. `time` of
`process.start` is not before the exec returned; strace sees nothing that it could be compared with more closely.

*Durations* of processes are from the last exec to the end, or without an exec from the fork, except for children of system and popen
without one: these are reported once the function returns. strace and the collector both learn of an end when the kernel wakes them, so
the difference has the waiting of both. One of more than 1 ms is documented if the end lies behind the process's last call, and
differing otherwise: so lateness by itself fails nothing, and the table shows it. Times that files and sockets were open are not compared.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_page_takes_its_own_place() {
        let page = "# a\n\n## b\n\nold\n\n## c\n\nkept\n";

        assert_eq!("# a\n\n## b\nnew\n\n## c\n\nkept\n", with_part(page, "\n## b\n", "new\n"));
        assert_eq!(format!("{page}\n## d\nnew\n"), with_part(page, "\n## d\n", "new\n"));
    }
}
