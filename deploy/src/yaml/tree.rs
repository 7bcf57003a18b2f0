//! The text as nodes that record where they stand.
//!
//! The parser's events say which nodes there are. Their places are exact where something is written, but tell
//! nothing of dashes, colons and omitted values. Those are found by walking forward over the text that may
//! stand between two nodes: space, line feeds, comments. If the walk does not meet the next event, the text
//! is refused: nothing is guessed.

use std::borrow::Cow;
use std::ops::Range;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};

use super::place::{fault, json};
use crate::Error;

/// The deepest nesting that is read.
pub const DEPTH: usize = 128;

/// A value in the text.
#[derive(Debug)]
pub struct Node {
    /// Its first byte, or that of its anchor or tag; an omitted value is behind its dash or colon.
    pub start: usize,
    /// Its first byte behind anchor and tag.
    pub content: usize,
    /// Behind its last byte; for a block scalar, behind the line feed that ends it.
    pub end: usize,
    /// The number of its anchor, or 0; anchors of the same name have different numbers.
    pub anchor: usize,
    /// The tag as it is written: `!Sub`, `tag:yaml.org,2002:str`.
    pub tag: Option<String>,
    pub kind: Kind,
}

/// The kind of a node.
#[derive(Debug)]
pub enum Kind {
    /// A word; `is_plain` unless it stands in quotes or as a block.
    Scalar { text: String, is_plain: bool },
    /// A reference to an anchored node, by the anchor's number.
    Alias(usize),
    /// A list.
    Sequence { is_flow: bool, items: Vec<Item> },
    /// An object.
    Mapping { is_flow: bool, entries: Vec<Entry> },
}

/// An item of a list.
#[derive(Debug)]
pub struct Item {
    /// The place of its dash, in a block.
    pub start: usize,
    /// The place behind its dash.
    pub open: usize,
    pub value: Node,
}

/// A member of an object.
#[derive(Debug)]
pub struct Entry {
    /// The place of its key, or of the question mark in front of it.
    pub start: usize,
    pub key: Node,
    /// The place behind its colon; `None` if it has none.
    pub open: Option<usize>,
    pub value: Node,
}

/// Reads all documents of a text.
///
/// YAML 1.2 demands that lines in brackets or quotes be indented deeper than their parent. No other reader
/// insists on that, and many files do not do it, but the parser does insist. So it is shown such lines deeper
/// than they are, one more each time that it complains; the indentation does not change their meaning.
pub fn read(text: &str) -> Result<Vec<Node>, Error> {
    let (mut shown, mut read_bytes) = (Shown::new(text), 0);
    loop {
        let mut reader =
            Reader { text, shown: &shown, events: Parser::new_from_str(&shown.text), shallow: None };
        let result = reader.documents();
        let shallow = reader.shallow;
        read_bytes += shown.text.len();
        match shallow {
            Some(lines) if read_bytes < PATIENCE && shown.indent(&lines) => {}
            _ => return result,
        }
    }
}

/// The most bytes that are parsed in all attempts, some seconds' worth: enough for a few thousand such lines
/// in a file of usual length.
const PATIENCE: usize = 1 << 27;

/// The parser's complaints about a line in brackets, and about one in quotes.
const SHALLOW: [&str; 2] = ["invalid indentation", "invalid indentation in flow construct"];
const SHALLOW_QUOTED: &str = "invalid indentation in quoted scalar";

/// The text as the parser sees it.
struct Shown<'t> {
    original: &'t str,
    text: Cow<'t, str>,
    /// The byte offset of each character in the original; `None` if all characters are one byte long.
    offsets: Option<Vec<usize>>,
    /// The lines that are shown deeper, in order: the number of their first character in the original and in
    /// the shown text.
    pads: Vec<(usize, usize)>,
    /// How much deeper they are shown: more than any block is indented.
    pad: usize,
}

impl<'t> Shown<'t> {
    fn new(original: &'t str) -> Self {
        let offsets = || original.char_indices().map(|(offset, _)| offset).chain([original.len()]).collect();
        let indented = |line: &str| line.len() - line.trim_start_matches([' ', '-', '?']).len();
        Self {
            original,
            text: without_halves(original),
            offsets: (!original.is_ascii()).then(offsets),
            pads: Vec::new(),
            pad: original.lines().map(indented).max().unwrap_or(0).min(1000) + 1,
        }
    }

    /// Shows the lines that begin in a range of the original deeper; false if all of them were already.
    fn indent(&mut self, range: &Range<usize>) -> bool {
        let before = self.pads.len();
        let character = |offset: usize| match &self.offsets {
            Some(offsets) => offsets.partition_point(|at| *at < offset),
            None => offset,
        };
        let is_start = |at: &usize| *at == 0 || self.original.as_bytes()[*at - 1] == b'\n';
        let starts: Vec<usize> = range.clone().filter(is_start).map(character).collect();
        self.pads.extend(starts.into_iter().map(|start| (start, 0)));
        self.pads.sort_unstable();
        self.pads.dedup_by_key(|(start, _)| *start);
        let (mut text, mut at) = (String::with_capacity(self.original.len() * 2), 0);
        for n in 0..self.pads.len() {
            let start = self.pads[n].0;
            self.pads[n].1 = start + n * self.pad;
            let start = self.offset_of(start);
            text.push_str(&self.original[at..start]);
            text.extend(std::iter::repeat_n(' ', self.pad));
            at = start;
        }
        text.push_str(&self.original[at..]);
        self.text = Cow::Owned(without_halves(&text).into_owned());
        before < self.pads.len()
    }

    /// The offset in the original of a place that the parser names.
    fn offset(&self, marker: Marker) -> usize {
        let index = marker.index();
        // Each deeper line in front moved the place by the same amount.
        match self.pads.partition_point(|(_, shown)| *shown < index) {
            0 => self.offset_of(index),
            n => self.offset_of(index.saturating_sub(n * self.pad).max(self.pads[n - 1].0)),
        }
    }

    fn offset_of(&self, character: usize) -> usize {
        match &self.offsets {
            Some(offsets) => offsets.get(character).copied().unwrap_or(self.original.len()),
            None => character.min(self.original.len()),
        }
    }
}

/// JSON writes some characters as two escapes, surrogate halves that YAML does not know. The parser is shown
/// other escapes of the same length: the values of a JSON text are read as JSON (see `Documents::read`), and
/// the parser is asked only for places.
fn without_halves(text: &str) -> Cow<'_, str> {
    let is_half = |escape: &str| {
        let digit = |n: usize| escape.as_bytes().get(n).map(u8::to_ascii_lowercase);
        digit(2) == Some(b'd') && digit(3).is_some_and(|digit| (b'8'..=b'f').contains(&digit))
    };
    if json(text).is_none() || !text.match_indices("\\u").any(|(at, _)| is_half(&text[at..])) {
        return Cow::Borrowed(text);
    }
    let (mut shown, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find("\\u") {
        let (before, escape) = rest.split_at(at);
        shown.push_str(before);
        shown.push_str("\\u");
        rest = &escape[2..];
        if is_half(escape) {
            shown.push('0');
            rest = &rest[1..];
        }
    }
    shown.push_str(rest);
    Cow::Owned(shown)
}

struct Reader<'t, 's> {
    text: &'t str,
    shown: &'s Shown<'t>,
    events: Parser<'s, StrInput<'s>>,
    /// The beginnings of the lines that the parser wants deeper.
    shallow: Option<Range<usize>>,
}

impl<'s> Reader<'_, 's> {
    fn documents(&mut self) -> Result<Vec<Node>, Error> {
        let mut roots = Vec::new();
        let mut at = if self.text.starts_with('\u{feff}') { 3 } else { 0 };
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(roots),
                (Event::DocumentStart(true), span) => at = self.offset(span.end),
                (Event::DocumentEnd, span) => {
                    let end = self.offset(span.end);
                    if self.text[..end].ends_with("...") {
                        at = end;
                    }
                }
                (Event::StreamStart | Event::DocumentStart(false) | Event::Nothing, _) => {}
                event => {
                    let root = self.node(event, at, 0)?;
                    at = root.end;
                    roots.push(root);
                }
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'s>, Span), Error> {
        match self.events.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(self.malformed(&error)),
            None => Err(fault(self.text, self.text.len(), "the text ends too early")),
        }
    }

    fn offset(&self, marker: Marker) -> usize {
        self.shown.offset(marker)
    }

    fn malformed(&mut self, error: &ScanError) -> Error {
        let at = self.offset(*error.marker());
        if SHALLOW.contains(&error.info()) {
            let start = self.text[..at].rfind('\n').map_or(0, |line_feed| line_feed + 1);
            self.shallow = Some(start..start + 1);
        } else if error.info() == SHALLOW_QUOTED
            && let Ok(end) = self.behind_quotes(at)
        {
            self.shallow = Some(at + 1..end);
        }
        fault(self.text, at, error.info())
    }

    /// The node that begins with `event`, somewhere behind `at`.
    fn node(&mut self, (event, span): (Event<'s>, Span), at: usize, depth: usize) -> Result<Node, Error> {
        if depth > DEPTH {
            return Err(fault(
                self.text,
                at,
                &format!("nested more than {DEPTH} deep; no deployment file is"),
            ));
        }
        match event {
            Event::Alias(anchor) => {
                let start = skip(self.text, at);
                self.expect(start, '*')?;
                let end = start + 1 + name_len(&self.text[start + 1..]);
                Ok(Node { start, content: start, end, anchor: 0, tag: None, kind: Kind::Alias(anchor) })
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.scalar(text, style, anchor, tag, self.offset(span.end), at)
            }
            Event::SequenceStart(anchor, tag) => {
                let (start, content) = self.begin(at, anchor, tag.as_deref())?;
                let is_flow = self.text[content..].starts_with('[');
                let (items, end) = self.items(content, is_flow, depth)?;
                let kind = Kind::Sequence { is_flow, items };
                Ok(Node { start, content, end, anchor, tag: written(tag), kind })
            }
            Event::MappingStart(anchor, tag) => {
                let (start, content) = self.begin(at, anchor, tag.as_deref())?;
                let is_flow = self.text[content..].starts_with('{');
                let (entries, end) = self.entries(content, is_flow, depth)?;
                let kind = Kind::Mapping { is_flow, entries };
                Ok(Node { start, content, end, anchor, tag: written(tag), kind })
            }
            _ => Err(fault(self.text, at, "something is missing here")),
        }
    }

    fn items(&mut self, content: usize, is_flow: bool, depth: usize) -> Result<(Vec<Item>, usize), Error> {
        let mut at = if is_flow { content + 1 } else { content };
        let mut items: Vec<Item> = Vec::new();
        loop {
            let event = self.next()?;
            if matches!(event.0, Event::SequenceEnd) {
                return Ok((items, if is_flow { self.closing(at, ']')? } else { at }));
            }
            let (start, open) = match is_flow {
                true => {
                    let start = self.behind_comma(at);
                    (start, start)
                }
                false => {
                    let dash = skip(self.text, at);
                    self.expect(dash, '-')?;
                    (dash, dash + 1)
                }
            };
            let value = self.node(event, open, depth + 1)?;
            at = value.end.max(open);
            items.push(Item { start: if is_flow { value.start } else { start }, open, value });
        }
    }

    /// A pair in a flow list, `[a: b]`, is a mapping in a flow without braces; it is read here as a block of
    /// one line.
    fn entries(&mut self, content: usize, is_flow: bool, depth: usize) -> Result<(Vec<Entry>, usize), Error> {
        let mut at = if is_flow { content + 1 } else { content };
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let event = self.next()?;
            if matches!(event.0, Event::MappingEnd) {
                return Ok((entries, if is_flow { self.closing(at, '}')? } else { at }));
            }
            let mut start = if is_flow { self.behind_comma(at) } else { at };
            start = skip(self.text, start);
            let is_explicit = self.text[start..].starts_with('?')
                && self.text[start + 1..].chars().next().is_none_or(|next| next.is_ascii_whitespace());
            let key = self.node(event, if is_explicit { start + 1 } else { start }, depth + 1)?;
            let colon = skip(self.text, key.end);
            let open = self.text[colon..].starts_with(':').then_some(colon + 1);
            let event = self.next()?;
            let is_left_out =
                matches!(&event.0, Event::Scalar(text, ScalarStyle::Plain, 0, None) if text.is_empty());
            if open.is_none() && !is_left_out {
                return Err(fault(self.text, colon, "a colon is missing here"));
            }
            let value = self.node(event, open.unwrap_or(key.end), depth + 1)?;
            at = value.end;
            entries.push(Entry { start, key, open, value });
        }
    }

    fn scalar(
        &mut self,
        text: Cow<'s, str>,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<Cow<'s, Tag>>,
        said_end: usize,
        at: usize,
    ) -> Result<Node, Error> {
        let is_plain = style == ScalarStyle::Plain;
        let is_left_out = is_plain && text.is_empty();
        let (start, content, end) = if is_left_out && anchor == 0 && tag.is_none() {
            (at, at, at)
        } else {
            let start = skip(self.text, at);
            let behind = self.behind_properties(start, anchor, tag.as_deref())?;
            let content = if is_left_out { behind } else { skip(self.text, behind) };
            let end = match style {
                _ if is_left_out => behind,
                ScalarStyle::Plain => said_end,
                ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => self.behind_quotes(content)?,
                ScalarStyle::Literal | ScalarStyle::Folded => self.behind_block(content, said_end),
            };
            (start, content, end)
        };
        // The parser adds the line feed that the text lacks.
        let mut text = text.into_owned();
        let is_block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
        if is_block && end == self.text.len() && !self.text.ends_with('\n') && text.ends_with('\n') {
            text.pop();
        }
        if end < content {
            return Err(fault(self.text, start, "cannot follow the text here; write it in a plainer way"));
        }
        Ok(Node { start, content, end, anchor, tag: written(tag), kind: Kind::Scalar { text, is_plain } })
    }

    /// Where a node that is not omitted begins, and where its content begins.
    fn begin(&mut self, at: usize, anchor: usize, tag: Option<&Tag>) -> Result<(usize, usize), Error> {
        let start = skip(self.text, at);
        let behind = self.behind_properties(start, anchor, tag)?;
        Ok((start, skip(self.text, behind)))
    }

    fn behind_properties(&self, start: usize, anchor: usize, tag: Option<&Tag>) -> Result<usize, Error> {
        let mut waiting = Vec::from_iter((anchor != 0).then_some('&').into_iter().chain(tag.map(|_| '!')));
        let mut at = start;
        while !waiting.is_empty() {
            let begin = skip(self.text, at);
            let found = self.text[begin..].chars().next().and_then(|c| waiting.iter().position(|w| *w == c));
            let Some(found) = found else {
                return Err(fault(
                    self.text,
                    begin,
                    "cannot follow the anchor or tag here; write it in front of its value",
                ));
            };
            waiting.remove(found);
            let rest = &self.text[begin + 1..];
            at = begin
                + 1
                + if rest.starts_with('<') {
                    rest.find('>').map_or(0, |end| end + 1)
                } else {
                    name_len(rest)
                };
        }
        Ok(at)
    }

    fn behind_quotes(&self, content: usize) -> Result<usize, Error> {
        let bytes = self.text.as_bytes();
        let Some(quote) = bytes.get(content).copied().filter(|byte| matches!(byte, b'"' | b'\'')) else {
            return Err(fault(self.text, content, "cannot find the opening quote here"));
        };
        let mut at = content + 1;
        while let Some(byte) = bytes.get(at) {
            match byte {
                b'\\' if quote == b'"' => at += 2,
                b'\'' if quote == b'\'' && bytes.get(at + 1) == Some(&b'\'') => at += 2,
                byte if *byte == quote => return Ok(at + 1),
                _ => at += 1,
            }
        }
        Err(fault(self.text, content, "cannot find the closing quote"))
    }

    /// The end of a block scalar without the empty lines behind it, unless it keeps them (`|+`).
    fn behind_block(&self, content: usize, said_end: usize) -> usize {
        let header_end = line_end(self.text, content);
        let mut end = said_end.max(header_end);
        if end < self.text.len() {
            end = self.text[..end].rfind('\n').map_or(0, |line_feed| line_feed + 1).max(header_end);
        }
        let header = &self.text[content..header_end];
        if header.split('#').next().is_some_and(|indicators| indicators.contains('+')) {
            return end;
        }
        // An empty line is a line feed behind a line feed.
        while let Some(rest) = self.text[header_end..end].strip_suffix('\n') {
            let rest = rest.strip_suffix('\r').unwrap_or(rest);
            if !rest.is_empty() && !rest.ends_with('\n') {
                break;
            }
            end = header_end + rest.len();
        }
        end
    }

    fn behind_comma(&self, at: usize) -> usize {
        let comma = skip(self.text, at);
        if self.text[comma..].starts_with(',') { skip(self.text, comma + 1) } else { comma }
    }

    fn closing(&self, at: usize, bracket: char) -> Result<usize, Error> {
        let end = self.behind_comma(at);
        self.expect(end, bracket)?;
        Ok(end + 1)
    }

    fn expect(&self, at: usize, wanted: char) -> Result<(), Error> {
        match self.text[at..].starts_with(wanted) {
            true => Ok(()),
            false => Err(fault(
                self.text,
                at,
                &format!("cannot find the '{wanted}' here; write it in a plainer way"),
            )),
        }
    }
}

/// The indicator in the header of the block scalar that ends a text without a last line feed, where a `-`
/// keeps its value when the text goes on: empty, or a `+`. `None`: nothing of that kind ends the text.
pub fn open_block(text: &str, node: &Node) -> Option<Range<usize>> {
    match &node.kind {
        Kind::Sequence { items, is_flow: false } => open_block(text, &items.last()?.value),
        Kind::Mapping { entries, is_flow: false } => open_block(text, &entries.last()?.value),
        Kind::Scalar { is_plain: false, .. } if text[node.content..].starts_with(['|', '>']) => {
            let length = text[node.content..].find(|c: char| c.is_ascii_whitespace())?;
            let (start, end) = (node.content + 1, node.content + length);
            match text[start..end].find(['-', '+']) {
                Some(at) if text[start + at..].starts_with('-') => None,
                Some(at) => Some(start + at..start + at + 1),
                None => Some(end..end),
            }
        }
        _ => None,
    }
}

fn written(tag: Option<Cow<'_, Tag>>) -> Option<String> {
    tag.map(|tag| format!("{}{}", tag.handle, tag.suffix))
}

/// The next place behind space, line feeds and comments.
pub fn skip(text: &str, mut at: usize) -> usize {
    let bytes = text.as_bytes();
    loop {
        match bytes.get(at) {
            Some(b' ' | b'\t' | b'\r' | b'\n') => at += 1,
            Some(b'#')
                if at == 0 || matches!(bytes[at - 1], b' ' | b'\t' | b'\r' | b'\n' | b',' | b'\xbf') =>
            {
                at += text[at..].find('\n').unwrap_or(text.len() - at);
            }
            _ => return at,
        }
    }
}

/// The start of the next line; `at` itself, if a line begins there.
pub fn line_end(text: &str, at: usize) -> usize {
    if at > 0 && text[..at].ends_with('\n') {
        return at;
    }
    text[at..].find('\n').map_or(text.len(), |line_feed| at + line_feed + 1)
}

/// Anchors, aliases and tags end at space, and in a flow also at a separator.
fn name_len(text: &str) -> usize {
    text.find(|c: char| c.is_ascii_whitespace() || ",[]{}".contains(c)).unwrap_or(text.len())
}
