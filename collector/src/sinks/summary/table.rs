//! Tables that stop growing, and sums that do not overflow: programs choose what goes into them.

use std::collections::HashMap;

/// Bytes of a table's keys for each that it may have, on average: one program's long ones take others'
/// places, as many short ones do, but not more memory.
const KEY_BYTES: usize = 200;
/// Bytes that are kept of a text beside the keys: what a page has room for.
const TEXT_BYTES: usize = 256;

/// The beginning of a text, to be kept.
pub fn kept(text: &[u8]) -> Box<[u8]> {
    text.get(..TEXT_BYTES).unwrap_or(text).into()
}

/// A table by text that stops growing; everything that has no place in it shares one value.
///
/// Hashed with keys of this process, because programs choose the text.
#[derive(Debug)]
pub struct Capped<V> {
    places: HashMap<Box<[u8]>, u32>,
    values: Vec<V>,
    most: usize,
    /// Bytes of keys.
    bytes: usize,
    /// The sum of what has no place.
    pub others: V,
    pub has_others: bool,
}

impl<V: Default> Capped<V> {
    /// An empty table for `most` keys.
    pub fn new(most: usize) -> Self {
        let (places, values, bytes) = (HashMap::new(), Vec::new(), 0);
        Self { places, values, most, bytes, others: V::default(), has_others: false }
    }

    /// The value of `key`, made if there is room, else that of all others.
    pub fn at(&mut self, key: &[u8]) -> &mut V {
        let known = self.places.get(key).copied();
        let place = match known {
            Some(place) => place as usize,
            None if self.values.len() < self.most && self.bytes + key.len() <= self.most * KEY_BYTES => {
                self.bytes += key.len();
                self.places.insert(key.into(), self.values.len() as u32);
                self.values.push(V::default());
                self.values.len() - 1
            }
            None => usize::MAX,
        };
        match self.values.get_mut(place) {
            Some(value) => value,
            None => {
                self.has_others = true;
                &mut self.others
            }
        }
    }

    /// Whether no key has a value.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The value of `key`, if it has one.
    pub fn known(&mut self, key: &[u8]) -> Option<&mut V> {
        self.values.get_mut(*self.places.get(key)? as usize)
    }

    /// Every value, in no order, and that of all others.
    pub fn all(&self) -> impl Iterator<Item = &V> {
        self.values.iter().chain([&self.others])
    }

    /// The keys with their values, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &V)> {
        self.places.iter().filter_map(|(key, place)| Some((&**key, self.values.get(*place as usize)?)))
    }
}

/// Adds a number that a program, or a recording, may have made up.
pub fn add(sum: &mut u64, number: u64) {
    *sum = sum.saturating_add(number);
}

/// The sum of such numbers.
pub fn sum(numbers: impl Iterator<Item = u64>) -> u64 {
    numbers.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_keys_and_texts_take_no_more_memory_than_a_table_of_short_ones() {
        let mut table: Capped<u64> = Capped::new(100);
        for number in 0..1000_u64 {
            *table.at(&[number.to_string().into_bytes(), b"x".repeat(40_000)].concat()) += 1;
            *table.at(number.to_string().as_bytes()) += 1;
        }

        let bytes: usize = table.iter().map(|(key, _)| key.len()).sum();
        assert!(bytes <= 100 * KEY_BYTES, "{bytes} bytes of keys");
        assert_eq!(100, table.iter().count());
        assert_eq!(TEXT_BYTES, kept(&b"x".repeat(40_000)).len());
    }
}
