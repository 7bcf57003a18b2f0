//! `glassbox run`: the parent of CMD and of the collector. It holds the application up, so it does little.
//!
//! One thread with one poll loop; with `--notify` a second one, [`crate::notify::supervisor`]. [`run`]
//! makes the sockets, starts the collector (this executable again, with a hidden subcommand), and starts
//! CMD once the collector is ready. From then on the [`launcher`] passes signals on, stops and continues
//! with CMD ([`job`]), reaps, and keeps a duplicate of every ring's memory so that a collector that dies is
//! followed by another one ([`keeper`]). It ends with CMD's exit status.
//!
//! The cause of a failure decides what follows. Before CMD runs, a mistake of the user ends the run (64, 66,
//! 73: a mistyped option, no sensor, an output that cannot be made). Any other failure is one of glassbox and
//! must not become the application's: one line on stderr says so, and the launcher becomes CMD without the
//! sensor. Once CMD runs, nothing stops it.
//!
//! CMD stays in the launcher's process group and session: the terminal's signals reach it directly, and the
//! job control of the calling shell works. Consequently CMD is not the leader of that group, and `setsid CMD`
//! does not need to fork. A process group for the launcher alone was considered and rejected: a shell
//! continues the job by its group, so a launcher outside of it would sleep for ever after ^Z. Unless it is
//! PID 1, the launcher is no subreaper: orphans go where they would go without it.

pub mod channel;
pub mod collector;
pub mod command;
pub mod descriptors;
pub mod detached;
pub mod exec;
pub mod groups;
mod job;
mod keeper;
mod launcher;
pub mod protocol;
mod signals;

use std::ffi::OsString;
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use notify::Level;
use wire::fields::DEFAULT_ARGV;

use self::collector::Recipe;
use self::command::{FileLimit, Program, Started};
use self::keeper::Keeper;
pub use self::launcher::RunUntil;
use self::launcher::{Launcher, Readiness};
use self::protocol::{CommandStarted, ToCollector};
use self::signals::{Mask, Signals};
use crate::notify::holder::Held;
use crate::notify::plan::{OfLibc, Plan};
use crate::notify::reports::Reports;
use crate::notify::supervisor::{self, Setting};
use crate::notify::way::Way;
use crate::outputs::{self, Output};
use crate::settings::keys::{self, SENSOR};
use crate::settings::layers::Layers;
use crate::shell::environment;
use crate::shell::failure::{Failure, Status, say};
use crate::shell::sensor_path::ForRun;
use crate::shell::socket::{self, Name};
use crate::system::{clock, procfs};

/// A `glassbox run` command line.
#[derive(Debug)]
pub struct Request {
    /// CMD and its arguments.
    pub command: Vec<OsString>,
    /// Where to write.
    pub outputs: Vec<Output>,
    /// The other settings of the collector.
    pub layers: Layers,
    /// When to end.
    pub until: RunUntil,
    /// The inline engine that the sensor loads (`--inline`).
    pub inline: Option<PathBuf>,
    /// What is asked of the kernel.
    pub notify: Notify,
}

/// What is asked of the kernel about programs that hooks cannot see.
#[derive(Clone, Copy, Debug)]
pub struct Notify {
    /// The calls that are asked about.
    pub level: Level,
    /// Whether CMD is not to run without.
    pub is_required: bool,
    /// What becomes of the calls that libc makes.
    pub of_libc: OfLibc,
}

impl Notify {
    /// What the settings ask for.
    pub fn of(layers: &Layers) -> Self {
        let level = layers.setting(&keys::NOTIFY).text().to_str().and_then(|name| name.parse().ok());
        // The sensor reads the same variable, which CMD inherits.
        let told = std::env::var("GLASSBOX_TELL").unwrap_or_default();
        let asks_for = |what: &str| told.split(',').any(|name| name == what);
        let level = match level.unwrap_or(Level::Off) {
            Level::Full if asks_for("lookups") => Level::Lookups,
            level => level,
        };
        let is_told = level >= Level::Full && asks_for("libc");
        let of_libc = if is_told { OfLibc::IsTold } else { OfLibc::Passes };
        Self { level, is_required: layers.setting(&keys::REQUIRE_NOTIFY).is_on(), of_libc }
    }
}

/// Runs CMD under the sensor with a collector of its own; the result is the exit status.
pub fn run(request: Request) -> Result<u8, Failure> {
    let inherited = descriptors::inherited();
    Output::check_all(&request.outputs)?;
    let sensor = ForRun::find(request.layers.setting(&SENSOR).values.pop())?;
    let program = Program::new(&request.command, environment::spell(std::env::vars_os()))?;
    let bare = Bare { program, limit: FileLimit::raise(), mask: Mask::current() };
    match Prepared::new(request, sensor, inherited).and_then(|prepared| prepared.begin(bare.limit)) {
        Ok(status) => Ok(status),
        Err(NotBegun::Failed(failure)) => Err(failure),
        Err(NotBegun::Unwatched(reason)) => bare.run(&reason),
    }
}

/// The filter of the level that is wanted; `None` where none is wanted, or none can be had.
fn plan(notify: Notify, sensors: Vec<PathBuf>) -> Result<Option<Plan>, Failure> {
    if notify.level == Level::Off {
        return Ok(None);
    }
    match Plan::prove(notify.level, sensors, notify.of_libc) {
        Ok(plan) => Ok(Some(plan)),
        Err(reason) if notify.is_required => Err(Failure::new(
            Status::Unavailable,
            format!(
                "cannot have the kernel ask about system calls: {reason}; leave --require-notify out to run without"
            ),
        )),
        Err(reason) => {
            say(&format!(
                "cannot have the kernel ask about system calls: {reason}; static and Go programs are not seen into"
            ));
            Ok(None)
        }
    }
}

/// Why CMD was not started under the sensor.
enum NotBegun {
    /// The run ends: CMD cannot be executed, or what the user asked for cannot be had.
    Failed(Failure),
    /// A fault of glassbox: CMD runs without the sensor.
    Unwatched(String),
}

impl From<Failure> for NotBegun {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// CMD without the sensor, with the limit and the signal mask that the caller gave.
struct Bare {
    program: Program,
    limit: FileLimit,
    mask: Mask,
}

impl Bare {
    /// Becomes CMD; returns only if that fails.
    fn run(&self, reason: &str) -> Result<u8, Failure> {
        say(&format!("cannot watch CMD: {reason}; running it without the sensor"));
        self.limit.restore();
        self.mask.restore();
        let error = self.program.become_it();
        Err(self.program.failure(&error))
    }
}

/// A run whose signals, sockets and outputs are in place, before anything is started.
struct Prepared {
    launcher: Launcher,
    /// CMD with the sensor in its environment.
    hooked: Program,
    /// The caller's descriptors, which are CMD's.
    inherited: Vec<RawFd>,
    until: RunUntil,
    /// What is asked of the kernel.
    notify: Notify,
    /// The sensor's file, at every path that it is loaded from.
    sensors: Vec<PathBuf>,
    /// The supervisor's way to the collector.
    reports: Option<Arc<Mutex<Reports>>>,
}

impl Prepared {
    fn new(request: Request, sensor: ForRun, inherited: Vec<RawFd>) -> Result<Self, NotBegun> {
        let Request { command, mut outputs, layers, until, inline, notify } = request;
        let settings_of_collector = layers.spelled()?;
        let kept = outputs::keep_descriptors(&mut outputs)?;
        let signals = Signals::take_over()
            .map_err(|error| NotBegun::Unwatched(format!("no signal descriptor ({error})")))?;
        let (listening, stdout) = socket::private(sensor.copy.as_deref())
            .and_then(|listening| Ok((listening, outputs::keep_stdout(&outputs)?)))
            .map_err(|error| NotBegun::Unwatched(format!("no socket for the sensor ({error})")))?;
        let original = sensor.path.clone();
        let sensor = sensor.preloaded(listening.sensor)?;
        let sensors = vec![original, sensor.clone()];
        let is_notified = notify.level != Level::Off;
        let (reports, sightings) = match is_notified.then(Way::pair).transpose() {
            Ok(pair) => pair.unzip(),
            Err(error) => return Err(NotBegun::Unwatched(format!("no socket for the supervisor ({error})"))),
        };
        let reports = reports.map(|way| Arc::new(Mutex::new(Reports::to(way))));
        let socket = listening.name.spelling();
        let mut settings = vec![("GLASSBOX_SOCKET", socket.as_os_str())];
        settings.extend(inline.as_ref().map(|engine| ("GLASSBOX_INLINE", engine.as_os_str())));
        let environment = environment::under_sensor(&command, &sensor, &settings);
        let hooked = Program::new(&command, environment)?;
        let recipe = Recipe {
            listeners: listening.listeners,
            socket: match listening.name {
                Name::Path(path) => Some(path),
                Name::Abstract(_) => None,
            },
            stdout,
            kept,
            outputs,
            settings: settings_of_collector,
            sightings,
        };
        let launcher = Launcher::new(signals, Keeper::new(recipe, listening.files));
        Ok(Self { launcher, hooked, inherited, until, notify, sensors, reports })
    }

    /// Starts the collector, then CMD, and stays with both to the end; the result is the exit status.
    fn begin(mut self, limit: FileLimit) -> Result<u8, NotBegun> {
        let (readiness, plan) = self.start_collector()?;
        match readiness {
            Readiness::Ready => {}
            Readiness::Refused(status) => return Ok(status),
            Readiness::Interrupted(signal) => {
                self.launcher.abandon_collector();
                return Ok(u8::try_from(128 + signal).unwrap_or(255));
            }
            Readiness::Broken(reason) => {
                self.launcher.abandon_collector();
                return Err(NotBegun::Unwatched(reason));
            }
        }
        let began_ns = clock::now_ns();
        let filter = plan.as_ref().map(|plan| plan.program.as_slice());
        let mut started = self.hooked.start(self.launcher.signals(), limit, filter);
        if let (Err(error), true) = (&started, filter.is_some()) {
            // The proof went well a moment ago: processes or descriptors are short.
            let reason = format!("cannot have the kernel ask about system calls: {error}");
            if self.notify.is_required {
                self.launcher.abandon_collector();
                return Err(NotBegun::Failed(Failure::new(Status::Unavailable, reason)));
            }
            say(&format!("{reason}; static and Go programs are not seen into"));
            self.launcher.keeper().do_without_supervisor();
            started = self.hooked.start(self.launcher.signals(), limit, None);
        }
        match started {
            Err(error) => {
                self.launcher.abandon_collector();
                Err(NotBegun::Unwatched(format!("cannot start a process ({error})")))
            }
            Ok(Started::NotExecuted(error)) => {
                let errno = error.raw_os_error().unwrap_or(libc::EIO);
                self.launcher.keeper().send(ToCollector::CommandFailed { errno });
                self.launcher.finish(RunUntil::CommandEnds);
                Err(NotBegun::Failed(self.hooked.failure(&error)))
            }
            Ok(Started::Running(pid, held)) => {
                // Before its calls go on: it may execute another program with the first of them.
                let image = procfs::exe(pid.cast_unsigned()).filter(|image| !image.is_empty());
                self.supervise(held, plan);
                Ok(self.stay_with(pid, began_ns, image))
            }
        }
    }

    /// Starts the collector and, while it gets ready, makes the filter.
    fn start_collector(&mut self) -> Result<(Readiness, Option<Plan>), NotBegun> {
        if let Err(readiness) = self.launcher.start_first_collector() {
            return Ok((readiness, None));
        }
        match plan(self.notify, std::mem::take(&mut self.sensors)) {
            Ok(None) => {
                self.launcher.keeper().do_without_supervisor();
                Ok((self.launcher.wait_for_first_collector(), None))
            }
            Ok(plan) => Ok((self.launcher.wait_for_first_collector(), plan)),
            Err(failure) => {
                self.launcher.abandon_collector();
                Err(NotBegun::Failed(failure))
            }
        }
    }

    /// Starts the supervisor of CMD's filter, which waits for it already.
    fn supervise(&mut self, held: Option<Held>, plan: Option<Plan>) {
        let (Some(held), Some(plan), Some(reports)) = (held, plan, self.reports.clone()) else {
            return;
        };
        if let Err(error) = supervisor::start(Setting::of_plan(held, &plan, reports)) {
            say(&format!("cannot supervise CMD's system calls ({error}); they go on, and are not seen"));
        }
    }

    /// Stays with CMD until it has ended and everything is written.
    fn stay_with(mut self, pid: i32, began_ns: u64, image: Option<Vec<u8>>) -> u8 {
        // A program that ends at once has no image in /proc any more. The name that it was started by may be
        // relative to the current directory, so it is resolved before that is left.
        let path = image.or_else(|| self.hooked.path()).unwrap_or_default();
        descriptors::leave_to_command(&self.inherited);
        // Once: a collector that follows another one cannot know whether CMD was seen.
        let (argv, argc) = self.hooked.argv(DEFAULT_ARGV);
        let started = CommandStarted { pid, began_ns, argc, path, argv };
        self.launcher.keeper().send_once(&ToCollector::CommandStarted(started));
        let wait_status = self.launcher.watch(pid);
        if let Some(reports) = &self.reports {
            reports.lock().unwrap_or_else(PoisonError::into_inner).finish();
        }
        self.launcher.finish(self.until);
        match command::exit_status(wait_status) {
            0 if self.launcher.keeper().is_alerted() => 1,
            status => status,
        }
    }
}
