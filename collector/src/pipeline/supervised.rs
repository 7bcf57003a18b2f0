//! Processes that a supervisor speaks of.

use std::time::Duration;

use wire::events::{Kind, Within};
use wire::record::{Flags, Head};

use super::conductor::{MOST_SENT, Pipeline};
use super::inner::Inner;
use super::suspicions::Suspicion;
use crate::allowance::Account;
use crate::arrival::{Arrival, Introduced, Numbering, Origin, Seen, Sent};
use crate::census::image::ProcessImage;
use crate::door::identity::Identity;
use crate::enrich::blind::{Arguments, BlindProgram};
use crate::ids::{ImageId, MonoNs, Pid, ProcessKey};
use crate::launch::protocol::CommandStarted;
use crate::loss::LossReason;

/// The doorman is waited for so long: he has no turn for a while where all processors are busy.
const HELLO_NS: u64 = 200_000_000;
/// And looked at so often.
const HELLO_PAUSE: Duration = Duration::from_micros(50);

impl Pipeline {
    /// Takes in the records of origins that are no rings. True if there were any.
    pub(super) fn take_sent(&mut self) -> bool {
        // While a process waits for its parent's hello, what was sent later is not its turn.
        if std::mem::replace(&mut self.is_taking, true) {
            return false;
        }
        let mut has_come = false;
        let is_all = self.wires.sent_rx.len() <= MOST_SENT;
        for sent in self.wires.sent_rx.clone().try_iter().take(MOST_SENT) {
            (has_come, self.has_other_origins) = (true, true);
            match sent {
                Sent::SupervisorGone { process } => self.census.note_supervisor(process, true),
                Sent::Introduced(introduced) => self.introduce(*introduced),
                Sent::Began { process, started, reason } => self.begin_asked_about(process, *started, reason),
                Sent::Seen { process, seen } if seen.is_hooked => self.inner.note(process, seen),
                Sent::Seen { process, seen } => self.see(process, seen),
                Sent::Executed { process, at, program } => self.census.executions.note(process, at, program),
                Sent::Begun { process, at, has_begun } => self.hear_begun(process, at, has_begun),
                Sent::Record { process, head, payload, .. } if head.flags & Flags::INNER != 0 => {
                    self.take_inner(Inner { process, head, payload });
                }
                Sent::Record { process, instance, head, payload } => {
                    let origin = Origin::Notify { process, instance };
                    self.arrive(&Arrival { origin, head, payload: &payload });
                }
                Sent::Evident { process, at, evidence } => {
                    self.suspicions.push(Suspicion { process, at, evidence, looked_at: None });
                }
                Sent::Lost { process, at, count, reason } => {
                    let image = self.census.notified(process, &mut self.rings);
                    self.carry_out_changes();
                    self.lose(image, at, count, reason);
                }
            }
        }
        self.is_taking = false;
        if is_all {
            self.inner.come = self.order.frontier.certain();
        }
        has_come
    }

    /// Takes in a process of the launcher's supervisor.
    pub(super) fn see(&mut self, process: ProcessKey, seen: Seen) {
        self.await_parent(process, seen.ppid, &Account::boundless());
        self.census.seen(process, seen, &mut self.rings);
        self.carry_out_changes();
    }

    /// Takes in a process of another supervisor, whose call waited until that was sent.
    pub(super) fn introduce(&mut self, introduced: Introduced) {
        let Identity { key, ppid, .. } = introduced.identity;
        // Meanwhile all others would wait.
        if !introduced.is_first {
            self.await_parent(key, ppid, &introduced.account);
        }
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
        while MonoNs::now().since(begun) < HELLO_NS {
            let deathwatch = &self.wires.deathwatch;
            let is_told = deathwatch.has_told_all() || deathwatch.told_until() >= begun;
            self.hear_news();
            if is_told || is_known(self) {
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
        // A program in which a sensor is tells of itself.
        let is_unknown = |known: &ProcessImage| known.ring.is_none() && known.process.is_none();
        if !self.census.get(image).is_some_and(is_unknown) {
            return;
        }
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

impl Pipeline {
    /// Takes in a call, until its turn.
    pub(super) fn take_inner(&mut self, inner: Inner) {
        if let Err(Inner { process, head, .. }) = self.inner.push(inner)
            && let Some(image) = self.census.live(process)
        {
            self.lose(image, MonoNs(head.time_ns), 1, LossReason::RingFull);
        }
    }

    /// Lets in the calls up to `horizon` of which no hook tells, before anything of that time is delivered:
    /// all programs are known that had begun by then, and what their threads said has been read. One of a
    /// process that is not known is left out: no hook of it has spoken.
    pub(super) fn let_in_inner(&mut self, horizon: MonoNs) {
        for inner in self.inner.due(horizon) {
            let (process, at) = (inner.process, MonoNs(inner.head.time_ns));
            if let Some(seen) = self.inner.seen.get(&process) {
                self.census.confirm_hooked(process, seen, &mut self.rings);
                self.carry_out_changes();
            }
            let Some(image) = self.census.image_at(process, at) else { continue };
            let ring = self.census.get(image).and_then(|image| self.rings.get(image.ring?));
            if ring.is_some_and(|ring| !ring.was_read_until(at)) {
                self.inner.held_up.push(inner);
                continue;
            }
            self.inner.seen.remove(&process);
            if self.census.leaves_to_us(image, &inner.head, &self.rings) {
                let origin = Origin::Notify { process, instance: None };
                self.arrive(&Arrival { origin, head: inner.head, payload: &inner.payload });
            }
        }
        let held_up = self.inner.held_up.iter().map(|inner| MonoNs(inner.head.time_ns)).min();
        self.inner.until = horizon.min(self.inner.come).min(held_up.unwrap_or(MonoNs::MAX));
    }

    /// Notes in which function a thread is. False for another record.
    pub(super) fn notes_within(&mut self, image: ImageId, arrival: &Arrival<'_>) -> bool {
        let Arrival { origin, head, payload } = arrival;
        let is_ring = matches!(origin, Origin::Ring { .. });
        if !is_ring || origin.numbering().kind_of(head) != Some(Kind::Within) {
            return false;
        }
        match wire::codec::decode::<Within>(payload) {
            Ok((within, _)) => self.census.note_within(image, head, within.row, self.inner.until),
            Err(_) => self.census.count_undecoded(image, false),
        }
        true
    }

    /// Whether a record is a call of libc's in a program that is about to be another one, whose loader may
    /// have made it.
    pub(super) fn may_be_anothers(&self, image: ImageId, numbering: Numbering, head: &Head) -> bool {
        numbering == Numbering::None && head.flags & Flags::INNER != 0 && self.census.is_leaving(image)
    }
}
