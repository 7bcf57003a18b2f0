//! Reads a Dockerfile as instructions that record where they stand.
//!
//! The rules are those of BuildKit's `frontend/dockerfile/parser`: directives, continued lines, comments and
//! empty lines within them, here-documents. The files beside this one interpret the instructions.

use super::instruction::{Instruction, Joined, malformed};
use super::words;
use crate::Error;

/// A Dockerfile's instructions.
#[derive(Debug)]
pub struct File {
    /// The character that continues a line and escapes another character.
    pub escape: char,
    /// The frontend that `# syntax=` names.
    pub syntax: Option<String>,
    pub instructions: Vec<Instruction>,
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
        joined.end(begin);

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
    /// Reads `# name=value` at the top of the file; says whether another directive may follow.
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

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

/// A line without its continuation, and whether it had one: a single escape character, not escaped itself,
/// with at most blanks behind it.
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
    let announced = words::split(text, escape).into_iter().filter_map(|word| {
        let word = text[word].trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix("<<")?;
        let (are_tabs_removed, word) = match word.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, word),
        };
        if word.is_empty() || word.contains('<') {
            return None;
        }
        Some(Heredoc { name: words::unquoted(word, escape), are_tabs_removed })
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
