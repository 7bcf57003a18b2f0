//! Falco's own rules: each fires at a real program, and stays silent at the one beside it.
//!
//! The rule files are not in this repository. They are read from the folder that `GLASSBOX_FALCO_RULES`
//! names, or from `../shared/falco-rules` beside the checkout; without them a test says that it did not run.

use glassbox_tests::falco::{FILES, File, NOT_RUN, Outcome, Proof, Script, names_in, play, text_of};

fn outcomes(file: &File, script: fn(&Proof) -> Option<Script>) -> Vec<Outcome> {
    let outcomes = play(file, script);
    if outcomes.is_none() {
        println!("{NOT_RUN}");
    }
    outcomes.unwrap_or_default()
}

/// Demands that each rule of the file fires at its script.
#[track_caller]
fn assert_fires(file: &File) {
    let outcomes = outcomes(file, |proof| match proof {
        Proof::Fires { at, .. } => Some(*at),
        Proof::CannotFire(_) => None,
    });

    let silent: Vec<_> =
        outcomes.iter().filter(|outcome| !(outcome.has_fired() && outcome.is_complete)).collect();
    assert!(silent.is_empty(), "{} of {}: {silent:#?}", silent.len(), outcomes.len());
}

/// Demands that no rule of the file fires at the script beside it.
#[track_caller]
fn assert_silent(file: &File) {
    let outcomes = outcomes(file, |proof| match proof {
        Proof::Fires { not_at, .. } => Some(*not_at),
        Proof::CannotFire(_) => None,
    });

    let loud: Vec<_> =
        outcomes.iter().filter(|outcome| outcome.has_fired() || !outcome.is_complete).collect();
    assert!(loud.is_empty(), "{} of {}: {loud:#?}", loud.len(), outcomes.len());
}

#[test]
fn rows_are_the_rules_of_the_files() {
    for file in &FILES {
        let Some((_, text)) = text_of(file) else {
            println!("{NOT_RUN}");
            return;
        };

        let rows: Vec<&str> = file.rows.iter().map(|row| row.rule).collect();
        assert_eq!(names_in(&text).collect::<Vec<_>>(), rows, "{}", file.name);
    }
}

#[test]
fn stable_rules_fire() {
    assert_fires(&FILES[0]);
}

#[test]
fn stable_rules_are_silent_at_near_misses() {
    assert_silent(&FILES[0]);
}

#[test]
fn incubating_rules_fire() {
    assert_fires(&FILES[1]);
}

#[test]
fn incubating_rules_are_silent_at_near_misses() {
    assert_silent(&FILES[1]);
}

#[test]
fn sandbox_rules_fire() {
    assert_fires(&FILES[2]);
}

#[test]
fn sandbox_rules_are_silent_at_near_misses() {
    assert_silent(&FILES[2]);
}

#[test]
fn deprecated_rules_fire() {
    assert_fires(&FILES[3]);
}

#[test]
fn deprecated_rules_are_silent_at_near_misses() {
    assert_silent(&FILES[3]);
}
