//! Each call with a memory that is made up, and with memory that is not there.

use std::collections::BTreeMap;

use proptest::prelude::*;
use wire::codec::decode;
use wire::events::*;
use wire::fields::*;
use wire::record::Flags;

use notify::{Abi, Machine};

use super::case::{Noted, PATH_CAP, encoded};
use super::*;
use crate::notify::places::{Ending, Peers};

/// Memory as a test makes it; pages that no byte was put into are not mapped.
#[derive(Default)]
pub(super) struct Fake {
    pub bytes: BTreeMap<u64, u8>,
    /// The value of all other bytes, if they are mapped.
    pub filler: Option<u8>,
    /// Reads so far.
    pub reads: usize,
}

impl Fake {
    /// The same with `bytes` at `address`.
    pub fn at(mut self, address: u64, bytes: &[u8]) -> Self {
        self.bytes.extend((address..).zip(bytes.iter().copied()));
        self
    }

    /// With words of 8 bytes.
    fn words(self, address: u64, words: &[u64]) -> Self {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        self.at(address, &bytes)
    }

    /// With words of 4 bytes.
    fn halves(self, address: u64, words: &[u32]) -> Self {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        self.at(address, &bytes)
    }
}

impl Memory for Fake {
    fn read(&mut self, address: u64, into: &mut [u8]) -> usize {
        self.reads += 1;
        let end = address.saturating_add(into.len() as u64);
        if self.filler.is_none() && self.bytes.range(address..end).next().is_none() {
            return 0;
        }
        // A page is readable as a whole, but ends with the last byte that the test put there.
        let last = self.bytes.range(address..end).next_back().map_or(address, |(last, _)| *last);
        let len = if self.filler.is_some() { into.len() } else { (last - address) as usize + 1 };
        into.fill(self.filler.unwrap_or(0));
        for (at, byte) in self.bytes.range(address..end) {
            into[(at - address) as usize] = *byte;
        }
        len
    }
}

/// A process in `/work`, with a directory, sockets and a pidfd.
#[derive(Default)]
pub(super) struct Stand {
    peers: Peers,
    asked: Vec<String>,
    is_idle: bool,
}

impl Places for Stand {
    fn cwd(&mut self) -> Option<Vec<u8>> {
        self.asked.push("cwd".to_owned());
        Some(b"/home".to_vec())
    }

    fn descriptor(&mut self, fd: i32) -> Option<Vec<u8>> {
        self.asked.push(fd.to_string());
        let label: &[u8] = match fd {
            3 => b"/dir",
            4 => b"socket:[77] TCP",
            5 => b"pidfd:123",
            _ => return None,
        };
        Some(label.to_vec())
    }

    fn finds_connection(&mut self, _fd: i32) -> Option<bool> {
        Some(!self.is_idle)
    }

    fn is_new_peer(&mut self, fd: i32, peer: &[u8]) -> bool {
        self.peers.is_new(fd as u64, peer)
    }

    fn closes(&mut self, first: u32, last: u32) -> (Vec<Ending>, u64) {
        let ending = |fd: i32, label: &[u8]| Ending { fd, label: label.to_vec(), ..Ending::default() };
        let address = ADDRESS.to_vec();
        let open = [
            Ending { bytes_in: Some(9), bytes_out: Some(0), ..ending(3, b"/dir") },
            Ending {
                local: address.clone(),
                remote: address,
                bytes_out: Some(5),
                ..ending(4, b"socket:[77] TCP")
            },
        ];
        (open.into_iter().filter(|ending| (first..=last).contains(&(ending.fd as u32))).collect(), 0)
    }
}

/// Nothing can be looked up.
struct Nowhere;

impl Places for Nowhere {
    fn cwd(&mut self) -> Option<Vec<u8>> {
        None
    }
    fn descriptor(&mut self, _fd: i32) -> Option<Vec<u8>> {
        None
    }
    fn finds_connection(&mut self, _fd: i32) -> Option<bool> {
        None
    }
    fn is_new_peer(&mut self, _fd: i32, _peer: &[u8]) -> bool {
        true
    }
}

const OLD: u64 = 0x10_0000;
const NEW: u64 = 0x10_0100;
const NAME: u64 = 0x10_0200;
const INET: u64 = 0x10_0300;
const WORDS: u64 = 0x10_0400;
const ARGV: u64 = 0x10_0500;
const HEADER: u64 = 0x10_0600;
const SOURCE: u64 = 0x10_0700;
const HOW: u64 = 0x10_0800;
/// Nothing is there.
const HOLE: u64 = 0xdead_0000;
const CWD: u64 = AT_FDCWD as u32 as u64;
const ADDRESS: &[u8] = &[2, 0, 0x1f, 0x90, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];

fn memory() -> Fake {
    Fake::default()
        .at(OLD, b"/old\0")
        .at(NEW, b"new\0")
        .at(NAME, b"user.name\0")
        .at(INET, ADDRESS)
        .halves(WORDS, &[0x2008_0522, 0, 7, u32::MAX])
        .words(ARGV, &[OLD, NEW, 0])
        .words(HEADER, &[INET, 16, 0, 0])
        .at(SOURCE, b"source\0")
        .words(HOW, &[0o102, 0o600, 0x10])
}

fn asked(name: &'static str, args: [u64; 6]) -> Asked {
    Asked { name, args, abi: Machine::NATIVE.native(), has_narrow_ids: false }
}

fn args<const N: usize>(given: [u64; N]) -> [u64; 6] {
    let mut args = [u64::MAX; 6];
    args[..N].copy_from_slice(&given);
    args
}

fn told_by(name: &'static str, given: &[u64]) -> Option<Told> {
    let mut all = [0xffff_ffff_dead_beef; 6];
    all[..given.len()].copy_from_slice(given);
    told(&asked(name, all), &mut memory(), &mut Stand::default())
}

/// The call is told as `expected`, under the row `call`.
fn is<P: Payload>(name: &'static str, given: &[u64], call: &str, expected: &P) {
    let found = told_by(name, given).unwrap_or_else(|| panic!("{name} is not told"));

    assert_eq!((P::KIND, encoded(expected), 0), (found.kind, found.payload, found.flags), "{name}");
    assert_eq!(Some(call), hook_table::name(found.call), "{name}");
}

fn old() -> Path<'static> {
    Path { dir: AT_FDCWD, raw: Some(b"/old") }
}

fn new() -> Path<'static> {
    Path { dir: AT_FDCWD, raw: Some(b"new") }
}

/// `new`, relative to descriptor 3.
fn below() -> Path<'static> {
    Path { dir: 3, raw: Some(b"new") }
}

fn behind(fd: i32) -> Path<'static> {
    Path { dir: fd, raw: None }
}

const NOWHERE: Path<'static> = Path { dir: -1, raw: None };

#[test]
fn opens_are_told_as_a_hook_tells_them_but_for_the_descriptor() {
    let open =
        |path, flags, mode, resolve| FileOpen { path, fd: None, flags: OpenFlags(flags), mode, resolve };

    is("open", &[OLD, 0o2_000_000], "open", &open(old(), 0o2_000_000, None, None));
    is("open", &[OLD, 0o101, 0o644], "open", &open(old(), 0o101, Some(0o644), None));
    is("openat", &[CWD, NEW, 0o100_000, 0o644], "openat", &open(new(), 0, None, None));
    is("openat", &[3, NEW, 0o20_200_002, 0o600], "openat", &open(below(), 0o20_200_002, Some(0o600), None));
    is(
        "openat2",
        &[3, OLD, HOW, 24],
        "openat2",
        &FileOpen {
            path: Path { dir: 3, raw: Some(b"/old") },
            fd: None,
            flags: OpenFlags(0o102),
            mode: Some(0o600),
            resolve: Some(ResolveFlags(0x10)),
        },
    );
    is("openat2", &[3, NEW, HOLE, 24], "openat2", &open(below(), 0, None, Some(ResolveFlags(0))));
    is("creat", &[OLD, 0o640], "creat", &open(old(), 0o1101, Some(0o640), None));
    is(
        "memfd_create",
        &[NAME, 1],
        "memfd_create",
        &open(Path { dir: AT_FDCWD, raw: Some(b"memfd:user.name") }, 0o2_000_002, None, None),
    );
    is("open_by_handle_at", &[3, HOLE, 2], "open_by_handle_at", &open(NOWHERE, 2, None, None));
    is(
        "name_to_handle_at",
        &[3, NEW, HOLE, HOLE, 0x1000],
        "name_to_handle_at",
        &FileHandle { path: below(), flags: HandleFlags(0x1000) },
    );
}

#[test]
fn names_are_told_as_a_hook_tells_them() {
    is("unlink", &[OLD], "unlink", &FileUnlink { path: old() });
    is("unlinkat", &[3, NEW, 0], "unlinkat", &FileUnlink { path: below() });
    is("unlinkat", &[3, NEW, 0x200], "unlinkat", &FileRmdir { path: below() });
    is("rmdir", &[OLD], "rmdir", &FileRmdir { path: old() });
    is("mkdir", &[OLD, 0o755], "mkdir", &FileMkdir { path: old(), mode: 0o755 });
    is("mkdirat", &[3, NEW, 0o755], "mkdirat", &FileMkdir { path: below(), mode: 0o755 });
    is("mknod", &[OLD, 0o20_600, 0x105], "mknod", &FileMknod { path: old(), mode: 0o20_600, device: 0x105 });
    is("mknodat", &[3, NEW, 0o10_600, 0], "mknodat", &FileMknod { path: below(), mode: 0o10_600, device: 0 });
    let rename = |path, new_path, flags| FileRename { path, new_path, flags };
    is("rename", &[OLD, NEW], "rename", &rename(old(), new(), None));
    is("renameat", &[3, NEW, CWD, OLD], "renameat", &rename(below(), old(), None));
    is("renameat2", &[3, NEW, CWD, OLD, 2], "renameat2", &rename(below(), old(), Some(RenameFlags(2))));
    let link = |path, new_path, flags| FileLink { path, new_path, flags };
    is("link", &[OLD, NEW], "link", &link(old(), new(), None));
    is("linkat", &[CWD, OLD, 3, NEW, 0x400], "linkat", &link(old(), below(), Some(AtFlags(0x400))));
    is("symlink", &[NEW, OLD], "symlink", &FileSymlink { path: new(), new_path: old() });
    is("symlinkat", &[NEW, 3, NEW], "symlinkat", &FileSymlink { path: new(), new_path: below() });
}

#[test]
fn attributes_are_told_as_a_hook_tells_them() {
    let chmod = |path, flags| FileChmod { path, mode: 0o600, flags };
    is("chmod", &[OLD, 0o600], "chmod", &chmod(old(), None));
    is("fchmod", &[3, 0o600], "fchmod", &chmod(behind(3), None));
    is("fchmodat", &[3, NEW, 0o600], "fchmodat", &chmod(below(), None));
    is("fchmodat2", &[3, NEW, 0o600, 0x100], "fchmodat2", &chmod(below(), Some(AtFlags(0x100))));
    let chown = |path, flags| FileChown { path, owner: 7, group: -1, flags };
    let unchanged = u32::MAX.into();
    is("chown", &[OLD, 7, unchanged], "chown", &chown(old(), None));
    is("lchown", &[OLD, 7, unchanged], "lchown", &chown(old(), None));
    is("fchown", &[3, 7, unchanged], "fchown", &chown(behind(3), None));
    is("fchownat", &[3, NEW, 7, unchanged, 0x100], "fchownat", &chown(below(), Some(AtFlags(0x100))));
    is("truncate", &[OLD, 1 << 40], "truncate", &FileTruncate { path: old(), length: 1 << 40 });
    is("ftruncate", &[3, 1 << 40], "ftruncate", &FileTruncate { path: behind(3), length: 1 << 40 });
    let set = |path| FileXattr { path, name: b"user.name", flags: Some(XattrFlags(1)), size: Some(9) };
    is("setxattr", &[OLD, NAME, HOLE, 9, 1], "setxattr", &set(old()));
    is("lsetxattr", &[OLD, NAME, HOLE, 9, 1], "lsetxattr", &set(old()));
    is("fsetxattr", &[3, NAME, HOLE, 9, 1], "fsetxattr", &set(behind(3)));
    let removed = |path| FileXattr { path, name: b"user.name", flags: None, size: None };
    is("removexattr", &[OLD, NAME], "removexattr", &removed(old()));
    is("lremovexattr", &[OLD, NAME], "lremovexattr", &removed(old()));
    is("fremovexattr", &[3, NAME], "fremovexattr", &removed(behind(3)));
}

#[test]
fn programs_and_processes_are_told_as_a_hook_tells_them_before_the_call() {
    let exec = |path, flags| ProcessExec {
        path,
        argv: Args::Packed(b"/old\0new\0"),
        argc: None,
        actions: Actions(&[]),
        flags,
    };
    is("execve", &[OLD, ARGV, HOLE], "execve", &exec(old(), None));
    is("execveat", &[3, NEW, ARGV, HOLE, 0x1000], "execveat", &exec(below(), Some(AtFlags(0x1000))));
    is("execve", &[OLD, 0, HOLE], "execve", &ProcessExec { argv: Args::NONE, ..exec(old(), None) });
    is("clone", &[libc::CLONE_NEWUSER as u64], "clone", &ProcessFork { child: None, began_ns: Hidden(0) });
    is("clone3", &[HEADER, 88], "clone3", &ProcessFork { child: None, began_ns: Hidden(0) });
    assert_eq!(None, told_by("clone", &[libc::CLONE_THREAD as u64]));
    assert_eq!(None, told_by("clone3", &[HOLE, 88]));
}

#[test]
fn sockets_are_told_as_a_hook_tells_them_but_for_results() {
    is(
        "socket",
        &[2, 0o2_000_001, 6],
        "socket",
        &NetSocket { fd: None, family: Family(2), r#type: SocketType(0o2_000_001), protocol: Protocol(6) },
    );
    is("bind", &[4, INET, 16], "bind", &NetBind { fd: 4, local: Address(ADDRESS) });
    is("listen", &[4, 128], "listen", &NetListen { fd: 4, backlog: 128 });
    let connect =
        NetConnect { fd: 4, remote: Address(ADDRESS), own: Hidden(Address(&[])), began_ns: Hidden(0) };
    is("connect", &[4, INET, 16], "connect", &connect);
    is("sendto", &[4, HOLE, 9, 0, INET, 16], "sendto", &connect);
    is("sendmsg", &[4, HEADER, 0], "sendmsg", &connect);
    let accept = NetAccept { fd: None, remote: Address(&[]), listener: Hidden(4) };
    is("accept", &[4, 0, 0], "accept", &accept);
    is("accept4", &[4, 0, 0, 0o4000], "accept4", &accept);
    assert_eq!(
        [None, None, None],
        [&[4, HOLE, 9, 0, 0, 0][..], &[4, HOLE, 9, 0, 0, 16], &[4, HOLE, 9, 0, INET, 0]]
            .map(|given| told_by("sendto", given))
    );
    assert_eq!(None, told_by("sendmsg", &[4, HOLE, 0]));
}

#[test]
fn identities_signals_and_traces_are_told_as_a_hook_tells_them() {
    let signal = |target, pidfd| ProcessSignal { target, signal: 15, pidfd: Hidden(pidfd) };
    is("kill", &[u32::MAX.into(), 15], "kill", &signal(-1, None));
    is("tkill", &[9, 15], "tkill", &signal(9, None));
    is("tgkill", &[8, 9, 15], "tgkill", &signal(8, None));
    is("rt_sigqueueinfo", &[8, 15, HOLE], "sigqueue", &signal(8, None));
    is("rt_tgsigqueueinfo", &[8, 9, 15, HOLE], "pthread_sigqueue", &signal(8, None));
    is("pidfd_send_signal", &[5, 15, 0, 0], "pidfd_send_signal", &signal(0, Some(5)));
    let ids = |what, to| ProcessCredentials {
        what,
        to: Args::Packed(to),
        real_uid: Hidden(None),
        effective_uid: Hidden(None),
    };
    let same = u64::from(u32::MAX);
    is("setuid", &[0], "setuid", &ids(b"uid", b"0\0"));
    is("setgid", &[5], "setgid", &ids(b"gid", b"5\0"));
    is("setreuid", &[same, 5], "setreuid", &ids(b"reuid", b"-1\x005\0"));
    is("setregid", &[5, same], "setregid", &ids(b"regid", b"5\0-1\0"));
    is("setresuid", &[1, 2, 3], "setresuid", &ids(b"resuid", b"1\x002\x003\0"));
    is("setresgid", &[1, 2, 3], "setresgid", &ids(b"resgid", b"1\x002\x003\0"));
    is("setfsuid", &[1], "setfsuid", &ids(b"fsuid", b"1\0"));
    is("setfsgid", &[1], "setfsgid", &ids(b"fsgid", b"1\0"));
    is("setgroups", &[2, WORDS + 8], "setgroups", &ids(b"groups", b"7\0-1\0"));
    is("setgroups", &[0, 0], "setgroups", &ids(b"groups", b""));
    is("capset", &[HOLE, WORDS], "capset", &ids(b"capabilities", b""));
    let trace = |request, target| ProcessTrace { request: Trace(request), target };
    is("ptrace", &[16, 99, 0, 0], "ptrace", &trace(16, 99));
    is("process_vm_readv", &[99, HOLE, 1, HOLE, 1, 0], "process_vm_readv", &trace(-1, 99));
    is("process_vm_writev", &[99, HOLE, 1, HOLE, 1, 0], "process_vm_writev", &trace(-2, 99));
}

#[test]
fn capabilities_have_two_halves_but_in_the_first_version() {
    let sets = [0x1, 0xffff_ffff, 0, 0x10, 0x1ff, 0];
    let to = |version: u32| {
        let mut memory = memory().halves(0x20_0000, &[version, 0]).halves(0x20_0100, &sets);
        let asked = asked("capset", args([0x20_0000, 0x20_0100]));
        told(&asked, &mut memory, &mut Nowhere).unwrap().payload
    };
    let shown = |to| {
        encoded(&ProcessCredentials {
            what: b"capabilities",
            to: Args::Packed(to),
            real_uid: Hidden(None),
            effective_uid: Hidden(None),
        })
    };

    assert_eq!(shown(b"0x1000000001\x000x1ffffffffff\x000x0\0"), to(0x2008_0522));
    assert_eq!(shown(b"0x1\x000xffffffff\x000x0\0"), to(0x1998_0330));
}

#[test]
fn views_of_the_system_are_told_as_a_hook_tells_them() {
    let change = |what, path, flags| ProcessNamespace {
        what,
        path,
        flags: NamespaceFlags(flags),
        source: None,
        filesystem: None,
        attributes: None,
    };
    is("setns", &[3, 0x2000_0000], "setns", &change(b"setns", behind(3), 0x2000_0000));
    is("unshare", &[0x1000_0000], "unshare", &change(b"unshare", NOWHERE, 0x1000_0000));
    is("chroot", &[OLD], "chroot", &change(b"chroot", old(), 0));
    is(
        "pivot_root",
        &[OLD, NEW],
        "pivot_root",
        &ProcessNamespace { source: Some(b"new"), ..change(b"pivot_root", old(), 0) },
    );
    is(
        "mount",
        &[NEW, OLD, NAME, 1, 0],
        "mount",
        &ProcessNamespace {
            source: Some(b"new"),
            filesystem: Some(b"user.name"),
            ..change(b"mount", old(), 1)
        },
    );
    is("umount2", &[OLD, 2], "umount2", &change(b"umount", old(), 2));
    is("umount", &[OLD], "umount", &change(b"umount", old(), 0));
    is(
        "fsopen",
        &[NAME, 1],
        "fsopen",
        &ProcessNamespace { filesystem: Some(b"user.name"), ..change(b"fsopen", NOWHERE, 1) },
    );
    is("fspick", &[3, NEW, 1], "fspick", &change(b"fspick", below(), 1));
    is(
        "fsconfig",
        &[6, 1, SOURCE, OLD, 0],
        "fsconfig",
        &ProcessNamespace { source: Some(b"/old"), ..change(b"fsconfig", NOWHERE, 0) },
    );
    is(
        "fsmount",
        &[6, 1, 2],
        "fsmount",
        &ProcessNamespace { attributes: Some(MountAttributes(2)), ..change(b"fsmount", NOWHERE, 1) },
    );
    is("open_tree", &[3, NEW, 1], "open_tree", &change(b"open_tree", below(), 1));
    is(
        "move_mount",
        &[6, OLD, 3, NEW, 4],
        "move_mount",
        &ProcessNamespace { source: Some(b"/old"), ..change(b"move_mount", below(), 4) },
    );
    is(
        "mount_setattr",
        &[3, NEW, 0x8000, HOW, 32],
        "mount_setattr",
        &ProcessNamespace {
            attributes: Some(MountAttributes(0o102)),
            ..change(b"mount_setattr", below(), 0x8000)
        },
    );
    is(
        "mount_setattr",
        &[3, NEW, 0x8000, HOW, 7],
        "mount_setattr",
        &change(b"mount_setattr", below(), 0x8000),
    );
    assert_eq!(
        [None, None],
        [&[6, 0, SOURCE, OLD][..], &[6, 1, NAME, OLD]].map(|given| told_by("fsconfig", given))
    );
}

#[test]
fn executable_memory_and_kernel_machinery_are_told_as_a_hook_tells_them() {
    let map = |addr, prot, fd| MemoryMap { addr, len: 4096, prot: Protection(prot), fd: Hidden(fd) };
    is("mmap", &[0, 4096, 5, 2, 3, 0], "mmap", &map(0, 5, 3));
    is("mmap", &[HOLE, 4096, 7, 0x22, 3, 0], "mmap", &map(HOLE, 7, -1));
    is("mprotect", &[HOLE, 4096, 5], "mprotect", &map(HOLE, 5, -1));
    is("pkey_mprotect", &[HOLE, 4096, 4, 1], "pkey_mprotect", &map(HOLE, 4, -1));
    assert_eq!(None, told_by("mmap", &[0, 4096, 3, 2, 3, 0]));
    assert_eq!(None, told_by("mprotect", &[0, 4096, 3]));
    is("init_module", &[HOLE, 9, HOLE], "init_module", &KernelModule { path: NOWHERE, name: None });
    is("finit_module", &[3, HOLE, 0], "finit_module", &KernelModule { path: behind(3), name: None });
    is(
        "delete_module",
        &[NAME, 0],
        "delete_module",
        &KernelModule { path: NOWHERE, name: Some(b"user.name") },
    );
    is("bpf", &[5, HOLE, 9], "bpf", &KernelBpf { command: 5 });
    is("userfaultfd", &[1], "userfaultfd", &KernelUserfaultfd { flags: 1 });
    is("io_uring_setup", &[64, HOLE], "io_uring_setup", &KernelIoUring { entries: 64 });
}

#[test]
fn every_call_of_the_table_has_a_row_once_and_is_told_with_nothing_readable() {
    let names: Vec<&str> = CALLS.iter().flat_map(|(names, _)| names.iter().map(|(name, _)| *name)).collect();
    let mut sorted = names.clone();
    sorted.sort_unstable();
    sorted.dedup();

    assert_eq!(names.len(), sorted.len());
    for name in names {
        let args = [7, HOLE, HOLE | 7, HOLE, HOLE, 16];
        let told = told(&asked(name, args), &mut Fake::default(), &mut Nowhere);
        let may_be_silent = matches!(name, "clone3" | "fsconfig" | "sendmsg" | "sendmmsg" | "old_mmap")
            || ["close", "close_range", "dup2", "dup3", "exit_group"].contains(&name);
        assert!(row_of(name).is_some() && (told.is_some() || may_be_silent), "{name}");
        if let Some(told) = told {
            assert!(Decoded::decode(told.kind, &told.payload).is_ok(), "{name}");
        }
    }
    assert_eq!(None, told_by("read", &[3, HOLE, 9]));
    assert_eq!(None, told_by("", &[]));
}

#[test]
fn lookups_are_told_as_a_hook_tells_them() {
    let path = Path { dir: AT_FDCWD, raw: Some(b"/old") };
    let at = Path { dir: 3, raw: Some(b"new") };
    let none = AtFlags(0);
    let not_followed = AtFlags(libc::AT_SYMLINK_NOFOLLOW as u32);

    is("stat", &[OLD, HOLE], "stat", &FileStat { path, flags: None });
    is("lstat64", &[OLD, HOLE], "lstat", &FileStat { path, flags: Some(not_followed) });
    is("newfstatat", &[3, NEW, HOLE, 0x100], "fstatat", &FileStat { path: at, flags: Some(not_followed) });
    is("statx", &[3, NEW, 0, 9, HOLE], "statx", &FileStat { path: at, flags: Some(none) });
    assert_eq!(None, told_by("newfstatat", &[3, OLD + 4, HOLE, 0x1000]), "fstat");
    is("access", &[OLD, 4], "access", &FileAccess { path, mode: AccessMode(4), flags: None });
    let mode = AccessMode(2);
    is("faccessat", &[3, NEW, 2], "faccessat", &FileAccess { path: at, mode, flags: None });
    is("faccessat2", &[3, NEW, 2, 0], "faccessat2", &FileAccess { path: at, mode, flags: Some(none) });
    is("readlink", &[OLD, HOLE, 9], "readlink", &FileReadlink { path, target: None });
    is("readlinkat", &[3, NEW, HOLE, 9], "readlinkat", &FileReadlink { path: at, target: None });
}

/// The descriptors that a call is told to close, with their bytes.
fn closed_by(name: &'static str, given: &[u64]) -> Vec<(i32, u64, u64)> {
    let Some(told) = told_by(name, given) else { return Vec::new() };
    let event = Noted { kind: told.kind, payload: told.payload };
    let all = told.before.into_iter().chain([event]);
    all.filter_map(|noted| match Decoded::decode(noted.kind, &noted.payload).unwrap() {
        Decoded::FdClosed(FdClosed { fd, counters: Some(counters) }) => {
            Some((fd, counters.bytes_in, counters.bytes_out))
        }
        _ => None,
    })
    .collect()
}

#[test]
fn each_descriptor_that_a_call_closes_is_told_with_what_is_known_of_it() {
    let (file, socket) = ((3, 9, 0), (4, UNKNOWN, 5));

    assert_eq!(vec![file], closed_by("close", &[3]));
    assert_eq!(Vec::<(i32, u64, u64)>::new(), closed_by("close", &[9]), "not open");
    assert_eq!(vec![file, socket], closed_by("exit_group", &[0]));
    assert_eq!(vec![file, socket], closed_by("close_range", &[3, u32::MAX.into(), 0]));
    assert_eq!(Vec::<(i32, u64, u64)>::new(), closed_by("close_range", &[3, 9, 4]), "CLOSE_RANGE_CLOEXEC");
    assert_eq!(vec![socket], closed_by("dup2", &[3, 4]));
    assert_eq!(Vec::<(i32, u64, u64)>::new(), closed_by("dup2", &[4, 4]));
    assert_eq!(Vec::<(i32, u64, u64)>::new(), closed_by("dup3", &[9, 4, 0]), "fails");
    assert_eq!(vec!["3 /dir", "3 closed", "4 socket:[77] TCP"], before("exit_group", &[0]));
}

/// The records for the picture before a call, as text.
fn before(name: &'static str, given: &[u64]) -> Vec<String> {
    told_by(name, given).unwrap().before.iter().map(shown).collect()
}

fn shown(noted: &Noted) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    match Decoded::decode(noted.kind, &noted.payload).unwrap() {
        Decoded::DirChange(change) => text(change.path.raw.unwrap()),
        Decoded::FdMade(made) => format!("{} {}", made.fd, text(made.label)),
        Decoded::FdClosed(closed) => format!("{} closed", closed.fd),
        other => panic!("{other:?}"),
    }
}

#[test]
fn only_the_places_that_a_path_begins_at_are_looked_up_and_each_once() {
    assert_eq!(Vec::<String>::new(), before("openat", &[3, OLD, 0]));
    assert_eq!(vec!["/home"], before("openat", &[CWD, NEW, 0]));
    assert_eq!(vec!["3 /dir"], before("openat", &[3, NEW, 0]));
    assert_eq!(vec!["3 /dir"], before("openat2", &[3, OLD, HOW, 24]), "RESOLVE_IN_ROOT");
    assert_eq!(vec!["/home"], before("rename", &[NEW, NEW]));
    assert_eq!(vec!["/home", "3 /dir"], before("renameat2", &[CWD, NEW, 3, NEW, 0]));
    assert_eq!(vec!["3 /dir"], before("fchmod", &[3, 0]));
    assert_eq!(vec!["99 "], before("fchmod", &[99, 0]), "not open");
    assert_eq!(Vec::<String>::new(), before("symlink", &[NEW, OLD]), "the target begins at the link");
    assert_eq!(vec!["4 socket:[77] TCP"], before("connect", &[4, INET, 16]));
    assert_eq!(vec!["9 socket:"], before("connect", &[9, INET, 16]));
    assert_eq!(vec!["5 pidfd:123"], before("pidfd_send_signal", &[5, 9, 0, 0]));
    assert_eq!(vec!["3 /dir"], before("mmap", &[0, 1, 4, 2, 3, 0]));
    assert_eq!(Vec::<String>::new(), before("mmap", &[0, 1, 4, 0x20, 3, 0]));
}

#[test]
fn accept_that_finds_nothing_is_not_told() {
    let mut idle = Stand { is_idle: true, ..Stand::default() };

    assert_eq!(None, told(&asked("accept4", args([4, 0, 0, 0])), &mut memory(), &mut idle));
}

#[test]
fn only_the_first_datagram_to_a_peer_is_told() {
    let mut stand = Stand::default();
    let mut memory = memory().at(0x20_0000, &[2, 0, 0, 53, 9, 9, 9, 9]);
    let mut is_told = |address, len| {
        told(&asked("sendto", [4, HOLE, 1, 0, address, len]), &mut memory, &mut stand).is_some()
    };

    assert_eq!(
        [true, false, true, false],
        [is_told(INET, 16), is_told(INET, 16), is_told(0x20_0000, 8), is_told(0x20_0000, 8)]
    );
}

/// The remote address of a connect of `len` bytes at an address.
fn remote(address: u64, len: u64, memory: Fake) -> (Vec<u8>, Vec<String>) {
    let mut memory = memory;
    let told = told(&asked("connect", args([4, address, len])), &mut memory, &mut Stand::default()).unwrap();
    let (connect, _) = decode::<NetConnect<'_>>(&told.payload).unwrap();
    (connect.remote.0.to_vec(), told.before.iter().map(shown).collect())
}

#[test]
fn socket_addresses_of_any_family_and_length_are_copied_or_absent() {
    let place = 0x30_0000;
    let of = |bytes: &[u8], len: u64| remote(place, len, Fake::default().at(place, bytes));
    let inet6 = [&[10, 0, 0x1f, 0x90, 0, 0, 0, 0][..], &[0xfe; 16], &[2, 0, 0, 0]].concat();
    let socket = "4 socket:[77] TCP".to_owned();

    assert_eq!(of(ADDRESS, 16), (ADDRESS.to_vec(), vec![socket.clone()]));
    assert_eq!(of(&inet6, 28).0, inet6);
    assert_eq!(of(b"\x01\0/run/s\0", 9), (b"\x01\0/run/s\0".to_vec(), vec![socket.clone()]));
    assert_eq!(of(b"\x01\0run/s\0", 8), (b"\x01\0run/s\0".to_vec(), vec!["/home".to_owned(), socket]));
    assert_eq!(of(b"\x01\0\0abstract", 11).0, b"\x01\0\0abstract");
    assert_eq!(of(b"\x01\0", 2).0, b"\x01\0", "unnamed");
    assert_eq!(of(&[0xff; 128], 128).0, [0xff; 128]);
    for len in [0, 1, 129, 1 << 32, u64::from(u32::MAX), u64::MAX] {
        assert_eq!(of(&[1; 200], len).0, b"", "{len}");
    }
    assert_eq!(of(ADDRESS, 17).0, b"", "runs into a hole");
    assert_eq!(remote(u64::MAX - 4, 16, Fake::default()).0, b"");
    assert_eq!(remote(0, 16, Fake::default()).0, b"");
}

#[test]
fn path_that_cannot_be_read_is_absent_and_one_over_the_bound_is_cut() {
    let path = |memory: Fake, address| {
        let mut memory = memory;
        let told = told(&asked("openat", args([CWD, address, 0])), &mut memory, &mut Nowhere).unwrap();
        let (open, _) = decode::<FileOpen<'_>>(&told.payload).unwrap();
        (open.path.raw.map(<[u8]>::to_vec), told.flags)
    };
    let long = |len: usize| Fake::default().at(0x10_0ff0, &[vec![b'/'; len], vec![0]].concat());

    assert_eq!((None, 0), path(Fake::default(), 0));
    assert_eq!((None, 0), path(Fake::default(), HOLE));
    assert_eq!((None, 0), path(Fake::default().at(0x1fff, b"x"), 0x1fff), "up to a hole, without a NUL");
    assert_eq!((Some(b"/".to_vec()), 0), path(Fake::default().at(0x1ffe, b"/\0"), 0x1ffe));
    assert_eq!((Some(vec![b'/'; 4096]), 0), path(long(4096), 0x10_0ff0));
    assert_eq!((Some(vec![b'/'; 4096]), Flags::TRUNCATED), path(long(5000), 0x10_0ff0));
}

/// The arguments of an execve, their number where they were cut, and the record's flags.
fn executed(memory: &mut Fake, argv: u64) -> (Vec<u8>, Option<u32>, u8) {
    let asked = asked("execve", args([OLD, argv, 0]));
    let told = told(&asked, memory, &mut Nowhere).unwrap();
    let (exec, _) = decode::<ProcessExec<'_>>(&told.payload).unwrap();
    let Args::Packed(argv) = exec.argv else { panic!("not packed") };
    (argv.to_vec(), exec.argc, told.flags)
}

#[test]
fn an_environment_is_without_the_sensor_only_where_all_of_it_was_read() {
    let is_unpreloaded = |pointers: &[u64]| {
        let strings = Fake::default().at(0x1000, b"A=1\0").at(0x2000, b"LD_PRELOAD=x\0");
        let mut memory = strings.words(0x3000, pointers);
        let asked = asked("execve", args([OLD, 0, 0x3000]));
        told(&asked, &mut memory, &mut Nowhere).unwrap().is_unpreloaded
    };

    assert!(is_unpreloaded(&[0x1000, 0]));
    assert!(is_unpreloaded(&[0]));
    assert!(!is_unpreloaded(&[0x1000, 0x2000, 0]));
    // One variable is nowhere.
    assert!(!is_unpreloaded(&[0x1000, HOLE, 0]));
    // It has no end.
    assert!(!is_unpreloaded(&[0x1000, 0x1000]));
    let asked = asked("execve", args([OLD, 0, 0]));
    assert!(told(&asked, &mut Fake::default(), &mut Nowhere).unwrap().is_unpreloaded, "no environment");
}

#[test]
fn long_argument_vectors_are_cut_and_counted() {
    let pointers = [vec![0x10_0000_u64; 100_000], vec![0]].concat();
    let mut memory = Fake::default().at(0x10_0000, b"argument\0").words(0x400_0000, &pointers);

    let (argv, argc, flags) = executed(&mut memory, 0x400_0000);

    assert_eq!((DEFAULT_ARGV, Some(100_000), Flags::TRUNCATED), (argv.len(), argc, flags));
    assert!(argv.starts_with(b"argument\0argument\0") && argv.ends_with(b"\0"));
    assert!(memory.reads <= reading::MOST_READ / 4096);
}

#[test]
fn argument_vectors_without_an_end_are_read_to_the_bound() {
    // Each pointer points to the array itself.
    let mut memory = Fake { filler: Some(0x11), ..Fake::default() };
    let (argv, argc, flags) = executed(&mut memory, 0x1111_1111_1111_1111);
    assert_eq!((DEFAULT_ARGV, None, Flags::TRUNCATED), (argv.len(), argc, flags));
    assert!(memory.reads <= reading::MOST_READ / 4096);

    // It ends in a hole.
    let mut memory = Fake::default().at(0x1000, b"a\0").words(0x2fe8, &[0x1000; 3]);
    assert_eq!((b"a\0a\0a\0".to_vec(), None, Flags::TRUNCATED), executed(&mut memory, 0x2fe8));

    // One of its strings is nowhere.
    let mut memory = Fake::default().at(0x1000, b"a\0").words(0x2000, &[0x1000, HOLE, 0x1000, 0]);
    assert_eq!((b"a\0".to_vec(), None, Flags::TRUNCATED), executed(&mut memory, 0x2000));

    // It begins at the end of all addresses.
    assert_eq!((Vec::new(), None, Flags::TRUNCATED), executed(&mut Fake::default(), u64::MAX - 3));
}

#[test]
fn exactly_as_many_bytes_as_are_copied_are_not_cut() {
    let argument = [vec![b'x'; DEFAULT_ARGV - 1], vec![0]].concat();
    let mut whole = Fake::default().at(0x50_0000, &argument).words(0x2000, &[0x50_0000, 0]);
    let mut longer = Fake::default().at(0x50_0000, &argument).words(0x2000, &[0x50_0000, 0x50_0000, 0]);

    assert_eq!((argument.clone(), None, 0), executed(&mut whole, 0x2000));
    assert_eq!((argument, Some(2), Flags::TRUNCATED), executed(&mut longer, 0x2000));
}

#[test]
fn calls_as_on_i386_have_pointers_of_four_bytes() {
    let wide = |name, args| Asked { name, args, abi: Abi::I386, has_narrow_ids: false };
    let junk = 0xabcd_0000_0000_0000;
    let mut memory = memory()
        .halves(0x20_0000, &[OLD as u32, NEW as u32, 0])
        .halves(0x20_0100, &[4, INET as u32, 16])
        .halves(0x20_0200, &[INET as u32, 16])
        .halves(0x20_0300, &[HOLE as u32, 4096, 5, 2, 3, 0])
        .halves(0x20_0400, &[4, 0x20_0200, 0]);
    let mut tell = |name, args| told(&wide(name, args), &mut memory, &mut Stand::default()).unwrap().payload;

    let exec = ProcessExec {
        path: old(),
        argv: Args::Packed(b"/old\0new\0"),
        argc: None,
        actions: Actions(&[]),
        flags: None,
    };
    assert_eq!(encoded(&exec), tell("execve", args([junk | OLD, junk | 0x20_0000, 0])));
    let connect = encoded(&NetConnect {
        fd: 4,
        remote: Address(ADDRESS),
        own: Hidden(Address(&[])),
        began_ns: Hidden(0),
    });
    assert_eq!(connect, tell("socketcall", args([3, 0x20_0100])));
    assert_eq!(connect, tell("sendmsg", args([4, 0x20_0200])));
    assert_eq!(connect, tell("socketcall", args([16, 0x20_0400])));
    let unread =
        encoded(&NetConnect { fd: -1, remote: Address(&[]), own: Hidden(Address(&[])), began_ns: Hidden(0) });
    assert_eq!(unread, tell("socketcall", args([3, HOLE])));
    let map = encoded(&MemoryMap { addr: HOLE, len: 4096, prot: Protection(5), fd: Hidden(3) });
    assert_eq!(map, tell("old_mmap", args([0x20_0300])));
    assert_eq!(map, tell("mmap", args([HOLE, 4096, 5, 2, 3, 0])));
    let truncate = encoded(&FileTruncate { path: old(), length: 5 << 32 | 7 });
    assert_eq!(truncate, tell("truncate64", args([OLD, 7, 5])));
    let below_zero = encoded(&FileTruncate { path: behind(3), length: -1 });
    assert_eq!(below_zero, tell("ftruncate", args([3, u32::MAX.into()])));
    let arm = Asked { abi: Abi::Arm, ..wide("truncate64", args([OLD, 0, 7, 5])) };
    assert_eq!(truncate, told(&arm, &mut memory, &mut Nowhere).unwrap().payload);
    let unknown = wide("socketcall", args([14, 0]));
    assert_eq!(None, told(&unknown, &mut memory, &mut Nowhere));
}

#[test]
fn ids_of_sixteen_bits_are_those_of_the_first_calls() {
    let mut memory = memory().halves(0x20_0000, &[0xffff_0007]);
    let mut tell = |name, args| {
        let asked = Asked { name, args, abi: Abi::I386, has_narrow_ids: true };
        told(&asked, &mut memory, &mut Nowhere).unwrap().payload
    };
    let ids = |what, to| {
        encoded(&ProcessCredentials {
            what,
            to: Args::Packed(to),
            real_uid: Hidden(None),
            effective_uid: Hidden(None),
        })
    };

    assert_eq!(ids(b"reuid", b"-1\x005\0"), tell("setreuid", args([0xffff, 0x1_0005])));
    assert_eq!(ids(b"groups", b"7\0-1\0"), tell("setgroups", args([2, 0x20_0000])));
    let chown = FileChown { path: old(), owner: 1, group: -1, flags: None };
    assert_eq!(encoded(&chown), tell("chown", args([OLD, 1, 0xffff])));
}

#[cfg(target_arch = "x86_64")]
#[test]
fn notified_calls_are_known_by_architecture_and_number() {
    let of = |arch, number| {
        Asked::new(arch, number, [0; 6]).map(|asked| (asked.name, asked.abi, asked.has_narrow_ids))
    };

    assert_eq!(Some(("openat", Abi::X86_64, false)), of(0xc000_003e, 257));
    assert_eq!(Some(("setuid", Abi::I386, false)), of(0x4000_0003, 213));
    assert_eq!(Some(("setuid", Abi::I386, true)), of(0x4000_0003, 23));
    assert_eq!(Some(("execve", Abi::X32, false)), of(0xc000_003e, 0x4000_0000 | 520));
    assert_eq!([None, None], [of(0xc000_003e, 0), of(0xc000_00b7, 56)]);
}

#[test]
fn every_call_that_a_filter_asks_about_is_told_but_those_that_no_hook_tells() {
    let told = |name| name == "socketcall" || row_of(name).is_some();
    let mut untold: Vec<&str> =
        notify::CALLS.iter().map(|call| call.name).filter(|name| !told(name)).collect();
    untold.dedup();

    assert_eq!(vec!["kexec_load", "kexec_file_load", "pidfd_getfd"], untold);
}

#[test]
fn of_several_messages_the_first_to_a_new_peer_is_told() {
    let mut stand = Stand::default();
    let mut memory = memory()
        .at(0x20_0000, &[2, 0, 0, 53, 9, 9, 9, 9])
        .words(0x20_0100, &[0, 0, 0, 0, 0, 0, 0, 0, INET, 16, 0, 0, 0, 0, 0, 0, 0x20_0000, 8]);
    let mut peer = || {
        let told = told(&asked("sendmmsg", args([4, 0x20_0100, 3, 0])), &mut memory, &mut stand)?;
        Some(decode::<NetConnect<'_>>(&told.payload).unwrap().0.remote.0.to_vec())
    };

    assert_eq!([Some(ADDRESS.to_vec()), Some(vec![2, 0, 0, 53, 9, 9, 9, 9]), None], [peer(), peer(), peer()]);
}

#[test]
fn attributes_by_the_calls_that_take_a_directory_are_told_as_by_the_others() {
    let memory = memory().words(0x20_0000, &[HOLE]).halves(0x20_0008, &[9, 1]);
    let tell = |name, given| {
        let mut memory = Fake { bytes: memory.bytes.clone(), ..Fake::default() };
        told(&asked(name, given), &mut memory, &mut Nowhere).unwrap().payload
    };
    let set = FileXattr { path: below(), name: b"user.name", flags: Some(XattrFlags(1)), size: Some(9) };

    assert_eq!(encoded(&set), tell("setxattrat", args([3, NEW, 0, NAME, 0x20_0000, 16])));
    let removed = FileXattr { flags: None, size: None, ..set };
    assert_eq!(encoded(&removed), tell("removexattrat", args([3, NEW, 0, NAME])));
}

proptest! {
    #[test]
    fn any_call_with_any_arguments_and_any_memory_is_read_within_bounds_and_decodes(
        call in 0..CALLS.len() + 1,
        which in any::<prop::sample::Index>(),
        args in prop::array::uniform6(prop_oneof![any::<u64>(), 0x1000..0x3000_u64, 0..16_u64, Just(CWD)]),
        abi in prop::sample::select(vec![Abi::X86_64, Abi::X32, Abi::I386, Abi::Aarch64, Abi::Arm]),
        has_narrow_ids in any::<bool>(),
        filler in any::<Option<u8>>(),
        bytes in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        let name = CALLS.get(call).map_or("socketcall", |(names, _)| names[which.index(names.len())].0);
        let mut memory = Fake { filler, ..Fake::default() }.at(0x1f00, &bytes);

        let told = told(&Asked { name, args, abi, has_narrow_ids }, &mut memory, &mut Stand::default());

        prop_assert!(memory.reads <= reading::MOST_READ / 4096);
        if let Some(told) = told {
            prop_assert!(Decoded::decode(told.kind, &told.payload).is_ok());
            prop_assert!(told.payload.len() <= DEFAULT_ARGV + 2 * PATH_CAP + 256);
            for noted in told.before {
                shown(&noted);
            }
        }
    }
}
