//! A recording that is read: one answer of it, several at once, two compared, and through a pager.

use std::fs;
use std::process::Command;

use glassbox_tests::child::{self, Ending, Status};
use glassbox_tests::glassbox;
use glassbox_tests::scene::Scene;

/// A scene with the recordings of these scripts: `0.gbx`, `1.gbx` and so on.
fn recorded(scripts: &[&str]) -> Scene {
    let scene = Scene::of("steady", &["0"]);
    scene.clean();
    for (number, script) in scripts.iter().enumerate() {
        let output = format!("recording:{number}.gbx");
        let mut command = scene.command(glassbox());
        fs::write(scene.work().join("script"), script).unwrap();
        command.args(["run", "--no-default-rules", "-o", &output, "--", "/bin/sh", "script"]);
        child::run(command, b"");
    }
    scene
}

fn run(scene: &Scene, arguments: &[&str], stdin: &[u8]) -> Ending {
    let mut command = scene.command(glassbox());
    command.args(arguments);
    child::run(command, stdin)
}

#[test]
fn one_part_of_a_summary_is_told_alone_and_whole() {
    let scene = recorded(&[
        "echo x > made; cat /nope 2>/dev/null; for i in 1 2 3; do cat made made >/dev/null; done",
    ]);

    for (by, has, lacks) in [
        ("error", "ENOENT /nope by cat\n", "Files"),
        ("file", "/made  ", "ENOENT"),
        ("process", "cat made made\n", "Files"),
    ] {
        let ending = run(&scene, &["replay", "0.gbx", "--by", by], b"");

        assert_eq!(Status::Exited(0), ending.status, "{}", ending.stderr);
        assert!(ending.stdout.contains(has) && !ending.stdout.contains(lacks), "{by}: {}", ending.stdout);
    }
    let tree = run(&scene, &["replay", "0.gbx", "--tree"], b"");
    assert!(tree.stdout.contains("3 x cat made made"), "{}", tree.stdout);
    let none = run(&scene, &["replay", "0.gbx", "--by", "peer"], b"");
    assert_eq!("nothing of that kind\n", none.stdout);
    let wrong = run(&scene, &["replay", "0.gbx", "--by", "colour"], b"");
    assert_eq!(Status::Exited(64), wrong.status);
    assert!(wrong.stderr.contains("process, file, peer, rule, error, tree"), "{}", wrong.stderr);
}

#[test]
fn several_recordings_and_one_on_stdin_follow_each_other() {
    let scene = recorded(&["true; echo one >/dev/null", "/bin/true"]);
    let bytes = fs::read(scene.work().join("1.gbx")).unwrap();
    let lines = |arguments: &[&str], stdin: &[u8]| run(&scene, arguments, stdin).stdout.lines().count();

    let [first, second] = ["0.gbx", "1.gbx"].map(|file| lines(&["replay", file], b""));

    assert!(first > 0 && second > 0);
    assert_eq!(first + second, lines(&["replay", "0.gbx", "1.gbx"], b""));
    assert_eq!(first + second, lines(&["replay", "0.gbx", "-"], &bytes));
}

#[test]
fn diff_tells_what_one_session_did_alone_and_not_what_each_run_chooses_anew() {
    let common = "T=$(mktemp); echo x > $T; cat $T >/dev/null; rm $T";
    let scene = recorded(&[common, common, &format!("{common}; cat /nope 2>/dev/null; echo > made")]);

    let same = run(&scene, &["diff", "0.gbx", "1.gbx"], b"");
    let other = run(&scene, &["diff", "0.gbx", "2.gbx"], b"");

    assert_eq!((Status::Exited(0), ""), (same.status, same.stdout.as_str()), "{}", same.stderr);
    assert_eq!(Status::Exited(1), other.status, "{}", other.stderr);
    for line in ["--- 0.gbx\n+++ 2.gbx\n", "  + cat /nope\n", "  + ENOENT /nope by cat\n", "/made\n"] {
        assert!(other.stdout.contains(line), "{line}: {}", other.stdout);
    }
    assert!(!other.stdout.contains("mktemp") && !other.stdout.contains("rm "), "{}", other.stdout);
    let missing = run(&scene, &["diff", "0.gbx", "none.gbx"], b"");
    assert_eq!(Status::Exited(66), missing.status);
}

#[test]
fn a_terminal_gets_a_pager_and_no_other_place_does() {
    let scene = recorded(&["/bin/true"]);
    let script = |options: &str| {
        let mut command = scene.command("script");
        let line = format!("{} replay 0.gbx {options}", glassbox().display());
        command.args(["-qec", &line, "/dev/null"]).env("GLASSBOX_PAGER", "sed s/^/P:/");
        child::run(command, b"").stdout
    };

    let paged = script("");
    let bare = script("--no-pager");
    let piped = {
        let mut command: Command = scene.command(glassbox());
        command.args(["replay", "0.gbx"]).env("GLASSBOX_PAGER", "sed s/^/P:/");
        child::run(command, b"").stdout
    };

    assert!(paged.lines().count() > 1 && paged.lines().all(|line| line.starts_with("P:")), "{paged}");
    assert!(paged.contains("\x1b["), "a pager before a terminal keeps colours: {paged}");
    assert!(bare.contains("process.exit") && !bare.contains("P:"), "{bare}");
    assert!(piped.contains("process.exit") && !piped.contains("P:"), "{piped}");
}
