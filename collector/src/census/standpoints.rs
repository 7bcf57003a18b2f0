//! Where processes stand: in which user and mount namespace, at each of their events.
//!
//! The kernel tells where a process stands at the moment of the question. An event that is older than that
//! shows what is known of its time: an exec and a fork change no namespace, clone(2) may, and unshare(2) and
//! setns(2) are events.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use wire::events::ProcessNamespace;

use super::image::ProcessImage;
use super::register::Census;
use crate::allowance::Account;
use crate::door::identity::Identity;
use crate::enrich::process::Process;
use crate::ids::{ImageId, Instance, MonoNs, Pid};
use crate::system::kernel;
use crate::system::procfs;
use crate::system::standpoint::Standpoint;

/// Which parts of a standpoint a call changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Changed {
    user: bool,
    mount: bool,
}

impl Changed {
    /// unshare(2) and setns(2). setns(2) without a kind takes any descriptor of a namespace.
    fn by(call: &ProcessNamespace<'_>) -> Self {
        let flags = call.flags.0;
        let has = |flag: i32| flags & u64::from(flag.cast_unsigned()) != 0;
        let is_any = call.what == b"setns" && flags == 0;
        match call.what {
            b"unshare" | b"setns" => {
                Self { user: is_any || has(libc::CLONE_NEWUSER), mount: is_any || has(libc::CLONE_NEWNS) }
            }
            _ => Self::default(),
        }
    }
}

/// Asks where the process behind `pidfd` stands, `pid` being its number here; the users of its namespace only
/// where `known` has them not. `None` where the account has no time for that.
fn look(account: &Arc<Account>, pidfd: &OwnedFd, pid: Pid, known: Option<&Standpoint>) -> Option<Standpoint> {
    let begun = MonoNs::now();
    if !account.has_time_to_ask(begun) {
        return None;
    }
    let found = Standpoint::of(pidfd, Some(pid));
    let has_users = |known: &Standpoint| known.users.is_some() && !known.is_without_users();
    let is_known = known.is_some_and(|known| known.user == found.user && has_users(known));
    let found = if is_known { found } else { found.with_users(pidfd, pid, account) };
    account.asked(begun, MonoNs::now());
    Some(found)
}

impl ProcessImage {
    /// The descriptor and the number of its process, where both are the kernel's word.
    fn known_as(&self) -> Option<(&OwnedFd, Pid)> {
        Some((self.pidfd.as_ref().filter(|_| self.key.is_visible())?, self.key.pid))
    }

    /// Says that its process stands where it stood at `at`, the time of its next event.
    #[inline]
    pub fn come_to(&mut self, at: MonoNs) {
        if self.process.as_ref().is_some_and(|process| process.may_stand_elsewhere(at)) {
            self.look_again(at);
        }
    }

    #[inline(never)]
    fn look_again(&mut self, at: MonoNs) {
        let Some(process) = &mut self.process else { return };
        process.take_later(at);
        let standpoint = &process.standpoint;
        if !standpoint.is_without_users() || standpoint.asked >= at {
            return;
        }
        // Its map may have been written since.
        let begun = MonoNs::now();
        if let Some(pidfd) = self.pidfd.as_ref().filter(|_| self.key.is_visible())
            && self.account.has_time_to_ask(begun)
        {
            let found = standpoint.clone().with_users(pidfd, self.key.pid, &self.account);
            self.account.asked(begun, MonoNs::now());
            if found.users.is_some() {
                process.stand_at(found);
            }
        }
    }
}

impl Census {
    /// Asks where a fork child stands.
    pub(super) fn look_around(
        &self,
        identity: &mut Identity,
        parent: Option<ImageId>,
        account: &Arc<Account>,
    ) {
        // The doorman asked about the same process, of which the hello is at hand: an exec changes no
        // namespace.
        let is_its = |(instance, _): &&(Instance, Standpoint)| identity.instance == Some(*instance);
        if let Some((_, standpoint)) = self.heard.as_ref().filter(is_its)
            && standpoint.user.is_some()
            && standpoint.mount.is_some()
        {
            identity.standpoint = standpoint.clone();
            return;
        }
        if let Some(pidfd) = identity.pidfd.as_ref().filter(|_| identity.key.is_visible()) {
            let parent = parent.and_then(|parent| self.get(parent)?.process.as_ref());
            let known = parent.map(|parent| &parent.standpoint);
            identity.standpoint = look(account, pidfd, identity.key.pid, known).unwrap_or_default();
        }
    }

    /// Says where a process stands that has not told of its start: a fork child, where its parent does until
    /// the kernel was asked, or one that was taken over.
    pub(super) fn place(&self, image: &ProcessImage, process: &mut Process) {
        let (found, parents) = (&image.standpoint, process.standpoint.clone());
        if found.is_apart_from(&parents) {
            process.stand_at(parents);
            process.stand_later(found.clone());
        } else {
            process.stand_at(found.clone().or(&parents));
        }
    }

    /// A process made a child by clone(2), which may have put it into namespaces of its own from the first.
    pub fn has_cloned(&mut self, parent: ImageId, own_child: Pid) {
        let child = self.child_named(parent, own_child);
        if let Some(process) = child.and_then(|child| self.process_mut(child)) {
            process.forget_where_apart();
        }
    }

    /// Says where a program stood when it told of its start, and saw its user as `said`. The kernel was asked
    /// a moment later, at its hello. `process` stands where the image before it in the same process does, or
    /// else where its parent does.
    pub fn place_program(&self, id: ImageId, process: &mut Process, is_same_process: bool, said: u32) {
        let Some(image) = self.get(id) else { return };
        let found = &image.standpoint;
        let before = match (is_same_process, image.is_launched) {
            (true, _) => Some(process.standpoint.clone()),
            (false, true) => Some(Standpoint::own()),
            (false, false) => None,
        };
        // It saw the collector's number, where the kernel's map has another one by now.
        let has_seen_ours = image.uid == Some(said) && found.uid_inside(said).is_some();
        let first = match before {
            Some(before) if found.is_apart_from(&before) => before,
            None if has_seen_ours => Standpoint { user: None, users: None, ..found.clone() },
            before => {
                let known = before.unwrap_or_else(|| process.standpoint.clone());
                return process.stand_at(found.clone().or(&known));
            }
        };
        process.stand_at(first);
        process.stand_later(found.clone());
    }

    /// A process changed one of its namespaces at `at`: asks the kernel where it stands. Where a process
    /// stands that is gone by now, only its next image may say.
    pub fn has_moved(&mut self, id: ImageId, at: MonoNs, call: &ProcessNamespace<'_>) {
        let changed = Changed::by(call);
        let Some(image) = self.get(id).filter(|_| changed != Changed::default()) else { return };
        let Some(process) = &image.process else { return };
        let is_next = |next: &&ProcessImage| next.id != id && next.life == image.life;
        let next = self.live(image.key).and_then(|next| self.get(next)).filter(is_next);
        let known_as = image.known_as().or_else(|| next?.known_as());
        let found = known_as.and_then(|(pidfd, pid)| look(&image.account, pidfd, pid, None));
        let later = process.later().filter(|later| later.asked >= at);
        let mut standpoint = process.standpoint.clone();
        if changed.user {
            (standpoint.user, standpoint.users, standpoint.has_left) = (None, None, true);
        }
        if changed.mount {
            standpoint.mount = None;
        }
        let others = [later, next.map(|next| &next.standpoint), Some(&standpoint)];
        let standpoint = others.into_iter().flatten().fold(found.unwrap_or_default(), Standpoint::or);
        if let Some(process) = self.process_mut(id) {
            process.stand_at(standpoint);
        }
    }

    /// Decides which user ids the events of an image show after its process, which counts users otherwise
    /// than the collector, said that they changed: `said` in its own numbers. As [`Self::confirm_ids`], and
    /// the map of its namespace translates.
    pub(super) fn confirm_ids_among_others(&mut self, id: ImageId, said: (Option<u32>, Option<u32>)) {
        let (Some(image), (Some(uid), Some(euid))) = (self.get_mut(id), said) else { return };
        let facts = image.known_as().and_then(|(pidfd, pid)| {
            let known = kernel::facts(pidfd).map(|facts| (facts.uids.real, facts.uids.effective));
            known.or_else(|| procfs::uids(pid.0).filter(|_| !kernel::is_dead(pidfd)))
        });
        let Some(process) = &mut image.process else { return };
        let (users, has_left) = (process.standpoint.users.clone(), process.standpoint.has_left);
        let inside = |here: u32| users.as_ref().and_then(|users| users.inside(here));
        let here = |inside: u32| users.as_ref().and_then(|users| users.here(inside));
        // Root of a user namespace may become each user that has a number there.
        let is_root = |uid: Option<u32>| uid.is_none_or(|uid| uid == 0 || inside(uid) == Some(0));
        let may_be_any = is_root(image.uid) || is_root(image.euid);
        let before = process.ids();
        let is_as_before = (before.0.and_then(inside), before.1.and_then(inside)) == (Some(uid), Some(euid));
        let said = here(uid).zip(here(euid));
        match (facts, said) {
            (Some(known), _)
                if !may_be_any || (inside(known.0), inside(known.1)) == (Some(uid), Some(euid)) =>
            {
                process.confirm_ids((Some(known.0), Some(known.1)), false);
            }
            (_, Some((uid, euid))) if may_be_any && before != (Some(uid), Some(euid)) => {
                process.confirm_ids((Some(uid), Some(euid)), true);
            }
            (Some((uid, euid)), None) => process.confirm_ids((Some(uid), Some(euid)), false),
            // It is another one now, and no source says who.
            (None, None) if may_be_any && (users.is_some() || has_left) && !is_as_before => {
                process.confirm_ids((None, None), false);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use wire::fields::{NamespaceFlags, Path};

    use super::*;

    #[test]
    fn calls_change_the_namespaces_that_their_flags_name() {
        let changed = |what: &'static [u8], flags: u64| {
            let path = Path { dir: -1, raw: None };
            let flags = NamespaceFlags(flags);
            let Changed { user, mount } = Changed::by(&ProcessNamespace {
                what,
                path,
                flags,
                source: None,
                filesystem: None,
                attributes: None,
            });
            [user, mount]
        };

        assert_eq!([true, false], changed(b"unshare", 0x1000_0000));
        assert_eq!([true, true], changed(b"unshare", 0x1002_0000));
        assert_eq!([false, false], changed(b"unshare", 0x4000_0000));
        assert_eq!([false, true], changed(b"setns", 0x2_0000));
        assert_eq!([true, true], changed(b"setns", 0));
        assert_eq!([false, false], changed(b"mount", 0x1002_0000));
        assert_eq!([false, false], changed(b"chroot", 0));
    }
}
