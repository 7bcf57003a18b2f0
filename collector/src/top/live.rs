//! What is known of the session that is watched: the same tables as a summary's, and the last events.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::event::Batch;
use crate::shell::failure::Failure;
use crate::shell::files::{self, From, Permissions};
use crate::sinks::encoder::{Encoder, Plan, RunFacts};
use crate::sinks::framing::Found;
use crate::sinks::recording;
use crate::sinks::summary::Gathered;
use crate::stages::fields::FIELDS;
use crate::stages::{Stages, filter};

/// Bytes of the last events that are kept.
const MOST_RECENT: usize = 8 << 20;

/// How the collector stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its events come in.
    Watched,
    /// They do not, for this reason; it is looked for again.
    Gone(String),
}

/// See the module.
pub struct Live {
    pub gathered: Gathered,
    pub standing: Standing,
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
            standing: Standing::Watched,
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
        let passed = match &mut self.filter {
            Some(filter) => filter.pass(batch),
            None => Some(batch),
        };
        let Some(batch) = passed else { return };
        self.gathered.take(&batch);
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
        self.gathered = Gathered::default();
        (self.recent, self.recent_bytes) = (VecDeque::new(), 0);
        Ok(())
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

    /// Begins a recording at `path`, or ends the one that is written.
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

impl Recorder {
    fn new(path: &Path) -> Result<Self, Failure> {
        let file = files::open(path, "recording", From::Start, Permissions::Secret)?;
        let mut encoder = (recording::writer::FORMAT.build)(&Plan::default());
        let mut bytes = Vec::new();
        encoder.begin(Found::Fresh, &mut bytes);
        Ok(Self { path: path.to_owned(), file, encoder, bytes, events: 0 })
    }

    fn write(&mut self, batch: &Batch) -> std::io::Result<()> {
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
