//! The Extensions API and the subscription to the Telemetry API, as a client: HTTP/1.1 on loopback.
//!
//! AWS, "Lambda Extensions API" (2020-01-01) and "Lambda Telemetry API" (2022-07-01).

use std::time::Duration;

use serde_json::{Value, json};
use ureq::http::Response;
use ureq::{Agent, Body};

use crate::shell::failure::Failure;

/// How often an event is requested in all when the connection breaks: a thawed sandbox may have cut it.
const TRIES: u32 = 3;

/// An extension that is registered.
#[derive(Debug)]
pub struct Api {
    agent: Agent,
    base: String,
    id: String,
    has_invocations: bool,
}

/// An event of the sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The function is invoked.
    Invoke {
        /// The invocation's id.
        request_id: String,
        /// When its time is up, in milliseconds since 1970.
        deadline_ms: u64,
    },
    /// The sandbox ends, two seconds later at most.
    Shutdown {
        /// `spindown`, `timeout` or `failure`.
        reason: String,
    },
    /// An event of a later version of the API.
    Other,
}

impl Api {
    /// Registers the extension `name`, which must be the name of its file, with the API at `address`.
    pub fn register(address: &str, name: &str) -> Result<Self, Failure> {
        let agent = Agent::config_builder()
            // No time-out: `next` blocks for as long as the sandbox is frozen.
            .http_status_as_error(false)
            // A connection from before a freeze may be dead after it.
            .max_idle_connections(0)
            .user_agent("glassbox")
            .build()
            .new_agent();
        let base = format!("http://{address}");
        let register = |events: &[&str]| {
            let request = agent
                .post(format!("{base}/2020-01-01/extension/register"))
                .header("Lambda-Extension-Name", name)
                .header("Content-Type", "application/json");
            request
                .send(json!({ "events": events }).to_string())
                .map_err(|error| failure("register", &error.to_string()))
        };
        let mut response = register(&["INVOKE", "SHUTDOWN"])?;
        // Managed instances serve several invocations at a time and report none.
        let has_invocations = response.status() != 400;
        if !has_invocations {
            response = register(&["SHUTDOWN"])?;
        }
        let id = response
            .headers()
            .get("Lambda-Extension-Identifier")
            .and_then(|id| id.to_str().ok())
            .map(str::to_owned);
        let text = answer("register", response)?;
        let id = id.ok_or_else(|| failure("register", &format!("no identifier came with {text:?}")))?;
        Ok(Self { agent, base, id, has_invocations })
    }

    /// Whether the platform reports invocations.
    pub fn has_invocations(&self) -> bool {
        self.has_invocations
    }

    /// Says that this extension has nothing left to do, and waits for the next event.
    pub fn next(&mut self) -> Result<Event, Failure> {
        let mut tries = 0;
        let response = loop {
            tries += 1;
            let request = self.agent.get(format!("{}/2020-01-01/extension/event/next", self.base));
            match request.header("Lambda-Extension-Identifier", &self.id).call() {
                Ok(response) => break response,
                Err(error) if tries == TRIES => return Err(failure("next", &error.to_string())),
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        };
        let text = answer("next", response)?;
        Event::read(&text).ok_or_else(|| failure("next", &format!("{text:?} is no event")))
    }

    /// Asks the Telemetry API to post the platform's events to `port` of this sandbox.
    pub fn subscribe(&self, port: u16) -> Result<(), Failure> {
        let wish = json!({
            "schemaVersion": "2022-12-13",
            "types": ["platform"],
            // The shortest time that is allowed, because the collector waits for the end of an invocation.
            "buffering": {"maxItems": 1000, "maxBytes": 262_144, "timeoutMs": 25},
            "destination": {"protocol": "HTTP", "URI": format!("http://sandbox.localdomain:{port}/")},
        });
        let request = self
            .agent
            .put(format!("{}/2022-07-01/telemetry", self.base))
            .header("Lambda-Extension-Identifier", &self.id)
            .header("Content-Type", "application/json");
        let response =
            request.send(wish.to_string()).map_err(|error| failure("telemetry", &error.to_string()))?;
        answer("telemetry", response).map(drop)
    }

    /// Reports a failure of this extension in the phase `init` or `exit`, after which the function fails too.
    pub fn fail(&self, phase: &str, kind: &str, why: &Failure) {
        let request = self
            .agent
            .post(format!("{}/2020-01-01/extension/{phase}/error", self.base))
            .header("Lambda-Extension-Identifier", &self.id)
            .header("Lambda-Extension-Function-Error-Type", kind);
        let report = json!({"errorMessage": why.to_string(), "errorType": kind, "stackTrace": []});
        // If the report does not arrive, the exit status says it.
        let _ = request.send(report.to_string());
    }
}

/// The body of a response of success.
fn answer(what: &str, mut response: Response<Body>) -> Result<String, Failure> {
    let text = response.body_mut().read_to_string().map_err(|error| failure(what, &error.to_string()))?;
    match response.status() {
        status if status.is_success() => Ok(text),
        status => Err(failure(what, &format!("status {status}: {text}"))),
    }
}

fn failure(what: &str, why: &str) -> Failure {
    Failure::internal(format!(
        "the Extensions API refuses '{what}': {why}; take the layer out if this goes on"
    ))
}

impl Event {
    fn read(text: &str) -> Option<Self> {
        let event: Value = serde_json::from_str(text).ok()?;
        Some(match event["eventType"].as_str()? {
            "INVOKE" => Self::Invoke {
                request_id: event["requestId"].as_str()?.to_owned(),
                deadline_ms: event["deadlineMs"].as_u64().unwrap_or(0),
            },
            "SHUTDOWN" => {
                Self::Shutdown { reason: event["shutdownReason"].as_str().unwrap_or_default().to_owned() }
            }
            _ => Self::Other,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_as_the_api_writes_them() {
        let invoke = r#"{"eventType":"INVOKE","deadlineMs":676051,"requestId":"3da1f2dc","invokedFunctionArn":"arn:x",
            "tracing":{"type":"X-Amzn-Trace-Id","value":"Root=1"}}"#;
        let shutdown = r#"{"eventType":"SHUTDOWN","shutdownReason":"timeout","deadlineMs":42069}"#;

        let found = [invoke, shutdown, r#"{"eventType":"RESTORE"}"#].map(Event::read);

        let expected = [
            Event::Invoke { request_id: "3da1f2dc".into(), deadline_ms: 676_051 },
            Event::Shutdown { reason: "timeout".into() },
            Event::Other,
        ];
        assert_eq!(expected.map(Some), found);
    }

    #[test]
    fn what_is_no_event_is_told_apart() {
        for text in ["", "[]", "{}", "INVOKE", r#"{"eventType":"INVOKE"}"#, r#"{"eventType":7}"#] {
            assert_eq!(None, Event::read(text), "{text}");
        }
    }
}
