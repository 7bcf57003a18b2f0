//! The request that was served at a time: an AWS Lambda sandbox serves one at a time.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::ids::MonoNs;

/// Turns that are remembered: late events belong to the last ones.
const MOST_TURNS: usize = 16;

/// The requests served last, by the time at which each began.
#[derive(Debug, Default)]
pub struct Requests {
    /// In the order of their times; before the first, nothing was served.
    turns: VecDeque<(MonoNs, Option<Arc<str>>)>,
    /// The first is not among them any more.
    has_forgotten: bool,
}

impl Requests {
    /// From `from` on `request_id` is served, or nothing.
    pub fn turn(&mut self, from: MonoNs, request_id: Option<Arc<str>>) {
        // One that begins before an earlier one began takes its place.
        self.turns.retain(|(began, _)| *began < from);
        if self.turns.len() == MOST_TURNS {
            self.turns.pop_front();
            self.has_forgotten = true;
        }
        self.turns.push_back((from, request_id));
    }

    /// Whether nothing was ever served.
    pub fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// The first request was served from `from` on, where that is earlier than it was known to be.
    pub fn first_from(&mut self, from: MonoNs) {
        if let Some((began, _)) = self.turns.front_mut().filter(|_| !self.has_forgotten) {
            *began = from.min(*began);
        }
    }

    /// The request that was served at `at`.
    #[inline]
    pub fn at(&self, at: MonoNs) -> Option<&Arc<str>> {
        let turn = self.turns.iter().rev().find(|(began, _)| *began <= at);
        turn.and_then(|(_, request_id)| request_id.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(requests: &Requests, times: &[u64]) -> Vec<Option<String>> {
        times.iter().map(|time_ns| requests.at(MonoNs(*time_ns)).map(ToString::to_string)).collect()
    }

    fn some(id: &str) -> Option<String> {
        Some(id.to_owned())
    }

    #[test]
    fn time_says_which_request_was_served() {
        let mut requests = Requests::default();
        requests.turn(MonoNs(100), Some("a".into()));
        requests.turn(MonoNs(200), None);
        requests.turn(MonoNs(300), Some("b".into()));

        let found = served(&requests, &[0, 99, 100, 199, 200, 299, 300, u64::MAX]);

        assert_eq!(vec![None, None, some("a"), some("a"), None, None, some("b"), some("b")], found);
    }

    #[test]
    fn turn_that_begins_earlier_takes_the_place_of_later_ones() {
        let mut requests = Requests::default();
        requests.turn(MonoNs(100), Some("a".into()));
        requests.turn(MonoNs(200), Some("b".into()));
        requests.turn(MonoNs(150), Some("c".into()));

        assert_eq!(vec![some("a"), some("c"), some("c")], served(&requests, &[120, 150, 250]));
    }

    #[test]
    fn first_request_may_have_begun_earlier_but_no_other_and_not_later() {
        let mut requests = Requests::default();
        requests.first_from(MonoNs(5));
        requests.turn(MonoNs(100), Some("a".into()));
        requests.turn(MonoNs(200), Some("b".into()));
        requests.first_from(MonoNs(150));
        let as_before = served(&requests, &[99, 100]);
        requests.first_from(MonoNs(50));

        assert_eq!(vec![None, some("a")], as_before);
        assert_eq!(vec![None, some("a"), some("b")], served(&requests, &[49, 50, 200]));
    }

    #[test]
    fn a_bounded_number_of_turns_is_remembered() {
        let mut requests = Requests::default();
        for turn in 1..=100_u64 {
            requests.turn(MonoNs(turn * 10), Some(turn.to_string().into()));
        }

        requests.first_from(MonoNs(0));

        assert_eq!(MOST_TURNS, requests.turns.len());
        assert_eq!(vec![None, some("85"), some("100")], served(&requests, &[849, 850, 5000]));
    }
}
