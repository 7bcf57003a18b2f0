//! The engine's number of an event's type, found once for each function.

use rules::{Engine, EventType};
use rustc_hash::FxHashMap;
use wire::events::Kind;

use super::fields;
use super::view::View;

/// Numbers by kind of event, function, and whether the call has returned.
#[derive(Debug, Default)]
pub struct Types(FxHashMap<(Kind, usize, bool), EventType>);

impl Types {
    /// The number of the event's type, of this engine and no other.
    #[inline]
    pub fn of(&mut self, view: &View<'_>, engine: &Engine) -> EventType {
        // Names of functions are constants of the hook table, or of a recording's words.
        let function = view.event.call.as_ptr().addr();
        let key = (view.kind(), function, view.event.ret.is_some());
        *self.0.entry(key).or_insert_with(|| engine.event_type(fields::event_type(view)))
    }
}
