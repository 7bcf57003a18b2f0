//! One instruction of a Dockerfile, and where its parts stand in the file.

use std::ops::Range;

use crate::{Error, hint};

/// The instructions of docker's frontend (docs.docker.com/reference/dockerfile).
const KEYWORDS: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// The instructions whose words may announce a here-document.
const WITH_HEREDOC: [&str; 3] = ["ADD", "COPY", "RUN"];

#[derive(Debug)]
pub struct Instruction {
    /// The line that it begins in, from 1.
    pub line: usize,
    /// All of its bytes, with the last line's end and its here-documents.
    pub span: Range<usize>,
    /// In capital letters.
    pub keyword: String,
    /// `--name=value` before the arguments.
    pub flags: Vec<Flag>,
    /// Everything after the flags.
    pub arguments: Joined,
}

/// `--name=value`
#[derive(Debug)]
pub struct Flag {
    /// Without the dashes.
    pub name: String,
    /// Empty where there is none.
    pub value: String,
    /// Where the value stands in the file.
    pub span: Range<usize>,
}

/// A text made of continued lines.
#[derive(Debug, Default)]
pub struct Joined {
    pub text: String,
    /// Where each of its bytes stands in the file, and where the text ends there.
    places: Vec<usize>,
}

impl Joined {
    /// Where a part of the text stands in the file, from its first byte to behind its last.
    pub fn span(&self, part: Range<usize>) -> Range<usize> {
        let place = |at: usize| self.places.get(at).copied().unwrap_or_default();
        match part.is_empty() {
            true => place(part.start)..place(part.start),
            false => place(part.start)..place(part.end - 1) + 1,
        }
    }

    /// Appends a text that stands at `at` in the file.
    pub fn push(&mut self, text: &str, at: usize) {
        self.places.extend(at..at + text.len());
        self.text.push_str(text);
    }

    /// Marks where the text ends, which is at `begin` if it is empty.
    pub fn end(&mut self, begin: usize) {
        self.places.push(self.places.last().map_or(begin, |last| last + 1));
    }

    /// Removes the first `count` bytes.
    fn skip(&mut self, count: usize) {
        self.text.drain(..count);
        self.places.drain(..count);
    }
}

impl Instruction {
    /// Reads an instruction whose lines are joined.
    ///
    /// # Errors
    /// A keyword that docker's frontend does not know, unless `syntax` names another one.
    pub fn of(
        line: usize,
        span: Range<usize>,
        mut joined: Joined,
        syntax: Option<&str>,
    ) -> Result<Self, Error> {
        let length = joined.text.find(char::is_whitespace).unwrap_or(joined.text.len());
        let keyword = joined.text[..length].to_ascii_uppercase();
        // Another frontend may know more.
        let is_known = KEYWORDS.contains(&keyword.as_str());
        if !is_known && syntax.is_none_or(is_dockers) {
            let shown: String = joined.text[..length].chars().take(40).collect();
            let hint = hint::template(&joined.text);
            return Err(malformed(line, &format!("unknown instruction '{shown}'; correct it{hint}")));
        }
        joined.skip(length);
        let mut instruction = Self { line, span, keyword, flags: Vec::new(), arguments: joined };
        instruction.take_flags();
        Ok(instruction)
    }

    /// Moves `--name=value` from the arguments to the flags.
    fn take_flags(&mut self) {
        loop {
            let text = &self.arguments.text;
            self.arguments.skip(text.len() - text.trim_start().len());
            let text = &self.arguments.text;
            let Some(flag) = text.strip_prefix("--") else { break };
            let flag = &flag[..flag.find(char::is_whitespace).unwrap_or(flag.len())];
            let (name, value) = flag.split_once('=').unwrap_or((flag, ""));
            if name.is_empty() {
                break;
            }
            let end = 2 + flag.len();
            let span = self.arguments.span(end - value.len()..end);
            self.flags.push(Flag { name: name.to_owned(), value: value.to_owned(), span });
            self.arguments.skip(end);
        }
    }

    pub fn flag(&self, name: &str) -> Option<&Flag> {
        self.flags.iter().find(|flag| flag.name == name)
    }

    /// Whether here-documents may follow it.
    pub fn may_have_heredocs(&self) -> bool {
        let text = &self.arguments.text;
        let is_one = |keyword: &str| WITH_HEREDOC.iter().any(|one| one.eq_ignore_ascii_case(keyword));
        match self.keyword.as_str() {
            "ONBUILD" => is_one(text.split_whitespace().next().unwrap_or_default()),
            keyword => is_one(keyword) && serde_json::from_str::<Vec<String>>(text).is_err(),
        }
    }
}

/// Whether a frontend is docker's own, in any version.
pub fn is_dockers(syntax: &str) -> bool {
    let name = syntax.strip_prefix("docker.io/").unwrap_or(syntax);
    ["docker/dockerfile", "docker/dockerfile-upstream"]
        .iter()
        .any(|own| name.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '@'])))
}

/// An error in a line.
pub fn malformed(line: usize, what: &str) -> Error {
    Error::Malformed(format!("line {line}: {what}"))
}
