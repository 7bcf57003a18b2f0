use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;

use rules::file::Priority;
use rules::format::Resolved;
use serde_json::{Value as Json, json};
use wire::events::Kind;
use wire::schema::EVENTS;

use super::*;
use crate::event::{Batch, Circumstances, Event, Facts, Names, Pod, Program, Rule, Value, Who, sample};
use crate::ids::{Pid, UtcNs};
use crate::sinks::encoder::Plan;

fn lines(batch: &Batch) -> Vec<Json> {
    let mut out = Vec::new();
    Ocsf::default().batch(batch, &mut out);
    let text = String::from_utf8(out).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|why| panic!("{why}: {line}")))
        .collect()
}

/// A batch with one event.
fn one(kind: Kind, values: &[(&str, Value)]) -> Batch {
    let mut batch = Batch::default();
    batch.whos = vec![sample::who()];
    batch.push(sample::head(kind));
    for (name, value) in values {
        batch.set(Shape::place(kind, name), *value);
    }
    batch
}

/// A process in a task of ECS, of which everything is known.
fn well_known() -> Arc<Who> {
    let mut container = (*sample::container("4f2c", "web")).clone();
    for (place, fact) in [
        (2, "111122223333.dkr.ecr.us-west-2.amazonaws.com/web:1"),
        (3, "sha256:25f3"),
        (4, "arn:aws:ecs:us-west-2:111122223333:container/0596"),
        (5, "arn:aws:ecs:us-west-2:111122223333:task/default/cd18"),
        (6, "web"),
        (7, "2"),
        (8, "arn:aws:ecs:us-west-2:111122223333:cluster/default"),
    ] {
        container.set(place, fact);
    }
    let facts =
        Facts { own_pid: Some(Pid(7)), started: Some(UtcNs(1_700_000_000_000_000_000)), ..Facts::default() };
    let shell = Program::new(Pid(4100), b"/bin/sh"[..].into(), b"sh\0-c\0cat x\0"[..].into(), None);
    let argv = b"cat\0x\xff\0"[..].into();
    let names = Names { user: Some("web".into()), group: Some("www".into()), login: None };
    Arc::new(Who {
        program: Program::new(Pid(4121), b"/usr/bin/cat"[..].into(), argv, Some(shell)).with(facts),
        euid: Some(1000),
        pid_ns: Some(4_026_531_836),
        container: Some(Arc::new(container)),
        claimed: crate::event::Claimed::PID,
        circumstances: Circumstances {
            egid: Some(33),
            names: Some(Arc::new(names)),
            pod: Some(Arc::new(Pod {
                uid: "1b4e28ba-2fa1-11d2-883f-0016d3cca427".into(),
                name: "web-0".into(),
                namespace: "shop".into(),
            })),
            ..Circumstances::default()
        },
        ..(*sample::who()).clone()
    })
}

/// An alert of each priority about each event.
fn with_alerts(mut batch: Batch) -> Batch {
    for event in 0..batch.events.len() {
        for priority in Priority::ALL {
            let tags = ["T1059", "T1059.004", "container", "mitre_execution"].map(str::to_owned).to_vec();
            let rule =
                Rule { name: format!("A \"{priority}\" \u{202e}"), priority, tags, source: "syscall".into() };
            let fields = vec![("proc.name".to_owned(), json!("cat")), ("evt.arg[x]".to_owned(), json!(null))];
            let output = Resolved { message: "cat read x\u{fffd}".into(), fields };
            batch.alerts.push(Alert { event, rule: Arc::new(rule), output });
        }
    }
    batch
}

/// An event of every kind in which each field has a value of its type, a text that says which it is, or a
/// number that nothing else has.
fn told_apart() -> Batch {
    let mut batch = Batch::default();
    batch.whos = vec![well_known()];
    for spec in EVENTS {
        batch.push(sample::head(spec.kind));
        for (place, field) in spec.fields().enumerate() {
            let text = format!("{}-{place}", field.name());
            let span = batch.keep(text.as_bytes());
            let list = batch.keep(format!("{text}\0").as_bytes());
            let map = batch.keep(format!("{text}=\0").as_bytes());
            let value = match field.shows {
                "path" => Value::Path(span, None),
                "boolean" => Value::Bool(true),
                "object of strings" | "object" => Value::Map(map),
                "number" => Value::Uint(770_000 + place as u64),
                shows if shows.starts_with("list of names") => {
                    Value::Names(&wire::names::OPEN, 1 << 40 | 0o100 << place)
                }
                shows if shows.starts_with("list") => Value::List(list),
                _ => Value::Text(span),
            };
            batch.set(place, value);
        }
    }
    batch
}

/// Says of lines whether the published schema takes them, by the script that the tests of programs use.
fn validated(batches: &[Batch]) -> Json {
    let mut encoder = Ocsf::default();
    let mut out = Vec::new();
    batches.iter().for_each(|batch| encoder.batch(batch, &mut out));
    let script = glassbox_tests::artefacts::root().join("tests/programs/ocsf_validate.py");
    let mut command = Command::new(glassbox_tests::python::program());
    command.arg(script).arg(class::VERSION).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(&out).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn schema_takes_every_kind_and_its_alerts_whatever_its_fields_hold() {
    let mut well = sample::every_kind();
    well.whos = vec![well_known()];
    well.request_id = Some("8476a536".into());
    let mut failed = sample::every_kind();
    failed.events.iter_mut().for_each(|event| (event.error, event.is_truncated) = ("ECONNREFUSED", true));
    let mut nothing = Batch::default();
    nothing.whos = vec![Arc::new(Who::default())];
    for spec in EVENTS {
        let head = sample::head(spec.kind);
        nothing.push(Event { call: "", ret: None, via: None, seq: None, tid: crate::ids::Tid(0), ..head });
    }
    let batches = [sample::every_kind(), well, failed, nothing, told_apart()].map(with_alerts);

    let answer = validated(&batches);

    assert_eq!(json!([]), answer["wrong"]);
    assert_eq!(json!(batches.len() * EVENTS.len() * 9), answer["lines"]);
    assert_eq!(json!(batches.len() * EVENTS.len() * 8), answer["counts"]["2004/1"]);
}

#[test]
fn schema_refuses_what_it_does_not_have() {
    let mut out = Vec::new();
    Ocsf::default().batch(&one(Kind::FileRmdir, &[]), &mut out);
    let line = String::from_utf8(out).unwrap();
    let check = |line: String| {
        let script = glassbox_tests::artefacts::root().join("tests/programs/ocsf_validate.py");
        let mut command = Command::new(glassbox_tests::python::program());
        command.arg(script).arg(class::VERSION).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(line.as_bytes()).unwrap();
        let answer: Json = serde_json::from_slice(&child.wait_with_output().unwrap().stdout).unwrap();
        answer["wrong"].as_array().unwrap().len()
    };

    assert_eq!(0, check(line.clone()));
    assert_eq!(1, check(line.replace("\"type_uid\":100104", "\"type_uid\":100103")));
    assert_eq!(1, check(line.replace("\"severity_id\":1", "\"severity_id\":42")));
    assert_eq!(1, check(line.replace("\"device\":", "\"devise\":")));
}

#[test]
fn no_value_of_an_event_is_left_out() {
    let batch = told_apart();

    for (event, line) in batch.events.iter().zip(lines(&batch)) {
        let text = line.to_string();
        for (place, field) in wire::schema::EventSpec::of(event.kind).unwrap().fields().enumerate() {
            let name = field.name();
            let is_there = match batch.values(event)[place] {
                Value::Bool(_) => text.contains(&format!("\"{name}\":true")),
                Value::Uint(number) => {
                    text.contains(&number.to_string()) || text.contains(&format!("{number:#x}"))
                }
                Value::Names(..) => text.contains(&format!("\"{name}\":[")),
                _ => text.contains(&format!("{name}-{place}")),
            };
            assert!(is_there, "{} lacks {name}: {text}", event.kind.name());
        }
    }
}

#[test]
fn file_that_was_opened_is_one_line() {
    let mut batch = one(Kind::FileOpen, &[]);
    let (path, raw) = (batch.keep(b"/etc/x\xff"), batch.keep(b"x\xff"));
    batch.set(Shape::place(Kind::FileOpen, "path"), Value::Path(path, Some(raw)));
    batch.set(Shape::place(Kind::FileOpen, "flags"), Value::Names(&wire::names::OPEN, 0o101));
    (batch.origin, batch.events[0].number) = (crate::event::Origin(0x9f86), 42);
    batch.events[0].error = "ENOENT";

    let mut line = lines(&batch).remove(0);

    let object = line.as_object_mut().unwrap();
    assert!(object.remove("device").unwrap()["hostname"].is_string());
    assert_eq!(
        json!({
            "metadata": {
                "version": "1.7.0",
                "product": {"name": "glassbox", "vendor_name": "glassbox", "version": env!("CARGO_PKG_VERSION")},
                "profiles": ["datetime", "host", "linux/linux_users"],
                "extensions": [{"name": "linux", "uid": "1", "version": "1.7.0"}],
                "log_name": "glassbox",
                "uid": "0000000000009f86-42",
                "event_code": "file.open",
                "sequence": 7,
            },
            "time": 1_700_000_000_123_u64,
            "time_dt": "2023-11-14T22:13:20.123456789Z",
            "status_id": 2,
            "status": "Failure",
            "status_code": "ENOENT",
            "category_uid": 1,
            "category_name": "System Activity",
            "class_uid": 1001,
            "class_name": "File System Activity",
            "activity_id": 14,
            "activity_name": "Open",
            "type_uid": 100_114,
            "severity_id": 1,
            "actor": {
                "process": {
                    "pid": 4121,
                    "name": "cat",
                    "file": {"name": "cat", "path": "/usr/bin/cat", "type_id": 1},
                    "user": {"uid": "1000"},
                    "ptid": 4121,
                    "cmd_line": "cat x",
                    "euid": 0,
                    "parent_process": {
                        "pid": 4100,
                        "name": "sh",
                        "file": {"name": "sh", "path": "/bin/sh", "type_id": 1},
                        "cmd_line": "sh -c cat x",
                    },
                    "ancestry": [{"pid": 4100, "name": "sh", "path": "/bin/sh"}],
                },
                "user": {"uid": "1000"},
            },
            "file": {"name": "x\\xff", "path": "/etc/x\\xff", "type_id": 0},
            "unmapped": {
                "call": "openat",
                "via": "symbol",
                "ret": 3,
                "path_raw": "x\\xff",
                "flags": ["O_WRONLY", "O_CREAT"],
            },
        }),
        line
    );
}

#[test]
fn program_that_begins_was_launched_by_its_parent() {
    let mut batch = one(Kind::ProcessStart, &[]);
    batch.whos = vec![well_known()];
    let (argv, env, cwd) = (batch.keep(b"cat\0a b\0"), batch.keep(b"LD_PRELOAD=/x\0"), batch.keep(b"/srv"));
    batch.set(Shape::place(Kind::ProcessStart, "argv"), Value::List(argv));
    batch.set(Shape::place(Kind::ProcessStart, "env"), Value::Map(env));
    batch.set(Shape::place(Kind::ProcessStart, "cwd"), Value::Text(cwd));

    let line = lines(&batch).remove(0);

    assert_eq!(json!(100_701), line["type_uid"]);
    assert_eq!(json!(3), line["launch_type_id"]);
    assert_eq!(json!(4100), line["actor"]["process"]["pid"]);
    let process = &line["process"];
    assert_eq!(
        json!([4121, "cat a b", "/srv"]),
        json!([process["pid"], process["cmd_line"], process["working_directory"]])
    );
    assert_eq!(json!([{"name": "LD_PRELOAD", "value": "/x"}]), process["environment_variables"]);
    assert_eq!(json!(["cat", "a b"]), line["unmapped"]["argv"]);
    assert_eq!(json!({"uid": "1000", "name": "web"}), process["user"]);
    assert_eq!(
        json!([7, 33, {"uid": "33", "name": "www"}]),
        json!([process["namespace_pid"], process["egid"], process["group"]])
    );
    assert_eq!(json!(1_700_000_000_000_u64), process["created_time"]);
    assert_eq!(json!("4f2c"), process["container"]["uid"]);
    assert_eq!(
        json!({"uid": "sha256:25f3", "name": "111122223333.dkr.ecr.us-west-2.amazonaws.com/web:1"}),
        process["container"]["image"]
    );
    assert_eq!(json!("1b4e28ba-2fa1-11d2-883f-0016d3cca427"), process["container"]["pod_uuid"]);
    let tags = process["container"]["tags"].as_array().unwrap();
    assert!(tags.contains(&json!({"name": "aws.ecs.task.family", "value": "web"})), "{tags:?}");
    assert!(tags.contains(&json!({"name": "k8s.namespace.name", "value": "shop"})), "{tags:?}");
    assert_eq!(
        json!({
            "provider": "AWS",
            "cloud_partition": "aws",
            "region": "us-west-2",
            "account": {"type_id": 10, "type": "AWS Account", "uid": "111122223333"},
        }),
        line["cloud"]
    );
    assert_eq!(
        json!([4_026_531_836_u64, ["pid"]]),
        json!([line["unmapped"]["pid_ns"], line["unmapped"]["claimed"]])
    );
}

#[test]
fn ends_of_a_connection_are_source_and_destination() {
    let connection = |kind, error, pending| {
        let mut batch = one(kind, &[]);
        let (local, remote) = (batch.keep(b"192.0.2.7:50000"), batch.keep(b"[2001:db8::1]:443"));
        for (name, value) in [
            ("local", Value::Text(local)),
            ("remote", Value::Text(remote)),
            ("family", Value::Word("AF_INET6")),
            ("type", Value::Word("SOCK_STREAM")),
        ] {
            batch.set(Shape::place(kind, name), value);
        }
        if pending {
            batch.set(Shape::place(kind, "pending"), Value::Bool(true));
        }
        batch.events[0].error = error;
        let line = lines(&batch).remove(0);
        json!([line["type_uid"], line["src_endpoint"]["port"], line["dst_endpoint"], line["connection_info"]])
    };
    let remote = json!({"ip": "2001:db8::1", "port": 443});
    let tcp = |direction| json!({"direction_id": direction, "protocol_name": "tcp", "protocol_num": 6, "protocol_ver_id": 6});

    assert_eq!(json!([400_101, 50000, remote, tcp(2)]), connection(Kind::NetConnect, "", false));
    assert_eq!(json!([400_199, 50000, remote, tcp(2)]), connection(Kind::NetConnect, "", true));
    assert_eq!(json!([400_105, 50000, remote, tcp(2)]), connection(Kind::NetConnect, "ECONNREFUSED", false));
    assert_eq!(
        json!([400_104, 50000, remote, tcp(2)]),
        connection(Kind::NetConnected, "EHOSTUNREACH", false)
    );
    assert_eq!(
        json!([400_101, 443, {"ip": "192.0.2.7", "port": 50000}, tcp(1)]),
        connection(Kind::NetAccept, "", false)
    );
    assert_eq!(json!([400_102, 50000, remote, tcp(0)]), connection(Kind::NetClose, "", false));
}

#[test]
fn alert_is_a_finding_behind_its_event_with_the_event_as_evidence() {
    let mut batch = one(Kind::FileUnlink, &[]);
    let path = batch.keep(b"/etc/x");
    batch.set(Shape::place(Kind::FileUnlink, "path"), Value::Path(path, None));
    batch.push(sample::head(Kind::FileRmdir));
    let rule = Rule {
        name: "Removed".into(),
        priority: Priority::Warning,
        tags: vec!["T1070.004".into(), "mitre_defense_evasion".into()],
        source: "syscall".into(),
    };
    let output = Resolved { message: "x is gone".into(), fields: vec![("fd.name".into(), json!("/etc/x"))] };
    batch.alerts.push(Alert { event: 0, rule: Arc::new(rule), output });

    batch.origin = crate::event::Origin(1);
    batch.events[0].number = 5;

    let lines = lines(&batch);

    let types: Vec<&Json> = lines.iter().map(|line| &line["type_uid"]).collect();
    assert_eq!([&json!(100_104), &json!(200_401), &json!(100_104)], types.as_slice());
    let finding = &lines[1];
    assert_eq!(
        json!(["x is gone", 3, true]),
        json!([finding["message"], finding["severity_id"], finding["is_alert"]])
    );
    let info = &finding["finding_info"];
    let (event_id, alert_id) = ("0000000000000001-5", finding["metadata"]["uid"].as_str().unwrap());
    assert!(alert_id.starts_with(&format!("{event_id}-")), "{alert_id}");
    assert_eq!(
        json!([event_id, alert_id, event_id]),
        json!([lines[0]["metadata"]["uid"], info["uid"], info["related_events"][0]["uid"]])
    );
    assert_eq!(json!(["Removed", "Removed"]), json!([info["title"], info["analytic"]["name"]]));
    assert_eq!(
        json!([{
            "tactic": {"uid": "TA0005", "name": "Defense Evasion"},
            "technique": {"uid": "T1070"},
            "sub_technique": {"uid": "T1070.004"},
        }]),
        info["attacks"]
    );
    let evidence = &finding["evidences"][0];
    assert_eq!(json!(4121), evidence["actor"]["process"]["pid"]);
    assert_eq!(json!({"name": "x", "path": "/etc/x", "type_id": 0}), evidence["file"]);
    assert_eq!(
        json!({
            "event": "file.unlink",
            "call": "openat",
            "via": "symbol",
            "ret": 3,
            "output_fields": {"fd.name": "/etc/x"},
            "priority": "Warning",
        }),
        evidence["data"]
    );
}

#[test]
fn command_line_of_an_actor_is_cut_and_its_own_start_has_it_whole() {
    let long = [b"cat\0".to_vec(), vec![b'x'; 4000], b"\0".to_vec()].concat();
    let program = Program::new(Pid(1), b"/bin/cat"[..].into(), (&*long).into(), None);
    let mut batch = one(Kind::FileRmdir, &[]);
    batch.whos = vec![Arc::new(Who { program, ..Who::default() })];
    batch.push(sample::head(Kind::ProcessStart));
    let argv = batch.keep(&long);
    batch.set(Shape::place(Kind::ProcessStart, "argv"), Value::List(argv));

    let lines = lines(&batch);

    let line = lines[0]["actor"]["process"]["cmd_line"].as_str().unwrap();
    assert!(line.starts_with("cat xxx") && line.ends_with("x…") && line.len() < 1100, "{}", line.len());
    assert_eq!(4004, lines[1]["process"]["cmd_line"].as_str().unwrap().len());
}

#[test]
fn table_of_the_documentation_is_the_tables() {
    let mut table = String::from("| event | class | activity | attributes |\n|---|---|---|---|\n");
    for row in ROWS {
        let mut rows: Vec<(String, Vec<&str>)> = Vec::new();
        for rows::Case { activity, parts } in row.cases {
            let class = format!("{} {}", activity.class.name, activity.class.uid);
            let shown = format!("{} {}", activity.id, activity.name);
            let fills: Vec<&str> =
                parts.iter().map(|part| part.fills).filter(|fills| *fills != "`launch_type_id`").collect();
            let attributes = format!("{class} | {{}} | {}", fills.join(", "));
            match rows.iter_mut().find(|(known, _)| *known == attributes) {
                Some((_, activities)) if activities.contains(&&*shown) => {}
                Some((_, activities)) => activities.push(shown.leak()),
                None => rows.push((attributes, vec![shown.leak()])),
            }
        }
        for (attributes, activities) in rows {
            let line = attributes.replace("{}", &activities.join(", "));
            table.push_str(&format!("| `{}` | {line} |\n", row.kind.name()));
        }
    }

    let page = include_str!("../../../../docs/outputs.md");
    assert!(page.contains(&table), "docs/outputs.md needs this table:\n{table}");
}

#[test]
fn only_events_or_only_alerts_are_written_where_that_is_asked() {
    let batch = with_alerts(one(Kind::FileRmdir, &[]));
    let classes = |only| {
        let mut out = Vec::new();
        (FORMAT.build)(&Plan { only, ..Plan::default() }).batch(&batch, &mut out);
        let parse = |line: &str| serde_json::from_str::<Json>(line).unwrap()["class_uid"].as_u64().unwrap();
        let mut classes: Vec<u64> = String::from_utf8(out).unwrap().lines().map(parse).collect();
        classes.dedup();
        classes
    };

    assert_eq!(vec![1001, 2004], classes(None));
    assert_eq!(vec![1001], classes(Some(Only::Events)));
    assert_eq!(vec![2004], classes(Some(Only::Alerts)));
}
