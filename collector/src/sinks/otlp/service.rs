//! Receivers of OTLP over HTTP: where they are, and what their answers mean
//! (<https://opentelemetry.io/docs/specs/otlp/#otlphttp>, and the exporter's environment variables).

use std::time::Duration;

use super::message;
use crate::sinks::carrier::service::{Judged, NO_PREPARATION, NO_QUERY, Service};

/// The row of HTTP.
pub static SERVICE: Service = Service {
    path: PATH,
    content_type: "application/x-protobuf",
    // A request behind a request is one with the records of both.
    may_join: true,
    most_bytes: 1 << 20,
    linger: Duration::from_millis(50),
    own_parameters: &[],
    is_compressed: || is_compressed(setting),
    timeout: || timeout(setting),
    header_variables: &["OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_LOGS_HEADERS"],
    default_place: || place(setting),
    query: NO_QUERY,
    prepare: NO_PREPARATION,
    judge,
};

const PATH: &str = "/v1/logs";
/// The receiver on the same machine.
const DEFAULT: &str = "http://localhost:4318";

/// A variable by the end of its name: that of logs before that of all signals.
fn setting(name: &str) -> Option<(String, Signal)> {
    let of = |prefix: &str| std::env::var(format!("{prefix}{name}")).ok().filter(|value| !value.is_empty());
    of("OTEL_EXPORTER_OTLP_LOGS_")
        .map(|value| (value, Signal::Logs))
        .or_else(|| of("OTEL_EXPORTER_OTLP_").map(|value| (value, Signal::All)))
}

/// What a variable is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signal {
    Logs,
    All,
}

/// The place of an output without a DEST. An endpoint of all signals gets the path of logs behind its own.
fn place(setting: impl Fn(&str) -> Option<(String, Signal)>) -> String {
    match setting("ENDPOINT") {
        Some((endpoint, Signal::Logs)) => endpoint,
        Some((endpoint, Signal::All)) => format!("{}{PATH}", endpoint.trim_end_matches('/')),
        None => format!("{DEFAULT}{PATH}"),
    }
}

/// Whether bodies are compressed: unless a variable says `none`.
fn is_compressed(setting: impl Fn(&str) -> Option<(String, Signal)>) -> bool {
    setting("COMPRESSION").is_none_or(|(compression, _)| compression != "none")
}

/// How long a request may take; a variable has milliseconds.
fn timeout(setting: impl Fn(&str) -> Option<(String, Signal)>) -> Option<Duration> {
    let millis: u64 = setting("TIMEOUT")?.0.trim().parse().ok()?;
    (millis > 0).then(|| Duration::from_millis(millis))
}

/// What was refused of a request that was taken is lost. The protocol forbids to send again what was answered
/// with a failure other than 429, 502, 503, 504; as for every output, a receiver that may be mended by its
/// configuration (401, 404) is tried again all the same.
fn judge(status: u16, answer: &[u8]) -> Option<Judged> {
    match status {
        200..=299 => {
            let (count, why) = message::refused(answer)?;
            let why = format!("the receiver refused {count} of the records: {why}");
            Some(Judged::Taken(count, Some(why)))
        }
        500 | 501 | 505..=599 => Some(Judged::Refused(format!("the receiver answered {status}"))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(value: &'static str, signal: Signal) -> impl Fn(&str) -> Option<(String, Signal)> {
        move |_| Some((value.to_owned(), signal))
    }

    #[test]
    fn endpoint_of_all_signals_gets_a_path_and_that_of_logs_is_taken_as_it_is() {
        assert_eq!("http://localhost:4318/v1/logs", place(|_| None));
        assert_eq!("https://c:4318/v1/logs", place(set("https://c:4318", Signal::All)));
        assert_eq!("https://c/base/v1/logs", place(set("https://c/base/", Signal::All)));
        assert_eq!("https://c/own", place(set("https://c/own", Signal::Logs)));
    }

    #[test]
    fn variables_say_how_long_and_whether_compressed() {
        assert!(is_compressed(|_| None) && is_compressed(set("gzip", Signal::All)));
        assert!(!is_compressed(set("none", Signal::Logs)));
        assert_eq!(Some(Duration::from_millis(2500)), timeout(set("2500", Signal::All)));
        assert_eq!([None, None], [timeout(|_| None), timeout(set("soon", Signal::All))]);
    }

    #[test]
    fn refused_records_of_a_request_that_was_taken_are_lost() {
        let why = "the receiver refused 2 of the records: full".to_owned();

        assert_eq!(Some(Judged::Taken(2, Some(why))), judge(200, b"\x0a\x08\x08\x02\x12\x04full"));
        assert_eq!([None, None, None, None], [200, 429, 503, 401].map(|status| judge(status, b"")));
        assert!(matches!(judge(500, b""), Some(Judged::Refused(_))));
    }
}
