//! The cost that the sensor adds to the commonest calls, in instructions. They are counted one by one
//! (ptrace(2), `PTRACE_SINGLESTEP`), so the count is the same on every machine and under any load. The
//! benches measure times (`cargo xtask bench event`); this test finds a call that became longer, with every
//! change.
#![cfg(target_arch = "x86_64")]

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use glassbox_tests::victim::{Libc, compiled};
use glassbox_tests::{Collector, Scene};

/// The reason of the tracee's last stop.
#[derive(PartialEq)]
enum Stop {
    Breakpoint,
    Step,
    Over,
}

fn resumed(pid: i32, request: libc::c_uint) -> Stop {
    let mut status = 0;
    // SAFETY: the tracee is stopped; the buffers live until the calls return.
    unsafe {
        assert_eq!(0, libc::ptrace(request, pid, 0, 0), "{}", std::io::Error::last_os_error());
        assert_eq!(pid, libc::waitpid(pid, &raw mut status, 0));
        if libc::WIFEXITED(status) {
            assert_eq!(0, libc::WEXITSTATUS(status));
            return Stop::Over;
        }
        assert!(libc::WIFSTOPPED(status) && libc::WSTOPSIG(status) == libc::SIGTRAP, "status {status:x}");
        let mut why = std::mem::zeroed::<libc::siginfo_t>();
        assert_eq!(0, libc::ptrace(libc::PTRACE_GETSIGINFO, pid, 0, &raw mut why));
        // An int3 comes from the kernel, a step from the trap flag (<asm-generic/siginfo.h>).
        if why.si_code == 0x80 { Stop::Breakpoint } else { Stop::Step }
    }
}

/// The fewest instructions of a call between the victim's breakpoints, since the sensor measures its own time
/// in some of the calls.
fn fewest(mut command: Command) -> u64 {
    command.stdout(Stdio::null());
    // SAFETY: ptrace is a system call, and no more happens between fork and exec.
    unsafe {
        command.pre_exec(|| match libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        })
    };
    let mut child = command.spawn().expect("the victim starts");
    let pid = child.id() as i32;
    let mut status = 0;
    // SAFETY: as above. It is stopped where its exec ended.
    unsafe { assert_eq!(pid, libc::waitpid(pid, &raw mut status, 0)) };
    let mut counts = Vec::new();
    while resumed(pid, libc::PTRACE_CONT) == Stop::Breakpoint {
        let mut count = 0;
        while resumed(pid, libc::PTRACE_SINGLESTEP) == Stop::Step {
            count += 1;
        }
        counts.push(count);
    }
    // It was waited for above.
    drop(child.try_wait());
    assert_eq!(12, counts.len());
    counts.into_iter().min().expect("there are twelve")
}

/// The instructions that the sensor adds to one call.
fn added(call: &str) -> u64 {
    let scene = Scene::with(compiled("steps", Libc::Glibc), &[call]);
    scene.clean();
    let bare = fewest(scene.bare_command());
    let collector = Collector::start(&scene.beside("collect.sock"), &["-o", "jsonl:/dev/null"]);
    let mut command = scene.bare_command();
    collector.preload(&mut command);
    let watched = fewest(command);
    drop(collector.stop());
    println!("{call}: {bare} bare, {watched} under the sensor");
    watched - bare
}

/// The counts of this commit, and a tenth more: another kernel's clock may take some dozens more.
#[test]
fn calls_are_no_longer_than_they_were() {
    let budget = [
        ("open", 700),
        ("close", 510),
        ("read", 120),
        ("write", 120),
        // Of connects that no call can end any more nothing is left.
        ("write_after_connects", 120),
    ];

    let over: Vec<String> = budget
        .iter()
        .filter_map(|&(call, most)| {
            let added = added(call);
            (added > most).then(|| format!("{call}: {added} instructions, at most {most}"))
        })
        .collect();

    assert!(over.is_empty(), "{over:?}; what made them longer, and is it worth that?");
}
