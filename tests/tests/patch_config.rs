//! `glassbox patch … --config FILE`: the collector's container gets the configuration, and reads it.

use std::fs;
use std::path::Path;
use std::process::Command;

use glassbox_tests::child::{self, Ending, Status};
use glassbox_tests::glassbox;
use serde_json::Value;

const CONFIG: &str = "filter: proc.args contains '$(x) $y'\noutputs: [jsonl]\n";

/// Each kind of file, and the pointer to the collector's variables in what is patched, as JSON.
const KINDS: [(&str, &str, &str); 3] = [
    (
        "ecs",
        r#"{"family":"f","containerDefinitions":[{"name":"web","image":"i","memory":64}]}"#,
        "/containerDefinitions/1",
    ),
    (
        "k8s",
        r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{"containers":[{"name":"web","image":"i"}]}}"#,
        "/spec/initContainers/1",
    ),
    ("compose", r#"{"services":{"web":{"image":"i"}}}"#, "/services/glassbox"),
];

fn patch(folder: &Path, kind: &str, options: &[&str]) -> Ending {
    let mut command = Command::new(glassbox());
    command.args(["patch", kind, "file"]).args(options).current_dir(folder);
    child::run(command, b"")
}

/// The text that the collector's container is given, as its engine would pass it on, and its options.
fn carried(folder: &Path, kind: &str, place: &str) -> (Option<String>, String) {
    let file: Value = serde_json::from_str(&fs::read_to_string(folder.join("file")).unwrap()).unwrap();
    let container = file.pointer(place).unwrap();
    let options = container["command"].to_string();
    let text = match kind {
        "compose" => container["environment"]["GLASSBOX_CONFIG_YAML"].as_str(),
        _ => {
            let key = if kind == "ecs" { "environment" } else { "env" };
            let entries = container[key].as_array().map(Vec::as_slice).unwrap_or_default();
            let entry = entries.iter().find(|entry| entry["name"] == "GLASSBOX_CONFIG_YAML");
            entry.and_then(|entry| entry["value"].as_str())
        }
    };
    let passed_on = |text: &str| match kind {
        "compose" => text.replace("$$", "$"),
        "k8s" => text.replace("$$(", "$("),
        _ => text.to_owned(),
    };
    (text.map(passed_on), options)
}

#[test]
fn every_kind_carries_the_configuration_once_and_an_empty_one_takes_it_out() {
    for (kind, text, place) in KINDS {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        for (name, text) in [("file", text), ("g.yaml", CONFIG), ("empty.yaml", "")] {
            fs::write(folder.join(name), text).unwrap();
        }

        assert_eq!(Status::Exited(0), patch(folder, kind, &[]).status, "{kind}");
        let bare = fs::read_to_string(folder.join("file")).unwrap();
        let first = patch(folder, kind, &["--config", "g.yaml"]);
        let (carried_text, options) = carried(folder, kind, place);
        let again = patch(folder, kind, &["--config", "g.yaml", "--check"]);
        let without = patch(folder, kind, &["--check"]);

        assert_eq!(Status::Exited(0), first.status, "{kind}: {}", first.stderr);
        assert_eq!(Some(CONFIG.to_owned()), carried_text, "{kind}");
        assert!(!options.contains("-o"), "{kind}: the outputs are the file's: {options}");
        assert_eq!(Status::Exited(0), again.status, "{kind}: patched again: {}", again.stderr);
        assert_eq!(Status::Exited(0), without.status, "{kind}: it stays: {}", without.stderr);
        assert_eq!(Status::Exited(0), patch(folder, kind, &["--config", "empty.yaml"]).status);
        let out = fs::read_to_string(folder.join("file")).unwrap();
        let value = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert_eq!(value(&bare), value(&out), "{kind}: taken out");
    }
}

#[test]
fn malformed_configuration_is_refused_and_the_file_stays() {
    for (kind, text, _) in KINDS {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), text).unwrap();
        fs::write(folder.path().join("g.yaml"), "redact: on\nfliter: x\n").unwrap();

        let malformed = patch(folder.path(), kind, &["--config", "g.yaml"]);
        let missing = patch(folder.path(), kind, &["--config", "none.yaml"]);

        assert_eq!((Status::Exited(65), Status::Exited(66)), (malformed.status, missing.status), "{kind}");
        assert_eq!(
            "glassbox: g.yaml:2:1: unknown key 'fliter'; did you mean 'filter'?\n", malformed.stderr,
            "{kind}"
        );
        assert_eq!(text, fs::read_to_string(folder.path().join("file")).unwrap());
    }
}

#[test]
fn dockerfile_copies_the_configuration_of_its_context_once_and_run_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let options = ["--run", "--entrypoint", "[]", "--config", "conf/g.yaml"];
    fs::create_dir(folder.join("conf")).unwrap();
    fs::write(folder.join("conf/g.yaml"), CONFIG).unwrap();
    fs::write(folder.join("file"), "FROM debian\nCMD [\"true\"]\n").unwrap();

    let first = patch(folder, "dockerfile", &options);
    let text = fs::read_to_string(folder.join("file")).unwrap();
    let again = patch(folder, "dockerfile", &[&options[..], &["--check"]].concat());
    let outside = patch(folder, "dockerfile", &["--run", "--entrypoint", "[]", "--config", "/dev/null"]);

    assert_eq!(Status::Exited(0), first.status, "{}", first.stderr);
    let copied =
        "COPY conf/g.yaml /etc/glassbox/glassbox.yaml\nENV GLASSBOX_CONFIG=/etc/glassbox/glassbox.yaml\n";
    assert!(text.contains(copied), "{text}");
    assert_eq!(Status::Exited(0), again.status, "{}", again.stderr);
    assert_eq!(Status::Exited(64), outside.status, "{}", outside.stderr);
}
