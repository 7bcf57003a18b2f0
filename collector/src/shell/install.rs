//! `glassbox install`: copies the sensor out of the container image, which has no other program, for an init
//! container.

use std::fs;
use std::path::Path;

use crate::settings;
use crate::shell::failure::Failure;
use crate::shell::{files, sensor_path};

/// Puts the sensor into a folder, where every user can read it. A reader sees the whole file or none.
pub fn install(folder: &Path) -> Result<(), Failure> {
    let sensor = sensor_path::find(settings::sensor()?)?;
    let bytes = fs::read(&sensor).map_err(|error| {
        Failure::missing(format!("cannot read the sensor '{}': {error}; install it again", sensor.display()))
    })?;
    if !folder.is_dir() {
        let what =
            format!("cannot install into '{}': it is no folder; give one that exists", folder.display());
        return Err(Failure::output(what));
    }
    // Renamed over the old file: programs that have that mapped keep it.
    let target = folder.join(sensor.file_name().unwrap_or_default());
    files::put(&target, &bytes, 0o644)
}
