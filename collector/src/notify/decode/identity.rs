//! Identities, signals, and other processes that are looked into.

use std::io::Write;

use wire::events::{Payload, ProcessCredentials, ProcessSignal, ProcessTrace};
use wire::fields::{Args, Hidden, Trace};
use wire::record::Flags;

use super::case::{Case, Noted, Told, encoded, widened};

/// The most groups that are copied, as in a hook.
const MOST_GROUPS: usize = 64;

fn signalled(case: &mut Case<'_>, target: i32, signal: i32, pidfd: Option<i32>) -> Option<Told> {
    case.tell(&ProcessSignal { target, signal, pidfd: Hidden(pidfd) })
}

/// kill(2), tkill(2) and rt_sigqueueinfo(2).
pub fn kill(case: &mut Case<'_>) -> Option<Told> {
    signalled(case, case.int(0), case.int(1), None)
}

/// A signal to a thread of a process, which is the reported target: tgkill(2) and rt_tgsigqueueinfo(2).
pub fn tgkill(case: &mut Case<'_>) -> Option<Told> {
    signalled(case, case.int(0), case.int(2), None)
}

pub fn pidfd_send_signal(case: &mut Case<'_>) -> Option<Told> {
    let pidfd = case.int(0);
    case.note_place(pidfd);
    signalled(case, 0, case.int(1), Some(pidfd))
}

/// The user ids after the call are not known before it.
fn identity_changes(case: &mut Case<'_>, what: &[u8], to: &[u8]) -> Option<Told> {
    let to = Args::Packed(to);
    case.tell(&ProcessCredentials { what, to, real_uid: Hidden(None), effective_uid: Hidden(None) })
}

/// Whether a call asks for other user or group ids.
pub fn changes_ids(name: &str) -> bool {
    const CALLS: [&str; 8] =
        ["setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setfsuid", "setfsgid"];
    CALLS.contains(&name)
}

/// A record for the picture: the thread has these ids. It says of no change, as an event of this kind does.
pub fn has_ids(uid: u32, euid: u32, egid: u32) -> Noted {
    let to = format!("{egid}\0");
    let ids = ProcessCredentials {
        what: b"",
        to: Args::Packed(to.as_bytes()),
        real_uid: Hidden(Some(uid)),
        effective_uid: Hidden(Some(euid)),
    };
    Noted { kind: ProcessCredentials::KIND, payload: encoded(&ids) }
}

/// Ids as people write them, each ended by a NUL; -1 is one that stays as it is.
fn ids_text(ids: impl Iterator<Item = u32>) -> Vec<u8> {
    let mut text = Vec::new();
    for id in ids {
        // Writing to a vector cannot fail.
        let _ = if id == u32::MAX { write!(text, "-1\0") } else { write!(text, "{id}\0") };
    }
    text
}

/// setuid(2), setresgid(2) and their like: so many ids.
pub fn ids(case: &mut Case<'_>, what: &[u8], count: usize) -> Option<Told> {
    let to = ids_text((0..count).map(|index| case.id(index)));
    identity_changes(case, what, &to)
}

pub fn setgroups(case: &mut Case<'_>) -> Option<Told> {
    let count = usize::try_from(case.int(0)).unwrap_or(0);
    if count > MOST_GROUPS {
        case.flags |= Flags::TRUNCATED;
    }
    let size = if case.asked.has_narrow_ids { 2 } else { 4 };
    let groups = case.pages.bytes(case.word(1), size * count.min(MOST_GROUPS)).unwrap_or_default();
    let to = ids_text(groups.chunks_exact(size).map(|group| match *group {
        [a, b] => widened(u16::from_ne_bytes([a, b])),
        [a, b, c, d] => u32::from_ne_bytes([a, b, c, d]),
        _ => u32::MAX,
    }));
    identity_changes(case, b"groups", &to)
}

/// The effective, permitted and inheritable set: each in two halves, unless the header has the first version
/// (capget(2)).
pub fn capset(case: &mut Case<'_>) -> Option<Told> {
    const VERSION_1: u32 = 0x1998_0330;
    let version = case.pages.array(case.word(0)).map(u32::from_ne_bytes);
    let sets = match version {
        Some(VERSION_1) => case.pages.bytes(case.word(1), 12),
        Some(_) => case.pages.bytes(case.word(1), 24),
        None => None,
    };
    let sets = sets.unwrap_or_default();
    let (words, _) = sets.as_chunks::<4>();
    let word = |index: usize| words.get(index).map(|word| u64::from(u32::from_ne_bytes(*word)));
    let mut to = Vec::new();
    for (low, high) in (0..3).filter_map(|index| Some((word(index)?, word(index + 3).unwrap_or(0)))) {
        // Writing to a vector cannot fail.
        let _ = write!(to, "{:#x}\0", low | high << 32);
    }
    identity_changes(case, b"capabilities", &to)
}

pub fn ptrace(case: &mut Case<'_>) -> Option<Told> {
    case.tell(&ProcessTrace { request: Trace(case.int(0).into()), target: case.int(1) })
}

/// process_vm_readv(2) and process_vm_writev(2).
pub fn traced(case: &mut Case<'_>, request: i64) -> Option<Told> {
    case.tell(&ProcessTrace { request: Trace(request), target: case.int(0) })
}
