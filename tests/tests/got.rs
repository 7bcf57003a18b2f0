//! Callers that symbol interposition does not reach are seen too, with `via: got`: callers that are bound
//! past a preloaded library, and programs that ran before `glassbox attach` put the sensor into them. Neither
//! notices.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use glassbox_tests::artefacts::glassbox;
use glassbox_tests::child::{self, Ending, Running, Status, wait_until};
use glassbox_tests::collector::Collector;
use glassbox_tests::events::{Event, Events, Expect};
use glassbox_tests::scene::{Scene, sensed, unnoticed};

/// The mechanisms by which the opens of a file were seen.
fn seen_via<'e>(events: &'e Events, file: &str) -> Vec<&'e str> {
    events.opens(file).iter().filter_map(|open| open.text("via")).collect()
}

#[test]
fn plugins_work_as_bare_however_they_are_bound() {
    unnoticed("bind_past");
}

#[test]
fn a_plugin_that_binds_past_the_preload_is_seen_from_its_constructor_on() {
    let seen = sensed("bind_past", &[]).events;

    for kind in ["deep", "deep-lazy", "deep-relro"] {
        for when in ["constructor", "call", "table"] {
            assert_eq!(
                vec!["got"],
                seen_via(&seen, &format!("past.{kind}.{when}")),
                "{kind} {when}\n{}",
                seen.outline()
            );
        }
    }
}

#[test]
fn a_plugin_that_binds_to_the_preload_is_seen_by_its_symbols() {
    let seen = sensed("bind_past", &[]).events;

    for file in [
        "past.lazy.constructor",
        "past.lazy.call",
        "past.relro.constructor",
        "past.relro.call",
        "past.program",
    ] {
        assert_eq!(vec!["symbol"], seen_via(&seen, file), "{file}\n{}", seen.outline());
    }
}

#[test]
fn a_library_with_an_open_of_its_own_is_seen_once_by_the_next_one() {
    let seen = sensed("bind_past", &[]).events;

    assert_eq!(1, seen.opens("past.symbolic.call").len(), "{}", seen.outline());
}

#[test]
fn dependencies_of_a_deeply_bound_library_are_seen() {
    let seen = sensed("bound_elsewhere", &[]).events;

    for file in ["elsewhere.deepbind", "elsewhere.deepbind.dependency"] {
        assert_eq!(vec!["got"], seen_via(&seen, file), "{file}\n{}", seen.outline());
    }
}

#[test]
fn functions_found_behind_a_handle_are_the_programs_own() {
    let seen = sensed("dlopen_runpath", &[]).events;

    for (file, via) in [("by-libc-handle", "symbol"), ("by-next", "symbol"), ("by-outers-next", "got")] {
        assert_eq!(vec![via], seen_via(&seen, file), "{file}\n{}", seen.outline());
    }
}

/// A program that waits for a sign to go on, and a collector beside it.
struct Waiting {
    scene: Scene,
    running: Running,
    collector: Collector,
}

impl Waiting {
    fn start(name: &str, arguments: &[&str]) -> Self {
        let scene = Scene::of(name, arguments);
        let output = format!("jsonl:{}", scene.beside("events.jsonl").display());
        let collector = Collector::start(&scene.beside("collect.sock"), &["-o", &output]);
        let running = started(&scene);
        Self { scene, running, collector }
    }

    fn attach(&self) -> Ending {
        self.attach_to(self.running.pid())
    }

    fn attach_to(&self, pid: i32) -> Ending {
        let mut command = Command::new(glassbox());
        command.args(["attach", &pid.to_string()]).env("GLASSBOX_SOCKET", self.scene.beside("collect.sock"));
        let ending = child::run(command, b"");
        let says_its_cost = ending.stderr.contains("stood for ") && ending.stderr.contains(" ms");
        assert_eq!(ending.status == Status::Exited(0), says_its_cost, "{}", ending.stderr);
        ending
    }

    /// Lets it go on to its end; gives its ending, the files that it left, and the events.
    fn finish(self) -> (Ending, BTreeMap<String, String>, Events) {
        let ending = gone_on(&self.scene, self.running);
        let files = self.scene.files();
        let stopped = self.collector.stop();
        assert_eq!(Status::Exited(0), stopped.status, "collect: {}", stopped.stderr);
        (ending, files, Events::read(&self.scene.beside("events.jsonl"), Expect::NothingLost))
    }
}

fn started(scene: &Scene) -> Running {
    scene.clean();
    let running = child::start(scene.bare_command(), b"");
    let ready = scene.work().join("ready");
    wait_until("the victim to be ready", || ready.exists());
    // From there it is one call to its wait.
    std::thread::sleep(std::time::Duration::from_millis(100));
    running
}

fn gone_on(scene: &Scene, running: Running) -> Ending {
    fs::write(scene.work().join("go"), "x").expect("the victim has made it");
    running.finish()
}

/// Runs `name` bare, and again with the sensor put into it while it waits in `call`; gives the events of the
/// second run.
fn attached(name: &str, call: &str) -> Events {
    let scene = Scene::of(name, &[call]);
    let running = started(&scene);
    let bare = gone_on(&scene, running);
    assert_eq!(Status::Exited(7), bare.status, "{}", bare.stdout);
    let files = scene.files();

    let waiting = Waiting::start(name, &[call]);
    let said = waiting.attach();
    assert_eq!(Status::Exited(0), said.status, "{}", said.stderr);
    let pid = i64::from(waiting.running.pid());
    let (ending, left, events) = waiting.finish();

    assert_eq!(bare, ending, "the program noticed");
    assert_eq!(files, left, "the program left other files");
    let first = events.iter().find(|event| event.pid() == pid).map(Event::name);
    assert_eq!(Some("process.start"), first, "{}", events.outline());
    events
}

/// Everything that `running` does after the sign to go on.
const DONE: [&str; 10] = [
    "running.bound",
    "running.table",
    "running.constant",
    "running.late",
    "running.by-handle",
    "running.by-next",
    "running.by-default",
    "past.plugin.constructor",
    "past.plugin.call",
    "past.plugin.table",
];

fn all_is_seen(events: &Events) {
    for file in DONE {
        assert_eq!(vec!["got"], seen_via(events, file), "{file}\n{}", events.outline());
    }
}

#[test]
fn a_program_that_waits_in_read_is_entered() {
    all_is_seen(&attached("running", "read"));
}

#[test]
fn a_program_that_waits_in_poll_is_entered() {
    all_is_seen(&attached("running", "poll"));
}

#[test]
fn a_program_that_sleeps_is_entered_and_sleeps_on() {
    all_is_seen(&attached("running", "nanosleep"));
}

#[test]
fn a_program_that_allocates_all_the_time_is_entered() {
    all_is_seen(&attached("running", "work"));
}

#[test]
fn a_program_with_threads_is_entered_and_each_is_seen() {
    let events = attached("running", "threads");

    all_is_seen(&events);
    for file in ["running.thread.poll", "running.thread.nanosleep"] {
        assert_eq!(vec!["got"], seen_via(&events, file), "{file}\n{}", events.outline());
    }
}

/// A goroutine's stack has 2 kB at first, and its neighbours are others' memory.
#[test]
fn a_thread_on_a_small_stack_is_entered_without_it() {
    all_is_seen(&attached("running", "small"));
}

#[test]
fn a_program_whose_words_are_read_only_is_entered() {
    all_is_seen(&attached("running_bound", "read"));
}

#[test]
fn a_program_at_a_fixed_address_is_entered() {
    all_is_seen(&attached("running_fixed", "read"));
}

#[test]
fn descriptors_from_before_are_known() {
    let events = attached("running", "read");

    let close = events.closes("running.kept");
    assert_eq!(
        Some(Some(4)),
        close.first().map(|close| close.number("bytes_written")),
        "{}",
        events.outline()
    );
}

#[test]
fn children_of_an_entered_program_are_seen() {
    let events = attached("running", "read");

    assert_eq!(vec!["got"], seen_via(&events, "running.child"), "{}", events.outline());
    let shell = events.named("process.start").find(|start| start.list("argv").first() == Some(&"sh"));
    assert_eq!(Some("symbol"), shell.and_then(|start| start.text("via")), "{}", events.outline());
}

#[test]
fn a_program_that_has_the_sensor_is_not_entered_again() {
    let waiting = Waiting::start("running", &["read"]);

    let (first, second) = (waiting.attach(), waiting.attach());

    assert_eq!(Status::Exited(0), first.status, "{}", first.stderr);
    assert_eq!(Status::Exited(66), second.status);
    assert!(second.stderr.contains("it has the sensor already"), "{}", second.stderr);
    let (ending, _, events) = waiting.finish();
    assert_eq!(Status::Exited(7), ending.status);
    all_is_seen(&events);
}

#[test]
fn what_cannot_be_entered_is_refused_with_its_reason_and_goes_on() {
    let waiting = Waiting::start("running_static", &[]);

    let refused = waiting.attach();

    assert_eq!(Status::Exited(66), refused.status);
    assert!(refused.stderr.contains("a static program"), "{}", refused.stderr);
    assert_eq!(1, refused.stderr.lines().count(), "{}", refused.stderr);
    assert_eq!(Status::Exited(7), waiting.finish().0.status);
}

#[test]
fn a_stopped_program_is_left_stopped() {
    let waiting = Waiting::start("running", &["read"]);
    waiting.running.signal(libc::SIGSTOP);
    let stat = format!("/proc/{}/stat", waiting.running.pid());
    wait_until("the victim to stop", || fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") T ")));

    let refused = waiting.attach();

    assert!(refused.stderr.contains("it is stopped"), "{}", refused.stderr);
    assert!(fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") T ")));
    waiting.running.signal(libc::SIGCONT);
    assert_eq!(Status::Exited(7), waiting.finish().0.status);
}

#[test]
fn a_process_that_is_not_there_is_an_input_that_is_missing() {
    let waiting = Waiting::start("running", &["read"]);

    let refused = waiting.attach_to(i32::MAX);

    assert_eq!(Status::Exited(66), refused.status);
    assert!(refused.stderr.contains("no such process"), "{}", refused.stderr);
    assert_eq!(Status::Exited(7), waiting.finish().0.status);
}

#[test]
fn nothing_is_touched_where_no_collector_listens() {
    let scene = Scene::of("running", &["read"]);
    let running = started(&scene);
    let mut command = Command::new(glassbox());
    command.args(["attach", &running.pid().to_string()]).env("GLASSBOX_SOCKET", scene.beside("nobody.sock"));

    let refused = child::run(command, b"");

    assert_ne!(Status::Exited(0), refused.status, "{}", refused.stderr);
    let maps = fs::read_to_string(format!("/proc/{}/maps", running.pid())).expect("it runs");
    assert!(!maps.contains("libglassbox"));
    assert_eq!(Status::Exited(7), gone_on(&scene, running).status);
}
