//! Law 3: the collector waits for nobody, and opens nothing that it is told of. Each attack gives it a path
//! or a descriptor that makes a system call wait.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;

use crate::Arguments;
use crate::os;
use crate::payload as p;
use crate::peer::{Door, Hello, Peer};
use crate::ring;

const KIB: u64 = 1024;
/// Lingering sockets that one process keeps: each holds some MiB of the kernel's memory.
const MOST_LINGERING: usize = 100;
/// See docs/operations.md.
const HEALTH: &[u8] = b"glassbox: ready?";
const PROOF: &[u8] = b"glassbox: whose?";

/// Children that never were, one after the other, ask for an exec of `path`.
fn execute(peer: &mut Peer, path: &[u8]) {
    let (pid, _) = os::pids();
    let mut child = 4_100_000;
    loop {
        for slot in 1..=200 {
            if peer.ring.slot_pid(slot) == 0 {
                child += 1;
                peer.take_slot(slot, child, pid);
                peer.event(slot, p::EXEC, 0, &p::exec(path));
            }
        }
        peer.ring.wake();
        os::pause(2);
    }
}

/// Programs begin at `path` and are gone before the collector can look at them, one after the other: every
/// second one before its hello is sent, over the connection that it made.
fn begin_and_go(door: &Door, path: &[u8]) -> ! {
    let prepare = |pid| {
        let mut peer = door.prepare(128 * KIB);
        peer.take_slot(0, pid, 0);
        let start = p::Start {
            says_image: false,
            exe: path,
            arguments: b"INTRUDER\0",
            cwd: b"/",
            uid: os::uid(),
            parent: 0,
        };
        peer.event(0, p::START, 0, &start.encoded());
        peer
    };
    loop {
        os::fork(|| {
            let peer = prepare(os::pids().0);
            door.greet(&Hello::own(), &[peer.ring.fd()]);
        });
        os::reap(true);
        if let Ok(socket) = os::packet_socket() {
            let pid = os::fork(|| _ = os::connect(&socket, &door.socket)) as u32;
            os::reap(true);
            let peer = prepare(pid);
            let hello = Hello { pid, ppid: os::pids().0, ..Hello::own() };
            let _ = os::send(&socket, &hello.bytes(door), &[peer.ring.fd()]);
        }
        os::pause(5);
    }
}

/// A record names PATH: the program that a child executes (`exec`), the program that began (`start`), or the
/// interpreter of a script that a child executes and that began (`script`). A path that ends in /fifo is
/// made.
pub fn path(door: &Door, arguments: &mut Arguments) {
    let (how, mut path) = (arguments.text(), arguments.text());
    if path.ends_with("/fifo") {
        os::make_fifo(&path);
    }
    if how == "script" {
        let script = std::env::current_dir().unwrap_or_default().join("script").display().to_string();
        let written = std::fs::write(&script, format!("#!{path}\n"));
        written.unwrap_or_else(|error| panic!("{script}: {error}"));
        let _ = std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755));
        path = script;
    }
    let path = path.into_bytes();
    if how != "exec" {
        os::fork(|| begin_and_go(door, &path));
    }
    match how.as_str() {
        "start" => os::linger(),
        _ => execute(&mut door.join(1024 * KIB), &path),
    }
}

/// A file in FOLDER and a FIFO change places all the time, while children execute it and programs begin
/// there.
pub fn swap(door: &Door, arguments: &mut Arguments) {
    let folder = arguments.text();
    let (file, fifo) = (format!("{folder}/file"), format!("{folder}/fifo"));
    std::fs::write(&file, "x").unwrap_or_else(|error| panic!("{file}: {error}"));
    let _ = std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755));
    os::make_fifo(&fifo);
    os::fork(|| {
        loop {
            os::exchange(&file, &fifo);
        }
    });
    os::fork(|| begin_and_go(door, file.as_bytes()));
    execute(&mut door.join(1024 * KIB), file.as_bytes());
}

/// A TCP connection with unsent data, whose last close waits for ten minutes.
fn lingering() -> Option<(TcpStream, TcpListener)> {
    let listener = TcpListener::bind("127.0.0.1:0").ok()?;
    os::set_small_buffer(&listener);
    let mut stream = TcpStream::connect(listener.local_addr().ok()?).ok()?;
    os::set_linger(&stream, 600);
    stream.set_nonblocking(true).ok()?;
    loop {
        match stream.write(&[0; 1 << 16]) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Some((stream, listener)),
            Err(_) => return None,
        }
    }
}

/// A hello that brings something else than a ring: `linger`, `pipe`, `device`, `nested`, `file`, `many`.
pub fn instead(door: &Door, arguments: &mut Arguments) {
    let what = arguments.text();
    // Several processes: whether the collector's close is the last one of a socket is a race with its
    // sender's.
    os::fork_many(4, |_| {
        // Some connections wait at the door whenever the collector is told to end.
        let mut kept = VecDeque::new();
        loop {
            let hello = Hello::own();
            match what.as_str() {
                "linger" => {
                    if let Some((stream, listener)) = lingering() {
                        send_and_close(door, &hello, stream.into());
                        kept.push_back(listener);
                        if kept.len() > MOST_LINGERING {
                            kept.pop_front();
                        }
                    }
                }
                "pipe" => {
                    if let Ok((reader, writer)) = std::io::pipe() {
                        door.greet(&hello, &[reader.as_raw_fd()]);
                        door.greet(&hello, &[writer.as_raw_fd()]);
                    }
                }
                "device" => {
                    for path in ["/dev/zero", "/dev/ptmx", "/dev/full", "/dev/random", "/", "/proc/self/mem"]
                    {
                        if let Ok(file) = File::open(path) {
                            door.greet(&hello, &[file.as_raw_fd()]);
                        }
                    }
                }
                "nested" => {
                    if let Some(nest) = nested(200) {
                        send_and_close(door, &hello, nest);
                    }
                }
                "file" => bring_files(door, &hello),
                _ => {
                    if let Ok(file) = File::open("/dev/zero") {
                        door.greet(&hello, &[file.as_raw_fd(); 200]);
                    }
                }
            }
            os::pause(10);
        }
    });
}

/// Leaves the collector's copy of a descriptor as the last one.
fn send_and_close(door: &Door, hello: &Hello, descriptor: OwnedFd) {
    let socket = door.insist();
    let _ = os::send(&socket, &hello.bytes(door), &[descriptor.as_raw_fd()]);
    drop(descriptor);
}

/// A socket in whose queue lies a socket in whose queue lies …, with lingering ones at each depth.
fn nested(depth: usize) -> Option<OwnedFd> {
    let (_, mut inner) = UnixStream::pair().ok()?;
    for level in 0..depth {
        let (near, far) = UnixStream::pair().ok()?;
        let near = OwnedFd::from(near);
        let mut descriptors = vec![inner.as_raw_fd()];
        let slow = if level % 50 == 0 { lingering() } else { None };
        descriptors.extend(slow.iter().map(|(stream, _)| stream.as_raw_fd()));
        os::send(&near, b"x", &descriptors).ok()?;
        inner = far;
    }
    Some(inner.into())
}

/// Files as long as a ring, and almost: on a disk, not sealed, sealed against writing, far too long.
fn bring_files(door: &Door, hello: &Hello) {
    let len = ring::file_len(128 * KIB);
    let path = format!("on-disk-{}", std::process::id());
    if let Ok(file) = File::options().create(true).truncate(true).read(true).write(true).open(&path) {
        let _ = file.set_len(len);
        door.greet(hello, &[file.as_raw_fd()]);
    }
    let all = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
    for (len, seals) in [
        (len, 0),
        (len, libc::F_SEAL_GROW | libc::F_SEAL_SEAL),
        (len, all | libc::F_SEAL_WRITE),
        (len, all | libc::F_SEAL_FUTURE_WRITE),
        (1 << 46, all),
        (0, all),
        (len + 8, all),
    ] {
        if let Ok(file) = os::memfd(len, seals) {
            door.greet(hello, &[file.as_raw_fd()]);
        }
    }
}

/// COUNT messages on each connection, each with a lingering socket, that are never read: the first one is the
/// last that the collector reads. They are as the first (`hello`), or of no bytes (`empty`). Or the first
/// asks for the collector's health, and the connection is closed over the answer (`reset`).
pub fn unread(door: &Door, arguments: &mut Arguments) {
    let (count, how) = (arguments.number(), arguments.text());
    os::fork_many(3, |_| {
        os::raise_file_limit();
        let mut kept = Vec::new();
        for _ in 0..40 {
            let slow: Vec<_> = (0..count).filter_map(|_| lingering()).collect();
            let hello = Hello::own().bytes(door);
            let (first, rest) = match how.as_str() {
                "hello" => (hello.as_slice(), hello.as_slice()),
                "reset" => (HEALTH, b"x".as_slice()),
                _ => (hello.as_slice(), [].as_slice()),
            };
            let socket = door.insist();
            let _ = os::send(&socket, first, &[]);
            for (stream, listener) in slow {
                let _ = os::send(&socket, rest, &[stream.as_raw_fd()]);
                kept.push(listener);
            }
            match how.as_str() {
                // It is closed while the answer, which came just now, lies there unread.
                "reset" => os::await_input(&socket),
                _ => os::pause(50),
            }
        }
        os::linger();
    });
}

/// Questions without end over connections that are kept, each with as many descriptors as a message has room
/// for.
pub fn laden(door: &Door, _: &mut Arguments) {
    os::fork_many(4, |_| {
        let Ok(file) = File::open("/dev/zero") else { return };
        let mut sockets: Vec<_> = (0..16).map(|_| door.insist()).collect();
        loop {
            for socket in &mut sockets {
                let sent = os::send(socket, PROOF, &[file.as_raw_fd(); 253]);
                if sent.is_err_and(|error| error.kind() == ErrorKind::BrokenPipe) {
                    *socket = door.insist();
                }
                os::drain(socket);
            }
        }
    });
}
