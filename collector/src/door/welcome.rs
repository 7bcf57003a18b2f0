//! Hellos: checks what a sensor sent, maps its ring, and passes that on.

use std::os::fd::OwnedFd;

use wire::hello::{Blind, Hello};

use super::Doorman;
use super::identity::{Identity, Note};
use super::news::{Attached, KeptRing, News, Unseen};
use super::supervisors::is_of_this_build;
use crate::allowance::Resource;
use crate::container::{self, Claim, Key};
use crate::ids::Pid;
use crate::launch::protocol::ToLauncher;
use crate::rings::clocks::{self, Clocks};
use crate::rings::mapping::Mapping;
use crate::shell::failure::say;
use crate::system::peers::Sender;
use crate::system::procfs;

/// Users that are said to have too many rings, each once.
const MOST_TURNED_AWAY: usize = 8;

impl Doorman {
    /// Takes over the rings of a collector that died.
    pub fn take_over(&mut self, rings: Vec<KeptRing>) {
        for KeptRing { id, blob, memfd } in rings {
            self.next_ring = self.next_ring.max(id + 1);
            match Mapping::of(memfd) {
                Ok(mapping) => {
                    let words = mapping.mapped();
                    let born = Clocks::new(clocks::ahead_of_ours(words.slot(0))).born(words.slot(0));
                    let note = Note::decode(&blob).unwrap_or_default();
                    let mut identity = note.identity(born);
                    identity.claim = self.claim(&mut identity, &note.uri).map(|(_, claim)| claim);
                    let place = self.allowances.account(identity.peer()).share(Resource::Rings);
                    identity.look_around(place.account());
                    identity.look_behind(self.asks, false);
                    self.tell(News::Attached(Box::new(Attached {
                        id,
                        mapping,
                        identity,
                        place,
                        lifeline: None,
                        own_ns: 0,
                        own_fds: [-1; 2],
                        is_inherited: true,
                    })));
                }
                Err(refusal) => self.complain(&format!("cannot take over a ring: {}", refusal.reason())),
            }
        }
    }

    /// The container of a process, by what the process says and what the kernel shows. Notes its pod.
    pub(super) fn claim(&mut self, identity: &mut Identity, uri: &[u8]) -> Option<(Key, Claim)> {
        let pid = identity.key.pid;
        let cgroup = identity.key.is_visible().then(|| procfs::cgroup(pid.0)).flatten();
        identity.circumstances.pod = container::pod_of(cgroup.as_deref().unwrap_or_default());
        let group = cgroup.as_deref().map(container::named_by_cgroup).unwrap_or_default();
        // Once: every process of a container says the same, and other complaints are to be heard too.
        if self.containers.is_refused(uri) && !std::mem::replace(&mut self.has_refused, true) {
            self.complain(&format!(
                "process {pid} names container metadata at '{}', which is not asked; set {} for the collector if it \
                 should be",
                String::from_utf8_lossy(uri).escape_debug(),
                container::VARIABLE
            ));
        }
        self.containers.find(uri, group, identity.peer())
    }

    /// Checks that a hello comes from a sensor of this build, and that its descriptor is a ring. `None` where
    /// the hello must not be believed; `Some(None)` where it brings no ring.
    fn check(
        &mut self,
        sender: &Sender,
        hello: &Hello<'_>,
        memfd: Option<OwnedFd>,
    ) -> Option<Option<(OwnedFd, Mapping)>> {
        let pid = sender.pid;
        if !is_of_this_build(hello) {
            self.janitor.close(memfd);
            self.complain(&format!(
                "process {pid} brings a sensor of another version and is not seen; give it the libglassbox.so of this \
                 glassbox"
            ));
            return None;
        }
        let Some(memfd) = memfd else { return Some(None) };
        match Mapping::of(&memfd) {
            Ok(mapping) => Some(Some((memfd, mapping))),
            Err(refusal) => {
                self.janitor.close([memfd]);
                self.complain(&format!(
                    "process {pid} sent something else than a ring ({}) and is not seen",
                    refusal.reason()
                ));
                None
            }
        }
    }

    /// Takes no more rings of a user that has so many.
    fn turn_away(&mut self, identity: Identity) {
        let peer = identity.peer();
        // Once for all of a user's: other complaints are to be heard too.
        if self.turned_away.len() < MOST_TURNED_AWAY && self.turned_away.insert(peer.uid) {
            say(&format!(
                "{peer} runs more programs at once than are seen of one user; the rest is blind (limit)"
            ));
        }
        let is_visible = identity.key.is_visible();
        let exe = is_visible.then(|| procfs::exe_if(identity.key.pid.0, identity.file)).flatten();
        self.tell_blind(identity, exe.unwrap_or_default(), "limit");
    }

    /// Tells of a program that cannot be seen into; not of more than its user has room for in the queue.
    fn tell_blind(&mut self, identity: Identity, exe: Vec<u8>, reason: &'static str) {
        let mut share = self.allowances.account(identity.peer()).share(Resource::Bytes);
        let next_ring = self.next_ring;
        if share.grow(size_of::<News>() + size_of::<Identity>() + exe.len()) {
            self.tell(News::Blind(Box::new(Unseen { identity, exe, reason, next_ring, share })));
        }
    }

    /// Checks a hello, and passes its ring on.
    pub(super) fn welcome(
        &mut self,
        guest: &OwnedFd,
        sender: Sender,
        hello: &Hello<'_>,
        memfd: Option<OwnedFd>,
    ) {
        let memfd = match self.check(&sender, hello, memfd) {
            Some(memfd) => memfd,
            None => return,
        };
        let mut identity = Identity::of_sender(guest, sender, hello);
        identity.look_around(&self.allowances.account(identity.peer()));
        let launcher = self.launcher.is_there().then(|| Pid(std::os::unix::process::parent_id()));
        identity.is_launched =
            identity.key.is_visible() && identity.ppid.is_some() && identity.ppid == launcher;
        let pid = identity.key.pid;
        let (key, claim) = self.claim(&mut identity, hello.container).unzip();
        identity.claim = claim;
        if let Some(blind) = Blind::from_byte(hello.blind) {
            return self.tell_blind(identity, hello.exe.to_vec(), blind.reason());
        }
        let Some((memfd, mapping)) = memfd else {
            self.complain(&format!("process {pid} sent no ring and is not seen"));
            return;
        };
        let Some(place) = self.allowances.account(identity.peer()).take(Resource::Rings) else {
            return self.turn_away(identity);
        };
        let kept = if self.launcher.is_there() { memfd.try_clone().ok() } else { None };
        let (mapping, lifeline) = match hello.pid_ns {
            0 => (mapping, None),
            _ => mapping.apart(memfd),
        };
        self.rush.note(&identity);
        // At once, since a short-lived program is gone soon. Not every sensor says it itself.
        let exe = identity.key.is_visible().then(|| procfs::exe_if(pid.0, identity.file)).flatten();
        let mut identity = Identity { exe: exe.unwrap_or_default(), ..identity };
        identity.look_behind(self.asks, false);
        let id = self.next_ring;
        self.next_ring += 1;
        let blob = Note::of(&identity, hello.container).encode();
        self.launcher.send(&ToLauncher::Keep { id, blob }, kept.as_ref());
        let attached = Box::new(Attached {
            id,
            mapping,
            identity,
            place,
            lifeline,
            own_ns: hello.pid_ns,
            own_fds: hello.own_fds,
            is_inherited: false,
        });
        let attached = match self.is_hasty || self.is_finishing {
            true => Some(attached),
            false => self.waiting_room.admit(key, attached, &self.containers),
        };
        if let Some(attached) = attached {
            self.tell(News::Attached(attached));
        }
    }
}
