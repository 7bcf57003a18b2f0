//! One attack beside a bystander: starts everything, measures, and ends everything that it started.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use glassbox_tests::{glassbox, sensor};

use crate::groups::{Container, Limit};
use crate::hanging::Hanging;
use crate::lies::{self, Victim};
use crate::list::{Attack, CALM, Place};
use crate::watch::{FILE, FRESH, PROGRAM, Watch};

/// Opens of the bystander.
pub const OPENS: u64 = 20_000;
/// The user that attacks.
const NOBODY: u32 = 65_534;
/// A fresh program starts so often.
const FRESH_EVERY: Duration = Duration::from_millis(100);
/// Health is asked for so often, and waited for so long.
const HEALTH_EVERY: Duration = Duration::from_millis(400);
const HEALTH_PATIENCE: Duration = Duration::from_secs(5);
/// After the bystander's end, its last events are awaited so long.
const PATIENCE: Duration = Duration::from_secs(10);
/// After SIGTERM, the collector's end is awaited so long.
const STOP_PATIENCE: Duration = Duration::from_secs(15);

/// What was measured.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    pub delivered: u64,
    /// The greatest age of an open when its line was there. This time and those below are without what the
    /// collector waited for a processor.
    pub lag: Duration,
    pub silence: Duration,
    pub rss_mib: u64,
    /// The collector was alive when it was told to end.
    pub is_alive: bool,
    /// `None` where it had to be killed.
    pub sigterm: Option<Duration>,
    /// The longest that a fresh program's start took to be told, or was not.
    pub fresh: Duration,
    /// The slowest answer to `glassbox health`; `None` where one did not come.
    pub health: Option<Duration>,
    /// Lies about the bystander, or of the attacker about itself.
    pub lies: Vec<String>,
    /// What is told of events that the bystander lost.
    pub losses: Vec<String>,
    /// The longest that a thread of the collector waited for a processor in all.
    pub waited: Duration,
    /// What went wrong with the attack itself.
    pub fault: Option<String>,
}

/// How a scene is run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The bystander opens its files over this time.
    pub duration: Duration,
    /// Keeps the folder with the output.
    pub keeps: bool,
}

/// A program that is killed when it is dropped, with its process group.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        // SAFETY: takes numbers only. The group was made for this child, which is not reaped before.
        unsafe { libc::kill(-(self.0.id() as i32), libc::SIGKILL) };
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Started {
    fn new(command: &mut Command) -> Result<Started, String> {
        Started::spawn(command.process_group(0))
    }

    /// In a session of its own, as a login's and a container's programs are. The scheduler divides the
    /// processors among sessions first (sched(7), autogroup), and else among control groups.
    fn in_session(command: &mut Command) -> Result<Started, String> {
        // SAFETY: setsid is async-signal-safe.
        unsafe {
            command.pre_exec(|| match libc::setsid() {
                -1 => Err(std::io::Error::last_os_error()),
                _ => Ok(()),
            })
        };
        Started::spawn(command)
    }

    fn spawn(command: &mut Command) -> Result<Started, String> {
        let child = command.stdin(Stdio::null()).spawn();
        child.map(Started).map_err(|error| format!("cannot start {command:?}: {error}"))
    }

    fn is_alive(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }

    /// True once it has ended; waits for that.
    fn ends_within(&mut self, limit: Duration) -> bool {
        let start = Instant::now();
        while self.is_alive() {
            if start.elapsed() > limit {
                return false;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        true
    }
}

/// A program under `unshare`, which runs it as process 1 of a pid namespace.
fn apart(program: &Path) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--mount-proc", "--kill-child"]).arg(program);
    command
}

fn own(program: &Path) -> Command {
    Command::new(program)
}

/// The only child of a process.
fn child_of(pid: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_ascii_whitespace().next()?.parse().ok()
}

fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> Result<T, String> {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(10) {
        if let Some(found) = look() {
            return Ok(found);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Err(format!("waited in vain for {what}"))
}

/// The folders and programs of a run.
pub struct Stage {
    dir: tempfile::TempDir,
    number: usize,
    /// What the sensor of this build says first: `VERSION:EVENTS:CALLS`.
    pub release: String,
}

impl Stage {
    /// Copies the programs to where every user may run them.
    pub fn new() -> Result<Stage, String> {
        // These panic where they are older than their sources: before anything is made that would stay.
        let _ = (glassbox(), sensor());
        let dir = tempfile::Builder::new().prefix("gbx-attack-").tempdir().map_err(|e| e.to_string())?;
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).map_err(|e| e.to_string())?;
        let here = std::env::current_exe().map_err(|error| error.to_string())?;
        for (built, name) in [("attacker", "attacker"), ("bystander", PROGRAM)] {
            let built = here.with_file_name(built);
            fs::copy(&built, dir.path().join(name))
                .map_err(|error| format!("{}: {error}; build the package's programs", built.display()))?;
        }
        let release = crate::release::of_sensor(&dir.path().join("release"))?;
        Ok(Stage { dir, number: 0, release })
    }

    /// A program of the kit.
    pub fn program(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs one attack. An error is what this machine lacks for it.
    pub fn run(&mut self, attack: &Attack, options: &Options) -> Result<Figures, String> {
        self.number += 1;
        let folder = self.dir.path().join(self.number.to_string());
        fs::create_dir(&folder).map_err(|error| error.to_string())?;
        let container = match attack.place {
            Place::RootElsewhere => Some(Container::new(self.number)?),
            _ => None,
        };
        let scene = Scene { stage: self, attack, options, folder: folder.clone(), container };
        let figures = scene.run();
        drop(scene);
        if options.keeps {
            println!("   kept: {}", folder.display());
        } else {
            let _ = fs::remove_dir_all(&folder);
        }
        figures
    }

    /// Leaves the folders where they are.
    pub fn keep(self) -> PathBuf {
        self.dir.keep()
    }
}

struct Scene<'a> {
    stage: &'a Stage,
    attack: &'a Attack,
    options: &'a Options,
    folder: PathBuf,
    /// Where an attacker is that stays root.
    container: Option<Container>,
}

impl Scene<'_> {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn run(&self) -> Result<Figures, String> {
        for (name, mode) in [("shared", 0o777), ("watched", 0o755)] {
            fs::create_dir(self.path(name)).map_err(|error| error.to_string())?;
            fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode))
                .map_err(|e| e.to_string())?;
        }
        fs::write(self.path("watched").join(FILE), "").map_err(|error| error.to_string())?;
        let hanging = match self.attack.arguments.contains("{hanging}") {
            true => Some(Hanging::mount(&self.path("hanging"))?),
            false => None,
        };
        let limit = Limit::new(self.stage.number);
        let mut collector = self.start_collector(&limit)?;
        let collector_pid = match self.attack.place {
            Place::Apart => wait_for("the collector's pid", || child_of(collector.0.id()))?,
            _ => collector.0.id(),
        };
        wait_for("the collector", || self.ask_health(Duration::from_secs(2)))?;
        let watch = Watch::start(&self.path("out.jsonl"), collector_pid);

        let mut attacker = None;
        let mut bystander = match self.attack.place {
            Place::SameNumber => {
                // A collector that is slow, so that hellos wait until their senders are gone.
                let is_slow = self.attack.arguments.contains("queued");
                // SAFETY: takes numbers only; the process is our child and was not reaped.
                let signal = |signal| unsafe { libc::kill(collector_pid as i32, signal) };
                is_slow.then(|| signal(libc::SIGSTOP));
                attacker = Some(self.start_attacker(None)?);
                let bystander = self.start_bystander_with_that_number();
                is_slow.then(|| signal(libc::SIGCONT));
                bystander?
            }
            _ => self.start_bystander()?,
        };
        let victim = self.victim(&bystander)?;
        let fresh = Fresh::start(self.path("socket"));
        let health = Health::start(self.path("socket"));
        std::thread::sleep(Duration::from_millis(400));
        if self.attack.place != Place::SameNumber && self.attack.name != CALM {
            attacker = Some(self.start_attacker(Some(&victim))?);
        }

        let mut figures = Figures::default();
        if !bystander.ends_within(self.options.duration + Duration::from_secs(20)) {
            figures.fault = Some("the bystander did not end".to_owned());
        }
        let until = Instant::now() + PATIENCE;
        let is_told = || watch.seen().opens >= OPENS && fresh.are_seen(&watch);
        let started = fresh.stop();
        while !is_told() && collector.is_alive() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
        let answers = health.stop();
        let fresh = fresh_delays(&started, &watch);
        figures.is_alive = collector.is_alive();
        let last = watch.seen().last.filter(|_| watch.seen().opens < OPENS);
        let silence_at_end = last.map(|last| last.elapsed()).unwrap_or_default();
        let attack_ended = attacker.as_mut().is_some_and(|attacker| !attacker.is_alive());
        if attack_ended && figures.fault.is_none() {
            figures.fault = Some("the attack ended before its time".to_owned());
        }
        let end = self.stop(&mut collector, collector_pid);
        drop(attacker);
        drop(hanging);
        drop(collector);
        drop(limit);
        let seen = watch.finish();
        figures.delivered = seen.opens;
        figures.losses = seen.losses;
        (figures.silence, figures.rss_mib) = (seen.silence.max(silence_at_end), seen.rss_mib);
        figures.lag = seen.waits.without(seen.lags);
        figures.fresh = seen.waits.without(fresh);
        figures.health = answers.map(|answers| seen.waits.without(answers));
        figures.sigterm = end.map(|time| seen.waits.without([time]));
        figures.waited = seen.waits.in_all();
        if self.attack.is_checked_for_lies() {
            let attacker = self.stage.program("attacker");
            let of_both = self.attack.law == 1;
            figures.lies = lies::of_output(&self.path("out.jsonl"), &victim, &attacker, of_both)?;
        }
        Ok(figures)
    }

    fn start_collector(&self, limit: &Limit) -> Result<Started, String> {
        let output = self.path("out.jsonl");
        fs::write(&output, "").map_err(|error| error.to_string())?;
        let mut command = if self.attack.place == Place::Apart { apart(glassbox()) } else { own(glassbox()) };
        command.arg("collect").arg("-o").arg(format!("jsonl:{}", output.display()));
        command.env("GLASSBOX_SOCKET", self.path("socket"));
        // Containers that name their metadata there are asked about.
        command.env("ECS_CONTAINER_METADATA_URI_V4", "http://127.0.0.1:9/v4/own");
        let complaints = fs::File::create(self.path("collector.err")).map_err(|error| error.to_string())?;
        command.stderr(complaints).stdout(Stdio::null());
        limit.apply(&mut command).map_err(|error| error.to_string())?;
        Started::new(&mut command)
    }

    /// `None` where the collector does not say that it is ready.
    fn ask_health(&self, patience: Duration) -> Option<()> {
        ask_health(&self.path("socket"), patience)
    }

    fn start_bystander(&self) -> Result<Started, String> {
        let program = self.stage.program(PROGRAM);
        let mut command = if self.attack.place == Place::Apart { apart(&program) } else { own(&program) };
        let milliseconds = self.options.duration.as_millis();
        command.arg(self.path("watched")).arg(FILE).arg(OPENS.to_string()).arg(milliseconds.to_string());
        preload(&mut command, &self.path("socket"));
        if self.attack.place == Place::Apart {
            // `unshare` itself is not to be seen.
            let preload = command.get_envs().find(|(name, _)| *name == "LD_PRELOAD").and_then(|(_, v)| v);
            let sensor = preload.unwrap_or_default().to_owned();
            command = apart(Path::new("env"));
            command.arg(format!("LD_PRELOAD={}", sensor.to_string_lossy())).arg(&program);
            command.arg(self.path("watched")).arg(FILE).arg(OPENS.to_string()).arg(milliseconds.to_string());
            command.env("GLASSBOX_SOCKET", self.path("socket"));
        }
        Started::new(&mut command)
    }

    /// The bystander as the output shows it.
    fn victim(&self, bystander: &Started) -> Result<Victim, String> {
        let program = self.stage.program(PROGRAM);
        let path = self.path("watched").join(FILE);
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        let mut victim = Victim {
            pid: bystander.0.id().into(),
            namespace: 0,
            is_heir: self.attack.place == Place::SameNumber,
            exe: text(program),
            path: text(path),
        };
        if self.attack.place == Place::Apart {
            let child = wait_for("the bystander's pid", || child_of(bystander.0.id()))?;
            let link = fs::read_link(format!("/proc/{child}/ns/pid")).map_err(|error| error.to_string())?;
            let digits: String = link.to_string_lossy().chars().filter(char::is_ascii_digit).collect();
            (victim.pid, victim.namespace) = (1, digits.parse().unwrap_or_default());
        }
        Ok(victim)
    }

    fn start_attacker(&self, victim: Option<&Victim>) -> Result<Started, String> {
        let program = self.stage.program("attacker");
        let mut command = match self.attack.place {
            Place::Apart | Place::Inner => {
                let mut command = Command::new("unshare");
                command.args(["--user", "--pid", "--fork", "--kill-child"]).arg(&program);
                command
            }
            Place::Together | Place::SameNumber | Place::RootElsewhere => own(&program),
        };
        command.arg(self.path("socket")).arg(&self.stage.release);
        let (pid, namespace) = victim.map_or((0, 0), |victim| (victim.pid, victim.namespace));
        for argument in self.attack.arguments.split(' ') {
            let filled = argument
                .replace("{victim}", &pid.to_string())
                .replace("{ns}", &namespace.to_string())
                .replace("{watched}", &self.path("watched").to_string_lossy())
                .replace("{folder}", &self.path("shared").to_string_lossy())
                .replace("{fifo}", &self.path("shared/fifo").to_string_lossy())
                .replace("{hanging}", &self.path("hanging").to_string_lossy());
            command.arg(filled);
        }
        let complaints = fs::File::create(self.path("attacker.err")).map_err(|error| error.to_string())?;
        command.stderr(complaints).stdout(Stdio::null()).current_dir(self.path("shared"));
        if let Some(container) = &self.container {
            container.apply(&mut command).map_err(|error| error.to_string())?;
            return Started::in_session(&mut command);
        }
        // SAFETY: these calls take numbers only and are async-signal-safe.
        unsafe {
            command.pre_exec(|| {
                let is_done = libc::setgroups(0, std::ptr::null()) == 0
                    && libc::setresgid(NOBODY, NOBODY, NOBODY) == 0
                    && libc::setresuid(NOBODY, NOBODY, NOBODY) == 0;
                if is_done { Ok(()) } else { Err(std::io::Error::last_os_error()) }
            })
        };
        Started::in_session(&mut command)
    }

    /// Starts the bystander as the process with the number that the attacker's dead child had.
    fn start_bystander_with_that_number(&self) -> Result<Started, String> {
        let file = self.path("shared").join("number");
        let number: u32 = wait_for("the attacker's number", || fs::read_to_string(&file).ok()?.parse().ok())?;
        for _ in 0..50 {
            fs::write("/proc/sys/kernel/ns_last_pid", (number - 1).to_string())
                .map_err(|error| format!("the next process's number cannot be chosen: {error}"))?;
            // Another program of this machine may be quicker.
            let bystander = self.start_bystander()?;
            if bystander.0.id() == number {
                return Ok(bystander);
            }
        }
        Err(format!("number {number} went to another process"))
    }

    /// Tells the collector to end; says from when to when it did. `None` where it had to be killed.
    fn stop(&self, collector: &mut Started, pid: u32) -> Option<(Instant, Instant)> {
        let start = Instant::now();
        if collector.is_alive() {
            // SAFETY: takes numbers only; the process is our child, or its child, and was not reaped.
            unsafe { libc::kill(pid as i32, libc::SIGTERM) };
        }
        collector.ends_within(STOP_PATIENCE).then(|| (start, Instant::now()))
    }
}

fn preload(command: &mut Command, socket: &Path) {
    command.env("LD_PRELOAD", sensor()).env("GLASSBOX_SOCKET", socket);
    command.stdout(Stdio::null()).stderr(Stdio::null());
}

fn ask_health(socket: &Path, patience: Duration) -> Option<()> {
    let mut command = Command::new(glassbox());
    command.arg("health").env("GLASSBOX_SOCKET", socket).stdout(Stdio::null()).stderr(Stdio::null());
    let mut asking = Started::new(&mut command).ok()?;
    let is_over = asking.ends_within(patience);
    let status = asking.0.try_wait().ok().flatten();
    (is_over && status.is_some_and(|status| status.code() == Some(0) && status.signal().is_none()))
        .then_some(())
}

/// Programs that start every 100 ms.
struct Fresh {
    started: Arc<Mutex<Vec<Instant>>>,
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Fresh {
    fn start(socket: PathBuf) -> Fresh {
        let (started, is_over) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (of_thread, ends) = (Arc::clone(&started), Arc::clone(&is_over));
        let thread = std::thread::spawn(move || {
            let mut running: Vec<Started> = Vec::new();
            while !ends.load(Ordering::SeqCst) {
                let number = of_thread.lock().map_or(0, |started| started.len());
                let mut command = Command::new("/bin/true");
                command.arg(format!("{FRESH}{number}"));
                preload(&mut command, &socket);
                let start = Instant::now();
                if let (Ok(mut started), Ok(program)) = (of_thread.lock(), Started::new(&mut command)) {
                    started.push(start);
                    running.push(program);
                }
                running.retain_mut(Started::is_alive);
                std::thread::sleep(FRESH_EVERY);
            }
            // One that hangs is killed.
            running.retain_mut(|program| !program.ends_within(Duration::from_secs(2)));
        });
        Fresh { started, is_over, thread }
    }

    fn are_seen(&self, watch: &Watch) -> bool {
        watch.seen().fresh.len() >= self.started.lock().map_or(0, |started| started.len())
    }

    /// Starts no more; gives the times at which they were started.
    fn stop(&self) -> Vec<Instant> {
        self.is_over.store(true, Ordering::SeqCst);
        while !self.thread.is_finished() {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.started.lock().map(|started| started.clone()).unwrap_or_default()
    }
}

/// When each program was started, and when its line was in the output.
fn fresh_delays(started: &[Instant], watch: &Watch) -> Vec<(Instant, Instant)> {
    let seen = watch.seen().fresh;
    let delay = |(number, start): (usize, &Instant)| {
        let told = seen.iter().find(|(of, _)| *of == number).map_or_else(Instant::now, |(_, at)| *at);
        (*start, told)
    };
    started.iter().enumerate().map(delay).collect()
}

/// Asks for the collector's health again and again.
struct Health {
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<Option<Vec<(Instant, Instant)>>>,
}

impl Health {
    fn start(socket: PathBuf) -> Health {
        let is_over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&is_over);
        let thread = std::thread::spawn(move || {
            let mut answers = Some(Vec::new());
            while !ends.load(Ordering::SeqCst) {
                let start = Instant::now();
                match ask_health(&socket, HEALTH_PATIENCE) {
                    Some(()) => answers.iter_mut().for_each(|answers| answers.push((start, Instant::now()))),
                    None => answers = None,
                }
                std::thread::sleep(HEALTH_EVERY);
            }
            answers
        });
        Health { is_over, thread }
    }

    /// When each question was asked and answered; `None` where one was not.
    fn stop(self) -> Option<Vec<(Instant, Instant)>> {
        self.is_over.store(true, Ordering::SeqCst);
        self.thread.join().ok().flatten()
    }
}
