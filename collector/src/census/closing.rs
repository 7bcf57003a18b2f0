//! The books of an image: losses as they happen, records that never came, and its process's ledger at the
//! end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustc_hash::FxHashMap;
use wire::ring::layout::Loss;

use super::blind;
use super::executions::Execution;
use super::image::{Asked, ProcessImage};
use super::life::Ledger;
use super::register::Census;
use super::unreported::Losses;
use crate::enrich::blind::BlindProgram;
use crate::ids::{ImageId, MonoNs, RingIndex};
use crate::loss::LossReason;
use crate::rings::Rings;
use crate::rings::books::{self, Books};
use crate::rings::ring::Ring;
use crate::system::examiner::{Answer, PATIENCE_NS};
use crate::system::kernel;
use crate::system::procfs;

/// The longest time that a program takes to say hello, where only the hello tells that it was started.
const START_NS: u64 = 10_000_000_000;

/// At the end of the session, the reason why a program is blind is waited for so long.
const LAST_WAIT: Duration = Duration::from_millis(250);

impl Census {
    // ---- what was delivered and lost ----

    /// Counts a record that goes on to the enricher.
    #[inline]
    pub fn count_delivered(&mut self, id: ImageId, is_numbered: bool) {
        let Some(image) = self.get_mut(id) else { return };
        if !is_numbered {
            image.unstamped += 1;
            return;
        }
        image.delivered += 1;
        let life = image.life;
        self.lives.add(life, Ledger { events: 1, ..Ledger::default() });
    }

    /// Takes back that a numbered record went on: the outputs had no room for its account's. A loss, which
    /// [`Self::fresh_losses`] gives.
    pub fn count_refused(&mut self, id: ImageId) {
        let Some(image) = self.get_mut(id) else { return };
        image.unreported.add(LossReason::OverShare, 1);
        image.unfinished = image.unfinished.saturating_add(1);
        image.delivered = image.delivered.saturating_sub(1);
        let life = image.life;
        self.lives.take_back(life);
    }

    /// Counts a record that could not be decoded: a loss, which [`Self::fresh_losses`] gives.
    pub fn count_undecoded(&mut self, id: ImageId, is_numbered: bool) {
        if let Some(image) = self.get_mut(id) {
            image.unreported.add(LossReason::CorruptRing, 1);
            // Only a numbered record leaves a gap in the numbers.
            image.malformed = image.malformed.saturating_add(u64::from(is_numbered));
        }
    }

    /// Counts numbers whose records were given up.
    pub fn count_unfinished(&mut self, id: ImageId, count: u64) {
        if let Some(image) = self.get_mut(id) {
            image.unfinished = image.unfinished.saturating_add(count);
        }
    }

    /// Adds a loss to a process's ledger.
    pub fn count_lost(&mut self, id: ImageId, count: u64) {
        if let Some(life) = self.get(id).map(|image| image.life) {
            self.lives.add(life, Ledger { lost: count, ..Ledger::default() });
        }
    }

    // ---- books ----

    /// The sensor's counts of an image's losses.
    fn losses(&self, image: &ProcessImage, rings: &Rings) -> Option<[u64; Loss::ALL.len()]> {
        if let Some(books) = &image.books {
            return Some(books.lost);
        }
        Some(books::losses(rings.get(image.ring?)?.memory(), image.slot?))
    }

    /// Numbers of an image whose records will not come.
    pub fn gone(&self, id: ImageId, rings: &Rings) -> Option<u64> {
        let image = self.get(id)?;
        Some(image.gone(&self.losses(image, rings)?))
    }

    /// The books of an image's process; `None` for one that never had a slot.
    pub fn books(&self, id: ImageId, rings: &Rings) -> Option<Books> {
        let image = self.get(id)?;
        if image.books.is_some() {
            return image.books.clone();
        }
        rings.books(image.ring?, image.slot?)
    }

    /// The same without what they say of descriptors, of which there may be many.
    pub fn brief_books(&self, id: ImageId, rings: &Rings) -> Option<Books> {
        let image = self.get(id)?;
        match &image.books {
            Some(books) => Some(books.clone().without_descriptors()),
            None => rings.brief_books(image.ring?, image.slot?),
        }
    }

    /// Frees the slots of fork children that have ended and whose records have all been read.
    pub fn free_slots(&mut self, rings: &mut Rings) {
        for id in self.ended.clone() {
            let Some(ProcessImage { ring: Some(ring), slot: Some(slot @ 1..), .. }) = self.get(id) else {
                continue;
            };
            let (ring, slot) = (*ring, *slot);
            if self.is_read(id, rings) {
                let books = self.books(id, rings);
                if let Some(image) = self.get_mut(id) {
                    image.keep_books(books);
                }
                if let Some(ring) = rings.get_mut(ring) {
                    ring.free_slot(slot);
                }
            }
        }
    }

    /// Notes a loss that the collector found, which [`Self::fresh_losses`] gives.
    pub fn owe_loss(&mut self, id: ImageId, count: u64, reason: LossReason) {
        if let Some(image) = self.get_mut(id) {
            image.unreported.add(reason, count);
        }
    }

    /// Whether the last report of an image's losses is a second old.
    pub fn may_report_losses(&self, id: ImageId, now: MonoNs) -> bool {
        self.get(id).is_some_and(|image| image.unreported.is_due(now))
    }

    /// The losses of an image that are not reported yet, each reason once: those that its sensor counted, and
    /// those that the collector found. They are to be reported `now`.
    pub fn fresh_losses(&mut self, id: ImageId, rings: &Rings, now: MonoNs) -> Losses {
        let counted = self.get(id).and_then(|image| self.losses(image, rings));
        let Some(image) = self.get_mut(id) else { return Losses::new() };
        if let Some(lost) = counted {
            let mut is_fresh = false;
            for (cause, count) in image.fresh_losses(&lost) {
                is_fresh |= count > 0;
                image.unreported.add(cause.into(), count);
            }
            if is_fresh
                && let (Some(slot), Some(ring)) = (image.slot, image.ring.and_then(|ring| rings.get(ring)))
            {
                // For the collector that may have to follow this one.
                let reported = lost.iter().fold(0, |sum: u64, lost| sum.saturating_add(*lost));
                ring.memory().slot(slot).reported.store(reported, Ordering::Relaxed);
            }
        }
        image.unreported.take(now)
    }

    /// The events that the sensor numbered and that never came, and why; counted as given up.
    pub fn missing(&mut self, id: ImageId, rings: &Rings) -> Option<(LossReason, u64)> {
        let books = self.brief_books(id, rings)?;
        let image = self.get_mut(id)?;
        let is_corrupt = rings.get(image.ring?)?.is_corrupt;
        let missing = image.missing(&books);
        if missing == 0 {
            return None;
        }
        image.unfinished = image.unfinished.saturating_add(missing);
        let reason = match (is_corrupt, image.is_inherited) {
            (true, _) => LossReason::CorruptRing,
            (false, true) => LossReason::CollectorDied,
            (false, false) => LossReason::KilledWriter,
        };
        Some((reason, if is_corrupt { missing.min(u64::from(u32::MAX)) } else { missing }))
    }

    /// The images that still write, and how many numbers each has given to its events.
    pub fn numbered(&self, rings: &Rings) -> Vec<(ImageId, u64)> {
        let books = |image: &ProcessImage| Some((image.id, self.brief_books(image.id, rings)?.seq));
        self.iter().filter_map(books).collect()
    }

    /// Of the first `numbers` events of an image, those that were neither delivered nor counted as lost.
    pub fn undelivered(&self, id: ImageId, numbers: u64, rings: &Rings) -> u64 {
        let Some(image) = self.get(id) else { return 0 };
        let gone = self.gone(id, rings).unwrap_or_default();
        // A hostile process may have written any number there.
        numbers.saturating_sub(gone.saturating_add(image.delivered)).min(u64::from(u32::MAX))
    }

    /// The events that a writer of a ring that is given up had numbered, and that cannot be read; counted as
    /// malformed.
    pub fn unreadable(&mut self, id: ImageId, books: &Books) -> u64 {
        let Some(image) = self.get_mut(id) else { return 0 };
        // A number that was scribbled over too says nothing.
        let missing = image.missing(books).clamp(1, u64::from(u32::MAX));
        image.malformed = image.malformed.saturating_add(missing);
        missing
    }

    /// Adds the cost of an image's calls to its process's ledger, and gives that.
    pub fn close_books(&mut self, id: ImageId, rings: &Rings) -> Ledger {
        let books = self.books(id, rings);
        let Some(image) = self.get(id) else { return Ledger::default() };
        let (life, costs) = (image.life, image.costs(books.as_ref()));
        self.lives.add(life, costs);
        self.lives.ledger(life)
    }

    // ---- now and then ----

    /// Images without a pidfd whose ring no process has mapped any more: their processes are dead. One that
    /// asked for a program may be on its way there. Such images are processes of another pid namespace, and
    /// children that only their ring names.
    pub fn abandoned(&self, rings: &Rings, now: MonoNs) -> Vec<ImageId> {
        let mut by_ring: FxHashMap<RingIndex, bool> = FxHashMap::default();
        let mut found = Vec::new();
        for image in self.iter() {
            let is_on_its_way = image.asked.as_ref().is_some_and(|asked| now.since(asked.at) < START_NS);
            if image.end.is_some() || image.pidfd.is_some() || is_on_its_way {
                continue;
            }
            let Some(ring) = image.ring else { continue };
            let is_left = |ring: &Ring| ring.is_abandoned() || image.key.is_claim() && ring.is_deserted();
            let is_abandoned = || rings.get(ring).is_some_and(is_left);
            if *by_ring.entry(ring).or_insert_with(is_abandoned) {
                found.push(image.id);
            }
        }
        found
    }

    /// Live images whose pidfd says that their process is dead.
    pub fn unnoticed_deaths(&self) -> Vec<ImageId> {
        let is_dead =
            |image: &&ProcessImage| image.end.is_none() && image.pidfd.as_ref().is_some_and(kernel::is_dead);
        self.iter().filter(is_dead).map(|image| image.id).collect()
    }

    /// Whether an image became, some time ago, a program that has not said hello.
    pub fn may_be_blind(&self, id: ImageId, now: MonoNs) -> bool {
        let Some(image) = self.get(id) else { return false };
        let (Some(asked), None) = (&image.asked, image.end) else { return false };
        // Where /proc shows nothing, the end of the process will tell.
        now.since(asked.at) >= blind::HELLO_NS && image.key.is_visible() && image.runs_another_file()
    }

    /// Begins to find out why the program that an image asked for, and has become, did not say hello. True
    /// while the answer may still come.
    pub fn wonder(&mut self, id: ImageId, now: MonoNs) -> bool {
        let is_free = self.examiner.is_free();
        let Some(image) = self.get_mut(id) else { return false };
        if image.pidfd.as_ref().is_none_or(kernel::is_dead) {
            // It is gone, and its exec has failed, by all that is known.
            image.take_asked(|asked| asked.executed.as_ref().is_some_and(Execution::is_unlikely));
        }
        let (Some(asked), Some(_)) = (&image.asked, &image.process) else { return false };
        let Some((_, pending)) = &image.question else {
            let pid = image.key.is_visible().then_some(image.key.pid.0);
            let exe = pid.and_then(procfs::exe).unwrap_or_else(|| asked.path.to_vec());
            let (looked_at, said) = (exe.clone(), asked.said);
            let (account, is_here) = (Arc::clone(&image.account), image.key.namespace.is_none());
            let look = move || blind::reason_of(&looked_at, pid, is_here, said);
            if !is_here {
                // No file is looked at, so there is nothing to wait for.
                if let Some(asked) = self.get_mut(id).and_then(|image| image.asked.as_mut()) {
                    asked.reason = Some(look());
                }
                return false;
            }
            if !is_free {
                // Others are looked at: in a moment it is this one's turn.
                let since = image.wonders_since.get_or_insert(now);
                return now.since(*since) < PATIENCE_NS;
            }
            let Some(pending) = self.examiner.begin(&account, look) else { return false };
            if let Some(image) = self.get_mut(id) {
                image.question = Some((exe, pending));
            }
            return true;
        };
        let answer = pending.look(now);
        if let Answer::Found(reason) = answer
            && let Some(asked) = &mut image.asked
        {
            asked.reason = Some(reason);
        }
        answer == Answer::Awaited
    }

    /// The program that an image asked for and has become, although it did not say hello; the reason is what
    /// [`Self::wonder`] found out, or finds out in a moment.
    pub fn take_blind(&mut self, id: ImageId, now: MonoNs) -> Option<BlindProgram> {
        let is_awaited = self.wonder(id, now);
        let image = self.get_mut(id)?;
        image.process.as_ref()?;
        if image.asked.as_ref()?.executed.as_ref().is_some_and(Execution::is_unseen) {
            return self.take_executed(id);
        }
        let Asked { path, arguments, at, reason, .. } = image.take_asked(|_| true)?;
        let (exe, pending) = image.question.take().unzip();
        let begun = MonoNs::now();
        let reason = match pending.filter(|_| is_awaited && image.account.may_ask(begun)) {
            Some(pending) => pending.wait(LAST_WAIT),
            None => reason,
        };
        image.account.asked(begun, MonoNs::now());
        Some(BlindProgram {
            exe: exe.unwrap_or_else(|| path.to_vec()),
            path,
            arguments,
            reason: reason.unwrap_or(blind::UNREADABLE),
            gids: None,
            environment: Vec::new(),
            at,
            is_asked_about: image.is_asked_about,
        })
    }

    /// Images that have ended and whose end is not concluded, noticed at `until` or before.
    pub fn has_open_end(&self, until: MonoNs) -> bool {
        let ends = self.ended.iter().filter_map(|id| self.get(*id)?.end);
        ends.into_iter().any(|end| end.noticed <= until)
    }

    /// Whether an image's process is dead, or has executed another program.
    pub fn has_ended(&self, id: ImageId) -> bool {
        self.get(id).is_none_or(|image| image.end.is_some())
    }
}
