//! `cargo xtask unsafe`: how much `unsafe` each crate has, against the committed table docs/unsafe.md.
//!
//! A change of a number is no fault; it must be seen. So the table changes in the same commit as the code
//! (`--write`), and a review sees a line of it. Part of `cargo xtask test`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::shell;
use crate::tokens::{Token, tokens};

const TABLE: &str = "docs/unsafe.md";

/// The crates with code of their own: name and folder, each without those inside it.
const CRATES: [(&str, &str); 12] = [
    ("the sensor", "."),
    ("hooks", "hooks"),
    ("wire", "wire"),
    ("collector", "collector"),
    ("rules", "rules"),
    ("notify", "notify"),
    ("deploy", "deploy"),
    ("inline", "inline"),
    ("tests", "tests"),
    ("fuzz", "fuzz"),
    ("xtask", "xtask"),
    ("examples/redhook", "examples/redhook"),
];

/// Folders that hold no code of a crate, or that of others.
const LEFT_OUT: [&str; 7] = ["target", "corpus", "docs", "dist", "node_modules", "seeds", "manifests"];

const HEAD: &str = "\
# Unsafe code by crate

`cargo xtask unsafe` counts and compares with this table; `cargo xtask unsafe --write` writes it. A change of a
number belongs into the commit that makes it. *Blocks* are `unsafe { }`; *functions* are declared or defined as
unsafe, with the rows of the hook table; *impls* are of unsafe traits; *attributes* are `#[unsafe(…)]`. Tests count
with their crate. `deploy` forbids unsafe code; in the collector, each file that has any says why it may.

| crate | blocks | functions | impls | attributes | files |
|---|--:|--:|--:|--:|--:|
";

/// `cargo xtask unsafe [--write]`
///
/// # Errors
/// A row of the table that is not true.
pub fn run(arguments: &[String]) -> Result<()> {
    let path = shell::root().join(TABLE);
    let text = table()?;
    if arguments.iter().any(|argument| argument == "--write") {
        return fs::write(&path, text).with_context(|| format!("cannot write {TABLE}"));
    }
    let committed = fs::read_to_string(&path).with_context(|| format!("cannot read {TABLE}"))?;
    let rows = |text: &str| {
        text.lines().filter(|line| line.starts_with("| ")).map(str::to_owned).collect::<Vec<_>>()
    };
    let (new, old) = (rows(&text), rows(&committed));
    let changed: Vec<String> = new.iter().filter(|row| !old.contains(row)).cloned().collect();
    if !changed.is_empty() || new.len() != old.len() {
        bail!("{TABLE} says otherwise; `cargo xtask unsafe --write` writes this:\n{}", changed.join("\n"));
    }
    print!("{text}");
    Ok(())
}

/// The table as it should be.
fn table() -> Result<String> {
    let mut text = HEAD.to_owned();
    let (root, mut sum) = (shell::root(), Count::default());
    for (name, folder) in CRATES {
        let mut files = Vec::new();
        look(&root.join(folder), true, &mut files)?;
        let mut all = Count::default();
        for file in files {
            let code =
                fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            all.add(Count::of(&tokens(&code)));
        }
        text.push_str(&all.row(name));
        sum.add(all);
    }
    text.push_str(&sum.row("all"));
    Ok(text)
}

/// The Rust files of a crate.
fn look(folder: &Path, is_top: bool, found: &mut Vec<PathBuf>) -> Result<()> {
    if !is_top && folder.join("Cargo.toml").exists() {
        return Ok(());
    }
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_symlink() || name.starts_with('.') || LEFT_OUT.contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() {
            look(&path, false, found)?;
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
    Ok(())
}

/// The numbers of one crate.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Count {
    blocks: usize,
    functions: usize,
    impls: usize,
    attributes: usize,
    /// Files that have any.
    files: usize,
}

impl Count {
    /// The numbers of one file.
    fn of(tokens: &[Token]) -> Self {
        let mut count = Self::default();
        for (index, token) in tokens.iter().enumerate() {
            if token.text != "unsafe" {
                continue;
            }
            match tokens.get(index + 1).map(|next| next.text.as_str()) {
                Some("{") => count.blocks += 1,
                Some("impl" | "trait") => count.impls += 1,
                Some("(") => count.attributes += 1,
                Some("fn" | "extern") => count.functions += 1,
                // A word in a macro's pattern.
                _ => continue,
            }
            count.files = 1;
        }
        count
    }

    fn add(&mut self, other: Self) {
        self.blocks += other.blocks;
        self.functions += other.functions;
        self.impls += other.impls;
        self.attributes += other.attributes;
        self.files += other.files;
    }

    fn row(self, name: &str) -> String {
        let Self { blocks, functions, impls, attributes, files } = self;
        format!("| {name} | {blocks} | {functions} | {impls} | {attributes} | {files} |\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_counted_once_and_comments_and_strings_are_not() {
        let code = r##"
            // unsafe { }
            #[unsafe(no_mangle)]
            unsafe extern "C" fn a() { let s = "unsafe { }"; unsafe { b() } }
            unsafe fn b() { unsafe { c(); } }
            unsafe impl Send for D {}
            unsafe trait E {}
            /* unsafe fn */ const F: &str = r#"unsafe fn"#;
        "##;

        let count = Count::of(&tokens(code));

        assert_eq!(Count { blocks: 2, functions: 2, impls: 2, attributes: 1, files: 1 }, count);
        assert_eq!(Count::default(), Count::of(&tokens("fn safe() {}")));
    }

    #[test]
    fn every_crate_of_the_repository_is_counted() {
        let root = shell::root();
        let mut folders = vec![root.clone()];
        let mut crates = Vec::new();
        while let Some(folder) = folders.pop() {
            if folder.join("Cargo.toml").exists() {
                let name = folder.strip_prefix(&root).unwrap().display().to_string();
                crates.push(if name.is_empty() { ".".to_owned() } else { name });
            }
            for path in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                if path.is_dir()
                    && !path.is_symlink()
                    && !name.starts_with('.')
                    && !LEFT_OUT.contains(&name.as_str())
                {
                    folders.push(path);
                }
            }
        }

        for name in crates {
            assert!(CRATES.iter().any(|(_, folder)| *folder == name), "{name} is not in CRATES");
        }
    }
}
