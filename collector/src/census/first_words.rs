//! The first words of an image: its `Who`, its directory and its descriptors, from its own start record, its
//! parent, or /proc.

use std::sync::Arc;

use wire::events::ProcessStart;
use wire::fields::Args;

use super::asked::Asked;
use super::image::ProcessImage;
use super::register::Census;
use crate::allowance::Peer;
use crate::container::{Claim, Container};
use crate::enrich;
use crate::enrich::process::Process;
use crate::event::{Asks, Circumstances, Claimed, Comm, Facts, Program, Who};
use crate::ids::{ImageId, MonoNs, Pid, ProcessKey, UtcNs};
use crate::rings::Rings;
use crate::system::clock::Clock;
use crate::system::lineage;
use crate::system::procfs;

/// Ancestors that have not told of themselves and are looked at: a hostile ring may name each other's child.
const MOST_ANCESTORS: usize = 16;
/// Pid namespaces of which the container is remembered.
const MOST_NAMESPACES: usize = 4096;
/// The same of one peer.
const MOST_NAMESPACES_OF_PEER: usize = 256;

impl Census {
    /// The image before `image` in the same process, where that is known still.
    pub fn before(&self, image: ImageId) -> Option<ImageId> {
        self.get(image)?.before.filter(|before| self.get(*before).is_some())
    }

    /// Whether an image has a picture, from its own start record or otherwise.
    #[inline]
    fn has_begun(&self, image: ImageId) -> bool {
        self.get(image).is_none_or(|image| image.process.is_some())
    }

    /// The picture that a program inherits which was spawned: its parent's descriptors, but for those that
    /// close at exec.
    pub fn spawned_from(&mut self, image: ImageId, start: &ProcessStart<'_>) -> Option<Process> {
        let ppid = self.ppid_of(image, start)?;
        let ProcessImage { key, own_pid, claimed, uid, has_other_rights, .. } = self.get(image)?;
        let (is_claim, uid) = (claimed.has(Claimed::PPID) && key.is_visible(), *uid);
        if *has_other_rights {
            return None;
        }
        let (parent_key, own_pid) = (key.with_pid(ppid), *own_pid);
        let parent = self.live(parent_key)?;
        let parent = self.get_mut(parent)?;
        if is_claim && parent.uid != uid {
            return None;
        }
        let process = parent.process.clone()?;
        if let Some(asked) = &mut parent.asked {
            asked.has_begun(start.path.raw, own_pid);
        }
        Some(process.without_cloexec())
    }

    fn ppid_of(&self, image: ImageId, start: &ProcessStart<'_>) -> Option<Pid> {
        let image = self.get(image)?;
        let is_own_view = !image.key.is_visible() || image.own_pid == image.key.pid;
        image.ppid.or(is_own_view.then_some(Pid(start.parent.0)))
    }

    /// The exec that asked for a program: its own process's, or its parent's.
    pub fn exec_of(&self, image: ImageId, start: &ProcessStart<'_>) -> Option<&Asked> {
        let key = self.get(image)?.key;
        let own = self.before(image).and_then(|before| self.get(before)?.asked.as_ref());
        let parents = || {
            let parent = self.get(self.live(key.with_pid(self.ppid_of(image, start)?))?)?;
            parent.asked.as_ref().filter(|asked| asked.is_for(start.path.raw))
        };
        own.or_else(parents)
    }

    /// When a program that began at `at` was asked for: by the exec that the process or its parent told of,
    /// or by the posix_spawn of a parent that has returned since.
    pub fn asked_at(&self, image: ImageId, start: &ProcessStart<'_>, at: MonoNs) -> Option<MonoNs> {
        let exec = self.exec_of(image, start).map(|asked| asked.at);
        let asked = exec.or_else(|| {
            let known = self.get(image)?;
            let parent = self.get(self.live(known.key.with_pid(self.ppid_of(image, start)?))?)?;
            parent.spawned.filter(|(child, _)| *child == known.own_pid).map(|(_, asked)| asked)
        });
        asked.filter(|asked| *asked <= at)
    }

    /// The `Who` of a program that tells of its start; `same_process` is its process before the exec.
    pub fn who_starts(
        &mut self,
        image: ImageId,
        start: &ProcessStart<'_>,
        same_process: Option<&Process>,
    ) -> Option<Who> {
        let ppid = self.ppid_of(image, start);
        let known = self.get_mut(image)?;
        let (key, account) = (known.key, Arc::clone(&known.account));
        let own_pid = Some(known.own_pid).filter(|own_pid| *own_pid != Pid(0));
        let circumstances = known.circumstances.clone();
        let made = circumstances.background.as_ref().map(|background| background.started);
        let before = same_process.map(|before| &before.who);
        let started = before.and_then(|before| before.program.facts.started).or(made);
        let comm = Comm::of_path(start.path.raw.unwrap_or_default());
        let facts = Facts { comm, own_pid, started };
        let (uid, euid, said_ids) = (known.uid, known.euid, (start.real_uid.0, start.effective_uid.0));
        let mut claimed = known.claimed.and_if(known.ppid.is_none() && ppid.is_some(), Claimed::PPID);
        let (seen, file) = (std::mem::take(&mut known.exe), known.file);
        claimed = claimed.and_if(seen.is_empty(), Claimed::EXE);
        let exe = match (seen.is_empty(), start.image.0) {
            (false, _) => seen,
            (true, []) => {
                let now = MonoNs::now();
                let found = self.programs.executable_of(start, file, now, &account, &mut self.examiner);
                found.unwrap_or_default()
            }
            (true, said) => procfs::without_deletion(said).to_vec(),
        };
        let argv = packed(&start.argv);
        let program = match same_process {
            // A program that replaces another has the same ancestors.
            Some(before) => {
                let parent = before.who.program.parent.clone();
                Program::charged(key.pid, exe.into(), argv, parent, &account)
            }
            None => {
                let parent = self.parent_program(key, ppid);
                let parent = if parent.is_some() { parent } else { self.unseen_parent(image) };
                Program::charged(key.pid, exe.into(), argv, parent, &account)
            }
        };
        let program = program.with(facts);
        let claim = self.get(image).and_then(|image| image.claim.as_ref());
        let (container, is_claim) = self.container_of(key, ppid, claim, same_process);
        Some(Who {
            program,
            ppid,
            uid: uid.or(Some(said_ids.0)),
            euid: euid.or(Some(said_ids.1)),
            pid_ns: key.namespace,
            uid_inside: None,
            mnt_ns: None,
            container,
            claimed: claimed
                .and_if(uid.is_none(), Claimed::UID)
                .and_if(euid.is_none(), Claimed::EUID)
                .and_if(is_claim, Claimed::CONTAINER),
            circumstances: Circumstances { egid: Some(start.egid), ..circumstances },
            claimant: key.claimant,
        })
    }

    /// Gives an image its picture.
    pub fn set_process(&mut self, image: ImageId, mut process: Process) {
        if let Some(image) = self.get(image) {
            process.charge(&image.account);
        }
        let named =
            self.get(image).filter(|image| !image.key.is_claim()).and_then(|image| image.key.namespace);
        if let (Some(namespace @ 1..), Some(container)) = (named, &process.who.container) {
            let container = Arc::clone(container);
            let peer = self.get(image).map(|image| image.account.peer).unwrap_or_default();
            self.name_namespace(namespace, container, peer);
        }
        let Some(image) = self.get_mut(image) else { return };
        for (fd, link) in image.seed.drain(..) {
            process.seed(fd, &link);
        }
        image.process = Some(process);
    }

    /// Remembers the container of a pid namespace. One peer's make way for each other: any user may make pid
    /// namespaces.
    fn name_namespace(&mut self, namespace: u64, container: Arc<Container>, peer: Peer) {
        if self.containers.contains_key(&namespace) {
            return;
        }
        let of_peer = self.containers.iter().filter(|(_, (_, other))| *other == peer);
        let numbers: Vec<u64> = of_peer.map(|(number, _)| *number).collect();
        let is_full = self.containers.len() >= MOST_NAMESPACES;
        if numbers.len() >= MOST_NAMESPACES_OF_PEER || is_full {
            // Inodes of namespaces are given out in turn (`proc_alloc_inum`), so the smallest is the oldest,
            // as a rule.
            let Some(oldest) = numbers.iter().min() else { return };
            self.containers.remove(oldest);
        }
        self.containers.insert(namespace, (container, peer));
    }

    /// Gives an image that has not told of itself (a fork child, one that was taken over) a picture from its
    /// ancestors or /proc, unless it has one. Its ancestors come first.
    #[inline]
    pub fn begin(&mut self, image: ImageId, rings: &Rings) {
        if !self.has_begun(image) {
            self.begin_line(image, rings);
        }
    }

    fn begin_line(&mut self, image: ImageId, rings: &Rings) {
        let mut line = vec![image];
        while line.len() <= MOST_ANCESTORS
            && let Some(parent) = line.last().and_then(|youngest| self.parent_of(*youngest, rings))
            && self.get(parent).is_some_and(|parent| parent.process.is_none() && parent.slot != Some(0))
            && !line.contains(&parent)
        {
            line.push(parent);
        }
        for image in line.into_iter().rev() {
            if let Some(process) = self.picture_of(image, rings) {
                self.set_process(image, process);
            }
        }
    }

    fn picture_of(&self, id: ImageId, rings: &Rings) -> Option<Process> {
        let image = self.get(id)?;
        let key = image.key;
        let own_pid = Some(image.own_pid).filter(|own_pid| *own_pid != Pid(0));
        let same_process = image.before.and_then(|before| self.get(before)?.process.as_ref());
        let inherited = || {
            let ring = image.ring?;
            let parent = self.parent_of(id, rings).and_then(|parent| self.get(parent)?.process.as_ref());
            let owner = || self.get(rings.get(ring)?.writers[0]?)?.process.as_ref();
            parent
                .or_else(|| self.families.departed(ring, image.own_ppid))
                .or_else(owner)
                .or_else(|| self.families.owner(ring))
        };
        let known = same_process.or_else(|| if image.slot == Some(0) { None } else { inherited() });
        if let Some(known) = known {
            let program = match same_process {
                Some(before) => Arc::clone(&before.who.program),
                None => {
                    let Program { exe, argv, facts, .. } = &*known.who.program;
                    let parent = Arc::clone(&known.who.program);
                    let program = Program::new(key.pid, Arc::clone(exe), Arc::clone(argv), Some(parent));
                    // The moment of the fork, as the child says it.
                    let born = Some(image.born).filter(|born| *born != MonoNs::ZERO);
                    let started = born.map(|born| UtcNs(Clock::sample().utc_ns(born.0)));
                    program.with(Facts { own_pid, started, ..*facts })
                }
            };
            let own = Claimed::PID.and(Claimed::PPID).and(Claimed::PID_NS);
            let claimed = known.who.claimed.without(own).and(image.claimed);
            let ppid = image.ppid;
            let (pid_ns, claimant) = (key.namespace, key.claimant);
            let who = Who { program, ppid, pid_ns, claimed, claimant, ..(*known.who).clone() };
            let mut process = known.fork(who, id);
            self.place(image, &mut process);
            return Some(process);
        }
        let pid = key.pid.0;
        // What the kernel said of one whose call it told of is older than this look.
        let is_seen = image.ring.is_none() && image.uid.is_some() && image.euid.is_some();
        let uids = if key.is_visible() && !is_seen { procfs::uids(pid) } else { None };
        let stat = if key.is_visible() { procfs::stat(pid) } else { None };
        let ppid = stat.map(|stat| Pid(stat.ppid)).or(image.ppid);
        let comm = if key.is_visible() { procfs::comm(pid) } else { None };
        let comm = comm.map_or(Comm::default(), |comm| Comm::new(&comm));
        let (container, is_claim) = self.container_of(key, image.ppid, image.claim.as_ref(), None);
        let program = self.program_of(key, ppid, image.exe.as_slice().into(), Arc::default());
        let who = Who {
            program: program.with(Facts { comm, own_pid, started: None }),
            ppid,
            uid: uids.map(|(uid, _)| uid).or(image.uid),
            euid: uids.map(|(_, euid)| euid).or(image.euid),
            pid_ns: key.namespace,
            uid_inside: None,
            mnt_ns: None,
            container,
            claimed: image.claimed.and_if(is_claim, Claimed::CONTAINER),
            circumstances: image.circumstances.clone(),
            claimant: key.claimant,
        };
        let mut process = Process::new(who, id);
        enrich::find_root(&mut process);
        self.place(image, &mut process);
        if let Some(cwd) = procfs::cwd(pid).filter(|_| key.is_visible()) {
            process.change_directory(&cwd);
        }
        Some(process)
    }

    /// A program whose parent, where that is seen, is the live image of `ppid`.
    pub fn program_of(
        &self,
        key: ProcessKey,
        ppid: Option<Pid>,
        exe: Arc<[u8]>,
        argv: Arc<[u8]>,
    ) -> Arc<Program> {
        Program::new(key.pid, exe, argv, self.parent_program(key, ppid))
    }

    fn parent_program(&self, key: ProcessKey, ppid: Option<Pid>) -> Option<Arc<Program>> {
        let parent = self.get(self.live(key.with_pid(ppid?))?)?.process.as_ref()?;
        Some(Arc::clone(&parent.who.program))
    }

    /// The parent that the kernel named at the hello of an image, and those above it, as /proc shows them;
    /// where rules ask for them.
    fn unseen_parent(&mut self, image: ImageId) -> Option<Arc<Program>> {
        let is_asked = self.asks.has(Asks::ANCESTORS);
        let image = self.get(image).filter(|image| is_asked && image.key.is_visible())?;
        let (account, ppid, asked) = (Arc::clone(&image.account), image.ppid?, image.standpoint.asked);
        if image.claimed.has(Claimed::PPID) || asked == MonoNs::ZERO {
            return None;
        }
        let payer = Arc::clone(&account);
        self.examiner.ask(&account, move || lineage::above(ppid, asked, &payer)).flatten()
    }

    /// The image that a fork child was forked from, if it is still known.
    fn parent_of(&self, id: ImageId, rings: &Rings) -> Option<ImageId> {
        let image = self.get(id)?;
        let is_parent = |other: &ProcessImage| other.own_pid == image.own_ppid && other.id != id;
        let in_ring = image.ring.and_then(|ring| rings.get(ring)).and_then(|ring| {
            let mut writers = ring.slots().map(|(_, other)| other);
            writers.find(|other| self.get(*other).is_some_and(is_parent))
        });
        // A child whose parent is gone has another one, by the kernel's count, and has nothing from it. Only
        // those whose child it was share its ring.
        let is_relative = |other: &ImageId| {
            image.ring.is_none() || self.get(*other).is_some_and(|other| other.ring == image.ring)
        };
        in_ring.or_else(|| self.live(image.key.with_pid(image.ppid?)).filter(is_relative))
    }

    /// The container of a process, and whether only the process says so. In this order: the kernel's word;
    /// for a process that executes a program, its container before; the process's own word; its parent's
    /// container; that of any process that the kernel knows in its pid namespace. The last two are for a
    /// process whose environment was emptied.
    pub fn container_of(
        &self,
        key: ProcessKey,
        ppid: Option<Pid>,
        claim: Option<&Claim>,
        same_process: Option<&Process>,
    ) -> (Option<Arc<Container>>, bool) {
        let of = |process: &Process| {
            let container = process.who.container.clone()?;
            Some((container, process.who.claimed.has(Claimed::CONTAINER)))
        };
        let said = |claim: &Claim| (Arc::clone(&claim.container), !claim.is_certain);
        let parent = || self.get(self.live(key.with_pid(ppid?))?)?.process.as_ref();
        let found = claim
            .filter(|claim| claim.is_certain)
            .map(said)
            .or_else(|| same_process.and_then(of))
            .or_else(|| claim.map(said))
            .or_else(|| of(parent()?))
            .or_else(|| Some((Arc::clone(&self.containers.get(&key.namespace?)?.0), true)));
        found.map_or((None, false), |(container, is_claim)| (Some(container), is_claim))
    }
}

/// An argument vector, each string ended by a NUL.
fn packed(argv: &Args<'_>) -> Arc<[u8]> {
    match argv {
        Args::Packed(bytes) if bytes.is_empty() || bytes.ends_with(&[0]) => (*bytes).into(),
        other => other.iter().flat_map(|string| string.iter().copied().chain([0])).collect(),
    }
}
