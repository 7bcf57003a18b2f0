//! `cargo xtask page`: builds the page of `-o html` into the file that the collector embeds.
//!
//! The built file is committed, so that neither a build nor the demo needs npm. It holds a hash of its
//! sources ([`check`]), and the step `page` of the tests builds it once more and compares.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::glassbox::Built;
use crate::{packages, shell};

/// Sources beside those of the folder `src`. `collector/page/build.mjs` has the same list.
const OWN: [&str; 5] = ["build.mjs", "index.html", "package-lock.json", "package.json", "tsconfig.json"];

/// What the browser tests need besides the pair and Node.
const PACKAGES: [&str; 2] = ["chromium", "fonts-dejavu-core"];

/// A program whose report the browser tests open: an alert, a failure, children.
const SHOWN: &str = "cat /etc/shadow >/dev/null; cat /nowhere/at/all; echo done; sleep 0.1";

/// `cargo xtask page [--check]`
pub fn run(arguments: &[String]) -> Result<()> {
    match arguments {
        [] => {
            install()?;
            shell::run(node(&["build.mjs"]).current_dir(folder()))
        }
        [flag] if flag == "--check" => check(),
        _ => bail!("usage: cargo xtask page [--check]"),
    }
}

fn folder() -> PathBuf {
    shell::root().join("collector/page")
}

fn built() -> PathBuf {
    shell::root().join("collector/src/sinks/html/page.html")
}

/// Fails where the built page does not belong to its sources.
pub fn check() -> Result<()> {
    let hash = hash(&folder())?;
    let text = fs::read_to_string(built()).context("collector/src/sinks/html/page.html")?;
    if !text.contains(&format!("<meta name=\"glassbox-sources\" content=\"{hash}\">")) {
        bail!("collector/src/sinks/html/page.html is not built from collector/page; run: cargo xtask page");
    }
    Ok(())
}

/// The hash of the names, lengths and bytes of all sources, in the order of their names.
fn hash(folder: &Path) -> Result<String> {
    let mut names: Vec<String> = OWN.map(str::to_owned).to_vec();
    for entry in fs::read_dir(folder.join("src")).context("collector/page/src")? {
        names.push(format!("src/{}", entry?.file_name().to_string_lossy()));
    }
    names.sort();
    let mut hash = Sha256::new();
    for name in names {
        let bytes = fs::read(folder.join(&name)).with_context(|| format!("cannot read {name}"))?;
        hash.update(format!("{name}\n{}\n", bytes.len()));
        hash.update(&bytes);
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Makes sure that the Node packages of `collector/page` are there, in the versions of its lock; says whether
/// it had to install them.
pub fn install() -> Result<bool> {
    let wanted = fs::read_to_string(folder().join("package-lock.json"))?;
    let done = folder().join("node_modules/installed.json");
    if fs::read_to_string(&done).is_ok_and(|present| present == wanted) {
        return Ok(false);
    }
    if shell::which("npm").is_none() {
        packages::install(&["npm".to_owned()])?;
    }
    let mut npm = Command::new("npm");
    npm.args(["ci", "--no-audit", "--no-fund"]).current_dir(folder());
    shell::output(&mut npm)?;
    fs::write(&done, wanted)?;
    Ok(true)
}

/// The commands of the test step, after [`check`] and [`install`]: types, logic, a build that must be the one
/// that is there, and a browser.
pub fn tests(pair: &Built) -> Result<Vec<Command>> {
    packages::install(&PACKAGES.map(str::to_owned))?;
    let dir = shell::scratch("page")?;
    let again = dir.join("page.html");
    let report = dir.join("report.html");
    let mut compare = Command::new("cmp");
    compare.arg(built()).arg(&again);
    let mut write = Command::new(&pair.cli);
    write.args(["run", "-o"]).arg(format!("html:{}", report.display())).args(["--", "sh", "-c", SHOWN]);
    let mut browser = module("@playwright/test/cli.js", &["test"]);
    browser.env("GLASSBOX_REPORT", &report);
    let mut build = node(&["build.mjs"]);
    build.arg(&again);
    let types = module("typescript/bin/tsc", &["-p", "."]);
    let logic = module("vitest/vitest.mjs", &["run"]);
    let mut all = vec![types, logic, build, compare, write, browser];
    for command in &mut all {
        command.current_dir(folder()).env("NO_COLOR", "1").env_remove("FORCE_COLOR");
    }
    Ok(all)
}

/// A program of a package.
fn module(path: &str, arguments: &[&str]) -> Command {
    let mut command = node(&[]);
    command.arg(folder().join("node_modules").join(path)).args(arguments);
    command
}

fn node(arguments: &[&str]) -> Command {
    let mut command = Command::new("node");
    command.args(arguments);
    command
}

/// The tests that vitest and Playwright say have passed: `Tests  55 passed (55)`, `18 passed (1.2m)`.
pub fn passed_in(text: &str) -> u64 {
    let count = |line: &str| {
        let line = line.trim();
        let line = line.strip_prefix("Tests").unwrap_or(line).trim();
        let (number, _) = line.split_once(" passed (")?;
        number.rsplit("| ").next()?.parse::<u64>().ok()
    };
    text.lines().filter(|line| !line.trim_start().starts_with("Test Files")).filter_map(count).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_page_belongs_to_its_sources() {
        check().unwrap();
    }

    #[test]
    fn a_changed_source_has_another_hash() {
        let dir = shell::target().join("xtask/page-hash");
        fs::create_dir_all(dir.join("src")).unwrap();
        for name in OWN {
            fs::write(dir.join(name), name).unwrap();
        }
        fs::write(dir.join("src/main.ts"), "one").unwrap();
        let before = hash(&dir).unwrap();

        fs::write(dir.join("src/main.ts"), "two").unwrap();

        assert_ne!(before, hash(&dir).unwrap());
    }

    #[test]
    fn tests_of_both_runners_are_counted() {
        let text = " Test Files  2 passed (2)\n      Tests  55 passed (55)\n  1 skipped\n  18 passed (1.2m)\n x passed (\n";

        assert_eq!(73, passed_in(text));
    }
}
