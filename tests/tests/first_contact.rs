//! The first minute: a wrong command line, help, a collector on a terminal, and what shells know of the
//! command line.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use glassbox_tests::child::{self, Ending, Status, wait_until};
use glassbox_tests::terminal::OnTerminal;
use glassbox_tests::{Collector, glassbox, sensor};

fn run(arguments: &[&str]) -> Ending {
    let mut command = Command::new(glassbox());
    command.args(arguments);
    child::run(command, b"")
}

/// The one line on stderr of a wrong command line.
#[track_caller]
fn refusal(arguments: &[&str]) -> String {
    let ending = run(arguments);
    assert_eq!((Status::Exited(64), ""), (ending.status, ending.stdout.as_str()), "{}", ending.stderr);
    assert_eq!(1, ending.stderr.lines().count(), "{}", ending.stderr);
    ending.stderr.trim_end().to_owned()
}

#[test]
fn program_without_run_is_told_the_line_that_runs_it() {
    assert_eq!(
        "glassbox: no command 'ls'; did you mean `glassbox run -- ls -l`?; see 'glassbox --help'",
        refusal(&["ls", "-l"])
    );
}

#[test]
fn help_is_had_by_word_and_by_option_alike() {
    for names in [&["run"][..], &["patch", "k8s"]] {
        let by_word = run(&[&["help"], names].concat());
        let by_option = run(&[names, &["--help"]].concat());

        assert_eq!(Status::Exited(0), by_word.status, "{}", by_word.stderr);
        assert_eq!(by_option.stdout, by_word.stdout);
        assert!(by_word.stdout.contains("Usage: glassbox "), "{}", by_word.stdout);
    }
}

#[test]
fn wrong_outputs_are_told_the_right_ones_before_anything_starts() {
    let dir = tempfile::tempdir().unwrap();
    let mark = dir.path().join("started");
    for (output, meant) in [
        ("json", "did you mean 'jsonl'?"),
        ("human:stdout", "write human:-, or human:./stdout for a file of that name"),
    ] {
        let line = refusal(&["run", "-o", output, "--", "touch", &mark.to_string_lossy()]);

        assert!(line.contains(meant), "{line}");
    }
    assert!(!mark.exists());
}

#[test]
fn program_that_is_not_there_is_told_of_by_the_error_alone() {
    let ending = run(&["run", "--", "no-such-program"]);

    assert_eq!((Status::Exited(127), ""), (ending.status, ending.stdout.as_str()));
    assert_eq!(
        "glassbox: cannot run 'no-such-program': command not found; check the name, or give its path\n",
        ending.stderr
    );
}

#[test]
fn collect_on_a_terminal_shows_a_line_that_starts_a_seen_shell() {
    let dir = tempfile::tempdir().unwrap();
    let (socket, events) = (dir.path().join("s"), dir.path().join("events"));
    let mut collect = Command::new(glassbox());
    collect
        .arg("collect")
        .arg("-o")
        .arg(format!("jsonl:{}", events.display()))
        .env("GLASSBOX_SOCKET", &socket);
    let mut collector = OnTerminal::start(collect);
    collector.wait_for("\"$SHELL\"");
    let shown = collector.shown();
    let lines: Vec<&str> = shown.lines().map(str::trim_end).collect();
    let [first, pasted] = *lines else { panic!("{shown}") };
    assert!(first.starts_with(&format!("glassbox: listening at '{}' ", socket.display())), "{first}");

    let mut shell = Command::new("sh");
    shell.args(["-c", pasted]).env("SHELL", "/bin/sh").env_remove("GLASSBOX_SOCKET");
    let ending = child::run(shell, b"read line </etc/hostname; echo seen\n");
    collector.type_in(b"\x03");
    let (status, _) = collector.finish();

    assert_eq!((Status::Exited(0), "seen\n"), (ending.status, ending.stdout.as_str()), "{}", ending.stderr);
    assert_eq!(Status::Exited(0), status);
    assert!(fs::read_to_string(events).unwrap().contains("\"path\":\"/etc/hostname\""));
}

#[test]
fn collect_elsewhere_shows_nothing_of_its_own() {
    let dir = tempfile::tempdir().unwrap();

    let ending = Collector::start(&dir.path().join("s"), &["-o", "jsonl:-"]).stop();

    assert_eq!((Status::Exited(0), "", ""), (ending.status, ending.stdout.as_str(), ending.stderr.as_str()));
}

/// A `collect` whose stdout nothing reads any more after its first line, and the program that it saw.
fn collect_without_a_reader(folder: &Path, options: &[&str]) -> Child {
    let mut command = Command::new(glassbox());
    command.arg("collect").args(options).env("GLASSBOX_SOCKET", folder.join("s")).current_dir(folder);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(fs::File::create(folder.join("stderr")).unwrap());
    child::inherit_only_standard_streams(&mut command);
    let mut collector = command.spawn().unwrap();
    wait_until("the socket", || folder.join("s").exists());
    watched(folder, &["true"]);
    let mut line = String::new();
    BufReader::new(collector.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("process.start"), "{line}");
    collector
}

/// Runs a program for the collector in `folder`.
fn watched(folder: &Path, program: &[&str]) {
    let mut command = Command::new(program[0]);
    command.args(&program[1..]).env("LD_PRELOAD", sensor()).env("GLASSBOX_SOCKET", folder.join("s"));
    assert_eq!(Status::Exited(0), child::run(command, b"").status);
}

#[test]
fn collect_ends_with_the_reader_of_its_only_output() {
    let dir = tempfile::tempdir().unwrap();
    let mut collector = collect_without_a_reader(dir.path(), &["-o", "jsonl:-"]);

    let mut status = None;
    wait_until("the collector's end", || {
        status = collector.try_wait().unwrap();
        status.is_some()
    });

    let stderr = fs::read_to_string(dir.path().join("stderr")).unwrap();
    assert_eq!(Some(Status::Exited(73)), status.map(Status::from), "{stderr}");
    let last = stderr.lines().last().unwrap();
    assert!(
        last.starts_with("glassbox: collecting has ended: nothing reads its output any more; "),
        "{stderr}"
    );
    assert!(!dir.path().join("s").exists(), "the socket was left behind");
}

#[test]
fn collect_goes_on_without_that_reader_where_it_has_another_output() {
    let dir = tempfile::tempdir().unwrap();
    let mut collector = collect_without_a_reader(dir.path(), &["-o", "jsonl:-", "-o", "jsonl:events"]);

    watched(dir.path(), &["cat", "/etc/hostname"]);

    wait_until("the events of a later program", || {
        fs::read_to_string(dir.path().join("events")).is_ok_and(|text| text.contains("/etc/hostname"))
    });
    assert_eq!(None, collector.try_wait().unwrap());
    collector.kill().unwrap();
    collector.wait().unwrap();
}

#[test]
fn completions_complete_in_their_shells() {
    let dir = tempfile::tempdir().unwrap();
    let file = |shell: &str| {
        let ending = run(&["completions", shell]);
        assert_eq!((Status::Exited(0), ""), (ending.status, ending.stderr.as_str()));
        let file = dir.path().join(shell);
        fs::write(&file, ending.stdout).unwrap();
        file.into_os_string().into_string().unwrap()
    };
    let (bash, zsh, fish) = (file("bash"), file("zsh"), file("fish"));
    let bash = format!(
        "source {bash}; COMP_WORDS=(glassbox patch co); COMP_CWORD=2; _glassbox glassbox co patch; echo ${{COMPREPLY[@]}}
         COMP_WORDS=(glassbox run --fol); COMP_CWORD=2; _glassbox glassbox --fol run; echo ${{COMPREPLY[@]}}"
    );
    let fish = format!("source {fish}; complete -C 'glassbox patch co'; complete -C 'glassbox run --fol'");
    let zsh = format!("autoload -Uz compinit; compinit -u -D; source {zsh}; echo ${{_comps[glassbox]}}");
    for (shell, script, words) in [
        ("bash", &bash, &["compose", "--follow"][..]),
        ("fish", &fish, &["compose", "--follow"]),
        ("zsh", &zsh, &["_glassbox"]),
    ] {
        let mut command = Command::new(shell);
        command.args(["-c", script]).env("HOME", dir.path());

        let ending = child::run(command, b"");

        let found: Vec<&str> =
            ending.stdout.lines().filter_map(|line| line.split_whitespace().next()).collect();
        assert_eq!((words, ""), (found.as_slice(), ending.stderr.as_str()), "{shell}");
    }
}

#[test]
fn hooks_are_objects_for_programs() {
    let ending = run(&["hooks", "--json"]);

    let objects: Vec<serde_json::Value> =
        ending.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let open = objects.iter().find(|object| object["function"] == "openat").unwrap();
    assert_eq!((&"file".into(), &serde_json::json!(["file.open"])), (&open["family"], &open["events"]));
    assert_eq!(
        "fn openat (dir : c_int, path : *const c_char, flags : c_int, mode : mode_t) -> c_int",
        open["prototype"]
    );
}

/// A file of each kind that `patch` takes, and its text.
const DEPLOYED: [(&str, &str, &str); 4] = [
    ("compose", "compose.yaml", "services:\n  app:\n    image: app\n    command: [a, b]\n"),
    ("dockerfile", "Dockerfile", "FROM debian:12\nRUN true\nCMD [\"/app\"]\n"),
    (
        "ecs",
        "task.json",
        "{\"family\": \"web\", \"containerDefinitions\": [\n  {\"name\": \"app\", \"image\": \"app\", \"essential\": true}\n]}\n",
    ),
    (
        "k8s",
        "pod.yaml",
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\nspec:\n  containers:\n    - name: app\n      image: app\n",
    ),
];

#[test]
fn difference_that_is_shown_makes_the_patched_file_with_patch() {
    for (kind, name, text) in DEPLOYED {
        let dir = tempfile::tempdir().unwrap();
        let glassbox = |options: &[&str]| {
            let mut command = Command::new(glassbox());
            command.args(["patch", kind]).args(options).arg(name).current_dir(dir.path());
            child::run(command, b"")
        };
        fs::write(dir.path().join(name), text).unwrap();

        let shown = glassbox(&["--diff"]);
        assert_eq!(Status::Exited(1), shown.status, "{kind}: {}", shown.stderr);
        assert_eq!(text, fs::read_to_string(dir.path().join(name)).unwrap(), "{kind}: --diff wrote");
        assert!(
            shown.stdout.starts_with(&format!("--- {name}\n+++ {name}\n@@ ")),
            "{kind}: {}",
            shown.stdout
        );
        assert!(!shown.stdout.contains('\x1b'), "{kind}: {}", shown.stdout);
        let wanted = glassbox(&["-o", "-"]).stdout;
        let mut patch = Command::new("patch");
        patch.args(["-p0", "--quiet"]).current_dir(dir.path());
        assert_eq!(Status::Exited(0), child::run(patch, shown.stdout.as_bytes()).status, "{kind}");

        assert_eq!(wanted, fs::read_to_string(dir.path().join(name)).unwrap(), "{kind}");
        let again = glassbox(&["--diff"]);
        assert_eq!(
            (Status::Exited(0), ""),
            (again.status, again.stdout.as_str()),
            "{kind}: {}",
            again.stderr
        );
    }
}

#[test]
fn difference_is_coloured_on_a_terminal_only() {
    let dir = tempfile::tempdir().unwrap();
    let (kind, name, text) = DEPLOYED[0];
    fs::write(dir.path().join(name), text).unwrap();
    let on_a_terminal = |variable: (&str, &str)| {
        let mut command = Command::new(glassbox());
        command.args(["patch", kind, "--diff", name]).current_dir(dir.path());
        command.env_remove("NO_COLOR").env("TERM", "xterm").env(variable.0, variable.1);
        OnTerminal::start(command).finish()
    };

    let (status, coloured) = on_a_terminal(("SHLVL", "1"));
    let (_, plain) = on_a_terminal(("NO_COLOR", "1"));

    assert_eq!(Status::Exited(1), status);
    assert!(coloured.contains("\x1b[32m+      LD_PRELOAD: "), "{coloured}");
    assert!(plain.contains("\n+      LD_PRELOAD: ") && !plain.contains('\x1b'), "{plain}");
}
