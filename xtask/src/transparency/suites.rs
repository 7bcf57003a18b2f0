//! Test suites of other projects: a case is one of their parts, and its verdicts are what is compared.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use super::Case;
use crate::shell;

/// The parts of CPython's own test suite that touch what the sensor wraps.
const CPYTHON: &[&str] = &[
    "test_os",
    "test_posix",
    "test_subprocess",
    "test_threading",
    "test_signal",
    "test_socket",
    "test_ssl",
    "test_asyncio",
    "test_multiprocessing_fork",
    "test_multiprocessing_forkserver",
    "test_multiprocessing_main_handling",
    "test_multiprocessing_spawn",
    "test_io",
    "test_tempfile",
    "test_shutil",
    "test_mmap",
    "test_fcntl",
    "test_select",
    "test_pty",
    "test_ctypes",
];

/// CPython's own tests, by module; the verdict of every single test is compared.
pub fn cpython() -> Vec<Case> {
    let cases = CPYTHON.iter().map(|module| {
        // Without the tests that wait for a virtual machine's host for ever.
        let run = format!(
            "exec /usr/bin/python3.11 -m test --junit-xml $PWD/tests.xml -i '*VSOCK*' {module} >log 2>&1"
        );
        Case {
            needs: vec![("/usr/lib/python3.11/test/test_posix.py", "libpython3.11-testsuite")],
            // One line a test: its name, and failure, error or skipped where it is one of these.
            verdict: Some(
                r#"sed 's/<testcase /\n&/g' tests.xml | sed -n 's/^<testcase name="\([^"]*\)"[^>]*>\(<\(failure\|error\|skipped\)\)\?.*/\1 \3/p' | sort"#
                    .to_owned(),
            ),
            limit: Duration::from_secs(900),
            ..Case::new("cpython", *module, run)
        }
    });
    cases.collect()
}

/// Stressors that would exhaust the machine, or end others' processes, rather than test the program's calls.
const TOO_MUCH: &[&str] = &[
    "bigheap",
    "brk",
    "mlockmany",
    "oom-pipe",
    "resources",
    "spawn",
    "stack",
    "sysbadaddr",
    "vm-segv",
    "watchdog",
    "zombie",
    "tmpfs",
    "hdd",
    "fallocate",
];

/// Every stressor of stress-ng that an ordinary user may run, two seconds each; its verdict on itself is compared.
pub fn stress_ng() -> Result<Vec<Case>> {
    if shell::which("stress-ng").is_none() {
        let mut all = Case::new("stress-ng", "stress-ng (all stressors)", "stress-ng --version");
        all.needs = vec![("stress-ng", "stress-ng")];
        return Ok(vec![all]);
    }
    let listed = shell::output(Command::new("stress-ng").arg("--stressors"))?;
    let cases = listed.split_whitespace().filter(|name| !TOO_MUCH.contains(name)).map(|name| Case {
        is_unprivileged: true,
        // The verdict is the exit status, with the lines of `--verify` that say what failed.
        verdict: Some(
            r"sed -n 's/^stress-ng: fail: *\[[0-9]*\] *//p' log | sed 's/[0-9][0-9]*/N/g' | sort -u"
                .to_owned(),
        ),
        limit: Duration::from_secs(60),
        ..Case::new(
            "stress-ng",
            format!("stress-ng {name}"),
            format!("exec stress-ng --{name} 1 -t 2 --verify --temp-path . >log 2>&1"),
        )
    });
    Ok(cases.collect())
}
