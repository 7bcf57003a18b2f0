//! The supervisor: a thread of CMD's parent. It receives each call that the filter asks about, reads what
//! the call says while its thread waits, tells the collector, and lets it go on.
//!
//! It never refuses a call and never makes one itself: what a program does and gets is what it would get
//! without. As an ancestor of all that CMD starts it may read their memory where Yama restricts others
//! (ptrace_scope 1).

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustc_hash::FxHashMap;
use wire::record::{Flags, Head, Via};

use super::decode::{self, Asked, Noted, Told};
use super::foresee::{Foreseen, foresee};
use super::holder::{Held, Lifeline, Page};
use super::listener::{Listener, Notification, Waited};
use super::memory::Memories;
use super::modules::{Modules, Trusted};
use super::places::{Peers, ProcessPlaces};
use super::reports::Reports;
use crate::arrival::Seen;
use crate::door::identity;
use crate::door::janitor::Janitor;
use crate::enrich::blind::ASKED_ABOUT;
use crate::evasion::Place;
use crate::evasion::modules::Known;
use crate::ids::{MonoNs, Pid};
use crate::system::files::On;
use crate::system::namespaces::{self, Kind};
use crate::system::program::{NO_SENSOR, Program, Root};
use crate::system::{kernel, procfs};

/// Threads and processes that are remembered; beyond, all are looked at anew.
const MOST_REMEMBERED: usize = 4096;
/// A thread's number is taken for the same thread's for so long: the kernel gives out all others before it
/// gives one again.
const REMEMBERED_NS: u64 = 1_000_000_000;

/// Calls that a signal kept from going on, and that are remembered; beyond, some are told of twice.
const MOST_INTERRUPTED: usize = 256;

/// Execs that are looked at, and for how long: the collector looks for itself as well.
const MOST_EXECS: usize = 8;
const EXEC_NS: u64 = 500_000_000;

/// What the supervisor needs of the run.
#[derive(Debug)]
pub struct Setting {
    /// The listener of the filter, which a holder keeps too.
    pub held: Held,
    /// The files whose calls are told by hooks, or are libc's own.
    pub trusted: Arc<Trusted>,
    /// The way to the collector.
    pub reports: Arc<Mutex<Reports>>,
}

/// Starts the supervisor's thread. Where that fails, and when it ends, the holder answers.
pub fn start(setting: Setting) -> std::io::Result<()> {
    let Setting { held, trusted, reports } = setting;
    let Held { listener, page, lifeline } = held;
    listener.wake_in_place();
    let supervisor = Supervisor {
        listener,
        page,
        _lifeline: lifeline,
        reports,
        trusted,
        threads: FxHashMap::default(),
        modules: FxHashMap::default(),
        files: Known::default(),
        executed: VecDeque::new(),
        memories: Memories::default(),
        peers: Peers::default(),
        janitor: Janitor::default(),
        interrupted: FxHashMap::default(),
    };
    std::thread::Builder::new().name("supervisor".into()).spawn(move || supervisor.run())?;
    Ok(())
}

struct Supervisor {
    listener: Listener,
    page: Page,
    /// The kernel closes it when the last thread of this process is gone, and not before.
    _lifeline: Lifeline,
    reports: Arc<Mutex<Reports>>,
    trusted: Arc<Trusted>,
    threads: FxHashMap<u32, Thread>,
    /// What each process has mapped of the trusted files, as long as that cannot change but by an exec.
    modules: FxHashMap<u32, Modules>,
    /// Files that make calls of their own, and those that do not.
    files: Known,
    /// The last execs, until it is known what became of them.
    executed: VecDeque<Execution>,
    /// The memories of processes.
    memories: Memories,
    /// The peers of datagrams so far.
    peers: Peers,
    /// Closes what was taken of a process by mistake.
    janitor: Janitor,
    /// By thread: the call that was told of last and did not go on, since a signal came before the answer.
    /// The kernel makes it anew. From Linux 5.19 on, no signal comes between (`WAIT_KILLABLE_RECV`).
    interrupted: FxHashMap<u32, (MonoNs, Told)>,
}

/// An exec of which it is not known yet whether it failed.
struct Execution {
    process: u32,
    /// The thread that asked.
    tid: u32,
    at: MonoNs,
    /// Where its stack began.
    stack: u64,
}

/// A thread, as it was looked up.
struct Thread {
    process: u32,
    since: MonoNs,
    /// The connection over which the collector has been told what is known of the process.
    introduced: Option<u32>,
    /// The thread asked for other ids, and the collector has not been told which it has.
    may_have_other_ids: bool,
}

/// What the collector is told of a process, once.
pub struct Introduction {
    /// What the kernel says here.
    pub seen: Seen,
    /// The process.
    pub pidfd: Option<OwnedFd>,
}

impl Introduction {
    /// Of a process that waits; of its program's file too, where the collector may not see that.
    pub fn of(process: u32, is_remote: bool, trusted: &Trusted) -> Self {
        let pidfd = procfs::open(process);
        let facts = pidfd.as_ref().and_then(kernel::facts);
        let ppid = facts.map(|facts| facts.ppid).or_else(|| Some(procfs::stat(process)?.ppid));
        let uids = facts.map(|facts| (facts.uids.real, facts.uids.effective));
        // Before Linux 6.13. It stands still, so its numbers are its own.
        let uids = uids.or_else(|| procfs::uids(process));
        let program = || {
            let image = format!("/proc/{process}/exe");
            let reason =
                Program::on(image.as_ref(), &Root::own(), On::Local).map(|program| program.reason.name);
            let is_known = reason.is_some_and(|reason| ASKED_ABOUT.contains(&reason));
            if !is_known && trusted.is_all_told_of(process) { Some(NO_SENSOR.name) } else { reason }
        };
        let inode = |kind| namespaces::inode_in(pidfd.as_ref()?, Some(Pid(process)), kind);
        let seen = Seen {
            ppid: ppid.map(Pid),
            uid: uids.map(|(real, _)| real),
            euid: uids.map(|(_, effective)| effective),
            instance: pidfd.as_ref().and_then(|pidfd| identity::instance_of(pidfd, Pid(process))),
            user_ns: inode(Kind::User),
            mnt_ns: inode(Kind::Mount),
            reason: if is_remote { program() } else { None },
            exe: procfs::exe(process).unwrap_or_default(),
        };
        Self { seen, pidfd }
    }
}

impl Supervisor {
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
        let asked = Asked::new(notified.arch, notified.number, notified.args);
        let is_exec = asked.is_some_and(|asked| asked.name.starts_with("execve"));
        let mut said = None;
        if let (Some(process), Some(asked)) = (process, &asked)
            && let Some(place) = self.past_hooks(asked.name, process, notified.address, is_exec)
            && let Some(mut told) = self.told(asked, notified.tid, process)
        {
            if self.is_told_already(notified.tid, &told) {
                said = Some(told);
            } else {
                told.before.extend(self.ids_after_change(notified.tid));
                self.tell_executed(process, notified.tid);
                let foreseen = foresee(&told, notified.tid, process);
                let introduction = self.introduced(notified.tid, process);
                // Its thread still waits for us, so all of this was read from the process that makes the
                // call. Where it does not, the thread was killed, or the holder answered and counted, or a
                // signal came.
                if self.listener.is_waiting(notified.id) {
                    // Before the call goes on: the process may end with it.
                    self.report((process, notified.tid), at, introduction, &told, foreseen, place);
                    said = Some(told);
                }
            }
        }
        // Whose they were is not known.
        if let (Some(process), unseen @ 1..) = (process, self.page.take_unseen()) {
            self.reports().lose(process, unseen);
        }
        let has_gone_on = self.listener.let_go_on(notified.id).is_ok();
        if let Some(said) = said {
            self.note_interrupted(notified.tid, said, has_gone_on);
        }
        self.page.note_answered(notified.id);
        if let Some(thread) = self.threads.get_mut(&notified.tid) {
            thread.may_have_other_ids |= asked.is_some_and(|asked| decode::changes_ids(asked.name));
        }
        if is_exec {
            // The next call is another program's, and may be another thread's.
            self.threads.remove(&notified.tid);
            if let Some(process) = process {
                self.threads.remove(&process);
                self.modules.remove(&process);
                self.memories.forget(process);
            }
        }
    }

    fn report(
        &mut self,
        (process, tid): (u32, u32),
        at: MonoNs,
        introduction: Option<Introduction>,
        told: &Told,
        foreseen: Option<Foreseen>,
        place: Option<Place>,
    ) {
        let &Told { ref before, kind, call, flags, ref payload, .. } = told;
        let Foreseen { errno, program } = foreseen.unwrap_or_default();
        let quiet = Head {
            time_ns: at.0,
            seq: 0,
            ret: 0,
            pid: process,
            tid,
            kind: kind as u16,
            call: 0,
            errno: 0,
            via: Via::Notify as u8,
            flags: 0,
        };
        let event = Head { call, errno, flags: flags & Flags::TRUNCATED, ..quiet };
        let mut reports = self.reports();
        reports.begin(process);
        if let Some(Introduction { seen, pidfd }) = introduction {
            reports.see(&seen, pidfd);
        }
        if let Some(program) = &program {
            reports.executed(at, program);
        }
        for noted in before {
            reports.record(&Head { kind: noted.kind as u16, ..quiet }, &noted.payload);
        }
        reports.record(&event, payload);
        if let Some(place) = place {
            reports.evident(at, call, &place);
        }
        let is_sent = reports.send(process);
        drop(reports);
        if let (false, Some(thread)) = (is_sent, self.threads.get_mut(&tid)) {
            // What went with the packet is to be told again.
            (thread.introduced, thread.may_have_other_ids) = (None, true);
        }
        if let Some(program) = program {
            if self.executed.len() >= MOST_EXECS {
                self.executed.pop_front();
            }
            self.executed.push_back(Execution { process, tid, at, stack: program.stack });
        }
    }

    /// Whether a call of the thread is the one that a signal kept from going on, and that was told of then.
    fn is_told_already(&self, tid: u32, told: &Told) -> bool {
        !self.interrupted.is_empty()
            && self.interrupted.get(&tid).is_some_and(|(at, last)| {
                let is_same = |last: &Told| (last.kind, last.call) == (told.kind, told.call);
                MonoNs::now().since(*at) < REMEMBERED_NS && is_same(last) && last.payload == told.payload
            })
    }

    /// Notes a call that was told of and did not go on; forgets it once it does.
    fn note_interrupted(&mut self, tid: u32, said: Told, has_gone_on: bool) {
        if !has_gone_on {
            if self.interrupted.len() >= MOST_INTERRUPTED {
                self.interrupted.clear();
            }
            self.interrupted.insert(tid, (MonoNs::now(), said));
        } else if self.is_told_already(tid, &said) {
            self.interrupted.remove(&tid);
        }
    }

    /// Tells what became of the last execs, before a call of the thread `tid` of a process is told of: what
    /// a program did comes after its start.
    ///
    /// The kernel gives each program a stack of its own. A thread that executes takes the number of its
    /// process's first one, so that only the same thread on the old stack tells of a failure.
    fn tell_executed(&mut self, process: u32, tid: u32) {
        let now = MonoNs::now();
        let executed = std::mem::take(&mut self.executed);
        for execution in executed {
            let stack = procfs::stack(execution.process).filter(|_| execution.stack != 0);
            let is_same_thread = (execution.process, execution.tid) == (process, tid);
            let has_begun = match stack {
                Some(stack) if stack != execution.stack => Some(true),
                Some(_) if is_same_thread => Some(false),
                None if procfs::stat(execution.process).is_none_or(|stat| stat.is_zombie) => None,
                _ => {
                    if now.since(execution.at) < EXEC_NS {
                        self.executed.push_back(execution);
                    }
                    continue;
                }
            };
            let mut reports = self.reports();
            reports.begin(execution.process);
            reports.begun(execution.at, has_begun);
            reports.send_word();
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
        self.modules.remove(&process);
        self.memories.forget(process);
        let may_have_other_ids = self.threads.get(&tid).is_some_and(|thread| thread.may_have_other_ids);
        if self.threads.len() >= MOST_REMEMBERED {
            self.threads.clear();
        }
        self.threads.insert(tid, Thread { process, since: now, introduced: None, may_have_other_ids });
        Some(process)
    }

    /// What is known of the process of a thread, once for each time that it is looked up.
    fn introduced(&mut self, tid: u32, process: u32) -> Option<Introduction> {
        let (connection, is_remote) = {
            let mut reports = self.reports();
            (reports.connection(), reports.is_remote())
        };
        let thread = self.threads.get_mut(&tid)?;
        if thread.introduced.replace(connection) == Some(connection) {
            return None;
        }
        Some(Introduction::of(process, is_remote, &self.trusted))
    }

    /// The ids of a thread that asked for others at its last call: whether it got them, its next one shows.
    fn ids_after_change(&mut self, tid: u32) -> Option<Noted> {
        let thread = self.threads.get_mut(&tid).filter(|thread| thread.may_have_other_ids)?;
        thread.may_have_other_ids = false;
        let ((uid, euid), (_, egid)) = (procfs::uids(tid)?, procfs::gids(tid)?);
        Some(decode::has_ids(uid, euid, egid))
    }

    /// `None` for a call that a hook in the process tells of, or that libc or the sensor makes for itself.
    /// For another one, where it was made, if the process has hooks and that is evidence.
    ///
    /// For an exec it is looked anew: of the last call of a program, the first may be long ago.
    fn past_hooks(&mut self, call: &str, process: u32, address: u64, is_exec: bool) -> Option<Option<Place>> {
        let files = &mut self.files;
        if let Some(modules) = self.modules.get_mut(&process).filter(|_| !is_exec) {
            return (!modules.tells_of(address)).then(|| modules.evident(call, process, address, files));
        }
        let Some(mut modules) = Modules::of(process, &self.trusted) else { return Some(None) };
        let place = (!modules.tells_of(address)).then(|| modules.evident(call, process, address, files));
        if modules.is_settled(address) && !is_exec {
            if self.modules.len() >= MOST_REMEMBERED {
                self.modules.clear();
            }
            self.modules.insert(process, modules);
        }
        place
    }

    /// The record of a call, with what its process's memory and /proc say while it waits.
    fn told(&mut self, asked: &Asked, tid: u32, process: u32) -> Option<Told> {
        let places = &mut ProcessPlaces { tid, process, peers: &mut self.peers, janitor: &self.janitor };
        decode::told(asked, &mut self.memories.of(process, tid), places)
    }
}
