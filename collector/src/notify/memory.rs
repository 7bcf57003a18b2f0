//! The memory of a process that waits in a notified call: read while it stands still.
//!
//! # Safety
//! process_vm_readv(2) is given one range of our own memory, exclusively borrowed for the call, and one of
//! the other process's, which the kernel checks.
#![allow(unsafe_code, reason = "process_vm_readv has no safe wrapper here")]

use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rustc_hash::FxHashMap;

/// The memory of the process that asks.
pub trait Memory {
    /// Copies what lies at `address` into `into`; gives how many bytes could be read, from the first on:
    /// fewer at a page that is not mapped, 0 where nothing can be read.
    fn read(&mut self, address: u64, into: &mut [u8]) -> usize;
}

/// The memory of a process, by process_vm_readv(2); where that is refused or not there, by `/proc/PID/mem`.
/// The kernel asks for the same right (man 5 proc), but container profiles refuse the call alone.
///
/// The kernel grants it to whoever may attach to the process (ptrace(2), `PTRACE_MODE_ATTACH_REALCREDS`). Of
/// a process that runs a file which it may not read, or with other rights, it reads nothing.
#[derive(Clone, Copy, Debug)]
pub struct ProcessMemory {
    /// The process, or one of its threads, as the kernel gives it with a notification.
    pub pid: u32,
}

impl Memory for ProcessMemory {
    fn read(&mut self, address: u64, into: &mut [u8]) -> usize {
        let Ok(pid) = libc::pid_t::try_from(self.pid) else { return 0 };
        let Ok(address) = usize::try_from(without_tag(address)) else { return 0 };
        let local = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
        let remote = libc::iovec { iov_base: address as *mut c_void, iov_len: into.len() };
        // SAFETY: one range each: ours is `into`, as long as stated; the other is never touched here.
        let read = unsafe { libc::process_vm_readv(pid, &raw const local, 1, &raw const remote, 1, 0) };
        let read = match usize::try_from(read) {
            Ok(read) => read,
            Err(_) if is_refused(&io::Error::last_os_error()) => {
                let memory = File::open(format!("/proc/{pid}/mem"));
                memory.and_then(|memory| memory.read_at(into, address as u64)).unwrap_or(0)
            }
            Err(_) => 0,
        };
        read.min(into.len())
    }
}

/// Memories that are kept open: of a process that asks often, a read then takes 1.1 µs in place of 1.5. A
/// descriptor is of the program that ran when it was opened; of another one it reads nothing, and then the
/// process is asked anew.
#[derive(Debug, Default)]
pub struct Memories(FxHashMap<u32, Option<File>>);

/// Memories that are kept at once; then it begins anew.
const MOST_KEPT: usize = 64;

impl Memories {
    /// The memory of a process, one of whose threads is `tid`.
    pub fn of(&mut self, process: u32, tid: u32) -> KeptMemory<'_> {
        if self.0.len() >= MOST_KEPT && !self.0.contains_key(&process) {
            self.0.clear();
        }
        let open = || File::open(format!("/proc/{process}/mem")).ok();
        let file = self.0.entry(process).or_insert_with(open).as_ref();
        KeptMemory { file, process: ProcessMemory { pid: tid }, is_asked_by_number: false }
    }

    /// Another program may run in the process from here on.
    pub fn forget(&mut self, process: u32) {
        self.0.remove(&process);
    }
}

/// A memory that is kept open.
#[derive(Debug)]
pub struct KeptMemory<'f> {
    file: Option<&'f File>,
    process: ProcessMemory,
    /// A read asked for the process by its number, which may be another one's once its thread is killed.
    /// The file is of no other process's memory.
    pub is_asked_by_number: bool,
}

impl Memory for KeptMemory<'_> {
    fn read(&mut self, address: u64, into: &mut [u8]) -> usize {
        match self.file.map(|file| file.read_at(into, without_tag(address))) {
            Some(Ok(read @ 1..)) => read,
            _ => {
                self.is_asked_by_number = true;
                self.process.read(address, into)
            }
        }
    }
}

/// Whether it is the call that cannot be had: by a seccomp profile, or in a kernel without
/// CONFIG_CROSS_MEMORY_ATTACH.
fn is_refused(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EPERM | libc::ENOSYS))
}

/// The address without the byte that a program may use for itself (Documentation/arch/arm64/tagged-pointers).
#[cfg(target_arch = "aarch64")]
fn without_tag(address: u64) -> u64 {
    address & (u64::MAX >> 8)
}

#[cfg(not(target_arch = "aarch64"))]
fn without_tag(address: u64) -> u64 {
    address
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

    use super::*;

    fn own() -> ProcessMemory {
        ProcessMemory { pid: std::process::id() }
    }

    #[test]
    fn memory_of_a_process_is_copied() {
        let text = *b"what the program passed";
        let mut copy = [0; 23];

        let read = own().read(text.as_ptr() as u64, &mut copy);

        assert_eq!((23, &text), (read, &copy));
    }

    #[test]
    fn what_lies_before_an_unmapped_page_is_read_and_no_more() {
        const PAGE: usize = 4096;
        let mut copy = [1; 2 * PAGE];
        // SAFETY: a fresh mapping of our own, of which the second page is taken away again.
        let place = unsafe {
            let place = mmap_anonymous(
                std::ptr::null_mut(),
                32 * PAGE,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE,
            );
            let place = place.unwrap();
            munmap(place.byte_add(16 * PAGE), 16 * PAGE).unwrap();
            place as u64
        };

        let at_the_end = own().read(place + 15 * PAGE as u64, &mut copy);
        let behind = own().read(place + 16 * PAGE as u64, &mut copy);

        assert_eq!([PAGE, 0], [at_the_end, behind]);
    }

    #[test]
    fn addresses_that_cannot_be_and_processes_that_are_not_give_nothing() {
        let mut copy = [0; 8];

        for address in [0, 1, u64::MAX, 1 << 63, u64::MAX - 4] {
            assert_eq!(0, own().read(address, &mut copy), "{address:#x}");
        }
        for pid in [0, u32::MAX, i32::MAX as u32] {
            assert_eq!(0, ProcessMemory { pid }.read(copy.as_ptr() as u64, &mut [0; 8]), "{pid}");
        }
    }

    #[test]
    fn memory_that_is_kept_open_is_of_the_program_that_runs() {
        let mut shell =
            Command::new("sh").args(["-c", "read x; exec sleep 30"]).stdin(Stdio::piped()).spawn().unwrap();
        let (pid, mut memories) = (shell.id(), Memories::default());
        let program = || std::fs::read_link(format!("/proc/{pid}/exe")).unwrap();
        // Of a program that has just been put in its place, not all is mapped yet.
        let begins_as_a_program = |memories: &mut Memories| {
            let begun = std::time::Instant::now();
            while begun.elapsed().as_secs() < 10 {
                let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
                let start = u64::from_str_radix(maps.split('-').next().unwrap(), 16).unwrap_or(0);
                let mut head = [0; 4];
                if memories.of(pid, pid).read(start, &mut head) == 4 && head == *b"\x7fELF" {
                    return true;
                }
            }
            false
        };
        let own = std::fs::read_link("/proc/self/exe").unwrap();
        while program() == own {
            std::thread::yield_now();
        }
        let before = program();

        let first = begins_as_a_program(&mut memories);
        shell.stdin.take().unwrap().write_all(b"\n").unwrap();
        while program() == before {
            std::thread::yield_now();
        }
        let second = begins_as_a_program(&mut memories);
        shell.kill().unwrap();
        shell.wait().unwrap();

        assert_eq!([true; 2], [first, second]);
    }
}
