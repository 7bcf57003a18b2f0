//! Answers: text and JSON.

use std::io::{self, Write};

use deploy::visible::visible;
use serde_json::Value;

/// A body up to this many bytes goes out with its head, in one packet or two.
const JOINED: usize = 16 << 10;

/// The longest line of a text answer, in characters: it may quote the request.
pub const LONGEST_LINE: usize = 1000;

/// An answer to a request.
#[derive(Debug, Eq, PartialEq)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    content_type: &'static str,
    /// Without a `Content-Encoding`.
    pub body: Vec<u8>,
    /// Seconds after which the client may come again.
    retry_after: Option<u32>,
}

impl Response {
    /// An answer with a line of text, which shows whatever is in it: kubectl prints it.
    pub fn text(status: u16, line: &str) -> Self {
        let mut body: String = visible(line).chars().take(LONGEST_LINE).collect();
        body.push('\n');
        let body = body.into_bytes();
        Self { status, content_type: "text/plain; charset=utf-8", body, retry_after: None }
    }

    /// An answer with a JSON value.
    pub fn json(value: &Value) -> Self {
        let body = value.to_string().into_bytes();
        Self { status: 200, content_type: "application/json", body, retry_after: None }
    }

    /// Metrics as Prometheus reads them.
    pub fn metrics(text: String) -> Self {
        let content_type = "text/plain; version=0.0.4; charset=utf-8";
        Self { status: 200, content_type, body: text.into_bytes(), retry_after: None }
    }

    /// The answer to a request that finds no room.
    pub fn busy() -> Self {
        Self { retry_after: Some(1), ..Self::text(503, "too many long requests at a time; come again") }
    }

    /// Writes it; without the body to a `HEAD`.
    pub fn write(&self, to: &mut impl Write, is_last: bool, has_body: bool) -> io::Result<()> {
        let reason = match self.status {
            200 => "OK",
            400 => "Bad Request",
            404 => "Not Found",
            405 => "Method Not Allowed",
            411 => "Length Required",
            413 => "Content Too Large",
            415 => "Unsupported Media Type",
            431 => "Request Header Fields Too Large",
            503 => "Service Unavailable",
            _ => "Error",
        };
        let connection = if is_last { "close" } else { "keep-alive" };
        let retry =
            self.retry_after.map_or_else(String::new, |seconds| format!("Retry-After: {seconds}\r\n"));
        let mut bytes = format!(
            "HTTP/1.1 {} {reason}\r\nContent-Type: {}\r\nContent-Length: {}\r\n{retry}Connection: {connection}\r\n\r\n",
            self.status,
            self.content_type,
            self.body.len()
        )
        .into_bytes();
        if has_body && self.body.len() <= JOINED {
            bytes.extend_from_slice(&self.body);
        }
        to.write_all(&bytes)?;
        if has_body && self.body.len() > JOINED {
            to.write_all(&self.body)?;
        }
        to.flush()
    }
}
