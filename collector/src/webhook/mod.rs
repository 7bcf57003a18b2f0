//! `glassbox webhook`: the Kubernetes admission webhook, which changes pods as `glassbox patch k8s` changes
//! files.
//!
//! `deploy::k8s::admission` decides how a pod is changed. This module listens ([`run`]) and speaks TLS
//! ([`tls`]) below [`crate::http`]. Each connection has a thread; there are few, because API servers keep
//! theirs open. One more thread makes the answers. Any other client that reaches the port gets answers too,
//! so every size, time and number has a limit, and no input ends the process.

mod tls;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use crossbeam_channel::Sender;
use deploy::Note;
use deploy::k8s::admission::{self, OnFailure};
use rustix::event::{PollFd, PollFlags, poll};
use rustls::{ServerConnection, StreamOwned};

use crate::http::guests::{Guest, Guests};
use crate::http::room::Room;
use crate::http::{self, Limits, Request, Response, Timed, Wire};
use crate::patch::k8s::Pods;
use crate::shell::failure::{Failure, say};
use crate::shell::stop::{Beside, StopSignals};
use tls::Identity;

/// The most connections at a time. There are few API servers, with one or two connections each.
const CONNECTIONS: usize = 32;

/// Bytes of long questions that are held at a time: four of the longest for each peer, eight in all.
const ROOM: usize = 24 << 20;

/// The bounds of a question: as long as an API server waits by default, and the size that it takes itself.
const LIMITS: Limits = Limits {
    request: Duration::from_secs(10),
    idle: Duration::from_secs(60),
    body_bytes: 3 << 20,
    takes_chunks: false,
};

/// The longest note that is printed, in characters.
const LONGEST_NOTE: usize = 1000;

const HELP: &str = "\
POST /mutate takes an AdmissionReview (admission.k8s.io/v1), GET /healthz says whether it runs.
A pod that cannot have the sensor starts without it, and kubectl shows why. With --notify, a
container whose command is its image's gets the sensor alone, unless --require-notify is given.

Example, and manifests to go with it in examples/kubernetes:
  glassbox webhook --cert /tls/tls.crt --key /tls/tls.key --image registry.example/glassbox:1";

/// `glassbox webhook`
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub struct Webhook {
    /// Where to listen
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "0.0.0.0:8443")]
    pub listen: SocketAddr,
    /// The certificate and those between it and its authority, in PEM; read again when the file changes
    #[arg(long, value_name = "FILE")]
    pub cert: PathBuf,
    /// The certificate's private key, in PEM; read again when the file changes
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// Refuse a pod that should have the sensor and cannot
    #[arg(long)]
    pub fail_closed: bool,
    #[command(flatten)]
    pub pods: Pods,
}

/// The state that the connections share.
struct Shared {
    identity: Identity,
    desk: Sender<Review>,
    room: Room,
}

/// A review that waits for its answer.
struct Review {
    request: Request,
    response_tx: Sender<Response>,
}

/// Set once the process is to end.
static IS_STOPPING: AtomicBool = AtomicBool::new(false);

/// Answers until a signal asks it to end, and then finishes the requests that have begun.
pub fn run(given: &Webhook) -> Result<(), Failure> {
    let identity = Identity::load(&given.cert, &given.key)?;
    let mut stop = StopSignals::watch(Beside::None)?;
    let cannot = |error: io::Error| {
        Failure::output(format!("cannot listen at {}: {error}; give --listen another address", given.listen))
    };
    let listener = TcpListener::bind(given.listen).map_err(cannot)?;
    listener.set_nonblocking(true).map_err(cannot)?;
    let on_failure = if given.fail_closed { OnFailure::Closed } else { OnFailure::Open };
    let mut pods = given.pods.request()?;
    // Nobody can write the image's command into a pod at this moment.
    pods.has_sensor_alone = !given.pods.supervisor.require_notify;
    let shared = Arc::new(Shared { identity, desk: desk(pods, on_failure)?, room: Room::new(ROOM) });
    let guests = Guests::new(CONNECTIONS);
    say(&format!("listening at {}", listener.local_addr().map_err(cannot)?));
    loop {
        let mut polled = [PollFd::new(&listener, PollFlags::IN), PollFd::new(&stop, PollFlags::IN)];
        // An interrupted or failed call is like one that reports nothing.
        let _ = poll(&mut polled, None);
        if stop.next().is_some() {
            break;
        }
        match listener.accept() {
            Ok((socket, _)) => {
                if let Some(guest) = guests.admit(socket) {
                    take(&shared, guest);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // The process lacks descriptors or memory, or the peer is gone: trying again at once would not
            // help.
            Err(_) => thread::sleep(Duration::from_millis(50)),
        }
    }
    drop(listener);
    IS_STOPPING.store(true, Ordering::Relaxed);
    let deadline = Instant::now() + LIMITS.request;
    while !guests.is_empty() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Starts the thread that answers reviews, one at a time: then at most one of them takes much memory, always
/// of the same allocator's arena, and the short ones wait some milliseconds.
fn desk(wanted: deploy::k8s::Request, on_failure: OnFailure) -> Result<Sender<Review>, Failure> {
    let (review_tx, review_rx) = crossbeam_channel::bounded::<Review>(2 * CONNECTIONS);
    let work = move || {
        while let Ok(Review { request, response_tx }) = review_rx.recv() {
            // A client that is gone needs none.
            let _ = response_tx.send(mutate(&request, &wanted, on_failure));
        }
    };
    let thread = thread::Builder::new().name("reviews".into()).spawn(work);
    thread.map_err(|error| Failure::internal(format!("cannot start a thread: {error}; raise the limit")))?;
    Ok(review_tx)
}

/// Serves a connection on a thread of its own. If that cannot be made, the connection is closed.
fn take(shared: &Arc<Shared>, guest: Guest) {
    let shared = Arc::clone(shared);
    let _ = thread::Builder::new().name("connection".into()).spawn(move || {
        let Ok(tls) = ServerConnection::new(shared.identity.config()) else { return };
        let mut stream = Tls(StreamOwned::new(tls, Timed::new(guest, &IS_STOPPING)));
        http::serve(&mut stream, &LIMITS, &shared.room, |request| respond(&shared, request));
        stream.0.conn.send_close_notify();
        let _ = stream.flush();
    });
}

/// TLS over a socket with a deadline.
struct Tls(StreamOwned<ServerConnection, Timed>);

impl Read for Tls {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.read(bytes)
    }
}

impl Write for Tls {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Wire for Tls {
    fn timed(&mut self) -> &mut Timed {
        &mut self.0.sock
    }
}

fn respond(shared: &Shared, request: Request) -> Response {
    match (request.method.as_str(), request.path.as_str()) {
        ("GET" | "HEAD", "/healthz") => Response::text(200, "ok"),
        ("POST", "/mutate") => review(shared, request),
        (_, "/healthz" | "/mutate") => Response::text(405, "GET /healthz or POST /mutate"),
        _ => Response::text(404, "there is /mutate and /healthz"),
    }
}

fn review(shared: &Shared, request: Request) -> Response {
    let is_json = request
        .content_type
        .split(';')
        .next()
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"));
    if !is_json {
        return Response::text(415, "send application/json");
    }
    let (response_tx, response_rx) = crossbeam_channel::bounded(1);
    // The thread there lives as long as the process.
    let _ = shared.desk.send(Review { request, response_tx });
    response_rx.recv().unwrap_or_else(|_| Response::text(500, "no answer was made"))
}

fn mutate(request: &Request, wanted: &deploy::k8s::Request, on_failure: OnFailure) -> Response {
    match admission::answer(request.body(), wanted, on_failure) {
        Ok(answer) => {
            answer.notes.iter().for_each(tell);
            Response::json(&answer.review)
        }
        Err(error) => Response::text(400, &error.to_string()),
    }
}

fn tell(note: &Note) {
    // Names are as long as the client likes.
    let shortened = |what: &String| what.chars().take(LONGEST_NOTE).collect::<String>();
    say(&match note {
        Note::Done(what) => shortened(what),
        Note::Skipped(what) => format!("left alone: {}", shortened(what)),
        Note::Warning(what) | Note::Missed(what) => format!("warning: {}", shortened(what)),
    });
}
