//! `-o html`: one file, whose events are those of `jsonl`, however the collector ended.

use std::fs;
use std::path::Path;
use std::process::Command;

use glassbox_tests::child::{self, Ending, Status, wait_until};
use glassbox_tests::{Collector, glassbox};
use serde_json::Value;
use tempfile::TempDir;

/// Prints the text of all elements with events, as far as each goes.
const UNPACK: &str = r#"
import base64, re, sys, zlib
page = open(sys.argv[1]).read()
for part in page.split('<script type="application/octet-stream" class="events">')[1:]:
    data = re.sub(r"\s", "", part.split("</script>")[0])
    data = data[:len(data) - len(data) % 4]
    sys.stdout.buffer.write(zlib.decompressobj(31).decompress(base64.b64decode(data)))
"#;

/// The lines in a document.
fn lines(document: &Path) -> Vec<String> {
    let output = Command::new("/usr/bin/python3").args(["-c", UNPACK]).arg(document).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

fn events(lines: &[String]) -> Vec<&str> {
    lines.iter().map(String::as_str).filter(|line| line.starts_with("{\"time\":")).collect()
}

fn run(dir: &TempDir, arguments: &[&str]) -> Ending {
    let mut command = Command::new(glassbox());
    command.current_dir(dir.path()).args(arguments);
    child::run(command, b"")
}

#[test]
fn document_has_the_lines_of_jsonl_the_alerts_and_an_end() {
    let dir = TempDir::new().unwrap();
    let script = "cat /etc/shadow >/dev/null; cat /nowhere/at/all; :";

    let ending =
        run(&dir, &["run", "-o", "html:r.html", "-o", "jsonl:e.jsonl", "--", "/bin/sh", "-c", script]);

    assert_eq!(Status::Exited(0), ending.status);
    let page = fs::read_to_string(dir.path().join("r.html")).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.ends_with("</script></body></html>\n"));
    let lines = lines(&dir.path().join("r.html"));
    let jsonl = fs::read_to_string(dir.path().join("e.jsonl")).unwrap();
    assert_eq!(jsonl.lines().collect::<Vec<_>>(), events(&lines));
    let at = lines.iter().position(|line| line.starts_with("{\"alert\"")).expect("an alert");
    let alert: Value = serde_json::from_str(&lines[at]).unwrap();
    assert_eq!("Password hashes read", alert["alert"]["rule"]);
    assert!(lines[at - 1].contains("\"path\":\"/etc/shadow\""), "{}", lines[at - 1]);
    let ancestry: Vec<&str> = alert["alert"]["ancestry"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert_eq!(["cat", "sh"], ancestry[..2]);
    assert!(lines.last().unwrap().starts_with("{\"end\":"));
}

#[test]
fn replay_of_a_recording_gives_the_same_document() {
    let dir = TempDir::new().unwrap();
    run(&dir, &["run", "-o", "html:live.html", "-o", "recording:r.gbx", "--", "/bin/cat", "/etc/shadow"]);

    let ending = run(&dir, &["replay", "r.gbx", "-o", "html:again.html"]);

    assert_eq!(Status::Exited(0), ending.status);
    let [live, again] = ["live.html", "again.html"].map(|name| lines(&dir.path().join(name)));
    let told = |lines: &[String]| -> Vec<String> {
        lines.iter().filter(|line| !line.starts_with("{\"end\"")).cloned().collect()
    };
    assert_eq!(told(&live), told(&again));
}

#[test]
fn document_of_a_killed_collector_has_what_happened_before() {
    let dir = TempDir::new().unwrap();
    let document = dir.path().join("r.html");
    let collector =
        Collector::start(&dir.path().join("socket"), &["-o", &format!("html:{}", document.display())]);
    let mut command = Command::new("/bin/cat");
    command.arg("/nowhere/at/all");
    child::run(std::mem::replace(collector.preload(&mut command), Command::new("true")), b"");

    wait_until("the event is in the file", || {
        lines(&document).iter().any(|line| line.contains("/nowhere/at/all") && line.contains("ENOENT"))
    });
    collector.kill();

    let page = fs::read_to_string(&document).unwrap();
    assert!(!page.ends_with("</html>\n"));
    assert!(!lines(&document).iter().any(|line| line.starts_with("{\"end\"")));
}

#[test]
fn file_that_was_renamed_is_ended_and_another_whole_document_begins() {
    let dir = TempDir::new().unwrap();
    let (document, old) = (dir.path().join("r.html"), dir.path().join("old.html"));
    let collector =
        Collector::start(&dir.path().join("socket"), &["-o", &format!("html:{}", document.display())]);
    wait_until("the document begins", || {
        fs::read_to_string(&document).is_ok_and(|page| page.starts_with("<!doctype html>"))
    });
    fs::rename(&document, &old).unwrap();

    let hangup = Command::new("kill").args(["-HUP", &collector.pid().to_string()]).status().unwrap();

    assert!(hangup.success());
    wait_until("another document begins", || {
        fs::read_to_string(&document).is_ok_and(|page| page.starts_with("<!doctype html>"))
    });
    assert_eq!(Status::Exited(0), collector.stop().status);
    for path in [&document, &old] {
        assert!(fs::read_to_string(path).unwrap().ends_with("</script></body></html>\n"), "{path:?}");
    }
}

#[test]
fn secrets_are_masked_in_the_document_too() {
    let dir = TempDir::new().unwrap();

    run(&dir, &["run", "-o", "html:r.html", "--", "/bin/echo", "--password=hunter2"]);

    let text = lines(&dir.path().join("r.html")).join("\n");
    assert!(text.contains("--password=[redacted]") && !text.contains("hunter2"), "{text}");
}

#[test]
fn document_goes_to_no_terminal_and_is_not_divided() {
    let dir = TempDir::new().unwrap();
    // script(1) gives a terminal.
    let line = format!("{} run -o html -- true", glassbox().display());
    let on_terminal = Command::new("script").args(["-qec", &line, "/dev/null"]).output().unwrap();
    let divided = run(&dir, &["run", "-o", "html:r.html,rotate=1MB", "--", "true"]);
    let chosen = run(&dir, &["run", "-o", "html:r.html,only=alerts", "--", "true"]);

    let said = String::from_utf8_lossy(&on_terminal.stdout).into_owned();
    assert_eq!(Some(64), on_terminal.status.code(), "{said}");
    assert!(said.contains("give it a file: -o html:FILE") && !said.contains("doctype"), "{said}");
    assert_eq!(Status::Exited(64), divided.status);
    assert!(divided.stderr.contains("html is one page, which is not divided"), "{}", divided.stderr);
    assert_eq!(Status::Exited(64), chosen.status);
}
