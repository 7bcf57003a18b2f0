//! The configuration file: which layer's value holds, what is said of a wrong file, and that every command
//! that takes `--config` does what it says.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use glassbox_tests::child::{self, Ending, Status, wait_until};
use glassbox_tests::{glassbox, sensor};
use tempfile::TempDir;

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

/// `glassbox` in a folder of its own; the file of this machine has no part in it.
fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(glassbox());
    command.args(arguments).current_dir(folder).env("GLASSBOX_LIB", sensor());
    command
}

fn glassbox_in(folder: &Path, arguments: &[&str]) -> Ending {
    child::run(command(folder, arguments), b"")
}

fn shown(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let mut command = command(folder, &["config", "show"]);
    command.args(arguments).envs(variables.iter().copied());
    let ending = child::run(command, b"");
    assert_eq!(Status::Exited(0), ending.status, "{}", ending.stderr);
    ending.stdout
}

/// The line of a key.
fn line<'p>(page: &'p str, key: &str) -> &'p str {
    let is_it = |line: &&str| line.trim_start().starts_with(&format!("{key}:"));
    page.lines().find(is_it).unwrap_or_else(|| panic!("no {key}:\n{page}"))
}

#[test]
fn flag_comes_before_environment_before_file_before_default() {
    let folder = folder(&[("g.yaml", "filter: evt.type = file\n"), ("empty.yaml", "")]);
    let variable = [("GLASSBOX_FILTER", "evt.type = environment")];
    let flag = ["--config", "g.yaml", "--filter", "evt.type = flag"];
    let page = |arguments: &[&str], variables: &[(&str, &str)]| shown(folder.path(), arguments, variables);

    let [by_flag, by_environment, by_file, by_default] = [
        page(&flag, &variable),
        page(&flag[..2], &variable),
        page(&flag[..2], &[]),
        page(&["--config", "empty.yaml"], &[]),
    ];

    assert_eq!("filter: \"evt.type = flag\"  # --filter", line(&by_flag, "filter"));
    assert_eq!("filter: \"evt.type = environment\"  # GLASSBOX_FILTER", line(&by_environment, "filter"));
    assert_eq!("filter: \"evt.type = file\"  # g.yaml:1:9", line(&by_file, "filter"));
    assert_eq!("# filter: (not set)", by_default.lines().find(|line| line.contains("filter")).unwrap());
    assert_eq!("redact: on  # default", line(&by_file, "redact"));
}

#[test]
fn variable_of_a_section_has_two_underscores_and_a_list_may_be_yaml() {
    let folder = folder(&[("g.yaml", "rules: {files: [/file], default: on}\n")]);
    let variables = [
        ("GLASSBOX_RULES__FILES", "/a /b"),
        ("GLASSBOX_RULES__DEFAULT", "off"),
        ("GLASSBOX_OUTPUTS", "[{format: jsonl, to: /x y, mode: 0640}]"),
    ];

    let page = shown(folder.path(), &["--config", "g.yaml"], &variables);

    assert!(page.contains("  files:  # GLASSBOX_RULES__FILES\n    - /a\n    - /b\n"), "{page}");
    assert!(page.contains("  default: off  # GLASSBOX_RULES__DEFAULT\n"), "{page}");
    assert!(page.contains("outputs:  # GLASSBOX_OUTPUTS\n  - \"jsonl:/x y,mode=0640\"\n"), "{page}");
}

#[test]
fn file_is_that_of_the_option_else_of_the_environment_else_of_etc() {
    let folder = folder(&[("one.yaml", "filter: evt.num > 1"), ("two.yaml", "filter: evt.num > 2")]);
    let etc = format!(
        "mount -t tmpfs none /etc && mkdir /etc/glassbox && echo 'filter: evt.num > 3' >/etc/glassbox/glassbox.yaml && \
         exec {} config show",
        glassbox().display()
    );
    let mut unshared = Command::new("unshare");
    unshared.args(["--map-root-user", "--user", "--mount", "sh", "-c", &etc]);

    let by_option = shown(folder.path(), &["--config", "one.yaml"], &[("GLASSBOX_CONFIG", "two.yaml")]);
    let by_variable = shown(folder.path(), &[], &[("GLASSBOX_CONFIG", "two.yaml")]);
    let by_text = shown(folder.path(), &[], &[("GLASSBOX_CONFIG_YAML", "\nfilter: evt.num > 4")]);
    let by_etc = child::run(unshared, b"");

    assert_eq!("filter: \"evt.num > 1\"  # one.yaml:1:9", line(&by_option, "filter"));
    assert_eq!("filter: \"evt.num > 2\"  # two.yaml:1:9", line(&by_variable, "filter"));
    assert_eq!("filter: \"evt.num > 4\"  # GLASSBOX_CONFIG_YAML:2:9", line(&by_text, "filter"));
    let place = "/etc/glassbox/glassbox.yaml:1:9";
    assert_eq!(format!("filter: \"evt.num > 3\"  # {place}"), line(&by_etc.stdout, "filter"));
    let both = [("GLASSBOX_CONFIG", "one.yaml"), ("GLASSBOX_CONFIG_YAML", "{}")];
    let mut refused = command(folder.path(), &["config", "show"]);
    refused.envs(both);
    assert_eq!(Status::Exited(64), child::run(refused, b"").status);
}

#[test]
fn check_names_every_problem_with_file_line_column_and_the_nearest_name() {
    let text = "filter: proc.nmae = sh\nsockte: /x\nrules:\n  file: [a]\noutputs:\n  - {format: jsonl, to: x, mdoe: 1}\n";
    let folder = folder(&[("g.yaml", text), ("torn.yaml", "socket: /x\nfilter: 'a\n")]);

    let wrong = glassbox_in(folder.path(), &["config", "check", "g.yaml"]);
    let torn = glassbox_in(folder.path(), &["config", "check", "torn.yaml"]);
    let missing = glassbox_in(folder.path(), &["config", "check", "none.yaml"]);

    let lines: Vec<&str> = wrong.stdout.lines().collect();
    assert_eq!(4, lines.len(), "{}", wrong.stdout);
    assert!(lines[0].starts_with("g.yaml:1:9: filter: "), "{}", lines[0]);
    assert!(lines[0].ends_with("did you mean 'proc.name'?"), "{}", lines[0]);
    assert_eq!("g.yaml:2:1: unknown key 'sockte'; did you mean 'socket'?", lines[1]);
    assert_eq!("g.yaml:4:3: unknown key 'file' in 'rules'; did you mean 'files'?", lines[2]);
    assert_eq!("g.yaml:6:28: unknown key 'mdoe' of an output; did you mean 'mode'?", lines[3]);
    assert_eq!("glassbox: 4 problems in the configuration; each is named above\n", wrong.stderr);
    assert!(torn.stdout.starts_with("torn.yaml:2:"), "{}", torn.stdout);
    let statuses = [wrong.status, torn.status, missing.status];
    assert_eq!([Status::Exited(65), Status::Exited(65), Status::Exited(66)], statuses);
}

#[test]
fn every_command_refuses_a_malformed_file_and_says_where_it_is_wrong() {
    let folder = folder(&[("g.yaml", "redact: on\nfliter: x\nredcat: y\n")]);

    for arguments in [&["run", "--config", "g.yaml", "--", "true"][..], &["collect", "--config", "g.yaml"]] {
        let ending = glassbox_in(folder.path(), arguments);

        assert_eq!(Status::Exited(65), ending.status, "{arguments:?}");
        assert_eq!(
            "glassbox: g.yaml:2:1: unknown key 'fliter'; did you mean 'filter'? (and 1 more; 'glassbox config check FILE' shows \
             all)\n",
            ending.stderr
        );
    }
    let missing = glassbox_in(folder.path(), &["run", "--config", "none.yaml", "--", "true"]);
    assert_eq!(Status::Exited(66), missing.status);
}

#[test]
fn what_is_shown_sets_the_same_when_it_is_fed_back() {
    let text = "socket: '@x # y'\nfilter: 'proc.args contains \"a: b #\"'\nredact: no\nrules: {files: [r.yaml], fail_on: Error}\n\
                outputs: ['jsonl:a,,b.jsonl,mode=0640', {format: human, to: stderr}]\nrun: {follow: yes}\n";
    let folder = folder(&[("g.yaml", text)]);

    let once = shown(folder.path(), &["--config", "g.yaml"], &[]);
    fs::write(folder.path().join("back.yaml"), &once).unwrap();
    let twice = shown(folder.path(), &["--config", "back.yaml"], &[]);

    let values = |page: &str| -> Vec<String> {
        let lines = page.lines().filter(|line| !line.trim_start().starts_with('#'));
        lines.map(|line| line.split("  # ").next().unwrap().to_owned()).collect()
    };
    assert_eq!(values(&once), values(&twice));
    assert!(values(&once).contains(&"  fail_on: error".to_owned()), "{once}");
}

#[test]
fn secret_in_an_output_is_masked() {
    let folder = folder(&[]);
    let variables = [("GLASSBOX_OUTPUTS", "jsonl:/tmp/x?token=ghp_Zq7Zq7Zq7Zq7Zq7Zq7Zq7Zq7Zq7Zq7Zq7Zq7")];

    let page = shown(folder.path(), &[], &variables);

    assert!(page.contains("[redacted]") && !page.contains("Zq7Zq7"), "{page}");
}

/// A configuration whose output, rules and redaction show in what is written.
fn whole() -> TempDir {
    let rules = "- rule: read\n  desc: d\n  condition: evt.type = openat and fd.name endswith /marked\n  output: seen \
                 %fd.name\n  priority: ERROR\n";
    let text = "outputs: [jsonl:events.jsonl, {format: falco, to: alerts.jsonl}]\nfilter: gb.event in (file.open, \
                process.start)\nrules: {files: [own.yaml], default: off, fail_on: error}\nredact: off\n";
    folder(&[("own.yaml", rules), ("g.yaml", text), ("marked", "")])
}

/// What [`whole`] asks for: these events alone, the secret as it is, one alert.
fn check_written(folder: &Path) {
    let events = fs::read_to_string(folder.join("events.jsonl")).unwrap();
    assert!(events.contains("/marked") && events.contains("--password=hunter2"), "{events}");
    for event in events.lines() {
        let is_asked = ["file.open", "process.start", "sensor."]
            .iter()
            .any(|name| event.contains(&format!("\"event\":\"{name}")));
        assert!(is_asked, "{event}");
    }
    let alerts = fs::read_to_string(folder.join("alerts.jsonl")).unwrap();
    assert!(alerts.contains("\"rule\":\"read\"") && alerts.contains("/marked"), "{alerts}");
}

/// CMD, with a secret among its arguments.
const VICTIM: [&str; 5] = ["/bin/sh", "-c", "cat marked; mkdir new; true", "sh", "--password=hunter2"];

#[test]
fn run_takes_everything_from_the_file_from_whatever_folder_it_is_called() {
    let folder = whole();
    let config = folder.path().join("g.yaml");
    let elsewhere = tempfile::tempdir().unwrap();
    let mut run = Command::new(glassbox());
    run.arg("run").arg("--config").arg(&config).args(["--", "env", "-C"]).arg(folder.path());
    run.args(VICTIM).current_dir(elsewhere.path()).env("GLASSBOX_LIB", sensor());

    let ending = child::run(run, b"");

    assert_eq!(Status::Exited(1), ending.status, "fail_on: {}", ending.stderr);
    check_written(folder.path());
    assert_eq!(0, fs::read_dir(elsewhere.path()).unwrap().count());
}

#[test]
fn collect_listens_filters_judges_and_writes_as_the_file_says() {
    let folder = whole();
    let socket: PathBuf = folder.path().join("socket");
    let config = folder.path().join("g.yaml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("socket: {}\n{text}", socket.display())).unwrap();
    let running = child::start(command(folder.path(), &["collect", "--config", "g.yaml"]), b"");
    wait_until("the collector", || {
        // `health` and `exec` read the same file by the environment.
        let mut health = command(folder.path(), &["health"]);
        health.env("GLASSBOX_CONFIG", &config);
        child::run(health, b"").status == Status::Exited(0)
    });
    let mut exec = command(folder.path(), &["exec", "--"]);
    exec.args(VICTIM).env("GLASSBOX_CONFIG", &config);

    let seen = child::run(exec, b"");
    running.signal(libc::SIGTERM);
    let ending = running.finish();

    assert_eq!(Status::Exited(0), seen.status, "{}", seen.stderr);
    assert_eq!(Status::Exited(1), ending.status, "fail_on: {}", ending.stderr);
    check_written(folder.path());
}

#[test]
fn replay_takes_the_outputs_of_a_file_that_is_named() {
    let folder = whole();
    let mut record = command(folder.path(), &["run", "--no-redact", "-o", "recording:r.gbx", "--"]);
    record.args(VICTIM);
    assert_eq!(Status::Exited(0), child::run(record, b"").status);

    let ending = glassbox_in(folder.path(), &["replay", "r.gbx", "--config", "g.yaml"]);

    assert_eq!(("", Status::Exited(1)), (ending.stdout.as_str(), ending.status), "{}", ending.stderr);
    check_written(folder.path());
}

#[test]
fn run_beside_the_hosts_collector_leaves_its_outputs_alone() {
    let folder = folder(&[]);
    let script = format!(
        "mount -t tmpfs none /etc && mkdir /etc/glassbox && printf 'outputs: [jsonl:{0}/host.jsonl]\\nfilter: gb.event in \
         (process.start)\\n' >/etc/glassbox/glassbox.yaml && {1} run -o jsonl:{0}/own.jsonl -- true && exec {1} run -- true",
        folder.path().display(),
        glassbox().display()
    );
    let mut unshared = Command::new("unshare");
    unshared.args(["--map-root-user", "--user", "--mount", "sh", "-c", &script]);
    unshared.env("GLASSBOX_LIB", sensor());

    let ending = child::run(unshared, b"");

    assert_eq!(Status::Exited(0), ending.status, "{}", ending.stderr);
    assert!(ending.stderr.contains("glassbox: "), "no summary: {}", ending.stderr);
    assert!(!folder.path().join("host.jsonl").exists());
    let own = fs::read_to_string(folder.path().join("own.jsonl")).unwrap();
    assert!(own.lines().all(|line| line.contains("process.start")) && !own.is_empty(), "{own}");
}
