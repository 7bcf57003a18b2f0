//! `-e`, `-P`, `--exe`, `--pid`, `--failed`: conditions for those who do not want to write one.
//!
//! Values of one selector are alternatives; selectors, and `--filter` beside them, must all hold.

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use wire::schema::EVENTS;

use super::fields::FIELDS;
use super::filter;
use crate::shell::failure::Failure;

/// The selectors and filters of a command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selectors {
    /// Events by name, or by the first part of it.
    pub events: Vec<String>,
    /// Paths, with what lies below them.
    pub paths: Vec<OsString>,
    /// Programs by the name of the image or of the process, or by the image's path.
    pub programs: Vec<OsString>,
    /// Processes.
    pub pids: Vec<u32>,
    /// Only calls that failed.
    pub is_failed: bool,
    /// Conditions.
    pub filters: Vec<String>,
}

impl Selectors {
    /// All of them as one condition; `None` where there is none. Fails with status 64.
    pub fn condition(&self) -> Result<Option<String>, Failure> {
        let mut parts = Vec::new();
        if !self.events.is_empty() {
            parts.push(events(&self.events)?);
        }
        let any = |values: &[OsString], what: &str, of: fn(&str) -> Result<String, Failure>| {
            let text = |value: &OsString| {
                // Such a value cannot be quoted: a backslash before a quote belongs to the quote.
                if value.as_encoded_bytes().ends_with(b"\\") {
                    let shown = value.display();
                    return Err(Failure::usage(format!(
                        "{what} '{shown}' ends in a backslash; give a --filter with a glob"
                    )));
                }
                let text = value.to_str().ok_or_else(|| {
                    let shown = value.display();
                    Failure::usage(format!("{what} '{shown}' is not UTF-8; give a --filter with a glob"))
                });
                text.and_then(of)
            };
            values.iter().map(text).collect::<Result<Vec<String>, Failure>>().map(|any| any.join(" or "))
        };
        if !self.paths.is_empty() {
            parts.push(any(&self.paths, "-P", below)?);
        }
        if !self.programs.is_empty() {
            parts.push(any(&self.programs, "--exe", program)?);
        }
        if !self.pids.is_empty() {
            let pids: Vec<String> = self.pids.iter().map(u32::to_string).collect();
            parts.push(format!("proc.pid in ({})", pids.join(", ")));
        }
        if self.is_failed {
            parts.push("gb.error exists".to_owned());
        }
        for condition in &self.filters {
            filter::compiled(condition, &*FIELDS)
                .map_err(|error| Failure::usage(format!("--filter '{condition}': {error}")))?;
            parts.push(condition.clone());
        }
        match parts.as_slice() {
            [] => Ok(None),
            [only] => Ok(Some(only.clone())),
            several => {
                let bracketed: Vec<String> = several.iter().map(|part| format!("({part})")).collect();
                Ok(Some(bracketed.join(" and ")))
            }
        }
    }
}

fn noun(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

fn events(wanted: &[String]) -> Result<String, Failure> {
    let (mut names, mut nouns): (Vec<&str>, Vec<&str>) = Default::default();
    for name in wanted {
        if EVENTS.iter().any(|spec| spec.name == name) {
            names.push(name);
        } else if EVENTS.iter().any(|spec| noun(spec.name) == name) {
            nouns.push(name);
        } else {
            return Err(Failure::usage(format!("unknown event '{name}' in -e; {}", advice(name))));
        }
    }
    let list = |field: &str, names: &[&str]| {
        (!names.is_empty()).then(|| format!("{field} in ({})", names.join(", ")))
    };
    let parts: Vec<String> = list("gb.event", &names).into_iter().chain(list("gb.noun", &nouns)).collect();
    Ok(parts.join(" or "))
}

/// What was probably meant: the event whose name begins most like it.
fn advice(name: &str) -> String {
    let shared =
        |known: &str| known.bytes().zip(name.bytes()).take_while(|(one, other)| one == other).count();
    match EVENTS.iter().map(|spec| (shared(spec.name), spec.name)).max_by_key(|(shared, _)| *shared) {
        Some((3.., known)) => format!("did you mean '{known}'?"),
        _ => {
            let mut nouns: Vec<&str> = EVENTS.iter().map(|spec| noun(spec.name)).collect();
            nouns.dedup();
            format!("give one of docs/events.md, or {}", nouns.join(", "))
        }
    }
}

/// The condition for a path and what lies below it.
fn below(path: &str) -> Result<String, Failure> {
    if path.is_empty() {
        return Err(Failure::usage("-P needs a path"));
    }
    let Ok(absolute) = std::path::absolute(path) else {
        return Err(Failure::usage(format!("-P '{path}' cannot be made absolute; give an absolute path")));
    };
    match normal(&absolute).to_str() {
        None => Err(Failure::usage("the current directory is not UTF-8; give -P an absolute path")),
        Some("/") => Ok("gb.paths startswith \"/\"".to_owned()),
        Some(path) => {
            Ok(format!("gb.paths = {} or gb.paths startswith {}", quoted(path), quoted(&format!("{path}/"))))
        }
    }
}

/// Without `.` and `..`, as events have paths.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                normal.pop();
            }
            Component::CurDir => {}
            other => normal.push(other),
        }
    }
    normal
}

fn program(name: &str) -> Result<String, Failure> {
    let value = quoted(name);
    match name.contains('/') {
        true => Ok(format!("proc.exepath = {value}")),
        false => Ok(format!("gb.exe.name = {value} or proc.name = {value}")),
    }
}

/// A value as conditions quote it.
fn quoted(value: &str) -> String {
    let mut quoted = String::from('"');
    for letter in value.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(selectors: Selectors) -> String {
        selectors.condition().unwrap().unwrap()
    }

    #[test]
    fn selectors_are_conditions() {
        let events = Selectors { events: vec!["file.open".into(), "net".into()], ..Selectors::default() };
        let paths = Selectors { paths: vec!["/etc/./x/../ssl/".into()], ..Selectors::default() };
        let programs = Selectors { programs: vec!["curl".into(), "/bin/sh".into()], ..Selectors::default() };
        let pids = Selectors { pids: vec![7, 8], ..Selectors::default() };
        let failed = Selectors { is_failed: true, ..Selectors::default() };

        assert_eq!("gb.event in (file.open) or gb.noun in (net)", condition(events));
        assert_eq!("gb.paths = \"/etc/ssl\" or gb.paths startswith \"/etc/ssl/\"", condition(paths));
        assert_eq!(
            "gb.exe.name = \"curl\" or proc.name = \"curl\" or proc.exepath = \"/bin/sh\"",
            condition(programs)
        );
        assert_eq!("proc.pid in (7, 8)", condition(pids));
        assert_eq!("gb.error exists", condition(failed));
        assert_eq!(None, Selectors::default().condition().unwrap());
    }

    #[test]
    fn several_must_all_hold_and_compile() {
        let all = Selectors {
            events: vec!["file".into()],
            paths: vec!["/a \"b\\c".into()],
            programs: vec!["x".into()],
            pids: vec![1],
            is_failed: true,
            filters: vec!["evt.type = open or evt.type = openat".into(), "proc.name != y".into()],
        };

        let condition = condition(all);

        assert_eq!(
            "(gb.noun in (file)) and (gb.paths = \"/a \\\"b\\\\c\" or gb.paths startswith \"/a \\\"b\\\\c/\") and \
             (gb.exe.name = \"x\" or proc.name = \"x\") and (proc.pid in (1)) and (gb.error exists) and \
             (evt.type = open or evt.type = openat) and (proc.name != y)",
            condition
        );
        assert!(
            filter::compiled(&condition, &*FIELDS).is_ok(),
            "{:?}",
            filter::compiled(&condition, &*FIELDS)
        );
    }

    #[test]
    fn unknown_event_says_what_was_probably_meant() {
        let of = |name: &str| {
            let selectors = Selectors { events: vec![name.into()], ..Selectors::default() };
            selectors.condition().unwrap_err().to_string()
        };

        assert_eq!("unknown event 'file.opn' in -e; did you mean 'file.open'?", of("file.opn"));
        assert!(
            of("xyz").contains("or process, file, net, dns, lib, memory, kernel, fd, sensor"),
            "{}",
            of("xyz")
        );
    }

    #[test]
    fn wrong_condition_is_wrong_usage_with_its_byte() {
        let selectors = Selectors { filters: vec!["evt.type = ".into()], ..Selectors::default() };

        let failure = selectors.condition().unwrap_err();

        assert_eq!(64, failure.status());
        assert!(failure.to_string().starts_with("--filter 'evt.type = ': byte 11: "), "{failure}");
    }
}
