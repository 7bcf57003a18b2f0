//! Tests of the pipeline with simulated sensors.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam_channel::Receiver;
use serde_json::Value as Json;
use wire::events::{
    ChildStatus, DirChange, DnsQuery, FdDuped, FdDuplicate, FdRange, FileOpen, Kind, NetAccept, NetBind,
    NetConnect, NetSocket, ProcessExec,
};
use wire::fields::{Actions, Address, Answers, Args, Family, Hidden, OpenFlags, Path, Protocol, SocketType};
use wire::record::{Flags, Head};
use wire::ring::layout::MIN_DATA_LEN;
use wire::ring::reserve;

use super::simulated::{Harness, LONG, Sensor, brief, key, path, scribble};
use crate::arrival::HOLD_NS;
use crate::container::{Claim, Container};
use crate::door::identity::Identity;
use crate::door::news::{Attached, Flush, News, Turn, Unseen};
use crate::ids::{Instance, MonoNs, Pid};
use crate::launch::protocol::{CommandStarted, Reaped, RingId};
use crate::outputs::Output;
use crate::rings::ring::STUCK_NS;
use crate::sinks::OutputChange;
use crate::sinks::carrier::kind::Opening;

const CLOEXEC: u32 = 0o2_000_000;

fn started(pid: u32) -> (Harness, Sensor) {
    let mut harness = Harness::new();
    let sensor = Sensor::new(pid, MIN_DATA_LEN);
    sensor.start("/bin/prog", "/home/u");
    harness.attach(&sensor, 1);
    (harness, sensor)
}

#[test]
fn events_are_enriched_and_the_end_closes_what_was_open() {
    let (mut harness, sensor) = started(10);
    sensor.open(0, "a", 3, 0);
    sensor.count(0, 3, 100, 0);
    sensor.emit(0, &DirChange { path: path("../v") });
    sensor.open(0, "./b", 4, 1);
    sensor.close(0, 3);
    sensor.count(0, 4, 0, 7);
    harness.die(10, 3);
    harness.round();

    let events = harness.finish();

    assert_eq!(
        vec![
            "process.start 10 /bin/prog",
            "file.open 10 /home/u/a a",
            "file.open 10 /home/v/b ./b",
            "file.close 10 /home/u/a 100 0",
            "file.close 10 /home/v/b 0 7",
            "process.exit 10 3 6 4 0",
        ],
        brief(
            &events,
            &["path", "path_raw", "bytes_read", "bytes_written", "code", "calls", "events", "lost"]
        )
    );
    assert_eq!(
        vec![0, 1, 2, 3],
        events.iter().filter_map(|event| event["seq"].as_u64()).collect::<Vec<u64>>()
    );
    assert!(events.iter().all(|event| event["exe"] == "/bin/prog" && event["uid"] == 0));
}

#[test]
fn fork_child_inherits_descriptors_and_directory_and_keeps_them_apart() {
    let (mut harness, sensor) = started(10);
    sensor.open(0, "a", 3, 0);
    let slot = sensor.take_slot(11, 10);
    sensor.forked(0, 11);
    sensor.emit(slot, &FdDuplicate { fd: 3, target: 1, cloexec: Hidden(false) });
    sensor.close(slot, 3);
    sensor.emit(
        slot,
        &FileOpen {
            path: Path { dir: 1, raw: Some(b"x") },
            fd: None,
            flags: OpenFlags(0),
            mode: None,
            resolve: None,
        },
    );
    sensor.close(0, 3);
    harness.round();
    harness.die(11, 0);
    harness.round();

    let events = harness.finish();

    assert_eq!(
        vec![
            "process.start 10 /bin/prog",
            "file.open 10 /home/u/a",
            "process.fork 10 11",
            "fd.duplicate 11 /home/u/a",
            "file.close 11 /home/u/a",
            "file.open 11 /home/u/a/x",
            "file.close 10 /home/u/a",
            "process.exit 11 0",
        ],
        brief(&events, &["path", "child", "code"])
    );
    assert_eq!(0, sensor.ring.slot(slot).pid.load(Ordering::Relaxed));
    assert_eq!(0, sensor.ring.slot(slot).seq.load(Ordering::Relaxed));
}

#[test]
fn fork_child_that_another_program_adopted_has_nothing_from_that_one() {
    let (mut harness, sensor) = started(10);
    let adopter = Sensor::new(20, MIN_DATA_LEN);
    adopter.start("/bin/adopter", "/elsewhere");
    harness.attach(&adopter, 1);
    harness.round();
    // It asks for its parent when that one is gone.
    let slot = sensor.take_slot(11, 20);
    sensor.open(slot, "a", 3, 0);
    harness.round();

    let events = harness.finish();

    let open = events.iter().find(|event| event["event"] == "file.open").unwrap();
    assert_eq!(["/bin/prog", "/home/u/a"], [&open["exe"], &open["path"]]);
}

#[test]
fn processes_with_the_same_numbers_in_two_namespaces_end_each_in_its_own_way() {
    let mut harness = Harness::new();
    let sensors = [(7, 6 << 8), (8, 9)].map(|(pid_ns, status)| {
        let sensor = Sensor::new(1, MIN_DATA_LEN);
        sensor.start("/bin/prog", "/");
        harness.attach_in(&sensor, 0, pid_ns, None);
        sensor.forked(0, 5);
        harness.round();
        sensor.emit(0, &ChildStatus { child: 5, status, usage: None });
        (sensor, pid_ns)
    });
    harness.round();
    // Its number is given away again: one that ended in another namespace is none of this one's.
    sensors[0].0.forked(0, 6);
    harness.round();
    sensors[0].0.emit(0, &ChildStatus { child: 6, status: 0, usage: None });
    sensors[1].0.forked(0, 6);
    harness.round();
    sensors[1].0.emit(0, &ChildStatus { child: 6, status: 1 << 8, usage: None });
    harness.round();

    let events = harness.finish();

    let ends: Vec<&serde_json::Value> =
        events.iter().filter(|event| event["event"] == "process.exit").collect();
    let mut ends: Vec<String> = ends
        .iter()
        .map(|end| format!("{} {} {} {}", end["pid_ns"], end["pid"], end["code"], end["signal"]))
        .collect();
    ends.sort();
    assert_eq!(vec!["7 5 6 null", "7 6 0 null", "8 5 null 9", "8 6 1 null"], ends);
}

#[test]
fn what_a_parent_says_of_its_child_is_heard_though_everything_ends_with_it() {
    let mut harness = Harness::new();
    let sensor = Sensor::new(1, MIN_DATA_LEN);
    sensor.start("/bin/prog", "/");
    harness.attach_in(&sensor, 0, 7, None);
    let child = Sensor::new(5, MIN_DATA_LEN);
    child.start("/bin/leaf", "/");
    harness.attach_in(&child, 1, 7, None);
    harness.round();
    let index = harness.image(5);
    harness.end(index, MonoNs::now());
    sensor.emit(0, &ChildStatus { child: 5, status: 4 << 8, usage: None });

    let events = harness.finish();

    let end = events.iter().find(|event| event["event"] == "process.exit").unwrap();
    assert_eq!("5 4", format!("{} {}", end["pid"], end["code"]));
}

#[test]
fn end_has_the_time_of_the_wait_though_its_program_and_its_death_are_noticed_later() {
    let mut harness = Harness::new();
    let shell = Sensor::new(10, MIN_DATA_LEN);
    shell.start("/bin/sh", "/");
    harness.attach(&shell, 1);
    harness.round();
    let slot = shell.take_slot(20, 10);
    shell.forked(0, 20);
    shell.open(slot, "/of-child", 3, 0);
    harness.round();
    let leaf = Sensor::new(20, MIN_DATA_LEN);
    leaf.start("/bin/leaf", "/");
    shell.emit(0, &ChildStatus { child: 20, status: 3 << 8, usage: None });
    shell.open(0, "/next", 3, 0);

    harness.attach(&leaf, 10);
    let image = harness.image(20);
    harness.end(image, MonoNs::now());
    harness.round();
    let events = harness.finish();

    let of = |name: &str, pid: u32| {
        let found = events.iter().position(|event| event["event"] == name && event["pid"] == pid);
        found.unwrap_or_else(|| panic!("{name} of {pid}: {events:#?}"))
    };
    assert_eq!(3, events[of("process.exit", 20)]["code"]);
    assert!(of("process.start", 20) < of("process.exit", 20));
    assert!(of("process.exit", 20) < of("file.open", 10), "{events:#?}");
}

#[test]
fn wait_that_returned_before_a_process_was_born_tells_of_another_that_had_its_number() {
    for is_heard_first in [false, true] {
        let mut harness = Harness::new();
        let sensor = Sensor::new(1, MIN_DATA_LEN);
        sensor.start("/bin/prog", "/");
        harness.attach_in(&sensor, 0, 7, None);
        let head = sensor.head(0, Kind::ChildStatus);
        let wait = || sensor.write(0, head, &ChildStatus { child: 5, status: 9, usage: None });
        let child = Sensor::new(5, MIN_DATA_LEN);
        child.ring.slot(0).born_ns.store(MonoNs::now().0, Ordering::Relaxed);
        child.start("/bin/leaf", "/");
        if is_heard_first {
            harness.attach_in(&child, 1, 7, None);
            harness.round();
            wait();
        } else {
            wait();
            harness.round();
            harness.attach_in(&child, 1, 7, None);
        }
        harness.round();
        child.open(0, "/late", 3, 0);
        harness.round();
        let image = harness.image(5);
        let is_alive = harness.pipeline.census.get(image).unwrap().end.is_none();
        harness.end(image, MonoNs::now());
        harness.round();

        let events = harness.finish();

        assert!(is_alive);
        let of_child: Vec<String> =
            brief(&events, &["signal", "cause"]).into_iter().filter(|line| line.contains(" 5")).collect();
        assert_eq!(
            vec!["process.start 5", "file.open 5", "file.close 5", "process.exit 5 unknown"],
            of_child
        );
    }
}

fn claim(id: &str, is_certain: bool) -> Option<Claim> {
    Some(Claim { container: Arc::new(Container::with_id(id)), is_certain })
}

#[test]
fn container_is_the_kernels_then_the_process_own_then_what_it_says_then_its_parents() {
    let mut harness = Harness::new();
    let mut attach = |pid, ppid, claim| {
        let sensor = Sensor::new(pid, MIN_DATA_LEN);
        sensor.start("/bin/prog", "/");
        harness.attach_in(&sensor, ppid, 7, claim);
        harness.round();
        sensor
    };
    attach(1, 0, claim("own", false));
    attach(2, 1, None);
    attach(3, 99, None);
    attach(4, 1, claim("said", false));
    attach(1, 0, claim("changed", false));
    attach(1, 0, claim("kernels", true));

    let events = harness.finish();

    let containers: Vec<&str> = events
        .iter()
        .filter(|event| event["event"] == "process.start")
        .map(|event| event["container"]["id"].as_str().unwrap())
        .collect();
    assert_eq!(vec!["own", "own", "own", "said", "own", "kernels"], containers);
}

#[test]
fn name_that_comes_late_is_on_every_process_of_the_container() {
    let mut harness = Harness::new();
    let claim = claim("id", false);
    let sensor = Sensor::new(1, MIN_DATA_LEN);
    sensor.start("/bin/prog", "/");
    harness.attach_in(&sensor, 0, 7, claim.clone());
    sensor.forked(0, 2);
    harness.round();
    let before = claim.unwrap().container;
    let mut named = (*before).clone();
    named.set(1, "web");

    harness.pipeline.hear(News::Renamed(before, Arc::new(named)));
    let slot = sensor.take_slot(2, 1);
    sensor.open(slot, "/child", 3, 0);
    sensor.open(0, "/parent", 3, 0);
    harness.round();

    let events = harness.finish();
    let names: Vec<_> =
        events.iter().map(|event| (event["event"].as_str(), event["container"]["name"].as_str())).collect();
    assert_eq!(
        vec![
            (Some("process.start"), None),
            (Some("process.fork"), None),
            (Some("file.open"), Some("web")),
            (Some("file.open"), Some("web")),
        ],
        names
    );
}

#[test]
fn child_that_died_before_its_first_record_was_read_ends_once() {
    let (mut harness, sensor) = started(10);
    sensor.forked(0, 11);
    harness.round();
    let slot = sensor.take_slot(11, 10);
    sensor.open(slot, "/x", 3, 0);
    harness.die(11, 4);
    sensor.ring.slot(slot).exit_status.store(5, Ordering::Relaxed);
    harness.round();

    let events = harness.finish();

    assert_eq!(
        vec!["process.start 10", "process.fork 10", "file.open 11", "file.close 11", "process.exit 11 4 1"],
        brief(&events, &["code", "events"])
    );
}

#[test]
fn silent_child_that_took_its_slot_late_ends_once_and_gives_it_back() {
    let (mut harness, sensor) = started(10);
    sensor.forked(0, 11);
    harness.round();
    let slot = sensor.take_slot(11, 10);
    sensor.ring.slot(slot).exit_status.store(5, Ordering::Relaxed);
    harness.die(11, 4);
    harness.round();
    let taken_by = sensor.ring.slot(slot).pid.load(Ordering::Relaxed);

    let events = harness.finish();

    assert_eq!(0, taken_by);
    assert_eq!(vec!["process.start 10", "process.fork 10", "process.exit 11 4"], brief(&events, &["code"]));
}

#[test]
fn exec_closes_cloexec_descriptors_and_carries_the_others_with_their_counters() {
    let (mut harness, shell) = started(10);
    shell.open(0, "kept", 5, 0);
    let slot = shell.take_slot(11, 10);
    shell.forked(0, 11);
    shell.open(slot, "gone", 3, CLOEXEC);
    shell.open(slot, "log", 4, 0);
    shell.count(slot, 4, 0, 10);
    harness.round();
    let program = Sensor::new(11, MIN_DATA_LEN);
    program.start("/bin/other", "/home/u");
    harness.attach(&program, 10);
    program.count(0, 4, 0, 5);
    program.close(0, 4);
    program.close(0, 5);
    harness.round();
    harness.die(11, 0);
    harness.round();

    let events = harness.finish();

    assert_eq!(
        vec![
            "process.start 10 /bin/prog",
            "file.open 10 /home/u/kept",
            "process.fork 10",
            "file.open 11 /home/u/gone",
            "file.open 11 /home/u/log",
            "file.close 11 /home/u/gone 0",
            "process.start 11 /bin/other",
            "file.close 11 /home/u/log 15",
            "file.close 11 /home/u/kept 0",
            "process.exit 11 0 5",
        ],
        brief(&events, &["path", "bytes_written", "code", "events"])
    );
    assert_eq!("/bin/prog", events[5]["exe"]);
    assert_eq!(0, shell.ring.slot(slot).pid.load(Ordering::Relaxed));
}

/// A shell whose child executed a program that said hello, ended, and was known to be dead before its hello
/// was read.
#[test]
fn program_whose_hello_is_heard_before_its_parents_is_one_process_with_what_it_was_forked_as() {
    for has_died in [false, true] {
        program_is_heard_before_its_parent(has_died);
    }
}

fn program_is_heard_before_its_parent(has_died: bool) {
    let mut harness = Harness::new();
    let shell = Sensor::new(10, MIN_DATA_LEN);
    shell.start("/bin/sh", "/home/u");
    let slot = shell.take_slot(11, 10);
    shell.forked(0, 11);
    shell.open(slot, "log", 4, 0);
    let program = Sensor::new(11, MIN_DATA_LEN);
    program.start("/bin/other", "/home/u");
    program.close(0, 4);
    harness.attach(&program, 10);
    if has_died {
        harness.die(11, 3);
    }
    harness.attach(&shell, 1);
    harness.round();
    if !has_died {
        harness.die(11, 3);
    }
    harness.round();

    let events = harness.finish();

    assert_eq!(
        vec![
            "process.start 10 /bin/sh",
            "process.fork 10",
            "file.open 11 /home/u/log",
            "process.start 11 /bin/other",
            "file.close 11 /home/u/log",
            "process.exit 11 3 3",
        ],
        brief(&events, &["path", "code", "events"])
    );
}

fn late_hello(born_after_death: bool) -> Vec<serde_json::Value> {
    let (mut harness, shell) = started(10);
    let slot = shell.take_slot(11, 10);
    shell.forked(0, 11);
    shell.open(slot, "before", 4, 0);
    harness.round();
    let index = harness.image(11);
    let this_process = rustix::process::getpid();
    harness.pipeline.census.get_mut(index).unwrap().pidfd =
        Some(rustix::process::pidfd_open(this_process, rustix::process::PidfdFlags::empty()).unwrap());
    harness.pipeline.order.frontier.set_heard(MonoNs::ZERO, MonoNs::MAX);
    let noticed = MonoNs::now();
    harness.end(index, noticed);
    harness.pipeline.round(noticed.plus(STUCK_NS / 2));

    let program = Sensor::new(11, MIN_DATA_LEN);
    program
        .ring
        .slot(0)
        .born_ns
        .store(if born_after_death { noticed.0 + 1 } else { noticed.0 }, Ordering::Relaxed);
    program.start("/bin/other", "/home/u");
    program.open(0, "after", 5, 0);
    harness.attach(&program, 10);
    harness.pipeline.order.frontier.set_heard(MonoNs::MAX, MonoNs::MAX);
    harness.die(11, 0);
    harness.round();
    harness
        .finish()
        .into_iter()
        .filter(|event| event["event"] == "process.exit" && event["pid"] == 11)
        .collect()
}

#[test]
fn hello_that_is_heard_after_its_process_died_continues_the_process() {
    let exits = late_hello(false);

    assert_eq!(vec!["process.exit 11 3"], brief(&exits, &["events"]));
}

#[test]
fn hello_of_a_ring_made_after_the_death_is_another_process() {
    let exits = late_hello(true);

    assert_eq!(2, exits.len());
}

#[test]
fn range_duplicates_and_standard_streams_are_followed() {
    let (mut harness, sensor) = started(10);
    sensor.open(0, "a", 3, 0);
    sensor.emit(0, &FdDuped { fd: 3, target: 2000, cloexec: false });
    sensor.emit(0, &FdRange { first: 3, last: 100, cloexec: false });
    sensor.emit(0, &FdDuplicate { fd: 2000, target: 2, cloexec: Hidden(false) });
    sensor.emit(0, &FdDuplicate { fd: 3, target: 1, cloexec: Hidden(false) });
    harness.round();

    let events = harness.finish();

    assert_eq!(
        vec![
            "process.start 10",
            "file.open 10 /home/u/a",
            "fd.duplicate 10 /home/u/a 2",
            "fd.duplicate 10 1"
        ],
        brief(&events, &["path", "target"])
            .iter()
            .map(|line| line.replace(" /bin/prog", ""))
            .collect::<Vec<_>>()
    );
}

#[test]
fn duplicate_of_a_socket_shows_both_ends_and_who_connected() {
    let (mut harness, sensor) = started(10);
    let address = |port: u8, last: u8| {
        let mut bytes = (libc::AF_INET as u16).to_ne_bytes().to_vec();
        bytes.extend_from_slice(&[0, port, 192, 0, 2, last]);
        bytes.resize(16, 0);
        bytes
    };
    let (own, peer) = (address(80, 1), address(90, 2));
    let tcp = NetSocket {
        fd: Some(3),
        family: Family(libc::AF_INET),
        r#type: SocketType(libc::SOCK_STREAM),
        protocol: Protocol(0),
    };
    sensor.emit(0, &tcp);
    sensor.emit(
        0,
        &NetConnect { fd: 3, remote: Address(&peer), own: Hidden(Address(&own)), began_ns: Hidden(0) },
    );
    sensor.emit(0, &FdDuplicate { fd: 3, target: 0, cloexec: Hidden(false) });
    sensor.emit(0, &NetSocket { fd: Some(4), ..tcp });
    sensor.emit(0, &NetBind { fd: 4, local: Address(&own) });
    sensor.emit(0, &NetAccept { fd: Some(5), remote: Address(&peer), listener: Hidden(4) });
    sensor.emit(0, &FdDuplicate { fd: 5, target: 1, cloexec: Hidden(false) });
    harness.round();

    let duplicates: Vec<_> =
        harness.finish().into_iter().filter(|event| event["event"] == "fd.duplicate").collect();

    for (duplicate, is_accepted) in duplicates.iter().zip([false, true]) {
        assert_eq!("192.0.2.1:80", duplicate["local"]);
        assert_eq!("192.0.2.2:90", duplicate["remote"]);
        assert_eq!(is_accepted, duplicate["accepted"]);
    }
    assert_eq!(2, duplicates.len());
}

#[test]
fn connect_shows_the_name_last_resolved_and_pending_is_no_error() {
    let (mut harness, sensor) = started(10);
    let mut remote = (libc::AF_INET as u16).to_ne_bytes().to_vec();
    remote.extend_from_slice(&[1, 187, 192, 0, 2, 7]);
    remote.resize(16, 0);
    let tcp = NetSocket {
        fd: Some(3),
        family: Family(libc::AF_INET),
        r#type: SocketType(libc::SOCK_STREAM | libc::SOCK_CLOEXEC),
        protocol: Protocol(0),
    };
    sensor.emit(
        0,
        &DnsQuery { host: Some(b"example.org"), answers: Answers(&[4, 192, 0, 2, 7]), began_ns: Hidden(0) },
    );
    sensor.emit(0, &tcp);
    let head = sensor.head(0, Kind::NetConnect);
    let pending = Head { ret: -1, errno: libc::EINPROGRESS as u16, ..head };
    sensor.write(
        0,
        pending,
        &NetConnect { fd: 3, remote: Address(&remote), own: Hidden(Address(&[])), began_ns: Hidden(0) },
    );
    sensor.close(0, 3);
    harness.round();

    let events = harness.finish();

    let connect = &events[3];
    assert_eq!("192.0.2.7:443", connect["remote"]);
    assert_eq!("example.org", connect["host"]);
    assert_eq!(true, connect["pending"]);
    assert_eq!(["SOCK_STREAM", "IPPROTO_IP"], [&connect["type"], &connect["protocol"]]);
    assert!(connect.get("error").is_none());
    assert_eq!("net.close", events[4]["event"]);
    assert_eq!("192.0.2.7:443", events[4]["remote"]);
    assert_eq!("SOCK_STREAM", events[4]["type"]);
}

#[test]
fn protocol_has_a_name_in_the_families_of_the_internet_only() {
    let (mut harness, sensor) = started(10);
    for (fd, family) in [(3, libc::AF_INET6), (4, libc::AF_NETLINK)] {
        let socket = NetSocket {
            fd: Some(fd),
            family: Family(family),
            r#type: SocketType(libc::SOCK_RAW),
            protocol: Protocol(6),
        };
        sensor.emit(0, &socket);
    }
    sensor.close(0, 4);
    harness.round();

    let events = harness.finish();

    let protocols: Vec<_> = events[1..4].iter().map(|event| event["protocol"].clone()).collect();
    assert_eq!(vec![serde_json::json!("IPPROTO_TCP"), 6.into(), 6.into()], protocols);
}

#[test]
fn events_of_two_processes_come_by_time() {
    let mut harness = Harness::new();
    let sensors = [Sensor::new(10, MIN_DATA_LEN), Sensor::new(11, MIN_DATA_LEN)];
    for sensor in &sensors {
        sensor.start("/bin/prog", "/");
    }
    for number in 0..100 {
        sensors[number % 2].open(0, &format!("/{number}"), 3, 0);
    }
    for sensor in &sensors {
        harness.attach(sensor, 1);
    }
    harness.round();

    let events = harness.finish();

    let paths: Vec<&str> = events[2..].iter().filter_map(|event| event["path"].as_str()).collect();
    let expected: Vec<String> = (0..100).map(|number| format!("/{number}")).collect();
    assert_eq!(expected, paths);
}

#[test]
fn records_of_several_processes_are_held_back_for_a_moment() {
    let mut harness = Harness::new();
    let sensors = [Sensor::new(10, MIN_DATA_LEN), Sensor::new(11, MIN_DATA_LEN)];
    for sensor in &sensors {
        harness.attach(sensor, 1);
    }
    sensors[0].start("/bin/prog", "/");

    harness.pipeline.round(MonoNs::now());
    let at_once = harness.pipeline.order.waiting().len();
    harness.pipeline.round(MonoNs::now().plus(HOLD_NS));
    let later = harness.pipeline.order.waiting().len();

    assert_eq!((1, 0), (at_once, later));
    assert_eq!(1, harness.finish().len());
}

#[test]
fn full_ring_is_told_with_count_and_reason_and_the_ledger_is_even() {
    let (mut harness, sensor) = started(10);
    for _ in 0..5000 {
        sensor.emit(
            0,
            &FileOpen { path: path("/x"), fd: None, flags: OpenFlags(0), mode: None, resolve: None },
        );
    }
    harness.round();
    harness.die(10, 0);
    harness.round();

    let events = harness.finish();

    let delivered = events.iter().filter(|event| event["seq"].is_u64()).count() as u64;
    let loss = events.iter().find(|event| event["event"] == "sensor.loss").unwrap();
    let exit = events.last().unwrap();
    assert_eq!("ring_full", loss["reason"]);
    assert_eq!(5001, delivered + loss["count"].as_u64().unwrap());
    assert_eq!(5001, exit["events"].as_u64().unwrap() + exit["lost"].as_u64().unwrap());
    assert_eq!(exit["lost"], loss["count"]);
}

#[test]
fn record_of_a_dead_writer_is_skipped_and_counted_and_what_follows_is_read() {
    let (mut harness, sensor) = started(10);
    let slot = sensor.take_slot(11, 10);
    sensor.forked(0, 11);
    sensor.open(slot, "/before", 3, 0);
    // The child is killed between reserving and committing.
    sensor.head(slot, Kind::FileOpen);
    let _never_committed = reserve(&sensor.ring, slot, 100).unwrap();
    sensor.open(0, "/after", 3, 0);
    harness.round();
    let before = harness.pipeline.rings.iter().next().unwrap().1.is_stuck();
    harness.die(11, 0);
    harness.round();
    harness.round();

    let events = harness.finish();

    assert!(before);
    assert_eq!(
        vec![
            "process.start 10",
            "process.fork 10",
            "file.open 11 /before",
            "file.open 10 /after",
            "file.close 11 /before",
            "sensor.loss 11 1 killed_writer",
            "process.exit 11",
        ],
        {
            let mut lines = brief(&events, &["path", "count", "reason"]);
            lines.iter_mut().for_each(|line| *line = line.replace(" /bin/prog", ""));
            lines
        }
    );
}

#[test]
fn record_that_a_living_writer_does_not_finish_is_given_up_after_a_second() {
    let (mut harness, sensor) = started(10);
    sensor.head(0, Kind::FileOpen);
    let _never_committed = reserve(&sensor.ring, 0, 100).unwrap();
    sensor.open(0, "/after", 3, 0);
    let now = MonoNs::now();
    harness.pipeline.round(now);
    harness.pipeline.round(now.plus(STUCK_NS / 2));
    let early = harness.pipeline.enricher.batch.events.len() + harness.pipeline.order.waiting().len();
    harness.pipeline.round(now.plus(STUCK_NS + 1));

    let events = harness.finish();

    assert_eq!(0, early);
    let reasons: Vec<&str> = events.iter().filter_map(|event| event["reason"].as_str()).collect();
    assert_eq!(
        vec!["killed_writer"],
        reasons.iter().filter(|reason| **reason != "hooked").copied().collect::<Vec<_>>()
    );
    assert!(events.iter().any(|event| event["path"] == "/after"));
}

#[test]
fn scribbled_ring_costs_only_its_own_processes_events() {
    let healthy = Sensor::new(20, MIN_DATA_LEN);
    healthy.start("/bin/healthy", "/");
    for seed in 1..200 {
        let (mut harness, sensor) = started(10);
        for number in 0..50 {
            sensor.open(0, &format!("/{number}"), number, 0);
        }
        scribble(&sensor, seed);
        let healthy = Sensor::new(20, MIN_DATA_LEN);
        healthy.start("/bin/healthy", "/");
        harness.attach(&healthy, 1);
        healthy.open(0, "/fine", 3, 0);

        let now = MonoNs::now();
        for step in 0..4 {
            harness.pipeline.round(now.plus(step * STUCK_NS));
        }
        if harness.pipeline.census.live(key(10)).is_some() {
            harness.die(10, 0);
        }
        harness.die(20, 0);
        for step in 4..7 {
            harness.pipeline.round(now.plus(step * STUCK_NS));
        }
        let events = harness.finish();

        let fine: Vec<String> = brief(&events, &["path", "code"])
            .into_iter()
            .filter(|line| line.contains(" 20"))
            .filter(|line| !line.starts_with("sensor"))
            .collect();
        let expected = vec![
            "process.start 20 /bin/healthy",
            "file.open 20 /fine",
            "file.close 20 /fine",
            "process.exit 20 0",
        ];
        assert_eq!(expected, fine, "seed {seed}");
    }
}

#[test]
fn record_that_does_not_decode_is_counted_and_the_next_is_read() {
    let (mut harness, sensor) = started(10);
    let bad = Head { kind: Kind::NetBind as u16, ..sensor.head(0, Kind::NetBind) };
    sensor.write(0, bad, &ChildStatus { child: 1, status: -1, usage: None });
    let unknown = Head { kind: 9999, ..sensor.head(0, Kind::NetBind) };
    sensor.write(0, unknown, &ChildStatus { child: 1, status: -1, usage: None });
    let unstamped = Head { flags: 0, ..sensor.head(0, Kind::DirChange) };
    sensor.write(0, unstamped, &DirChange { path: path("/d") });
    sensor.open(0, "x", 3, 0);
    harness.round();

    let events = harness.finish();

    assert_eq!(
        vec!["process.start /bin/prog", "file.open /d/x", "sensor.loss 2 corrupt_ring"],
        brief(&events, &["path", "count", "reason"])
            .iter()
            .map(|line| line.replace(" 10", ""))
            .collect::<Vec<_>>()
    );
}

#[test]
fn cut_strings_are_marked() {
    let (mut harness, sensor) = started(10);
    let long = "y".repeat(LONG / 2);
    let head = sensor.head(0, Kind::FileOpen);
    let cut = Head { flags: head.flags | Flags::TRUNCATED, ..head };
    sensor.write(
        0,
        cut,
        &FileOpen { path: path(&long), fd: None, flags: OpenFlags(0), mode: None, resolve: None },
    );
    harness.round();

    let events = harness.finish();

    assert_eq!(true, events[1]["truncated"]);
}

#[test]
fn inherited_ring_goes_on_and_what_the_dead_collector_swallowed_is_told() {
    let (mut first, sensor) = started(10);
    for number in 0..10 {
        sensor.open(0, &format!("/{number}"), number, 0);
    }
    first.round();
    while sensor.ring.slot(0).delivered.load(Ordering::Relaxed) < 11 {
        std::thread::sleep(std::time::Duration::from_millis(1));
        first.pipeline.note_written();
    }
    // It dies with three records read, but not delivered.
    for number in 10..13 {
        sensor.open(0, &format!("/{number}"), number, 0);
    }
    let mut reader = wire::ring::Reader::new(sensor.ring);
    let mut record = vec![0; LONG];
    for _ in 0..3 {
        reader.next(&mut record);
    }
    reader.release();
    sensor.open(0, "/13", 13, 0);

    let mut second = Harness::new();
    let attached = Attached { is_inherited: true, ..sensor.attached(1) };
    second.pipeline.attach(attached);
    second.round();
    second.die(10, 0);
    second.round();
    let events = second.finish();

    assert_eq!("file.open 10 /13", brief(&events, &["path"])[0]);
    let loss = events.iter().find(|event| event["event"] == "sensor.loss").unwrap();
    assert_eq!(
        "3 collector_died",
        brief(std::slice::from_ref(loss), &["count", "reason"])[0].replace("sensor.loss 10 ", "")
    );
    let exit = events.last().unwrap();
    assert_eq!((12, 3), (exit["events"].as_u64().unwrap(), exit["lost"].as_u64().unwrap()));
    drop(first);
}

#[test]
fn idle_ring_gives_its_memory_back_and_works_on() {
    let (mut harness, sensor) = started(10);
    let blocks = |sensor: &Sensor| rustix::fs::fstat(&sensor.memfd).unwrap().st_blocks;
    let fill = |sensor: &Sensor| {
        for number in 0..500 {
            sensor.open(0, &format!("/{number}{}", "z".repeat(150)), 3, 0);
        }
    };
    let now = MonoNs::now();
    for _ in 0..3 {
        fill(&sensor);
        harness.pipeline.round(now);
    }
    let used = blocks(&sensor);
    harness.pipeline.round(now.plus(3 * STUCK_NS));
    let idle = blocks(&sensor);
    fill(&sensor);
    harness.pipeline.round(now.plus(4 * STUCK_NS));

    let events = harness.finish();

    assert!(idle * 4 < used, "{used} {idle}");
    assert_eq!(2001, events.len());
}

/// How fast events go from a ring through everything into a sink, in processor time of the collector.
///
/// `cargo test --release -p glassbox pipeline_throughput -- --ignored --nocapture --test-threads=1`
#[test]
#[ignore = "a measurement"]
fn pipeline_throughput() {
    use rustix::time::{ClockId, clock_gettime};
    let seconds = |clock| {
        let time = clock_gettime(clock);
        time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
    };
    for (name, format, processes) in [
        ("summary", "summary", 1),
        ("recording", "recording", 1),
        ("jsonl", "jsonl", 1),
        ("recording, eight processes", "recording", 8),
    ] {
        let mut harness = Harness::with_output(format, "/dev/null".into());
        let sensors: Vec<Sensor> = (0..processes).map(|number| Sensor::new(10 + number, 4 << 20)).collect();
        for sensor in &sensors {
            sensor.start("/usr/bin/python3.11", "/home/user/project");
            harness.attach(sensor, 1);
        }
        let (mut events, mut writing, mut rounds) = (0_u64, 0.0, 0_u64);
        let begun = seconds(ClockId::ProcessCPUTime);
        while events < 2_000_000 {
            let before = seconds(ClockId::ThreadCPUTime);
            for number in 0..5000 {
                let fd = 3 + number % 16;
                let sensor = &sensors[number as usize % sensors.len()];
                sensor.open(0, "/usr/lib/python3.11/encodings/utf_8.py", fd, CLOEXEC);
                sensor.close(0, fd);
            }
            events += 10_000;
            writing += seconds(ClockId::ThreadCPUTime) - before;
            while harness.pipeline.rings.iter().any(|(_, ring)| !ring.has_read(ring.track.tail())) {
                harness.pipeline.round(MonoNs::now());
                rounds += 1;
            }
            while !harness.pipeline.outbox.outlets().has_room() {
                std::thread::sleep(std::time::Duration::from_micros(200));
            }
        }
        let drained = seconds(ClockId::ProcessCPUTime) - begun - writing;
        let dropped: u64 = harness.pipeline.outbox.outlets().dropped().sum();
        harness.pipeline.finish();
        harness.pipeline.outbox.into_outlets().close(crate::sinks::RunFacts::default());
        let all = seconds(ClockId::ProcessCPUTime) - begun - writing;
        println!(
            "{name}: {:.2} M events/s of one core ({:.0} ns each; without the sink's rest {:.0}), {rounds} rounds, \
             {dropped} dropped",
            events as f64 / all / 1e6,
            all * 1e9 / events as f64,
            drained * 1e9 / events as f64
        );
    }
}

#[test]
fn program_that_never_says_hello_is_blind() {
    let (mut harness, sensor) = started(10);
    let exec = |program| ProcessExec {
        path: path(program),
        argv: Args::Packed(b"x\0of\0many\0"),
        argc: Some(5),
        actions: Actions(&[]),
        flags: None,
    };
    let before = |slot| Head { flags: Flags::STAMPED, ..sensor.head(slot, Kind::ProcessExec) };
    // One exec that fails, one by posix_spawn whose child says nothing, one by a fork child.
    sensor.write(0, before(0), &exec("/none"));
    let failed = Head { ret: -1, errno: libc::ENOENT as u16, ..sensor.head(0, Kind::ProcessExec) };
    sensor.write(0, failed, &exec("/none"));
    sensor.write(0, before(0), &exec("/spawned"));
    sensor.forked(0, 11);
    let slot = sensor.take_slot(12, 10);
    sensor.forked(0, 12);
    sensor.write(slot, before(slot), &exec("/executed"));
    harness.round();
    for pid in [11, 12, 10] {
        if harness.pipeline.census.live(key(pid)).is_some() {
            harness.die(pid, 0);
        }
    }
    harness.round();

    let events = harness.finish();

    let blind: Vec<String> = brief(&events, &["path", "reason", "exe", "argv", "argc", "truncated"])
        .into_iter()
        .filter(|line| line.starts_with("sensor.blind"))
        .collect();
    let times = |of: &[&str]| -> Vec<&str> {
        let is_one = |event: &&Json| of.contains(&event["event"].as_str().unwrap());
        let are_theirs = |event: &&Json| event["path"] == "/spawned" || event["path"] == "/executed";
        events.iter().filter(is_one).filter(are_theirs).map(|event| event["time"].as_str().unwrap()).collect()
    };
    assert_eq!(times(&["process.exec"]), times(&["sensor.blind"]));
    assert_eq!(
        vec![
            "sensor.blind 11 /spawned unreadable /spawned [\"x\",\"of\",\"many\"] 5 true",
            "sensor.blind 12 /executed unreadable /executed [\"x\",\"of\",\"many\"] 5 true"
        ],
        blind
    );
}

#[test]
fn bytes_of_a_datagram_socket_with_several_peers_name_no_single_one() {
    let (mut harness, sensor) = started(10);
    let socket = |fd, kind| NetSocket {
        fd: Some(fd),
        family: Family(libc::AF_INET),
        r#type: SocketType(kind),
        protocol: Protocol(0),
    };
    let connect = |fd, port| {
        let remote = [2, 0, 0, port, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        sensor.emit(
            0,
            &NetConnect { fd, remote: Address(&remote), own: Hidden(Address(&[])), began_ns: Hidden(0) },
        );
    };
    for (fd, kind) in [(3, libc::SOCK_DGRAM), (4, libc::SOCK_DGRAM), (5, libc::SOCK_STREAM)] {
        sensor.emit(0, &socket(fd, kind));
        connect(fd, 7);
        if fd != 4 {
            connect(fd, 8);
        }
        connect(fd, 7);
        sensor.close(0, fd);
    }
    harness.round();

    let events = harness.finish();

    let closes: Vec<String> = brief(&events, &["fd", "remote", "remotes", "peers"])
        .into_iter()
        .filter(|line| line.starts_with("net.close"))
        .collect();
    assert_eq!(
        vec![
            "net.close 10 3 [\"127.0.0.1:7\",\"127.0.0.1:8\"] 2",
            "net.close 10 4 127.0.0.1:7",
            "net.close 10 5 127.0.0.1:7",
        ],
        closes
    );
}

#[test]
fn end_that_a_wait_told_of_before_it_was_noticed_has_the_time_of_the_wait() {
    let (mut harness, sensor) = started(10);
    sensor.forked(0, 11);
    harness.round();
    let child = harness.image(11);
    // Any that lives: the wait is no death as long as the kernel may still tell of it.
    let pidfd = crate::system::procfs::open(std::process::id());
    harness.pipeline.census.get_mut(child).unwrap().pidfd = pidfd;

    sensor.emit(0, &ChildStatus { child: 11, status: 0, usage: None });
    sensor.open(0, "/after", 3, 0);
    harness.round();
    std::thread::sleep(std::time::Duration::from_millis(2));
    harness.die(11, 0);
    harness.round();
    let events = harness.finish();

    let time =
        |is_it: &dyn Fn(&Json) -> bool| events.iter().find(|event| is_it(event)).unwrap()["time"].clone();
    let (ended, after) = (
        time(&|event| event["event"] == "process.exit" && event["pid"] == 11),
        time(&|event| event["path"] == "/after"),
    );
    // Not earlier than what was told before, and not when it was noticed.
    assert_eq!(after, ended);
}

#[test]
fn program_that_says_that_it_cannot_report_has_the_arguments_of_its_exec_and_is_told_of_once() {
    for is_dead in [false, true] {
        let (mut harness, sensor) = started(10);
        harness.round();
        let exec = ProcessExec {
            path: path("/bin/full"),
            argv: Args::Packed(b"full\0x\0"),
            argc: None,
            actions: Actions(&[]),
            flags: None,
        };
        sensor.write(0, Head { flags: Flags::STAMPED, ..sensor.head(0, Kind::ProcessExec) }, &exec);

        let instance = Some(Instance(9));
        let image = harness.image(10);
        harness.pipeline.census.get_mut(image).unwrap().instance = instance;
        let identity = Identity { key: key(10), ppid: Some(Pid(1)), instance, ..Identity::default() };
        let (exe, reason, next_ring) = (b"/bin/full".to_vec(), "fd_limit", RingId::MAX);
        let unseen = Unseen { identity, exe, reason, next_ring, ..Unseen::default() };
        harness.pipeline.hear(News::Blind(Box::new(unseen)));
        if is_dead {
            harness.die(10, 0);
        }
        harness.round();
        if !is_dead {
            harness.die(10, 0);
        }
        let events = harness.finish();

        assert_eq!(
            vec![
                "process.start 10 /bin/prog /bin/prog [\"prog\"]",
                "process.exec 10 /bin/prog /bin/full [\"full\",\"x\"]",
                "sensor.blind 10 /bin/full /bin/full [\"full\",\"x\"] fd_limit",
                "process.exit 10 /bin/full",
            ],
            brief(&events, &["exe", "path", "argv", "reason"])
        );
    }
}

#[test]
fn word_of_a_program_that_it_cannot_be_seen_into_changes_no_other_image() {
    let shown = |said: Option<Instance>, next_ring: RingId| {
        let (mut harness, sensor) = started(10);
        harness.round();
        let image = harness.image(10);
        harness.pipeline.census.get_mut(image).unwrap().instance = Some(Instance(9));
        harness.pipeline.census.process_mut(image).unwrap().claim_exe(false);
        let identity = Identity { key: key(10), ppid: Some(Pid(1)), instance: said, ..Identity::default() };
        let (exe, reason) = (b"/usr/sbin/sshd".to_vec(), "fd_limit");
        let unseen = Unseen { identity, exe, reason, next_ring, ..Unseen::default() };
        harness.pipeline.hear(News::Blind(Box::new(unseen)));
        harness.round();
        sensor.open(0, "/later", 3, 0);
        harness.round();
        let events = harness.finish();
        let open = events.iter().find(|event| event["path"] == "/later").unwrap();
        format!("{} {}", open["exe"], open["claimed"])
    };

    // It is the process's own word only; and no word of another process, or of a program before this one.
    assert_eq!("\"/usr/sbin/sshd\" [\"euid\",\"exe\"]", shown(Some(Instance(9)), RingId::MAX));
    assert_eq!("\"/bin/prog\" [\"euid\"]", shown(Some(Instance(8)), RingId::MAX));
    assert_eq!("\"/bin/prog\" [\"euid\"]", shown(None, RingId::MAX));
    assert_eq!("\"/bin/prog\" [\"euid\"]", shown(Some(Instance(9)), 0));
}

#[test]
fn arguments_that_are_asked_for_and_taken_back_leave_no_debt() {
    let (mut harness, sensor) = started(10);
    let argv = vec![b'x'; 4096];
    let exec = ProcessExec {
        path: path("/none"),
        argv: Args::Packed(&argv),
        argc: None,
        actions: Actions(&[]),
        flags: None,
    };
    let held = |harness: &Harness| {
        let image = harness.pipeline.census.get(harness.image(10)).unwrap();
        image.asked.is_some().then(|| image.memory_bytes())
    };

    let mut helds = Vec::new();
    for _ in 0..3 {
        let before = Head { flags: Flags::STAMPED, ..sensor.head(0, Kind::ProcessExec) };
        sensor.write(0, before, &exec);
        harness.round();
        helds.push(held(&harness).unwrap());
        let failed = Head { ret: -1, errno: libc::ENOENT as u16, ..sensor.head(0, Kind::ProcessExec) };
        sensor.write(0, failed, &exec);
        harness.round();
    }

    assert!(helds[0] >= 4096 && helds.iter().all(|held| *held == helds[0]), "{helds:?}");
}

/// CMD under the number 10, which began 1 ms ago.
fn command() -> CommandStarted {
    CommandStarted {
        pid: 10,
        began_ns: MonoNs::now().minus(1_000_000).0,
        argc: None,
        path: b"/nonexistent/prog".to_vec(),
        argv: b"prog\0x y\0".to_vec(),
    }
}

fn command_ends(harness: &mut Harness) {
    let (pid, wait_status, user_us, system_us, max_rss_kib) = (10, 3 << 8, 2, 0, 1);
    let reaped = Reaped { pid, wait_status, user_us, system_us, max_rss_kib, is_command: true };
    harness.pipeline.hear(News::Exited(reaped));
}

#[test]
fn command_that_never_says_hello_is_blind_and_ends() {
    let command = |hello: bool| {
        let mut harness = Harness::new();
        harness.pipeline.hear(News::Command(Box::new(command())));
        let sensor = Sensor::new(10, MIN_DATA_LEN);
        if hello {
            sensor.start("/bin/prog", "/home/u");
            harness.attach_visible(&sensor, 1);
        }
        command_ends(&mut harness);
        harness.finish()
    };
    let fields = ["path", "reason", "argv", "code", "user_ns", "max_rss"];

    let blind = command(false);

    assert_eq!(
        vec![
            "sensor.blind 10 /nonexistent/prog not_loaded [\"prog\",\"x y\"]",
            "process.exit 10 3 2000 1024"
        ],
        brief(&blind, &fields)
    );
    let [began, ended] = [0, 1].map(|index| blind[index]["time"].as_str().unwrap());
    assert!(began < ended, "{began} {ended}");
    assert_eq!(
        vec!["process.start 10 /bin/prog [\"prog\"]", "process.exit 10 3 2000 1024"],
        brief(&command(true), &fields)
    );
}

#[test]
fn command_that_never_says_hello_is_told_of_before_its_children() {
    let child = |is_first: bool| {
        let mut harness = Harness::new();
        // No process of ours has such a number: pid_max is at most 4194304 (proc(5)).
        let sensor = Sensor::new(5_000_000, MIN_DATA_LEN);
        sensor.start("/bin/child", "/home/u");
        if is_first {
            harness.attach_visible(&sensor, 10);
        }
        harness.pipeline.hear(News::Command(Box::new(command())));
        if !is_first {
            harness.attach_visible(&sensor, 10);
        }
        harness.round();
        command_ends(&mut harness);
        brief(&harness.finish(), &["path"])
    };

    for is_first in [false, true] {
        let events = child(is_first);

        assert_eq!("sensor.blind 10 /nonexistent/prog", events[0], "{events:?}");
        assert_eq!("process.start 5000000 /bin/child", events[1], "{events:?}");
        let count = |start: &str| events.iter().filter(|event| event.starts_with(start)).count();
        assert_eq!((1, 1), (count("sensor.blind"), count("process.exit 10")), "{events:?}");
    }
}

#[test]
fn events_belong_to_the_request_that_was_served_when_they_happened() {
    let (mut harness, sensor) = started(10);
    let turn = |harness: &mut Harness, turn| harness.pipeline.hear(News::Turn(turn, MonoNs::now()));
    sensor.open(0, "init", 3, 0);
    harness.round();
    turn(&mut harness, Turn::To("a".into()));
    sensor.open(0, "first", 4, 0);
    harness.round();
    turn(&mut harness, Turn::ToTheSame);
    sensor.open(0, "still", 5, 0);
    turn(&mut harness, Turn::To("b".into()));
    // Read in one round with what came before the turn.
    sensor.open(0, "second", 6, 0);
    harness.round();
    turn(&mut harness, Turn::ToNone);
    sensor.open(0, "end", 7, 0);
    harness.die(10, 0);
    harness.round();

    let events = harness.finish();

    assert_eq!(
        vec![
            "process.start 10",
            "file.open 10 init",
            "file.open 10 first a",
            "file.open 10 still a",
            "file.open 10 second b",
            "file.open 10 end",
        ],
        brief(&events[..6], &["path_raw", "request_id"])
    );
    assert!(events[6..].iter().all(|event| event.get("request_id").is_none()), "{:?}", &events[6..]);
}

#[test]
fn flush_waits_for_what_happened_before_and_for_the_ends_of_processes_but_not_for_ever() {
    let (mut harness, sensor) = started(10);
    let flush = |harness: &mut Harness, deadline| {
        let (done_tx, done_rx) = crossbeam_channel::bounded::<()>(0);
        harness.pipeline.hear(News::Flush(Flush {
            until: MonoNs::now(),
            deadline,
            is_border: false,
            told: None,
            done_tx,
        }));
        done_rx
    };
    let is_done = |done_rx: &Receiver<()>| {
        done_rx.recv_timeout(std::time::Duration::from_secs(5))
            == Err(crossbeam_channel::RecvTimeoutError::Disconnected)
    };
    sensor.open(0, "a", 3, 0);

    let done_rx = flush(&mut harness, MonoNs::MAX);
    harness.pipeline.answer_flushes(MonoNs::now());
    let waiting = harness.pipeline.waiting_flushes();
    harness.round();
    harness.pipeline.answer_flushes(MonoNs::now());
    let opened =
        is_done(&done_rx) && std::fs::read_to_string(harness.output()).unwrap().contains("file.open");
    harness.die(10, 0);
    let done_rx = flush(&mut harness, MonoNs::MAX);
    harness.pipeline.order.frontier.reach(MonoNs::MAX);
    harness.pipeline.answer_flushes(MonoNs::now());
    let ending = harness.pipeline.waiting_flushes();
    harness.round();
    harness.pipeline.answer_flushes(MonoNs::now());
    let ended =
        is_done(&done_rx) && std::fs::read_to_string(harness.output()).unwrap().contains("process.exit");
    let done_rx = flush(&mut harness, MonoNs::now().minus(1));
    harness.pipeline.order.frontier.reach(MonoNs::ZERO);
    harness.pipeline.answer_flushes(MonoNs::now());
    let given_up = is_done(&done_rx);

    assert_eq!((1, true, 1, true, true), (waiting, opened, ending, ended, given_up));
    harness.finish();
}

#[test]
fn what_happens_after_a_border_is_held_back_for_the_request_that_comes_next() {
    let (mut harness, sensor) = started(10);
    harness.pipeline.flushes = super::flushes::Flushes::new(Some("127.0.0.1:9001".parse().unwrap()));
    // sockaddr_in, and the same inside sockaddr_in6 (ip(7), ipv6(7)).
    let v4 = [2, 0, 0x23, 0x29, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut v6 = vec![10, 0, 0x23, 0x29, 0, 0, 0, 0];
    v6.extend_from_slice(&"::ffff:127.0.0.1".parse::<std::net::Ipv6Addr>().unwrap().octets());
    v6.extend_from_slice(&[0; 4]);
    sensor.open(0, "init", 3, 0);
    sensor
        .emit(0, &NetConnect { fd: 4, remote: Address(&v6), own: Hidden(Address(&[])), began_ns: Hidden(0) });
    sensor.open(0, "early", 5, 0);
    harness.round();
    let (done_tx, _done_rx) = crossbeam_channel::bounded::<()>(0);
    let held = harness.pipeline.order.waiting().len();
    harness.pipeline.hear(News::Turn(Turn::To("a".into()), MonoNs::now()));
    // The first border only.
    sensor
        .emit(0, &NetConnect { fd: 4, remote: Address(&v4), own: Hidden(Address(&[])), began_ns: Hidden(0) });
    harness.pipeline.order.frontier.set_heard(MonoNs::MAX, MonoNs::MAX);
    harness.round();
    harness.pipeline.hear(News::Flush(Flush {
        until: MonoNs::ZERO,
        deadline: MonoNs::ZERO,
        is_border: true,
        told: None,
        done_tx,
    }));
    harness.pipeline.answer_flushes(MonoNs::now());
    sensor.open(0, "between", 6, 0);
    harness.round();
    let held_again = harness.pipeline.order.waiting().len();
    harness.pipeline.hear(News::Turn(Turn::To("b".into()), MonoNs::now()));

    let events = harness.finish();

    assert_eq!([1, 1], [held, held_again]);
    assert_eq!(
        vec![
            "process.start",
            "file.open init",
            "net.connect [::ffff:127.0.0.1]:9001",
            "file.open early a",
            "net.connect 127.0.0.1:9001 a",
            "file.open between b",
        ],
        brief(&events, &["path_raw", "remote", "request_id"])
            .iter()
            .map(|line| line.replace(" 10", ""))
            .collect::<Vec<_>>()
    );
}

#[test]
fn first_request_begins_where_it_was_asked_for_although_it_was_heard_of_before_that_was_read() {
    let (mut harness, sensor) = started(10);
    harness.pipeline.flushes = super::flushes::Flushes::new(Some("127.0.0.1:9001".parse().unwrap()));
    let api = [2, 0, 0x23, 0x29, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    sensor.open(0, "init", 3, 0);
    sensor.emit(
        0,
        &NetConnect { fd: 4, remote: Address(&api), own: Hidden(Address(&[])), began_ns: Hidden(0) },
    );
    sensor.open(0, "early", 5, 0);
    harness.pipeline.hear(News::Turn(Turn::To("a".into()), MonoNs::now()));
    sensor.open(0, "late", 6, 0);
    // Frozen since, perhaps.
    harness.pipeline.hear(News::Turn(Turn::To("b".into()), MonoNs::now()));
    sensor.open(0, "end", 7, 0);
    harness.round();

    let events = harness.finish();

    assert_eq!(
        vec![
            "process.start 10",
            "file.open 10 init",
            "net.connect 10",
            "file.open 10 early a",
            "file.open 10 late a",
            "file.open 10 end b",
        ],
        brief(&events, &["path_raw", "request_id"])
    );
}

#[test]
fn flush_waits_for_a_death_that_was_told_only_after_it_was_asked_for() {
    let (mut harness, _sensor) = started(10);
    harness.round();
    let (done_tx, _done_rx) = crossbeam_channel::bounded::<()>(0);
    let flush = Flush { until: MonoNs::now(), deadline: MonoNs::MAX, is_border: false, told: None, done_tx };

    harness.pipeline.hear(News::Flush(flush));
    let index = harness.image(10);
    harness.end(index, MonoNs::now());
    harness.pipeline.order.frontier.reach(MonoNs::MAX);
    harness.pipeline.answer_flushes(MonoNs::now());

    assert_eq!(1, harness.pipeline.waiting_flushes());
    harness.finish();
}

#[test]
fn output_that_is_added_gets_later_events_only_and_none_once_it_is_taken_away() {
    let (mut harness, sensor) = started(10);
    sensor.open(0, "/before", 3, 0);
    harness.round();
    let file = Harness::fresh_output().with_extension("view");
    let output = Output::to_file("jsonl", &file);
    let (encoder, opened) = output.open(Opening::Fresh).unwrap();
    let (id_tx, id_rx) = crossbeam_channel::bounded(1);

    // An event that no batch has taken away yet.
    harness.pipeline.hear(News::Blind(Box::new(Unseen {
        exe: b"/bin/blind".to_vec(),
        reason: "fd_limit",
        ..Unseen::default()
    })));
    harness.pipeline.report_unseen(MonoNs::MAX);
    let add = OutputChange::Add { name: "view".into(), encoder, opened, id_tx };
    harness.pipeline.hear(News::Output(add));
    sensor.open(0, "/during", 4, 0);
    harness.round();
    harness.pipeline.hear(News::Output(OutputChange::Remove { id_rx }));
    sensor.open(0, "/after", 5, 0);
    harness.round();

    let all: Vec<_> =
        harness.finish().iter().filter_map(|event| event["path"].as_str().map(String::from)).collect();
    let viewed = || std::fs::read_to_string(&file).unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !viewed().ends_with('\n') && std::time::Instant::now() < deadline {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let viewed = viewed();
    std::fs::remove_file(file).unwrap();
    assert_eq!(vec!["/bin/prog", "/before", "/bin/blind", "/during", "/after"], all);
    assert_eq!(1, viewed.lines().count());
    assert!(viewed.contains("/during"), "{viewed}");
}

#[test]
fn ring_of_an_impossible_writer_is_given_up_at_once_and_holds_no_other_back() {
    let (mut harness, sensor) = started(10);
    harness.round();
    // A number that no process can have, of which a record is never finished.
    sensor.ring.slot(5).pid.store(u32::MAX - 7, Ordering::Relaxed);
    let _never_committed = reserve(&sensor.ring, 5, 100).unwrap();

    harness.round();

    assert!(harness.pipeline.rings.iter().all(|(_, ring)| ring.is_corrupt));
    let events = harness.finish();
    assert_eq!(vec!["process.start 10", "sensor.loss 10 corrupt_ring"], brief(&events, &["reason"]));
}

#[test]
fn child_whose_first_record_does_not_decode_inherits_what_its_parent_had_then() {
    let (mut harness, sensor) = started(10);
    let slot = sensor.take_slot(11, 10);
    let unknown = Head { kind: 9999, ..sensor.head(slot, Kind::NetBind) };
    sensor.write(slot, unknown, &ChildStatus { child: 1, status: -1, usage: None });
    sensor.emit(0, &DirChange { path: path("/elsewhere") });
    sensor.open(slot, "x", 3, 0);
    harness.round();

    let events = harness.finish();

    let opened = events.iter().find(|event| event["event"] == "file.open").unwrap();
    assert_eq!("/home/u/x", opened["path"]);
}

#[test]
fn child_that_is_dead_and_not_reaped_inherits_what_its_parent_had_at_the_fork() {
    let mut zombie = std::process::Command::new("true").spawn().unwrap();
    let pidfd = rustix::process::Pid::from_raw(zombie.id().cast_signed())
        .map(|pid| rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).unwrap());
    while !pidfd.as_ref().is_some_and(crate::system::kernel::is_dead) {
        std::thread::yield_now();
    }
    let mut harness = Harness::new();
    let (parent, other) = (Sensor::new(std::process::id(), MIN_DATA_LEN), Sensor::new(77, MIN_DATA_LEN));
    for sensor in [&parent, &other] {
        sensor.start("/bin/prog", "/a");
    }
    harness.attach_visible(&parent, 1);
    harness.attach(&other, 1);
    harness.round();
    let slot = parent.take_slot(zombie.id(), parent.pid);

    parent.forked(0, zombie.id());
    parent.emit(0, &DirChange { path: path("/b") });
    parent.open(slot, "x", 3, 0);
    harness.round();
    zombie.wait().unwrap();
    let events = harness.finish();

    let is_childs = |event: &&serde_json::Value| event["event"] == "file.open" && event["pid"] == zombie.id();
    assert_eq!("/a/x", events.iter().find(is_childs).unwrap()["path"], "{events:#?}");
}
