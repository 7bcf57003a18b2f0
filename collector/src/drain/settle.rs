//! Records in their final order, and the ends of images in between: descriptors closed, losses told, ledgers closed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use wire::events::Counters;
use wire::ring::layout::{Mapped, SLOTS};

use super::image::{End, Ending, Image};
use super::{Drain, MOST_BURIED, Told, Wish};
use crate::attach::Word;
use crate::enrich::descriptors::{Descriptor, Descriptors, Target, sum};
use crate::enrich::{Exit, Process};
use crate::kernel;
use crate::procfs;

/// How long the end of a process is held back for somebody to say how it came about.
const GRACE_NS: u64 = 30_000_000;

impl Drain {
    /// Delivers what is due up to `horizon`, and in its place among it the ends of images.
    pub(super) fn settle(&mut self, now: u64, horizon: u64) {
        for index in &self.waiting {
            let Some(image) = self.images.get_mut(*index) else { continue };
            let ring = image.slot.zip(self.sources.get(image.source)).map(|(slot, source)| (source.ring(), slot));
            if let Some((ring, slot)) = ring {
                let lost = image.gone(ring.slot(slot));
                image.queue.set_lost(lost);
            }
        }
        // Ends that wait for somebody to tell more; the others go on.
        let mut held: Vec<usize> = Vec::new();
        loop {
            let next = self.next_end(horizon, &held);
            let limit_ns = next.map_or(horizon, |(_, end)| end.at_ns);
            self.merge(limit_ns);
            if self.limit_ns < limit_ns {
                // A record that was just delivered told of an end, perhaps what was waited for: it may come first.
                held.clear();
                continue;
            }
            let Some((index, end)) = next else { break };
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
                held.push(index);
            }
        }
    }

    /// The earliest end up to `horizon` that can be reported.
    fn next_end(&self, horizon: u64, held: &[usize]) -> Option<(usize, End)> {
        let ends = self.ending.iter().filter(|index| !held.contains(index));
        ends.filter_map(|index| Some((*index, self.images.get(*index)?.end?)))
            .filter(|(index, end)| end.at_ns <= horizon && self.is_read(*index, end.read_to))
            .min_by_key(|(_, end)| end.at_ns)
    }

    fn is_read(&self, index: usize, position: u64) -> bool {
        let source = self.images.get(index).and_then(|image| self.sources.get(image.source));
        source.is_none_or(|source| source.has_read(position))
    }

    /// Delivers the records of all images that are due up to `limit_ns`, earliest first. Stops where one of them tells
    /// of the end of an image, which then comes next.
    fn merge(&mut self, limit_ns: u64) {
        self.limit_ns = limit_ns;
        let due = |drain: &Self, index: usize| drain.images.get(index)?.queue.due_ns();
        let mut heap: BinaryHeap<Reverse<(u64, usize)>> =
            self.waiting.iter().filter_map(|index| Some(Reverse((due(self, *index)?, *index)))).collect();
        while let Some(Reverse((time, index))) = heap.pop() {
            if time > self.limit_ns {
                break;
            }
            let next = heap.peek().map_or(u64::MAX, |Reverse((time, _))| *time);
            // A queue may have been emptied meanwhile, by the next image of the same process.
            while due(self, index).is_some_and(|due| due <= self.limit_ns && due <= next) {
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
        let image = self.images.get_mut(index)?;
        image.after = Some(after);
        let counters =
            image.slot.zip(self.sources.get(image.source)).map(|(slot, source)| (source.ring(), slot));
        let process = image.process.as_mut()?;
        let mut kept = Descriptors::default();
        let descriptors = Arc::clone(&process.descriptors);
        for (fd, descriptor) in descriptors.iter() {
            let counted = counters.map(|(ring, slot)| look(ring, slot, fd)).unwrap_or_default();
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
        if let Some((ring, slot)) = counters {
            for fd in 0..counted_fds(ring, slot) {
                let counted = look(ring, slot, fd);
                if counted != Counters::default() && descriptors.get(fd).is_none() {
                    let target = Target::File(Arc::from([].as_slice()));
                    let mut descriptor = Descriptor::new(target, serial, 0, false);
                    descriptor.carried = Some(Box::new(counted));
                    kept.insert(fd, descriptor);
                }
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
        let Some(image) = self.images.get(index) else { return true };
        let ring = image.slot.zip(self.sources.get(image.source)).map(|(slot, source)| (source.ring(), slot));
        let open_calls = ring.map_or(0, |(ring, slot)| open_calls(ring, slot));
        let slot = ring.as_ref().map(|(ring, slot)| ring.slot(*slot));
        let ledger = image.carried.plus(image.ledger(slot, open_calls, &mut self.means));
        if let Some(next) = image.after.and_then(|next| self.images.get_mut(next)) {
            next.carried = next.carried.plus(ledger);
        }
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
        let ring = image.slot.zip(self.sources.get(image.source)).map(|(slot, source)| (source.ring(), slot));
        let stat =
            image.pid_ns.is_none().then(|| procfs::stat(image.pid)).flatten().filter(|stat| stat.is_zombie);
        let told = self.told.get(&image.pid).copied().filter(|_| image.pid_ns.is_none());
        let status = wait_status(image, ring, stat, told);
        let said = ring.and_then(|(ring, slot)| Image::usage(ring.slot(slot)));
        let has_waited = now.saturating_sub(end.noticed_ns) >= GRACE_NS || self.ending_wish == Wish::End;
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
        let open_calls = self.close_all(index, at_ns);
        self.report_missing(index, now);
        let Some(image) = self.images.get_mut(index) else { return true };
        let slot = ring.as_ref().map(|(ring, slot)| ring.slot(*slot));
        let ledger = image.carried.plus(image.ledger(slot, open_calls, &mut self.means));
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
        if let Some(process) = &mut image.process {
            self.enricher.exited(process, at_ns, &exit);
        }
        let pid = self.images[index].pid;
        self.told.remove(&pid);
        if self.buried.len() == MOST_BURIED {
            self.buried.pop_front();
        }
        self.buried.push_back(pid);
        self.remove(index);
        true
    }

    fn inherit_at_death(&mut self, before: usize, index: usize, at_ns: u64) -> Option<Process> {
        while self.deliver_first(before) {}
        let serial = self.images.get(index)?.serial;
        let inherited = self.exec_over(before, index, at_ns)?;
        let who = (*inherited.who).clone();
        Some(inherited.fork(who, serial))
    }

    /// Reports every descriptor that ends with an image; gives the calls that they counted.
    fn close_all(&mut self, index: usize, time_ns: u64) -> u64 {
        let Some(image) = self.images.get_mut(index) else { return 0 };
        let ring = image.slot.zip(self.sources.get(image.source)).map(|(slot, source)| (source.ring(), slot));
        let Some(process) = image.process.as_mut() else { return 0 };
        let descriptors = Arc::clone(&process.descriptors);
        let high = ring.map_or(0, |(ring, slot)| counted_fds(ring, slot));
        let mut calls: u64 = 0;
        for fd in 0..high {
            let state = ring.and_then(|(ring, slot)| Some(ring.fd(slot, fd)?.look())).unwrap_or_default();
            calls = calls.saturating_add(state.counters.calls_in).saturating_add(state.counters.calls_out);
            let known = descriptors.get(fd);
            let is_carried =
                known.is_some_and(|known| known.owner == process.owner && known.carried.is_some());
            if state.is_of_interest() || is_carried {
                self.enricher.ended(process, time_ns, fd, known, state.counters);
            }
        }
        let capacity = ring.map_or(0, |(_, slot)| Mapped::fd_capacity(slot)) as i32;
        for (fd, known) in descriptors.iter().filter(|(fd, _)| *fd >= high) {
            // Below the sensor's table it would have raised `high` for one that it opened.
            let is_open = fd >= capacity || known.carried.is_some();
            if known.owner == process.owner && is_open {
                self.enricher.ended(process, time_ns, fd, Some(known), Counters::default());
            }
        }
        calls
    }

    /// Reports events that the sensor numbered and that never came.
    fn report_missing(&mut self, index: usize, now: u64) {
        let Some(image) = self.images.get_mut(index) else { return };
        let (Some(slot), Some(source)) = (image.slot, self.sources.get(image.source)) else { return };
        let missing = image.missing(source.ring().slot(slot));
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
            return;
        }
        let source = self.sources.remove(image.source);
        let id = source.id;
        drop(source);
        self.reply.tell(Word::Drop(id));
    }
}

/// How a process ended, as far as it is known yet.
struct Status {
    value: Option<i32>,
    /// Nobody can know better.
    is_final: bool,
}

fn wait_status(
    image: &Image,
    ring: Option<(Mapped, u8)>,
    stat: Option<procfs::Stat>,
    told: Option<Told>,
) -> Status {
    if let Some(status) = image.pidfd.as_ref().and_then(kernel::exit_status) {
        return Status { value: Some(status), is_final: true };
    }
    // 0 is also what we get of a process that we may not look into (PTRACE_MODE_READ, proc_pid_stat(5)).
    let euid = rustix::process::geteuid();
    let may_look = euid.is_root()
        || image.process.as_ref().is_some_and(|process| {
            let who = &process.who;
            who.uid == Some(euid.as_raw()) && who.euid == Some(euid.as_raw())
        });
    if let Some(stat) = stat.filter(|stat| stat.exit_code != 0 || may_look) {
        return Status { value: Some(stat.exit_code), is_final: true };
    }
    if let Some(told) = told {
        return Status { value: Some(told.status), is_final: true };
    }
    let announced = ring.map_or(0, |(ring, slot)| ring.slot(slot).exit_status.load(Ordering::Relaxed));
    let announced = announced.checked_sub(1).filter(|code| *code < 256);
    Status { value: announced.map(|code| (code as i32) << 8), is_final: false }
}

/// What a spawned program has of its parent's descriptors.
pub(super) fn without_cloexec(mut parent: Process) -> Process {
    let descriptors = Arc::make_mut(&mut parent.descriptors);
    descriptors.in_range(0, u32::MAX, |slot| {
        if slot.as_ref().is_some_and(|descriptor| descriptor.is_cloexec) {
            *slot = None;
        }
    });
    parent
}

/// Descriptors below this may have counters in `slot`.
fn counted_fds(ring: Mapped, slot: u8) -> i32 {
    let high = ring.slot(slot).fd_high.load(Ordering::Relaxed) as usize;
    high.min(Mapped::fd_capacity(slot % SLOTS as u8)) as i32
}

fn look(ring: Mapped, slot: u8, fd: i32) -> Counters {
    if fd >= counted_fds(ring, slot) {
        return Counters::default();
    }
    ring.fd(slot, fd).map(|counters| counters.look().counters).unwrap_or_default()
}

fn open_calls(ring: Mapped, slot: u8) -> u64 {
    (0..counted_fds(ring, slot)).fold(0, |calls: u64, fd| {
        let counters = look(ring, slot, fd);
        calls.saturating_add(counters.calls_in).saturating_add(counters.calls_out)
    })
}
