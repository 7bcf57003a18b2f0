//! Writes a recording: one frame a batch, and one at the end, which marks it as whole.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use wire::names::FlagTable;

use super::schema::{frame, schema};
use super::varints::{bytes, signed, unsigned};
use super::{
    FRAME_ENOUGH, FRAME_EVENTS, FRAME_HEAD, FRAME_MOST, MAGIC, MOST_CONTAINERS, MOST_PROGRAM_BYTES,
    MOST_PROGRAMS, TABLES, has, tag, value, who,
};
use crate::container::Container;
use crate::event::{Batch, Event, Facts, Program, Span, Value, Who};
use crate::ids::{Pid, UtcNs};
use crate::sinks::carrier;
use crate::sinks::carrier::kind::Only;
use crate::sinks::encoder::{Encoder, Format, RunFacts};
use crate::sinks::framing::{Found, Frames, Framing};

/// The row of the table.
pub const FORMAT: Format = Format {
    name: "recording",
    help: "binary, for 'glassbox replay'",
    framing: Framing::Frames(Frames { magic: &MAGIC, head_bytes: FRAME_HEAD, body_bytes }),
    reaches: carrier::LOCAL,
    holds: &[Only::Events],
    shows: &[],
    service: None,
    build: |_| Box::new(Recording::default()),
};

/// Writes events as frames.
#[derive(Debug, Default)]
pub struct Recording {
    words: Words,
    programs: Programs,
    /// The containers written so far.
    containers: FxHashMap<Arc<Container>, u64>,
    events: Vec<u8>,
    /// The request of the last frame.
    request_id: Option<Arc<str>>,
}

/// The names written so far, by their addresses: they are constants of the collector's tables, and few.
#[derive(Debug, Default)]
pub(super) struct Words {
    numbers: FxHashMap<(usize, usize), u64>,
    /// The text of those that the next frame must bring along, and their number.
    fresh: Vec<u8>,
    fresh_count: u64,
}

/// The programs written so far, by where they stand in memory, which they keep.
#[derive(Debug, Default)]
pub(super) struct Programs {
    listed: FxHashMap<usize, (Arc<Program>, u64)>,
    /// Bytes written of them.
    bytes: usize,
}

impl Programs {
    fn place(program: &Arc<Program>) -> usize {
        Arc::as_ptr(program) as usize
    }

    /// The number of a program that has been written.
    pub(super) fn number(&self, program: &Arc<Program>) -> u64 {
        self.listed.get(&Self::place(program)).map_or(0, |(_, number)| *number)
    }

    /// Whether the list is to begin anew.
    fn is_full(&self) -> bool {
        self.listed.len() >= MOST_PROGRAMS || self.bytes >= MOST_PROGRAM_BYTES
    }

    /// Appends frames with the programs of images that the list does not have, ancestors first, and lists
    /// them.
    pub(super) fn write(&mut self, whos: &[Arc<Who>], out: &mut Vec<u8>) {
        let (mut text, mut count) = (Vec::new(), 0);
        for who in whos {
            let line = std::iter::once(&who.program).chain(who.program.ancestors());
            let unlisted: Vec<_> =
                line.take_while(|program| !self.listed.contains_key(&Self::place(program))).collect();
            for program in unlisted.into_iter().rev() {
                let before = text.len();
                self.write_one(program, &mut text);
                count += 1;
                self.bytes += text.len() - before;
                self.listed.insert(Self::place(program), (Arc::clone(program), self.listed.len() as u64));
                if text.len() >= FRAME_ENOUGH {
                    programs_frame(count, &text, out);
                    (count, _) = (0, text.clear());
                }
            }
        }
        if count > 0 {
            programs_frame(count, &text, out);
        }
    }

    fn write_one(&self, program: &Program, out: &mut Vec<u8>) {
        unsigned(program.pid.0.into(), out);
        // 0 stands for no parent.
        unsigned(program.parent.as_ref().map_or(0, |parent| self.number(parent) + 1), out);
        let is_forked = program.parent.as_ref().is_some_and(|parent| {
            Arc::ptr_eq(&parent.exe, &program.exe) && Arc::ptr_eq(&parent.argv, &program.argv)
        });
        out.push(is_forked.into());
        if !is_forked {
            bytes(&program.exe, out);
            bytes(&program.argv, out);
        }
        let Facts { comm, own_pid, started } = &program.facts;
        bytes(comm.bytes(), out);
        // 0 stands for none.
        unsigned(own_pid.map_or(0, |Pid(own_pid)| own_pid.into()), out);
        unsigned(started.map_or(0, |UtcNs(started)| started), out);
    }
}

fn programs_frame(count: u64, text: &[u8], out: &mut Vec<u8>) {
    frame(tag::PROGRAMS, out, |out| {
        unsigned(count, out);
        out.extend_from_slice(text);
    });
}

/// How many bytes follow a frame's head; `None` for the end of a recording, which nothing follows, and for
/// damage.
fn body_bytes(head: &[u8]) -> Option<u64> {
    let &[a, b, c, d, .., tag] = head else { return None };
    let body = u32::from_le_bytes([a, b, c, d]);
    (body <= FRAME_MOST && tag != tag::END).then(|| body.into())
}

impl Encoder for Recording {
    fn begin(&mut self, found: Found, out: &mut Vec<u8>) {
        if found == Found::Fresh {
            out.extend_from_slice(&MAGIC);
        }
        self.list_anew(out);
    }

    fn batch(&mut self, batch: &Batch, out: &mut Vec<u8>) {
        if self.containers.len() >= MOST_CONTAINERS || self.programs.is_full() {
            self.list_anew(out);
        }
        if batch.request_id != self.request_id {
            self.request_id.clone_from(&batch.request_id);
            frame(tag::REQUEST, out, |out| {
                bytes(self.request_id.as_deref().unwrap_or_default().as_bytes(), out)
            });
        }
        self.programs.write(&batch.whos, out);
        let mut events = batch.events.as_slice();
        while !events.is_empty() {
            events = self.some(batch, events, out);
        }
    }

    fn part(&mut self, out: &mut Vec<u8>) {
        self.end(&RunFacts::default(), out);
    }

    fn end(&mut self, facts: &RunFacts, out: &mut Vec<u8>) {
        frame(tag::END, out, |out| {
            unsigned(facts.restarts.into(), out);
            unsigned(facts.collector_ns, out);
        });
    }
}

impl Recording {
    /// Begins all lists anew, with a schema.
    fn list_anew(&mut self, out: &mut Vec<u8>) {
        (self.words, self.programs) = (Words::default(), Programs::default());
        self.containers = FxHashMap::default();
        self.request_id = None;
        frame(tag::SCHEMA, out, schema);
    }

    /// Appends a frame of as many events as a frame may have; gives the rest of them.
    fn some<'a>(&mut self, batch: &Batch, events: &'a [Event], out: &mut Vec<u8>) -> &'a [Event] {
        let Self { words, programs, containers, events: text, .. } = self;
        text.clear();
        let mut time_ns = 0;
        let mut count = 0;
        for event in events.iter().take(FRAME_EVENTS) {
            write_event(batch, event, time_ns, words, text);
            time_ns = event.time.0;
            count += 1;
            if text.len() >= FRAME_ENOUGH {
                break;
            }
        }
        frame(tag::BATCH, out, |out| {
            words.flush(out);
            write_containers(&batch.whos, containers, out);
            unsigned(batch.whos.len() as u64, out);
            for who in &batch.whos {
                let container = who.container.as_ref().and_then(|container| containers.get(container));
                who::write(who, programs.number(&who.program), container.copied(), out);
            }
            unsigned(count as u64, out);
            out.extend_from_slice(text);
        });
        events.get(count..).unwrap_or_default()
    }
}

/// Appends the containers of images that the list does not have, and lists them.
pub(super) fn write_containers(
    whos: &[Arc<Who>],
    listed: &mut FxHashMap<Arc<Container>, u64>,
    out: &mut Vec<u8>,
) {
    let mut fresh: Vec<&Arc<Container>> = Vec::new();
    for container in whos.iter().filter_map(|who| who.container.as_ref()) {
        if !listed.contains_key(container) {
            listed.insert(Arc::clone(container), listed.len() as u64);
            fresh.push(container);
        }
    }
    unsigned(fresh.len() as u64, out);
    for container in fresh {
        unsigned(container.all().len() as u64, out);
        for fact in container.all() {
            bytes(fact.as_bytes(), out);
        }
    }
}

pub(super) fn write_event(
    batch: &Batch,
    event: &Event,
    before_ns: u64,
    words: &mut Words,
    out: &mut Vec<u8>,
) {
    let bit = |is_there: bool, bit: u8| if is_there { bit } else { 0 };
    let via = event.via.map_or(0, |via| via as u8 + 1);
    out.push(
        bit(event.seq.is_some(), has::SEQ)
            | bit(event.ret.is_some(), has::RET)
            | bit(!event.call.is_empty(), has::CALL)
            | bit(!event.error.is_empty(), has::ERROR)
            | bit(event.is_truncated, has::TRUNCATED)
            | via << has::VIA_SHIFT,
    );
    unsigned(event.kind as u64, out);
    signed(event.time.0.wrapping_sub(before_ns).cast_signed(), out);
    unsigned(event.tid.0.into(), out);
    unsigned(event.who.into(), out);
    if let Some(seq) = event.seq {
        unsigned(seq, out);
    }
    if let Some(ret) = event.ret {
        signed(ret, out);
    }
    for word in [event.call, event.error] {
        if !word.is_empty() {
            unsigned(words.number(word), out);
        }
    }
    for value in batch.values(event) {
        write_value(batch, *value, words, out);
    }
}

fn write_value(batch: &Batch, value: Value, words: &mut Words, out: &mut Vec<u8>) {
    let mut text = |tag, span: Span| {
        out.push(tag);
        bytes(batch.bytes(span), out);
    };
    match value {
        Value::Absent => out.push(value::ABSENT),
        Value::Int(number) => {
            out.push(value::INT);
            signed(number, out);
        }
        Value::Uint(number) => {
            out.push(value::UINT);
            unsigned(number, out);
        }
        Value::Bool(false) => out.push(value::FALSE),
        Value::Bool(true) => out.push(value::TRUE),
        Value::Text(span) => text(value::TEXT, span),
        Value::Path(span, None) => text(value::PATH, span),
        Value::Path(span, Some(raw)) => {
            text(value::PATH_AND_RAW, span);
            bytes(batch.bytes(raw), out);
        }
        Value::LexicalPath(span, raw) => {
            text(value::LEXICAL_PATH, span);
            bytes(batch.bytes(raw), out);
        }
        Value::List(span) => text(value::LIST, span),
        Value::Map(span) => text(value::MAP, span),
        Value::Word(word) => {
            out.push(value::WORD);
            unsigned(words.number(word), out);
        }
        Value::Names(table, bits) => write_names(table, bits, out),
    }
}

/// Writes flags as bits beside their table. If the file does not have the table, they become a list of names,
/// which looks the same in every output.
fn write_names(table: &'static FlagTable, flags: u64, out: &mut Vec<u8>) {
    if let Some(place) = TABLES.iter().position(|known| std::ptr::eq(*known, table)) {
        out.push(value::NAMES);
        unsigned(place as u64, out);
        unsigned(flags, out);
        return;
    }
    let mut list = Vec::new();
    let rest = table.names(flags, |name| {
        list.extend_from_slice(name.as_bytes());
        list.push(0);
    });
    if rest != 0 {
        list.extend_from_slice(format!("{rest:#x}\0").as_bytes());
    }
    out.push(value::LIST);
    bytes(&list, out);
}

impl Words {
    fn number(&mut self, word: &'static str) -> u64 {
        let next = self.numbers.len() as u64;
        *self.numbers.entry((word.as_ptr().addr(), word.len())).or_insert_with(|| {
            bytes(word.as_bytes(), &mut self.fresh);
            self.fresh_count += 1;
            next
        })
    }

    /// Forgets all names.
    pub(super) fn clear(&mut self) {
        self.numbers.clear();
        self.fresh.clear();
        self.fresh_count = 0;
    }

    pub(super) fn flush(&mut self, out: &mut Vec<u8>) {
        unsigned(std::mem::take(&mut self.fresh_count), out);
        out.append(&mut self.fresh);
    }
}
