//! `sensor.evasion`: each way past the hooks is told once, with where it was, and nothing that only looks
//! like one is.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use glassbox_tests::child::{self, Running, Status};
use glassbox_tests::events::{Event, Events, Expect};
use glassbox_tests::scene::Scene;
use glassbox_tests::unseen::{self, Ground};
use glassbox_tests::{glassbox, sensor};

const NOTIFY: &[&str] = &["--notify", "security", "--require-notify"];

/// A library that the victim is built with.
fn library(scene: &Scene, name: &str) -> PathBuf {
    let program = PathBuf::from(scene.bare_command().get_program());
    program.parent().expect("a folder").join(name)
}

/// The victim's run under `glassbox run` with these options, with `more` preloaded behind the sensor.
fn command(scene: &Scene, options: &[&str], more: Option<&str>) -> Command {
    scene.clean();
    let output = scene.events_output();
    let mut command = scene.run_command(&[["-o", output.as_str()].as_slice(), options].concat());
    if let Some(more) = more {
        let preload = format!("{}:{}", sensor().display(), library(scene, more).display());
        command.env("LD_PRELOAD", preload);
    }
    command
}

fn evasions(events: &Events) -> Vec<&Event> {
    events.named("sensor.evasion").collect()
}

/// The reason and the count of each evidence.
fn counted(events: &Events) -> Vec<(&str, i64)> {
    evasions(events)
        .iter()
        .map(|event| (event.text("reason").unwrap(), event.number("count").unwrap()))
        .collect()
}

#[test]
fn calls_of_a_hooked_programs_own_are_told_with_their_place_and_counted() {
    let scene = Scene::of("evasion", &["raw", "5"]);
    child::run(command(&scene, NOTIFY, None), b"").assert_output(0, "done\n");

    let events = scene.events(Expect::NothingLost);
    let all = evasions(&events);
    assert_eq!(vec![("raw_call", 1), ("raw_call", 4)], counted(&events), "{}", events.outline());
    let exe = fs::canonicalize(scene.bare_command().get_program()).unwrap();
    assert_eq!((exe.to_str(), "unlinkat"), (all[0].text("module"), all[0].call()), "{:?}", all[0]);
    let mapping = all[0].text("mapping").unwrap();
    assert!(mapping.contains(" r-xp ") && mapping.ends_with("/evasion"), "{mapping}");
    let (from, to) = mapping.split(' ').next().unwrap().split_once('-').unwrap();
    let number = |text: &str| i64::from_str_radix(text, 16).unwrap();
    let address = all[0].number("addr").unwrap();
    assert!((number(from)..=number(to)).contains(&address), "{address:x} {mapping}");
    // Each call is told as well, and the program's start comes before the evidence.
    let place = |name: &str| events.iter().position(|event| event.name() == name);
    let calls = events.named("file.unlink").filter(|event| event.text("via") == Some("notify")).count();
    assert!(place("process.start") < place("sensor.evasion"), "{}", events.outline());
    assert_eq!(5, calls, "{}", events.outline());
}

#[test]
fn a_call_from_memory_without_a_file_is_told() {
    let scene = Scene::of("evasion", &["anonymous"]);
    child::run(command(&scene, NOTIFY, None), b"").assert_output(0, "done\n");

    let events = scene.events(Expect::NothingLost);
    assert_eq!(vec![("raw_call", 1)], counted(&events), "{}", events.outline());
    let event = evasions(&events)[0];
    let mapping = event.text("mapping").unwrap();
    assert!(mapping.ends_with(" anonymous") && event.text("module").is_none(), "{event:?}");
}

/// Go's runtime calls the kernel itself: its calls are told, and are nothing that a program hides.
#[test]
fn a_cgo_programs_calls_are_told_and_are_no_evasion() {
    let ground = Ground::default();
    let run = ground.under(NOTIFY, unseen::named("go-cgo"));

    let told = run.events.iter().filter(|event| event.text("via") == Some("notify")).count();
    assert!(told > 5, "{}", run.events.outline());
    assert!(evasions(&run.events).is_empty(), "{}", run.events.outline());
}

/// So do Rust programs by the crate rustix, such as this one.
#[test]
fn a_rust_programs_calls_by_rustix_are_told_and_are_no_evasion() {
    let scene = Scene::of("evasion", &[]);
    scene.clean();
    let output = scene.events_output();
    let mut command = scene.command(glassbox());
    command.args(["run", "-o", &output, "--notify", "full", "--require-notify", "--"]);
    command.arg(glassbox()).args(["doctor", "--", "/bin/true"]);
    child::run(command, b"");

    let events = scene.events(Expect::NothingLost);
    let opens = events.named("file.open").filter(|open| open.text("via") == Some("notify")).count();
    assert!(opens > 0, "{}", events.outline());
    assert!(evasions(&events).is_empty(), "{}", events.outline());
}

#[test]
fn static_programs_have_no_hooks_to_get_past() {
    let ground = Ground::default();
    let run = ground.under(NOTIFY, unseen::named("static"));

    assert!(evasions(&run.events).is_empty(), "{}", run.events.outline());
}

#[test]
fn an_exec_that_loses_the_sensor_behind_the_hook_is_told_of_the_program_that_made_it() {
    let scene = Scene::of("evasion", &["exec", "1.5"]);
    child::run(command(&scene, &[], Some("libevasion_exec.so")), b"").assert_output(0, "");

    let events = scene.events(Expect::NothingLost);
    assert_eq!(vec![("preload_lost", 1)], counted(&events), "{}", events.outline());
    let event = evasions(&events)[0];
    assert!(event.text("exe").is_some_and(|exe| exe.ends_with("/evasion")), "{event:?}");
    assert!(event.text("module").is_some_and(|module| module.ends_with("/sleep")), "{event:?}");
    // The new program is told of too: nothing else of it is seen.
    let blind = events.only("the new program", |event| event.name() == "sensor.blind");
    assert_eq!(Some("env_cleared"), blind.text("reason"), "{blind:?}");
}

/// Our own rules: a program that is switched off, or static, or that another program of the user's prepares.
#[test]
fn execs_that_leave_the_sensor_out_by_our_own_rules_are_no_evasion() {
    let scene = Scene::of("evasion", &["exec", "0.7"]);
    for script in ["GLASSBOX=off sleep 0.7", "env -i sleep 0.7", "env -u LD_PRELOAD sleep 0.7"] {
        scene.clean();
        let output = scene.events_output();
        let mut command = scene.command(glassbox());
        command.args(["run", "-o", &output, "--", "/bin/sh", "-c", script]);
        child::run(command, b"").assert_output(0, "");

        let events = scene.events(Expect::NothingLost);
        assert!(evasions(&events).is_empty(), "{script}: {}", events.outline());
        fs::remove_file(scene.beside("events.jsonl")).unwrap();
    }
}

/// The victim in this mode, until evidence was written; then it is told to stop.
fn watched(mode: &str, options: &[&str]) -> Events {
    watched_for(EVIDENT, mode, options, None)
}

/// The victim in this mode, looked at some times.
fn looked_at(mode: &str, options: &[&str], more: Option<&str>) -> Events {
    watched_for(LOOKED_AT, mode, options, more)
}

/// Evidence comes within so long, also where all processors are busy.
const EVIDENT: Duration = Duration::from_secs(30);
/// Some looks long: the longest time between two is 2.3 s.
const LOOKED_AT: Duration = Duration::from_secs(8);

fn watched_for(most: Duration, mode: &str, options: &[&str], more: Option<&str>) -> Events {
    let scene = Scene::of("evasion", &[mode, "1"]);
    let running = child::start(command(&scene, options, more), b"");
    let is_written = || {
        let text = fs::read_to_string(scene.beside("events.jsonl")).unwrap_or_default();
        text.contains("sensor.evasion")
    };
    let begun = Instant::now();
    while !is_written() && begun.elapsed() < most {
        std::thread::sleep(Duration::from_millis(20));
    }
    end(&scene, running);
    scene.events(Expect::default())
}

fn end(scene: &Scene, running: Running) {
    fs::write(scene.work().join("stop"), "").unwrap();
    let ending = running.finish();
    assert_eq!((Status::Exited(0), ""), (ending.status, ending.stderr.as_str()), "{}", ending.stdout);
}

fn only<'a>(events: &'a Events, reason: &str) -> &'a Event {
    assert_eq!(vec![(reason, 1)], counted(events), "{}", events.outline());
    evasions(events)[0]
}

#[test]
fn code_of_the_sensor_that_was_written_over_is_told() {
    let events = watched("text", &[]);

    let event = only(&events, "hook_changed");
    assert!(event.text("module").is_some_and(|module| module.ends_with("/libglassbox.so")), "{event:?}");
    assert!(event.number("addr").is_some_and(|addr| addr > 0), "{event:?}");
}

#[test]
fn code_of_the_sensor_that_may_be_written_or_is_gone_is_told() {
    for mode in ["writable", "unmap"] {
        let events = watched(mode, &[]);

        let event = only(&events, "mapping_changed");
        assert!(event.text("module").is_some_and(|module| module.ends_with("/libglassbox.so")), "{event:?}");
    }
}

/// The kernel's question shows the environment, however soon the program has ended.
#[test]
fn an_exec_that_the_kernel_asks_about_tells_why_no_sensor_is_in_its_program() {
    let ground = Ground::default();
    let go = unseen::named("go-cgo");
    ground.clean();
    let words = go.words(&ground.work(), ground.port());
    let words = words.iter().map(|word| format!("'{}'", word.display())).collect::<Vec<_>>().join(" ");
    // Its exec is no hook's, which would leave the sensor in.
    let env = unseen::named("busybox").path();
    let script = format!("{} env -i /bin/sh -c \"/bin/true; {words}; true\"", env.display());
    let scene = Scene::of("evasion", &["exec", "0.1"]);
    scene.clean();
    let output = scene.events_output();
    let mut command = scene.command(glassbox());
    command.args(["run", "-o", &output]).args(NOTIFY).args(["--", "/bin/sh", "-c", &script]);
    let ending = child::run(command, b"");

    assert_eq!(Status::Exited(0), ending.status, "{ending:?}");
    let events = scene.events(Expect::NothingLost);
    let is_true = |event: &&Event| event.list("argv") == ["/bin/true"];
    let blind = events.named("sensor.blind").find(is_true).unwrap_or_else(|| panic!("{}", events.outline()));
    assert_eq!(Some("env_cleared"), blind.text("reason"), "{blind:?}");
    let exit = events.only("its end", |event| event.name() == "process.exit" && event.pid() == blind.pid());
    assert_eq!(Some("/usr/bin/true"), exit.text("exe"), "{exit:?}");
    // Its own calls are asked about, with or without the sensor.
    let is_go = |event: &&Event| event.path().ends_with("/go-cgo");
    let start = events.named("process.start").find(is_go).unwrap_or_else(|| panic!("{}", events.outline()));
    let why = (start.text("coverage"), start.text("reason"));
    assert_eq!((Some("notify"), Some("go")), why, "{start:?}");
    let its = events.iter().filter(|event| event.pid() == start.pid() && event.text("via") == Some("notify"));
    let exes: Vec<_> =
        its.filter(|event| event.time_ns() > start.time_ns()).map(|event| event.text("exe")).collect();
    assert!(
        exes.len() > 10 && exes.iter().all(|exe| exe.is_some_and(|exe| exe.ends_with("/go-cgo"))),
        "{exes:?}"
    );
}

#[test]
fn a_slot_that_leads_to_libc_past_the_sensor_is_told_with_its_function() {
    let events = watched("slot", &[]);

    let event = only(&events, "slot_changed");
    assert_eq!("rmdir", event.call(), "{event:?}");
    assert!(event.text("module").is_some_and(|module| module.ends_with("/evasion")), "{event:?}");
}

#[test]
fn a_ring_that_is_taken_away_behind_the_hooks_is_told() {
    let events = watched("ring", &[]);

    let event = only(&events, "ring_gone");
    assert!(event.text("mapping").is_some_and(|mapping| mapping.ends_with(" anonymous")), "{event:?}");
}

#[test]
fn a_program_that_no_hook_told_of_is_told_as_evasion_and_as_blind() {
    let scene = Scene::of("evasion", &["raw_exec", "12"]);
    child::run(command(&scene, &[], None), b"").assert_output(0, "");

    let events = scene.events(Expect::NothingLost);
    let event = only(&events, "exec_unseen");
    assert!(event.text("exe").is_some_and(|exe| exe.ends_with("/evasion")), "{event:?}");
    assert!(event.text("module").is_some_and(|module| module.ends_with("/sleep")), "{event:?}");
    let blind = events.only("what runs", |event| event.name() == "sensor.blind");
    assert_eq!(
        (Some("env_cleared"), vec!["sleep", "12"]),
        (blind.text("reason"), blind.list("argv")),
        "{blind:?}"
    );
}

#[test]
fn what_only_looks_like_evasion_is_none() {
    for mode in ["like_slot", "like_lazy", "like_jit", "like_closed", "like_debugged"] {
        let options: &[&str] = if mode == "like_jit" { NOTIFY } else { &[] };
        let events = looked_at(mode, options, None);

        assert!(evasions(&events).is_empty(), "{mode}: {}", events.outline());
    }
}

#[test]
fn another_makers_hooks_are_no_evasion() {
    for options in [&[], NOTIFY] {
        let events = looked_at("like_lazy", options, Some("libevasion_hooks.so"));

        assert!(evasions(&events).is_empty(), "{}", events.outline());
    }
}
