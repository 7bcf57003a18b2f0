//! `glassbox patch dockerfile`: a real builder builds the result, and the image's programs are seen.
//!
//! The changes themselves are tested in `deploy/src/dockerfile/tests.rs`; here are the files, the exit
//! statuses, and podman.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use glassbox_tests::Collector;
use glassbox_tests::artefacts::glassbox;
use glassbox_tests::child::{self, Ending, Status};
use glassbox_tests::containers::{BASE, Engine, GLASSBOX};
use glassbox_tests::patched::{self, well};
use serde_json::Value;

fn patch(file: &Path, options: &[&str]) -> Ending {
    patched::patch("dockerfile", file, options)
}

/// Whether the opening of `path` was reported; nothing may be lost.
fn opened(jsonl: &Path, path: &str) -> bool {
    let text = fs::read_to_string(jsonl).expect("what was reported");
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(!events.iter().any(|event| event["event"] == "sensor.loss"), "something was lost");
    events.iter().any(|event| event["event"] == "file.open" && event["path"] == path)
}

/// Two stages, and a library that is preloaded already; the last stage prints its LD_PRELOAD.
fn two_stages() -> String {
    format!(
        "FROM {BASE} AS build\nRUN echo built > /tmp/made\n\nFROM {BASE}\nENV LD_PRELOAD=libgcc_s.so.1\n\
         COPY --from=build /tmp/made /made\nRUN cat /made\nUSER 1234\n\
         ENTRYPOINT [\"/bin/sh\", \"-c\", \"cat /made /etc/motd; echo $0; exit 3\"]\nCMD [\"given\"]\n"
    )
}

/// Runs the image before and after the patch, the latter without and with a collector: all do the same. Gives
/// what they said, and the file with the events.
fn run_both(engine: &Engine) -> (Ending, PathBuf) {
    let folder = engine.path("socket");
    fs::create_dir(&folder).unwrap();
    let volume = format!("{}:/run/glassbox:ro", folder.display());

    let bare = engine.run(&[], "localhost/bare", &[]);
    let alone = engine.run(&[], "localhost/seen", &[]);
    let jsonl = engine.path("events.jsonl");
    let collector =
        Collector::start(&folder.join("collector"), &["-o", &format!("jsonl:{}", jsonl.display())]);
    let seen = engine.run(&["-v", &volume], "localhost/seen", &[]);
    well(collector.stop());

    assert_eq!(bare, alone, "without a collector");
    assert_eq!(bare, seen);
    (bare, jsonl)
}

#[test]
fn a_patched_file_builds_and_its_programs_are_seen() {
    let engine = Engine::start();
    let file = engine.path("Dockerfile");
    fs::write(&file, two_stages()).unwrap();
    well(engine.build(&file, "localhost/bare", &[]));
    well(patch(&file, &["--image", GLASSBOX, "--socket", "/run/glassbox/collector"]));
    let build = well(engine.build(&file, "localhost/seen", &[]));
    let (bare, jsonl) = run_both(&engine);
    let preload = engine.run(&["--entrypoint", "/bin/sh"], "localhost/seen", &["-c", "echo $LD_PRELOAD"]);

    assert_eq!((Status::Exited(3), "built\nhello\ngiven\n", ""), parts(&bare));
    assert!(opened(&jsonl, "/etc/motd"));
    assert_eq!("libgcc_s.so.1:/opt/glassbox/libglassbox.so\n", preload.stdout);
    assert!(!build.stderr.contains("ld.so"), "a build step missed the sensor: {}", build.stderr);
}

#[test]
fn an_entry_point_brings_its_own_collector() {
    let engine = Engine::start();
    let file = engine.path("Dockerfile");
    fs::write(&file, two_stages()).unwrap();
    well(patch(
        &file,
        &["--run", "--image", GLASSBOX, "--run-option=-o", "--run-option=jsonl:/out/events.jsonl"],
    ));
    well(engine.build(&file, "localhost/run", &[]));
    let out = engine.path("out");
    fs::create_dir(&out).unwrap();
    std::os::unix::fs::chown(&out, Some(1234), None).unwrap();

    let ending = engine.run(&["-v", &format!("{}:/out", out.display())], "localhost/run", &["asked"]);

    assert_eq!((Status::Exited(3), "built\nhello\nasked\n", ""), parts(&ending));
    assert!(opened(&out.join("events.jsonl"), "/etc/motd"));
}

#[test]
fn the_shell_form_and_an_inherited_entry_point_run_as_they_did() {
    let engine = Engine::start();
    let file = engine.path("Dockerfile");
    let text = format!(
        "FROM {BASE} AS app\nENTRYPOINT  cat /etc/motd && \\\n  # within\n  echo \"it's $HOME\"\nCMD [\"not\", \"used\"]\n\
         FROM app AS heir\nRUN cat /etc/motd\n"
    );
    fs::write(&file, &text).unwrap();
    well(engine.build(&file, "localhost/bare", &[]));
    let bare = engine.run(&["-e", "HOME=/x"], "localhost/bare", &[]);

    for (target, image) in [("app", "localhost/app"), ("heir", "localhost/heir")] {
        fs::write(&file, &text).unwrap();
        well(patch(
            &file,
            &[
                "--run",
                "--run-option=-o",
                "--run-option=jsonl:/tmp/e",
                "--image",
                GLASSBOX,
                "--target",
                target,
            ],
        ));
        well(engine.build(&file, image, &["--target", target]));

        assert_eq!(bare, engine.run(&["-e", "HOME=/x"], image, &[]), "{target}");
    }
    assert_eq!((Status::Exited(0), "hello\nit's /x\n", ""), parts(&bare));
}

#[test]
fn a_static_program_of_a_patched_image_is_told_of_by_the_kernel() {
    let engine = Engine::start();
    let file = engine.path("Dockerfile");
    let text = format!(
        "FROM {BASE}\nUSER 1234\nENTRYPOINT exec /bin/opens /etc/motd \\\n  \"/tmp/it's made\"\nCMD [\"not\", \"used\"]\n"
    );
    fs::write(&file, &text).unwrap();
    well(engine.build(&file, "localhost/bare", &[]));
    let options = ["--image", GLASSBOX, "--socket", "/run/glassbox/collector", "--notify", "security"];
    well(patch(&file, &options));
    well(engine.build(&file, "localhost/seen", &[]));
    let (bare, jsonl) = run_both(&engine);

    assert_eq!((Status::Exited(3), "read written\n", ""), parts(&bare));
    let events = fs::read_to_string(&jsonl).unwrap();
    let open = events.lines().find(|line| line.contains("/tmp/it's made") && line.contains("file.open"));
    assert!(open.is_some_and(|open| open.contains("\"via\":\"notify\"")), "{events}");
}

fn parts(ending: &Ending) -> (Status, &str, &str) {
    (ending.status, &ending.stdout, &ending.stderr)
}

#[test]
fn bad_input_is_told_in_a_line_and_stays() {
    patched::assert_refuses(
        "dockerfile",
        &[
            (b"FROM a\nRUNN x\n", &[], 65, "': line 2: unknown instruction 'RUNN'; correct it"),
            (b"", &[], 65, "it has no FROM"),
            (b"FROM a\nLABEL x=\xff\n", &[], 65, "is not UTF-8 text from byte 15 on"),
            (b"FROM mcr.microsoft.com/windows/nanoserver\n", &[], 65, "is for Windows"),
            (b"FROM a\n", &["--target", "b"], 65, "no stage is called 'b'; there are 0"),
            (b"FROM a\nCMD x\n", &["--run"], 65, "has no ENTRYPOINT"),
            (b"FROM a\n", &["--image", "a b"], 64, "an image is named as in"),
            (b"FROM a\n", &["--socket", "relative"], 64, "a socket is an absolute path"),
            (b"FROM a\n", &["--run", "--entrypoint", "sh"], 64, "a list is written as in"),
            (b"FROM a\n", &["--entrypoint", "[]"], 64, "--run"),
            (b"FROM a\nCMD x\n", &["--notify", "exec"], 65, "name it with --entrypoint"),
            (b"FROM public.ecr.aws/lambda/go\n", &["--notify", "exec"], 65, "is for AWS Lambda"),
            (b"FROM a\n", &["--notify", "all"], 64, "give off, exec, security or full"),
            (b"FROM a\n", &["--require-notify"], 64, "--notify"),
        ],
    );
}

#[test]
fn check_says_and_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("Dockerfile");
    fs::write(&file, "FROM a\n").unwrap();

    let before = patch(&file, &["--check"]);
    assert_eq!("FROM a\n", fs::read_to_string(&file).unwrap());
    well(patch(&file, &[]));
    let text = fs::read(&file).unwrap();
    let after = patch(&file, &["--check"]);
    let again = well(patch(&file, &[]));

    assert_eq!(Status::Exited(1), before.status);
    assert!(
        before.stderr.starts_with("glassbox: would do: stage 0 (FROM a): copies the sensor"),
        "{before:?}"
    );
    assert_eq!((Status::Exited(0), "", ""), parts(&after));
    assert_eq!((Status::Exited(0), "", "glassbox: nothing to do\n"), parts(&again));
    assert_eq!(text, fs::read(&file).unwrap());
}

#[test]
fn result_goes_where_it_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    fs::write(path("real"), "FROM a\n").unwrap();
    symlink("real", path("link")).unwrap();

    well(patch(&path("real"), &["-o", path("other").to_str().unwrap()]));
    assert_eq!("FROM a\n", fs::read_to_string(path("real")).unwrap());
    well(patch(&path("link"), &[]));
    let mut piped = Command::new(glassbox());
    piped.args(["patch", "dockerfile", "-"]);
    let piped = well(child::run(piped, b"FROM a\n"));

    let text = fs::read_to_string(path("other")).unwrap();
    assert!(text.contains("COPY --from=glassbox:"), "{text}");
    assert_eq!([&text, &text], [&piped.stdout, &fs::read_to_string(path("real")).unwrap()]);
    assert!(fs::symlink_metadata(path("link")).unwrap().is_symlink());
}
