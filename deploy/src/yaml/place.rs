//! Says where something stands in a text, what is wrong there, and whether the text is JSON.

use serde_json::Value;

use crate::Error;

/// The value of a text that is JSON: an object or list, with at most a byte order mark and space in front.
pub fn json(text: &str) -> Option<Value> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.trim_start().starts_with(['{', '[']).then(|| serde_json::from_str(text).ok()).flatten()
}

/// Refuses an edit; the message has `why` in brackets.
pub fn cannot(why: &str) -> Error {
    Error::Refused(format!(
        "the text is written in a way that cannot be edited ({why}); write the part to be changed in a plainer way"
    ))
}

/// Line and column of an offset, both from 1, in characters.
pub fn place(text: &str, at: usize) -> (usize, usize) {
    let before = &text[..at.min(text.len())];
    let line_start = before.rfind('\n').map_or(0, |line_feed| line_feed + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// An error at an offset of the text.
pub fn fault(text: &str, at: usize, what: &str) -> Error {
    let (line, column) = place(text, at);
    Error::Malformed(format!("line {line}, column {column}: {what}"))
}
