//! One event by itself in the recording's form, for a judge far away: its exact values and its whole `Who`.
//!
//! # Layout
//! ```text
//! fragment = FORM u8 | number of the schema, u32 LE | length and bytes: the programs' frames, zlib | frame…
//! ```
//! The frames are those of a recording behind its schema: programs, then a request where there is one, and a
//! batch of one event. The schema itself, the same for all events of a build, is sent once under its number,
//! which is its checksum. Programs, most of the bytes, are packed once an image. See ADR 32.

use std::io::Write;
use std::sync::Arc;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use rustc_hash::FxHashMap;

use super::schema::{frame, own_schema};
use super::varints::{bytes, unsigned};
use super::writer::{Programs, Words, write_containers, write_event};
use super::{tag, who};
use crate::event::{Batch, Event, Who};

/// The first byte of a fragment.
const FORM: u8 = 1;
/// Bytes before the frames.
#[cfg(any(test, fuzzing, feature = "nats"))]
const HEAD_BYTES: usize = 5;

/// Writes fragments.
#[derive(Debug, Default)]
pub struct FragmentWriter {
    words: Words,
    event: Vec<u8>,
    /// The image of the last event,
    of: Option<Arc<Who>>,
    /// the frames with its programs, packed, with their length,
    programs: Vec<u8>,
    /// and what a batch says of it.
    image: Vec<u8>,
}

impl FragmentWriter {
    /// Appends an event of a batch.
    pub fn write(&mut self, batch: &Batch, event: &Event, out: &mut Vec<u8>) {
        let Some(who) = batch.whos.get(event.who as usize) else { return };
        self.show(who);
        out.push(FORM);
        out.extend_from_slice(&own_schema().1.to_le_bytes());
        out.extend_from_slice(&self.programs);
        if let Some(id) = &batch.request_id {
            frame(tag::REQUEST, out, |out| bytes(id.as_bytes(), out));
        }
        self.words.clear();
        self.event.clear();
        write_event(batch, &Event { who: 0, ..*event }, 0, &mut self.words, &mut self.event);
        frame(tag::BATCH, out, |out| {
            self.words.flush(out);
            out.extend_from_slice(&self.image);
            unsigned(1, out);
            out.extend_from_slice(&self.event);
        });
    }

    /// Writes what the events of an image share.
    fn show(&mut self, who: &Arc<Who>) {
        if self.of.as_ref().is_some_and(|of| Arc::ptr_eq(of, who)) {
            return;
        }
        self.of = Some(Arc::clone(who));
        self.programs.clear();
        self.image.clear();
        let alone = std::slice::from_ref(who);
        let (mut programs, mut containers) = (Programs::default(), FxHashMap::default());
        let mut frames = Vec::new();
        programs.write(alone, &mut frames);
        bytes(&packed(&frames), &mut self.programs);
        write_containers(alone, &mut containers, &mut self.image);
        unsigned(1, &mut self.image);
        let container = who.container.as_ref().map(|_| 0);
        who::write(who, programs.number(&who.program), container, &mut self.image);
    }
}

fn packed(frames: &[u8]) -> Vec<u8> {
    let mut packer = ZlibEncoder::new(Vec::new(), Compression::default());
    // Writing to memory does not fail.
    packer.write_all(frames).and_then(|()| packer.finish()).unwrap_or_default()
}

/// The number of the schema that a fragment needs; `None` for bytes that are no fragment.
#[cfg(any(test, fuzzing, feature = "nats"))]
pub fn schema_of(fragment: &[u8]) -> Option<u32> {
    match fragment.get(..HEAD_BYTES)? {
        &[FORM, a, b, c, d] => Some(u32::from_le_bytes([a, b, c, d])),
        _ => None,
    }
}

/// A fragment with frames of any content, whose checksums are right: a count of those that are packed, then
/// tag u8, length u16 LE, and body of each. Bytes that begin with 255 are a fragment as they are.
#[cfg(fuzzing)]
pub fn fuzzed(bytes: &[u8]) -> Vec<u8> {
    let Some((&count, mut rest)) = bytes.split_first().filter(|(count, _)| **count != u8::MAX) else {
        return bytes.get(1..).unwrap_or_default().to_vec();
    };
    let (mut inside, mut behind) = (Vec::new(), Vec::new());
    let mut number = 0;
    while let &[tag, low, high, ref more @ ..] = rest {
        let (body, left) = more.split_at(more.len().min(u16::from_le_bytes([low, high]).into()));
        let out = if number < u32::from(count) { &mut inside } else { &mut behind };
        frame(tag, out, |out| out.extend_from_slice(body));
        (rest, number) = (left, number + 1);
    }
    let mut fragment = vec![FORM];
    fragment.extend_from_slice(&own_schema().1.to_le_bytes());
    super::varints::bytes(&packed(&inside), &mut fragment);
    fragment.extend_from_slice(&behind);
    fragment
}

#[cfg(any(test, fuzzing, feature = "nats"))]
pub use reading::FragmentReader;

#[cfg(any(test, fuzzing, feature = "nats"))]
mod reading {
    use std::io::{BufRead, Cursor, Read};

    use flate2::read::ZlibDecoder;

    use super::super::input::Input;
    use super::super::reader::{Frame, Reader};
    use super::{HEAD_BYTES, schema_of};
    use crate::event::Batch;

    /// Reads the fragments of one schema.
    #[derive(Debug)]
    pub struct FragmentReader {
        reader: Reader<Cursor<Vec<u8>>>,
        number: u32,
        /// The programs that the reader has, packed.
        packed: Vec<u8>,
    }

    /// The most bytes of an image's programs, unpacked.
    const MOST_PROGRAMS: u64 = 4 << 20;

    impl FragmentReader {
        /// A reader of the fragments behind this schema; `None` for bytes that are none.
        pub fn new(schema: &[u8]) -> Option<Self> {
            let mut reader = Reader::new(Cursor::new(schema.to_vec())).ok()?;
            reader.read_schema()?;
            Some(Self { reader, number: crc32fast::hash(schema), packed: Vec::new() })
        }

        /// The event of a fragment, without its number; `None` for what is none of this schema, or of a kind
        /// that this version does not know.
        pub fn read(&mut self, fragment: &[u8]) -> Option<Batch> {
            if schema_of(fragment)? != self.number {
                return None;
            }
            let mut input = Input(fragment.get(HEAD_BYTES..)?);
            let packed = input.bytes()?;
            // Images often follow themselves.
            let programs = match self.packed == packed {
                true => std::mem::take(&mut self.reader.programs),
                false => Vec::new(),
            };
            let is_known = !programs.is_empty();
            self.reader.forget();
            self.reader.programs = programs;
            let left = self.reader.input.buffer().len();
            self.reader.input.consume(left);
            let feed = self.reader.input.get_mut();
            feed.get_mut().clear();
            feed.set_position(0);
            self.packed.clear();
            if !is_known {
                let unpacked = ZlibDecoder::new(packed).take(MOST_PROGRAMS).read_to_end(feed.get_mut());
                unpacked.ok()?;
            }
            feed.get_mut().extend_from_slice(input.0);
            match self.reader.next(Batch::default()) {
                Ok(Frame::Batch(batch)) if batch.events.len() == 1 && batch.whos.len() == 1 => {
                    let is_all = self.reader.input.fill_buf().is_ok_and(<[u8]>::is_empty);
                    self.packed.extend_from_slice(packed);
                    is_all.then_some(batch)
                }
                _ => None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::sample;
    use crate::json::JsonWriter;

    fn fragments(batch: &Batch) -> Vec<Vec<u8>> {
        let mut writer = FragmentWriter::default();
        let write = |event: &Event| {
            let mut out = Vec::new();
            writer.write(batch, event, &mut out);
            out
        };
        batch.events.iter().map(write).collect()
    }

    fn shown(batch: &Batch, event: &Event) -> (String, String) {
        let mut out = Vec::new();
        JsonWriter::default().write(batch, event, &mut out);
        // Values as they are, beyond what JSON shows of them.
        let values: Vec<String> = batch
            .values(event)
            .iter()
            .map(|value| match value {
                crate::event::Value::Names(table, bits) => format!("{:p} {bits}", *table),
                crate::event::Value::Path(path, raw) => {
                    format!("path {:?} {:?}", batch.bytes(*path), raw.map(|raw| batch.bytes(raw)))
                }
                crate::event::Value::LexicalPath(path, raw) => {
                    format!("lexical {:?} {:?}", batch.bytes(*path), batch.bytes(*raw))
                }
                crate::event::Value::Text(text) => format!("text {:?}", batch.bytes(*text)),
                other => format!("{:?}", std::mem::discriminant(other)),
            })
            .collect();
        (String::from_utf8(out).unwrap(), values.join("\n"))
    }

    #[test]
    fn every_kind_reads_back_with_its_exact_values_and_its_who() {
        let mut batch = sample::every_kind();
        batch.request_id = Some("request".into());
        batch.whos = vec![sample::who(), sample::who_in(&sample::container("c1", "web"))];
        for (index, event) in batch.events.iter_mut().enumerate() {
            event.who = index as u32 % 2;
        }
        let mut reader = FragmentReader::new(own_schema().0).unwrap();

        for (event, fragment) in batch.events.iter().zip(fragments(&batch)) {
            let read = reader.read(&fragment).unwrap();

            assert_eq!(batch.who(event), read.who(&read.events[0]));
            assert_eq!(shown(&batch, event), shown(&read, &read.events[0]));
            assert_eq!(batch.request_id, read.request_id);
        }
    }

    #[test]
    fn damaged_fragment_is_none_and_the_next_one_is_read() {
        let batch = sample::every_kind();
        let fragment = fragments(&batch).remove(0);
        let mut reader = FragmentReader::new(own_schema().0).unwrap();

        for at in 0..fragment.len() {
            let mut damaged = fragment.clone();
            damaged[at] ^= 1;
            assert!(reader.read(&damaged).is_none(), "{at}");
            assert!(reader.read(&fragment[..at]).is_none(), "{at}");
        }
        assert!(reader.read(&[&fragment[..], b"x"].concat()).is_none());
        assert!(reader.read(&fragment).is_some());
    }

    #[test]
    fn other_bytes_are_no_schema() {
        let (schema, _) = own_schema();

        assert!(FragmentReader::new(b"").is_none());
        assert!(FragmentReader::new(&schema[..schema.len() - 1]).is_none());
        assert!(FragmentReader::new(&[schema, b"x"].concat()).is_none());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in any::<Vec<u8>>()) {
            let mut reader = FragmentReader::new(own_schema().0).unwrap();
            let mut headed = vec![FORM];
            headed.extend_from_slice(&own_schema().1.to_le_bytes());
            headed.extend_from_slice(&bytes);

            prop_assert!(reader.read(&bytes).is_none());
            prop_assert!(reader.read(&headed).is_none());
        }
    }
}
