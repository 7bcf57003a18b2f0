//! The judge: rules over events. An event that matches a rule gets an alert in its batch: [`stage`] finds it,
//! [`tell`] writes it. Between them secrets are taken out of the texts, so that rules see these and alerts do
//! not show them.
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
use crate::event::{Alert, Batch, Found, Rule};

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
pub fn stage_of(load: impl FnOnce() -> Vec<Vec<file::Rule>> + Send + 'static) -> Stage {
    let (mut load, mut loaded) = (Some(load), None);
    Box::new(move |batch: Batch| {
        let groups = load.take().map(|load| load());
        let stage = loaded.get_or_insert_with(|| stage(groups.unwrap_or_default()));
        stage(batch)
    })
}

/// The stage of these groups of rules.
pub fn stage(groups: Vec<Vec<file::Rule>>) -> Stage {
    let mut groups: Vec<Group> =
        groups.into_iter().filter(|rules| !rules.is_empty()).map(Group::of).collect();
    let mut number = 0;
    Box::new(move |mut batch: Batch| {
        let mut found = std::mem::take(&mut batch.found);
        for (place, event) in batch.events.iter().enumerate() {
            number += 1;
            let view = View::new(&batch, event, number);
            for group in &mut groups {
                group.judge(&view, place, &mut found);
            }
        }
        batch.found = found;
        Some(batch)
    })
}

/// The stage that writes the alerts of the rules that were found, and notes the most urgent.
pub fn tell(worst: Worst) -> Stage {
    Box::new(move |mut batch: Batch| {
        let found = std::mem::take(&mut batch.found);
        let alert = |Found { event, number, rule, output }: Found| {
            let output = output.resolve(&View::new(&batch, batch.events.get(event)?, number))?;
            Some(Alert { event, rule, output })
        };
        let alerts: Vec<Alert> = found.into_iter().filter_map(alert).collect();
        alerts.iter().for_each(|alert| worst.note(alert.rule.priority));
        batch.alerts.extend(alerts);
        Some(batch)
    })
}

/// Rules of which the first that matches counts.
struct Group {
    engine: Engine,
    types: Types,
    windows: Windows,
    /// In the engine's order.
    rules: Vec<(Arc<Rule>, Arc<Format>)>,
    matches: Vec<Match>,
}

impl Group {
    fn of(rules: Vec<file::Rule>) -> Self {
        let windows = Windows::new(rules.iter().map(|rule| rule.window.clone()));
        let programs = rules.iter().map(|rule| rule.program.clone()).collect();
        let shown = |rule: file::Rule| {
            let file::Rule { name, priority, tags, source, output, .. } = rule;
            (Arc::new(Rule { name, priority, tags, source }), Arc::new(output))
        };
        Self {
            engine: Engine::new(programs, Matching::First),
            types: Types::default(),
            windows,
            rules: rules.into_iter().map(shown).collect(),
            matches: Vec::new(),
        }
    }

    fn judge(&mut self, view: &View<'_>, event: usize, found: &mut Vec<Found>) {
        let event_type = self.types.of(view, &self.engine);
        self.matches.clear();
        self.engine.judge(event_type, view, &mut self.matches);
        for Match { rule, .. } in &self.matches {
            let index = *rule as usize;
            let Some((rule, output)) = self.rules.get(index) else { continue };
            let machine = view.batch.node.as_deref();
            if self.windows.admit_apart(index, view.event.time.0, view, machine) {
                let (rule, output) = (Arc::clone(rule), Arc::clone(output));
                found.push(Found { event, number: view.number, rule, output });
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
        let mut stage = stage_of(load);

        assert_eq!(0, loads.load(Ordering::Relaxed));
        assert!(stage(Batch::default()).is_some() && stage(Batch::default()).is_some());
        assert_eq!(1, loads.load(Ordering::Relaxed));
    }
}
