//! `glassbox exec --notify` where containers run: podman's default profile, an ordinary user without any
//! capability, no new privileges, a root that is only read; the collector outside.
//!
//! These tests start containers, and fail if the machine does not allow that.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use glassbox_tests::child;
use glassbox_tests::containers::{BASE, Engine, RUN};
use glassbox_tests::events::{Event, Events, Expect};
use glassbox_tests::victim::{Libc, compiled};
use glassbox_tests::{Collector, glassbox, sensor};

/// Runs the program, and says what the shell is.
const SCRIPT: &str = "/shared/steady 9
    while read -r name rest; do case $name in Uid:|CapEff:|NoNewPrivs:) echo $name $rest;; esac; done </proc/self/status
    exit 5";

/// Runs a static program in a container with these options, and gives what a collector outside was told.
fn told(engine: &Engine, options: &[&str]) -> Events {
    let (shared, events) = (engine.path("shared"), engine.path("events.jsonl"));
    fs::create_dir_all(&shared).unwrap();
    drop(fs::remove_file(&events));
    let program = compiled("steady", Libc::GlibcStatic).path;
    for (from, name) in [(glassbox(), "glassbox"), (sensor(), "libglassbox.so"), (&*program, "steady")] {
        fs::copy(from, shared.join(name)).unwrap();
        fs::set_permissions(shared.join(name), Permissions::from_mode(0o755)).unwrap();
    }
    fs::set_permissions(&shared, Permissions::from_mode(0o755)).unwrap();
    let output = format!("jsonl:{}", events.display());
    let collector = Collector::start(&shared.join("socket"), &["-o", &output]);

    let volume = format!("{}:/shared:ro", shared.display());
    let mut run = engine.podman();
    run.args(RUN).args(["--rm", "--cap-drop", "all", "--security-opt", "no-new-privileges"]);
    run.args(["--user", "1000:1000", "--read-only", "--workdir", "/tmp", "--volume", &volume]);
    run.args(["--env", "GLASSBOX_SOCKET=/shared/socket"]).args(options).arg(BASE);
    run.args(["/shared/glassbox", "exec", "--notify", "security", "--require-notify", "--"]);
    run.args(["sh", "-c", SCRIPT]);
    let ending = child::run(run, b"");
    collector.stop();

    let said = "failed 0\nUid: 1000 1000 1000 1000\nCapEff: 0000000000000000\nNoNewPrivs: 1\n";
    ending.assert_output(5, said);
    Events::read(&events, Expect::NothingLostBelow)
}

/// Its start and its opens, with who made them.
fn is_whole(events: &Events) {
    let start = events.only("the start", |event| {
        event.name() == "process.start" && event.list("argv").first() == Some(&"/shared/steady")
    });
    assert_eq!((Some("notify"), Some("static")), (start.text("coverage"), start.text("reason")), "{start:?}");
    assert_eq!((Some(1000), Some(1000)), (start.number("uid"), start.number("euid")), "{start:?}");
    let opens: Vec<&Event> =
        events.named("file.open").filter(|open| open.path().starts_with("/tmp/steady.")).collect();
    assert_eq!(9, opens.len(), "{}", events.outline());
    assert!(opens.iter().all(|open| open.process() == start.process() && open.text("via") == Some("notify")));
    assert_eq!(0, events.named("sensor.blind").count(), "{}", events.outline());
}

#[test]
fn a_static_program_without_any_right_is_told_of() {
    is_whole(&told(&Engine::start(), &[]));
}

/// Profiles of 2020: none of these calls without CAP_SYS_PTRACE.
#[test]
fn a_profile_that_refuses_to_read_memory_leaves_another_way() {
    let engine = Engine::start();
    let text = fs::read_to_string("/usr/share/containers/seccomp.json").unwrap();
    let mut profile: serde_json::Value = serde_json::from_str(&text).unwrap();
    let later = ["process_vm_readv", "process_vm_writev", "pidfd_getfd", "close_range", "openat2"];
    for rule in profile["syscalls"].as_array_mut().unwrap() {
        let is_allowed = rule["action"] == "SCMP_ACT_ALLOW";
        let names = rule["names"].as_array_mut().unwrap();
        names.retain(|name| !(is_allowed && later.iter().any(|later| name == later)));
    }
    let path = engine.path("profile.json");
    fs::write(&path, profile.to_string()).unwrap();

    is_whole(&told(&engine, &["--security-opt", &format!("seccomp={}", path.display())]));
}
