//! Law 4: what one peer can make the collector hold or do. Each attack goes on until it is killed.

use std::os::fd::OwnedFd;
use std::time::Duration;

use crate::Arguments;
use crate::os;
use crate::payload as p;
use crate::peer::{Door, Hello};
use crate::ring::{Head, NUMBERED, RETURNED};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// N rings of MIB MiB that say that they are full, of pages that were never written.
pub fn sparse(door: &Door, arguments: &mut Arguments) {
    let (rings, data) = (arguments.number(), arguments.number() * MIB);
    os::fork_many(rings, |_| {
        let mut peer = door.join_in_silence(data);
        loop {
            peer.ring.pretend_full();
            os::pause(100);
        }
    });
}

/// Processes that begin and die, each with COUNT open descriptors in its counters.
pub fn counters(door: &Door, arguments: &mut Arguments) {
    let descriptors = arguments.number();
    os::fork_many(4, |_| {
        loop {
            os::fork(|| {
                let peer = door.join(128 * KIB);
                peer.ring.open_descriptors(descriptors);
            });
            os::reap(true);
        }
    });
}

/// Records of BYTES bytes whose numbers go `down`, from the `top` down, `apart`, or anywhere (`wild`).
pub fn numbers(door: &Door, arguments: &mut Arguments) {
    let (len, order) = (arguments.number() as usize, arguments.text());
    let mut peer = door.join(16 * MIB);
    let payload = p::open(&vec![b'A'; len], 3);
    for step in 1_u64.. {
        let seq = match order.as_str() {
            "down" => (1 << 40) - step,
            "top" => u64::MAX - step,
            "apart" => step * 2,
            _ => step.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        };
        peer.numbered(seq, os::now_ns() + 40_000_000, p::OPEN, &payload);
    }
}

/// Records whose state word says LEN bytes: more than any sensor writes, or as many as it may.
pub fn long_records(door: &Door, arguments: &mut Arguments) {
    let len = arguments.number();
    loop {
        let mut peer = door.join(MIB);
        let payload = vec![b'A'; (len - 64) as usize];
        for seq in 1.. {
            let head = Head { seq, ..Head::new(p::OPEN, NUMBERED | RETURNED) };
            if !peer.ring.put_as_long_as(len, 0, &head, &payload, Duration::from_millis(300)) {
                break;
            }
        }
    }
}

/// A path of so many bytes that no other call of this has.
fn path(number: u64, len: usize) -> Vec<u8> {
    let mut path = format!("/INTRUDER/{number}/").into_bytes();
    path.resize(len.max(path.len()), b'x');
    path
}

/// COUNT descriptors with names of LEN bytes each: opened (`open`), named (`made`) or sockets (`bound`);
/// `far` ones have numbers far apart.
pub fn descriptors(door: &Door, arguments: &mut Arguments) {
    let (count, len, how) = (arguments.number(), arguments.number() as usize, arguments.text());
    let mut peer = door.join(4 * MIB);
    for number in 0..count {
        let fd = 3 + number as i32;
        match how.as_str() {
            "made" => peer.note(0, p::FD_MADE, &p::made(fd, &path(number, len))),
            "bound" => {
                peer.call(0, p::SOCKET, &p::socket(fd));
                peer.call(0, p::BIND, &p::bind(fd, &path(number, len)))
            }
            "far" => peer.call(0, p::OPEN, &p::open(&path(number, len), fd.wrapping_mul(2_097_143))),
            _ => peer.call(0, p::OPEN, &p::open(&path(number, len), fd)),
        };
    }
    os::linger();
}

/// COUNT descriptors, and then ranges of all of them that change their flags.
pub fn ranges(door: &Door, arguments: &mut Arguments) {
    let count = arguments.number();
    let mut peer = door.join(4 * MIB);
    for fd in 0..count {
        peer.call(0, p::OPEN, &p::open(b"/INTRUDER", fd as i32));
    }
    for round in 0_u64.. {
        peer.note(0, p::FD_RANGE, &p::range(0, u32::MAX, round % 2 == 0));
    }
}

/// A parent with COUNT descriptors, and children in all slots that each change one: each has a table of its
/// own then.
pub fn fat_children(door: &Door, arguments: &mut Arguments) {
    let count = arguments.number();
    let mut peer = door.join(4 * MIB);
    for number in 0..count {
        peer.call(0, p::OPEN, &p::open(&path(number, 64), number as i32));
    }
    let (pid, _) = os::pids();
    for slot in 1..=255 {
        let child = os::fork(|| os::linger()) as u32;
        peer.note(0, p::FORK, &p::fork(child));
        peer.take_slot(slot, child, pid);
        peer.call(slot, p::OPEN, &p::open(b"/INTRUDER", 5));
    }
    os::linger();
}

/// Directories of LEN bytes: `absolute`, or each `below` the one before.
pub fn directories(door: &Door, arguments: &mut Arguments) {
    let (len, how) = (arguments.number() as usize, arguments.text());
    let mut peer = door.join(4 * MIB);
    for number in 0.. {
        let mut path = path(number, len);
        if how == "below" {
            path[0] = b'y';
        }
        peer.note(0, p::CHANGE_DIRECTORY, &p::change_directory(&path));
        peer.call(0, p::OPEN, &p::open(b"INTRUDER", 3));
    }
}

/// A record with time 1, and behind it COUNT records that are never finished.
pub fn unfinished(door: &Door, arguments: &mut Arguments) {
    let (rings, count) = (arguments.number(), arguments.number());
    os::fork_many(rings, |_| {
        let mut peer = door.join(128 * KIB);
        os::pause(200);
        peer.event_at(1, 0, p::OPEN, RETURNED, &p::open(b"/INTRUDER", 3));
        for _ in 0..count {
            peer.ring.put_unfinished(0, 48);
        }
        peer.ring.wake();
        os::linger();
    });
}

/// Valid records at full speed from N rings, whose time is `now`, `first` (1), `later` (an hour from now),
/// `last` or `wild`.
pub fn flood(door: &Door, arguments: &mut Arguments) {
    let (rings, time) = (arguments.number(), arguments.text());
    os::fork_many(rings, |_| {
        let mut peer = door.join(4 * MIB);
        let payload = p::open(b"/INTRUDER", 3);
        for step in 0_u64.. {
            let now = os::now_ns();
            let time = match time.as_str() {
                "first" => 1,
                "later" => now + 3_600_000_000_000,
                "last" => u64::MAX - 1,
                "wild" => step.wrapping_mul(0x9e37_79b9_7f4a_7c15),
                _ => now,
            };
            peer.event_at(time, 0, p::OPEN, RETURNED, &payload);
        }
    });
}

/// Forks, waits and closes without end, each of another child or descriptor: `fork`, `status`, `both`,
/// `close`.
pub fn children(door: &Door, arguments: &mut Arguments) {
    let what = arguments.text();
    let mut peer = door.join(MIB);
    for number in 5_000_000_u32..=u32::MAX {
        if ["fork", "both"].contains(&what.as_str()) {
            peer.call(0, p::FORK, &p::fork(number));
        }
        if ["status", "both"].contains(&what.as_str()) {
            peer.note(0, p::CHILD_STATUS, &p::child_status(number, 0));
        }
        if what == "close" {
            peer.call(0, p::FD_CLOSED, &p::closed(number as i32));
        }
    }
}

/// Children without end that take every slot in turn, and of which each asks for an exec (`exec`), begins
/// (`start`) or opens a file. The parent has so many descriptors, which they inherit.
pub fn slots(door: &Door, arguments: &mut Arguments) {
    let (what, descriptors) = (arguments.text(), arguments.number());
    let mut peer = door.join(MIB);
    for fd in 0..descriptors {
        peer.call(0, p::OPEN, &p::open(b"/INTRUDER", fd as i32));
    }
    let (pid, _) = os::pids();
    let mut child = 4_100_000;
    loop {
        for slot in 1..=255 {
            if peer.ring.slot_pid(slot) != 0 {
                continue;
            }
            child += 1;
            peer.take_slot(slot, child, pid);
            match what.as_str() {
                "exec" => peer.event(slot, p::EXEC, 0, &p::exec(&path(child.into(), 1000))),
                "start" => {
                    let exe = path(child.into(), 1000);
                    let start = p::Start {
                        says_image: true,
                        exe: &exe,
                        arguments: b"x\0",
                        cwd: b"/",
                        uid: os::uid(),
                        parent: pid,
                    };
                    peer.event(slot, p::START, 0, &start.encoded())
                }
                _ => peer.call(slot, p::OPEN, &p::open(b"/INTRUDER", 3)),
            };
        }
        peer.ring.wake();
        os::pause(1);
    }
}

/// Names of LEN bytes, each resolved to an address of its own.
pub fn names(door: &Door, arguments: &mut Arguments) {
    let len = arguments.number() as usize;
    let mut peer = door.join(4 * MIB);
    for address in 0_u32..=u32::MAX {
        peer.call(0, p::DNS, &p::resolved(&path(address.into(), len), address));
    }
}

/// Images without end in one ring, with programs and arguments of LEN bytes; or with paths of so many that
/// were executed, and no word on the program (`paths`).
pub fn images(door: &Door, arguments: &mut Arguments) {
    let (len, how) = (arguments.number() as usize, arguments.text());
    let mut peer = door.join(4 * MIB);
    let argument = vec![b'A'; len];
    let is_path = how == "paths";
    for number in 0.. {
        let exe = path(number, if is_path { len } else { len.min(4000) });
        let start = p::Start {
            says_image: !is_path,
            exe: &exe,
            arguments: if is_path { b"INTRUDER\0" } else { &argument },
            cwd: b"/",
            uid: os::uid(),
            parent: os::pids().1,
        };
        peer.event(0, p::START, 0, &start.encoded());
        peer.call(0, p::OPEN, &p::open(b"/INTRUDER", 3));
    }
}

/// Changes of identity without end.
pub fn identities(door: &Door, _: &mut Arguments) {
    let mut peer = door.join(4 * MIB);
    for uid in 1000_u32..=u32::MAX {
        peer.call(0, p::CREDENTIALS, &p::credentials(uid));
        peer.call(0, p::OPEN, &p::open(b"/INTRUDER", 3));
    }
}

/// N rings: of one process (`one`), the same with children in all slots (`slots`), of as many processes
/// (`many`), of processes that die at once (`dying`), of processes that make another each time the collector
/// gave one up (`corrupt`).
pub fn rings(door: &Door, arguments: &mut Arguments) {
    let (count, how) = (arguments.number(), arguments.text());
    match how.as_str() {
        "many" => os::fork_many(count, |_| {
            let _peer = door.join(128 * KIB);
            os::linger();
        }),
        "dying" => os::fork_many(4, |_| {
            loop {
                os::fork(|| drop(door.join(128 * KIB)));
                os::reap(true);
            }
        }),
        "corrupt" => os::fork_many(4, |_| {
            loop {
                let mut peer = door.join(128 * KIB);
                peer.ring.set_tail(u64::MAX - 7);
                os::pause(1);
            }
        }),
        _ => {
            os::raise_file_limit();
            let mut child = 4_100_000;
            let mut peers = Vec::new();
            for _ in 0..count {
                let mut peer = door.join(128 * KIB);
                for slot in 1..=255 {
                    if how == "slots" {
                        child += 1;
                        peer.take_slot(slot, child, os::pids().0);
                    }
                }
                peers.push(peer);
            }
            eprintln!("attacker: {} rings", peers.len());
            os::linger();
        }
    }
}

/// Connections without end: closed at once (`close`), kept (`keep`), with half a hello (`half`), that ask
/// whether the collector is healthy and never read (`health`), or that send what is no hello (`noise`).
pub fn connections(door: &Door, arguments: &mut Arguments) {
    let (processes, how) = (arguments.number(), arguments.text());
    os::fork_many(processes, |_| {
        os::raise_file_limit();
        let mut kept: Vec<OwnedFd> = Vec::new();
        if how == "close" {
            // As fast as can be.
            loop {
                if door.reach().is_err() {
                    std::thread::yield_now();
                }
            }
        }
        loop {
            let Ok(socket) = door.reach() else {
                std::thread::yield_now();
                continue;
            };
            let hello = Hello::own().bytes(door);
            let _ = match how.as_str() {
                "half" => os::send(&socket, &hello[..hello.len() / 2], &[]),
                "health" => os::send(&socket, b"glassbox: ready?", &[]),
                "noise" => os::send(&socket, &[b'x'; 4000], &[]),
                _ => Ok(()),
            };
            if how == "keep" {
                kept.push(socket);
                if kept.len() > 1000 {
                    os::linger();
                }
            }
        }
    });
}

/// Hellos without end of processes that cannot be seen, each with a program of LEN bytes.
pub fn blind(door: &Door, arguments: &mut Arguments) {
    let len = arguments.number() as usize;
    for number in 0.. {
        door.greet(&Hello { blind: 2, exe: path(number, len), ..Hello::own() }, &[]);
    }
}

/// Rings without end, each of which names the metadata of another container below URI.
pub fn containers(door: &Door, arguments: &mut Arguments) {
    let uri = arguments.text();
    for number in 0_u64.. {
        let peer = door.prepare(128 * KIB);
        let container = format!("{uri}{number:0>200}").into_bytes();
        door.greet(&Hello { container, ..Hello::own() }, &[peer.ring.fd()]);
    }
}

/// COUNT users, each with descriptors that have names of 12 MB (`names`), with as many rings as it gets
/// (`rings`), or with records at full speed (`flood`).
pub fn users(door: &Door, arguments: &mut Arguments) {
    let (count, how) = (arguments.number(), arguments.text());
    os::fork_many(count, |number| {
        os::become_user(100_000 + number as u32);
        let mut kept = Vec::new();
        if how == "rings" {
            os::raise_file_limit();
            (0..1200).for_each(|_| kept.push(door.join(128 * KIB)));
        } else if how == "flood" {
            let mut peer = door.join(MIB);
            while peer.call(0, p::OPEN, &p::open(b"/INTRUDER", 3)) {}
        } else {
            let mut peer = door.join(4 * MIB);
            for fd in 0..3000 {
                peer.call(0, p::OPEN, &p::open(&path(fd, 4000), fd as i32));
            }
            kept.push(peer);
        }
        os::linger();
    });
}

/// Children in all slots, which live, and forks without end of children that nobody has.
pub fn crowd(door: &Door, _: &mut Arguments) {
    let mut peer = door.join(MIB);
    let (pid, _) = os::pids();
    for slot in 1..=255 {
        let child = os::fork(|| os::linger()) as u32;
        peer.call(0, p::FORK, &p::fork(child));
        peer.take_slot(slot, child, pid);
        peer.call(slot, p::OPEN, &p::open(b"/INTRUDER", 3));
    }
    for child in 3_000_000_u32..4_000_000 {
        peer.call(0, p::FORK, &p::fork(child));
    }
    os::linger();
}

/// Signals without end by a descriptor that is no process's: an epoll instance with COUNT entries, each of
/// which the kernel describes to whom it asks for the process.
pub fn signals(door: &Door, arguments: &mut Arguments) {
    let count = arguments.number();
    os::raise_file_limit();
    let Ok((reader, _writer)) = std::io::pipe() else { return };
    let epoll = os::epoll();
    let copies: Vec<_> = (0..count).map_while(|_| reader.try_clone().ok()).collect();
    copies.iter().for_each(|copy| os::watch(&epoll, copy));
    eprintln!("attacker: {} entries", copies.len());
    let mut peer = door.join(MIB);
    loop {
        peer.call(0, p::SIGNAL, &p::signal(std::os::fd::AsRawFd::as_raw_fd(&epoll)));
    }
}

/// Opens without end by short names, below a directory whose name is as long as any that is kept and that
/// takes six times as much in JSON: each record is small, and each event is not.
pub fn amplified(door: &Door, arguments: &mut Arguments) {
    let rings = arguments.number();
    os::fork_many(rings, |_| {
        let mut peer = door.join(4 * MIB);
        let folder = [b"/".as_slice(), &[1; 8100]].concat();
        peer.note(0, p::CHANGE_DIRECTORY, &p::change_directory(&folder));
        loop {
            peer.call(0, p::OPEN, &p::open_at(p::HERE, b"x", None));
        }
    });
}
