//! Views of the system, executable memory, and the kernel's own machinery.

use wire::events::{KernelBpf, KernelIoUring, KernelModule, KernelUserfaultfd, MemoryMap, ProcessNamespace};
use wire::fields::{Hidden, MountAttributes, NamespaceFlags, Protection};

use super::case::{Case, PATH_CAP, Place, Told};

/// A change of a process's view, with what else there is to say of it.
#[derive(Default)]
struct Change {
    flags: u64,
    source: Option<Vec<u8>>,
    filesystem: Option<Vec<u8>>,
    attributes: Option<u64>,
}

fn changed(case: &mut Case<'_>, what: &[u8], place: &Place, change: &Change) -> Option<Told> {
    case.tell(&ProcessNamespace {
        what,
        path: place.path(),
        flags: NamespaceFlags(change.flags),
        source: change.source.as_deref(),
        filesystem: change.filesystem.as_deref(),
        attributes: change.attributes.map(MountAttributes),
    })
}

pub fn setns(case: &mut Case<'_>) -> Option<Told> {
    let place = case.open_as(case.int(0));
    changed(case, b"setns", &place, &Change { flags: case.uint(1).into(), ..Change::default() })
}

pub fn unshare(case: &mut Case<'_>) -> Option<Told> {
    changed(case, b"unshare", &Place::NOWHERE, &Change { flags: case.uint(0).into(), ..Change::default() })
}

pub fn chroot(case: &mut Case<'_>) -> Option<Told> {
    let place = case.here(0);
    changed(case, b"chroot", &place, &Change::default())
}

/// The source is the place of the old root.
pub fn pivot_root(case: &mut Case<'_>) -> Option<Told> {
    let place = case.here(0);
    let source = case.text(1, PATH_CAP);
    changed(case, b"pivot_root", &place, &Change { source, ..Change::default() })
}

pub fn mount(case: &mut Case<'_>) -> Option<Told> {
    let place = case.here(1);
    let (source, filesystem) = (case.text(0, PATH_CAP), case.text(2, PATH_CAP));
    let flags = case.word(3);
    changed(case, b"mount", &place, &Change { flags, source, filesystem, attributes: None })
}

pub fn umount2(case: &mut Case<'_>) -> Option<Told> {
    let place = case.here(0);
    changed(case, b"umount", &place, &Change { flags: case.uint(1).into(), ..Change::default() })
}

/// i386's first one, without flags.
pub fn umount(case: &mut Case<'_>) -> Option<Told> {
    let place = case.here(0);
    changed(case, b"umount", &place, &Change::default())
}

pub fn fsopen(case: &mut Case<'_>) -> Option<Told> {
    let (filesystem, flags) = (case.text(0, PATH_CAP), case.uint(1).into());
    changed(case, b"fsopen", &Place::NOWHERE, &Change { flags, filesystem, ..Change::default() })
}

pub fn fspick(case: &mut Case<'_>) -> Option<Told> {
    let place = case.at(case.int(0), 1);
    changed(case, b"fspick", &place, &Change { flags: case.uint(2).into(), ..Change::default() })
}

/// Told only where it says what is mounted.
pub fn fsconfig(case: &mut Case<'_>) -> Option<Told> {
    const FSCONFIG_SET_STRING: u32 = 1;
    if case.uint(1) != FSCONFIG_SET_STRING || case.text(2, PATH_CAP).as_deref() != Some(b"source") {
        return None;
    }
    let source = case.text(3, PATH_CAP);
    changed(case, b"fsconfig", &Place::NOWHERE, &Change { source, ..Change::default() })
}

pub fn fsmount(case: &mut Case<'_>) -> Option<Told> {
    let (flags, attributes) = (case.uint(1).into(), Some(case.uint(2).into()));
    changed(case, b"fsmount", &Place::NOWHERE, &Change { flags, attributes, ..Change::default() })
}

pub fn open_tree(case: &mut Case<'_>) -> Option<Told> {
    let place = case.at(case.int(0), 1);
    changed(case, b"open_tree", &place, &Change { flags: case.uint(2).into(), ..Change::default() })
}

pub fn move_mount(case: &mut Case<'_>) -> Option<Told> {
    let place = case.at(case.int(2), 3);
    let (source, flags) = (case.text(1, PATH_CAP), case.uint(4).into());
    changed(case, b"move_mount", &place, &Change { flags, source, ..Change::default() })
}

/// A change of the mount at a place, whose attributes that are set are the first word of `struct mount_attr`.
fn attributes_changed(case: &mut Case<'_>, what: &[u8]) -> Option<Told> {
    let place = case.at(case.int(0), 1);
    let has_word = case.word(4) >= 8;
    let attributes = has_word.then(|| case.pages.array(case.word(3)).map(u64::from_ne_bytes)).flatten();
    changed(case, what, &place, &Change { flags: case.uint(2).into(), attributes, ..Change::default() })
}

pub fn mount_setattr(case: &mut Case<'_>) -> Option<Told> {
    attributes_changed(case, b"mount_setattr")
}

/// open_tree(2) and mount_setattr(2) in one.
pub fn open_tree_attr(case: &mut Case<'_>) -> Option<Told> {
    attributes_changed(case, b"open_tree")
}

/// Told only where memory becomes executable.
fn mapped(case: &mut Case<'_>, (addr, len): (u64, u64), prot: i32, fd: i32) -> Option<Told> {
    if prot & libc::PROT_EXEC == 0 {
        return None;
    }
    case.note_place(fd);
    case.tell(&MemoryMap { addr, len, prot: Protection(prot), fd: Hidden(fd) })
}

/// The address is the one that is asked for: 0 where the kernel is to choose one.
pub fn mmap(case: &mut Case<'_>) -> Option<Told> {
    let fd = if case.int(3) & libc::MAP_ANONYMOUS != 0 { -1 } else { case.int(4) };
    mapped(case, (case.word(0), case.word(1)), case.int(2), fd)
}

/// i386's first mmap: its arguments stand in memory (`struct mmap_arg_struct`).
pub fn old_mmap(case: &mut Case<'_>) -> Option<Told> {
    let words = case.pages.array::<24>(case.word(0))?;
    for (word, place) in words.as_chunks().0.iter().zip(&mut case.asked.args) {
        *place = u32::from_ne_bytes(*word).into();
    }
    mmap(case)
}

/// mprotect(2) and pkey_mprotect(2).
pub fn mprotect(case: &mut Case<'_>) -> Option<Told> {
    mapped(case, (case.word(0), case.word(1)), case.int(2), -1)
}

fn module(case: &mut Case<'_>, place: &Place, name: Option<&[u8]>) -> Option<Told> {
    case.tell(&KernelModule { path: place.path(), name })
}

pub fn init_module(case: &mut Case<'_>) -> Option<Told> {
    module(case, &Place::NOWHERE, None)
}

pub fn finit_module(case: &mut Case<'_>) -> Option<Told> {
    let place = case.open_as(case.int(0));
    module(case, &place, None)
}

pub fn delete_module(case: &mut Case<'_>) -> Option<Told> {
    let name = case.text(0, PATH_CAP);
    module(case, &Place::NOWHERE, name.as_deref())
}

pub fn bpf(case: &mut Case<'_>) -> Option<Told> {
    case.tell(&KernelBpf { command: case.int(0) })
}

pub fn userfaultfd(case: &mut Case<'_>) -> Option<Told> {
    case.tell(&KernelUserfaultfd { flags: case.uint(0) })
}

pub fn io_uring_setup(case: &mut Case<'_>) -> Option<Told> {
    case.tell(&KernelIoUring { entries: case.uint(0) })
}
