//! Compiles `benches/*.c` and runs them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{process, shell};

/// Programs that print one line of JSON about their own loop.
const PROGRAMS: [&str; 10] = [
    "open_close",
    "read_write",
    "read_write_file",
    "connect_accept",
    "fork_exec",
    "hot_open",
    "flood",
    "delay",
    "open_write",
    "starts",
];
/// Preloaded libraries that are measured, or that a case needs, and how each is linked.
const LIBRARIES: [(&str, &[&str]); 3] =
    [("stub_open", &["-nostdlib"]), ("empty", &["-nostdlib"]), ("wrapper", &["-ldl"])];

/// The folder of the compiled programs.
#[derive(Clone, Debug)]
pub struct Programs(PathBuf);

impl Programs {
    /// Compiles all of them, with the system's C compiler.
    pub fn build() -> Result<Programs> {
        let programs = Programs(shell::scratch("bench-programs")?);
        for name in PROGRAMS {
            programs.compile(name, &programs.file(name), &["-pthread"])?;
        }
        programs.compile("open_write", &programs.file("open_write_static"), &["-static"])?;
        for (name, libraries) in LIBRARIES {
            let flags = [["-shared", "-fPIC"].as_slice(), libraries].concat();
            programs.compile(name, &programs.library(name), &flags)?;
        }
        Ok(programs)
    }

    /// Compiles one more, whose libraries may be missing on this machine.
    pub fn compile(&self, name: &str, to: &Path, flags: &[&str]) -> Result<()> {
        let from = shell::root().join("benches");
        let mut compiler = Command::new("cc");
        compiler.args(["-O2", "-Wall", "-Wextra", "-I"]).arg(&from);
        compiler.arg("-o").arg(to).arg(from.join(name).with_extension("c")).args(flags);
        shell::output(&mut compiler).map(drop)
    }

    /// Where a compiled program is.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Where a compiled preload library is.
    pub fn library(&self, name: &str) -> PathBuf {
        self.0.join(name).with_extension("so")
    }
}

/// One measurement, for one iteration or one run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    /// Wall time in nanoseconds.
    pub wall_ns: f64,
    /// User and system time in nanoseconds.
    pub cpu_ns: f64,
}

/// Runs a program that times its own loop; the sample is per iteration.
pub fn run_loop(command: &mut Command) -> Result<Sample> {
    let printed = run_json(command)?;
    per_iteration(command, &printed)
}

/// A program's own times for its whole loop, divided by its iterations.
pub fn per_iteration(command: &Command, printed: &Value) -> Result<Sample> {
    let number = |name: &str| printed[name].as_f64().unwrap_or(0.0);
    let iterations = number("iterations");
    if iterations <= 0.0 {
        bail!("{} did nothing", shell::line(command));
    }
    Ok(Sample { wall_ns: number("wall_ns") / iterations, cpu_ns: number("cpu_ns") / iterations })
}

/// Runs a bench program and reads the line that it prints.
pub fn run_json(command: &mut Command) -> Result<Value> {
    let text = shell::output(command)?;
    serde_json::from_str(text.trim())
        .with_context(|| format!("{} printed '{}'", shell::line(command), text.trim()))
}

/// Runs a program `times` times, silently; the sample is per run.
pub fn run_whole(times: u32, mut command: impl FnMut() -> Command) -> Result<Sample> {
    let (mut wall_ns, mut cpu_ns) = (0.0, 0.0);
    for _ in 0..times {
        let mut command = command();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let cost = process::measure(&mut command)?;
        wall_ns += cost.wall.as_nanos() as f64 / f64::from(times);
        cpu_ns += cost.cpu.as_nanos() as f64 / f64::from(times);
    }
    Ok(Sample { wall_ns, cpu_ns })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_prints_no_json_is_an_error() {
        assert!(run_json(Command::new("echo").arg("hello")).is_err());
    }
}
