//! `glassbox webhook`: the Kubernetes admission webhook, which changes pods as `glassbox patch k8s` changes
//! files.
//!
//! `deploy::k8s::admission` decides how a pod is changed. This module listens ([`run`]) and speaks TLS
//! ([`tls`]) and HTTP ([`http`]). Each connection has a thread; there are few, because API servers keep
//! theirs open. Any other client that reaches the port gets answers too, so every size, time and number has a
//! limit, and no input ends the process.

mod http;
mod tls;

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use deploy::Note;
use deploy::k8s::admission::{self, OnFailure};
use rustix::event::{PollFd, PollFlags, poll};
use serde_json::Value;

use crate::patch::k8s::Pods;
use crate::shell::failure::{Failure, say};
use crate::shell::stop::StopSignals;
use http::{Request, Response};
use tls::Identity;

/// The most connections at a time; further ones are closed at once. There are few API servers, with one or
/// two connections each.
const CONNECTIONS: usize = 32;

const HELP: &str = "\
POST /mutate takes an AdmissionReview (admission.k8s.io/v1), GET /healthz says whether it runs.
A pod that cannot have the sensor starts without it, and kubectl shows why.

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
    wanted: deploy::k8s::Request,
    on_failure: OnFailure,
    /// Reviews are answered one at a time: then at most one of them takes much memory, and the short ones
    /// wait a millisecond.
    turn: Mutex<()>,
    connections: AtomicUsize,
    is_stopping: AtomicBool,
}

/// Answers until a signal asks it to end, and then finishes the requests that have begun.
pub fn run(given: &Webhook) -> Result<(), Failure> {
    let identity = Identity::load(&given.cert, &given.key)?;
    let mut stop = StopSignals::watch()?;
    let cannot = |error: io::Error| {
        Failure::output(format!("cannot listen at {}: {error}; give --listen another address", given.listen))
    };
    let listener = TcpListener::bind(given.listen).map_err(cannot)?;
    listener.set_nonblocking(true).map_err(cannot)?;
    let shared = Arc::new(Shared {
        identity,
        wanted: given.pods.request(),
        on_failure: if given.fail_closed { OnFailure::Closed } else { OnFailure::Open },
        turn: Mutex::new(()),
        connections: AtomicUsize::new(0),
        is_stopping: AtomicBool::new(false),
    });
    say(&format!("listening at {}", listener.local_addr().map_err(cannot)?));
    loop {
        let mut polled = [PollFd::new(&listener, PollFlags::IN), PollFd::new(&stop, PollFlags::IN)];
        // An interrupted or failed call is like one that reports nothing.
        let _ = poll(&mut polled, None);
        if stop.was_asked() {
            break;
        }
        match listener.accept() {
            Ok((socket, _)) => take(&shared, socket),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // The process lacks descriptors or memory, or the peer is gone: trying again at once would not
            // help.
            Err(_) => thread::sleep(Duration::from_millis(50)),
        }
    }
    drop(listener);
    shared.is_stopping.store(true, Ordering::Relaxed);
    let deadline = Instant::now() + http::REQUEST;
    while shared.connections.load(Ordering::Acquire) > 0 && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Serves a connection on a thread of its own.
fn take(shared: &Arc<Shared>, socket: TcpStream) {
    // Release: a thread's work is done when it is no longer counted. Pairs with the Acquire load in `run`.
    struct Counted(Arc<Shared>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.connections.fetch_sub(1, Ordering::Release);
        }
    }
    if shared.connections.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS {
        shared.connections.fetch_sub(1, Ordering::Release);
        return;
    }
    let counted = Counted(Arc::clone(shared));
    // If the thread cannot be made, the closure is dropped, and with it the connection and its count.
    let _ = thread::Builder::new().name("connection".into()).spawn(move || {
        let shared = &counted.0;
        let config = shared.identity.config();
        http::serve(socket, config, &shared.is_stopping, &|request| respond(shared, request));
    });
}

fn respond(shared: &Shared, request: &Request) -> Response {
    match (request.method, request.path) {
        ("GET" | "HEAD", "/healthz") => Response::text(200, "ok"),
        ("POST", "/mutate") => mutate(shared, request),
        (_, "/healthz" | "/mutate") => Response::text(405, "GET /healthz or POST /mutate"),
        _ => Response::text(404, "there is /mutate and /healthz"),
    }
}

fn mutate(shared: &Shared, request: &Request) -> Response {
    let is_json = request
        .content_type
        .split(';')
        .next()
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"));
    if !is_json {
        return Response::text(415, "send application/json");
    }
    // A poisoned lock is used all the same: it protects no data.
    let _turn = shared.turn.lock().unwrap_or_else(PoisonError::into_inner);
    let review: Value = match serde_json::from_slice(request.body) {
        Ok(review) => review,
        Err(error) => return Response::text(400, &format!("no JSON: {error}")),
    };
    match admission::answer(&review, &shared.wanted, shared.on_failure) {
        Ok(answer) => {
            answer.notes.iter().for_each(tell);
            Response::json(&answer.review)
        }
        Err(error) => Response::text(400, &error.to_string()),
    }
}

fn tell(note: &Note) {
    let line = match note {
        Note::Done(what) => what.clone(),
        Note::Skipped(what) => format!("left alone: {what}"),
        Note::Warning(what) => format!("warning: {what}"),
    };
    say(&line);
}
