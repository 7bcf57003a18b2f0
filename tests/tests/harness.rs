//! The harness itself: victims are the same in two runs, and an empty preloaded library does not change them.
//!
//! Needs neither sensor nor collector; a failure here is a victim's fault.

use std::fs;

use glassbox_tests::artefacts::root;
use glassbox_tests::scene::{Mode, Scene, caught};
use glassbox_tests::victim::{Libc, ON_MUSL, compiled, names, victim};

/// Plays every `run:` line of these victims bare, and again under `mode`.
fn compare_all(mode: Mode) {
    let mut problems = Vec::new();
    for name in names() {
        let victim = victim(&name);
        for arguments in &victim.runs {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let scene = Scene::with(victim.clone(), &arguments);
            problems.extend(caught(|| drop(scene.compare(&[mode]))));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn every_victim_says_the_same_in_two_bare_runs() {
    compare_all(Mode::Bare);
}

#[test]
fn a_preloaded_library_of_nothing_changes_no_victim() {
    compare_all(Mode::EmptyLibrary);
}

#[test]
fn every_victim_is_put_under_the_sensor_by_some_test() {
    let mut tests = String::new();
    for entry in fs::read_dir(root().join("tests/tests")).unwrap() {
        tests.push_str(&fs::read_to_string(entry.unwrap().path()).unwrap());
    }

    let forgotten: Vec<String> =
        names().into_iter().filter(|name| !tests.contains(&format!("\"{name}\""))).collect();

    assert_eq!(Vec::<String>::new(), forgotten);
}

#[test]
fn a_victim_that_notices_is_caught() {
    // It prints its environment with `seen` in front, which the harness does not take for an environment
    // line.
    let scene = Scene::of("notices", &[]);

    let message = caught(|| drop(scene.compare(&[Mode::EmptyLibrary])));

    assert!(message.as_deref().unwrap_or("").contains("the program noticed"), "{message:?}");
}

#[test]
fn victims_for_musl_are_linked_against_musl_and_say_the_same_twice() {
    let mut problems = Vec::new();
    for name in ON_MUSL {
        let program = compiled(name, Libc::Musl);
        let bytes = fs::read(&program.path).unwrap();
        let interpreter = b"/lib/ld-musl-";
        assert!(
            bytes.windows(interpreter.len()).any(|window| window == interpreter),
            "{name} is not for musl"
        );
        for arguments in program.runs.clone() {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let scene = Scene::with(program.clone(), &arguments);
            problems.extend(caught(|| drop(scene.compare(&[Mode::Bare, Mode::EmptyLibrary]))));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
