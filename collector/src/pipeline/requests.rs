//! Requests: flushes on demand, and the border behind which events belong to the next request (AWS Lambda).

use super::conductor::Pipeline;
use crate::door::news::{Flush, Turn};
use crate::ids::MonoNs;

/// Records that are held back for the next request, at most.
const MOST_HELD: usize = 1 << 16;

impl Pipeline {
    /// Another request is served: events that were held back belong to it.
    pub(super) fn turn(&mut self, turn: Turn, heard: MonoNs) {
        // A sandbox may have been frozen, and UTC have gone on meanwhile.
        self.enricher.clock.follow();
        let from = self.order.frontier.release().map_or(heard, |border| border.plus(1));
        match turn {
            Turn::To(request_id) => self.enricher.requests.turn(from, Some(request_id)),
            Turn::ToNone => self.enricher.requests.turn(from, None),
            Turn::ToTheSame => {}
        }
    }

    /// A program began, at `at`, to ask for requests: later events belong to the first, which may be known
    /// already.
    pub(super) fn first_asked(&mut self, at: MonoNs) {
        self.flushes.forget_source();
        match self.enricher.requests.is_empty() {
            true => self.order.frontier.hold_from(at),
            false => self.enricher.requests.first_from(at.plus(1)),
        }
    }

    /// Whether more is held back than there should be: a sandbox that is not frozen goes on without a
    /// request.
    fn holds_too_much(&self) -> bool {
        self.order.frontier.has_border() && self.order.waiting_records() > MOST_HELD
    }

    /// Answers the flushes whose events are delivered, or cannot be waited for any longer.
    pub(super) fn answer_flushes(&mut self, now: MonoNs) {
        if self.holds_too_much() {
            self.turn(Turn::ToNone, now);
        }
        for mut flush in self.flushes.take() {
            if !self.is_delivered(&mut flush, now) && now < flush.deadline {
                self.flushes.add(flush);
                continue;
            }
            self.audit(now);
            self.publish();
            if flush.is_border && !self.order.frontier.has_border() {
                // No event that was delivered is later than this.
                self.order.frontier.hold_from(MonoNs::now());
            }
            self.outbox.flush(&flush.done_tx);
        }
    }

    /// Whether everything that a flush asks for has been delivered.
    fn is_delivered(&self, flush: &mut Flush, now: MonoNs) -> bool {
        let (frontier, until) = (&self.order.frontier, flush.until);
        // A death that the doorman has not come to yet would come out with the next request.
        let is_told = frontier.certain() >= until && frontier.reached() >= until.min(frontier.border());
        if !is_told {
            return false;
        }
        // Processes that were told of just now may have been dead for long.
        let told = *flush.told.get_or_insert(now);
        !self.order.has_waiting(until) && !self.census.has_open_end(told)
    }

    /// How many flushes wait.
    #[cfg(test)]
    pub fn waiting_flushes(&self) -> usize {
        self.flushes.len()
    }
}
