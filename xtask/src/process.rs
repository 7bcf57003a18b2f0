//! The cost of a process: exact times of a finished child, and readings of a live one from `/proc`.
//!
//! # Safety
//!
//! The unsafe calls here pass pointers to locals that outlive the call, and pids of children that this
//! process started and has not waited for, so a pid cannot have been reused.

use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::shell;

/// The times of one finished program.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// From just before its start until it was reaped.
    pub wall: Duration,
    /// The user and system time of it and of the descendants it waited for.
    pub cpu: Duration,
}

/// Runs a program to its end and measures it; a failure of the program is an error.
pub fn measure(command: &mut Command) -> Result<Cost> {
    let before = Instant::now();
    let child = command.spawn().with_context(|| format!("cannot start {}", shell::line(command)))?;
    let (status, cpu) = wait(child)?;
    let wall = before.elapsed();
    if !status.success() {
        bail!("{} ended with {status}", shell::line(command));
    }
    Ok(Cost { wall, cpu })
}

/// Waits for a child; gives the processor time of it and of the descendants it waited for.
pub fn wait(child: Child) -> Result<(ExitStatus, Duration)> {
    let pid = i32::try_from(child.id()).context("a pid above i32")?;
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    loop {
        // SAFETY: `status` and `usage` are locals of the right types; `pid` is our own child, which
        // only this function reaps (it owns `child`).
        let reaped = unsafe { libc::wait4(pid, &mut status, 0, usage.as_mut_ptr()) };
        if reaped == pid {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error).context("wait4");
        }
    }
    // SAFETY: all-zero is a valid rusage, and wait4 filled it.
    let usage = unsafe { usage.assume_init() };
    Ok((ExitStatus::from_raw(status), span(usage.ru_utime) + span(usage.ru_stime)))
}

/// CPU time of all children waited for so far, and of the descendants that they waited for.
pub fn cpu_of_children() -> Duration {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: `usage` is a local of the right type.
    unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, usage.as_mut_ptr()) };
    // SAFETY: all-zero is a valid rusage, so it is one whether the call filled it or not.
    let usage = unsafe { usage.assume_init() };
    span(usage.ru_utime) + span(usage.ru_stime)
}

fn span(time: libc::timeval) -> Duration {
    Duration::from_secs(time.tv_sec.unsigned_abs()) + Duration::from_micros(time.tv_usec.unsigned_abs())
}

/// Sends a signal to a child that has not been waited for.
pub fn signal(child: &Child, signal: i32) {
    if let Ok(pid) = i32::try_from(child.id()) {
        // SAFETY: `child` has not been reaped, so the pid is still its own.
        unsafe { libc::kill(pid, signal) };
    }
}

/// Sends a signal to the process group that a child leads.
pub fn signal_group(child: &Child, signal: i32) {
    if let Ok(pid) = i32::try_from(child.id()) {
        // SAFETY: `child` leads a group of its own and has not been reaped, so the group is still its.
        unsafe { libc::kill(-pid, signal) };
    }
}

/// Waits until `done` is true, at most `limit`; gives whether it became true.
pub fn wait_until(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        if done() {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The processor time of all live threads of a process, from the scheduler's own nanosecond count.
///
/// Threads that ended are not in it. It is used for the collector, whose threads live as long as it does.
pub fn cpu(pid: u32) -> Result<Duration> {
    let tasks = tasks(pid)?;
    let total = tasks.iter().filter_map(|task| {
        let text = fs::read_to_string(format!("/proc/{pid}/task/{task}/schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    Ok(Duration::from_nanos(total.sum()))
}

/// How often the process's threads went to sleep by themselves (`voluntary_ctxt_switches`).
pub fn sleeps(pid: u32) -> Result<u64> {
    let tasks = tasks(pid)?;
    let total = tasks.iter().filter_map(|task| {
        let text = fs::read_to_string(format!("/proc/{pid}/task/{task}/status")).ok()?;
        field(&text, "voluntary_ctxt_switches:")
    });
    Ok(total.sum())
}

/// A number from `/proc/PID/status`, in the file's own unit (`VmHWM:` is in KiB).
pub fn status(pid: u32, name: &str) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    field(&text, name).with_context(|| format!("no {name} in /proc/{pid}/status"))
}

/// The sum in KiB of the named lines of `/proc/PID/smaps`, over the mappings that `wanted` picks by their
/// header line.
pub fn mapped_kib(pid: u32, names: &[&str], wanted: impl Fn(&str) -> bool) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps"))?;
    let mut is_wanted = false;
    let mut total = 0;
    for line in text.lines() {
        let first = line.split_whitespace().next().unwrap_or_default();
        if !first.ends_with(':') {
            is_wanted = wanted(line);
        } else if is_wanted && names.contains(&first) {
            total += field(line, first).unwrap_or(0);
        }
    }
    Ok(total)
}

/// Processes whose parent is `pid`.
pub fn children(pid: u32) -> Vec<u32> {
    let Ok(tasks) = tasks(pid) else { return Vec::new() };
    let listed =
        tasks.iter().filter_map(|task| fs::read_to_string(format!("/proc/{pid}/task/{task}/children")).ok());
    listed
        .flat_map(|text| text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

fn tasks(pid: u32) -> Result<Vec<String>> {
    let dir = fs::read_dir(format!("/proc/{pid}/task")).with_context(|| format!("process {pid} is gone"))?;
    Ok(dir.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
}

fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.get(name.len()..)?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measure_tells_the_time_of_a_child_that_sleeps() {
        let cost = measure(Command::new("sleep").arg("0.05")).unwrap();

        assert!(cost.wall >= Duration::from_millis(50), "{cost:?}");
        assert!(cost.cpu < cost.wall, "{cost:?}");
    }

    #[test]
    fn measure_reports_a_program_that_fails() {
        assert!(measure(&mut Command::new("false")).is_err());
    }

    #[test]
    fn a_field_is_the_number_after_its_name() {
        assert_eq!(Some(12), field("VmPeak:\t 9 kB\nVmHWM:\t      12 kB\n", "VmHWM:"));
        assert_eq!(None, field("VmPeak:\t 9 kB\n", "VmHWM:"));
    }

    #[test]
    fn this_process_has_used_cpu_and_has_private_memory() {
        let pid = std::process::id();

        assert!(cpu(pid).unwrap() > Duration::ZERO);
        assert!(mapped_kib(pid, &["Private_Dirty:"], |_| true).unwrap() > 0);
    }
}
