//! The counts as Prometheus reads them (text format 0.0.4).

use std::fmt::Write;
use std::sync::atomic::Ordering;

use wire::schema::EVENTS;

use super::Metrics;
use crate::system::clock::processor_time_ns;

/// A text in the making.
struct Page(String);

impl Page {
    /// Begins a metric.
    fn metric(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string cannot fail.
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        self.0.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            let _ = write!(self.0, "{}{label}=\"", if index == 0 { '{' } else { ',' });
            for letter in text.chars() {
                match letter {
                    '\\' => self.0.push_str("\\\\"),
                    '"' => self.0.push_str("\\\""),
                    '\n' => self.0.push_str("\\n"),
                    letter => self.0.push(letter),
                }
            }
            self.0.push('"');
        }
        let _ = writeln!(self.0, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }
}

/// The counts at this moment.
pub fn text(metrics: &Metrics) -> String {
    let sums = metrics.sums().clone();
    let outputs: Vec<_> = metrics
        .outputs()
        .iter()
        .filter_map(|(name, shared)| Some((name.clone(), shared.upgrade()?)))
        .collect();
    let mut page = Page(String::new());

    page.metric("glassbox_build_info", "gauge", "The collector's version.");
    page.sample("glassbox_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);

    page.metric("glassbox_events_total", "counter", "Events that the outputs were given, by kind.");
    for spec in EVENTS {
        let count = sums.kinds.get(spec.kind as usize).copied().unwrap_or(0);
        if count > 0 {
            page.sample("glassbox_events_total", &[("kind", spec.kind.name())], count);
        }
    }

    page.metric("glassbox_lost_events_total", "counter", "Events that no output has, by reason.");
    for (reason, count) in &sums.lost {
        page.sample("glassbox_lost_events_total", &[("reason", reason)], count);
    }

    page.metric("glassbox_alerts_total", "counter", "Alerts by rule and priority.");
    for ((rule, priority), count) in &sums.alerts {
        page.sample("glassbox_alerts_total", &[("rule", rule), ("priority", priority)], count);
    }

    page.metric("glassbox_processes_total", "counter", "Program images that began, by coverage and reason.");
    for ((coverage, reason), count) in &sums.processes {
        page.sample("glassbox_processes_total", &[("coverage", coverage), ("reason", reason)], count);
    }

    let seconds = |ns: u64| std::time::Duration::from_nanos(ns).as_secs_f64();
    page.metric("glassbox_sensor_seconds_total", "counter", "Time in the sensor, of processes that ended.");
    page.sample("glassbox_sensor_seconds_total", &[], seconds(sums.sensor_ns));
    page.metric("glassbox_collector_cpu_seconds_total", "counter", "Processor time of the collector.");
    page.sample("glassbox_collector_cpu_seconds_total", &[], seconds(processor_time_ns()));

    page.metric("glassbox_output_written_events_total", "counter", "Events that an output has written.");
    for (name, shared) in &outputs {
        page.sample("glassbox_output_written_events_total", &[("output", name)], shared.standing().written);
    }
    page.metric("glassbox_output_lost_events_total", "counter", "Events that an output lacks, by reason.");
    for (name, shared) in &outputs {
        let (refused, failed) = {
            let standing = shared.standing();
            (standing.refused, standing.failed)
        };
        let full = shared.dropped.load(Ordering::Relaxed);
        for (reason, count) in [("queue_full", full), ("refused", refused), ("failed", failed)] {
            page.sample("glassbox_output_lost_events_total", &[("output", name), ("reason", reason)], count);
        }
    }
    page.metric("glassbox_output_queue_bytes", "gauge", "Bytes of events that wait in front of an output.");
    for (name, shared) in &outputs {
        page.sample("glassbox_output_queue_bytes", &[("output", name)], shared.bytes.load(Ordering::Relaxed));
    }
    page.metric("glassbox_output_queue_batches", "gauge", "Batches that wait in front of an output.");
    for (name, shared) in &outputs {
        let batches = shared.batches.load(Ordering::Relaxed);
        page.sample("glassbox_output_queue_batches", &[("output", name)], batches);
    }
    page.metric("glassbox_output_spool_bytes", "gauge", "Bytes that wait in an output's spool.");
    for (name, shared) in &outputs {
        if let Some(spooled) = shared.spooled.get() {
            page.sample("glassbox_output_spool_bytes", &[("output", name)], spooled.load(Ordering::Relaxed));
        }
    }
    page.0
}
