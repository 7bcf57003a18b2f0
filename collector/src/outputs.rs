//! The meaning of `-o FORMAT[:DEST]`: one of the formats, and a place that it goes to.
//!
//! The command line is parsed into [`Output`]s; the launcher passes them on to the collector in the same
//! spelling; the collector opens them with [`Output::open`].

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::shell::failure::Failure;
use crate::shell::files::{self, From, Permissions};
use crate::sinks::carrier::kind::{Kind, Only, Opened, Opening, Options, Wanted};
use crate::sinks::carrier::{CARRIERS, RECEIVERS, file, http, options, stream};
use crate::sinks::encoder::{Encoder, Format, Plan};
use crate::sinks::formats;
use crate::sinks::framing::Framing;
use crate::sinks::human;
use crate::sinks::look::{Look, Show, Surface};
use crate::sinks::nats;
use crate::sinks::summary;
use crate::sinks::worker::Chooser;
use crate::stages::fields::FIELDS;
use crate::stages::filter;

/// Where an output goes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Destination {
    kind: &'static Kind,
    /// As its kind spells it.
    place: OsString,
    /// What stands behind it.
    options: Options,
}

/// A stream of the collector's own.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stream {
    Stdout,
    Stderr,
}

/// One `-o`: a format and where it goes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Output {
    pub format: &'static Format,
    pub destination: Destination,
}

impl Destination {
    /// The standard output.
    pub fn stdout() -> Self {
        Self { kind: &stream::STDOUT, place: "-".into(), options: Options::default() }
    }

    /// The path, where it is one.
    pub fn path(&self) -> Option<&Path> {
        (*self.kind == file::CARRIER).then(|| Path::new(&self.place))
    }

    /// How a text for people looks there.
    fn look(&self) -> Look {
        Look::wanted((self.kind.surface)(), &self.options.show)
    }
}

impl Output {
    /// Parses `FORMAT[:DEST]`; `default` is where it goes without a DEST.
    pub fn parse(spec: &OsStr, default: &Destination) -> Result<Self, Failure> {
        let bytes = spec.as_bytes();
        let (name, destination) = match bytes.iter().position(|byte| *byte == b':') {
            Some(colon) => (&bytes[..colon], Some(OsStr::from_bytes(&bytes[colon + 1..]))),
            None => (bytes, None),
        };
        let format = formats::named(name).ok_or_else(|| {
            Failure::usage(format!(
                "unknown format '{}' in -o '{}'{}; the formats are {}",
                String::from_utf8_lossy(name),
                spec.display(),
                formats::meant(spec, name),
                formats::names()
            ))
        })?;
        let default_place = format.service.map_or_else(String::new, |service| (service.default_place)());
        let destination = match destination {
            None if default_place.is_empty() => default.clone(),
            None => Destination {
                kind: &http::CARRIER,
                place: (http::CARRIER.place)(OsStr::new(&default_place)).transpose()?.ok_or_else(|| {
                    Failure::usage(format!(
                        "{0} has '{default_place}' as its default, which is no URL; give -o {0}:http://HOST:PORT",
                        format.name
                    ))
                })?,
                options: Options::default(),
            },
            Some(rest) => {
                let (text, options) = options::divided(rest);
                let refused = |what: String| {
                    Failure::usage(format!("{what}; give {}", formats::destinations(format.reaches)))
                };
                if let Some(word) = stream::misspelt(&text) {
                    let (name, text) = (format.name, text.display());
                    return Err(Failure::usage(format!(
                        "'{text}' is no word for a stream; write {name}:{word}, or {name}:./{text} for a file of \
                         that name"
                    )));
                }
                if text.is_empty() {
                    return Err(refused(format!(
                        "no destination after the colon in -o '{}'",
                        spec.display()
                    )));
                }
                let found = CARRIERS.iter().find_map(|kind| Some((kind, (kind.place)(&text)?)));
                match found.filter(|(kind, _)| format.reaches.contains(kind)) {
                    Some((kind, place)) => {
                        let wrong = |why: String| Failure::usage(format!("{why}: -o '{}'", spec.display()));
                        let options = Options::read(&options, kind).map_err(wrong)?;
                        check(format, &options).map_err(wrong)?;
                        Destination { kind, place: place?, options }
                    }
                    None => {
                        return Err(refused(format!("{} cannot go to '{}'", format.name, text.display())));
                    }
                }
            }
        };
        Ok(Self { format, destination })
    }

    /// Parses every `-o` of a command line, or what the command does where there is none.
    ///
    /// Refuses two outputs to one place where the second would overwrite the first.
    pub fn parse_all(specs: &[OsString], default: &OsStr) -> Result<Vec<Self>, Failure> {
        let default = Self::parse(default, &Destination::stdout())?;
        if specs.is_empty() {
            return Ok(vec![default]);
        }
        let mut outputs: Vec<Self> = Vec::with_capacity(specs.len());
        for spec in specs {
            let output = Self::parse(spec, &default.destination)?;
            let Destination { kind, place, .. } = &output.destination;
            let is_same = |other: &Self| other.destination.kind == *kind && other.destination.place == *place;
            if (kind.is_exclusive)(place) && outputs.iter().any(is_same) {
                return Err(Failure::usage(format!(
                    "two outputs go to {} and would overwrite each other; give each -o a file of its own",
                    (kind.shown)(place)
                )));
            }
            outputs.push(output);
        }
        Ok(outputs)
    }

    /// Refuses on a terminal what no terminal shows.
    pub fn check_all(outputs: &[Self]) -> Result<(), Failure> {
        for Self { format, destination } in outputs {
            if let Framing::Frames(_) = format.framing
                && let Surface::Terminal(_) = (destination.kind.surface)()
            {
                return Err(Failure::usage(format!(
                    "a {0} is binary and would go to the terminal; give it a file: -o {0}:FILE",
                    format.name
                )));
            }
            if let Framing::Document = format.framing
                && let Surface::Terminal(_) = (destination.kind.surface)()
            {
                return Err(Failure::usage(format!(
                    "{0} is for a browser and would go to the terminal; give it a file: -o {0}:FILE",
                    format.name
                )));
            }
        }
        Ok(())
    }

    /// Makes the encoder, and opens the place that its bytes go to. Fails with status 73 and a remedy.
    pub fn open(&self, opening: Opening) -> Result<(Box<dyn Encoder>, Opened), Failure> {
        let Self { format, destination: Destination { kind, place, options } } = self;
        let Format { framing, service, .. } = **format;
        let opened = (kind.open)(&Wanted { name: &self.shown(), place, options, opening, framing, service })?;
        let plan = Plan {
            look: self.destination.look(),
            kind: kind.name,
            takes: kind.takes,
            place: place.clone(),
            only: options.only,
            show: options.show.clone(),
            cluster: options.cluster.clone(),
        };
        Ok(((format.build)(&plan), opened))
    }

    /// Whether it is a text for people that goes to stdout.
    pub fn is_read_on_stdout(&self) -> bool {
        *self.destination.kind == stream::STDOUT && [summary::FORMAT, human::FORMAT].contains(self.format)
    }

    /// Whether rules that are not known here judge what it gets.
    pub fn is_judged_elsewhere(&self) -> bool {
        *self.format == nats::FORMAT && self.destination.options.only != Some(Only::Alerts)
    }

    /// Gives outputs what a command line asks for of all of them, where they do not ask for it themselves.
    /// Fails with status 64 where it asks for what none of them has.
    pub fn show_all(outputs: &mut [Self], show: &Show) -> Result<(), Failure> {
        let has = |name: &str| outputs.iter().any(|output| output.format.shows.contains(&name));
        if let Some(name) = show.names().find(|name| !has(name)) {
            let of = formats::FORMATS.iter().filter(|known| known.shows.contains(&name));
            let of: Vec<&str> = of.map(|known| known.name).collect();
            return Err(Failure::usage(format!(
                "--{name} is for {}, and no output is one; add -o {}",
                of.join(" and "),
                of.first().unwrap_or(&"")
            )));
        }
        for Self { format, destination } in outputs {
            let options = &mut destination.options;
            options.show = std::mem::take(&mut options.show).or(&show.clone().only(format.shows));
        }
        Ok(())
    }

    /// Gives an output to a receiver a spool, where it has none.
    pub fn spool_in(&mut self, folder: &str, most_bytes: u64) {
        let Destination { kind, options, .. } = &mut self.destination;
        if RECEIVERS.contains(kind) && options.spool.is_none() {
            options.spool = Some(folder.into());
            options.spool_max = options.spool_max.or(Some(most_bytes));
        }
    }

    /// The stream that it goes to, where it is one.
    pub fn stream(&self) -> Option<Stream> {
        let kind = self.destination.kind;
        let streams = [(&stream::STDOUT, Stream::Stdout), (&stream::STDERR, Stream::Stderr)];
        streams.into_iter().find_map(|(of, stream)| (kind == of).then_some(stream))
    }

    /// The condition that events of this output must meet.
    pub fn filter(&self) -> Option<&str> {
        self.destination.options.filter.as_deref()
    }

    /// Chooses its events out of each batch; `None` where it gets all.
    pub fn chooser(&self) -> Result<Option<Chooser>, Failure> {
        let Some(text) = self.filter() else { return Ok(None) };
        let program = filter::compiled(text, &*FIELDS).map_err(|why| Failure::usage(wrong_filter(&why)))?;
        let mut choice = filter::Choice::new(program);
        Ok(Some(Box::new(move |batch| choice.of(batch))))
    }

    /// The summary of everything so far, to stderr.
    pub fn page() -> Self {
        let (kind, place, options) = (&stream::STDERR, "stderr".into(), Options::default());
        Self { format: &summary::FORMAT, destination: Destination { kind, place, options } }
    }

    /// A format by its name, to a file by its absolute path.
    #[cfg(any(test, fuzzing))]
    pub fn to_file(format: &str, path: impl Into<OsString>) -> Self {
        let format = formats::named(format.as_bytes()).unwrap_or_else(|| panic!("no format {format}"));
        Self {
            format,
            destination: Destination {
                kind: &file::CARRIER,
                place: path.into(),
                options: Options::default(),
            },
        }
    }

    /// The `FORMAT:DEST` that parses back into this output.
    pub fn spelling(&self) -> OsString {
        let mut spelling = OsString::from(self.format.name);
        spelling.push(":");
        spelling.push(options::doubled(&self.destination.place));
        spelling.push(self.destination.options.spelling());
        spelling
    }

    /// The output as messages call it: `jsonl to '/x'`, in one line.
    pub fn shown(&self) -> String {
        let Destination { kind, place, .. } = &self.destination;
        format!("{} to {}", self.format.name, (kind.shown)(place))
    }
}

/// Refuses options that the format has no use for.
fn check(format: &Format, options: &Options) -> Result<(), String> {
    if let Some(only) = options.only.filter(|only| !format.holds.contains(only)) {
        let name = format.name;
        return Err(match format.holds {
            [] => format!("{name} shows events and alerts together; leave the option 'only' out"),
            [holds, ..] => format!("{name} has no {}; it has {}", only.name(), holds.name()),
        });
    }
    if let Some(name) = options.show.names().find(|name| !format.shows.contains(name)) {
        let of: Vec<&str> = formats::FORMATS
            .iter()
            .filter(|known| known.shows.contains(&name))
            .map(|known| known.name)
            .collect();
        return Err(format!("the option '{name}' is for {}; leave it out", of.join(" and ")));
    }
    if let Framing::Page | Framing::Document = format.framing
        && options.rotation.is_on()
    {
        return Err(format!(
            "{} is one page, which is not divided; leave rotate, age and keep out",
            format.name
        ));
    }
    if let Some(text) = &options.filter {
        filter::compiled(text, &*FIELDS).map_err(|why| wrong_filter(&why))?;
    }
    Ok(())
}

fn wrong_filter(why: &str) -> String {
    format!("the option 'filter' is no condition: {why}")
}

/// A copy of stdout for the collector, if an output goes there at all.
///
/// The reader of CMD's stdout waits until the last copy is closed, so none is kept without need.
pub fn keep_stdout(outputs: &[Output]) -> std::io::Result<Option<OwnedFd>> {
    if !outputs.iter().any(|output| *output.destination.kind == stream::STDOUT) {
        return Ok(None);
    }
    std::io::stdout().as_fd().try_clone_to_owned().map(Some)
}

/// Opens the caller's descriptors that outputs name by path, such as the /dev/fd/63 of a shell's `>(…)`, and
/// lets the outputs name these instead: a collector that is another process is handed them under the same
/// numbers.
pub fn keep_descriptors(outputs: &mut [Output]) -> Result<Vec<OwnedFd>, Failure> {
    let mut kept = Vec::new();
    for Output { destination, .. } in outputs {
        let is_descriptor = |path: &Path| {
            ["/dev/fd", "/proc/self/fd"].iter().any(|folder| path.parent() == Some(Path::new(folder)))
        };
        let Some(path) = destination.path().filter(|path| is_descriptor(path)) else { continue };
        let file = files::open(path, "output", From::End, Permissions::Callers)?;
        destination.place = format!("/proc/self/fd/{}", file.as_raw_fd()).into();
        kept.push(file.into());
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn stderr() -> Destination {
        Destination { kind: &stream::STDERR, place: "stderr".into(), options: Options::default() }
    }

    fn parse(spec: &str) -> Result<Output, Failure> {
        Output::parse(OsStr::new(spec), &stderr())
    }

    fn parse_all(specs: &[&str]) -> Result<Vec<Output>, Failure> {
        let specs: Vec<OsString> = specs.iter().map(OsString::from).collect();
        Output::parse_all(&specs, OsStr::new("summary:stderr"))
    }

    #[test]
    fn url_is_no_path() {
        let failure = parse("jsonl:http://host/events").unwrap_err();

        assert_eq!(64, failure.status());
        assert_eq!(
            "jsonl cannot go to 'http://host/events'; give a path, '-' for stdout, 'stderr', or 'program:COMMAND'",
            failure.to_string()
        );
    }

    #[test]
    fn format_alone_takes_the_commands_default_destination() {
        let output = parse("human").unwrap();

        assert_eq!(("human", stderr()), (output.format.name, output.destination));
    }

    #[test]
    fn destination_may_hold_further_colons() {
        let output = parse("jsonl:/tmp/a:b").unwrap();

        assert_eq!(Some(Path::new("/tmp/a:b")), output.destination.path());
    }

    #[test]
    fn dash_and_stderr_are_streams_and_dot_slash_makes_them_files() {
        assert_eq!(Destination::stdout(), parse("human:-").unwrap().destination);
        assert_eq!(stderr(), parse("human:stderr").unwrap().destination);
        assert!(parse("human:./stderr").unwrap().destination.path().is_some());
    }

    #[test]
    fn relative_path_becomes_absolute() {
        let output = parse("jsonl:events.jsonl").unwrap();

        assert!(output.destination.path().is_some_and(Path::is_absolute));
    }

    #[test]
    fn unknown_format_lists_those_that_exist() {
        let failure = parse("syslog").unwrap_err();

        assert_eq!(64, failure.status());
        assert_eq!(
            "unknown format 'syslog' in -o 'syslog'; the formats are summary, human, jsonl, html, falco, nats, ocsf, otlp, clickhouse, recording",
            failure.to_string()
        );
    }

    #[test]
    fn format_that_is_nearly_one_or_is_a_files_name_gets_the_one_that_was_meant() {
        for (spec, meant) in [
            ("json", "; did you mean 'jsonl'?;"),
            ("humna:-", "; did you mean 'human'?;"),
            ("events.jsonl", "; did you mean 'jsonl:events.jsonl'?;"),
            ("out/r.gbx", "; did you mean 'recording:out/r.gbx'?;"),
            ("-", "; did you mean 'human:-'?;"),
            ("stdout", "; did you mean 'human:-'?;"),
            ("stderr", "; did you mean 'human:stderr'?;"),
        ] {
            let refusal = parse(spec).unwrap_err().to_string();

            assert!(refusal.contains(&format!(" in -o '{spec}'{meant}")), "{refusal}");
        }
    }

    #[test]
    fn word_that_looks_like_a_stream_is_no_file() {
        for (spec, word) in
            [("human:stdout", "human:-"), ("jsonl:STDERR", "jsonl:stderr"), ("human:stdin", "human:-")]
        {
            let failure = parse(spec).unwrap_err();

            assert_eq!(64, failure.status());
            assert!(failure.to_string().contains(&format!("; write {word}, or ")), "{failure}");
        }
        assert!(parse("human:./stdout").unwrap().destination.path().is_some());
    }

    #[test]
    fn empty_destination_is_wrong_usage() {
        let failure = parse("jsonl:").unwrap_err();

        assert_eq!(64, failure.status());
        assert_eq!(
            "no destination after the colon in -o 'jsonl:'; give a path, '-' for stdout, 'stderr', or 'program:COMMAND'",
            failure.to_string()
        );
    }

    #[test]
    fn any_output_replaces_the_default() {
        assert_eq!(vec![parse("summary").unwrap()], parse_all(&[]).unwrap());
        assert_eq!(vec![parse("human").unwrap()], parse_all(&["human"]).unwrap());
    }

    #[test]
    fn two_outputs_to_one_file_are_refused_and_to_one_device_or_stream_are_not() {
        let failure = parse_all(&["jsonl:/tmp/x", "human:/tmp/x"]).unwrap_err();

        assert_eq!(64, failure.status());
        assert_eq!(
            "two outputs go to '/tmp/x' and would overwrite each other; give each -o a file of its own",
            failure.to_string()
        );
        assert_eq!(2, parse_all(&["jsonl:/dev/null", "human:/dev/null"]).unwrap().len());
        assert_eq!(2, parse_all(&["jsonl:-", "human:-"]).unwrap().len());
    }

    #[test]
    fn spelling_parses_back_even_where_it_is_not_utf8() {
        let output =
            Output::parse(&OsString::from_vec(b"jsonl:/tmp/\xff".to_vec()), &Destination::stdout()).unwrap();

        assert_eq!(output, Output::parse(&output.spelling(), &stderr()).unwrap());
    }

    #[test]
    fn line_feed_in_a_path_makes_no_second_line_of_a_message() {
        assert_eq!("jsonl to '/tmp/a\\nb'", Output::to_file("jsonl", "/tmp/a\nb").shown());
    }
}
