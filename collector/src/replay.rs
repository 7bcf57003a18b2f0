//! `glassbox replay`: a recording's events to the same outputs as a live session's.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::outputs::Output;
use crate::pipeline::Outbox;
use crate::shell::failure::{Failure, say};
use crate::sinks::carrier::kind::Opening;
use crate::sinks::encoder::RunFacts;
use crate::sinks::recording::reader::{Frame, Reader, Trouble};
use crate::sinks::{Backlog, Outlets, SinkReport};
use crate::stages::Stages;

/// Sends the events of a recording through `stages` to the outputs.
///
/// Fails with status 66 if `file` cannot be read, 65 if it is not a whole recording (after writing its
/// events), 73 if an output cannot be made or written to the end.
///
/// Several recordings follow each other; `-` is stdin. All are opened before an output is made, and what one
/// of them lacks does not keep the others back.
pub fn replay(files: &[PathBuf], outputs: &[Output], stages: Stages) -> Result<(), Failure> {
    let mut readers = Vec::new();
    for file in files {
        readers.push((&**file, open(file, outputs)?));
    }
    let outlets = Outlets::open(outputs, Opening::Fresh, Backlog::Wait)?;
    let mut outbox = Outbox::new(stages, outlets);
    let (mut all, mut failed) = (RunFacts::default(), None);
    for (file, mut reader) in readers {
        let mut events = 0;
        let end = loop {
            match reader.next(outbox.empty_batch()) {
                Ok(Frame::Batch(batch)) => {
                    events += batch.events.len() as u64;
                    outbox.replay(batch);
                }
                Ok(Frame::End(facts)) => break Ok(facts),
                Err(trouble) => break Err(trouble),
            }
        };
        match end {
            Ok(RunFacts { restarts, collector_ns, .. }) => {
                all.restarts = all.restarts.saturating_add(restarts);
                all.collector_ns = all.collector_ns.saturating_add(collector_ns);
            }
            Err(trouble) => {
                let why = failure(file, &trouble, events);
                // The first one is what the command ends with.
                match &failed {
                    None => failed = Some(why),
                    Some(_) => say(&why.to_string()),
                }
            }
        }
        if reader.unknown() > 0 {
            say(&format!(
                "recording '{}' has {} events of kinds that this version does not know; replay it with the version \
                 that made it",
                file.display(),
                reader.unknown()
            ));
        }
    }
    let reports = outbox.into_outlets().close(all);
    if let Some(failed) = failed {
        return Err(failed);
    }
    // A failure was reported when it happened; here it only decides how the command ends.
    match reports.iter().find_map(SinkReport::line) {
        Some(line) => Err(Failure::output(line)),
        None => Ok(()),
    }
}

/// A recording, read up to its events.
pub fn open(file: &Path, outputs: &[Output]) -> Result<Reader<Box<dyn Read>>, Failure> {
    let input: Box<dyn Read> = if file == Path::new("-") {
        Box::new(io::stdin())
    } else {
        let input = File::open(file).map_err(|error| failure(file, &Trouble::Unreadable(error), 0))?;
        refuse_itself(file, &input, outputs)?;
        Box::new(input)
    };
    Reader::new(input).map_err(|trouble| failure(file, &trouble, 0))
}

/// An output onto the recording would empty it before it is read.
fn refuse_itself(file: &Path, input: &File, outputs: &[Output]) -> Result<(), Failure> {
    let Ok(input) = input.metadata() else { return Ok(()) };
    for output in outputs {
        if let Some(path) = output.destination.path()
            && let Ok(target) = fs::metadata(path)
            && input.is_file()
            && (target.dev(), target.ino()) == (input.dev(), input.ino())
        {
            return Err(Failure::usage(format!(
                "the output '{}' is the recording '{}' itself; choose another file",
                path.display(),
                file.display()
            )));
        }
    }
    Ok(())
}

/// Why a recording, or the rest of it, cannot be read, with the remedy.
pub fn failure(file: &Path, trouble: &Trouble, events: u64) -> Failure {
    let remedy = match trouble {
        Trouble::Unreadable(_) if events == 0 => "check the path",
        Trouble::NotARecording => "make one with 'glassbox run -o recording:FILE -- CMD'",
        Trouble::Version(_) => "replay it with the version that made it",
        Trouble::CutOff(_) => "its writer was killed, had no room, or is still writing",
        Trouble::Damaged(_) | Trouble::Unreadable(_) => "copy the file again",
    };
    let delivered = match trouble {
        Trouble::CutOff(_) | Trouble::Damaged(_) => {
            format!("the {events} events before that were delivered; ")
        }
        Trouble::Unreadable(_) if events > 0 => format!("the {events} events before that were delivered; "),
        _ => String::new(),
    };
    let line = format!("recording '{}' {trouble}; {delivered}{remedy}", file.display());
    match trouble {
        Trouble::Unreadable(_) => Failure::missing(line),
        _ => Failure::malformed(line),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;

    use super::*;
    use crate::event::{Batch, sample};
    use crate::sinks::tests::Scratch;

    fn replay(file: &Path, outputs: &[Output]) -> Result<(), Failure> {
        super::replay(&[file.to_owned()], outputs, Stages::default())
    }

    /// Sends the same events live to every format; gives how many there were.
    fn live(scratch: &Scratch) -> u64 {
        let outputs = [
            Output::to_file("jsonl", scratch.path("live.jsonl")),
            Output::to_file("human", scratch.path("live.txt")),
            Output::to_file("summary", scratch.path("live.summary")),
            Output::to_file("recording", scratch.path("r.gbx")),
        ];
        let mut outlets = Outlets::open(&outputs, Opening::Fresh, Backlog::Wait).unwrap();
        let mut events = 0;
        for _ in 0..20 {
            let batch = sample::every_kind();
            events += batch.events.len() as u64;
            outlets.deliver(Arc::new(batch));
        }
        outlets.finish(RunFacts { collector_ns: 77_000_000, ..RunFacts::default() });
        events
    }

    #[test]
    fn replay_gives_every_output_the_bytes_that_the_live_session_gave() {
        let scratch = Scratch::new("replay");
        live(&scratch);
        let outputs = [
            Output::to_file("jsonl", scratch.path("again.jsonl")),
            Output::to_file("human", scratch.path("again.txt")),
            Output::to_file("summary", scratch.path("again.summary")),
            Output::to_file("recording", scratch.path("again.gbx")),
        ];

        replay(&scratch.path("r.gbx"), &outputs).unwrap();

        let file = |name| fs::read(scratch.path(name)).unwrap();
        assert!(!file("live.jsonl").is_empty());
        assert_eq!(file("live.jsonl"), file("again.jsonl"));
        assert_eq!(file("live.txt"), file("again.txt"));
        assert_eq!(file("live.summary"), file("again.summary"));
        assert_eq!(file("r.gbx"), file("again.gbx"));
    }

    #[test]
    fn recording_that_was_cut_off_is_delivered_as_far_as_it_goes() {
        let scratch = Scratch::new("cut");
        let events = live(&scratch);
        let whole = fs::read(scratch.path("r.gbx")).unwrap();
        fs::write(scratch.path("cut.gbx"), &whole[..whole.len() - 30]).unwrap();
        let jsonl = scratch.path("cut.jsonl");

        let failure = replay(&scratch.path("cut.gbx"), &[Output::to_file("jsonl", &jsonl)]).unwrap_err();

        let delivered = fs::read_to_string(&jsonl).unwrap().lines().count() as u64;
        assert_eq!(65, failure.status());
        assert_eq!(events / 20 * 19, delivered);
        assert!(failure.to_string().contains(&format!("the {delivered} events before that")), "{failure}");
    }

    #[test]
    fn missing_and_foreign_files_and_itself_are_refused_before_an_output_is_made() {
        let scratch = Scratch::new("refused");
        live(&scratch);
        let recording = scratch.path("r.gbx");
        fs::write(scratch.path("foreign"), "{}").unwrap();
        let outputs = [Output::to_file("jsonl", scratch.path("never"))];
        let whole = fs::read(&recording).unwrap();

        assert_eq!(66, replay(&scratch.path("missing"), &outputs).unwrap_err().status());
        assert_eq!(66, replay(scratch.as_ref(), &outputs).unwrap_err().status());
        assert_eq!(65, replay(&scratch.path("foreign"), &outputs).unwrap_err().status());
        let itself = replay(&recording, &[Output::to_file("recording", &recording)]).unwrap_err();

        assert_eq!(64, itself.status());
        assert!(!scratch.path("never").exists());
        assert_eq!(whole, fs::read(&recording).unwrap());
    }

    #[test]
    fn output_that_cannot_take_it_all_ends_in_status_73() {
        let scratch = Scratch::new("full-replay");
        live(&scratch);

        let failure =
            replay(&scratch.path("r.gbx"), &[Output::to_file("jsonl", Path::new("/dev/full"))]).unwrap_err();

        assert_eq!(73, failure.status());
        assert!(failure.to_string().contains("No space left on device"), "{failure}");
    }

    #[test]
    fn several_recordings_follow_each_other_and_a_damaged_one_keeps_none_back() {
        let scratch = Scratch::new("several");
        let events = live(&scratch);
        let whole = fs::read(scratch.path("r.gbx")).unwrap();
        fs::write(scratch.path("cut.gbx"), &whole[..whole.len() - 30]).unwrap();
        let files = ["r.gbx", "cut.gbx", "r.gbx"].map(|name| scratch.path(name));
        let jsonl = scratch.path("all.jsonl");

        let failure =
            super::replay(&files, &[Output::to_file("jsonl", &jsonl)], Stages::default()).unwrap_err();

        let delivered = fs::read_to_string(&jsonl).unwrap().lines().count() as u64;
        assert_eq!((65, events * 2 + events / 20 * 19), (failure.status(), delivered));
    }

    #[test]
    fn empty_recording_replays_to_nothing() {
        let scratch = Scratch::new("empty");
        let outputs = [Output::to_file("recording", scratch.path("r.gbx"))];
        let mut outlets = Outlets::open(&outputs, Opening::Fresh, Backlog::Drop).unwrap();
        outlets.deliver(Arc::new(Batch::default()));
        outlets.finish(RunFacts::default());

        replay(&scratch.path("r.gbx"), &[Output::to_file("jsonl", scratch.path("out"))]).unwrap();

        assert!(fs::read(scratch.path("out")).unwrap().is_empty());
    }
}
