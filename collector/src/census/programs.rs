//! Executables of programs that were gone before /proc could be asked.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustc_hash::FxHashMap;
use wire::events::ProcessStart;

/// The file that was executed, or for a script its interpreter, by the path that was executed: short-lived
/// programs run again and again.
#[derive(Debug, Default)]
pub struct Programs(FxHashMap<PathBuf, (FileKey, PathBuf)>);

/// A file's device, inode and time of change: another key behind the same path is another program.
type FileKey = (u64, u64, i64, i64);

/// The kernel follows a script's interpreter a few times (execve(2), "Interpreter scripts").
const MOST_INTERPRETERS: usize = 5;

impl Programs {
    const MOST: usize = 1024;

    /// The executable of the image that `start` tells of.
    pub fn executable_of(&mut self, start: &ProcessStart<'_>) -> Option<Vec<u8>> {
        let path = Path::new(OsStr::from_bytes(start.cwd)).join(OsStr::from_bytes(start.path.raw?));
        let metadata = std::fs::metadata(&path).ok()?;
        let key = (metadata.dev(), metadata.ino(), metadata.ctime(), metadata.ctime_nsec());
        if let Some((known, executable)) = self.0.get(&path)
            && *known == key
        {
            return Some(executable.as_os_str().as_bytes().to_vec());
        }
        let mut executable = std::fs::canonicalize(&path).ok()?;
        for _ in 0..MOST_INTERPRETERS {
            let Some(next) = interpreter_of(&executable) else { break };
            executable = std::fs::canonicalize(next).ok()?;
        }
        if self.0.len() >= Self::MOST {
            self.0.clear();
        }
        self.0.insert(path, (key, executable.clone()));
        Some(executable.into_os_string().into_vec())
    }
}

/// The interpreter that a script names; `None` for a file that is no script.
fn interpreter_of(path: &Path) -> Option<PathBuf> {
    let mut line = [0; 256];
    // Not a device or a pipe, which would be read without end, or wait.
    let len = match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => {
            File::open(path).and_then(|mut file| file.read(&mut line)).ok()?
        }
        _ => return None,
    };
    let line = line.get(..len)?.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let mut words = line.split(|byte| byte.is_ascii_whitespace()).filter(|word| !word.is_empty());
    Some(PathBuf::from(OsStr::from_bytes(words.next()?)))
}
