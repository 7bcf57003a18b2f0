//! `glassbox config`: what is wrong with a configuration file, which settings hold, and the schema of such
//! files.

use std::io::{self, Read, Write};
use std::path::Path;

use super::file::{self, Configuration};
use super::layers::Layers;
use super::{schema, show};
use crate::shell::failure::Failure;

/// Writes every problem of a file as `file:line:column: …`. Fails with status 65 if there is one, 66 if the
/// file cannot be read.
pub fn check(path: &Path, out: &mut impl Write) -> Result<(), Failure> {
    let count = match checked(path)? {
        (_, Ok(configuration)) => {
            let count = configuration.values.len();
            let noun = if count == 1 { "setting" } else { "settings" };
            return writeln!(out, "{count} {noun}, all understood").map_err(unwritten);
        }
        (_, Err(problems)) => {
            for problem in &problems {
                writeln!(out, "{problem}").map_err(unwritten)?;
            }
            problems.len()
        }
    };
    let noun = if count == 1 { "problem" } else { "problems" };
    Err(Failure::malformed(format!("{count} {noun} in the configuration; each is named above")))
}

/// What came of reading a file.
type Checked = Result<Configuration, Vec<file::Problem>>;

/// The text of a file, and what comes of reading it. Fails with status 66 where there is none.
fn checked(path: &Path) -> Result<(Vec<u8>, Checked), Failure> {
    if path == Path::new("-") {
        let mut text = Vec::new();
        io::stdin().lock().take(file::LONGEST as u64 + 1).read_to_end(&mut text).map_err(|error| {
            Failure::missing(format!("cannot read the configuration from stdin: {error}; give a file"))
        })?;
        let read = file::read(&text, "stdin", None);
        return Ok((text, read));
    }
    let text = file::read_file(path, "check the path")?;
    let read = file::read(&text, &path.display().to_string(), Some(&file::folder(path)));
    Ok((text, read))
}

/// The text of a file that nothing is wrong with, and what it sets. Fails with status 65 and the first
/// problem, or 66.
pub fn usable(path: &Path) -> Result<(Vec<u8>, Configuration), Failure> {
    let (text, read) = checked(path)?;
    read.map(|configuration| (text, configuration)).map_err(file::failure)
}

/// Writes what the layers hold, as a configuration file.
pub fn show(layers: &Layers, out: &mut impl Write) -> Result<(), Failure> {
    out.write_all(show::page(layers).as_bytes()).map_err(unwritten)
}

/// Writes the JSON schema of configuration files.
pub fn schema(out: &mut impl Write) -> Result<(), Failure> {
    out.write_all(schema::text().as_bytes()).map_err(unwritten)
}

fn unwritten(error: io::Error) -> Failure {
    Failure::output(format!("cannot write to stdout: {error}; send it elsewhere"))
}

/// Reads any bytes as a file. What that sets, shown and read again, is the same, but for masked secrets.
#[cfg(fuzzing)]
pub fn fuzz(bytes: &[u8]) {
    let Ok(configuration) = file::read(bytes, "f.yaml", None) else { return };
    let mut layers = Layers::default();
    layers.configuration = Some(configuration);
    let page = show::page(&layers);
    if page.contains("[redacted]") {
        return;
    }
    let Ok(again) = file::read(page.as_bytes(), "f.yaml", None) else {
        panic!("it is not read again:\n{page}")
    };
    for key in super::keys::KEYS {
        let values = again.values.get(key.name).map(|found| found.values.clone()).unwrap_or_default();
        assert_eq!(layers.setting(key).values, values, "{page}");
    }
}
