//! The table of what can stand behind a destination: `-o jsonl:events.jsonl,mode=0640`.
//!
//! docs/contract.md fixes the syntax and the keys. A comma separates; a comma of a destination or value is
//! written twice.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use rules::format::Format;

use super::kind::{Kind, Only, Options};
use super::{BROKERS, CARRIERS, LOCAL, RECEIVERS, file, http};
use crate::sinks::look::{By, Clock, Color, Sort};
use crate::stages::fields::FIELDS;

/// Reads a value into the options; an error says what it should be.
type Read = fn(&OsStr, &mut Options) -> Result<(), String>;

/// A row of the table.
#[derive(Debug)]
pub struct Key {
    /// As it is typed.
    pub name: &'static str,
    /// Its value, as help and messages show it.
    pub example: &'static str,
    /// Its help, in one line.
    pub help: &'static str,
    /// The kinds of places that take it.
    pub kinds: &'static [Kind],
    /// Reads a value; `None` for a key that this build lacks.
    pub read: Option<Read>,
    /// The value that reads back.
    pub spelled: fn(&Options) -> Option<OsString>,
}

/// Every key of the contract.
pub const KEYS: &[Key] = &[
    Key {
        name: "mode",
        example: "0640",
        help: "the permissions of a file, instead of 0600",
        kinds: &[file::CARRIER],
        read: Some(|value, options| {
            options.mode = Some(mode(value)?);
            Ok(())
        }),
        spelled: |options| options.mode.map(|mode| format!("{mode:04o}").into()),
    },
    Key {
        name: "only",
        example: "alerts",
        help: "only events, or only alerts, of a format that has both",
        kinds: CARRIERS,
        read: Some(|value, options| {
            let only = Only::ALL.into_iter().find(|only| value == only.name());
            options.only = Some(only.ok_or("give events or alerts")?);
            Ok(())
        }),
        spelled: |options| options.only.map(|only| only.name().into()),
    },
    Key {
        name: "filter",
        example: "evt.type=execve",
        help: "the condition that events of this output must meet, as --filter takes it",
        kinds: CARRIERS,
        read: Some(|value, options| {
            options.filter = Some(text(value)?);
            Ok(())
        }),
        spelled: |options| options.filter.as_ref().map(OsString::from),
    },
    Key {
        name: "rotate",
        example: "100MB",
        help: "the size at which a file is put aside, with the time in its name, and another begins",
        kinds: &[file::CARRIER],
        read: Some(|value, options| {
            let most = bytes(value).filter(|most| *most >= SMALLEST_FILE);
            options.rotation.bytes =
                Some(most.ok_or("give a number with B, KB, MB or GB, of 64KB at least")?);
            Ok(())
        }),
        spelled: |options| options.rotation.bytes.map(|most| format!("{most}B").into()),
    },
    Key {
        name: "age",
        example: "7d",
        help: "the age at which a file is put aside, and at which one that was put aside is deleted",
        kinds: &[file::CARRIER],
        read: Some(|value, options| {
            let seconds = with_unit(value, &[("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)]);
            let seconds = seconds.filter(|seconds| (1..=OLDEST_FILE_S).contains(seconds));
            options.rotation.age_s =
                Some(seconds.ok_or("give a number with s, m, h or d, from 1s to 36500d")?);
            Ok(())
        }),
        spelled: |options| options.rotation.age_s.map(|seconds| format!("{seconds}s").into()),
    },
    Key {
        name: "keep",
        example: "10",
        help: "how many files that were put aside stay; all without it",
        kinds: &[file::CARRIER],
        read: Some(|value, options| {
            let keep = with_unit(value, &[("", 1)]).filter(|keep| (1..=100_000).contains(keep));
            options.rotation.keep = Some(keep.ok_or("give a number from 1 to 100000")?);
            Ok(())
        }),
        spelled: |options| options.rotation.keep.map(|keep| keep.to_string().into()),
    },
    Key {
        name: "spool",
        example: "DIR",
        help: "the directory where events wait while the receiver is away",
        kinds: RECEIVERS,
        read: Some(|value, options| {
            options.spool = Some(absolute(value)?);
            Ok(())
        }),
        spelled: |options| options.spool.as_ref().map(OsString::from),
    },
    Key {
        name: "spool-max",
        example: "1GB",
        help: "bytes that wait there at most; 256MB without it",
        kinds: RECEIVERS,
        read: Some(|value, options| {
            options.spool_max = Some(
                bytes(value)
                    .filter(|most| *most >= SMALLEST_SPOOL)
                    .ok_or("give a number with B, KB, MB or GB, of 8MB at least")?,
            );
            Ok(())
        }),
        spelled: |options| options.spool_max.map(|most| format!("{most}B").into()),
    },
    Key {
        name: "headers",
        example: "FILE",
        help: "lines of 'Name: value' for each request; env:NAME reads them from a variable",
        kinds: &[http::CARRIER],
        read: Some(|value, options| {
            let is_variable = value.as_bytes().starts_with(b"env:");
            options.headers = Some(if is_variable { value.to_owned() } else { absolute(value)?.into() });
            Ok(())
        }),
        spelled: |options| options.headers.clone(),
    },
    Key {
        name: "ca",
        example: "FILE.pem",
        help: "the authorities of the receiver's certificate, instead of the system's",
        kinds: RECEIVERS,
        read: Some(|value, options| {
            options.ca = Some(absolute(value)?);
            Ok(())
        }),
        spelled: |options| options.ca.as_ref().map(OsString::from),
    },
    Key {
        name: "cert",
        example: "FILE.pem",
        help: "the certificate that is shown to the receiver, with its chain",
        kinds: RECEIVERS,
        read: Some(|value, options| {
            options.cert = Some(absolute(value)?);
            Ok(())
        }),
        spelled: |options| options.cert.as_ref().map(OsString::from),
    },
    Key {
        name: "key",
        example: "FILE.pem",
        help: "its private key, where cert has it not",
        kinds: RECEIVERS,
        read: Some(|value, options| {
            options.key = Some(absolute(value)?);
            Ok(())
        }),
        spelled: |options| options.key.as_ref().map(OsString::from),
    },
    Key {
        name: "timeout",
        example: "10s",
        help: "how long the receiver may take for one request",
        kinds: RECEIVERS,
        read: Some(|value, options| {
            let millis = milliseconds(value).filter(|millis| (100..=600_000).contains(millis));
            options.timeout_ms = Some(millis.ok_or("give a number with ms or s, from 100ms to 600s")?);
            Ok(())
        }),
        spelled: |options| options.timeout_ms.map(|millis| format!("{millis}ms").into()),
    },
    Key {
        name: "creds",
        example: "FILE",
        help: "lines 'user: NAME' and 'password: …', or 'token: …'; env:NAME reads them from a variable",
        kinds: BROKERS,
        read: Some(|value, options| {
            let is_variable = value.as_bytes().starts_with(b"env:");
            options.creds = Some(if is_variable { value.to_owned() } else { absolute(value)?.into() });
            Ok(())
        }),
        spelled: |options| options.creds.clone(),
    },
    Key {
        name: "cluster",
        example: "prod",
        help: "the cluster that subjects name; 'default' without it",
        kinds: BROKERS,
        read: Some(|value, options| {
            let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
            let name = value.to_str().filter(|name| name.len() <= 64 && name.as_bytes().iter().all(is_plain));
            options.cluster = Some(name.ok_or("give letters, digits, '-' and '_', 64 at most")?.to_owned());
            Ok(())
        }),
        spelled: |options| options.cluster.as_ref().map(OsString::from),
    },
    Key {
        name: "top",
        example: "20",
        help: "how many entries of each list a summary shows",
        kinds: LOCAL,
        read: Some(|value, options| {
            let top = with_unit(value, &[("", 1)]).filter(|top| (1..=100_000).contains(top));
            options.show.top = Some(top.ok_or("give a number from 1 to 100000")? as usize);
            Ok(())
        }),
        spelled: |options| options.show.top.map(|top| top.to_string().into()),
    },
    Key {
        name: "sort",
        example: "bytes",
        help: "what a summary's lists are sorted by: bytes, time, failures or name",
        kinds: LOCAL,
        read: Some(|value, options| word(value, &Sort::ALL).map(|sort| options.show.sort = Some(sort))),
        spelled: |options| spelled(options.show.sort, &Sort::ALL),
    },
    Key {
        name: "color",
        example: "always",
        help: "colours: auto (on a terminal), always or never",
        kinds: LOCAL,
        read: Some(|value, options| word(value, &Color::ALL).map(|color| options.show.color = Some(color))),
        spelled: |options| spelled(options.show.color, &Color::ALL),
    },
    Key {
        name: "time",
        example: "local",
        help: "the time of each line of human: utc, local, relative (to the first) or delta (to the line before)",
        kinds: LOCAL,
        read: Some(|value, options| word(value, &Clock::ALL).map(|clock| options.show.clock = Some(clock))),
        spelled: |options| spelled(options.show.clock, &Clock::ALL),
    },
    Key {
        name: "print",
        example: "FORMAT",
        help: "a line for each event as a rule's output has it, such as '%evt.time %proc.name %fd.name'",
        kinds: LOCAL,
        read: Some(|value, options| {
            let format = text(value)?;
            Format::parse(&format, &*FIELDS)
                .map_err(|error| format!("{}; 'glassbox fields' lists what it may have", error.message))?;
            options.show.print = Some(format);
            Ok(())
        }),
        spelled: |options| options.show.print.as_ref().map(OsString::from),
    },
    Key {
        name: "by",
        example: "file",
        help: "one part of a summary, whole: process, file, peer, rule, error or tree",
        kinds: LOCAL,
        read: Some(|value, options| word(value, &By::ALL).map(|by| options.show.by = Some(by))),
        spelled: |options| spelled(options.show.by, &By::ALL),
    },
];

/// The value that a word of the table means.
fn word<T: Copy>(value: &OsStr, words: &[(&str, T)]) -> Result<T, String> {
    let found = words.iter().find(|(word, _)| value == *word).map(|(_, meant)| *meant);
    found.ok_or_else(|| {
        let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        format!("give one of {}", words.join(", "))
    })
}

/// The word that means a value.
fn spelled<T: PartialEq>(value: Option<T>, words: &[(&str, T)]) -> Option<OsString> {
    let value = value?;
    words.iter().find(|(_, meant)| *meant == value).map(|(word, _)| (*word).into())
}

/// The least bound of a spool: less than a segment and a batch have no room in it.
const SMALLEST_SPOOL: u64 = 8 << 20;

/// The least size at which a file is put aside: a few batches.
const SMALLEST_FILE: u64 = 64 << 10;
/// A hundred years.
const OLDEST_FILE_S: u64 = 36_500 * 86_400;

fn text(value: &OsStr) -> Result<String, String> {
    value.to_str().map(str::to_owned).ok_or_else(|| "give UTF-8".to_owned())
}

/// The path from the root: a collector that is another process stands elsewhere.
fn absolute(value: &OsStr) -> Result<PathBuf, String> {
    std::path::absolute(value).map_err(|error| format!("give an absolute path ({error})"))
}

/// `100MB` in bytes, by powers of 1024.
pub fn bytes(value: &OsStr) -> Option<u64> {
    const UNITS: [(&str, u64); 4] = [("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10), ("B", 1)];
    with_unit(value, &UNITS)
}

/// `500ms` or `10s` in milliseconds.
fn milliseconds(value: &OsStr) -> Option<u64> {
    with_unit(value, &[("ms", 1), ("s", 1000)])
}

/// A whole number with one of these units, times the unit's size; `None` for anything else.
pub fn with_unit(value: &OsStr, units: &[(&str, u64)]) -> Option<u64> {
    let text = value.to_str()?;
    let (digits, size) = units.iter().find_map(|(unit, size)| Some((text.strip_suffix(unit)?, size)))?;
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse::<u64>().ok()?.checked_mul(*size)).flatten()
}

fn mode(value: &OsStr) -> Result<u32, String> {
    let digits = value.to_str().filter(|text| text.bytes().all(|byte| (b'0'..=b'7').contains(&byte)));
    match digits.and_then(|digits| u32::from_str_radix(digits, 8).ok()) {
        Some(mode) if mode & !0o777 == 0 && mode & 0o200 != 0 => Ok(mode),
        _ => Err("give permissions in octal from 0200 to 0777, with the owner's right to write".to_owned()),
    }
}

/// Divides what stands behind `FORMAT:` into the destination and its options, with each double comma as one.
pub fn divided(text: &OsStr) -> (OsString, Vec<OsString>) {
    let mut parts = vec![Vec::new()];
    let mut bytes = text.as_bytes().iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if byte == b',' && bytes.next_if_eq(&b',').is_none() {
            parts.push(Vec::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(byte);
        }
    }
    let mut parts = parts.into_iter().map(OsString::from_vec);
    (parts.next().unwrap_or_default(), parts.collect())
}

/// Writes each comma twice.
pub fn doubled(text: &OsStr) -> OsString {
    let bytes = text.as_bytes().iter().flat_map(|byte| match byte {
        b',' => &b",,"[..],
        byte => std::slice::from_ref(byte),
    });
    OsString::from_vec(bytes.copied().collect())
}

impl Options {
    /// Reads `KEY=VALUE`s for a place of this kind. An error says what is wrong and what to do.
    pub fn read(texts: &[OsString], kind: &Kind) -> Result<Self, String> {
        let mut options = Self::default();
        let mut seen: Vec<&str> = Vec::new();
        for text in texts {
            let bytes = text.as_bytes();
            let equals = bytes.iter().position(|byte| *byte == b'=').unwrap_or(bytes.len());
            let name = OsStr::from_bytes(&bytes[..equals]);
            let Some(key) = KEYS.iter().find(|key| name == key.name) else {
                return Err(format!(
                    "unknown option '{}'; the options are {}, and a comma of a path is written twice",
                    name.display(),
                    known(kind)
                ));
            };
            let Some(read) = key.read else {
                return Err(format!("this build lacks the option '{}'; it has {}", key.name, known(kind)));
            };
            let Some(value) = bytes.get(equals + 1..).filter(|value| !value.is_empty()) else {
                return Err(format!(
                    "the option '{0}' has no value; give it one: {0}={1}",
                    key.name, key.example
                ));
            };
            if !key.kinds.contains(kind) {
                let of: Vec<&str> = key.kinds.iter().map(|kind| kind.help).collect();
                return Err(format!("the option '{}' is for {}; leave it out", key.name, of.join(" or ")));
            }
            if seen.contains(&key.name) {
                return Err(format!("the option '{}' is given twice; leave one out", key.name));
            }
            seen.push(key.name);
            let value = OsStr::from_bytes(value);
            read(value, &mut options)
                .map_err(|remedy| format!("'{}' is no {}; {remedy}", value.display(), key.name))?;
        }
        Ok(options)
    }

    /// The options as they are typed, each with its comma in front.
    pub fn spelling(&self) -> OsString {
        let mut spelling = OsString::new();
        for key in KEYS {
            if let Some(value) = (key.spelled)(self) {
                spelling.push(format!(",{}=", key.name));
                spelling.push(doubled(&value));
            }
        }
        spelling
    }
}

/// The keys that this build has for places of this kind, each with an example.
fn known(kind: &Kind) -> String {
    let present = KEYS.iter().filter(|key| key.read.is_some() && key.kinds.contains(kind));
    present.map(|key| format!("{}={}", key.name, key.example)).collect::<Vec<_>>().join(", ")
}

/// A line for each key that this build has.
pub fn help() -> String {
    let present = KEYS.iter().filter(|key| key.read.is_some());
    present.map(|key| format!("  ,{}={}  {}\n", key.name, key.example, key.help)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sinks::carrier::kind::Rotation;
    use crate::sinks::carrier::stream;

    fn read(text: &str, kind: &Kind) -> Result<Options, String> {
        Options::read(&divided(OsStr::new(text)).1, kind)
    }

    #[test]
    fn every_key_is_named_once_and_those_that_are_there_have_a_help_and_a_place_in_the_documentation() {
        let page = include_str!("../../../../docs/outputs.md");

        for (index, key) in KEYS.iter().enumerate() {
            assert!(KEYS[..index].iter().all(|other| other.name != key.name), "{} twice", key.name);
            if key.read.is_some() {
                assert!(!key.help.is_empty() && !key.kinds.is_empty(), "{}", key.name);
                assert!(
                    page.contains(&format!("\n| `{}={}` |", key.name, key.example)),
                    "docs/outputs.md: {}",
                    key.name
                );
            }
        }
    }

    #[test]
    fn the_keys_are_those_of_the_contract() {
        let contract = include_str!("../../../../docs/contract.md");

        for key in KEYS {
            assert!(contract.contains(&format!("`{}=", key.name)), "{}", key.name);
        }
    }

    #[test]
    fn comma_of_a_destination_is_written_twice() {
        for (text, place, options) in [
            ("a", "a", &[][..]),
            ("a,,b", "a,b", &[]),
            ("a,b", "a", &["b"]),
            ("a,,,b=1,,2,c", "a,", &["b=1,2", "c"]),
            ("a,", "a", &[""]),
            (",,", ",", &[]),
        ] {
            let (found, rest) = divided(OsStr::new(text));

            assert_eq!((OsStr::new(place), options.len()), (found.as_os_str(), rest.len()), "{text}");
            assert!(rest.iter().eq(options), "{text}: {rest:?}");
            assert_eq!(found, divided(&doubled(&found)).0);
        }
    }

    #[test]
    fn mode_is_octal_and_lets_its_owner_write() {
        for (text, mode) in [("a,mode=0640", 0o640), ("a,mode=640", 0o640), ("a,mode=0666", 0o666)] {
            assert_eq!(Ok(Options { mode: Some(mode), ..Options::default() }), read(text, &file::CARRIER));
        }
        for text in ["a,mode=0400", "a,mode=1640", "a,mode=rw", "a,mode=8", "a,mode=-1", "a,mode=+640"] {
            assert!(read(text, &file::CARRIER).unwrap_err().contains("in octal"), "{text}");
        }
    }

    #[test]
    fn rotation_is_read_and_spelled_and_what_would_rotate_without_end_is_refused() {
        let rotation = Rotation { bytes: Some(100 << 20), age_s: Some(7 * 86_400), keep: Some(10) };

        let options = read("a,rotate=100MB,age=7d,keep=10", &file::CARRIER).unwrap();

        assert_eq!(rotation, options.rotation);
        assert_eq!(Ok(options.clone()), read(&format!("a{}", options.spelling().display()), &file::CARRIER));
        for text in
            ["rotate=63KB", "rotate=0", "rotate=1e9", "age=0s", "age=7", "age=99999999d", "keep=0", "keep=-1"]
        {
            assert!(
                read(&format!("a,{text}"), &file::CARRIER).unwrap_err().contains("give a number"),
                "{text}"
            );
        }
    }

    #[test]
    fn options_read_back_as_they_are_spelled() {
        let options = Options { mode: Some(0o64 << 3), ..Options::default() };

        assert_eq!(OsString::from(",mode=0640"), options.spelling());
        assert_eq!(Ok(options), read(",mode=0640", &file::CARRIER));
        assert_eq!(OsString::new(), Options::default().spelling());
    }

    #[test]
    fn what_is_wrong_is_told_with_what_to_do() {
        for (text, words) in [
            (
                "a,b.jsonl",
                "unknown option 'b.jsonl'; the options are mode=0640, only=alerts, filter=evt.type=execve, rotate=100MB, \
                 age=7d, keep=10, top=20, sort=bytes, color=always, time=local, print=FORMAT, by=file, and a comma of a path is \
                 written twice",
            ),
            ("a,mode", "the option 'mode' has no value; give it one: mode=0640"),
            ("a,mode=", "the option 'mode' has no value; give it one: mode=0640"),
            ("a,mode=0600,mode=0640", "the option 'mode' is given twice; leave one out"),
        ] {
            assert_eq!(words, read(text, &file::CARRIER).unwrap_err(), "{text}");
        }
        assert_eq!(
            "the option 'mode' is for a path; leave it out",
            read("-,mode=0640", &stream::STDOUT).unwrap_err()
        );
    }
}
