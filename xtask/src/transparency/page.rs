//! Writes `docs/transparency.md`, from a record of the last result of each case.
//!
//! All groups together run for hours, so each run adds its lines to a file below `target/`. `--write` puts
//! the last line of every case into a file of the repository, which another machine can continue, and shows
//! them on the page.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::{Below, Case, Through, alerts};
use crate::bench::machine;
use crate::shell;

/// The page that `--write` writes.
pub const PAGE: &str = "docs/transparency.md";

/// The record: a line for each case, its name first.
const RECORD: &str = "docs/transparency.tsv";

/// Groups, and what they are.
const GROUPS: &[(&str, &str)] = &[
    ("programs", "real programs; outputs, status, files, last moment"),
    ("coexistence", "other preloaded libraries, sanitizers, profilers; as above"),
    ("victims", "the programs of tests/programs; as above"),
    ("cpython", "CPython 3.11's own tests, from Debian's package; each test's verdict"),
    ("git tests", "git's own tests, built from Debian's source; each test's verdict"),
    ("redis tests", "redis' own tests, built from Debian's source; each test's verdict"),
    ("stress-ng", "every stressor for ordinary users, two seconds with --verify; status and complaints"),
];

/// Programs of the cases, and how they print their versions, beyond those that every page names.
const VERSIONS: &[(&str, &str)] = &[
    ("bash", "--version"),
    ("perl", "-eprint $^V"),
    ("ruby", "--version"),
    ("php", "--version"),
    ("make", "--version"),
    ("ssh", "-V"),
    ("tar", "--version"),
    ("rsync", "--version"),
    ("sqlite3", "--version"),
    ("redis-server", "--version"),
    ("psql", "--version"),
    ("chromium", "--version"),
    ("stress-ng", "--version"),
];

/// Stands in the record for a run that was judged without an alert.
const NONE: &str = "-";

/// The result of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// One word: `same`, `preload`, `known`, `different` or `absent`.
    pub word: String,
    /// The number of verdicts of its own tests that were compared; 0 if it has no tests.
    pub tests: usize,
    /// The reason, if there is one.
    pub note: String,
    /// The own rules that alerted.
    pub alerts: BTreeSet<String>,
    /// Whether they judged the run: older lines of the record do not have it.
    is_judged: bool,
    date: String,
}

impl Outcome {
    /// A result of today.
    pub fn new(word: &str, tests: usize, note: &str) -> Outcome {
        let date = shell::first_line("date", &["-u", "+%Y-%m-%d"]).unwrap_or_default();
        let note = note.replace(['\t', '\n'], " ");
        Outcome { word: word.to_owned(), tests, note, alerts: BTreeSet::new(), is_judged: true, date }
    }

    fn line(&self, case: &str) -> String {
        let Outcome { word, tests, note, alerts, is_judged, date } = self;
        let none = is_judged.then_some(NONE).filter(|_| alerts.is_empty());
        let alerts: Vec<&str> = alerts.iter().map(String::as_str).chain(none).collect();
        format!("{case}\t{word}\t{tests}\t{date}\t{note}\t{}\n", alerts.join("; "))
    }

    fn parse(line: &str) -> Option<(String, Outcome)> {
        let [case, word, tests, date, note, alerts] = line.split('\t').collect::<Vec<_>>()[..] else {
            return None;
        };
        let [word, date, note] = [word, date, note].map(str::to_owned);
        let is_judged = !alerts.is_empty();
        let alerts = alerts.split("; ").filter(|rule| !["", NONE].contains(rule)).map(str::to_owned);
        let (alerts, tests) = (alerts.collect(), tests.parse().ok()?);
        Some((case.to_owned(), Outcome { word, tests, note, alerts, is_judged, date }))
    }
}

/// The name under which the result of a case is recorded.
pub fn name_below(below: Option<&Below>, case: &str) -> String {
    match below {
        None => case.to_owned(),
        Some(Below { level, through: Through::Run }) => format!("--notify {level} {case}"),
        Some(Below { level, through: Through::Exec }) => format!("exec --notify {level} {case}"),
    }
}

/// Adds a result to the record.
pub fn record(case: &str, outcome: &Outcome) -> Result<()> {
    let file = file();
    let mut open = OpenOptions::new()
        .append(true)
        .create(true)
        .open(&file)
        .with_context(|| format!("cannot open {}", file.display()))?;
    // In one write, so that concurrent runs do not mix their lines.
    open.write_all(outcome.line(case).as_bytes()).with_context(|| format!("cannot write {}", file.display()))
}

/// Writes the page from the record, for the cases that exist.
pub fn write(cases: &[Case]) -> Result<()> {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let text = read(shell::root().join(RECORD)) + &read(file());
    let last: BTreeMap<String, Outcome> = text.lines().filter_map(Outcome::parse).collect();
    let lines: String = last.iter().map(|(case, outcome)| outcome.line(case)).collect();
    fs::write(shell::root().join(RECORD), lines).with_context(|| format!("cannot write {RECORD}"))?;
    let names: Vec<(&str, &str)> = cases.iter().map(|case| (case.group, case.name.as_str())).collect();
    fs::write(shell::root().join(PAGE), page(&names, &last))
        .with_context(|| format!("cannot write {PAGE}"))?;
    println!("wrote {PAGE}");
    Ok(())
}

fn file() -> PathBuf {
    shell::target().join("transparency.tsv")
}

fn page(cases: &[(&str, &str)], last: &BTreeMap<String, Outcome>) -> String {
    let mut page = format!("{HEAD}\n| machine | |\n|---|---|\n");
    // The table says when the cases ran.
    let of_the_machine =
        |(name, _): &(String, String)| !["commit", "date", "bpftrace", "LTTng"].contains(&name.as_str());
    let versions = VERSIONS
        .iter()
        .filter_map(|(program, ask)| Some(((*program).to_owned(), shell::first_line(program, &[ask])?)));
    for (name, value) in machine::describe().into_iter().filter(of_the_machine).chain(versions) {
        let _ = writeln!(page, "| {name} | {value} |");
    }
    page.push_str(
        "\n| group | what; what is compared | cases | tests | same | preload | known | different | absent | not run | date |\n\
         |---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    let mut details = String::new();
    for (group, what) in GROUPS {
        let of_group: Vec<(&str, Option<&Outcome>)> =
            cases.iter().filter(|(of, _)| of == group).map(|(_, name)| (*name, last.get(*name))).collect();
        let ran = || of_group.iter().filter_map(|(name, outcome)| Some((*name, (*outcome)?)));
        let count = |word| ran().filter(|(_, outcome)| outcome.word == word).count();
        let tests: usize = ran().map(|(_, outcome)| outcome.tests).sum();
        let mut dates: Vec<&str> = ran().map(|(_, outcome)| outcome.date.as_str()).collect();
        dates.sort_unstable();
        dates.dedup();
        let _ = write!(page, "| {group} | {what} | {} | {tests} ", of_group.len());
        for word in ["same", "preload", "known", "different", "absent"] {
            let _ = write!(page, "| {} ", count(word));
        }
        let not_run = of_group.len() - ran().count();
        let _ = writeln!(page, "| {not_run} | {} |", dates.join(", "));
        let _ = write!(details, "\n## {group}\n\nSame: {}.\n", same(ran()));
        let mut others = ran().filter(|(_, outcome)| outcome.word != "same").peekable();
        if others.peek().is_some() {
            details.push_str("\n| case | | why |\n|---|---|---|\n");
        }
        for (name, Outcome { word, note, .. }) in others {
            let _ = writeln!(details, "| {name} | {word} | {} |", note.replace('|', "\\|"));
        }
    }
    let below = [(Through::Run, BELOW), (Through::Exec, BELOW_EXEC)];
    let below: String = below.map(|(through, head)| below_of(cases, last, through, head)).concat();
    page + &alerts_of(cases, last) + &below + &details
}

/// The level that programs ran below.
const LEVEL: &str = "security";

/// What became of the cases below a launcher with `--notify`.
fn below_of(
    cases: &[(&str, &str)],
    last: &BTreeMap<String, Outcome>,
    through: Through,
    head: &str,
) -> String {
    let below = Below { level: LEVEL.to_owned(), through };
    let mut text = format!(
        "\n{head}\n\
         | group | ran | tests | same | preload | known | different | absent | date |\n\
         |---|---|---|---|---|---|---|---|---|\n"
    );
    let mut others = String::new();
    for (group, _) in GROUPS {
        let ran: Vec<(&str, &Outcome)> = cases
            .iter()
            .filter(|(of, _)| of == group)
            .filter_map(|(_, name)| Some((*name, last.get(&name_below(Some(&below), name))?)))
            .collect();
        let Some(date) = ran.iter().map(|(_, outcome)| &outcome.date).max() else { continue };
        let tests: usize = ran.iter().map(|(_, outcome)| outcome.tests).sum();
        let of_group = cases.iter().filter(|(of, _)| of == group).count();
        let _ = write!(text, "| {group} | {} of {of_group} | {tests} ", ran.len());
        for word in ["same", "preload", "known", "different", "absent"] {
            let _ = write!(text, "| {} ", ran.iter().filter(|(_, outcome)| outcome.word == word).count());
        }
        let _ = writeln!(text, "| {date} |");
        for (name, Outcome { word, note, .. }) in ran.iter().filter(|(_, outcome)| outcome.word != "same") {
            let _ = writeln!(others, "| {name} | {word} | {} |", note.replace('|', "\\|"));
        }
    }
    if !text.ends_with(" |\n") {
        // None ran.
        return String::new();
    }
    if !others.is_empty() {
        let _ = write!(text, "\n| case | | why |\n|---|---|---|\n{others}");
    }
    text
}

const BELOW: &str = "\
## Below `--notify security`

Each case ran bare, and below `glassbox run --notify security --require-notify` by root, who needs no `no_new_privs`. The state in
`/proc` is the launcher's and is not compared. A program that installs a listener of its own gets EBUSY.
";

const BELOW_EXEC: &str = "\
## Below `exec --notify security`

The same below `glassbox exec --notify security --require-notify`, which sends what the kernel asks about to a `glassbox collect`
beside it.
";

/// The alerts of the own rules, and why each is right.
fn alerts_of(cases: &[(&str, &str)], last: &BTreeMap<String, Outcome>) -> String {
    let ran: Vec<(&str, &str, &Outcome)> =
        cases.iter().filter_map(|(group, name)| Some((*group, *name, last.get(*name)?))).collect();
    let mut text =
        "\n## Alerts of glassbox's own rules\n\n| group | judged cases | alerts |\n|---|---|---|\n"
            .to_owned();
    for (group, _) in GROUPS {
        let of_group = || ran.iter().filter(|(of, _, outcome)| of == group && outcome.is_judged);
        let alerts: usize = of_group().map(|(.., outcome)| outcome.alerts.len()).sum();
        let _ = writeln!(text, "| {group} | {} | {alerts} |", of_group().count());
    }
    text.push_str("\n| case | rule | why it is right |\n|---|---|---|\n");
    for (_, name, outcome) in &ran {
        for rule in &outcome.alerts {
            let _ = writeln!(
                text,
                "| {name} | {rule} | {} |",
                alerts::reason(name, rule).unwrap_or("**no reason**")
            );
        }
    }
    text
}

/// The names of the cases without a difference, with the number of their tests.
fn same<'a>(ran: impl Iterator<Item = (&'a str, &'a Outcome)>) -> String {
    let names: Vec<String> = ran
        .filter(|(_, outcome)| outcome.word == "same")
        .map(|(name, outcome)| match outcome.tests {
            0 => name.to_owned(),
            tests => format!("{name} ({tests})"),
        })
        .collect();
    if names.is_empty() { "none".to_owned() } else { names.join("; ") }
}

const HEAD: &str = "\
# Real programs, bare and under the sensor

Written by `cargo xtask transparency --write`; do not edit.

Every case runs three times, in a fresh folder each time: bare, with the sensor but no collector, and with the sensor and a
collector. *Compared* are its exit status, its output, the files that it left with their modes, and its state in `/proc` in its
*last moment*: descriptors, environment, signals, threads, limits, mapped files; for test suites, the verdict of each test. Lines
that differ between bare runs are not compared.

*same*: nothing differs. *preload*: it differs as much under a preloaded library that does nothing. *known*: it differs, for the
reason given. *different*: it differs. *absent*: it could not be run here. *not run*: no run is on record.

The collector judges by glassbox's own rules meanwhile. A rule counts once for a case.
";

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(word: &str, tests: usize, note: &str) -> Outcome {
        let [word, note] = [word, note].map(str::to_owned);
        let alerts = BTreeSet::from(["a rule".to_owned()]);
        Outcome { word, tests, note, alerts, is_judged: true, date: "2026-01-02".to_owned() }
    }

    #[test]
    fn an_outcome_is_read_as_it_was_recorded() {
        let known = outcome("known", 7, "for a reason");

        let line = known.line("a case, bash");

        assert_eq!(Some(("a case, bash".to_owned(), known)), Outcome::parse(line.trim_end()));
        let silent = Outcome::new("same", 0, "");
        assert_eq!(Some(("a".to_owned(), silent.clone())), Outcome::parse(silent.line("a").trim_end()));
        assert!(!Outcome::parse("a\tsame\t0\t2026-01-02\t\t").unwrap().1.is_judged);
    }

    #[test]
    fn the_page_counts_cases_by_word_and_says_why() {
        let cases = [("cpython", "test_os"), ("cpython", "test_io"), ("cpython", "test_pty")];
        let last = [("test_os", outcome("same", 300, "")), ("test_io", outcome("known", 5, "a | b"))];

        let page = page(&cases, &last.map(|(name, outcome)| (name.to_owned(), outcome)).into());

        assert!(page.contains("| 3 | 305 | 1 | 0 | 1 | 0 | 0 | 1 | 2026-01-02 |\n"), "{page}");
        assert!(page.contains("\n## cpython\n\nSame: test_os (300).\n"), "{page}");
        assert!(page.contains("| test_io | known | a \\| b |\n"), "{page}");
        assert!(page.contains("\n| cpython | 2 | 2 |\n"), "{page}");
        assert!(page.contains("\n| test_io | a rule | **no reason** |\n"), "{page}");
    }
}
