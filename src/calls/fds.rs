//! Descriptors: opened, closed, duplicated, and counted in between.
//!
//! A descriptor's counters are taken out before the call that closes it, because a moment later it may be
//! another thread's new file; and the record is stamped before the call, so that it comes before that file's
//! records.

use core::ffi::{c_char, c_int};

use wire::events::{
    DirChange, FdClosed, FdDuped, FdDuplicate, FdFlags, FdMade, FdRange, FileLock, FileOpen, FileUnlink,
};
use wire::fields::{AT_FDCWD, Address, Hidden, LockKind, OpenFlags, Path, ResolveFlags};
use wire::ring::layout::{FdCounters, Mapped};

use crate::calls::{connects, queues};
use crate::process::tell::{Asked, tells};
use crate::process::{self, Block, Caller, Seal};
use crate::reach::real::Real;
use crate::reach::streams::{of_directory, of_stream, reports_its_close};
use crate::reach::words::Word;
use crate::record::call::{Call, Outcome, Row};
use crate::record::capture;
use crate::record::emit::{self, Stamp, Way};
use crate::record::fail::{self, Fails, MinusOne};
use crate::record::note::{self, Outer};
use crate::sys;

/// Starts the counters of a descriptor that this process has just got.
#[inline(always)]
pub fn opened(fd: c_int) {
    let Some(ring) = process::ring() else { return };
    if let Some(caller) = process::caller(ring) {
        begin_counting(ring, caller, fd);
    }
}

#[inline(always)]
fn begin_counting(ring: Mapped, caller: Caller, fd: c_int) {
    if let Some(counters) = ring.fd(caller.slot, fd) {
        counters.open();
        emit::raise_high(&ring.slot(caller.slot).fd_high, fd);
    }
}

/// What `look` finds in the counters of a descriptor of this process, if it has any.
#[inline(always)]
pub fn counters_of<R>(fd: c_int, look: impl FnOnce(&FdCounters) -> R) -> Option<R> {
    let ring = process::ring()?;
    let caller = process::caller(ring)?;
    ring.fd(caller.slot, fd).map(look)
}

/// A file was opened: the open family.
///
/// # Safety
/// `path` is the call's path.
pub unsafe fn file_opened(call: Call, dir: c_int, path: *const c_char, flags: c_int, mode: Option<u32>) {
    // SAFETY: the caller's promise.
    let path = unsafe { capture::path(call.outcome, dir, path) };
    report_open(call, path, call.outcome.ret as c_int, flags, mode);
}

#[inline(never)]
fn report_open(call: Call, path: Path<'_>, fd: c_int, flags: c_int, mode: Option<u32>) {
    let fd = (!call.outcome.failed).then_some(fd);
    let open = FileOpen { path, fd, flags: OpenFlags(flags as u32), mode, resolve: None };
    emit::after_often(call, &open, |ring, caller| {
        if let Some(fd) = fd {
            begin_counting(ring, caller, fd);
        }
    });
}

/// A file was opened as a stream, fopen(3). The event's `ret` is the descriptor.
///
/// # Safety
/// `path` and `mode` are the call's; `stream` is what it returned.
pub unsafe fn stream_opened(call: Call, stream: *mut libc::FILE, path: *const c_char, mode: *const c_char) {
    // SAFETY: the caller's promise.
    let (fd, flags) = unsafe { (of_stream(stream), capture::stream_flags(mode)) };
    let mode = capture::creation_mode(flags, 0o666);
    let call = Call { outcome: Outcome { ret: i64::from(fd), ..call.outcome }, ..call };
    // SAFETY: the caller's promise.
    let path = unsafe { capture::path(call.outcome, AT_FDCWD, path) };
    report_open(call, path, fd, flags, mode);
}

/// A directory was opened, opendir(3). The event's `ret` is the descriptor.
///
/// # Safety
/// `path` is the call's; `directory` is what it returned.
pub unsafe fn directory_opened(call: Call, directory: *mut libc::DIR, path: *const c_char) {
    // SAFETY: the caller's promise.
    let fd = unsafe { of_directory(directory) };
    let call = Call { outcome: Outcome { ret: i64::from(fd), ..call.outcome }, ..call };
    // SAFETY: the caller's promise.
    unsafe { file_opened(call, AT_FDCWD, path, DIRECTORY, None) };
}

/// The flags with which libc opens a directory to read its names.
const DIRECTORY: c_int = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_DIRECTORY | libc::O_CLOEXEC;

/// An open that leaves no descriptor.
fn unkept(path: Path<'_>, flags: c_int, mode: Option<u32>) -> FileOpen<'_> {
    FileOpen { path, fd: None, flags: OpenFlags(flags as u32), mode, resolve: None }
}

/// A file was opened by openat2(2), whose path is resolved as `resolve` says.
///
/// # Safety
/// `path` is the call's path.
pub unsafe fn opened_within(
    call: Call,
    dir: c_int,
    path: *const c_char,
    flags: c_int,
    mode: Option<u32>,
    resolve: u64,
) {
    let fd = (!call.outcome.failed).then_some(call.outcome.ret as c_int);
    if let Some(fd) = fd {
        opened(fd);
    }
    // SAFETY: the caller's promise.
    let path = unsafe { capture::path(call.outcome, dir, path) };
    let resolve = Some(ResolveFlags(resolve as u32));
    emit::after(call, 0, &FileOpen { path, fd, flags: OpenFlags(flags as u32), mode, resolve });
}

/// A file was opened by a handle, open_by_handle_at(2): no path was passed, so the kernel is asked for the
/// one that the file has.
pub fn opened_by_handle(call: Call, flags: c_int) {
    let (fd, mut link) = (call.outcome.ret as c_int, [0; 512]);
    let may_ask = !call.outcome.failed && process::seal() == Seal::Open;
    let raw = Some(if may_ask { sys::descriptor_link(fd, &mut link) } else { &[] });
    let path = Path { dir: -1, raw: raw.filter(|link| !link.is_empty()) };
    report_open(call, path, fd, flags, None);
}

/// A directory's names were read, scandir(3): no descriptor is left of it.
///
/// # Safety
/// `path` is the call's.
pub unsafe fn directory_read(call: Call, dir: c_int, path: *const c_char) {
    // SAFETY: the caller's promise.
    let path = unsafe { capture::path(call.outcome, dir, path) };
    emit::after(call, 0, &unkept(path, DIRECTORY, None));
}

/// glob(3): reports the folder that holds a pattern's first wildcard, if there is one. Its return value says
/// only whether a name was found, so the outcome is taken from errno, which glob leaves as reading the folder
/// left it.
///
/// # Safety
/// `pattern` and `flags` are the call's.
pub unsafe fn glob(row: Row, pattern: *const c_char, flags: c_int, real: impl FnOnce() -> c_int) -> c_int {
    // <glob.h> of glibc: the caller's own functions read folders, or the pattern means something else.
    const OTHERWISE: c_int = 1 << 9 | 1 << 10 | 1 << 12 | 1 << 14;
    if process::ring().is_none() || flags & OTHERWISE != 0 || sys::is_wild(pattern) {
        return real();
    }
    let before = fail::errno();
    fail::set_errno(0);
    let ret = real();
    let errno = fail::errno();
    if errno == 0 {
        fail::set_errno(before);
    }
    // SAFETY: the caller's promise; glob has read it.
    unsafe { globbed(row, pattern, ret, errno) };
    ret
}

/// # Safety
/// As for [`glob`], which returned `ret` and left `errno`.
#[inline(never)]
unsafe fn globbed(row: Row, pattern: *const c_char, ret: c_int, errno: c_int) {
    const GLOB_NOMATCH: c_int = 3;
    let error = match ret {
        0 => Some(0),
        GLOB_NOMATCH if matches!(errno, libc::ENOENT | libc::ENOTDIR | libc::EACCES) => Some(errno),
        GLOB_NOMATCH => Some(0),
        _ => None,
    };
    // SAFETY: glob has read it.
    let folder = unsafe { capture::text(pattern, 4096) }.and_then(folder_of_pattern);
    if let (Some(error), Some(folder)) = (error, folder) {
        let failed = error != 0;
        let outcome = Outcome { ret: if failed { -1 } else { 0 }, errno: error as u16, failed };
        let path = Path { dir: AT_FDCWD, raw: Some(folder) };
        emit::after(Call::of(row, outcome), 0, &unkept(path, DIRECTORY, None));
    }
}

/// The folder whose names are matched with the first part of a pattern that has a wildcard; `None` without
/// one.
fn folder_of_pattern(pattern: &[u8]) -> Option<&[u8]> {
    let wildcard = pattern.iter().position(|byte| matches!(byte, b'*' | b'?' | b'['))?;
    match pattern.get(..wildcard)?.iter().rposition(|byte| *byte == b'/') {
        None => Some(b"."),
        Some(0) => Some(b"/"),
        Some(end) => pattern.get(..end),
    }
}

/// A temporary file was opened as a stream, tmpfile(3). Its path is the directory's, as with `O_TMPFILE`:
/// glibc opens it so, and musl removes its name at once.
///
/// # Safety
/// `stream` is what the call returned.
pub unsafe fn temporary_opened(call: Call, stream: *mut libc::FILE) {
    // SAFETY: the caller's promise.
    let fd = unsafe { of_stream(stream) };
    let call = Call { outcome: Outcome { ret: i64::from(fd), ..call.outcome }, ..call };
    let path = Path { dir: AT_FDCWD, raw: Some(b"/tmp") };
    report_open(call, path, fd, libc::O_RDWR | libc::O_EXCL | libc::O_TMPFILE, Some(0o600));
}

/// A file without a directory: memfd_create(2) and shm_open(3), whose names get `prefix`.
///
/// # Safety
/// `name` is the call's name.
pub unsafe fn named_opened(call: Call, prefix: &[u8], name: *const c_char, flags: c_int, mode: Option<u32>) {
    let mut buffer = [0; NAME_LEN];
    // SAFETY: the caller's promise.
    let path = unsafe { prefixed(&mut buffer, call, prefix, name) };
    report_open(call, path, call.outcome.ret as c_int, flags, mode);
}

/// sem_open(3): the semaphore is a file in /dev/shm, mapped and closed again.
///
/// # Safety
/// `name` is the call's.
pub unsafe fn semaphore_opened(call: Call, name: *const c_char, flags: c_int, mode: Option<u32>) {
    let mut buffer = [0; NAME_LEN];
    // SAFETY: the caller's promise.
    let path = unsafe { prefixed(&mut buffer, call, b"/dev/shm/sem.", without_slashes(name)) };
    emit::after(call, 0, &unkept(path, flags | libc::O_RDWR | libc::O_NOFOLLOW, mode));
}

/// The device that is opened for each new terminal.
pub const TERMINALS: *const c_char = c"/dev/ptmx".as_ptr();

/// The controlling side of a terminal, made by openpty(3) or forkpty(3).
pub fn terminal_opened(row: Row, fd: c_int) {
    let call = Call::of(row, Outcome::success(fd.into()));
    let path = Path { dir: AT_FDCWD, raw: Some(b"/dev/ptmx") };
    report_open(call, path, fd, libc::O_RDWR, None);
}

/// A call that libc made inside itself has replaced the standard streams.
pub fn standard_changed(row: Row) {
    for fd in 0..3 {
        received(row, fd, false);
    }
}

/// login_tty(3): `fd` becomes the standard streams, and is closed.
pub fn made_standard(row: Row, fd: c_int, real: impl FnOnce() -> c_int) -> c_int {
    let ret = real();
    if process::ring().is_none() || ret != 0 {
        return ret;
    }
    let call = Call::of(row, Outcome::success(0));
    for target in 0..3 {
        emit::after(call, 0, &FdDuplicate { fd, target, cloexec: Hidden(false) });
        opened(target);
    }
    if fd > 2 {
        close(row, fd, || 0);
    }
    ret
}

/// Room for a prefix and a name: 249 bytes is the longest name of a memfd, NAME_MAX of a shared memory
/// object.
const NAME_LEN: usize = 288;

/// The name of an object that lies in no directory of the caller's, with `prefix` before it.
///
/// # Safety
/// `name` is the call's name.
unsafe fn prefixed<'a>(
    buffer: &'a mut [u8; NAME_LEN],
    call: Call,
    prefix: &[u8],
    name: *const c_char,
) -> Path<'a> {
    // SAFETY: the caller's promise.
    let name = unsafe { capture::path(call.outcome, AT_FDCWD, name) }.raw.unwrap_or_default();
    let name = name.get(..name.len().min(256)).unwrap_or_default();
    let len = prefix.len() + name.len();
    if let Some((front, back)) = buffer.split_at_mut_checked(prefix.len())
        && let Some(back) = back.get_mut(..name.len())
    {
        front.copy_from_slice(prefix);
        back.copy_from_slice(name);
    }
    Path { dir: AT_FDCWD, raw: buffer.get(..len) }
}

/// A descriptor that is neither a file nor a socket with an address.
pub fn made(call: Call, fd: c_int, label: &[u8], cloexec: bool) {
    if !call.outcome.failed {
        opened(fd);
        let (local, remote) = (Address(&[]), Address(&[]));
        emit::track(call.row, &FdMade { fd, label, cloexec, local, remote });
    }
}

/// A descriptor that another process opened, received in a message or taken by pidfd_getfd(2).
pub fn received(row: Row, fd: c_int, cloexec: bool) {
    opened(fd);
    identify(row, fd, cloexec);
}

/// A stream is about to be closed: one that libc opened inside itself (getpwnam(3)) is identified first. The
/// standard streams, which every second program closes at its end, are known well enough.
pub fn stream_closes(row: Row, fd: c_int) {
    if fd > 2 && counters_of(fd, |counters| counters.look().is_open) == Some(false) {
        identify(row, fd, true);
    }
}

/// Asks the kernel what an unknown descriptor is, unless the process shut itself off.
#[cold]
fn identify(row: Row, fd: c_int, cloexec: bool) {
    if process::seal() != Seal::Open {
        return;
    }
    let (mut own, mut peer, mut link) = ([0; capture::ADDRESS_CAP], [0; capture::ADDRESS_CAP], [0; 512]);
    let own = sys::own_address(fd, &mut own).ok().and_then(|len| own.get(..len));
    let peer = sys::peer_address(fd, &mut peer).ok().and_then(|len| peer.get(..len));
    let label = match own {
        Some(_) => b"socket:",
        None => sys::descriptor_link(fd, &mut link),
    };
    let (local, remote) = (Address(own.unwrap_or_default()), Address(peer.unwrap_or_default()));
    emit::track(row, &FdMade { fd, label, cloexec, local, remote });
}

/// Bytes that went from one descriptor to another inside the kernel: sendfile(2), splice(2),
/// copy_file_range(2).
pub fn moved(call: Call, from: c_int, to: c_int) {
    emit::count(from, call.outcome.ret, Way::In);
    connects::moved(call, to, call.outcome.ret, Way::Out);
}

/// aio_return(3): the bytes that an operation of aio_read(3), aio_write(3) or lio_listio(3) moved.
///
/// # Safety
/// `operation` is the call's.
pub unsafe fn ended_later(call: Call, operation: *const c_int) {
    // musl does not note the kind of the operation in it.
    if call.outcome.failed || operation.is_null() {
        return;
    }
    // SAFETY: a `struct aiocb` begins with the descriptor and the operation (glibc's <aio.h>), and the call
    // read them.
    let [fd, what] = unsafe { operation.cast::<[c_int; 2]>().read_unaligned() };
    // glibc adds 128 where the offset has 64 bits.
    match what & 127 {
        libc::LIO_READ => emit::count(fd, call.outcome.ret, Way::In),
        libc::LIO_WRITE => emit::count(fd, call.outcome.ret, Way::Out),
        _ => {}
    }
}

/// Both ends of a pipe or a socket pair.
///
/// # Safety
/// `pair` is what the call was given to fill in.
pub unsafe fn pair_made(call: Call, pair: *const c_int, label: &[u8], cloexec: bool) {
    if !call.outcome.failed {
        // SAFETY: the call succeeded, so it wrote both.
        let [one, other] = unsafe { pair.cast::<[c_int; 2]>().read_unaligned() };
        made(call, one, label, cloexec);
        made(call, other, label, cloexec);
    }
}

/// A descriptor about to be closed: the record of its close with its counters, and that record's stamp. The
/// value stays in its place: a copy of words that were just written is slow.
struct Closing {
    closed: FdClosed,
    stamp: Option<Stamp>,
    outer: Outer,
}

impl Closing {
    #[inline(always)]
    fn of(fd: c_int) -> Self {
        Self { closed: FdClosed { fd, counters: None }, stamp: None, outer: Outer::NONE }
    }

    /// Takes the counters out; `stack` is the end of the frame of the function that calls the real one.
    #[inline(never)]
    fn begin(&mut self, row: Row, ring: Mapped, stack: usize) {
        if queues::are_there() {
            queues::closing(self.closed.fd);
        }
        connects::closing(row, self.closed.fd);
        let thread = Block::here();
        let Some(caller) = thread.caller(ring) else { return };
        let Some(entry) = ring.fd(caller.slot, self.closed.fd) else { return };
        let found = entry.close();
        self.closed.counters = Some(found.counters);
        // An unknown descriptor may not be open at all: then there is nothing to report, and no number is
        // used up.
        if found.is_of_interest() {
            self.stamp = Some(emit::stamp(ring, thread, caller, stack, &mut self.outer));
        }
    }

    fn report(&self, row: Row, outcome: Outcome) {
        match self.stamp {
            Some(stamp) => emit::stamped(stamp, &self.outer, row, Some(outcome), &self.closed),
            None if outcome.errno != libc::EBADF as u16 => {
                emit::after(Call::of(row, outcome), 0, &self.closed)
            }
            None => {}
        }
    }
}

static TEST_CANCEL: Real = Real::new();

/// close(2). A thread that would be cancelled there ends before the close of a descriptor is noted that it
/// will not close.
#[inline(always)]
pub fn close_or_cancel(row: Row, fd: c_int, real: impl FnOnce() -> c_int) -> c_int {
    if !process::is_alone()
        && process::ring().is_some()
        && let Some(test) = TEST_CANCEL.get(c"pthread_testcancel")
    {
        // SAFETY: `void pthread_testcancel(void)`, pthread_testcancel(3).
        unsafe { core::mem::transmute::<usize, unsafe extern "C" fn()>(test)() };
    }
    close(row, fd, real)
}

/// A call that closes one descriptor. A failure other than EBADF has closed it all the same (close(2),
/// "Dealing with error returns").
#[inline(always)]
pub fn close<R: Copy + Word>(row: Row, fd: c_int, real: impl FnOnce() -> R) -> R
where
    MinusOne: Fails<R>,
{
    let Some(ring) = process::ring() else { return real() };
    let mut closing = Closing::of(fd);
    closing.begin(row, ring, note::here());
    let ret = real();
    closing.report(row, <MinusOne as Fails<R>>::outcome(ret));
    ret
}

/// fclose(3).
///
/// # Safety
/// `stream` is the call's.
pub unsafe fn close_stream(row: Row, stream: *mut libc::FILE, real: impl FnOnce() -> c_int) -> c_int {
    // SAFETY: the caller's promise.
    if process::ring().is_none() || unsafe { reports_its_close(stream) } {
        return real();
    }
    // SAFETY: the caller's promise.
    let fd = unsafe { of_stream(stream) };
    // A stream over memory has no descriptor.
    if fd < 0 { real() } else { close(row, fd, real) }
}

/// closedir(3).
///
/// # Safety
/// `directory` is the call's.
pub unsafe fn close_directory(row: Row, directory: *mut libc::DIR, real: impl FnOnce() -> c_int) -> c_int {
    // SAFETY: the caller's promise.
    let fd = if process::ring().is_some() { unsafe { of_directory(directory) } } else { -1 };
    if fd < 0 { real() } else { close(row, fd, real) }
}

/// freopen(3): the stream's descriptor is closed, and the new file gets its number or another.
///
/// # Safety
/// The arguments are freopen's.
pub unsafe fn reopen(
    row: Row,
    path: *const c_char,
    mode: *const c_char,
    stream: *mut libc::FILE,
    real: impl FnOnce() -> *mut libc::FILE,
) -> *mut libc::FILE {
    let Some(ring) = process::ring() else { return real() };
    // SAFETY: the caller's promise.
    let old = unsafe { of_stream(stream) };
    if old >= 0 && !path.is_null() {
        let mut closing = Closing::of(old);
        closing.begin(row, ring, note::here());
        closing.report(row, Outcome::success(0));
    }
    let ret = real();
    if !path.is_null() {
        let call = Call::of(row, <fail::Null as Fails<*mut libc::FILE>>::outcome(ret));
        // SAFETY: the caller's promise.
        unsafe { stream_opened(call, ret, path, mode) };
    }
    ret
}

/// close_range(2) and closefrom(3).
pub fn close_range<R: Copy>(row: Row, first: u32, last: u32, cloexec: bool, real: impl FnOnce() -> R) -> R {
    if let Some(ring) = process::ring()
        && first <= last
        && let Some(caller) = process::caller(ring)
    {
        let high = ring.slot(caller.slot).fd_high.load(core::sync::atomic::Ordering::Relaxed);
        if !cloexec {
            for fd in first..high.min(last.saturating_add(1)) {
                let counters = ring.fd(caller.slot, fd as c_int);
                if counters.is_some_and(|counters| counters.look().is_of_interest()) {
                    let mut closing = Closing::of(fd as c_int);
                    closing.begin(row, ring, note::here());
                    closing.report(row, Outcome::success(0));
                }
            }
        }
        emit::track(row, &FdRange { first, last, cloexec });
    }
    real()
}

/// dup(2), and fcntl(2) with F_DUPFD.
pub fn duplicated(call: Call, fd: c_int, cloexec: bool) {
    connects::shared();
    if !call.outcome.failed {
        let target = call.outcome.ret as c_int;
        opened(target);
        emit::track(call.row, &FdDuped { fd, target, cloexec });
    }
}

/// dup2(2) and dup3(2): the old file of `target` is closed.
#[inline(always)]
pub fn duplicate_onto(
    row: Row,
    fd: c_int,
    target: c_int,
    cloexec: bool,
    real: impl FnOnce() -> c_int,
) -> c_int {
    let Some(ring) = process::ring() else { return real() };
    if fd == target || target < 0 {
        return real();
    }
    // Before the close, which may fail, and then closes nothing.
    connects::shared();
    let mut closing = Closing::of(target);
    let is_known = is_of_interest(target);
    if is_known {
        closing.begin(row, ring, note::here());
    }
    let ret = real();
    let call = Call::of(row, <MinusOne as Fails<c_int>>::outcome(ret));
    duplicated_onto(call, fd, target, cloexec, is_known.then_some(&closing));
    ret
}

#[inline(never)]
fn is_of_interest(fd: c_int) -> bool {
    counters_of(fd, |counters| counters.look().is_of_interest()) == Some(true)
}

#[inline(never)]
fn duplicated_onto(call: Call, fd: c_int, target: c_int, cloexec: bool, closing: Option<&Closing>) {
    if let Some(closing) = closing {
        closing.report(call.row, call.outcome);
    }
    if (0..=2).contains(&target) {
        emit::after(call, 0, &FdDuplicate { fd, target, cloexec: Hidden(cloexec) });
        if !call.outcome.failed {
            opened(target);
        }
    } else {
        duplicated(call, fd, cloexec);
    }
}

/// fcntl(2), where it makes a descriptor or marks one to close at exec; on request also where it locks.
///
/// # Safety
/// The arguments are the call's.
pub unsafe fn controlled(call: Call, fd: c_int, command: c_int, argument: usize) {
    match command {
        libc::F_SETLK | libc::F_SETLKW | libc::F_OFD_SETLK | libc::F_OFD_SETLKW if tells(Asked::Locks) => {
            // SAFETY: the caller's promise.
            let lock = unsafe { capture::given(call.outcome, argument as *const libc::flock) };
            if let Some(lock) = lock {
                let kind = LockKind::OF_FCNTL + c_int::from(lock.l_type);
                let waits = matches!(command, libc::F_SETLKW | libc::F_OFD_SETLKW);
                report_lock(call, fd, kind, waits, Some((lock.l_start, lock.l_len)));
            }
        }
        libc::F_DUPFD => duplicated(call, fd, false),
        libc::F_DUPFD_CLOEXEC => duplicated(call, fd, true),
        libc::F_SETFD if !call.outcome.failed => {
            let cloexec = argument as c_int & libc::FD_CLOEXEC != 0;
            emit::track(call.row, &FdFlags { fd, cloexec });
        }
        _ => {}
    }
}

/// flock(2), on request.
pub fn locked_whole(call: Call, fd: c_int, operation: c_int) {
    if tells(Asked::Locks) {
        report_lock(call, fd, operation & !libc::LOCK_NB, operation & libc::LOCK_NB == 0, None);
    }
}

/// lockf(3), on request.
pub fn locked_from_here(call: Call, fd: c_int, command: c_int, length: i64) {
    if tells(Asked::Locks) {
        let path = Path { dir: fd, raw: None };
        let (lock, waits) = (LockKind(LockKind::OF_LOCKF + command), command == libc::F_LOCK);
        emit::after(call, 0, &FileLock { path, fd, lock, waits, start: None, length: Some(length) });
    }
}

#[inline(never)]
fn report_lock(call: Call, fd: c_int, kind: c_int, waits: bool, range: Option<(i64, i64)>) {
    let path = Path { dir: fd, raw: None };
    let (start, length) = (range.map(|range| range.0), range.map(|range| range.1));
    emit::after(call, 0, &FileLock { path, fd, lock: LockKind(kind), waits, start, length });
}

/// ioctl(2), where it marks a descriptor to close at exec, or not to.
pub fn marked(call: Call, fd: c_int, request: usize) {
    // <asm-generic/ioctls.h>; the upper half of the register is what the caller left there.
    const FIONCLEX: u32 = 0x5450;
    const FIOCLEX: u32 = 0x5451;
    let request = request as u32;
    if matches!(request, FIONCLEX | FIOCLEX) && !call.outcome.failed {
        emit::track(call.row, &FdFlags { fd, cloexec: request == FIOCLEX });
    }
}

/// The flags of memfd_create(2) as open(2) would say them.
pub fn memfd_flags(flags: u32) -> c_int {
    libc::O_RDWR | if flags & libc::MFD_CLOEXEC != 0 { libc::O_CLOEXEC } else { 0 }
}

/// shm_open(3): the object is a file in /dev/shm.
///
/// # Safety
/// `name` is the call's.
pub unsafe fn shared_opened(call: Call, name: *const c_char, flags: c_int, mode: Option<u32>) {
    // SAFETY: the caller's promise.
    let name = unsafe { without_slashes(name) };
    // SAFETY: the caller's promise. glibc and musl add O_CLOEXEC and O_NOFOLLOW.
    unsafe { named_opened(call, b"/dev/shm/", name, flags | libc::O_CLOEXEC | libc::O_NOFOLLOW, mode) };
}

/// A shared memory object or a semaphore was removed, shm_unlink(3) and sem_unlink(3): a file in /dev/shm.
///
/// # Safety
/// `name` is the call's name.
pub unsafe fn shared_removed(call: Call, prefix: &[u8], name: *const c_char) {
    let mut buffer = [0; NAME_LEN];
    // SAFETY: the caller's promise.
    let path = unsafe { prefixed(&mut buffer, call, prefix, without_slashes(name)) };
    emit::after(call, 0, &FileUnlink { path });
}

/// A name as shm_open(3) reads it: leading slashes are ignored.
///
/// # Safety
/// `name` is the call's name.
unsafe fn without_slashes(name: *const c_char) -> *const c_char {
    // SAFETY: the caller's promise.
    let slashes = unsafe { capture::text(name, 8) }
        .map_or(0, |name| name.iter().take_while(|byte| **byte == b'/').count());
    // SAFETY: within the string.
    unsafe { name.add(slashes) }
}

/// chdir(2) and fchdir(2).
///
/// # Safety
/// `path` is the call's, or null.
pub unsafe fn directory_changed(call: Call, dir: c_int, path: *const c_char) {
    if !call.outcome.failed {
        // SAFETY: the caller's promise.
        emit::track(call.row, &DirChange { path: unsafe { capture::path(call.outcome, dir, path) } });
    }
}
