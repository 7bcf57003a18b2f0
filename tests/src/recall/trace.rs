//! Reads strace's record of a run: what each call was about, and who made it.
//!
//! strace prints the address of each call's instruction (`-i`) and the mapped files (`mmap` with `-y`). These
//! decide who made a call that the sensor did not report:
//!
//! - `loader`: the instruction lies in ld.so. The dynamic loader calls no other library, so no hook can see
//!   its search for libraries. musl is loader and libc in one file: there, a call is the loader's until the
//!   sensor's constructor has run. A static program has no loader.
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
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::process::Command;
use std::rc::Rc;

use super::fields::{self, Said};
use super::kinds::{self, Kind, Target};
use super::line::{self, Line, absolute, annotated, peer, unquoted, unquoted_list};
use crate::child;
use crate::events::Event;

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
    /// The parent process, where strace saw this one made.
    pub parent: Option<i64>,
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
    /// Whether the image has no glibc.
    pub is_of_musl: bool,
    /// The thread.
    pub tid: i64,
    /// The returned number, as the program has it; -1 if it failed.
    pub ret: Option<i64>,
    /// When it was made and returned, and the calls of its thread around it.
    pub times: Times,
    /// The fields of the event, by strace's word.
    pub said: Vec<Said>,
    /// The calls that failed before an exec, for other paths with the same last part.
    pub attempts: Vec<Call>,
}

impl Times {
    /// Whether a time lies between the return of the call and the thread's next one; or between the call
    /// before it and its begin, for an event that `is_first`, recorded before the call.
    pub fn hold(&self, at: i64, is_first: bool) -> bool {
        match is_first {
            true => at <= self.begin_ns && self.before_ns.is_none_or(|before| before <= at),
            false => at >= self.end_ns.unwrap_or(self.begin_ns) && self.next_ns.is_none_or(|next| at <= next),
        }
    }
}

impl Call {
    /// Whether a signal put it off: the kernel makes it anew, and it is told of once or twice.
    pub fn is_put_off(&self) -> bool {
        self.error.as_deref().is_some_and(|error| error.starts_with(line::PUT_OFF))
    }

    /// The field `path`; empty if there is none.
    pub fn path(&self) -> &str {
        let path = self.said.iter().find(|said| said.field == "path");
        path.map_or("", |said| said.value.as_str())
    }
}

/// The times of a call in nanoseconds since 1970, by strace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// The return of the thread's call before it.
    pub before_ns: Option<i64>,
    /// When strace saw it begin.
    pub begin_ns: i64,
    /// When strace saw it return.
    pub end_ns: Option<i64>,
    /// When strace saw the thread again: its next call, or its end.
    pub next_ns: Option<i64>,
}

/// The calls that the reader itself follows: address spaces, processes, directories.
const FOLLOWED: &[&str] =
    &["execve", "execveat", "mmap", "clone", "clone3", "fork", "vfork", "chdir", "fchdir"];

/// The `strace` command for a program; the program and its arguments follow. `variables` are those of the
/// program alone.
pub fn strace(output: &Path, variables: &[(&str, &Path)]) -> Command {
    let mut command = Command::new("strace");
    command.args([
        "-ff",
        "-ttt",
        "-T",
        "-i",
        "-yy",
        "--decode-pids=pidns",
        "-s",
        "65536",
        "-e",
        "signal=none",
    ]);
    // Argument vectors are printed whole.
    command.args(["-e", "abbrev=!execve,?execveat", "-e"]);
    // `?`: a machine may lack a call.
    let calls = kinds::kinds().flat_map(|kind| kind.calls).map(|traced| traced.name);
    let names = FOLLOWED.iter().copied().chain(calls);
    let names = names.flat_map(|name| [name.to_owned()].into_iter().chain(line::of_32_bits(name)));
    let names: Vec<String> = names.map(|name| format!("?{name}")).collect();
    command.arg(format!("trace={}", names.join(",")));
    for (name, value) in variables {
        command.arg("-E").arg(format!("{name}={}", value.display()));
    }
    command.arg("-o").arg(output).arg("--");
    command
}

/// A run as strace saw it.
#[derive(Debug, Default)]
pub struct Trace {
    /// The calls that rows of the table name, in order.
    pub calls: Vec<Call>,
    /// The processes.
    pub lives: BTreeMap<i64, Life>,
}

/// A process as strace saw it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Life {
    /// Its parent, where strace saw it made.
    pub parent: Option<i64>,
    /// Its number in its own pid namespace, where that is another one than strace's.
    pub inside: Option<i64>,
    /// Whether it is in a pid namespace below strace's.
    pub is_below: bool,
    /// Whether it is looked at.
    pub is_within: bool,
    /// When the last of its calls returned, nanoseconds since 1970.
    pub seen_ns: Option<i64>,
    /// When the last of its threads ended, nanoseconds since 1970.
    pub end_ns: Option<i64>,
    /// How its first thread ended: `exited with 0`, `killed by SIGTERM`.
    pub end: String,
}

impl Trace {
    /// The process of an event, as strace numbers it: the collector may know only the number in the process's
    /// own pid namespace.
    pub fn outside(&self, event: &Event) -> i64 {
        let (namespace, pid) = event.process();
        let is_it = |(_, life): &(&i64, &Life)| life.inside == Some(pid);
        let known = || self.lives.iter().rev().find(is_it).map(|(outside, _)| *outside);
        Some(pid).filter(|_| namespace == 0).or_else(known).unwrap_or(pid)
    }
}

/// Reads the files that `strace -ff -o output` wrote: of the process that executed a program with this
/// argument, and of its descendants.
pub fn read(output: &Path, argument: &str) -> Trace {
    let (Some(dir), Some(prefix)) = (output.parent(), output.file_name().and_then(|name| name.to_str()))
    else {
        return Trace::default();
    };
    let mut lines = Vec::new();
    for entry in fs::read_dir(dir).expect("strace's folder").flatten() {
        let name = entry.file_name();
        let tid =
            name.to_str().and_then(|name| name.strip_prefix(prefix)?.strip_prefix('.')?.parse::<i64>().ok());
        let Some(tid) = tid else { continue };
        let text = child::escaped(&fs::read(entry.path()).expect("strace's output"));
        lines.extend(text.lines().filter_map(|line| Line::parse(tid, line)));
    }
    // strace notes when a call began, so a child's first call comes after the call that made the child.
    lines.sort_by_key(|line| line.begin_ns);
    follow(lines, &child::escaped(argument.as_bytes()))
}

/// Reads lines of one process tree, in the order of their times, as [`read`] does.
pub(super) fn follow(lines: Vec<Line>, argument: &str) -> Trace {
    Tracer { root: Some(argument.to_owned()), ..Tracer::default() }.follow(lines)
}

/// Words of calls that libc makes for itself: to the name service's daemon, by musl's tmpfile(3), by glob(3)
/// for a pattern without a wildcard.
const OF_LIBC: [&str; 3] = ["/nscd/socket", "\"/tmp/tmpfile_", "no-wildcard\""];

/// The lowest address at which the kernel maps a loader. It maps programs at two thirds of the address space
/// at most, and the rest from its end on (`ELF_ET_DYN_BASE` of the kernel); a program whose loader maps
/// nothing makes the first mapping itself.
const LIBRARIES: u64 = if cfg!(target_arch = "aarch64") { 0xc000_0000_0000 } else { 0x6000_0000_0000 };

/// The end of the path of glibc's file. musl's is the loader's own file, which the kernel maps.
const GLIBC: &str = "/libc.so.6";

/// An address space: which file is mapped where, and where the loader was at its beginning.
#[derive(Clone, Default)]
struct Space {
    /// Start, end, base of the file's first mapping, file.
    mapped: Vec<(u64, u64, u64, String)>,
    loader: Option<u64>,
    /// Whether the program is linked statically: no loader is there.
    is_static: bool,
    /// Whether the sensor has made a call: its constructor has begun.
    is_armed: bool,
}

/// The latest line of a thread.
#[derive(Clone, Default)]
struct Latest {
    end_ns: Option<i64>,
    /// The calls that it made, in `calls`.
    calls: Range<usize>,
}

#[derive(Default)]
struct Tracer {
    /// An argument of the program that is looked at; `None` for every program.
    root: Option<String>,
    /// The processes that are looked at, where not all are.
    within: HashSet<i64>,
    /// When the first of them began.
    since_ns: Option<i64>,
    lives: BTreeMap<i64, Life>,
    latest: HashMap<i64, Latest>,
    /// The images that have not shown their directory yet, in `calls`.
    placeless: HashMap<i64, usize>,
    spaces: HashMap<i64, Rc<RefCell<Space>>>,
    group_of: HashMap<i64, i64>,
    /// The working directory as strace last printed it: not every call shows it.
    directory_of: HashMap<i64, String>,
    /// Processes whose next child is the first of a pid namespace.
    founders: HashSet<i64>,
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
    fn follow(mut self, lines: Vec<Line>) -> Trace {
        for line in lines {
            let known = self.calls.len();
            let space = Rc::clone(self.spaces.entry(line.tid).or_default());
            let (tid, begin_ns, end_ns) = (line.tid, line.begin_ns, line.end_ns);
            let before = self.latest.get(&tid).map(|latest| latest.calls.clone()).unwrap_or_default();
            for call in self.calls.get_mut(before).into_iter().flatten() {
                call.times.next_ns = Some(begin_ns);
            }
            self.take(line);
            self.latest.insert(tid, Latest { end_ns, calls: known..self.calls.len() });
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
        let all = self.root.is_none();
        for (pid, life) in &mut self.lives {
            life.is_within = all || self.within.contains(pid);
        }
        Trace { calls: self.calls, lives: self.lives }
    }

    /// Whether this process is looked at.
    fn is_wanted(&self, pid: i64) -> bool {
        self.root.is_none() || self.within.contains(&pid)
    }

    fn take(&mut self, line: Line) {
        let pid = *self.group_of.entry(line.tid).or_insert(line.tid);
        let space = Rc::clone(self.spaces.entry(line.tid).or_default());
        if let Some(directory) = line.directory() {
            self.directory_of.insert(pid, directory.to_owned());
            let image = self.placeless.remove(&pid).and_then(|at| self.calls.get_mut(at));
            if let Some(image) = image {
                image.said.push(Said { field: "cwd", value: directory.to_owned() });
            }
        }
        if let Some(end_ns) = line.end_ns {
            let life = self.lives.entry(pid).or_default();
            life.seen_ns = life.seen_ns.max(Some(end_ns));
        }
        match line.call.as_str() {
            line::END => {
                let life = self.lives.entry(pid).or_default();
                life.end_ns = life.end_ns.max(Some(line.begin_ns));
                if line.tid == pid {
                    life.end = line.argument(0).unwrap_or("").to_owned();
                }
            }
            "clone" | "clone3" | "fork" | "vfork" => {
                let Some(child) = line.ret.filter(|&child| child > 0) else { return };
                let is_thread = line.mentions("CLONE_THREAD");
                let inherited = if is_thread { space } else { Rc::new(RefCell::new(space.borrow().clone())) };
                self.spaces.insert(child, inherited);
                self.group_of.insert(child, if is_thread { pid } else { child });
                if !is_thread {
                    // runc makes siblings.
                    let parent = match line.mentions("CLONE_PARENT|") {
                        true => self.parent(pid),
                        false => Some(pid),
                    };
                    let is_first = line.mentions("CLONE_NEWPID") || self.founders.remove(&pid);
                    let inside = line.ret_inside.filter(|inside| Some(*inside) != line.ret);
                    let inside = if is_first { Some(1) } else { inside };
                    let is_below = inside.is_some() || self.lives.get(&pid).is_some_and(|life| life.is_below);
                    self.lives.insert(child, Life { parent, inside, is_below, ..Life::default() });
                    if self.within.contains(&pid) {
                        self.within.insert(child);
                    }
                    self.unexecuted.insert(child);
                    if line.mentions("CLONE_VM") && !line.mentions("CLONE_VFORK") {
                        self.guests.insert(child);
                    }
                    if let Some(directory) = self.directory_of.get(&pid).cloned() {
                        self.directory_of.insert(child, directory);
                    }
                }
            }
            "mmap" => {
                let mut space = space.borrow_mut();
                let by_loader = line.address.filter(|&address| !space.is_static && address >= LIBRARIES);
                space.loader = space.loader.or(by_loader);
                let (Some(from), Some(file)) = (line.ret_hex, line.argument(4).and_then(annotated)) else {
                    return;
                };
                let len: u64 = line.argument(1).and_then(|len| len.parse().ok()).unwrap_or(0);
                let known =
                    space.mapped.iter().rev().find(|(.., other)| other == file).map(|(_, _, base, _)| *base);
                let is_first = line.argument(5) == Some("0");
                let base = if is_first { from } else { known.unwrap_or(from) };
                space.mapped.push((from, from + len, base, file.to_owned()));
            }
            "unshare" if line.mentions("CLONE_NEWPID") && line.ret == Some(0) => {
                self.founders.insert(pid);
            }
            "chdir" | "fchdir" => {
                let Some(argument) = line.argument(0).filter(|_| line.ret == Some(0)) else { return };
                let to = annotated(argument).map(str::to_owned).or_else(|| unquoted(argument));
                if let Some(to) = to {
                    let directory = self.absolute(pid, None, &to);
                    self.directory_of.insert(pid, directory);
                }
            }
            "execve" | "execveat" => {
                let path_at = usize::from(line.call == "execveat");
                let Some(path) = line.argument(path_at).and_then(unquoted) else { return };
                if let Some(root) = &self.root
                    && line.ret == Some(0)
                    && self.within.is_empty()
                    && line
                        .argument(path_at + 1)
                        .and_then(unquoted_list)
                        .is_some_and(|list| list.contains(root))
                {
                    self.within.insert(pid);
                    self.since_ns = line.end_ns;
                }
                self.exec(&line, pid, &path);
                if line.ret == Some(0) {
                    let is_static = is_static(Path::new(&self.absolute(pid, None, &path)));
                    let space = Space { is_static, ..Space::default() };
                    // Whichever thread executes a program gets the process's number.
                    self.spaces.insert(pid, Rc::new(RefCell::new(space)));
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
        let mentions = |word: &str| line.mentions(word);
        // The sensor's first call is the connect to its collector.
        space.borrow_mut().is_armed |= kind.event == kinds::CONNECT && origin == Origin::Sensor;
        let origin = match origin {
            Origin::Libc if kind.event == kinds::OPEN && mentions("O_DIRECTORY") => Origin::Application,
            // The sensor's vfork makes the call itself, with the program's return address.
            Origin::Sensor if kind.event == kinds::FORK => Origin::Application,
            Origin::Application if OF_LIBC.iter().any(|word| mentions(word)) => Origin::Libc,
            origin => origin,
        };
        // Other threads of the process that executes the program make calls until it has done so.
        if !self.is_wanted(pid) || self.since_ns > Some(line.begin_ns) {
            return;
        }
        let is_look_up = ["UDP", "DGRAM", "NETLINK"].iter().any(|word| mentions(word));
        match (kind.event, line.ret, line.number(0)) {
            (kinds::OPEN, Some(fd), _) if fd >= 0 => {
                self.opened.insert((pid, format!("/proc/self/fd/{fd}")), parts.concat());
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
        self.push(line, pid, kind, parts, origin, is_look_up);
    }

    /// An identifying argument as the event has it; `None` if strace could not read it.
    fn target(&self, target: &Target, line: &Line, pid: i64) -> Option<String> {
        let argument = |at: usize| line.argument(at);
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
            Target::Word(at) => argument(at)?.to_owned(),
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
        let name = path.rsplit('/').next();
        let last = self.calls.iter().rposition(|call| call.pid == pid).filter(|&at| {
            let call = &self.calls[at];
            let is_failed_exec = call.kind.event == kinds::EXEC && call.error.is_some();
            is_failed_exec && call.target.rsplit('/').next() == name
        });
        self.program(line, pid, kinds::EXEC, path);
        // The places of calls stay as they are.
        if let Some(at) = last
            && let Some(mut call) = self.calls.pop()
        {
            std::mem::swap(&mut self.calls[at], &mut call);
            self.calls[at].attempts = std::mem::take(&mut call.attempts);
            self.calls[at].attempts.push(call);
        }
        if line.ret == Some(0) {
            if self.is_wanted(pid) {
                self.placeless.insert(pid, self.calls.len());
            }
            self.program(line, pid, kinds::IMAGE, path);
            self.unexecuted.remove(&pid);
        }
    }

    fn program(&mut self, line: &Line, pid: i64, event: &str, path: &str) {
        if let Some(kind) = kinds::of(event).filter(|_| self.is_wanted(pid)) {
            self.push(line, pid, kind, vec![path.to_owned()], Origin::Application, false);
        }
    }

    fn parent(&self, pid: i64) -> Option<i64> {
        self.lives.get(&pid)?.parent
    }

    fn absolute(&self, pid: i64, dir: Option<&str>, path: &str) -> String {
        if let Some(opened) = self.opened.get(&(pid, path.to_owned())) {
            return opened.clone();
        }
        let directory = dir.or(self.directory_of.get(&pid).map(String::as_str));
        absolute(directory.unwrap_or(""), path)
    }

    /// The fields that strace says, beyond those that identify the call.
    fn said(&self, line: &Line, pid: i64) -> Vec<Said> {
        fields::said(line, &|path| self.absolute(pid, None, path))
    }

    fn push(
        &mut self,
        line: &Line,
        pid: i64,
        kind: &'static Kind,
        parts: Vec<String>,
        origin: Origin,
        is_look_up: bool,
    ) {
        let mut said = self.said(line, pid);
        for (field, part) in kind.fields.iter().zip(&parts) {
            let value = if kind.calls.is_empty() { self.absolute(pid, None, part) } else { part.clone() };
            said.push(Said { field, value });
        }
        let latest = self.latest.get(&line.tid);
        let space = self.spaces.get(&line.tid).map(|space| space.borrow());
        let is_of_musl =
            space.is_some_and(|space| !space.mapped.iter().any(|(.., file)| file.ends_with(GLIBC)));
        self.calls.push(Call {
            kind,
            pid,
            parent: self.parent(pid),
            target: parts.join(" "),
            error: line.error.clone(),
            origin,
            is_look_up,
            is_guest: self.guests.contains(&pid),
            is_before_exec: self.unexecuted.contains(&pid),
            is_of_musl,
            tid: line.tid,
            ret: line.ret_inside,
            times: Times {
                before_ns: latest.and_then(|latest| latest.end_ns),
                begin_ns: line.begin_ns,
                end_ns: line.end_ns,
                next_ns: None,
            },
            said,
            attempts: Vec::new(),
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

/// Whether the file is a 64-bit ELF program without an interpreter (elf(5), `PT_INTERP`). A file that cannot
/// be read is taken for a dynamic one.
fn is_static(program: &Path) -> bool {
    const PT_INTERP: u64 = 3;
    let Ok(file) = fs::read(program) else { return false };
    let number = |at: usize, len: usize| {
        let bytes = at.checked_add(len).and_then(|end| file.get(at..end))?;
        Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    };
    let headers = || Some((number(32, 8)?, number(54, 2)?, number(56, 2)?));
    let is_elf = file.starts_with(b"\x7fELF\x02\x01");
    let Some((from, size, count)) = headers().filter(|_| is_elf) else { return false };
    !(0..count).any(|nth| number(from.saturating_add(nth * size) as usize, 4) == Some(PT_INTERP))
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
pub fn traced(text: &str) -> Trace {
    Tracer::default().follow(text.lines().filter_map(|line| Line::parse(7, line)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_inside_the_loader_is_the_loaders() {
        let Trace { calls, .. } = traced(concat!(
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
    fn a_static_program_has_no_loader() {
        // A 64-bit ELF header with one program header, PT_LOAD or PT_INTERP, behind it.
        let program = |kind: u8| {
            let mut bytes = vec![0; 120];
            bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
            (bytes[32], bytes[54], bytes[56], bytes[64]) = (64, 56, 1, kind);
            let file = tempfile::NamedTempFile::new().unwrap();
            fs::write(file.path(), bytes).unwrap();
            file
        };
        let origin = |file: &tempfile::NamedTempFile, from: u64| {
            let text = format!(
                concat!(
                    "1.0 [0000000000000001] execve(\"{}\", [\"x\"], 0x1 /* 1 var */) = 0\n",
                    "2.0 [{:016x}] mmap(NULL, 8192, PROT_READ, MAP_PRIVATE, -1, 0) = 0x7f0000050000\n",
                    "3.0 [{:016x}] openat(AT_FDCWD</>, \"/a\", O_RDONLY) = 3</a>\n",
                ),
                file.path().display(),
                from,
                from + 0x1000,
            );
            traced(&text).calls.last().map(|call| call.origin)
        };

        assert_eq!(Some(Origin::Application), origin(&program(1), LIBRARIES + 0x450000));
        assert_eq!(Some(Origin::Loader), origin(&program(3), LIBRARIES + 0x450000));
        // A program of Go's with a loader that has nothing to do.
        assert_eq!(Some(Origin::Application), origin(&program(3), 0x5555_5545_0000));
    }

    #[test]
    fn an_exec_by_another_thread_starts_the_process_anew() {
        let lines = [
            (7, r#"1.0 [0000000000000001] clone(child_stack=0x1, flags=CLONE_VM|CLONE_THREAD) = 8 <0.1>"#),
            (8, r#"2.0 [0000000000000001] execve("/bin/x", ["x"], 0x1 /* 1 var */ <pid changed to 7 ...>"#),
            (7, r#"3.0 [0000000000000001] unlink("/a") = 0 <0.1>"#),
        ];

        let lines = lines.into_iter().filter_map(|(tid, line)| Line::parse(tid, line)).collect();
        let Trace { calls, .. } = Tracer::default().follow(lines);

        let made: Vec<(&str, i64)> = calls.iter().map(|call| (call.kind.event, call.pid)).collect();
        assert_eq!(vec![(kinds::EXEC, 7), (kinds::IMAGE, 7), ("file.unlink", 7)], made);
    }

    #[test]
    fn calls_of_i386_have_the_names_of_64_bits() {
        let Trace { calls, .. } = traced(concat!(
            "1.0 [00401628] setuid32(0) = 0 <0.000044>\n",
            "2.0 [00401646] chown32(\"/a\", 0, 0) = 0 <0.000051>\n",
        ));

        let made: Vec<&str> = calls.iter().map(|call| call.kind.event).collect();
        assert_eq!(vec!["process.credentials", "file.chown"], made);
        assert!(line::of_32_bits("setuid").any(|name| name == "setuid32"));
        assert_eq!(0, line::of_32_bits("prlimit64").count());
    }

    #[test]
    fn a_look_through_path_is_one_request() {
        let Trace { calls, .. } = traced(concat!(
            "1.0 [0000000000000001] execve(\"/a/x\", [\"x\"], 0x1 /* 1 var */) = -1 ENOENT (No)\n",
            "2.0 [0000000000000001] execve(\"/b/x\", [\"x\"], 0x1 /* 1 var */) = 0\n",
        ));

        assert_eq!(2, calls.len());
        assert_eq!(("/b/x", None), (calls[0].target.as_str(), calls[0].error.as_deref()));
    }
}
