//! `glassbox exec --notify`: the supervisor is CMD's parent, and the collector runs elsewhere.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use glassbox_tests::child::{self, Status, wait_until};
use glassbox_tests::collector::Collector;
use glassbox_tests::events::{Event, Events, Expect};
use glassbox_tests::glassbox;
use glassbox_tests::scene::Scene;
use glassbox_tests::steady::{made, scene_of_static, steady_opens, stop_and_finish, wait_for_open};

/// `glassbox exec` of the scene's program, for the collector at `socket`.
fn exec(scene: &Scene, socket: &Path, options: &[&str]) -> Command {
    let bare = scene.bare_command();
    let mut command = scene.command(glassbox());
    command.arg("exec").args(options).arg("--").arg(bare.get_program()).args(bare.get_args());
    command.env("GLASSBOX_SOCKET", socket);
    command
}

const ASKED: [&str; 3] = ["--notify", "security", "--require-notify"];

/// What the events say, without numbers and times.
fn deeds(events: &Events) -> Vec<String> {
    let deed = |event: &Event| {
        let (coverage, reason) = (event.text("coverage"), event.text("reason"));
        format!("{} {} {} {coverage:?} {reason:?}", event.name(), event.call(), event.path())
    };
    events.iter().map(deed).collect()
}

#[test]
fn a_program_is_told_of_as_under_run() {
    let scene = scene_of_static("steady", &["9"]);
    let options = ["-o", &scene.events_output(), "--notify", "security", "--require-notify"];
    child::run(scene.run_command(&options), b"").assert_output(0, "failed 0\n");
    let under_run = deeds(&scene.events(Expect::NothingLost));
    fs::remove_file(scene.beside("events.jsonl")).unwrap();
    scene.clean();

    let collector = scene.collect();
    child::run(exec(&scene, collector.socket(), &ASKED), b"").assert_output(0, "failed 0\n");
    collector.stop();

    let events = scene.events(Expect::NothingLost);
    assert_eq!(under_run, deeds(&events));
    let start = events.only("the start", |event| event.name() == "process.start");
    assert_eq!((Some("notify"), Some("static")), (start.text("coverage"), start.text("reason")));
}

/// In a patched container the sensor is preloaded into a dynamic build of `glassbox exec` itself.
#[test]
fn a_supervisor_with_the_sensor_in_it_keeps_it_in_its_program() {
    let scene = scene_of_static("steady", &["2"]);
    let program = scene.bare_command().get_program().to_str().unwrap().to_owned();
    let collector = scene.collect();
    let mut command = scene.command(glassbox());
    command.args(["exec", "--notify", "security", "--", "sh", "-c", &format!("{program} 2; exit 5")]);
    collector.preload(&mut command);
    assert_eq!(Status::Exited(5), child::run(command, b"").status);
    collector.stop();

    let events = scene.events(Expect::NothingLost);
    let starts =
        events.named("process.start").filter(|start| start.list("argv").first() != Some(&"glassbox"));
    let told: Vec<_> = starts
        .filter_map(|start| Some((start.list("argv").first().copied()?, start.text("coverage")?)))
        .collect();
    let expected = [("sh", "hooked"), (program.as_str(), "notify")];
    assert!(told.ends_with(&expected), "{told:?}: {}", events.outline());
}

#[test]
fn a_supervisor_with_the_sensor_in_it_tells_of_its_program() {
    let scene = scene_of_static("steady", &["2"]);
    let collector = scene.collect();
    let mut command = exec(&scene, collector.socket(), &ASKED);
    collector.preload(&mut command);
    child::run(command, b"").assert_output(0, "failed 0\n");
    collector.stop();

    let events = scene.events(Expect::NothingLost);
    let is_notified = |event: &Event| event.text("coverage") == Some("notify");
    let start = events.only("the start", is_notified);
    assert_eq!((start.path(), Some("static")), (start.text("exe").unwrap(), start.text("reason")));
    let opens = events.named("file.open").filter(|open| open.path().contains("/steady."));
    assert_eq!(vec![start.process(); 2], opens.map(Event::process).collect::<Vec<_>>());
}

/// One collector hears of programs that are asked about, and of one that is not.
#[test]
fn only_what_the_supervisor_made_is_said_to_be_asked_about() {
    let scene = scene_of_static("steady", &["2"]);
    let program = scene.bare_command().get_program().to_owned();
    let program = program.to_str().unwrap();
    let collector = scene.collect();
    let shell = format!("{program} 2; sleep 0.7; exit 5");
    let mut command = scene.command(glassbox());
    command.args(["exec", "--notify", "security", "--require-notify", "--", "sh", "-c", &shell]);
    command.env("GLASSBOX_SOCKET", collector.socket());
    assert_eq!(Status::Exited(5), child::run(command, b"").status);
    let mut alone = scene.command("sh");
    alone.args(["-c", &shell]);
    collector.preload(&mut alone);
    assert_eq!(Status::Exited(5), child::run(alone, b"").status);
    collector.stop();

    let events = scene.events(Expect::NothingLost);
    let of_it = |event: &&Event| event.path() == program && event.name() != "process.exec";
    let told: Vec<_> =
        events.iter().filter(of_it).map(|event| (event.name(), event.text("reason"))).collect();
    let expected = vec![("process.start", Some("static")), ("sensor.blind", Some("static"))];
    assert_eq!(expected, told, "{}", events.outline());
}

#[test]
fn the_next_collector_hears_the_rest_and_what_was_lost_between() {
    for signal in [libc::SIGTERM, libc::SIGKILL] {
        let scene = scene_of_static("steady", &["100000"]);
        let socket = scene.beside("collect.sock");
        let outputs = ["first", "second"].map(|name| scene.beside(&format!("{name}.jsonl")));
        let [first, second] = outputs.each_ref().map(|path| format!("jsonl:{}", path.display()));
        let collector = Collector::start(&socket, &["-o", &first]);
        let running = child::start(exec(&scene, &socket, &ASKED), b"");
        wait_for_open(&scene, 30);
        match signal {
            libc::SIGTERM => collector.stop(),
            _ => collector.kill(),
        };
        wait_for_open(&scene, made(&scene) + 10);
        let collector = Collector::start(&socket, &["-o", &second]);
        let has_come = || fs::read_to_string(&outputs[1]).is_ok_and(|text| text.contains("\"file.open\""));
        wait_until("its first event", has_come);
        stop_and_finish(&scene, running).assert_output(0, "failed 0\n");
        collector.stop();

        let [before, after] = outputs.each_ref().map(|path| {
            // Where the first one was killed, its last events are gone with it.
            Events::read(path, Expect::LossIsCounted)
        });
        let lost: i64 = after.named("sensor.loss").filter_map(|loss| loss.number("count")).sum();
        assert!(lost >= 10, "{lost} lost: {}", after.outline());
        if signal == libc::SIGTERM {
            let opened = scene.files()["count-of-opens"].parse::<usize>().unwrap();
            let told = steady_opens(&before) + steady_opens(&after) + usize::try_from(lost).unwrap();
            assert!((opened..=opened + 1).contains(&told), "{opened} opened, {told} told");
        }
    }
}

#[test]
fn without_a_collector_the_program_runs_as_without_the_sensor() {
    let scene = scene_of_static("steady", &["3"]);
    let nobody = scene.beside("nobody.sock");

    let optional = child::run(exec(&scene, &nobody, &["--notify", "security"]), b"");
    let required = child::run(exec(&scene, &nobody, &ASKED), b"");

    optional.assert_output(0, "failed 0\n");
    assert_eq!("", optional.stderr);
    assert_eq!(Status::Exited(69), required.status);
    assert!(required.stderr.contains("no collector listens at"), "{}", required.stderr);
}

#[test]
fn its_status_and_signals_are_the_programs() {
    let scene = scene_of_static("steady", &["100000"]);
    let collector = scene.collect();
    let running = child::start(exec(&scene, collector.socket(), &ASKED), b"");
    wait_for_open(&scene, 3);
    running.signal(libc::SIGTERM);
    assert_eq!(Status::Exited(128 + libc::SIGTERM), running.finish().status);

    let mut missing = scene.command(glassbox());
    missing.arg("exec").args(ASKED).args(["--", "no-such-program"]);
    missing.env("GLASSBOX_SOCKET", collector.socket());
    assert_eq!(Status::Exited(127), child::run(missing, b"").status);
    collector.stop();
}

#[test]
fn a_launcher_that_is_killed_leaves_a_program_whose_calls_go_on() {
    let scene = scene_of_static("steady", &["100000"]);
    let collector = scene.collect();
    let running = child::start(exec(&scene, collector.socket(), &ASKED), b"");
    wait_for_open(&scene, 20);
    running.signal(libc::SIGKILL);
    wait_for_open(&scene, 200);
    let ending = stop_and_finish(&scene, running);
    assert_eq!((Status::Killed(libc::SIGKILL), "failed 0\n"), (ending.status, ending.stdout.as_str()));
    collector.stop();
    assert!(scene.events(Expect::LossIsCounted).named("file.open").count() >= 20);
}

/// The collector and the program in pid namespaces of their own, made by root.
#[test]
fn processes_of_other_pid_namespaces_are_told_of_with_their_line() {
    for is_apart in [false, true] {
        let scene = scene_of_static("steady", &["3"]);
        let program = scene.bare_command().get_program().to_str().unwrap().to_owned();
        let socket = scene.beside("collect.sock");
        let mut command = scene.command(if is_apart { "unshare".as_ref() } else { glassbox().as_os_str() });
        if is_apart {
            command.args(["--pid", "--fork", "--kill-child=SIGTERM", "--mount-proc", "--"]).arg(glassbox());
        }
        command.args(["collect", "-o", &scene.events_output()]).env("GLASSBOX_SOCKET", &socket);
        let collector = child::start(command, b"");
        wait_until("the collector's socket", || socket.exists());
        let mut command = scene.command("unshare");
        command.args(["--pid", "--fork", "--mount-proc", "--"]).arg(glassbox()).arg("exec").args(ASKED);
        command.args(["--", "sh", "-c", &format!("{program} 3; exit 5")]).env("GLASSBOX_SOCKET", &socket);
        assert_eq!(Status::Exited(5), child::run(command, b"").status);
        let last = || {
            let text = fs::read_to_string(scene.beside("events.jsonl")).unwrap_or_default();
            text.lines().any(|line| line.contains("process.exit") && line.contains("\"code\":5"))
        };
        wait_until("the shell's end", last);
        // The end of unshare is the collector's SIGTERM.
        collector.signal(if is_apart { libc::SIGKILL } else { libc::SIGTERM });
        collector.finish();

        let events = scene.events(Expect::NothingLost);
        let shell = events.only("the shell", |event| {
            event.name() == "process.start" && event.list("argv").first() == Some(&"sh")
        });
        let start = events.only("the program", |event| {
            event.name() == "process.start" && event.text("coverage") == Some("notify")
        });
        assert_eq!((Some(shell.pid()), Some("static")), (start.number("ppid"), start.text("reason")));
        let opens: Vec<&Event> =
            events.named("file.open").filter(|open| open.path().contains("/steady.")).collect();
        assert_eq!(3, opens.len(), "{}", events.outline());
        assert!(opens.iter().all(|open| open.process() == start.process()));
        let exits: Vec<(i64, i64)> = events.named("process.exit").map(Event::process).collect();
        assert_eq!(exits.len(), exits.iter().collect::<BTreeSet<_>>().len(), "{}", events.outline());
        assert!(exits.contains(&start.process()));
        assert_eq!(is_apart, start.field("pid_ns").is_some());
    }
}
