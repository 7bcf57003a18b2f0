//! `-o clickhouse` against Debian's server of 2018: what is in its tables is what `jsonl` and `falco` say.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;

use glassbox_tests::child::{self, Running, wait_until};
use glassbox_tests::{Status, canonical, glassbox};
use serde_json::Value;
use tempfile::TempDir;

/// A server with a directory of its own; dropping it kills it.
struct ClickHouse {
    _running: Running,
    _dir: TempDir,
    port: u16,
}

impl ClickHouse {
    fn start() -> ClickHouse {
        let dir = TempDir::new().unwrap();
        let listeners: Vec<TcpListener> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let ports: Vec<u16> = listeners.iter().map(|port| port.local_addr().unwrap().port()).collect();
        drop(listeners);
        let path = dir.path().display();
        fs::write(
            dir.path().join("config.xml"),
            format!(
                "<?xml version=\"1.0\"?><yandex><logger><level>error</level><console>1</console></logger>\
                 <http_port>{}</http_port><tcp_port>{}</tcp_port><interserver_http_port>{}</interserver_http_port>\
                 <listen_host>127.0.0.1</listen_host><path>{path}/data/</path><tmp_path>{path}/tmp/</tmp_path>\
                 <mark_cache_size>100000000</mark_cache_size><users_config>users.xml</users_config>\
                 <default_profile>default</default_profile><default_database>default</default_database></yandex>",
                ports[0], ports[1], ports[2]
            ),
        )
        .unwrap();
        fs::write(
            dir.path().join("users.xml"),
            "<?xml version=\"1.0\"?><yandex><profiles><default/></profiles><users><default><password>secret</password>\
             <networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota></default></users>\
             <quotas><default/></quotas></yandex>",
        )
        .unwrap();
        let mut command = Command::new("clickhouse-server");
        command.arg(format!("--config-file={path}/config.xml")).current_dir(dir.path());
        let mut running = child::start(command, b"");
        wait_until("the server", || {
            assert!(running.is_alive(), "clickhouse-server ended");
            TcpStream::connect(("127.0.0.1", ports[0])).is_ok()
        });
        ClickHouse { _running: running, _dir: dir, port: ports[0] }
    }

    /// The lines of an answer.
    fn ask(&self, statement: &str) -> Vec<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let request = format!(
            "POST /?user=default&password=secret HTTP/1.0\r\nContent-Length: {}\r\n\r\n{statement}",
            statement.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.0 200"), "{statement}: {answer}");
        body.lines().map(str::to_owned).collect()
    }
}

const SCRIPT: &str = "cat /etc/shadow >/dev/null; printf 'a\\377' >\"x\\y\"; ls /nonexistent; \
    python3 -c \"import socket; socket.create_connection(('127.0.0.1', 1))\"; ln -s a b; chmod 700 b; true";

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn rows_are_the_events_and_alerts_of_the_run() {
    let server = ClickHouse::start();
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("headers"), "X-ClickHouse-User: default\nX-ClickHouse-Key: secret\n").unwrap();
    let url =
        format!("clickhouse:http://127.0.0.1:{}/?database=default&table=seen,headers=headers", server.port);
    let mut command = Command::new(glassbox());
    command.current_dir(dir.path()).args(["run", "-o", &url, "-o", "jsonl:jsonl", "-o", "falco:falco"]);
    command.args(["--", "/bin/sh", "-c", SCRIPT]);

    let ending = child::run(command, b"");

    assert_eq!(Status::Exited(0), ending.status, "{}", ending.stderr);
    assert!(!ending.stderr.contains("glassbox:"), "{}", ending.stderr);
    let text = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
    // The whole event stands in each row, with its id.
    let rows = server.ask("SELECT json FROM seen FINAL ORDER BY id FORMAT TSVRaw");
    let mut stored: Vec<Value> = rows.iter().flat_map(|row| lines(row)).collect();
    let mut ids: Vec<String> = Vec::new();
    for row in &mut stored {
        ids.push(row.as_object_mut().unwrap().remove("id").unwrap().as_str().unwrap().to_owned());
    }
    let shown = |events: &[Value]| {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        events.iter().for_each(|event| *counts.entry(canonical(event)).or_default() += 1);
        counts
    };
    let written = lines(&text("jsonl"));
    assert_eq!(shown(&written), shown(&stored));
    assert_eq!(written.len(), ids.iter().collect::<std::collections::BTreeSet<_>>().len());

    // Columns say the same as the whole.
    let columns =
        "event, pid, exe, path, arrayStringConcat(argv, '|'), remote, error, toString(ret), toString(code)";
    let rows =
        server.ask(&format!("SELECT {columns} FROM seen FINAL ORDER BY event, time, id FORMAT JSONCompact"));
    let rows: Value = serde_json::from_str(&rows.join("\n")).unwrap();
    assert_eq!(written.len(), rows["data"].as_array().unwrap().len());
    let of = |event: &Value, key: &str| match &event[key] {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("|"),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    let keys = ["event", "pid", "exe", "path", "argv", "remote", "error", "ret", "code"];
    let mut expected: Vec<Vec<String>> =
        written.iter().map(|event| keys.iter().map(|key| of(event, key)).collect()).collect();
    let of_row = |row: &Value| {
        let cells = row.as_array().unwrap().iter();
        cells
            .map(|cell| match cell {
                Value::String(text) => text.clone(),
                Value::Null => String::new(),
                other => other.to_string(),
            })
            .collect()
    };
    let mut found: Vec<Vec<String>> = rows["data"].as_array().unwrap().iter().map(of_row).collect();
    expected.sort();
    found.sort();
    assert_eq!(expected, found);

    let alerts = server.ask("SELECT json FROM seen_alerts FINAL ORDER BY time FORMAT TSVRaw");
    assert_eq!(lines(&text("falco")), alerts.iter().flat_map(|alert| lines(alert)).collect::<Vec<_>>());
    let joined = server.ask("SELECT count() FROM seen_alerts WHERE event_id IN (SELECT id FROM seen)");
    assert_eq!(vec![alerts.len().to_string()], joined);
}

#[test]
fn wrong_password_is_told_and_events_wait() {
    let server = ClickHouse::start();
    let dir = TempDir::new().unwrap();
    let url = format!("clickhouse:http://127.0.0.1:{},spool=spool", server.port);
    let mut command = Command::new(glassbox());
    command.current_dir(dir.path()).args(["run", "-o", &url, "--", "/bin/true"]);

    let ending = child::run(command, b"");

    assert!(ending.stderr.contains("events wait in its spool"), "{}", ending.stderr);
    assert!(ending.stderr.to_lowercase().contains("password"), "{}", ending.stderr);
}
