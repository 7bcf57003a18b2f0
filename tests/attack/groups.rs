//! Control groups of the harness's own: one that limits the collector's memory, and one that makes an
//! attacker of root another container's.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The limit that `glassbox patch k8s` gives, in MiB.
pub const LIMIT_MIB: u64 = 128;
/// The limit of private memory where there is no cgroup, in bytes: twice as much, since memory counts that
/// was asked for and never touched. Not RLIMIT_AS, for which the rings of others count, which are mapped
/// whole.
const DATA_LIMIT: u64 = LIMIT_MIB << 21;

/// Where cgroups with memory are made, and the file of the limit: version 1, version 2.
const WITH_MEMORY: [(&str, &str); 2] =
    [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")];

/// Where cgroups of version 2 are made, by which the kernel tells one container from another: beside those of
/// version 1, or alone.
const UNIFIED: [&str; 2] = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"];

/// A cgroup; dropping it removes it, once its processes are gone.
struct Group(PathBuf);

impl Group {
    fn new(root: &str, what: &str, number: usize) -> io::Result<Group> {
        let path = Path::new(root).join(format!("glassbox-{what}-{}-{number}", std::process::id()));
        fs::create_dir(&path)?;
        let group = Group(path);
        // A plain folder can be made too where no cgroups are mounted.
        fs::metadata(group.0.join("cgroup.procs"))?;
        Ok(group)
    }

    /// Puts a command that is about to start into it.
    fn apply(&self, command: &mut Command) -> io::Result<()> {
        let file = File::options().write(true).open(self.0.join("cgroup.procs"))?;
        // SAFETY: write is async-signal-safe, and nothing is allocated between fork and exec.
        unsafe { command.pre_exec(move || (&file).write_all(b"0")) };
        Ok(())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The kernel may count an ended process for a moment yet.
        for _ in 0..100 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// A limit of the memory of one collector.
pub struct Limit(Option<Group>);

impl Limit {
    /// A limit of [`LIMIT_MIB`].
    pub fn new(number: usize) -> Limit {
        Limit(WITH_MEMORY.iter().find_map(|(root, file)| {
            let group = Group::new(root, "collector", number).ok()?;
            let limit = (LIMIT_MIB << 20).to_string();
            // Opened, not made: where there is no such file, the group has no memory.
            let written = File::options().write(true).open(group.0.join(file));
            written.and_then(|mut file| file.write_all(limit.as_bytes())).ok().map(|()| group)
        }))
    }

    /// Its kind, in words.
    pub fn kind(&self) -> String {
        match &self.0 {
            Some(Group(path)) => format!("cgroup {} of {LIMIT_MIB} MiB", path.display()),
            None => format!("RLIMIT_DATA of {} MiB: no memory cgroup can be made here", DATA_LIMIT >> 20),
        }
    }

    /// Puts a command that is about to start under the limit.
    pub fn apply(&self, command: &mut Command) -> io::Result<()> {
        if let Some(group) = &self.0 {
            return group.apply(command);
        }
        let limit = libc::rlimit { rlim_cur: DATA_LIMIT, rlim_max: DATA_LIMIT };
        // SAFETY: setrlimit is async-signal-safe, and nothing is allocated between fork and exec.
        unsafe {
            command.pre_exec(move || match libc::setrlimit(libc::RLIMIT_DATA, &raw const limit) {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            })
        };
        Ok(())
    }
}

/// Another container, as far as the kernel tells containers apart.
pub struct Container(Group);

impl Container {
    /// A new one. An error says what this machine lacks.
    pub fn new(number: usize) -> Result<Container, String> {
        let made = UNIFIED.iter().find_map(|root| Group::new(root, "attacker", number).ok());
        made.map(Container).ok_or_else(|| "no cgroup of version 2 can be made here".to_owned())
    }

    /// Puts a command that is about to start into it.
    pub fn apply(&self, command: &mut Command) -> io::Result<()> {
        self.0.apply(command)
    }
}
