use std::io::Write as _;
use std::process::{Command, Stdio};

use rules::format::Resolved;
use serde_json::{Value as Json, json};
use wire::schema::{EVENTS, EventSpec};

use super::*;
use crate::event::{Origin, Rule, Value, sample};
use crate::sinks::parcel::Parcel;

/// The records in parcels, as OpenTelemetry's own messages read them.
fn records(parcels: &[u8]) -> Vec<Json> {
    // Requests may follow each other: a receiver reads them as one.
    let body: Vec<u8> = Parcel::all(parcels).flat_map(|parcel| parcel.body.to_vec()).collect();
    let script = glassbox_tests::artefacts::root().join("tests/programs/otlp_receiver.py");
    let mut command = Command::new(glassbox_tests::python::program());
    command.arg(script).arg("decode").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(&body).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn encoded(only: Option<Only>, batch: &Batch) -> Vec<u8> {
    let mut out = Vec::new();
    Otlp::with(only, |_| None).batch(batch, &mut out);
    out
}

/// A batch of one event with these texts.
fn one(kind: Kind, texts: &[(&str, &str)]) -> Batch {
    let mut batch = Batch::default();
    batch.whos.push(sample::who());
    batch.origin = Origin(1);
    batch.push(Event { number: 5, ..sample::head(kind) });
    for (name, text) in texts {
        let text = Value::Text(batch.keep(text.as_bytes()));
        batch.set(Shape::place(kind, name), text);
    }
    batch
}

fn alerted(mut batch: Batch) -> Batch {
    for event in 0..batch.events.len() {
        let rule = Rule {
            name: "Removed".into(),
            priority: Priority::Critical,
            tags: vec!["T1070".into(), "container".into()],
            source: "syscall".into(),
        };
        let output = Resolved { message: "x is gone".into(), fields: Vec::new() };
        batch.alerts.push(Alert { event, rule: Arc::new(rule), output });
    }
    batch
}

#[test]
fn every_kind_is_a_record_with_a_name_of_its_own_and_its_alert_another() {
    let mut batch = alerted(sample::every_kind());
    batch.request_id = Some("8476a536".into());

    let parcels = encoded(None, &batch);
    let records = records(&parcels);

    assert_eq!(2 * EVENTS.len(), records.len());
    for (pair, spec) in records.chunks(2).zip(EVENTS) {
        assert_eq!(format!("glassbox.{}", spec.name), pair[0]["event_name"]);
        assert_eq!("glassbox.alert", pair[1]["event_name"]);
        assert_eq!(spec.name, pair[1]["attributes"]["glassbox.event"]);
        for record in pair {
            assert_eq!(json!("8476a536"), record["attributes"]["faas.invocation_id"]);
            assert_eq!(1_700_000_000_123_456_789_u64, record["time"]);
        }
    }
    assert_eq!(EVENTS.len() as u64, parcel::events(&parcels));
}

#[test]
fn no_value_of_an_event_is_left_out() {
    let mut batch = Batch::default();
    batch.whos.push(sample::who());
    for spec in EVENTS {
        batch.push(sample::head(spec.kind));
        for (place, field) in spec.fields().enumerate() {
            let text = format!("{}-{place}", field.name());
            let (span, list) = (batch.keep(text.as_bytes()), batch.keep(format!("{text}\0").as_bytes()));
            let map = batch.keep(format!("{text}=\0").as_bytes());
            let value = match field.shows {
                "path" => Value::Path(span, Some(list)),
                "boolean" => Value::Bool(true),
                "number" => Value::Int(770_000 + place as i64),
                shows if shows.starts_with("object") => Value::Map(map),
                shows if shows.starts_with("list of names") => {
                    Value::Names(&wire::names::OPEN, 1 << 40 | 0o101)
                }
                shows if shows.starts_with("list") => Value::List(list),
                _ => Value::Text(span),
            };
            batch.set(place, value);
        }
    }

    for (event, record) in batch.events.iter().zip(records(&encoded(None, &batch))) {
        let attributes = record["attributes"].as_object().unwrap();
        for (place, field) in EventSpec::of(event.kind).unwrap().fields().enumerate() {
            let text = Json::Object(attributes.clone()).to_string();
            let is_there = match batch.values(event)[place] {
                Value::Bool(_) => attributes.values().any(|value| *value == true),
                Value::Int(ns) if field.name().ends_with("ed") => {
                    text.contains(&ns.to_string()) || text.contains("1970-01-01T00:00:00.00077")
                }
                Value::Int(number) => text.contains(&number.to_string()),
                Value::Names(..) => text.contains("O_CREAT"),
                Value::Path(..) => {
                    text.contains(&format!("\"{}-{place}\"", field.name()))
                        && text.contains(&format!("glassbox.{}_raw", field.name()))
                }
                _ => text.contains(&format!("{}-{place}", field.name())),
            };
            assert!(is_there, "{} lacks {}: {text}", event.kind.name(), field.name());
        }
    }
}

#[test]
fn connection_that_failed_is_one_record_by_the_conventions() {
    let mut batch = one(
        Kind::NetConnect,
        &[("local", "192.0.2.7:50000"), ("remote", "[2001:db8::1]:443"), ("host", "api.example.com")],
    );
    batch.set(Shape::place(Kind::NetConnect, "family"), Value::Word("AF_INET6"));
    batch.set(Shape::place(Kind::NetConnect, "type"), Value::Word("SOCK_STREAM"));
    batch.events[0].error = "ECONNREFUSED";
    batch.events[0].call = "connect";

    let mut record = records(&encoded(None, &batch)).remove(0);

    assert!(record["observed"].as_u64().unwrap() > 1_700_000_000_000_000_000);
    let resource = record["resource"].as_object_mut().unwrap();
    assert!(resource.remove("host.name").is_some() && resource.remove("host.arch").is_some());
    let object = record.as_object_mut().unwrap();
    object.remove("observed");
    assert_eq!(
        json!({
            "resource": {"service.name": "glassbox", "os.type": "linux"},
            "scope": "glassbox",
            "time": 1_700_000_000_123_456_789_u64,
            "severity": 9,
            "severity_text": "INFO",
            "event_name": "glassbox.net.connect",
            "body": "cat net.connect [2001:db8::1]:443 ECONNREFUSED",
            "attributes": {
                "log.record.uid": "0000000000000001-5",
                "process.pid": 4121,
                "process.parent_pid": 4100,
                "process.user.id": 0,
                "process.real_user.id": 1000,
                "process.executable.path": "/usr/bin/cat",
                "process.executable.name": "cat",
                "process.command_args": ["cat", "x"],
                "thread.id": 4121,
                "error.type": "ECONNREFUSED",
                "network.local.address": "192.0.2.7",
                "network.local.port": 50000,
                "network.peer.address": "2001:db8::1",
                "network.peer.port": 443,
                "network.transport": "tcp",
                "network.type": "ipv6",
                "server.address": "api.example.com",
                "glassbox.call": "connect",
                "glassbox.via": "symbol",
                "glassbox.seq": 7,
                "glassbox.ret": 3,
            },
        }),
        record
    );
}

#[test]
fn alert_has_its_rule_and_the_attributes_of_its_event() {
    let records =
        records(&encoded(Some(Only::Alerts), &alerted(one(Kind::FileUnlink, &[("path", "/etc/x\u{202e}")]))));

    let [alert] = records.as_slice() else { panic!("{records:?}") };
    assert_eq!(
        json!([18, "Critical", "x is gone"]),
        json!([alert["severity"], alert["severity_text"], alert["body"]])
    );
    let attributes = &alert["attributes"];
    assert_eq!(json!("Removed"), attributes["glassbox.rule.name"]);
    assert_eq!(json!(["T1070", "container"]), attributes["glassbox.rule.tags"]);
    assert_eq!(json!("/etc/x\u{202e}"), attributes["file.path"]);
    assert_eq!(json!("0000000000000001-5"), attributes["glassbox.event_id"]);
    assert!(attributes["log.record.uid"].as_str().unwrap().starts_with("0000000000000001-5-"));
}

#[test]
fn records_of_a_container_have_a_resource_of_their_own() {
    let mut container = (*sample::container("4f2c", "web")).clone();
    container.set(2, "registry:5000/web:1.2@sha256:00");
    container.set(5, "arn:aws:ecs:us-west-2:111122223333:task/default/cd18");
    let mut batch = one(Kind::FileRmdir, &[]);
    batch.whos.push(sample::who_in(&Arc::new(container)));
    for who in [1, 0, 1] {
        batch.push(Event { who, ..sample::head(Kind::FileRmdir) });
    }
    let variables = |name: &str| match name {
        "OTEL_RESOURCE_ATTRIBUTES" => {
            Some("deployment.environment.name=a%20b,service.name=x,nonsense".to_owned())
        }
        "OTEL_SERVICE_NAME" => Some("shop".to_owned()),
        _ => None,
    };
    let mut out = Vec::new();

    Otlp::with(None, variables).batch(&batch, &mut out);

    let resources: Vec<Json> = records(&out).into_iter().map(|record| record["resource"].clone()).collect();
    let of =
        |names: &[&str], resource: &Json| names.iter().map(|name| resource[*name].clone()).collect::<Json>();
    assert_eq!(1, Parcel::all(&out).count());
    assert_eq!(
        json!([null, null, "4f2c", "4f2c"]),
        resources.iter().map(|resource| resource["container.id"].clone()).collect::<Json>()
    );
    assert_eq!(
        json!(["shop", "a b", "registry:5000/web", ["1.2"], "cd18", "us-west-2", "111122223333", "aws"]),
        of(
            &[
                "service.name",
                "deployment.environment.name",
                "container.image.name",
                "container.image.tags",
                "aws.ecs.task.id",
                "cloud.region",
                "cloud.account.id",
                "cloud.provider",
            ],
            &resources[3]
        )
    );
}

#[test]
fn parcels_are_bounded_and_stand_for_all_events() {
    let mut batch = Batch::default();
    batch.whos.push(sample::who());
    for _ in 0..2000 {
        batch.push(sample::head(Kind::FileRmdir));
    }

    let out = encoded(None, &batch);

    let longest = Parcel::all(&out).map(|parcel| parcel.body.len()).max().unwrap();
    assert!(longest < PARCEL_BYTES + 4096 && Parcel::all(&out).count() > 3, "{longest}");
    assert_eq!(2000, parcel::events(&out));
    assert_eq!(2000, records(&out).len());
}

#[test]
fn table_of_the_documentation_is_the_names() {
    let mut table = String::from("| events | field | attribute |\n|---|---|---|\n");
    for (events, field, attribute, form) in names::NAMES {
        let events: Vec<String> =
            events.iter().map(|event| format!("`{}`", event.trim_end_matches('.'))).collect();
        let attribute = match form {
            Form::End => format!("`{attribute}.address`, `{attribute}.port`"),
            Form::Each => format!("`{attribute}.NAME`"),
            Form::Transport => format!("`{attribute}`: `tcp`, `udp`, `unix`; else `glassbox.type`"),
            Form::Network => format!("`{attribute}`: `ipv4`, `ipv6`; else `glassbox.family`"),
            Form::Octal => format!("`{attribute}`, octal"),
            Form::Moment => format!("`{attribute}`, RFC 3339"),
            Form::Plain | Form::Text => format!("`{attribute}`"),
        };
        table.push_str(&format!("| {} | `{field}` | {attribute} |\n", events.join(", ")));
    }

    let page = include_str!("../../../../docs/outputs.md");
    assert!(page.contains(&table), "docs/outputs.md needs this table:\n{table}");
}
