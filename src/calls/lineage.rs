//! Making processes: a child's events carry its own pid, and the parent's ring is never harmed.
//!
//! A fork child finds its process page empty ([`crate::process`]) and takes a slot of the ring that it
//! inherited at its first event. A vfork child, which shares the parent's memory, is a guest on the parent's
//! thread until it execs or ends: it writes to the ring and to the thread's block, nowhere else.

use core::ffi::{c_int, c_void};

use wire::events::{DirChange, ProcessFork};
use wire::fields::{AT_FDCWD, Hidden, Path};

use crate::calls::{connects, exec, fds};
use crate::process;
use crate::record::call::{Call, Row};
use crate::record::emit;
use crate::record::fail::{Fails, MinusOne, set_errno};
use crate::start::environ;
use crate::sys;

/// fork(2) and its like.
pub fn fork(row: Row, real: impl FnOnce() -> c_int) -> c_int {
    let (parent, began_ns) = (process::known_pid(), process::begin_ns());
    let pid = real();
    if process::ring().is_none() {
        return pid;
    }
    if pid == 0 {
        process::begin_child(parent);
    } else {
        report_fork(Call { row, outcome: <MinusOne as Fails<c_int>>::outcome(pid), began_ns });
        // The child runs meanwhile; later children find it done.
        exec::look_up();
    }
    pid
}

/// forkpty(3): the child's standard streams are the new terminal; the parent holds its other side.
///
/// # Safety
/// `controller` is the call's.
pub unsafe fn fork_on_terminal(row: Row, controller: *const c_int, real: impl FnOnce() -> c_int) -> c_int {
    let pid = fork(row, real);
    if process::ring().is_some() {
        match pid {
            0 => fds::standard_changed(row),
            // SAFETY: the call succeeded, so it wrote the descriptor.
            1.. => fds::terminal_opened(row, unsafe { *controller }),
            _ => {}
        }
    }
    pid
}

/// daemon(3): the child comes back, in `/` and with /dev/null for its streams unless it was asked to keep the
/// old ones.
pub fn daemonised(
    row: Row,
    keeps_directory: c_int,
    keeps_streams: c_int,
    real: impl FnOnce() -> c_int,
) -> c_int {
    if process::ring().is_none() {
        return real();
    }
    connects::shared();
    emit::before(row, 0, &ProcessFork { child: None, began_ns: Hidden(0) });
    let parent = process::known_pid();
    let ret = real();
    if ret != 0 {
        return ret;
    }
    process::begin_child(parent);
    if keeps_directory == 0 {
        emit::track(row, &DirChange { path: Path { dir: AT_FDCWD, raw: Some(b"/") } });
    }
    if keeps_streams == 0 {
        fds::standard_changed(row);
    }
    ret
}

/// Reports a new process, or one that could not be made.
pub fn report_fork(call: Call) {
    let child = (call.outcome.ret > 0).then_some(call.outcome.ret as u32);
    connects::shared();
    emit::after(call, 0, &ProcessFork { child, began_ns: Hidden(call.began_ns) });
}

/// Both sides of a vfork continue here: `result` is the return value of the kernel, `began_ns` what the clock
/// was before.
pub fn vforked(row: Row, result: isize, began_ns: u64) -> c_int {
    // Without a ring, too: what the child maps for its exec is the parent's to free.
    if !environ::is_carrying() {
        return as_libc(result);
    }
    match result {
        0 => process::begin_guest(sys::getpid()),
        _ => {
            process::end_guest();
            let ret = as_libc(result);
            report_fork(Call { row, outcome: <MinusOne as Fails<c_int>>::outcome(ret), began_ns });
            return ret;
        }
    }
    0
}

fn as_libc(result: isize) -> c_int {
    if result < 0 {
        set_errno(-result as c_int);
        return -1;
    }
    result as c_int
}

/// The function that clone(2) runs in the child.
pub type Entry = unsafe extern "C" fn(*mut c_void) -> c_int;

/// The function that a child of clone(2) in the same memory is to run, and its argument.
struct Guest {
    entry: Entry,
    argument: *mut c_void,
}

unsafe extern "C" fn run_guest(guest: *mut c_void) -> c_int {
    // SAFETY: points to the frame of `cloned`, whose thread waits (CLONE_VFORK).
    let Guest { entry, argument } = unsafe { guest.cast::<Guest>().read() };
    process::begin_guest(sys::getpid());
    // SAFETY: the application's own function and argument.
    unsafe { entry(argument) }
}

/// clone(2): `real` is called with the function and the argument to run.
///
/// A child that shares memory and does not stop its parent (CLONE_VM without CLONE_VFORK) and is no thread
/// cannot be distinguished from its parent: its events carry the parent's pid. `CAPABILITIES.md` says so.
///
/// # Safety
/// As for clone(2).
pub unsafe fn cloned(
    row: Row,
    entry: Option<Entry>,
    flags: c_int,
    argument: *mut c_void,
    real: impl FnOnce(Option<Entry>, *mut c_void) -> c_int,
) -> c_int {
    let (true, Some(entry)) = (environ::is_carrying(), entry) else { return real(entry, argument) };
    if flags & libc::CLONE_VM != 0 && flags & libc::CLONE_VFORK == 0 {
        // libc does not know of a thread that clone makes directly.
        process::watch_threads(None);
    }
    if flags & libc::CLONE_THREAD != 0 {
        return real(Some(entry), argument);
    }
    let is_guest = flags & (libc::CLONE_VM | libc::CLONE_VFORK) == libc::CLONE_VM | libc::CLONE_VFORK;
    let mut guest = Guest { entry, argument };
    let began_ns = process::begin_ns();
    let ret = if is_guest {
        let ret = real(Some(run_guest), (&raw mut guest).cast());
        process::end_guest();
        ret
    } else {
        real(Some(entry), argument)
    };
    report_fork(Call { row, outcome: <MinusOne as Fails<c_int>>::outcome(ret), began_ns });
    ret
}

/// A process made by number. The child finds its page emptied by the kernel; one that shares our memory keeps
/// our pid.
pub fn cloned_by_number(call: Call, flags: usize) {
    let is_thread = flags as c_int & libc::CLONE_THREAD != 0;
    if call.outcome.ret != 0 && !is_thread {
        report_fork(call);
    }
}
