//! Developer commands, `cargo xtask COMMAND`: everything that is done to this repository rather
//! than by it.
//!
//! Each command is one module; what they share (running programs, installing packages, starting a
//! collector) is in `shell`, `packages`, `process` and `glassbox`.

use std::process::ExitCode;

use anyhow::{Result, bail};

mod arm64;
mod bench;
mod check_so;
mod citations;
mod debian;
mod demo;
mod dist;
mod fuzz;
mod gen_docs;
mod glassbox;
mod http;
mod libcs;
mod packages;
mod process;
mod recall;
mod shell;
mod test;
mod toolchain;
mod transparency;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  build                  release build of the workspace: target/release/{glassbox,libglassbox.so}
  test [STEP…]           installs what the tests need and runs all of them (--list names the steps)
  check-so [FILE]        proves what the sensor's file must not contain
  gen-docs [--check]     writes docs/events.md and docs/hooks.md from their tables, or says if stale
  fuzz [--seconds N]     runs every fuzz target for N seconds (default 20)
  demo                   builds everything and shows the sensor on real programs
  dist [MACHINE…]        the portable pair, archives, packages, an OCI image, Lambda layers, checksums: dist/
  recall [NAME…]         what was reported against what strace saw, program by program (--list names them;
                         --write: all of them, into docs/recall.md)
  transparency [NAME…]   real programs bare and under the sensor: what differs (--list names them;
                         --write: how each came out last, into docs/transparency.md)
  bench [NAME…]          the cost table, interleaved with the bare program (bench --help says more)";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next().unwrap_or_default();
    let rest: Vec<String> = arguments.collect();

    match dispatch(&command, &rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask {command}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: &str, rest: &[String]) -> Result<()> {
    match command {
        "build" => glassbox::build().map(drop),
        "test" => test::run(rest),
        "check-so" => check_so::run(rest),
        "gen-docs" => gen_docs::run(rest),
        "fuzz" => fuzz::run(rest),
        "dist" => dist::run(rest),
        "demo" => demo::run(rest),
        "recall" => recall::run(rest),
        "transparency" => transparency::run(rest),
        "bench" => bench::run(rest),
        "" | "help" | "--help" | "-h" => {
            println!("{USAGE}");
            Ok(())
        }
        other => bail!("no command '{other}'\n{USAGE}"),
    }
}
