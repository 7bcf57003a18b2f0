//! All texts with which conditions compare one slot, asked at once.
//!
//! Rules compare the same few fields, such as the name of the process or the path of a file, with hundreds of
//! texts. A [`Table`] has those of one slot, whichever check they come from; one look at it tells for each
//! check whether it holds, as a bit of a row.

use rustc_hash::FxHashMap;

use crate::field::{Answer, Success};

/// What a check asks of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Relation {
    /// It is one of the check's texts.
    Equal,
    /// It begins with one of them.
    Prefix,
    /// It ends with one of them.
    Suffix,
}

/// The bit of every row that says that there is a value.
pub const EXISTS: u32 = 0;

/// The texts of the checks of one slot that ask the same. Bit 0 of a row is [`EXISTS`], each other one is a
/// check's.
#[derive(Debug)]
pub enum Table {
    /// Of [`Relation::Equal`].
    Whole {
        /// Rows by the text.
        rows: FxHashMap<Box<[u8]>, Row>,
        /// A bit for each length that a text has; the last one for all from 63 on.
        lengths: u64,
    },
    /// Of [`Relation::Prefix`], in the order of bytes.
    Beginnings(Vec<Part>),
    /// Of [`Relation::Suffix`], back to front, in the order of bytes.
    Endings(Vec<Part>),
}

/// The checks that hold, as indexes of words and the bits of those words.
pub type Row = Box<[(u32, u64)]>;

/// A beginning or an ending.
#[derive(Debug)]
pub struct Part {
    text: Box<[u8]>,
    /// The checks that ask for it, and those that ask for one with which it begins.
    row: Row,
    /// The longest other one with which it begins.
    within: Option<u32>,
}

impl Table {
    /// A table of checks that ask this: the texts of each, and its bit.
    pub fn new(relation: Relation, checks: &[(&[Box<[u8]>], u32)]) -> Table {
        let mut bits: FxHashMap<Box<[u8]>, Vec<u32>> = FxHashMap::default();
        for (texts, bit) in checks {
            for text in *texts {
                let mut text = text.clone();
                if relation == Relation::Suffix {
                    text.reverse();
                }
                bits.entry(text).or_default().push(*bit);
            }
        }
        match relation {
            Relation::Equal => {
                let lengths = bits.keys().fold(0, |lengths, text| lengths | length_bit(text));
                let rows = bits.into_iter().map(|(text, bits)| (text, row(&bits))).collect();
                Table::Whole { rows, lengths }
            }
            Relation::Prefix => Table::Beginnings(parts(bits)),
            Relation::Suffix => Table::Endings(parts(bits)),
        }
    }

    /// How many texts it has.
    pub fn texts(&self) -> usize {
        match self {
            Table::Whole { rows, .. } => rows.len(),
            Table::Beginnings(parts) | Table::Endings(parts) => parts.len(),
        }
    }

    /// Sets the bits of the checks that hold for a value, or for one of several.
    pub fn look(&self, value: &Answer<'_>, bits: &mut [u64]) {
        match value {
            Answer::Text(text) => self.look_at_text(text, bits),
            Answer::Presumed(Success::Text(text)) => self.look_at_text(text.as_bytes(), bits),
            Answer::List(list) => list.iter().for_each(|value| self.look(value, bits)),
            _ => (),
        }
    }

    fn look_at_text(&self, text: &[u8], bits: &mut [u64]) {
        if let Some(first) = bits.first_mut() {
            *first |= 1 << EXISTS;
        }
        let row = match self {
            Table::Whole { rows, lengths } if lengths & length_bit(text) != 0 => rows.get(text),
            Table::Whole { .. } => None,
            Table::Beginnings(parts) => {
                longest(parts, |part| part <= text, |part| text.starts_with(part)).map(|part| &part.row)
            }
            Table::Endings(parts) => {
                let is_within = |part: &[u8]| part.iter().le(text.iter().rev());
                let ends = |part: &[u8]| {
                    part.len() <= text.len() && part.iter().eq(text.iter().rev().take(part.len()))
                };
                longest(parts, is_within, ends).map(|part| &part.row)
            }
        };
        for (word, mask) in row.into_iter().flatten() {
            if let Some(bits) = bits.get_mut(*word as usize) {
                *bits |= mask;
            }
        }
    }
}

/// The longest part that matches. The last one that is not above the text begins with each other one that
/// matches, because everything between a prefix and a text begins with that prefix.
fn longest(
    parts: &[Part],
    is_within: impl Fn(&[u8]) -> bool,
    matches: impl Fn(&[u8]) -> bool,
) -> Option<&Part> {
    let above = parts.partition_point(|part| is_within(&part.text));
    let mut part = parts.get(above.checked_sub(1)?)?;
    while !matches(&part.text) {
        part = parts.get(part.within? as usize)?;
    }
    Some(part)
}

fn parts(bits: FxHashMap<Box<[u8]>, Vec<u32>>) -> Vec<Part> {
    let mut sorted: Vec<(Box<[u8]>, Vec<u32>)> = bits.into_iter().collect();
    sorted.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    let mut parts: Vec<Part> = Vec::with_capacity(sorted.len());
    let mut all: Vec<Vec<u32>> = Vec::with_capacity(sorted.len());
    for (text, mut bits) in sorted {
        let mut within = parts.len().checked_sub(1);
        while let Some(at) = within.filter(|at| !text.starts_with(&parts[*at].text)) {
            within = parts[at].within.map(|within| within as usize);
        }
        if let Some(at) = within {
            bits.extend_from_slice(&all[at]);
        }
        let within = within.and_then(|at| u32::try_from(at).ok());
        parts.push(Part { text, row: row(&bits), within });
        all.push(bits);
    }
    parts
}

fn row(bits: &[u32]) -> Row {
    let mut row: Vec<(u32, u64)> = Vec::new();
    for bit in bits {
        let (word, mask) = (bit / 64, 1 << (bit % 64));
        match row.iter_mut().find(|(known, _)| *known == word) {
            Some((_, masks)) => *masks |= mask,
            None => row.push((word, mask)),
        }
    }
    row.into()
}

fn length_bit(text: &[u8]) -> u64 {
    1 << text.len().min(63)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(list: &[&str]) -> Vec<Box<[u8]>> {
        list.iter().map(|text| text.as_bytes().into()).collect()
    }

    fn bits(table: &Table, text: &str) -> Vec<u32> {
        let mut bits = [0; 2];
        table.look(&Answer::Text(text.as_bytes().into()), &mut bits);
        (0..128).filter(|bit| bits[*bit as usize / 64] >> (bit % 64) & 1 == 1).collect()
    }

    #[test]
    fn each_check_that_holds_has_its_bit() {
        let (one, two, three) =
            (texts(&["/etc/", "/usr", "x"]), texts(&["/etc/p", ""]), texts(&["/etc/", "/etc/pam"]));
        let checks: [(&[Box<[u8]>], u32); 3] = [(&one, 1), (&two, 2), (&three, 65)];
        for (relation, text, expected) in [
            (Relation::Equal, "/etc/", vec![0, 1, 65]),
            (Relation::Equal, "", vec![0, 2]),
            (Relation::Equal, "/etc/pa", vec![0]),
            (Relation::Prefix, "/etc/passwd", vec![0, 1, 2, 65]),
            (Relation::Prefix, "/etc/pam.d", vec![0, 1, 2, 65]),
            (Relation::Prefix, "/etc/", vec![0, 1, 2, 65]),
            (Relation::Prefix, "/etc", vec![0, 2]),
            (Relation::Prefix, "/usr/x", vec![0, 1, 2]),
            (Relation::Prefix, "", vec![0, 2]),
            (Relation::Suffix, "/a/etc/pam", vec![0, 2, 65]),
            (Relation::Suffix, "/a/etc/", vec![0, 1, 2, 65]),
            (Relation::Suffix, "ax", vec![0, 1, 2]),
            (Relation::Suffix, "tc/", vec![0, 2]),
        ] {
            assert_eq!(expected, bits(&Table::new(relation, &checks), text), "{relation:?} {text}");
        }
    }

    #[test]
    fn one_of_several_values_is_enough() {
        let list = texts(&["a"]);
        let table = Table::new(Relation::Equal, &[(&list, 1)]);
        let value = Answer::List(vec![Answer::Text(b"b"[..].into()), Answer::Text(b"a"[..].into())]);
        let mut bits = [0];

        table.look(&value, &mut bits);

        assert_eq!([3], bits);
    }
}
