//! An output in the file: as `-o` takes it, or as a mapping of `format`, `to` and the options of
//! `sinks/carrier/options.rs`, whose table this module reads.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::yaml::Place;
use crate::outputs::{Destination, Output};
use crate::sinks::carrier::options::{self, doubled};
use crate::sinks::carrier::{CARRIERS, file};

/// The keys of a mapping that are no options.
pub const FORMAT: &str = "format";
pub const TO: &str = "to";

/// A key and its value in the mapping of an output.
#[derive(Debug)]
pub struct Part<'n> {
    pub name: &'n str,
    pub name_place: Place,
    pub text: &'n str,
    pub place: Place,
}

/// What is wrong, and where.
type Wrong = (Place, String);

/// The output of a mapping at `place`, as `-o` takes it; relative paths are put behind `folder`.
pub fn of_parts(parts: &[Part<'_>], place: Place, folder: Option<&Path>) -> Result<OsString, Vec<Wrong>> {
    let present = |part: &Part<'_>| {
        options::KEYS.iter().find(|option| option.name == part.name && option.read.is_some())
    };
    let mut wrong: Vec<Wrong> = Vec::new();
    let named = |name: &str| parts.iter().find(|part| part.name == name);
    let given: Vec<_> = parts.iter().filter_map(|part| Some((present(part)?, part))).collect();
    for part in parts.iter().filter(|part| ![FORMAT, TO].contains(&part.name) && present(part).is_none()) {
        wrong.push((part.name_place, format!("unknown key '{}' of an output{}", part.name, hint(part.name))));
    }
    let (format, to) = (named(FORMAT), named(TO));
    if format.is_none() {
        wrong.push((place, "an output without 'format'; name one, as -o does".to_owned()));
    }
    if to.is_none() && !given.is_empty() {
        wrong.push((place, "an output with options and without 'to'; say where it goes".to_owned()));
    }
    let Some(format) = format.filter(|_| wrong.is_empty()) else { return Err(wrong) };
    let mut spec = OsString::from(format.text);
    if let Some(to) = to {
        spec.push(":");
        spec.push(doubled(&destination(OsStr::new(to.text), folder)));
    }
    // Step by step, so that a problem has the place of the part that it is about.
    check(&spec, to.map_or(format.place, |to| to.place))?;
    let alone = spec.clone();
    for (option, part) in given {
        let value = option_value(option.example, OsStr::new(part.text), folder);
        let typed = |spec: &OsStr| {
            let mut typed = spec.to_owned();
            typed.push(format!(",{}=", option.name));
            typed.push(doubled(&value));
            typed
        };
        check(&typed(&alone), part.place)?;
        spec = typed(&spec);
    }
    check(&spec, place)?;
    Ok(spec)
}

fn check(spec: &OsStr, place: Place) -> Result<(), Vec<Wrong>> {
    let parsed = Output::parse(spec, &Destination::stdout());
    parsed.map(drop).map_err(|failure| vec![(place, failure.to_string())])
}

/// The end of a message about an unknown key: what was probably meant, or what there is.
fn hint(name: &str) -> String {
    let present = options::KEYS.iter().filter(|option| option.read.is_some()).map(|option| option.name);
    let known: Vec<&str> = [FORMAT, TO].into_iter().chain(present).collect();
    let nearest = rules::did_you_mean(name, known.iter().copied());
    if nearest.is_empty() { format!("; there are {}", known.join(", ")) } else { nearest }
}

/// An output as `-o` takes it, with its relative paths behind `folder`.
pub fn rooted(spec: &str, folder: Option<&Path>) -> OsString {
    let Some((format, rest)) = spec.split_once(':').filter(|_| folder.is_some()) else { return spec.into() };
    let (to, given) = options::divided(OsStr::new(rest));
    let mut rooted = OsString::from(format);
    rooted.push(":");
    rooted.push(doubled(&destination(&to, folder)));
    for option in given {
        let bytes = option.as_bytes();
        let equals = bytes.iter().position(|byte| *byte == b'=').unwrap_or(bytes.len());
        let (name, value) = bytes.split_at(equals);
        let known = options::KEYS.iter().find(|known| known.name.as_bytes() == name);
        rooted.push(",");
        rooted.push(doubled(OsStr::from_bytes(name)));
        match (known, value.split_first()) {
            (Some(known), Some((_, value))) if !value.is_empty() => {
                rooted.push("=");
                rooted.push(doubled(&option_value(known.example, OsStr::from_bytes(value), folder)));
            }
            _ => rooted.push(doubled(OsStr::from_bytes(value))),
        }
    }
    rooted
}

/// A destination, behind `folder` where it is a relative path.
fn destination(to: &OsStr, folder: Option<&Path>) -> OsString {
    let kind = CARRIERS.iter().find(|kind| (kind.place)(to).is_some());
    match folder {
        Some(folder) if kind == Some(&file::CARRIER) => folder.join(to).into_os_string(),
        _ => to.to_owned(),
    }
}

/// The value of an option, behind `folder` where it is a relative path: the table's examples of these are
/// `DIR`, and what begins with `FILE`, beside which `env:NAME` may stand.
fn option_value(example: &str, value: &OsStr, folder: Option<&Path>) -> OsString {
    let is_path = (example == "DIR" || example.starts_with("FILE")) && !value.as_bytes().starts_with(b"env:");
    match folder {
        Some(folder) if is_path => folder.join(value).into_os_string(),
        _ => value.to_owned(),
    }
}
