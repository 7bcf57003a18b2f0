//! Events of processes in other namespaces than the collector's. These tests run as root, and make some.

use std::collections::{BTreeMap, BTreeSet};

use glassbox_tests::events::{Event, Events, Expect};
use glassbox_tests::scene::{Scene, sensed_in};

/// How often each process, by its namespace and number, has an event of this name.
fn by_process(events: &Events, name: &str) -> BTreeMap<(i64, i64), usize> {
    let mut found = BTreeMap::new();
    events.named(name).for_each(|event| *found.entry(event.process()).or_default() += 1);
    found
}

#[test]
fn processes_of_a_pid_namespace_below_have_one_number_each_and_it_is_the_collectors() {
    let seen = sensed_in(&Scene::of("below", &[]).expecting(Expect::NothingLost)).events;

    let processes: BTreeSet<(i64, i64)> = seen.iter().map(Event::process).collect();
    let exits = by_process(&seen, "process.exit");
    // main; twice a first process, the child that it kills, and 30 programs.
    assert_eq!(1 + 2 * (2 + 30), processes.len(), "{}", seen.outline());
    assert_eq!(processes, exits.keys().copied().collect());
    assert!(exits.values().all(|count| *count == 1));
    assert_eq!(0, seen.named("sensor.blind").count());
    assert!(seen.iter().all(|event| event.field("pid_ns").is_none()));
    let is_process = |pid: Option<i64>| processes.iter().any(|(_, known)| Some(*known) == pid);
    let forks: Vec<&Event> = seen.named("process.fork").filter(|fork| fork.call() == "fork").collect();
    assert!(forks.iter().all(|fork| is_process(fork.number("child"))));
    for kill in seen.named("process.signal") {
        let killed =
            seen.opens("by-child").into_iter().find(|open| Some(open.pid()) == kill.number("target"));
        assert_eq!(Some(kill.pid()), killed.and_then(|open| open.number("ppid")));
    }
    for name in ["inside", "by-child"] {
        assert!(seen.opens(name).iter().all(|open| open.number("tid") == Some(open.pid())));
    }
    for open in seen.opens("by-thread") {
        let tid = open.number("tid").unwrap();
        assert!((open.pid() + 1..open.pid() + 100).contains(&tid), "thread {tid} of {}", open.pid());
    }
    assert_eq!((2, 2), (seen.opens("by-thread").len(), seen.named("process.signal").count()));
    let starts: Vec<&Event> =
        seen.named("process.start").filter(|start| start.list("argv") == ["true"]).collect();
    assert!(starts.iter().all(|start| is_process(start.number("ppid"))));
    assert_eq!(60, starts.len());
}
