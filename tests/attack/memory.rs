//! The limit of the collector's memory: a cgroup where this machine lets one be made, else RLIMIT_AS.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The limit that `glassbox patch k8s` gives, in MiB.
pub const LIMIT_MIB: u64 = 128;
/// Address space where there is no cgroup: rings are mapped whole, so it says little of memory.
const ADDRESS_SPACE: u64 = 4 << 30;

/// Where cgroups with memory are made, and the file of the limit: version 1, version 2.
const PLACES: [(&str, &str); 2] =
    [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")];

/// A limit for one collector; dropping it removes the cgroup.
pub struct Limit {
    group: Option<PathBuf>,
}

impl Limit {
    /// A limit of [`LIMIT_MIB`].
    pub fn new(number: usize) -> Limit {
        let name = format!("glassbox-attack-{}-{number}", std::process::id());
        let made = PLACES.iter().find_map(|(root, file)| {
            let group = Path::new(root).join(&name);
            fs::create_dir(&group).ok()?;
            match fs::write(group.join(file), (LIMIT_MIB << 20).to_string()) {
                Ok(()) => Some(group),
                Err(_) => fs::remove_dir(&group).ok().and(None),
            }
        });
        Limit { group: made }
    }

    /// Its kind, in words.
    pub fn kind(&self) -> String {
        match &self.group {
            Some(group) => format!("cgroup {} of {LIMIT_MIB} MiB", group.display()),
            None => format!("RLIMIT_AS of {} MiB: no memory cgroup can be made here", ADDRESS_SPACE >> 20),
        }
    }

    /// Puts a command that is about to start under the limit.
    pub fn apply(&self, command: &mut Command) -> io::Result<()> {
        let file = match &self.group {
            Some(group) => Some(File::options().write(true).open(group.join("cgroup.procs"))?),
            None => None,
        };
        // SAFETY: write and setrlimit are async-signal-safe; nothing is allocated between fork and exec.
        unsafe {
            command.pre_exec(move || match &file {
                Some(file) => (&mut &*file).write_all(b"0"),
                None => {
                    let limit = libc::rlimit { rlim_cur: ADDRESS_SPACE, rlim_max: ADDRESS_SPACE };
                    match libc::setrlimit(libc::RLIMIT_AS, &raw const limit) {
                        0 => Ok(()),
                        _ => Err(io::Error::last_os_error()),
                    }
                }
            })
        };
        Ok(())
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        // The kernel may count the ended process for a moment yet.
        for _ in 0..100 {
            if self.group.as_ref().is_none_or(|group| fs::remove_dir(group).is_ok()) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}
