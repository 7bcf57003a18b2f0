//! A field of an event as attributes.

use super::message::{ATTRIBUTES, Any, attribute, list};
use super::names::Form;
use crate::event::{Batch, Value};
use crate::sinks::reading::End;
use crate::system::clock::TimeWriter;

/// A field of an event.
#[derive(Clone, Copy)]
pub struct Field<'a> {
    pub batch: &'a Batch,
    /// Its own name.
    pub field: &'a str,
    /// The attribute.
    pub name: &'a str,
    pub form: Form,
    /// The family of the event's socket; empty where it has none.
    pub family: &'a [u8],
}

impl Field<'_> {
    /// Appends its value as attributes.
    pub fn write(&self, value: Value, time: &mut TimeWriter, out: &mut Vec<u8>) {
        let (batch, name) = (self.batch, self.name);
        let text =
            |text: &[u8], out: &mut Vec<u8>| attribute(ATTRIBUTES, name.as_bytes(), Any::Text(text), out);
        match (self.form, value) {
            (_, Value::Absent) => {}
            (Form::Octal, Value::Uint(mode)) => text(format!("{mode:04o}").as_bytes(), out),
            (Form::Text, Value::Int(number)) => text(number.to_string().as_bytes(), out),
            (Form::Moment, Value::Int(ns)) if ns >= 0 => text(time.utc(ns.unsigned_abs()), out),
            (Form::End, Value::Text(span)) => self.end(batch.bytes(span), out),
            (Form::Transport, Value::Word(kind)) => match transport(self.family, kind) {
                Some(transport) => text(transport.as_bytes(), out),
                None => attribute(ATTRIBUTES, b"glassbox.type", Any::Text(kind.as_bytes()), out),
            },
            (Form::Network, Value::Word("AF_INET")) => text(b"ipv4", out),
            (Form::Network, Value::Word("AF_INET6")) => text(b"ipv6", out),
            (Form::Network, Value::Word(family)) => {
                attribute(ATTRIBUTES, b"glassbox.family", Any::Text(family.as_bytes()), out);
            }
            (Form::Each, Value::Map(span)) => self.each(batch.strings(span), out),
            (_, value) => self.plain(value, out),
        }
    }

    fn plain(&self, value: Value, out: &mut Vec<u8>) {
        let (batch, name) = (self.batch, self.name);
        let any = |value, out: &mut Vec<u8>| attribute(ATTRIBUTES, name.as_bytes(), value, out);
        match value {
            Value::Absent => {}
            Value::Int(number) => any(Any::Int(number), out),
            Value::Uint(number) => match i64::try_from(number) {
                Ok(number) => any(Any::Int(number), out),
                // Attributes have no larger numbers.
                Err(_) => any(Any::Text(number.to_string().as_bytes()), out),
            },
            Value::Bool(truth) => any(Any::Bool(truth), out),
            Value::Text(span) => any(Any::Text(batch.bytes(span)), out),
            Value::Word(word) => any(Any::Text(word.as_bytes()), out),
            Value::Path(span, raw) => {
                any(Any::Text(batch.bytes(span)), out);
                if let Some(raw) = raw {
                    self.as_passed(batch.bytes(raw), false, out);
                }
            }
            Value::LexicalPath(span, raw) => {
                any(Any::Text(batch.bytes(span)), out);
                self.as_passed(batch.bytes(raw), true, out);
            }
            Value::List(span) | Value::Map(span) => list(ATTRIBUTES, name, batch.strings(span), out),
            Value::Names(table, bits) => {
                let mut names: Vec<&[u8]> = Vec::new();
                let rest = table.names(bits, |name| names.push(name.as_bytes()));
                let rest = format!("{rest:#x}");
                if rest != "0x0" {
                    names.push(rest.as_bytes());
                }
                list(ATTRIBUTES, name, names.into_iter(), out);
            }
        }
    }

    /// The path as the caller passed it, and whether it goes by the text alone.
    fn as_passed(&self, raw: &[u8], is_lexical: bool, out: &mut Vec<u8>) {
        let field = self.field;
        attribute(ATTRIBUTES, format!("glassbox.{field}_raw").as_bytes(), Any::Text(raw), out);
        if is_lexical {
            attribute(ATTRIBUTES, format!("glassbox.{field}_lexical").as_bytes(), Any::Bool(true), out);
        }
    }

    fn end(&self, text: &[u8], out: &mut Vec<u8>) {
        let name = self.name;
        let address = format!("{name}.address");
        match End::of(text) {
            Some(End::Internet(_, ip, port)) => {
                attribute(ATTRIBUTES, address.as_bytes(), Any::Text(ip.as_bytes()), out);
                attribute(ATTRIBUTES, format!("{name}.port").as_bytes(), Any::Int(port.into()), out);
            }
            Some(End::Name(text)) => attribute(ATTRIBUTES, address.as_bytes(), Any::Text(text), out),
            None => {}
        }
    }

    /// Of a name that occurs twice the first counts, as for getenv(3).
    fn each<'a>(&self, entries: impl Iterator<Item = &'a [u8]>, out: &mut Vec<u8>) {
        let mut seen: Vec<&[u8]> = Vec::new();
        for entry in entries {
            let equals = entry.iter().position(|byte| *byte == b'=').unwrap_or(entry.len());
            let (key, value) = (&entry[..equals], entry.get(equals + 1..).unwrap_or_default());
            if !seen.contains(&key) {
                seen.push(key);
                let name = [self.name.as_bytes(), b".", key].concat();
                attribute(ATTRIBUTES, &name, Any::Text(value), out);
            }
        }
    }
}

/// `network.transport` of a socket.
fn transport(family: &[u8], kind: &str) -> Option<&'static str> {
    match (family, kind) {
        (b"AF_INET" | b"AF_INET6", "SOCK_STREAM") => Some("tcp"),
        (b"AF_INET" | b"AF_INET6", "SOCK_DGRAM") => Some("udp"),
        (b"AF_UNIX", _) => Some("unix"),
        _ => None,
    }
}
