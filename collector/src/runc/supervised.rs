//! `glassbox runc --notify`: has the kernel ask about a container's system calls, through the runtime.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use notify::Level;
use serde_json::Value;

use super::attendant::{self, Config, Order};
use super::meeting::{Meeting, Turn, Whose};
use super::seccomp::{self, Features};
use crate::notify::link::Link;
use crate::notify::plan;
use crate::notify::sensor::Sensor;
use crate::shell::files;
use crate::shell::socket::Name;

/// What is to be seen into.
#[derive(Debug)]
pub struct Ask<'a> {
    /// The calls that are asked about.
    pub level: Level,
    /// The container.
    pub whose: Whose<'a>,
    /// The sensor's path in it.
    pub sensor: String,
    /// The collector's socket, here.
    pub collector: String,
    /// Without a collector nothing is started.
    pub is_required: bool,
}

/// Prepares the bundle of a container that `runtime` is about to start, and starts its attendant. `sensor` is
/// the sensor's file here.
///
/// # Errors
/// Why it cannot be had: the bundle is as it was then.
pub fn start(ask: &Ask<'_>, runtime: &Path, sensor: &Path, turn: Turn) -> Result<(), String> {
    let features = features(runtime)?;
    let path = ask.whose.bundle.join("config.json");
    let unreadable = |why: String| format!("cannot read '{}': {why}", path.display());
    let before = std::fs::read_to_string(&path).map_err(|error| unreadable(error.to_string()))?;
    let mut config: Value = serde_json::from_str(&before).map_err(|error| unreadable(error.to_string()))?;
    plan::prove_host()?;
    let path = std::path::absolute(&path).map_err(|error| unreadable(error.to_string()))?;
    let meeting = Meeting::new(&ask.whose)?;
    let begin = || {
        let listener = meeting.socket().display().to_string();
        seccomp::ask(&mut config, ask.level, &listener, &features)?;
        let text = config.to_string();
        let kept = Config { path: path.clone(), text: text.clone(), before, turn };
        let sensor = Sensor::of(PathBuf::from(&ask.sensor), sensor);
        attendant::start(order(ask, meeting.clone(), sensor, Some(kept), None)?)?;
        files::replace(&path, text.as_bytes()).map_err(|failure| failure.to_string())
    };
    begin().inspect_err(|_| meeting.tidy())
}

/// Looks for the attendant of a container that runs, to which a process is about to be added; `init` is its
/// first process. One that was killed is followed by another one: else the runtime would add none.
///
/// # Errors
/// Why there is none, or no collector where one is required.
pub fn resume(ask: &Ask<'_>, init: Option<u32>) -> Result<(), String> {
    let Some(meeting) = Meeting::found(&ask.whose) else { return Ok(()) };
    if !meeting.is_attended() {
        let sensor = meeting.noted(PathBuf::from(&ask.sensor));
        attendant::start(order(ask, meeting, sensor, None, init)?)?;
    }
    if ask.is_required {
        let collector = collector(ask)?;
        Link::connect(&collector, None).map_err(|why| why.of(&collector))?;
    }
    Ok(())
}

fn collector(ask: &Ask<'_>) -> Result<Name, String> {
    Name::checked(&ask.collector)?;
    let collector = Name::of(OsStr::new(&ask.collector), &"the collector's socket");
    collector.map_err(|failure| failure.to_string())
}

fn order(
    ask: &Ask<'_>,
    meeting: Meeting,
    sensor: Sensor,
    config: Option<Config>,
    init: Option<u32>,
) -> Result<Order, String> {
    Ok(Order {
        level: ask.level,
        collector: collector(ask)?,
        container: ask.whose.container.to_owned(),
        sensor,
        meeting,
        config,
        init,
    })
}

/// What the runtime says that it can do.
fn features(runtime: &Path) -> Result<Features, String> {
    let of_runtime = |why: &str| format!("the runtime '{}' lacks it: {why}", runtime.display());
    let unknown = |_| of_runtime("it has no command 'features' (runc 1.1 and later have)");
    let mut ask = Command::new(runtime);
    let answer = ask.arg("features").stdin(Stdio::null()).stderr(Stdio::null()).output();
    let answer = answer.map_err(|error| of_runtime(&error.to_string()))?;
    let answer: Value = serde_json::from_slice(&answer.stdout).map_err(unknown)?;
    Features::of(&answer).map_err(|why| of_runtime(&why))
}
