//! Secrets that are known by what stands before them: the name of an option, a variable or a field.

use super::clients::{self, Form, Part};
use super::marks::{Marks, REDACTED, is_blank, is_quote, quoted_len, run};
use super::{names, tokens};

/// Blanks between a name and its sign.
const MOST_GAP: usize = 8;

/// Scripts within words, and words within those, are looked into so deep.
const MOST_DEPTH: u8 = 2;

/// Marks the secrets of an argument vector: words that end with a NUL.
pub fn mark_list(text: &[u8], marks: &mut Marks) {
    let mut state = State::default();
    let mut start = 0;
    for word in text.split(|byte| *byte == 0) {
        let end = start + word.len();
        let is_script = state.follows_script_option && word.iter().any(|byte| is_blank(*byte));
        if !state.step(text, start, end, marks) {
            assignments(text, start, end, is_script, marks);
            tokens::mark(text, start, end, is_script, marks);
            if word.iter().any(|byte| is_blank(*byte)) {
                mark_script(text, start, end, 0, marks);
            }
        }
        start = end + 1;
    }
}

/// Marks the secrets of `NAME=value` strings that end with a NUL.
pub fn mark_map(text: &[u8], marks: &mut Marks) {
    let mut start = 0;
    for variable in text.split(|byte| *byte == 0) {
        let end = start + variable.len();
        let equals = variable.iter().position(|byte| *byte == b'=');
        match equals.map(|equals| (variable.get(..equals).unwrap_or_default(), start + equals + 1)) {
            Some((name, value)) if names::is_secret(name) => marks.add(value, end),
            Some((_, value)) => mark_text(text, value, end, marks),
            None => {}
        }
        start = end + 1;
    }
}

/// Marks the secrets of a text that may be anything: a path, an address, a script.
pub fn mark_text(text: &[u8], start: usize, end: usize, marks: &mut Marks) {
    assignments(text, start, end, true, marks);
    tokens::mark(text, start, end, true, marks);
    mark_script(text, start, end, 0, marks);
}

/// Marks the values of options in the words of a script, which blanks or quotes divide.
fn mark_script(text: &[u8], start: usize, end: usize, depth: u8, marks: &mut Marks) {
    let mut state = State::default();
    let mut at = start;
    while at < end {
        let rest = text.get(at..end).unwrap_or_default();
        at += run(rest, is_blank);
        let rest = text.get(at..end).unwrap_or_default();
        let Some(first) = rest.first().copied() else { break };
        let (from, len) = match is_quote(first) {
            true => (at + 1, run(rest.get(1..).unwrap_or_default(), |byte| byte != first)),
            false => (at, run(rest, |byte| !is_blank(byte))),
        };
        let to = from + len;
        let is_taken = state.step(text, from, to, marks);
        let is_sentence = text.get(from..to).is_some_and(|word| word.iter().any(|byte| is_blank(*byte)));
        if !is_taken && is_sentence && depth < MOST_DEPTH {
            mark_script(text, from, to, depth + 1, marks);
        }
        at = to + usize::from(is_quote(first));
    }
}

/// What the words so far say of the next one.
#[derive(Default)]
struct State<'a> {
    /// The next word, or a part of it, is a secret.
    awaits: Option<Awaited>,
    /// The program that runs, if it has options of its own.
    client: &'a [u8],
    /// The word `login` came.
    has_login: bool,
    /// The last word was `set` or `config`, as in `aws configure set NAME VALUE`.
    sets: bool,
    /// The last word was a `-c`.
    follows_script_option: bool,
}

#[derive(Clone, Copy)]
enum Awaited {
    /// A value, unless it is an option.
    Value(Part),
    /// What comes behind `Authorization:`.
    Header,
    /// What comes behind `Bearer` or `Basic`.
    Token(fn(&[u8]) -> bool),
}

impl<'a> State<'a> {
    /// Takes the next word; true where it is a secret as a whole.
    fn step(&mut self, text: &'a [u8], start: usize, end: usize, marks: &mut Marks) -> bool {
        let word = text.get(start..end).unwrap_or_default();
        self.follows_script_option =
            word.starts_with(b"-") && !word.starts_with(b"--") && word.ends_with(b"c");
        match self.awaits.take() {
            Some(Awaited::Value(part)) if !word.starts_with(b"-") && !word.starts_with(b"id=") => {
                return mark_part(word, start, part, marks);
            }
            Some(Awaited::Header) => {
                self.awaits = tokens::is_scheme(word).then_some(Awaited::Value(Part::Whole));
                return self.awaits.is_none() && mark_part(word, start, Part::Whole, marks);
            }
            Some(Awaited::Token(is_token)) if is_token(word) => {
                return mark_part(word, start, Part::Whole, marks);
            }
            _ => {}
        }
        let sets = std::mem::replace(&mut self.sets, matches!(word, b"set" | b"config"));
        if sets && !word.contains(&b'=') && names::is_secret(word) {
            self.awaits = Some(Awaited::Value(Part::Whole));
        } else if let Some(name) = word.strip_suffix(b":") {
            let is_header = ["authorization", "proxy-authorization"]
                .iter()
                .any(|header| name.eq_ignore_ascii_case(header.as_bytes()));
            self.awaits = match (is_header, names::is_secret(name)) {
                (true, _) => Some(Awaited::Header),
                (false, true) => Some(Awaited::Value(Part::Whole)),
                (false, false) => None,
            };
        } else if word.eq_ignore_ascii_case(b"bearer") {
            self.awaits = Some(Awaited::Token(tokens::is_bearer));
        } else if word.eq_ignore_ascii_case(b"basic") {
            self.awaits = Some(Awaited::Token(tokens::is_basic));
        } else if word.starts_with(b"-") {
            self.option(word, start, marks);
        } else {
            let program = clients::program(word);
            if clients::is_known(program) {
                (self.client, self.has_login) = (program, false);
            }
            self.has_login |= word == b"login";
        }
        false
    }

    /// Takes an option: the next word may be its value, or its end is.
    fn option(&mut self, word: &[u8], start: usize, marks: &mut Marks) {
        let is_asking = word == b"--password" && clients::asks(self.client);
        if names::is_secret(word) && !is_asking {
            self.awaits = Some(Awaited::Value(Part::Whole));
        }
        let is_mine = |row: &&clients::Row| {
            row.programs.iter().any(|program| program.as_bytes() == self.client)
                && (row.command.is_empty() || self.has_login)
        };
        for row in clients::ROWS.iter().filter(is_mine) {
            let option = row.option.as_bytes();
            match word.strip_prefix(option) {
                Some(b"") if row.form != Form::Attached => self.awaits = Some(Awaited::Value(row.part)),
                Some(value @ [_, ..]) if row.form != Form::Apart => {
                    mark_part(value, start + option.len(), row.part, marks);
                }
                _ => {}
            }
        }
    }
}

/// Marks the secret part of a word at `start`; true where that is all of it.
fn mark_part(word: &[u8], start: usize, part: Part, marks: &mut Marks) -> bool {
    let from = match part {
        Part::Whole => Some(0),
        Part::After(byte) => word.iter().position(|other| *other == byte).map(|at| at + 1),
        Part::Behind(text) => word.starts_with(text.as_bytes()).then_some(text.len()),
    };
    if let Some(from) = from {
        marks.add(start + from, start + word.len());
    }
    from == Some(0)
}

/// Marks the values of names: `NAME=value`, `name: value` and `"name":"value"`. At the front of a word that
/// is no script, the value goes to the end of it.
fn assignments(text: &[u8], start: usize, end: usize, is_script: bool, marks: &mut Marks) {
    let Some(part) = text.get(start..end) else { return };
    let mut done = 0;
    for (at, sign) in part.iter().copied().enumerate().filter(|(_, byte)| matches!(byte, b'=' | b':')) {
        if at < done {
            continue;
        }
        // In a program's text blanks stand around the sign, and `==` compares.
        let before = part.get(..at).unwrap_or_default().iter().rev().take(MOST_GAP);
        let gap = before.take_while(|byte| matches!(byte, b' ' | b'=' | b'!')).count();
        let Some((from, is_quoted)) = name_before(part, at - gap) else { continue };
        let behind = part.get(at + 1..).unwrap_or_default();
        let blanks = if sign == b':' || gap > 0 { run(behind, |byte| byte == b' ') } else { 0 };
        let value = at + 1 + blanks;
        let is_assigned = match sign {
            b':' => is_quoted || gap == 0 && blanks > 0,
            _ => gap == 0 || opening(part, value) > 0,
        };
        if !is_assigned {
            continue;
        }
        // `NAME=value`, and `--option=NAME=value`.
        let is_behind_option =
            part.starts_with(b"-") && part.get(..from).is_some_and(|front| front.ends_with(b"="));
        let has_rest = !is_script && (from == 0 || is_behind_option);
        let to = if has_rest { part.len() } else { value + value_len(part, from, value) };
        let value = if has_rest { value } else { value + opening(part, value) };
        marks.add(start + value, start + to.max(value));
        done = to;
    }
}

/// Where the name of a secret before the sign at `at` begins, and whether it is in quotes.
fn name_before(part: &[u8], at: usize) -> Option<(usize, bool)> {
    let is_in_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    let mut end = at;
    let quote = part.get(..end)?.last().copied().filter(|byte| is_quote(*byte));
    if quote.is_some() {
        end -= 1;
        end -= usize::from(part.get(..end)?.last() == Some(&b'\\'));
    }
    let name = part.get(..end)?;
    let from = name.iter().rposition(|byte| !is_in_name(byte)).map_or(0, |last| last + 1);
    // A name in a path is a file's.
    let is_in_path = from > 0 && part.get(from - 1) == Some(&b'/');
    let is_name = names::is_secret(name.get(from..)?) || is_pwd(part, name, from);
    (is_name && !is_in_path).then_some((from, quote.is_some()))
}

/// `Pwd` in a connection string; PWD is the current directory elsewhere.
fn is_pwd(part: &[u8], name: &[u8], from: usize) -> bool {
    let is_between = from > 0 && part.get(from - 1) == Some(&b';');
    is_between && name.get(from..).is_some_and(|name| name.eq_ignore_ascii_case(b"pwd"))
}

/// How many quotes and backslashes stand before a value.
fn opening(part: &[u8], value: usize) -> usize {
    let rest = part.get(value..).unwrap_or_default();
    let slashes = run(rest, |byte| byte == b'\\');
    match rest.get(slashes) {
        Some(byte) if is_quote(*byte) => slashes + 1,
        _ => 0,
    }
}

/// The length of a value that begins at `value`, of a name that begins at `from`: to its quote, or to what
/// ends a word there.
fn value_len(part: &[u8], from: usize, value: usize) -> usize {
    let opening = opening(part, value);
    let rest = part.get(value + opening..).unwrap_or_default();
    if opening > 0 {
        let quote = part.get(value + opening - 1).copied().unwrap_or_default();
        return opening + quoted_len(rest, quote, opening > 1);
    }
    if rest.starts_with(REDACTED) {
        return REDACTED.len();
    }
    let before = from.checked_sub(1).and_then(|before| part.get(before)).copied();
    // A word of its own, or one of several in a text: `?a=1&b=2`, `a=1;b=2`, `a=1,b=2`.
    let is_word = before.is_none_or(|byte| is_blank(byte) || is_quote(byte));
    run(rest, |byte| match byte {
        b';' | b'&' | b'|' | b')' => false,
        b',' | b'}' | b']' => is_word,
        byte => !is_blank(byte) && !is_quote(byte),
    })
}
