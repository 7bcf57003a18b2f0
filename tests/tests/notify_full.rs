//! `glassbox run --notify full`: what it tells beyond `security`, beside the twin that hooks see.

use std::collections::BTreeMap;

use glassbox_tests::child::Status;
use glassbox_tests::events::{Event, Events};
use glassbox_tests::unseen::{Ground, MOVED, PROGRAMS, Program};

const FULL: [&str; 3] = ["--notify", "full", "--require-notify"];

/// Runs it bare and so, and compares.
fn told(program: &Program, options: &[&str]) -> Events {
    let ground = Ground::default();
    let bare = ground.bare(program);
    let under = ground.under(options, program);

    assert_eq!(Status::Exited(0), bare.ending.status, "the program is broken: {:?}", bare.ending);
    assert_eq!((bare.ending, bare.files), (under.ending, under.files), "the program noticed");
    under.events
}

/// Bytes in and out.
type Bytes = (Option<i64>, Option<i64>);

/// The bytes in and out of each close that is told, by the file, or by the socket's role; those of one file
/// in their order.
fn bytes_of(events: &Events, program: &Program) -> BTreeMap<String, Vec<Bytes>> {
    let path = program.path();
    // The port that a listener gets is a result.
    let asked = events.named("net.connect").find_map(|connect| connect.text("remote"));
    let listener = asked.expect("a connection");
    let mut all: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for event in events.iter().filter(|event| event.text("exe") == path.to_str()) {
        let role = |event: &Event| match (event.text("local"), event.text("remote")) {
            (Some(local), None) if local == listener => Some("listener"),
            (Some(local), Some(_)) if local == listener => Some("accepted"),
            (_, Some(remote)) if remote == listener => Some("asked"),
            _ => None,
        };
        let (name, bytes) = match event.name() {
            // Go's own files are none of the program's.
            "file.close" if event.path().starts_with("/sys/") || event.path().starts_with("/proc/") => {
                continue;
            }
            "file.close" if !event.path().starts_with('/') => continue,
            "file.close" => {
                let name = event.path().rsplit('/').next().map(str::to_owned);
                (name, (event.number("bytes_read"), event.number("bytes_written")))
            }
            // Go tries what the system can do, by sockets that it closes at once.
            "net.close" if event.text("local").is_none() => continue,
            "net.close" => {
                let bytes = (event.number("bytes_received"), event.number("bytes_sent"));
                (role(event).map(str::to_owned), bytes)
            }
            _ => continue,
        };
        all.entry(name.unwrap_or_else(|| format!("{event:?}"))).or_default().push(bytes);
    }
    all
}

#[test]
fn bytes_are_those_of_the_twin_where_the_kernel_tells_and_else_absent() {
    let [twin, others @ ..] = &MOVED;
    let counted = bytes_of(&told(twin, &[]), twin);
    assert_eq!(Some(&vec![(Some(0), Some(1234))]), counted.get("written"), "{counted:?}");
    assert_eq!(Some(&vec![(Some(77), Some(3000))]), counted.get("asked"), "{counted:?}");
    // Its position was set, or was not moved, or begins at an end that others wrote.
    const ABSENT: [&str; 2] = ["appended", "skipped"];

    for program in others {
        let events = told(program, &FULL);
        let seen = bytes_of(&events, program);

        let mut expected = counted.clone();
        for name in ABSENT {
            expected.insert(name.to_owned(), vec![(None, None)]);
        }
        // Read after it was written, with the position set between; and read past the position.
        expected.insert("both".to_owned(), vec![(None, None); 2]);
        assert_eq!(expected, seen, "{}: {}", program.name, events.outline());
        let closes = events.iter().filter(|event| matches!(event.name(), "file.close" | "net.close"));
        for close in closes.filter(|close| close.text("exe") == program.path().to_str()) {
            assert_eq!(Some("notify"), close.text("via"), "{close:?}");
            assert_eq!((None, None), (close.number("reads"), close.number("sends")), "{close:?}");
        }
    }
}

#[test]
fn ends_of_descriptors_are_told_at_full_alone() {
    let program = &MOVED[1];

    let events = told(program, &["--notify", "security", "--require-notify"]);

    let closes = events.iter().filter(|event| event.name().ends_with(".close"));
    assert_eq!(0, closes.count(), "{}", events.outline());
    assert!(events.named("file.open").count() > 1, "{}", events.outline());
}

#[test]
fn programs_behave_as_bare_at_full() {
    for program in PROGRAMS {
        let events = told(program, &FULL);
        // Nothing that only asks how a call went is evidence.
        let evidence: Vec<_> =
            events.named("sensor.evasion").filter_map(|found| found.text("call")).collect();
        let is_evidence = |call: &&str| !["close", "dup2", "dup3", "close_range", "_exit"].contains(call);
        assert!(evidence.iter().all(is_evidence), "{}: {evidence:?}", program.name);
    }
}

#[test]
fn lookups_are_told_on_request_as_those_of_the_twin() {
    let lookups = |program: &Program, options: &[&str], request: Option<&str>| -> Vec<String> {
        let prepare = |command: &mut std::process::Command| {
            request.map(|names| command.env("GLASSBOX_TELL", names));
        };
        let run = Ground::default().under_prepared(options, program, prepare);
        let path = program.path();
        let own = run.events.iter().filter(|event| event.text("exe") == path.to_str());
        let looks = own.filter(|event| ["file.stat", "file.access", "file.readlink"].contains(&event.name()));
        // glibc reads the name of its own program at the start of a static one.
        let looks = looks.filter(|event| !event.path().starts_with("/proc/"));
        looks.map(|event| format!("{} {}", event.name(), event.path().rsplit('/').next().unwrap())).collect()
    };
    let [twin, others @ ..] = &MOVED;
    let expected = lookups(twin, &[], Some("lookups"));
    assert_eq!(
        vec!["file.stat left", "file.stat read", "file.access partly", "file.readlink read"],
        expected
    );

    for program in others {
        assert_eq!(expected, lookups(program, &FULL, Some("locks,lookups")), "{}", program.name);
        assert_eq!(Vec::<String>::new(), lookups(program, &FULL, Some("locks")), "{}", program.name);
    }
}
