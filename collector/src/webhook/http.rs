//! HTTP/1.1 over TLS, in the form that API servers and kubelets use: requests with a `Content-Length`, one
//! after the other.
//!
//! A request must be over within a time limit, from its first byte to the last of its answer, however slowly
//! it arrives. A malformed request gets a 4xx status, and the connection ends.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

/// The time limit of a request, from its first byte to the last of the answer: as long as an API server waits
/// by default.
pub const REQUEST: Duration = Duration::from_secs(10);

/// The longest pause between two requests on a connection.
const IDLE: Duration = Duration::from_secs(60);

/// How often a waiting thread checks whether the process is to end.
const LOOK: Duration = Duration::from_millis(200);

/// The longest head of a request, in bytes.
const HEAD: usize = 16 << 10;

/// The longest body, in bytes: the limit of API servers themselves.
const BODY: usize = 3 << 20;

/// The longest body that is read to its end only to be refused, in bytes: a client that is still writing does
/// not read the reason.
const REFUSED_BODY: usize = 32 << 20;

const HEADERS: usize = 64;

pub struct Request<'r> {
    /// `GET`, `POST`.
    pub method: &'r str,
    /// The path without its query.
    pub path: &'r str,
    /// Empty if the header is missing.
    pub content_type: &'r str,
    pub body: &'r [u8],
}

#[derive(Debug, Eq, PartialEq)]
pub struct Response {
    status: u16,
    content_type: &'static str,
    body: Vec<u8>,
}

impl Response {
    /// An answer with a line of text.
    pub fn text(status: u16, line: &str) -> Self {
        let body = format!("{}\n", line.replace(['\r', '\n'], " ")).into_bytes();
        Self { status, content_type: "text/plain; charset=utf-8", body }
    }

    /// An answer with a JSON value.
    pub fn json(value: &Value) -> Self {
        Self { status: 200, content_type: "application/json", body: value.to_string().into_bytes() }
    }

    fn write(&self, to: &mut impl Write, is_last: bool, has_body: bool) -> io::Result<()> {
        let reason = match self.status {
            200 => "OK",
            400 => "Bad Request",
            404 => "Not Found",
            405 => "Method Not Allowed",
            411 => "Length Required",
            413 => "Content Too Large",
            415 => "Unsupported Media Type",
            431 => "Request Header Fields Too Large",
            _ => "Error",
        };
        let connection = if is_last { "close" } else { "keep-alive" };
        let mut bytes = format!(
            "HTTP/1.1 {} {reason}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: {connection}\r\n\r\n",
            self.status,
            self.content_type,
            self.body.len()
        )
        .into_bytes();
        if has_body {
            bytes.extend_from_slice(&self.body);
        }
        to.write_all(&bytes)?;
        to.flush()
    }
}

/// Serves a connection until either side ends it.
pub fn serve(
    socket: TcpStream,
    config: Arc<ServerConfig>,
    is_stopping: &AtomicBool,
    respond: &dyn Fn(&Request) -> Response,
) {
    let deadline = Instant::now() + REQUEST;
    let Ok(tls) = ServerConnection::new(config) else { return };
    let timed = Timed { socket, deadline, is_waiting: false, is_stopping };
    let _ = timed.socket.set_nodelay(true);
    let mut stream = StreamOwned::new(tls, timed);
    let mut buffer = Vec::new();
    // An error ends the connection; the client knows of it or is gone.
    while let Ok(true) = exchange(&mut stream, &mut buffer, respond) {
        stream.sock.is_waiting = buffer.is_empty();
        stream.sock.deadline = Instant::now() + if buffer.is_empty() { IDLE } else { REQUEST };
    }
    stream.conn.send_close_notify();
    let _ = stream.flush();
}

/// The parts of a request's head that outlive the buffer.
struct Head {
    len: usize,
    method: String,
    path: String,
    content_type: String,
    content_length: usize,
    is_last: bool,
    expects_continue: bool,
}

/// Reads one request and answers it; says whether another may follow.
fn exchange(
    stream: &mut StreamOwned<ServerConnection, Timed>,
    buffer: &mut Vec<u8>,
    respond: &dyn Fn(&Request) -> Response,
) -> io::Result<bool> {
    let head = loop {
        match head(buffer) {
            Ok(Some(head)) => break head,
            Ok(None) if buffer.len() <= HEAD => {}
            Ok(None) => return refuse(stream, 0, &Response::text(431, "the head is too long")),
            Err(response) => return refuse(stream, 0, &response),
        }
        if !more(stream, buffer)? {
            return Ok(false);
        }
        if stream.sock.is_waiting {
            stream.sock.is_waiting = false;
            stream.sock.deadline = Instant::now() + REQUEST;
        }
    };
    let end = head.len.saturating_add(head.content_length);
    if head.content_length > BODY {
        let response = Response::text(413, "a review has at most 3 MiB");
        return refuse(stream, end.saturating_sub(buffer.len()), &response);
    }
    if head.expects_continue && buffer.len() < end {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        stream.flush()?;
    }
    while buffer.len() < end {
        if !more(stream, buffer)? {
            return Ok(false);
        }
    }
    let body = buffer.get(head.len..end).unwrap_or_default();
    let request = Request { method: &head.method, path: &head.path, content_type: &head.content_type, body };
    respond(&request).write(stream, head.is_last, head.method != "HEAD")?;
    buffer.drain(..end);
    // The memory of a long request is not kept for the next ones.
    buffer.shrink_to(HEAD);
    Ok(!head.is_last)
}

/// The head, if the buffer holds all of it.
fn head(buffer: &[u8]) -> Result<Option<Head>, Response> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let len = match request.parse(buffer) {
        Ok(httparse::Status::Complete(len)) if len > HEAD => {
            return Err(Response::text(431, "the head is too long"));
        }
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Response::text(431, "too many headers")),
        Err(error) => return Err(Response::text(400, &format!("no request: {error}"))),
    };
    let value = |wanted: &'static str| {
        let named = request.headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(wanted));
        named.map(|header| std::str::from_utf8(header.value).unwrap_or_default().trim())
    };
    if value("transfer-encoding").next().is_some() {
        return Err(Response::text(411, "send a Content-Length"));
    }
    let mut content_length = None;
    for given in value("content-length") {
        let length =
            given.bytes().all(|byte| byte.is_ascii_digit()).then(|| given.parse::<usize>().ok()).flatten();
        if length.is_none() || content_length.is_some_and(|other| Some(other) != length) {
            return Err(Response::text(400, "a Content-Length is not a number, or there are two"));
        }
        content_length = length;
    }
    let says = |header: &'static str, word: &str| {
        value(header).flat_map(|value| value.split(',')).any(|said| said.trim().eq_ignore_ascii_case(word))
    };
    let method = request.method.unwrap_or_default();
    if method == "POST" && content_length.is_none() {
        return Err(Response::text(411, "send a Content-Length"));
    }
    let path = request.path.unwrap_or_default();
    Ok(Some(Head {
        len,
        method: method.to_owned(),
        path: path.split('?').next().unwrap_or(path).to_owned(),
        content_type: value("content-type").next().unwrap_or_default().to_owned(),
        content_length: content_length.unwrap_or(0),
        is_last: request.version != Some(1) || says("connection", "close"),
        expects_continue: says("expect", "100-continue"),
    }))
}

/// Answers a request without examining it further, reads the rest of it, and ends the connection.
fn refuse(
    stream: &mut StreamOwned<ServerConnection, Timed>,
    to_come: usize,
    response: &Response,
) -> io::Result<bool> {
    response.write(stream, true, true)?;
    let mut rest = to_come.min(REFUSED_BODY);
    let mut bytes = [0; 4096];
    while rest > 0 {
        match stream.read(&mut bytes)? {
            0 => break,
            len => rest = rest.saturating_sub(len),
        }
    }
    Ok(false)
}

/// Reads the bytes that are there; `false` at the end of the stream.
fn more(stream: &mut impl Read, buffer: &mut Vec<u8>) -> io::Result<bool> {
    let mut bytes = [0; 4096];
    let len = stream.read(&mut bytes)?;
    buffer.extend_from_slice(bytes.get(..len).unwrap_or_default());
    Ok(len > 0)
}

/// A socket with a deadline. While it waits for a next request, it also gives up when the process is to end.
struct Timed<'s> {
    socket: TcpStream,
    deadline: Instant,
    is_waiting: bool,
    is_stopping: &'s AtomicBool,
}

impl Timed<'_> {
    /// Repeats short attempts until one succeeds or the deadline is over.
    fn patiently<T>(&mut self, mut attempt: impl FnMut(&mut TcpStream) -> io::Result<T>) -> io::Result<T> {
        loop {
            let left = self.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || (self.is_waiting && self.is_stopping.load(Ordering::Relaxed)) {
                return Err(ErrorKind::TimedOut.into());
            }
            let step = Some(left.min(LOOK));
            self.socket.set_read_timeout(step)?;
            self.socket.set_write_timeout(step)?;
            match attempt(&mut self.socket) {
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                    ) => {}
                result => return result,
            }
        }
    }
}

impl Read for Timed<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.patiently(|socket| socket.read(bytes))
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.patiently(|socket| socket.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> u16 {
        match head(text.as_bytes()) {
            Err(response) => response.status,
            Ok(_) => panic!("taken: {text:?}"),
        }
    }

    #[test]
    fn what_api_servers_send_is_read() {
        let text = "POST /mutate?timeout=10s HTTP/1.1\r\nHost: x\r\ncontent-TYPE: application/json\r\nContent-Length: 12\r\n\r\n{";

        let head = head(text.as_bytes()).unwrap().unwrap();

        assert_eq!(
            ("POST", "/mutate", "application/json"),
            (&*head.method, &*head.path, &*head.content_type)
        );
        assert_eq!((12, text.len() - 1, false), (head.content_length, head.len, head.is_last));
    }

    #[test]
    fn the_last_request_of_a_connection_says_so() {
        let is_last =
            |head_text: &str| head(format!("{head_text}\r\n\r\n").as_bytes()).unwrap().unwrap().is_last;

        assert!(is_last("GET /healthz HTTP/1.0"));
        assert!(is_last("GET /healthz HTTP/1.1\r\nConnection: x, Close"));
        assert!(!is_last("GET /healthz HTTP/1.1"));
    }

    #[test]
    fn what_is_no_request_is_refused_with_a_status() {
        assert_eq!(400, refused("\x16\x03\x01"));
        assert_eq!(400, refused("GET / HTTP/1.1\r\nA B: c\r\n\r\n"));
        assert_eq!(411, refused("POST /mutate HTTP/1.1\r\n\r\n"));
        assert_eq!(411, refused("POST /mutate HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"));
        for length in ["-1", "+1", "x", "", "99999999999999999999", "1\r\nContent-Length: 2"] {
            assert_eq!(
                400,
                refused(&format!("POST / HTTP/1.1\r\nContent-Length: {length}\r\n\r\n")),
                "{length}"
            );
        }
        assert_eq!(431, refused(&format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(HEADERS + 1))));
        assert!(head(b"GET / HTT").unwrap().is_none());
    }

    #[test]
    fn a_line_of_text_is_one_line() {
        assert_eq!(b"a  b\n".to_vec(), Response::text(400, "a\r\nb").body);
    }
}
