//! `cargo xtask demo`: the main job on real programs, from the build to the events.
//!
//! Each part runs a program under `glassbox run`, shows the program's own output and the summary, and then
//! reads the `jsonl` of the same run: every call that the program is known to make must be there, and nothing
//! may be lost.

use std::collections::BTreeMap;
use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::bench::nginx_configuration;
use crate::glassbox::{self, Built};
use crate::http::{self, Connections};
use crate::{packages, process, shell};

/// The text whose words the pipeline counts.
const TEXT: &str = "what happens inside a container should not be a black box: which processes run, what they do \
    with files and with the network, and what the looking costs\n";

/// The number of requests to the server.
const REQUESTS: u32 = 40;

/// `cargo xtask demo`
pub fn run(arguments: &[String]) -> Result<()> {
    if !arguments.is_empty() {
        bail!("usage: cargo xtask demo");
    }
    heading("Building the sensor and the collector");
    let built = glassbox::build_demo()?;
    let started = Instant::now();
    let dir = shell::scratch("demo")?;
    let examples = shell::root().join("examples/demo");

    let (mut wrong, mut reports) = (Vec::new(), Vec::new());
    for part in [pipeline, python, server] {
        let part = part(&built, &dir, &examples)?;
        wrong.extend(part.wrong);
        reports.push(part.html);
    }
    heading("What this showed");
    println!(
        "three programs in {:.1} s; everything is in {}",
        started.elapsed().as_secs_f64(),
        dir.display()
    );
    println!("the same in a browser, one file each, which needs no network and can be mailed:");
    for report in &reports {
        println!("  file://{}", report.display());
    }
    if wrong.is_empty() {
        println!("every expected event was there, none was lost");
        return Ok(());
    }
    bail!("{} expectations do not hold:\n  {}", wrong.len(), wrong.join("\n  "));
}

fn pipeline(built: &Built, dir: &Path, examples: &Path) -> Result<Part> {
    let dir = dir.join("pipeline");
    fs::create_dir_all(&dir)?;
    fs::write(dir.join("words.txt"), TEXT.repeat(500))?;
    let mut part = Part::new(
        built,
        &dir,
        "A shell pipeline",
        "eleven processes, six of them in one pipeline, and three files",
    );
    let mut command = part.command();
    command.arg("sh").arg(examples.join("pipeline.sh")).arg(&dir);
    part.run(command)?;

    part.seen("sort was started", |event| event["event"] == "process.start" && ends(&event["path"], "/sort"));
    part.seen("words.txt was opened for reading", |event| {
        event["event"] == "file.open" && event["path"] == path(&dir, "words.txt")
    });
    part.seen("top.txt was opened for writing", |event| {
        event["event"] == "file.open"
            && event["path"] == path(&dir, "top.txt")
            && has(&event["flags"], "O_CREAT")
    });
    part.finish()
}

fn python(built: &Built, dir: &Path, examples: &Path) -> Result<Part> {
    let dir = dir.join("python");
    fs::create_dir_all(&dir)?;
    let orders: String =
        (0..500).map(|n| format!("{},{}\n", ["ada", "grace", "edsger"][n % 3], n * 7 % 101)).collect();
    fs::write(dir.join("orders.csv"), format!("customer,amount\n{orders}"))?;
    let server = http::serve()?;
    let about = "reads a file, starts two children, asks a local server, writes a report";
    let mut part = Part::new(built, &dir, "A Python program", about);
    let mut command = part.command();
    // By name, so that there is a lookup.
    let url = format!("http://localhost:{}/", server.port());
    command.arg(shell::python()?).arg(examples.join("report.py")).arg(&dir).arg(url);
    part.run(command)?;

    let remote = server.to_string();
    part.seen("localhost was looked up", |event| {
        event["event"] == "dns.query" && event["host"] == "localhost" && has(&event["answers"], "127.0.0.1")
    });
    part.seen(&format!("the connection to {remote}"), |event| {
        event["event"] == "net.connect" && event["remote"] == remote.as_str()
    });
    part.seen("what went over it", |event| {
        event["event"] == "net.close"
            && event["remote"] == remote.as_str()
            && event["bytes_received"].as_u64() > Some(13)
    });
    part.seen("orders.csv was opened", |event| {
        event["event"] == "file.open" && event["path"] == path(&dir, "orders.csv")
    });
    part.seen("report.txt was written", |event| {
        event["event"] == "file.close"
            && event["path"] == path(&dir, "report.txt")
            && event["bytes_written"].as_u64()
                == fs::metadata(dir.join("report.txt")).ok().map(|file| file.len())
    });
    part.seen("sort was started as a child", |event| {
        event["event"] == "process.start" && ends(&event["path"], "/sort") && has(&event["argv"], "-rn")
    });
    part.finish()
}

fn server(built: &Built, dir: &Path, examples: &Path) -> Result<Part> {
    let dir = dir.join("server");
    fs::create_dir_all(&dir)?;
    fs::write(dir.join("index.html"), "hello from the demo\n".repeat(50))?;
    let port = http::free_port()?;
    // If nginx cannot be installed, the Python server is used.
    let _ = packages::install(&["nginx-light".to_owned()]);
    let nginx = shell::which("nginx");
    let title = if nginx.is_some() { "nginx with two workers" } else { "A pre-forking server in Python" };
    let about = format!("{REQUESTS} requests from four clients, then SIGTERM through `glassbox run`");
    let mut part = Part::new(built, &dir, title, &about);
    let mut command = part.command();
    match nginx {
        Some(nginx) => {
            fs::write(dir.join("nginx.conf"), nginx_configuration(&dir, port, 2))?;
            command.arg(nginx).arg("-p").arg(&dir).arg("-e").arg(dir.join("error.log"));
            command.arg("-c").arg(dir.join("nginx.conf"));
        }
        None => {
            command.arg(shell::python()?).arg(examples.join("prefork.py")).arg(&dir).arg(port.to_string());
        }
    }
    part.serve(command, port)?;

    part.count("connections accepted", u64::from(REQUESTS), |event| {
        event["event"] == "net.accept" && event["error"].is_null() && event["remote"].is_string()
    });
    part.count("workers forked", 2, |event| event["event"] == "process.fork" && event["child"].is_u64());
    part.seen(&format!("it listens on 127.0.0.1:{port}"), |event| {
        event["event"] == "net.bind" && event["local"] == format!("127.0.0.1:{port}").as_str()
    });
    part.seen("index.html was opened", |event| {
        event["event"] == "file.open" && event["path"] == path(&dir, "index.html")
    });
    part.finish()
}

/// One program under the sensor, and the demands that it does not meet.
struct Part {
    title: String,
    cli: PathBuf,
    summary: PathBuf,
    jsonl: PathBuf,
    html: PathBuf,
    events: Vec<Value>,
    wrong: Vec<String>,
}

impl Part {
    fn new(built: &Built, dir: &Path, title: &str, about: &str) -> Part {
        heading(title);
        println!("{about}\n");
        Part {
            title: title.to_owned(),
            cli: built.cli.clone(),
            summary: dir.join("summary.txt"),
            jsonl: dir.join("events.jsonl"),
            html: dir.join("report.html"),
            events: Vec::new(),
            wrong: Vec::new(),
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.cli);
        command.args(["run", "-o", &format!("summary:{}", self.summary.display())]);
        command.args(["-o", &format!("jsonl:{}", self.jsonl.display())]);
        command.args(["-o", &format!("html:{}", self.html.display()), "--"]);
        command.stdin(Stdio::null());
        command
    }

    /// Runs it to its end.
    fn run(&mut self, mut command: Command) -> Result<()> {
        println!("$ {}\n", brief(&command));
        let status = command.status().with_context(|| shell::line(&command))?;
        if !status.success() {
            self.wrong.push(format!("{}: ended with {status}", self.title));
        }
        self.read()
    }

    /// Runs it as a server, sends it requests, and ends it with SIGINT or SIGTERM.
    fn serve(&mut self, mut command: Command, port: u16) -> Result<()> {
        println!("$ {}\n", brief(&command));
        let mut child = command.spawn().with_context(|| shell::line(&command))?;
        let address = ([127, 0, 0, 1], port).into();
        let is_listening = || {
            let table = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
            table.contains(&format!("0100007F:{port:04X} 00000000:0000 0A"))
        };
        if !process::wait_until(Duration::from_secs(10), is_listening) {
            let _ = child.kill();
            let _ = child.wait();
            bail!("the server does not listen on port {port} after 10 s");
        }
        let loaded = http::load(address, 4, REQUESTS, Connections::Fresh);
        // nginx closes idle connections a moment after the last answer.
        std::thread::sleep(Duration::from_millis(200));
        process::signal(&child, libc::SIGTERM);
        let mut status = None;
        process::wait_until(Duration::from_secs(10), || {
            status = child.try_wait().ok().flatten();
            status.is_some()
        });
        match status {
            Some(status) if status.success() => {}
            Some(status) => self.wrong.push(format!("{}: ended with {status}", self.title)),
            None => {
                let _ = child.kill();
                let _ = child.wait();
                self.wrong.push(format!("{}: did not end on SIGTERM", self.title));
            }
        }
        loaded?;
        println!("{REQUESTS} requests answered");
        self.read()
    }

    /// Shows the summary and reads the events.
    fn read(&mut self) -> Result<()> {
        let summary = fs::read_to_string(&self.summary).context("no summary was written")?;
        println!("\n{}\n", summary.trim_end());
        self.expect(
            "the summary draws the processes",
            ["├─", "└─"].iter().any(|line| summary.contains(line)),
        );
        self.expect("the summary says that none was lost", summary.contains("none lost"));
        let page = fs::read_to_string(&self.html).context("no report was written")?;
        self.expect("the report for a browser is whole", page.ends_with("</script></body></html>\n"));
        let lines = fs::read_to_string(&self.jsonl).context("no events were written")?;
        for line in lines.lines() {
            self.events.push(serde_json::from_str(line).with_context(|| format!("no JSON: {line}"))?);
        }
        Ok(())
    }

    fn seen(&mut self, what: &str, is_it: impl Fn(&Value) -> bool) {
        let is_seen = self.events.iter().any(is_it);
        self.expect(what, is_seen);
    }

    fn count(&mut self, what: &str, least: u64, is_it: impl Fn(&Value) -> bool) {
        let count = self.events.iter().filter(|event| is_it(event)).count() as u64;
        self.expect(&format!("{count} {what} (at least {least})"), count >= least);
    }

    fn expect(&mut self, what: &str, holds: bool) {
        println!("  {} {what}", if holds { "✓" } else { "✗" });
        if !holds {
            self.wrong.push(format!("{}: {what}", self.title));
        }
    }

    /// Checks the demands on every program: nothing lost, by the ledger and by the numbers themselves.
    fn finish(mut self) -> Result<Part> {
        let lost: u64 = self
            .events
            .iter()
            .filter(|event| event["event"] == "sensor.loss")
            .filter_map(|event| event["count"].as_u64())
            .sum();
        self.expect(&format!("{lost} events lost, by the ledger"), lost == 0);
        let gaps = gaps(&self.events);
        self.expect(
            &format!(
                "no gap in {} numbered events",
                self.events.iter().filter(|event| event["seq"].is_u64()).count()
            ),
            gaps.is_empty(),
        );
        self.wrong.extend(gaps);
        Ok(self)
    }
}

/// Numbers missing from a process image's sequence. Each image counts from 0.
fn gaps(events: &[Value]) -> Vec<String> {
    let mut images: BTreeMap<u64, Vec<Vec<u64>>> = BTreeMap::new();
    for event in events {
        let (Some(pid), Some(seq)) = (event["pid"].as_u64(), event["seq"].as_u64()) else { continue };
        let images = images.entry(pid).or_default();
        if seq == 0 || images.is_empty() {
            images.push(Vec::new());
        }
        images.last_mut().into_iter().for_each(|image| image.push(seq));
    }
    let mut gaps = Vec::new();
    for (pid, images) in images {
        for mut image in images {
            image.sort_unstable();
            if !image.iter().copied().eq(0..image.len() as u64) {
                gaps.push(format!("pid {pid}: seq goes to {:?} in {} events", image.last(), image.len()));
            }
        }
    }
    gaps
}

fn heading(text: &str) {
    let (bold, plain) = if std::io::stdout().is_terminal() { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
    println!("\n{bold}══ {text} {}{plain}", "═".repeat(70_usize.saturating_sub(text.chars().count())));
}

/// A command without this machine's paths, so that it can be pasted in the repository's top folder.
fn brief(command: &Command) -> String {
    let root = format!("{}/", shell::root().display());
    let line = shell::line(command).replace(&root, "");
    line.replace(" -o ", " \\\n    -o ").replace(" -- ", " -- \\\n    ")
}

fn path(dir: &Path, name: &str) -> Value {
    Value::from(dir.join(name).to_string_lossy().into_owned())
}

fn ends(value: &Value, end: &str) -> bool {
    value.as_str().is_some_and(|text| text.ends_with(end))
}

fn has(list: &Value, item: &str) -> bool {
    list.as_array().is_some_and(|list| list.iter().any(|word| word == item))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_missing_number_is_a_gap() {
        let event = |pid: u64, seq: u64| json!({ "pid": pid, "seq": seq });

        assert!(gaps(&[event(1, 0), event(1, 2), event(1, 1), event(2, 0)]).is_empty());
        assert_eq!(1, gaps(&[event(1, 0), event(1, 2)]).len());
    }

    #[test]
    fn each_image_of_a_process_counts_from_zero() {
        let event = |seq: u64| json!({ "pid": 1, "seq": seq });

        assert!(gaps(&[event(0), event(1), event(0), event(1)]).is_empty());
    }

    #[test]
    fn what_the_collector_makes_has_no_number_and_no_gap() {
        assert!(gaps(&[json!({ "pid": 1, "event": "process.exit" })]).is_empty());
    }
}
