//! Records one by one: the event that each makes, and its mark on the picture of its process.

use std::sync::Arc;

use wire::events::{Decoded, FileOpen, Kind, MemoryMap, ProcessCredentials, ProcessNamespace, ProcessSignal};
use wire::names;
use wire::record::{Flags, Head, Via};

use super::Enricher;
use super::descriptors::Target;
use super::paths;
use super::process::Process;
use super::spawned;
use super::values::{Base, Found, base_of, path_text, value_of};
use super::walks::Root;
use crate::event::Value;
use crate::ids::{MonoNs, Pid, Tid};

/// The meaning of a record for other processes than its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// None.
    None,
    /// The process made another, by the number in its own namespace; `None` where it failed, or did not learn
    /// the number.
    Forked(Option<Pid>),
    /// A program is about to be executed: [`Enricher::last_exec`].
    ExecAsked,
    /// A wait told how a child ended: its number, the wait status, its resources.
    ChildEnded(Pid, i32, Option<wire::events::Usage>),
    /// A directory got another name: [`Enricher::take_moved`].
    Moved,
    /// A connection was asked for. Its peer is [`Enricher::last_remote`].
    Connecting,
}

impl Enricher {
    /// Turns a record into an event of `process` at `at`, and keeps the picture of the process right.
    pub fn record(
        &mut self,
        process: &mut Process,
        head: &Head,
        at: MonoNs,
        decoded: &Decoded<'_>,
    ) -> Effect {
        if head.flags & Flags::STAMPED != 0 {
            process.seq = head.seq;
        }
        process.turn_to(Tid(head.tid));
        match decoded {
            Decoded::FdClosed(closed) => {
                self.closed(process, head, at, closed.fd, closed.counters.unwrap_or_default());
            }
            Decoded::FdDuped(duped) => process.duplicate(duped.fd, duped.target, at, duped.cloexec),
            Decoded::FdRange(range) => process.change_range(range),
            Decoded::FdFlags(flags) => process.set_cloexec(flags),
            Decoded::FdMade(made) if is_notified(head) => {
                process.note_descriptor(made.fd, made.label);
                process.note_addresses(made.fd, made.local.0, made.remote.0);
            }
            Decoded::FdMade(made) => process.adopt(made, at),
            Decoded::ProcessCredentials(has) if is_notified(head) && has.what.is_empty() => {
                has_identity(process, has);
            }
            Decoded::DirChange(change) => {
                self.text.clear();
                let found = path_text(process, &change.path, Base::Directory, &mut self.text);
                if found != Found::Nothing {
                    process.change_directory(&self.text);
                }
            }
            Decoded::Within(_) => {}
            Decoded::ChildStatus(child) => {
                return Effect::ChildEnded(Pid(child.child), child.status, child.usage);
            }
            _ => return self.event(process, head, at, decoded),
        }
        Effect::None
    }

    /// A record that is an event: its own fields, then those that the picture adds.
    fn event(&mut self, process: &mut Process, head: &Head, at: MonoNs, decoded: &Decoded<'_>) -> Effect {
        let Some(kind) = Kind::from_number(head.kind) else { return Effect::None };
        self.begin_from(process, head, kind, at);
        let base = base_of(decoded, self.batch.events.last().map_or("", |event| event.call));
        let directory = childs_directory(process, decoded);
        let batch = &mut self.batch;
        decoded.show(&mut |place, shown| {
            let value = value_of(batch, process, shown, base);
            batch.set(place, value);
        });
        if let Some(own) = directory {
            process.cwd = own;
        }
        self.set_duration(head, decoded);
        // A failed call changed nothing.
        let has_failed = head.errno != 0;
        // One that the kernel notified of may fail yet.
        let may_fail = has_failed || is_notified(head) && head.flags & Flags::RETURNED == 0;
        match decoded {
            Decoded::ProcessStart(_) => self.batch.set(self.places.start_coverage, Value::Word("hooked")),
            Decoded::ProcessFork(fork) => {
                return Effect::Forked(fork.child.filter(|_| !has_failed).map(Pid));
            }
            Decoded::ProcessExec(_) if head.flags & Flags::RETURNED == 0 && !has_failed => {
                return Effect::ExecAsked;
            }
            Decoded::FileOpen(open) if !has_failed => self.opened(process, open, at),
            Decoded::ProcessSignal(sent) => self.signalled(process, sent),
            Decoded::ProcessCredentials(changed) => changed_identity(process, changed, may_fail),
            Decoded::ProcessNamespace(changed) => {
                self.changed_namespace(process, changed, has_failed);
                if !may_fail && changed.what == b"unshare" {
                    unshared(process, Tid(head.tid), changed.flags.0);
                }
            }
            Decoded::FileRename(rename) if !has_failed && self.renamed(process, rename) => {
                return Effect::Moved;
            }
            Decoded::FileLink(link) => self.linked(process, link, has_failed),
            Decoded::FileSymlink(link) => self.points_at(link.path.raw.unwrap_or_default()),
            Decoded::NetSocket(made) => self.made_socket(process, made, has_failed, at),
            Decoded::NetBind(bind) => self.bound(process, bind, has_failed),
            Decoded::NetListen(listen) => self.listens(process, listen),
            Decoded::NetConnect(connect) => {
                self.connects(process, head, connect, at);
                return Effect::Connecting;
            }
            Decoded::NetConnected(connected) => self.connected(process, connected, has_failed, at),
            Decoded::NetAccept(accept) => self.accepted(process, accept, has_failed, at),
            Decoded::DnsQuery(query) => self.resolved(process, query),
            Decoded::MemoryMap(map) => self.mapped(process, map),
            Decoded::FdDuplicate(duplicate) => {
                self.describe_duplicate(process, duplicate.fd);
                if !has_failed {
                    process.duplicate(duplicate.fd, duplicate.target, at, duplicate.cloexec.0);
                }
            }
            _ => {}
        }
        Effect::None
    }

    fn opened(&mut self, process: &mut Process, open: &FileOpen<'_>, at: MonoNs) {
        const CLOEXEC: u32 = 0o2_000_000;
        if let Some(fd) = open.fd {
            let path = self.text_shown(self.places.open_path).unwrap_or_default();
            process.open(fd, Target::File(path.into()), at, open.flags.0 & CLOEXEC != 0);
            Self::opened_nameless(process, open);
        }
    }

    fn signalled(&mut self, process: &mut Process, sent: &ProcessSignal) {
        if let Some(pidfd) = sent.pidfd.0 {
            let target = process.behind_pidfd(pidfd).map_or(Value::Absent, Value::Int);
            self.batch.set(self.places.signal_target, target);
        }
    }

    fn changed_namespace(&mut self, process: &mut Process, changed: &ProcessNamespace<'_>, has_failed: bool) {
        let is_of_process = matches!(changed.what, b"setns" | b"unshare" | b"chroot" | b"pivot_root");
        if !has_failed && is_of_process {
            process.walks.begin_at(Root::Own);
        }
        let table = match changed.what {
            b"mount" => &names::MOUNT,
            b"umount" => &names::UMOUNT,
            b"fsopen" => &names::FSOPEN,
            b"fspick" => &names::FSPICK,
            b"fsmount" => &names::FSMOUNT,
            b"open_tree" => &names::OPEN_TREE,
            b"move_mount" => &names::MOVE_MOUNT,
            b"mount_setattr" => &names::AT,
            _ => &names::NAMESPACE,
        };
        // mount(2): a magic number in the upper half, which the kernel ignores.
        const MS_MGC_VAL: u64 = 0xc0ed_0000;
        const MS_MGC_MSK: u64 = 0xffff_0000;
        let flags = match changed.flags.0 {
            magic if changed.what == b"mount" && magic & MS_MGC_MSK == MS_MGC_VAL => magic & !MS_MGC_MSK,
            flags => flags,
        };
        self.batch.set(self.places.namespace_flags, Value::Names(table, flags));
    }

    fn mapped(&mut self, process: &mut Process, map: &MemoryMap) {
        if let Some(path) = process.path(map.fd.0) {
            self.set_text(self.places.map_path, Some(&path));
        }
    }

    /// The file or peer of a descriptor that is duplicated over a standard stream.
    fn describe_duplicate(&mut self, process: &mut Process, fd: i32) {
        match process.target(fd).cloned() {
            Some(Target::File(path)) => self.set_text(self.places.duplicate_path, Some(&path)),
            Some(Target::Socket(socket)) => {
                self.set_text(self.places.duplicate_remote, socket.remote.as_deref());
                self.set_text(self.places.duplicate_local, socket.local.as_deref());
                let is_accepted = socket.is_accepted.map_or(Value::Absent, Value::Bool);
                self.batch.set(self.places.duplicate_accepted, is_accepted);
            }
            None => {}
        }
    }

    /// A symbolic link is relative to the directory that it stands in, not to the caller's.
    fn points_at(&mut self, target: &[u8]) {
        if target.is_empty() || target.starts_with(b"/") {
            return;
        }
        let Some(link) = self.text_shown(self.places.symlink_new_path) else { return };
        let parent = link.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash.max(1));
        let mut text = Vec::new();
        paths::resolve(link.get(..parent).unwrap_or_default(), target, &mut text);
        let (path, raw) = (self.batch.keep(&text), self.batch.keep(target));
        self.batch.set(self.places.symlink_path, Value::Path(path, Some(raw)));
    }
}

/// Whether the kernel notified of the call, before it was made.
pub(super) fn is_notified(head: &Head) -> bool {
    head.via == Via::Notify as u8
}

/// Puts the directory of a child that posix_spawn moves in the place of its parent's, and gives that.
fn childs_directory(process: &mut Process, decoded: &Decoded<'_>) -> Option<Arc<[u8]>> {
    let Decoded::ProcessExec(exec) = decoded else { return None };
    let directory = spawned::directory(process, exec.actions.0)?;
    Some(std::mem::replace(&mut process.cwd, directory))
}

fn changed_identity(process: &mut Process, changed: &ProcessCredentials<'_>, has_failed: bool) {
    // One that counts users otherwise says its own numbers.
    if let (Some(uid), Some(euid)) = (changed.real_uid.0, changed.effective_uid.0)
        && !process.standpoint.is_among_others()
    {
        process.set_ids(uid, euid);
    }
    // The call's numbers, as the process counts.
    if let Some(egid) = egid_after(changed).filter(|_| !has_failed && !process.standpoint.is_among_others()) {
        process.set_egid(egid);
    }
}

/// The ids of a thread by the kernel's word, in the collector's numbers.
fn has_identity(process: &mut Process, has: &ProcessCredentials<'_>) {
    if let (Some(uid), Some(euid)) = (has.real_uid.0, has.effective_uid.0) {
        process.confirm_ids((Some(uid), Some(euid)), false);
    }
    if let Some(egid) = has.to.iter().next().and_then(id_of) {
        process.set_egid(egid);
    }
}

/// The effective group after a call that succeeded; `None` where the call leaves it.
fn egid_after(changed: &ProcessCredentials<'_>) -> Option<u32> {
    let place = match changed.what {
        b"gid" | b"egid" => 0,
        b"regid" | b"resgid" => 1,
        _ => return None,
    };
    id_of(changed.to.iter().nth(place)?)
}

/// A number of a user or a group; `None` for -1.
fn id_of(text: &[u8]) -> Option<u32> {
    std::str::from_utf8(text).ok()?.parse().ok().filter(|id| *id != u32::MAX)
}

/// A thread has its own directory, or table of descriptors, from here on (unshare(2): a mount namespace of
/// its own implies the directory).
fn unshared(process: &mut Process, tid: Tid, flags: u64) {
    const FILES: u64 = libc::CLONE_FILES as u64;
    const DIRECTORY: u64 = (libc::CLONE_FS | libc::CLONE_NEWNS) as u64;
    process.set_apart(tid, flags & DIRECTORY != 0, flags & FILES != 0);
}

#[cfg(test)]
mod tests {
    use wire::fields::{Args, Hidden};

    use super::*;
    use crate::event::Who;
    use crate::ids::ImageId;

    fn head(via: Via, flags: u8) -> Head {
        let (kind, via) = (Kind::ProcessCredentials as u16, via as u8);
        Head { time_ns: 1, seq: 0, ret: 0, pid: 1, tid: 1, kind, call: 0, errno: 0, via, flags }
    }

    /// The effective group after setgid(7), of a record with this mechanism and these flags.
    fn egid_after_setgid(via: Via, flags: u8) -> Option<u32> {
        let mut process = Process::new(Who::default(), ImageId::new(1, 0));
        let to = Args::Packed(b"7\0");
        let changed =
            ProcessCredentials { what: b"gid", to, real_uid: Hidden(None), effective_uid: Hidden(None) };
        let head = head(via, flags);
        let decoded = Decoded::ProcessCredentials(changed);
        Enricher::default().record(&mut process, &head, MonoNs(1), &decoded);
        process.who.circumstances.egid
    }

    #[test]
    fn ids_that_the_kernel_shows_are_known_without_an_event() {
        let mut process = Process::new(Who::default(), ImageId::new(1, 0));
        let to = Args::Packed(b"7\0");
        let has =
            ProcessCredentials { what: b"", to, real_uid: Hidden(Some(5)), effective_uid: Hidden(Some(6)) };
        let head = head(Via::Notify, 0);
        let mut enricher = Enricher::default();

        enricher.record(&mut process, &head, MonoNs(1), &Decoded::ProcessCredentials(has));

        assert_eq!((Some(5), Some(6)), process.ids());
        assert_eq!(Some(7), process.who.circumstances.egid);
        assert!(enricher.batch.is_empty());
    }

    #[test]
    fn identity_that_the_kernel_is_asked_for_is_not_had_yet() {
        assert_eq!(Some(7), egid_after_setgid(Via::Symbol, Flags::RETURNED));
        assert_eq!(Some(7), egid_after_setgid(Via::Notify, Flags::RETURNED));
        assert_eq!(None, egid_after_setgid(Via::Notify, 0));
    }
}
