//! The command line: `run` is transparent, outputs go to their places, and recordings replay the live run.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Instant;

use glassbox_tests::child::{self, Ending, Status, wait_until};
use glassbox_tests::events::{Events, Expect};
use glassbox_tests::scene::{Collected, Mode, Scene, sensed};
use glassbox_tests::terminal::OnTerminal;
use glassbox_tests::{Collector, glassbox, sensor};

fn shell(scene: &Scene, options: &[&str], script: &str) -> Ending {
    let mut command = scene.command(glassbox());
    command.arg("run").args(options).args(["--", "/bin/sh", "-c", script]);
    child::run(command, b"")
}

fn any_scene() -> Scene {
    let scene = Scene::of("steady", &["0"]);
    scene.clean();
    scene
}

#[test]
fn run_gives_the_programs_exit_status() {
    let scene = any_scene();

    for code in [0, 1, 42, 126, 127, 255] {
        let ending = shell(&scene, &["-o", "jsonl:/dev/null"], &format!("exit {code}"));

        assert_eq!(Status::Exited(code), ending.status);
    }
}

#[test]
fn run_gives_128_and_the_signal_that_killed_the_program() {
    let scene = any_scene();

    for signal in [1, 2, 9, 15] {
        let ending = shell(&scene, &["-o", "jsonl:/dev/null"], &format!("kill -{signal} $$"));

        assert_eq!(Status::Exited(128 + signal), ending.status);
    }
}

#[test]
fn standard_streams_are_the_programs_own() {
    let scene = any_scene();
    let mut command = scene.command(glassbox());
    command.args(["run", "-o", "jsonl:/dev/null", "--", "sh", "-c", "cat; echo to stderr >&2"]);

    let ending = child::run(command, b"two\nlines\n");

    assert_eq!(("two\nlines\n", "to stderr\n"), (ending.stdout.as_str(), ending.stderr.as_str()));
}

#[test]
fn a_mebibyte_passes_through_byte_for_byte() {
    let scene = any_scene();
    let bytes: Vec<u8> =
        (0..1 << 20).map(|n: u32| b'a' + (n.wrapping_mul(2_654_435_761) >> 24) as u8 % 26).collect();
    let mut command = scene.command(glassbox());
    command.args(["run", "-o", "jsonl:/dev/null", "--", "cat"]);

    let ending = child::run(command, &bytes);

    assert!(ending.stdout.as_bytes() == bytes, "{} bytes came back", ending.stdout.len());
}

#[test]
fn options_after_the_program_are_the_programs() {
    let scene = any_scene();
    let mut command = scene.command(glassbox());
    command.args(["run", "-o", "jsonl:/dev/null", "--", "echo", "-o", "jsonl:x", "--", "--help"]);

    assert_eq!("-o jsonl:x -- --help\n", child::run(command, b"").stdout);
}

#[test]
fn the_summary_is_the_default_and_goes_to_stderr_at_the_end() {
    let scene = any_scene();

    let ending = shell(&scene, &[], "echo out; echo err >&2; cat /etc/hostname > copy");

    assert_eq!("out\n", ending.stdout);
    assert!(ending.stderr.starts_with("err\n"), "{}", ending.stderr);
    assert!(ending.stderr.len() > 40 && ending.stderr.contains("copy"), "no summary: {}", ending.stderr);
}

#[test]
fn the_summary_tells_the_name_that_a_program_was_executed_by() {
    let scene = any_scene();
    let script = "ln -s \"$(readlink -f /bin/cat)\" applet && ./applet /etc/hostname >copy";

    let ending = shell(&scene, &[], script);

    assert!(ending.stderr.contains("applet (cat) /etc/hostname  "), "{}", ending.stderr);
}

#[test]
fn any_output_replaces_the_summary() {
    let scene = any_scene();

    let ending = shell(&scene, &["-o", "jsonl:events.jsonl"], "echo err >&2");

    assert_eq!("err\n", ending.stderr);
}

#[test]
fn several_outputs_say_the_same() {
    let scene = any_scene();

    let ending = shell(
        &scene,
        &["-o", "jsonl:one", "-o", "jsonl:two", "-o", "human:three", "-o", "summary:four"],
        "cat /etc/hostname",
    );

    assert_eq!(Status::Exited(0), ending.status);
    let files = scene.files();
    assert_eq!(files["one"], files["two"]);
    assert_eq!(
        files["one"].lines().count(),
        files["three"].lines().count(),
        "one line an event:\n{}",
        files["three"]
    );
    assert!(!files["four"].is_empty());
}

#[test]
fn destinations_are_stderr_by_default_and_stdout_by_a_dash() {
    let scene = any_scene();

    let to_stderr = shell(&scene, &["-o", "jsonl"], "true");
    let named = shell(&scene, &["-o", "jsonl:stderr"], "true");
    let to_stdout = shell(&scene, &["-o", "jsonl:-"], "true");

    for text in [&to_stderr.stderr, &named.stderr, &to_stdout.stdout] {
        let events = Events::parse(text, Expect::NothingLost).unwrap();
        assert!(events.named("process.start").count() >= 1);
    }
    assert_eq!(("", ""), (to_stderr.stdout.as_str(), to_stdout.stderr.as_str()));
}

#[test]
fn outputs_are_their_owners_alone_whatever_the_umask_says() {
    for umask in ["000", "022", "277"] {
        let scene = any_scene();
        let script = format!(
            "umask {umask}; exec {} run -o jsonl:a -o recording:b -o human:c -o summary:d -o jsonl:e,,e,mode=0640 -- true",
            glassbox().display()
        );
        let mut command = scene.command("/bin/sh");
        command.args(["-c", &script]);

        let ending = child::run(command, b"");

        assert_eq!((Status::Exited(0), ""), (ending.status, ending.stderr.as_str()));
        let modes = ["a", "b", "c", "d", "e,e"].map(|name| mode(&scene.work().join(name)));
        assert_eq!([0o600, 0o600, 0o600, 0o600, 0o640], modes, "umask {umask}");
    }
}

fn mode(path: &std::path::Path) -> u32 {
    std::os::unix::fs::PermissionsExt::mode(&fs::metadata(path).unwrap().permissions()) & 0o7777
}

#[test]
fn paths_of_open_descriptors_lead_to_them() {
    let scene = any_scene();
    let to = |path: &str| format!("exec {} run -o jsonl:{path} -- true", glassbox().display());
    let through = |script: String| {
        let mut command = scene.command("/bin/sh");
        command.args(["-c", &script]);
        child::run(command, b"")
    };

    let to_stdout = through(to("/dev/stdout")).stdout;
    let to_stderr = through(to("/proc/self/fd/2")).stderr;
    let to_file = through(format!("echo before >log; exec 7>>log; {}", to("/dev/fd/7")));
    let to_pipe = through(format!("{{ {}; }} 9>&1 >/dev/null | cat", to("/dev/fd/9"))).stdout;

    assert_eq!("", to_file.stderr);
    let file = scene.files()["log"].clone();
    for text in [&to_stdout, &to_stderr, file.strip_prefix("before\n").unwrap(), &to_pipe] {
        let events = Events::parse(text, Expect::NothingLost).unwrap();
        assert!(events.named("process.start").count() >= 1, "{text}");
    }
}

#[test]
fn options_behind_a_destination_are_checked_before_anything_starts() {
    let scene = any_scene();
    for (output, words) in [
        ("jsonl:a,b.jsonl", "unknown option 'b.jsonl'"),
        ("jsonl:a,rotate=1", "of 64KB at least"),
        ("jsonl:-,rotate=1MB", "the option 'rotate' is for a path"),
        ("jsonl:a,mode=0400", "in octal from 0200 to 0777"),
        ("jsonl:-,mode=0640", "the option 'mode' is for a path"),
    ] {
        let ending = shell(&scene, &["-o", output], "touch started");

        assert_eq!(Status::Exited(64), ending.status, "{output}");
        assert!(ending.stderr.contains(words) && ending.stderr.lines().count() == 1, "{}", ending.stderr);
    }
    assert!(!scene.work().join("started").exists());
}

#[test]
fn names_that_turn_text_around_are_escaped_in_every_output() {
    let scene = any_scene();
    let name = "exe\u{202e}gpj\u{2066}\u{9b}";
    let script = format!("cat '{name}'; exec /nowhere/'{name}'");

    let ending = shell(&scene, &["-o", "jsonl:a", "-o", "human:b", "-o", "summary:c"], &script);

    assert_eq!(Status::Exited(127), ending.status);
    let files = scene.files();
    for output in ["a", "b", "c"] {
        let text = &files[output];
        assert!(!text.contains(['\u{202e}', '\u{2066}', '\u{9b}']), "{output}: {text}");
        assert!(text.contains("202e"), "{output}: {text}");
    }
    let events = Events::parse(&files["a"], Expect::NothingLost).unwrap();
    assert!(events.named("file.open").any(|open| open.text("path").is_some_and(|path| path.ends_with(name))));
}

#[test]
fn human_lines_have_no_control_bytes_of_the_program_in_them() {
    let scene = Scene::of("weird_names", &[]);
    scene.clean();
    let output = scene.beside("human");

    child::run(scene.run_command(&["-o", &format!("human:{}", output.display())]), b"");

    let text = fs::read(output).unwrap();
    let text = String::from_utf8_lossy(&text);
    // A file name must not be able to move the cursor or break the line: only colours may be there.
    let plain = strip_colours(&text);
    let bad: Vec<char> = plain.chars().filter(|&c| c.is_control() && c != '\n').collect();
    assert_eq!(Vec::<char>::new(), bad);
}

fn strip_colours(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        plain.push_str(before);
        rest = match after.split_once('m') {
            Some((code, tail)) if code.bytes().all(|b| b.is_ascii_digit() || b == b';') => tail,
            _ => {
                plain.push('\u{1b}');
                after
            }
        };
    }
    plain.push_str(rest);
    plain
}

#[test]
fn a_file_is_not_coloured() {
    let scene = any_scene();

    shell(&scene, &["-o", "human:events"], "cat /etc/hostname");

    assert!(!scene.files()["events"].contains('\u{1b}'));
}

/// The events of a victim as JSON lines: written live, and replayed from a recording of the same run.
fn live_and_replayed(name: &str) -> (String, String) {
    let scene = Scene::of(name, &[]);
    scene.clean();
    let (live, recording) = (scene.beside("live.jsonl"), scene.beside("r.gbx"));
    let options =
        ["-o", &format!("jsonl:{}", live.display()), "-o", &format!("recording:{}", recording.display())];
    child::run(scene.run_command(&options), b"");

    let mut command = scene.command(glassbox());
    command.arg("replay").arg(&recording).args(["-o", "jsonl:again.jsonl"]);
    let replayed = child::run(command, b"");

    assert_eq!(Status::Exited(0), replayed.status, "{}", replayed.stderr);
    (fs::read_to_string(live).unwrap(), scene.files()["again.jsonl"].clone())
}

#[test]
fn a_recording_replayed_gives_the_same_events() {
    let (live, replayed) = live_and_replayed("fork_variants");

    Events::parse(&live, Expect::NothingLost).unwrap();
    assert_eq!(live.lines().count(), replayed.lines().count());
    assert_eq!(None, live.lines().zip(replayed.lines()).find(|(left, right)| left != right));
}

#[test]
fn a_recording_of_odd_names_replays_them() {
    let (live, replayed) = live_and_replayed("weird_names");

    assert_eq!(live, replayed);
}

#[test]
fn replay_writes_to_stdout_by_default() {
    let scene = any_scene();
    shell(&scene, &["-o", "recording:r.gbx"], "cat /etc/hostname");

    let mut command = scene.command(glassbox());
    command.args(["replay", "r.gbx", "-o", "jsonl"]);
    let ending = child::run(command, b"");

    let events = Events::parse(&ending.stdout, Expect::NothingLost).unwrap();
    assert!(!events.opens("hostname").is_empty());
}

#[test]
fn collect_reports_what_was_preloaded_in_another_process() {
    let scene = Scene::of("sudden_end", &["kill", "100"]);

    let outcome = scene.play(Mode::Collect);

    assert_eq!(100, outcome.events.opens("opened").len());
    assert_eq!(1, outcome.events.named("process.exit").count());
}

#[test]
fn collect_takes_an_abstract_name() {
    let scene = Scene::of("sudden_end", &["return", "100"]);
    scene.clean();
    let name = format!("@glassbox-tests-{}", std::process::id());
    let mut collect = scene.command(glassbox());
    collect.args(["collect", "-o", &scene.events_output()]).env("GLASSBOX_SOCKET", &name);
    let collector = child::start(collect, b"");
    wait_until("the abstract name", || {
        fs::read_to_string("/proc/net/unix")
            .is_ok_and(|sockets| sockets.lines().any(|line| line.ends_with(&name)))
    });
    let mut command = scene.bare_command();
    command.env("LD_PRELOAD", sensor()).env("GLASSBOX_SOCKET", &name);

    child::run(command, b"");
    collector.signal(libc::SIGTERM);
    let ending = collector.finish();

    assert_eq!(Status::Exited(0), ending.status, "{}", ending.stderr);
    assert_eq!(100, scene.events(Expect::NothingLost).opens("opened").len());
}

#[test]
fn collect_ends_in_order_at_an_interrupt() {
    let scene = Scene::of("sudden_end", &["return", "100"]);
    scene.clean();
    let socket = scene.beside("c.sock");
    let mut collect = scene.command(glassbox());
    collect.args(["collect", "-o", &scene.events_output()]).env("GLASSBOX_SOCKET", &socket);
    let running = child::start(collect, b"");
    wait_until("the socket", || socket.exists());
    let mut command = scene.bare_command();
    command.env("LD_PRELOAD", sensor()).env("GLASSBOX_SOCKET", &socket);
    child::run(command, b"");

    running.signal(libc::SIGINT);
    let ending = running.finish();

    assert_eq!(Status::Exited(0), ending.status, "{}", ending.stderr);
    assert_eq!(100, scene.events(Expect::NothingLost).opens("opened").len());
    assert!(!socket.exists(), "the socket was left behind");
}

#[test]
fn collect_shows_events_while_the_program_runs() {
    let collected = Scene::collected("steady", &["100000"]);
    let running = collected.start_until("steady.0");
    let Collected { scene, collector } = collected;

    wait_until("the first open in the output", || {
        fs::read_to_string(scene.beside("events.jsonl")).is_ok_and(|text| text.contains("/steady.0\""))
    });
    fs::write(scene.work().join("stop"), "").unwrap();

    assert_eq!("failed 0\n", running.finish().stdout);
    collector.stop();
}

#[test]
fn the_switch_off_leaves_the_sensor_loaded_and_silent() {
    let collected = Scene::collected("sudden_end", &["return", "100"]);
    let mut command = collected.command();
    command.env("GLASSBOX", "off");

    let ending = child::run(command, b"");

    assert_eq!(Status::Exited(7), ending.status);
    assert_eq!(0, collected.events(Expect::NothingLost).len());
}

#[test]
fn an_existing_preload_list_is_kept_in_its_order_and_ours_is_there_once() {
    let scene = any_scene();
    let mut command = scene.command(glassbox());
    command.env("LD_PRELOAD", "libm.so.6:libdl.so.2");
    command.args(["run", "-o", "jsonl:/dev/null", "--", "sh", "-c", "sh -c 'echo $LD_PRELOAD'"]);

    let list = child::run(command, b"").stdout;

    let entries: Vec<&str> = list.trim().split([':', ' ']).collect();
    assert_eq!(vec!["libm.so.6", "libdl.so.2"], entries[..2].to_vec(), "{list}");
    assert_eq!(1, entries.iter().filter(|entry| entry.ends_with("/libglassbox.so")).count(), "{list}");
    assert_eq!(3, entries.len(), "{list}");
}

#[test]
fn run_inside_run_works_for_both() {
    let scene = any_scene();
    let inner = glassbox().display();
    let script = format!("{inner} run -o jsonl:inner.jsonl -- sh -c ': > by-both; exit 9'");

    let ending = shell(&scene, &["-o", "jsonl:outer.jsonl"], &script);

    assert_eq!(Status::Exited(9), ending.status, "{}", ending.stderr);
    let inner = Events::read(&scene.work().join("inner.jsonl"), Expect::NothingLost);
    assert_eq!(1, inner.opens("by-both").len());
    Events::read(&scene.work().join("outer.jsonl"), Expect::NothingLost);
}

#[test]
fn signals_to_run_reach_the_program() {
    let numbers = [
        ("SIGTERM", libc::SIGTERM),
        ("SIGINT", libc::SIGINT),
        ("SIGHUP", libc::SIGHUP),
        ("SIGUSR1", libc::SIGUSR1),
    ];
    for (name, signal) in numbers {
        let scene = Scene::of("terminated", &["handle"]);
        scene.clean();
        let running = child::start(scene.run_command(&["-o", &scene.events_output()]), b"");
        wait_until("the program", || scene.work().join("ready").exists());

        running.signal(signal);
        let ending = running.finish();

        assert_eq!(
            (Status::Exited(50 + signal), format!("got signal {signal:02}\n")),
            (ending.status, ending.stdout),
            "{name}"
        );
        assert_eq!(1, scene.events(Expect::NothingLost).opens("in-the-handler").len());
    }
}

#[test]
fn a_signal_that_kills_the_program_is_runs_status() {
    let scene = Scene::of("terminated", &["die"]);
    scene.clean();
    let running = child::start(scene.run_command(&["-o", "jsonl:/dev/null"]), b"");
    wait_until("the program", || scene.work().join("ready").exists());

    running.signal(libc::SIGTERM);

    assert_eq!(Status::Exited(128 + libc::SIGTERM), running.finish().status);
}

#[test]
fn ignored_and_blocked_signals_are_inherited_as_bare() {
    let scene = Scene::of("process_state", &[]);
    let with_signals = |mut command: Command| {
        // SAFETY: signal and sigprocmask are async-signal-safe, and nothing else is done between fork and
        // exec.
        unsafe {
            command.pre_exec(|| {
                let mut set: libc::sigset_t = std::mem::zeroed();
                libc::sigemptyset(&mut set);
                libc::sigaddset(&mut set, libc::SIGUSR2);
                libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
                libc::signal(libc::SIGPIPE, libc::SIG_IGN);
                libc::signal(libc::SIGHUP, libc::SIG_IGN);
                libc::umask(0o027);
                libc::nice(5);
                Ok(())
            })
        };
        child::run(command, b"")
    };
    scene.clean();
    let bare = with_signals(scene.bare_command());
    scene.clean();

    let found = with_signals(scene.run_command(&["-o", "jsonl:/dev/null"]));

    assert_eq!(bare, found);
}

#[test]
fn run_with_closed_standard_streams_runs_the_program_so() {
    let scene = Scene::of("stdio_closed", &["2"]);
    let with_closed = |mut command: Command| {
        // SAFETY: close is async-signal-safe; std has set the streams up by the time this runs.
        unsafe {
            command.pre_exec(|| {
                libc::close(0);
                Ok(())
            })
        };
        command.stdin(Stdio::null());
        child::run(command, b"")
    };
    scene.clean();
    let bare = (with_closed(scene.bare_command()), scene.files()["result"].clone());
    scene.clean();

    let found = (with_closed(scene.run_command(&["-o", "jsonl:/dev/null"])), scene.files()["result"].clone());

    assert_eq!(bare, found);
}

#[test]
fn run_does_not_wait_for_a_daemon_and_does_not_harm_it() {
    let scene = Scene::of("daemonise", &["3000"]);
    scene.clean();
    let started = Instant::now();

    let ending = child::run(scene.run_command(&["-o", "jsonl:/dev/null"]), b"");

    assert_eq!(Status::Exited(0), ending.status);
    assert!(
        !scene.work().join("daemon-done").exists(),
        "run took {:?}: it waited for the daemon",
        started.elapsed()
    );
    wait_until("the daemon's own end", || scene.work().join("daemon-done").exists());
}

#[test]
fn follow_waits_for_a_daemon_and_reports_it() {
    let scene = Scene::of("daemonise", &["500"]);
    scene.clean();

    let ending = child::run(scene.run_command(&["--follow", "-o", &scene.events_output()]), b"");

    assert_eq!(Status::Exited(0), ending.status, "{}", ending.stderr);
    assert!(scene.work().join("daemon-done").exists());
    let seen = scene.events(Expect::NothingLost);
    assert_eq!(50, seen.opens("daemon-works").len());
}

#[test]
fn run_leaves_no_process_and_no_socket_behind() {
    let scene = any_scene();
    let before = tool_processes();

    shell(&scene, &["-o", "jsonl:/dev/null"], "true");

    wait_until("the collector's end", || {
        tool_processes().iter().all(|pid| before.contains(pid) || is_of_another_test(*pid))
    });
    let left: Vec<_> =
        fs::read_dir(scene.beside("")).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(vec![std::ffi::OsString::from("work")], left);
}

/// The processes that run `glassbox`.
fn tool_processes() -> Vec<i32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == glassbox())).collect()
}

/// Whether a process has a living parent other than init: then another test, which runs beside this one,
/// started it.
fn is_of_another_test(pid: i32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return true };
    stat.rsplit(')').next().and_then(|rest| rest.split_ascii_whitespace().nth(1)) != Some("1")
}

#[test]
fn orphans_are_reaped_when_run_is_the_first_process() {
    // In a pid namespace of its own, as in a container: `run` is pid 1 and inherits every orphan.
    let scene = Scene::of("pid1", &["20"]);
    scene.clean();
    let run = scene.run_command(&["-o", &scene.events_output()]);
    let mut command = scene.command("unshare");
    command.args(["--pid", "--fork", "--mount-proc", "--"]).arg(run.get_program()).args(run.get_args());

    let ending = child::run(command, b"");

    ending.assert_output(0, "done\n");
    assert_eq!(20, scene.events(Expect::NothingLost).opens("orphan").len());
}

#[test]
fn as_first_process_no_zombie_stays() {
    let scene = any_scene();
    let mut command = scene.command("unshare");
    let script = "for i in 1 2 3; do (true & true); done; sleep 0.3; grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null | wc -l";
    command.args(["--pid", "--fork", "--mount-proc", "--"]).arg(glassbox());
    command.args(["run", "-o", "jsonl:/dev/null", "--", "sh", "-c", script]);

    assert_eq!("0\n", child::run(command, b"").stdout);
}

/// Runs `command` on a pseudo-terminal of its own, types `typed` into it, and gives all that it showed.
fn on_a_terminal(command: Command, typed: &[u8]) -> (Status, String) {
    let mut running = OnTerminal::start(command);
    running.type_in(typed);
    running.finish()
}

#[test]
fn a_terminal_is_the_programs_own() {
    let scene = Scene::of("tty_state", &[]);
    scene.clean();
    let bare = on_a_terminal(scene.bare_command(), b"typed\n");

    let found = on_a_terminal(scene.run_command(&["-o", "jsonl:/dev/null"]), b"typed\n");

    // The terminal decides where the echo of the typed text lands among the program's lines.
    let sorted = |(status, shown): &(Status, String)| {
        let mut lines: Vec<String> = shown.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        (*status, lines)
    };
    assert_eq!(sorted(&bare), sorted(&found));
    assert!(bare.1.contains("foreground: 1"), "{bare:?}");
}

#[test]
fn an_interrupt_from_the_terminal_reaches_the_program_once() {
    let scene = any_scene();
    let script = "trap 'echo interrupted' INT; echo ready; read -r line; echo after";
    let mut command = scene.command(glassbox());
    command.args(["run", "-o", "jsonl:/dev/null", "--", "bash", "-c", script]);

    // ^C, then a line. The shell's read is interrupted, its trap runs, and it goes on reading.
    let (_, shown) = on_a_terminal(command, b"\x03line\n");

    assert!(shown.matches("interrupted\r").count() <= 1, "{shown}");
}

#[test]
fn an_interactive_shell_keeps_its_job_control() {
    let scene = any_scene();
    let mut bare = scene.command("bash");
    bare.args(["--norc", "--noprofile", "-i"]).env("PS1", "$ ").env("TERM", "dumb");
    let mut sensed = scene.command(glassbox());
    sensed.args(["run", "-o", "jsonl:/dev/null", "--", "bash", "--norc", "--noprofile", "-i"]);
    sensed.env("PS1", "$ ").env("TERM", "dumb");
    let typed = b"sleep 0.2 & jobs; fg; sleep 0.1 | cat; exit 3\n";

    let (bare_status, bare_text) = on_a_terminal(bare, typed);
    let (status, text) = on_a_terminal(sensed, typed);

    assert_eq!(bare_status, status, "{text}");
    let is_refused =
        |text: &str| text.contains("no job control") || text.contains("cannot set terminal process group");
    assert_eq!(is_refused(&bare_text), is_refused(&text), "{text}");
}

#[test]
fn the_program_gets_the_status_of_a_stopped_and_continued_run() {
    let scene = Scene::of("steady", &["100000"]);
    scene.clean();
    let running = child::start(scene.run_command(&["-o", "jsonl:/dev/null"]), b"");
    wait_until("some opens", || scene.work().join("steady.5").exists());

    running.signal(libc::SIGTSTP);
    running.signal(libc::SIGCONT);
    fs::write(scene.work().join("stop"), "").unwrap();

    assert_eq!(Status::Exited(0), running.finish().status);
}

#[test]
fn events_of_one_thread_are_in_the_order_of_their_calls() {
    let seen = sensed("close_family", &[]).events;

    let seqs: Vec<u64> = seen.iter().filter_map(|event| event.seq()).collect();
    assert!(seqs.is_sorted(), "{seqs:?}");
}

#[test]
fn events_of_all_processes_are_in_the_order_of_time() {
    let scene = Scene::of("fork_with_threads", &[]);

    let seen = scene.play(Mode::Run).events;

    let times: Vec<&str> =
        seen.iter().filter(|event| event.seq().is_some()).filter_map(|event| event.text("time")).collect();
    let swapped = times.windows(2).filter(|pair| pair[0] > pair[1]).count();
    assert_eq!(0, swapped, "of {}", times.len());
}

#[test]
fn times_are_those_of_the_run() {
    let scene = Scene::of("sudden_end", &["return", "10"]);
    let now = || {
        let output = Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%S.%NZ"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let before = now();

    let seen = scene.play(Mode::Run).events;

    let after = now();
    let outside: Vec<&str> = seen
        .iter()
        .filter_map(|event| event.text("time"))
        .filter(|&time| time < before.as_str() || time > after.as_str())
        .collect();
    assert_eq!(Vec::<&str>::new(), outside, "{before} to {after}");
}

#[test]
fn an_idle_collector_sleeps() {
    let scene = any_scene();
    let collector = Collector::start(&scene.beside("c.sock"), &["-o", "jsonl:/dev/null"]);
    let mut command = scene.command("sleep");
    command.arg("60");
    collector.preload(&mut command);
    let idle = child::start(command, b"");
    let switches = || {
        let tasks = fs::read_dir(format!("/proc/{}/task", collector.pid())).unwrap().flatten();
        let counts = tasks.filter_map(|task| {
            let text = fs::read_to_string(task.path().join("status")).ok()?;
            let line = text.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
            line.trim().parse::<u64>().ok()
        });
        counts.sum::<u64>()
    };
    std::thread::sleep(std::time::Duration::from_millis(1500));
    let before = switches();

    std::thread::sleep(std::time::Duration::from_secs(4));

    let woken = switches() - before;
    drop(idle);
    collector.stop();
    // The bound is 2 a second, and one more a second for a machine under load.
    assert!(woken <= 12, "{woken} wake-ups in 4 s");
}

#[test]
fn a_multi_process_server_that_drops_its_privileges_is_seen_whole() {
    let scene = any_scene();
    let work = scene.work().display().to_string();
    // A port that was free a moment ago: nginx cannot ask the kernel for a free one.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = format!(
        "worker_processes 2; daemon off; user nobody nogroup; pid {work}/nginx.pid; error_log {work}/error.log;\n\
         events {{ worker_connections 64; }}\n\
         http {{ access_log {work}/access.log; client_body_temp_path {work}/t1; proxy_temp_path {work}/t2;\n\
         fastcgi_temp_path {work}/t3; uwsgi_temp_path {work}/t4; scgi_temp_path {work}/t5;\n\
         server {{ listen 127.0.0.1:{port}; root {work}/open-to-all; }} }}\n"
    );
    fs::write(scene.work().join("nginx.conf"), config).unwrap();
    fs::write(scene.work().join("open-to-all/page.txt"), "the page\n").unwrap();
    let mut command = scene.command(glassbox());
    command.args(["run", "-o", &scene.events_output(), "--", "/usr/sbin/nginx", "-c"]);
    command.arg(scene.work().join("nginx.conf"));
    let server = child::start(command, b"");
    wait_until("nginx", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());

    for _ in 0..20 {
        let mut curl = scene.command("curl");
        curl.args(["-s", &format!("http://127.0.0.1:{port}/page.txt")]);
        assert_eq!("the page\n", child::run(curl, b"").stdout);
    }
    server.signal(libc::SIGQUIT);
    let ending = server.finish();

    assert_eq!(Status::Exited(0), ending.status, "{}", ending.stderr);
    let seen = scene.events(Expect::NothingLost);
    let pages = seen.opens("page.txt");
    assert_eq!(20, pages.len(), "{}", seen.outline());
    assert!(pages.iter().all(|open| open.number("uid") == Some(65534)), "{:?}", pages[0]);
    let accepts = seen.named("net.accept").filter(|accept| !accept.has_failed()).count();
    assert!(accepts >= 20, "{accepts} accepts");
}
