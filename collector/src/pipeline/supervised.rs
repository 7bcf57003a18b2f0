//! Processes that a supervisor speaks of.

use std::time::Duration;

use super::conductor::Pipeline;
use crate::allowance::Account;
use crate::arrival::{Introduced, Seen};
use crate::door::identity::Identity;
use crate::enrich::blind::{Arguments, BlindProgram};
use crate::ids::{MonoNs, Pid, ProcessKey};
use crate::launch::protocol::CommandStarted;

/// The doorman is waited for so long: he has no turn for a while where all processors are busy.
const HELLO_NS: u64 = 200_000_000;
/// And looked at so often.
const HELLO_PAUSE: Duration = Duration::from_micros(50);

impl Pipeline {
    /// Takes in a process of the launcher's supervisor.
    pub(super) fn see(&mut self, process: ProcessKey, seen: Seen) {
        self.await_parent(process, seen.ppid, &Account::boundless());
        self.census.seen(process, seen, &mut self.rings);
        self.carry_out_changes();
    }

    /// Takes in a process of another supervisor, whose call waited until that was sent.
    pub(super) fn introduce(&mut self, introduced: Introduced) {
        let Identity { key, ppid, .. } = introduced.identity;
        self.await_parent(key, ppid, &introduced.account);
        self.census.introduce(introduced, &mut self.rings);
        self.carry_out_changes();
    }

    /// Waits a moment for the hello of the parent of a process that is not known: it was said before, and the
    /// process may have written into that one's ring. `account` pays for the time.
    fn await_parent(&mut self, process: ProcessKey, ppid: Option<Pid>, account: &Account) {
        let Some(parent) = ppid.map(|ppid| process.with_pid(ppid)) else { return };
        let begun = MonoNs::now();
        let is_known = |pipeline: &Self| {
            let census = &pipeline.census;
            census.live(process).is_some() || census.live(parent).is_some() || census.is_supervisor(&parent)
        };
        if is_known(self) || !account.has_time_to_ask(begun) {
            return;
        }
        while self.order.frontier.certain() < begun && MonoNs::now().since(begun) < HELLO_NS {
            self.hear_news();
            if is_known(self) {
                break;
            }
            std::thread::sleep(HELLO_PAUSE);
        }
        account.asked(begun, MonoNs::now());
    }

    /// Reports the program that a supervisor started.
    pub(super) fn begin_asked_about(
        &mut self,
        key: ProcessKey,
        started: CommandStarted,
        reason: &'static str,
    ) {
        let Some(image) = self.census.live(key) else { return };
        let CommandStarted { began_ns, argc, path, argv, .. } = started;
        let arguments = Arguments { argv: argv.into(), argc };
        let (exe, at) = (path.clone(), MonoNs(began_ns).max(self.order.frontier.delivered()));
        let path = path.into();
        let (gids, environment, is_asked_about) = (None, Vec::new(), true);
        let program = BlindProgram { path, exe, arguments, reason, gids, environment, at, is_asked_about };
        self.census.begin(image, &self.rings);
        self.become_blind(image, &program);
    }
}
