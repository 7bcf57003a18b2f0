//! The entries of fuzz targets (`fuzz/targets/`): every parser of foreign bytes that this crate has, what
//! each deployment file must hold, and the whole pipeline. Built only with `--cfg fuzzing`. docs/fuzzing.md
//! is the list.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::sync::OnceLock;

use deploy::{Error, Patched};

use crate::door::identity::Note;
use crate::event::{Batch, TextKind};
use crate::json::JsonWriter;
use crate::launch::protocol::{Message, ToCollector, ToLauncher};
use crate::sinks::encoder::{Encoder, Plan, RunFacts};
use crate::sinks::formats::FORMATS;
use crate::sinks::framing::Found;
use crate::sinks::recording::fragment::{FragmentReader, FragmentWriter, fuzzed};
use crate::sinks::recording::reader::{Frame, Reader};
use crate::sinks::recording::schema::own_schema;
use crate::system::program::{Program, Root};

pub use crate::container::fuzz as metadata;
pub use crate::evasion::fuzzed::run as evasion;
pub use crate::http::fuzz as http;
pub use crate::lambda::fuzz as telemetry;
pub use crate::notify::fuzzed::run as notified;
pub use crate::notify::reports::fuzz as sighting;
pub use crate::notify::ring::fuzz as packets;
pub use crate::pipeline::fuzzed::run as pipeline;
pub use crate::runc::fuzz as bundle;
pub use crate::sinks::carrier::spool::fuzz as spool;
pub use crate::sinks::otlp::fuzz as otlp_answer;

/// A recording: its events go to every format, as `glassbox replay` sends them.
pub fn recording(bytes: &[u8]) {
    let Ok(mut reader) = Reader::new(bytes) else { return };
    let mut encoders: Vec<Box<dyn Encoder>> =
        FORMATS.iter().map(|format| (format.build)(&Plan::default())).collect();
    let mut out = Vec::new();
    encoders.iter_mut().for_each(|encoder| encoder.begin(Found::Fresh, &mut out));
    let mut facts = RunFacts::default();
    loop {
        match reader.next(Batch::default()) {
            Ok(Frame::Batch(batch)) => {
                for encoder in &mut encoders {
                    out.clear();
                    encoder.batch(&batch, &mut out);
                }
            }
            Ok(Frame::End(found)) => {
                facts = found;
                break;
            }
            Err(_) => break,
        }
    }
    out.clear();
    encoders.iter_mut().for_each(|encoder| encoder.end(&facts, &mut out));
}

/// What a judge reads from a message of NATS: the event goes to every format, and is the same beside others
/// of its batch and when it is sent on.
pub fn fragment(bytes: &[u8]) {
    let Some(mut reader) = FragmentReader::new(own_schema().0) else { return };
    let Some(batch) = reader.read(&fuzzed(bytes)) else { return };
    let Some(event) = batch.events.first() else { return };
    let mut out = Vec::new();
    for format in FORMATS {
        let mut encoder = (format.build)(&Plan::default());
        out.clear();
        encoder.begin(Found::Fresh, &mut out);
        encoder.batch(&batch, &mut out);
    }
    let line = |batch: &Batch| {
        let mut line = Vec::new();
        batch.events.iter().for_each(|event| JsonWriter::default().write(batch, event, &mut line));
        line
    };
    let mut joined = Batch::default();
    joined.request_id = batch.request_id.clone();
    joined.absorb(&batch);
    assert_eq!(line(&batch), line(&joined), "absorbed");
    let mut sent = Vec::new();
    FragmentWriter::default().write(&batch, event, &mut sent);
    let again = reader.read(&sent);
    assert_eq!(Some(line(&batch)), again.as_ref().map(line), "sent on");
}

/// A file that may be a program: what doctor says of it, and the collector of one that it cannot see into.
pub fn program(bytes: &[u8]) {
    static FILE: OnceLock<PathBuf> = OnceLock::new();
    let path =
        FILE.get_or_init(|| std::env::temp_dir().join(format!("glassbox-fuzz-{}", std::process::id())));
    let written = fs::File::create(path).and_then(|mut file| file.write_all(bytes));
    assert!(written.is_ok(), "{written:?}");
    // A script's interpreter would be any file of this machine.
    if !bytes.starts_with(b"#!") {
        let _ = Program::at(path, &Root::own());
    }
}

/// Secrets of known shapes, planted into a text: what is redacted is UTF-8 if the text was, is no longer
/// than all of it replaced, stays as it is when it is redacted again, and has none of the planted.
pub fn redaction(bytes: &[u8]) {
    use crate::stages::redact::redacted;
    const SECRET: &str = "Zq7Zq7Zq7Zq7Zq7Zq7Zq7Zq7Zq7Zq7Zq7Zq7";
    const PLANTED: [(TextKind, &str); 8] = [
        (TextKind::Plain, " --password=SECRET "),
        (TextKind::Plain, " https://u:SECRET@h/ "),
        (TextKind::Plain, " ghp_SECRET "),
        (TextKind::Plain, " Bearer SECRET "),
        (TextKind::List, "\0--token\0SECRET\0"),
        (TextKind::List, "\0mysql\0-pSECRET\0"),
        (TextKind::List, "\0Authorization: Basic SECRET\0"),
        (TextKind::Map, "\0API_KEY=SECRET\0"),
    ];
    let Some((choice, bytes)) = bytes.split_first() else { return };
    let check = |kind, text: &[u8]| {
        let once = redacted(kind, text).unwrap_or_else(|| text.to_vec());
        assert!(once.len() <= 10 * text.len());
        assert!(std::str::from_utf8(text).is_err() || std::str::from_utf8(&once).is_ok());
        assert_eq!(None, redacted(kind, &once), "again");
        once
    };
    for kind in [TextKind::Plain, TextKind::List, TextKind::Map] {
        check(kind, bytes);
    }
    let Some((kind, planted)) = PLANTED.get(usize::from(*choice) % PLANTED.len()) else { return };
    // It stands first: an option or a quote before it might take its front for a value.
    let text = [planted.replace("SECRET", SECRET).as_bytes(), bytes].concat();
    let once = check(*kind, &text);
    // The fuzzer may have learnt the secret, and put it anywhere.
    let is_told = bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
    assert!(
        is_told || !once.windows(SECRET.len()).any(|window| window == SECRET.as_bytes()),
        "a secret is left"
    );
}

/// A deployment file that is patched twice: the second time changes nothing.
pub fn deployment(bytes: &[u8], patch: impl Fn(&str) -> Result<Patched, Error>) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(once) = patch(text) else { return };
    let twice = patch(&once.text);
    assert_eq!(Ok(&once.text), twice.as_ref().map(|twice| &twice.text), "patched twice");
}

/// A configuration file: what it sets is shown as a file that sets the same, unless a secret is masked in it.
pub fn configuration(bytes: &[u8]) {
    crate::settings::command::fuzz(bytes);
}

/// A message between the launcher and its collector, in either direction, and the note about a ring in it.
pub fn launcher(bytes: &[u8]) {
    if let Some(message) = ToLauncher::decode(bytes) {
        assert_eq!(Some(&message), ToLauncher::decode(&message.encode()).as_ref());
    }
    if let Some(message) = ToCollector::decode(bytes) {
        assert_eq!(Some(&message), ToCollector::decode(&message.encode()).as_ref());
    }
    if let Some(note) = Note::decode(bytes) {
        assert_eq!(Some(&note), Note::decode(&note.clone().encode()).as_ref());
    }
}
