//! Every document that a file of the repository cites exists in the repository.
//!
//! The step `docs` of `cargo xtask test` calls [`check`], and so does a test below. A citation is a name that
//! ends in `.md`, in any text file: a link, a path in a comment, a bare name. It is taken relative to the
//! folder of the file that cites, to the repository's top folder, and to `docs/`. Addresses on the web are
//! not looked at. In a link of a document, the heading behind `#` must exist too.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::shell;

/// The folders that a cited name may be relative to, beside that of the file that cites it.
const FOLDERS: [&str; 2] = ["", "docs"];

/// Fails with a line for each citation that leads nowhere: `FILE:LINE: CITED`.
pub fn check() -> Result<()> {
    let files = files()?;
    let broken: Vec<String> = files.iter().flat_map(|file| broken_in(file, &files)).collect();
    if !broken.is_empty() {
        bail!("documents are cited that do not exist:\n{}", broken.join("\n"));
    }
    Ok(())
}

/// The files that git tracks or would add, relative to the top folder.
fn files() -> Result<BTreeSet<PathBuf>> {
    let mut command = Command::new("git");
    command.current_dir(shell::root()).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let listed = shell::output(&mut command)?;
    Ok(listed.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from).collect())
}

fn broken_in(file: &Path, files: &BTreeSet<PathBuf>) -> Vec<String> {
    // A file that is deleted but still listed, and bytes that are no text, cite nothing.
    let Ok(text) = fs::read_to_string(shell::root().join(file)) else { return Vec::new() };
    let is_document = file.extension().is_some_and(|extension| extension == "md");
    let mut broken = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for cited in citations(line) {
            let is_found = match found(file, cited, files) {
                None => false,
                Some(document) => !is_document || has_heading(&document, cited),
            };
            if !is_found {
                broken.push(format!("{}:{}: {cited}", file.display(), number + 1));
            }
        }
    }
    broken
}

/// The names in a line that end in `.md`, each with its `#heading` if it has one.
fn citations(line: &str) -> impl Iterator<Item = &str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "_-./:#".contains(c);
    line.split(move |c| !is_part(c)).filter_map(|word| {
        let word = word.trim_end_matches(['.', ':', '#', '-', '/']);
        let name = word.split('#').next().unwrap_or_default();
        let stem = name.strip_suffix(".md")?;
        let is_name = stem.ends_with(|c: char| c.is_ascii_alphanumeric());
        (is_name && !word.contains("://")).then_some(word)
    })
}

/// The file that is cited.
fn found(from: &Path, cited: &str, files: &BTreeSet<PathBuf>) -> Option<PathBuf> {
    let name = cited.split('#').next().unwrap_or_default();
    let folder = from.parent().unwrap_or(Path::new(""));
    let folders = [folder].into_iter().chain(FOLDERS.iter().map(Path::new));
    folders.filter_map(|folder| normal(&folder.join(name))).find(|path| files.contains(path))
}

/// The path without `.` and `..`; `None` if it leads out of the repository.
fn normal(path: &Path) -> Option<PathBuf> {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => normal.push(name),
            Component::CurDir => {}
            Component::ParentDir => {
                if !normal.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(normal)
}

fn has_heading(document: &Path, cited: &str) -> bool {
    let Some((_, wanted)) = cited.split_once('#') else { return true };
    let text = fs::read_to_string(shell::root().join(document)).unwrap_or_default();
    text.lines().filter(|line| line.starts_with('#')).any(|line| anchor(line) == wanted)
}

/// The anchor that GitHub gives a heading: lower case, spaces as dashes, punctuation left out.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = |c: char| match c {
        ' ' => Some('-'),
        '-' | '_' => Some(c),
        c => c.is_alphanumeric().then_some(c),
    };
    text.chars().filter_map(kept).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_document_that_is_cited_exists() {
        check().unwrap();
    }

    /// The text with `.md` for each `%`: written out, the names here would be citations themselves.
    fn spelt(text: &str) -> String {
        text.replace('%', ".md")
    }

    #[test]
    fn links_paths_and_bare_names_are_citations_and_addresses_are_not() {
        let line =
            spelt("see [it](docs/one%#part-two), `TWO%`. And ../three%: not https://host/four%, %, *%");

        let found: Vec<&str> = citations(&line).collect();

        assert_eq!(spelt("docs/one%#part-two TWO% ../three%"), found.join(" "));
    }

    #[test]
    fn a_name_is_looked_for_beside_the_file_at_the_top_and_in_docs() {
        let files = spelt("README% docs/page% a/beside%").split(' ').map(PathBuf::from).collect();
        let is_found = |cited: &str| found(Path::new("a/file.rs"), &spelt(cited), &files).is_some();

        for cited in ["README%", "../README%", "page%", "docs/page%", "beside%"] {
            assert!(is_found(cited), "{cited}");
        }
        for cited in ["MISSING%", "../../README%", "/README%", "a/page%"] {
            assert!(!is_found(cited), "{cited}");
        }
    }

    #[test]
    fn an_anchor_is_the_heading_as_github_spells_it() {
        assert_eq!("kubernetes-glassbox-patch-k8s", anchor("## Kubernetes: `glassbox patch k8s`"));
        assert_eq!("kernelio_uring", anchor("### `kernel.io_uring`"));
    }
}
