//! The standpoint of a process: its user and its mount namespace, by which it sees users and paths.
//!
//! The doorman asks the kernel at each hello, the pipeline where a process may have changed its standpoint. A
//! process in the collector's own namespaces costs two questions, one in another user namespace its map too.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::namespaces::{self, Kind};
use super::user_map::UserMap;
use crate::allowance::Account;
use crate::ids::{MonoNs, Pid};

/// See the module. A part that the kernel did not say is `None`, and shows nothing.
#[derive(Clone, Debug, Default)]
pub struct Standpoint {
    /// The user namespace by inode.
    pub user: Option<u64>,
    /// The mount namespace by inode; that of the first thread, since each may have its own.
    pub mount: Option<u64>,
    /// The users of the user namespace; `None` also in the collector's own.
    pub users: Option<UserMap>,
    /// When the kernel was asked.
    pub asked: MonoNs,
    /// The process has gone into a user namespace since `user` was known, and the kernel did not say which.
    pub has_left: bool,
}

impl Standpoint {
    /// The collector's.
    pub fn own() -> Self {
        let [user, mount] = [Kind::User, Kind::Mount].map(namespaces::own);
        Self { user, mount, users: None, asked: MonoNs::ZERO, has_left: false }
    }

    /// That of the process behind `pidfd`, without its users; `pid` is its number where this process's /proc
    /// shows it.
    pub fn of(pidfd: &OwnedFd, pid: Option<Pid>) -> Self {
        let asked = MonoNs::now();
        let [user, mount] = [Kind::User, Kind::Mount].map(|kind| namespaces::inode_in(pidfd, pid, kind));
        Self { user, mount, users: None, asked, has_left: false }
    }

    /// The same with its users, where they are others than the collector's and `account` has room for them.
    #[must_use]
    pub fn with_users(mut self, pidfd: &OwnedFd, pid: Pid, account: &Arc<Account>) -> Self {
        if self.is_among_others() {
            self.asked = MonoNs::now();
            let users = UserMap::of(pid.0, account);
            // The process may have gone into another namespace, or be gone, and its number another's.
            let is_same = namespaces::inode_in(pidfd, Some(pid), Kind::User) == self.user;
            self.users = users.filter(|_| is_same);
        }
        self
    }

    /// These parts, and for those that the kernel did not say those of `other`.
    #[must_use]
    pub fn or(self, other: &Self) -> Self {
        let user = self.user.or(other.user);
        let users = self.users.or_else(|| other.users.clone().filter(|_| user == other.user));
        let is_known = self.user.is_some() || self.mount.is_some();
        let asked = if is_known { self.asked } else { other.asked };
        let has_left = user.is_none() && (self.has_left || other.has_left);
        Self { user, mount: self.mount.or(other.mount), users, asked, has_left }
    }

    /// Whether both are known to stand in another namespace.
    pub fn is_apart_from(&self, other: &Self) -> bool {
        let differ =
            |one: Option<u64>, other: Option<u64>| one.zip(other).is_some_and(|(one, other)| one != other);
        differ(self.user, other.user) || differ(self.mount, other.mount)
    }

    /// Whether the process counts users otherwise than the collector, by the kernel's word; or may do so,
    /// since it went where the kernel did not say.
    pub fn is_among_others(&self) -> bool {
        self.has_left || self.user.is_some() && self.user != namespaces::own(Kind::User)
    }

    /// Whether no user had a number in the process's namespace, so that its map may be written at any moment.
    pub fn is_without_users(&self) -> bool {
        self.users.as_ref().is_some_and(UserMap::is_empty)
    }

    /// The user `uid` as the process sees it, if that is another number.
    pub fn uid_inside(&self, uid: u32) -> Option<u32> {
        self.users.as_ref()?.inside(uid).filter(|inside| *inside != uid)
    }

    /// The mount namespace, if that is another than the collector's.
    pub fn mnt_ns(&self) -> Option<u64> {
        self.mount.filter(|mount| Some(*mount) != namespaces::own(Kind::Mount))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::procfs;

    #[test]
    fn this_process_stands_where_the_collector_does_and_shows_nothing() {
        let pid = Pid(std::process::id());
        let pidfd = procfs::open(pid.0).unwrap();

        let found = Standpoint::of(&pidfd, Some(pid)).with_users(&pidfd, pid, &Account::boundless());

        assert_eq!((Standpoint::own().user, Standpoint::own().mount), (found.user, found.mount));
        assert!(found.user.is_some() && found.mount.is_some() && found.users.is_none());
        assert!(!found.is_among_others() && !found.is_apart_from(&Standpoint::own()));
        assert_eq!((None, None), (found.uid_inside(0), found.mnt_ns()));
    }

    #[test]
    fn part_that_the_kernel_did_not_say_is_the_others() {
        let users = || Some(UserMap::made_of("0 1000 1"));
        let other =
            Standpoint { user: Some(1), mount: Some(2), users: users(), asked: MonoNs(3), has_left: false };
        let moved = Standpoint { user: Some(4), ..Standpoint::default() };

        let (same, merged) = (Standpoint::default().or(&other), moved.or(&other));

        assert_eq!((Some(1), Some(2), MonoNs(3)), (same.user, same.mount, same.asked));
        assert_eq!(Some(0), same.uid_inside(1000));
        assert_eq!((Some(4), Some(2)), (merged.user, merged.mount));
        assert!(merged.users.is_none() && merged.is_apart_from(&other) && !same.is_apart_from(&other));
        assert!(!Standpoint::default().is_apart_from(&other));
    }
}
