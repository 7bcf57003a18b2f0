//! `cargo xtask gen-docs [--check]`: writes the documents that are tables of the code.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use wire::schema::{EVENTS, Source};

use crate::shell;

/// Writes the documents, or with `--check` names those that are stale.
pub fn run(arguments: &[String]) -> Result<()> {
    let is_check = match arguments {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => bail!("usage: cargo xtask gen-docs [--check]"),
    };
    let docs = shell::root().join("docs");
    let mut stale = Vec::new();
    let falco = glassbox_tests::falco::page();
    let pages = [
        ("events.md", events()),
        ("hooks.md", hooks()),
        ("fields.md", fields()?),
        ("falco.md", falco),
        ("glassbox.schema.json", schema()?),
    ];
    for (name, text) in pages {
        let file = docs.join(name);
        let found = std::fs::read_to_string(&file).unwrap_or_default();
        if found == text {
            println!("   fresh  docs/{name}");
        } else if is_check {
            println!("   STALE  docs/{name}");
            stale.push(format!("docs/{name}"));
        } else {
            write(&file, &text)?;
            println!("   wrote  docs/{name}");
        }
    }
    if !stale.is_empty() {
        bail!("{} differ from the tables they are made from; run: cargo xtask gen-docs", stale.join(", "));
    }
    Ok(())
}

fn write(file: &PathBuf, text: &str) -> Result<()> {
    std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

const EVENTS_HEAD: &str = "\
# Events

Written by `cargo xtask gen-docs` from the `events!` table in `wire/src/events.rs`; do not edit.

One event is one line of `-o jsonl`. A field that does not apply, or whose value is not known, is left out.
A byte of a string that is not valid UTF-8 is written as `\\xNN`. Times are RFC 3339 in UTC, durations
nanoseconds, sizes bytes. Paths are absolute, without `.` and `..`; `path_raw` is what the caller
passed, where that differs. `..` behind a symbolic link leads where the kernel went; where that could not be
asked any more, it goes by the text, and `path_lexical` (of `new_path`: `new_path_lexical`) is true. [contract.md](contract.md) says which events and fields other tools may rely on.

## Fields of every event

| field | type | meaning |
|---|---|---|
| `time` | string | the time when the call returned; for events recorded before the call, when it was made |
| `event` | string | the event's name, `noun.verb`, below |
| `call` | string | the C function or system call; absent if the event is not a call |
| `pid`, `tid`, `ppid` | number | process, thread and parent, numbered as in the collector's pid namespace, and so are `child` and `target`; a process that has no number there, or was gone before the collector could ask for it, is numbered as in its own, with `pid_ns`. In a pid namespace below the collector's, a `tid`, `child` or `target` that was gone by then is absent |
| `pid_ns` | number | the inode of the pid namespace that these belong to, if it is not the collector's: two containers may both have a pid 1 |
| `mnt_ns` | number | the inode of the mount namespace that the process's paths belong to, if it is not the collector's, by the kernel's word: that of its first thread, from its hello, its `unshare` or its `setns` on. Absent also where it is not known: the process was gone, or may not be looked at (ptrace(2)) |
| `exe` | path | the running image, as its own root shows it: by the kernel's word, or where the process ran another program or none by the time it was asked, by its own (`claimed`); that of a removed file, or of one in memory (`/memfd:name`), without a mark |
| `claimed` | list of names | the fields of this event that only the process itself says; absent if there are none |
| `uid`, `euid` | number | real and effective user, as the collector's user namespace counts |
| `uid_inside` | number | the real user as the process's own user namespace counts, where that is another number: 65534 (`/proc/sys/kernel/overflowuid`) for one without a number there. The collector translates by the map that the kernel shows (`/proc/PID/uid_map`), when it asks for the namespace. Absent also where it is not known: the process was gone, or has no number in the collector's pid namespace, or may not be looked at (ptrace(2)) |
| `container` | object | the container of the process, as far as it is known: `id`, and in an ECS task `name`; on `process.start` and `process.exit` also `image`, `image_id`, `arn`, `task` (its ARN), `family` and `revision` of the task definition, `cluster` ([which container](operations.md#fargate-which-container)) |
| `seq` | number | the sensor's number: from 0 for each image, without gaps; absent on events that the collector makes |
| `via` | name | the mechanism that saw it: `symbol`, `got`, `inline`, `notify` |
| `ret` | number | the returned value; absent if the call did not return |
| `error` | name | errno of a failed call |
| `request_id` | string | the invocation that was being served; in AWS Lambda only |
";

fn events() -> String {
    let mut text = EVENTS_HEAD.to_owned();
    text += "\n## All events\n\n";
    for event in EVENTS {
        let anchor = event.name.replace('.', "");
        let _ = writeln!(text, "- [`{}`](#{anchor}): {}", event.name, first_sentence(event.doc));
    }
    for event in EVENTS {
        let _ = write!(text, "\n### `{}`\n\n{}\n", event.name, prose(event.doc));
        if event.fields().next().is_some() {
            text += "\n| field | type | from | meaning |\n|---|---|---|---|\n";
        }
        for field in event.fields() {
            let from = match field.source {
                Source::Sensor => "sensor",
                Source::Collector => "collector",
            };
            let _ = writeln!(text, "| `{}` | {} | {from} | {} |", field.name(), field.shows, cell(field.doc));
        }
    }
    text
}

/// The fields of rules, which the collector itself lists.
fn fields() -> Result<String> {
    let list = ["run", "--quiet", "--package", "glassbox", "--", "fields", "--markdown"];
    shell::output(&mut shell::cargo(list))
}

/// The schema of configuration files, which the collector itself writes.
fn schema() -> Result<String> {
    let list = ["run", "--quiet", "--package", "glassbox", "--", "config", "schema"];
    shell::output(&mut shell::cargo(list))
}

const HOOKS_HEAD: &str = "\
# Hooks

Written by `cargo xtask gen-docs` from the declarations in `hooks/*.rs`; do not edit.

*Call* is what events show as `call`; *symbols* are the names that the sensor exports. A row without an
event is only counted or tracked. *Arguments told* are those that its events say, or that are kept for later
events (a descriptor's flags, its bytes), in brackets how far; behind *not* stand those that no event says.
*How* says how the wrapper replaces the function:

- `after`: calls the real function, then reports
- `timed`: as `after`; the clock is read before the call, too
- `instead`: calls the real function itself, at the right moment
- `after_alone`, `timed_alone`, `instead_alone`: the same in code of the wrapper's own, which is faster, and
  takes more than six arguments
- `own`: calls another function in its place (`execve` for `execv`)
- `jump`: reports, then jumps to the real function, so that it sees its true caller
- `answer`: as `jump`, but may return a value instead
- `list`: takes an unbounded argument list apart (the `execl` family)
- `vfork`: returns twice
";

fn hooks() -> String {
    let rows: usize = hook_table::rows().filter(|row| !row.symbols.is_empty()).count();
    let symbols = hook_table::symbols().count();
    let mut text = format!("{HOOKS_HEAD}\n{rows} functions under {symbols} symbols.\n");
    for family in hook_table::FAMILIES {
        let _ = write!(
            text,
            "\n## `hooks/{}.rs`\n\n| function | call | symbols | how | events | arguments told | |\n",
            family.name
        );
        text += "|---|---|---|---|---|---|---|\n";
        for row in family.rows {
            let code = |names: &mut dyn Iterator<Item = &str>| {
                names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
            };
            let symbols = code(&mut row.symbols.iter().copied());
            let events = code(&mut row.events.iter().map(|event| event.name()));
            let _ = writeln!(
                text,
                "| `{}` | `{}` | {symbols} | {} | {events} | {} | {} |",
                row.name,
                row.call,
                row.phase,
                arguments(row),
                cell(row.doc)
            );
        }
    }
    text
}

/// The arguments that a row tells, and those that it does not.
fn arguments(row: &hook_table::Row) -> String {
    let told = row.told.iter().map(|(name, how)| match *how {
        "" => (*name).to_owned(),
        how => format!("{name} ({how})"),
    });
    let told = told.collect::<Vec<_>>().join(", ");
    let is_told = |name: &&&str| row.told.iter().any(|(told, _)| told == *name);
    let untold = row.arguments.iter().filter(|name| !is_told(name)).copied().collect::<Vec<_>>().join(", ");
    match (told.is_empty(), untold.is_empty()) {
        (_, true) => told,
        (true, false) => format!("not: {untold}"),
        (false, false) => format!("{told}; not: {untold}"),
    }
}

fn prose(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join("\n")
}

/// Documentation as one table cell.
fn cell(lines: &[&str]) -> String {
    prose(lines).replace('\n', " ").replace('|', "\\|")
}

fn first_sentence(lines: &[&str]) -> String {
    let text = cell(lines);
    let end = text.find(". ").unwrap_or_else(|| text.trim_end_matches('.').len());
    text.get(..end).unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_of_the_table_has_a_section() {
        let text = events();

        for event in EVENTS {
            assert!(text.contains(&format!("### `{}`", event.name)), "{}", event.name);
        }
    }

    #[test]
    fn every_symbol_stands_in_the_hook_document() {
        let text = hooks();

        assert!(hook_table::symbols().next().is_some(), "an empty table");
        for symbol in hook_table::symbols() {
            assert!(text.contains(&format!("`{symbol}`")), "{symbol}");
        }
    }

    #[test]
    fn a_cell_is_one_line_without_bars() {
        assert_eq!("a b \\| c", cell(&[" a", " b | c"]));
    }

    #[test]
    fn the_first_sentence_ends_before_its_stop() {
        assert_eq!("One thing", first_sentence(&[" One thing. And another."]));
        assert_eq!("One thing", first_sentence(&[" One thing."]));
    }
}
