//! `duration_ns`: how long calls took.

use glassbox_tests::events::Event;
use glassbox_tests::scene::{sensed, sensed_on_musl, unnoticed};

#[test]
fn timed_calls_give_their_bare_results() {
    unnoticed("durations");
}

/// The calls of a kind, and how long they took.
fn taken<'a>(events: impl Iterator<Item = &'a Event>) -> Vec<(&'a str, Option<u64>)> {
    let duration =
        |event: &Event| event.number("duration_ns").map(|ns| u64::try_from(ns).expect("a duration"));
    events.map(|event| (event.call(), duration(event))).collect()
}

#[test]
fn sync_says_how_long_it_took_by_symbol_and_by_number() {
    for libc in [sensed as fn(&str, &[&str]) -> _, sensed_on_musl] {
        let seen = libc("durations", &["syncs"]).events;

        let syncs = taken(seen.named("file.sync"));
        let calls: Vec<&str> = syncs.iter().map(|(call, _)| *call).collect();
        assert_eq!(["fsync", "fdatasync", "sync_file_range", "syncfs", "fsync", "fsync", "sync"], *calls);
        assert!(syncs.iter().all(|(_, taken)| taken.is_some_and(|ns| ns > 0)), "{syncs:?}");
        let paths: Vec<bool> = seen.named("file.sync").map(|event| event.is_file("synced")).collect();
        assert_eq!([true, true, true, true, false, true, false], *paths);
        assert_eq!(Some("EBADF"), seen.named("file.sync").nth(4).and_then(|event| event.text("error")));
    }
}

#[test]
fn making_of_a_process_lasts_until_its_call_returns() {
    const CHILD_SLEEPS_NS: u64 = 30_000_000;
    for libc in [sensed as fn(&str, &[&str]) -> _, sensed_on_musl] {
        let seen = libc("durations", &["makes"]).events;

        let made = taken(seen.named("process.fork"));
        let of = |call| made.iter().find(|(known, _)| *known == call).and_then(|(_, taken)| *taken);
        assert!(of("vfork") >= Some(CHILD_SLEEPS_NS), "{made:?}");
        assert!(of("system") >= Some(CHILD_SLEEPS_NS), "{made:?}");
        assert!(
            of("fork").is_some_and(|ns| ns > 0) && of("posix_spawn").is_some_and(|ns| ns > 0),
            "{made:?}"
        );
    }
}

#[test]
fn program_that_was_executed_says_how_long_it_took_to_begin() {
    let seen = sensed("durations", &["makes"]).events;

    let begun: Vec<_> = seen
        .named("process.start")
        .filter(|event| event.path().ends_with("/true") || event.path().ends_with("/sleep"))
        .map(|event| (event.path().to_owned(), event.number("duration_ns")))
        .collect();
    assert_eq!(3, begun.len(), "{begun:?}");
    assert!(begun.iter().all(|(_, taken)| taken.is_some_and(|ns| ns > 0)), "{begun:?}");
}

#[test]
fn connect_says_how_long_it_took_unless_it_is_under_way() {
    let seen = sensed("durations", &["connects"]).events;

    let connects = seen.named("net.connect").filter(|event| event.text("remote") == Some("127.0.0.1:1"));
    let (pending, done): (Vec<_>, Vec<_>) = connects.partition(|event| event.field("pending").is_some());
    let done = taken(done.into_iter());
    assert!(done.len() >= 2 && done.iter().all(|(_, taken)| taken.is_some_and(|ns| ns > 0)), "{done:?}");
    assert!(taken(pending.into_iter()).iter().all(|(_, taken)| taken.is_none()));
    for kind in ["dns.query", "dns.reverse"] {
        let asked = taken(seen.named(kind));
        assert!(!asked.is_empty() && asked.iter().all(|(_, taken)| taken.is_some()), "{kind}: {asked:?}");
    }
}
