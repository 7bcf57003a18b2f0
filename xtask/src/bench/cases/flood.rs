//! How much the collector keeps up with.

use std::fs;
use std::io::BufReader;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::bench::Bench;
use crate::bench::programs::run_json;
use crate::bench::report::Row;
use crate::bench::stats::{rate, time};
use crate::glassbox::{Collector, Ledger};
use crate::process;

pub fn flood(bench: &mut Bench) -> Result<()> {
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
        let printed = run_json(&mut command)?;
        let made = printed["iterations"].as_f64().unwrap_or(0.0);
        let flood_s = printed["wall_ns"].as_f64().unwrap_or(0.0) / 1e9;
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
        // A collector that used more than one core is held to the rate of one.
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
            // The program's own events (its start, its exit) are delivered too, a handful.
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
