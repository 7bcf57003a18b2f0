//! Where bytes go: the table of the kinds of places, each in a file of its own.

mod courier;
pub mod file;
mod headers;
pub mod http;
pub mod kind;
pub mod nats;
pub mod options;
pub mod program;
mod receiver;
pub mod service;
#[cfg(not(fuzzing))]
mod spool;
#[cfg(fuzzing)]
pub mod spool;
mod spooled;
pub mod stream;
pub mod syslog;
pub mod tls;
pub mod transport;
pub mod watcher;

use kind::Kind;

/// Every kind, in the order in which a DEST is tried: words first, then what has a mark of its own, paths
/// last.
pub const CARRIERS: &[Kind] = &[
    stream::STDOUT,
    stream::STDERR,
    http::CARRIER,
    nats::CARRIER,
    syslog::CARRIER,
    program::CARRIER,
    file::CARRIER,
];

/// The kinds that are of this machine.
pub const LOCAL: &[Kind] = &[file::CARRIER, stream::STDOUT, stream::STDERR];

/// The same, and programs: for lines that other programs read.
pub const LINES: &[Kind] = &[file::CARRIER, stream::STDOUT, stream::STDERR, program::CARRIER];

/// The kinds that alerts go to.
pub const ALERTS: &[Kind] =
    &[file::CARRIER, stream::STDOUT, stream::STDERR, http::CARRIER, syslog::CARRIER, program::CARRIER];

/// The kinds that say whether what was sent has arrived.
pub const RECEIVERS: &[Kind] = &[http::CARRIER, nats::CARRIER];

/// Servers that keep messages for others.
pub const BROKERS: &[Kind] = &[nats::CARRIER];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_name_of_its_own_a_help_and_a_place_in_the_documentation() {
        let readme = include_str!("../../../../README.md");

        for (index, kind) in CARRIERS.iter().enumerate() {
            assert!(CARRIERS[..index].iter().all(|other| other.name != kind.name), "{} twice", kind.name);
            assert!(!kind.help.is_empty(), "{} has no help", kind.name);
            assert!(readme.contains(kind.help), "README.md does not say: {}", kind.help);
        }
    }

    #[test]
    fn every_kind_is_reached_by_a_format() {
        for kind in CARRIERS {
            let is_reached = |format: &crate::sinks::encoder::Format| format.reaches.contains(kind);

            assert!(crate::sinks::formats::FORMATS.iter().any(is_reached), "{}", kind.name);
        }
    }
}
