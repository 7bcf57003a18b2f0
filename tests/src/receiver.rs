//! A receiver of outputs over HTTP, which behaves as it is told: well, slowly, or not at all.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How the next request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// By this status and this further header.
    Status(u16, &'static str),
    /// Never: the request is read, and the connection stays open.
    Hang,
    /// By a reset, before the request is read.
    Reset,
    /// By bytes that are no HTTP.
    Garbage,
    /// The request is read by one byte a second.
    Drip,
    /// The status line comes by one byte a second.
    Trickle,
}

/// A request that came whole.
#[derive(Clone, Debug)]
pub struct Request {
    /// When.
    pub at: Instant,
    /// Its first line.
    pub line: String,
    /// Names in small letters, and values.
    pub headers: Vec<(String, String)>,
    /// Decompressed.
    pub body: Vec<u8>,
    /// The status that it was answered with.
    pub status: u16,
}

impl Request {
    /// A header's value; empty for none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("a body is UTF-8")
    }
}

/// What its threads share.
#[derive(Default)]
struct Shared {
    requests: Mutex<Vec<Request>>,
    /// Connections in the order in which they came are answered so; those after them by 200.
    answers: Mutex<Vec<Answer>>,
    is_over: AtomicBool,
}

/// A receiver on a loopback port; dropping it ends it.
pub struct Receiver {
    port: u16,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Receiver {
    /// Starts one that answers the first requests so, and all others by 200.
    pub fn start(answers: &[Answer]) -> Receiver {
        Self::start_at(0, answers)
    }

    /// The same at a port.
    pub fn start_at(port: u16, answers: &[Answer]) -> Receiver {
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("the loopback port is free");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let shared = Arc::new(Shared { answers: Mutex::new(answers.to_vec()), ..Shared::default() });
        let for_thread = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if for_thread.is_over.load(Ordering::Relaxed) {
                    return;
                }
                let (Ok(stream), shared) = (stream, Arc::clone(&for_thread)) else { continue };
                thread::spawn(move || shared.serve(&stream));
            }
        });
        Receiver { port, shared, thread: Some(thread) }
    }

    /// The port that it listens on, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The requests so far, also those that were refused.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().expect("no thread panics").clone()
    }

    /// The bodies that were taken.
    pub fn taken(&self) -> Vec<String> {
        self.requests().iter().filter(|request| request.status == 200).map(Request::text).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        drop(TcpStream::connect(("127.0.0.1", self.port)));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Shared {
    fn answer(&self) -> Answer {
        let mut answers = self.answers.lock().expect("no thread panics");
        if answers.is_empty() { Answer::Status(200, "") } else { answers.remove(0) }
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Answers the requests of a connection until one breaks it.
    fn serve(&self, stream: &TcpStream) {
        drop(stream.set_read_timeout(Some(Duration::from_secs(60))));
        let mut input = BufReader::new(stream);
        loop {
            if input.fill_buf().map_or(true, <[u8]>::is_empty) {
                return;
            }
            let answer = self.answer();
            match answer {
                Answer::Reset => return reset(stream),
                Answer::Drip => {
                    while !self.is_over() && input.read_exact(&mut [0]).is_ok() {
                        thread::sleep(Duration::from_secs(1));
                    }
                    return;
                }
                _ => {}
            }
            let Some(request) = read(&mut input) else { return };
            let mut output = stream;
            match answer {
                Answer::Hang => {
                    while !self.is_over() {
                        thread::sleep(Duration::from_millis(20));
                    }
                    return;
                }
                Answer::Garbage => {
                    drop(output.write_all(b"\x00\xffSSH-2.0-no\r\n\r\n\r\n"));
                    return;
                }
                Answer::Trickle => {
                    for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" {
                        if self.is_over() || output.write_all(&[*byte]).is_err() {
                            return;
                        }
                        thread::sleep(Duration::from_secs(1));
                    }
                    return;
                }
                Answer::Status(status, header) => {
                    let answer = format!("HTTP/1.1 {status} x\r\n{header}Content-Length: 3\r\n\r\nok\n");
                    self.requests.lock().expect("no thread panics").push(Request { status, ..request });
                    if output.write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
                Answer::Reset | Answer::Drip => return,
            }
        }
    }
}

/// A request; `None` where the connection ended before.
fn read(input: &mut BufReader<&TcpStream>) -> Option<Request> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        input.read_line(&mut line).ok()?;
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    let line = lines.first()?.clone();
    let pairs = lines.iter().skip(1).filter_map(|line| line.split_once(':'));
    let headers: Vec<(String, String)> =
        pairs.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
    let of = |name: &str| headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let mut body = vec![0; of("content-length")?.parse().ok()?];
    input.read_exact(&mut body).ok()?;
    if of("content-encoding") == Some("gzip") {
        body = unpacked(&body);
    }
    Some(Request { at: Instant::now(), line, headers, body, status: 0 })
}

/// What gzip(1) makes of it.
fn unpacked(packed: &[u8]) -> Vec<u8> {
    let mut gzip = Command::new("gzip")
        .arg("-dc")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("gzip is part of every Debian");
    let mut input = gzip.stdin.take().expect("it is piped");
    let packed = packed.to_vec();
    let writer = thread::spawn(move || input.write_all(&packed));
    let output = gzip.wait_with_output().expect("gzip ends");
    drop(writer.join());
    assert!(output.status.success(), "a body is no gzip");
    output.stdout
}

/// Lets the kernel answer by RST: SO_LINGER with no time (socket(7)).
fn reset(stream: &TcpStream) {
    use std::os::fd::AsRawFd;
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let size = size_of_val(&linger) as libc::socklen_t;
    // SAFETY: `linger` lives, and has the size that is given.
    unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            std::ptr::from_ref(&linger).cast(),
            size,
        );
    }
    // The duplicate that the caller has is closed with its thread.
    drop(stream.shutdown(std::net::Shutdown::Read));
}

/// What falcosidekick would refuse an alert for; `None` for one that it takes.
///
/// Its checks: JSON with a known priority, a rule, a time, at least one field, and strings for the names of
/// pod and namespace.
pub fn falco_fault(body: &str) -> Option<String> {
    const PRIORITIES: [&str; 8] =
        ["Emergency", "Alert", "Critical", "Error", "Warning", "Notice", "Informational", "Debug"];
    const KEYS: [&str; 8] =
        ["hostname", "output", "output_fields", "priority", "rule", "source", "tags", "time"];
    let Ok(alert) = serde_json::from_str::<serde_json::Value>(body) else { return Some("no JSON".into()) };
    let text = |key: &str| alert[key].as_str().unwrap_or_default().to_owned();
    let has_time = text("time").ends_with('Z') && text("time").len() == 30;
    let fields = alert["output_fields"].as_object().cloned().unwrap_or_default();
    let is_text = |name: &str| fields.get(name).is_none_or(|value| value.is_string() || value.is_null());
    // The keys stand in this order in the text.
    let places: Vec<Option<usize>> = KEYS.iter().map(|key| body.find(&format!("\"{key}\":"))).collect();
    let is_ordered = places.iter().all(Option::is_some) && places.is_sorted();
    let checks = [
        (PRIORITIES.contains(&text("priority").as_str()), "priority"),
        (!text("rule").is_empty(), "rule"),
        (has_time, "time"),
        (!fields.is_empty(), "output_fields"),
        (is_text("k8s.ns.name") && is_text("k8s.pod.name"), "k8s"),
        (is_ordered, "order of the keys"),
    ];
    checks.iter().find(|(is_right, _)| !is_right).map(|(_, what)| format!("{what}: {body}"))
}
