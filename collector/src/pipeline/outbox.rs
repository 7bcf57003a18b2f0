//! The pipeline's way out: full batches go through the stages to the outputs' queues.
//!
//! Here also: the note of what every output is done with, for the collector that may follow this one; and the
//! back-pressure of full queues.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use crossbeam_channel::Sender;

use crate::allowance::{Account, Peer, PerSecond, Told};
use crate::event::Batch;
use crate::ids::{ImageId, MonoNs};
use crate::rings::Pace;
use crate::sinks::{Haste, Outlets, OutputChange};
use crate::stages::Stages;

/// A batch goes on when it has this many events, or bytes.
const BATCH_EVENTS: usize = 1024;
const BATCH_BYTES: usize = 256 * 1024;
/// A batch of fewer events is copied to its own size, so that the memory of a large one does not wait with
/// it.
const SMALL_EVENTS: usize = 128;
/// Back-pressure: pause this long after a slow round.
pub const PAUSE_NS: u64 = 1_000_000;
/// A queue with less room than this is almost full: what others have waiting for their turn finds room there,
/// as much as a busy program writes while the order is held up.
const ALMOST_FULL: usize = 12 * BATCH_BYTES;
/// Bytes of one account's events that are noted at once.
const NOTED_AT: u64 = 16 * 1024;
/// An account that put in less than this in a second put in little.
const LITTLE: u64 = 256 * 1024;
/// An account is alone where no other one's event came in this time.
const ALONE_NS: u64 = 2_000_000_000;
/// The longest waits for queues that are almost full, in a second.
const MOST_WAITED_NS: u64 = 500_000_000;
/// The same for events of those who put in most, where others wait too: what these do meanwhile is to fit
/// into [`ALMOST_FULL`], 50 000 events in a second do.
const MOST_WAITED_FOR_MOST_NS: u64 = 200_000_000;
/// The longest back-pressure at the end, when nothing else is left to do.
const LAST_PAUSE_NS: u64 = 10_000_000_000;

/// A batch that an output may still have.
#[derive(Debug)]
struct Unwritten {
    batch: Weak<Batch>,
    /// Images, and how much of each was delivered with this batch.
    delivered: Vec<(ImageId, u64)>,
}

/// See the module.
#[derive(Debug)]
pub struct Outbox {
    stages: Stages,
    outlets: Outlets,
    /// Images of which records are in the present batch.
    touched: Vec<ImageId>,
    /// The image touched last: its next record costs no look-up.
    last_touched: ImageId,
    /// Batches on their way, in order.
    unwritten: VecDeque<Unwritten>,
    /// Nanoseconds that queues were waited for.
    waited_ns: PerSecond,
    /// A queue was almost full when the last batch went.
    is_tight: bool,
    /// Bytes of events in a second, and the groups whose they were; root's accounts stand for themselves.
    told: PerSecond,
    tellers: PerSecond,
    /// Whose event came last, and when that was another one's than before.
    last_peer: Option<Peer>,
    last_turn: MonoNs,
    /// Bytes of events that are not noted yet, of the account whose event came last.
    unnoted: Option<(Arc<Account>, u64)>,
    /// Bytes that were noted since the last batch, and those of accounts that put in most.
    noted: u64,
    of_most: u64,
    /// Bytes in a second of the others.
    of_modest: PerSecond,
}

impl Outbox {
    /// A way through `stages` to `outlets`.
    pub fn new(stages: Stages, outlets: Outlets) -> Self {
        Self {
            stages,
            outlets,
            touched: Vec::new(),
            last_touched: ImageId::NONE,
            unwritten: VecDeque::new(),
            waited_ns: PerSecond::default(),
            is_tight: false,
            told: PerSecond::default(),
            tellers: PerSecond::default(),
            last_peer: None,
            last_turn: MonoNs::ZERO,
            unnoted: None,
            noted: 0,
            of_most: 0,
            of_modest: PerSecond::default(),
        }
    }

    /// See [`Stages::prepare`].
    pub fn prepare(&mut self) {
        self.stages.prepare();
    }

    /// The outputs.
    #[cfg(test)]
    pub fn outlets(&self) -> &Outlets {
        &self.outlets
    }

    /// Gives the outputs back.
    pub fn into_outlets(self) -> Outlets {
        self.outlets
    }

    /// Whether a batch is to go on.
    #[inline]
    pub fn is_full(&self, batch: &Batch) -> bool {
        batch.events.len() >= BATCH_EVENTS || batch.size_bytes() >= BATCH_BYTES
    }

    /// Notes that a numbered record of an image is in the present batch.
    #[inline]
    pub fn touch(&mut self, image: ImageId) {
        if self.last_touched != image {
            self.last_touched = image;
            self.touched.push(image);
        }
    }

    /// An empty batch, with the memory of one that every output is done with where there is one.
    pub fn empty_batch(&self) -> Batch {
        self.outlets.empty_batch()
    }

    /// Sends batches that hold events of earlier requests.
    pub fn send_sealed(&mut self, sealed: Vec<Batch>) {
        for mut batch in sealed {
            batch.number();
            if let Some(batch) = self.stages.pass(batch) {
                self.outlets.deliver(Arc::new(batch));
            }
        }
    }

    /// Sends the present batch; `delivered` tells how much of an image was delivered. Gives the batch's
    /// memory back where a copy went.
    pub fn send(&mut self, batch: Batch, delivered: impl Fn(ImageId) -> Option<u64>) -> Option<Batch> {
        self.last_touched = ImageId::NONE;
        let mut touched = std::mem::take(&mut self.touched);
        touched.sort_unstable();
        touched.dedup();
        let is_small = batch.events.len() < SMALL_EVENTS;
        let mut spare = None;
        let mut batch = match is_small {
            true => {
                let copy = batch.clone();
                let mut batch = batch;
                batch.clear();
                spare = Some(batch);
                copy
            }
            false => batch,
        };
        batch.number();
        let shared = self.stages.pass(batch).map(Arc::new);
        let delivered = touched.into_iter().filter_map(|image| Some((image, delivered(image)?))).collect();
        // A batch that a stage dropped is done with at once.
        let weak = shared.as_ref().map_or_else(Weak::new, Arc::downgrade);
        self.unwritten.push_back(Unwritten { batch: weak, delivered });
        if let Some(shared) = shared {
            self.outlets.deliver(shared);
        }
        spare
    }

    /// Sends events of a recording: they were ordered and enriched before, and keep their numbers.
    pub fn replay(&mut self, mut batch: Batch) {
        batch.number();
        if let Some(batch) = self.stages.pass(batch) {
            self.outlets.deliver(Arc::new(batch));
        }
    }

    /// Images, and how much of each every output is done with since the last call.
    pub fn written(&mut self) -> Vec<(ImageId, u64)> {
        let mut done = Vec::new();
        while let Some(first) = self.unwritten.front()
            && first.batch.strong_count() == 0
            && let Some(Unwritten { delivered, .. }) = self.unwritten.pop_front()
        {
            done.extend(delivered);
        }
        done
    }

    /// Lets what comes from here on go through other stages.
    pub fn change_stages(&mut self, stages: Stages) {
        self.stages = stages;
    }

    /// The outputs, to be changed.
    pub fn outlets_mut(&mut self) -> &mut Outlets {
        &mut self.outlets
    }

    /// Adds an output, or takes one away.
    pub fn change_outputs(&mut self, change: OutputChange) {
        self.outlets.change(change);
    }

    /// See [`Outlets::has_place`].
    #[cfg(feature = "nats")]
    pub fn has_place(&self) -> bool {
        self.outlets.has_place()
    }

    /// See [`Outlets::failed`].
    #[cfg(feature = "nats")]
    pub fn failed_output(&self) -> Option<String> {
        self.outlets.failed()
    }

    /// Lets every output write what it has, and then drop its copy of `done_tx`.
    pub fn flush(&self, done_tx: &Sender<()>) {
        self.outlets.flush(done_tx);
    }

    /// Whether an output has losses to report.
    pub fn owes(&self) -> bool {
        self.outlets.owes()
    }

    /// Lets every output report its losses, where that is due, although no event follows.
    pub fn report_losses(&mut self, now: MonoNs) {
        self.outlets.report_losses(now);
    }

    /// The pace of the next round: slow where the queue of an output that gets on is more than half full.
    /// Events in rings are late, not lost.
    pub fn pace(&mut self) -> Pace {
        let now = MonoNs::now();
        // What was refused made no batch, after which it is looked at.
        self.is_tight = self.is_tight && self.outlets.is_tight(now, ALMOST_FULL);
        self.outlets.room(now).map_or(Pace::Full, |room| Pace::Slow(room as u64))
    }

    /// Notes that an event of `bytes` was made for an account; false where it is not to go on: a queue is
    /// almost full, and the account has put in half as much as the mean one of its group, or more, and the
    /// group as the mean group. So those that put in little lose nothing. Where there is but one account,
    /// each output loses what it has no room for.
    #[inline]
    pub fn takes(&mut self, account: &Arc<Account>, bytes: usize, now: MonoNs) -> bool {
        // While there is room, what an account puts in is noted at times only.
        match &mut self.unnoted {
            Some((last, unnoted)) if !self.is_tight && *unnoted < NOTED_AT && Arc::ptr_eq(last, account) => {
                *unnoted += bytes as u64;
                true
            }
            _ => self.notes(account, bytes, now),
        }
    }

    fn notes(&mut self, account: &Arc<Account>, bytes: usize, now: MonoNs) -> bool {
        if let Some((last, unnoted)) = self.unnoted.take() {
            self.note(&last, unnoted, now);
        }
        if self.is_tight {
            return self.note(account, bytes as u64, now);
        }
        self.unnoted = Some((Arc::clone(account), bytes as u64));
        true
    }

    fn note(&mut self, account: &Account, bytes: u64, now: MonoNs) -> bool {
        let Told { own, mean, together, is_first } = account.told(now, bytes);
        self.told.spend(now, bytes);
        self.tellers.spend(now, u64::from(is_first));
        if self.last_peer != Some(account.peer) {
            // The first one is alone.
            self.last_turn = self.last_peer.replace(account.peer).map_or(MonoNs::ZERO, |_| now);
        }
        let is_alone = now.since(self.last_turn) >= ALONE_NS;
        let mean_group = self.told.lately(now) / self.tellers.most_lately(now).max(1);
        let is_modest = is_alone || own < LITTLE || own < mean / 2 || together < mean_group / 2;
        let is_taken = !self.is_tight || is_modest;
        if is_modest {
            self.of_modest.spend(now, bytes);
        } else if is_taken {
            self.of_most += bytes;
        }
        self.noted += if is_taken { bytes } else { 0 };
        is_taken
    }

    /// How long the batch may be waited for, by those whose events are in it.
    fn patience_ns(&mut self, now: MonoNs) -> u64 {
        let is_of_most = std::mem::take(&mut self.of_most) > std::mem::take(&mut self.noted) / 2;
        if is_of_most && self.of_modest.lately(now) > 0 { MOST_WAITED_FOR_MOST_NS } else { MOST_WAITED_NS }
    }

    /// Waits a little where an output's queue is almost full: what was held back may come all at once. No
    /// longer than a part of each second, so that an output that is too slow costs the others little.
    pub fn wait_a_little(&mut self) {
        let mut now = MonoNs::now();
        let most_ns = self.patience_ns(now);
        loop {
            self.is_tight = self.outlets.is_tight(now, ALMOST_FULL);
            let is_worth_it = self.outlets.room(now).is_some_and(|room| room < ALMOST_FULL);
            if !is_worth_it || self.waited_ns.spent(now) >= most_ns {
                return;
            }
            std::thread::sleep(std::time::Duration::from_nanos(PAUSE_NS));
            let before = std::mem::replace(&mut now, MonoNs::now());
            self.waited_ns.spend(now, now.since(before));
        }
    }

    /// At the end there is time: waits for the outputs, as long as they get on.
    pub fn wait_for_room(&self, haste: Haste) {
        let begun = MonoNs::now();
        let patience_ns = match haste {
            Haste::Patient => LAST_PAUSE_NS,
            Haste::Hurried => LAST_PAUSE_NS / 100,
        };
        while !self.outlets.has_room() && MonoNs::now().since(begun) < patience_ns {
            std::thread::sleep(std::time::Duration::from_nanos(PAUSE_NS));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allowance::Allowances;
    use crate::sinks::Backlog;

    #[test]
    fn outputs_that_are_almost_full_refuse_those_that_put_in_most() {
        let mut outbox = Outbox::new(Stages::default(), Outlets::none(Backlog::Drop));
        let mut allowances = Allowances::default();
        let [greedy, root, many, neighbour] = [(1000, 1), (0, 1), (1001, 2), (1002, 2)]
            .map(|(uid, cgroup)| allowances.account(Peer { uid: Some(uid), cgroup }));
        let now = MonoNs(9_000_000_000);
        let mut takes = |is_tight, account: &Arc<Account>, bytes| {
            outbox.is_tight = is_tight;
            outbox.takes(account, bytes, now)
        };

        let with_room = [takes(false, &greedy, 64 << 20), takes(false, &many, 64 << 20)];
        let modest = [takes(true, &root, 1 << 20), takes(true, &neighbour, 1 << 20)];
        let most = [takes(true, &many, 1), takes(true, &greedy, 1)];
        let later = outbox.takes(&greedy, 1 << 20, now.plus(ALONE_NS));

        assert_eq!(([true; 2], [true; 2], [false; 2], true), (with_room, modest, most, later));
    }

    #[test]
    fn those_that_put_in_most_are_waited_for_less_where_there_are_others() {
        let mut outbox = Outbox::new(Stages::default(), Outlets::none(Backlog::Drop));
        let mut allowances = Allowances::default();
        let [greedy, modest] = [1000, 0].map(|uid| allowances.account(Peer { uid: Some(uid), cgroup: 1 }));
        let now = MonoNs(9_000_000_000);
        let mut patience_after = |accounts: &[&Arc<Account>]| {
            for account in accounts {
                outbox.takes(account, if Arc::ptr_eq(account, &greedy) { 1 << 20 } else { 1 << 12 }, now);
            }
            outbox.patience_ns(now)
        };

        let alone = patience_after(&[&greedy, &greedy, &greedy]);
        let mixed = patience_after(&[&modest, &greedy, &modest, &greedy, &modest]);
        let others = patience_after(&[&modest; 20]);

        assert_eq!((MOST_WAITED_NS, MOST_WAITED_FOR_MOST_NS, MOST_WAITED_NS), (alone, mixed, others));
    }
}
