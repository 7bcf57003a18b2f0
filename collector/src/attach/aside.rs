//! `glassbox attach --notify`: a process of its own has the program put itself under the filter, puts the
//! sensor in where that gets in, and stays as the supervisor until nothing has the filter any more.
//!
//! It is no ancestor of what it supervises: the kernel lets it read the program's memory as it lets it trace
//! the program. Where it does not, nothing is changed.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use notify::Level;
use rustix::event::{PollFd, PollFlags, poll};
use wire::fields::DEFAULT_ARGV;

use super::entry::{cost, enter};
use super::graft::{self, Graft};
use super::target::{Request, Target};
use super::thread::Thread;
use crate::enrich::blind::ASKED_ABOUT;
use crate::launch::Notify;
use crate::launch::detached::{self, Report};
use crate::launch::protocol::CommandStarted;
use crate::notify::holder::{self, Held};
use crate::notify::introduction::Introduction;
use crate::notify::libraries;
use crate::notify::link::{Link, NoLink};
use crate::notify::listener::Listener;
use crate::notify::plan::{OfLibc, Plan};
use crate::notify::reports::Reports;
use crate::notify::supervisor::{self, Setting};
use crate::shell::failure::{Failure, Status};
use crate::shell::socket;
use crate::system::program::NO_SENSOR;
use crate::system::{clock, procfs};

/// The status by which the process says that the sensor alone is to be put in.
const SENSOR_ALONE: u8 = 255;

/// Attaches, and leaves a supervisor; gives the exit status. `None` where the program's calls cannot be asked
/// about, and it is to get the sensor alone.
pub fn attach(request: &Request, notify: Notify) -> Result<Option<u8>, Failure> {
    let status = detached::start(|report| stay(request, notify, report))?;
    Ok((status != SENSOR_ALONE).then_some(status))
}

/// Why a program's calls are not asked about.
enum NotAsked {
    /// Nothing can be had of it.
    Failed(Failure),
    /// The same: the kernel does not let it be traced, or it came to no place where it can be entered.
    NotEntered(Failure),
    /// This alone, for a reason, which ends in the remedy.
    Refused(String),
    /// The same, and the sensor is kept out too.
    Neither(String),
}

impl From<Failure> for NotAsked {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// The filter for a program that the sensor gets into asks about what no hook tells of. Where it does not,
/// no hook tells of anything, and libc's calls are asked about like all others.
fn plan(target: &Target, level: Level) -> Result<Plan, String> {
    let there = target.door().err().map(|kept| kept.sensor.clone());
    let of_libc = if there == Some(None) { OfLibc::IsAskedAbout } else { OfLibc::Passes };
    let own = [target.sensor().to_owned()].into_iter().chain(there.flatten());
    let sensors: Vec<PathBuf> = own.chain(passed_on(target)).collect();
    Plan::prove_with(level, libraries::scan_of(target.pid(), &sensors), sensors, of_libc)
}

/// The sensors that programs get which it starts: those of its LD_PRELOAD, at whatever path.
fn passed_on(target: &Target) -> Vec<PathBuf> {
    let environment = procfs::environment(target.pid()).unwrap_or_default();
    let variables = environment.split(|byte| *byte == 0);
    let lists = variables.filter_map(|variable| variable.strip_prefix(b"LD_PRELOAD="));
    let files = lists.flat_map(|list| list.split(|byte| b": ".contains(byte)));
    let files = files.map(|file| Path::new(OsStr::from_bytes(file)));
    files.filter(|file| file.file_name() == target.sensor().file_name()).map(Path::to_owned).collect()
}

/// The process's whole life.
fn stay(request: &Request, notify: Notify, report: Report) {
    match Supervised::attach(request, notify.level, &report) {
        Ok((supervised, lines, status)) => {
            report.give(status, &lines);
            supervised.see_to_the_end();
        }
        Err(NotAsked::NotEntered(failure)) if notify.is_required => {
            report.give(Status::Unavailable as u8, &[failure.to_string()]);
        }
        Err(NotAsked::Failed(failure) | NotAsked::NotEntered(failure)) => {
            report.give(failure.status(), &[failure.to_string()]);
        }
        Err(NotAsked::Refused(reason) | NotAsked::Neither(reason)) if notify.is_required => {
            let line = format!("{}; nothing was attached", unasked(request.pid, &reason));
            report.give(Status::Unavailable as u8, &[line]);
        }
        Err(NotAsked::Refused(reason)) => report.give(SENSOR_ALONE, &[unasked(request.pid, &reason)]),
        Err(NotAsked::Neither(reason)) => {
            report.give(Status::MissingInput as u8, &[unasked(request.pid, &reason)]);
        }
    }
}

fn unasked(pid: u32, reason: &str) -> String {
    format!("cannot have the kernel ask about the system calls of pid {pid}: {reason}")
}

/// A program that is under the filter.
struct Supervised {
    /// The listener, which the supervisor's thread and the holder have too.
    listener: Listener,
    reports: Arc<Mutex<Reports>>,
    /// Neither of them could be started: its calls go on here.
    is_unseen: bool,
}

impl Supervised {
    /// Puts the program under the filter, and the sensor in; gives the lines that say so, and the status.
    fn attach(request: &Request, level: Level, report: &Report) -> Result<(Self, Vec<String>, u8), NotAsked> {
        let target = Target::examine(request.pid, &request.sensor)?;
        socket::ask_health(&request.socket)?;
        let refused = |reason: String| match target.door() {
            Err(kept) if kept.sensor.is_none() => {
                NotAsked::Neither(format!("{reason}; and the sensor cannot be put in: {}", kept.message))
            }
            _ => NotAsked::Refused(reason),
        };
        let (link, connection) = Link::connect(&request.socket, None).map_err(|none| match none {
            NoLink::Nobody => refused("the collector hung up; try again".to_owned()),
            NoLink::Refused(why) => refused(format!("no collector hears of them ({why})")),
        })?;
        let plan = plan(&target, level).map_err(refused)?;
        graft::may_stop(request.pid).map_err(refused)?;
        let reports = Arc::new(Mutex::new(Reports::over(link, connection)));
        let (mut lines, mut status) = (Vec::new(), 0);
        let (supervised, has_given_up, stood) = Thread::with_one_of(&target, |mut stopped| {
            if !report.is_awaited() {
                // ^C: nothing has been changed.
                return Err(NotAsked::Refused("the command has ended; try again".to_owned()));
            }
            let Graft { listener, held, has_given_up } =
                graft::install(request.pid, &mut stopped, &plan.program).map_err(refused)?;
            let mut supervised = Self { listener, reports, is_unseen: false };
            let stood = match target.door() {
                Ok(door) => {
                    supervised.supervise(held, &plan, &mut lines);
                    match enter(&target, door, stopped, &request.socket.spelling()) {
                        Ok(stood) => Some(stood),
                        Err(failure) => {
                            // It is asked about what no hook tells of, and no hook tells of anything.
                            status = failure.status();
                            lines.push(failure.to_string());
                            None
                        }
                    }
                }
                Err(kept) => {
                    let stood = stopped.go_on();
                    supervised.introduce(&plan, request.pid);
                    supervised.supervise(held, &plan, &mut lines);
                    if kept.sensor.is_none() {
                        lines.push(format!("the sensor is not put into it: {}", kept.message));
                    }
                    Some(stood)
                }
            };
            Ok((supervised, has_given_up, stood))
        })
        .map_err(NotAsked::NotEntered)??;
        if target.door().is_ok() {
            supervised.introduce(&plan, request.pid);
        }
        if has_given_up {
            lines.push(
                "it has no CAP_SYS_ADMIN, so it got no_new_privs: set-user-id programs that it starts run without \
                 their rights from now on"
                    .to_owned(),
            );
        }
        let name = target.name();
        let cost = stood.map(|stood| format!("; {}", cost(stood))).unwrap_or_default();
        lines.insert(0, format!(
            "the kernel asks about the system calls of {name} from now on ({level}), and process {} supervises it{cost}",
            std::process::id()
        ));
        Ok((supervised, lines, status))
    }

    fn supervise(&mut self, held: io::Result<Held>, plan: &Plan, lines: &mut Vec<String>) {
        let setting = |held: Held| Setting::of_plan(held, plan, Arc::clone(&self.reports));
        self.is_unseen = held.is_err();
        if let Err(error) = held.and_then(|held| supervisor::start(setting(held))) {
            lines.push(format!("cannot supervise its system calls ({error}); they go on, and are not seen"));
        }
    }

    /// Tells the collector of the program: its start too, unless a sensor in it does.
    fn introduce(&self, plan: &Plan, pid: u32) {
        let Introduction { seen, pidfd } = Introduction::of(pid, true, &plan.trusted);
        // A sensor in it tells of its start.
        let reason = plan
            .trusted
            .is_libc_asked_about
            .then(|| seen.reason.filter(|reason| ASKED_ABOUT.contains(reason)).unwrap_or(NO_SENSOR.name));
        let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        reports.begin(pid);
        reports.see(&seen, pidfd);
        if let Some(reason) = reason {
            let (argv, argc) = procfs::arguments(pid, DEFAULT_ARGV);
            let path = seen.exe;
            let started =
                CommandStarted { pid: pid.cast_signed(), began_ns: clock::now_ns(), argc, path, argv };
            reports.began(started, reason);
        }
        reports.send(pid);
    }

    /// Stays until no process has the filter.
    fn see_to_the_end(self) {
        if self.is_unseen {
            holder::answer(&self.listener);
        }
        loop {
            let mut polled = [PollFd::new(&self.listener, PollFlags::empty())];
            if poll(&mut polled, None).is_ok_and(|ready| ready > 0) {
                break;
            }
        }
        self.reports.lock().unwrap_or_else(PoisonError::into_inner).finish();
    }
}
