//! The collector's door: the ways to its socket, and whether the process that listens there may have this
//! process's ring.
//!
//! A name proves nothing: any process can take an abstract one, and whoever may write to a directory can
//! listen at a path in it. So the kernel is asked for the listener's user (SO_PEERCRED, unix(7)). It must be
//! this process's own effective user, or root as the host counts. A number is a user only where each number
//! is one: in the first user namespace. Elsewhere 65534 stands for every user without a number, and 0 is a
//! root of the namespace's own maker. There the listener must show what only this user, or a process with
//! power over this user, can do ([`proves`]).
//!
//! There is one place that proves more than the listener's user does: a mount that nobody here can write to
//! ([`Way::Placed`]). A pod's collector runs as a user of its own, and its socket lies on such a mount.
//!
//! A program that got rights by its exec (`AT_SECURE`, getauxval(3)) was started by a process with fewer
//! rights, perhaps. It heeds no variable, and reports to root alone.

use core::ffi::{CStr, c_char, c_int};

use wire::hello::{PROOF_ANSWER, PROOF_QUESTION};

use crate::start::distance::note_doubt;
use crate::sys::{self, Errno};

/// The name of the default collector's socket.
pub const DEFAULT_SOCKET: &[u8] = b"@glassbox";
/// The ways that a program with `AT_SECURE` tries: the default, and the places where deployments put a socket
/// on a host, and `glassbox runc` in a container.
const SECURE: [Way<'_>; 3] = [
    Way::Abstract(b"glassbox"),
    Way::Path(b"/run/glassbox/socket"),
    Way::Path(b"/dev/.glassbox/socket/socket"),
];

/// What the kernel shows of a user that the namespace has no number for (`/proc/sys/kernel/overflowuid`), and
/// also the number of `nobody`.
const OVERFLOW: u32 = 65534;
/// The inode of the first user namespace (`USER_NS_INIT_INO`, linux/nsfs.h).
const FIRST_NAMESPACE: u64 = 0xefff_fffd;
/// A connection waits so long where many others wait: the collector takes hundreds in it.
const PATIENCE_US: u64 = 20_000;
/// A listener has so long to prove itself.
const PROOF_PATIENCE_US: u64 = 100_000;

/// The process that looks for a collector.
#[derive(Clone, Copy)]
pub struct Seeker {
    pub euid: u32,
    /// The kernel says `AT_SECURE`.
    pub is_secure: bool,
}

/// A connection to a listener that may have the ring.
pub struct Open {
    pub socket: c_int,
    /// The listener has a number in our pid namespace.
    pub is_beside: bool,
}

/// A way to a socket.
#[derive(Clone, Copy)]
enum Way<'a> {
    /// By a path in the file system.
    Path(&'a [u8]),
    /// By an abstract name.
    Abstract(&'a [u8]),
    /// By a path to what a mount of its own shows, read-only in this process's mount namespace: no process
    /// here can have put the socket there, so whoever chose what the mount shows did. A folder on a root or a
    /// /tmp that is read-only as a whole is no such place: processes outside may write to it
    /// (systemd.exec(5), `ProtectSystem=`).
    Placed(&'a [u8]),
}

/// Connects to the collector that listens at `name`, by `socket`, which is closed where that fails.
///
/// By path, then by the abstract name equal to the path, for a process that lost the way to the path or the
/// right to it.
pub fn connect(socket: c_int, name: &[u8], seeker: Seeker) -> Option<Open> {
    match name.strip_prefix(b"@") {
        Some(name) => first_open(socket, &[Way::Abstract(name)], seeker),
        None => first_open(socket, &[Way::Path(name), Way::Abstract(name), Way::Placed(name)], seeker),
    }
}

/// Connects to a collector of root's, as [`connect`], at one of the places where it can be without a
/// variable's word.
pub fn connect_to_root(socket: c_int, seeker: Seeker) -> Option<Open> {
    first_open(socket, &SECURE, seeker)
}

fn first_open(mut socket: c_int, ways: &[Way<'_>], seeker: Seeker) -> Option<Open> {
    for way in ways {
        if !way.leads_to_listener(socket) {
            continue;
        }
        if let Ok(peer) = sys::peer(socket)
            && (matches!(way, Way::Placed(_)) || may_have_ring(socket, peer.uid, seeker))
        {
            return Some(Open { socket, is_beside: peer.pid != 0 });
        }
        // A socket connects once.
        sys::close(socket);
        socket = sys::packet_socket().ok()?;
    }
    sys::close(socket);
    None
}

impl Way<'_> {
    fn leads_to_listener(self, socket: c_int) -> bool {
        match self {
            Self::Path(path) => connects(socket, unix_address(0, path)),
            Self::Abstract(name) => connects(socket, unix_address(1, name)),
            Self::Placed(path) => {
                let name_at = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
                let (folder, name) = path.split_at_checked(name_at).unwrap_or_default();
                connects_in_place(socket, folder, name) || connects_in_place(socket, path, b"")
            }
        }
    }
}

/// Connects to `name` in the folder `place`, or to `place` itself, if that is what a read-only mount shows.
fn connects_in_place(socket: c_int, place: &[u8], name: &[u8]) -> bool {
    let Some(place) = nul_ended(place).and_then(|path| sys::locate(&path).ok()) else { return false };
    note_doubt();
    // By the descriptor, so that what was looked at is what is connected to.
    let led = sys::is_read_only_mount(place) && {
        let descriptor = sys::DescriptorName::of(place);
        let mut path = [0; 108];
        let both = descriptor.bytes().iter().chain(name);
        let len = path.iter_mut().zip(both).map(|(to, from)| *to = *from).count();
        connects(socket, unix_address(0, path.get(..len).unwrap_or_default()))
    };
    sys::close(place);
    led
}

/// A path as a C string. `None` for one that no address holds.
fn nul_ended(path: &[u8]) -> Option<[u8; 109]> {
    let mut text = [0; 109];
    text.get_mut(..108)?.get_mut(..path.len())?.copy_from_slice(path);
    Some(text)
}

/// Connects without waiting, except where the listener's queue is full: then for a bounded time.
fn connects(socket: c_int, address: Option<(libc::sockaddr_un, usize)>) -> bool {
    let Some((address, len)) = address else { return false };
    match sys::connect(socket, &address, len) {
        Err(Errno(libc::EAGAIN)) => {
            // The kernel wakes those that wait in their turn, which beats asking again and again.
            sys::wait_at_most(socket, libc::SO_SNDTIMEO, PATIENCE_US).is_ok()
                && sys::connect(socket, &address, len).is_ok()
        }
        result => result.is_ok(),
    }
}

fn unix_address(leading_nul: usize, name: &[u8]) -> Option<(libc::sockaddr_un, usize)> {
    let mut address = libc::sockaddr_un { sun_family: libc::AF_UNIX as u16, sun_path: [0; 108] };
    let place = address.sun_path.get_mut(leading_nul..leading_nul + name.len())?;
    for (to, from) in place.iter_mut().zip(name) {
        *to = *from as c_char;
    }
    // A path needs its NUL, an abstract name has none: its length ends it.
    let ending = usize::from(leading_nul == 0);
    let len = 2 + leading_nul + name.len() + ending;
    (len <= size_of_val(&address)).then_some((address, len))
}

/// Whether a listener that the kernel shows as `uid` may have the ring: one system call more in all but the
/// usual cases, and a question only in a namespace whose numbers say little.
fn may_have_ring(socket: c_int, uid: u32, seeker: Seeker) -> bool {
    match verdict(uid, seeker, numbers_are_users) {
        Verdict::Yes => true,
        Verdict::No => false,
        Verdict::Ask => {
            note_doubt();
            proves(socket, seeker.euid)
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Yes,
    No,
    /// The number says nothing: the listener must prove itself.
    Ask,
}

fn verdict(
    uid: u32,
    Seeker { euid, is_secure }: Seeker,
    numbers_are_users: impl FnOnce() -> bool,
) -> Verdict {
    if uid == euid && uid != OVERFLOW && !is_secure {
        // The same number in one namespace is the same user, unless it stands for those without one.
        return Verdict::Yes;
    }
    if ![0, OVERFLOW].contains(&uid) {
        return Verdict::No;
    }
    match (numbers_are_users(), is_secure) {
        (true, _) if uid == 0 => Verdict::Yes,
        (true, false) if uid == euid => Verdict::Yes,
        (false, false) => Verdict::Ask,
        _ => Verdict::No,
    }
}

/// Whether each number is a user of the host: in the first user namespace, or one that renames nobody.
///
/// A namespace within another cannot pretend to be such a one: the kernel lets it name only users that the
/// outer one has.
fn numbers_are_users() -> bool {
    if sys::inode(c"/proc/self/ns/user") == Ok(FIRST_NAMESPACE) {
        return true;
    }
    note_doubt();
    let mut map = [0; 64];
    let len = sys::read_file(c"/proc/self/uid_map", &mut map).unwrap_or(0);
    renames_nobody(map.get(..len).unwrap_or_default())
}

/// Whether a `uid_map` (user_namespaces(7)) maps every number to itself.
fn renames_nobody(map: &[u8]) -> bool {
    let mut words = map.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    [&b"0"[..], b"0", b"4294967295"].iter().all(|wanted| words.next() == Some(*wanted))
}

/// Whether the listener is this user, or has power over it.
///
/// The kernel lets a process send the credentials of a user only if it is that user, or may become it
/// (`CAP_SETUID`; unix(7), `SCM_CREDENTIALS`), and shows them here in this namespace's numbers. A user
/// without a number could not be told from others by that. Such a process can still find out whether it may
/// signal the listener, which needs the same user at both ends (kill(2)).
fn proves(socket: c_int, euid: u32) -> bool {
    if euid == OVERFLOW {
        return !sys::may_signal_others() && sys::may_signal_peer(socket);
    }
    let mut answer = [0; PROOF_ANSWER.len() + 1];
    let is_asked = sys::pass_credentials(socket).is_ok()
        && sys::wait_at_most(socket, libc::SO_RCVTIMEO, PROOF_PATIENCE_US).is_ok()
        && sys::send_packet(socket, PROOF_QUESTION, None).is_ok();
    is_asked
        && sys::receive_with_credentials(socket, &mut answer)
            .is_ok_and(|(len, sender)| answer.get(..len) == Some(PROOF_ANSWER) && sender.uid == euid)
}

/// Whether root or this user owns the file at `path` and no other user may write to it; gives a name for what
/// was looked at, which holds while the descriptor is open.
pub fn own_file(path: &CStr, euid: u32) -> Option<c_int> {
    let place = sys::locate(path.to_bytes_with_nul()).ok()?;
    let is_own = sys::owner(place).is_ok_and(|(uid, mode)| [0, euid].contains(&uid) && mode & 0o022 == 0);
    if !is_own {
        sys::close(place);
    }
    is_own.then_some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: Seeker = Seeker { euid: 1000, is_secure: false };

    #[test]
    fn own_user_and_the_hosts_root_may_have_the_ring() {
        let of = |uid, seeker| verdict(uid, seeker, || true);

        assert_eq!(Verdict::Yes, verdict(1000, USER, || panic!("the common case asks nothing")));
        assert_eq!(Verdict::Yes, of(0, USER));
        assert_eq!(Verdict::No, of(1001, USER));
        assert_eq!(Verdict::No, of(OVERFLOW, USER));
        assert_eq!(Verdict::No, of(OVERFLOW, Seeker { euid: 0, is_secure: false }));
        assert_eq!(Verdict::Yes, of(OVERFLOW, Seeker { euid: OVERFLOW, is_secure: false }));
    }

    #[test]
    fn numbers_of_another_namespace_prove_nothing_but_a_mapped_user_of_its_own() {
        let of = |uid, euid| verdict(uid, Seeker { euid, is_secure: false }, || false);

        assert_eq!(Verdict::Yes, of(0, 0));
        assert_eq!(Verdict::Ask, of(0, 33));
        assert_eq!(Verdict::Ask, of(OVERFLOW, 0));
        assert_eq!(Verdict::Ask, of(OVERFLOW, OVERFLOW));
        assert_eq!(Verdict::No, of(1000, 33));
    }

    #[test]
    fn a_program_with_more_rights_than_its_starter_reports_to_root_alone() {
        let of = |uid, euid, are_users| verdict(uid, Seeker { euid, is_secure: true }, || are_users);

        assert_eq!(Verdict::Yes, of(0, 0, true));
        assert_eq!(Verdict::Yes, of(0, 1000, true));
        for (uid, euid) in [(1000, 1000), (OVERFLOW, OVERFLOW), (OVERFLOW, 0)] {
            assert_eq!(Verdict::No, of(uid, euid, true));
        }
        for uid in [0, OVERFLOW] {
            assert_eq!(Verdict::No, of(uid, 0, false));
        }
    }

    #[test]
    fn a_map_of_a_part_is_no_map_of_all() {
        assert!(renames_nobody(b"         0          0 4294967295\n"));
        assert!(!renames_nobody(b"         0          0          1\n"));
        assert!(!renames_nobody(b"         0     100000      65536\n"));
        assert!(!renames_nobody(b"         0          1 4294967295\n"));
        assert!(!renames_nobody(b""));
    }
}
