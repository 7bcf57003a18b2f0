//! The traces of a run, as text under headings, and their comparison with another run's.
//!
//! Everything that is compared is text: the status, both outputs, each file, and the state that `/proc`
//! showed in the process's last moment. So one comparison serves for victims, whose bare runs are all the
//! same byte for byte, and for real programs, for which [`Expected`] first learns from several bare runs
//! which lines are steady.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

use crate::child::{Ending, escaped};

/// A file longer than this is compared by its hash.
const LONGEST_FILE: usize = 1 << 20;

/// The traces of one run: text, by the name of the part.
pub type Parts = BTreeMap<String, String>;

/// The parts that the parent sees: the status and the output.
pub fn ending_parts(ending: &Ending) -> Parts {
    let parts = [
        ("status", format!("{:?}", ending.status)),
        ("stdout", without_ours(&ending.stdout)),
        ("stderr", without_the_loaders(&ending.stderr)),
    ];
    parts.into_iter().map(|(name, text)| (name.to_owned(), text)).collect()
}

/// Removes the complaints of the host shell's own loader about a sensor for another machine, when that
/// machine is tested.
fn without_the_loaders(text: &str) -> String {
    let is_emulated = std::env::var_os("GLASSBOX_TESTS_EMULATED").is_some();
    let is_the_loaders = |line: &str| line.starts_with("ERROR: ld.so: object") && line.contains("LD_PRELOAD");
    text.split_inclusive('\n').filter(|line| !(is_emulated && is_the_loaders(line))).collect()
}

/// The parts that lie in a folder, as [`files`] found them.
pub fn file_parts(files: &BTreeMap<String, String>, modes: &str) -> Parts {
    let contents = files.iter().map(|(name, content)| (format!("file {name:?}"), content.clone()));
    contents.chain([("names and modes of files".to_owned(), modes.to_owned())]).collect()
}

/// The content of all files under `dir` by their relative names, and a line `MODE NAME` for each.
pub fn files(dir: &Path) -> (BTreeMap<String, String>, String) {
    let mut found = BTreeMap::new();
    collect(dir, "", &mut found);
    let modes = found.iter().map(|(name, (mode, _))| format!("{mode:06o} {name}\n")).collect();
    (found.into_iter().map(|(name, (_, content))| (name, content)).collect(), modes)
}

fn collect(dir: &Path, prefix: &str, found: &mut BTreeMap<String, (u32, String)>) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let name = format!("{prefix}{}", escaped(entry.file_name().as_encoded_bytes()));
        let Ok(status) = entry.metadata() else { continue };
        let kind = status.file_type();
        let content = if kind.is_dir() {
            collect(&entry.path(), &format!("{name}/"), found);
            "(directory)".to_owned()
        } else if kind.is_file() {
            content(&fs::read(entry.path()).unwrap_or_default())
        } else if kind.is_fifo() || kind.is_socket() {
            "(special)".to_owned()
        } else {
            fs::read_link(entry.path()).map(|to| format!("-> {}", to.display())).unwrap_or_default()
        };
        found.insert(name, (status.permissions().mode(), content));
    }
}

fn content(bytes: &[u8]) -> String {
    if bytes.len() <= LONGEST_FILE {
        return escaped(bytes);
    }
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    format!("({} bytes, hash {:016x})", bytes.len(), hasher.finish())
}

/// Removes the sensor's variables from a printed environment: lines `NAME=…`, and those with `env NAME=…`.
///
/// The sensor's entry in an LD_PRELOAD list is removed; other entries stay.
pub fn without_ours(text: &str) -> String {
    text.split_inclusive('\n').filter_map(kept_line).collect()
}

fn kept_line(line: &str) -> Option<String> {
    let (before, variable) = match line.split_once("env ") {
        Some((before, variable)) => (format!("{before}env "), variable),
        None => (String::new(), line),
    };
    if ["GLASSBOX=", "GLASSBOX_"].iter().any(|ours| variable.starts_with(ours)) {
        return None;
    }
    let Some(list) = variable.strip_prefix("LD_PRELOAD=") else { return Some(line.to_owned()) };
    let is_other = |entry: &&str| !entry.ends_with("/libglassbox.so") && !entry.ends_with("/libempty.so");
    let others: Vec<&str> = list.trim_end_matches('\n').split([':', ' ']).filter(is_other).collect();
    match others.as_slice() {
        [] | [""] => None,
        others => Some(format!("{before}LD_PRELOAD={}\n", others.join(":"))),
    }
}

/// The traces that every run must leave, learnt from bare runs.
#[derive(Debug, Default)]
pub struct Expected {
    parts: BTreeMap<String, Text>,
    /// Whether all runs had the same parts.
    is_complete: bool,
    unsteady: usize,
}

/// One part, over several runs.
#[derive(Debug)]
enum Text {
    /// All runs had the same number of lines; `None` is a line that was not the same in all.
    Lines(Vec<Option<String>>),
    /// The runs had different numbers of lines; these were in all of them.
    Common(Vec<String>),
}

impl Expected {
    /// The traces that are the same in all of `runs`; everything, if there is one run.
    pub fn of(runs: &[Parts]) -> Expected {
        let Some((first, rest)) = runs.split_first() else { return Expected::default() };
        let mut expected = Expected { is_complete: true, ..Expected::default() };
        for (name, text) in first {
            let others: Option<Vec<&String>> = rest.iter().map(|run| run.get(name)).collect();
            match others {
                Some(others) => {
                    let (text, unsteady) = Text::of(text, &others);
                    expected.unsteady += unsteady;
                    expected.parts.insert(name.clone(), text);
                }
                None => expected.is_complete = false,
            }
        }
        expected.is_complete &= rest.iter().all(|run| run.len() == first.len());
        expected
    }

    /// The number of lines that differ between the learnt runs and are not compared.
    pub fn unsteady(&self) -> usize {
        self.unsteady
    }

    /// The differences of `run`: one sentence for each part that differs.
    pub fn differences(&self, run: &Parts) -> Vec<String> {
        let mut differences = Vec::new();
        for (name, expected) in &self.parts {
            match run.get(name) {
                None => differences.push(format!("left no {name}, bare it did")),
                Some(text) => {
                    differences.extend(expected.difference(text).map(|line| format!("{name} {line}")))
                }
            }
        }
        if self.is_complete {
            let added = run.keys().filter(|name| !self.parts.contains_key(*name));
            differences.extend(added.map(|name| format!("left {name}, bare it did not")));
        }
        differences
    }
}

impl Text {
    /// The steady text, and the number of lines that are not steady.
    fn of(first: &str, others: &[&String]) -> (Text, usize) {
        let lines = lines(first);
        let others: Vec<Vec<&str>> = others.iter().map(|text| self::lines(text)).collect();
        if others.iter().all(|other| other.len() == lines.len()) {
            let steady = lines.iter().enumerate().map(|(at, &line)| {
                others.iter().all(|other| other.get(at) == Some(&line)).then(|| line.to_owned())
            });
            let steady: Vec<Option<String>> = steady.collect();
            let unsteady = steady.iter().filter(|line| line.is_none()).count();
            return (Text::Lines(steady), unsteady);
        }
        let mut common: Vec<String> = Vec::new();
        let mut left: Vec<BTreeMap<&str, usize>> = others.iter().map(|other| counted(other)).collect();
        for line in &lines {
            let is_in_all = left.iter_mut().all(|counts| match counts.get_mut(line) {
                Some(count) if *count > 0 => {
                    *count -= 1;
                    true
                }
                _ => false,
            });
            if is_in_all {
                common.push((*line).to_owned());
            }
        }
        let longest = others.iter().map(Vec::len).chain([lines.len()]).max().unwrap_or(0);
        let unsteady = longest - common.len();
        (Text::Common(common), unsteady)
    }

    fn difference(&self, found: &str) -> Option<String> {
        let found = lines(found);
        match self {
            Text::Lines(expected) => {
                let longer = expected.len().max(found.len());
                let at = (0..longer).find(|&at| match (expected.get(at), found.get(at)) {
                    (Some(None), Some(_)) => false,
                    (Some(Some(expected)), Some(found)) => expected != found,
                    _ => true,
                })?;
                let bare = expected.get(at).map(|line| line.as_deref().unwrap_or("(differs)"));
                Some(format!(
                    "line {}: {:?}, bare {:?}",
                    at + 1,
                    found.get(at).map(|line| short(line)),
                    bare.map(short)
                ))
            }
            Text::Common(expected) => {
                let mut counts = counted(&found);
                let missing = expected.iter().find(|line| match counts.get_mut(line.as_str()) {
                    Some(count) if *count > 0 => {
                        *count -= 1;
                        false
                    }
                    _ => true,
                })?;
                Some(format!("lacks {:?}", short(missing)))
            }
        }
    }
}

/// The lines of a text. Bytes with a NUL are not text, and a line end in them may be part of any number, so
/// they are one line.
fn lines(text: &str) -> Vec<&str> {
    match text.contains('\0') {
        true => vec![text],
        false => text.split_inclusive('\n').collect(),
    }
}

fn counted<'a>(lines: &[&'a str]) -> BTreeMap<&'a str, usize> {
    let mut counts = BTreeMap::new();
    for line in lines {
        *counts.entry(*line).or_insert(0) += 1;
    }
    counts
}

fn short(line: &str) -> String {
    line.trim_end_matches('\n').chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(of: &[(&str, &str)]) -> Parts {
        of.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn our_variables_are_taken_out_of_a_printed_environment_and_others_stay() {
        assert_eq!(None, kept_line("env LD_PRELOAD=/x/libglassbox.so\n"));
        assert_eq!(None, kept_line("child env GLASSBOX_SOCKET=@x\n"));
        assert_eq!(None, kept_line("GLASSBOX_SOCKET=@x\n"));
        assert_eq!(
            Some("env LD_PRELOAD=libm.so.6\n".to_owned()),
            kept_line("env LD_PRELOAD=libm.so.6:/x/libglassbox.so\n")
        );
        assert_eq!(Some("env GLASSBOXY=1\n".to_owned()), kept_line("env GLASSBOXY=1\n"));
        assert_eq!(Some("text\n".to_owned()), kept_line("text\n"));
    }

    #[test]
    fn of_one_bare_run_everything_is_expected() {
        let expected = Expected::of(&[parts(&[("stdout", "a\nb\n")])]);

        let found = expected.differences(&parts(&[("stdout", "a\nx\n"), ("file", "")]));

        assert_eq!(
            vec![
                "stdout line 2: Some(\"x\"), bare Some(\"b\")".to_owned(),
                "left file, bare it did not".to_owned()
            ],
            found
        );
        assert_eq!(vec!["left no stdout, bare it did"], expected.differences(&parts(&[])));
    }

    #[test]
    fn a_missing_line_end_is_a_difference() {
        let expected = Expected::of(&[parts(&[("stdout", "a\n")])]);

        assert!(!expected.differences(&parts(&[("stdout", "a")])).is_empty());
    }

    #[test]
    fn lines_that_differ_between_bare_runs_are_counted_and_not_compared() {
        let expected =
            Expected::of(&[parts(&[("stdout", "pid 1\nend\n")]), parts(&[("stdout", "pid 2\nend\n")])]);

        assert_eq!(1, expected.unsteady());
        assert!(expected.differences(&parts(&[("stdout", "pid 3\nend\n")])).is_empty());
        assert!(!expected.differences(&parts(&[("stdout", "pid 3\n")])).is_empty());
        assert!(!expected.differences(&parts(&[("stdout", "pid 3\nEND\n")])).is_empty());
    }

    #[test]
    fn where_bare_runs_have_more_or_fewer_lines_the_common_ones_must_be_there() {
        let expected = Expected::of(&[parts(&[("stdout", "a\nb\n")]), parts(&[("stdout", "retry\na\nb\n")])]);

        assert!(expected.differences(&parts(&[("stdout", "retry\nretry\na\nb\n")])).is_empty());
        assert_eq!(vec!["stdout lacks \"b\""], expected.differences(&parts(&[("stdout", "a\n")])));
    }

    #[test]
    fn bytes_that_are_no_text_are_one_line_however_many_of_them_end_one() {
        let of = |runs: &[&str]| {
            Expected::of(&runs.iter().map(|run| parts(&[("file", run)])).collect::<Vec<Parts>>())
        };

        let differing = of(&["a\0\nb\n", "a\0xb\n"]);
        let same = of(&["a\0\nb\n", "a\0\nb\n"]);

        assert_eq!([1, 0], [differing.unsteady(), same.unsteady()]);
        assert!(differing.differences(&parts(&[("file", "a\0b\n\n\n")])).is_empty());
        assert!(!same.differences(&parts(&[("file", "a\0\nc\n")])).is_empty());
    }

    #[test]
    fn modes_of_files_are_part_of_what_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x");
        fs::write(&file, "text").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();

        let (files, modes) = files(dir.path());

        assert_eq!("text", files["x"]);
        assert_eq!("100640 x\n", modes);
    }
}
