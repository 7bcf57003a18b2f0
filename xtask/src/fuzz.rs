//! `cargo xtask fuzz`: builds the targets of `fuzz/` with libFuzzer and the address sanitizer, and runs each
//! for a limited time.
//!
//! It does the work of cargo-fuzz without installing it. A target's seeds are in `fuzz/seeds/NAME`, the
//! inputs that it finds interesting go to `fuzz/corpus/NAME`, and an input that it fails on to
//! `fuzz/artifacts/NAME`.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{shell, toolchain};

/// The coverage that libFuzzer needs, and the sanitizer that detects reading out of bounds.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Zsanitizer=address -Cdebug-assertions -Ccodegen-units=1";

/// The default running time of a target, in seconds.
const DEFAULT_SECONDS: u32 = 20;

/// The running time of a target in the tests, in seconds: a minute for all, on two processors.
pub const TEST_SECONDS: u32 = 4;

/// Targets write files there, where it is in memory.
const MEMORY: &str = "/dev/shm";

/// `cargo xtask fuzz [--seconds N] [TARGET…]`
pub fn run(arguments: &[String]) -> Result<()> {
    let mut seconds = DEFAULT_SECONDS;
    let mut names = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--seconds" => {
                let number = rest.next().context("--seconds needs a number")?;
                seconds = number.parse().with_context(|| format!("'{number}' is not a number of seconds"))?;
            }
            name => names.push(name.to_owned()),
        }
    }
    println!("libFuzzer on {}", toolchain::describe());
    let mut failed = Vec::new();
    let targets = build()?;
    if let Some(name) = names.iter().find(|name| !targets.iter().any(|target| target.name == **name)) {
        bail!("there is no target '{name}'");
    }
    let wanted = |target: &Target| names.is_empty() || names.contains(&target.name);
    let targets: Vec<Target> = targets.into_iter().filter(wanted).collect();
    for (target, result) in run_all(&targets, seconds) {
        match result {
            Ok(runs) => println!("  ok      {:24} {runs} inputs in {seconds} s", target.name),
            Err(error) => {
                println!("  FAILED  {:24} {error:#}", target.name);
                failed.push(target.name.as_str());
            }
        }
    }
    if !failed.is_empty() {
        bail!("{} failed", failed.join(", "));
    }
    Ok(())
}

/// One built fuzz target.
#[derive(Debug)]
pub struct Target {
    /// Its name in `fuzz/Cargo.toml`.
    pub name: String,
    file: PathBuf,
}

/// Builds all targets.
pub fn build() -> Result<Vec<Target>> {
    toolchain::require_sanitizer("asan")?;
    let manifest = shell::root().join("fuzz/Cargo.toml");
    if !manifest.is_file() {
        bail!("no {}", manifest.display());
    }
    let manifest = manifest.to_string_lossy();
    let arguments = ["build", "--release", "--manifest-path", &manifest, "--message-format=json"];
    let mut command = toolchain::unstable_cargo(FLAGS, "fuzz", &arguments)?;
    let messages = shell::output(&mut command)?;
    let targets: Vec<Target> = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["kind"][0] == "bin")
        .filter_map(|message| {
            let file = PathBuf::from(message["executable"].as_str()?);
            Some(Target { name: message["target"]["name"].as_str()?.to_owned(), file })
        })
        .collect();
    if targets.is_empty() {
        bail!("{manifest} has no target");
    }
    Ok(targets)
}

/// Runs targets for so many seconds each, as many beside each other as there are processors: each is one
/// thread. Gives the results in the targets' order.
pub fn run_all(targets: &[Target], seconds: u32) -> Vec<(&Target, Result<u64>)> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let take = || targets.get(next.fetch_add(1, Ordering::Relaxed));
        std::iter::from_fn(take).map(|target| (target, target.run(seconds))).collect::<Vec<_>>()
    };
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let mut results: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..processors).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap_or_default()).collect()
    });
    results.sort_by_key(|(target, _)| targets.iter().position(|other| other.name == target.name));
    results
}

impl Target {
    /// Runs for so many seconds; gives the number of inputs, or the failure.
    pub fn run(&self, seconds: u32) -> Result<u64> {
        let fuzz = shell::root().join("fuzz");
        let (corpus, seeds) = (fuzz.join("corpus").join(&self.name), fuzz.join("seeds").join(&self.name));
        let artifacts = fuzz.join("artifacts").join(&self.name);
        fs::create_dir_all(&corpus)?;
        fs::create_dir_all(&artifacts)?;
        let mut command = Command::new(&self.file);
        command.arg(&corpus);
        if seeds.is_dir() {
            command.arg(&seeds);
        }
        command.arg(format!("-max_total_time={seconds}")).args(["-timeout=10", "-rss_limit_mb=2048"]);
        // A reader of recordings keeps the names that it does not know until the program ends, up to a bound.
        command.arg("-detect_leaks=0").env("ASAN_OPTIONS", "detect_leaks=0");
        command.args(["-print_final_stats=1", &format!("-artifact_prefix={}/", artifacts.display())]);
        if std::path::Path::new(MEMORY).is_dir() {
            command.env("TMPDIR", MEMORY);
        }
        let done = command.stdin(Stdio::null()).output().with_context(|| shell::line(&command))?;
        let printed = String::from_utf8_lossy(&done.stderr);
        if !done.status.success() {
            let tail: Vec<&str> = printed.lines().rev().take(40).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            bail!("ended with {}; the input is in {}\n{}", done.status, artifacts.display(), tail.join("\n"));
        }
        let runs = printed.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
        runs.and_then(|number| number.trim().parse().ok()).context("libFuzzer printed no number of inputs")
    }
}
