//! Bad input and faults: whatever happens to the collector, its outputs or its input, the program does not
//! notice, and each failure is reported.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use glassbox_tests::child::{self, DEADLINE, Ending, Status, wait_until};
use glassbox_tests::collector::Collector;
use glassbox_tests::events::{Events, Expect};
use glassbox_tests::glassbox;
use glassbox_tests::scene::{Collected, Mode, Scene};

/// Demands a failure with one line on stderr.
#[track_caller]
fn assert_one_line(ending: &Ending, code: i32, about: &str) {
    assert_eq!(Status::Exited(code), ending.status, "{ending:?}");
    let lines: Vec<&str> = ending.stderr.lines().collect();
    assert_eq!(1, lines.len(), "not one line: {:?}", ending.stderr);
    assert!(ending.stderr.contains(about), "does not say {about:?}: {:?}", ending.stderr);
}

fn tool(scene: &Scene, arguments: &[&str]) -> Ending {
    let mut command = scene.command(glassbox());
    command.args(arguments);
    child::run(command, b"")
}

/// The child of `launcher` that is the collector: the one that runs `glassbox`.
fn collector_of(launcher: i32) -> Option<i32> {
    let children = fs::read_to_string(format!("/proc/{launcher}/task/{launcher}/children")).ok()?;
    let mut pids = children.split_ascii_whitespace().filter_map(|pid| pid.parse::<i32>().ok());
    pids.find(|pid| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe.ends_with("glassbox")))
}

fn kill(pid: i32) {
    // SAFETY: kill takes no pointers; the process is a child of the launcher that this test started.
    unsafe { libc::kill(pid, libc::SIGKILL) };
}

#[test]
fn without_a_collector_nothing_is_different_and_nothing_is_left() {
    let scene = Scene::of("process_state", &[]);

    scene.compare(&[Mode::Dormant]);
}

#[test]
fn a_dormant_process_attaches_to_no_collector_that_comes_later() {
    let scene = Scene::of("steady", &["200"]);
    scene.clean();
    let socket = scene.beside("c.sock");
    let mut command = scene.bare_command();
    command.env("LD_PRELOAD", glassbox_tests::sensor()).env("GLASSBOX_SOCKET", &socket);
    let running = child::start(command, b"");
    wait_until("the first open", || scene.work().join("steady.0").exists());

    let collector = scene.collect();
    let ending = running.finish();
    collector.stop();

    assert_eq!("failed 0\n", ending.stdout);
    let seen = scene.events(Expect::NothingLost);
    assert_eq!(0, seen.named("file.open").count(), "{}", seen.outline());
}

#[test]
fn a_program_goes_on_when_the_collector_beside_it_is_killed() {
    let collected = Scene::collected("steady", &["100000"]);
    let running = collected.start_until("steady.20");
    let Collected { scene, collector } = collected;

    collector.kill();
    wait_until("more opens", || scene.work().join("steady.200").exists());
    fs::write(scene.work().join("stop"), "").unwrap();
    let ending = running.finish();

    assert_eq!(
        (Status::Exited(0), "failed 0\n", ""),
        (ending.status, ending.stdout.as_str(), ending.stderr.as_str())
    );
}

#[test]
fn a_full_ring_without_a_reader_never_stops_the_program() {
    // 400,000 records fill any ring; the collector is stopped, not dead, so nothing tells the program to give
    // up.
    let collected = Scene::collected("flood", &["2", "100000"]);
    // SAFETY: kill takes no pointers; the collector is this test's own child.
    unsafe { libc::kill(collected.collector.pid(), libc::SIGSTOP) };

    let ending = collected.play();
    // SAFETY: as above.
    unsafe { libc::kill(collected.collector.pid(), libc::SIGCONT) };

    ending.assert_output(0, "failed 0\n");
    let seen = collected.events(Expect::LossIsCounted);
    let is_ours = |event: &&glassbox_tests::Event| ["open", "close"].contains(&event.call());
    let delivered = seen.iter().filter(is_ours).count() as i64;
    let lost: i64 = seen.named("sensor.loss").filter_map(|loss| loss.number("count")).sum();
    assert!(lost > 0, "a ring of {delivered} records was not full");
    assert_eq!(400_000, delivered + lost, "produced = delivered + counted");
}

#[test]
fn a_collector_killed_under_run_is_replaced_and_nothing_committed_is_lost() {
    let scene = Scene::of("steady", &["100000"]);
    scene.clean();
    let events = scene.beside("events.jsonl");
    let running = child::start(scene.run_command(&["-o", &scene.events_output()]), b"");
    wait_until("some opens", || scene.work().join("steady.30").exists());

    let first = collector_of(running.pid()).expect("the launcher has a collector");
    kill(first);
    wait_until("another collector", || collector_of(running.pid()).is_some_and(|pid| pid != first));
    wait_until("more opens", || scene.work().join("steady.300").exists());
    fs::write(scene.work().join("stop"), "").unwrap();
    let ending = running.finish();

    ending.assert_output(0, "failed 0\n");
    let made = scene.files()["count-of-opens"].parse::<usize>().unwrap();
    // Lines that the first collector had read but not written died with it; they must be few, and counted.
    let text = fs::read_to_string(&events).unwrap();
    let opens =
        text.lines().filter(|line| line.contains("\"file.open\"") && line.contains("/steady.")).count();
    let last = format!("/steady.{}\"", made - 1);
    assert!(text.contains(&last), "the last open is missing: {opens} of {made}");
    assert!(opens * 10 >= made * 9, "{opens} of {made} opens");
}

#[test]
fn a_collector_that_is_killed_again_and_again_never_harms_the_program() {
    let scene = Scene::of("steady", &["100000"]);
    scene.clean();
    let running = child::start(scene.run_command(&["-o", "jsonl:/dev/null"]), b"");
    wait_until("some opens", || scene.work().join("steady.10").exists());

    for round in 1..=5 {
        // The launcher may wait before it tries again, or give up; the program must go on in any case.
        if let Some(pid) = collector_of(running.pid()) {
            kill(pid);
        }
        let next = format!("steady.{}", 10 + round * 40);
        wait_until("more opens", || scene.work().join(&next).exists());
    }
    fs::write(scene.work().join("stop"), "").unwrap();
    let ending = running.finish();

    ending.assert_output(0, "failed 0\n");
}

#[test]
fn a_program_outlives_its_launcher() {
    let scene = Scene::of("steady", &["100000"]);
    scene.clean();
    let running = child::start(scene.run_command(&["-o", "jsonl:/dev/null"]), b"");
    wait_until("some opens", || scene.work().join("steady.10").exists());

    kill(running.pid());
    wait_until("more opens", || scene.work().join("steady.60").exists());
    fs::write(scene.work().join("stop"), "").unwrap();

    wait_until("the program's own end", || scene.work().join("count-of-opens").exists());
}

#[test]
fn a_full_disk_under_one_output_is_said_and_harms_neither_program_nor_other_outputs() {
    let scene = Scene::of("sudden_end", &["return", "500"]);
    scene.clean();
    let options = ["-o", "jsonl:/dev/full", "-o", &scene.events_output()];

    let ending = child::run(scene.run_command(&options), b"");

    ending.assert_output(7, "opened\n");
    assert!(ending.stderr.contains("/dev/full"), "nothing is said of the full disk: {:?}", ending.stderr);
    assert_eq!(500, scene.events(Expect::NothingLost).opens("opened").len());
}

#[test]
fn a_file_that_fills_up_ends_with_a_whole_line() {
    let scene = Scene::of("sudden_end", &["return", "1"]);
    scene.clean();
    let events = scene.beside("events.jsonl");
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -f 20; exec \"$@\"", "sh"]).arg(glassbox());
    command.arg("run").arg("-o").arg(scene.events_output());
    command.args(["--", "sh", "-c", "for i in $(seq 200); do /bin/true; done"]);

    let ending = child::run(command, b"");

    let text = fs::read_to_string(&events).unwrap();
    assert!(ending.stderr.contains("File too large"), "it did not fill up: {}", ending.stderr);
    assert!(
        text.ends_with("}\n") && text.len() > 9000,
        "{} bytes, ... {:?}",
        text.len(),
        text.lines().last()
    );
}

#[test]
fn a_full_disk_under_a_recording_is_said() {
    let scene = Scene::of("sudden_end", &["return", "500"]);
    scene.clean();

    let ending = child::run(scene.run_command(&["-o", "recording:/dev/full"]), b"");

    ending.assert_output(7, "opened\n");
    assert!(ending.stderr.contains("/dev/full"), "{:?}", ending.stderr);
}

#[test]
fn an_output_that_cannot_be_made_is_73_and_the_program_is_not_started() {
    let scene = Scene::of("sudden_end", &["return", "1"]);
    scene.clean();

    let ending = child::run(scene.run_command(&["-o", "jsonl:/no/such/folder/events"]), b"");

    assert_one_line(&ending, 73, "/no/such/folder/events");
    assert!(!scene.files().contains_key("opened"), "the program ran all the same");
}

#[test]
fn the_pipeline_goes_before_others_and_no_other_thread_does() {
    let scene = Scene::of("sudden_end", &["return", "0"]);
    scene.clean();
    let collector = Collector::start(&scene.beside("collect.sock"), &["-o", &scene.events_output()]);

    let niceness = || {
        let tasks = fs::read_dir(format!("/proc/{}/task", collector.pid())).unwrap();
        let mut niceness: Vec<(String, i64)> = tasks
            .map(|task| {
                let stat = fs::read_to_string(task.unwrap().path().join("stat")).unwrap();
                let (head, fields) = stat.rsplit_once(") ").unwrap();
                let name = head.split_once('(').unwrap().1.split(' ').next().unwrap();
                // The nineteenth field of all (proc(5)).
                (name.to_owned(), fields.split(' ').nth(16).unwrap().parse().unwrap())
            })
            .collect();
        niceness.sort();
        niceness
    };

    let own = niceness().iter().find(|(name, _)| name == "glassbox").unwrap().1;
    // The last one fills the page that SIGUSR1 prints.
    let expected = [("evasion", own), ("glassbox", own), ("jsonl", own), ("pipeline", own - 4), ("the", own)];
    let expected = expected.map(|(name, nice)| (name.to_owned(), nice));
    wait_until("the pipeline's priority", || niceness() == expected);
    collector.stop();
}

#[test]
fn a_slow_reader_of_an_output_delays_no_other() {
    // The fifo is opened and never read, so its sink blocks, and its queue fills.
    let scene = Scene::of("flood", &["2", "50000"]);
    scene.clean();
    let fifo = scene.beside("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let reader = fs::File::options().read(true).write(true).open(&fifo).unwrap();
    let options = ["-o", &format!("jsonl:{}", fifo.display()), "-o", &scene.events_output()];

    let mut running = child::start(scene.run_command(&options), b"");
    let started = std::time::Instant::now();
    let mut is_read = false;
    while running.is_alive() {
        // At the end the collector may wait for the blocked sink, so the fifo is read then.
        if started.elapsed() > DEADLINE / 6 && !is_read {
            is_read = true;
            let mut end = reader.try_clone().unwrap();
            std::thread::spawn(move || std::io::copy(&mut end, &mut std::io::sink()));
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let ending = running.finish();
    drop(reader);

    ending.assert_output(0, "failed 0\n");
    let seen = scene.events(Expect::LossIsCounted);
    let opens = seen.named("file.open").filter(|open| open.path() == "/dev/null").count();
    // The slow sink's queue holds a third of that; events that a loaded machine has no time for are counted.
    assert!(opens >= 60_000, "{opens} of 100000 opens reached the output that is not slow");
}

#[test]
fn an_output_that_cannot_keep_up_says_so_once_a_second_and_names_the_cause() {
    let scene = Scene::of("flood", &["2", "400000"]);
    scene.clean();
    let (fifo, read) = (scene.beside("fifo"), scene.beside("read.jsonl"));
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let pipe = fs::File::options().read(true).write(true).open(&fifo).unwrap();
    let running = child::start(scene.run_command(&["-o", &format!("jsonl:{}", fifo.display())]), b"");
    wait_until("the output", || is_open_elsewhere(&fifo, running.pid()));
    // A reader of 2 MB a second at first; without another writer the pipe ends with the collector.
    let reader = fs::File::options().read(true).open(&fifo).unwrap();
    drop(pipe);
    let copy = std::thread::spawn(move || copy_slowly(reader, fs::File::create(read).unwrap()));

    let ending = running.finish();
    copy.join().unwrap();

    ending.assert_output(0, "failed 0\n");
    let seen = Events::read(&scene.beside("read.jsonl"), Expect::LossIsCounted);
    let of = |reason: &'static str| {
        seen.named("sensor.loss").filter(move |loss| loss.text("reason") == Some(reason))
    };
    for reason in ["sink_full", "ring_full"] {
        let times: Vec<i64> = of(reason).map(|loss| loss.time_ns().unwrap()).collect();
        assert!(times.len() >= 2 || reason == "ring_full", "{reason}: {times:?}");
        // The last report is that of the end.
        let mut pairs = times[..times.len().saturating_sub(1)].windows(2);
        assert!(pairs.all(|pair| pair[1] - pair[0] >= 1_000_000_000), "{reason}: {times:?}");
    }
    let lost: i64 = of("sink_full").filter_map(|loss| loss.number("count")).sum();
    let all = lost + seen.iter().count() as i64;
    let line = format!("lacks {lost} of {all} events: the destination was too slow, and took ");
    assert!(ending.stderr.contains(&line), "not {line:?}: {}", ending.stderr);
}

/// Whether a child of `launcher` has the file open.
fn is_open_elsewhere(file: &std::path::Path, launcher: i32) -> bool {
    let open = |pid: i32| fs::read_dir(format!("/proc/{pid}/fd"));
    let mut found = collector_of(launcher).and_then(|pid| open(pid).ok()).into_iter().flatten().flatten();
    found.any(|entry| fs::read_link(entry.path()).is_ok_and(|path| path == file))
}

/// Copies 2 MB a second for five seconds, and the rest at once.
fn copy_slowly(mut from: impl std::io::Read, mut to: impl std::io::Write) {
    let begun = std::time::Instant::now();
    let mut bytes = vec![0; 40_000];
    loop {
        let count = from.read(&mut bytes).unwrap();
        if count == 0 {
            return;
        }
        to.write_all(&bytes[..count]).unwrap();
        if begun.elapsed().as_secs() < 5 {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

#[test]
fn a_scribbled_ring_costs_its_own_process_only() {
    let mut collected = Scene::collected("steady", &["100000"]);
    let neighbour = collected.start_until("steady.0");

    let mut scribbled = 0;
    for (how, seed) in
        [("zero", 1), ("ones", 1), ("header", 2), ("header", 3), ("words", 4), ("random", 5), ("random", 6)]
    {
        let scribbler = Scene::of("ring_scribble", &[how, &seed.to_string()]);
        scribbler.clean();
        let mut command = scribbler.bare_command();
        collected.collector.preload(&mut command);
        let ending = child::run(command, b"");
        assert_eq!(Status::Exited(0), ending.status, "{how}: {ending:?}");
        scribbled += scribbler.files()["scribbled-on"].parse::<usize>().unwrap();
        assert!(collected.collector.is_alive(), "the collector died of {how} {seed}");
    }
    fs::write(collected.scene.work().join("stop"), "").unwrap();
    let ending = neighbour.finish();
    let made = collected.scene.files()["count-of-opens"].parse::<usize>().unwrap();

    assert!(scribbled >= 7, "only {scribbled} rings were found to scribble on");
    assert_eq!("failed 0\n", ending.stdout);
    let seen = collected.events(Expect::Rubbish);
    let of_neighbour = seen.named("file.open").filter(|open| open.path().contains("/steady.")).count();
    assert_eq!(made, of_neighbour, "the neighbour lost events");
}

#[test]
fn a_clean_image_after_a_scribble_is_reported() {
    let scene = Scene::of("ring_scribble", &["random", "9"]).expecting(Expect::Rubbish);

    let seen = scene.play(Mode::Run).events;

    assert_eq!(1, seen.opens("by-a-clean-image").len(), "{}", seen.outline());
    assert_eq!(20, seen.opens("before-the-scribble").len());
}

#[test]
fn rubbish_sent_to_the_socket_harms_no_process() {
    let mut collected = Scene::collected("sudden_end", &["return", "100"]);

    for length in [0, 1, 7, 64, 4096] {
        let script = "import socket, sys, os\n\
             s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.connect(sys.argv[1])\n\
             fd = os.memfd_create('short'); os.ftruncate(fd, 100)\n\
             socket.send_fds(s, [os.urandom(int(sys.argv[2]))], [fd, 0, 1])\n\
             t = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); t.connect(sys.argv[1])\n";
        let mut command = collected.scene.command("/usr/bin/python3");
        command.args(["-c", script]).arg(collected.collector.socket()).arg(length.to_string());
        assert_eq!(Status::Exited(0), child::run(command, b"").status);
    }
    assert!(collected.collector.is_alive());
    collected.play();

    assert_eq!(100, collected.events(Expect::NothingLost).opens("opened").len());
}

#[test]
fn silent_connections_keep_no_sensor_out() {
    let collected = Scene::collected("sudden_end", &["return", "100"]);
    let scene = &collected.scene;
    let script = "import socket, sys, time\n\
         held = []\n\
         for n in range(200):\n\
         \x20   s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.setblocking(False)\n\
         \x20   try: s.connect(sys.argv[1])\n\
         \x20   except OSError: pass\n\
         \x20   held.append(s)\n\
         open('held', 'w').close(); time.sleep(60)\n";
    let mut silent = scene.command("/usr/bin/python3");
    silent.args(["-c", script]).arg(collected.collector.socket());
    let silent = child::start(silent, b"");
    wait_until("200 silent connections", || scene.work().join("held").exists());
    // Time for the collector to accept them all.
    std::thread::sleep(std::time::Duration::from_millis(300));

    collected.play();
    drop(silent);

    assert_eq!(100, collected.events(Expect::NothingLost).opens("opened").len());
}

#[test]
fn a_program_that_does_not_exist_is_127() {
    let scene = Scene::of("steady", &["0"]);
    scene.clean();

    for program in ["glassbox-no-such-program", "./no-such-program", "/no/such/program"] {
        let ending = tool(&scene, &["run", "-o", "jsonl:/dev/null", "--", program]);

        assert_one_line(&ending, 127, program);
    }
}

#[test]
fn a_program_that_is_not_executable_is_126() {
    let scene = Scene::of("steady", &["0"]);
    scene.clean();
    fs::write(scene.work().join("plain"), "text\n").unwrap();
    fs::set_permissions(scene.work().join("plain"), fs::Permissions::from_mode(0o644)).unwrap();

    for program in ["./plain", "/etc"] {
        let ending = tool(&scene, &["run", "-o", "jsonl:/dev/null", "--", program]);

        assert_one_line(&ending, 126, program);
    }
}

#[test]
fn a_recording_that_is_not_there_is_66() {
    let scene = Scene::of("steady", &["0"]);
    scene.clean();

    let ending = tool(&scene, &["replay", "no-such-recording.gbx", "-o", "jsonl:-"]);

    assert_one_line(&ending, 66, "no-such-recording.gbx");
}

#[test]
fn a_folder_in_place_of_a_recording_is_66() {
    let scene = Scene::of("steady", &["0"]);
    scene.clean();

    let ending = tool(&scene, &["replay", "open-to-all", "-o", "jsonl:-"]);

    assert_one_line(&ending, 66, "open-to-all");
}

#[test]
fn a_file_that_is_no_recording_is_65() {
    let scene = Scene::of("steady", &["0"]);
    scene.clean();
    fs::write(scene.work().join("text"), "this is no recording, and it is longer than any header could be\n")
        .unwrap();
    fs::write(scene.work().join("empty"), "").unwrap();

    for file in ["text", "empty"] {
        assert_one_line(&tool(&scene, &["replay", file, "-o", "jsonl:-"]), 65, file);
    }
}

/// A recording of 300 opens.
fn recorded(scene: &Scene) -> Vec<u8> {
    scene.clean();
    let recording = scene.beside("r.gbx");
    let option = format!("recording:{}", recording.display());
    let ending = child::run(scene.run_command(&["-o", &option]), b"");
    assert_eq!(Status::Exited(7), ending.status, "{}", ending.stderr);
    fs::read(recording).unwrap()
}

#[test]
fn a_truncated_recording_gives_what_it_has_and_says_that_it_is_cut() {
    let scene = Scene::of("sudden_end", &["return", "20000"]);
    let whole = recorded(&scene);

    for cut in [whole.len() * 9 / 10, whole.len() / 2, whole.len() - 1] {
        fs::write(scene.work().join("cut.gbx"), &whole[..cut]).unwrap();
        let ending = tool(&scene, &["replay", "cut.gbx", "-o", "jsonl:-"]);

        assert_one_line(&ending, 65, "cut.gbx");
        assert!(ending.stdout.ends_with('\n'), "cut at {cut}: the last line is cut too");
        let events = Events::parse(&ending.stdout, Expect::Rubbish).unwrap();
        assert!(events.opens("opened").len() > 5000, "cut at {cut}: {} opens", events.opens("opened").len());
    }
}

#[test]
fn a_recording_cut_in_its_header_is_65() {
    let scene = Scene::of("sudden_end", &["return", "300"]);
    let whole = recorded(&scene);

    for cut in [1, 4, 7] {
        fs::write(scene.work().join("cut.gbx"), &whole[..cut]).unwrap();

        assert_one_line(&tool(&scene, &["replay", "cut.gbx", "-o", "jsonl:-"]), 65, "cut.gbx");
    }
}

#[test]
fn a_damaged_recording_never_crashes_the_reader() {
    let scene = Scene::of("sudden_end", &["return", "300"]);
    let whole = recorded(&scene);
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as usize
    };

    for _ in 0..40 {
        let mut damaged = whole.clone();
        for _ in 0..1 + next() % 20 {
            let at = next() % damaged.len();
            damaged[at] = next() as u8;
        }
        fs::write(scene.work().join("damaged.gbx"), &damaged).unwrap();
        let ending = tool(&scene, &["replay", "damaged.gbx", "-o", "jsonl:-"]);

        // A reader without checksums cannot find damage in a text; but a crash or an internal error (70) is
        // always wrong.
        assert!(
            [Status::Exited(0), Status::Exited(65)].contains(&ending.status),
            "{:?} {}",
            ending.status,
            ending.stderr
        );
        Events::parse(&ending.stdout, Expect::Rubbish).map(drop).unwrap_or_else(|broken| {
            assert!(
                broken.iter().all(|what| !what.contains("EOF") && !what.contains("not an object")),
                "{broken:?}"
            );
        });
    }
}

#[test]
fn wrong_usage_is_64_with_one_line() {
    let scene = Scene::of("steady", &["0"]);
    scene.clean();

    for (arguments, about) in [
        (&["no-such-command"][..], "no-such-command"),
        (&["run"], "CMD"),
        (&["run", "--"], "CMD"),
        (&["run", "--no-such-option", "--", "true"], "--no-such-option"),
        (&["run", "-o"], "-o"),
        (&["run", "-o", "no-such-format:x", "--", "true"], "no-such-format"),
        (&["replay"], "FILE"),
        (&["replay", "a", "--no-such-option"], "--no-such-option"),
        (&["collect", "--no-such-option"], "--no-such-option"),
        (&["collect", "stray"], "stray"),
    ] {
        let ending = tool(&scene, arguments);

        assert_one_line(&ending, 64, about);
        assert_eq!("", ending.stdout, "{arguments:?}");
    }
}

#[test]
fn a_second_collector_on_one_socket_is_refused_and_the_first_goes_on() {
    let collected = Scene::collected("sudden_end", &["return", "100"]);

    let mut second = collected.scene.command(glassbox());
    second.args(["collect", "-o", "jsonl:/dev/null"]);
    second.env("GLASSBOX_SOCKET", collected.collector.socket());
    let refused = child::run(second, b"");

    assert!(matches!(refused.status, Status::Exited(code) if code >= 64), "{refused:?}");
    assert!(refused.stderr.contains("c.sock"), "{refused:?}");
    collected.play();
    assert_eq!(100, collected.events(Expect::NothingLost).opens("opened").len());
}

#[test]
fn a_socket_left_behind_by_a_killed_collector_is_taken_over() {
    let scene = Scene::of("sudden_end", &["return", "100"]);
    scene.clean();
    scene.collect().kill();

    let collector = scene.collect();
    let collected = Collected { scene, collector };
    collected.play();

    assert_eq!(100, collected.events(Expect::NothingLost).opens("opened").len());
}

#[test]
fn the_sensor_missing_beside_the_tool_is_said_before_the_program_starts() {
    let scene = Scene::of("sudden_end", &["return", "1"]);
    scene.clean();
    let alone = scene.beside("glassbox");
    fs::copy(glassbox(), &alone).unwrap();
    let mut command = scene.command(&alone);
    command.args(["run", "-o", "jsonl:/dev/null", "--", "touch", "started"]);

    let ending = child::run(command, b"");

    assert_one_line(&ending, 66, "libglassbox.so");
    assert!(!scene.work().join("started").exists());
}
