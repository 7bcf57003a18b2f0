//! Reads a recording back into batches. No file makes the reader panic, or take more memory than a small
//! multiple of the file's size.

use std::fmt;
use std::io::{self, BufReader, Read};
use std::sync::Arc;

use wire::events::Kind;
use wire::names::FlagTable;
use wire::record::Via;

use super::input::Input;
use super::words::Words;
use super::{
    FIRST_VERSION, FRAME_EVENTS, FRAME_HEAD, FRAME_MOST, LAST_VERSION, MAGIC, WITH_CONTAINERS, WITH_FACTS,
    has, tag, value, who,
};
use crate::container::Container;
use crate::event::{Batch, Comm, Event, Facts, Program, Shape, Value};
use crate::ids::{Pid, Tid, UtcNs};
use crate::sinks::encoder::RunFacts;

/// Reads frames, one at a time.
#[derive(Debug)]
pub struct Reader<R> {
    pub(super) input: BufReader<R>,
    /// Where the frame that is read next begins.
    position: u64,
    body: Vec<u8>,
    names: Words,
    schema: Schema,
    words: Vec<&'static str>,
    containers: Vec<Arc<Container>>,
    version: u8,
    pub(super) programs: Vec<Arc<Program>>,
    request_id: Option<Arc<str>>,
    /// Events of kinds that this version does not know.
    unknown: u64,
}

/// The file's description of itself.
#[derive(Debug, Default)]
struct Schema {
    /// Counts of fields by number of the kind.
    fields: Vec<Option<usize>>,
    tables: Vec<&'static FlagTable>,
}

/// The contents of a frame.
#[derive(Debug)]
pub enum Frame {
    /// Events.
    Batch(Batch),
    /// The end of a whole recording.
    End(RunFacts),
}

/// Why a recording, or the rest of it, could not be read.
#[derive(Debug)]
pub enum Trouble {
    /// The file cannot be read.
    Unreadable(io::Error),
    /// It does not begin as a recording does.
    NotARecording,
    /// A later version of the format.
    Version(u8),
    /// It ends before its end, in or after the frame at this byte.
    CutOff(u64),
    /// The frame at this byte is damaged.
    Damaged(u64),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => write!(f, "cannot be read: {error}"),
            Self::NotARecording => write!(f, "is not a recording"),
            Self::Version(version) => write!(f, "has version {version} of the format"),
            Self::CutOff(at) => write!(f, "ends at byte {at} without its end mark"),
            Self::Damaged(at) => write!(f, "is damaged at byte {at}"),
        }
    }
}

/// Kinds have numbers below this; a file that says otherwise is damaged.
const MOST_KINDS: usize = 4096;
/// No event has nearly as many fields.
const MOST_FIELDS: usize = 256;
/// Names in a file, at most.
const MOST_WORDS: usize = 1 << 16;
/// Containers in the list, at most.
const MOST_CONTAINERS: usize = 1 << 16;
/// Programs in the list, at most.
const MOST_PROGRAMS: usize = 1 << 16;
/// Images that a frame's events belong to, at most.
const MOST_WHOS: usize = 1 << 18;

impl<R: Read> Reader<R> {
    /// Reads the beginning of a file.
    pub fn new(input: R) -> Result<Self, Trouble> {
        let mut input = BufReader::with_capacity(256 << 10, input);
        let mut magic = Vec::new();
        input.by_ref().take(MAGIC.len() as u64).read_to_end(&mut magic).map_err(Trouble::Unreadable)?;
        let (known, _) = MAGIC.split_at(MAGIC.len() - 1);
        let version = match magic.strip_prefix(known) {
            Some([found @ FIRST_VERSION..=LAST_VERSION]) => *found,
            Some([newer]) => return Err(Trouble::Version(*newer)),
            // The disk was full, or its writer killed, at the very first write.
            _ if !magic.is_empty() && MAGIC.starts_with(&magic) => return Err(Trouble::CutOff(0)),
            _ => return Err(Trouble::NotARecording),
        };
        Ok(Self {
            input,
            position: MAGIC.len() as u64,
            body: Vec::new(),
            names: Words::default(),
            schema: Schema::default(),
            words: Vec::new(),
            containers: Vec::new(),
            version,
            programs: Vec::new(),
            request_id: None,
            unknown: 0,
        })
    }

    /// Events skipped so far, because this version does not know their kind.
    pub fn unknown(&self) -> u64 {
        self.unknown
    }

    /// Reads the next events, into the memory of `empty`, or the end.
    pub fn next(&mut self, mut empty: Batch) -> Result<Frame, Trouble> {
        loop {
            let start = self.position;
            let tag = self.frame()?;
            let body = std::mem::take(&mut self.body);
            let mut input = Input(&body);
            let frame = match tag {
                tag::SCHEMA => self.schema(&mut input).map(|()| None),
                tag::REQUEST => self.request(&mut input).map(|()| None),
                tag::PROGRAMS => self.more_programs(&mut input).map(|()| None),
                tag::BATCH => self.batch(&mut input, &mut empty).map(|()| Some(tag)),
                tag::END => Some(Some(tag)),
                // A later version may add tags.
                _ => Some(None),
            };
            let facts = if tag == tag::END { facts(&mut input) } else { None };
            self.body = body;
            match frame.ok_or(Trouble::Damaged(start))? {
                None => {}
                Some(tag::BATCH) => return Ok(Frame::Batch(empty)),
                Some(_) => {
                    let facts = facts.ok_or(Trouble::Damaged(start))?;
                    let mut more = [0];
                    return match self.input.read(&mut more).map_err(Trouble::Unreadable)? {
                        0 => Ok(Frame::End(facts)),
                        _ => Err(Trouble::Damaged(self.position)),
                    };
                }
            }
        }
    }

    /// Reads a whole frame's body; gives its tag.
    fn frame(&mut self) -> Result<u8, Trouble> {
        let start = self.position;
        self.fill(FRAME_HEAD as u64)?;
        let &[a, b, c, d, e, f, g, h, tag] = self.body.as_slice() else { return Err(Trouble::CutOff(start)) };
        let length = u32::from_le_bytes([a, b, c, d]);
        let checksum = u32::from_le_bytes([e, f, g, h]);
        if length > FRAME_MOST {
            return Err(Trouble::Damaged(start));
        }
        self.fill(length.into())?;
        if self.body.len() < length as usize {
            return Err(Trouble::CutOff(start));
        }
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&[tag]);
        hasher.update(&self.body);
        if hasher.finalize() != checksum {
            return Err(Trouble::Damaged(start));
        }
        self.position += FRAME_HEAD as u64 + u64::from(length);
        Ok(tag)
    }

    /// Reads so many bytes into the body, or as many as there are.
    fn fill(&mut self, bytes: u64) -> Result<(), Trouble> {
        self.body.clear();
        let read = self.input.by_ref().take(bytes).read_to_end(&mut self.body);
        read.map(|_| ()).map_err(Trouble::Unreadable)
    }

    fn schema(&mut self, input: &mut Input<'_>) -> Option<()> {
        let mut schema = Schema::default();
        for _ in 0..input.count()? {
            let number = input.count()?;
            let _name = input.bytes()?;
            let fields = input.count()?;
            if number >= MOST_KINDS || fields > MOST_FIELDS {
                return None;
            }
            if schema.fields.len() <= number {
                schema.fields.resize(number + 1, None);
            }
            *schema.fields.get_mut(number)? = Some(fields);
        }
        for _ in 0..input.count()? {
            let mask = input.unsigned()?;
            let choices = self.named(input)?;
            let bits = self.named(input)?;
            schema.tables.push(self.names.table(mask, choices, bits)?);
        }
        self.schema = schema;
        self.forget();
        Some(())
    }

    /// Empties the lists that a schema empties.
    pub(super) fn forget(&mut self) {
        self.words.clear();
        self.containers.clear();
        self.programs.clear();
        self.request_id = None;
    }

    /// Reads a frame that is a schema, and has nothing behind it.
    #[cfg(any(test, fuzzing, feature = "nats"))]
    pub(super) fn read_schema(&mut self) -> Option<()> {
        let is_schema = self.frame().is_ok_and(|tag| tag == tag::SCHEMA);
        let body = std::mem::take(&mut self.body);
        self.schema(&mut Input(&body)).filter(|()| is_schema)?;
        matches!(self.input.read(&mut [0]), Ok(0)).then_some(())
    }

    fn request(&mut self, input: &mut Input<'_>) -> Option<()> {
        let id = std::str::from_utf8(input.bytes()?).ok()?;
        self.request_id = (!id.is_empty()).then(|| id.into());
        Some(())
    }

    fn named(&mut self, input: &mut Input<'_>) -> Option<Vec<(u64, &'static str)>> {
        let count = input.count()?;
        // Nothing is reserved: the file may lie about the count. More than 64 bits cannot have names.
        let mut named = Vec::new();
        for _ in 0..count.min(65) {
            named.push((input.unsigned()?, self.names.find(input.bytes()?)?));
        }
        (count <= 64).then_some(named)
    }

    fn more_programs(&mut self, input: &mut Input<'_>) -> Option<()> {
        for _ in 0..input.count()? {
            if self.programs.len() == MOST_PROGRAMS {
                return None;
            }
            self.programs.push(program(input, self.version, &self.programs)?);
        }
        input.0.is_empty().then_some(())
    }

    fn batch(&mut self, input: &mut Input<'_>, batch: &mut Batch) -> Option<()> {
        batch.clear();
        batch.request_id.clone_from(&self.request_id);
        for _ in 0..input.count()? {
            let word = self.names.find(input.bytes()?)?;
            if self.words.len() == MOST_WORDS {
                return None;
            }
            self.words.push(word);
        }
        for _ in 0..if self.version >= WITH_CONTAINERS { input.count()? } else { 0 } {
            if self.containers.len() == MOST_CONTAINERS {
                return None;
            }
            self.containers.push(Arc::new(container(input)?));
        }
        let whos = input.count()?;
        if whos > MOST_WHOS {
            return None;
        }
        for _ in 0..whos {
            let who = who::read(input, self.version, &self.programs, &self.containers)?;
            batch.whos.push(Arc::new(who));
        }
        let events = input.count()?;
        if events > FRAME_EVENTS {
            return None;
        }
        let mut time_ns: u64 = 0;
        for _ in 0..events {
            let mut event = self.head(input, batch.whos.len())?;
            time_ns = time_ns.wrapping_add(event.time_ns);
            event.time_ns = time_ns;
            self.values(event, input, batch)?;
        }
        input.0.is_empty().then_some(())
    }

    /// An event without its values, `time_ns` counted from the one before. The kind is kept apart until
    /// [`Self::values`] knows whether this version knows it.
    fn head(&self, input: &mut Input<'_>, whos: usize) -> Option<Numbered> {
        let bits = input.byte()?;
        let kind = input.count()?;
        let time_ns = input.signed()?.cast_unsigned();
        let tid = input.small()?;
        let who = input.small()?;
        let seq = if bits & has::SEQ != 0 { Some(input.unsigned()?) } else { None };
        let ret = if bits & has::RET != 0 { Some(input.signed()?) } else { None };
        let call = if bits & has::CALL != 0 { self.word(input)? } else { "" };
        let error = if bits & has::ERROR != 0 { self.word(input)? } else { "" };
        let via = match bits >> has::VIA_SHIFT {
            0 => None,
            number => Some(Via::from_byte(number - 1)?),
        };
        let is_truncated = bits & has::TRUNCATED != 0;
        (who < whos as u32).then_some(Numbered {
            kind,
            time_ns,
            tid,
            who,
            seq,
            ret,
            call,
            error,
            via,
            is_truncated,
        })
    }

    fn values(&mut self, event: Numbered, input: &mut Input<'_>, batch: &mut Batch) -> Option<()> {
        let count = (*self.schema.fields.get(event.kind)?)?;
        let kind = u16::try_from(event.kind).ok().and_then(Kind::from_number);
        match kind.filter(|kind| !Shape::of(*kind).name.is_empty()) {
            Some(kind) => {
                batch.push(event.of(kind));
            }
            None => {
                self.unknown += 1;
                // Its values are read to be skipped: `set` would put them into the event before.
                let mut nowhere = Batch::default();
                for _ in 0..count {
                    self.value(input, &mut nowhere)?;
                }
                return Some(());
            }
        }
        for place in 0..count {
            let value = self.value(input, batch)?;
            // A field that a later version appended has no place here, and none after it.
            batch.set(place, value);
        }
        Some(())
    }

    fn value(&self, input: &mut Input<'_>, batch: &mut Batch) -> Option<Value> {
        Some(match input.byte()? {
            value::ABSENT => Value::Absent,
            value::INT => Value::Int(input.signed()?),
            value::UINT => Value::Uint(input.unsigned()?),
            value::FALSE => Value::Bool(false),
            value::TRUE => Value::Bool(true),
            value::TEXT => Value::Text(batch.keep(input.bytes()?)),
            value::PATH => Value::Path(batch.keep(input.bytes()?), None),
            value::LEXICAL_PATH => {
                let path = batch.keep(input.bytes()?);
                Value::LexicalPath(path, batch.keep(input.bytes()?))
            }
            value::PATH_AND_RAW => {
                let path = batch.keep(input.bytes()?);
                Value::Path(path, Some(batch.keep(input.bytes()?)))
            }
            value::LIST => Value::List(batch.keep(input.bytes()?)),
            value::MAP => Value::Map(batch.keep(input.bytes()?)),
            value::WORD => Value::Word(self.word(input)?),
            value::NAMES => Value::Names(self.schema.tables.get(input.count()?)?, input.unsigned()?),
            _ => return None,
        })
    }

    fn word(&self, input: &mut Input<'_>) -> Option<&'static str> {
        self.words.get(input.count()?).copied()
    }
}

/// An event's head whose kind may be unknown here.
struct Numbered {
    kind: usize,
    time_ns: u64,
    tid: u32,
    who: u32,
    seq: Option<u64>,
    ret: Option<i64>,
    call: &'static str,
    error: &'static str,
    via: Option<Via>,
    is_truncated: bool,
}

impl Numbered {
    fn of(self, kind: Kind) -> Event {
        let Self { time_ns, tid, who, seq, ret, call, error, via, is_truncated, .. } = self;
        let (time, tid) = (UtcNs(time_ns), Tid(tid));
        Event { time, kind, via, is_truncated, call, error, seq, ret, tid, number: 0, who, values_at: 0 }
    }
}

/// A container; facts that a later version added are skipped.
fn container(input: &mut Input<'_>) -> Option<Container> {
    let mut container = Container::default();
    let count = input.count()?;
    for place in 0..count {
        container.set(place, std::str::from_utf8(input.bytes()?).ok()?);
    }
    (count <= MOST_FIELDS).then_some(container)
}

/// A program; its parent is one that was read before.
fn program(input: &mut Input<'_>, version: u8, known: &[Arc<Program>]) -> Option<Arc<Program>> {
    let pid = Pid(input.small()?);
    let parent = match input.count()? {
        0 => None,
        number => Some(known.get(number - 1)?),
    };
    // A longer line would be cut, which costs more memory than the file does; no writer makes one.
    if parent.is_some_and(|parent| parent.has_most_ancestors()) {
        return None;
    }
    let (exe, argv) = match (input.byte()?, parent) {
        (0, _) => (input.bytes()?.into(), input.bytes()?.into()),
        (1, Some(parent)) => (Arc::clone(&parent.exe), Arc::clone(&parent.argv)),
        _ => return None,
    };
    let program = Program::new(pid, exe, argv, parent.cloned());
    if version < WITH_FACTS {
        return Some(program);
    }
    let comm = Comm::new(input.bytes()?);
    let own_pid = Some(Pid(input.small()?)).filter(|own_pid| *own_pid != Pid(0));
    let started = Some(UtcNs(input.unsigned()?)).filter(|started| *started != UtcNs(0));
    Some(program.with(Facts { comm, own_pid, started }))
}

fn facts(input: &mut Input<'_>) -> Option<RunFacts> {
    Some(RunFacts { restarts: input.small()?, collector_ns: input.unsigned()?, ..RunFacts::default() })
}
