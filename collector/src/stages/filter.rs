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
    let mut filter = Filter {
        engine: Engine::new(vec![condition], Matching::First),
        types: Types::default(),
        matches: Vec::new(),
        number: 0,
    };
    Box::new(move |mut batch: Batch| {
        let mut events = std::mem::take(&mut batch.events);
        events.retain(|event| filter.passes(&batch, event));
        batch.events = events;
        (!batch.is_empty()).then_some(batch)
    })
}

struct Filter {
    engine: Engine,
    types: Types,
    matches: Vec<rules::Match>,
    /// Events so far.
    number: u64,
}

impl Filter {
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
