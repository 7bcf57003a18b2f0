//! A running process: how far it is seen, and whether the sensor can be put into it.

use std::path::{Path, PathBuf};

use super::finding::{Finding, Findings};
use crate::attach::target::Target;
use crate::enrich::blind::ASKED_ABOUT;
use crate::settings;
use crate::shell::failure::Failure;
use crate::shell::sensor_path;
use crate::system::procfs;
use crate::system::program::{Coverage, HOOKED, Program, Reason, Root, SECURE};

/// The sensor is not loaded, although it could be.
static NOT_LOADED: Reason = Reason {
    name: "not_loaded",
    coverage: Coverage::Blind,
    why: "was started without the sensor",
    fix: "start it with 'glassbox run'",
    explains_silence: false,
};

/// Examines a process.
pub fn examine(pid: u32) -> Result<Findings, Failure> {
    let gone = || Failure::missing(format!("there is no process {pid}; 'ps' lists those that run"));
    let state = procfs::status(pid, "State").ok_or_else(gone)?;
    if state.starts_with(['Z', 'X']) {
        return Err(Failure::missing(format!("process {pid} has ended; nothing can be seen of it")));
    }
    let exe = procfs::exe(pid).ok_or_else(|| {
        Failure::missing(format!(
            "cannot see which program process {pid} runs: it is a kernel thread, or another user's process; run as root"
        ))
    })?;
    let path = PathBuf::from(std::ffi::OsString::from(String::from_utf8_lossy(&exe).into_owned()));
    // This link also leads to a file that was removed since, or that lies in another mount namespace.
    let image = PathBuf::from(format!("/proc/{pid}/exe"));
    let root = Root::at(Path::new(&format!("/proc/{pid}/root/")));
    let mut program = Program::at(&image, &root)
        .ok_or_else(|| Failure::missing(format!("cannot read the program of process {pid}; run as root")))?;
    program.path = path;
    let mut finding = Finding::of(program);
    finding.pid = Some(pid);
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    let has_sensor = maps.lines().any(|line| line.ends_with("/libglassbox.so"));
    let by_kernel =
        format!("glassbox attach --notify security {pid}, which has the kernel tell of its calls");
    let has_ring = maps.lines().any(|line| line.contains("/memfd:glassbox"));
    if has_ring {
        finding.notes.push("the sensor is in it and reports".to_owned());
        if finding.program.reason.coverage > Coverage::Partial {
            finding.program.reason = &HOOKED;
        }
    } else {
        finding.program.reason = not_seen(&finding.program, pid);
        if has_sensor {
            finding.notes.push("the sensor is in it and found no collector when it started".to_owned());
        } else if finding.program.reason == &NOT_LOADED {
            finding.fix = Some(
                match settings::sensor()
                    .and_then(sensor_path::find)
                    .and_then(|sensor| Target::examine(pid, &sensor))
                {
                    Ok(target) => match target.door() {
                        Ok(_) => format!("glassbox attach {pid}, or start it with 'glassbox run'"),
                        Err(kept) => format!("{by_kernel}. The sensor cannot be put in: {}", kept.message),
                    },
                    Err(failure) => failure.to_string(),
                },
            );
        } else if ASKED_ABOUT.contains(&finding.program.reason.name) {
            finding.fix = Some(format!("{by_kernel}; or {}", finding.program.reason.fix));
        }
    }
    match procfs::status(pid, "Seccomp").as_deref() {
        Some("1") => finding.notes.push("strict seccomp: no system call but read, write and exit".to_owned()),
        Some("2") => finding.notes.push(
            "a seccomp filter: the sensor makes no system call there, and the collector looks every 500 ms"
                .to_owned(),
        ),
        _ => {}
    }
    Ok(Findings { programs: vec![finding], remarks: Vec::new() })
}

/// The reason why a process does not have the sensor.
fn not_seen(program: &Program, pid: u32) -> &'static Reason {
    let reason = program.reason;
    if reason.explains_silence {
        reason
    } else if procfs::is_secure(pid) == Some(true) {
        &SECURE
    } else {
        &NOT_LOADED
    }
}
