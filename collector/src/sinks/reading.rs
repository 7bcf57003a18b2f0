//! Reads the values of an event for formats that are tables of rows: a row names the fields that it reads,
//! and their places are looked up once.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use wire::events::Kind;
use wire::schema::EVENTS;

use crate::event::{Batch, Event, Shape, Value, Who};

/// Fields that one row reads, at most.
pub const MOST: usize = 6;

/// The places of a row's fields among the values of one kind of event, in the order of the row.
pub type Places = [u8; MOST];

/// The place of a field that the kind does not have.
pub const NOWHERE: u8 = u8::MAX;

/// The places of the fields called `names` among the values of a `kind`; [`NOWHERE`] for one that it lacks.
pub fn places(kind: Kind, names: impl IntoIterator<Item = &'static str>) -> Places {
    let mut places = [NOWHERE; MOST];
    let fields = &Shape::of(kind).fields;
    for (place, name) in places.iter_mut().zip(names) {
        let found = fields.iter().position(|field| *field == name);
        *place = found.and_then(|found| u8::try_from(found).ok()).unwrap_or(NOWHERE);
    }
    places
}

/// One value for each kind of event, by its number; `None` for numbers that no event has.
pub fn by_kind<T>(mut of: impl FnMut(Kind) -> T) -> Vec<Option<T>> {
    let most = EVENTS.iter().map(|spec| spec.kind as usize).max().unwrap_or(0);
    let mut all: Vec<Option<T>> = Vec::new();
    all.resize_with(most + 1, || None);
    for spec in EVENTS {
        all[spec.kind as usize] = Some(of(spec.kind));
    }
    all
}

/// An event, and the values that one row reads.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// Where its values and bytes lie.
    pub batch: &'a Batch,
    /// The event.
    pub event: &'a Event,
    /// Its process.
    pub who: &'a Arc<Who>,
    values: &'a [Value],
    places: Places,
}

impl<'a> Given<'a> {
    /// An event of a batch, for a row without fields.
    pub fn new(batch: &'a Batch, event: &'a Event) -> Self {
        let who = &batch.whos[event.who as usize];
        Self { batch, event, who, values: batch.values(event), places: [NOWHERE; MOST] }
    }

    /// The same for the row with these places.
    #[must_use]
    pub fn at(self, places: Places) -> Self {
        Self { places, ..self }
    }

    /// The value of the row's field of this number.
    pub fn value(&self, field: usize) -> Value {
        let place = self.places.get(field).copied().unwrap_or(NOWHERE);
        self.values.get(usize::from(place)).copied().unwrap_or_default()
    }

    /// The text of a string, path or word.
    pub fn text(&self, field: usize) -> Option<&'a [u8]> {
        self.batch.text(self.value(field))
    }

    /// A number; `None` also for one that does not fit.
    pub fn int(&self, field: usize) -> Option<i64> {
        match self.value(field) {
            Value::Int(number) => Some(number),
            Value::Uint(number) => i64::try_from(number).ok(),
            _ => None,
        }
    }

    /// A number that is not negative.
    pub fn uint(&self, field: usize) -> Option<u64> {
        match self.value(field) {
            Value::Uint(number) => Some(number),
            Value::Int(number) => u64::try_from(number).ok(),
            _ => None,
        }
    }

    /// Whether a truth value is there and true.
    pub fn is_true(&self, field: usize) -> bool {
        matches!(self.value(field), Value::Bool(true))
    }

    /// The bits of flags.
    pub fn bits(&self, field: usize) -> Option<u64> {
        match self.value(field) {
            Value::Names(_, bits) => Some(bits),
            _ => None,
        }
    }

    /// Whether a set of flags has the one of this name.
    pub fn has(&self, field: usize, flag: &str) -> bool {
        let Value::Names(table, bits) = self.value(field) else { return false };
        let mut is_there = false;
        table.names(bits, |name| is_there |= name == flag);
        is_there
    }

    /// Whether the call failed.
    pub fn has_failed(&self) -> bool {
        !self.event.error.is_empty()
    }

    /// The end of a connection that a field names.
    pub fn end(&self, field: usize) -> Option<End<'a>> {
        End::of(self.text(field)?)
    }
}

/// An end of a connection, as events show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End<'a> {
    /// One of the internet. The text of the address has its scope, where it has one.
    Internet(IpAddr, &'a str, u16),
    /// Any other: a path, `@name`, `vsock:3:4`.
    Name(&'a [u8]),
}

impl<'a> End<'a> {
    /// Takes a text of an event apart; `None` for an empty one.
    pub fn of(text: &'a [u8]) -> Option<Self> {
        let named = Some(Self::Name(text)).filter(|_| !text.is_empty());
        let Ok(letters) = std::str::from_utf8(text) else { return named };
        if let Ok(address) = letters.parse::<SocketAddr>() {
            let end = letters.rfind(':').unwrap_or(letters.len());
            let ip = letters[..end].trim_start_matches('[').trim_end_matches(']');
            return Some(Self::Internet(address.ip(), ip, address.port()));
        }
        named
    }

    /// Whether both ends of a connection to it are on one machine.
    pub fn is_of_this_machine(&self) -> bool {
        match self {
            Self::Internet(ip, ..) => ip.to_canonical().is_loopback(),
            Self::Name(name) => name.starts_with(b"/") || name.starts_with(b"@"),
        }
    }
}

/// The last part of a path; the path itself where it ends with a slash.
pub fn base(path: &[u8]) -> &[u8] {
    match crate::picture::fields::base(path) {
        b"" => path,
        base => base,
    }
}

/// The longest beginning of a text that has at most `most` bytes and cuts no character of UTF-8.
pub fn cut(text: &[u8], most: usize) -> &[u8] {
    if text.len() <= most {
        return text;
    }
    let mut end = most;
    while end > 0 && most - end < 4 && text.get(end).is_some_and(|byte| byte & 0xc0 == 0x80) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::sample;

    #[test]
    fn values_are_found_by_the_names_of_their_fields() {
        let mut batch = Batch::default();
        batch.whos = vec![sample::who()];
        batch.push(sample::head(Kind::FileOpen));
        let path = batch.keep(b"/etc/x");
        batch.set(Shape::place(Kind::FileOpen, "path"), Value::Path(path, None));
        batch.set(Shape::place(Kind::FileOpen, "flags"), Value::Names(&wire::names::OPEN, 0o101));
        let given =
            Given::new(&batch, &batch.events[0]).at(places(Kind::FileOpen, ["flags", "nothing", "path"]));

        assert!(given.has(0, "O_CREAT") && !given.has(0, "O_EXCL"));
        assert_eq!((None, Some(b"/etc/x".as_slice()), None), (given.text(1), given.text(2), given.text(3)));
    }

    #[test]
    fn ends_of_connections_are_taken_apart() {
        let internet = |ip: &'static str, port| {
            Some(End::Internet(ip.split('%').next().unwrap().parse().unwrap(), ip, port))
        };

        assert_eq!(internet("127.0.0.1", 80), End::of(b"127.0.0.1:80"));
        assert_eq!(internet("::1", 0), End::of(b"[::1]:0"));
        assert_eq!(internet("fe80::1%3", 443), End::of(b"[fe80::1%3]:443"));
        assert_eq!(Some(End::Name(b"/run/x:1")), End::of(b"/run/x:1"));
        assert_eq!(Some(End::Name(b"@a\xff")), End::of(b"@a\xff"));
        assert_eq!(None, End::of(b""));
        assert!(End::of(b"[::ffff:127.0.0.1]:1").unwrap().is_of_this_machine());
        assert!(!End::of(b"192.0.2.1:1").unwrap().is_of_this_machine());
    }

    #[test]
    fn text_is_cut_between_characters() {
        assert_eq!("añ".as_bytes(), cut("añb".as_bytes(), 3));
        assert_eq!("a".as_bytes(), cut("añb".as_bytes(), 2));
        assert_eq!(b"ab".as_slice(), cut(b"ab", 9));
        assert_eq!([0x80; 6].as_slice(), cut(&[0x80; 10], 10).get(..6).unwrap());
        assert!(cut(&[0x80; 10], 8).len() >= 4);
    }
}
