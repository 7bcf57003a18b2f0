//! Executables of programs that were gone before /proc could be asked.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustc_hash::FxHashMap;
use wire::events::ProcessStart;

use crate::allowance::Account;
use crate::ids::MonoNs;
use crate::system::examiner::Examiner;
use crate::system::files::{self, On};

/// The file that was executed, or for a script its interpreter, by the path that was executed: short-lived
/// programs run again and again.
#[derive(Debug, Default)]
pub struct Programs(FxHashMap<PathBuf, (MonoNs, Vec<u8>)>);

/// Another file may stand behind a path after this time.
const FRESH_NS: u64 = 1_000_000_000;
/// Paths that are remembered.
const MOST: usize = 512;
/// No kernel takes a path of more bytes at once (PATH_MAX).
const MOST_PATH: usize = 4096;
/// The kernel follows a script's interpreter a few times (execve(2), "Interpreter scripts").
const MOST_INTERPRETERS: usize = 5;

impl Programs {
    /// The executable of the image that `start` tells of; asked of the file system
    /// for the sake of `account`.
    pub fn executable_of(
        &mut self,
        start: &ProcessStart<'_>,
        now: MonoNs,
        account: &Account,
        examiner: &mut Examiner,
    ) -> Option<Vec<u8>> {
        let path = Path::new(OsStr::from_bytes(start.cwd)).join(OsStr::from_bytes(start.path.raw?));
        if path.as_os_str().len() > MOST_PATH {
            return None;
        }
        if let Some((asked, executable)) = self.0.get(&path)
            && now.since(*asked) < FRESH_NS
        {
            return Some(executable.clone());
        }
        // Only what was found is remembered: what this account may not ask now, another one may.
        let executable = executable_at_once(&path).or_else(|| {
            let looked_at = path.clone();
            examiner.ask(account, move || executable_at(&looked_at)).flatten()
        })?;
        if self.0.len() >= MOST {
            self.0.clear();
        }
        self.0.insert(path, (now, executable.clone()));
        Some(executable)
    }
}

fn executable_at(path: &Path) -> Option<Vec<u8>> {
    let mut executable = std::fs::canonicalize(path).ok()?;
    for _ in 0..MOST_INTERPRETERS {
        let Some(next) = interpreter_of(&executable) else { break };
        executable = std::fs::canonicalize(next).ok()?;
    }
    Some(executable.into_os_string().into_vec())
}

/// The interpreter that a script names; `None` for a file that is no script.
fn interpreter_of(path: &Path) -> Option<PathBuf> {
    interpreter_in(files::open_regular(path, On::Local).ok()?)
}

fn interpreter_in(mut file: File) -> Option<PathBuf> {
    let mut line = [0; 256];
    let len = file.read(&mut line).ok()?;
    let line = line.get(..len)?.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let mut words = line.split(|byte| byte.is_ascii_whitespace()).filter(|word| !word.is_empty());
    Some(PathBuf::from(OsStr::from_bytes(words.next()?)))
}

/// As [`executable_at`], without waiting for any file system: `None` where that cannot be. A program that was
/// just executed has its path in the kernel's cache, so this is the rule.
fn executable_at_once(path: &Path) -> Option<Vec<u8>> {
    let mut path = path.to_owned();
    for _ in 0..=MOST_INTERPRETERS {
        let place = files::look_up_at_once(&path)?;
        match interpreter_in(files::open_at_once(&place)?) {
            Some(next) => path = next,
            None => return files::path_of(&place),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use wire::fields::{AT_FDCWD, Args, Environment, Hidden};

    use super::*;

    fn start(path: &[u8]) -> ProcessStart<'_> {
        ProcessStart {
            path: wire::fields::Path { dir: AT_FDCWD, raw: Some(path) },
            argv: Args::Packed(b"x\0"),
            cwd: b"/",
            gid: 0,
            egid: 0,
            env: Environment(Args::NONE),
            image: Hidden(b""),
            real_uid: Hidden(0),
            effective_uid: Hidden(0),
            parent: Hidden(1),
        }
    }

    #[test]
    fn only_what_was_found_is_remembered_and_no_path_that_no_kernel_takes() {
        let (mut programs, mut examiner) = (Programs::default(), Examiner::default());
        let account = Account::boundless();
        let long = [b"/".as_slice(), &b"x".repeat(60_000)].concat();

        let found = [b"/bin/true".as_slice(), b"/nonexistent", &long].map(|path| {
            programs.executable_of(&start(path), MonoNs::now(), &account, &mut examiner).is_some()
        });

        assert_eq!(([true, false, false], 1), (found, programs.0.len()));
    }
}
