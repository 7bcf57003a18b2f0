//! The settings of a command as types, parsed from the text of [`layers`], and the [`Session`] that is made
//! of them.

pub mod command;
pub mod file;
pub mod forms;
pub mod judged;
pub mod keys;
pub mod layers;
pub mod rule_files;
mod schema;
pub mod setting;
mod show;

use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;

use crate::container::Authority;
use crate::metrics::server;
use crate::outputs::Output;
use crate::pipeline::control::Control;
use crate::reload::Fresh;
use crate::session::Session;
use crate::shell::failure::Failure;
use crate::shell::listeners::Listeners;
use crate::shell::socket::Name;
use crate::sinks::carrier::kind::Opening;

use judged::{Judged, Verdict};
use keys::{ECS_METADATA, METRICS, OUTPUT, Reader, SENSOR, SOCKET};
use layers::Layers;
use setting::Setting;

/// The `-o` of a `run` that has none.
pub const RUN_OUTPUT: &str = "summary:stderr";
/// The `-o` of `collect` and `replay`.
pub const COLLECT_OUTPUT: &str = "human:-";
/// The `-o` of a `replay` that is asked for one part of a summary.
pub const PAGE_OUTPUT: &str = "summary:-";
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
    pub judged: Judged,
    /// Where metrics are served.
    pub metrics: Option<SocketAddr>,
}

impl Settings {
    /// Parses the layers; `output` is the output where they have none. Fails with status 64 where a value is
    /// wrong.
    pub fn of(layers: &Layers, output: &str) -> Result<Self, Failure> {
        let outputs = outputs(layers, output)?;
        let authority = layers.setting(&ECS_METADATA);
        let authority = Authority::of(authority.text(), &authority)?;
        let judged = Judged::of(layers, &outputs)?;
        let metrics = layers.setting(&METRICS);
        let metrics = match metrics.text().to_str() {
            Some("") => None,
            text => Some(text.and_then(server::address).ok_or_else(|| {
                Failure::usage(format!("{metrics} is no address; give one such as 127.0.0.1:9464"))
            })?),
        };
        Ok(Self { outputs, authority, judged, metrics })
    }

    /// Parses the layers again; alerts count for `verdict` as before.
    pub fn again(layers: &Layers, output: &str, verdict: &Verdict) -> Fresh {
        let outputs = outputs(layers, output);
        let judged = Judged::again(layers, outputs.as_deref().unwrap_or_default(), verdict);
        Fresh { outputs, judged }
    }

    /// A session that is the first of its run, without a launcher and without an end: callers set what they
    /// have of these.
    pub fn session(self, listeners: Listeners) -> Session {
        let Self { outputs, authority, judged, metrics } = self;
        Session {
            listeners,
            launcher: None,
            stop: None,
            reloader: None,
            greeting: None,
            ends_with_readers: false,
            gathers_page: false,
            metrics,
            outputs,
            judged,
            opening: Opening::Fresh,
            handed_over: Vec::new(),
            sightings: None,
            restarts: 0,
            authority,
            control: Control::default(),
            requests_from: None,
        }
    }
}

/// The outputs of the layers, or `default`, whose destination is also that of an output without one.
pub fn outputs(layers: &Layers, default: &str) -> Result<Vec<Output>, Failure> {
    let mut outputs = Output::parse_all(&layers.setting(&OUTPUT).values, OsStr::new(default))?;
    Output::show_all(&mut outputs, &layers.show)?;
    Ok(outputs)
}

/// The socket of a command without options for settings: that of the environment or the configuration file.
pub fn socket() -> Result<Name, Failure> {
    named(&socket_setting()?)
}

/// The same, and where it comes from.
pub fn socket_setting() -> Result<Setting, Failure> {
    Ok(Layers::read(Reader::Every, None)?.setting(&SOCKET))
}

/// The socket that a setting names.
pub fn named(setting: &Setting) -> Result<Name, Failure> {
    Name::of(setting.text(), setting)
}

/// The sensor of a command without options for settings, where the environment or the configuration file
/// names one.
pub fn sensor() -> Result<Option<OsString>, Failure> {
    Ok(Layers::read(Reader::Every, None)?.setting(&SENSOR).values.pop())
}
