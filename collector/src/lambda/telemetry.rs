//! Receives the posts of the Telemetry API, which say when the runtime is done with a request.
//!
//! Any process of the sandbox can post here. One that lies makes the collector deliver early and assign the
//! rest to the wrong request; it could as well have ended the collector.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender};
use serde_json::Value;
use tiny_http::{Request, Response, Server};

use super::api::Api;
use crate::shell::failure::{Failure, say};

/// The platform posts no more at a time: `maxBytes` of the subscription, exceeded by one event at most.
const MOST_BYTES: u64 = 1 << 20;

/// The reports that the runtime is done with a request.
#[derive(Debug)]
pub struct Telemetry {
    done_rx: Receiver<String>,
    /// The end of a request was not reported in time. Until a report comes again, none is waited for.
    is_silent: bool,
}

impl Telemetry {
    /// Listens, and asks the API to post here. `None` if that fails: events are delivered all the same, but
    /// perhaps only when the sandbox is thawed for the next invocation.
    pub fn subscribe(api: &Api) -> Option<Self> {
        let listen = || -> Result<Self, Failure> {
            let cannot = |error: String| Failure::internal(format!("cannot listen for telemetry: {error}"));
            // The platform posts to the name `sandbox.localdomain`, which may stand for any address of this
            // sandbox.
            let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
            let server = Server::http(address).map_err(|error| cannot(error.to_string()))?;
            let port = server.server_addr().to_ip().map_or(0, |address| address.port());
            let (done_tx, done_rx) = crossbeam_channel::unbounded();
            let serve = move || server.incoming_requests().for_each(|request| take(request, &done_tx));
            std::thread::Builder::new()
                .name("telemetry".into())
                .spawn(serve)
                .map_err(|error| cannot(error.to_string()))?;
            api.subscribe(port)?;
            Ok(Self { done_rx, is_silent: false })
        };
        let why = match listen() {
            Ok(telemetry) => return Some(telemetry),
            Err(why) => why,
        };
        say(&format!("{why}; the last events of an invocation may be delivered with the next one"));
        None
    }

    /// Waits until the runtime is done with `request_id`, or until `deadline`; says whether it is known to be
    /// done.
    pub fn wait_for(&mut self, request_id: &str, deadline: Instant) -> bool {
        let deadline = if self.is_silent { Instant::now() } else { deadline };
        while let Ok(done) = self.done_rx.recv_deadline(deadline) {
            self.is_silent = false;
            if done == request_id {
                return true;
            }
        }
        self.is_silent = true;
        false
    }
}

/// Takes one post.
fn take(mut request: Request, done_tx: &Sender<String>) {
    let mut text = String::new();
    let read = request.as_reader().take(MOST_BYTES).read_to_string(&mut text);
    if read.is_ok() {
        for request_id in done(&text) {
            // The other end lives as long as the process.
            let _ = done_tx.send(request_id);
        }
    }
    // If the platform does not wait for the answer, nothing is lost.
    let _ = request.respond(Response::empty(200));
}

/// The requests that the runtime is done with according to a batch of telemetry, whether they succeeded or
/// not.
fn done(text: &str) -> Vec<String> {
    let Ok(Value::Array(events)) = serde_json::from_str(text) else { return Vec::new() };
    let is_end = |event: &&Value| event["type"] == "platform.runtimeDone";
    events
        .iter()
        .filter(is_end)
        .filter_map(|event| event["record"]["requestId"].as_str())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn requests_that_are_done_are_found_among_everything_else() {
        let batch = r#"[
            {"time":"2022-10-12T00:00:15.064Z","type":"platform.start","record":{"requestId":"a","version":"$LATEST"}},
            {"time":"2022-10-12T00:00:16.000Z","type":"platform.runtimeDone","record":{"requestId":"a","status":"success"}},
            {"time":"2022-10-12T00:00:17.000Z","type":"platform.runtimeDone","record":{"requestId":"b","status":"timeout"}},
            {"type":"platform.runtimeDone"}, 7, {}
        ]"#;

        assert_eq!(vec!["a", "b"], done(batch));
        assert!(["", "{}", "[", "null"].iter().all(|text| done(text).is_empty()));
    }

    #[test]
    fn silence_is_waited_for_once_and_what_is_told_late_for_another_request_ends_it() {
        let (done_tx, done_rx) = crossbeam_channel::unbounded();
        let mut telemetry = Telemetry { done_rx, is_silent: false };
        let soon = || Instant::now() + Duration::from_millis(30);
        let late = || Instant::now() + Duration::from_secs(600);

        done_tx.send("a".to_owned()).unwrap();
        let told = telemetry.wait_for("a", late());
        let silent = telemetry.wait_for("b", soon());
        let not_waited_for = telemetry.wait_for("c", late());
        done_tx.send("c".to_owned()).unwrap();
        done_tx.send("d".to_owned()).unwrap();
        let told_again = telemetry.wait_for("d", late());

        assert_eq!([true, false, false, true], [told, silent, not_waited_for, told_again]);
        assert!(!telemetry.is_silent);
    }
}
