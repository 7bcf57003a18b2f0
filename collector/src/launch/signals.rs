//! The signals that reach the launcher: all are blocked and read from a signalfd(2), then passed on to CMD
//! unless CMD got them anyway.
//!
//! CMD runs in the launcher's process group, so it has already received each signal that the terminal sent to
//! the group (^C, ^Z, a new window size); those come with `si_code` SI_KERNEL. A signal that a process sends
//! to the launcher's pid reaches only the launcher, which passes it on. Reading blocked signals also works as
//! PID 1, where the kernel throws away unblocked signals without a handler (pid_namespaces(7)).
//!
//! # Safety
//! Masks, sets and descriptions are plain values that libc's own functions initialise; the launcher has one
//! thread, so a mask is the process's. Dispositions are only ever SIG_DFL or SIG_IGN: no handler runs.
#![allow(unsafe_code, reason = "signal masks and signalfd have no safe interface")]

use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use libc::c_int;

use crate::shell::inherited::set_ignored;

/// The launcher's hold on its signals.
#[derive(Debug)]
pub struct Signals {
    descriptor: OwnedFd,
    original_mask: Mask,
}

/// A signal mask that this process had.
#[derive(Clone, Copy, Debug)]
pub struct Mask(libc::sigset_t);

impl Mask {
    /// The mask at the moment.
    pub fn current() -> Self {
        let mut mask = MaybeUninit::uninit();
        // SAFETY: a null new set changes nothing; the old one is written. With a valid pointer this cannot
        // fail.
        unsafe { libc::sigprocmask(libc::SIG_BLOCK, std::ptr::null(), mask.as_mut_ptr()) };
        // SAFETY: initialised by the call above.
        Self(unsafe { mask.assume_init() })
    }

    /// Puts the mask back: signals that are pending and not blocked by it are delivered.
    pub fn restore(&self) {
        set_mask(&self.0);
    }
}

/// One signal as it was received.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Signal {
    /// Its number.
    pub number: c_int,
    /// Its origin (`SI_USER`, `SI_KERNEL`, …; sigaction(2)).
    pub code: c_int,
    /// The sender's pid; 0 where the sender is outside of this pid namespace.
    pub sender: i32,
    /// The sender's real uid.
    pub sender_uid: u32,
    /// The value that the sender passed to sigqueue(3).
    pub value: u64,
}

/// The launcher's relation to CMD and to the sender when a signal comes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Situation {
    /// The launcher's own pid; 1 makes it the init of a container.
    pub own_pid: i32,
    /// The launcher leads its session, so the terminal's hang-up comes to it.
    pub leads_session: bool,
    /// The sender is CMD or a descendant of it, in the launcher's process group.
    pub sender_is_job_member: bool,
}

impl Signals {
    /// Blocks every signal and opens the descriptor to read them from.
    ///
    /// SIGCHLD goes to its default action: while it is ignored, children vanish without a status (wait(2)).
    pub fn take_over() -> io::Result<Self> {
        let mut all = MaybeUninit::uninit();
        // SAFETY: sigfillset initialises the set it is given.
        unsafe { libc::sigfillset(all.as_mut_ptr()) };
        // SAFETY: initialised by the line above.
        let all = unsafe { all.assume_init() };
        let original_mask = Mask::current();
        // SAFETY: the set is initialised; a null old set is allowed. SIG_BLOCK with a valid set cannot fail.
        unsafe { libc::sigprocmask(libc::SIG_BLOCK, &all, std::ptr::null_mut()) };
        // SAFETY: `all` is initialised; -1 asks for a fresh descriptor.
        let raw = unsafe { libc::signalfd(-1, &all, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if raw < 0 {
            let error = io::Error::last_os_error();
            original_mask.restore();
            return Err(error);
        }
        // SAFETY: the kernel just made this descriptor, and nothing else owns it.
        let descriptor = unsafe { OwnedFd::from_raw_fd(raw) };
        set_ignored(libc::SIGCHLD, false);
        Ok(Self { descriptor, original_mask })
    }

    /// The next pending signal, if any.
    pub fn next(&self) -> Option<Signal> {
        let mut description = MaybeUninit::<libc::signalfd_siginfo>::zeroed();
        let size = size_of::<libc::signalfd_siginfo>();
        // SAFETY: `description` has room for `size` bytes.
        let length =
            unsafe { libc::read(self.descriptor.as_raw_fd(), description.as_mut_ptr().cast(), size) };
        if length != size.cast_signed() {
            return None;
        }
        // SAFETY: made of integers only, so zeroes and all that the kernel may write are valid.
        let description = unsafe { description.assume_init() };
        Some(Signal {
            number: description.ssi_signo.cast_signed(),
            code: description.ssi_code,
            sender: description.ssi_pid.cast_signed(),
            sender_uid: description.ssi_uid,
            value: description.ssi_ptr,
        })
    }

    /// Gives this process the caller's mask, for a process that execs next.
    pub fn restore_mask(&self) {
        self.original_mask.restore();
    }

    /// Stops this process by `signal`, as CMD was stopped, and returns once it was continued.
    ///
    /// The same signal, so that the calling shell prints what it would print for CMD. The kernel does not
    /// stop the init of a pid namespace, nor (other than by SIGSTOP) an orphaned process group; then this
    /// returns at once. The result says whether a SIGCONT came.
    pub fn stop_self(&self, signal: c_int) -> bool {
        let was_ignored = crate::shell::inherited::is_ignored(signal);
        set_ignored(signal, false);
        // SAFETY: raise takes a number; the signal is blocked (or is SIGSTOP, which stops here).
        unsafe { libc::raise(signal) };
        let set = set_of(signal);
        // SAFETY: `set` is initialised; a null old set is allowed. The pending signal stops this process in
        // here.
        unsafe { libc::sigprocmask(libc::SIG_UNBLOCK, &set, std::ptr::null_mut()) };
        // SAFETY: as above.
        unsafe { libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) };
        set_ignored(signal, was_ignored);
        let continued = set_of(libc::SIGCONT);
        let no_time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the set and the time are initialised; a null description is allowed.
        let taken = unsafe { libc::sigtimedwait(&continued, std::ptr::null_mut(), &no_time) };
        taken == libc::SIGCONT
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl Signal {
    /// True if a process sent it, rather than the kernel on its own account.
    ///
    /// A parent's death signal (PR_SET_PDEATHSIG) comes as if the parent had sent it.
    fn is_from_a_process(&self) -> bool {
        self.code <= 0
    }

    /// True if CMD must be sent this signal because it has not got it otherwise.
    pub fn is_for_command(&self, situation: Situation) -> bool {
        if self.number == libc::SIGCHLD || self.sender == situation.own_pid && self.is_from_a_process() {
            return false;
        }
        if self.is_from_a_process() {
            // `kill 0` in a script that CMD started is meant for its group, which CMD is in, and not for the
            // launcher, of which the script knows nothing. A script that started the launcher shares the
            // group too and means the launcher, so descent decides. As PID 1, `kill 1` is common and meant.
            return situation.own_pid == 1 || !situation.sender_is_job_member;
        }
        match self.number {
            // Timers outlive the exec that made the launcher; children do not inherit them (`alarm` before
            // `exec` is how old scripts set a time limit). PWR is for the init process alone.
            libc::SIGALRM | libc::SIGVTALRM | libc::SIGPROF | libc::SIGPWR => true,
            // A hang-up goes to the session's leader alone, and to the foreground group only once the leader
            // has ended (tty_signal_session_leader in the kernel's tty_jobctrl.c).
            libc::SIGHUP | libc::SIGCONT => situation.leads_session,
            _ => false,
        }
    }

    /// True if a process without a handler for it would end.
    pub fn ends_by_default(&self) -> bool {
        !matches!(
            self.number,
            libc::SIGCHLD
                | libc::SIGCONT
                | libc::SIGURG
                | libc::SIGWINCH
                | libc::SIGSTOP
                | libc::SIGTSTP
                | libc::SIGTTIN
                | libc::SIGTTOU
        ) && !crate::shell::inherited::is_ignored(self.number)
    }

    /// True if the signal asks to stop for the terminal's sake.
    pub fn is_terminal_stop(&self) -> bool {
        matches!(self.number, libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU)
    }

    /// Sends this signal on to `pid`, with its value if it has one.
    ///
    /// A process that is gone, or that took another user's identity, is not an error.
    pub fn pass_on(&self, pid: i32) {
        if self.code != libc::SI_QUEUE {
            send(pid, self.number);
            return;
        }
        /// The part of siginfo_t that rt_sigqueueinfo(2) reads, as the kernel lays it out.
        #[repr(C)]
        struct Queued {
            signo: c_int,
            errno: c_int,
            code: c_int,
            #[cfg(target_pointer_width = "64")]
            padding: c_int,
            pid: c_int,
            uid: u32,
            value: u64,
            rest: [u64; 12],
        }
        let queued = Queued {
            signo: self.number,
            errno: 0,
            code: libc::SI_QUEUE,
            #[cfg(target_pointer_width = "64")]
            padding: 0,
            pid: self.sender,
            uid: self.sender_uid,
            value: self.value,
            rest: [0; 12],
        };
        // SAFETY: `queued` has the layout of siginfo_t's `_rt` member (asm-generic/siginfo.h) and is at least
        // its 128 bytes long; the kernel only reads it.
        unsafe { libc::syscall(libc::SYS_rt_sigqueueinfo, pid, self.number, &raw const queued) };
    }
}

/// Sends `signal` to the process `pid`, or to the group `-pid`.
pub fn send(pid: i32, signal: c_int) {
    // SAFETY: kill takes numbers.
    unsafe { libc::kill(pid, signal) };
}

/// True if `pid` is a descendant of `ancestor` and in the process group `group`.
pub fn is_job_member(pid: i32, ancestor: i32, group: i32) -> bool {
    let Some((mut parent, pid_group)) = parent_and_group(pid) else { return false };
    // The depth is bounded because the tree may change meanwhile.
    for _ in 0..1000 {
        if parent == ancestor {
            return pid_group == group;
        }
        match parent_and_group(parent) {
            Some((next, _)) if parent > 1 => parent = next,
            _ => return false,
        }
    }
    false
}

fn parent_and_group(pid: i32) -> Option<(i32, i32)> {
    let line = fs::read(format!("/proc/{pid}/stat")).ok()?;
    // "pid (comm) state ppid pgrp …"; comm may hold any bytes, also parentheses (proc_pid_stat(5)).
    let after_name = line.iter().rposition(|byte| *byte == b')')?;
    let rest = str::from_utf8(line.get(after_name + 1..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace().skip(1);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

fn set_mask(mask: &libc::sigset_t) {
    // SAFETY: `mask` is initialised; a null old set is allowed.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, mask, std::ptr::null_mut()) };
}

/// Unblocks everything, for a child that is not CMD.
pub fn clear_mask() {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the set it is given.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: initialised by the line above.
    set_mask(&unsafe { set.assume_init() });
}

fn set_of(signal: c_int) -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the set it is given.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: initialised by the line above.
    let mut set = unsafe { set.assume_init() };
    // SAFETY: `set` is initialised, and a number that is no signal is an error, not undefined.
    unsafe { libc::sigaddset(&mut set, signal) };
    set
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ordinary job: CMD in the group of a launcher that a shell started.
    const JOB: Situation = Situation { own_pid: 100, leads_session: false, sender_is_job_member: false };

    fn signal(number: c_int, code: c_int, sender: i32) -> Signal {
        Signal { number, code, sender, sender_uid: 0, value: 0 }
    }

    #[test]
    fn signal_sent_to_the_launcher_is_passed_on() {
        for number in
            [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGUSR1, libc::SIGTSTP, libc::SIGCONT, 34, 64]
        {
            assert!(signal(number, libc::SI_USER, 50).is_for_command(JOB), "{number}");
            assert!(signal(number, libc::SI_TKILL, 50).is_for_command(JOB), "{number}");
            assert!(signal(number, libc::SI_QUEUE, 50).is_for_command(JOB), "{number}");
        }
    }

    #[test]
    fn what_the_terminal_sent_to_the_group_is_not_sent_again() {
        for number in
            [libc::SIGINT, libc::SIGQUIT, libc::SIGTSTP, libc::SIGWINCH, libc::SIGHUP, libc::SIGCONT]
        {
            assert!(!signal(number, libc::SI_KERNEL, 0).is_for_command(JOB), "{number}");
        }
    }

    #[test]
    fn sender_outside_of_the_pid_namespace_is_heard() {
        assert!(signal(libc::SIGTERM, libc::SI_USER, 0).is_for_command(Situation { own_pid: 1, ..JOB }));
    }

    #[test]
    fn kill_0_of_a_descendant_reaches_command_once() {
        let from_inside = Situation { sender_is_job_member: true, ..JOB };

        assert!(!signal(libc::SIGTERM, libc::SI_USER, 102).is_for_command(from_inside));
    }

    #[test]
    fn kill_1_of_a_descendant_is_meant_for_command() {
        let container = Situation { own_pid: 1, sender_is_job_member: true, ..JOB };

        assert!(signal(libc::SIGHUP, libc::SI_USER, 12).is_for_command(container));
    }

    #[test]
    fn hang_up_that_reaches_only_the_session_leader_is_passed_on() {
        let hang_up = signal(libc::SIGHUP, libc::SI_KERNEL, 0);

        assert!(hang_up.is_for_command(Situation { leads_session: true, ..JOB }));
    }

    #[test]
    fn alarm_set_before_exec_is_passed_on() {
        assert!(signal(libc::SIGALRM, libc::SI_KERNEL, 0).is_for_command(JOB));
    }

    #[test]
    fn own_and_childrens_signals_are_kept() {
        assert!(!signal(libc::SIGCHLD, libc::CLD_EXITED, 101).is_for_command(JOB));
        assert!(!signal(libc::SIGCHLD, libc::SI_USER, 50).is_for_command(JOB));
        assert!(!signal(libc::SIGPIPE, libc::SI_USER, 100).is_for_command(JOB));
    }

    #[test]
    fn this_process_is_a_member_of_its_parents_job() {
        let own = std::process::id().cast_signed();
        let (parent, group) = parent_and_group(own).unwrap();

        assert!(is_job_member(own, parent, group));
        assert!(!is_job_member(own, parent, group + 1));
        assert!(!is_job_member(parent, own, group));
    }
}
