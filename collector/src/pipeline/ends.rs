//! Ends and losses: images that are over, programs that cannot be seen into, and events that never came.

use std::sync::Arc;

use super::conductor::Pipeline;
use super::session::Wish;
use crate::allowance::Resource;
use crate::census::Census;
use crate::census::image::{EndKind, ProcessImage};
use crate::census::life::Ledger;
use crate::census::verdict::{Evidence, Fate, Verdict};
use crate::door::news::Word;
use crate::enrich::Exit;
use crate::enrich::blind::BlindProgram;
use crate::enrich::process::Process;
use crate::ids::{ImageId, MonoNs, ProcessKey, RingIndex};
use crate::loss::LossReason;
use crate::rings::books::Books;
use crate::sinks::Haste;

/// At the end of the session, programs that live on and write without end are read for at most this long; and
/// for so long where a signal asked for the end.
const LAST_READ_NS: u64 = 2_000_000_000;
const HURRIED_READ_NS: u64 = 300_000_000;

/// Programs that are looked at again and again until they begin; the first makes way for one more.
const MOST_ASKING: usize = 64;

impl Pipeline {
    // ---- losses ----

    /// Notes a loss. It is reported at once, or when the last report of the image is a second old, or when
    /// the image ends.
    pub(super) fn lose(&mut self, image: ImageId, at: MonoNs, count: u64, reason: LossReason) {
        self.census.owe_loss(image, count, reason);
        if self.census.may_report_losses(image, at) {
            self.report_losses(image, at);
        }
    }

    /// Reports the losses of an image that are not reported yet.
    fn report_losses(&mut self, image: ImageId, at: MonoNs) {
        for (reason, count) in self.census.fresh_losses(image, &self.rings, at) {
            self.census.begin(image, &self.rings);
            self.census.count_lost(image, count);
            if let Some(process) = self.census.process_mut(image) {
                self.enricher.lost(process, at, count, reason);
            }
        }
    }

    /// Reports what was not kept because the user of an image has used up its part.
    fn report_limit(&mut self, image: ImageId, now: MonoNs) {
        let Some(known) = self.census.get_mut(image) else { return };
        let Some(process) = &mut known.process else { return };
        let refused = known
            .account
            .take_refused(Resource::Bytes)
            .saturating_add(known.account.take_refused(Resource::Images));
        if refused > 0 {
            self.enricher.lost(process, now, refused, LossReason::Limit);
            self.session.say_limit(known.account.peer);
        }
    }

    /// Reports the last losses of an image, with the events that the sensor numbered and that never came.
    fn report_last_losses(&mut self, image: ImageId, now: MonoNs) {
        if let Some((reason, count)) = self.census.missing(image, &self.rings) {
            self.census.owe_loss(image, count, reason);
        }
        self.report_losses(image, now);
    }

    /// Gives up the rings that turned out to hold nonsense.
    pub(super) fn give_up_nonsense(&mut self, now: MonoNs) {
        while let Some(ring) = self.nonsense.pop() {
            self.give_up(ring, now);
        }
    }

    /// Stops reading a ring that holds nonsense. Its unread records are lost.
    pub(super) fn give_up(&mut self, index: RingIndex, now: MonoNs) {
        if !self.rings.give_up(index) {
            return;
        }
        let Some(ring) = self.rings.get(index) else { return };
        for (slot, image) in ring.slots().collect::<Vec<_>>() {
            self.deliver_all(image);
            let Some(books) = self.rings.get(index).map(|ring| Books::of(ring.mapping(), slot)) else {
                continue;
            };
            let lost = self.census.unreadable(image, &books);
            self.lose(image, now, lost, LossReason::CorruptRing);
        }
    }

    // ---- ends ----

    /// Concludes the end of an image, or holds it back until it can be.
    pub(super) fn conclude(&mut self, image: ImageId, at: MonoNs, now: MonoNs) {
        let Some(account) = self.census.get(image).map(|image| Arc::clone(&image.account)) else { return };
        let is_last = self.session.is_all_told && self.session.haste == Haste::Patient;
        if !account.has_time(now) && !is_last {
            // The ends of its other processes have taken the account's part of this second.
            return self.order.hold(image, now);
        }
        let begun = MonoNs::now();
        self.conclude_one(image, at, now);
        account.ended(begun, MonoNs::now());
    }

    fn conclude_one(&mut self, image: ImageId, at: MonoNs, now: MonoNs) {
        let evidence = Evidence {
            now,
            certain: self.order.frontier.certain(),
            is_ending: self.session.wish == Wish::End,
            is_all_told: self.session.is_all_told,
        };
        let verdict = self.census.conclude(image, &evidence, &self.rings);
        let is_wondering = |census: &mut Census| !evidence.is_all_told && census.wonder(image, now);
        match verdict {
            Verdict::Died(_) if is_wondering(&mut self.census) => self.order.hold(image, now),
            Verdict::Wait => self.order.hold(image, now),
            Verdict::WaitFor { before, heir } => {
                if heir {
                    self.inherit_at_death(before, image, at);
                }
                if let Some(before) = self.census.get_mut(before) {
                    before.after = Some(image);
                }
                match self.conclude_before(image, at, now) {
                    true => self.conclude_one(image, at, now),
                    false => self.order.hold(image, now),
                }
            }
            Verdict::Replaced => {
                self.report_last_losses(image, now);
                self.report_further_evasion(image, at);
                self.census.close_books(image, &self.rings);
                self.forget(image);
            }
            Verdict::Died(fate) => {
                self.report_death(image, at, now, &fate);
                self.forget(image);
            }
        }
    }

    /// Concludes the earlier images of the same process: their ends were noticed when the doorman heard of
    /// the next image, which may be later than the process died. False where one of them must wait.
    fn conclude_before(&mut self, image: ImageId, at: MonoNs, now: MonoNs) -> bool {
        let mut chain = Vec::new();
        let mut earliest = image;
        while let Some(before) = self.census.before(earliest) {
            if !self.order.is_over(before) || chain.contains(&before) {
                return false;
            }
            chain.push(before);
            earliest = before;
        }
        while let Some(before) = chain.pop() {
            self.deliver_all(before);
            self.conclude_one(before, at, now);
            if self.census.get(before).is_some() {
                return false;
            }
        }
        true
    }

    /// An image died before it told of itself: it takes the place of the one before it.
    fn inherit_at_death(&mut self, before: ImageId, image: ImageId, at: MonoNs) {
        self.deliver_all(before);
        if let Some(inherited) = self.hand_over(before, image, at)
            && let Some(known) = self.census.get_mut(image)
        {
            let who = (*inherited.who).clone();
            known.process = Some(inherited.fork(who, image));
        }
    }

    /// Reports the end of a process, and everything that ends with it.
    fn report_death(&mut self, image: ImageId, at: MonoNs, now: MonoNs, fate: &Fate) {
        self.census.begin(image, &self.rings);
        self.report_blind(image);
        let books = self.census.books(image, &self.rings).unwrap_or_default();
        let enricher = &mut self.enricher;
        let surplus = self.census.process_mut(image).map(|process| enricher.close_all(process, &books, at));
        if let Some(surplus @ 1..) = surplus {
            self.census.owe_loss(image, surplus, LossReason::CorruptRing);
        }
        self.report_last_losses(image, now);
        self.report_further_evasion(image, at);
        let ledger = self.census.close_books(image, &self.rings);
        let exit = exit_of(fate, &ledger);
        // Of a process that was gone before anything was known of it, and that no event told of, the end is
        // nobody's.
        let is_unknown =
            self.census.get(image).is_some_and(|it| (it.ring, it.ppid, it.uid) == (None, None, None));
        let is_somebodys = |process: &&mut Process| !is_unknown || process.is_told_of;
        if let Some(process) = self.census.process_mut(image).filter(is_somebodys) {
            self.enricher.exited(process, at, &exit);
        }
    }

    /// Reports that an image has become a program that cannot be seen into, where it has.
    fn report_blind(&mut self, image: ImageId) {
        self.report_unseen_of(image);
        let is_by_hook = self
            .census
            .get(image)
            .and_then(|image| image.asked.as_ref())
            .is_some_and(|asked| asked.is_by_hook);
        if let Some(blind) = self.census.take_blind(image, MonoNs::now()) {
            if is_by_hook {
                self.suspect_exec(image, &blind);
            }
            self.become_blind(image, &blind);
        }
    }

    /// The same as soon as the program is known to be mute: then no hello is waited for, and the report
    /// follows its exec.
    pub(super) fn report_mute(&mut self, image: ImageId) {
        self.try_mute(image);
        if self.census.may_become_mute(image, MonoNs::now()) {
            self.session.asking.push_back(image);
            if self.session.asking.len() > MOST_ASKING {
                self.session.asking.pop_front();
            }
        }
    }

    /// Looks again at the programs that were asked for and have not begun.
    pub(super) fn look_for_mute(&mut self, now: MonoNs) {
        for _ in 0..self.session.asking.len() {
            let Some(image) = self.session.asking.pop_front() else { return };
            self.try_mute(image);
            if self.census.may_become_mute(image, now) {
                self.session.asking.push_back(image);
            }
        }
    }

    /// Reports the mute program that an image became before a call that the kernel asked about.
    pub(super) fn report_mute_before(&mut self, image: ImageId) {
        let delivered = self.order.frontier.delivered();
        if let Some(program) = self.census.take_mute_before(image) {
            let at = program.at.max(delivered);
            self.become_blind(image, &BlindProgram { at, ..program });
        }
    }

    /// Word of what became of an exec: its program is told of before what comes next.
    pub(super) fn hear_begun(&mut self, process: ProcessKey, at: MonoNs, has_begun: Option<bool>) {
        if let Some(image) = self.census.decide(process, at, has_begun) {
            self.try_mute(image);
        }
    }

    fn try_mute(&mut self, image: ImageId) {
        let delivered = self.order.frontier.delivered();
        if let Some(program) = self.census.take_mute(image, &self.rings) {
            let at = program.at.max(delivered);
            self.become_blind(image, &BlindProgram { at, ..program });
        }
    }

    /// Forgets an image, and its ring if no process is left that could write to it.
    fn forget(&mut self, image: ImageId) {
        self.publish();
        let ring = self.census.remove(image, &mut self.rings);
        self.order.remove(image);
        self.carry_out_changes();
        if let Some(ring) = ring.and_then(|ring| self.rings.remove(ring)) {
            self.wires.reply.leave(Word::Drop(ring.id));
            self.session.has_left_word = true;
        }
    }

    // ---- now and then ----

    /// Reports losses and blind programs, gives memory of idle rings back, and looks for rings without a
    /// process.
    pub(super) fn audit(&mut self, now: MonoNs) {
        self.enricher.clock.follow();
        let images: Vec<ImageId> = self.census.iter().map(|image| image.id).collect();
        for image in images {
            if self.census.may_report_losses(image, now) {
                self.report_losses(image, now);
                self.report_limit(image, now);
            }
            if self.census.may_be_blind(image, now) && !self.census.wonder(image, now) {
                self.report_blind(image);
            }
        }
        for ring in self.rings.indices() {
            if let Some(ring) = self.rings.get_mut(ring) {
                ring.punch_if_idle(now);
            }
        }
        self.end_abandoned(now);
    }

    /// Ends the images whose ring no process has mapped any more.
    fn end_abandoned(&mut self, now: MonoNs) {
        for image in self.census.abandoned(&self.rings, now) {
            self.census.end(image, EndKind::Death, now, &mut self.rings);
        }
        self.carry_out_changes();
    }

    // ---- out ----

    /// Sends the batch to the stages and outputs.
    pub(super) fn publish(&mut self) {
        self.note_written();
        self.outbox.send_sealed(self.enricher.take_sealed());
        if self.enricher.batch.is_empty() {
            return;
        }
        if self.session.wish == Wish::End {
            self.outbox.wait_for_room(self.session.haste);
        } else {
            self.outbox.wait_a_little();
        }
        let batch = self.enricher.take_batch(self.outbox.empty_batch());
        let census = &self.census;
        let spare = self.outbox.send(batch, |image| census.get(image).map(|image| image.delivered));
        if let Some(spare) = spare {
            self.enricher.reuse(spare);
        }
    }

    /// Notes in the slots what every output is done with: the collector that may have to follow this one
    /// counts the rest as lost with it.
    pub(super) fn note_written(&mut self) {
        for (image, delivered) in self.outbox.written() {
            if let Some(ProcessImage { ring: Some(ring), slot: Some(slot), .. }) = self.census.get(image) {
                self.rings.note_delivered(*ring, *slot, delivered);
            }
        }
    }

    /// The last rounds: delivers everything that is there, and reports every process that is dead.
    pub fn finish(&mut self) {
        let tails: Vec<(RingIndex, u64)> =
            self.rings.iter().map(|(ring, known)| (ring, known.track.tail())).collect();
        let now = MonoNs::now();
        for image in self.census.unnoticed_deaths() {
            self.census.end(image, EndKind::Death, now, &mut self.rings);
        }
        self.carry_out_changes();
        self.end_abandoned(now);
        let deadline = now.plus(match self.session.haste {
            Haste::Patient => LAST_READ_NS,
            Haste::Hurried => HURRIED_READ_NS,
        });
        let numbered = self.census.numbered(&self.rings);
        let is_read = loop {
            let round = self.round(MonoNs::now());
            let is_done = tails
                .iter()
                .all(|(ring, tail)| self.rings.get(*ring).is_none_or(|ring| ring.has_read(*tail)));
            let is_blocked = !round.has_read && !round.has_more;
            if is_done || is_blocked || MonoNs::now() > deadline {
                break is_done || is_blocked;
            }
        };
        let now = MonoNs::now();
        self.let_in_inner(MonoNs::MAX);
        // First the words of parents on their children, which are held back for that.
        self.deliver_due(now, MonoNs::MAX);
        // Children that were found meanwhile.
        self.end_abandoned(now);
        self.session.is_all_told = true;
        self.deliver_due(now, MonoNs::MAX);
        self.report_unseen(MonoNs::MAX);
        self.report_evasion(MonoNs::MAX);
        self.report_unseen_command();
        if !is_read {
            // The time was up: what was numbered before the end and is still in the rings will not be read.
            for (image, numbers) in numbered {
                let unread = self.census.undelivered(image, numbers, &self.rings);
                self.census.owe_loss(image, unread, LossReason::SessionEnd);
            }
        }
        self.audit(now);
        for image in self.census.iter().map(|image| image.id).collect::<Vec<_>>() {
            self.report_losses(image, now);
            self.report_limit(image, now);
        }
        self.publish();
    }

    /// CMD ended and no sensor in it said hello: only the launcher knows that it ran.
    fn report_unseen_command(&mut self) {
        let Some((end, at)) = self.session.unseen_command.as_ref().and_then(|command| command.end) else {
            return;
        };
        self.tell_command();
        let Some(command) = self.session.unseen_command.take() else { return };
        if self.census.has_seen(&ProcessKey::here(command.pid())) {
            // The kernel asked about its calls: its image has ended with its own report.
            return;
        }
        let mut process = command.process();
        let exit = Exit {
            wait_status: Some(end.wait_status),
            user_ns: Some(end.user_us.saturating_mul(1000)),
            system_ns: Some(end.system_us.saturating_mul(1000)),
            max_rss: Some(end.max_rss_kib.saturating_mul(1024)),
            ..Exit::default()
        };
        self.enricher.exited(&mut process, at, &exit);
    }
}

/// The end of a process as its event shows it.
fn exit_of(fate: &Fate, ledger: &Ledger) -> Exit {
    Exit {
        wait_status: fate.wait_status,
        user_ns: fate.user_ns,
        system_ns: fate.system_ns,
        max_rss: fate.max_rss,
        sensor_ns: ledger.sensor_ns,
        calls: ledger.calls,
        events: ledger.events,
        lost: ledger.lost,
    }
}
