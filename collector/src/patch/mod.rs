//! `glassbox patch`: puts the sensor into a deployment file.
//!
//! The crate `deploy` decides on the changes, with a module for each kind of file. This module reads and
//! replaces the file and prints the notes. Each kind has a file beside this one, with its options and the
//! call into `deploy`.

mod common;
mod compose;
mod diff;
mod dockerfile;
mod ecs;
pub mod k8s;

use std::io::{Read, Write};
use std::path::Path;

use clap::{Args, Subcommand};
use deploy::{Error, Note, Patched};

use crate::shell::failure::{Failure, say};
use crate::shell::files;
use common::Common;

/// `glassbox patch`
#[derive(Args, Debug)]
pub struct Patch {
    #[command(subcommand)]
    kind: Kind,
}

/// The kinds of files.
#[derive(Debug, Subcommand)]
enum Kind {
    /// A compose file: a collector beside the services, and the sensor in them
    Compose(compose::Options),
    /// A Dockerfile: the sensor in every stage that becomes an image
    Dockerfile(dockerfile::Options),
    /// A task definition of Amazon ECS: the sensor's container, and each application made to use it
    Ecs(ecs::Options),
    /// Kubernetes manifests: the sensor in every pod, a collector beside it
    #[command(name = "k8s")]
    Kubernetes(k8s::Options),
}

/// Patches a file; the result is the exit status.
pub fn carry_out(patch: &Patch) -> Result<u8, Failure> {
    match &patch.kind {
        Kind::Compose(options) => {
            let config = common::config(options.config.as_deref())?;
            apply(&options.common, |text| options.patch(text, config))
        }
        Kind::Dockerfile(options) => {
            let config = options.config()?;
            apply(&options.common, |text| options.patch(text, config))
        }
        Kind::Ecs(options) => {
            let config = common::config(options.config.as_deref())?;
            apply(&options.common, |text| options.patch(text, config))
        }
        Kind::Kubernetes(options) => {
            let request = options.pods.request()?;
            apply(&options.common, |text| deploy::k8s::patch(text, &request))
        }
    }
}

/// Reads, patches, writes, and prints the notes on stderr.
fn apply(common: &Common, patch: impl FnOnce(&str) -> Result<Patched, Error>) -> Result<u8, Failure> {
    let text = read(&common.file)?;
    let patched = patch(&text).map_err(|error| {
        let name = common.file.display();
        match error {
            Error::Malformed(why) => Failure::malformed(format!("'{name}': {why}")),
            Error::Refused(why) => Failure::malformed(format!("cannot patch '{name}': {why}")),
        }
    })?;
    let is_dry = common.check || common.diff;
    for note in &patched.notes {
        match note {
            Note::Done(what) if is_dry => say(&format!("would do: {what}")),
            Note::Done(what) => say(what),
            Note::Skipped(what) => say(&format!("left alone: {what}")),
            Note::Warning(what) | Note::Missed(what) => say(&format!("warning: {what}")),
        }
    }
    let is_changed = patched.text != text;
    if common.diff {
        diff::show(&common.file, &text, &patched.text)?;
    }
    if is_dry {
        let is_missed = patched.notes.iter().any(|note| matches!(note, Note::Missed(_)));
        return Ok(u8::from(is_changed || is_missed));
    }
    if !is_changed {
        say("nothing to do");
    }
    match common.output.as_deref().unwrap_or(&common.file) {
        path if path == Path::new("-") => {
            std::io::stdout().write_all(patched.text.as_bytes()).map_err(|error| {
                Failure::output(format!("cannot write to stdout: {error}; send it elsewhere"))
            })?
        }
        path if is_changed || path != common.file => {
            files::replace(path, patched.text.as_bytes())?;
        }
        _ => {}
    }
    Ok(0)
}

fn read(path: &Path) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let result = match path == Path::new("-") {
        true => std::io::stdin().lock().read_to_end(&mut bytes).map(drop),
        false => std::fs::read(path).map(|read| bytes = read),
    };
    result.map_err(|error| {
        Failure::missing(format!("cannot read '{}': {error}; give the path of a file", path.display()))
    })?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Failure::malformed(format!("'{}' is not UTF-8 text from byte {at} on; convert it", path.display()))
    })
}
