//! Writes values as new text, in the style of the text around them.
//!
//! The text must mean the same to readers of YAML 1.2, of YAML 1.1 (where `yes`, `0777` and `1:30` are not
//! words) and of JSON. So words are quoted unless every reader takes them for the same word.

use serde_json::{Map, Value};

/// The text's own style.
#[derive(Clone, Debug)]
pub struct Style {
    /// The indentation of one level in blocks.
    pub step: usize,
    /// The indentation of one level in flows of several lines.
    pub flow_step: String,
    /// The indentation of lists below their key.
    pub list_step: usize,
    /// Whether it is JSON, where every word is quoted.
    pub is_json: bool,
}

impl Style {
    /// A word, number or empty collection; any other collection as a flow on one line.
    pub fn inline(&self, value: &Value) -> String {
        self.flow(value, None)
    }

    /// A flow: on one line, or with a line for each item if `margin` gives the indentation of its own line.
    pub fn flow(&self, value: &Value, margin: Option<&str>) -> String {
        let deeper = margin.map(|margin| format!("{margin}{}", self.flow_step));
        let item = |value| self.flow(value, deeper.as_deref());
        match value {
            Value::String(text) => self.word(text),
            Value::Array(items) => {
                let items = items.iter().map(item).collect::<Vec<_>>();
                around("[", &items, "]", margin, deeper.as_deref())
            }
            Value::Object(members) => {
                let members =
                    members.iter().map(|(key, value)| format!("{}: {}", self.word(key), item(value)));
                around("{", &members.collect::<Vec<_>>(), "}", margin, deeper.as_deref())
            }
            other => other.to_string(),
        }
    }

    /// The lines of a value, each indented by at least `indent`.
    pub fn block(&self, value: &Value, indent: usize) -> Vec<String> {
        let mut lines = Vec::new();
        match value {
            _ if !is_block(value) => lines.push(format!("{}{}", " ".repeat(indent), self.inline(value))),
            Value::Array(items) => {
                items.iter().for_each(|value| lines.extend(self.block_item(value, indent)))
            }
            Value::Object(members) => {
                members.iter().for_each(|(key, value)| lines.extend(self.block_member(key, value, indent)));
            }
            _ => {}
        }
        lines
    }

    /// The lines of a list's item whose dash is indented by `indent`.
    pub fn block_item(&self, value: &Value, indent: usize) -> Vec<String> {
        let margin = " ".repeat(indent);
        if !is_block(value) {
            return vec![format!("{margin}- {}", self.inline(value))];
        }
        let mut lines = self.block(value, indent + 2);
        if let Some(first) = lines.first_mut() {
            *first = format!("{margin}- {}", first.trim_start());
        }
        lines
    }

    /// The lines of a member whose key is indented by `indent`.
    pub fn block_member(&self, key: &str, value: &Value, indent: usize) -> Vec<String> {
        let key = format!("{}{}:", " ".repeat(indent), self.word(key));
        if !is_block(value) {
            return vec![format!("{key} {}", self.inline(value))];
        }
        let mut lines = vec![key];
        lines.extend(self.block(value, self.inside(value, indent)));
        lines
    }

    /// The indentation of a collection below a key that is indented by `indent`.
    pub fn inside(&self, value: &Value, indent: usize) -> usize {
        indent + if value.is_array() { self.list_step } else { self.step }
    }

    /// A word, in quotes if it needs them.
    pub fn word(&self, text: &str) -> String {
        if !self.is_json && is_plain(text) { text.to_owned() } else { quoted(text) }
    }
}

/// Whether a value takes lines of its own in a block.
pub fn is_block(value: &Value) -> bool {
    value.as_array().is_some_and(|items| !items.is_empty())
        || value.as_object().is_some_and(|members: &Map<_, _>| !members.is_empty())
}

fn around(open: &str, items: &[String], close: &str, margin: Option<&str>, deeper: Option<&str>) -> String {
    match (margin, deeper) {
        (Some(margin), Some(deeper)) if !items.is_empty() => {
            format!("{open}\n{deeper}{}\n{margin}{close}", items.join(&format!(",\n{deeper}")))
        }
        _ => format!("{open}{}{close}", items.join(", ")),
    }
}

/// A string between double quotes, as JSON and YAML both read it.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            // Characters that YAML does not call printable, takes for a line's end, or drops. All of them
            // have four digits.
            '\0'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{feff}'
            | '\u{fffe}'
            | '\u{ffff}' => {
                quoted.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Words, in lower case, that some reader takes for another value.
const TAKEN: [&str; 10] = ["null", "true", "false", "yes", "no", "on", "off", "y", "n", "nan"];

/// Whether every reader of YAML takes a text for the same word, in a block and in a flow.
fn is_plain(text: &str) -> bool {
    let has_plain_chars = text.chars().all(|c| c.is_ascii_alphanumeric() || "_./$()@+=:;-".contains(c));
    let Some(first) = text.chars().next() else { return false };
    let looks_like_a_number = first.is_ascii_digit() && {
        // Sizes and times (`64Mi`, `5s`) are words; hexadecimal, exponents, dates and base 60 may be numbers.
        let has_prefix = ["0x", "0X", "0o", "0O", "0b", "0B"].iter().any(|prefix| text.starts_with(prefix));
        has_prefix
            || text.contains([':', '-', '+'])
            || !text.contains(|c: char| c.is_ascii_alphabetic() && !"eE".contains(c))
    };
    has_plain_chars
        && (first.is_ascii_alphanumeric() || "/_$".contains(first))
        && !looks_like_a_number
        && !text.ends_with(':')
        && !TAKEN.contains(&text.to_ascii_lowercase().as_str())
}
