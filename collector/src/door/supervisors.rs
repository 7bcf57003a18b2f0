//! Supervisors that no launcher of ours started: `glassbox exec --notify`, maybe in another container.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::net::{SendFlags, send};
use wire::hello::Hello;

use super::Doorman;
use super::guests::Message;
use super::identity::Identity;
use super::news::News;
use super::wires::ToPipeline;
use crate::allowance::{Peer, Resource};
use crate::notify::guest::{self, Guest};
use crate::notify::link::{LISTENS, SUPERVISES};
use crate::notify::ring::Packets;
use crate::notify::sightings::Sightings;
use crate::rings::mapping::Refusal;
use crate::system::peers::Sender;
use crate::system::{kernel, procfs};

/// Supervisors that are heard at once; each has a thread.
const MOST: usize = 256;
/// Places of one that may trace the collector, and names no container.
const PLACES_OF_EQUAL: usize = 16;
/// Supervisors of one user, or of one container, that are heard: each takes such a part of the places of the
/// rings, since it keeps a descriptor of each process that it speaks of, and nobody has all the threads.
const OF_ONE_USER: usize = 16;

impl Doorman {
    /// Takes a supervisor in, and answers him.
    pub(super) fn hear_supervisor(&mut self, guest: OwnedFd, mut message: Message) {
        let mut descriptors = std::mem::take(&mut message.descriptors).into_iter();
        // The memory of its ring, and a process of the container that it speaks of: either may be left out.
        let (mut memfd, mut subject) = (descriptors.next(), descriptors.next());
        if memfd.as_ref().is_some_and(is_process) {
            self.janitor.close(std::mem::replace(&mut subject, memfd.take()));
        }
        self.janitor.close(descriptors);
        let sender = std::mem::take(&mut message.sender);
        let pid = sender.pid;
        let answer = |bytes: &[u8]| {
            let _ = send(&guest, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
        };
        let group = subject.as_ref().and_then(group_of);
        let taken = self.take_in(&guest, memfd.as_ref(), group, sender, message.bytes());
        // It may be anything: its last close is another thread's.
        self.janitor.close(memfd.into_iter().chain(subject));
        match taken {
            // The thread has a descriptor of its own.
            Ok(()) => return answer(LISTENS),
            Err(why) => {
                answer(why.as_bytes());
                self.complain(&format!("the supervisor {pid} is not heard: {why}"));
            }
        }
        self.janitor.dismiss(guest);
    }

    /// Notes that the launcher's supervisor is heard. What was sent before an end is waited for, so no
    /// stranger is noted so: one who never stops talking would put off all ends.
    pub fn hear_sightings(&mut self, sightings: Sightings) {
        self.tell(News::Sightings(sightings.clone()));
        self.supervisors.push(sightings);
    }

    fn take_in(
        &mut self,
        guest: &OwnedFd,
        memfd: Option<&OwnedFd>,
        group: Option<u64>,
        sender: Sender,
        bytes: &[u8],
    ) -> Result<(), &'static str> {
        const OTHER: &str = "it is of another version than the collector; give both the same glassbox";
        let hello = bytes.strip_prefix(SUPERVISES).and_then(|hello| Hello::decode(hello).ok());
        let hello = hello.filter(is_of_this_build).ok_or(OTHER)?;
        if self.is_finishing {
            return Err("the collector is about to end");
        }
        self.supervisors.retain(|supervisor| !supervisor.is_over());
        if self.supervisors.len() >= MOST {
            return Err("the collector hears as many supervisors as it can");
        }
        let spoken = sender.uid.zip(sender.effective_uid(guest));
        let mut identity = Identity::of_sender(guest, sender, &hello);
        let is_equal = guest::is_equal(&identity, spoken);
        // Beside containers of one engine, supervisors have one control group. What another one says of its
        // container is its word alone.
        let group = group.filter(|_| is_equal);
        let peer = Peer { cgroup: group.unwrap_or(identity.cgroup), ..identity.peer() };
        identity.look_around(&self.allowances.account(peer));
        identity.claim = self.claim(&mut identity, hello.container).map(|(_, claim)| claim);
        let sixteenth = (self.allowances.bound(Resource::Rings) / OF_ONE_USER).max(1);
        let places = if is_equal && group.is_none() { sixteenth.min(PLACES_OF_EQUAL) } else { sixteenth };
        let mut place = self.allowances.account(peer).share(Resource::Rings);
        if !place.grow(places) {
            return Err("its user or container runs more programs at once than are seen of one");
        }
        let packets = memfd.map(Packets::of).transpose().map_err(Refusal::reason)?;
        let connection = guest.try_clone().map_err(|_| "the collector has too few descriptors")?;
        let claimant = self.next_ring;
        self.next_ring += 1;
        let reader = Guest::new(identity, is_equal, place, claimant, self.janitor.clone());
        let process = reader.key();
        let ToPipeline { sent_tx, doorbell, .. } = self.pipeline.clone();
        let supervisor = Sightings::read(connection, packets, reader, sent_tx, doorbell);
        self.supervisors.push(supervisor.map_err(|_| "the collector has too few threads")?);
        // Before the hellos of what it starts, which waits for the answer.
        self.tell(News::Supervisor(process));
        Ok(())
    }
}

fn is_process(descriptor: &OwnedFd) -> bool {
    procfs::number_behind_pidfd(std::process::id(), descriptor.as_raw_fd()).is_some()
}

/// A number for the control groups of a process, in all hierarchies, by the kernel's word. Kernels before
/// 6.13 tell none by pidfd, and the unified hierarchy may have all in one group.
fn group_of(process: &OwnedFd) -> Option<u64> {
    let number = procfs::number_behind_pidfd(std::process::id(), process.as_raw_fd())?;
    let groups = procfs::cgroup(u32::try_from(number).ok().filter(|pid| *pid != 0)?)?;
    let mut hasher = DefaultHasher::new();
    groups.hash(&mut hasher);
    // The number was the process's all the while.
    (!kernel::is_dead(process)).then(|| hasher.finish())
}

/// Whether a hello comes from a program of this build: the tables of events and calls are the same.
pub(super) fn is_of_this_build(hello: &Hello<'_>) -> bool {
    hello.version == wire::VERSION
        && hello.events == wire::FINGERPRINT
        && hello.calls == hook_table::FINGERPRINT
}
