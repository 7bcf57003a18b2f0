//! `glassbox replay`: a recording's events to the same outputs as a live session's.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use super::recording::reader::{Frame, Reader, Trouble};
use super::{Backlog, Outlets, RunFacts};
use crate::failure::{Failure, Status, say};
use crate::outputs::{Destination, Opening, Output};

/// Sends the events of a recording to the outputs.
///
/// Fails with status 66 if `file` cannot be read, 65 if it is not a whole recording (after writing what it holds), 73
/// if an output cannot be made or written to the end.
pub fn replay(file: &Path, outputs: &[Output]) -> Result<(), Failure> {
    let input = File::open(file).map_err(|error| failure(file, &Trouble::Unreadable(error), 0))?;
    let mut reader = Reader::new(&input).map_err(|trouble| failure(file, &trouble, 0))?;
    refuse_itself(file, &input, outputs)?;
    let outlets = Outlets::open(outputs, Opening::Fresh, Backlog::Wait)?;
    let mut events = 0;
    let end = loop {
        match reader.next(outlets.empty_batch()) {
            Ok(Frame::Batch(batch)) => {
                events += batch.events.len() as u64;
                outlets.deliver(Arc::new(batch));
            }
            Ok(Frame::End(facts)) => break Ok(facts),
            Err(trouble) => break Err(trouble),
        }
    };
    let reports = outlets.close(*end.as_ref().unwrap_or(&RunFacts::default()));
    if reader.unknown() > 0 {
        say(&format!(
            "recording '{}' has {} events of kinds that this version does not know; replay it with the version that \
             made it",
            file.display(),
            reader.unknown()
        ));
    }
    if let Err(trouble) = end {
        return Err(failure(file, &trouble, events));
    }
    // What failed was said when it failed; here it is only how the command ends.
    match reports.iter().find_map(super::SinkReport::line) {
        Some(line) => Err(Failure::output(line)),
        None => Ok(()),
    }
}

/// An output onto the recording would empty it before it is read.
fn refuse_itself(file: &Path, input: &File, outputs: &[Output]) -> Result<(), Failure> {
    let Ok(input) = input.metadata() else { return Ok(()) };
    for output in outputs {
        if let Destination::File(path) = &output.destination
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

fn failure(file: &Path, trouble: &Trouble, events: u64) -> Failure {
    let file = file.display();
    let (status, remedy) = match trouble {
        Trouble::Unreadable(_) if events == 0 => (Status::MissingInput, "check the path".to_owned()),
        Trouble::Unreadable(_) => (
            Status::MissingInput,
            format!("the {events} events before that were delivered; copy the file again"),
        ),
        Trouble::NotARecording => {
            (Status::Malformed, "make one with 'glassbox run -o recording:FILE -- CMD'".to_owned())
        }
        Trouble::Version(_) => (Status::Malformed, "replay it with the version that made it".to_owned()),
        Trouble::CutOff(_) => (
            Status::Malformed,
            format!(
                "the {events} events before that were delivered; its writer was killed, is still writing, or had no \
                 room"
            ),
        ),
        Trouble::Damaged(_) => (
            Status::Malformed,
            format!("the {events} events before that were delivered; copy the file again"),
        ),
    };
    Failure::new(status, format!("recording '{file}' {trouble}; {remedy}"))
}
