//! Identity, signals, traces, namespaces, executable memory and the kernel's own interfaces: each call is
//! reported once, and every event under the identity that its process had at that moment.

use glassbox_tests::events::{Event, Events};
use glassbox_tests::scene::{Scene, sensed, sensed_in, sensed_on_musl, unnoticed};

#[test]
fn security_calls_give_their_bare_results() {
    unnoticed("security");
}

const SIGUSR1: i64 = 10;

/// The events of one kind, each shown by `show`, in their order.
fn shown(events: &Events, name: &str, show: impl Fn(&Event) -> String) -> Vec<String> {
    events.named(name).map(show).collect()
}

fn error(event: &Event) -> String {
    event.text("error").map(|error| format!(" {error}")).unwrap_or_default()
}

fn credentials(event: &Event) -> String {
    let what = event.text("what").unwrap_or("?");
    format!("{} {what} {}{}", event.call(), event.list("to").join(","), error(event))
}

#[test]
fn every_change_of_identity_is_reported_with_its_numbers() {
    let seen = sensed("security", &["credentials"]).events;

    let mut changes = shown(&seen, "process.credentials", credentials);

    let capset = changes.iter().position(|change| change.starts_with("capset")).unwrap();
    let sets = changes.remove(capset);
    assert_eq!(vec!["capset", "capabilities"], sets.split(' ').take(2).collect::<Vec<_>>());
    assert!(sets.ends_with(",0x0") && sets.matches("0x").count() == 3, "{sets}");
    let expected = [
        "setgroups groups 10,20,30",
        "initgroups groups 0",
        "setregid regid 1001,-1",
        "setresgid resgid 1002,1003,1004",
        "setegid egid 1002",
        "setgid gid 1005",
        "setfsgid fsgid 1006",
        "setfsuid fsuid 1007",
        "seteuid euid 1008",
        "setresuid resuid -1,0,-1",
        "setreuid reuid 1009,0",
        "setuid uid 65534",
        "setuid uid 0 EPERM",
        "setresuid resuid 65534,65534,65534",
        "setgid gid 1005",
        "setgroups groups  EPERM",
    ];
    assert_eq!(expected.as_slice(), changes);
}

#[test]
fn events_carry_the_identity_of_their_moment() {
    let seen = sensed("security", &["credentials"]).events;

    for (file, uid, euid) in [
        ("as-root", 0, 0),
        ("as-effective", 0, 1008),
        ("as-real", 1009, 0),
        ("as-nobody", 65534, 65534),
        ("as-nobodys-child", 65534, 65534),
        ("as-nobodys-image", 65534, 65534),
    ] {
        let open = seen.opens(file)[0];
        assert_eq!((Some(uid), Some(euid)), (open.number("uid"), open.number("euid")), "{file}");
    }
}

#[test]
fn every_signal_is_reported_once_with_its_target() {
    let seen = sensed("security", &["signals"]).events;
    let start = seen.named("process.start").next().unwrap().pid();
    let mut children = seen.named("process.fork").filter_map(|fork| fork.number("child"));
    let (first, second) = (children.next().unwrap(), children.next().unwrap());
    let whose = |target: Option<i64>| match target {
        Some(target) if target == start => "own".to_owned(),
        Some(target) if target == first => "child".to_owned(),
        Some(target) if target == second => "itself".to_owned(),
        target => format!("{target:?}"),
    };

    let signals = shown(&seen, "process.signal", |event| {
        format!(
            "{} {} {:?}{}",
            event.call(),
            whose(event.number("target")),
            event.number("signal"),
            error(event)
        )
    });

    let own = |call: &str| format!("{call} own Some({SIGUSR1})");
    let expected = vec![
        "kill child Some(0)".to_owned(),
        own("kill"),
        own("raise"),
        own("pthread_kill"),
        own("sigqueue"),
        own("tgkill"),
        own("tgkill"),
        // A thread's number; the main thread's number is its process's.
        own("tkill"),
        "kill child Some(18)".to_owned(),
        "kill child Some(1000) EINVAL".to_owned(),
        // Reported before the call, because it might have been the end; and again because it failed.
        "kill own Some(1000)".to_owned(),
        "kill own Some(1000) EINVAL".to_owned(),
        "killpg Some(-1073741823) Some(18)".to_owned(),
        "killpg Some(-1073741823) Some(18) ESRCH".to_owned(),
        "pidfd_send_signal child Some(15)".to_owned(),
        "kill itself Some(9)".to_owned(),
    ];
    assert_eq!(expected, signals);
}

#[test]
fn looking_into_another_process_is_reported() {
    let seen = sensed("security", &["trace"]).events;

    let traces = shown(&seen, "process.trace", |event| {
        format!("{} {}{}", event.call(), event.text("request").unwrap_or("?"), error(event))
    });

    let expected = [
        "process_vm_readv process_vm_readv",
        "process_vm_writev process_vm_writev",
        "ptrace PTRACE_TRACEME",
        "ptrace PTRACE_PEEKDATA",
        "ptrace PTRACE_POKEDATA",
        "ptrace PTRACE_PEEKDATA",
        "ptrace PTRACE_CONT",
        "ptrace PTRACE_ATTACH ESRCH",
    ];
    assert_eq!(expected.as_slice(), traces);
    let child = seen.named("process.fork").find_map(|fork| fork.number("child"));
    let peek = seen.only("POKEDATA", |event| event.text("request") == Some("PTRACE_POKEDATA"));
    assert_eq!(child, peek.number("target"));
}

#[test]
fn changes_of_what_a_process_sees_are_reported() {
    let scene = Scene::of("security", &["namespace"]);
    let seen = sensed_in(&scene).events;
    let work = scene.work().display().to_string();

    let changes = shown(&seen, "process.namespace", |event| {
        let path = event.path().replace(&work, "");
        let source = event.text("source").map(|source| format!(" from {source}")).unwrap_or_default();
        format!("{} {path}{source} {}", event.text("what").unwrap_or("?"), event.list("flags").join("|"))
    });

    let expected = [
        "unshare  CLONE_NEWNS|CLONE_NEWUTS",
        "mount / from none MS_REC|MS_PRIVATE",
        "mount /point from source MS_NOSUID|MS_NODEV",
        "umount /point ",
        "umount /point MNT_DETACH",
        "pivot_root /root from root/old ",
        "setns /proc/self/ns/uts CLONE_NEWUTS",
        "setns /proc/self/ns/uts CLONE_NEWNET",
        "unshare  ",
        "chroot /missing ",
        "chroot /root ",
    ];
    assert_eq!(expected.as_slice(), changes);
}

#[test]
fn only_what_makes_memory_executable_is_reported() {
    let seen = sensed("security", &["memory"]).events;
    let is_victims = |event: &&Event| event.text("exe").is_some_and(|exe| exe.contains("security"));

    let maps: Vec<&Event> = seen.named("memory.map").filter(is_victims).collect();

    let calls: Vec<String> = maps
        .iter()
        .map(|map| {
            format!(
                "{} {} {}{}",
                map.call(),
                map.list("prot").join("|"),
                map.number("len").unwrap(),
                error(map)
            )
        })
        .collect();
    let expected = [
        "mprotect PROT_READ|PROT_EXEC 4096",
        "mprotect PROT_READ|PROT_WRITE|PROT_EXEC 4096",
        "pkey_mprotect PROT_READ|PROT_EXEC 8192",
        "mmap PROT_READ|PROT_EXEC 4096",
        "mmap PROT_READ|PROT_EXEC 0 EINVAL",
        "mmap PROT_EXEC 4096",
    ];
    assert_eq!(expected.as_slice(), calls);
    assert!(maps[3].path().ends_with("/bin/true"), "{:?}", maps[3]);
    assert_eq!(maps[3].number("addr"), maps[3].number("ret"));
    assert_eq!(maps[0].number("addr"), maps[1].number("addr"));
    assert_eq!("", maps[5].path());
}

#[test]
fn the_kernels_own_doors_are_reported() {
    let seen = sensed("security", &["kernel"]).events;

    let module =
        |call: &str| seen.only(call, |event| event.name() == "kernel.module" && event.call() == call);
    assert!(module("init_module").has_failed());
    assert_eq!("/dev/null", module("finit_module").path());
    assert_eq!(Some("glassbox_none"), module("delete_module").text("name"));
    let bpf = seen.only("bpf", |event| event.name() == "kernel.bpf");
    assert_eq!((Some(9999), "bpf"), (bpf.number("command"), bpf.call()));
    let faults = seen.only("userfaultfd", |event| event.name() == "kernel.userfaultfd");
    assert_eq!(Some(0o2_000_000), faults.number("flags"));
    let uring = seen.only("io_uring_setup", |event| event.name() == "kernel.io_uring");
    assert_eq!((Some(0), true), (uring.number("entries"), uring.has_failed()));
}

#[test]
fn what_a_process_forbids_itself_is_reported() {
    let seen = sensed("security", &["control"]).events;

    let controls = shown(&seen, "process.control", |event| {
        let value = event.text("name").map(str::to_owned);
        let value =
            value.or_else(|| event.number("argument").map(|number| number.to_string())).unwrap_or_default();
        format!("{} {} {value}{}", event.call(), event.text("what").unwrap_or("?"), error(event))
    });

    let expected = [
        "prctl PR_SET_NAME a-name-longer-t",
        "prctl PR_SET_NAME  EFAULT",
        "prctl PR_SET_DUMPABLE 0",
        "prctl PR_SET_DUMPABLE 1",
        "prctl PR_SET_NO_NEW_PRIVS 1",
        "prctl PR_SET_KEEPCAPS 1",
        "prctl PR_SET_SECCOMP 77",
        "prctl PR_SET_SECCOMP 77 EINVAL",
        "seccomp PR_SET_SECCOMP 2",
        "seccomp PR_SET_SECCOMP 2 EINVAL",
    ];
    assert_eq!(expected.as_slice(), controls);
}

#[test]
fn musls_security_calls_are_seen() {
    for (part, event, least) in [
        ("credentials", "process.credentials", 17),
        ("signals", "process.signal", 15),
        ("trace", "process.trace", 8),
        ("namespace", "process.namespace", 11),
        ("memory", "memory.map", 5),
        ("control", "process.control", 10),
    ] {
        let seen = sensed_on_musl("security", &[part]).events;

        assert_eq!(least, seen.named(event).count(), "{part}\n{}", seen.outline());
    }
}
