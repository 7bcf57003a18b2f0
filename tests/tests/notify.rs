//! `glassbox run --notify`: what the kernel asks about, where no hook tells of it; and that no death of
//! ours makes a call fail.

use std::fs;
use std::process::Command;
use std::time::Duration;

use glassbox_tests::child::{self, Running, Status, wait_until};
use glassbox_tests::events::{Event, Events, Expect};
use glassbox_tests::glassbox;
use glassbox_tests::scene::{Mode, Scene, caught};
use glassbox_tests::steady::{made, scene_of_static, steady_opens, stop_and_finish, wait_for_open};
use glassbox_tests::unseen::{Ground, named};
use glassbox_tests::victim::{Libc, ON_MUSL, compiled, directives};

fn supervised(scene: &Scene, options: &[&str]) -> Command {
    let output = scene.events_output();
    let mut all = vec!["-o", output.as_str(), "--notify", "security", "--require-notify"];
    all.extend_from_slice(options);
    scene.run_command(&all)
}

fn kill(pid: i32) {
    // SAFETY: kill takes no pointers; the process was started by this test, or by one that was.
    unsafe { libc::kill(pid, libc::SIGKILL) };
}

fn children(pid: i32) -> Vec<i32> {
    let listed = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    listed.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// The child of the launcher that runs `name`.
fn child_of(launcher: &Running, name: &str) -> i32 {
    let is_it = |pid: &i32| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe.ends_with(name));
    let mut found = None;
    wait_until("the child", || {
        found = children(launcher.pid()).into_iter().find(is_it);
        found.is_some()
    });
    found.unwrap()
}

#[test]
fn a_static_program_is_told_of_like_another_one() {
    let scene = scene_of_static("steady", &["40"]);
    child::run(supervised(&scene, &[]), b"").assert_output(0, "failed 0\n");

    let events = scene.events(Expect::NothingLost);
    let start = events.only("start", |event| event.name() == "process.start");
    assert_eq!((Some("notify"), Some("static")), (start.text("coverage"), start.text("reason")), "{start:?}");
    assert_eq!(vec!["40"], start.list("argv")[1..], "{start:?}");
    assert_eq!(40, steady_opens(&events), "{}", events.outline());
    let open = events.only("one of the opens", |event| event.path().ends_with("/steady.7"));
    assert_eq!((Some("notify"), None), (open.text("via"), open.seq()), "{open:?}");
    assert_eq!(start.process(), open.process());
    let exit = events.only("end", |event| event.name() == "process.exit");
    assert_eq!(Some(0), exit.number("code"), "{exit:?}");
}

/// Every victim, linked so, behaves under `--notify security` as bare.
fn behave_as_bare(libc: Libc) {
    let runs = |name: &str| Some(directives(name).0).filter(|runs| !runs.is_empty()).unwrap_or(vec![vec![]]);
    let mut noticed = Vec::new();
    // Below any filter the kernel refuses seccomp's strict mode (seccomp(2)); so in containers.
    for name in ON_MUSL.iter().filter(|name| **name != "seccomp_strict") {
        for run in runs(name) {
            let arguments: Vec<&str> = run.iter().map(String::as_str).collect();
            let scene = Scene::with(compiled(name, libc), &arguments).expecting(Expect::LossIsCounted);
            if let Some(what) = caught(|| drop(scene.compare(&[Mode::Notify]))) {
                noticed.push(format!("{name} {libc:?} {run:?}: {what}"));
            }
        }
    }
    assert!(noticed.is_empty(), "{}", noticed.join("\n\n"));
}

#[test]
fn dynamic_programs_behave_as_bare() {
    behave_as_bare(Libc::Glibc);
}

#[test]
fn static_programs_behave_as_bare() {
    behave_as_bare(Libc::GlibcStatic);
}

/// The starts of a run, by the last part of the path that was executed.
fn starts(events: &Events) -> Vec<&str> {
    events.named("process.start").filter_map(|start| start.path().rsplit('/').next()).collect()
}

#[test]
fn exec_that_fails_is_no_start_and_ids_are_those_of_the_last_call() {
    let scene = scene_of_static("exec_in_vain", &[]);
    let program = compiled("exec_in_vain", Libc::GlibcStatic).path;
    let mut command = scene.command("unshare");
    let script = r#"mkdir mount; mount -t tmpfs -o noexec none mount; cp "$1" mount/program; exec "$0" "${@:2}" "$1" "$PWD/mount/program""#;
    let options = ["run", "-o", &scene.events_output(), "--notify", "security", "--require-notify", "--"];
    command.args(["-m", "bash", "-ec", script]).arg(glassbox()).arg(&program).args(options);

    let ending = child::run(command, b"");

    let denied = "program: Permission denied\n";
    let busy = "busy: Text file busy\n";
    let said = format!(
        "text: Exec format error\nloop: Too many levels of symbolic links\nmissing: No such file or directory\n{busy}{denied}"
    );
    ending.assert_output(0, &said);
    let events = scene.events(Expect::NothingLost);
    assert_eq!(vec!["exec_in_vain"], starts(&events), "{}", events.outline());
    assert_eq!(0, events.named("sensor.blind").count(), "{}", events.outline());
    let of_others = events.iter().filter(|event| event.text("exe") != program.to_str());
    assert_eq!(Vec::<String>::new(), of_others.map(|event| format!("{event:?}")).collect::<Vec<_>>());
    let errors = |name: &str| -> Vec<Option<&str>> {
        let of_file = |event: &&Event| event.name() == "process.exec" && event.path().ends_with(name);
        events.iter().filter(of_file).map(|event| event.text("error")).collect()
    };
    assert_eq!(vec![Some("EACCES"); 2], errors("mount/program"));
    assert_eq!(vec![Some("ELOOP"); 2], errors("/loop"));
    let removed = events.only("the file that is removed", |event| event.name() == "file.unlink");
    assert_eq!((Some(1), Some(1)), (removed.number("uid"), removed.number("euid")), "{removed:?}");
}

#[test]
fn exec_of_a_program_with_the_sensor_switched_off_is_told() {
    let scene = scene_of_static("steady", &["1"]);
    let program = compiled("steady", Libc::GlibcStatic).path;
    let mut command = scene.command(glassbox());
    command.args(["run", "-o", &scene.events_output(), "--notify", "security", "--require-notify", "--"]);
    command.args(["sh", "-c", r#"GLASSBOX=off sh -c '"$0" 1; exit 3' "$0""#]).arg(&program);

    child::run(command, b"").assert_output(3, "failed 0\n");

    let events = scene.events(Expect::NothingLost);
    let is_it = |event: &Event| event.name() == "process.start" && event.text("exe") == program.to_str();
    let start = events.only("the start", is_it);
    assert_eq!(Some("notify"), start.text("coverage"), "{start:?}");
}

/// A program for i386, without a libc.
#[test]
#[cfg(target_arch = "x86_64")]
fn cmd_of_another_word_size_is_told_of_at_its_start() {
    let scene = scene_of_static("steady", &["1"]);
    let program = scene.beside("narrow");
    let source = r#"void _start(void) { asm volatile("int $0x80" :: "a"(39), "b"("made"), "c"(0700) : "memory");
        asm volatile("int $0x80" :: "a"(1), "b"(0)); }"#;
    let mut compiler = Command::new("gcc");
    compiler.args(["-m32", "-nostdlib", "-static", "-fno-pic", "-x", "c", "-", "-o"]).arg(&program);
    child::run(compiler, source.as_bytes()).assert_output(0, "");
    let mut command = scene.command(glassbox());
    command.args(["run", "-o", &scene.events_output(), "--notify", "security", "--require-notify", "--"]);

    child::run(
        {
            command.arg(&program);
            command
        },
        b"",
    )
    .assert_output(0, "");

    let events = scene.events(Expect::NothingLost);
    let of_program = events.iter().filter(|event| event.text("exe") == program.to_str());
    let told: Vec<_> = of_program.map(|event| (event.name(), event.text("reason"))).collect();
    let all = [("process.start", Some("foreign_abi")), ("file.mkdir", None), ("process.exit", None)];
    assert_eq!(all.to_vec(), told, "{}", events.outline());
}

/// The kernel asks about the execs of such a program alone.
#[test]
fn a_dynamic_program_without_the_sensor_stays_blind() {
    let scene = Scene::of("sudden_end", &["return", "1"]);
    scene.clean();
    let output = scene.events_output();
    let mut command = scene.command(glassbox());
    command.args(["run", "-o", &output, "--notify", "security", "--require-notify", "--", "sh", "-c"]);
    child::run(
        {
            command.arg("GLASSBOX=off /bin/sleep 0.7; exit 3");
            command
        },
        b"",
    )
    .assert_output(3, "");

    let events = scene.events(Expect::NothingLost);
    let of_sleep = |event: &&Event| event.path() == "/bin/sleep" && event.name() != "process.exec";
    let told: Vec<_> =
        events.iter().filter(of_sleep).map(|event| (event.name(), event.text("reason"))).collect();
    assert_eq!(vec![("sensor.blind", Some("switched_off"))], told, "{}", events.outline());
}

/// The kinds, calls and paths of a program's events, without what a collector adds.
fn deeds(events: &Events) -> Vec<String> {
    let is_call = |event: &&Event| !event.call().is_empty();
    events
        .iter()
        .filter(is_call)
        .map(|event| format!("{} {} {}", event.name(), event.call(), event.path()))
        .collect()
}

#[test]
fn what_hooks_tell_of_is_told_once() {
    for (name, arguments) in [("steady", "9"), ("exec_family", "execve"), ("exec_family", "posix_spawn")] {
        let scene = Scene::of(name, &[arguments]);
        let told = |options: &[&str]| {
            scene.clean();
            let output = scene.events_output();
            let all = [["-o", output.as_str()].as_slice(), options].concat();
            let ending = child::run(scene.run_command(&all), b"");
            let events = scene.events(Expect::NothingLost);
            let told = (ending.status, ending.stdout, deeds(&events));
            fs::remove_file(scene.beside("events.jsonl")).unwrap();
            told
        };

        let without = told(&[]);
        let with = told(&["--notify", "security", "--require-notify"]);

        assert_eq!(without, with, "{name} {arguments}");
    }
}

/// Containers' busybox starts its applets so.
#[test]
fn a_static_program_that_executes_itself_by_proc_in_another_root_is_told_of() {
    let scene = scene_of_static("steady", &["0"]);
    let script =
        "mkdir m; mount -t tmpfs none m; mkdir m/proc; cp \"$0\" m/busybox; mount -t proc proc m/proc
        exec /usr/sbin/chroot m /busybox sh -c 'busybox mkdir a; busybox rmdir a'";
    let mut command = scene.command(glassbox());
    command.args(["run", "-o", &scene.events_output(), "--notify", "security", "--require-notify", "--"]);
    command.args(["unshare", "-m", "sh", "-ec", script]).arg(named("busybox").path());
    child::run(command, b"").assert_output(0, "");

    let events = scene.events(Expect::NothingLostBelow);
    let is_applet = |event: &&Event| event.list("argv").first() == Some(&"busybox");
    let started: Vec<_> =
        events.named("process.start").filter(is_applet).map(|it| it.text("reason")).collect();
    assert_eq!(vec![Some("static"); 2], started, "{}", events.outline());
}

/// The shell's hook tells of the exec; the program has a loader, and the sensor in it finds no libc.
#[test]
fn a_go_program_without_c_that_a_shell_becomes_is_told_of_before_its_calls() {
    let ground = Ground::default();
    let program = named("go-pie");
    let mut command = Command::new(glassbox());
    let output = ground.work().with_file_name("events.jsonl");
    command
        .arg("run")
        .arg("-o")
        .arg(format!("jsonl:{}", output.display()))
        .args(["--notify", "security", "--"]);
    command.args(["/bin/sh", "-c", r#"exec "$@""#, "sh"]).args(program.words(&ground.work(), ground.port()));
    assert_eq!(Status::Exited(0), child::run(command, b"").status);

    let events = Events::read(&output, Expect::NothingLost);
    let exe = program.path();
    let first = events.iter().find(|event| event.text("via") == Some("notify")).unwrap();
    let start = events
        .only("its start", |event| event.name() == "process.start" && event.text("exe") == exe.to_str());
    assert_eq!((Some("notify"), Some("go")), (start.text("coverage"), start.text("reason")), "{start:?}");
    assert_eq!(exe.to_str(), first.text("exe"), "{first:?}");
}

#[test]
fn a_collector_that_is_killed_delays_no_call_and_its_successor_sees_the_rest() {
    let scene = scene_of_static("steady", &["100000"]);
    let running = child::start(supervised(&scene, &[]), b"");
    for round in 1..=3 {
        wait_for_open(&scene, 40 * round);
        kill(child_of(&running, "glassbox"));
    }
    wait_for_open(&scene, 400);
    stop_and_finish(&scene, running).assert_output(0, "failed 0\n");

    let events = scene.events(Expect::default());
    let last = events.named("file.open").filter(|open| open.path().contains("/steady.39")).count();
    assert!(last > 5, "{}", events.outline());
}

#[test]
fn a_launcher_that_is_killed_leaves_a_program_whose_calls_go_on() {
    for round in 0..5 {
        let scene = scene_of_static("steady", &["100000"]);
        let running = child::start(supervised(&scene, &[]), b"");
        wait_for_open(&scene, 20);
        let program = child_of(&running, "steady");
        let collector = child_of(&running, "glassbox");
        if round % 2 == 0 {
            kill(collector);
        }
        kill(running.pid());
        wait_for_open(&scene, 200);
        // The program has the launcher's standard output, which ends with it.
        let ending = stop_and_finish(&scene, running);
        let gone = format!("/proc/{program}");
        wait_until("the program's end", || !fs::exists(&gone).unwrap());
        assert_eq!(
            (Status::Killed(libc::SIGKILL), "failed 0\n"),
            (ending.status, ending.stdout.as_str()),
            "{}",
            ending.stderr
        );
    }
}

#[test]
fn a_launcher_that_is_stopped_holds_no_call() {
    let scene = scene_of_static("steady", &["100000"]);
    let running = child::start(supervised(&scene, &[]), b"");
    wait_for_open(&scene, 20);

    running.signal(libc::SIGSTOP);
    wait_until("the stop", || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", running.pid())).unwrap();
        stat.contains(") T ")
    });
    wait_for_open(&scene, made(&scene) + 12);
    running.signal(libc::SIGCONT);
    wait_for_open(&scene, made(&scene) + 40);
    stop_and_finish(&scene, running).assert_output(0, "failed 0\n");

    let events = scene.events(Expect::LossIsCounted);
    let lost: i64 = events.named("sensor.loss").filter_map(|loss| loss.number("count")).sum();
    let opened = scene.files()["count-of-opens"].parse::<i64>().unwrap();
    assert!(lost >= 10, "{lost} lost: {}", events.outline());
    // The file of the count is opened too.
    let seen = i64::try_from(steady_opens(&events)).unwrap();
    assert!((opened..=opened + 1).contains(&(seen + lost)), "{opened} opened, {seen} seen, {lost} lost");
}

#[test]
fn descendants_that_outlive_the_run_go_on() {
    let scene = scene_of_static("steady", &["100000"]);
    let program = scene.bare_command().get_program().to_owned();
    let output = scene.events_output();
    let mut command = scene.command(glassbox());
    command.args(["run", "-o", &output, "--notify", "security", "--require-notify", "--", "sh", "-c"]);
    command.arg(format!("{} 100000 > out 2>&1 < /dev/null & echo $!", program.display()));
    let ending = child::run(command, b"");
    let pid: i32 = ending.stdout.trim().parse().unwrap();

    wait_for_open(&scene, 100);
    fs::write(scene.work().join("stop"), "").unwrap();
    wait_until("its end", || !fs::exists(format!("/proc/{pid}")).unwrap());

    assert_eq!("failed 0\n", fs::read_to_string(scene.work().join("out")).unwrap());
}

/// As the kernel has one listener for a process and all that it starts (seccomp(2)).
#[test]
fn a_program_that_asks_for_a_listener_of_its_own_gets_an_error_and_is_told_of() {
    let scene = scene_of_static("own_listener", &[]);
    child::run(scene.bare_command(), b"").assert_output(0, "listener: ok\nfilter: 0\n");
    scene.clean();

    let ending = child::run(supervised(&scene, &[]), b"");

    ending.assert_output(0, "listener: Device or resource busy\nfilter: 0\n");
    let events = scene.events(Expect::NothingLost);
    let made = events.only("its file", |event| event.name() == "file.open" && event.is_file("made"));
    assert_eq!(Some("notify"), made.text("via"), "{made:?}");
}

#[test]
fn runs_within_runs_go_on_at_every_level() {
    const LEVELS: [&str; 4] = ["off", "exec", "security", "full"];
    let scene = scene_of_static("steady", &["3"]);
    let program = scene.bare_command().get_program().to_owned();
    for (outer, inner) in LEVELS.iter().flat_map(|outer| LEVELS.map(|inner| (*outer, inner))) {
        scene.clean();
        drop(fs::remove_file(scene.beside("events.jsonl")));
        let mut command = scene.command(glassbox());
        command.args(["run", "-o", &scene.events_output(), "--notify", outer, "--require-notify", "--"]);
        command.arg(glassbox()).args(["run", "-o", "jsonl:/dev/null", "--notify", inner, "--"]);
        command.arg(&program).arg("3");

        let ending = child::run(command, b"");

        ending.assert_output(0, "failed 0\n");
        let is_second = outer != "off" && inner != "off";
        let said = usize::from(is_second);
        let what = format!("{outer} {inner}: {}", ending.stderr);
        assert_eq!(said, ending.stderr.matches("a seccomp listener is in place").count(), "{what}");
        // The ring of the inner run is told of too: it is a program like any other.
        let told = steady_opens(&scene.events(Expect::Rubbish));
        let is_told = ["security", "full"].contains(&outer);
        assert_eq!(if is_told { 3 } else { 0 }, told, "{what}");
    }
}

#[test]
fn where_another_listener_is_the_level_cannot_be_had() {
    let scene = Scene::of("sudden_end", &["return", "1"]);
    scene.clean();
    let nested = |options: &[&str]| {
        let mut command = scene.command(glassbox());
        command.args(["run", "-o", "jsonl:/dev/null", "--notify", "security", "--require-notify", "--"]);
        command.arg(glassbox()).args(["run", "-o", "jsonl:/dev/null", "--notify", "exec"]).args(options);
        command.args(["--", "sh", "-c", "exit 5"]);
        child::run(command, b"")
    };

    let required = nested(&["--require-notify"]);
    let optional = nested(&[]);

    assert_eq!(Status::Exited(69), required.status, "{}", required.stderr);
    assert_eq!(Status::Exited(5), optional.status, "{}", optional.stderr);
    for ending in [required, optional] {
        assert!(ending.stderr.contains("a seccomp listener is in place"), "{}", ending.stderr);
    }
}

#[test]
fn ten_thousand_calls_of_many_threads_and_a_storm_of_signals_all_succeed() {
    let scene = scene_of_static("storm", &["4", "2500"]);
    let command = supervised(&scene, &[]);
    let running = child::start(command, b"");
    let ending = running.finish_within(Duration::from_secs(120)).unwrap();
    ending.assert_output(0, "failed 0\n");

    let events = scene.events(Expect::LossIsCounted);
    let lost: i64 = events.named("sensor.loss").filter_map(|loss| loss.number("count")).sum();
    let renames = events.named("file.rename").filter(|rename| rename.path().contains("/storm.")).count();
    assert_eq!(10_000, renames + usize::try_from(lost).unwrap());
}
