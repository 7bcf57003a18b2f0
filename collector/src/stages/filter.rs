//! `--filter`: lets the events pass that meet a condition.
//!
//! What `sensor.*` says (events were lost, a program is not seen into) passes always: it tells what is
//! missing among the others. A filter comes before the rules, which judge what passes.

use rules::{Catalog, Engine, Macros, Matching, Program};

use super::Stage;
use super::types::Types;
use super::view::View;
use crate::event::{Batch, Event};

/// A condition against the table of fields; the error says the byte, and what is wrong there.
pub fn compiled(condition: &str, fields: &dyn Catalog) -> Result<Program, String> {
    let expr = rules::parse(condition).map_err(|error| error.to_string())?;
    rules::compile(&expr, &Macros::default(), fields).map_err(|error| error.to_string())
}

/// The stage of a condition.
pub fn stage(condition: Program) -> Stage {
    let mut filter = Filter::new(condition);
    Box::new(move |mut batch: Batch| {
        let mut events = std::mem::take(&mut batch.events);
        events.retain(|event| filter.passes(&batch, event));
        batch.events = events;
        (!batch.is_empty()).then_some(batch)
    })
}

/// Chooses events for one output; their alerts go with them.
pub struct Choice(Filter);

impl Choice {
    /// By a condition.
    pub fn new(condition: Program) -> Self {
        Self(Filter::new(condition))
    }

    /// A batch of the events that meet it.
    pub fn of(&mut self, batch: &Batch) -> Batch {
        let mut chosen = batch.clone();
        let mut places = vec![None; batch.events.len()];
        let mut place = 0;
        chosen.events.clear();
        for (event, to) in batch.events.iter().zip(&mut places) {
            if self.0.passes(batch, event) {
                chosen.events.push(*event);
                *to = Some(place);
                place += 1;
            }
        }
        chosen.alerts.retain_mut(|alert| {
            let to = places.get(alert.event).copied().flatten();
            alert.event = to.unwrap_or(0);
            to.is_some()
        });
        chosen
    }
}

struct Filter {
    engine: Engine,
    types: Types,
    matches: Vec<rules::Match>,
    /// Events so far.
    number: u64,
}

impl Filter {
    fn new(condition: Program) -> Self {
        let engine = Engine::new(vec![condition], Matching::First);
        Self { engine, types: Types::default(), matches: Vec::new(), number: 0 }
    }

    fn passes(&mut self, batch: &Batch, event: &Event) -> bool {
        self.number += 1;
        if event.kind.name().starts_with("sensor.") {
            return true;
        }
        let view = View::new(batch, event, self.number);
        let event_type = self.types.of(&view, &self.engine);
        self.matches.clear();
        self.engine.judge(event_type, &view, &mut self.matches);
        !self.matches.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use wire::events::Kind;

    use super::*;
    use crate::event::sample;
    use crate::stages::fields::FIELDS;

    #[test]
    fn alerts_go_with_the_events_of_an_output() {
        use std::sync::Arc;

        use rules::file::Priority;
        use rules::format::Resolved;

        use crate::event::{Alert, Rule};
        let mut batch = sample::every_kind();
        let rule =
            Rule { name: "r".into(), priority: Priority::Notice, tags: vec![], source: "syscall".into() };
        let rule = Arc::new(rule);
        let places = 0..batch.events.len();
        batch.alerts = places
            .map(|event| Alert {
                event,
                rule: Arc::clone(&rule),
                output: Resolved { message: String::new(), fields: vec![] },
            })
            .collect();
        let condition = compiled("gb.event in (file.open, net.connect)", &*FIELDS).unwrap();

        let chosen = Choice::new(condition).of(&batch);

        let names = |events: &[Event]| events.iter().map(|event| event.kind.name()).collect::<Vec<_>>();
        let alerted: Vec<Event> = chosen.alerts.iter().map(|alert| chosen.events[alert.event]).collect();
        assert!(
            names(&chosen.events).contains(&"net.connect") && !names(&chosen.events).contains(&"file.close")
        );
        assert_eq!(names(&chosen.events), names(&alerted));
    }

    fn passed(condition: &str) -> Vec<&'static str> {
        let mut stage = stage(compiled(condition, &*FIELDS).unwrap());
        let batch = stage(sample::every_kind());
        batch.map_or(Vec::new(), |batch| batch.events.iter().map(|event| event.kind.name()).collect())
    }

    const OF_SENSOR: [&str; 3] = ["sensor.loss", "sensor.evasion", "sensor.blind"];

    #[test]
    fn events_that_meet_the_condition_pass_and_so_does_what_the_sensor_says() {
        let mut expected = vec!["file.unlink", "file.rmdir"];
        expected.extend(OF_SENSOR);

        assert_eq!(expected, passed("gb.event in (file.unlink, file.rmdir)"));
        assert_eq!(OF_SENSOR.to_vec(), passed("proc.name = nobody"));
    }

    #[test]
    fn batch_of_which_nothing_passes_is_dropped() {
        let mut stage = stage(compiled("proc.name = nobody", &*FIELDS).unwrap());
        let mut batch = Batch::default();
        batch.whos.push(sample::who());
        batch.push(sample::head(Kind::FileOpen));

        assert!(stage(batch).is_none());
    }

    #[test]
    fn events_are_numbered_over_batches() {
        let mut stage = stage(compiled("evt.num = 2", &*FIELDS).unwrap());
        let mut batch = Batch::default();
        batch.whos.push(sample::who());
        batch.push(sample::head(Kind::FileOpen));

        assert!(stage(batch.clone()).is_none());
        assert!(stage(batch.clone()).is_some());
        assert!(stage(batch).is_none());
    }
}
