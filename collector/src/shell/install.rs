//! `glassbox install`: copies the sensor, and the command line where that is asked for, out of the container
//! image, which has no other program, for an init container.

use std::fs;
use std::path::Path;

use crate::settings;
use crate::shell::failure::Failure;
use crate::shell::{files, sensor_path};

/// Puts the sensor into a folder, where every user can read it, and this program where every user can execute
/// it. A reader sees each whole file or none.
pub fn install(folder: &Path, with_command: bool) -> Result<(), Failure> {
    let sensor = sensor_path::find(settings::sensor()?)?;
    if !folder.is_dir() {
        let what =
            format!("cannot install into '{}': it is no folder; give one that exists", folder.display());
        return Err(Failure::output(what));
    }
    copy(&sensor, "sensor", folder, 0o644)?;
    match sensor_path::executable() {
        Some(program) if with_command => copy(&program, "program", folder, 0o755),
        None if with_command => {
            Err(Failure::missing("cannot find this very program; mount /proc, or call it by its path"))
        }
        _ => Ok(()),
    }
}

fn copy(from: &Path, what: &str, folder: &Path, mode: u32) -> Result<(), Failure> {
    let bytes = fs::read(from).map_err(|error| {
        Failure::missing(format!("cannot read the {what} '{}': {error}; install it again", from.display()))
    })?;
    // Renamed over the old file: programs that have that mapped keep it.
    files::put(&folder.join(from.file_name().unwrap_or_default()), &bytes, mode)
}
