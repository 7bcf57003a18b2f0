//! Calls that libc makes of itself are seen if an engine is loaded (`run --inline`), with `via: inline`, and
//! nothing is reported twice. The engine here is the test's own (`inline_engine.c`); Frida's, in `inline/`,
//! talks to the sensor in the same way.
#![cfg(target_arch = "x86_64")]

use glassbox_tests::child::{self, Status};
use glassbox_tests::compare::without_ours;
use glassbox_tests::events::{Event, Events, Expect};
use glassbox_tests::scene::{Scene, unnoticed};
use glassbox_tests::victim::{EXEC_CALLS, victim};

/// A victim's events with an engine; nothing may differ from the bare run.
fn seen_with_engine(name: &str, arguments: &[&str]) -> Events {
    let scene = Scene::of(name, arguments);
    scene.clean();
    let output = scene.beside("inline.jsonl");
    // This victim's directives build it.
    let engine = victim("inside_libc").path.with_file_name("libinline-engine.so");
    let bare = child::run(scene.bare_command(), b"");
    scene.clean();

    let ending = child::run(
        scene.run_command(&[
            "--inline",
            engine.to_str().expect("UTF-8"),
            "-o",
            &format!("jsonl:{}", output.display()),
        ]),
        b"",
    );

    assert_eq!(bare.status.as_shell_code(), ending.status.as_shell_code(), "{}", ending.stderr);
    assert_eq!(without_ours(&bare.stdout), without_ours(&ending.stdout));
    Events::read(&output, Expect::default())
}

fn seen_inside() -> Events {
    seen_with_engine("inside_libc", &[])
}

/// The mechanism and the call by which something was seen.
fn ways(events: &Events, kind: &str, path: &str) -> Vec<(String, String)> {
    let text = |event: &Event, field| event.text(field).unwrap_or_default().to_owned();
    let of_kind = events.named(kind).filter(|event| event.text("path").is_some_and(|at| at.ends_with(path)));
    of_kind.map(|event| (text(event, "call"), text(event, "via"))).collect()
}

fn way(call: &str, via: &str) -> Vec<(String, String)> {
    vec![(call.to_owned(), via.to_owned())]
}

#[test]
fn a_program_that_works_inside_libc_works_as_bare() {
    unnoticed("inside_libc");
}

#[test]
fn calls_inside_libc_are_seen_by_their_entries_and_wrapped_ones_once() {
    let seen = seen_inside();

    let opened = |path| ways(&seen, "file.open", path);
    assert_eq!(way("open", "symbol"), opened("inside.open"), "{}", seen.outline());
    assert_eq!(way("fopen", "symbol"), opened("inside.fopen"), "{}", seen.outline());
    assert_eq!(way("open", "inline"), opened("/etc/passwd"), "{}", seen.outline());
    assert_eq!(way("open", "inline"), opened("/etc/services"), "{}", seen.outline());
    assert_eq!(way("remove", "symbol"), ways(&seen, "file.unlink", "inside.fopen"), "{}", seen.outline());
    let connects = seen.named("net.connect").filter(|event| event.text("remote") == Some("/dev/log"));
    assert!(connects.count() >= 1, "{}", seen.outline());
    let execs = ways(&seen, "process.exec", "/true");
    assert_eq!(1, execs.iter().filter(|(call, _)| call == "posix_spawnp").count(), "{}", seen.outline());
    assert_eq!(0, execs.iter().filter(|(_, via)| via == "inline").count(), "{}", seen.outline());
}

#[test]
fn a_program_is_executed_once_by_whatever_function() {
    for call in EXEC_CALLS {
        let seen = seen_with_engine("exec_family", &[call, "same"]);

        let name = call.trim_start_matches("syscall_");
        let told = seen.named("process.exec").filter(|exec| exec.call() == name).count();
        assert_eq!(1, told, "{call}\n{}", seen.outline());
    }
}

#[test]
fn engine_is_loaded_by_the_sensors_constructor_and_in_no_call_of_another() {
    let seen = seen_with_engine("early_call", &[]);

    let opened = |path| ways(&seen, "file.open", path);
    assert_eq!(way("open", "symbol"), opened("early.library"), "{}", seen.outline());
    assert_eq!(way("open", "symbol"), opened("early.main"), "{}", seen.outline());
}

#[test]
fn an_engine_that_is_not_there_ends_the_run_before_it_begins() {
    let scene = Scene::of("inside_libc", &[]);
    scene.clean();

    let ending = child::run(scene.run_command(&["--inline", "/nonexistent.so"]), b"");

    assert_eq!(Status::Exited(66), ending.status);
    assert!(ending.stderr.contains("cannot find the inline engine '/nonexistent.so'"), "{}", ending.stderr);
}
