//! The filters that a thread has already, and what they let it do.

use notify::{ALLOW, Data, Instruction, Interpreter, MOST_INSTRUCTIONS, Machine};

use super::ptrace::request_number;
use crate::system::procfs;

const PTRACE_SECCOMP_GET_FILTER: u32 = 0x420c;
/// The rest of an action is data (`SECCOMP_RET_ACTION_FULL`, linux/include/uapi/linux/seccomp.h).
const ACTION: u32 = 0xffff_0000;
const LOG: u32 = 0x7ffc_0000;

/// A system call: its name, number and arguments.
pub type Call = (&'static str, i64, [u64; 6]);

/// Whether a thread has filters.
pub fn are_there(tid: u32) -> bool {
    let mode = procfs::status(tid, "Seccomp").unwrap_or_default();
    !matches!(mode.trim(), "0" | "")
}

/// Whether this process may read them, as far as that is known before (`seccomp_get_filter` in
/// linux/kernel/seccomp.c).
pub fn may_be_read() -> bool {
    const SYS_ADMIN: u32 = 21;
    let own = std::process::id();
    let rights = procfs::status(own, "CapEff").and_then(|set| u64::from_str_radix(set.trim(), 16).ok());
    !are_there(own) && rights.is_some_and(|rights| rights >> SYS_ADMIN & 1 == 1)
}

/// The programs that judge a stopped thread's system calls; `None` where the kernel does not show them
/// (ptrace(2), PTRACE_SECCOMP_GET_FILTER).
pub fn of(tid: i32) -> Option<Vec<Vec<libc::sock_filter>>> {
    let mut all = Vec::new();
    loop {
        let mut program = vec![libc::sock_filter { code: 0, jt: 0, jf: 0, k: 0 }; MOST_INSTRUCTIONS];
        match request_number(PTRACE_SECCOMP_GET_FILTER, tid, all.len(), program.as_mut_ptr().cast()) {
            Ok(len) => program.truncate(len),
            // There is no such filter: those before were all.
            Err(libc::ENOENT) if !all.is_empty() => return Some(all),
            Err(_) => return None,
        }
        all.push(program);
    }
}

/// Whether a stopped thread may make restart_syscall(2), as far as its filters can be read.
pub fn let_continue(tid: i32, address: u64) -> bool {
    let call: Call = ("restart_syscall", libc::SYS_restart_syscall, [0; 6]);
    !are_there(tid.cast_unsigned())
        || of(tid).is_some_and(|filters| forbidden(&filters, &[call], address).is_none())
}

/// The first of these calls that one of these filters does not let pass.
pub fn forbidden(filters: &[Vec<libc::sock_filter>], calls: &[Call], address: u64) -> Option<&'static str> {
    let filters: Vec<Vec<Instruction>> =
        filters.iter().map(|filter| filter.iter().map(instruction).collect()).collect();
    let passes = |number: i64, args: [u64; 6]| {
        filters.iter().all(|filter| {
            let data = Data {
                nr: number as u32,
                arch: Machine::NATIVE.native().audit_arch(),
                instruction_pointer: address,
                args,
            };
            Interpreter::new(filter)
                .is_ok_and(|filter| [ALLOW, LOG].contains(&(filter.run(&data).action & ACTION)))
        })
    };
    calls.iter().find(|(_, number, args)| !passes(*number, *args)).map(|(name, ..)| *name)
}

fn instruction(of: &libc::sock_filter) -> Instruction {
    Instruction { code: of.code, jt: of.jt, jf: of.jf, k: of.k }
}
