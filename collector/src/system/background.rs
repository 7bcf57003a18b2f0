//! Reads what rules ask of a process beyond its identity: terminal, session, login, capabilities. Three files
//! of /proc, which is why it is done only where a rule or a filter asks.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::LazyLock;

use super::clock::Clock;
use super::{kernel, procfs};
use crate::event::{Background, Place};
use crate::ids::UtcNs;

/// What the kernel shows of the process `pid`, whose pidfd is `pidfd`; `None` where it is gone, and its
/// number may be another's.
pub fn read(pid: u32, pidfd: &OwnedFd) -> Option<Background> {
    let stat = procfs::stat(pid)?;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let login = fs::read_to_string(format!("/proc/{pid}/loginuid")).ok();
    let started = procfs::began_ns(&stat);
    if kernel::is_dead(pidfd) {
        return None;
    }
    let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    // From this process's namespace to the process's own.
    let own = |name: &str| line(name)?.split_ascii_whitespace().last()?.parse().ok();
    let set = |name: &str| u64::from_str_radix(line(name)?.trim(), 16).ok();
    let sets = || Some([set("CapEff")?, set("CapPrm")?, set("CapInh")?]);
    Some(Background {
        tty: stat.tty,
        session: stat.session,
        own_group: own("NSpgid"),
        own_session: own("NSsid"),
        started: UtcNs(Clock::sample().utc_ns(started)),
        login: login.and_then(|login| login.trim().parse().ok()).filter(|login| *login != u32::MAX),
        capabilities: sets(),
    })
}

/// `PROC_PID_INIT_INO` of include/linux/proc_ns.h: that of the kernel's first pid namespace.
pub const FIRST_PIDS: u64 = 0xefff_fffc;

/// Where a process is whose pid and mount namespace have these inodes, and that no control group names as a
/// container's.
pub fn place(pid_namespace: Option<u64>, mount_namespace: Option<u64>) -> Place {
    match (pid_namespace, mount_namespace) {
        _ if *IS_SANDBOX => Place::Sandbox,
        (Some(FIRST_PIDS), Some(mount)) if *FIRST_MOUNTS == Some(mount) => Place::Host,
        (None | Some(FIRST_PIDS), _) => Place::Unknown,
        (Some(_), _) => Place::Sandbox,
    }
}

/// The mount namespace of the first process; `None` where this process may not look.
static FIRST_MOUNTS: LazyLock<Option<u64>> = LazyLock::new(|| {
    let link = fs::read_link("/proc/1/ns/mnt").ok()?;
    link.to_str()?.strip_prefix("mnt:[")?.strip_suffix(']')?.parse().ok()
});

/// Whether this process is in a container or sandbox, by the marks that engines and platforms leave.
static IS_SANDBOX: LazyLock<bool> = LazyLock::new(|| {
    const VARIABLES: [&str; 4] = [
        "AWS_LAMBDA_FUNCTION_NAME",
        "ECS_CONTAINER_METADATA_URI",
        "ECS_CONTAINER_METADATA_URI_V4",
        "KUBERNETES_SERVICE_HOST",
    ];
    const FILES: [&str; 2] = ["/.dockerenv", "/run/.containerenv"];
    VARIABLES.iter().any(|name| std::env::var_os(name).is_some())
        || FILES.iter().any(|file| Path::new(file).exists())
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn background_of_this_process_is_that_of_its_parent_session() {
        let pid = std::process::id();
        let pidfd = procfs::open(pid).unwrap();

        let found = read(pid, &pidfd).unwrap();

        let age_ns = crate::system::clock::utc_now_ns().saturating_sub(found.started.0);
        assert!(age_ns < 3_600_000_000_000, "{age_ns}");
        assert!(found.own_group.is_some() && found.own_session == Some(found.session), "{found:?}");
        assert!(found.capabilities.is_some());
    }

    #[test]
    fn process_of_another_pid_namespace_is_in_a_sandbox_and_nothing_is_known_of_one_without_any() {
        assert_eq!(Place::Sandbox, place(Some(1), None));
        assert_ne!(Place::Host, place(None, None));
        assert_ne!(Place::Host, place(Some(0xefff_fffc), Some(1)));
    }
}
