//! `glassbox runc` before the real runtime, alone and under the engines that call it: every container that
//! starts without it starts with it, has the same output, and is seen.
//!
//! These tests start containers, and fail if the machine does not allow that: a skipped test would prove
//! nothing.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use glassbox_tests::artefacts::{glassbox, sensor};
use glassbox_tests::bundle::Place;
use glassbox_tests::child::{self, Ending, Status};
use glassbox_tests::rootfs;
use glassbox_tests::victim::{Libc, compiled};
use serde_json::{Value, json};

/// The script of the shell in a container.
const SCRIPT: &str = "echo out; echo err >&2; cat /etc/motd; : >/tmp/made; exit 3";

fn real() -> PathBuf {
    PathBuf::from("runc")
}

fn said(stdout: &str, stderr: &str, code: i32) -> Ending {
    Ending { status: Status::Exited(code), stdout: stdout.to_owned(), stderr: stderr.to_owned() }
}

fn opens(events: &[Value], path: &str) -> usize {
    events.iter().filter(|event| event["event"] == "file.open" && event["path"] == path).count()
}

fn opened(events: &[Value], path: &str) -> bool {
    assert!(!events.iter().any(|event| event["event"] == "sensor.loss"), "something was lost");
    opens(events, path) > 0
}

#[test]
fn a_container_says_the_same_with_us_and_is_seen() {
    let place = Place::new();
    place.bundle(&["/bin/sh", "-c", SCRIPT], &[]);

    let expected = said("out\nhello\n", "err\n", 3);
    let events = place.assert_same_output(&real(), expected, |program| place.run(program));

    assert!(opened(&events, "/etc/motd") && opened(&events, "/tmp/made"));
    let left =
        fs::read_dir(place.root("")).unwrap().flatten().map(|entry| entry.file_name()).collect::<Vec<_>>();
    assert!(
        !left.iter().any(|name| name.to_string_lossy().contains("glassbox")),
        "left in the image: {left:?}"
    );
}

#[test]
fn without_a_collector_the_container_runs_all_the_same() {
    let place = Place::new();
    place.bundle(&["/bin/sh", "-c", SCRIPT], &[]);

    assert_eq!(said("out\nhello\n", "err\n", 3), place.run(&place.tool()));
}

#[test]
fn a_container_of_musl_is_seen_too() {
    let place = Place::new();
    let victim = compiled("open_family", Libc::Musl).path;
    rootfs::copy(&victim, &place.root("bin/victim"));
    rootfs::install_musl(&place.root(""));
    place.bundle(&["/bin/victim"], &[]);
    place.edit(|config| config["process"]["cwd"] = json!("/tmp"));
    let clear = || {
        fs::remove_dir_all(place.root("tmp")).unwrap();
        fs::create_dir(place.root("tmp")).unwrap();
    };

    let bare = place.run(&real());
    clear();
    let collector = place.collector();
    let seen = place.run(&place.tool());
    let events = place.events(collector);

    assert_eq!(bare, seen);
    assert!(
        events.iter().any(|event| event["event"] == "file.open" && event["exe"] == "/bin/victim"),
        "nothing of the victim"
    );
}

#[test]
fn a_read_only_root_and_another_user_make_no_difference() {
    let place = Place::new();
    place.bundle(&["/bin/sh", "-c", "cat /etc/motd"], &[]);
    place.edit(|config| {
        config["root"]["readonly"] = json!(true);
        config["process"]["user"] = json!({"uid": 1234, "gid": 1234});
    });

    let collector = place.collector();
    let ending = place.run(&place.tool());
    let events = place.events(collector);

    assert_eq!(said("hello\n", "", 0), ending);
    assert!(opened(&events, "/etc/motd"));
}

#[test]
fn an_ordinary_user_has_containers_of_its_own() {
    use std::os::unix::process::CommandExt;
    let place = Place::new();
    place.bundle(&["/bin/sh", "-c", "cat /etc/motd"], &["--rootless"]);
    place.edit(|config| {
        for kind in ["uidMappings", "gidMappings"] {
            config["linux"][kind] = json!([{"containerID": 0, "hostID": 65534, "size": 1}]);
        }
    });
    let owned = Command::new("chown").args(["-R", "65534:65534"]).arg(place.path("")).status();
    assert!(owned.expect("chown").success());
    let run = |program: &Path| {
        let mut command = place.runtime(program);
        command.args(["run", "-b"]).arg(place.path("bundle")).arg(&place.name);
        command.env("XDG_RUNTIME_DIR", place.path("state")).uid(65534).gid(65534);
        child::run(command, b"")
    };

    let events = place.assert_same_output(&real(), said("hello\n", "", 0), run);

    assert!(opened(&events, "/etc/motd"));
}

#[test]
fn a_process_that_is_added_later_is_seen() {
    let place = Place::new();
    place.bundle(&["/bin/sleep", "60"], &[]);
    let collector = place.collector();
    let mut run = place.runtime(&place.tool());
    run.args(["run", "-b"]).arg(place.path("bundle")).arg(&place.name);
    let running = child::start(run, b"");
    let is_running = || {
        let mut state = place.runtime(&real());
        state.arg("state").arg(&place.name);
        child::run(state, b"").stdout.contains("\"running\"")
    };
    child::wait_until("the container", is_running);
    let process = place.path("process.json");
    // As engines write it: the environment of the image, not of the bundle.
    let described = json!({"args": ["/bin/cat", "/etc/motd"], "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}});
    fs::write(&process, described.to_string()).unwrap();

    let mut exec = place.runtime(&place.tool());
    exec.args(["exec", "--process"]).arg(&process).arg(&place.name);
    let by_file = child::run(exec, b"");
    let mut exec = place.runtime(&place.tool());
    exec.arg("exec").arg(&place.name).args(["/bin/cat", "/tmp/../etc/motd"]);
    let by_words = child::run(exec, b"");
    let mut kill = place.runtime(&place.tool());
    kill.arg("kill").arg(&place.name).arg("KILL");
    child::run(kill, b"");
    assert_eq!(Status::Exited(137), running.finish().status);
    let events = place.events(collector);

    assert_eq!([said("hello\n", "", 0), said("hello\n", "", 0)], [by_file, by_words]);
    assert_eq!(2, opens(&events, "/etc/motd"));
}

#[test]
fn the_preload_file_reaches_programs_in_an_emptied_environment() {
    let place = Place::new();
    place.bundle(&["/bin/sh", "-c", "cat /etc/ld.so.preload"], &[]);
    fs::write(place.root("etc/ld.so.preload"), "").unwrap();
    let mut command = place.runtime(&place.tool());
    command.args(["--preload-file", "run", "-b"]).arg(place.path("bundle")).arg(&place.name);

    assert_eq!(said("/dev/.glassbox/libglassbox.so\n", "", 0), child::run(command, b""));
}

#[test]
fn a_bundle_that_cannot_be_prepared_starts_bare_or_not_at_all() {
    let place = Place::new();
    place.bundle(&["/bin/sh", "-c", SCRIPT], &[]);
    fs::remove_dir_all(place.path("socket")).unwrap();
    let before = fs::read(place.config()).unwrap();
    let (log, bundle) = (place.path("log"), place.path("bundle"));
    let run = |options: &[&str]| {
        let mut command = place.runtime(&place.tool());
        command
            .args(options)
            .args(["--log-format", "json", "--log"])
            .arg(&log)
            .arg("run")
            .arg("-b")
            .arg(&bundle);
        command.arg(&place.name);
        child::run(command, b"")
    };

    let open = run(&[]);
    let warned: Value = serde_json::from_slice(&fs::read(&log).unwrap()).unwrap();
    let closed = run(&["--fail-closed"]);

    assert_eq!(said("out\nhello\n", "err\n", 3), open);
    assert_eq!("warning", warned["level"]);
    assert!(
        warned["msg"].as_str().unwrap().starts_with("glassbox: the collector cannot listen at"),
        "{warned}"
    );
    assert_eq!((Status::Exited(66), ""), (closed.status, closed.stdout.as_str()));
    assert_eq!(1, closed.stderr.lines().count(), "{}", closed.stderr);
    assert_eq!(before, fs::read(place.config()).unwrap());
}

#[test]
fn the_preparation_changes_nothing_outside_of_the_bundle() {
    let place = Place::new();
    place.bundle(&["/bin/cat", "/etc/motd"], &[]);
    let (preload, outside) = (place.path("bundle/glassbox-ld.so.preload"), place.path("outside"));
    fs::write(place.root("etc/ld.so.preload"), "").unwrap();
    fs::write(&outside, "precious").unwrap();
    symlink(&outside, &preload).unwrap();
    let run = || {
        let mut command = place.runtime(&place.tool());
        command.args(["--preload-file", "run", "-b"]).arg(place.path("bundle")).arg(&place.name);
        child::run(command, b"")
    };

    let prepared = run();
    assert_eq!(said("hello\n", "", 0), prepared);
    assert_eq!("precious", fs::read_to_string(&outside).unwrap());
    assert!(!preload.is_symlink() && preload.is_file());

    place.bundle(&["/bin/cat", "/etc/motd"], &[]);
    fs::rename(place.config(), &outside).unwrap();
    let before = fs::read(&outside).unwrap();
    symlink(&outside, place.config()).unwrap();

    let bare = run();
    assert_eq!((Status::Exited(0), "hello\n"), (bare.status, bare.stdout.as_str()));
    assert!(bare.stderr.contains("a link that leads out of the bundle"), "{}", bare.stderr);
    assert_eq!(before, fs::read(&outside).unwrap());
}

#[test]
fn containers_choose_by_annotation_and_environment() {
    let place = Place::new();
    for (annotation, options, is_prepared) in [
        (None, &[][..], true),
        (Some("off"), &[], false),
        (None, &["--opt-in"], false),
        (Some("on"), &["--opt-in"], true),
    ] {
        place.bundle(&["/bin/sh", "-c", "exit 0"], &[]);
        place.edit(|config| {
            config["annotations"] = json!(annotation.map(|word| json!({"glassbox/sensor": word})))
        });
        let mut command = place.runtime(&place.tool());
        command.args(options).args(["run", "-b"]).arg(place.path("bundle")).arg(&place.name);

        assert_eq!(said("", "", 0), child::run(command, b""), "{annotation:?} {options:?}");

        assert_eq!(
            is_prepared,
            place.read().to_string().contains("LD_PRELOAD"),
            "{annotation:?} {options:?}"
        );
    }
}

#[test]
fn everything_else_is_the_real_runtimes_own() {
    let place = Place::new();
    for words in
        [&["--version"][..], &["features"], &["state", "none"], &["create", "-b", "/nonexistent", "none"]]
    {
        let run = |program: &Path| {
            let mut command = place.runtime(program);
            command.args(words);
            let ending = child::run(command, b"");
            // The message of `glassbox runc` about the missing bundle comes before runc's own.
            let stderr: Vec<_> =
                ending.stderr.lines().filter(|line| !line.starts_with("glassbox: ")).collect();
            let untimed = stderr.iter().map(|line| line.split_once("level=").map_or(*line, |(_, rest)| rest));
            (ending.status, ending.stdout, untimed.map(str::to_owned).collect::<Vec<_>>())
        };

        assert_eq!(run(&real()), run(&place.tool()), "{words:?}");
    }
}

#[test]
fn ourselves_are_never_taken_for_the_real_runtime() {
    let place = Place::new();
    symlink(place.tool(), place.path("pair/runc")).unwrap();
    let mut command = Command::new(place.path("pair/glassbox-runc"));
    command.arg("--version").env("PATH", place.path("pair"));

    let ending = child::run(command, b"");

    assert_eq!(Status::Exited(66), ending.status);
    assert!(ending.stderr.contains("cannot find runc or crun in PATH"), "{}", ending.stderr);
}

fn example(name: &str) -> Command {
    let mut command =
        Command::new(glassbox_tests::artefacts::root().join("examples").join(name).join("run.sh"));
    command.env("GLASSBOX", glassbox()).env("GLASSBOX_LIB", sensor()).env_remove("LD_PRELOAD");
    command
}

#[test]
fn the_examples_do_what_they_say() {
    let place = Place::new();
    place.bundle(&["/bin/sh", "-c", SCRIPT], &[]);
    let mut container = example("runc");
    container.arg(place.path("bundle"));
    let mut preload = example("ld-preload");
    preload.arg("cat").arg(place.root("etc/motd"));

    let (container, preload) = (child::run(container, b""), child::run(preload, b""));

    assert_eq!((Status::Exited(3), "err\n"), (container.status, container.stderr.as_str()));
    assert!(
        container.stdout.starts_with("out\nhello\n") && container.stdout.contains("opened /etc/motd\n"),
        "{container:?}"
    );
    assert!(
        preload.stdout.contains(&format!("opened {}\n", place.root("etc/motd").display())),
        "{preload:?}"
    );
    assert_eq!(Status::Exited(0), preload.status);
}

/// podman with folders of its own, and the settings that a container within a container needs.
fn podman(place: &Place, runtime: &Path) -> Command {
    let mut command = Command::new("podman");
    command.arg("--root").arg(place.path("storage")).arg("--runroot").arg(place.path("run"));
    command.args(["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--events-backend", "file"]);
    // podman gives the runtime an environment of its own.
    command.arg("--runtime").arg(runtime);
    if runtime == place.tool() {
        command.arg("--runtime-flag").arg(format!("socket={}", place.socket().display()));
    }
    command
}

fn podman_run(place: &Place, runtime: &Path, words: &[&str]) -> Ending {
    let mut command = podman(place, runtime);
    command.args([
        "run",
        "--rm",
        "--network",
        "none",
        "--ulimit",
        "nofile=4096:4096",
        "--ulimit",
        "nproc=4096:4096",
    ]);
    command.arg("--name").arg(&place.name).arg("--rootfs").arg(place.root("")).args(words);
    child::run(command, b"")
}

#[test]
fn podman_starts_containers_through_us() {
    let place = Place::new();
    let run = |runtime: &Path| podman_run(&place, runtime, &["/bin/sh", "-c", SCRIPT]);

    let runc = Path::new("/usr/sbin/runc");
    let events = place.assert_same_output(runc, said("out\nhello\n", "err\n", 3), run);

    assert!(opened(&events, "/etc/motd"));
}

#[test]
fn a_process_that_podman_adds_is_seen() {
    let place = Place::new();
    let collector = place.collector();
    let mut start = podman(&place, &place.tool());
    start.args([
        "run",
        "-d",
        "--network",
        "none",
        "--ulimit",
        "nofile=4096:4096",
        "--ulimit",
        "nproc=4096:4096",
    ]);
    start.arg("--name").arg(&place.name).arg("--rootfs").arg(place.root("")).args(["/bin/sleep", "60"]);
    let started = child::run(start, b"");
    assert_eq!(Status::Exited(0), started.status, "{}", started.stderr);

    let mut exec = podman(&place, &place.tool());
    exec.arg("exec").arg(&place.name).args(["/bin/cat", "/etc/motd"]);
    let said_by_exec = child::run(exec, b"");
    let mut remove = podman(&place, &place.tool());
    remove.args(["rm", "-f", "-t", "0"]).arg(&place.name);
    child::run(remove, b"");
    let events = place.events(collector);

    assert_eq!(said("hello\n", "", 0), said_by_exec);
    assert!(opened(&events, "/etc/motd"));
    let first: Vec<&Value> = events.iter().filter(|event| event["exe"] == "/bin/sleep").collect();
    assert!(!first.is_empty());
    for event in first {
        assert_eq!(
            json!({"id": started.stdout.trim()}),
            event["container"],
            "the id that podman says: {event}"
        );
    }
}

#[test]
fn containerd_starts_containers_through_us() {
    let place = Place::new();
    // The names of its sockets are long, so the folder's is short.
    let settings = format!(
        "version = 2\nroot = \"{0}/root\"\nstate = \"{0}/run\"\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\
         [grpc]\naddress = \"{0}/c.sock\"\n[ttrpc]\naddress = \"{0}/t.sock\"\n",
        place.path("containerd").display()
    );
    fs::create_dir_all(place.path("containerd")).unwrap();
    fs::write(place.path("containerd.toml"), settings).unwrap();
    let mut daemon = Command::new("containerd");
    daemon.arg("-c").arg(place.path("containerd.toml")).env("GLASSBOX_SOCKET", place.socket());
    let daemon = child::start(daemon, b"");
    child::wait_until("containerd's socket", || place.path("containerd/c.sock").exists());
    let ctr = |runtime: &Path| {
        let mut command = Command::new("ctr");
        command
            .arg("-a")
            .arg(place.path("containerd/c.sock"))
            .args(["run", "--rm", "--runc-binary"])
            .arg(runtime);
        command.arg("--rootfs").arg(place.root("")).arg(&place.name).args(["/bin/sh", "-c", SCRIPT]);
        child::run(command, b"")
    };

    let runc = Path::new("/usr/sbin/runc");
    let events = place.assert_same_output(runc, said("out\nhello\n", "err\n", 3), ctr);
    daemon.signal(libc::SIGTERM);
    daemon.finish();

    assert!(opened(&events, "/etc/motd"));
}
