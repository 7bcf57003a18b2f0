//! Loops over a few calls: what the sensor adds to a call, alone and in a process that does nothing else.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::pairs::{Subject, lost, pairs, under};
use crate::bench::peers::{Lttng, Peer};
use crate::bench::programs::{run_json, run_loop};
use crate::bench::report::Row;
use crate::bench::stats::{Spread, time};
use crate::bench::{Bench, Watch, Way};
use crate::shell;

/// Measures a loop program against itself, and then the peers.
fn loop_case(bench: &mut Bench, program: &LoopProgram<'_>) -> Result<()> {
    // Many short rounds: a disturbance of a second spoils a round and not the median.
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
    // The warm-up round is in the recording too.
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
    /// Whether it calls the functions of the empty wrapper.
    has_floor: bool,
    /// The system calls that a peer traces.
    calls: &'a [&'a str],
    peers: &'a [Peer],
}

pub fn event(bench: &mut Bench) -> Result<()> {
    let rounds = bench.rounds(7);
    let bursts = bench.count(100).to_string();
    let stub = bench.programs.library("stub_open");
    let once = |watch: Option<&Watch<'_>>| -> Result<[f64; 2]> {
        let mut command = Command::new(bench.programs.file("hot_open"));
        command.arg(&bursts).env("LD_PRELOAD", &stub);
        let printed = run_json(&mut under(watch, command))?;
        Ok(["median_ps", "min_ps"].map(|name| printed[name].as_f64().unwrap_or(0.0) / 1000.0))
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
        let printed = run_json(Command::new(bench.programs.file("lttng_event")).arg(&bursts))?;
        drop(daemon);
        Ok(["median_ps", "min_ps"].map(|name| printed[name].as_f64().unwrap_or(0.0) / 1000.0))
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

pub fn open_close(bench: &mut Bench) -> Result<()> {
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

pub fn read_write(bench: &mut Bench) -> Result<()> {
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

pub fn connect_accept(bench: &mut Bench) -> Result<()> {
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

pub fn fork_exec(bench: &mut Bench) -> Result<()> {
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
                // Fork, exec and the new image's start; the exit has no number.
                events: 3,
                has_floor: false,
                calls: &["execve", "exit_group"],
                peers,
            },
        )?;
    }
    Ok(())
}

pub fn codec(bench: &mut Bench) -> Result<()> {
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
            let printed = String::from_utf8_lossy(&done.stderr).into_owned();
            let line =
                printed.lines().find_map(|line| line.split_once("Collected : ").map(|(_, number)| number));
            line.and_then(|number| number.trim().parse().ok())
                .with_context(|| format!("callgrind: {printed}"))
        };
        // The difference of two runs, because both contain the start of the driver.
        let (few, many) = (10_000, 30_000);
        let each = (count(many)? - count(few)?) / f64::from(many - few);
        text += &format!("{name:24} {each:8.1} instructions\n");
    }
    bench.results.attach("Instructions (`valgrind --tool=callgrind`)", text);
    Ok(())
}
