//! Stateful rules: a rule with a window fires only after it matched often enough within a time.
//!
//! The engine says that an event matches a rule; [`Windows::admit`] then says whether that is the one too
//! many. A window of one event is the opposite: the first event fires, and those that follow it within the
//! window do not. Time comes from the events alone, so that a recording gives the alerts that it gave live.
//!
//! Programs of such rules are [`crate::Program::counting`], so that the engine shows them each event that
//! matches.
//!
//! Memory is bounded: each rule keeps at most [`MOST_KEYS`] keys and [`MOST_KEPT`] events or values of all
//! keys together. The key that was used longest ago makes room, and [`Windows::evictions`] counts it.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hash, Hasher, RandomState};

use crate::field::{Answer, FieldUse, Subject};

/// The most keys of a rule.
pub const MOST_KEYS: usize = 4096;

/// The most events, or distinct values, that a rule keeps for all keys.
pub const MOST_KEPT: usize = 65_536;

/// The highest count that a window may ask for.
pub const MOST_COUNT: u32 = 10_000;

/// How often a rule must match, and within which time, before it fires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// This many events, or distinct values; from 1 to [`MOST_COUNT`].
    pub count: u32,
    /// Count the values of this field, each once; an event without a value does not count.
    pub distinct: Option<FieldUse>,
    /// Count for each combination of these fields' values apart; that a field has no value is a value here.
    pub by: Vec<FieldUse>,
    /// The length of the window in nanoseconds.
    pub within_ns: u64,
}

/// The windows of all rules, and what they counted.
#[derive(Debug, Default)]
pub struct Windows {
    states: Vec<Option<State>>,
    hashes: RandomState,
    evictions: u64,
}

#[derive(Debug)]
struct State {
    window: Window,
    /// By the hash of the key's values.
    keys: HashMap<u64, Key>,
    /// Keys in the order of their last use, with the number of that use; those that were used again are old.
    uses: VecDeque<(u64, u64)>,
    use_number: u64,
    kept: usize,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    time_ns: u64,
    /// The hash of the distinct value, or 0.
    value: u64,
    number: u64,
}

#[derive(Debug, Default)]
struct Key {
    /// In the order of the events.
    events: VecDeque<Seen>,
    /// If the window counts distinct values: the number of the last event that has each of them.
    values: HashMap<u64, u64>,
    last_use: u64,
}

impl Windows {
    /// The windows of rules in the engine's order; `None` for a rule that has none.
    #[must_use]
    pub fn new(windows: impl IntoIterator<Item = Option<Window>>) -> Self {
        let state = |window: Window| State {
            window,
            keys: HashMap::new(),
            uses: VecDeque::new(),
            use_number: 0,
            kept: 0,
        };
        Self {
            states: windows.into_iter().map(|window| window.map(state)).collect(),
            hashes: RandomState::new(),
            evictions: 0,
        }
    }

    /// Counts an event that matches a rule, and says whether the rule fires.
    ///
    /// A rule without a window always fires. When a window is full, its rule fires and the window of that key
    /// begins anew; a window of one event begins anew after its length, for each distinct value apart. An
    /// event that is older than the window's length before the key's latest does not count.
    pub fn admit(&mut self, rule: usize, time_ns: u64, subject: &dyn Subject) -> bool {
        self.admit_apart(rule, time_ns, subject, None)
    }

    /// The same, where events of other machines are judged too: those of each machine count by themselves,
    /// since numbers of processes and names of containers repeat.
    pub fn admit_apart(
        &mut self,
        rule: usize,
        time_ns: u64,
        subject: &dyn Subject,
        machine: Option<&str>,
    ) -> bool {
        let Some(Some(state)) = self.states.get_mut(rule) else { return true };
        let value = match &state.window.distinct {
            Some(field) => match subject.field(field.id, field.argument.as_ref()) {
                Answer::Absent | Answer::Presumed(_) => return false,
                value => hash(&self.hashes, [&value]),
            },
            None => 0,
        };
        let by = &state.window.by;
        let machine = machine.map(|machine| Answer::Text(machine.as_bytes().into()));
        let parts: Vec<Answer> =
            by.iter().map(|field| subject.field(field.id, field.argument.as_ref())).chain(machine).collect();
        let key = hash(&self.hashes, &parts);
        let fires = state.count(key, value, time_ns);
        self.evictions += state.make_room();
        fires
    }

    /// How many keys made room for others, and may have lost what was counted for them.
    #[must_use]
    pub fn evictions(&self) -> u64 {
        self.evictions
    }
}

impl State {
    fn count(&mut self, hash: u64, value: u64, time_ns: u64) -> bool {
        self.use_number += 1;
        let key = self.keys.entry(hash).or_default();
        key.last_use = self.use_number;
        self.uses.push_back((hash, self.use_number));
        let latest = key.events.back().map_or(time_ns, |last| time_ns.max(last.time_ns));
        let before = key.events.len();
        key.forget(latest.saturating_sub(self.window.within_ns));
        let mut is_full = false;
        let is_once = self.window.count == 1;
        let has_fired = is_once
            && match self.window.distinct {
                Some(_) => key.values.contains_key(&value),
                None => !key.events.is_empty(),
            };
        if latest - time_ns <= self.window.within_ns && !has_fired {
            // Events come nearly in order; one that comes late counts as the latest, so that the order holds.
            key.events.push_back(Seen { time_ns: latest, value, number: self.use_number });
            let count = match self.window.distinct {
                Some(_) => key.note(value, self.use_number),
                None => key.events.len(),
            };
            is_full = count >= self.window.count as usize;
        }
        let begins_anew = is_full && !is_once;
        let after = if begins_anew { 0 } else { key.events.len() };
        self.kept = self.kept + after - before;
        if begins_anew {
            self.keys.remove(&hash);
        }
        is_full
    }

    /// Drops the keys that were used longest ago until the bounds hold; returns how many.
    fn make_room(&mut self) -> u64 {
        let mut evictions = 0;
        while self.keys.len() > MOST_KEYS || self.kept > MOST_KEPT {
            let Some((hash, number)) = self.uses.pop_front() else { break };
            let is_last_use = self.keys.get(&hash).is_some_and(|key| key.last_use == number);
            if is_last_use && let Some(key) = self.keys.remove(&hash) {
                self.kept -= key.events.len();
                evictions += 1;
            }
        }
        if self.uses.len() > 2 * MOST_KEYS {
            let keys = &self.keys;
            self.uses.retain(|(hash, number)| keys.get(hash).is_some_and(|key| key.last_use == *number));
        }
        evictions
    }
}

impl Key {
    /// Drops events from before `since`.
    fn forget(&mut self, since: u64) {
        while let Some(seen) = self.events.front().copied()
            && seen.time_ns < since
        {
            self.events.pop_front();
            if self.values.get(&seen.value) == Some(&seen.number) {
                self.values.remove(&seen.value);
            }
        }
    }

    /// Notes that the last event has this value, and returns how many values there are.
    fn note(&mut self, value: u64, number: u64) -> usize {
        self.values.insert(value, number);
        if self.events.len() > 2 * self.values.len() + SLACK {
            let values = &self.values;
            self.events.retain(|seen| values.get(&seen.value) == Some(&seen.number));
        }
        self.values.len()
    }
}

/// Events whose value was seen again are kept until they are more than the others by this many.
const SLACK: usize = 16;

fn hash<'a>(hashes: &RandomState, answers: impl IntoIterator<Item = &'a Answer<'a>>) -> u64 {
    let mut hasher = hashes.build_hasher();
    for answer in answers {
        feed(answer, &mut hasher);
    }
    hasher.finish()
}

/// A number is the same whether the subject gave it signed or not.
fn feed(answer: &Answer, hasher: &mut impl Hasher) {
    match answer {
        Answer::Absent | Answer::Presumed(_) => 0_u8.hash(hasher),
        Answer::Text(text) => (1_u8, text.as_ref()).hash(hasher),
        Answer::Int(number) => (2_u8, i128::from(*number)).hash(hasher),
        Answer::Uint(number) => (2_u8, i128::from(*number)).hash(hasher),
        Answer::Bool(flag) => (3_u8, flag).hash(hasher),
        Answer::Address(address) => (4_u8, address).hash(hasher),
        Answer::List(answers) => {
            (5_u8, answers.len()).hash(hasher);
            answers.iter().for_each(|answer| feed(answer, hasher));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::{Argument, FieldId};

    /// Answers with the two numbers: field 0 is the key, field 1 the value.
    struct Pair(u64, Option<u64>);

    impl Subject for Pair {
        fn field(&self, id: FieldId, _argument: Option<&Argument>) -> Answer<'_> {
            match id.0 {
                0 => Answer::Uint(self.0),
                _ => self.1.map_or(Answer::Absent, Answer::Uint),
            }
        }
    }

    const SECOND: u64 = 1_000_000_000;

    fn field(id: u16) -> FieldUse {
        FieldUse { id: FieldId(id), argument: None }
    }

    fn windows(count: u32, distinct: bool, seconds: u64) -> Windows {
        let distinct = distinct.then(|| field(1));
        Windows::new([Some(Window { count, distinct, by: vec![field(0)], within_ns: seconds * SECOND })])
    }

    #[test]
    fn a_rule_without_a_window_always_fires() {
        let mut windows = Windows::new([None]);

        assert!(windows.admit(0, 0, &Pair(1, None)));
    }

    #[test]
    fn a_window_fires_at_the_count_and_begins_anew() {
        let mut windows = windows(3, false, 10);

        let fired: Vec<bool> = (0..7).map(|n| windows.admit(0, n * SECOND, &Pair(1, None))).collect();

        assert_eq!(vec![false, false, true, false, false, true, false], fired);
    }

    #[test]
    fn events_that_are_too_far_apart_do_not_fire() {
        let mut windows = windows(3, false, 10);

        let fired = (0..100).any(|n| windows.admit(0, n * 6 * SECOND, &Pair(1, None)));

        assert!(!fired);
    }

    #[test]
    fn each_key_is_counted_apart() {
        let mut windows = windows(2, false, 10);

        let fired: Vec<bool> =
            [1, 2, 3, 2].iter().map(|key| windows.admit(0, 0, &Pair(*key, None))).collect();

        assert_eq!(vec![false, false, false, true], fired);
    }

    #[test]
    fn events_of_two_machines_count_apart() {
        let mut windows = windows(2, false, 10);

        let mut on = |machine| windows.admit_apart(0, 0, &Pair(1, None), machine);

        assert_eq!([false, false, false, true], [on(Some("a")), on(Some("b")), on(None), on(Some("a"))]);
    }

    #[test]
    fn a_distinct_value_counts_once() {
        let mut windows = windows(3, true, 10);

        let values = [7, 7, 8, 7, 8, 9];
        let fired: Vec<bool> =
            values.iter().map(|value| windows.admit(0, 0, &Pair(1, Some(*value)))).collect();

        assert_eq!(vec![false, false, false, false, false, true], fired);
    }

    #[test]
    fn an_event_without_a_value_is_not_counted_as_distinct() {
        let mut windows = windows(2, true, 10);

        let fired: Vec<bool> =
            [Some(1), None, None].iter().map(|value| windows.admit(0, 0, &Pair(1, *value))).collect();

        assert_eq!(vec![false, false, false], fired);
    }

    #[test]
    fn a_window_of_one_event_fires_once_within_its_length() {
        let mut windows = windows(1, false, 10);
        let times = [0, 1, 10, 11, 20, 22];

        let fired: Vec<bool> =
            times.iter().map(|time| windows.admit(0, time * SECOND, &Pair(1, None))).collect();

        assert_eq!(vec![true, false, false, true, false, true], fired);
        assert!(windows.admit(0, 22 * SECOND, &Pair(2, None)), "another key is apart");
    }

    #[test]
    fn a_window_of_one_distinct_value_fires_once_for_each() {
        let mut windows = windows(1, true, 10);
        let seen = [(0, 7), (1, 7), (2, 8), (3, 7), (11, 7), (12, 8)];

        let fired: Vec<bool> = seen
            .iter()
            .map(|(time, value)| windows.admit(0, time * SECOND, &Pair(1, Some(*value))))
            .collect();

        assert_eq!(vec![true, false, true, false, true, false], fired);
    }

    #[test]
    fn a_late_event_counts_if_it_is_not_older_than_the_window() {
        let mut windows = windows(3, false, 10);
        let times = [100, 95, 80, 99];

        let fired: Vec<bool> =
            times.iter().map(|time| windows.admit(0, time * SECOND, &Pair(1, None))).collect();

        assert_eq!(vec![false, false, false, true], fired);
    }

    #[test]
    fn keys_beyond_the_bound_are_evicted_and_counted() {
        let mut windows = windows(2, false, 1_000_000);
        let extra = 10;

        for key in 0..(MOST_KEYS + extra) as u64 {
            windows.admit(0, key, &Pair(key, None));
        }

        assert_eq!(extra as u64, windows.evictions());
        assert!(!windows.admit(0, 0, &Pair(0, None)), "the first key was forgotten");
        assert!(windows.admit(0, 0, &Pair(MOST_KEYS as u64, None)), "the last ones were not");
    }

    #[test]
    fn events_of_all_keys_together_are_bounded() {
        let mut windows = windows(MOST_COUNT, false, 1_000_000);

        for n in 0..3 * MOST_KEPT as u64 {
            windows.admit(0, n, &Pair(n % 8, None));
        }

        let kept = windows.states.iter().flatten().map(|state| state.kept).sum::<usize>();
        let held = windows.states.iter().flatten().flat_map(|state| state.keys.values());
        assert_eq!(kept, held.map(|key| key.events.len()).sum::<usize>());
        assert!(kept <= MOST_KEPT);
        assert!(windows.evictions() > 0);
        assert!(windows.states.iter().flatten().all(|state| state.uses.len() <= 2 * MOST_KEYS + 1));
    }
}
