//! A text that knows, byte for byte, which file and place it comes from.
//!
//! Conditions are put together of a scalar's text, appended texts, lists and exceptions; an error at a byte
//! of the whole must name the line and column of the file.

use saphyr_parser::ScalarStyle;

use super::place::Spot;
use super::yaml::Scalar;

/// A text and its origin.
#[derive(Clone, Debug, Default)]
pub(super) struct Traced {
    text: String,
    /// In the order of the text.
    marks: Vec<Mark>,
}

/// From `at` on the text comes from `from`.
#[derive(Clone, Copy, Debug)]
struct Mark {
    at: u32,
    from: Spot,
    /// The bytes behind it stand one by one in the file; else all of them come from this one place.
    is_run: bool,
}

impl Traced {
    /// The text of a scalar that begins at `from` in the file `text`.
    pub fn scalar(scalar: &Scalar, from: Spot, text: &str) -> Self {
        let mut traced = Self { text: scalar.text.as_ref().into(), marks: Vec::new() };
        let (mut start, end) = (from.at as usize, scalar.end as usize);
        start += properties(text.get(start..end).unwrap_or_default(), scalar.style);
        if matches!(scalar.style, ScalarStyle::Literal | ScalarStyle::Folded) {
            // A block begins with its first line that is not empty; the text begins with the empty ones.
            start = text.get(..start).unwrap_or_default().trim_end_matches([' ', '\n', '\r']).len();
        }
        let spot = Spot { at: u32::try_from(start).unwrap_or(u32::MAX), ..from };
        traced.align(text.get(start..end).unwrap_or_default().as_bytes(), scalar.style, spot);
        traced
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn len(&self) -> usize {
        self.text.len()
    }

    /// Where the byte `at` comes from; a byte behind the end comes from where the last one does.
    pub fn spot(&self, at: usize) -> Spot {
        let at = u32::try_from(at.min(self.text.len())).unwrap_or(u32::MAX);
        let behind = self.marks.partition_point(|mark| mark.at <= at);
        match self.marks.get(behind.saturating_sub(1)) {
            Some(mark) if mark.is_run => {
                Spot { file: mark.from.file, at: mark.from.at.saturating_add(at.saturating_sub(mark.at)) }
            }
            Some(mark) => mark.from,
            None => Spot { file: 0, at: 0 },
        }
    }

    /// Appends a text that stands nowhere, on behalf of `from`.
    pub fn push(&mut self, text: &str, from: Spot) {
        if !text.is_empty() {
            self.mark(from, false);
            self.text.push_str(text);
        }
    }

    /// Appends a part of another text.
    pub fn push_part(&mut self, other: &Traced, part: std::ops::Range<usize>) {
        let text = other.text.get(part.clone()).unwrap_or_default();
        if text.is_empty() {
            return;
        }
        let (start, end) = (part.start, part.start + text.len());
        let first = other.marks.partition_point(|mark| mark.at as usize <= start).saturating_sub(1);
        for mark in other.marks.iter().skip(first).take_while(|mark| (mark.at as usize) < end) {
            let skipped = start.saturating_sub(mark.at as usize);
            let mut from = mark.from;
            if mark.is_run {
                from.at = from.at.saturating_add(u32::try_from(skipped).unwrap_or(u32::MAX));
            }
            let at = self.text.len() + (mark.at as usize).saturating_sub(start);
            self.mark_at(at, from, mark.is_run);
        }
        self.text.push_str(text);
    }

    /// Appends another text.
    pub fn push_all(&mut self, other: &Traced) {
        self.push_part(other, 0..other.len());
    }

    /// Removes bytes at the end that are one of `characters`.
    pub fn trim_end(&mut self, characters: &[char]) {
        self.cut(self.text.trim_end_matches(characters).len());
    }

    /// Removes `last` at the end, if it is there.
    pub fn strip_suffix(&mut self, last: char) -> bool {
        let kept = self.text.strip_suffix(last).map(str::len);
        kept.map(|len| self.cut(len)).is_some()
    }

    /// Removes blanks at both ends.
    pub fn trimmed(&self) -> Traced {
        let end = self.text.trim_end().len();
        let start = self.text.len() - self.text.trim_start().len();
        let mut trimmed = Traced::default();
        trimmed.push_part(self, start.min(end)..end);
        trimmed
    }

    fn cut(&mut self, len: usize) {
        self.text.truncate(len);
        while self.marks.last().is_some_and(|mark| mark.at as usize > len) {
            self.marks.pop();
        }
    }

    fn mark(&mut self, from: Spot, is_run: bool) {
        self.mark_at(self.text.len(), from, is_run);
    }

    fn mark_at(&mut self, at: usize, from: Spot, is_run: bool) {
        let at = u32::try_from(at).unwrap_or(u32::MAX);
        if self.marks.last().is_some_and(|mark| mark.at == at) {
            self.marks.pop();
        }
        if !is_run && self.marks.last().is_some_and(|mark| !mark.is_run && mark.from == from) {
            return;
        }
        self.marks.push(Mark { at, from, is_run });
    }

    /// Finds each byte of the text in `source`, as it was written in the file.
    ///
    /// Bytes that are not blank are found exactly. Blanks of folded lines are found at one of the blanks that
    /// they were made of.
    fn align(&mut self, source: &[u8], style: ScalarStyle, from: Spot) {
        let text = std::mem::take(&mut self.text);
        let is_quoted = matches!(style, ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted);
        let is_block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
        let mut s = usize::from(is_quoted);
        // Where source and text must be for the last mark to go on.
        let mut next = None;
        let mut v = 0;
        while v < text.len() {
            let wanted = text.as_bytes()[v];
            let Some(&byte) = source.get(s) else { break };
            let (taken, made) = match (style, byte) {
                (ScalarStyle::DoubleQuoted, b'\\') => match escape(&source[s..]) {
                    (taken, 0) => {
                        s += taken;
                        continue;
                    }
                    step => step,
                },
                (ScalarStyle::SingleQuoted, b'\'') => (2, 1),
                _ if !is_block && is_blank(byte) => fold(&source[s..]).unwrap_or((1, 1)),
                _ if byte == wanted => (1, 1),
                _ if is_blank(byte) && is_blank(wanted) => (1, 1),
                _ if is_blank(byte) => {
                    s += 1;
                    continue;
                }
                // Not what was expected: the rest is said to be here.
                _ => break,
            };
            if next != Some((s, v)) || made > 1 {
                let at = from.at.saturating_add(u32::try_from(s).unwrap_or(u32::MAX));
                self.marks.push(Mark {
                    at: u32::try_from(v).unwrap_or(u32::MAX),
                    from: Spot { file: from.file, at },
                    // All bytes that an escape makes stand where it does.
                    is_run: made == 1,
                });
            }
            (s, v) = (s + taken, v + made);
            next = ((taken, made) == (1, 1)).then_some((s, v));
        }
        if v < text.len() || self.marks.is_empty() {
            let at = from.at.saturating_add(u32::try_from(s.min(source.len())).unwrap_or(u32::MAX));
            let v = u32::try_from(v).unwrap_or(u32::MAX);
            self.marks.push(Mark { at: v, from: Spot { file: from.file, at }, is_run: false });
        }
        self.text = text;
    }
}

/// How many bytes stand in front of a scalar's own: its anchor, its tag, and the head of a block if it has
/// those.
fn properties(source: &str, style: ScalarStyle) -> usize {
    let mut rest = source;
    while rest.starts_with(['&', '!']) {
        let name = rest.find(|character: char| character.is_ascii_whitespace()).unwrap_or(rest.len());
        rest = rest[name..].trim_start();
    }
    let is_block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
    match (is_block, rest.starts_with(['|', '>']) && rest.len() < source.len()) {
        (true, true) => source.len() - rest.len() + rest.find('\n').unwrap_or(0),
        // A block without them begins with its text, which may look like them.
        (true, false) => 0,
        (false, _) => source.len() - rest.len(),
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// How many bytes the end of a line in a text without a block takes, with the blanks around it and the empty
/// lines behind it, and how many bytes of text they make.
fn fold(source: &[u8]) -> Option<(usize, usize)> {
    let taken = source.iter().take_while(|byte| is_blank(**byte)).count();
    let lines = source.iter().take(taken).filter(|byte| **byte == b'\n').count();
    (lines > 0).then(|| (taken, lines.saturating_sub(1).max(1)))
}

/// How many bytes an escape in double quotes takes, and how many bytes of text it makes.
fn escape(source: &[u8]) -> (usize, usize) {
    let digits = |count: usize| {
        let digits = source.get(2..2 + count).and_then(|digits| std::str::from_utf8(digits).ok());
        let character =
            digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()).and_then(char::from_u32);
        (2 + count, character.map_or(1, char::len_utf8))
    };
    match source.get(1) {
        // The line goes on: neither the line feed nor the blanks in front of the next word count.
        Some(b'\n' | b'\r') => (1 + source.iter().skip(1).take_while(|byte| is_blank(**byte)).count(), 0),
        Some(b'x') => digits(2),
        Some(b'u') => digits(4),
        Some(b'U') => digits(8),
        Some(b'N' | b'_') => (2, 2),
        Some(b'L' | b'P') => (2, 3),
        _ => (2, 1),
    }
}

#[cfg(test)]
mod tests {
    use super::super::yaml::{self, Kind, Node};
    use super::*;

    fn scalars<'n>(node: &'n Node, found: &mut Vec<(&'n Node, &'n Scalar)>) {
        match node.kind() {
            Kind::Scalar(scalar) => found.push((node, scalar)),
            Kind::Sequence(items) => items.iter().for_each(|item| scalars(item, found)),
            Kind::Mapping(entries) => entries.iter().for_each(|(key, value)| {
                scalars(key, found);
                scalars(value, found);
            }),
            Kind::Null | Kind::Shared(_) => {}
        }
    }

    /// Checks that each byte of each scalar that is not blank, and no part of an escape, is found in the
    /// text.
    fn assert_found(text: &str) {
        let roots = yaml::read(text).unwrap_or_else(|fault| panic!("{}: {}", fault.at, fault.message));
        let mut found = Vec::new();
        roots.iter().for_each(|root| scalars(root, &mut found));
        assert!(!found.is_empty());
        for (node, scalar) in found {
            let traced = Traced::scalar(scalar, Spot { file: 0, at: node.at }, text);
            for (at, byte) in traced.text().bytes().enumerate().filter(|(_, byte)| !is_blank(*byte)) {
                let source = text.as_bytes()[traced.spot(at).at as usize];
                let is_escape = source == b'\\' && scalar.style == ScalarStyle::DoubleQuoted;
                assert!(byte == source || is_escape, "byte {at} of {:?} ({:?})", scalar.text, scalar.style);
            }
        }
    }

    #[test]
    fn each_byte_of_a_scalar_is_found_in_its_file() {
        assert_found(
            "- plain\n- two words # comment\n- plain on\n  several\n\n  lines\n- 'it''s\n\n   quoted'\n- \"a \\\"b\\\" \\x41 \
             \\\n    \\  c\\u00e9d\\U0001F600e\\N\\Lf\n\n  g\"\n- é: ü\n- \"a   \n   \\ b \\  \n\n\n  c\"\n- 'a  \n  \n  b'\n",
        );
        assert_found(
            "- >\n  folded\n  line\n\n    deeper\n    still\n\n\n  end\n- |\n  literal\n    deeper\n\n  end\n",
        );
        assert_found("- >-\n\n\n  late\n- |+\n  kept\n\n- >2\n    two\n  three\n- |1-\n  x\n   y\n- end\n");
        assert_found("- &a !!str plain\n- &b >\n  block\n- !t 'quoted'\n- !t &c\n  next line\n");
        assert_found("a: [b, c,\nd, 'e\nf', \"g\nh\"\n]\ni: {j: k, l:\nm}\n");
        assert_found("\u{feff}a: é\r\nb: >\r\n  one\r\n  two\r\nc: \"d\r\n  e\"\r\n");
    }

    #[test]
    fn parts_of_texts_keep_their_places() {
        let spot = |file, at| Spot { file, at };
        let text = "- abc def\n";
        let roots = yaml::read(text).unwrap();
        let mut found = Vec::new();
        scalars(&roots[0], &mut found);
        let scalar = Traced::scalar(found[0].1, spot(7, found[0].0.at), text);

        let mut whole = Traced::default();
        whole.push("(", spot(1, 5));
        whole.push_part(&scalar, 2..5);
        whole.push(") ", spot(2, 6));
        whole.trim_end(&[' ']);
        whole.push_all(&scalar);

        assert_eq!("(c d)abc def", whole.text());
        let spots: Vec<Spot> = [0, 1, 3, 4, 5, 6, 11, 12].iter().map(|at| whole.spot(*at)).collect();
        let expected = [(1, 5), (7, 4), (7, 6), (2, 6), (7, 2), (7, 3), (7, 8), (7, 9)];
        assert_eq!(expected.map(|(file, at)| spot(file, at)).to_vec(), spots);
    }
}
