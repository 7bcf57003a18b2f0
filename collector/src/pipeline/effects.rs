//! Effects: the meaning of a record for other processes, and the changes that the census gives.

use std::sync::Arc;
use std::time::Duration;

use wire::events::{Decoded, Kind, ProcessLimit, ProcessStart};
use wire::record::Head;

use super::conductor::Pipeline;
use crate::allowance::Resource;
use crate::census::Change;
use crate::census::image::{Asked, EndKind, ProcessImage};
use crate::census::reports::WaitReport;
use crate::enrich::process::Process;
use crate::enrich::record::Effect;
use crate::evasion::watch::Order;
use crate::event::Claimed;
use crate::ids::{ImageId, MonoNs, Pid};
use crate::system::kernel;

/// The doorman is waited for so long at a fork.
const CHILD_NS: u64 = 20_000_000;
/// And looked at so often.
const CHILD_PAUSE: Duration = Duration::from_micros(50);

impl Pipeline {
    /// Carries out the meaning of a record for other processes.
    pub(super) fn carry_out(
        &mut self,
        image: ImageId,
        head: &Head,
        at: MonoNs,
        effect: Effect,
        asked: Option<Asked>,
    ) {
        match effect {
            Effect::None | Effect::Forked(None) => {}
            Effect::ExecAsked => {
                let key = self.census.get(image).map(|known| known.key);
                let told_at = MonoNs(head.time_ns);
                let executed = key.and_then(|key| self.census.executions.take(key, told_at));
                let (path, arguments) = self.enricher.last_exec();
                // The kernel's word of an exec may be read after the hello of the program that it made, and
                // of a path that cannot be read nothing follows but an error.
                let has_failed = executed.as_ref().is_some_and(|known| known.has_begun == Some(false));
                let is_possible = |known: &&mut ProcessImage| {
                    !has_failed && at >= known.born && (known.ring.is_some() || !path.is_empty())
                };
                if let Some(known) = self.census.get_mut(image).filter(is_possible) {
                    // busybox executes itself so; to the collector that is its own file.
                    let own = known.process.as_ref().map(|process| Arc::clone(&process.who.program));
                    let own = own.filter(|_| known.ring.is_none() && path == b"/proc/self/exe");
                    let exec = (own.as_ref().map_or(path, |own| &*own.exe), arguments);
                    let mut asked = Asked::new(exec, head, at, known.asked.as_ref());
                    asked.executed = executed;
                    known.ask(asked);
                }
                self.tell_watch(Order::Look(image));
                self.report_mute(image);
            }
            // It has told of itself already, and may be gone by now.
            Effect::Forked(Some(child)) if asked.as_ref().and_then(|asked| asked.child) == Some(child) => {
                self.tell_child(image, child);
            }
            Effect::Forked(Some(child)) => {
                let is_proven = self.census.forked(image, child, asked, &mut self.rings);
                if matches!(hook_table::name(head.call), Some("clone" | "clone3")) {
                    self.census.has_cloned(image, child);
                }
                let is_told = self.tell_child(image, child);
                if is_told && !is_proven {
                    self.enricher.mark_claimed(Claimed::CHILD);
                }
                // posix_spawn(3): it has executed its program already.
                if let Some(child) = self.census.child_named(image, child) {
                    self.report_mute(child);
                }
            }
            Effect::ChildEnded(child, status, usage) => {
                let report = WaitReport { status, usage, is_launcher: false, at };
                self.census.child_ended(image, child, report, &mut self.rings);
            }
            Effect::Moved => {
                if let Some(moved) = self.enricher.take_moved() {
                    self.census.follow(image, &moved);
                }
            }
            Effect::Connecting => {
                if self.flushes.is_source(|| self.enricher.last_remote()) {
                    self.first_asked(at);
                }
            }
        }
        self.carry_out_changes();
    }

    /// Tells the process that an image of a namespace below signals or traces as it is numbered here.
    pub(super) fn tell_target(&mut self, image: ImageId, decoded: &Decoded<'_>) {
        let (kind, own) = match decoded {
            Decoded::ProcessSignal(sent) if sent.pidfd.0.is_none() => (Kind::ProcessSignal, sent.target),
            Decoded::ProcessTrace(traced) => (Kind::ProcessTrace, traced.target),
            Decoded::ProcessLimit(ProcessLimit { target: Some(target), .. }) => (Kind::ProcessLimit, *target),
            _ => return,
        };
        self.enricher.set_target(kind, self.census.number_here(image, own));
    }

    /// Waits a moment for the hello of a child, in a namespace below, that has come and gone: it alone tells
    /// the child's number here. The account of the image pays for the time.
    /// Before its fork is written: what is heard meanwhile may be an event.
    pub(super) fn await_child(&mut self, image: ImageId, Pid(own): Pid) {
        let Some(known) = self.census.get(image).filter(|image| image.is_below()) else { return };
        let account = Arc::clone(&known.account);
        let begun = MonoNs::now();
        let is_known = |pipeline: &Self| {
            i32::try_from(own).is_ok_and(|own| pipeline.census.number_here(image, own).is_some())
        };
        if is_known(self) || !account.has_time_to_ask(begun) {
            return;
        }
        while self.order.frontier.certain() < begun && MonoNs::now().since(begun) < CHILD_NS {
            self.hear_news();
            if is_known(self) {
                break;
            }
            std::thread::sleep(CHILD_PAUSE);
        }
        account.asked(begun, MonoNs::now());
    }

    /// Tells the number of a child as it is here; false where it has none that can be known.
    fn tell_child(&mut self, image: ImageId, Pid(own): Pid) -> bool {
        if !self.census.get(image).is_some_and(ProcessImage::is_below) {
            return true;
        }
        let here = i32::try_from(own).ok().and_then(|own| self.census.number_here(image, own));
        self.enricher.set_child(here);
        here.is_some()
    }

    /// A program's first record: the image before it in the same process is over.
    pub(super) fn start(&mut self, image: ImageId, start: &ProcessStart<'_>, at: MonoNs) {
        let before = self.census.before(image);
        let inherited = match before {
            Some(before) => {
                self.census.begin(before, &self.rings);
                self.hand_over(before, image, at)
            }
            None => self.census.spawned_from(image, start),
        };
        let has_other_rights = self.census.get(image).is_some_and(|image| image.has_other_rights);
        let inherited = inherited.map(|inherited| match has_other_rights {
            true => inherited.without_hearsay(),
            false => inherited,
        });
        let same_process = before.and(inherited.as_ref());
        let Some(who) = self.census.who_starts(image, start, same_process) else { return };
        let mut process = self.enricher.start(start, who, image, inherited.as_ref());
        self.census.place_program(image, &mut process, same_process.is_some(), start.real_uid.0);
        self.census.set_process(image, process);
    }

    /// Closes the descriptors of `before` that its process's exec of `after` closed; gives the picture that
    /// `after` inherits.
    pub(super) fn hand_over(&mut self, before: ImageId, after: ImageId, at: MonoNs) -> Option<Process> {
        let books = self.census.books(before, &self.rings).unwrap_or_default();
        let known = self.census.get_mut(before)?;
        known.after = Some(after);
        Some(self.enricher.replaced(known.process.as_mut()?, &books, after, at))
    }

    /// Carries out the effects that the census gave.
    pub(super) fn carry_out_changes(&mut self) {
        while self.census.has_changes() {
            self.carry_out_some();
        }
    }

    fn carry_out_some(&mut self) {
        for change in self.census.take_changes() {
            match change {
                Change::Made(image) => {
                    let Some(known) = self.census.get(image) else { continue };
                    self.order.add(image, known.account.share(Resource::Bytes));
                    let Some(pidfd) = &known.pidfd else { continue };
                    self.wires.deathwatch.watch(pidfd, image);
                    // The doorman, who may be asleep, tells of it later than its parent's wait does.
                    if kernel::is_dead(pidfd) {
                        self.census.end(image, EndKind::Death, MonoNs::now(), &mut self.rings);
                    } else if known.slot != Some(0) {
                        // A program, with slot 0, is looked at once its start was read.
                        self.watch(image);
                    }
                }
                Change::Numbered(image) => self.order.begins(image),
                Change::Ended(image, at) => {
                    self.tell_watch(Order::Forget(image));
                    self.order.end_at(image, at, self.census.is_read(image, &self.rings));
                }
                Change::Nonsense(ring) => self.nonsense.push(ring),
            }
        }
    }
}
