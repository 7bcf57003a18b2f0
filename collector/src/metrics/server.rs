//! `GET /metrics` and `GET /healthz`, where `--metrics` says.
//!
//! Without an address it is the loopback's, since the counts tell what a machine does. The server is bounded
//! in connections, time and memory ([`crate::http`]), whatever clients do, and the pipeline is asked for its
//! counts ten times a second at most.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::{Metrics, page};
use crate::http::guests::{Guest, Guests};
use crate::http::room::Room;
use crate::http::{self, Limits, Response, Timed};
use crate::ids::MonoNs;
use crate::shell::failure::{Failure, say};
use crate::system::pulse::Pulses;

const LIMITS: Limits = Limits {
    request: Duration::from_secs(5),
    idle: Duration::from_secs(90),
    body_bytes: 0,
    takes_chunks: false,
};
/// Connections at a time.
const CONNECTIONS: usize = 16;

/// A page that is younger is sent again.
const FRESH: Duration = Duration::from_millis(100);

/// The threads end with the process.
static IS_STOPPING: AtomicBool = AtomicBool::new(false);

/// The address of `127.0.0.1:9464`, `[::]:9464`, `:9464` or `9464`; the last two are the loopback's.
pub fn address(text: &str) -> Option<SocketAddr> {
    let port =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    let loopback = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    text.parse().ok().or_else(|| port(text.strip_prefix(':').unwrap_or(text)).map(loopback))
}

/// For the table of settings: what is wrong with a text, and what to give.
pub fn checked(text: &str) -> Result<(), String> {
    match address(text) {
        Some(_) => Ok(()),
        None => {
            Err(format!("'{text}' is no address; give one such as 127.0.0.1:9464, or a port of the loopback"))
        }
    }
}

/// Listens and serves, in threads of its own. Fails with status 73 where it cannot listen.
pub fn start(address: SocketAddr, metrics: &Arc<Metrics>, pulses: &Arc<Pulses>) -> Result<(), Failure> {
    let cannot = |error: std::io::Error| {
        Failure::output(format!("cannot listen at {address}: {error}; give --metrics another address"))
    };
    let listener = TcpListener::bind(address).map_err(cannot)?;
    say(&format!("metrics at http://{}/metrics", listener.local_addr().map_err(cannot)?));
    let desk = Arc::new(Desk::new(Arc::clone(metrics), Arc::clone(pulses)));
    let guests = Guests::new(CONNECTIONS);
    let accept = move || {
        loop {
            match listener.accept() {
                Ok((socket, _)) => {
                    if let Some(guest) = guests.admit(socket) {
                        take(&desk, guest);
                    }
                }
                // The process lacks descriptors or memory, or the peer is gone.
                Err(_) => thread::sleep(Duration::from_millis(50)),
            }
        }
    };
    let thread = thread::Builder::new().name("metrics".into()).spawn(accept);
    thread.map(|_| ()).map_err(cannot)
}

struct Desk {
    metrics: Arc<Metrics>,
    pulses: Arc<Pulses>,
    room: Room,
    /// The last page, and when it was written.
    last: Mutex<Option<(Instant, String)>>,
}

/// Serves a connection on a thread of its own. If that cannot be made, the connection is closed.
fn take(desk: &Arc<Desk>, guest: Guest) {
    let desk = Arc::clone(desk);
    let _ = thread::Builder::new().name("scrape".into()).spawn(move || {
        http::serve(&mut Timed::new(guest, &IS_STOPPING), &LIMITS, &desk.room, |request| {
            desk.answer(&request.method, &request.path)
        });
    });
}

impl Desk {
    fn new(metrics: Arc<Metrics>, pulses: Arc<Pulses>) -> Self {
        Self { metrics, pulses, room: Room::new(0), last: Mutex::default() }
    }

    fn page(&self, now: Instant) -> String {
        // Whole at any time.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((written, text)) if now.saturating_duration_since(*written) < FRESH => text.clone(),
            _ => last.insert((now, page::text(&self.metrics))).1.clone(),
        }
    }

    fn answer(&self, method: &str, path: &str) -> Response {
        match (path, method) {
            ("/metrics", "GET" | "HEAD") => Response::metrics(self.page(Instant::now())),
            ("/healthz", "GET" | "HEAD") => match self.pulses.stuck(MonoNs::now()) {
                None => Response::text(200, "ready"),
                Some((name, time)) => {
                    Response::text(503, &format!("{name} has stood still for {} s", time.as_secs()))
                }
            },
            ("/metrics" | "/healthz", _) => Response::text(405, "GET only"),
            _ => Response::text(404, "there is /metrics and /healthz"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::sample;

    fn health(desk: &Desk) -> (u16, String) {
        let response = desk.answer("GET", "/healthz");
        (response.status, String::from_utf8(response.body).unwrap())
    }

    #[test]
    fn health_names_the_thread_that_stands_still() {
        let desk = Desk::new(Arc::default(), Arc::default());
        let pulse = desk.pulses.add("output jsonl");
        let now = MonoNs::now();

        pulse.begin(now);
        assert_eq!((200, "ready\n".to_owned()), health(&desk));
        pulse.begin(MonoNs(now.0 - 6_500_000_000));
        assert_eq!((503, "output jsonl has stood still for 6 s\n".to_owned()), health(&desk));
        pulse.rest();
        assert_eq!(200, health(&desk).0);
        assert_eq!(
            [405, 404],
            [("POST", "/metrics"), ("GET", "/")].map(|(method, path)| { desk.answer(method, path).status })
        );
    }

    #[test]
    fn page_is_written_a_few_times_a_second_at_most() {
        let desk = Desk::new(Arc::default(), Arc::default());
        let begun = Instant::now();

        let first = desk.page(begun);
        desk.metrics.note(&sample::every_kind());

        assert_eq!(first, desk.page(begun + FRESH / 2));
        assert!(desk.page(begun + FRESH).contains("{kind=\"file.open\"} 1\n"));
    }

    #[test]
    fn port_alone_is_the_loopbacks() {
        let of = |text| address(text).map(|address| address.to_string());

        assert_eq!(Some("127.0.0.1:9464".to_owned()), of("9464"));
        assert_eq!(Some("127.0.0.1:9464".to_owned()), of(":9464"));
        assert_eq!(Some("0.0.0.0:1".to_owned()), of("0.0.0.0:1"));
        assert_eq!(Some("[::1]:80".to_owned()), of("[::1]:80"));
        for text in ["", ":", "host:1", "99999", "-1", "1.2.3.4", "+5"] {
            assert_eq!(None, of(text), "{text}");
            assert!(checked(text).is_err());
        }
    }
}
