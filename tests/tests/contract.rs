//! `docs/contract.md` says of each command, option, output and event whether it exists, and this build
//! agrees.

use std::fs;
use std::process::{Command, Output};

use glassbox_tests::artefacts::{glassbox, root};
use wire::schema::{EVENTS, NOT_FIXED};

/// A row of a table of the contract: the names in backquotes of its first cell, and whether it exists, in
/// part at least.
struct Row {
    names: Vec<String>,
    exists: bool,
}

/// The rows of the table under a heading.
fn rows(heading: &str) -> Vec<Row> {
    let text = fs::read_to_string(root().join("docs/contract.md")).expect("the contract is there");
    let section = text.split(&format!("\n{heading}\n")).nth(1).unwrap_or_else(|| panic!("no {heading}"));
    let lines =
        section.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    // Below the head and the line of dashes.
    let rows: Vec<Row> = lines.skip(2).map(row).collect();
    assert!(rows.iter().any(|row| row.exists), "{heading}: none exists");
    rows
}

fn row(line: &str) -> Row {
    // A bar inside a cell is escaped.
    let line = line.replace("\\|", "/");
    let cells: Vec<&str> = line.split('|').map(str::trim).collect();
    let mark = cells.iter().find(|cell| matches!(**cell, "yes" | "part" | "no"));
    let mark = mark.unwrap_or_else(|| panic!("neither yes, nor part, nor no: {line}"));
    let names = cells[1].split('`').skip(1).step_by(2).map(str::to_owned).collect();
    Row { names, exists: *mark != "no" }
}

fn run(arguments: &[&str]) -> Output {
    Command::new(glassbox()).args(arguments).output().expect("glassbox starts")
}

#[test]
fn commands_are_there_or_wrong_usage_as_the_contract_says() {
    for row in rows("## Commands") {
        let name = row.names[0].split(' ').nth(1).expect("glassbox COMMAND");
        let output = run(&[name, "--help"]);

        assert_eq!(Some(if row.exists { 0 } else { 64 }), output.status.code(), "{name}: {output:?}");
    }
}

#[test]
fn options_are_there_or_wrong_usage_as_the_contract_says() {
    for row in rows("### Options") {
        for name in &row.names {
            let option = name.split([' ', '[', '=']).next().expect("an option");
            if !option.starts_with('-') {
                continue;
            }
            let help = String::from_utf8(run(&["run", "--help"]).stdout).expect("help is text");
            let is_there = help.lines().any(|line| {
                line.trim_start().split([' ', ',', '=']).any(|word| word == option)
                    && line.trim_start().starts_with('-')
            });

            assert_eq!(row.exists, is_there, "{option}: {help}");
            if !row.exists {
                assert_eq!(Some(64), run(&["run", option, "--", "true"]).status.code(), "{option}");
            }
        }
    }
}

/// Formats that go to receivers only, each with one that is away.
const RECEIVERS: [(&str, &str); 3] =
    [("otlp", "http://127.0.0.1:9"), ("clickhouse", "http://127.0.0.1:9"), ("nats", "nats://127.0.0.1:9")];

#[test]
fn outputs_are_there_or_wrong_usage_as_the_contract_says() {
    for row in rows("### Outputs") {
        for format in &row.names {
            let receiver = RECEIVERS.iter().find(|(name, _)| name == format);
            let place = receiver.map_or("/dev/null", |(_, place)| place);
            let output = run(&["run", "-o", &format!("{format}:{place}"), "--", "true"]);

            assert_eq!(Some(if row.exists { 0 } else { 64 }), output.status.code(), "{format}: {output:?}");
        }
    }
}

#[test]
fn events_are_in_the_table_or_not_as_the_contract_says() {
    let rows = rows("### Events");
    let named = |exists| {
        let rows = rows.iter().filter(move |row| row.exists == exists);
        rows.flat_map(|row| row.names.iter().map(String::as_str)).collect::<Vec<&str>>()
    };
    let in_table: Vec<&str> = EVENTS.iter().map(|event| event.name).collect();

    for name in named(true) {
        assert!(in_table.contains(&name), "{name} does not exist");
    }
    for name in named(false) {
        assert!(!in_table.contains(&name), "{name} exists");
    }
    for name in in_table {
        assert!(
            NOT_FIXED.contains(&name) || named(true).contains(&name),
            "{name} is neither fixed nor listed here as not fixed"
        );
    }
}
