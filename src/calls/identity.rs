//! The identity of a process and its rights: credentials, signals sent, other processes inspected,
//! namespaces, calls into the kernel's own machinery. All are rare, so a report may cost a system call; each
//! function that makes one says so.

use core::ffi::{c_char, c_int, c_uint, c_void};
use core::ptr::null;

use wire::events::{
    KernelBpf, KernelModule, KernelUserfaultfd, MemoryMap, ProcessControl, ProcessCredentials, ProcessLimit,
    ProcessNamespace, ProcessSignal, ProcessTrace,
};
use wire::fields::{
    Args, Control, Hidden, MountAttributes, NamespaceFlags, Path, Protection, ResourceLimit, Trace,
};
use wire::record::Flags;

use crate::calls::paths::{NOWHERE, Place};
use crate::calls::{connects, fds};
use crate::process::{self, Seal};
use crate::record::call::{Call, Outcome, Row};
use crate::record::fail::{Fails, MinusOne};
use crate::record::{capture, emit};
use crate::start::environ;
use crate::start::filter::lets_us_start;
use crate::sys;

/// Most groups of setgroups(2) that are copied.
const MOST_GROUPS: usize = 64;
/// Longest thread name, prctl(2).
const NAME_CAP: usize = 15;

/// Numbers as text, each ended by a NUL, in a buffer of its own.
struct Numbers {
    bytes: [u8; MOST_GROUPS * 11],
    len: usize,
}

impl Numbers {
    fn new() -> Self {
        Self { bytes: [0; MOST_GROUPS * 11], len: 0 }
    }

    fn put(&mut self, bytes: &[u8]) {
        if let Some(place) = self.bytes.get_mut(self.len..self.len + bytes.len()) {
            place.copy_from_slice(bytes);
            self.len += bytes.len();
        }
    }

    fn digits(&mut self, mut number: u64, base: u64) {
        let mut digits = [0u8; 20];
        let mut at = digits.len();
        loop {
            at -= 1;
            if let Some(place) = digits.get_mut(at) {
                *place = b"0123456789abcdef".get((number % base) as usize).copied().unwrap_or(b'?');
            }
            number /= base;
            if number == 0 || at == 0 {
                break;
            }
        }
        self.put(digits.get(at..).unwrap_or_default());
    }

    /// An id; -1 is one that stays as it is.
    fn id(&mut self, id: u32) {
        if id == u32::MAX {
            self.put(b"-1");
        } else {
            self.digits(id.into(), 10);
        }
        self.put(b"\0");
    }

    /// A set of bits.
    fn set(&mut self, bits: u64) {
        self.put(b"0x");
        self.digits(bits, 16);
        self.put(b"\0");
    }

    fn args(&self) -> Args<'_> {
        Args::Packed(self.bytes.get(..self.len).unwrap_or_default())
    }
}

/// Reports a change of identity, and the user ids after it, which it asks the kernel for: setuid(2) may
/// change one id or three.
#[inline(never)]
fn identity_changed(call: Call, what: &[u8], to: Args<'_>, flags: u8) {
    // A filter of the process's own may forbid to ask.
    let may_ask = !call.outcome.failed && process::seal() == Seal::Open;
    let (real_uid, effective_uid) = match may_ask.then(sys::ids) {
        Some([uid, euid, ..]) => (Hidden(Some(uid)), Hidden(Some(euid))),
        None => (Hidden(None), Hidden(None)),
    };
    emit::after(call, flags, &ProcessCredentials { what, to, real_uid, effective_uid });
}

/// User or group ids were set: setuid(2), setresgid(2) and their like.
#[inline(never)]
pub fn ids_set(call: Call, what: &[u8], ids: &[u32]) {
    let mut numbers = Numbers::new();
    for id in ids {
        numbers.id(*id);
    }
    identity_changed(call, what, numbers.args(), 0);
}

/// setgroups(2).
///
/// # Safety
/// `groups` is the call's.
pub unsafe fn groups_set(call: Call, count: usize, groups: *const u32) {
    let mut numbers = Numbers::new();
    if !call.outcome.failed {
        for index in 0..count.min(MOST_GROUPS) {
            // SAFETY: the kernel read `count` of them.
            numbers.id(unsafe { groups.add(index).read() });
        }
    }
    let flags = if count > MOST_GROUPS { Flags::TRUNCATED } else { 0 };
    identity_changed(call, b"groups", numbers.args(), flags);
}

/// capset(2): the effective, permitted and inheritable set.
///
/// # Safety
/// `header` and `sets` are the call's.
pub unsafe fn capabilities_set(call: Call, header: *const u32, sets: *const [u32; 3]) {
    const VERSION_1: u32 = 0x1998_0330;
    let mut numbers = Numbers::new();
    if !call.outcome.failed {
        // SAFETY: the kernel read the header, and one or two elements as its version says (capget(2)).
        let (low, high) = unsafe {
            let high = if header.read() == VERSION_1 { [0; 3] } else { sets.add(1).read() };
            (sets.read(), high)
        };
        for (low, high) in low.iter().zip(high) {
            numbers.set(u64::from(*low) | u64::from(high) << 32);
        }
    }
    identity_changed(call, b"capabilities", numbers.args(), 0);
}

/// A signal is sent. With `may_reach_us` it is reported before the call, which may not return.
#[inline(always)]
pub fn signalled<F: Fails<c_int>>(
    row: Row,
    target: i32,
    signal: c_int,
    may_reach_us: bool,
    real: impl FnOnce() -> c_int,
) -> c_int {
    if process::ring().is_none() {
        return real();
    }
    let may_reach_us = signal != 0 && may_reach_us;
    if may_reach_us {
        report_signal(row, None, target, signal, None);
    }
    let ret = real();
    let outcome = F::outcome(ret);
    if !may_reach_us || outcome.failed {
        report_signal(row, Some(outcome), target, signal, None);
    }
    ret
}

#[inline(never)]
fn report_signal(row: Row, outcome: Option<Outcome>, target: i32, signal: c_int, pidfd: Option<i32>) {
    let event = ProcessSignal { target, signal, pidfd: Hidden(pidfd) };
    match outcome {
        Some(outcome) => emit::after(Call::of(row, outcome), 0, &event),
        None => emit::before(row, 0, &event),
    }
}

/// Whether a signal to `target`, as kill(2) takes it, may be for the calling process.
pub fn is_us(target: i32) -> bool {
    target <= 0 || target.cast_unsigned() == process::own_pid()
}

/// The calling process.
pub fn ourselves() -> i32 {
    process::own_pid().cast_signed()
}

/// pidfd_send_signal(2): the collector knows the process of the descriptor.
pub fn signalled_by_descriptor(call: Call, pidfd: c_int, signal: c_int) {
    report_signal(call.row, Some(call.outcome), 0, signal, Some(pidfd));
}

/// pidfd_open(2): kept track of, so that a signal by it has a target.
pub fn process_opened(call: Call, pid: i32) {
    let mut numbers = Numbers::new();
    numbers.put(b"pidfd:");
    numbers.digits(pid.cast_unsigned().into(), 10);
    let label = numbers.bytes.get(..numbers.len).unwrap_or_default();
    fds::made(call, call.outcome.ret as c_int, label, true);
}

/// Another process was inspected: ptrace(2), process_vm_readv(2).
pub fn traced(call: Call, request: i64, target: i32) {
    emit::after(call, 0, &ProcessTrace { request: Trace(request), target });
}

/// The process's view of the system was changed: unshare(2), chroot(2), mount(2).
///
/// # Safety
/// `place` and `source` are the call's.
pub unsafe fn view_changed(call: Call, what: &[u8], place: Place, flags: u64, source: *const c_char) {
    // unshare(2): CLONE_FILES.
    connects::shared();
    // SAFETY: the caller's promise.
    unsafe { mounted(call, what, place, flags, source, null()) };
}

/// As [`view_changed`], with the type of the file system that is mounted.
///
/// # Safety
/// `place`, `source` and `filesystem` are the call's.
#[inline(never)]
pub unsafe fn mounted(
    call: Call,
    what: &[u8],
    place: Place,
    flags: u64,
    source: *const c_char,
    filesystem: *const c_char,
) {
    let flags = NamespaceFlags(flags);
    // SAFETY: the caller's promise.
    let (path, source) = unsafe { (place.among(call), capture::among(call.outcome, source)) };
    // SAFETY: the caller's promise.
    let filesystem = unsafe { capture::among(call.outcome, filesystem) };
    emit::after(call, 0, &ProcessNamespace { what, path, flags, source, filesystem, attributes: None });
}

/// fsconfig(2), where it says what is mounted (`FSCONFIG_SET_STRING` of `source`).
///
/// # Safety
/// `key` and `value` are the call's.
pub unsafe fn mount_configured(call: Call, command: c_uint, key: *const c_char, value: *const c_char) {
    const FSCONFIG_SET_STRING: c_uint = 1;
    // SAFETY: the caller's promise.
    let key = unsafe { capture::among(call.outcome, key) };
    if command == FSCONFIG_SET_STRING && key == Some(b"source") {
        // SAFETY: as above.
        unsafe { mounted(call, b"fsconfig", NOWHERE, 0, value, null()) };
    }
}

/// fsmount(2) and mount_setattr(2): a mount gets attributes.
///
/// # Safety
/// `place` is the call's.
pub unsafe fn mount_changed(call: Call, what: &[u8], place: Place, flags: u64, attributes: Option<u64>) {
    // SAFETY: the caller's promise.
    let path = unsafe { place.among(call) };
    let (flags, attributes) = (NamespaceFlags(flags), attributes.map(MountAttributes));
    emit::after(call, 0, &ProcessNamespace { what, path, flags, source: None, filesystem: None, attributes });
}

/// The attributes that mount_setattr(2) sets: the first word of `struct mount_attr`.
///
/// # Safety
/// `attributes` is the call's.
pub unsafe fn mount_attributes(call: Call, attributes: *const u64, size: usize) -> Option<u64> {
    if size < size_of::<u64>() {
        return None;
    }
    // SAFETY: the caller's promise.
    unsafe { capture::given(call.outcome, attributes) }
}

/// setrlimit(2), and prlimit(2) with a new limit. `target` is the process that the caller named.
///
/// # Safety
/// `limit` is the call's.
pub unsafe fn limited(call: Call, target: Option<c_int>, resource: c_uint, limit: *const libc::rlimit) {
    // SAFETY: the caller's promise.
    if let Some(limit) = unsafe { capture::given(call.outcome, limit) } {
        let resource = ResourceLimit(resource);
        emit::after(call, 0, &ProcessLimit { resource, soft: limit.rlim_cur, hard: limit.rlim_max, target });
    }
}

/// The arguments of prctl(2).
#[derive(Clone, Copy)]
pub struct Request {
    option: c_int,
    argument: usize,
    /// The degree to which it shuts the process off, if it does.
    seal: Option<Seal>,
    filter: *const libc::sock_fprog,
}

impl Request {
    /// From prctl's first three arguments.
    pub fn of(option: c_int, argument: usize, filter: usize) -> Self {
        // SECCOMP_MODE_STRICT, or SECCOMP_MODE_FILTER.
        let seal = if argument == 1 { Seal::Strict } else { Seal::Filter };
        let seal = (option == libc::PR_SET_SECCOMP).then_some(seal);
        Self { option, argument, seal, filter: filter as _ }
    }
}

/// prctl(2) and seccomp(2), as far as they change what the process may do or is called.
///
/// A filter is reported before the call, and obeyed from then on: after it, strict mode would not let us ask.
/// It counts as installed even if the call fails, which costs no more than the early waking of the collector.
///
/// # Safety
/// The request is the call's.
pub unsafe fn controlled(row: Row, request: Request, real: impl FnOnce() -> c_int) -> c_int {
    let Request { option, argument, seal, filter } = request;
    let has_ring = process::ring().is_some();
    if let Some(seal) = seal.filter(|_| has_ring) {
        report_control(row, None, option, argument);
        process::tighten(seal);
    }
    let ret = real();
    let outcome = <MinusOne as Fails<c_int>>::outcome(ret);
    // SAFETY: the kernel has installed it, so it is one.
    if !outcome.failed && seal == Some(Seal::Filter) && !unsafe { lets_us_start(filter) } {
        environ::bar();
    }
    if !has_ring {
        return ret;
    }
    if outcome.failed && seal.is_some() || seal.is_none() && Control(option).is_reported() {
        report_control(row, Some(outcome), option, argument);
    }
    ret
}

#[inline(never)]
fn report_control(row: Row, outcome: Option<Outcome>, option: c_int, argument: usize) {
    let is_name = option == libc::PR_SET_NAME;
    // SAFETY: the kernel read a name there, in the call that is over.
    let name = outcome
        .filter(|_| is_name)
        .and_then(|outcome| unsafe { capture::among(outcome, argument as *const c_char) });
    let name = name.map(|name| name.get(..NAME_CAP).unwrap_or(name));
    let argument = if is_name { None } else { Some(argument as u64) };
    let event = ProcessControl { what: Control(option), argument, name };
    match outcome {
        Some(outcome) => emit::after(Call::of(row, outcome), 0, &event),
        None => emit::before(row, 0, &event),
    }
}

/// Memory was mapped or its protection changed; reported only where that makes it executable.
#[inline(always)]
pub fn protected(call: Call, addr: usize, len: usize, prot: c_int, fd: c_int) {
    if prot & libc::PROT_EXEC != 0 {
        made_executable(call, addr, len, prot, fd);
    }
}

#[cold]
#[inline(never)]
fn made_executable(call: Call, addr: usize, len: usize, prot: c_int, fd: c_int) {
    let event = MemoryMap { addr: addr as u64, len: len as u64, prot: Protection(prot), fd: Hidden(fd) };
    emit::after(call, 0, &event);
}

/// mmap(2): the address is the one that came back, where one did.
#[inline(always)]
pub fn mapped(call: Call, wanted: *const c_void, len: usize, prot: c_int, flags: c_int, fd: c_int) {
    let addr = if call.outcome.failed { wanted as usize } else { call.outcome.ret as usize };
    protected(call, addr, len, prot, if flags & libc::MAP_ANONYMOUS != 0 { -1 } else { fd });
}

/// A kernel module is loaded from `place`, or removed by its name.
///
/// # Safety
/// `name` is the call's, or null.
pub unsafe fn module_changed(call: Call, file: Option<c_int>, name: *const c_char) {
    // SAFETY: the caller's promise.
    let name = unsafe { capture::among(call.outcome, name) };
    emit::after(call, 0, &KernelModule { path: Path { dir: file.unwrap_or(-1), raw: None }, name });
}

/// bpf(2).
pub fn bpf_called(call: Call, command: c_int) {
    emit::after(call, 0, &KernelBpf { command });
}

/// userfaultfd(2).
pub fn faults_taken(call: Call, flags: c_int) {
    emit::after(call, 0, &KernelUserfaultfd { flags: flags as u32 });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(fill: impl FnOnce(&mut Numbers)) -> Vec<u8> {
        let mut numbers = Numbers::new();
        fill(&mut numbers);
        numbers.bytes[..numbers.len].to_vec()
    }

    #[test]
    fn numbers_are_written_as_people_write_them() {
        assert_eq!(
            b"0\0-1\x004294967294\0",
            shown(|numbers| [0, u32::MAX, u32::MAX - 1].iter().for_each(|id| numbers.id(*id))).as_slice()
        );
        assert_eq!(
            b"0xffffffffffffffff\x000x0\0",
            shown(|numbers| [u64::MAX, 0].iter().for_each(|set| numbers.set(*set))).as_slice()
        );
    }

    #[test]
    fn more_numbers_than_there_is_room_for_are_left_out() {
        let written = shown(|numbers| {
            for _ in 0..2 * MOST_GROUPS {
                numbers.id(u32::MAX - 1)
            }
        });

        assert!(written.len() <= MOST_GROUPS * 11 && written.starts_with(b"4294967294\0"));
    }
}
