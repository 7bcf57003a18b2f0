//! Reads strace's record of a run: what each call was about, and who made it.
//!
//! strace prints the address of each call's instruction (`-i`) and the mapped files (`mmap` with `-y`). These
//! decide who made a call that the sensor did not report:
//!
//! - `loader`: the instruction lies in ld.so. The dynamic loader calls no other library, so no hook can see
//!   its search for libraries. musl is loader and libc in one file: there, a call is the loader's until the
//!   sensor's constructor has run.
//! - `libc`: the instruction lies in one of libc's own `*_nocancel` functions, which no program can call.
//!   With these libc opens locale, gconv, name service and time zone files, the file that fchmodat must not
//!   follow, and the files of posix_spawn's actions. (opendir uses them too, with `O_DIRECTORY`; that call
//!   counts as the application's.) The calls of posix_spawn, system and popen in their child before it
//!   executes are libc's too, and so is the name that musl's tmpfile makes and removes. A socket is libc's if
//!   it goes to nscd, or is a datagram or netlink socket in a process that looked up a name: getaddrinfo asks
//!   its server, and sorts addresses, in this way.
//! - `sensor`: the instruction lies in the sensor. The sensor's own calls are not reported.
//! - `early`: the call was made before the sensor's constructor ran, in an image where it ran later: by the
//!   constructor of a library that the loader starts first (libselinux's opens /proc/filesystems). The report
//!   names these calls too.
//! - `application`: every other call. These are the calls that must be seen.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::rc::Rc;

use super::kinds::{self, Kind, Target};
use crate::artefacts::sensor;
use crate::child;

/// The maker of a call that the sensor did not report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The dynamic loader.
    Loader,
    /// libc for itself.
    Libc,
    /// The sensor.
    Sensor,
    /// A library's constructor, before the sensor's.
    Early,
    /// The program or a library of its own.
    Application,
}

/// One call as strace saw it.
#[derive(Clone, Debug)]
pub struct Call {
    /// The row of the table.
    pub kind: &'static Kind,
    /// The process, not the thread.
    pub pid: i64,
    /// The parent process, or -1.
    pub parent: i64,
    /// The identifying arguments as the event's fields have them: an absolute path, a peer, a number; joined
    /// by spaces.
    pub target: String,
    /// errno's name, if it failed.
    pub error: Option<String>,
    /// The maker of the call, if it was not reported.
    pub origin: Origin,
    /// Whether it works on a socket that libc makes for itself to look up a name: datagram, netlink.
    pub is_look_up: bool,
    /// Whether the process shares the memory of its parent, which runs on beside it.
    pub is_guest: bool,
    /// Whether the process had not executed a program since it was made.
    pub is_before_exec: bool,
}

/// The calls that the reader itself follows: address spaces, processes, directories.
const FOLLOWED: &[&str] =
    &["execve", "execveat", "mmap", "clone", "clone3", "fork", "vfork", "chdir", "fchdir"];

/// The `strace` command for a program under the sensor; its arguments follow.
pub fn strace(output: &Path, socket: &Path) -> Command {
    let mut command = Command::new("strace");
    command.args(["-ff", "-ttt", "-i", "-yy", "-s", "65536", "-e", "signal=none", "-e"]);
    // `?`: a machine may lack a call.
    let calls = kinds::kinds().flat_map(|kind| kind.calls).map(|traced| traced.name);
    let names: Vec<String> = FOLLOWED.iter().copied().chain(calls).map(|name| format!("?{name}")).collect();
    command.arg(format!("trace={}", names.join(",")));
    command.arg("-E").arg(format!("LD_PRELOAD={}", sensor().display()));
    command.arg("-E").arg(format!("GLASSBOX_SOCKET={}", socket.display()));
    command.arg("-o").arg(output).arg("--");
    command
}

/// Reads the files that `strace -ff -o output` wrote.
pub fn calls(output: &Path) -> Vec<Call> {
    let (Some(dir), Some(prefix)) = (output.parent(), output.file_name().and_then(|name| name.to_str()))
    else {
        return Vec::new();
    };
    let mut lines = Vec::new();
    for entry in fs::read_dir(dir).expect("strace's folder").flatten() {
        let name = entry.file_name();
        let tid =
            name.to_str().and_then(|name| name.strip_prefix(prefix)?.strip_prefix('.')?.parse::<i64>().ok());
        let Some(tid) = tid else { continue };
        let text = child::escaped(&fs::read(entry.path()).expect("strace's output"));
        lines.extend(text.lines().filter_map(|line| parse(tid, line)));
    }
    // strace notes when a call began, so a child's first call comes after the call that made the child.
    lines.sort_by(|left, right| left.time.total_cmp(&right.time));
    Tracer::default().follow(lines)
}

/// One line of strace's output, parsed.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    time: f64,
    tid: i64,
    address: Option<u64>,
    /// The system call's name.
    pub call: String,
    /// Its arguments, as strace prints them.
    pub arguments: Vec<String>,
    ret: Option<i64>,
    ret_hex: Option<u64>,
    error: Option<String>,
}

impl Line {
    /// The number of an argument, without strace's annotation.
    pub fn number(&self, at: usize) -> Option<i64> {
        let digits = |character: char| !character.is_ascii_digit() && character != '-';
        self.arguments.get(at)?.split(digits).next()?.parse().ok()
    }
}

/// `1795468495.66 [00007f579283d001] openat(AT_FDCWD</tmp>, "x", O_RDONLY) = 3</tmp/x>`
fn parse(tid: i64, line: &str) -> Option<Line> {
    let (time, rest) = line.split_once(" [")?;
    let (address, rest) = rest.split_once("] ")?;
    let (call, rest) = rest.split_once('(')?;
    if !call.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return None;
    }
    let (arguments, rest) = split_arguments(rest);
    // A call that never returned (its process ended, or another thread executed a program) has no result.
    let result = rest.trim_start().strip_prefix("= ").unwrap_or("");
    let number = result.split([' ', '<']).next().unwrap_or("");
    let is_error = number == "-1";
    Some(Line {
        time: time.trim().parse().ok()?,
        tid,
        address: u64::from_str_radix(address, 16).ok(),
        call: call.to_owned(),
        arguments,
        ret: number.parse().ok(),
        ret_hex: number.strip_prefix("0x").and_then(|hex| u64::from_str_radix(hex, 16).ok()),
        error: is_error.then(|| result.split(' ').nth(1).unwrap_or("").to_owned()),
    })
}

/// Splits at the commas of the outermost level, and gives the text behind the closing bracket.
fn split_arguments(text: &str) -> (Vec<String>, &str) {
    let mut arguments = Vec::new();
    let (mut depth, mut is_quoted, mut is_escaped, mut in_comment, mut from) = (0i32, false, false, false, 0);
    let bytes = text.as_bytes();
    for (at, &byte) in bytes.iter().enumerate() {
        if in_comment {
            in_comment = !(byte == b'/' && at > 0 && bytes.get(at - 1) == Some(&b'*'));
            continue;
        }
        if is_quoted {
            is_quoted = is_escaped || byte != b'"';
            is_escaped = !is_escaped && byte == b'\\';
            continue;
        }
        match byte {
            b'"' => is_quoted = true,
            b'*' if at > 0 && bytes.get(at - 1) == Some(&b'/') => in_comment = true,
            b'(' | b'[' | b'{' => depth += 1,
            b']' | b'}' => depth -= 1,
            b')' if depth > 0 => depth -= 1,
            b')' => {
                arguments.push(text[from..at].trim().to_owned());
                return (arguments, &text[at + 1..]);
            }
            b',' if depth == 0 => {
                arguments.push(text[from..at].trim().to_owned());
                from = at + 1;
            }
            _ => {}
        }
    }
    arguments.push(text[from..].trim().to_owned());
    (arguments, "")
}

/// The string between the first quotes, with C escapes undone, as events have it.
fn unquoted(argument: &str) -> Option<String> {
    let text = argument.get(argument.find('"')? + 1..)?;
    let mut bytes = Vec::new();
    let mut rest = text.bytes().peekable();
    while let Some(byte) = rest.next() {
        match byte {
            b'"' => return Some(child::escaped(&bytes)),
            b'\\' => match rest.next()? {
                b'n' => bytes.push(b'\n'),
                b't' => bytes.push(b'\t'),
                b'r' => bytes.push(b'\r'),
                b'v' => bytes.push(0x0b),
                b'f' => bytes.push(0x0c),
                digit @ b'0'..=b'7' => {
                    let mut value = u32::from(digit - b'0');
                    for _ in 0..2 {
                        match rest.peek() {
                            Some(next @ b'0'..=b'7') => value = value * 8 + u32::from(next - b'0'),
                            _ => break,
                        }
                        rest.next();
                    }
                    bytes.push(value as u8);
                }
                other => bytes.push(other),
            },
            other => bytes.push(other),
        }
    }
    None
}

/// The path that `-y` prints behind a descriptor: `3</tmp/x>`, `AT_FDCWD</tmp>`.
fn annotated(argument: &str) -> Option<&str> {
    argument.split_once('<')?.1.strip_suffix('>')
}

/// `path` relative to `dir`, without dots.
fn absolute(dir: &str, path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    let whole = if path.starts_with('/') { path.to_owned() } else { format!("{dir}/{path}") };
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    format!("/{}", parts.join("/"))
}

/// The peer in a socket address as strace prints it, in the form of docs/contract.md.
fn peer(address: &str) -> Option<String> {
    let after = |key: &str| address.split_once(key).map(|(_, rest)| rest);
    if let Some(path) = after("sun_path=") {
        let name = unquoted(path)?;
        return Some(if path.starts_with('@') { format!("@{name}") } else { name });
    }
    let port = after("_port=htons(")?.split(')').next()?;
    if let Some(rest) = after("sin_addr=inet_addr(") {
        return Some(format!("{}:{port}", unquoted(rest)?));
    }
    let rest = after("inet_pton(AF_INET6, ")?;
    Some(format!("[{}]:{port}", unquoted(rest)?))
}

/// The end of the path of glibc's file. musl's is the loader's own file, which the kernel maps.
const GLIBC: &str = "/libc.so.6";

/// An address space: which file is mapped where, and where the loader was at its beginning.
#[derive(Clone, Default)]
struct Space {
    /// Start, end, base of the file's first mapping, file.
    mapped: Vec<(u64, u64, u64, String)>,
    loader: Option<u64>,
    /// Whether the sensor has made a call: its constructor has begun.
    is_armed: bool,
}

#[derive(Default)]
struct Tracer {
    spaces: HashMap<i64, Rc<RefCell<Space>>>,
    group_of: HashMap<i64, i64>,
    parent_of: HashMap<i64, i64>,
    /// The working directory as strace last printed it: not every call shows it.
    directory_of: HashMap<i64, String>,
    /// Processes that have executed no program yet.
    unexecuted: HashSet<i64>,
    /// Processes made by clone with CLONE_VM and without CLONE_VFORK.
    guests: HashSet<i64>,
    /// The paths of a process's descriptors, by `/proc/self/fd/N`: fchmodat works on those.
    opened: HashMap<(i64, String), String>,
    /// Where in `calls` a process's sockets were made, until they are known to be the program's.
    sockets: HashMap<(i64, i64), usize>,
    nocancel: HashMap<String, Option<(u64, u64)>>,
    calls: Vec<Call>,
    /// The application's calls in images in which the sensor had made no call yet.
    unarmed: Vec<(usize, Rc<RefCell<Space>>)>,
}

impl Tracer {
    fn follow(mut self, lines: Vec<Line>) -> Vec<Call> {
        for line in lines {
            let known = self.calls.len();
            let space = Rc::clone(self.spaces.entry(line.tid).or_default());
            self.take(line);
            for (at, call) in self.calls.iter().enumerate().skip(known) {
                let is_the_applications = call.origin == Origin::Application;
                let is_a_program = [kinds::EXEC, kinds::IMAGE].contains(&call.kind.event);
                if is_the_applications && !is_a_program && !space.borrow().is_armed {
                    self.unarmed.push((at, Rc::clone(&space)));
                }
            }
        }
        for (at, space) in self.unarmed {
            if let Some(call) = self.calls.get_mut(at).filter(|_| space.borrow().is_armed) {
                call.origin = Origin::Early;
            }
        }
        self.calls
    }

    fn take(&mut self, line: Line) {
        let pid = *self.group_of.entry(line.tid).or_insert(line.tid);
        let space = Rc::clone(self.spaces.entry(line.tid).or_default());
        if let Some(directory) =
            line.arguments.first().filter(|fd| fd.starts_with("AT_FDCWD")).and_then(|fd| annotated(fd))
        {
            self.directory_of.insert(pid, directory.to_owned());
        }
        match line.call.as_str() {
            "clone" | "clone3" | "fork" | "vfork" => {
                let Some(child) = line.ret.filter(|&child| child > 0) else { return };
                let is_thread = line.arguments.iter().any(|argument| argument.contains("CLONE_THREAD"));
                let inherited = if is_thread { space } else { Rc::new(RefCell::new(space.borrow().clone())) };
                self.spaces.insert(child, inherited);
                self.group_of.insert(child, if is_thread { pid } else { child });
                if !is_thread {
                    self.parent_of.insert(child, pid);
                    self.unexecuted.insert(child);
                    let says = |flag: &str| line.arguments.iter().any(|argument| argument.contains(flag));
                    if says("CLONE_VM") && !says("CLONE_VFORK") {
                        self.guests.insert(child);
                    }
                    if let Some(directory) = self.directory_of.get(&pid).cloned() {
                        self.directory_of.insert(child, directory);
                    }
                }
            }
            "mmap" => {
                let mut space = space.borrow_mut();
                space.loader = space.loader.or(line.address);
                let (Some(from), Some(file)) =
                    (line.ret_hex, line.arguments.get(4).and_then(|file| annotated(file)))
                else {
                    return;
                };
                let len: u64 = line.arguments.get(1).and_then(|len| len.parse().ok()).unwrap_or(0);
                let known =
                    space.mapped.iter().rev().find(|(.., other)| other == file).map(|(_, _, base, _)| *base);
                let is_first = line.arguments.get(5).is_some_and(|offset| offset == "0");
                let base = if is_first { from } else { known.unwrap_or(from) };
                space.mapped.push((from, from + len, base, file.to_owned()));
            }
            "chdir" | "fchdir" => {
                let Some(argument) = line.arguments.first().filter(|_| line.ret == Some(0)) else { return };
                let to = annotated(argument).map(str::to_owned).or_else(|| unquoted(argument));
                if let Some(to) = to {
                    let directory = self.absolute(pid, None, &to);
                    self.directory_of.insert(pid, directory);
                }
            }
            "execve" | "execveat" => {
                let path_at = usize::from(line.call == "execveat");
                let Some(path) = line.arguments.get(path_at).and_then(|path| unquoted(path)) else { return };
                self.exec(&line, pid, &path);
                if line.ret == Some(0) {
                    self.spaces.insert(line.tid, Rc::default());
                }
            }
            _ => {}
        }
        if let Some((kind, traced)) = kinds::made_by(&line) {
            self.made(kind, traced.targets, &line, pid);
        }
    }

    /// Records a call that a row of the table names.
    fn made(&mut self, kind: &'static Kind, targets: &[Target], line: &Line, pid: i64) {
        let parts: Option<Vec<String>> =
            targets.iter().map(|target| self.target(target, line, pid)).collect();
        let Some(parts) = parts else { return };
        let space = Rc::clone(self.spaces.entry(line.tid).or_default());
        let origin = self.origin(line, &space.borrow());
        let mentions = |word: &str| line.arguments.iter().any(|argument| argument.contains(word));
        // The sensor's first call is the connect to its collector.
        space.borrow_mut().is_armed |= kind.event == kinds::CONNECT && origin == Origin::Sensor;
        let origin = match origin {
            Origin::Libc if kind.event == kinds::OPEN && mentions("O_DIRECTORY") => Origin::Application,
            // The sensor's vfork makes the call itself, with the program's return address.
            Origin::Sensor if kind.event == kinds::FORK => Origin::Application,
            Origin::Application if mentions("/nscd/socket") || mentions("\"/tmp/tmpfile_") => Origin::Libc,
            origin => origin,
        };
        let is_look_up = ["UDP", "DGRAM", "NETLINK"].iter().any(|word| mentions(word));
        match (kind.event, line.ret, line.number(0)) {
            (kinds::OPEN, Some(fd), _) if fd >= 0 => {
                self.opened.insert((pid, format!("/proc/self/fd/{fd}")), parts.join(" "));
            }
            ("net.socket", Some(fd), _) => drop(self.sockets.insert((pid, fd), self.calls.len())),
            // The caller of the connect shows that libc made the socket, to ask nscd.
            (kinds::CONNECT, _, Some(fd)) if origin == Origin::Libc => {
                if let Some(made) = self.sockets.get(&(pid, fd)).and_then(|&at| self.calls.get_mut(at)) {
                    made.origin = Origin::Libc;
                }
            }
            _ => {}
        }
        self.push(line, pid, kind, parts.join(" "), origin, is_look_up);
    }

    /// An identifying argument as the event has it; `None` if strace could not read it.
    fn target(&self, target: &Target, line: &Line, pid: i64) -> Option<String> {
        let argument = |at: usize| line.arguments.get(at);
        Some(match *target {
            Target::Path(at) => self.absolute(pid, None, &unquoted(argument(at)?)?),
            Target::At(at) => {
                let path = unquoted(argument(at)?)?;
                let dir = at.checked_sub(1).and_then(argument)?;
                let is_nowhere = annotated(dir).is_none() && !dir.starts_with("AT_FDCWD");
                // A path relative to a bad descriptor stays as it is.
                if is_nowhere && !path.starts_with('/') {
                    path
                } else {
                    self.absolute(pid, annotated(dir), &path)
                }
            }
            Target::Open(at) => annotated(argument(at)?)?.to_owned(),
            Target::Pointed(at, link) => {
                let link = self.target(link, line, pid)?;
                absolute(link.rsplit_once('/')?.0, &unquoted(argument(at)?)?)
            }
            Target::Number(at) => line.number(at)?.to_string(),
            Target::Peer(at) => {
                let address = argument(at)?;
                let peer = peer(address)?;
                let is_path = address.contains("AF_UNIX") && !peer.starts_with('@');
                if is_path { self.absolute(pid, None, &peer) } else { peer }
            }
            Target::Returned => {
                line.ret.filter(|&ret| ret >= 0).map(|ret| ret.to_string()).unwrap_or_default()
            }
        })
    }

    /// Records a request to execute a program. libc searches PATH by calls that fail, which are one request
    /// of the program's.
    fn exec(&mut self, line: &Line, pid: i64, path: &str) {
        let name = path.rsplit('/').next().unwrap_or("");
        if let Some(last) = self.calls.iter_mut().rev().find(|call| call.pid == pid)
            && last.kind.event == kinds::EXEC
            && last.error.is_some()
            && last.target.rsplit('/').next() == Some(name)
        {
            last.error = line.error.clone();
            last.target = path.to_owned();
        } else {
            self.program(line, pid, kinds::EXEC, path);
        }
        if line.ret == Some(0) {
            self.program(line, pid, kinds::IMAGE, path);
            self.unexecuted.remove(&pid);
        }
    }

    fn program(&mut self, line: &Line, pid: i64, event: &str, path: &str) {
        if let Some(kind) = kinds::of(event) {
            self.push(line, pid, kind, path.to_owned(), Origin::Application, false);
        }
    }

    fn absolute(&self, pid: i64, dir: Option<&str>, path: &str) -> String {
        if let Some(opened) = self.opened.get(&(pid, path.to_owned())) {
            return opened.clone();
        }
        let directory = dir.or(self.directory_of.get(&pid).map(String::as_str));
        absolute(directory.unwrap_or(""), path)
    }

    fn push(
        &mut self,
        line: &Line,
        pid: i64,
        kind: &'static Kind,
        target: String,
        origin: Origin,
        is_look_up: bool,
    ) {
        let parent = self.parent_of.get(&pid).copied().unwrap_or(-1);
        let is_before_exec = self.unexecuted.contains(&pid);
        let is_guest = self.guests.contains(&pid);
        let error = line.error.clone();
        self.calls.push(Call {
            kind,
            pid,
            parent,
            target,
            error,
            origin,
            is_look_up,
            is_guest,
            is_before_exec,
        });
    }

    fn origin(&mut self, line: &Line, space: &Space) -> Origin {
        let Some(address) = line.address else { return Origin::Application };
        let found = space.mapped.iter().rev().find(|(from, to, ..)| (*from..*to).contains(&address));
        let Some((_, _, base, file)) = found else {
            // The kernel maps ld.so and the program itself. The first call after an exec is ld.so's own, and
            // all of its code lies within a quarter of a mebibyte.
            let is_near = space.loader.is_some_and(|loader| loader.abs_diff(address) < 0x40000);
            let is_musl = space.is_armed && !space.mapped.iter().any(|(.., file)| file.ends_with(GLIBC));
            return if is_near && !is_musl { Origin::Loader } else { Origin::Application };
        };
        if file.ends_with("/libglassbox.so") {
            return Origin::Sensor;
        }
        if file.ends_with(GLIBC) {
            let functions =
                self.nocancel.entry(file.clone()).or_insert_with(|| nocancel_functions(Path::new(file)));
            let offset = address - base;
            if functions.is_some_and(|(from, to)| (from..=to).contains(&offset)) {
                return Origin::Libc;
            }
        }
        Origin::Application
    }
}

/// The range of libc's functions whose names end in `_nocancel`: they lie beside each other, with hidden ones
/// between them.
fn nocancel_functions(libc: &Path) -> Option<(u64, u64)> {
    let output = Command::new("readelf").args(["--dyn-syms", "--wide"]).arg(libc).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    // Columns: Num: Value Size Type Bind Vis Ndx Name@Version
    let functions = text.lines().filter_map(|line| {
        let columns: Vec<&str> = line.split_ascii_whitespace().collect();
        let name = columns.get(7)?.split('@').next()?;
        if !name.ends_with("_nocancel") {
            return None;
        }
        let value = u64::from_str_radix(columns.get(1)?, 16).ok()?;
        Some((value, value + columns.get(2)?.parse::<u64>().ok()?))
    });
    functions.reduce(|(from, to), (start, end)| (from.min(start), to.max(end)))
}

/// The calls of one thread, 7.
#[cfg(test)]
pub fn traced(text: &str) -> Vec<Call> {
    Tracer::default().follow(text.lines().filter_map(|line| parse(7, line)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_taken_apart() {
        let line = parse(
            7,
            r#"12.5 [00007f579283d001] openat(AT_FDCWD</tmp>, "a \"b\", c\303\244", O_RDONLY|O_CLOEXEC) = 3</tmp/x>"#,
        );

        let line = line.unwrap();
        assert_eq!(
            (12.5, Some(0x7f57_9283_d001), Some(3), None),
            (line.time, line.address, line.ret, line.error.clone())
        );
        assert_eq!(Some("a \"b\", c\u{e4}".to_owned()), unquoted(&line.arguments[1]));
        assert_eq!(Some("/tmp"), annotated(&line.arguments[0]));
    }

    #[test]
    fn a_failed_call_keeps_its_error() {
        let line = parse(
            7,
            r#"1.0 [0000000000000001] openat(AT_FDCWD</>, "x", O_RDONLY) = -1 ENOENT (No such file)"#,
        )
        .unwrap();

        assert_eq!((Some(-1), Some("ENOENT".to_owned())), (line.ret, line.error));
    }

    #[test]
    fn environments_in_comments_are_no_arguments() {
        let line = parse(
            7,
            r#"1.0 [0000000000000001] execve("/bin/x", ["x", "a,b)"], 0x55b1 /* 35 vars, (all) */) = 0"#,
        )
        .unwrap();

        assert_eq!(3, line.arguments.len());
        assert_eq!(Some(0), line.ret);
    }

    #[test]
    fn peers_are_written_as_events_write_them() {
        assert_eq!(
            Some("127.0.0.1:80".to_owned()),
            peer(r#"{sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("127.0.0.1")}"#)
        );
        assert_eq!(
            Some("[::1]:8".to_owned()),
            peer(
                r#"{sa_family=AF_INET6, sin6_port=htons(8), sin6_flowinfo=htonl(0), inet_pton(AF_INET6, "::1", &sin6_addr), sin6_scope_id=0}"#
            )
        );
        assert_eq!(Some("/run/x".to_owned()), peer(r#"{sa_family=AF_UNIX, sun_path="/run/x"}"#));
        assert_eq!(Some("@x".to_owned()), peer(r#"{sa_family=AF_UNIX, sun_path=@"x"}"#));
    }

    #[test]
    fn dots_are_taken_out_of_paths() {
        assert_eq!("/a/c", absolute("/a/b", "../c/./"));
        assert_eq!("/c", absolute("/a", "/c"));
    }

    #[test]
    fn an_open_inside_the_loader_is_the_loaders() {
        let calls = traced(concat!(
            "1.0 [0000000000000001] execve(\"/bin/x\", [\"x\"], 0x1 /* 1 var */) = 0\n",
            "2.0 [00007f0000020000] mmap(NULL, 8192, PROT_READ, MAP_PRIVATE, -1, 0) = 0x7f0000050000\n",
            "3.0 [00007f0000021000] openat(AT_FDCWD</>, \"/lib/a\", O_RDONLY) = 3</lib/a>\n",
            "4.0 [0000555500021000] openat(AT_FDCWD</>, \"/b\", O_RDONLY) = 3</b>\n",
        ));

        let origins: Vec<(&str, Origin)> = calls.iter().map(|call| (call.kind.event, call.origin)).collect();
        assert_eq!(
            vec![
                (kinds::EXEC, Origin::Application),
                (kinds::IMAGE, Origin::Application),
                (kinds::OPEN, Origin::Loader),
                (kinds::OPEN, Origin::Application)
            ],
            origins
        );
    }

    #[test]
    fn a_look_through_path_is_one_request() {
        let calls = traced(concat!(
            "1.0 [0000000000000001] execve(\"/a/x\", [\"x\"], 0x1 /* 1 var */) = -1 ENOENT (No)\n",
            "2.0 [0000000000000001] execve(\"/b/x\", [\"x\"], 0x1 /* 1 var */) = 0\n",
        ));

        assert_eq!(2, calls.len());
        assert_eq!(("/b/x", None), (calls[0].target.as_str(), calls[0].error.as_deref()));
    }
}
