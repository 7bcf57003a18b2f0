//! The code of an ELF file: where it lies, and where its functions begin.

use object::Endianness;
use object::elf::{self, FileHeader64};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader, Sym};

use super::Unscannable;
use crate::abi::Machine;

/// What the scan needs of a file.
pub(super) struct Image<'b> {
    /// The machine that its code is for.
    pub machine: Machine,
    /// The build id, if it has one.
    pub build_id: Option<&'b [u8]>,
    /// Executable parts, by ascending address; none overlaps another.
    pub parts: Vec<Part<'b>>,
    /// Addresses that symbols name, ascending: an instruction begins at each.
    pub symbols: Vec<u64>,
    /// Addresses of the function `syscall`, whose callers outside of the file give the number.
    pub open_entries: Vec<u64>,
}

/// An executable part.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'b> {
    /// The address of its first byte, as the file's headers count; the last byte's fits into 64 bits too.
    pub address: u64,
    /// Its bytes.
    pub bytes: &'b [u8],
}

type Header = FileHeader64<Endianness>;
type Segment = elf::ProgramHeader64<Endianness>;

impl<'b> Image<'b> {
    pub fn parse(bytes: &'b [u8]) -> Result<Image<'b>, Unscannable> {
        let not_elf = |error: object::Error| Unscannable::NotElf(error.to_string());
        let header = Header::parse(bytes).map_err(not_elf)?;
        let endian = header.endian().map_err(not_elf)?;
        let machine = match header.e_machine(endian) {
            elf::EM_X86_64 if endian == Endianness::Little => Machine::X86_64,
            elf::EM_AARCH64 if endian == Endianness::Little => Machine::Aarch64,
            number => return Err(Unscannable::OtherMachine { number }),
        };

        let segments = header.program_headers(endian, bytes).map_err(not_elf)?;
        let is_code = |flags: u32| flags & elf::PF_X != 0;
        let mut parts = Vec::new();
        // A file may have lost its section headers, or have wrong ones: then the segments are the code.
        let sections = header.sections(endian, bytes).ok();
        for section in sections.iter().flat_map(|sections| sections.iter()) {
            let wanted = u64::from(elf::SHF_EXECINSTR | elf::SHF_ALLOC);
            let has_code =
                section.sh_type(endian) == elf::SHT_PROGBITS && section.sh_flags(endian) & wanted == wanted;
            if let (true, Ok(bytes)) = (has_code, section.data(endian, bytes)) {
                parts.push(Part { address: section.sh_addr(endian), bytes });
            }
        }
        if parts.is_empty() {
            for segment in segments {
                let has_code = segment.p_type(endian) == elf::PT_LOAD && is_code(segment.p_flags(endian));
                if let (true, Ok(bytes)) = (has_code, segment.data(endian, bytes)) {
                    parts.push(Part { address: segment.p_vaddr(endian), bytes });
                }
            }
        }
        let parts = apart(parts, bytes.len());
        if parts.is_empty() {
            return Err(Unscannable::NoCode);
        }

        let mut image =
            Image { machine, build_id: None, parts, symbols: Vec::new(), open_entries: Vec::new() };
        image.build_id = build_id(segments, endian, bytes);
        for kind in [elf::SHT_SYMTAB, elf::SHT_DYNSYM] {
            let Some(table) = sections.as_ref().and_then(|all| all.symbols(endian, bytes, kind).ok()) else {
                continue;
            };
            let names = sections.as_ref().and_then(|all| all.section(table.string_section()).ok());
            let names = names.and_then(|names| names.data(endian, bytes).ok()).unwrap_or_default();
            for symbol in table.iter() {
                let address = symbol.st_value(endian);
                if symbol.is_undefined(endian) || Part::holding(&image.parts, address).is_none() {
                    continue;
                }
                image.symbols.push(address);
                // Only as many bytes as count: names can be as long as the file.
                let name = names.get(symbol.st_name(endian) as usize..).unwrap_or_default();
                if name.starts_with(b"syscall\0") {
                    image.open_entries.push(address);
                }
            }
        }
        image.open_entries.sort_unstable();
        image.symbols.sort_unstable();
        image.symbols.dedup();
        Ok(image)
    }
}

/// The build id among the notes of the segments. Looks at so many notes: segments can claim the same ones
/// many times.
fn build_id<'b>(segments: &[Segment], endian: Endianness, bytes: &'b [u8]) -> Option<&'b [u8]> {
    let mut left = 1000;
    for segment in segments {
        let mut notes = segment.notes(endian, bytes).ok().flatten();
        while let Some(note) = notes.as_mut().and_then(|notes| notes.next().ok().flatten()) {
            left -= 1;
            if note.name() == elf::ELF_NOTE_GNU && note.n_type(endian) == elf::NT_GNU_BUILD_ID {
                return Some(note.desc());
            }
            if left == 0 {
                return None;
            }
        }
    }
    None
}

impl<'b> Part<'b> {
    /// The index of the part that has this address. Parts ascend.
    pub fn holding(parts: &[Part<'b>], address: u64) -> Option<usize> {
        let at = parts.partition_point(|part| part.address <= address).checked_sub(1)?;
        parts.get(at)?.index(address).map(|_| at)
    }

    /// The address behind its last byte.
    pub fn end(&self) -> u64 {
        self.address + self.bytes.len() as u64
    }

    /// The index of the byte at this address.
    pub fn index(&self, address: u64) -> Option<usize> {
        let index = usize::try_from(address.checked_sub(self.address)?).ok()?;
        (index < self.bytes.len()).then_some(index)
    }
}

/// The parts by address, without empty ones, ones that overlap another, and ones that together are longer
/// than the file: headers can claim the same bytes many times.
pub(super) fn apart(mut parts: Vec<Part>, most: usize) -> Vec<Part> {
    parts
        .retain(|part| !part.bytes.is_empty() && part.address.checked_add(part.bytes.len() as u64).is_some());
    parts.sort_by_key(|part| part.address);
    let (mut end, mut total) = (0, 0_usize);
    parts.retain(|part| {
        let is_apart = part.address >= end && total.saturating_add(part.bytes.len()) <= most;
        if is_apart {
            end = part.address + part.bytes.len() as u64;
            total += part.bytes.len();
        }
        is_apart
    });
    parts
}
