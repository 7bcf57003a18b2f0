//! Finds the programs of a folder and everything below it, or of the folders in `PATH`.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::finding::{Finding, Findings};
use crate::shell::failure::Failure;
use crate::system::program::{Program, Root};

/// The file systems below `/` whose files the kernel makes up.
const MADE_UP: [&str; 3] = ["/proc", "/sys", "/dev"];

/// Every program in `folder` and below. Links are not followed; a file with several names is examined once.
pub fn examine(folder: &Path) -> Result<Findings, Failure> {
    let missing = |error: std::io::Error| {
        Failure::missing(format!(
            "cannot read '{}': {error}; give a folder that can be read",
            folder.display()
        ))
    };
    let folder = fs::canonicalize(folder).map_err(missing)?;
    fs::read_dir(&folder).map_err(missing)?;
    let mut walk = Walk { root: Root::at(&folder), seen: BTreeSet::new(), findings: Findings::default() };
    let mut waiting = vec![folder];
    while let Some(folder) = waiting.pop() {
        waiting.extend(walk.folder(&folder));
    }
    Ok(walk.finish())
}

/// Every program in the folders of a `PATH`.
pub fn search_path(search: &OsStr) -> Findings {
    let mut walk = Walk { root: Root::own(), seen: BTreeSet::new(), findings: Findings::default() };
    for folder in std::env::split_paths(search).filter_map(|folder| fs::canonicalize(folder).ok()) {
        walk.folder(&folder);
    }
    walk.finish()
}

struct Walk {
    root: Root,
    /// Device and inode numbers of the files that were examined.
    seen: BTreeSet<(u64, u64)>,
    findings: Findings,
}

impl Walk {
    /// Examines the files of one folder, and gives the folders in it.
    fn folder(&mut self, folder: &Path) -> Vec<PathBuf> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => {
                self.findings
                    .remarks
                    .push(format!("cannot read '{}': {error}; run as root", folder.display()));
                return Vec::new();
            }
        };
        let mut folders = Vec::new();
        for entry in entries.flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            let path = entry.path();
            if metadata.is_dir() {
                if !MADE_UP.iter().any(|made_up| path == Path::new(made_up)) {
                    folders.push(path);
                }
            } else if metadata.is_file()
                && metadata.mode() & 0o111 != 0
                && self.seen.insert((metadata.dev(), metadata.ino()))
                && let Some(program) = Program::at(&path, &self.root)
            {
                self.findings.programs.push(Finding::of(program));
            }
        }
        folders
    }

    fn finish(mut self) -> Findings {
        self.findings.programs.sort_by(|one, other| one.program.path.cmp(&other.program.path));
        self.findings
    }
}
