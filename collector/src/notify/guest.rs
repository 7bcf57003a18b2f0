//! What a supervisor elsewhere says, as far as it may.
//!
//! Anybody who reaches the socket may say that he is one. So a process is known by the descriptor that comes
//! with its introduction, which the kernel is asked about; and a supervisor speaks of processes alone that
//! are of its own control group or made by it, and of its own user unless it is root. One beside the
//! collector, in no container, speaks of the processes of that user that it may trace. One that may trace
//! the collector itself could have it say anything, and speaks of all. What one says of others is counted as
//! lost, and told nowhere.

use std::io::ErrorKind;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use rustix::net::{SendFlags, Shutdown, send, shutdown};

use super::link::HEARD;
use super::packet::{self, Message};
use super::sightings::Reader;
use crate::allowance::{Account, Resource, Share};
use crate::arrival::{Introduced, Seen, Sent};
use crate::container::{self, Claim, Container, Named};
use crate::door::identity::{Identity, Said};
use crate::door::janitor::Janitor;
use crate::event::Claimed;
use crate::ids::{Instance, MonoNs, Pid, ProcessKey};
use crate::launch::protocol::RingId;
use crate::loss::LossReason;
use crate::shell::failure::say;
use crate::system::namespaces::{self, Kind};
use crate::system::peers::{self, Received, Sender};
use crate::system::{kernel, procfs};

/// Processes that are known at once for each of its places, each by a descriptor; beyond, all are introduced
/// anew.
const KNOWN_BY_PLACE: usize = 8;
/// Processes that it is owed losses of.
const MOST_OWED: usize = 512;
/// What was refused is told so often.
const TOLD_EVERY: Duration = Duration::from_secs(1);
/// A process that has died is spoken of for so long: its number goes to no other one in that time.
const AFTER_DEATH: Duration = Duration::from_millis(100);
/// Ancestors that are looked at.
const MOST_ANCESTORS: usize = 64;

/// The collector's knowledge of a supervisor.
#[derive(Debug)]
pub struct Guest {
    /// Itself.
    own: Identity,
    /// Its user namespace, by inode.
    user_ns: Option<u64>,
    /// It has the collector's own pid, user and mount namespaces.
    is_beside: bool,
    /// It may trace this collector.
    is_equal: bool,
    account: Arc<Account>,
    /// Its place among the rings of its user.
    place: Share,
    /// The number of the connection, under which numbers that nobody proves are claimed.
    claimant: RingId,
    known: FxHashMap<u32, Known>,
    /// Closes what it sends that is no process's descriptor.
    janitor: Janitor,
    /// Losses of processes that are still to be introduced, as after another collector has gone.
    owed: FxHashMap<u32, u64>,
    /// Records of processes that it may not speak of, and when they were told last.
    refused: u64,
    told: Instant,
    has_complained: bool,
    /// A call waits until its process's introduction is with the pipeline.
    is_awaited: bool,
}

/// A process that was introduced.
#[derive(Debug)]
struct Known {
    key: ProcessKey,
    instance: Option<Instance>,
    pidfd: OwnedFd,
    looked: Instant,
}

impl Guest {
    /// The supervisor `own`, which has a `place` among the rings of its user, and may perhaps trace this
    /// process: [`is_equal`].
    pub fn new(own: Identity, is_equal: bool, place: Share, claimant: RingId, janitor: Janitor) -> Self {
        let account = Arc::clone(place.account());
        let visible = own.key.is_visible().then_some(own.key.pid);
        let inode_of = |kind| namespaces::inode_in(own.pidfd.as_ref()?, visible, kind);
        let user_ns = inode_of(Kind::User);
        let is_own = |kind| inode_of(kind).is_some_and(|inode| namespaces::own(kind) == Some(inode));
        let is_beside = [Kind::Pid, Kind::User, Kind::Mount].into_iter().all(is_own);
        Self {
            own,
            user_ns,
            is_beside,
            is_equal,
            account,
            place,
            claimant,
            known: FxHashMap::default(),
            janitor,
            owed: FxHashMap::default(),
            refused: 0,
            told: Instant::now(),
            has_complained: false,
            is_awaited: false,
        }
    }

    /// Its own process.
    pub fn key(&self) -> ProcessKey {
        self.own.key
    }

    /// The key and the instance of a process, if it was introduced.
    fn key_of(&mut self, said: u32) -> Option<(ProcessKey, Option<Instance>)> {
        let known = self.known.get_mut(&said)?;
        if known.looked.elapsed() > AFTER_DEATH {
            if kernel::is_dead(&known.pidfd) {
                self.known.remove(&said);
                return None;
            }
            known.looked = Instant::now();
        }
        Some((known.key, known.instance))
    }

    /// Takes an introduction. The error says why the process may not be spoken of.
    fn introduce(&mut self, said: u32, seen: Seen, pidfd: Option<OwnedFd>) -> Result<Sent, &'static str> {
        let pidfd = pidfd.ok_or("comes without a descriptor")?;
        let identity = self.identify(said, &seen, pidfd).ok_or("had ended before it was heard of")?;
        if !self.may_speak_of(&identity) {
            return Err("is not of its container or user");
        }
        if self.account.is_used_up(Resource::Images) {
            return Err("is one too many of its user");
        }
        let is_other = |(number, known): (&u32, &Known)| {
            *number != said && known.instance.is_some() && known.instance == identity.instance
        };
        if self.known.iter().any(is_other) {
            return Err("has two numbers");
        }
        let pidfd = identity.pidfd.as_ref().and_then(|pidfd| pidfd.try_clone().ok());
        let pidfd = pidfd.ok_or("finds no descriptor left")?;
        let most = KNOWN_BY_PLACE * self.place.held();
        if self.known.len() >= most {
            self.known.retain(|_, known| !kernel::is_dead(&known.pidfd));
        }
        if self.known.len() >= most {
            self.known.clear();
        }
        self.known.insert(
            said,
            Known { key: identity.key, instance: identity.instance, pidfd, looked: Instant::now() },
        );
        let (Seen { reason, is_first, .. }, account) = (seen, Arc::clone(&self.account));
        Ok(Sent::Introduced(Box::new(Introduced { identity, reason, is_first, account })))
    }

    /// The identity of the process behind `pidfd`, by the kernel's word as far as there is one.
    fn identify(&self, said: u32, seen: &Seen, pidfd: OwnedFd) -> Option<Identity> {
        let number = procfs::number_behind_pidfd(std::process::id(), pidfd.as_raw_fd())?;
        let pid = u32::try_from(number).ok()?;
        let facts = kernel::facts(&pidfd);
        let shown = if pid == 0 { None } else { procfs::uids(pid) };
        let uids = facts.map(|facts| (facts.uids.real, facts.uids.effective)).or(shown);
        let sender = Sender { pid, uid: uids.map(|(real, _)| real), pidfd: Some(pidfd) };
        let ppid = seen.ppid.map_or(0, |Pid(ppid)| ppid);
        let said = Said {
            pid: said,
            ppid,
            pid_ns: self.own.namespace.or(self.own.key.namespace).unwrap_or_default(),
            file: Default::default(),
        };
        let mut identity = Identity::of(sender, uids.map(|(_, effective)| effective), said);
        if identity.is_dead {
            return None;
        }
        match identity.key.is_visible() {
            true => identity.exe = procfs::exe(pid).unwrap_or_default(),
            false => {
                identity.exe.clone_from(&seen.exe);
                identity.claimed = identity.claimed.and(Claimed::EXE);
            }
        }
        if uids.is_none() {
            // Without a number here the kernel tells none of a user: taken for the supervisor's own.
            (identity.uid, identity.euid) = (self.own.uid, self.own.euid);
            identity.cgroup = self.own.cgroup;
            identity.claimed = identity.claimed.and(Claimed::UID).and(Claimed::EUID);
        }
        if !identity.key.is_visible() && identity.namespace.is_none() {
            identity.key = identity.key.claimed_by(self.claimant);
        }
        if self.is_equal {
            // It looked while the call waited, and this collector may have come too late.
            if identity.exe.is_empty() {
                identity.exe.clone_from(&seen.exe);
            }
            if identity.claimed.has(Claimed::PPID) || identity.ppid.is_none() {
                identity.ppid = seen.ppid.or(identity.ppid);
                identity.claimed = identity.claimed.without(Claimed::PPID);
            }
            // Its processes are those of any container.
            let cgroup = identity.key.is_visible().then(|| procfs::cgroup(pid)).flatten().unwrap_or_default();
            let Named { id, is_certain } = container::named_by_cgroup(&cgroup);
            let container = (!id.is_empty()).then(|| Arc::new(Container::with_id(id)));
            identity.claim = container.map(|container| Claim { container, is_certain });
            identity.circumstances.pod = container::pod_of(&cgroup);
        } else {
            identity.claim.clone_from(&self.own.claim);
            identity.circumstances.pod.clone_from(&self.own.circumstances.pod);
        }
        Some(identity)
    }

    /// Whether the supervisor may speak of a process.
    fn may_speak_of(&self, of: &Identity) -> bool {
        let is_of_its_user = of.uid == self.own.uid || self.own.uid == Some(0) || self.shares_users(of);
        self.is_equal || is_of_its_user && (self.may_trace(of) || self.shares_group(of) || self.has_made(of))
    }

    /// Whether it is beside the collector and, by the rules of ptrace(2), may trace the process: root any, a
    /// user one beside the collector that has no more rights than he and is dumpable, so that its files in
    /// /proc are his (proc(5)).
    fn may_trace(&self, of: &Identity) -> bool {
        if !self.is_beside || self.own.uid == Some(0) {
            return self.is_beside;
        }
        let (Some(uid), Some(pidfd), true) = (self.own.uid, &of.pidfd, of.key.is_visible()) else {
            return false;
        };
        let pid = of.key.pid;
        let is_own = |kind| {
            let inode = namespaces::inode_in(pidfd, Some(pid), kind);
            inode.is_some() && inode == namespaces::own(kind)
        };
        let owner = std::fs::metadata(format!("/proc/{}/maps", pid.0)).map(|about| about.uid());
        [of.uid, of.euid, self.own.euid].into_iter().all(|id| id == Some(uid))
            && owner.is_ok_and(|owner| owner == uid)
            && [Kind::Pid, Kind::User, Kind::Mount].into_iter().all(is_own)
    }

    /// Whether both are in the same user namespace, and that is not the collector's.
    fn shares_users(&self, of: &Identity) -> bool {
        let own = namespaces::own(Kind::User);
        let visible = of.key.is_visible().then_some(of.key.pid);
        let theirs = of.pidfd.as_ref().and_then(|pidfd| namespaces::inode_in(pidfd, visible, Kind::User));
        self.user_ns.is_some() && self.user_ns != own && self.user_ns == theirs
    }

    fn shares_group(&self, of: &Identity) -> bool {
        if of.cgroup != 0 && self.own.cgroup != 0 {
            return of.cgroup == self.own.cgroup;
        }
        let group = |key: ProcessKey| key.is_visible().then(|| procfs::cgroup(key.pid.0)).flatten();
        match (group(of.key), group(self.own.key)) {
            (Some(theirs), Some(own)) => theirs == own,
            // Neither has a number here: all that is known is that they share a namespace.
            _ => of.key.namespace.is_some() && of.key.namespace == self.own.key.namespace,
        }
    }

    fn has_made(&self, of: &Identity) -> bool {
        if !self.own.key.is_visible() || !of.key.is_visible() {
            return false;
        }
        let mut pid = of.key.pid;
        for _ in 0..MOST_ANCESTORS {
            match procfs::stat(pid.0).map(|stat| Pid(stat.ppid)) {
                Some(parent) if parent == self.own.key.pid => return true,
                Some(Pid(0)) | None => return false,
                Some(parent) => pid = parent,
            }
        }
        false
    }

    fn owe(&mut self, said: u32, count: u64) {
        if self.owed.len() < MOST_OWED || self.owed.contains_key(&said) {
            let owed = self.owed.entry(said).or_default();
            *owed = owed.saturating_add(count);
        } else {
            self.refused = self.refused.saturating_add(count);
        }
    }

    /// Says, once, that a process is not heard of.
    fn complain(&mut self, said: u32, why: &str) {
        if std::mem::replace(&mut self.has_complained, true) {
            return;
        }
        let pid = self.own.own_pid;
        say(&format!(
            "the supervisor {pid} tells of process {said}, which {why}; what it tells of such processes is counted \
             as lost"
        ));
    }

    /// What was refused, as a loss of the supervisor's own; where only its word says which process that is,
    /// in words alone.
    fn take_refused(&mut self) -> Option<Sent> {
        let count = std::mem::take(&mut self.refused);
        let (process, at, reason) = (self.own.key, MonoNs::now(), LossReason::RingFull);
        self.told = Instant::now();
        if count > 0 && !process.is_visible() {
            let pid = self.own.own_pid;
            say(&format!(
                "{count} calls that the supervisor {pid} of another pid namespace told of are lost"
            ));
            return None;
        }
        (count > 0).then_some(Sent::Lost { process, at, count, reason })
    }

    /// Takes the descriptor of a process out of what came with a packet, and closes the rest in its own time.
    fn take_pidfd(&self, descriptors: Vec<OwnedFd>) -> Option<OwnedFd> {
        let own = std::process::id();
        let is_pidfd = |fd: &OwnedFd| procfs::number_behind_pidfd(own, fd.as_raw_fd()).is_some();
        let mut descriptors = descriptors.into_iter();
        let first = descriptors.next();
        self.janitor.close(descriptors);
        match first {
            Some(fd) if is_pidfd(&fd) => Some(fd),
            other => {
                self.janitor.close(other);
                None
            }
        }
    }
}

/// Whether a process may trace this one, as ptrace(2) decides: it is in the same user, pid and mount
/// namespaces, of the same user or root, and has each capability that this one has.
///
/// `spoken` is the real user of the sender of its message, when that was sent, and the effective one of who
/// connected, if that is the sender: the process may execute a set-user-id program after it has spoken.
pub fn is_equal(process: &Identity, spoken: Option<(u32, u32)>) -> bool {
    let Some(pidfd) = process.pidfd.as_ref().filter(|_| process.key.is_visible()) else { return false };
    let pid = process.key.pid;
    let shares = |kind| {
        let theirs = namespaces::inode_in(pidfd, Some(pid), kind);
        theirs.is_some() && theirs == namespaces::own(kind)
    };
    let own = procfs::uids(std::process::id()).map(|(_, effective)| effective);
    let is_of_user = |uid| uid == 0 || Some(uid) == own;
    let is_of_user = process.euid.is_some_and(is_of_user)
        && spoken.is_some_and(|(real, effective)| is_of_user(real) && is_of_user(effective));
    let capabilities = |pid, name| u64::from_str_radix(procfs::status(pid, name)?.trim(), 16).ok();
    let has_all = capabilities(std::process::id(), "CapPrm")
        .zip(capabilities(pid.0, "CapEff"))
        .is_some_and(|(own, theirs)| own & !theirs == 0);
    // The number was the process's all the while.
    is_of_user
        && [Kind::User, Kind::Pid, Kind::Mount].into_iter().all(shares)
        && has_all
        && !kernel::is_dead(pidfd)
}

impl Reader for Guest {
    const NAP: Duration = Duration::from_micros(100);

    fn take(&mut self, packet: &[u8], descriptors: Vec<OwnedFd>) -> Option<Vec<Sent>> {
        let has_descriptors = !descriptors.is_empty();
        let mut pidfd = self.take_pidfd(descriptors);
        if has_descriptors && self.janitor.is_full() {
            return None;
        }
        let (mut all, mut owed) = (Vec::new(), None);
        let Some((said, messages)) = packet::open(packet) else { return Some(all) };
        for message in messages {
            // The start of what is introduced comes before its losses.
            if !matches!(message, Message::Seen(_) | Message::Began(..)) {
                all.extend(owed.take());
            }
            match message.not_after(MonoNs::now()) {
                Message::Seen(seen) => {
                    let pidfd = pidfd.take();
                    let is_awaited = pidfd.is_some();
                    let introduced = self.introduce(said, seen, pidfd);
                    if let Err(why) = introduced {
                        self.known.remove(&said);
                        self.complain(said, why);
                    }
                    let lost = self.owed.remove(&said).map(Message::Lost).zip(self.key_of(said));
                    all.extend(introduced);
                    owed = lost.and_then(|(lost, (process, instance))| lost.of(process, instance));
                    self.is_awaited |= is_awaited;
                }
                // Of such a program the collector goes by the reason that its introduction names.
                Message::Executed(..) | Message::Begun(..) if !self.is_equal => {}
                Message::Began(started, reason) => match self.key_of(said) {
                    Some((process, _)) => {
                        all.push(Sent::Began { process, started: Box::new(started), reason })
                    }
                    None => self.refused += 1,
                },
                message => match (self.key_of(said), message) {
                    (Some((process, instance)), message) => all.extend(message.of(process, instance)),
                    (None, Message::Lost(count)) => self.owe(said, count),
                    (None, _) => self.refused += 1,
                },
            }
        }
        all.extend(owed);
        if self.told.elapsed() > TOLD_EVERY {
            all.extend(self.take_refused());
        }
        Some(all)
    }

    fn passed_on(&mut self, socket: &OwnedFd) {
        if std::mem::take(&mut self.is_awaited) {
            let _ = send(socket, HEARD, SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
        }
    }

    fn lose_one(&mut self) {
        self.refused += 1;
    }

    fn last(&mut self, socket: &OwnedFd) -> Vec<Sent> {
        // The last close of the socket is another thread's, and is to find nothing in it.
        let _ = shutdown(socket, Shutdown::Both);
        loop {
            match peers::receive(socket, &mut [0; 8]) {
                // The kernel names the sender of a packet, and none of the end.
                Ok(Received { len: 0, descriptors, sender })
                    if descriptors.is_empty() && sender.uid.is_none() =>
                {
                    break;
                }
                Ok(Received { descriptors, .. }) => self.janitor.close(descriptors),
                Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionReset) => {
                }
                Err(_) => break,
            }
        }
        let owed = self.owed.drain().map(|(_, count)| count);
        self.refused = owed.fold(self.refused, u64::saturating_add);
        let gone = Sent::SupervisorGone { process: self.own.key };
        self.take_refused().into_iter().chain([gone]).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;
    use std::os::fd::AsFd;
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command};

    use super::super::reports::Reports;
    use super::super::ring::{Found, Packets};
    use super::super::sightings::Sightings;
    use super::super::way::{self, Ends, Way};
    use super::*;
    use crate::allowance::Allowances;
    use crate::shell::listeners::tests::{lingering, returns};

    fn identity_of(pid: u32) -> Identity {
        let uid = procfs::uids(pid).map(|(real, _)| real);
        let sender = Sender { pid, uid, pidfd: procfs::open(pid) };
        Identity::of(sender, uid, Said { pid, ppid: 0, pid_ns: 0, file: Default::default() })
    }

    /// A supervisor that is this process, or seems to be of another user.
    /// What this process would have spoken as.
    fn here() -> Option<(u32, u32)> {
        let ids = [rustix::process::getuid(), rustix::process::geteuid()].map(|uid| uid.as_raw());
        Some(ids.into())
    }

    fn guest(uid: u32) -> Guest {
        let own = Identity { uid: Some(uid), euid: Some(uid), ..identity_of(std::process::id()) };
        let place = Allowances::within(1024).account(own.peer()).take(Resource::Rings).unwrap();
        Guest::new(own, false, place, 7, Janitor::default())
    }

    /// Runs `sleep` through another program, and waits until it is that; gives it with its number.
    fn sleep_through(words: &[&str]) -> (Sleep, u32) {
        let child = Sleep(Command::new(words[0]).args(&words[1..]).args(["sleep", "30"]).spawn().unwrap());
        let begun = Instant::now();
        loop {
            let pid = child.0.id();
            let all = [vec![pid], procfs::children(pid)].concat();
            let found = all.into_iter().find(|pid| procfs::comm(*pid).is_some_and(|comm| comm == b"sleep"));
            if let Some(found) = found {
                return (child, found);
            }
            assert!(begun.elapsed() < Duration::from_secs(10), "{words:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends with the test.
    struct Sleep(Child);

    impl Sleep {
        fn of(uid: Option<u32>) -> Self {
            let mut command = Command::new("sleep");
            command.arg("30");
            if let Some(uid) = uid {
                command.uid(uid);
            }
            Self(command.spawn().unwrap())
        }
    }

    impl Drop for Sleep {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    fn introduce(guest: &mut Guest, pid: u32, fd: Option<OwnedFd>) -> Result<Sent, &'static str> {
        guest.introduce(pid, Seen::default(), fd)
    }

    #[test]
    fn its_own_child_is_known_by_the_kernels_word() {
        let child = Sleep::of(None);
        let (pid, own) = (child.0.id(), std::process::id());
        let mut guest = guest(rustix::process::getuid().as_raw());

        // The number that the supervisor says is one of its own namespace.
        let sent = introduce(&mut guest, 4, procfs::open(pid)).unwrap();

        let Sent::Introduced(introduced) = sent else { panic!("{sent:?}") };
        let Introduced { identity, .. } = *introduced;
        assert_eq!((ProcessKey::here(Pid(pid)), Some(Pid(own))), (identity.key, identity.ppid));
        assert_eq!(Some(ProcessKey::here(Pid(pid))), guest.key_of(4).map(|(key, _)| key));
        drop(child);
        std::thread::sleep(AFTER_DEATH * 2);
        assert_eq!(None, guest.key_of(4));
    }

    #[test]
    fn what_is_no_process_or_another_users_is_not_heard_of() {
        let file = std::fs::File::open("/proc/self/exe").unwrap();
        let child = Sleep::of(None);
        let own = rustix::process::getuid().as_raw();
        let mut gone = Sleep::of(None);
        let pidfd_of_gone = procfs::open(gone.0.id());
        gone.0.kill().unwrap();
        gone.0.wait().unwrap();

        let of_own = &mut guest(own);
        assert!(introduce(of_own, 4, Some(file.into())).is_err());
        assert!(introduce(of_own, 4, None).is_err());
        assert!(introduce(of_own, 4, pidfd_of_gone).is_err());
        let of_other = &mut guest(12345);
        let refused = introduce(of_other, child.0.id(), procfs::open(child.0.id()));
        assert_eq!(Err("is not of its container or user"), refused.map(drop));
        assert_eq!((None, None), (of_own.key_of(4), of_other.key_of(child.0.id())));
        if own == 0 {
            let of_nobody = Sleep::of(Some(65534));
            assert!(introduce(of_own, 5, procfs::open(of_nobody.0.id())).is_ok());
        }
    }

    /// As `glassbox attach` does from a session of its own, for a service.
    #[test]
    fn one_beside_the_collector_speaks_of_its_users_processes_in_other_control_groups() {
        let process = identity_of(std::os::unix::process::parent_id());
        let in_group = |cgroup| Identity { cgroup, ..identity_of(process.key.pid.0) };
        let mut guest = guest(process.uid.unwrap());
        guest.own.cgroup = 1;

        assert!(guest.is_beside);
        assert!(guest.may_speak_of(&in_group(2)));
        assert!(
            !guest.may_speak_of(&Identity { uid: Some(12345), ..in_group(2) }) || guest.own.uid == Some(0)
        );
        guest.is_beside = false;
        assert!(!guest.may_speak_of(&in_group(2)) && guest.may_speak_of(&in_group(1)));
    }

    /// Root alone can start a process of another user.
    #[test]
    fn a_user_beside_the_collector_speaks_of_no_process_with_more_rights_than_his() {
        let (own, other) = (rustix::process::getuid().as_raw(), 65534);
        if own != 0 {
            return;
        }
        let sleep = Sleep::of(Some(other));
        let process = || identity_of(sleep.0.id());
        let guest = guest(other);
        assert!(guest.may_trace(&process()));
        assert!(!guest.may_trace(&Identity { euid: Some(0), ..process() }));
        // What is not dumpable has files in /proc that are root's.
        let roots = Identity { uid: Some(other), euid: Some(other), ..identity_of(std::process::id()) };
        assert!(!guest.may_trace(&roots));
    }

    #[test]
    fn what_may_trace_this_collector_speaks_of_all() {
        assert!(is_equal(&identity_of(std::process::id()), here()));
        let child = Sleep::of(None);
        let own = identity_of(child.0.id());
        assert!(is_equal(&own, here()));
        let place = Allowances::within(1024).account(own.peer()).take(Resource::Rings).unwrap();
        let equal = Guest::new(own, true, place, 7, Janitor::default());
        // Neither made by it, nor of its user.
        assert!(equal.may_speak_of(&Identity { uid: Some(54321), cgroup: 1, ..Identity::default() }));
        drop(child);
        assert!(!is_equal(&Identity { euid: None, ..identity_of(std::process::id()) }, here()));
        // It executed a set-user-id program since, or another process connected.
        for spoken in [Some((12345, 0)), Some((0, 12345)), None] {
            assert!(!is_equal(&identity_of(std::process::id()), spoken), "{spoken:?}");
        }
    }

    /// Root of a user namespace, root in a container, root without its rights, another user.
    #[test]
    fn strangers_that_look_like_root_do_not() {
        let mut ways = vec![vec!["unshare", "--user", "--map-root-user"]];
        if rustix::process::geteuid().is_root() {
            ways.push(vec!["unshare", "--mount"]);
            ways.push(vec!["unshare", "--pid", "--fork"]);
            ways.push(vec!["setpriv", "--bounding-set=-sys_ptrace"]);
            ways.push(vec!["setpriv", "--reuid=12345"]);
        }
        for way in ways {
            let (_child, pid) = sleep_through(&way);
            let stranger = identity_of(pid);
            assert!(stranger.key.is_visible() && stranger.euid.is_some(), "{way:?}");
            assert!(!is_equal(&stranger, Some((0, 0))), "{way:?}");
        }
    }

    #[test]
    fn a_record_of_a_process_that_was_not_introduced_is_a_loss_of_the_supervisors() {
        let (mut ours, Ends { socket, memfd }) = Way::pair().map(|(a, b)| (Reports::to(a), b)).unwrap();
        let mut packets = Packets::of(memfd.unwrap()).unwrap();
        let mut guest = guest(rustix::process::getuid().as_raw());
        let head = wire::record::Head {
            time_ns: 1,
            seq: 0,
            ret: 0,
            pid: 1,
            tid: 1,
            kind: 1,
            call: 0,
            errno: 0,
            via: 3,
            flags: 0,
        };
        ours.begin(1);
        ours.record(&head, b"");
        ours.send(1);
        ours.lose(1, 5);
        ours.finish();

        let tail = packets.tail();
        for _ in 0..2 {
            let Found::Packet(packet, _) = packets.next(tail) else { panic!() };
            assert!(guest.take(packet, Vec::new()).unwrap().is_empty());
        }
        assert_eq!(Found::Nothing, packets.next(tail));

        let last = guest.last(&socket);
        let [Sent::Lost { process, count: 6, .. }, Sent::SupervisorGone { .. }] = last.as_slice() else {
            panic!("{last:?}")
        };
        assert_eq!(&guest.key(), process);
    }

    #[test]
    fn lingering_socket_in_place_of_a_process_holds_nobody_up() {
        // Each leaves the last descriptor of one at another place: an empty packet looks like the end.
        for packets in [&[&[0; 12][..]][..], &[&[0; 8]], &[b"x"], &[b""], &[b"", b"y"]] {
            let (slow, peer) = lingering();
            let (ours, theirs) = Way::pair().unwrap();
            let slow = OwnedFd::from(slow);
            for packet in packets {
                way::send(&ours.socket, &[IoSlice::new(packet)], &[slow.as_fd()]).unwrap();
            }
            drop((slow, ours));

            let has_returned = returns(move || {
                let (sent_tx, _sent_rx) = crossbeam_channel::unbounded();
                let guest = guest(rustix::process::getuid().as_raw());
                let sightings = Sightings::read(theirs.socket, None, guest, sent_tx, Arc::default()).unwrap();
                while !sightings.is_over() {
                    std::thread::yield_now();
                }
                drop(sightings);
            });
            assert!(has_returned, "{packets:?}");
            drop(peer);
        }
    }

    #[test]
    fn one_process_under_two_numbers_is_known_once() {
        let child = Sleep::of(None);
        let pid = child.0.id();
        let mut guest = guest(rustix::process::getuid().as_raw());

        assert!(introduce(&mut guest, 4, procfs::open(pid)).is_ok());
        let again = introduce(&mut guest, 5, procfs::open(pid)).map(drop);
        assert!(introduce(&mut guest, 4, procfs::open(pid)).is_ok());

        // Without inodes of pidfds (before Linux 6.9) the start time tells them apart.
        assert_eq!(Err("has two numbers"), again);
    }
}
