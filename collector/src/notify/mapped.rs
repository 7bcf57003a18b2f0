//! How `/proc/PID/maps` shows a file: by the device of its file system. On Btrfs stat(2) tells that of a
//! subvolume instead.
//!
//! # Safety
//! A page is mapped that nothing replaces or reads, and unmapped by the address that the kernel gave.
#![allow(unsafe_code, reason = "mmap has no safe interface")]

use std::fs::File;

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use crate::evasion::maps;
use crate::ids::FileId;

/// The file as it is shown; `None` where it cannot be mapped.
pub fn shown(file: &File) -> Option<FileId> {
    const LEN: usize = 1;
    // SAFETY: as the module says.
    let place = unsafe { mmap(std::ptr::null_mut(), LEN, ProtFlags::READ, MapFlags::PRIVATE, file, 0).ok()? };
    let found = maps::of(std::process::id())
        .and_then(|all| maps::at(&all, place.addr() as u64).map(|mapping| mapping.file));
    // SAFETY: as the module says.
    let _ = unsafe { munmap(place, LEN) };
    found.filter(|file| file.is_known())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_programs_file_is_shown_as_it_is_mapped_here() {
        let file = File::open("/proc/self/exe").unwrap();

        let found = shown(&file).unwrap();

        let all = maps::of(std::process::id()).unwrap();
        let code = maps::at(&all, shown as *const () as u64).unwrap();
        assert_eq!(code.file, found);
        assert_eq!(None, shown(&File::open("/").unwrap()));
    }
}
