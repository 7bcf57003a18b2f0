//! `-o otlp`: what receivers of OpenTelemetry's logs get is what `jsonl` says.
//!
//! rotel (PyPI) is a real receiver; what it passes on, and what is sent in the other tests, is read by
//! OpenTelemetry's own messages (`tests/programs/otlp_receiver.py`).

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use glassbox_tests::artefacts::root;
use glassbox_tests::child::{self, Ending, Running, Status, wait_until};
use glassbox_tests::scene::Scene;
use glassbox_tests::{glassbox, python};
use serde_json::Value as Json;

/// A receiver, and the file of what it got.
struct Receiver {
    file: PathBuf,
    port: u16,
    _process: Running,
}

impl Receiver {
    fn start(scene: &Scene, options: &[&str]) -> Self {
        let file = scene.beside("received");
        let mut command = Command::new(python::program());
        command.arg(root().join("tests/programs/otlp_receiver.py")).arg("serve").arg(&file).args(options);
        let process = child::start(command, b"");
        let port_file = scene.beside("received.port");
        wait_until("the receiver's port", || port_file.exists());
        let port = fs::read_to_string(port_file).unwrap().parse().unwrap();
        Self { file, port, _process: process }
    }

    fn records(&self) -> Vec<Json> {
        lines(&fs::read_to_string(&self.file).unwrap_or_default())
    }
}

fn lines(text: &str) -> Vec<Json> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|why| panic!("{why}: {line}")))
        .collect()
}

/// What every test plays: files, a connection that is refused, names, an alert.
const PLAYED: &str = "cat /etc/hostname missing >copy; mv copy other; ln -s other link; rm other\n\
    cat /etc/shadow >/dev/null; getent hosts localhost >/dev/null\n\
    (exec 3<>/dev/tcp/127.0.0.1/9); sleep ${PATIENCE:-0}";

/// Plays in a scene with an output more, and variables.
fn play(scene: &Scene, output: &str, variables: &[(&str, &str)]) -> (Ending, Vec<Json>, Vec<Json>) {
    scene.clean();
    fs::write(scene.work().join("play.sh"), PLAYED).unwrap();
    let [jsonl, falco] = ["jsonl", "falco"].map(|format| (format, scene.beside(format)));
    let mut command = scene.command(glassbox());
    command.arg("run").args(["-o", output]).envs(variables.iter().copied());
    for (format, file) in [&jsonl, &falco] {
        command.args(["-o", &format!("{format}:{}", file.display())]);
    }
    command.args(["--", "/bin/bash", "play.sh"]);
    let ending = child::run(command, b"");
    assert_eq!(Status::Exited(0), ending.status, "{}", ending.stderr);
    let [events, alerts] = [&jsonl, &falco].map(|(_, file)| lines(&fs::read_to_string(file).unwrap()));
    assert!(events.len() > 20 && alerts.len() >= 2, "{} {}", events.len(), alerts.len());
    (ending, events, alerts)
}

/// A free port, as long as no other program takes it.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn is_alert(record: &Json) -> bool {
    record["event_name"] == "glassbox.alert"
}

/// An event's key among those of a run.
fn key(event: &Json) -> (String, String, u64, u64) {
    let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
    let number = |name: &str| event[name].as_u64().unwrap_or(u64::MAX);
    (text("time"), text("event"), number("pid"), number("seq"))
}

/// The same of a record.
fn key_of(record: &Json) -> (String, String, u64, u64) {
    let attributes = &record["attributes"];
    let name = record["event_name"].as_str().unwrap().trim_start_matches("glassbox.").to_owned();
    let number = |name: &str| attributes[name].as_u64().unwrap_or(u64::MAX);
    (rfc3339(record["time"].as_u64().unwrap()), name, number("process.pid"), number("glassbox.seq"))
}

fn rfc3339(ns: u64) -> String {
    let mut command = Command::new("date");
    command.args(["-u", "-d", &format!("@{}", ns / 1_000_000_000), "+%Y-%m-%dT%H:%M:%S"]);
    let second = child::run(command, b"").stdout;
    format!("{}.{:09}Z", second.trim(), ns % 1_000_000_000)
}

/// Whether records say what the events of `jsonl` and the alerts say, each once.
fn assert_same(events: &[Json], alerts: &[Json], records: &[Json]) {
    let mut records: Vec<&Json> = records.iter().collect();
    records.sort_by_cached_key(|record| record["time"].as_u64());
    let (found_alerts, mut found): (Vec<&Json>, Vec<&Json>) =
        records.into_iter().partition(|record| is_alert(record));
    let mut events: Vec<&Json> = events.iter().collect();
    events.sort_by_cached_key(|event| key(event));
    found.sort_by_cached_key(|record| key_of(record));
    assert_eq!(events.len(), found.len());
    for (event, record) in events.iter().zip(&found) {
        assert_eq!(key(event), key_of(record), "{event}\n{record}");
        let attributes = &record["attributes"];
        for (field, attribute) in [
            ("ppid", "process.parent_pid"),
            ("exe", "process.executable.path"),
            ("uid", "process.real_user.id"),
            ("euid", "process.user.id"),
            ("tid", "thread.id"),
            ("error", "error.type"),
            ("call", "glassbox.call"),
            ("via", "glassbox.via"),
            ("ret", "glassbox.ret"),
            ("fd", "glassbox.fd"),
            ("flags", "glassbox.flags"),
        ] {
            assert_eq!(event[field], attributes[attribute], "{event}\n{record}");
        }
        let path = event["path"].as_str();
        let is_there = |path: &str| attributes.as_object().unwrap().values().any(|value| value == path);
        assert!(path.is_none_or(is_there), "{event}\n{record}");
        for (field, end) in [("local", "network.local"), ("remote", "network.peer")] {
            let address = attributes[format!("{end}.address")].as_str().unwrap_or_default();
            let shown = match &attributes[format!("{end}.port")] {
                Json::Null => address.to_owned(),
                port if address.contains(':') => format!("[{address}]:{port}"),
                port => format!("{address}:{port}"),
            };
            assert_eq!(event[field].as_str().unwrap_or_default(), shown, "{event}\n{record}");
        }
        assert_eq!("glassbox", record["resource"]["service.name"]);
    }
    let mut ids: Vec<&str> =
        found.iter().filter_map(|record| record["attributes"]["log.record.uid"].as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(events.len(), ids.len(), "an id of each");
    let mut rules: Vec<&str> = alerts.iter().filter_map(|alert| alert["rule"].as_str()).collect();
    let rule = |record: &Json| record["attributes"]["glassbox.rule.name"].as_str().unwrap().to_owned();
    let mut found_rules: Vec<String> = found_alerts.iter().map(|record| rule(record)).collect();
    rules.sort_unstable();
    found_rules.sort_unstable();
    assert_eq!(rules, found_rules);
}

/// A certificate authority, and a certificate for localhost.
fn certificates(folder: &Path) {
    let openssl = |arguments: &[&str]| {
        let mut command = Command::new("openssl");
        command.current_dir(folder).args(arguments);
        let ending = child::run(command, b"");
        assert_eq!(Status::Exited(0), ending.status, "{}", ending.stderr);
    };
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    let ca = ["req", "-x509", "-days", "2", "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.pem"];
    openssl(&[&ca[..], &key].concat());
    let own = ["req", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
    openssl(&[&own[..], &key, &["-keyout", "own.key", "-out", "own.csr"]].concat());
    openssl(&[
        "x509",
        "-req",
        "-in",
        "own.csr",
        "-days",
        "2",
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key",
        "-CAcreateserial",
        "-copy_extensions",
        "copy",
        "-out",
        "own.pem",
    ]);
}

#[test]
fn rotel_receives_every_event_and_alert() {
    let scene = Scene::of("steady", &["0"]);
    let receiver = Receiver::start(&scene, &[]);
    let (port, grpc_port) = (free_port(), free_port());
    // The package's program is a binary beside its module.
    let mut place = Command::new(python::program());
    place.args(["-c", "import rotel.agent; print(rotel.agent.Agent.agent_path)"]);
    let mut rotel = Command::new(child::run(place, b"").stdout.trim());
    rotel.arg("start").args(["--exporter", "otlp", "--otlp-exporter-protocol", "http"]);
    rotel.args(["--otlp-http-endpoint", &format!("127.0.0.1:{port}")]);
    rotel.args(["--otlp-grpc-endpoint", &format!("127.0.0.1:{grpc_port}")]);
    rotel.args(["--otlp-exporter-endpoint", &format!("http://127.0.0.1:{}", receiver.port)]);
    rotel.args(["--pid-file", scene.beside("rotel.pid").to_str().unwrap()]);
    rotel.args(["--log-file", scene.beside("rotel.log").to_str().unwrap()]);
    let _rotel = child::start(rotel, b"");
    wait_until("rotel", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());

    let (ending, events, alerts) = play(&scene, &format!("otlp:http://127.0.0.1:{port}"), &[]);

    assert_eq!("", ending.stderr.lines().filter(|line| line.contains("otlp")).collect::<String>());
    wait_until("what rotel passes on", || receiver.records().len() >= events.len() + alerts.len());
    assert_same(&events, &alerts, &receiver.records());
}

#[test]
fn receiver_with_an_authority_of_its_own_gets_the_headers_of_the_environment() {
    let scene = Scene::of("steady", &["0"]);
    certificates(scene.beside("").as_path());
    let path = |name: &str| scene.beside(name).to_str().unwrap().to_owned();
    let receiver = Receiver::start(&scene, &["--tls", &path("own.pem"), &path("own.key")]);
    let output = format!("otlp:https://localhost:{},ca={},headers=env:MORE", receiver.port, path("ca.pem"));
    let variables =
        [("OTEL_EXPORTER_OTLP_HEADERS", "x-scope=a%20b,x-tenant=1"), ("MORE", "Authorization: Bearer t")];

    let (ending, events, alerts) = play(&scene, &output, &variables);

    assert_eq!("", ending.stderr.lines().filter(|line| line.contains("otlp")).collect::<String>());
    let records = receiver.records();
    assert_same(&events, &alerts, &records);
    let headers = &records[0]["headers"];
    assert_eq!(
        ["a b", "1", "Bearer t"],
        ["x-scope", "x-tenant", "authorization"].map(|name| headers[name].as_str().unwrap())
    );
    assert_eq!("gzip", headers["content-encoding"]);
}

#[test]
fn receiver_of_another_authority_gets_nothing() {
    let scene = Scene::of("steady", &["0"]);
    certificates(scene.beside("").as_path());
    let path = |name: &str| scene.beside(name).to_str().unwrap().to_owned();
    let receiver = Receiver::start(&scene, &["--tls", &path("own.pem"), &path("own.key")]);

    let (ending, ..) = play(&scene, &format!("otlp:https://localhost:{}", receiver.port), &[]);

    assert!(ending.stderr.contains("otlp to 'https://localhost:"), "{}", ending.stderr);
    assert_eq!(Vec::<Json>::new(), receiver.records());
}

#[test]
fn records_that_are_refused_of_a_request_that_is_taken_are_lost_and_counted() {
    let scene = Scene::of("steady", &["0"]);
    let receiver = Receiver::start(&scene, &["--refuse", "3"]);

    let (ending, ..) = play(&scene, &format!("otlp:http://127.0.0.1:{}", receiver.port), &[]);

    let line = ending.stderr.lines().find(|line| line.contains("lacks")).unwrap_or_default();
    let lacks = line.split("lacks ").nth(1).and_then(|rest| rest.split(' ').next()?.parse::<u64>().ok());
    // Three of each request; the last one may have fewer.
    assert!(lacks.is_some_and(|lacks| lacks >= 3), "{}", ending.stderr);
    assert!(ending.stderr.contains("as the test asked"), "{}", ending.stderr);
}

#[test]
fn receiver_that_is_busy_gets_everything_later() {
    for status in ["429", "503"] {
        let scene = Scene::of("steady", &["0"]);
        let receiver = Receiver::start(&scene, &["--fail", status]);
        // The receiver asks for a second of patience, twice.
        let variables = [("PATIENCE", "5")];

        let (_, events, alerts) =
            play(&scene, &format!("otlp:http://127.0.0.1:{}", receiver.port), &variables);

        assert_same(&events, &alerts, &receiver.records());
    }
}

#[test]
fn output_without_a_destination_goes_to_the_endpoint_of_the_environment() {
    let scene = Scene::of("steady", &["0"]);
    let receiver = Receiver::start(&scene, &[]);
    let endpoint = format!("http://127.0.0.1:{}", receiver.port);
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "none"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test"),
    ];

    let (_, events, alerts) = play(&scene, "otlp", &variables);

    let records = receiver.records();
    assert_same(&events, &alerts, &records);
    assert_eq!("test", records[0]["resource"]["deployment.environment.name"]);
    assert!(records[0]["headers"]["content-encoding"].is_null());
}

#[test]
fn endpoint_of_the_environment_that_is_no_url_is_told() {
    let scene = Scene::of("steady", &["0"]);
    scene.clean();
    let mut command = scene.command(glassbox());
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318").args(["run", "-o", "otlp", "--", "true"]);

    let ending = child::run(command, b"");

    assert_eq!(Status::Exited(64), ending.status, "{}", ending.stderr);
    assert!(ending.stderr.contains("give -o otlp:http://HOST:PORT"), "{}", ending.stderr);
}
