//! Compares the reported calls with those that eBPF sees: bpftrace and `glassbox run --notify security` watch
//! the same run of a program, at the same time.
//!
//! bpftrace follows the process tree from its first process on, and prints what it reads at the end of each
//! call: the registers, the strings that they point to, and the address of the instruction. [`Reader`] writes
//! that as the lines of strace that [`trace`] reads, so that the calls are sorted out, and matched with
//! events, as in the comparison with strace: which of them the loader, libc and the sensor make for
//! themselves, is told by the address.
//!
//! What bpftrace loses, it counts; these calls are on no side.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::line::Line;
use super::programs::Program;
use super::trace::{self, Call, Trace};
use super::{Recalls, kept, kinds, recall};
use crate::artefacts::glassbox;
use crate::child::{self, Running, Status};
use crate::events::{Event, Events, Expect};
use crate::scene::Scene;
use crate::unseen::{self, Level};

/// How the calls of a run were seen.
#[derive(Clone, Debug, Default)]
pub struct Sides {
    /// Calls that both saw.
    pub both: usize,
    /// Events without a call that eBPF saw.
    pub ours: Vec<String>,
    /// Calls that eBPF saw, and that have no event.
    pub theirs: Vec<String>,
    /// Calls of the loader, of libc for itself, and of the sensor, which no event is promised for.
    pub aside: usize,
    /// Events of bpftrace that it could not deliver, and paths that it could not read.
    pub lost: usize,
}

impl Sides {
    /// The calls that eBPF alone saw, in percent of all that either saw.
    pub fn percent(&self) -> f64 {
        let all = self.both + self.ours.len() + self.theirs.len();
        if all == 0 { 0.0 } else { 100.0 * self.theirs.len() as f64 / all as f64 }
    }

    /// Adds another run's.
    pub fn add(&mut self, other: &Sides) {
        self.both += other.both;
        self.ours.extend_from_slice(&other.ours);
        self.theirs.extend_from_slice(&other.theirs);
        self.aside += other.aside;
        self.lost += other.lost;
    }
}

/// The programs that hooks can't see and that are compared; `int80`'s calls have other numbers, which the
/// tracer does not know.
pub fn unseen_programs() -> impl Iterator<Item = &'static unseen::Program> {
    let rest = unseen::PROGRAMS.iter().filter(|program| !["dynamic", "int80"].contains(&program.name));
    rest.chain([&unseen::INSTALLED])
}

/// Why eBPF cannot be had here, and what to do.
pub fn missing() -> Option<String> {
    let probe = Command::new("bpftrace").args(["-e", "BEGIN { exit(); }"]).stdin(Stdio::null()).output();
    match probe {
        Err(_) => Some("bpftrace is not there; `cargo xtask test packages` installs it".to_owned()),
        Ok(done) if !done.status.success() => {
            let said = String::from_utf8_lossy(&done.stderr).into_owned();
            let why = said.lines().next_back().unwrap_or("it gives no reason");
            Some(format!("bpftrace may not trace here ({why}); run as root, with CAP_BPF and CAP_PERFMON"))
        }
        Ok(_) if !Path::new("/sys/kernel/tracing/events/raw_syscalls").is_dir() => Some(
            "no /sys/kernel/tracing/events/raw_syscalls; mount -t tracefs tracefs /sys/kernel/tracing"
                .to_owned(),
        ),
        Ok(_) => None,
    }
}

/// Compares one of the programs that recall is measured with.
///
/// # Errors
/// The output of a program that did not succeed, or why there was no tracer.
pub fn of_program(program: &Program) -> Result<Sides, String> {
    let run = Run::of(program.name, 0, |scene, port| {
        let (words, mut environment) = program.called(port);
        environment.extend(scene.environment());
        (words, environment)
    })?;
    let (recalls, pairs) = recall(&run.trace, &run.events);
    let is_matched = |event: &Event| {
        pairs.iter().any(|pair| {
            std::ptr::eq(pair.event, event)
                || pair.failure.is_some_and(|failure| std::ptr::eq(failure, event))
        })
    };
    let ours = run.events.iter().filter(|event| {
        let pid = run.trace.outside(event);
        kinds::of(event.name()).is_some_and(|kind| NAMES.iter().any(|call| makes(kind, call.name)))
            && run.trace.lives.get(&pid).is_some_and(|life| life.is_within)
            && !is_matched(event)
    });
    let ours = ours.map(|event| format!("pid {} {} {}", event.pid(), event.name(), event.path())).collect();
    run.finish(Sides { ours, ..sides_of(&recalls) })
}

/// Compares one of the programs that hooks can't see.
///
/// # Errors
/// As [`of_program`].
pub fn of_unseen(program: &unseen::Program) -> Result<Sides, String> {
    let run = Run::of(program.name, 1, |scene, port| {
        // A shell executes the program: its start and its exec are calls that both can see.
        let words = program.words(&scene.work(), port);
        let script = ["-c", r#"exec "$@""#, "sh"].map(OsString::from);
        let shell = [OsString::from("/bin/sh")].into_iter().chain(script);
        (shell.chain(words).collect(), Vec::new())
    })?;
    let mut run = run;
    let aside = take_of_libc(&mut run.trace);
    let compared = unseen::compared(&run.trace, &run.events, Level::Security);
    let (both, ours, theirs) = (compared.seen, compared.extra, compared.missed);
    run.finish(Sides { both, ours, theirs, aside, ..Sides::default() })
}

/// Takes out how glibc has each thread of a process change its identity (nptl(7)): it sends each of the
/// others a signal that no program can send, and each makes the call. Hooks tell of the function, once. How
/// many calls these were.
pub(crate) fn take_of_libc(trace: &mut Trace) -> usize {
    const OF_LIBC: &str = "33";
    let asks = |call: &Call| {
        let signal = call.said.iter().find(|said| said.field == "signal");
        !call.is_of_musl
            && call.kind.event == kinds::SIGNAL
            && signal.is_some_and(|signal| signal.value == OF_LIBC)
    };
    let askers: Vec<(i64, i64)> =
        trace.calls.iter().filter(|call| asks(call)).map(|call| (call.pid, call.tid)).collect();
    let is_asked = |call: &Call| {
        let of_process = askers.iter().filter(|(pid, _)| *pid == call.pid);
        let mut others = of_process.map(|(_, tid)| *tid != call.tid);
        call.kind.event == "process.credentials"
            && others.next().is_some_and(|first| first && others.all(|it| it))
    };
    let before = trace.calls.len();
    let kept = std::mem::take(&mut trace.calls);
    trace.calls = kept.into_iter().filter(|call| !asks(call) && !is_asked(call)).collect();
    before - trace.calls.len()
}

fn makes(kind: &kinds::Kind, call: &str) -> bool {
    kind.calls.iter().any(|traced| traced.name == call)
}

fn sides_of(recalls: &Recalls) -> Sides {
    let mut sides = Sides::default();
    for (event, recall) in recalls {
        sides.both += recall.seen;
        sides.theirs.extend(recall.missed.iter().map(|call| format!("{event} {call}")));
        sides.aside += recall.set_aside.values().map(Vec::len).sum::<usize>();
    }
    sides
}

/// A run that both watched.
struct Run {
    trace: Trace,
    events: Events,
    lost: usize,
    kept: std::path::PathBuf,
}

impl Run {
    /// Runs what `called` gives for a scene and the port of a server, under both. The program is the one that
    /// is executed after so many others.
    fn of(
        name: &str,
        skipped: usize,
        called: impl FnOnce(&Scene, u16) -> (Vec<OsString>, Vec<(&'static str, OsString)>),
    ) -> Result<Run, String> {
        // The scene is made for its directory and environment; the victim is not run.
        let scene = Scene::of("steady", &["0"]);
        scene.clean();
        let server = crate::server::Server::start();
        let kept = kept(&format!("{name}-ebpf"));
        let (output, gate) = (kept.join("events.jsonl"), scene.beside("gate"));
        let (words, environment) = called(&scene, server.port());
        let made = Command::new("mkfifo").arg(&gate).status();
        assert!(made.is_ok_and(|status| status.success()), "mkfifo {}", gate.display());

        // The first process of the tree waits until bpftrace follows it.
        let mut command = scene.command("sh");
        command.args(["-c", r#"read go < "$0"; exec "$@""#]).arg(&gate).arg(glassbox());
        command.args(["run", "--no-redact", "--notify", "security", "--require-notify", "-o"]);
        command.arg(format!("jsonl:{}", output.display())).arg("--").args(words).envs(environment);
        let running = child::start(command, b"");
        let tracer = Tracer::start(running.pid(), &kept)?;
        fs::write(&gate, "go\n").expect("our own pipe");
        let ending = running.finish();
        let (text, lost) = tracer.stop();

        if ending.status != Status::Exited(0) {
            return Err(format!("{name}: {:?}\n{}{}", ending.status, ending.stdout, ending.stderr));
        }
        let (lines, unread) = Reader::of(&scene.work().to_string_lossy(), skipped).read(&text)?;
        let trace = trace::follow(lines, ROOT);
        let events = Events::checked(&output, Expect::NothingLost)?;
        Ok(Run { trace, events, lost: lost + unread, kept })
    }

    fn finish(self, sides: Sides) -> Result<Sides, String> {
        let sides = Sides { lost: self.lost, ..sides };
        let mut text = String::new();
        for (whose, calls) in [("by us alone", &sides.ours), ("by eBPF alone", &sides.theirs)] {
            calls.iter().for_each(|call| text.push_str(&format!("{whose}: {call}\n")));
        }
        fs::write(self.kept.join("report.txt"), text).expect("target/recall can be written");
        Ok(sides)
    }
}

/// A running bpftrace.
struct Tracer {
    running: Running,
    output: std::path::PathBuf,
    errors: std::path::PathBuf,
}

impl Tracer {
    /// Starts it on the tree of a process, and waits until it follows that.
    fn start(pid: i32, kept: &Path) -> Result<Tracer, String> {
        let (output, errors) = (kept.join("bpftrace"), kept.join("bpftrace.errors"));
        let script = kept.join("calls.bt");
        fs::write(&script, self::script(pid)).expect("target/recall can be written");
        let mut command = Command::new("sh");
        command.args(["-c", r#"exec bpftrace -B line "$1" > "$2" 2> "$3""#, "sh"]);
        command.args([&script, &output, &errors]);
        // The longest strings that it takes, and 16 MB for each processor.
        command.env("BPFTRACE_STRLEN", "200").env("BPFTRACE_PERF_RB_PAGES", "4096");
        command.env("BPFTRACE_MAP_KEYS_MAX", "65536");
        let mut tracer = Tracer { running: child::start(command, b""), output, errors };
        for _ in 0..600 {
            if fs::read(&tracer.output).is_ok_and(|text| text.windows(5).any(|word| word == b"ready")) {
                return Ok(tracer);
            }
            if !tracer.running.is_alive() {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let said = fs::read_to_string(&tracer.errors).unwrap_or_default();
        Err(format!("bpftrace does not trace: {}", said.lines().next_back().unwrap_or("it gives no reason")))
    }

    /// Ends it; gives what it printed, and how many events it lost.
    fn stop(mut self) -> (String, usize) {
        // What is in its buffers.
        std::thread::sleep(Duration::from_millis(500));
        // A signal that comes just before it waits for events is not seen.
        for _ in 0..100 {
            self.running.signal(libc::SIGINT);
            std::thread::sleep(Duration::from_millis(100));
            if !self.running.is_alive() {
                break;
            }
        }
        let text = fs::read(&self.output).map(|bytes| child::escaped(&bytes)).unwrap_or_default();
        let errors = fs::read_to_string(&self.errors).unwrap_or_default();
        let lost = text
            .lines()
            .chain(errors.lines())
            .filter_map(|line| line.strip_prefix("Lost ")?.split(' ').next()?.parse::<usize>().ok());
        (text.clone(), lost.sum())
    }
}

/// A call that is traced: its number on x86_64, and what its arguments are, a letter each. `d` is a
/// descriptor that a path is relative to, `f` another one, `p` a path, `o` flags of open, `u` flags of
/// unlinkat, `n` a number, `s` a socket address, `D` and `T` family and type of a socket, `x` anything else.
struct Name {
    number: i64,
    name: &'static str,
    arguments: &'static str,
}

const fn call(number: i64, name: &'static str, arguments: &'static str) -> Name {
    Name { number, name, arguments }
}

const CLOSE: i64 = 3;
const MMAP: i64 = 9;
const FCNTL: i64 = 72;
const EXECVE: i64 = 59;
const CHDIR: i64 = 80;
const FCHDIR: i64 = 81;
const DUPLICATES: [i64; 4] = [32, 33, 292, FCNTL];

const NAMES: &[Name] = &[
    call(2, "open", "pox"),
    call(257, "openat", "dpox"),
    call(85, "creat", "px"),
    call(CLOSE, "close", "n"),
    call(FCNTL, "fcntl", "nnn"),
    call(MMAP, "mmap", "xnxxf"),
    call(32, "dup", "n"),
    call(33, "dup2", "nn"),
    call(292, "dup3", "nnx"),
    call(41, "socket", "DTn"),
    call(42, "connect", "fsn"),
    call(43, "accept", "fxx"),
    call(288, "accept4", "fxxx"),
    call(49, "bind", "fsn"),
    call(50, "listen", "fn"),
    call(EXECVE, "execve", "pxx"),
    call(62, "kill", "nn"),
    call(200, "tkill", "nn"),
    call(234, "tgkill", "nnn"),
    call(76, "truncate", "pn"),
    call(77, "ftruncate", "fn"),
    call(CHDIR, "chdir", "p"),
    call(FCHDIR, "fchdir", "f"),
    call(82, "rename", "pp"),
    call(264, "renameat", "dpdp"),
    call(316, "renameat2", "dpdpx"),
    call(83, "mkdir", "px"),
    call(258, "mkdirat", "dpx"),
    call(84, "rmdir", "p"),
    call(87, "unlink", "p"),
    call(263, "unlinkat", "dpu"),
    call(86, "link", "pp"),
    call(265, "linkat", "dpdpx"),
    call(88, "symlink", "pp"),
    call(266, "symlinkat", "pdp"),
    call(90, "chmod", "px"),
    call(91, "fchmod", "fx"),
    call(268, "fchmodat", "dpx"),
    call(452, "fchmodat2", "dpxx"),
    call(92, "chown", "pnn"),
    call(93, "fchown", "fnn"),
    call(94, "lchown", "pnn"),
    call(260, "fchownat", "dpnnx"),
    call(133, "mknod", "pxx"),
    call(259, "mknodat", "dpxx"),
    call(188, "setxattr", "pxxnx"),
    call(189, "lsetxattr", "pxxnx"),
    call(190, "fsetxattr", "fxxnx"),
    call(197, "removexattr", "px"),
    call(198, "lremovexattr", "px"),
    call(199, "fremovexattr", "fx"),
    call(105, "setuid", "n"),
    call(106, "setgid", "n"),
    call(113, "setreuid", "nn"),
    call(114, "setregid", "nn"),
    call(116, "setgroups", "nx"),
    call(117, "setresuid", "nnn"),
    call(119, "setresgid", "nnn"),
    call(122, "setfsuid", "n"),
    call(123, "setfsgid", "n"),
    call(126, "capset", "xx"),
    call(308, "setns", "fx"),
    call(272, "unshare", "x"),
    call(161, "chroot", "p"),
    call(165, "mount", "xxxxx"),
    call(166, "umount2", "xx"),
    call(155, "pivot_root", "pp"),
];

/// The numbers of the calls that make and end processes.
const CLONE: u32 = 56;
const FORK: u32 = 57;
const VFORK: u32 = 58;
const CLONE3: u32 = 435;

/// The program for bpftrace. Registers are read where the kernel keeps them on x86_64: at the top of the
/// thread's stack of 16 KiB (`task_pt_regs` of arch/x86/include/asm/processor.h). Each string is a part of
/// its own: a part has room for one.
fn script(pid: i32) -> String {
    let registers = "$t = (struct task_struct *)curtask; \
                     $r = (struct pt_regs *)((uint64)$t->stack + 16384 - 168);";
    let vfork = libc::CLONE_VM | libc::CLONE_VFORK;
    let mut text = format!("BEGIN {{ @in[{pid}] = 1; @flags[0] = (uint64)0;");
    for name in NAMES {
        // Bit 0: the call is traced. Then a bit for each argument: that it is a path; then: an address.
        let bits = |letter: u8, first: usize| -> u32 {
            let at = name.arguments.bytes().enumerate().filter(|(_, byte)| *byte == letter);
            at.map(|(at, _)| 1 << (first + at)).sum()
        };
        let _ = write!(text, " @is[{}] = {};", name.number, 1 | bits(b'p', 1) | bits(b's', 8));
    }
    let _ = write!(
        text,
        " printf(\"ready\\n\"); }}\n\
         tracepoint:raw_syscalls:sys_enter /@in[tid]/ {{\n\
           if (args->id == {CLONE}) {{ @flags[tid] = (uint64)args->args[0]; }}\n\
           if (args->id == {CLONE3}) {{ @flags[tid] = *(uint64 *)uptr(args->args[0]); }}\n\
           if (args->id == {FORK}) {{ @flags[tid] = (uint64)0; }}\n\
           if (args->id == {VFORK}) {{ @flags[tid] = (uint64){vfork}; }}\n}}\n\
         tracepoint:sched:sched_process_fork /@in[args->parent_pid]/ {{ {registers}\n\
           @in[args->child_pid] = 1;\n\
           printf(\"F %llu %d %d %llx %d %llu\\n\", nsecs, pid, tid, $r->ip, args->child_pid, @flags[tid]);\n}}\n\
         tracepoint:sched:sched_process_exec /@in[tid] || @in[args->old_pid]/ {{\n\
           @in[tid] = 1; printf(\"E %llu %d %d %s\\n\", nsecs, pid, tid, str(args->filename));\n}}\n\
         tracepoint:sched:sched_process_exit /@in[tid]/ {{\n\
           printf(\"X %llu %d %d\\n\", nsecs, pid, tid); delete(@in[tid]); delete(@flags[tid]);\n}}\n"
    );
    // A program that was executed has other registers.
    let mut part = |bit: u32, action: &str| {
        let _ = writeln!(
            text,
            "tracepoint:raw_syscalls:sys_exit /@in[tid] && (@is[args->id] & {bit}) && \
             (args->id != {EXECVE} || args->ret != 0)/ {{ {registers} {action} }}"
        );
    };
    part(
        1,
        "printf(\"C %llu %d %d %lld %lld %llx %lld %llx %llx %llx %llx %llx\\n\", nsecs, pid, tid, args->id, \
         $r->orig_ax, $r->ip, args->ret, $r->di, $r->si, $r->dx, $r->r10, $r->r8);",
    );
    for (at, register) in ["di", "si", "dx", "r10"].iter().enumerate() {
        part(2 << at, &format!("printf(\"P %d {at} %s\\n\", tid, str(uptr($r->{register})));"));
    }
    // All addresses are second arguments.
    let number = |offset: u32, bits: u32| format!("*(uint{bits} *)uptr($r->si + {offset})");
    let [family, port, v4, low, high] =
        [(0, 16), (2, 16), (4, 32), (8, 64), (16, 64)].map(|(at, bits)| number(at, bits));
    part(
        2 << 8,
        &format!("printf(\"S %d %d %d %llx %llx %llx\\n\", tid, {family}, {port}, {v4}, {low}, {high});"),
    );
    part(2 << 8, &format!("if ({family} == 1) {{ printf(\"U %d %s\\n\", tid, str(uptr($r->si + 2))); }}"));
    part(2 << 8, &format!("if ({family} == 1) {{ printf(\"A %d %s\\n\", tid, str(uptr($r->si + 3))); }}"));
    text
}

/// The argument that marks the program that is looked at.
const ROOT: &str = "the program that is looked at";

/// One record, with the strings that follow it.
#[derive(Debug, Default)]
struct Record {
    kind: char,
    at_ns: u64,
    pid: i64,
    tid: i64,
    rest: Vec<String>,
    strings: HashMap<usize, String>,
    address: String,
}

/// Writes the records of bpftrace as lines of strace.
struct Reader {
    work: String,
    /// From the clock of the records to the time of day.
    offset_ns: u128,
    /// Programs that are executed before the one that is looked at; `None` behind it.
    skipped: Option<usize>,
    directories: HashMap<i64, String>,
    descriptors: HashMap<(i64, i64), String>,
    unread: usize,
}

impl Reader {
    fn of(work: &str, skipped: usize) -> Reader {
        let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `now` is a local of the right type.
        unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
        let since_boot = u128::from(now.tv_sec.unsigned_abs()) * 1_000_000_000 + now.tv_nsec as u128;
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        Reader {
            work: work.to_owned(),
            offset_ns: since_1970 - since_boot,
            skipped: Some(skipped),
            directories: HashMap::new(),
            descriptors: HashMap::new(),
            unread: 0,
        }
    }

    /// The lines in the order of their times, and how many calls could not be read.
    fn read(mut self, text: &str) -> Result<(Vec<Line>, usize), String> {
        let mut records: Vec<Record> = Vec::new();
        let mut last_of: HashMap<i64, usize> = HashMap::new();
        for line in text.lines() {
            let words: Vec<&str> = line.splitn(4, ' ').collect();
            let number = |at: usize| words.get(at).and_then(|word| word.parse::<i64>().ok());
            let kind = words.first().and_then(|word| word.chars().next()).unwrap_or(' ');
            let behind = |count: usize| line.splitn(count + 1, ' ').nth(count).unwrap_or_default();
            match (kind, number(1), number(2)) {
                ('C' | 'F' | 'E' | 'X', Some(at_ns), Some(pid)) => {
                    let rest = behind(3);
                    let (tid, rest) = rest.split_once(' ').unwrap_or((rest, ""));
                    let rest = match kind {
                        'E' => vec![rest.to_owned()],
                        _ => rest.split(' ').map(str::to_owned).collect(),
                    };
                    let (at_ns, tid) = (at_ns.unsigned_abs(), tid.parse().unwrap_or(pid));
                    last_of.insert(tid, records.len());
                    records.push(Record { kind, at_ns, pid, tid, rest, ..Record::default() });
                }
                ('P', Some(tid), Some(at)) => {
                    let record = last_of.get(&tid).and_then(|at| records.get_mut(*at));
                    if let Some(record) = record {
                        record.strings.insert(at as usize, behind(3).to_owned());
                    }
                }
                ('S' | 'U' | 'A', Some(tid), _) => {
                    if let Some(record) = last_of.get(&tid).and_then(|at| records.get_mut(*at)) {
                        record.address = address(kind, behind(2), &record.address);
                    }
                }
                _ => {}
            }
        }
        records.sort_by_key(|record| record.at_ns);
        let mut lines = Vec::new();
        for record in &records {
            let is_readable = record.kind != 'C' || record.rest.first() == record.rest.get(1);
            if !is_readable {
                return Err(
                    "bpftrace reads other registers than the call's: this kernel keeps them elsewhere"
                        .to_owned(),
                );
            }
            let had_root = self.skipped.is_none();
            let Some(text) = self.line(record) else { continue };
            let at_ns = self.offset_ns + u128::from(record.at_ns);
            let (seconds, rest) = (at_ns / 1_000_000_000, at_ns % 1_000_000_000);
            lines.extend(Line::parse(record.tid, &format!("{seconds}.{rest:09} {text}")));
            if !had_root && self.skipped.is_none() {
                let text = format!("[0000000000000000] chdir({}) = 0 <0.000000>", quoted(&self.work));
                lines.extend(Line::parse(record.tid, &format!("{seconds}.{rest:09} {text}")));
            }
        }
        Ok((lines, self.unread))
    }

    fn line(&mut self, record: &Record) -> Option<String> {
        let word = |at: usize| record.rest.get(at).map_or("", String::as_str);
        let hex = |at: usize| u64::from_str_radix(word(at), 16).unwrap_or(0);
        match record.kind {
            'X' => Some("[0000000000000000] +++ exited +++".to_owned()),
            'E' => {
                let path = word(0);
                // The launcher, and its collector.
                let is_own = path == "/proc/self/exe" || path.ends_with("/glassbox");
                let is_root = !is_own && self.skipped == Some(0);
                if !is_own {
                    self.skipped = self.skipped.and_then(|left| left.checked_sub(1));
                }
                let root = if is_root { format!(", {}", quoted(ROOT)) } else { String::new() };
                Some(format!("[0000000000000000] execve({0}, [{0}{root}], 0x0) = 0 <0.000000>", quoted(path)))
            }
            'F' => {
                let flags: u64 = word(2).parse().unwrap_or(0);
                let child: i64 = word(1).parse().ok()?;
                let has = |flag: i32| flags & flag as u64 != 0;
                if !has(libc::CLONE_THREAD) {
                    if let Some(directory) = self.directories.get(&record.pid).cloned() {
                        self.directories.insert(child, directory);
                    }
                    let parents = self.descriptors.iter().filter(|((pid, _), _)| *pid == record.pid);
                    let inherited: Vec<(i64, String)> =
                        parents.map(|((_, fd), path)| (*fd, path.clone())).collect();
                    self.descriptors.extend(inherited.into_iter().map(|(fd, path)| ((child, fd), path)));
                }
                let names = [
                    (libc::CLONE_VM, "CLONE_VM"),
                    (libc::CLONE_VFORK, "CLONE_VFORK"),
                    (libc::CLONE_THREAD, "CLONE_THREAD"),
                    (libc::CLONE_NEWPID, "CLONE_NEWPID"),
                ];
                let names: Vec<&str> =
                    names.into_iter().filter(|(flag, _)| has(*flag)).map(|(_, name)| name).collect();
                let flags = if names.is_empty() { "SIGCHLD".to_owned() } else { names.join("|") };
                Some(format!("[{:016x}] clone(child_stack=NULL, flags={flags}) = {child} <0.000000>", hex(0)))
            }
            _ => self.call(record),
        }
    }

    fn call(&mut self, record: &Record) -> Option<String> {
        let word = |at: usize| record.rest.get(at).map_or("", String::as_str);
        let number: i64 = word(0).parse().ok()?;
        let name = NAMES.iter().find(|name| name.number == number)?;
        let result: i64 = word(3).parse().ok()?;
        let arguments: Vec<u64> = (4..9).map(|at| u64::from_str_radix(word(at), 16).unwrap_or(0)).collect();
        let value = |at: usize| arguments.get(at).copied().unwrap_or(0);
        let fd = |at: usize| i64::from(value(at) as i32);
        let mut shown = Vec::new();
        for (at, letter) in name.arguments.char_indices() {
            shown.push(match letter {
                'd' if fd(at) == i64::from(libc::AT_FDCWD) => {
                    let directory = self.directories.get(&record.pid).unwrap_or(&self.work);
                    format!("AT_FDCWD<{directory}>")
                }
                'd' | 'f' => match self.descriptors.get(&(record.pid, fd(at))) {
                    Some(path) => format!("{}<{path}>", fd(at)),
                    None => fd(at).to_string(),
                },
                'p' => {
                    let path = record.strings.get(&at).map_or("", String::as_str);
                    // An empty path is never found: bpftrace could not read this one.
                    if path.is_empty() && result != -i64::from(libc::ENOENT) {
                        self.unread += usize::from(number != EXECVE);
                        return None;
                    }
                    quoted(path)
                }
                'o' => open_flags(value(at)),
                'u' if value(at) & libc::AT_REMOVEDIR as u64 != 0 => "AT_REMOVEDIR".to_owned(),
                'n' => (value(at) as i32).to_string(),
                's' => record.address.clone(),
                'D' => format!("{} ", family(value(at) as i64)),
                'T' => socket_type(value(at)).to_owned(),
                _ => format!("{:#x}", value(at)),
            });
        }
        if number == EXECVE {
            let path = shown.first().cloned().unwrap_or_default();
            shown = vec![path.clone(), format!("[{path}]"), "0x0".to_owned()];
        }
        let mut returned = match result {
            ..0 => format!("-1 {}", errno(-result)),
            _ if number == MMAP => format!("{result:#x}"),
            _ => result.to_string(),
        };
        if number == MMAP {
            // The sixth argument is in no register that is read; a file's first part begins at its
            // beginning.
            let is_file = self.descriptors.contains_key(&(record.pid, fd(4)));
            let is_anonymous = value(3) & libc::MAP_ANONYMOUS as u64 != 0;
            if result < 0 && result > -4096 {
                return None;
            }
            if is_anonymous || !is_file {
                shown = vec!["NULL".to_owned(), value(1).to_string()];
            } else {
                let is_first = value(0) == 0;
                shown.push(if is_first { "0" } else { "0x1000" }.to_owned());
            }
            returned = format!("{:#x}", result as u64);
        }
        if result >= 0 {
            self.note(record.pid, name, result, &arguments, &shown);
        }
        Some(format!("[{:0>16}] {}({}) = {returned} <0.000000>", word(2), name.name, shown.join(", ")))
    }

    /// Keeps the picture of descriptors and directories.
    fn note(&mut self, pid: i64, name: &Name, result: i64, arguments: &[u64], shown: &[String]) {
        let fd = |at: usize| arguments.get(at).map_or(-1, |value| i64::from(*value as i32));
        let path = |at: usize| shown.get(at).and_then(|text| super::line::unquoted(text)).unwrap_or_default();
        match name.name {
            "open" | "creat" | "openat" => {
                let at = usize::from(name.name == "openat");
                let dir = shown.first().filter(|_| at == 1).and_then(|dir| super::line::annotated(dir));
                let dir = dir.map(str::to_owned).or_else(|| self.directories.get(&pid).cloned());
                let dir = dir.unwrap_or_else(|| self.work.clone());
                self.descriptors.insert((pid, result), super::line::absolute(&dir, &path(at)));
            }
            "socket" => {
                let what = shown[..2.min(shown.len())].concat();
                self.descriptors.insert((pid, result), format!("{what}:[0]"));
            }
            "accept" | "accept4" => drop(self.descriptors.insert((pid, result), "socket:[0]".to_owned())),
            "chdir" => {
                let from = self.directories.get(&pid).unwrap_or(&self.work).clone();
                self.directories.insert(pid, super::line::absolute(&from, &path(0)));
            }
            "fchdir" => {
                if let Some(to) = self.descriptors.get(&(pid, fd(0))).cloned() {
                    self.directories.insert(pid, to);
                }
            }
            "close" => drop(self.descriptors.remove(&(pid, fd(0)))),
            "fcntl" if ![libc::F_DUPFD, libc::F_DUPFD_CLOEXEC].map(i64::from).contains(&fd(1)) => {}
            _ if DUPLICATES.contains(&name.number) => match self.descriptors.get(&(pid, fd(0))).cloned() {
                Some(what) => drop(self.descriptors.insert((pid, result), what)),
                None => drop(self.descriptors.remove(&(pid, result))),
            },
            _ => {}
        }
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A socket address as strace writes it. What is known is added to `so_far`.
fn address(kind: char, rest: &str, so_far: &str) -> String {
    let words: Vec<&str> = rest.split(' ').collect();
    let hex = |at: usize| words.get(at).and_then(|word| u64::from_str_radix(word, 16).ok()).unwrap_or(0);
    match kind {
        'S' => {
            let port = words.get(1).and_then(|word| word.parse::<u16>().ok()).unwrap_or(0).swap_bytes();
            match words.first().and_then(|word| word.parse::<i64>().ok()).unwrap_or(0) {
                2 => {
                    let ip = std::net::Ipv4Addr::from((hex(2) as u32).to_le_bytes());
                    format!("{{sa_family=AF_INET, sin_port=htons({port}), sin_addr=inet_addr(\"{ip}\")}}")
                }
                10 => {
                    let mut bytes = [0; 16];
                    bytes[..8].copy_from_slice(&hex(3).to_le_bytes());
                    bytes[8..].copy_from_slice(&hex(4).to_le_bytes());
                    let ip = std::net::Ipv6Addr::from(bytes);
                    format!(
                        "{{sa_family=AF_INET6, sin6_port=htons({port}), inet_pton(AF_INET6, \"{ip}\", &sin6_addr)}}"
                    )
                }
                number => format!("{{sa_family={}}}", family(number)),
            }
        }
        // An abstract name begins with a zero.
        'U' if !rest.is_empty() => format!("{{sa_family=AF_UNIX, sun_path={}}}", quoted(rest)),
        'A' if !so_far.contains("sun_path") => format!("{{sa_family=AF_UNIX, sun_path=@{}}}", quoted(rest)),
        _ => so_far.to_owned(),
    }
}

fn family(number: i64) -> String {
    match number {
        1 => "AF_UNIX".to_owned(),
        2 => "AF_INET".to_owned(),
        10 => "AF_INET6".to_owned(),
        16 => "AF_NETLINK".to_owned(),
        other => format!("AF_{other}"),
    }
}

fn socket_type(value: u64) -> &'static str {
    match value & 0xf {
        1 => "SOCK_STREAM",
        2 => "SOCK_DGRAM",
        3 => "SOCK_RAW",
        5 => "SOCK_SEQPACKET",
        _ => "SOCK_OTHER",
    }
}

fn open_flags(value: u64) -> String {
    let mut words = vec![match value & libc::O_ACCMODE as u64 {
        0 => "O_RDONLY",
        1 => "O_WRONLY",
        _ => "O_RDWR",
    }];
    for (flag, name) in [
        (libc::O_CREAT, "O_CREAT"),
        (libc::O_TRUNC, "O_TRUNC"),
        (libc::O_DIRECTORY, "O_DIRECTORY"),
        (libc::O_TMPFILE & !libc::O_DIRECTORY, "O_TMPFILE"),
    ] {
        if value & flag as u64 != 0 {
            words.push(name);
        }
    }
    words.join("|")
}

/// The name of an error.
fn errno(number: i64) -> String {
    const NAMES: &[(i32, &str)] = &[
        (libc::EPERM, "EPERM"),
        (libc::ENOENT, "ENOENT"),
        (libc::ESRCH, "ESRCH"),
        (libc::EINTR, "EINTR"),
        (libc::EIO, "EIO"),
        (libc::ENXIO, "ENXIO"),
        (libc::E2BIG, "E2BIG"),
        (libc::ENOEXEC, "ENOEXEC"),
        (libc::EBADF, "EBADF"),
        (libc::ECHILD, "ECHILD"),
        (libc::EAGAIN, "EAGAIN"),
        (libc::ENOMEM, "ENOMEM"),
        (libc::EACCES, "EACCES"),
        (libc::EFAULT, "EFAULT"),
        (libc::EBUSY, "EBUSY"),
        (libc::EEXIST, "EEXIST"),
        (libc::EXDEV, "EXDEV"),
        (libc::ENODEV, "ENODEV"),
        (libc::ENOTDIR, "ENOTDIR"),
        (libc::EISDIR, "EISDIR"),
        (libc::EINVAL, "EINVAL"),
        (libc::EMFILE, "EMFILE"),
        (libc::ENOTTY, "ENOTTY"),
        (libc::ETXTBSY, "ETXTBSY"),
        (libc::EROFS, "EROFS"),
        (libc::EMLINK, "EMLINK"),
        (libc::ENAMETOOLONG, "ENAMETOOLONG"),
        (libc::ENOSYS, "ENOSYS"),
        (libc::ENOTEMPTY, "ENOTEMPTY"),
        (libc::ELOOP, "ELOOP"),
        (libc::ENODATA, "ENODATA"),
        (libc::ENOTSOCK, "ENOTSOCK"),
        (libc::EPROTONOSUPPORT, "EPROTONOSUPPORT"),
        (libc::EOPNOTSUPP, "EOPNOTSUPP"),
        (libc::EAFNOSUPPORT, "EAFNOSUPPORT"),
        (libc::EADDRINUSE, "EADDRINUSE"),
        (libc::EADDRNOTAVAIL, "EADDRNOTAVAIL"),
        (libc::ENETUNREACH, "ENETUNREACH"),
        (libc::ECONNABORTED, "ECONNABORTED"),
        (libc::ECONNRESET, "ECONNRESET"),
        (libc::EISCONN, "EISCONN"),
        (libc::ETIMEDOUT, "ETIMEDOUT"),
        (libc::ECONNREFUSED, "ECONNREFUSED"),
        (libc::EHOSTUNREACH, "EHOSTUNREACH"),
        (libc::EINPROGRESS, "EINPROGRESS"),
    ];
    let known = NAMES.iter().find(|(known, _)| i64::from(*known) == number);
    known.map_or_else(|| format!("E{number}"), |(_, name)| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The calls in records of the process 7, which works in /w: the event, the target and the error.
    fn calls(records: &str) -> Vec<(&'static str, String, Option<String>)> {
        let text = format!("ready\nE 1000 7 7 /bin/x\n{records}");
        let (lines, _) = Reader::of("/w", 0).read(&text).unwrap();
        let calls = trace::follow(lines, ROOT).calls.into_iter().skip(2);
        calls.map(|call| (call.kind.event, call.target, call.error)).collect()
    }

    #[test]
    fn paths_are_those_of_the_directories_and_descriptors_at_the_time() {
        let calls = calls(concat!(
            "C 2000 7 7 257 257 401000 3 ffffff9c 1 10000 0 0\nP 7 1 sub\n",
            "C 3000 7 7 263 263 401000 -2 3 1 0 0 0\nP 7 1 file\n",
            "C 4000 7 7 80 80 401000 0 1 0 0 0 0\nP 7 0 /elsewhere\n",
            "C 5000 7 7 257 257 401000 4 ffffff9c 1 241 0 0\nP 7 1 made\n",
            "C 6000 7 7 3 3 401000 0 3 0 0 0 0\n",
        ));

        let expected = [
            ("file.open", "/w/sub", None),
            ("file.unlink", "/w/sub/file", Some("ENOENT")),
            ("file.open", "/elsewhere/made", None),
        ];
        let expected =
            expected.map(|(event, path, error)| (event, path.to_owned(), error.map(str::to_owned)));
        assert_eq!(expected.to_vec(), calls);
    }

    #[test]
    fn records_are_taken_in_the_order_of_their_times_and_of_the_tree_alone() {
        let calls = calls(concat!(
            "C 5000 8 8 83 83 401000 0 1 0 0 0 0\nP 8 0 d\n",
            "C 3000 9 9 83 83 401000 0 1 0 0 0 0\nP 9 0 other\n",
            "F 2000 7 7 401000 8 0\n",
        ));

        let targets: Vec<&str> = calls.iter().map(|(_, target, _)| target.as_str()).collect();
        assert_eq!(vec!["8", "/w/d"], targets);
    }

    #[test]
    fn addresses_are_written_as_events_write_them() {
        let calls = calls(concat!(
            "C 2000 7 7 42 42 401000 0 3 1 10 0 0\nS 7 2 20480 100007f 0 0\n",
            "C 3000 7 7 42 42 401000 -111 3 1 1c 0 0\nS 7 10 20480 0 0 100000000000000\n",
            "C 4000 7 7 42 42 401000 0 3 1 6e 0 0\nS 7 1 0 0 0 0\nU 7 /run/x\nA 7 run/x\n",
            "C 5000 7 7 42 42 401000 0 3 1 6e 0 0\nS 7 1 0 0 0 0\nU 7 \nA 7 hidden\n",
        ));

        let targets: Vec<&str> = calls.iter().map(|(_, target, _)| target.as_str()).collect();
        assert_eq!(vec!["127.0.0.1:80", "[::1]:80", "/run/x", "@hidden"], targets);
    }

    #[test]
    fn a_path_that_bpftrace_could_not_read_is_lost_and_no_call() {
        let text = "E 1 7 7 /bin/x\nC 2 7 7 87 87 401000 0 1 0 0 0 0\nP 7 0 \n";
        let (lines, unread) = Reader::of("/w", 0).read(text).unwrap();

        assert_eq!((2, 1), (lines.len(), unread));
        // Of other registers than the call's, nothing is believed.
        assert!(Reader::of("/w", 0).read("C 2 7 7 87 3 401000 0 1 0 0 0 0\n").is_err());
    }

    #[test]
    fn every_call_of_the_table_is_one_of_a_row_or_keeps_the_picture() {
        let is_row = |name: &str| kinds::kinds().any(|kind| makes(kind, name));
        let picture = ["close", "fcntl", "mmap", "dup", "execve", "chdir", "fchdir"];
        for name in NAMES {
            assert!(is_row(name.name) || picture.contains(&name.name), "{}", name.name);
        }
        let made = kinds::kinds().flat_map(|kind| kind.calls).map(|call| call.name);
        let is_traced = |name: &str| NAMES.iter().any(|traced| traced.name == name);
        let left: Vec<&str> = made.filter(|name| !is_traced(name)).collect();
        println!("not traced: {left:?}");
    }
}
