//! The words of an instruction: quotes, escapes, assignments, and the variables that they refer to.

use std::ops::Range;

use super::instruction::{Instruction, malformed};
use crate::Error;

/// `NAME=VALUE` of an `ENV` or `ARG`.
#[derive(Debug)]
pub struct Assignment {
    /// The name of the variable.
    pub name: String,
    /// The value without quotes and escapes; variables in it are not replaced. `None` for an `ARG` without
    /// one.
    pub value: Option<String>,
    /// Whether the value refers to the variable's former value (`$NAME`).
    pub refers_to_itself: bool,
    /// Where the value stands in the file, with its quotes.
    pub span: Range<usize>,
}

/// The words of a text as they are written: separated by blanks outside of quotes.
pub fn split(text: &str, escape: char) -> Vec<Range<usize>> {
    let mut words = Vec::new();
    let mut start = None;
    let mut quote = None;
    let mut characters = text.char_indices();
    while let Some((at, c)) = characters.next() {
        if quote.is_none() && c.is_whitespace() {
            words.extend(start.take().map(|start| start..at));
            continue;
        }
        start = start.or(Some(at));
        match quote {
            // Within single quotes nothing is escaped.
            _ if c == escape && quote != Some('\'') => drop(characters.next()),
            None if c == '"' || c == '\'' => quote = Some(c),
            Some(open) if c == open => quote = None,
            _ => {}
        }
    }
    words.extend(start.map(|start| start..text.len()));
    words
}

/// An instruction's words behind the flags, also those of the JSON form.
pub fn arguments(instruction: &Instruction, escape: char) -> Vec<String> {
    let text = instruction.arguments.text.trim();
    serde_json::from_str(text).unwrap_or_else(|_| {
        split(text, escape).into_iter().map(|word| unquoted(&text[word], escape)).collect()
    })
}

/// A word without its quotes and escapes.
pub fn unquoted(word: &str, escape: char) -> String {
    let mut plain = String::with_capacity(word.len());
    each(word, escape, |c, _, _| plain.push(c));
    plain
}

/// Gives every character of a word without its quotes and escapes, whether a `$` there begins a variable, and
/// where the character stands.
fn each(word: &str, escape: char, mut take: impl FnMut(char, bool, usize)) {
    let mut quote = None;
    let mut characters = word.char_indices().peekable();
    while let Some((at, c)) = characters.next() {
        match quote {
            _ if c == escape && quote != Some('\'') => match characters.peek() {
                // Within double quotes only these are escaped (sh(1)).
                Some(&(next, escaped)) if quote.is_none() || ['"', '$', escape].contains(&escaped) => {
                    take(escaped, false, next);
                    characters.next();
                }
                Some(_) => take(c, false, at),
                None => {}
            },
            None if c == '"' || c == '\'' => quote = Some(c),
            Some(open) if c == open => quote = None,
            _ => take(c, quote != Some('\''), at),
        }
    }
}

/// Whether a word refers to a variable.
fn refers_to(word: &str, name: &str, escape: char) -> bool {
    let mut is_found = false;
    each(word, escape, |c, may_be_variable, at| {
        if c == '$' && may_be_variable {
            let rest = &word[at + 1..];
            let rest = rest.strip_prefix('{').unwrap_or(rest);
            is_found |= rest
                .strip_prefix(name)
                .is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_'));
        }
    });
    is_found
}

/// The assignments of an `ENV` or `ARG`.
///
/// # Errors
/// A form that no builder takes.
pub fn assignments(instruction: &Instruction, escape: char) -> Result<Vec<Assignment>, Error> {
    let arguments = &instruction.arguments;
    let text = arguments.text.trim_end();
    let words = split(text, escape);
    let is_arg = instruction.keyword == "ARG";
    let Some(first) = words.first() else {
        return Err(malformed(instruction.line, &format!("{} needs NAME=VALUE", instruction.keyword)));
    };
    let assignment = |name: &str, value: Option<Range<usize>>| {
        let word = value.clone().map(|value| &text[value]);
        Assignment {
            name: unquoted(name, escape),
            value: word.map(|word| unquoted(word, escape)),
            refers_to_itself: word.is_some_and(|word| refers_to(word, name, escape)),
            span: value.map_or(0..0, |value| arguments.span(value)),
        }
    };
    // `ENV NAME VALUE…`, the older form: one variable, and the rest of the line.
    if !is_arg && !text[first.clone()].contains('=') {
        return match words.get(1) {
            Some(second) => Ok(vec![assignment(&text[first.clone()], Some(second.start..text.len()))]),
            None => Err(malformed(
                instruction.line,
                &format!("ENV {0} has no value; write ENV {0}=VALUE", &text[first.clone()]),
            )),
        };
    }
    let each = words.into_iter().map(|word| match text[word.clone()].split_once('=') {
        Some((name, _)) => Ok(assignment(name, Some(word.start + name.len() + 1..word.end))),
        None if is_arg => Ok(assignment(&text[word], None)),
        None => Err(malformed(
            instruction.line,
            &format!("'{}' has no '='; write NAME=VALUE, with quotes around blanks", &text[word]),
        )),
    });
    each.collect()
}

/// An image's name with the defaults of its variables; a variable without a default stays.
pub fn expanded(name: &str, value_of: impl Fn(&str) -> Option<String>) -> String {
    let mut result = String::new();
    let mut rest = name;
    while let Some((before, behind)) = rest.split_once('$') {
        result.push_str(before);
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let braced = behind.strip_prefix('{').and_then(|text| text.split_once('}'));
        let (variable, operator, behind) = match braced {
            Some((inside, behind)) => {
                let end = inside.find(|c| !is_name(c)).unwrap_or(inside.len());
                (&inside[..end], inside[end..].trim_start_matches(':'), behind)
            }
            None => {
                let end = behind.find(|c| !is_name(c)).unwrap_or(behind.len());
                (&behind[..end], "", &behind[end..])
            }
        };
        let value = value_of(variable).filter(|value| !value.is_empty());
        let value = match (operator.strip_prefix('+'), operator.strip_prefix('-')) {
            (Some(word), _) => Some(value.map_or(String::new(), |_| word.to_owned())),
            (_, Some(word)) => value.or_else(|| Some(word.to_owned())),
            _ => value,
        };
        match value {
            Some(value) => result.push_str(&value),
            None => result.push_str(&rest[before.len()..rest.len() - behind.len()]),
        }
        rest = behind;
    }
    result + rest
}

#[cfg(test)]
mod tests {
    use super::super::text::read;
    use super::*;

    /// Name, value, whether it refers to itself, and the raw text of what a line assigns.
    fn assigned(line: &str) -> Result<Vec<(String, String, bool, String)>, Error> {
        let file = read(line)?;
        let all = assignments(&file.instructions[0], file.escape)?.into_iter().map(|one| {
            let raw = line[one.span.clone()].to_owned();
            (one.name, one.value.unwrap_or_default(), one.refers_to_itself, raw)
        });
        Ok(all.collect())
    }

    fn one(name: &str, value: &str, refers: bool, raw: &str) -> (String, String, bool, String) {
        (name.into(), value.into(), refers, raw.into())
    }

    #[test]
    fn both_forms_of_env_are_read_with_quotes_and_escapes() {
        for (line, expected) in [
            ("ENV A=b C=d", vec![one("A", "b", false, "b"), one("C", "d", false, "d")]),
            ("ENV A b  c ", vec![one("A", "b  c", false, "b  c")]),
            (
                "env A=\"b c\"'$A' D=e\\ f",
                vec![one("A", "b c$A", false, "\"b c\"'$A'"), one("D", "e f", false, "e\\ f")],
            ),
            ("ENV A=$A:x", vec![one("A", "$A:x", true, "$A:x")]),
            ("ENV A=\"${A:+$A:}x\"", vec![one("A", "${A:+$A:}x", true, "\"${A:+$A:}x\"")]),
            ("ENV A=\\$A B=$A", vec![one("A", "$A", false, "\\$A"), one("B", "$A", false, "$A")]),
            ("ENV A=$AB", vec![one("A", "$AB", false, "$AB")]),
            ("ENV A=1 \\\n  B=2", vec![one("A", "1", false, "1"), one("B", "2", false, "2")]),
            ("ENV A=", vec![one("A", "", false, "")]),
        ] {
            assert_eq!(Ok(expected), assigned(line), "{line}");
        }
    }

    #[test]
    fn wrong_forms_are_told() {
        for (line, words) in [
            ("ENV", "line 1: ENV needs NAME=VALUE"),
            ("ENV A", "line 1: ENV A has no value"),
            ("ENV A=1 B", "line 1: 'B' has no '='"),
        ] {
            let Err(Error::Malformed(why)) = assigned(line) else { panic!("{line}") };

            assert!(why.starts_with(words), "{why}");
        }
    }

    #[test]
    fn variables_of_a_name_become_their_defaults() {
        let value = |name: &str| (name == "A").then(|| "x".to_owned());

        assert_eq!("x:x-x/y:$B-${B}z", expanded("$A:${A}-${A:-n}/${B:-y}:$B-${B}z", value));
        assert_eq!("app-debug", expanded("app${A:+-debug}${B:+-x}", value));
    }
}
