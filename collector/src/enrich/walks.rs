//! `..` as the kernel walks it: behind a symbolic link it leads to another directory than the text says.
//!
//! The kernel is asked while the event is read, so a link that was changed meanwhile misleads. It is asked
//! for what its cache holds (openat2(2), `RESOLVE_CACHED`, Linux 5.12): the process was there a moment ago,
//! and no file system is waited for. The directory is found, not opened (`O_PATH`). Questions come out of the
//! account of the process, which names the path.

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use crate::allowance::{Account, Resource, Share};
use crate::ids::MonoNs;
use crate::system::files;

/// The root directory that a process's paths begin at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Root {
    /// The collector's, in the same mount namespace.
    Ours,
    /// Another, or it is not known: the process is asked for it each time.
    Own,
}

/// Answers that are kept for a process, and for how long: a compiler asks for few places again and again.
const MOST_WALKS: usize = 8;
const KEPT_NS: u64 = 1_000_000_000;

/// A path that ends in `..`, and the directory that it led to.
#[derive(Clone, Debug)]
struct Walk {
    path: Box<[u8]>,
    directory: Box<[u8]>,
    at: MonoNs,
}

/// Where a process's paths begin, and where those that go up led.
#[derive(Clone, Debug)]
pub struct Walks {
    root: Root,
    kept: Vec<Walk>,
    /// The bytes of those.
    share: Share,
}

impl Walks {
    /// None, from a root that is not known, whose memory and questions come out of `account`.
    pub fn of(account: &Arc<Account>) -> Self {
        Self { root: Root::Own, kept: Vec::new(), share: account.share(Resource::Bytes) }
    }

    /// The same root for another process.
    pub fn inherited(&self) -> Self {
        Self { root: self.root, ..Self::of(self.share.account()) }
    }

    /// Says that paths begin at `root` from here on.
    pub fn begin_at(&mut self, root: Root) {
        self.forget();
        self.root = root;
    }

    /// The root.
    pub fn root(&self) -> Root {
        self.root
    }

    /// Says that names have changed.
    pub fn forget(&mut self) {
        self.kept.clear();
        self.share.shrink(usize::MAX);
    }

    /// The directory that the absolute path `path` of the process `pid` leads to, as the process's own root
    /// shows it; `None` where that cannot be known.
    pub fn walk(&mut self, path: &[u8], pid: Option<u32>) -> Option<Box<[u8]>> {
        let now = MonoNs::now();
        if self.kept.iter().any(|walk| now.since(walk.at) >= KEPT_NS) || self.kept.len() >= MOST_WALKS {
            self.forget();
        }
        if let Some(known) = self.kept.iter().find(|walk| *walk.path == *path) {
            return Some(known.directory.clone());
        }
        let account = self.share.account();
        if !account.may_ask(now) {
            return None;
        }
        let found = self.find(path, pid);
        account.asked(now, MonoNs::now());
        let directory: Box<[u8]> = found?.into();
        if self.share.grow(size_of::<Walk>() + path.len() + directory.len()) {
            self.kept.push(Walk { path: path.into(), directory: directory.clone(), at: now });
        }
        Some(directory)
    }

    fn find(&self, path: &[u8], pid: Option<u32>) -> Option<Vec<u8>> {
        if self.root == Root::Ours {
            return files::path_of(&files::directory_at_once(Path::new("/"), path)?);
        }
        let root = format!("/proc/{}/root", pid?);
        let found = files::path_of(&files::directory_at_once(Path::new(&root), path)?)?;
        // It is shown as the collector sees it.
        let above = std::fs::read_link(&root).ok()?;
        let above = above.as_os_str().as_encoded_bytes();
        let within = if above == b"/" { &found[..] } else { found.strip_prefix(above)? };
        match within {
            [] => Some(b"/".to_vec()),
            [b'/', ..] => Some(within.to_vec()),
            _ => None,
        }
    }
}

/// The end of the last `..` of a path; `None` without one.
pub fn last_up(raw: &[u8]) -> Option<usize> {
    let last = raw.windows(2).enumerate().rev().find(|(start, pair)| {
        let is_whole = |byte: Option<&u8>| byte.is_none_or(|byte| *byte == b'/');
        let before = start.checked_sub(1).and_then(|before| raw.get(before));
        *pair == b".." && is_whole(before) && is_whole(raw.get(start + 2))
    });
    last.map(|(start, _)| start + 2)
}

/// Whether a relative path goes up at its beginning only: from a directory without links in its own path that
/// is what the text says.
pub fn goes_up_first(raw: &[u8]) -> bool {
    let mut names = raw.split(|byte| *byte == b'/').skip_while(|name| matches!(*name, b"" | b"." | b".."));
    raw.first() != Some(&b'/') && names.all(|name| name != b"..")
}

/// The root of a process that is just met; `None` where it is gone.
pub fn root_of(pid: u32) -> Option<Root> {
    static OURS: LazyLock<[Option<PathBuf>; 2]> = LazyLock::new(|| links_of("self"));
    let [namespace, root] = links_of(&pid.to_string());
    let found = [Some(namespace?), Some(root?)];
    Some(if found == *OURS { Root::Ours } else { Root::Own })
}

/// A process's mount namespace and its root directory in it.
fn links_of(process: &str) -> [Option<PathBuf>; 2] {
    ["ns/mnt", "root"].map(|name| std::fs::read_link(format!("/proc/{process}/{name}")).ok())
}

/// Whether a path of the collector's root is a directory's, as far as the kernel knows at once.
pub fn is_directory(path: &[u8]) -> bool {
    files::directory_at_once(Path::new("/"), path).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_step_up_is_found_where_it_is_a_whole_name() {
        for (raw, end) in [
            ("..", Some(2)),
            ("a/../b", Some(4)),
            ("a/../b/..", Some(9)),
            ("../../a", Some(5)),
            ("a/..b/b../...", None),
            ("..a", None),
            ("", None),
            (".", None),
            ("/a/b", None),
        ] {
            assert_eq!(end, last_up(raw.as_bytes()), "{raw}");
        }
    }

    #[test]
    fn steps_up_at_the_beginning_are_told_from_later_ones() {
        let first = ["..", "../a", "./.././../a/b"].map(|raw| goes_up_first(raw.as_bytes()));
        let later = ["a/..", "../a/../b", "/.."].map(|raw| goes_up_first(raw.as_bytes()));

        assert_eq!(([true; 3], [false; 3]), (first, later));
    }

    #[test]
    fn step_up_behind_a_link_leads_where_the_kernel_goes() {
        let folder = std::env::temp_dir().join(format!("glassbox-walk-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("real/deep")).unwrap();
        std::os::unix::fs::symlink("real/deep", folder.join("lnk")).unwrap();
        let folder = std::fs::canonicalize(&folder).unwrap();
        let path = |name: &str| folder.join(name).into_os_string().into_encoded_bytes();
        let (mut walks, pid) = (Walks::of(&Account::boundless()), Some(std::process::id()));
        // The program has used the link, in a later tick than it was made in: its time of access is written.
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert!(std::fs::metadata(folder.join("lnk/..")).unwrap().is_dir());

        let found = [Root::Own, Root::Ours].map(|root| {
            walks.begin_at(root);
            walks.walk(&path("lnk/.."), pid).map(<[u8]>::into_vec)
        });
        let missing = walks.walk(&path("nowhere/.."), pid);
        let is_folder = ["lnk", "real", "nowhere"].map(|name| is_directory(&path(name)));
        std::fs::remove_dir_all(&folder).unwrap();
        let kept = walks.walk(&path("lnk/.."), pid).map(<[u8]>::into_vec);

        assert_eq!([Some(path("real")), Some(path("real"))], found);
        assert_eq!((None, [true, true, false]), (missing, is_folder));
        assert_eq!(Some(path("real")), kept, "for a second");
        assert_eq!(Some(Root::Ours), root_of(std::process::id()));
        assert_eq!(None, root_of(0));
    }
}
