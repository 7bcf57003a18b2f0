//! The files that the filter is made from: the libc and the loader of this system, as many as there are,
//! and the sensor.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use notify::Sites;

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

/// Scans those that there are, and `more`. What cannot be read or understood is left out: its calls are
/// asked about.
pub fn scan(more: &[PathBuf]) -> Vec<Library> {
    let named = FOLDERS.iter().flat_map(|folder| NAMES.iter().map(move |name| Path::new(folder).join(name)));
    let paths: BTreeSet<PathBuf> =
        named.chain(more.iter().cloned()).filter_map(|path| path.canonicalize().ok()).collect();
    paths.into_iter().filter_map(read).collect()
}

fn read(path: PathBuf) -> Option<Library> {
    let about = path.metadata().ok()?;
    if !about.is_file() || about.len() > MOST_BYTES {
        return None;
    }
    let sites = Sites::of_elf(&std::fs::read(&path).ok()?).ok()?;
    Some(Library { path, sites })
}
