//! The tools that are measured beside the sensor: strace, eBPF by bpftrace, LTTng-UST, an empty preload
//! library. A tool that cannot run here is skipped, with its reason.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::programs::Programs;
use crate::{process, shell};

/// Debian's packages of the peers; only `bench --install` installs them.
pub const PACKAGES: [&str; 4] = ["strace", "bpftrace", "lttng-tools", "liblttng-ust-dev"];

/// A tool that watches a program from outside, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A preloaded library with nothing in it: the floor.
    Empty,
    /// `strace -f`, all calls; on one core, which is its best case.
    Strace,
    /// `strace -f --seccomp-bpf`, only the calls of the case.
    StraceFiltered,
    /// eBPF, counting in the kernel.
    BpfCount,
    /// eBPF, one line an event, read and thrown away.
    BpfPrint,
}

impl Peer {
    /// The name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Peer::Empty => "empty preload library",
            Peer::Strace => "strace -f, on one core",
            Peer::StraceFiltered => "strace -f --seccomp-bpf, on one core",
            Peer::BpfCount => "eBPF, counting (bpftrace)",
            Peer::BpfPrint => "eBPF, printing (bpftrace)",
        }
    }

    /// The reason why it cannot be measured here, if there is one.
    pub fn missing(self) -> Option<String> {
        match self {
            Peer::Empty => None,
            Peer::Strace | Peer::StraceFiltered => {
                shell::which("strace").is_none().then(|| "strace is not installed".to_owned())
            }
            Peer::BpfCount | Peer::BpfPrint => {
                if shell::which("bpftrace").is_none() {
                    return Some("bpftrace is not installed".to_owned());
                }
                // SAFETY: geteuid(2) takes nothing and cannot fail.
                if unsafe { libc::geteuid() } != 0 {
                    return Some("bpftrace needs root".to_owned());
                }
                let has_tracefs = PathBuf::from("/sys/kernel/tracing/events/syscalls").is_dir();
                (!has_tracefs).then(|| {
                    "no /sys/kernel/tracing/events/syscalls; mount -t tracefs tracefs /sys/kernel/tracing"
                        .to_owned()
                })
            }
        }
    }

    /// The program under this peer. The peer watches until the guard is dropped.
    ///
    /// `calls` are the system calls that matter in the case.
    pub fn over(
        self,
        program: &Command,
        calls: &[&str],
        programs: &Programs,
    ) -> Result<(Command, Option<Tracer>)> {
        Ok(match self {
            Peer::Empty => {
                let mut command = again(program, &[]);
                command.env("LD_PRELOAD", programs.library("empty"));
                (command, None)
            }
            Peer::Strace => (again(program, &strace(&[])), None),
            Peer::StraceFiltered => {
                let filter = format!("trace={}", calls.join(","));
                (again(program, &strace(&["--seccomp-bpf", "-e", &filter])), None)
            }
            Peer::BpfCount => (again(program, &[]), Some(Tracer::start(calls, "@[probe] = count();")?)),
            Peer::BpfPrint => {
                let print = "printf(\"%d %s %s\\n\", pid, comm, probe);";
                (again(program, &[]), Some(Tracer::start(calls, print)?))
            }
        })
    }
}

/// The beginning of a command under strace, with tracer and program on one core.
///
/// The two take turns at every stop. On two cores each turn wakes a core that went to sleep. In a virtual
/// machine that costs 50 µs if nothing else keeps the core awake and 10 µs if something does, so the figure
/// would tell how busy the machine is. One core is also strace's best case.
fn strace<'a>(options: &[&'a str]) -> Vec<&'a str> {
    let mut words = Vec::new();
    if shell::which("taskset").is_some() {
        words.extend(["taskset", "-c", "0"]);
    }
    words.extend(["strace", "-f", "-qq", "-o", "/dev/null"]);
    words.extend(options);
    words
}

/// The same program with its arguments, environment and folder, behind a prefix.
pub fn again(program: &Command, prefix: &[&str]) -> Command {
    let mut words: Vec<_> = prefix.iter().map(Into::into).collect();
    words.push(program.get_program().to_owned());
    words.extend(program.get_args().map(ToOwned::to_owned));
    let mut words = words.into_iter();
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words);
    if let Some(dir) = program.get_current_dir() {
        command.current_dir(dir);
    }
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

/// A running bpftrace; dropping it ends it.
#[derive(Debug)]
pub struct Tracer(Child);

impl Tracer {
    fn start(calls: &[&str], action: &str) -> Result<Tracer> {
        let probes: Vec<_> =
            calls.iter().map(|call| format!("tracepoint:syscalls:sys_exit_{call}")).collect();
        let script = format!("BEGIN {{ printf(\"ready\\n\"); }} {} {{ {action} }}", probes.join(","));
        let mut child = Command::new("bpftrace")
            .args(["-B", "line", "-e", &script])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start bpftrace")?;
        let output = child.stdout.take().context("no output of bpftrace")?;
        let mut tracer = Tracer(child);
        let mut lines = BufReader::new(output);
        let mut line = String::new();
        loop {
            line.clear();
            if lines.read_line(&mut line)? == 0 {
                bail!("bpftrace ended by itself: {:?}", tracer.0.wait());
            }
            if line.trim() == "ready" {
                break;
            }
        }
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        Ok(tracer)
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        process::signal(&self.0, libc::SIGINT);
        if !process::wait_until(Duration::from_secs(5), || !matches!(self.0.try_wait(), Ok(None))) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// A session daemon of LTTng with one session that records our tracepoint; dropping it ends it.
#[derive(Debug)]
pub struct Lttng(Child);

impl Lttng {
    /// Starts the daemon.
    pub fn start(programs: &Programs) -> Result<Lttng> {
        if shell::which("lttng-sessiond").is_none() {
            bail!("lttng-tools is not installed");
        }
        let program = programs.file("lttng_event");
        programs
            .compile("lttng_event", &program, &["-Wno-unused-parameter", "-llttng-ust", "-ldl"])
            .map_err(|_| anyhow::anyhow!("liblttng-ust-dev is not installed"))?;
        let child = Command::new("lttng-sessiond")
            .args(["--quiet", "--no-kernel"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let daemon = Lttng(child);
        let trace = shell::scratch("bench-lttng")?;
        let create = ["create", "glassbox-bench", "--output", &trace.to_string_lossy()].map(str::to_owned);
        if !process::wait_until(Duration::from_secs(5), || lttng(&create).is_ok()) {
            bail!("lttng-sessiond does not answer");
        }
        for command in [
            "enable-channel --userspace ring --num-subbuf 8 --subbuf-size 1M",
            "enable-event --userspace --channel ring glassbox_bench:*",
            "start",
        ] {
            lttng(&command.split(' ').map(str::to_owned).collect::<Vec<_>>())?;
        }
        Ok(daemon)
    }
}

impl Drop for Lttng {
    fn drop(&mut self) {
        let _ = lttng(&["destroy", "--no-wait", "glassbox-bench"].map(str::to_owned));
        process::signal(&self.0, libc::SIGTERM);
        let _ = self.0.wait();
    }
}

fn lttng(arguments: &[String]) -> Result<String> {
    shell::output(Command::new("lttng").arg("--no-sessiond").args(arguments))
}
