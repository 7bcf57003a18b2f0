//! Filters, rules and their alerts: real programs are chosen and judged, live and in a replay alike.

use std::fs;

use glassbox_tests::child::{self, Ending, Status};
use glassbox_tests::glassbox;
use glassbox_tests::scene::Scene;
use serde_json::Value;

fn scene() -> Scene {
    let scene = Scene::of("steady", &["0"]);
    scene.clean();
    scene
}

/// `glassbox run OPTIONS -- sh -c SCRIPT`, judged by the given rules alone.
fn shell(scene: &Scene, options: &[&str], script: &str) -> Ending {
    let mut command = scene.command(glassbox());
    command.arg("run").arg("--no-default-rules").args(options).args(["--", "/bin/sh", "-c", script]);
    child::run(command, b"")
}

fn glassbox_with(scene: &Scene, arguments: &[&str], stdin: &str) -> Ending {
    let mut command = scene.command(glassbox());
    command.args(arguments);
    child::run(command, stdin.as_bytes())
}

fn objects(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

fn names(text: &str) -> Vec<String> {
    objects(text).iter().map(|event| event["event"].as_str().unwrap().to_owned()).collect()
}

const RULES: &str = "\
- list: secrets
  items: [secret, key]

- macro: opened
  condition: (evt.type in (open, openat) and fd.typechar = f and fd.num >= 0)

- rule: Secret read
  desc: a secret is opened
  condition: opened and evt.is_open_read = true and fd.filename in (secrets)
  output: secret %fd.filename read by %proc.name (parent %proc.pname, arguments %proc.args, host %fd.sip)
  priority: WARNING
  tags: [T1552, files]

- rule: Shell with a marked argument
  desc: only to see that execs are judged
  condition: evt.type = execve and proc.args contains xyzzy
  output: \"%proc.cmdline\"
  priority: NOTICE
  x-glassbox-examples:
    - fires: true
      event: {evt.type: execve, proc.args: a xyzzy b}
    - fires: false
      event: {evt.type: execve, proc.args: a b}
";

fn with_rules(text: &str) -> Scene {
    let scene = scene();
    fs::write(scene.work().join("rules.yaml"), text).unwrap();
    scene
}

#[test]
fn filter_lets_pass_what_meets_the_condition() {
    let scene = scene();
    let filter =
        "evt.type in (open, openat) and evt.failed = false and fd.filename = wanted and proc.name = cat";

    let ending = shell(
        &scene,
        &["--filter", filter, "-o", "jsonl:-"],
        "echo x >wanted; cat wanted wanted other >/dev/null",
    );

    let events = objects(&ending.stdout);
    assert_eq!(2, events.len(), "{}", ending.stdout);
    for event in events {
        assert_eq!(
            ("file.open", "/usr/bin/cat"),
            (event["event"].as_str().unwrap(), event["exe"].as_str().unwrap())
        );
    }
}

#[test]
fn selectors_choose_by_event_path_program_and_failure() {
    let scene = scene();
    let script = "mkdir -p d/e; echo x >d/e/f; cat d/e/f nothing >/dev/null 2>&1; rm d/e/f; true";
    let chosen = |options: &[&str]| {
        let options: Vec<&str> = options.iter().chain(&["-o", "jsonl:-"]).copied().collect();
        names(&shell(&scene, &options, script).stdout)
    };

    let unlinked = chosen(&["-e", "file.unlink"]);
    let by_noun = chosen(&["-e", "process"]);
    let below = chosen(&["-P", "d", "-e", "file.open,file.unlink,file.mkdir"]);
    let failed = chosen(&["--exe", "cat", "--failed", "-P", "nothing"]);

    assert_eq!(vec!["file.unlink"], unlinked);
    assert!(by_noun.len() >= 8 && by_noun.iter().all(|name| name.starts_with("process.")), "{by_noun:?}");
    assert_eq!(vec!["file.mkdir", "file.mkdir", "file.open", "file.open", "file.unlink"], below);
    assert_eq!(vec!["file.open"], failed);
}

#[test]
fn wrong_condition_is_wrong_usage_with_its_byte_and_starts_nothing() {
    let scene = scene();
    for (options, words) in [
        (&["--filter", "proc.nmae = x"][..], "byte 0: unknown field 'proc.nmae'"),
        (&["--filter", "proc.name ="], "byte 11: "),
        (&["-e", "file.opn"], "did you mean 'file.open'?"),
        (&["--fail-on", "loud"], "is no priority"),
    ] {
        let ending = shell(&scene, options, "echo started >&2");

        assert_eq!(Status::Exited(64), ending.status, "{options:?}: {}", ending.stderr);
        assert!(ending.stderr.contains(words) && ending.stderr.lines().count() == 1, "{}", ending.stderr);
    }
}

#[test]
fn rule_that_matches_gives_an_alert_in_falcos_form() {
    let scene = with_rules(RULES);
    let options = ["--rules", "rules.yaml", "-o", "falco:-"];

    let ending =
        shell(&scene, &options, "echo x >secret; cat secret secrets >/dev/null 2>&1; cat other; true");

    let alerts = objects(&ending.stdout);
    assert_eq!(1, alerts.len(), "{}", ending.stdout);
    let alert = &alerts[0];
    let keys: Vec<&String> = alert.as_object().unwrap().keys().collect();
    assert_eq!(
        vec!["hostname", "output", "output_fields", "priority", "rule", "source", "tags", "time"],
        keys
    );
    assert_eq!(
        ("Secret read", "Warning", "syscall"),
        (
            alert["rule"].as_str().unwrap(),
            alert["priority"].as_str().unwrap(),
            alert["source"].as_str().unwrap()
        )
    );
    let message = "Warning secret secret read by cat (parent sh, arguments secret secrets, host <NA>)";
    assert!(alert["output"].as_str().unwrap().ends_with(message), "{alert}");
    assert_eq!(
        ("cat", true),
        (alert["output_fields"]["proc.name"].as_str().unwrap(), alert["output_fields"]["fd.sip"].is_null())
    );
    assert_eq!(
        vec!["T1552", "files"],
        alert["tags"].as_array().unwrap().iter().map(|tag| tag.as_str().unwrap()).collect::<Vec<_>>()
    );
}

#[test]
fn replay_of_a_recording_gives_the_alerts_that_the_live_session_gave() {
    let scene = with_rules(RULES);
    let options = ["--rules", "rules.yaml", "-o", "falco:live", "-o", "recording:r.gbx"];
    let script =
        "echo x >key; cat key >/dev/null; sh -c 'cat key' xyzzy >/dev/null; ./xyzzy xyzzy 2>/dev/null; true";

    let live = shell(&scene, &options, script);
    let replayed = glassbox_with(
        &scene,
        &["replay", "r.gbx", "--no-default-rules", "--rules", "rules.yaml", "-o", "falco:replayed"],
        "",
    );

    assert_eq!((Status::Exited(0), Status::Exited(0)), (live.status, replayed.status), "{}", replayed.stderr);
    let files = scene.files();
    assert_eq!(files["live"], files["replayed"]);
    // Two starts and a failed exec with the word, and two reads.
    assert_eq!(5, files["live"].lines().count(), "{}", files["live"]);
}

#[test]
fn alert_stands_below_its_event_and_first_in_the_summary() {
    let scene = with_rules(RULES);
    let options = ["--rules", "rules.yaml", "-o", "human:lines", "-o", "summary:page"];

    shell(&scene, &options, "echo x >secret; cat secret >/dev/null; true");

    let files = scene.files();
    let lines: Vec<&str> = files["lines"].lines().collect();
    let place = lines.iter().position(|line| line.contains(" alert ")).expect("an alert");
    assert!(lines[place].contains("Warning \"Secret read\" \"secret secret read by cat"), "{}", lines[place]);
    assert!(
        lines[place - 1].contains("file.open") && lines[place - 1].contains("secret"),
        "{}",
        lines[place - 1]
    );
    let page = &files["page"];
    assert!(page.contains("  Warning      1 x  \"Secret read\"\n"), "{page}");
    assert!(page.contains("by cat (") && page.contains(" <- sh ("), "{page}");
    assert!(page.find("Alerts") < page.find("Processes"), "{page}");
}

#[test]
fn run_fails_on_an_alert_that_is_urgent_enough_unless_the_program_failed_itself() {
    let scene = with_rules(RULES);
    let run = |limit: &str, script: &str| {
        let options = ["--rules", "rules.yaml", "--fail-on", limit, "-o", "jsonl:/dev/null"];
        shell(&scene, &options, script).status
    };
    let reads = "echo x >secret; cat secret >/dev/null; exit";

    assert_eq!(Status::Exited(1), run("warning", &format!("{reads} 0")));
    assert_eq!(Status::Exited(1), run("Info", &format!("{reads} 0")));
    assert_eq!(Status::Exited(0), run("error", &format!("{reads} 0")));
    assert_eq!(Status::Exited(7), run("warning", &format!("{reads} 7")));
    assert_eq!(Status::Exited(0), run("debug", "true"));
}

#[test]
fn rules_that_cannot_be_used_end_the_run_before_it_starts() {
    let scene =
        with_rules("- rule: x\n  desc: d\n  condition: proc.nmae = x\n  output: o\n  priority: INFO\n");

    let wrong = shell(&scene, &["--rules", "rules.yaml"], "echo started >&2");
    let missing = shell(&scene, &["--rules", "nothing.yaml"], "echo started >&2");

    assert_eq!(
        (Status::Exited(65), Status::Exited(66)),
        (wrong.status, missing.status),
        "{}",
        missing.stderr
    );
    assert!(wrong.stderr.contains("rules.yaml:3:14: error: "), "{}", wrong.stderr);
    assert!(missing.stderr.contains("nothing.yaml"), "{}", missing.stderr);
    assert!(!wrong.stderr.contains("started") && !missing.stderr.contains("started"));
}

#[test]
fn rules_are_listed_checked_tested_and_explained() {
    let scene = with_rules(RULES);
    let wrong = "- rule: x\n  desc: d\n  condition: fd.nmae = x\n  output: o\n  priority: INFO\n";
    fs::write(scene.work().join("wrong.yaml"), wrong).unwrap();
    let event = "{\"event\":\"file.open\",\"call\":\"openat\",\"pid\":7,\"exe\":\"/bin/cat\",\"ret\":3,\
                 \"path\":\"/x/other\",\"fd\":3,\"flags\":[\"O_RDONLY\"]}\n";

    let list = glassbox_with(&scene, &["rules", "list", "--no-default-rules", "--rules", "rules.yaml"], "");
    let good = glassbox_with(&scene, &["rules", "check", "rules.yaml"], "");
    let bad = glassbox_with(&scene, &["rules", "check", "wrong.yaml"], "");
    let tested = glassbox_with(&scene, &["rules", "test", "--no-default-rules", "rules.yaml"], "");
    let explain = ["rules", "explain", "-", "--no-default-rules", "--rules", "rules.yaml"];
    let explained = glassbox_with(&scene, &explain, event);
    let matching = glassbox_with(&scene, &explain, &event.replace("other", "key"));

    assert!(
        list.stdout.contains("Warning       Secret read  [T1552, files]  rules.yaml:"),
        "{}",
        list.stdout
    );
    assert_eq!((Status::Exited(0), "2 rules can be used\n"), (good.status, good.stdout.as_str()));
    assert_eq!(Status::Exited(65), bad.status);
    assert!(bad.stdout.starts_with("wrong.yaml:3:14: error: "), "{}", bad.stdout);
    assert_eq!((Status::Exited(0), "2 examples, 0 went wrong\n"), (tested.status, tested.stdout.as_str()));
    assert!(
        explained.stdout.contains(
            "does not match: Secret read\n    fd.filename in (secret, key); fd.filename is 'other'\n"
        ),
        "{}",
        explained.stdout
    );
    assert!(matching.stdout.starts_with("matches: Secret read (Warning)\n"), "{}", matching.stdout);
}

#[test]
fn fields_are_listed_with_type_source_and_limits() {
    let scene = scene();

    let fields = objects(&glassbox_with(&scene, &["fields", "--json"], "").stdout);

    let tty = fields.iter().find(|field| field["name"] == "proc.tty").unwrap();
    assert_eq!(("uint", "/proc/PID/stat"), (tty["type"].as_str().unwrap(), tty["source"].as_str().unwrap()));
    assert!(fields.len() > 200, "{}", fields.len());
}

/// What only the kernel says, of a program that leads a session of its own without a terminal, and lives long
/// enough to be looked at.
#[test]
fn facts_of_the_kernel_are_known_where_a_condition_asks_for_them() {
    let scene = scene();
    let filter = "evt.type = execve and proc.name = sleep and proc.tty = 0 and proc.is_sid_leader = true and \
                  proc.duration < 60000000000 and user.loginuid >= -1 and proc.cwd exists and proc.vpid exists";

    let ending = shell(
        &scene,
        &["--filter", filter, "-o", "jsonl:-"],
        "setsid -w sleep 1; setsid -w sh -c 'sleep 1; true'",
    );

    assert_eq!(vec!["process.start"], names(&ending.stdout), "{}", ending.stderr);
}
