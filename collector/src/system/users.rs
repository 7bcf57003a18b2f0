//! The names of users and groups, as this machine's files have them (passwd(5), group(5)).
//!
//! Only files are read, and no name service is asked: that could wait for the network.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use rustc_hash::FxHashMap;

use crate::ids::MonoNs;

/// A longer file is not read.
const LONGEST: u64 = 4 << 20;
/// The files are looked at again after this time.
const FRESH_NS: u64 = 5_000_000_000;

/// Names by number.
#[derive(Debug)]
pub struct Users {
    users: Table,
    groups: Table,
    looked: Option<MonoNs>,
}

#[derive(Debug)]
struct Table {
    path: &'static Path,
    changed: Option<SystemTime>,
    names: FxHashMap<u32, Arc<str>>,
}

impl Default for Users {
    fn default() -> Self {
        let [users, groups] = ["/etc/passwd", "/etc/group"].map(|path| Table::of(Path::new(path)));
        Self { users, groups, looked: None }
    }
}

impl Users {
    /// The name of a user.
    pub fn user(&mut self, uid: u32) -> Option<Arc<str>> {
        self.refresh();
        self.users.names.get(&uid).cloned()
    }

    /// The name of a group.
    pub fn group(&mut self, gid: u32) -> Option<Arc<str>> {
        self.refresh();
        self.groups.names.get(&gid).cloned()
    }

    fn refresh(&mut self) {
        let now = MonoNs::now();
        if self.looked.is_none_or(|looked| now.since(looked) > FRESH_NS) {
            self.looked = Some(now);
            self.users.refresh();
            self.groups.refresh();
        }
    }
}

impl Table {
    fn of(path: &'static Path) -> Self {
        Self { path, changed: None, names: FxHashMap::default() }
    }

    fn refresh(&mut self) {
        let changed = fs::metadata(self.path).ok().filter(fs::Metadata::is_file);
        let changed = changed.and_then(|metadata| metadata.modified().ok());
        if changed == self.changed && changed.is_some() {
            return;
        }
        self.changed = changed;
        self.names.clear();
        let mut text = Vec::new();
        let read = File::open(self.path).and_then(|file| file.take(LONGEST + 1).read_to_end(&mut text));
        if changed.is_some() && read.is_ok() && text.len() as u64 <= LONGEST {
            self.names = names(&text);
        }
    }
}

/// The names of a file with `name:password:number:…` lines; the first of a number counts, as for getpwuid(3).
fn names(text: &[u8]) -> FxHashMap<u32, Arc<str>> {
    let mut names = FxHashMap::default();
    for line in text.split(|byte| *byte == b'\n') {
        let Ok(line) = std::str::from_utf8(line) else { continue };
        let mut fields = line.split(':');
        let (Some(name), Some(number)) = (fields.next(), fields.nth(1)) else { continue };
        if let (false, Ok(number)) = (name.is_empty(), number.parse()) {
            names.entry(number).or_insert_with(|| name.into());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_name_of_a_number_counts_and_other_lines_are_passed_over() {
        let text = b"root:x:0:0:root:/root:/bin/sh\ntoor:x:0:0::/:/bin/sh\n#x\n:x:5:\nbad:x:y:\nwww:x:33:33:\xff\nlast:x:7:";

        let names = names(text);

        assert_eq!(Some("root"), names.get(&0).map(|name| &**name));
        assert_eq!(Some("last"), names.get(&7).map(|name| &**name));
        assert_eq!(2, names.len());
    }

    #[test]
    fn root_is_user_and_group_0() {
        let mut users = Users::default();

        assert_eq!((Some("root".into()), Some("root".into())), (users.user(0), users.group(0)));
    }
}
