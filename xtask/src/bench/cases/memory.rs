//! The cost of the sensor while nothing happens: the size of its file, memory, wake-ups.

use std::fs;
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context, Result};

use super::pairs::under;
use crate::bench::report::Row;
use crate::bench::stats::time;
use crate::bench::{Bench, Watch};
use crate::glassbox::Collector;
use crate::{process, shell};

pub fn size(bench: &mut Bench) -> Result<()> {
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

pub fn memory(bench: &mut Bench) -> Result<()> {
    let watch = bench.watch("memory")?;
    // Two of each, so that the pages of the library's file are shared as in real use.
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

pub fn idle(bench: &mut Bench) -> Result<()> {
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
