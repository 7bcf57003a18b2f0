//! deeds in Rust: the list of deeds.h, in the same order and with the same lines, by std where std makes that
//! one call, else by the functions of the libc that is linked in. For a target whose programs are static.
//!
//! Usage: PROGRAM WORK PORT

use std::ffi::{CString, c_char, c_int, c_long, c_uint, c_ulong, c_void};
use std::fs::{self, OpenOptions};
use std::io::{Error, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::process::{self, Command};

unsafe extern "C" {
    fn bind(fd: c_int, address: *const Inet, length: c_uint) -> c_int;
    fn getpid() -> c_int;
    fn getuid() -> c_uint;
    fn kill(pid: c_int, signal: c_int) -> c_int;
    fn listen(fd: c_int, backlog: c_int) -> c_int;
    fn memfd_create(name: *const c_char, flags: c_uint) -> c_int;
    fn mount(from: *const c_char, to: *const c_char, kind: *const c_char, flags: c_ulong, data: *const c_void) -> c_int;
    fn ptrace(request: c_int, pid: c_int, address: *const c_void, data: *const c_void) -> c_long;
    fn setuid(uid: c_uint) -> c_int;
    fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int;
    fn syscall(number: c_long, ...) -> c_long;
    fn unshare(flags: c_int) -> c_int;
}

#[repr(C)]
struct Inet {
    family: u16,
    port: u16,
    address: u32,
    zero: u64,
}

const SYS_EXECVEAT: c_long = if cfg!(target_arch = "x86_64") { 322 } else { 281 };
const AT_FDCWD: c_int = -100;

#[derive(Default)]
struct Report(String);

impl Report {
    fn say<T>(&mut self, name: &str, result: Result<T, Error>) -> Option<T> {
        let line = match &result {
            Ok(_) => format!("{name}: ok\n"),
            Err(error) => format!("{name}: error {}\n", error.raw_os_error().unwrap_or(-1)),
        };
        self.0.push_str(&line);
        result.ok()
    }

    fn call(&mut self, name: &str, returned: c_long) {
        self.say(name, if returned < 0 { Err(Error::last_os_error()) } else { Ok(()) });
    }
}

fn text(words: &str) -> CString {
    CString::new(words).expect("no NUL in a name")
}

fn loopback(port: &str) -> SocketAddr {
    format!("127.0.0.1:{port}").parse().expect("a port")
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let [_, work, port] = words.as_slice() else { process::exit(2) };
    let mut report = Report::default();
    let at = |name: &str| format!("{work}/{name}");
    let (one, two, hard, soft, folder) = (at("one"), at("two"), at("hard"), at("soft"), at("folder"));
    drop(report.say(
        "openat",
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(&one),
    ));
    report.say("rename", fs::rename(&one, &two));
    report.say("link", fs::hard_link(&two, &hard));
    report.say("symlink", symlink(&two, &soft));
    report.say("chmod", fs::set_permissions(&two, fs::Permissions::from_mode(0o600)));
    report.say("unlink", fs::remove_file(&hard));
    report.say("unlink", fs::remove_file(&soft));
    report.say("unlink", fs::remove_file(at("missing")));
    report.say("mkdir", fs::create_dir(&folder));
    report.say("rmdir", fs::remove_dir(&folder));

    // std makes the socket and connects it.
    let connected = TcpStream::connect(loopback(port));
    report.say("socket", Ok(()));
    drop(report.say("connect", connected));
    // std sets SO_REUSEADDR and binds and listens in one; here each has its line.
    // SAFETY: each pointer is of a value that lives on; each length is that value's.
    let listener = unsafe {
        let fd = socket(2, 1 | 0o2000000, 0);
        report.call("socket", fd.into());
        let own = Inet { family: 2, port: 0, address: u32::from_be_bytes([127, 0, 0, 1]).to_be(), zero: 0 };
        report.call("bind", bind(fd, &own, 16).into());
        report.call("listen", listen(fd, 4).into());
        <std::net::TcpListener as std::os::fd::FromRawFd>::from_raw_fd(fd)
    };
    let own = listener.local_addr().expect("bound");
    let other = TcpStream::connect(own);
    report.say("socket", Ok(()));
    let other = report.say("connect", other);
    let accepted = report.say("accept4", listener.accept());
    drop((accepted, other));
    assert!(listener.as_raw_fd() > 2);
    drop(listener);

    let (none, missing, tmpfs, deeds, empty) =
        (text("none"), text(&at("missing")), text("tmpfs"), text("deeds"), text(""));
    // SAFETY: each pointer is of a string that lives on.
    unsafe {
        report.call("kill", kill(getpid(), 0).into());
        report.call("setuid", setuid(getuid()).into());
        report.call("memfd_create", memfd_create(deeds.as_ptr(), 1).into());
        // An unknown flag, a folder that is not there, the own process: each fails for every user.
        report.call("unshare", unshare(0x20000 | 1).into());
        let nothing = empty.as_ptr().cast();
        report.call("mount", mount(none.as_ptr(), missing.as_ptr(), tmpfs.as_ptr(), 0, nothing).into());
        report.call("ptrace", ptrace(16, getpid(), std::ptr::null(), std::ptr::null()));
    }
    let status = Command::new("/bin/true").arg0("true").args(["of", "deeds"]).status();
    report.say("execve", status.and_then(|status| status.success().then_some(()).ok_or(Error::other("status"))));

    // What was said must be out before the program is another one.
    print!("{}", std::mem::take(&mut report.0));
    std::io::stdout().flush().expect("standard output");
    let program = text("/bin/true");
    let words = [text("true"), text("of"), text("deeds")];
    let environment = std::env::vars_os().map(|(name, value)| {
        CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()).expect("no NUL in a variable")
    });
    let environment: Vec<CString> = environment.collect();
    let pointers = |list: &[CString]| {
        list.iter().map(|word| word.as_ptr()).chain([std::ptr::null()]).collect::<Vec<_>>()
    };
    let (argv, envp) = (pointers(&words), pointers(&environment));
    // SAFETY: `words` and `environment` own the strings; both lists end with a null pointer.
    let returned = unsafe {
        syscall(SYS_EXECVEAT, AT_FDCWD, program.as_ptr(), argv.as_ptr(), envp.as_ptr(), 0 as c_int)
    };
    report.call("execveat", returned);
    print!("{}", report.0);
}
