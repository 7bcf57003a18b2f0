//! `cargo xtask test`: everything that must hold before a change lands, from a clean clone.
//!
//! Each step's whole output goes to `target/xtask/test/STEP.log`. The terminal shows the progress, and the
//! output of failed tests, once when they fail and once more at the end. A failed step does not stop the
//! others, unless they need it. A test that fails beside others is tried once more alone: if it then passes,
//! it is reported as flaky and not as failed. The last line counts the tests of all runners.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::transparency::Totals;
use crate::{
    arm64, attack, check_so, circles, citations, fuzz, gen_docs, glassbox, packages, page, pictures, process,
    shell, toolchain, transparency, unsafes, width,
};

/// Debian's packages that this file's own steps need; the tests' are in `tests/packages.txt`.
const PACKAGES: [&str; 4] = ["gcc", "g++", "libc6-dev", "binutils"];

/// The version that `deny.toml` is written for.
const CARGO_DENY: &str = "cargo-deny@0.20.2";

/// The time limit of a step; a step that hangs is killed with all its children. The longest one takes half of
/// it on two processors.
const LIMIT: Duration = Duration::from_secs(30 * 60);

/// A step, by its name.
struct Step {
    name: &'static str,
    what: &'static str,
    run: fn(&mut Log) -> Result<Verdict>,
}

/// The result of a step that did not fail.
#[derive(Debug)]
enum Verdict {
    Passed(String),
    Skipped(String),
}

const STEPS: &[Step] = &[
    Step { name: "packages", what: "what the tests need is installed", run: install },
    Step { name: "fmt", what: "the code is formatted, and comments are no wider", run: format },
    Step { name: "circles", what: "no two files need each other", run: circles },
    Step { name: "unsafe", what: "unsafe code by crate is what docs/unsafe.md says", run: count_unsafe },
    Step { name: "clippy", what: "no warning from clippy", run: clippy },
    Step { name: "deny", what: "dependencies: bans, licences, sources", run: deny },
    Step { name: "inline", what: "the engine for `run --inline` type-checks", run: inline },
    Step { name: "build", what: "release build", run: build },
    Step { name: "check-so", what: "what the sensor's file promises", run: check_sensor },
    Step { name: "docs", what: "generated documents are fresh, cited ones exist", run: docs },
    Step { name: "tests", what: "unit, model and integration tests of all crates", run: tests },
    Step { name: "page", what: "the page of -o html: its logic, and in a browser; the pictures", run: page },
    Step { name: "attack", what: "hostile peers beside a bystander", run: attacks },
    Step { name: "transparency", what: "a few real programs, bare and under the sensor", run: transparency },
    Step { name: "loom", what: "the ring under every interleaving", run: loom },
    Step { name: "asan", what: "the ring under the address sanitizer", run: asan },
    Step { name: "tsan", what: "the ring under the thread sanitizer", run: tsan },
    Step { name: "aarch64", what: "the pair compiles for aarch64", run: aarch64 },
    Step { name: "arm64", what: "the sensor for aarch64, under qemu", run: arm64 },
    Step { name: "fuzz", what: "hostile bytes for every parser, and for the pipeline", run: fuzz_all },
];

/// Steps that take minutes, and run only if they are named.
const ONLY_BY_NAME: [&str; 1] = ["arm64"];

/// `cargo xtask test [STEP…]`
pub fn run(arguments: &[String]) -> Result<()> {
    // `--arm64` is the step `arm64`.
    let step = |argument: &String| argument.strip_prefix("--").unwrap_or(argument).to_owned();
    let arguments: Vec<String> = arguments.iter().map(step).collect();
    if arguments.iter().any(|argument| argument == "list") {
        for step in STEPS {
            println!("{:10} {}", step.name, step.what);
        }
        return Ok(());
    }
    if let Some(unknown) = arguments.iter().find(|name| !STEPS.iter().any(|step| step.name == **name)) {
        bail!("no step '{unknown}'; `cargo xtask test --list` names them");
    }
    let dir = shell::scratch("test")?;
    let started = Instant::now();
    let mut totals = Counts::default();
    let mut summary = Vec::new();
    let mut reports = Vec::new();
    for step in STEPS {
        let is_wanted = match arguments.as_slice() {
            [] => !ONLY_BY_NAME.contains(&step.name),
            names => names.iter().any(|name| name == step.name),
        };
        if !is_wanted {
            continue;
        }
        println!("── {} ── {}", step.name, step.what);
        let before = Instant::now();
        let path = dir.join(format!("{}.log", step.name));
        let mut log = Log::create(path)?;
        let verdict = (step.run)(&mut log);
        let seconds = before.elapsed().as_secs_f64();
        totals.add(log.counts);
        let (word, note) = match verdict {
            Ok(Verdict::Passed(note)) => ("ok", note),
            Ok(Verdict::Skipped(why)) => ("skipped", why),
            Err(error) => {
                // A failed step without a failed test counts as one failure.
                if log.counts.failed == 0 {
                    totals.failed += 1;
                }
                let report = format!("{} failed: {error:#}\n{}", step.name, log.what_failed());
                print!("{report}");
                reports.push(report);
                ("FAILED", format!("{error:#}"))
            }
        };
        println!("   {word}  {note}  ({seconds:.1} s)\n");
        summary.push((step.name, word, seconds, log.counts, note));
    }

    println!("{:10} {:8} {:>8} {:>7} {:>7}", "step", "", "seconds", "passed", "failed");
    for (name, word, seconds, counts, note) in &summary {
        let (passed, failed) = match counts {
            Counts { passed: 0, failed: 0, .. } => (String::new(), String::new()),
            counts => (counts.passed.to_string(), counts.failed.to_string()),
        };
        let note = note.lines().next().unwrap_or_default();
        println!("{name:10} {word:8} {seconds:8.1} {passed:>7} {failed:>7}  {note}");
    }
    println!("{:10} {:8} {:8.1}\n", "all", "", started.elapsed().as_secs_f64());
    for report in &reports {
        println!("{report}");
    }
    println!("{} passed, {} failed, {} flaky", totals.passed, totals.failed, totals.flaky);
    if totals.failed > 0 {
        bail!("{} failed; the logs are in {}", totals.failed, dir.display());
    }
    Ok(())
}

/// The number of tests that a runner reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    passed: u64,
    failed: u64,
    /// Tests that failed beside others and passed alone; counted among `passed`.
    flaky: u64,
}

impl Counts {
    fn add(&mut self, other: Counts) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.flaky += other.flaky;
    }

    /// Reads libtest's closing line: `test result: ok. 12 passed; 0 failed; 1 ignored; …`.
    fn of_line(line: &str) -> Option<Counts> {
        let (_, rest) = line.split_once("test result: ")?.1.split_once(". ")?;
        let number = |name: &str| {
            let part = rest.split(';').map(str::trim).find_map(|part| part.strip_suffix(name))?;
            part.trim().parse().ok()
        };
        Some(Counts { passed: number("passed")?, failed: number("failed")?, flaky: 0 })
    }
}

/// A step's log, and the counts of its runners.
struct Log {
    file: File,
    path: PathBuf,
    counts: Counts,
    /// The output of each failed test.
    failures: Vec<Failure>,
    /// Cargo's arguments for each test target that failed: `-p glassbox-tests --test hooks_exec`.
    failed_targets: Vec<String>,
    /// Whether the next lines belong to the last of `failures`.
    is_in_failure: bool,
}

/// A test that failed.
struct Failure {
    test: String,
    output: Vec<String>,
}

impl Log {
    fn create(path: PathBuf) -> Result<Log> {
        let file = File::create(&path)?;
        let counts = Counts::default();
        Ok(Log { file, path, counts, failures: Vec::new(), failed_targets: Vec::new(), is_in_failure: false })
    }

    /// Runs a command into the log, and shows progress.
    fn run(&mut self, command: &mut Command) -> Result<()> {
        let line = shell::line(command);
        println!("   $ {line}");
        writeln!(self.file, "$ {line}")?;
        // A process group of its own, so that a step that hangs can be killed with all its children.
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot start {line}"))?;
        let (line_tx, line_rx) = mpsc::channel();
        let streams: [Option<Box<dyn std::io::Read + Send>>; 2] =
            [child.stdout.take().map(|s| Box::new(s) as _), child.stderr.take().map(|s| Box::new(s) as _)];
        for stream in streams.into_iter().flatten() {
            let line_tx = line_tx.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                    if line_tx.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                        return;
                    }
                }
            });
        }
        drop(line_tx);

        let deadline = Instant::now() + LIMIT;
        let mut status = None;
        loop {
            match line_rx.recv_timeout(Duration::from_millis(200)) {
                Ok(line) => self.line(&line)?,
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    // A stray grandchild may keep the pipes open: only the command's own end counts.
                    status = child.try_wait()?;
                    if status.is_some() {
                        break;
                    }
                    if Instant::now() > deadline {
                        process::signal_group(&child, libc::SIGKILL);
                        child.wait()?;
                        bail!("{line} was killed after {} minutes", LIMIT.as_secs() / 60);
                    }
                }
            }
        }
        let status = match status {
            Some(status) => status,
            None => child.wait()?,
        };
        if !status.success() {
            bail!("{line} ended with {status}");
        }
        Ok(())
    }

    fn line(&mut self, line: &str) -> Result<()> {
        writeln!(self.file, "{line}")?;
        if let Some(counts) = Counts::of_line(line) {
            self.counts.add(counts);
        }
        self.note_failure(line);
        let is_news =
            ["     Running ", "   Doc-tests ", "test result: "].iter().any(|start| line.starts_with(start))
                || (line.starts_with("test ") && line.ends_with("FAILED"));
        if is_news && !line.starts_with("test result: ok. 0 passed") {
            println!("   {}", line.trim());
        }
        Ok(())
    }

    /// Reads how libtest and cargo report failures: `---- NAME stdout ----`, the test's output, `failures:`,
    /// names, …, ``    `-p PACKAGE --test NAME` ``.
    fn note_failure(&mut self, line: &str) {
        if let Some(test) = line.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" stdout ----")) {
            self.failures.push(Failure { test: test.to_owned(), output: Vec::new() });
            self.is_in_failure = true;
        } else if line == "failures:" || line.starts_with("test result: ") {
            self.is_in_failure = false;
        } else if let Some(target) = line.strip_prefix("    `-p ").and_then(|rest| rest.strip_suffix('`')) {
            self.failed_targets.push(format!("-p {target}"));
        } else if let Some(failure) = self.failures.last_mut().filter(|_| self.is_in_failure) {
            failure.output.push(line.to_owned());
        }
    }

    /// The output of the failed tests; for a step without tests, the end of its log.
    fn what_failed(&self) -> String {
        let indented = |lines: &[&str]| lines.iter().map(|line| format!("   | {line}\n")).collect::<String>();
        if !self.failures.is_empty() {
            let of_one = |failure: &Failure| {
                let lines: Vec<&str> = failure.output.iter().map(String::as_str).collect();
                format!("   {}\n{}", failure.test, indented(ends(&lines, 24).as_slice()))
            };
            return self.failures.iter().map(of_one).collect();
        }
        let text = fs::read(&self.path).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let last = lines.get(lines.len().saturating_sub(40)..).unwrap_or_default();
        format!("   the end of {}:\n{}", self.path.display(), indented(last))
    }

    /// Tries the failed tests once more, alone, and counts those that pass as flaky.
    fn try_failed_again(&mut self) -> Result<()> {
        let first = std::mem::take(&mut self.failures);
        let targets = std::mem::take(&mut self.failed_targets);
        let before = self.counts;
        // A target may fail without a failed test: by a crash, or because it does not build.
        if first.is_empty() || targets.is_empty() || before.failed != first.len() as u64 {
            self.failures = first;
            bail!("{} targets failed: {}", targets.len(), targets.join(", "));
        }
        println!("   once more, alone:");
        let mut result = Ok(());
        for target in &targets {
            let mut command = shell::cargo(["test"]);
            command.args(target.split(' '));
            if target.starts_with("-p glassbox ") {
                command.args(glassbox::FEATURES);
            }
            command.args(["--", "--exact", "--test-threads=1"]);
            command.args(first.iter().map(|failure| &failure.test));
            if let Err(error) = self.run(&mut command) {
                result = Err(error);
            }
        }
        let again = self.counts;
        let passed = again.passed - before.passed;
        self.counts =
            Counts { passed: again.passed, failed: before.failed.saturating_sub(passed), flaky: passed };
        for failure in first {
            let is_failed = self.failures.iter().any(|again| again.test == failure.test);
            println!(
                "   {}: {}",
                if is_failed { "failed twice" } else { "flaky, passed alone" },
                failure.test
            );
            for line in failure.output.iter().take(if is_failed { 0 } else { 24 }) {
                println!("   | {line}");
            }
        }
        if self.counts.failed > 0 && result.is_ok() {
            bail!("{} tests failed, and could not be tried again", self.counts.failed);
        }
        result
    }
}

/// The first and the last lines of many.
fn ends<'a>(lines: &[&'a str], most: usize) -> Vec<&'a str> {
    match lines.len().checked_sub(most) {
        None | Some(0) => lines.to_vec(),
        Some(left_out) => {
            let (first, last) = (lines.iter().take(most / 2), lines.iter().skip(most / 2 + left_out));
            first.copied().chain(["…"]).chain(last.copied()).collect()
        }
    }
}

fn passed(note: impl Into<String>) -> Result<Verdict> {
    Ok(Verdict::Passed(note.into()))
}

fn install(_: &mut Log) -> Result<Verdict> {
    let listed = fs::read_to_string(shell::root().join("tests/packages.txt")).unwrap_or_default();
    let lines = listed.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    let mut wanted: Vec<String> = PACKAGES.map(str::to_owned).to_vec();
    wanted.extend(lines.filter(|line| !line.is_empty()).map(str::to_owned));
    let mut installed = packages::install(&wanted)?;
    if packages::install_python()? {
        installed.push("Python's (tests/requirements.txt)".into());
    }
    if packages::install_node()? {
        installed.push("Node's (tests/node-packages.json)".into());
    }
    for target in [glassbox_tests::unseen::RUST_TARGET, arm64::TARGET] {
        if packages::install_rust_target(target)? {
            installed.push(format!("rustc's target {target}"));
        }
    }
    if packages::unpack_busybox()? {
        installed.push("busybox-static (unpacked)".into());
    }
    match installed.as_slice() {
        [] => passed("all there"),
        [..] => passed(format!("installed {}", installed.join(" "))),
    }
}

fn format(log: &mut Log) -> Result<Verdict> {
    log.run(&mut shell::cargo(["fmt", "--all", "--", "--check", "-l"]))?;
    // These are outside the workspace, so `--all` does not include them.
    log.run(&mut shell::cargo(["fmt", "--manifest-path", "fuzz/Cargo.toml", "--", "--check", "-l"]))?;
    width::check()?;
    passed("")
}

fn circles(_: &mut Log) -> Result<Verdict> {
    circles::run(&[])?;
    passed("")
}

fn count_unsafe(_: &mut Log) -> Result<Verdict> {
    unsafes::run(&[])?;
    passed("")
}

fn clippy(log: &mut Log) -> Result<Verdict> {
    let mut all = shell::cargo(["clippy", "--workspace", "--all-targets"]);
    log.run(all.args(glassbox::FEATURES).args(["--", "-D", "warnings"]))?;
    // Without the features: what is left has a use.
    log.run(&mut shell::cargo(["clippy", "-p", "glassbox", "--", "-D", "warnings"]))?;
    passed("")
}

fn deny(log: &mut Log) -> Result<Verdict> {
    let is_there = shell::output(&mut shell::cargo(["deny", "--version"])).is_ok();
    if !is_there {
        // Unoptimised: it builds in a third of the time, and runs for a second.
        let mut install = shell::cargo(["install", "--debug", "--locked", CARGO_DENY]);
        install
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env("CARGO_TARGET_DIR", shell::target().join("cargo-deny"));
        log.run(&mut install)?;
        let _ = fs::remove_dir_all(shell::target().join("cargo-deny"));
    }
    log.run(&mut shell::cargo(["deny", "check", "bans", "licenses", "sources"]))?;
    passed("advisories not checked: their database must be fetched; `cargo deny check advisories` does")
}

/// Linking would need Frida's devkit, which is in no registry; its bindings bring the header for docs.rs.
fn inline(log: &mut Log) -> Result<Verdict> {
    // libclang comes without clang's own headers; gcc's serve instead.
    let headers = shell::output(Command::new("gcc").arg("-print-file-name=include"))?;
    for arguments in [&["fmt", "--", "--check", "-l"][..], &["clippy", "--locked", "--", "-D", "warnings"]] {
        let mut command = shell::cargo(arguments);
        command
            .current_dir(shell::root().join("inline"))
            .env("CARGO_TARGET_DIR", shell::target().join("inline"))
            .env("DOCS_RS", "1")
            .env("BINDGEN_EXTRA_CLANG_ARGS", format!("-I{}", headers.trim()));
        log.run(&mut command)?;
    }
    passed("not linked: that takes Frida's devkit")
}

fn build(log: &mut Log) -> Result<Verdict> {
    log.run(&mut glassbox::full_build_command())?;
    passed("")
}

fn check_sensor(_: &mut Log) -> Result<Verdict> {
    check_so::run(&[])?;
    passed("")
}

fn docs(_: &mut Log) -> Result<Verdict> {
    gen_docs::run(&["--check".to_owned()])?;
    citations::check()?;
    page::check()?;
    passed("")
}

fn tests(log: &mut Log) -> Result<Verdict> {
    // The tests run the release pair and refuse a stale one, also if this step runs alone.
    log.run(&mut glassbox::full_build_command())?;
    let mut all = shell::cargo(["test", "--workspace", "--no-fail-fast"]);
    if log.run(all.args(glassbox::FEATURES)).is_err() {
        log.try_failed_again()?;
        return passed(format!("{} flaky: failed beside the others, passed alone", log.counts.flaky));
    }
    passed("")
}

fn page(log: &mut Log) -> Result<Verdict> {
    log.run(&mut glassbox::full_build_command())?;
    page::check()?;
    page::install()?;
    for mut command in page::tests(&glassbox::built())? {
        log.run(&mut command)?;
    }
    pictures::check(&glassbox::built())?;
    log.counts.passed = page::passed_in(&fs::read_to_string(&log.path)?);
    if log.counts.passed == 0 {
        bail!("no test ran");
    }
    passed("")
}

fn attacks(log: &mut Log) -> Result<Verdict> {
    log.run(&mut glassbox::full_build_command())?;
    log.run(&mut attack::kit())?;
    let text = fs::read_to_string(&log.path)?;
    let not_run: Vec<&str> = text.lines().filter(|line| line.contains("not run: ")).collect();
    not_run.iter().for_each(|line| println!("   {}", line.trim()));
    match log.counts.passed {
        0 => Ok(Verdict::Skipped("none was run; see above".to_owned())),
        _ => passed(format!("{} not run", not_run.len())),
    }
}

fn transparency(log: &mut Log) -> Result<Verdict> {
    log.run(&mut glassbox::full_build_command())?;
    let totals = transparency::compare_all(&glassbox::built(), &[transparency::QUICK.to_owned()])?;
    log.counts.add(Counts { passed: totals.same, failed: totals.different + totals.alerts, flaky: 0 });
    match totals {
        Totals { different: 0, absent: 0, alerts: 0, .. } => passed(""),
        Totals { different, absent, alerts, .. } => {
            bail!("{different} programs differ, {absent} are absent, {alerts} alerts have no reason")
        }
    }
}

fn loom(log: &mut Log) -> Result<Verdict> {
    let dir = shell::target().join("loom");
    let mut command = shell::cargo(["test", "-p", "wire", "--release", "--lib", "--target-dir"]);
    command.arg(dir).arg("loom").env("RUSTFLAGS", "--cfg loom");
    log.run(quickly_built(&mut command))?;
    if log.counts.passed == 0 {
        bail!("no loom test ran");
    }
    passed("")
}

fn asan(log: &mut Log) -> Result<Verdict> {
    // The signal, kill and trace tests are left out: they would measure the sanitizer.
    let tests = ["--test", "stress", "--test", "queue", "--", "stress", "hostile", "queue"];
    sanitize(log, "asan", "address", &tests, &[])
}

fn tsan(log: &mut Log) -> Result<Verdict> {
    let tests = ["--test", "stress", "--", "stress"];
    sanitize(log, "tsan", "thread", &tests, &[("TSAN_OPTIONS", "halt_on_error=1")])
}

/// Runs some of wire's tests under a sanitizer.
fn sanitize(
    log: &mut Log,
    short_name: &str,
    name: &str,
    tests: &[&str],
    environment: &[(&str, &str)],
) -> Result<Verdict> {
    if let Err(why) = toolchain::require_sanitizer(short_name) {
        return Ok(Verdict::Skipped(format!("{why:#}")));
    }
    // The standard library is not instrumented: its source is not part of the toolchain.
    let flags = format!("-Zsanitizer={name} -Cunsafe-allow-abi-mismatch=sanitizer");
    let mut command = toolchain::unstable_cargo(&flags, short_name, &["test", "-p", "wire", "--release"])?;
    command.args(tests).envs(environment.iter().copied());
    log.run(quickly_built(&mut command))?;
    if log.counts.passed == 0 {
        bail!("no test ran");
    }
    passed(toolchain::describe())
}

/// The release profile without the options that make linking slow: these files run once.
fn quickly_built(command: &mut Command) -> &mut Command {
    command.env("CARGO_PROFILE_RELEASE_LTO", "off").env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
}

fn aarch64(log: &mut Log) -> Result<Verdict> {
    built_for_aarch64(log, &arm64::Compiler::install()?)?;
    packages::install_rust_target(arm64::TARGET)?;
    let mut collector = arm64::cross_cargo(&["clippy", "-p", "glassbox", "--tests"]);
    log.run(collector.args(glassbox::FEATURES).args(["--", "-D", "warnings"]))?;
    passed("")
}

fn built_for_aarch64(log: &mut Log, compiler: &arm64::Compiler) -> Result<PathBuf> {
    let (mut build, sensor) = compiler.build();
    log.run(&mut build)?;
    check_so::run(&[sensor.display().to_string()])?;
    Ok(sensor)
}

fn arm64(log: &mut Log) -> Result<Verdict> {
    log.run(&mut glassbox::full_build_command())?;
    let sensor = built_for_aarch64(log, &arm64::Compiler::install()?)?;
    let emulator = arm64::Emulator::install()?;
    for mut command in emulator.tests(&sensor, &shell::target().join("release/glassbox"))? {
        log.run(&mut command)?;
    }
    passed(format!("{} tests left out, each with its reason in xtask/src/arm64.rs", arm64::left_out()))
}

fn fuzz_all(log: &mut Log) -> Result<Verdict> {
    if let Err(why) = toolchain::require_sanitizer("asan") {
        return Ok(Verdict::Skipped(format!("{why:#}")));
    }
    for (target, result) in fuzz::run_all(&fuzz::build()?, fuzz::TEST_SECONDS) {
        match result {
            Ok(inputs) => {
                println!("   {}: {inputs} inputs", target.name);
                log.counts.passed += 1;
            }
            Err(error) => {
                writeln!(log.file, "{}: {error:#}", target.name)?;
                log.counts.failed += 1;
            }
        }
    }
    if log.counts.failed > 0 {
        bail!("{} targets found a failing input", log.counts.failed);
    }
    passed(format!("{} s each, {}", fuzz::TEST_SECONDS, toolchain::describe()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(name: &str) -> Log {
        let dir = shell::target().join("xtask");
        fs::create_dir_all(&dir).unwrap();
        let path = dir.join(format!("test-{name}.log"));
        Log::create(path).unwrap()
    }

    #[test]
    fn the_closing_line_of_a_runner_is_counted() {
        let line = "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.47s";

        assert_eq!(Some(Counts { passed: 12, failed: 3, flaky: 0 }), Counts::of_line(line));
        assert_eq!(None, Counts::of_line("test result_of_line ... ok"));
    }

    #[test]
    fn counts_of_several_runners_add_up() {
        let mut log = log("add");
        let script = "echo 'test result: ok. 2 passed; 0 failed; 0 ignored'; echo 'test result: ok. 3 passed; 0 failed; 0 ignored' >&2";

        log.run(Command::new("sh").args(["-c", script])).unwrap();

        assert_eq!(Counts { passed: 5, failed: 0, flaky: 0 }, log.counts);
    }

    #[test]
    fn what_a_failed_test_said_is_kept() {
        let mut log = log("said");
        let script = "printf '%s\\n' 'failures:' '' '---- a::b stdout ----' 'left: 1' '' 'failures:' '    a::b' '' \\
            'test result: FAILED. 1 passed; 1 failed; 0 ignored' '    `-p wire --test queue`'; exit 101";

        log.run(Command::new("sh").args(["-c", script])).unwrap_err();

        assert_eq!(vec!["-p wire --test queue"], log.failed_targets);
        assert_eq!("   a::b\n   | left: 1\n   | \n", log.what_failed());
    }

    #[test]
    fn a_command_that_fails_fails_its_step() {
        assert!(log("fail").run(Command::new("sh").args(["-c", "exit 3"])).is_err());
    }

    #[test]
    fn a_stray_grandchild_does_not_hold_a_step_up() {
        let before = Instant::now();

        log("stray").run(Command::new("sh").args(["-c", "sleep 20 & exit 0"])).unwrap();

        assert!(before.elapsed() < Duration::from_secs(10));
    }
}
