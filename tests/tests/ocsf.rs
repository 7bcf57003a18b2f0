//! `-o ocsf`: every line of real programs is valid by the published schema, and says what `jsonl` says.
//!
//! PyPI's ocsf-json-schema validates, offline (`tests/programs/ocsf_validate.py`).

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use glassbox_tests::artefacts::root;
use glassbox_tests::child::{self, Status};
use glassbox_tests::scene::Scene;
use glassbox_tests::victim::victim;
use glassbox_tests::{glassbox, python};
use serde_json::Value as Json;
use wire::schema::EVENTS;

const VERSION: &str = "1.7.0";

/// Programs that together make every event of a run without faults (see `coverage.rs`), and one that the
/// sensor does not see into.
const PROGRAMS: [&str; 12] = [
    "close_family",
    "arguments",
    "names",
    "file_names",
    "security",
    "sockets",
    "statuses",
    "inside",
    "looks",
    "dlopen_runpath",
    "durations",
    "static_program",
];

/// Events that none of them makes.
const FAULTS: [&str; 2] = ["sensor.loss", "sensor.evasion"];

/// What rules of glassbox's own fire at: files, a program, a connection as standard input, a name asked for.
const ALERTED: &str = "cat /etc/shadow >/dev/null; mkdir .ssh; echo key >>.ssh/authorized_keys\n\
    (exec -a sshd true); /usr/bin/env true -o stratum+tcp://pool.invalid:3333\n\
    cp /bin/true tool; chmod 4755 tool; exec 3<>/dev/tcp/127.0.0.1/9\n\
    /usr/bin/python3 - <<'END'\n\
import os, socket\n\
s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()\n\
c = socket.create_connection(s.getsockname())\n\
if os.fork() == 0:\n    os.dup2(c.fileno(), 0); os.execv('/bin/sh', ['sh', '-c', 'true'])\n\
os.wait()\n\
END\n";

/// The lines of one run in both formats, and Falco's alerts.
#[derive(Default)]
struct Played {
    jsonl: Vec<Json>,
    ocsf: Vec<Json>,
    alerts: Vec<Json>,
    text: String,
}

fn parsed(text: &str) -> Vec<Json> {
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    text.lines().map(parse).collect()
}

impl Played {
    fn read([jsonl, ocsf, alerts]: [String; 3]) -> Self {
        Self { jsonl: parsed(&jsonl), ocsf: parsed(&ocsf), alerts: parsed(&alerts), text: ocsf }
    }

    /// Runs `arguments` in a scene.
    fn of(scene: &Scene, arguments: &[&str]) -> Self {
        let outputs = ["jsonl", "ocsf", "falco"].map(|format| (format, scene.beside(format)));
        let mut command = scene.command(glassbox());
        command.arg("run");
        for (format, file) in &outputs {
            command.args(["-o", &format!("{format}:{}", file.display())]);
        }
        command.arg("--").args(arguments);
        let ending = child::run(command, b"");
        assert_eq!("", ending.stderr.lines().filter(|line| line.contains("lacks")).collect::<String>());
        Self::read(outputs.map(|(_, file)| fs::read_to_string(file).unwrap()))
    }

    /// The lines that are events.
    fn events(&self) -> impl Iterator<Item = &Json> {
        self.ocsf.iter().filter(|line| line["class_uid"] != 2004)
    }

    /// The lines that are findings.
    fn findings(&self) -> impl Iterator<Item = &Json> {
        self.ocsf.iter().filter(|line| line["class_uid"] == 2004)
    }
}

/// What the published schema says of lines.
fn validated(lines: &str) -> Json {
    let mut command = Command::new(python::program());
    command.arg(root().join("tests/programs/ocsf_validate.py")).arg(VERSION);
    let ending = child::run(command, lines.as_bytes());
    assert_eq!(Status::Exited(0), ending.status, "{}", ending.stderr);
    serde_json::from_str(&ending.stdout).unwrap()
}

/// Whether two lines are of one event.
fn assert_same(event: &Json, line: &Json) {
    let unmapped = &line["unmapped"];
    let process = match &event["event"] {
        name if name == "process.start" => &line["process"],
        _ => &line["actor"]["process"],
    };
    let both = [
        (&event["event"], &line["metadata"]["event_code"]),
        (&event["time"], &line["time_dt"]),
        (&event["seq"], &line["metadata"]["sequence"]),
        (&event["pid"], &process["pid"]),
        (&event["exe"], &process["file"]["path"]),
        (&event["error"], &line["status_code"]),
        (&event["call"], &unmapped["call"]),
        (&event["ret"], &unmapped["ret"]),
        (&event["via"], &unmapped["via"]),
        (&event["fd"], &unmapped["fd"]),
        (&event["path_raw"], &unmapped["path_raw"]),
    ];
    for (expected, found) in both {
        assert_eq!(expected, found, "{event}\n{line}");
    }
    let path = event["path"].as_str();
    let is_there = |path: &str| line.to_string().contains(&Json::from(path).to_string());
    assert!(path.is_none_or(is_there), "{event}\n{line}");
    let ends =
        [&line["src_endpoint"], &line["dst_endpoint"]].map(|end| match (end["ip"].as_str(), &end["port"]) {
            (Some(ip), port) if ip.contains(':') => format!("[{ip}]:{port}"),
            (Some(ip), port) => format!("{ip}:{port}"),
            (None, _) => end["name"].as_str().unwrap_or_default().to_owned(),
        });
    if line["class_uid"] == 4001 {
        for end in ["local", "remote"].iter().filter_map(|end| event[end].as_str()) {
            assert!(ends.iter().any(|known| known == end), "{event}\n{line}");
        }
    }
}

#[test]
fn every_line_is_valid_and_says_what_jsonl_says() {
    let mut text = String::new();
    let mut lines = 0;
    let mut seen = BTreeSet::new();
    for program in PROGRAMS {
        for run in &victim(program).runs {
            let scene = Scene::of(program, &[]);
            scene.clean();
            let path = victim(program).path;
            let mut arguments = vec![path.to_str().unwrap()];
            arguments.extend(run.iter().map(String::as_str));
            let played = Played::of(&scene, &arguments);

            assert_eq!(played.jsonl.len(), played.events().count(), "{program}");
            played.jsonl.iter().zip(played.events()).for_each(|(event, line)| assert_same(event, line));
            seen.extend(played.jsonl.iter().map(|event| event["event"].as_str().unwrap().to_owned()));
            lines += played.ocsf.len();
            text.push_str(&played.text);
        }
    }

    let answer = validated(&text);

    assert_eq!(Json::Array(Vec::new()), answer["wrong"]);
    assert_eq!(lines as u64, answer["lines"]);
    let never: Vec<&str> = EVENTS
        .iter()
        .map(|spec| spec.name)
        .filter(|name| !seen.contains(*name) && !FAULTS.contains(name))
        .collect();
    assert_eq!(Vec::<&str>::new(), never);
}

#[test]
fn every_alert_is_a_valid_finding_with_its_event_as_evidence() {
    let scene = Scene::of("steady", &["0"]);
    scene.clean();
    fs::write(scene.work().join("play.sh"), ALERTED).unwrap();

    let played = Played::of(&scene, &["/bin/bash", "play.sh"]);

    assert_eq!(Json::Array(Vec::new()), validated(&played.text)["wrong"]);
    assert!(played.alerts.len() >= 7, "{:?}", played.alerts);
    assert_eq!(played.alerts.len(), played.findings().count());
    for (alert, finding) in played.alerts.iter().zip(played.findings()) {
        let info = &finding["finding_info"];
        assert_eq!(alert["rule"], info["title"]);
        assert_eq!(alert["time"], finding["time_dt"]);
        assert!(
            alert["output"].as_str().unwrap().ends_with(finding["message"].as_str().unwrap()),
            "{finding}"
        );
        assert_eq!(alert["priority"], finding["evidences"][0]["data"]["priority"]);
        assert!(info["attacks"].as_array().is_some_and(|attacks| !attacks.is_empty()), "{finding}");
        // The line before it that is no finding is its event.
        let place = played.ocsf.iter().position(|line| line == finding).unwrap();
        let event = played.ocsf[..place].iter().rfind(|line| line["class_uid"] != 2004).unwrap();
        assert_eq!(event["time_dt"], finding["time_dt"]);
        assert_eq!(event["type_uid"], info["related_events"][0]["type_uid"]);
        let evidence = &finding["evidences"][0];
        for attribute in ["file", "src_endpoint", "dst_endpoint", "query"] {
            assert_eq!(event[attribute], evidence[attribute], "{attribute}: {finding}");
        }
    }
    let evidence = |rule: &str| {
        let finding = played.findings().find(|finding| finding["finding_info"]["title"] == rule);
        finding.unwrap_or_else(|| panic!("no {rule}"))["evidences"][0].clone()
    };
    assert_eq!("/etc/shadow", evidence("Password hashes read")["file"]["path"]);
    assert_eq!(9, evidence("Shell opens a connection")["dst_endpoint"]["port"]);
    assert_eq!(0, evidence("Standard input is a connection")["data"]["target"]);
}
