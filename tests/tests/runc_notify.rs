//! `glassbox runc --notify`: the runtime's own filter asks about the calls of a container, in which nothing
//! has changed: no `no_new_privs`, no launcher, and what a profile refused is refused.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use glassbox_tests::bundle::Place;
use glassbox_tests::child::{self, Ending, Running, Status, wait_until};
use glassbox_tests::compare;
use glassbox_tests::events::{Events, Expect};
use glassbox_tests::rootfs;
use glassbox_tests::unseen::{Ground, Run, deeds, named};
use glassbox_tests::victim::{Libc, compiled, empty_library};
use serde_json::{Value, json};

const ASKED: [&str; 3] = ["--notify", "security", "--require-notify"];

/// `glassbox runc` with these options, and a command of the runtime.
fn runtime(place: &Place, options: &[&str], words: &[&str]) -> Command {
    let mut command = place.runtime(&place.tool());
    command.args(options).args(words);
    command
}

fn run_of(place: &Place, options: &[&str]) -> Command {
    let bundle = place.path("bundle");
    runtime(place, options, &["run", "-b", bundle.to_str().unwrap(), &place.name])
}

fn run(place: &Place, options: &[&str]) -> Ending {
    child::run(run_of(place, options), b"")
}

/// The processes that stay beside containers of a place, by name.
fn helpers(place: &Place, name: &str) -> Vec<i32> {
    let is_it = |pid: &i32| {
        let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == place.tool())
            && read("comm").trim() == name
    };
    let all = fs::read_dir("/proc").unwrap().flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_it).collect()
}

fn signal(pid: i32, signal: i32) {
    // SAFETY: numbers; the process is one that the container's runtime left beside it.
    unsafe { libc::kill(pid, signal) };
}

fn kill(pid: i32) {
    signal(pid, libc::SIGKILL);
}

/// Where the runtime finds the attendant of a container that runs.
fn meeting(place: &Place) -> PathBuf {
    let state = fs::read(place.path("state").join(&place.name).join("state.json")).expect("runc's state");
    let state: Value = serde_json::from_slice(&state).expect("JSON");
    let socket = PathBuf::from(state["config"]["seccomp"]["listener_path"].as_str().expect("a listener"));
    socket.parent().expect("a folder").to_owned()
}

/// Folders of listeners in which nothing is.
fn empty_meetings() -> BTreeSet<PathBuf> {
    let all = fs::read_dir("/run").unwrap().flatten().map(|entry| entry.path());
    let is_ours =
        |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with("glassbox-listener-");
    let is_empty = |path: &PathBuf| fs::read_dir(path).is_ok_and(|mut inside| inside.next().is_none());
    all.filter(is_ours).filter(is_empty).collect()
}

/// A container that sleeps, of which the victim is a program to be added.
fn sleeping() -> Place {
    let place = place_of("steady", &["2"]);
    place.edit(|config| config["process"]["args"] = json!(["/bin/sleep", "60"]));
    place
}

fn wait_until_running(place: &Place) {
    let is_running = || {
        let mut state = place.runtime(Path::new("runc"));
        state.arg("state").arg(&place.name);
        child::run(state, b"").stdout.contains("\"running\"")
    };
    wait_until("the container", is_running);
}

fn end(place: &Place, running: Running) {
    child::run(runtime(place, &[], &["kill", &place.name, "KILL"]), b"");
    assert_eq!(Status::Exited(137), running.finish().status);
}

/// A runtime that reads its bundle late.
fn late(place: &Place) -> PathBuf {
    let path = place.path("late");
    fs::write(&path, "#!/bin/sh\ncase $* in *run*) sleep 1;; esac\nexec runc \"$@\"\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// Nothing stays when the container is gone: no process, and no folder.
#[track_caller]
fn assert_left(place: &Place) {
    for name in ["gbx-attendant", "gbx-supervisor", "gbx-holder"] {
        wait_until(name, || helpers(place, name).is_empty());
    }
    assert!(!place.read().to_string().contains("SCMP_ACT_NOTIFY"), "the bundle names a listener");
}

/// A static victim in a container of its own files.
fn place_of(name: &str, arguments: &[&str]) -> Place {
    let place = Place::new();
    rootfs::copy(&compiled(name, Libc::GlibcStatic).path, &place.root("bin/victim"));
    let words: Vec<&str> = ["/bin/victim"].into_iter().chain(arguments.iter().copied()).collect();
    place.bundle(&words, &[]);
    place.edit(|config| {
        config["process"]["cwd"] = json!("/tmp");
        config["process"]["noNewPrivileges"] = json!(false);
    });
    place
}

fn wait_for_open(place: &Place, number: usize) {
    wait_until("more opens", || place.root(&format!("tmp/steady.{number}")).exists());
}

fn stop_and_finish(place: &Place, running: Running) -> Ending {
    fs::write(place.root("tmp/stop"), "").unwrap();
    running.finish()
}

fn steady_opens(events: &[Value]) -> usize {
    let is_it = |event: &&Value| {
        event["event"] == "file.open" && event["path"].as_str().is_some_and(|path| path.contains("/steady."))
    };
    events.iter().filter(is_it).count()
}

/// Each program makes its deeds under `run --notify`, and in a container.
fn the_same_as_under_run(name: &str) {
    let (program, ground, place) = (named(name), Ground::default(), Place::new());
    let reference = ground.under(&ASKED, program);
    let work = ground.work();
    // Threads of Go make calls in an order of their own, and setuid in each.
    let in_order = |mut deeds: Vec<String>| {
        if name.starts_with("go") {
            deeds.sort_unstable();
            deeds.dedup();
        }
        deeds
    };
    let expected = in_order(deeds(&reference, &work));
    ground.clean();
    let words = program.words(&work, ground.port());
    let words: Vec<&str> = words.iter().map(|word| word.to_str().unwrap()).collect();
    place.bundle(&words, &[]);
    place.show_machine(&work);

    let collector = place.collector();
    let ending = run(&place, &ASKED);
    collector.stop();

    let events = Events::read(&place.path("events.jsonl"), Expect::NothingLost);
    let ran = Run { ending, files: compare::files(&work), events, port: ground.port() };
    assert_eq!((&reference.ending, &reference.files), (&ran.ending, &ran.files));
    assert_eq!(expected, in_order(deeds(&ran, &work)), "{}", ran.events.outline());
    assert!(expected.len() > 10, "{expected:?}");
    let starts = |run: &Run| -> Vec<(String, Option<String>)> {
        let text = |value: Option<&str>| value.map(str::to_owned);
        let all = run.events.named("process.start");
        let mut all: Vec<_> =
            all.map(|start| (start.path().to_owned(), text(start.text("coverage")))).collect();
        all.sort_unstable();
        all
    };
    let runtimes = |(path, _): &(String, _)| path.ends_with("/runc") || path == "/";
    assert!(!starts(&ran).iter().any(runtimes), "{}", ran.events.outline());
    assert_eq!(starts(&reference), starts(&ran));
    assert_left(&place);
}

#[test]
fn a_static_program_in_a_container_is_told_of_as_under_run() {
    the_same_as_under_run("static");
}

#[test]
fn a_static_go_program_in_a_container_is_told_of_as_under_run() {
    the_same_as_under_run("go-static");
}

#[test]
fn a_dynamic_program_in_a_container_is_told_of_once() {
    the_same_as_under_run("dynamic");
}

#[test]
#[cfg(target_arch = "x86_64")]
fn calls_past_the_hooks_are_told_of_in_a_container() {
    the_same_as_under_run("raw");
    the_same_as_under_run("int80");
}

#[test]
fn at_exec_programs_are_told_of_and_nothing_else() {
    let place = place_of("steady", &["3"]);
    let collector = place.collector();
    assert_eq!(Status::Exited(0), run(&place, &["--notify", "exec", "--require-notify"]).status);
    let events = place.events(collector);

    let names: Vec<&str> = events.iter().filter_map(|event| event["event"].as_str()).collect();
    assert_eq!(vec!["process.start", "process.exit"], names, "{events:?}");
    assert_eq!(("notify", "static"), {
        let text = |field: &str| events[0][field].as_str().unwrap();
        (text("coverage"), text("reason"))
    });
    assert_eq!(json!(["/bin/victim", "3"]), events[0]["argv"]);
    assert_left(&place);
}

/// As an ordinary user of the container: a set-user-id program has its rights, as without us.
#[test]
fn set_user_id_programs_keep_their_rights() {
    let place = Place::new();
    fs::write(place.root("etc/secret"), "secret\n").unwrap();
    fs::set_permissions(place.root("etc/secret"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(place.root("bin/cat"), fs::Permissions::from_mode(0o4755)).unwrap();
    place.bundle(&["/bin/sh", "-c", "cat /etc/secret; exec cat /proc/self/status"], &[]);
    place.edit(|config| {
        config["process"]["user"] = json!({ "uid": 1234, "gid": 1234 });
        config["process"]["noNewPrivileges"] = json!(false);
    });

    let collector = place.collector();
    let ending = run(&place, &ASKED);
    place.events(collector);

    assert!(ending.stdout.starts_with("secret\n"), "{ending:?}");
    let has = |line: &str| ending.stdout.lines().any(|known| known == line);
    assert!(has("NoNewPrivs:\t0") && has("Seccomp:\t2"), "{}", ending.stdout);
}

#[test]
fn a_supervisor_that_is_killed_leaves_calls_that_go_on() {
    let place = place_of("steady", &["10000"]);
    let collector = place.collector();
    let running = child::start(run_of(&place, &ASKED), b"");
    wait_for_open(&place, 20);
    let supervisors = helpers(&place, "gbx-supervisor");
    assert_eq!(1, supervisors.len());
    kill(supervisors[0]);
    wait_for_open(&place, 200);
    stop_and_finish(&place, running).assert_output(0, "failed 0\n");
    let told = steady_opens(&place.events(collector));
    assert!((20..150).contains(&told), "{told}");
    assert_left(&place);
}

/// Further processes have filters of their own, and the attendant is looked for at each.
#[test]
fn processes_that_are_added_are_told_of_even_after_the_attendant_was_killed() {
    let place = sleeping();
    let collector = place.collector();
    let running = child::start(run_of(&place, &ASKED), b"");
    wait_until_running(&place);
    let meeting = meeting(&place);
    let add = || child::run(runtime(&place, &ASKED, &["exec", &place.name, "/bin/victim", "2"]), b"");

    add().assert_output(0, "failed 0\n");
    helpers(&place, "gbx-attendant").into_iter().for_each(kill);
    wait_until("its end", || helpers(&place, "gbx-attendant").is_empty());
    add().assert_output(0, "failed 0\n");
    end(&place, running);
    let events = place.events(collector);

    assert_eq!(4, steady_opens(&events));
    let starts = events.iter().filter(|event| event["event"] == "process.start");
    assert_eq!(3, starts.count());
    assert_left(&place);
    assert!(!meeting.exists());
}

/// It takes long to read a file, say: the holder lets the exec go on, and the supervisor comes to it later.
#[test]
fn a_first_program_that_the_holder_let_begin_is_told_of_from_then_on() {
    let place = place_of("steady", &["10000"]);
    let collector = place.collector();
    let bundle = place.path("bundle");
    let mut create = runtime(&place, &ASKED, &["create", "-b", bundle.to_str().unwrap(), &place.name]);
    create.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    assert!(create.status().unwrap().success());
    // The runtime has installed the filter, and waits for the word to go on.
    wait_until("the supervisor", || !helpers(&place, "gbx-supervisor").is_empty());
    let supervisor = helpers(&place, "gbx-supervisor")[0];

    signal(supervisor, libc::SIGSTOP);
    assert_eq!(Status::Exited(0), child::run(runtime(&place, &[], &["start", &place.name]), b"").status);
    wait_for_open(&place, 1);
    signal(supervisor, libc::SIGCONT);
    wait_for_open(&place, 100);
    fs::write(place.root("tmp/stop"), "").unwrap();
    assert_left(&place);
    child::run(runtime(&place, &[], &["delete", &place.name]), b"");
    let events = place.events(collector);

    let starts: Vec<_> = events.iter().filter(|event| event["event"] == "process.start").collect();
    let (coverage, reason) = (&starts[0]["coverage"], &starts[0]["reason"]);
    assert_eq!((1, "notify", "static"), (starts.len(), coverage.as_str().unwrap(), reason.as_str().unwrap()));
    assert!(steady_opens(&events) > 50, "{}", steady_opens(&events));
    assert!(events.iter().any(|event| event["event"] == "sensor.loss"), "{events:?}");
}

/// A root of the container's own, with a libc and something at the sensor's path: no hook is there.
#[test]
fn what_runs_in_a_root_with_a_libc_and_a_sensor_of_its_own_is_told_of() {
    for has_sensor in [false, true] {
        let place = Place::new();
        rootfs::install(&place.root(""), Path::new("/usr/sbin/chroot"));
        for root in ["", "jail"] {
            rootfs::install(&place.root(root), Path::new("/usr/bin/rm"));
            fs::write(place.root(root).join("goes"), "").unwrap();
        }
        if has_sensor {
            fs::create_dir_all(place.root("jail/dev/.glassbox")).unwrap();
            rootfs::copy(&empty_library(), &place.root("jail/dev/.glassbox/libglassbox.so"));
        }
        place.bundle(&["/bin/sh", "-c", "rm /goes; chroot /jail /bin/rm /goes"], &[]);
        place.edit(|config| {
            for set in ["bounding", "effective", "permitted"] {
                config["process"]["capabilities"][set].as_array_mut().unwrap().push(json!("CAP_SYS_CHROOT"));
            }
        });
        let collector = place.collector();
        let ending = run(&place, &ASKED);
        let events = place.events(collector);

        assert_eq!(Status::Exited(0), ending.status, "{}", ending.stderr);
        let unlinks: Vec<_> = events.iter().filter(|event| event["event"] == "file.unlink").collect();
        let by_the_kernel = unlinks.iter().filter(|event| event["via"] == "notify").count();
        assert_eq!((2, 1), (unlinks.len(), by_the_kernel), "{has_sensor}: {unlinks:#?}");
        assert_left(&place);
    }
}

/// Who switches the sensor off in a program is seen all the same.
#[test]
fn a_dynamic_program_without_a_sensor_that_speaks_is_told_of() {
    let place = Place::new();
    rootfs::install(&place.root(""), Path::new("/usr/bin/rm"));
    fs::write(place.root("goes"), "").unwrap();
    place.bundle(&["/bin/sh", "-c", "GLASSBOX=off /bin/rm /goes"], &[]);
    let collector = place.collector();
    run(&place, &ASKED).assert_output(0, "");
    let events = place.events(collector);

    let unlink = events.iter().find(|event| event["event"] == "file.unlink");
    assert!(unlink.is_some_and(|unlink| unlink["via"] == "notify"), "{events:#?}");
}

/// Calls go on and are counted, and the next collector hears of the rest.
#[test]
fn a_process_that_is_added_while_no_collector_answers_is_told_of_to_the_next_one() {
    for is_attended in [true, false] {
        let place = sleeping();
        let first = place.collector();
        let running = child::start(run_of(&place, &ASKED), b"");
        wait_until_running(&place);
        place.events(first);
        if !is_attended {
            helpers(&place, "gbx-attendant").into_iter().for_each(kill);
            wait_until("its end", || helpers(&place, "gbx-attendant").is_empty());
        }

        let words = ["exec", &place.name, "/bin/victim", "10000"];
        let required = child::run(runtime(&place, &ASKED, &words), b"");
        let added = child::start(runtime(&place, &["--notify", "security"], &words), b"");
        wait_for_open(&place, 20);
        let second = place.collector();
        let number = |number: usize| place.root(&format!("tmp/steady.{number}")).exists();
        let before = (0..).find(|at| !number(*at)).unwrap();
        wait_for_open(&place, before + 1000);
        stop_and_finish(&place, added).assert_output(0, "failed 0\n");
        end(&place, running);
        let events = place.events(second);

        assert_eq!(Status::Exited(69), required.status, "{}", required.stderr);
        assert!(required.stderr.contains("no collector listens at"), "{}", required.stderr);
        assert!(steady_opens(&events) > 200, "{is_attended}: {}", steady_opens(&events));
        let of_victim = |event: &&Value| event["exe"] == "/bin/victim" || event["path"] == "/bin/victim";
        let names: Vec<&str> =
            events.iter().filter(of_victim).filter_map(|event| event["event"].as_str()).take(2).collect();
        assert!(names.contains(&"sensor.loss") && names.contains(&"process.start"), "{names:?}: {events:?}");
        assert_left(&place);
    }
}

#[test]
fn what_could_not_be_restored_is_not_checkpointed() {
    let place = sleeping();
    let collector = place.collector();
    let checkpoint = || child::run(runtime(&place, &[], &["checkpoint", &place.name]), b"");
    let running = child::start(run_of(&place, &ASKED), b"");
    wait_until_running(&place);

    let refused = checkpoint();
    wait_until_running(&place);
    end(&place, running);
    assert_left(&place);
    let running = child::start(run_of(&place, &[]), b"");
    wait_until_running(&place);
    let runtimes = checkpoint();
    end(&place, running);
    place.events(collector);

    assert_eq!(Status::Exited(69), refused.status);
    for words in ["cannot checkpoint container", "ENOSYS", "start it with --notify off"] {
        assert!(refused.stderr.contains(words), "{}", refused.stderr);
    }
    assert!(!runtimes.stderr.contains("glassbox"), "{}", runtimes.stderr);
}

#[test]
fn containers_that_start_at_once_from_one_bundle_have_listeners_of_their_own() {
    let place = place_of("steady", &["3"]);
    let before = place.read();
    let (collector, late) = (place.collector(), late(&place));
    let options = [&ASKED[..], &["--runtime", late.to_str().unwrap()]].concat();
    let bundle = place.path("bundle");
    let start = |name: &str| {
        let words = ["run", "-b", bundle.to_str().unwrap(), name];
        child::start(runtime(&place, &options, &words), b"")
    };

    let names = ["one", "two", "three"].map(|name| format!("{}-{name}", place.name));
    let running: Vec<Running> = names.iter().map(|name| start(name)).collect();
    running.into_iter().for_each(|running| running.finish().assert_output(0, "failed 0\n"));
    let events = place.events(collector);

    assert_eq!(9, steady_opens(&events), "{events:#?}");
    assert_left(&place);
    assert_eq!(before["linux"], place.read()["linux"]);
}

/// The supervisor of its first process takes away what the attendant has left.
#[test]
fn nothing_stays_of_a_container_whose_attendant_was_killed() {
    let place = sleeping();
    let collector = place.collector();
    let running = child::start(run_of(&place, &ASKED), b"");
    wait_until_running(&place);
    let meeting = meeting(&place);
    assert!(meeting.exists());
    helpers(&place, "gbx-attendant").into_iter().for_each(kill);
    end(&place, running);
    place.events(collector);

    assert_left(&place);
    assert!(!meeting.exists());
}

#[test]
fn a_runtime_that_fails_leaves_nothing() {
    let place = place_of("steady", &["2"]);
    // runc refuses it before it makes a process.
    place.edit(|config| config["process"]["cwd"] = json!("relative"));
    let before = place.read();
    let collector = place.collector();
    let failed = run(&place, &ASKED);
    place.events(collector);

    assert_ne!(Status::Exited(0), failed.status);
    wait_until("the attendant's end", || helpers(&place, "gbx-attendant").is_empty());
    assert_eq!(before["linux"], place.read()["linux"]);
}

/// A runtime that starts nothing, and says what runc says of itself.
fn stub(place: &Place, features: &str) -> PathBuf {
    let path = place.path("stub");
    let script = format!("#!/bin/sh\ncase $1 in features) {features};; esac\n");
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// What `features` does, the words of the log, the change of the bundle, and whether a collector is there.
type Case<'a> = (&'a str, &'a str, &'a dyn Fn(&Place), bool);

#[test]
fn what_stands_in_the_way_is_said_and_the_container_starts_without() {
    let own = |place: &Place| {
        place.edit(|config| {
            config["linux"]["seccomp"] =
                json!({ "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/own.sock" })
        })
    };
    let nothing = |_: &Place| {};
    let cases: [Case<'_>; 4] = [
        ("exec runc features", "a seccomp listener of its own", &own, true),
        ("echo '{}'", "do not name the seccomp action", &nothing, true),
        ("exit 1", "it has no command 'features'", &nothing, true),
        ("exec runc features", "no collector listens at", &nothing, false),
    ];
    for (features, words, change, has_collector) in cases {
        let place = place_of("steady", &["2"]);
        change(&place);
        let stub = stub(&place, features);
        let collector = has_collector.then(|| place.collector());
        let log = place.path("log");
        let options = ["--runtime", stub.to_str().unwrap(), "--log", log.to_str().unwrap()];
        let before = place.read()["linux"].clone();

        let empty = empty_meetings();
        let without = run(&place, &[&["--notify", "security"][..], &options].concat());
        let required = run(&place, &[&ASKED[..], &options].concat());
        drop(collector.map(|collector| place.events(collector)));

        assert_eq!((Status::Exited(0), Status::Exited(69)), (without.status, required.status), "{words}");
        let left = &empty_meetings() - &empty;
        // Those of other tests are on their way.
        std::thread::sleep(Duration::from_millis(200));
        assert!(left.is_disjoint(&empty_meetings()), "{words}: {left:?}");
        let log = fs::read_to_string(&log).unwrap();
        assert!(log.lines().next().unwrap().contains(words), "{log}");
        assert!(log.contains("level=warning") && log.contains("level=error"), "{log}");
        assert!(required.stderr.contains("leave --require-notify out"), "{}", required.stderr);
        assert_eq!(before, place.read()["linux"], "{words}");
    }
}

/// The runtime is killed before it could connect, or the attendant before it could set the file back: any
/// runtime can start the bundle, and ours.
#[test]
fn a_bundle_with_a_listener_that_is_gone_starts_again() {
    let place = place_of("steady", &["2"]);
    place.edit(|config| {
        config["linux"]["seccomp"] = json!({
            "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/glassbox-listener-0-0/socket",
            "syscalls": [{ "names": ["execve"], "action": "SCMP_ACT_NOTIFY" }],
        })
    });

    run(&place, &[]).assert_output(0, "failed 0\n");
    assert_left(&place);
}

/// podman's default profile: what it refuses stays refused, and what it allows is asked about.
#[test]
fn under_podmans_profile_the_same_is_refused() {
    let podman = |place: &Place, runtime: &Path, flags: &[&str]| {
        let mut command = Command::new("podman");
        command.arg("--root").arg(place.path("storage")).arg("--runroot").arg(place.path("run"));
        command.args(["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--events-backend", "file"]);
        command.arg("--runtime").arg(runtime);
        for flag in flags {
            command.args(["--runtime-flag", flag]);
        }
        command.args(["run", "--rm", "--network", "none"]);
        command.args(["--ulimit", "nofile=4096:4096", "--ulimit", "nproc=4096:4096"]);
        command.arg("--name").arg(&place.name).arg("--rootfs").arg(place.root(""));
        command.args(["/bin/victim", "/tmp", "1"]);
        child::run(command, b"")
    };
    let place = Place::new();
    rootfs::copy(&named("static").path(), &place.root("bin/victim"));
    rootfs::install(&place.root(""), Path::new("/bin/true"));
    let clear = || {
        fs::remove_dir_all(place.root("tmp")).unwrap();
        fs::create_dir(place.root("tmp")).unwrap();
    };

    let bare = podman(&place, Path::new("/usr/sbin/runc"), &[]);
    clear();
    let collector = place.collector();
    let socket = format!("socket={}", place.socket().display());
    let seen = podman(&place, &place.tool(), &[&socket, "notify=security", "require-notify"]);
    let events = place.events(collector);

    assert!(bare.stdout.contains("error 1\n"), "the profile refuses nothing: {bare:?}");
    assert_eq!(bare, seen);
    let names: Vec<&str> = events.iter().filter_map(|event| event["event"].as_str()).collect();
    for name in ["file.rename", "net.connect", "file.unlink"] {
        assert!(names.contains(&name), "{name}: {names:?}");
    }
    let start = events.iter().find(|event| event["event"] == "process.start").unwrap();
    assert_eq!("notify", start["coverage"], "{start}");
    assert!(start["container"]["id"].is_string(), "{start}");
}

#[test]
fn an_ordinary_user_has_its_own_containers_seen_into() {
    use std::os::unix::process::CommandExt;
    let place = Place::new();
    rootfs::copy(&compiled("steady", Libc::GlibcStatic).path, &place.root("bin/victim"));
    place.bundle(&["/bin/victim", "3"], &["--rootless"]);
    place.edit(|config| {
        config["process"]["cwd"] = json!("/tmp");
        for kind in ["uidMappings", "gidMappings"] {
            config["linux"][kind] = json!([{ "containerID": 0, "hostID": 65534, "size": 1 }]);
        }
    });
    let owned = Command::new("chown").args(["-R", "65534:65534"]).arg(place.path("")).status();
    assert!(owned.expect("chown").success());

    let collector = place.collector();
    let mut command = run_of(&place, &ASKED);
    command.env("XDG_RUNTIME_DIR", place.path("state")).uid(65534).gid(65534);
    child::run(command, b"").assert_output(0, "failed 0\n");
    let events = place.events(collector);

    assert_eq!(3, steady_opens(&events), "{events:?}");
    assert!(!events.iter().any(|event| event["event"] == "sensor.loss"), "{events:?}");
}
