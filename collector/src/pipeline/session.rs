//! The state of the session: whether and how it ends, and CMD as long as it has not been seen.

use std::collections::VecDeque;

use rustc_hash::FxHashSet;

use crate::allowance::Peer;
use crate::door::news::Unseen;
use crate::enrich::blind::{Arguments, BlindProgram};
use crate::enrich::process::Process;
use crate::event::{Claimed, Comm, Facts, Program, Who};
use crate::ids::{ImageId, MonoNs, Pid, ProcessKey};
use crate::launch::protocol::{CommandStarted, Reaped};
use crate::shell::failure::say;
use crate::sinks::Haste;

/// Whether the session ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wish {
    /// It goes on.
    #[default]
    GoOn,
    /// It ends once no process is known.
    EndWhenIdle,
    /// It ends.
    End,
}

/// CMD, as long as no sensor in it has said hello.
#[derive(Debug)]
pub struct UnseenCommand {
    /// As the launcher started it.
    pub started: CommandStarted,
    /// Its end, by the launcher, and when that was heard.
    pub end: Option<(Reaped, MonoNs)>,
    /// It is reported as a program that cannot be seen into: it said so, or a process that it made was seen.
    pub is_told: bool,
}

impl UnseenCommand {
    /// CMD, which has just been started.
    pub fn new(started: CommandStarted) -> Self {
        Self { started, end: None, is_told: false }
    }

    /// Its process.
    pub fn pid(&self) -> Pid {
        Pid(self.started.pid.cast_unsigned())
    }

    /// As its events show it: only the launcher knows that it runs.
    pub fn process(&self) -> Process {
        let CommandStarted { path, argv, .. } = &self.started;
        let program = Program::new(self.pid(), path.as_slice().into(), argv.as_slice().into(), None);
        let program = program.with(Facts { comm: Comm::of_path(path), ..Facts::default() });
        let who = Who {
            program,
            ppid: Some(Pid(std::os::unix::process::parent_id())),
            uid: Some(rustix::process::getuid().as_raw()),
            euid: Some(rustix::process::geteuid().as_raw()),
            ..Who::default()
        };
        Process::new(who, ImageId::NONE)
    }

    /// Whether it made the process `key` of the user `uid`, whose parent is `ppid`. That is the process's own
    /// word where it is gone; a process of this user could make CMD do as it says, too (ptrace(2)).
    pub fn is_parent_of(
        &self,
        key: ProcessKey,
        ppid: Option<Pid>,
        uid: Option<u32>,
        claimed: Claimed,
    ) -> bool {
        let is_ours = uid == Some(rustix::process::getuid().as_raw());
        key.is_visible() && ppid == Some(self.pid()) && (is_ours || !claimed.has(Claimed::PPID))
    }

    /// Its arguments.
    pub fn arguments(&self) -> Arguments {
        Arguments { argv: self.started.argv.as_slice().into(), argc: self.started.argc }
    }

    /// As a program that cannot be seen into, for this reason.
    pub fn program(&self, reason: &'static str, is_asked_about: bool) -> BlindProgram {
        let CommandStarted { began_ns, path, .. } = &self.started;
        let (exe, path, at) = (path.clone(), path.as_slice().into(), MonoNs(*began_ns));
        let gids = (rustix::process::getgid().as_raw(), rustix::process::getegid().as_raw());
        let (arguments, gids, environment) = (self.arguments(), Some(gids), Vec::new());
        BlindProgram { path, exe, arguments, reason, gids, environment, at, is_asked_about }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct SessionState {
    /// Whether it ends.
    pub wish: Wish,
    /// How long its end may take.
    pub haste: Haste,
    /// Every record was delivered, and no word of an end will come any more.
    pub is_all_told: bool,
    /// CMD.
    pub unseen_command: Option<UnseenCommand>,
    /// Programs that said that they cannot be seen into, and when that was heard: their execs are delivered
    /// first.
    pub unseen: VecDeque<(MonoNs, Box<Unseen>)>,
    /// Images that have asked for a program, until that is known to be static or has said hello.
    pub asking: VecDeque<ImageId>,
    /// The doorman has been left word, and is to be alarmed.
    pub has_left_word: bool,
    /// Users that are said to have used up their part, each once.
    limited: FxHashSet<Option<u32>>,
}

/// Users that are told of, see [`SessionState::say_limit`].
const MOST_LIMITED: usize = 8;

impl SessionState {
    /// Says, once, that a user has used up its part.
    pub fn say_limit(&mut self, peer: Peer) {
        if self.limited.len() < MOST_LIMITED && self.limited.insert(peer.uid) {
            say(&format!(
                "{peer} has used up its part of the collector's memory; paths behind its descriptors are missing \
                 (sensor.loss, limit)"
            ));
        }
    }
}
