//! A YAML text as a tree whose nodes know where they stand.
//!
//! `saphyr-parser` says which nodes there are; this module bounds how many and how deep, shares the nodes
//! that aliases name instead of copying them, and shows the parser lines that it would refuse and Falco
//! accepts.

use std::borrow::Cow;
use std::collections::HashMap;
use std::rc::Rc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput};

/// The deepest nesting of lists and mappings.
pub(super) const DEPTH: u32 = 64;

/// The most values of a file.
pub(super) const VALUES: u32 = 1_000_000;

/// A value.
#[derive(Debug)]
pub(super) struct Node {
    /// Its first byte in the file; that of the text in a block.
    pub at: u32,
    pub kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    /// Nothing, `~` or `null`.
    Null,
    /// A word, a number or a text.
    Scalar(Scalar),
    Sequence(Vec<Node>),
    /// Keys and values in the order of the text.
    Mapping(Vec<(Node, Node)>),
    /// What an alias or its anchor names.
    Shared(Rc<Node>),
}

#[derive(Debug)]
pub(super) struct Scalar {
    pub text: Box<str>,
    pub style: ScalarStyle,
    /// Behind its last byte in the file.
    pub end: u32,
}

impl Node {
    /// The value's kind, behind aliases.
    pub fn kind(&self) -> &Kind {
        match &self.kind {
            Kind::Shared(node) => node.kind(),
            kind => kind,
        }
    }

    /// The node that an alias names, or itself.
    pub fn target(&self) -> &Node {
        match &self.kind {
            Kind::Shared(node) => node.target(),
            _ => self,
        }
    }

    pub fn is_null(&self) -> bool {
        matches!(self.kind(), Kind::Null)
    }

    pub fn scalar(&self) -> Option<&Scalar> {
        match self.kind() {
            Kind::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }
}

/// Why a text cannot be read.
#[derive(Debug)]
pub(super) struct Fault {
    pub at: u32,
    pub message: String,
}

/// Reads all documents of a text that is shorter than [`super::LONGEST`].
///
/// YAML 1.2 demands that lines in brackets or quotes be indented deeper than their parent. Falco's reader
/// does not insist on that, and many rule files do not do it, but the parser insists. So it is shown such
/// lines deeper than they are, one more each time that it complains; the indentation does not change their
/// meaning.
pub(super) fn read(text: &str) -> Result<Vec<Node>, Fault> {
    let (mut shown, mut read_bytes) = (Shown::new(text), 0);
    loop {
        let mut reader = Reader::new(&shown);
        match reader.documents() {
            Ok(roots) => return Ok(roots),
            Err(Stop::Fault(fault)) => return Err(fault),
            Err(Stop::Shallow { lines, fault }) => {
                read_bytes += shown.text.len();
                if read_bytes > PATIENCE || !shown.indent(&lines) {
                    return Err(fault);
                }
            }
        }
    }
}

/// The most bytes that are parsed in all attempts: some seconds' worth.
const PATIENCE: usize = 64 << 20;

/// The text as the parser sees it, and where its bytes are in the file.
struct Shown<'t> {
    original: &'t str,
    text: Cow<'t, str>,
    /// How many bytes of the original are not shown: those of a byte order mark.
    skipped: usize,
    /// The lines that are shown deeper, by the offset of their first byte in the original, in order.
    pads: Vec<usize>,
    pad: usize,
    /// The byte offset in the shown text of every [`STRIDE`]th character; empty if all are one byte long.
    strides: Vec<u32>,
}

const STRIDE: usize = 64;

impl<'t> Shown<'t> {
    fn new(original: &'t str) -> Self {
        let text = original.strip_prefix('\u{feff}').unwrap_or(original);
        let indented = |line: &str| line.len() - line.trim_start_matches([' ', '-', '?']).len();
        let mut shown = Self {
            original,
            text: Cow::Borrowed(text),
            skipped: original.len() - text.len(),
            pads: Vec::new(),
            pad: text.lines().map(indented).max().unwrap_or(0).min(1000) + 1,
            strides: Vec::new(),
        };
        shown.count();
        shown
    }

    fn count(&mut self) {
        self.strides.clear();
        if !self.text.is_ascii() {
            let every = self.text.char_indices().step_by(STRIDE);
            self.strides.extend(every.map(|(at, _)| number(at)));
        }
    }

    /// Shows the lines that begin in a range of the original deeper; false if all of them were already.
    fn indent(&mut self, lines: &std::ops::Range<usize>) -> bool {
        let before = self.pads.len();
        let is_start =
            |at: &usize| *at <= self.skipped || self.original.as_bytes().get(at - 1) == Some(&b'\n');
        self.pads.extend(lines.clone().filter(is_start));
        self.pads.sort_unstable();
        self.pads.dedup();
        let mut text = String::with_capacity(self.original.len() + self.pads.len() * self.pad);
        let mut at = self.skipped;
        for start in &self.pads {
            text.push_str(self.original.get(at..*start).unwrap_or_default());
            text.extend(std::iter::repeat_n(' ', self.pad));
            at = *start;
        }
        text.push_str(self.original.get(at..).unwrap_or_default());
        self.text = Cow::Owned(text);
        self.count();
        before < self.pads.len()
    }

    /// The byte of the shown text that a marker names.
    fn shown_offset(&self, marker: Marker) -> usize {
        let index = marker.index();
        if self.strides.is_empty() {
            return index.min(self.text.len());
        }
        let Some(start) = self.strides.get(index / STRIDE) else { return self.text.len() };
        let rest = self.text.get(*start as usize..).unwrap_or_default();
        rest.char_indices().nth(index % STRIDE).map_or(self.text.len(), |(at, _)| *start as usize + at)
    }

    /// The byte of the original that a marker names.
    fn offset(&self, marker: Marker) -> u32 {
        let shown = self.shown_offset(marker) + self.skipped;
        // Each deeper line in front moved the place by the same amount.
        let (mut low, mut high) = (0, self.pads.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.pads[middle] + middle * self.pad < shown {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let at = match low {
            0 => shown,
            n => shown.saturating_sub(n * self.pad).max(self.pads[n - 1]),
        };
        number(at.min(self.original.len()))
    }
}

fn number(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

enum Stop {
    Fault(Fault),
    /// The parser wants the lines that begin in this range deeper.
    Shallow {
        lines: std::ops::Range<usize>,
        fault: Fault,
    },
}

/// The parser's complaints about a line in brackets, and about one in quotes.
const SHALLOW: [&str; 2] = ["invalid indentation", "invalid indentation in flow construct"];
const SHALLOW_QUOTED: &str = "invalid indentation in quoted scalar";

struct Reader<'s, 't> {
    shown: &'s Shown<'t>,
    events: Parser<'s, StrInput<'s>>,
    anchors: HashMap<usize, Rc<Node>>,
    left: u32,
}

impl<'s, 't> Reader<'s, 't> {
    fn new(shown: &'s Shown<'t>) -> Self {
        Self { shown, events: Parser::new_from_str(&shown.text), anchors: HashMap::new(), left: VALUES }
    }

    fn documents(&mut self) -> Result<Vec<Node>, Stop> {
        let mut roots = Vec::new();
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(roots),
                (Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing, _) => {}
                event => roots.push(self.node(event, 0)?),
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'s>, Span), Stop> {
        match self.events.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(self.malformed(&error)),
            None => Err(fault(self.shown.original.len(), "the text ends too early")),
        }
    }

    fn malformed(&self, error: &ScanError) -> Stop {
        let at = self.shown.offset(*error.marker());
        let fault = Fault { at, message: format!("not YAML: {}", error.info()) };
        let text = self.shown.original;
        let at = at as usize;
        if SHALLOW.contains(&error.info()) {
            let before = text.get(..at).unwrap_or_default();
            let start = before.rfind('\n').map_or(self.shown.skipped, |line_feed| line_feed + 1);
            return Stop::Shallow { lines: start..start + 1, fault };
        }
        if error.info() == SHALLOW_QUOTED
            && let Some(end) = behind_quotes(text, at)
        {
            return Stop::Shallow { lines: at + 1..end, fault };
        }
        Stop::Fault(fault)
    }

    /// The node that begins with `event`.
    fn node(&mut self, (event, span): (Event<'s>, Span), depth: u32) -> Result<Node, Stop> {
        let at = self.shown.offset(span.start);
        if depth > DEPTH {
            return Err(fault(at as usize, format!("nested more than {DEPTH} deep; no rule file is")));
        }
        let Some(left) = self.left.checked_sub(1) else {
            return Err(fault(at as usize, format!("more than {VALUES} values; no rule file has as many")));
        };
        self.left = left;
        let (anchor, kind) = match event {
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor) else {
                    return Err(fault(at as usize, "an alias within the value that it names"));
                };
                return Ok(Node { at, kind: Kind::Shared(Rc::clone(node)) });
            }
            Event::Scalar(text, style, anchor, tag) => {
                let is_plain = style == ScalarStyle::Plain && tag.is_none();
                let kind = match text.as_ref() {
                    "" | "~" | "null" | "Null" | "NULL" if is_plain => Kind::Null,
                    text => {
                        let end = self.shown.offset(span.end);
                        Kind::Scalar(Scalar { text: text.into(), style, end })
                    }
                };
                (anchor, kind)
            }
            Event::SequenceStart(anchor, _) => (anchor, Kind::Sequence(self.items(depth)?)),
            Event::MappingStart(anchor, _) => (anchor, Kind::Mapping(self.entries(depth)?)),
            _ => return Err(fault(at as usize, "not YAML: a value is missing here")),
        };
        let node = Node { at, kind };
        if anchor == 0 {
            return Ok(node);
        }
        let shared = Rc::new(node);
        self.anchors.insert(anchor, Rc::clone(&shared));
        Ok(Node { at, kind: Kind::Shared(shared) })
    }

    fn items(&mut self, depth: u32) -> Result<Vec<Node>, Stop> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(items),
                event => items.push(self.node(event, depth + 1)?),
            }
        }
    }

    fn entries(&mut self, depth: u32) -> Result<Vec<(Node, Node)>, Stop> {
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

fn fault(at: usize, message: impl Into<String>) -> Stop {
    Stop::Fault(Fault { at: number(at), message: message.into() })
}

/// Where a text in quotes ends that begins at `at`.
fn behind_quotes(text: &str, at: usize) -> Option<usize> {
    let rest = text.get(at..)?;
    let quote = rest.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    let mut is_escaped = false;
    rest.char_indices().skip(1).find_map(|(n, character)| {
        let is_end = character == quote && !is_escaped;
        is_escaped = quote == '"' && character == '\\' && !is_escaped;
        is_end.then_some(at + n + 1)
    })
}
