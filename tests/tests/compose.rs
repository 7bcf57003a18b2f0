//! `glassbox patch compose`: the result is a compose file, and the programs of its services are seen.
//!
//! The changes themselves are tested in `deploy/src/compose/tests.rs`; here are the files, the exit statuses,
//! the types of the compose specification, and podman.

use std::fs;
use std::path::Path;
use std::process::Command;

use glassbox_tests::child::{self, Ending, Status};
use glassbox_tests::containers::{BASE, Engine, GLASSBOX};
use glassbox_tests::patched::{self, well};
use glassbox_tests::python;
use serde_json::Value;

fn patch(file: &Path, options: &[&str]) -> Ending {
    patched::patch("compose", file, options)
}

/// Reads the file with the types of the specification, with merge keys resolved; they refuse unknown fields.
fn specified(file: &Path) -> Ending {
    let program = "import json, sys, yaml\nfrom compose_spec import PyCompose\n\
                   compose = PyCompose.from_json(json.dumps(yaml.safe_load(open(sys.argv[1]))))\ncompose.validate()\nprint(compose.to_json())";
    let mut command = Command::new(python::program());
    command.args(["-c", program]).arg(file);
    child::run(command, b"")
}

/// podman-compose on an engine's podman, with the limits that a container within a container needs.
fn compose(engine: &Engine, file: &Path, words: &[&str]) -> Ending {
    let mut command = Command::new(python::program());
    command.args(["-m", "podman_compose", "--in-pod", "false", "-p", "gbx"]);
    command.arg("--podman-args").arg(engine.settings().join(" "));
    command.arg("--podman-run-args=--ulimit nofile=4096:4096 --ulimit nproc=4096:4096");
    command.arg("-f").arg(file).args(words).env_remove("LD_PRELOAD");
    child::run(command, b"")
}

/// Runs the service `app` of a patched file to its end, beside its collector: its exit status as podman says
/// it, what it said, and the events.
fn run_app(engine: &Engine, file: &Path) -> (String, Ending, Vec<Value>) {
    let podman = |words: &[&str]| {
        let mut command = engine.podman();
        command.args(words);
        child::run(command, b"")
    };

    well(compose(engine, file, &["up", "-d", "--no-deps", "glassbox"]));
    child::wait_until("the health check", || {
        podman(&["healthcheck", "run", "gbx_glassbox_1"]).status == Status::Exited(0)
    });
    well(compose(engine, file, &["up", "-d", "--no-deps", "app"]));
    let code = well(podman(&["wait", "gbx_app_1"]));
    let said = podman(&["logs", "gbx_app_1"]);
    well(podman(&["stop", "-t", "20", "gbx_glassbox_1"]));
    let events = podman(&["logs", "gbx_glassbox_1"]);
    well(compose(engine, file, &["down", "-v"]));

    let events = events.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    (code.stdout, said, events)
}

#[test]
fn services_of_a_patched_file_are_seen() {
    let engine = Engine::start();
    let file = engine.path("compose.yaml");
    let text = format!(
        "services:\n  app:\n    image: {BASE}\n    user: \"1234\"\n    network_mode: none\n    environment: [LD_PRELOAD=libgcc_s.so.1]\n    \
         command: [/bin/sh, -c, 'cat /etc/motd; echo $$LD_PRELOAD; exit 3']\n"
    );
    fs::write(&file, text).unwrap();
    well(patch(&file, &["--image", GLASSBOX]));
    let (code, said, events) = run_app(&engine, &file);

    assert_eq!(("3\n", ""), (code.as_str(), said.stderr.as_str()));
    assert_eq!("hello\nlibgcc_s.so.1:/opt/glassbox/libglassbox.so\n", said.stdout);
    assert!(
        events.iter().any(|event| event["event"] == "file.open"
            && event["path"] == "/etc/motd"
            && event["uid"] == 1234),
        "{events:?}"
    );
    assert!(!events.iter().any(|event| event["event"] == "sensor.loss"), "{events:?}");
}

#[test]
fn a_static_program_of_a_patched_service_is_told_of_by_the_kernel() {
    let engine = Engine::start();
    let file = engine.path("compose.yaml");
    let text = format!(
        "services:\n  app:\n    image: {BASE}\n    user: \"1234\"\n    network_mode: none\n    entrypoint: /bin/opens '/etc/motd'\n    \
         command: [/tmp/made]\n"
    );
    fs::write(&file, text).unwrap();
    well(patch(&file, &["--image", GLASSBOX, "--notify", "security", "--require-notify"]));
    let (code, said, events) = run_app(&engine, &file);

    assert_eq!(("3\n", "read written\n", ""), (code.as_str(), said.stdout.as_str(), said.stderr.as_str()));
    let opens = events.iter().filter(|event| event["event"] == "file.open" && event["path"] == "/tmp/made");
    let told: Vec<_> = opens.map(|open| (open["via"].as_str(), open["uid"].as_u64())).collect();
    assert_eq!(vec![(Some("notify"), Some(1234))], told, "{events:#?}");
    assert!(!events.iter().any(|event| event["event"] == "sensor.loss"), "{events:?}");
}

/// A file with every form of the patched fields, with anchors and comments.
const SHOP: &str = "# the shop
x-env: &env
  A: \"1\"
x-common: &common
  restart: always
  environment: *env
services:
  web:
    <<: *common
    image: web
    depends_on: [db] # first
    environment:
      <<: *env
      LD_PRELOAD: ${JEMALLOC:-/usr/lib/libjemalloc.so.2}
    profiles: [front]
  worker:
    <<: *common
    image: worker
    depends_on:
      db:
        condition: service_started
    deploy: {replicas: 2}
  db:
    image: db
    environment:
      - B=2
    volumes:
      - type: volume
        source: data
        target: /data
  other: # not this one
    image: other
    labels:
      glassbox.sensor: \"off\"
volumes:
  data:
";

#[test]
fn every_form_becomes_what_the_specification_has() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("compose.yaml");
    fs::write(&file, SHOP).unwrap();
    well(specified(&file));

    well(patch(&file, &[]));

    let after: Value = serde_json::from_str(&well(specified(&file)).stdout).unwrap();
    let services = &after["services"];
    for (name, preload) in [
        ("web", "${JEMALLOC:-/usr/lib/libjemalloc.so.2}:/opt/glassbox/libglassbox.so"),
        ("worker", "/opt/glassbox/libglassbox.so"),
    ] {
        assert_eq!(preload, services[name]["environment"]["LD_PRELOAD"], "{services}");
        assert_eq!("service_healthy", services[name]["depends_on"]["glassbox"]["condition"]);
    }
    assert_eq!("LD_PRELOAD=/opt/glassbox/libglassbox.so", services["db"]["environment"][1]);
    assert!(
        services["other"].get("environment").is_none() && after["volumes"].get("glassbox-0.1.0").is_some()
    );
    let text = fs::read_to_string(&file).unwrap();
    for kept in SHOP.lines().filter(|line| !line.contains("depends_on: [db]") && !line.contains("LD_PRELOAD"))
    {
        assert!(text.lines().any(|line| line == kept), "lost: {kept}");
    }
    assert!(text.contains("# first\n"), "{text}");

    fs::write(&file, SHOP.replace("restart:", "restarted:")).unwrap();
    assert_ne!(Status::Exited(0), specified(&file).status, "the types would take anything");
}

#[test]
fn bad_input_is_told_in_a_line_and_stays() {
    patched::assert_refuses(
        "compose",
        &[
            (
                b"services:\n  web: x\n",
                &[],
                65,
                "': line 2: services.web is not a mapping; describe the service",
            ),
            (b"services:\n  web: {image: a\n", &[], 65, "': line "),
            (b"a: 1\na: 2\n", &[], 65, "': line 2, column 1: "),
            (b"", &[], 65, "it has no 'services'"),
            (b"{\"web\": {}}", &[], 65, "it has no 'services'"),
            (b"services: {a: {labels: [x=\xff]}}\n", &[], 65, "is not UTF-8 text from byte 26 on"),
            (b"services: {a: {}}\n", &["--service", "b"], 65, "no service is called 'b'; there are a"),
            (b"services: {glassbox: {image: x}, a: {}}\n", &[], 65, "another name with --name"),
            (b"services: {a: {}}\n", &["--name", "a/b"], 64, "a service's name is of letters"),
            (b"services: {a: {}}\n", &["--image", ""], 64, "image"),
        ],
    );
}

#[test]
fn check_says_and_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("compose.yaml");
    fs::write(&file, SHOP).unwrap();

    let before = patch(&file, &["--check"]);
    assert_eq!(SHOP, fs::read_to_string(&file).unwrap());
    well(patch(&file, &[]));
    let text = fs::read(&file).unwrap();
    let after = patch(&file, &["--check"]);
    let again = well(patch(&file, &[]));

    assert_eq!(Status::Exited(1), before.status);
    assert!(
        before.stderr.starts_with("glassbox: would do: service 'web': preloads the sensor"),
        "{before:?}"
    );
    assert_eq!(Status::Exited(0), after.status);
    assert!(again.stderr.ends_with("glassbox: nothing to do\n"), "{again:?}");
    assert_eq!(text, fs::read(&file).unwrap());
}
