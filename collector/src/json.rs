//! Events as JSON, one object a line: the form that `docs/contract.md` fixes.
//!
//! The writer appends to a byte buffer, by the names of the event table: a serializer with a value tree costs
//! several times as much, and paths are bytes here, not strings.
//!
//! # Bytes that are not UTF-8
//! Such a byte becomes the four characters `\xNN` (lower-case hex) in the string. So that nothing else looks
//! like one, a backslash that the text itself has before `xNN` becomes `\x5c`; any other backslash stays.
//! Replacing each `\xNN` of a parsed string by that byte thus always gives the original back.
//!
//! # Characters that do not show
//! Controls, directions and kin ([`deploy::visible`]) are written as JSON's own `\uNNNN`, so that a line that
//! is looked at shows them, and a parsed string is the same as without.

use std::sync::Arc;

use deploy::visible::is_hidden;
use wire::events::Kind;
use wire::names::FlagTable;

use crate::event::{Batch, Event, Shape, Span, Value, Who, id};
use crate::ids::Tid;
use crate::system::clock::TimeWriter;

/// Writes events; keeps the text that the next one probably shares with the last.
#[derive(Debug, Default)]
pub struct JsonWriter {
    /// Whether events have their `id`, as what leaves for a fleet does.
    has_ids: bool,
    time: TimeWriter,
    /// The image that the next two belong to.
    of: Option<Arc<Who>>,
    /// The image's fields after `tid`, up to the identity of its container.
    text: Vec<u8>,
    /// All else that is known of the container.
    container: Vec<u8>,
}

impl JsonWriter {
    /// A writer of events with their `id`.
    pub fn with_ids() -> Self {
        Self { has_ids: true, ..Self::default() }
    }

    /// Appends `event` and a line feed.
    pub fn write(&mut self, batch: &Batch, event: &Event, out: &mut Vec<u8>) {
        let shape = Shape::of(event.kind);
        let who = &batch.whos[event.who as usize];
        out.extend_from_slice(b"{\"time\":\"");
        out.extend_from_slice(self.time.utc(event.time.0));
        out.extend_from_slice(b"\",\"event\":\"");
        out.extend_from_slice(shape.name.as_bytes());
        if !event.call.is_empty() {
            out.extend_from_slice(b"\",\"call\":\"");
            out.extend_from_slice(event.call.as_bytes());
        }
        if self.has_ids {
            out.extend_from_slice(b"\",\"id\":\"");
            id::write(batch.origin, event.number, out);
        }
        out.extend_from_slice(b"\",\"pid\":");
        unsigned(u64::from(who.pid().0), out);
        if event.tid != Tid(0) {
            out.extend_from_slice(b",\"tid\":");
            unsigned(u64::from(event.tid.0), out);
        }
        self.identity(who, event.kind, out);
        if let Some(request_id) = &batch.request_id {
            key("request_id", "", out);
            string(request_id.as_bytes(), out);
        }
        if let Some(seq) = event.seq {
            out.extend_from_slice(b",\"seq\":");
            unsigned(seq, out);
        }
        if let Some(via) = event.via {
            out.extend_from_slice(b",\"via\":\"");
            out.extend_from_slice(via.name().as_bytes());
            out.push(b'"');
        }
        if let Some(ret) = event.ret {
            out.extend_from_slice(b",\"ret\":");
            signed(ret, out);
        }
        if !event.error.is_empty() {
            out.extend_from_slice(b",\"error\":\"");
            out.extend_from_slice(event.error.as_bytes());
            out.push(b'"');
        }
        for (name, value) in shape.fields.iter().zip(batch.values(event)) {
            field(batch, name, *value, out);
        }
        if event.is_truncated {
            out.extend_from_slice(b",\"truncated\":true");
        }
        out.extend_from_slice(b"}\n");
    }

    fn identity(&mut self, who: &Arc<Who>, kind: Kind, out: &mut Vec<u8>) {
        if !self.of.as_ref().is_some_and(|of| Arc::ptr_eq(of, who)) {
            self.of = Some(Arc::clone(who));
            let text = &mut self.text;
            text.clear();
            number_if(",\"ppid\":", who.ppid.map(|ppid| ppid.0), text);
            if let Some(pid_ns) = who.pid_ns {
                text.extend_from_slice(b",\"pid_ns\":");
                unsigned(pid_ns, text);
            }
            if let Some(mnt_ns) = who.mnt_ns {
                text.extend_from_slice(b",\"mnt_ns\":");
                unsigned(mnt_ns, text);
            }
            if !who.exe().is_empty() {
                text.extend_from_slice(b",\"exe\":");
                string(who.exe(), text);
            }
            number_if(",\"uid\":", who.uid, text);
            number_if(",\"euid\":", who.euid, text);
            number_if(",\"uid_inside\":", who.uid_inside, text);
            if !who.claimed.is_empty() {
                text.extend_from_slice(b",\"claimed\":[");
                for (index, name) in who.claimed.names().enumerate() {
                    text.extend_from_slice(if index == 0 { b"\"" } else { b",\"" });
                    text.extend_from_slice(name.as_bytes());
                    text.push(b'"');
                }
                text.push(b']');
            }
            self.container.clear();
            if let Some(container) = &who.container {
                text.extend_from_slice(b",\"container\":{");
                facts(container.which(), text);
                facts(container.what(), &mut self.container);
            }
        }
        out.extend_from_slice(&self.text);
        if who.container.is_some() {
            // It takes half a kilobyte: at the start and the end of a process is enough.
            if matches!(kind, Kind::ProcessStart | Kind::ProcessExit) {
                out.extend_from_slice(&self.container);
            }
            out.push(b'}');
        }
    }
}

/// Appends a field with its value, and what belongs to it (`path_raw`), to an object that is open. An absent
/// value appends nothing.
pub fn field(batch: &Batch, name: &str, value: Value, out: &mut Vec<u8>) {
    if matches!(value, Value::Absent) {
        return;
    }
    key(name, "", out);
    match value {
        Value::Absent => {}
        Value::Int(number) => signed(number, out),
        Value::Uint(number) => unsigned(number, out),
        Value::Bool(truth) => out.extend_from_slice(if truth { b"true" } else { b"false" }),
        Value::Text(span) => string(batch.bytes(span), out),
        Value::Word(word) => string(word.as_bytes(), out),
        Value::Path(span, _) | Value::LexicalPath(span, _) => {
            string(batch.bytes(span), out);
            as_passed(batch, name, value, out);
        }
        Value::List(span) => list(batch.strings(span), out),
        Value::Map(span) => map(batch, span, out),
        Value::Names(table, bits) => flags(table, bits, out),
    }
}

/// Appends what belongs to a path beside itself: how the caller passed it, and whether it went by the text
/// alone. Nothing for any other value.
pub fn as_passed(batch: &Batch, name: &str, value: Value, out: &mut Vec<u8>) {
    let (Value::Path(_, Some(raw)) | Value::LexicalPath(_, raw)) = value else { return };
    key(name, "_raw", out);
    string(batch.bytes(raw), out);
    if let Value::LexicalPath(..) = value {
        key(name, "_lexical", out);
        out.extend_from_slice(b"true");
    }
}

/// Appends members to an object that is open.
fn facts<'a>(facts: impl Iterator<Item = (&'static str, &'a str)>, out: &mut Vec<u8>) {
    for (name, text) in facts {
        if !out.ends_with(b"{") {
            out.push(b',');
        }
        string(name.as_bytes(), out);
        out.push(b':');
        string(text.as_bytes(), out);
    }
}

/// Appends the name of a member to an object that is open, with the comma before it.
pub fn key(name: &str, suffix: &str, out: &mut Vec<u8>) {
    // An object that was opened just now has no member yet.
    out.extend_from_slice(if out.last() == Some(&b'{') { b"\"" } else { b",\"" });
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(suffix.as_bytes());
    out.extend_from_slice(b"\":");
}

fn number_if(key: &str, number: Option<u32>, out: &mut Vec<u8>) {
    if let Some(number) = number {
        out.extend_from_slice(key.as_bytes());
        unsigned(u64::from(number), out);
    }
}

/// Appends a number.
pub fn unsigned(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends a number.
pub fn signed(number: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends strings as a list.
pub fn list<'a>(strings: impl Iterator<Item = &'a [u8]>, out: &mut Vec<u8>) {
    out.push(b'[');
    for (index, item) in strings.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        string(item, out);
    }
    out.push(b']');
}

/// The names of flags as a list, and one hexadecimal number for all bits without a name.
fn flags(table: &FlagTable, bits: u64, out: &mut Vec<u8>) {
    out.push(b'[');
    let rest = table.names(bits, |name| {
        out.extend_from_slice(if out.last() == Some(&b'[') { b"\"" } else { b",\"" });
        out.extend_from_slice(name.as_bytes());
        out.push(b'"');
    });
    if rest != 0 {
        let comma = if out.last() == Some(&b'[') { "" } else { "," };
        out.extend_from_slice(format!("{comma}\"{rest:#x}\"").as_bytes());
    }
    out.push(b']');
}

/// `NAME=value` strings as an object. If a name occurs twice, the first counts, as for getenv(3).
fn map(batch: &Batch, span: Span, out: &mut Vec<u8>) {
    let mut seen: Vec<&[u8]> = Vec::new();
    out.push(b'{');
    for entry in batch.strings(span) {
        let equals = entry.iter().position(|byte| *byte == b'=').unwrap_or(entry.len());
        let (name, value) = (&entry[..equals], entry.get(equals + 1..).unwrap_or_default());
        if seen.contains(&name) {
            continue;
        }
        if !seen.is_empty() {
            out.push(b',');
        }
        seen.push(name);
        string(name, out);
        out.push(b':');
        string(value, out);
    }
    out.push(b'}');
}

/// Bytes that stand for themselves inside a JSON string.
static PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0x20;
    // Up to DEL, which is a control too.
    while byte < 0x7f {
        plain[byte] = byte != b'"' as usize && byte != b'\\' as usize;
        byte += 1;
    }
    plain
};

/// Appends `bytes` as a JSON string, quotes included.
pub fn string(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    if bytes.iter().all(|byte| PLAIN[usize::from(*byte)]) {
        out.extend_from_slice(bytes);
    } else {
        escaped(bytes, out);
    }
    out.push(b'"');
}

#[cold]
fn escaped(bytes: &[u8], out: &mut Vec<u8>) {
    for chunk in bytes.utf8_chunks() {
        let text = chunk.valid().as_bytes();
        let mut start = 0;
        for (index, letter) in chunk.valid().char_indices() {
            let is_plain = match u8::try_from(letter) {
                Ok(byte) if byte < 0x80 => PLAIN[usize::from(byte)],
                _ => !is_hidden(letter),
            };
            if is_plain {
                continue;
            }
            out.extend_from_slice(&text[start..index]);
            start = index + letter.len_utf8();
            match letter {
                '"' => out.extend_from_slice(b"\\\""),
                '\\' if looks_like_escape(&text[index..]) => out.extend_from_slice(b"\\\\x5c"),
                '\\' => out.extend_from_slice(b"\\\\"),
                '\n' => out.extend_from_slice(b"\\n"),
                '\t' => out.extend_from_slice(b"\\t"),
                '\r' => out.extend_from_slice(b"\\r"),
                hidden => {
                    for unit in hidden.encode_utf16(&mut [0; 2]) {
                        out.extend_from_slice(b"\\u");
                        unit.to_be_bytes().into_iter().for_each(|byte| hex(byte, out));
                    }
                }
            }
        }
        out.extend_from_slice(&text[start..]);
        for byte in chunk.invalid() {
            out.extend_from_slice(b"\\\\x");
            hex(*byte, out);
        }
    }
}

/// Bytes as text in the way of the module's documentation, and characters that do not show as they are: for
/// formats that have an escape for none.
pub fn readable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() + 8);
    for chunk in bytes.utf8_chunks() {
        let valid = chunk.valid();
        for (index, letter) in valid.char_indices() {
            match letter {
                '\\' if looks_like_escape(&valid.as_bytes()[index..]) => text.push_str("\\x5c"),
                letter => text.push(letter),
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// Whether the text after a backslash makes it look like an escaped byte.
fn looks_like_escape(text: &[u8]) -> bool {
    matches!(text, [_, b'x', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
}

fn hex(byte: u8, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.push(DIGITS[usize::from(byte >> 4)]);
    out.push(DIGITS[usize::from(byte & 15)]);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::Value as Json;

    use super::*;
    use crate::event::sample;

    fn text_of(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        string(bytes, &mut out);
        serde_json::from_slice(&out).unwrap()
    }

    /// Decodes a string as the module's documentation says.
    fn original(text: &str) -> Vec<u8> {
        let bytes = text.as_bytes();
        let mut original = Vec::new();
        let mut index = 0;
        while index < bytes.len() {
            if bytes[index] == b'\\' && looks_like_escape(&bytes[index..]) {
                original.push(u8::from_str_radix(&text[index + 2..index + 4], 16).unwrap());
                index += 4;
            } else {
                original.push(bytes[index]);
                index += 1;
            }
        }
        original
    }

    #[test]
    fn bytes_that_are_not_utf8_become_four_characters() {
        assert_eq!("/a\\xffb", text_of(b"/a\xffb"));
        assert_eq!("é\\xe2\\x82", text_of("é".bytes().chain([0xe2, 0x82]).collect::<Vec<u8>>().as_slice()));
    }

    #[test]
    fn characters_that_do_not_show_are_escaped_and_parse_back() {
        for (text, written) in [
            ("exe\u{202e}gpj", r#""exe\u202egpj""#),
            ("\u{0}\u{1b}\u{7f}", r#""\u0000\u001b\u007f""#),
            ("\u{9b}31m", r#""\u009b31m""#),
            ("a\u{2028}b\u{2066}c\u{2069}\u{61c}\u{200f}", r#""a\u2028b\u2066c\u2069\u061c\u200f""#),
            ("\u{feff}\u{e0041}", r#""\ufeff\udb40\udc41""#),
            ("größe 文 😀", r#""größe 文 😀""#),
        ] {
            let mut out = Vec::new();

            string(text.as_bytes(), &mut out);

            assert_eq!(written, String::from_utf8(out).unwrap());
            assert_eq!(text, text_of(text.as_bytes()));
        }
    }

    #[test]
    fn backslash_stays_unless_it_would_look_like_an_escape() {
        assert_eq!("a\\b\\x", text_of(b"a\\b\\x"));
        assert_eq!("\\x5cx41", text_of(b"\\x41"));
    }

    #[test]
    fn every_byte_string_can_be_read_back() {
        let mut state = 1_u64;
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..12)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let choice = b"\\\\xf5cA\"\n\x01\xc3\xa9\xff\xe2\x82";
                    choice[(state >> 33) as usize % choice.len()]
                })
                .collect();

            assert_eq!(bytes, original(&text_of(&bytes)));
            assert_eq!(bytes, original(&readable(&bytes)));
        }
    }

    #[test]
    fn every_event_is_one_line_of_valid_json() {
        let batch = sample::every_kind();
        let mut writer = JsonWriter::default();

        for event in &batch.events {
            let mut line = Vec::new();
            writer.write(&batch, event, &mut line);
            let object: BTreeMap<String, Json> = serde_json::from_slice(&line).unwrap();

            assert_eq!(1, line.iter().filter(|byte| **byte == b'\n').count());
            assert_eq!(Json::from(event.kind.name()), object["event"]);
            assert_eq!(Json::from(4121), object["pid"]);
        }
    }

    #[test]
    fn line_has_the_fields_of_the_contract_in_order() {
        let mut batch = Batch::default();
        batch.whos.push(sample::who());
        batch.push(Event { error: "ENOENT", ret: Some(-1), ..sample::head(Kind::FileOpen) });
        let (path, raw) = (batch.keep(b"/etc/x"), batch.keep(b"x"));
        batch.set(Shape::place(Kind::FileOpen, "path"), Value::Path(path, Some(raw)));
        batch.set(
            Shape::place(Kind::FileOpen, "flags"),
            Value::Names(&wire::names::OPEN, 0o2_000_101 | 1 << 40),
        );
        batch.set(Shape::place(Kind::FileOpen, "mode"), Value::Uint(0o644));
        let mut line = Vec::new();

        JsonWriter::default().write(&batch, &batch.events[0], &mut line);

        assert_eq!(
            concat!(
                r#"{"time":"2023-11-14T22:13:20.123456789Z","event":"file.open","call":"openat","pid":4121,"tid":4121,"#,
                r#""ppid":4100,"exe":"/usr/bin/cat","uid":1000,"euid":0,"seq":7,"via":"symbol","ret":-1,"#,
                r#""error":"ENOENT","path":"/etc/x","path_raw":"x","#,
                r#""flags":["O_WRONLY","O_CREAT","O_CLOEXEC","0x10000000000"],"mode":420}"#,
                "\n"
            ),
            String::from_utf8(line).unwrap()
        );
    }

    #[test]
    fn user_inside_and_mount_namespace_stand_in_the_line_where_they_are_others() {
        let mut batch = Batch::default();
        let who = Who { uid_inside: Some(0), mnt_ns: Some(u64::MAX), ..(*sample::who()).clone() };
        batch.whos.push(Arc::new(who));
        batch.push(sample::head(Kind::FileRmdir));
        let mut line = Vec::new();

        JsonWriter::default().write(&batch, &batch.events[0], &mut line);

        let line = String::from_utf8(line).unwrap();
        let expected = concat!(
            r#""ppid":4100,"mnt_ns":18446744073709551615,"exe":"/usr/bin/cat","uid":1000,"euid":0,"#,
            r#""uid_inside":0,"seq":7"#
        );
        assert!(line.contains(expected), "{line}");
    }

    #[test]
    fn container_is_named_everywhere_and_described_where_a_process_begins_and_ends() {
        let mut container = (*sample::container("4f2c", "a\"b")).clone();
        container.set(2, "i:1");
        let mut batch = Batch::default();
        batch.whos.push(sample::who_in(&Arc::new(container)));
        batch.whos.push(sample::who());
        for (kind, who) in
            [(Kind::ProcessStart, 0), (Kind::FileOpen, 0), (Kind::ProcessExit, 0), (Kind::FileOpen, 1)]
        {
            batch.push(Event { who, ..sample::head(kind) });
        }
        let mut writer = JsonWriter::default();

        let containers: Vec<Json> = batch
            .events
            .iter()
            .map(|event| {
                let mut line = Vec::new();
                writer.write(&batch, event, &mut line);
                serde_json::from_slice::<Json>(&line).unwrap()["container"].clone()
            })
            .collect();

        let (named, described) = (
            serde_json::json!({"id": "4f2c", "name": "a\"b"}),
            serde_json::json!({"id": "4f2c", "name": "a\"b", "image": "i:1"}),
        );
        assert_eq!(vec![described.clone(), named, described, Json::Null], containers);
    }

    #[test]
    fn request_that_was_served_stands_in_every_line_of_its_batch() {
        let mut batch = sample::every_kind();
        batch.request_id = Some("8476a536-\"x\"".into());
        let mut writer = JsonWriter::default();

        for event in &batch.events {
            let mut line = Vec::new();
            writer.write(&batch, event, &mut line);
            let object: Json = serde_json::from_slice(&line).unwrap();

            assert_eq!(Json::from("8476a536-\"x\""), object["request_id"]);
        }
    }

    #[test]
    fn environment_is_an_object_with_the_first_of_two_names() {
        let mut batch = Batch::default();
        batch.whos.push(sample::who());
        batch.push(sample::head(Kind::ProcessStart));
        let env = batch.keep(b"LD_PRELOAD=/a\0LD_PRELOAD=/b\0X\0");
        batch.set(Shape::place(Kind::ProcessStart, "env"), Value::Map(env));
        let mut line = Vec::new();

        JsonWriter::default().write(&batch, &batch.events[0], &mut line);

        let object: Json = serde_json::from_slice(&line).unwrap();
        assert_eq!(serde_json::json!({"LD_PRELOAD": "/a", "X": ""}), object["env"]);
    }
}
