//! `examples/fleet`: collectors, a broker, judges and ClickHouse, of which some are killed in the middle.

use std::process::Command;
use std::time::Duration;

use glassbox_tests::artefacts::root;
use glassbox_tests::child::{self, Status};
use glassbox_tests::{glassbox, sensor};

/// The number behind `label` in the ledger.
fn number(text: &str, label: &str) -> u64 {
    let rest = text.split_once(label).unwrap_or_else(|| panic!("no '{label}': {text}")).1;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_else(|_| panic!("no number behind '{label}': {text}"))
}

#[test]
fn every_event_of_a_fleet_is_in_clickhouse_once_over_deaths_of_broker_and_judge() {
    let mut command = Command::new(root().join("examples/fleet/run.sh"));
    command.env("GLASSBOX", glassbox()).env("GLASSBOX_LIB", sensor()).env_remove("LD_PRELOAD");

    let ending = child::start(command, b"").finish_within(Duration::from_secs(300)).unwrap();

    let ledger = &ending.stdout;
    assert_eq!(Status::Exited(0), ending.status, "{ledger}{}", ending.stderr);
    let made = number(ledger, "events of the sensors and collectors: ");
    assert!(made > 3000, "{ledger}");
    assert_eq!(made, number(ledger, "rows of ClickHouse by id: "), "{ledger}");
    assert_eq!(0, number(ledger, "of them more than once: "), "{ledger}");
    assert_eq!(0, number(ledger, "not there: "), "{ledger}");
    for question in 1..=14 {
        assert!(ledger.contains(&format!("question {question}: ")), "{ledger}");
    }
    // What was played is found: the secret, the program that was written and started, the alerts.
    for asked in
        ["Who opened a file of secrets?", "Which programs were written and then started?", "Which alerts"]
    {
        let line = ledger.lines().find(|line| line.contains(asked)).unwrap();
        assert!(!line.ends_with("(0 rows)"), "{line}");
    }
}
