//! Every example does what its README says. The examples of `glassbox runc` and `LD_PRELOAD` run in
//! `runc.rs`.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use glassbox_tests::artefacts::{glassbox, root, sensor, target};
use glassbox_tests::child::{self, Status};
use glassbox_tests::containers::{BASE, Engine, GLASSBOX};
use glassbox_tests::python;

fn example(name: &str) -> Command {
    let mut command = Command::new(root().join("examples").join(name).join("run.sh"));
    command.env("GLASSBOX", glassbox()).env("GLASSBOX_LIB", sensor()).env_remove("LD_PRELOAD");
    command
}

#[test]
fn every_example_is_run_by_a_test() {
    let tests = fs::read_dir(root().join("tests/tests")).unwrap().flatten();
    let tests: Vec<String> = tests.map(|file| fs::read_to_string(file.path()).unwrap()).collect();

    for entry in fs::read_dir(root().join("examples")).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        if entry.path().join("run.sh").exists() {
            let names = [format!("\"{name}\""), format!("examples/{name}")];
            let is_named = |text: &String| names.iter().any(|words| text.contains(words));
            assert!(tests.iter().any(is_named), "no test runs examples/{name}/run.sh");
            let mode = fs::metadata(entry.path().join("run.sh")).unwrap().permissions().mode();
            assert_eq!(0o755, mode & 0o777, "examples/{name}/run.sh");
            assert!(entry.path().join("README.md").exists(), "examples/{name} says nothing");
        }
    }
}

#[test]
fn compose_shows_what_was_added_and_what_the_service_opened() {
    let engine = Engine::start();
    let compose = engine.path("compose");
    let text = format!(
        "#!/bin/sh\nexec {} -m podman_compose --in-pod false --podman-args '{}' --podman-run-args '{}' \"$@\"\n",
        python::program().display(),
        engine.settings().join(" "),
        "--ulimit nofile=4096:4096 --ulimit nproc=4096:4096"
    );
    fs::write(&compose, text).unwrap();
    fs::set_permissions(&compose, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = example("compose");
    command.env("COMPOSE", compose).env("APP_IMAGE", BASE).env("GLASSBOX_IMAGE", GLASSBOX);

    let ending = child::run(command, b"");

    assert_eq!(Status::Exited(0), ending.status, "{}{}", ending.stdout, ending.stderr);
    assert!(!ending.stdout.contains("\n< "), "something was taken away: {}", ending.stdout);
    for line in [
        ">       - LD_PRELOAD=/opt/glassbox/libglassbox.so",
        ">         condition: service_healthy",
        "hello",
        "opened /etc/motd",
    ] {
        assert!(
            ending.stdout.lines().any(|shown| shown == line),
            "{line}: {}{}",
            ending.stdout,
            ending.stderr
        );
    }
}

#[test]
fn redhook_is_measured_beside_the_sensor() {
    let mut command = example("redhook");
    command.env("CARGO_TARGET_DIR", target().join("redhook"));

    let ending = child::start(command, b"").finish_within(child::DEADLINE * 4).unwrap();

    assert_eq!(Status::Exited(0), ending.status, "{}", ending.stderr);
    let lines: HashMap<&str, (&str, &str)> = ending
        .stdout
        .lines()
        .map(|line| {
            let parts: Vec<&str> = line.split('\t').collect();
            let [what, theirs, ours] = *parts else { panic!("{line}") };
            // Two lines have a value measured bare in their names.
            (what.split(", ns more").next().unwrap().split(", us more").next().unwrap(), (theirs, ours))
        })
        .collect();
    let number =
        |text: &str| text.parse::<i64>().unwrap_or_else(|_| panic!("{text} is not a number: {lines:?}"));
    assert!(lines["libraries that it needs"].0.contains("libgcc_s.so.1"), "{lines:?}");
    assert_eq!("none", lines["libraries that it needs"].1);
    assert_eq!("0", lines["symbols that it needs"].1);
    assert_eq!("2", lines["functions that it hooks, by symbol"].0);
    assert_eq!(("1", "3"), lines["of open, open64 and __open_2 it sees"]);
    assert_eq!(("aborted", "the end"), lines["a function that libc does not have is called"]);
    assert_eq!("aborted", lines["a thread is cancelled in open, debug build"].0);
    assert_eq!("cancelled", lines["a thread is cancelled in open, release build"].1);
    assert_eq!(("ended with 127", "cancelled"), lines["a program of musl"]);
    let (theirs, ours) = lines["file, stripped, KiB"];
    assert!(number(ours) < number(theirs), "{lines:?}");
    for what in ["a call of open", "a start of /bin/true"] {
        // Whole nanoseconds and microseconds: a busy machine changes them, which is not a fault.
        assert!(number(lines[what].0) < 100_000 && number(lines[what].1) < 100_000, "{lines:?}");
    }
}
