//! The order: the records of all images by number and time, and the ends of images in their place between
//! them.
//!
//! The pipeline pushes records in as they are read, and pulls out with [`Order::due`] and [`Order::pop`]
//! whatever is due, one at a time. Pulling is what keeps the parts apart: a record that tells of an end, or
//! makes an earlier image's records due first, changes the next pull, and no part calls itself.
//!
//! An image has a lane: the [`Queue`] of its records, which puts them in the order of their numbers, and its
//! end.

pub mod frontier;
mod queue;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use wire::record::Head;

use crate::allowance::Share;
use crate::arrival::Numbering;
use crate::ids::{ImageId, MonoNs};
use frontier::Frontier;
use queue::Queue;

pub use queue::Popped;

/// Bytes of records that wait for a ring's sake, over all images.
pub const MOST_WAITING: usize = 8 << 20;

/// The next thing that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// The first record of an image; [`Order::pop`] gives it.
    Record(ImageId),
    /// The end of an image, and when it was.
    End(ImageId, MonoNs),
}

#[derive(Debug)]
struct Lane {
    image: ImageId,
    queue: Queue,
    end: Option<LaneEnd>,
}

#[derive(Clone, Copy, Debug)]
struct LaneEnd {
    at: MonoNs,
    /// When it was first noted: holding it back changes `at`.
    noted: MonoNs,
    /// Every record of the image has been read.
    is_read: bool,
    /// The round in which it was tried, and waits for a word.
    held_in: u64,
}

/// Moments with their images, the earliest first.
type Earliest = BinaryHeap<Reverse<(MonoNs, ImageId)>>;

/// See the module.
#[derive(Debug, Default)]
pub struct Order {
    /// The moments up to which everything was heard, read and delivered.
    pub frontier: Frontier,
    lanes: Vec<Option<Lane>>,
    /// Images whose queue is not empty, and some whose queue has become so.
    waiting: Vec<ImageId>,
    /// Images that have ended.
    ending: Vec<ImageId>,
    /// Nothing later than this is due in this pass.
    horizon: MonoNs,
    /// The first records of the lanes but `current`'s.
    heads: Earliest,
    /// The lane that the last record came from: the next one often does too.
    current: Option<ImageId>,
    ends: Earliest,
    /// An end was told, or an earlier time for one, since `ends` was made.
    has_news_of_ends: bool,
    /// As many records wait for a ring's sake as may.
    is_crowded: bool,
    /// Counts passes and news of ends: an end is tried once in each round.
    round: u64,
}

impl Order {
    fn lane(&self, image: ImageId) -> Option<&Lane> {
        self.lanes.get(image.place())?.as_ref().filter(|lane| lane.image == image)
    }

    fn lane_mut(&mut self, image: ImageId) -> Option<&mut Lane> {
        self.lanes.get_mut(image.place())?.as_mut().filter(|lane| lane.image == image)
    }

    // ---- lanes ----

    /// Gives an image a lane. The bytes of its records that wait come out of `share`.
    pub fn add(&mut self, image: ImageId, share: Share) {
        if self.lanes.len() <= image.place() {
            self.lanes.resize_with(image.place() + 1, || None);
        }
        self.lanes[image.place()] = Some(Lane { image, queue: Queue::new(share), end: None });
    }

    /// Says that the numbers of an image begin at 0: a missing first record is a gap.
    pub fn begins(&mut self, image: ImageId) {
        if let Some(lane) = self.lane_mut(image) {
            lane.queue.begins();
        }
    }

    /// Forgets an image and the records that wait of it. It leaves the lists at the next pass: to look for
    /// each that goes would make a crowd of short-lived processes expensive.
    pub fn remove(&mut self, image: ImageId) {
        if self.lane(image).is_some() {
            self.lanes[image.place()] = None;
        }
    }

    /// Whether a record may go on at once, `is_alone` saying that no other image's record can come before it:
    /// gives its time. The records of one image that come in order are never copied.
    #[inline]
    pub fn passes(&mut self, image: ImageId, head: &Head, is_alone: bool) -> Option<MonoNs> {
        if !is_alone || MonoNs(head.time_ns) > self.frontier.assumed() {
            return None;
        }
        let lane = self.lane_mut(image)?;
        lane.queue.is_next(head).then(|| lane.queue.pass(head))
    }

    /// Adds a record of an image. False where the image's account has no bytes for it: then the records that
    /// wait of that image must go on first, whatever their turn.
    pub fn push(&mut self, image: ImageId, head: Head, numbering: Numbering, payload: &[u8]) -> bool {
        let Some(lane) = self.lane_mut(image) else { return true };
        let was_empty = lane.queue.is_empty();
        let has_room = lane.queue.push(head, numbering, payload);
        if was_empty && has_room {
            self.waiting.push(image);
        }
        has_room
    }

    /// Lets a record go on at once, after all that waited of its image: gives its time.
    pub fn pass(&mut self, image: ImageId, head: &Head) -> Option<MonoNs> {
        Some(self.lane_mut(image)?.queue.pass(head))
    }

    /// Takes out the first record of an image: its payload into `payload`.
    #[inline]
    pub fn pop(&mut self, image: ImageId, payload: &mut Vec<u8>) -> Option<Popped> {
        self.lane_mut(image)?.queue.pop(payload)
    }

    /// The first record of an image.
    #[inline]
    pub fn peek(&self, image: ImageId) -> Option<&Head> {
        self.lane(image)?.queue.peek()
    }

    fn first(&self, image: ImageId) -> Option<MonoNs> {
        self.lane(image)?.queue.first()
    }

    /// Images of which records wait.
    pub fn waiting(&self) -> &[ImageId] {
        &self.waiting
    }

    /// How many records wait.
    pub fn waiting_records(&self) -> usize {
        self.waiting.iter().filter_map(|image| self.lane(*image)).map(|lane| lane.queue.len()).sum()
    }

    /// Whether records may wait because a ring `is_filling`. Once [`MOST_WAITING`] do, none may until no ring
    /// is.
    pub fn may_wait(&mut self, is_filling: bool) -> bool {
        self.is_crowded = is_filling && (self.is_crowded || self.waiting_bytes() >= MOST_WAITING);
        is_filling && !self.is_crowded
    }

    /// The bytes that they take.
    pub fn waiting_bytes(&self) -> usize {
        self.waiting.iter().filter_map(|image| self.lane(*image)).map(|lane| lane.queue.size_bytes()).sum()
    }

    /// Whether a record waits whose time is `until` or before.
    pub fn has_waiting(&self, until: MonoNs) -> bool {
        self.waiting.iter().any(|image| self.first(*image).is_some_and(|first| first <= until))
    }

    // ---- ends ----

    /// Notes that an image ended at `at`, or earlier than was known; `is_read` says that every record of it
    /// has been read.
    pub fn end_at(&mut self, image: ImageId, at: MonoNs, is_read: bool) {
        let Some(lane) = self.lane_mut(image) else { return };
        match &mut lane.end {
            Some(end) => end.at = end.at.min(at),
            None => {
                lane.end = Some(LaneEnd { at, noted: at, is_read, held_in: 0 });
                self.ending.push(image);
            }
        }
        self.has_news_of_ends = true;
        // A word that was waited for may have come.
        self.round += 1;
    }

    /// Holds an end back that waits for a word. Other events go on meanwhile, so the end gets the time at
    /// which it can be reported.
    pub fn hold(&mut self, image: ImageId, now: MonoNs) {
        let (later, round) = (self.horizon.min(now).plus(1), self.round);
        if let Some(end) = self.lane_mut(image).and_then(|lane| lane.end.as_mut()) {
            end.at = end.at.max(later);
            end.held_in = round;
        }
    }

    /// Whether an image has ended and every record of it has been read.
    pub fn is_over(&self, image: ImageId) -> bool {
        self.lane(image).and_then(|lane| lane.end).is_some_and(|end| end.is_read)
    }

    /// Whether an end was noted lately, after `since`, and is not concluded.
    pub fn has_open_end(&self, since: MonoNs) -> bool {
        self.ending.iter().filter_map(|image| self.lane(*image)?.end).any(|end| end.noted > since)
    }

    // ---- a pass ----

    /// Begins a pass: everything up to `horizon` is due. `gone` gives the numbers of an image whose records
    /// will not come, `is_read` whether every record of an image that has ended has been read.
    pub fn begin_pass(
        &mut self,
        horizon: MonoNs,
        gone: impl Fn(ImageId) -> Option<u64>,
        is_read: impl Fn(ImageId) -> bool,
    ) {
        self.horizon = horizon;
        self.current = None;
        self.heads.clear();
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.retain(|image| self.lane(*image).is_some_and(|lane| !lane.queue.is_empty()));
        for image in &waiting {
            let Some(lane) = self.lane_mut(*image) else { continue };
            lane.queue.begin_pass();
            if let Some(gone) = gone(*image) {
                lane.queue.set_lost(gone);
            }
            if let Some(first) = lane.queue.first() {
                self.heads.push(Reverse((first, *image)));
            }
        }
        self.waiting = waiting;
        let mut ending = std::mem::take(&mut self.ending);
        ending.retain(|image| self.lane(*image).is_some());
        for image in ending.iter().copied() {
            if let Some(end) = self.lane_mut(image).and_then(|lane| lane.end.as_mut()) {
                end.is_read = end.is_read || is_read(image);
            }
        }
        self.ending = ending;
        self.has_news_of_ends = true;
        self.round += 1;
    }

    /// Ends a pass; `is_whole` says that nothing is due any more.
    pub fn end_pass(&mut self, is_whole: bool) {
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.retain(|image| self.lane(*image).is_some_and(|lane| !lane.queue.is_empty()));
        self.waiting = waiting;
        if is_whole {
            self.frontier.reach(self.horizon);
        }
    }

    /// The next thing that is due in this pass: the earliest record, or an end that comes before it.
    pub fn due(&mut self) -> Option<Due> {
        if std::mem::take(&mut self.has_news_of_ends) {
            self.list_ends();
        }
        let mut reached = self.horizon.min(self.frontier.border());
        let end = self.ends.peek().map(|Reverse(end)| *end).filter(|(at, _)| *at <= reached);
        let limit = end.map_or(reached, |(at, _)| at);
        if let Some((first, image)) = self.earliest()
            && first <= limit
        {
            if !self.waits_for_gap(image) {
                return Some(Due::Record(image));
            }
            // The missing record comes before everything that is later.
            reached = first.minus(1);
        }
        let (at, image) = end.filter(|(at, _)| *at <= reached)?;
        // The last records of its threads may bear later times than its end.
        if self.first(image).is_some() {
            return Some(Due::Record(image));
        }
        self.ends.pop();
        // Others may have gone on before this was known. What went out of its turn does not count: its time
        // may be any.
        Some(Due::End(image, at.max(self.frontier.delivered().min(self.horizon))))
    }

    /// Makes `ends` of the ends that can be reported.
    fn list_ends(&mut self) {
        let (horizon, round) = (self.horizon, self.round);
        let ends = self.ending.iter().filter_map(|image| Some((*image, self.lane(*image)?.end?)));
        let can_be = |end: &LaneEnd| end.held_in != round && end.is_read && end.at <= horizon;
        self.ends =
            ends.filter(|(_, end)| can_be(end)).map(|(image, end)| Reverse((end.at, image))).collect();
    }

    /// The image with the earliest record, and that record's time.
    #[inline]
    fn earliest(&mut self) -> Option<(MonoNs, ImageId)> {
        if let Some(image) = self.current {
            match self.first(image) {
                Some(first) if self.heads.peek().is_none_or(|Reverse((next, _))| first <= *next) => {
                    return Some((first, image));
                }
                Some(first) => self.heads.push(Reverse((first, image))),
                None => {}
            }
            self.current = None;
        }
        while let Some(Reverse((listed, image))) = self.heads.pop() {
            match self.first(image) {
                Some(first) if first == listed => {
                    self.current = Some(image);
                    return Some((first, image));
                }
                // Its first records were taken out before their time.
                Some(first) => self.heads.push(Reverse((first, image))),
                None => {}
            }
        }
        None
    }

    /// Whether a record before the first one of an image is missing, and may still come.
    fn waits_for_gap(&self, image: ImageId) -> bool {
        let Some(lane) = self.lane(image) else { return false };
        let is_waiting = lane.queue.waits_until().is_some_and(|until| until > self.horizon);
        is_waiting && !lane.end.is_some_and(|end| end.is_read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn end_that_is_held_back_for_long_is_no_news() {
        let (mut order, image) = (Order::default(), ImageId::new(1, 0));
        order.add(image, Share::default());
        order.end_at(image, MonoNs(100), true);

        for now in [200, 300] {
            order.begin_pass(MonoNs(now), |_| None, |_| true);
            assert!(matches!(order.due(), Some(Due::End(..))));
            order.hold(image, MonoNs(now));
            assert_eq!(None, order.due());
            order.end_pass(true);
        }

        assert_eq!([true, false], [order.has_open_end(MonoNs(99)), order.has_open_end(MonoNs(100))]);
    }

    #[test]
    fn end_that_is_read_late_is_not_told_before_what_went_on_in_its_turn() {
        let head = |time_ns| {
            let (seq, ret, pid, tid, kind, call) = (0, 0, 1, 1, 20, 0);
            Head { time_ns, seq, ret, pid, tid, kind, call, errno: 0, via: 0, flags: 0 }
        };
        let end_after = |out_of_turn: Option<u64>| {
            let (mut order, dead, busy) = (Order::default(), ImageId::new(1, 0), ImageId::new(2, 1));
            order.add(dead, Share::default());
            order.add(busy, Share::default());
            order.end_at(dead, MonoNs(100), false);
            order.push(busy, head(200), Numbering::PerImage, b"");
            order.begin_pass(MonoNs(300), |_| None, |_| false);
            assert_eq!(Some(Due::Record(busy)), order.due());
            let at = order.pop(busy, &mut Vec::new()).unwrap().at;
            order.frontier.deliver(at);
            out_of_turn.into_iter().for_each(|time| order.frontier.deliver(MonoNs(time)));
            assert_eq!(None, order.due());
            order.end_pass(true);
            order.begin_pass(MonoNs(400), |_| None, |_| true);
            order.due()
        };

        assert_eq!(Some(Due::End(ImageId::new(1, 0), MonoNs(200))), end_after(None));
        assert_eq!(Some(Due::End(ImageId::new(1, 0), MonoNs(400))), end_after(Some(50_000)));
    }
}
