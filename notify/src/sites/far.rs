//! The bytes that look like a direct jump or call, by the address that it would lead to.

use super::Unscannable;
use super::elf::Part;
use super::listing::{Bits, Code, MOST_JUMPS};

/// Addresses of so many bytes of code share a bucket: of glibc 2.36, four entries.
const BUCKET: u32 = 64;

/// An address of the code: how many bytes of code lie before it. A file has fewer than 2^32.
type Index = u32;

/// Target and place of bytes that may be a jump or call, in buckets by target. A bucket is sorted when it is
/// asked for, which most never are.
#[derive(Default)]
pub(super) struct Far {
    /// The bytes of code before each part.
    bases: Vec<Index>,
    /// Where each bucket ends in `entries`; the first is empty.
    ends: Vec<u32>,
    entries: Vec<(Index, Index)>,
    is_sorted: Bits,
}

impl Far {
    /// Finds those of a file whose target is in one of its parts.
    pub fn of<C: Code>(parts: &[Part]) -> Result<Far, Unscannable> {
        let mut bases = Vec::with_capacity(parts.len());
        let mut bytes = 0;
        for part in parts {
            bases.push(bytes);
            // Fits: the parts together are no longer than the file.
            bytes += part.bytes.len() as Index;
        }
        let mut found = Vec::with_capacity(bytes as usize / 16);
        let mut ends = vec![0_u32; (bytes / BUCKET) as usize + 2];
        for (part, base) in parts.iter().zip(&bases) {
            C::far_jumps(part.bytes, part.address, |index, target| {
                let within = part.index(target).map(|index| base + index as Index);
                let Some(target) = within.or_else(|| index_of(parts, &bases, target)) else { return };
                if found.len() > MOST_JUMPS {
                    return;
                }
                found.push((target, base + index as Index));
                if let Some(count) = ends.get_mut((target / BUCKET) as usize + 1) {
                    *count += 1;
                }
            });
        }
        if found.len() > MOST_JUMPS {
            return Err(Unscannable::TooManyJumps);
        }
        // First where each bucket begins; what is put in moves it to where that ends.
        let mut before = 0;
        for end in &mut ends {
            before += *end;
            *end = before;
        }
        let mut entries = vec![(0, 0); found.len()];
        for entry in found {
            let Some(next) = ends.get_mut((entry.0 / BUCKET) as usize) else { continue };
            if let Some(place) = entries.get_mut(*next as usize) {
                *place = entry;
            }
            *next += 1;
        }
        ends.insert(0, 0);
        let is_sorted = Bits::of(ends.len());
        Ok(Far { bases, ends, entries, is_sorted })
    }

    /// The addresses of the bytes that may be of a jump or call to this address.
    pub fn places<'p>(&'p mut self, parts: &'p [Part], target: u64) -> impl Iterator<Item = u64> + 'p {
        let target = index_of(parts, &self.bases, target);
        let bucket = target.map(|target| (target / BUCKET) as usize);
        let range = bucket.and_then(|bucket| {
            let (begin, end) = (self.ends.get(bucket)?, self.ends.get(bucket + 1)?);
            Some(*begin as usize..*end as usize)
        });
        let entries = range.and_then(|range| self.entries.get_mut(range)).unwrap_or_default();
        if let Some(bucket) = bucket.filter(|bucket| !self.is_sorted.is_set(*bucket)) {
            self.is_sorted.set(bucket);
            entries.sort_unstable();
        }
        let first = entries.partition_point(|(to, _)| Some(*to) < target);
        let of_target = entries.get(first..).unwrap_or_default().iter();
        let bases = &self.bases;
        of_target.take_while(move |(to, _)| Some(*to) == target).filter_map(move |(_, place)| {
            let at = bases.partition_point(|base| base <= place).checked_sub(1)?;
            Some(parts.get(at)?.address + u64::from(place - bases.get(at)?))
        })
    }
}

fn index_of(parts: &[Part], bases: &[Index], address: u64) -> Option<Index> {
    let at = Part::holding(parts, address)?;
    Some(bases.get(at)? + parts.get(at)?.index(address)? as Index)
}
