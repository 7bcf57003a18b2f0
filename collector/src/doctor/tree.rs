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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::sinks::tests::Scratch;
    use crate::system::program::NO_INTERPRETER;

    #[test]
    fn no_link_of_a_root_leads_out_of_it() {
        let scratch = Scratch::new("doctor-root");
        let (root, outside) = (scratch.path("root"), scratch.path("outside"));
        for folder in ["etc", "lib", "usr", "bin"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        fs::create_dir(&outside).unwrap();
        fs::copy("/bin/sh", outside.join("sh")).unwrap();
        symlink(&outside, root.join("absolute")).unwrap();
        symlink("../outside", root.join("relative")).unwrap();
        symlink("/relative/sh", root.join("sh")).unwrap();
        let examined = |interpreter: &str| {
            let script = root.join("bin/script");
            fs::write(&script, format!("#!{interpreter}\n")).unwrap();
            fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
            examine(&root).unwrap().programs.remove(0).program.reason
        };

        for interpreter in ["/absolute/sh", "/relative/sh", "/sh", "/../outside/sh"] {
            assert_eq!(&NO_INTERPRETER, examined(interpreter), "{interpreter}");
        }
        fs::create_dir(root.join("outside")).unwrap();
        fs::copy("/bin/sh", root.join("outside/sh")).unwrap();
        for interpreter in ["/relative/sh", "/sh"] {
            assert_ne!(&NO_INTERPRETER, examined(interpreter), "{interpreter}");
        }
    }
}
