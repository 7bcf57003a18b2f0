//! `--notify` on older kernels and in containers whose profile refuses calls: with each feature switched off
//! by a seccomp filter around it all, it does the same, or it falls back and says why.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use glassbox_tests::child::{self, Ending, Status};
use glassbox_tests::events::{Event, Expect};
use glassbox_tests::glassbox;
use glassbox_tests::steady::scene_of_static;
use glassbox_tests::unseen::{GO_STORM, Ground, Program, Run, deeds, named};

/// What programs do not get: system calls that the outer filter answers with an error.
#[derive(Clone, Copy, Debug)]
enum Refused {
    /// All of this number.
    Call(libc::c_long),
    /// Those of whose arguments this half, cut by the mask, is the value: two halves each, the low one first.
    Where { call: libc::c_long, half: u32, mask: u32, value: u32 },
    /// None: the programs do not have this capability.
    Capability(u32),
}

use Refused::{Call, Capability, Where};

/// An ioctl of this number.
const fn ioctl(number: u32) -> Refused {
    Where { call: libc::SYS_ioctl, half: 2, mask: u32::MAX, value: number }
}

/// A seccomp(2) with this flag.
const fn seccomp(flag: libc::c_ulong) -> Refused {
    Where { call: libc::SYS_seccomp, half: 2, mask: flag as u32, value: flag as u32 }
}

/// A socket option of this number.
const fn option(call: libc::c_long, number: u32) -> Refused {
    Where { call, half: 4, mask: u32::MAX, value: number }
}

const ID_VALID: u32 = libc::SECCOMP_IOCTL_NOTIF_ID_VALID as u32;
/// The ioctls of a pidfd: all of the type 0xff (include/uapi/linux/pidfd.h).
const OF_PIDFDS: Refused = Where { call: libc::SYS_ioctl, half: 2, mask: 0xff00, value: 0xff00 };
/// A read at an offset that is the address of a program that is loaded anywhere: of `/proc/PID/mem`.
const IN_PROGRAMS: Refused = Where {
    call: libc::SYS_pread64,
    half: 7,
    mask: 0xf000,
    value: if cfg!(target_arch = "aarch64") { 0xa000 } else { 0x5000 },
};
/// An unshare(2) of the table of descriptors.
const OF_FILES: Refused =
    Where { call: libc::SYS_unshare, half: 0, mask: u32::MAX, value: libc::CLONE_FILES as u32 };
const NO_NEW_PRIVS: Refused =
    Where { call: libc::SYS_prctl, half: 0, mask: u32::MAX, value: libc::PR_SET_NO_NEW_PRIVS as u32 };
const CAP_SYS_ADMIN: Refused = Capability(21);
const SO_PASSPIDFD: u32 = 76;
const SO_PEERPIDFD: u32 = 77;

/// What becomes of `--notify security`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// The same events.
    Same,
    /// The same, but for what the file of an exec tells before it is executed.
    WithoutForesight,
    /// None: the reason is said once.
    Falls(&'static str),
}

use Outcome::{Falls, Same, WithoutForesight};

struct Row {
    /// What is missing, and where.
    what: &'static str,
    refused: &'static [Refused],
    error: i32,
    outcome: Outcome,
}

const fn row(what: &'static str, refused: &'static [Refused], error: i32, outcome: Outcome) -> Row {
    Row { what, refused, error, outcome }
}

const NO_MEMORY: &str = "the memory of a child cannot be read";
const NO_NOTIFICATION: &str = "this kernel has no user notification of system calls; Linux 5.5 and later";
const FORBIDDEN: &str = "the seccomp profile here forbids seccomp filters";

const ROWS: &[Row] = &[
    row("nothing", &[], 0, Same),
    row("CAP_SYS_ADMIN", &[CAP_SYS_ADMIN], 0, Same),
    row(
        "WAIT_KILLABLE_RECV, before 5.19",
        &[seccomp(libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV)],
        libc::EINVAL,
        Same,
    ),
    row("SYNC_WAKE_UP, before 6.6", &[ioctl(libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS as u32)], libc::EINVAL, Same),
    row("the number of ID_VALID, before 5.9", &[ioctl(ID_VALID)], libc::EINVAL, Same),
    row("ADDFD, before 5.9", &[ioctl(libc::SECCOMP_IOCTL_NOTIF_ADDFD as u32)], libc::EINVAL, Same),
    row("pidfd_getfd, before 5.6", &[Call(libc::SYS_pidfd_getfd)], libc::ENOSYS, Same),
    row("pidfd_getfd, Docker", &[Call(libc::SYS_pidfd_getfd)], libc::EPERM, Same),
    row("ioctls of pidfds, before 6.11", &[OF_PIDFDS], libc::ENOTTY, Same),
    row("ioctls of pidfds, before 5.5", &[OF_PIDFDS], libc::EINVAL, Same),
    row("SO_PEERPIDFD, before 6.5", &[option(libc::SYS_getsockopt, SO_PEERPIDFD)], libc::ENOPROTOOPT, Same),
    row("SO_PASSPIDFD, before 6.5", &[option(libc::SYS_setsockopt, SO_PASSPIDFD)], libc::ENOPROTOOPT, Same),
    row("process_vm_readv, old Docker", &[Call(libc::SYS_process_vm_readv)], libc::EPERM, Same),
    row("process_vm_readv, not compiled in", &[Call(libc::SYS_process_vm_readv)], libc::ENOSYS, Same),
    row("close_range, before 5.9", &[Call(libc::SYS_close_range)], libc::ENOSYS, Same),
    row("close_range, old Docker", &[Call(libc::SYS_close_range)], libc::EPERM, Same),
    row("openat2, before 5.6", &[Call(libc::SYS_openat2)], libc::ENOSYS, WithoutForesight),
    row("openat2, old Docker", &[Call(libc::SYS_openat2)], libc::EPERM, WithoutForesight),
    row("futex_waitv, before 5.16", &[Call(libc::SYS_futex_waitv)], libc::ENOSYS, Same),
    row("clone3, Docker", &[Call(libc::SYS_clone3)], libc::ENOSYS, Same),
    row(
        "NEW_LISTENER, before 5.0",
        &[seccomp(libc::SECCOMP_FILTER_FLAG_NEW_LISTENER)],
        libc::EINVAL,
        Falls(NO_NOTIFICATION),
    ),
    row("seccomp, before 3.17", &[Call(libc::SYS_seccomp)], libc::ENOSYS, Falls(NO_NOTIFICATION)),
    row("seccomp, a profile", &[Call(libc::SYS_seccomp)], libc::EPERM, Falls(FORBIDDEN)),
    row("no_new_privs, Lambda", &[CAP_SYS_ADMIN, NO_NEW_PRIVS], libc::EPERM, Falls(FORBIDDEN)),
    row(
        "CONTINUE, before 5.5",
        &[ioctl(libc::SECCOMP_IOCTL_NOTIF_SEND as u32)],
        libc::EINVAL,
        Falls("this kernel lets no call go on; Linux 5.5 and later do"),
    ),
    row(
        "receiving, AppArmor",
        &[ioctl(libc::SECCOMP_IOCTL_NOTIF_RECV as u32)],
        libc::EACCES,
        Falls("receiving a call is refused (Permission denied (os error 13)); a security module"),
    ),
    row(
        "answering, AppArmor",
        &[ioctl(libc::SECCOMP_IOCTL_NOTIF_SEND as u32)],
        libc::EACCES,
        Falls("answering a call is refused (Permission denied (os error 13))"),
    ),
    row(
        "ID_VALID, AppArmor",
        &[ioctl(ID_VALID)],
        libc::EACCES,
        Falls("the kernel does not say whether a call still waits"),
    ),
    row(
        "a way to read memory",
        &[Call(libc::SYS_process_vm_readv), IN_PROGRAMS],
        libc::EPERM,
        Falls(NO_MEMORY),
    ),
    row(
        "a table of descriptors of its own",
        &[Call(libc::SYS_close_range), OF_FILES],
        libc::EPERM,
        Falls(
            "a process cannot leave its parent's table of descriptors (Operation not permitted (os error 1))",
        ),
    ),
];

impl Row {
    /// The outer filter. It needs CAP_SYS_ADMIN, or the program would be under `no_new_privs`.
    fn filter(&self) -> Vec<libc::sock_filter> {
        const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
        const AND: u16 = (libc::BPF_ALU | libc::BPF_AND | libc::BPF_K) as u16;
        const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
        const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
        /// Of `struct seccomp_data`.
        const ARGUMENTS: u32 = 16;
        let instruction = |code, k, jf| libc::sock_filter { code, jt: 0, jf, k };
        let refuse = instruction(RETURN, libc::SECCOMP_RET_ERRNO | self.error as u32, 0);
        let mut all = Vec::new();
        for refused in self.refused {
            all.push(instruction(LOAD, 0, 0));
            match *refused {
                Capability(_) => continue,
                Call(call) => all.push(instruction(EQUAL, call as u32, 1)),
                Where { call, half, mask, value } => all.extend([
                    instruction(EQUAL, call as u32, 4),
                    instruction(LOAD, ARGUMENTS + 4 * half, 0),
                    instruction(AND, mask, 0),
                    instruction(EQUAL, value, 1),
                ]),
            }
            all.push(refuse);
        }
        all.push(instruction(RETURN, libc::SECCOMP_RET_ALLOW, 0));
        all
    }

    /// Has the command run below the filter.
    fn around(&self, command: &mut Command) {
        let (filter, refused) = (self.filter(), self.refused);
        let install = move || {
            for refused in refused {
                if let Capability(number) = refused {
                    // SAFETY: prctl takes numbers. What is executed does not get it.
                    unsafe { libc::prctl(libc::PR_CAPBSET_DROP, *number, 0, 0, 0) };
                }
            }
            let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
            // SAFETY: seccomp is async-signal-safe, and reads a program that outlives the call.
            match unsafe {
                libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program)
            } {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            }
        };
        // SAFETY: between fork and exec it makes system calls alone.
        unsafe { command.pre_exec(install) };
    }
}

const ASKED: [&str; 3] = ["--notify", "security", "--require-notify"];
const OPTIONAL: [&str; 2] = ["--notify", "security"];

/// All that a run tells of its programs, apart from numbers and times.
fn told(ground: &Ground, run: &Run, has_foresight: bool) -> Vec<String> {
    let mut told = deeds(run, &ground.work());
    for event in run.events.named("process.start") {
        let known = ["ppid", "exe", "uid", "euid", "gid", "egid"].map(|field| event.field(field).is_some());
        let [path, coverage, reason] = ["path", "coverage", "reason"].map(|field| event.text(field));
        told.push(format!("start {path:?} {coverage:?} {reason:?} {known:?}"));
    }
    for event in run.events.named("process.exec") {
        let error = event.text("error").filter(|_| has_foresight);
        told.push(format!("exec {} {error:?}", event.path()));
    }
    told.extend(run.events.named("sensor.blind").map(|event| format!("blind {}", event.path())));
    // Go's threads take turns as they like, and each is told by a signal to take the ids of another one. An
    // accept that does not wait is told of where its connection is there already.
    told.retain(|line| {
        let is_steady = ["process.credentials", "net.accept"].iter().all(|varies| !line.starts_with(varies));
        is_steady && !line.ends_with("signal=33")
    });
    told.sort();
    told
}

/// What a program does bare, and what `run` and `exec` tell of it where nothing is missing.
struct Whole {
    bare: Ending,
    told: [Run; 2],
}

impl Whole {
    fn of(ground: &Ground, program: &Program) -> Whole {
        let told = [ground.under(&ASKED, program), ground.beside_prepared(&ASKED, program, |_| {})];
        Whole { bare: ground.bare(program).ending, told }
    }
}

/// The program behaves as bare under `run` and `exec`, and is told of as where nothing is missing.
fn does_the_same(ground: &Ground, whole: &Whole, row: &Row, program: &Program) {
    let has_foresight = row.outcome == Same;
    let prepare = |command: &mut Command| row.around(command);
    let without =
        [ground.under_prepared(&ASKED, program, prepare), ground.beside_prepared(&ASKED, program, prepare)];
    for (with, without) in whole.told.iter().zip(&without) {
        assert_eq!(whole.bare, without.ending, "{} {}: the program noticed", row.what, program.name);
        let (with, without) = (told(ground, with, has_foresight), told(ground, without, has_foresight));
        assert!(with.len() > 20, "{with:#?}");
        let only = |these: &[String], those: &[String]| {
            let mut rest = those.to_vec();
            let is_only = |line: &&String| match rest.iter().position(|other| other == *line) {
                Some(at) => rest.remove(at).is_empty(),
                None => true,
            };
            these.iter().filter(is_only).cloned().collect::<Vec<String>>()
        };
        let differences = (only(&with, &without), only(&without, &with));
        assert_eq!((vec![], vec![]), differences, "{} {}", row.what, program.name);
    }
}

/// The program behaves as bare, and the reason is said: once on stderr, by `doctor`, and with the status.
fn falls_back(ground: &Ground, Whole { bare, .. }: &Whole, row: &Row, reason: &str) {
    let program = named("static");
    let prepare = |command: &mut Command| row.around(command);
    let ways = [
        ground.under_prepared(&OPTIONAL, program, prepare),
        ground.beside_prepared(&OPTIONAL, program, prepare),
    ];
    let is_asked_about = |start: &&Event| start.text("coverage") == Some("notify");
    for run in ways {
        let ending = run.ending;
        assert_eq!((bare.status, &bare.stdout), (ending.status, &ending.stdout), "{}", row.what);
        let said: Vec<&str> = ending.stderr.lines().filter(|line| line.starts_with("glassbox")).collect();
        let [line] = said.as_slice() else { panic!("{}: {}", row.what, ending.stderr) };
        assert!(line.contains(reason), "{}: {line}", row.what);
        assert!(line.ends_with("; static and Go programs are not seen into"), "{}: {line}", row.what);
        assert_eq!(0, run.events.named("process.start").filter(is_asked_about).count(), "{}", row.what);
    }
    for run in
        [ground.under_prepared(&ASKED, program, prepare), ground.beside_prepared(&ASKED, program, prepare)]
    {
        assert_eq!(Status::Exited(69), run.ending.status, "{}: {}", row.what, run.ending.stderr);
        assert!(run.ending.stderr.contains(reason), "{}: {}", row.what, run.ending.stderr);
        assert_eq!("", run.ending.stdout, "{}: CMD ran", row.what);
    }
    let mut doctor = Command::new(glassbox());
    doctor.arg("doctor").arg("--").arg(program.path());
    row.around(&mut doctor);
    let said = child::run(doctor, b"");
    let (out, err) = (&said.stdout, &said.stderr);
    assert!(out.contains(&format!("which cannot be had here: {reason}")), "{}: {out}{err}", row.what);
}

#[test]
fn without_a_feature_of_later_kernels_it_does_the_same_or_says_why_not() {
    let ground = Ground::default();
    let whole = Whole::of(&ground, named("static"));
    for row in ROWS {
        match row.outcome {
            Falls(reason) => falls_back(&ground, &whole, row, reason),
            _ => does_the_same(&ground, &whole, row, named("static")),
        }
    }
}

/// A collector elsewhere is told by a descriptor whose calls they are.
#[test]
fn without_pidfds_a_collector_elsewhere_cannot_be_told() {
    let row = row("pidfd_open, Docker of 2019", &[Call(libc::SYS_pidfd_open)], libc::EPERM, Same);
    let scene = scene_of_static("steady", &["9"]);
    let collector = scene.collect();
    let bare = scene.bare_command();
    let exec = |options: &[&str]| {
        let mut command = scene.command(glassbox());
        command.arg("exec").args(options).arg("--").arg(bare.get_program()).args(bare.get_args());
        command.env("GLASSBOX_SOCKET", collector.socket());
        row.around(&mut command);
        child::run(command, b"")
    };

    let (required, optional) = (exec(&ASKED), exec(&OPTIONAL));

    assert_eq!(Status::Exited(69), required.status, "{}", required.stderr);
    optional.assert_output(0, "failed 0\n");
    for ending in [required, optional] {
        assert_eq!(1, ending.stderr.matches("pidfd_open(2) is refused here").count(), "{}", ending.stderr);
    }
    collector.stop();
}

#[test]
fn where_it_falls_back_static_programs_are_told_of_as_blind() {
    let row = ROWS.iter().find(|row| row.what.starts_with("NEW_LISTENER")).unwrap();
    let scene = scene_of_static("steady", &["9"]);
    let output = scene.events_output();
    let mut command = scene.run_command(&[&["-o", output.as_str()][..], &OPTIONAL].concat());
    row.around(&mut command);

    child::run(command, b"").assert_output(0, "failed 0\n");

    let events = scene.events(Expect::NothingLost);
    let told: Vec<_> = events.iter().map(|event| (event.name(), event.text("reason"))).collect();
    assert_eq!(vec![("sensor.blind", Some("static")), ("process.exit", None)], told);
}

#[test]
fn go_programs_are_told_of_where_signals_interrupt_what_waits() {
    let ground = Ground::default();
    let row = ROWS.iter().find(|row| row.what.starts_with("WAIT_KILLABLE_RECV")).unwrap();

    let program = named("go-static");
    does_the_same(&ground, &Whole::of(&ground, program), row, program);
}

/// With the feature and without: Go's runtime interrupts its threads by signals, and so does the program.
#[test]
fn threads_of_go_under_signals_all_succeed_and_are_told_of_once() {
    for what in ["nothing", "WAIT_KILLABLE_RECV, before 5.19"] {
        let row = ROWS.iter().find(|row| row.what == what).unwrap();
        let scene = scene_of_static("storm", &[]);
        let output = scene.events_output();
        let mut command = scene.command(glassbox());
        command.args(["run", "-o", &output]).args(ASKED).arg("--").arg(GO_STORM.path()).args(["8", "250"]);
        row.around(&mut command);

        let ending = child::start(command, b"").finish_within(Duration::from_secs(60)).unwrap();

        ending.assert_output(0, "failed 0\n");
        let events = scene.events(Expect::NothingLost);
        let told = events.named("file.rename").filter(|rename| rename.path().contains("/storm.")).count();
        assert_eq!(8 * 250, told, "{what}");
    }
}

/// The calls that a signal interrupts are made anew by the kernel, and told of once.
#[test]
fn calls_under_a_storm_of_signals_all_succeed_and_are_told_of_once() {
    let row = ROWS.iter().find(|row| row.what.starts_with("WAIT_KILLABLE_RECV")).unwrap();
    for (threads, renames, every_us) in [(1, 2000, 5000), (4, 500, 1000)] {
        let words = [threads, renames, every_us].map(|number: usize| number.to_string());
        let scene = scene_of_static("storm", &words.each_ref().map(String::as_str));
        let output = scene.events_output();
        let mut command = scene.run_command(&[&["-o", output.as_str()][..], &ASKED].concat());
        row.around(&mut command);

        let ending = child::start(command, b"").finish_within(Duration::from_secs(60)).unwrap();

        ending.assert_output(0, "failed 0\n");
        let events = scene.events(Expect::NothingLost);
        let told = events.named("file.rename").filter(|rename| rename.path().contains("/storm.")).count();
        assert_eq!(threads * renames, told);
    }
}
