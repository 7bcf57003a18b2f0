//! The judge: rules over events. An event that matches a rule gets an alert in its batch.
//!
//! Rules come in groups (glassbox's own, the user's). Of each group the first rule that matches counts, as in
//! Falco, so that no group hides what the other one says.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use rules::file::{self, Priority};
use rules::format::Format;
use rules::window::Windows;
use rules::{Engine, Match, Matching};

use super::Stage;
use super::types::Types;
use super::view::View;
use crate::event::{Alert, Batch, Rule};

/// The most urgent alert so far.
#[derive(Clone, Debug)]
pub struct Worst(Arc<AtomicU8>);

impl Default for Worst {
    fn default() -> Self {
        Self(Arc::new(AtomicU8::new(u8::MAX)))
    }
}

impl Worst {
    /// Whether there was an alert that is as urgent as `limit`, or more.
    pub fn reaches(&self, limit: Priority) -> bool {
        // Relaxed: it is asked after the judge's thread has been joined.
        self.0.load(Ordering::Relaxed) <= limit as u8
    }

    fn note(&self, priority: Priority) {
        self.0.fetch_min(priority as u8, Ordering::Relaxed);
    }
}

/// The stage of the groups of rules that `load` gives: it is called for the first batch, in the thread that
/// judges.
pub fn stage_of(load: impl FnOnce() -> Vec<Vec<file::Rule>> + Send + 'static, worst: Worst) -> Stage {
    let (mut load, mut loaded) = (Some(load), None);
    Box::new(move |batch: Batch| {
        let groups = load.take().map(|load| load());
        let stage = loaded.get_or_insert_with(|| stage(groups.unwrap_or_default(), worst.clone()));
        stage(batch)
    })
}

/// The stage of these groups of rules.
pub fn stage(groups: Vec<Vec<file::Rule>>, worst: Worst) -> Stage {
    let mut groups: Vec<Group> =
        groups.into_iter().filter(|rules| !rules.is_empty()).map(Group::of).collect();
    let mut number = 0;
    Box::new(move |mut batch: Batch| {
        let mut alerts = std::mem::take(&mut batch.alerts);
        for (place, event) in batch.events.iter().enumerate() {
            number += 1;
            let view = View::new(&batch, event, number);
            for group in &mut groups {
                group.judge(&view, place, &mut alerts);
            }
        }
        alerts.iter().for_each(|alert| worst.note(alert.rule.priority));
        batch.alerts = alerts;
        Some(batch)
    })
}

/// Rules of which the first that matches counts.
struct Group {
    engine: Engine,
    types: Types,
    windows: Windows,
    /// In the engine's order.
    rules: Vec<(Arc<Rule>, Format)>,
    matches: Vec<Match>,
}

impl Group {
    fn of(rules: Vec<file::Rule>) -> Self {
        let windows = Windows::new(rules.iter().map(|rule| rule.window.clone()));
        let programs = rules.iter().map(|rule| rule.program.clone()).collect();
        let shown = |rule: file::Rule| {
            let file::Rule { name, priority, tags, source, output, .. } = rule;
            (Arc::new(Rule { name, priority, tags, source }), output)
        };
        Self {
            engine: Engine::new(programs, Matching::First),
            types: Types::default(),
            windows,
            rules: rules.into_iter().map(shown).collect(),
            matches: Vec::new(),
        }
    }

    fn judge(&mut self, view: &View<'_>, place: usize, alerts: &mut Vec<Alert>) {
        let event_type = self.types.of(view, &self.engine);
        self.matches.clear();
        self.engine.judge(event_type, view, &mut self.matches);
        for Match { rule, .. } in &self.matches {
            let index = *rule as usize;
            let Some((rule, output)) = self.rules.get(index) else { continue };
            if self.windows.admit(index, view.event.time.0, view)
                && let Some(output) = output.resolve(view)
            {
                alerts.push(Alert { event: place, rule: Arc::clone(rule), output });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_loaded_once_and_not_before_there_is_something_to_judge() {
        let loads = Arc::new(AtomicU8::new(0));
        let count = Arc::clone(&loads);
        let load = move || {
            count.fetch_add(1, Ordering::Relaxed);
            Vec::new()
        };
        let mut stage = stage_of(load, Worst::default());

        assert_eq!(0, loads.load(Ordering::Relaxed));
        assert!(stage(Batch::default()).is_some() && stage(Batch::default()).is_some());
        assert_eq!(1, loads.load(Ordering::Relaxed));
    }
}
