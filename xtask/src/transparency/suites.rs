//! Test suites of other projects: each case is a part of a suite, and the verdicts of its tests are compared.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::{Case, FROM_SOURCE};
use crate::{debian, packages, shell};

/// The parts of CPython's test suite that use functions which the sensor wraps.
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

/// CPython's tests, by module; the verdict of every single test is compared.
pub fn cpython() -> Vec<Case> {
    let cases = CPYTHON.iter().map(|module| {
        // Without the tests that wait forever for the host of a virtual machine.
        let run = format!(
            "exec /usr/bin/python3.11 -m test --junit-xml $PWD/tests.xml -i '*VSOCK*' {module} >log 2>&1"
        );
        Case {
            needs: vec![("/usr/lib/python3.11/test/test_posix.py", "libpython3.11-testsuite")],
            // A line for each test: its name, and failure, error or skipped if it is one of these.
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

/// Stressors that would exhaust the machine instead of testing the program's calls, and one that sometimes
/// fails bare.
const TOO_MUCH: &[&str] =
    &["bigheap", "brk", "mlockmany", "oom-pipe", "resources", "stack", "tmpfs", "watchdog", "zombie"];

/// Options for stressors that would otherwise fill a disk.
const BOUNDED: &[(&str, &str)] = &[("fallocate", "--fallocate-bytes 32M"), ("hdd", "--hdd-bytes 32M")];

/// Every stressor of stress-ng that an ordinary user may run, two seconds each; its verdict on itself is
/// compared.
pub fn stress_ng() -> Result<Vec<Case>> {
    if shell::which("stress-ng").is_none() {
        let mut all = Case::new("stress-ng", "stress-ng (all stressors)", "stress-ng --version");
        all.needs = vec![("stress-ng", "stress-ng")];
        return Ok(vec![all]);
    }
    let listed = shell::output(Command::new("stress-ng").arg("--stressors"))?;
    let stressors = listed.split_whitespace().filter(|name| !TOO_MUCH.contains(name));
    let cases = stressors.map(|name| {
        let bound = BOUNDED.iter().find(|(stressor, _)| *stressor == name).map_or("", |(_, options)| options);
        Case {
            is_unprivileged: true,
            // The verdict is the exit status, with the lines of `--verify` that name failures.
            verdict: Some(
                r"sed -n 's/^stress-ng: fail: *\[[0-9]*\] *//p' log | sed 's/[0-9][0-9]*/N/g' | sort -u"
                    .to_owned(),
            ),
            limit: Duration::from_secs(60),
            ..Case::new(
                "stress-ng",
                format!("stress-ng {name}"),
                // Files have at most 512 MiB: some stressors try how much a disk holds.
                format!("ulimit -f 1048576; exec stress-ng --{name} 1 {bound} -t 2 --verify --temp-path . >log 2>&1"),
            )
        }
    });
    Ok(cases.collect())
}

/// Debian's source packages whose tests are run: the packages that building them needs, and the commands.
const SOURCES: &[(&str, &[&str], &str)] = &[
    (
        "git",
        &["gcc", "make", "libc6-dev", "zlib1g-dev"],
        "make -j2 NO_CURL=1 NO_EXPAT=1 NO_GETTEXT=1 NO_TCLTK=1 CFLAGS=-O1 all",
    ),
    ("redis", &["gcc", "make", "libc6-dev", "tcl"], "make -j2 MALLOC=libc OPTIMIZATION=-O1"),
];

/// A file in each source folder that exists once the source is built.
const IS_BUILT: &str = "is-built";

/// Fetches and builds a source package, unless that was done before.
pub fn build(package: &str) -> Result<()> {
    let (_, needs, script) =
        SOURCES.iter().find(|(name, ..)| *name == package).context("no such source package")?;
    packages::install(&needs.iter().map(|&name| name.to_owned()).collect::<Vec<String>>())?;
    let dir = debian::source(package)?;
    shell::output(Command::new("sh").args(["-c", script]).current_dir(&dir))?;
    fs::write(dir.join(IS_BUILT), "").with_context(|| format!("cannot write in {}", dir.display()))
}

/// Whether [`build`] was done.
pub fn is_built(package: &str) -> bool {
    debian::source_dir(package).join(IS_BUILT).exists()
}

/// The scripts of git's tests, by the first digits of their numbers, which stand for subjects.
const GIT: &[&str] = &[
    "t00", "t01", "t02", "t03", "t04", "t05", "t10", "t11", "t13", "t14", "t15", "t16", "t17", "t18", "t20",
    "t21", "t22", "t23", "t24", "t25", "t30", "t31", "t32", "t33", "t34", "t35", "t36", "t37", "t38", "t39",
    "t40", "t41", "t42", "t43", "t50", "t51", "t52", "t53", "t54", "t55", "t56", "t57", "t58", "t59", "t60",
    "t61", "t62", "t63", "t64", "t65", "t66", "t70", "t71", "t72", "t73", "t74", "t75", "t76", "t77", "t78",
    "t79", "t80",
];

/// git's tests, without those of bridges to other systems; the verdict of every single test is compared.
pub fn git() -> Vec<Case> {
    let tests = debian::source_dir("git").join("t");
    let cases = GIT.iter().map(|digits| Case {
        needs: vec![("git", FROM_SOURCE)],
        // A line for each test, with the name of its script first; one line for a script that skips all its
        // tests.
        verdict: Some(
            r#"awk '/^== /{t = $2} /^(not )?ok [0-9]|^1\.\.0/{print t ": " $0}' log"#.to_owned(),
        ),
        limit: Duration::from_secs(1200),
        ..Case::new(
            "git tests",
            format!("git {digits}"),
            format!(
                "work=$PWD; cd {}; for t in {digits}*.sh; do echo \"== $t\"; ./$t --root=$work/trash; done >$work/log 2>&1",
                tests.display()
            ),
        )
    });
    cases.collect()
}

/// The units of redis' tests, without those that only run with a cluster or TLS.
const REDIS: &[&str] = &[
    "unit/dump",
    "unit/auth",
    "unit/protocol",
    "unit/keyspace",
    "unit/scan",
    "unit/info",
    "unit/info-command",
    "unit/type/string",
    "unit/type/incr",
    "unit/type/list",
    "unit/type/list-2",
    "unit/type/list-3",
    "unit/type/set",
    "unit/type/zset",
    "unit/type/hash",
    "unit/type/stream",
    "unit/type/stream-cgroups",
    "unit/sort",
    "unit/expire",
    "unit/other",
    "unit/multi",
    "unit/quit",
    "unit/aofrw",
    "unit/acl",
    "unit/acl-v2",
    "unit/latency-monitor",
    "integration/block-repl",
    "integration/replication",
    "integration/replication-2",
    "integration/replication-3",
    "integration/replication-4",
    "integration/replication-psync",
    "integration/replication-buffer",
    "integration/shutdown",
    "integration/aof",
    "integration/aof-multi-part",
    "integration/rdb",
    "integration/corrupt-dump",
    "integration/convert-zipmap-hash-on-load",
    "integration/convert-ziplist-hash-on-load",
    "integration/convert-ziplist-zset-on-load",
    "integration/logging",
    "integration/psync2",
    "integration/psync2-reg",
    "integration/psync2-pingoff",
    "integration/psync2-master-restart",
    "integration/failover",
    "integration/redis-cli",
    "integration/redis-benchmark",
    "integration/dismiss-mem",
    "unit/pubsub",
    "unit/pubsubshard",
    "unit/slowlog",
    "unit/scripting",
    "unit/functions",
    "unit/maxmemory",
    "unit/introspection",
    "unit/introspection-2",
    "unit/limits",
    "unit/obuf-limits",
    "unit/bitops",
    "unit/bitfield",
    "unit/geo",
    "unit/memefficiency",
    "unit/hyperloglog",
    "unit/lazyfree",
    "unit/wait",
    "unit/pause",
    "unit/querybuf",
    "unit/pendingquerybuf",
    "unit/tracking",
    "unit/oom-score-adj",
    "unit/shutdown",
    "unit/networking",
    "unit/client-eviction",
    "unit/violations",
    "unit/replybufsize",
];

/// redis' tests, by unit; the verdict of every single test is compared.
pub fn redis() -> Vec<Case> {
    let cases = REDIS.iter().map(|unit| Case {
        needs: vec![("redis", FROM_SOURCE)],
        // The time of each test is not compared. One unit links its servers in a random order, as often as it
        // has time.
        verdict: Some(format!(
            r"sed 's/\x1b\[[0-9;]*m//g' log | sed -n 's/^\(\[\(ok\|err\|exception\|ignore\|timeout\|skip\)\]: .*\)/\1/p' | sed 's/ ([0-9]* ms)$//; s/[0-9][0-9][0-9][0-9]*/N/g'{}",
            if *unit == "integration/psync2" { " | sed 's/#[0-9]/#N/g' | sort -u" } else { "" }
        )),
        limit: Duration::from_secs(900),
        ..Case::new(
            "redis tests",
            format!("redis {unit}"),
            format!("log=$PWD/log; cd {}; exec ./runtest --clients 1 --single {unit} >$log 2>&1", debian::source_dir("redis").display()),
        )
    });
    cases.collect()
}
