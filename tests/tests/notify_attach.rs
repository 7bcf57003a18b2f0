//! `glassbox attach --notify`: a program that runs already is seen into from then on, static ones too, and
//! notices nothing.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use glassbox_tests::Collector;
use glassbox_tests::artefacts::glassbox;
use glassbox_tests::child::{self, Ending, Running, Status, wait_until};
use glassbox_tests::events::{Event, Events, Expect};
use glassbox_tests::scene::Scene;
use glassbox_tests::steady::{made, scene_of_static, stop_and_finish, wait_for_open};
use glassbox_tests::unseen::SERVED;
use glassbox_tests::victim::{Libc, compiled};

/// The threads of the victim `attached`.
const THREADS: [&str; 4] = ["first", "thread-0", "thread-1", "thread-2"];
const STRICT: [&str; 3] = ["--notify", "security", "--require-notify"];

/// `glassbox attach` with these options, for the collector at `socket`.
fn attach(socket: &Path, pid: i32, options: &[&str]) -> Ending {
    let mut command = Command::new(glassbox());
    command.arg("attach").args(options).arg(pid.to_string()).env("GLASSBOX_SOCKET", socket);
    child::run(command, b"")
}

/// A program that opens files, attached to when it has opened some, and what `attach` said.
fn attached_while_it_opens() -> (Scene, Collector, Running, Ending) {
    let scene = scene_of_static("steady", &["100000"]);
    let collector = scene.collect();
    let running = child::start(scene.bare_command(), b"");
    wait_for_open(&scene, 20);
    let said = attach(collector.socket(), running.pid(), &STRICT);
    assert_eq!(Status::Exited(0), said.status, "{}", said.stderr);
    (scene, collector, running, said)
}

/// The supervisor that it left.
fn supervisor(said: &Ending) -> i32 {
    let number = said.stderr.split("process ").filter_map(|rest| rest.split_once(" supervises it"));
    let number = number.filter_map(|(number, _)| number.parse().ok()).next();
    number.unwrap_or_else(|| panic!("{:?} {}", said.status, said.stderr))
}

fn is_gone(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.map_or(true, |stat| stat.contains(") Z ") || stat.contains(") X "))
}

/// The victim `attached`, which waits in a call.
fn started(scene: &Scene) -> Running {
    scene.clean();
    let running = child::start(scene.bare_command(), b"");
    let ready = scene.work().join("ready");
    wait_until("the victim to be ready", || ready.exists());
    // From there it is one call to its wait.
    std::thread::sleep(Duration::from_millis(100));
    running
}

fn gone_on(scene: &Scene, running: Running) -> Ending {
    fs::write(scene.work().join("go"), "x").expect("the victim has made it");
    running.finish()
}

/// The mechanisms by which the opens of a file were seen.
fn seen_via<'e>(events: &'e Events, file: &str) -> Vec<&'e str> {
    events.opens(file).iter().filter_map(|open| open.text("via")).collect()
}

/// Runs the victim `attached` bare, and again with an attach while its first thread waits in the call that it
/// is given; gives the message and the events of the second run.
fn attached(libc: Libc, arguments: &[&str]) -> (Ending, Events) {
    let scene = Scene::with(compiled("attached", libc), arguments);
    let bare = started(&scene);
    let bare = gone_on(&scene, bare);
    assert_eq!(Status::Exited(7), bare.status, "{}", bare.stdout);
    let files = scene.files();

    let collector = scene.collect();
    let running = started(&scene);
    let table = || fs::read_dir(format!("/proc/{}/fd", running.pid())).expect("it runs").count();
    let before = table();
    let said = attach(collector.socket(), running.pid(), &STRICT);
    assert_eq!(Status::Exited(0), said.status, "{}", said.stderr);
    assert!(said.stderr.contains("stood for "), "{}", said.stderr);
    assert_eq!(before, table(), "it has the descriptors that it had");
    let supervisor = supervisor(&said);
    assert!(!is_gone(supervisor));
    let ending = gone_on(&scene, running);
    assert_eq!(bare, ending, "the program noticed");
    assert_eq!(files, scene.files(), "the program left other files");
    wait_until("the supervisor's end", || is_gone(supervisor));
    let stopped = collector.stop();
    assert_eq!(Status::Exited(0), stopped.status, "collect: {}", stopped.stderr);
    (said, scene.events(Expect::NothingLost))
}

#[test]
fn a_static_program_goes_on_whatever_it_waits_in_and_each_of_its_threads_is_seen() {
    for call in ["read", "poll", "nanosleep", "epoll", "recv"] {
        let (said, events) = attached(Libc::GlibcStatic, &[call]);

        assert!(said.stderr.contains("a static program"), "{}", said.stderr);
        for thread in THREADS {
            for way in ["libc", "raw"] {
                let file = format!("attached.{way}.{thread}");
                assert_eq!(vec!["notify"], seen_via(&events, &file), "{call} {file}\n{}", events.outline());
            }
        }
        let starts: Vec<_> = events
            .named("process.start")
            .map(|start| (start.text("coverage"), start.text("reason"), start.list("argv").len()))
            .collect();
        let expected = vec![(Some("notify"), Some("static"), 2), (Some("notify"), Some("no_sensor"), 1)];
        assert_eq!(expected, starts, "{call}\n{}", events.outline());
    }
}

#[test]
fn a_dynamic_program_gets_the_sensor_too_and_nothing_is_told_twice() {
    let (said, events) = attached(Libc::Glibc, &["read"]);

    assert!(!said.stderr.contains("the sensor is not put into it"), "{}", said.stderr);
    for thread in THREADS {
        for (way, via) in [("libc", "got"), ("raw", "notify")] {
            let file = format!("attached.{way}.{thread}");
            assert_eq!(vec![via], seen_via(&events, &file), "{file}\n{}", events.outline());
        }
    }
    let execs: Vec<&Event> = events.named("process.exec").collect();
    assert_eq!(1, execs.len(), "{}", events.outline());
    // The code that made the calls is none of libc's.
    let evidence = events.named("sensor.evasion").filter(|event| event.text("reason") == Some("raw_call"));
    assert!(evidence.count() >= 1, "{}", events.outline());
    let starts: Vec<_> = events.named("process.start").map(|start| start.text("via")).collect();
    assert_eq!(vec![Some("got"), Some("symbol")], starts, "{}", events.outline());
}

/// A program that the sensor does not get into, and whose libc no hook tells of.
#[test]
fn a_program_of_musls_is_seen_into_by_the_kernels_word_alone() {
    let (said, events) = attached(Libc::Musl, &["read"]);

    assert!(said.stderr.contains("musl"), "{}", said.stderr);
    for thread in THREADS {
        for way in ["libc", "raw"] {
            let file = format!("attached.{way}.{thread}");
            assert_eq!(vec!["notify"], seen_via(&events, &file), "{file}\n{}", events.outline());
        }
    }
    let start = events.named("process.start").next().expect("its start");
    assert_eq!((Some("notify"), Some("no_sensor")), (start.text("coverage"), start.text("reason")));
}

/// As in a container: root reads the filter that is there.
#[test]
fn a_filter_that_permits_another_one_is_no_reason_against_it() {
    let (said, events) = attached(Libc::Glibc, &["read", "profile"]);

    assert!(
        said.stderr.contains("its seccomp filter could end it for what the loader does"),
        "{}",
        said.stderr
    );
    for thread in THREADS {
        for way in ["libc", "raw"] {
            let file = format!("attached.{way}.{thread}");
            assert_eq!(vec!["notify"], seen_via(&events, &file), "{file}\n{}", events.outline());
        }
    }
}

/// The kernel continues a sleep by restart_syscall(2), which this filter takes the program's life for.
#[test]
fn a_sleep_begins_anew_where_a_filter_forbids_that_it_continues() {
    let (said, _) = attached(Libc::GlibcStatic, &["nanosleep", "begins"]);

    assert!(said.stderr.contains("its seccomp filter could end it"), "{}", said.stderr);
}

/// A command that is ended while it waits leaves the program as it was.
#[test]
fn a_command_that_is_killed_leaves_the_program_as_it_was() {
    let scene = Scene::with(compiled("attached", Libc::GlibcStatic), &["read"]);
    let bare = started(&scene);
    let bare = gone_on(&scene, bare);
    let collector = scene.collect();
    let running = started(&scene);
    let field = |name: &str| {
        let status = fs::read_to_string(format!("/proc/{}/status", running.pid())).expect("it runs");
        let line = status.lines().find(|line| line.starts_with(name)).map(str::to_owned);
        line.expect("a field of every process")
    };
    let before = field("SigBlk:");
    for delay_ms in [0, 5, 10, 20, 40, 80] {
        let mut command = Command::new(glassbox());
        command.args(["attach", "--notify", "security"]).arg(running.pid().to_string());
        command.env("GLASSBOX_SOCKET", collector.socket());
        let command = child::start(command, b"");
        std::thread::sleep(Duration::from_millis(delay_ms));
        command.signal(libc::SIGKILL);
        command.finish();
        let others = || supervisors(running.pid()).len();
        wait_until("its end, or its beginning", || others() == 0 || field("Seccomp:").ends_with('2'));
        wait_until("the thread to be let go", || field("TracerPid:").ends_with("\t0"));
        assert_eq!(before, field("SigBlk:"), "killed after {delay_ms} ms");
    }
    assert_eq!(bare, gone_on(&scene, running));
    collector.stop();
}

/// The processes that an attach to `pid` left: the supervisor and the holder.
fn supervisors(pid: i32) -> Vec<i32> {
    let pids = fs::read_dir("/proc")
        .expect("/proc")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let is_one = |process: &i32| {
        let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        let mut words = line.split(|byte| *byte == 0).filter(|word| !word.is_empty());
        words.clone().any(|word| word == b"attach") && words.next_back() == Some(pid.to_string().as_bytes())
    };
    pids.filter(is_one).collect()
}

/// As at the end of a service, or of the system.
#[test]
fn the_programs_calls_go_on_when_all_of_glassbox_is_asked_to_end() {
    let (scene, collector, running, _) = attached_while_it_opens();
    let all = supervisors(running.pid());
    assert_eq!(2, all.len(), "{all:?}");
    for process in &all {
        for signal in [libc::SIGTERM, libc::SIGHUP, libc::SIGINT] {
            // SAFETY: a number of a process that this test had started.
            assert_eq!(0, unsafe { libc::kill(*process, signal) });
        }
    }
    wait_for_open(&scene, made(&scene) + 100);
    assert_eq!(all, supervisors(running.pid()));
    stop_and_finish(&scene, running).assert_output(0, "failed 0\n");
    wait_until("their end", || all.iter().all(|process| is_gone(*process)));
    collector.stop();
}

/// A server in Go, with all its threads at work.
fn served(scene: &Scene) -> Running {
    scene.clean();
    let mut command = scene.command(SERVED.path());
    command.arg(scene.work());
    let running = child::start(command, b"");
    wait_until("its first deeds", || scene.work().join("served.20").exists());
    running
}

/// Lets it come to its end; gives its ending and the number of its deeds.
fn stopped(scene: &Scene, running: Running) -> (Ending, usize) {
    let ending = stop_and_finish(scene, running);
    let count = scene.files()["count-of-deeds"].parse().expect("a number");
    (ending, count)
}

#[test]
fn a_static_go_server_under_load_is_seen_from_then_on_and_notices_nothing() {
    let scene = Scene::of("steady", &["0"]);
    let (bare, _) = {
        let running = served(&scene);
        stopped(&scene, running)
    };
    assert_eq!(Status::Exited(0), bare.status, "{}", bare.stdout);
    let collector = scene.collect();

    let running = served(&scene);
    let pid = i64::from(running.pid());
    let said = attach(collector.socket(), running.pid(), &STRICT);
    assert_eq!(Status::Exited(0), said.status, "{}", said.stderr);
    let made = |number: usize| scene.work().join(format!("served.{number}")).exists();
    let first = (1..).find(|number| !made(*number)).expect("a number");
    wait_until("more deeds", || made(first + 40));
    let (ending, count) = stopped(&scene, running);
    assert_eq!(bare, ending, "the program noticed");
    wait_until("the supervisor's end", || is_gone(supervisor(&said)));
    collector.stop();

    // On a busy machine a program may be gone before the collector has heard of it.
    let events = scene.events(Expect::LossIsCounted);
    let lost: i64 = events.named("sensor.loss").filter_map(|loss| loss.number("count")).sum();
    let lost = usize::try_from(lost).expect("a count");
    let start = events.only("the server", |event| event.name() == "process.start" && event.pid() == pid);
    assert_eq!((Some("notify"), Some("static")), (start.text("coverage"), start.text("reason")));
    let mut opens = BTreeMap::<usize, usize>::new();
    for open in events.named("file.open") {
        let number = open.path().rsplit_once("served.").and_then(|(_, number)| number.parse().ok());
        if let Some(number) = number {
            assert_eq!((Some("notify"), pid), (open.text("via"), open.pid()));
            *opens.entry(number).or_default() += 1;
        }
    }
    assert!(opens.values().all(|times| *times == 1), "{opens:?}");
    // Four deeds were under way.
    let after = first + 5..=count;
    let seen = opens.keys().filter(|number| after.contains(number)).count();
    let deeds = after.count();
    assert!(deeds >= 35, "{deeds} deeds");
    let children = events.named("process.start").filter(|start| start.text("reason") == Some("no_sensor"));
    let children: Vec<&Event> = children.collect();
    assert!(children.iter().all(|child| child.number("ppid") == Some(pid)));
    let of_server = |name: &str| events.named(name).filter(|event| event.pid() == pid).count();
    for (what, told, more) in [
        ("opens", seen, 0),
        ("connects", of_server("net.connect"), 12),
        ("accepts", of_server("net.accept"), 12),
        ("programs", children.len(), 12),
    ] {
        assert!(told + lost >= deeds && told <= deeds + more, "{told} {what} of {deeds}, {lost} lost");
    }
}

#[test]
fn the_programs_calls_go_on_when_the_supervisor_is_killed() {
    let (scene, collector, running, said) = attached_while_it_opens();
    wait_for_open(&scene, made(&scene) + 50);
    // SAFETY: a number of a process that this test had started.
    assert_eq!(0, unsafe { libc::kill(supervisor(&said), libc::SIGKILL) });
    wait_for_open(&scene, made(&scene) + 200);
    stop_and_finish(&scene, running).assert_output(0, "failed 0\n");
    collector.stop();
    assert!(scene.events(Expect::LossIsCounted).named("file.open").count() >= 40);
}

/// Refuses to attach to the victim with these arguments, and lets it come to its end as bare.
fn refused(arguments: &[&str], options: &[&str], libc: Libc) -> (Ending, Events) {
    let scene = Scene::with(compiled("attached", libc), arguments);
    let bare = started(&scene);
    let bare = gone_on(&scene, bare);
    let collector = scene.collect();
    let running = started(&scene);
    let status = format!("/proc/{}/status", running.pid());
    let filters = || {
        let status = fs::read_to_string(&status).expect("it runs");
        status.lines().filter(|line| line.starts_with("Seccomp")).collect::<String>()
    };
    let before = filters();
    let said = attach(collector.socket(), running.pid(), options);
    assert_eq!(before, filters());
    assert_eq!(bare, gone_on(&scene, running));
    collector.stop();
    (said, scene.events(Expect::NothingLost))
}

#[test]
fn a_thread_with_a_filter_of_its_own_is_a_reason_against_it() {
    const REASON: &str = "one of its threads has a seccomp filter of its own";
    let (said, events) = refused(&["read", "filter"], &["--notify", "security"], Libc::GlibcStatic);
    assert_eq!(Status::Exited(66), said.status, "{}", said.stderr);
    assert!(said.stderr.contains(REASON) && said.stderr.contains("a static program"), "{}", said.stderr);
    assert_eq!(0, events.iter().count(), "{}", events.outline());

    let (said, _) = refused(&["read", "filter"], &STRICT, Libc::Glibc);
    assert_eq!(Status::Exited(69), said.status, "{}", said.stderr);
    assert!(said.stderr.contains(REASON) && said.stderr.contains("nothing was attached"), "{}", said.stderr);

    // The sensor alone.
    let (said, events) = refused(&["read", "filter"], &["--notify", "security"], Libc::Glibc);
    assert_eq!(Status::Exited(0), said.status, "{}", said.stderr);
    assert!(said.stderr.contains(REASON) && said.stderr.contains("is seen from now on"), "{}", said.stderr);
    assert_eq!(vec!["got"], seen_via(&events, "attached.libc.first"), "{}", events.outline());
}

#[test]
fn a_filter_that_would_end_the_program_for_another_one_is_read_before() {
    let (said, _) = refused(&["read", "deadly"], &STRICT, Libc::GlibcStatic);

    assert_eq!(Status::Exited(69), said.status, "{}", said.stderr);
    assert!(said.stderr.contains("its seccomp filter forbids seccomp(2)"), "{}", said.stderr);
}

#[test]
fn a_program_that_is_asked_about_is_not_asked_about_twice() {
    let scene = Scene::with(compiled("attached", Libc::GlibcStatic), &["read"]);
    scene.clean();
    let collector = scene.collect();
    let running = child::start(
        scene.run_command(&["--notify", "exec", "--require-notify", "-o", "jsonl:/dev/null"]),
        b"",
    );
    let ready = scene.work().join("ready");
    wait_until("the victim to be ready", || ready.exists());
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", running.pid())).unwrap();
    let is_victim = |pid: &i32| {
        fs::read_link(format!("/proc/{pid}/exe"))
            .is_ok_and(|exe| exe.file_name().is_some_and(|name| name == "attached"))
    };
    let victim = children.split_whitespace().filter_map(|pid| pid.parse().ok()).find(is_victim);
    let victim = victim.expect("the launcher's child");

    let said = attach(collector.socket(), victim, &STRICT);

    assert_eq!(Status::Exited(69), said.status, "{}", said.stderr);
    assert!(said.stderr.contains("asked about already"), "{}", said.stderr);
    assert_eq!(Status::Exited(7), gone_on(&scene, running).status);
    collector.stop();
}

/// All three of a user without any right, who stays so: the program gets no_new_privs.
#[test]
fn an_ordinary_user_attaches_to_a_program_of_his_own() {
    const USER: u32 = 65534;
    let as_user = |mut command: Command| {
        command.uid(USER).gid(USER);
        command
    };
    let place = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(place.path(), Some(USER), Some(USER)).unwrap();
    let beside = |name: &str| place.path().join(name);
    let victim = compiled("attached", Libc::GlibcStatic).path;
    // He cannot read the folders of the build.
    let copied = |from: PathBuf, name: &str| {
        fs::copy(from, beside(name)).expect("a file of the build");
        beside(name)
    };
    let victim = copied(victim, "attached");
    let glassbox = copied(glassbox().to_path_buf(), "glassbox");
    copied(glassbox_tests::artefacts::sensor().to_path_buf(), "libglassbox.so");
    for file in ["attached", "glassbox", "libglassbox.so"] {
        std::os::unix::fs::chown(beside(file), Some(USER), Some(USER)).unwrap();
    }
    let socket = beside("collect.sock");
    let command = |arguments: &[&str]| {
        let mut command = as_user(Command::new(&glassbox));
        command.args(arguments).env("GLASSBOX_SOCKET", &socket).current_dir(place.path());
        command
    };
    let output = format!("jsonl:{}", beside("events.jsonl").display());
    let collector = child::start(command(&["collect", "-o", &output]), b"");
    wait_until("the collector's socket", || socket.exists());
    let started = |arguments: &[&str]| {
        for file in ["ready", "go"] {
            let _ = fs::remove_file(beside(file));
        }
        let mut started = as_user(Command::new(&victim));
        started.args(arguments).current_dir(place.path());
        let running = child::start(started, b"");
        wait_until("the victim to be ready", || beside("ready").exists());
        std::thread::sleep(Duration::from_millis(100));
        running
    };
    let attach =
        |pid: &str| child::run(command(&["attach", "--notify", "security", "--require-notify", pid]), b"");
    let confined = started(&["read", "profile"]);
    let said = attach(&confined.pid().to_string());
    assert_eq!(Status::Exited(69), said.status, "{}", said.stderr);
    assert!(said.stderr.contains("a seccomp filter, which only root may read"), "{}", said.stderr);
    fs::write(beside("go"), "x").unwrap();
    assert_eq!(Status::Exited(7), confined.finish().status);

    let running = started(&["read"]);
    let pid = running.pid().to_string();
    let said = attach(&pid);

    assert_eq!(Status::Exited(0), said.status, "{}", said.stderr);
    assert!(said.stderr.contains("no_new_privs"), "{}", said.stderr);
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    fs::write(beside("go"), "x").unwrap();
    assert_eq!(Status::Exited(7), running.finish().status);
    wait_until("the supervisor's end", || is_gone(supervisor(&said)));
    collector.signal(libc::SIGTERM);
    collector.finish();
    let events = Events::read(&beside("events.jsonl"), Expect::NothingLost);
    for thread in THREADS {
        assert_eq!(
            vec!["notify"],
            seen_via(&events, &format!("attached.raw.{thread}")),
            "{}",
            events.outline()
        );
    }
}

#[test]
fn nothing_is_touched_where_no_collector_listens() {
    let scene = Scene::with(compiled("attached", Libc::GlibcStatic), &["read"]);
    let running = started(&scene);

    let said = attach(&scene.beside("nobody.sock"), running.pid(), &STRICT);

    assert_eq!(Status::Exited(1), said.status, "{}", said.stderr);
    assert!(said.stderr.contains("no collector is ready"), "{}", said.stderr);
    let status = fs::read_to_string(format!("/proc/{}/status", running.pid())).unwrap();
    assert!(status.contains("Seccomp:\t0"), "{status}");
    assert_eq!(Status::Exited(7), gone_on(&scene, running).status);
}
