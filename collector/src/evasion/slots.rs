//! The slots of a module that functions with hooks are bound through, by its file on disk.
//!
//! Only `JUMP_SLOT` and `GLOB_DAT` are looked at: the loader alone writes these. A program may change any
//! other word that holds an address.

use std::cell::Cell;
use std::collections::HashMap;
use std::fs::File;
use std::sync::LazyLock;

use object::Endianness;
use object::elf::{self, FileHeader64};
use object::read::elf::{Dyn, FileHeader, ProgramHeader, Rela};
use object::read::{ReadCache, ReadRef};

use crate::system::bounded::Bounded;

/// Bytes of a file that are read at most, and slots that are kept.
const MOST_READ: u64 = 16 << 20;
const MOST_SLOTS: usize = 2048;
/// Bytes of a symbol's name that are read; those of hooks are shorter.
const MOST_NAME: u64 = 64;

#[cfg(target_arch = "aarch64")]
const KINDS: [u32; 2] = [elf::R_AARCH64_JUMP_SLOT, elf::R_AARCH64_GLOB_DAT];
#[cfg(not(target_arch = "aarch64"))]
const KINDS: [u32; 2] = [elf::R_X86_64_JUMP_SLOT, elf::R_X86_64_GLOB_DAT];

/// The slots of a module, by the address in its file, in order, each with the function.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Slots {
    /// Address and function.
    pub all: Vec<(u64, &'static str)>,
    /// The address of the file's first byte, as its headers say it.
    pub first: u64,
}

/// Names of functions with hooks.
static HOOKED: LazyLock<HashMap<&'static [u8], &'static str>> =
    LazyLock::new(|| hook_table::symbols().map(|name| (name.as_bytes(), name)).collect());

impl Slots {
    /// Reads the slots of an ELF file; `None` for a file that is none of this machine's.
    pub fn read(file: &File) -> Option<Self> {
        let (cache, left) = (ReadCache::new(file), Cell::new(MOST_READ));
        Self::of(Bounded { data: &cache, left: &left })
    }

    /// The same of any bytes.
    pub fn of<'d, R: ReadRef<'d>>(data: R) -> Option<Self> {
        let header = FileHeader64::<Endianness>::parse(data).ok()?;
        let endian = header.endian().ok()?;
        let segments = header.program_headers(endian, data).ok()?;
        let at = |address: u64| {
            segments.iter().filter(|segment| segment.p_type(endian) == elf::PT_LOAD).find_map(|segment| {
                let within = address.checked_sub(segment.p_vaddr(endian))?;
                let (offset, len) = segment.file_range(endian);
                (within < len).then(|| offset.checked_add(within)).flatten()
            })
        };
        let first = segments
            .iter()
            .find(|segment| segment.p_type(endian) == elf::PT_LOAD && segment.p_offset(endian) == 0)?
            .p_vaddr(endian);
        let dynamic = segments.iter().find_map(|segment| segment.dynamic(endian, data).ok().flatten())?;
        let value = |tag: i64| {
            dynamic
                .iter()
                .find(|entry| entry.tag32(endian).map(i64::from) == Some(tag))
                .map(|entry| entry.d_val(endian))
        };
        let (symbols, names) = (at(value(elf::DT_SYMTAB)?)?, at(value(elf::DT_STRTAB)?)?);
        let mut slots = Self { all: Vec::new(), first };
        for (table, len) in [(elf::DT_JMPREL, elf::DT_PLTRELSZ), (elf::DT_RELA, elf::DT_RELASZ)] {
            let (Some(table), Some(len)) = (value(table).and_then(at), value(len)) else { continue };
            let count = usize::try_from(len).ok()? / size_of::<elf::Rela64<Endianness>>();
            let relocations = data.read_slice_at::<elf::Rela64<Endianness>>(table, count).ok()?;
            for relocation in relocations {
                if !KINDS.contains(&relocation.r_type(endian, false)) {
                    continue;
                }
                let symbol = u64::from(relocation.r_sym(endian, false));
                let place = symbols.checked_add(symbol.checked_mul(SYMBOL_LEN)?)?;
                let Ok(symbol) = data.read_at::<elf::Sym64<Endianness>>(place) else { continue };
                // A function that the module defines itself is its own.
                if symbol.st_shndx.get(endian) != elf::SHN_UNDEF {
                    continue;
                }
                let name = names.checked_add(u64::from(symbol.st_name.get(endian)))?;
                let Ok(name) = data.read_bytes_at_until(name..name.saturating_add(MOST_NAME), 0) else {
                    continue;
                };
                if let Some(name) = HOOKED.get(name) {
                    slots.all.push((relocation.r_offset(endian), name));
                }
            }
        }
        slots.all.sort_unstable();
        slots.all.dedup();
        slots.all.truncate(MOST_SLOTS);
        Some(slots)
    }
}

const SYMBOL_LEN: u64 = size_of::<elf::Sym64<Endianness>>() as u64;

/// How many bytes the segment has that begins a file and may be executed; `None` for a file without one.
pub fn code_len(file: &File) -> Option<u64> {
    let cache = ReadCache::new(file);
    let header = FileHeader64::<Endianness>::parse(&cache).ok()?;
    let endian = header.endian().ok()?;
    let segments = header.program_headers(endian, &cache).ok()?;
    let is_it = |segment: &&elf::ProgramHeader64<Endianness>| {
        segment.p_type(endian) == elf::PT_LOAD
            && segment.p_offset(endian) == 0
            && segment.p_flags(endian) & elf::PF_X != 0
    };
    segments.iter().find(is_it).map(|segment| segment.p_filesz(endian))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_slots_are_those_of_functions_with_hooks() {
        let file = File::open("/proc/self/exe").unwrap();

        let slots = Slots::read(&file).unwrap();

        let names: Vec<&str> = slots.all.iter().map(|(_, name)| *name).collect();
        assert!(names.contains(&"open64") && !names.contains(&"memcpy"), "{names:?}");
        assert!(slots.all.is_sorted());
        assert_eq!(0, slots.first);
    }

    #[test]
    fn what_is_no_module_has_no_slots_and_cut_ones_never_fault() {
        let bytes = std::fs::read("/bin/true").unwrap();

        assert_eq!(None, Slots::of(&b"#!/bin/sh\n"[..]));
        assert!(Slots::of(&*bytes).is_some_and(|slots| !slots.all.is_empty()));
        for len in (0..bytes.len()).step_by(97) {
            let _ = Slots::of(&bytes[..len]);
        }
        let mut wild = bytes;
        wild[64..].fill(0xff);
        assert_eq!(None, Slots::of(&*wild));
    }
}
