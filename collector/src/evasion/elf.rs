//! Headers of a module as they lie in a process's memory: no file is opened, and a process that forges them
//! misleads only about itself.
//!
//! 64-bit, little endian, as all programs are that the sensor can be in. The numbers are those of elf(5).

use crate::notify::memory::Memory;

/// A module has some ten segments; more are not looked at.
const MOST_SEGMENTS: usize = 64;
/// Notes and tables that are longer are cut.
const MOST_NOTES: usize = 4096;
const MOST_NAMES: usize = 1 << 20;
const MOST_DYNAMIC: usize = 1024;

const SEGMENT_LEN: usize = 56;
const PT_DYNAMIC: u32 = 2;
const PT_NOTE: u32 = 4;
const DT_STRTAB: u64 = 5;
const DT_STRSZ: u64 = 10;

/// A program header.
#[derive(Clone, Copy, Debug)]
struct Segment {
    kind: u32,
    offset: u64,
    address: u64,
    len: u64,
}

/// A module whose file's first byte is mapped at `base`.
#[derive(Debug)]
pub struct Module {
    /// What is added to the addresses in its headers.
    bias: u64,
    segments: Vec<Segment>,
}

impl Module {
    /// Reads the headers; `None` where there are none.
    pub fn at(memory: &mut dyn Memory, base: u64) -> Option<Self> {
        let mut header = [0; 64];
        let len = memory.read(base, &mut header);
        if len < header.len() || !header.starts_with(b"\x7fELF\x02\x01") {
            return None;
        }
        let count = usize::from(half(&header, 56)?).min(MOST_SEGMENTS);
        if usize::from(half(&header, 54)?) != SEGMENT_LEN {
            return None;
        }
        let mut table = vec![0; count * SEGMENT_LEN];
        let len = memory.read(base.checked_add(word(&header, 32)?)?, &mut table);
        let segments: Vec<Segment> =
            table.get(..len)?.chunks_exact(SEGMENT_LEN).filter_map(segment).collect();
        // The segment that the file begins with is mapped at `base`.
        let first = segments.iter().find(|segment| segment.kind == 1 && segment.offset == 0)?;
        Some(Self { bias: base.wrapping_sub(first.address), segments })
    }

    /// Whether Go's linker made it: it writes its build id as a note of the name "Go".
    pub fn is_go(&self, memory: &mut dyn Memory) -> bool {
        self.segments.iter().filter(|segment| segment.kind == PT_NOTE).any(|segment| {
            let mut notes = vec![0; usize::try_from(segment.len).unwrap_or(usize::MAX).min(MOST_NOTES)];
            let len = memory.read(self.bias.wrapping_add(segment.address), &mut notes);
            has_note(notes.get(..len).unwrap_or_default(), b"Go")
        })
    }

    /// Whether the names of its dynamic symbols, and of the libraries that it needs, contain `text`.
    pub fn names(&self, memory: &mut dyn Memory, text: &[u8]) -> bool {
        let Some(dynamic) = self.segments.iter().find(|segment| segment.kind == PT_DYNAMIC) else {
            return false;
        };
        let mut entries = vec![0; usize::try_from(dynamic.len).unwrap_or(usize::MAX).min(MOST_DYNAMIC * 16)];
        let len = memory.read(self.bias.wrapping_add(dynamic.address), &mut entries);
        let entries = entries.get(..len).unwrap_or_default();
        let value = |tag: u64| {
            let entry = entries.chunks_exact(16).find(|entry| word(entry, 0) == Some(tag))?;
            word(entry, 8)
        };
        let (Some(address), Some(len)) = (value(DT_STRTAB), value(DT_STRSZ)) else { return false };
        // glibc's loader adds the bias in place, musl's does not.
        let address = if address < self.bias { address.wrapping_add(self.bias) } else { address };
        let mut names = vec![0; usize::try_from(len).unwrap_or(usize::MAX).min(MOST_NAMES)];
        let len = memory.read(address, &mut names);
        memchr::memmem::find(names.get(..len).unwrap_or_default(), text).is_some()
    }
}

/// Whether there is a note of this name.
fn has_note(mut notes: &[u8], name: &[u8]) -> bool {
    while let (Some(name_len), Some(desc_len)) = (number(notes, 0), number(notes, 4)) {
        let padded = |len: u32| usize::try_from(len).unwrap_or(usize::MAX).checked_next_multiple_of(4);
        let (Some(padded_name), Some(padded_desc)) = (padded(name_len), padded(desc_len)) else {
            return false;
        };
        // Go's linker counts two NULs as the name's.
        let found = notes.get(12..).unwrap_or_default();
        let rest = found.strip_prefix(name).unwrap_or_default();
        let is_ended = name_len as usize > name.len() && name_len as usize <= name.len() + 4;
        if is_ended && rest.first() == Some(&0) {
            return true;
        }
        let Some(rest) = 12_usize
            .checked_add(padded_name)
            .and_then(|at| at.checked_add(padded_desc))
            .and_then(|at| notes.get(at..))
        else {
            return false;
        };
        notes = rest;
    }
    false
}

fn segment(bytes: &[u8]) -> Option<Segment> {
    Some(Segment {
        kind: number(bytes, 0)?,
        offset: word(bytes, 8)?,
        address: word(bytes, 16)?,
        len: word(bytes, 32)?,
    })
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evasion::maps;
    use crate::notify::memory::ProcessMemory;

    #[test]
    fn own_headers_are_those_of_a_program_of_rust() {
        let pid = std::process::id();
        let exe = crate::system::procfs::exe_file(pid).unwrap();
        let mappings = maps::of(pid).unwrap();
        let first = mappings.iter().find(|mapping| mapping.file == exe && mapping.offset == 0).unwrap();
        let mut memory = ProcessMemory { pid };

        let module = Module::at(&mut memory, first.range.start).unwrap();

        assert!(!module.is_go(&mut memory));
        assert!(module.names(&mut memory, b"libc.so"));
        assert!(!module.names(&mut memory, b"__no_such_name"));
    }

    #[test]
    fn notes_are_found_by_their_whole_name() {
        let note = |name: &[u8], desc: &[u8]| {
            let mut bytes = Vec::new();
            for len in [name.len(), desc.len(), 4] {
                bytes.extend_from_slice(&(len as u32).to_le_bytes());
            }
            for part in [name, desc] {
                bytes.extend_from_slice(part);
                bytes.resize(bytes.len().next_multiple_of(4), 0);
            }
            bytes
        };
        let notes = [note(b"GNU\0", b"12345"), note(b"Go\0\0", b"id")].concat();

        assert!(has_note(&notes, b"Go"));
        assert!(!has_note(&note(b"Gone\0", b""), b"Go"));
        for cut in 0..24 {
            assert!(!has_note(&notes[..cut], b"Go"), "{cut}");
        }
        assert!(!has_note(&[0xff; 40], b"Go"));
    }

    /// Memory that is one text, from 0 on.
    struct Text(Vec<u8>);

    impl Memory for Text {
        fn read(&mut self, address: u64, into: &mut [u8]) -> usize {
            let Some(from) = usize::try_from(address).ok().and_then(|at| self.0.get(at..)) else { return 0 };
            let len = from.len().min(into.len());
            into[..len].copy_from_slice(&from[..len]);
            len
        }
    }

    #[test]
    fn wild_headers_cost_no_more_than_the_bounds() {
        let mut bytes = vec![0xff; 4096];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[54..56].copy_from_slice(&56_u16.to_le_bytes());
        bytes[32..40].copy_from_slice(&64_u64.to_le_bytes());
        assert!(Module::at(&mut Text(bytes.clone()), 0).is_none());
        for kind in [PT_NOTE, PT_DYNAMIC] {
            for (at, word) in [(64, 1), (120, kind)] {
                bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
            }
            bytes[72..88].fill(0);
            let mut memory = Text(bytes.clone());
            let module = Module::at(&mut memory, 0).unwrap();
            assert!(!module.is_go(&mut memory) && !module.names(&mut memory, b"x"));
        }
    }
}
