//! `cargo xtask circles`: no two files of a crate need each other, and no file of the collector is long.
//!
//! The check reads the files of three crates as tokens. A file needs another one if a `use` of it, or a path
//! that begins with `crate`, `super`, `self` or the name of a child module, leads into that file. Declaring a
//! child (`mod child;`) is no need, and a name that a file only imports or passes on (`pub use child::Name;`)
//! leads to the file that has it. Tests are left out: files named `tests.rs`, and items under `#[cfg(test)]`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::shell;
use crate::tokens::{Token, is_test_only, tokens};

/// A crate that is looked at.
struct Source {
    /// The folder of its `lib.rs` or `main.rs`, from the repository's root.
    folder: &'static str,
    /// The most lines that a file may have, without its tests.
    most_lines: usize,
}

const NO_LIMIT: usize = usize::MAX;

const SOURCES: [Source; 3] = [
    Source { folder: "collector/src", most_lines: 450 },
    Source { folder: "deploy/src", most_lines: NO_LIMIT },
    Source { folder: "src", most_lines: NO_LIMIT },
];

/// Circles that stay: all their files, in order, and why.
const ALLOWED: &[(&[&str], &str)] = &[];

/// Files that stay longer, and why.
const ALLOWED_LONG: &[(&str, &str)] = &[];

/// `cargo xtask circles`
pub fn run(arguments: &[String]) -> Result<()> {
    if let Some(argument) = arguments.first() {
        bail!("'{argument}' is not understood: `circles` takes no argument");
    }
    let faults = faults()?;
    match faults.as_slice() {
        [] => Ok(()),
        faults => bail!("{} faults in the layout of files:\n{}", faults.len(), faults.join("\n")),
    }
}

/// Describes each circle and each long file that no table allows, and each row of a table that allows
/// nothing.
fn faults() -> Result<Vec<String>> {
    let mut faults = Vec::new();
    let mut circles_used = BTreeSet::new();
    let mut long_used = BTreeSet::new();
    for source in &SOURCES {
        let sources = Sources::read(&shell::root(), source.folder)?;
        for (file, lines) in sources.lines() {
            match ALLOWED_LONG.iter().position(|(allowed, _)| *allowed == file) {
                Some(row) if lines > source.most_lines => drop(long_used.insert(row)),
                None if lines > source.most_lines => {
                    faults.push(format!("{file} has {lines} lines; at most {} are meant", source.most_lines));
                }
                _ => {}
            }
        }
        let needs = sources.needs();
        for circle in circles(&needs) {
            match ALLOWED.iter().position(|(allowed, _)| *allowed == circle) {
                Some(row) => drop(circles_used.insert(row)),
                None => faults.push(described(&circle, &needs)),
            }
        }
    }
    let unused =
        |what: &str| format!("xtask/src/circles.rs allows {what}, which is no fault; delete that row");
    let rows = ALLOWED.iter().enumerate().filter(|(row, _)| !circles_used.contains(row));
    faults.extend(rows.map(|(_, (files, _))| unused(&format!("the circle {}", files.join(" ⇄ ")))));
    let rows = ALLOWED_LONG.iter().enumerate().filter(|(row, _)| !long_used.contains(row));
    faults.extend(rows.map(|(_, (file, _))| unused(&format!("the length of {file}"))));
    Ok(faults)
}

/// Which file needs which, and by which path in the first place.
type Needs = BTreeMap<String, BTreeMap<String, String>>;

/// Names a circle's files, and what each needs of the others.
fn described(circle: &[String], needs: &Needs) -> String {
    let mut text = format!("circle of {} files: {}", circle.len(), circle.join(" ⇄ "));
    for file in circle {
        for (to, path) in needs.get(file).into_iter().flatten().filter(|(to, _)| circle.contains(to)) {
            text.push_str(&format!("\n    {file} → {to} by '{path}'"));
        }
    }
    text
}

/// The files of one crate.
#[derive(Default)]
struct Sources {
    /// By module path; `[]` is the root.
    modules: BTreeMap<Vec<String>, Module>,
}

/// A module that has a file of its own.
struct Module {
    /// From the repository's root.
    file: String,
    /// Without what only tests see.
    tokens: Vec<Token>,
    /// Without what only tests see.
    lines: usize,
}

impl Module {
    /// Whether it has a line `mod name;`.
    fn declares(&self, name: &str) -> bool {
        let is_it = |three: &[Token]| three[0].text == "mod" && three[1].text == name && three[2].text == ";";
        self.tokens.windows(3).any(is_it)
    }
}

/// A path as it stands in a file, from the module that it stands in.
struct Reference {
    /// Modules within the file, from the outside in.
    within: Vec<String>,
    path: Vec<String>,
    /// The name that a `use` gives to it; `None` for a path elsewhere.
    name: Option<String>,
}

impl Sources {
    /// Reads a crate's files; `root` is the repository.
    fn read(root: &Path, folder: &str) -> Result<Self> {
        let mut sources = Self::default();
        let top = root.join(folder);
        let mut folders = vec![top.clone()];
        while let Some(path) = folders.pop() {
            for entry in fs::read_dir(&path).with_context(|| format!("cannot read {}", path.display()))? {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("tests.rs") {
                    let text = fs::read_to_string(&path)?;
                    let inside = path.strip_prefix(&top)?.to_owned();
                    sources.add(&inside, format!("{folder}/{}", inside.display()), &text);
                }
            }
        }
        // A module that its parent declares for tests alone.
        let for_tests: Vec<Vec<String>> = (sources.modules.iter())
            .flat_map(|(path, module)| declared_for_tests(path, &module.tokens))
            .collect();
        sources.modules.retain(|path, _| !for_tests.iter().any(|test| path.starts_with(test)));
        for module in sources.modules.values_mut() {
            let all = std::mem::take(&mut module.tokens);
            let (tokens, test_lines) = without_tests(all);
            (module.tokens, module.lines) = (tokens, module.lines - test_lines);
        }
        Ok(sources)
    }

    fn add(&mut self, inside: &Path, file: String, text: &str) {
        let mut path: Vec<String> = inside.with_extension("").iter().map(shown).collect();
        if path.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
            path.pop();
        }
        self.modules.insert(path, Module { file, tokens: tokens(text), lines: text.lines().count() });
    }

    fn lines(&self) -> impl Iterator<Item = (&str, usize)> {
        self.modules.values().map(|module| (module.file.as_str(), module.lines))
    }

    fn needs(&self) -> Needs {
        let references: BTreeMap<&Vec<String>, Vec<Reference>> =
            self.modules.iter().map(|(path, module)| (path, self.references(path, &module.tokens))).collect();
        let passed_on = |module: &[String], name: &str| {
            let of = references.get(&module.to_vec())?;
            let found = of.iter().find(|one| one.within.is_empty() && one.name.as_deref() == Some(name));
            found.map(|one| absolute(module, &one.within, &one.path))
        };
        let mut needs = Needs::new();
        for (from, of) in &references {
            let Some(module) = self.modules.get(*from) else { continue };
            for reference in of {
                let path = absolute(from, &reference.within, &reference.path);
                let Some(to) = self.file_of(path, &passed_on) else { continue };
                if to != module.file {
                    let by = if reference.name.is_some() { "use " } else { "" };
                    let path = format!("{by}{}", reference.path.join("::"));
                    needs.entry(module.file.clone()).or_default().entry(to.to_owned()).or_insert(path);
                }
            }
        }
        needs
    }

    /// The file that a path leads to: that of the longest part of it that is a module, or that a module
    /// passes on.
    fn file_of(
        &self,
        mut path: Vec<String>,
        passed_on: &impl Fn(&[String], &str) -> Option<Vec<String>>,
    ) -> Option<&str> {
        // More names than this are not passed on one by the other.
        for _ in 0..16 {
            let modules = (0..=path.len()).rev().find(|count| self.modules.contains_key(&path[..*count]))?;
            let module = self.modules.get(&path[..modules])?;
            // A module whose file lies elsewhere (`#[path = "…"] mod name;`) leads out of the crate's folder.
            if path.get(modules).is_some_and(|name| module.declares(name)) {
                return None;
            }
            let next = path.get(modules).and_then(|name| passed_on(&path[..modules], name));
            match next {
                Some(next) => path = next.into_iter().chain(path.drain(modules + 1..)).collect(),
                None => return Some(module.file.as_str()),
            }
        }
        None
    }

    /// Every path in a file that may lead into another one.
    fn references(&self, module: &[String], tokens: &[Token]) -> Vec<Reference> {
        let may_lead_out = |within: &[String], first: &str| {
            let child = [module, within, &[first.to_owned()]].concat();
            ["crate", "super", "self"].contains(&first) || self.modules.contains_key(&child)
        };
        let (mut found, mut within, mut depth) = (Vec::new(), Vec::new(), 0_usize);
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            let next = |offset: usize| tokens.get(at + offset).map_or("", |token| token.text.as_str());
            let before =
                at.checked_sub(1).and_then(|at| tokens.get(at)).map_or("", |token| token.text.as_str());
            let inner: Vec<String> = within.iter().map(|(name, _): &(String, usize)| name.clone()).collect();
            match token.text.as_str() {
                "{" => depth += 1,
                "}" => {
                    depth = depth.saturating_sub(1);
                    within.pop_if(|(_, inside)| *inside > depth);
                }
                "mod" if next(2) == "{" => {
                    within.push((next(1).to_owned(), depth + 1));
                    (at, depth) = (at + 2, depth + 1);
                }
                "use" if before != "$" => {
                    let end = tokens.iter().skip(at).position(|token| token.text == ";");
                    let end = end.map_or(tokens.len(), |length| at + length);
                    for (path, name) in used(&tokens[at + 1..end]) {
                        let first = path.first().map_or("", String::as_str);
                        if may_lead_out(&inner, first) {
                            found.push(Reference { within: inner.clone(), path, name: Some(name) });
                        }
                    }
                    at = end;
                }
                first
                    if next(1) == "::"
                        && !["::", "$", "."].contains(&before)
                        && may_lead_out(&inner, first) =>
                {
                    let path = path_at(&tokens[at..]);
                    found.push(Reference { within: inner, path, name: None });
                }
                _ => {}
            }
            at += 1;
        }
        found
    }
}

/// The path that begins here, as far as its names go: `a::b` of `a::b::<T>()`.
fn path_at(tokens: &[Token]) -> Vec<String> {
    let names = tokens.iter().step_by(2).take_while(|token| token.is_word());
    let count = 1 + tokens.iter().skip(1).step_by(2).take_while(|token| token.text == "::").count();
    names.take(count).map(|token| token.text.clone()).collect()
}

/// The paths of one `use`, each with the name that it gives.
fn used(tokens: &[Token]) -> Vec<(Vec<String>, String)> {
    let (mut path, mut found, mut at) = (Vec::<String>::new(), Vec::new(), 0);
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            "::" => {}
            // A macro's part.
            "$" => return found,
            "{" => {
                let mut depth = 0;
                let end = tokens.iter().skip(at).position(|token| {
                    depth += i32::from(token.text == "{") - i32::from(token.text == "}");
                    depth == 0
                });
                let inside = &tokens[at + 1..end.map_or(tokens.len(), |length| at + length)];
                for part in split_at_commas(inside) {
                    found.extend(used(part).into_iter().map(|(rest, name)| {
                        // `{self}` is the path before the brace.
                        let rest = rest.into_iter().filter(|name| path.is_empty() || name != "self");
                        let whole: Vec<String> = path.iter().cloned().chain(rest).collect();
                        let name = if name == "self" { whole.last().cloned().unwrap_or(name) } else { name };
                        (whole, name)
                    }));
                }
                return found;
            }
            "as" => {
                let name = tokens.get(at + 1).map_or_else(String::new, |token| token.text.clone());
                return vec![(path, name)];
            }
            name => path.push(name.to_owned()),
        }
        at += 1;
    }
    let name = path.last().cloned().unwrap_or_default();
    if name == "*" {
        path.pop();
    }
    if path.is_empty() { found } else { vec![(path, name)] }
}

fn split_at_commas(tokens: &[Token]) -> Vec<&[Token]> {
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (at, token) in tokens.iter().enumerate() {
        match token.text.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            "," if depth == 0 => {
                parts.push(&tokens[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&tokens[start..]);
    parts
}

/// A path from the crate's root.
fn absolute(module: &[String], within: &[String], path: &[String]) -> Vec<String> {
    let mut base: Vec<String> = module.iter().chain(within).cloned().collect();
    let mut rest = path.iter().peekable();
    match rest.peek().map_or("", |name| name.as_str()) {
        "crate" => {
            base.clear();
            rest.next();
        }
        "self" => drop(rest.next()),
        _ => {
            while rest.next_if(|name| *name == "super").is_some() {
                base.pop();
            }
        }
    }
    base.extend(rest.cloned());
    base
}

/// The children that a file declares under `#[cfg(test)]`, by their module paths.
fn declared_for_tests(module: &[String], tokens: &[Token]) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for at in 0..tokens.len() {
        let Some(item) = is_test_only(&tokens[at..]) else { continue };
        let item: Vec<&str> = item.iter().map(|token| token.text.as_str()).collect();
        if let Some(at) = item.iter().position(|text| *text == "mod")
            && item.get(at + 2) == Some(&";")
        {
            found.push(module.iter().cloned().chain([item[at + 1].to_owned()]).collect());
        }
    }
    found
}

/// A file's tokens without the items that only tests see, and how many lines those take.
fn without_tests(tokens: Vec<Token>) -> (Vec<Token>, usize) {
    let (mut kept, mut lines, mut at) = (Vec::new(), 0, 0);
    while at < tokens.len() {
        match is_test_only(&tokens[at..]) {
            Some(item) => {
                let (first, last) = (item.first(), item.last());
                lines += last.zip(first).map_or(0, |(last, first)| last.line + 1 - first.line);
                at += item.len();
            }
            None => {
                kept.push(tokens[at].clone());
                at += 1;
            }
        }
    }
    (kept, lines)
}

/// The strongly connected components of more than one file, each sorted (Tarjan 1972 says how to find them in
/// linear time; here a file belongs to another's circle if each can be reached from the other, which is quick
/// enough for 100 files).
fn circles(needs: &Needs) -> Vec<Vec<String>> {
    let reached: BTreeMap<&String, BTreeSet<&String>> = needs
        .keys()
        .map(|from| {
            let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
            while let Some(file) = open.pop() {
                for to in needs.get(file).into_iter().flat_map(BTreeMap::keys) {
                    if seen.insert(to) {
                        open.push(to);
                    }
                }
            }
            (from, seen)
        })
        .collect();
    let mut found = BTreeSet::new();
    for (file, from_here) in &reached {
        let is_mutual = |other: &&&String| reached.get(**other).is_some_and(|back| back.contains(*file));
        let circle: Vec<String> = from_here.iter().filter(is_mutual).map(|file| (*file).clone()).collect();
        if circle.len() > 1 {
            found.insert(circle);
        }
    }
    found.into_iter().collect()
}

fn shown(part: &std::ffi::OsStr) -> String {
    PathBuf::from(part).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<Vec<String>> {
        let mut sources = Sources::default();
        for (file, text) in files {
            sources.add(Path::new(file), (*file).to_owned(), text);
        }
        for module in sources.modules.values_mut() {
            module.tokens = without_tests(std::mem::take(&mut module.tokens)).0;
        }
        circles(&sources.needs())
    }

    #[test]
    fn two_files_that_use_each_other_are_a_circle() {
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "use crate::{b::{self, B}, other};"),
            ("b.rs", "use super::a::A;"),
        ];

        assert_eq!(vec![vec!["a.rs", "b.rs"]], found(&files));
    }

    #[test]
    fn a_child_that_uses_its_parent_is_a_circle_if_that_uses_the_child() {
        let parent = "mod child; pub struct P; fn f() { child::g() }";
        let files = [("lib.rs", "mod p;"), ("p/mod.rs", parent), ("p/child.rs", "use super::P;")];
        assert_eq!(vec![vec!["p/child.rs", "p/mod.rs"]], found(&files));

        let files = [("lib.rs", "mod p;"), ("p/mod.rs", "mod child; pub struct P;"), files[2]];
        assert!(found(&files).is_empty());
    }

    #[test]
    fn a_name_that_is_passed_on_leads_to_the_file_that_has_it() {
        let files = [
            ("lib.rs", "mod p;"),
            ("p/mod.rs", "mod a; mod b; pub use a::A; pub use self::b::B as C;"),
            ("p/a.rs", "pub struct A;"),
            ("p/b.rs", "use super::A; pub struct B;"),
        ];

        assert!(found(&files).is_empty());
    }

    #[test]
    fn a_path_without_use_counts_and_tests_do_not() {
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "fn f() { let s = \"{\"; crate::b::g(); }"),
            ("b.rs", "#[cfg(test)] mod tests { use crate::a; fn f() {} } // use crate::a;"),
        ];
        assert!(found(&files).is_empty());

        let files = [files[0], files[1], ("b.rs", "fn g() { super::a::f(); }")];
        assert_eq!(vec![vec!["a.rs", "b.rs"]], found(&files));
    }

    #[test]
    fn super_within_a_module_of_the_file_is_the_file() {
        let files = [("lib.rs", "mod a; use a::A;"), ("a.rs", "pub struct A; mod inner { use super::A; }")];

        assert!(found(&files).is_empty());
    }

    #[test]
    fn a_module_whose_file_lies_elsewhere_leads_out() {
        let root = "#[path = \"../x/table.rs\"] mod table; mod a; fn f() { a::g() }";
        let files = [("lib.rs", root), ("a.rs", "use crate::table; pub fn g() {}")];

        assert!(found(&files).is_empty());
    }

    #[test]
    fn lines_of_tests_do_not_count() {
        let text = "fn f() {}\n\n#[cfg(test)]\nmod tests {\n    fn g() {}\n}\n";

        assert_eq!(4, without_tests(tokens(text)).1);
    }
}
