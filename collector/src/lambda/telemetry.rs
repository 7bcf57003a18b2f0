//! Receives the posts of the Telemetry API, which say when the runtime is done with a request.
//!
//! Any process of the sandbox can post here. One that lies makes the collector deliver early and assign the
//! rest to the wrong request; it could as well have ended the collector. It cannot make the collector take
//! memory: sizes, times and numbers are bounded.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use serde_json::value::RawValue;

use super::api::Api;
use crate::http::guests::{Guest, Guests};
use crate::http::room::Room;
use crate::http::{self, Limits, Response, Timed};
use crate::shell::failure::{Failure, say};

/// The bounds of a post. The platform posts no more at a time than `maxBytes` of the subscription, exceeded
/// by one event at most.
const LIMITS: Limits = Limits {
    request: Duration::from_secs(5),
    // A frozen sandbox does not see the time.
    idle: Duration::from_secs(900),
    body_bytes: 1 << 20,
    takes_chunks: true,
};

/// The most connections; the platform has one.
const CONNECTIONS: usize = 8;

/// Bytes of posts that are held at a time; half of them for one peer, as all of a sandbox are.
const ROOM: usize = 4 << 20;

/// Reports that wait, at most: more than invocations of which nothing has been read.
const WAITING: usize = 1024;

/// The longest id of a request that is passed on; the platform's have 36 characters.
const LONGEST_ID: usize = 128;

/// The listener ends with the process.
static NEVER: AtomicBool = AtomicBool::new(false);

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
            let listener = TcpListener::bind(address).map_err(|error| cannot(error.to_string()))?;
            let port = listener.local_addr().map_err(|error| cannot(error.to_string()))?.port();
            let (done_tx, done_rx) = crossbeam_channel::bounded(WAITING);
            let serve = move || accept(&listener, done_tx);
            thread::Builder::new()
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

/// What the connections share.
struct Shared {
    done_tx: Sender<String>,
    room: Room,
}

/// Serves each connection on a thread of its own.
fn accept(listener: &TcpListener, done_tx: Sender<String>) {
    let (guests, shared) = (Guests::new(CONNECTIONS), Arc::new(Shared { done_tx, room: Room::new(ROOM) }));
    loop {
        let Ok((socket, _)) = listener.accept() else {
            // The process lacks descriptors or memory: trying again at once would not help.
            thread::sleep(Duration::from_millis(50));
            continue;
        };
        let Some(guest) = guests.admit(socket) else { continue };
        let shared = Arc::clone(&shared);
        // If it cannot be made, the connection is closed.
        let _ = thread::Builder::new().name("telemetry".into()).spawn(move || serve(guest, &shared));
    }
}

fn serve(guest: Guest, shared: &Shared) {
    http::serve(&mut Timed::new(guest, &NEVER), &LIMITS, &shared.room, |request| {
        for request_id in done(request.body()) {
            // Of more than anybody waits for, the rest is dropped.
            let _ = shared.done_tx.try_send(request_id);
        }
        Response::text(200, "")
    });
}

/// The requests that the runtime is done with according to a batch of telemetry, whether they succeeded or
/// not. Parts that do not matter stay text, so that a batch takes little more memory than its bytes.
fn done(text: &[u8]) -> Vec<String> {
    fn members(raw: &RawValue) -> Option<BTreeMap<String, &RawValue>> {
        serde_json::from_str(raw.get()).ok()
    }
    fn text_of(raw: &RawValue) -> Option<String> {
        serde_json::from_str(raw.get()).ok()
    }
    let events: Vec<&RawValue> = serde_json::from_slice(text).unwrap_or_default();
    let request = |event: &RawValue| {
        let event = members(event)?;
        if text_of(event.get("type")?)? != "platform.runtimeDone" {
            return None;
        }
        text_of(members(event.get("record")?)?.get("requestId")?).filter(|id| id.len() <= LONGEST_ID)
    };
    events.into_iter().filter_map(request).collect()
}

/// A post of the Telemetry API.
#[cfg(fuzzing)]
pub fn fuzz(bytes: &[u8]) {
    let _ = done(bytes);
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use super::*;

    /// A listener, the reports that come to it, and a function that posts bytes and gives the answer.
    fn listener() -> (Receiver<String>, impl Fn(&[u8]) -> String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (done_tx, done_rx) = crossbeam_channel::bounded(2);
        thread::spawn(move || accept(&listener, done_tx));
        let post = move |bytes: &[u8]| {
            let mut stream = TcpStream::connect(address).unwrap();
            // The other end may have heard enough.
            let _ = stream.write_all(bytes);
            let mut answer = Vec::new();
            let _ = stream.set_read_timeout(Some(Duration::from_secs(20)));
            let _ = stream.read_to_end(&mut answer);
            String::from_utf8_lossy(&answer).into_owned()
        };
        (done_rx, post)
    }

    #[test]
    fn posts_are_taken_whole_and_in_chunks() {
        let (done_rx, post) = listener();
        let batch = r#"[{"type":"platform.runtimeDone","record":{"requestId":"a"}}]"#;
        let whole =
            format!("POST / HTTP/1.1\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{batch}", batch.len());
        let (first, rest) = batch.split_at(20);
        let chunked = format!(
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n{:x}\r\n{first}\r\n{:x}\r\n{rest}\r\n0\r\n\r\n",
            first.len(),
            rest.len()
        );

        for text in [whole, chunked] {
            assert!(post(text.as_bytes()).starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
            assert_eq!(Ok("a".to_owned()), done_rx.try_recv());
        }
    }

    #[test]
    fn posts_without_bounds_are_refused_and_reports_that_nobody_takes_are_dropped() {
        let (done_rx, post) = listener();
        let many = vec![r#"{"type":"platform.runtimeDone","record":{"requestId":"a"}}"#; 1000].join(",");
        let batch = format!(
            "POST / HTTP/1.1\r\nContent-Length: {}\r\nConnection: close\r\n\r\n[{many}]",
            many.len() + 2
        );

        assert!(
            post(format!("POST / HTTP/1.1\r\nA: {}", "x".repeat(1 << 20)).as_bytes())
                .starts_with("HTTP/1.1 431")
        );
        assert!(
            post(b"POST / HTTP/1.1\r\nContent-Length: 1048577\r\nConnection: close\r\n\r\n")
                .starts_with("HTTP/1.1 413")
        );
        assert!(post(batch.as_bytes()).starts_with("HTTP/1.1 200"));
        assert_eq!(2, done_rx.len());
        // One that does not end is cut off, long before the client gives up.
        let started = Instant::now();
        assert_eq!("", post(b"POST / HTTP/1.1\r\nA: "));
        assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    }

    #[test]
    fn requests_that_are_done_are_found_among_everything_else() {
        let batch = r#"[
            {"time":"2022-10-12T00:00:15.064Z","type":"platform.start","record":{"requestId":"a","version":"$LATEST"}},
            {"time":"2022-10-12T00:00:16.000Z","type":"platform.runtimeDone","record":{"requestId":"a","status":"success"}},
            {"time":"2022-10-12T00:00:17.000Z","type":"platform.runtimeDone","record":{"requestId":"b","status":"timeout"}},
            {"type":"platform.runtimeDone"}, 7, {}
        ]"#;

        assert_eq!(vec!["a", "b"], done(batch.as_bytes()));
        // Many of them may wait.
        let long = batch.replace(r#""b""#, &format!("{:?}", "b".repeat(1 << 19)));
        assert_eq!(vec!["a"], done(long.as_bytes()));
        assert!(["", "{}", "[", "null"].iter().all(|text| done(text.as_bytes()).is_empty()));
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
