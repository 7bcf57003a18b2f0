//! The part on files.

use std::cmp::Reverse;

use wire::events::Kind;

use super::Page;
use crate::sinks::look::Sort;
use crate::sinks::summary::gathered::{FileUse, Files};
use crate::sinks::summary::table::{Capped, sum};
use crate::sinks::text::{self, Paint};

/// Files read, and files written, that are listed.
const MOST_FILES: usize = 10;
/// Files read that are listed, if there are files written as well.
const FEWER_FILES: usize = 5;

impl Page<'_> {
    /// What was opened, read, written and changed.
    pub fn files(&mut self, files: &Files) {
        if files.opened == 0 && files.failed == 0 && files.by_path.is_empty() {
            return;
        }
        let mut rest = format!("opened {} ×", text::count(files.opened));
        if files.failed > 0 {
            rest.push_str(&format!(", {} failed", text::count(files.failed)));
        }
        let total = |bytes: fn(&FileUse) -> u64| {
            sum(files.by_path.iter().map(|(_, file)| bytes(file)).chain([bytes(&files.by_path.others)]))
        };
        rest.push_str(&format!(
            "; {} written, {} read",
            text::size(total(|file| file.bytes_written)),
            text::size(total(|file| file.bytes_read))
        ));
        self.heading("Files", &rest);
        let written = self.used(&files.by_path, ("wrote", "write"), MOST_FILES, FileUse::written);
        let most = if written > 0 { FEWER_FILES } else { MOST_FILES };
        self.used(&files.by_path, ("read", "read"), most, FileUse::read);
        if files.by_path.has_others {
            self.dim("  beyond 10 000 paths only the sums above were counted\n");
        }
        let verbs = [
            (Kind::FileUnlink, "removed"),
            (Kind::FileRmdir, "rmdir"),
            (Kind::FileRename, "renamed"),
            (Kind::FileMkdir, "mkdir"),
        ];
        for (kind, verb) in verbs {
            if let Some(change) = files.changes.get(&kind) {
                self.label(Paint::Blue, verb, &format!("{} ×", text::count(change.times)));
                self.first(change);
            }
        }
    }

    /// Lists the files with the most bytes read or written; gives the number of all files.
    fn used(
        &mut self,
        files: &Capped<FileUse>,
        (verb, call): (&str, &str),
        usual: usize,
        used: fn(&FileUse) -> Option<(u64, u64)>,
    ) -> usize {
        let mut list: Vec<(&[u8], (u64, u64))> =
            files.iter().filter_map(|(path, file)| Some((path, used(file)?))).collect();
        let sort = self.look.sort;
        list.sort_by_key(|(path, (bytes, calls))| {
            let amount = if sort == Sort::Name { (0, 0) } else { (*bytes, *calls) };
            (is_noise(path), Reverse(amount), *path)
        });
        let most = self.look.most(usual);
        for (path, (bytes, calls)) in list.iter().take(most) {
            self.label(Paint::Blue, verb, &text::size(*bytes));
            self.quoted(path);
            self.dim(&format!("  {}\n", text::plural(*calls, call)));
        }
        self.more(most, list.len(), "file");
        list.len()
    }
}

/// Whether every program reads it, or nobody keeps what is written to it: what a loader, a locale and a
/// look-up of names need.
fn is_noise(path: &[u8]) -> bool {
    const FILES: [&[u8]; 9] = [
        b"/dev/null",
        b"/dev/tty",
        b"/etc/ld.so.cache",
        b"/etc/ld.so.preload",
        b"/etc/locale.alias",
        b"/etc/localtime",
        b"/etc/nsswitch.conf",
        b"/etc/host.conf",
        b"/etc/gai.conf",
    ];
    const FOLDERS: [&[u8]; 3] = [b"/usr/lib/locale/", b"/usr/share/locale/", b"/usr/share/zoneinfo/"];
    let holds = |part: &[u8]| path.windows(part.len()).any(|bytes| bytes == part);
    FILES.contains(&path) || FOLDERS.iter().any(|folder| path.starts_with(folder)) || holds(b"/gconv/")
}
