//! Programs for another word size or processor than this library's: their loader cannot load it, and says so
//! on their stderr.

use wire::fields::Path;

use crate::process::{self, Seal};
use crate::sys::{self, DescriptorName};

/// What the kernel reads of a file to find out how to execute it (<linux/binfmts.h>, `BINPRM_BUF_SIZE`).
const BEGINNING: usize = 256;
/// Scripts whose interpreter is a script: as many as the kernel follows (exec_binprm() of Linux).
const MOST_SCRIPTS: usize = 5;

/// `ELFCLASS64` and this library's `e_machine` (elf(5)).
const CLASS: u8 = 2;
const MACHINE: [u8; 2] = if cfg!(target_arch = "aarch64") { [183, 0] } else { [62, 0] };

/// What a file's beginning says of it.
#[derive(Debug, PartialEq, Eq)]
enum Kind<'a> {
    /// An executable for another word size or processor.
    Foreign,
    /// A script with this interpreter.
    Script(&'a [u8]),
    /// Anything else.
    Other,
}

fn kind(beginning: &[u8]) -> Kind<'_> {
    if let Some(line) = beginning.strip_prefix(b"#!") {
        let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
        let is_end = |byte: &u8| is_blank(byte) || matches!(byte, b'\n' | b'\0');
        let start = line.iter().position(|byte| !is_blank(byte)).unwrap_or(line.len());
        let name = line.get(start..).unwrap_or_default();
        return Kind::Script(name.split(is_end).next().unwrap_or_default());
    }
    let (class, machine) = (beginning.get(4), beginning.get(18..20));
    let is_ours = class == Some(&CLASS) && machine == Some(&MACHINE);
    let is_foreign = beginning.starts_with(b"\x7fELF") && !is_ours && has_loader(beginning).unwrap_or(false);
    if is_foreign { Kind::Foreign } else { Kind::Other }
}

/// Whether an ELF file names a loader, as far as its beginning shows: `PT_INTERP` stands before all that is
/// loaded (elf(5)), which makes it one of the first headers. `None` for a file that is no such one.
fn has_loader(beginning: &[u8]) -> Option<bool> {
    const PT_INTERP: u16 = 3;
    let is_big = beginning.get(5) == Some(&2);
    let half = |at: usize| {
        let bytes: [u8; 2] = beginning.get(at..at + 2)?.try_into().ok()?;
        Some(if is_big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    };
    // The low half of a word.
    let low = |at: usize, len: usize| half(if is_big { at + len - 2 } else { at });
    let (first, size, count) = match beginning.get(4) {
        Some(1) => (low(28, 4)?, half(42)?, half(44)?),
        _ => (low(32, 8)?, half(54)?, half(56)?),
    };
    let kinds = (0..usize::from(count)).map_while(|at| low(usize::from(first) + at * usize::from(size), 4));
    Some(kinds.into_iter().any(|kind| kind == PT_INTERP))
}

/// Whether an exec of this path would run an executable for another word size or processor, or a script of
/// one. False for a file that this process may not read. Costs stat, open, read and close.
///
/// The path's bytes are followed by a NUL, as those of an exec's argument, or are as many as the kernel reads
/// of a path.
pub fn is_foreign(Path { dir, raw }: Path<'_>) -> bool {
    let Some(path) = raw.filter(|_| process::seal() == Seal::Open) else { return false };
    let descriptor = DescriptorName::of(dir.max(0));
    let path = match path.is_empty() {
        true if dir < 0 => return false,
        true => descriptor.as_ptr(),
        false => path.as_ptr().cast(),
    };
    let mut beginning = [0; BEGINNING];
    let mut begins = sys::read_regular(dir, path, &mut beginning);
    for _ in 0..=MOST_SCRIPTS {
        let interpreter = match begins.map(kind) {
            Ok(Kind::Script(interpreter)) => interpreter,
            other => return other == Ok(Kind::Foreign),
        };
        // Shorter than the beginning, so a NUL follows.
        let mut name = [0; BEGINNING];
        name.iter_mut().zip(interpreter).for_each(|(to, from)| *to = *from);
        begins = sys::read_regular(libc::AT_FDCWD, name.as_ptr().cast(), &mut beginning);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    const EM_386: u8 = 3;
    const EM_S390: u8 = 22;
    const EM_RISCV: u8 = 243;
    const PT_INTERP: u8 = 3;
    const PT_LOAD: u8 = 1;

    /// An executable's beginning, of a machine with the low byte first, with a program header of another kind
    /// and one of this kind.
    fn elf(class: u8, machine: u8, header: u8) -> [u8; BEGINNING] {
        let mut bytes = [0; BEGINNING];
        bytes[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', class, 1]);
        bytes[18] = machine;
        let (offset, size, count, first, len) =
            if class == 1 { (28, 42, 44, 52, 32) } else { (32, 54, 56, 64, 56) };
        (bytes[offset], bytes[size], bytes[count]) = (first, len, 2);
        (bytes[usize::from(first)], bytes[usize::from(first + len)]) = (6, header);
        bytes
    }

    #[test]
    fn word_size_and_processor_make_a_program_foreign() {
        assert_eq!(Kind::Other, kind(&elf(CLASS, MACHINE[0], PT_INTERP)));
        assert_eq!(Kind::Foreign, kind(&elf(1, EM_386, PT_INTERP)));
        assert_eq!(Kind::Foreign, kind(&elf(1, MACHINE[0], PT_INTERP)));
        assert_eq!(Kind::Foreign, kind(&elf(CLASS, EM_RISCV, PT_INTERP)));
        assert_eq!(Kind::Other, kind(b"echo of a file without a first line"));
    }

    #[test]
    fn a_program_without_a_loader_is_not_foreign() {
        assert_eq!(Kind::Other, kind(&elf(1, EM_386, PT_LOAD)));
        assert_eq!(Kind::Other, kind(&elf(1, EM_386, PT_INTERP)[..80]));
        assert_eq!(Kind::Other, kind(&elf(CLASS, EM_RISCV, PT_LOAD)));
    }

    #[test]
    fn a_program_of_a_machine_with_the_high_byte_first_is_foreign() {
        let mut bytes = elf(2, 0, 0);
        (bytes[5], bytes[18], bytes[19]) = (2, 0, EM_S390);
        bytes[32..40].copy_from_slice(&64u64.to_be_bytes());
        bytes[54..58].copy_from_slice(&[0, 56, 0, 1]);
        bytes[64..68].copy_from_slice(&3u32.to_be_bytes());

        assert_eq!(Kind::Foreign, kind(&bytes));
    }

    #[test]
    fn a_script_names_its_interpreter() {
        assert_eq!(Kind::Script(b"/bin/sh"), kind(b"#!/bin/sh\necho"));
        assert_eq!(Kind::Script(b"/bin/sh"), kind(b"#! \t/bin/sh -e\n"));
        assert_eq!(Kind::Script(b"sh"), kind(b"#!sh\0"));
        assert_eq!(Kind::Script(b""), kind(b"#!"));
    }

    /// Whether an exec of a file with these bytes would be foreign.
    fn is_foreign_file(name: &str, bytes: &[u8]) -> bool {
        let folder = std::env::temp_dir().join(format!("glassbox-foreign-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join(name);
        std::fs::write(&path, bytes).unwrap();
        let text = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
        is_foreign(Path { dir: libc::AT_FDCWD, raw: Some(text.to_bytes()) })
    }

    #[test]
    fn files_are_read_and_scripts_followed() {
        let folder = std::env::temp_dir().join(format!("glassbox-foreign-{}", std::process::id()));
        let script = |name: &str| format!("#!{}/{name} -x\n", folder.display());

        assert!(is_foreign_file("program", &elf(1, EM_386, PT_INTERP)));
        assert!(is_foreign_file("script", script("program").as_bytes()));
        assert!(is_foreign_file("script-of-script", script("script").as_bytes()));
        assert!(!is_foreign_file("endless", script("endless").as_bytes()));
        assert!(!is_foreign_file("own", &elf(CLASS, MACHINE[0], PT_INTERP)));
        assert!(!is_foreign_file("empty", b""));
        for missing in [&b"/nowhere"[..], b"/dev/null", b"/proc/self/exe"] {
            let text = std::ffi::CString::new(missing).unwrap();
            assert!(!is_foreign(Path { dir: libc::AT_FDCWD, raw: Some(text.to_bytes()) }));
        }
        // An empty path is the descriptor's file; none has a negative number.
        assert!(!is_foreign(Path { dir: libc::AT_FDCWD, raw: Some(b"") }));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
