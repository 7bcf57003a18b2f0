//! Batches of one event become one batch.

use std::sync::Arc;

use super::{Batch, Event, Value};

impl Batch {
    /// Appends copies of another batch's events; alerts and what was found of them stay behind. The request
    /// and the origin are those of this batch.
    pub fn absorb(&mut self, other: &Batch) {
        for event in &other.events {
            let Some(who) = other.whos.get(event.who as usize) else { continue };
            // Events of one image often follow each other.
            if self.whos.last().is_none_or(|last| last != who) {
                self.whos.push(Arc::clone(who));
            }
            self.push(Event { who: self.whos.len() as u32 - 1, ..*event });
            for (place, value) in other.values(event).iter().enumerate() {
                let mut kept = |span| self.keep(other.bytes(span));
                let value = match *value {
                    Value::Text(span) => Value::Text(kept(span)),
                    Value::Path(span, raw) => {
                        let path = kept(span);
                        Value::Path(path, raw.map(kept))
                    }
                    Value::LexicalPath(span, raw) => {
                        let path = kept(span);
                        Value::LexicalPath(path, kept(raw))
                    }
                    Value::List(span) => Value::List(kept(span)),
                    Value::Map(span) => Value::Map(kept(span)),
                    value => value,
                };
                self.set(place, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::sample;
    use crate::json::JsonWriter;

    fn lines(batch: &Batch) -> Vec<u8> {
        let mut out = Vec::new();
        batch.events.iter().for_each(|event| JsonWriter::with_ids().write(batch, event, &mut out));
        out
    }

    #[test]
    fn absorbed_events_are_as_they_were() {
        let mut one = sample::every_kind();
        one.number();
        let mut other = Batch { origin: one.origin, whos: vec![sample::who_of(9, 1, b"/x")], ..one.clone() };
        other.events.iter_mut().for_each(|event| event.number += 1000);
        let mut both = Batch { origin: one.origin, ..Batch::default() };

        both.absorb(&one);
        both.absorb(&one);
        both.absorb(&other);

        assert_eq!([lines(&one), lines(&one), lines(&other)].concat(), lines(&both));
        assert_eq!(2, both.whos.len());
    }
}
