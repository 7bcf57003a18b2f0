//! The supervisor: a thread of CMD's parent. It receives each call that the filter asks about, reads what
//! the call says while its thread waits, tells the collector, and lets it go on.
//!
//! It never refuses a call and never makes one itself: what a program does and gets is what it would get
//! without. As an ancestor of all that CMD starts it may read their memory where Yama restricts others
//! (ptrace_scope 1).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use notify::{Level, Machine};
use rustc_hash::FxHashMap;
use wire::events::Kind;
use wire::record::{Flags, Head, Via};

use super::closings::{Closings, Watched};
use super::decode::{self, Asked, Noted, Told};
use super::foresee::{Foreseen, foresee};
use super::holder::{Held, Lifeline, Page};
use super::interrupted::Interrupted;
use super::introduction::Introduction;
use super::listener::{Listener, Notification, Waited};
use super::memory::Memories;
use super::modules::Trusted;
use super::outcomes::Outcomes;
use super::places::{Peers, ProcessPlaces};
use super::plan::Plan;
use super::reports::Reports;
use super::starting::Starting;
use super::teller::{Teller, Tellers};
use crate::door::janitor::Janitor;
use crate::enrich::blind::ASKED_ABOUT;
use crate::ids::MonoNs;
use crate::system::{files, procfs};

/// Threads and processes that are remembered; beyond, all are looked at anew.
const MOST_REMEMBERED: usize = 4096;
/// A thread's number is taken for the same thread's for so long: the kernel gives out all others before it
/// gives one again.
const REMEMBERED_NS: u64 = 1_000_000_000;

/// What the supervisor needs of the run.
#[derive(Debug)]
pub struct Setting {
    /// The listener of the filter, which a holder keeps too.
    pub held: Held,
    /// The files whose calls are told by hooks, or are libc's own.
    pub trusted: Arc<Trusted>,
    /// The way to the collector.
    pub reports: Arc<Mutex<Reports>>,
    /// The calls that are told of.
    pub level: Level,
    /// The process that the container's runtime turns into its program.
    pub starting: Option<Starting>,
}

impl Setting {
    /// Of the filter of a plan.
    pub fn of_plan(held: Held, plan: &Plan, reports: Arc<Mutex<Reports>>) -> Self {
        let trusted = Arc::clone(&plan.trusted);
        Self { held, trusted, reports, level: plan.level, starting: None }
    }
}

/// Starts the supervisor's thread. Where that fails, and when it ends, the holder answers.
pub fn start(setting: Setting) -> std::io::Result<()> {
    let supervisor = Supervisor::new(setting);
    std::thread::Builder::new().name("supervisor".into()).spawn(move || supervisor.run())?;
    Ok(())
}

/// Supervises until no process has the filter any more.
pub fn supervise(setting: Setting) {
    Supervisor::new(setting).run();
}

struct Supervisor {
    listener: Listener,
    page: Page,
    /// The kernel closes it when the last thread of this process is gone, and not before.
    _lifeline: Lifeline,
    reports: Arc<Mutex<Reports>>,
    trusted: Arc<Trusted>,
    level: Level,
    starting: Option<Starting>,
    threads: FxHashMap<u32, Thread>,
    /// What each process has mapped of the trusted files, as long as that cannot change but by an exec.
    tellers: Tellers,
    /// The last execs, until it is known what became of them.
    outcomes: Outcomes,
    /// The memories of processes.
    memories: Memories,
    /// The peers of datagrams so far.
    peers: Peers,
    /// The descriptors of processes without hooks.
    closings: Closings,
    /// Closes what was taken of a process by mistake.
    janitor: Janitor,
    /// Calls that were told of and did not go on.
    interrupted: Interrupted,
}

/// A thread, as it was looked up.
struct Thread {
    process: u32,
    since: MonoNs,
    /// Its number in its own pid namespace, as hooks say it, once that was asked for.
    own: Option<u32>,
    /// The connection over which the collector has been told what is known of the process.
    introduced: Option<u32>,
    /// The thread asked for other ids, and the collector has not been told which it has.
    may_have_other_ids: bool,
}

impl Supervisor {
    fn new(Setting { held, trusted, reports, level, starting }: Setting) -> Self {
        let Held { listener, page, lifeline } = held;
        listener.wake_in_place();
        files::ask_aside();
        Self {
            listener,
            page,
            _lifeline: lifeline,
            reports,
            trusted: Arc::clone(&trusted),
            level,
            starting,
            threads: FxHashMap::default(),
            tellers: Tellers::new(trusted),
            outcomes: Outcomes::default(),
            memories: Memories::default(),
            peers: Peers::default(),
            closings: Closings::default(),
            janitor: Janitor::of_others(),
            interrupted: Interrupted::default(),
        }
    }

    fn run(mut self) {
        loop {
            match self.listener.receive() {
                Ok(Some(notified)) => self.handle(&notified),
                Ok(None) => {
                    let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
                    if self.listener.wait(Some(now)) == Waited::Over {
                        return;
                    }
                }
                Err(_) => return,
            }
        }
    }

    fn handle(&mut self, notified: &Notification) {
        self.page.note_received(notified.id);
        let at = MonoNs::now();
        let process = self.process_of(notified.tid, at);
        // A runtime's filter asks about more than its level.
        let call = notify::call(Machine::NATIVE, notified.arch, notified.number)
            .filter(|call| call.is_told_at(self.level, &notified.args));
        let asked = call.and_then(|_| Asked::new(notified.arch, notified.number, notified.args));
        let is_exec = asked.is_some_and(|asked| asked.name.starts_with("execve"));
        let mut said = None;
        if process.is_some_and(|process| self.is_starting(process)) {
            if let (Some(process), Some(asked)) = (process, asked.filter(|_| is_exec)) {
                self.start_program(process, notified, &asked, at);
            }
        } else if let (Some(process), Some(call), Some(asked)) = (process, call, &asked)
            && let Some(teller) = self.tellers.of(call, process, notified, is_exec)
            && let Some((mut told, is_certain)) = self.told(asked, notified.tid, process)
        {
            if self.interrupted.has(notified.tid, &told) {
                said = Some(told);
            } else if !self.reports().has_room() {
                // Who makes the call takes longer to find out than all else, and would not be told either.
                self.reports().lose(process, 1);
            } else {
                told.before.extend(self.ids_after_change(notified.tid));
                self.outcomes.tell((process, notified.tid), &self.reports);
                let foreseen = foresee(&told, notified.tid, process, &self.trusted);
                let introduction =
                    self.introduced(notified.tid, process, matches!(teller, Teller::Collector));
                // Its thread still waits for us, so all of this was read from the process that makes the
                // call. Where it does not, the thread was killed, or the holder answered and counted, or a
                // signal came.
                let is_certain =
                    is_certain && told.before.is_empty() && foreseen.is_none() && introduction.is_none();
                if is_certain || self.listener.is_waiting(notified.id) {
                    // Before the call goes on: the process may end with it.
                    self.report((process, notified.tid), at, introduction, &told, foreseen, teller);
                    said = Some(told);
                }
            }
        }
        // Whose they were is not known.
        if let (Some(process), unseen @ 1..) = (process, self.page.take_unseen()) {
            self.reports().lose(process, unseen);
            // There may have been an exec among them.
            self.tellers.forget_all();
            self.memories = Memories::default();
        }
        if call.is_some() && process.is_none() && self.listener.is_waiting(notified.id) {
            self.reports().lose(notified.tid, 1);
        }
        let has_gone_on = self.listener.let_go_on(notified.id).is_ok();
        if let Some(said) = said {
            self.interrupted.note(notified.tid, said, has_gone_on);
        }
        self.page.note_answered(notified.id);
        if let Some((process, asked)) = process.zip(asked) {
            self.closings.note_end(process, asked.name);
        }
        if let Some(thread) = self.threads.get_mut(&notified.tid) {
            thread.may_have_other_ids |= asked.is_some_and(|asked| decode::changes_ids(asked.name));
        }
        if is_exec {
            // The next call is another program's, and may be another thread's.
            self.threads.remove(&notified.tid);
            if let Some(process) = process {
                self.threads.remove(&process);
                self.tellers.forget(process);
                self.memories.forget(process);
            }
        }
    }

    /// Whether a process is still the runtime's.
    fn is_starting(&mut self, process: u32) -> bool {
        let Some(starting) = self.starting.as_mut().filter(|starting| starting.is(process)) else {
            return false;
        };
        let (has_begun, is_told) = (starting.has_begun(), starting.is_told);
        if has_begun && is_told {
            self.starting = None;
        }
        !has_begun
    }

    /// Tells of the program that the runtime's process is about to become. One with a sensor tells of itself.
    fn start_program(&mut self, process: u32, notified: &Notification, asked: &Asked, at: MonoNs) {
        if self.starting.as_ref().is_some_and(|starting| starting.is_told) {
            return;
        }
        let Some((told, _)) = self.told(asked, notified.tid, process) else { return };
        let Some(program) = foresee(&told, notified.tid, process, &self.trusted).and_then(|it| it.program)
        else {
            return;
        };
        let Introduction { mut seen, pidfd } = Introduction::of(process, false, &self.trusted);
        if !self.listener.is_waiting(notified.id) {
            return;
        }
        seen.reason = ASKED_ABOUT.into_iter().find(|reason| *reason == program.reason);
        seen.exe.clone_from(&program.exe);
        seen.is_first = true;
        let (began, mut reports) = (Starting::asked(process, at, &seen, &told), self.reports());
        reports.begin(process);
        reports.see(&seen, pidfd);
        if let Some((started, reason)) = began {
            reports.began(started, reason);
        }
        let is_told = reports.send(process);
        drop(reports);
        if let Some(starting) = &mut self.starting {
            starting.is_told = is_told;
        }
    }

    fn report(
        &mut self,
        (process, tid): (u32, u32),
        at: MonoNs,
        introduction: Option<Introduction>,
        told: &Told,
        foreseen: Option<Foreseen>,
        teller: Teller,
    ) {
        let &Told { ref before, kind, call, flags, ref payload, .. } = told;
        let Foreseen { errno, program } = foreseen.unwrap_or_default();
        let quiet = Head {
            time_ns: at.0,
            seq: 0,
            ret: 0,
            pid: process,
            tid: self.own_number(tid),
            kind: kind as u16,
            call: 0,
            errno: 0,
            via: Via::Notify as u8,
            flags: if matches!(teller, Teller::Collector) { Flags::INNER } else { 0 },
        };
        let event = Head { call, errno, flags: quiet.flags | flags & Flags::TRUNCATED, ..quiet };
        let is_inside = self.trusted.is_inside();
        let mut reports = self.reports();
        // A collector elsewhere goes by the introduction, which tells whether the sensor is mapped.
        let program = program.filter(|_| is_inside || !reports.is_remote());
        reports.begin(process);
        let untold = self.starting.as_ref().filter(|starting| starting.is(process));
        if let Some(Introduction { seen, pidfd }) = introduction {
            reports.see(&seen, pidfd);
            if let Some((started, reason)) = untold.and_then(|starting| starting.program(at, &seen)) {
                reports.began(started, reason);
            }
        }
        if let Some(program) = &program {
            reports.executed(at, program);
        }
        for noted in before {
            let call = if noted.kind == Kind::FdClosed { call } else { 0 };
            reports.record(&Head { kind: noted.kind as u16, call, ..quiet }, &noted.payload);
        }
        reports.record(&event, payload);
        if let Teller::Supervisor(Some(place)) = teller {
            reports.evident(at, call, &place);
        }
        let (is_sent, is_start) = (reports.send(process), untold.is_some());
        reports.lose(process, told.untold);
        drop(reports);
        if is_sent {
            self.closings.note_told();
        }
        if is_sent && is_start {
            self.starting = None;
        }
        if let (false, Some(thread)) = (is_sent, self.threads.get_mut(&tid)) {
            // What went with the packet is to be told again.
            (thread.introduced, thread.may_have_other_ids) = (None, true);
        }
        if let Some(program) = program {
            self.outcomes.await_one((process, tid), at, program.stack);
        }
    }

    /// Held by another thread at the run's end alone.
    fn reports(&self) -> MutexGuard<'_, Reports> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The process of a thread; `None` where it has no number here.
    fn process_of(&mut self, tid: u32, now: MonoNs) -> Option<u32> {
        if tid == 0 {
            return None;
        }
        if let Some(thread) = self.threads.get(&tid)
            && now.since(thread.since) < REMEMBERED_NS
        {
            return Some(thread.process);
        }
        // A process has the number of its first thread, and pidfd_open(2) takes no other thread's.
        let process = match procfs::open(tid) {
            Some(_) => tid,
            None => procfs::status(tid, "Tgid")?.trim().parse().ok()?,
        };
        // It may be another one than the last that had the number.
        self.tellers.forget(process);
        self.memories.forget(process);
        self.closings.look_after(process);
        let may_have_other_ids = self.threads.get(&tid).is_some_and(|thread| thread.may_have_other_ids);
        if self.threads.len() >= MOST_REMEMBERED {
            self.threads.clear();
        }
        self.threads
            .insert(tid, Thread { process, since: now, own: None, introduced: None, may_have_other_ids });
        Some(process)
    }

    /// The number of a thread in its own pid namespace.
    fn own_number(&mut self, tid: u32) -> u32 {
        let ask = || procfs::namespace_pids(tid).and_then(|all| all.last().copied()).unwrap_or(tid);
        self.threads.get_mut(&tid).map_or(tid, |thread| *thread.own.get_or_insert_with(ask))
    }

    /// What is known of the process of a thread, once for each time that it is looked up.
    fn introduced(&mut self, tid: u32, process: u32, is_hooked: bool) -> Option<Introduction> {
        let (connection, is_remote) = {
            let mut reports = self.reports();
            (reports.connection(), reports.is_remote())
        };
        let thread = self.threads.get_mut(&tid)?;
        if thread.introduced.replace(connection) == Some(connection) {
            return None;
        }
        Some(match is_hooked {
            true => Introduction::of_hooked(process),
            false => Introduction::of(process, is_remote, &self.trusted),
        })
    }

    /// The ids of a thread that asked for others at its last call: whether it got them, its next one shows.
    fn ids_after_change(&mut self, tid: u32) -> Option<Noted> {
        let thread = self.threads.get_mut(&tid).filter(|thread| thread.may_have_other_ids)?;
        thread.may_have_other_ids = false;
        let ((uid, euid), (_, egid)) = (procfs::uids(tid)?, procfs::gids(tid)?);
        Some(decode::has_ids(uid, euid, egid))
    }

    /// The record of a call, with what its process's memory and /proc say while it waits, and whether it is
    /// certainly that process's even where it waits no longer.
    fn told(&mut self, asked: &Asked, tid: u32, process: u32) -> Option<(Told, bool)> {
        // Of a process with hooks, those tell which descriptors end.
        let is_watched = self.level >= Level::Full && !self.tellers.has_hooks(process);
        let (peers, janitor) = (&mut self.peers, &self.janitor);
        let mut places = ProcessPlaces { tid, process, peers, janitor, is_asked: false };
        let mut memory = self.memories.of(process, tid);
        let told = match is_watched {
            true => decode::told(asked, &mut memory, &mut Watched::of(&mut places, &mut self.closings))?,
            false => decode::told(asked, &mut memory, &mut places)?,
        };
        Some((told, !memory.is_asked_by_number && !places.is_asked))
    }
}
