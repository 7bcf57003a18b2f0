//! A YAML text as a tree whose nodes know where they stand.
//!
//! `saphyr-parser` says which nodes there are. The text's length ([`super::LONGEST`]) bounds how many; this
//! module bounds how deep, and shares the nodes that aliases name instead of copying them.

use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span, StrInput};

/// The deepest nesting of lists and mappings.
const DEPTH: u32 = 16;

/// Line and column, both from 1, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub line: u32,
    pub column: u32,
}

impl Place {
    pub const START: Self = Self { line: 1, column: 1 };

    fn of(marker: Marker) -> Self {
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self { line: number(marker.line()).max(1), column: number(marker.col()).saturating_add(1) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// A value.
#[derive(Debug)]
pub struct Node {
    pub place: Place,
    pub kind: Kind,
}

/// The keys and values of a mapping.
pub type Entries = Vec<(Rc<Node>, Rc<Node>)>;

/// The kind of a value.
#[derive(Debug)]
pub enum Kind {
    /// Nothing, `~` or `null`.
    Null,
    /// A word, a number or a text.
    Scalar(Box<str>),
    Sequence(Vec<Rc<Node>>),
    /// Keys and values in the order of the text.
    Mapping(Entries),
}

impl Kind {
    /// What it is, in messages.
    pub fn noun(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Scalar(_) => "a text",
            Self::Sequence(_) => "a list",
            Self::Mapping(_) => "a mapping",
        }
    }
}

/// Why a text cannot be read.
#[derive(Debug)]
pub struct Fault {
    pub place: Place,
    pub message: String,
}

fn fault(place: Place, message: impl Into<String>) -> Fault {
    Fault { place, message: message.into() }
}

/// Reads a text of one document; `None` if there is nothing in it.
pub fn read(text: &str) -> Result<Option<Rc<Node>>, Fault> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader { events: Parser::new_from_str(text), anchors: HashMap::new() };
    let mut root = None;
    loop {
        match reader.next()? {
            (Event::StreamEnd, _) => return Ok(root),
            (Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing, _) => {}
            (_, span) if root.is_some() => {
                return Err(fault(
                    Place::of(span.start),
                    "a second document; write all settings in one, without '---'",
                ));
            }
            event => root = Some(reader.node(event, 0)?),
        }
    }
}

struct Reader<'t> {
    events: Parser<'t, StrInput<'t>>,
    anchors: HashMap<usize, Rc<Node>>,
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Result<(Event<'t>, Span), Fault> {
        match self.events.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => {
                Err(fault(Place::of(*error.marker()), format!("not YAML: {}; correct it", error.info())))
            }
            None => Err(fault(Place::START, "the text ends too early; complete it")),
        }
    }

    /// The node that begins with `event`.
    fn node(&mut self, (event, span): (Event<'t>, Span), depth: u32) -> Result<Rc<Node>, Fault> {
        let place = Place::of(span.start);
        if depth > DEPTH {
            return Err(fault(place, format!("nested more than {DEPTH} deep; no configuration is")));
        }
        let tagged = || fault(place, "a tag; settings have none, take it out");
        let (anchor, kind) = match event {
            Event::Alias(anchor) => {
                let named = self.anchors.get(&anchor).cloned();
                return named
                    .ok_or_else(|| fault(place, "an alias within the value that it names; write it out"));
            }
            Event::Scalar(_, _, _, Some(_)) => return Err(tagged()),
            Event::SequenceStart(_, Some(_)) | Event::MappingStart(_, Some(_)) => return Err(tagged()),
            Event::Scalar(text, style, anchor, None) => {
                let kind = match text.as_ref() {
                    "" | "~" | "null" | "Null" | "NULL" if style == ScalarStyle::Plain => Kind::Null,
                    text => Kind::Scalar(text.into()),
                };
                (anchor, kind)
            }
            Event::SequenceStart(anchor, None) => (anchor, Kind::Sequence(self.items(depth)?)),
            Event::MappingStart(anchor, None) => (anchor, Kind::Mapping(self.entries(depth)?)),
            _ => return Err(fault(place, "not YAML: a value is missing here; write one")),
        };
        let node = Rc::new(Node { place, kind });
        if anchor != 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        Ok(node)
    }

    fn items(&mut self, depth: u32) -> Result<Vec<Rc<Node>>, Fault> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(items),
                event => items.push(self.node(event, depth + 1)?),
            }
        }
    }

    fn entries(&mut self, depth: u32) -> Result<Entries, Fault> {
        let mut entries = Vec::new();
        loop {
            let key = match self.next()? {
                (Event::MappingEnd, _) => return Ok(entries),
                event => self.node(event, depth + 1)?,
            };
            let event = self.next()?;
            entries.push((key, self.node(event, depth + 1)?));
        }
    }
}
