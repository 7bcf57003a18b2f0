//! The entry of the fuzz target `evasion`: any mappings, any memory, and any file.

use super::elf::Module;
use super::look::{Shown, Vigil};
use super::slots::Slots;
use super::text::{Code, Files};
use super::{maps, modules};
use crate::ids::FileId;
use crate::notify::memory::Memory;

/// Memory out of the input, repeated without end.
struct Endless<'b> {
    bytes: &'b [u8],
    read: usize,
}

impl Memory for Endless<'_> {
    fn read(&mut self, address: u64, into: &mut [u8]) -> usize {
        self.read += into.len();
        if self.bytes.is_empty() {
            return 0;
        }
        let begin = usize::try_from(address % self.bytes.len() as u64).unwrap_or(0);
        into.iter_mut().zip(self.bytes.iter().cycle().skip(begin)).for_each(|(to, from)| *to = *from);
        into.len()
    }
}

/// The most that one look, or one question about a call, may read.
const MOST_READ: usize = 18 << 20;

/// The input is the text of mappings up to a NUL, then 8 bytes of an address, then memory and file in one.
pub fn run(bytes: &[u8]) {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let (text, rest) = bytes.split_at(end);
    let Some((address, bytes)) = rest.get(1..).and_then(<[u8]>::split_first_chunk) else { return };
    let address = u64::from_le_bytes(*address);
    let mappings = maps::read(text);
    let mut memory = Endless { bytes, read: 0 };
    let place = modules::evident("openat", &mappings, address, &mut memory, &mut modules::Known::default());
    assert!(place.is_none_or(|place| place.addr == address));
    assert!(memory.read <= MOST_READ, "{}", memory.read);
    let _ = Module::at(&mut memory, address).is_some_and(|module| module.is_go(&mut memory));
    let _ = Slots::of(bytes);
    let code = Code(bytes.to_vec());
    assert_eq!(None, code.first_difference(bytes));
    let exe = mappings.first().map_or(FileId::default(), |mapping| mapping.file);
    // No such process: no file of it can be opened.
    let mut vigil = Vigil::new(u32::MAX, exe, true);
    let mut files = Files::default();
    for len in [mappings.len(), mappings.len() / 2, mappings.len() / 2] {
        let mappings = mappings.iter().take(len).cloned().collect();
        let mut memory = Endless { bytes, read: 0 };
        vigil.look(&Shown { exe, path: Vec::new(), mappings }, &mut memory, &mut files);
        assert!(memory.read <= MOST_READ, "{}", memory.read);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_mappings_and_modules_keep_to_the_bounds() {
        let maps = b"1000-2000 r--p 00000000 08:01 7 /opt/app\n2000-3000 r-xp 00001000 08:01 7 /opt/app\n\
            5000-9000 r-xp 00000000 08:01 9 /opt/libglassbox.so\n\
            a000-b000 rw-s 00000000 00:01 3 /memfd:glassbox (deleted)\n\
            c000-d000 r-xp 00000000 08:01 5 /lib/libc.so.6\n";
        let module = std::fs::read("/bin/true").unwrap();
        let whole = [maps, &b"\0"[..], &0x2010_u64.to_le_bytes(), &module].concat();
        run(&whole);
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state % below as u64).unwrap()
        };

        for _ in 0..40 {
            let mut bytes = whole.clone();
            for _ in 0..8 {
                let at = random(maps.len() + 9 + 1024);
                bytes[at] = random(256) as u8;
            }
            bytes.truncate(bytes.len() - random(bytes.len() / 2));
            run(&bytes);
        }
    }
}
