//! `glassbox top` in a terminal: tmux is the terminal, and shows what stands there.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use glassbox_tests::artefacts::glassbox;
use glassbox_tests::child::{self, Running, wait_until};
use glassbox_tests::collector::Collector;
use tempfile::TempDir;

/// How long the screen may take to show something.
const PATIENCE: Duration = Duration::from_secs(30);

/// A terminal with a shell in it.
struct Terminal {
    socket: PathBuf,
    pid_file: PathBuf,
}

impl Terminal {
    /// A terminal of that size, whose shell runs `glassbox top` and then says its status and the terminal's
    /// settings before and after.
    fn new(dir: &Path, collector: &Collector, size: (u32, u32), options: &str) -> Self {
        Self::of(dir, collector.socket(), size, &format!("top {options}"))
    }

    /// The same with another command of glassbox.
    fn of(dir: &Path, socket: &Path, (columns, lines): (u32, u32), command: &str) -> Self {
        let terminal = Self { socket: dir.join("tmux"), pid_file: dir.join("top.pid") };
        let script = format!(
            "before=$(stty -g)\nsh -c 'echo $$ >{pid}; exec {glassbox} {command}'\necho \"status $?\"\n\
             test \"$before\" = \"$(stty -g)\" && echo the same settings\nsleep 100\n",
            pid = terminal.pid_file.display(),
            glassbox = glassbox().display(),
        );
        let file = dir.join("session.sh");
        fs::write(&file, script).unwrap();
        let (columns, lines) = (columns.to_string(), lines.to_string());
        let mut start =
            terminal.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", &columns, "-y", &lines]);
        start.arg(format!("sh {}", file.display()));
        start.env("GLASSBOX_SOCKET", socket).env("LANG", "C.UTF-8").env_remove("LC_ALL");
        assert!(start.status().expect("tmux starts").success());
        terminal
    }

    fn tmux(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(&self.socket).args(arguments).stdin(Stdio::null());
        command
    }

    fn screen(&self) -> String {
        let output = self.tmux(&["capture-pane", "-p"]).output().expect("tmux runs");
        String::from_utf8(output.stdout).expect("a screen is text")
    }

    /// Waits until the screen has this.
    fn shows(&self, text: &str) {
        let begun = Instant::now();
        while !self.screen().contains(text) {
            assert!(begun.elapsed() < PATIENCE, "no '{text}' on the screen:\n{}", self.screen());
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn keys(&self, keys: &[&str]) {
        assert!(self.tmux(&["send-keys"]).args(keys).status().expect("tmux runs").success());
    }

    fn resize(&self, columns: &str, lines: &str) {
        assert!(self.tmux(&["resize-window", "-x", columns, "-y", lines]).status().unwrap().success());
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.tmux(&["kill-server"]).stderr(Stdio::null()).status();
    }
}

/// A program under the sensor that goes on and on.
fn busy(collector: &Collector) -> Running {
    let mut command = Command::new("sh");
    command.args(["-c", "while :; do cat /etc/hostname /nowhere/at/all >/dev/null 2>&1; sleep 0.05; done"]);
    let command = std::mem::replace(collector.preload(&mut command), Command::new("true"));
    child::start(command, b"")
}

fn started(dir: &TempDir) -> Collector {
    let output = format!("jsonl:{}", dir.path().join("out.jsonl").display());
    Collector::start(&dir.path().join("socket"), &["-o", &output])
}

#[test]
fn processes_failures_and_events_of_one_are_seen_while_they_happen() {
    let dir = TempDir::new().unwrap();
    let collector = started(&dir);
    let busy = busy(&collector);
    let terminal = Terminal::new(dir.path(), &collector, (80, 24), "");

    terminal.shows("EVENTS/S");
    terminal.shows("cat /etc/hostname");
    terminal.keys(&["5"]);
    terminal.shows("ENOENT /nowhere/at/all by cat");
    terminal.keys(&["/", "proc.name = sleep", "Enter", "1"]);
    terminal.shows("[filter");
    terminal.keys(&["Enter"]);
    terminal.shows("the last events of");
    terminal.resize("20", "5");
    terminal.shows("running");
    terminal.resize("200", "50");
    terminal.keys(&["Escape"]);
    terminal.shows("EVENTS/S");
    terminal.keys(&["Escape"]);
    wait_until("the filter is gone", || !terminal.screen().contains("[filter"));
    terminal.keys(&["3"]);
    terminal.shows("/etc/hostname");
    terminal.keys(&["q"]);
    terminal.shows("status 0");
    terminal.shows("the same settings");
    drop(busy);
}

#[test]
fn recording_from_here_is_replayed() {
    let dir = TempDir::new().unwrap();
    let collector = started(&dir);
    let busy = busy(&collector);
    let recording = dir.path().join("r.gbx");
    let terminal =
        Terminal::new(dir.path(), &collector, (100, 24), &format!("--record {}", recording.display()));
    terminal.shows("cat /etc/hostname");

    terminal.keys(&["r"]);
    terminal.shows("[recording]");
    wait_until("something is recorded", || fs::metadata(&recording).is_ok_and(|file| file.len() > 5_000));
    terminal.keys(&["r"]);
    terminal.shows("events in");

    let replayed = Command::new(glassbox()).arg("replay").arg(&recording).output().unwrap();
    assert!(replayed.status.success(), "{replayed:?}");
    assert!(String::from_utf8_lossy(&replayed.stdout).contains("/nowhere/at/all"));
    drop(busy);
}

#[test]
fn terminal_is_restored_by_a_signal_and_a_collector_that_ends_is_said() {
    let dir = TempDir::new().unwrap();
    let mut collector = started(&dir);
    let terminal = Terminal::new(dir.path(), &collector, (100, 24), "");
    terminal.shows("EVENTS/S");
    assert!(collector.is_alive());
    collector.kill();
    terminal.shows("no collector, looking for it");

    let again = Collector::start(&dir.path().join("socket"), &["-o", "jsonl:/dev/null"]);
    let busy = busy(&again);
    terminal.shows("cat /etc/hostname");
    let pid = fs::read_to_string(&terminal.pid_file).unwrap();
    assert!(Command::new("kill").args(["-TERM", pid.trim()]).status().unwrap().success());

    terminal.shows("status 0");
    terminal.shows("the same settings");
    drop(busy);
}

#[test]
fn view_that_stands_still_holds_nothing_up_and_comes_back() {
    let dir = TempDir::new().unwrap();
    let mut collector = started(&dir);
    let terminal = Terminal::new(dir.path(), &collector, (100, 24), "");
    terminal.shows("EVENTS/S");
    let pid = fs::read_to_string(&terminal.pid_file).unwrap();
    let signal = |name: &str| Command::new("kill").args([name, pid.trim()]).status().unwrap().success();
    assert!(signal("-STOP"));

    let mut flood = Command::new("sh");
    flood.args(["-c", "for n in $(seq 300); do cat /etc/hostname >/dev/null; done"]);
    child::run(std::mem::replace(collector.preload(&mut flood), Command::new("true")), b"");
    let events = dir.path().join("out.jsonl");
    wait_until("every event is written", || {
        let text = fs::read_to_string(&events).unwrap();
        text.lines().filter(|line| line.contains("\"file.open\"") && line.contains("/etc/hostname")).count()
            == 300
    });
    assert!(!fs::read_to_string(&events).unwrap().contains("sensor.loss"));
    assert!(collector.is_alive());

    assert!(signal("-CONT"));
    let busy = busy(&collector);
    terminal.shows("cat /etc/hostname");
    drop(busy);
}

/// `glassbox top` at this collector, below this command, in a terminal of script(1), as another user where
/// one is given.
fn refused(collector: &Collector, below: &str, user: Option<u32>) -> Output {
    let mut command = Command::new("script");
    command.args(["-qec", &format!("{below} {} top", glassbox().display()), "/dev/null"]);
    command.env("GLASSBOX_SOCKET", collector.socket()).stdin(Stdio::null());
    if let Some(user) = user {
        command.uid(user).gid(user);
    }
    command.output().expect("script starts")
}

#[test]
fn stranger_may_not_watch_and_one_who_has_no_terminal_is_told() {
    let dir = TempDir::new_in("/tmp").unwrap();
    let collector = Collector::start(
        Path::new(&format!("@glassbox-top-{}", std::process::id())),
        &["-o", "jsonl:/dev/null"],
    );

    let stranger = refused(&collector, "", Some(65534));
    let elsewhere = refused(&collector, "unshare --mount", None);

    let text = String::from_utf8_lossy(&stranger.stdout).into_owned();
    assert!(text.contains("only root and the collector's own user may watch"), "{stranger:?}");
    let text = String::from_utf8_lossy(&elsewhere.stdout).into_owned();
    assert!(text.contains("watch from the collector's own container"), "{elsewhere:?}");
    assert_eq!([Some(69); 2], [stranger.status.code(), elsewhere.status.code()]);
    let piped = Command::new(glassbox()).arg("top").output().unwrap();
    assert_eq!(Some(64), piped.status.code());
    assert!(String::from_utf8_lossy(&piped.stderr).contains("needs a terminal"));
    drop(dir);
}

#[test]
fn without_a_collector_the_way_to_one_is_said() {
    let line = format!("GLASSBOX_SOCKET=@nobody-{} {} top", std::process::id(), glassbox().display());
    let output = Command::new("script").args(["-qec", &line, "/dev/null"]).output().unwrap();

    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("start 'glassbox collect'"), "{text}");
    assert_eq!(Some(1), output.status.code());
}

/// A program in a view of its own, in a terminal.
fn watched(dir: &TempDir, script: &str) -> Terminal {
    let file = dir.path().join("program.sh");
    fs::write(&file, script).unwrap();
    let (events, socket) = (dir.path().join("own.jsonl"), dir.path().join("unused"));
    let command = format!("run --tui -o jsonl:{} -- sh {}", events.display(), file.display());
    Terminal::of(dir.path(), &socket, (100, 24), &command)
}

#[test]
fn program_of_ones_own_is_watched_from_its_first_event_and_its_output_printed_at_the_end() {
    let dir = TempDir::new().unwrap();
    let terminal = watched(&dir, "cat /etc/hostname >/dev/null\necho first\necho last >&2\nexit 3\n");

    terminal.shows("the program ended with status 3");
    terminal.keys(&["3"]);
    terminal.shows("/etc/hostname");
    terminal.keys(&["8"]);
    terminal.shows("first\nlast");
    terminal.keys(&["q"]);
    terminal.shows("first\nlast\nstatus 3\nthe same settings");
    assert!(fs::read_to_string(dir.path().join("own.jsonl")).unwrap().contains("/etc/hostname"));
}

#[test]
fn program_of_ones_own_is_interrupted_by_the_key_and_outlives_the_view() {
    let dir = TempDir::new().unwrap();
    let go = dir.path().join("go");
    let script = format!(
        "trap 'echo caught' INT\necho before\nwhile ! test -e {go}; do sleep 0.05; done\necho after\nexit 4\n",
        go = go.display()
    );
    let terminal = watched(&dir, &script);
    terminal.shows("sleep 0.05");

    terminal.keys(&["8", "C-c"]);
    terminal.shows("before\ncaught");
    terminal.keys(&["q"]);
    wait_until("the view is left", || !terminal.screen().contains("1 processes"));
    assert!(!terminal.screen().contains("status"), "{}", terminal.screen());
    fs::write(&go, "").unwrap();
    terminal.shows("after\nstatus 4\nthe same settings");
}

#[test]
fn terminal_that_is_gone_ends_the_program_of_ones_own_with_its_job() {
    let dir = TempDir::new().unwrap();
    let pids = dir.path().join("pids");
    let script = format!("sleep 100 &\necho $! $$ >{}\nwhile :; do sleep 0.05; done\n", pids.display());
    let terminal = watched(&dir, &script);
    terminal.shows("sleep 0.05");
    let pids = fs::read_to_string(&pids).unwrap();
    let view = fs::read_to_string(&terminal.pid_file).unwrap();

    drop(terminal);

    for pid in pids.split_whitespace().chain([view.trim()]) {
        // One that nobody waits for has ended too.
        let stat = format!("/proc/{pid}/stat");
        wait_until("the job has ended", || {
            fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "))
        });
    }
}

#[test]
fn program_of_ones_own_that_is_not_there_ends_the_view_with_its_reason() {
    let dir = TempDir::new().unwrap();

    let terminal =
        Terminal::of(dir.path(), &dir.path().join("unused"), (100, 24), "run --tui -- /no/such/program");

    terminal.shows("/no/such/program");
    terminal.shows("status 127\nthe same settings");
    let piped = Command::new(glassbox()).args(["run", "--tui", "--", "true"]).output().unwrap();
    assert_eq!(Some(64), piped.status.code());
}

#[test]
fn terminal_that_is_gone_ends_the_view() {
    let dir = TempDir::new().unwrap();
    let collector = started(&dir);
    let terminal = Terminal::new(dir.path(), &collector, (80, 24), "");
    terminal.shows("EVENTS/S");
    let pid = fs::read_to_string(&terminal.pid_file).unwrap();

    drop(terminal);

    let process = format!("/proc/{}", pid.trim());
    wait_until("the view has ended", || !Path::new(&process).exists());
}
