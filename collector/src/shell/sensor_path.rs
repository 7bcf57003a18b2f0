//! Finds the sensor, `libglassbox.so`: beside the executable, in `../lib/glassbox/`, or where `GLASSBOX_LIB`
//! says.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::shell::failure::Failure;
use crate::system::files::{self, On};
use crate::system::places::{changeable, is_for_all, read_whole};
use crate::system::procfs;

/// The sensor's file name.
pub const FILE: &str = "libglassbox.so";
/// A sensor has some 250 KiB, with its symbols a few times as many.
const MOST_BYTES: u64 = 64 << 20;

/// The absolute path of the sensor, fit for `LD_PRELOAD`; at last it is looked for at `given`.
pub fn find(given: Option<OsString>) -> Result<PathBuf, Failure> {
    let executable = executable();
    let found = look(executable.as_deref(), given)?;
    fault(&found, executable.as_deref()).map_or(Ok(found), Err)
}

/// The sensor for the programs of one `run`, which can put a copy elsewhere for as long as it lasts.
#[derive(Debug)]
pub struct ForRun {
    /// The absolute path.
    pub path: PathBuf,
    /// What a copy must hold, where not every program can load the sensor from this path.
    pub copy: Option<Vec<u8>>,
    /// Why nothing may be loaded from this path at all.
    fault: Option<Failure>,
}

impl ForRun {
    /// Finds it, at last at `given`. Fails where it is not there, or can be neither loaded nor copied.
    pub fn find(given: Option<OsString>) -> Result<Self, Failure> {
        let executable = executable();
        let path = look(executable.as_deref(), given)?;
        let fault = fault(&path, executable.as_deref());
        let is_root = rustix::process::geteuid().is_root();
        // Programs of root's may become another user's. Those of others stay who they are.
        let must_copy = fault.is_some() || is_root && !is_for_all(&path);
        let copy = must_copy.then(|| read_own(&path, builder(executable.as_deref()))).flatten();
        match (fault, copy) {
            (Some(fault), None) => Err(fault),
            (fault, copy) => Ok(Self { path, copy, fault }),
        }
    }

    /// The path to preload: the copy's if one was made.
    pub fn preloaded(self, copied: Option<PathBuf>) -> Result<PathBuf, Failure> {
        match (copied, self.fault) {
            (None, Some(fault)) => Err(fault),
            (copied, _) => Ok(copied.unwrap_or(self.path)),
        }
    }
}

/// The name of a section that only a sensor has.
const MARK: &[u8] = b"glassbox_hooks";

/// The bytes of a sensor that nobody but root, this user and `builder` can have written, whatever the folders
/// are like that lead to it: a link there may lead to any other file of theirs.
fn read_own(path: &Path, builder: u32) -> Option<Vec<u8>> {
    let file: File = files::open_regular(path, On::Local).ok()?;
    let found: Metadata = file.metadata().ok()?;
    let trusted = [0, rustix::process::geteuid().as_raw(), builder];
    let is_own = trusted.contains(&found.uid()) && found.mode() & 0o022 == 0;
    let bytes = if is_own { read_whole(file, MOST_BYTES)? } else { return None };
    bytes.windows(MARK.len()).any(|window| window == MARK).then_some(bytes)
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

fn look(executable: Option<&Path>, from_environment: Option<OsString>) -> Result<PathBuf, Failure> {
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
    Ok(found.clone())
}

/// Who owns this executable: whoever may change glassbox itself could do the same without the sensor.
fn builder(executable: Option<&Path>) -> u32 {
    executable.and_then(|path| std::fs::metadata(path).ok()).map_or(0, |found| found.uid())
}

/// Why the sensor cannot be loaded from where it is.
fn fault(found: &Path, executable: Option<&Path>) -> Option<Failure> {
    // Root's programs load it; in a patched pod, whose folder every user may write to, they would without
    // this program too.
    if rustix::process::geteuid().is_root()
        && procfs::numbers_are_users()
        && !is_named(found, std::env::var_os("LD_PRELOAD").as_deref())
        && let Some(part) = changeable(found, builder(executable))
    {
        return Some(Failure::missing(format!(
            "cannot preload '{}' as root: another user may change '{}'; put glassbox and {FILE} where only root writes",
            found.display(),
            part.display()
        )));
    }
    // The loader splits LD_PRELOAD at these and has no way to quote them (ld.so(8)).
    let is_split = found.as_os_str().as_bytes().iter().any(|byte| matches!(byte, b':' | b' '));
    is_split.then(|| {
        Failure::missing(format!(
            "cannot preload '{}': a path in LD_PRELOAD must have no space or colon; copy {FILE} elsewhere and \
             set GLASSBOX_LIB to it",
            found.display()
        ))
    })
}

/// Whether a value of `LD_PRELOAD` names the sensor.
fn is_named(sensor: &Path, preload: Option<&OsStr>) -> bool {
    let mut names = preload.unwrap_or_default().as_bytes().split(|byte| matches!(byte, b':' | b' '));
    names.any(|name| name == sensor.as_os_str().as_bytes())
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
            std::fs::write(&path, [b"\x7fELF", MARK].concat()).unwrap();
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
        let find = || look(Some(&executable), Some(elsewhere.clone().into())).unwrap();

        let by_environment = find();
        let lib = root.file("lib/glassbox/libglassbox.so");
        let by_prefix = find();
        let beside = root.file("bin/libglassbox.so");
        let by_side = find();

        assert_eq!([elsewhere, lib, beside], [by_environment, by_prefix, by_side]);
    }

    #[test]
    fn missing_sensor_says_where_it_looked_and_what_to_do() {
        let failure = look(Some(Path::new("/nowhere/bin/glassbox")), None).unwrap_err();

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

        assert_eq!(Some(66), fault(&sensor, None).map(|fault| fault.status()));
    }

    #[test]
    fn what_is_preloaded_already_is_known_by_its_whole_name() {
        let is_named = |value: &str| is_named(Path::new("/g/x.so"), Some(OsStr::new(value)));

        let values = ["/g/x.so", "/a.so /g/x.so", "/a.so:/g/x.so", "", "/g/x.so.1", "/a/g/x.so"];
        assert_eq!([true, true, true, false, false, false], values.map(is_named));
    }

    #[test]
    fn a_file_that_others_may_write_is_not_copied() {
        let root = Directory::new("copied");
        let sensor = root.file("libglassbox.so");
        let copied = |mode| {
            std::fs::set_permissions(&sensor, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
            read_own(&sensor, 0).is_some()
        };

        assert_eq!([true, false, false], [0o644, 0o646, 0o664].map(copied));
    }

    #[test]
    fn only_a_sensor_is_copied() {
        let root = Directory::new("other");
        let sensor = root.file("libglassbox.so");
        let [library, link, folder] = ["library.so", "link.so", "folder"].map(|name| root.0.join(name));
        std::fs::write(&library, b"\x7fELF, and nothing of ours").unwrap();
        std::os::unix::fs::symlink(&library, &link).unwrap();
        std::fs::create_dir(&folder).unwrap();

        let copied = [&sensor, &library, &link, &folder].map(|path| read_own(path, 0).is_some());

        assert_eq!([true, false, false, false], copied);
    }

    #[test]
    fn what_cannot_be_loaded_from_its_place_needs_its_copy() {
        let refused = || Failure::missing("split".to_owned());
        let of = |fault, copied| {
            let found = ForRun { path: PathBuf::from("/a b/x.so"), copy: None, fault };
            found.preloaded(copied).map_err(|failure| failure.status())
        };

        assert_eq!(Err(66), of(Some(refused()), None));
        assert_eq!(Ok(PathBuf::from("/run/x.so")), of(Some(refused()), Some("/run/x.so".into())));
        assert_eq!(Ok(PathBuf::from("/a b/x.so")), of(None, None));
    }
}
