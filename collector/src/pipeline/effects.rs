//! Effects: the meaning of a record for other processes, and the changes that the census gives.

use wire::events::ProcessStart;
use wire::record::Head;

use super::conductor::Pipeline;
use crate::allowance::Resource;
use crate::census::Change;
use crate::census::image::Asked;
use crate::census::reports::WaitReport;
use crate::enrich::process::Process;
use crate::enrich::record::Effect;
use crate::event::Claimed;
use crate::ids::{ImageId, MonoNs};

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
                let path = self.enricher.last_path();
                if let Some(known) = self.census.get_mut(image) {
                    known.ask(Asked::new(path, head, at, known.asked.as_ref()));
                }
            }
            // It has told of itself already, and may be gone by now.
            Effect::Forked(Some(child)) if asked.as_ref().and_then(|asked| asked.child) == Some(child) => {}
            Effect::Forked(Some(child)) => {
                if !self.census.forked(image, child, asked, &mut self.rings) {
                    self.enricher.mark_claimed(Claimed::CHILD);
                }
            }
            Effect::ChildEnded(child, status, usage) => {
                let report = WaitReport { status, usage, is_launcher: false, at };
                self.census.child_ended(image, child, report, &mut self.rings);
            }
            Effect::Connecting => {
                if self.flushes.is_source(|| self.enricher.last_remote()) {
                    self.first_asked(at);
                }
            }
        }
        self.carry_out_changes();
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
        let process = self.enricher.start(start, who, image, inherited.as_ref());
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
        for change in self.census.take_changes() {
            match change {
                Change::Made(image) => {
                    let Some(known) = self.census.get(image) else { continue };
                    self.order.add(image, known.account.share(Resource::Bytes));
                    if let Some(pidfd) = &known.pidfd {
                        self.wires.deathwatch.watch(pidfd, image);
                    }
                }
                Change::Numbered(image) => self.order.begins(image),
                Change::Ended(image, at) => {
                    self.order.end_at(image, at, self.census.is_read(image, &self.rings));
                }
                Change::Nonsense(ring) => self.nonsense.push(ring),
            }
        }
    }
}
