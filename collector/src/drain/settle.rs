//! Records in their final order, and the ends of images in between: descriptors closed, losses told, ledgers closed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};
use wire::events::Counters;
use wire::ring::layout::{FdState, Loss};

use super::books::{self, Books};
use super::image::{End, Ending, Image};
use super::life::Ledger;
use super::source::STUCK_NS;
use super::{Drain, Told, Wish};
use crate::attach::Word;
use crate::enrich::descriptors::{Descriptor, Descriptors, Target, sum};
use crate::enrich::{Exit, Process};
use crate::event::Who;
use crate::kernel;
use crate::procfs;

/// How long the end of a process is held back for somebody to say how it came about.
const GRACE_NS: u64 = 30_000_000;
/// The same where only its parent can, who is seen: in another pid namespace, where the kernel says nothing.
const GRACE_APART_NS: u64 = 500_000_000;

/// Descriptors of which nobody told that an image can close at its end: a table that was scribbled over holds any number.
const MOST_UNKNOWN: usize = 1024;

impl Drain {
    /// Delivers what is due up to `horizon`, and in its place among it the ends of images.
    pub(super) fn settle(&mut self, now: u64, horizon: u64) {
        for index in &self.waiting {
            let lost = self.losses(*index);
            if let (Some(image), Some(lost)) = (self.images.get_mut(*index), lost) {
                let gone = image.gone(&lost);
                image.queue.set_lost(gone);
            }
        }
        // Ends that wait for somebody to tell more; the others go on.
        let mut held: FxHashSet<usize> = FxHashSet::default();
        let mut ends = self.ends(horizon, &held);
        loop {
            let reached = self.before_gaps(horizon).min(self.border_ns.unwrap_or(u64::MAX));
            let next = ends.peek().copied().filter(|Reverse((at_ns, _))| *at_ns <= reached);
            let limit_ns = next.map_or(reached, |Reverse((at_ns, _))| at_ns);
            self.merge(limit_ns, horizon);
            if self.limit_ns < limit_ns {
                // A record that was just delivered told of an end, perhaps what was waited for: it may come first.
                held.clear();
                ends = self.ends(horizon, &held);
                continue;
            }
            if self.has_news_of_ends {
                ends = self.ends(horizon, &held);
                continue;
            }
            let Some(Reverse((_, index))) = next else { break };
            ends.pop();
            let Some(end) = self.images.get(index).and_then(|image| image.end) else { continue };
            // What its threads wrote last may bear a later time than its end has.
            while self.deliver_first(index) {}
            let is_settled = match end.how {
                Ending::Exec => self.settle_exec(index, now),
                Ending::Death => self.settle_death(index, now, &end),
            };
            if !is_settled {
                // What comes meanwhile goes on, so this end is told with the time at which it can be.
                if let Some(end) = self.images.get_mut(index).and_then(|image| image.end.as_mut()) {
                    end.at_ns = end.at_ns.max(horizon.min(now).saturating_add(1));
                }
                held.insert(index);
            }
        }
    }

    /// What an image's sensor counts as lost.
    pub(super) fn losses(&self, index: usize) -> Option<[u64; Loss::ALL.len()]> {
        let image = self.images.get(index)?;
        if let Some(books) = &image.books {
            return Some(books.lost);
        }
        Some(books::losses(self.sources.get(image.source)?.ring(), image.slot?))
    }

    /// What an image's process wrote into its slot; `None` for one that never had a slot.
    pub(super) fn books(&self, index: usize) -> Option<Books> {
        let image = self.images.get(index)?;
        if image.books.is_some() {
            return image.books.clone();
        }
        let source = self.sources.get(image.source)?;
        let books = Books::of(source.ring(), image.slot?);
        // Nothing is believed of a ring that holds nonsense but what was counted from it before.
        Some(if source.is_corrupt { books.without_descriptors() } else { books })
    }

    /// Frees the slots of fork children that have ended and whose records have all been read.
    pub(super) fn free_slots(&mut self) {
        for index in self.ending.clone() {
            let Some(image) = self.images.get(index) else { continue };
            let (Some(slot @ 1..), Some(end)) = (image.slot, image.end) else { continue };
            if self.is_read(index, end.read_to) {
                let books = self.books(index);
                let image = &mut self.images[index];
                (image.books, image.slot) = (books, None);
                if let Some(source) = self.sources.get_mut(image.source) {
                    source.free_slot(slot);
                }
            }
        }
    }

    /// The ends up to `horizon` that can be reported, but for those `held`: the earliest first.
    fn ends(&mut self, horizon: u64, held: &FxHashSet<usize>) -> BinaryHeap<Reverse<(u64, usize)>> {
        self.has_news_of_ends = false;
        let ends = self.ending.iter().filter(|index| !held.contains(*index));
        ends.filter_map(|index| Some((*index, self.images.get(*index)?.end?)))
            .filter(|(index, end)| end.at_ns <= horizon && self.is_read(*index, end.read_to))
            .map(|(index, end)| Reverse((end.at_ns, index)))
            .collect()
    }

    fn is_read(&self, index: usize, position: u64) -> bool {
        let source = self.images.get(index).and_then(|image| self.sources.get(image.source));
        source.is_none_or(|source| source.has_read(position))
    }

    /// Up to when records can be delivered in order: `horizon`, or the first one that a missing one is waited for before.
    fn before_gaps(&self, horizon: u64) -> u64 {
        let held = self.waiting.iter().filter_map(|index| self.gap_before(*index, horizon));
        held.map(|held_ns| held_ns.saturating_sub(1)).fold(horizon, u64::min)
    }

    /// The time of an image's first record, if one before it is missing and may still come, `horizon` being reached.
    fn gap_before(&self, index: usize, horizon: u64) -> Option<u64> {
        let image = self.images.get(index)?;
        let is_waiting = image.queue.waits_until_ns()? > horizon;
        let is_over = || image.end.is_some_and(|end| self.is_read(index, end.read_to));
        (is_waiting && !is_over()).then(|| image.queue.first_ns()).flatten()
    }

    /// Delivers the records of all images that are due up to `limit_ns`, earliest first. Stops where one of them tells
    /// of the end of an image, which then comes next, or a record is missing that may come until `horizon`.
    fn merge(&mut self, limit_ns: u64, horizon: u64) {
        self.limit_ns = limit_ns;
        let due = |drain: &Self, index: usize| drain.images.get(index)?.queue.first_ns();
        let mut heap: BinaryHeap<Reverse<(u64, usize)>> =
            self.waiting.iter().filter_map(|index| Some(Reverse((due(self, *index)?, *index)))).collect();
        while let Some(Reverse((time, index))) = heap.pop() {
            if time > self.limit_ns {
                break;
            }
            let next = heap.peek().map_or(u64::MAX, |Reverse((time, _))| *time);
            // A queue may have been emptied meanwhile, by the next image of the same process.
            while due(self, index).is_some_and(|due| due <= self.limit_ns && due <= next) {
                if let Some(held_ns) = self.gap_before(index, horizon) {
                    // What is missing comes before everything else that is later.
                    self.limit_ns = self.limit_ns.min(held_ns.saturating_sub(1));
                    break;
                }
                self.deliver_first(index);
            }
            if let Some(due) = due(self, index) {
                heap.push(Reverse((due, index)));
            }
        }
        self.waiting.retain(|index| self.images.get(*index).is_some_and(|image| !image.queue.is_empty()));
    }

    /// An image is over because its process executed the one at `after`: reports the descriptors that this closed,
    /// and gives what the new image inherits.
    pub(super) fn exec_over(&mut self, index: usize, after: usize, time_ns: u64) -> Option<Process> {
        let serial = self.images.get(after)?.serial;
        let books = self.books(index).unwrap_or_default();
        let image = self.images.get_mut(index)?;
        image.after = Some(after);
        let process = image.process.as_mut()?;
        let mut kept = Descriptors::default();
        let descriptors = Arc::clone(&process.descriptors);
        for (fd, descriptor) in descriptors.iter() {
            let counted = books.counters(fd);
            let is_own = descriptor.owner == process.owner;
            if descriptor.is_cloexec {
                if is_own || counted != Counters::default() {
                    self.enricher.ended(process, time_ns, fd, Some(descriptor), counted);
                }
                continue;
            }
            let mut descriptor = descriptor.clone();
            if is_own || counted != Counters::default() {
                let carried = descriptor.carried.filter(|_| is_own).map(|carried| *carried);
                descriptor.carried = Some(Box::new(sum(counted, carried.unwrap_or_default())));
                descriptor.opened_ns = if is_own { descriptor.opened_ns } else { 0 };
                descriptor.owner = serial;
            }
            kept.insert(fd, descriptor);
        }
        // Descriptors that were counted on, but that nobody told of.
        for (fd, state) in books.descriptors().iter().take(MOST_UNKNOWN) {
            if state.counters != Counters::default() && descriptors.get(*fd).is_none() {
                let target = Target::File(Arc::from([].as_slice()));
                let mut descriptor = Descriptor::new(target, serial, 0, false);
                descriptor.carried = Some(Box::new(state.counters));
                kept.insert(*fd, descriptor);
            }
        }
        let mut inherited = process.clone();
        inherited.descriptors = Arc::new(kept);
        Some(inherited)
    }

    /// Closes the books of an image that was replaced by exec.
    fn settle_exec(&mut self, index: usize, now: u64) -> bool {
        let Some(image) = self.images.get(index) else { return true };
        // The books go to the next image; until it has begun, this one is what it inherits from.
        let is_succeeded = image.after.is_some();
        let has_successor = self
            .by_pid
            .get(&(image.pid_ns, image.pid))
            .and_then(|next| self.images.get(*next))
            .is_some_and(|next| next.before == Some(index) && next.process.is_none());
        if !is_succeeded && has_successor && self.ending_wish != Wish::End {
            return false;
        }
        self.report_losses(index, now);
        self.report_missing(index, now);
        self.close_books(index);
        self.remove(index);
        true
    }

    /// Reports the end of a process. False where somebody may still tell how it ended.
    fn settle_death(&mut self, index: usize, now: u64, end: &End) -> bool {
        let at_ns = end.at_ns;
        let Some(image) = self.images.get(index) else { return true };
        // An earlier image of the same process is settled first: its books go into this one's.
        if image.before.is_some_and(|before| self.images.contains(before)) && self.ending_wish != Wish::End {
            let before = image.before.unwrap_or(index);
            if image.process.is_none() {
                // It died before it told of itself, so it takes the place of the one before.
                if let Some(inherited) = self.inherit_at_death(before, index, at_ns) {
                    self.images[index].process = Some(inherited);
                }
            }
            if let Some(before) = self.images.get_mut(before) {
                before.after = Some(index);
            }
            return false;
        }
        // It may have executed a program that said hello, and that the doorman has not come to yet.
        let is_heard =
            end.noticed_ns <= self.heard_until_ns || now.saturating_sub(end.noticed_ns) >= STUCK_NS;
        if !is_heard && self.ending_wish != Wish::End {
            return false;
        }
        let books = self.books(index);
        let told = self.told.get(&(image.pid_ns, image.pid)).copied();
        let said = books.as_ref().and_then(|books| books.usage);
        let reaped = image.pidfd.as_ref().and_then(kernel::exit_status);
        // The dead that nobody has reaped are still in /proc. Not asked without need: it costs as much as ten events.
        let is_asked = image.pid_ns.is_none() && told.is_none() && (reaped.is_none() || said.is_none());
        let stat = is_asked.then(|| procfs::stat(image.pid)).flatten().filter(|stat| stat.is_zombie);
        let zombie =
            stat.filter(|stat| stat.exit_code != 0 || may_know_status(image)).map(|stat| stat.exit_code);
        let announced = books.as_ref().and_then(|books| books.exit_status.checked_sub(1));
        let status = wait_status(reaped, zombie, told, announced);
        let is_parents = status.value.is_none() && image.pid_ns.is_some() && self.has_parent(image);
        let grace_ns = if is_parents { GRACE_APART_NS } else { GRACE_NS };
        let has_waited = now.saturating_sub(end.noticed_ns) >= grace_ns || self.is_all_told;
        // The launcher tells of its children what nobody else knows, their largest resident set.
        let is_launchers = image.ppid == Some(std::os::unix::process::parent_id()) && image.pid_ns.is_none();
        let is_word_due = told.is_none() && (is_launchers || (said.is_none() && stat.is_none()));
        if !has_waited && (!status.is_final || is_word_due) {
            return false;
        }
        if self.images[index].process.is_none() {
            self.begin(index);
        }
        self.report_losses(index, now);
        self.report_blind(index, at_ns);
        self.close_all(index, at_ns);
        self.report_missing(index, now);
        let ledger = self.close_books(index);
        let usage = said.or(told.and_then(|told| told.usage));
        let exit = Exit {
            wait_status: status.value,
            user_ns: usage.map(|usage| usage.user_ns).or(stat.map(|stat| stat.user_ns)),
            system_ns: usage.map(|usage| usage.system_ns).or(stat.map(|stat| stat.system_ns)),
            max_rss: usage.map(|usage| usage.max_rss),
            sensor_ns: ledger.sensor_ns,
            calls: ledger.calls,
            events: ledger.events,
            lost: ledger.lost,
        };
        if let Some(process) = self.images.get_mut(index).and_then(|image| image.process.as_mut()) {
            self.enricher.exited(process, at_ns, &exit);
        }
        let name = (self.images[index].pid_ns, self.images[index].pid);
        self.told.remove(&name);
        self.buried.put(name);
        self.remove(index);
        true
    }

    /// Whether the parent of an image is seen, and not everything that it did has been told.
    fn has_parent(&self, image: &Image) -> bool {
        image.ppid.is_some_and(|ppid| self.by_pid.contains_key(&(image.pid_ns, ppid)))
    }

    /// Adds what an image's calls cost to its process's ledger, and gives that.
    fn close_books(&mut self, index: usize) -> Ledger {
        let books = self.books(index);
        let Some(image) = self.images.get(index) else { return Ledger::default() };
        self.lives.add(image.life, image.costs(books.as_ref(), &mut self.means));
        self.lives.ledger(image.life)
    }

    fn inherit_at_death(&mut self, before: usize, index: usize, at_ns: u64) -> Option<Process> {
        while self.deliver_first(before) {}
        let serial = self.images.get(index)?.serial;
        let inherited = self.exec_over(before, index, at_ns)?;
        let who = (*inherited.who).clone();
        Some(inherited.fork(who, serial))
    }

    /// Reports every descriptor that ends with an image.
    fn close_all(&mut self, index: usize, time_ns: u64) {
        let books = self.books(index).unwrap_or_default();
        let Some(process) = self.images.get_mut(index).and_then(|image| image.process.as_mut()) else {
            return;
        };
        let descriptors = Arc::clone(&process.descriptors);
        let counted: FxHashMap<i32, FdState> = books.descriptors().iter().copied().collect();
        for (fd, known) in descriptors.iter() {
            let state = counted.get(&fd).copied();
            let is_own = known.owner == process.owner;
            // Below the end of its table the sensor knows which of those that the image opened still are open.
            let is_open = known.carried.is_some() || fd >= books.fd_capacity;
            if state.is_some() || (is_own && is_open) {
                self.enricher.ended(process, time_ns, fd, Some(known), state.unwrap_or_default().counters);
            }
        }
        let unknown = || books.descriptors().iter().filter(|(fd, _)| descriptors.get(*fd).is_none());
        for (fd, state) in unknown().take(MOST_UNKNOWN) {
            self.enricher.ended(process, time_ns, *fd, None, state.counters);
        }
        let surplus = unknown().count().saturating_sub(MOST_UNKNOWN) as u64;
        if surplus > 0 {
            self.lose(index, time_ns, surplus, "corrupt_ring");
        }
    }

    /// Reports events that the sensor numbered and that never came.
    fn report_missing(&mut self, index: usize, now: u64) {
        let Some(books) = self.books(index) else { return };
        let Some(image) = self.images.get_mut(index) else { return };
        let Some(source) = self.sources.get(image.source) else { return };
        let missing = image.missing(&books);
        if missing == 0 {
            return;
        }
        image.unfinished = image.unfinished.saturating_add(missing);
        let reason = match (source.is_corrupt, image.is_inherited) {
            (true, _) => "corrupt_ring",
            (false, true) => "collector_died",
            (false, false) => "killed_writer",
        };
        let missing = if source.is_corrupt { missing.min(u64::from(u32::MAX)) } else { missing };
        self.lose(index, now, missing, reason);
    }

    /// Forgets an image, and its ring if nobody is left who could write to it.
    fn remove(&mut self, index: usize) {
        self.publish();
        let image = self.images.remove(index);
        self.lives.leave(image.life);
        // Its place is given to another image.
        for (_, other) in &mut self.images {
            for link in [&mut other.before, &mut other.after] {
                if *link == Some(index) {
                    *link = None;
                }
            }
        }
        let key = (image.pid_ns, image.pid);
        if self.by_pid.get(&key) == Some(&index) {
            self.by_pid.remove(&key);
        }
        self.ending.retain(|other| *other != index);
        self.waiting.retain(|other| *other != index);
        let Some(source) = self.sources.get_mut(image.source) else { return };
        if let Some(slot) = image.slot {
            source.free_slot(slot);
        }
        let is_left = |drain: &Self| drain.images.iter().any(|(_, other)| other.source == image.source);
        if is_left(self) || self.discover_all(image.source) {
            if let Some(process) = image.process {
                self.sources[image.source].depart(image.own_pid, image.slot == Some(0), process);
            }
            return;
        }
        let source = self.sources.remove(image.source);
        let id = source.id;
        drop(source);
        self.reply.leave(Word::Drop(id));
        self.has_left_word = true;
    }
}

/// How a process ended, as far as it is known yet.
struct Status {
    value: Option<i32>,
    /// Nobody can know better.
    is_final: bool,
}

/// Weighs what is known of an end: what pidfd and `/proc` say, what was told, and the status that the process announced.
fn wait_status(
    reaped: Option<i32>,
    zombie: Option<i32>,
    told: Option<Told>,
    announced: Option<u32>,
) -> Status {
    let known = |value| Status { value: Some(value), is_final: true };
    let is_sure = told.is_some_and(|told| told.is_launcher);
    let told = told.map(|told| told.status);
    let announced = announced.filter(|code| *code < 256).map(|code| (code as i32) << 8);
    match (zombie, reaped) {
        _ if is_sure => Status { value: told, is_final: true },
        (Some(status), _) => known(status),
        // Linux says 0, once in some thousands, where the first thread was gone before another ended them all (seen in
        // 6.18). A process that announced another end is asked for elsewhere first.
        (None, Some(0)) => {
            let value = told.or(announced).unwrap_or(0);
            Status { value: Some(value), is_final: told.is_some() || value == 0 }
        }
        (None, Some(status)) => known(status),
        (None, None) => told.map_or(Status { value: announced, is_final: false }, known),
    }
}

/// Whether we may know the wait status of a process: 0 is also what we get of one that we may not look into
/// (PTRACE_MODE_READ, proc_pid_stat(5)).
fn may_know_status(image: &Image) -> bool {
    let euid = rustix::process::geteuid();
    let is_ours = |who: &Who| who.uid == Some(euid.as_raw()) && who.euid == Some(euid.as_raw());
    euid.is_root() || image.process.as_ref().is_some_and(|process| is_ours(&process.who))
}

/// What a spawned program has of its parent's descriptors.
///
/// Its standard streams are whatever it was told to make of them (posix_spawn_file_actions(3)), which no hook sees.
pub(super) fn without_cloexec(mut parent: Process) -> Process {
    let descriptors = Arc::make_mut(&mut parent.descriptors);
    descriptors.in_range(0, 2, |slot| *slot = None);
    descriptors.in_range(0, u32::MAX, |slot| {
        if slot.as_ref().is_some_and(|descriptor| descriptor.is_cloexec) {
            *slot = None;
        }
    });
    parent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_is_taken_from_who_knows_best() {
        let told = |status, is_launcher| Some(Told { status, usage: None, is_launcher, at_ns: 0 });
        let of = |reaped, zombie, told, announced| {
            let status = wait_status(reaped, zombie, told, announced);
            (status.value, status.is_final)
        };

        assert_eq!((Some(9), true), of(Some(0), Some(0), told(9, true), Some(7)));
        assert_eq!((Some(9), true), of(None, Some(9), told(1 << 8, false), Some(7)));
        assert_eq!((Some(9), true), of(Some(9), None, told(1 << 8, false), Some(7)));
        assert_eq!((Some(7 << 8), false), of(Some(0), None, None, Some(7)));
        assert_eq!((Some(9), true), of(Some(0), None, told(9, false), Some(7)));
        assert_eq!((Some(0), true), of(Some(0), None, None, None));
        assert_eq!((Some(1 << 8), true), of(None, None, told(1 << 8, false), Some(7)));
        assert_eq!((Some(7 << 8), false), of(None, None, None, Some(7)));
        assert_eq!((None, false), of(None, None, None, Some(256)));
    }
}
