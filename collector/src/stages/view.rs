//! One event with its process, as the rows of [`super::fields`] read it.

use std::sync::LazyLock;

use rules::Answer;
use wire::events::Kind;
use wire::record::Via;
use wire::schema::EVENTS;

use crate::event::{Batch, Event, Program, Shape, Span, Value, Who};

/// An event in its batch.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// Where its values and bytes lie.
    pub batch: &'a Batch,
    /// The event.
    pub event: &'a Event,
    /// Its process.
    pub who: &'a Who,
    /// Its place among the events that are judged, from 1.
    pub number: u64,
}

/// The fields of events that rows read, by name: the places are looked up once.
macro_rules! keys {
    ($($key:ident $name:literal)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Key { $(#[doc = $name] $key,)* }

        const KEYS: &[&str] = &[$($name),*];
    };
}

keys! {
    Path "path" NewPath "new_path" Fd "fd" Flags "flags" Mode "mode" Cwd "cwd" Argc "argc"
    Env "env" Coverage "coverage" Reason "reason" Child "child" Code "code"
    Signal "signal" What "what" To "to" Request "request" Target "target" Source "source"
    Filesystem "filesystem" Owner "owner" Group "group" Length "length" Name "name"
    Family "family" Type "type" Protocol "protocol" Local "local" Remote "remote" Host "host"
    Pending "pending" Backlog "backlog" Answers "answers" Addr "addr" Len "len" Prot "prot"
    Command "command" Entries "entries" Count "count" BytesRead "bytes_read"
    BytesWritten "bytes_written" BytesSent "bytes_sent" BytesReceived "bytes_received" OpenNs "open_ns"
    Accepted "accepted" DurationNs "duration_ns"
}

/// The place of each key among the values of each kind; [`NOWHERE`] where it has none.
static PLACES: LazyLock<Vec<[u8; KEYS.len()]>> = LazyLock::new(|| {
    let most = EVENTS.iter().map(|spec| spec.kind as usize).max().unwrap_or(0);
    let mut places = vec![[NOWHERE; KEYS.len()]; most + 1];
    for spec in EVENTS {
        let fields = &Shape::of(spec.kind).fields;
        for (key, place) in KEYS.iter().zip(&mut places[spec.kind as usize]) {
            let found = fields.iter().position(|field| field == key);
            *place = found.and_then(|found| u8::try_from(found).ok()).unwrap_or(NOWHERE);
        }
    }
    places
});

const NOWHERE: u8 = u8::MAX;

impl<'a> View<'a> {
    /// An event of a batch.
    pub fn new(batch: &'a Batch, event: &'a Event, number: u64) -> Self {
        Self { batch, event, who: batch.who(event), number }
    }

    /// Which event it is.
    pub fn kind(&self) -> Kind {
        self.event.kind
    }

    /// Whether the call has not returned, and nothing is known of its result: the kernel told of it before it
    /// was made, and no failure was foreseen.
    pub fn is_unfinished(&self) -> bool {
        let Event { via, error, ret, .. } = self.event;
        *via == Some(Via::Notify) && error.is_empty() && ret.is_none()
    }

    /// The program that runs.
    pub fn program(&self) -> &'a Program {
        &self.who.program
    }

    /// The value of a field; absent where the event has none.
    pub fn value(&self, key: Key) -> Value {
        let place = PLACES.get(self.event.kind as usize).map_or(NOWHERE, |places| places[key as usize]);
        self.batch.values(self.event).get(usize::from(place)).copied().unwrap_or_default()
    }

    /// The text of a string, a path or a constant.
    pub fn text(&self, key: Key) -> Option<&'a [u8]> {
        match self.value(key) {
            Value::Text(span) | Value::Path(span, _) | Value::LexicalPath(span, _) => {
                Some(self.batch.bytes(span))
            }
            Value::Word(word) => Some(word.as_bytes()),
            _ => None,
        }
    }

    /// A path as the caller passed it.
    pub fn raw_path(&self, key: Key) -> Option<&'a [u8]> {
        match self.value(key) {
            Value::Path(_, Some(raw)) | Value::LexicalPath(_, raw) => Some(self.batch.bytes(raw)),
            _ => self.text(key),
        }
    }

    /// A number; `None` also for one that does not fit.
    pub fn integer(&self, key: Key) -> Option<i64> {
        match self.value(key) {
            Value::Int(number) => Some(number),
            Value::Uint(number) => i64::try_from(number).ok(),
            _ => None,
        }
    }

    /// The strings of a list.
    pub fn list(&self, key: Key) -> Option<Span> {
        match self.value(key) {
            Value::List(span) | Value::Map(span) => Some(span),
            _ => None,
        }
    }

    /// Whether a set of flags has the one of this name; `None` where the event has no flags.
    pub fn has_flag(&self, key: Key, wanted: &str) -> Option<bool> {
        let Value::Names(table, bits) = self.value(key) else { return None };
        let mut is_there = false;
        table.names(bits, |name| is_there |= name == wanted);
        Some(is_there)
    }

    /// The names of flags, with bars between them, as `0` where none is set.
    pub fn flags(&self, key: Key) -> Option<Vec<u8>> {
        let Value::Names(table, bits) = self.value(key) else { return None };
        let mut names: Vec<u8> = Vec::new();
        let rest = table.names(bits, |name| {
            if !names.is_empty() {
                names.push(b'|');
            }
            names.extend_from_slice(name.as_bytes());
        });
        if rest != 0 || names.is_empty() {
            let bar = if names.is_empty() { "" } else { "|" };
            names
                .extend_from_slice(if rest == 0 { "0".into() } else { format!("{bar}{rest:#x}") }.as_bytes());
        }
        Some(names)
    }
}

/// A text, where there is one.
pub fn text(text: Option<&[u8]>) -> Answer<'_> {
    text.map_or(Answer::Absent, |text| Answer::Text(text.into()))
}

/// A text that is known unless it is empty.
pub fn text_unless_empty(known: &[u8]) -> Answer<'_> {
    text(Some(known).filter(|known| !known.is_empty()))
}

/// A text that was put together, where there is one.
pub fn made(text: Option<Vec<u8>>) -> Answer<'static> {
    text.map_or(Answer::Absent, |text| Answer::Text(text.into()))
}

/// A signed number.
pub fn int(number: Option<impl Into<i64>>) -> Answer<'static> {
    number.map_or(Answer::Absent, |number| Answer::Int(number.into()))
}

/// An unsigned number.
pub fn uint(number: Option<impl Into<u64>>) -> Answer<'static> {
    number.map_or(Answer::Absent, |number| Answer::Uint(number.into()))
}

/// A truth value.
pub fn truth(truth: Option<bool>) -> Answer<'static> {
    truth.map_or(Answer::Absent, Answer::Bool)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_a_field_of_an_event() {
        for key in KEYS {
            assert!(EVENTS.iter().any(|spec| spec.index_of(key).is_some()), "{key}");
        }
    }
}
