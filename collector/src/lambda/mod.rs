//! AWS Lambda: the layer (`glassbox lambda-layer`), and the collector as an external extension inside a sandbox.
//!
//! The extension is this executable under the path `…/extensions/NAME`, where the sandbox starts it without arguments,
//! beside the function's runtime. It listens for sensors first, since the runtime starts at the same time; then it tells
//! the Extensions API of itself and asks for one event after the other. The sandbox is frozen once the runtime and all
//! extensions have asked for their next event, so whatever belongs to an invocation is delivered before ours is asked for:
//! the Telemetry API says when the runtime is done.
//!
//! ```text
//! runtime ─ sensor ─→ session (threads of collector/src/session.rs) ─→ outputs
//!                        ↑ Control: which request, when to deliver
//! Extensions API ←─→ this thread ←─ telemetry ←─ Telemetry API
//! ```
//!
//! A fault of ours is never the function's: an extension that reports an error, or ends, takes the function with it. One
//! that cannot collect says so once, and goes on asking for events that it does nothing about; `GLASSBOX_FAIL=closed`
//! lets the function fail instead.

mod api;
pub mod layer;
mod telemetry;

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Signal, getpid, kill_process};

use crate::clock::utc_now_ns;
use crate::container::Authority;
use crate::door::news::Turn;
use crate::failure::{Failure, say};
use crate::outputs::{Destination, Format, Opening, Output};
use crate::pipeline::control::Control;
use crate::sensor_path::executable;
use crate::session::{self, Session};
use crate::socket::{self, Name};
use crate::stop::StopSignals;

use api::{Api, Event};
use telemetry::Telemetry;

/// The hidden command that the extension's name stands for.
pub const SUBCOMMAND: &str = "lambda-extension";

/// Where the sandbox says how to reach its APIs.
const API: &str = "AWS_LAMBDA_RUNTIME_API";

/// How long an invocation that is over is held up until everything that it did is delivered, at most. It is some milliseconds,
/// but for an output that does not get on.
const DELIVERY: Duration = Duration::from_secs(2);

/// How long before the function's time is over its end is not waited for any more: an extension that asks for its next
/// event too late makes a time-out of an invocation that was none.
const MARGIN: Duration = Duration::from_millis(300);

/// How long a session may take to begin, where the function is to fail without it.
const READY: Duration = Duration::from_secs(2);

/// The command line, with the command that the sandbox does not give where it starts us as an extension.
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
    let collecting = Collecting::begin();
    let mut api = Api::register(&address, &name)?;
    let collecting = match collecting {
        Ok(collecting) => collecting,
        Err(failure) if is_fail_closed() => {
            api.fail("init", "Extension.CannotCollect", &failure);
            return Err(failure);
        }
        Err(failure) => {
            say(&format!("{failure}; this sandbox goes on unseen"));
            None
        }
    };
    if let Some(Collecting { control, .. }) = &collecting
        && is_fail_closed()
        && !control.flush(READY, false)
    {
        let failure = collecting.and_then(|collecting| collecting.end().err());
        let failure = failure.unwrap_or_else(|| Failure::internal("the collector does not begin"));
        api.fail("init", "Extension.CannotCollect", &failure);
        return Err(failure);
    }
    let mut telemetry = match &collecting {
        Some(_) if api.has_invocations() && !is_set("GLASSBOX_TELEMETRY", "off") => {
            Telemetry::subscribe(&api)
        }
        _ => None,
    };
    let result = serve(&mut api, collecting.as_ref(), &mut telemetry);
    if let Err(failure) = &result {
        api.fail("exit", "Extension.CannotGoOn", failure);
    }
    // What went wrong has been said, where it does not matter.
    match collecting.map(Collecting::end) {
        Some(Err(failure)) if is_fail_closed() => Err(failure),
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
        // One that has failed has said why, and nobody would answer.
        let control =
            collecting.filter(|collecting| !collecting.thread.is_finished()).map(|one| &one.control);
        let (request_id, deadline_ms) = match event {
            Event::Invoke { request_id, deadline_ms } => (request_id, deadline_ms),
            Event::Shutdown { reason } => {
                if let Some(control) = control {
                    // The request that took its sandbox with it is served until the end.
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
        // One that is not done goes on while the next event is asked for.
        control.flush(DELIVERY.min(left.saturating_sub(begun.elapsed()) / 2), is_done);
    }
}

/// How long it is until a moment in milliseconds since 1970. The clock may be behind after a thaw, hence the bound: no
/// invocation may take longer.
fn left_until(deadline_ms: u64) -> Duration {
    const LONGEST: Duration = Duration::from_secs(900);
    Duration::from_millis(deadline_ms.saturating_sub(utc_now_ns() / 1_000_000)).min(LONGEST)
}

fn is_set(name: &str, wanted: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| value == wanted)
}

fn is_fail_closed() -> bool {
    is_set("GLASSBOX_FAIL", "closed")
}

/// The outputs that `GLASSBOX_OUTPUT` names, each as after `-o`, separated by spaces.
fn outputs() -> Result<Vec<Output>, Failure> {
    let given = std::env::var("GLASSBOX_OUTPUT").unwrap_or_default();
    let specs: Vec<OsString> = given.split_whitespace().map(OsString::from).collect();
    let outputs =
        Output::parse_all(&specs, Output { format: Format::Jsonl, destination: Destination::Stdout })?;
    Output::check_all(&outputs)?;
    Ok(outputs)
}

/// A session in threads of its own.
struct Collecting {
    control: Control,
    thread: JoinHandle<Result<(), Failure>>,
}

impl Collecting {
    /// Listens for sensors, from when this returns, and collects. `None` where the function's configuration says `off`.
    fn begin() -> Result<Option<Self>, Failure> {
        if is_set("GLASSBOX", "off") {
            return Ok(None);
        }
        let outputs = outputs()?;
        let stop = StopSignals::watch()?;
        let listening = socket::shared(&Name::from_environment()?)?;
        let control = Control::default();
        let session = Session {
            listeners: listening.listeners,
            launcher: None,
            stop: Some(stop),
            outputs,
            opening: Opening::Fresh,
            handed_over: Vec::new(),
            restarts: 0,
            authority: Authority::from_environment()?,
            control: control.clone(),
            requests_from: std::env::var(API).ok().and_then(|address| address.parse().ok()),
        };
        let files = listening.files;
        let collect = move || {
            let result = session::serve(session);
            drop(files);
            if let Err(failure) = &result
                && !is_fail_closed()
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
        // As an operator ends `glassbox collect`. Blocked for all threads, so it only makes `stop` readable.
        let _ = kill_process(getpid(), Signal::TERM);
        // A panic ends the process, so there is nothing to hear from it.
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
