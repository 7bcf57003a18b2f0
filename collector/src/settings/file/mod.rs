//! The configuration file: a YAML text becomes the values of settings, and everything that is wrong with it
//! is said with file, line and column.
//!
//! The table [`super::keys`] says which keys there are; [`outputs`] reads an output that is written as a
//! mapping, by the table of options. A relative path is one from the file's folder. Files of a stranger are
//! read (`glassbox config check`): size, nesting and aliases are bounded.

mod outputs;
mod yaml;

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::forms::Form;
use super::keys::{CONFIG_YAML, KEYS, Key};
use super::setting::{Found, Source, Values};
use crate::event::TextKind;
use crate::outputs::Output;
use crate::shell::failure::Failure;
use crate::stages::redact::redacted;

use outputs::Part;
use yaml::{Entries, Kind, Node, Place};

/// The file that is read where it exists and no other one is named.
pub const DEFAULT: &str = "/etc/glassbox/glassbox.yaml";

/// The longest text, in bytes.
pub const LONGEST: usize = 256 << 10;

/// A configuration file that was read.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// Its path as it was given, or the variable that holds its text.
    pub name: String,
    /// Whether it was asked for, and not only found at [`DEFAULT`].
    pub is_named: bool,
    /// What it sets.
    pub values: Values,
}

/// Something that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    place: Place,
    /// The file's name.
    file: String,
    message: String,
}

impl fmt::Display for Problem {
    /// `FILE:LINE:COLUMN: what is wrong and what to do`, without secrets of the file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.is_empty() {
            write!(f, "{}:", self.file)?;
        }
        write!(f, "{}: {}", self.place, masked(&self.message))
    }
}

/// A text without the secrets in it.
pub fn masked(text: &str) -> String {
    match redacted(TextKind::Plain, text.as_bytes()) {
        Some(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        None => text.to_owned(),
    }
}

impl Configuration {
    /// A file that somebody asked for. Fails with status 66 where it cannot be read, 65 where it is
    /// malformed.
    pub fn of_file(path: &Path) -> Result<Self, Failure> {
        let text = read_file(path, "give --config the path of a file")?;
        read(&text, &path.display().to_string(), Some(&folder(path))).map_err(failure)
    }

    /// The file that was found without being asked for.
    pub fn of_default_file(path: &Path) -> Result<Self, Failure> {
        let text = read_file(path, "make it readable, or go without it by --config /dev/null")?;
        let read = read(&text, &path.display().to_string(), Some(&folder(path))).map_err(failure)?;
        Ok(Self { is_named: false, ..read })
    }

    /// The text of [`CONFIG_YAML`].
    pub fn of_variable(text: &OsStr) -> Result<Self, Failure> {
        read(text.as_bytes(), CONFIG_YAML, None).map_err(failure)
    }
}

/// The first problem, for a command that cannot go on.
pub fn failure(problems: Vec<Problem>) -> Failure {
    let first = problems.first().map(Problem::to_string).unwrap_or_default();
    let more = match problems.len() {
        0 | 1 => String::new(),
        count => format!(" (and {} more; 'glassbox config check FILE' shows all)", count - 1),
    };
    Failure::malformed(format!("{first}{more}"))
}

/// The text of a file, as far as one may be long: [`read`] refuses what is longer. Fails with status 66.
pub fn read_file(path: &Path, remedy: &str) -> Result<Vec<u8>, Failure> {
    let failed = |error: std::io::Error| {
        Failure::missing(format!("cannot read the configuration '{}': {error}; {remedy}", path.display()))
    };
    let mut text = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(LONGEST as u64 + 1).read_to_end(&mut text).map_err(failed)?;
    Ok(text)
}

/// The folder that relative paths of a file begin in.
pub fn folder(path: &Path) -> PathBuf {
    std::path::absolute(path).ok().and_then(|path| Some(path.parent()?.to_path_buf())).unwrap_or_default()
}

/// Reads a text. Relative paths are put behind `folder`, or stay as they are. The problems are in the order
/// of the text.
pub fn read(text: &[u8], name: &str, folder: Option<&Path>) -> Result<Configuration, Vec<Problem>> {
    let mut reader = Reader::new(name, folder);
    if let Some(root) = reader.tree(text) {
        reader.section(&root, "");
    }
    match reader.problems.is_empty() {
        true => Ok(Configuration { name: name.to_owned(), is_named: true, values: reader.values }),
        false => {
            reader.problems.sort_by_key(|problem| problem.place);
            Err(reader.problems)
        }
    }
}

/// The values of a list that stands in a variable.
pub fn list(key: &'static Key, text: &str) -> Result<Vec<OsString>, String> {
    let mut reader = Reader::new("", None);
    if let Some(root) = reader.tree(text.as_bytes()) {
        reader.setting(key, &root);
    }
    match reader.problems.first() {
        Some(problem) => Err(problem.to_string()),
        None => Ok(reader.values.remove(key.name).map(|found| found.values).unwrap_or_default()),
    }
}

struct Reader<'f> {
    name: &'f str,
    folder: Option<&'f Path>,
    values: Values,
    problems: Vec<Problem>,
}

impl<'f> Reader<'f> {
    fn new(name: &'f str, folder: Option<&'f Path>) -> Self {
        Self { name, folder, values: Values::new(), problems: Vec::new() }
    }

    fn tree(&mut self, text: &[u8]) -> Option<Rc<Node>> {
        if text.len() > LONGEST {
            let most = LONGEST >> 10;
            self.wrong(Place::START, format!("longer than {most} KiB; no configuration is"));
            return None;
        }
        let text = match std::str::from_utf8(text) {
            Ok(text) => text,
            Err(error) => {
                let before = String::from_utf8_lossy(text.get(..error.valid_up_to()).unwrap_or_default());
                let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
                let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
                let number = |n| u32::try_from(n).unwrap_or(u32::MAX);
                let place = Place { line: number(line), column: number(column) };
                self.wrong(place, "not UTF-8; convert it");
                return None;
            }
        };
        match yaml::read(text) {
            Ok(root) => root,
            Err(fault) => {
                self.wrong(fault.place, fault.message);
                None
            }
        }
    }

    fn wrong(&mut self, place: Place, message: impl Into<String>) {
        self.problems.push(Problem { place, file: self.name.to_owned(), message: message.into() });
    }

    /// Reads the keys of a section; that without a name is the whole file.
    fn section(&mut self, node: &Node, section: &str) {
        let what = if section.is_empty() { "the file" } else { section };
        let entries = match &node.kind {
            Kind::Mapping(entries) => entries,
            Kind::Null => return,
            other => {
                let what = format!("{what} is {}, not a mapping; write KEY: VALUE lines", other.noun());
                return self.wrong(node.place, what);
            }
        };
        let mut seen = HashSet::new();
        for (key, value) in entries {
            let Some(name) = self.key(key, &mut seen) else { continue };
            if let Some(known) = KEYS.iter().find(|known| known.parts() == (section, name)) {
                self.setting(known, value);
            } else if section.is_empty()
                && !name.is_empty()
                && KEYS.iter().any(|known| known.parts().0 == name)
            {
                self.section(value, name);
            } else {
                let hint = hint(name, section);
                let within = if section.is_empty() { String::new() } else { format!(" in '{section}'") };
                self.wrong(key.place, format!("unknown key '{name}'{within}{hint}"));
            }
        }
    }

    /// The text of a key, which stands once in its mapping.
    fn key<'n>(&mut self, key: &'n Node, seen: &mut HashSet<&'n str>) -> Option<&'n str> {
        let Kind::Scalar(name) = &key.kind else {
            self.wrong(key.place, format!("a key is {}; write a word", key.kind.noun()));
            return None;
        };
        if !seen.insert(name) {
            self.wrong(key.place, format!("'{name}' is there twice; remove one of them"));
            return None;
        }
        Some(name)
    }

    fn setting(&mut self, key: &'static Key, node: &Node) {
        let before = self.problems.len();
        let values: Vec<OsString> = match &node.kind {
            Kind::Null => return,
            Kind::Sequence(items) if key.form.is_list() => {
                items.iter().filter_map(|item| self.value(key, item)).collect()
            }
            _ => self.value(key, node).into_iter().collect(),
        };
        if self.problems.len() > before || values.is_empty() {
            return;
        }
        if let Form::Outputs = key.form
            && let Err(failure) = Output::parse_all(&values, OsStr::new("human:-"))
        {
            return self.wrong(node.place, failure.to_string());
        }
        let source = Source::File(format!("{}:{}", self.name, node.place));
        self.values.insert(key.name, Found { values, source });
    }

    fn value(&mut self, key: &'static Key, node: &Node) -> Option<OsString> {
        let text = match (&node.kind, key.form) {
            (Kind::Scalar(text), Form::Outputs) => outputs::rooted(text, self.folder),
            (Kind::Mapping(entries), Form::Outputs) => return self.output(node, entries),
            (Kind::Scalar(text), Form::Path | Form::Paths) => self.path(text),
            (Kind::Scalar(text), _) => OsString::from(&**text),
            (other, form) => {
                let message = format!("{}: {} instead of {}", key.name, other.noun(), form.noun());
                self.wrong(node.place, format!("{message}; see 'glassbox config show'"));
                return None;
            }
        };
        match key.form.read(&text) {
            Ok(value) => Some(value),
            Err(why) => {
                let name = if let Form::Outputs = key.form { "" } else { key.name };
                let colon = if name.is_empty() { "" } else { ": " };
                self.wrong(node.place, format!("{name}{colon}{why}"));
                None
            }
        }
    }

    /// The output of a mapping as `-o` takes it.
    fn output(&mut self, node: &Node, entries: &Entries) -> Option<OsString> {
        let before = self.problems.len();
        let (mut parts, mut seen) = (Vec::new(), HashSet::new());
        for (key, value) in entries {
            let Some(name) = self.key(key, &mut seen) else { continue };
            match &value.kind {
                Kind::Scalar(text) => {
                    parts.push(Part { name, name_place: key.place, text, place: value.place });
                }
                Kind::Null => {}
                other => {
                    self.wrong(value.place, format!("{name}: {} instead of a text; write one", other.noun()));
                }
            }
        }
        if self.problems.len() > before {
            return None;
        }
        match outputs::of_parts(&parts, node.place, self.folder) {
            Ok(spec) => Some(spec),
            Err(wrong) => {
                wrong.into_iter().for_each(|(place, message)| self.wrong(place, message));
                None
            }
        }
    }

    fn path(&self, text: &str) -> OsString {
        match self.folder {
            Some(folder) => folder.join(text).into_os_string(),
            None => text.into(),
        }
    }
}

/// The end of a message about an unknown key: what was probably meant, or what there is.
fn hint(name: &str, section: &str) -> String {
    let here = KEYS.iter().filter_map(|key| match key.parts() {
        ("", key) if section.is_empty() => Some(key),
        (of, _) if section.is_empty() => Some(of),
        (of, key) if of == section => Some(key),
        _ => None,
    });
    let mut here: Vec<&str> = here.collect();
    here.dedup();
    let nearest = rules::did_you_mean(name, here.iter().copied());
    if !nearest.is_empty() {
        return nearest;
    }
    // A key of another section, or one that is written with its section: rules.files.
    let known = |key: &&Key| key.name == name || key.parts().1 == name;
    match KEYS.iter().find(known).map(Key::parts) {
        Some(("", key)) => format!("; write '{key}' without a section"),
        Some((section, key)) => format!("; write '{key}' in the section '{section}'"),
        None => format!("; there are {}", here.join(", ")),
    }
}

#[cfg(test)]
mod tests;
