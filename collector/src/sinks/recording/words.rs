//! Names that live as long as the program, found again by their text.
//!
//! In the collector, names of calls, errors and constants are `&'static str` of its tables; a recording holds
//! their text. Names of this version are found in the tables. A name of another version or architecture is
//! kept for the rest of the (short) life of `replay`, once each and in a bounded number.

use std::collections::HashMap;

use wire::names::{self, FlagTable};

use super::TABLES;
use crate::system::errors;

/// Names from other versions that are kept, at most. All of this version's are fewer than a thousand.
const MOST_STRANGERS: usize = 4096;
/// Tables from other versions or architectures that are kept, at most.
const MOST_TABLES: usize = 64;
/// No name is nearly that long.
const LONGEST: usize = 64;

/// The names known so far.
#[derive(Debug)]
pub struct Words {
    known: HashMap<&'static str, &'static str>,
    strangers: usize,
    tables: Vec<&'static FlagTable>,
}

impl Default for Words {
    fn default() -> Self {
        let tables =
            TABLES.iter().flat_map(|table| table.choices.iter().chain(table.bits)).map(|(_, name)| *name);
        let words =
            [names::FAMILY, names::SOCKET_TYPE, names::PROTOCOL].into_iter().flatten().map(|(_, name)| *name);
        let known = hook_table::rows()
            .map(|row| row.call)
            .chain((0..=u8::MAX).map(|number| errors::errno_name(number.into())))
            .chain((-16..0).filter_map(errors::resolver_name))
            .chain(tables)
            .chain(words)
            .map(|name| (name, name))
            .collect();
        Self { known, strangers: 0, tables: TABLES.to_vec() }
    }
}

impl Words {
    /// The name with this text; `None` for what cannot be a name, or one too many.
    pub fn find(&mut self, text: &[u8]) -> Option<&'static str> {
        // Outputs write names without quoting, so a name must not have a character that means something
        // there.
        let is_plain = |byte: &u8| (b' '..=b'~').contains(byte) && !b"\"\\".contains(byte);
        if text.len() > LONGEST || !text.iter().all(is_plain) {
            return None;
        }
        let text = std::str::from_utf8(text).ok()?;
        if let Some(known) = self.known.get(text) {
            return Some(known);
        }
        if self.strangers == MOST_STRANGERS {
            return None;
        }
        self.strangers += 1;
        let kept: &'static str = Box::leak(text.into());
        self.known.insert(kept, kept);
        Some(kept)
    }

    /// The table with these contents; `None` for one too many.
    pub fn table(
        &mut self,
        mask: u64,
        choices: Vec<(u64, &'static str)>,
        bits: Vec<(u64, &'static str)>,
    ) -> Option<&'static FlagTable> {
        let is_same = |known: &&&'static FlagTable| {
            known.mask == mask && known.choices == choices.as_slice() && known.bits == bits.as_slice()
        };
        if let Some(known) = self.tables.iter().find(is_same) {
            return Some(known);
        }
        if self.tables.len() >= MOST_TABLES {
            return None;
        }
        let kept: &'static FlagTable = Box::leak(Box::new(FlagTable {
            mask,
            choices: Box::leak(choices.into_boxed_slice()),
            bits: Box::leak(bits.into_boxed_slice()),
        }));
        self.tables.push(kept);
        Some(kept)
    }
}
