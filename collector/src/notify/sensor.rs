//! The sensor of a container, known by its file: what lies at a path there, the container decides.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::mapped;
use super::modules::Trusted;
use crate::ids::FileId;

/// The sensor of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sensor {
    /// Its path in the container.
    path: PathBuf,
    /// Its file as /proc/PID/maps shows it; unknown where nothing is taken for it.
    file: FileId,
}

impl Sensor {
    /// The sensor that the container has at `path`, whose `file` is here.
    pub fn of(path: PathBuf, file: &Path) -> Self {
        let file = File::open(file).ok().and_then(|file| mapped::shown(&file));
        Self { path, file: file.unwrap_or_default() }
    }

    /// What it is known by, for a process that comes later.
    pub fn noted(&self) -> String {
        format!("{} {}", self.file.device, self.file.inode)
    }

    /// The sensor of that note; of no process where it is none.
    pub fn of_note(path: PathBuf, note: &str) -> Self {
        let file = note.split_once(' ').and_then(|(device, inode)| {
            Some(FileId { device: device.parse().ok()?, inode: inode.parse().ok()? })
        });
        Self { path, file: file.unwrap_or_default() }
    }

    /// What processes of the container have mapped, whatever their roots are.
    pub fn trusted(self) -> Trusted {
        let Self { path, file } = self;
        Trusted {
            sensors: vec![path],
            sensor_file: Some(file),
            is_libc_asked_about: true,
            ..Trusted::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sensor_that_is_noted_is_known_again() {
        let sensor = Sensor::of("/s".into(), Path::new("/proc/self/exe"));

        assert!(sensor.file.is_known(), "{sensor:?}");
        assert_eq!(sensor, Sensor::of_note("/s".into(), &sensor.noted()));
        assert_eq!(Sensor { path: "/s".into(), ..Sensor::default() }, Sensor::of_note("/s".into(), "7"));
    }
}
