//! Law 1: identity comes from the kernel. Each attack speaks as another process, or says of itself what the
//! kernel knows to be false. Everything that it makes up holds the word INTRUDER.

use std::fs;
use std::path::Path;

use crate::Arguments;
use crate::os;
use crate::payload as p;
use crate::peer::{Door, Hello, Peer};
use crate::ring::RETURNED;

const KIB: u64 = 1024;

/// Opens that the attacker makes up, for as long as it lives.
fn go_on(peer: &mut Peer, slot: u8) -> ! {
    for number in 0_u64.. {
        peer.call(slot, p::OPEN, &p::open(format!("/etc/INTRUDER/{number}").as_bytes(), 3));
        os::pause(20);
    }
    os::linger()
}

/// Says nothing that is false, by a record of each kind that the kit forges: one that does not decode shows
/// here.
pub fn honest(door: &Door, _: &mut Arguments) {
    let mut peer = door.join_in_silence(128 * KIB);
    let exe = std::env::current_exe().unwrap_or_default();
    peer.begin(exe.as_os_str().as_encoded_bytes(), os::uid());
    let child = os::fork(|| ()) as u32;
    peer.call(0, p::FORK, &p::fork(child));
    os::reap(true);
    peer.note(0, p::CHILD_STATUS, &p::child_status(child, 0));
    peer.note(0, p::CHANGE_DIRECTORY, &p::change_directory(b"/INTRUDER"));
    peer.call(0, p::OPEN, &p::open_at(p::HERE, b"INTRUDER", Some(3)));
    peer.event(0, p::FD_CLOSED, RETURNED, &p::closed(3));
    peer.call(0, p::SOCKET, &p::socket(4));
    peer.call(0, p::BIND, &p::bind(4, b"/INTRUDER/socket\0"));
    peer.note(0, p::FD_MADE, &p::made(5, b"pipe:"));
    peer.note(0, p::FD_RANGE, &p::range(3, 5, true));
    peer.call(0, p::DNS, &p::resolved(b"INTRUDER", 0x7f00_0001));
    peer.call(0, p::SIGNAL, &p::signal(5));
    peer.call(0, p::CREDENTIALS, &p::credentials(os::uid()));
    peer.event(0, p::EXEC, 0, &p::exec(b"/INTRUDER"));
    go_on(&mut peer, 0)
}

/// A ring whose image says that it is `pid`.
fn prepare_as(door: &Door, pid: u32) -> Peer {
    let mut peer = door.prepare(128 * KIB);
    peer.take_slot(0, pid, 0);
    peer
}

/// Says hello as PID of the namespace NS over the connection of a child that is dead. `passed`: another
/// process of the attacker says it, which got the connection by SCM_RIGHTS.
pub fn dead_hello(door: &Door, arguments: &mut Arguments) {
    let (pid, pid_ns, how) = (arguments.number() as u32, arguments.number(), arguments.text());
    let socket = os::packet_socket().unwrap_or_else(|error| panic!("no socket: {error}"));
    os::fork(|| {
        let _ = os::connect(&socket, &door.socket);
    });
    os::reap(true);
    let speak = |socket| {
        let mut peer = prepare_as(door, pid);
        peer.begin(b"/bin/INTRUDER", 0);
        let hello = Hello { pid, ppid: 0, pid_ns, ..Hello::own() };
        let _ = os::send(socket, &hello.bytes(door), &[peer.ring.fd()]);
        go_on(&mut peer, 0)
    };
    if how == "passed" {
        // fork(2) passes it on as SCM_RIGHTS would: the kernel remembers who connected, not who sends.
        os::fork(|| speak(&socket));
        drop(socket);
        os::linger();
    }
    speak(&socket)
}

/// A child connects and dies; the harness gives its number, which it finds in the file `number` of FOLDER, to
/// another process. `late`: then the attacker says hello over that connection. `queued`: the child has said
/// it itself, and the collector comes to it only then.
pub fn number_reuse(door: &Door, arguments: &mut Arguments) {
    let (folder, how) = (arguments.text(), arguments.text());
    let socket = os::packet_socket().unwrap_or_else(|error| panic!("no socket: {error}"));
    let mut peer = door.prepare(128 * KIB);
    let greet = |peer: &mut Peer, pid| {
        peer.take_slot(0, pid, 0);
        peer.begin(b"/bin/INTRUDER", 0);
        let hello = Hello { pid, ppid: 1, ..Hello::own() };
        let _ = os::send(&socket, &hello.bytes(door), &[peer.ring.fd()]);
    };
    let child = os::fork(|| {
        let _ = os::connect(&socket, &door.socket);
        if how == "queued" {
            greet(&mut peer, os::pids().0);
        }
    }) as u32;
    os::reap(true);
    let whole = Path::new(&folder).join("number");
    let partial = Path::new(&folder).join("number.new");
    let written = fs::write(&partial, child.to_string()).and_then(|()| fs::rename(&partial, &whole));
    written.unwrap_or_else(|error| panic!("{folder}: {error}"));
    os::pause(1000);
    if how == "queued" {
        // A ring that the child made would be gone with it; this one is its parent's too.
        peer.pids[0] = child;
        peer.seq[0] = 1;
        peer.ring.catch_up();
    } else {
        greet(&mut peer, child);
    }
    go_on(&mut peer, 0)
}

/// Says hello as PID, of the namespace NS if that is not 0, over a connection of its own.
pub fn false_pid(door: &Door, arguments: &mut Arguments) {
    let (pid, pid_ns) = (arguments.number() as u32, arguments.number());
    let mut peer = prepare_as(door, pid);
    peer.begin(b"/bin/INTRUDER", 0);
    door.greet(&Hello { pid, ppid: 1, pid_ns, ..Hello::own() }, &[peer.ring.fd()]);
    go_on(&mut peer, 0)
}

/// Says hello as itself, with PID for its parent.
pub fn false_parent(door: &Door, arguments: &mut Arguments) {
    let parent = arguments.number() as u32;
    let mut peer = door.prepare(128 * KIB);
    let (pid, _) = os::pids();
    peer.take_slot(0, pid, parent);
    let exe = b"/bin/INTRUDER";
    let start =
        p::Start { says_image: true, exe, arguments: b"INTRUDER\0", cwd: b"/", uid: os::uid(), parent };
    peer.event(0, p::START, 0, &start.encoded());
    door.greet(&Hello { ppid: parent, ..Hello::own() }, &[peer.ring.fd()]);
    go_on(&mut peer, 0)
}

/// A fork slot that names PID. `plain`: opens. `plant`: descriptors with false names from 3 on. `told`: the
/// parent says first that it is its child. `dies`: the parent says then that it was killed. `rises`: it says
/// that it is root now. `begins`: it says that it is another program.
pub fn false_slot(door: &Door, arguments: &mut Arguments) {
    let (pid, how) = (arguments.number() as u32, arguments.text());
    let mut peer = door.join(128 * KIB);
    if how == "told" || how == "dies" {
        peer.call(0, p::FORK, &p::fork(pid));
    }
    peer.take_slot(1, pid, os::pids().0);
    for fd in 3..64 {
        if how == "plant" {
            peer.call(1, p::OPEN, &p::open(b"/INTRUDER/PLANTED", fd));
        }
    }
    peer.call(1, p::OPEN, &p::open(b"/INTRUDER", 3));
    match how.as_str() {
        "dies" => _ = peer.note(0, p::CHILD_STATUS, &p::child_status(pid, libc::SIGKILL)),
        "rises" => _ = peer.call(1, p::CREDENTIALS, &p::credentials(0)),
        "begins" => {
            let exe = b"/usr/sbin/sshd";
            let start =
                p::Start { says_image: true, exe, arguments: b"INTRUDER\0", cwd: b"/", uid: 0, parent: 1 };
            peer.event(1, p::START, 0, &start.encoded());
        }
        _ => {}
    }
    go_on(&mut peer, 1)
}

/// Says of process PID what only its parent knows: that it was forked (`fork`), how it ended (`status`), or
/// both.
pub fn false_death(door: &Door, arguments: &mut Arguments) {
    let (pid, how) = (arguments.number() as u32, arguments.text());
    let mut peer = door.join(128 * KIB);
    loop {
        if how != "status" {
            peer.call(0, p::FORK, &p::fork(pid));
        }
        if how != "fork" {
            peer.note(0, p::CHILD_STATUS, &p::child_status(pid, libc::SIGKILL));
        }
        peer.call(0, p::OPEN, &p::open(b"/INTRUDER", 3));
        os::pause(20);
    }
}

/// Says that it is root and runs /usr/sbin/sshd.
pub fn false_program(door: &Door, _: &mut Arguments) {
    let mut peer = door.join_in_silence(128 * KIB);
    peer.begin(b"/usr/sbin/sshd", 0);
    go_on(&mut peer, 0)
}

/// Says that it runs /bin/sh, whose file it names too.
pub fn false_file(door: &Door, _: &mut Arguments) {
    let mut peer = door.prepare(128 * KIB);
    peer.begin(b"/bin/sh", os::uid());
    let file = os::file(Path::new("/bin/sh"));
    door.greet(&Hello { file, ..Hello::own() }, &[peer.ring.fd()]);
    go_on(&mut peer, 0)
}

/// Says that it became root.
pub fn false_root(door: &Door, _: &mut Arguments) {
    let mut peer = door.join(128 * KIB);
    peer.call(0, p::CREDENTIALS, &p::credentials(0));
    go_on(&mut peer, 0)
}

/// Says that it gave the directory OLD, which is another's, the name of FOLDER.
pub fn false_rename(door: &Door, arguments: &mut Arguments) {
    let (old, new) = (arguments.text(), arguments.text());
    let mut peer = door.join(128 * KIB);
    loop {
        peer.call(0, p::RENAME, &p::rename(old.as_bytes(), new.as_bytes()));
        os::pause(20);
    }
}

/// Cannot be seen, says PID, and that it runs /usr/sbin/sshd.
pub fn false_blind(door: &Door, arguments: &mut Arguments) {
    let pid = arguments.number() as u32;
    loop {
        door.greet(
            &Hello { pid, ppid: 1, blind: 2, exe: b"/usr/sbin/INTRUDER".to_vec(), ..Hello::own() },
            &[],
        );
        os::pause(50);
    }
}

/// Guesses: slots in turn name every pid from 1 up, with a planted descriptor each.
pub fn guesses(door: &Door, arguments: &mut Arguments) {
    let highest = arguments.number() as u32;
    let mut peer = door.join(1024 * KIB);
    let (own, _) = os::pids();
    loop {
        let mut pid = 0;
        while pid < highest {
            for slot in 1..=255 {
                if peer.ring.slot_pid(slot) == 0 {
                    pid += 1;
                    peer.take_slot(slot, pid, own);
                    peer.call(slot, p::OPEN, &p::open(b"/INTRUDER/PLANTED", 3));
                }
            }
            peer.ring.wake();
            os::pause(1);
        }
    }
}
