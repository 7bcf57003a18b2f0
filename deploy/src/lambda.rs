//! The AWS Lambda layer: a zip file that the sandbox unpacks to `/opt`.
//!
//! | in the zip | what Lambda makes of it |
//! |---|---|
//! | `extensions/glassbox` | an external extension, started beside the runtime: the collector |
//! | `glassbox-wrapper` | for `AWS_LAMBDA_EXEC_WRAPPER`: starts the runtime under the sensor |
//! | `lib/libglassbox.so` | the sensor, for `LD_PRELOAD` |
//!
//! The same files give the same bytes: sorted, without a clock, compressed by one implementation on every
//! machine.

use std::io::{Cursor, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use crate::Error;

/// The sensor's path in the sandbox.
pub const SENSOR: &str = "/opt/lib/libglassbox.so";

/// The exec wrapper's path in the sandbox.
pub const WRAPPER: &str = "/opt/glassbox-wrapper";

/// The file name of the extension, which is its name in the Extensions API.
pub const EXTENSION: &str = "glassbox";

/// A larger layer is refused: every cold start fetches and unpacks it.
const MOST_BYTES: usize = 20 << 20;

/// A shell script, because every managed runtime has a shell and a shell starts faster than a larger program.
/// The script looks for the sensor in the folder beside it: the loader would complain at every start of a
/// library that is not there.
const WRAPPER_TEXT: &str = r#"#!/bin/sh
# AWS_LAMBDA_EXEC_WRAPPER=/opt/glassbox-wrapper: starts the runtime with the sensor.
sensor=${0%/*}/lib/libglassbox.so
case ":$LD_PRELOAD:" in
*[:\ ]"$sensor"[:\ ]*) ;;
*) [ -r "$sensor" ] && export LD_PRELOAD="${LD_PRELOAD:+$LD_PRELOAD:}$sensor" ;;
esac
exec "$@"
"#;

/// The two programs of a layer, both for the same machine.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    /// The command line, which is the collector too.
    pub cli: &'a [u8],
    /// The sensor.
    pub sensor: &'a [u8],
}

/// The bytes of the layer's zip file.
///
/// # Errors
/// [`Error::Refused`] if the file would be too large.
pub fn layer(pair: Pair<'_>) -> Result<Vec<u8>, Error> {
    let files = [
        (format!("extensions/{EXTENSION}"), pair.cli),
        ("glassbox-wrapper".to_owned(), WRAPPER_TEXT.as_bytes()),
        ("lib/libglassbox.so".to_owned(), pair.sensor),
    ];
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(9))
        .last_modified_time(DateTime::DEFAULT)
        .unix_permissions(0o755);
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let mut write = || {
        for (path, bytes) in &files {
            writer.start_file(path.as_str(), options)?;
            writer.write_all(bytes)?;
        }
        zip::result::ZipResult::Ok(())
    };
    // Writing to memory cannot fail, and the files are far below a zip file's limits.
    let written = write().and_then(|()| writer.finish());
    let zip =
        written.map_err(|error| Error::Refused(format!("cannot make the zip file: {error}")))?.into_inner();
    if zip.len() > MOST_BYTES {
        return Err(Error::Refused(format!(
            "a layer of {} bytes delays every cold start (at most {MOST_BYTES}); strip the pair, as `cargo xtask dist` does",
            zip.len()
        )));
    }
    Ok(zip)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    const PAIR: Pair<'static> = Pair { cli: b"the command line", sensor: b"the sensor" };

    #[test]
    fn layer_holds_what_the_sandbox_looks_for_all_of_it_executable() {
        let mut archive = zip::ZipArchive::new(Cursor::new(layer(PAIR).unwrap())).unwrap();

        let mut found = Vec::new();
        for index in 0..archive.len() {
            let mut file = archive.by_index(index).unwrap();
            let mut text = String::new();
            file.read_to_string(&mut text).unwrap();
            found.push((
                file.name().unwrap().into_owned(),
                file.unix_mode().unwrap() & 0o7777,
                text.lines().next().unwrap().to_owned(),
            ));
        }
        let expected = [
            ("extensions/glassbox", "the command line"),
            ("glassbox-wrapper", "#!/bin/sh"),
            ("lib/libglassbox.so", "the sensor"),
        ];
        assert_eq!(expected.map(|(path, text)| (path.to_owned(), 0o755, text.to_owned())).to_vec(), found);
    }

    #[test]
    fn the_same_pair_gives_the_same_bytes() {
        assert_eq!(layer(PAIR).unwrap(), layer(PAIR).unwrap());
    }

    #[test]
    fn layer_that_would_delay_every_start_is_refused() {
        // Noise, which no method compresses.
        let mut state = 1_u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as u8
        })
        .take(MOST_BYTES + 1)
        .collect();

        let error = layer(Pair { cli: &noise, sensor: b"" }).unwrap_err();

        assert!(matches!(&error, Error::Refused(why) if why.contains("cargo xtask dist")), "{error}");
    }

    #[test]
    fn places_in_the_sandbox_are_those_in_the_zip() {
        let archive = zip::ZipArchive::new(Cursor::new(layer(PAIR).unwrap())).unwrap();

        for path in [SENSOR, WRAPPER] {
            assert!(archive.index_for_name(path.strip_prefix("/opt/").unwrap()).is_some(), "{path}");
        }
    }
}
