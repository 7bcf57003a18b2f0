//! No comment in Rust is wider than the code may be: rustfmt wraps code at 110 columns and leaves comments as
//! they are.
//!
//! Part of the step `fmt`. A row of a Markdown table and a word that cannot be divided (an address) may be
//! wider.

use std::fs;
use std::path::Path;

use anyhow::{Result, bail};

use crate::shell;

/// The width of rustfmt.toml.
const COLUMNS: usize = 110;

/// Folders that hold no text of ours.
const LEFT_OUT: [&str; 3] = ["target", ".git", "node_modules"];

/// Checks every file of the repository.
///
/// # Errors
/// Each comment line that is too wide.
pub fn check() -> Result<()> {
    let mut found = Vec::new();
    look(&shell::root(), &mut found)?;
    match found.as_slice() {
        [] => Ok(()),
        lines => {
            bail!("{} comment lines are wider than {COLUMNS} columns:\n{}", lines.len(), lines.join("\n"))
        }
    }
}

fn look(folder: &Path, found: &mut Vec<String>) -> Result<()> {
    let mut paths = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap_or_default();
        if path.is_dir() && !path.is_symlink() && !LEFT_OUT.iter().any(|left_out| name == *left_out) {
            look(&path, found)?;
        } else if path.extension().is_some_and(|end| end == "rs") {
            let shown = path.strip_prefix(shell::root()).unwrap_or(&path).display().to_string();
            let text = fs::read_to_string(&path)?;
            found.extend(wide(&text).map(|(line, columns)| format!("{shown}:{line}: {columns} columns")));
        }
    }
    Ok(())
}

/// The number of each comment line that is too wide, and its width.
fn wide(text: &str) -> impl Iterator<Item = (usize, usize)> {
    text.lines().enumerate().filter_map(|(index, line)| {
        let comment = line.trim_start().strip_prefix("//")?.trim_start_matches(['/', '!']).trim_start();
        let columns = line.chars().count();
        let is_one_word = !comment.contains(' ');
        (columns > COLUMNS && !comment.starts_with('|') && !is_one_word).then_some((index + 1, columns))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_measured_in_characters_and_code_is_not() {
        let fits = format!("    /// {}", "é ".repeat(51));
        let long = format!("//! {}", "é ".repeat(54));
        let code = format!("let a = \"{}\"; // b", "é ".repeat(100));
        let address = format!("// https://example/{}", "x".repeat(200));
        let row = format!("//! | {} |", "a ".repeat(100));

        let text = [fits, code, long, address, row].join("\n");

        assert_eq!(vec![(3, 112)], wide(&text).collect::<Vec<_>>());
    }
}
