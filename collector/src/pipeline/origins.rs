//! A second origin feeds the pipeline: records that come through no ring.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};

use wire::codec::SliceSink;
use wire::events::{FileOpen, NetBind, Payload};
use wire::fields::{Address, OpenFlags};
use wire::record::{Flags, Head, Via};
use wire::ring::layout::MIN_DATA_LEN;

use super::simulated::{Harness, Sensor, brief, key, path};
use crate::allowance::{Account, Allowances, Peer};
use crate::arrival::{Introduced, Sent};
use crate::door::identity::Identity;
use crate::door::news::News;
use crate::event::Claimed;
use crate::ids::{Instance, MonoNs, Pid};
use crate::launch::protocol::CommandStarted;
use crate::loss::LossReason;
use crate::notify::reports::Reports;
use crate::notify::ring::Packets;
use crate::notify::sightings::{Reader, Sightings};
use crate::notify::way::{Ends, Way};

/// An origin that keeps the promises of [`crate::arrival`], as a supervisor would that the kernel notifies.
struct Supervisor {
    sent_tx: Sender<Sent>,
    /// The process that it names, where no launcher started it.
    instance: Option<Instance>,
}

impl Supervisor {
    fn head(pid: u32, kind: u16) -> Head {
        Head {
            time_ns: MonoNs::now().0,
            seq: 0,
            ret: 0,
            pid,
            tid: pid,
            kind,
            call: 0,
            errno: 0,
            via: Via::Notify as u8,
            flags: Flags::RETURNED,
        }
    }

    fn send<P: Payload>(&self, pid: u32, head: Head, payload: &P) {
        let mut bytes = vec![0; payload.encoded_len()];
        assert!(payload.encode(&mut SliceSink::new(&mut bytes)));
        let sent = Sent::Record { process: key(pid), instance: self.instance, head, payload: bytes.into() };
        self.sent_tx.send(sent).unwrap();
    }

    /// Introduces a process to which a sensor may have spoken, of a user.
    fn introduce(&self, pid: u32, claimed: Claimed, account: Arc<Account>) {
        let identity = Identity { key: key(pid), own_pid: Pid(pid), claimed, ..Identity::default() };
        let introduced = Introduced { identity, reason: None, is_first: false, account };
        self.sent_tx.send(Sent::Introduced(Box::new(introduced))).unwrap();
    }

    fn open(&self, pid: u32, name: &str) {
        let open = FileOpen { path: path(name), fd: Some(3), flags: OpenFlags(0), mode: None, resolve: None };
        self.send(pid, Self::head(pid, FileOpen::KIND as u16), &open);
    }
}

fn supervised() -> (Harness, Supervisor) {
    let (sent_tx, sent_rx) = crossbeam_channel::unbounded();
    (Harness::with_origin(sent_rx), Supervisor { sent_tx, instance: None })
}

#[test]
fn events_of_a_second_origin_have_no_number_and_come_in_the_order_of_time() {
    let (mut harness, supervisor) = supervised();
    let sensor = Sensor::new(10, MIN_DATA_LEN);
    sensor.start("/bin/prog", "/");
    harness.attach(&sensor, 1);
    sensor.open(0, "/1", 3, 0);
    supervisor.open(10, "/2");
    sensor.open(0, "/3", 3, 0);
    supervisor.open(20, "/4");
    sensor.open(0, "/5", 3, 0);
    harness.round();

    let events = harness.finish();

    assert_eq!(
        vec![
            "process.start 10 /bin/prog 0 symbol",
            "file.open 10 /1 1 symbol",
            "file.open 10 /2 notify",
            "file.open 10 /3 2 symbol",
            "file.open 20 /4 notify",
            "file.open 10 /5 3 symbol",
        ],
        brief(&events, &["path", "seq", "via"])
    );
}

#[test]
fn process_that_only_a_second_origin_sees_ends_once_with_what_that_counted_as_lost() {
    let (mut harness, supervisor) = supervised();
    supervisor.open(20, "/a");
    let lost = Sent::Lost { process: key(20), at: MonoNs::now(), count: 7, reason: LossReason::KilledWriter };
    supervisor.sent_tx.send(lost).unwrap();
    harness.round();
    harness.die(20, 0);
    harness.round();

    let events = harness.finish();

    let kinds: Vec<&str> = events.iter().filter_map(|event| event["event"].as_str()).collect();
    assert_eq!(vec!["sensor.loss", "file.open", "file.close", "process.exit"], kinds);
    assert_eq!("sensor.loss 20 7 killed_writer", brief(&events[..1], &["count", "reason"])[0]);
    assert_eq!(7, events[3]["lost"]);
}

#[test]
fn record_with_a_number_from_an_origin_without_numbers_is_counted_and_not_delivered() {
    let (mut harness, supervisor) = supervised();
    let numbered = Head { flags: Flags::STAMPED, ..Supervisor::head(20, NetBind::KIND as u16) };
    supervisor.send(20, numbered, &NetBind { fd: 3, local: Address(&[]) });
    harness.round();

    let events = harness.finish();

    assert_eq!(vec!["sensor.loss 20 1 corrupt_ring"], brief(&events, &["count", "reason"]));
}

#[test]
fn event_without_a_number_in_a_ring_is_counted_and_not_delivered() {
    let mut harness = Harness::new();
    let sensor = Sensor::new(10, MIN_DATA_LEN);
    sensor.start("/bin/prog", "/");
    harness.attach(&sensor, 1);
    let head = Supervisor::head(10, FileOpen::KIND as u16);
    sensor.write(
        0,
        head,
        &FileOpen { path: path("/x"), fd: None, flags: OpenFlags(0), mode: None, resolve: None },
    );
    sensor.open(0, "/y", 3, 0);
    harness.round();

    let events = harness.finish();

    assert_eq!(
        vec!["process.start 10 /bin/prog", "file.open 10 /y", "sensor.loss 10 1 corrupt_ring"],
        brief(&events, &["path", "count", "reason"])
    );
}

/// A process with a sensor, and a supervisor that no launcher started.
fn hooked_beside_stranger() -> (Harness, Supervisor) {
    let (mut harness, supervisor) = supervised();
    let sensor = Sensor::new(10, MIN_DATA_LEN);
    sensor.start("/bin/prog", "/");
    harness.attach(&sensor, 1);
    harness.round();
    (harness, Supervisor { instance: Some(Instance(5)), ..supervisor })
}

#[test]
fn strangers_speak_of_a_process_once_they_introduced_it() {
    let (mut harness, stranger) = hooked_beside_stranger();

    stranger.open(10, "/forged");
    harness.round();
    stranger.introduce(10, Claimed::NONE, Account::boundless());
    stranger.open(10, "/told");
    harness.round();

    let events = harness.finish();
    let opens: Vec<_> = events.iter().filter(|event| event["event"] == "file.open").collect();
    assert_eq!(1, opens.len(), "{events:#?}");
    assert_eq!("/told", opens[0]["path"]);
}

#[test]
fn strangers_whose_user_is_presumed_speak_of_no_other_users_process() {
    let (mut harness, stranger) = hooked_beside_stranger();
    let account = |uid| Allowances::within(1024).account(Peer { uid: Some(uid), cgroup: 0 });

    // The process is root's.
    stranger.introduce(10, Claimed::UID, account(7));
    stranger.open(10, "/forged");
    harness.round();
    stranger.introduce(10, Claimed::UID, account(0));
    stranger.open(10, "/told");
    harness.round();

    let events = harness.finish();
    let paths: Vec<_> = events.iter().filter_map(|event| event["path"].as_str()).collect();
    assert!(paths.contains(&"/told") && !paths.contains(&"/forged"), "{paths:?}");
}

#[test]
fn program_with_a_sensor_is_not_renamed_by_a_stranger() {
    let (mut harness, stranger) = hooked_beside_stranger();

    stranger.introduce(10, Claimed::NONE, Account::boundless());
    let started = CommandStarted { pid: 10, path: b"/bin/other".to_vec(), ..CommandStarted::default() };
    let began = Sent::Began { process: key(10), started: Box::new(started), reason: "static" };
    stranger.sent_tx.send(began).unwrap();
    stranger.open(10, "/told");
    harness.round();

    let events = harness.finish();
    assert!(events.iter().all(|event| event["exe"] == "/bin/prog"), "{events:#?}");
}

/// Takes its first packet, and holds it until it is told to go on.
struct Held(Receiver<()>);

impl Reader for Held {
    const NAP: Duration = Duration::from_micros(100);

    fn take(&mut self, _: &[u8], _: Vec<OwnedFd>) -> Option<Vec<Sent>> {
        let _ = self.0.recv();
        Some(Vec::new())
    }
}

#[test]
fn nothing_is_certain_before_what_the_launchers_supervisor_sent_is_read() {
    let (mut harness, supervisor) = supervised();
    let (ours, theirs) = Way::pair().unwrap();
    let (go_on_tx, go_on_rx) = crossbeam_channel::unbounded();
    let reader = Held(go_on_rx);
    let Ends { socket, memfd } = theirs;
    let packets = Packets::of(memfd.unwrap()).unwrap();
    let sightings =
        Sightings::read(socket, Some(packets), reader, supervisor.sent_tx.clone(), Arc::default()).unwrap();
    harness.pipeline.hear(News::Sightings(sightings.clone()));
    let is_certain_after = |harness: &mut Harness, moment: MonoNs| {
        harness.pipeline.order.frontier.set_heard(MonoNs::ZERO, MonoNs::ZERO);
        let _ = harness.pipeline.hear_news();
        harness.pipeline.order.frontier.certain() >= moment
    };

    harness.let_doorman_rest();
    let mut reports = Reports::to(ours);
    reports.begin(7);
    reports.send(7);
    let sent = MonoNs::now();
    assert!(!is_certain_after(&mut harness, sent));
    go_on_tx.send(()).unwrap();
    let begun = Instant::now();
    // Its thread is at another look now and then.
    while !is_certain_after(&mut harness, sent) {
        assert!(begun.elapsed() < Duration::from_secs(20));
        std::thread::yield_now();
    }
}
