//! Headers of requests: from a file, or from the environment. They hold passwords, so no command line has
//! them, which every user of a machine can read.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use percent_encoding::percent_decode_str;
use ureq::http::{HeaderName, HeaderValue};

use crate::shell::failure::Failure;

/// The longest text of headers, bytes.
const LONGEST: u64 = 64 << 10;
/// Headers that the transport itself sets.
const OWN: [&str; 5] = ["content-length", "content-encoding", "content-type", "host", "transfer-encoding"];

type Headers = Vec<(HeaderName, HeaderValue)>;

/// Reads the headers that `from` names, `FILE` or `env:NAME`, and those of `variables` before them. A header
/// of a later source takes the place of one of the same name of an earlier source.
///
/// A file has lines of `Name: value`; empty lines and those with `#` in front are left out. A variable has
/// the same lines; one of `variables` has `name=value,name=value` with percent escapes. Fails with status 66
/// where a file or the variable is missing, 65 where a line is none.
pub fn read(from: Option<&OsStr>, variables: &[&str]) -> Result<Headers, Failure> {
    let mut headers = Headers::new();
    for variable in variables {
        let Some(text) = std::env::var_os(variable).filter(|text| !text.is_empty()) else { continue };
        let text = text.to_string_lossy().into_owned();
        let mut of_variable = Headers::new();
        for (index, pair) in text.split(',').filter(|pair| !pair.trim().is_empty()).enumerate() {
            let header = pair.split_once('=').and_then(|(name, value)| {
                let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
                header(name.trim(), &value)
            });
            // Without the text itself, which may be secret.
            of_variable.push(header.ok_or_else(|| {
                Failure::malformed(format!(
                    "pair {} of {variable} is no header; give name=value,name=value",
                    index + 1
                ))
            })?);
        }
        replace(&mut headers, of_variable);
    }
    let Some(from) = from else { return Ok(headers) };
    let (place, text) = match from.to_str().and_then(|text| text.strip_prefix("env:")) {
        Some(name) => {
            let text = std::env::var(name).map_err(|_| {
                Failure::missing(format!(
                    "the variable {name} of headers=env:{name} is not set; set it to lines of 'Name: value'"
                ))
            })?;
            (format!("the variable {name}"), text)
        }
        None => (format!("'{}'", from.display()), of_file(Path::new(from))?),
    };
    let mut given = Headers::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let header = line.split_once(':').and_then(|(name, value)| header(name.trim(), value.trim()));
        given.push(header.ok_or_else(|| {
            Failure::malformed(format!(
                "line {} of {place} is no header that can be set; give 'Name: value'",
                index + 1
            ))
        })?);
    }
    replace(&mut headers, given);
    Ok(headers)
}

/// Adds the headers of a later source.
fn replace(headers: &mut Headers, later: Headers) {
    headers.retain(|(name, _)| later.iter().all(|(other, _)| other != name));
    headers.extend(later);
}

fn header(name: &str, value: &str) -> Option<(HeaderName, HeaderValue)> {
    let name: HeaderName = name.parse().ok()?;
    let mut value: HeaderValue = value.parse().ok()?;
    value.set_sensitive(true);
    (!OWN.contains(&name.as_str())).then_some((name, value))
}

fn of_file(path: &Path) -> Result<String, Failure> {
    let failed = |error: std::io::Error| {
        Failure::missing(format!(
            "cannot read the headers '{}': {error}; give a file of lines 'Name: value'",
            path.display()
        ))
    };
    let mut text = String::new();
    let file = File::open(path).map_err(failed)?;
    file.take(LONGEST).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sinks::tests::Scratch;

    fn read_file(text: &str) -> Result<Headers, Failure> {
        let scratch = Scratch::new(&format!("headers-{}", text.len()));
        let path = scratch.path("headers");
        std::fs::write(&path, text).unwrap();
        read(Some(path.as_os_str()), &[])
    }

    #[test]
    fn file_has_a_header_on_each_line() {
        let headers = read_file("# the key\nAuthorization: Bearer a:b \n\nX-Scope: 1\n").unwrap();

        assert_eq!(2, headers.len());
        assert_eq!(("authorization", "Bearer a:b"), (headers[0].0.as_str(), headers[0].1.to_str().unwrap()));
    }

    #[test]
    fn wrong_line_is_told_by_its_number_and_not_by_its_text() {
        for text in [
            "X-Ok: 1\nsecret",
            "X-Ok: 1\nHost: other",
            "X-Ok: 1\nbad name: secret",
            "X-Ok: 1\nA: \u{1}secret",
        ] {
            let failure = read_file(text).unwrap_err();

            assert_eq!(65, failure.status());
            assert!(failure.to_string().starts_with("line 2 of '"), "{failure}");
            assert!(!failure.to_string().contains("secret"), "{failure}");
        }
    }

    #[test]
    fn header_of_a_later_source_takes_the_place_of_an_earlier_one() {
        let of = |text: &str| read_file(text).unwrap();
        let mut headers = of("A: 1\nB: 2\nB: 3\n");

        replace(&mut headers, of("b: 4\nc: 5"));

        let names: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        assert_eq!(vec![("a", "1"), ("b", "4"), ("c", "5")], names);
    }

    #[test]
    fn missing_file_and_variable_are_told() {
        assert_eq!(66, read(Some(OsStr::new("/nonexistent")), &[]).unwrap_err().status());
        assert_eq!(66, read(Some(OsStr::new("env:GLASSBOX_NO_SUCH")), &[]).unwrap_err().status());
        assert!(read(None, &["GLASSBOX_NO_SUCH"]).unwrap().is_empty());
    }
}
