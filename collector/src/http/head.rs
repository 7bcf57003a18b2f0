//! Reads the head of a request.

use super::response::Response;

/// The longest head of a request, in bytes.
pub const LONGEST: usize = 16 << 10;

const HEADERS: usize = 64;

/// The parts of a request's head that outlive the buffer.
#[derive(Debug)]
pub struct Head {
    /// Bytes of the head.
    pub len: usize,
    /// `GET`, `POST`.
    pub method: String,
    /// The path without its query.
    pub path: String,
    /// Empty if the header is missing.
    pub content_type: String,
    pub body: Body,
    /// No request follows on this connection.
    pub is_last: bool,
    pub expects_continue: bool,
}

/// How long the body is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Body {
    /// So many bytes.
    Bytes(usize),
    /// As the chunks say (RFC 9112, 7.1).
    Chunks,
}

/// The head, if the buffer holds all of it; else the answer to what is none.
pub fn head(buffer: &[u8]) -> Result<Option<Head>, Response> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let len = match request.parse(buffer) {
        Ok(httparse::Status::Complete(len)) if len > LONGEST => {
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
    let encodings: Vec<&str> = value("transfer-encoding").collect();
    let is_chunked = match encodings.as_slice() {
        [] => false,
        [one] if one.eq_ignore_ascii_case("chunked") => true,
        _ => return Err(Response::text(411, "send a Content-Length")),
    };
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
    // Both together are how one request is made to look like two (RFC 9112, 6.3).
    if is_chunked && content_length.is_some() {
        return Err(Response::text(400, "a Content-Length and chunks at once"));
    }
    if method == "POST" && content_length.is_none() && !is_chunked {
        return Err(Response::text(411, "send a Content-Length"));
    }
    let path = request.path.unwrap_or_default();
    Ok(Some(Head {
        len,
        method: method.to_owned(),
        path: path.split('?').next().unwrap_or(path).to_owned(),
        content_type: value("content-type").next().unwrap_or_default().to_owned(),
        body: if is_chunked { Body::Chunks } else { Body::Bytes(content_length.unwrap_or(0)) },
        is_last: request.version != Some(1) || says("connection", "close"),
        expects_continue: says("expect", "100-continue"),
    }))
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
        assert_eq!((Body::Bytes(12), text.len() - 1, false), (head.body, head.len, head.is_last));
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
        assert_eq!(411, refused("POST /mutate HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"));
        assert_eq!(
            400,
            refused("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n")
        );
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
}
