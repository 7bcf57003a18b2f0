//! `glassbox patch k8s` and `glassbox install`: Kubernetes takes the result, the original parts stay, and a
//! patched pod's programs are seen.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use glassbox_tests::artefacts::{glassbox, root, sensor};
use glassbox_tests::child::{self, Ending, Status};
use glassbox_tests::kubelet::Kubelet;
use glassbox_tests::python;
use serde_json::{Value, json};

fn manifests() -> String {
    fs::read_to_string(root().join("tests/manifests/all.yaml")).expect("the manifests")
}

fn patch(arguments: &[&str], stdin: &str) -> Ending {
    let mut command = Command::new(glassbox());
    command.args(["patch", "k8s"]).args(arguments);
    child::run(command, stdin.as_bytes())
}

fn done(ending: Ending) -> Ending {
    assert_eq!(Status::Exited(0), ending.status, "{}", ending.stderr);
    ending
}

/// A file of the test's own.
fn file(dir: &tempfile::TempDir, name: &str, text: &str) -> String {
    let path = dir.path().join(name);
    fs::write(&path, text).expect("our own directory");
    path.display().to_string()
}

/// Checks a manifest as an API server of the newest version would.
fn validate(path: &Path) {
    let mut command = Command::new(python::program());
    command.args(["-m", "kubernetes_validate", "--strict"]).arg(path);
    done(child::run(command, b""));
}

/// The documents, as another reader of YAML reads them.
fn read_by_python(text: &str) -> Value {
    let mut command = Command::new(python::program());
    command
        .args(["-c", "import json, sys, yaml; json.dump(list(yaml.safe_load_all(sys.stdin)), sys.stdout)"]);
    serde_json::from_str(&done(child::run(command, text.as_bytes())).stdout).expect("JSON")
}

fn lines_stay(before: &str, after: &str) {
    let mut after = after.lines();
    for line in before.lines() {
        // A line changes if something is put between its brackets.
        let is_changed =
            line.contains("env: []") || line.contains("annotations: {") || line.contains("containers: [{");
        let is_changed = is_changed
            || line.contains("- {name: ")
            || line.contains("libjemalloc")
            || line.contains("metadata: {");
        assert!(is_changed || after.any(|written| written == line), "lost: {line}");
    }
}

#[test]
fn every_kind_is_patched_and_is_what_kubernetes_takes() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir, "all.yaml", &manifests());
    validate(Path::new(&path));

    let ending = done(patch(&["--image", "registry.example/glassbox:1", &path], ""));

    validate(Path::new(&path));
    let text = fs::read_to_string(&path).unwrap();
    lines_stay(&manifests(), &text);
    assert_eq!(9, ending.stderr.matches("a collector beside it").count(), "{}", ending.stderr);
    for words in [
        "left alone: Deployment 'deployment': 'istio-proxy': a helper of another system",
        "left alone: Pod 'left': the annotation glassbox/sensor says off",
        "warning: Job 'job': 'job': an LD_PRELOAD in its envFrom no longer counts",
    ] {
        assert!(ending.stderr.contains(words), "{words}: {}", ending.stderr);
    }
    assert_eq!(9, text.matches("sizeLimit: 16Mi").count());
    assert!(text.contains("value: /usr/lib/libjemalloc.so.2:/glassbox/libglassbox.so\n"));
}

#[test]
fn documents_of_other_kinds_stay_byte_for_byte() {
    let text = manifests();
    let patched = done(patch(&["-"], &text)).stdout;

    let documents = |text: &str| text.split("---\n").map(str::to_owned).collect::<Vec<_>>();
    let (before, after) = (documents(&text), documents(&patched));

    assert_eq!(before.len(), after.len());
    assert_eq!(before[9..], after[9..], "what opted out, and a ConfigMap");
}

#[test]
fn another_reader_of_yaml_sees_the_same_and_json_becomes_the_same() {
    let text = manifests();
    let before = read_by_python(&text);
    let patched = read_by_python(&done(patch(&["-"], &text)).stdout);

    for (document, patched) in before.as_array().unwrap().iter().zip(patched.as_array().unwrap()) {
        let json = serde_json::to_string_pretty(document).unwrap();
        let by_json: Value = serde_json::from_str(&done(patch(&["-"], &json)).stdout).unwrap();

        assert_eq!(patched, &by_json);
    }
}

#[test]
fn patching_again_changes_nothing_and_another_image_only_that() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir, "all.yaml", &manifests());
    let check = |arguments: &[&str]| patch(&[arguments, &["--check", &path]].concat(), "").status;

    assert_eq!(Status::Exited(1), check(&["--image", "a:1"]));
    assert_eq!(manifests(), fs::read_to_string(&path).unwrap(), "--check writes nothing");
    done(patch(&["--image", "a:1", &path], ""));
    let once = fs::read_to_string(&path).unwrap();
    assert_eq!([Status::Exited(0); 2], [check(&["--image", "a:1"]), check(&[])]);
    let written = fs::metadata(&path).unwrap().modified().unwrap();
    done(patch(&[&path], ""));

    assert_eq!(
        (&once, written),
        (&fs::read_to_string(&path).unwrap(), fs::metadata(&path).unwrap().modified().unwrap())
    );
    done(patch(&["--image", "b:2", &path], ""));
    assert_eq!(once.replace("image: a:1", "image: b:2"), fs::read_to_string(&path).unwrap());
}

#[test]
fn what_others_put_in_stays() {
    let text = "\
apiVersion: v1
kind: Pod
metadata:
  name: p
  annotations: {dynakube.dynatrace.com/injected: \"true\"}
spec:
  initContainers:
  - name: datadog-lib-java-init
    image: dd
    volumeMounts: [{name: datadog-auto-instrumentation, mountPath: /datadog-lib}]
  - name: opentelemetry-auto-instrumentation-java
    image: otel
  containers:
  - name: app
    image: x
    env:
    - {name: LD_PRELOAD, value: /opt/dynatrace/oneagent-paas/agent/lib64/liboneagentproc.so}
    - {name: JAVA_TOOL_OPTIONS, value: -javaagent:/datadog-lib/dd-java-agent.jar}
    volumeMounts: [{name: datadog-auto-instrumentation, mountPath: /datadog-lib}]
  - {name: otc-container, image: otel}
  volumes: [{name: datadog-auto-instrumentation, emptyDir: {}}]
";

    let patched = done(patch(&["--image", "g:1", "-"], text)).stdout;

    let pod = read_by_python(&patched)[0].take();
    let names = |list: &Value| -> Vec<String> {
        list.as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(
        [
            "glassbox-install",
            "glassbox-collector",
            "datadog-lib-java-init",
            "opentelemetry-auto-instrumentation-java"
        ],
        names(&pod["spec"]["initContainers"]).as_slice()
    );
    let environment = &pod["spec"]["containers"][0]["env"];
    assert_eq!(["LD_PRELOAD", "JAVA_TOOL_OPTIONS", "GLASSBOX_SOCKET"], names(environment).as_slice());
    assert_eq!(
        "/opt/dynatrace/oneagent-paas/agent/lib64/liboneagentproc.so:/glassbox/libglassbox.so",
        environment[0]["value"]
    );
    assert_eq!(json!({"name": "otc-container", "image": "otel"}), pod["spec"]["containers"][1]);
    assert_eq!("app", pod["metadata"]["annotations"]["glassbox/injected"]);
    assert!(
        patched.contains("annotations: {dynakube.dynatrace.com/injected: \"true\", glassbox/injected: app, "),
        "{patched}"
    );
}

#[test]
fn bad_input_is_one_line_and_leaves_the_file_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let pod = |container: &str| {
        format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: p}}\nspec:\n  containers:\n  - {container}\n")
    };
    for (text, status, words) in [
        ("a: [1\n".to_owned(), 65, "line 2, column 1"),
        ("a: 1\na: 2\n".to_owned(), 65, "line 2, column 1: 'a' is there twice; remove one of them"),
        ("{\"kind\": \"Pod\",\n \"spec\": }".to_owned(), 65, "line 2"),
        ("spec:\n{{ .Values.x }}: {{ toYaml . }}\n".to_owned(), 65, "helm template"),
        (pod("image: x"), 65, "line 6: Pod 'p': a container without a name"),
        (pod("{name: a, env: {A: 1}}"), 65, "line 6: Pod 'p': 'env' is not a list"),
        (
            pod("{name: a, env: [{name: LD_PRELOAD, valueFrom: {configMapKeyRef: {name: c, key: k}}}]}"),
            65,
            "write its value",
        ),
        (
            pod("{name: glassbox-collector}"),
            65,
            "it has a container 'glassbox-collector' that is not ours; rename it",
        ),
        (pod("{name: a}") + "  os: {name: windows}\n", 65, "it is for Windows; say glassbox/sensor: \"off\""),
        (
            pod("{name: a}").replace("{name: p}", "{annotations: {glassbox/sensor: no}}"),
            65,
            "say \"on\" or \"off\"",
        ),
    ] {
        let path = file(&dir, "bad.yaml", &text);

        let ending = patch(&[&path], "");

        assert_eq!(Status::Exited(status), ending.status, "{text}: {}", ending.stderr);
        assert!(
            ending.stderr.contains(words) && ending.stderr.contains("bad.yaml"),
            "{text}: {}",
            ending.stderr
        );
        assert_eq!((1, ""), (ending.stderr.lines().count(), ending.stdout.as_str()), "{}", ending.stderr);
        assert_eq!(text, fs::read_to_string(&path).unwrap());
        assert_eq!(1, fs::read_dir(dir.path()).unwrap().count(), "something was left beside it");
    }
    let missing = patch(&["/nonexistent/pod.yaml"], "");
    assert_eq!(Status::Exited(66), missing.status, "{}", missing.stderr);
    for arguments in
        [&["--image", "a b", "-"][..], &["--events", "xml", "-"], &["--memory", "1 GB", "-"], &[]]
    {
        assert_eq!(Status::Exited(64), patch(arguments, "").status, "{arguments:?}");
    }
    fs::write(dir.path().join("latin"), b"a: \xe4\n").unwrap();
    assert_eq!(Status::Exited(65), patch(&[&dir.path().join("latin").display().to_string()], "").status);
}

#[test]
fn nothing_to_patch_is_said_and_is_no_failure() {
    let ending = done(patch(&["-"], "apiVersion: v1\nkind: Service\n"));

    assert_eq!("apiVersion: v1\nkind: Service\n", ending.stdout);
    assert!(ending.stderr.contains("warning: no document in it makes a pod"), "{}", ending.stderr);
}

#[test]
fn the_example_shows_what_is_added_to_a_pod() {
    let examples = root().join("examples/kubernetes");
    let mut run = Command::new(examples.join("run.sh"));
    run.env("GLASSBOX", glassbox());

    let shown = done(child::run(run, b""));

    let removed = shown.stdout.lines().filter(|line| line.starts_with('-') && !line.starts_with("---"));
    assert_eq!(Vec::<&str>::new(), removed.collect::<Vec<_>>());
    assert!(
        shown.stdout.contains("+    - name: LD_PRELOAD\n+      value: /glassbox/libglassbox.so\n"),
        "{}",
        shown.stdout
    );
    let before = fs::read_to_string(examples.join("pod.yaml")).unwrap();
    assert_eq!(
        fs::read_to_string(examples.join("pod-patched.yaml")).unwrap(),
        done(patch(&["--image", "registry.example/glassbox:0.1.0", "-"], &before)).stdout
    );
    for name in ["pod-patched.yaml", "webhook.yaml"] {
        validate(&examples.join(name));
    }
}

fn install(folder: &Path) -> Ending {
    let mut command = Command::new(glassbox());
    command.arg("install").arg(folder).env("GLASSBOX_LIB", sensor());
    child::run(command, b"")
}

#[test]
fn the_sensor_is_copied_for_every_user_and_replaced_as_a_whole() {
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("libglassbox.so");

    done(install(dir.path()));
    let first = fs::metadata(&copy).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o600)).unwrap();
    done(install(dir.path()));
    let second = fs::metadata(&copy).unwrap();

    assert_eq!(fs::read(sensor()).unwrap(), fs::read(&copy).unwrap());
    assert_eq!([0o644, 0o644], [&first, &second].map(|file| file.mode() & 0o7777));
    assert_ne!(first.ino(), second.ino(), "written into a file that programs have mapped");
    assert_eq!(1, fs::read_dir(dir.path()).unwrap().count());
}

#[test]
fn the_command_line_is_copied_beside_it_where_that_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(glassbox());
    command.args(["install", "--with-command"]).arg(dir.path()).env("GLASSBOX_LIB", sensor());
    done(child::run(command, b""));

    let mut copied = Command::new(dir.path().join("glassbox"));
    copied.arg("--version");

    assert_eq!(0o755, fs::metadata(dir.path().join("glassbox")).unwrap().mode() & 0o7777);
    assert!(done(child::run(copied, b"")).stdout.starts_with("glassbox "));
    assert_eq!(2, fs::read_dir(dir.path()).unwrap().count());
}

#[test]
fn a_folder_that_cannot_be_installed_into_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();

    for folder in [PathBuf::from("/nonexistent"), file, PathBuf::from("/proc")] {
        let ending = install(&folder);

        assert_eq!(
            (Status::Exited(73), 1),
            (ending.status, ending.stderr.lines().count()),
            "{}",
            ending.stderr
        );
        assert!(ending.stderr.contains(folder.to_str().unwrap()), "{}", ending.stderr);
    }
}

/// A pod of the restricted Pod Security Standard: two users, read-only roots, no capabilities.
fn pod(more: &Value) -> String {
    let context = |user: u32| {
        json!({
            "runAsUser": user, "runAsNonRoot": true, "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"},
        })
    };
    let script = "cat /etc/motd; cat /dev/null >/glassbox/x || echo kept; exit 3";
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
        "spec": {
            "initContainers": [{"name": "migrate", "image": "app", "command": ["/bin/cat", "/etc/motd"], "securityContext": context(1000)}],
            "containers": [
                {"name": "app", "image": "app", "command": ["/bin/sh", "-c", script], "securityContext": context(1000)},
                {"name": "other", "image": "app", "command": ["/bin/cat"], "args": ["/etc/motd"], "securityContext": context(2000)},
            ],
        },
    });
    more.as_object().expect("an object").iter().for_each(|(key, value)| pod["spec"][key] = value.clone());
    pod.to_string()
}

/// Runs a pod as its manifest says, and again after a patch.
fn run_pod(manifest: &str, options: &[&str]) -> (Value, Vec<Value>) {
    let patched =
        done(patch(&[&["--image", "registry.example/glassbox:1"], options, &["-"]].concat(), manifest))
            .stdout;
    let pod: Value = serde_json::from_str(&patched).unwrap();
    let bare = Kubelet::start().run(&serde_json::from_str(manifest).unwrap());
    let mut ended = Kubelet::start().run(&pod);

    for (name, ending) in &bare.endings {
        let seen = &ended.endings[name];
        assert_eq!((ending.status, &ending.stdout), (seen.status, &seen.stdout), "{name}");
    }
    assert_eq!(
        (Status::Exited(3), "hello\nkept\n"),
        (bare.endings["app"].status, bare.endings["app"].stdout.as_str())
    );
    let collector = ended.endings.remove("glassbox-collector").expect("it was run");
    assert_eq!(Status::Exited(0), collector.status, "{}", collector.stderr);
    let events = collector.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    (pod, events)
}

fn openers(events: &[Value], path: &str) -> Vec<u64> {
    assert!(!events.iter().any(|event| event["event"] == "sensor.loss"), "something was lost");
    let opens = events.iter().filter(|event| event["event"] == "file.open" && event["path"] == path);
    let mut openers: Vec<u64> = opens.map(|event| event["uid"].as_u64().expect("a uid")).collect();
    openers.sort_unstable();
    openers
}

#[test]
fn a_patched_pod_says_the_same_and_each_of_its_users_is_seen() {
    let (_, events) = run_pod(&pod(&json!({})), &[]);

    assert_eq!(vec![1000, 2000], openers(&events, "/etc/motd"));
    let exits = events.iter().filter(|event| event["event"] == "process.exit");
    assert!(exits.count() >= 3, "{events:#?}");
}

#[test]
fn init_containers_are_seen_where_that_is_asked_for() {
    let (_, events) = run_pod(&pod(&json!({})), &["--init-containers", "--exclude", "other"]);

    assert_eq!(vec![1000, 1000], openers(&events, "/etc/motd"));
}

#[test]
fn a_pod_on_the_hosts_network_has_a_socket_of_its_own() {
    let (pod, events) = run_pod(&pod(&json!({"hostNetwork": true})), &[]);

    assert_eq!("/glassbox/$(GLASSBOX_POD)", pod["spec"]["containers"][0]["env"][2]["value"]);
    assert_eq!(vec![1000, 2000], openers(&events, "/etc/motd"));
}

/// A container with a static program, a user, and a probe that is a program too.
fn static_container(name: &str, user: u32) -> Value {
    json!({
        "name": name, "image": "app", "command": ["/bin/opens"], "args": ["/etc/motd", format!("/tmp/{name}")],
        "livenessProbe": {"exec": {"command": ["/bin/cat", "/etc/motd"]}},
        "securityContext": {"runAsUser": user, "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]},
                            "readOnlyRootFilesystem": true},
    })
}

/// The static program's files as `via` tells of them, by container.
fn told(events: &[Value], path: &str) -> Vec<Value> {
    let opens = events.iter().filter(|event| event["event"] == "file.open" && event["path"] == path);
    opens.map(|open| json!([open["via"], open["uid"], open["ret"]])).collect()
}

#[test]
fn a_static_program_of_a_patched_pod_is_told_of_by_the_kernel() {
    for user in [1000, 0] {
        let manifest = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
            "spec": {"containers": [static_container("one", user), static_container("two", user)]},
        });
        let options = ["--image", "registry.example/glassbox:1", "--notify", "full", "--require-notify", "-"];
        let patched = done(patch(&options, &manifest.to_string())).stdout;
        let pod: Value = serde_json::from_str(&patched).unwrap();
        assert_eq!(
            [&json!({"exec": {"command": ["/bin/cat", "/etc/motd"]}}), &json!("/glassbox/glassbox")],
            [&pod["spec"]["containers"][0]["livenessProbe"], &pod["spec"]["containers"][0]["command"][0]]
        );

        let bare = Kubelet::start().run(&manifest);
        let ended = Kubelet::start().run(&pod);

        for name in ["one", "two"] {
            let (bare, seen) = (&bare.endings[name], &ended.endings[name]);
            assert_eq!(
                (Status::Exited(3), "read Read-only file system\n"),
                (bare.status, bare.stdout.as_str())
            );
            assert_eq!((bare.status, &bare.stdout, ""), (seen.status, &seen.stdout, seen.stderr.as_str()));
        }
        let events = ended.endings["glassbox-collector"].stdout.lines();
        let events: Vec<Value> = events.map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(vec![json!(["notify", user, null]); 2], told(&events, "/etc/motd"), "{events:#?}");
        for name in ["one", "two"] {
            let made = format!("/tmp/{name}");
            assert_eq!(vec![json!(["notify", user, null])], told(&events, &made), "{events:#?}");
        }
        let starts =
            events.iter().filter(|event| event["event"] == "process.start" && event["exe"] == "/bin/opens");
        assert_eq!(
            vec!["notify"; 2],
            starts.map(|start| start["coverage"].as_str().unwrap()).collect::<Vec<_>>()
        );
        assert!(!events.iter().any(|event| event["event"] == "sensor.loss"), "{events:#?}");
    }
}
