//! Every example runs as a user runs it: from a fresh clone in which the pair was built, without an
//! argument or a variable. Further claims about an example stand beside those about its
//! subject (`ecs.rs`, `fleet.rs`, `k8s.rs`, `lambda.rs`, `runc.rs`).

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use glassbox_tests::artefacts::{glassbox, root, sensor, target};
use glassbox_tests::child::{self, Ending, Status};
use glassbox_tests::containers::{BASE, Engine, GLASSBOX};
use glassbox_tests::python;

/// A clone of the repository, as far as the examples need it.
struct Clone {
    dir: tempfile::TempDir,
}

impl Clone {
    /// With the pair where `built` says that it was built: `target/release`.
    fn new(built: Option<&str>) -> Self {
        let clone = Self { dir: tempfile::Builder::new().prefix("gbx-clone-").tempdir().unwrap() };
        for entry in fs::read_dir(root().join("examples")).unwrap().flatten() {
            let to = clone.path("examples").join(entry.file_name());
            copy(&entry.path(), &to);
        }
        symlink(root().join("tests"), clone.path("tests")).unwrap();
        // What cargo compiled before, for the next time.
        fs::create_dir_all(target().join("redhook")).unwrap();
        fs::create_dir(clone.path("target")).unwrap();
        symlink(target().join("redhook"), clone.path("target/redhook")).unwrap();
        if let Some(built) = built {
            clone.build(built);
        }
        clone
    }

    fn build(&self, folder: &str) {
        fs::create_dir_all(self.path(folder)).unwrap();
        symlink(glassbox(), self.path(folder).join("glassbox")).unwrap();
        symlink(sensor(), self.path(folder).join("libglassbox.so")).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The example, as a user of this clone starts it.
    fn example(&self, name: &str) -> Command {
        let mut command = Command::new(format!("examples/{name}/run.sh"));
        command.current_dir(self.dir.path());
        for variable in ["GLASSBOX", "GLASSBOX_LIB", "GLASSBOX_SOCKET", "LD_PRELOAD", "CARGO_TARGET_DIR"] {
            command.env_remove(variable);
        }
        command
    }
}

/// Copies a file or a folder, but for what is built in it.
fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap().flatten().filter(|entry| entry.file_name() != "target") {
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        // By a process of its own: see `rootfs::copy`.
        glassbox_tests::rootfs::copy(from, to);
    }
}

/// Demands a good ending with these lines on stdout.
#[track_caller]
fn assert_shows(ending: &Ending, lines: &[&str]) {
    assert_eq!(Status::Exited(0), ending.status, "{}{}", ending.stdout, ending.stderr);
    for line in lines {
        let is_there = ending.stdout.lines().any(|shown| shown == *line);
        assert!(is_there, "no line '{line}': {}{}", ending.stdout, ending.stderr);
    }
}

#[test]
fn every_example_is_run_by_a_test() {
    let tests = fs::read_dir(root().join("tests/tests")).unwrap().flatten();
    let tests: Vec<String> = tests.map(|file| fs::read_to_string(file.path()).unwrap()).collect();

    for entry in fs::read_dir(root().join("examples")).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        if entry.path().join("run.sh").exists() {
            let names = [format!("\"{name}\""), format!("examples/{name}")];
            let is_named = |text: &String| names.iter().any(|words| text.contains(words));
            assert!(tests.iter().any(is_named), "no test runs examples/{name}/run.sh");
            let mode = fs::metadata(entry.path().join("run.sh")).unwrap().permissions().mode();
            assert_eq!(0o755, mode & 0o777, "examples/{name}/run.sh");
            assert!(entry.path().join("README.md").exists(), "examples/{name} says nothing");
        }
    }
}

#[test]
fn examples_that_need_nothing_else_show_what_they_are_for() {
    let clone = Clone::new(Some("target/release"));
    for (name, lines) in [
        ("ld-preload", &["opened /etc/passwd"][..]),
        ("fargate", &["+      \"name\": \"glassbox\","]),
        ("kubernetes", &["+    - name: LD_PRELOAD", "+      value: /glassbox/libglassbox.so"]),
        ("runc", &["hello from the container", "started /bin/cat", "opened /etc/motd"]),
    ] {
        assert_shows(&child::run(clone.example(name), b""), lines);
    }
}

#[test]
fn lambda_plays_a_sandbox_and_shows_each_invocations_deeds() {
    let clone = Clone::new(Some("target/release"));
    let mut command = clone.example("lambda");
    // The pair under test may be larger than a layer may be: it is stripped, as that of dist/ is.
    let pair = clone.path("pair");
    fs::create_dir(&pair).unwrap();
    for file in [glassbox(), sensor()] {
        let to = pair.join(file.file_name().unwrap());
        let strip = Command::new("strip").arg(file).arg("-o").arg(to).status().unwrap();
        assert!(strip.success());
    }
    command.env("GLASSBOX", pair.join("glassbox"));

    let ending = child::start(command, b"").finish_within(child::DEADLINE * 2).unwrap();

    assert_shows(&ending, &["  opened /etc/hostname"]);
    let requests =
        ending.stdout.lines().filter(|line| line.starts_with("request ") && line.contains(": success, "));
    assert_eq!(2, requests.count(), "{}", ending.stdout);
    assert_eq!(2, ending.stdout.matches("  opened /etc/hostname\n").count(), "{}", ending.stdout);
}

/// A folder with only these programs of this machine.
fn programs(clone: &Clone, names: &[&str]) -> PathBuf {
    let folder = clone.path("programs");
    fs::create_dir(&folder).unwrap();
    for name in names {
        let found = Command::new("sh").args(["-c", "command -v \"$1\"", "sh", name]).output().unwrap();
        symlink(String::from_utf8(found.stdout).unwrap().trim_end(), folder.join(name)).unwrap();
    }
    folder
}

#[test]
fn missing_program_is_one_line_that_says_how_to_get_it() {
    let clone = Clone::new(Some("target/release"));
    let path = programs(&clone, &["sh", "dirname", "readlink"]);
    for (name, line) in [
        ("lambda", "lambda/run.sh: needs unzip, which is not installed; on Debian: apt-get install unzip\n"),
        (
            "redhook",
            "redhook/run.sh: needs cargo, which is not installed; on Debian: apt-get install cargo\n",
        ),
        (
            "compose",
            "compose/run.sh: needs 'docker compose' with a running docker, or podman-compose: apt-get install podman \
             pipx; pipx install podman-compose\n",
        ),
    ] {
        let mut command = clone.example(name);
        command.env("PATH", &path);

        let ending = child::run(command, b"");

        assert_eq!((Status::Exited(69), ""), (ending.status, ending.stdout.as_str()), "{}", ending.stderr);
        // The path of the script, as it was called, stands before it.
        assert!(ending.stderr.ends_with(line) && ending.stderr.lines().count() == 1, "{}", ending.stderr);
    }
}

#[test]
fn pair_is_the_one_that_was_built_last_and_its_lack_is_one_line() {
    let clone = Clone::new(None);
    let path = programs(&clone, &["sh", "dirname", "readlink", "mktemp", "rm"]);
    let mut command = clone.example("kubernetes");
    command.env("PATH", &path);
    let without = child::run(command, b"");
    for (folder, script) in [("target/release", "exit 3"), ("target/demo", "echo that of demo; exit 3")] {
        fs::create_dir_all(clone.path(folder)).unwrap();
        fs::write(clone.path(folder).join("libglassbox.so"), "").unwrap();
        let program = clone.path(folder).join("glassbox");
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let older = fs::File::open(clone.path("target/release/glassbox")).unwrap();
    older.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(60)).unwrap();

    let of_two = child::run(clone.example("kubernetes"), b"");

    assert_eq!(Status::Exited(69), without.status, "{}", without.stderr);
    assert_eq!("kubernetes/run.sh: no glassbox here; make one: cargo xtask demo\n", without.stderr);
    assert_eq!(
        (Status::Exited(3), "that of demo\n"),
        (of_two.status, of_two.stdout.as_str()),
        "{}",
        of_two.stderr
    );
}

/// podman and podman-compose as programs in a folder that may stand in PATH, with the settings that a
/// container within a container needs.
fn engine_in(folder: &Path, engine: &Engine) {
    fs::create_dir(folder).unwrap();
    let settings = engine.settings().join(" ");
    let limits = "--ulimit nofile=4096:4096 --ulimit nproc=4096:4096";
    let python = python::program();
    for (name, text) in [
        ("podman", format!("exec /usr/bin/podman {settings} \"$@\"")),
        (
            "podman-compose",
            format!(
                "exec {} -m podman_compose --podman-path /usr/bin/podman --in-pod false --podman-args '{settings}' \
                 --podman-run-args '{limits}' \"$@\"",
                python.display()
            ),
        ),
    ] {
        fs::write(folder.join(name), format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[test]
fn compose_shows_what_was_added_and_what_the_service_opened() {
    let (clone, engine) = (Clone::new(Some("target/release")), Engine::start());
    let folder = engine.path("bin");
    engine_in(&folder, &engine);
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    for images in [&[][..], &[("APP_IMAGE", BASE), ("GLASSBOX_IMAGE", GLASSBOX)]] {
        let mut command = clone.example("compose");
        command.env("PATH", &path).envs(images.iter().copied());

        let ending = child::run(command, b"");

        assert!(!ending.stdout.contains("\n< "), "something was taken away: {}", ending.stdout);
        assert_shows(
            &ending,
            &[
                ">       - LD_PRELOAD=/opt/glassbox/libglassbox.so",
                ">         condition: service_healthy",
                "hello",
                "opened /etc/motd",
            ],
        );
    }
}

#[test]
fn redhook_is_measured_beside_the_sensor() {
    let clone = Clone::new(Some("target/release"));

    let ending = child::start(clone.example("redhook"), b"").finish_within(child::DEADLINE * 4).unwrap();

    assert_shows(&ending, &[]);
    let lines: HashMap<&str, (&str, &str)> = ending
        .stdout
        .lines()
        .map(|line| {
            let parts: Vec<&str> = line.split('\t').collect();
            let [what, theirs, ours] = *parts else { panic!("{line}") };
            // Two lines have a value measured bare in their names.
            (what.split(", ns more").next().unwrap().split(", us more").next().unwrap(), (theirs, ours))
        })
        .collect();
    let number =
        |text: &str| text.parse::<i64>().unwrap_or_else(|_| panic!("{text} is not a number: {lines:?}"));
    assert!(lines["libraries that it needs"].0.contains("libgcc_s.so.1"), "{lines:?}");
    assert_eq!("none", lines["libraries that it needs"].1);
    assert_eq!("0", lines["symbols that it needs"].1);
    assert_eq!("2", lines["functions that it hooks, by symbol"].0);
    assert_eq!(("1", "3"), lines["of open, open64 and __open_2 it sees"]);
    assert_eq!(("aborted", "the end"), lines["a function that libc does not have is called"]);
    assert_eq!("aborted", lines["a thread is cancelled in open, debug build"].0);
    assert_eq!("cancelled", lines["a thread is cancelled in open, release build"].1);
    assert_eq!(("ended with 127", "cancelled"), lines["a program of musl"]);
    let (theirs, ours) = lines["file, stripped, KiB"];
    assert!(number(ours) < number(theirs), "{lines:?}");
    for what in ["a call of open", "a start of /bin/true"] {
        // Whole nanoseconds and microseconds: a busy machine changes them, which is not a fault.
        assert!(number(lines[what].0) < 100_000 && number(lines[what].1) < 100_000, "{lines:?}");
    }
}
