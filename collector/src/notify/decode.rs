//! From the arguments of a call that is about to be made to the record that a hook would write of it.
//!
//! The supervisor calls [`told`] while the process stands still, and sends what it gives into the pipeline.
//! The payload is the one that the sensor sends for the same call, so that all behind it need not care who
//! saw the call. Results are not known yet: no descriptor of an open, no address that the kernel chooses.
//! docs/adr/0036 says what an event of an unfinished call states.
//!
//! Hooks tell of each change of a directory or a descriptor; here, the supervisor looks both up where a
//! call's path depends on them, and says so in records for the picture ([`Told::before`]).
//!
//! Everything read is the word of a process that may be hostile: it is copied once, bounded
//! ([`reading::MOST_READ`]), and the call is let through whatever it is. Another thread may change the memory
//! before the kernel reads it: the record then says what stood there when the call was asked for.

mod case;
mod closes;
mod exec;
mod files;
mod identity;
mod kernel;
mod lookups;
mod network;
mod reading;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use rustc_hash::FxHashMap;
use wire::fields::Trace;

use super::memory::Memory;
use super::places::Places;
use case::Case;
use reading::Pages;

pub use case::{Asked, Noted, Told};
pub use closes::UNKNOWN;
pub use identity::{changes_ids, has_ids};
#[cfg(fuzzing)]
pub use reading::MOST_READ;

/// The record of a call; `None` for a call that makes no event.
///
/// Reads at most [`reading::MOST_READ`] bytes. What cannot be read is absent from the event, as it is in a
/// hook's of a call that failed with EFAULT. Never panics.
pub fn told(asked: &Asked, memory: &mut dyn Memory, places: &mut dyn Places) -> Option<Told> {
    let mut pages = Pages::new(memory);
    let unpacked = network::unpacked(asked, &mut pages);
    let asked = unpacked.as_ref().unwrap_or(asked);
    let (row, make) = row_of(asked.name)?;
    make(&mut Case::new(*asked, row, pages, places))
}

/// Makes the record of a call.
type Make = fn(&mut Case<'_>) -> Option<Told>;

/// System calls by name; beside one that is no row of the hook table by its own name stands the row that it
/// is told as.
const CALLS: &[(&[(&str, &str)], Make)] = &[
    (&[("open", "")], files::open),
    (&[("openat", "")], files::openat),
    (&[("openat2", "")], files::openat2),
    (&[("creat", "")], files::creat),
    (&[("memfd_create", "")], files::memfd_create),
    (&[("open_by_handle_at", "")], files::open_by_handle_at),
    (&[("name_to_handle_at", "")], files::name_to_handle_at),
    (&[("unlink", "")], files::unlink),
    (&[("unlinkat", "")], files::unlinkat),
    (&[("rmdir", "")], files::rmdir),
    (&[("mkdir", "")], files::mkdir),
    (&[("mkdirat", "")], files::mkdirat),
    (&[("mknod", "")], files::mknod),
    (&[("mknodat", "")], files::mknodat),
    (&[("rename", "")], files::rename),
    (&[("renameat", "")], files::renameat),
    (&[("renameat2", "")], files::renameat2),
    (&[("link", "")], files::link),
    (&[("linkat", "")], files::linkat),
    (&[("symlink", "")], files::symlink),
    (&[("symlinkat", "")], files::symlinkat),
    (&[("chmod", "")], files::chmod),
    (&[("fchmod", "")], files::fchmod),
    (&[("fchmodat", "")], files::fchmodat),
    (&[("fchmodat2", "")], files::fchmodat2),
    (&[("chown", ""), ("lchown", "")], files::chown),
    (&[("fchown", "")], files::fchown),
    (&[("fchownat", "")], files::fchownat),
    (&[("truncate", ""), ("truncate64", "truncate")], files::truncate),
    (&[("ftruncate", ""), ("ftruncate64", "ftruncate")], files::ftruncate),
    (&[("setxattr", ""), ("lsetxattr", "")], files::setxattr),
    (&[("fsetxattr", "")], files::fsetxattr),
    (&[("setxattrat", "setxattr")], files::setxattrat),
    (&[("removexattrat", "removexattr")], files::removexattrat),
    (&[("removexattr", ""), ("lremovexattr", "")], files::removexattr),
    (&[("fremovexattr", "")], files::fremovexattr),
    (&[("execve", "")], exec::execve),
    (&[("execveat", "")], exec::execveat),
    (&[("clone", "")], exec::clone),
    (&[("clone3", "")], exec::clone3),
    (&[("socket", "")], network::socket),
    (&[("bind", "")], network::bind),
    (&[("listen", "")], network::listen),
    (&[("connect", "")], network::connect),
    (&[("accept", ""), ("accept4", "")], network::accept),
    (&[("sendto", "")], network::sendto),
    (&[("sendmsg", "")], network::sendmsg),
    (&[("sendmmsg", "")], network::sendmmsg),
    (&[("kill", ""), ("tkill", ""), ("rt_sigqueueinfo", "sigqueue")], identity::kill),
    (&[("tgkill", ""), ("rt_tgsigqueueinfo", "pthread_sigqueue")], identity::tgkill),
    (&[("pidfd_send_signal", "")], identity::pidfd_send_signal),
    (&[("setuid", "")], |case| identity::ids(case, b"uid", 1)),
    (&[("setgid", "")], |case| identity::ids(case, b"gid", 1)),
    (&[("setreuid", "")], |case| identity::ids(case, b"reuid", 2)),
    (&[("setregid", "")], |case| identity::ids(case, b"regid", 2)),
    (&[("setresuid", "")], |case| identity::ids(case, b"resuid", 3)),
    (&[("setresgid", "")], |case| identity::ids(case, b"resgid", 3)),
    (&[("setfsuid", "")], |case| identity::ids(case, b"fsuid", 1)),
    (&[("setfsgid", "")], |case| identity::ids(case, b"fsgid", 1)),
    (&[("setgroups", "")], identity::setgroups),
    (&[("capset", "")], identity::capset),
    (&[("ptrace", "")], identity::ptrace),
    (&[("process_vm_readv", "")], |case| identity::traced(case, Trace::READ)),
    (&[("process_vm_writev", "")], |case| identity::traced(case, Trace::WRITE)),
    (&[("setns", "")], kernel::setns),
    (&[("unshare", "")], kernel::unshare),
    (&[("chroot", "")], kernel::chroot),
    (&[("pivot_root", "")], kernel::pivot_root),
    (&[("mount", "")], kernel::mount),
    (&[("umount2", "")], kernel::umount2),
    (&[("umount", "")], kernel::umount),
    (&[("fsopen", "")], kernel::fsopen),
    (&[("fspick", "")], kernel::fspick),
    (&[("fsconfig", "")], kernel::fsconfig),
    (&[("fsmount", "")], kernel::fsmount),
    (&[("open_tree", "")], kernel::open_tree),
    (&[("move_mount", "")], kernel::move_mount),
    (&[("mount_setattr", "")], kernel::mount_setattr),
    (&[("open_tree_attr", "open_tree")], kernel::open_tree_attr),
    (&[("mmap", "")], kernel::mmap),
    (&[("old_mmap", "mmap")], kernel::old_mmap),
    (&[("mprotect", ""), ("pkey_mprotect", "")], kernel::mprotect),
    (&[("init_module", "")], kernel::init_module),
    (&[("finit_module", "")], kernel::finit_module),
    (&[("delete_module", "")], kernel::delete_module),
    (&[("bpf", "")], kernel::bpf),
    (&[("userfaultfd", "")], kernel::userfaultfd),
    (&[("io_uring_setup", "")], kernel::io_uring_setup),
    (&[("stat", ""), ("stat64", "stat")], lookups::stat),
    (&[("lstat", ""), ("lstat64", "lstat")], lookups::lstat),
    (&[("newfstatat", "fstatat"), ("fstatat", ""), ("fstatat64", "fstatat")], |case| {
        lookups::stat_at(case, 3)
    }),
    (&[("statx", "")], |case| lookups::stat_at(case, 2)),
    (&[("access", "")], lookups::access),
    (&[("faccessat", "")], |case| lookups::access_at(case, None)),
    (&[("faccessat2", "")], |case| lookups::access_at(case, Some(3))),
    (&[("readlink", "")], lookups::readlink),
    (&[("readlinkat", "")], lookups::readlinkat),
    (&[("close", "")], closes::close),
    (&[("close_range", "")], closes::close_range),
    (&[("dup2", ""), ("dup3", "")], closes::duplicate),
    (&[("exit_group", "_exit")], closes::exit_group),
];

/// Each system call of [`CALLS`] with the number of its row in the hook table.
fn row_of(name: &str) -> Option<(u16, Make)> {
    static BY_NAME: LazyLock<FxHashMap<&'static str, (u16, Make)>> = LazyLock::new(|| {
        let rows: FxHashMap<&str, u16> = hook_table::rows().map(|row| (row.name, row.id)).collect();
        let names = CALLS.iter().flat_map(|(names, make)| names.iter().map(move |name| (name, *make)));
        names
            .filter_map(|((name, row), make)| {
                let row = if row.is_empty() { name } else { row };
                Some((*name, (*rows.get(row)?, make)))
            })
            .collect()
    });
    BY_NAME.get(name).copied()
}
