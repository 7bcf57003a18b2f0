//! `cargo xtask bench`: the cost of the sensor, measured against the bare program in the same run.
//!
//! Every case alternates the bare program and the watched one, so that both run on the machine in the same
//! state, and reports the median of the pairwise ratios with the middle half of them. The collector's own
//! processor time has its own column: it is a cost too, but not one that the program waits for.

mod cases;
pub mod machine;
mod peers;
mod programs;
mod report;
mod stats;

use std::cell::Cell;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

pub use self::cases::nginx_configuration;
use self::programs::{Programs, Sample};
use self::report::Results;
use crate::glassbox::{self, Built, Collector, Ledger};
use crate::{packages, process, shell};

const USAGE: &str = "\
usage: cargo xtask bench [--notify] [NAME…] [--quick] [--write] [--install] [--no-peers] [--preload FILE]

  NAME…           only these cases (without: all of them)
  --notify        the cases of `glassbox run --notify` instead of the sensor's
  --quick         fewer and shorter rounds
  --write         also writes docs/performance.md, with --notify docs/performance-notify.md
  --install       installs nginx and the peers (strace, bpftrace, LTTng) first, as root on Debian
  --no-peers      leaves the peers out
  --preload FILE  measures another preload library in the sensor's place, without a collector";

/// The options of a run.
#[derive(Debug, Default)]
struct Options {
    is_notify: bool,
    names: Vec<String>,
    is_quick: bool,
    writes: bool,
    installs: bool,
    skips_peers: bool,
    preload: Option<PathBuf>,
}

impl Options {
    fn cases(&self) -> &'static [cases::Case] {
        if self.is_notify { cases::NOTIFY } else { cases::ALL }
    }
}

/// The parts that every case needs.
struct Bench {
    options: Options,
    programs: Programs,
    built: Option<Built>,
    sensor: PathBuf,
    scratch: PathBuf,
    results: Results,
}

pub fn run(arguments: &[String]) -> Result<()> {
    let Some(options) = parse(arguments)? else {
        println!("{USAGE}");
        for (heading, cases) in [("cases", cases::ALL), ("cases with --notify", cases::NOTIFY)] {
            println!("\n{heading}:");
            cases.iter().for_each(|case| println!("  {:16} {}", case.name, case.what));
        }
        return Ok(());
    };
    if options.installs {
        let mut wanted: Vec<String> = peers::PACKAGES.map(str::to_owned).to_vec();
        wanted.extend(["nginx-light", "golang-go"].map(str::to_owned));
        packages::install(&wanted)?;
    }
    let (built, sensor) = match &options.preload {
        Some(file) => (None, file.canonicalize().with_context(|| format!("no file {}", file.display()))?),
        None => {
            let built = glassbox::build()?;
            let sensor = built.sensor.clone();
            (Some(built), sensor)
        }
    };
    let mut bench = Bench {
        programs: Programs::build()?,
        built,
        sensor,
        scratch: shell::scratch("bench")?,
        results: Results::default(),
        options,
    };
    let load_before = machine::load();
    for case in bench.options.cases() {
        if !bench.options.names.is_empty() && !bench.options.names.iter().any(|name| name == case.name) {
            continue;
        }
        eprintln!("measuring {}: {}", case.name, case.what);
        if let Err(error) = (case.run)(&mut bench) {
            eprintln!("  not measured: {error:#}");
            bench.results.skip(case.name, format!("{error:#}"));
        }
    }
    println!("{}", bench.results.text());
    if bench.options.writes {
        let page = if bench.options.is_notify { &report::NOTIFY } else { &report::SENSOR };
        bench.results.write(page, &bench.options.names, &load_before)?;
    }
    let failures = bench.results.failures();
    if failures > 0 {
        bail!("{failures} figures miss what they must reach");
    }
    Ok(())
}

fn parse(arguments: &[String]) -> Result<Option<Options>> {
    let mut options = Options::default();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--notify" => options.is_notify = true,
            "--quick" => options.is_quick = true,
            "--write" => options.writes = true,
            "--install" => options.installs = true,
            "--no-peers" => options.skips_peers = true,
            "--preload" => options.preload = Some(rest.next().context("--preload needs a file")?.into()),
            "--help" | "-h" => return Ok(None),
            option if option.starts_with('-') => bail!("no option '{option}'\n{USAGE}"),
            name => options.names.push(name.to_owned()),
        }
    }
    let is_case = |name: &String| options.cases().iter().any(|case| case.name == name);
    if let Some(other) = options.names.iter().find(|name| !is_case(name)) {
        bail!("no case '{other}'\n{USAGE}");
    }
    Ok(Some(options))
}

impl Bench {
    /// `usual` rounds, fewer with `--quick`.
    fn rounds(&self, usual: u32) -> u32 {
        if self.options.is_quick { usual.div_ceil(3).max(2) } else { usual }
    }

    /// `usual` iterations, fewer with `--quick`.
    fn count(&self, usual: u32) -> u32 {
        if self.options.is_quick { usual / 4 } else { usual }
    }

    /// Starts a collector (none for `--preload`) that writes a recording.
    fn watch(&self, name: &str) -> Result<Watch<'_>> {
        self.watch_as(name, Way::Collect)
    }

    fn watch_as(&self, name: &str, way: Way) -> Result<Watch<'_>> {
        let recording = self.scratch.join(format!("{name}.gbx"));
        let collector = match (&self.built, way) {
            (None, _) | (_, Way::Run) => None,
            (Some(built), Way::Collect) => {
                Some(Collector::start(built, &[format!("recording:{}", recording.display())])?)
            }
        };
        Ok(Watch { bench: self, way, collector, recording, runs: Cell::default() })
    }

    fn built(&self) -> Result<&Built> {
        self.built.as_ref().context("needs the collector, and --preload runs without")
    }
}

/// How the sensor is put into a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// By `LD_PRELOAD`, with one `glassbox collect` for all runs of the case.
    Collect,
    /// By `glassbox run`, with a launcher and a collector for each run.
    Run,
}

/// The sensor, and the collector that listens to it.
struct Watch<'a> {
    bench: &'a Bench,
    way: Way,
    collector: Option<Collector>,
    recording: PathBuf,
    /// The runs under `glassbox run` so far: their ledger, and the processor time beyond the program's own.
    runs: Cell<Outcome>,
}

/// The collector's processor time, and its ledger.
#[derive(Clone, Copy, Debug, Default)]
struct Outcome {
    collector_cpu_ns: f64,
    ledger: Ledger,
}

impl Watch<'_> {
    /// The command under the sensor, which stands first in the command's own `LD_PRELOAD`.
    fn over(&self, command: &Command) -> Command {
        if let (Way::Run, Some(built)) = (self.way, &self.bench.built) {
            let cli = built.cli.to_string_lossy();
            let output = format!("recording:{}", self.recording.display());
            return peers::again(command, &[&cli, "run", "-o", &output, "--"]);
        }
        let mut command = peers::again(command, &[]);
        let before = command.get_envs().find(|(name, _)| *name == "LD_PRELOAD").and_then(|(_, value)| value);
        let before = before.map(|value| value.to_owned());
        match &self.collector {
            Some(collector) => collector.watch(&mut command),
            None => {
                command.env("LD_PRELOAD", &self.bench.sensor);
            }
        }
        if let Some(before) = before {
            let mut both = self.bench.sensor.clone().into_os_string();
            both.push(":");
            both.push(before);
            command.env("LD_PRELOAD", both);
        }
        command
    }

    /// Runs a loop program under the sensor; the sample is per iteration.
    fn run_loop(&self, command: &Command) -> Result<Sample> {
        let mut command = self.over(command);
        if self.way == Way::Collect || self.bench.built.is_none() {
            return programs::run_loop(&mut command);
        }
        let before = process::cpu_of_children();
        let printed = programs::run_json(&mut command)?;
        let all_ns = (process::cpu_of_children() - before).as_nanos() as f64;
        let mut runs = self.runs.get();
        // The time of the launcher and the collector, from their start to their end, and of the program's own
        // start.
        runs.collector_cpu_ns += all_ns - printed["cpu_ns"].as_f64().unwrap_or(0.0);
        runs.ledger.add(Ledger::of_recording(self.bench.built()?, &self.recording)?);
        self.runs.set(runs);
        programs::per_iteration(&command, &printed)
    }

    /// The collector's processor time so far.
    fn collector_cpu_ns(&self) -> Result<f64> {
        match &self.collector {
            Some(collector) => Ok(process::cpu(collector.pid())?.as_nanos() as f64),
            None => Ok(self.runs.get().collector_cpu_ns),
        }
    }

    /// Ends the collector and reads its recording.
    fn finish(self) -> Result<Outcome> {
        let Some(collector) = self.collector else {
            return Ok(self.runs.get());
        };
        let collector_cpu_ns = process::cpu(collector.pid())?.as_nanos() as f64;
        collector.stop()?;
        let ledger = Ledger::of_recording(self.bench.built()?, &self.recording)?;
        std::fs::remove_file(&self.recording)?;
        Ok(Outcome { collector_cpu_ns, ledger })
    }
}
