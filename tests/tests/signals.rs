//! The signals of `glassbox collect`: SIGHUP after a rotation and a change of rules, SIGUSR1, and what stays
//! ignored. Nothing is lost and nothing comes twice.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use glassbox_tests::child::{self, Ending, Running, Status, wait_until};
use glassbox_tests::collector::Collector;
use glassbox_tests::events::{Events, Expect};
use glassbox_tests::glassbox;
use glassbox_tests::scene::Scene;

fn signal(collector: &Collector, signal: i32) {
    // SAFETY: kill takes no pointers; the collector is this test's own child.
    assert_eq!(0, unsafe { libc::kill(collector.pid(), signal) });
}

/// The opens that `steady` has made so far.
fn wait_for_open(scene: &Scene, number: usize) {
    wait_until("more opens", || scene.work().join(format!("steady.{number}")).exists());
}

fn watched(scene: &Scene, collector: &Collector) -> Running {
    let mut command = scene.bare_command();
    collector.preload(&mut command);
    child::start(command, b"")
}

fn ended(collector: Collector) -> Ending {
    let ending = collector.stop();
    assert_eq!(Status::Exited(0), ending.status, "{}", ending.stderr);
    ending
}

fn reloads(stderr: &str) -> usize {
    stderr.matches("glassbox: reloaded: ").count()
}

#[test]
fn after_renames_and_hangups_the_files_together_have_every_event_once() {
    let scene = Scene::of("steady", &["100000"]);
    scene.clean();
    let (lines, frames) = (scene.beside("lines"), scene.beside("frames"));
    let outputs = [format!("jsonl:{}", lines.display()), format!("recording:{}", frames.display())];
    let collector = Collector::start(&scene.beside("c.sock"), &["-o", &outputs[0], "-o", &outputs[1]]);
    let running = watched(&scene, &collector);
    let part = |file: &Path, round: usize| file.with_extension(round.to_string());
    for round in 0..4 {
        wait_for_open(&scene, 20 + 40 * round);
        for file in [&lines, &frames] {
            fs::rename(file, part(file, round)).unwrap();
        }
        signal(&collector, libc::SIGHUP);
        wait_until("new files", || lines.exists() && frames.exists());
    }
    // One without a rename changes nothing.
    signal(&collector, libc::SIGHUP);
    wait_for_open(&scene, 220);
    fs::write(scene.work().join("stop"), "").unwrap();
    running.finish().assert_output(0, "failed 0\n");
    let stderr = ended(collector).stderr;

    let parts =
        |file: &Path| (0..4).map(|round| part(file, round)).chain([file.to_owned()]).collect::<Vec<_>>();
    let (mut whole, mut replayed) = (String::new(), String::new());
    for (lines, frames) in parts(&lines).iter().zip(parts(&frames)) {
        whole += &fs::read_to_string(lines).unwrap();
        let ending = replay(&frames);
        assert_eq!(Status::Exited(0), ending.status, "{}: {}", frames.display(), ending.stderr);
        replayed += &ending.stdout;
        for file in [lines, &frames] {
            assert_eq!(0o600, fs::metadata(file).unwrap().permissions().mode() & 0o777, "{}", file.display());
        }
    }
    let seen = Events::parse(&whole, Expect::NothingLost).unwrap_or_else(|broken| panic!("{broken:#?}"));
    let made = scene.files()["count-of-opens"].parse::<usize>().unwrap();
    let opens = seen.named("file.open").filter(|open| open.path().contains("/steady.")).count();
    assert_eq!(made, opens);
    assert!(reloads(&stderr) >= 4, "{stderr}");
    assert!(whole == replayed, "the recordings have other events");
}

fn replay(file: &Path) -> Ending {
    let mut command = Command::new(glassbox());
    command.arg("replay").arg(file).args(["-o", "jsonl", "--no-default-rules"]);
    child::run(command, b"")
}

#[test]
fn a_hangup_reads_rules_again_and_keeps_the_old_ones_where_the_file_is_malformed() {
    let scene = Scene::of("sudden_end", &["return", "1"]);
    scene.clean();
    let (rules, alerts) = (scene.beside("rules.yaml"), scene.beside("alerts"));
    let rule = |name: &str| {
        format!(
            "- {{rule: {name}, desc: d, condition: gb.event = file.open and fd.name endswith opened, output: o, priority: ERROR}}\n"
        )
    };
    fs::write(&rules, rule("before")).unwrap();
    let output = format!("falco:{}", alerts.display());
    let arguments =
        ["-o", &output, "--no-default-rules", "--rules", rules.to_str().unwrap(), "--fail-on", "error"];
    let collector = Collector::start(&scene.beside("c.sock"), &arguments);
    let play = || assert_eq!(Status::Exited(7), watched(&scene, &collector).finish().status);
    let reload = |text: &str| {
        fs::write(&rules, text).unwrap();
        // A file that is made anew shows that the rules were taken up.
        fs::rename(&alerts, scene.beside("earlier")).unwrap();
        signal(&collector, libc::SIGHUP);
        wait_until("the alerts' new file", || alerts.exists());
        fs::read_to_string(scene.beside("earlier")).unwrap()
    };

    play();
    wait_until("an alert", || fs::read_to_string(&alerts).unwrap_or_default().contains("before"));
    let first = reload(&rule("after"));
    play();
    wait_until("another alert", || fs::read_to_string(&alerts).unwrap_or_default().contains("after"));
    let second = reload("- rule: [");
    play();
    let ending = collector.stop();

    let third = fs::read_to_string(&alerts).unwrap();
    let count = |text: &str, name: &str| text.matches(&format!("\"rule\":\"{name}\"")).count();
    let counted = [&first, &second, &third].map(|text| [count(text, "before"), count(text, "after")]);
    assert_eq!([[1, 0], [0, 1], [0, 1]], counted, "{first}{second}{third}");
    let said = format!("glassbox: cannot reload: {}:", rules.display());
    assert!(ending.stderr.contains(&said), "{}", ending.stderr);
    assert_eq!(Status::Exited(1), ending.status, "an alert of before the reload counts");
}

#[test]
fn a_hangup_takes_up_the_changed_configuration_and_keeps_the_old_one_where_it_is_malformed() {
    let scene = Scene::of("sudden_end", &["return", "1"]);
    scene.clean();
    let [config, first, second, third] =
        ["glassbox.yaml", "first", "second", "third"].map(|name| scene.beside(name));
    let opens = |files: &[&Path]| {
        let outputs: Vec<String> = files.iter().map(|file| format!("'jsonl:{}'", file.display())).collect();
        format!("outputs: [{}]\nrules: {{default: false}}\n", outputs.join(", "))
    };
    fs::write(&config, opens(&[&first])).unwrap();
    let collector = Collector::start(&scene.beside("c.sock"), &["--config", config.to_str().unwrap()]);
    let ends = |file: &Path| fs::read_to_string(file).unwrap_or_default().matches("\"process.exit\"").count();
    let play = |into: &[(&Path, usize)]| {
        assert_eq!(Status::Exited(7), watched(&scene, &collector).finish().status);
        wait_until("the ends in the files", || into.iter().all(|(file, count)| ends(file) == *count));
    };

    play(&[(&first, 1)]);
    fs::write(&config, opens(&[&first, &second])).unwrap();
    signal(&collector, libc::SIGHUP);
    wait_until("the second output", || second.exists());
    play(&[(&first, 2), (&second, 1)]);
    // A key is misspelt: files are opened anew, but not even what the configuration says rightly holds.
    fs::write(&config, format!("{}filtr: evt.num >= 0\n", opens(&[&second, &third]))).unwrap();
    fs::rename(&first, scene.beside("earlier")).unwrap();
    signal(&collector, libc::SIGHUP);
    wait_until("the first file anew", || first.exists());
    play(&[(&first, 1), (&second, 2)]);
    assert!(!third.exists());
    fs::write(&config, opens(&[&second, &third])).unwrap();
    signal(&collector, libc::SIGHUP);
    wait_until("the third output", || third.exists());
    play(&[(&second, 3), (&third, 1)]);
    let stderr = ended(collector).stderr;

    assert_eq!([2, 1], [ends(&scene.beside("earlier")), ends(&first)], "{stderr}");
    assert!(stderr.contains("glassbox: cannot reload: ") && stderr.contains("'filter'"), "{stderr}");
}

#[test]
fn a_hangup_that_was_ignored_stays_ignored_and_one_that_was_not_ends_nothing() {
    for is_ignored in [true, false] {
        let scene = Scene::of("sudden_end", &["return", "1"]);
        scene.clean();
        let socket = scene.beside("c.sock");
        let mut command = Command::new(glassbox());
        command.args(["collect", "-o", &scene.events_output()]).env("GLASSBOX_SOCKET", &socket);
        if is_ignored {
            // As nohup(1) does.
            // SAFETY: signal(2) may be called between fork and exec.
            unsafe {
                command.pre_exec(|| {
                    libc::signal(libc::SIGHUP, libc::SIG_IGN);
                    Ok(())
                })
            };
        }
        let mut running = child::start(command, b"");
        wait_until("the collector's socket", || socket.exists());
        let health = || {
            let mut command = Command::new(glassbox());
            command.arg("health").env("GLASSBOX_SOCKET", &socket);
            child::run(command, b"").status
        };
        wait_until("the collector", || health() == Status::Exited(0));

        let events = scene.beside("events.jsonl");
        if !is_ignored {
            fs::rename(&events, scene.beside("earlier")).unwrap();
        }
        running.signal(libc::SIGHUP);
        wait_until("the new file", || events.exists());
        let mut command = scene.bare_command();
        command.env("LD_PRELOAD", glassbox_tests::sensor()).env("GLASSBOX_SOCKET", &socket);
        child::run(command, b"").assert_output(7, "opened\n");
        assert!(running.is_alive());
        running.signal(libc::SIGTERM);
        let ending = running.finish();

        assert_eq!(Status::Exited(0), ending.status, "{}", ending.stderr);
        assert_eq!(1, scene.events(Expect::NothingLost).opens("opened").len());
        assert_eq!(usize::from(!is_ignored), reloads(&ending.stderr), "{}", ending.stderr);
    }
}

#[test]
fn the_summary_so_far_is_shown_on_request_and_the_collector_goes_on() {
    let scene = Scene::of("sudden_end", &["return", "3"]);
    scene.clean();
    let collector = scene.collect();
    let play = || assert_eq!(Status::Exited(7), watched(&scene, &collector).finish().status);
    let exits = |count| {
        wait_until("an exit", || {
            let text = fs::read_to_string(scene.beside("events.jsonl")).unwrap_or_default();
            text.matches("process.exit").count() == count
        });
    };

    play();
    exits(1);
    signal(&collector, libc::SIGUSR1);
    play();
    exits(2);
    signal(&collector, libc::SIGUSR1);
    // The page is written before the thread sees the end, which it does not wait for.
    std::thread::sleep(std::time::Duration::from_millis(500));
    let stderr = ended(collector).stderr;

    let pages: Vec<&str> =
        stderr.lines().filter(|line| line.contains(" processes, ") || line.contains(" process, ")).collect();
    assert_eq!(2, pages.len(), "{stderr}");
    assert!(pages[0].contains("1 process, ") && pages[1].contains("2 processes, "), "{stderr}");
    assert_eq!(6, scene.events(Expect::NothingLost).opens("opened").len());
}

#[test]
fn hangups_without_end_in_a_flood_cost_no_event() {
    let scene = Scene::of("flood", &["2", "30000"]);
    scene.clean();
    let collector = scene.collect();

    let mut running = watched(&scene, &collector);
    while running.is_alive() {
        signal(&collector, libc::SIGHUP);
        signal(&collector, libc::SIGUSR1);
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    running.finish().assert_output(0, "failed 0\n");
    ended(collector);

    let seen = scene.events(Expect::LossIsCounted);
    let is_ours = |event: &&glassbox_tests::Event| ["open", "close"].contains(&event.call());
    let delivered = seen.iter().filter(is_ours).count() as i64;
    let lost: i64 = seen.named("sensor.loss").filter_map(|loss| loss.number("count")).sum();
    assert_eq!(120_000, delivered + lost);
}
