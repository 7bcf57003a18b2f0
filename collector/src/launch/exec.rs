//! `glassbox exec --notify`: CMD's parent, supervisor and holder, for a collector that runs elsewhere. A
//! collector in another container sees neither the numbers of CMD's processes nor their memory.
//!
//! It does for signals, job control and the exit status what `run` does, and starts no collector. Whatever
//! goes wrong before CMD runs takes the supervisor away, and not the sensor.

use std::os::fd::RawFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use notify::Level;
use wire::fields::DEFAULT_ARGV;

use super::command::{self, FileLimit, Program, Started};
use super::keeper::Keeper;
use super::launcher::Launcher;
use super::protocol::CommandStarted;
use super::signals::Signals;
use super::{Notify, descriptors, plan};
use crate::enrich::blind::ASKED_ABOUT;
use crate::notify::holder::Held;
use crate::notify::introduction::Introduction;
use crate::notify::link::{Link, NoLink};
use crate::notify::plan::{OfLibc, Plan};
use crate::notify::reports::Reports;
use crate::notify::supervisor::{self, Setting};
use crate::shell::failure::{Failure, Status, say};
use crate::shell::socket::Name;
use crate::system::{clock, procfs};

/// A `glassbox exec` command line.
#[derive(Debug)]
pub struct Request {
    /// CMD, with the sensor in its environment.
    pub hooked: Program,
    /// The sensor.
    pub sensor: PathBuf,
    /// The collector's socket.
    pub socket: Name,
    /// What is asked of the kernel.
    pub notify: Notify,
}

/// Becomes CMD; or, where the kernel is to be asked, starts it and stays with it. The result is the exit
/// status.
pub fn exec(request: &Request) -> Result<u8, Failure> {
    let inherited = descriptors::inherited();
    match Supervised::new(request)? {
        Some(supervised) => supervised.run(&request.hooked, inherited),
        None => Err(request.hooked.failure(&request.hooked.become_it())),
    }
}

/// Everything that is needed to start CMD and to stay with it.
struct Supervised {
    plan: Plan,
    reports: Arc<Mutex<Reports>>,
    is_required: bool,
}

impl Supervised {
    /// `None` where CMD is to run with the sensor alone.
    fn new(request: &Request) -> Result<Option<Self>, Failure> {
        let Request { sensor, socket, notify, .. } = request;
        if notify.level == Level::Off {
            return Ok(None);
        }
        let connected = Link::connect(socket, None).and_then(|connected| {
            let can_name = procfs::open(std::process::id()).is_some();
            let why = "pidfd_open(2) is refused here, by which the collector is told whose calls they are; allow it in \
                       the container's seccomp profile";
            if can_name { Ok(connected) } else { Err(NoLink::Refused(why.to_owned())) }
        });
        let (link, connection) = match connected {
            Ok(connected) => connected,
            // As without `--notify`: CMD runs exactly as without the sensor.
            Err(NoLink::Nobody) if !notify.is_required => return Ok(None),
            Err(NoLink::Nobody) => {
                return Err(unavailable(&format!(
                    "no collector listens at '{}'; start 'glassbox collect', or set GLASSBOX_SOCKET",
                    socket.spelling().display()
                )));
            }
            Err(NoLink::Refused(why)) if notify.is_required => return Err(unavailable(&why)),
            Err(NoLink::Refused(why)) => {
                say(&format!(
                    "no collector hears of system calls ({why}); static and Go programs are not seen into"
                ));
                return Ok(None);
            }
        };
        // A collector elsewhere believes what is told of a process that was introduced, and a call of libc's
        // may be its first.
        let notify = Notify { of_libc: OfLibc::Passes, ..*notify };
        let Some(plan) = plan(notify, vec![sensor.clone()])? else { return Ok(None) };
        let reports = Arc::new(Mutex::new(Reports::over(link, connection)));
        Ok(Some(Self { plan, reports, is_required: notify.is_required }))
    }

    fn run(self, hooked: &Program, inherited: Vec<RawFd>) -> Result<u8, Failure> {
        let limit = FileLimit::raise();
        let signals = match Signals::take_over() {
            Ok(signals) => signals,
            Err(error) => {
                limit.restore();
                return self.become_it(hooked, &format!("no signal descriptor ({error})"));
            }
        };
        let began_ns = clock::now_ns();
        let started = hooked.start(&signals, limit, Some(&self.plan.program));
        let (pid, held) = match started {
            Ok(Started::Running(pid, Some(held))) => (pid, held),
            Ok(Started::NotExecuted(error)) => return Err(hooked.failure(&error)),
            Ok(Started::Running(_, None)) => unreachable!("a filter has a listener"),
            Err(error) => {
                limit.restore();
                signals.restore_mask();
                return self.become_it(hooked, &error.to_string());
            }
        };
        self.introduce(pid, began_ns, hooked);
        self.supervise(held);
        descriptors::leave_to_command(&inherited);
        let wait_status = Launcher::new(signals, Keeper::of_none()).watch(pid);
        self.reports.lock().unwrap_or_else(PoisonError::into_inner).finish();
        Ok(command::exit_status(wait_status))
    }

    /// Becomes CMD with the sensor alone.
    fn become_it(&self, hooked: &Program, why: &str) -> Result<u8, Failure> {
        let reason = format!("cannot have the kernel ask about system calls: {why}");
        if self.is_required {
            return Err(unavailable(&reason));
        }
        say(&format!("{reason}; static and Go programs are not seen into"));
        Err(hooked.failure(&hooked.become_it()))
    }

    /// Tells the collector of CMD, whose first call waits.
    fn introduce(&self, pid: i32, began_ns: u64, hooked: &Program) {
        let process = pid.cast_unsigned();
        let Introduction { seen, pidfd } = Introduction::of(process, true, &self.plan.trusted);
        let image = procfs::exe(process).filter(|image| !image.is_empty());
        let path = image.or_else(|| hooked.path()).unwrap_or_default();
        let (argv, argc) = hooked.argv(DEFAULT_ARGV);
        let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        // A sensor in it says hello itself.
        let Some(reason) = seen.reason.filter(|reason| ASKED_ABOUT.contains(reason)) else { return };
        reports.begin(process);
        reports.see(&seen, pidfd);
        reports.began(CommandStarted { pid, began_ns, argc, path, argv }, reason);
        reports.send(process);
    }

    fn supervise(&self, held: Held) {
        let setting = Setting::of_plan(held, &self.plan, Arc::clone(&self.reports));
        if let Err(error) = supervisor::start(setting) {
            say(&format!("cannot supervise CMD's system calls ({error}); they go on, and are not seen"));
        }
    }
}

fn unavailable(what: &str) -> Failure {
    Failure::new(Status::Unavailable, format!("{what}; leave --require-notify out to run without"))
}
