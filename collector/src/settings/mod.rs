//! The settings of a command as types, parsed from the text of [`keys`], and the [`Session`] that is made of
//! them.

pub mod keys;

use std::ffi::{OsStr, OsString};

use crate::container::Authority;
use crate::outputs::Output;
use crate::pipeline::control::Control;
use crate::session::Session;
use crate::shell::failure::Failure;
use crate::shell::listeners::Listeners;
use crate::shell::socket::Name;
use crate::sinks::carrier::kind::Opening;
use crate::stages::{Stages, filter};

use keys::{ECS_METADATA, FILTER, Key, Layers, OUTPUT, Reader, SOCKET};

/// The `-o` of a `run` that has none.
pub const RUN_OUTPUT: &str = "summary:stderr";
/// The `-o` of `collect` and `replay`.
pub const COLLECT_OUTPUT: &str = "human:-";
/// The output of the Lambda extension: a function's log is made of its stdout.
pub const EXTENSION_OUTPUT: &str = "jsonl:-";

/// The settings of a collector.
#[derive(Debug)]
pub struct Settings {
    /// At least one.
    pub outputs: Vec<Output>,
    /// The endpoint that knows the names of containers.
    pub authority: Authority,
    /// What events go through.
    pub stages: Stages,
}

impl Settings {
    /// Parses the layers; `output` is the output where they have none. Fails with status 64 where a value is
    /// wrong.
    pub fn of(layers: &Layers, output: &str) -> Result<Self, Failure> {
        let outputs = outputs(layers, output)?;
        let authority = Authority::of(&layers.setting(&ECS_METADATA))?;
        Ok(Self { outputs, authority, stages: stages(layers)? })
    }

    /// A session that is the first of its run, without a launcher and without an end: callers set what they
    /// have of these.
    pub fn session(self, listeners: Listeners) -> Session {
        let Self { outputs, authority, stages } = self;
        Session {
            listeners,
            launcher: None,
            stop: None,
            outputs,
            stages,
            opening: Opening::Fresh,
            handed_over: Vec::new(),
            restarts: 0,
            authority,
            control: Control::default(),
            requests_from: None,
        }
    }
}

/// The outputs of the layers, or `default`, whose destination is also that of an output without one.
pub fn outputs(layers: &Layers, default: &str) -> Result<Vec<Output>, Failure> {
    Output::parse_all(&layers.setting(&OUTPUT).values, OsStr::new(default))
}

/// The options of a collector about what events go through, checked, and as they are spelled for a collector
/// that is another process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judging(Vec<OsString>);

impl Judging {
    /// Those of the layers. Fails as [`stages`] does.
    pub fn of(layers: &Layers) -> Result<Self, Failure> {
        stages(layers)?;
        let values = |key| layers.setting(key).values.into_iter().map(|value| option(key, &value));
        Ok(Self(values(&FILTER).collect()))
    }

    /// Arguments of the hidden command.
    pub fn arguments(&self) -> &[OsString] {
        &self.0
    }
}

fn option(key: &Key, value: &OsStr) -> OsString {
    let mut option = OsString::from(format!("--{}=", key.flag));
    option.push(value);
    option
}

/// The stages that the layers ask for. Fails with status 64 where a condition is wrong.
pub fn stages(layers: &Layers) -> Result<Stages, Failure> {
    let mut stages = Vec::new();
    let condition = layers.setting(&FILTER);
    if let Some(text) = condition.values.last() {
        let text = text.to_str().ok_or_else(|| Failure::usage(format!("{condition} is not UTF-8")))?;
        let compiled = filter::compiled(text);
        let program = compiled.map_err(|error| Failure::usage(format!("{condition}: {error}")))?;
        stages.push(filter::stage(program));
    }
    Ok(Stages::new(stages))
}

/// The socket that this process's environment names.
pub fn socket() -> Result<Name, Failure> {
    Name::of(&Layers::of_process(Reader::Every).setting(&SOCKET))
}
