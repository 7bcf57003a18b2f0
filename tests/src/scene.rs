//! A directory for one victim, and the ways to run the victim there.
//!
//! The working directory has the same path in each run of a scene, and is emptied between runs, so that its
//! path and content are the same for the program. The files that a run leaves there are compared too: a
//! sensor that writes into one of the program's descriptors would show there.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::artefacts::{glassbox, sensor};
use crate::child::{self, Ending, Running, Status, wait_until};
use crate::collector::Collector;
use crate::compare::{self, Expected, Parts};
use crate::events::{Event, Events, Expect};
use crate::victim::{self, Libc, Victim};

/// The file that takes a scene's events.
pub const EVENTS: &str = "events.jsonl";

/// The mode of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Without any library.
    Bare,
    /// Under an empty preloaded library: a difference here is not the sensor's doing.
    EmptyLibrary,
    /// With the sensor, and no collector at the socket.
    Dormant,
    /// With the sensor and `GLASSBOX=off`.
    Off,
    /// Under `glassbox run`.
    Run,
    /// Under `glassbox run --notify security`.
    Notify,
    /// With the sensor, beside `glassbox collect`.
    Collect,
}

impl Mode {
    /// Whether the launcher gives the exit status, as a shell would.
    fn is_launched(self) -> bool {
        matches!(self, Mode::Run | Mode::Notify)
    }

    /// Whether a collector writes events.
    fn is_seen(self) -> bool {
        self.is_launched() || self == Mode::Collect
    }
}

/// A victim, its arguments, and a directory for its runs.
pub struct Scene {
    victim: Victim,
    arguments: Vec<String>,
    stdin: Vec<u8>,
    expect: Expect,
    dir: TempDir,
}

/// A scene with an empty working directory, and a `glassbox collect` beside it that writes
/// [`Scene::events_output`].
pub struct Collected {
    /// The victim and its directory.
    pub scene: Scene,
    /// The collector.
    pub collector: Collector,
}

impl Collected {
    /// The victim's command, under the sensor.
    pub fn command(&self) -> Command {
        let mut command = self.scene.bare_command();
        self.collector.preload(&mut command);
        command
    }

    /// Runs the victim.
    pub fn play(&self) -> Ending {
        child::run(self.command(), b"")
    }

    /// Starts the victim, and waits until it left a file of this name.
    pub fn start_until(&self, file: &str) -> Running {
        let running = child::start(self.command(), b"");
        wait_until(file, || self.scene.work().join(file).exists());
        running
    }

    /// Ends the collector, which must end well, and reads the events.
    ///
    /// # Panics
    /// If the collector ends in another way, or the events break a promise.
    pub fn events(self, expect: Expect) -> Events {
        let stopped = self.collector.stop();
        assert_eq!(Status::Exited(0), stopped.status, "collect: {}", stopped.stderr);
        self.scene.events(expect)
    }
}

/// The result of one run.
#[derive(Debug)]
pub struct Outcome {
    /// Output and status; the sensor's own variables are removed from the output.
    pub ending: Ending,
    /// The files it left in its working directory, and their content.
    pub files: BTreeMap<String, String>,
    /// A line `MODE NAME` for each of them.
    pub modes: String,
    /// The events; none in modes without a collector.
    pub events: Events,
}

impl Outcome {
    /// The content of a file that the program left.
    ///
    /// # Panics
    /// If it left no such file.
    pub fn file(&self, name: &str) -> &str {
        self.files.get(name).unwrap_or_else(|| panic!("the victim left no {name}: {:?}", self.ending))
    }

    /// The first number in a file that the program left.
    pub fn number_in(&self, name: &str) -> usize {
        let text = self.file(name);
        let word = text.split_whitespace().next().and_then(|word| word.parse().ok());
        word.unwrap_or_else(|| panic!("{name} holds no number: {text}"))
    }
}

impl Scene {
    /// A scene for the victim `name`.
    pub fn of(name: &str, arguments: &[&str]) -> Scene {
        Scene::with(victim::victim(name), arguments)
    }

    /// A scene for a compiled victim.
    pub fn with(victim: Victim, arguments: &[&str]) -> Scene {
        let dir =
            tempfile::Builder::new().prefix("gbx-").tempdir().expect("a temporary directory can be made");
        // A victim that drops its privileges must still be able to enter.
        fs::set_permissions(dir.path(), Permissions::from_mode(0o711)).expect("our own directory");
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        Scene { victim, arguments, stdin: Vec::new(), expect: Expect::default(), dir }
    }

    /// A scene for the victim `name`, with a collector that is listening.
    pub fn collected(name: &str, arguments: &[&str]) -> Collected {
        let scene = Scene::of(name, arguments);
        scene.clean();
        let collector = scene.collect();
        Collected { scene, collector }
    }

    /// Starts a collector that writes [`Scene::events_output`].
    pub fn collect(&self) -> Collector {
        Collector::start(&self.beside("c.sock"), &["-o", &self.events_output()])
    }

    /// Gives the victim an input.
    pub fn stdin(mut self, bytes: &[u8]) -> Scene {
        self.stdin = bytes.to_vec();
        self
    }

    /// Sets the losses that its events may have.
    pub fn expecting(mut self, expect: Expect) -> Scene {
        self.expect = expect;
        self
    }

    /// The working directory of every run.
    pub fn work(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    /// A path beside the working directory, for the test's own files.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The output that writes every event to a file beside the working directory, as `-o` takes it.
    pub fn events_output(&self) -> String {
        format!("jsonl:{}", self.beside(EVENTS).display())
    }

    /// The events that [`Scene::events_output`] wrote.
    pub fn events(&self, expect: Expect) -> Events {
        Events::read(&self.beside(EVENTS), expect)
    }

    /// Empties the working directory.
    pub fn clean(&self) {
        let work = self.work();
        if work.exists() {
            fs::remove_dir_all(&work).expect("a working directory can be removed");
        }
        fs::create_dir_all(work.join("open-to-all")).expect("a working directory can be made");
        for open in [work.clone(), work.join("open-to-all")] {
            fs::set_permissions(open, Permissions::from_mode(0o777)).expect("our own directory");
        }
    }

    /// A command with the environment and directory of every run.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().current_dir(self.work()).envs(self.environment());
        command
    }

    /// The environment of every run.
    pub fn environment(&self) -> Vec<(&'static str, OsString)> {
        let path = "/usr/local/bin:/usr/bin:/bin".into();
        vec![("PATH", path), ("HOME", self.work().into()), ("LANG", "C".into())]
    }

    /// The victim's command, bare.
    pub fn bare_command(&self) -> Command {
        let mut command = self.command(&self.victim.path);
        command.args(&self.arguments);
        command
    }

    /// The victim's command under `glassbox run` with these options.
    pub fn run_command(&self, options: &[&str]) -> Command {
        let mut command = self.command(glassbox());
        command.arg("run").args(options).arg("--").arg(&self.victim.path).args(&self.arguments);
        command
    }

    /// Runs the victim in an emptied directory.
    pub fn play(&self, mode: Mode) -> Outcome {
        self.clean();
        drop(fs::remove_file(self.beside(EVENTS)));
        let option = self.events_output();
        let mut command = self.bare_command();
        let mut ending = match mode {
            Mode::Bare => child::run(command, &self.stdin),
            Mode::EmptyLibrary => {
                command.env("LD_PRELOAD", victim::empty_library());
                child::run(command, &self.stdin)
            }
            Mode::Dormant => {
                command.env("LD_PRELOAD", sensor()).env("GLASSBOX_SOCKET", self.beside("nobody.sock"));
                child::run(command, &self.stdin)
            }
            Mode::Off => {
                command.env("LD_PRELOAD", sensor()).env("GLASSBOX", "off");
                child::run(command, &self.stdin)
            }
            Mode::Run => child::run(self.run_command(&["-o", &option]), &self.stdin),
            Mode::Notify => {
                let options = ["-o", &option, "--notify", "security", "--require-notify"];
                child::run(self.run_command(&options), &self.stdin)
            }
            Mode::Collect => {
                let collector = Collector::start(&self.beside("collect.sock"), &["-o", &option]);
                collector.preload(&mut command);
                let ending = child::run(command, &self.stdin);
                let stopped = collector.stop();
                assert_eq!(Status::Exited(0), stopped.status, "collect: {}", stopped.stderr);
                ending
            }
        };
        let events = if mode.is_seen() { self.events(self.expect) } else { Events::default() };
        let (files, modes) = compare::files(&self.work());
        ending.stdout = compare::without_ours(&ending.stdout);
        Outcome { ending, files, modes, events }
    }

    /// The difference of `outcome` from `bare`, if there is one.
    fn difference(&self, mode: Mode, bare: &Outcome, outcome: &Outcome) -> Option<String> {
        let what = format!("{} {:?} {mode:?}", self.victim.name, self.arguments);
        let (mut expected, mut ending) = (bare.ending.clone(), outcome.ending.clone());
        if mode.is_launched() {
            expected.status = Status::Exited(expected.status.as_shell_code());
        }
        if self.expect == Expect::Rubbish {
            // Under `run` the collector shares the program's stderr, and reports there that a ring was
            // destroyed.
            let is_ours = |line: &&str| !line.starts_with("glassbox: ");
            ending.stderr = ending.stderr.split_inclusive('\n').filter(is_ours).collect();
        }
        let expected = Expected::of(&[parts(bare, &expected)]);
        let found = parts(outcome, &ending);
        let difference = expected.differences(&found).into_iter().next()?;
        let said = match difference.starts_with("status") {
            true => format!("\n{}{}", outcome.ending.stdout, outcome.ending.stderr),
            false => String::new(),
        };
        Some(format!("{what}: {difference}{said}"))
    }

    /// Runs the victim bare and in `modes`.
    ///
    /// # Panics
    /// If a run differs from the bare one; the message names each difference.
    pub fn compare(&self, modes: &[Mode]) -> Vec<Outcome> {
        let bare = self.play(Mode::Bare);
        assert!(bare.ending.status != Status::Exited(99), "the victim is broken:\n{}", bare.ending.stdout);
        let expected = self.comparable(&bare);
        let mut outcomes = Vec::new();
        let mut differences = Vec::new();
        for &mode in modes {
            let outcome = self.play(mode);
            differences.extend(self.difference(mode, &expected, &self.comparable(&outcome)));
            if mode.is_seen() {
                differences.extend(self.wrong_exit(&bare.ending, &outcome.events));
            }
            outcomes.push(outcome);
        }
        assert!(differences.is_empty(), "the program noticed:\n{}", differences.join("\n"));
        outcomes
    }

    /// The reported end of the victim must be its real end; a victim that was not seen at all has none.
    fn wrong_exit(&self, bare: &Ending, events: &Events) -> Option<String> {
        let is_victim =
            |start: &&Event| start.text("exe").is_some_and(|exe| Path::new(exe) == self.victim.path);
        let first = events.named("process.start").find(is_victim)?;
        let exit = events.named("process.exit").find(|exit| exit.pid() == first.pid());
        let Some(exit) = exit else {
            return Some(format!("no process.exit for pid {}\n{}", first.pid(), events.outline()));
        };
        let reported = match (exit.number("code"), exit.number("signal"), exit.text("signal")) {
            (Some(code), ..) => Status::Exited(code as i32),
            (_, Some(signal), _) => Status::Killed(signal as i32),
            (_, _, Some(name)) => Status::Killed(signal_number(name)),
            // Only its parent knows the status, and under `collect` the parent is not watched.
            _ if exit.text("cause") == Some("unknown") => return None,
            _ => Status::Exited(-1),
        };
        (reported != bare.status).then(|| format!("process.exit says {reported:?}, it was {:?}", bare.status))
    }

    fn comparable(&self, outcome: &Outcome) -> Outcome {
        let differs = |name: &str| self.victim.differs.iter().any(|prefix| name.starts_with(prefix.as_str()));
        let files = outcome.files.iter().filter(|(name, _)| !differs(name));
        let is_same = |line: &&str| !line.split_once(' ').is_some_and(|(_, name)| differs(name));
        Outcome {
            ending: outcome.ending.clone(),
            files: files.map(|(name, content)| (name.clone(), content.clone())).collect(),
            modes: outcome.modes.split_inclusive('\n').filter(is_same).collect(),
            events: Events::default(),
        }
    }

    /// The files in the working directory, and their content.
    pub fn files(&self) -> BTreeMap<String, String> {
        compare::files(&self.work()).0
    }
}

fn signal_number(name: &str) -> i32 {
    let known = [
        ("SIGHUP", libc::SIGHUP),
        ("SIGINT", libc::SIGINT),
        ("SIGQUIT", libc::SIGQUIT),
        ("SIGILL", libc::SIGILL),
        ("SIGABRT", libc::SIGABRT),
        ("SIGBUS", libc::SIGBUS),
        ("SIGKILL", libc::SIGKILL),
        ("SIGUSR1", libc::SIGUSR1),
        ("SIGSEGV", libc::SIGSEGV),
        ("SIGUSR2", libc::SIGUSR2),
        ("SIGPIPE", libc::SIGPIPE),
        ("SIGALRM", libc::SIGALRM),
        ("SIGTERM", libc::SIGTERM),
        ("SIGSYS", libc::SIGSYS),
        ("SIGTRAP", libc::SIGTRAP),
        ("SIGXFSZ", libc::SIGXFSZ),
    ];
    known.iter().find(|(known, _)| *known == name).map_or(-1, |(_, number)| *number)
}

fn parts(outcome: &Outcome, ending: &Ending) -> Parts {
    let mut parts = compare::ending_parts(ending);
    parts.extend(compare::file_parts(&outcome.files, &outcome.modes));
    parts
}

/// Plays every `run:` line of the victim in every mode; each must be the same as the bare run.
///
/// # Panics
/// If one differs, with each difference; also if the events of a run break a promise.
pub fn unnoticed(name: &str) {
    unnoticed_expecting(name, Expect::NothingLost);
}

/// As [`unnoticed`], for a victim whose events may be lost.
pub fn unnoticed_expecting(name: &str, expect: Expect) {
    let victim = victim::victim(name);
    assert!(!victim.runs.is_empty(), "{name} has no `run:` line");
    let mut problems = Vec::new();
    for arguments in &victim.runs {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let scene = Scene::with(victim.clone(), &arguments).expecting(expect);
        let modes = [Mode::EmptyLibrary, Mode::Dormant, Mode::Off, Mode::Run, Mode::Collect];
        problems.extend(caught(|| drop(scene.compare(&modes))));
    }
    assert!(
        problems.is_empty(),
        "{} of {} runs of {name} failed:\n{}",
        problems.len(),
        victim.runs.len(),
        problems.join("\n")
    );
}

/// Compares the bare run with the run under `glassbox run`, and gives the latter.
///
/// # Panics
/// If they differ.
pub fn sensed(name: &str, arguments: &[&str]) -> Outcome {
    sensed_in(&Scene::of(name, arguments))
}

/// As [`sensed`], for the same victim on musl.
pub fn sensed_on_musl(name: &str, arguments: &[&str]) -> Outcome {
    sensed_in(&Scene::with(victim::compiled(name, Libc::Musl), arguments))
}

/// As [`sensed`], for a given scene.
pub fn sensed_in(scene: &Scene) -> Outcome {
    let mut outcomes = scene.compare(&[Mode::Run]);
    outcomes.remove(0)
}

/// Runs `body`, and gives its panic's message instead of passing the panic on.
pub fn caught(body: impl FnOnce()) -> Option<String> {
    // After a panic only its message is used, and none of the harness's state.
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
    let panic = result.err()?;
    let text = panic.downcast_ref::<String>().cloned();
    Some(text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned())).unwrap_or_default())
}
