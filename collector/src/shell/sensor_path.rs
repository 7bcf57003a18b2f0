//! Finds the sensor, `libglassbox.so`: beside the executable, in `../lib/glassbox/`, or where `GLASSBOX_LIB`
//! says.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::settings::keys::{Layers, Reader, SENSOR};
use crate::shell::failure::Failure;
use crate::system::places::changeable;
use crate::system::procfs;

const FILE: &str = "libglassbox.so";

/// The absolute path of the sensor, fit for `LD_PRELOAD`.
pub fn find() -> Result<PathBuf, Failure> {
    let setting = Layers::of_process(Reader::Every).setting(&SENSOR);
    find_from(executable().as_deref(), setting.values.first().cloned())
}

/// The absolute path of the engine that `--inline` names.
pub fn engine(given: &Path) -> Result<PathBuf, Failure> {
    let path = std::path::absolute(given).unwrap_or_default();
    if path.is_file() {
        return Ok(path);
    }
    Err(Failure::missing(format!(
        "cannot find the inline engine '{}'; build it as docs/inline.md says, or leave --inline out",
        given.display()
    )))
}

/// This executable's path; without /proc, the name it was started by.
pub fn executable() -> Option<PathBuf> {
    std::env::current_exe().ok().or_else(|| {
        let name = PathBuf::from(std::env::args_os().next()?);
        // A bare name was found through PATH and does not say where.
        name.as_os_str().as_bytes().contains(&b'/').then(|| std::path::absolute(name).ok()).flatten()
    })
}

fn find_from(executable: Option<&Path>, from_environment: Option<OsString>) -> Result<PathBuf, Failure> {
    let mut candidates: Vec<PathBuf> = Vec::new();
    if let Some(directory) = executable.and_then(Path::parent) {
        candidates.push(directory.join(FILE));
        if let Some(prefix) = directory.parent() {
            candidates.push(prefix.join("lib/glassbox").join(FILE));
        }
    }
    if let Some(path) = from_environment.filter(|path| !path.is_empty()) {
        let path = std::path::absolute(path).unwrap_or_default();
        candidates.push(if path.is_dir() { path.join(FILE) } else { path });
    }
    let Some(found) = candidates.iter().find(|path| path.is_file()) else {
        let looked: Vec<String> = candidates.iter().map(|path| format!("'{}'", path.display())).collect();
        return Err(Failure::missing(format!(
            "cannot find the sensor {FILE} (looked for {}); put it beside glassbox, or set GLASSBOX_LIB to its path",
            looked.join(", ")
        )));
    };
    // Root's programs load it. Whoever may change glassbox itself could do the same without it.
    let builder = executable.and_then(|path| std::fs::metadata(path).ok()).map_or(0, |found| found.uid());
    if rustix::process::geteuid().is_root()
        && procfs::numbers_are_users()
        && let Some(part) = changeable(found, builder)
    {
        return Err(Failure::missing(format!(
            "cannot preload '{}' as root: another user may change '{}'; put glassbox and {FILE} where only root writes",
            found.display(),
            part.display()
        )));
    }
    // The loader splits LD_PRELOAD at these and has no way to quote them (ld.so(8)).
    if found.as_os_str().as_bytes().iter().any(|byte| matches!(byte, b':' | b' ')) {
        return Err(Failure::missing(format!(
            "cannot preload '{}': a path in LD_PRELOAD must have no space or colon; copy {FILE} elsewhere and \
             set GLASSBOX_LIB to it",
            found.display()
        )));
    }
    Ok(found.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A fresh directory that is removed at the end.
    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("glassbox-test-{}-{name}", std::process::id()));
            std::fs::create_dir_all(path.join("bin")).unwrap();
            Self(path)
        }

        fn file(&self, name: &str) -> PathBuf {
            let path = self.0.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "").unwrap();
            path
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn beside_the_executable_comes_first_then_lib_then_the_environment() {
        let root = Directory::new("order");
        let executable = root.0.join("bin/glassbox");
        let elsewhere = root.file("elsewhere.so");
        let find = || find_from(Some(&executable), Some(elsewhere.clone().into())).unwrap();

        let by_environment = find();
        let lib = root.file("lib/glassbox/libglassbox.so");
        let by_prefix = find();
        let beside = root.file("bin/libglassbox.so");
        let by_side = find();

        assert_eq!([elsewhere, lib, beside], [by_environment, by_prefix, by_side]);
    }

    #[test]
    fn missing_sensor_says_where_it_looked_and_what_to_do() {
        let failure = find_from(Some(Path::new("/nowhere/bin/glassbox")), None).unwrap_err();

        assert_eq!(66, failure.status());
        assert_eq!(
            "cannot find the sensor libglassbox.so (looked for '/nowhere/bin/libglassbox.so', \
             '/nowhere/lib/glassbox/libglassbox.so'); put it beside glassbox, or set GLASSBOX_LIB to its path",
            failure.to_string()
        );
    }

    #[test]
    fn path_that_the_loader_would_split_is_refused() {
        let root = Directory::new("a b");
        let sensor = root.file("libglassbox.so");

        assert_eq!(66, find_from(None, Some(sensor.into())).unwrap_err().status());
    }
}
