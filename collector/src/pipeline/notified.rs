//! Calls that the kernel notifies of, from their arguments to their events: beside the events of a hooked
//! program that makes the same calls.

use crossbeam_channel::{Receiver, Sender};
use serde_json::Value as Json;
use wire::events::{FileOpen, FileUnlink, NetBind, NetConnect, NetListen, NetSocket};
use wire::fields::{AT_FDCWD, Address, Family, Hidden, OpenFlags, Path, Protocol, SocketType};
use wire::record::{Head, Via};
use wire::ring::layout::MIN_DATA_LEN;

use super::simulated::{Harness, Sensor, brief, key, path};
use crate::arrival::Sent;
use crate::ids::MonoNs;
use crate::notify::decode::{Asked, told};
use crate::notify::memory::Memory;
use crate::notify::places::Places;

const HOOKED: u32 = 10;
const NOTIFIED: u32 = 20;
const PATH: u64 = 0x1000;
const ADDRESS: u64 = 0x2000;
const INET: &[u8] = &[2, 0, 0x1f, 0x90, 127, 0, 0, 1];
const HERE: u64 = AT_FDCWD as u32 as u64;

/// A path and a socket address.
struct Page(&'static [u8]);

impl Memory for Page {
    fn read(&mut self, address: u64, into: &mut [u8]) -> usize {
        let bytes = match address {
            PATH => self.0,
            ADDRESS => INET,
            _ => return 0,
        };
        into.fill(0);
        into[..bytes.len()].copy_from_slice(bytes);
        into.len()
    }
}

/// Where a process stands: its directory, and the thing behind each descriptor.
struct Stand(&'static str, &'static str);

impl Places for Stand {
    fn cwd(&mut self) -> Option<Vec<u8>> {
        Some(self.0.into())
    }
    fn descriptor(&mut self, _fd: i32) -> Option<Vec<u8>> {
        (!self.1.is_empty()).then(|| self.1.into())
    }
    fn finds_connection(&mut self, _fd: i32) -> Option<bool> {
        None
    }
    fn is_new_peer(&mut self, _fd: i32, _peer: &[u8]) -> bool {
        true
    }
}

/// Sends what is told of calls, as the supervisor does.
struct Kernel(Sender<Sent>);

impl Kernel {
    fn new() -> (Self, Receiver<Sent>) {
        let (sent_tx, sent_rx) = crossbeam_channel::unbounded();
        (Self(sent_tx), sent_rx)
    }

    fn tell(&self, name: &'static str, args: &[u64], path: &'static [u8], mut stand: Stand) {
        let mut all = [0; 6];
        all[..args.len()].copy_from_slice(args);
        let abi = notify::Machine::NATIVE.native();
        let asked = Asked { name, args: all, abi, has_narrow_ids: false };
        let told = told(&asked, &mut Page(path), &mut stand).unwrap();
        let head = Head {
            time_ns: MonoNs::now().0,
            seq: 0,
            ret: 0,
            pid: NOTIFIED,
            tid: NOTIFIED,
            kind: 0,
            call: told.call,
            errno: 0,
            via: Via::Notify as u8,
            flags: told.flags,
        };
        let event = (told.kind, told.payload);
        let records = told.before.into_iter().map(|noted| (noted.kind, noted.payload)).chain([event]);
        for (kind, payload) in records {
            let head = Head { kind: kind as u16, ..head };
            self.0.send(Sent::Record { process: key(NOTIFIED), instance: None, head, payload }).unwrap();
        }
    }
}

/// The events of a kind, without what differs between a hooked and a notified process.
fn alike(events: &[Json], kind: &str, results: &[&str]) -> Vec<(u64, Json)> {
    let of_kind = events.iter().filter(|event| event["event"] == kind);
    of_kind
        .map(|event| {
            let mut fields = event.as_object().unwrap().clone();
            let own = [
                "time", "pid", "tid", "ppid", "exe", "argv", "seq", "ret", "via", "uid", "euid", "call",
                "claimed",
            ];
            own.iter().chain(results).for_each(|field| _ = fields.remove(*field));
            (event["pid"].as_u64().unwrap(), Json::Object(fields))
        })
        .collect()
}

/// Both processes have one event of the kind, with the same fields.
fn assert_twins(events: &[Json], kind: &str, results: &[&str]) {
    let mut found = alike(events, kind, results);
    found.sort_by_key(|(pid, _)| *pid);

    let [(HOOKED_64, hooked), (NOTIFIED_64, notified)] = &found[..] else { panic!("{kind}: {found:#?}") };
    assert_eq!(hooked, notified, "{kind}");
}
const HOOKED_64: u64 = HOOKED as u64;
const NOTIFIED_64: u64 = NOTIFIED as u64;

#[test]
fn events_of_a_notified_program_are_those_of_its_hooked_twin_but_for_results() {
    let (kernel, sent_rx) = Kernel::new();
    let mut harness = Harness::with_origin(sent_rx);
    let sensor = Sensor::new(HOOKED, MIN_DATA_LEN);
    sensor.start("/bin/prog", "/home");
    harness.attach(&sensor, 1);
    sensor.emit(
        0,
        &FileOpen {
            path: path("in/../x"),
            fd: Some(3),
            flags: OpenFlags(0o101),
            mode: Some(0o600),
            resolve: None,
        },
    );
    sensor.emit(
        0,
        &FileOpen { path: path("/home/d"), fd: Some(5), flags: OpenFlags(0), mode: None, resolve: None },
    );
    sensor.emit(0, &FileUnlink { path: Path { dir: 5, raw: Some(b"y") } });
    let socket = |fd| NetSocket { fd, family: Family(2), r#type: SocketType(1), protocol: Protocol(0) };
    sensor.emit(0, &socket(Some(4)));
    sensor.emit(0, &NetBind { fd: 4, local: Address(INET) });
    sensor.emit(0, &NetListen { fd: 4, backlog: 9 });
    sensor.emit(
        0,
        &NetConnect { fd: 4, remote: Address(INET), own: Hidden(Address(&[])), began_ns: Hidden(0) },
    );

    let stand = |behind| Stand("/home", behind);
    kernel.tell("openat", &[HERE, PATH, 0o101, 0o600], b"in/../x", stand(""));
    kernel.tell("unlinkat", &[5, PATH, 0], b"y", stand("/home/d"));
    kernel.tell("socket", &[2, 1, 0], b"", stand(""));
    kernel.tell("bind", &[4, ADDRESS, 8], b"", stand("socket:[7] TCP"));
    kernel.tell("listen", &[4, 9], b"", stand("socket:[7] TCP"));
    kernel.tell("connect", &[4, ADDRESS, 8], b"", stand("socket:[7] TCP"));
    harness.round();
    let events = harness.finish();

    let opens: Vec<Json> = events.iter().filter(|event| event["path"] != "/home/d").cloned().collect();
    assert_twins(&opens, "file.open", &["fd"]);
    assert_twins(&events, "file.unlink", &[]);
    assert_twins(&events, "net.socket", &["fd"]);
    assert_twins(&events, "net.bind", &[]);
    assert_twins(&events, "net.listen", &[]);
    assert_twins(&events, "net.connect", &[]);
    let is_told = |event: &&Json| event["pid"] == NOTIFIED && event["event"] != "process.exit";
    for event in events.iter().filter(is_told) {
        assert_eq!(
            ("notify", None, None),
            (event["via"].as_str().unwrap(), event.get("ret"), event.get("seq"))
        );
    }
}

#[test]
fn places_are_those_of_each_call_also_where_numbers_are_used_again_and_close_with_no_event() {
    let (kernel, sent_rx) = Kernel::new();
    let mut harness = Harness::with_origin(sent_rx);

    kernel.tell("unlinkat", &[5, PATH, 0], b"a", Stand("/", "/one"));
    kernel.tell("unlinkat", &[5, PATH, 0], b"a", Stand("/", "/two"));
    kernel.tell("unlink", &[PATH], b"a", Stand("/three", ""));
    kernel.tell("unlink", &[PATH], b"a", Stand("/four", ""));
    kernel.tell("fchmod", &[5, 0o600], b"", Stand("/", "socket:[9] TCP"));
    kernel.tell("connect", &[5, ADDRESS, 8], b"", Stand("/", "socket:[9] TCP"));
    harness.round();
    harness.die(NOTIFIED, 0);
    harness.round();

    let events = harness.finish();

    assert_eq!(
        vec![
            "file.unlink 20 /one/a a",
            "file.unlink 20 /two/a a",
            "file.unlink 20 /three/a a",
            "file.unlink 20 /four/a a",
            "file.chmod 20",
            "net.connect 20 127.0.0.1:8080 SOCK_STREAM",
            "process.exit 20",
        ],
        brief(&events, &["path", "path_raw", "remote", "type"])
    );
}
