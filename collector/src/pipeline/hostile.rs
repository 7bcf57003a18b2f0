//! Tests of hostile rings and hellos: what they cost, and whom they are taken for.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use wire::events::Kind;
use wire::record::Flags;
use wire::ring::Memory;
use wire::ring::layout::MIN_DATA_LEN;

use super::simulated::{Harness, Sensor, brief, key};
use crate::allowance::{Account, Allowances, Peer, Resource};
use crate::door::news::News;
use crate::event::Claimed;
use crate::ids::{Instance, MonoNs};
use crate::rings::ring::STUCK_NS;
use crate::sinks::Haste;

/// An account with bounds.
fn account(uid: u32) -> Arc<Account> {
    Allowances::default().account(Peer { uid: Some(uid), cgroup: 1 })
}

fn attach_as(harness: &mut Harness, sensor: &Sensor, account: &Arc<Account>, instance: u64) {
    let mut attached = sensor.attached(1);
    attached.place = account.take(Resource::Rings).unwrap();
    attached.identity.instance = Some(Instance(instance));
    harness.pipeline.attach(attached);
}

#[test]
fn holes_of_a_ring_are_never_filled_and_end_it() {
    let mut harness = Harness::new();
    let sensor = Sensor::new(10, 64 * MIN_DATA_LEN);
    sensor.start("/bin/sparse", "/");
    harness.attach(&sensor, 1);
    harness.round();
    let before = rustix::fs::fstat(&sensor.memfd).unwrap().st_blocks;
    sensor.ring.tail().store(64 * MIN_DATA_LEN, Ordering::Relaxed);

    let now = MonoNs::now();
    for step in 0..6 {
        harness.pipeline.round(now.plus(step * (STUCK_NS + 1)));
    }

    let after = rustix::fs::fstat(&sensor.memfd).unwrap().st_blocks;
    harness.die(10, 0);
    let events = harness.finish();
    assert!(after <= before + 8, "{before} blocks of 512 bytes before, {after} after");
    assert!(
        brief(&events, &["reason"]).iter().any(|line| line == "sensor.loss 10 corrupt_ring"),
        "{events:?}"
    );
}

#[test]
fn gap_that_a_killed_thread_left_is_stepped_over_also_where_it_is_a_hole() {
    let mut harness = Harness::new();
    let sensor = Sensor::new(10, 64 * MIN_DATA_LEN);
    sensor.start("/bin/prog", "/");
    // A long record, reserved and never written to: whole pages of it are holes.
    let tail = sensor.ring.tail().load(Ordering::Relaxed);
    sensor.ring.tail().store(tail + 40_000, Ordering::Relaxed);
    sensor.open(0, "/after", 3, 0);
    harness.attach(&sensor, 1);

    let now = MonoNs::now();
    for step in 0..4 {
        harness.pipeline.round(now.plus(step * (STUCK_NS + 1)));
    }
    harness.die(10, 0);

    let told = brief(&harness.finish(), &["path", "reason", "count"]);
    assert!(told.contains(&"file.open 10 /after".to_owned()), "{told:?}");
}

#[test]
fn ring_that_is_behind_holds_others_up_for_half_a_second_at_most() {
    let mut harness = Harness::new();
    let (stuck, other) = (Sensor::new(10, MIN_DATA_LEN), Sensor::new(20, MIN_DATA_LEN));
    stuck.start("/bin/stuck", "/");
    other.start("/bin/other", "/");
    harness.attach(&stuck, 1);
    harness.attach(&other, 1);
    harness.pipeline.round(MonoNs::now());
    let tail = stuck.ring.tail().load(Ordering::Relaxed);
    stuck.ring.state(tail & (MIN_DATA_LEN - 1)).store(0, Ordering::Relaxed);
    stuck.ring.tail().store(tail + 64, Ordering::Relaxed);
    let now = MonoNs::now();
    harness.pipeline.round(now);
    other.open(0, "/late", 3, 0);

    harness.pipeline.round(now.plus(100_000_000));
    let soon = harness.pipeline.order.waiting_records();
    harness.pipeline.round(now.plus(600_000_000));
    let later = harness.pipeline.order.waiting_records();

    assert!(soon > 0 && later == 0, "{soon} records wait, and then {later}");
}

#[test]
fn records_without_room_in_their_account_go_on_and_nothing_is_lost() {
    let mut harness = Harness::new();
    let (greedy, other) = (Sensor::new(10, 64 * MIN_DATA_LEN), Sensor::new(20, MIN_DATA_LEN));
    let greeds = account(65534);
    greedy.start("/bin/greedy", "/");
    other.start("/bin/other", "/");
    attach_as(&mut harness, &greedy, &greeds, 1);
    harness.attach(&other, 1);
    harness.round();
    let mut share = greeds.share(Resource::Bytes);
    while share.grow(1 << 10) {}

    // Numbers in the wrong order would wait.
    for pair in 0..50_u64 {
        for number in [2 * pair + 2, 2 * pair + 1] {
            let head = wire::record::Head { seq: number, ..greedy.head(0, Kind::FileOpen) };
            let path = super::simulated::path("/x");
            let open = wire::events::FileOpen {
                path,
                fd: Some(3),
                flags: wire::fields::OpenFlags(0),
                mode: None,
                resolve: None,
            };
            assert!(greedy.write(0, wire::record::Head { flags: Flags::STAMPED, ..head }, &open));
        }
    }
    harness.round();
    harness.round();
    let opens = brief(&harness.finish(), &["path"]).iter().filter(|line| *line == "file.open 10 /x").count();

    assert_eq!(100, opens);
}

#[test]
fn child_beyond_its_accounts_images_is_counted_and_costs_its_ring_nothing() {
    let mut harness = Harness::new();
    let sensor = Sensor::new(10, MIN_DATA_LEN);
    let users = account(65534);
    sensor.start("/bin/parent", "/");
    attach_as(&mut harness, &sensor, &users, 1);
    harness.round();
    let mut images = users.share(Resource::Images);
    while images.grow(1) {}
    users.take_refused(Resource::Images);
    let slot = sensor.take_slot(11, 10);
    sensor.open(slot, "/child", 3, 0);
    sensor.open(0, "/parent", 3, 0);

    harness.round();
    harness.pipeline.audit(MonoNs::now());
    harness.die(10, 0);
    let told = brief(&harness.finish(), &["path", "reason", "count"]);

    assert!(told.contains(&"file.open 10 /parent".to_owned()), "{told:?}");
    let losses: Vec<&String> = told.iter().filter(|line| line.starts_with("sensor.loss")).collect();
    assert_eq!(vec!["sensor.loss 10 limit 1"], losses);
}

#[test]
fn hello_with_the_number_of_a_living_process_displaces_nothing() {
    let mut harness = Harness::new();
    let (victim, liar) = (Sensor::new(10, MIN_DATA_LEN), Sensor::new(10, MIN_DATA_LEN));
    victim.start("/bin/victim", "/");
    liar.start("/bin/liar", "/");
    let everyone = account(0);
    attach_as(&mut harness, &victim, &everyone, 1);
    let image = harness.image(10);

    attach_as(&mut harness, &liar, &everyone, 2);
    liar.open(0, "/lie", 3, 0);
    victim.open(0, "/truth", 3, 0);

    assert_eq!(image, harness.image(10));
    assert!(!harness.pipeline.census.has_ended(image));
    harness.die(10, 0);
    let events = harness.finish();
    let claims = |path: &str| {
        events.iter().find(|event| event["path"] == path).map(|event| event["claimed"].to_string())
    };
    let has_pid = |claimed: Option<String>| claimed.is_some_and(|claimed| claimed.contains("\"pid\""));
    assert!(has_pid(claims("/lie")) && !has_pid(claims("/truth")), "{events:?}");
}

#[test]
fn hello_of_the_same_process_goes_on_from_its_last_image() {
    let mut harness = Harness::new();
    let (one, next) = (Sensor::new(10, MIN_DATA_LEN), Sensor::new(10, MIN_DATA_LEN));
    one.start("/bin/one", "/");
    next.start("/bin/next", "/");
    let everyone = account(0);

    attach_as(&mut harness, &one, &everyone, 1);
    attach_as(&mut harness, &next, &everyone, 1);
    harness.round();
    harness.die(10, 0);

    let exits = brief(&harness.finish(), &["exe"]);
    let exits: Vec<&String> = exits.iter().filter(|line| line.starts_with("process.exit")).collect();
    assert_eq!(vec!["process.exit 10 /bin/next"], exits);
}

#[test]
fn wait_for_a_process_that_is_no_child_ends_nothing() {
    let mut harness = Harness::new();
    let (victim, liar) = (Sensor::new(10, MIN_DATA_LEN), Sensor::new(20, MIN_DATA_LEN));
    victim.start("/bin/victim", "/");
    liar.start("/bin/liar", "/");
    harness.attach(&victim, 1);
    harness.attach(&liar, 1);
    harness.round();
    let image = harness.image(10);

    let status = wire::events::ChildStatus { child: 10, status: 9, usage: None };
    liar.emit(0, &status);
    harness.round();

    assert!(!harness.pipeline.census.has_ended(image));
    assert!(harness.pipeline.census.live(key(10)).is_some());
}

#[test]
fn wait_for_a_dead_child_says_nothing_of_the_process_that_has_its_number_since() {
    let mut harness = Harness::new();
    let hostile = Sensor::new(10, MIN_DATA_LEN);
    hostile.start("/bin/hostile", "/");
    let mut attached = hostile.attached(1);
    (attached.identity.uid, attached.identity.euid) = (Some(1000), Some(1000));
    harness.pipeline.attach(attached);
    harness.round();
    let slot = hostile.take_slot(20, 10);
    hostile.forked(0, 20);
    hostile.open(slot, "/of-child", 3, 0);
    harness.round();
    let child = harness.image(20);
    // Its end is held.
    harness.end(child, MonoNs::now().plus(60_000_000_000));
    let victim = Sensor::new(20, MIN_DATA_LEN);
    victim.start("/bin/victim", "/");
    let mut attached = victim.attached(1);
    let me = rustix::process::getpid();
    attached.identity.pidfd = rustix::process::pidfd_open(me, rustix::process::PidfdFlags::empty()).ok();
    harness.pipeline.attach(attached);
    harness.round();
    let of_victim = harness.image(20);

    hostile.emit(0, &wire::events::ChildStatus { child: 20, status: 9, usage: None });
    harness.round();

    assert_ne!(child, of_victim);
    let image = harness.pipeline.census.get(of_victim).unwrap();
    assert_eq!((None, None), (image.report.map(|report| report.status), image.end));
}

#[test]
fn claim_of_another_users_ring_is_not_confirmed_by_the_hello_of_the_process() {
    const FORGER: u32 = 5_000_000;
    let exits = |uid: u32| {
        let mut harness = Harness::new();
        let attach = |harness: &mut Harness, sensor: &Sensor, ppid, uid| {
            let mut attached = sensor.attached(ppid);
            attached.identity.key.namespace = None;
            // No process has the number.
            attached.identity.is_dead = true;
            (attached.identity.uid, attached.identity.euid) = (Some(uid), Some(uid));
            harness.pipeline.attach(attached);
        };
        let forger = Sensor::new(FORGER, MIN_DATA_LEN);
        forger.start("/bin/forger", "/");
        let slot = forger.take_slot(FORGER + 2, FORGER + 1);
        forger.open(slot, "/lie", 3, 0);
        attach(&mut harness, &forger, 1, uid);
        harness.pipeline.round(MonoNs::now());
        let victim = Sensor::new(FORGER + 2, MIN_DATA_LEN);
        victim.start("/bin/victim", "/");
        attach(&mut harness, &victim, FORGER + 1, 0);
        let events = harness.finish();
        let of_victim = |event: &&serde_json::Value| {
            event["event"] == "process.exit" && event["pid"] == u64::from(FORGER + 2)
        };
        events
            .iter()
            .filter(of_victim)
            .map(|event| event["claimed"].to_string().contains("\"pid\""))
            .collect()
    };

    let (foreign, own): (Vec<bool>, Vec<bool>) = (exits(65534), exits(0));

    // The forger's child stays a claim, and the victim ends by itself; a fork of root's goes on as the
    // victim.
    assert_eq!(2, foreign.len(), "{foreign:?}");
    assert_eq!(vec![false], own);
}

#[test]
fn events_that_a_signal_leaves_no_time_for_are_counted() {
    let mut harness = Harness::new();
    let sensor = Sensor::new(10, 256 * MIN_DATA_LEN);
    sensor.start("/bin/busy", "/");
    harness.attach(&sensor, 1);
    let mut written = 1_u64;
    while written < 300_000 && sensor.ring.tail().load(Ordering::Relaxed) < 255 * MIN_DATA_LEN {
        sensor.open(0, "/x", 3, 0);
        written += 1;
    }

    harness.pipeline.hear(News::Finish(Haste::Hurried));
    let events = harness.finish();

    let told = events.iter().filter(|event| event["seq"].is_u64()).count() as u64;
    let lost: u64 = events
        .iter()
        .filter(|event| event["reason"] == "session_end")
        .filter_map(|event| event["count"].as_u64())
        .sum();
    assert!(told < written, "the machine is too fast for this test: make the ring larger");
    assert_eq!(written, told + lost);
}

#[test]
fn claims_are_named_in_the_order_of_the_output() {
    let claimed = Claimed::EXE.and(Claimed::PID).and_if(false, Claimed::UID);

    assert_eq!(vec!["pid", "exe"], claimed.names().collect::<Vec<_>>());
    assert_eq!(claimed, Claimed::from_bits(claimed.bits()));
    assert!(claimed.without(Claimed::PID.and(Claimed::EXE)).is_empty());
}
