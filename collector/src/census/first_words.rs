//! The first words of an image: its `Who`, its directory and its descriptors, from its own start record, its
//! parent, or /proc.

use std::sync::Arc;

use wire::events::ProcessStart;
use wire::fields::Args;

use super::image::ProcessImage;
use super::register::Census;
use crate::container::{Claim, Container};
use crate::enrich::process::Process;
use crate::event::{Program, Who};
use crate::ids::{ImageId, Pid, ProcessKey};
use crate::rings::Rings;
use crate::system::procfs;

/// Ancestors that have not told of themselves and are looked at: a hostile ring may name each other's child.
const MOST_ANCESTORS: usize = 16;

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
        let ProcessImage { key, own_pid, .. } = self.get(image)?;
        let (parent_key, own_pid) = (ProcessKey { pid: ppid, ..*key }, *own_pid);
        let parent = self.live(parent_key)?;
        let parent = self.get_mut(parent)?;
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

    /// The `Who` of a program that tells of its start; `same_process` is its process before the exec.
    pub fn who_starts(
        &mut self,
        image: ImageId,
        start: &ProcessStart<'_>,
        same_process: Option<&Process>,
    ) -> Option<Who> {
        let ppid = self.ppid_of(image, start);
        let known = self.get_mut(image)?;
        let key = known.key;
        let seen = std::mem::take(&mut known.exe);
        let exe = match start.image.0 {
            [] if seen.is_empty() => self.programs.executable_of(start).unwrap_or_default(),
            [] => seen,
            said => said.to_vec(),
        };
        let claim = self.get(image).and_then(|image| image.claim.as_ref());
        let argv = packed(&start.argv);
        let program = match same_process {
            // A program that replaces another has the same ancestors.
            Some(before) => Program::new(key.pid, exe.into(), argv, before.who.program.parent.clone()),
            None => self.program_of(key, ppid, exe.into(), argv),
        };
        Some(Who {
            program,
            ppid,
            uid: Some(start.real_uid.0),
            euid: Some(start.effective_uid.0),
            pid_ns: key.namespace,
            container: self.container_of(key, ppid, claim, same_process),
        })
    }

    /// Gives an image its picture.
    pub fn set_process(&mut self, image: ImageId, mut process: Process) {
        let Some(image) = self.get_mut(image) else { return };
        for (fd, link) in image.seed.drain(..) {
            process.seed(fd, &link);
        }
        image.process = Some(process);
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
                    let Program { exe, argv, .. } = &*known.who.program;
                    let parent = Arc::clone(&known.who.program);
                    Program::new(key.pid, Arc::clone(exe), Arc::clone(argv), Some(parent))
                }
            };
            let who = Who { program, ppid: image.ppid, pid_ns: key.namespace, ..(*known.who).clone() };
            return Some(known.fork(who, id));
        }
        let pid = key.pid.0;
        let uids = if key.is_visible() { procfs::uids(pid) } else { None };
        let stat = if key.is_visible() { procfs::stat(pid) } else { None };
        let ppid = stat.map(|stat| Pid(stat.ppid)).or(image.ppid);
        let who = Who {
            program: self.program_of(key, ppid, image.exe.as_slice().into(), Arc::default()),
            ppid,
            uid: uids.map(|(uid, _)| uid).or(image.uid),
            euid: uids.map(|(_, euid)| euid).or(image.uid),
            pid_ns: key.namespace,
            container: self.container_of(key, image.ppid, image.claim.as_ref(), None),
        };
        let mut process = Process::new(who, id);
        if let Some(cwd) = procfs::cwd(pid).filter(|_| key.is_visible()) {
            process.cwd = cwd.into();
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
        let parent = ppid.and_then(|pid| self.live(ProcessKey { pid, ..key }));
        let parent = parent.and_then(|parent| self.get(parent)?.process.as_ref());
        Program::new(key.pid, exe, argv, parent.map(|parent| Arc::clone(&parent.who.program)))
    }

    /// The image that a fork child was forked from, if it is still known.
    fn parent_of(&self, id: ImageId, rings: &Rings) -> Option<ImageId> {
        let image = self.get(id)?;
        let is_parent = |other: &ProcessImage| other.own_pid == image.own_ppid && other.id != id;
        let in_ring = image.ring.and_then(|ring| rings.get(ring)).and_then(|ring| {
            let mut writers = ring.writers.iter().flatten().copied();
            writers.find(|other| self.get(*other).is_some_and(is_parent))
        });
        in_ring.or_else(|| self.live(ProcessKey { pid: image.ppid?, ..image.key }))
    }

    /// The container of a process. In this order: the kernel's word; for a process that executes a program,
    /// its container before; the process's own word; its parent's container; that of any process in its pid
    /// namespace. The last two are for a process whose environment was emptied.
    pub fn container_of(
        &self,
        key: ProcessKey,
        ppid: Option<Pid>,
        claim: Option<&Claim>,
        same_process: Option<&Process>,
    ) -> Option<Arc<Container>> {
        let certain = claim.filter(|claim| claim.is_certain);
        let of = |process: &Process| process.who.container.clone();
        let of_image = |image: &ProcessImage| image.process.as_ref().and_then(of);
        certain
            .map(|claim| Arc::clone(&claim.container))
            .or_else(|| same_process.and_then(of))
            .or_else(|| claim.map(|claim| Arc::clone(&claim.container)))
            .or_else(|| of_image(self.get(self.live(ProcessKey { pid: ppid?, ..key })?)?))
            .or_else(|| {
                // 0 stands for a namespace without a known inode.
                let namespace = key.namespace.filter(|namespace| *namespace != 0)?;
                let mut mates = self.iter().filter(|image| image.key.namespace == Some(namespace));
                mates.find_map(of_image)
            })
    }
}

/// An argument vector, each string ended by a NUL.
fn packed(argv: &Args<'_>) -> Arc<[u8]> {
    match argv {
        Args::Packed(bytes) if bytes.is_empty() || bytes.ends_with(&[0]) => (*bytes).into(),
        other => other.iter().flat_map(|string| string.iter().copied().chain([0])).collect(),
    }
}
