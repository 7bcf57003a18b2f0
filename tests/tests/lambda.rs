//! The Lambda layer in a sandbox that `tests/programs/lambda_sandbox.py` plays, with AWS' own runtime clients
//! for Python and Node. A function answers as it does without the layer, and its events are delivered with
//! the id of the request, before the freeze.
//!
//! unzip(1) unpacks the layer into a folder that is `/opt` in namespaces of the test's own.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use glassbox_tests::artefacts::{glassbox, root, sensor};
use glassbox_tests::child::{self, Status};
use glassbox_tests::events::{Event, Events, Expect};
use glassbox_tests::{node, python};
use serde_json::{Value, json};

/// A sandbox's `/opt`, its function, and the files beside them.
struct Place {
    dir: tempfile::TempDir,
    /// Requests that the receiver in the sandbox does not answer.
    hangs: u32,
}

/// The events of a sandbox's life.
struct Played {
    told: Value,
}

/// The port of a receiver of outputs, in the sandbox's own network.
const RECEIVER: u16 = 8123;
const PRELOAD: (&str, &str) = ("LD_PRELOAD", "/opt/lib/libglassbox.so");
const WRAPPER: (&str, &str) = ("AWS_LAMBDA_EXEC_WRAPPER", "/opt/glassbox-wrapper");

impl Place {
    /// A sandbox with an empty `/opt`.
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("gbx-lambda-").tempdir().expect("a temporary directory");
        for folder in ["opt", "task", "work"] {
            fs::create_dir(dir.path().join(folder)).expect("our own directory");
        }
        let place = Self { dir, hangs: 0 };
        for (program, name) in [("lambda_function.py", "app.py"), ("lambda_function.js", "app.js")] {
            fs::copy(program_file(program), place.path("task").join(name)).expect("the function");
        }
        place
    }

    /// A sandbox with the layer in `/opt`.
    fn with_layer() -> Self {
        let place = Self::new();
        place.unpack(&place.layer());
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The layer's zip file. The pair under test need not be the portable one, because the sandbox has this
    /// machine's libc.
    fn layer(&self) -> PathBuf {
        let file = self.path("layer.zip");
        let mut command = Command::new(glassbox());
        command.args(["lambda-layer", "--unportable", "-o"]).arg(&file);
        let ending = child::run(command, b"");
        assert_eq!(Status::Exited(0), ending.status, "{}", ending.stderr);
        file
    }

    fn unpack(&self, zip: &Path) {
        let mut command = Command::new("unzip");
        command.arg("-q").arg(zip).arg("-d").arg(self.path("opt"));
        let ending = child::run(command, b"");
        assert_eq!(Status::Exited(0), ending.status, "unzip: {}", ending.stderr);
    }

    /// Plays a sandbox of the Python function to its end.
    fn play(&self, environment: &[(&str, &str)], steps: Value) -> Played {
        let python = python::program();
        self.play_with(
            &[python.to_str().expect("UTF-8"), "-m", "awslambdaric", "app.handler"],
            environment,
            true,
            steps,
        )
    }

    fn play_with(
        &self,
        runtime: &[&str],
        environment: &[(&str, &str)],
        telemetry: bool,
        steps: Value,
    ) -> Played {
        let environment: BTreeMap<&str, &str> = environment.iter().copied().collect();
        let scenario = json!({
            "task": self.path("task"), "runtime": runtime, "handler": "app.handler",
            "environment": environment, "telemetry": telemetry, "steps": steps,
            "receiver": {"port": RECEIVER, "hangs": self.hangs},
        });
        fs::write(self.path("scenario.json"), scenario.to_string()).expect("our own file");
        let script = "mount --make-rprivate / && mount --bind \"$1\" /opt && shift && exec \"$@\"";
        let mut command = Command::new("unshare");
        command
            .args([
                "--mount",
                "--net",
                "--pid",
                "--fork",
                "--kill-child",
                "--mount-proc",
                "sh",
                "-c",
                script,
                "sh",
            ])
            .arg(self.path("opt"));
        command.arg(python::program()).arg(program_file("lambda_sandbox.py")).arg(self.path("scenario.json"));
        let ending = child::run(command, b"");
        assert_eq!(Status::Exited(0), ending.status, "the sandbox failed: {}", ending.stderr);
        Played {
            told: serde_json::from_str(&ending.stdout).unwrap_or_else(|error| panic!("{error}: {ending:?}")),
        }
    }

    /// A step that opens `name`, connects, and starts a child.
    fn work(&self, name: &str) -> Value {
        json!({"invoke": {"do": "work", "file": self.path("work").join(name), "text": name}, "timeout_ms": 20_000})
    }

    /// A step that does `what` instead, after it opened `name`.
    fn wrong(&self, what: &str, name: &str, timeout_ms: u64) -> Value {
        json!({"invoke": {"do": what, "file": self.path("work").join(name)}, "timeout_ms": timeout_ms})
    }
}

fn program_file(name: &str) -> PathBuf {
    root().join("tests/programs").join(name)
}

impl Played {
    /// The result of each invocation: its status, and the function's answer.
    fn answers(&self) -> Vec<(String, Value)> {
        self.list("replies").iter().map(|reply| (text(&reply["status"]), reply["answer"].clone())).collect()
    }

    fn statuses(&self) -> Vec<String> {
        self.list("replies").iter().map(|reply| text(&reply["status"])).collect()
    }

    fn request_ids(&self) -> Vec<String> {
        self.list("replies").iter().map(|reply| text(&reply["request_id"])).collect()
    }

    fn list(&self, what: &str) -> &[Value] {
        self.told[what].as_array().expect("a list")
    }

    /// The messages of `who`, in order, also over restarts.
    fn said(&self, who: &str) -> Vec<&Value> {
        self.list("said").iter().filter(|said| said["who"] == who).collect()
    }

    /// The events of the extension, in order; it must have written nothing else, and have ended well.
    fn events(&self) -> Events {
        let mut all = String::new();
        for said in self.said("glassbox") {
            assert_eq!((json!(0), json!("")), (said["status"].clone(), said["stderr"].clone()));
            all.push_str(said["stdout"].as_str().expect("text"));
        }
        assert!(self.list("errors").is_empty(), "{:?}", self.list("errors"));
        Events::parse(&all, Expect::NothingLost).unwrap_or_else(|broken| panic!("{}", broken.join("\n")))
    }

    /// The measured times, in milliseconds.
    fn milliseconds(&self, what: &str, who: Option<&str>) -> Vec<f64> {
        let times =
            self.list("times").iter().filter(|time| time["what"] == what && time["who"].as_str() == who);
        times.map(|time| time["ms"].as_f64().expect("it came to that")).collect()
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// The events of a request of the kinds that the function's work makes, sorted: the end of a child may be
/// reported after later calls of its parent. Files elsewhere are left out: these are modules, which are
/// opened once.
fn deeds(events: &Events, request_id: Option<&str>, place: &Place) -> Vec<String> {
    let is_of = |event: &&Event| event.text("request_id") == request_id;
    let work = place.path("work");
    let deed = |event: &Event| match event.name() {
        "file.open" if Path::new(event.path()).starts_with(&work) => {
            Some(format!("open {}", file_name(event)))
        }
        "net.connect" => Some("connect".to_owned()),
        "process.start" => Some(format!("start {}", event.list("argv").join(" "))),
        "process.exit" => Some(match event.number("code") {
            Some(code) => format!("exit {code}"),
            None => format!("killed by {}", event.field("signal").unwrap_or(&Value::Null)),
        }),
        _ => None,
    };
    sorted(events.iter().filter(is_of).filter_map(deed))
}

fn sorted(deeds: impl Iterator<Item = String>) -> Vec<String> {
    let mut deeds: Vec<String> = deeds.collect();
    deeds.sort();
    deeds
}

fn file_name(event: &Event) -> &str {
    event.path().rsplit('/').next().unwrap_or_default()
}

/// The events of one call of the function.
fn work_on(name: &str) -> Vec<String> {
    let (open, start) = (format!("open {name}"), format!("start /bin/echo {name}"));
    sorted([open.clone(), "connect".to_owned(), start, "exit 0".to_owned(), open].into_iter())
}

#[test]
fn function_answers_the_same_and_every_invocation_is_told_with_its_id() {
    let steps = |place: &Place| json!([place.work("one"), place.work("two"), place.work("three")]);
    let (bare, place) = (Place::new(), Place::with_layer());

    let alone = bare.play(&[], steps(&bare));
    let seen = place.play(&[PRELOAD], steps(&place));

    let answer = |name: &str| {
        let body = format!(r#"{{"greeting": "hello", "child": "{name}\n", "read": "{name}"}}"#);
        ("success".to_owned(), json!({"kind": "response", "body": body}))
    };
    assert_eq!(["one", "two", "three"].map(answer).to_vec(), alone.answers());
    assert_eq!(alone.answers(), seen.answers());
    assert_eq!(alone.said("runtime")[0]["stderr"], seen.said("runtime")[0]["stderr"]);
    let events = seen.events();
    for (name, id) in ["one", "two", "three"].iter().zip(seen.request_ids()) {
        assert_eq!(work_on(name), deeds(&events, Some(&id), &place), "{name}");
    }
    // The runtime's start, its connection to the API, and its end belong to no request.
    let rest = deeds(&events, None, &place);
    assert_eq!(3, rest.len(), "{rest:?}");
    assert_eq!(["connect", "killed by 15"], rest[..2], "{rest:?}");
    assert!(rest[2].starts_with("start ") && rest[2].ends_with("-m awslambdaric app.handler"), "{rest:?}");
}

#[test]
fn what_an_invocation_did_is_delivered_before_the_sandbox_is_frozen() {
    let place = Place::with_layer();
    let freeze = json!({"freeze_ms": 1500});

    let seen = place
        .play(&[PRELOAD], json!([place.work("one"), freeze, place.work("two"), freeze, place.work("three")]));

    let events = seen.events();
    for (reply, name) in seen.list("replies").iter().zip(["one", "two", "three"]) {
        let id = text(&reply["request_id"]);
        assert_eq!(work_on(name), deeds(&events, Some(&id), &place), "{name}");
        assert_delivered(&seen, reply);
    }
    // The clocks went on during the freeze: the times are those of the work, not of the thaw.
    let times = ["one", "three"].map(|name| text(&json!(events.opens(name)[0].text("time"))));
    assert!(seconds(&times[1]) - seconds(&times[0]) >= 3.0, "{times:?}");
}

/// Checks that no event of an invocation was delivered after the sandbox was frozen.
fn assert_delivered(seen: &Played, reply: &Value) {
    let all = text(&seen.said("glassbox")[0]["stdout"]);
    let delivered = reply["delivered"]["glassbox"].as_u64().expect("a number of bytes") as usize;
    let id = text(&reply["request_id"]);
    let late = all[delivered..].lines().filter(|line| line.contains(&id)).collect::<Vec<_>>();
    assert!(late.is_empty(), "after the freeze: {late:#?}");
}

/// The seconds of the day in an RFC 3339 time.
fn seconds(time: &str) -> f64 {
    let clock = time.split_once('T').expect("a date").1.trim_end_matches('Z');
    clock.split(':').fold(0.0, |sum, part| sum * 60.0 + part.parse::<f64>().expect("a number"))
}

#[test]
fn exec_wrapper_starts_the_runtime_under_the_sensor_and_nothing_else() {
    let place = Place::with_layer();

    let seen = place.play(&[WRAPPER], json!([place.work("one"), place.work("two")]));
    let switched_off = place.play(&[WRAPPER, ("GLASSBOX", "off")], json!([place.work("one")]));

    assert_eq!(["success", "success"], seen.statuses()[..]);
    let events = seen.events();
    for (name, id) in ["one", "two"].iter().zip(seen.request_ids()) {
        assert_eq!(work_on(name), deeds(&events, Some(&id), &place), "{name}");
    }
    assert_eq!(["success"], switched_off.statuses()[..]);
    assert!(switched_off.events().is_empty());
}

#[test]
fn wrapper_keeps_what_is_preloaded_already_and_names_the_sensor_once() {
    let place = Place::with_layer();
    let wrapper = place.path("opt/glassbox-wrapper");
    let ours = place.path("opt/lib/libglassbox.so").display().to_string();
    let shown = |preload: Option<&str>| {
        let mut command = Command::new(&wrapper);
        command
            .args(["/bin/sh", "-c", "echo \"$LD_PRELOAD\"; exit 3"])
            .env("GLASSBOX_SOCKET", place.path("nobody"));
        command.env_remove("LD_PRELOAD");
        preload.map(|preload| command.env("LD_PRELOAD", preload));
        let ending = child::run(command, b"");
        assert_eq!(Status::Exited(3), ending.status);
        ending.stdout.trim_end().to_owned()
    };
    let other = "libm.so.6";

    assert_eq!(ours, shown(None));
    assert_eq!(ours, shown(Some("")));
    assert_eq!(format!("{other}:{ours}"), shown(Some(other)));
    for present in [ours.clone(), format!("{ours}:{other}"), format!("{other} {ours}")] {
        assert_eq!(present, shown(Some(&present)));
    }
    fs::remove_file(&ours).unwrap();
    assert_eq!("", shown(None));
}

#[test]
fn other_extensions_stay_unseen_although_the_sensor_is_preloaded_into_them() {
    let place = Place::with_layer();
    let vendor = place.path("opt/extensions/vendor");
    fs::copy(program_file("lambda_vendor.py"), &vendor).unwrap();
    fs::set_permissions(&vendor, fs::Permissions::from_mode(0o755)).unwrap();

    let seen = place.play(&[PRELOAD], json!([place.work("one"), place.work("two")]));

    assert_eq!(["success", "success"], seen.statuses()[..]);
    let lines = text(&seen.said("vendor")[0]["stdout"]);
    let said: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        ["INVOKE", "INVOKE", "SHUTDOWN"].map(|event| json!(event)),
        *said.iter().map(|one| one["event"].clone()).collect::<Vec<_>>()
    );
    // In its own process and in its child's.
    assert!(said.iter().all(|one| one["mapped"] == json!([true, true])), "{said:?}");
    let pid = said[0]["pid"].as_i64().unwrap();
    let events = seen.events();
    assert!(
        !events.iter().any(|event| event.pid() == pid || event.number("ppid") == Some(pid)),
        "{}",
        events.outline()
    );
    assert_eq!(work_on("two"), deeds(&events, Some(&seen.request_ids()[1]), &place));
}

#[test]
fn function_that_takes_too_long_is_told_of_to_its_end_and_another_sandbox_follows() {
    let place = Place::with_layer();

    let seen = place
        .play(&[PRELOAD], json!([place.work("one"), place.wrong("hang", "slow", 1500), place.work("three")]));

    assert_eq!(["success", "timeout", "success"], seen.statuses()[..]);
    let events = seen.events();
    let [one, slow, three] = &seen.request_ids()[..] else { panic!("three requests") };
    assert_eq!(work_on("one"), deeds(&events, Some(one), &place));
    assert_eq!(["killed by 9", "open slow"], deeds(&events, Some(slow), &place)[..]);
    assert_eq!(work_on("three"), deeds(&events, Some(three), &place));
    assert_eq!(2, seen.said("glassbox").len());
    assert_in_time(&seen);
}

#[test]
fn runtime_that_crashes_is_told_of_to_its_end_and_another_sandbox_follows() {
    let place = Place::with_layer();

    let seen = place.play(
        &[PRELOAD],
        json!([place.wrong("crash", "last", 20_000), place.wrong("raise", "", 20_000), place.work("three")]),
    );

    assert_eq!(["failure", "success", "success"], seen.statuses()[..]);
    assert_eq!("error", seen.answers()[1].1["kind"]);
    let events = seen.events();
    let ids = seen.request_ids();
    assert_eq!(["killed by 11", "open last"], deeds(&events, Some(&ids[0]), &place)[..]);
    assert_eq!(work_on("three"), deeds(&events, Some(&ids[2]), &place));
    assert_in_time(&seen);
}

/// At the end there are two seconds; the recording's file and the log need only a part of them.
fn assert_in_time(seen: &Played) {
    let ends: Vec<f64> = seen.milliseconds("shutdown", Some("glassbox"));
    assert!(!ends.is_empty() && ends.iter().all(|ms| *ms < 1500.0), "{ends:?}");
}

#[test]
fn what_a_thread_does_after_the_answer_is_told_with_the_next_invocation() {
    let place = Place::with_layer();
    let freeze = json!({"freeze_ms": 600});

    let seen = place.play(
        &[PRELOAD],
        json!([place.wrong("answer and go on", "late", 20_000), freeze, place.work("two")]),
    );

    let events = seen.events();
    let ids = seen.request_ids();
    assert_eq!(Vec::<String>::new(), deeds(&events, Some(&ids[0]), &place));
    let mut expected = work_on("two");
    expected.push("open late".to_owned());
    assert_eq!(sorted(expected.into_iter()), deeds(&events, Some(&ids[1]), &place));
}

#[test]
fn invocation_that_does_much_is_delivered_whole_before_the_freeze() {
    let place = Place::with_layer();

    let seen = place
        .play(&[PRELOAD], json!([place.wrong("much", "one", 20_000), place.wrong("much", "two", 20_000)]));

    assert_eq!(["success", "success"], seen.statuses()[..]);
    let events = seen.events();
    for (reply, name) in seen.list("replies").iter().zip(["one", "two"]) {
        let id = text(&reply["request_id"]);
        let opened = events.opens(name);
        assert_eq!(5000, opened.len());
        assert!(opened.iter().all(|open| open.text("request_id") == Some(&id)));
        assert_delivered(&seen, reply);
    }
}

#[test]
fn sandbox_without_telemetry_loses_nothing_and_waits_for_nothing() {
    let place = Place::with_layer();
    let python = python::program();
    let runtime = [python.to_str().unwrap(), "-m", "awslambdaric", "app.handler"];

    let seen = place.play_with(&runtime, &[PRELOAD], false, json!([place.work("one"), place.work("two")]));
    let unasked =
        place.play(&[PRELOAD, ("GLASSBOX_TELEMETRY", "off")], json!([place.work("one"), place.work("two")]));

    let complaint = text(&seen.said("glassbox")[0]["stderr"]);
    assert!(
        complaint.contains("'telemetry'") && complaint.contains("delivered with the next one"),
        "{complaint}"
    );
    let told = text(&seen.said("glassbox")[0]["stdout"]);
    let told =
        Events::parse(&told, Expect::NothingLost).unwrap_or_else(|broken| panic!("{}", broken.join("\n")));
    for (seen, events) in [(&seen, told), (&unasked, unasked.events())] {
        assert_eq!(["success", "success"], seen.statuses()[..]);
        let ids = seen.request_ids();
        for (name, of) in [("one", &ids[..1]), ("two", &ids[..])] {
            // Without a report that the first invocation is over, the calls of the second one that come
            // before the extension hears of it count as the first one's.
            let opened = events.opens(name);
            assert_eq!(2, opened.len(), "{name}");
            let is_of = |open: &&Event| of.iter().any(|id| open.text("request_id") == Some(id));
            assert!(opened.iter().all(is_of), "{opened:?}");
        }
    }
}

#[test]
fn recording_holds_the_request_ids_too() {
    let place = Place::with_layer();
    let output = format!("recording:{} jsonl:-", place.path("r.gbx").display());

    let seen =
        place.play(&[PRELOAD, ("GLASSBOX_OUTPUT", &output)], json!([place.work("one"), place.work("two")]));
    let mut replay = Command::new(glassbox());
    replay.arg("replay").arg(place.path("r.gbx")).args(["-o", "jsonl:-"]);
    let replayed = child::run(replay, b"");

    assert_eq!(["success", "success"], seen.statuses()[..]);
    assert!(seen.request_ids().iter().all(|id| replayed.stdout.contains(id.as_str())));
    assert_eq!(text(&seen.said("glassbox")[0]["stdout"]), replayed.stdout);
}

#[test]
fn configuration_of_a_layer_says_what_is_delivered_and_a_malformed_one_leaves_the_function_alone() {
    let place = Place::with_layer();
    let events = place.path("events.jsonl");
    let configuration = format!("outputs: [jsonl:{}]\nfilter: gb.event in (file.open)\n", events.display());
    fs::write(place.path("opt/glassbox.yaml"), configuration).expect("our own file");

    let seen = place.play(&[PRELOAD], json!([place.work("one")]));
    fs::write(place.path("opt/glassbox.yaml"), "fliter: x\n").expect("our own file");
    let wrong = place.play(&[PRELOAD], json!([place.work("one")]));

    assert_eq!([["success"], ["success"]], [seen.statuses(), wrong.statuses()].map(|one| [one[0].clone()]));
    let events = fs::read_to_string(events).expect("the output of the file");
    let is_asked =
        |line: &str| line.contains("\"event\":\"file.open\"") || line.contains("\"event\":\"sensor.");
    let opened = place.path("work").join("one");
    assert!(events.contains(opened.to_str().unwrap()) && events.lines().all(is_asked), "{events}");
    assert_eq!("", text(&seen.said("glassbox")[0]["stdout"]), "the function's log");
    let complaint = text(&wrong.said("glassbox")[0]["stderr"]);
    assert!(
        complaint.contains("/opt/glassbox.yaml:1:1: unknown key 'fliter'; did you mean 'filter'?"),
        "{complaint}"
    );
}

#[test]
fn collector_that_cannot_collect_leaves_the_function_alone_unless_told_otherwise() {
    let place = Place::with_layer();
    let bad =
        [("GLASSBOX_OUTPUT", "nonsense"), ("GLASSBOX_OUTPUT", "jsonl:/nowhere/x"), ("GLASSBOX_SOCKET", "@")];
    for setting in bad {
        let open = place.play(&[PRELOAD, setting], json!([place.work("one"), place.work("two")]));
        let closed = place.play(&[PRELOAD, setting, ("GLASSBOX_FAIL", "closed")], json!([place.work("one")]));

        assert_eq!(["success", "success"], open.statuses()[..], "{setting:?}");
        let said = open.said("glassbox")[0];
        let complaint = text(&said["stderr"]);
        assert!(
            complaint.starts_with("glassbox: ") && complaint.ends_with("; this sandbox goes on unseen\n"),
            "{complaint}"
        );
        assert_eq!(1, complaint.lines().count());
        assert_eq!((json!(0), json!("")), (said["status"].clone(), said["stdout"].clone()), "{setting:?}");
        assert_eq!(["init"], closed.statuses()[..], "{setting:?}");
        assert!(
            closed.list("errors").iter().any(|error| error["kind"] == "Extension.CannotCollect"),
            "{:?}",
            closed.told
        );
    }
}

#[test]
fn function_for_node_answers_the_same_and_is_seen() {
    let node = node::program("aws-lambda-ric");
    let runtime = ["/usr/bin/env", "node", node.to_str().expect("UTF-8"), "app.handler"];
    let play = |place: &Place, settings: &[(&str, &str)]| {
        place.play_with(
            &runtime,
            settings,
            true,
            json!([place.work("one"), place.work("two"), place.work("three")]),
        )
    };
    let (bare, place) = (Place::new(), Place::with_layer());

    let alone = play(&bare, &[]);
    let seen = play(&place, &[PRELOAD]);

    assert_eq!(["success"; 3], alone.statuses()[..], "{:?}", alone.told);
    assert_eq!(alone.answers(), seen.answers());
    let events = seen.events();
    for (name, id) in ["one", "two", "three"].iter().zip(seen.request_ids()) {
        assert_eq!(work_on(name), deeds(&events, Some(&id), &place), "{name}");
    }
}

#[test]
fn layer_is_the_same_every_time_and_small_enough_for_every_cold_start() {
    let place = Place::new();

    let first = fs::read(place.layer()).unwrap();
    let second = fs::read(place.layer()).unwrap();
    let mut to_stdout = Command::new("sh");
    to_stdout
        .args(["-c", "\"$1\" lambda-layer --unportable -o - | cmp - \"$2\"", "sh"])
        .arg(glassbox())
        .arg(place.path("layer.zip"));

    assert!(first == second);
    assert!(first.len() <= 20 << 20, "{}", first.len());
    assert_eq!(Status::Exited(0), child::run(to_stdout, b"").status);
    place.unpack(&place.path("layer.zip"));
    for file in ["extensions/glassbox", "glassbox-wrapper", "lib/libglassbox.so"] {
        let mode = fs::metadata(place.path("opt").join(file)).unwrap().permissions().mode();
        assert_eq!(0o755, mode & 0o7777, "{file}");
    }
    assert_eq!(fs::read(sensor()).unwrap(), fs::read(place.path("opt/lib/libglassbox.so")).unwrap());
}

#[test]
fn layer_of_what_would_not_run_in_lambda_is_refused_with_the_remedy() {
    let place = Place::new();
    let pair = place.path("pair");
    fs::create_dir(&pair).unwrap();
    let refusal = || {
        let mut command = Command::new(glassbox());
        command.args(["lambda-layer", "-o"]).arg(place.path("layer.zip")).arg("--pair").arg(&pair);
        let ending = child::run(command, b"");
        assert_eq!(1, ending.stderr.lines().count(), "{}", ending.stderr);
        assert!(!place.path("layer.zip").exists());
        (ending.status, ending.stderr)
    };

    let (missing, _) = refusal();
    // A program that is linked as most programs are.
    fs::copy("/bin/cat", pair.join("glassbox")).unwrap();
    fs::copy(sensor(), pair.join("libglassbox.so")).unwrap();
    let (dynamic, why) = refusal();
    fs::write(pair.join("glassbox"), "#!/bin/sh\n").unwrap();
    let (script, _) = refusal();

    assert_eq!([Status::Exited(66), Status::Exited(65), Status::Exited(65)], [missing, dynamic, script]);
    assert!(why.contains("cargo xtask dist"), "{why}");
}

#[test]
fn published_layer_is_what_was_made() {
    let place = Place::new();
    let mut publish = Command::new(python::program());
    publish.arg(program_file("lambda_publish.py")).arg(place.layer()).current_dir(place.path("work"));

    let ending = child::run(publish, b"");

    assert_eq!((Status::Exited(0), "the same\n"), (ending.status, &*ending.stdout), "{}", ending.stderr);
}

#[test]
fn example_publishes_what_it_says() {
    let place = Place::new();
    let mut example = Command::new(root().join("examples/lambda/run.sh"));
    example
        .arg(place.path("layer.zip"))
        .env("GLASSBOX", glassbox())
        .env("OPTIONS", "--unportable")
        .current_dir(place.path("work"));

    let ending = child::run(example, b"");

    assert_eq!(Status::Exited(0), ending.status, "{}", ending.stderr);
    assert!(ending.stdout.contains("aws lambda publish-layer-version"), "{}", ending.stdout);
    assert!(ending.stdout.contains("LD_PRELOAD=/opt/lib/libglassbox.so"), "{}", ending.stdout);
    place.unpack(&place.path("layer.zip"));
}

#[test]
fn extension_is_ready_soon() {
    let place = Place::with_layer();

    let seen = place.play(&[PRELOAD], json!([place.work("one"), place.work("two"), place.work("three")]));

    let ready = seen.milliseconds("ready", Some("glassbox"))[0];
    let events = seen.events();
    let sensor_ns: Vec<i64> =
        events.named("process.exit").filter_map(|exit| exit.number("sensor_ns")).collect();
    println!(
        "ms: ready {ready:.1}, after the runtime {:.1?}, shutdown {:.1?}; ns of the sensor in each process {sensor_ns:?}",
        seen.milliseconds("after", None),
        seen.milliseconds("shutdown", Some("glassbox"))
    );
    // The bound for a busy machine; a quiet one needs a tenth of it.
    assert!(ready < 500.0, "{ready} ms");
    assert_in_time(&seen);
}

/// An output to the receiver, whose requests may take as long as one invocation.
const TO_RECEIVER: (&str, &str) =
    ("GLASSBOX_OUTPUT", "clickhouse:http://127.0.0.1:8123,only=events,timeout=700ms,spool=/opt/spool");

/// The rows of events that the receiver got in the first `requests`, as their lines of JSON.
fn rows(seen: &Played, requests: usize) -> Vec<Value> {
    let bodies = seen.list("received").iter().take(requests).map(text);
    let bodies: Vec<String> = bodies.filter(|body| body.starts_with('{')).collect();
    let lines = bodies.iter().flat_map(|body| body.lines());
    let row =
        |line: &str| serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    lines.map(|line| row(&text(&row(line)["json"]))).collect()
}

fn is_of(row: &Value, id: &str) -> bool {
    row["request_id"] == id
}

#[test]
fn receiver_has_an_invocations_events_before_the_sandbox_is_frozen() {
    let place = Place::with_layer();
    let freeze = json!({"freeze_ms": 1500});

    let seen =
        place.play(&[PRELOAD, TO_RECEIVER], json!([place.work("one"), freeze, place.work("two"), freeze]));

    assert_eq!(["success", "success"], seen.statuses()[..]);
    let all = rows(&seen, usize::MAX);
    for reply in seen.list("replies") {
        let (id, received) = (text(&reply["request_id"]), reply["received"].as_u64().expect("a number"));
        let in_time = rows(&seen, usize::try_from(received).unwrap());
        let of = |rows: &[Value]| rows.iter().filter(|row| is_of(row, &id)).count();
        assert_eq!((of(&all), true), (of(&in_time), of(&all) > 3), "{seen:?}", seen = seen.told);
    }
    assert_eq!("", text(&seen.said("glassbox")[0]["stderr"]));
}

#[test]
fn receiver_that_hangs_costs_one_invocation_a_little_and_gets_everything_later() {
    let mut place = Place::with_layer();
    place.hangs = 2;
    let works = json!([place.work("one"), place.work("two"), place.work("three"), place.work("four")]);

    let seen = place.play(&[PRELOAD, TO_RECEIVER], works);

    assert_eq!(["success"; 4], seen.statuses()[..]);
    let all = rows(&seen, usize::MAX);
    for id in seen.request_ids() {
        assert!(all.iter().filter(|row| is_of(row, &id)).count() > 3, "{id}");
    }
    let after = seen.milliseconds("after", None);
    assert!(after[0] < 2500.0 && after[1..].iter().sum::<f64>() < 2500.0, "{after:?}");
}
