//! Describes the machine that the figures were measured on.

use std::fs;

use crate::shell;

/// The load average of the last minute: processes that ran or were ready to run.
pub fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}

/// Lines of `name: value` that a reader needs to judge the figures.
pub fn describe() -> Vec<(String, String)> {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map(|(_, name)| name);
    let cores = cpu.lines().filter(|line| line.starts_with("processor")).count();
    let flags = cpu.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
    let is_virtual = flags.split(' ').any(|flag| flag == "hypervisor");
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let system =
        release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).unwrap_or("?").trim_matches('"');
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory_kib: u64 = memory.split_whitespace().nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);

    let mut lines = vec![
        ("processor".to_owned(), model.unwrap_or("?").to_owned()),
        ("cores".to_owned(), format!("{cores}{}", if is_virtual { ", virtual machine" } else { "" })),
        ("memory".to_owned(), format!("{} GiB", memory_kib.div_ceil(1 << 20))),
        ("kernel".to_owned(), shell::first_line("uname", &["-r"]).unwrap_or_default()),
        ("system".to_owned(), system.to_owned()),
        ("date".to_owned(), shell::first_line("date", &["-u", "+%Y-%m-%d"]).unwrap_or_default()),
        ("commit".to_owned(), commit()),
    ];
    for (name, program, arguments) in [
        ("rustc", "rustc", ["--version"].as_slice()),
        ("cc", "cc", &["--version"]),
        ("libc", "ldd", &["--version"]),
        ("python3", "python3", &["--version"]),
        ("node", "node", &["--version"]),
        ("java", "java", &["-version"]),
        ("git", "git", &["--version"]),
        ("nginx", "/usr/sbin/nginx", &["-v"]),
        ("strace", "strace", &["--version"]),
        ("bpftrace", "bpftrace", &["--version"]),
        ("go", "go", &["version"]),
        ("LTTng", "lttng", &["--version"]),
    ] {
        if let Some(version) = shell::first_line(program, arguments) {
            lines.push((name.to_owned(), version));
        }
    }
    lines
}

fn commit() -> String {
    let short = shell::first_line("git", &["rev-parse", "--short", "HEAD"]).unwrap_or_default();
    let changed = shell::first_line("git", &["status", "--porcelain", "--untracked-files=no"]).is_some();
    if changed { format!("{short} with changes") } else { short }
}
