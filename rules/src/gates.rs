//! Which rules can hold at all, by what tables say of an event.
//!
//! Most rules need one of a few texts: a name of a process, the beginning of a path. Such a rule is behind a
//! gate, which is a set of bits of tables ([`crate::tables`]) of which one at least is set where the rule
//! holds. An event looks at the tables that are gates of its type, and then asks those rules only whose gate
//! is open, beside those that have none.

use std::collections::{BTreeMap, BTreeSet};

/// The index of a table.
pub type TableId = u32;

/// A bit of a table.
pub type Bit = (TableId, u32);

/// The fewest rules for which a look at a table is worth its time.
const FEWEST: usize = 2;

/// The most bits of one rule's gate.
pub const MOST: usize = 200;

/// The gates of the rules of one type of events. A rule is meant by its place among them.
#[derive(Debug, Default)]
pub struct Gates {
    /// The rules without a gate, as bits.
    always: Box<[u64]>,
    tables: Box<[Gate]>,
}

/// A table that is a gate.
#[derive(Debug)]
struct Gate {
    table: TableId,
    /// The bits that open it, in the words of the table.
    mask: Box<[u64]>,
    /// For each of these bits the rules behind it, as bits.
    rules: Box<[Box<[u64]>]>,
}

impl Gates {
    /// The gates of rules, for each of which one bit of its set must be set; `None`: no gate is known.
    pub fn new(sets: &[Option<Vec<Bit>>]) -> Gates {
        let mut sets: Vec<Option<&[Bit]>> = sets.iter().map(Option::as_deref).collect();
        loop {
            let mut uses: BTreeMap<TableId, usize> = BTreeMap::new();
            for set in sets.iter().flatten() {
                let tables: BTreeSet<TableId> = set.iter().map(|(table, _)| *table).collect();
                tables.into_iter().for_each(|table| *uses.entry(table).or_default() += 1);
            }
            let is_rare = |set: &[Bit]| set.iter().any(|(table, _)| uses[table] < FEWEST);
            let before = sets.iter().flatten().count();
            for set in &mut sets {
                *set = set.filter(|set| !is_rare(set));
            }
            if sets.iter().flatten().count() == before {
                break;
            }
        }
        let words = sets.len().div_ceil(64);
        let mut always = vec![0; words];
        let mut behind: BTreeMap<TableId, BTreeMap<u32, Vec<u64>>> = BTreeMap::new();
        for (rule, set) in sets.iter().enumerate() {
            let mark = |bits: &mut Vec<u64>| bits[rule / 64] |= 1 << (rule % 64);
            match set {
                None => mark(&mut always),
                Some(set) => {
                    for (table, bit) in *set {
                        let rules = behind.entry(*table).or_default().entry(*bit);
                        mark(rules.or_insert_with(|| vec![0; words]));
                    }
                }
            }
        }
        let tables = behind.into_iter().map(|(table, bits)| {
            let last = bits.keys().last().copied().unwrap_or(0) as usize;
            let mut mask = vec![0_u64; last / 64 + 1];
            let mut rules = vec![Box::default(); last + 1];
            for (bit, behind) in bits {
                mask[bit as usize / 64] |= 1 << (bit % 64);
                rules[bit as usize] = behind.into();
            }
            Gate { table, mask: mask.into(), rules: rules.into() }
        });
        Gates { always: always.into(), tables: tables.collect() }
    }

    /// Writes the rules that an event can match to `open`, as bits. `look` gives the words of a table to
    /// what asks for them.
    pub fn open(&self, open: &mut Vec<u64>, mut look: impl FnMut(TableId, &mut dyn FnMut(&[u64]))) {
        open.clear();
        open.extend_from_slice(&self.always);
        for gate in &self.tables {
            look(gate.table, &mut |words| gate.add(words, open));
        }
    }
}

impl Gate {
    fn add(&self, words: &[u64], open: &mut [u64]) {
        for (index, (word, mask)) in words.iter().zip(&self.mask).enumerate() {
            let mut bits = word & mask;
            while bits != 0 {
                let bit = index * 64 + bits.trailing_zeros() as usize;
                open.iter_mut().zip(&self.rules[bit]).for_each(|(open, rules)| *open |= rules);
                bits &= bits - 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_open_by_one_of_their_bits() {
        let gates = Gates::new(&[
            Some(vec![(0, 1)]),
            None,
            Some(vec![(0, 1), (0, 70)]),
            Some(vec![(0, 2)]),
            // Table 1 is a gate of this rule alone.
            Some(vec![(1, 1), (0, 1)]),
        ]);
        let mut open = Vec::new();

        for (words, expected) in [
            ([0_u64, 0], 0b10010),
            ([1 << 1, 0], 0b10111),
            ([0, 1 << 6], 0b10110),
            ([1 << 2 | 1, 0], 0b11010),
        ] {
            gates.open(&mut open, |_, ask| ask(&words));

            assert_eq!(vec![expected], open, "{words:?}");
        }
    }
}
