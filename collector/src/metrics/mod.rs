//! Counts for Prometheus, on request (`--metrics`).
//!
//! The deliverer notes each batch under one lock, so that a batch costs some nanoseconds an event; [`page`]
//! writes the counts as text when they are asked for, in a thread of [`server`]. Labels have few values: a
//! kind, an output's format, a reason, a rule; never a pid or a path.

mod page;
pub mod server;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use rules::file::Priority;
use wire::events::Kind;
use wire::schema::EVENTS;

use crate::event::{Batch, Shape, Value};
use crate::sinks::worker::Shared;

/// Rules that are counted apart; the alerts of all others are counted as `other`.
const MOST_RULES: usize = 200;
/// Outputs that are counted.
const MOST_OUTPUTS: usize = 64;

/// See the module.
#[derive(Debug)]
pub struct Metrics {
    places: Places,
    sums: Mutex<Sums>,
    outputs: Mutex<Vec<(String, Weak<Shared>)>>,
}

/// Places of fields.
#[derive(Debug)]
struct Places {
    loss_count: usize,
    loss_reason: usize,
    blind_reason: usize,
    coverage: usize,
    sensor_ns: usize,
}

/// Sums over all events.
#[derive(Clone, Debug, Default)]
struct Sums {
    /// By the kind's number.
    kinds: Vec<u64>,
    lost: BTreeMap<&'static str, u64>,
    /// By coverage and reason.
    processes: BTreeMap<(&'static str, &'static str), u64>,
    alerts: BTreeMap<(String, &'static str), u64>,
    sensor_ns: u64,
}

impl Default for Metrics {
    fn default() -> Self {
        let place = Shape::place;
        let places = Places {
            loss_count: place(Kind::SensorLoss, "count"),
            loss_reason: place(Kind::SensorLoss, "reason"),
            blind_reason: place(Kind::SensorBlind, "reason"),
            coverage: place(Kind::ProcessStart, "coverage"),
            sensor_ns: place(Kind::ProcessExit, "sensor_ns"),
        };
        let most = EVENTS.iter().map(|spec| spec.kind as usize + 1).max().unwrap_or(0);
        let sums = Sums { kinds: vec![0; most], ..Sums::default() };
        Self { places, sums: Mutex::new(sums), outputs: Mutex::default() }
    }
}

impl Metrics {
    fn sums(&self) -> MutexGuard<'_, Sums> {
        // Whole at any time: counters only.
        self.sums.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn outputs(&self) -> MutexGuard<'_, Vec<(String, Weak<Shared>)>> {
        self.outputs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts what the outputs are given.
    pub fn note(&self, batch: &Batch) {
        let sums = &mut *self.sums();
        for event in &batch.events {
            if let Some(count) = sums.kinds.get_mut(event.kind as usize) {
                *count += 1;
            }
            let word = |place: usize| match batch.values(event).get(place) {
                Some(Value::Word(word)) => *word,
                _ => "",
            };
            let number = |place: usize| match batch.values(event).get(place) {
                Some(Value::Uint(number)) => *number,
                _ => 0,
            };
            let places = &self.places;
            match event.kind {
                Kind::SensorLoss => add(&mut sums.lost, word(places.loss_reason), number(places.loss_count)),
                Kind::SensorBlind => add(&mut sums.processes, ("blind", word(places.blind_reason)), 1),
                // A blind one has its own event.
                Kind::ProcessStart if word(places.coverage) != "blind" => {
                    let coverage = Some(word(places.coverage)).filter(|word| !word.is_empty());
                    add(&mut sums.processes, (coverage.unwrap_or("hooked"), ""), 1);
                }
                Kind::ProcessExit => {
                    sums.sensor_ns = sums.sensor_ns.saturating_add(number(places.sensor_ns));
                }
                _ => {}
            }
        }
        for alert in &batch.alerts {
            sums.alert(&alert.rule.name, alert.rule.priority);
        }
    }

    /// Counts an output, named after its format; two of a format are told apart by a number.
    pub fn add_output(&self, format: &str, shared: &Arc<Shared>) {
        let mut outputs = self.outputs();
        outputs.retain(|(_, shared)| shared.strong_count() > 0);
        let is_taken = |name: &str| outputs.iter().any(|(other, _)| other == name);
        let names = (2..).map(|number| format!("{format}-{number}"));
        let name = std::iter::once(format.to_owned()).chain(names).find(|name| !is_taken(name));
        if let Some(name) = name.filter(|_| outputs.len() < MOST_OUTPUTS) {
            outputs.push((name, Arc::downgrade(shared)));
        }
    }
}

impl Sums {
    fn alert(&mut self, rule: &str, priority: Priority) {
        let key = (rule.to_owned(), priority.name());
        let is_known = self.alerts.len() < MOST_RULES || self.alerts.contains_key(&key);
        add(&mut self.alerts, if is_known { key } else { ("other".to_owned(), key.1) }, 1);
    }
}

fn add<K: Ord>(sums: &mut BTreeMap<K, u64>, key: K, count: u64) {
    let sum = sums.entry(key).or_default();
    *sum = sum.saturating_add(count);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::sample;

    #[test]
    fn rules_beyond_the_bound_are_counted_together_and_names_are_escaped() {
        let metrics = Metrics::default();
        for index in 0..1000 {
            metrics.sums().alert(&format!("rule {index}"), Priority::Error);
        }
        metrics.sums().alert("other", Priority::Error);
        metrics.sums().alerts.insert(("a \"b\"\\\nc".to_owned(), "Error"), 3);

        let text = page::text(&metrics);

        let alerts = text.lines().filter(|line| line.starts_with("glassbox_alerts_total{")).count();
        assert_eq!(MOST_RULES + 2, alerts);
        assert!(text.contains("glassbox_alerts_total{rule=\"other\",priority=\"Error\"} 801\n"), "{text}");
        assert!(text.contains("{rule=\"a \\\"b\\\"\\\\\\nc\",priority=\"Error\"} 3\n"), "{text}");
    }

    #[test]
    fn events_are_counted_by_kind_and_outputs_of_a_format_are_told_apart() {
        let metrics = Metrics::default();
        let shared = [Arc::<Shared>::default(), Arc::default()];
        shared.iter().for_each(|shared| metrics.add_output("jsonl", shared));

        metrics.note(&sample::every_kind());
        metrics.note(&sample::every_kind());
        let text = page::text(&metrics);

        assert!(text.contains("glassbox_events_total{kind=\"file.open\"} 2\n"), "{text}");
        for output in ["jsonl", "jsonl-2"] {
            assert!(
                text.contains(&format!("glassbox_output_queue_bytes{{output=\"{output}\"}} 0\n")),
                "{text}"
            );
        }
    }

    #[test]
    fn every_metric_is_in_the_documentation() {
        let operations = include_str!("../../../docs/operations.md");

        for line in page::text(&Metrics::default()).lines().filter(|line| line.starts_with("# HELP ")) {
            let (name, help) = line["# HELP ".len()..].split_once(' ').unwrap();
            assert!(operations.contains(&format!("| `{name}` | ")), "{name}: {help}");
        }
    }
}
