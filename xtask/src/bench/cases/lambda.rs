//! What an invocation of a Lambda function is billed for, in the sandbox that the tests play.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::bench::Bench;
use crate::bench::report::Row;
use crate::bench::stats::{self, time};
use crate::{packages, shell};

/// The port of the receiver in the sandbox's own network.
const RECEIVER: u16 = 8123;

/// A function that opens a file, connects and starts a child: bare, with its events in its log, and with a
/// receiver on the network.
pub fn billed(bench: &mut Bench) -> Result<()> {
    let python = shell::target().join("xtask/python/bin/python");
    packages::install_python()?;
    let bare = median(bench, &python, None)?;
    for (what, output) in [
        ("to the function's log", "jsonl:-".to_owned()),
        ("to a receiver", format!("clickhouse:http://127.0.0.1:{RECEIVER}")),
    ] {
        let watched = median(bench, &python, Some(&output))?;
        bench.results.add(Row {
            what: format!("billed time of a Lambda invocation, events {what}"),
            bare: time(bare),
            watched: format!("{} (+{})", time(watched), time((watched - bare).max(0.0))),
            ..Row::default()
        });
    }
    Ok(())
}

/// The median of what an invocation is billed for, nanoseconds, but for the first one.
fn median(bench: &Bench, python: &std::path::Path, output: Option<&str>) -> Result<f64> {
    let place = bench.scratch.join("lambda");
    // The one of the round before.
    let _ = fs::remove_dir_all(&place);
    let programs = shell::root().join("tests/programs");
    let [opt, task, work] = ["opt", "task", "work"].map(|name| place.join(name));
    for folder in [&opt, &task, &work] {
        fs::create_dir_all(folder)?;
    }
    fs::copy(programs.join("lambda_function.py"), task.join("app.py"))?;
    let mut environment = json!({});
    if let Some(output) = output {
        let layer = place.join("layer.zip");
        let cli = &bench.built()?.cli;
        shell::output(Command::new(cli).args(["lambda-layer", "--unportable", "-o"]).arg(&layer))?;
        shell::output(Command::new("unzip").arg("-q").arg(&layer).arg("-d").arg(&opt))?;
        environment = json!({"LD_PRELOAD": "/opt/lib/libglassbox.so", "GLASSBOX_OUTPUT": output});
    }
    let invocation = |number| json!({"invoke": {"do": "work", "file": work.join("file"), "text": number}});
    let steps: Vec<Value> = (0..bench.count(40)).map(invocation).collect();
    let scenario = json!({
        "task": task, "runtime": [python, "-m", "awslambdaric", "app.handler"], "handler": "app.handler",
        "environment": environment, "telemetry": true, "steps": steps, "receiver": {"port": RECEIVER},
    });
    fs::write(place.join("scenario.json"), scenario.to_string())?;
    let mut command = Command::new("unshare");
    command.args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c"]);
    command.arg("mount --make-rprivate / && mount --bind \"$1\" /opt && shift && exec \"$@\"").arg("sh");
    command.arg(&opt).arg(python).arg(programs.join("lambda_sandbox.py")).arg(place.join("scenario.json"));
    let told: Value =
        serde_json::from_slice(shell::output(&mut command)?.as_bytes()).context("the sandbox")?;
    let times = told["times"].as_array().map_or(&[][..], Vec::as_slice);
    let billed = times.iter().filter(|time| time["what"] == "billed").filter_map(|time| time["ms"].as_f64());
    let mut billed: Vec<f64> = billed.skip(1).map(|ms| ms * 1e6).collect();
    if billed.len() + 1 < steps.len() {
        bail!("an invocation failed: {}", told["replies"]);
    }
    billed.sort_by(f64::total_cmp);
    Ok(stats::at(&billed, 0.5))
}
