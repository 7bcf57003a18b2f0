//! A second origin feeds the pipeline: records that come through no ring.

use crossbeam_channel::Sender;
use wire::codec::SliceSink;
use wire::events::{FileOpen, NetBind, Payload};
use wire::fields::{Address, OpenFlags};
use wire::record::{Flags, Head, Via};
use wire::ring::layout::MIN_DATA_LEN;

use super::simulated::{Harness, Sensor, brief, key, path};
use crate::arrival::Sent;
use crate::ids::MonoNs;
use crate::loss::LossReason;

/// An origin that keeps the promises of [`crate::arrival`], as a supervisor would that the kernel notifies.
struct Supervisor {
    sent_tx: Sender<Sent>,
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
        let sent = Sent::Record { process: key(pid), instance: None, head, payload: bytes.into() };
        self.sent_tx.send(sent).unwrap();
    }

    fn open(&self, pid: u32, name: &str) {
        let open = FileOpen { path: path(name), fd: Some(3), flags: OpenFlags(0), mode: None, resolve: None };
        self.send(pid, Self::head(pid, FileOpen::KIND as u16), &open);
    }
}

fn supervised() -> (Harness, Supervisor) {
    let (sent_tx, sent_rx) = crossbeam_channel::unbounded();
    (Harness::with_origin(sent_rx), Supervisor { sent_tx })
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
