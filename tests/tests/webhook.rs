//! `glassbox webhook`, called over real TLS by a foreign client: its answers are those of
//! `glassbox patch k8s`, and no client that reaches its port ends it or keeps others waiting.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use glassbox_tests::artefacts::{glassbox, root};
use glassbox_tests::child::{self, Ending, Running, Status, wait_until};
use glassbox_tests::python;
use serde_json::{Value, json};

const IMAGE: &str = "registry.example/glassbox:1";

/// A running webhook with a certificate of its own.
struct Webhook {
    dir: tempfile::TempDir,
    port: u16,
    running: Running,
}

impl Webhook {
    fn start(options: &[&str]) -> Self {
        let dir = tempfile::Builder::new().prefix("gbx-webhook-").tempdir().expect("a temporary directory");
        certify(dir.path());
        // The port is free again when the webhook takes it; another program could take it in between only by
        // chance.
        let port =
            TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
        let mut command = Command::new(glassbox());
        command.args(["webhook", "--image", IMAGE, "--listen", &format!("127.0.0.1:{port}")]);
        command.arg("--cert").arg(dir.path().join("tls.crt")).arg("--key").arg(dir.path().join("tls.key"));
        command.args(options);
        let mut running = child::start(command, b"");
        wait_until("the webhook's port", || {
            assert!(running.is_alive(), "the webhook ended before it listened");
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Self { dir, port, running }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn client(&self, steps: &[Value]) -> Running {
        let mut command = Command::new(python::program());
        command.arg(root().join("tests/programs/webhook_client.py")).arg(self.port.to_string());
        command.arg(self.path("ca.crt"));
        child::start(command, Value::from(steps).to_string().as_bytes())
    }

    /// The results of these steps.
    fn tell(&self, steps: &[Value]) -> Vec<Value> {
        answers(self.client(steps))
    }

    fn ask(&self, object: &Value) -> Value {
        self.tell(&[question(object)]).remove(0)
    }

    /// The most memory that it had.
    fn peak_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.running.pid())).expect("its status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its peak");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// Ends it as the kubelet does.
    fn stop(self) -> Ending {
        self.running.signal(libc::SIGTERM);
        self.running.finish()
    }
}

fn answers(client: Running) -> Vec<Value> {
    let ending = client.finish();
    assert_eq!(Status::Exited(0), ending.status, "{}", ending.stderr);
    serde_json::from_str(&ending.stdout).expect("JSON")
}

fn certify(folder: &Path) {
    let mut script = Command::new(root().join("examples/kubernetes/certificate.sh"));
    script.arg(folder).arg("IP:127.0.0.1");
    let made = child::run(script, b"");
    assert_eq!(Status::Exited(0), made.status, "{}", made.stderr);
}

fn question(object: &Value) -> Value {
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002", "namespace": "shop", "operation": "CREATE",
            "kind": {"group": "", "version": "v1", "kind": "Pod"}, "object": object,
        },
    });
    let headers = json!({"Content-Type": "application/json"});
    json!({"ask": ["POST", "/mutate?timeout=5s", headers, review.to_string()]})
}

fn pod(container: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"generateName": "web-", "labels": {"app": "web"}},
        "spec": {"containers": [container], "initContainers": [{"name": "migrate"}], "volumes": [{"name": "v/~"}]},
    })
}

fn health() -> Value {
    json!({"ask": ["GET", "/healthz", {}, null]})
}

#[test]
fn the_patch_makes_the_same_pod_as_patching_its_file() {
    let webhook = Webhook::start(&["--events", "jsonl", "--memory", "64Mi"]);
    let preload = json!({"name": "app", "image": "x", "env": [{"name": "LD_PRELOAD", "value": "/dd.so"}]});

    for object in [pod(json!({"name": "app", "image": "x"})), pod(preload)] {
        let answer = webhook.ask(&object);

        let file = webhook.path("pod.json");
        fs::write(&file, serde_json::to_string_pretty(&object).unwrap()).unwrap();
        let mut patch = Command::new(glassbox());
        patch.args(["patch", "k8s", "--image", IMAGE, "--events", "jsonl", "--memory", "64Mi"]).arg(&file);
        assert_eq!(Status::Exited(0), child::run(patch, b"").status);
        let patched: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        assert_eq!(patched, answer["patched"]);
        let response = &answer["review"]["response"];
        assert_eq!("705ab4f5-6393-11e8-b7cc-42010a800002", response["uid"]);
        assert_eq!((&json!(true), &json!("JSONPatch")), (&response["allowed"], &response["patchType"]));
        let again = webhook.ask(&patched);
        assert_eq!(Value::Null, again["review"]["response"]["patch"], "asked again");
    }
    let ending = webhook.stop();
    assert_eq!(Status::Exited(0), ending.status);
    assert!(
        ending.stderr.contains("glassbox: Pod 'web-' in 'shop': the sensor is in 'app'"),
        "{}",
        ending.stderr
    );
}

#[test]
fn a_pod_that_cannot_have_it_is_let_through_or_refused() {
    let odd = pod(json!({"name": "app", "env": [{"name": "LD_PRELOAD", "valueFrom": {"secretKeyRef": {}}}]}));
    let (open, closed) = (Webhook::start(&[]), Webhook::start(&["--fail-closed"]));

    let through = open.ask(&odd)["review"]["response"].take();
    let refused = closed.ask(&odd)["review"]["response"].take();

    assert_eq!((&json!(true), &Value::Null), (&through["allowed"], &through["patch"]));
    let warning = through["warnings"][0].as_str().unwrap();
    assert!(
        warning.starts_with("glassbox: Pod 'web-' in 'shop': 'app': its LD_PRELOAD comes from elsewhere"),
        "{warning}"
    );
    assert_eq!(json!(false), refused["allowed"]);
    assert!(refused["status"]["message"].as_str().unwrap().contains("write its value"), "{refused}");
}

#[test]
fn what_is_no_question_is_the_clients_fault_and_ends_nothing() {
    let webhook = Webhook::start(&[]);
    let json_type = json!({"Content-Type": "application/json"});
    let post = |body: Value| json!({"ask": ["POST", "/mutate", json_type, body]});

    let answers = webhook.tell(&[
        post(json!("{")),
        post(json!("")),
        post(json!("[".repeat(100_000))),
        post(json!("{\"apiVersion\": \"admission.k8s.io/v1beta1\", \"kind\": \"AdmissionReview\"}")),
        post(json!(
            "{\"apiVersion\": \"admission.k8s.io/v1\", \"kind\": \"AdmissionReview\", \"request\": 3}"
        )),
        post(json!(4 << 20)),
        json!({"ask": ["POST", "/mutate", {"Content-Type": "text/plain"}, "{}"]}),
        json!({"ask": ["GET", "/mutate", {}, null]}),
        json!({"ask": ["DELETE", "/healthz", {}, null]}),
        json!({"ask": ["GET", "/", {}, null]}),
        json!({"ask": ["GET", "/healthz", {"X": "y".repeat(20_000)}, null]}),
        health(),
    ]);

    let statuses: Vec<_> = answers.iter().map(|answer| answer["status"].as_u64().unwrap()).collect();
    assert_eq!([400, 400, 400, 400, 400, 413, 415, 405, 405, 404, 431, 200], statuses.as_slice());
    assert!(
        answers.iter().all(|answer| answer["text"].as_str().unwrap().lines().count() == 1),
        "{answers:#?}"
    );
    assert_eq!(Status::Exited(0), webhook.stop().status);
}

#[test]
fn garbage_on_the_wire_ends_its_own_connection() {
    let webhook = Webhook::start(&[]);
    let noise: String =
        (0..2000u32).map(|n| char::from((n.wrapping_mul(2_654_435_761) >> 24) as u8)).collect();
    let send = |text: &str, is_bare: bool| json!({"send": [text], "bare": is_bare});

    let answers = webhook.tell(&[
        send("GET /healthz HTTP/1.1\r\n\r\n", true),
        send(&noise, true),
        json!({"hold": 1, "bare": true}),
        send(&noise, false),
        send("POST /mutate HTTP/1.1\r\nContent-Length: -5\r\n\r\n", false),
        send("POST /mutate HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false),
        send("GET /healthz HTTP/1.1\r\nA: 1\r\n\r\nGET /healthz HTTP/1.0\r\n\r\n", false),
        health(),
    ]);

    let text = |index: usize| answers[index]["text"].as_str().unwrap();
    assert!(!text(0).contains("200 OK"), "an answer without TLS: {}", text(0));
    assert!([3, 4].iter().all(|index| text(*index).starts_with("HTTP/1.1 400 ")), "{answers:#?}");
    assert!(text(5).starts_with("HTTP/1.1 411 "), "{}", text(5));
    assert_eq!(2, text(6).matches("HTTP/1.1 200 OK").count(), "one after the other: {}", text(6));
    assert_eq!(200, answers[7]["status"]);
}

#[test]
fn a_slow_client_is_cut_off_and_keeps_no_other_waiting() {
    let webhook = Webhook::start(&[]);
    let drip: Vec<String> = "GET /healthz HTTP/1.1\r\nX: y".chars().map(String::from).collect();

    let slow = [
        webhook.client(&[json!({"send": drip, "pause": 0.5})]),
        webhook.client(&[json!({"send": ["\u{16}"], "bare": true})]),
        webhook.client(&[json!({"send": ["POST /mutate HTTP/1.1\r\nContent-Length: 9\r\n\r\n{"]})]),
    ];
    let started = Instant::now();
    let answer = webhook.tell(&[health()]).remove(0);
    let waited = started.elapsed();

    assert_eq!(200, answer["status"]);
    assert!(waited.as_secs() < 8, "waited {waited:?}");
    for client in slow {
        let answer = answers(client).remove(0);
        let seconds = answer["seconds"].as_f64().unwrap();
        assert!((9.0..25.0).contains(&seconds), "{answer}");
        assert!(!answer["text"].as_str().unwrap().contains("200 OK"), "{answer}");
    }
}

#[test]
fn more_connections_than_there_may_be_are_closed() {
    let webhook = Webhook::start(&[]);

    let flood = webhook.tell(&[json!({"hold": 31}), health(), json!({"send": ["x"]}), health()]);
    let after = webhook.tell(&[health()]);

    assert_eq!(200, flood[1]["status"], "the last place");
    assert!(!flood[2]["text"].as_str().unwrap().contains("HTTP"), "one too many: {}", flood[2]);
    assert_eq!([200, 200], [&flood[3], &after[0]].map(|answer| answer["status"].as_u64().unwrap()));
}

#[test]
fn no_question_makes_it_take_more_memory_than_a_fifth_of_its_manifests() {
    let fill = |item: &str, times: usize| format!("[{}]", vec![item; times].join(","));
    let pod = |more: &str, containers: &str| {
        format!(
            r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"p"}},"spec":{{"containers":{containers}{more}}}}}"#
        )
    };
    let unknown = |text: String| pod(&format!(r#","x":{text}"#), r#"[{"name":"a"}]"#);
    let env = (0..39_000)
        .map(|n| format!(r#"{{"name":"VARIABLE_{n}","value":"some"}}"#))
        .collect::<Vec<_>>()
        .join(",");
    for (what, object, status) in [
        ("containers", pod("", &fill(r#"{"name":"a","image":"i"}"#, 105_000)), 200),
        ("variables", pod("", &format!(r#"[{{"name":"a","env":[{env}]}}]"#)), 200),
        ("objects", unknown(fill(r#"{"a":1}"#, 370_000)), 200),
        ("lists", unknown(fill("[]", 1_000_000)), 200),
        ("depth", unknown(format!("{}{}", "[".repeat(1_400_000), "]".repeat(1_400_000))), 200),
        ("a long name", pod("", &format!(r#"[{{"name":"{}"}}]"#, "n".repeat(2_900_000))), 200),
        ("what is no JSON", "{".repeat(2_900_000), 400),
    ] {
        let webhook = Webhook::start(&[]);
        let body = format!(
            r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{{"uid":"u","object":{object}}}}}"#
        );
        let post = format!(
            "POST /mutate HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );

        let all: Vec<Running> =
            (0..4).map(|_| webhook.client(&[json!({"send": [format!("{post}{body}")]})])).collect();
        let texts: Vec<Value> =
            all.into_iter().map(|client| answers(client).remove(0)["text"].take()).collect();

        let peak_mib = webhook.peak_kib() >> 10;
        assert!(peak_mib < 100, "{what}: {peak_mib} MiB");
        for text in texts {
            let text = text.as_str().unwrap();
            assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{what}: {:.200}", text);
        }
        assert_eq!(Status::Exited(0), webhook.stop().status, "{what}");
    }
}

#[test]
fn a_client_that_takes_every_place_keeps_none_from_another() {
    let webhook = Webhook::start(&[]);
    let start = "POST /mutate HTTP/1.1\r\nContent-Length: 3000000\r\n\r\n{";
    let flood: Vec<Running> = (0..40).map(|_| webhook.client(&[json!({"send": [start]})])).collect();
    std::thread::sleep(std::time::Duration::from_millis(1500));

    let started = Instant::now();
    let answer =
        webhook.tell(&[json!({"from": "127.0.0.2"}), question(&pod(json!({"name": "app"})))]).remove(1);
    let waited = started.elapsed();

    assert_eq!(200, answer["status"], "{answer}");
    assert!(answer["review"]["response"]["patch"].is_string());
    assert!(waited.as_secs() < 5, "waited {waited:?}");
    let texts: Vec<Value> =
        flood.into_iter().map(|client| answers(client).remove(0)["text"].take()).collect();
    let busy = texts.iter().filter_map(Value::as_str).find(|text| text.starts_with("HTTP/1.1 503 "));
    assert!(busy.is_some_and(|text| text.contains("\r\nRetry-After: ")), "{texts:#?}");
}

#[test]
fn a_certificate_that_changes_is_taken_up_and_a_broken_one_is_not() {
    let webhook = Webhook::start(&[]);
    let old_authority = fs::read(webhook.path("ca.crt")).unwrap();
    let old_pair = [fs::read(webhook.path("tls.crt")).unwrap(), fs::read(webhook.path("tls.key")).unwrap()];

    fs::write(webhook.path("tls.crt"), "no PEM").unwrap();
    let while_broken = webhook.tell(&[health()]).remove(0);
    fs::write(webhook.path("tls.crt"), &old_pair[0]).unwrap();
    certify(webhook.dir.path());
    let with_new = webhook.tell(&[health()]).remove(0);
    fs::write(webhook.path("ca.crt"), old_authority).unwrap();
    let with_old = webhook.client(&[health()]).finish();

    assert_eq!([200, 200], [&while_broken, &with_new].map(|answer| answer["status"].as_u64().unwrap()));
    assert!(with_old.stderr.contains("CERTIFICATE_VERIFY_FAILED"), "{}", with_old.stderr);
    let ending = webhook.stop();
    assert!(ending.stderr.contains("goes on with the one before"), "{}", ending.stderr);
    assert!(ending.stderr.contains("read the certificate"), "{}", ending.stderr);
}

#[test]
fn what_was_begun_is_finished_when_it_is_asked_to_end() {
    let webhook = Webhook::start(&[]);
    let idle = webhook.client(&[
        json!({"hold": 1}),
        json!({"send": ["GET /healthz HTTP/1.1\r\nA: b\r\n", "\r\n"], "pause": 1.5}),
    ]);
    std::thread::sleep(std::time::Duration::from_millis(700));

    let started = Instant::now();
    let ending = webhook.stop();
    let took = started.elapsed();

    assert_eq!(Status::Exited(0), ending.status, "{}", ending.stderr);
    assert!(took.as_secs() < 12, "{took:?}");
    assert!(answers(idle)[1]["text"].as_str().unwrap().contains("200 OK"));
}

#[test]
fn it_says_in_one_line_why_it_cannot_start() {
    let dir = tempfile::tempdir().unwrap();
    certify(dir.path());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let path = |name: &str| dir.path().join(name).display().to_string();
    fs::write(path("text"), "text").unwrap();
    let start = |cert: &str, key: &str, listen: &str| {
        let mut command = Command::new(glassbox());
        command.args(["webhook", "--cert", &path(cert), "--key", &path(key), "--listen", listen]);
        child::run(command, b"")
    };

    for (ending, status, words) in [
        (start("none", "tls.key", "127.0.0.1:0"), 66, "cannot read the certificate"),
        (start("text", "tls.key", "127.0.0.1:0"), 65, "holds no certificate"),
        (start("tls.crt", "text", "127.0.0.1:0"), 65, "holds no private key"),
        (start("tls.crt", "ca.key", "127.0.0.1:0"), 65, "give a pair that belongs together"),
        (start("tls.crt", "tls.key", &format!("127.0.0.1:{port}")), 73, "give --listen another address"),
        (start("tls.crt", "tls.key", "localhost"), 64, "--listen"),
    ] {
        assert_eq!(Status::Exited(status), ending.status, "{words}: {}", ending.stderr);
        assert!(ending.stderr.contains(words), "{}", ending.stderr);
        assert_eq!(1, ending.stderr.lines().count(), "{}", ending.stderr);
    }
}
