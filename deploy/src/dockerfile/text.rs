//! Reads a Dockerfile as instructions that know where they stand.
//!
//! As BuildKit's `frontend/dockerfile/parser` reads it: directives, continued lines, comments and empty lines within them,
//! here-documents. What an instruction means is looked at in the files beside this one.

use std::ops::Range;

use crate::Error;

/// The instructions that there are (docs.docker.com/reference/dockerfile).
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

/// Those whose words may announce a here-document.
const WITH_HEREDOC: [&str; 3] = ["ADD", "COPY", "RUN"];

/// A Dockerfile's instructions.
#[derive(Debug)]
pub struct File {
    /// What continues a line and escapes a character.
    pub escape: char,
    /// The frontend of `# syntax=`.
    pub syntax: Option<String>,
    /// In their order.
    pub instructions: Vec<Instruction>,
}

/// An instruction.
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

/// A text that continued lines were joined to.
#[derive(Debug, Default)]
pub struct Joined {
    /// The text.
    pub text: String,
    /// Where each of its bytes stands in the file, and where the text ends there.
    places: Vec<usize>,
}

impl Joined {
    /// Where a part of the text stands in the file; from its first byte to behind its last.
    pub fn span(&self, part: Range<usize>) -> Range<usize> {
        let place = |at: usize| self.places.get(at).copied().unwrap_or_default();
        match part.is_empty() {
            true => place(part.start)..place(part.start),
            false => place(part.start)..place(part.end - 1) + 1,
        }
    }

    fn push(&mut self, text: &str, at: usize) {
        self.places.extend(at..at + text.len());
        self.text.push_str(text);
    }

    /// Takes the first `count` bytes away.
    fn skip(&mut self, count: usize) {
        self.text.drain(..count);
        self.places.drain(..count);
    }
}

/// A line, without its end.
struct Line<'a> {
    number: usize,
    text: &'a str,
    start: usize,
    /// Behind the line's end.
    end: usize,
}

/// Reads a whole file.
///
/// # Errors
/// The first line that no builder would take, and why.
pub fn read(text: &str) -> Result<File, Error> {
    let mut start = 0;
    let mut lines = text.split_inclusive('\n').enumerate().map(|(index, line)| {
        let begin = start;
        start += line.len();
        Line { number: index + 1, text: line.trim_end_matches(['\r', '\n']), start: begin, end: start }
    });
    let mut file = File { escape: '\\', syntax: None, instructions: Vec::new() };
    let mut may_be_directive = true;
    while let Some(mut line) = lines.next() {
        if line.number == 1
            && let Some(rest) = line.text.strip_prefix('\u{feff}')
        {
            line.start += line.text.len() - rest.len();
            line.text = rest;
        }
        may_be_directive = may_be_directive && file.take_directive(&line)?;
        if is_comment(line.text) || line.text.trim().is_empty() {
            continue;
        }
        let first = line.number;
        let indent = line.text.len() - line.text.trim_start().len();
        let begin = line.start + indent;
        let mut joined = Joined::default();
        let mut end = line.end;
        let (mut part, mut is_continued) = continued(&line.text[indent..], file.escape);
        joined.push(part, begin);
        while is_continued {
            let Some(next) = lines.next() else {
                return Err(malformed(
                    first,
                    "the last line is continued, and nothing follows; remove what continues it",
                ));
            };
            end = next.end;
            if is_comment(next.text) || next.text.trim().is_empty() {
                continue;
            }
            (part, is_continued) = continued(next.text, file.escape);
            joined.push(part, next.start);
        }
        joined.places.push(joined.places.last().map_or(begin, |last| last + 1));

        let mut instruction = Instruction::of(first, begin..end, joined, file.syntax.as_deref())?;
        if instruction.may_have_heredocs() {
            for heredoc in heredocs(&instruction.arguments.text, file.escape) {
                let is_end = |text: &str| {
                    let text = if heredoc.are_tabs_removed { text.trim_start_matches('\t') } else { text };
                    text == heredoc.name
                };
                let Some(last) = lines.find(|line| is_end(line.text)) else {
                    let name = &heredoc.name;
                    return Err(malformed(
                        first,
                        &format!("the here-document '{name}' does not end; add a line '{name}'"),
                    ));
                };
                instruction.span.end = last.end;
            }
        }
        file.instructions.push(instruction);
    }
    Ok(file)
}

impl File {
    /// `# name=value` before everything else; whether another may follow.
    fn take_directive(&mut self, line: &Line) -> Result<bool, Error> {
        let Some((name, value)) = line.text.trim().strip_prefix('#').and_then(|text| text.split_once('='))
        else {
            return Ok(false);
        };
        let value = value.trim();
        match name.trim().to_ascii_lowercase().as_str() {
            "escape" => match value {
                "\\" | "`" => self.escape = value.chars().next().unwrap_or('\\'),
                _ => return Err(malformed(line.number, "the directive escape is \\ or `")),
            },
            "syntax" => self.syntax = Some(value.to_owned()),
            "check" => {}
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Instruction {
    fn of(line: usize, span: Range<usize>, mut joined: Joined, syntax: Option<&str>) -> Result<Self, Error> {
        let length = joined.text.find(char::is_whitespace).unwrap_or(joined.text.len());
        let keyword = joined.text[..length].to_ascii_uppercase();
        // Another frontend may know more.
        let is_known = KEYWORDS.contains(&keyword.as_str());
        if !is_known && syntax.is_none_or(is_dockers) {
            let shown: String = joined.text[..length].chars().take(40).collect();
            return Err(malformed(line, &format!("unknown instruction '{shown}'; correct it")));
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

    /// The value of a flag.
    pub fn flag(&self, name: &str) -> Option<&Flag> {
        self.flags.iter().find(|flag| flag.name == name)
    }

    fn may_have_heredocs(&self) -> bool {
        let text = &self.arguments.text;
        let is_one = |keyword: &str| WITH_HEREDOC.iter().any(|one| one.eq_ignore_ascii_case(keyword));
        match self.keyword.as_str() {
            "ONBUILD" => is_one(text.split_whitespace().next().unwrap_or_default()),
            keyword => is_one(keyword) && serde_json::from_str::<Vec<String>>(text).is_err(),
        }
    }
}

/// Docker's own frontend, in whatever version.
pub fn is_dockers(syntax: &str) -> bool {
    let name = syntax.strip_prefix("docker.io/").unwrap_or(syntax);
    ["docker/dockerfile", "docker/dockerfile-upstream"]
        .iter()
        .any(|own| name.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '@'])))
}

/// What is wrong in a line.
pub fn malformed(line: usize, what: &str) -> Error {
    Error::Malformed(format!("line {line}: {what}"))
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

/// A line without what continues it, and whether that was there: one escape character before blanks at most, and not itself
/// escaped.
fn continued(line: &str, escape: char) -> (&str, bool) {
    match line.trim_end_matches([' ', '\t']).strip_suffix(escape) {
        Some(rest) if !rest.ends_with(escape) => (rest, true),
        _ => (line, false),
    }
}

struct Heredoc {
    name: String,
    are_tabs_removed: bool,
}

/// The here-documents that words announce: `<<NAME`, `<<-NAME`, `3<<"NAME"`.
fn heredocs(text: &str, escape: char) -> Vec<Heredoc> {
    let announced = super::words::split(text, escape).into_iter().filter_map(|word| {
        let word = text[word].trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix("<<")?;
        let (are_tabs_removed, word) = match word.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, word),
        };
        if word.is_empty() || word.contains('<') {
            return None;
        }
        Some(Heredoc { name: super::words::unquoted(word, escape), are_tabs_removed })
    });
    announced.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keyword, flags and arguments of each, with the line.
    fn shown(text: &str) -> Vec<String> {
        let file = read(text).unwrap();
        let show = |one: &Instruction| {
            let flags: String =
                one.flags.iter().map(|flag| format!(" [{}={}]", flag.name, flag.value)).collect();
            format!("{} {}{flags} {}", one.line, one.keyword, one.arguments.text.trim_end())
        };
        file.instructions.iter().map(show).collect()
    }

    #[test]
    fn lines_are_joined_as_builders_do() {
        let text = "\u{feff}# x\n\nfrom a\n  RUN one \\\n# within\n\n   two \\  \n  three\\\\\nCMD x \\y\n";

        assert_eq!(["3 FROM a", "4 RUN one    two   three\\\\", "9 CMD x \\y"], *shown(text));
    }

    #[test]
    fn directives_are_read_at_the_top_only() {
        let file = read("# syntax = docker/dockerfile:1\n# escape=`\nFROM a\nRUN x `\n  y \\\n").unwrap();
        assert_eq!(('`', Some("docker/dockerfile:1")), (file.escape, file.syntax.as_deref()));
        assert_eq!(2, file.instructions.len());

        let file = read("# a comment\n# escape=`\nFROM a\n").unwrap();
        assert_eq!('\\', file.escape);
    }

    #[test]
    fn here_documents_belong_to_their_instruction() {
        let text = "FROM a\nRUN <<EOF cat > /x && cat <<-'END 2'\nFROM b\nEOF\n  EOF\n\tEND 2\nCOPY <<A <<B /d/\nA\nB\n\
                    RUN [\"a\", \"<<X\"]\nRUN cat <<<x\nONBUILD RUN <<E\nFROM c\nE\nCMD y";

        let lines: Vec<_> = read(text).unwrap().instructions.iter().map(|one| one.line).collect();

        assert_eq!(vec![1, 2, 7, 10, 11, 12, 15], lines);
    }

    #[test]
    fn flags_are_no_arguments() {
        assert_eq!(
            ["1 FROM [platform=linux/amd64] a AS b", "2 COPY [from=b] [link=] /x --y /z"],
            *shown("FROM --platform=linux/amd64 a AS b\nCOPY --from=b \\\n --link /x --y /z\n")
        );
    }

    #[test]
    fn places_are_those_of_the_file() {
        let text = "FROM a\r\nCOPY \\\r\n  --from=img:1 /a \\\r\n  /b\r\nCMD x";
        let file = read(text).unwrap();

        let copy = &file.instructions[1];
        assert_eq!("img:1", &text[copy.flag("from").unwrap().span.clone()]);
        assert_eq!("COPY \\\r\n  --from=img:1 /a \\\r\n  /b\r\n", &text[copy.span.clone()]);
        let at = copy.arguments.text.find("/b").unwrap();
        assert_eq!("/b", &text[copy.arguments.span(at..at + 2)]);
        assert_eq!("CMD x", &text[file.instructions[2].span.clone()]);
    }

    #[test]
    fn what_no_builder_takes_is_told_by_line() {
        for (text, words) in [
            ("FROM a\nRUNN x\n", "line 2: unknown instruction 'RUNN'"),
            ("FROM a\n\nRUN x \\\n", "line 3: the last line is continued"),
            ("FROM a\nRUN x \\", "line 2: the last line is continued"),
            ("FROM a\nRUN <<EOF\nx\n", "line 2: the here-document 'EOF' does not end"),
            ("# escape=x\nFROM a\n", "line 1: the directive escape"),
            ("{\"a\": 1}", "line 1: unknown instruction '{\"a\":'"),
        ] {
            let Err(Error::Malformed(why)) = read(text) else { panic!("{text}") };

            assert!(why.starts_with(words), "{why}");
        }
    }

    #[test]
    fn another_frontend_may_know_more_instructions() {
        assert_eq!(1, read("# syntax=example/x\nINCLUDE y\n").unwrap().instructions.len());
        assert!(read("# syntax=docker/dockerfile:1.7\nINCLUDE y\n").is_err());
    }
}
