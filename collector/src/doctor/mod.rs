//! `glassbox doctor`: which programs the sensor will see here, why, and what can be done.
//!
//! Finds the programs (of a command, a process, a folder or `PATH`), lets [`crate::system::program`] examine
//! each, adds facts that only a running process or this environment can tell, and writes a table or JSON. It
//! changes nothing, and starts nothing but a child of its own that tries `--notify`.

mod finding;
mod process;
mod report;
mod tree;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use std::path::Path;

use notify::Level;

use crate::notify::plan::{OfLibc, Plan};
use crate::settings;
use crate::shell::cli;
use crate::shell::failure::Failure;
use crate::shell::sensor_path;
use crate::system::program::{Program, Root};
use crate::system::search::find;
use crate::system::yama;
use finding::{Finding, Findings};

pub fn examine(arguments: &cli::Doctor) -> Result<(), Failure> {
    let mut is_single = true;
    let mut findings = match (arguments.pid, &arguments.root, arguments.command.first()) {
        (Some(pid), ..) => process::examine(pid)?,
        (_, Some(folder), _) => {
            is_single = false;
            tree::examine(folder)?
        }
        (.., Some(name)) => command(name)?,
        _ => {
            is_single = false;
            tree::search_path(std::env::var_os("PATH").as_deref().unwrap_or_default())
        }
    };
    if arguments.pid.is_none() && arguments.root.is_none() {
        findings.remarks.extend(surroundings());
        findings.remarks.extend(asked_about(&findings.programs));
    }
    let mut out = std::io::stdout().lock();
    let written = match arguments.json {
        true => report::json(&findings, &mut out),
        false => report::table(&findings, arguments.all || is_single, &mut out),
    };
    written.map_err(|error| {
        Failure::output(format!("cannot write the findings to stdout: {error}; send it elsewhere"))
    })
}

/// Finds the program that `glassbox run -- NAME` would execute.
fn command(name: &OsStr) -> Result<Findings, Failure> {
    let missing = || {
        Failure::missing(format!(
            "cannot find the command '{}'; check its spelling, or give its path",
            Path::new(name).display()
        ))
    };
    let path = find(name, std::env::var_os("PATH").as_deref().unwrap_or_default()).ok_or_else(missing)?;
    let Some(program) = Program::at(&path, &Root::own()) else {
        return Err(Failure::malformed(format!(
            "'{}' is not a program: neither an executable nor a script with a '#!' line; give the shell that runs it",
            path.display()
        )));
    };
    let mut findings = Findings { programs: vec![Finding::of(program)], ..Findings::default() };
    // With `#!/usr/bin/env NAME`, the program NAME is the one that matters.
    if let Some(behind) = behind_env(&path) {
        findings.programs.push(Finding::of(behind));
    }
    Ok(findings)
}

fn behind_env(path: &Path) -> Option<Program> {
    let start = std::fs::read(path).ok()?;
    let line = start.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let mut words = line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
    if !words.next()?.ends_with(b"/env") {
        return None;
    }
    let name = words.find(|word| !word.starts_with(b"-") && !word.contains(&b'='))?;
    Program::at(&find(OsStr::from_bytes(name), &std::env::var_os("PATH")?)?, &Root::own())
}

/// Facts that hold for every program started from here.
fn surroundings() -> Vec<String> {
    let mut remarks = Vec::new();
    if let Err(failure) = settings::sensor().and_then(sensor_path::find) {
        remarks.push(failure.to_string());
    }
    let of = |name: &str| std::env::var_os(name).unwrap_or_default();
    if of("GLASSBOX") == "off" {
        remarks.push(
            "GLASSBOX=off is set: the sensor does nothing in programs started from here; unset it".into(),
        );
    }
    let preload = of("LD_PRELOAD");
    if !preload.is_empty() {
        remarks.push(format!(
            "LD_PRELOAD names '{}': the sensor is appended, and the functions of those libraries run before its own",
            Path::new(&preload).display()
        ));
    }
    let is_filtered =
        crate::system::procfs::status(std::process::id(), "Seccomp").is_some_and(|mode| mode == "2");
    if is_filtered {
        remarks.push(
            "a seccomp filter is in force here: a filter that kills for socket or memfd_create ends programs with the sensor; \
             allow both"
                .into(),
        );
    }
    remarks.extend(reading());
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    if files.is_some_and(|files| files < 8) {
        remarks.push("fewer than 8 open files are allowed: programs may have none free when the sensor starts; raise the limit (ulimit -n)".into());
    }
    remarks
}

/// What the kernel would tell of programs that hooks cannot see, where there are some: a throwaway child goes
/// the whole way.
fn asked_about(programs: &[Finding]) -> Option<String> {
    let count = programs.iter().filter(|finding| finding.is_told_with_notify()).count();
    if count == 0 {
        return None;
    }
    let sensors = settings::sensor().and_then(sensor_path::find).into_iter().collect();
    let which = if count == 1 { "1 program".to_owned() } else { format!("{count} programs") };
    Some(match Plan::prove(Level::Security, sensors, OfLibc::Passes) {
        Ok(_) => format!(
            "{which} that hooks cannot see into: the kernel tells of their calls with --notify security ('glassbox run', \
             'glassbox exec'); tried here, it works (docs/notify.md)"
        ),
        Err(why) => format!(
            "{which} that hooks cannot see into: the kernel would tell of their calls with --notify security, which cannot \
             be had here: {why}"
        ),
    })
}

/// What keeps `sensor.evasion` from comparing the memory of programs: by Yama's rule a collector, which is no
/// ancestor of theirs, may not read it without this capability.
fn reading() -> Option<String> {
    const CAP_SYS_PTRACE: u64 = 1 << 19;
    let rule = yama::rule()?;
    let granted = crate::system::procfs::status(std::process::id(), "CapEff")?;
    let may_read = u64::from_str_radix(&granted, 16).is_ok_and(|granted| granted & CAP_SYS_PTRACE != 0);
    (!may_read || !rule.knows_capability).then(|| {
        let remedy = match rule.knows_capability {
            true => "give the collector CAP_SYS_PTRACE",
            false => rule.remedy,
        };
        format!(
            "{}: changes of the sensor's code and of slots in programs are not found (sensor.evasion: hook_changed, \
             slot_changed); {remedy}",
            rule.what
        )
    })
}
