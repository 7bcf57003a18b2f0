//! How a format is spoken over HTTP: one constant beside each format that goes there.

use std::time::{Duration, SystemTime};

/// What is special to the receivers of one format.
#[derive(Debug)]
pub struct Service {
    /// The path of a URL that has none.
    pub path: &'static str,
    /// The `Content-Type` of its bodies.
    pub content_type: &'static str,
    /// Bodies of one lane may follow each other in one request.
    pub may_join: bool,
    /// Bytes of a request's body at most, before they are compressed; a single parcel may be longer.
    pub most_bytes: usize,
    /// Smaller requests go no more often than this.
    pub linger: Duration,
    /// Parameters of a URL that are for the format, and not for the receiver.
    pub own_parameters: &'static [&'static str],
    /// Whether bodies are compressed with gzip.
    pub is_compressed: fn() -> bool,
    /// How long a request may take, where the output does not say; `None` for what every request may take.
    pub timeout: fn() -> Option<Duration>,
    /// Environment variables with headers, as `name=value,name=value` with percent escapes (W3C baggage).
    pub header_variables: &'static [&'static str],
    /// The place of an output without a DEST; empty for none.
    pub default_place: fn() -> String,
    /// The query parameters of a lane, without the question mark: `query=INSERT…`; empty for none.
    pub query: fn(url: &Url, lane: &[u8]) -> String,
    /// Bodies that are sent before the first parcel, each with its query parameters.
    pub prepare: fn(url: &Url) -> Vec<(String, String)>,
    /// Judges an answer by status and body; `None` for what the status alone says, see [`by_status`].
    pub judge: fn(status: u16, body: &[u8]) -> Option<Judged>,
}

/// What the query of a lane is where lanes mean nothing.
pub const NO_QUERY: fn(&Url, &[u8]) -> String = |_, _| String::new();
/// Where nothing is to be prepared.
pub const NO_PREPARATION: fn(&Url) -> Vec<(String, String)> = |_| Vec::new();
/// For formats whose requests may take as long as every request.
pub const NO_TIMEOUT: fn() -> Option<Duration> = || None;
/// Where the status alone counts.
pub const BY_STATUS: fn(u16, &[u8]) -> Option<Judged> = |_, _| None;
/// Where an output without a DEST goes to the command's own default.
pub const NO_DEFAULT: fn() -> String = String::new;

/// The meaning of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judged {
    /// Taken, but for so many events, with the reason.
    Taken(u64, Option<String>),
    /// Refused for good, with the reason.
    Refused(String),
    /// Too much at once, with the reason.
    TooLarge(String),
    /// To be sent again, with the reason.
    Later(String),
    /// The receiver failed over it, with the reason: to be sent again a few times.
    Doubtful(String),
}

/// A URL of a receiver, in its parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Url {
    /// `http` or `https`.
    pub scheme: String,
    /// Host and port, without a user.
    pub authority: String,
    /// With its slash; that of the service where there was none.
    pub path: String,
    /// Its query parameters, decoded, in their order.
    pub query: Vec<(String, String)>,
}

/// What a status means where the format says nothing else. A receiver that is configured otherwise (401, 403,
/// 404, redirects) can be mended, so its events wait.
pub fn by_status(status: u16, says: &str) -> Judged {
    let answer = match says {
        "" => format!("the receiver answered {status}"),
        says => format!("the receiver answered {status}: {says}"),
    };
    match status {
        200..=299 => Judged::Taken(0, None),
        413 => Judged::TooLarge(answer),
        401 | 403 | 407 => {
            Judged::Later(format!("{answer}; check the headers and the certificate that it wants"))
        }
        300..=399 | 404 | 405 | 410 => Judged::Later(format!("{answer}; check the URL")),
        408 | 421 | 425 | 429 | 502..=504 => Judged::Later(answer),
        500..=599 => Judged::Doubtful(answer),
        _ => Judged::Refused(answer),
    }
}

/// The pause that a `Retry-After` asks for as of `now`: seconds, or a date (RFC 9110 §10.2.3).
pub fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let then = httpdate::parse_http_date(value).ok()?;
    Some(then.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);

        assert_eq!(Some(Duration::from_secs(120)), retry_after("120", at(0)));
        assert_eq!(Some(Duration::from_secs(7)), retry_after(date, at(784_111_770)));
        assert_eq!(Some(Duration::ZERO), retry_after(date, at(900_000_000)));
        assert_eq!(Some(Duration::from_secs(u64::MAX)), retry_after("99999999999999999999999", at(0)));
        for nonsense in ["", "-1", "soon", "Sun, 06 Foo 1994 08:49:37 GMT", ", , , "] {
            assert_eq!(None, retry_after(nonsense, at(0)), "{nonsense}");
        }
    }

    #[test]
    fn busy_receivers_are_tried_again_and_refusals_are_losses() {
        for status in [408, 429, 502, 503, 504, 401, 404, 301] {
            assert!(matches!(by_status(status, ""), Judged::Later(_)), "{status}");
        }
        for status in [400, 415, 422] {
            assert!(matches!(by_status(status, ""), Judged::Refused(_)), "{status}");
        }
        assert!(matches!(by_status(500, ""), Judged::Doubtful(_)));
        assert_eq!(Judged::Taken(0, None), by_status(204, "x"));
        assert_eq!(Judged::TooLarge("the receiver answered 413: big".into()), by_status(413, "big"));
    }
}
