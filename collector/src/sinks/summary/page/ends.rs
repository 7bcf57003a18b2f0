//! The last part: how many events, what was lost, what it cost.

use std::cmp::Reverse;

use wire::schema::EVENTS;

use super::Page;
use crate::picture::{Picture, Process};
use crate::sinks::encoder::RunFacts;
use crate::sinks::summary::gathered::Gathered;
use crate::sinks::text::{self, Paint};

/// Kinds of events that are listed.
const MOST_KINDS: usize = 6;
/// Causes of loss that are listed.
const MOST_LOSSES: usize = 8;

impl Page<'_> {
    /// How many events there were of each kind.
    pub fn events(&mut self, summary: &Gathered) {
        let mut kinds: Vec<(u64, &str)> = EVENTS
            .iter()
            .filter_map(|spec| Some((*summary.kinds.get(spec.kind as usize)?, spec.name)))
            .filter(|(count, _)| *count > 0)
            .collect();
        kinds.sort_by_key(|(count, name)| (Reverse(*count), *name));
        let most = self.look.most(MOST_KINDS);
        let listed: Vec<String> =
            kinds.iter().take(most).map(|(count, name)| format!("{name} {}", text::count(*count))).collect();
        let more = if kinds.len() > most { ", …" } else { "" };
        let all: u64 = kinds.iter().map(|(count, _)| count).sum();
        let listed = if listed.is_empty() { String::new() } else { format!(": {}{more}", listed.join(", ")) };
        self.heading("Events", &format!("{}{listed}", text::count(all)));
    }

    /// What was lost, and why.
    pub fn lost(&mut self, summary: &Gathered) {
        if summary.lost == 0 {
            return self.heading("Lost", "0");
        }
        self.paint(Paint::Red, "Lost");
        text::pad(4, 11, self.out);
        self.plain(&text::count(summary.lost));
        self.plain("\n");
        let mut list: Vec<_> = summary.losses.iter().collect();
        list.sort_by_key(|(key, loss)| (Reverse(loss.count), **key));
        let most = self.look.most(MOST_LOSSES);
        for ((reason, pid), loss) in list.iter().take(most) {
            self.label(Paint::Red, "", &text::count(loss.count));
            self.plain(reason);
            self.by(&loss.program);
            self.dim(&format!(" ({pid})"));
            self.plain("\n");
        }
        self.more(most, list.len(), "process");
    }

    /// What the sensor cost.
    pub fn cost(&mut self, summary: &Gathered, facts: &RunFacts) {
        let cost = &summary.cost;
        let mut text = format!("{} in {}", text::duration(cost.sensor_ns), text::plural(cost.calls, "call"));
        if let Some(each) = cost.sensor_ns.checked_div(cost.calls) {
            text.push_str(&format!(" ({} each, with what starting a process takes)", text::duration(each)));
        }
        if cost.processor_ns > 0 {
            let share = cost.sensor_ns as f64 * 100.0 / cost.processor_ns as f64;
            text.push_str(&format!(", {share:.1} % of {} processor time", text::duration(cost.processor_ns)));
        }
        if facts.collector_ns > 0 {
            text.push_str(&format!("; the collector used {}", text::duration(facts.collector_ns)));
        }
        self.heading("Sensor", &text);
        let dearest = dearest(&summary.picture, 3);
        if cost.processes > 1 && !dearest.is_empty() {
            self.plain("  most in ");
            for (index, Process { program, key, sensor_ns, .. }) in dearest.iter().enumerate() {
                self.plain(if index == 0 { "" } else { ", " });
                text::quote(program, 24, self.out);
                self.plain(&format!(" ({}) {}", key.pid, text::duration(*sensor_ns)));
            }
            self.plain("\n");
        }
        let running = summary.picture.running();
        if running > 0 {
            self.dim(&format!("  without what {} still running spent\n", text::plural(running, "process")));
        }
    }
}

/// The processes that the sensor cost most.
fn dearest(picture: &Picture, most: usize) -> Vec<&Process> {
    let mut processes: Vec<&Process> =
        picture.processes().iter().filter(|process| process.sensor_ns > 0).collect();
    processes.sort_by_key(|process| Reverse(process.sensor_ns));
    processes.truncate(most);
    processes
}
