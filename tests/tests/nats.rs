//! `-o nats:` and `judge` against Debian's nats-server with JetStream.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use glassbox_tests::broker::{Broker, Stored};
use glassbox_tests::child::{self, Ending, Running, Status, wait_until};
use glassbox_tests::{Collector, Scene, canonical, glassbox};
use serde_json::Value;

fn scene() -> Scene {
    let scene = Scene::of("steady", &["0"]);
    scene.clean();
    scene
}

/// `glassbox run OPTIONS -- sh -c SCRIPT`.
fn shell(scene: &Scene, options: &[&str], script: &str) -> Ending {
    let mut command = scene.command(glassbox());
    command.arg("run").args(options).args(["--", "/bin/sh", "-c", script]);
    child::run(command, b"")
}

/// A running `glassbox judge`.
fn judge(scene: &Scene, from: &str, durable: &str, options: &[&str]) -> Running {
    let mut command = scene.command(glassbox());
    command.args(["judge", "--from", from, "--durable", durable]).args(options);
    child::start(command, b"")
}

/// Ends a judge once its file has as many lines.
fn judged(judge: Running, file: &Path, lines: usize) -> Ending {
    wait_until("the judge's lines", || read(file).lines().count() >= lines);
    judge.signal(libc::SIGTERM);
    judge.finish()
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

fn lines(path: &Path) -> Vec<Value> {
    read(path)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// The events of a stream without their ids, as jsonl has them.
fn without_ids(messages: &[Stored]) -> Vec<Value> {
    let without = |message: &Stored| {
        let mut event = message.json();
        let id = event.as_object_mut().unwrap().remove("id");
        assert_eq!(
            id.as_ref().and_then(Value::as_str),
            message.headers.get("Nats-Msg-Id").map(String::as_str)
        );
        event
    };
    messages.iter().map(without).collect()
}

fn ids(messages: &[Stored]) -> BTreeSet<String> {
    messages.iter().map(|message| message.headers["Nats-Msg-Id"].clone()).collect()
}

/// A broker in a scene's folder.
fn broker_of(scene: &Scene, more: &str) -> Broker {
    Broker::start(&scene.work().join("broker"), more)
}

fn sorted(path: &Path) -> Vec<String> {
    let mut lines: Vec<String> = read(path).lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn stream_has_what_jsonl_of_the_same_run_has() {
    let scene = scene();
    let broker = broker_of(&scene, "");
    let to = format!("nats:{},cluster=prod", broker.url());

    let ending = shell(
        &scene,
        &["-o", "jsonl:events", "-o", &to],
        "cat /etc/hostname | wc -c; for i in 1 2 3; do sh -c 'echo >file; exec cat file'; done; ls nothing",
    );
    let messages = broker.client().messages("GLASSBOX_EVENTS");

    assert_eq!(Status::Exited(2), ending.status, "{}", ending.stderr);
    assert_eq!(lines(&scene.work().join("events")), without_ids(&messages));
    assert_eq!(messages.len(), ids(&messages).len());
    let mut partitions: BTreeMap<u64, BTreeSet<String>> = BTreeMap::new();
    for message in &messages {
        let tokens: Vec<&str> = message.subject.split('.').collect();
        let event = message.json();
        let noun = event["event"].as_str().unwrap().split('.').next().unwrap();
        assert_eq!(
            (6, ["glassbox", "events", "prod"], noun),
            (tokens.len(), [tokens[0], tokens[1], tokens[2]], tokens[4])
        );
        partitions.entry(event["pid"].as_u64().unwrap()).or_default().insert(tokens[5].to_owned());
    }
    assert!(partitions.values().all(|partitions| partitions.len() == 1), "{partitions:?}");
}

const RULES: &str = "\
- rule: Odd file
  desc: exact bytes, flags and paths
  condition: evt.type in (open, openat) and (fd.name contains link or evt.arg.flags contains O_CREAT)
  output: \"%fd.name %fd.nameraw %evt.arg.flags %proc.cmdline %proc.aname[2] %proc.aexepath[1] %user.name %proc.tty\"
  priority: WARNING
- rule: Program
  desc: who it is
  condition: evt.type = execve and proc.pname exists
  output: \"%proc.exepath %proc.cmdline %proc.pname %proc.acmdline[3] %proc.cwd %proc.sid %proc.vpid %user.loginuid %thread.cap_effective %container.id %gb.paths\"
  priority: NOTICE
- rule: Three of one process
  desc: a window
  condition: evt.type in (open, openat) and fd.name contains many
  output: \"%proc.pid %fd.name\"
  priority: ERROR
  x-glassbox-window: {count: 3, within: 60s, by: [proc.pid]}
";

/// Programs whose events are hard to tell exactly.
const HARD: &str = "mkdir -p d/e; ln -sf d/e link; cat link/../../etc 2>/dev/null; echo >\"$(printf 'b\\377d\\n')\"; \
    python3 -c 'import os; os.close(os.open(b\"x\\xfe\", os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_WRONLY, 0o600))'; \
    for n in 1 2; do for i in 1 2 3 4 5 6 7; do cat many$i; done; done 2>/dev/null; \
    sh -c 'cat many many many many; exec ls link/../d'; true";

#[test]
fn judges_far_away_give_the_alerts_and_events_of_the_live_session() {
    let scene = scene();
    let broker = broker_of(&scene, "");
    fs::write(scene.work().join("rules.yaml"), RULES).unwrap();
    let rules = ["--rules", "rules.yaml", "--no-redact"];
    let to = format!("nats:{}", broker.url());

    let mut options = vec!["-o", "falco:live", "-o", "jsonl:events", "-o", &to];
    options.extend(rules);
    let live = shell(&scene, &options, HARD);
    let mut options = vec!["-o", "falco:far", "-o", "jsonl:far-events"];
    options.extend(rules);
    let [events, far_events] = ["events", "far-events"].map(|name| scene.work().join(name));
    let judging = judge(&scene, &broker.url(), "soc", &options);
    let ending = judged(judging, &far_events, read(&events).lines().count());

    assert_eq!((Status::Exited(0), Status::Exited(0)), (live.status, ending.status), "{}", ending.stderr);
    let [live, far] = ["live", "far"].map(|name| sorted(&scene.work().join(name)));
    assert!(
        live.iter().any(|line| line.contains("Odd file"))
            && live.iter().any(|line| line.contains("Three of"))
    );
    assert_eq!(live, far);
    assert_eq!(sorted(&events), sorted(&far_events));
    let alerts = broker.client().messages("GLASSBOX_ALERTS");
    let of_stream: BTreeSet<String> = alerts.iter().map(|alert| alert.json()["output"].to_string()).collect();
    let of_file: BTreeSet<String> =
        lines(&scene.work().join("live")).iter().map(|alert| alert["output"].to_string()).collect();
    assert_eq!((live.len(), of_file), (alerts.len(), of_stream));
}

#[test]
fn message_that_is_no_event_is_left_out_once_and_the_others_are_judged() {
    let scene = scene();
    let broker = broker_of(&scene, "");
    let mut client = broker.client();
    shell(&scene, &["-o", "jsonl:events", "-o", &format!("nats:{}", broker.url())], "cat /etc/hostname");
    let good = client.messages("GLASSBOX_EVENTS").remove(0);
    let fragment = good.headers["Glassbox-Event"].as_str();
    let subject = "glassbox.events.default.n.file.1";
    for headers in [
        &[][..],
        &[("Nats-Msg-Id", "x"), ("Glassbox-Event", fragment)],
        &[("Nats-Msg-Id", "0000000000000001-1"), ("Glassbox-Event", "AAAA")],
        &[("Nats-Msg-Id", "0000000000000001-2"), ("Glassbox-Event", "*")],
        &[("Nats-Msg-Id", "0000000000000001-3"), ("Glassbox-Event", &fragment[..fragment.len() - 8])],
        &[("Nats-Msg-Id", "0000000000000001-4"), ("Glassbox-Event", "@99999999999999999999")],
        &[("Nats-Msg-Id", "0000000000000001-5"), ("Glassbox-Event", "@5")],
    ] {
        client.publish(subject, headers, &[2; 900_000]);
    }
    let unknown: &[(&str, &str)] = &[("Nats-Msg-Id", "0000000000000001-6"), ("Glassbox-Event", "AQECAwQA")];
    client.publish(subject, unknown, b"{}");
    shell(&scene, &["-o", "jsonl:more", "-o", &format!("nats:{}", broker.url())], "cat /etc/hostname");
    let [events, more, far] = ["events", "more", "far"].map(|name| scene.work().join(name));

    let judging = judge(&scene, &broker.url(), "soc", &["-o", "jsonl:far"]);
    // The one whose schema may still come is the only one that waits.
    wait_until("the partition's end", || {
        let consumer = client.info("CONSUMER", "GLASSBOX_EVENTS.soc-1");
        (Some(0), Some(1)) == (consumer["num_pending"].as_u64(), consumer["num_ack_pending"].as_u64())
    });
    let ending = judged(judging, &far, lines(&events).len() + lines(&more).len());

    assert_eq!(Status::Exited(0), ending.status, "{}", ending.stderr);
    assert!(ending.stderr.contains("7 messages were no events and were left out"), "{}", ending.stderr);
    let mut all = sorted(&events);
    all.extend(sorted(&more));
    all.sort();
    assert_eq!(all, sorted(&far));
}

/// Names of a schema stay in the judge's memory, and whoever may publish can invent schemas.
#[test]
fn judge_reads_a_bounded_number_of_schemas_and_its_own_events_all_the_same() {
    let scene = scene();
    let broker = broker_of(&scene, "");
    let mut client = broker.client();
    let to = format!("nats:{}", broker.url());
    shell(&scene, &["-o", "jsonl:events", "-o", &to], "cat /etc/hostname");
    for number in 1..=40_u8 {
        client.publish(&format!("glassbox.schemas.000000{number:02x}"), &[], &[number]);
        // Form 1, the number, and no frames, in base64.
        let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let letter = |bits: u8| char::from(letters[usize::from(bits & 63)]);
        let fragment = format!("A{}{}AAAA", letter(0x10 | (number >> 4)), letter(number << 2));
        let id = format!("0000000000000001-{number}");
        let headers = [("Nats-Msg-Id", id.as_str()), ("Glassbox-Event", fragment.as_str())];
        client.publish("glassbox.events.default.n.file.1", &headers, b"{}");
    }
    let far = scene.work().join("far");

    let judging = judge(&scene, &broker.url(), "soc", &["-o", "jsonl:far"]);
    wait_until("the partition's end", || {
        let consumer = client.info("CONSUMER", "GLASSBOX_EVENTS.soc-1");
        (Some(0), Some(0)) == (consumer["num_pending"].as_u64(), consumer["num_ack_pending"].as_u64())
    });
    shell(&scene, &["-o", "jsonl:more", "-o", &to], "cat /etc/hostname");
    let count = ["events", "more"].map(|name| lines(&scene.work().join(name)).len()).iter().sum();
    let ending = judged(judging, &far, count);

    assert_eq!(Status::Exited(0), ending.status, "{}", ending.stderr);
    assert!(ending.stderr.contains("one version too many"), "{}", ending.stderr);
    assert!(ending.stderr.contains("40 messages were no events and were left out"), "{}", ending.stderr);
    assert_eq!(count, lines(&far).len());
}

/// A server that is killed while events come, a collector that is killed while it is away, and one that is
/// killed while it sends.
#[test]
fn nothing_is_lost_and_nothing_twice_over_the_deaths_of_server_and_collector() {
    let scene = scene();
    let mut broker = broker_of(&scene, "");
    let to = format!("nats:{},spool={},timeout=2s", broker.url(), scene.work().join("spool").display());
    let collect = |file: &str| {
        let file = format!("jsonl:{}", scene.work().join(file).display());
        Collector::start(&scene.work().join("socket"), &["-o", &file, "-o", &to])
    };
    let busy = |collector: &Collector, files: u32| {
        let script = format!("i=0; while [ $i -lt {files} ]; do : <\"/no/$i\"; i=$((i+1)); done 2>/dev/null");
        let mut command = scene.command("/bin/bash");
        collector.preload(&mut command).args(["-c", &script]);
        child::start(command, b"")
    };

    let first = collect("first");
    let working = busy(&first, 3000);
    wait_until("some events", || stored(&broker).is_some_and(|count| count > 50));
    broker.kill();
    working.finish();
    busy(&first, 500).finish();
    quiet(&scene.work().join("first"));
    // What the file has, the spool has by then: both get each batch at the same time.
    thread::sleep(Duration::from_millis(500));
    first.kill();
    broker.restart();
    let second = collect("second");
    let working = busy(&second, 8000);
    let of_first = lines(&scene.work().join("first")).len() as u64;
    wait_until("events of the second", || stored(&broker).is_some_and(|count| count > of_first + 500));
    second.kill();
    working.finish();
    let third = collect("third");
    busy(&third, 10).finish();
    let mut count = None;
    wait_until("an end of what the spool had", || {
        thread::sleep(Duration::from_secs(2));
        let now = stored(&broker);
        std::mem::replace(&mut count, now) == now
    });
    let ending = third.stop();

    let messages = broker.client().messages("GLASSBOX_EVENTS");
    assert_eq!(Status::Exited(0), ending.status, "{}", ending.stderr);
    assert_eq!(messages.len(), ids(&messages).len());
    let mut of_origin: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for id in ids(&messages) {
        let (origin, number) = id.split_once('-').unwrap();
        of_origin.entry(origin.to_owned()).or_default().push(number.parse().unwrap());
    }
    assert_eq!(3, of_origin.len(), "{} messages; {}", messages.len(), ending.stderr);
    for (origin, mut numbers) in of_origin {
        numbers.sort_unstable();
        let gaps: Vec<&[u64]> = numbers.windows(2).filter(|pair| pair[1] != pair[0] + 1).collect();
        assert_eq!((1, Vec::<&[u64]>::new()), (numbers[0], gaps), "{origin} has gaps");
    }
    let stream: Vec<String> = without_ids(&messages).iter().map(canonical).collect();
    let kept: BTreeSet<&String> = stream.iter().collect();
    for file in ["first", "third"] {
        let missing =
            lines(&scene.work().join(file)).iter().filter(|line| !kept.contains(&canonical(line))).count();
        assert_eq!(0, missing, "{file}");
    }
}

/// The messages of the event stream, where it exists.
fn stored(broker: &Broker) -> Option<u64> {
    broker.client().info("STREAM", "GLASSBOX_EVENTS")["state"]["messages"].as_u64()
}

/// Waits until nothing more is written to a file.
fn quiet(path: &Path) {
    let mut len = 0;
    wait_until("an end of the file's growth", || {
        thread::sleep(Duration::from_millis(400));
        let now = fs::metadata(path).map_or(0, |file| file.len());
        now > 0 && std::mem::replace(&mut len, now) == now
    });
}

#[test]
fn login_is_read_from_a_file_or_the_environment_and_a_wrong_one_is_told() {
    let scene = scene();
    let broker = broker_of(&scene, "authorization { user: sensor, password: \"s:cret\" }");
    fs::write(scene.work().join("login"), "user: sensor\npassword: s:cret\n").unwrap();
    fs::write(scene.work().join("wrong"), "user: sensor\npassword: x\n").unwrap();
    let to = |creds: &str| format!("nats:{},creds={creds}", broker.url());

    let by_file = shell(&scene, &["-o", "jsonl:a", "-o", &to("login")], "cat /etc/hostname");
    let mut command = scene.command(glassbox());
    command.env("LOGIN", "user: sensor\npassword: s:cret").args(["run", "-o", "jsonl:b", "-o"]);
    command.args([to("env:LOGIN").as_str(), "--", "cat", "/etc/hostname"]);
    let by_variable = child::run(command, b"");
    let wrong = shell(&scene, &["-o", "jsonl:c", "-o", &to("wrong")], "true");
    let judging = judge(&scene, &format!("{},creds=login", broker.url()), "soc", &["-o", "jsonl:far"]);
    let count = ["a", "b"].map(|name| lines(&scene.work().join(name)).len()).iter().sum();
    let far = judged(judging, &scene.work().join("far"), count);

    assert_eq!(["", "", ""], [&*by_file.stderr, &*by_variable.stderr, &*far.stderr]);
    assert!(wrong.stderr.contains("authorization violation"), "{}", wrong.stderr);
    assert!(!wrong.stderr.contains("s:cret"));
    assert_eq!(count, lines(&scene.work().join("far")).len());
}

/// An authority with certificates for the server and the client.
fn certificates(folder: &Path) {
    let openssl = |arguments: &str| {
        let mut command = Command::new("openssl");
        command.args(arguments.split(' ')).current_dir(folder);
        assert_eq!(Status::Exited(0), child::run(command, b"").status, "openssl {arguments}");
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(&format!("req -x509 {key} -days 2 -subj /CN=authority -keyout ca.key -out ca.pem"));
    fs::write(folder.join("names"), "subjectAltName=IP:127.0.0.1,DNS:localhost\n").unwrap();
    for name in ["server", "client"] {
        openssl(&format!("req {key} -subj /CN={name} -keyout {name}.key -out {name}.csr"));
        openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out {name}.pem"
        ));
    }
}

#[test]
fn tls_shows_a_certificate_to_a_server_of_the_given_authority_alone() {
    let scene = scene();
    let folder: PathBuf = scene.work();
    certificates(&folder);
    let at = |name: &str| folder.join(name).display().to_string();
    let tls = format!(
        "tls {{ cert_file: \"{}\", key_file: \"{}\", ca_file: \"{}\", verify: true }}",
        at("server.pem"),
        at("server.key"),
        at("ca.pem")
    );
    let broker = broker_of(&scene, &tls);
    let url = format!("tls://127.0.0.1:{}", broker.port());
    let with = |options: &str| format!("nats:{url}{options}");

    let good = ",ca=ca.pem,cert=client.pem,key=client.key";
    let sent = shell(&scene, &["-o", "jsonl:a", "-o", &with(good)], "cat /etc/hostname");
    let stranger = shell(&scene, &["-o", &with(",cert=client.pem,key=client.key")], "true");
    let nameless = shell(&scene, &["-o", &with(",ca=ca.pem")], "true");
    let no_key = shell(&scene, &["-o", &with(",ca=ca.pem,cert=client.pem")], "true");
    let judging = judge(&scene, &format!("{url}{good}"), "soc", &["-o", "jsonl:far"]);
    let far = judged(judging, &folder.join("far"), lines(&folder.join("a")).len());

    assert_eq!(["", ""], [&*sent.stderr, &*far.stderr]);
    assert_eq!(sorted(&folder.join("a")), sorted(&folder.join("far")));
    for refused in [stranger, nameless] {
        assert!(refused.stderr.contains("cannot write nats"), "{}", refused.stderr);
    }
    assert!(
        no_key.stderr.contains("'client.pem' holds no private key")
            || no_key.stderr.contains("holds no private key"),
        "{}",
        no_key.stderr
    );
}

#[test]
fn wrong_servers_names_and_options_are_wrong_usage() {
    let scene = scene();
    let run = |arguments: &[&str]| {
        let mut command = scene.command(glassbox());
        command.args(arguments);
        child::run(command, b"")
    };
    let judge = |from: &str, durable: &str, output: &str| {
        run(&["judge", "--from", from, "--durable", durable, "-o", output])
    };

    for (ending, words) in [
        (run(&["run", "-o", "nats:nats://u:p@h", "--", "true"]), "creds=FILE"),
        (run(&["run", "-o", "nats:/file", "--", "true"]), "give a nats:// or tls:// URL"),
        (run(&["run", "-o", "nats:nats://h,cluster=a.b", "--", "true"]), "give letters, digits"),
        (run(&["run", "-o", "jsonl:nats://h", "--", "true"]), "jsonl cannot go to"),
        (judge("nats://h", "a.b", "jsonl:-"), "is no name"),
        (judge("http://h", "soc", "jsonl:-"), "names no server"),
        (judge("nats://h,spool=d", "soc", "jsonl:-"), "are for outputs"),
        (judge("nats://h", "soc", "nats:nats://h"), "add only=alerts"),
    ] {
        assert_eq!(Status::Exited(64), ending.status, "{}", ending.stderr);
        assert!(ending.stderr.contains(words), "{}", ending.stderr);
    }
}
