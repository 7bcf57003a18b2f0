//! The parts of a text that are secrets, and helpers to find them.

/// What stands in a secret's place.
pub const REDACTED: &[u8] = b"[redacted]";

/// Parts of a text.
#[derive(Debug, Default)]
pub struct Marks(Vec<(usize, usize)>);

impl Marks {
    /// Marks the bytes from `from` to before `to`; nothing where there are none.
    pub fn add(&mut self, from: usize, to: usize) {
        if from < to {
            self.0.push((from, to));
        }
    }

    /// The text with each marked part replaced; parts that touch are one. `None` where nothing is changed.
    pub fn apply(&mut self, text: &[u8]) -> Option<Vec<u8>> {
        self.0.sort_unstable();
        let mut changed = Vec::new();
        let mut done = 0;
        let mut marks = self.0.iter().copied().peekable();
        while let Some((from, mut to)) = marks.next() {
            while let Some((_, next_to)) = marks.next_if(|(next, _)| *next <= to) {
                to = to.max(next_to);
            }
            changed.extend_from_slice(text.get(done..from)?);
            changed.extend_from_slice(REDACTED);
            done = to;
        }
        changed.extend_from_slice(text.get(done..)?);
        (changed != text).then_some(changed)
    }
}

/// How many bytes at the front are such.
pub fn run(text: &[u8], is_such: impl Fn(u8) -> bool) -> usize {
    text.iter().take_while(|byte| is_such(**byte)).count()
}

/// A blank, a tab, or the end of a line or of a string.
pub fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0)
}

/// A quote of a shell, of JSON or of YAML.
pub fn is_quote(byte: u8) -> bool {
    matches!(byte, b'\'' | b'"' | b'`')
}

/// How many bytes stand before the closing `quote`. Of an opening quote behind a backslash, the closing one
/// is behind one too, which does not count; else it is behind none.
pub fn quoted_len(text: &[u8], quote: u8, is_escaped: bool) -> usize {
    let mut len = 0;
    while let Some(byte) = text.get(len).copied().filter(|byte| *byte != quote) {
        let skipped = byte == b'\\' && quote == b'"' && !is_escaped && text.get(len + 1).is_some();
        len += 1 + usize::from(skipped);
    }
    let slashes = text.get(..len).into_iter().flatten().rev().take_while(|byte| **byte == b'\\').count();
    len - if is_escaped { slashes } else { 0 }
}

/// The places of `wanted`, which is lower case, whatever the case of the text.
pub fn find_ignoring_case<'a>(text: &'a [u8], wanted: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    let windows = text.windows(wanted.len()).enumerate();
    windows.filter(|(_, window)| window.eq_ignore_ascii_case(wanted)).map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_touch_are_replaced_once() {
        let mut marks = Marks::default();
        [(4, 6), (0, 2), (6, 7), (5, 6), (9, 9)].into_iter().for_each(|(from, to)| marks.add(from, to));

        assert_eq!(Some(b"[redacted]cd[redacted]h".to_vec()), marks.apply(b"abcdefgh"));
        assert_eq!(None, Marks::default().apply(b"abc"));
    }
}
