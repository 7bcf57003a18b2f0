//! Reads the state that `/proc` shows of a process just before it is gone: descriptors, environment, signals,
//! threads, memory.
//!
//! The program does not take part: it is traced for one event, `PTRACE_EVENT_EXIT`, at which all of its state
//! is still there (ptrace(2)). Its children are not traced. A process that SIGKILL ends does not stop there
//! and shows nothing.
//!
//! # Safety
//!
//! The unsafe calls here pass pointers to locals that outlive the call, and the pid of a child that has not
//! been reaped.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use crate::child::{self, Ending};
use crate::compare::{Parts, without_ours};

/// The lines of `/proc/PID/status` that the program decides on, rather than the scheduler or the allocator.
const STATUS: &[&str] = &[
    "Name",
    "Umask",
    "Uid",
    "Gid",
    "FDSize",
    "Groups",
    "Threads",
    "SigPnd",
    "ShdPnd",
    "SigBlk",
    "SigIgn",
    "SigCgt",
    "CapInh",
    "CapPrm",
    "CapEff",
    "CapBnd",
    "CapAmb",
    "NoNewPrivs",
    "Seccomp",
    "Cpus_allowed",
    "VmLck",
    "VmPin",
];

/// The files of `/proc/PID` that are compared unchanged.
const AS_THEY_ARE: &[&str] =
    &["limits", "timers", "personality", "coredump_filter", "oom_score_adj", "cmdline"];

/// Runs `command` to its end, at most for `limit`; gives its ending and its last state.
///
/// # Errors
/// The part that did not happen in time; no process of its group is running then.
pub fn run(mut command: Command, stdin: &[u8], limit: Duration) -> Result<(Ending, Parts), String> {
    // SAFETY: ptrace is a plain system call here, which may be made between fork and exec.
    unsafe {
        command.pre_exec(|| {
            libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0);
            Ok(())
        })
    };
    let running = child::start(command, stdin);
    let pid = running.pid();
    // The wait below blocks, so another thread ends a program that does not stop.
    let (seen_tx, seen_rx) = mpsc::channel::<()>();
    let watchdog = thread::spawn(move || {
        if seen_rx.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            // SAFETY: the group was made by `start` for this child, which is reaped after this thread has
            // ended.
            unsafe { libc::kill(-pid, libc::SIGKILL) };
        }
    });
    let parts = until_exit(pid);
    drop(seen_tx);
    drop(watchdog.join());
    Ok((running.finish_within(limit)?, parts))
}

/// Passes on the signals of the traced child `pid` until it is about to end, and reads its state then.
fn until_exit(pid: i32) -> Parts {
    let mut is_first = true;
    loop {
        // SAFETY: all-zero is a valid siginfo_t.
        let mut stopped: libc::siginfo_t = unsafe { std::mem::zeroed() };
        let options = libc::WEXITED | libc::WSTOPPED | libc::WNOWAIT;
        // SAFETY: `stopped` is a local; see the module's section for `pid`.
        if unsafe { libc::waitid(libc::P_PID, pid as u32, &mut stopped, options) } != 0 {
            return Parts::new();
        }
        if !matches!(stopped.si_code, libc::CLD_TRAPPED | libc::CLD_STOPPED) {
            return Parts::new(); // it is gone; its owner reaps it
        }
        // SAFETY: the kernel filled the fields of a SIGCHLD.
        let status = unsafe { stopped.si_status() };
        let (signal, event) = (status & 0xff, status >> 8);
        if is_first {
            // The SIGTRAP of the exec that TRACEME brings.
            is_first = false;
            let events = libc::PTRACE_O_TRACEEXIT | libc::PTRACE_O_TRACEEXEC | libc::PTRACE_O_EXITKILL;
            request(libc::PTRACE_SETOPTIONS, pid, events as usize);
            request(libc::PTRACE_CONT, pid, 0);
        } else if event == libc::PTRACE_EVENT_EXIT {
            let parts = look(pid);
            request(libc::PTRACE_DETACH, pid, 0);
            return parts;
        } else {
            request(libc::PTRACE_CONT, pid, if event == 0 { signal as usize } else { 0 });
        }
    }
}

fn request(what: libc::c_uint, pid: i32, argument: usize) {
    // SAFETY: these requests take a number as argument; if the child is gone they fail, and the next wait
    // reports it.
    unsafe { libc::ptrace(what, pid, 0, argument) };
}

/// The parts that `/proc/PID` shows, without the sensor's: one mapping, one library, and its variables.
fn look(pid: i32) -> Parts {
    let text = |name: &str| {
        let bytes = fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
        child::escaped(&bytes).replace('\0', "\n").replace(&pid.to_string(), "PID")
    };
    let status = text("status");
    let of_its_own = |line: &&str| line.split_once(':').is_some_and(|(name, _)| STATUS.contains(&name));
    let mut parts = Parts::new();
    let mut part = |name: &str, text: String| parts.insert(format!("at its end: {name}"), text);
    part("status", status.split_inclusive('\n').filter(of_its_own).collect());
    part("environment", without_ours(&text("environ")));
    part("descriptors", descriptors(pid));
    part("mapped files", mapped_files(&text("maps")));
    for name in AS_THEY_ARE {
        part(name, text(name));
    }
    for link in ["cwd", "root", "exe"] {
        part(link, link_of(pid, link));
    }
    parts
}

fn link_of(pid: i32, name: &str) -> String {
    fs::read_link(format!("/proc/{pid}/{name}")).map(|to| to.display().to_string()).unwrap_or_default()
}

/// A line for each descriptor: its number, its target (without inode numbers), its flags.
fn descriptors(pid: i32) -> String {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return String::new() };
    let mut lines = BTreeMap::new();
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Ok(number) = name.parse::<u32>() else { continue };
        let target = link_of(pid, &format!("fd/{name}"));
        let target = match target.split_once(":[") {
            Some((kind, _)) => kind.to_owned(),
            None => target,
        };
        let about = fs::read_to_string(format!("/proc/{pid}/fdinfo/{name}")).unwrap_or_default();
        let flags = about.lines().find(|line| line.starts_with("flags:")).unwrap_or_default().to_owned();
        lines.insert(number, format!("{number} {target} {flags}\n"));
    }
    lines.into_values().collect()
}

/// The file-backed mappings (access, offset, file), sorted; anonymous memory comes and goes with the
/// allocator.
///
/// Adjacent mappings of one stretch of a file are shown as one: the kernel splits a mapping when a page in it
/// is written and protected again, which the sensor does where it redirects callers, and may or may not join
/// the parts. Every mapping that is writable and executable is listed.
fn mapped_files(maps: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    // Access and file of the line before, and where it ends in memory and in the file.
    let mut before = (String::new(), 0, 0);
    for line in maps.lines() {
        // Columns: range, access, offset, device, inode, path.
        let mut columns = line.split_ascii_whitespace();
        let (Some(range), Some(access), Some(offset)) = (columns.next(), columns.next(), columns.next())
        else {
            continue;
        };
        let path = columns.skip(2).collect::<Vec<&str>>().join(" ");
        let is_ours = path.ends_with("/libglassbox.so") || path.starts_with("/memfd:glassbox");
        let is_file = path.starts_with('/');
        let number = |digits| u64::from_str_radix(digits, 16).unwrap_or(0);
        let (start, end) = range.split_once('-').map_or((0, 0), |(start, end)| (number(start), number(end)));
        let begin = number(offset);
        let what = format!("{access} {path}");
        let goes_on = is_file && before == (what.clone(), start, begin);
        before = (what, end, begin + end.saturating_sub(start));
        if !goes_on && !is_ours && !path.ends_with("/libempty.so") && (is_file || access.contains("wx")) {
            lines.push(format!("{access} {offset} {path}\n"));
        }
    }
    lines.sort();
    lines.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> (Ending, Parts) {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]).env_clear().env("A_NAME", "a value");
        run(command, b"", Duration::from_secs(20)).unwrap()
    }

    #[test]
    fn a_process_shows_what_it_has_until_its_end() {
        let (ending, parts) = shell("exec 7</dev/null; trap '' HUP; umask 027; exit 3");

        assert_eq!(child::Status::Exited(3), ending.status);
        assert!(parts["at its end: environment"].contains("A_NAME=a value\n"), "{parts:?}");
        assert!(parts["at its end: descriptors"].contains("\n7 /dev/null flags:"), "{parts:?}");
        assert!(parts["at its end: status"].contains("Umask:\t0027\n"), "{parts:?}");
        assert!(parts["at its end: status"].contains("0000001\nSigCgt:"), "{parts:?}");
    }

    #[test]
    fn signals_reach_a_traced_program_and_end_it() {
        let (ending, _) = shell("trap 'echo caught' USR1; kill -USR1 $$; kill -TERM $$");

        assert_eq!((child::Status::Killed(15), "caught\n"), (ending.status, ending.stdout.as_str()));
    }

    #[test]
    fn a_program_that_goes_on_for_ever_is_ended_and_said() {
        let mut command = Command::new("/bin/sleep");
        command.arg("1000");

        let ended = run(command, b"", Duration::from_millis(200));

        assert!(
            matches!(ended, Err(_) | Ok((Ending { status: child::Status::Killed(9), .. }, _))),
            "{ended:?}"
        );
    }

    #[test]
    fn a_mapping_split_where_a_page_was_written_is_one() {
        let maps = "1000-2000 r--p 00000000 fe:00 12 /lib/x\n2000-3000 r--p 00001000 fe:00 12 /lib/x\n\
                    3000-4000 r-xp 00002000 fe:00 12 /lib/x\n5000-6000 r-xp 00003000 fe:00 12 /lib/x\n";

        assert_eq!("r--p 00000000 /lib/x\nr-xp 00002000 /lib/x\nr-xp 00003000 /lib/x\n", mapped_files(maps));
    }

    #[test]
    fn our_own_mappings_are_not_in_the_list() {
        let maps = "55-56 r-xp 00001000 fe:00 12 /usr/bin/x\n57-58 rw-s 00000000 00:01 9 /memfd:glassbox (deleted)\n\
                    58-59 r-xp 00000000 fe:00 13 /lib/libglassbox.so\n60-61 rw-p 00000000 00:00 0 [heap]\n";

        assert_eq!("r-xp 00001000 /usr/bin/x\n", mapped_files(maps));
    }
}
