//! Messages of OpenTelemetry's protocol in the encoding of Protocol Buffers
//! (<https://protobuf.dev/programming-guides/encoding/>), written as they are made.
//!
//! The numbers of the fields stand in opentelemetry/proto/{collector/logs,logs,common,resource}/v1/*.proto.
//! A message may be written in pieces, and repeated fields of two pieces add up: so attributes that
//! many records share are encoded once, and two requests behind each other are one.

use std::borrow::Cow;

/// Fields of a request for logs (`ExportLogsServiceRequest`, `ResourceLogs`, `ScopeLogs`).
pub const RESOURCE_LOGS: u32 = 1;
pub const RESOURCE: u32 = 1;
pub const SCOPE_LOGS: u32 = 2;
pub const SCOPE: u32 = 1;
pub const LOG_RECORDS: u32 = 2;
pub const SCOPE_NAME: u32 = 1;
pub const SCOPE_VERSION: u32 = 2;
/// Attributes of a resource.
pub const RESOURCE_ATTRIBUTES: u32 = 1;
/// Fields of a `LogRecord`.
pub const TIME: u32 = 1;
pub const SEVERITY_NUMBER: u32 = 2;
pub const SEVERITY_TEXT: u32 = 3;
pub const BODY: u32 = 5;
pub const ATTRIBUTES: u32 = 6;
pub const OBSERVED_TIME: u32 = 11;
pub const EVENT_NAME: u32 = 12;
/// Fields of a `KeyValue`, an `AnyValue` and an `ArrayValue`.
const KEY: u32 = 1;
const VALUE: u32 = 2;
const STRING: u32 = 1;
const BOOL: u32 = 2;
const INT: u32 = 3;
const ARRAY: u32 = 5;
const VALUES: u32 = 1;

/// Types on the wire.
const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const LENGTH: u32 = 2;

/// Appends a number, seven bits a byte, the lowest first.
fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn tag(field: u32, kind: u32, out: &mut Vec<u8>) {
    varint(u64::from(field << 3 | kind), out);
}

/// Appends a field that is a message, which `write` appends.
pub fn message(field: u32, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    tag(field, LENGTH, out);
    // Most messages are short: their length takes one byte, and a longer one is moved.
    let at = out.len();
    out.push(0);
    write(out);
    let len = out.len() - at - 1;
    if let Ok(short @ 0..0x80) = u8::try_from(len) {
        out[at] = short;
        return;
    }
    let mut prefix = Vec::with_capacity(5);
    varint(len as u64, &mut prefix);
    out.splice(at..=at, prefix);
}

/// Appends a field that is text or bytes.
pub fn bytes(field: u32, text: &[u8], out: &mut Vec<u8>) {
    tag(field, LENGTH, out);
    varint(text.len() as u64, out);
    out.extend_from_slice(text);
}

/// Appends a field that is a number.
pub fn number(field: u32, number: u64, out: &mut Vec<u8>) {
    tag(field, VARINT, out);
    varint(number, out);
}

/// Appends a field that is a time, nanoseconds since 1970.
pub fn time(field: u32, ns: u64, out: &mut Vec<u8>) {
    tag(field, FIXED64, out);
    out.extend_from_slice(&ns.to_le_bytes());
}

/// A value that an attribute may have.
#[derive(Clone, Copy, Debug)]
pub enum Any<'a> {
    /// Any bytes; see [`readable`].
    Text(&'a [u8]),
    Int(i64),
    Bool(bool),
}

/// Appends an `AnyValue` as a field.
pub fn any(field: u32, value: Any<'_>, out: &mut Vec<u8>) {
    message(field, out, |out| match value {
        Any::Text(text) => bytes(STRING, readable(text).as_bytes(), out),
        Any::Int(value) => number(INT, value.cast_unsigned(), out),
        Any::Bool(value) => number(BOOL, value.into(), out),
    });
}

/// Appends an attribute as a field: of a resource, or of a record.
pub fn attribute(field: u32, key: &[u8], value: Any<'_>, out: &mut Vec<u8>) {
    message(field, out, |out| {
        bytes(KEY, readable(key).as_bytes(), out);
        any(VALUE, value, out);
    });
}

/// Appends an attribute that is a list of texts.
pub fn list<'a>(field: u32, key: &str, values: impl Iterator<Item = &'a [u8]>, out: &mut Vec<u8>) {
    message(field, out, |out| {
        bytes(KEY, key.as_bytes(), out);
        message(VALUE, out, |out| {
            message(ARRAY, out, |out| values.for_each(|value| any(VALUES, Any::Text(value), out)));
        });
    });
}

/// Bytes as the text that a string of the protocol must be: a byte that is no UTF-8 becomes `\xNN`, and a
/// backslash before what looks so `\x5c`, as in `jsonl` (see [`crate::json`]).
pub fn readable(bytes: &[u8]) -> Cow<'_, str> {
    let looks_escaped = |text: &str| text.as_bytes().windows(2).any(|pair| pair == b"\\x");
    match std::str::from_utf8(bytes) {
        Ok(text) if !looks_escaped(text) => Cow::Borrowed(text),
        _ => Cow::Owned(crate::json::readable(bytes)),
    }
}

/// The answer to a request: how many records were refused, and why (`ExportLogsServiceResponse`,
/// `ExportLogsPartialSuccess`); `None` where all were taken, or for bytes that are no answer.
pub fn refused(answer: &[u8]) -> Option<(u64, String)> {
    let partial = fields(answer).find_map(|(field, value)| (field == 1).then_some(value))?;
    let Value::Bytes(partial) = partial else { return None };
    let (mut count, mut why) = (0, String::new());
    for (field, value) in fields(partial) {
        match (field, value) {
            (1, Value::Number(refused)) => count = refused,
            (2, Value::Bytes(text)) => why = String::from_utf8_lossy(text).into_owned(),
            _ => {}
        }
    }
    // A negative number is none.
    (1..=i64::MAX.cast_unsigned()).contains(&count).then_some((count, why))
}

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message, as far as its bytes are some.
fn fields(mut rest: &[u8]) -> impl Iterator<Item = (u64, Value<'_>)> {
    std::iter::from_fn(move || {
        let tag = take_varint(&mut rest)?;
        let value = match tag & 7 {
            0 => Value::Number(take_varint(&mut rest)?),
            1 => Value::Number(u64::from_le_bytes(*rest.split_off(..8)?.first_chunk()?)),
            2 => {
                let len = usize::try_from(take_varint(&mut rest)?).ok()?;
                Value::Bytes(rest.split_off(..len)?)
            }
            5 => Value::Number(u32::from_le_bytes(*rest.split_off(..4)?.first_chunk()?).into()),
            _ => return None,
        };
        Some((tag >> 3, value))
    })
}

fn take_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = *rest.split_off_first()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, proptest};

    use super::*;

    #[test]
    fn messages_are_as_long_as_they_say() {
        for len in [0, 1, 127, 128, 300, 20_000] {
            let mut out = Vec::new();
            message(3, &mut out, |out| out.extend(vec![7; len]));

            let found: Vec<(u64, Vec<u8>)> = fields(&out)
                .map(|(field, value)| match value {
                    Value::Bytes(bytes) => (field, bytes.to_vec()),
                    Value::Number(_) => panic!(),
                })
                .collect();
            assert_eq!(vec![(3, vec![7; len])], found);
        }
    }

    #[test]
    fn refusals_of_an_answer_are_read() {
        assert_eq!(None, refused(b""));
        assert_eq!(None, refused(b"\x0a\x00"));
        assert_eq!(Some((300, "no room".to_owned())), refused(b"\x0a\x0c\x08\xac\x02\x12\x07no room"));
        assert_eq!(None, refused(b"\x0a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"));
        assert_eq!(None, refused(b"<html>busy</html>"));
    }

    proptest! {
        #[test]
        fn any_answer_is_read_without_a_panic(bytes in any::<Vec<u8>>()) {
            let _ = refused(&bytes);
        }

        #[test]
        fn any_bytes_become_text(bytes in any::<Vec<u8>>()) {
            prop_assert!(bytes.is_empty() || !readable(&bytes).is_empty());
        }
    }
}
