//! What is known of the session that is watched: the same tables as a summary's, and the last events.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::printed::Printed;
use crate::event::Batch;
use crate::picture::Picture;
use crate::shell::failure::Failure;
use crate::sinks::encoder::{Encoder, Plan, RunFacts};
use crate::sinks::framing::Found;
use crate::sinks::recording;
use crate::sinks::summary::Gathered;
use crate::stages::fields::FIELDS;
use crate::stages::{Stages, filter};

/// Bytes of the last events that are kept.
const MOST_RECENT: usize = 8 << 20;

/// Names that are tried for a recording.
const MOST_RECORDINGS: u32 = 1000;
/// A recording has the arguments of every program: nobody else reads it.
const OWNERS_ALONE: u32 = 0o600;

/// Takes a lock, whatever happened to one who had it.
pub fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How the collector stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its events come in.
    Watched,
    /// They do not, for this reason; it is looked for again.
    Gone(String),
    /// They came to an end, so.
    Ended(String),
}

/// See the module.
pub struct Live {
    pub gathered: Gathered,
    /// Events that tell of a call that failed.
    pub failed: u64,
    /// The processes, whatever the filter that was typed lets in: a view that begins anew knows their names.
    everyone: Picture,
    pub standing: Standing,
    /// What the program prints, where it is one of our own.
    pub printed: Option<Arc<Mutex<Printed>>>,
    /// Rules, and the filter of the command line.
    stages: Stages,
    /// The filter that was typed, and its text.
    filter: Option<Stages>,
    pub filter_text: String,
    /// The last events.
    recent: VecDeque<Batch>,
    recent_bytes: usize,
    /// Where they are recorded.
    recorder: Option<Recorder>,
    /// What became of the last recording.
    pub recorded: String,
}

struct Recorder {
    path: PathBuf,
    file: File,
    encoder: Box<dyn Encoder>,
    bytes: Vec<u8>,
    events: u64,
}

impl std::fmt::Debug for Live {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:?}", self.standing)
    }
}

impl Live {
    /// Events go through `stages` first.
    pub fn new(stages: Stages) -> Self {
        Self {
            gathered: Gathered::default(),
            failed: 0,
            everyone: Picture::default(),
            standing: Standing::Watched,
            printed: None,
            stages,
            filter: None,
            filter_text: String::new(),
            recent: VecDeque::new(),
            recent_bytes: 0,
            recorder: None,
            recorded: String::new(),
        }
    }

    /// Takes what came in.
    pub fn take(&mut self, batch: Batch) {
        if let Some(recorder) = &mut self.recorder
            && let Err(error) = recorder.write(&batch)
        {
            self.recorded = format!("the recording ended: {error}");
            self.recorder = None;
        }
        let Some(batch) = self.stages.pass(batch) else { return };
        if self.everyone.is_crowded() {
            self.everyone.forget_ended();
        }
        self.everyone.begin(&batch);
        for event in &batch.events {
            self.everyone.take(&batch, event);
        }
        let passed = match &mut self.filter {
            Some(filter) => filter.pass(batch),
            None => Some(batch),
        };
        let Some(batch) = passed else { return };
        self.gathered.make_room();
        self.gathered.take(&batch);
        self.failed += batch.events.iter().filter(|event| !event.error.is_empty()).count() as u64;
        self.recent_bytes += batch.size_bytes();
        self.recent.push_back(batch);
        while self.recent_bytes > MOST_RECENT
            && let Some(oldest) = self.recent.pop_front()
        {
            self.recent_bytes -= oldest.size_bytes();
        }
    }

    /// Lets only events in that meet a condition, from now on; all for an empty one. The error says the
    /// place.
    pub fn set_filter(&mut self, condition: &str) -> Result<(), String> {
        self.filter = match condition.trim() {
            "" => None,
            condition => Some(Stages::new(vec![filter::stage(filter::compiled(condition, &*FIELDS)?)])),
        };
        self.filter_text = condition.trim().to_owned();
        self.begin_anew();
        Ok(())
    }

    /// Forgets what was, but not which programs run.
    pub fn begin_anew(&mut self) {
        (self.gathered, self.failed) = (Gathered::of(self.everyone.running_anew()), 0);
        (self.recent, self.recent_bytes) = (VecDeque::new(), 0);
    }

    /// A collector was met: nothing more will be told of what an earlier one watched.
    pub fn begin_session(&mut self) {
        self.standing = Standing::Watched;
        self.everyone.lose_sight();
        self.gathered.picture.lose_sight();
    }

    /// The last events of a process, as `-o human` writes them, the newest last.
    pub fn events_of(&self, pid: u32, most: usize) -> Vec<String> {
        let Ok(condition) = filter::compiled(&format!("proc.pid = {pid}"), &*FIELDS) else {
            return Vec::new();
        };
        let mut choice = filter::Choice::new(condition);
        let mut pieces: Vec<Vec<String>> = Vec::new();
        let mut lines = 0;
        for batch in self.recent.iter().rev() {
            let chosen = choice.of(batch);
            if chosen.events.is_empty() {
                continue;
            }
            let mut encoder = (crate::sinks::human::FORMAT.build)(&Plan::default());
            let mut bytes = Vec::new();
            encoder.batch(&chosen, &mut bytes);
            let text = String::from_utf8_lossy(&bytes);
            let piece: Vec<String> = text.lines().map(str::to_owned).collect();
            lines += piece.len();
            pieces.push(piece);
            if lines >= most {
                break;
            }
        }
        let all: Vec<String> = pieces.into_iter().rev().flatten().collect();
        all.into_iter().skip(lines.saturating_sub(most)).collect()
    }

    /// Whether a recording is written.
    pub fn is_recording(&self) -> bool {
        self.recorder.is_some()
    }

    /// Begins a recording at `path`, or beside it where a file has that name; ends the one that is written.
    pub fn record(&mut self, path: &Path) {
        self.recorded = match self.recorder.take() {
            Some(recorder) => recorder.end(),
            None => match Recorder::new(path) {
                Ok(recorder) => {
                    self.recorder = Some(recorder);
                    String::new()
                }
                Err(failure) => failure.to_string(),
            },
        };
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.recorder.take().map(Recorder::end);
    }
}

/// Creates a file at `path`; where that exists, at the first free one of `path-2`, `path-3` and so on, the
/// number in front of the extension.
fn created(path: &Path) -> Result<(PathBuf, File), Failure> {
    let mut number = 1;
    loop {
        let path = numbered(path, number);
        let created = OpenOptions::new().write(true).create_new(true).mode(OWNERS_ALONE).open(&path);
        number += 1;
        match created {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number <= MOST_RECORDINGS => {}
            Err(error) => {
                return Err(Failure::output(format!(
                    "cannot write recording '{}': {error}; give --record a new file in a folder that exists",
                    deploy::visible::visible(&path.display().to_string())
                )));
            }
        }
    }
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    if number == 1 {
        return path.to_owned();
    }
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(format!("-{number}"));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

impl Recorder {
    fn new(path: &Path) -> Result<Self, Failure> {
        let (path, file) = created(path)?;
        let mut encoder = (recording::writer::FORMAT.build)(&Plan::default());
        let mut bytes = Vec::new();
        encoder.begin(Found::Fresh, &mut bytes);
        Ok(Self { path, file, encoder, bytes, events: 0 })
    }

    fn write(&mut self, batch: &Batch) -> io::Result<()> {
        self.encoder.batch(batch, &mut self.bytes);
        self.file.write_all(&self.bytes)?;
        self.bytes.clear();
        self.events += batch.events.len() as u64;
        Ok(())
    }

    /// Writes the end; gives a line for the user.
    fn end(mut self) -> String {
        self.encoder.end(&RunFacts::default(), &mut self.bytes);
        match self.file.write_all(&self.bytes) {
            Ok(()) => {
                let path = deploy::visible::visible(&self.path.display().to_string()).into_owned();
                format!("{} events in '{path}'; see: glassbox replay {path}", self.events)
            }
            Err(error) => format!("the recording has no end: {error}"),
        }
    }
}
