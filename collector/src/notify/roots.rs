//! The files whose calls are told by hooks, or are libc's own: of this system, or of a container's root.

use std::collections::HashMap;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::libraries;
use super::modules::Trusted;
use crate::system::places::find_inside;
use crate::system::procfs;

/// Roots that are known at once: those of a container, and of what changes its root in it.
const MOST_ROOTS: usize = 64;

/// The trusted files of the processes that a supervisor hears of.
#[derive(Debug)]
pub enum Trusting {
    /// All have the same ones.
    Here(Arc<Trusted>),
    /// Each has those of its own root.
    Inside(Roots),
}

/// Roots by the mount namespace, and the root's device and inode.
#[derive(Debug)]
pub struct Roots {
    /// The sensor's path in the container.
    sensor: PathBuf,
    known: HashMap<(u64, u64, u64), Arc<Trusted>>,
}

impl Trusting {
    /// Those of the roots of a container, in which the sensor is at this path.
    pub fn inside(sensor: PathBuf) -> Self {
        Self::Inside(Roots { sensor, known: HashMap::new() })
    }

    /// Whether the processes have a root of their own, of which the filter knows nothing.
    pub fn is_inside(&self) -> bool {
        matches!(self, Self::Inside(_))
    }

    /// Those of a process.
    pub fn of(&mut self, process: u32) -> Arc<Trusted> {
        match self {
            Self::Here(trusted) => Arc::clone(trusted),
            Self::Inside(roots) => roots.of(process),
        }
    }
}

impl Roots {
    fn of(&mut self, process: u32) -> Arc<Trusted> {
        let root = PathBuf::from(format!("/proc/{process}/root"));
        let inode = |path: &Path| std::fs::metadata(path).ok().map(|about| (about.dev(), about.ino()));
        let mounts = inode(Path::new(&format!("/proc/{process}/ns/mnt")));
        let Some(((dev, ino), (_, mounts))) = inode(&root).zip(mounts) else { return Arc::default() };
        if self.known.len() >= MOST_ROOTS {
            self.known.clear();
        }
        let found = self.known.entry((mounts, dev, ino));
        Arc::clone(found.or_insert_with(|| Arc::new(trusted(&root, &self.sensor))))
    }
}

/// The paths as /proc/PID/maps shows them here: that of a file of another mount namespace begins at the root
/// of that namespace.
fn trusted(root: &Path, sensor: &Path) -> Trusted {
    let shown = |path: &Path| {
        let found = find_inside(root, path).ok()?;
        let shown = procfs::behind(&format!("/proc/self/fd/{}", found.as_raw_fd()))?;
        Some(PathBuf::from(std::ffi::OsString::from_vec(shown)))
    };
    let mut libraries: Vec<PathBuf> = libraries::named().filter_map(|path| shown(&path)).collect();
    libraries.sort_unstable();
    libraries.dedup();
    Trusted { libraries, sensors: shown(sensor).into_iter().collect(), is_libc_asked_about: false }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn files_of_a_root_are_found_behind_their_links_and_never_the_hosts() {
        let dir = std::env::temp_dir().join(format!("glassbox-test-{}-roots", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        for folder in ["usr/lib/x86_64-linux-gnu", "dev/.glassbox", "lib64"] {
            std::fs::create_dir_all(dir.join(folder)).unwrap();
        }
        let libc = dir.join("usr/lib/x86_64-linux-gnu/libc-2.31.so");
        let sensor = dir.join("dev/.glassbox/libglassbox.so");
        std::fs::write(&libc, "").unwrap();
        std::fs::write(&sensor, "").unwrap();
        symlink("usr/lib", dir.join("lib")).unwrap();
        symlink("libc-2.31.so", libc.with_file_name("libc.so.6")).unwrap();
        symlink("/etc/passwd", dir.join("lib64/libc.so.6")).unwrap();
        symlink("/proc/self/exe", dir.join("lib64/ld-linux-x86-64.so.2")).unwrap();

        let found = trusted(&dir, Path::new("/dev/.glassbox/libglassbox.so"));

        let dir = dir.canonicalize().unwrap();
        assert_eq!(vec![dir.join("usr/lib/x86_64-linux-gnu/libc-2.31.so")], found.libraries);
        assert_eq!(vec![dir.join("dev/.glassbox/libglassbox.so")], found.sensors);
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn this_process_has_the_libc_that_it_runs_with() {
        let mut trusting = Trusting::inside("/no/such/sensor".into());

        let found = trusting.of(std::process::id());

        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let is_mapped = |path: &PathBuf| maps.lines().any(|line| line.ends_with(path.to_str().unwrap()));
        assert!(found.libraries.iter().any(is_mapped), "{found:?}");
        assert!(found.sensors.is_empty() && trusting.of(u32::MAX / 2).libraries.is_empty());
    }
}
