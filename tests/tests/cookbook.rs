//! `docs/cookbook.md` shows what really comes out: every command in it runs here, in the order of the page.
//!
//! A block whose first line names a file (```` ```sh build.sh ````) is that file. A `console` block has
//! commands behind `$ `, each followed by all that it prints. With `GLASSBOX_GOLDEN=write` the test writes
//! the page anew instead.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use glassbox_tests::artefacts::{glassbox, root, sensor};

/// Where the page's user works, instead of the test's folder.
const HERE: &str = "/home/ada/project";
/// Where the page's user has glassbox, instead of another folder of the test's.
const INSTALLED: &str = "/opt/glassbox/bin";
/// Questions that the page answers.
const QUESTIONS: usize = 20;

/// A block of the page: the words behind its first fence, and its lines.
struct Block<'a> {
    info: &'a str,
    lines: Vec<&'a str>,
}

/// A part of the page.
enum Part<'a> {
    /// A line as it is.
    Line(&'a str),
    Block(Block<'a>),
}

fn parts(page: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        match line.strip_prefix("```") {
            Some(info) => {
                let lines = lines.by_ref().take_while(|line| *line != "```").collect();
                parts.push(Part::Block(Block { info, lines }));
            }
            None => parts.push(Part::Line(line)),
        }
    }
    parts
}

/// A folder in which a question is answered, as its user has it.
struct Desk {
    dir: tempfile::TempDir,
    bin: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let desk = Self { dir: tempfile::tempdir().unwrap(), bin: tempfile::tempdir().unwrap() };
        for artefact in [glassbox(), sensor()] {
            let name = artefact.file_name().unwrap();
            std::os::unix::fs::symlink(artefact, desk.bin.path().join(name)).unwrap();
        }
        desk
    }

    fn write(&self, name: &str, lines: &[&str]) {
        let path = self.dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, lines.join("\n") + "\n").unwrap();
        let mode = if name.ends_with(".sh") { 0o755 } else { 0o644 };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    /// What a command prints, as the page shows it.
    fn run(&self, command: &str) -> String {
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", self.bin.path().display());
        let output = Command::new("sh")
            .args(["-c", &format!("exec 2>&1\n{command}\n")])
            .current_dir(self.dir.path())
            .env_clear()
            .envs([("PATH", path.as_str()), ("LANG", "C.UTF-8"), ("COLUMNS", "100")])
            .envs([("HOME", self.dir.path()), ("GLASSBOX_LIB", sensor())])
            .stdin(Stdio::null())
            .output()
            .expect("sh starts");
        let text = String::from_utf8(output.stdout).expect("text");
        let text = text.replace(&self.dir.path().display().to_string(), HERE);
        let text = text.replace(&self.bin.path().display().to_string(), INSTALLED);
        text.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
    }
}

/// The text without what differs from run to run: times, numbers of processes and ports, widths of columns.
fn canonical(text: &str) -> Vec<String> {
    text.lines().map(|line| words(line).join(" ")).filter(|line| !line.is_empty()).collect()
}

fn words(line: &str) -> Vec<String> {
    const UNITS: [&str; 5] = ["ns", "µs", "us", "ms", "s"];
    let is_number = |word: &str| {
        word.starts_with(|first: char| first.is_ascii_digit())
            && word.chars().all(|letter| letter.is_ascii_digit() || letter == '.')
    };
    let is_time = |word: &str| {
        UNITS.iter().any(|unit| word.strip_suffix(unit).is_some_and(is_number))
            || (word.len() >= 8
                && word.chars().all(|letter| letter.is_ascii_digit() || ":.TZ-".contains(letter)))
    };
    let apart = |letter: char| letter.is_whitespace() || "=(),:->".contains(letter);
    let mut words: Vec<String> = Vec::new();
    let mut all = line.split_whitespace().peekable();
    while let Some(word) = all.next() {
        if is_time(word.trim_matches(apart)) {
            words.push("TIME".to_owned());
            continue;
        }
        if UNITS.contains(&word.trim_end_matches(apart))
            && words.last().is_some_and(|last| last == "N" || is_number(last))
        {
            words.pop();
            words.push("TIME".to_owned());
            continue;
        }
        let is_unit = |next: &&str| ["B", "kB", "MB", "%"].contains(&next.trim_end_matches(apart));
        if is_number(word) && all.peek().is_some_and(is_unit) {
            words.push(word.to_owned());
            continue;
        }
        for piece in word.split_inclusive(apart) {
            let core = piece.trim_end_matches(apart);
            let piece = if is_time(core) {
                piece.replace(core, "TIME")
            } else if core.len() > 1 && is_number(core) {
                piece.replace(core, "N")
            } else {
                piece.to_owned()
            };
            words.push(piece);
        }
    }
    words
}

/// The block again, with what its commands print now. In a block of commands each begins with `$ `; lines
/// behind `> ` go on with it.
fn answered(desk: &Desk, block: &Block<'_>) -> String {
    let mut out = String::new();
    let mut lines = block.lines.iter().peekable();
    while let Some(line) = lines.next() {
        let Some(first) = line.strip_prefix("$ ") else { continue };
        let mut command = first.to_owned();
        out += &format!("{line}\n");
        while let Some(more) = lines.peek().and_then(|line| line.strip_prefix("> ")) {
            command += &format!("\n{more}");
            out += &format!("> {more}\n");
            lines.next();
        }
        out += &desk.run(&command);
    }
    out
}

#[test]
fn every_answer_is_what_the_command_prints() {
    let path = root().join("docs/cookbook.md");
    let page = fs::read_to_string(&path).expect("the page is there");
    let (mut desk, mut questions, mut answers) = (Desk::new(), 0, 0);
    let (mut written, mut wrong) = (String::new(), Vec::new());
    let mut question = "";
    for part in parts(&page) {
        match part {
            Part::Line(line) => {
                if line.starts_with("## ") {
                    assert_eq!(questions, answers, "no command answers '{question}'");
                    (desk, question) = (Desk::new(), line);
                    questions += 1;
                }
                written += &format!("{line}\n");
            }
            Part::Block(block) => {
                let told = block.lines.iter().map(|line| format!("{line}\n")).collect::<String>();
                let now = match block.info.split_once(' ') {
                    Some((_, name)) => {
                        desk.write(name, &block.lines);
                        told.clone()
                    }
                    None => {
                        assert_eq!("console", block.info, "below '{question}'");
                        answers = questions;
                        answered(&desk, &block)
                    }
                };
                if canonical(&told) != canonical(&now) {
                    wrong.push(format!("{question}\nthe page:\n{told}\nnow:\n{now}"));
                }
                written += &format!("```{}\n{now}```\n", block.info);
            }
        }
    }
    if std::env::var("GLASSBOX_GOLDEN").is_ok_and(|value| value == "write") {
        fs::write(&path, written).unwrap();
        return;
    }
    assert_eq!((QUESTIONS, questions), (questions, answers));
    assert!(wrong.is_empty(), "write the page anew with GLASSBOX_GOLDEN=write:\n{}", wrong.join("\n\n"));
}

#[test]
fn what_differs_from_run_to_run_is_no_difference_and_all_else_is() {
    let told = "14:40:04.103Z 7772 cp file.open /x fd=4 = 4 open=17µs 305 ms, 127.0.0.1:8080";
    let same = "02:00:04.1Z  91  cp  file.open  /x fd=4 = 4 open=1.2ms 2 s, 127.0.0.1:9090";

    assert_eq!(canonical(told), canonical(same));
    for (what, other) in
        [("fd=4", "fd=5"), (" cp ", " mv "), ("/x", "/y"), ("open=", "read="), (", 127", ", x")]
    {
        assert_ne!(canonical(told), canonical(&told.replace(what, other)), "{what}");
    }
    assert_ne!(canonical("645 kB sent"), canonical("64 kB sent"));
}
