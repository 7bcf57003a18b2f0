//! Whether the code that made a listed call past libc is known to make calls of its own: then the call is
//! told of, and is no evidence.
//!
//! Asked by the supervisor, while the call waits: the process's memory is read, and no file.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::Place;
use super::elf::Module;
use super::maps::{self, Mapping};
use crate::ids::FileId;
use crate::notify::memory::Memory;

/// Names of files that make system calls by instructions of their own. A name ends where the file's name
/// ends, or at a character that is no letter.
///
/// A file may bear any name: what it does is told of all the same, and judged by rules.
const MODULES: &[&str] = &[
    // Libcs and loaders, also those of containers that the filter was not made from.
    "libc",
    "libc.musl",
    "ld",
    "ld-linux",
    "ld-musl",
    "libpthread",
    "librt",
    "libresolv",
    "libanl",
    // liburing: src/arch/x86/syscall.h.
    "liburing",
    // Sanitizers: compiler-rt, sanitizer_syscall_linux_x86_64.inc.
    "libasan",
    "liblsan",
    "libtsan",
    "libubsan",
    "libhwasan",
    "libclang_rt",
    // gperftools: src/base/linux_syscall_support.h; Breakpad and Crashpad carry a copy.
    "libtcmalloc",
    "libprofiler",
    "chrome_crashpad_handler",
    // QEMU's user mode: common-user/safe-syscall.inc.S.
    "qemu",
    // Chromium and its kin (sandbox/linux/seccomp-bpf/syscall.cc), Firefox (security/sandbox, the same).
    "chrome",
    "chromium",
    "libcef",
    "libxul",
    "libmozsandbox",
    "firefox",
];

/// Names of files that move code elsewhere and run it there: libc's own instructions too, then. In a process
/// that has one, nothing is said of anonymous memory.
const INSTRUMENTS: &[&str] = &[
    "libglassbox_inline",
    "frida-agent",
    "frida-gadget",
    "libfrida",
    "libdynamorio",
    "libpin",
    "pinbin",
    "librrpreload",
];

/// Texts in the constants of programs whose language or library makes system calls by itself, wherever it
/// is linked in.
const MARKS: &[&[u8]] = &[
    // rustix, the crate: its own calls are the default on Linux (src/backend/linux_raw). The path of its
    // source is in its panics.
    b"/rustix-",
    b"/rustix/src/",
    // Go's build information, which has no note where the linker was told -buildid=.
    b"\xff Go buildinf:",
    // Free Pascal's run-time library: rtl/linux/x86_64/syscall.inc.
    b"FPC 3.",
    // Chromium's sandbox in programs of other names (sandbox/linux/seccomp-bpf-helpers/sigsys_handlers.cc).
    b"seccomp-bpf failure",
];
/// Constants of a module that are searched, and a piece of them that is read at once.
const MOST_CONSTANTS: u64 = 16 << 20;
const PIECE: usize = 256 << 10;
/// Another file may get the number of one that is gone.
const REMEMBERED: Duration = Duration::from_secs(10);
/// Files of which it is remembered whether they make calls of their own; then it begins anew.
const MOST_KNOWN: usize = 1024;

/// Files that were looked at, by the kernel's word which file a process has mapped. One is searched once, not
/// for each process.
#[derive(Debug, Default)]
pub struct Known(HashMap<FileId, (bool, Instant)>);

/// What follows a call that a hook of someone else moved out of libc: the way back lies within so many bytes.
const WAY_BACK: usize = 64;

/// Where `call` was made, from the instruction before `address`, if that is evidence: `None` for code that is
/// known to make calls of its own, and for code of which nothing can be read.
pub fn evident(
    call: &str,
    mappings: &[Mapping],
    address: u64,
    memory: &mut dyn Memory,
    known: &mut Known,
) -> Option<Place> {
    let mapping = maps::at(mappings, address.checked_sub(1)?)?;
    let is_expected = match mapping.path() {
        // The kernel's own code: [vdso], [vsyscall], [uprobes].
        b"" if mapping.name.starts_with(b"[v") || mapping.name.starts_with(b"[u") => true,
        b"" => is_moved_code(mappings, address, memory),
        _ if is_known(mapping.file_name(), MODULES) => true,
        // liburing, which is often linked in.
        _ if call.starts_with("io_uring_") => true,
        _ => known.makes_own_calls(mappings, mapping, memory)?,
    };
    let place = || Place { addr: address, mapping: mapping.text(), module: mapping.path().to_vec() };
    (!is_expected).then(place)
}

impl Known {
    /// Whether a module makes calls of its own; `None` where its headers cannot be read.
    fn makes_own_calls(
        &mut self,
        mappings: &[Mapping],
        mapping: &Mapping,
        memory: &mut dyn Memory,
    ) -> Option<bool> {
        if let Some((makes, looked)) = self.0.get(&mapping.file)
            && looked.elapsed() < REMEMBERED
        {
            return Some(*makes);
        }
        let is_first = |other: &&Mapping| {
            other.range.start <= mapping.range.start && other.file == mapping.file && other.offset == 0
        };
        let first = mappings.iter().rev().find(is_first)?;
        let module = Module::at(memory, first.range.start)?;
        let makes = module.is_go(memory)
            || module.names(memory, b"__sanitizer_")
            || has_mark(mappings, mapping.file, memory);
        if self.0.len() >= MOST_KNOWN {
            self.0.clear();
        }
        self.0.insert(mapping.file, (makes, Instant::now()));
        Some(makes)
    }
}

/// Whether one of [`MARKS`] is among what a process has mapped of a file, code apart.
fn has_mark(mappings: &[Mapping], file: FileId, memory: &mut dyn Memory) -> bool {
    // A mark on the border of two pieces is in the second.
    const OVERLAP: usize = 32;
    let mut left = MOST_CONSTANTS;
    let mut piece = vec![0; OVERLAP + PIECE];
    let constants = mappings.iter().filter(|mapping| mapping.file == file && !mapping.is_code());
    for Mapping { range, .. } in constants {
        if left == 0 {
            break;
        }
        piece.get_mut(..OVERLAP).unwrap_or_default().fill(0);
        let mut at = range.start;
        while at < range.end && left > 0 {
            let len = usize::try_from(range.end - at).unwrap_or(PIECE).min(PIECE);
            let Some(place) = piece.get_mut(OVERLAP..OVERLAP + len) else { return false };
            let read = memory.read(at, place);
            let text = piece.get(..OVERLAP + read).unwrap_or_default();
            if MARKS.iter().any(|mark| memchr::memmem::find(text, mark).is_some()) {
                return true;
            }
            if read < len {
                break;
            }
            piece.copy_within(len..len + OVERLAP, 0);
            at = at.saturating_add(len as u64);
            left = left.saturating_sub(len as u64);
        }
    }
    false
}

/// Whether code in anonymous memory is a piece of libc that a hook of someone else moved there, as Frida,
/// funchook and kin do: it leads back into libc.
fn is_moved_code(mappings: &[Mapping], address: u64, memory: &mut dyn Memory) -> bool {
    if mappings.iter().any(|mapping| is_known(mapping.file_name(), INSTRUMENTS)) {
        return true;
    }
    let is_libcs = |target: u64| {
        maps::at(mappings, target)
            .is_some_and(|mapping| mapping.is_code() && is_known(mapping.file_name(), LIBCS))
    };
    let mut code = [0; WAY_BACK];
    let len = memory.read(address, &mut code);
    let code = code.get(..len).unwrap_or_default();
    // An address as a word among the code, or the distance of a jump (x86: e9 and four bytes).
    let has_word = code
        .windows(8)
        .any(|word| word.first_chunk().is_some_and(|word| is_libcs(u64::from_le_bytes(*word))));
    let has_jump = || {
        code.windows(5).zip(address..).any(|(jump, at)| {
            let distance = jump.strip_prefix(&[0xe9]).and_then(|rest| rest.first_chunk());
            let to = |distance: i32| at.wrapping_add(5).wrapping_add_signed(i64::from(distance));
            distance.is_some_and(|distance| is_libcs(to(i32::from_le_bytes(*distance))))
        })
    };
    has_word || has_jump()
}

/// libc itself.
pub const LIBCS: &[&str] = &["libc", "ld-musl", "libc.musl"];

/// Whether a file's name is one of these, whatever follows it (a version, a suffix).
pub fn is_known(file_name: &[u8], names: &[&str]) -> bool {
    names.iter().any(|name| {
        let rest = file_name.strip_prefix(name.as_bytes());
        rest.is_some_and(|rest| rest.first().is_none_or(|next| !next.is_ascii_alphabetic() && *next != b'_'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Memory of some pieces.
    struct Pieces(Vec<(u64, Vec<u8>)>);

    impl Memory for Pieces {
        fn read(&mut self, address: u64, into: &mut [u8]) -> usize {
            let piece =
                self.0.iter().find(|(start, bytes)| (*start..start + bytes.len() as u64).contains(&address));
            let Some((start, bytes)) = piece else { return 0 };
            let from = &bytes[(address - start) as usize..];
            let len = from.len().min(into.len());
            into[..len].copy_from_slice(&from[..len]);
            len
        }
    }

    const MAPS: &[u8] = b"1000-2000 r--p 00000000 08:01 7 /opt/app\n\
        2000-3000 r-xp 00001000 08:01 7 /opt/app\n\
        4000-5000 r-xp 00000000 08:01 8 /lib/liburing.so.2.3\n\
        7000-8000 r-xp 00000000 08:01 9 /chroot/lib/libc-2.31.so\n\
        9000-a000 rwxp 00000000 00:00 0 \n\
        b000-c000 r-xp 00000000 00:00 0 [vdso]\n";

    /// A module's header, with one segment besides that which the file begins with.
    fn module(kind: u32, at: u64, len: u64) -> Vec<u8> {
        let mut bytes = vec![0; 0x400];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[32] = 64;
        bytes[54] = 56;
        bytes[56] = 2;
        bytes[64] = 1;
        bytes[120..124].copy_from_slice(&kind.to_le_bytes());
        bytes[136..144].copy_from_slice(&at.to_le_bytes());
        bytes[152..160].copy_from_slice(&len.to_le_bytes());
        bytes
    }

    fn found(address: u64, memory: &mut dyn Memory) -> Option<Vec<u8>> {
        found_of("openat", address, memory)
    }

    fn found_of(call: &str, address: u64, memory: &mut dyn Memory) -> Option<Vec<u8>> {
        let place = evident(call, &maps::read(MAPS), address, memory, &mut Known::default());
        place.map(|place| place.module)
    }

    #[test]
    fn calls_of_a_programs_own_code_are_evidence_unless_go_made_it() {
        let mut plain = Pieces(vec![(0x1000, module(4, 0, 0))]);
        let mut go = module(4, 0x200, 16);
        go[0x200] = 3;
        go[0x20c..0x20e].copy_from_slice(b"Go");
        let mut go = Pieces(vec![(0x1000, go)]);

        assert_eq!(Some(b"/opt/app".to_vec()), found(0x2010, &mut plain));
        assert_eq!(None, found(0x2010, &mut go));
        assert_eq!(None, found(0x2010, &mut Pieces(Vec::new())), "nothing can be read");
        // The instruction is the last one of its mapping.
        assert!(found(0x3000, &mut plain).is_some());
    }

    #[test]
    fn a_language_or_a_library_that_is_linked_in_is_known_by_its_mark() {
        let with = |at: u64, text: &[u8]| {
            let mut constants = vec![0; 2 * PIECE];
            constants[at as usize..at as usize + text.len()].copy_from_slice(text);
            Pieces(vec![(0x1000, module(4, 0, 0)), (0x10_0000, constants)])
        };
        let mappings = maps::read(&[MAPS, b"100000-180000 r--p 00001000 08:01 7 /opt/app\n"].concat());
        let found = |memory: &mut dyn Memory| {
            evident("openat", &mappings, 0x2010, memory, &mut Known::default()).is_some()
        };

        // On the border of two pieces, too.
        for at in [0, 100, PIECE as u64 - 3, PIECE as u64] {
            assert!(!found(&mut with(at, b"/cargo/rustix-1.1.6/src/x.rs")), "{at}");
        }
        assert!(found(&mut with(0, b"/cargo/rusty-1.1.6/src/x.rs")));
    }

    #[test]
    fn a_file_is_searched_once() {
        let (mappings, mut known) = (maps::read(MAPS), Known::default());
        let mut plain = Pieces(vec![(0x1000, module(4, 0, 0))]);

        let first = evident("openat", &mappings, 0x2010, &mut plain, &mut known);
        let second = evident("openat", &mappings, 0x2010, &mut Pieces(Vec::new()), &mut known);

        assert!(first.is_some() && first == second);
    }

    #[test]
    fn calls_for_an_io_uring_are_liburings() {
        let mut plain = Pieces(vec![(0x1000, module(4, 0, 0))]);

        assert_eq!(None, found_of("io_uring_setup", 0x2010, &mut plain));
    }

    #[test]
    fn libraries_that_are_known_and_the_kernels_code_are_no_evidence() {
        let mut none = Pieces(Vec::new());

        for address in [0x4010, 0x7010, 0xb010] {
            assert_eq!(None, found(address, &mut none), "{address:#x}");
        }
        assert_eq!(None, found(0xffff, &mut none), "nothing is mapped there");
    }

    #[test]
    fn code_in_anonymous_memory_is_evidence_unless_it_leads_back_into_libc() {
        let mut alone = Pieces(vec![(0x9000, vec![0x90; 0x100])]);
        let mut by_word = vec![0x90; 0x100];
        by_word[0x20..0x28].copy_from_slice(&0x7123_u64.to_le_bytes());
        let mut by_jump = vec![0x90; 0x100];
        // From 0x9025 to 0x7100.
        by_jump[0x20] = 0xe9;
        by_jump[0x21..0x25].copy_from_slice(&(0x7100_i32 - 0x9025).to_le_bytes());

        assert_eq!(Some(Vec::new()), found(0x9010, &mut alone));
        assert_eq!(None, found(0x9010, &mut Pieces(vec![(0x9000, by_word)])));
        assert_eq!(None, found(0x9010, &mut Pieces(vec![(0x9000, by_jump)])));
    }

    #[test]
    fn names_end_where_a_version_or_a_suffix_begins() {
        let known: Vec<bool> =
            ["libc.so.6", "libc-2.31.so", "libcap.so.2", "ld-linux-x86-64.so.2", "ldap", "liburing-ffi.so"]
                .iter()
                .map(|name| is_known(name.as_bytes(), MODULES))
                .collect();

        assert_eq!(vec![true, true, false, true, false, true], known);
    }
}
