//! Handing this image's ring to the collector: one packet over a Unix socket, and no reply to it.

use core::ffi::c_int;
use core::sync::atomic::Ordering;

use wire::hello::{self, Blind, Hello};
use wire::ring::layout::Mapped;

use crate::calls::exits;
use crate::process::{self, tell};
use crate::reach::maps::is_late;
use crate::reach::marks;
use crate::record::capture;
use crate::start::distance::{Distance, set_distance};
use crate::start::door::{self, DEFAULT_SOCKET, Open, Seeker};
use crate::start::environ::Wishes;
use crate::start::image::{EXE, Start};
use crate::start::ring::{Made, make_ring};
use crate::{sys, table};

/// Makes a ring, writes the image's first record into it, and sends it to the collector.
///
/// Normally the collector is looked for first, so that no ring is made in vain. A near collector is known to
/// be there (`glassbox run` started it): then the ring is made first, and the connection and the packet reach
/// the collector together, which wakes it once instead of twice.
pub fn attach(wishes: &Wishes, image: &Start) -> Option<Mapped> {
    let name = wishes.socket.unwrap_or(DEFAULT_SOCKET);
    let is_near = hello::is_near(name);
    let mut early = is_near.then(|| prepare(wishes, image, is_near));
    let socket = sys::packet_socket().or_else(|error| match early {
        // The last descriptor went to the ring: reporting that is of more use.
        Some(Ok(made)) if matches!(error.0, libc::EMFILE | libc::ENFILE) => {
            sys::close(made.memfd);
            process::disarm();
            early = Some(Err(Blind::FdLimit));
            sys::packet_socket()
        }
        _ => Err(error),
    });
    let seeker = Seeker { euid: image.euid, is_secure: image.is_secure };
    let open = socket.ok().and_then(|socket| match image.is_secure && wishes.socket.is_none() {
        true => door::connect_to_root(socket, seeker),
        false => door::connect(socket, name, seeker),
    });
    let attached = open.map(|Open { socket, is_beside }| {
        let made = early.unwrap_or_else(|| prepare(wishes, image, is_near));
        let distance = match (is_near, is_beside) {
            (true, _) => Distance::Near,
            (false, true) => Distance::Beside,
            (false, false) => Distance::Apart,
        };
        set_distance(distance);
        let pid_ns = match distance {
            Distance::Apart => make_up_for_distance(made.ok().map(|made| made.memfd)),
            Distance::Near | Distance::Beside => 0,
        };
        let is_sent = say_hello(socket, image, made, pid_ns, wishes.container);
        sys::close(socket);
        (made, is_sent)
    });
    // Without a free descriptor for a socket, or without a collector, this cannot be reported: only the
    // parent's exec event is.
    let (made, is_sent) = match attached {
        Some((made, is_sent)) => (Some(made), is_sent),
        None => (early, false),
    };
    let made = made?.ok()?;
    sys::close(made.memfd);
    if is_sent {
        return Some(made.ring);
    }
    process::disarm();
    None
}

/// A ring that holds the image's first record, and that the hooks write into from here on.
fn prepare(wishes: &Wishes, image: &Start, is_near: bool) -> Result<Made, Blind> {
    let made = make_ring(wishes)?;
    tell::set(wishes.tell);
    if let Some(kib) = wishes.argv_kib {
        capture::copy_arguments_to(kib, made.data_len);
    }
    process::arm(made.ring, made.data_len, made.page, image.pid);
    if !is_late() {
        process::note_first_thread(image.pid);
    }
    let slot = made.ring.slot(0);
    slot.note_birth(sys::both_clocks());
    slot.ppid.store(image.ppid, Ordering::Relaxed);
    slot.pid.store(image.pid, Ordering::Release);
    image.report(is_near);
    marks::begin_marking();
    Ok(made)
}

/// Gives a collector that is apart the facts that the kernel does not give it; returns our pid namespace, by
/// inode.
///
/// One in a namespace beside ours has no number for us, and before Linux 6.5 no descriptor of us: our pid
/// means something to it only with the namespace. The ring is locked until the last process of the image
/// ends, and each process notes its exit status.
fn make_up_for_distance(memfd: Option<c_int>) -> u64 {
    if let Some(memfd) = memfd {
        sys::hold(memfd);
        exits::ask_for_status();
    }
    sys::inode(c"/proc/self/ns/pid").unwrap_or(0)
}

fn say_hello(socket: c_int, image: &Start, made: Result<Made, Blind>, pid_ns: u64, container: &[u8]) -> bool {
    let (blind, memfd) = match made {
        Ok(made) => (0, Some(made.memfd)),
        Err(blind) => (blind as u8, None),
    };
    let hello = Hello {
        magic: hello::MAGIC,
        version: wire::VERSION,
        events: wire::FINGERPRINT,
        calls: table::CALLS,
        pid: image.pid,
        ppid: image.ppid,
        slot: 0,
        own_fds: [socket, memfd.unwrap_or(-1)],
        blind,
        exe: &[],
        pid_ns,
        container,
        file: image.file(),
    };
    match blind {
        0 => send(&hello, &mut [0; hello::MAX_SEEN_LEN], memfd),
        _ => say_blind(hello),
    }
}

/// As with [`Start::report`], long buffers are kept apart.
#[cold]
#[inline(never)]
fn say_blind(hello: Hello<'_>) -> bool {
    let mut path = [0; 4096];
    let exe = sys::readlink(EXE, &mut path).unwrap_or_default();
    send(&Hello { exe, ..hello }, &mut [0; hello::MAX_LEN], None)
}

fn send(hello: &Hello<'_>, buffer: &mut [u8], memfd: Option<c_int>) -> bool {
    let [socket, _] = hello.own_fds;
    let len = hello.encode(buffer);
    buffer.get(..len).is_some_and(|packet| len > 0 && sys::send_packet(socket, packet, memfd).is_ok())
}
