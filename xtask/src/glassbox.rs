//! The built pair, a collector to measure with, and the ledger of a recording.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{process, shell};

/// The two files that a release build leaves.
#[derive(Clone, Debug)]
pub struct Built {
    /// The command line tool and collector.
    pub cli: PathBuf,
    /// The preloaded library.
    pub sensor: PathBuf,
}

/// The command that builds the workspace in release.
///
/// xtask itself is left out, because it is running.
pub fn build_command() -> Command {
    shell::cargo(["build", "--release", "--workspace", "--exclude", "xtask"])
}

/// The features of the collector that tests and packages have, and default builds lack: they take a minute to
/// compile.
pub const FEATURES: [&str; 2] = ["--features", "glassbox/nats"];

/// The same with everything that the tests need.
pub fn full_build_command() -> Command {
    let mut command = build_command();
    command.args(FEATURES);
    command
}

/// Builds the workspace in release, and gives the pair's paths.
pub fn build() -> Result<Built> {
    shell::run(&mut build_command())?;
    Ok(built())
}

/// Builds the sensor in release and a collector that compiles quickly, and gives their paths.
pub fn build_demo() -> Result<Built> {
    shell::run(&mut shell::cargo(["build", "--release", "--package", "glassbox-sensor"]))?;
    shell::run(&mut shell::cargo(["build", "--profile", "demo", "--package", "glassbox"]))?;
    let dir = shell::target().join("demo");
    let pair = Built { cli: dir.join("glassbox"), sensor: dir.join("libglassbox.so") };
    // `glassbox run` looks for the sensor beside itself.
    fs::copy(built().sensor, &pair.sensor)?;
    Ok(pair)
}

/// The paths at which a release build leaves the pair.
pub fn built() -> Built {
    let dir = shell::target().join("release");
    Built { cli: dir.join("glassbox"), sensor: dir.join("libglassbox.so") }
}

/// A collector at an abstract socket of its own; dropping it stops it.
#[derive(Debug)]
pub struct Collector {
    child: Child,
    socket: String,
    sensor: PathBuf,
}

impl Collector {
    /// Starts `glassbox collect` with these `-o` outputs and waits until it listens.
    pub fn start(built: &Built, outputs: &[String]) -> Result<Collector> {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let socket = format!("@glassbox-xtask-{}-{count}", std::process::id());
        let mut command = Command::new(&built.cli);
        command.arg("collect").env("GLASSBOX_SOCKET", &socket).stdin(Stdio::null()).stdout(Stdio::null());
        for output in outputs {
            command.args(["-o", output]);
        }
        let child = command.spawn().with_context(|| format!("cannot start {}", shell::line(&command)))?;
        let mut collector = Collector { child, socket, sensor: built.sensor.clone() };

        let listening = |name: &str| {
            let table = fs::read_to_string("/proc/net/unix").unwrap_or_default();
            table.lines().any(|line| line.ends_with(name))
        };
        let socket = collector.socket.clone();
        if !process::wait_until(Duration::from_secs(5), || listening(&socket)) {
            let ended = collector.child.try_wait().ok().flatten();
            bail!("the collector does not listen after 5 s (ended: {ended:?}): {}", shell::line(&command));
        }
        Ok(collector)
    }

    /// Puts the sensor and this collector into the environment of a program.
    pub fn watch(&self, command: &mut Command) {
        command.env("LD_PRELOAD", &self.sensor).env("GLASSBOX_SOCKET", &self.socket);
    }

    /// The socket that it listens at, as a value of `GLASSBOX_SOCKET`.
    pub fn socket(&self) -> &str {
        &self.socket
    }

    /// The collector's pid, for readings from `/proc`.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Asks it to end, and waits until it has written everything.
    pub fn stop(mut self) -> Result<()> {
        process::signal(&self.child, libc::SIGTERM);
        let mut status = None;
        process::wait_until(Duration::from_secs(60), || {
            status = self.child.try_wait().ok().flatten();
            status.is_some()
        });
        match status {
            Some(status) if status.success() => Ok(()),
            Some(status) => bail!("the collector ended with {status}"),
            None => bail!("the collector did not end within 60 s of SIGTERM"),
        }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        if self.is_alive() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Delivered and lost events, by the collector's own account.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ledger {
    /// Numbered events that were delivered.
    pub delivered: u64,
    /// Events that the kernel told of (`run --notify`); these have no number.
    pub notified: u64,
    /// Events that the collector reports as lost.
    pub lost: u64,
    /// The sensors' own time in all processes, in nanoseconds, as they report it.
    pub sensor_ns: u64,
}

impl Ledger {
    /// Adds another run's ledger.
    pub fn add(&mut self, other: Ledger) {
        self.delivered += other.delivered;
        self.notified += other.notified;
        self.lost += other.lost;
        self.sensor_ns += other.sensor_ns;
    }

    /// Reads a recording through `glassbox replay`.
    pub fn of_recording(built: &Built, recording: &Path) -> Result<Ledger> {
        let mut replay = Command::new(&built.cli);
        replay
            .arg("replay")
            .arg(recording)
            .args(["-o", "jsonl:-"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut child = replay.spawn().context("cannot start glassbox replay")?;
        let lines = child.stdout.take().context("no output of replay")?;
        let ledger = Ledger::of_lines(BufReader::with_capacity(1 << 20, lines))?;
        let status = child.wait()?;
        if !status.success() {
            bail!("{} ended with {status}", shell::line(&replay));
        }
        Ok(ledger)
    }

    /// Reads `jsonl`. Only the rare lines are parsed; the millions of others are counted.
    pub fn of_lines(mut lines: impl BufRead) -> Result<Ledger> {
        let mut ledger = Ledger::default();
        let mut line = Vec::new();
        loop {
            line.clear();
            if lines.read_until(b'\n', &mut line)? == 0 {
                return Ok(ledger);
            }
            let text = String::from_utf8_lossy(&line);
            if text.contains("\"seq\":") {
                ledger.delivered += 1;
            }
            ledger.notified += u64::from(text.contains("\"via\":\"notify\""));
            if text.contains("\"sensor.loss\"") || text.contains("\"process.exit\"") {
                let event: Value = serde_json::from_str(&text).context("a line of jsonl is not JSON")?;
                match event["event"].as_str() {
                    Some("sensor.loss") => ledger.lost += event["count"].as_u64().unwrap_or(0),
                    Some("process.exit") => ledger.sensor_ns += event["sensor_ns"].as_u64().unwrap_or(0),
                    _ => {}
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_counts_stamped_events_and_adds_losses() {
        let lines = concat!(
            "{\"event\":\"file.open\",\"seq\":0,\"path\":\"/a\"}\n",
            "{\"event\":\"sensor.loss\",\"count\":7,\"reason\":\"full\"}\n",
            "{\"event\":\"process.exit\",\"sensor_ns\":12,\"lost\":7}\n",
        );

        let ledger = Ledger::of_lines(lines.as_bytes()).unwrap();

        assert_eq!((1, 7, 12), (ledger.delivered, ledger.lost, ledger.sensor_ns));
    }
}
