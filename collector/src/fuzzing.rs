//! The entries of fuzz targets (`fuzz/targets/`): every parser of foreign bytes that this crate has, what
//! each deployment file must hold, and the whole pipeline. Built only with `--cfg fuzzing`. docs/fuzzing.md
//! is the list.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::sync::OnceLock;

use deploy::{Error, Patched};

use crate::door::identity::Note;
use crate::event::Batch;
use crate::launch::protocol::{Message, ToCollector, ToLauncher};
use crate::sinks::encoder::{Encoder, Plan, RunFacts};
use crate::sinks::formats::FORMATS;
use crate::sinks::framing::Found;
use crate::sinks::recording::reader::{Frame, Reader};
use crate::system::program::{Program, Root};

pub use crate::container::fuzz as metadata;
pub use crate::http::fuzz as http;
pub use crate::lambda::fuzz as telemetry;
pub use crate::pipeline::fuzzed::run as pipeline;
pub use crate::runc::fuzz as bundle;

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

/// A deployment file that is patched twice: the second time changes nothing.
pub fn deployment(bytes: &[u8], patch: impl Fn(&str) -> Result<Patched, Error>) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(once) = patch(text) else { return };
    let twice = patch(&once.text);
    assert_eq!(Ok(&once.text), twice.as_ref().map(|twice| &twice.text), "patched twice");
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
