//! The cases of the cost table in `docs/performance.md`, in its order.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

use super::peers::{Lttng, Peer};
use super::programs::{Sample, run_json, run_loop, run_whole};
use super::report::{Row, at_most};
use super::stats::{self, Spread, rate, time};
use super::{Bench, Outcome, Watch, Way};
use crate::glassbox::{Collector, Ledger};
use crate::http::{self, Connections};
use crate::{process, shell};

/// One entry of the list that `bench` can be asked for.
pub struct Case {
    pub name: &'static str,
    pub what: &'static str,
    pub run: fn(&mut Bench) -> Result<()>,
}

/// All of them.
pub const ALL: &[Case] = &[
    Case { name: "event", what: "one event, hot, 40-byte path", run: event },
    Case { name: "open-close", what: "open+close loop", run: open_close },
    Case { name: "read-write", what: "read+write loops", run: read_write },
    Case { name: "connect-accept", what: "connect+accept loop", run: connect_accept },
    Case { name: "fork-exec", what: "fork+exec of /bin/true, and vfork, and posix_spawn", run: fork_exec },
    Case { name: "python", what: "python3 importing 45 standard modules", run: python },
    Case { name: "node", what: "node -e 1", run: node },
    Case { name: "java", what: "java -version", run: java },
    Case { name: "git", what: "git status in a repository of 200 files", run: git },
    Case { name: "nginx", what: "nginx worker CPU a request", run: nginx },
    Case { name: "size", what: "the sensor's file", run: size },
    Case { name: "memory", what: "private memory of a process", run: memory },
    Case { name: "idle", what: "wake-ups while nothing happens", run: idle },
    Case { name: "flood", what: "events a second under a flood", run: flood },
    Case { name: "delay", what: "from the call to a line of JSON", run: delay },
    Case { name: "codec", what: "encode+commit and decode alone: time and instructions", run: codec },
];

/// In what a program under test is measured, again and again in turn.
#[derive(Clone, Copy)]
enum Subject<'a> {
    Bare,
    Watched(&'a Watch<'a>),
    /// Under a library whose wrappers do nothing.
    Wrapped,
}

impl Subject<'_> {
    /// The command as this subject.
    fn of(&self, bench: &Bench, mut command: Command) -> Command {
        match self {
            Subject::Bare => command,
            Subject::Watched(watch) => watch.over(&command),
            Subject::Wrapped => {
                command.env("LD_PRELOAD", bench.programs.library("wrapper"));
                command
            }
        }
    }
}

/// The command under the sensor, or bare.
fn under(watch: Option<&Watch<'_>>, command: Command) -> Command {
    match watch {
        Some(watch) => watch.over(&command),
        None => command,
    }
}

/// What came of it, a sample of each a round.
struct Pairs {
    bare: Vec<Sample>,
    watched: Vec<Sample>,
    /// Empty where the case has no use for it.
    wrapped: Vec<Sample>,
    outcome: Outcome,
}

impl Pairs {
    fn wall(&self) -> Spread {
        ratio(&self.watched, &self.bare, |sample| sample.wall_ns)
    }

    fn cpu(&self) -> Spread {
        ratio(&self.watched, &self.bare, |sample| sample.cpu_ns)
    }

    fn bare_ns(&self) -> f64 {
        Spread::of(self.bare.iter().map(|sample| sample.wall_ns)).median
    }

    /// What the empty wrapper takes, and what the sensor takes of that.
    fn floor(&self) -> String {
        if self.wrapped.is_empty() {
            return String::new();
        }
        let floor = ratio(&self.wrapped, &self.bare, |sample| sample.wall_ns);
        let to_it = ratio(&self.watched, &self.wrapped, |sample| sample.wall_ns);
        format!("×{:.2}; glassbox ×{:.2} of it", floor.median, to_it.median)
    }

    /// As a line of the table; `runs` is how many units of work the watched side did in all.
    fn row(&self, what: &str, bound: f64, runs: f64) -> Row {
        let (must, mut is_reached) = at_most(&self.wall(), bound);
        let is_watched = self.outcome.ledger.delivered > 0;
        if is_watched && self.outcome.ledger.lost > 0 {
            is_reached = Some(false);
        }
        Row {
            what: what.to_owned(),
            bare: time(self.bare_ns()),
            watched: self.wall().ratio(),
            cpu: self.cpu().ratio(),
            floor: self.floor(),
            collector: if is_watched { time(self.outcome.collector_cpu_ns / runs) } else { String::new() },
            lost: if is_watched { lost(&self.outcome.ledger) } else { String::new() },
            must,
            is_reached,
        }
    }
}

fn ratio(over: &[Sample], under: &[Sample], of: impl Fn(&Sample) -> f64) -> Spread {
    Spread::of(over.iter().zip(under).map(|(over, under)| of(over) / of(under)))
}

fn lost(ledger: &Ledger) -> String {
    format!("{} of {}", ledger.lost, ledger.delivered + ledger.lost)
}

/// Alternates bare, watched and, if `with_wrapper`, the empty wrapper; the first round warms up and
/// is thrown away.
fn pairs(
    bench: &Bench,
    watch: Watch<'_>,
    with_wrapper: bool,
    rounds: u32,
    sample: impl Fn(Subject<'_>) -> Result<Sample>,
) -> Result<Pairs> {
    let with_wrapper = with_wrapper && bench.options.preload.is_none();
    let subjects = if with_wrapper { 3 } else { 2 };
    let mut pairs = Pairs { bare: vec![], watched: vec![], wrapped: vec![], outcome: Outcome::default() };
    let mut warm_up_ns = 0.0;
    for round in 0..=rounds {
        // Who goes first changes, so that nobody profits from what another left in caches.
        for turn in 0..subjects {
            let (subject, into) = match (round + turn) % subjects {
                0 => (Subject::Bare, &mut pairs.bare),
                1 => (Subject::Watched(&watch), &mut pairs.watched),
                _ => (Subject::Wrapped, &mut pairs.wrapped),
            };
            let sample = sample(subject)?;
            if round > 0 {
                into.push(sample);
            }
        }
        if round == 0 {
            warm_up_ns = watch.collector_cpu_ns()?;
        }
    }
    pairs.outcome = watch.finish()?;
    pairs.outcome.collector_cpu_ns -= warm_up_ns;
    Ok(pairs)
}

/// A loop program against itself, and beside it the peers.
fn loop_case(bench: &mut Bench, program: &LoopProgram<'_>) -> Result<()> {
    // Many and short: what disturbs the machine for a second spoils a round, not the median.
    let rounds = bench.rounds(21);
    let count = bench.count(program.count);
    let command = |count: u32| {
        let mut command = Command::new(bench.programs.file(program.file));
        command.arg(count.to_string()).args(program.arguments);
        command
    };
    let watch = bench.watch_as(program.name, program.way)?;
    let result = pairs(bench, watch, program.has_floor, rounds, |subject| match subject {
        Subject::Watched(watch) => watch.run_loop(&command(count)),
        subject => run_loop(&mut subject.of(bench, command(count))),
    })?;
    let mut row = result.row(program.what, program.bound, f64::from(rounds) * f64::from(count));
    // With the round that warmed up, which is in the recording too.
    let least = f64::from(rounds + 1) * f64::from(count) * f64::from(program.events);
    let delivered = result.outcome.ledger.delivered as f64;
    if bench.built.is_some() && delivered < least {
        row.is_reached = Some(false);
        bench.results.skip(program.what, format!("only {delivered} of {least} events were delivered"));
    }

    let mut beside = Vec::new();
    if !bench.options.skips_peers {
        for peer in program.peers {
            if let Some(why) = peer.missing() {
                beside.push((peer.name(), Err(why)));
                continue;
            }
            let count = if *peer == Peer::Empty { count } else { count / 10 };
            let mut added_ns = Vec::new();
            let ratios: Result<Vec<f64>> = (0..bench.rounds(3))
                .map(|_| {
                    let bare = run_loop(&mut command(count))?;
                    let (mut command, guard) = peer.over(&command(count), program.calls, &bench.programs)?;
                    let watched = run_loop(&mut command)?;
                    drop(guard);
                    added_ns.push(watched.wall_ns - bare.wall_ns);
                    Ok(watched.wall_ns / bare.wall_ns)
                })
                .collect();
            let added = Spread::of(added_ns).median;
            let note = if added > 0.0 { format!("+{}", time(added)) } else { String::new() };
            let figure = ratios.map(|ratios| (Spread::of(ratios), note));
            beside.push((peer.name(), figure.map_err(|error| format!("{error:#}"))));
        }
    }
    bench.results.add(row);
    for (peer, result) in beside {
        match result {
            Ok((ratio, note)) => bench.results.beside(program.what, peer, ratio.ratio(), note),
            Err(why) => bench.results.skip(peer, why),
        }
    }
    Ok(())
}

/// A program of `benches/` and how it is measured.
struct LoopProgram<'a> {
    name: &'a str,
    what: &'a str,
    file: &'a str,
    arguments: &'a [&'a str],
    count: u32,
    bound: f64,
    way: Way,
    /// Events that the sensor must record for each iteration.
    events: u32,
    /// Whether the functions it calls are those of the empty wrapper.
    has_floor: bool,
    /// System calls that a peer is asked for.
    calls: &'a [&'a str],
    peers: &'a [Peer],
}

fn event(bench: &mut Bench) -> Result<()> {
    let rounds = bench.rounds(7);
    let bursts = bench.count(100).to_string();
    let stub = bench.programs.library("stub_open");
    let once = |watch: Option<&Watch<'_>>| -> Result<[f64; 2]> {
        let mut command = Command::new(bench.programs.file("hot_open"));
        command.arg(&bursts).env("LD_PRELOAD", &stub);
        let told = run_json(&mut under(watch, command))?;
        Ok(["median_ps", "min_ps"].map(|name| told[name].as_f64().unwrap_or(0.0) / 1000.0))
    };
    let watch = bench.watch("event")?;
    let (mut medians, mut lowest, mut bares) = (Vec::new(), f64::INFINITY, Vec::new());
    for _ in 0..rounds {
        let [bare, bare_min] = once(None)?;
        let [median, min] = once(Some(&watch))?;
        bares.push(bare);
        medians.push(median - bare);
        lowest = lowest.min(min - bare_min);
    }
    let outcome = watch.finish()?;
    let cost = Spread::of(medians);
    let events = outcome.ledger.delivered;
    let row = Row {
        what: "one event, hot (40-byte path)".to_owned(),
        bare: time(Spread::of(bares).median),
        watched: format!("+{:.0} ns [{:.0}–{:.0}], least {lowest:.0}", cost.median, cost.low, cost.high),
        collector: if events > 0 { time(outcome.collector_cpu_ns / events as f64) } else { String::new() },
        lost: if events > 0 { lost(&outcome.ledger) } else { String::new() },
        must: "≤ 60 ns".to_owned(),
        is_reached: Some(cost.median <= 60.0 && outcome.ledger.lost == 0),
        ..Row::default()
    };
    bench.results.add(row);

    if bench.options.skips_peers {
        return Ok(());
    }
    match Lttng::start(&bench.programs).and_then(|daemon| {
        let told = run_json(Command::new(bench.programs.file("lttng_event")).arg(&bursts))?;
        drop(daemon);
        Ok(["median_ps", "min_ps"].map(|name| told[name].as_f64().unwrap_or(0.0) / 1000.0))
    }) {
        Ok([median, min]) => {
            let note = "string and 4 integers, an explicit tracepoint".to_owned();
            bench.results.beside("event", "LTTng-UST", format!("{median:.0} ns, least {min:.0}"), note);
        }
        Err(why) => bench.results.skip("LTTng-UST", format!("{why:#}")),
    }
    Ok(())
}

const ALL_PEERS: &[Peer] = &[Peer::Empty, Peer::Strace, Peer::StraceFiltered, Peer::BpfCount, Peer::BpfPrint];

fn open_close(bench: &mut Bench) -> Result<()> {
    loop_case(
        bench,
        &LoopProgram {
            name: "open-close",
            what: "open+close loop",
            file: "open_close",
            arguments: &[],
            count: 100_000,
            bound: 1.10,
            way: Way::Collect,
            events: 2,
            has_floor: true,
            calls: &["openat", "close"],
            peers: ALL_PEERS,
        },
    )
}

fn read_write(bench: &mut Bench) -> Result<()> {
    loop_case(
        bench,
        &LoopProgram {
            name: "read-write",
            what: "read+write loop, 512 bytes, /dev/zero to /dev/null",
            file: "read_write",
            arguments: &[],
            count: 200_000,
            bound: 1.05,
            way: Way::Collect,
            events: 0,
            has_floor: true,
            calls: &["read", "write"],
            peers: &[Peer::Strace, Peer::BpfCount],
        },
    )?;
    loop_case(
        bench,
        &LoopProgram {
            name: "read-write",
            what: "read+write loop, 512 bytes, file to file",
            file: "read_write_file",
            arguments: &[],
            count: 100_000,
            bound: 1.05,
            way: Way::Collect,
            events: 0,
            has_floor: true,
            calls: &["read", "write"],
            peers: &[],
        },
    )
}

fn connect_accept(bench: &mut Bench) -> Result<()> {
    loop_case(
        bench,
        &LoopProgram {
            name: "connect-accept",
            what: "connect+accept loop",
            file: "connect_accept",
            arguments: &[],
            count: 5_000,
            bound: 1.05,
            way: Way::Collect,
            events: 5,
            has_floor: false,
            calls: &["connect", "accept", "accept4", "close"],
            peers: &[Peer::Strace, Peer::StraceFiltered, Peer::BpfCount],
        },
    )
}

fn fork_exec(bench: &mut Bench) -> Result<()> {
    for (what, way, arguments, peers) in [
        ("fork+exec of /bin/true", Way::Run, ["fork"].as_slice(), ALL_PEERS),
        ("fork+exec of /bin/true, `glassbox collect`", Way::Collect, &["fork"], &[]),
        ("vfork+exec of /bin/true", Way::Run, &["vfork"], &[]),
        ("posix_spawn of /bin/true", Way::Run, &["spawn"], &[]),
    ] {
        loop_case(
            bench,
            &LoopProgram {
                name: "fork-exec",
                what,
                file: "fork_exec",
                arguments,
                count: 200,
                bound: 1.25,
                way,
                // Fork, exec and the new image's start; its exit has no number.
                events: 3,
                has_floor: false,
                calls: &["execve", "exit_group"],
                peers,
            },
        )?;
    }
    Ok(())
}

/// A program that is run as a whole.
fn whole_case(
    bench: &mut Bench,
    name: &str,
    what: &str,
    bound: f64,
    runs: u32,
    make: impl Fn() -> Command,
) -> Result<()> {
    let rounds = bench.rounds(15);
    let result = pairs(bench, bench.watch(name)?, false, rounds, |subject| {
        run_whole(runs, || subject.of(bench, make()))
    })?;
    bench.results.add(result.row(what, bound, f64::from(rounds * runs)));
    Ok(())
}

/// Importable everywhere python3 is: no optional extension modules among them.
const PYTHON_MODULES: &str = "argparse, array, ast, asyncio, base64, bisect, calendar, codecs, collections, \
    concurrent.futures, configparser, contextlib, copy, csv, dataclasses, datetime, decimal, difflib, email, enum, \
    fractions, functools, glob, hashlib, heapq, html, http.client, inspect, io, ipaddress, json, logging, \
    multiprocessing, os, pathlib, pickle, random, re, shutil, socket, statistics, subprocess, tempfile, threading, \
    urllib.request";

fn python(bench: &mut Bench) -> Result<()> {
    let interpreter = shell::python()?;
    let script = format!("import {PYTHON_MODULES}");
    whole_case(bench, "python", "python3, 45 imports", 1.03, 2, || {
        let mut command = Command::new(&interpreter);
        command.args(["-c", &script]);
        command
    })
}

fn node(bench: &mut Bench) -> Result<()> {
    let node = shell::which("node").context("node is not installed")?;
    whole_case(bench, "node", "node -e 1", 1.03, 4, || {
        let mut command = Command::new(&node);
        command.args(["-e", "1"]);
        command
    })
}

fn java(bench: &mut Bench) -> Result<()> {
    let java = shell::which("java").context("java is not installed")?;
    whole_case(bench, "java", "java -version", 1.03, 4, || {
        let mut command = Command::new(&java);
        command.arg("-version");
        command
    })
}

fn git(bench: &mut Bench) -> Result<()> {
    let git = shell::which("git").context("git is not installed")?;
    let repository = shell::scratch("bench-git")?;
    for number in 0..200 {
        let dir = repository.join(format!("folder{}", number % 10));
        fs::create_dir_all(&dir)?;
        fs::write(dir.join(format!("file{number}")), format!("contents of {number}\n"))?;
    }
    let run = |arguments: &[&str]| {
        let mut command = Command::new(&git);
        command.args(arguments).current_dir(&repository).env("GIT_CONFIG_GLOBAL", "/dev/null");
        command
    };
    shell::output(&mut run(&["init", "-q"]))?;
    shell::output(&mut run(&["add", "."]))?;
    let who = ["-c", "user.name=bench", "-c", "user.email=bench@localhost", "commit", "-qm", "files"];
    shell::output(&mut run(&who))?;
    whole_case(bench, "git", "git status", 1.25, 40, || run(&["status"]))
}

/// One nginx with one worker.
struct Nginx {
    master: Child,
    port: u16,
}

impl Nginx {
    fn start(dir: &Path, watch: Option<&Watch<'_>>) -> Result<Nginx> {
        let binary = shell::which("nginx").context("nginx is not installed (bench --install does it)")?;
        let port = http::free_port()?;
        fs::create_dir_all(dir)?;
        fs::write(dir.join("index.html"), "hello, world\n".repeat(16))?;
        fs::write(dir.join("nginx.conf"), nginx_configuration(dir, port, 1))?;
        let mut command = Command::new(binary);
        command.arg("-p").arg(dir).arg("-e").arg(dir.join("error.log")).arg("-c").arg(dir.join("nginx.conf"));
        let mut command = under(watch, command);
        command.stdin(Stdio::null());
        let nginx = Nginx { master: command.spawn()?, port };
        let is_up = || http::load(([127, 0, 0, 1], port).into(), 1, 1, Connections::Fresh).is_ok();
        if !process::wait_until(Duration::from_secs(5), is_up) {
            bail!("nginx does not answer: {}", fs::read_to_string(dir.join("error.log")).unwrap_or_default());
        }
        Ok(nginx)
    }

    /// The worker's CPU time for each of so many requests, in nanoseconds.
    fn request_ns(&self, requests: u32, connections: Connections) -> Result<f64> {
        let worker = *process::children(self.master.id()).first().context("nginx has no worker")?;
        let before = process::cpu(worker)?;
        http::load(([127, 0, 0, 1], self.port).into(), 4, requests, connections)?;
        let used = process::cpu(worker)? - before;
        Ok(used.as_nanos() as f64 / f64::from(requests))
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        process::signal(&self.master, libc::SIGTERM);
        let _ = self.master.wait();
    }
}

/// A complete configuration for an nginx in a folder of its own, in the foreground.
pub fn nginx_configuration(dir: &Path, port: u16, workers: u32) -> String {
    let dir = dir.display();
    // Workers run as the caller: another user may not reach a folder under a home directory.
    // SAFETY: geteuid(2) takes nothing and cannot fail.
    let user = if unsafe { libc::geteuid() } == 0 { "user root;" } else { "" };
    format!(
        "daemon off; {user} worker_processes {workers}; pid {dir}/nginx.pid; error_log {dir}/error.log;\n\
         events {{ worker_connections 64; }}\n\
         http {{\n\
           access_log {dir}/access.log; client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy;\n\
           fastcgi_temp_path {dir}/fastcgi; uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;\n\
           keepalive_requests 10000000; default_type text/plain;\n\
           server {{ listen 127.0.0.1:{port}; root {dir}; }}\n\
         }}\n"
    )
}

fn nginx(bench: &mut Bench) -> Result<()> {
    let dir = shell::scratch("bench-nginx")?;
    let rounds = bench.rounds(9);
    let mut rows = Vec::new();
    for (what, connections, requests) in [
        ("nginx worker CPU a request, new connections", Connections::Fresh, bench.count(8_000)),
        ("nginx worker CPU a request, keep-alive", Connections::Kept, bench.count(20_000)),
    ] {
        let watch = bench.watch("nginx")?;
        let bare = Nginx::start(&dir.join("bare"), None)?;
        let watched = Nginx::start(&dir.join("watched"), Some(&watch))?;
        let (mut bares, mut ratios) = (Vec::new(), Vec::new());
        let mut collector_ns = 0.0;
        for round in 0..=rounds {
            let bare_ns = bare.request_ns(requests, connections)?;
            let before = watch.collector_cpu_ns()?;
            let watched_ns = watched.request_ns(requests, connections)?;
            if round > 0 {
                collector_ns += watch.collector_cpu_ns()? - before;
                bares.push(bare_ns);
                ratios.push(watched_ns / bare_ns);
            }
        }
        drop(watched);
        let outcome = watch.finish()?;
        let ratio = Spread::of(ratios);
        let (must, mut is_reached) = at_most(&ratio, 1.05);
        let is_watched = outcome.ledger.delivered > 0;
        if outcome.ledger.lost > 0 {
            is_reached = Some(false);
        }
        rows.push(Row {
            what: what.to_owned(),
            bare: time(Spread::of(bares).median),
            watched: ratio.ratio(),
            collector: if is_watched {
                time(collector_ns / f64::from(rounds * requests))
            } else {
                String::new()
            },
            lost: if is_watched { lost(&outcome.ledger) } else { String::new() },
            must,
            is_reached,
            ..Row::default()
        });
    }
    rows.into_iter().for_each(|row| bench.results.add(row));
    Ok(())
}

fn size(bench: &mut Bench) -> Result<()> {
    let on_disk = fs::metadata(&bench.sensor)?.len();
    let stripped = bench.scratch.join("stripped.so");
    shell::output(Command::new("strip").arg("-o").arg(&stripped).arg(&bench.sensor))?;
    let shipped = fs::metadata(&stripped)?.len();
    bench.results.add(Row {
        what: "sensor's file, stripped".to_owned(),
        watched: format!("{} KiB ({} KiB with symbols)", shipped.div_ceil(1024), on_disk.div_ceil(1024)),
        must: "≤ 256 KiB".to_owned(),
        is_reached: Some(shipped <= 256 * 1024),
        ..Row::default()
    });
    Ok(())
}

/// Programs that sleep, killed when dropped.
struct Sleepers(Vec<Child>);

impl Sleepers {
    fn start(count: u32, watch: Option<&Watch<'_>>) -> Result<Sleepers> {
        let mut sleepers = Sleepers(Vec::new());
        for _ in 0..count {
            let mut command = Command::new("sleep");
            command.arg("60");
            sleepers.0.push(under(watch, command).spawn()?);
        }
        std::thread::sleep(Duration::from_millis(300));
        Ok(sleepers)
    }
}

impl Drop for Sleepers {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn memory(bench: &mut Bench) -> Result<()> {
    let watch = bench.watch("memory")?;
    // Two of each, so that the pages of the library's file are shared as they would be.
    let (bare, watched) = (Sleepers::start(2, None)?, Sleepers::start(2, Some(&watch))?);
    let private = |child: &Child| {
        process::mapped_kib(child.id(), &["Private_Clean:", "Private_Dirty:"], |line| {
            !line.contains("memfd:")
        })
    };
    let ring = |child: &Child| process::mapped_kib(child.id(), &["Rss:"], |line| line.contains("memfd:"));
    let total = |children: &[Child], of: &dyn Fn(&Child) -> Result<u64>| {
        children.iter().map(of).sum::<Result<u64>>().map(|kib| kib / 2)
    };
    let (before, after) = (total(&bare.0, &private)?, total(&watched.0, &private)?);
    let touched = total(&watched.0, &ring)?;
    drop((bare, watched));
    watch.finish()?;
    let added = after.saturating_sub(before);
    bench.results.add(Row {
        what: "memory of a process (`sleep`)".to_owned(),
        bare: format!("{before} KiB"),
        watched: format!("+{added} KiB private, +{touched} KiB of ring touched"),
        must: "≤ 300 KiB".to_owned(),
        is_reached: Some(added + touched <= 300),
        ..Row::default()
    });
    Ok(())
}

fn idle(bench: &mut Bench) -> Result<()> {
    bench.built()?;
    let seconds = if bench.options.is_quick { 4 } else { 10 };
    let watch = bench.watch("idle")?;
    let collector = watch.collector.as_ref().map(Collector::pid).context("no collector")?;
    let sleepers = Sleepers::start(3, Some(&watch))?;
    std::thread::sleep(Duration::from_secs(2));
    let apps = || sleepers.0.iter().map(|child| process::sleeps(child.id())).sum::<Result<u64>>();
    let (before, app_before, cpu_before) = (process::sleeps(collector)?, apps()?, process::cpu(collector)?);
    std::thread::sleep(Duration::from_secs(seconds));
    let woken = (process::sleeps(collector)? - before) as f64 / seconds as f64;
    let app_woken = apps()? - app_before;
    let cpu = (process::cpu(collector)? - cpu_before).as_nanos() as f64 / seconds as f64;
    let resident = process::status(collector, "VmRSS:")?;
    drop(sleepers);
    watch.finish()?;
    bench.results.add(Row {
        what: "idle wake-ups, collector of 3 processes".to_owned(),
        watched: format!("{woken:.1}/s; the programs: {app_woken} in {seconds} s"),
        collector: format!("{} a second, {:.1} MB resident", time(cpu), resident as f64 / 1000.0),
        must: "< 2/s; programs 0".to_owned(),
        is_reached: Some(woken < 2.0 && app_woken == 0),
        ..Row::default()
    });
    Ok(())
}

fn flood(bench: &mut Bench) -> Result<()> {
    let seconds = if bench.options.is_quick { 1.0 } else { 3.0 };
    let stub = bench.programs.library("stub_open");
    let mut rows = Vec::new();
    for (what, format, least) in
        [("flood to a recording", "recording", 2e6), ("flood to jsonl", "jsonl", 5e5)]
    {
        let built = bench.built()?;
        let file = bench.scratch.join(format!("flood.{format}"));
        let collector = Collector::start(built, &[format!("{format}:{}", file.display())])?;
        let mut command = Command::new(bench.programs.file("flood"));
        command.arg(seconds.to_string());
        collector.watch(&mut command);
        let mut both = built.sensor.clone().into_os_string();
        both.push(":");
        both.push(&stub);
        command.env("LD_PRELOAD", both);
        let told = run_json(&mut command)?;
        let made = told["iterations"].as_f64().unwrap_or(0.0);
        let flood_s = told["wall_ns"].as_f64().unwrap_or(0.0) / 1e9;
        std::thread::sleep(Duration::from_millis(200));
        let cpu_s = process::cpu(collector.pid())?.as_secs_f64();
        let peak_kib = process::status(collector.pid(), "VmHWM:")?;
        collector.stop()?;
        let ledger = match format {
            "recording" => Ledger::of_recording(built, &file)?,
            _ => Ledger::of_lines(BufReader::with_capacity(1 << 20, fs::File::open(&file)?))?,
        };
        fs::remove_file(&file)?;
        let delivered = ledger.delivered as f64;
        // On one core: a collector that took more of them is held to what one would have done.
        let per_core = delivered / flood_s.max(cpu_s);
        let unaccounted = made - delivered - ledger.lost as f64;
        rows.push(Row {
            what: what.to_owned(),
            bare: format!("made {}", rate(made / flood_s)),
            watched: format!("delivered {}, {} a core", rate(delivered / flood_s), rate(per_core)),
            collector: format!(
                "{:.2} cores, {}; peak {:.1} MB",
                cpu_s / flood_s,
                time(cpu_s * 1e9 / delivered),
                peak_kib as f64 / 1000.0
            ),
            lost: format!("{:.0} %, counted", 100.0 * ledger.lost as f64 / made),
            must: format!("≥ {} a core; ≤ 25 MB", rate(least)),
            // A handful of the program's own events (its start, its exit) are delivered beside those it made.
            is_reached: Some(per_core >= least && peak_kib <= 25_000 && unaccounted.abs() < 100.0),
            ..Row::default()
        });
        if unaccounted.abs() >= 100.0 {
            bench
                .results
                .skip(what, format!("{unaccounted:.0} events neither delivered nor counted as lost"));
        }
    }
    rows.into_iter().for_each(|row| bench.results.add(row));
    Ok(())
}

fn delay(bench: &mut Bench) -> Result<()> {
    let built = bench.built()?;
    let fifo = bench.scratch.join("delay.fifo");
    shell::output(Command::new("mkfifo").arg(&fifo))?;
    let from = fifo.clone();
    let reader = std::thread::spawn(move || delays(&from));
    let collector = Collector::start(built, &[format!("jsonl:{}", fifo.display())])?;
    let mut command = Command::new(bench.programs.file("delay"));
    command.arg(bench.count(400).to_string());
    collector.watch(&mut command);
    run_json(&mut command)?;
    std::thread::sleep(Duration::from_millis(200));
    collector.stop()?;
    let mut delays = reader.join().map_err(|_| anyhow::anyhow!("the reader panicked"))??;
    if delays.is_empty() {
        bail!("no event arrived");
    }
    delays.sort_by(f64::total_cmp);
    let [middle, high, most] = [0.5, 0.99, 1.0].map(|fraction| stats::at(&delays, fraction));
    bench.results.add(Row {
        what: "delay from call to a line of JSON".to_owned(),
        watched: format!("p50 {}, p99 {}, most {}", time(middle), time(high), time(most)),
        must: "p99 ≤ 10 ms".to_owned(),
        is_reached: Some(high <= 10e6),
        ..Row::default()
    });
    Ok(())
}

/// Reads events as they come and compares the time in their path with the clock.
fn delays(fifo: &PathBuf) -> Result<Vec<f64>> {
    let mut delays = Vec::new();
    for line in BufReader::new(fs::File::open(fifo)?).lines() {
        let line = line?;
        let arrived = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() as f64;
        let Some((_, rest)) = line.split_once("/nowhere/delay-") else { continue };
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        delays.push(arrived - digits.parse::<f64>()?);
    }
    Ok(delays)
}

fn codec(bench: &mut Bench) -> Result<()> {
    let bench_of_wire = ["bench", "--quiet", "-p", "wire", "--bench", "record"];
    let times = shell::output(&mut shell::cargo(bench_of_wire))?;
    bench.results.attach("`cargo bench -p wire`", times);

    let built = shell::cargo(bench_of_wire).args(["--no-run", "--message-format=json"]).output()?;
    let messages = String::from_utf8_lossy(&built.stdout);
    let driver = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter_map(|message| message["executable"].as_str().map(PathBuf::from))
        .next_back()
        .context("cargo built no instruction driver")?;
    let Some(valgrind) = shell::which("valgrind") else {
        bench.results.skip("instruction counts", "valgrind is not installed".to_owned());
        return Ok(());
    };
    let names = shell::output(Command::new(&driver).args(["instructions", "list"]))?;
    let mut text = String::new();
    for name in names.lines() {
        let count = |iterations: u32| -> Result<f64> {
            let mut command = Command::new(&valgrind);
            command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
            command.arg(&driver).args(["instructions", name, &iterations.to_string()]);
            let done = command.stdin(Stdio::null()).output()?;
            let told = String::from_utf8_lossy(&done.stderr).into_owned();
            let line =
                told.lines().find_map(|line| line.split_once("Collected : ").map(|(_, number)| number));
            line.and_then(|number| number.trim().parse().ok()).with_context(|| format!("callgrind: {told}"))
        };
        // The difference of two runs: starting the driver is in both.
        let (few, many) = (10_000, 30_000);
        let each = (count(many)? - count(few)?) / f64::from(many - few);
        text += &format!("{name:24} {each:8.1} instructions\n");
    }
    bench.results.attach("Instructions (`valgrind --tool=callgrind`)", text);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn python_imports_45_modules() {
        assert_eq!(45, PYTHON_MODULES.split(',').count());
    }

    #[test]
    fn no_case_stands_twice() {
        let mut names: Vec<_> = ALL.iter().map(|case| case.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(ALL.len(), names.len());
    }

    #[test]
    fn pairs_give_the_median_of_their_ratios() {
        let sample = |wall_ns| Sample { wall_ns, cpu_ns: 1.0 };
        let pairs = Pairs {
            bare: vec![sample(10.0), sample(20.0), sample(10.0)],
            watched: vec![sample(11.0), sample(40.0), sample(12.0)],
            wrapped: Vec::new(),
            outcome: Outcome::default(),
        };

        assert_eq!(1.2, pairs.wall().median);
        assert_eq!(1.0, pairs.cpu().median);
    }

    #[test]
    fn a_program_that_prints_no_json_is_an_error() {
        assert!(run_json(Command::new("echo").arg("hello")).is_err());
    }
}
