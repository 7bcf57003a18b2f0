//! The reported calls, compared with the calls that `strace -f` saw of the same run: by program, every kind
//! of call, and every field that both say.
//!
//! The programs are in `src/recall/programs.rs`, the kinds in `src/recall/kinds.rs`; `src/recall/trace.rs`
//! has the rule for calls that are set aside. The figures go to standard output (past the test harness's
//! capture) and to target/recall/.

use std::io::Write;

use glassbox_tests::recall::kinds::{IMAGE, OPEN};
use glassbox_tests::recall::places::Place;
use glassbox_tests::recall::programs::named;
use glassbox_tests::recall::{GOAL, report};

/// Compares one program's figures with the goal.
fn reaches_the_goal(program: &str) {
    let (recalls, fields) = named(program).unwrap().measure(Place::Beside).unwrap();
    let text = report(program, &recalls) + &fields.report();
    writeln!(std::io::stdout().lock(), "{text}").unwrap();
    let short: Vec<&str> =
        recalls.iter().filter(|(_, recall)| recall.percent() < GOAL).map(|(event, _)| *event).collect();

    assert!(short.is_empty(), "too few of {short:?} were reported:\n{text}");
    assert!(fields.differing.is_empty(), "fields differ, and no row says why:\n{text}");
    // A comparison without these events would prove nothing.
    for event in [OPEN, IMAGE] {
        assert!(recalls.get(event).is_some_and(|recall| recall.made > 0), "no {event} at all:\n{text}");
    }
}

#[test]
fn bash_is_reported_as_strace_saw_it() {
    reaches_the_goal("bash");
}

#[test]
fn python3_is_reported_as_strace_saw_it() {
    reaches_the_goal("python3");
}

#[test]
fn node_is_reported_as_strace_saw_it() {
    reaches_the_goal("node");
}

#[test]
fn java_is_reported_as_strace_saw_it() {
    reaches_the_goal("java");
}

#[test]
fn git_is_reported_as_strace_saw_it() {
    reaches_the_goal("git");
}

#[test]
fn curl_is_reported_as_strace_saw_it() {
    reaches_the_goal("curl");
}

#[test]
fn perl_is_reported_as_strace_saw_it() {
    reaches_the_goal("perl");
}

#[test]
fn make_is_reported_as_strace_saw_it() {
    reaches_the_goal("make");
}

#[test]
fn nginx_is_reported_as_strace_saw_it() {
    reaches_the_goal("nginx");
}

#[test]
fn redis_is_reported_as_strace_saw_it() {
    reaches_the_goal("redis");
}

#[test]
fn postgres_is_reported_as_strace_saw_it() {
    reaches_the_goal("postgres");
}

#[test]
fn sqlite3_is_reported_as_strace_saw_it() {
    reaches_the_goal("sqlite3");
}

#[test]
fn tar_is_reported_as_strace_saw_it() {
    reaches_the_goal("tar");
}

#[test]
fn find_is_reported_as_strace_saw_it() {
    reaches_the_goal("find");
}

#[test]
fn rust_is_reported_as_strace_saw_it() {
    reaches_the_goal("rust");
}

#[test]
fn no_plt_is_reported_as_strace_saw_it() {
    reaches_the_goal("no-plt");
}

#[test]
fn musl_is_reported_as_strace_saw_it() {
    reaches_the_goal("musl");
}
