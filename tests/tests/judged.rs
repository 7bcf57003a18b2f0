//! The event-generator's actions, made by a static program that no hook sees, and judged by rules from what
//! the kernel tells (`src/judged.rs`).
//!
//! Falco's rule files are not in this repository: `tests/falco_rules.rs` says where they are looked for.
//! Without them, glassbox's own rules alone are demanded.

use std::collections::BTreeSet;
use std::io::Write;

use glassbox_tests::falco::{NOT_RUN, Place};
use glassbox_tests::judged::{ACTIONS, Action, Decision, Set, judge};

const FALCO: [Set; 3] = [Set::Falco(0), Set::Falco(1), Set::Falco(2)];

/// How many of the 66 must be decided correctly.
const WANTED: usize = 60;

/// Rules that fire beside the right one, at this action: each of them is right too, for this reason.
const BESIDE: [(&str, &str, &str); 6] = [
    (
        "ContactEC2InstanceMetadataServiceFromContainer",
        "Launch Suspicious Network Tool in Container",
        "the program that makes the connection is called nc",
    ),
    ("ContainerDriftDetectedChmod", "Write below root", "the file that it changes is one that it wrote to /"),
    (
        "ExecutionFromDevShm",
        "Executed from shared memory",
        "two own rules: what was written, and where it is",
    ),
    ("MkdirBinaryDirs", "Modify binary dirs", "the folder is removed again"),
    (
        "ReadShellConfigurationFile",
        "Create Hidden Files or Directories",
        "the file that it reads is a hidden one that it made",
    ),
    ("WriteBelowBinaryDir", "Modify binary dirs", "the file is removed again"),
];

/// Whether the rule fired at an action, and none beside it but those of [`BESIDE`].
fn is_alone(action: &Action, rule: &str, fired: &BTreeSet<String>) -> bool {
    let is_beside =
        |other: &String| BESIDE.iter().any(|(of, beside, _)| *of == action.name && beside == other);
    fired.contains(rule) && fired.iter().all(|other| other == rule || is_beside(other))
}

/// The rules of a set that fired at an action of those that `is_asked`; `None` where the set is not there.
fn fired(set: Set, level: &str, is_asked: fn(&Action) -> bool) -> Option<Vec<(Action, BTreeSet<String>)>> {
    let mut all = Vec::new();
    for place in [Place::Host, Place::Container] {
        let may_fire = |action: &Action| match action.decision {
            Decision::Fires(of, _) | Decision::Unseen(of, ..) => of == set || set == Set::Own,
            Decision::Silent(_) => true,
        };
        let is_here = |action: &&&Action| action.at == place && is_asked(action) && may_fire(action);
        let here: Vec<&Action> = ACTIONS.iter().filter(|action| is_here(&action)).collect();
        let names: Vec<&str> = here.iter().map(|action| action.name).collect();
        if names.is_empty() {
            continue;
        }
        let mut fired = judge(set, level, place, &names)?;
        all.extend(here.iter().map(|action| (**action, fired.remove(action.name).unwrap_or_default())));
    }
    Some(all)
}

/// The actions that are decided wrongly at a level, and how many of the 66 are decided correctly; `None`
/// where Falco's rules are not there.
fn wrong(level: &str, is_asked: fn(&Action) -> bool) -> Option<(Vec<String>, usize)> {
    let mut fired_at: Vec<(Action, BTreeSet<String>)> = Vec::new();
    for set in FALCO {
        for (action, rules) in fired(set, level, is_asked)? {
            match fired_at.iter_mut().find(|(known, _)| known.name == action.name) {
                Some((_, known)) => known.extend(rules),
                None => fired_at.push((action, rules)),
            }
        }
    }
    let is_right = |action: &Action, rules: &BTreeSet<String>| match action.decision {
        Decision::Fires(_, rule) | Decision::Unseen(_, rule, _) => is_alone(action, rule, rules),
        Decision::Silent(_) => rules.is_empty(),
    };
    let wrong = fired_at.iter().filter(|(action, rules)| !is_right(action, rules));
    let wrong = wrong.map(|(action, rules)| format!("{}: {rules:?}", action.name)).collect();
    let right = fired_at.iter().filter(|(action, rules)| action.is_listed && is_right(action, rules)).count();
    Some((wrong, right))
}

/// A line past the harness' capture.
fn say(line: &str) {
    writeln!(std::io::stdout().lock(), "{line}").unwrap();
}

#[test]
fn the_list_has_66_actions_and_a_reason_for_each_that_no_rule_decides() {
    let names: BTreeSet<&str> = ACTIONS.iter().map(|action| action.name).collect();

    assert_eq!(66, ACTIONS.iter().filter(|action| action.is_listed).count());
    assert_eq!((73, 73), (ACTIONS.len(), names.len()));
    for action in ACTIONS {
        if let Decision::Silent(why) | Decision::Unseen(_, _, why) = action.decision {
            assert!(!why.is_empty(), "{}", action.name);
        }
    }
}

#[test]
fn falcos_rules_decide_what_a_static_program_does_at_security() {
    let Some((wrong, right)) = wrong("security", |_| true) else { return say(NOT_RUN) };

    say(&format!("{right} of 66 decided correctly at security; not: {wrong:#?}"));
    let is_unseen = |action: &&Action| matches!(action.decision, Decision::Unseen(..));
    let unseen: BTreeSet<&str> = ACTIONS.iter().filter(is_unseen).map(|action| action.name).collect();
    let surprising: Vec<&String> =
        wrong.iter().filter(|line| !unseen.contains(line.split(':').next().unwrap_or_default())).collect();
    assert!(surprising.is_empty(), "{surprising:#?}");
    assert!(right >= WANTED, "{right} of 66; not: {wrong:#?}");
}

#[test]
fn falcos_rules_decide_opens_that_read_at_full() {
    let reads =
        |action: &Action| matches!(action.decision, Decision::Unseen(_, _, why) if why.contains("reading"));
    let Some((wrong, right)) = wrong("full", reads) else { return say(NOT_RUN) };

    assert_eq!((Vec::<String>::new(), 5), (wrong, right));
}

#[test]
fn glassboxs_own_rules_fire_at_what_a_static_program_does() {
    let fired = fired(Set::Own, "security", |action| !action.own.is_empty()).unwrap_or_default();

    assert_eq!(9, fired.len());
    for (action, rules) in fired {
        assert!(is_alone(&action, action.own, &rules), "{}: {rules:?}", action.name);
    }
}
