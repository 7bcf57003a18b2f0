//! HTTP/1.1 as a server, in the form that API servers, kubelets and the Lambda platform use: requests one
//! after the other, each with a body of a known length or in chunks.
//!
//! Any client that reaches the port gets here, so each size, time and number is bounded. A request must be
//! over within a time limit, from its first byte to the last of its answer, however slowly it arrives. A
//! malformed request gets a 4xx status, and the connection ends. [`guests`] bounds the connections and
//! [`room`] the memory of bodies, and both divide them fairly among the peers.

pub mod guests;
mod head;
mod response;
pub mod room;
mod timed;

use std::io::{self, Read};
use std::time::{Duration, Instant};

use head::{Body, Head, head};
use room::Room;

pub use response::Response;
pub use timed::{Timed, Wire};

/// The longest body that is read to its end only to be refused, in bytes: a client that is still writing does
/// not read the reason.
const REFUSED_BODY: usize = 32 << 20;

/// The bounds of a server.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The time limit of a request, from its first byte to the last of the answer.
    pub request: Duration,
    /// The longest pause between two requests on a connection.
    pub idle: Duration,
    /// The longest body, in bytes.
    pub body_bytes: usize,
    /// Whether a body may come in chunks.
    pub takes_chunks: bool,
}

/// A request. It owns its bytes, so that another thread can answer it.
#[derive(Debug)]
pub struct Request {
    /// `GET`, `POST`.
    pub method: String,
    /// The path without its query.
    pub path: String,
    /// Empty if the header is missing.
    pub content_type: String,
    bytes: Vec<u8>,
    body_from: usize,
}

impl Request {
    /// The body.
    pub fn body(&self) -> &[u8] {
        self.bytes.get(self.body_from..).unwrap_or_default()
    }
}

/// Serves a connection until either side ends it. A body takes of `room` until its request is answered; where
/// there is none, the client is asked to come again.
pub fn serve(wire: &mut impl Wire, limits: &Limits, room: &Room, respond: impl Fn(Request) -> Response) {
    let mut buffer = Vec::new();
    wire.timed().until(Instant::now() + limits.request, false);
    // An error ends the connection; the client knows of it or is gone.
    while let Ok(true) = exchange(wire, &mut buffer, limits, room, &respond) {
        let is_waiting = buffer.is_empty();
        let patience = if is_waiting { limits.idle } else { limits.request };
        wire.timed().until(Instant::now() + patience, is_waiting);
    }
}

/// Reads one request and answers it; says whether another may follow.
fn exchange(
    wire: &mut impl Wire,
    buffer: &mut Vec<u8>,
    limits: &Limits,
    room: &Room,
    respond: &impl Fn(Request) -> Response,
) -> io::Result<bool> {
    let head = loop {
        match head(buffer) {
            Ok(Some(head)) => break head,
            Ok(None) if buffer.len() <= head::LONGEST => {}
            Ok(None) => return refuse(wire, 0, &Response::text(431, "the head is too long")),
            Err(response) => return refuse(wire, 0, &response),
        }
        if !more(wire, buffer)? {
            return Ok(false);
        }
        if wire.timed().is_waiting() {
            wire.timed().until(Instant::now() + limits.request, false);
        }
    };
    match head.body {
        Body::Bytes(bytes) => {
            let to_come = || head.len.saturating_add(bytes).saturating_sub(buffer.len());
            if bytes > limits.body_bytes {
                return refuse(
                    wire,
                    to_come(),
                    &Response::text(413, &format!("at most {} bytes", limits.body_bytes)),
                );
            }
            let Some(_part) = room.take(wire.timed().peer(), bytes) else {
                return refuse(wire, to_come(), &Response::busy());
            };
            let end = head.len + bytes;
            // No more than that, where growing by doubling would take up to twice as much.
            buffer.reserve_exact(end.saturating_sub(buffer.len()));
            go_on(wire, &head, buffer.len() < end)?;
            while buffer.len() < end {
                if !more(wire, buffer)? {
                    return Ok(false);
                }
            }
            let rest = buffer.split_off(end);
            let whole = std::mem::replace(buffer, rest);
            let from = head.len;
            answer(wire, head, whole, from, respond)
        }
        Body::Chunks if !limits.takes_chunks => {
            refuse(wire, 0, &Response::text(411, "send a Content-Length"))
        }
        Body::Chunks => {
            let Some(_part) = room.take(wire.timed().peer(), limits.body_bytes) else {
                return refuse(wire, 0, &Response::busy());
            };
            go_on(wire, &head, true)?;
            buffer.drain(..head.len);
            match chunks(wire, buffer, limits.body_bytes)? {
                Ok(body) => answer(wire, head, body, 0, respond),
                Err(response) => refuse(wire, 0, &response),
            }
        }
    }
}

fn answer(
    wire: &mut impl Wire,
    head: Head,
    bytes: Vec<u8>,
    body_from: usize,
    respond: &impl Fn(Request) -> Response,
) -> io::Result<bool> {
    let Head { method, path, content_type, is_last, .. } = head;
    let has_body = method != "HEAD";
    let response = respond(Request { method, path, content_type, bytes, body_from });
    response.write(wire, is_last, has_body)?;
    Ok(!is_last)
}

/// Asks for a body that is still to come, where the client waits for that.
fn go_on(wire: &mut impl Wire, head: &Head, is_to_come: bool) -> io::Result<()> {
    if head.expects_continue && is_to_come {
        wire.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        wire.flush()?;
    }
    Ok(())
}

/// Reads a body in chunks, and takes it out of the buffer.
fn chunks(wire: &mut impl Read, buffer: &mut Vec<u8>, most: usize) -> io::Result<Result<Vec<u8>, Response>> {
    let refused = |status, why| Ok(Err(Response::text(status, why)));
    let mut body = Vec::new();
    loop {
        let (from, len) = loop {
            match httparse::parse_chunk_size(buffer) {
                Ok(httparse::Status::Complete(found)) => break found,
                Ok(httparse::Status::Partial) if buffer.len() <= head::LONGEST => {}
                _ => return refused(400, "no length of a chunk"),
            }
            fill(wire, buffer)?;
        };
        buffer.drain(..from);
        let Some(len) = usize::try_from(len).ok().filter(|len| body.len().saturating_add(*len) <= most)
        else {
            return refused(413, "the body is too long");
        };
        if len == 0 {
            break;
        }
        while buffer.len() < len + 2 {
            fill(wire, buffer)?;
        }
        body.extend_from_slice(&buffer[..len]);
        if &buffer[len..len + 2] != b"\r\n" {
            return refused(400, "a chunk does not end where it should");
        }
        buffer.drain(..len + 2);
    }
    // Trailers, until an empty line.
    let mut left = head::LONGEST;
    loop {
        let end = loop {
            match buffer.iter().position(|byte| *byte == b'\n') {
                Some(end) if end < left => break end,
                None if buffer.len() < left => fill(wire, buffer)?,
                _ => return refused(431, "the trailers are too long"),
            }
        };
        let is_empty = buffer[..end].iter().all(|byte| *byte == b'\r');
        buffer.drain(..=end);
        left -= end + 1;
        if is_empty {
            return Ok(Ok(body));
        }
    }
}

/// Answers a request without examining it further, reads the rest of it, and ends the connection.
fn refuse(wire: &mut impl Wire, to_come: usize, response: &Response) -> io::Result<bool> {
    response.write(wire, true, true)?;
    let mut rest = to_come.min(REFUSED_BODY);
    let mut bytes = [0; 4096];
    while rest > 0 {
        match wire.read(&mut bytes)? {
            0 => break,
            len => rest = rest.saturating_sub(len),
        }
    }
    Ok(false)
}

/// Reads the bytes that are there; `false` at the end of the stream.
fn more(wire: &mut impl Read, buffer: &mut Vec<u8>) -> io::Result<bool> {
    let mut bytes = [0; 4096];
    let len = wire.read(&mut bytes)?;
    buffer.extend_from_slice(bytes.get(..len).unwrap_or_default());
    Ok(len > 0)
}

/// As [`more`], where the stream may not end.
fn fill(wire: &mut impl Read, buffer: &mut Vec<u8>) -> io::Result<()> {
    if more(wire, buffer)? { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// A request, of which the head is there, and the rest comes by and by.
#[cfg(fuzzing)]
pub fn fuzz(bytes: &[u8]) {
    let Ok(Some(found)) = head(bytes) else { return };
    assert!(found.len <= bytes.len() && found.len <= head::LONGEST);
    if found.body == Body::Chunks {
        let (now, mut later) = bytes[found.len..].split_at((bytes.len() - found.len) / 2);
        if let Ok(Ok(body)) = chunks(&mut later, &mut now.to_vec(), 1 << 20) {
            assert!(body.len() <= bytes.len());
        }
    }
}

#[cfg(test)]
mod tests;
