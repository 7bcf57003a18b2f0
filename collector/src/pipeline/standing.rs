//! Where processes stand, with simulated sensors: their user and mount namespaces, by the kernel's word as
//! the doorman passes it on.

use serde_json::{Value as Json, json};
use wire::events::{ProcessCredentials, ProcessNamespace};
use wire::fields::{Args, Hidden, NamespaceFlags, Path};
use wire::ring::layout::MIN_DATA_LEN;

use super::simulated::{Harness, Sensor};
use crate::ids::MonoNs;
use crate::system::standpoint::Standpoint;
use crate::system::user_map::UserMap;

const NEW_MOUNTS: u64 = 0x2_0000;
const NEW_USERS: u64 = 0x1000_0000;
/// A child of the launcher.
const LAUNCHED: u32 = 77;

/// A standpoint in the mount namespace 7, and in the user namespace 8 with the users of `map`.
fn standpoint(map: &str, asked: MonoNs) -> Standpoint {
    Standpoint {
        user: Some(8),
        mount: Some(7),
        users: Some(UserMap::made_of(map)),
        asked,
        ..Standpoint::default()
    }
}

/// Attaches a process of the user `uid` that stands there.
fn attach(harness: &mut Harness, sensor: &Sensor, uid: u32, standpoint: Standpoint) {
    let mut attached = sensor.attached(1);
    attached.identity.is_launched = sensor.pid == LAUNCHED;
    (attached.identity.uid, attached.identity.euid) = (Some(uid), Some(uid));
    attached.identity.standpoint = standpoint;
    harness.pipeline.attach(attached);
}

fn changed(sensor: &Sensor, what: &[u8], flags: u64) {
    let path = Path { dir: -1, raw: None };
    sensor.emit(
        0,
        &ProcessNamespace {
            what,
            path,
            flags: NamespaceFlags(flags),
            source: None,
            filesystem: None,
            attributes: None,
        },
    );
}

fn set_ids(sensor: &Sensor, uid: u32) {
    let (real_uid, effective_uid) = (Hidden(Some(uid)), Hidden(Some(uid)));
    sensor.emit(0, &ProcessCredentials { what: b"uid", to: Args::NONE, real_uid, effective_uid });
}

/// `uid`, `uid_inside` and `mnt_ns` of the event that opened `name`, and its claims on users.
fn of_open(events: &[Json], name: &str) -> Json {
    let is_open = |event: &&Json| event["event"] == "file.open" && event["path"] == format!("/d/{name}");
    let open = events.iter().find(is_open).unwrap();
    let claimed = open["claimed"].as_array().into_iter().flatten();
    let claimed: Vec<&Json> =
        claimed.filter(|name| name.as_str().is_some_and(|name| name.contains("uid"))).collect();
    json!([open["uid"], open["uid_inside"], open["mnt_ns"], claimed])
}

#[test]
fn program_shows_its_user_inside_and_its_mount_namespace_until_it_goes_where_the_kernel_does_not_say() {
    let (mut harness, sensor) = (Harness::new(), Sensor::new(10, MIN_DATA_LEN));
    sensor.start("/bin/prog", "/d");
    attach(&mut harness, &sensor, 1000, standpoint("0 1000 1", MonoNs::ZERO));
    sensor.open(0, "first", 3, 0);
    let child = sensor.take_slot(11, 10);
    sensor.forked(0, 11);
    sensor.open(child, "by-child", 3, 0);
    changed(&sensor, b"chroot", 0);
    sensor.open(0, "in-root", 4, 0);
    changed(&sensor, b"unshare", NEW_MOUNTS);
    sensor.open(0, "in-mounts", 5, 0);
    changed(&sensor, b"setns", NEW_USERS);
    sensor.open(0, "among-users", 6, 0);
    harness.round();

    let events = harness.finish();

    for name in ["first", "by-child", "in-root"] {
        assert_eq!(json!([1000, 0, 7, []]), of_open(&events, name), "{name}");
    }
    assert_eq!(json!([1000, 0, null, []]), of_open(&events, "in-mounts"));
    assert_eq!(json!([1000, null, null, []]), of_open(&events, "among-users"));
}

#[test]
fn exec_changes_no_namespace_and_a_later_answer_counts_from_its_time_on() {
    let (mut harness, first, next) =
        (Harness::new(), Sensor::new(10, MIN_DATA_LEN), Sensor::new(10, MIN_DATA_LEN));
    first.start("/bin/first", "/d");
    attach(&mut harness, &first, 1000, Standpoint { user: Some(1), mount: Some(2), ..Standpoint::own() });
    first.open(0, "first", 3, 0);
    harness.round();
    next.start("/bin/next", "/d");
    next.open(0, "early", 3, 0);
    let asked = MonoNs::now();
    attach(&mut harness, &next, 1000, standpoint("0 1000 1", asked));
    next.open(0, "late", 4, 0);
    harness.round();

    let events = harness.finish();

    assert_eq!(json!([1000, null, 2, []]), of_open(&events, "first"));
    assert_eq!(json!([1000, null, 2, []]), of_open(&events, "early"));
    assert_eq!(json!([1000, 0, 7, []]), of_open(&events, "late"));
}

#[test]
fn command_begins_in_the_collectors_namespaces() {
    let (mut harness, sensor) = (Harness::new(), Sensor::new(LAUNCHED, MIN_DATA_LEN));
    sensor.start("/bin/prog", "/d");
    sensor.open(0, "early", 3, 0);
    attach(&mut harness, &sensor, 1000, standpoint("0 1000 1", MonoNs::now()));
    sensor.open(0, "late", 4, 0);
    harness.round();

    let events = harness.finish();

    assert_eq!(json!([1000, null, null, []]), of_open(&events, "early"));
    assert_eq!(json!([1000, 0, 7, []]), of_open(&events, "late"));
}

#[test]
fn program_that_saw_the_collectors_number_shows_another_only_from_the_answer_on() {
    let (mut harness, sensor) = (Harness::new(), Sensor::new(10, MIN_DATA_LEN));
    // It says that it is uid 0.
    sensor.start("/bin/prog", "/d");
    sensor.open(0, "early", 3, 0);
    attach(&mut harness, &sensor, 0, standpoint("5 0 1", MonoNs::now()));
    sensor.open(0, "late", 4, 0);
    harness.round();

    let events = harness.finish();

    assert_eq!(json!([0, null, 7, []]), of_open(&events, "early"));
    assert_eq!(json!([0, 5, 7, []]), of_open(&events, "late"));
}

#[test]
fn ids_that_a_process_sets_in_its_user_namespace_are_told_as_the_collector_counts() {
    let (mut harness, root, other) =
        (Harness::new(), Sensor::new(10, MIN_DATA_LEN), Sensor::new(11, MIN_DATA_LEN));
    let map = "0 100000 10";
    root.start("/bin/root", "/d");
    attach(&mut harness, &root, 100_000, standpoint(map, MonoNs::ZERO));
    set_ids(&root, 3);
    root.open(0, "as-3", 3, 0);
    set_ids(&root, 20);
    root.open(0, "as-nobody", 4, 0);
    other.start("/bin/other", "/d");
    attach(&mut harness, &other, 100_003, standpoint(map, MonoNs::ZERO));
    set_ids(&other, 0);
    other.open(0, "by-other", 3, 0);
    harness.round();

    let events = harness.finish();

    assert_eq!(json!([100_003, 3, 7, ["uid", "euid", "uid_inside"]]), of_open(&events, "as-3"));
    // No user of the collector's has that number there.
    assert_eq!(json!([null, null, 7, []]), of_open(&events, "as-nobody"));
    assert_eq!(json!([100_003, 3, 7, []]), of_open(&events, "by-other"));
}

#[test]
fn ids_that_a_process_sets_where_the_kernel_does_not_say_are_nobodys() {
    let (mut harness, sensor) = (Harness::new(), Sensor::new(10, MIN_DATA_LEN));
    sensor.start("/bin/prog", "/d");
    attach(&mut harness, &sensor, 0, Standpoint::own());
    set_ids(&sensor, 5);
    sensor.open(0, "at-home", 3, 0);
    changed(&sensor, b"setns", NEW_USERS);
    sensor.open(0, "moved", 4, 0);
    set_ids(&sensor, 3);
    sensor.open(0, "as-3", 5, 0);
    harness.round();

    let events = harness.finish();

    assert_eq!(json!([5, null, null, ["uid", "euid"]]), of_open(&events, "at-home"));
    assert_eq!(json!([5, null, null, ["uid", "euid"]]), of_open(&events, "moved"));
    // The number is one of the namespace that it went into.
    assert_eq!(json!([null, null, null, []]), of_open(&events, "as-3"));
}
