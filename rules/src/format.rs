//! Outputs of alerts: a format with fields becomes a line, and an alert becomes Falco's text or JSON.
//!
//! A format is text with `%field`, `%field[argument]`, `%10field` (cut or filled to ten characters) and
//! `%transformer(field)`. A `*` at its beginning lets fields without a value show as `<NA>`; without it such
//! a format gives no line at all.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::ast::{Operand, Transformer};
use crate::compile::check_operand;
use crate::field::{Answer, Catalog, FieldUse, Subject};
use crate::names;
use crate::parser::parse_operand;
use crate::priority::Priority;
use crate::transform;

/// A format that was checked against a catalog.
#[derive(Clone, Debug)]
pub struct Format {
    parts: Vec<Part>,
    /// The fields with the names by which JSON has them, each once, in the order of the format.
    fields: Vec<(String, FieldUse)>,
    shows_missing: bool,
}

#[derive(Clone, Debug)]
enum Part {
    Text(String),
    Value { value: Value, width: Option<usize> },
}

#[derive(Clone, Debug)]
enum Value {
    Field { field: FieldUse, shows_time: Option<TimeOfDay> },
    Constant(String),
    Group(Vec<Value>),
    Transformed { function: Transformer, arguments: Vec<Value>, selector: Option<u8> },
}

/// How a time is shown that is a field of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TimeOfDay {
    Nanoseconds,
    Seconds,
}

/// Why a text is no format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormatError {
    /// The byte of the format.
    pub at: usize,
    /// What is wrong there.
    pub message: String,
    /// The format names a field that the catalog does not have.
    pub is_unknown_field: bool,
}

impl FormatError {
    fn new(at: usize, message: &str) -> Self {
        Self { at, message: message.to_owned(), is_unknown_field: false }
    }
}

/// The most errors that are looked for in a format.
const MOST_ERRORS: usize = 100;

/// The widest that a field may be filled, in characters.
const WIDEST: usize = 4096;

/// The longest field with its transformers, in bytes.
const LONGEST_FIELD: usize = 512;

/// How a field without a value is shown.
const MISSING: &str = "<NA>";

impl Format {
    /// Reads a format.
    ///
    /// As in Falco, the longest text behind a `%` that is a field is the field: `%proc.name.` is the field
    /// `proc.name` and a full stop.
    ///
    /// # Errors
    /// [`FormatError`], at the byte of the format: an unknown field, a `%` at the end.
    pub fn parse(format: &str, catalog: &dyn Catalog) -> Result<Format, FormatError> {
        let (parsed, errors) = Format::read(format, catalog);
        errors.into_iter().next().map_or(Ok(parsed), Err)
    }

    /// Everything that is wrong with a format, in its order.
    #[must_use]
    pub fn check(format: &str, catalog: &dyn Catalog) -> Vec<FormatError> {
        Format::read(format, catalog).1
    }

    fn read(format: &str, catalog: &dyn Catalog) -> (Format, Vec<FormatError>) {
        let shows_missing = format.starts_with('*');
        let mut parsed = Format { parts: Vec::new(), fields: Vec::new(), shows_missing };
        let mut errors = Vec::new();
        if format.is_empty() {
            errors.push(FormatError::new(0, "the format is empty"));
        }
        let mut at = usize::from(shows_missing);
        while let Some(rest) = format.get(at..).filter(|rest| !rest.is_empty()) {
            if let Some(text) = rest.strip_prefix('%') {
                at += 1;
                let digits = text.bytes().take_while(u8::is_ascii_digit).count();
                let (digits, text) = text.split_at(digits);
                match parsed.field(digits, text, catalog) {
                    Ok(len) => at += digits.len() + len,
                    Err(error) => {
                        errors.push(FormatError { at: at + error.at, ..error });
                        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_');
                        at += digits.len() + text.bytes().take_while(is_name).count();
                    }
                }
            } else {
                let len = rest.find('%').unwrap_or(rest.len());
                parsed.parts.push(Part::Text(rest[..len].to_owned()));
                at += len;
            }
            if errors.len() >= MOST_ERRORS {
                break;
            }
        }
        (parsed, errors)
    }

    /// Reads what stands behind a `%`: the digits of a width and the field at the front of `text`, whose
    /// length is returned.
    fn field(&mut self, digits: &str, text: &str, catalog: &dyn Catalog) -> Result<usize, FormatError> {
        if text.is_empty() {
            return Err(FormatError::new(0, "a format cannot end with a '%', nor with a width"));
        }
        let width = match digits {
            "" => None,
            // As in Falco, a width of 0 is none.
            digits => match digits.parse::<usize>() {
                Ok(width) if width <= WIDEST => Some(width).filter(|width| *width > 0),
                _ => return Err(FormatError::new(0, "the width of a field is too large")),
            },
        };
        let shift = |error: FormatError| FormatError { at: error.at + digits.len(), ..error };
        let (operand, len) = longest(text, catalog).map_err(shift)?;
        let value =
            self.value(&operand, catalog).map_err(|message| FormatError::new(digits.len(), &message))?;
        self.parts.push(Part::Value { value, width });
        Ok(len)
    }

    /// The format with a `*` at its beginning, as Falco prints alerts.
    #[must_use]
    pub fn showing_missing(mut self) -> Format {
        self.shows_missing = true;
        self
    }

    /// The fields that the format has, by the names that JSON has for them.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &FieldUse)> {
        self.fields.iter().map(|(name, field)| (name.as_str(), field))
    }

    /// Fills in the values of an event; `None` if one is missing and the format does not show missing ones.
    ///
    /// Control characters of values are escaped as in `\n` and `\x1b`, so that an event cannot forge a line.
    /// Bytes that are no UTF-8 become U+FFFD.
    #[must_use]
    pub fn resolve(&self, subject: &dyn Subject) -> Option<Resolved> {
        let mut message = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => message.push_str(text),
                Part::Value { value, width } => {
                    let text = value.text(subject);
                    if text.is_none() && !self.shows_missing {
                        return None;
                    }
                    let text = text.unwrap_or_else(|| MISSING.to_owned());
                    match width {
                        Some(width) => push_filled(&mut message, &text, *width),
                        None => message.push_str(&text),
                    }
                }
            }
        }
        let json = |field: &FieldUse| json(&subject.field(field.id, field.argument.as_ref()));
        let fields = self.fields.iter().map(|(name, field)| (name.clone(), json(field))).collect();
        Some(Resolved { message, fields })
    }

    fn value(&mut self, operand: &Operand, catalog: &dyn Catalog) -> Result<Value, String> {
        match operand {
            Operand::Field(name) => {
                let field = names::resolve(catalog, &name.name, name.argument.as_deref())?;
                let shown = match &name.argument {
                    Some(argument) => format!("{}[{argument}]", name.name),
                    None => name.name.clone(),
                };
                if !self.fields.iter().any(|(other, _)| *other == shown) {
                    self.fields.push((shown, field.clone()));
                }
                let shows_time = match name.name.as_str() {
                    "evt.time" => Some(TimeOfDay::Nanoseconds),
                    "evt.time.s" => Some(TimeOfDay::Seconds),
                    _ => None,
                };
                Ok(Value::Field { field, shows_time })
            }
            Operand::Transform(transform) => {
                let arguments = transform.arguments.iter().map(|argument| self.value(argument, catalog));
                let arguments = arguments.collect::<Result<Vec<Value>, String>>()?;
                let selector = transform.selector.as_ref().and_then(|selector| selector.bytes().next());
                Ok(Value::Transformed { function: transform.name, arguments, selector })
            }
            Operand::Value(text, _) => Ok(Value::Constant(text.clone())),
            Operand::List(items, _) => {
                let items = items.iter().map(|item| self.value(item, catalog));
                Ok(Value::Group(items.collect::<Result<Vec<Value>, String>>()?))
            }
        }
    }
}

/// The longest prefix of a text that is a field or a transformer of the catalog's fields.
fn longest(text: &str, catalog: &dyn Catalog) -> Result<(Operand, usize), FormatError> {
    let mut first_error = None;
    for len in (1..=text.len().min(LONGEST_FIELD)).rev() {
        let Some(prefix) = text.get(..len) else { continue };
        let error = match parse_operand(prefix) {
            Ok((operand, read)) => match check(&operand, catalog) {
                Ok(()) => return Ok((operand, read.min(len))),
                Err((at, message, is_unknown_field)) => FormatError { at, message, is_unknown_field },
            },
            Err(error) => FormatError::new(error.at, &error.message),
        };
        first_error.get_or_insert(error);
    }
    Err(first_error.unwrap_or_else(|| FormatError::new(0, "a '%' without a field")))
}

/// Checks an operand; the error is its byte, a message, and whether a field is unknown.
fn check(operand: &Operand, catalog: &dyn Catalog) -> Result<(), (usize, String, bool)> {
    let has_unknown = has_unknown(operand, catalog);
    check_operand(operand, catalog).map_err(|error| (error.at, error.message, has_unknown))
}

fn has_unknown(operand: &Operand, catalog: &dyn Catalog) -> bool {
    match operand {
        Operand::Field(name) => names::is_unknown(&name.name, catalog),
        Operand::Transform(transform) => transform.arguments.iter().any(|inner| has_unknown(inner, catalog)),
        Operand::List(items, _) => items.iter().any(|item| has_unknown(item, catalog)),
        Operand::Value(..) => false,
    }
}

impl Value {
    /// The value as text; `None` if it is missing.
    fn text(&self, subject: &dyn Subject) -> Option<String> {
        match (self, self.answer(subject)) {
            (Value::Field { shows_time: Some(TimeOfDay::Nanoseconds), .. }, Answer::Uint(time_ns)) => {
                Some(time_of_day(time_ns))
            }
            (Value::Field { shows_time: Some(TimeOfDay::Seconds), .. }, Answer::Uint(time_s)) => {
                let time_ns = time_s.saturating_mul(1_000_000_000);
                Some(time_of_day(time_ns).chars().take("hh:mm:ss".len()).collect())
            }
            (_, answer) => shown(&answer),
        }
    }

    fn answer<'s>(&'s self, subject: &'s dyn Subject) -> Answer<'s> {
        match self {
            Value::Field { field, .. } => subject.field(field.id, field.argument.as_ref()),
            Value::Constant(text) => Answer::Text(Cow::Borrowed(text.as_bytes())),
            Value::Group(items) => Answer::List(items.iter().map(|item| item.answer(subject)).collect()),
            Value::Transformed { function, arguments, selector } => {
                let arguments: Vec<Answer> =
                    arguments.iter().map(|argument| argument.answer(subject)).collect();
                transform::apply(*function, &arguments.iter().collect::<Vec<_>>(), *selector)
            }
        }
    }
}

fn shown(answer: &Answer) -> Option<String> {
    Some(match answer {
        Answer::Absent | Answer::Presumed(_) => return None,
        Answer::Text(text) => escaped(&String::from_utf8_lossy(text)),
        Answer::Int(number) => number.to_string(),
        Answer::Uint(number) => number.to_string(),
        Answer::Bool(flag) => flag.to_string(),
        Answer::Address(address) => address.to_string(),
        Answer::List(answers) if answers.is_empty() => return None,
        Answer::List(answers) => {
            let inner: Vec<String> = answers.iter().filter_map(shown).collect();
            format!("({})", inner.join(","))
        }
    })
}

fn json(answer: &Answer) -> serde_json::Value {
    match answer {
        Answer::Absent | Answer::Presumed(_) => serde_json::Value::Null,
        Answer::Text(text) => String::from_utf8_lossy(text).into(),
        Answer::Int(number) => (*number).into(),
        Answer::Uint(number) => (*number).into(),
        Answer::Bool(flag) => (*flag).into(),
        Answer::Address(address) => address.to_string().into(),
        Answer::List(answers) if answers.is_empty() => serde_json::Value::Null,
        Answer::List(answers) => answers.iter().map(json).collect(),
    }
}

/// The text with its control characters escaped.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            character if character.is_control() => {
                // All control characters are below 256.
                let _ = write!(out, "\\x{:02x}", u32::from(character));
            }
            character => out.push(character),
        }
    }
    out
}

fn push_filled(out: &mut String, text: &str, width: usize) {
    out.extend(text.chars().chain(std::iter::repeat(' ')).take(width));
}

/// A format with the values of an event.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    /// The line.
    pub message: String,
    /// The fields of the format and their values; numbers are numbers, a missing value is null.
    pub fields: Vec<(String, serde_json::Value)>,
}

/// How alerts show the time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeFormat {
    /// `13:53:31.726060287`
    #[default]
    TimeOfDay,
    /// `2026-11-29T13:53:31.726060287Z`
    Iso8601,
}

/// An alert, ready to be written.
#[derive(Clone, Copy, Debug)]
pub struct Alert<'a> {
    /// The machine's name.
    pub hostname: &'a str,
    /// The event's time in nanoseconds since the epoch.
    pub time_ns: u64,
    /// The rule's priority.
    pub priority: Priority,
    /// The rule's name.
    pub rule: &'a str,
    /// The rule's source, `syscall`.
    pub source: &'a str,
    /// The rule's tags, in their order.
    pub tags: &'a [String],
    /// The rule's output.
    pub output: &'a Resolved,
}

impl Alert<'_> {
    /// The line as Falco's text has it: `HH:MM:SS.nnnnnnnnn: Priority message`, in UTC.
    #[must_use]
    pub fn to_text(&self, time: TimeFormat) -> String {
        let time = match time {
            TimeFormat::TimeOfDay => time_of_day(self.time_ns),
            TimeFormat::Iso8601 => iso8601(self.time_ns),
        };
        format!("{time}: {} {}", self.priority, self.output.message)
    }

    /// The object as Falco's JSON has it, in one line without a line feed; keys are in alphabetical order.
    #[must_use]
    pub fn to_json(&self, time: TimeFormat) -> String {
        let mut line = String::from("{\"hostname\":");
        push_json(&mut line, &self.hostname.into());
        line.push_str(",\"output\":");
        push_json(&mut line, &self.to_text(time).into());
        line.push_str(",\"output_fields\":{");
        let (time_name, time_value) = match time {
            TimeFormat::TimeOfDay => ("evt.time", self.time_ns.into()),
            TimeFormat::Iso8601 => ("evt.time.iso8601", self.time_ns.into()),
        };
        let fields = self.output.fields.iter().filter(|(name, _)| name != time_name);
        let mut fields: Vec<(&str, &serde_json::Value)> =
            fields.map(|(name, value)| (name.as_str(), value)).collect();
        fields.push((time_name, &time_value));
        fields.sort_by_key(|(name, _)| *name);
        for (n, (name, value)) in fields.into_iter().enumerate() {
            line.push_str(if n == 0 { "" } else { "," });
            push_json(&mut line, &name.into());
            line.push(':');
            push_json(&mut line, value);
        }
        line.push_str("},\"priority\":");
        push_json(&mut line, &self.priority.name().into());
        line.push_str(",\"rule\":");
        push_json(&mut line, &self.rule.into());
        line.push_str(",\"source\":");
        push_json(&mut line, &self.source.into());
        line.push_str(",\"tags\":");
        push_json(&mut line, &self.tags.into());
        line.push_str(",\"time\":");
        push_json(&mut line, &iso8601(self.time_ns).into());
        line.push('}');
        line
    }
}

fn push_json(line: &mut String, value: &serde_json::Value) {
    // Writing to a string does not fail.
    let _ = write!(line, "{value}");
}

/// The time of day of a time in nanoseconds since the epoch, in UTC, as in `13:53:31.726060287`.
#[must_use]
pub fn time_of_day(time_ns: u64) -> String {
    let (seconds, ns) = (time_ns / 1_000_000_000, time_ns % 1_000_000_000);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{hour:02}:{minute:02}:{second:02}.{ns:09}")
}

/// A time in nanoseconds since the epoch as RFC 3339 has it, in UTC, as in `2026-11-29T13:53:31.726060287Z`.
#[must_use]
pub fn iso8601(time_ns: u64) -> String {
    let (year, month, day) = date(time_ns / 86_400_000_000_000);
    format!("{year:04}-{month:02}-{day:02}T{}Z", time_of_day(time_ns))
}

/// Year, month and day of a day since the epoch, counted in years that begin in March so that the leap day is
/// their last (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}
