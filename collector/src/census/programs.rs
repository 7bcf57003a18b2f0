//! Executables of programs that were gone before /proc could be asked.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustc_hash::FxHashMap;
use wire::events::ProcessStart;

use crate::allowance::Account;
use crate::enrich::paths;
use crate::ids::{FileId, MonoNs};
use crate::system::examiner::Examiner;
use crate::system::files;

/// The path of a file without symbolic links, by the path that was executed and the file that the process
/// says it is: short-lived programs run again and again.
#[derive(Debug, Default)]
pub struct Programs(FxHashMap<(PathBuf, FileId), (MonoNs, Vec<u8>)>);

/// The file may have another name after this time.
const FRESH_NS: u64 = 1_000_000_000;
/// Paths that are remembered.
const MOST: usize = 512;
/// No kernel takes a path of more bytes at once (PATH_MAX).
const MOST_PATH: usize = 4096;

impl Programs {
    /// The executable of the image that `start` tells of, which says that it is `file`.
    ///
    /// The path that was executed is looked up among this process's own files, for the sake of `account`. In
    /// another mount namespace, or for another root, it leads to another file or to none: then it is told as
    /// it was executed.
    pub fn executable_of(
        &mut self,
        start: &ProcessStart<'_>,
        file: FileId,
        now: MonoNs,
        account: &Account,
        examiner: &mut Examiner,
    ) -> Option<Vec<u8>> {
        let executed = start.path.raw.filter(|path| !path.is_empty())?;
        let path = Path::new(OsStr::from_bytes(start.cwd)).join(OsStr::from_bytes(executed));
        if path.as_os_str().len() > MOST_PATH || !path.is_absolute() {
            return None;
        }
        let as_executed = || {
            let mut text = Vec::new();
            paths::resolve(start.cwd, executed, &mut text);
            text
        };
        if !file.is_known() {
            return Some(as_executed());
        }
        let key = (path, file);
        if let Some((asked, executable)) = self.0.get(&key)
            && now.since(*asked) < FRESH_NS
        {
            return Some(executable.clone());
        }
        // A program that was just executed has its path in the kernel's cache, so the first is the rule.
        let found = files::path_at_once(&key.0, file).or_else(|| {
            let looked_at = key.0.clone();
            examiner.ask(account, move || files::path_at(&looked_at, file)).flatten()
        });
        // Only what was found is remembered: what this account may not ask now, another one may.
        let Some(executable) = found else { return Some(as_executed()) };
        if self.0.len() >= MOST {
            self.0.clear();
        }
        self.0.insert(key, (now, executable.clone()));
        Some(executable)
    }
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
            argc: None,
        }
    }

    #[test]
    fn path_is_looked_up_only_where_it_leads_to_the_file_that_ran() {
        let (mut programs, mut examiner) = (Programs::default(), Examiner::default());
        let account = Account::boundless();
        let mut told = |path: &[u8], file| {
            let found = programs.executable_of(&start(path), file, MonoNs::now(), &account, &mut examiner);
            found.map(|path| String::from_utf8(path).unwrap())
        };
        let own = files::id_at(Path::new("/proc/self/exe")).unwrap();
        let path = std::env::current_exe().unwrap();
        let link = std::env::temp_dir().join(format!("glassbox-programs-{}", std::process::id()));
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let link_text = link.to_str().unwrap();

        let found = told(link_text.as_bytes(), own);
        let other = told(link_text.as_bytes(), FileId { inode: own.inode + 1, ..own });
        let unknown = told(link_text.as_bytes(), FileId::default());
        std::fs::remove_file(&link).unwrap();

        assert_eq!(path.to_str(), found.as_deref());
        assert_eq!([Some(link_text), Some(link_text)], [other.as_deref(), unknown.as_deref()]);
        assert_eq!(Some("/gone"), told(b"bin/../gone", own).as_deref());
        let long = [b"/".as_slice(), &b"x".repeat(60_000)].concat();
        assert_eq!([None, None], [told(&long, own), told(b"", own)]);
        assert_eq!(1, programs.0.len());
    }
}
