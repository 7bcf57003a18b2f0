//! Requests as clients send them, in one piece and in many.

use super::response::LONGEST_LINE;
use super::*;

/// Bytes that come, and those that went.
struct Pieces(io::Cursor<Vec<u8>>);

impl Read for Pieces {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        // Three bytes at a time, so that everything is divided somewhere.
        let most = bytes.len().min(3);
        self.0.read(&mut bytes[..most])
    }
}

fn chunked(text: &str) -> (Result<Vec<u8>, u16>, Vec<u8>) {
    let (mut buffer, mut pieces) = (Vec::new(), Pieces(io::Cursor::new(text.as_bytes().to_vec())));
    let body =
        chunks(&mut pieces, &mut buffer, 100).map_or(Err(0), |read| read.map_err(|response| response.status));
    pieces.0.read_to_end(&mut buffer).unwrap();
    (body, buffer)
}

#[test]
fn chunks_are_put_together_and_what_follows_stays() {
    for text in ["3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\nGET", "5\r\nabcde\r\n0\r\nA: b\r\nC: d\r\n\r\nGET"] {
        assert_eq!((Ok(b"abcde".to_vec()), b"GET".to_vec()), chunked(text));
    }
}

#[test]
fn chunks_that_are_too_long_or_none_are_refused() {
    for (text, status) in [
        ("65\r\n", 413),
        ("60\r\n", 0),
        ("ffffffffffffffff\r\n", 413),
        ("x\r\n", 400),
        ("1\r\nab\r\n", 400),
        ("1\r\na", 0),
    ] {
        assert_eq!(Err(status), chunked(text).0, "{text:?}");
    }
    let endless = format!("0\r\n{}", "a: b\r\n".repeat(head::LONGEST));
    assert_eq!(Err(431), chunked(&endless).0);
    assert_eq!(Err(400), chunked(&format!("1;{}", "a".repeat(2 * head::LONGEST))).0);
}

#[test]
fn a_line_of_text_is_one_line_and_short() {
    assert_eq!(b"a\\r\\nb\\u{202e}\n".to_vec(), Response::text(400, "a\r\nb\u{202e}").body);
    assert_eq!(LONGEST_LINE + 1, Response::text(400, &"x".repeat(5000)).body.len());
}

#[test]
fn busy_server_says_when_to_come_again() {
    let mut out = Vec::new();

    Response::busy().write(&mut out, true, true).unwrap();

    let text = String::from_utf8(out).unwrap();
    assert!(
        text.starts_with("HTTP/1.1 503 Service Unavailable\r\n") && text.contains("\r\nRetry-After: 1\r\n")
    );
}
