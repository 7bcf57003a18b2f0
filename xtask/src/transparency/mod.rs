//! `cargo xtask transparency`: runs real programs bare and under the sensor, and compares.
//!
//! Every case runs in a folder that is the same and fresh each time: twice bare, which shows the parts that
//! are the same in any two runs; then with the sensor dormant; then with a collector. The command compares
//! the exit status, the output, the files that the program left with their modes, and the state that `/proc`
//! showed in its last moment: descriptors, environment, signals, threads, limits, mapped files. The
//! comparison is that of the victims' tests (`glassbox_tests::{compare, last_moment}`).
//!
//! A difference is checked before it is reported: two more bare runs, and another one under the sensor. If it
//! remains, the case runs with an empty preloaded library; a difference that is there too is not the sensor's
//! doing. The collector judges by glassbox's own rules, and ordinary programs must not alert it ([`alerts`]).
//!
//! With `--notify` each case runs once bare and once below `glassbox run --notify`, or with `--through exec`
//! below `glassbox exec --notify`, beside a collector. The last moment would be the launcher's: no process is
//! traced then, and nothing is judged.

mod alerts;
mod cases;
mod coexistence;
mod page;
mod suites;

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use glassbox_tests::compare::{self, Expected, Parts};
use glassbox_tests::{Status, child, last_moment, victim};

use crate::glassbox::{self, Built, Collector};
use crate::{packages, shell};
use alerts::Alerts;

const USAGE: &str = "\
usage: cargo xtask transparency [NAME…] [--notify LEVEL [--through exec] | --list | --write]

  NAME…    only these cases, or the cases of these groups (without: programs, victims and coexistence)
  --notify LEVEL
           below 'glassbox run --notify LEVEL', which has the kernel ask about system calls
  --through exec
           below 'glassbox exec --notify LEVEL' instead, beside a collector
  --list   names the groups and their cases
  --write  writes docs/transparency.md of the last run of each case; runs nothing

GLASSBOX_TESTS_PAIR names a folder with another pair than the release build.";

/// The groups that run if none is named; the others take half an hour and more.
const USUAL: &[&str] = &["programs", "victims", "coexistence"];

/// The group of the few cases that `cargo xtask test` runs.
pub const QUICK: &str = "quick";

/// The longest note on a difference, in characters.
const LONGEST_NOTE: usize = 600;

/// A case: a program to run in each mode.
struct Case {
    group: &'static str,
    name: String,
    is_quick: bool,
    /// The programs that it needs, with their Debian packages.
    needs: Vec<(&'static str, &'static str)>,
    /// A shell script that runs bare before each run.
    prepare: String,
    /// The shell script that is compared.
    run: String,
    /// A shell script that runs bare after each run; its output is compared in place of everything else.
    verdict: Option<String>,
    /// Prefixes of names of files that are not compared.
    differs: Vec<String>,
    /// Whether it runs as the user nobody, if this command runs as root.
    is_unprivileged: bool,
    limit: Duration,
}

impl Case {
    fn new(group: &'static str, name: impl Into<String>, run: impl Into<String>) -> Case {
        Case {
            group,
            name: name.into(),
            is_quick: false,
            needs: Vec::new(),
            prepare: String::new(),
            run: run.into(),
            verdict: None,
            differs: Vec::new(),
            is_unprivileged: false,
            limit: Duration::from_secs(120),
        }
    }
}

/// Known differences, and where they are explained.
const KNOWN: &[(&str, &str)] = &[(
    "tsan",
    "ThreadSanitizer maps a file of its own for each read-only part of each library, and the sensor is one",
)];

/// Differences that `run --notify` makes, and why.
const KNOWN_BELOW: &[(&str, &str)] = &[
    ("process state", "/proc/PID/status says that there is a filter: Seccomp is 2"),
    (
        "job control",
        "a program of `glassbox run`, with or without a level, does not lead its process group: bash names the group",
    ),
    ("process_state", "the same"),
    ("security control", "prctl(PR_GET_SECCOMP) says that there is a filter"),
    (
        "ring_unmapped remove",
        "the collector of a run shares the program's stderr, and says there what became of its ring",
    ),
    ("seccomp_strict io", "below any filter the kernel refuses seccomp's strict mode, as in containers"),
    ("seccomp_strict open", "the same"),
    ("seccomp_strict getpid", "the same"),
];

/// The result of a case.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// Nothing differs, apart from so many lines that differ between bare runs.
    Same(usize),
    /// It differed once, and not in the check.
    Once(String),
    /// It differs under any preloaded library.
    AnyPreload(String),
    /// It differs for a known reason.
    Known(&'static str),
    /// It differs.
    Different(String),
    /// It could not be run.
    Absent(String),
}

/// The launcher that cases run below, and what it asks the kernel for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Below {
    /// The level of `--notify`.
    level: String,
    through: Through,
}

/// The command that starts a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Through {
    /// `glassbox run`, which collects by itself.
    Run,
    /// `glassbox exec`, beside a collector.
    Exec,
}

impl Below {
    /// Takes `--notify` and `--through` out of the arguments; gives the others too.
    fn taken_from(arguments: &[String]) -> Result<(Option<Below>, Vec<String>)> {
        let (mut level, mut through, mut names) = (None, Through::Run, Vec::new());
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--notify" => {
                    level = Some(words.next().context("--notify needs a level: exec, security or full")?);
                }
                "--through" => {
                    through = match words.next().map(String::as_str) {
                        Some("run") => Through::Run,
                        Some("exec") => Through::Exec,
                        _ => bail!("--through needs a command: run or exec"),
                    }
                }
                _ => names.push(word.clone()),
            }
        }
        if level.is_none() && through == Through::Exec {
            bail!("--through exec needs --notify LEVEL");
        }
        Ok((level.map(|level| Below { level: level.clone(), through }), names))
    }
}

/// The number of cases by result.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    /// Cases without a difference, or with one that is not the sensor's doing.
    pub same: u64,
    /// Cases with a difference whose reason is documented.
    pub known: u64,
    /// Cases with another difference.
    pub different: u64,
    /// Cases that could not be run.
    pub absent: u64,
    /// Alerts that nothing explains, a case and a rule each.
    pub alerts: u64,
}

/// `cargo xtask transparency [NAME…]`
pub fn run(arguments: &[String]) -> Result<()> {
    if arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        println!("{USAGE}");
        return Ok(());
    }
    if arguments.iter().any(|argument| argument == "--list") {
        let mut groups: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for case in all()? {
            groups.entry(case.group).or_default().push(case.name);
        }
        for (group, names) in groups {
            println!("{group}: {}", names.join(" | "));
        }
        return Ok(());
    }
    if arguments.iter().any(|argument| argument == "--write") {
        return page::write(&all()?);
    }
    let (below, names) = Below::taken_from(arguments)?;
    let built = match std::env::var_os("GLASSBOX_TESTS_PAIR").map(PathBuf::from) {
        Some(dir) => Built { cli: dir.join("glassbox"), sensor: dir.join("libglassbox.so") },
        None => glassbox::build()?,
    };
    let totals = compare_below(&built, &names, below)?;
    if totals.different > 0 || totals.alerts > 0 {
        bail!("{} differ, {} alerts without a reason", totals.different, totals.alerts);
    }
    Ok(())
}

/// Runs the cases and groups in `names`, and prints a line for each.
pub fn compare_all(built: &Built, names: &[String]) -> Result<Totals> {
    compare_below(built, names, None)
}

/// As [`compare_all`], or below a launcher with `--notify`.
fn compare_below(built: &Built, names: &[String], below: Option<Below>) -> Result<Totals> {
    let picked = pick(all()?, names)?;
    let mut stage = Stage::new(built, below)?;
    let mut totals = Totals::default();
    let mut outcomes = BTreeMap::new();
    let width = picked.iter().map(|case| case.name.chars().count()).max().unwrap_or(0).min(40);
    println!("{:width$}  same?      not compared", "program");
    for case in &picked {
        let verdict = stage.verdict(case)?;
        if !stage.collector.is_alive() {
            bail!("the collector ended while '{}' ran: nothing was compared with it", case.name);
        }
        let (word, unsteady, note) = match &verdict {
            Verdict::Same(unsteady) => ("same", *unsteady, ""),
            Verdict::Once(note) => ("same", 0, note.as_str()),
            Verdict::AnyPreload(note) => ("preload", 0, note.as_str()),
            Verdict::Known(note) => ("known", 0, *note),
            Verdict::Different(note) => ("different", 0, note.as_str()),
            Verdict::Absent(note) => ("absent", 0, note.as_str()),
        };
        match verdict {
            Verdict::Same(_) | Verdict::Once(_) | Verdict::AnyPreload(_) => totals.same += 1,
            Verdict::Known(_) => totals.known += 1,
            Verdict::Different(_) => totals.different += 1,
            Verdict::Absent(_) => totals.absent += 1,
        }
        let lines = if unsteady == 0 { String::new() } else { format!("{unsteady} lines") };
        let note: String = note.chars().take(LONGEST_NOTE).collect();
        let outcome = page::Outcome::new(word, stage.tests.take(), &note);
        page::record(&page::name_below(stage.below.as_ref(), &case.name), &outcome)?;
        outcomes.insert(case.name.clone(), outcome);
        println!("{:width$}  {word:9}  {lines:12} {note}", case.name);
        tell(stage.alerts.borrow_mut().take()?, &mut outcomes, &mut totals)?;
    }
    let (_folder, mut alerts) = stage.end()?;
    tell(alerts.take()?, &mut outcomes, &mut totals)?;
    let Totals { same, known, different, absent, alerts } = totals;
    println!(
        "{} programs: {same} same, {known} known, {different} different, {absent} absent; {} alerts, \
         {alerts} without a reason",
        picked.len(),
        outcomes.values().map(|outcome| outcome.alerts.len()).sum::<usize>(),
    );
    Ok(totals)
}

/// Prints and records alerts. One that was written late belongs to an earlier case.
fn tell(
    alerts: BTreeMap<String, alerts::OfCase>,
    outcomes: &mut BTreeMap<String, page::Outcome>,
    totals: &mut Totals,
) -> Result<()> {
    for (case, of_case) in alerts {
        for (rule, output) in of_case {
            let is_known = outcomes.get(&case).is_some_and(|outcome| outcome.alerts.contains(&rule));
            if is_known {
                continue;
            }
            let reason = alerts::reason(&case, &rule);
            totals.alerts += u64::from(reason.is_none());
            println!("  alert in {case}: {rule}: {}\n    {output}", reason.unwrap_or("NO REASON"));
            if let Some(outcome) = outcomes.get_mut(&case) {
                outcome.alerts.insert(rule);
                page::record(&case, outcome)?;
            }
        }
    }
    Ok(())
}

fn all() -> Result<Vec<Case>> {
    let mut cases = cases::programs();
    cases.extend(victims());
    cases.extend(coexistence::cases());
    cases.extend(suites::cpython());
    cases.extend(suites::stress_ng()?);
    cases.extend(suites::git());
    cases.extend(suites::redis());
    Ok(cases)
}

fn pick(all: Vec<Case>, names: &[String]) -> Result<Vec<Case>> {
    if let Some(unknown) = names.iter().find(|name| {
        *name != QUICK && !all.iter().any(|case| case.name == **name || case.group == name.as_str())
    }) {
        bail!("no case or group '{unknown}'; `cargo xtask transparency --list` names them");
    }
    let is_picked = |case: &Case| match names {
        [] => USUAL.contains(&case.group),
        names => names.iter().any(|name| {
            case.name == *name || case.group == name.as_str() || (name == QUICK && case.is_quick)
        }),
    };
    Ok(all.into_iter().filter(is_picked).collect())
}

/// The victims of `tests/programs`, each with all arguments that must go unnoticed.
fn victims() -> Vec<Case> {
    let mut cases = Vec::new();
    for name in victim::names() {
        // The source is only read here; the victim is compiled when it runs.
        let (runs, differs) = victim::directives(&name);
        for arguments in runs {
            let words = std::iter::once(&name).chain(&arguments);
            let words = words.map(String::as_str).collect::<Vec<&str>>().join(" ");
            let mut case =
                Case::new("victims", words, format!("exec {VICTIMS}/{name} {}", arguments.join(" ")));
            case.prepare = "mkdir open-to-all; chmod 777 open-to-all".to_owned();
            case.differs = differs.clone();
            case.needs = vec![("gcc", "gcc")];
            cases.push(case);
        }
    }
    cases
}

/// The mode of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Bare,
    /// Under an empty preloaded library.
    EmptyLibrary,
    /// With the sensor, and without a collector.
    Dormant,
    /// With the sensor and a collector.
    Collected,
    /// Below a launcher with `--notify`.
    Notified,
}

/// The place where cases run: the pair, a collector, and the folder, all readable for every user.
struct Stage {
    dir: tempfile::TempDir,
    pair: Built,
    collector: Collector,
    alerts: RefCell<Alerts>,
    empty_library: OnceCell<PathBuf>,
    /// The number of lines of the last verdict; each is the verdict of one test.
    tests: Cell<usize>,
    /// The launcher, and the level of its `--notify`.
    below: Option<Below>,
}

/// The file of the alerts, in the folder of the cases.
const ALERTS: &str = "alerts";

/// Stands in a script for the folder of the compiled victim.
const VICTIMS: &str = "@VICTIM@";

impl Stage {
    fn new(built: &Built, below: Option<Below>) -> Result<Stage> {
        // Not under target/: postgres and the user nobody must be able to reach it, and paths of sockets must
        // be short.
        let folder = tempfile::Builder::new().prefix("glassbox-transparency-").tempdir();
        let folder = folder.context("cannot make a folder for the cases")?;
        let dir = folder.path();
        let pair = Built { cli: dir.join("glassbox"), sensor: dir.join("libglassbox.so") };
        for (from, to) in [(&built.cli, &pair.cli), (&built.sensor, &pair.sensor)] {
            fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
        }
        fs::set_permissions(dir, Permissions::from_mode(0o755))?;
        let alerts = Alerts::in_file(dir.join(ALERTS));
        let mut outputs = vec!["recording:/dev/null".to_owned()];
        // Without that output the collector judges nothing.
        match below {
            Some(_) => fs::write(dir.join(ALERTS), "")?,
            None => outputs.push(alerts.output()),
        }
        let collector = Collector::start(&pair, &outputs)?;
        Ok(Stage {
            dir: folder,
            pair,
            collector,
            alerts: RefCell::new(alerts),
            empty_library: OnceCell::new(),
            tests: Cell::new(0),
            below,
        })
    }

    /// Ends the collector, which writes every alert.
    fn end(self) -> Result<(tempfile::TempDir, Alerts)> {
        self.collector.stop()?;
        Ok((self.dir, self.alerts.into_inner()))
    }

    fn verdict(&self, case: &Case) -> Result<Verdict> {
        if let Some(why) = missing(&case.needs) {
            return Ok(Verdict::Absent(why));
        }
        let mut bare = Vec::new();
        // A verdict is the same in any bare run, or is checked again below; and suites take long.
        let (times, modes): (usize, &[Mode]) = match case.verdict {
            _ if self.below.is_some() => (2, &[Mode::Notified]),
            Some(_) => (1, &[Mode::Collected]),
            None => (2, &[Mode::Dormant, Mode::Collected]),
        };
        let times = if case.verdict.is_some() { 1 } else { times };
        for _ in 0..times {
            match self.play(case, Mode::Bare)? {
                Ok(parts) => bare.push(parts),
                Err(why) => return Ok(Verdict::Absent(format!("does not run bare: {why}"))),
            }
        }
        let mut expected = Expected::of(&bare);
        let mut once = None;
        for &mode in modes {
            let Some(first) = self.difference(case, mode, &expected)? else { continue };
            for _ in 0..2 {
                bare.extend(self.play(case, Mode::Bare)?);
            }
            expected = Expected::of(&bare);
            let Some(again) = self.difference(case, mode, &expected)? else {
                once = Some(format!("but once, {mode:?}: {first}"));
                continue;
            };
            let as_any = self.difference(case, Mode::EmptyLibrary, &expected)?;
            if as_any.as_ref() == Some(&again) {
                return Ok(Verdict::AnyPreload(again));
            }
            let below: &[_] = if self.below.is_some() { KNOWN_BELOW } else { &[] };
            let known = KNOWN.iter().chain(below).find(|(name, _)| *name == case.name);
            return Ok(match known {
                Some((_, why)) => Verdict::Known(why),
                None => Verdict::Different(format!("{mode:?}: {again}")),
            });
        }
        Ok(once.map_or(Verdict::Same(expected.unsteady()), Verdict::Once))
    }

    /// The differences of a run in `mode`, joined to one sentence.
    fn difference(&self, case: &Case, mode: Mode, expected: &Expected) -> Result<Option<String>> {
        let differences = match self.play(case, mode)? {
            Ok(parts) => expected.differences(&parts),
            Err(why) => vec![why],
        };
        Ok((!differences.is_empty()).then(|| differences.join("; ")))
    }

    /// Makes one run, in an empty folder; gives the parts that it left, or why it did not end.
    fn play(&self, case: &Case, mode: Mode) -> Result<Result<Parts, String>> {
        let work = self.dir.path().join("work");
        if work.exists() {
            fs::remove_dir_all(&work).with_context(|| format!("cannot empty {}", work.display()))?;
        }
        fs::create_dir(&work)?;
        fs::set_permissions(&work, Permissions::from_mode(0o777))?;
        let prepared = self.shell(case, &case.prepare).output().context("cannot start a shell")?;
        if !prepared.status.success() {
            let said = String::from_utf8_lossy(&prepared.stderr).trim().to_owned();
            return Ok(Err(format!("preparing ended with {}: {said}", prepared.status)));
        }
        let mut command = self.shell(case, &case.run);
        match mode {
            Mode::Bare => {}
            Mode::EmptyLibrary => preload(&mut command, self.empty_library()),
            Mode::Dormant => {
                preload(&mut command, &self.pair.sensor);
                command.env("GLASSBOX_SOCKET", self.dir.path().join("nobody.sock"));
            }
            Mode::Collected => {
                preload(&mut command, &self.pair.sensor);
                command.env("GLASSBOX_SOCKET", self.collector.socket());
            }
            Mode::Notified => {
                let below = self.below.as_ref().context("no level to run below")?;
                command = self.notified(&command, below);
            }
        }
        let run = || match self.below {
            // Bare too: LeakSanitizer, for one, says that it cannot work in a traced process.
            Some(_) => Ok((child::start(command, b"").finish_within(case.limit)?, Parts::new())),
            None => last_moment::run(command, b"", case.limit),
        };
        let ran = match mode {
            Mode::Collected => self.alerts.borrow_mut().during(&case.name, run),
            _ => run(),
        };
        let (mut ending, moment) = match ran {
            Ok(left) => left,
            Err(why) => return Ok(Err(why)),
        };
        if self.below.is_some() {
            // The launcher gives the status as a shell does.
            ending.status = Status::Exited(ending.status.as_shell_code());
        }
        let mut parts = compare::ending_parts(&ending);
        match &case.verdict {
            Some(verdict) => {
                let said = self.shell(case, verdict).output().context("cannot start a shell")?;
                parts.retain(|name, _| name == "status");
                let said = String::from_utf8_lossy(&said.stdout).into_owned();
                self.tests.set(said.lines().count());
                parts.insert("verdict".to_owned(), said);
            }
            None => {
                let (mut files, modes) = compare::files(&work);
                files.retain(|name, _| !case.differs.iter().any(|start| name.starts_with(start)));
                parts.extend(compare::file_parts(&files, &modes));
                parts.extend(moment);
            }
        }
        Ok(Ok(parts))
    }

    /// The command below its launcher.
    fn notified(&self, command: &Command, below: &Below) -> Command {
        let mut launcher = Command::new(&self.pair.cli);
        launcher.env_clear();
        launcher.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        match below.through {
            Through::Run => launcher.args(["run", "-o", "recording:/dev/null"]),
            Through::Exec => launcher.arg("exec").env("GLASSBOX_SOCKET", self.collector.socket()),
        };
        launcher.args(["--require-notify", "--notify", &below.level, "--"]);
        launcher.arg(command.get_program()).args(command.get_args());
        launcher.current_dir(self.dir.path().join("work")).stdin(std::process::Stdio::null());
        launcher
    }

    /// A shell with the environment that every run has.
    fn shell(&self, case: &Case, script: &str) -> Command {
        let mut script = script.to_owned();
        if case.group == "victims" {
            let name = case.name.split(' ').next().unwrap_or_default();
            if let Some(dir) = victim::victim(name).path.parent() {
                script = script.replace(VICTIMS, &dir.display().to_string());
            }
        }
        let mut command = if case.is_unprivileged && is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "/bin/sh", "-c"]);
            command
        } else {
            let mut command = Command::new("/bin/sh");
            command.arg("-c");
            command
        };
        let work = self.dir.path().join("work");
        command.arg(script).env_clear().current_dir(&work).stdin(std::process::Stdio::null());
        command.env("PATH", path()).env("HOME", &work).env("LANG", "C").env("TMPDIR", &work);
        command
    }

    fn empty_library(&self) -> &Path {
        self.empty_library.get_or_init(|| {
            let copy = self.dir.path().join("libempty.so");
            // If the copy fails, the loader's message says so in the comparison.
            drop(fs::copy(victim::empty_library(), &copy));
            copy
        })
    }
}

fn preload(command: &mut Command, library: &Path) {
    command.env("LD_PRELOAD", library);
}

fn path() -> String {
    // The toolchain's own folder, if `cargo` is not a launcher that needs a home.
    let cargo = std::env::var_os("CARGO").map(PathBuf::from);
    let toolchain = cargo.as_deref().and_then(Path::parent).map(|dir| format!("{}:", dir.display()));
    format!("{}/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", toolchain.unwrap_or_default())
}

fn is_root() -> bool {
    // SAFETY: geteuid(2) takes nothing and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// Stands in place of a package: the program is the name of a source package, which is fetched and built.
const FROM_SOURCE: &str = "(source)";

/// Installs the programs that are missing; gives those that cannot be installed.
fn missing(needs: &[(&'static str, &'static str)]) -> Option<String> {
    for (program, package) in needs {
        let is_there = || match (program.starts_with('/'), *package) {
            (_, FROM_SOURCE) => suites::is_built(program),
            (true, _) => Path::new(program).exists(),
            (false, _) => shell::which(program).is_some(),
        };
        if !is_there() {
            let tried = match *package {
                FROM_SOURCE => suites::build(program),
                package => packages::install(&[package.to_owned()]).map(drop),
            };
            if !is_there() {
                return Some(match tried {
                    Ok(()) => format!("package {package} brings no {program}"),
                    Err(error) => format!("{error:#}"),
                });
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_case_is_there_twice_and_some_are_quick() {
        let mut names: Vec<String> = cases::programs().into_iter().map(|case| case.name).collect();
        names.sort();
        let count = names.len();
        names.dedup();

        assert_eq!(count, names.len());
        assert!(cases::programs().iter().filter(|case| case.is_quick).count() >= 10);
    }

    #[test]
    fn cases_run_below_the_named_launcher() {
        let taken = |line: &str| {
            Below::taken_from(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
                .map(|(below, names)| (below.map(|below| (below.level, below.through)), names))
        };
        let names = vec!["git".to_owned(), "ls".to_owned()];

        assert_eq!((None, names.clone()), taken("git ls").unwrap());
        assert_eq!(
            (Some(("full".to_owned(), Through::Run)), names.clone()),
            taken("git --notify full ls").unwrap()
        );
        assert_eq!(
            (Some(("security".to_owned(), Through::Exec)), names),
            taken("--through exec git --notify security ls").unwrap()
        );
        for refused in ["--notify", "--notify full --through", "--notify full --through it", "--through exec"]
        {
            assert!(taken(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn an_unknown_name_is_refused_by_name() {
        let error = pick(cases::programs(), &["no-such".to_owned()]).err().unwrap();

        assert!(error.to_string().contains("'no-such'"), "{error}");
    }

    #[test]
    fn a_group_a_case_and_the_quick_ones_can_be_asked_for() {
        let count = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            pick(cases::programs(), &names).unwrap().len()
        };

        assert_eq!(1, count(&["ls"]));
        assert_eq!(cases::programs().len(), count(&["programs"]));
        assert!(count(&["quick"]) < count(&[]));
    }
}
