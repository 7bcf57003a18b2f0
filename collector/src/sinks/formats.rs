//! The table of formats, and what `-o` says of it.
//!
//! To add an output: a file with an [`Encoder`](super::encoder::Encoder) and its `FORMAT`, a row here, and a
//! row in the table of README.md, which a test looks for.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::carrier::kind::Kind;
use super::carrier::{CARRIERS, options};
use super::encoder::Format;
use super::{clickhouse, falco, html, human, jsonl, nats, ocsf, otlp, recording, summary};

/// Every format, in the order of the documentation.
pub const FORMATS: &[Format] = &[
    summary::FORMAT,
    human::FORMAT,
    jsonl::FORMAT,
    html::FORMAT,
    falco::FORMAT,
    nats::FORMAT,
    ocsf::FORMAT,
    otlp::FORMAT,
    clickhouse::FORMAT,
    recording::writer::FORMAT,
];

/// The format of this name.
pub fn named(name: &[u8]) -> Option<&'static Format> {
    FORMATS.iter().find(|format| format.name.as_bytes() == name)
}

/// The names, with commas.
pub fn names() -> String {
    FORMATS.iter().map(|format| format.name).collect::<Vec<_>>().join(", ")
}

/// What a user meant who gave `name` as the format of `spec`: `; did you mean 'jsonl'?`, or nothing.
pub fn meant(spec: &OsStr, name: &[u8]) -> String {
    if let Some(stream) =
        [("-", "-"), ("stdout", "-"), ("stderr", "stderr")].iter().find(|(given, _)| spec == *given)
    {
        return format!("; did you mean 'human:{}'?", stream.1);
    }
    let extension = Path::new(spec).extension().unwrap_or_default().as_bytes();
    let of_file = if extension == b"gbx" {
        Some(recording::writer::FORMAT.name)
    } else {
        named(extension).map(|format| format.name)
    };
    match of_file {
        Some(format) => format!("; did you mean '{format}:{}'?", spec.display()),
        None => rules::did_you_mean(&String::from_utf8_lossy(name), FORMATS.iter().map(|format| format.name)),
    }
}

/// How destinations of these kinds are typed: `a path, '-' for stdout, or 'stderr'`.
pub fn destinations(kinds: &[Kind]) -> String {
    let mut list = String::new();
    for (index, kind) in kinds.iter().enumerate() {
        let separator = match index {
            0 => "",
            _ if index + 1 < kinds.len() => ", ",
            1 => " or ",
            _ => ", or ",
        };
        list.push_str(separator);
        list.push_str(kind.help);
    }
    list
}

/// `-o` in one line.
pub fn short_help() -> String {
    format!("Write FORMAT ({}) to DEST ({}); repeatable", names(), destinations(CARRIERS))
}

/// `-o` with a line for each format.
pub fn long_help() -> String {
    let width = FORMATS.iter().map(|format| format.name.len()).max().unwrap_or(0);
    let mut text =
        String::from("Write FORMAT to DEST; may be given again for more outputs\n\nFORMAT is one of\n");
    for Format { name, help, .. } in FORMATS {
        text.push_str(&format!("  {name:width$}  {help}\n"));
    }
    text.push_str(&format!(
        "DEST is {}. Behind it may stand, with a comma of its own written twice\n",
        destinations(CARRIERS)
    ));
    text.push_str(options::help().trim_end());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_has_a_name_of_its_own_and_a_help_and_goes_somewhere() {
        for (index, format) in FORMATS.iter().enumerate() {
            let name = format.name;

            assert!(FORMATS[..index].iter().all(|other| other.name != name), "{name} twice");
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{name}");
            assert!(!format.help.is_empty(), "{name} has no help");
            assert!(format.reaches.iter().any(|kind| CARRIERS.contains(kind)), "{name} goes nowhere");
            assert_eq!(Some(format), named(name.as_bytes()));
        }
    }

    #[test]
    fn every_format_is_in_the_help_and_in_the_documentation() {
        let readme = include_str!("../../../README.md");

        for Format { name, help, .. } in FORMATS {
            assert!(short_help().contains(name), "{name}");
            assert!(long_help().contains(&format!("  {name} ")) && long_help().contains(help), "{name}");
            assert!(readme.contains(&format!("\n| `{name}` | ")), "README.md has no row for {name}");
        }
    }

    #[test]
    fn every_encoder_starts_and_ends_without_an_event() {
        for format in FORMATS {
            let mut out = Vec::new();
            let mut encoder = (format.build)(&super::super::encoder::Plan::default());

            encoder.begin(super::super::framing::Found::Fresh, &mut out);
            encoder.end(&super::super::encoder::RunFacts::default(), &mut out);
        }
    }

    #[test]
    fn list_of_destinations_reads_as_a_sentence() {
        use super::super::carrier::LOCAL;

        assert_eq!("a path, '-' for stdout, or 'stderr'", destinations(LOCAL));
        assert_eq!("'-' for stdout or 'stderr'", destinations(&CARRIERS[..2]));
    }
}
