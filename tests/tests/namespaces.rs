//! Events of processes in other namespaces than the collector's. These tests run as root, and make some.

use std::collections::{BTreeMap, BTreeSet};

use glassbox_tests::artefacts::glassbox;
use glassbox_tests::child::{self, Status};
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

#[test]
fn children_of_programs_below_that_ended_at_once_are_seen_under_the_collectors_numbers() {
    let seen = sensed_in(&Scene::of("orphans", &[]).expecting(Expect::NothingLostBelow)).events;

    let processes: BTreeSet<(i64, i64)> = seen.iter().map(Event::process).collect();
    // main, the first process of the namespace, 24 programs and a child of each.
    assert_eq!(1 + 1 + 2 * 24, processes.len(), "{}", seen.outline());
    let exits = by_process(&seen, "process.exit");
    assert_eq!(processes, exits.keys().copied().collect());
    assert!(exits.values().all(|count| *count == 1));
    for number in 0..24 {
        let [early, late, gone] =
            ["early", "late", "gone"].map(|name| seen.opens(&format!("{name}-{number}")));
        if number % 2 == 1 {
            assert_eq!([0, 0, 1], [early.len(), late.len(), gone.len()]);
            continue;
        }
        assert_eq!([1, 1, 0], [early.len(), late.len(), gone.len()]);
        assert_eq!(early[0].process(), late[0].process());
        for open in [early[0], late[0]] {
            assert!(open.field("pid_ns").is_none() && !open.list("claimed").contains(&"pid"), "{open:?}");
        }
    }
}

/// `uid`, `uid_inside` and whether there is a mount namespace, of each event that opened `name`.
fn standpoints(events: &Events, name: &str) -> Vec<(Option<i64>, Option<i64>, bool)> {
    let of = |open: &Event| (open.number("uid"), open.number("uid_inside"), open.field("mnt_ns").is_some());
    events.opens(name).into_iter().map(of).collect()
}

#[test]
fn processes_of_other_user_and_mount_namespaces_show_their_user_there_and_the_mounts() {
    let seen = sensed_in(&Scene::of("apart", &[]).expecting(Expect::NothingLost)).events;

    for name in ["before-users", "before-mounts", "in-root", "outside"] {
        assert_eq!(vec![(Some(0), None, false)], standpoints(&seen, name), "{name}");
    }
    assert_eq!(vec![(Some(0), Some(65534), false)], standpoints(&seen, "unmapped"));
    for name in ["mapped", "by-grandchild"] {
        assert_eq!(vec![(Some(0), Some(5), false)], standpoints(&seen, name), "{name}");
    }
    let executed = vec![(Some(0), Some(5), false), (Some(0), None, true)];
    assert_eq!(executed, standpoints(&seen, "executed"));
    assert_eq!(vec![(Some(100_000), Some(0), true)], standpoints(&seen, "as-root"));
    assert_eq!(vec![(Some(100_003), Some(3), true)], standpoints(&seen, "as-3"));
    assert!(seen.iter().all(|event| event.list("claimed").is_empty()), "{}", seen.outline());

    // By the process itself, its child and its next program; the first program of `executed` is in ours.
    let own = std::fs::metadata("/proc/self/ns/mnt").map(|own| std::os::unix::fs::MetadataExt::ino(&own));
    let own = own.unwrap() as i64;
    let named: Vec<(i64, Option<i64>)> = seen
        .named("file.open")
        .filter_map(|open| Some((open, open.path().rsplit_once("mounts-")?.1.parse().ok()?)))
        .map(|(open, inode)| (inode, open.number("mnt_ns")))
        .collect();
    assert_eq!(4, named.len(), "{named:?}");
    assert!(
        named.iter().all(|(inode, told)| *told == Some(*inode).filter(|inode| *inode != own)),
        "{named:?}"
    );
    assert_eq!(3, named.iter().filter(|(_, told)| told.is_some()).count());
}

#[test]
fn programs_that_unshare_starts_show_where_they_stand() {
    // Each lives long enough to be looked at.
    let script = "sleep 0.1; : >FILE; sleep 0.1";
    for (index, (options, expected)) in [
        (&["-U", "-r"][..], (Some(0), None, false)),
        (&["-U"], (Some(0), Some(65534), false)),
        (&["-m"], (Some(0), None, true)),
        (&["-m", "-U", "--map-user=7"], (Some(0), Some(7), true)),
    ]
    .into_iter()
    .enumerate()
    {
        let scene = Scene::of("scripts", &[]);
        scene.clean();
        // Also a user without a number of its own there may write here.
        let mut mode = std::fs::metadata(scene.work()).unwrap().permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o777);
        std::fs::set_permissions(scene.work(), mode).unwrap();
        let mut command = scene.command(glassbox());
        command.args(["run", "-o", &scene.events_output(), "--", "unshare"]).args(options);
        command.args(["sh", "-c", &script.replace("FILE", &format!("made-{index}"))]);

        let ending = child::run(command, b"");

        assert_eq!(Status::Exited(0), ending.status, "{ending:?}");
        let seen = scene.events(Expect::default());
        assert_eq!(vec![expected], standpoints(&seen, &format!("made-{index}")), "{options:?}");
        // What it did before is told as it was.
        let start = seen.named("process.start").next().unwrap();
        assert_eq!((None, None), (start.field("uid_inside"), start.field("mnt_ns")), "{options:?}");
    }
}
