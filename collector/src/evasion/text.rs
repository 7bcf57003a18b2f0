//! The sensor's code as its file on disk has it.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;

use super::maps::Mapping;
use super::slots::Slots;
use crate::ids::FileId;
use crate::system::files::{self, On};

/// The sensor has some 200 KiB of code, 1.2 MiB in a build for debugging; a longer file is no sensor.
const MOST_CODE: u64 = 2 << 20;
/// Sensors whose code is kept: of as many builds and copies.
const MOST_CODES: usize = 8;
/// Files that are kept; then it begins anew. A process has some dozens of modules, most of them shared.
const MOST_FILES: usize = 256;

/// The code of a sensor's file: what lies in memory from its first byte on.
#[derive(Debug, PartialEq, Eq)]
pub struct Code(pub Vec<u8>);

impl Code {
    /// Where the code in memory begins to be another one, if it does. A breakpoint of a debugger or of the
    /// kernel's (uprobes) is none.
    pub fn first_difference(&self, memory: &[u8]) -> Option<usize> {
        let mut at = 0;
        loop {
            let (ours, theirs) = (self.0.get(at..)?, memory.get(at..)?);
            // Whole pieces first: nearly all are equal.
            let len = ours.len().min(theirs.len()).min(4096);
            if len == 0 {
                return None;
            }
            if ours.get(..len) == theirs.get(..len) {
                at += len;
                continue;
            }
            let within = ours.iter().zip(theirs).position(|(ours, theirs)| ours != theirs)?;
            match breakpoint(&self.0, memory, at + within) {
                Some(behind) => at = behind,
                None => return Some(at + within),
            }
        }
    }
}

/// Where the code goes on behind a breakpoint in the place of the instruction that holds the byte `at`;
/// `None` if there is none.
#[cfg(target_arch = "aarch64")]
fn breakpoint(_ours: &[u8], theirs: &[u8], at: usize) -> Option<usize> {
    // brk #0 of debuggers; brk #5 of uprobes (arch/arm64/include/asm/brk-imm.h).
    const BREAKPOINTS: [[u8; 4]; 2] = [[0x00, 0x00, 0x20, 0xd4], [0xa0, 0x00, 0x20, 0xd4]];
    // Some of its bytes may be those of the instruction.
    let word = at / 4 * 4;
    theirs.get(word..)?.first_chunk().is_some_and(|found| BREAKPOINTS.contains(found)).then_some(word + 4)
}

#[cfg(not(target_arch = "aarch64"))]
fn breakpoint(ours: &[u8], theirs: &[u8], at: usize) -> Option<usize> {
    // int3, and the bytes after it as they were.
    const AROUND: usize = 4;
    let behind = |bytes: &[u8]| bytes.get(at + 1..bytes.len().min(at + 1 + AROUND)).map(<[u8]>::to_vec);
    (theirs.get(at) == Some(&0xcc) && behind(ours) == behind(theirs)).then_some(at + 1)
}

/// A file as it was when it was read: a later one may get its number.
type AsRead = (FileId, u64, i64, i64);

/// What is read of files, once for each.
#[derive(Debug, Default)]
pub struct Files {
    codes: HashMap<AsRead, Option<Arc<Code>>>,
    slots: HashMap<AsRead, Option<Arc<Slots>>>,
}

impl Files {
    /// The code of the sensor that a process has mapped; `None` where its file cannot be read. It is read
    /// once, and anew when it was changed.
    pub fn code(&mut self, pid: u32, mapping: &Mapping) -> Option<Arc<Code>> {
        if self.codes.len() >= MOST_CODES {
            self.codes.clear();
        }
        let (file, as_read) = open(pid, mapping)?;
        self.codes.entry(as_read).or_insert_with(|| read_code(file).map(Arc::new)).clone()
    }

    /// The slots of a module that a process has mapped, which the sensor's functions belong into.
    pub fn slots(&mut self, pid: u32, mapping: &Mapping) -> Option<Arc<Slots>> {
        if self.slots.len() >= MOST_FILES {
            self.slots.clear();
        }
        let (file, as_read) = open(pid, mapping)?;
        self.slots.entry(as_read).or_insert_with(|| Slots::read(&file).map(Arc::new)).clone()
    }
}

/// Opens the file of a mapping by its path, in the process's root or in this process's; `None` where another
/// file is there, and where a file system would have to be waited for.
fn open(pid: u32, mapping: &Mapping) -> Option<(File, AsRead)> {
    let inside = mapping.path().strip_prefix(b"/")?;
    let root = PathBuf::from(format!("/proc/{pid}/root"));
    [root.join(OsStr::from_bytes(inside)), PathBuf::from(OsStr::from_bytes(mapping.path()))].iter().find_map(
        |path| {
            let file = files::open_regular(path, On::Local).ok()?;
            let about = file.metadata().ok()?;
            let as_read = (mapping.file, about.len(), about.ctime(), about.ctime_nsec());
            (FileId { device: about.dev(), inode: about.ino() } == mapping.file).then_some((file, as_read))
        },
    )
}

/// The first segment that may be executed, which begins the file (`-z noseparate-code`, build.rs).
fn read_code(mut file: File) -> Option<Code> {
    let len = super::slots::code_len(&file).filter(|len| *len <= MOST_CODE)?;
    let mut code = Vec::new();
    file.seek(SeekFrom::Start(0)).ok()?;
    file.take(len).read_to_end(&mut code).ok()?;
    (code.len() as u64 == len).then_some(Code(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(at: usize, bytes: &[u8]) -> Vec<u8> {
        let mut memory = vec![0x90; 10_000];
        memory[at..at + bytes.len()].copy_from_slice(bytes);
        memory
    }

    #[test]
    fn a_changed_byte_is_found_and_what_could_not_be_read_is_none() {
        let code = Code(vec![0x90; 10_000]);

        assert_eq!(None, code.first_difference(&changed(0, &[])));
        assert_eq!(None, code.first_difference(&changed(0, &[])[..5000]));
        for at in [0, 4095, 4096, 9999] {
            assert_eq!(Some(at), code.first_difference(&changed(at, &[0xeb])), "{at}");
        }
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn breakpoints_are_a_debuggers_and_do_not_hide_what_follows() {
        let code = Code(vec![0x90; 10_000]);

        assert_eq!(None, code.first_difference(&changed(5000, &[0xcc])));
        assert_eq!(
            Some(7000),
            code.first_difference(&{
                let mut memory = changed(5000, &[0xcc]);
                memory[7000] = 0xe9;
                memory
            })
        );
        // A jump whose first byte is int3 as well is a change.
        assert_eq!(Some(5000), code.first_difference(&changed(5000, &[0xcc, 0xe9, 1, 2])));
    }
}
