//! What the sensor of this build says first: the version and fingerprints of a hello, taken from one that it
//! sends.

use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::process::{Command, Stdio};

use glassbox_tests::sensor;

/// The version of docs/wire-format.md that the attacker writes.
const WRITTEN: u16 = 4;

/// `VERSION:EVENTS:CALLS`, from a program under the sensor that connects to the socket `path`.
pub fn of_sensor(path: &Path) -> Result<String, String> {
    let door = listen(path)?;
    let mut command = Command::new("/bin/true");
    command.env("LD_PRELOAD", sensor()).env("GLASSBOX_SOCKET", path).stdin(Stdio::null());
    let mut program = command.spawn().map_err(|error| error.to_string())?;
    let mut hello = [0_u8; 26];
    // SAFETY: takes numbers and null pointers, and waits for the program's connection for ten seconds at
    // most.
    let guest = unsafe { libc::accept(door.as_raw_fd(), std::ptr::null_mut(), std::ptr::null_mut()) };
    // SAFETY: the buffer lives for the call and is as long as said. What the packet has beyond it is dropped.
    let len = unsafe { libc::recv(guest, hello.as_mut_ptr().cast(), hello.len(), 0) };
    // SAFETY: ours, and used by nothing else.
    unsafe { libc::close(guest) };
    let _ = program.wait();
    if len != hello.len() as isize || !hello.starts_with(b"GLASSHI\0") {
        return Err("the sensor sent no hello".to_owned());
    }
    let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|index| hello[at + index]));
    let version = u16::from_le_bytes([hello[8], hello[9]]);
    if version != WRITTEN {
        return Err(format!(
            "the wire format is version {version}, and the attacker writes {WRITTEN}: change tests/attack/attacker/ and this \
             number"
        ));
    }
    Ok(format!("{version}:{}:{}", word(10), word(18)))
}

fn listen(path: &Path) -> Result<OwnedFd, String> {
    let fault = || std::io::Error::last_os_error().to_string();
    // SAFETY: takes numbers only.
    let socket = unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC, 0) };
    if socket < 0 {
        return Err(fault());
    }
    // SAFETY: the kernel has just given it.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    // SAFETY: any bytes are a valid sockaddr_un.
    let mut address: libc::sockaddr_un = unsafe { zeroed() };
    address.sun_family = libc::AF_UNIX as u16;
    for (place, byte) in address.sun_path.iter_mut().zip(path.as_os_str().as_encoded_bytes()) {
        *place = *byte as libc::c_char;
    }
    let limit = libc::timeval { tv_sec: 10, tv_usec: 0 };
    let len = size_of::<libc::sockaddr_un>() as u32;
    // SAFETY: the values live for the calls and are as long as said.
    let is_listening = unsafe {
        let value = (&raw const limit).cast();
        let of_limit = size_of::<libc::timeval>() as u32;
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_RCVTIMEO, value, of_limit) == 0
            && libc::bind(socket.as_raw_fd(), (&raw const address).cast(), len) == 0
            && libc::listen(socket.as_raw_fd(), 4) == 0
    };
    if is_listening { Ok(socket) } else { Err(fault()) }
}
