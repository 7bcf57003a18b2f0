//! AWS Lambda: the layer (`glassbox lambda-layer`), and the collector as an external extension inside a
//! sandbox.
//!
//! The extension is this executable under the path `…/extensions/NAME`, where the sandbox starts it without
//! arguments, beside the function's runtime. It listens for sensors first, since the runtime starts at the
//! same time; then it registers with the Extensions API and asks for one event after the other. The sandbox
//! is frozen once the runtime and all extensions have asked for their next event. So the extension delivers
//! everything of an invocation before it asks for its next event; the Telemetry API says when the runtime is
//! done.
//!
//! ```text
//! runtime ─ sensor ─→ session (threads of collector/src/session.rs) ─→ outputs
//!                        ↑ Control: which request, when to deliver
//! Extensions API ←─→ this thread ←─ telemetry ←─ Telemetry API
//! ```
//!
//! A failure of the extension must not become one of the function: an extension that reports an error, or
//! ends, takes the function with it. One that cannot collect says so once, and goes on asking for events that
//! it ignores. With `GLASSBOX_FAIL=closed` the function fails instead.
//!
//! Settings come from the function's environment and from a configuration file in the function's package or
//! in a layer ([`layers`]).

mod api;
pub mod layer;
mod telemetry;

#[cfg(fuzzing)]
pub use telemetry::fuzz;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Signal, getpid, kill_process};

use crate::door::news::Turn;
use crate::outputs::Output;
use crate::pipeline::control::Control;
use crate::session::{self, Session};
use crate::settings::keys::{FAIL, Reader, SOCKET, TELEMETRY};
use crate::settings::layers::Layers;
use crate::settings::{self, EXTENSION_OUTPUT, Settings};
use crate::shell::failure::{Failure, say};
use crate::shell::sensor_path::executable;
use crate::shell::socket;
use crate::shell::stop::{Beside, StopSignals};
use crate::system::clock::utc_now_ns;

use api::{Api, Event};
use telemetry::Telemetry;

/// The hidden command that the extension's name stands for.
pub const SUBCOMMAND: &str = "lambda-extension";

/// The variable that holds the address of the sandbox's APIs.
const API: &str = "AWS_LAMBDA_RUNTIME_API";

/// The longest delay of the end of an invocation, until its events are delivered. It is some milliseconds,
/// unless an output stands still.
const DELIVERY: Duration = Duration::from_secs(2);

/// The extension stops waiting for the end of an invocation so long before the function's time is over: if it
/// asks for its next event too late, the invocation counts as timed out.
const MARGIN: Duration = Duration::from_millis(300);

/// Where events wait for a receiver that is away, where an output names no other place: the one directory
/// that a function can write, of 512 MB or more.
const SPOOL: &str = "/tmp/glassbox-spool";
const SPOOL_BYTES: u64 = 64 << 20;

/// How long a session may take to begin, where the function must fail without it.
const READY: Duration = Duration::from_secs(2);

/// The command line. The sandbox starts an extension without arguments: the hidden command is added then.
pub fn rearranged(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let is_extension =
        |path: &Path| path.parent().and_then(Path::file_name) == Some(OsStr::new("extensions"));
    if arguments.len() == 1
        && std::env::var_os(API).is_some()
        && executable().is_some_and(|path| is_extension(&path))
    {
        arguments.push(SUBCOMMAND.into());
    }
    arguments
}

/// Serves as an extension until the sandbox shuts down; the result is the exit status.
pub fn extend() -> Result<u8, Failure> {
    let name = executable().and_then(|path| path.file_name().map(|name| name.to_string_lossy().into_owned()));
    let (Some(name), Ok(address)) = (name, std::env::var(API)) else {
        return Err(Failure::usage(format!("{API} is not set; only AWS Lambda starts this command")));
    };
    let layers = layers();
    // What a malformed file says is not known; what the environment says is.
    let known = layers.as_ref().ok().cloned();
    let known = known.or_else(|| Layers::of_environment(Reader::Extension).ok()).unwrap_or_default();
    let is_fail_closed = known.setting(&FAIL).text() == "closed";
    let collecting = Collecting::begin(layers, is_fail_closed);
    let mut api = Api::register(&address, &name)?;
    let collecting = match collecting {
        Ok(collecting) => collecting,
        Err(failure) if is_fail_closed => {
            api.fail("init", "Extension.CannotCollect", &failure);
            return Err(failure);
        }
        Err(failure) => {
            say(&format!("{failure}; this sandbox goes on unseen"));
            None
        }
    };
    if let Some(Collecting { control, .. }) = &collecting
        && is_fail_closed
        && !control.flush(READY, false)
    {
        let failure = collecting.and_then(|collecting| collecting.end().err());
        let failure = failure.unwrap_or_else(|| Failure::internal("the collector does not begin"));
        api.fail("init", "Extension.CannotCollect", &failure);
        return Err(failure);
    }
    let mut telemetry = match &collecting {
        Some(_) if api.has_invocations() && known.setting(&TELEMETRY).is_on() => Telemetry::subscribe(&api),
        _ => None,
    };
    let result = serve(&mut api, collecting.as_ref(), &mut telemetry);
    if let Err(failure) = &result {
        api.fail("exit", "Extension.CannotGoOn", failure);
    }
    // Where a failure is not fatal, stderr has it already.
    match collecting.map(Collecting::end) {
        Some(Err(failure)) if is_fail_closed => Err(failure),
        _ => result.map(|()| 0),
    }
}

/// Asks for one event after the other, until the last.
fn serve(
    api: &mut Api,
    collecting: Option<&Collecting>,
    telemetry: &mut Option<Telemetry>,
) -> Result<(), Failure> {
    loop {
        let event = api.next()?;
        let begun = Instant::now();
        // A session that has failed has said why, and would not answer.
        let control =
            collecting.filter(|collecting| !collecting.thread.is_finished()).map(|one| &one.control);
        let (request_id, deadline_ms) = match event {
            Event::Invoke { request_id, deadline_ms } => (request_id, deadline_ms),
            Event::Shutdown { reason } => {
                if let Some(control) = control {
                    // A request that brought the sandbox down is served until the end.
                    control.turn(if reason == "spindown" { Turn::ToNone } else { Turn::ToTheSame });
                }
                return Ok(());
            }
            Event::Other => continue,
        };
        let Some(control) = control else { continue };
        control.turn(Turn::To(request_id.as_str().into()));
        let Some(telemetry) = telemetry else { continue };
        let left = left_until(deadline_ms);
        let is_done = telemetry.wait_for(&request_id, begun + left.saturating_sub(MARGIN.min(left / 2)));
        // An invocation that is not done goes on while the next event is asked for.
        control.flush(DELIVERY.min(left.saturating_sub(begun.elapsed()) / 2), is_done);
    }
}

/// The time until a moment in milliseconds since 1970, at most 15 minutes, which no invocation exceeds: the
/// clock may be behind after a thaw.
fn left_until(deadline_ms: u64) -> Duration {
    const LONGEST: Duration = Duration::from_secs(900);
    Duration::from_millis(deadline_ms.saturating_sub(utc_now_ns() / 1_000_000)).min(LONGEST)
}

/// The folder of the function's package. Extensions are not told of it: `LAMBDA_TASK_ROOT` is the function's.
const PACKAGE: &str = "/var/task";

/// The name of a configuration file that the function or a layer brings.
const FILE: &str = "glassbox.yaml";

/// The function's environment, and the configuration file: where the environment names none, that in the
/// function's package (/var/task), else that of a layer, which lies above the folder of extensions (/opt).
fn layers() -> Result<Layers, Failure> {
    let layer = executable().and_then(|path| Some(path.parent()?.parent()?.to_path_buf()));
    let roots = [Some(PathBuf::from(PACKAGE)), layer];
    let files: Vec<PathBuf> = roots.into_iter().flatten().map(|root| root.join(FILE)).collect();
    let files: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
    Layers::read_with(Reader::Extension, None, &files)
}

/// A session in threads of its own.
struct Collecting {
    control: Control,
    thread: JoinHandle<Result<(), Failure>>,
}

impl Collecting {
    /// Begins to collect; sensors are listened for when this returns. `None` where the function's
    /// configuration says `off`.
    fn begin(layers: Result<Layers, Failure>, is_fail_closed: bool) -> Result<Option<Self>, Failure> {
        if std::env::var_os("GLASSBOX").is_some_and(|value| value == "off") {
            return Ok(None);
        }
        let layers = layers?;
        let mut settings = Settings::of(&layers, EXTENSION_OUTPUT)?;
        settings.outputs.iter_mut().for_each(|output| output.spool_in(SPOOL, SPOOL_BYTES));
        Output::check_all(&settings.outputs)?;
        let stop = StopSignals::watch(Beside::None)?;
        let listening = socket::shared(&settings::named(&layers.setting(&SOCKET))?)?;
        let control = Control::default();
        let session = Session {
            stop: Some(stop),
            control: control.clone(),
            requests_from: std::env::var(API).ok().and_then(|address| address.parse().ok()),
            metrics: None,
            ..settings.session(listening.listeners)
        };
        let files = listening.files;
        let collect = move || {
            let result = session::serve(session);
            drop(files);
            if let Err(failure) = &result
                && !is_fail_closed
            {
                say(&format!("{failure}; this sandbox goes on unseen"));
            }
            result
        };
        let thread = std::thread::Builder::new().name("collect".into()).spawn(collect);
        let thread = thread.map_err(|error| {
            Failure::internal(format!("cannot start a thread: {error}; raise the function's memory"))
        })?;
        Ok(Some(Self { control, thread }))
    }

    /// Ends with everything drained and written.
    fn end(self) -> Result<(), Failure> {
        // As an operator ends `glassbox collect`. All threads block the signal, so it only makes `stop`
        // readable.
        let _ = kill_process(getpid(), Signal::TERM);
        // A panic ends the process, so the result cannot be one.
        self.thread.join().unwrap_or(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_that_is_left_is_never_more_than_lambda_allows_nor_negative() {
        let now_ms = utc_now_ns() / 1_000_000;

        assert_eq!(Duration::ZERO, left_until(now_ms - 5000));
        assert_eq!(Duration::from_secs(900), left_until(now_ms + 10_000_000));
        let left = left_until(now_ms + 3000);
        assert!(left > Duration::from_millis(2000) && left <= Duration::from_millis(3001), "{left:?}");
    }

    #[test]
    fn other_command_lines_stay_as_they_are() {
        for line in [&["glassbox"][..], &["glassbox", "run", "--", "ls"]] {
            let line: Vec<OsString> = line.iter().map(OsString::from).collect();

            assert_eq!(line, rearranged(line.clone()));
        }
    }
}
