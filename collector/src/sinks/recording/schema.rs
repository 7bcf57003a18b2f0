//! Frames, and the schema that a recording begins with.

use std::sync::LazyLock;

use wire::schema::EVENTS;

use super::varints::{bytes, unsigned};
use super::{FRAME_HEAD, MAGIC, TABLES, tag};
use crate::event::Shape;

/// The beginning of a recording of this build, and its number among schemas: its CRC-32.
pub fn own_schema() -> (&'static [u8], u32) {
    static OWN: LazyLock<(Vec<u8>, u32)> = LazyLock::new(|| {
        let mut text = MAGIC.to_vec();
        frame(tag::SCHEMA, &mut text, schema);
        let number = crc32fast::hash(&text);
        (text, number)
    });
    (&OWN.0, OWN.1)
}

/// Appends a frame with the body that `write` appends.
pub(super) fn frame(tag: u8, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; FRAME_HEAD - 1]);
    out.push(tag);
    write(out);
    let Some((head, body)) =
        out.get_mut(start..).and_then(|frame| frame.split_at_mut_checked(FRAME_HEAD - 1))
    else {
        return;
    };
    // Far below 4 GiB: see `Recording::some`.
    head[..4].copy_from_slice(&(body.len() as u32 - 1).to_le_bytes());
    head[4..].copy_from_slice(&crc32fast::hash(body).to_le_bytes());
}

/// Appends the kinds of events and the flag tables of this build.
pub(super) fn schema(out: &mut Vec<u8>) {
    unsigned(EVENTS.len() as u64, out);
    for spec in EVENTS {
        unsigned(spec.kind as u64, out);
        bytes(spec.name.as_bytes(), out);
        unsigned(Shape::of(spec.kind).fields.len() as u64, out);
    }
    unsigned(TABLES.len() as u64, out);
    for table in TABLES {
        unsigned(table.mask, out);
        for names in [table.choices, table.bits] {
            unsigned(names.len() as u64, out);
            for (code, name) in names {
                unsigned(*code, out);
                bytes(name.as_bytes(), out);
            }
        }
    }
}
