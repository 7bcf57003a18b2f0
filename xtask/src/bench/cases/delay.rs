//! How soon an event comes out of the collector, and the alert of a rule.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, anyhow, bail};

use crate::bench::Bench;
use crate::bench::programs::run_json;
use crate::bench::report::Row;
use crate::bench::stats::{self, rate, time};
use crate::glassbox::Collector;
use crate::shell;

/// The path of a marked call begins so; the time of the call follows.
const MARK: &str = "/nowhere/delay-";

/// The events a second that the program makes beside the marked calls.
const LOAD: u32 = 50_000;

/// From a call to its line of JSON, with nothing else to do.
pub fn line(bench: &mut Bench) -> Result<()> {
    let built = bench.built()?;
    let (fifo, reader) = reader(bench, "delay.fifo")?;
    let collector = Collector::start(built, &[format!("jsonl:{}", fifo.display())])?;
    let mut command = Command::new(bench.programs.file("delay"));
    command.arg(bench.count(400).to_string());
    collector.watch(&mut command);
    run_json(&mut command)?;
    std::thread::sleep(Duration::from_millis(200));
    collector.stop()?;
    add(bench, "delay from call to a line of JSON", String::new(), reader)
}

/// From a call to the alert of a rule, under load, with glassbox's own rules beside it.
pub fn alert(bench: &mut Bench) -> Result<()> {
    let built = bench.built()?.clone();
    let (fifo, reader) = reader(bench, "alert.fifo")?;
    let rules = bench.scratch.join("delay.yaml");
    fs::write(
        &rules,
        format!(
            "- rule: Marked\n  desc: the marked call\n  \
             condition: evt.type in (open, openat) and fd.name startswith {MARK}\n  \
             output: \"%fd.name\"\n  priority: WARNING\n"
        ),
    )?;
    let mut command = Command::new(&built.cli);
    command.arg("run").arg("--rules").arg(&rules).arg("-o").arg(format!("falco:{}", fifo.display()));
    command.arg("--").arg(bench.programs.file("delay")).arg(bench.count(400).to_string());
    let printed = run_json(command.arg(LOAD.to_string()))?;
    let seconds = printed["wall_ns"].as_f64().unwrap_or(0.0) / 1e9;
    let made = printed["background"].as_f64().unwrap_or(0.0);
    add(bench, "delay from call to the alert of a rule", format!("made {}", rate(made / seconds)), reader)
}

/// Reads a pipe in a thread of its own.
fn reader(bench: &Bench, name: &str) -> Result<(PathBuf, JoinHandle<Result<Vec<f64>>>)> {
    let fifo = bench.scratch.join(name);
    shell::output(Command::new("mkfifo").arg(&fifo))?;
    let from = fifo.clone();
    Ok((fifo, std::thread::spawn(move || delays(&from))))
}

/// Reads lines as they come and compares the time in their path with the clock.
fn delays(fifo: &Path) -> Result<Vec<f64>> {
    let mut delays = Vec::new();
    for line in BufReader::new(fs::File::open(fifo)?).lines() {
        let line = line?;
        let arrived = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() as f64;
        let Some((_, rest)) = line.split_once(MARK) else { continue };
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        delays.push(arrived - digits.parse::<f64>()?);
    }
    Ok(delays)
}

fn add(bench: &mut Bench, what: &str, bare: String, reader: JoinHandle<Result<Vec<f64>>>) -> Result<()> {
    let mut delays = reader.join().map_err(|_| anyhow!("the reader panicked"))??;
    if delays.is_empty() {
        bail!("no event arrived");
    }
    delays.sort_by(f64::total_cmp);
    let [middle, high, most] = [0.5, 0.99, 1.0].map(|fraction| stats::at(&delays, fraction));
    bench.results.add(Row {
        what: what.to_owned(),
        bare,
        watched: format!("p50 {}, p99 {}, most {}", time(middle), time(high), time(most)),
        must: "p99 ≤ 10 ms".to_owned(),
        is_reached: Some(high <= 10e6),
        ..Row::default()
    });
    Ok(())
}
