//! Puts a process that runs already under a filter: one of its threads, stopped, makes the calls.
//!
//! `SECCOMP_FILTER_FLAG_TSYNC` puts all threads under the filter at once. The thread makes a mapping for the
//! program, installs it, and takes both away again; the listener is fetched by pidfd_getfd(2) meanwhile.
//! Nothing is written into the process's own memory: a goroutine's stack has room for little.
//!
//! Before anything is changed, it is shown that all that follows will be permitted: a listener that nobody
//! can fetch would leave each call of the program without an answer.
//!
//! # Safety
//! pidfd_getfd(2) takes numbers. The descriptor that it gives belongs to nothing else here.
#![allow(unsafe_code, reason = "pidfd_getfd has no safe wrapper here")]

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;
use std::{fs, io};

use notify::NOTIFY;

use super::filters::{self, Call};
use super::thread::Thread;
use crate::notify::holder::{self, Held};
use crate::notify::listener::{self, Listener};
use crate::notify::memory::{Memory, ProcessMemory};
use crate::system::procfs;

/// A filter that all threads of a process are under.
pub struct Graft {
    /// Its calls that are asked about.
    pub listener: Listener,
    /// The holder, which has it too.
    pub held: io::Result<Held>,
    /// The process gave up new privileges by exec for it (`no_new_privs`).
    pub has_given_up: bool,
}

/// Why a process was not put under a filter, and what to do about it.
pub type Refused = String;

/// The listener is fetched at once, or as soon as this process has a descriptor free again.
const TRIES: usize = 100;
const BETWEEN_TRIES: Duration = Duration::from_millis(10);
/// `BPF_RET | BPF_K`
const RETURN: u16 = 0x06;
/// No process has so many descriptors.
const NO_DESCRIPTOR: i32 = i32::MAX;
const WAYS: u64 = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER
    | libc::SECCOMP_FILTER_FLAG_TSYNC
    | libc::SECCOMP_FILTER_FLAG_TSYNC_ESRCH
    | libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW;

/// Puts the process of a stopped thread under the filter `program`.
pub fn install(pid: u32, thread: &mut Thread<'_>, program: &[libc::sock_filter]) -> Result<Graft, Refused> {
    let pidfd = procfs::open(pid).ok_or("it has just ended; start it with 'glassbox run'")?;
    may_read(pid, thread)?;
    may_fetch(&pidfd)?;
    have_one_chain(pid, thread)?;
    // `struct sock_fprog`: the length, padding, and the address of the instructions behind it.
    let room = 16 + 8 * program.len() as u64;
    may_call(thread, room)?;

    let bytes = program.iter().flat_map(encoded);
    let place = thread.map(room)?;
    let head = [program.len() as u64, place + 16].map(u64::to_ne_bytes).concat();
    let whole: Vec<u8> = head.into_iter().chain(bytes).collect();
    let written = thread.write(&whole, place);
    let installed = written.and_then(|()| put_on(thread, place));
    let fetched = installed.and_then(|(number, has_given_up)| {
        let mut fetched = fetch(&pidfd, number);
        for _ in 0..TRIES {
            if fetched.is_err() {
                std::thread::sleep(BETWEEN_TRIES);
                fetched = fetch(&pidfd, number);
            }
        }
        let fetched = fetched.map(Listener::from).map_err(|error| {
            format!("its listener cannot be fetched ({error}); end it, and start it with 'glassbox run'")
        });
        // From here on no call goes without an answer, whatever becomes of this process.
        let held = fetched.as_ref().map(|listener| listener.twin().and_then(holder::hold));
        let _ = thread.system_call(libc::SYS_close, close(number));
        let held = held.unwrap_or_else(|_| Err(io::ErrorKind::NotFound.into()));
        Ok(Graft { listener: fetched?, held, has_given_up })
    });
    thread.unmap(place, room);
    fetched
}

fn seccomp(ways: u64, place: u64) -> [u64; 6] {
    [u64::from(libc::SECCOMP_SET_MODE_FILTER), ways, place, 0, 0, 0]
}

fn close(number: i32) -> [u64; 6] {
    [number as u64, 0, 0, 0, 0, 0]
}

const GIVE_UP: [u64; 6] = [libc::PR_SET_NO_NEW_PRIVS as u64, 1, 0, 0, 0, 0];

/// The thread's system calls, with the arguments that are known before: what its own filters must permit.
fn calls(room: u64) -> [Call; 6] {
    [
        ("mmap", libc::SYS_mmap, Thread::mapping(room)),
        ("munmap", libc::SYS_munmap, [0, room, 0, 0, 0, 0]),
        ("seccomp", libc::SYS_seccomp, seccomp(WAYS | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, 0)),
        ("seccomp", libc::SYS_seccomp, seccomp(WAYS, 0)),
        ("prctl", libc::SYS_prctl, GIVE_UP),
        ("close", libc::SYS_close, close(3)),
    ]
}

/// Has the thread install the program that lies at `place`; gives the number of the listener, and whether
/// the process gave up new privileges.
fn put_on(thread: &mut Thread<'_>, place: u64) -> Result<(i32, bool), Refused> {
    let mut call = |number, arguments| thread.system_call(number, arguments);
    let mut ways = WAYS | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    let mut has_given_up = false;
    loop {
        let answer = call(libc::SYS_seccomp, seccomp(ways, place))?;
        if answer >= 0 {
            return Ok((answer as i32, has_given_up));
        }
        match -answer as i32 {
            // Before Linux 5.19.
            libc::EINVAL if ways != WAYS => ways = WAYS,
            libc::EACCES if !has_given_up => {
                let answer = call(libc::SYS_prctl, GIVE_UP)?;
                if answer < 0 {
                    return Err(reason(-answer as i32));
                }
                has_given_up = true;
            }
            errno if has_given_up => {
                return Err(format!("{} (it has got no_new_privs by the try)", reason(errno)));
            }
            errno => return Err(reason(errno)),
        }
    }
}

/// Why a filter was not installed, by errno.
fn reason(errno: i32) -> Refused {
    match errno {
        libc::EBUSY => "its system calls are asked about already (by 'glassbox run --notify', by an earlier \
                        'attach', or by another program with a seccomp listener); nothing can be added"
            .to_owned(),
        libc::ESRCH => {
            "one of its threads has a seccomp filter of its own, so that no filter can be put over \
                        all of them; start it with 'glassbox run --notify'"
                .to_owned()
        }
        libc::EINVAL | libc::ENOSYS => {
            "this kernel puts no filter with a listener over all threads of a process; \
                                        Linux 5.7 and later do"
                .to_owned()
        }
        libc::EPERM | libc::EACCES => {
            "its seccomp profile forbids seccomp filters; allow seccomp(2) and prctl(2) there".to_owned()
        }
        libc::EMFILE => "it has as many open files as it may have; raise its limit".to_owned(),
        errno => format!(
            "the filter cannot be installed ({}); start it with 'glassbox run --notify'",
            os_error(errno.into())
        ),
    }
}

/// The supervisor reads what each call says.
fn may_read(pid: u32, thread: &Thread<'_>) -> Result<(), Refused> {
    let (_, stack) = thread.place();
    match (ProcessMemory { pid }).read(stack, &mut [0; 8]) {
        8 => Ok(()),
        _ => {
            Err("its memory cannot be read; run as root, grant CAP_SYS_PTRACE, or allow process_vm_readv in \
                  the container's seccomp profile"
                .to_owned())
        }
    }
}

/// The kernel looks for the descriptor after it has found that it may be fetched.
fn may_fetch(pidfd: &OwnedFd) -> Result<(), Refused> {
    match fetch(pidfd, NO_DESCRIPTOR) {
        Err(error) if error.raw_os_error() == Some(libc::EBADF) => Ok(()),
        Err(error) => Err(format!(
            "its descriptors cannot be fetched ({error}); grant CAP_SYS_PTRACE, or allow pidfd_getfd (Linux 5.6) in \
             the container's seccomp profile"
        )),
        Ok(_) => {
            Err("its descriptors cannot be told apart; start it with 'glassbox run --notify'".to_owned())
        }
    }
}

/// TSYNC refuses a thread with a filter that is none of the caller's, after the process gave up new
/// privileges. One with more filters has such a one (`Seccomp_filters` of /proc/PID/status, Linux 5.9).
fn have_one_chain(pid: u32, thread: &Thread<'_>) -> Result<(), Refused> {
    let count = |tid: u32| procfs::status(tid, "Seccomp_filters")?.parse::<u32>().ok();
    let own = count(thread.tid().cast_unsigned());
    let others = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten();
    let mut others = others.filter_map(|other| other.ok()?.file_name().to_str()?.parse().ok());
    match others.any(|other| count(other) > own) {
        true => Err(reason(libc::ESRCH)),
        false => Ok(()),
    }
}

const UNREAD: &str = "it has a seccomp filter, which only root may read (CAP_SYS_ADMIN, and no filter over glassbox \
                      itself): that filter could end it; run as root, or start it with 'glassbox run --notify'";

/// Refuses a process with a filter that cannot be read: to stop it would be a risk already.
pub fn may_stop(pid: u32) -> Result<(), Refused> {
    match filters::are_there(pid) && !filters::may_be_read() {
        true => Err(UNREAD.to_owned()),
        false => Ok(()),
    }
}

/// Whether the filters that the thread has let it make the calls: one may end it instead.
fn may_call(thread: &Thread<'_>, room: u64) -> Result<(), Refused> {
    if !filters::are_there(thread.tid().cast_unsigned()) {
        return Ok(());
    }
    let filters = filters::of(thread.tid()).ok_or(UNREAD)?;
    if filters.iter().flatten().any(|instruction| (instruction.code, instruction.k) == (RETURN, NOTIFY)) {
        return Err(reason(libc::EBUSY));
    }
    let (address, _) = thread.place();
    match filters::forbidden(&filters, &calls(room), address) {
        None => Ok(()),
        Some(name) => Err(format!(
            "its seccomp filter forbids {name}(2), by which another filter is installed; allow it there, or start it \
             with 'glassbox run --notify'"
        )),
    }
}

/// `struct sock_filter`, as it lies in memory.
fn encoded(of: &libc::sock_filter) -> [u8; 8] {
    let ([a, b], [c, d, e, f]) = (of.code.to_ne_bytes(), of.k.to_ne_bytes());
    [a, b, of.jt, of.jf, c, d, e, f]
}

/// A descriptor of another process.
fn fetch(pidfd: &OwnedFd, number: i32) -> io::Result<OwnedFd> {
    // SAFETY: numbers only.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), number, 0) };
    match i32::try_from(fd) {
        // SAFETY: made for this process just now.
        Ok(fd @ 0..) => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::from_raw_os_error(listener::errno())),
    }
}

fn os_error(errno: i64) -> io::Error {
    io::Error::from_raw_os_error(i32::try_from(errno).unwrap_or(libc::EIO))
}

#[cfg(test)]
mod tests {
    use notify::ALLOW;

    use super::*;

    const LOG: u32 = 0x7ffc_0000;

    fn forbidden(filters: &[Vec<libc::sock_filter>]) -> Option<&'static str> {
        filters::forbidden(filters, &calls(64), 0)
    }

    /// A program that gives `action` for one call, and `otherwise` for all others.
    fn filter(call: i64, action: u32, otherwise: u32) -> Vec<libc::sock_filter> {
        let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
        vec![
            step(0x20, 0, 0, 0),
            step(0x15, 0, 1, call as u32),
            step(RETURN, 0, 0, action),
            step(RETURN, 0, 0, otherwise),
        ]
    }

    #[test]
    fn each_call_must_pass_each_filter() {
        let open = || filter(libc::SYS_read, libc::SECCOMP_RET_KILL_PROCESS, ALLOW);
        let denies = filter(libc::SYS_prctl, ALLOW, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32);
        let kills = filter(libc::SYS_seccomp, libc::SECCOMP_RET_KILL_PROCESS, ALLOW);

        assert_eq!(None, forbidden(&[open()]));
        assert_eq!(None, forbidden(&[filter(libc::SYS_seccomp, LOG, ALLOW)]));
        assert_eq!(Some("mmap"), forbidden(&[open(), denies]));
        assert_eq!(Some("seccomp"), forbidden(&[kills, open()]));
        assert_eq!(Some("mmap"), forbidden(&[Vec::new()]));
    }

    #[test]
    fn an_instruction_lies_in_memory_as_the_kernel_reads_it() {
        let filter = libc::sock_filter { code: 0x0102, jt: 3, jf: 4, k: 0x0506_0708 };

        assert_eq!([2, 1, 3, 4, 8, 7, 6, 5], encoded(&filter));
    }
}
