//! The cost of `run --notify`: a program bare, below `glassbox run`, and below `run --notify security`.

use std::cell::Cell;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use glassbox_tests::unseen;

use super::programs::PYTHON_MODULES;
use crate::bench::Bench;
use crate::bench::peers::{Peer, again};
use crate::bench::programs::{Sample, run_loop, run_whole};
use crate::bench::report::Notified;
use crate::bench::stats::{Spread, time};
use crate::glassbox::Ledger;
use crate::http::{self, Connections};
use crate::{process, shell};

/// The state in which a program is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Bare,
    Off,
    Security,
}

const STATES: [State; 3] = [State::Bare, State::Off, State::Security];

/// The peers that see the same calls from outside.
const PEERS: [Peer; 3] = [Peer::StraceFiltered, Peer::BpfCount, Peer::BpfPrint];

/// The runs below glassbox, and where they are recorded.
struct Runs<'b> {
    bench: &'b Bench,
    ledger: Cell<Ledger>,
}

impl Runs<'_> {
    fn recording(&self, state: State) -> std::path::PathBuf {
        self.bench.scratch.join(format!("notify-{state:?}.gbx"))
    }

    fn of(&self, state: State, command: &Command) -> Result<Command> {
        let output = format!("recording:{}", self.recording(state).display());
        let cli = self.bench.built()?.cli.to_string_lossy();
        Ok(match state {
            State::Bare => again(command, &[]),
            State::Off => again(command, &[&cli, "run", "-o", &output, "--"]),
            State::Security => {
                let notify = ["--notify", "security", "--require-notify"];
                again(command, &[&[&*cli, "run", "-o", &output][..], &notify, &["--"]].concat())
            }
        })
    }

    /// Counts what the last run told of.
    fn count(&self, state: State) -> Result<()> {
        if state == State::Security {
            let mut all = self.ledger.get();
            all.add(Ledger::of_recording(self.bench.built()?, &self.recording(state))?);
            self.ledger.set(all);
        }
        Ok(())
    }
}

/// The samples of each state, one of a round.
struct Rounds {
    samples: [Vec<Sample>; 3],
    ledger: Ledger,
}

impl Rounds {
    /// The first round warms up.
    fn measure(
        bench: &Bench,
        rounds: u32,
        mut sample: impl FnMut(&Runs, State) -> Result<Sample>,
    ) -> Result<Rounds> {
        let runs = Runs { bench, ledger: Cell::default() };
        let mut samples: [Vec<Sample>; 3] = Default::default();
        for round in 0..=rounds as usize {
            for turn in 0..3 {
                let at = (round + turn) % 3;
                let one = sample(&runs, STATES[at])?;
                runs.count(STATES[at])?;
                if round > 0 {
                    samples[at].push(one);
                }
            }
        }
        Ok(Rounds { samples, ledger: runs.ledger.get() })
    }

    fn spread(&self, of: impl Fn(f64, f64, f64) -> f64) -> Spread {
        let [bare, off, security] = &self.samples;
        let rounds = bare.iter().zip(off).zip(security);
        Spread::of(rounds.map(|((bare, off), security)| of(bare.wall_ns, off.wall_ns, security.wall_ns)))
    }

    fn row(&self, what: &str) -> Notified {
        Notified {
            what: what.to_owned(),
            bare: time(self.spread(|bare, _, _| bare).median),
            off: self.spread(|bare, off, _| off / bare).ratio(),
            security: self.spread(|bare, _, security| security / bare).ratio(),
            notified: self.ledger.notified.to_string(),
            lost: self.ledger.lost.to_string(),
            ..Notified::default()
        }
    }

    /// Whether the middle half of the rounds is on one side of the goal, and on which.
    fn verdict(&self, low: f64, high: f64, most: f64) -> Option<bool> {
        match self.ledger.lost {
            0 if high <= most => Some(true),
            0 if low <= most => None,
            _ => Some(false),
        }
    }

    /// The processor's time in the place of the time that went by: of a program that waits for nothing.
    fn by_processor(mut self) -> Rounds {
        self.samples.iter_mut().flatten().for_each(|sample| sample.wall_ns = sample.cpu_ns);
        self
    }

    /// A row whose goal is a difference, in nanoseconds.
    fn row_of_difference(&self, what: &str, most_ns: f64) -> Notified {
        let Spread { median, low, high } = self.spread(|_, off, security| security - off);
        Notified {
            over: format!("{} [{}–{}]", signed(median), signed(low), signed(high)),
            must: format!("≤ {}", time(most_ns)),
            is_reached: self.verdict(low, high, most_ns),
            ..self.row(what)
        }
    }

    /// A row whose goal is a ratio.
    fn row_of_ratio(&self, what: &str, most: f64) -> Notified {
        let over = self.spread(|_, off, security| security / off);
        let is_reached = self.verdict(over.low, over.high, most);
        Notified { over: over.ratio(), must: format!("×{most:.2}"), is_reached, ..self.row(what) }
    }
}

/// A time with its sign.
fn signed(ns: f64) -> String {
    format!("{}{}", if ns < 0.0 { "−" } else { "+" }, time(ns.abs()))
}

/// Measures the peers on the same program.
fn beside(
    bench: &mut Bench,
    what: &str,
    calls: &[&str],
    sample: impl Fn(Command) -> Result<Sample>,
    command: &Command,
) {
    if bench.options.skips_peers {
        return;
    }
    for peer in PEERS {
        let one = || -> Result<(Spread, f64)> {
            if let Some(why) = peer.missing() {
                bail!(why);
            }
            let (mut ratios, mut added) = (Vec::new(), Vec::new());
            for _ in 0..bench.rounds(3) {
                let bare = sample(again(command, &[]))?.wall_ns;
                let (command, guard) = peer.over(command, calls, &bench.programs)?;
                let watched = sample(command)?.wall_ns;
                drop(guard);
                ratios.push(watched / bare);
                added.push(watched - bare);
            }
            Ok((Spread::of(ratios), Spread::of(added).median))
        };
        match one() {
            Ok((ratio, added)) => bench.results.beside(what, peer.name(), ratio.ratio(), signed(added)),
            Err(why) => bench.results.skip(peer.name(), format!("{why:#}")),
        }
    }
}

/// A loop of `benches/`, bare and below a run.
fn of_loop(bench: &mut Bench, program: &str, count: u32) -> Result<Rounds> {
    let mut command = Command::new(bench.programs.file(program));
    command.arg(bench.count(count).to_string());
    Rounds::measure(bench, bench.rounds(21), |runs, state| run_loop(&mut runs.of(state, &command)?))
}

fn opens_beside(bench: &mut Bench, what: &str, program: &str) {
    let mut command = Command::new(bench.programs.file(program));
    command.arg(bench.count(5_000).to_string());
    beside(bench, what, &["openat", "open"], |mut command| run_loop(&mut command), &command);
}

pub fn allowed(bench: &mut Bench) -> Result<()> {
    let (what, program) = ("allowed: open+close by libc, processor's time", "open_write");
    let measured = of_loop(bench, program, 100_000)?.by_processor();
    bench.results.add_notified(measured.row_of_difference(what, 160.0));
    opens_beside(bench, what, program);
    Ok(())
}

pub fn notified(bench: &mut Bench) -> Result<()> {
    let (what, program, count) = ("notified: open+close of a static program", "open_write_static", 20_000);
    let measured = of_loop(bench, program, count)?;
    let mut row = measured.row_of_difference(what, 8_000.0);
    if measured.ledger.notified < u64::from(bench.count(count)) * u64::from(bench.rounds(21)) {
        row.is_reached = Some(false);
        bench.results.skip(what, "fewer events than calls".to_owned());
    }
    bench.results.add_notified(row);
    opens_beside(bench, what, program);
    Ok(())
}

pub fn exec(bench: &mut Bench) -> Result<()> {
    let what = "vfork+exec of /bin/true";
    let mut command = Command::new(bench.programs.file("fork_exec"));
    command.arg(bench.count(300).to_string()).arg("vfork");
    let rounds = bench.rounds(15);
    let measured = Rounds::measure(bench, rounds, |runs, state| run_loop(&mut runs.of(state, &command)?))?;
    bench.results.add_notified(measured.row_of_ratio(what, 1.06));
    beside(bench, what, &["execve"], |mut command| run_loop(&mut command), &command);
    Ok(())
}

/// Interpreters and what each does.
fn interpreters() -> Result<Vec<(&'static str, Vec<std::ffi::OsString>)>> {
    let found = |name: &str| shell::which(name).with_context(|| format!("{name} is not installed"));
    let script = format!("import {PYTHON_MODULES}");
    Ok(vec![
        ("python3, 45 imports", vec![shell::python()?.into(), "-c".into(), script.into()]),
        ("node -e 1", vec![found("node")?.into(), "-e".into(), "1".into()]),
        ("java -version", vec![found("java")?.into(), "-version".into()]),
    ])
}

pub fn starts(bench: &mut Bench) -> Result<()> {
    for (what, words) in interpreters()? {
        let what = format!("{what}, below a run");
        let mut command = Command::new(bench.programs.file("starts"));
        command.arg(bench.count(8).to_string()).args(words);
        let rounds = bench.rounds(15);
        let measured =
            Rounds::measure(bench, rounds, |runs, state| run_loop(&mut runs.of(state, &command)?))?;
        bench.results.add_notified(measured.row_of_ratio(&what, 1.03));
        let calls = ["execve", "openat", "connect", "unlink", "mprotect"];
        beside(bench, &what, &calls, |mut command| run_loop(&mut command), &command);
    }
    Ok(())
}

pub fn runs(bench: &mut Bench) -> Result<()> {
    for (what, words) in interpreters()? {
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        let rounds = bench.rounds(21);
        let measured = Rounds::measure(bench, rounds, |runs, state| {
            let command = runs.of(state, &command)?;
            run_whole(1, || again(&command, &[]))
        })?;
        bench.results.add_notified(measured.row_of_ratio(&format!("{what}, in a run of its own"), 1.03));
    }
    Ok(())
}

/// A server of `benches/server.go`; dropping it ends it.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start(mut command: Command) -> Result<Server> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no output of the server")?).read_line(&mut line)?;
        match line.trim().parse() {
            Ok(port) => Ok(Server { child, port }),
            Err(_) => {
                let _ = child.kill();
                bail!("the server printed '{}', and no port", line.trim())
            }
        }
    }

    fn load(&self, requests: u32, connections: Connections) -> Result<Sample> {
        let begun = std::time::Instant::now();
        http::load(([127, 0, 0, 1], self.port).into(), 4, requests, connections)?;
        let wall_ns = begun.elapsed().as_nanos() as f64 / f64::from(requests);
        Ok(Sample { wall_ns, cpu_ns: 0.0 })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let end = std::time::Duration::from_secs(10);
        if !process::wait_until(end, || !matches!(self.child.try_wait(), Ok(None))) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

pub fn server(bench: &mut Bench) -> Result<()> {
    let program = bench.programs.file("server");
    let mut build = unseen::go_build(&program, false);
    shell::output(build.arg(shell::root().join("benches/server.go")))
        .context("cannot build the server; Debian's golang-go compiles it")?;
    let command = Command::new(&program);
    for (what, connections, requests) in [
        ("static Go HTTP server, time a request, keep-alive", Connections::Kept, bench.count(20_000)),
        ("static Go HTTP server, time a request, new connections", Connections::Fresh, bench.count(4_000)),
    ] {
        let rounds = bench.rounds(11);
        let runs = Runs { bench, ledger: Cell::default() };
        let mut servers = Vec::new();
        for state in STATES {
            servers.push(Server::start(runs.of(state, &command)?)?);
        }
        let mut samples: [Vec<Sample>; 3] = Default::default();
        for round in 0..=rounds as usize {
            for turn in 0..3 {
                let at = (round + turn) % 3;
                let sample = servers[at].load(requests, connections)?;
                if round > 0 {
                    samples[at].push(sample);
                }
            }
        }
        drop(servers);
        runs.count(State::Security)?;
        let measured = Rounds { samples, ledger: runs.ledger.get() };
        bench.results.add_notified(measured.row_of_ratio(what, 1.10));
        let calls = ["accept4", "connect", "openat", "listen", "bind"];
        let load = |command: Command| {
            let server = Server::start(command)?;
            server.load(requests / 4, connections)?;
            server.load(requests / 4, connections)
        };
        beside(bench, what, &calls, load, &command);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounds(security: [f64; 3]) -> Rounds {
        let of = |times: [f64; 3]| times.map(|wall_ns| Sample { wall_ns, cpu_ns: 0.0 }).to_vec();
        let samples = [of([10.0, 20.0, 10.0]), of([20.0, 20.0, 20.0]), of(security)];
        Rounds { samples, ledger: Ledger::default() }
    }

    #[test]
    fn a_goal_is_held_to_the_middle_half_of_the_rounds_own_differences() {
        let row = rounds([30.0, 120.0, 25.0]).row_of_difference("x", 10.0);

        assert_eq!("+10.0 ns [+7.5 ns–+55.0 ns]", row.over);
        assert_eq!(None, row.is_reached);
        let verdict = |security| rounds(security).row_of_difference("x", 10.0).is_reached;
        assert_eq!([Some(true), Some(false)], [verdict([30.0; 3]), verdict([31.0; 3])]);
    }

    #[test]
    fn lost_events_miss_every_goal() {
        let mut measured = rounds([20.0; 3]);
        assert_eq!(Some(true), measured.row_of_ratio("x", 1.0).is_reached);

        measured.ledger.lost = 1;

        assert_eq!(Some(false), measured.row_of_ratio("x", 1.0).is_reached);
    }
}
