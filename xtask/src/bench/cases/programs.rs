//! Real programs, each run as a whole, and a server under load.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::pairs::{lost, pairs, under};
use crate::bench::programs::run_whole;
use crate::bench::report::{Row, at_most};
use crate::bench::stats::{Spread, time};
use crate::bench::{Bench, Watch};
use crate::http::{self, Connections};
use crate::{process, shell};

/// Measures a program that is run as a whole.
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

/// Modules that every python3 has: no optional extension modules are among them.
pub(super) const PYTHON_MODULES: &str = "argparse, array, ast, asyncio, base64, bisect, calendar, codecs, collections, \
    concurrent.futures, configparser, contextlib, copy, csv, dataclasses, datetime, decimal, difflib, email, enum, \
    fractions, functools, glob, hashlib, heapq, html, http.client, inspect, io, ipaddress, json, logging, \
    multiprocessing, os, pathlib, pickle, random, re, shutil, socket, statistics, subprocess, tempfile, threading, \
    urllib.request";

pub fn python(bench: &mut Bench) -> Result<()> {
    let interpreter = shell::python()?;
    let script = format!("import {PYTHON_MODULES}");
    whole_case(bench, "python", "python3, 45 imports", 1.03, 2, || {
        let mut command = Command::new(&interpreter);
        command.args(["-c", &script]);
        command
    })
}

pub fn node(bench: &mut Bench) -> Result<()> {
    let node = shell::which("node").context("node is not installed")?;
    whole_case(bench, "node", "node -e 1", 1.03, 4, || {
        let mut command = Command::new(&node);
        command.args(["-e", "1"]);
        command
    })
}

pub fn java(bench: &mut Bench) -> Result<()> {
    let java = shell::which("java").context("java is not installed")?;
    whole_case(bench, "java", "java -version", 1.03, 4, || {
        let mut command = Command::new(&java);
        command.arg("-version");
        command
    })
}

pub fn git(bench: &mut Bench) -> Result<()> {
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

    /// The worker's processor time per request, in nanoseconds.
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

pub fn nginx(bench: &mut Bench) -> Result<()> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn python_imports_45_modules() {
        assert_eq!(45, PYTHON_MODULES.split(',').count());
    }
}
