//! The files that the filter is made from: the libc and the loader of this system, as many as there are,
//! and the sensor; or those of a process that runs already.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use notify::Sites;

use crate::evasion::maps::{self, Mapping};
use crate::system::places::{find_inside, open_inside, read_whole};
use crate::system::procfs;

/// Folders of libraries (ld.so(8), musl's and Debian's multiarch).
const FOLDERS: [&str; 8] = [
    "/lib64",
    "/lib",
    "/usr/lib64",
    "/usr/lib",
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib/aarch64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
];
/// libc, the loader, and before glibc 2.34 what was apart: each makes system calls by itself.
const NAMES: [&str; 9] = [
    "libc.so.6",
    "ld-linux-x86-64.so.2",
    "ld-linux-aarch64.so.1",
    "ld-musl-x86_64.so.1",
    "ld-musl-aarch64.so.1",
    "libpthread.so.0",
    "librt.so.1",
    "libresolv.so.2",
    "libanl.so.1",
];
/// Beginnings of the names of the same files, with a libc's version before glibc 2.34.
const BEGINNINGS: [&[u8]; 16] = [
    b"libc.so",
    b"libc-2.",
    b"libc.musl-",
    b"ld-linux",
    b"ld-2.",
    b"ld-musl-",
    b"libpthread.",
    b"libpthread-",
    b"librt.",
    b"librt-",
    b"libresolv.",
    b"libresolv-",
    b"libanl.",
    b"libanl-",
    b"libdl.",
    b"libdl-",
];
/// A longer file is no libc.
const MOST_BYTES: u64 = 64 << 20;

/// A library that was scanned.
#[derive(Debug)]
pub struct Library {
    /// Its file, without links, as /proc/PID/maps shows it.
    pub path: PathBuf,
    /// Its system-call instructions.
    pub sites: Sites,
}

/// Where they may be.
fn named() -> impl Iterator<Item = PathBuf> {
    FOLDERS.iter().flat_map(|folder| NAMES.iter().map(move |name| Path::new(folder).join(name)))
}

/// Whether a file of this name is one of them, or musl's.
pub fn is_one(name: &[u8]) -> bool {
    BEGINNINGS.iter().any(|beginning| name.starts_with(beginning))
}

/// Whether a file lies where systems have their libraries, or below.
pub fn is_in_system(path: &Path) -> bool {
    const WHERE: [&str; 8] =
        ["/lib", "/lib32", "/lib64", "/libx32", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libx32"];
    WHERE.iter().any(|folder| path.starts_with(folder))
}

/// Whether a file of this name is glibc's libc itself.
pub fn is_glibc(name: &[u8]) -> bool {
    name == b"libc.so.6" || name.starts_with(b"libc-2.")
}

/// Whether a file of this name is musl's libc, which is its loader too.
pub fn is_musl(name: &[u8]) -> bool {
    name == b"libc.so"
        || [&b"libc.musl-"[..], b"ld-musl-"].iter().any(|beginning| name.starts_with(beginning))
}

/// Scans those that there are, and `more`. What cannot be read or understood is left out: its calls are
/// asked about.
pub fn scan(more: &[PathBuf]) -> Vec<Library> {
    let paths: BTreeSet<PathBuf> =
        named().chain(more.iter().cloned()).filter_map(|path| path.canonicalize().ok()).collect();
    let len = |path: &PathBuf| path.metadata().ok().filter(|about| about.is_file()).map(|about| about.len());
    let mut files: Vec<(u64, PathBuf)> =
        paths.into_iter().filter_map(|path| Some((len(&path)?, path))).collect();
    files.retain(|(len, _)| *len <= MOST_BYTES);
    files.sort_unstable();
    // The longest first: the others take as long together.
    let waiting = Mutex::new(files);
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let scan_some = || std::iter::from_fn(next).filter_map(|(_, path)| read(path)).collect::<Vec<_>>();
    // The thread has ended before the launcher forks.
    let mut found = std::thread::scope(|scope| {
        let beside = std::thread::Builder::new().spawn_scoped(scope, scan_some);
        let mut found = scan_some();
        found.extend(beside.ok().and_then(|beside| beside.join().ok()).unwrap_or_default());
        found
    });
    found.sort_unstable_by(|one, other| one.path.cmp(&other.path));
    found
}

fn read(path: PathBuf) -> Option<Library> {
    let sites = Sites::of_elf(&std::fs::read(&path).ok()?).ok()?;
    Some(Library { path, sites })
}

/// Scans those that process `pid` has mapped, and those that its children find in its root, and `more`.
pub fn scan_of(pid: u32, more: &[PathBuf]) -> Vec<Library> {
    let mut found = BTreeMap::new();
    for mapping in maps::of(pid).unwrap_or_default().iter().filter(|mapping| mapping.is_code()) {
        let (name, path) = (mapping.file_name(), PathBuf::from(OsStr::from_bytes(mapping.path())));
        if is_one(name) || more.contains(&path) {
            found.entry(path).or_insert_with(|| open_mapped(pid, mapping));
        }
    }
    let root = PathBuf::from(format!("/proc/{pid}/root"));
    if !is_own(&root) {
        for path in
            FOLDERS.iter().flat_map(|folder| NAMES.iter().map(move |name| Path::new(folder).join(name)))
        {
            // Its path without links, as the kernel shows it of a mapping.
            let place = |file: File| {
                let place = procfs::behind(&format!("/proc/self/fd/{}", file.as_raw_fd()))?;
                Some((PathBuf::from(OsStr::from_bytes(&place)), Some(file)))
            };
            if find_inside(&root, &path).is_ok()
                && let Some((path, file)) = open_inside(&root, &path).and_then(place)
            {
                found.entry(path).or_insert(file);
            }
        }
    }
    let found = found.into_iter().filter_map(|(path, file)| {
        let sites = Sites::of_elf(&read_whole(file?, MOST_BYTES)?).ok()?;
        Some(Library { path, sites })
    });
    let mut all: Vec<Library> = found.collect();
    let known: BTreeSet<PathBuf> = all.iter().map(|library| library.path.clone()).collect();
    all.extend(scan(more).into_iter().filter(|library| !known.contains(&library.path)));
    all
}

/// The file of a mapping: itself, which only root may open by its mapping, or what lies at its path.
fn open_mapped(pid: u32, mapping: &Mapping) -> Option<File> {
    let by_mapping = format!("/proc/{pid}/map_files/{:x}-{:x}", mapping.range.start, mapping.range.end);
    let by_path = || {
        open_inside(&PathBuf::from(format!("/proc/{pid}/root")), Path::new(OsStr::from_bytes(mapping.path())))
    };
    File::open(by_mapping).ok().or_else(by_path)
}

/// Whether a root is this process's.
fn is_own(root: &Path) -> bool {
    let identity = |path: &Path| path.metadata().ok().map(|about| (about.dev(), about.ino()));
    identity(root).is_none_or(|it| Some(it) == identity(Path::new("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_libc_that_a_process_runs_with_is_scanned_as_the_systems_own() {
        let openat = libc::SYS_openat as u32;
        let more = [PathBuf::from("/proc/self/exe")];

        let found = scan_of(std::process::id(), &more);

        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let mapped = found.iter().find(|library| {
            let path = library.path.to_str().unwrap();
            path.contains("/libc") && maps.lines().any(|line| line.ends_with(path))
        });
        let of_system =
            scan(&[]).into_iter().find(|library| Some(&library.path) == mapped.map(|it| &it.path));
        let offsets = |library: &Library| library.sites.page_offsets(openat).collect::<Vec<_>>();
        assert!(mapped.is_some_and(|libc| !offsets(libc).is_empty()), "{found:?}");
        assert_eq!(of_system.as_ref().map(offsets), mapped.map(offsets));
    }
}
