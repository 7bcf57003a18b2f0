//! Passes: what is due goes on, record by record.
//!
//! To read a record costs a quarter of what it costs to turn it into an event. So while a ring is filling
//! faster than its records go on, they are read first, and wait in the order: a burst of a program that has
//! many threads is as long as the ring and what may wait together before an event is lost.

use wire::events::Kind;

use super::conductor::Pipeline;
use crate::ids::{ImageId, MonoNs};
use crate::order::{Due, Popped};

/// Records and ends that go on between two looks at the rings: some milliseconds.
const LOOK_AFTER: usize = 4096;

impl Pipeline {
    /// Finds out whether a ring is filling, so that it must be read before anything else.
    fn must_read(&mut self) -> bool {
        self.postpones = self.order.may_wait(self.rings.is_filling());
        self.postpones
    }

    /// The same where records would go on as they are read.
    #[inline]
    pub(super) fn look_at_rings(&mut self) {
        if self.is_alone() {
            self.must_read();
        }
    }

    /// Delivers everything that is due up to `horizon`, and in its place between the records the ends of
    /// images.
    pub(super) fn deliver_due(&mut self, now: MonoNs, horizon: MonoNs) {
        while !self.deliver_some(now, horizon) {}
    }

    /// As [`Self::deliver_due`], until a ring must be read: false then, and the rest is due later.
    pub(super) fn deliver_some(&mut self, now: MonoNs, horizon: MonoNs) -> bool {
        // Also those that came up without an arrival: a ring that is blocked holds every other one back.
        self.give_up_nonsense(now);
        let (census, rings) = (&self.census, &self.rings);
        self.order.begin_pass(
            horizon,
            |image| census.gone(image, rings),
            |image| census.is_read(image, rings),
        );
        let mut until_look = LOOK_AFTER;
        let is_whole = loop {
            match self.order.due() {
                Some(Due::Record(image)) => self.deliver_next(image),
                Some(Due::End(image, at)) => self.conclude(image, at, now),
                None => break true,
            }
            self.give_up_nonsense(now);
            until_look -= 1;
            if until_look == 0 {
                if self.must_read() {
                    break false;
                }
                until_look = LOOK_AFTER;
            }
        };
        self.order.end_pass(is_whole);
        is_whole
    }

    /// Delivers the first record of an image. Before a program's start come all records of the image before
    /// it in the same process.
    fn deliver_next(&mut self, image: ImageId) {
        if let Some(before) = self.unfinished_before(image) {
            self.deliver_all(before);
        }
        self.deliver_first(image);
    }

    fn deliver_first(&mut self, image: ImageId) {
        let mut payload = std::mem::take(&mut self.payload);
        if let Some(Popped { head, numbering, at }) = self.order.pop(image, &mut payload) {
            self.deliver(image, numbering, head, at, &payload);
        }
        self.payload = payload;
    }

    /// The image whose records come before the first one of `image`, if that is a program's start.
    fn unfinished_before(&self, image: ImageId) -> Option<ImageId> {
        let is_start = self.order.peek(image).is_some_and(|head| head.kind == Kind::ProcessStart as u16);
        let before = if is_start { self.census.before(image)? } else { return None };
        self.order.peek(before).is_some().then_some(before)
    }

    /// Delivers every record of an image that was read, whatever else is due.
    pub(super) fn deliver_all(&mut self, image: ImageId) {
        // The images of a process form a chain, so no image comes twice.
        let mut chain = vec![image];
        while let Some(last) = chain.last().copied() {
            if self.order.peek(last).is_none() {
                chain.pop();
            } else if let Some(before) = self.unfinished_before(last).filter(|before| !chain.contains(before))
            {
                chain.push(before);
            } else {
                self.deliver_first(last);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use wire::ring::Memory as _;

    use super::super::simulated::{Harness, Sensor};
    use super::*;
    use crate::arrival::{HOLD_NS, Numbering};
    use crate::order::MOST_WAITING;

    /// Writes opens until `bytes` of the ring are taken; gives how many.
    fn fill(sensor: &Sensor, bytes: u64) -> u64 {
        let (mut opens, name) = (0, "x".repeat(130));
        while sensor.ring.tail().load(Ordering::Relaxed) < bytes {
            sensor.open(0, &name, 3, 0);
            opens += 1;
        }
        opens
    }

    /// A round, so late that all that was written is due.
    fn round(harness: &mut Harness) -> bool {
        harness.pipeline.round(MonoNs::now().plus(2 * HOLD_NS)).has_more
    }

    #[test]
    fn ring_that_is_filling_is_read_before_what_waits_goes_on() {
        for companions in [0, 1] {
            let mut harness = Harness::new();
            let busy = Sensor::new(10, 4 << 20);
            let others: Vec<Sensor> =
                (0..companions).map(|number| Sensor::new(20 + number, 1 << 17)).collect();
            for sensor in others.iter().chain([&busy]) {
                sensor.start("/bin/prog", "/home/u");
                harness.attach(sensor, 1);
            }
            let opens = fill(&busy, 7 << 19);

            let mut waited = Vec::new();
            let mut has_more = true;
            while has_more {
                has_more = round(&mut harness);
                waited.push(harness.pipeline.order.waiting_records());
            }
            harness.die(10, 0);
            let events = harness.finish();

            // The first turn leaves more than half of the ring; the last does not.
            assert!(waited[0] > 0 && waited.last() == Some(&0), "{waited:?} of {opens}");
            let numbers: Vec<u64> = events
                .iter()
                .filter(|event| event["pid"] == 10)
                .filter_map(|event| event["seq"].as_u64())
                .collect();
            assert!(numbers.is_sorted() && numbers.len() as u64 > opens, "{} of {opens}", numbers.len());
        }
    }

    #[test]
    fn what_waits_for_a_rings_sake_is_bounded() {
        let mut harness = Harness::new();
        let busy = Sensor::new(10, 1 << 17);
        busy.start("/bin/prog", "/home/u");
        harness.attach(&busy, 1);
        fill(&busy, 3 << 15);
        let image = harness.image(10);
        let pipeline = &mut harness.pipeline;
        let payload = vec![0; 64 << 10];
        let mut must_read = vec![pipeline.must_read()];

        while pipeline.order.waiting_bytes() < MOST_WAITING {
            let head = busy.head(0, Kind::FileOpen);
            pipeline.order.push(image, head, Numbering::PerImage, &payload);
        }
        must_read.push(pipeline.must_read());
        while pipeline.order.pop(image, &mut Vec::new()).is_some() {}
        must_read.push(pipeline.must_read());
        round(&mut harness);
        must_read.push(harness.pipeline.must_read());
        fill(&busy, 6 << 15);
        must_read.push(harness.pipeline.must_read());

        assert_eq!(vec![true, false, false, false, true], must_read);
    }
}
