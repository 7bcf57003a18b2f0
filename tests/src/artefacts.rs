//! Finds the two files under test, and refuses files that are older than their sources.
//!
//! `cargo test` builds neither a cdylib nor another package's binary, so `cargo xtask test` builds them
//! first. A test that silently ran an old sensor would prove nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::SystemTime;

/// The workspace's root.
pub fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_path_buf()
}

/// Cargo's target folder.
pub fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// The path of the command line tool and collector.
///
/// # Panics
/// If it has not been built, or was built from older sources.
pub fn glassbox() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| fresh("glassbox", "glassbox.d"))
}

/// The path of the sensor.
///
/// # Panics
/// If it has not been built, or was built from older sources.
pub fn sensor() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| fresh("libglassbox.so", "libglassbox.d"))
}

fn fresh(name: &str, dep_info: &str) -> PathBuf {
    // Another pair, such as the portable one in dist/, cannot be compared with this tree's sources.
    if let Some(dir) = std::env::var_os("GLASSBOX_TESTS_PAIR") {
        return root().join(dir).join(name);
    }
    let file = target().join("release").join(name);
    match problem(&file, &target().join("release").join(dep_info)) {
        None => file,
        Some(why) => panic!("{why}: `cargo xtask test` builds it (or `cargo build --release --workspace`)"),
    }
}

/// The reason why `file` must not be tested; cargo listed its sources in `dep_info`.
///
/// Cargo's list is exact where a guess by folders would not be: a change to a unit test's file, or to a crate
/// that is not linked into `file`, does not make it stale.
fn problem(file: &Path, dep_info: &Path) -> Option<String> {
    let Ok(built) = modified(file) else {
        return Some(format!("{} is missing", file.display()));
    };
    let Ok(sources) = fs::read_to_string(dep_info) else {
        return Some(format!(
            "{} is missing, so the sources of {} are unknown",
            dep_info.display(),
            file.display()
        ));
    };
    for source in listed(&sources) {
        match modified(&source) {
            Ok(changed) if changed <= built => {}
            Ok(_) => return Some(format!("{} is older than {}", file.display(), source.display())),
            Err(_) => {
                return Some(format!("{} is gone since {} was built", source.display(), file.display()));
            }
        }
    }
    None
}

fn modified(path: &Path) -> std::io::Result<SystemTime> {
    fs::metadata(path)?.modified()
}

/// The prerequisites in a makefile rule as cargo writes it: one line, with a backslash before spaces in
/// paths.
fn listed(rule: &str) -> Vec<PathBuf> {
    let Some((_, prerequisites)) = rule.lines().next().and_then(|line| line.split_once(": ")) else {
        return Vec::new();
    };
    prerequisites
        .replace("\\ ", "\0")
        .split_ascii_whitespace()
        .map(|path| PathBuf::from(path.replace('\0', " ")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_read_from_cargos_note() {
        let rule = "/t/libglassbox.so: /w/src/lib.rs /w/a\\ b/c.rs\n";

        assert_eq!(vec![PathBuf::from("/w/src/lib.rs"), PathBuf::from("/w/a b/c.rs")], listed(rule));
    }

    #[test]
    fn a_file_older_than_a_source_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let (file, source, note) =
            (dir.path().join("lib.so"), dir.path().join("lib.rs"), dir.path().join("lib.d"));
        fs::write(&file, "").unwrap();
        fs::write(&source, "").unwrap();
        fs::write(&note, format!("{}: {}\n", file.display(), source.display())).unwrap();
        let later = SystemTime::now() + std::time::Duration::from_secs(60);
        fs::File::options().write(true).open(&source).unwrap().set_modified(later).unwrap();

        let why = problem(&file, &note).unwrap();

        assert!(why.contains("lib.so is older than") && why.contains("lib.rs"), "{why}");
    }

    #[test]
    fn a_missing_file_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();

        let why = problem(&dir.path().join("lib.so"), &dir.path().join("lib.d")).unwrap();

        assert!(why.ends_with("lib.so is missing"), "{why}");
    }
}
