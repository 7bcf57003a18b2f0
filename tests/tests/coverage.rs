//! Every event of the table is reported for some real program.
//!
//! The content of each event is tested family by family (`hooks_*.rs`), and the share of reported calls
//! against strace (`strace.rs`). This test only finds an event that nothing here ever makes.

use std::collections::BTreeSet;

use glassbox_tests::scene::sensed;
use glassbox_tests::victim::victim;
use wire::schema::EVENTS;

/// Programs that together make every event of a run without faults.
const PROGRAMS: [&str; 11] = [
    "close_family",
    "arguments",
    "names",
    "file_names",
    "security",
    "sockets",
    "statuses",
    "inside",
    "looks",
    "dlopen_runpath",
    "durations",
];

/// Events of runs with faults, and the test of each.
const FAULTS: [(&str, &str); 3] =
    [("sensor.loss", "faults.rs"), ("sensor.blind", "hooks_exec.rs"), ("sensor.evasion", "evasion.rs")];

#[test]
fn every_event_of_the_table_is_told_of_some_program() {
    let mut told = BTreeSet::new();
    for program in PROGRAMS {
        for run in &victim(program).runs {
            let arguments: Vec<&str> = run.iter().map(String::as_str).collect();
            told.extend(sensed(program, &arguments).events.iter().map(|event| event.name().to_owned()));
        }
    }

    let never: Vec<&str> = EVENTS
        .iter()
        .map(|spec| spec.name)
        .filter(|name| !told.contains(*name) && !FAULTS.iter().any(|(fault, _)| fault == name))
        .collect();

    assert_eq!(Vec::<&str>::new(), never);
}
